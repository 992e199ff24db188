//! Negative log likelihood of a Gaussian whose mean and variance are both predicted: with μ and s the two halves of the
//! channels and v = eˢ held within bounds, ℓ = (1/e)·Σ ½·[ln v + (t − μ)²/v] over the e target elements of a sample
//! (the constant ½·ln 2π is left out), ∂ℓ/∂μ = (μ − t)/(e·v), ∂ℓ/∂s = ½·[1 − (t − μ)²/v]/e.
//!
//! Beyond a bound the gradient wrt s is that at the bound where it leads back, and 0 where it leads further away.
//!
//! # Source
//! Nix & Weigend 1994, "Estimating the mean and variance of the target probability distribution".

use super::cuda::{Gpu, MlpLoss, MlpLossKind, PredictArgs, RowsArgs, predictor};
use super::sweep::{Batch, sweep};
use super::{Fields, Loss, LossIo, LossPass, Target};
use crate::device::{Device, Divisor, Grid, Kernel, Ptr, Rows, per_isa};
use crate::layer::fields;
use crate::memory::{Planner, Slot, Step};
use crate::{Error, Extent, Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// A regression that also predicts how uncertain it is: for a photometric redshift and its error bar.
///
/// Predictions are the means, unchanged, and the variances, in place of their logarithms.
///
/// # Shapes
/// Of 2c output channels the first c are means and the last c logarithms of variances. Targets have c channels.
///
/// # Units
/// The variance is in squared units of the target. Its bounds fit targets of order 1; normalise, or set others.
///
/// # Errors
/// Planning refuses an odd number of channels, bounds that are not 0 < lowest < highest, and targets that do not fit.
///
/// # Examples
/// ```
/// use kamacite::loss::{GaussianNll, Loss, Target};
/// use kamacite::Extent;
/// assert_eq!(GaussianNll.target(Extent::flat(2)), Target::Values(Extent::flat(1)));
/// let loss = GaussianNll.variance_within(1e-8, 1.0);
/// assert_eq!(loss.kind(), "gaussian_nll");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GaussianNll {
    lowest: f64,
    highest: f64,
}

/// The Gaussian negative log likelihood as a value: variances within 10⁻⁶ and 10⁶.
#[allow(non_upper_case_globals)]
pub const GaussianNll: GaussianNll = GaussianNll { lowest: 1e-6, highest: 1e6 };

impl GaussianNll {
    /// Holds the variance within these bounds, so that no sample counts without limit.
    #[must_use]
    pub fn variance_within(mut self, lowest: f64, highest: f64) -> Self {
        (self.lowest, self.highest) = (lowest, highest);
        self
    }
}

impl Default for GaussianNll {
    fn default() -> Self {
        GaussianNll
    }
}

impl Loss for GaussianNll {
    fn kind(&self) -> &'static str {
        "gaussian_nll"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn target(&self, y: Extent) -> Target {
        Target::Values(y.with_channels(y.c / 2))
    }

    fn plan(&self, y: Extent, target: Target, p: &mut Planner<'_>) -> Result<Box<dyn LossPass>> {
        let (place, &Self { lowest, highest }) = (self.kind(), self);
        if !(lowest.is_finite() && highest.is_finite() && 0.0 < lowest && lowest < highest) {
            let got = format!("{lowest} and {highest}");
            return Err(Error::value(place, "bounds of the variance").expected("0 < lowest < highest").got(got));
        }
        if !y.c.is_multiple_of(2) {
            let e = Error::shape(place, "number of output channels").expected("an even number").got(y.c);
            return Err(e.hint("the first half are means, the second half logarithms of variances"));
        }
        match target {
            Target::Values(t) if t == y.with_channels(y.c / 2) => {}
            Target::Values(t) => {
                return Err(Error::shape(place, "target").expected(y.with_channels(y.c / 2)).got(t));
            }
            Target::Index { .. } => return Err(Error::shape(place, "takes numbers").got("class indices")),
            Target::None => return Err(Error::shape(place, "no target").expected(y.with_channels(y.c / 2))),
        }
        Ok(Box::new(GaussianPass {
            e: y.len(),
            of: Terms { c: y.c / 2, lowest: lowest.ln(), highest: highest.ln() },
            gpu: Gpu::new(p, "gaussian", target, y.len() / 2, 1)?,
            predict: predictor(p, "predict_variance")?,
        }))
    }
}

