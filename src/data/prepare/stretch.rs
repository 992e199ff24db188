//! Steps that change values and leave every one where it is.

use super::{Missing, missing as policies};
use crate::{Error, Extent, Result};

/// Refuses the first value that is NaN or infinite, and says where it is and how many there are.
pub(super) fn refuse_missing(x: &[f32], extent: Extent) -> Result<()> {
    // Without a branch in the loop, which then runs at the speed of memory.
    if x.iter().fold(0, |bad, x| bad | u32::from(!x.is_finite())) == 0 {
        return Ok(());
    }
    let Some(i) = x.iter().position(|x| !x.is_finite()) else { return Ok(()) };
    let count = x.iter().filter(|x| !x.is_finite()).count();
    let Extent { h, w, c, .. } = extent;
    let (column, row, channel) = (i / c % w, i / (c * w) % h, i % c);
    let place = match extent.d {
        1 => format!("row {row}, column {column}, channel {channel}"),
        _ => format!("slice {}, row {row}, column {column}, channel {channel}", i / (c * w * h)),
    };
    let got = if count == x.len() { format!("all {count} missing") } else { format!("{count} of {} missing", x.len()) };
    Err(Error::value(place, x[i])
        .expected("finite values")
        .got(got)
        .hint("begin with Prepare::missing: Zero, Value, Median or Keep"))
}

pub(super) fn missing(policy: Missing, x: &mut [f32], extent: Extent) -> Result<()> {
    match policy {
        Missing::Error => refuse_missing(x, extent),
        policy => policy.treat("sample", x, extent.c),
    }
}

/// The finite values of group g.
fn group(x: &[f32], g: usize, groups: usize) -> impl Iterator<Item = f32> {
    x.iter().skip(g).step_by(groups).copied().filter(|x| x.is_finite())
}

fn each(x: &mut [f32], g: usize, groups: usize, f: impl Fn(f32) -> f32) {
    if groups == 1 {
        return x.iter_mut().for_each(|x| *x = f(*x));
    }
    x.iter_mut().skip(g).step_by(groups).for_each(|x| *x = f(*x));
}

/// Smallest and largest finite value of a group; `None` where there is none.
fn range(x: &[f32], g: usize, groups: usize) -> Option<(f32, f32)> {
    // Comparisons with NaN are false; infinities are put aside.
    let widen = |(low, high): (f32, f32), x: f32| match x.is_finite() {
        true => (if x < low { x } else { low }, if x > high { x } else { high }),
        false => (low, high),
    };
    let start = (f32::INFINITY, f32::NEG_INFINITY);
    let (low, high) = match groups {
        1 => x.iter().copied().fold(start, widen),
        _ => x.iter().skip(g).step_by(groups).copied().fold(start, widen),
    };
    (low <= high).then_some((low, high))
}

pub(super) fn clip(x: &mut [f32], groups: usize, (low, high): (f64, f64), sorted: &mut Vec<f32>) {
    for g in 0..groups {
        sorted.clear();
        sorted.extend(group(x, g, groups));
        if let Some((low, high)) = policies::quantiles(sorted, low, high) {
            each(x, g, groups, |x| {
                if x < low {
                    low
                } else if x > high {
                    high
                } else {
                    x
                }
            });
        }
    }
}

pub(super) fn log(x: &mut [f32], groups: usize) {
    for g in 0..groups {
        if let Some((low, _)) = range(x, g, groups) {
            each(x, g, groups, |x| libm::log1pf(x - low));
        }
    }
}

pub(super) fn asinh(x: &mut [f32], softening: f32) {
    x.iter_mut().for_each(|x| *x = libm::asinhf(*x / softening));
}

pub(super) fn sqrt(x: &mut [f32], softening: f32) {
    // a/(√(1 + a) + 1) = √(1 + a) − 1 without the loss of digits for small a.
    let root = |x: f32| {
        let a = f64::from(x.abs()) / f64::from(softening);
        if a.is_infinite() { x } else { ((a / ((1.0 + a).sqrt() + 1.0)) as f32).copysign(x) }
    };
    x.iter_mut().for_each(|x| *x = root(*x));
}

pub(super) fn min_max(x: &mut [f32], groups: usize, epsilon: f32) {
    for g in 0..groups {
        let Some((low, high)) = range(x, g, groups) else { continue };
        // In double precision: the spread of two finite numbers may be none in single precision, and epsilon may be lost in it.
        let spread = f64::from(high) - f64::from(low) + f64::from(epsilon);
        let factor = if high > low { 1.0 / spread } else { 0.0 };
        let scale = |x: f32| ((f64::from(x) - f64::from(low)) * factor) as f32;
        each(x, g, groups, |x| if factor == 0.0 && x.is_finite() { 0.0 } else { scale(x) });
    }
}

pub(super) fn l2(x: &mut [f32]) {
    let square: f64 = x.iter().filter(|x| x.is_finite()).map(|&x| f64::from(x) * f64::from(x)).sum();
    if square > 0.0 {
        let factor = 1.0 / square.sqrt();
        x.iter_mut().for_each(|x| *x = (f64::from(*x) * factor) as f32);
    }
}
