//! Cross entropy of logits: per position, with p = softmax(y) over the c channels and targets q,
//! ℓ = −Σ_k v_k·q_k·ln p_k, ∂ℓ/∂y_k = S·p_k − v_k·q_k with S = Σ_j v_j·q_j; averaged over the positions of a sample.
//!
//! v are the class weights (1 without), q_k = (1 − ε)·t_k + ε/c with label smoothing ε. In terms of m = max y and
//! Z = Σ e^(y_k − m) the value is S·ln Z + Σ v_k·q_k·(m − y_k), which no finite logit overflows.
//!
//! # Source
//! Label smoothing: Szegedy, Vanhoucke, Ioffe, Shlens & Wojna 2016, "Rethinking the Inception architecture".

use super::cuda::{Constants, Gpu, MlpLoss, MlpLossKind, PredictArgs, RowsArgs, lanes as share, predictor};
use super::direct::{Direct, Kind};
use super::sweep::{Batch, check_labels, check_slices, check_weights, find_label, mean, same, sweep};
use super::{Fields, Logits, Loss, LossIo, LossPass, Target};
use crate::device::{Cpu, Device, Grid, Kernel, Ptr, per_isa};
use crate::layer::fields;
use crate::memory::{Element, Planner, Slot, Step};
use crate::op::activation::{self, Activation, centred_exp, lane_max, lanes};
use crate::{Error, Extent, Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Softmax and cross entropy in one: for a network that ends in logits (a layer without activation).
///
/// Predictions are the probabilities softmax(y).
///
/// Class weights multiply the terms, and the sum is still divided by the number of rows (PyTorch divides by the sum of
/// the weights), so that a gradient does not depend on which classes share its batch.
///
/// # Shapes
/// The channels of the output are the classes. Targets: one index below c for each position, or c numbers (one-hot, or
/// any distribution) for each position.
///
/// # Errors
/// Planning refuses a smoothing outside [0, 1], negative class weights, and targets that do not fit. An index at or
/// above c is a [`ErrorKind::Value`](crate::ErrorKind::Value) error of the step that meets it.
///
/// # Examples
/// ```
/// use kamacite::loss::{Loss, SoftmaxCrossEntropy, Target};
/// use kamacite::Extent;
/// assert_eq!(SoftmaxCrossEntropy.target(Extent::flat(10)), Target::Index { classes: 10, positions: 1 });
/// let loss = SoftmaxCrossEntropy.label_smoothing(0.1).class_weights(&[1.0, 1.0, 4.0]);
/// assert_eq!(loss.kind(), "softmax_cross_entropy");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SoftmaxCrossEntropy {
    smoothing: f64,
    weights: Vec<f64>,
}

/// The cross entropy of logits as a value: no smoothing, no class weights.
#[allow(non_upper_case_globals)]
pub const SoftmaxCrossEntropy: SoftmaxCrossEntropy = SoftmaxCrossEntropy { smoothing: 0.0, weights: Vec::new() };

impl SoftmaxCrossEntropy {
    /// Moves a share ε of each target to all classes alike: q = (1 − ε)·t + ε/c.
    #[must_use]
    pub fn label_smoothing(mut self, epsilon: f64) -> Self {
        self.smoothing = epsilon;
        self
    }

    /// Multiplies the terms of each class; one weight per class.
    #[must_use]
    pub fn class_weights(mut self, weights: &[f64]) -> Self {
        self.weights = weights.to_vec();
        self
    }

