//! Generated skies: what the systems learn from where the user has no files.
//!
//! Sample i is a function of the seed and of i: the same for every number of samples and of threads.

mod blends;
mod bubbles;
mod field;
mod frames;
mod lenses;
mod light;
mod lightcones;
mod photoz;
mod properties;
mod random_labels;
pub mod sdss;
mod stamps;
mod stars;
mod supernovae;
mod transits;

pub use blends::blends;
pub use bubbles::{bubbles, noisy};
pub use frames::{QUALITIES, frame, frames};
pub use lenses::lenses;
pub use lightcones::{PARAMETERS, lightcones, mean_cone};
pub use photoz::{FARTHEST, photoz};
pub use properties::{NAMES, PLANTED, effect, properties};
pub use random_labels::random_labels;
pub use stamps::{KINDS, stamp, stamps};
pub use stars::stars;
pub use supernovae::{TYPES, supernovae};
pub use transits::{PER_DAY, transits};

use kamacite::data::{Dataset, Samples, npy, synth};
use kamacite::rng::{Purpose, Stream};
use kamacite::{Error, Extent, Result};
use rayon::prelude::*;
use std::ffi::OsString;
use std::path::Path;

/// A sky by name, for [`write()`]: `n` samples of a seed.
type Make = fn(usize, u64) -> Result<Samples>;

/// What `gallery data` can write.
const SKIES: &[(&str, Make)] = &[
    ("bubbles", bubbles),
    ("clusters2d", |n, seed| synth::clusters(n, 2, seed)),
    ("clusters3d", |n, seed| synth::clusters(n, 3, seed)),
    ("frames", frames),
    ("lightcones", |n, seed| lightcones(20, n, seed)),
    ("properties", properties),
    ("sdss", sdss::sdss),
    ("stamps", |n, seed| stamps(64, n, seed)),
    ("stars", stars),
    ("random_labels", random_labels),
    ("blends", blends),
    ("lenses", lenses),
    ("photoz", photoz),
    ("supernovae", supernovae),
    ("transits", |n, seed| crate::system::folded(&transits(n, seed)?)),
    ("digits", synth::digits),
];

/// `NAME NUMBER SEED FOLDER`: writes a sky as `NAME-x.npy` (samples, channels last; further inputs as `NAME-x1.npy` …) and `NAME-t.npy` (classes or
/// values), for other programs.
///
/// # Errors
/// Other arguments; files that cannot be written.
pub fn write(arguments: &[OsString]) -> Result<()> {
    let names = SKIES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("|");
    let usage = || Error::value("gallery data", "arguments").expected(format!("{names} NUMBER SEED FOLDER"));
    let text: Vec<_> = arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let [name, count, seed, folder] = &text[..] else { return Err(usage()) };
    let (n, seed) = (count.parse().map_err(|_| usage())?, seed.parse().map_err(|_| usage())?);
    let (_, make) = SKIES.iter().find(|(known, _)| known == name).ok_or_else(usage)?;
    let samples = make(n, seed)?;
    let file = |what: &str| Path::new(folder).join(format!("{name}-{what}.npy"));
    for (k, e) in samples.inputs().iter().enumerate() {
        let which = if k == 0 { "x".to_string() } else { format!("x{k}") };
        npy::write(file(&which), &[n, e.d, e.h, e.w, e.c], samples.x(k))?;
    }
    match (samples.labels(0), samples.t(0)) {
        (Some(t), _) => npy::write(file("t"), &[n, t.len() / n], t)?,
        (_, Some(t)) => npy::write(file("t"), &[n, t.len() / n], t)?,
        _ => {}
    }
    Ok(())
}

/// `n` samples side by side, each from its own stream; what `draw` returns is the sample's target.
pub fn generate<T: Send>(
    n: usize,
    extent: Extent,
    seed: u64,
    draw: impl Fn(usize, &mut Stream, &mut [f32]) -> T + Sync,
) -> (Vec<f32>, Vec<T>) {
    let mut x = vec![0.0; n * extent.len()];
    let each = x.par_chunks_exact_mut(extent.len().max(1)).enumerate();
    let t = each.map(|(i, x)| draw(i, &mut Stream::new(seed, Purpose::User, i as u64), x)).collect();
    (x, t)
}
