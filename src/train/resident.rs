//! Data sets that lie on a GPU as a whole: sent once, from then on batches are gathered there.
//!
//! Only sets in memory whose rows are the same in every epoch ([`Dataset::varies`]), or augmented by motions of whole pixels alone, and that
//! take no more than [`SHARE`] of the free memory; `KAMACITE_RESIDENT=0` keeps all on the host.

mod stored;

use super::gather::{ColumnArgs, ColumnKind, DATA, Decoder, Gather, Norm};
use crate::data::augment::Moves;
use crate::data::{Border, Dataset, Pick, Raw, Scaling};
use crate::device::{Buffer, Cuda, Divisor, Grid, Ptr};
use crate::loss::{Target, find_label};
use crate::memory::{Slot, Step};
use crate::network::{Columns, LossPort, Plan};
use crate::rng::{Draws, Purpose};
use crate::{DType, Error, ErrorKind, Result};
use bytemuck::{Pod, Zeroable};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use rayon::prelude::*;
use stored::Stored;

/// The part of the free device memory that data may take: plans for validation are still to come.
const SHARE: f64 = 0.6;

/// Bytes that go to the device at once, through buffers of that size; a single row may be larger.
const PIECE: usize = 1 << 20;

/// Bytes of a column from which it pays to look for a narrower type: below, everything is at hand anyway.
const NARROW: usize = 4 << 20;

#[cfg(not(test))]
fn narrow_from() -> usize {
    NARROW
}
#[cfg(test)]
use tests::narrow_from;

/// A data set on the device.
#[derive(Debug)]
pub(super) struct Resident {
    cuda: Cuda,
    inputs: Vec<Column>,
    targets: Vec<Column>,
    weights: Column,
    /// The epoch and the seed, HEADER bytes, then the sample at each place of the epoch.
    order: Buffer,
    samples: usize,
}

/// What precedes the order: what augmentation is keyed by.
const HEADER: usize = 16;

/// One value of every sample, sample after sample.
#[derive(Debug)]
struct Column {
    memory: Buffer,
    dtype: DType,
    /// The type in which the elements lie there.
    stored: Stored,
    norm: Option<Norm>,
    /// Of a column that was sent as its source holds it: what else becomes of the numbers, and the scalings of samples where they have any.
    raw: Option<Raw>,
    scalings: Option<Buffer>,
    /// Elements of a sample.
    len: usize,
    /// How the samples move, where they do: all of the kernel's argument but the addresses.
    moves: Option<MoveArgs>,
}

/// As MoveArgs in `kernels/data.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct MoveArgs {
    control: Ptr,
    order: Ptr,
    draws: Ptr,
    from: Ptr,
    to: Ptr,
    offset: u64,
    purpose: u64,
    flips: [f64; 3],
    len: u32,
    d: u32,
    h: Divisor,
    w: Divisor,
    c: Divisor,
    quarter_turns: u32,
    shift: u32,
    border: u32,
    outside: u32,
    unused: u32,
    decoder: Decoder,
}

impl Resident {
    /// Sends a data set whose inputs are stored as `dtype` and whose targets are `wanted` as these; `None` where it varies, is too
    /// large, or shall stay on the host.
    ///
    /// # Errors
    /// What reading the samples may meet; labels out of range.
    pub fn upload(data: &dyn Dataset, cuda: &Cuda, dtype: DType, wanted: &[Target]) -> Result<Option<Self>> {
        let allowed = std::env::var("KAMACITE_RESIDENT").map_or(true, |v| v != "0");
        let room = cuda.free_memory().unwrap_or(0) as f64 * SHARE;
        let apart = data.waits() || data.targets().contains(&Target::None);
        if !allowed || apart || bytes(data, dtype) as f64 > room {
            return Ok(None);
        }
        let moves = data.as_augmented().and_then(|a| a.whole_motions()).filter(|moves| {
            // There is no kernel that moves labels and makes them one-hot.
            let one_hot = |k: &usize| {
                matches!((data.targets().get(*k), wanted.get(*k)), (Some(Target::Index { .. }), Some(Target::Values(_))))
            };
            !moves.targets.iter().any(one_hot)
        });
        let (data, moves) = match &moves {
            Some(moves) => (moves.data, Some(moves)),
            None if data.varies() => return Ok(None),
            None => (data, None),
        };
        match Self::send(data, moves, cuda, dtype) {
            // Somebody else has taken the memory in between.
            Err(e) if e.kind() == ErrorKind::OutOfMemory => Ok(None),
            // What is left out is counted where batches are staged.
            Ok(_) if (0..data.len()).any(|index| data.is_skipped(Pick { index, epoch: 0, seed: 0 })) => Ok(None),
            sent => sent.map(Some),
        }
    }

