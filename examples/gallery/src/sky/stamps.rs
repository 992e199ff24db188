//! Stamps of five kinds in one band: spiral, elliptical, irregular, merger, artifact (recipes G3 and G8).
//!
//! ```text
//! Sérsic   I = I_e exp(−b [(r/r_e)^(1/n) − 1]),  b = 2n − 1/3 + 4/(405n) + 46/(25515n²)
//! spiral   exp(−r/h) (0.2 + 1.3 exp(3 [cos(m(θ − ln(r/h)/tan p)) − 1])) and a bulge
//! ```
//!
//! Sizes are shares of the stamp, so that stamps of every size show the same sky; galaxies lie anywhere in its middle.

use super::field;
use super::frames::{Night, starfield};
use kamacite::data::Samples;
use kamacite::rng::Stream;
use kamacite::{Extent, Result};
use std::f64::consts::{PI, TAU};

/// What a stamp may show.
pub const KINDS: [&str; 5] = ["spiral", "elliptical", "irregular", "merger", "artifact"];

/// Fills a square stamp with the kind of this number in [`KINDS`].
///
/// # Units
/// Counts over a background of 100 with a noise of 10.
pub fn stamp(kind: usize, x: &mut [f32], r: &mut Stream) {
    let side = x.len().isqrt();
    let s = side as f64;
    // Near and far, and rarely in the middle: a brightness at a place tells little.
    let mut light = Stamp { side, scale: s * r.between(0.6, 1.4), light: vec![0.0; side * side] };
    let centre = (s * r.between(0.3, 0.7), s * r.between(0.3, 0.7));
    match kind {
        0 => light.spiral(centre, r),
        1 => light.elliptical(centre, r),
        2 => light.irregular(centre, r),
        3 => light.merger(centre, r),
        _ => light.artifact(centre, r),
    }
    light.stars(r);
    let seen = field::smoothed(&light.light, [1, side, side], 0.005 * s + 0.4);
    for (x, seen) in x.iter_mut().zip(seen) {
        let seen = f64::from(seen.max(0.0));
        *x = (100.0 + seen + libm::sqrt(100.0 + seen) * r.normal()) as f32;
    }
}

/// `n` stamps of `side`² pixels, the kinds in turn.
///
/// # Errors
/// No stamps, or more than memory holds.
pub fn stamps(side: usize, n: usize, seed: u64) -> Result<Samples> {
    let extent = Extent::image(side, side, 1);
    let (x, t) = super::generate(n, extent, seed, |i, r, x| {
        stamp(i % 5, x, r);
        (i % 5) as u32
    });
    Ok(Samples::new(extent, x)?.with_classes(t, 5)?.with_class_names(KINDS))
}

struct Stamp {
    side: usize,
    /// What sizes are shares of.
    scale: f64,
    light: Vec<f32>,
}

impl Stamp {
    /// Adds a brightness that depends on the place relative to a centre, turned by an angle and stretched by 1/q across it.
    fn add(&mut self, (cx, cy): (f64, f64), angle: f64, q: f64, brightness: impl Fn(f64, f64) -> f64) {
        let (sin, cos) = (libm::sin(angle), libm::cos(angle));
        for (i, light) in self.light.iter_mut().enumerate() {
            let (dx, dy) = ((i % self.side) as f64 - cx, (i / self.side) as f64 - cy);
            *light += brightness(dx * cos + dy * sin, (dy * cos - dx * sin) / q) as f32;
        }
    }

    fn sersic(&mut self, centre: (f64, f64), (angle, q): (f64, f64), (at_re, re, n): (f64, f64, f64)) {
        let b = 2.0 * n - 1.0 / 3.0 + 4.0 / (405.0 * n) + 46.0 / (25_515.0 * n * n);
        // Softened by half a pixel: stands for the mean over the central pixel, where a cuspy profile has no value.
        let radius = |u: f64, v: f64| libm::sqrt(u * u + v * v + 0.25) / re;
        self.add(centre, angle, q, |u, v| at_re * libm::exp(-b * (libm::pow(radius(u, v), 1.0 / n) - 1.0)));
    }

