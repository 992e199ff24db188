//! The box least squares search: which period and duration of a dip explain a light curve best.
//!
//! A box over a share q of the phases, within which the flux sums to s (the mean subtracted, over the number of measurements), lowers the
//! squared error by s²/(q(1 − q)). The largest such gain at a period is its signal residue; how far the best stands above the mean over all periods, in their
//! standard deviations, is the signal detection efficiency.
//!
//! # Source
//! Kovács, Zucker & Mazeh 2002.

use crate::sky::PER_DAY;

/// Bins of the phase.
const PHASES: usize = 100;
const PERIODS: usize = 600;
/// Days.
const SHORTEST: f64 = 0.95;
const LONGEST: f64 = 7.5;

/// The best dip.
pub struct Dip {
    /// In measurements.
    pub period: f64,
    /// When its middle is, from the first measurement.
    pub middle: f64,
    /// Share of the period.
    pub duration: f64,
    /// Depth over its error.
    pub signal_to_noise: f64,
    /// Of its period among all.
    pub efficiency: f64,
}

/// Takes off the running median of a day, and brings the scatter to 1.
pub fn flatten(curve: &[f32]) -> Vec<f64> {
    let reach = (PER_DAY / 2.0) as usize;
    let median = |mut v: Vec<f64>| {
        let middle = v.len() / 2;
        *v.select_nth_unstable_by(middle, f64::total_cmp).1
    };
    let flat = |i: usize| {
        let near = &curve[i.saturating_sub(reach)..(i + reach + 1).min(curve.len())];
        f64::from(curve[i]) - median(near.iter().map(|&f| f64::from(f)).collect())
    };
    let mut flat: Vec<f64> = (0..curve.len()).map(flat).collect();
    let scatter = 1.4826 * median(flat.iter().map(|f| f.abs()).collect());
    flat.iter_mut().for_each(|f| *f /= scatter.max(1e-9));
    flat
}

/// Searches a flat curve.
pub fn search(flux: &[f64]) -> Dip {
    let step = libm::log(LONGEST / SHORTEST) / (PERIODS - 1) as f64;
    let mean = flux.iter().sum::<f64>() / flux.len() as f64;
    let centred: Vec<f64> = flux.iter().map(|f| f - mean).collect();
    let all: Vec<Dip> = (0..PERIODS).map(|k| at_period(&centred, PER_DAY * SHORTEST * libm::exp(step * k as f64))).collect();
    let n = PERIODS as f64;
    let mean = all.iter().map(|d| d.signal_to_noise).sum::<f64>() / n;
    let spread = libm::sqrt(all.iter().map(|d| (d.signal_to_noise - mean).powi(2)).sum::<f64>() / n).max(1e-9);
    let first = Dip { period: PER_DAY, middle: 0.0, duration: 0.0, signal_to_noise: 0.0, efficiency: 0.0 };
    let best = all.into_iter().fold(first, |best, d| if d.signal_to_noise > best.signal_to_noise { d } else { best });
    Dip { efficiency: (best.signal_to_noise - mean) / spread, ..best }
}

fn at_period(flux: &[f64], period: f64) -> Dip {
    let widest = PHASES / 8;
    // Sums over the phases before each, and once around for boxes across the end.
    let (mut bins, mut sums) = ([(0.0, 0.0); PHASES], [(0.0, 0.0); PHASES + PHASES / 8 + 1]);
    for (i, f) in flux.iter().enumerate() {
        let phase = (i as f64 / period).fract();
        let bin = &mut bins[((phase * PHASES as f64) as usize).min(PHASES - 1)];
        *bin = (bin.0 + f, bin.1 + 1.0);
    }
    for k in 0..PHASES + widest {
        let bin = bins[k % PHASES];
        sums[k + 1] = (sums[k].0 + bin.0, sums[k].1 + bin.1);
    }
    let n = flux.len() as f64;
    let mut best = (0.0, 0, 1);
    for width in [2, 3, 5, 8, widest] {
        for start in 0..PHASES {
            let (s, inside) = (sums[start + width].0 - sums[start].0, sums[start + width].1 - sums[start].1);
            let gain = if s < 0.0 && inside > 0.0 && inside < n { s * s / (inside * (1.0 - inside / n)) } else { 0.0 };
            if gain > best.0 {
                best = (gain, start, width);
            }
        }
    }
    let (gain, start, width) = best;
    let duration = width as f64 / PHASES as f64;
    let middle = period * (start as f64 / PHASES as f64 + 0.5 * duration);
    Dip { period, middle, duration, signal_to_noise: libm::sqrt(gain), efficiency: 0.0 }
}
