//! The loops around the tiles of a convolution: packing weights, copying units, sharing both among threads.
//!
//! No operand is packed or copied but weights, which are small, and inputs that need zeros around them, once per unit.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use super::conv_micro::{EACH, Kernels, LINES, RUNS, Tile};
use super::conv_plan::{Gather, Part, Place};
use super::epilogue::{Affine, Epilogue};
use crate::Real;
use crate::device::{Cpu, Isa, per_isa};
use crate::memory::GradMode;

/// What happens to a result on its way to memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a, T> {
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

/// What follows a convolution, done for a unit's outputs while they are in the cache.
#[derive(Debug)]
pub(crate) struct After<'a, T> {
    pub epilogue: &'a Epilogue,
    /// Channels of the output, and their map.
    pub c: usize,
    pub affine: Option<Affine<'a, T>>,
    /// The outputs of a unit, for each task.
    pub units: &'a mut [T],
}

/// A pointer that tasks share; each writes elements of its own.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(pub *mut T);
// SAFETY: the tasks of one `run` touch disjoint elements (each function below says which).
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// By method, so that closures capture the wrapper.
    pub fn at(&self, offset: usize) -> *mut T {
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

/// y = gather(x, packed) with an end and what comes after it; `copies` holds a unit for each of `tasks` tasks.
#[allow(clippy::too_many_arguments)]
pub(super) fn gather<T: Real>(
    cpu: &Cpu,
    g: &Gather,
    lanes: usize,
    tasks: usize,
    x: &[T],
    packed: &[T],
    end: End<'_, T>,
    after: Option<After<'_, T>>,
    y: &mut [T],
    copies: &mut [T],
) {
    let pooled = after.as_ref().map_or(1, |after| after.epilogue.share());
    let rows = y.len() * pooled / g.output.len();
    let (units, panels) = (g.units(rows), g.columns().1.div_ceil(2 * lanes));
    // Few units and many filters: several tasks share a unit.
    let shares = (2 * tasks).div_ceil(units).min(panels);
    let items = units * shares;
    let tasks = tasks.min(items);
    let copy_len = g.copy_len();
    let (out, copies) = (Shared(y.as_mut_ptr()), Shared(copies.as_mut_ptr()));
    let mut after = after;
    let rest = Shared(after.as_mut().map_or(std::ptr::null_mut(), |after| after.units.as_mut_ptr()));
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
                let base = g.output_base(start);
                let c = if after.is_some() { rest.at(task * g.unit_len()) } else { out.at(base) };
                // SAFETY: the tables were made for these arrays; items write disjoint outputs and columns. With something to
                // follow, the outputs of a unit are one piece (`Gather::whole`), and lie in the task's own part of `units`.
                unsafe { part_of_unit(cpu.isa(), g, part, lanes, a, places, packed, end, range.clone(), c) };
                if let Some(After { epilogue, c: channels, affine, .. }) = &after {
                    let (len, columns) = (places.len() * g.output.c, 2 * lanes);
                    // Panels are ranges of channels, unless all are in one.
                    let some =
                        if shares == 1 { 0..*channels } else { range.start * columns..(range.end * columns).min(*channels) };
                    // SAFETY: as above; bands of a unit become rows of y that belong to it alone, these channels of them to this item.
                    unsafe {
                        let z = std::slice::from_raw_parts(c, len);
                        epilogue.forward_at(cpu, (*channels, affine.as_ref()), some, z, out.at(base / pooled));
                    }
                }
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
