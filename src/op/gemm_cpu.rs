//! The loops of [`gemm`](super::gemm) on a CPU: columns of B that stay in the last-level cache, blocks of k, rows of A that
//! stay in the second-level cache, tiles across, tiles down.
//!
//! # Source
//! Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication", TOMS 34(3);
//! Van Zee & van de Geijn 2015, "BLIS: a framework for rapidly instantiating BLAS functionality", TOMS 41(3).
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use super::gemm::Product;
use super::gemm_micro::{MR, SIDE_BY_SIDE, Tile, dot_products, kernel, most_rows, pack, write_transposed};
use super::simd::lanes;
use crate::Real;
use crate::device::{Cpu, Isa, per_isa};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Blocks of k: with them a panel of B of two registers across, 48 KiB, about fills a first-level cache.
pub(super) const KC: usize = 384;
/// Rows of A packed at once: 168 KiB in single precision, in the second-level cache.
const MC: usize = 8 * MR;
/// Columns of B packed at once: 1.5 MiB in single precision.
const NC: usize = 1024;
/// Products from which a second thread pays.
const THREADS: usize = 1 << 20;
/// Columns of C from which A is packed, rows from which B is, and the least elements of an operand worth it.
const PACK_A: usize = 384;
const PACK_B: usize = 16 * MR;
const PACK_LEAST: usize = 1 << 14;
/// The shortest sum over k that is cut into pieces, the most pieces, and the number of tiles of C that is enough for many threads.
const SPLIT: usize = 4096;
const PIECES: usize = 16;
const TILES: usize = 64;
/// The most rows of C for which B is left as it is, and the columns of Cᵀ, in the second-level cache.
const TURN_ROWS: usize = 64;
const TURN_COLUMNS: usize = 32 * MR;
/// The shortest sum that is worth registers of its own.
const DOTS: usize = 64;
/// Bytes of B that are not taken to be in a cache. Measured: 8 MiB in the last level lose by hints, 128 MiB in memory gain.
const FAR: usize = 1 << 24;
/// Columns of a tile where tiles are counted.
const TILE_COLUMNS: usize = 32;

/// Elements of workspace for products of at most these sizes.
pub(super) fn workspace<T: Real>(cpu: &Cpu, [m, n, k]: [usize; 3]) -> usize {
    // A split happens where C has fewer than TILES tiles; the bound grows with each size, so that smaller products fit too.
    let split = if k < SPLIT { 0 } else { m.saturating_mul(n).min(TILES * MR * TILE_COLUMNS) * most_pieces(k) };
    packed::<T>(cpu, m, n, k).saturating_mul(seats(cpu, m, n, k)).saturating_add(split)
}

/// Elements that one thread packs at most.
fn packed<T: Real>(cpu: &Cpu, m: usize, n: usize, k: usize) -> usize {
    let width = 4 * lanes::<T>(cpu.isa());
    packed_a(m, k) + (k.min(KC) * (n.min(NC) + width)).next_multiple_of(16) + turned_len(m, n)
}

/// Elements of Cᵀ held at once.
fn turned_len(m: usize, n: usize) -> usize {
    (m.min(TURN_ROWS) * n.min(TURN_COLUMNS)).next_multiple_of(16)
}

/// Elements of A among them, in whole cache lines.
fn packed_a(m: usize, k: usize) -> usize {
    (k.min(KC) * (m.min(MC) + MR)).next_multiple_of(16)
}

/// Threads that take part.
fn seats(cpu: &Cpu, m: usize, n: usize, k: usize) -> usize {
    if m.saturating_mul(n).saturating_mul(k) < THREADS { 1 } else { cpu.threads() }
}

fn most_pieces(k: usize) -> usize {
    PIECES.min(k / (SPLIT / 4))
}

/// Pieces of the sum over k: several where it is long and C is small.
fn pieces(m: usize, n: usize, k: usize) -> usize {
    if k >= SPLIT && m.div_ceil(MR).saturating_mul(n.div_ceil(TILE_COLUMNS)) < TILES { most_pieces(k) } else { 1 }
}

