//! Huber loss: with r = y − t, ℓ = (1/e)·Σ ½r² for |r| ≤ δ, δ(|r| − ½δ) beyond; ∂ℓ/∂y = r held within ±δ, over e.
//!
//! # Source
//! Huber 1964, "Robust estimation of a location parameter".

use super::cuda::{Gpu, MlpLoss, MlpLossKind, RowsArgs};
use super::sweep::{Batch, Point, pointwise, same, sweep};
use super::{Fields, Loss, LossIo, LossPass, Target};
use crate::device::{Device, Ptr, per_isa};
use crate::layer::fields;
use crate::memory::{Planner, Slot, Step};
use crate::{Error, Extent, Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// Squared near the target and absolute beyond δ, so that outliers pull with a bounded force.
///
/// # Shapes
/// Targets as the output; a flat output or target stands for any extent with as many elements.
///
/// # Units
/// δ is in the units of the target.
///
/// # Errors
/// Planning refuses a δ that is not above 0.
///
/// # Examples
/// ```
/// use kamacite::loss::{Huber, Loss};
/// assert_eq!(Huber::new(1.0).kind(), "huber");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Huber {
    delta: f64,
}

impl Huber {
    /// The loss with this δ.
    pub const fn new(delta: f64) -> Self {
        Self { delta }
    }
}

impl Loss for Huber {
    fn kind(&self) -> &'static str {
        "huber"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn target(&self, y: Extent) -> Target {
        Target::Values(y)
    }

    fn plan(&self, y: Extent, target: Target, p: &mut Planner<'_>) -> Result<Box<dyn LossPass>> {
        if !(self.delta.is_finite() && self.delta > 0.0) {
            return Err(Error::value("huber", "delta").expected("a finite number above 0").got(self.delta));
        }
        same("huber", y, target)?;
        Ok(Box::new(HuberPass { e: y.len(), delta: self.delta, gpu: Gpu::new(p, "huber", target, y.len(), 1)? }))
    }
}

#[derive(Debug)]
struct HuberPass {
    e: usize,
    delta: f64,
    gpu: Gpu<HuberArgs>,
}

/// As `HuberArgs` in `loss.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct HuberArgs {
    rows: RowsArgs,
    delta: f32,
    unused: u32,
}

impl LossPass for HuberPass {
    fn value_and_grad(&self, s: &Step<'_>, io: &LossIo) -> Result<()> {
        let (factor, delta) = (1.0 / self.e as f64, self.delta);
        match s.device() {
            Device::Cpu(cpu) => {
                real!(s.dtype(), T => sweep::<T, T>(cpu, s, io, (self.e, self.e), |cpu, b| rows(cpu, b, factor, T::of(delta))))
            }
            Device::Cuda(cuda) => self.gpu.run(cuda, s, io, factor, |rows| HuberArgs { rows, delta: delta as f32, unused: 0 }),
        }
    }

    fn predict(&self, _: &Step<'_>, _: Slot) -> Result<()> {
        Ok(())
    }

    fn in_mlp(&self) -> Option<MlpLoss> {
        self.gpu.in_mlp(MlpLossKind::Huber, 1.0 / self.e as f64, self.e, [self.delta as f32, 0.0], Ptr::NULL)
    }
}

#[derive(Clone, Copy)]
struct Bend<T>(T);

impl<T: Real> Point<T> for Bend<T> {
    #[inline(always)]
    fn at(self, y: T, t: T) -> (T, T) {
        let r = y - t;
        let held = if r > self.0 { self.0 } else { r };
        let held = if held < -self.0 { -self.0 } else { held };
        // ½r² where r is held nowhere.
        (held * (r - T::of(0.5) * held), held)
    }
}

per_isa! {
    fn rows<T: Real>(cpu: &Cpu, b: Batch<'_, T, T>, factor: f64, delta: T) {
        pointwise(b, factor, Bend(delta));
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
        let (y, t) = (check::numbers(37, -3.0, 3.0, 5), check::numbers(37, -3.0, 3.0, 6));
        let delta = 0.8;
        let (value, dy) = check::run(&y, &t, &[1.5], |b| rows(&cpu, b, 1.0 / 37.0, delta));
        let naive = |r: f64| if r.abs() <= delta { 0.5 * r * r } else { delta * (r.abs() - 0.5 * delta) };
        let sum: f64 = y.iter().zip(&t).map(|(y, t)| naive(y - t)).sum();
        approx::assert_relative_eq!(value[0], 1.5 * sum / 37.0, max_relative = 37.0 * f64::EPSILON);
        let steepest = dy.iter().fold(0.0_f64, |top, dy| top.max(dy.abs()));
        approx::assert_relative_eq!(steepest, 1.5 * delta / 37.0, max_relative = 4.0 * f64::EPSILON);
        check::gradient(&y, &t, &[1.5], |b| rows(&cpu, b, 1.0 / 37.0, delta));
    }
}
