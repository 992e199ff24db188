//! Stamps of galaxies in three optical bands: profiles, arms, bars, tails, dust, point-spread function, noise.
//!
//! Surface brightness, with r the elliptical radius and every component scaled to its flux:
//!
//! ```text
//! Sérsic         I = exp(−b [(r/rₑ)^(1/n) − 1]),  b = 2n − 1/3 + 4/(405n) + 46/(25515n²)
//! disc           I = exp(−r/h);  seen from the side  I = (R/h) K₁(R/h) sech²(z/z₀)
//! arms           disc × exp(3 [cos(m(θ − ln(r/r₀)/tan p)) − 1]), pitch angle p
//! bar            I = exp(−½ [(u/a)⁴ + (v/qa)²])
//! PSF            Moffat (1 + r²/α²)^(−3)
//! dust           I e^(−τ kᵦ), k = (0.65, 0.87, 1.2) in i, r, g
//! ```
//!
//! # Source
//! Sérsic 1963; Ciotti & Bertin 1999 (b); van der Kruit & Searle 1981 (edge-on discs); Moffat 1969; Cardelli et al. 1989
//! (kᵦ); Lupton et al. 2004 (the stretch).

use crate::rng::Stream;
use std::f64::consts::{PI, TAU};

/// Pixels along a side of a stamp.
pub(super) const SIZE: usize = 48;
pub(super) const BANDS: usize = 3;
/// Half the width of the sampled point-spread function; light is laid out over a frame wider by this on every side.
const REACH: usize = 5;
const FRAME: usize = SIZE + 2 * REACH;

/// Extinction in i, r, g over that in V.
const DUST: [f64; BANDS] = [0.65, 0.87, 1.2];
/// Colours (g−r, r−i) of old and young stars, of star-forming knots.
const OLD: (f64, f64) = (0.78, 0.39);
const DISC: (f64, f64) = (0.58, 0.30);
const YOUNG: (f64, f64) = (0.28, 0.10);
const KNOT: (f64, f64) = (0.05, -0.05);

/// Light in units of the sky's standard deviation per pixel.
struct Frame {
    light: [Vec<f64>; BANDS],
}

/// Position, position angle and axis ratio of a component: sky coordinates to those of its own plane.
#[derive(Clone, Copy)]
struct Pose {
    x: f64,
    y: f64,
    cos: f64,
    sin: f64,
    q: f64,
}

impl Pose {
    fn new((x, y): (f64, f64), angle: f64, q: f64) -> Self {
        Self { x, y, cos: libm::cos(angle), sin: libm::sin(angle), q }
    }

    fn plane(&self, x: f64, y: f64) -> (f64, f64) {
        let (dx, dy) = (x - self.x, y - self.y);
        (dx * self.cos + dy * self.sin, (dy * self.cos - dx * self.sin) / self.q)
    }

    fn sky(&self, u: f64, v: f64) -> (f64, f64) {
        let v = v * self.q;
        (self.x + u * self.cos - v * self.sin, self.y + u * self.sin + v * self.cos)
    }
}

/// Relative flux in i, r, g of the colours (g−r, r−i); the band gains make a disc white.
fn colour((gr, ri): (f64, f64)) -> [f64; BANDS] {
    let magnitudes = |m: f64| libm::exp(-0.4 * std::f64::consts::LN_10 * m);
    [magnitudes(DISC.1 - ri), 1.0, magnitudes(gr - DISC.0)]
}

/// A softened radius: stands for the mean over the central pixel, where a cuspy profile has no value.
fn radius(u: f64, v: f64) -> f64 {
    libm::sqrt(u * u + v * v + 0.16)
}

impl Frame {
    fn new() -> Self {
        Self { light: std::array::from_fn(|_| vec![0.0; FRAME * FRAME]) }
    }

    /// Adds a component of this flux in r; `profile` gives brightness and optical depth at a place in its plane.
    fn add(&mut self, flux: f64, hue: (f64, f64), pose: Pose, profile: impl Fn(f64, f64) -> (f64, f64)) {
        let mut map = vec![(0.0, 0.0); FRAME * FRAME];
        for (i, m) in map.iter_mut().enumerate() {
            let (u, v) = pose.plane((i % FRAME) as f64, (i / FRAME) as f64);
            *m = profile(u, v);
        }
        let sum: f64 = map.iter().map(|m| m.0).sum();
        let scale = if sum > 0.0 { flux / sum } else { 0.0 };
        for ((light, band), k) in self.light.iter_mut().zip(colour(hue)).zip(DUST) {
            for (l, &(i, tau)) in light.iter_mut().zip(&map) {
                *l += scale * band * if tau > 0.0 { i * libm::exp(-tau * k) } else { i };
            }
        }
    }