    fn elliptical(&mut self, centre: (f64, f64), r: &mut Stream) {
        let pose = (r.between(0.0, PI), r.between(0.55, 1.0));
        let re = self.scale * r.between(0.05, 0.12);
        self.sersic(centre, pose, (r.between(10.0, 50.0), re, r.between(1.5, 4.0)));
    }

    fn spiral(&mut self, centre: (f64, f64), r: &mut Stream) {
        let (angle, q) = (r.between(0.0, PI), r.between(0.55, 1.0));
        let (h, peak) = (self.scale * r.between(0.07, 0.12), r.between(60.0, 200.0));
        let (m, phase) = ((2 + r.below(3)) as f64, r.between(0.0, TAU));
        let wind = if r.uniform() < 0.5 { 1.0 } else { -1.0 } / libm::tan(r.between(12.0, 28.0).to_radians());
        self.add(centre, angle, q, |u, v| {
            let rho = libm::sqrt(u * u + v * v + 0.25) / h;
            let arm = libm::cos(m * (libm::atan2(v, u) - phase - wind * libm::log(rho))) - 1.0;
            peak * libm::exp(-rho) * (0.2 + 1.3 * libm::exp(3.0 * arm))
        });
        self.sersic(centre, (angle, q), (peak * r.between(0.3, 1.0), 0.3 * h, r.between(1.5, 4.0)));
    }

    fn blob(&mut self, centre: (f64, f64), peak: f64, sigma: f64) {
        self.add(centre, 0.0, 1.0, |u, v| peak * libm::exp(-0.5 * (u * u + v * v) / (sigma * sigma)));
    }

    fn irregular(&mut self, (cx, cy): (f64, f64), r: &mut Stream) {
        let s = self.scale;
        for _ in 0..5 + r.below(7) {
            let at = (cx + s / 12.0 * r.normal(), cy + s / 12.0 * r.normal());
            self.blob(at, r.between(20.0, 90.0), s * r.between(1.0 / 60.0, 1.0 / 14.0));
        }
    }

    /// A spiral and an elliptical side by side, with an arc around both.
    fn merger(&mut self, (cx, cy): (f64, f64), r: &mut Stream) {
        let s = self.scale;
        let (d, angle, from) = (s * r.between(1.0 / 12.0, 1.0 / 6.0), r.between(0.0, TAU), r.between(-2.0, 2.0));
        let (dx, dy) = (d * libm::cos(angle), d * libm::sin(angle));
        self.spiral((cx + dx, cy + dy), r);
        self.elliptical((cx - dx, cy - dy), r);
        self.add((cx, cy), angle, 1.0, |u, v| {
            let off = (libm::sqrt(u * u + v * v) - 1.5 * d) / (s / 40.0);
            if libm::atan2(v, u) > from { 40.0 * libm::exp(-0.5 * off * off) } else { 0.0 }
        });
    }

    /// Stars, and the trail of a satellite.
    fn artifact(&mut self, centre: (f64, f64), r: &mut Stream) {
        let night = Night { fwhm: 2.5, ..Night::default() };
        let stars = starfield([self.side; 2], 15, night, r);
        self.light.iter_mut().zip(stars).for_each(|(x, star)| *x += star);
        let half = 0.008 * self.side as f64;
        self.add(centre, r.between(0.0, PI), 1.0, |_, v| if v.abs() < half { 300.0 } else { 0.0 });
    }

    /// Stars of the foreground.
    fn stars(&mut self, r: &mut Stream) {
        let s = self.side as f64;
        for _ in 0..r.poisson(2.0) as usize {
            let (at, peak) = ((r.between(0.0, s), r.between(0.0, s)), r.between(50.0, 500.0));
            self.blob(at, peak, 0.006 * s);
        }
    }
}
