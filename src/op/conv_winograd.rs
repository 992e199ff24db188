//! Winograd's convolution F(4×4, 3×3): a window of 3×3 with stride 1 at a quarter of the multiplications.
//!
//! A tile of 4×4 outputs meets 6×6 inputs d. With the channels summed in between, Y = Aᵀ[Σ_i (G g_i Gᵀ) ⊙ (Bᵀ d_i B)]A: 36
//! products for each channel and filter instead of 144. The 36 sums over channels are products of matrices, (tiles, channels)
//! by (channels, filters), and run on the register tiles of [`conv_micro`](super::conv_micro).
//!
//! # Source
//! Lavin & Gray 2016, "Fast algorithms for convolutional neural networks", section 4.3 (points 0, ±1, ±2, ∞).
//!
//! # Error
//! The rows of Aᵀ, Bᵀ and G have absolute sums of up to 19, 10 and 1, and each applies to rows and columns, so that to first
//! order |Ŷ − Y| ≤ (C + 24)·ε·19²·10²·max|d|·Σ|g|. Errors of random operands are far smaller: with normal ones the largest is 4 to
//! 18 times that of the direct sum, and below 10⁻⁴ of the root mean square of the results in f32 (a test holds it there).
#![allow(unsafe_code, unsafe_op_in_unsafe_fn, clippy::needless_range_loop)]

use super::conv::Geometry;
use super::conv_cpu::{End, Shared, pack, padded};
use super::conv_micro::{Kernels, RUNS, Tile};
use super::conv_plan::{Gather, Place, Segment, pitch};
use super::simd::{Lanes, per_lanes};
use crate::device::{Cpu, Isa};
use crate::memory::GradMode;
use crate::{Real, Window};

/// Side of a tile of outputs, and of the inputs under it.
const OUT: usize = 4;
const IN: usize = 6;
const POINTS: usize = IN * IN;

/// A gather that is computed in tiles.
#[derive(Debug)]
pub(super) struct Winograd {
    /// Tiles along h and w.
    tiles: [usize; 2],
    /// Tiles that are transformed together.
    block: usize,
    /// Distances of tiles within a transformed input and output, and of their 36 points.
    c: usize,
    f: usize,
    c_point: usize,
    f_point: usize,
    /// Rows of the products: a tile of inputs, and of outputs.
    places: Vec<Place>,
}

/// Bytes of transformed inputs and outputs that a block should not exceed, but for the least number of tiles.
const BLOCK: usize = 2 << 20;

impl Winograd {
    /// For 3×3 with stride 1, where it is faster: enough channels and filters, and tiles that are mostly full.
    pub fn of(g: &Geometry, gather: &Gather, capacity: usize) -> Option<Self> {
        let plain = Window { before: g.window.before, after: g.window.after, ..Window::new([1, 3, 3]) };
        let (c, f) = (gather.input.c, gather.output.c);
        let [d, h, w] = gather.output.space();
        let tiles = [h.div_ceil(OUT), w.div_ceil(OUT)];
        if g.window != plain || g.groups > 1 || d.max(gather.input.d) > 1 || c.min(f) < LEAST {
            return None;
        }
        // Products of a batch: direct, and in tiles with what transforming both sides and the weights costs.
        let (rows, area) = (capacity as f64, (tiles[0] * tiles[1]) as f64);
        let (direct, points) = ((9 * h * w * c * f) as f64, area * (POINTS * c * f + TRANSFORM * (c + f)) as f64);
        let weights = if POINTS * c * f < NEAR { WEIGHT } else { 3 * WEIGHT } * c * f;
        if rows * points + weights as f64 > WORTH * rows * direct {
            return None;
        }
        let (c, f) = (pitch(c), pitch(f));
        let rows = (BLOCK / (POINTS * (c + f) * 4)).clamp(2 * ROWS, 8 * ROWS) / ROWS * ROWS;
        let block = rows.min(capacity.saturating_mul(tiles[0] * tiles[1]));
        // Points on different cache sets.
        let (c_point, f_point) = (block * c + 16, block * f + 16);
        let places = (0..block).map(|i| Place { from: i * c, to: i * f }).collect();
        Some(Self { tiles, block, c, f, c_point, f_point, places })
    }

    /// Elements of the transformed weights.
    pub fn packed_len(&self, g: &Gather, lanes: usize) -> usize {
        POINTS * g.input.c * padded(g.output.c, lanes)
    }

    /// Elements that each task needs, and that all share: a row of zeros.
    pub fn work_len(&self) -> (usize, usize) {
        (POINTS_PAD + POINTS * (self.c_point + self.f_point), self.c.next_multiple_of(16))
    }
}

