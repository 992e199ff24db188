//! Sums in a fixed order.

use super::activation_cuda::CudaActivation;
use super::packs;
use crate::device::{Cpu, Cuda, Grid, Kernel, Ptr, Source, per_isa};
use crate::memory::{GradMode, Planner, Slot, Step};
use crate::{DType, Error, Real, Result};
use bytemuck::{Pod, Zeroable};

/// Columns summed side by side, in registers.
const WIDTH: usize = 64;
/// The most pieces into which the rows are cut.
const PIECES: usize = 32;
/// Elements of a piece: some microseconds of work.
const PIECE: usize = 1 << 15;

/// s_j = Σ_i x_ij, or s_j += Σ_i x_ij, over the rows of `c` elements in x.
///
/// Rows are summed in pieces whose number follows from the sizes alone, and the pieces in order.
#[inline(never)]
pub(crate) fn columns<T: Real>(cpu: &Cpu, x: &[T], c: usize, s: &mut [T], mode: GradMode) {
    debug_assert!(x.len().is_multiple_of(c) && s.len() == c);
    if in_order(x.len()) && c <= WIDTH {
        let mut sum = [T::ZERO; WIDTH];
        for row in x.chunks_exact(c) {
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += *x);
        }
        return deliver(&sum, s, mode);
    }
    let rows = x.len() / c;
    // Narrow rows are taken several at a time, and their sums added afterwards.
    let group = (WIDTH / c).max(1);
    let pieces = (x.len() / PIECE).clamp(1, PIECES);
    let piece = rows.div_ceil(pieces).next_multiple_of(group);
    let part = |i: usize| &x[(i * piece * c).min(x.len())..((i + 1) * piece * c).min(x.len())];
    for (first, s) in (0..c).step_by(WIDTH).zip(s.chunks_mut(WIDTH)) {
        let mut sum = [T::ZERO; WIDTH];
        if pieces == 1 {
            sum_rows(cpu, x, c, first, s.len(), group, &mut sum);
        } else {
            let mut sums = [[T::ZERO; WIDTH]; PIECES];
            cpu.split(1, &mut sums[..pieces], |i, sum| sum_rows(cpu, part(i), c, first, s.len(), group, &mut sum[0]));
            for part in &sums[..pieces] {
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += *part);
            }
        }
        deliver(&sum, s, mode);
    }
}

/// Whether so many elements are simply added row after row.
#[inline]
pub(super) fn in_order(len: usize) -> bool {
    len <= WIDTH
}

fn deliver<T: Real>(sum: &[T; WIDTH], s: &mut [T], mode: GradMode) {
    match mode {
        GradMode::Write => s.copy_from_slice(&sum[..s.len()]),
        GradMode::Add => s.iter_mut().zip(sum).for_each(|(s, sum)| *s += *sum),
    }
}

per_isa! {
    /// Adds columns first..first + width of all rows to the sums.
    fn sum_rows<T: Real>(cpu: &Cpu, x: &[T], c: usize, first: usize, width: usize, group: usize, sum: &mut [T; WIDTH]) {
        let mut acc = [T::ZERO; WIDTH];
        if width == WIDTH {
            for row in x.chunks_exact(c) {
                if let Some(row) = row[first..].first_chunk::<WIDTH>() {
                    for (acc, x) in acc.iter_mut().zip(row) {
                        *acc += *x;
                    }
                }
            }
            *sum = acc;
            return;
        }
        // The last columns of wide rows, or whole rows, `group` of them side by side.
        let (together, step) = if group > 1 { (group * c, group * c) } else { (width, c) };
        for rows in x.chunks(step) {
            for (acc, x) in acc.iter_mut().zip(rows[first..].iter().take(together)) {
                *acc += *x;
            }
        }
        for row in acc[..together].chunks(width) {
            for (sum, x) in sum.iter_mut().zip(row) {
                *sum += *x;
            }
        }
    }
}

/// Sums of columns on a GPU, as `reduce.cuh` takes them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct Columns {
    s: Ptr,
    work: Ptr,
    arrived: Ptr,
    rows: u64,
    part: u64,
    c: u32,
    width: u32,
    parts: u32,
    add: u32,
}

