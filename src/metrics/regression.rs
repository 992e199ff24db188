//! Scores of regressions, from the residuals r = prediction − truth.
//!
//! bias = mean(r), MSE = mean(r²), RMSE = √MSE, MAE = mean(|r|), MAD = median(|r − median(r)|), and 1.4826·MAD, which is
//! the standard deviation where r is normal. Photometric redshifts take r = (z_phot − z)/(1 + z).

use super::{finite, same_len};
use crate::{Error, Real, Result};

/// The residuals of a regression and their statistics.
///
/// # Examples
/// ```
/// use kamacite::metrics::Residuals;
/// let r = Residuals::of(&[2.5_f32, 0.0, 2.0, 8.0], &[3.0, -0.5, 2.0, 7.0])?;
/// assert_eq!((r.bias(), r.mae(), r.mse()), (0.25, 0.5, 0.375));
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Residuals(Vec<f64>);

impl Residuals {
    /// prediction − truth.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for unequal lengths and for no samples,
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for NaN and infinities.
    pub fn of<T: Real>(predicted: &[T], truth: &[T]) -> Result<Self> {
        same_len("residuals", predicted.len(), truth.len())?;
        finite("predictions", predicted)?;
        finite("truth", truth)?;
        Ok(Self(predicted.iter().zip(truth).map(|(p, t)| p.to_f64() - t.to_f64()).collect()))
    }

    /// (prediction − truth)/(1 + truth): the convention for photometric redshifts.
    ///
    /// # Errors
    /// As [`Residuals::of`], and for true redshifts of −1 or less.
    pub fn redshift<T: Real>(predicted: &[T], truth: &[T]) -> Result<Self> {
        let mut r = Self::of(predicted, truth)?;
        for (r, t) in r.0.iter_mut().zip(truth) {
            let scale = 1.0 + t.to_f64();
            if scale <= 0.0 {
                return Err(Error::value("residuals", "true redshift").expected("above -1").got(t));
            }
            *r /= scale;
        }
        Ok(r)
    }

    /// The residuals, sample by sample.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// Their mean.
    pub fn bias(&self) -> f64 {
        self.mean(|r| r)
    }

    /// The mean of their squares.
    pub fn mse(&self) -> f64 {
        self.mean(|r| r * r)
    }

    /// The root of the mean of their squares.
    pub fn rmse(&self) -> f64 {
        self.mse().sqrt()
    }

    /// The mean of their sizes.
    pub fn mae(&self) -> f64 {
        self.mean(f64::abs)
    }

    /// The median of their distances from their median.
    pub fn mad(&self) -> f64 {
        let middle = median(self.0.clone());
        median(self.0.iter().map(|r| (r - middle).abs()).collect())
    }

    /// 1.4826·MAD: an estimate of the standard deviation that outliers hardly touch.
    pub fn normalised_mad(&self) -> f64 {
        // 1/Φ⁻¹(3/4).
        1.482_602_218_505_602 * self.mad()
    }

    /// The share of residuals larger than `limit` in size; 0.15 is customary for photometric redshifts.
    pub fn outliers(&self, limit: f64) -> f64 {
        self.mean(|r| f64::from(r.abs() > limit))
    }

    fn mean(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.0.iter().map(|&r| of(r)).sum::<f64>() / self.0.len() as f64
    }
}

/// The mean of the two middle values where their number is even.
fn median(mut x: Vec<f64>) -> f64 {
    x.sort_unstable_by(f64::total_cmp);
    let middle = x.len() / 2;
    let at = |i: usize| x.get(i).copied().unwrap_or(f64::NAN);
    if x.len() % 2 == 1 { at(middle) } else { 0.5 * (at(middle.wrapping_sub(1)) + at(middle)) }
}

/// The coefficient of determination R² = 1 − Σ(p − t)²/Σ(t − mean(t))²: 1 is perfect, 0 no better than the mean.
///
/// # Errors
/// As [`Residuals::of`], and where the truth is constant.
pub fn r2<T: Real>(predicted: &[T], truth: &[T]) -> Result<f64> {
    let r = Residuals::of(predicted, truth)?;
    let n = truth.len() as f64;
    let mean = truth.iter().map(|t| t.to_f64()).sum::<f64>() / n;
    let spread = truth.iter().map(|t| (t.to_f64() - mean).powi(2)).sum::<f64>() / n;
    if spread == 0.0 {
        return Err(Error::value("r2", "the truth is constant").hint("R² compares with the spread of the truth"));
    }
    Ok(1.0 - r.mse() / spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const PREDICTED: [f64; 7] = [2.5, 0.0, 2.0, 8.0, -1.25, 3.5, 100.0];
    const TRUTH: [f64; 7] = [3.0, -0.5, 2.0, 7.0, -1.0, 3.25, 4.0];

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-14 * b.abs()
    }

    /// Constants from scikit-learn 1.9.1 (r2_score, root_mean_squared_error, mean_absolute_error) and NumPy.
    #[test]
    fn as_scikit_learn() -> Result<()> {
        let r = Residuals::of(&PREDICTED, &TRUTH)?;
        assert!(close(r2(&PREDICTED, &TRUTH)?, -204.734_157_034_675_15));
        assert!(close(r.rmse(), 36.287_788_185_952_74) && close(r.mae(), 14.071_428_571_428_571));
        assert!(close(r.bias(), 13.857_142_857_142_858) && r.mad() == 0.5 && close(r.normalised_mad(), 0.741_301_109_252_801));
        assert!(close(r.outliers(0.6), 2.0 / 7.0));
        assert_eq!(r2(&TRUTH, &TRUTH)?, 1.0);
        // Even count: residuals 1, 2, 4, 9 have the median 3, and 2, 1, 1, 6 from it have 1.5.
        assert_eq!(Residuals::of(&[1.0, 2.0, 4.0, 9.0], &[0.0; 4])?.mad(), 1.5);
        assert_eq!(Residuals::redshift(&[1.5_f32, 0.5], &[1.0, 1.0])?.values(), [0.25, -0.25]);
        Ok(())
    }

    #[test]
    fn bad_input_is_an_error() {
        let kind = |r: Result<f64>| r.map_err(|e| e.kind());
        assert_eq!(kind(r2(&[1.0, 2.0], &[3.0, 3.0])), Err(ErrorKind::Value));
        assert_eq!(kind(r2(&[1.0, f64::NAN], &[3.0, 4.0])), Err(ErrorKind::Value));
        assert_eq!(kind(r2(&[1.0, 2.0], &[3.0, f64::INFINITY])), Err(ErrorKind::Value));
        assert_eq!(kind(r2(&[1.0], &[3.0, 4.0])), Err(ErrorKind::Shape));
        assert_eq!(kind(r2::<f32>(&[], &[])), Err(ErrorKind::Shape));
        assert!(Residuals::redshift(&[1.0_f32], &[-1.0]).is_err());
    }
}
