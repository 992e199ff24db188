//! Whether probabilities mean what they say.
//!
//! Samples are sorted into equal bins by the probability p of the predicted class; in bin b with share s_b, the mean of p
//! is compared with the share of right predictions a_b: ECE = Σ_b s_b·|a_b − p_b|. Bins are closed on the right.
//!
//! # Source
//! Guo et al. 2017, "On calibration of modern neural networks"; Brier 1950, "Verification of forecasts expressed in terms
//! of probability".

use super::{argmax, out_of_range, rows, same_len};
use crate::{Error, Real, Result};

/// One bin of a [`Reliability`] diagram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// Samples in it.
    pub count: u64,
    /// Their mean probability; 0 in an empty bin.
    pub confidence: f64,
    /// The share that came true; 0 in an empty bin.
    pub accuracy: f64,
}

/// A reliability diagram.
///
/// # Examples
/// ```
/// use kamacite::metrics::Reliability;
/// let r = Reliability::of_events(&[0.75_f32, 0.75, 0.75, 0.75, 0.25], &[true, true, true, false, false], 2)?;
/// assert_eq!(r.bins()[1].accuracy, 0.75);
/// assert_eq!(r.ece(), 0.25 / 5.0);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Reliability {
    bins: Vec<Bin>,
}

/// The most bins a diagram may have.
const MAX_BINS: usize = 10_000;

impl Reliability {
    /// Of the predicted class of each sample, from `classes` probabilities per sample.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for lengths that do not fit, [`ErrorKind::Value`](crate::ErrorKind::Value)
    /// for what is no probability, classes out of range, and 0 or more than 10 000 bins.
    pub fn of<T: Real>(probabilities: &[T], classes: usize, truth: &[u32], bins: usize) -> Result<Self> {
        let rows = rows("reliability", probabilities, classes)?;
        same_len("reliability", rows.len(), truth.len())?;
        let (mut top, mut right) = (Vec::with_capacity(truth.len()), Vec::with_capacity(truth.len()));
        for (row, &t) in rows.zip(truth) {
            let class = argmax(row)?;
            if t as usize >= classes {
                return Err(out_of_range("reliability", t, classes));
            }
            top.push(row[class]);
            right.push(class == t as usize);
        }
        Self::of_events(&top, &right, bins)
    }

    /// Of probabilities that something happens, and whether it did.
    ///
    /// # Errors
    /// As [`Reliability::of`].
    pub fn of_events<T: Real>(probabilities: &[T], happened: &[bool], bins: usize) -> Result<Self> {
        same_len("reliability", probabilities.len(), happened.len())?;
        if bins == 0 || bins > MAX_BINS {
            return Err(Error::value("reliability", "number of bins").expected(format!("1 to {MAX_BINS}")).got(bins));
        }
        let mut all = vec![Bin::default(); bins];
        for (p, &h) in probabilities.iter().zip(happened) {
            let p = probability(*p)?;
            let bin = &mut all[((p * bins as f64).ceil() as usize).clamp(1, bins) - 1];
            bin.count += 1;
            bin.confidence += p;
            bin.accuracy += f64::from(h);
        }
        for bin in all.iter_mut().filter(|b| b.count > 0) {
            bin.confidence /= bin.count as f64;
            bin.accuracy /= bin.count as f64;
        }
        Ok(Self { bins: all })
    }

    /// The bins, from probability 0 to 1.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// The expected calibration error: the mean gap between confidence and accuracy.
    pub fn ece(&self) -> f64 {
        let total: u64 = self.bins.iter().map(|b| b.count).sum();
        self.bins.iter().map(|b| b.count as f64 * (b.accuracy - b.confidence).abs()).sum::<f64>() / total as f64
    }

    /// The largest gap.
    pub fn max_error(&self) -> f64 {
        self.bins.iter().filter(|b| b.count > 0).map(|b| (b.accuracy - b.confidence).abs()).fold(0.0, f64::max)
    }
}

/// Brier's score mean Σₖ (pₖ − 1[k = truth])²: 0 is perfect, 2 the worst.
///
/// # Errors
/// As [`Reliability::of`].
pub fn brier<T: Real>(probabilities: &[T], classes: usize, truth: &[u32]) -> Result<f64> {
    let rows = rows("brier", probabilities, classes)?;
    same_len("brier", rows.len(), truth.len())?;
    let mut sum = 0.0;
    for (row, &t) in rows.zip(truth) {
        if t as usize >= classes {
            return Err(out_of_range("brier", t, classes));
        }
        for (k, p) in row.iter().enumerate() {
            sum += (probability(*p)? - f64::from(k == t as usize)).powi(2);
        }
    }
    Ok(sum / truth.len() as f64)
}

fn probability<T: Real>(p: T) -> Result<f64> {
    let p = p.to_f64();
    if (0.0..=1.0).contains(&p) {
        Ok(p)
    } else {
        Err(Error::value("calibration", "probability").expected("0 to 1").got(p).hint("turn logits into probabilities first"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PROBABILITIES, TRUTH};
    use super::*;
    use crate::ErrorKind;

    /// By NumPy on the definition with four bins, (p > i/4) & (p <= (i+1)/4).
    #[test]
    fn calibration_errors() -> Result<()> {
        let r = Reliability::of(&PROBABILITIES, 3, &TRUTH, 4)?;
        assert_eq!(r.bins().iter().map(|b| b.count).collect::<Vec<_>>(), [0, 5, 4, 1]);
        assert!((r.ece() - 0.155).abs() < 1e-15 && (r.max_error() - 0.2).abs() < 1e-15, "{r:?}");
        // Edges belong to the bin below, 0 to the first.
        let edges = Reliability::of_events(&[0.0, 0.25, 0.5, 0.75, 1.0], &[true; 5], 4)?;
        assert_eq!(edges.bins().iter().map(|b| b.count).collect::<Vec<_>>(), [2, 1, 1, 1]);
        Ok(())
    }

    /// scikit-learn 1.9.1: brier_score_loss(scale_by_half=False).
    #[test]
    fn brier_as_scikit_learn() -> Result<()> {
        assert!((brier(&PROBABILITIES, 3, &TRUTH)? - 0.461).abs() < 1e-15);
        Ok(())
    }

    #[test]
    fn bad_input_is_an_error() {
        let kind = |r: Result<Reliability>| r.map(|_| ()).map_err(|e| e.kind());
        assert_eq!(kind(Reliability::of(&[1.5_f32, 0.0], 2, &[0], 4)), Err(ErrorKind::Value));
        assert_eq!(kind(Reliability::of(&[f32::NAN, 0.0], 2, &[0], 4)), Err(ErrorKind::Value));
        assert_eq!(kind(Reliability::of(&[0.5_f32, 0.5], 2, &[2], 4)), Err(ErrorKind::Value));
        assert_eq!(kind(Reliability::of(&[0.5_f32, 0.5], 2, &[0], 0)), Err(ErrorKind::Value));
        assert_eq!(kind(Reliability::of(&[0.5_f32, 0.5], 2, &[0], usize::MAX)), Err(ErrorKind::Value));
        assert_eq!(kind(Reliability::of(&[0.5_f32, 0.5], 2, &[0, 1], 4)), Err(ErrorKind::Shape));
        assert!(brier(&[0.5_f32, -0.1], 2, &[0]).is_err() && brier(&[0.5_f32, 0.1], 2, &[3]).is_err());
    }
}