/// The least channels and filters.
const LEAST: usize = 16;
/// What the transform of a tile costs for each channel, in products, and that of the weights for each channel and filter;
/// three times as much beyond the cache's part of so many elements.
const TRANSFORM: usize = 220;
const WEIGHT: usize = 1500;
const NEAR: usize = 1 << 18;
/// The share of the direct sum's cost that must remain at most.
const WORTH: f64 = 0.7;
/// Rows of the largest register tile.
const ROWS: usize = 14;
/// Room between the parts of two tasks.
const POINTS_PAD: usize = 16;

per_lanes! {
    /// The 36 values of one vector of `columns` filters and one channel: u = G g Gᵀ of 9 values `g_step` apart, to `u_step` apart.
    unsafe fn weight<T, L>(g: *const T, g_step: usize, u: *mut T, u_step: usize) {
        let k = |x: f64| L::splat(<T as Real>::of(x));
        let (quarter, sixth, half, fourth) = (k(0.25), k(-1.0 / 6.0), k(1.0 / 12.0), k(1.0 / 24.0));
        let mut t = [[L::zero(); 3]; IN];
        for j in 0..3 {
            let (a, b, c) = (L::load(g.add(j * g_step)), L::load(g.add((3 + j) * g_step)), L::load(g.add((6 + j) * g_step)));
            let column = expand::<T, L>([a, b, c], [quarter, sixth, half, fourth]);
            for i in 0..IN {
                t[i][j] = column[i];
            }
        }
        for i in 0..IN {
            let row = expand::<T, L>(t[i], [quarter, sixth, half, fourth]);
            for j in 0..IN {
                L::store(u.add((i * IN + j) * u_step), row[j]);
            }
        }
    }
}

/// G (a, b, c).
#[inline(always)]
unsafe fn expand<T: Real, L: Lanes<T = T>>([a, b, c]: [L::V; 3], [quarter, sixth, half, fourth]: [L::V; 4]) -> [L::V; IN] {
    let even = L::add(a, c);
    // (a + 4c)/24, and 2b/24.
    let far = L::fma(L::add(c, c), half, L::mul(a, fourth));
    let odd = L::mul(b, half);
    [L::mul(a, quarter), L::mul(L::add(even, b), sixth), L::mul(L::sub(even, b), sixth), L::add(far, odd), L::sub(far, odd), c]
}

/// Bᵀ d.
#[inline(always)]
unsafe fn spread<T: Real, L: Lanes<T = T>>(d: [L::V; IN], [two, four, five]: [L::V; 3]) -> [L::V; IN] {
    let [d0, d1, d2, d3, d4, d5] = d;
    // −4 d2 + d4, −4 d1 + d3, −d2 + d4, 2(d3 − d1).
    let (a, b) = (L::sub(d4, L::mul(four, d2)), L::sub(d3, L::mul(four, d1)));
    let (c, e) = (L::sub(d4, d2), L::mul(two, L::sub(d3, d1)));
    [
        L::fma(four, d0, L::sub(d4, L::mul(five, d2))),
        L::add(a, b),
        L::sub(a, b),
        L::add(c, e),
        L::sub(c, e),
        L::fma(four, d1, L::sub(d5, L::mul(five, d3))),
    ]
}

/// Aᵀ m.
#[inline(always)]
unsafe fn gather_up<T: Real, L: Lanes<T = T>>(m: [L::V; IN], [two, four, eight]: [L::V; 3]) -> [L::V; OUT] {
    let [m0, m1, m2, m3, m4, m5] = m;
    let (a, b, c, d) = (L::add(m1, m2), L::sub(m1, m2), L::add(m3, m4), L::sub(m3, m4));
    [L::add(m0, L::add(a, c)), L::fma(two, d, b), L::fma(four, c, a), L::add(L::fma(eight, d, b), m5)]
}

per_lanes! {
    /// One tile of inputs: Bᵀ d B of `c` channels at 36 places, to places `step` apart.
    unsafe fn input<T, L>(d: &[*const T; POINTS], c: usize, v: *mut T, step: usize) {
        let k = |x: f64| L::splat(<T as Real>::of(x));
        let constants = [k(2.0), k(4.0), k(5.0)];
        let mut at = 0;
        while at < c {
            let mask = L::mask((c - at).min(L::N));
            let whole = c - at >= L::N;
            let mut t = [[L::zero(); IN]; IN];
            for j in 0..IN {
                let mut column = [L::zero(); IN];
                for i in 0..IN {
                    let p = d[i * IN + j].add(at);
                    column[i] = if whole { L::load(p) } else { L::load_masked(p, mask) };
                }
                let column = spread::<T, L>(column, constants);
                for i in 0..IN {
                    t[i][j] = column[i];
                }
            }
            for i in 0..IN {
                let row = spread::<T, L>(t[i], constants);
                for j in 0..IN {
                    let v = v.add((i * IN + j) * step + at);
                    if whole { L::store(v, row[j]) } else { L::store_masked(v, mask, row[j]) }
                }
            }
            at += L::N;
        }
    }
}