impl Columns {
    fn new(rows: usize, c: usize, (s, mode): (Ptr, GradMode), (work, arrived): (Ptr, Ptr)) -> (Self, Grid) {
        let part = rows.div_ceil(parts(rows, c)).max(1);
        let (parts, width) = (rows.div_ceil(part).max(1), c.next_power_of_two().min(WIDTH));
        let add = u32::from(mode == GradMode::Add);
        let (rows, part) = (rows as u64, part as u64);
        let columns = Self { s, work, arrived, rows, part, c: c as u32, width: width as u32, parts: parts as u32, add };
        (columns, Grid::xyz(c.div_ceil(width), parts, 1))
    }
}

/// A plan for the sums of `c` columns: how rows fall into parts follows from their number alone.
#[derive(Clone, Debug)]
pub(crate) struct ColumnSums {
    c: usize,
    /// Sums of the parts, and the counters of those that are done, which every launch leaves at 0.
    work: Option<(Slot, Slot)>,
    sum: Kernel<ColumnsArgs>,
    /// Where rows are whole packs.
    behind: Option<Kernel<BehindArgs>>,
}

/// As `BackwardColumnsArgs` in `activation_columns.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct BehindArgs {
    to: Columns,
    saved: Ptr,
    dy: Ptr,
    act: CudaActivation,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct ColumnsArgs {
    to: Columns,
    x: Ptr,
}

/// Elements that a block of the GPU sums at least, and about how many blocks fill it.
const PART: usize = 1 << 13;
const BLOCKS: usize = 1024;

/// Number of parts of so many rows.
fn parts(rows: usize, c: usize) -> usize {
    rows.saturating_mul(c.min(WIDTH)).div_ceil(PART).clamp(1, (BLOCKS / c.div_ceil(WIDTH)).max(1))
}

impl ColumnSums {
    /// For at most `rows` rows of `c` elements; `behind` an activation that is element by element, perhaps.
    pub fn plan(rows: usize, c: usize, behind: bool, p: &mut Planner<'_>) -> Result<Self> {
        let parts = parts(rows, c);
        // Memory of an arena is 0 at first.
        let work = (parts > 1).then(|| (p.scratch(DType::F32, parts * c), p.lasting(DType::U32, c)));
        let behind =
            if behind && packs::width(p, &[c]) > 1 { Some(p.typed_kernel(&BEHIND, "activation_columns")?) } else { None };
        Ok(Self { c, work, sum: packs::kernel(p, &REDUCE, "columns", packs::width(p, &[c]))?, behind })
    }

    /// dy ← dy·f′ for `rows` rows, and the sums of that: in one launch, where it can be. `saved` is x or y as the activation wants; an
    /// activation that is not element by element is none here.
    pub fn run_behind(
        &self,
        step: &Step<'_>,
        cuda: &Cuda,
        (act, saved): (CudaActivation, Ptr),
        (dy, rows): (Ptr, usize),
        to: (Ptr, GradMode),
    ) -> Result<bool> {
        let Some(behind) = &self.behind else { return Ok(false) };
        let (to, grid) = self.columns(step, rows, to)?;
        behind.launch(cuda, grid, &BehindArgs { to, saved, dy, act })?;
        Ok(true)
    }

    /// s_j = Σ_i x_ij, or s_j += Σ_i x_ij, in f32 over `rows` rows of x in the type of activations.
    pub fn run(&self, step: &Step<'_>, cuda: &Cuda, x: Ptr, rows: usize, to: (Ptr, GradMode)) -> Result<()> {
        let (to, grid) = self.columns(step, rows, to)?;
        self.sum.launch(cuda, grid, &ColumnsArgs { to, x })
    }

    /// What a kernel built on `sum_columns` takes, and its grid.
    pub fn columns(&self, step: &Step<'_>, rows: usize, to: (Ptr, GradMode)) -> Result<(Columns, Grid)> {
        let work = self
            .work
            .map_or(Ok((Ptr::NULL, Ptr::NULL)), |(sums, arrived)| Ok::<_, Error>((step.ptr(sums)?, step.ptr(arrived)?)))?;
        Ok(Columns::new(rows, self.c, to, work))
    }
}

