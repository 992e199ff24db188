//! What may follow a normalisation or a convolution on its way to memory: an affine map per channel, ReLU, and the maximum
//! over windows that do not overlap. Runs on pieces that are still in the cache, instead of one sweep over memory for each.
//!
//! With v = (x − centre)·scale + shift and r = max(v, 0): y(o) = max of r over window o, the first of several equal ones. The
//! gradient wrt v is dy(o)·[r > 0] where the maximum came from and 0 elsewhere; which cell that was is found again from x, so
//! nothing is saved for it. Every value goes through the same operations as in the passes of the single layers, in the same
//! order: the bits are theirs.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use super::pool::Geometry;
use super::simd::per_lanes;
use crate::memory::{Element, Slot, Step};
use crate::{Cpu, Real, Result};
use std::ops::Range;

/// Some of a normalisation by constants, ReLU and pooling, in this order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epilogue {
    pub norm: Option<Constants>,
    pub relu: bool,
    /// Windows that neither overlap nor leave cells out.
    pub pool: Option<Geometry>,
}

impl Epilogue {
    /// None of them.
    pub const NONE: Self = Self { norm: None, relu: false, pool: None };

    /// Whether the windows of `g` are small and tile the input, so that whole bands of it become whole rows of the output.
    pub fn tiles(g: &Geometry) -> bool {
        (0..3).all(|i| g.window.size[i] == g.window.stride[i] && g.y.space()[i] * g.window.size[i] == g.x.space()[i])
            && g.window.taps() <= MOST
    }

    /// Positions that are pooled together, at least: a row of windows.
    pub fn band(&self) -> usize {
        let Some(g) = self.pool else { return 1 };
        let [d, h, w] = g.window.size;
        match (d, h) {
            (1, 1) => w,
            (1, _) => h * g.x.w,
            _ => d * g.x.h * g.x.w,
        }
    }

    /// Positions of the output for each of the input.
    pub fn share(&self) -> usize {
        self.pool.map_or(1, |g| g.window.taps())
    }
}

/// A normalisation whose statistics are constants, channel by channel: centre μ, scale γ/√(v + ε), shift β.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constants {
    pub mean: Slot,
    pub variance: Slot,
    pub scale: Option<Slot>,
    pub shift: Option<Slot>,
    pub eps: f64,
}

impl Constants {
    /// ρ = 1/√(v + ε)
    pub fn rho<T: Real>(variance: f64, eps: f64) -> T {
        T::of(1.0 / (variance + eps).sqrt())
    }

    /// The map in `room`, three numbers for each channel.
    pub fn affine<'a, T: Real + Element>(&self, s: &Step<'_>, room: &'a mut [T]) -> Result<Affine<'a, T>> {
        let c = room.len() / 3;
        let (centre, rest) = room.split_at_mut(c);
        let (scale, shift) = rest.split_at_mut(c);
        centre.copy_from_slice(&s.read::<T>(self.mean)?);
        for (scale, v) in scale.iter_mut().zip(s.read::<T>(self.variance)?.iter()) {
            *scale = Self::rho(v.to_f64(), self.eps);
        }
        if let Some(gamma) = self.scale {
            scale.iter_mut().zip(s.read::<T>(gamma)?.iter()).for_each(|(scale, gamma)| *scale *= *gamma);
        }
        match self.shift {
            Some(beta) => shift.copy_from_slice(&s.read::<T>(beta)?),
            None => shift.fill(T::ZERO),
        }
        Ok(Affine { centre, scale, shift })
    }
}

/// (x − centre)·scale + shift, channel by channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Affine<'a, T> {
    pub centre: &'a [T],
    pub scale: &'a [T],
    pub shift: &'a [T],
}

/// Where the windows of whole bands lie, in values.
struct Windows {
    /// From a window's first cell to each of its cells, in the order d, h, w.
    cells: [usize; MOST],
    taps: usize,
    /// From one window of a row to the next, from one row of windows to the next, and from one band to the next.
    steps: [usize; 3],
    /// Windows in a row, and rows in a band.
    across: usize,
    down: usize,
}

/// The most cells of a window.
pub(crate) const MOST: usize = 64;

