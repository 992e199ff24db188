//! The confusion matrix and what follows from it.
//!
//! With n(t, p) samples of true class t and predicted class p: recall(t) = n(t,t)/Σₚ n(t,p),
//! precision(p) = n(p,p)/Σₜ n(t,p), F1 their harmonic mean, accuracy = Σ n(t,t)/Σ n.

use super::{out_of_range, same_len};
use crate::{Error, Result};
use std::fmt;

/// The most classes a matrix may have: 128 MiB of counts.
const MAX_CLASSES: usize = 4096;

/// Counts of samples by true and predicted class. `Display` prints it as a table: one row per true class, one column per
/// predicted class, recall at the end of each row, precision below each column, the accuracy last.
///
/// # Examples
/// ```
/// use kamacite::metrics::Confusion;
/// let (truth, predicted) = ([0, 0, 1, 1, 1], [0, 1, 1, 1, 1]);
/// let m = Confusion::of(&predicted, &truth, 2)?.names(&["star", "galaxy"])?;
/// assert_eq!((m.accuracy(), m.recall(0), m.precision(1)), (Some(0.8), Some(0.5), Some(0.75)));
/// assert_eq!(m.to_string(), "\
/// true \\ predicted     star   galaxy    total   recall
/// star                    1        1        2   50.00%
/// galaxy                  0        3        3  100.00%
/// precision         100.00%   75.00%
/// accuracy 80.00% (4 of 5)
/// ");
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// n(t, p) at t·classes + p.
    counts: Vec<u64>,
    names: Vec<String>,
}

/// Precision, recall and their harmonic mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Share of the predictions of a class that are right.
    pub precision: f64,
    /// Share of the samples of a class that are found.
    pub recall: f64,
    /// 2·precision·recall/(precision + recall).
    pub f1: f64,
}

impl Confusion {
    /// An empty matrix. The classes are named by their numbers.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for 0 and for more than 4096 classes.
    pub fn new(classes: usize) -> Result<Self> {
        if classes == 0 || classes > MAX_CLASSES {
            return Err(Error::value("confusion matrix", "number of classes")
                .expected(format!("1 to {MAX_CLASSES}"))
                .got(classes));
        }
        Ok(Self { classes, counts: vec![0; classes * classes], names: (0..classes).map(|c| c.to_string()).collect() })
    }

    /// The matrix of these predictions.
    ///
    /// # Errors
    /// As [`Confusion::new`] and [`Confusion::count`], and for unequal lengths.
    pub fn of(predicted: &[u32], truth: &[u32], classes: usize) -> Result<Self> {
        same_len("confusion matrix", predicted.len(), truth.len())?;
        let mut m = Self::new(classes)?;
        predicted.iter().zip(truth).try_for_each(|(p, t)| m.count(*p, *t))?;
        Ok(m)
    }

