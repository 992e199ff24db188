//! What to do with values that are missing: NaN or infinite.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What becomes of a value that is NaN or infinite, or of an empty field in a table.
///
/// # Examples
/// ```
/// use kamacite::data::{Missing, Samples};
/// use kamacite::Extent;
/// let x = || vec![1.0, f32::NAN, 3.0, 5.0];
/// assert!(Samples::new(Extent::flat(2), x()).is_err());
/// let median = Samples::with_missing(Extent::flat(2), x(), Missing::Median)?;
/// assert_eq!(median.x(0), [1.0, 5.0, 3.0, 5.0]);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Missing {
    /// Refuse the data, naming the sample and the feature.
    #[default]
    Error,
    /// Leave it: the network will see it.
    Keep,
    /// Put zero.
    Zero,
    /// Put this value.
    Value(f32),
    /// Put the median of the feature over the samples that have it; 0 where none has.
    Median,
}

impl Missing {
    /// Treats samples of `features` values each, in place.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for the first missing value under [`Missing::Error`].
    pub fn treat(self, place: impl fmt::Display, x: &mut [f32], features: usize) -> Result<()> {
        let features = features.max(1);
        let Some(first) = x.iter().position(|x| !x.is_finite()) else { return Ok(()) };
        let put = match self {
            Self::Keep => return Ok(()),
            Self::Error => return Err(at(place, x[first], first, features)),
            Self::Zero => 0.0,
            Self::Value(v) => v,
            Self::Median => {
                for feature in 0..features {
                    fill_median(x, feature, features);
                }
                return Ok(());
            }
        };
        x[first..].iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = put);
        Ok(())
    }
}

/// The error for a missing value at `index` of samples of `features` values.
pub(crate) fn at(place: impl fmt::Display, value: f32, index: usize, features: usize) -> Error {
    let (sample, feature) = (index / features, index % features);
    Error::value(place, format!("{value} in sample {sample}, feature {feature}"))
        .expected("finite values")
        .hint("choose another Missing policy: Zero, Value, Median or Keep")
}

fn fill_median(x: &mut [f32], feature: usize, features: usize) {
    let column = || x.iter().skip(feature).step_by(features);
    if column().all(|x| x.is_finite()) {
        return;
    }
    let mut known: Vec<f32> = column().copied().filter(|x| x.is_finite()).collect();
    let put = median(&mut known).unwrap_or(0.0);
    x.iter_mut().skip(feature).step_by(features).filter(|x| !x.is_finite()).for_each(|x| *x = put);
}

/// The mean of the two middle values; `None` of nothing. The values must not contain NaN; their order changes.
pub(crate) fn median(x: &mut [f32]) -> Option<f32> {
    quantile(x, 0.5)
}

/// The value at fraction `q` of the sorted values, interpolated linearly between neighbours (NumPy's default).
pub(crate) fn quantile(x: &mut [f32], q: f64) -> Option<f32> {
    let last = x.len().checked_sub(1)?;
    let position = q.clamp(0.0, 1.0) * last as f64;
    let below = (position as usize).min(last);
    let (_, &mut low, above) = x.select_nth_unstable_by(below, f32::total_cmp);
    let high = above.iter().copied().min_by(f32::total_cmp).unwrap_or(low);
    let t = position - below as f64;
    Some(between(low, high, t))
}

/// The values at two fractions, low <= high, as [`quantile`]: the second is looked for above the first only.
pub(crate) fn quantiles(x: &mut [f32], low: f64, high: f64) -> Option<(f32, f32)> {
    let first = quantile(x, low)?;
    let below = ((low.clamp(0.0, 1.0) * (x.len() - 1) as f64) as usize).min(x.len() - 1);
    let position = high.clamp(0.0, 1.0) * (x.len() - 1) as f64;
    let at = (position as usize).min(x.len() - 1).max(below);
    let (_, &mut a, above) = x[below..].select_nth_unstable_by(at - below, f32::total_cmp);
    let b = above.iter().copied().min_by(f32::total_cmp).unwrap_or(a);
    Some((first, between(a, b, position - at as f64)))
}

fn between(low: f32, high: f32, t: f64) -> f32 {
    (f64::from(low) * (1.0 - t) + f64::from(high) * t) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let nan = f32::NAN;
        let x = [1.0, nan, nan, 2.0, nan, 4.0, 7.0, nan, f32::INFINITY];
        let run = |m: Missing| {
            let mut x = x;
            m.treat("x", &mut x, 3).map(|()| x)
        };
        let e = run(Missing::Error).unwrap_err().to_string();
        assert!(e.starts_with("x: NaN in sample 0, feature 1; expected finite values"), "{e}");
        assert_eq!(run(Missing::Zero).unwrap(), [1.0, 0.0, 0.0, 2.0, 0.0, 4.0, 7.0, 0.0, 0.0]);
        assert_eq!(run(Missing::Value(9.0)).unwrap(), [1.0, 9.0, 9.0, 2.0, 9.0, 4.0, 7.0, 9.0, 9.0]);
        // Feature 1 is never known: 0. Feature 2 is known once.
        assert_eq!(run(Missing::Median).unwrap(), [1.0, 0.0, 4.0, 2.0, 0.0, 4.0, 7.0, 0.0, 4.0]);
        assert!(run(Missing::Keep).unwrap()[1].is_nan());
    }

    #[test]
    fn quantiles_interpolate() {
        let q = |q| quantile(&mut [4.0, 1.0, 3.0, 2.0], q).unwrap();
        assert_eq!([q(0.0), q(0.5), q(1.0), q(0.25)], [1.0, 2.5, 4.0, 1.75]);
        assert_eq!(median(&mut []), None);
    }
}
