//! Upsampling by a whole factor f on each axis, the same for every channel. Both kinds are a product of one sparse
//! matrix per axis, y = (A_d ⊗ A_h ⊗ A_w)·x, with one or two entries in a row, and dx = (A_d ⊗ A_h ⊗ A_w)ᵀ·dy:
//!
//! * nearest: y(o) = x(⌊o/f⌋);
//! * linear: y(o) = (1−λ)·x(i) + λ·x(min(i+1, in−1)) with i + λ = max(0, (o+½)/f − ½), or i + λ = o·(in−1)/(out−1)
//!   where the corners are aligned.
//!
//! The transposed matrices are tabled too, so that the backward pass gathers with the same code.

use super::{Fields, Layer, Pass, Planned, fields, one};
use crate::device::{Cpu, Cuda, Device, Divisor, Grid, Kernel, Layout, Ptr, Source, per_isa};
use crate::memory::{GradMode, Io, Planner, Slot, Step};
use crate::op::packs;
use crate::op::pool_cpu::blocks;
use crate::{Error, Extent, Real, Result, Sizes, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// Enlarges each axis by a whole factor.
///
/// # Shapes
/// d×h×w×c to d·f_d × h·f_h × w·f_w × c; a single factor applies on every axis that the network has.
///
/// # Errors
/// A factor of 0, or an output too large, is refused at planning.
///
/// # Examples
/// ```
/// use kamacite::layer::Upsample;
/// let decoder_step = Upsample::nearest(2);
/// let smooth = Upsample::linear([2, 4]).align_corners();
/// # let _ = (decoder_step, smooth);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upsample {
    kind: Kind,
    factor: Sizes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Nearest,
    Linear,
    /// Linear, with the first and last cells of input and output in the same places.
    Corners,
}

impl Upsample {
    /// Repeats every cell.
    pub fn nearest(factor: impl Into<Sizes>) -> Self {
        Self { kind: Kind::Nearest, factor: factor.into() }
    }

    /// Interpolates between cell centres (linear, bilinear or trilinear); constant beyond the outermost centres.
    pub fn linear(factor: impl Into<Sizes>) -> Self {
        Self { kind: Kind::Linear, factor: factor.into() }
    }

    /// Interpolates between the first and the last cell, which keep their values. Only for [`Upsample::linear`]; nothing
    /// changes for the other.
    #[must_use]
    pub fn align_corners(mut self) -> Self {
        if self.kind == Kind::Linear {
            self.kind = Kind::Corners;
        }
        self
    }
}

impl Layer for Upsample {
    fn kind(&self) -> &'static str {
        "upsample"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let x = one(x)?;
        let factor = self.factor.on(p.axes(), 1);
        let y = enlarge(x, factor)?;
        let axes: [Taps; 3] = std::array::from_fn(|a| Taps::new(self.kind, x.space()[a], factor[a]));
        let back = std::array::from_fn(|a| axes[a].transpose(x.space()[a]));
        let machine = Machine { forward: Resample { x, y, axes }, backward: Resample { x: y, y: x, axes: back } };
        Ok(Planned::new(y, UpsamplePass { kernels: Kernels::new(p, self.kind, x, y, factor)?, machine }))
    }
}

fn enlarge(x: Extent, factor: [usize; 3]) -> Result<Extent> {
    let mut space = x.space();
    for (n, f) in space.iter_mut().zip(factor) {
        *n = n.checked_mul(f).filter(|&n| n <= 1 << 22).ok_or_else(|| {
            Error::shape("", "the output is too large").expected("at most 2^22 cells on an axis").got(format!("{n}·{f}"))
        })?;
    }
    x.with_space(space).check()
}

/// A sparse matrix, row by row: which inputs make an output, and their weights.
#[derive(Clone, Debug, Default)]
struct Taps {
    /// Row o is entries[start[o]..start[o + 1]].
    start: Vec<usize>,
    entries: Vec<(u32, f64)>,
}

impl Taps {
    fn new(kind: Kind, len: usize, factor: usize) -> Self {
        let rows = (0..len * factor).map(|o| {
            let from = match kind {
                Kind::Nearest => return vec![((o / factor) as u32, 1.0)],
                Kind::Linear => ((o as f64 + 0.5) / factor as f64 - 0.5).max(0.0),
                Kind::Corners => (o * (len - 1)) as f64 / (len * factor - 1).max(1) as f64,
            };
            let i = (from.floor() as usize).min(len - 1);
            let lambda = from - i as f64;
            // Beyond the last centre both taps are the last cell.
            if lambda == 0.0 || i + 1 == len {
                vec![(i as u32, 1.0)]
            } else {
                vec![(i as u32, 1.0 - lambda), (i as u32 + 1, lambda)]
            }
        });
        Self::of(rows)
    }

