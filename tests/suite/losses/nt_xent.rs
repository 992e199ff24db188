//! Cases of `NtXent`.

use crate::loss_case::{LossCase, all, cuda, gradients, loss_case, loss_suite, precision, threads, values};
use kamacite::data::{Samples, TwoViews};
use kamacite::loss::NtXent;
use kamacite::*;

/// The definition, with samples of weight 0 left out.
fn naive(y: &[f64], w: &[f64], c: usize, temperature: f64) -> Vec<f64> {
    let z: Vec<Vec<f64>> = y
        .chunks(c)
        .map(|y| {
            let length = y.iter().map(|y| y * y).sum::<f64>().sqrt();
            y.iter().map(|y| if length > 0.0 { y / length } else { 0.0 }).collect()
        })
        .collect();
    let similar = |i: usize, k: usize| z[i].iter().zip(&z[k]).map(|(a, b)| a * b).sum::<f64>() / temperature;
    let anchor = |i: usize| {
        let others = (0..z.len()).filter(|&k| k != i && w[k / 2] != 0.0);
        others.map(|k| similar(i, k).exp()).sum::<f64>().ln() - similar(i, i ^ 1)
    };
    w.iter().enumerate().map(|(n, w)| if *w == 0.0 { 0.0 } else { 0.5 * w * (anchor(2 * n) + anchor(2 * n + 1)) }).collect()
}

fn new(temperature: f64, y: Extent, rows: usize) -> LossCase {
    let none = |_: &[f64], _: &[f64]| 0.0;
    let case = loss_case(&format!("temperature {temperature}, {rows} rows"), NtXent::new(temperature), y, none).rows(rows);
    case.coupled(move |ys, w| naive(ys, w, y.c, temperature))
}

fn cases() -> Vec<LossCase> {
    vec![
        new(0.5, Extent::line(2, 3), 3),
        new(0.5, Extent::image(2, 1, 2), 2),
        new(1.0, Extent::cube(2, 1, 1, 8), 2),
        new(0.2, Extent::line(2, 17), 7),
        new(0.5, Extent::line(2, 5), 4).absent(1, 1e3),
        new(0.5, Extent::line(2, 5), 3).absent(2, 0.0),
    ]
}

loss_suite!();

/// More embeddings than one task takes, more channels than a block has threads.
#[test]
fn large_batches_are_the_same_for_all_threads_and_on_cuda() {
    let cases = [new(0.5, Extent::line(2, 300), 70), new(0.5, Extent::line(2, 3), 150)];
    all(&cases, values);
    all(&cases, threads);
    all(&cases, cuda);
}

/// What takes no part may hold anything.
#[test]
fn samples_of_weight_zero_are_not_looked_at() {
    let cases = [new(0.5, Extent::line(2, 5), 4).absent(1, f64::NAN), new(0.5, Extent::line(2, 5), 3).absent(0, f64::INFINITY)];
    all(&cases, gradients);
    all(&cases, precision);
    all(&cases, threads);
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let build = |loss: NtXent, y: Extent, t: Targets<'_>| -> Result<f64> {
        let mut net = Network::new(y);
        net.push(Activate::new(Linear));
        let mut model = Model::builder(net).loss("output", loss, 1.0).build()?;
        model.forward(Mode::Train, View::new(y, &vec![0.5; y.len()])?)?;
        model.loss(&[t])
    };
    let two = Extent::line(2, 3);
    // One pair alone has nothing that it could be taken for.
    assert_eq!(build(NtXent::new(0.5), two, Targets::None)?, 0.0);
    for (loss, y) in [
        (NtXent::new(0.0), two),
        (NtXent::new(f64::NAN), two),
        (NtXent::new(0.5), Extent::flat(6)),
        (NtXent::new(0.5), Extent::line(3, 2)),
    ] {
        assert!(build(loss.clone(), y, Targets::None).is_err(), "{loss:?} {y}");
    }
    assert_eq!(build(NtXent::new(0.5), two, Targets::Classes(&[1])).unwrap_err().kind(), ErrorKind::Shape);
    Ok(())
}

/// Views of samples without labels train an encoder on every device; a loss that takes targets asks for them, prediction does not.
#[test]
fn data_without_targets_train_and_predict() -> Result<()> {
    let x: Vec<f32> = (0..24 * 16).map(|i| if (i % 16) / 4 == i / 16 % 4 { 1.0 } else { 0.1 }).collect();
    let samples = Samples::new(Extent::line(16, 1), x)?;
    let run = |device: Device| -> Result<(f64, f64, Vec<f32>)> {
        let views = TwoViews::new(samples.clone(), |x, r, view| {
            view.iter_mut().zip(x).for_each(|(view, x)| *view = x + 0.1 * r.normal() as f32);
        })?;
        let mut net = Network::new(Extent::image(2, 16, 1));
        net.push(Conv::new(6, [1, 4]).stride([1, 4]).act(Tanh));
        net.push(Conv::new(5, [1, 4]));
        let b = Trainer::builder(net, NtXent::new(0.5), Adam::new(0.02)).batch(10).seed(3).device(device);
        let mut t = b.data(views.clone(), Some(views)).build()?;
        let first = t.fit(1, &mut Silent)?.loss;
        let report = t.fit(15, &mut Silent)?;
        assert!(report.valid.is_some_and(|v| v.accuracy.is_none() && v.loss.is_finite()));
        // The views share the weights, so that the encoder takes single lines as well.
        let net = t.model().network().clone();
        let mut encoder = Model::builder(net).device(t.model().device().clone()).build()?;
        assert_eq!(encoder.restore_some(&t.checkpoint()?, |_| true)?, 4);
        let one = encoder.forward(Mode::Infer, View::new(Extent::line(16, 1), &samples.x(0)[..32])?)?.to_vec();
        Ok((first, report.loss, one))
    };
    let (first, last, one) = run(Device::cpu_threads(1)?)?;
    assert!(last < first - 0.3, "{first} {last}");
    assert_eq!((first, last, one.clone()), run(Device::cpu_threads(3)?)?);
    if let Some(gpu) = crate::cuda::gpu() {
        let (_, there, other) = run(gpu.device.clone())?;
        assert!((there - last).abs() < 1e-2 && one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-2), "{there} {last}");
    }
    let mut net = Network::new(Extent::line(16, 1));
    net.push(Dense::new(4));
    let build =
        || Trainer::builder(net.clone(), SoftmaxCrossEntropy, Sgd::new(0.1)).data(samples.clone(), None::<Samples>).build();
    let e = build().unwrap_err();
    assert!(e.kind() == ErrorKind::Shape && e.to_string().contains("no targets"), "{e}");
    let mut model = Model::builder(net).loss("output", SoftmaxCrossEntropy, 1.0).build()?;
    let p = model.predict_data(samples.clone(), 7, Mode::Infer)?;
    assert!(p.len() == 96 && p.chunks(4).all(|p| (p.iter().sum::<f32>() - 1.0).abs() < 1e-6));
    assert!(model.evaluate(samples, 7).is_err());
    Ok(())
}