impl Windows {
    fn new(e: &Epilogue, c: usize, len: usize) -> Self {
        let mut cells = [0; MOST];
        let Some(g) = e.pool else {
            return Self { cells, taps: 1, steps: [c, len, len], across: len / c, down: 1 };
        };
        let ([d, h, w], line) = (g.window.size, g.x.w * c);
        for (i, cell) in cells.iter_mut().take(d * h * w).enumerate() {
            *cell = (i / (h * w)) * g.x.h * line + (i / w % h) * line + i % w * c;
        }
        // Several rows or slices at once only where a window needs them: pieces may begin at any band.
        let (across, down) = match (d, h) {
            (1, 1) => (len / (w * c), 1),
            (1, _) => (g.y.w, 1),
            _ => (g.y.w, g.y.h),
        };
        Self { cells, taps: d * h * w, steps: [w * c, h * line, d * h * w * across * down * c], across, down }
    }

    /// Calls `f` for each row of windows with the offsets of its first cell and of its results.
    fn rows(&self, c: usize, len: usize, mut f: impl FnMut(usize, usize)) {
        let rows = len / (self.taps * self.across * c);
        (0..rows).for_each(|r| f(r / self.down * self.steps[2] + r % self.down * self.steps[1], r * self.across * c));
    }
}

/// A row of windows for the kernels.
#[derive(Clone, Copy)]
struct Row<T> {
    x: *const T,
    /// Results, or where their gradients lie.
    y: *mut T,
    dy: *const T,
    g: *mut T,
    cells: *const usize,
    taps: usize,
    step: usize,
    windows: usize,
    /// All channels, and those that are computed.
    c: usize,
    first: usize,
    end: usize,
    /// Null: no map.
    centre: *const T,
    scale: *const T,
    shift: *const T,
    relu: bool,
    pooled: bool,
}

per_lanes! {
    /// One row of windows: results, or (`BACK`) the gradients of the cells. TAPS is the number of cells, 0 for any.
    unsafe fn row<T, L, const TAPS: usize, const MAPPED: bool, const BACK: bool>(t: &Row<T>) {
        let taps = if const { TAPS > 0 } { TAPS } else { t.taps };
        let floor = L::splat(if t.relu { <T as Real>::ZERO } else { <T as Real>::LOWEST });
        let mut from = t.first;
        while from < t.end {
            let m = L::mask(if t.end - from < L::N { t.end - from } else { L::N });
            let (mut centre, mut scale, mut shift) = (L::zero(), L::zero(), L::zero());
            if const { MAPPED } {
                centre = L::load_masked(t.centre.add(from), m);
                scale = L::load_masked(t.scale.add(from), m);
                shift = L::load_masked(t.shift.add(from), m);
            }
            let mut i = 0;
            while i < t.windows {
                let x = t.x.add(i * t.step + from);
                let (mut best, mut at) = (L::splat(<T as Real>::LOWEST), L::zero());
                let mut k = 0;
                while k < taps {
                    let mut v = L::load_masked(x.add(*t.cells.add(k)), m);
                    if const { MAPPED } {
                        v = L::add(L::mul(L::sub(v, centre), scale), shift);
                    }
                    let v = L::pick(L::above(floor, v), floor, v);
                    let wins = L::beats(v, best);
                    best = L::pick(wins, v, best);
                    if const { BACK } {
                        at = L::pick(wins, L::splat(T::of(k as f64)), at);
                    }
                    k += 1;
                }
                if const { BACK } {
                    let mut won = L::load_masked(t.dy.add(i * t.c + from), m);
                    // As the single passes do it: pooling adds to 0, ReLU multiplies by its slope.
                    if t.pooled {
                        won = L::add(L::zero(), won);
                    }
                    if t.relu {
                        won = L::mul(won, L::pick(L::above(best, L::zero()), L::splat(<T as Real>::ONE), L::zero()));
                    }
                    let g = t.g.add(i * t.step + from);
                    let mut k = 0;
                    while k < taps {
                        L::store_masked(g.add(*t.cells.add(k)), m, L::pick(L::equal(at, L::splat(T::of(k as f64))), won, L::zero()));
                        k += 1;
                    }
                } else {
                    L::store_masked(t.y.add(i * t.c + from), m, best);
                }
                i += 1;
            }
            from += L::N;
        }
    }
}

