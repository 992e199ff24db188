//! Light curves of supernovae in five bands, as maps over wavelength and time (G13).
//!
//! In the rest frame, at wavelength λ and t days from the beginning of the rise:
//!
//! ```text
//! Bazin      f = e^(−t/τ_f) / (1 + e^(−t/τ_r))
//! Ia         τ_r 4 d, τ_f 20 d, a second maximum 25 d after the first beyond 7000 Å
//! II-P       τ_r 3 d, a plateau of 90 d that slopes in the blue, then a fall by two magnitudes
//! Ibc        τ_r 4 d, τ_f 16 d, redder
//! ```
//!
//! times a black body whose temperature falls with t. Dust, (1 + z) and a random beginning follow; each band is seen every three to seven nights, with a gap of
//! bad weather, and the map is what straight lines in time and then in wavelength make of it.
//!
//! # Source
//! Bazin et al. 2011 (the rise and fall); Qu, Sako, Möller & Doux 2021 (the map).

use super::generate;
use kamacite::data::Samples;
use kamacite::rng::Stream;
use kamacite::{Extent, Result};

const WAVELENGTHS: usize = 32;
const DAYS: usize = 180;
/// Middles of u, g, r, i, z in Å.
const BANDS: [f64; 5] = [3650.0, 4800.0, 6220.0, 7550.0, 8900.0];
/// The types.
pub const TYPES: [&str; 3] = ["Ia", "II-P", "Ibc"];

/// `n` supernovae of the three [`TYPES`] in turn.
///
/// # Shapes
/// 32x180x2: wavelength from 3000 to 10 100 Å in the observer's frame, days; flux and its error.
///
/// # Units
/// Both over the largest measured flux.
///
/// # Errors
/// No supernovae.
pub fn supernovae(n: usize, seed: u64) -> Result<Samples> {
    let extent = Extent::image(WAVELENGTHS, DAYS, 2);
    let (x, t) = generate(n, extent, seed, |i, r, x| {
        map(&Supernova::new(i % TYPES.len(), r), r, x);
        (i % TYPES.len()) as u32
    });
    Ok(Samples::new(extent, x)?.with_classes(t, TYPES.len())?.with_class_names(TYPES))
}

struct Supernova {
    kind: usize,
    z: f64,
    start: f64,
    rise: f64,
    fall: f64,
    plateau: f64,
    hot: f64,
    cool: f64,
    pace: f64,
    dust: f64,
    bump: f64,
}

impl Supernova {
    fn new(kind: usize, r: &mut Stream) -> Self {
        let stretch = libm::exp(0.12 * r.normal());
        let of = |values: [f64; 3]| values[kind];
        let spread = |r: &mut Stream, share: f64| libm::exp(share * r.normal());
        Self {
            kind,
            z: r.between(0.05, 0.45),
            start: r.between(15.0, 70.0),
            rise: of([4.0, 3.0, 4.5]) * stretch * spread(r, 0.15),
            fall: of([20.0, 400.0, 17.0]) * stretch * spread(r, 0.15),
            plateau: 90.0 * spread(r, 0.12),
            hot: of([13_000.0, 14_000.0, 9500.0]) * spread(r, 0.15),
            cool: of([4500.0, 5200.0, 4400.0]) * spread(r, 0.08),
            pace: of([16.0, 18.0, 14.0]) * spread(r, 0.2),
            dust: of([0.1, 0.15, 0.25]) * r.exponential(),
            bump: r.between(0.15, 0.4),
        }
    }

