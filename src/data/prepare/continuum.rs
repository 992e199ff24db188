//! What remains of a spectrum without its continuum.

use super::Scratch;
use crate::{Error, Extent, Result};
use serde::{Deserialize, Serialize};

/// The highest order of polynomials: beyond it the normal equations lose their digits.
const MOST: usize = 30;

/// How the continuum is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fit {
    /// The median of `window` neighbours, an odd number; at the ends of those that there are.
    Median {
        /// Values of the median.
        window: usize,
    },
    /// A sum of Chebyshev polynomials up to `order`, fitted by least squares; then again without what lies more than `low` standard
    /// deviations below or `high` above, until nothing changes or `rounds` are over. Absorption lines ask for a small `low`.
    Chebyshev {
        /// Degree of the polynomial.
        order: usize,
        /// Standard deviations below the fit.
        low: f64,
        /// Standard deviations above.
        high: f64,
        /// Fits, at most.
        rounds: usize,
    },
}

/// Takes the continuum out of every line (along w) and channel: y = x/continuum, or y = x − continuum. Values that are not finite take
/// no part in the fit.
///
/// # Errors
/// A continuum to divide by that is not above 0; fewer values than the polynomial has terms.
///
/// # Examples
/// ```
/// use kamacite::data::prepare::{Continuum, Prepare};
/// use kamacite::Extent;
/// let prepare = Prepare::new().continuum(Continuum::chebyshev(1));
/// let mut x: Vec<f32> = (0..100).map(|i| (2.0 + 0.1 * i as f32) * if i == 50 { 0.2 } else { 1.0 }).collect();
/// prepare.apply(&mut x, Extent::line(100, 1))?;
/// assert!((x[50] - 0.2).abs() < 1e-4 && (x[10] - 1.0).abs() < 1e-4);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Continuum {
    fit: Fit,
    subtract: bool,
}

impl Continuum {
    /// Divides by this fit.
    pub fn new(fit: Fit) -> Self {
        Self { fit, subtract: false }
    }

    /// Divides by the running median of `window` values.
    pub fn median(window: usize) -> Self {
        Self::new(Fit::Median { window })
    }

    /// Divides by a polynomial of this order, fitted to what lies within −1.5 and +3 standard deviations, in at most 10 rounds.
    pub fn chebyshev(order: usize) -> Self {
        Self::new(Fit::Chebyshev { order, low: 1.5, high: 3.0, rounds: 10 })
    }

    /// Subtracts instead.
    #[must_use]
    pub fn subtract(mut self) -> Self {
        self.subtract = true;
        self
    }

    pub(super) fn check(&self, from: Extent) -> Result<()> {
        match self.fit {
            Fit::Median { window } if window % 2 == 0 => {
                Err(Error::value("running median", "window").expected("an odd number").got(window))
            }
            Fit::Median { .. } => Ok(()),
            Fit::Chebyshev { order, low, high, rounds } => {
                if order > MOST || order >= from.w {
                    let expected = format!("at most {}", MOST.min(from.w.saturating_sub(1)));
                    return Err(Error::value("polynomial", "order").expected(expected).got(order));
                }
                if !(low > 0.0 && high > 0.0) || rounds == 0 {
                    let e = Error::value("polynomial", "limits and rounds").expected("numbers above 0");
                    return Err(e.got(format!("{low}, {high}, {rounds}")));
                }
                Ok(())
            }
        }
    }

    pub(super) fn remove(&self, x: &mut [f32], extent: Extent, scratch: &mut Scratch) -> Result<()> {
        let Extent { w, c, .. } = extent;
        for (row, x) in x.chunks_exact_mut(w * c).enumerate() {
            for channel in 0..c {
                let level = &mut scratch.wide;
                level.clear();
                match self.fit {
                    Fit::Median { window } => {
                        let values = |i: usize| x[i * c + channel];
                        running_median(values, w, window, level, &mut scratch.narrow);
                    }
                    Fit::Chebyshev { order, low, high, rounds } => {
                        level.extend(x.iter().skip(channel).step_by(c).map(|x| f64::from(*x)));
                        Polynomial { order, low, high }.fit(level, rounds, &mut scratch.more)?;
                    }
                }
                for (i, (x, level)) in x.iter_mut().skip(channel).step_by(c).zip(level).enumerate() {
                    *x = match self.subtract {
                        true => (f64::from(*x) - *level) as f32,
                        false if *level > 0.0 || x.is_nan() => (f64::from(*x) / *level) as f32,
                        false => {
                            let place = format!("continuum of line {row}, channel {channel}");
                            return Err(Error::value(place, format!("{level} at position {i}"))
                                .expected("above 0, to divide by")
                                .hint("Continuum::subtract subtracts it"));
                        }
                    };
                }
            }
        }
        Ok(())
    }
}