/// A product by pointers, with everything decided that depends on the shape.
#[derive(Clone, Copy)]
pub(super) struct Job<T> {
    isa: Isa,
    m: usize,
    n: usize,
    k: usize,
    a: *const T,
    /// Strides of A along m and k.
    sa: (usize, usize),
    b: *const T,
    /// Strides of B along n and k.
    sb: (usize, usize),
    c: *mut T,
    ldc: usize,
    alpha: T,
    beta: T,
    bias: *const T,
    pack_a: bool,
    pack_b: bool,
    turned: bool,
    /// Few rows of A and Bᵀ as it is: dot products, which need no packing.
    dots: bool,
}

// SAFETY: threads read A and B and write disjoint tiles of C and disjoint parts of the workspace.
unsafe impl<T: Sync> Sync for Job<T> {}

impl<T: Real> Job<T> {
    pub fn new(cpu: &Cpu, p: &Product<'_, T>, c: *mut T, ldc: usize) -> Self {
        let &Product { m, n, k, .. } = p;
        // A stride along a side of one element is free to choose.
        let free = |len: usize, stride: usize| if len == 1 { 1 } else { stride };
        let sa = (free(m, p.a.rs), free(k, p.a.cs));
        let sb = (free(n, p.b.cs), p.b.rs);
        let pack_a = (sa.0 != 1 && sa.1 != 1) || (n >= PACK_A && m * k >= PACK_LEAST);
        // Cᵀ = Bᵀ·Aᵀ needs no packing of B; the vectors then run along m, and must fill.
        let turned = sb.0 != 1 && sb.1 == 1 && (8..=TURN_ROWS).contains(&m) && n >= 4 * MR && k >= 2 * m;
        let dots = sa.1 == 1 && sb.0 != 1 && sb.1 == 1 && m < 8 && k >= DOTS && n * k >= PACK_LEAST;
        let pack_b = sb.0 != 1 || (m >= PACK_B && n * k >= PACK_LEAST);
        let (a, b) = (p.a.data.as_ptr(), p.b.data.as_ptr());
        let bias = p.bias.map_or(std::ptr::null(), <[T]>::as_ptr);
        Self { isa: cpu.isa(), m, n, k, a, sa, b, sb, c, ldc, alpha: p.alpha, beta: p.beta, bias, pack_a, pack_b, turned, dots }
    }
}

/// The product; `work` has at least [`workspace`] elements.
///
/// # Safety
/// All elements of the operands are valid, and m, n > 0.
pub(super) unsafe fn run<T: Real>(cpu: &Cpu, g: &Job<T>, work: &mut [T]) {
    if g.dots {
        return dots(cpu, g);
    }
    match pieces(g.m, g.n, g.k) {
        1 => whole(cpu, g, work.as_mut_ptr()),
        pieces => split(cpu, g, pieces, work),
    }
}

/// The whole product at once where C fits in the registers: tiny networks are made of such. False, and nothing done, where
/// it does not, or the workspace is too short.
///
/// # Safety
/// As [`run`].
#[inline]
pub(super) unsafe fn one_tile<T: Real>(g: &Job<T>, work: &mut [T]) -> bool {
    let lanes = lanes::<T>(g.isa);
    let nv = 1 + usize::from(g.n > lanes) + usize::from(g.n > 2 * lanes) + usize::from(g.n > 3 * lanes);
    if g.k > KC || g.pack_a || g.n > 4 * lanes || g.m > most_rows::<T>(g.isa, nv) {
        return false;
    }
    let (mut b, mut ldb) = (g.b, g.sb.1);
    if g.pack_b {
        if work.len() < g.k * nv * lanes {
            return false;
        }
        (b, ldb) = (work.as_ptr(), nv * lanes);
        pack(g.isa, g.b, g.sb, g.n, g.k, ldb, work.as_mut_ptr());
    }
    let by_rows = g.sa.0 != 1;
    let &Job { k, a, n, c, ldc, alpha, beta, bias, .. } = g;
    let stride = if by_rows { g.sa.0 } else { g.sa.1 };
    kernel::<T>(g.isa, g.m, nv, by_rows)(&Tile { k, a, stride, b, ldb, ahead: 0, c, ldc, n, alpha, beta, bias });
    true
}

