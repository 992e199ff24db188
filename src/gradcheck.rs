//! Is a gradient the derivative of its loss? Two-sided differences, extrapolated, tell.
//!
//! For each parameter p_i the differences (L(p_i + h) − L(p_i − h))/2h are taken for twelve steps h, from
//! 0.05·max(1, |p_i|) on each about half the one before, and extrapolated to h = 0 (their error is a series in h²). Of all entries of that
//! table the one is kept that differs least from those it was made of, with the rounding of the loss over h added, which the smallest
//! steps show.
//! So the step needs no choosing: a loss in double precision is differenced at small steps, one that is computed in single precision at
//! larger ones, where rounding is small against the difference, and a kink (a ReLU) counts only as far as it lies within the last steps.
//!
//! # Source
//! Ridders 1982, "Accurate computation of F′(x) and F′(x)·F″(x)", Advances in Engineering Software 4(2).

use crate::{Error, Result};

/// A derivative by differences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Derivative {
    /// ∂L/∂p
    pub value: f64,
    /// About how far it may be off.
    pub uncertainty: f64,
}

/// The parameter at which gradient and differences deviate most.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct GradCheck {
    /// |analytic − numeric| over the largest of |analytic|, |numeric| and a thousandth of the largest |numeric| of all parameters, so
    /// that the rounding of a vanishing component does not decide; 0 where both vanish. Wrong gradients give 0.1 to 2; right ones below
    /// 10⁻⁶ for a loss in double precision, below about 10⁻² for one in single.
    pub deviation: f64,
    /// Its index.
    pub index: usize,
    /// The gradient that was given.
    pub analytic: f64,
    /// The derivative by differences.
    pub numeric: f64,
    /// About how far `numeric` may be off.
    pub uncertainty: f64,
}

/// Compares a gradient with differences of the loss, parameter by parameter, and says where they deviate most. Takes 24 losses for each.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for unequal lengths and for no parameters, [`ErrorKind::Value`](crate::ErrorKind::Value)
/// for a gradient, parameter or loss that is not finite.
///
/// # Examples
/// ```
/// use kamacite::gradcheck::gradcheck;
/// let loss = |p: &[f64]| p[0] * p[0] + (3.0 * p[1]).sin();
/// let p = [0.5, 1.0];
/// assert!(gradcheck(&p, &[1.0, 3.0 * 3.0_f64.cos()], loss)?.deviation < 1e-9);
/// let forgotten = gradcheck(&p, &[1.0, 3.0_f64.cos()], loss)?;
/// assert!(forgotten.index == 1 && forgotten.deviation > 0.6);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn gradcheck(parameters: &[f64], gradient: &[f64], mut loss: impl FnMut(&[f64]) -> f64) -> Result<GradCheck> {
    gradcheck_with(parameters, gradient, None, |p| Ok(loss(p)))
}

/// As [`gradcheck`], for a loss that may fail; its error ends the check. With a `step` there are two losses for each parameter, at
/// p_i ± step, and no uncertainty is known (NaN).
///
/// # Errors
/// As [`gradcheck`], those of the loss, and [`ErrorKind::Value`](crate::ErrorKind::Value) for a step that is not above 0.
pub fn gradcheck_with(
    parameters: &[f64],
    gradient: &[f64],
    step: Option<f64>,
    loss: impl FnMut(&[f64]) -> Result<f64>,
) -> Result<GradCheck> {
    if let Some(h) = step.filter(|h| !h.is_finite() || *h <= 0.0) {
        return Err(Error::value(PLACE, "step").expected("a finite number above 0").got(h));
    }
    if parameters.is_empty() || parameters.len() != gradient.len() {
        let e = Error::shape(PLACE, "one component of the gradient for each parameter");
        return Err(e.expected(format!("{}, at least 1", parameters.len())).got(gradient.len()));
    }
    if let Some(i) = gradient.iter().position(|g| !g.is_finite()) {
        return Err(Error::value(PLACE, format!("component {i} of the gradient")).expected("a finite number").got(gradient[i]));
    }
    let mut at = Probe { p: parameters.to_vec(), step, loss };
    let numeric = (0..parameters.len()).map(|i| at.derivative(i)).collect::<Result<Vec<_>>>()?;
    let floor = 1e-3 * numeric.iter().fold(0.0, |top, d| f64::max(top, d.value.abs()));
    let of = |index: usize| {
        let (analytic, Derivative { value, uncertainty }) = (gradient[index], numeric[index]);
        let size = analytic.abs().max(value.abs()).max(floor);
        let deviation = if size == 0.0 { 0.0 } else { (analytic - value).abs() / size };
        GradCheck { deviation, index, analytic, numeric: value, uncertainty }
    };
    Ok((1..parameters.len()).map(of).fold(of(0), |worst, next| if next.deviation > worst.deviation { next } else { worst }))
}

