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

use super::{Fields, Layer, Pass, Planned, fields, one};
use crate::device::{Cpu, Device, per_isa};
use crate::memory::{GradMode, Io, Planner, Slot, Step};
use crate::{Axes, DType, Error, Extent, Padding, Real, Result, Sizes, Window, real};
use serde::{Deserialize, Serialize};
use std::ops::Range;

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
                let winner = p.mode().differentiable().then(|| p.saved(DType::U32, g.y.len()));
                Planned::new(g.y, MaxPass { g, winner })
            }
            Over::Average => Planned::new(g.y, AveragePass { g, full: self.count_padding }),
        })
    }
}

/// The window over one input. Every window holds at least one input cell.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    x: Extent,
    y: Extent,
    window: Window,
}

impl Geometry {
    fn new(x: Extent, window: Window) -> Result<Self> {
        let y = x.with_space(window.output(x.space())?).check()?;
        for (i, axis) in ["d", "h", "w"].into_iter().enumerate() {
            // Windows move one way, so the first and the last are the ones that may miss the input.
            let last = (y.space()[i] - 1) * window.stride[i];
            if window.size[i] <= window.before[i] || last >= window.before[i] + x.space()[i] {
                return Err(Error::shape("", format!("a window lies wholly in the padding of axis {axis}"))
                    .expected("padding smaller than the window on both sides")
                    .got(format!("{} before and {} after", window.before[i], window.after[i])));
            }
        }
        Ok(Self { x, y, window })
    }

    /// The input cells under output `o` of an axis.
    #[inline(always)]
    fn cells(&self, axis: usize, o: usize) -> Range<usize> {
        let w = &self.window;
        let start = o * w.stride[axis];
        start.saturating_sub(w.before[axis])..(start + w.size[axis] - w.before[axis]).min(self.x.space()[axis])
    }

    /// The outputs of an axis whose window holds input `i`; empty where the stride skips it.
    #[inline(always)]
    fn windows(&self, axis: usize, i: usize) -> Range<usize> {
        let w = &self.window;
        let at = i + w.before[axis];
        (at + 1).saturating_sub(w.size[axis]).div_ceil(w.stride[axis])..(at / w.stride[axis] + 1).min(self.y.space()[axis])
    }

    /// The outputs of the axis w whose window holds each input in turn; as [`Geometry::windows`], without divisions.
    #[inline(always)]
    fn along(&self) -> impl Iterator<Item = Range<usize>> {
        let (size, stride, before) = (self.window.size[2], self.window.stride[2], self.window.before[2]);
        let (mut low, mut high) = (0, 0);
        (before..before + self.x.w).map(move |at| {
            while low * stride + size <= at {
                low += 1;
            }
            while high < self.y.w && high * stride <= at {
                high += 1;
            }
            low..high
        })
    }

    /// 1/n(o).
    #[inline(always)]
    fn share(&self, o: [usize; 3], full: bool, whole: f64) -> f64 {
        let n: usize = (0..3).map(|axis| self.cells(axis, o[axis]).len()).product();
        if full || n == self.window.taps() { whole } else { 1.0 / n as f64 }
    }
}

/// Rows of `e` (each w·c values) for one task: enough to be worth a hand-off at about `taps` reads per value.
fn rows_per_task(e: Extent, taps: usize) -> usize {
    (GRAIN / (e.w * e.c).saturating_mul(taps)).max(1)
}

/// Reads that a task should at least make: some 10 µs, where waking a thread costs a few.
const GRAIN: usize = 1 << 16;

/// (sample, d, h) of row `row` of a batch of `e`.
#[inline(always)]
fn place(e: Extent, row: usize) -> [usize; 3] {
    [row / (e.d * e.h), row / e.h % e.d, row % e.h]
}

#[derive(Debug)]
struct MaxPass {
    g: Geometry,
    /// Position d·h·w of each maximum.
    winner: Option<Slot>,
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
            Device::Cuda(cuda) => match *cuda {},
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
            Device::Cuda(cuda) => match *cuda {},
        }
        Ok(())
    }
}

#[derive(Debug)]
struct AveragePass {
    g: Geometry,
    /// Divide by the full window.
    full: bool,
}