    fn sersic(&mut self, flux: f64, hue: (f64, f64), pose: Pose, re: f64, n: f64) {
        let b = 2.0 * n - 1.0 / 3.0 + 4.0 / (405.0 * n) + 46.0 / (25_515.0 * n * n);
        self.add(flux, hue, pose, |u, v| (libm::exp(-b * (libm::pow(radius(u, v) / re, 1.0 / n) - 1.0)), 0.0));
    }

    /// A round blob of width `sigma` in the sky.
    fn blob(&mut self, flux: f64, hue: (f64, f64), (x, y): (f64, f64), sigma: f64) {
        let peak = flux / (TAU * sigma * sigma);
        let reach = (4.0 * sigma).max(1.5);
        let range = |c: f64| (c - reach).max(0.0).ceil() as usize..((c + reach).max(-1.0) + 1.0).min(FRAME as f64) as usize;
        for row in range(y) {
            for column in range(x) {
                let (dx, dy) = (column as f64 - x, row as f64 - y);
                let i = peak * libm::exp(-0.5 * (dx * dx + dy * dy) / (sigma * sigma));
                for (light, band) in self.light.iter_mut().zip(colour(hue)) {
                    light[row * FRAME + column] += band * i;
                }
            }
        }
    }

    /// The frame through a Moffat point-spread function of this width, cut to the stamp; bands innermost.
    fn observe(&self, fwhm: f64) -> Vec<f64> {
        // FWHM = 2α√(2^(1/3) − 1) for the exponent 3.
        let alpha2 = fwhm * fwhm / (4.0 * (libm::cbrt(2.0) - 1.0));
        let side = 2 * REACH + 1;
        let at = |i: usize| i as f64 - REACH as f64;
        let moffat = |i: usize| libm::pow(1.0 + (at(i % side) * at(i % side) + at(i / side) * at(i / side)) / alpha2, -3.0);
        let mut psf: Vec<f64> = (0..side * side).map(moffat).collect();
        let sum: f64 = psf.iter().sum();
        psf.iter_mut().for_each(|p| *p /= sum);
        let mut stamp = vec![0.0; SIZE * SIZE * BANDS];
        for (band, light) in self.light.iter().enumerate() {
            for row in 0..SIZE {
                let mut line = [0.0; SIZE];
                for (k, p) in psf.iter().enumerate() {
                    let start = (row + k / side) * FRAME + k % side;
                    line.iter_mut().zip(&light[start..start + SIZE]).for_each(|(y, x)| *y += p * x);
                }
                line.iter().enumerate().for_each(|(column, &y)| stamp[(row * SIZE + column) * BANDS + band] = y);
            }
        }
        stamp
    }
}

/// A colour with the scatter of metallicity, age and calibration.
fn hue((gr, ri): (f64, f64), r: &mut Stream) -> (f64, f64) {
    let shared = 0.08 * r.normal();
    (gr + shared + 0.02 * r.normal(), ri + 0.5 * shared + 0.02 * r.normal())
}

fn centre(r: &mut Stream) -> (f64, f64) {
    let middle = 0.5 * (FRAME as f64 - 1.0);
    (middle + r.between(-5.0, 5.0), middle + r.between(-5.0, 5.0))
}

/// Fills a stamp of `SIZE`² pixels with the galaxy of this class: see [`super::GALAXY_CLASSES`].
pub(super) fn stamp(class: u32, r: &mut Stream, x: &mut [f32]) {
    let mut frame = Frame::new();
    let flux = libm::exp(r.between(libm::log(3000.0), libm::log(20_000.0)));
    let place = centre(r);
    match class {
        0 => elliptical(&mut frame, flux, place, r),
        1 => spiral(&mut frame, flux, place, false, r),
        2 => spiral(&mut frame, flux, place, true, r),
        3 => edge_on(&mut frame, flux, place, r),
        _ => merger(&mut frame, flux, place, r),
    }
    neighbours(&mut frame, r);
    let mut stamp = frame.observe(r.between(2.0, 2.8));
    let red = r.between(-0.4, 0.5);
    let k = colour((DISC.0 + red, DISC.1 + 0.6 * red));
    stamp.chunks_exact_mut(BANDS).for_each(|v| v.iter_mut().zip(k).for_each(|(v, k)| *v *= k));
    // Photon noise of the source at four electrons per unit, above the sky's own.
    stamp.iter_mut().for_each(|v| *v += libm::sqrt(1.0 + v.max(0.0) / 4.0) * r.normal());
    stretch(&stamp, x);
}

fn elliptical(frame: &mut Frame, flux: f64, place: (f64, f64), r: &mut Stream) {
    let pose = Pose::new(place, r.between(0.0, PI), r.between(0.5, 1.0));
    let (re, n) = (r.between(2.5, 7.0), r.between(2.0, 6.0));
    let old = hue(OLD, r);
    frame.sersic(flux, old, pose, re, n);
}

