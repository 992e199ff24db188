//! A layer as a user writes one, with a kernel of its own: the asinh stretch of astronomical images, whose softening is learnt.
//!
//! y = asinh(a·x), a = exp(s), one s for each channel: linear for a·x ≪ 1, logarithmic above. dx = dy·a/√(1 + (a·x)²),
//! ds = Σ dy·a·x/√(1 + (a·x)²).
//!
//! # Source
//! Lupton, Gunn & Szalay 1999, "A modified magnitude system that produces well-behaved magnitudes", AJ 118.

use bytemuck::{Pod, Zeroable};
use kamacite::device::{Grid, Kernel, Ptr, Source};
use kamacite::layer::{Fields, Layer, Pass, Planned, fields, one};
use kamacite::memory::{GradMode, Io, Param, ParamSpec, Planner, Step};
use kamacite::*;
use serde::{Deserialize, Serialize};

/// The layer: data only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asinh {
    /// a at the start.
    pub scale: f64,
}

const ASINH: Source = Source::new("asinh", include_str!("asinh.cu"));

/// The argument of all three kernels; as `AsinhArgs` in `asinh.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct AsinhArgs {
    x: Ptr,
    y: Ptr,
    dy: Ptr,
    s: Ptr,
    ds: Ptr,
    n: u64,
    channels: u32,
    add: u32,
}

impl Layer for Asinh {
    fn kind(&self) -> &'static str {
        "asinh"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let x = one(x)?;
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return Err(Error::value("", "scale").expected("a finite number above 0").got(self.scale));
        }
        let pass = AsinhPass {
            channels: x.c,
            s: p.param("log_scale", ParamSpec::norm(x.c, self.scale.ln()))?,
            forward: p.typed_kernel(&ASINH, "asinh_forward")?,
            backward: p.typed_kernel(&ASINH, "asinh_backward")?,
            slope: p.typed_kernel(&ASINH, "asinh_slope")?,
        };
        Ok(Planned::new(x, pass).reads_x())
    }
}

/// What runs: sizes, slots, kernels.
#[derive(Debug)]
struct AsinhPass {
    channels: usize,
    s: Param,
    forward: Kernel<AsinhArgs>,
    backward: Kernel<AsinhArgs>,
    slope: Kernel<AsinhArgs>,
}

impl Pass for AsinhPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(_) => real!(s.dtype(), T => {
                let (x, log_scale, mut y) = (s.read::<T>(io.x[0])?, s.read::<T>(self.s.w)?, s.write::<T>(io.y)?);
                for (y, x) in y.chunks_exact_mut(self.channels).zip(x.chunks_exact(self.channels)) {
                    for ((y, x), s) in y.iter_mut().zip(x).zip(&*log_scale) {
                        *y = T::of((s.to_f64().exp() * x.to_f64()).asinh());
                    }
                }
                Ok(())
            }),
            Device::Cuda(cuda) => {
                let n = s.len(io.y)?;
                let (x, y, w) = (s.ptr(io.x[0])?, s.ptr(io.y)?, s.ptr(self.s.w)?);
                self.forward.launch(cuda, Grid::cover(n), &self.args(x, y, Ptr::NULL, (w, Ptr::NULL), n, GradMode::Write))
            }
        }
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let (dx, ds) = (io.dx[0], s.grad(self.s.dw));
        match s.device() {
            Device::Cpu(_) => real!(s.dtype(), T => {
                let (x, dy, log_scale) = (s.read::<T>(io.x[0])?, s.read::<T>(io.dy)?, s.read::<T>(self.s.w)?);
                let term = |i: usize| {
                    let a = log_scale[i % self.channels].to_f64().exp();
                    let (z, dy) = (a * x[i].to_f64(), dy[i].to_f64());
                    let root = (1.0 + z * z).sqrt();
                    (dy * a / root, dy * z / root)
                };
                if let Some((dx, mode)) = dx {
                    for (i, dx) in s.write::<T>(dx)?.iter_mut().enumerate() {
                        *dx = T::of(term(i).0) + if mode == GradMode::Add { *dx } else { <T as Real>::ZERO };
                    }
                }
                if let Some((ds, mode)) = ds {
                    for (c, ds) in s.write::<T>(ds)?.iter_mut().enumerate() {
                        let sum: f64 = (c..x.len()).step_by(self.channels).map(|i| term(i).1).sum();
                        *ds = T::of(sum) + if mode == GradMode::Add { *ds } else { <T as Real>::ZERO };
                    }
                }
                Ok(())
            }),
            Device::Cuda(cuda) => {
                let n = s.len(io.dy)?;
                let (x, dy, w) = (s.ptr(io.x[0])?, s.ptr(io.dy)?, s.ptr(self.s.w)?);
                if let Some((dx, mode)) = dx {
                    let args = self.args(x, s.ptr(dx)?, dy, (w, Ptr::NULL), n, mode);
                    self.backward.launch(cuda, Grid::cover(n), &args)?;
                }
                if let Some((ds, mode)) = ds {
                    let args = self.args(x, Ptr::NULL, dy, (w, s.ptr(ds)?), n, mode);
                    self.slope.launch(cuda, Grid::blocks(self.channels), &args)?;
                }
                Ok(())
            }
        }
    }
}

impl AsinhPass {
    fn args(&self, x: Ptr, y: Ptr, dy: Ptr, (s, ds): (Ptr, Ptr), n: usize, mode: GradMode) -> AsinhArgs {
        let add = u32::from(mode == GradMode::Add);
        AsinhArgs { x, y, dy, s, ds, n: n as u64, channels: self.channels as u32, add }
    }
}