/// How results reach memory.
#[derive(Clone, Copy)]
struct Last<T> {
    bias: *const T,
    relu: bool,
    add: bool,
}

per_lanes! {
    /// One tile of outputs: Aᵀ m A of columns `columns` at 36 places `step` apart, to the 16 outputs that are not null.
    unsafe fn output<T, L>(m: *const T, step: usize, columns: std::ops::Range<usize>, y: &[*mut T; OUT * OUT], last: Last<T>) {
        let k = |x: f64| L::splat(<T as Real>::of(x));
        let constants = [k(2.0), k(4.0), k(8.0)];
        // NaN passes: `max` returns its second argument.
        let floor = L::splat(if last.relu { <T as Real>::ZERO } else { <T as Real>::LOWEST });
        let mut at = columns.start;
        while at < columns.end {
            let mask = L::mask((columns.end - at).min(L::N));
            let mut t = [[L::zero(); IN]; OUT];
            for j in 0..IN {
                let mut column = [L::zero(); IN];
                for i in 0..IN {
                    column[i] = L::load_masked(m.add((i * IN + j) * step + at), mask);
                }
                let column = gather_up::<T, L>(column, constants);
                for i in 0..OUT {
                    t[i][j] = column[i];
                }
            }
            let bias = if last.bias.is_null() { L::zero() } else { L::load_masked(last.bias.add(at), mask) };
            for i in 0..OUT {
                let row = gather_up::<T, L>(t[i], constants);
                for j in 0..OUT {
                    let y = y[i * OUT + j];
                    if !y.is_null() {
                        let y = y.add(at);
                        let mut x = L::add(row[j], bias);
                        if last.add {
                            x = L::add(L::load_masked(y, mask), x);
                        }
                        L::store_masked(y, mask, L::max(floor, x));
                    }
                }
            }
            at += L::N;
        }
    }
}

/// Transforms weights: panels of two vectors of filters, each [36][channels][panel]. `direct` has room for the packed
/// weights of the gather itself, from which they are made.
#[allow(clippy::too_many_arguments)]
pub(super) fn transform<T: Real>(cpu: &Cpu, g: &Gather, flip: bool, lanes: usize, w: &[T], direct: &mut [T], packed: &mut [T]) {
    pack(cpu, g, flip, lanes, w, direct);
    let (c, f) = (g.input.c, g.output.c);
    let (direct, out) = (&*direct, Shared(packed.as_mut_ptr()));
    let pieces = c.div_ceil(CHANNELS);
    let task = |task: usize| {
        let (j, piece) = (task / pieces, task % pieces);
        let first = j * 2 * lanes;
        let width = padded((f - first).min(2 * lanes), lanes);
        for i in piece * CHANNELS..((piece + 1) * CHANNELS).min(c) {
            for v in (0..width).step_by(lanes) {
                let from = direct[9 * c * first + i * width + v..].as_ptr();
                // SAFETY: panel j of either array begins at its rows times the columns before; tasks write disjoint rows.
                unsafe {
                    let to = out.at(POINTS * c * first + i * width + v);
                    weight::<T>(cpu.isa())(from, c * width, to, c * width);
                }
            }
        }
    };
    cpu.run(f.div_ceil(2 * lanes) * pieces, &task);
}

/// Channels of weights that one task transforms.
const CHANNELS: usize = 64;

