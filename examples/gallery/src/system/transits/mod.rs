//! Finds planets that pass in front of their stars (in the manner of AstroNet: Shallue & Vanderburg 2018).
//!
//! cargo run --release -p kamacite-gallery -- transits      (19 s of one core)
//!
//! Twenty days at half an hour: planets of 1 to 7 days with limb darkening and a signal-to-noise ratio of 6 to 40, against eclipsing binaries, pulsating,
//! spotted and quiet stars, all with red noise. Box least squares (Kovács et al. 2002) find the best period after a running median; the curve folded at twice that
//! period (a binary's two eclipses then differ) is what the network sees, with the period, duration and significance as a second input.
//! Convolutions of 16, 32 and 32 filters of 5 with ReLU and pooling, dense 64, one logit: 59 425 parameters; Adam 10⁻³ with a cosine, batch 32, 15
//! epochs, 4000 stars to train, 2000 to judge. The rival is the search itself, with the two statistics it is used with.
//! `--data DIR`: `transits-x.npy` (n, measurements, 1) at half an hour, `transits-t.npy` (1: planet), of which a third judges.
//!
//! | at 1 % of false alarms, seeds 1 to 12 | chance | box least squares: efficiency, signal-to-noise | linear | the same network in PyTorch | here |
//! |---|---|---|---|---|---|
//! | planets found | 1 % | 3.0 %, 0 | 10.6 % | 19.7 to 34.2 %, mean 28.0 | 23.4 to 32.5 %, mean 28.5 |
//! | area under the curve | 0.5 | 0.794, 0.624 | 0.890 | 0.914 to 0.928, mean 0.922 | 0.913 to 0.926, mean 0.919 |

mod boxes;

use crate::options::Options;
use crate::sky;
use kamacite::data::{Samples, npy};
use kamacite::metrics::Roc;
use kamacite::*;
use rayon::prelude::*;

/// Phases of the folded curve, over two periods.
const FOLDED: usize = 200;
/// What is told about the dip.
const FACTS: usize = 4;

/// Searches, trains, and compares with the search.
pub fn run(o: &Options) -> Result<()> {
    let curves = match &o.data {
        Some(folder) => {
            let curves = npy::read(folder.join("transits-x.npy"))?.samples()?;
            curves.with_classes(npy::read(folder.join("transits-t.npy"))?.to_labels()?, 2)?
        }
        None => sky::transits(if o.smoke { 150 } else { 6000 }, 1)?,
    };
    let all = folded(&curves)?;
    let (train, test) = all.split(all.len() * 2 / 3)?;
    let mut t = Trainer::builder(network(&train), LogisticBce, Adam::new(1e-3))
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .schedule(Schedule::cosine(o.epochs, 0.0).per_epoch())
        .data(train, Some(test.clone()))
        .build()?;
    o.show_profile(|| t.profile())?;
    t.fit(o.epochs, &mut Progress::default())?;
    let planets: Vec<bool> = test.labels(0).unwrap_or_default().iter().map(|&l| l == 1).collect();
    let fact = |k: usize| test.x(1).iter().skip(k).step_by(FACTS).copied().collect::<Vec<_>>();
    let efficiency = Roc::of(&fact(0), &planets)?;
    let signal = Roc::of(&fact(1), &planets)?;
    let network = Roc::of(&t.model_mut().predict_data(test.clone(), 250, Mode::Infer)?, &planets)?;
    let curves = [("network", &network), ("box least squares, efficiency", &efficiency), ("box least squares, S/N", &signal)];
    kamacite::plot::roc(o.file("transits.svg")?, &curves)?;
    println!(
        "RESULT recall={:.4} auc={:.4} bls_efficiency={:.4},{:.4} bls_signal={:.4},{:.4}",
        network.recall_at(0.01),
        network.auc(),
        efficiency.recall_at(0.01),
        efficiency.auc(),
        signal.recall_at(0.01),
        signal.auc()
    );
    Ok(())
}

/// What the search makes of light curves: folded ones, and the efficiency, signal-to-noise, period and duration of each dip.
///
/// # Errors
/// Curves without classes or with less than a day of measurements.
pub fn folded(curves: &Samples) -> Result<Samples> {
    let points = curves.inputs()[0].len();
    if (points as f64) < sky::PER_DAY {
        return Err(Error::shape("transits", "measurements of a light curve").expected("at least a day").got(points));
    }
    let mut x = vec![0.0; curves.len() * FOLDED];
    let mut facts = vec![0.0; curves.len() * FACTS];
    let each = curves.x(0).par_chunks_exact(points).zip(x.par_chunks_exact_mut(FOLDED)).zip(facts.par_chunks_exact_mut(FACTS));
    each.for_each(|((curve, x), facts)| {
        let flux = boxes::flatten(curve);
        let dip = boxes::search(&flux);
        fold(&flux, &dip, x);
        let period = libm::log(dip.period / sky::PER_DAY);
        facts.copy_from_slice(
            &[dip.efficiency / 10.0, libm::log1p(dip.signal_to_noise), period, 10.0 * dip.duration].map(|f: f64| f as f32),
        );
    });
    let labels = curves.labels(0).ok_or_else(|| Error::value("transits", "light curves without classes"))?;
    Samples::new(Extent::line(FOLDED, 1), x)?.with_input(Extent::flat(FACTS), facts)?.with_classes(labels.to_vec(), 2)
}

/// The curve over two periods, the dip at a quarter and at three quarters: means in bins, times the root of their number.
fn fold(flux: &[f64], dip: &boxes::Dip, x: &mut [f32]) {
    let mut bins = [(0.0, 0.0); FOLDED];
    for (i, f) in flux.iter().enumerate() {
        let phase = (i as f64 - dip.middle) / (2.0 * dip.period) + 0.25;
        let bin = &mut bins[(((phase - libm::floor(phase)) * FOLDED as f64) as usize).min(FOLDED - 1)];
        *bin = (bin.0 + f, bin.1 + 1.0);
    }
    let significance = |(sum, n): (f64, f64)| 0.5 * libm::asinh(sum / libm::sqrt(f64::max(n, 1.0)));
    x.iter_mut().zip(bins).for_each(|(x, bin)| *x = significance(bin) as f32);
}

fn network(curves: &Samples) -> Network {
    let mut net = Network::new(curves.inputs()[0]);
    for filters in [16, 32, 32] {
        net.push(Conv::new(filters, 5).pad(2).act(Relu));
        net.push(Pool::max(2));
    }
    let curve = net.push(Flatten::new());
    let facts = net.input("facts", Extent::flat(FACTS));
    let both = net.add(Merge::concat(), &[curve, facts]);
    let hidden = net.add(Dense::new(64).act(Relu), &[both]);
    net.add(Dense::new(1).init(Init::Normal(0.01)), &[hidden]);
    net
}
