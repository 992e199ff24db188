//! Binary cross entropy of logits: with σ(y) = 1/(1 + e⁻ʸ), ℓ = (1/e)·Σ v_k·[(1 − t)·ln(1 + eʸ) + u·t·ln(1 + e⁻ʸ)] over the
//! e elements of a sample, ∂ℓ/∂y = (v_k/e)·[(1 − t)·σ(y) − u·t·σ(−y)].
//!
//! u weighs the positives, v_k channel k. Both logarithms are max(±y, 0) + ln(1 + e^(−|y|)), which no logit overflows.

use super::cuda::{Constants, Gpu, MlpLoss, MlpLossKind, PredictArgs, RowsArgs, predictor};
use super::sweep::{Batch, Label, Point, check_labels, check_weights, pointwise, same, sweep};
use super::{Fields, Loss, LossIo, LossPass, Target};
use crate::device::{Cpu, Device, Divisor, Grid, Kernel, Ptr, per_isa};
use crate::layer::fields;
use crate::memory::{Element, Planner, Slot, Step};
use crate::op::activation::{self, Activation};
use crate::{Error, Extent, Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// Logistic and binary cross entropy in one: for yes-or-no outputs (one or several) that are logits.
///
/// Predictions are the probabilities σ(y).
///
/// # Shapes
/// Targets as the output, numbers within [0, 1]; or, for an output of one channel, labels 0 and 1 as indices of 2
/// classes, one for each position.
///
/// # Errors
/// Planning refuses weights that are negative or do not fit. A target outside [0, 1] is a
/// [`ErrorKind::Value`](crate::ErrorKind::Value) error of the step that meets it; on a GPU it makes the loss NaN.
///
/// # Examples
/// ```
/// use kamacite::loss::{LogisticBce, Loss};
/// assert_eq!(LogisticBce.kind(), "logistic_bce");
/// assert_ne!(LogisticBce, LogisticBce.pos_weight(20.0));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogisticBce {
    positive: f64,
    weights: Vec<f64>,
}

/// The binary cross entropy of logits as a value: no weights.
#[allow(non_upper_case_globals)]
pub const LogisticBce: LogisticBce = LogisticBce { positive: 1.0, weights: Vec::new() };

impl LogisticBce {
    /// The factor u on the terms of positives: negatives per positive, to balance a rare class.
    #[must_use]
    pub fn pos_weight(mut self, u: f64) -> Self {
        self.positive = u;
        self
    }

    /// The factors v on the terms of each channel; one per channel.
    #[must_use]
    pub fn class_weights(mut self, weights: &[f64]) -> Self {
        self.weights = weights.to_vec();
        self
    }
}

impl Default for LogisticBce {
    fn default() -> Self {
        LogisticBce
    }
}

impl Loss for LogisticBce {
    fn kind(&self) -> &'static str {
        "logistic_bce"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn target(&self, y: Extent) -> Target {
        Target::Values(y)
    }

    fn plan(&self, y: Extent, target: Target, p: &mut Planner<'_>) -> Result<Box<dyn LossPass>> {
        let place = self.kind();
        if !(self.positive.is_finite() && self.positive >= 0.0) {
            return Err(Error::value(place, "positive weight").expected("a finite number, at least 0").got(self.positive));
        }
        check_weights(place, &self.weights, y.c)?;
        let indexed = matches!(target, Target::Index { classes: 2, positions } if y.c == 1 && positions == y.area());
        if !indexed {
            same(place, y, target)?;
        }
        let of = Terms { factor: 1.0 / y.len() as f64, positive: self.positive, weights: self.weights.clone() };
        Ok(Box::new(BcePass {
            e: y.len(),
            c: y.c,
            indexed,
            of,
            gpu: Gpu::new(p, "bce", target, y.len(), 1)?,
            weights: Constants::new(p, &self.weights)?,
            predict: predictor(p, "predict_logistic")?,
        }))
    }
}

