//! The loops under every convolution: a register tile of MR rows by NV vectors, fed by offsets from tables.
//!
//! c[m][j] (+)= b[j] + Σ_s Σ_k a[from(m) + a(s) + k·a_step]·w[b(s) + k·w_step + j]. For outputs (a *gather*), m is a pixel,
//! s a run of input elements under its window, and w packed weights. For weight gradients, m is a weight row (tap and
//! channel), s a line of output pixels, k a pixel in the line, and w is dy where it lies. No operand is packed or copied
//! but weights, which are small, and inputs that need zeros around them, once per unit. Depthwise, a is a vector over
//! channels, as w is.
// Register tiles are indexed by constants, so that they stay in registers.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn, clippy::needless_range_loop)]

use super::conv_plan::{Gather, Part, Place, Segment};
use super::simd::per_lanes;
use crate::Real;
use crate::device::{Cpu, Isa, per_isa};
use crate::memory::GradMode;

/// What a tile computes; see the module.
#[derive(Clone, Copy)]
pub(super) struct Tile<T> {
    a: *const T,
    places: *const Place,
    segments: *const Segment,
    count: usize,
    k: usize,
    a_step: usize,
    w: *const T,
    /// Elements per unit of `Segment::b`.
    w_unit: usize,
    w_step: usize,
    c: *mut T,
    /// Valid columns and rows; the others are computed and dropped.
    columns: usize,
    rows: usize,
    bias: *const T,
    add: bool,
    relu: bool,
}

/// What happens to a result on its way to memory.
#[derive(Clone, Copy, Debug)]
pub struct End<'a, T> {
    /// Added to every row.
    pub bias: Option<&'a [T]>,
    /// Whether negative results become 0.
    pub relu: bool,
    /// Whether to overwrite, or to add to what is there (then without bias and ReLU).
    pub mode: GradMode,
}

impl<T> End<'_, T> {
    /// The plain result.
    pub const fn plain(mode: GradMode) -> Self {
        Self { bias: None, relu: false, mode }
    }
}

/// Accumulators that fit into the registers beside the operands: 28 of 32, or 12 of 16.
const fn accumulators(bytes: usize) -> usize {
    if bytes == 64 { 28 } else { 12 }
}

