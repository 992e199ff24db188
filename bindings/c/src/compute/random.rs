//! Random numbers and orders, the same for a seed in every language and on every machine.

use crate::entry::{Answer, Fault, copy_out, count, entry, slice_mut};
use crate::status::kmc_status;
use kamacite::Real;
use kamacite::data::split::shuffled;
use kamacite::rng::{Purpose, Stream};

/// A random order of 0 to n - 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_shuffle(order: *mut i64, n: i64, seed: u64) -> kmc_status {
    entry("kmc_shuffle", || {
        // SAFETY: the crate's contract.
        let order = unsafe { slice_mut(order, n, "order") }?;
        let found: Vec<i64> = shuffled(count(n, "n")?, seed).into_iter().map(|i| i as i64).collect();
        copy_out(order, &found, "order")
    })
}

/// # Safety
/// The crate's contract.
unsafe fn fill<T: Real>((x, n): (*mut T, i64), seed: u64, draw: impl Fn(&mut Stream) -> f64) -> Answer {
    // SAFETY: the caller's promise.
    let x = unsafe { slice_mut(x, n, "x") }?;
    let mut r = Stream::new(seed, Purpose::User, 0);
    x.iter_mut().for_each(|x| *x = T::of(draw(&mut r)));
    Ok(())
}

/// # Safety
/// The crate's contract.
unsafe fn uniform<T: Real>(x: (*mut T, i64), low: f64, high: f64, seed: u64) -> Answer {
    if !(low.is_finite() && high.is_finite() && low <= high && (high - low).is_finite()) {
        return Err(Fault::value("low and high", "finite numbers, low not above high", format!("{low} and {high}")));
    }
    // SAFETY: the caller's promise.
    unsafe { fill(x, seed, |r| r.between(low, high)) }
}

/// # Safety
/// The crate's contract.
unsafe fn normal<T: Real>(x: (*mut T, i64), mean: f64, sigma: f64, seed: u64) -> Answer {
    if !(mean.is_finite() && sigma.is_finite() && sigma >= 0.0) {
        return Err(Fault::value("mean and sigma", "finite numbers, sigma at least 0", format!("{mean} and {sigma}")));
    }
    // SAFETY: the caller's promise.
    unsafe { fill(x, seed, |r| mean + sigma * r.normal()) }
}

/// n random numbers, uniform between low and high.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_random_uniform_f32(x: *mut f32, n: i64, low: f64, high: f64, seed: u64) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_random_uniform_f32", || unsafe { uniform((x, n), low, high, seed) })
}

/// As `kmc_random_uniform_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_random_uniform_f64(x: *mut f64, n: i64, low: f64, high: f64, seed: u64) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_random_uniform_f64", || unsafe { uniform((x, n), low, high, seed) })
}

/// n random numbers of a normal distribution.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_random_normal_f32(x: *mut f32, n: i64, mean: f64, sigma: f64, seed: u64) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_random_normal_f32", || unsafe { normal((x, n), mean, sigma, seed) })
}

/// As `kmc_random_normal_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_random_normal_f64(x: *mut f64, n: i64, mean: f64, sigma: f64, seed: u64) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_random_normal_f64", || unsafe { normal((x, n), mean, sigma, seed) })
}
