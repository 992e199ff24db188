//! The loops under every convolution: a register tile of MR rows by NV vectors, fed by offsets from tables.
//!
//! c[m][j] (+)= b[j] + Σ_s Σ_k a[from(m) + a(s) + k·a_step]·w[b(s) + k·w_step + j]. For outputs (a *gather*), m is a pixel,
//! s a run of input elements under its window, and w packed weights. For weight gradients, m is a weight row (tap and
//! channel), s a line of output pixels, k a pixel in the line, and w is dy where it lies. Depthwise, a is a vector over
//! channels, as w is.
// Register tiles are indexed by constants, so that they stay in registers.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn, clippy::needless_range_loop)]

use super::conv_plan::{Place, Segment};
use super::simd::{Lanes, Simd, per_lanes};
use crate::Real;
use crate::device::Isa;

/// What a tile computes; see the module.
#[derive(Clone, Copy)]
pub(super) struct Tile<T> {
    pub a: *const T,
    pub places: *const Place,
    pub segments: *const Segment,
    pub count: usize,
    pub k: usize,
    pub a_step: usize,
    pub w: *const T,
    /// Elements per unit of `Segment::b`.
    pub w_unit: usize,
    pub w_step: usize,
    pub c: *mut T,
    /// Valid columns and rows; the others are computed and dropped.
    pub columns: usize,
    pub rows: usize,
    pub bias: *const T,
    pub add: bool,
    pub relu: bool,
}

/// Accumulators that fit into so many registers beside the operands. Double precision is for checks, and does with the
/// fewer kernels.
const fn accumulators<T>(registers: usize) -> usize {
    if registers >= 32 && size_of::<T>() == 4 { 28 } else { 12 }
}

per_lanes! {
    /// One tile of a KIND.
    unsafe fn tile<T, L, const MR: usize, const NV: usize, const KIND: u8>(t: &Tile<T>) {
        // Tiles that do not fit the registers of this instruction set are never chosen, and not compiled.
        if MR * NV > accumulators::<T>(L::REGISTERS) {
            return;
        }
        let last = L::mask(t.columns - (NV - 1) * L::N);
        let whole = t.columns == NV * L::N;
        // Where masks cost something (registers of 128 bits), whole vectors go without.
        let free = L::N * size_of::<T>() == 16 && whole;
        let mut p = [t.a; MR];
        for m in 0..MR {
            p[m] = t.a.add((*t.places.add(m)).from);
            if KIND == LINES {
                // The gradients of large layers lie in main memory.
                let c = t.c.wrapping_add((*t.places.add(m)).to);
                prefetch(c);
                prefetch(c.wrapping_add((NV - 1) * L::N));
            }
        }
        let mut acc = [[L::zero(); NV]; MR];
        for s in 0..t.count {
            let segment = *t.segments.add(s);
            let mut w = t.w.add(segment.b * t.w_unit);
            let mut at = segment.a;
            for _ in 0..t.k {
                let mut b = [L::zero(); NV];
                for v in 0..NV {
                    let cut = KIND != RUNS && v + 1 == NV && !free;
                    b[v] = if cut { L::load_masked(w.add(v * L::N), last) } else { L::load(w.add(v * L::N)) };
                }
                for m in 0..MR {
                    let p = p[m].add(at);
                    if KIND == EACH {
                        for v in 0..NV {
                            let p = p.add(v * L::N);
                            let a = if v + 1 == NV && !free { L::load_masked(p, last) } else { L::load(p) };
                            acc[m][v] = L::fma(a, b[v], acc[m][v]);
                        }
                    } else {
                        let a = L::splat(*p);
                        for v in 0..NV {
                            acc[m][v] = L::fma(a, b[v], acc[m][v]);
                        }
                    }
                }
                w = w.wrapping_add(t.w_step);
                at = at.wrapping_add(t.a_step);
            }
        }
        let mut bias = [L::zero(); NV];
        if !t.bias.is_null() {
            for v in 0..NV {
                bias[v] = if v + 1 == NV { L::load_masked(t.bias.add(v * L::N), last) } else { L::load(t.bias.add(v * L::N)) };
            }
        }
        // NaN passes: `max` returns its second argument.
        let floor = L::splat(if t.relu { <T as Real>::ZERO } else { <T as Real>::LOWEST });
        for m in 0..MR {
            if m < t.rows {
                let c = t.c.add((*t.places.add(m)).to);
                for v in 0..NV {
                    let c = c.add(v * L::N);
                    let mut x = L::add(acc[m][v], bias[v]);
                    if whole || v + 1 < NV {
                        if t.add {
                            x = L::add(L::load(c), x);
                        }
                        L::store(c, L::max(floor, x));
                    } else {
                        if t.add {
                            x = L::add(L::load_masked(c, last), x);
                        }
                        L::store_masked(c, last, L::max(floor, x));
                    }
                }
            }
        }
    }
}