#[derive(Debug)]
struct Terms {
    factor: f64,
    positive: f64,
    /// One per channel, or none.
    weights: Vec<f64>,
}

#[derive(Debug)]
struct BcePass {
    e: usize,
    c: usize,
    indexed: bool,
    of: Terms,
    gpu: Gpu<BceArgs>,
    weights: Constants,
    predict: Kernel<PredictArgs>,
}

/// As `BceArgs` in `loss.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct BceArgs {
    rows: RowsArgs,
    weights: Ptr,
    c: Divisor,
    positive: f32,
}

impl LossPass for BcePass {
    fn value_and_grad(&self, s: &Step<'_>, io: &LossIo) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => self.run::<T>(cpu, s, io)),
            Device::Cuda(cuda) => {
                let (weights, c, positive) = (self.weights.ptr(), Divisor::new(self.c), self.of.positive as f32);
                self.gpu.run(cuda, s, io, self.of.factor, |rows| BceArgs { rows, weights, c, positive })
            }
        }
    }

    fn predict(&self, s: &Step<'_>, y: Slot) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                activation::forward_in_place(cpu, Activation::Logistic, &mut s.write::<T>(y)?, self.c);
            }),
            Device::Cuda(cuda) => {
                let n = s.rows() * self.e;
                let args = PredictArgs { y: s.ptr(y)?, n: n as u64, c: self.c as u32, lanes: 1, lowest: 0.0, highest: 0.0 };
                self.predict.launch(cuda, Grid::cover(n), &args)?;
            }
        }
        Ok(())
    }

    fn in_mlp(&self) -> Option<MlpLoss> {
        self.gpu.in_mlp(MlpLossKind::Bce, self.of.factor, self.c, [self.of.positive as f32, 0.0], self.weights.ptr())
    }
}

impl BcePass {
    fn run<T: Real + Element>(&self, cpu: &Cpu, s: &Step<'_>, io: &LossIo) -> Result<()> {
        if self.indexed {
            check_labels::<T>(s, io, 2, self.e)?;
            return sweep::<T, u32>(cpu, s, io, (self.e, self.e), |cpu, b| index_rows(cpu, b, &self.of));
        }
        check_range::<T>(&s.read(io.target)?, &s.read(io.weight)?, self.e)?;
        sweep::<T, T>(cpu, s, io, (self.e, self.e), |cpu, b| value_rows(cpu, b, &self.of))
    }
}