    /// The mean of ℓ over rows of `classes` logits on slices, each with one label; `dy` takes its gradient wrt the logits.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for lengths that do not fit together,
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a label out of range, and for options that planning would refuse.
    ///
    /// # Examples
    /// ```
    /// use kamacite::{Cpu, SoftmaxCrossEntropy};
    /// let mut dy = [0.0; 4];
    /// let l = SoftmaxCrossEntropy.on_labels(&Cpu::new(1)?, &[0.0_f64; 4], 2, &[0, 1], Some(&mut dy))?;
    /// assert!((l - 2.0_f64.ln()).abs() < 1e-15);
    /// assert_eq!(dy, [-0.25, 0.25, 0.25, -0.25]); // (p - 1)/rows at the label, p/rows elsewhere
    /// # Ok::<(), kamacite::Error>(())
    /// ```
    pub fn on_labels<T: Real>(&self, cpu: &Cpu, y: &[T], classes: usize, labels: &[u32], dy: Option<&mut [T]>) -> Result<f64> {
        let of = self.terms(classes)?;
        check_slices(self.kind(), (classes, 1), (y.len(), labels.len(), dy.as_ref().map(|dy| dy.len())))?;
        find_label(labels, &[T::ONE], classes, labels.len())?;
        Ok(mean(cpu, (classes, 1), (y, labels), dy, |cpu, b| index_rows(cpu, b, &of)))
    }

    /// As [`SoftmaxCrossEntropy::on_labels`], with `classes` numbers for each row as targets: one-hot, or any distribution.
    ///
    /// # Errors
    /// As [`SoftmaxCrossEntropy::on_labels`].
    pub fn on_values<T: Real>(&self, cpu: &Cpu, y: &[T], classes: usize, t: &[T], dy: Option<&mut [T]>) -> Result<f64> {
        let of = self.terms(classes)?;
        check_slices(self.kind(), (classes, classes), (y.len(), t.len(), dy.as_ref().map(|dy| dy.len())))?;
        Ok(mean(cpu, (classes, classes), (y, t), dy, |cpu, b| value_rows(cpu, b, &of)))
    }

    /// The constants for `c` classes.
    fn terms(&self, c: usize) -> Result<Terms> {
        if !(0.0..=1.0).contains(&self.smoothing) {
            return Err(Error::value(self.kind(), "label smoothing").expected("0 to 1").got(self.smoothing));
        }
        check_weights(self.kind(), &self.weights, c)?;
        let weights = if self.weights.is_empty() { vec![1.0; c] } else { self.weights.clone() };
        let spread = self.smoothing / c as f64;
        Ok(Terms { c, keep: 1.0 - self.smoothing, spread, all: spread * weights.iter().sum::<f64>(), weights })
    }
}

impl Loss for SoftmaxCrossEntropy {
    fn kind(&self) -> &'static str {
        "softmax_cross_entropy"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn target(&self, y: Extent) -> Target {
        Target::Index { classes: y.c, positions: y.area() }
    }

    fn plan(&self, y: Extent, target: Target, p: &mut Planner<'_>) -> Result<Box<dyn LossPass>> {
        let place = self.kind();
        let of = self.terms(y.c)?;
        match target {
            Target::Values(_) | Target::None => same(place, y, target)?,
            Target::Index { classes, positions } if classes == y.c && positions == y.area() => {}
            Target::Index { classes, positions } => {
                return Err(Error::shape(place, "output and labels differ")
                    .expected(format!("{classes} channels at {positions} positions"))
                    .got(y)
                    .hint("the last layer has one channel per class"));
            }
        }
        Ok(Box::new(CrossEntropyPass {
            positions: y.area(),
            indexed: matches!(target, Target::Index { .. }),
            of: Arc::new(of),
            gpu: Gpu::new(p, "softmax_cross_entropy", target, y.area(), share(y.c))?,
            weights: Constants::new(p, &self.weights)?,
            predict: predictor(p, "predict_softmax")?,
        }))
    }
}

/// The constants of the sum over classes.
#[derive(Debug)]
pub(super) struct Terms {
    pub c: usize,
    /// 1 − ε
    keep: f64,
    /// ε/c
    spread: f64,
    /// v
    weights: Vec<f64>,
    /// ε/c·Σ v
    all: f64,
}