    fn send(data: &dyn Dataset, moves: Option<&Moves<'_>>, cuda: &Cuda, dtype: DType) -> Result<Self> {
        let n = data.len();
        let pick = |index| Pick { index, epoch: 0, seed: 0 };
        let weights: Vec<f32> = (0..n).map(|i| data.weight(i)).collect();
        let inputs = data.inputs().iter().enumerate().map(|(k, x)| {
            let large = n.saturating_mul(x.len()).saturating_mul(dtype.bytes()) >= narrow_from();
            let moves = moves.filter(|m| m.input == k);
            if large && let Some(column) = Column::raw(data, k, cuda, dtype, moves)? {
                return Ok(column);
            }
            let source = if large { stored::Source::narrow(data, k, dtype) } else { stored::Source::plain(data) };
            let mut column = Column::new(cuda, dtype, source.stored, n, x.len())?;
            column.norm = source.norm.map(|norm| Norm::send(cuda, norm)).transpose()?;
            column.moves = moves.map(|m| args(m, dtype, x.len()));
            column.fill::<f32>(cuda, n, &|i, x| source.data.input(pick(i), k, x), &|_, _| Ok(()))?;
            Ok(column)
        });
        let inputs = inputs.collect::<Result<_>>()?;
        let targets = data.targets().iter().enumerate().map(|(k, t)| match *t {
            Target::None => Err(Error::order("data", "a target without values")),
            Target::Values(t) => {
                let mut column = Column::new(cuda, DType::F32, Stored::Same, n, t.len())?;
                column.moves = moves.filter(|m| m.targets.contains(&k)).map(|m| args(m, DType::F32, t.len()));
                column.fill::<f32>(cuda, n, &|i, t| data.values(pick(i), k, t), &|_, _| Ok(()))?;
                Ok(column)
            }
            Target::Index { classes, positions } => {
                let mut column = Column::new(cuda, DType::U32, Stored::Same, n, positions)?;
                column.moves = moves.filter(|m| m.targets.contains(&k)).map(|m| args(m, DType::U32, positions));
                let check = |first: usize, t: &[u32]| {
                    let found = find_label(t, &weights[first..], classes, positions);
                    found.map_err(|e| e.at(format!("target {k}, from sample {first}")))
                };
                column.fill::<u32>(cuda, n, &|i, t| data.classes(pick(i), k, t), &check)?;
                Ok(column)
            }
        });
        let targets = targets.collect::<Result<_>>()?;
        let column = Column::new(cuda, DType::F32, Stored::Same, n, 1)?;
        let weight = |i: usize, w: &mut [f32]| {
            w.fill(weights[i]);
            Ok(())
        };
        column.fill::<f32>(cuda, n, &weight, &|_, _| Ok(()))?;
        let order = cuda.allocate(HEADER + n * size_of::<u32>())?;
        Ok(Self { cuda: cuda.clone(), inputs, targets, weights: column, order, samples: n })
    }

    /// Whether batches depend on the epoch and the seed, besides the order.
    pub fn moves(&self) -> bool {
        self.inputs.iter().chain(&self.targets).any(|column| column.moves.is_some())
    }

