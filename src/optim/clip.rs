//! Bounds on gradients.
//!
//! By norm: dw ← dw·min(1, c/‖dw‖), where ‖dw‖ is the Euclidean norm over all trained parameters together.
//! By value: dw ← min(max(dw, −c), c).
//!
//! # Source
//! Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks" (norm).

use super::{CHUNK, cut, demand, view};
use crate::device::{Cpu, Device, per_isa};
use crate::memory::{Element, Slot, Step};
use crate::{Error, Real, Result, real};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How gradients are bounded before the update.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Clip {
    /// The norm over all parameters together is at most this.
    Norm(f64),
    /// Each gradient lies within ± this.
    Value(f64),
}

impl Clip {
    /// Refuses bounds that are not positive and finite.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value).
    pub fn check(&self) -> Result<()> {
        let (Self::Norm(c) | Self::Value(c)) = *self;
        demand(c.is_finite() && c > 0.0, "clip", "bound", "a finite number above 0", c)
    }

    /// Clips the gradients in these runs of the arena `dw`, once they are complete; returns the factor that is left for
    /// [`Run::grad_scale`](super::Run::grad_scale): 1 when clipping by value, which is done in place.
    ///
    /// # Errors
    /// [`ErrorKind::Diverged`](crate::ErrorKind::Diverged) for a norm that is NaN or infinite.
    pub fn apply(&self, s: &Step<'_>, dw: Slot, runs: &[Range<usize>]) -> Result<f64> {
        match *self {
            Self::Norm(c) => {
                let norm = norm(s, dw, runs)?;
                if !norm.is_finite() {
                    return Err(Error::diverged("clip", "the norm of the gradient is not finite").got(norm));
                }
                Ok(if norm > c { c / norm } else { 1.0 })
            }
            Self::Value(c) => {
                match s.device() {
                    Device::Cpu(cpu) => real!(s.dtype(), T => {
                        let mut dw = s.write::<T>(dw)?;
                        for run in runs {
                            cpu.split(CHUNK, cut(&mut dw, run)?, |_, dw| bound(cpu, T::of(c), dw));
                        }
                    }),
                    Device::Cuda(_) => return Err(crate::device::unported()),
                }
                Ok(1.0)
            }
        }
    }
}

/// The Euclidean norm of the gradients in these runs together; the same bits for any number of threads.
///
/// # Errors
/// [`ErrorKind::Order`](crate::ErrorKind::Order) if the slot is borrowed or a run lies outside of it.
pub fn norm(s: &Step<'_>, dw: Slot, runs: &[Range<usize>]) -> Result<f64> {
    match s.device() {
        Device::Cpu(cpu) => real!(s.dtype(), T => {
            let dw = s.read::<T>(dw)?;
            let mut sum = 0.0;
            for run in runs {
                sum += squares(cpu, view(&dw, run)?);
            }
            Ok(sum.sqrt())
        }),
        Device::Cuda(_) => return Err(crate::device::unported()),
    }
}

/// Partial sums of one run: cut by its length alone, added in order.
const PARTS: usize = 256;

fn squares<T: Real + Element>(cpu: &Cpu, x: &[T]) -> f64 {
    let chunk = x.len().div_ceil(PARTS).max(CHUNK);
    let mut partial = [0.0; PARTS];
    let used = x.len().div_ceil(chunk);
    cpu.split(1, &mut partial[..used], |i, sum| {
        let start = i * chunk;
        sum[0] = sum_of_squares(cpu, &x[start..x.len().min(start + chunk)]);
    });
    partial[..used].iter().sum()
}

/// Lanes of the sums in f64: a widened vector of AVX-512, four times to hide the latency of the addition.
const LANES: usize = 32;