per_lanes! {
    /// One tile of a KIND.
    unsafe fn tile<T, L, const MR: usize, const NV: usize, const KIND: u8>(t: &Tile<T>) {
        // Tiles that do not fit the registers of this instruction set are never chosen, and not compiled.
        if MR * NV > accumulators(L::N * size_of::<T>()) {
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
const RUNS: u8 = 0;
/// Of weight gradients: w ends with its columns.
const LINES: u8 = 1;
/// Depthwise: a and w are vectors that end with their columns.
const EACH: u8 = 2;

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
fn tile_rows(isa: Isa, vectors: usize, kind: u8) -> usize {
    match (isa, vectors) {
        _ if kind == EACH => 6,
        (Isa::Avx512, _) => 14,
        (_, 1) => 12,
        _ => 6,
    }
}

/// A kernel for whole tiles of some width and one for each remainder.
struct Kernels<T> {
    isa: Isa,
    rows: usize,
    vectors: usize,
    kind: u8,
    whole: Kernel<T>,
}

impl<T: Real> Kernels<T> {
    fn new(isa: Isa, columns: usize, lanes: usize, kind: u8) -> Self {
        let vectors = columns.div_ceil(lanes);
        let rows = tile_rows(isa, vectors, kind);
        Self { isa, rows, vectors, kind, whole: kernel(isa, rows, vectors, kind) }
    }

    /// All rows in `places`, tile by tile.
    ///
    /// # Safety
    /// Every offset in the tables, added to the bases in `t`, lies within its array.
    unsafe fn run(&self, mut t: Tile<T>, places: &[Place]) {
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

/// A pointer that tasks share; each writes elements of its own.
#[derive(Clone, Copy)]
struct Shared<T>(*mut T);
// SAFETY: the tasks of one `run` touch disjoint elements (each function below says which).
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// By method, so that closures capture the wrapper.
    fn at(&self, offset: usize) -> *mut T {
        // SAFETY: callers pass offsets within the array.
        unsafe { self.0.add(offset) }
    }
}

/// Columns of all panels: whole registers, so that packed weights are read without masks.
pub(super) fn padded(columns: usize, lanes: usize) -> usize {
    columns.next_multiple_of(lanes)
}

/// Elements of the packed weights of a gather.
pub(super) fn packed_len(g: &Gather, lanes: usize) -> usize {
    let rows: usize = g.parts.iter().map(|p| p.rows.len()).sum();
    if g.each { rows * g.groups } else { rows * g.groups * padded(g.output.c / g.groups, lanes) }
}

/// Where panel `j` of `group` begins in the packed weights.
fn panel(g: &Gather, part: &Part, group: usize, j: usize, lanes: usize) -> usize {
    let width = padded(g.output.c / g.groups, lanes);
    (part.before * g.groups + part.rows.len() * group) * width + part.rows.len() * j * 2 * lanes
}

/// Packs weights [tap][c/groups][f]: for each part, group and panel of two vectors, the panel's columns of each weight
/// row. `flip` exchanges the two channels: panels are columns over c, rows over (tap, f). Depthwise weights are only put
/// into the order of the taps.
pub(super) fn pack<T: Real>(cpu: &Cpu, g: &Gather, flip: bool, lanes: usize, w: &[T], packed: &mut [T]) {
    if g.each {
        let taps = g.parts.iter().flat_map(|p| &p.taps);
        for (out, tap) in packed.chunks_exact_mut(g.groups).zip(taps) {
            out.copy_from_slice(&w[tap * g.groups..][..g.groups]);
        }
        return;
    }
    let panels = (g.output.c / g.groups).div_ceil(2 * lanes);
    let rows = g.parts.iter().map(|p| p.rows.len()).max().unwrap_or(0);
    // Whichever operand is contiguous is read in order: whole rows, or a panel of them turned round.
    let pieces = if flip { panels } else { rows.div_ceil(PACK) };
    let (len, tasks) = (packed.len(), g.parts.len() * g.groups * pieces);
    let shared = Shared(packed.as_mut_ptr());
    let task = |i: usize| {
        let (piece, group, part) = (i % pieces, i / pieces % g.groups, &g.parts[i / pieces / g.groups]);
        if flip {
            pack_panel(g, part, group, piece, lanes, w, shared);
        } else {
            let end = part.rows.len();
            pack_rows(g, part, group, (piece * PACK).min(end)..((piece + 1) * PACK).min(end), lanes, w, shared);
        }
    };
    if len < 64 * 1024 { (0..tasks).for_each(task) } else { cpu.run(tasks, &task) }
}

/// Weight rows that one task packs.
const PACK: usize = 64;

/// Columns of panel `j` with and without padding.
fn widths(g: &Gather, j: usize, lanes: usize) -> (usize, usize) {
    let valid = (g.output.c / g.groups - j * 2 * lanes).min(2 * lanes);
    (valid, padded(valid, lanes))
}

/// Puts some rows of w into all panels.
fn pack_rows<T: Real>(
    g: &Gather,
    part: &Part,
    group: usize,
    rows: std::ops::Range<usize>,
    lanes: usize,
    w: &[T],
    packed: Shared<T>,
) {
    let (k, columns) = (g.input.c / g.groups, g.output.c / g.groups);
    for r in rows {
        let w = &w[(part.taps[r / k] * k + r % k) * g.output.c + group * columns..][..columns];
        for (j, w) in w.chunks(2 * lanes).enumerate() {
            let (valid, width) = widths(g, j, lanes);
            // SAFETY: row r of a panel; panels do not overlap, and each row belongs to one task.
            let out = unsafe { std::slice::from_raw_parts_mut(packed.at(panel(g, part, group, j, lanes) + r * width), width) };
            out[..valid].copy_from_slice(w);
            out[valid..].fill(T::ZERO);
        }
    }
}

/// Puts the transpose of w into one panel.
fn pack_panel<T: Real>(g: &Gather, part: &Part, group: usize, j: usize, lanes: usize, w: &[T], packed: Shared<T>) {
    let (k, columns) = (g.input.c / g.groups, g.output.c / g.groups);
    let (valid, width) = widths(g, j, lanes);
    let start = panel(g, part, group, j, lanes);
    // SAFETY: panels lie one after another and do not overlap; each task has one.
    let out = unsafe { std::slice::from_raw_parts_mut(packed.at(start), part.rows.len() * width) };
    for (tap, out) in part.taps.iter().zip(out.chunks_exact_mut(k * width)) {
        // A cache line of each row of w at a time.
        for (block, out) in out.chunks_mut(16 * width).enumerate() {
            for i in 0..width {
                if i >= valid {
                    out.iter_mut().skip(i).step_by(width).for_each(|o| *o = T::ZERO);
                    continue;
                }
                let first = (tap * columns + j * 2 * lanes + i) * g.input.c + group * k + block * 16;
                for (o, w) in out.iter_mut().skip(i).step_by(width).zip(&w[first..]) {
                    *o = *w;
                }
            }
        }
    }
}

/// Copies the input of the unit that begins at `start` to `copy`, zeros outside of the image.
fn copy_unit<T: Real>(g: &Gather, x: &[T], start: [usize; 4], rows: usize, copy: &mut [T]) {
    let (input, c) = (g.input, g.input.c);
    let [ld, lh, lw] = g.input_start(start);
    let [sd, sh, sw] = g.span;
    let images = g.block[0].min(rows - start[0]);
    // The columns that lie inside the image.
    let (left, right) = ((-lw).clamp(0, sw as isize) as usize, (input.w as isize - lw).clamp(0, sw as isize) as usize);
    copy[..images * sd * sh * sw * g.pitch].fill(T::ZERO);
    for n in 0..images {
        for d in 0..sd {
            let qd = ld + d as isize;
            if qd < 0 || qd >= input.d as isize {
                continue;
            }
            for h in 0..sh {
                let qh = lh + h as isize;
                if qh < 0 || qh >= input.h as isize || left >= right {
                    continue;
                }
                let to = (((n * sd + d) * sh + h) * sw + left) * g.pitch;
                let row = ((start[0] + n) * input.d + qd as usize) * input.h + qh as usize;
                let from = (row * input.w + (lw + left as isize) as usize) * c;
                if g.pitch == c {
                    let len = (right - left) * c;
                    copy[to..to + len].copy_from_slice(&x[from..from + len]);
                } else {
                    let pixels = x[from..from + (right - left) * c].chunks_exact(c);
                    for (to, x) in copy[to..].chunks_mut(g.pitch).zip(pixels) {
                        to[..c].copy_from_slice(x);
                    }
                }
            }
        }
    }
}

/// The left operand of a unit: where its tables count from.
fn operand<T: Real>(g: &Gather, x: &[T], start: [usize; 4], rows: usize, copy: &mut [T]) -> *const T {
    if g.direct {
        let [d, h, w] = g.input_start(start).map(|i| i as usize);
        let offset = start[0] * g.input.len() + ((d * g.input.h + h) * g.input.w + w) * g.input.c;
        return x[offset..].as_ptr();
    }
    copy_unit(g, x, start, rows, copy);
    copy.as_ptr()
}

/// y = gather(x, packed) with an end; `copies` holds a unit for each of `tasks` tasks.
#[allow(clippy::too_many_arguments)]
pub(super) fn gather<T: Real>(
    cpu: &Cpu,
    g: &Gather,
    lanes: usize,
    tasks: usize,
    x: &[T],
    packed: &[T],
    end: End<'_, T>,
    y: &mut [T],
    copies: &mut [T],
) {
    let rows = y.len() / g.output.len();
    let (units, panels) = (g.units(rows), g.columns().1.div_ceil(2 * lanes));
    // Few units and many filters: several tasks share a unit.
    let shares = (2 * tasks).div_ceil(units).min(panels);
    let items = units * shares;
    let tasks = tasks.min(items);
    let copy_len = g.copy_len();
    let (out, copies) = (Shared(y.as_mut_ptr()), Shared(copies.as_mut_ptr()));
    let task = |task: usize| {
        // SAFETY: each task has its own part of `copies`, which holds `tasks` of them.
        let copy = unsafe { std::slice::from_raw_parts_mut(copies.at(task * copy_len), copy_len) };
        let (mut unit, mut a) = (usize::MAX, std::ptr::null());
        for item in task * items / tasks..(task + 1) * items / tasks {
            let start = g.start(item / shares);
            if item / shares != unit {
                unit = item / shares;
                a = operand(g, x, start, rows, copy);
            }
            let share = item % shares;
            let range = share * panels / shares..(share + 1) * panels / shares;
            for part in &g.parts {
                let valid = g.valid(part, start, rows);
                let places = &part.pixels[..valid.iter().product()];
                let c = out.at(g.output_base(start));
                // SAFETY: the tables were made for these arrays; items write disjoint outputs and columns.
                unsafe { part_of_unit(cpu.isa(), g, part, lanes, a, places, packed, end, range.clone(), c) };
            }
        }
    };
    if tasks == 1 { task(0) } else { cpu.run(tasks, &task) }
}

/// The outputs of one part in one unit at `c`, in a range of panels.
///
/// # Safety
/// The tables of `part` lie within the unit's input `a` and the output `c`.
#[allow(clippy::too_many_arguments)]
unsafe fn part_of_unit<T: Real>(
    isa: Isa,
    g: &Gather,
    part: &Part,
    lanes: usize,
    a: *const T,
    places: &[Place],
    packed: &[T],
    end: End<'_, T>,
    panels: std::ops::Range<usize>,
    c: *mut T,
) {
    let (groups, columns) = g.columns();
    let last = part.runs.len().div_ceil(part.together) - 1;
    for group in 0..groups {
        for j in panels.clone() {
            let first = j * 2 * lanes;
            let n = (columns - first).min(2 * lanes);
            let column = group * columns + first;
            let (a, w, width) = if g.each {
                (a.add(first), &packed[part.before * g.groups + first..], g.groups)
            } else {
                (a.add(group * (g.input.c / g.groups)), &packed[panel(g, part, group, j, lanes)..], padded(n, lanes))
            };
            let kernels = Kernels::new(isa, n, lanes, if g.each { EACH } else { RUNS });
            for (i, runs) in part.runs.chunks(part.together).enumerate() {
                let t = Tile {
                    a,
                    places: places.as_ptr(),
                    segments: runs.as_ptr(),
                    count: runs.len(),
                    k: part.run,
                    a_step: 1,
                    w: w.as_ptr(),
                    w_unit: width,
                    w_step: width,
                    c: c.add(column),
                    columns: n,
                    rows: 0,
                    bias: end.bias.filter(|_| i == 0).map_or(std::ptr::null(), |b| b[column..].as_ptr()),
                    add: i > 0 || end.mode == GradMode::Add,
                    relu: end.relu && i == last,
                };
                kernels.run(t, places);
            }
        }
    }
}

/// dw = Σ x·dy over all outputs, or dw += that. The units fall into `chunks` runs that sum on their own (into `sums`,
/// where there are several) and are added in order: the same bits for any number of threads.
#[allow(clippy::too_many_arguments)]
pub(super) fn weights<T: Real>(
    cpu: &Cpu,
    g: &Gather,
    lanes: usize,
    (tasks, chunks): (usize, usize),
    x: &[T],
    dy: &[T],
    dw: &mut [T],
    mode: GradMode,
    (copies, sums): (&mut [T], &mut [T]),
) {
    let rows = dy.len() / g.output.len();
    let units = g.units(rows);
    let chunks = chunks.min(units);
    let direct = chunks == 1;
    let len = dw.len();
    let complete = g.parts.iter().map(|p| p.rows.len()).sum::<usize>() * g.output.c == len;
    if !complete {
        // Taps that meet no output.
        match (direct, mode) {
            (true, GradMode::Write) => dw.fill(T::ZERO),
            (true, GradMode::Add) => {}
            (false, _) => sums[..chunks * len].fill(T::ZERO),
        }
    }
    let shares = (2 * tasks).div_ceil(chunks);
    let items = chunks * shares;
    let tasks = tasks.min(items);
    let copy_len = g.copy_len();
    let out = Shared(if direct { dw.as_mut_ptr() } else { sums[..chunks * len].as_mut_ptr() });
    let copies = Shared(copies.as_mut_ptr());
    let task = |task: usize| {
        // SAFETY: each task has its own part of `copies`, which holds `tasks` of them.
        let copy = unsafe { std::slice::from_raw_parts_mut(copies.at(task * copy_len), copy_len) };
        for item in task * items / tasks..(task + 1) * items / tasks {
            let (chunk, share) = (item / shares, item % shares);
            let range = chunk * units / chunks..(chunk + 1) * units / chunks;
            for unit in range.clone() {
                let first = unit == range.start;
                let c = if direct { out.0 } else { out.at(chunk * len) };
                let add = !first || direct && mode == GradMode::Add;
                let a = operand(g, x, g.start(unit), rows, copy);
                // SAFETY: `c` holds the weights; the rows of a share are written by this task alone.
                unsafe { weights_of_unit(cpu.isa(), g, lanes, a, dy, g.start(unit), rows, c, add, (share, shares)) };
            }
        }
    };
    if tasks == 1 {
        task(0)
    } else {
        cpu.run(tasks, &task)
    }
    if !direct {
        let sums = &sums[..chunks * len];
        cpu.split(SUM, dw, |i, dw| add_sums(cpu, sums, len, i * SUM, mode, dw));
    }
}

/// Elements of dw that one task adds up.
const SUM: usize = 4096;

per_isa! {
    /// dw (+)= Σ of the elements from `first` on of all sums, each `len` long.
    fn add_sums<T: Real>(cpu: &Cpu, sums: &[T], len: usize, first: usize, mode: GradMode, dw: &mut [T]) {
        let n = dw.len();
        for (i, sum) in sums.chunks_exact(len).enumerate() {
            let sum = &sum[first..first + n];
            if i == 0 && mode == GradMode::Write {
                dw.copy_from_slice(sum);
            } else {
                dw.iter_mut().zip(sum).for_each(|(dw, s)| *dw += *s);
            }
        }
    }
}

/// What one unit adds to the weight gradients `c`: the `share` of rows out of so many shares, all columns.
///
/// # Safety
/// The tables of `g` lie within the unit's input `a`, `dy` and `c`.
#[allow(clippy::too_many_arguments)]
unsafe fn weights_of_unit<T: Real>(
    isa: Isa,
    g: &Gather,
    lanes: usize,
    a: *const T,
    dy: &[T],
    start: [usize; 4],
    rows: usize,
    c: *mut T,
    add: bool,
    (share, shares): (usize, usize),
) {
    let (groups, columns) = g.columns();
    for part in &g.parts {
        let [n, d, h, k] = g.valid(part, start, rows);
        if add && n * d * h * k == 0 {
            continue;
        }
        let lines = &part.lines[..n * d * h];
        for group in 0..groups {
            for first in (0..columns).step_by(2 * lanes) {
                let kernels = Kernels::new(isa, (columns - first).min(2 * lanes), lanes, if g.each { EACH } else { LINES });
                let tiles = part.rows.len().div_ceil(kernels.rows);
                let share = share * tiles / shares * kernels.rows..(share + 1) * tiles / shares * kernels.rows;
                let places = &part.rows[share.start..share.end.min(part.rows.len())];
                let column = group * columns + first;
                let t = Tile {
                    a: a.add(if g.each { first } else { group * (g.input.c / g.groups) }),
                    places: places.as_ptr(),
                    segments: lines.as_ptr(),
                    count: lines.len(),
                    k,
                    a_step: g.stride[2] * g.pitch,
                    w: dy[(g.output_base(start) + column).min(dy.len())..].as_ptr(),
                    w_unit: 1,
                    w_step: g.step[2] * g.output.c,
                    c: c.add(column),
                    columns: (columns - first).min(2 * lanes),
                    rows: 0,
                    bias: std::ptr::null(),
                    add,
                    relu: false,
                };
                kernels.run(t, places);
            }
        }
    }
}