    /// The data as they lie in memory, where that is one input, one target and no motion.
    pub fn columns(&self) -> Option<Columns> {
        let ([x], [t]) = (&self.inputs[..], &self.targets[..]) else { return None };
        let plain = x.dtype == DType::F32 && x.stored == Stored::Same && !self.moves();
        plain.then(|| Columns {
            order: self.order.ptr().offset(HEADER),
            x: x.memory.ptr(),
            t: t.memory.ptr(),
            w: self.weights.memory.ptr(),
            inputs: x.len,
            targets: t.len,
            labels: t.dtype == DType::U32,
            samples: self.samples,
        })
    }

    /// The order of the next epoch.
    pub fn set_order(&self, order: &[u32], (epoch, seed): (u64, u64)) -> Result<()> {
        if order.len() != self.samples {
            return Err(Error::order("resident data", "an order of another length").expected(self.samples).got(order.len()));
        }
        self.cuda.upload(self.order.ptr(), HEADER + size_of_val(order), &mut |bytes| {
            let (header, samples) = bytes.split_at_mut(HEADER);
            header.copy_from_slice(bytemuck::cast_slice(&[epoch, seed]));
            samples.copy_from_slice(bytemuck::cast_slice(order));
            Ok(())
        })
    }

    /// Fills inputs, targets and weights of the plan with the samples from place cursor + `offset` of the order on, the cursor
    /// being that of the control block. Launches kernels, nothing else: a captured step may hold it.
    pub fn gather(&self, s: &Step<'_>, plan: &Plan, offset: usize) -> Result<()> {
        let mut batch = Gather::new(s.control()?, self.order.ptr().offset(HEADER), offset);
        for (column, port) in self.inputs.iter().zip(&plan.inputs) {
            self.rows(s, &mut batch, column, port.y)?;
        }
        for (column, port) in self.targets.iter().zip(plan.losses.iter().map(LossPort::used)) {
            match (column.dtype, port.kind) {
                (DType::U32, Target::Values(t)) => self.one_hot(s, &mut batch, column, port.target, t.c)?,
                _ => self.rows(s, &mut batch, column, port.target)?,
            }
        }
        if let Some(weight) = plan.weight {
            self.rows(s, &mut batch, &self.weights, weight)?;
        }
        batch.launch(&self.cuda)
    }

    fn rows(&self, s: &Step<'_>, batch: &mut Gather, column: &Column, to: Slot) -> Result<()> {
        self.check(s, to, column.len)?;
        if let Some(moves) = &column.moves {
            return self.moved(s, column, to, batch.offset(), moves);
        }
        let (kind, unit) = column.stored.column(column.dtype, column.len);
        let args = ColumnArgs::new(kind, column.dtype, column.len * column.dtype.bytes() / unit, s.rows());
        let args = match &column.raw {
            Some(raw) => args.decoded(raw, column.norm.as_ref(), true),
            None => ColumnArgs { decoder: Norm::decoder(column.norm.as_ref(), None), ..args },
        };
        self.add(s, batch, column, to, args)
    }

    fn moved(&self, s: &Step<'_>, column: &Column, to: Slot, offset: u64, moves: &MoveArgs) -> Result<()> {
        let args = MoveArgs {
            control: s.control()?,
            order: self.order.ptr().offset(HEADER),
            draws: self.order.ptr(),
            from: column.memory.ptr(),
            to: s.ptr(to)?,
            offset,
            decoder: Norm::decoder(column.norm.as_ref(), column.raw.as_ref().and_then(Raw::line)),
            ..*moves
        };
        let kernel = match (column.stored, column.dtype) {
            (Stored::Same, dtype) if dtype.bytes() == 2 => "move_2",
            (Stored::Same, _) => "move_4",
            (stored, dtype) => &format!("move_{}_{}", stored.name(), dtype.suffix()),
        };
        // Sixteen elements for each of 256 threads.
        let grid = Grid::xyz(s.rows(), column.len.div_ceil(4096).min(65535), 1);
        self.cuda.kernel::<MoveArgs>(&DATA, kernel)?.launch(&self.cuda, grid, &args)
    }

