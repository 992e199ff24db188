//! Light on a stamp: profiles, positions, the point-spread function.

use kamacite::rng::Stream;
use std::f64::consts::{PI, TAU};

/// One band of a square stamp; places are pixels from its middle, x to the right, y down.
pub(super) struct Stamp {
    side: usize,
    pub light: Vec<f64>,
}

impl Stamp {
    pub fn new(side: usize) -> Self {
        Self { side, light: vec![0.0; side * side] }
    }

    fn map(&self, profile: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let at = |i: usize| i as f64 - 0.5 * (self.side as f64 - 1.0);
        (0..self.side * self.side).map(|i| profile(at(i % self.side), at(i / self.side))).collect()
    }

    /// Adds this surface brightness.
    pub fn add(&mut self, profile: impl Fn(f64, f64) -> f64) {
        let map = self.map(profile);
        self.light.iter_mut().zip(map).for_each(|(l, m)| *l += m);
    }

    /// Adds a component whose pixels sum to `flux`; one that lies outside of the stamp adds nothing.
    pub fn add_flux(&mut self, flux: f64, profile: impl Fn(f64, f64) -> f64) {
        let map = self.map(profile);
        let sum: f64 = map.iter().sum();
        let scale = if sum > 0.0 { flux / sum } else { 0.0 };
        self.light.iter_mut().zip(map).for_each(|(l, m)| *l += scale * m);
    }

    /// Through a Gaussian point-spread function; beyond the edges is no light.
    pub fn blur(&mut self, sigma: f64) {
        let reach = libm::ceil(4.0 * sigma) as usize;
        let mut kernel: Vec<f64> = (0..=2 * reach)
            .map(|k| {
                let d = k as f64 - reach as f64;
                libm::exp(-0.5 * d * d / (sigma * sigma))
            })
            .collect();
        let sum: f64 = kernel.iter().sum();
        kernel.iter_mut().for_each(|k| *k /= sum);
        for step in [1, self.side] {
            let old = std::mem::replace(&mut self.light, vec![0.0; self.side * self.side]);
            for (i, new) in self.light.iter_mut().enumerate() {
                let place = if step == 1 { i % self.side } else { i / self.side };
                for (k, weight) in kernel.iter().enumerate() {
                    let from = place + k;
                    if from >= reach && from < self.side + reach {
                        *new += weight * old[i + k * step - reach * step];
                    }
                }
            }
        }
    }
}

/// Where a galaxy lies, its position angle and axis ratio.
pub(super) struct Pose {
    pub x: f64,
    pub y: f64,
    cos: f64,
    sin: f64,
    q: f64,
}

impl Pose {
    /// At a place, turned at random.
    pub fn at((x, y): (f64, f64), q: f64, r: &mut Stream) -> Self {
        let angle = r.between(0.0, PI);
        Self { x, y, cos: libm::cos(angle), sin: libm::sin(angle), q }
    }

    /// Along the major axis and across.
    pub fn plane(&self, x: f64, y: f64) -> (f64, f64) {
        let (dx, dy) = (x - self.x, y - self.y);
        (dx * self.cos + dy * self.sin, dy * self.cos - dx * self.sin)
    }

    /// The radius of the circle with the area of the ellipse through this place.
    pub fn radius(&self, x: f64, y: f64) -> f64 {
        let (u, v) = self.plane(x, y);
        libm::sqrt(self.q * u * u + v * v / self.q)
    }
}

/// The Sérsic profile, 1 at the half-light radius; Ciotti & Bertin's b.
pub(super) fn sersic(r: f64, re: f64, n: f64) -> f64 {
    let b = 2.0 * n - 1.0 / 3.0 + 4.0 / (405.0 * n) + 46.0 / (25_515.0 * n * n);
    libm::exp(-b * (libm::pow(r / re, 1.0 / n) - 1.0))
}

/// A place on a circle about the middle.
pub(super) fn around(distance: f64, r: &mut Stream) -> (f64, f64) {
    let angle = r.between(0.0, TAU);
    (distance * libm::cos(angle), distance * libm::sin(angle))
}
