//! Frames of a telescope on good, medium and bad nights (recipe G8).
//!
//! Stars have the profile of Moffat with β = 3, (1 + r²/α²)⁻³, and fluxes N(>f) ∝ f^(−1.1). On a good night the seeing is 2 to 3 pixels and the sky is
//! dark; on a medium one it is 4 to 6, the sky is bright and thin clouds (a field with the amplitude k^(−1.6)) dim the stars; a bad frame has thick
//! clouds, or a telescope that moved by 12 to 30 pixels, or one out of focus. All have photon and read noise, cosmic rays, at times a hot column,
//! and one pixel that is no number.

use super::field;
use kamacite::data::Samples;
use kamacite::rng::Stream;
use kamacite::{Extent, Result};
use std::f64::consts::PI;

/// What a frame may be.
pub const QUALITIES: [&str; 3] = ["good", "medium", "bad"];

/// Electrons for each unit of the detector.
const GAIN: f64 = 1.3;

/// What a field of stars looks like.
#[derive(Clone, Copy, Default)]
pub(super) struct Night {
    /// Width of the seeing in pixels.
    pub fwhm: f64,
    pub background: f64,
    /// Optical depth of the clouds, about.
    pub clouds: f64,
    /// Pixels by which the telescope moved along w, a quarter of it along h.
    pub trail: usize,
    /// Radius of a star out of focus, or 0.
    pub defocus: f64,
}

/// A frame of a quality, its number in [`QUALITIES`].
///
/// # Units
/// Counts of the detector.
pub fn frame(quality: usize, [h, w]: [usize; 2], r: &mut Stream) -> Vec<f32> {
    let night = match quality {
        0 => Night { fwhm: r.between(2.0, 3.0), background: r.between(80.0, 200.0), ..Night::default() },
        1 => Night {
            fwhm: r.between(4.0, 6.0),
            background: r.between(250.0, 600.0),
            clouds: r.between(0.2, 0.6),
            ..Night::default()
        },
        _ => {
            let bad = Night { fwhm: 4.0, background: r.between(300.0, 1500.0), ..Night::default() };
            match r.below(3) {
                0 => Night { clouds: 3.0, ..bad },
                1 => Night { trail: 12 + r.below(18), ..bad },
                _ => Night { defocus: r.between(6.0, 12.0), ..bad },
            }
        }
    };
    let stars = r.poisson((h * w) as f64 / 700.0) as usize;
    let mut frame = starfield([h, w], stars, night, r);
    frame[0] = f32::NAN;
    frame
}

/// `n` frames of 160×160 pixels, the qualities in turn; the missing pixel is 0.
///
/// # Errors
/// No frames, or more than memory holds.
pub fn frames(n: usize, seed: u64) -> Result<Samples> {
    let extent = Extent::image(160, 160, 1);
    let (x, t) = super::generate(n, extent, seed, |i, r, x| {
        x.copy_from_slice(&frame(i % 3, [160, 160], r));
        x[0] = 0.0;
        (i % 3) as u32
    });
    Ok(Samples::new(extent, x)?.with_classes(t, 3)?.with_class_names(QUALITIES))
}

pub(super) fn starfield([h, w]: [usize; 2], stars: usize, night: Night, r: &mut Stream) -> Vec<f32> {
    let mut image = vec![0.0_f32; h * w];
    for _ in 0..stars {
        let flux = (200.0 * libm::pow(1.0 - r.uniform(), -1.0 / 1.1)).min(3e5);
        let (x, y) = (r.between(0.0, w as f64), r.between(0.0, h as f64));
        let steps = night.trail.max(1);
        for k in 0..steps {
            let at = (x + k as f64, y + 0.25 * k as f64);
            star(&mut image, w, at, flux / steps as f64, night);
        }
    }
    if night.defocus > 0.0 {
        image = field::smoothed(&image, [1, h, w], 1.0);
    }
    let mut background = vec![night.background; h * w];
    if night.clouds > 0.0 {
        let transmission = clouds([h, w], night.clouds, r);
        for ((x, b), t) in image.iter_mut().zip(&mut background).zip(transmission) {
            *x *= t as f32;
            *b *= 1.0 + 2.5 * night.clouds * (1.0 - t);
        }
    }
    for (x, b) in image.iter_mut().zip(background) {
        *x = (r.poisson((f64::from(*x).max(0.0) + b) * GAIN) / GAIN + 5.0 * r.normal()) as f32;
    }
    for _ in 0..r.poisson(6.0) as usize {
        image[r.below(h * w)] += (4000.0 * r.exponential()) as f32;
    }
    if r.uniform() < 0.5 {
        let column = r.below(w);
        image.iter_mut().skip(column).step_by(w).for_each(|x| *x += 60.0);
    }
    image
}

