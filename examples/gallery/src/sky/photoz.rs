//! Galaxies in u, g, r, i, z with their redshifts (G6).
//!
//! Redshifts follow z² exp(−(z/0.3)^1.5) below 0.4. The spectrum is a mix of an old population (a black body of 4800 K below a 4000 Å break) in a bulge and a
//! young one (12 000 K, a Balmer break, emission lines) in a disc, so that colours change with the radius; it is redshifted, reddened by the
//! dust of the Milky Way, and summed over the filters. Nearer galaxies are brighter and larger on average.
//!
//! # Source
//! Fukugita et al. 1996 (the filters' middles and widths); Cardelli, Clayton & Mathis 1989, as a power law (dust).

use super::generate;
use super::light::{Pose, Stamp, sersic};
use kamacite::data::Samples;
use kamacite::rng::Stream;
use kamacite::{Extent, Result};

const SIDE: usize = 32;
/// Middle and full width of each filter in Å.
const FILTERS: [(f64, f64); 5] = [(3551.0, 600.0), (4686.0, 1390.0), (6166.0, 1370.0), (7480.0, 1530.0), (8932.0, 950.0)];
/// Depth of the sky in magnitudes of the same light, relative to r.
const SHALLOWER: [f64; 5] = [1.2, 0.0, 0.0, 0.3, 1.2];
/// The largest redshift.
pub const FARTHEST: f64 = 0.4;

/// Stamps of `n` galaxies; the second input is the reddening E(B−V) of the Milky Way in front of them, the target the redshift, 0.01 to [`FARTHEST`].
///
/// # Shapes
/// 32x32x5 and 1; one value. (The published network has 64x64x5.)
///
/// # Units
/// asinh of the surface brightness over the noise of the sky, divided by 5; ten times a magnitude.
///
/// # Errors
/// No galaxies.
pub fn photoz(n: usize, seed: u64) -> Result<Samples> {
    let extent = Extent::image(SIDE, SIDE, 5);
    let (x, drawn) = generate(n, extent, seed, |_, r, x| galaxy(r, x));
    let (z, reddening) = drawn.into_iter().unzip();
    Samples::new(extent, x)?.with_input(Extent::flat(1), reddening)?.with_values(Extent::flat(1), z)
}

fn galaxy(r: &mut Stream, x: &mut [f32]) -> (f32, f32) {
    let z = loop {
        let z = r.between(0.01, FARTHEST);
        // The largest value of z² exp(−(z/0.3)^1.5) is 0.0319, at z = 0.363.
        if r.uniform() * 0.032 < z * z * libm::exp(-libm::pow(z / 0.3, 1.5)) {
            break z;
        }
    };
    let reddening = 0.05 * r.exponential();
    // Low redshift: luminosity distance in units of 1/0.1, and the angle of a length.
    let distance = z * (1.0 + 0.75 * z) / 0.1075;
    let old_share = r.between(0.0, 1.0);
    let flux = 1500.0 * libm::exp(0.5 * r.normal()) / (distance * distance) + 60.0;
    let re = (4.0 * libm::exp(0.3 * r.normal()) * (1.0 + z) * (1.0 + z) / (1.0 + distance)).clamp(0.7, 7.0);
    let (age, form) = (r.normal(), r.between(0.3, 1.0));
    let inner = 3.1 * 0.1 * r.exponential() * (1.0 - old_share);
    let lines = 40.0 * libm::exp(0.6 * r.normal());
    let place = (r.normal(), r.normal());
    let (bulge, disc) = (Pose::at(place, 0.5 + 0.5 * form, r), Pose::at(place, form, r));
    let seeing = r.between(2.2, 3.2) / 2.3548;
    let old = through(z, reddening, 0.0, |l| old(l, age));
    let young = through(z, reddening, inner, |l| young(l, age, lines));
    for band in 0..5 {
        let mut stamp = Stamp::new(SIDE);
        stamp.add_flux(flux * old_share * old[band], |x, y| sersic(libm::hypot(bulge.radius(x, y), 0.3), 0.6 * re, 3.5));
        stamp.add_flux(flux * (1.0 - old_share) * young[band], |x, y| sersic(libm::hypot(disc.radius(x, y), 0.3), re, 1.0));
        stamp.blur(seeing);
        let sky = libm::pow(10.0, 0.4 * SHALLOWER[band]);
        let lit = x.iter_mut().skip(band).step_by(5).zip(&stamp.light);
        lit.for_each(|(x, l)| *x = (0.2 * libm::asinh((l + r.normal() * libm::sqrt(1.0 + 0.02 * l)) / sky)) as f32);
    }
    (z as f32, 10.0 * reddening as f32)
}

/// Fluxes through the filters, that of the same spectrum in r at rest being 1.
fn through(z: f64, reddening: f64, inner: f64, rest: impl Fn(f64) -> f64) -> [f64; 5] {
    let mean = |(middle, width): (f64, f64), z: f64| {
        let of = |k: usize| {
            let l = middle + width * ((k as f64 + 0.5) / 40.0 - 0.5);
            let dust = 3.1 * reddening * libm::pow(5500.0 / l, 1.3) + inner * libm::pow(5500.0 * (1.0 + z) / l, 1.3);
            rest(l / (1.0 + z)) * libm::exp(-0.921 * dust)
        };
        (0..40).map(of).sum::<f64>() / 40.0
    };
    let unit = (0..40).map(|k| rest(FILTERS[2].0 + FILTERS[2].1 * ((k as f64 + 0.5) / 40.0 - 0.5))).sum::<f64>() / 40.0;
    FILTERS.map(|filter| mean(filter, z) / unit)
}

fn planck(l: f64, kelvin: f64) -> f64 {
    libm::pow(l / 5500.0, -4.0) / libm::expm1(1.438_777e8 / (l * kelvin))
}

/// A step of this depth at a wavelength, 60 Å wide.
fn below(l: f64, at: f64, depth: f64) -> f64 {
    1.0 - depth / (1.0 + libm::exp((l - at) / 60.0))
}

fn old(l: f64, age: f64) -> f64 {
    let band = |at: f64, width: f64, depth: f64| 1.0 - depth * libm::exp(-0.5 * (l - at) * (l - at) / (width * width));
    planck(l, 4800.0 - 150.0 * age) * below(l, 4000.0, 0.55 + 0.04 * age) * band(5175.0, 60.0, 0.12) * band(4304.0, 50.0, 0.15)
}

fn young(l: f64, age: f64, lines: f64) -> f64 {
    let line = |at: f64, width: f64| width * lines / 40.0 / 25.0 * libm::exp(-0.5 * (l - at) * (l - at) / 100.0);
    let emission = line(3727.0, 30.0)
        + line(4861.0, 10.0)
        + line(4959.0, 8.0)
        + line(5007.0, 24.0)
        + line(6563.0, 40.0)
        + line(6725.0, 12.0);
    planck(l, 11_000.0 - 900.0 * age) * below(l, 3700.0, 0.35) * (1.0 + emission)
}