/// The whole product, cut along m and n for the threads.
unsafe fn whole<T: Real>(cpu: &Cpu, g: &Job<T>, work: *mut T) {
    let &Job { m, n, k, .. } = g;
    let seats = seats(cpu, m, n, k);
    if seats == 1 {
        return block(g, 0..m, 0..n, 0..k, work);
    }
    let unit = lanes::<T>(g.isa);
    let (rows, columns) = grid(m, n, unit, seats);
    let (down, across) = (m.div_ceil(rows), n.div_ceil(columns));
    each(cpu, seats, down * across, packed::<T>(cpu, m, n, k), Shared(work), &|i, work| {
        let (i, j) = (i / across * rows, i % across * columns);
        // SAFETY: the caller's promise; blocks are disjoint.
        unsafe { block(g, i..m.min(i + rows), j..n.min(j + columns), 0..k, work) }
    });
}

/// All dot products, their columns shared out.
unsafe fn dots<T: Real>(cpu: &Cpu, g: &Job<T>) {
    let &Job { m, n, k, .. } = g;
    let seats = seats(cpu, m, n, k);
    let columns = n.div_ceil(seats).next_multiple_of(SIDE_BY_SIDE);
    cpu.run(n.div_ceil(columns), &|i| {
        let (j, &Job { a, b, c, ldc, alpha, beta, bias, .. }) = (i * columns, g);
        // SAFETY: the caller's promise; columns are disjoint.
        unsafe {
            let (b, c, bias) = (b.add(j * g.sb.0), c.add(j), if bias.is_null() { bias } else { bias.add(j) });
            let first = Tile { k, a, stride: g.sa.0, b, ldb: g.sb.0, ahead: 0, c, ldc, n, alpha, beta, bias };
            dot_products(g.isa, [m, columns.min(n - j)], &first);
        }
    });
}

/// The sum over k in pieces of their own, added in order.
unsafe fn split<T: Real>(cpu: &Cpu, g: &Job<T>, pieces: usize, work: &mut [T]) {
    let &Job { m, n, k, .. } = g;
    let (parts, work) = work.split_at_mut(pieces * m * n);
    let shared = Shared(parts.as_mut_ptr());
    each(cpu, seats(cpu, m, n, k), pieces, packed::<T>(cpu, m, n, k), Shared(work.as_mut_ptr()), &|i, work| {
        let part = Job { c: shared.at(i * m * n), ldc: n, alpha: T::ONE, beta: T::ZERO, bias: std::ptr::null(), ..*g };
        // SAFETY: the caller's promise; parts are disjoint.
        unsafe { block(&part, 0..m, 0..n, i * k / pieces..(i + 1) * k / pieces, work) }
    });
    for i in 0..m {
        let c = std::slice::from_raw_parts_mut(g.c.add(i * g.ldc), n);
        if g.beta == T::ZERO {
            c.fill(T::ZERO);
        }
        let bias = if g.bias.is_null() { &[] } else { std::slice::from_raw_parts(g.bias, n) };
        add_up(cpu, &mut parts[i * n..], m * n, pieces, g.alpha, g.beta, bias, c);
    }
}

per_isa! {
    /// c = alpha·(part 0 + part 1 + ..) + beta·c + bias for one row; parts are `stride` apart. Overwrites part 0.
    fn add_up<T: Real>(cpu: &Cpu, parts: &mut [T], stride: usize, pieces: usize, alpha: T, beta: T, bias: &[T], c: &mut [T]) {
        let n = c.len();
        let (sum, others) = parts.split_at_mut(n);
        for i in 1..pieces {
            for (sum, x) in sum.iter_mut().zip(&others[i * stride - n..]) {
                *sum += *x;
            }
        }
        for (c, sum) in c.iter_mut().zip(&*sum) {
            *c = alpha * *sum + beta * *c;
        }
        for (c, bias) in c.iter_mut().zip(bias) {
            *c += *bias;
        }
    }
}

