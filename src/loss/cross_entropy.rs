//! Cross entropy of probabilities: ℓ = −Σ_k t_k·ln max(y_k, 10⁻⁶) over the c channels, averaged over the positions of a
//! sample; ∂ℓ/∂y_k = −t_k/y_k.
//!
//! The floor bounds the value alone. The gradient goes on below it, so that through a softmax layer it is y − t at every
//! y; a floor on it would stop the training of exactly those samples that are most wrong.
//!
//! # Source
//! The loss of CIANNA for its softmax layers.

use super::cuda::{Gpu, MlpLoss, MlpLossKind, RowsArgs};
use super::sweep::{Batch, Point, pointwise, same, sweep};
use super::{Fields, Loss, LossIo, LossPass, Target};
use crate::device::{Device, Ptr, per_isa};
use crate::layer::fields;
use crate::memory::{Planner, Slot, Step};
use crate::{DType, Extent, Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// The cross entropy of probabilities: for a network that itself ends in [`Softmax`](crate::Softmax). A network that ends
/// in logits takes [`SoftmaxCrossEntropy`](struct@super::SoftmaxCrossEntropy), which is faster and loses no digits.
///
/// # Shapes
/// Targets as the output: one-hot, or any distribution, over the channels of each position.
///
/// # Examples
/// ```
/// use kamacite::loss::{CrossEntropy, Loss};
/// assert_eq!(CrossEntropy.kind(), "cross_entropy");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CrossEntropy {}

/// The cross entropy of probabilities as a value.
#[allow(non_upper_case_globals)]
pub const CrossEntropy: CrossEntropy = CrossEntropy {};

impl Loss for CrossEntropy {
    fn kind(&self) -> &'static str {
        "cross_entropy"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn target(&self, y: Extent) -> Target {
        Target::Values(y)
    }

    fn plan(&self, y: Extent, target: Target, p: &mut Planner<'_>) -> Result<Box<dyn LossPass>> {
        same("cross_entropy", y, target)?;
        let gpu = Gpu::new(p, "cross_entropy", target, y.len(), 1)?;
        Ok(Box::new(CrossEntropyPass { e: y.len(), factor: 1.0 / y.area() as f64, gpu }))
    }
}

#[derive(Debug)]
struct CrossEntropyPass {
    e: usize,
    factor: f64,
    gpu: Gpu<CrossEntropyArgs>,
}

/// As `CrossEntropyArgs` in `loss.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct CrossEntropyArgs {
    rows: RowsArgs,
    floor: f32,
    tiny: f32,
}

impl LossPass for CrossEntropyPass {
    fn value_and_grad(&self, s: &Step<'_>, io: &LossIo) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => {
                real!(s.dtype(), T => sweep::<T, T>(cpu, s, io, (self.e, self.e), |cpu, b| rows(cpu, b, self.factor)))
            }
            Device::Cuda(cuda) => {
                let tiny = if s.dtype() == DType::F16 { TINY_F16 } else { TINY };
                let args = |rows| CrossEntropyArgs { rows, floor: FLOOR as f32, tiny: tiny as f32 };
                self.gpu.run(cuda, s, io, self.factor, args)
            }
        }
    }

    fn predict(&self, _: &Step<'_>, _: Slot) -> Result<()> {
        Ok(())
    }

    fn in_mlp(&self) -> Option<MlpLoss> {
        self.gpu.in_mlp(MlpLossKind::CrossEntropy, self.factor, self.e, [FLOOR as f32, TINY as f32], Ptr::NULL)
    }
}

/// Where the logarithm stops falling.
const FLOOR: f64 = 1e-6;
/// Where the gradient stops growing: 1/TINY is finite in f32 with room for a weight.
const TINY: f64 = 1e-30;
/// The same in f16, of which it is the smallest normal number. Below it the gradient through a softmax layer falls with y,
/// where an infinite one would have every step left out.
const TINY_F16: f64 = 1.0 / 16384.0;

#[derive(Clone, Copy)]
struct Surprise;

impl<T: Real> Point<T> for Surprise {
    #[inline(always)]
    fn at(self, y: T, t: T) -> (T, T) {
        let least = |floor: f64| if y < T::of(floor) { T::of(floor) } else { y };
        (-t * least(FLOOR).ln(), -t / least(TINY))
    }
}

per_isa! {
    fn rows<T: Real>(cpu: &Cpu, b: Batch<'_, T, T>, factor: f64) {
        pointwise(b, factor, Surprise);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sweep::check;
    use super::*;
    use crate::Cpu;
    use crate::op::activation::{self, Activation};

    #[test]
    fn value_and_gradient() {
        let cpu = Cpu::new(1).unwrap();
        let (y, t) = (check::numbers(24, 0.1, 1.0, 10), check::numbers(24, 0.0, 1.0, 11));
        let (value, _) = check::run(&y, &t, &[1.5], |b| rows(&cpu, b, 0.25));
        let naive: f64 = y.iter().zip(&t).map(|(y, t)| -t * y.ln()).sum();
        approx::assert_relative_eq!(value[0], 1.5 * 0.25 * naive, max_relative = 48.0 * f64::EPSILON);
        check::gradient(&y, &t, &[1.5], |b| rows(&cpu, b, 0.25));
    }

    #[test]
    fn through_softmax_the_gradient_is_output_minus_target() {
        let cpu = Cpu::new(1).unwrap();
        // The last class has a probability of e⁻⁴⁰, far below the floor.
        let mut y = [2.0_f32, 1.0, -3.0, -38.0];
        activation::forward_in_place(&cpu, Activation::Softmax, &mut y, 4);
        for t in [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]] {
            let (mut value, mut dy) = ([0.0], [0.0; 4]);
            rows(&cpu, Batch { y: &y, t: &t, dy: Some(&mut dy), w: &[1.0], value: &mut value, scale: 1.0 }, 1.0);
            activation::backward_in_place(&cpu, Activation::Softmax, &y, &mut dy, 4);
            for k in 0..4 {
                approx::assert_abs_diff_eq!(dy[k], y[k] - t[k], epsilon = 4.0 * f32::EPSILON);
            }
            if t[3] == 1.0 {
                approx::assert_relative_eq!(value[0], -1e-6_f32.ln(), max_relative = 4.0 * f32::EPSILON);
            }
        }
    }
}