/// The median of the finite values within window/2 of each position; NaN where there are none.
fn running_median(x: impl Fn(usize) -> f32, n: usize, window: usize, level: &mut Vec<f64>, sorted: &mut Vec<f32>) {
    let half = window / 2;
    sorted.clear();
    let place = |sorted: &[f32], v: f32| sorted.partition_point(|s| s.total_cmp(&v).is_lt());
    let insert = |sorted: &mut Vec<f32>, v: f32| {
        if v.is_finite() {
            sorted.insert(place(sorted, v), v);
        }
    };
    (0..half.min(n)).for_each(|i| insert(sorted, x(i)));
    for i in 0..n {
        if i + half < n {
            insert(sorted, x(i + half));
        }
        if i > half {
            let old = x(i - half - 1);
            if old.is_finite() {
                sorted.remove(place(sorted, old));
            }
        }
        let (m, middle) = (sorted.len(), sorted.len() / 2);
        level.push(match m {
            0 => f64::NAN,
            m if m % 2 == 1 => f64::from(sorted[middle]),
            _ => 0.5 * (f64::from(sorted[middle - 1]) + f64::from(sorted[middle])),
        });
    }
}

struct Polynomial {
    order: usize,
    low: f64,
    high: f64,
}

impl Polynomial {
    /// Replaces the values by the fit. `work` holds the values, and in whose fit they take part.
    fn fit(&self, values: &mut [f64], rounds: usize, work: &mut Vec<f64>) -> Result<()> {
        let n = values.len();
        work.clear();
        work.extend_from_slice(values);
        work.extend(values.iter().map(|v| if v.is_finite() { 1.0 } else { 0.0 }));
        let (x, used) = work.split_at_mut(n);
        let at = |i: usize| if n > 1 { 2.0 * i as f64 / (n - 1) as f64 - 1.0 } else { 0.0 };
        for _ in 0..rounds {
            let terms = self.solve(x, used, at)?;
            values.iter_mut().enumerate().for_each(|(i, v)| *v = clenshaw(&terms[..=self.order], at(i)));
            let residual = |i: usize| x[i] - values[i];
            let kept: f64 = used.iter().sum();
            let square: f64 = (0..n).filter(|&i| used[i] > 0.0).map(|i| residual(i) * residual(i)).sum();
            let deviation = (square / kept).sqrt();
            let mut changed = false;
            for i in 0..n {
                let r = residual(i);
                let keep = x[i].is_finite() && r >= -self.low * deviation && r <= self.high * deviation;
                changed |= used[i] > 0.0 && !keep;
                // A line is left out for good: a fit that swings back and forth would depend on the number of rounds.
                used[i] = if keep && used[i] > 0.0 { 1.0 } else { 0.0 };
            }
            if !changed || used.iter().sum::<f64>() <= self.order as f64 {
                break;
            }
        }
        Ok(())
    }

    /// Least squares by the normal equations of the polynomials, which are almost orthogonal on equal steps.
    fn solve(&self, x: &[f64], used: &[f64], at: impl Fn(usize) -> f64) -> Result<[f64; MOST + 1]> {
        let m = self.order + 1;
        let (mut a, mut b) = ([[0.0; MOST + 1]; MOST + 1], [0.0; MOST + 1]);
        for (i, (x, _)) in x.iter().zip(used).enumerate().filter(|(_, (_, used))| **used > 0.0) {
            let (u, mut t) = (at(i), [1.0; MOST + 1]);
            t[1] = u;
            (2..m).for_each(|k| t[k] = 2.0 * u * t[k - 1] - t[k - 2]);
            for row in 0..m {
                b[row] += t[row] * x;
                (0..=row).for_each(|column| a[row][column] += t[row] * t[column]);
            }
        }
        // Cholesky: a = L·Lᵀ, then L·z = b and Lᵀ·terms = z.
        for row in 0..m {
            for column in 0..=row {
                let dot: f64 = (0..column).map(|k| a[row][k] * a[column][k]).sum();
                let rest = a[row][column] - dot;
                if row == column && rest <= 1e-10 * a[0][0].max(1.0) {
                    return Err(Error::value("polynomial", "too few values for this order")
                        .expected(format!("more than {} that are finite, well spread", self.order))
                        .got(used.iter().sum::<f64>()));
                }
                a[row][column] = if row == column { rest.sqrt() } else { rest / a[column][column] };
            }
        }
        for row in 0..m {
            let dot: f64 = (0..row).map(|k| a[row][k] * b[k]).sum();
            b[row] = (b[row] - dot) / a[row][row];
        }
        for row in (0..m).rev() {
            let dot: f64 = (row + 1..m).map(|k| a[k][row] * b[k]).sum();
            b[row] = (b[row] - dot) / a[row][row];
        }
        Ok(b)
    }
}

/// Σ terms[k]·T_k(u).
fn clenshaw(terms: &[f64], u: f64) -> f64 {
    let (mut b1, mut b2) = (0.0, 0.0);
    for term in terms[1..].iter().rev() {
        (b1, b2) = (2.0 * u * b1 - b2 + term, b1);
    }
    u * b1 - b2 + terms[0]
}
