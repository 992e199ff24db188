//! Scores of predictions: classes, rankings, regressions, probabilities.
//!
//! Inputs are plain slices of predictions and truth, sample after sample. Every function refuses slices whose lengths do
//! not fit together, empty ones, class indices out of range, and NaN. Sums are in f64.

mod calibration;
mod confusion;
mod density;
mod regression;
mod roc;
mod temperature;

pub use calibration::{Bin, Reliability, brier};
pub use confusion::{Confusion, Scores};
pub use density::{crps, pit};
pub use regression::{Residuals, r2};
pub use roc::{Roc, RocPoint, roc_auc_one_vs_rest};
pub use temperature::Temperature;

use crate::{Error, Real, Result};

/// The index of the largest score; the first of equals.
///
/// # Errors
/// [`ErrorKind::Value`](crate::ErrorKind::Value) for NaN, [`ErrorKind::Shape`](crate::ErrorKind::Shape) for no scores.
///
/// # Examples
/// ```
/// assert_eq!(kamacite::metrics::argmax(&[0.2_f32, 0.5, 0.5])?, 1);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn argmax<T: Real>(scores: &[T]) -> Result<usize> {
    no_nan("argmax", scores)?;
    let first = *scores.first().ok_or_else(|| Error::shape("argmax", "no scores"))?;
    let largest = |(at, top), (i, &x): (usize, &T)| if x > top { (i, x) } else { (at, top) };
    Ok(scores.iter().enumerate().fold((0, first), largest).0)
}

/// The predicted class of each sample, from `classes` scores per sample.
///
/// # Errors
/// As [`argmax`], and for scores that do not fill a whole number of samples.
pub fn predicted<T: Real>(scores: &[T], classes: usize) -> Result<Vec<u32>> {
    rows("predicted", scores, classes)?.map(|row| argmax(row).map(|c| c as u32)).collect()
}

/// The share of samples whose predicted class is the true one.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for unequal lengths and for no samples.
///
/// # Examples
/// ```
/// assert_eq!(kamacite::metrics::accuracy(&[0, 1, 1, 2], &[0, 1, 2, 2])?, 0.75);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn accuracy(predicted: &[u32], truth: &[u32]) -> Result<f64> {
    same_len("accuracy", predicted.len(), truth.len())?;
    let right = predicted.iter().zip(truth).filter(|(p, t)| p == t).count();
    Ok(right as f64 / truth.len() as f64)
}

/// The share of samples whose true class is among the `k` largest scores; of equal scores the first count first.
///
/// # Errors
/// As [`predicted`], and for `k` = 0 and classes out of range.
pub fn top_k<T: Real>(scores: &[T], classes: usize, truth: &[u32], k: usize) -> Result<f64> {
    if k == 0 {
        return Err(Error::value("top k", "k").expected("at least 1").got(k));
    }
    let rows = rows("top k", scores, classes)?;
    same_len("top k", rows.len(), truth.len())?;
    no_nan("top k", scores)?;
    let mut right = 0;
    for (row, &t) in rows.zip(truth) {
        let own = *row.get(t as usize).ok_or_else(|| out_of_range("top k", t, classes))?;
        let ahead = row.iter().enumerate().filter(|&(i, &x)| x > own || (x == own && i < t as usize)).count();
        right += usize::from(ahead < k);
    }
    Ok(right as f64 / truth.len() as f64)
}

/// Equal lengths, and not empty.
fn same_len(place: &str, predicted: usize, truth: usize) -> Result<()> {
    if predicted != truth {
        return Err(Error::shape(place, "as many predictions as true values").expected(truth).got(predicted));
    }
    if truth == 0 { Err(Error::shape(place, "no samples").expected("at least 1")) } else { Ok(()) }
}

fn no_nan<T: Real>(place: &str, x: &[T]) -> Result<()> {
    match x.iter().position(|x| x.to_f64().is_nan()) {
        Some(i) => Err(Error::value(place, format!("value {i} is NaN"))),
        None => Ok(()),
    }
}

fn finite<T: Real>(place: &str, x: &[T]) -> Result<()> {
    match x.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(Error::value(place, format!("value {i}")).expected("a finite number").got(x[i])),
        None => Ok(()),
    }
}

/// The scores sample by sample.
fn rows<'a, T>(place: &str, scores: &'a [T], classes: usize) -> Result<std::slice::ChunksExact<'a, T>> {
    if classes == 0 || !scores.len().is_multiple_of(classes) {
        let what = format!("scores in rows of {classes} classes");
        return Err(Error::shape(place, what).expected("a whole number of rows").got(format!("{} scores", scores.len())));
    }
    Ok(scores.chunks_exact(classes))
}

#[cold]
fn out_of_range(place: &str, class: u32, classes: usize) -> Error {
    Error::value(place, "class").expected(format!("below {classes}")).got(class)
}

/// Ten samples of three classes for tests; expected numbers are from scikit-learn 1.9.1 on the same values.
#[cfg(test)]
#[rustfmt::skip]
const PROBABILITIES: [f64; 30] = [
    0.5, 0.3, 0.2,  0.2, 0.6, 0.2,  0.1, 0.1, 0.8,  0.4, 0.4, 0.2,  0.3, 0.3, 0.4,
    0.25, 0.5, 0.25,  0.6, 0.2, 0.2,  0.1, 0.7, 0.2,  0.2, 0.2, 0.6,  0.35, 0.35, 0.3,
];
#[cfg(test)]
const TRUTH: [u32; 10] = [0, 1, 2, 1, 0, 1, 0, 2, 2, 0];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn accuracy_and_top_k() -> Result<()> {
        let classes = predicted(&PROBABILITIES, 3)?;
        assert_eq!(classes, [0, 1, 2, 0, 2, 1, 0, 1, 2, 0]);
        // sklearn.metrics.top_k_accuracy_score(k=1) = 0.7.
        assert_eq!(accuracy(&classes, &TRUTH)?, 0.7);
        assert_eq!(top_k(&PROBABILITIES, 3, &TRUTH, 1)?, 0.7);
        // Each of the three wrong ones is right at the second attempt; ties count in the order of the classes.
        assert_eq!(top_k(&PROBABILITIES, 3, &TRUTH, 2)?, 1.0);
        assert_eq!(top_k(&[0.3_f32, 0.3, 0.4, 0.3, 0.3, 0.4], 3, &[0, 1], 2)?, 0.5);
        assert_eq!(top_k(&PROBABILITIES, 3, &TRUTH, 99)?, 1.0);
        Ok(())
    }

    #[test]
    fn bad_input_is_an_error() {
        let kind = |r: Result<f64>| r.map_err(|e| e.kind());
        assert_eq!(kind(accuracy(&[1], &[1, 2])), Err(ErrorKind::Shape));
        assert_eq!(kind(accuracy(&[], &[])), Err(ErrorKind::Shape));
        assert_eq!(kind(top_k(&[0.1_f32, f32::NAN], 2, &[0], 1)), Err(ErrorKind::Value));
        assert_eq!(kind(top_k(&[0.1_f32, 0.2], 2, &[2], 1)), Err(ErrorKind::Value));
        assert_eq!(kind(top_k(&[0.1_f32, 0.2], 2, &[1], 0)), Err(ErrorKind::Value));
        assert_eq!(kind(top_k(&[0.1_f32, 0.2, 0.3], 2, &[1], 1)), Err(ErrorKind::Shape));
        assert_eq!(kind(top_k::<f32>(&[], 0, &[], 1)), Err(ErrorKind::Shape));
        assert!(argmax::<f32>(&[]).is_err() && argmax(&[f64::NAN, 1.0]).is_err());
    }
}