    /// The matrix of these counts, n(t, p) at t·classes + p.
    ///
    /// # Errors
    /// As [`Confusion::new`]; [`ErrorKind::Shape`](crate::ErrorKind::Shape) for another number of counts,
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) if their sum is beyond 64 bits.
    pub fn from_counts(classes: usize, counts: Vec<u64>) -> Result<Self> {
        let empty = Self::new(classes)?;
        if counts.len() != empty.counts.len() {
            return Err(Error::shape("confusion matrix", "number of counts").expected(empty.counts.len()).got(counts.len()));
        }
        if counts.iter().try_fold(0_u64, |sum, &n| sum.checked_add(n)).is_none() {
            return Err(Error::value("confusion matrix", "the sum of the counts").expected("below 2^64").got("more"));
        }
        Ok(Self { counts, ..empty })
    }

    /// Names the classes.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for another number of names.
    pub fn names<S: AsRef<str>>(mut self, names: &[S]) -> Result<Self> {
        if names.len() != self.classes {
            return Err(Error::shape("confusion matrix", "names of classes").expected(self.classes).got(names.len()));
        }
        self.names = names.iter().map(|n| n.as_ref().to_string()).collect();
        Ok(self)
    }

    /// Counts one sample.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a class out of range.
    pub fn count(&mut self, predicted: u32, truth: u32) -> Result<()> {
        if let Some(&class) = [predicted, truth].iter().find(|c| **c as usize >= self.classes) {
            return Err(out_of_range("confusion matrix", class, self.classes));
        }
        self.counts[truth as usize * self.classes + predicted as usize] += 1;
        Ok(())
    }

    /// Forgets all samples.
    pub fn clear(&mut self) {
        self.counts.fill(0);
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The name of a class.
    pub fn name(&self, class: usize) -> &str {
        self.names.get(class).map_or("", String::as_str)
    }

    /// Samples of true class `truth` that were predicted to be `predicted`; 0 for classes out of range.
    pub fn get(&self, truth: usize, predicted: usize) -> u64 {
        if truth < self.classes && predicted < self.classes { self.counts[truth * self.classes + predicted] } else { 0 }
    }

    /// The counts of each true class, by predicted class.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes)
    }

    /// Samples in all.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Samples of a true class.
    pub fn support(&self, class: usize) -> u64 {
        (0..self.classes).map(|p| self.get(class, p)).sum()
    }

    /// Samples predicted to be of a class.
    pub fn predictions(&self, class: usize) -> u64 {
        (0..self.classes).map(|t| self.get(t, class)).sum()
    }

    /// Samples that were predicted right.
    pub fn right(&self) -> u64 {
        (0..self.classes).map(|c| self.get(c, c)).sum()
    }

    /// The share of all samples that were predicted right; `None` without samples.
    pub fn accuracy(&self) -> Option<f64> {
        share(self.right(), self.total())
    }

    /// The share of a class's samples that were found; `None` where it has none.
    pub fn recall(&self, class: usize) -> Option<f64> {
        share(self.get(class, class), self.support(class))
    }

    /// The share of a class's predictions that are right; `None` where it was never predicted.
    pub fn precision(&self, class: usize) -> Option<f64> {
        share(self.get(class, class), self.predictions(class))
    }

    /// The harmonic mean of precision and recall; `None` where a class neither occurs nor is predicted.
    pub fn f1(&self, class: usize) -> Option<f64> {
        share(2 * self.get(class, class), self.support(class) + self.predictions(class))
    }

    /// The plain mean over the classes that occur or are predicted; a score that is undefined there counts as 0.
    pub fn macro_average(&self) -> Option<Scores> {
        self.average(|m, c| u64::from(m.support(c) + m.predictions(c) > 0))
    }

    /// The mean over the classes, each weighted by its number of samples; a score that is undefined counts as 0.
    pub fn weighted_average(&self) -> Option<Scores> {
        self.average(Self::support)
    }

    fn average(&self, weight: impl Fn(&Self, usize) -> u64) -> Option<Scores> {
        let weights: Vec<f64> = (0..self.classes).map(|c| weight(self, c) as f64).collect();
        let total: f64 = weights.iter().sum();
        let mean = |score: fn(&Self, usize) -> Option<f64>| {
            weights.iter().enumerate().map(|(c, w)| w * score(self, c).unwrap_or(0.0)).sum::<f64>() / total
        };
        let scores = || Scores { precision: mean(Self::precision), recall: mean(Self::recall), f1: mean(Self::f1) };
        (total > 0.0).then(scores)
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |x: Option<f64>| x.map_or("-".to_string(), |x| format!("{:.2}%", 100.0 * x));
        let corner = "true \\ predicted";
        let longest = self.names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
        let head = longest.max(corner.len());
        // Wide enough for "100.00%", the names and the largest number.
        let width = longest.max(7).max(self.total().to_string().len());

        write!(f, "{corner:<head$}")?;
        self.names.iter().try_for_each(|name| write!(f, "  {name:>width$}"))?;
        writeln!(f, "  {:>width$}  {:>7}", "total", "recall")?;
        for (t, row) in self.rows().enumerate() {
            write!(f, "{:<head$}", self.name(t))?;
            row.iter().try_for_each(|n| write!(f, "  {n:>width$}"))?;
            writeln!(f, "  {:>width$}  {:>7}", self.support(t), percent(self.recall(t)))?;
        }
        write!(f, "{:<head$}", "precision")?;
        (0..self.classes).try_for_each(|c| write!(f, "  {:>width$}", percent(self.precision(c))))?;
        writeln!(f, "\naccuracy {} ({} of {})", percent(self.accuracy()), self.right(), self.total())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const TRUTH: [u32; 16] = [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 4];
    const PREDICTED: [u32; 16] = [0, 0, 1, 0, 2, 1, 1, 0, 1, 2, 2, 2, 1, 2, 2, 2];

    fn close(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() < 1e-15)
    }

    /// Constants from scikit-learn 1.9.1: confusion_matrix, precision_recall_fscore_support(zero_division=0).
    #[test]
    fn as_scikit_learn() -> Result<()> {
        let m = Confusion::of(&PREDICTED, &TRUTH, 5)?;
        let rows: Vec<Vec<u64>> = m.rows().map(<[u64]>::to_vec).collect();
        assert_eq!(rows, [[3, 1, 1, 0, 0], [1, 3, 0, 0, 0], [0, 1, 5, 0, 0], [0; 5], [0, 0, 1, 0, 0]]);
        assert_eq!(m.accuracy(), Some(0.6875));
        let expected =
            [(0.75, 0.6, 2.0 / 3.0), (0.6, 0.75, 2.0 / 3.0), (0.7142857142857143, 0.8333333333333334, 0.7692307692307693)];
        for (c, (precision, recall, f1)) in expected.into_iter().enumerate() {
            assert!(close(m.precision(c), precision) && close(m.recall(c), recall) && close(m.f1(c), f1), "class {c}");
        }
        assert_eq!((m.precision(3), m.recall(3), m.f1(3)), (None, None, None));
        assert_eq!((m.precision(4), m.recall(4), m.f1(4)), (None, Some(0.0), Some(0.0)));
        let plain = m.macro_average().expect("samples");
        assert!(close(Some(plain.precision), 0.5160714285714286), "{plain:?}");
        assert!(close(Some(plain.recall), 0.5458333333333334) && close(Some(plain.f1), 0.5256410256410257), "{plain:?}");
        let weighted = m.weighted_average().expect("samples");
        assert!(close(Some(weighted.precision), 0.6522321428571429), "{weighted:?}");
        assert!(close(Some(weighted.recall), 0.6875) && close(Some(weighted.f1), 0.6634615384615385), "{weighted:?}");
        Ok(())
    }

    /// Recall and precision of the course's matrix of iris: [[18,0,0],[0,17,1],[0,0,14]].
    #[test]
    fn table_of_the_course() -> Result<()> {
        let mut m = Confusion::new(3)?;
        for (t, p, n) in [(0, 0, 18), (1, 1, 17), (1, 2, 1), (2, 2, 14)] {
            (0..n).try_for_each(|_| m.count(p, t))?;
        }
        let m = m.names(&["Setosa", "Versicolor", "Virginica"])?;
        let expected = "\
true \\ predicted      Setosa  Versicolor   Virginica       total   recall
Setosa                    18           0           0          18  100.00%
Versicolor                 0          17           1          18   94.44%
Virginica                  0           0          14          14  100.00%
precision            100.00%     100.00%      93.33%
accuracy 98.00% (49 of 50)
";
        assert_eq!(m.to_string(), expected);
        Ok(())
    }

    #[test]
    fn bad_input_is_an_error_and_an_empty_matrix_prints() -> Result<()> {
        let kind = |r: Result<Confusion>| r.map(|_| ()).map_err(|e| e.kind());
        assert_eq!(kind(Confusion::new(0)), Err(ErrorKind::Value));
        assert_eq!(kind(Confusion::new(1 << 40)), Err(ErrorKind::Value));
        assert_eq!(kind(Confusion::of(&[0, 2], &[0, 1], 2)), Err(ErrorKind::Value));
        assert_eq!(kind(Confusion::of(&[0], &[0, 1], 2)), Err(ErrorKind::Shape));
        assert_eq!(kind(Confusion::new(2)?.names(&["one"])), Err(ErrorKind::Shape));
        let empty = Confusion::new(2)?;
        assert_eq!((empty.accuracy(), empty.macro_average()), (None, None));
        assert!(empty.to_string().ends_with("accuracy - (0 of 0)\n"));
        Ok(())
    }
}
