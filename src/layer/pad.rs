//! A border of zeros, and its adjoint, the cut-out: with `b` cells before the first on each axis,
//! pad: y(i + b) = x(i), zero elsewhere, dx(i) = dy(i + b); crop: y(i) = x(i + b), dx(i + b) = dy(i), zero elsewhere.

use super::{Fields, Layer, Pass, Planned, fields, one};
use crate::device::{Cpu, Cuda, Device, Grid, Kernel, Layout, Ptr, Source};
use crate::memory::{GradMode, Io, Planner, Slot, Step};
use crate::op::elementwise::add;
use crate::op::packs;
use crate::{Axes, Error, Extent, Real, Result, Sizes, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// Zeros around the input.
///
/// # Shapes
/// d×h×w×c to the same with `before` + `after` more cells on each axis.
///
/// # Examples
/// ```
/// use kamacite::layer::ZeroPad;
/// let border = ZeroPad::new(1, 1);
/// let one_row_below = ZeroPad::new(0, [1, 0]);
/// # let _ = (border, one_row_below);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZeroPad {
    before: Sizes,
    after: Sizes,
}

/// A part of the input.
///
/// # Shapes
/// d×h×w×c to the same with `before` + `after` fewer cells on each axis.
///
/// # Errors
/// Refused at planning if nothing is left.
///
/// # Examples
/// ```
/// use kamacite::layer::Crop;
/// let without_border = Crop::new(1, 1);
/// # let _ = without_border;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crop {
    before: Sizes,
    after: Sizes,
}

impl ZeroPad {
    /// Adds `before` cells before the first and `after` behind the last of each axis.
    pub fn new(before: impl Into<Sizes>, after: impl Into<Sizes>) -> Self {
        Self { before: before.into(), after: after.into() }
    }
}

impl Crop {
    /// Removes the first `before` and the last `after` cells of each axis.
    pub fn new(before: impl Into<Sizes>, after: impl Into<Sizes>) -> Self {
        Self { before: before.into(), after: after.into() }
    }
}

impl Layer for ZeroPad {
    fn kind(&self) -> &'static str {
        "pad"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let frame = Frame::around(one(x)?, self.before, self.after, p.axes())?;
        Ok(Planned::new(frame.large, PadPass(frame, Kernels::new(p, &frame)?)))
    }
}

impl Layer for Crop {
    fn kind(&self) -> &'static str {
        "crop"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let frame = Frame::within(one(x)?, self.before, self.after, p.axes())?;
        Ok(Planned::new(frame.small, CropPass(frame, Kernels::new(p, &frame)?)))
    }
}

/// A small extent within a large one, its first cell at `origin`.
#[derive(Clone, Copy, Debug)]
struct Frame {
    small: Extent,
    large: Extent,
    origin: [usize; 3],
}

impl Frame {
    fn around(small: Extent, before: Sizes, after: Sizes, axes: Axes) -> Result<Self> {
        let (origin, after, mut space) = (before.on(axes, 0), after.on(axes, 0), small.space());
        for (a, n) in space.iter_mut().enumerate() {
            let sum = n.checked_add(origin[a]).and_then(|n| n.checked_add(after[a]));
            *n = sum.ok_or_else(|| Error::shape("", "the padding overflows"))?;
        }
        Ok(Self { small, large: small.with_space(space).check()?, origin })
    }

    fn within(large: Extent, before: Sizes, after: Sizes, axes: Axes) -> Result<Self> {
        let (origin, after, mut space) = (before.on(axes, 0), after.on(axes, 0), large.space());
        for (a, n) in space.iter_mut().enumerate() {
            let left = n.checked_sub(origin[a]).and_then(|n| n.checked_sub(after[a])).filter(|&n| n > 0);
            *n = left.ok_or_else(|| {
                Error::shape("", format!("nothing is left of axis {}", ["d", "h", "w"][a]))
                    .expected(format!("fewer than {n} cells cut"))
                    .got(format!("{} before and {} after", origin[a], after[a]))
            })?;
        }
        Ok(Self { small: large.with_space(space), large, origin })
    }

    /// Where row `row` of a batch of small lines begins in the large batch.
    #[inline]
    fn start(&self, row: usize) -> usize {
        let (s, l, o) = (self.small, self.large, self.origin);
        let (n, d, h) = (row / (s.d * s.h), row / s.h % s.d, row % s.h);
        (((n * l.d + d + o[0]) * l.h + h + o[1]) * l.w + o[2]) * l.c
    }