const REDUCE: Source = Source::new("reduce", include_str!("../../kernels/reduce.cu"));
const BEHIND: Source = Source::new("activation_columns", include_str!("../../kernels/activation_columns.cu"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use crate::device::{Isa, testing};
    use crate::rng::{Purpose, Stream};

    fn check<T: Real>(rows: usize, c: usize) {
        let mut r = Stream::new(7, Purpose::User, 0);
        // Multiples of 1/8 below 1: all sums are exact, in any order.
        let x: Vec<T> = (0..rows * c).map(|_| T::of(r.below(15) as f64 / 8.0 - 0.875)).collect();
        let exact: Vec<f64> = (0..c).map(|j| (0..rows).map(|i| x[i * c + j].to_f64()).sum()).collect();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
            let cpu = Cpu::with_isa(3, isa).unwrap();
            let mut s = vec![T::of(f64::NAN); c];
            columns(&cpu, &x, c, &mut s, GradMode::Write);
            assert!(s.iter().zip(&exact).all(|(s, exact)| s.to_f64() == *exact), "{isa} {rows} rows of {c}");
            columns(&cpu, &x, c, &mut s, GradMode::Add);
            assert!(s.iter().zip(&exact).all(|(s, exact)| s.to_f64() == 2.0 * exact), "{isa} {rows} rows of {c}: add");
        }
    }

    #[test]
    fn sums_of_columns_of_any_size() {
        for c in [1, 2, 3, 7, 10, 31, 32, 33, 63, 64, 65, 128, 200] {
            for rows in [0, 1, 2, 5, 64, 130] {
                check::<f32>(rows, c);
                check::<f64>(rows, c);
            }
        }
        check::<f32>(100_000, 3);
        check::<f32>(3000, 70);
    }

    #[test]
    fn bits_do_not_depend_on_threads() {
        let x: Vec<f32> = (0..400_000).map(|i| (i as f32 * 0.7).sin()).collect();
        for c in [1, 8, 100] {
            let run = |threads: usize| {
                let mut s = vec![0.0; c];
                columns(&Cpu::new(threads).unwrap(), &x, c, &mut s, GradMode::Write);
                s.iter().map(|s: &f32| s.to_bits()).collect::<Vec<_>>()
            };
            assert_eq!(run(1), run(2));
            assert_eq!(run(1), run(7));
        }
    }

    #[test]
    fn sums_on_a_gpu_of_any_size() {
        let Some(device) = testing::gpu() else { return };
        let Device::Cuda(cuda) = &device else { return };
        let kernel = |name| cuda.kernel::<ColumnsArgs>(&REDUCE, name).unwrap();
        let kernels = [(kernel("columns_f32"), 1), (kernel("columns_wide_f32"), 4)];
        let mut r = Stream::new(7, Purpose::User, 0);
        for (rows, c) in [
            (0, 3),
            (1, 1),
            (5, 7),
            (130, 65),
            (31, 200),
            (1 << 14, 1),
            (9001, 3),
            (700, 33),
            (300, 300),
            (4, 1000),
            (70_001, 4),
            (3001, 12),
            (500, 132),
        ] {
            let x: Vec<f32> = (0..rows * c).map(|_| r.below(15) as f32 / 8.0 - 0.875).collect();
            let exact: Vec<f32> = (0..c).map(|j| (0..rows).map(|i| x[i * c + j]).sum()).collect();
            let (from, to) = (cuda.allocate(rows * c * 4).unwrap(), cuda.allocate(c * 4).unwrap());
            let fill = &mut |to: &mut [u8]| {
                to.copy_from_slice(bytemuck::cast_slice(&x));
                Ok(())
            };
            cuda.upload(from.ptr(), rows * c * 4, fill).unwrap();
            let work = cuda.allocate(parts(rows, c) * c * 4).unwrap();
            let arrived = cuda.allocate(c * 4).unwrap();
            cuda.fill(arrived.ptr(), 0, c * 4).unwrap();
            let modes = [(GradMode::Write, 1.0), (GradMode::Add, 2.0)];
            let able = kernels.iter().filter(|(_, width)| c % width == 0);
            for ((sum, _), (mode, factor)) in able.flat_map(|kernel| modes.iter().map(move |mode| (kernel, *mode))) {
                let (columns, grid) = Columns::new(rows, c, (to.ptr(), mode), (work.ptr(), arrived.ptr()));
                sum.launch(cuda, grid, &ColumnsArgs { to: columns, x: from.ptr() }).unwrap();
                let mut s = vec![f32::NAN; c];
                cuda.download(to.ptr(), bytemuck::cast_slice_mut(&mut s)).unwrap();
                assert!(s.iter().zip(&exact).all(|(s, exact)| *s == factor * exact), "{rows} rows of {c}: {mode:?}");
            }
        }
        assert!(parts(1 << 14, 1) > 1 && parts(700, 33) > 1);
    }
}