impl Winograd {
    /// y = gather(x, packed) with an end; `work` holds [`Winograd::work_len`] for each of `tasks`, and the zeros.
    #[allow(clippy::too_many_arguments)]
    pub fn run<T: Real>(
        &self,
        cpu: &Cpu,
        g: &Gather,
        lanes: usize,
        tasks: usize,
        x: &[T],
        packed: &[T],
        end: End<'_, T>,
        y: &mut [T],
        work: &mut [T],
    ) {
        let rows = y.len() / g.output.len();
        let all = rows * self.tiles[0] * self.tiles[1];
        let (blocks, panels) = (all.div_ceil(self.block), g.output.c.div_ceil(2 * lanes));
        // Few blocks: several tasks share one, each with columns of its own.
        let shares = (2 * tasks).div_ceil(blocks).min(panels);
        let items = blocks * shares;
        let tasks = tasks.min(items);
        let (each, zeros) = self.work_len();
        let (zeros, work) = work.split_at_mut(zeros);
        zeros.fill(T::ZERO);
        let (zeros, work, out) = (&*zeros, Shared(work.as_mut_ptr()), Shared(y.as_mut_ptr()));
        let task = |task: usize| {
            let (v, mut done) = (work.at(task * each), usize::MAX);
            for item in task * items / tasks..(task + 1) * items / tasks {
                let (block, share) = (item / shares, item % shares);
                let range = block * self.block..((block + 1) * self.block).min(all);
                let panels = share * panels / shares..(share + 1) * panels / shares;
                // SAFETY: each task has its own part of `work`; items write disjoint outputs or columns.
                unsafe {
                    if block != done {
                        self.inputs(cpu.isa(), g, x, zeros, range.clone(), v);
                        done = block;
                    }
                    let m = v.add(POINTS * self.c_point);
                    self.products(cpu.isa(), g, lanes, range.len(), v, packed, panels.clone(), m);
                    let columns = panels.start * 2 * lanes..(panels.end * 2 * lanes).min(g.output.c);
                    self.outputs(cpu.isa(), g, m, range, columns, end, out.at(0));
                }
            }
        };
        if tasks == 1 { task(0) } else { cpu.run(tasks, &task) }
    }

    /// Image, and first row and column of outputs of a tile.
    fn place(&self, tile: usize) -> [usize; 3] {
        let [h, w] = self.tiles;
        [tile / (h * w), tile / w % h * OUT, tile % w * OUT]
    }

    unsafe fn inputs<T: Real>(&self, isa: Isa, g: &Gather, x: &[T], zeros: &[T], tiles: std::ops::Range<usize>, v: *mut T) {
        let (e, kernel) = (g.input, input::<T>(isa));
        for (i, tile) in tiles.enumerate() {
            let [n, h, w] = self.place(tile);
            let mut d = [zeros.as_ptr(); POINTS];
            for (p, d) in d.iter_mut().enumerate() {
                let (h, w) = ((h + p / IN) as isize + g.low[1], (w + p % IN) as isize + g.low[2]);
                if h >= 0 && w >= 0 && h < e.h as isize && w < e.w as isize {
                    *d = x[((n * e.h + h as usize) * e.w + w as usize) * e.c..].as_ptr();
                }
            }
            kernel(&d, e.c, v.add(i * self.c), self.c_point);
        }
    }

    #[allow(clippy::too_many_arguments)]
    unsafe fn products<T: Real>(
        &self,
        isa: Isa,
        g: &Gather,
        lanes: usize,
        tiles: usize,
        v: *const T,
        packed: &[T],
        panels: std::ops::Range<usize>,
        m: *mut T,
    ) {
        let (c, f) = (g.input.c, g.output.c);
        let segment = Segment { a: 0, b: 0 };
        for point in 0..POINTS {
            for j in panels.clone() {
                let first = j * 2 * lanes;
                let columns = (f - first).min(2 * lanes);
                let width = padded(columns, lanes);
                let t = Tile {
                    a: v.add(point * self.c_point),
                    places: self.places.as_ptr(),
                    segments: &segment,
                    count: 1,
                    k: c,
                    a_step: 1,
                    w: packed[(POINTS * first + point * width) * c..].as_ptr(),
                    w_unit: width,
                    w_step: width,
                    c: m.add(point * self.f_point + first),
                    columns,
                    rows: 0,
                    bias: std::ptr::null(),
                    add: false,
                    relu: false,
                };
                Kernels::new(isa, columns, lanes, RUNS).run(t, &self.places[..tiles]);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    unsafe fn outputs<T: Real>(
        &self,
        isa: Isa,
        g: &Gather,
        m: *const T,
        tiles: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
        end: End<'_, T>,
        y: *mut T,
    ) {
        let (e, kernel) = (g.output, output::<T>(isa));
        let bias = end.bias.map_or(std::ptr::null(), <[T]>::as_ptr);
        let last = Last { bias, relu: end.relu, add: end.mode == GradMode::Add };
        for (i, tile) in tiles.enumerate() {
            let [n, h, w] = self.place(tile);
            let mut to = [std::ptr::null_mut(); OUT * OUT];
            for (p, to) in to.iter_mut().enumerate() {
                let (h, w) = (h + p / OUT, w + p % OUT);
                if h < e.h && w < e.w {
                    *to = y.add(((n * e.h + h) * e.w + w) * e.c);
                }
            }
            kernel(m.add(i * self.f), self.f_point, columns.clone(), &to, last);
        }
    }
}

#[cfg(test)]
mod tests;
