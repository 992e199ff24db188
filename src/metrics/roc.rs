//! The receiver operating characteristic: hits against false alarms as the threshold on a score falls.

use super::{no_nan, out_of_range, rows, same_len};
use crate::{Error, Real, Result};

/// One threshold of a [`Roc`]: samples with scores at or above it count as positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// The threshold.
    pub threshold: f64,
    /// Negative samples at or above it.
    pub false_positives: u64,
    /// Positive samples at or above it.
    pub true_positives: u64,
}

/// The curve: one point per distinct score, from none to all samples. Equal scores make one step, aslant.
///
/// # Examples
/// ```
/// use kamacite::metrics::Roc;
/// let roc = Roc::of(&[0.1_f32, 0.4, 0.35, 0.8], &[false, false, true, true])?;
/// assert_eq!(roc.auc(), 0.75);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    points: Vec<RocPoint>,
}

impl Roc {
    /// The curve of these scores, where higher means positive.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for unequal lengths, [`ErrorKind::Value`](crate::ErrorKind::Value)
    /// for NaN and where one of the two classes is absent.
    pub fn of<T: Real>(scores: &[T], positive: &[bool]) -> Result<Self> {
        same_len("roc", scores.len(), positive.len())?;
        no_nan("roc", scores)?;
        let mut order: Vec<(f64, bool)> = scores.iter().map(|s| s.to_f64()).zip(positive.iter().copied()).collect();
        // Without NaN, only the order of −0 and 0 is arbitrary, and they are equal below.
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut now = RocPoint { threshold: f64::INFINITY, false_positives: 0, true_positives: 0 };
        let mut points = vec![now];
        for same in order.chunk_by(|a, b| a.0 == b.0) {
            let hits = same.iter().filter(|(_, positive)| *positive).count();
            now.threshold = same.first().map_or(now.threshold, |s| s.0);
            now.true_positives += hits as u64;
            now.false_positives += (same.len() - hits) as u64;
            points.push(now);
        }
        if now.true_positives == 0 || now.false_positives == 0 {
            let absent = if now.true_positives == 0 { "positive" } else { "negative" };
            return Err(Error::value("roc", format!("no {absent} samples")).expected("at least one of each class"));
        }
        Ok(Self { points })
    }

    /// The points, by falling threshold; the first has an infinite one.
    pub fn points(&self) -> &[RocPoint] {
        &self.points
    }

    /// The largest share of positives found while at most this share of the negatives is: the completeness at a false-alarm rate, and at 0
    /// (TPR0) the share of positives that score above every negative.
    ///
    /// # Examples
    /// ```
    /// use kamacite::metrics::Roc;
    /// let roc = Roc::of(&[0.1_f32, 0.4, 0.35, 0.8], &[false, false, true, true])?;
    /// assert_eq!((roc.recall_at(0.0), roc.recall_at(0.5)), (0.5, 1.0));
    /// # Ok::<(), kamacite::Error>(())
    /// ```
    pub fn recall_at(&self, false_alarms: f64) -> f64 {
        let Some(all) = self.points.last() else { return 0.0 };
        let within = |p: &&RocPoint| p.false_positives as f64 <= false_alarms * all.false_positives as f64;
        let found = self.points.iter().rev().find(within).map_or(0, |p| p.true_positives);
        found as f64 / all.true_positives as f64
    }

    /// The area under the curve: the chance that a positive sample scores above a negative one, ties counting half.
    pub fn auc(&self) -> f64 {
        let Some(all) = self.points.last() else { return 0.0 };
        let twice = |w: &[RocPoint]| {
            let width = w[1].false_positives - w[0].false_positives;
            u128::from(width) * u128::from(w[1].true_positives + w[0].true_positives)
        };
        let area: u128 = self.points.windows(2).map(twice).sum();
        area as f64 / (2 * u128::from(all.true_positives) * u128::from(all.false_positives)) as f64
    }
}

