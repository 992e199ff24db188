//! C = alpha·A·B + beta·C + bias: matrix products of any strides.
//!
//! The five loops of Goto and of BLIS around a register tile: columns of B that stay in the last-level cache, blocks of k,
//! rows of A that stay in the second-level cache, tiles across, tiles down. Operands are packed only where it pays;
//! transposes are strides. Sums run over p in order within blocks of k, and the blocks, as well as the pieces of a split
//! sum, follow from m, n and k alone: the bits depend neither on threads nor on packing.
//!
//! # Source
//! Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication", TOMS 34(3);
//! Van Zee & van de Geijn 2015, "BLIS: a framework for rapidly instantiating BLAS functionality", TOMS 41(3).
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use super::gemm_micro::{MR, Tile, kernel, most_rows, pack, write_transposed};
use super::simd::lanes;
use crate::device::{Cpu, Isa, per_isa};
use crate::{Error, Real, Result};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A matrix in a slice: element (i, j) lies at i·rs + j·cs.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a, T> {
    data: &'a [T],
    rs: usize,
    cs: usize,
}

impl<'a, T> Mat<'a, T> {
    /// Rows of `ld` elements, one after the other.
    pub fn rows(data: &'a [T], ld: usize) -> Self {
        Self { data, rs: ld, cs: 1 }
    }

    /// Any strides.
    pub fn strided(data: &'a [T], rs: usize, cs: usize) -> Self {
        Self { data, rs, cs }
    }

    /// The transpose.
    #[must_use]
    pub fn t(self) -> Self {
        Self { rs: self.cs, cs: self.rs, ..self }
    }

    /// Elements that `rows` times `columns` of it span.
    fn span(&self, rows: usize, columns: usize) -> Option<usize> {
        span(rows, self.rs, columns, self.cs)
    }
}

fn span(rows: usize, rs: usize, columns: usize, cs: usize) -> Option<usize> {
    if rows == 0 || columns == 0 {
        return Some(0);
    }
    (rows - 1).checked_mul(rs)?.checked_add((columns - 1).checked_mul(cs)?)?.checked_add(1)
}

/// What to compute: alpha·A·B + beta·C + bias, of m rows, n columns and k products each.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a, T> {
    m: usize,
    n: usize,
    k: usize,
    a: Mat<'a, T>,
    b: Mat<'a, T>,
    alpha: T,
    beta: T,
    bias: Option<&'a [T]>,
}

impl<'a, T: Real> Product<'a, T> {
    /// A·B, A of m by k, B of k by n.
    pub fn new([m, n, k]: [usize; 3], a: Mat<'a, T>, b: Mat<'a, T>) -> Self {
        Self { m, n, k, a, b, alpha: T::ONE, beta: T::ZERO, bias: None }
    }

    /// Factor on A·B, 1 otherwise.
    #[must_use]
    pub fn alpha(mut self, alpha: T) -> Self {
        self.alpha = alpha;
        self
    }

    /// Factor on C, 0 otherwise: then C is not read.
    #[must_use]
    pub fn beta(mut self, beta: T) -> Self {
        self.beta = beta;
        self
    }

    /// Adds bias_j to every row.
    #[must_use]
    pub fn bias(mut self, bias: Option<&'a [T]>) -> Self {
        self.bias = bias;
        self
    }

    fn check(&self, c: usize, ldc: usize, work: usize, needed: usize) -> Result<()> {
        let &Self { m, n, k, .. } = self;
        let fits = |what: &str, span: Option<usize>, len: usize| match span {
            Some(span) if span <= len => Ok(()),
            span => Err(short(what, span, len)),
        };
        fits("a", self.a.span(m, k), self.a.data.len())?;
        fits("b", self.b.span(k, n), self.b.data.len())?;
        fits("c", if m > 1 && ldc < n { None } else { span(m, ldc, n, 1) }, c)?;
        fits("bias", Some(if self.bias.is_some() { n } else { 0 }), self.bias.map_or(0, <[T]>::len))?;
        fits("work", Some(needed), work)
    }
}

#[cold]
fn short(what: &str, span: Option<usize>, len: usize) -> Error {
    let expected = span.map_or("a leading dimension of at least a row".into(), |span| format!("at least {span} elements"));
    Error::shape("gemm", format!("{what} is too short")).expected(expected).got(format!("{len} elements"))
}

/// Blocks of k: with them a panel of B of two registers across, 48 KiB, about fills a first-level cache.
const KC: usize = 384;
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
/// Columns of a tile where tiles are counted.
const TILE_COLUMNS: usize = 32;

