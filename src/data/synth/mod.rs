//! Generated data: galaxies, spectra, digits and small problems, to learn and to test with where no file can be had.
//!
//! Sample i is a function of the seed and of i: the same for every number of samples, of threads, and on every machine.
//!
//! | function | input | target |
//! |---|---|---|
//! | [`galaxies`] | 48x48x3, bands i r g | 5 classes of shape |
//! | [`digits`] | 28x28x1 | 10 digits |
//! | [`spectra`] | 3753x1 | 7 spectral classes |
//! | [`stars`] | blue/red flux ratio | temperature |
//! | [`clusters`] | points in 2 or 3 dimensions | the cluster |
//! | [`ring`] | points in a plane | the mode |

mod digit;
mod galaxy;
mod plane;
mod spectrum;

use super::{Samples, file};
use crate::rng::{Purpose, Stream};
use crate::{Error, Extent, Result};
use rayon::prelude::*;

/// The classes of [`galaxies`].
pub const GALAXY_CLASSES: [&str; 5] = ["elliptical", "spiral", "barred", "edge-on", "merger"];

/// The classes of [`spectra`].
pub const SPECTRAL_CLASSES: [&str; 7] = ["O", "B", "A", "F", "G", "K", "M"];

/// Stamps of galaxies of five shapes, the classes in turn: elliptical, spiral, barred spiral, edge-on disc, merger.
///
/// Sérsic bulges, exponential discs with logarithmic arms, dust and knots, bars, tidal tails, at random angles, sizes,
/// positions (within 5 pixels), colours and fluxes, among stars and faint neighbours; a Moffat point-spread function of 2 to 2.8
/// pixels, the noise of sky and source, and an asinh stretch.
///
/// # Shapes
/// 48x48x3: the bands i, r, g, which display as red, green, blue.
///
/// # Units
/// asinh of the surface brightness: 0 is the sky, 0.04 its noise, 1 saturates.
///
/// # Errors
/// No samples, or more than memory holds.
///
/// # Examples
/// ```
/// use kamacite::data::{Dataset, synth};
/// let stamps = synth::galaxies(10, 1)?;
/// assert_eq!((stamps.inputs()[0].to_string(), stamps.labels(0).unwrap()[6]), ("48x48x3".to_string(), 1));
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn galaxies(n: usize, seed: u64) -> Result<Samples> {
    let extent = Extent::image(galaxy::SIZE, galaxy::SIZE, galaxy::BANDS);
    let x = generate("galaxies", n, extent, seed, |i, r, x| galaxy::stamp(in_turn(i, GALAXY_CLASSES.len()), r, x))?;
    let labels = (0..n).map(|i| in_turn(i, GALAXY_CLASSES.len())).collect();
    Ok(Samples::new(extent, x)?.with_classes(labels, GALAXY_CLASSES.len())?.with_class_names(GALAXY_CLASSES))
}

/// Handwritten digits in the format of MNIST, 0 to 9 in turn; easier than MNIST, whose accuracies they do not stand for.
///
/// # Shapes
/// 28x28x1.
///
/// # Units
/// Eight bits of ink over 255: 0 is paper, 1 is ink.
///
/// # Errors
/// No samples, or more than memory holds.
pub fn digits(n: usize, seed: u64) -> Result<Samples> {
    let extent = Extent::image(digit::SIZE, digit::SIZE, 1);
    let x = generate("digits", n, extent, seed, |i, r, x| digit::draw(in_turn(i, 10), r, x))?;
    Samples::new(extent, x)?.with_classes((0..n).map(|i| in_turn(i, 10)).collect(), 10)
}