impl Pass for AveragePass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                average(cpu, &self.g, self.full, &s.read::<T>(io.x[0])?, &mut s.write::<T>(io.y)?);
            }),
            Device::Cuda(cuda) => match *cuda {},
        }
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let Some((dx, mode)) = io.dx[0] else { return Ok(()) };
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                average_gradient(cpu, &self.g, self.full, &s.read::<T>(io.dy)?, mode, &mut s.write::<T>(dx)?);
            }),
            Device::Cuda(cuda) => match *cuda {},
        }
        Ok(())
    }
}

fn max<T: Real>(cpu: &Cpu, g: &Geometry, x: &[T], y: &mut [T], winner: &mut [u32]) {
    let (e, rows) = (g.y, rows_per_task(g.y, g.window.taps()));
    cpu.split(rows * e.w * e.c, (y, winner), |i, (y, winner)| max_rows(cpu, g, x, i * rows, y, winner));
}

fn max_only<T: Real>(cpu: &Cpu, g: &Geometry, x: &[T], y: &mut [T]) {
    let (e, rows) = (g.y, rows_per_task(g.y, g.window.taps()));
    cpu.split(rows * e.w * e.c, y, |i, y| max_rows(cpu, g, x, i * rows, y, &mut []));
}

fn max_gradient<T: Real>(cpu: &Cpu, g: &Geometry, dy: &[T], winner: &[u32], mode: GradMode, dx: &mut [T]) {
    let (e, rows) = (g.x, rows_per_task(g.x, 2));
    cpu.split(rows * e.w * e.c, dx, |i, dx| max_gradient_rows(cpu, g, dy, winner, mode, i * rows, dx));
}

fn average<T: Real>(cpu: &Cpu, g: &Geometry, full: bool, x: &[T], y: &mut [T]) {
    let (e, rows) = (g.y, rows_per_task(g.y, g.window.taps()));
    cpu.split(rows * e.w * e.c, y, |i, y| average_rows(cpu, g, full, x, i * rows, y));
}

fn average_gradient<T: Real>(cpu: &Cpu, g: &Geometry, full: bool, dy: &[T], mode: GradMode, dx: &mut [T]) {
    let (e, rows) = (g.x, rows_per_task(g.x, 2));
    cpu.split(rows * e.w * e.c, dx, |i, dx| average_gradient_rows(cpu, g, full, dy, mode, i * rows, dx));
}

/// Runs `$body` for all channels in blocks of constant size `$B` starting at `$c0`, which compiles to registers.
macro_rules! blocks {
    ($c:expr, $c0:ident, $B:ident => $body:expr) => {{
        let (c, mut $c0) = ($c, 0);
        $crate::layer::pool::blocks!(@ c, $c0, $B, 16 => $body);
        $crate::layer::pool::blocks!(@ c, $c0, $B, 8 => $body);
        $crate::layer::pool::blocks!(@ c, $c0, $B, 4 => $body);
        $crate::layer::pool::blocks!(@ c, $c0, $B, 2 => $body);
        $crate::layer::pool::blocks!(@ c, $c0, $B, 1 => $body);
    }};
    (@ $c:ident, $c0:ident, $B:ident, $n:literal => $body:expr) => {
        while $c - $c0 >= $n {
            const $B: usize = $n;
            $body;
            $c0 += $B;
        }
    };
}
pub(super) use blocks;

per_isa! {
    /// Rows of y from `first` on, and the winners where `winner` is not empty.
    fn max_rows<T: Real>(cpu: &Cpu, g: &Geometry, x: &[T], first: usize, y: &mut [T], winner: &mut [u32]) {
        let (c, line) = (g.y.c, g.y.w * g.y.c);
        for (r, y) in y.chunks_exact_mut(line).enumerate() {
            let [n, od, oh] = place(g.y, first + r);
            let x = &x[n * g.x.len()..(n + 1) * g.x.len()];
            for ow in 0..g.y.w {
                let cells = [g.cells(0, od), g.cells(1, oh), g.cells(2, ow)];
                let y = &mut y[ow * c..(ow + 1) * c];
                if winner.is_empty() {
                    blocks!(c, c0, B => max_block::<T, B>(g.x, x, &cells, c0, &mut y[c0..c0 + B], &mut [0; B]));
                } else {
                    let winner = &mut winner[r * line + ow * c..r * line + (ow + 1) * c];
                    blocks!(c, c0, B => max_block::<T, B>(g.x, x, &cells, c0, &mut y[c0..c0 + B], &mut winner[c0..c0 + B]));
                }
            }
        }
    }
}