    fn one_hot(&self, s: &Step<'_>, batch: &mut Gather, column: &Column, to: Slot, classes: usize) -> Result<()> {
        let len = column.len * classes;
        self.check(s, to, len)?;
        let args = ColumnArgs::new(ColumnKind::OneHot, DType::F32, classes, s.rows() * column.len);
        self.add(s, batch, column, to, ColumnArgs { positions: column.len as u32, ..args })
    }

    fn check(&self, s: &Step<'_>, to: Slot, len: usize) -> Result<()> {
        match s.len(to)? {
            room if room == s.rows() * len => Ok(()),
            room => Err(Error::order("resident data", "rows of another size").expected(room).got(s.rows() * len)),
        }
    }

    fn add(&self, s: &Step<'_>, batch: &mut Gather, column: &Column, to: Slot, args: ColumnArgs) -> Result<()> {
        let scalings = column.scalings.as_ref().map_or(Ptr::NULL, Buffer::ptr);
        batch.add(&self.cuda, ColumnArgs { from: column.memory.ptr(), scalings, to: s.ptr(to)?, ..args })
    }
}

/// How a column of `len` elements a sample moves; the addresses come with each launch.
fn args(moves: &Moves<'_>, dtype: DType, len: usize) -> MoveArgs {
    let e = moves.extent;
    let (border, value) = match moves.border {
        Border::Edge => (0, 0.0),
        Border::Reflect => (1, 0.0),
        Border::Value(v) => (2, v),
    };
    let outside = match dtype {
        DType::F16 => u32::from(f16::from_f32(value).to_bits()),
        DType::Bf16 => u32::from(bf16::from_f32(value).to_bits()),
        DType::U32 => 0,
        _ => value.to_bits(),
    };
    MoveArgs {
        purpose: Draws::key(0, Purpose::Augment),
        flips: moves.flips,
        len: len as u32,
        d: e.d as u32,
        h: Divisor::new(e.h),
        w: Divisor::new(e.w),
        c: Divisor::new(len / e.area()),
        quarter_turns: u32::from(moves.quarter_turns),
        shift: moves.shift as u32,
        border,
        outside,
        ..Zeroable::zeroed()
    }
}

/// What a data set takes on the device.
fn bytes(data: &dyn Dataset, dtype: DType) -> usize {
    let element = |k: usize| data.raw(k).map_or(dtype.bytes(), |raw| raw.kind().bytes().min(dtype.bytes()));
    let inputs: usize = data.inputs().iter().enumerate().map(|(k, x)| x.len() * element(k)).sum();
    let targets: usize = data.targets().iter().map(|t| t.len() * 4).sum();
    // Weights and order.
    data.len().saturating_mul(inputs + targets + 8).saturating_add(HEADER)
}

impl Column {
    fn new(cuda: &Cuda, dtype: DType, stored: Stored, samples: usize, len: usize) -> Result<Self> {
        let memory = cuda.allocate(samples * len * stored.bytes(dtype))?;
        Ok(Self { memory, dtype, stored, norm: None, raw: None, scalings: None, len, moves: None })
    }

