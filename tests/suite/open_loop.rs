//! The trainer against the same steps by hand: one machine, two doors.

use crate::case::positions;
use kamacite::data::Samples;
use kamacite::optim::{Adam, Sgd};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;

fn network() -> Network {
    let mut net = Network::new(Extent::image(5, 4, 2));
    net.push(Conv::new(6, 3).same());
    net.push(Norm::batch());
    net.push(Activate::new(Relu));
    net.push(Pool::max(2).same());
    net.push(Dropout::new(0.3));
    net.push(Dense::new(3));
    net
}

fn data(n: usize) -> (Vec<f32>, Vec<u32>) {
    let mut r = Stream::new(3, Purpose::User, 0);
    ((0..n * 40).map(|_| r.normal() as f32).collect(), (0..n).map(|_| r.below(3) as u32).collect())
}

/// The same seed, order and batches: the same bits in every array, partial batches and dropout included.
#[test]
fn the_trainer_does_the_steps_of_the_open_loop() -> Result<()> {
    let (x, t) = data(21);
    let extent = Extent::image(5, 4, 2);
    let samples = Samples::new(extent, x.clone())?.with_classes(t.clone(), 3)?;
    let rule = || Adam::new(0.01).weight_decay(0.01);
    let none: Option<Samples> = None;
    let builder = Trainer::builder(network(), SoftmaxCrossEntropy, rule()).batch(8).seed(4).shuffle(false);
    let mut trainer = builder.data(samples, none).build()?;
    let mut model = Model::builder(network()).seed(4).loss("output", SoftmaxCrossEntropy, 1.0).build()?;
    for epoch in 0..3 {
        for start in (0..21).step_by(8) {
            let rows = start..21.min(start + 8);
            model.forward(Mode::Train, View::new(extent, &x[rows.start * 40..rows.end * 40])?)?;
            let loss = model.loss(&[Targets::Classes(&t[rows])])?;
            model.backward(Seed::Loss, Grads::Write)?;
            model.step(&rule())?;
            assert_eq!(trainer.step()?, loss, "epoch {epoch}, row {start}");
        }
    }
    let names: Vec<String> = model.arrays().map(|(n, _)| n.to_string()).collect();
    for name in names {
        assert_eq!(trainer.model().array(&name)?, model.array(&name)?, "{name}");
    }
    Ok(())
}

/// Two inputs, two outputs, a loss for each with its factor: the order of inputs and targets is that of the network.
#[test]
fn several_inputs_and_losses() -> Result<()> {
    let (image, vector, out) = (Extent::image(4, 4, 1), Extent::flat(3), Extent::flat(2));
    let mut net = Network::default();
    let (a, b) = (net.input("image", image), net.input("vector", vector));
    let conv = net.add(Conv::new(4, 3).pad(1).act(Tanh), &[a]);
    let flat = net.add(Flatten::new(), &[conv]);
    let both = net.add(Merge::concat(), &[flat, b]);
    let class = net.add(Dense::new(3), &[both]);
    let value = net.add(Dense::new(2), &[both]);
    net.output("class", class).output("value", value);
    let n = 10;
    let mut r = Stream::new(8, Purpose::User, 0);
    let mut draw = |len: usize| (0..len).map(|_| r.normal() as f32).collect::<Vec<f32>>();
    let (xa, xb, values) = (draw(n * 16), draw(n * 3), draw(n * 2));
    let labels: Vec<u32> = (0..n as u32).map(|i| i * 7 % 3).collect();
    let samples = Samples::new(image, xa.clone())?.with_input(vector, xb.clone())?;
    let samples = samples.with_classes(labels.clone(), 3)?.with_values(out, values.clone())?;
    let none: Option<Samples> = None;
    let builder = Trainer::builder(net.clone(), SoftmaxCrossEntropy, Sgd::new(0.1)).loss("value", Mse, 0.3);
    let mut trainer = builder.batch(4).shuffle(false).seed(2).data(samples, none).build()?;
    let mut model = Model::builder(net).seed(2).loss("class", SoftmaxCrossEntropy, 1.0).loss("value", Mse, 0.3).build()?;
    for start in [0, 4, 8] {
        let end = n.min(start + 4);
        model
            .forward(Mode::Train, &[View::new(image, &xa[start * 16..end * 16])?, View::new(vector, &xb[start * 3..end * 3])?])?;
        let targets = View::new(out, &values[start * 2..end * 2])?;
        let loss = model.loss(&[Targets::Classes(&labels[start..end]), targets.into()])?;
        model.backward(Seed::Loss, Grads::Write)?;
        model.step(&Sgd::new(0.1))?;
        assert_eq!(trainer.step()?, loss);
    }
    for name in ["conv1.weight", "dense1.weight", "dense2.bias"] {
        assert_eq!(trainer.model().array(name)?, model.array(name)?, "{name}");
    }
    Ok(())
}