/// B channels of one output.
#[inline(always)]
#[allow(clippy::eq_op, clippy::neg_cmp_op_on_partial_ord)]
fn max_block<T: Real, const B: usize>(e: Extent, x: &[T], cells: &[Range<usize>; 3], c0: usize, y: &mut [T], winner: &mut [u32]) {
    let [d, h, w] = cells;
    let (mut best, mut at) = ([T::LOWEST; B], [((d.start * e.h + h.start) * e.w + w.start) as u32; B]);
    for d in d.clone() {
        for h in h.clone() {
            for w in w.clone() {
                let position = (d * e.h + h) * e.w + w;
                let x = &x[position * e.c + c0..position * e.c + c0 + B];
                for j in 0..B {
                    // Larger or NaN, and the first NaN stays.
                    let wins = !(x[j] <= best[j]) & (best[j] == best[j]);
                    best[j] = if wins { x[j] } else { best[j] };
                    at[j] = if wins { position as u32 } else { at[j] };
                }
            }
        }
    }
    y.copy_from_slice(&best);
    winner.copy_from_slice(&at);
}

#[inline(always)]
fn put<T: Real, const B: usize>(mode: GradMode, sum: [T; B], dx: &mut [T]) {
    match mode {
        GradMode::Write => dx.copy_from_slice(&sum),
        GradMode::Add => dx.iter_mut().zip(sum).for_each(|(dx, sum)| *dx += sum),
    }
}

per_isa! {
    /// Rows of dx from `first` on.
    fn max_gradient_rows<T: Real>(cpu: &Cpu, g: &Geometry, dy: &[T], winner: &[u32], mode: GradMode, first: usize, dx: &mut [T]) {
        let c = g.x.c;
        // At most one window holds a cell, and a row of windows is walked once for each row of cells.
        let apart = (0..3).all(|axis| g.window.size[axis] <= g.window.stride[axis]);
        for (r, dx) in dx.chunks_exact_mut(g.x.w * c).enumerate() {
            let [n, id, ih] = place(g.x, first + r);
            let sample = n * g.y.len()..(n + 1) * g.y.len();
            let (dy, winner) = (&dy[sample.clone()], &winner[sample]);
            let (outer, line) = ([g.windows(0, id), g.windows(1, ih)], (id * g.x.h + ih) * g.x.w);
            if apart && outer.iter().all(|o| o.len() == 1) {
                if mode == GradMode::Write {
                    dx.fill(T::ZERO);
                }
                let above = (outer[0].start * g.y.h + outer[1].start) * g.y.w;
                for ow in 0..g.y.w {
                    let from = (above + ow) * c..(above + ow + 1) * c;
                    let (dy, winner) = (&dy[from.clone()], &winner[from]);
                    for iw in g.cells(2, ow) {
                        let dx = &mut dx[iw * c..(iw + 1) * c];
                        blocks!(c, c0, B => hand::<T, B>(&dy[c0..c0 + B], &winner[c0..c0 + B], (line + iw) as u32, &mut dx[c0..c0 + B]));
                    }
                }
                continue;
            }
            for ((iw, windows), dx) in g.along().enumerate().zip(dx.chunks_exact_mut(c)) {
                let (position, [d, h]) = ((line + iw) as u32, outer.clone());
                let windows = [d, h, windows];
                blocks!(c, c0, B => put::<T, B>(
                    mode,
                    won::<T, B>(g.y, dy, winner, &windows, position, c0),
                    &mut dx[c0..c0 + B],
                ));
            }
        }
    }
}

/// dx += dy where `position` won, for B channels.
#[inline(always)]
fn hand<T: Real, const B: usize>(dy: &[T], winner: &[u32], position: u32, dx: &mut [T]) {
    for j in 0..B {
        dx[j] += if winner[j] == position { dy[j] } else { T::ZERO };
    }
}

