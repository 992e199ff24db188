//! Mean squared error: ℓ = (1/e)·Σ (y − t)² over the e elements of a sample, ∂ℓ/∂y = (2/e)·(y − t).
//!
//! [`Mse::half`]: ℓ = ½·Σ (y − t)², ∂ℓ/∂y = y − t, the convention of textbooks on backpropagation.

use super::cuda::{Gpu, MlpLoss, MlpLossKind, PlainArgs};
use super::direct::{Direct, Kind};
use super::sweep::{Batch, Point, check_slices, mean, pointwise, same, sweep};
use super::{Fields, Loss, LossIo, LossPass, Target};
use crate::device::{Device, Ptr, per_isa};
use crate::layer::fields;
use crate::memory::{Planner, Slot, Step};
use crate::{Cpu, Extent, Real, Result, real};
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

    fn factor(&self, elements: usize) -> f64 {
        if self.half { 0.5 } else { 1.0 / elements as f64 }
    }

    /// The mean of ℓ over rows of `elements` values on slices; `dy` takes its gradient wrt y.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for slices of unequal lengths, and for no whole number of rows.
    ///
    /// # Examples
    /// ```
    /// use kamacite::{Cpu, Mse};
    /// let (y, t, mut dy) = ([1.0_f32, 2.0, 3.0, 4.0], [1.0, 0.0, 3.0, 1.0], [0.0; 4]);
    /// let l = Mse::half().on_values(&Cpu::new(1)?, &y, &t, 2, Some(&mut dy))?;
    /// assert_eq!((l, dy), ((2.0 + 4.5) / 2.0, [0.0, 1.0, 0.0, 1.5]));
    /// # Ok::<(), kamacite::Error>(())
    /// ```
    pub fn on_values<T: Real>(&self, cpu: &Cpu, y: &[T], t: &[T], elements: usize, dy: Option<&mut [T]>) -> Result<f64> {
        let e = (elements, elements);
        check_slices("mse", e, (y.len(), t.len(), dy.as_ref().map(|dy| dy.len())))?;
        Ok(mean(cpu, e, (y, t), dy, |cpu, b| rows(cpu, b, self.factor(elements))))
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
        Ok(Box::new(MsePass { e: y.len(), factor: self.factor(y.len()), gpu: Gpu::new(p, "mse", target, y.len(), 1)? }))
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

    fn direct(&self) -> Option<Direct> {
        Some(Direct(Kind::Square(self.factor)))
    }

    fn in_mlp(&self) -> Option<MlpLoss> {
        self.gpu.in_mlp(MlpLossKind::Square, self.factor, self.e, [0.0; 2], Ptr::NULL)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Square;

impl<T: Real> Point<T> for Square {
    #[inline(always)]
    fn at(self, y: T, t: T) -> (T, T) {
        let r = y - t;
        (r * r, r + r)
    }
}

per_isa! {
    pub(super) fn rows<T: Real>(cpu: &Cpu, b: Batch<'_, T, T>, factor: f64) {
        pointwise(b, factor, Square);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sweep::check;
    use super::*;

    /// Few rows and many, one thread and two: the mean of the rows' values, and its gradient.
    #[test]
    fn slices_are_rows_of_a_batch() -> Result<()> {
        for (n, e, threads) in [(1, 1, 1), (3, 5, 2), (64, 2, 1), (65, 2, 2), (3000, 30, 2)] {
            let cpu = Cpu::new(threads)?;
            let (y, t) = (check::numbers(n * e, -3.0, 3.0, 1), check::numbers(n * e, -3.0, 3.0, 2));
            for (loss, factor) in [(Mse, 1.0 / e as f64), (Mse::half(), 0.5)] {
                let mut dy = vec![f64::NAN; n * e];
                let value = loss.on_values(&cpu, &y, &t, e, Some(&mut dy))?;
                assert_eq!(value, loss.on_values(&cpu, &y, &t, e, None)?);
                let naive = y.iter().zip(&t).map(|(y, t)| factor * (y - t) * (y - t)).sum::<f64>() / n as f64;
                approx::assert_relative_eq!(value, naive, max_relative = 1e-12);
                for ((dy, y), t) in dy.iter().zip(&y).zip(&t) {
                    approx::assert_relative_eq!(*dy, 2.0 * factor * (y - t) / n as f64, max_relative = 1e-14);
                }
            }
        }
        let (cpu, y) = (Cpu::new(1)?, [1.0_f32; 6]);
        assert!(Mse.on_values(&cpu, &y, &y[..5], 2, None).is_err() && Mse.on_values(&cpu, &y, &y, 4, None).is_err());
        assert!(Mse.on_values(&cpu, &y, &y, 2, Some(&mut [0.0; 5])).is_err() && Mse.on_values(&cpu, &y, &y, 0, None).is_err());
        assert!(Mse.on_values::<f32>(&cpu, &[], &[], 1, None).is_err());
        Ok(())
    }

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
