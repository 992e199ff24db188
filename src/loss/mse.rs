//! Mean squared error: ℓ = (1/e)·Σ (y − t)² over the e elements of a sample, ∂ℓ/∂y = (2/e)·(y − t).
//!
//! [`Mse::half`]: ℓ = ½·Σ (y − t)², ∂ℓ/∂y = y − t, the convention of textbooks on backpropagation.

use super::cuda::{Gpu, PlainArgs};
use super::sweep::{Batch, Point, pointwise, same, sweep};
use super::{Fields, Loss, LossIo, LossPass, Target};
use crate::device::{Device, per_isa};
use crate::layer::fields;
use crate::memory::{Planner, Slot, Step};
use crate::{Extent, Real, Result, real};
use serde::{Deserialize, Serialize};

/// The squared error, averaged over the elements of a sample: ℓ = (1/e)·Σ (y − t)².
///
/// # Shapes
/// Targets as the output; a flat output or target stands for any extent with as many elements.
///
/// # Examples
/// ```
/// use kamacite::loss::{Loss, Mse};
/// assert_eq!(Mse.kind(), "mse");
/// assert_ne!(Mse, Mse::half());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mse {
    half: bool,
}

/// The mean squared error as a value.
#[allow(non_upper_case_globals)]
pub const Mse: Mse = Mse { half: false };

impl Mse {
    /// ℓ = ½·Σ (y − t)²: half the sum instead of the mean.
    pub const fn half() -> Self {
        Self { half: true }
    }
}

impl Loss for Mse {
    fn kind(&self) -> &'static str {
        "mse"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn target(&self, y: Extent) -> Target {
        Target::Values(y)
    }

    fn plan(&self, y: Extent, target: Target, p: &mut Planner<'_>) -> Result<Box<dyn LossPass>> {
        same("mse", y, target)?;
        let factor = if self.half { 0.5 } else { 1.0 / y.len() as f64 };
        Ok(Box::new(MsePass { e: y.len(), factor, gpu: Gpu::new(p, "mse", target, y.len(), 1)? }))
    }
}

#[derive(Debug)]
struct MsePass {
    e: usize,
    factor: f64,
    gpu: Gpu<PlainArgs>,
}

impl LossPass for MsePass {
    fn value_and_grad(&self, s: &Step<'_>, io: &LossIo) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => {
                real!(s.dtype(), T => sweep::<T, T>(cpu, s, io, (self.e, self.e), |cpu, b| rows(cpu, b, self.factor)))
            }
            Device::Cuda(cuda) => self.gpu.run(cuda, s, io, self.factor, |rows| PlainArgs { rows }),
        }
    }

    fn predict(&self, _: &Step<'_>, _: Slot) -> Result<()> {
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Square;

impl<T: Real> Point<T> for Square {
    #[inline(always)]
    fn at(self, y: T, t: T) -> (T, T) {
        let r = y - t;
        (r * r, r + r)
    }
}

per_isa! {
    fn rows<T: Real>(cpu: &Cpu, b: Batch<'_, T, T>, factor: f64) {
        pointwise(b, factor, Square);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sweep::check;
    use super::*;
    use crate::Cpu;

    #[test]
    fn value_and_gradient() {
        let cpu = Cpu::new(1).unwrap();
        let (y, t) = (check::numbers(40, -3.0, 3.0, 1), check::numbers(40, -3.0, 3.0, 2));
        for factor in [1.0 / 20.0, 0.5] {
            let (value, _) = check::run(&y, &t, &[1.0, 2.5], |b| rows(&cpu, b, factor));
            for (i, w) in [1.0, 2.5].into_iter().enumerate() {
                let naive: f64 = (i * 20..i * 20 + 20).map(|k| (y[k] - t[k]).powi(2)).sum();
                approx::assert_relative_eq!(value[i], w * factor * naive, max_relative = 20.0 * f64::EPSILON);
            }
            check::gradient(&y, &t, &[1.0, 2.5], |b| rows(&cpu, b, factor));
        }
    }
}
