//! One number that makes probabilities mean what they say: p = softmax(z/T) with the temperature T at which the validation samples are
//! the most likely.
//!
//! With β = 1/T the negative logarithm of the likelihood, Σ ln Σ_k e^{βz_k} − βz_t, is convex in β; the root of its derivative
//! Σ (Σ_k p_k·z_k − z_t) is found by Newton steps in ln β within a bracket that is halved where they leave it.
//!
//! # Source
//! Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks", ICML, section 4.2.

use super::{out_of_range, rows, same_len};
use crate::{Error, Real, Result};

/// A temperature for class probabilities. Which class comes first does not depend on it.
///
/// # Examples
/// ```
/// use kamacite::metrics::Temperature;
/// // Three of four samples are right, at odds of e⁴.
/// let z = [4.0_f32, 0.0, 4.0, 0.0, 4.0, 0.0, 4.0, 0.0];
/// let t = Temperature::fit(&z, 2, &[0, 0, 0, 1])?;
/// let p = t.apply(&z, 2)?;
/// assert!((p[0] - 0.75).abs() < 1e-6);
/// assert!((t.value() - 4.0 / 3.0_f64.ln()).abs() < 1e-9);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature(f64);

/// Bounds of ln β.
const BOUND: f64 = 6.907_755_278_982_137;

impl Temperature {
    /// The temperature of validation samples, from `classes` logits per sample. Logarithms of probabilities are logits as well: those
    /// of a Monte-Carlo mean, say.
    ///
    /// It lies between 1/1000 and 1000, where samples that are all right by far, or no better than by chance, would drive it further.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for lengths that do not fit, [`ErrorKind::Value`](crate::ErrorKind::Value) for
    /// logits that are not finite and classes out of range.
    pub fn fit<T: Real>(logits: &[T], classes: usize, truth: &[u32]) -> Result<Self> {
        let rows = rows(PLACE, logits, classes)?;
        same_len(PLACE, rows.len(), truth.len())?;
        finite(logits)?;
        if let Some(t) = truth.iter().find(|t| **t as usize >= classes) {
            return Err(out_of_range(PLACE, *t, classes));
        }
        let slope = |log: f64| slope(logits, classes, truth, libm::exp(log));
        let (mut low, mut high) = (-BOUND, BOUND);
        if slope(low).0 >= 0.0 {
            return Ok(Self(libm::exp(BOUND)));
        }
        if slope(high).0 <= 0.0 {
            return Ok(Self(libm::exp(-BOUND)));
        }
        let mut at = 0.0;
        for _ in 0..200 {
            let (first, second) = slope(at);
            if first > 0.0 {
                high = at
            } else {
                low = at
            }
            let beta = libm::exp(at);
            // Of the derivative wrt ln β, which is β·first.
            let newton = at - first / (first + beta * second);
            let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
            let moved = (next - at).abs();
            at = next;
            if moved <= 4.0 * f64::EPSILON * (1.0 + at.abs()) {
                break;
            }
        }
        Ok(Self(libm::exp(-at)))
    }

    /// A temperature that was found before.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for numbers that are not positive.
    pub fn new(value: f64) -> Result<Self> {
        if value.is_finite() && value > 0.0 {
            return Ok(Self(value));
        }
        Err(Error::value(PLACE, "temperature").expected("a positive number").got(value))
    }

    /// The number: above 1 where the logits are too sure.
    pub fn value(&self) -> f64 {
        self.0
    }

    /// softmax(z/T) of each row of `classes` logits.
    ///
    /// # Errors
    /// As [`Temperature::fit`].
    pub fn apply<T: Real>(&self, logits: &[T], classes: usize) -> Result<Vec<T>> {
        let rows = rows(PLACE, logits, classes)?;
        finite(logits)?;
        let mut p = Vec::with_capacity(logits.len());
        for z in rows {
            let (top, total) = total(z, 1.0 / self.0);
            p.extend(z.iter().map(|z| T::of(libm::exp((z.to_f64() - top) / self.0) / total)));
        }
        Ok(p)
    }
}

const PLACE: &str = "temperature";

fn finite<T: Real>(logits: &[T]) -> Result<()> {
    match logits.iter().find(|z| !Real::is_finite(**z)) {
        Some(z) => {
            let e = Error::value(PLACE, "logit").expected("a finite number").got(z);
            Err(e.hint("hold probabilities above 0 before their logarithm is taken"))
        }
        None => Ok(()),
    }
}

