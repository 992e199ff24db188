//! How sure is the classifier? Monte-Carlo dropout and a variational network on the spectra of [`super::sdss`]: calibration, and what it says of noise.
//!
//! cargo run --release -p kamacite-gallery -- uncertain
//!
//! System HE2. Two networks with the convolutions of `sdss`: one keeps dropout 0.35 where it stands and draws masks when it predicts (Gal & Ghahramani
//! 2016), the other has no dropout and distributions over the weights of its dense layers (Blundell et al. 2015). 50 draws of each; one temperature,
//! fitted on 300 spectra, makes the probabilities mean what they say (expected calibration error, 15 bins). Then the same spectra are
//! observed with 1, 2, 4 and 8 times their errors added as noise: what a classifier should do is to be less and less sure.
//!
//! | 1000 spectra, seeds 1, 2, 3 | accuracy (chance 25 %, linear 82.0 %) | ECE | with temperature | entropy at 0, 1, 2, 4, 8 times the errors, seed 1 |
//! |---|---|---|---|---|
//! | dropout | 92.1, 92.6, 92.1 % | 0.018, 0.046, 0.036 | 0.011, 0.015, 0.018 | 0.228, 0.256, 0.334, 0.482, 0.635 |
//! | the same in PyTorch | 92.2, 93.3, 94.2 % | 0.016, 0.014, 0.022 | 0.024, 0.017, 0.022 | 0.192, 0.231, 0.319, 0.475, 0.622 |
//! | weights with distributions | 88.6, 87.5, 88.2 % | 0.063, 0.073, 0.055 | 0.024, 0.017, 0.025 | 0.140, 0.148, 0.181, 0.236, 0.325 |
//! | the same in PyTorch | 89.3, 87.8, 87.3 % | 0.062, 0.066, 0.061 | 0.037, 0.026, 0.024 | 0.136, 0.159, 0.226, 0.280, 0.446 |
//!
//! The entropy rises in all six runs of each.

use crate::options::Options;
use crate::sky::sdss::{BINS, CLASSES, Spectra};
use kamacite::metrics::{Reliability, Temperature, accuracy, predicted};
use kamacite::rng::{Purpose, Stream};
use kamacite::train::MonteCarlo;
use kamacite::*;

/// Draws of a prediction.
const DRAWS: usize = 50;

/// The convolutions of `sdss`; behind them dropout, or weights with distributions.
fn network(bayes: bool) -> Network {
    if !bayes {
        return super::sdss::network();
    }
    let mut net = Network::new(Extent::line(BINS, 1));
    for (filters, size) in [(32, 20), (64, 40)] {
        net.push(Conv::new(filters, size).stride(10).act(Relu));
        net.push(Pool::max(3));
    }
    net.push(BayesDense::new(128).act(Relu));
    net.push(BayesDense::new(4));
    net
}

/// The same spectra with `times` their errors added once more.
fn noisier(spectra: &Spectra, times: f32) -> Spectra {
    let mut noisy = spectra.clone();
    for (i, (flux, ivar)) in noisy.flux.chunks_exact_mut(BINS).zip(spectra.ivar.chunks_exact(BINS)).enumerate() {
        let mut r = Stream::new(11, Purpose::User, i as u64);
        flux.iter_mut().zip(ivar).for_each(|(f, w)| *f += times * r.normal() as f32 / w.sqrt());
    }
    noisy
}

/// Logarithms of the mean probabilities: logits for a temperature.
fn logits(p: &MonteCarlo) -> Vec<f64> {
    p.mean.iter().map(|p| libm::log(f64::from(*p).max(1e-30))).collect()
}

fn mean(x: &[f32]) -> f64 {
    x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64
}

/// Trains both, calibrates, and looks at noise.
pub fn run(o: &Options) -> Result<()> {
    let n = if o.smoke { 240 } else { 4000 };
    let draws = if o.smoke { 5 } else { DRAWS };
    let all = Spectra::of(o.data.as_deref(), n)?;
    let n = all.len();
    let (train, test) = all.split(n * 3 / 4);
    let (learn, watch) = train.split(n * 27 / 40);
    let mut result = String::from("RESULT");
    let mut diagrams = Vec::new();
    for (name, bayes) in [("dropout", false), ("bayes", true)] {
        let mut t = Trainer::builder(network(bayes), SoftmaxCrossEntropy, Adam::new(1e-3))
            .batch(50)
            .seed(o.seed)
            .device(o.device.clone())
            .precision(o.precision)
            .data(learn.samples()?, Some(watch.samples()?))
            .build()?;
        t.fit(o.epochs, &mut o.monitor(&CLASSES.map(String::from))?)?;
        let mut ask = |spectra: &Spectra| t.model_mut().predict_monte_carlo(spectra.samples()?, 200, draws, &[0.05, 0.95]);
        let (watched, found) = (ask(&watch)?, ask(&test)?);
        let temperature = Temperature::fit(&logits(&watched), 4, &watch.class)?;
        let calibrated = temperature.apply(&logits(&found), 4)?;
        let before = Reliability::of(&found.mean, 4, &test.class, 15)?;
        let after = Reliability::of(&calibrated, 4, &test.class, 15)?;
        let right = accuracy(&predicted(&found.mean, 4)?, &test.class)?;
        diagrams.extend([(name.to_string(), before.clone()), (format!("{name}, with temperature"), after.clone())]);
        println!(
            "{name}: accuracy {right:.4}, ECE {:.4}, with temperature {:.3}: {:.4}",
            before.ece(),
            temperature.value(),
            after.ece()
        );
        println!("noise  accuracy  entropy  of which noise in the data, disagreement of the draws");
        let mut entropies = Vec::new();
        for times in [0.0, 1.0, 2.0, 4.0, 8.0] {
            let p = ask(&noisier(&test, times))?;
            let h = p.entropy.clone().unwrap_or_default();
            let right = accuracy(&predicted(&p.mean, 4)?, &test.class)?;
            let [all, data, network] = [&h.predictive, &h.expected, &h.mutual_information].map(|h| mean(h));
            println!("{times:>4}x  {right:>8.4}  {all:>7.4}  {data:.4}, {network:.4}");
            entropies.push(all);
        }
        let rises = entropies.windows(2).all(|e| e[0] < e[1]);
        let rounded: Vec<String> = entropies.iter().map(|e| format!("{e:.3}")).collect();
        result += &format!(
            " {name}={right:.4} {name}_ece={:.4}->{:.4} {name}_entropy={} {name}_rises={rises}",
            before.ece(),
            after.ece(),
            rounded.join(",")
        );
    }
    let curves: Vec<(&str, &Reliability)> = diagrams.iter().map(|(name, r)| (name.as_str(), r)).collect();
    plot::reliability(o.file("uncertain.svg")?, &curves)?;
    println!("{result}");
    Ok(())
}