/// Optical spectra of stars of these classes, 0 (O) to 6 (M), each divided by its Euclidean norm.
///
/// # Shapes
/// 3753x1.
///
/// # Units
/// Pixel n is the wavelength 3465 + 1.6 n Å; fluxes are near 1/√3753.
///
/// # Errors
/// No samples, a class above 6, or more than memory holds.
pub fn spectra(classes: &[u32], seed: u64) -> Result<Samples> {
    let count = SPECTRAL_CLASSES.len();
    if let Some(i) = classes.iter().position(|&c| c as usize >= count) {
        return Err(Error::value("spectra", format!("class of spectrum {i} is out of range"))
            .expected("0 (O) to 6 (M)")
            .got(classes[i]));
    }
    let (extent, metals) = (Extent::line(spectrum::PIXELS, 1), spectrum::metals());
    let x = generate("spectra", classes.len(), extent, seed, |i, r, x| spectrum::observe(classes[i], &metals, r, x))?;
    Ok(Samples::new(extent, x)?.with_classes(classes.to_vec(), count)?.with_class_names(SPECTRAL_CLASSES))
}

/// The blue/red flux ratio of stars and their temperature: nearly linear from 5000 to 11 000 K, curved outside.
///
/// ratio = ∫ B_λ(T) S_B dλ / ∫ B_λ(T) S_R dλ with Gaussian bands at 4400 and 6500 Å, ln T uniform, 2.3 % error.
///
/// # Units
/// Input: a ratio, 0.2 to 2.9. Target: kelvin, 3500 to 12 000.
///
/// # Errors
/// No samples, or more than memory holds.
pub fn stars(n: usize, seed: u64) -> Result<Samples> {
    let pairs = generate("stars", n, Extent::flat(2), seed, |_, r, x| {
        let (ratio, kelvin) = plane::star(r);
        x.copy_from_slice(&[ratio as f32, kelvin as f32]);
    })?;
    let (ratio, kelvin) = pairs.chunks_exact(2).map(|p| (p[0], p[1])).unzip();
    Samples::new(Extent::flat(1), ratio)?.with_values(Extent::flat(1), kelvin)
}

/// Gaussian clusters to be found by k-means: four in two dimensions, five in three, in turn.
///
/// # Shapes
/// 2 or 3 coordinates.
///
/// # Errors
/// Other dimensions, no samples, or more than memory holds.
pub fn clusters(n: usize, dimensions: usize, seed: u64) -> Result<Samples> {
    if !(2..=3).contains(&dimensions) {
        return Err(Error::value("clusters", "wrong number of dimensions").expected("2 or 3").got(dimensions));
    }
    let count = plane::cluster_count(dimensions);
    let extent = Extent::flat(dimensions);
    let x = generate("clusters", n, extent, seed, |i, r, x| plane::clustered(in_turn(i, count), r, x))?;
    Samples::new(extent, x)?.with_classes((0..n).map(|i| in_turn(i, count)).collect(), count)
}

/// Points around eight modes on a circle of radius 2, in turn: a generator that loses modes shows it here.
///
/// # Shapes
/// 2 coordinates.
///
/// # Errors
/// A width that is not a finite number of at least 0, no samples, or more than memory holds.
pub fn ring(n: usize, sigma: f64, seed: u64) -> Result<Samples> {
    if !(sigma.is_finite() && sigma >= 0.0) {
        return Err(Error::value("ring", "wrong width").expected("a finite number of at least 0").got(sigma));
    }
    let extent = Extent::flat(2);
    let x = generate("ring", n, extent, seed, |i, r, x| plane::on_ring(in_turn(i, 8), 2.0, sigma, r, x))?;
    Samples::new(extent, x)?.with_classes((0..n).map(|i| in_turn(i, 8)).collect(), 8)
}

fn in_turn(i: usize, classes: usize) -> u32 {
    (i % classes) as u32
}

/// `n` samples side by side, each from its own stream.
fn generate(
    place: &str,
    n: usize,
    extent: Extent,
    seed: u64,
    sample: impl Fn(usize, &mut Stream, &mut [f32]) + Sync,
) -> Result<Vec<f32>> {
    let Some(len) = n.checked_mul(extent.len()) else {
        return Err(Error::out_of_memory(place, format!("{n} samples of {extent} are more than can be addressed")));
    };
    let mut x = file::reserve(place, len)?;
    x.resize(len, 0.0);
    x.par_chunks_exact_mut(extent.len()).enumerate().for_each(|(i, x)| {
        sample(i, &mut Stream::new(seed, Purpose::Synth, i as u64), x);
    });
    Ok(x)
}

#[cfg(test)]
mod tests;
