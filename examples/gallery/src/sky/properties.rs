//! Properties of simulated galaxies and the matter density of their universe, with effects that are known because they are planted.

use kamacite::data::Samples;
use kamacite::rng::{Purpose, Stream};
use kamacite::{Extent, Result};

/// The fourteen columns, standardised logarithms.
pub const NAMES: [&str; 14] = [
    "V max",
    "Z stars",
    "M stars",
    "R total",
    "SFR",
    "σ v",
    "M BH",
    "M gas",
    "M total",
    "Z gas",
    "spin",
    "V peculiar",
    "R stars",
    "R max",
];

/// How many of the columns, from the first, have an effect; in this order of strength.
pub const PLANTED: usize = 7;

/// How much of each column is the common factor, the mass of the galaxy: so much are they correlated.
const COMMON: [f64; 14] = [0.7, 0.4, 0.7, 0.6, 0.3, 0.6, 0.5, 0.6, 0.8, 0.4, 0.1, 0.0, 0.5, 0.6];

/// What column `k` adds to the target, in units of its scatter; 0 for those without effect.
pub fn effect(k: usize, x: f64) -> f64 {
    match k {
        0 => 1.00 * x,
        1 => 0.70 * (x * x - 1.0),
        2 => -0.62 * x,
        3 => 0.55 * libm::tanh(2.0 * x),
        4 => 0.46 * libm::sin(1.3 * x),
        5 => 0.26 * x,
        6 => -0.17 * x,
        _ => 0.0,
    }
}

/// `n` galaxies and the matter density Ω_m of each one's universe: 0.3 + 0.05·(Σ effects + scatter).
///
/// # Units
/// Columns: standard deviations.
///
/// # Errors
/// No galaxies, or more than memory holds.
pub fn properties(n: usize, seed: u64) -> Result<Samples> {
    let (mut x, mut t) = (Vec::with_capacity(14 * n), Vec::with_capacity(n));
    for i in 0..n {
        let mut r = Stream::new(seed, Purpose::User, i as u64);
        let mass = r.normal();
        let row: Vec<f64> = COMMON.iter().map(|c| c * mass + libm::sqrt(1.0 - c * c) * r.normal()).collect();
        let sum: f64 = row.iter().enumerate().map(|(k, x)| effect(k, *x)).sum();
        t.push((0.3 + 0.05 * (sum + 0.2 * r.normal())) as f32);
        x.extend(row.iter().map(|x| *x as f32));
    }
    Samples::new(Extent::flat(14), x)?.with_values(Extent::flat(1), t)
}
