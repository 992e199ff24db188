//! Redshifts of galaxies from five-band stamps, as densities (BO6, in the manner of Pasquet et al. 2019).
//!
//! cargo run --release -p kamacite-gallery -- photoz      (20 s of one core)
//!
//! 32×32 stamps in u, g, r, i, z (published: 64×64) of galaxies at 0.01 < z < 0.4, and the reddening E(B−V) by the Milky Way as a second input, which
//! meets the first after the convolutions. One convolution of 16 filters of 5×5, two inception blocks (1×1, 3×3, 5×5 and pooling side by side), dense
//! 128, and a softmax over 180 bins: 225 884 parameters; Adam 10⁻³ with a cosine, batch 32, 10 epochs, 5000 galaxies to train, 2000 to judge.
//! The redshift is the mean of the density; its error is Δz/(1+z), an outlier is off by more than 0.05; the continuous ranked probability score
//! judges the whole density, and the probability integral transform should be flat: its deviation is the scatter of ten equal bins about their mean.
//! `--data DIR`: `photoz-x.npy` (n, 32, 32, 5), `photoz-x1.npy` (n, 1), `photoz-t.npy` (n redshifts).
//!
//! | seeds 1 to 10 | all at the mean (chance) | linear | the same network in PyTorch | here |
//! |---|---|---|---|---|
//! | σ_MAD | 0.0769 | 0.0415 | 0.0338 to 0.0348 | 0.0338 to 0.0353 |
//! | outliers | 53.7 % | 20.2 % | 13.9 to 15.4 % | 14.3 to 15.2 % |
//! | CRPS | 0.0490 | 0.0404 (the absolute error) | 0.0242 to 0.0247 | 0.0243 to 0.0247 |

use crate::options::Options;
use crate::sky;
use kamacite::data::{Samples, npy};
use kamacite::metrics::{Residuals, crps, pit};
use kamacite::plot::{Labels, histogram, scatter};
use kamacite::*;

/// Bins of a density.
const BINS: usize = 180;

/// Trains and judges.
pub fn run(o: &Options) -> Result<()> {
    let (all, z) = galaxies(o)?;
    let (train, test) = all.split(all.len() * 5 / 7)?;
    let z = &z[train.len()..];
    let mut t = Trainer::builder(network(&train), SoftmaxCrossEntropy, Adam::new(1e-3))
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .schedule(Schedule::cosine(o.epochs, 0.0).per_epoch())
        .data(train, Some(test.clone()))
        .build()?;
    o.show_profile(|| t.profile())?;
    t.fit(o.epochs, &mut Progress::default())?;
    let density = t.model_mut().predict_data(test, 250, Mode::Infer)?;
    let edges: Vec<f64> = (0..=BINS).map(|k| sky::FARTHEST * k as f64 / BINS as f64).collect();
    let mean = |row: &[f32]| row.iter().zip(&edges).map(|(p, e)| f64::from(*p) * (e + 0.5 * edges[1])).sum::<f64>() as f32;
    let found: Vec<f32> = density.chunks_exact(BINS).map(mean).collect();
    let r = Residuals::redshift(&found, z)?;
    let transform = pit(&density, &edges, z)?;
    scatter(o.file("photoz.svg")?, z, &found, Labels::new("redshifts", "true z", "photometric z"))?;
    histogram(o.file("photoz_pit.svg")?, &[("test galaxies", &transform[..])], 20, Labels::new("", "F(z)", "galaxies"))?;
    println!(
        "RESULT bias={:.5} sigma_mad={:.5} outliers={:.4} crps={:.5} pit_deviation={:.3}",
        r.bias(),
        r.normalised_mad(),
        r.outliers(0.05),
        crps(&density, &edges, z)?,
        deviation(&transform)
    );
    Ok(())
}

/// Scatter of the counts in ten equal bins of 0..1, over their mean.
fn deviation(transform: &[f64]) -> f64 {
    let mut counts = [0.0; 10];
    transform.iter().for_each(|f| counts[((10.0 * f) as usize).min(9)] += 10.0 / transform.len() as f64);
    libm::sqrt(counts.iter().map(|c| (c - 1.0) * (c - 1.0)).sum::<f64>() / 10.0)
}

/// Stamps with reddenings and bins of redshift, and the redshifts.
fn galaxies(o: &Options) -> Result<(Samples, Vec<f32>)> {
    let sky = match &o.data {
        Some(folder) => {
            let read = |what: &str| npy::read(folder.join(format!("photoz-{what}.npy")))?.samples();
            let reddening = read("x1")?.x(0).to_vec();
            read("x")?.with_input(Extent::flat(1), reddening)?.with_values(Extent::flat(1), read("t")?.x(0).to_vec())?
        }
        None => sky::photoz(if o.smoke { 210 } else { 7000 }, 1)?,
    };
    let z = sky.t(0).unwrap_or_default().to_vec();
    let bins = z.iter().map(|z| ((f64::from(*z) / sky::FARTHEST * BINS as f64).max(0.0) as u32).min(BINS as u32 - 1)).collect();
    let stamps = Samples::new(sky.inputs()[0], sky.x(0).to_vec())?.with_input(Extent::flat(1), sky.x(1).to_vec())?;
    Ok((stamps.with_classes(bins, BINS)?, z))
}

fn network(stamps: &Samples) -> Network {
    let mut net = Network::new(stamps.inputs()[0]);
    net.push(Conv::new(16, 5).pad(2).act(Relu));
    let mut x = net.push(Pool::max(2));
    for [one, before3, three, before5, five, pooled] in [[16, 16, 24, 8, 8, 8], [24, 24, 32, 8, 16, 16]] {
        let a = net.add(Conv::new(one, 1).act(Relu), &[x]);
        let b = net.add(Conv::new(before3, 1).act(Relu), &[x]);
        let b = net.add(Conv::new(three, 3).pad(1).act(Relu), &[b]);
        let c = net.add(Conv::new(before5, 1).act(Relu), &[x]);
        let c = net.add(Conv::new(five, 5).pad(2).act(Relu), &[c]);
        let d = net.add(Pool::average(3).stride(1).pad(1), &[x]);
        let d = net.add(Conv::new(pooled, 1).act(Relu), &[d]);
        let all = net.add(Merge::concat(), &[a, b, c, d]);
        x = net.add(Pool::average(2), &[all]);
    }
    let light = net.add(Flatten::new(), &[x]);
    let dust = net.input("reddening", Extent::flat(1));
    let both = net.add(Merge::concat(), &[light, dust]);
    let hidden = net.add(Dense::new(128).act(Relu), &[both]);
    net.add(Dense::new(BINS).init(Init::Normal(0.01)), &[hidden]);
    net
}
