//! Strong lenses and galaxies that only look crowded (G14).
//!
//! A singular isothermal ellipsoid of axis ratio q deflects light, with u along its major axis, v across and f = √(1 − q²), by
//!
//! ```text
//! α = θ_E √q/f · (atan(f u/ψ), atanh(f v/ψ)),  ψ = √(q²u² + v²)
//! ```
//!
//! and conserves surface brightness: a pixel at θ shows the source at θ − α(θ).
//!
//! # Source
//! Kormann, Schneider & Bartelmann 1994.

use super::generate;
use super::light::{Pose, Stamp, sersic};
use kamacite::data::Samples;
use kamacite::rng::Stream;
use kamacite::{Extent, Result};

const SIDE: usize = 64;
/// Arc seconds a pixel.
const PIXEL: f64 = 0.1;

/// Stamps of `n` early-type galaxies, half of them with the arcs of a source behind, the others with up to three companions.
///
/// # Shapes
/// 64x64x1; class 1 is a lens.
///
/// # Units
/// asinh of the surface brightness over 0.3, which is about its noise, divided by 4; a pixel is 0.1 arc seconds.
///
/// # Errors
/// No stamps.
pub fn lenses(n: usize, seed: u64) -> Result<Samples> {
    let extent = Extent::image(SIDE, SIDE, 1);
    let (x, t) = generate(n, extent, seed, |i, r, x| {
        stamp(i % 2 == 1, r, x);
        (i % 2) as u32
    });
    Ok(Samples::new(extent, x)?.with_classes(t, 2)?.with_class_names(["crowded", "lens"]))
}

fn stamp(lens: bool, r: &mut Stream, x: &mut [f32]) {
    let q = r.between(0.6, 0.98);
    let pose = Pose::at((0.0, 0.0), q, r);
    let einstein = r.between(0.8, 2.2);
    let mut stamp = Stamp::new(SIDE);
    let re = r.between(0.6, 1.3);
    stamp.add(|x, y| 3.0 * sersic(PIXEL * pose.radius(x, y) + 0.02, re, 4.0));
    let (size, n) = (r.between(0.12, 0.35), r.between(0.7, 2.0));
    if lens {
        let behind = (0.25 * einstein * r.normal(), 0.25 * einstein * r.normal());
        stamp.add(|x, y| {
            let (u, v) = pose.plane(x, y);
            let (u, v) = (PIXEL * u, PIXEL * v);
            let f = libm::sqrt(1.0 - q * q);
            let psi = libm::sqrt(q * q * u * u + v * v) + 1e-6;
            let scale = einstein * libm::sqrt(q) / f;
            let (du, dv) = (u - scale * libm::atan(f * u / psi) - behind.0, v - scale * libm::atanh(f * v / psi) - behind.1);
            6.0 * sersic(libm::sqrt(du * du + dv * dv) + 0.01, size, n)
        });
    } else {
        for _ in 0..r.below(4) {
            let place = (r.between(-25.0, 25.0), r.between(-25.0, 25.0));
            let (q, bright) = (r.between(0.4, 1.0), r.between(2.0, 8.0));
            let companion = Pose::at(place, q, r);
            stamp.add(|x, y| bright * sersic(PIXEL * companion.radius(x, y) + 0.02, size, n));
        }
    }
    stamp.blur(r.between(2.5, 3.2) / 2.3548);
    let noise = r.between(0.15, 0.5);
    x.iter_mut().zip(&stamp.light).for_each(|(x, l)| *x = (0.25 * libm::asinh((l + noise * r.normal()) / 0.3)) as f32);
}
