//! Scores of predicted densities: probabilities of bins, as photometric redshifts have them.
//!
//! A row of probabilities pₖ over bins with edges e₀ < e₁ < … is the density pₖ/(Σp·(eₖ₊₁ − eₖ)) in bin k. Its distribution function F is a
//! straight line within each bin. With the truth t:
//!
//! * the continuous ranked probability score ∫ (F(x) − [x ≥ t])² dx, in the units of the edges: the absolute error where all
//!   probability is at one place;
//! * the probability integral transform F(t): uniform on 0..1 over many samples where the densities are right; a hump in the middle means that they are
//!   too wide, horns at the ends too narrow, a slope a bias.
//!
//! # Source
//! Hersbach 2000, Weather and Forecasting 15, 559 (CRPS); Dawid 1984, J. R. Stat. Soc. A 147, 278 (PIT); Polsterer, D'Isanto & Gieseke 2016 (both for
//! redshifts).

use super::{finite, rows, same_len};
use crate::{Error, Real, Result};

/// The mean continuous ranked probability score of densities given by probabilities of bins.
///
/// # Shapes
/// `probabilities`: as many as there are bins for each sample; `edges`: one more than bins, ascending; `truth`: one for each sample. Beyond the
/// edges F is 0 and 1.
///
/// # Units
/// Those of the edges.
///
/// # Errors
/// Lengths that do not fit, edges that do not ascend, numbers that are not finite, a negative probability, a row without any.
///
/// # Examples
/// ```
/// // All in the bin 0..1: F(x) = x, and the integral of x² from 0 to 1 is 1/3 where the truth is 1.
/// let score = kamacite::metrics::crps(&[1.0_f64, 0.0], &[0.0, 1.0, 2.0], &[1.0])?;
/// assert!((score - 1.0 / 3.0).abs() < 1e-15);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn crps<T: Real>(probabilities: &[T], edges: &[f64], truth: &[T]) -> Result<f64> {
    let scores = each("crps", probabilities, edges, truth, |row, t| {
        let (low, high) = (edges[0], edges[edges.len() - 1]);
        let inside = t.clamp(low, high);
        let mut score = (t - inside).abs();
        let mut before = 0.0;
        for (p, e) in row.iter().zip(edges.windows(2)) {
            let after = before + p;
            let width = e[1] - e[0];
            let cut = inside.clamp(e[0], e[1]);
            let at = before + p * (cut - e[0]) / width;
            // ∫ y² over a line from a to b is width·(a² + ab + b²)/3.
            let square = |a: f64, b: f64| (a * a + a * b + b * b) / 3.0;
            score += (cut - e[0]) * square(before, at) + (e[1] - cut) * square(1.0 - at, 1.0 - after);
            before = after;
        }
        score
    })?;
    Ok(scores.iter().sum::<f64>() / scores.len() as f64)
}

/// The probability integral transform F(t) of each sample: the share of its density below the truth.
///
/// # Shapes
/// As [`crps`].
///
/// # Errors
/// As [`crps`].
pub fn pit<T: Real>(probabilities: &[T], edges: &[f64], truth: &[T]) -> Result<Vec<f64>> {
    each("pit", probabilities, edges, truth, |row, t| {
        row.iter().zip(edges.windows(2)).map(|(p, e)| p * ((t - e[0]) / (e[1] - e[0])).clamp(0.0, 1.0)).sum()
    })
}