    /// The row of the small batch within row `row` of the large one.
    #[inline]
    fn row(&self, row: usize) -> Option<usize> {
        let (s, l, o) = (self.small, self.large, self.origin);
        let (n, d, h) = (row / (l.d * l.h), row / l.h % l.d, row % l.h);
        let (d, h) = (d.checked_sub(o[0]).filter(|&d| d < s.d)?, h.checked_sub(o[1]).filter(|&h| h < s.h)?);
        Some((n * s.d + d) * s.h + h)
    }
}

#[derive(Debug)]
struct PadPass(Frame, Kernels);

#[derive(Debug)]
struct CropPass(Frame, Kernels);

impl Pass for PadPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                enclose(cpu, &self.0, &s.read::<T>(io.x[0])?, GradMode::Write, &mut s.write::<T>(io.y)?);
            }),
            Device::Cuda(cuda) => self.1.enclose(cuda, &self.0, s, io.x[0], (io.y, GradMode::Write))?,
        }
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let Some((dx, mode)) = io.dx[0] else { return Ok(()) };
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                extract(cpu, &self.0, &s.read::<T>(io.dy)?, mode, &mut s.write::<T>(dx)?);
            }),
            Device::Cuda(cuda) => self.1.extract(cuda, &self.0, s, io.dy, (dx, mode))?,
        }
        Ok(())
    }
}

impl Pass for CropPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                extract(cpu, &self.0, &s.read::<T>(io.x[0])?, GradMode::Write, &mut s.write::<T>(io.y)?);
            }),
            Device::Cuda(cuda) => self.1.extract(cuda, &self.0, s, io.x[0], (io.y, GradMode::Write))?,
        }
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let Some((dx, mode)) = io.dx[0] else { return Ok(()) };
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                enclose(cpu, &self.0, &s.read::<T>(io.dy)?, mode, &mut s.write::<T>(dx)?);
            }),
            Device::Cuda(cuda) => self.1.enclose(cuda, &self.0, s, io.dy, (dx, mode))?,
        }
        Ok(())
    }
}

/// Values in one task: some 10 µs of copying.
const GRAIN: usize = 1 << 16;

/// large = small within zeros, or large += small.
fn enclose<T: Real>(cpu: &Cpu, f: &Frame, small: &[T], mode: GradMode, large: &mut [T]) {
    let (width, line, begin) = (f.small.w * f.small.c, f.large.w * f.large.c, f.origin[2] * f.large.c);
    let rows = (GRAIN / line).max(1);
    cpu.split(rows * line, large, |i, large| {
        for (r, large) in large.chunks_exact_mut(line).enumerate() {
            let small = f.row(i * rows + r).map(|row| &small[row * width..(row + 1) * width]);
            match (mode, small) {
                (GradMode::Write, None) => large.fill(T::ZERO),
                (GradMode::Write, Some(small)) => {
                    large[..begin].fill(T::ZERO);
                    large[begin..begin + width].copy_from_slice(small);
                    large[begin + width..].fill(T::ZERO);
                }
                (GradMode::Add, None) => {}
                (GradMode::Add, Some(small)) => add(cpu, small, &mut large[begin..begin + width]),
            }
        }
    });
}

/// small = the part of large, or small += it.
fn extract<T: Real>(cpu: &Cpu, f: &Frame, large: &[T], mode: GradMode, small: &mut [T]) {
    let width = f.small.w * f.small.c;
    let rows = (GRAIN / width).max(1);
    cpu.split(rows * width, small, |i, small| {
        for (r, small) in small.chunks_exact_mut(width).enumerate() {
            let large = &large[f.start(i * rows + r)..][..width];
            match mode {
                GradMode::Write => small.copy_from_slice(large),
                GradMode::Add => add(cpu, large, small),
            }
        }
    });
}

const PAD: Source = Source::new("pad", include_str!("../../kernels/pad.cu"));

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct FrameArgs {
    x: Ptr,
    y: Ptr,
    n: u64,
    small: Layout,
    large: Layout,
    origin: [u32; 3],
    add: u32,
}

#[derive(Debug)]
struct Kernels {
    width: usize,
    small: Layout,
    large: Layout,
    extract: Kernel<FrameArgs>,
    enclose: Kernel<FrameArgs>,
    add_within: Kernel<FrameArgs>,
}

impl Kernels {
    fn new(p: &Planner<'_>, f: &Frame) -> Result<Self> {
        let width = packs::width(p, &[f.small.c]);
        Ok(Self {
            width,
            small: packs::layout(p, f.small, width)?,
            large: packs::layout(p, f.large, width)?,
            extract: packs::kernel(p, &PAD, "extract", width)?,
            enclose: packs::kernel(p, &PAD, "enclose", width)?,
            add_within: packs::kernel(p, &PAD, "add_within", width)?,
        })
    }