/// ∂L/∂p_i by differences.
///
/// # Errors
/// As [`gradcheck`], and [`ErrorKind::Shape`](crate::ErrorKind::Shape) for an index past the end.
///
/// # Examples
/// ```
/// let d = kamacite::gradcheck::derivative(&[2.0, 7.0], 0, |p| p[0].powi(3) * p[1])?;
/// assert!((d.value - 84.0).abs() < 1e-8 && d.uncertainty < 1e-6);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn derivative(parameters: &[f64], index: usize, mut loss: impl FnMut(&[f64]) -> f64) -> Result<Derivative> {
    if index >= parameters.len() {
        return Err(Error::shape(PLACE, "index").expected(format!("below {}", parameters.len())).got(index));
    }
    Probe { p: parameters.to_vec(), step: None, loss: |p: &[f64]| Ok(loss(p)) }.derivative(index)
}

const PLACE: &str = "gradient check";
/// The largest step, in units of max(1, |p|).
const FIRST: f64 = 0.05;
/// From step to step. Not a half: with that, numbers near 0 would round alike at every step, and rounding would not show.
const RATIO: f64 = 0.53;
/// Steps: the last is 10⁻³ of the first.
const STEPS: usize = 12;
/// Smallest steps from which rounding is judged.
const ROUNDING: usize = 4;

struct Probe<F> {
    p: Vec<f64>,
    step: Option<f64>,
    loss: F,
}

impl<F: FnMut(&[f64]) -> Result<f64>> Probe<F> {
    fn at(&mut self, i: usize, p: f64) -> Result<f64> {
        let kept = std::mem::replace(&mut self.p[i], p);
        let l = (self.loss)(&self.p);
        self.p[i] = kept;
        let l = l?;
        if l.is_finite() {
            Ok(l)
        } else {
            Err(Error::value(PLACE, format!("the loss, parameter {i} at {p}")).expected("a finite number").got(l))
        }
    }