/// Sum of dy over the windows that `position` won, for B channels.
#[inline(always)]
fn won<T: Real, const B: usize>(
    e: Extent,
    dy: &[T],
    winner: &[u32],
    [d, h, w]: &[Range<usize>; 3],
    position: u32,
    c0: usize,
) -> [T; B] {
    let mut sum = [T::ZERO; B];
    for d in d.clone() {
        for h in h.clone() {
            for w in w.clone() {
                let at = ((d * e.h + h) * e.w + w) * e.c + c0;
                let (dy, winner) = (&dy[at..at + B], &winner[at..at + B]);
                for j in 0..B {
                    sum[j] += if winner[j] == position { dy[j] } else { T::ZERO };
                }
            }
        }
    }
    sum
}

per_isa! {
    /// Rows of y from `first` on.
    fn average_rows<T: Real>(cpu: &Cpu, g: &Geometry, full: bool, x: &[T], first: usize, y: &mut [T]) {
        let (c, whole) = (g.y.c, 1.0 / g.window.taps() as f64);
        // Long sums in f64: an f32 sum stops growing once it is 10⁷ times its terms.
        let long = g.window.taps() > 64;
        for (r, y) in y.chunks_exact_mut(g.y.w * c).enumerate() {
            let [n, od, oh] = place(g.y, first + r);
            let x = &x[n * g.x.len()..(n + 1) * g.x.len()];
            for ow in 0..g.y.w {
                let cells = [g.cells(0, od), g.cells(1, oh), g.cells(2, ow)];
                let factor = g.share([od, oh, ow], full, whole);
                let y = &mut y[ow * c..(ow + 1) * c];
                blocks!(c, c0, B => if long {
                    mean::<T, f64, B>(g.x, x, &cells, factor, c0, &mut y[c0..c0 + B]);
                } else {
                    mean::<T, T, B>(g.x, x, &cells, factor, c0, &mut y[c0..c0 + B]);
                });
            }
        }
    }
}

/// B channels of one output, summed in A.
#[inline(always)]
fn mean<T: Real, A: Real, const B: usize>(
    e: Extent,
    x: &[T],
    [d, h, w]: &[Range<usize>; 3],
    factor: f64,
    c0: usize,
    y: &mut [T],
) {
    let mut sum = [A::ZERO; B];
    for d in d.clone() {
        for h in h.clone() {
            for w in w.clone() {
                let at = ((d * e.h + h) * e.w + w) * e.c + c0;
                sum.iter_mut().zip(&x[at..at + B]).for_each(|(sum, x)| *sum += A::of(x.to_f64()));
            }
        }
    }
    let factor = A::of(factor);
    y.iter_mut().zip(sum).for_each(|(y, sum)| *y = T::of((sum * factor).to_f64()));
}

per_isa! {
    /// Rows of dx from `first` on.
    fn average_gradient_rows<T: Real>(cpu: &Cpu, g: &Geometry, full: bool, dy: &[T], mode: GradMode, first: usize, dx: &mut [T]) {
        let c = g.x.c;
        for (r, dx) in dx.chunks_exact_mut(g.x.w * c).enumerate() {
            let [n, id, ih] = place(g.x, first + r);
            let dy = &dy[n * g.y.len()..(n + 1) * g.y.len()];
            let outer = [g.windows(0, id), g.windows(1, ih)];
            for (windows, dx) in g.along().zip(dx.chunks_exact_mut(c)) {
                let [d, h] = outer.clone();
                let windows = [d, h, windows];
                blocks!(c, c0, B => put::<T, B>(mode, share::<T, B>(g, full, dy, &windows, c0), &mut dx[c0..c0 + B]));
            }
        }
    }
}

/// Sum of dy/n over windows, for B channels.
#[inline(always)]
fn share<T: Real, const B: usize>(g: &Geometry, full: bool, dy: &[T], [d, h, w]: &[Range<usize>; 3], c0: usize) -> [T; B] {
    let (mut sum, whole) = ([T::ZERO; B], 1.0 / g.window.taps() as f64);
    for d in d.clone() {
        for h in h.clone() {
            for w in w.clone() {
                let at = ((d * g.y.h + h) * g.y.w + w) * g.y.c + c0;
                let factor = T::of(g.share([d, h, w], full, whole));
                sum.iter_mut().zip(&dy[at..at + B]).for_each(|(sum, dy)| *sum += factor * *dy);
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests;
