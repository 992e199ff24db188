//! Data sets that are made here.

use super::{give, kmc_dataset, samples};
use crate::entry::{count, entry, output, slice, text};
use crate::status::kmc_status;
use kamacite::data::{points, synth};
use std::ffi::c_char;

/// Stamps of galaxies of five shapes in turn (elliptical, spiral, barred, edge-on, merger), 48 x 48 x 3.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_make_galaxies(out: *mut *mut kmc_dataset, n: i64, seed: u64) -> kmc_status {
    entry("kmc_dataset_make_galaxies", || {
        // SAFETY: the crate's contract.
        give(unsafe { output(out, "out") }?, synth::galaxies(count(n, "n")?, seed)?)
    })
}

/// Handwritten digits, 0 to 9 in turn, 28 x 28 x 1, in 0 to 1; easier than MNIST, whose accuracies they do not stand for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_make_digits(out: *mut *mut kmc_dataset, n: i64, seed: u64) -> kmc_status {
    entry("kmc_dataset_make_digits", || {
        // SAFETY: the crate's contract.
        give(unsafe { output(out, "out") }?, synth::digits(count(n, "n")?, seed)?)
    })
}

/// Stellar spectra of 3753 pixels, one of each class in `classes` (0 to 6: O B A F G K M).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_make_spectra(
    out: *mut *mut kmc_dataset,
    classes: *const i32,
    n: i64,
    seed: u64,
) -> kmc_status {
    entry("kmc_dataset_make_spectra", || {
        // SAFETY: the crate's contract.
        let (out, classes) = unsafe { (output(out, "out")?, slice(classes, n, "classes")?) };
        give(out, synth::spectra(crate::entry::classes(classes, "classes")?, seed)?)
    })
}

/// Stars: the ratio of blue to red flux, and the temperature to be predicted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_make_stars(out: *mut *mut kmc_dataset, n: i64, seed: u64) -> kmc_status {
    entry("kmc_dataset_make_stars", || {
        // SAFETY: the crate's contract.
        give(unsafe { output(out, "out") }?, synth::stars(count(n, "n")?, seed)?)
    })
}

/// Points around four centres in 2 dimensions, or five in 3: the k-means exercise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_make_clusters(out: *mut *mut kmc_dataset, n: i64, dimensions: i64, seed: u64) -> kmc_status {
    entry("kmc_dataset_make_clusters", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        give(out, synth::clusters(count(n, "n")?, count(dimensions, "dimensions")?, seed)?)
    })
}

/// Points on eight spots of a circle, each scattered by `sigma`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_make_ring(out: *mut *mut kmc_dataset, n: i64, sigma: f64, seed: u64) -> kmc_status {
    entry("kmc_dataset_make_ring", || {
        // SAFETY: the crate's contract.
        give(unsafe { output(out, "out") }?, synth::ring(count(n, "n")?, sigma, seed)?)
    })
}

/// Writes input 0 in the layout of `kmc_dataset_read_points`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_write_points(data: *mut kmc_dataset, path: *const c_char) -> kmc_status {
    entry("kmc_dataset_write_points", || {
        // SAFETY: the crate's contract.
        let path = unsafe { text(path, "path") }?;
        Ok(points::write(path, &*samples(data)?)?)
    })
}
