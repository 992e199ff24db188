//! The micro-kernels of GEMM: a register tile of the product, and the packing of panels.
//!
//! Each element of C is one chain c = fma(a_ip, b_pj, c) over p in order, whatever the tile, the packing and the masks:
//! how the product is cut along m and n has no influence on its bits.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use super::simd::{per_lanes, registers};
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
    fit(registers::<T>(isa).1, nv)
}

const fn fit(registers: usize, nv: usize) -> usize {
    let rows = (registers - 1 - nv) / nv;
    if rows < MR { rows } else { MR }
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
    ($L:ident, $t:ident, $acc:ident, $MASKED:expr, $mask:ident) => {
        let mut b = $t.b;
        if const { BY_ROWS } {
            let mut p = 0;
            // Four steps a turn, so that the addresses of the rows are computed once for four.
            while p + 4 <= $t.k {
                let mut u = 0;
                while u < 4 {
                    rank_one!($L, $acc, b, $MASKED, $mask, |i| *$t.a.add(i * $t.stride + p + u));
                    b = b.add($t.ldb);
                    u += 1;
                }
                p += 4;
            }
            while p < $t.k {
                rank_one!($L, $acc, b, $MASKED, $mask, |i| *$t.a.add(i * $t.stride + p));
                b = b.add($t.ldb);
                p += 1;
            }
        } else {
            let mut a = $t.a;
            let mut p = 0;
            while p < $t.k {
                rank_one!($L, $acc, b, $MASKED, $mask, |i| *a.add(i));
                a = a.add($t.stride);
                b = b.add($t.ldb);
                p += 1;
            }
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
    /// A tile of ROWS rows and NV registers, the last of which may be partly used: (NV − 1)·N < n <= NV·N.
    unsafe fn tile<T, L, const ROWS: usize, const NV: usize, const BY_ROWS: bool>(t: &Tile<T>) {
        // Tiles that would not fit are never asked for (`kernel`); the test keeps their code out of the program.
        if const { ROWS <= fit(L::REGISTERS, NV) } {
            let mut acc = [[L::zero(); 4]; MR];
            let mask = L::mask(t.n - (NV - 1) * L::N);
            if t.n == NV * L::N {
                accumulate!(L, t, acc, false, mask);
                finish!(L, t, acc, false, mask);
            } else {
                accumulate!(L, t, acc, true, mask);
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

/// The kernel for a tile of `rows` rows (at most [`most_rows`]) and `nv` registers (1, 2 or 4).
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
        _ => by_rows!(T, isa, rows, 4, BY_ROWS, 1 2 3 4 5 6),
    }
}

per_lanes! {
    /// Copies `rows` vectors of `k` elements into one panel: element (i, p) from i·rs + p·ks to p·width + i.
    unsafe fn panel<T, L>(src: *const T, rs: usize, ks: usize, rows: usize, k: usize, width: usize, dst: *mut T) {
        if rs == 1 {
            let (whole, rest) = (rows / L::N, rows % L::N);
            let mask = L::mask(rest);
            let mut p = 0;
            while p < k {
                let (src, dst) = (src.add(p * ks), dst.add(p * width));
                let mut v = 0;
                while v < whole {
                    L::store(dst.add(v * L::N), L::load(src.add(v * L::N)));
                    v += 1;
                }
                if rest > 0 {
                    L::store_masked(dst.add(v * L::N), mask, L::load_masked(src.add(v * L::N), mask));
                }
                p += 1;
            }
        } else {
            let mut p = 0;
            while p < k {
                let mut i = 0;
                while i < rows {
                    *dst.add(p * width + i) = *src.add(i * rs + p * ks);
                    i += 1;
                }
                p += 1;
            }
        }
    }
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
