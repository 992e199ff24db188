//! Small problems: a regression on one number, clusters of points, a distribution with eight modes.

use crate::rng::Stream;
use std::f64::consts::TAU;

/// The blue/red flux ratio of a black body and its temperature in kelvin.
///
/// ratio = ∫ B_λ(T) S_B dλ / ∫ B_λ(T) S_R dλ, Gaussian bands around 4400 Å (σ 400) and 6500 Å (σ 600), 2.3 % photometric error.
pub(super) fn star(r: &mut Stream) -> (f64, f64) {
    let t = libm::exp(r.between(libm::log(3500.0), libm::log(12_000.0)));
    let (mut blue, mut red) = (0.0, 0.0);
    // Both bands are below 1e-5 of their peaks outside of this range.
    for i in 0..=360 {
        let lambda = 2300.0 + 20.0 * f64::from(i);
        let band = |at: f64, sigma: f64| libm::exp(-0.5 * (lambda - at) * (lambda - at) / (sigma * sigma));
        let planck = libm::pow(lambda / 5500.0, -5.0) / libm::expm1(1.438_777e8 / (lambda * t));
        blue += planck * band(4400.0, 400.0);
        red += planck * band(6500.0, 600.0);
    }
    (blue / red * libm::pow(10.0, 0.01 * r.normal()), t)
}

/// Means and widths along x, y, z of the k-means exercise's clusters; the fifth lies over the fourth and shows in z alone.
const CLUSTERS: [([f64; 3], [f64; 3]); 5] = [
    ([0.0, 0.7, 0.1], [0.1, 0.2, 0.04]),
    ([0.4, 0.1, 0.1], [0.1, 0.1, 0.02]),
    ([1.2, 0.4, 0.1], [0.05, 0.1, 0.1]),
    ([0.4, 1.2, 0.1], [0.1, 0.07, 0.08]),
    ([0.4, 1.2, 0.8], [0.1, 0.1, 0.1]),
];

/// Clusters of the exercise in two or three dimensions.
pub(super) fn cluster_count(dimensions: usize) -> usize {
    dimensions + 2
}

pub(super) fn clustered(class: u32, r: &mut Stream, x: &mut [f32]) {
    let (mean, width) = CLUSTERS[class as usize];
    x.iter_mut().zip(mean).zip(width).for_each(|((x, m), w)| *x = (m + w * r.normal()) as f32);
}

/// A point near mode `class` of eight on a circle.
pub(super) fn on_ring(class: u32, radius: f64, sigma: f64, r: &mut Stream, x: &mut [f32]) {
    let angle = TAU * f64::from(class) / 8.0;
    let centre = [radius * libm::cos(angle), radius * libm::sin(angle)];
    x.iter_mut().zip(centre).for_each(|(x, c)| *x = (c + sigma * r.normal()) as f32);
}