/// Adds a star: Moffat's profile, or a ring where the telescope is out of focus.
fn star(image: &mut [f32], w: usize, (x, y): (f64, f64), flux: f64, night: Night) {
    // FWHM = 2α√(2^(1/3) − 1).
    let alpha2 = night.fwhm * night.fwhm / (4.0 * (libm::cbrt(2.0) - 1.0));
    let outer = night.defocus * night.defocus;
    let reach = if outer > 0.0 { night.defocus } else { 12.0 * libm::sqrt(alpha2) };
    let h = image.len() / w;
    let range = |at: f64, n: usize| (at - reach).max(0.0) as usize..((at + reach).max(-1.0) + 1.0).min(n as f64) as usize;
    for row in range(y, h) {
        for column in range(x, w) {
            let r2 = (column as f64 - x) * (column as f64 - x) + (row as f64 - y) * (row as f64 - y);
            let profile = if outer > 0.0 {
                if r2 < outer && r2 > 0.2 * outer { 1.0 / (PI * outer * 0.8) } else { 0.0 }
            } else {
                let inverse = 1.0 / (1.0 + r2 / alpha2);
                inverse * inverse * inverse * 2.0 / (PI * alpha2)
            };
            image[row * w + column] += (flux * profile) as f32;
        }
    }
}

/// What clouds let through.
fn clouds([h, w]: [usize; 2], depth: f64, r: &mut Stream) -> Vec<f64> {
    let longest = h.max(w) as f64;
    let [mut thick, _] =
        field::filtered(&field::white(h * w, r), [1, h, w], |k| [if k > 0.0 { libm::pow(k * longest, -1.6) } else { 0.0 }, 0.0]);
    field::normalise(&mut thick);
    let least = thick.iter().copied().fold(f32::INFINITY, f32::min);
    thick.iter().map(|&t| libm::exp(-depth * f64::from(t - least) / 3.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kamacite::rng::Purpose;

    #[test]
    fn frames_of_any_shape_have_one_missing_pixel_and_the_sky_of_their_night() {
        for (quality, dark) in [(0, 60.0..220.0), (1, 240.0..1500.0), (2, 280.0..14_000.0)] {
            for seed in 0..4 {
                let frame = frame(quality, [40, 90], &mut Stream::new(seed, Purpose::User, 0));
                assert_eq!((frame.len(), frame.iter().filter(|x| x.is_nan()).count()), (3600, 1));
                let mut sorted: Vec<f32> = frame.iter().copied().filter(|x| !x.is_nan()).collect();
                sorted.sort_by(f32::total_cmp);
                assert!(dark.contains(&f64::from(sorted[1800])), "quality {quality}, seed {seed}: sky {}", sorted[1800]);
            }
        }
    }

    #[test]
    fn a_star_keeps_its_light_in_and_out_of_focus() {
        for (defocus, lost) in [(0.0, 0.02), (8.0, 0.05)] {
            let mut image = vec![0.0; 128 * 128];
            star(&mut image, 128, (64.0, 63.5), 1000.0, Night { fwhm: 3.0, defocus, ..Night::default() });
            let sum: f32 = image.iter().sum();
            assert!((f64::from(sum) / 1000.0 - 1.0).abs() < lost, "{sum}");
        }
    }
}
