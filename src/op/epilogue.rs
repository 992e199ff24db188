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
use crate::{Cpu, Real};

/// ReLU, pooling, or both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epilogue {
    pub relu: bool,
    /// Windows that neither overlap nor leave cells out.
    pub pool: Option<Geometry>,
}

impl Epilogue {
    /// Neither of both.
    pub const NONE: Self = Self { relu: false, pool: None };

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
const MOST: usize = 64;

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
    c: usize,
    centre: *const T,
    scale: *const T,
    shift: *const T,
    relu: bool,
    pooled: bool,
}

per_lanes! {
    /// One row of windows: results, or (`BACK`) the gradients of the cells. TAPS is the number of cells, 0 for any.
    unsafe fn row<T, L, const TAPS: usize, const BACK: bool>(t: &Row<T>) {
        let taps = if const { TAPS > 0 } { TAPS } else { t.taps };
        let floor = L::splat(if t.relu { <T as Real>::ZERO } else { <T as Real>::LOWEST });
        let mut from = 0;
        while from < t.c {
            let m = L::mask(if t.c - from < L::N { t.c - from } else { L::N });
            let (centre, scale) = (L::load_masked(t.centre.add(from), m), L::load_masked(t.scale.add(from), m));
            let shift = L::load_masked(t.shift.add(from), m);
            let mut i = 0;
            while i < t.windows {
                let x = t.x.add(i * t.step + from);
                let (mut best, mut at) = (L::splat(<T as Real>::LOWEST), L::zero());
                let mut k = 0;
                while k < taps {
                    let v = L::add(L::mul(L::sub(L::load_masked(x.add(*t.cells.add(k)), m), centre), scale), shift);
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
fn kernel<T: Real, const BACK: bool>(cpu: &Cpu, taps: usize) -> unsafe fn(&Row<T>) {
    match taps {
        1 => row::<T, 1, BACK>(cpu.isa()),
        2 => row::<T, 2, BACK>(cpu.isa()),
        4 => row::<T, 4, BACK>(cpu.isa()),
        _ => row::<T, 0, BACK>(cpu.isa()),
    }
}

impl Epilogue {
    fn row<T>(&self, w: &Windows, a: &Affine<'_, T>, x: &[T]) -> Row<T> {
        let (centre, scale, shift) = (a.centre.as_ptr(), a.scale.as_ptr(), a.shift.as_ptr());
        let (cells, taps, none) = (w.cells.as_ptr(), w.taps, std::ptr::null_mut());
        let (step, windows, c) = (w.steps[0], w.across, a.centre.len());
        let (relu, pooled) = (self.relu, self.pool.is_some());
        Row { x: x.as_ptr(), y: none, dy: none, g: none, cells, taps, step, windows, c, centre, scale, shift, relu, pooled }
    }

    /// y from x, both whole bands.
    pub fn forward<T: Real>(&self, cpu: &Cpu, affine: &Affine<'_, T>, x: &[T], y: &mut [T]) {
        let (c, w) = (affine.centre.len(), Windows::new(self, affine.centre.len(), x.len()));
        assert!(affine.scale.len() == c && affine.shift.len() == c && x.len() == y.len() * w.taps);
        let (t, kernel) = (self.row(&w, affine, x), kernel::<T, false>(cpu, w.taps));
        // SAFETY: whole bands (`Windows`), so that every cell of every window lies in x and every result in y.
        w.rows(c, x.len(), |from, to| unsafe { kernel(&Row { x: t.x.add(from), y: y.as_mut_ptr().add(to), ..t }) });
    }

    /// The gradient g wrt what the affine map gives, from x and dy; all whole bands.
    pub fn backward<T: Real>(&self, cpu: &Cpu, affine: &Affine<'_, T>, x: &[T], dy: &[T], g: &mut [T]) {
        let (c, w) = (affine.centre.len(), Windows::new(self, affine.centre.len(), x.len()));
        assert!(affine.scale.len() == c && affine.shift.len() == c && x.len() == dy.len() * w.taps && g.len() == x.len());
        let (t, kernel) = (self.row(&w, affine, x), kernel::<T, true>(cpu, w.taps));
        w.rows(c, x.len(), |from, to| {
            // SAFETY: as in `forward`; g is as long as x.
            unsafe { kernel(&Row { x: t.x.add(from), dy: dy.as_ptr().add(to), g: g.as_mut_ptr().add(from), ..t }) }
        });
    }
}
