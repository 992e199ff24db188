//! Mean absolute error: ℓ = (1/e)·Σ |y − t| over the e elements of a sample, ∂ℓ/∂y = sign(y − t)/e, 0 where y = t.

use super::cuda::{Gpu, MlpLoss, MlpLossKind, PlainArgs};
use super::sweep::{Batch, Point, pointwise, same, sweep};
use super::{Fields, Loss, LossIo, LossPass, Target};
use crate::device::{Device, Ptr, per_isa};
use crate::layer::fields;
use crate::memory::{Planner, Slot, Step};
use crate::{Extent, Real, Result, real};
use serde::{Deserialize, Serialize};

/// The absolute error, averaged over the elements of a sample: ℓ = (1/e)·Σ |y − t|.
///
/// # Shapes
/// Targets as the output; a flat output or target stands for any extent with as many elements.
///
/// # Examples
/// ```
/// use kamacite::loss::{Loss, Mae};
/// assert_eq!(Mae.kind(), "mae");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mae {}

/// The mean absolute error as a value.
#[allow(non_upper_case_globals)]
pub const Mae: Mae = Mae {};

impl Loss for Mae {
    fn kind(&self) -> &'static str {
        "mae"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn target(&self, y: Extent) -> Target {
        Target::Values(y)
    }

    fn plan(&self, y: Extent, target: Target, p: &mut Planner<'_>) -> Result<Box<dyn LossPass>> {
        same("mae", y, target)?;
        Ok(Box::new(MaePass { e: y.len(), gpu: Gpu::new(p, "mae", target, y.len(), 1)? }))
    }
}

#[derive(Debug)]
struct MaePass {
    e: usize,
    gpu: Gpu<PlainArgs>,
}

impl LossPass for MaePass {
    fn value_and_grad(&self, s: &Step<'_>, io: &LossIo) -> Result<()> {
        let factor = 1.0 / self.e as f64;
        match s.device() {
            Device::Cpu(cpu) => {
                real!(s.dtype(), T => sweep::<T, T>(cpu, s, io, (self.e, self.e), |cpu, b| rows(cpu, b, factor)))
            }
            Device::Cuda(cuda) => self.gpu.run(cuda, s, io, factor, |rows| PlainArgs { rows }),
        }
    }

    fn predict(&self, _: &Step<'_>, _: Slot) -> Result<()> {
        Ok(())
    }

    fn in_mlp(&self) -> Option<MlpLoss> {
        self.gpu.in_mlp(MlpLossKind::Absolute, 1.0 / self.e as f64, self.e, [0.0; 2], Ptr::NULL)
    }
}

#[derive(Clone, Copy)]
struct Absolute;

impl<T: Real> Point<T> for Absolute {
    #[inline(always)]
    fn at(self, y: T, t: T) -> (T, T) {
        let r = y - t;
        let sign = if r < T::ZERO { -T::ONE } else { T::ONE };
        (r.abs(), if r == T::ZERO { T::ZERO } else { sign })
    }
}

per_isa! {
    fn rows<T: Real>(cpu: &Cpu, b: Batch<'_, T, T>, factor: f64) {
        pointwise(b, factor, Absolute);
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
        let (y, t) = (check::numbers(21, -3.0, 3.0, 3), check::numbers(21, -3.0, 3.0, 4));
        let (value, _) = check::run(&y, &t, &[2.0], |b| rows(&cpu, b, 1.0 / 21.0));
        let naive: f64 = y.iter().zip(&t).map(|(y, t)| (y - t).abs()).sum();
        approx::assert_relative_eq!(value[0], 2.0 * naive / 21.0, max_relative = 21.0 * f64::EPSILON);
        check::gradient(&y, &t, &[2.0], |b| rows(&cpu, b, 1.0 / 21.0));
        assert_eq!(check::run(&[1.0, 2.0], &[1.0, 3.0], &[1.0], |b| rows(&cpu, b, 0.5)).1, [0.0, -0.5]);
    }
}