/// A disc with arms, a bulge, knots of young stars and, where asked, a bar from whose ends the arms leave.
fn spiral(frame: &mut Frame, flux: f64, place: (f64, f64), barred: bool, r: &mut Stream) {
    let disc = Pose::new(place, r.between(0.0, PI), r.between(0.6, 1.0));
    let h = r.between(4.0, 6.5);
    let m = if barred || r.uniform() < 0.4 { 2 } else { 3 + r.below(2) };
    // More arms need a wider pitch to stay apart at this resolution.
    let pitch = r.between(6.0, 20.0) + 5.0 * f64::from(m as u32);
    let wind = if r.uniform() < 0.5 { 1.0 } else { -1.0 } / libm::tan(pitch.to_radians());
    let (bar, phase) = (h * r.between(1.1, 1.6), r.between(0.0, TAU));
    // Arms begin at the end of the bar, or fade into the bulge.
    let start = if barred { bar } else { 0.35 * h };
    let arms = |u: f64, v: f64, shift: f64| {
        let rho = radius(u, v);
        let angle = libm::atan2(v, u) - phase - shift - wind * libm::log(rho / start);
        let on = 1.0 / (1.0 + libm::exp(-6.0 * (rho / start - 1.0)));
        on * libm::exp(3.0 * (libm::cos(m as f64 * angle) - 1.0))
    };
    let (in_bulge, in_arms) = (r.between(0.08, 0.28), r.between(0.3, 0.5));
    let in_bar = if barred { r.between(0.22, 0.38) } else { 0.0 };
    let (old, mixed, young, knot) = (hue(OLD, r), hue(DISC, r), hue(YOUNG, r), hue(KNOT, r));
    let tau = r.between(0.2, 1.0);
    let lane = 0.35 * wind.signum() / m as f64 * 2.0;
    frame.add(flux * (1.0 - in_bulge - in_arms - in_bar), mixed, disc, |u, v| {
        (libm::exp(-radius(u, v) / h), tau * arms(u, v, lane))
    });
    frame.add(flux * in_arms, young, disc, |u, v| (libm::exp(-radius(u, v) / (1.3 * h)) * arms(u, v, 0.0), 0.0));
    let bulge = Pose { q: 0.5 + 0.5 * disc.q, ..disc };
    let (re, n) = (h * r.between(0.25, 0.5), r.between(1.0, 3.5));
    frame.sersic(flux * in_bulge, old, bulge, re, n);
    if barred {
        let (cos, sin, width) = (libm::cos(phase), libm::sin(phase), bar * r.between(0.2, 0.28));
        frame.add(flux * in_bar, old, disc, |u, v| {
            let (along, across) = ((u * cos + v * sin) / bar, (v * cos - u * sin) / width);
            (libm::exp(-0.5 * (along * along * along * along + across * across)), 0.0)
        });
    }
    for _ in 0..4 + r.below(14) {
        let rho = start + h * r.between(0.2, 2.0);
        let arm = TAU * r.below(m) as f64 / m as f64;
        let angle = phase + arm + wind * libm::log(rho / start) + 0.12 * r.normal();
        let bright = flux * r.between(0.002, 0.01);
        frame.blob(bright, knot, disc.sky(rho * libm::cos(angle), rho * libm::sin(angle)), r.between(0.5, 0.9));
    }
}

/// A disc seen from the side, with its bulge and the lane of dust in its middle plane.
fn edge_on(frame: &mut Frame, flux: f64, place: (f64, f64), r: &mut Stream) {
    let pose = Pose::new(place, r.between(0.0, PI), 1.0);
    let (h, thick) = (r.between(3.5, 6.0), r.between(0.8, 1.8));
    let (in_bulge, tau, tilt) = (r.between(0.03, 0.4), r.between(0.0, 3.0), r.between(-0.6, 0.6));
    let (old, mixed) = (hue(OLD, r), hue(DISC, r));
    let lane = |u: f64, v: f64| tau * libm::exp(-u.abs() / (1.5 * h) - (v - tilt).abs() / (0.4 * thick));
    frame.add(flux * (1.0 - in_bulge), mixed, pose, |u, v| {
        // x K₁(x) within 2 %: exact at 0 and at infinity.
        let along = libm::sqrt(1.0 + 0.5 * PI * u.abs() / h) * libm::exp(-u.abs() / h);
        let sech = 1.0 / libm::cosh(v / thick);
        (along * sech * sech, lane(u, v))
    });
    let (re, n, q) = (h * r.between(0.15, 0.4), r.between(1.0, 3.0), r.between(0.6, 1.0));
    let b = 2.0 * n - 1.0 / 3.0;
    frame.add(flux * in_bulge, old, pose, |u, v| {
        (libm::exp(-b * (libm::pow(radius(u, v / q) / re, 1.0 / n) - 1.0)), 0.5 * lane(u, v))
    });
}