/// Elements of `work` that [`gemm`] needs for products of at most these sizes, whatever the strides.
pub fn workspace<T: Real>(cpu: &Cpu, [m, n, k]: [usize; 3]) -> usize {
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

/// As many of them for A, in whole cache lines.
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

/// C = alpha·A·B + beta·C + bias; row i of C begins at `c[i·ldc]`. `work` has at least [`workspace`] elements.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if a slice is shorter than its matrix.
///
/// # Examples
/// ```
/// use kamacite::op::gemm::{Mat, Product, gemm, workspace};
/// let cpu = kamacite::Cpu::new(1)?;
/// let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
/// let mut c = [0.0; 4];
/// let mut work = vec![0.0; workspace::<f64>(&cpu, [2, 2, 2])];
/// gemm(&cpu, &Product::new([2, 2, 2], Mat::rows(&a, 2), Mat::rows(&b, 2).t()), &mut c, 2, &mut work)?;
/// assert_eq!(c, [17.0, 23.0, 39.0, 53.0]);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn gemm<T: Real>(cpu: &Cpu, product: &Product<'_, T>, c: &mut [T], ldc: usize, work: &mut [T]) -> Result<()> {
    let &Product { m, n, k, .. } = product;
    product.check(c.len(), ldc, work.len(), workspace::<T>(cpu, [m, n, k]))?;
    if m == 0 || n == 0 {
        return Ok(());
    }
    let job = Job::new(cpu, product, c.as_mut_ptr(), ldc);
    // SAFETY: the spans were checked, so every element that the loops address lies in its slice, and `work` is long enough.
    unsafe {
        if !one_tile(&job, work.as_mut_ptr()) {
            match pieces(m, n, k) {
                1 => whole(cpu, &job, work.as_mut_ptr()),
                pieces => split(cpu, &job, pieces, work),
            }
        }
    }
    Ok(())
}

/// A product by pointers, with everything decided that depends on the shape.
#[derive(Clone, Copy)]
struct Job<T> {
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
}

// SAFETY: threads read A and B and write disjoint tiles of C and disjoint parts of the workspace.
unsafe impl<T: Sync> Sync for Job<T> {}

impl<T: Real> Job<T> {
    fn new(cpu: &Cpu, p: &Product<'_, T>, c: *mut T, ldc: usize) -> Self {
        let &Product { m, n, k, .. } = p;
        // A stride along a side of one element is free to choose.
        let free = |len: usize, stride: usize| if len == 1 { 1 } else { stride };
        let sa = (free(m, p.a.rs), free(k, p.a.cs));
        let sb = (free(n, p.b.cs), p.b.rs);
        let pack_a = (sa.0 != 1 && sa.1 != 1) || (n >= PACK_A && m * k >= PACK_LEAST);
        // Cᵀ = Bᵀ·Aᵀ needs no packing of B; the vectors then run along m, and must fill.
        let turned = sb.0 != 1 && sb.1 == 1 && (8..=TURN_ROWS).contains(&m) && n >= 4 * MR && k >= 2 * m;
        let pack_b = sb.0 != 1 || (m >= PACK_B && n * k >= PACK_LEAST);
        let (a, b) = (p.a.data.as_ptr(), p.b.data.as_ptr());
        let bias = p.bias.map_or(std::ptr::null(), <[T]>::as_ptr);
        Self { isa: cpu.isa(), m, n, k, a, sa, b, sb, c, ldc, alpha: p.alpha, beta: p.beta, bias, pack_a, pack_b, turned }
    }
}

/// The whole product at once where C fits in the registers: tiny networks are made of such. False where it does not.
unsafe fn one_tile<T: Real>(g: &Job<T>, work: *mut T) -> bool {
    let lanes = lanes::<T>(g.isa);
    let nv = 1 + usize::from(g.n > lanes) + usize::from(g.n > 2 * lanes) + usize::from(g.n > 3 * lanes);
    if g.k > KC || g.pack_a || g.n > 4 * lanes || g.m > most_rows::<T>(g.isa, nv) {
        return false;
    }
    let (mut b, mut ldb) = (g.b, g.sb.1);
    if g.pack_b {
        (b, ldb) = (work, nv * lanes);
        pack(g.isa, g.b, g.sb, g.n, g.k, ldb, work);
    }
    let by_rows = g.sa.0 != 1;
    let &Job { k, a, n, c, ldc, alpha, beta, bias, .. } = g;
    let stride = if by_rows { g.sa.0 } else { g.sa.1 };
    kernel::<T>(g.isa, g.m, nv, by_rows)(&Tile { k, a, stride, b, ldb, c, ldc, n, alpha, beta, bias });
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
    let (mc, nc) = (MC / mr * mr, if g.pack_b { NC } else { n });
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
                let tile =
                    Tile { k: kc, a: a.at, stride: a.ld, b: b.at, ldb: b.ld, c, ldc: g.ldc, n: 0, alpha: g.alpha, beta, bias };
                tiles(&shape, m, n, a, b, tile);
            }
        }
    }
}