#[derive(Debug)]
struct CrossEntropyPass {
    positions: usize,
    indexed: bool,
    of: Arc<Terms>,
    gpu: Gpu<SoftmaxArgs>,
    weights: Constants,
    predict: Kernel<PredictArgs>,
}

/// As `SoftmaxArgs` in `loss.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct SoftmaxArgs {
    rows: RowsArgs,
    weights: Ptr,
    keep: f32,
    spread: f32,
    c: u32,
    lanes: u32,
}

impl LossPass for CrossEntropyPass {
    fn value_and_grad(&self, s: &Step<'_>, io: &LossIo) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => self.run::<T>(cpu, s, io)),
            Device::Cuda(cuda) => {
                let Terms { c, keep, spread, .. } = *self.of;
                let (weights, keep, spread, lanes) = (self.weights.ptr(), keep as f32, spread as f32, share(c) as u32);
                let args = |rows| SoftmaxArgs { rows, weights, keep, spread, c: c as u32, lanes };
                self.gpu.run(cuda, s, io, 1.0 / self.positions as f64, args)
            }
        }
    }

    fn predict(&self, s: &Step<'_>, y: Slot) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                activation::forward_in_place(cpu, Activation::Softmax, &mut s.write::<T>(y)?, self.of.c);
            }),
            Device::Cuda(cuda) => {
                let (c, n, lanes) = (self.of.c, s.rows() * self.positions, share(self.of.c));
                let (y, lowest, highest) = (s.ptr(y)?, 0.0, 0.0);
                let args = PredictArgs { y, n: n as u64, c: c as u32, lanes: lanes as u32, lowest, highest };
                self.predict.launch(cuda, Grid::cover(n * lanes), &args)?;
            }
        }
        Ok(())
    }

    fn direct(&self) -> Option<Direct> {
        Some(Direct(Kind::Softmax { of: self.of.clone(), positions: self.positions }))
    }

    fn logits(&self) -> Option<Logits> {
        let Terms { c, keep, spread, .. } = *self.of;
        let (indexed, weights) = (self.indexed, self.weights.ptr());
        (self.positions == 1).then_some(Logits { classes: c, indexed, weights, keep: keep as f32, spread: spread as f32 })
    }

    fn in_mlp(&self) -> Option<MlpLoss> {
        let Terms { c, keep, spread, .. } = *self.of;
        let flat = self.positions == 1;
        let numbers = [keep as f32, spread as f32];
        self.gpu.in_mlp(MlpLossKind::SoftmaxCrossEntropy, 1.0, c, numbers, self.weights.ptr()).filter(|_| flat)
    }
}

impl CrossEntropyPass {
    fn run<T: Real + Element>(&self, cpu: &Cpu, s: &Step<'_>, io: &LossIo) -> Result<()> {
        let e = self.positions * self.of.c;
        if self.indexed {
            check_labels::<T>(s, io, self.of.c, self.positions)?;
            return sweep::<T, u32>(cpu, s, io, (e, self.positions), |cpu, b| index_rows(cpu, b, &self.of));
        }
        sweep::<T, T>(cpu, s, io, (e, e), |cpu, b| value_rows(cpu, b, &self.of))
    }
}

per_isa! {
    pub(super) fn index_rows<T: Real>(cpu: &Cpu, b: Batch<'_, T, u32>, of: &Terms) {
        rows(b, of, 1, |z, m, t, scale, grad| {
            let label = t[0] as usize;
            let weight = of.keep * of.weights[label];
            let mut sum = weight * (m - z[label]).to_f64();
            if of.spread != 0.0 {
                sum += of.spread * z.iter().zip(&of.weights).map(|(z, v)| v * (m - *z).to_f64()).sum::<f64>();
            }
            let total = weight + of.all;
            if let Some((p, g)) = grad {
                let share = T::of(g * total) * scale;
                p.iter_mut().for_each(|p| *p *= share);
                if of.spread != 0.0 {
                    p.iter_mut().zip(&of.weights).for_each(|(p, v)| *p += -T::of(g * of.spread * v));
                }
                p[label] += -T::of(g * weight);
            }
            (total, sum)
        });
    }
}