/// The plain mean over the classes of each one's area under the curve against all others, from `classes` scores a sample.
///
/// # Errors
/// As [`Roc::of`]; every class must occur.
pub fn roc_auc_one_vs_rest<T: Real>(scores: &[T], classes: usize, truth: &[u32]) -> Result<f64> {
    let rows = rows("roc", scores, classes)?;
    same_len("roc", rows.len(), truth.len())?;
    if let Some(&class) = truth.iter().find(|t| **t as usize >= classes) {
        return Err(out_of_range("roc", class, classes));
    }
    let mut sum = 0.0;
    for class in 0..classes {
        let own: Vec<T> = rows.clone().map(|row| row[class]).collect();
        let positive: Vec<bool> = truth.iter().map(|&t| t as usize == class).collect();
        sum += Roc::of(&own, &positive).map_err(|e| e.at(format!("class {class}")))?.auc();
    }
    Ok(sum / classes as f64)
}

#[cfg(test)]
mod tests {
    use super::super::{PROBABILITIES, TRUTH};
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    const SCORES: [f64; 12] = [0.1, 0.4, 0.35, 0.8, 0.4, 0.4, 0.9, 0.05, 0.8, 0.35, 0.6, 0.2];
    const POSITIVE: [u8; 12] = [0, 0, 1, 1, 1, 0, 1, 0, 0, 0, 1, 0];

    /// Constants from scikit-learn 1.9.1: roc_auc_score, roc_curve(drop_intermediate=False).
    #[test]
    fn as_scikit_learn() -> Result<()> {
        let roc = Roc::of(&SCORES, &POSITIVE.map(|p| p == 1))?;
        assert_eq!(roc.auc(), 0.8);
        let points: Vec<_> = roc.points().iter().map(|p| (p.threshold, p.false_positives, p.true_positives)).collect();
        let expected = [
            (f64::INFINITY, 0, 0),
            (0.9, 0, 1),
            (0.8, 1, 2),
            (0.6, 1, 3),
            (0.4, 3, 4),
            (0.35, 4, 5),
            (0.2, 5, 5),
            (0.1, 6, 5),
            (0.05, 7, 5),
        ];
        assert_eq!(points, expected);
        // A seventh of false alarms allows one of 7; between one and three there is no threshold.
        assert_eq!([0.0, 0.14, 1.0 / 7.0, 0.42, 3.0 / 7.0, 1.0].map(|f| roc.recall_at(f)), [0.2, 0.2, 0.6, 0.6, 0.8, 1.0]);
        let mean = roc_auc_one_vs_rest(&PROBABILITIES, 3, &TRUTH)?;
        assert!((mean - 0.8452380952380952).abs() < 1e-15, "{mean}");
        Ok(())
    }

    #[test]
    fn bad_input_is_an_error() {
        let kind = |r: Result<Roc>| r.map(|_| ()).map_err(|e| e.kind());
        assert_eq!(kind(Roc::of(&[0.5_f32, f32::NAN], &[true, false])), Err(ErrorKind::Value));
        assert_eq!(kind(Roc::of(&[0.5_f32, 0.1], &[true, true])), Err(ErrorKind::Value));
        assert_eq!(kind(Roc::of(&[0.5_f32], &[true, false])), Err(ErrorKind::Shape));
        assert_eq!(kind(Roc::of::<f32>(&[], &[])), Err(ErrorKind::Shape));
        assert!(roc_auc_one_vs_rest(&[0.5_f32, 0.5, 0.1, 0.9], 2, &[0, 2]).is_err());
        assert!(roc_auc_one_vs_rest(&[0.5_f32, 0.5, 0.1, 0.9], 2, &[0, 0]).is_err());
    }

    proptest! {
        /// The area by its definition, over all pairs; and infinite scores and signed zeros are scores like others.
        #[test]
        fn area_is_the_chance_to_rank_right(samples in prop::collection::vec((0..6_usize, any::<bool>()), 2..40)) {
            let values = [f32::NEG_INFINITY, -1.0, -0.0, 0.0, 2.5, f32::INFINITY];
            let (scores, positive): (Vec<f32>, Vec<bool>) = samples.iter().map(|&(i, p)| (values[i], p)).unzip();
            let of = |class: bool| positive.iter().zip(&scores).filter(move |(p, _)| **p == class).map(|(_, s)| *s);
            let (hits, misses) = (of(true).count(), of(false).count());
            prop_assume!(hits > 0 && misses > 0);
            let twice: usize = of(true).flat_map(|p| of(false).map(move |n| 2 * usize::from(p > n) + usize::from(p == n))).sum();
            let roc = Roc::of(&scores, &positive).expect("legal");
            prop_assert_eq!(roc.auc(), twice as f64 / (2 * hits * misses) as f64);
        }
    }
}