/// Two galaxies close to each other, lopsided, each with a tail drawn out by the tide, and a common envelope.
fn merger(frame: &mut Frame, flux: f64, place: (f64, f64), r: &mut Stream) {
    let (apart, angle) = (r.between(6.0, 13.0), r.between(0.0, TAU));
    let (dx, dy) = (apart * libm::cos(angle), apart * libm::sin(angle));
    let share = r.between(0.3, 0.7);
    let turn = if r.uniform() < 0.5 { 1.0 } else { -1.0 };
    let wet = r.between(0.0, 1.0);
    let blend = |a: (f64, f64), b: (f64, f64)| (a.0 + wet * (b.0 - a.0), a.1 + wet * (b.1 - a.1));
    let (body, tail, knot) = (hue(blend(OLD, DISC), r), hue(blend(DISC, YOUNG), r), hue(KNOT, r));
    let (in_tails, in_envelope) = (r.between(0.15, 0.3), r.between(0.1, 0.25));
    for (side, share) in [(share - 1.0, share), (share, 1.0 - share)] {
        // The centre of light stays in the middle of the stamp.
        let nucleus = (place.0 + side * dx, place.1 + side * dy);
        let pose = Pose::new(nucleus, r.between(0.0, PI), r.between(0.5, 1.0));
        let (h, n, lop) = (r.between(1.0, 2.2), r.between(0.8, 3.0), r.between(0.0, 0.5));
        let b = 2.0 * n - 1.0 / 3.0;
        frame.add(flux * share * (1.0 - in_tails - in_envelope), body, pose, |u, v| {
            let rho = radius(u, v);
            (libm::exp(-b * (libm::pow(rho / (1.7 * h), 1.0 / n) - 1.0)) * (1.0 + lop * u / rho), 0.0)
        });
        let outward = angle + if side < 0.0 { PI } else { 0.0 };
        let (length, bend) = (r.between(9.0, 18.0), turn * r.between(0.8, 2.2));
        for step in 0..24 {
            let t = (f64::from(step) + 0.5) / 24.0;
            let (rho, phi) = (1.5 + length * t, outward - 0.8 * bend + bend * t);
            let at = (nucleus.0 + rho * libm::cos(phi), nucleus.1 + rho * libm::sin(phi));
            frame.blob(flux * share * in_tails * (1.6 - 1.2 * t) / 24.0, tail, at, 0.8 + 0.8 * t);
        }
    }
    let envelope = Pose::new(place, angle, r.between(0.5, 0.8));
    frame.sersic(flux * in_envelope, body, envelope, apart * r.between(0.6, 0.9), 1.0);
    for _ in 0..r.below(8) {
        let at = (place.0 + 0.4 * apart * r.normal(), place.1 + 0.4 * apart * r.normal());
        frame.blob(flux * r.between(0.002, 0.012), knot, at, r.between(0.5, 0.9));
    }
}

/// Stars of the field and faint galaxies behind: a second peak alone is no merger.
fn neighbours(frame: &mut Frame, r: &mut Stream) {
    let side = FRAME as f64;
    for _ in 0..r.poisson(1.5) as usize {
        let (at, gr) = ((r.between(0.0, side), r.between(0.0, side)), r.between(0.2, 1.4));
        let flux = libm::exp(r.between(libm::log(30.0), libm::log(1000.0)));
        // Narrow enough to be a point under the point-spread function.
        frame.blob(flux, (gr, 0.45 * gr), at, 0.35);
    }
    for _ in 0..r.poisson(0.7) as usize {
        let (at, gr) = ((r.between(0.0, side), r.between(0.0, side)), r.between(0.3, 1.2));
        let flux = libm::exp(r.between(libm::log(50.0), libm::log(400.0)));
        frame.blob(flux, (gr, 0.4 * gr), at, r.between(0.8, 1.4));
    }
}

/// asinh of the mean of the bands, the colour kept; 0 is the sky, 1 saturates.
fn stretch(stamp: &[f64], x: &mut [f32]) {
    // Linear below 2 σ of the sky; asinh(u) = 5.5 puts a brightness of 245 σ at 1.
    let (knee, top) = (2.0, 5.5);
    for (v, x) in stamp.chunks_exact(BANDS).zip(x.chunks_exact_mut(BANDS)) {
        let u = v.iter().sum::<f64>() / (BANDS as f64 * knee);
        let gain = if u.abs() < 1e-6 { 1.0 } else { libm::asinh(u) / u } / (knee * top);
        let peak = v.iter().fold(1.0_f64, |m, &v| m.max(v * gain));
        x.iter_mut().zip(v).for_each(|(x, &v)| *x = (v * gain / peak).max(-1.0) as f32);
    }
}