/// A pointer into the workspace that threads share.
#[derive(Clone, Copy)]
struct Shared<T>(*mut T);

// SAFETY: each thread uses a part of its own.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    unsafe fn at(&self, offset: usize) -> *mut T {
        self.0.add(offset)
    }
}

/// Calls `task(i, work)` for each i < tasks, with one of `seats` workspaces of `len` elements, which no other thread uses
/// meanwhile.
unsafe fn each<T: Real>(
    cpu: &Cpu,
    seats: usize,
    tasks: usize,
    len: usize,
    work: Shared<T>,
    task: &(dyn Fn(usize, *mut T) + Sync),
) {
    let (next, work) = (AtomicUsize::new(0), &work);
    cpu.run(seats.min(tasks), &|seat| {
        loop {
            let i = next.fetch_add(1, Relaxed);
            if i >= tasks {
                return;
            }
            // SAFETY: `run` hands out each seat once.
            task(i, unsafe { work.at(seat * len) });
        }
    });
}

/// Rows and columns of the blocks that are shared out: as equal as possible, at least one for each thread where C allows.
fn grid(m: usize, n: usize, unit: usize, threads: usize) -> (usize, usize) {
    let size = |down: usize| (m.div_ceil(down), n.div_ceil(threads / down).next_multiple_of(unit));
    // Tiles of a block, and the elements of A and B that it packs.
    let cost = |down: &usize| {
        let (rows, columns) = size(*down);
        (rows.div_ceil(MR) * columns.div_ceil(2 * unit), rows + columns)
    };
    size((1..=threads.min(m)).min_by_key(cost).unwrap_or(1))
}

/// Where the panels of an operand lie: `next` elements from one to the next, `ld` from one step to the next (rows of A as
/// they are: from one row to the next).
#[derive(Clone, Copy)]
struct Panels<T> {
    at: *const T,
    next: usize,
    ld: usize,
}

/// The sizes of the tiles of a block.
#[derive(Clone, Copy)]
struct Shape {
    isa: Isa,
    lanes: usize,
    /// Rows of a tile.
    mr: usize,
    /// Columns of a panel.
    width: usize,
    by_rows: bool,
}

/// A block by way of its transpose, some columns at a time.
unsafe fn block_turned<T: Real>(g: &Job<T>, rows: Range<usize>, columns: Range<usize>, ks: Range<usize>, work: *mut T) {
    let m = rows.len();
    let (x, work) = (work, work.add(turned_len(m, columns.len())));
    for j in columns.clone().step_by(TURN_COLUMNS) {
        let n = TURN_COLUMNS.min(columns.end - j);
        let (a, b) = (g.b.add(j * g.sb.0), g.a.add(rows.start * g.sa.0));
        let (pack_a, pack_b, turned) = (false, g.sa.0 != 1, false);
        let (beta, bias) = (T::ZERO, std::ptr::null());
        let t = Job { m: n, n: m, a, sa: g.sb, b, sb: g.sa, c: x, ldc: m, beta, bias, pack_a, pack_b, turned, ..*g };
        block(&t, 0..n, 0..m, ks.clone(), work);
        let bias = if g.bias.is_null() { g.bias } else { g.bias.add(j) };
        write_transposed(g.isa, [m, n], x, g.beta, bias, g.c.add(rows.start * g.ldc + j), g.ldc);
    }
}

