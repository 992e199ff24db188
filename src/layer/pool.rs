//! Pooling: one value per channel for each place of a window. With W(o) the input cells under the window at output o,
//!
//! * maximum: y(o) = max over W(o) of x; dx(i) = sum of dy(o) over the outputs o whose maximum came from i;
//! * average: y(o) = 1/n(o) · sum over W(o) of x; dx(i) = sum of dy(o)/n(o) over the outputs o whose window holds i,
//!
//! where n(o) counts the cells of W(o) that lie in the input, or all of them with [`Pool::count_padding`]. Windows may
//! overlap. Both backward passes gather: every dx is summed by one thread in the order of the windows.
//!
//! # Source
//! LeCun et al. 1998 (average), Ranzato et al. 2007 (maximum).

mod cuda;

use super::{Fields, Layer, Part, Pass, Planned, fields, one};
use crate::device::Device;
use crate::memory::{Io, Planner, Slot, Step};
use crate::op::pool::Geometry;
use crate::op::pool_cpu::{average, average_gradient, max, max_gradient, max_only};
use crate::{Axes, DType, Error, Extent, Padding, Result, Sizes, Window, real};
use cuda::AverageKernels;
pub(super) use cuda::MaxKernels;
use serde::{Deserialize, Serialize};

/// Maximum or average over windows, channel by channel.
///
/// # Shapes
/// d×h×w×c to d'×h'×w'×c with out = ⌊(in + before + after − size)/stride⌋ + 1 on each axis; 1×1×1×c for global pools.
///
/// # Errors
/// Refused at planning: windows larger than the padded input, and windows that see nothing but padding.
///
/// # Examples
/// ```
/// use kamacite::layer::Pool;
/// let halve = Pool::max(2);
/// let overlapping = Pool::max(3).stride(2).pad(1);
/// let head = Pool::global_average();
/// # let _ = (halve, overlapping, head);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    over: Over,
    /// `None`: the whole input.
    size: Option<Sizes>,
    #[serde(default)]
    stride: Option<Sizes>,
    #[serde(default)]
    padding: Option<Padding>,
    #[serde(default)]
    count_padding: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Over {
    Max,
    Average,
}

impl Pool {
    fn new(over: Over, size: Option<Sizes>) -> Self {
        Self { over, size, stride: None, padding: None, count_padding: false }
    }

    /// The largest value of each window: the first in the order d, h, w where several are equal. A NaN counts as larger
    /// than every number, so that a divergence stays visible; padding never wins.
    pub fn max(size: impl Into<Sizes>) -> Self {
        Self::new(Over::Max, Some(size.into()))
    }

    /// The mean of each window; padding is not counted unless [`Pool::count_padding`] says so.
    pub fn average(size: impl Into<Sizes>) -> Self {
        Self::new(Over::Average, Some(size.into()))
    }

    /// The mean of each channel over the whole input.
    pub fn global_average() -> Self {
        Self::new(Over::Average, None)
    }

    /// The largest value of each channel in the whole input.
    pub fn global_max() -> Self {
        Self::new(Over::Max, None)
    }

    /// Steps between windows; the window's size unless set.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Sizes>) -> Self {
        self.stride = Some(stride.into());
        self
    }

    /// Padding cells on both sides of each axis.
    #[must_use]
    pub fn pad(mut self, pad: impl Into<Sizes>) -> Self {
        self.padding = Some(Padding::Both(pad.into()));
        self
    }

    /// Padding cells before the first and after the last input of each axis.
    #[must_use]
    pub fn pad_sides(mut self, before: impl Into<Sizes>, after: impl Into<Sizes>) -> Self {
        self.padding = Some(Padding::Sides { before: before.into(), after: after.into() });
        self
    }

    /// As much padding as makes out = ⌈in/stride⌉.
    #[must_use]
    pub fn same(mut self) -> Self {
        self.padding = Some(Padding::Same);
        self
    }

    /// Averages divide by the full window: padding counts as zeros.
    #[must_use]
    pub fn count_padding(mut self) -> Self {
        self.count_padding = true;
        self
    }

    fn window(&self, x: Extent, axes: Axes) -> Result<Window> {
        let Some(size) = self.size else {
            if self.stride.is_some() || self.padding.is_some() {
                return Err(Error::plan("", "a global pool has one window: neither stride nor padding"));
            }
            return Ok(Window { stride: x.space(), ..Window::new(x.space()) });
        };
        let mut window = Window::new(size.on(axes, 1));
        window.stride = self.stride.map_or(window.size, |s| s.on(axes, 1));
        if let Some(padding) = self.padding {
            padding.apply(&mut window, axes, x.space());
        }
        Ok(window)
    }
}

impl Layer for Pool {
    fn kind(&self) -> &'static str {
        "pool"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let g = Geometry::new(one(x)?, self.window(one(x)?, p.axes())?)?;
        Ok(match self.over {
            Over::Max => {
                if u32::try_from(g.x.area()).is_err() {
                    return Err(Error::shape("", "too many positions").expected("fewer than 2^32").got(g.x));
                }
                let words = if p.device().is_cuda() { MaxKernels::winners(&g) } else { g.y.len() };
                let winner = p.mode().differentiable().then(|| p.saved(DType::U32, words));
                Planned::new(g.y, MaxPass { g, winner, kernels: MaxKernels::new(p, &g)? }).part(Part::MaxPool(g))
            }
            Over::Average => Planned::new(g.y, AveragePass { g, full: self.count_padding, kernels: AverageKernels::new(p, &g)? }),
        })
    }
}

#[derive(Debug)]
struct MaxPass {
    g: Geometry,
    /// Position d·h·w of each maximum; on a GPU as its kernels have it.
    winner: Option<Slot>,
    kernels: MaxKernels,
}

impl Pass for MaxPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let (x, mut y) = (s.read::<T>(io.x[0])?, s.write::<T>(io.y)?);
                match self.winner {
                    Some(winner) => max(cpu, &self.g, &x, &mut y, &mut s.write::<u32>(winner)?),
                    None => max_only(cpu, &self.g, &x, &mut y),
                }
            }),
            Device::Cuda(cuda) => self.kernels.forward(cuda, &self.g, s, io.x[0], io.y, self.winner)?,
        }
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let (Some((dx, mode)), Some(winner)) = (io.dx[0], self.winner) else { return Ok(()) };
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let (dy, winner) = (s.read::<T>(io.dy)?, s.read::<u32>(winner)?);
                max_gradient(cpu, &self.g, &dy, &winner, mode, &mut s.write::<T>(dx)?);
            }),
            Device::Cuda(cuda) => self.kernels.backward(cuda, &self.g, s, io.dy, winner, (dx, mode))?,
        }
        Ok(())
    }
}

#[derive(Debug)]
struct AveragePass {
    g: Geometry,
    /// Divide by the full window.
    full: bool,
    kernels: AverageKernels,
}

impl Pass for AveragePass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                average(cpu, &self.g, self.full, &s.read::<T>(io.x[0])?, &mut s.write::<T>(io.y)?);
            }),
            Device::Cuda(cuda) => self.kernels.forward(cuda, &self.g, self.full, s, io.x[0], io.y)?,
        }
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let Some((dx, mode)) = io.dx[0] else { return Ok(()) };
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                average_gradient(cpu, &self.g, self.full, &s.read::<T>(io.dy)?, mode, &mut s.write::<T>(dx)?);
            }),
            Device::Cuda(cuda) => self.kernels.backward(cuda, &self.g, self.full, s, io.dy, (dx, mode))?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
