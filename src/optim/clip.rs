//! Bounds on gradients.
//!
//! By norm: dw ← dw·min(1, c/‖dw‖), where ‖dw‖ is the Euclidean norm over all trained parameters together.
//! By value: dw ← min(max(dw, −c), c).
//!
//! # Source
//! Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks" (norm).

use super::cuda::{OPTIM, part, quads};
use super::{CHUNK, cut, demand, view};
use crate::device::{Cpu, Cuda, Device, Grid, Ptr, per_isa};
use crate::memory::{Element, Slot, Step};
use crate::{Error, Real, Result, real};
use bytemuck::{Pod, Zeroable};
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
    /// On a GPU the norm stays there: the factor goes to `Control`, for runs that are [`clipped`](super::Run::clipped), and 1 comes
    /// back. Nothing waits for the device. A norm that is not finite then sets the flag `diverged`, as a loss does: updates
    /// become no-ops.
    ///
    /// # Errors
    /// On the CPU [`ErrorKind::Diverged`](crate::ErrorKind::Diverged) for a norm that is NaN or infinite.
    pub fn apply(&self, s: &Step<'_>, dw: Slot, runs: &[Range<usize>], scaled: bool) -> Result<f64> {
        match *self {
            Self::Norm(c) => {
                if let Device::Cuda(cuda) = s.device() {
                    norm_on_device(cuda, s, dw, runs, (c, scaled))?;
                    return Ok(1.0);
                }
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
                    Device::Cuda(cuda) => {
                        let kernel = cuda.kernel::<ClipValueArgs>(&OPTIM, "clip_value")?;
                        for run in runs {
                            let args = ClipValueArgs {
                                control: s.control()?,
                                dw: part(s, dw, run)?,
                                n: run.len() as u64,
                                bound: c,
                                scaled: u32::from(scaled),
                                unused: 0,
                            };
                            kernel.launch(cuda, Grid::cover(run.len()), &args)?;
                        }
                    }
                }
                Ok(1.0)
            }
        }
    }
}

/// The Euclidean norm of the gradients in these runs together; the same bits for any number of threads. On a GPU this waits
/// for the device.
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
        Device::Cuda(cuda) => {
            let at = norm_on_device(cuda, s, dw, runs, (0.0, false))?;
            let mut norm = [0.0];
            cuda.download(at, bytemuck::cast_slice_mut(&mut norm))?;
            Ok(norm[0])
        }
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

/// Blocks that sum squares, at most: enough to fill the largest GPUs, and one word of [`Store::partial`] for each.
///
/// [`Store::partial`]: crate::memory::Store
const BLOCKS: usize = 512;

/// The words of device memory that the norm takes: a sum for each block, and the norm itself.
pub(crate) const NORM_WORDS: usize = BLOCKS + 1;

