//! The micro-kernels of GEMM: a register tile of the product, and the packing of panels.
//!
//! Each element of C is one chain c = fma(a_ip, b_pj, c) over p in order, whatever the tile, the packing and the masks:
//! how the product is cut along m and n has no influence on its bits.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use super::simd::{Lanes, per_lanes, prefetch, prefetch_far, registers};
use crate::Real;
use crate::device::Isa;

/// The most rows of a tile.
pub(super) const MR: usize = 14;

/// c_ij = alpha·Σ_p a_ip·b_pj + beta·c_ij + bias_j for the rows of the kernel and `n` columns.
#[derive(Clone, Copy)]
pub(super) struct Tile<T> {
    pub k: usize,
    /// Element (i, p) lies at i·stride + p (kernels by rows) or i + p·stride (by columns).
    pub a: *const T,
    pub stride: usize,
    /// Element (p, j) lies at p·ldb + j.
    pub b: *const T,
    pub ldb: usize,
    /// How far behind each row of B lies what is wanted next and is not in a cache; 0: nothing.
    pub ahead: usize,
    pub c: *mut T,
    pub ldc: usize,
    pub n: usize,
    pub alpha: T,
    /// 0: c is not read.
    pub beta: T,
    /// Null: none.
    pub bias: *const T,
}

pub(super) type Kernel<T> = unsafe fn(&Tile<T>);

/// The most rows of a tile of `nv` registers side by side: the accumulators, a row of B and one element of A must fit.
pub(super) fn most_rows<T: Real>(isa: Isa, nv: usize) -> usize {
    fit(registers::<T>(isa).1, size_of::<T>(), nv)
}

/// Double precision, for gradient checks and small fits, does with fewer kernels: each costs time to compile.
const fn fit(registers: usize, bytes: usize, nv: usize) -> usize {
    let rows = (registers - 1 - nv) / nv;
    let most = match (bytes, nv) {
        (8, 1 | 2) => 6,
        (8, _) => 0,
        (_, 1 | 2) => MR,
        _ => 6,
    };
    if rows < most { rows } else { most }
}

/// Repeats the body with `$i` = 0, 1, .. below `$n` as constants: arrays indexed so stay in registers.
macro_rules! unrolled {
    ($n:expr, $i:ident, $body:block) => {
        unrolled!(@ $n, $i, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13)
    };
    (@ $n:expr, $i:ident, $body:block, $($value:literal)*) => {
        $(if const { $value < $n } {
            #[allow(non_upper_case_globals)]
            const $i: usize = $value;
            $body
        })*
    };
}

/// As [`unrolled!`] for the registers of a row: up to 4.
macro_rules! across {
    ($n:expr, $v:ident, $body:block) => {
        unrolled!(@ $n, $v, $body, 0 1 2 3)
    };
}