/// `of` each row, scaled to a sum of 1, and its truth.
fn each<T: Real>(place: &str, p: &[T], edges: &[f64], truth: &[T], of: impl Fn(&[f64], f64) -> f64) -> Result<Vec<f64>> {
    if edges.len() < 2 {
        return Err(Error::shape(place, "edges of the bins").expected("at least 2").got(edges.len()));
    }
    finite(place, edges)?;
    if let Some(i) = edges.windows(2).position(|e| e[0] >= e[1]) {
        let what = format!("edge {} is not above the one before", i + 1);
        return Err(Error::value(place, what).expected(format!("above {}", edges[i])).got(edges[i + 1]));
    }
    finite("probabilities", p)?;
    finite("truth", truth)?;
    let rows = rows(place, p, edges.len() - 1)?;
    same_len(place, rows.len(), truth.len())?;
    rows.zip(truth)
        .enumerate()
        .map(|(i, (row, t))| {
            let sum: f64 = row.iter().map(|p| p.to_f64()).sum();
            let good = row.iter().all(|p| p.to_f64() >= 0.0) && sum > 0.0;
            let row: Vec<f64> = row.iter().map(|p| p.to_f64() / sum).collect();
            if good {
                Ok(of(&row, t.to_f64()))
            } else {
                Err(Error::value(place, format!("probabilities of sample {i}")).expected("none negative, not all 0"))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// Against the integral by its definition on a fine grid, for truths within, on and beyond the edges.
    #[test]
    fn crps_is_the_integral() -> Result<()> {
        let (p, edges) = ([0.1, 0.0, 0.5, 0.4], [-1.0, 0.0, 0.5, 2.0, 3.0]);
        for t in [-2.5, -1.0, 0.3, 0.5, 1.7, 3.0, 4.25] {
            let below = |x: f64| pit(&p, &edges, &[x]).map(|f| f[0]);
            let (n, from, to) = (100_000, -3.0, 5.0);
            let mut sum = 0.0;
            for i in 0..n {
                let x = from + (f64::from(i) + 0.5) * (to - from) / f64::from(n);
                sum += (below(x)? - f64::from(x >= t)).powi(2) * (to - from) / f64::from(n);
            }
            // One cell of the grid holds the step, and is wrong by its width at most.
            let found = crps(&p, &edges, &[t])?;
            assert!((found - sum).abs() <= 8e-5, "{t}: {found} and {sum}");
        }
        Ok(())
    }

    #[test]
    fn sharp_and_wide() -> Result<()> {
        // Uniform over 0..1: ∫ x² to t and (1−x)² from there; 1/12 in the middle. Sums other than 1 are scaled away.
        assert!((crps(&[2.0, 2.0], &[0.0, 0.5, 1.0], &[0.5])? - 1.0 / 12.0).abs() < 1e-15);
        // Far outside, the distance and what the width adds: 10 − 1 + 1/3.
        assert!((crps(&[1.0], &[0.0, 1.0], &[10.0])? - (9.0 + 1.0 / 3.0)).abs() < 1e-14);
        assert_eq!(pit(&[1.0, 3.0, 1.0, 1.0], &[0.0, 1.0, 2.0], &[1.5, -1.0])?, [0.25 + 0.375, 0.0]);
        assert_eq!(pit(&[1.0, 3.0], &[0.0, 1.0, 2.0], &[9.0])?, [1.0]);
        Ok(())
    }

    #[test]
    fn bad_input_is_an_error() {
        let kind = |p: &[f64], e: &[f64], t: &[f64]| (crps(p, e, t).map_err(|e| e.kind()), pit(p, e, t).is_err());
        let edges = [0.0, 1.0, 2.0];
        assert_eq!(kind(&[0.5, 0.5], &[0.0], &[1.0]), (Err(ErrorKind::Shape), true));
        assert_eq!(kind(&[0.5, 0.5], &[0.0, 1.0, 1.0], &[1.0]), (Err(ErrorKind::Value), true));
        assert_eq!(kind(&[0.5, 0.5], &[0.0, f64::NAN, 1.0], &[1.0]), (Err(ErrorKind::Value), true));
        assert_eq!(kind(&[0.5, 0.5, 1.0], &edges, &[1.0]), (Err(ErrorKind::Shape), true));
        assert_eq!(kind(&[0.5, 0.5], &edges, &[1.0, 2.0]), (Err(ErrorKind::Shape), true));
        assert_eq!(kind(&[], &edges, &[]), (Err(ErrorKind::Shape), true));
        assert_eq!(kind(&[1.5, -0.5], &edges, &[1.0]), (Err(ErrorKind::Value), true));
        assert_eq!(kind(&[0.0, 0.0], &edges, &[1.0]), (Err(ErrorKind::Value), true));
        assert_eq!(kind(&[0.5, f64::NAN], &edges, &[1.0]), (Err(ErrorKind::Value), true));
        assert_eq!(kind(&[0.5, 0.5], &edges, &[f64::INFINITY]), (Err(ErrorKind::Value), true));
    }
}
