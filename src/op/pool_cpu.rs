//! The loops of pooling: rows over threads, channels in blocks that stay in registers.

use super::pool::Geometry;
use crate::device::{Cpu, per_isa};
use crate::memory::GradMode;
use crate::{Extent, Real};
use std::ops::Range;

pub(crate) fn max<T: Real>(cpu: &Cpu, g: &Geometry, x: &[T], y: &mut [T], winner: &mut [u32]) {
    let (e, rows) = (g.y, rows_per_task(g.y, g.window.taps()));
    cpu.split(rows * e.w * e.c, (y, winner), |i, (y, winner)| max_rows(cpu, g, x, i * rows, y, winner));
}

pub(crate) fn max_only<T: Real>(cpu: &Cpu, g: &Geometry, x: &[T], y: &mut [T]) {
    let (e, rows) = (g.y, rows_per_task(g.y, g.window.taps()));
    cpu.split(rows * e.w * e.c, y, |i, y| max_rows(cpu, g, x, i * rows, y, &mut []));
}

pub(crate) fn max_gradient<T: Real>(cpu: &Cpu, g: &Geometry, dy: &[T], winner: &[u32], mode: GradMode, dx: &mut [T]) {
    let (e, rows) = (g.x, rows_per_task(g.x, 2));
    cpu.split(rows * e.w * e.c, dx, |i, dx| max_gradient_rows(cpu, g, dy, winner, mode, i * rows, dx));
}

pub(crate) fn average<T: Real>(cpu: &Cpu, g: &Geometry, full: bool, x: &[T], y: &mut [T]) {
    let (e, rows) = (g.y, rows_per_task(g.y, g.window.taps()));
    cpu.split(rows * e.w * e.c, y, |i, y| average_rows(cpu, g, full, x, i * rows, y));
}

pub(crate) fn average_gradient<T: Real>(cpu: &Cpu, g: &Geometry, full: bool, dy: &[T], mode: GradMode, dx: &mut [T]) {
    let (e, rows) = (g.x, rows_per_task(g.x, 2));
    cpu.split(rows * e.w * e.c, dx, |i, dx| average_gradient_rows(cpu, g, full, dy, mode, i * rows, dx));
}

/// Runs `$body` for all channels in blocks of constant size `$B` starting at `$c0`, which compiles to registers.
macro_rules! blocks {
    ($c:expr, $c0:ident, $B:ident => $body:expr) => {{
        let (c, mut $c0) = ($c, 0);
        $crate::op::pool_cpu::blocks!(@ c, $c0, $B, 16 => $body);
        $crate::op::pool_cpu::blocks!(@ c, $c0, $B, 8 => $body);
        $crate::op::pool_cpu::blocks!(@ c, $c0, $B, 4 => $body);
        $crate::op::pool_cpu::blocks!(@ c, $c0, $B, 2 => $body);
        $crate::op::pool_cpu::blocks!(@ c, $c0, $B, 1 => $body);
    }};
    (@ $c:ident, $c0:ident, $B:ident, $n:literal => $body:expr) => {
        while $c - $c0 >= $n {
            const $B: usize = $n;
            $body;
            $c0 += $B;
        }
    };
}
pub(crate) use blocks;

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

/// dy where `position` won, else 0, for B channels. Everything is loaded before anything is chosen, and the choice is
/// declared unpredictable: otherwise it becomes a branch per channel, which no predictor guesses.
#[inline(always)]
fn chosen<T: Real, const B: usize>(dy: &[T], winner: &[u32], position: u32) -> [T; B] {
    let (mut chosen, mut at) = ([T::ZERO; B], [0; B]);
    chosen.copy_from_slice(dy);
    at.copy_from_slice(winner);
    for j in 0..B {
        chosen[j] = std::hint::select_unpredictable(at[j] == position, chosen[j], T::ZERO);
    }
    chosen
}

/// dx += dy where `position` won, for B channels.
#[inline(always)]
fn hand<T: Real, const B: usize>(dy: &[T], winner: &[u32], position: u32, dx: &mut [T]) {
    put::<T, B>(GradMode::Add, chosen(dy, winner, position), dx);
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
                let chosen = chosen::<T, B>(&dy[at..at + B], &winner[at..at + B], position);
                sum.iter_mut().zip(chosen).for_each(|(sum, chosen)| *sum += chosen);
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