    /// Input `k` as its source holds it; `None` for one that does not, or has rows that the host must see.
    fn raw(data: &dyn Dataset, k: usize, cuda: &Cuda, dtype: DType, moves: Option<&Moves<'_>>) -> Result<Option<Self>> {
        let Some(raw) = data.raw(k).filter(|raw| moves.is_none() || raw.put().is_none()) else { return Ok(None) };
        let stored = Stored::of(raw.kind()).filter(|stored| stored.bytes(dtype) <= dtype.bytes());
        let Some(stored) = stored else { return Ok(None) };
        let (n, len) = (data.len(), data.inputs()[k].len());
        let mut column = Self::new(cuda, dtype, stored, n, len)?;
        let mut scalings = vec![Scaling::plain(); n];
        let row = raw.bytes(len);
        let (mut wide, step) = (Vec::new(), (PIECE / row).max(1));
        for (first, scalings) in (0..n).step_by(step).zip(scalings.chunks_mut(step)) {
            wide.resize(scalings.len() * row, 0_u8);
            let read = |(i, (bytes, scaling)): (usize, (&mut [u8], &mut Scaling))| {
                let read = data.raw_row(Pick { index: first + i, epoch: 0, seed: 0 }, k, bytes);
                let Some(found) = read.filter(|scaling| raw.accepts(bytes, scaling)) else { return false };
                if raw.is_big_endian() != cfg!(target_endian = "big") && stored.bytes(dtype) == 2 {
                    bytes.chunks_exact_mut(2).for_each(|b| b.swap(0, 1));
                }
                *scaling = found;
                true
            };
            if !wide.par_chunks_exact_mut(row).zip(scalings).enumerate().all(read) {
                return Ok(None);
            }
            cuda.upload(column.memory.ptr().offset(first * row), wide.len(), &mut |bytes| {
                bytes.copy_from_slice(&wide);
                Ok(())
            })?;
        }
        if !scalings.iter().all(Scaling::is_plain) {
            if moves.is_some() {
                return Ok(None);
            }
            let memory = cuda.allocate(size_of_val(&scalings[..]))?;
            cuda.upload(memory.ptr(), size_of_val(&scalings[..]), &mut |bytes| {
                bytes.copy_from_slice(bytemuck::cast_slice(&scalings));
                Ok(())
            })?;
            column.scalings = Some(memory);
        }
        column.norm = raw.norm().map(|norm| Norm::send(cuda, norm)).transpose()?;
        column.moves = moves.map(|m| args(m, dtype, len));
        column.raw = Some(raw);
        Ok(Some(column))
    }

    /// Reads all samples, some at a time and by all threads, and sends them. `check` sees each piece and its first sample.
    fn fill<T: Pod + Send>(
        &self,
        cuda: &Cuda,
        samples: usize,
        read: &(dyn Fn(usize, &mut [T]) -> Result<()> + Sync),
        check: &dyn Fn(usize, &[T]) -> Result<()>,
    ) -> Result<()> {
        let row = self.len * self.stored.bytes(self.dtype);
        let step = (PIECE / row.max(1)).max(1);
        let mut wide: Vec<T> = Vec::new();
        for first in (0..samples).step_by(step) {
            let rows = step.min(samples - first);
            wide.resize(rows * self.len, T::zeroed());
            let one = |(i, x): (usize, &mut [T])| read(first + i, x);
            wide.par_chunks_exact_mut(self.len.max(1)).enumerate().try_for_each(one)?;
            check(first, &wide)?;
            let to = self.memory.ptr().offset(first * row);
            cuda.upload(to, rows * row, &mut |bytes| {
                match self.dtype {
                    _ if self.stored != Stored::Same => self.stored.pack(bytemuck::cast_slice(&wide), bytes),
                    DType::F16 => {
                        half_words(bytes).reinterpret_cast_mut::<f16>().convert_from_f32_slice(bytemuck::cast_slice(&wide))
                    }
                    DType::Bf16 => {
                        half_words(bytes).reinterpret_cast_mut::<bf16>().convert_from_f32_slice(bytemuck::cast_slice(&wide))
                    }
                    _ => bytes.copy_from_slice(bytemuck::cast_slice(&wide)),
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn half_words(bytes: &mut [u8]) -> &mut [u16] {
    bytemuck::cast_slice_mut(bytes)
}

#[cfg(test)]
pub(super) mod tests;