per_isa! {
    pub(super) fn value_rows<T: Real>(cpu: &Cpu, b: Batch<'_, T, T>, of: &Terms) {
        let q = |t: T, v: f64| v * (of.keep * t.to_f64() + of.spread);
        rows(b, of, of.c, |z, m, t, scale, grad| {
            let (mut total, mut sum) = (0.0, 0.0);
            for ((z, t), v) in z.iter().zip(t).zip(&of.weights) {
                let q = q(*t, *v);
                total += q;
                // A class without a share adds nothing, whatever its logit: 0·∞ is not asked.
                sum += if q == 0.0 { 0.0 } else { q * (m - *z).to_f64() };
            }
            if let Some((p, g)) = grad {
                let share = T::of(g * total) * scale;
                for ((p, t), v) in p.iter_mut().zip(t).zip(&of.weights) {
                    *p = *p * share - T::of(g * q(*t, *v));
                }
            }
            (total, sum)
        });
    }
}

/// Elements of which the exponentials are taken at once: few enough for the first-level cache.
const BUFFER: usize = 1024;
/// Of a batch for which less is cleared.
const FEW: usize = 64;

/// The sweep over positions that both kinds of target share, with `labels` targets for each. `position(y, m, t, 1/Z,
/// (e^(y − m), g))` returns S and Σ v_k·q_k·(m − y_k), and makes the exponentials g·∂ℓ/∂y where they come with a g.
#[inline(always)]
fn rows<T: Real, L>(
    b: Batch<'_, T, L>,
    of: &Terms,
    labels: usize,
    mut position: impl FnMut(&[T], T, &[L], T, Option<(&mut [T], f64)>) -> (f64, f64),
) {
    let Batch { y, t, mut dy, w, value, scale } = b;
    let (c, wanted) = (of.c, dy.is_some());
    let positions = (y.len() / c / value.len().max(1)).max(1);
    // The exponentials lie in dy, or in a buffer where nobody wants dy; more classes than it holds are summed directly.
    let (mut few, mut many) = ([T::ZERO; FEW], None);
    let buffer: &mut [T] = if wanted || y.len() <= FEW { &mut few } else { many.insert([T::ZERO; BUFFER]) };
    let block = (BUFFER / c).max(1);
    let (mut row, mut inside, mut sum) = (0, 0, 0.0);
    for (y, (i, t)) in y.chunks(block * c).zip(t.chunks(block * labels).enumerate()) {
        let e: &mut [T] = match &mut dy {
            Some(dy) => &mut dy[i * block * c..][..y.len()],
            None => buffer.get_mut(..y.len()).unwrap_or_default(),
        };
        if !e.is_empty() {
            e.copy_from_slice(y);
            centred_exp(e, c);
        }
        for (j, (y, t)) in y.chunks_exact(c).zip(t.chunks_exact(labels)).enumerate() {
            let weight = w[row].to_f64();
            let e = e.get_mut(j * c..(j + 1) * c).unwrap_or_default();
            if weight != 0.0 {
                let m = lane_max(y);
                let z = if e.is_empty() { lanes(y, |y| (y - m).exp()) } else { lanes(e, |e| e) };
                let g = scale * weight / positions as f64;
                let (share, rest) = position(y, m, t, T::ONE / z, wanted.then_some((e, g)));
                sum += share * z.ln().to_f64() + rest;
            } else if wanted {
                e.fill(T::ZERO);
            }
            inside += 1;
            if inside == positions {
                // A row of weight 0 has summed nothing.
                value[row] = T::of(weight * sum / positions as f64);
                (row, inside, sum) = (row + 1, 0, 0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sweep::check;
    use super::*;
    use crate::Cpu;

    fn terms(c: usize, smoothing: f64, weights: Vec<f64>) -> Terms {
        let spread = smoothing / c as f64;
        Terms { c, keep: 1.0 - smoothing, spread, all: spread * weights.iter().sum::<f64>(), weights }
    }

    /// The formula at the top, position by position.
    fn naive(y: &[f64], t: &[f64], of: &Terms) -> f64 {
        let position = |(y, t): (&[f64], &[f64])| {
            let z: f64 = y.iter().map(|y| y.exp()).sum();
            let term = |k: usize| -of.weights[k] * (of.keep * t[k] + of.spread) * (y[k].exp() / z).ln();
            (0..of.c).map(term).sum::<f64>()
        };
        y.chunks(of.c).zip(t.chunks(of.c)).map(position).sum::<f64>() / (y.len() / of.c) as f64
    }

    #[test]
    fn value_and_gradient_of_both_kinds_of_target() {
        let cpu = Cpu::new(1).unwrap();
        // Three rows of two positions; the last case exceeds the buffer.
        for (c, smoothing, weighted) in
            [(1, 0.0, false), (3, 0.0, false), (5, 0.1, true), (17, 0.3, false), (20, 0.0, true), (1100, 0.1, true)]
        {
            let weights = if weighted { check::numbers(c, 0.0, 2.0, 9) } else { vec![1.0; c] };
            let of = terms(c, smoothing, weights);
            let y = check::numbers(6 * c, -4.0, 4.0, 7);
            let labels: Vec<u32> = (0..6).map(|i| (i * 7 + 2) % c as u32).collect();
            let hot: Vec<f64> = labels.iter().flat_map(|l| (0..c as u32).map(move |k| f64::from(u8::from(k == *l)))).collect();
            let soft = check::numbers(6 * c, 0.0, 1.0, 8);
            let w = [1.0, 0.0, 2.5];
            for t in [&hot, &soft] {
                let (value, dy) = check::run(&y, t, &w, |b| value_rows(&cpu, b, &of));
                for i in 0..3 {
                    let row = 2 * c * i..2 * c * (i + 1);
                    let naive = w[i] * naive(&y[row.clone()], &t[row], &of);
                    approx::assert_relative_eq!(value[i], naive, max_relative = 8.0 * c as f64 * f64::EPSILON);
                }
                assert!(dy[2 * c..4 * c].iter().all(|dy| *dy == 0.0));
                if c < 100 {
                    check::gradient(&y, t, &w, |b| value_rows(&cpu, b, &of));
                }
            }
            let (by_value, by_index) = (
                check::run(&y, &hot, &w, |b| value_rows(&cpu, b, &of)),
                check::run(&y, &labels, &w, |b| index_rows(&cpu, b, &of)),
            );
            for (a, b) in by_value.0.iter().chain(&by_value.1).zip(by_index.0.iter().chain(&by_index.1)) {
                approx::assert_abs_diff_eq!(a, b, epsilon = 8.0 * c as f64 * f64::EPSILON);
            }
        }
    }

    #[test]
    fn slices_are_rows_of_a_batch() -> Result<()> {
        for (n, c, threads) in [(1, 3, 1), (70, 5, 2), (4000, 11, 2)] {
            let cpu = Cpu::new(threads)?;
            let (y, labels) = (check::numbers(n * c, -4.0, 4.0, 1), (0..n).map(|i| (i * 7 % c) as u32).collect::<Vec<_>>());
            let hot: Vec<f64> = labels.iter().flat_map(|l| (0..c as u32).map(move |k| f64::from(u8::from(k == *l)))).collect();
            let loss = SoftmaxCrossEntropy.label_smoothing(0.1).class_weights(&check::numbers(c, 0.5, 2.0, 3));
            let (mut dy, mut dv) = (vec![f64::NAN; n * c], vec![f64::NAN; n * c]);
            let value = loss.on_labels(&cpu, &y, c, &labels, Some(&mut dy))?;
            assert_eq!(value, loss.on_labels(&cpu, &y, c, &labels, None)?);
            let of = terms(c, 0.1, loss.weights.clone());
            let sum: f64 = y.chunks(c).zip(hot.chunks(c)).map(|(y, t)| naive(y, t, &of)).sum();
            approx::assert_relative_eq!(value, sum / n as f64, max_relative = 1e-12);
            approx::assert_relative_eq!(loss.on_values(&cpu, &y, c, &hot, Some(&mut dv))?, value, max_relative = 1e-12);
            for (row, (y, t)) in y.chunks(c).zip(hot.chunks(c)).enumerate() {
                let z: f64 = y.iter().map(|y| y.exp()).sum();
                let q: Vec<f64> = (0..c).map(|k| of.weights[k] * (0.9 * t[k] + 0.1 / c as f64)).collect();
                for k in 0..c {
                    let expected = (q.iter().sum::<f64>() * y[k].exp() / z - q[k]) / n as f64;
                    approx::assert_abs_diff_eq!(dy[row * c + k], expected, epsilon = 1e-14);
                    approx::assert_abs_diff_eq!(dv[row * c + k], expected, epsilon = 1e-14);
                }
            }
        }
        let (cpu, y, loss) = (Cpu::new(1)?, [0.0_f32; 6], SoftmaxCrossEntropy);
        assert!(loss.on_labels(&cpu, &y, 3, &[2, 2], None).is_ok());
        let bad = [
            loss.on_labels(&cpu, &y, 3, &[0, 3], None),
            loss.on_labels(&cpu, &y, 3, &[0, 1, 2], None),
            loss.on_labels(&cpu, &y, 4, &[0], None),
            loss.on_labels(&cpu, &y, 3, &[0, 1], Some(&mut [0.0; 5])),
            loss.on_labels(&cpu, &y, 0, &[], None),
            loss.on_values(&cpu, &y, 3, &y[..5], None),
            loss.clone().class_weights(&[1.0]).on_values(&cpu, &y, 3, &y, None),
            loss.label_smoothing(2.0).on_labels(&cpu, &y, 3, &[0, 0], None),
        ];
        assert!(bad.iter().all(Result::is_err), "{bad:?}");
        Ok(())
    }

    #[test]
    fn large_logits_stay_finite() {
        let cpu = Cpu::new(1).unwrap();
        for smoothing in [0.0, 0.1] {
            let of = terms(3, smoothing, vec![1.0; 3]);
            let y = [1e4_f32, -1e4, 0.0, -1e4, 1e4, 1e4];
            let (mut value, mut dy) = ([0.0; 2], [0.0; 6]);
            let b = Batch { y: &y, t: &[1_u32, 1], dy: Some(&mut dy), w: &[1.0; 2], value: &mut value, scale: 1.0 };
            index_rows(&cpu, b, &of);
            let (keep, spread) = (1.0 - smoothing, smoothing / 3.0);
            approx::assert_relative_eq!(f64::from(value[0]), keep * 2e4 + spread * 3e4, max_relative = 1e-7);
            approx::assert_relative_eq!(f64::from(value[1]), 2_f64.ln() + spread * 2e4, max_relative = 1e-6);
            let expected = [1.0 - spread, -keep - spread, -spread, -spread, 0.5 - keep - spread, 0.5 - spread];
            for (dy, expected) in dy.iter().zip(expected) {
                approx::assert_abs_diff_eq!(f64::from(*dy), expected, epsilon = 4.0 * f64::from(f32::EPSILON));
            }
        }
    }

    #[test]
    fn saved_form_is_read_back() {
        for loss in [SoftmaxCrossEntropy, SoftmaxCrossEntropy.label_smoothing(0.1).class_weights(&[1.0, 0.5])] {
            assert_eq!(serde_json::from_value::<SoftmaxCrossEntropy>(loss.save()).unwrap(), loss);
        }
        assert_eq!(serde_json::from_str::<SoftmaxCrossEntropy>("{}").unwrap(), SoftmaxCrossEntropy);
    }
}
