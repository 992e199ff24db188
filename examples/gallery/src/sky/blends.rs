//! Two galaxies in each other's light (G3b).

use super::generate;
use super::light::{Pose, Stamp, around, sersic};
use kamacite::data::Samples;
use kamacite::rng::Stream;
use kamacite::{Extent, Result};

const SIDE: usize = 48;

/// Stamps of `n` blends: a galaxy in the middle, and a fainter one at half to twice its half-light radius; their targets are the logarithms of the
/// two fluxes.
///
/// # Shapes
/// 48x48x2, the bands g and r; two values.
///
/// # Units
/// asinh of the surface brightness over the noise of the sky, divided by 5; log₁₀ of the flux in r over that noise.
///
/// # Errors
/// No stamps.
pub fn blends(n: usize, seed: u64) -> Result<Samples> {
    let extent = Extent::image(SIDE, SIDE, 2);
    let (x, t) = generate(n, extent, seed, |_, r, x| blend(r, x));
    Samples::new(extent, x)?.with_values(Extent::flat(2), t.concat())
}

fn blend(r: &mut Stream, x: &mut [f32]) -> [f32; 2] {
    let bright = r.between(2.6, 3.8);
    let ratio = r.between(0.1, 1.0);
    let logs = [bright, bright + libm::log10(ratio)];
    let re = r.between(2.0, 5.0);
    let places = [(0.3 * r.normal(), 0.3 * r.normal()), around(re * r.between(0.5, 2.0), r)];
    let mut bands = [Stamp::new(SIDE), Stamp::new(SIDE)];
    for (k, (place, log)) in places.into_iter().zip(logs).enumerate() {
        let re = if k == 0 { re } else { re * r.between(0.4, 1.2) };
        // Old and round, or young, flat and with a bulge that is redder than the disc.
        let early = r.uniform() < 0.5;
        let (n, q) = if early { (r.between(2.5, 5.0), r.between(0.55, 1.0)) } else { (1.0, r.between(0.25, 1.0)) };
        let pose = Pose::at(place, q, r);
        let colour = if early { 0.8 + 0.08 * r.normal() } else { 0.45 + 0.1 * r.normal() };
        let bulge = if early { 0.0 } else { r.between(0.0, 0.4) };
        let round = Pose::at(place, 0.5 + 0.5 * q, r);
        for (stamp, colour) in bands.iter_mut().zip([colour, 0.0]) {
            let flux = libm::pow(10.0, log - 0.4 * colour);
            let redder = if colour == 0.0 { 1.0 } else { 0.75 };
            stamp.add_flux(flux * (1.0 - bulge), |x, y| sersic(libm::sqrt(pose.radius(x, y).powi(2) + 0.1), re, n));
            stamp.add_flux(flux * bulge * redder, |x, y| sersic(libm::sqrt(round.radius(x, y).powi(2) + 0.1), 0.4 * re, 2.0));
        }
    }
    let seeing = r.between(2.4, 3.4) / 2.3548;
    for (band, stamp) in bands.iter_mut().enumerate() {
        stamp.blur(seeing);
        let lit = x.iter_mut().skip(band).step_by(2).zip(&stamp.light);
        // The galaxy's own photons add to the noise of the sky, one unit of variance each 20 units of light.
        lit.for_each(|(x, l)| *x = (0.2 * libm::asinh(l + r.normal() * libm::sqrt(1.0 + 0.05 * l))) as f32);
    }
    logs.map(|l| l as f32)
}