/// The kernel for windows of so many cells.
fn kernel<T: Real, const MAPPED: bool, const BACK: bool>(cpu: &Cpu, taps: usize) -> unsafe fn(&Row<T>) {
    match taps {
        1 => row::<T, 1, MAPPED, BACK>(cpu.isa()),
        2 => row::<T, 2, MAPPED, BACK>(cpu.isa()),
        4 => row::<T, 4, MAPPED, BACK>(cpu.isa()),
        _ => row::<T, 0, MAPPED, BACK>(cpu.isa()),
    }
}

impl Epilogue {
    fn row<T>(&self, w: &Windows, (c, affine): (usize, Option<&Affine<'_, T>>), channels: Range<usize>, x: &[T]) -> Row<T> {
        assert!(channels.end <= c && affine.is_none_or(|a| [a.centre, a.scale, a.shift].iter().all(|a| a.len() == c)));
        let part = |f: fn(&Affine<'_, T>) -> *const T| affine.map_or(std::ptr::null(), f);
        let (centre, scale, shift) = (part(|a| a.centre.as_ptr()), part(|a| a.scale.as_ptr()), part(|a| a.shift.as_ptr()));
        let (cells, taps, none) = (w.cells.as_ptr(), w.taps, std::ptr::null_mut());
        let (step, windows, first, end) = (w.steps[0], w.across, channels.start, channels.end);
        let (x, relu, pooled) = (x.as_ptr(), self.relu, self.pool.is_some());
        Row { x, y: none, dy: none, g: none, cells, taps, step, windows, c, first, end, centre, scale, shift, relu, pooled }
    }

    /// Some channels of y from x, both whole bands of c channels, with a map or without.
    pub fn forward<T: Real>(
        &self,
        cpu: &Cpu,
        (c, affine): (usize, Option<&Affine<'_, T>>),
        channels: Range<usize>,
        x: &[T],
        y: &mut [T],
    ) {
        assert!(x.len() == y.len() * self.share());
        // SAFETY: y has a value for each window of x.
        unsafe { self.forward_at(cpu, (c, affine), channels, x, y.as_mut_ptr()) }
    }

    /// As [`Epilogue::forward`].
    ///
    /// # Safety
    /// From `y` on there is a value for each window of x, and nobody else reads or writes those channels.
    pub unsafe fn forward_at<T: Real>(
        &self,
        cpu: &Cpu,
        (c, affine): (usize, Option<&Affine<'_, T>>),
        channels: Range<usize>,
        x: &[T],
        y: *mut T,
    ) {
        let w = Windows::new(self, c, x.len());
        let t = self.row(&w, (c, affine), channels, x);
        let kernel =
            if affine.is_some() { kernel::<T, true, false>(cpu, w.taps) } else { kernel::<T, false, false>(cpu, w.taps) };
        // SAFETY: whole bands (`Windows`), so that every cell of every window lies in x; the results, by the caller's promise, in y.
        w.rows(c, x.len(), |from, to| unsafe { kernel(&Row { x: t.x.add(from), y: y.add(to), ..t }) });
    }

    /// The gradient g wrt what the affine map gives, from x and dy; all whole bands.
    pub fn backward<T: Real>(&self, cpu: &Cpu, affine: &Affine<'_, T>, x: &[T], dy: &[T], g: &mut [T]) {
        let c = affine.centre.len();
        let w = Windows::new(self, c, x.len());
        assert!(x.len() == dy.len() * w.taps && g.len() == x.len());
        let (t, kernel) = (self.row(&w, (c, Some(affine)), 0..c, x), kernel::<T, true, true>(cpu, w.taps));
        w.rows(c, x.len(), |from, to| {
            // SAFETY: as in `forward`; g is as long as x.
            unsafe { kernel(&Row { x: t.x.add(from), dy: dy.as_ptr().add(to), g: g.as_mut_ptr().add(from), ..t }) }
        });
    }
}
