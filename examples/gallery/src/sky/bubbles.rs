//! Light-cones of the 21 cm line in small: bubbles of ionised hydrogen, more of them at later times, in a clumpy neutral medium.

use super::generate;
use kamacite::data::{Dataset, Samples};
use kamacite::rng::Stream;
use kamacite::{Extent, Result};

/// 16 slices in time of 12 × 12 pixels.
pub const EXTENT: Extent = Extent::cube(16, 12, 12, 1);

/// Radii of the bubbles of each class, in pixels.
const RADII: [f64; 3] = [1.3, 2.0, 3.0];

/// `n` light-cones of small, medium or large bubbles. The ionised share is drawn by itself, so that the mean brightness tells nothing.
///
/// # Units
/// Brightness temperature of the mean neutral medium.
///
/// # Errors
/// No light-cones, or more than memory holds.
pub fn bubbles(n: usize, seed: u64) -> Result<Samples> {
    let (x, t) = generate(n, EXTENT, seed, draw);
    Ok(Samples::new(EXTENT, x)?.with_classes(t, 3)?.with_class_names(["small bubbles", "medium bubbles", "large bubbles"]))
}

/// The same seen through noise of this standard deviation, as a telescope adds it.
///
/// # Errors
/// None.
pub fn noisy(mut samples: Samples, sigma: f64, seed: u64) -> Result<Samples> {
    let len = samples.inputs()[0].len();
    for (i, x) in samples.x_mut(0).chunks_exact_mut(len).enumerate() {
        let mut r = Stream::new(seed, kamacite::rng::Purpose::Augment, i as u64);
        x.iter_mut().for_each(|x| *x += (sigma * r.normal()) as f32);
    }
    Ok(samples)
}

fn draw(_: usize, r: &mut Stream, x: &mut [f32]) -> u32 {
    let class = r.below(3);
    let (radius, ionised) = (RADII[class], r.between(0.2, 0.5));
    let [d, h, w] = EXTENT.space().map(|n| n as f64);
    // Clumps: white noise and its mean over neighbours along a row.
    let noise: Vec<f64> = x.iter().map(|_| 0.25 * r.normal()).collect();
    for (i, x) in x.iter_mut().enumerate() {
        let near = noise[i] + noise[(i + 1) % noise.len()] + noise[(i + noise.len() - 1) % noise.len()];
        *x = (1.0 + near / 1.7) as f32;
    }
    // Bubbles lie at random, so that a share of 1 − exp(−number·volume) is covered.
    let space = (d + 2.0 * radius) * (h + 2.0 * radius) * (w + 2.0 * radius);
    let volume = 4.0 / 3.0 * std::f64::consts::PI * radius * radius * radius;
    let count = r.poisson(-libm::log(1.0 - ionised) * space / volume) as usize;
    for _ in 0..count {
        // Later slices have more.
        let z = libm::sqrt(r.uniform()) * (d + 2.0 * radius) - radius;
        let (y, c) = (r.between(-radius, h + radius), r.between(-radius, w + radius));
        clear(x, [z, y, c], radius);
    }
    class as u32
}

/// No neutral hydrogen in this sphere.
fn clear(x: &mut [f32], middle: [f64; 3], radius: f64) {
    let space = EXTENT.space();
    let range = |k: usize| {
        let from = libm::ceil(middle[k] - radius).max(0.0) as usize;
        from..((libm::floor(middle[k] + radius) + 1.0).max(0.0) as usize).min(space[k])
    };
    let apart = |k: usize, at: usize| (at as f64 - middle[k]) * (at as f64 - middle[k]);
    for d in range(0) {
        for h in range(1) {
            for w in range(2) {
                if apart(0, d) + apart(1, h) + apart(2, w) <= radius * radius {
                    x[(d * space[1] + h) * space[2] + w] = 0.0;
                }
            }
        }
    }
}
