//! A running mean of the weights, often better than the last weights.
//!
//! a ← d·a + (1 − d)·w after update t = 0, 1, …, starting from a copy of the weights. With [`Ema::warm_up`] the decay is
//! min(d, (1 + t)/(10 + t)), so that the first, random weights are forgotten quickly.
//!
//! # Source
//! Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging"; the warm-up as in TensorFlow's
//! `ExponentialMovingAverage`.

use super::cuda::{OPTIM, part};
use super::{CHUNK, cut, demand_share, view};
use crate::device::{Device, Grid, Ptr, per_isa};
use crate::memory::{Slot, Step};
use crate::{Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The exponential moving average of the weights.
///
/// # Examples
/// ```
/// use kamacite::optim::Ema;
/// let ema = Ema::new(0.999).warm_up();
/// assert_eq!((ema.decay(0), ema.decay(u64::MAX)), (0.1, 0.999));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ema {
    decay: f64,
    #[serde(default)]
    warm_up: bool,
}

impl Ema {
    /// An average with memory d, 0 ≤ d < 1: it looks back over some 1/(1 − d) updates.
    pub const fn new(decay: f64) -> Self {
        Self { decay, warm_up: false }
    }

    /// Shortens the memory in the first updates.
    #[must_use]
    pub fn warm_up(mut self) -> Self {
        self.warm_up = true;
        self
    }

    /// Refuses a memory outside of [0, 1).
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value).
    pub fn check(&self) -> Result<()> {
        demand_share("ema", "decay", self.decay)
    }

    /// The memory at update `step`.
    pub fn decay(&self, step: u64) -> f64 {
        let t = step as f64;
        if self.warm_up { self.decay.min((1.0 + t) / (10.0 + t)) } else { self.decay }
    }

    /// The memory d, and whether it grows at first: for kernels, which know the update.
    pub(crate) fn parts(&self) -> (f64, bool) {
        (self.decay, self.warm_up)
    }

    /// Moves the average towards the weights, within one run of both arenas. A kernel reads `step` from `Control`.
    ///
    /// # Errors
    /// Device failures only.
    pub fn update(&self, s: &Step<'_>, average: Slot, w: Slot, range: &Range<usize>, step: u64) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let (mut a, w) = (s.write::<T>(average)?, s.read::<T>(w)?);
                let rest = T::of(1.0 - self.decay(step));
                cpu.split(CHUNK, (cut(&mut a, range)?, view(&w, range)?), |_, (a, w)| approach(cpu, rest, a, w));
            }),
            Device::Cuda(cuda) => {
                let args = EmaArgs {
                    control: s.control()?,
                    average: part(s, average, range)?,
                    w: part(s, w, range)?,
                    n: range.len() as u64,
                    decay: self.decay,
                    warm_up: u32::from(self.warm_up),
                    unused: 0,
                };
                cuda.kernel::<EmaArgs>(&OPTIM, "ema")?.launch(cuda, Grid::cover(range.len()), &args)?;
            }
        }
        Ok(())
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct EmaArgs {
    control: Ptr,
    average: Ptr,
    w: Ptr,
    n: u64,
    decay: f64,
    warm_up: u32,
    unused: u32,
}

per_isa! {
    /// In this form an average that has arrived stays: d·a + (1 − d)·w with w = a would drift by rounding.
    fn approach<T: Real>(cpu: &Cpu, rest: T, a: &mut [T], w: &[T]) {
        for (a, w) in a.iter_mut().zip(w) {
            *a += rest * (*w - *a);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Machine;
    use super::*;
    use crate::DType;
    use crate::device::testing::gpu;

    #[test]
    fn follows_its_equation() -> Result<()> {
        let cpu = Device::cpu_threads(2)?;
        let on_cpu = [(&cpu, DType::F32, f64::from(f32::EPSILON)), (&cpu, DType::F64, f64::EPSILON)];
        let gpu = gpu();
        let on_gpu = gpu.as_ref().map(|gpu| (gpu, DType::F32, f64::from(f32::EPSILON)));
        for (device, dtype, epsilon) in on_cpu.into_iter().chain(on_gpu) {
            for ema in [Ema::new(0.9), Ema::new(0.9).warm_up()] {
                let m = Machine::on(device, dtype, &[5, 40], 1)?;
                let run = 0..m.store.params[1].offset + 20;
                let mut a = m.values(m.w())?;
                m.set(Machine::word(0), |i| a[i])?;
                let start = a.clone();
                for t in 0..20 {
                    m.set(m.w(), |i| if m.padding(i) { 0.0 } else { ((i as u64 * 7 + t * 13) % 11) as f64 - 5.0 })?;
                    let w = m.values(m.w())?;
                    let d = if ema.warm_up { 0.9_f64.min((1.0 + t as f64) / (10.0 + t as f64)) } else { 0.9 };
                    // A GPU takes the step from its control block.
                    m.steer(|c| c.params.update = t)?;
                    ema.update(&m.step(), Machine::word(0), m.w(), &run, if device.is_cuda() { 0 } else { t })?;
                    run.clone().for_each(|i| a[i] = d * a[i] + (1.0 - d) * w[i]);
                }
                let got = m.values(Machine::word(0))?;
                // Three roundings a step of numbers up to 10, remembered for 1/(1 − d) = 10 steps.
                assert!(run.clone().all(|i| (got[i] - a[i]).abs() <= 3.0 * 10.0 * 10.0 * epsilon), "{got:?} {a:?}");
                assert_eq!(got[run.end..], start[run.end..]);
                assert!((0..got.len()).all(|i| !m.padding(i) || got[i] == 0.0));
            }
        }
        Ok(())
    }

    #[test]
    fn a_halted_average_stays() -> Result<()> {
        let Some(gpu) = gpu() else { return Ok(()) };
        let m = Machine::on(&gpu, DType::F32, &[40], 1)?;
        m.set(Machine::word(0), |i| i as f64)?;
        let before = m.values(Machine::word(0))?;
        for (diverged, skip, stays) in [(1, 0, true), (0, 1, true), (0, 0, false)] {
            m.steer(|c| (c.state.diverged, c.state.skip) = (diverged, skip))?;
            Ema::new(0.5).update(&m.step(), Machine::word(0), m.w(), &(0..40), 0)?;
            assert_eq!(m.values(Machine::word(0))? == before, stays);
        }
        Ok(())
    }

    #[test]
    fn an_average_that_has_arrived_stays() -> Result<()> {
        let m = Machine::new(DType::F32, &[100], 1, 1)?;
        let w = m.values(m.w())?;
        m.set(Machine::word(0), |i| w[i])?;
        for t in 0..50 {
            Ema::new(0.999).update(&m.step(), Machine::word(0), m.w(), &(0..100), t)?;
        }
        assert_eq!(m.values(Machine::word(0))?, w);
        Ok(())
    }

    #[test]
    fn refuses_values_outside_their_domain() {
        assert!([1.0, -0.1, f64::NAN].iter().all(|d| Ema::new(*d).check().is_err()));
    }
}