/// Kinds of tiles. Of outputs: w is packed, in whole vectors.
pub(super) const RUNS: u8 = 0;
/// Of weight gradients: w ends with its columns.
pub(super) const LINES: u8 = 1;
/// Depthwise: a and w are vectors that end with their columns.
pub(super) const EACH: u8 = 2;

/// Asks for the cache line at `p`, which may lie anywhere.
#[inline(always)]
unsafe fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

type Kernel<T> = unsafe fn(&Tile<T>);

/// The smallest tile of a kind with at least `rows` rows of 1 or 2 vectors.
fn kernel<T: Real>(isa: Isa, rows: usize, vectors: usize, kind: u8) -> Kernel<T> {
    macro_rules! pick {
        ($nv:literal, $kind:ident: $($mr:literal)*) => {
            $(if rows <= $mr { return tile::<T, $mr, $nv, $kind>(isa); })*
        };
    }
    match (vectors, kind) {
        (1, RUNS) => {
            pick!(1, RUNS: 1 2 4 6 9 12 14);
        }
        (_, RUNS) => {
            pick!(2, RUNS: 1 2 4 6 9 12 14);
        }
        (1, LINES) => {
            pick!(1, LINES: 1 2 4 6 9 12 14);
        }
        (_, LINES) => {
            pick!(2, LINES: 1 2 4 6 9 12 14);
        }
        (1, _) => {
            pick!(1, EACH: 1 2 4 6);
        }
        (_, _) => {
            pick!(2, EACH: 1 2 4 6);
        }
    }
    unreachable!("tiles have at most 14 rows")
}

/// The most rows of a tile.
fn tile_rows<T: Real>(isa: Isa, vectors: usize, kind: u8) -> usize {
    let registers = match isa {
        Isa::Avx512 => <T as Simd>::Avx512::REGISTERS,
        Isa::Avx2 => <T as Simd>::Avx2::REGISTERS,
        Isa::Portable => <T as Simd>::Portable::REGISTERS,
    };
    match (accumulators::<T>(registers), vectors) {
        _ if kind == EACH => 6,
        (28, _) => 14,
        (_, 1) => 12,
        _ => 6,
    }
}

/// A kernel for whole tiles of some width and one for each remainder.
pub(super) struct Kernels<T> {
    isa: Isa,
    /// Rows of a whole tile.
    pub rows: usize,
    vectors: usize,
    kind: u8,
    whole: Kernel<T>,
}

impl<T: Real> Kernels<T> {
    pub fn new(isa: Isa, columns: usize, lanes: usize, kind: u8) -> Self {
        let vectors = columns.div_ceil(lanes);
        let rows = tile_rows::<T>(isa, vectors, kind);
        Self { isa, rows, vectors, kind, whole: kernel(isa, rows, vectors, kind) }
    }

    /// All rows in `places`, tile by tile.
    ///
    /// # Safety
    /// Every offset in the tables, added to the bases in `t`, lies within its array.
    pub unsafe fn run(&self, mut t: Tile<T>, places: &[Place]) {
        let mut whole = places.chunks_exact(self.rows);
        for places in &mut whole {
            t.places = places.as_ptr();
            t.rows = self.rows;
            (self.whole)(&t);
        }
        let rest = whole.remainder();
        if let Some(&first) = rest.first() {
            // The kernel may be taller than the rest: its further rows repeat the first and are not stored.
            let mut few = [first; 14];
            few[..rest.len()].copy_from_slice(rest);
            t.places = few.as_ptr();
            t.rows = rest.len();
            kernel(self.isa, rest.len(), self.vectors, self.kind)(&t);
        }
    }
}