    fn of(rows: impl Iterator<Item = Vec<(u32, f64)>>) -> Self {
        let mut taps = Self { start: vec![0], entries: Vec::new() };
        for row in rows {
            taps.entries.extend(row);
            taps.start.push(taps.entries.len());
        }
        taps
    }

    fn transpose(&self, columns: usize) -> Self {
        let mut rows = vec![Vec::new(); columns];
        for o in 0..self.start.len() - 1 {
            self.row(o).iter().for_each(|&(i, weight)| rows[i as usize].push((o as u32, weight)));
        }
        Self::of(rows.into_iter())
    }

    #[inline(always)]
    fn row(&self, o: usize) -> &[(u32, f64)] {
        &self.entries[self.start[o]..self.start[o + 1]]
    }
}

/// y = A·x with one matrix per axis.
#[derive(Debug)]
struct Resample {
    x: Extent,
    y: Extent,
    axes: [Taps; 3],
}

#[derive(Debug)]
struct Machine {
    forward: Resample,
    backward: Resample,
}

#[derive(Debug)]
struct UpsamplePass {
    machine: Machine,
    kernels: Kernels,
}

impl Pass for UpsamplePass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                resample(cpu, &self.machine.forward, &s.read::<T>(io.x[0])?, GradMode::Write, &mut s.write::<T>(io.y)?);
            }),
            Device::Cuda(cuda) => self.kernels.launch(&self.kernels.forward, cuda, s, io.x[0], (io.y, GradMode::Write))?,
        }
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let Some((dx, mode)) = io.dx[0] else { return Ok(()) };
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                resample(cpu, &self.machine.backward, &s.read::<T>(io.dy)?, mode, &mut s.write::<T>(dx)?);
            }),
            Device::Cuda(cuda) => self.kernels.launch(&self.kernels.backward, cuda, s, io.dy, (dx, mode))?,
        }
        Ok(())
    }
}

const UPSAMPLE: Source = Source::new("upsample", include_str!("../../kernels/upsample.cu"));

/// Output o lies at the input coordinate max(0, o·scale − shift) / unit.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Axis {
    scale: u32,
    shift: u32,
    unit: Divisor,
    /// The scale, or 1 where that is 0.
    back: Divisor,
}