/// Sample weights: one step of gradient descent on Σ wᵢ·ℓᵢ/n is the weighted mean of the steps on each sample alone.
#[test]
fn sample_weights_weigh_gradients() -> Result<()> {
    let extent = Extent::flat(4);
    let mut net = Network::new(extent);
    net.push(Dense::new(5).act(Tanh));
    net.push(Dense::new(3));
    let mut r = Stream::new(5, Purpose::User, 0);
    let n = 6;
    let x: Vec<f32> = (0..n * 4).map(|_| r.normal() as f32).collect();
    let t: Vec<u32> = (0..n).map(|i| (i % 3) as u32).collect();
    let weights = [1.0_f32, 0.0, 2.5, 0.5, 1.0, 3.0];
    let step = |rows: &[usize], weights: Option<Vec<f32>>| -> Result<Vec<f64>> {
        let x: Vec<f32> = rows.iter().flat_map(|&i| x[i * 4..(i + 1) * 4].to_vec()).collect();
        let samples = Samples::new(extent, x)?.with_classes(rows.iter().map(|&i| t[i]).collect(), 3)?;
        let samples = match weights {
            Some(w) => samples.with_weights(w)?,
            None => samples,
        };
        let none: Option<Samples> = None;
        let builder = Trainer::builder(net.clone(), SoftmaxCrossEntropy, Sgd::new(1.0)).precision(Precision::FP64);
        let mut trainer = builder.seed(1).batch(rows.len()).shuffle(false).data(samples, none).build()?;
        let before = trainer.model().array("dense1.weight")?;
        trainer.step()?;
        let after = trainer.model().array("dense1.weight")?;
        Ok(after.iter().zip(&before).map(|(a, b)| a - b).collect())
    };
    let all: Vec<usize> = (0..n).collect();
    let together = step(&all, Some(weights.to_vec()))?;
    let mut expected = vec![0.0; together.len()];
    for (i, &weight) in weights.iter().enumerate() {
        let alone = step(&[i], None)?;
        expected.iter_mut().zip(&alone).for_each(|(e, a)| *e += f64::from(weight) * a / n as f64);
    }
    // Differences of weights of order 1: their rounding, six times.
    crate::check::close("step", &together, &expected, 1e-13).unwrap();
    assert!(together != step(&all, None)?);
    Ok(())
}

