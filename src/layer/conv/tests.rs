use super::*;
use crate::{ErrorKind, Mode, Model, Network, Precision, View};

fn model(layer: Conv, x: Extent) -> Result<Model> {
    let mut net = Network::new(x);
    net.push(layer);
    Model::builder(net).precision(Precision::FP64).device(Device::cpu_threads(1)?).build()
}

fn forward(layer: Conv, x: Extent, data: &[f64], w: &[f64]) -> Vec<f64> {
    let mut model = model(layer, x).unwrap();
    model.set_array("conv1.weight", w).unwrap();
    model.forward(Mode::Infer, View::f64(x, data).unwrap()).unwrap().as_f64().unwrap().to_vec()
}

#[test]
fn a_line_by_hand() {
    let (x, data, w) = (Extent::line(4, 1), [1.0, 2.0, 3.0, 4.0], [1.0, 10.0, 100.0]);
    assert_eq!(forward(Conv::new(1, 3), x, &data, &w), [321.0, 432.0]);
    assert_eq!(forward(Conv::new(1, 3).same().stride(2), x, &data, &w), [321.0, 43.0]);
    assert_eq!(forward(Conv::new(1, [3]).pad(1).bias_init(-100.0), x, &data, &w), [110.0, 221.0, 332.0, -57.0]);
    assert_eq!(forward(Conv::new(1, 3).gap(1), x, &data, &w), [201.0, 20.0, 302.0, 30.0, 403.0]);
    assert_eq!(forward(Conv::new(1, 2).dilation(2), x, &data, &w[..2]), [31.0, 42.0]);
}

#[test]
fn depthwise_by_hand() {
    let x = Extent::line(2, 2);
    let y = forward(Conv::depthwise(2).multiplier(2), x, &[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0]);
    assert_eq!(y, [31.0, 62.0, 126.0, 168.0]);
}

