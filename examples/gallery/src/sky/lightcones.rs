//! Light-cones of the 21-cm line from 5 to 35 in redshift (recipe G9): density, reionisation, heating, coupling.
//!
//! ```text
//! P(k) ∝ k^0.96 / (1 + (k/k₀)^1.5)^2.6 / (1 + (0.5 k/m_WDM)^2.24)^8.9,  k₀ = 0.02 Ω_m/0.3
//! x_i = ½ [1 − tanh((z − z_re)/1.1)],  z_re = 6 + 5.5 (lg ζ − 1)/1.4 − 1.2 (lg T_vir − 4)/1.3
//! T_K = 0.018 (1+z)² + 25 exp(−(z − z_h)/1.3),  z_h = 11 + 1.8 (lg L_X − 40) + (500 − E₀)/900
//! δT = 27 x_HI (1 + δ) √((1+z)/10 · 0.15/Ω_m h²) (Ω_b h²/0.023) (1 − T_CMB/T_S)  mK
//! ```
//!
//! Ionised is where the density, smoothed on 4 to 16 (with ζ) of the box's 200 Mpc, exceeds the quantile that leaves x_i above it. Stand-ins for
//! simulations, with the right range (−480 to 40 mK) and the right parameters in the right places; nothing to measure the universe by.

use super::field;
use kamacite::data::Samples;
use kamacite::rng::Stream;
use kamacite::{Extent, Result};
use std::f64::consts::TAU;

/// What a cone depends on, each brought to 0 to 1.
pub const PARAMETERS: [&str; 6] = ["m_WDM", "Omega_m", "L_X", "E_0", "T_vir", "zeta"];

/// Side of the box in Mpc.
const BOX: f64 = 200.0;

/// The history of the sky's mean, without structure.
struct History {
    /// Share of ionised hydrogen.
    ionised: f64,
    /// Brightness temperature of neutral gas of mean density in mK.
    temperature: f64,
    /// Growth of the density's contrast.
    growth: f64,
}

fn history(p: &[f64; 6], z: f64) -> History {
    let (om, lx, e0) = (0.2 + 0.2 * p[1], 38.0 + 4.0 * p[2], 100.0 + 1400.0 * p[3]);
    let (tv, zeta) = (4.0 + 1.3 * p[4], 10.0 + 240.0 * p[5]);
    let z_re = 6.0 + 5.5 * (libm::log10(zeta) - 1.0) / 1.4 - 1.2 * (tv - 4.0) / 1.3;
    let z_h = 11.0 + 1.8 * (lx - 40.0) + (500.0 - e0) / 900.0;
    let kinetic = 0.018 * (1.0 + z) * (1.0 + z) + 25.0 * libm::exp(-(z - z_h).max(-8.0) / 1.3);
    let coupling = 30.0 * libm::exp(-(z - 15.0 - 3.0 * (4.65 - tv)) / 2.5);
    let cmb = 2.725 * (1.0 + z);
    let spin = (1.0 + coupling) / (1.0 / cmb + coupling / kinetic);
    let baryons = 0.0486 * 0.46 / 0.023;
    History {
        ionised: 0.5 * (1.0 - libm::tanh((z - z_re) / 1.1)),
        temperature: 27.0 * libm::sqrt((1.0 + z) / 10.0 * 0.15 / (om * 0.46)) * baryons * (1.0 - cmb / spin),
        growth: 3.5 / (1.0 + z),
    }
}

/// Fills a cone: d and h on the sky, w along the line of sight from redshift 5 on. Returns its parameters.
///
/// # Units
/// 100 mK.
pub fn cone(extent: Extent, r: &mut Stream, x: &mut [f32]) -> [f32; 6] {
    let p: [f64; 6] = std::array::from_fn(|_| r.uniform());
    let (mass, om, bubble) = (0.3 + 9.7 * p[0], 0.2 + 0.2 * p[1], 4.0 + 12.0 * p[5]);
    let per_mpc = TAU * extent.h as f64 / BOX;
    let noise = field::white(x.len(), r);
    let [mut density, mut smooth] = field::filtered(&noise, extent.space(), |cycles| {
        // The mean takes any value: only contrasts are used.
        let k = if cycles > 0.0 { cycles * per_mpc } else { 1.0 };
        let knee = libm::pow(1.0 + libm::pow(k / (0.02 * om / 0.3), 1.5), 2.6);
        let warm = libm::pow(1.0 + libm::pow(0.5 * k / mass, 2.24), 8.9);
        let amplitude = libm::sqrt(libm::pow(k, 0.96) / knee / warm);
        [amplitude, amplitude * libm::exp(-0.5 * k * k * bubble * bubble)]
    });
    field::normalise(&mut density);
    field::normalise(&mut smooth);
    let mut sorted = smooth.clone();
    sorted.sort_unstable_by(f32::total_cmp);
    let depth = extent.w;
    for i in 0..depth {
        let now = history(&p, redshift(i, depth));
        let threshold = sorted[((1.0 - now.ionised).clamp(0.0, 1.0) * (sorted.len() - 1) as f64) as usize];
        for ((x, &density), &smooth) in x.iter_mut().zip(&density).zip(&smooth).skip(i).step_by(depth) {
            let contrast = (now.growth * f64::from(density)).max(-0.95);
            *x = if smooth > threshold { 0.0 } else { (0.01 * now.temperature * (1.0 + contrast)) as f32 };
        }
    }
    p.map(|p| p as f32)
}

/// The redshift of cell `i` of `depth`.
pub fn redshift(i: usize, depth: usize) -> f64 {
    5.0 + 30.0 * i as f64 / (depth - 1).max(1) as f64
}

/// `n` cones of `side`² lines of sight of 160 cells, and their parameters.
///
/// # Errors
/// No cones, or more than memory holds.
pub fn lightcones(side: usize, n: usize, seed: u64) -> Result<Samples> {
    let extent = Extent::cube(side, side, 160, 1);
    let (x, t) = super::generate(n, extent, seed, |_, r, x| cone(extent, r, x));
    Samples::new(extent, x)?.with_values(Extent::flat(6), t.concat())
}

/// A cone without structure but for noise of 5 mK: quick at any size.
pub fn mean_cone(extent: Extent, r: &mut Stream, x: &mut [f32]) {
    let p: [f64; 6] = std::array::from_fn(|_| r.uniform());
    let mean: Vec<f64> =
        (0..extent.w).map(|i| history(&p, redshift(i, extent.w))).map(|h| (1.0 - h.ionised) * h.temperature).collect();
    for (x, mean) in x.iter_mut().zip(mean.iter().cycle()) {
        *x = (0.01 * mean + 0.05 * r.normal()) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kamacite::rng::Purpose;

    #[test]
    fn a_cone_has_the_range_and_the_epochs_of_the_recipe() {
        let extent = Extent::cube(16, 16, 160, 1);
        let mut x = vec![0.0; extent.len()];
        let mut lowest = 0.0_f32;
        for seed in 0..4 {
            cone(extent, &mut Stream::new(seed, Purpose::User, 0), &mut x);
            assert!(x.iter().all(|x| (-6.0..0.6).contains(x)), "seed {seed}");
            // Ionised at the near end, neutral and cold beyond.
            let share = |i: usize| x.iter().skip(i).step_by(160).filter(|x| **x == 0.0).count();
            assert!(share(0) > 128 && share(159) == 0, "seed {seed}: {} {}", share(0), share(159));
            lowest = x.iter().copied().fold(lowest, f32::min);
        }
        assert!(lowest < -1.0, "{lowest}");
    }
}