/// Two models on one device as in an adversarial game: the generator's gradient goes through the discriminator, whose own
/// gradients are left alone.
#[test]
fn a_gradient_passes_through_another_model() -> Result<()> {
    let (z, x) = (Extent::flat(3), Extent::image(4, 4, 1));
    let mut generator = Network::new(z);
    generator.push(Dense::new(8).act(Tanh));
    generator.push(Reshape::to(Extent::image(2, 2, 2)));
    generator.push(ConvTranspose::new(1, 2).stride(2));
    let mut discriminator = Network::new(x);
    discriminator.push(Conv::new(3, 3).pad(1).act(Tanh));
    discriminator.push(Dense::new(1));
    let build = |net: &Network| Model::builder(net.clone()).precision(Precision::FP64).seed(2).build();
    let (mut g, mut d) = (build(&generator)?, build(&discriminator)?);
    let mut r = Stream::new(6, Purpose::User, 0);
    let noise: Vec<f64> = (0..6).map(|_| r.normal()).collect();
    let value = |g: &mut Model, d: &mut Model| -> Result<f64> {
        let fake = g.forward(Mode::Train, View::f64(z, &noise)?)?.as_f64()?.to_vec();
        Ok(d.forward(Mode::Eval, View::f64(x, &fake)?)?.as_f64()?.iter().sum())
    };
    value(&mut g, &mut d)?;
    let dx = d.backward(View::f64(Extent::flat(1), &[1.0, 1.0])?, Grads::Skip)?.as_f64()?.to_vec();
    assert_eq!(dx.len(), 2 * positions(x).count());
    g.backward(View::f64(x, &dx)?, Grads::Write)?;
    assert!(d.gradient("conv1.weight")?.iter().all(|v| *v == 0.0));
    for name in ["dense1.weight", "conv_transpose1.weight"] {
        let (w, dw) = (g.array(name)?, g.gradient(name)?);
        for i in 0..w.len() {
            let mut at = |h: f64| -> Result<f64> {
                let mut moved = w.clone();
                moved[i] += h;
                g.set_array(name, &moved)?;
                value(&mut g, &mut d)
            };
            let slope = (at(1e-5)? - at(-1e-5)?) / 2e-5;
            g.set_array(name, &w)?;
            // Truncation and rounding are both near 1e-10.
            assert!((slope - dw[i]).abs() < 1e-8, "{name}[{i}]: {slope}, {}", dw[i]);
        }
    }
    Ok(())
}

/// One call is the four calls: the same losses and the same bits in every array, dropout and a shorter last batch included.
#[test]
fn a_training_batch_is_the_four_calls() -> Result<()> {
    let (x, t) = data(13);
    let extent = Extent::image(5, 4, 2);
    let build = || Model::builder(network()).seed(4).loss("output", SoftmaxCrossEntropy, 1.0).build();
    let (mut one, mut four) = (build()?, build()?);
    let rule = Sgd::new(0.05).momentum(0.9).weight_decay(1e-3);
    for step in 0..6 {
        let rows = if step % 2 == 0 { 0..8 } else { 8..13 };
        let (x, t) = (View::new(extent, &x[rows.start * 40..rows.end * 40])?, Targets::Classes(&t[rows]));
        four.forward(Mode::Train, x)?;
        let loss = four.loss(&[t])?;
        four.backward(Seed::Loss, Grads::Write)?;
        four.step(&rule)?;
        assert_eq!(one.train_batch(x, &[t], &rule)?, loss, "step {step}");
    }
    let names: Vec<String> = one.arrays().map(|(n, _)| n.to_string()).collect();
    for name in names {
        assert_eq!(one.array(&name)?, four.array(&name)?, "{name}");
    }
    assert_eq!((one.updates(), four.updates()), (6, 6));
    assert_eq!(one.input_gradient(0).unwrap_err().kind(), ErrorKind::Order, "nobody asked for it");
    Ok(())
}

/// A loss that is not finite names the layer and leaves the weights alone; the model goes on with good data.
#[test]
fn a_training_batch_that_diverges_changes_nothing() -> Result<()> {
    let (mut x, t) = data(4);
    let extent = Extent::image(5, 4, 2);
    let mut model = Model::builder(network()).seed(4).loss("output", SoftmaxCrossEntropy, 1.0).build()?;
    let rule = Sgd::new(0.05).momentum(0.9);
    model.train_batch(View::new(extent, &x)?, &[Targets::Classes(&t)], &rule)?;
    let before = model.array("conv1.weight")?;
    let good = std::mem::replace(&mut x[85], f32::NAN);
    let e = model.train_batch(View::new(extent, &x)?, &[Targets::Classes(&t)], &rule).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Diverged);
    assert!(
        e.to_string().starts_with("step 1: the loss is NaN; got the first values that are not finite in node 0 (input), row 2"),
        "{e}"
    );
    assert_eq!((model.array("conv1.weight")?, model.updates()), (before, 1));
    x[85] = good;
    assert!(model.train_batch(View::new(extent, &x)?, &[Targets::Classes(&t)], &rule)?.is_finite());
    model.set_array("dense1.bias", &[0.0, f64::INFINITY, 0.0])?;
    let e = model.train_batch(View::new(extent, &x)?, &[Targets::Classes(&t)], &rule).unwrap_err();
    assert!(e.to_string().contains("a parameter, dense1.bias, that is not finite"), "{e}");
    Ok(())
}