    fn derivative(&mut self, i: usize) -> Result<Derivative> {
        let p = self.p[i];
        if !p.is_finite() {
            return Err(Error::value(PLACE, format!("parameter {i}")).expected("a finite number").got(p));
        }
        if let Some(h) = self.step {
            let (high, low) = (p + h, p - h);
            if high == low {
                return Err(Error::value(PLACE, format!("step at parameter {i}, {p}")).expected("one that changes it").got(h));
            }
            let value = (self.at(i, high)? - self.at(i, low)?) / (high - low);
            return Ok(Derivative { value, uncertainty: f64::NAN });
        }
        let first = FIRST * p.abs().max(1.0);
        let h = |step: usize| first * RATIO.powi(step as i32);
        // table[step][j] is free of errors up to h^(2j).
        let mut table = [[0.0; STEPS]; STEPS];
        for step in 0..STEPS {
            // Divided by the distance as it was rounded.
            let (high, low) = (p + h(step), p - h(step));
            table[step][0] = (self.at(i, high)? - self.at(i, low)?) / (high - low);
            for j in 1..=step {
                let (near, far) = (table[step][j - 1], table[step - 1][j - 1]);
                table[step][j] = near + (near - far) / (RATIO.powi(-2 * j as i32) - 1.0);
            }
        }
        // What the plain differences of the smallest steps still change by is rounding of the loss, over h.
        let change = |step: usize| (table[step][0] - table[step - 1][0]).abs() * h(step);
        let rounding = (STEPS - ROUNDING..STEPS).map(change).fold(0.0, f64::max);
        let mut best = Derivative { value: f64::NAN, uncertainty: f64::INFINITY };
        for step in 1..STEPS {
            for j in 1..=step {
                let value = table[step][j];
                let made_of = f64::max((value - table[step][j - 1]).abs(), (value - table[step - 1][j - 1]).abs());
                let uncertainty = made_of + rounding / h(step);
                if uncertainty < best.uncertainty {
                    best = Derivative { value, uncertainty };
                }
            }
        }
        Ok(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// A network of 3-5-2 with tanh and half squares, written by hand; weights of both layers one after the other.
    fn network(w: &[f64], x: &[[f64; 3]], t: &[[f64; 2]], round: impl Fn(f64) -> f64) -> (f64, Vec<f64>) {
        let (mut loss, mut dw) = (0.0, vec![0.0; w.len()]);
        for (x, t) in x.iter().zip(t) {
            let h: Vec<f64> = (0..5).map(|j| round((0..3).map(|i| w[i * 5 + j] * x[i]).sum::<f64>().tanh())).collect();
            let y: Vec<f64> = (0..2).map(|k| round((0..5).map(|j| w[15 + j * 2 + k] * h[j]).sum())).collect();
            loss = round(loss + round((0..2).map(|k| 0.5 * (y[k] - t[k]).powi(2)).sum()));
            for (j, h) in h.iter().enumerate() {
                let dh: f64 = (0..2).map(|k| (y[k] - t[k]) * w[15 + j * 2 + k]).sum::<f64>() * (1.0 - h * h);
                (0..2).for_each(|k| dw[15 + j * 2 + k] += (y[k] - t[k]) * h);
                (0..3).for_each(|i| dw[i * 5 + j] += dh * x[i]);
            }
        }
        (loss, dw)
    }

    #[test]
    fn right_gradients_pass_and_wrong_ones_are_found() -> Result<()> {
        let numbers = crate::rng::Stream::new(5, crate::rng::Purpose::User, 0);
        let mut r = numbers;
        let w: Vec<f64> = (0..25).map(|_| r.normal()).collect();
        let x: Vec<[f64; 3]> = (0..20).map(|_| std::array::from_fn(|_| r.normal())).collect();
        let t: Vec<[f64; 2]> = (0..20).map(|_| std::array::from_fn(|_| r.normal())).collect();
        // In double precision, and with every number rounded to single.
        for (round, bound) in [((|v| v) as fn(f64) -> f64, 1e-9), (|v| f64::from(v as f32), 1e-2)] {
            let (_, right) = network(&w, &x, &t, |v| v);
            let check = |g: &[f64]| gradcheck(&w, g, |w| network(w, &x, &t, round).0);
            let found = check(&right)?;
            assert!(found.deviation < bound, "{found:?}");
            for i in 0..25 {
                for wrong in [1.1 * right[i], -right[i], 0.0] {
                    let mut g = right.clone();
                    g[i] = wrong;
                    let found = check(&g)?;
                    let expected = (wrong - right[i]).abs() / wrong.abs().max(right[i].abs());
                    assert!(found.index == i && (found.deviation - expected).abs() < 2.0 * bound, "{i} {wrong}: {found:?}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn kinks_outside_of_the_last_steps_do_not_disturb() -> Result<()> {
        for kink in [0.049, 0.01, 1e-3] {
            let d = derivative(&[0.3], 0, |p| (p[0] - 0.3 + kink).max(0.0).powi(2) + 2.0 * (p[0] - 0.3 - kink).max(0.0))?;
            assert!((d.value / (2.0 * kink) - 1.0).abs() < 1e-6, "{kink}: {d:?}");
        }
        Ok(())
    }

    /// The uncertainty is of the size of the error or larger, for rough and for smooth losses.
    #[test]
    fn the_uncertainty_covers_the_error() -> Result<()> {
        for p in [-3.0_f64, 1e-3, 0.7, 40.0, 100.0] {
            let d = derivative(&[p], 0, |p| (p[0] / 7.0).sin())?;
            let exact = (p / 7.0).cos() / 7.0;
            assert!((d.value - exact).abs() <= 10.0 * d.uncertainty + 1e-9 * exact.abs().max(1e-3), "{p}: {d:?} {exact}");
            let d = derivative(&[p], 0, |p| f64::from(((p[0] / 7.0) as f32).sin()))?;
            assert!((d.value - exact).abs() <= 10.0 * d.uncertainty, "{p}: {d:?} {exact}");
        }
        Ok(())
    }

    #[test]
    fn vanishing_components_do_not_decide_and_bad_input_is_an_error() -> Result<()> {
        // The second derivative is 0, and the loss has rounding of 1e-7.
        let rough = |p: &[f64]| f64::from((5.0 * p[0] + 1.0) as f32) + 0.0 * p[1];
        assert!(gradcheck(&[0.5, 0.5], &[5.0, 0.0], rough)?.deviation < 1e-4);
        assert_eq!(gradcheck(&[1.0], &[0.0], |_| 3.0)?.deviation, 0.0);
        assert_eq!(gradcheck(&[1.0, 1.0], &[0.0, 1e-9], |_| 3.0)?.index, 1);
        let kind = |r: Result<GradCheck>| r.map(|_| ()).map_err(|e| e.kind());
        assert_eq!(kind(gradcheck(&[], &[], |_| 0.0)), Err(ErrorKind::Shape));
        assert_eq!(kind(gradcheck(&[1.0], &[1.0, 2.0], |_| 0.0)), Err(ErrorKind::Shape));
        assert_eq!(kind(gradcheck(&[1.0], &[f64::NAN], |_| 0.0)), Err(ErrorKind::Value));
        assert_eq!(kind(gradcheck(&[f64::INFINITY], &[1.0], |_| 0.0)), Err(ErrorKind::Value));
        assert_eq!(kind(gradcheck(&[1.0], &[1.0], |_| f64::NAN)), Err(ErrorKind::Value));
        assert!(derivative(&[1.0], 1, |_| 0.0).is_err());
        let failing = |p: &[f64]| if p[0] > 1.0 { Err(Error::order("loss", "no")) } else { Ok(0.0) };
        assert_eq!(kind(gradcheck_with(&[1.0], &[0.0], None, failing)), Err(ErrorKind::Order));
        let cube = |p: &[f64]| Ok(p[0].powi(3));
        for step in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(kind(gradcheck_with(&[1.0], &[3.0], Some(step), cube)), Err(ErrorKind::Value));
        }
        assert_eq!(kind(gradcheck_with(&[1.0], &[3.0], Some(1e-20), cube)), Err(ErrorKind::Value));
        // ((p + h)³ − (p − h)³)/2h = 3p² + h²
        let found = gradcheck_with(&[2.0], &[12.0], Some(0.5), cube)?;
        assert!((found.numeric - 12.25).abs() < 1e-14 && found.uncertainty.is_nan(), "{found:?}");
        Ok(())
    }
}