per_isa! {
    fn sum_of_squares<T: Real>(cpu: &Cpu, x: &[T]) -> f64 {
        let mut sums = [0.0_f64; LANES];
        let whole = x.chunks_exact(LANES);
        let rest: f64 = whole.remainder().iter().map(|x| x.to_f64() * x.to_f64()).sum();
        for x in whole {
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum += x.to_f64() * x.to_f64();
            }
        }
        sums.iter().sum::<f64>() + rest
    }
}

per_isa! {
    /// NaN stays: both comparisons are false.
    fn bound<T: Real>(cpu: &Cpu, c: T, x: &mut [T]) {
        for x in x {
            *x = if *x > c { c } else if *x < -c { -c } else { *x };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Machine;
    use super::*;
    use crate::{DType, ErrorKind};

    #[test]
    fn norm_is_that_of_the_runs_and_the_same_for_any_threads() -> Result<()> {
        for dtype in [DType::F32, DType::F64] {
            for lens in [vec![5, 33, 700], vec![3 * CHUNK + 7, 11]] {
                let mut all = Vec::new();
                for threads in [1, 2, 7] {
                    let m = Machine::new(dtype, &lens, 0, threads)?;
                    m.set(m.dw(), |i| if m.padding(i) { 0.0 } else { ((i * 37 % 101) as f64 - 50.0) / 7.0 })?;
                    let runs = [0..lens[0], m.store.params[1].offset..m.store.flat_len()];
                    let dw = m.values(m.dw())?;
                    let expected = runs.iter().flat_map(|r| &dw[r.clone()]).map(|x| x * x).sum::<f64>().sqrt();
                    let got = norm(&m.step(), m.dw(), &runs)?;
                    // The sums run over non-negative numbers in f64: n·ε bounds their relative error, in any order.
                    assert!((got / expected - 1.0).abs() <= dw.len() as f64 * f64::EPSILON, "{got} {expected}");
                    all.push(got.to_bits());

                    let scale = Clip::Norm(2.0).apply(&m.step(), m.dw(), &runs)?;
                    assert!((scale * got - 2.0).abs() < 1e-12);
                    assert_eq!(Clip::Norm(got * 1.01).apply(&m.step(), m.dw(), &runs)?, 1.0);
                    assert_eq!(m.values(m.dw())?, dw, "clipping by norm leaves the gradients alone");
                }
                assert!(all.iter().all(|bits| *bits == all[0]), "{all:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn values_are_bounded_within_the_runs_only() -> Result<()> {
        let m = Machine::new(DType::F32, &[40, 40], 0, 2)?;
        m.set(m.dw(), |i| i as f64 - 30.0)?;
        assert_eq!(Clip::Value(5.0).apply(&m.step(), m.dw(), std::slice::from_ref(&(0..40)))?, 1.0);
        for (i, x) in m.values(m.dw())?.into_iter().enumerate() {
            let raw = i as f64 - 30.0;
            assert_eq!(x, if i < 40 { raw.clamp(-5.0, 5.0) } else { raw });
        }
        Ok(())
    }

    #[test]
    fn nan_is_never_hidden() -> Result<()> {
        let m = Machine::new(DType::F32, &[70], 0, 1)?;
        m.set(m.dw(), |i| if i == 37 { f64::NAN } else { 9.0 })?;
        Clip::Value(5.0).apply(&m.step(), m.dw(), std::slice::from_ref(&(0..70)))?;
        assert!(m.values(m.dw())?[37].is_nan());
        assert_eq!(
            Clip::Norm(5.0).apply(&m.step(), m.dw(), std::slice::from_ref(&(0..70))).map_err(|e| e.kind()),
            Err(ErrorKind::Diverged)
        );
        Ok(())
    }

    #[test]
    fn refuses_values_outside_their_domain() {
        for clip in [Clip::Norm(0.0), Clip::Value(-1.0), Clip::Norm(f64::NAN), Clip::Value(f64::INFINITY)] {
            assert_eq!(clip.check().map_err(|e| e.kind()), Err(ErrorKind::Value), "{clip:?}");
        }
    }
}