/// One block of C over a range of k, on one thread.
unsafe fn block<T: Real>(g: &Job<T>, rows: Range<usize>, columns: Range<usize>, ks: Range<usize>, work: *mut T) {
    if g.turned {
        return block_turned(g, rows, columns, ks, work);
    }
    let lanes = lanes::<T>(g.isa);
    let (m, n, k) = (rows.len(), columns.len(), ks.len());
    let nv = n.div_ceil(lanes).min(if m <= most_rows::<T>(g.isa, 4) { 4 } else { 2 });
    // Tiles of equal height: 16 rows are 8 and 8, not 14 and 2.
    let mr = m.div_ceil(m.div_ceil(most_rows::<T>(g.isa, nv)));
    let shape = Shape { isa: g.isa, lanes, mr, width: nv * lanes, by_rows: !g.pack_a && g.sa.0 != 1 };
    let mc = MC / mr * mr;
    let nc = match (g.pack_b, m <= mc && !g.pack_a) {
        (true, false) => NC,
        // A panel serves once: it is used at once, from the nearest cache.
        (true, true) => shape.width,
        (false, _) => n,
    };
    // Panels of B that lie in no cache are asked for one panel ahead.
    let far = !g.pack_b && n * k * size_of::<T>() > FAR;
    let (pa, pb) = (work, work.add(packed_a(m, k)));
    let steps = k.div_ceil(KC).max(1);
    let length = k.div_ceil(steps);
    for jc in (0..n).step_by(nc) {
        let (n, j) = (nc.min(n - jc), columns.start + jc);
        for step in 0..steps {
            let p = ks.start + step * length;
            let kc = length.min(ks.end - p);
            let at = g.b.add(j * g.sb.0 + p * g.sb.1);
            let mut b = Panels { at, next: shape.width, ld: g.sb.1 };
            if g.pack_b {
                pack(g.isa, at, g.sb, n, kc, shape.width, pb);
                b = Panels { at: pb, next: shape.width * kc, ld: shape.width };
            }
            let beta = if step == 0 { g.beta } else { T::ONE };
            let bias = if step + 1 == steps && !g.bias.is_null() { g.bias.add(j) } else { std::ptr::null() };
            for ic in (0..m).step_by(mc) {
                let (m, i) = (mc.min(m - ic), rows.start + ic);
                let at = g.a.add(i * g.sa.0 + p * g.sa.1);
                let mut a = Panels { at, next: mr * g.sa.0, ld: if shape.by_rows { g.sa.0 } else { g.sa.1 } };
                if g.pack_a {
                    pack(g.isa, at, g.sa, m, kc, mr, pa);
                    a = Panels { at: pa, next: mr * kc, ld: mr };
                }
                let c = g.c.add(i * g.ldc + j);
                let (k, stride, ldb, ldc, alpha) = (kc, a.ld, b.ld, g.ldc, g.alpha);
                let ahead = if far && ic == 0 { kc * ldb } else { 0 };
                let tile = Tile { k, a: a.at, stride, b: b.at, ldb, ahead, c, ldc, n: 0, alpha, beta, bias };
                tiles(&shape, m, n, a, b, tile);
            }
        }
    }
}

/// All tiles of m rows and n columns; `first` is the one in the corner, whose `ahead` leads to the next rows of B.
unsafe fn tiles<T: Real>(shape: &Shape, m: usize, n: usize, a: Panels<T>, b: Panels<T>, first: Tile<T>) {
    let &Shape { isa, lanes, mr, width, by_rows } = shape;
    let mut tile = first;
    let mut j = 0;
    while j < n {
        tile.n = width.min(n - j);
        tile.b = b.at.add(j / width * b.next);
        let nv = tile.n.div_ceil(lanes);
        tile.bias = if first.bias.is_null() { first.bias } else { first.bias.add(j) };
        let whole = kernel::<T>(isa, mr, nv, by_rows);
        // Behind a panel comes the next one, behind the last the first one of the next rows.
        let next = if j + width < n { b.next } else { first.ahead.wrapping_sub(j / width * b.next) };
        let mut i = 0;
        while i < m {
            tile.ahead = if i == 0 && first.ahead > 0 { next } else { 0 };
            tile.a = a.at.add(i / mr * a.next);
            tile.c = first.c.add(i * first.ldc + j);
            if mr <= m - i {
                whole(&tile);
            } else {
                kernel::<T>(isa, m - i, nv, by_rows)(&tile);
            }
            i += mr;
        }
        j += width;
    }
}