/// Activations that need their input, their output, and the fused one, against f′ by differences.
#[test]
fn gradients_go_through_the_activation() {
    let x = Extent::line(5, 2);
    let data: Vec<f64> = (0..10).map(|i| f64::from(i) * 0.37 - 1.6).collect();
    for act in [Activation::Linear, Activation::Relu, Activation::Gelu, Activation::Tanh] {
        let mut model = model(Conv::new(3, 2).act(act), x).unwrap();
        let mut probe = |data: &[f64]| {
            let y = model.forward(Mode::Train, View::f64(x, data).unwrap()).unwrap().as_f64().unwrap().to_vec();
            y.iter().enumerate().map(|(i, y)| y * (i as f64 * 1.7).sin()).sum::<f64>()
        };
        let h = 1e-6;
        let differences: Vec<f64> = (0..10)
            .map(|i| {
                let mut moved = data.clone();
                moved[i] += h;
                let up = probe(&moved);
                moved[i] -= 2.0 * h;
                (up - probe(&moved)) / (2.0 * h)
            })
            .collect();
        probe(&data);
        let dy: Vec<f64> = (0..12).map(|i| (f64::from(i) * 1.7).sin()).collect();
        let dx = model.backward(View::f64(Extent::line(4, 3), &dy).unwrap(), crate::Grads::Write).unwrap();
        for (dx, d) in dx.as_f64().unwrap().iter().zip(&differences) {
            // h²·f‴/6 and the rounding of a sum of size below 10 divided by 2h.
            assert!((dx - d).abs() < 10.0 * h * h + 10.0 * 12.0 * f64::EPSILON / h, "{act:?}: {dx} and {d}");
        }
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let x = Extent::image(4, 4, 6);
    let shape = |layer| model(layer, x).err().map(|e| e.kind());
    assert_eq!(shape(Conv::new(2, 3)), None);
    for layer in [
        Conv::new(0, 3),
        Conv::new(usize::MAX, 3),
        Conv::new(2, 0),
        Conv::new(2, 5),
        Conv::new(2, usize::MAX),
        Conv::new(2, 3).stride(0),
        Conv::new(2, 3).dilation(usize::MAX),
        Conv::new(2, 3).gap(usize::MAX),
        Conv::new(2, 3).pad(usize::MAX),
        Conv::new(3, 3).groups(2),
        Conv::new(4, 3).groups(4),
        Conv::depthwise(3).multiplier(usize::MAX),
    ] {
        assert_eq!(shape(layer.clone()), Some(ErrorKind::Shape), "{layer:?}");
    }
    // A stride that is never taken is legal.
    assert_eq!(shape(Conv::new(2, 3).stride(usize::MAX)), None);
}

#[test]
fn saved_form_reads_back() {
    let layer = Conv::new(8, [3, 5]).stride(2).pad_sides(1, [0, 2]).gap(1).groups(2).act(Activation::Relu).no_bias();
    assert_eq!(serde_json::from_value::<Conv>(layer.save()).unwrap(), layer);
}

/// Plans for inference keep packed weights; whatever changes the weights, they compute what a new model with them does.
#[test]
fn packed_weights_follow_every_change_of_the_weights() {
    let x = Extent::image(6, 6, 2);
    let data: Vec<f32> = (0..2 * x.len()).map(|i| (i as f32 * 0.7).sin()).collect();
    let input = || View::new(x, &data).unwrap();
    let build = |precision| {
        let mut net = Network::new(x);
        net.push(Conv::new(20, 3).pad(1).act(Activation::Relu));
        net.push(crate::layer::ConvTranspose::new(3, 2).stride(2));
        net.push(crate::layer::Flatten::new());
        net.push(crate::layer::Dense::new(2));
        let builder = Model::builder(net).precision(precision).device(Device::cpu_threads(2).unwrap());
        builder.loss("output", crate::loss::Mse, 1.0).build().unwrap()
    };
    let predict = |m: &mut Model| m.forward(Mode::Infer, input()).unwrap().to_vec();
    for precision in [Precision::FP32, Precision::FP64] {
        let mut m = build(precision);
        let first = m.checkpoint().unwrap();
        let mut seen = vec![predict(&mut m)];
        let mut check = |m: &mut Model, what: &str| {
            let y = predict(m);
            let mut fresh = build(precision);
            fresh.restore(&m.checkpoint().unwrap()).unwrap();
            assert!(y == predict(&mut fresh), "after {what}");
            assert!(y == predict(m), "again after {what}");
            seen.push(y);
        };
        let sgd = crate::optim::Sgd::new(0.05);
        let train = |m: &mut Model| {
            let targets = vec![0.5_f32; 4];
            m.forward(Mode::Train, input()).unwrap();
            m.loss(&[View::new(Extent::flat(2), &targets).unwrap().into()]).unwrap();
            m.backward_parameters(crate::Seed::Loss, crate::Grads::Write).unwrap();
            m.step(&sgd).unwrap();
        };
        train(&mut m);
        check(&mut m, "a step");
        for name in ["conv1.weight", "conv_transpose1.weight"] {
            let w: Vec<f64> = m.array(name).unwrap().iter().map(|w| 1.5 * w).collect();
            m.set_array(name, &w).unwrap();
            check(&mut m, name);
        }
        m.average(&crate::optim::Ema::new(0.5)).unwrap();
        train(&mut m);
        m.average(&crate::optim::Ema::new(0.5)).unwrap();
        check(&mut m, "the last step");
        let trained = predict(&mut m);
        m.swap_average().unwrap();
        assert!(trained != predict(&mut m), "the average is the weights");
        m.swap_average().unwrap();
        assert!(trained == predict(&mut m), "there and back");
        m.restore_some(&first, |name| name == "conv1.weight").unwrap();
        check(&mut m, "restoring one array");
        m.restore(&first).unwrap();
        check(&mut m, "restoring");
        assert!(seen[0] == seen[seen.len() - 1]);
        let distinct = (1..seen.len() - 1).all(|i| seen[i] != seen[i - 1]);
        assert!(distinct, "a change that changes nothing tests nothing");
    }
}

/// A model may change how it sums, and then computes what one does that was built so; a trainer takes it as an option.
#[test]
fn fast_sums_reach_models_and_trainers() {
    use crate::{Math, Trainer, optim::Sgd};
    let x = Extent::image(24, 24, 32);
    let data: Vec<f32> = (0..2 * x.len()).map(|i| (i as f32 * 0.7).sin()).collect();
    let net = || {
        let mut net = Network::new(x);
        net.push(Conv::new(32, 3).pad(1));
        net
    };
    let build = |math| Model::builder(net()).math(math).device(Device::cpu_threads(2).unwrap()).build().unwrap();
    let predict = |m: &mut Model| m.forward(Mode::Infer, View::new(x, &data).unwrap()).unwrap().to_vec();
    let (exact, fast) = (predict(&mut build(Math::Exact)), predict(&mut build(Math::Fast)));
    assert!(exact != fast, "32 channels are enough for Winograd");
    let mut m = build(Math::Exact);
    for (math, expected) in [(Math::Exact, &exact), (Math::Fast, &fast), (Math::Exact, &exact)] {
        m.set_math(math);
        assert!(predict(&mut m) == *expected && m.math() == math, "{math:?}");
    }
    let set = crate::data::Samples::new(x, data.clone()).unwrap();
    let set = set.with_values(x, vec![0.0; 2 * x.len()]).unwrap();
    let b = Trainer::builder(net(), crate::loss::Mse, Sgd::new(0.1)).math(Math::Fast).data(set, None::<crate::data::Samples>);
    let trainer = b.device(Device::cpu_threads(2).unwrap()).build().unwrap();
    assert_eq!(trainer.model().math(), Math::Fast);
}