impl Axis {
    fn new(kind: Kind, len: usize, factor: usize) -> Self {
        let (scale, shift, unit) = match kind {
            Kind::Nearest => (1, 0, factor),
            Kind::Linear => (2, factor - 1, 2 * factor),
            Kind::Corners => (len - 1, 0, (len * factor - 1).max(1)),
        };
        Self { scale: scale as u32, shift: shift as u32, unit: Divisor::new(unit), back: Divisor::new(scale.max(1)) }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct UpsampleArgs {
    from: Ptr,
    to: Ptr,
    n: u64,
    x: Layout,
    y: Layout,
    axes: [Axis; 3],
    add: u32,
    unused: u32,
}

#[derive(Debug)]
struct Kernels {
    width: usize,
    x: Layout,
    y: Layout,
    axes: [Axis; 3],
    forward: Kernel<UpsampleArgs>,
    backward: Kernel<UpsampleArgs>,
}

impl Kernels {
    fn new(p: &Planner<'_>, kind: Kind, x: Extent, y: Extent, factor: [usize; 3]) -> Result<Self> {
        let width = packs::width(p, &[x.c]);
        let name = if kind == Kind::Nearest { "nearest" } else { "linear" };
        Ok(Self {
            width,
            x: packs::layout(p, x, width)?,
            y: packs::layout(p, y, width)?,
            axes: std::array::from_fn(|a| Axis::new(kind, x.space()[a], factor[a])),
            forward: packs::kernel(p, &UPSAMPLE, &format!("{name}_forward"), width)?,
            backward: packs::kernel(p, &UPSAMPLE, &format!("{name}_backward"), width)?,
        })
    }

    fn launch(
        &self,
        kernel: &Kernel<UpsampleArgs>,
        cuda: &Cuda,
        s: &Step<'_>,
        from: Slot,
        (to, mode): (Slot, GradMode),
    ) -> Result<()> {
        let n = s.len(to)? / self.width;
        let (from, add) = (s.ptr(from)?, u32::from(mode == GradMode::Add));
        let Self { x, y, axes, .. } = *self;
        kernel.launch(cuda, Grid::cover(n), &UpsampleArgs { from, to: s.ptr(to)?, n: n as u64, x, y, axes, add, unused: 0 })
    }
}

fn resample<T: Real>(cpu: &Cpu, m: &Resample, x: &[T], mode: GradMode, y: &mut [T]) {
    let line = m.y.w * m.y.c;
    // Some 2¹⁵ values read or written make a task.
    let rows = ((1 << 15) / line.max(m.x.w * m.x.c)).max(1);
    cpu.split(rows * line, y, |i, y| rows_of(cpu, m, x, mode, i * rows, y));
}

per_isa! {
    /// Rows of y from `first` on.
    fn rows_of<T: Real>(cpu: &Cpu, m: &Resample, x: &[T], mode: GradMode, first: usize, y: &mut [T]) {
        let (e, c) = (m.y, m.y.c);
        for (r, y) in y.chunks_exact_mut(e.w * c).enumerate() {
            let r = first + r;
            let x = &x[r / (e.d * e.h) * m.x.len()..][..m.x.len()];
            for w in 0..e.w {
                let taps = [m.axes[0].row(r / e.h % e.d), m.axes[1].row(r % e.h), m.axes[2].row(w)];
                let y = &mut y[w * c..(w + 1) * c];
                blocks!(c, c0, B => {
                    let sum = weighted::<T, B>(m.x, x, taps, c0);
                    match mode {
                        GradMode::Write => y[c0..c0 + B].copy_from_slice(&sum),
                        GradMode::Add => y[c0..c0 + B].iter_mut().zip(sum).for_each(|(y, sum)| *y += sum),
                    }
                });
            }
        }
    }
}

#[inline(always)]
fn weighted<T: Real, const B: usize>(e: Extent, x: &[T], [d, h, w]: [&[(u32, f64)]; 3], c0: usize) -> [T; B] {
    let mut sum = [T::ZERO; B];
    for &(d, weight_d) in d {
        for &(h, weight_h) in h {
            for &(w, weight_w) in w {
                let at = ((d as usize * e.h + h as usize) * e.w + w as usize) * e.c + c0;
                let weight = T::of(weight_d * weight_h * weight_w);
                sum.iter_mut().zip(&x[at..at + B]).for_each(|(sum, x)| *sum += weight * *x);
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Axes;
    use crate::rng::{Purpose, Stream};

    fn machine(layer: &Upsample, x: Extent) -> Result<Machine> {
        let factor = layer.factor.on(Axes::of(x), 1);
        let y = enlarge(x, factor)?;
        let axes: [Taps; 3] = std::array::from_fn(|a| Taps::new(layer.kind, x.space()[a], factor[a]));
        let back = std::array::from_fn(|a| axes[a].transpose(x.space()[a]));
        Ok(Machine { forward: Resample { x, y, axes }, backward: Resample { x: y, y: x, axes: back } })
    }

    /// Output coordinate to input coordinate, written from the equations with clamping at both ends.
    fn coordinate(kind: Kind, o: usize, len: usize, out: usize) -> f64 {
        let f = (out / len) as f64;
        match kind {
            Kind::Nearest => (o as f64 / f).floor(),
            Kind::Linear => ((o as f64 + 0.5) / f - 0.5).clamp(0.0, (len - 1) as f64),
            Kind::Corners if out == 1 => 0.0,
            Kind::Corners => o as f64 * (len - 1) as f64 / (out - 1) as f64,
        }
    }

    /// The weight of input i at fractional coordinate u: the hat function.
    fn hat(u: f64, i: usize) -> f64 {
        (1.0 - (u - i as f64).abs()).max(0.0)
    }

    fn check<T: Real>(cpu: &Cpu, layer: &Upsample, x: Extent) -> Result<()> {
        let (m, rows) = (machine(layer, x)?, 2);
        let y = m.forward.y;
        let mut r = Stream::new(5, Purpose::User, 0);
        let mut random = |n: usize| (0..n).map(|_| T::of(r.between(-1.0, 1.0))).collect::<Vec<T>>();
        let (vx, vdy) = (random(rows * x.len()), random(rows * y.len()));
        let (mut vy, mut vdx) = (vec![T::ZERO; vdy.len()], vec![T::of(9.0); vx.len()]);
        resample(cpu, &m.forward, &vx, GradMode::Write, &mut vy);
        resample(cpu, &m.backward, &vdy, GradMode::Write, &mut vdx);
        let mut added = vec![T::ONE; vx.len()];
        resample(cpu, &m.backward, &vdy, GradMode::Add, &mut added);
        let (mut ey, mut edx) = (vec![0.0; vy.len()], vec![0.0; vx.len()]);
        let split = |e: Extent, p: usize| [p / (e.h * e.w), p / e.w % e.h, p % e.w];
        for n in 0..rows {
            for (o, i) in (0..y.area()).flat_map(|o| (0..x.area()).map(move |i| (o, i))) {
                let (po, pi) = (split(y, o), split(x, i));
                let weight: f64 = (0..3).map(|a| hat(coordinate(layer.kind, po[a], x.space()[a], y.space()[a]), pi[a])).product();
                for c in 0..x.c {
                    let (iy, ix) = ((n * y.area() + o) * y.c + c, (n * x.area() + i) * x.c + c);
                    ey[iy] += weight * vx[ix].to_f64();
                    edx[ix] += weight * vdy[iy].to_f64();
                }
            }
        }
        // Weights sum to 1 in an output and to (f + 1)³ at most in an input gradient, whose terms number (2f)³ at most.
        let f = layer.factor.on(Axes::of(x), 1);
        let terms: f64 = f.iter().map(|&f| if f == 1 { 1.0 } else { 2.0 * f as f64 }).product();
        let size: f64 = f.iter().map(|&f| if f == 1 { 1.0 } else { f as f64 + 1.0 }).product();
        let eps = T::EPSILON.to_f64();
        for (what, got, expected, bound) in [("y", &vy, &ey, 16.0 * eps), ("dx", &vdx, &edx, (terms + 8.0) * size * eps)] {
            for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
                assert!((got.to_f64() - expected).abs() <= bound, "{layer:?} on {x}: {what}[{i}] = {got}, expected {expected}");
            }
        }
        for (a, dx) in added.iter().zip(&vdx) {
            assert_eq!(*a, T::ONE + *dx);
        }
        Ok(())
    }

    #[test]
    fn both_directions_follow_the_definition() -> Result<()> {
        let cpu = Cpu::new(2)?;
        for x in [Extent::line(5, 3), Extent::image(3, 4, 17), Extent::cube(2, 3, 2, 1), Extent::flat(4)] {
            for layer in [
                Upsample::nearest(3),
                Upsample::linear(2),
                Upsample::linear(3),
                Upsample::linear(2).align_corners(),
                Upsample::nearest([2, 1, 3]),
                Upsample::linear([2, 1, 3]).align_corners(),
            ] {
                check::<f32>(&cpu, &layer, x)?;
                check::<f64>(&cpu, &layer, x)?;
            }
        }
        Ok(())
    }

    /// PyTorch 2: `F.interpolate(tensor([[[1., 2., 4.]]]), scale_factor=2, mode='linear', align_corners=a)`.
    #[test]
    fn linear_agrees_with_pytorch() -> Result<()> {
        let cpu = Cpu::new(1)?;
        let x = [1.0_f64, 2.0, 4.0];
        for (layer, expected) in [
            (Upsample::linear(2), [1.0, 1.25, 1.75, 2.5, 3.5, 4.0]),
            (Upsample::linear(2).align_corners(), [1.0, 1.4, 1.8, 2.4, 3.2, 4.0]),
        ] {
            let mut y = [0.0; 6];
            resample(&cpu, &machine(&layer, Extent::line(3, 1))?.forward, &x, GradMode::Write, &mut y);
            // Four roundings of numbers up to 4.
            assert!(y.iter().zip(expected).all(|(y, e)| (y - e).abs() < 16.0 * f64::EPSILON), "{y:?}");
        }
        Ok(())
    }

    #[test]
    fn impossible_factors_are_refused() {
        let x = Extent::image(4, 4, 1);
        assert!(enlarge(x, [1, 0, 2]).is_err());
        assert!(enlarge(x, [1, usize::MAX, 2]).is_err());
        assert!(enlarge(x, [1, 1 << 28, 1 << 28]).is_err());
    }
}