/// As [`unrolled!`] for a square of registers: up to 16.
macro_rules! each_row {
    ($n:expr, $r:ident, $body:block) => {
        unrolled!(@ $n, $r, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
}

/// Adds a_ip·b_p to the accumulators for one p.
macro_rules! rank_one {
    ($L:ident, $acc:ident, $b:ident, $MASKED:expr, $mask:ident, |$i:ident| $a:expr) => {
        let mut row = [$L::zero(); 4];
        across!(NV, v, {
            row[v] = if $MASKED && v + 1 == NV { $L::load_masked($b.add(v * $L::N), $mask) } else { $L::load($b.add(v * $L::N)) };
        });
        unrolled!(ROWS, $i, {
            let a = $L::splat($a);
            across!(NV, v, {
                $acc[$i][v] = $L::fma(a, row[v], $acc[$i][v]);
            });
        });
    };
}

macro_rules! accumulate {
    ($L:ident, $t:ident, $acc:ident, $MASKED:expr, $mask:ident, $AHEAD:expr) => {
        let mut b = $t.b;
        let mut a = $t.a;
        let mut p = 0;
        // Not unrolled: the broadcasts of several steps would be hoisted, and the registers spilled.
        while p < $t.k {
            if $AHEAD {
                across!(NV, v, {
                    if const { v * $L::N * size_of::<T>() % 64 == 0 } {
                        prefetch_far(b.wrapping_add($t.ahead + v * $L::N));
                    }
                });
            }
            rank_one!($L, $acc, b, $MASKED, $mask, |i| *a.add(if const { BY_ROWS } { i * $t.stride } else { i }));
            a = a.add(if const { BY_ROWS } { 1 } else { $t.stride });
            b = b.add($t.ldb);
            p += 1;
        }
    };
}

macro_rules! finish {
    ($L:ident, $t:ident, $acc:ident, $MASKED:expr, $mask:ident) => {
        let (alpha, beta) = ($L::splat($t.alpha), $L::splat($t.beta));
        let mut bias = [$L::zero(); 4];
        if !$t.bias.is_null() {
            across!(NV, v, {
                bias[v] = if $MASKED && v + 1 == NV {
                    $L::load_masked($t.bias.add(v * $L::N), $mask)
                } else {
                    $L::load($t.bias.add(v * $L::N))
                };
            });
        }
        let reads = $t.beta != T::ZERO;
        unrolled!(ROWS, i, {
            across!(NV, v, {
                let c = $t.c.add(i * $t.ldc + v * $L::N);
                let mut y = $L::fma(alpha, $acc[i][v], bias[v]);
                if $MASKED && v + 1 == NV {
                    if reads {
                        y = $L::fma(beta, $L::load_masked(c, $mask), y);
                    }
                    $L::store_masked(c, $mask, y);
                } else {
                    if reads {
                        y = $L::fma(beta, $L::load(c), y);
                    }
                    $L::store(c, y);
                }
            });
        });
    };
}

per_lanes! {
    /// A tile of ROWS rows and NV registers, the last of which may be partly used: (NV − 1)·N < n <= NV·N, NV <= 4.
    unsafe fn tile<T, L, const ROWS: usize, const NV: usize, const BY_ROWS: bool>(t: &Tile<T>) {
        // Tiles that would not fit are never asked for (`kernel`); the test keeps their code out of the program.
        if const { ROWS <= fit(L::REGISTERS, size_of::<T>(), NV) } {
            let mut acc = [[L::zero(); 4]; MR];
            // C is wanted only at the end: its way from memory is hidden behind long sums.
            if t.k >= 64 {
                unrolled!(ROWS, i, {
                    across!(NV, v, { prefetch(t.c.wrapping_add(i * t.ldc + v * L::N)) });
                });
            }
            let mask = L::mask(t.n - (NV - 1) * L::N);
            // The shapes of tiles that stream through B.
            let ahead = const { ROWS >= 6 && NV == 2 } && t.ahead > 0;
            if const { !L::FREE_MASKS } && t.n == NV * L::N {
                if ahead {
                    accumulate!(L, t, acc, false, mask, true);
                } else {
                    accumulate!(L, t, acc, false, mask, false);
                }
                finish!(L, t, acc, false, mask);
            } else {
                if ahead {
                    accumulate!(L, t, acc, true, mask, true);
                } else {
                    accumulate!(L, t, acc, true, mask, false);
                }
                finish!(L, t, acc, true, mask);
            }
        }
    }
}

macro_rules! by_rows {
    ($T:ident, $isa:ident, $rows:ident, $nv:literal, $by_rows:ident, $($r:literal)*) => {
        match $rows {
            $($r => tile::<$T, $r, $nv, $by_rows>($isa),)*
            _ => unreachable!("a tile of {} rows and {} registers", $rows, $nv),
        }
    };
}

/// The kernel for a tile of `rows` rows (at most [`most_rows`]) and `nv` registers (1 to 4).
#[inline]
pub(super) fn kernel<T: Real>(isa: Isa, rows: usize, nv: usize, a_by_rows: bool) -> Kernel<T> {
    debug_assert!(rows <= most_rows::<T>(isa, nv));
    if a_by_rows { pick::<T, true>(isa, rows, nv) } else { pick::<T, false>(isa, rows, nv) }
}

#[inline]
fn pick<T: Real, const BY_ROWS: bool>(isa: Isa, rows: usize, nv: usize) -> Kernel<T> {
    match nv {
        1 => by_rows!(T, isa, rows, 1, BY_ROWS, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        2 => by_rows!(T, isa, rows, 2, BY_ROWS, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        3 => by_rows!(T, isa, rows, 3, BY_ROWS, 1 2 3 4 5 6),
        _ => by_rows!(T, isa, rows, 4, BY_ROWS, 1 2 3 4 5 6),
    }
}

per_lanes! {
    /// Copies `rows` vectors of `k` elements into one panel: element (i, p) from i·rs + p·ks to p·width + i.
    unsafe fn panel<T, L>(src: *const T, rs: usize, ks: usize, rows: usize, k: usize, width: usize, dst: *mut T) {
        let mut i = 0;
        while i < rows {
            let n = if rows - i < L::N { rows - i } else { L::N };
            let (src, dst) = (src.add(i * rs), dst.add(i));
            let mut p = 0;
            if rs == 1 {
                let mask = L::mask(n);
                while p < k {
                    let (src, dst) = (src.add(p * ks), dst.add(p * width));
                    if n == L::N {
                        L::store(dst, L::load(src));
                    } else {
                        L::store_masked(dst, mask, L::load_masked(src, mask));
                    }
                    p += 1;
                }
            }
            if ks == 1 {
                while p + L::N <= k {
                    turn::<L>(src.add(p), rs, n, L::N, dst.add(p * width), width);
                    p += L::N;
                }
                // A turn takes as long as this many single elements.
                if (k - p) * n > 32 {
                    turn::<L>(src.add(p), rs, n, k - p, dst.add(p * width), width);
                    p = k;
                }
            }
            while p < k {
                let mut r = 0;
                while r < n {
                    *dst.add(p * width + r) = *src.add(r * rs + p * ks);
                    r += 1;
                }
                p += 1;
            }
            i += L::N;
        }
    }
}

/// Transposes a square of registers of which n rows and k columns are there: row r from r·from to column r of rows `to` apart.
#[inline(always)]
unsafe fn turn<L: Lanes>(src: *const L::T, from: usize, n: usize, k: usize, dst: *mut L::T, to: usize) {
    let v = turned::<L>(src, from, n, k);
    if n == L::N && k == L::N {
        each_row!(L::N, p, { L::store(dst.add(p * to), v[p]) });
    } else {
        let mask = L::mask(n);
        each_row!(L::N, p, {
            if p < k {
                L::store_masked(dst.add(p * to), mask, v[p]);
            }
        });
    }
}

/// The columns of n rows of k elements, `from` apart.
#[inline(always)]
unsafe fn turned<L: Lanes>(src: *const L::T, from: usize, n: usize, k: usize) -> [L::V; 16] {
    let mut v = [L::zero(); 16];
    if n == L::N && k == L::N {
        each_row!(L::N, r, { v[r] = L::load(src.add(r * from)) });
    } else {
        let mask = L::mask(k);
        each_row!(L::N, r, {
            if r < n {
                v[r] = L::load_masked(src.add(r * from), mask);
            }
        });
    }
    // Each round shuffles the rows as a deck of cards is riffled, and so their elements: after log2 N rounds element (r, p)
    // is at (p, r).
    macro_rules! riffle {
        () => {{
            let mut w = v;
            unrolled!(@ L::N / 2, r, { (w[2 * r], w[2 * r + 1]) = L::zip(v[r], v[r + L::N / 2]) }, 0 1 2 3 4 5 6 7);
            v = w;
        }};
    }
    riffle!();
    if const { L::N > 2 } {
        riffle!();
    }
    if const { L::N > 4 } {
        riffle!();
    }
    if const { L::N > 8 } {
        riffle!();
    }
    v
}

per_lanes! {
    /// c_ij = x_ji + bias_j + beta·c_ij for m rows and n columns of c; x has rows of m elements.
    unsafe fn turn_out<T, L>(m: usize, n: usize, x: *const T, beta: T, bias: *const T, c: *mut T, ldc: usize) {
        let factor = L::splat(beta);
        let mut j = 0;
        while j < n {
            let columns = if n - j < L::N { n - j } else { L::N };
            let mask = L::mask(columns);
            let bias = if bias.is_null() { L::zero() } else { L::load_masked(bias.add(j), mask) };
            let mut i = 0;
            while i < m {
                let rows = if m - i < L::N { m - i } else { L::N };
                let v = turned::<L>(x.add(j * m + i), m, columns, rows);
                each_row!(L::N, r, {
                    if r < rows {
                        let c = c.add((i + r) * ldc + j);
                        let mut y = L::add(v[r], bias);
                        if beta != T::ZERO {
                            y = L::fma(factor, L::load_masked(c, mask), y);
                        }
                        L::store_masked(c, mask, y);
                    }
                });
                i += L::N;
            }
            j += L::N;
        }
    }
}

/// Columns of C whose sums run side by side.
pub(super) const SIDE_BY_SIDE: usize = 4;

per_lanes! {
    /// m rows and n columns of C = alpha·A·Bᵀ + beta·C + bias where rows of both operands lie in one piece and there are few of A: every
    /// element is a sum of products of registers, then over their lanes.
    unsafe fn dots<T, L>(m: usize, n: usize, t: &Tile<T>) {
        let mut j = 0;
        while j < n {
            let columns = if n - j < SIDE_BY_SIDE { n - j } else { SIDE_BY_SIDE };
            let mut i = 0;
            while i < m {
                let (a, b) = (t.a.add(i * t.stride), t.b.add(j * t.ldb));
                // Two sums for each column: four of one operation in flight are not enough.
                let mut acc = [[L::zero(); 4]; 2];
                let mut p = 0;
                while p + 2 * L::N <= t.k {
                    let (a0, a1) = (L::load(a.add(p)), L::load(a.add(p + L::N)));
                    across!(SIDE_BY_SIDE, v, {
                        // Beyond the last column the last one is computed again.
                        let b = b.add((if v < columns { v } else { columns - 1 }) * t.ldb + p);
                        acc[0][v] = L::fma(a0, L::load(b), acc[0][v]);
                        acc[1][v] = L::fma(a1, L::load(b.add(L::N)), acc[1][v]);
                    });
                    p += 2 * L::N;
                }
                let mut h = 0;
                while p < t.k {
                    let mask = L::mask(if t.k - p < L::N { t.k - p } else { L::N });
                    let a = L::load_masked(a.add(p), mask);
                    across!(SIDE_BY_SIDE, v, {
                        let b = b.add((if v < columns { v } else { columns - 1 }) * t.ldb + p);
                        acc[h][v] = L::fma(a, L::load_masked(b, mask), acc[h][v]);
                    });
                    (p, h) = (p + L::N, 1);
                }
                across!(SIDE_BY_SIDE, v, {
                    if v < columns {
                        let c = t.c.add(i * t.ldc + j + v);
                        let mut y = t.alpha * L::sum(L::add(acc[0][v], acc[1][v]));
                        if !t.bias.is_null() {
                            y += *t.bias.add(j + v);
                        }
                        if t.beta != T::ZERO {
                            y += t.beta * *c;
                        }
                        *c = y;
                    }
                });
                i += 1;
            }
            j += SIDE_BY_SIDE;
        }
    }
}

/// The rows of A and columns of C that `first`, whose rows of B are those of Bᵀ, begins; all sums over k at once.
///
/// # Safety
/// All elements are valid, and the instruction set is present.
pub(super) unsafe fn dot_products<T: Real>(isa: Isa, [m, n]: [usize; 2], first: &Tile<T>) {
    dots::<T>(isa)(m, n, first);
}

/// c_ij = x_ji + bias_j + beta·c_ij for m rows and n columns of c; x has rows of m elements.
///
/// # Safety
/// All these elements are valid; `bias` may be null.
pub(super) unsafe fn write_transposed<T: Real>(
    isa: Isa,
    [m, n]: [usize; 2],
    x: *const T,
    beta: T,
    bias: *const T,
    c: *mut T,
    ldc: usize,
) {
    turn_out::<T>(isa)(m, n, x, beta, bias, c, ldc);
}

/// Packs `rows` vectors of `k` elements as panels of `width` vectors, one panel after the other.
///
/// # Safety
/// All elements i·rs + p·ks are valid, and so are ceil(rows/width)·width·k elements from `dst`.
pub(super) unsafe fn pack<T: Real>(
    isa: Isa,
    src: *const T,
    (rs, ks): (usize, usize),
    rows: usize,
    k: usize,
    width: usize,
    dst: *mut T,
) {
    let panel = panel::<T>(isa);
    for first in (0..rows).step_by(width) {
        panel(src.add(first * rs), rs, ks, width.min(rows - first), k, width, dst.add(first * k));
    }
}
