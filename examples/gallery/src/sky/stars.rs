//! Spectra of stars as a spectrograph hands them over: counts, not shapes.
//!
//! [`synth::spectra`] in bins of eight pixels, each spectrum at the brightness of its star: the mean is log-uniform over one and a half
//! decades, as between magnitudes 15 and 18.7.

use kamacite::data::{Dataset, Samples, synth};
use kamacite::rng::{Purpose, Stream};
use kamacite::{Extent, Result};

/// Pixels of the generator in a bin.
const BIN: usize = 8;
/// Bins of a spectrum: 3465 to 9470 Å in steps of 12.8 Å.
pub const BINS: usize = 469;

/// `n` spectra of the classes O, B, A, F, G, K, M in turn.
///
/// # Units
/// Electrons in a bin, means of 100 to 3000.
///
/// # Errors
/// No spectra, or more than memory holds.
pub fn stars(n: usize, seed: u64) -> Result<Samples> {
    let classes: Vec<u32> = (0..n).map(|i| (i % 7) as u32).collect();
    let shapes = synth::spectra(&classes, seed)?;
    let mut x = Vec::with_capacity(n * BINS);
    for (i, shape) in shapes.x(0).chunks_exact(shapes.inputs()[0].len()).enumerate() {
        let bins = shape.chunks_exact(BIN).map(|pixels| f64::from(pixels.iter().sum::<f32>()));
        let mean = bins.clone().sum::<f64>() / BINS as f64;
        let brightness = libm::pow(10.0, Stream::new(seed, Purpose::User, i as u64).between(2.0, 3.5));
        x.extend(bins.map(|flux| (flux / mean * brightness) as f32));
    }
    Ok(Samples::new(Extent::line(BINS, 1), x)?.with_classes(classes, 7)?.with_class_names(shapes.class_names()))
}
