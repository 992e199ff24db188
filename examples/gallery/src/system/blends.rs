//! The fluxes of two galaxies that lie over each other, straight from the pixels (BO3).
//!
//! cargo run --release -p kamacite-gallery -- blends      (25 s of one core)
//!
//! 48×48 stamps in g and r: a galaxy in the middle, and a fainter one (flux ratio 0.1 to 1) at 0.5 to 2 half-light radii; Sérsic profiles, disc and
//! bulge, seeing that varies, the noise of sky and source. Four convolutions of 16 to 64 filters with ReLU and pooling, dense 64 and 2, trained on the
//! logarithms of the fluxes, standardised: 69 746 parameters; Adam 10⁻³ with a cosine, batch 32, 12 epochs, 6000 blends to train, 2000 to judge.
//! Errors are magnitudes: the bias and the scatter (1.4826 MAD) of each galaxy, and the share of companions wrong by more than half a magnitude.
//! `--data DIR`: `blends-x.npy` (n, 48, 48, 2) and `blends-t.npy` (n, 2), of which a quarter judges.
//!
//! | | the mean (chance) | linear | the same network in PyTorch | here |
//! |---|---|---|---|---|
//! | scatter of the first | 1.11 | 0.183 | 0.140 to 0.149 | 0.145 to 0.153 |
//! | scatter of the companion | 1.18 | 0.446 | 0.295 to 0.310 | 0.280 to 0.304 |
//! | companions off by > 0.5 | 66.9 % | 29.5 % | 12.3 to 13.3 % | 12.1 to 13.1 % |

use crate::options::Options;
use crate::sky;
use kamacite::data::{Normalizer, Rule, Samples, Scope, npy};
use kamacite::metrics::Residuals;
use kamacite::plot::{Labels, scatter};
use kamacite::*;

/// Trains and judges.
pub fn run(o: &Options) -> Result<()> {
    let two = Extent::flat(2);
    let all = match &o.data {
        Some(folder) => {
            let logs = npy::read(folder.join("blends-t.npy"))?.samples()?.x(0).to_vec();
            npy::read(folder.join("blends-x.npy"))?.samples()?.with_values(two, logs)?
        }
        None => sky::blends(if o.smoke { 240 } else { 8000 }, 1)?,
    };
    let (mut train, mut test) = all.split(all.len() * 3 / 4)?;
    let truth = test.t(0).unwrap_or_default().to_vec();
    let logs = Normalizer::fit(two, train.t(0).unwrap_or_default(), &[Rule::Standard(Scope::Feature)])?;
    for part in [&mut train, &mut test] {
        logs.apply(part.t_mut(0).unwrap_or_default())?;
    }
    let mut t = Trainer::builder(network(&train), Mse, Adam::new(1e-3))
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .schedule(Schedule::cosine(o.epochs, 0.0).per_epoch())
        .data(train, Some(test.clone()))
        .build()?;
    o.show_profile(|| t.profile())?;
    t.fit(o.epochs, &mut Progress::default())?;
    let mut found = t.model_mut().predict_data(test, 250, Mode::Infer)?;
    logs.undo(&mut found)?;
    let magnitudes = |logs: &[f32], galaxy: usize| logs.iter().skip(galaxy).step_by(2).map(|l| -2.5 * l).collect::<Vec<_>>();
    let of = |galaxy: usize| Residuals::of(&magnitudes(&found, galaxy), &magnitudes(&truth, galaxy));
    let (first, second) = (of(0)?, of(1)?);
    let labels = Labels::new("companions", "true magnitude", "predicted magnitude");
    scatter(o.file("blends.svg")?, &magnitudes(&truth, 1), &magnitudes(&found, 1), labels)?;
    println!(
        "RESULT bias={:.4},{:.4} scatter={:.4},{:.4} outliers={:.4},{:.4}",
        first.bias(),
        second.bias(),
        first.normalised_mad(),
        second.normalised_mad(),
        first.outliers(0.5),
        second.outliers(0.5)
    );
    Ok(())
}

fn network(stamps: &Samples) -> Network {
    let mut net = Network::new(stamps.inputs()[0]);
    for filters in [16, 32, 32, 64] {
        net.push(Conv::new(filters, 3).pad(1).act(Relu));
        net.push(Pool::max(2));
    }
    net.push(Dense::new(64).act(Relu));
    net.push(Dense::new(2).init(Init::Normal(0.01)));
    net
}