    fn extract(&self, cuda: &Cuda, f: &Frame, s: &Step<'_>, large: Slot, small: (Slot, GradMode)) -> Result<()> {
        self.launch(&self.extract, cuda, f, s, (large, small, s.rows() * f.small.len()))
    }

    fn enclose(&self, cuda: &Cuda, f: &Frame, s: &Step<'_>, small: Slot, large: (Slot, GradMode)) -> Result<()> {
        match large.1 {
            GradMode::Write => self.launch(&self.enclose, cuda, f, s, (small, large, s.rows() * f.large.len())),
            GradMode::Add => self.launch(&self.add_within, cuda, f, s, (small, large, s.rows() * f.small.len())),
        }
    }

    /// From one slot to another in `n` values.
    fn launch(
        &self,
        kernel: &Kernel<FrameArgs>,
        cuda: &Cuda,
        f: &Frame,
        s: &Step<'_>,
        (x, (y, mode), n): (Slot, (Slot, GradMode), usize),
    ) -> Result<()> {
        let (n, add, origin) = (n / self.width, u32::from(mode == GradMode::Add), f.origin.map(|o| o as u32));
        let (small, large) = (self.small, self.large);
        let args = FrameArgs { x: s.ptr(x)?, y: s.ptr(y)?, n: n as u64, small, large, origin, add };
        kernel.launch(cuda, Grid::cover(n), &args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_and_cropping_move_every_value_to_its_place() -> Result<()> {
        let cpu = Cpu::new(2)?;
        for (x, before, after) in [
            (Extent::cube(2, 3, 4, 2), Sizes::from([1, 0, 2]), Sizes::from([0, 2, 1])),
            (Extent::image(5, 4, 3), Sizes::from(1), Sizes::from(2)),
            (Extent::line(7, 1), Sizes::from(0), Sizes::from(3)),
            (Extent::flat(4), Sizes::from(5), Sizes::from([0, 1])),
        ] {
            let (rows, f) = (2, Frame::around(x, before, after, Axes::of(x))?);
            let (s, l, o) = (f.small, f.large, f.origin);
            let small: Vec<f32> = (0..rows * s.len()).map(|i| i as f32 + 1.0).collect();
            let mut expected = vec![0.0; rows * l.len()];
            for (i, v) in small.iter().enumerate() {
                let (c, w, h, d, n) = (i % s.c, i / s.c % s.w, i / s.c / s.w % s.h, i / s.c / s.w / s.h % s.d, i / s.len());
                expected[(((n * l.d + d + o[0]) * l.h + h + o[1]) * l.w + w + o[2]) * l.c + c] = *v;
            }
            let mut large = vec![f32::NAN; expected.len()];
            enclose(&cpu, &f, &small, GradMode::Write, &mut large);
            assert_eq!(large, expected, "{x}");
            enclose(&cpu, &f, &small, GradMode::Add, &mut large);
            assert!(large.iter().zip(&expected).all(|(l, e)| *l == 2.0 * e), "{x}");
            // The reverse on a large array without zeros, with the frame that cropping plans.
            let g = Frame::within(l, before, after, Axes::of(x))?;
            assert_eq!((g.small, g.origin), (s, o));
            let large: Vec<f32> = expected.iter().map(|e| if *e == 0.0 { -1.0 } else { *e }).collect();
            let mut back = vec![f32::NAN; small.len()];
            extract(&cpu, &g, &large, GradMode::Write, &mut back);
            assert_eq!(back, small, "{x}");
            extract(&cpu, &g, &large, GradMode::Add, &mut back);
            assert!(back.iter().zip(&small).all(|(b, s)| *b == 2.0 * s), "{x}");
        }
        Ok(())
    }

    #[test]
    fn impossible_borders_are_refused() {
        let (x, axes) = (Extent::image(4, 6, 1), Axes([false, true, true]));
        assert!(Frame::around(x, Sizes::from(usize::MAX), Sizes::from(1), axes).is_err());
        assert!(Frame::around(x, Sizes::from(1 << 30), Sizes::from(1), axes).is_err());
        assert!(Frame::within(x, Sizes::from(2), Sizes::from(2), axes).is_err());
        assert!(Frame::within(x, Sizes::from(usize::MAX), Sizes::from(1), axes).is_err());
        assert!(Frame::within(x, Sizes::from([1, 3]), Sizes::from([2, 2]), axes).is_ok());
    }
}