/// The norm of these runs, and where it will be: without the loss scale, where gradients are `scaled` by it. A `bound` above 0
/// sets `state.clip` as well.
fn norm_on_device(cuda: &Cuda, s: &Step<'_>, dw: Slot, runs: &[Range<usize>], (bound, scaled): (f64, bool)) -> Result<Ptr> {
    const DOUBLE: usize = size_of::<f64>();
    let partial = s.norm_words()?;
    cuda.fill(partial, 0, BLOCKS * DOUBLE)?;
    let squares = cuda.kernel::<SquareSumArgs>(&OPTIM, "square_sum")?;
    for run in runs {
        let args = SquareSumArgs { dw: part(s, dw, run)?, partial, n: run.len() as u64, quads: quads(run) };
        // By the length alone, so that the bits depend on nothing else: 16 elements for each of 256 threads.
        squares.launch(cuda, Grid::blocks(run.len().div_ceil(4096).min(BLOCKS)), &args)?;
    }
    let norm = partial.offset(BLOCKS * DOUBLE);
    let args = ClipNormArgs { control: s.control()?, partial, norm, bound, parts: BLOCKS as u32, scaled: u32::from(scaled) };
    cuda.kernel::<ClipNormArgs>(&OPTIM, "clip_norm")?.launch(cuda, Grid::blocks(1), &args)?;
    Ok(norm)
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct ClipValueArgs {
    control: Ptr,
    dw: Ptr,
    n: u64,
    bound: f64,
    scaled: u32,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct SquareSumArgs {
    dw: Ptr,
    partial: Ptr,
    n: u64,
    quads: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct ClipNormArgs {
    control: Ptr,
    partial: Ptr,
    norm: Ptr,
    bound: f64,
    parts: u32,
    scaled: u32,
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
    use crate::device::testing::gpu;
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

                    let scale = Clip::Norm(2.0).apply(&m.step(), m.dw(), &runs, true)?;
                    assert!((scale * got - 2.0).abs() < 1e-12);
                    assert_eq!(Clip::Norm(got * 1.01).apply(&m.step(), m.dw(), &runs, true)?, 1.0);
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
        assert_eq!(Clip::Value(5.0).apply(&m.step(), m.dw(), std::slice::from_ref(&(0..40)), true)?, 1.0);
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
        Clip::Value(5.0).apply(&m.step(), m.dw(), std::slice::from_ref(&(0..70)), true)?;
        assert!(m.values(m.dw())?[37].is_nan());
        assert_eq!(
            Clip::Norm(5.0).apply(&m.step(), m.dw(), std::slice::from_ref(&(0..70)), true).map_err(|e| e.kind()),
            Err(ErrorKind::Diverged)
        );
        Ok(())
    }

    /// On a GPU the norm does not come to the host: the factor is in the control block, without the loss scale.
    #[test]
    fn a_gpu_keeps_the_norm() -> Result<()> {
        let Some(gpu) = gpu() else { return Ok(()) };
        for lens in [vec![5, 33, 700], vec![3 * CHUNK + 7, 11]] {
            let m = Machine::on(&gpu, DType::F32, &lens, 0)?;
            m.set(m.dw(), |i| if m.padding(i) { 0.0 } else { ((i * 37 % 101) as f64 - 50.0) / 7.0 })?;
            // From the second element on: a run that begins between quads.
            let runs = [1..lens[0], m.store.params[1].offset..m.store.flat_len()];
            let dw = m.values(m.dw())?;
            let expected = runs.iter().flat_map(|r| &dw[r.clone()]).map(|x| x * x).sum::<f64>().sqrt();
            let got = norm(&m.step(), m.dw(), &runs)?;
            assert!((got / expected - 1.0).abs() <= dw.len() as f64 * f64::EPSILON, "{got} {expected}");
            assert_eq!(norm(&m.step(), m.dw(), &runs)?.to_bits(), got.to_bits());
            for (loss_scale, scaled) in [(1.0, true), (8.0, true), (8.0, false)] {
                m.steer(|c| c.state.loss_scale = loss_scale)?;
                let real = if scaled { got / f64::from(loss_scale) } else { got };
                assert_eq!(Clip::Norm(real / 2.0).apply(&m.step(), m.dw(), &runs, scaled)?, 1.0);
                assert_eq!(m.control()?.state.clip, 0.5);
                Clip::Norm(real * 1.01).apply(&m.step(), m.dw(), &runs, scaled)?;
                assert_eq!(m.control()?.state.clip, 1.0);
            }
            assert_eq!(m.values(m.dw())?, dw, "clipping by norm leaves the gradients alone");
            assert_eq!((m.control()?.state.diverged, m.control()?.state.skip), (0, 0));
        }
        Ok(())
    }

    #[test]
    fn a_gpu_stops_at_a_norm_that_is_not_finite() -> Result<()> {
        let Some(gpu) = gpu() else { return Ok(()) };
        let m = Machine::on(&gpu, DType::F32, &[700], 0)?;
        let all = std::slice::from_ref(&(0..700));
        m.set(m.dw(), |i| if i == 337 { f64::INFINITY } else { 1.0 })?;
        m.steer(|c| (c.params.update, c.state.loss_scale) = (7, 1024.0))?;
        // With a loss scale this may be an overflow: it costs one update.
        Clip::Norm(5.0).apply(&m.step(), m.dw(), all, true)?;
        assert_eq!((m.control()?.state.diverged, m.control()?.state.skip), (0, 1));
        m.steer(|c| (c.state.loss_scale, c.state.skip) = (1.0, 0))?;
        Clip::Norm(5.0).apply(&m.step(), m.dw(), all, true)?;
        let state = m.control()?.state;
        assert_eq!((state.diverged, state.diverged_at, state.skip), (1, 7, 0));
        // The first one is what counts.
        m.steer(|c| c.params.update = 8)?;
        Clip::Norm(5.0).apply(&m.step(), m.dw(), all, true)?;
        assert_eq!(m.control()?.state.diverged_at, 7);
        Ok(())
    }

    #[test]
    fn a_gpu_bounds_values_within_the_runs_only() -> Result<()> {
        let Some(gpu) = gpu() else { return Ok(()) };
        let m = Machine::on(&gpu, DType::F32, &[40, 40], 0)?;
        for (scaled, bound) in [(false, 5.0), (true, 20.0)] {
            m.steer(|c| c.state.loss_scale = 4.0)?;
            let raw = |i: usize| if i == 37 { f64::NAN } else { i as f64 - 30.0 };
            m.set(m.dw(), raw)?;
            Clip::Value(5.0).apply(&m.step(), m.dw(), std::slice::from_ref(&(3..40)), scaled)?;
            for (i, x) in m.values(m.dw())?.into_iter().enumerate() {
                let expected = if (3..40).contains(&i) { raw(i).clamp(-bound, bound) } else { raw(i) };
                assert!(x == expected || x.is_nan() && i == 37, "element {i}: {x}");
            }
        }
        Ok(())
    }

    #[test]
    fn refuses_values_outside_their_domain() {
        for clip in [Clip::Norm(0.0), Clip::Value(-1.0), Clip::Norm(f64::NAN), Clip::Value(f64::INFINITY)] {
            assert_eq!(clip.check().map_err(|e| e.kind()), Err(ErrorKind::Value), "{clip:?}");
        }
    }
}