/// max z and Σ e^{β(z − max z)}
fn total<T: Real>(z: &[T], beta: f64) -> (f64, f64) {
    let top = z.iter().fold(f64::NEG_INFINITY, |top, z| top.max(z.to_f64()));
    (top, z.iter().map(|z| libm::exp(beta * (z.to_f64() - top))).sum())
}

/// First and second derivative of the negative log-likelihood wrt β.
fn slope<T: Real>(logits: &[T], classes: usize, truth: &[u32], beta: f64) -> (f64, f64) {
    let (mut first, mut second) = (0.0, 0.0);
    for (z, t) in logits.chunks_exact(classes).zip(truth) {
        let (top, total) = total(z, beta);
        let (mut mean, mut square) = (0.0, 0.0);
        for z in z {
            let below = z.to_f64() - top;
            let p = libm::exp(beta * below) / total;
            mean += p * below;
            square += p * below * below;
        }
        first += mean - (z[*t as usize].to_f64() - top);
        second += square - mean * mean;
    }
    (first, second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::metrics::Reliability;
    use crate::rng::{Purpose, Stream};

    /// Logits of samples whose classes were drawn at temperature 1, made too sure by `factor`.
    fn drawn(n: usize, factor: f64) -> (Vec<f64>, Vec<u32>) {
        let mut r = Stream::new(3, Purpose::User, 0);
        let (mut z, mut truth) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let row: Vec<f64> = (0..4).map(|_| 2.0 * r.normal()).collect();
            let (top, total) = total(&row, 1.0);
            let (mut u, mut class) = (r.uniform() * total, 0);
            while class < 3 && u > libm::exp(row[class] - top) {
                u -= libm::exp(row[class] - top);
                class += 1;
            }
            truth.push(class as u32);
            z.extend(row.iter().map(|z| factor * z));
        }
        (z, truth)
    }

    #[test]
    fn the_temperature_at_which_classes_were_drawn_is_found() -> Result<()> {
        for factor in [0.1, 0.7, 1.0, 3.0, 40.0] {
            let (z, truth) = drawn(20_000, factor);
            let t = Temperature::fit(&z, 4, &truth)?;
            assert!((t.value() / factor - 1.0).abs() < 0.03, "{factor}: {}", t.value());
            // At the root itself, to rounding.
            let (first, second) = slope(&z, 4, &truth, 1.0 / t.value());
            assert!(first.abs() < 1e-9 * second * factor, "{first} {second}");
            assert!(Reliability::of(&t.apply(&z, 4)?, 4, &truth, 15)?.ece() < 0.015);
        }
        Ok(())
    }

    #[test]
    fn probabilities_sum_to_one_and_keep_their_order() -> Result<()> {
        let (z, _) = drawn(50, 10.0);
        let p = Temperature(2.5).apply(&z, 4)?;
        for (p, z) in p.chunks(4).zip(z.chunks(4)) {
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-14);
            assert!((0..4).all(|a| (0..4).all(|b| (z[a] < z[b]) == (p[a] < p[b]))));
        }
        // Logarithms of probabilities give the same as the logits.
        let log: Vec<f64> = Temperature(1.0).apply(&z, 4)?.iter().map(|p| p.ln()).collect();
        let other = Temperature(2.5).apply(&log, 4)?;
        assert!(p.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-12));
        Ok(())
    }

    #[test]
    fn extremes_are_bounded_and_nonsense_refused() -> Result<()> {
        assert!((Temperature::fit(&[1.0, 0.0, 1.0, 0.0], 2, &[0, 0])?.value() - 1e-3).abs() < 1e-12);
        assert!((Temperature::fit(&[1.0, 0.0, 1.0, 0.0], 2, &[1, 1])?.value() - 1e3).abs() < 1e-9);
        assert!(Temperature::fit(&[0.0; 4], 2, &[1, 0])?.value().is_finite());
        let kind = |z: &[f64], truth: &[u32]| Temperature::fit(z, 2, truth).unwrap_err().kind();
        assert_eq!(kind(&[0.0, f64::NEG_INFINITY], &[0]), ErrorKind::Value);
        assert_eq!(kind(&[0.0, f64::NAN], &[0]), ErrorKind::Value);
        assert_eq!(kind(&[0.0, 1.0], &[2]), ErrorKind::Value);
        assert_eq!(kind(&[0.0, 1.0], &[0, 1]), ErrorKind::Shape);
        assert_eq!(kind(&[0.0, 1.0, 2.0], &[0]), ErrorKind::Shape);
        Ok(())
    }
}