#[derive(Debug)]
struct Terms {
    /// Channels of the target.
    c: usize,
    /// Bounds of s.
    lowest: f64,
    highest: f64,
}

#[derive(Debug)]
struct GaussianPass {
    e: usize,
    of: Terms,
    gpu: Gpu<GaussianArgs>,
    predict: Kernel<PredictArgs>,
}

/// As `GaussianArgs` in `loss.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct GaussianArgs {
    rows: RowsArgs,
    c: Divisor,
    lowest: f32,
    highest: f32,
    unused: u32,
}

impl LossPass for GaussianPass {
    fn value_and_grad(&self, s: &Step<'_>, io: &LossIo) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => {
                real!(s.dtype(), T => sweep::<T, T>(cpu, s, io, (self.e, self.e / 2), |cpu, b| rows(cpu, b, &self.of)))
            }
            Device::Cuda(cuda) => {
                let (c, [lowest, highest]) = (Divisor::new(self.of.c), self.of.bounds());
                let args = |rows| GaussianArgs { rows, c, lowest, highest, unused: 0 };
                self.gpu.run(cuda, s, io, 2.0 / self.e as f64, args)
            }
        }
    }

    fn predict(&self, s: &Step<'_>, y: Slot) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let mut y = s.write::<T>(y)?;
                cpu.split(CHUNK, Rows(&mut *y, 2 * self.of.c), |_, y| variances(cpu, y, &self.of));
            }),
            Device::Cuda(cuda) => {
                let (n, [lowest, highest]) = (s.rows() * self.e / 2, self.of.bounds());
                let args = PredictArgs { y: s.ptr(y)?, n: n as u64, c: self.of.c as u32, lanes: 1, lowest, highest };
                self.predict.launch(cuda, Grid::cover(n), &args)?;
            }
        }
        Ok(())
    }

    fn in_mlp(&self) -> Option<MlpLoss> {
        self.gpu.in_mlp(MlpLossKind::Gaussian, 2.0 / self.e as f64, self.of.c, self.of.bounds(), Ptr::NULL)
    }
}

/// Positions of one task of [`variances`].
const CHUNK: usize = 1 << 10;

impl Terms {
    fn bounds(&self) -> [f32; 2] {
        [self.lowest as f32, self.highest as f32]
    }

    /// s held within its bounds; NaN stays.
    #[inline(always)]
    fn hold<T: Real>(&self, s: T) -> T {
        let (lowest, highest) = (T::of(self.lowest), T::of(self.highest));
        let s = if s < lowest { lowest } else { s };
        if s > highest { highest } else { s }
    }
}

per_isa! {
    fn rows<T: Real>(cpu: &Cpu, b: Batch<'_, T, T>, of: &Terms) {
        let half = T::of(0.5);
        b.rows(|y, t, mut dy, g| {
            let factor = 1.0 / t.len() as f64;
            let g = T::of(g * factor);
            let mut total = 0.0;
            for (i, (y, t)) in y.chunks_exact(2 * of.c).zip(t.chunks_exact(of.c)).enumerate() {
                let (mean, log) = y.split_at(of.c);
                for (k, ((mean, s), t)) in mean.iter().zip(log).zip(t).enumerate() {
                    let held = of.hold(*s);
                    let r = *mean - *t;
                    let pull = r * (-held).exp();
                    total += (half * (held + r * pull)).to_f64();
                    if let Some(dy) = &mut dy {
                        let slope = half * (T::ONE - r * pull);
                        let away = (*s < held && slope > T::ZERO) || (*s > held && slope < T::ZERO);
                        dy[2 * of.c * i + k] = g * pull;
                        dy[2 * of.c * i + of.c + k] = if away { T::ZERO } else { g * slope };
                    }
                }
            }
            factor * total
        });
    }
}