/// All tiles of m rows and n columns; `first` is the one in the corner.
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
        let mut i = 0;
        while i < m {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    /// A matrix of m by n with random strides, and what it holds.
    fn matrix<T: Real>(r: &mut Stream, m: usize, n: usize) -> (Vec<T>, usize, usize) {
        let pad = |r: &mut Stream| r.below(4);
        let (rs, cs) = match r.below(5) {
            0 | 1 => (n + pad(r), 1),
            2 | 3 => (1, m + pad(r)),
            _ => ((n + 1) * 2 + pad(r), 2),
        };
        let len = span(m, rs, n, cs).unwrap();
        ((0..len).map(|_| T::of(r.between(-1.0, 1.0))).collect(), rs, cs)
    }

    /// Elements behind the workspace that must not change.
    const GUARD: usize = 20_000;

    struct Case<T> {
        shape: [usize; 3],
        a: (Vec<T>, usize, usize),
        b: (Vec<T>, usize, usize),
        c: Vec<T>,
        ldc: usize,
        alpha: T,
        beta: T,
        bias: Option<Vec<T>>,
    }

    impl<T: Real> Case<T> {
        fn new(r: &mut Stream, [m, n, k]: [usize; 3]) -> Self {
            let ldc = n + r.below(3);
            let beta = [0.0, 1.0, -0.5][r.below(3)];
            // With beta 0, C must not be read.
            let c = (0..m * ldc).map(|_| if beta == 0.0 { T::of(f64::NAN) } else { T::of(r.between(-1.0, 1.0)) }).collect();
            let bias = (r.below(2) == 0).then(|| (0..n).map(|_| T::of(r.between(-1.0, 1.0))).collect());
            let alpha = T::of([1.0, 1.0, -0.75][r.below(3)]);
            Self { shape: [m, n, k], a: matrix(r, m, k), b: matrix(r, k, n), c, ldc, alpha, beta: T::of(beta), bias }
        }

        fn run(&self, cpu: &Cpu) -> Vec<T> {
            let mut c = self.c.clone();
            let len = workspace::<T>(cpu, self.shape);
            let mut work = vec![T::of(f64::NAN); len + GUARD];
            work[len..].fill(T::ONE);
            let (a, b) = (Mat::strided(&self.a.0, self.a.1, self.a.2), Mat::strided(&self.b.0, self.b.1, self.b.2));
            let p = Product::new(self.shape, a, b).alpha(self.alpha).beta(self.beta).bias(self.bias.as_deref());
            gemm(cpu, &p, &mut c, self.ldc, &mut work[..len]).unwrap();
            assert!(work[len..].iter().all(|w| *w == T::ONE), "{:?}: wrote past the workspace", self.shape);
            c
        }

        /// Compares with sums in f64. Each of k + 3 roundings errs by at most ε/2 of a partial sum; as errors and terms walk
        /// randomly, they come to about ε/2·√k of |sum| ~ √k·|term|: that is ε·Σ|term|. The bound has a factor of 8 over it.
        fn check(&self, c: &[T], what: &str) {
            let [m, n, k] = self.shape;
            for i in 0..m {
                for j in 0..self.ldc {
                    let got = c[i * self.ldc + j].to_f64();
                    let old = self.c[i * self.ldc + j].to_f64();
                    if j >= n {
                        assert!(got.to_bits() == old.to_bits(), "{what} {:?}: wrote between rows", self.shape);
                        continue;
                    }
                    let bias = self.bias.as_ref().map_or(0.0, |b| b[j].to_f64());
                    let (mut sum, mut size) = (bias, bias.abs());
                    if self.beta != T::ZERO {
                        sum += self.beta.to_f64() * old;
                        size += (self.beta.to_f64() * old).abs();
                    }
                    for p in 0..k {
                        let (a, b) = (&self.a, &self.b);
                        let term = self.alpha.to_f64() * a.0[i * a.1 + p * a.2].to_f64() * b.0[p * b.1 + j * b.2].to_f64();
                        sum += term;
                        size += term.abs();
                    }
                    let bound = 8.0 * T::EPSILON.to_f64() * size;
                    assert!((got - sum).abs() <= bound, "{what} {:?} ({i}, {j}): {got} for {sum}", self.shape);
                }
            }
        }
    }

    fn bits<T: Real>(c: &[T]) -> Vec<u64> {
        c.iter().map(|c| c.to_f64().to_bits()).collect()
    }

    fn check<T: Real>(shapes: &[[usize; 3]]) {
        let mut r = Stream::new(1, Purpose::Synth, 0);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
            let cpus = [1, 2, 7].map(|threads| Cpu::with_isa(threads, isa).unwrap());
            assert!(cpus.iter().all(|cpu| cpu.isa() == isa));
            for &shape in shapes {
                let case = Case::<T>::new(&mut r, shape);
                let [c, others @ ..] = cpus.each_ref().map(|cpu| case.run(cpu));
                case.check(&c, &isa.to_string());
                for other in others {
                    assert_eq!(bits(&c), bits(&other), "{isa} {shape:?}: threads change bits");
                }
            }
        }
    }

    /// Every number of rows, columns and products from 0 to 70 in many combinations.
    #[test]
    fn small_products_of_any_strides() {
        let mut r = Stream::new(2, Purpose::Synth, 0);
        let mut shapes: Vec<[usize; 3]> = (0..=70).flat_map(|i| [[i, 70 - i, 9], [3, i, 70 - i], [70 - i, 5, i]]).collect();
        shapes.extend((0..300).map(|_| [r.below(71), r.below(71), r.below(71)]));
        check::<f32>(&shapes);
        check::<f64>(&shapes);
    }

    /// Past each limit: packing, transposes, blocks of m, n and k, threads, split sums.
    #[test]
    fn large_products_of_any_strides() {
        let shapes =
            [[200, 300, 70], [90, 1100, 40], [61, 67, 900], [17, 33, 4099], [3, 5, 9000], [130, 120, 130], [1, 300, 4000]];
        let turned = [[9, 60, 25], [16, 100, 40], [40, 500, 90], [64, 470, 400]];
        let often: Vec<_> = shapes.into_iter().chain(turned).flat_map(|shape| [shape; 4]).collect();
        check::<f32>(&often);
        check::<f64>(&often);
    }

    #[test]
    fn short_slices_are_errors() {
        let cpu = Cpu::new(1).unwrap();
        let x = [1.0_f32; 12];
        let mut work = vec![0.0; workspace::<f32>(&cpu, [3, 3, 4])];
        let run = |a: &[f32], b: &[f32], c: usize, ldc: usize, bias: Option<&[f32]>, work: &mut [f32]| {
            let p = Product::new([3, 3, 4], Mat::rows(a, 4), Mat::rows(b, 3)).bias(bias);
            gemm(&cpu, &p, &mut vec![0.0; c], ldc, work)
        };
        run(&x, &x, 9, 3, Some(&x[..3]), &mut work).unwrap();
        assert!(run(&x[..11], &x, 9, 3, None, &mut work).is_err());
        assert!(run(&x, &x[..11], 9, 3, None, &mut work).is_err());
        assert!(run(&x, &x, 8, 3, None, &mut work).is_err());
        assert!(run(&x, &x, 9, 2, None, &mut work).is_err());
        assert!(run(&x, &x, 9, usize::MAX, None, &mut work).is_err());
        assert!(run(&x, &x, 9, 3, Some(&x[..2]), &mut work).is_err());
        assert!(run(&x, &x, 9, 3, None, &mut []).is_err());
    }

    /// A plan asks for its workspace at full capacity and then computes fewer rows.
    #[test]
    fn workspace_grows_with_every_size() {
        let cpu = Cpu::new(7).unwrap();
        let sizes = [0, 1, 13, 64, 100, 1000, 5000, 20_000];
        for m in sizes.windows(2) {
            for n in sizes.windows(2) {
                for k in sizes.windows(2) {
                    let at = workspace::<f32>(&cpu, [m[1], n[1], k[1]]);
                    for smaller in [[m[0], n[1], k[1]], [m[1], n[0], k[1]], [m[1], n[1], k[0]]] {
                        assert!(workspace::<f32>(&cpu, smaller) <= at, "{smaller:?}");
                    }
                }
            }
        }
    }
}