    /// The flux on a night, in arbitrary units.
    fn flux(&self, wavelength: f64, night: f64) -> f64 {
        let (rest, t) = (wavelength / (1.0 + self.z), (night - self.start) / (1.0 + self.z));
        let bazin = |t: f64, rise: f64, fall: f64| libm::exp(-t / fall) / (1.0 + libm::exp(-t / rise));
        let mut shape = bazin(t, self.rise, self.fall);
        if self.kind == 0 && rest > 6000.0 {
            let d = (t - 38.0) / 9.0;
            shape += self.bump * ((rest - 6000.0) / 1500.0).min(1.0) * libm::exp(-0.5 * d * d);
        }
        if self.kind == 1 {
            // The plateau ends over some ten days; a tail at 0.16 remains.
            shape *= 0.16 + 0.84 / (1.0 + libm::exp((t - self.plateau) / 5.0));
        }
        // The photosphere cools; a II-P rests where hydrogen recombines.
        let kelvin = self.cool + (self.hot - self.cool) * libm::exp(-t.max(0.0) / self.pace);
        let planck = |l: f64| libm::pow(l / 5500.0, -5.0) / libm::expm1(1.438_777e8 / (l * kelvin));
        let extinction = self.dust * 3.1 * libm::pow(5500.0 / rest, 1.3);
        shape * planck(rest) / planck(5500.0) * libm::exp(-0.921 * extinction)
    }
}

/// Nights of a band with their fluxes and errors, in order.
type Curve = Vec<(f64, f64, f64)>;

fn map(s: &Supernova, r: &mut Stream, x: &mut [f32]) {
    let nights: Vec<f64> = (0..DAYS).map(|d| d as f64).collect();
    let peak = nights.iter().flat_map(|&d| BANDS.map(|l| s.flux(l, d))).fold(0.0, f64::max);
    let (depth, gap) = (r.between(12.0, 60.0), (r.between(0.0, 150.0), r.between(12.0, 25.0)));
    let cadence = r.between(3.0, 7.0);
    let curves = BANDS.map(|l| observe(s, l, peak, depth, gap, cadence, r));
    let top = curves.iter().flatten().fold(1e-3, |m: f64, p| m.max(p.1));
    for d in 0..DAYS {
        let at = curves.each_ref().map(|c| between(c, d as f64));
        for w in 0..WAVELENGTHS {
            let l = 3000.0 + 229.0 * w as f64;
            let k = BANDS.iter().skip(1).take(3).filter(|&&b| b <= l).count();
            let a = ((l - BANDS[k]) / (BANDS[k + 1] - BANDS[k])).clamp(0.0, 1.0);
            let mix = |p: f64, q: f64| ((1.0 - a) * p + a * q) / top;
            let to = &mut x[2 * (w * DAYS + d)..][..2];
            to[0] = mix(at[k].0, at[k + 1].0) as f32;
            to[1] = mix(at[k].1, at[k + 1].1) as f32;
        }
    }
}

fn observe(s: &Supernova, l: f64, peak: f64, depth: f64, (from, long): (f64, f64), cadence: f64, r: &mut Stream) -> Curve {
    // u is shallower.
    let sky = if l < 4000.0 { 1.6 } else { 1.0 } / depth;
    let mut curve = Curve::new();
    let mut night = r.between(0.0, cadence);
    while night < DAYS as f64 {
        if !(from..from + long).contains(&night) {
            let f = s.flux(l, night) / peak;
            let error = libm::sqrt(sky * sky + 0.0004 * f);
            curve.push((night, f + error * r.normal(), error));
        }
        night += cadence * r.between(0.7, 1.3);
    }
    curve
}

/// A straight line between neighbours; the error grows with the distance from them.
fn between(curve: &Curve, night: f64) -> (f64, f64) {
    let next = curve.partition_point(|p| p.0 < night);
    let (Some(b), a) = (curve.get(next).or(curve.last()), curve[next.saturating_sub(1).min(curve.len() - 1)]) else {
        return (0.0, 1.0);
    };
    let share = if b.0 > a.0 { ((night - a.0) / (b.0 - a.0)).clamp(0.0, 1.0) } else { 0.0 };
    let far = (night - a.0).abs().min((b.0 - night).abs());
    (a.1 + share * (b.1 - a.1), (a.2 + share * (b.2 - a.2)) * (1.0 + 0.1 * far))
}