per_isa! {
    /// s ← eˢ
    fn variances<T: Real>(cpu: &Cpu, y: &mut [T], of: &Terms) {
        for y in y.chunks_exact_mut(2 * of.c) {
            for s in &mut y[of.c..] {
                *s = of.hold(*s).exp();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sweep::check;
    use super::*;
    use crate::Cpu;

    fn of(c: usize) -> Terms {
        Terms { c, lowest: 1e-6_f64.ln(), highest: 1e6_f64.ln() }
    }

    #[test]
    fn value_and_gradient() {
        let cpu = Cpu::new(1).unwrap();
        for c in [1, 3] {
            // Two rows of two positions.
            let (y, t) = (check::numbers(8 * c, -2.0, 2.0, 14), check::numbers(4 * c, -2.0, 2.0, 15));
            let w = [1.0, 0.4];
            let (value, _) = check::run(&y, &t, &w, |b| rows(&cpu, b, &of(c)));
            for i in 0..2 {
                let mut naive = 0.0;
                for p in 2 * i..2 * i + 2 {
                    for k in 0..c {
                        let (mean, log) = (y[2 * c * p + k], y[2 * c * p + c + k]);
                        naive += 0.5 * (log + (t[c * p + k] - mean).powi(2) / log.exp());
                    }
                }
                // The terms have both signs, of size below 60 in all.
                approx::assert_abs_diff_eq!(value[i], w[i] * naive / (2 * c) as f64, epsilon = 60.0 * 8.0 * f64::EPSILON);
            }
            check::gradient(&y, &t, &w, |b| rows(&cpu, b, &of(c)));
        }
    }

    #[test]
    fn beyond_the_bounds_the_gradient_leads_back_or_rests() {
        let cpu = Cpu::new(1).unwrap();
        let at = |mean: f64, s: f64| check::run(&[mean, s], &[0.0], &[1.0], |b| rows(&cpu, b, &of(1)));
        // Too small a variance for the error made: the value is that at the bound, the gradient raises s.
        let (value, dy) = at(1.0, -50.0);
        approx::assert_relative_eq!(value[0], 0.5 * (1e-6_f64.ln() + 1e6), max_relative = 1e-12);
        approx::assert_relative_eq!(dy[1], 0.5 * (1.0 - 1e6), max_relative = 1e-12);
        assert_eq!(at(0.0, -50.0).1[1], 0.0);
        // Too large a one: 1 − r²/v above 0 lowers s.
        assert!(at(1.0, 50.0).1[1] > 0.0);
        assert_eq!(at(1e4, 50.0).1[1], 0.0);
        assert!(at(f64::NAN, 0.0).0[0].is_nan() && at(0.0, f64::NAN).0[0].is_nan());
    }

    #[test]
    fn prediction_turns_logarithms_into_variances() {
        let cpu = Cpu::new(1).unwrap();
        let mut y = [3.0_f64, -1.0, 0.0, 2.0, 7.0, 8.0, -99.0, 99.0];
        variances(&cpu, &mut y, &of(2));
        assert_eq!((y[0], y[1], y[2], y[4], y[5]), (3.0, -1.0, 1.0, 7.0, 8.0));
        for (y, exact) in [(y[3], 2_f64.exp()), (y[6], 1e-6), (y[7], 1e6)] {
            // e^(ln v) loses |ln v| ≤ 14 units.
            approx::assert_relative_eq!(y, exact, max_relative = 16.0 * f64::EPSILON);
        }
    }
}
