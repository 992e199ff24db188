//! Light curves of stars, some with a planet that transits, others with what is taken for one.
//!
//! Twenty days at half an hour, in units of the white noise. Every star has red noise (an Ornstein-Uhlenbeck process) and some turn with spots. A planet takes
//! off, at the distance ζ of its centre from the star's in stellar radii,
//!
//! ```text
//! δ (1 − u(1 − √(1 − ζ²)))/(1 − u/3) · [the share of the planet that is on the disc]
//! ```
//!
//! which is the linear law of limb darkening for a small planet. Half of the others are eclipsing binaries (deep and V-shaped, with a secondary eclipse and
//! tides), pulsating or spotted stars; the rest are quiet.

use super::generate;
use kamacite::data::Samples;
use kamacite::rng::Stream;
use kamacite::{Extent, Result};
use std::f64::consts::TAU;

/// Measurements a day.
pub const PER_DAY: f64 = 48.0;
const POINTS: usize = 960;

/// `n` light curves, every other one with a planet.
///
/// # Shapes
/// 960x1; class 1 has transits.
///
/// # Units
/// The standard deviation of the white noise.
///
/// # Errors
/// No stars.
pub fn transits(n: usize, seed: u64) -> Result<Samples> {
    let extent = Extent::line(POINTS, 1);
    let (x, t) = generate(n, extent, seed, |i, r, x| {
        let mut flux = noise(r);
        match (i % 2, r.uniform()) {
            (1, _) => planet(&mut flux, r),
            (_, u) if u < 0.35 => binary(&mut flux, r),
            (_, u) if u < 0.7 => variable(&mut flux, r),
            _ => {}
        }
        x.iter_mut().zip(flux).for_each(|(x, f)| *x = f as f32);
        (i % 2) as u32
    });
    Ok(Samples::new(extent, x)?.with_classes(t, 2)?.with_class_names(["none", "planet"]))
}

/// White and red noise, and the slow turn of a spotted star.
fn noise(r: &mut Stream) -> Vec<f64> {
    let (size, memory) = (r.between(0.0, 1.2), PER_DAY * libm::exp(r.between(libm::log(0.08), libm::log(1.5))));
    let keep = libm::exp(-1.0 / memory);
    let kick = size * libm::sqrt(1.0 - keep * keep);
    let spots = if r.uniform() < 0.4 { r.between(1.0, 8.0) } else { 0.0 };
    let (turn, phase) = (PER_DAY * r.between(5.0, 20.0), r.between(0.0, TAU));
    let mut red = size * r.normal();
    (0..POINTS)
        .map(|i| {
            red = keep * red + kick * r.normal();
            red + r.normal() + spots * libm::sin(TAU * i as f64 / turn + phase)
        })
        .collect()
}

/// A period in measurements, and when the first event is.
fn clock(r: &mut Stream) -> (f64, f64) {
    let period = PER_DAY * libm::exp(r.between(0.0, libm::log(7.0)));
    (period, period * r.uniform())
}

/// Distance in time from the nearest event of a period.
fn from_event(i: usize, (period, first): (f64, f64)) -> f64 {
    let cycles = (i as f64 - first) / period;
    period * (cycles - libm::round(cycles))
}

fn planet(flux: &mut [f64], r: &mut Stream) {
    let clock = clock(r);
    // A circular orbit about stars of all sizes: three hours at three days, within a factor.
    let half = 0.5 * PER_DAY * 3.0 / 24.0 * libm::cbrt(clock.0 / (3.0 * PER_DAY)) * libm::exp(0.25 * r.normal());
    let (impact, small, limb) = (r.between(0.0, 0.85), r.between(0.02, 0.12), r.between(0.3, 0.7));
    let chord = libm::sqrt(1.0 - impact * impact);
    let inside = flux.len() as f64 * 2.0 * half * chord / clock.0;
    // The depth that gives this signal-to-noise against white noise.
    let depth = libm::exp(r.between(libm::log(6.0), libm::log(40.0))) / libm::sqrt(inside.max(1.0));
    for (i, f) in flux.iter_mut().enumerate() {
        let along = from_event(i, clock) / half;
        let zeta = libm::sqrt(along * along + impact * impact);
        let on = ((1.0 + small - zeta) / (2.0 * small)).clamp(0.0, 1.0);
        let mu = libm::sqrt((1.0 - zeta * zeta).max(0.0));
        *f -= depth * on * (1.0 - limb * (1.0 - mu)) / (1.0 - limb / 3.0);
    }
}

fn binary(flux: &mut [f64], r: &mut Stream) {
    let clock = clock(r);
    let half = PER_DAY * r.between(0.03, 0.15) * libm::cbrt(clock.0 / (3.0 * PER_DAY));
    let depth = libm::exp(r.between(libm::log(1.0), libm::log(40.0)));
    let (second, tides) = (depth * r.between(0.05, 1.0), if r.uniform() < 0.5 { depth * r.between(0.0, 0.1) } else { 0.0 });
    for (i, f) in flux.iter_mut().enumerate() {
        let v = |t: f64| (1.0 - t.abs() / half).max(0.0);
        let t = from_event(i, clock);
        let other = from_event(i, (clock.0, clock.1 + 0.5 * clock.0));
        *f -= depth * v(t) + second * v(other) + tides * libm::cos(2.0 * TAU * t / clock.0);
    }
}

fn variable(flux: &mut [f64], r: &mut Stream) {
    let size = libm::exp(r.between(libm::log(0.5), libm::log(15.0)));
    let period = PER_DAY * libm::exp(r.between(libm::log(0.25), libm::log(6.0)));
    let waves: Vec<_> = (1..4).map(|k| (f64::from(k), size * r.uniform() / f64::from(k), r.between(0.0, TAU))).collect();
    for (i, f) in flux.iter_mut().enumerate() {
        *f += waves.iter().map(|(k, a, phase)| a * libm::sin(k * TAU * i as f64 / period + phase)).sum::<f64>();
    }
}