/// Refuses numbers outside [0, 1] in rows that count: labels 1 and 2 would train to nonsense without a word.
fn check_range<T: Real>(t: &[T], w: &[T], e: usize) -> Result<()> {
    let good = |t: &T| *t >= T::ZERO && *t <= T::ONE;
    for (row, (t, w)) in t.chunks_exact(e).zip(w).enumerate() {
        if *w == T::ZERO || t.iter().all(good) {
            continue;
        }
        if let Some((i, bad)) = t.iter().enumerate().find(|(_, t)| !good(t)) {
            let place = format!("row {row}, element {i}");
            return Err(Error::value(place, "target of a binary cross entropy").expected("0 to 1").got(bad));
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Binary<T> {
    /// u
    positive: T,
}

impl<T: Real> Point<T> for Binary<T> {
    #[inline(always)]
    fn at(self, y: T, t: T) -> (T, T) {
        let e = (-y.abs()).exp();
        let low = e.ln_1p();
        let (near, far) = (T::ONE / (T::ONE + e), e / (T::ONE + e));
        let (yes, no) = (self.positive * t, T::ONE - t);
        // The pairs are (ln(1 + e⁻ʸ), ln(1 + eʸ)) and (σ(−y), σ(y)).
        let (if_yes, if_no, up, down) = if y < T::ZERO { (low - y, low, near, far) } else { (low, low + y, far, near) };
        (no * if_no + yes * if_yes, no * down - yes * up)
    }
}

/// Both kinds of target: with class weights channel by channel, otherwise all elements alike.
#[inline(always)]
fn rows<T: Real, L: Label>(b: Batch<'_, T, L>, of: &Terms) {
    let point = Binary { positive: T::of(of.positive) };
    if of.weights.is_empty() {
        return pointwise(b, of.factor, point);
    }
    let c = of.weights.len();
    b.rows(|y, t, mut dy, g| {
        let mut total = 0.0;
        for (i, (y, t)) in y.chunks_exact(c).zip(t.chunks_exact(c)).enumerate() {
            for (k, ((y, t), v)) in y.iter().zip(t).zip(&of.weights).enumerate() {
                let (l, slope) = point.at(*y, t.real());
                total += v * l.to_f64();
                if let Some(dy) = &mut dy {
                    dy[i * c + k] = T::of(g * of.factor * v) * slope;
                }
            }
        }
        of.factor * total
    });
}

per_isa! {
    fn value_rows<T: Real>(cpu: &Cpu, b: Batch<'_, T, T>, of: &Terms) {
        rows(b, of);
    }
}

per_isa! {
    fn index_rows<T: Real>(cpu: &Cpu, b: Batch<'_, T, u32>, of: &Terms) {
        rows(b, of);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sweep::check;
    use super::*;
    use crate::{Cpu, ErrorKind};

    #[test]
    fn value_and_gradient() {
        let cpu = Cpu::new(1).unwrap();
        let (y, t) = (check::numbers(60, -5.0, 5.0, 12), check::numbers(60, 0.0, 1.0, 13));
        let w = [1.0, 0.0, 0.5];
        for (positive, weights) in [(1.0, vec![]), (3.0, vec![]), (0.5, vec![1.0, 0.0, 2.0, 0.3])] {
            let of = Terms { factor: 0.05, positive, weights };
            let (value, _) = check::run(&y, &t, &w, |b| value_rows(&cpu, b, &of));
            for i in 0..3 {
                let term = |k: usize| {
                    let p = 1.0 / (1.0 + (-y[k]).exp());
                    let v = of.weights.get(k % 4).copied().unwrap_or(1.0);
                    -v * (positive * t[k] * p.ln() + (1.0 - t[k]) * (1.0 - p).ln())
                };
                let naive: f64 = (20 * i..20 * i + 20).map(term).sum();
                // 1 − p loses up to e⁵ units.
                approx::assert_relative_eq!(value[i], w[i] * 0.05 * naive, max_relative = 20.0 * 150.0 * f64::EPSILON);
            }
            check::gradient(&y, &t, &w, |b| value_rows(&cpu, b, &of));
        }
    }

    #[test]
    fn labels_and_numbers_agree_and_large_logits_stay_finite() {
        let cpu = Cpu::new(1).unwrap();
        let of = Terms { factor: 1.0, positive: 2.0, weights: vec![] };
        let (y, labels) = ([1e4, -1e4, 3.0, -0.5], [0_u32, 1, 1, 0]);
        let numbers = labels.map(f64::from);
        let by_value = check::run(&y, &numbers, &[1.0; 4], |b| value_rows(&cpu, b, &of));
        assert_eq!(by_value, check::run(&y, &labels, &[1.0; 4], |b| index_rows(&cpu, b, &of)));
        assert_eq!((by_value.0[0], by_value.0[1], by_value.1[0], by_value.1[1]), (1e4, 2e4, 1.0, -2.0));
    }

    #[test]
    fn targets_outside_their_range_are_refused_where_they_count() {
        let t = [0.0, 1.0, 2.0, f32::NAN];
        assert!(check_range(&t, &[1.0, 0.0], 2).is_ok());
        for t in [[0.0, 1.0, 2.0, 1.0], [0.0, 1.0, 0.5, f32::NAN]] {
            let e = check_range(&t, &[1.0, 1.0], 2).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Value);
            assert!(e.to_string().starts_with("row 1, element "), "{e}");
        }
    }
}
