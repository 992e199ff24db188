//! Three tiny tasks that a working trainer solves, each out of reach of a linear model.

use kamacite::data::Samples;
use kamacite::optim::{Adam, Sgd};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;

/// The loss of the last of `epochs`, and the evaluation on fresh data.
fn fit(builder: kamacite::train::TrainerBuilder, data: (Samples, Samples), epochs: u64) -> Result<(f64, Evaluation)> {
    let mut trainer = builder.seed(3).data(data.0, None::<Samples>).build()?;
    trainer.fit(epochs, &mut Silent)?;
    let last = trainer.history().last().map_or(f64::NAN, |r| r.loss);
    Ok((last, trainer.model_mut().evaluate(data.1, 64)?))
}

/// Parity of three signs: every single input, and every pair, says nothing.
#[test]
fn parity() -> Result<()> {
    let draw = |seed: u64| -> Result<Samples> {
        let mut r = Stream::new(seed, Purpose::User, 0);
        let mut sign = || if r.below(2) == 0 { -1.0_f32 } else { 1.0 };
        let x: Vec<f32> = (0..3 * 200).map(|_| sign()).collect();
        let labels = x.chunks(3).map(|x| u32::from(x.iter().product::<f32>() > 0.0)).collect();
        Samples::new(Extent::flat(3), x)?.with_classes(labels, 2)
    };
    let mut net = Network::new(Extent::flat(3));
    net.push(Dense::new(16).act(Tanh));
    net.push(Dense::new(2));
    let builder = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(0.02)).batch(20);
    let (loss, found) = fit(builder, (draw(1)?, draw(2)?), 60)?;
    // A guess has ln 2 = 0.69.
    assert!(loss < 0.05 && found.accuracy == Some(1.0), "{loss}, {found:?}");
    Ok(())
}

/// The height of a bump at an unknown place of a noisy spectrum.
#[test]
fn line_strength() -> Result<()> {
    let draw = |seed: u64, n: usize| -> Result<Samples> {
        let mut r = Stream::new(seed, Purpose::User, 0);
        let (mut x, mut t) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let (place, height) = (r.between(8.0, 40.0), r.between(0.0, 2.0));
            x.extend((0..48).map(|i| (height * (-((i as f64 - place) / 2.0).powi(2)).exp() + 0.02 * r.normal()) as f32));
            t.push(height as f32);
        }
        Samples::new(Extent::line(48, 1), x)?.with_values(Extent::flat(1), t)
    };
    let mut net = Network::new(Extent::line(48, 1));
    net.push(Conv::new(6, 7).pad(3).act(Relu));
    net.push(Pool::global_max());
    net.push(Dense::new(1));
    let builder = Trainer::builder(net, Mse, Adam::new(0.02)).batch(16);
    let (_, found) = fit(builder, (draw(1, 400)?, draw(2, 200)?), 40)?;
    // The heights have variance 4/12; 1 % of it means the place no longer matters.
    assert!(found.loss < 0.01 * 4.0 / 12.0, "{found:?}");
    Ok(())
}

/// Vertical or horizontal stripes at any phase: the mean image of both classes is flat.
#[test]
fn stripes() -> Result<()> {
    let draw = |seed: u64| -> Result<Samples> {
        let mut r = Stream::new(seed, Purpose::User, 0);
        let (mut x, mut labels) = (Vec::new(), Vec::new());
        for i in 0..160_u32 {
            let phase = r.between(0.0, std::f64::consts::TAU);
            for (h, w) in (0..8).flat_map(|h| (0..8).map(move |w| (h, w))) {
                let at = if i % 2 == 0 { h } else { w };
                x.push(((f64::from(at) * 1.6 + phase).sin() + 0.3 * r.normal()) as f32);
            }
            labels.push(i % 2);
        }
        Samples::new(Extent::image(8, 8, 1), x)?.with_classes(labels, 2)
    };
    let mut net = Network::new(Extent::image(8, 8, 1));
    net.push(Conv::new(6, 3));
    net.push(Norm::batch());
    net.push(Activate::new(Relu));
    net.push(Pool::max(2));
    net.push(Dropout::new(0.1));
    net.push(Dense::new(2));
    let builder = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(0.05).momentum(0.9)).batch(16);
    let (loss, found) = fit(builder, (draw(1)?, draw(2)?), 25)?;
    assert!(loss < 0.1 && found.accuracy > Some(0.97), "{loss}, {found:?}");
    Ok(())
}
