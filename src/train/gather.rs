//! The launch that makes a batch: columns of a data set that lies on the device, or of rows that have just been sent.

use crate::data::{Kind, Raw};
use crate::device::{Buffer, Cuda, Divisor, Grid, Ptr, Source};
use crate::{DType, Result};
use bytemuck::{Pod, Zeroable};

pub(super) const DATA: Source = Source::new("data", include_str!("../../kernels/data.cu"));

/// Columns of a launch.
const COLUMNS: usize = 8;

/// As Column in `kernels/data.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct ColumnArgs {
    pub from: Ptr,
    pub scalings: Ptr,
    pub to: Ptr,
    pub n: u64,
    pub per_row: Divisor,
    pub kind: u32,
    pub number: u32,
    pub positions: u32,
    pub swap: u32,
    pub puts: u32,
    pub put: f32,
    pub unused: u32,
    pub decoder: Decoder,
}

impl ColumnArgs {
    /// Rows of `len` units each, in `rows` of them, of numbers to be stored as `dtype`.
    pub fn new(kind: ColumnKind, dtype: DType, len: usize, rows: usize) -> Self {
        let number = match dtype {
            DType::Bf16 => 1,
            DType::F16 => 2,
            _ => 0,
        };
        let (n, per_row, decoder) = ((rows * len) as u64, Divisor::new(len), Norm::decoder(None, None));
        Self { n, per_row, kind: kind as u32, number, decoder, ..Zeroable::zeroed() }
    }

    /// With what becomes of stored numbers, their norm being on the device; of native byte order or of that in the source.
    #[must_use]
    pub fn decoded(self, raw: &Raw, norm: Option<&Norm>, native: bool) -> Self {
        Self {
            swap: u32::from(!native && raw.is_big_endian() != cfg!(target_endian = "big")),
            puts: u32::from(raw.put().is_some()),
            put: raw.put().unwrap_or(0.0),
            decoder: Norm::decoder(norm, raw.line()),
            ..self
        }
    }
}

/// As ColumnKind there.
#[derive(Clone, Copy, Debug)]
pub(super) enum ColumnKind {
    Copy16,
    Copy4,
    Copy2,
    OneHot,
    OfU8,
    OfI8,
    OfI16,
    OfU16,
    OfI32,
    OfF16,
    OfF32,
}

impl ColumnKind {
    /// Of stored numbers.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::I8 => Self::OfI8,
            Kind::I16 => Self::OfI16,
            Kind::U16 => Self::OfU16,
            Kind::I32 => Self::OfI32,
            Kind::F16 => Self::OfF16,
            Kind::F32 => Self::OfF32,
            _ => Self::OfU8,
        }
    }
}

/// As Decoder there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct Decoder {
    groups: Divisor,
    affine: u32,
    factor: f32,
    offset: f32,
    a: Ptr,
    b: Ptr,
}

/// What a normalisation subtracts and divides by, on the device.
#[derive(Debug)]
pub(super) struct Norm {
    memory: Buffer,
    groups: usize,
}

impl Norm {
    pub fn send(cuda: &Cuda, (a, b): (&[f32], &[f32])) -> Result<Self> {
        let memory = cuda.allocate(size_of_val(a) + size_of_val(b))?;
        cuda.upload(memory.ptr(), size_of_val(a) + size_of_val(b), &mut |bytes| {
            let (first, second) = bytes.split_at_mut(size_of_val(a));
            first.copy_from_slice(bytemuck::cast_slice(a));
            second.copy_from_slice(bytemuck::cast_slice(b));
            Ok(())
        })?;
        Ok(Self { memory, groups: a.len() })
    }

    /// The decoder of a column, with a factor and an offset and a normalisation, or without.
    pub fn decoder(of: Option<&Self>, line: Option<(f32, f32)>) -> Decoder {
        let (groups, a) = of.map_or((1, Ptr::NULL), |norm| (norm.groups, norm.memory.ptr()));
        let b = of.map_or(Ptr::NULL, |norm| norm.memory.ptr().offset(norm.groups * size_of::<f32>()));
        let (factor, offset) = line.unwrap_or((1.0, 0.0));
        Decoder { groups: Divisor::new(groups), affine: u32::from(line.is_some()), factor, offset, a, b }
    }
}

/// As GatherArgs there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct GatherArgs {
    control: Ptr,
    order: Ptr,
    offset: u64,
    columns: [ColumnArgs; COLUMNS],
}

/// The columns that a launch will make.
pub(super) struct Gather {
    args: GatherArgs,
    count: usize,
}

impl Gather {
    /// Of the samples from place cursor + `offset` of an order on, the cursor being that of the control block; of the rows themselves where there
    /// is no order.
    pub fn new(control: Ptr, order: Ptr, offset: usize) -> Self {
        Self { args: GatherArgs { control, order, offset: offset as u64, ..Zeroable::zeroed() }, count: 0 }
    }

    /// Where the batch begins, after the cursor.
    pub fn offset(&self) -> u64 {
        self.args.offset
    }

    pub fn add(&mut self, cuda: &Cuda, column: ColumnArgs) -> Result<()> {
        if self.count == COLUMNS {
            self.launch(cuda)?;
        }
        self.args.columns[self.count] = column;
        self.count += 1;
        Ok(())
    }

    /// Makes the columns that were added.
    pub fn launch(&mut self, cuda: &Cuda) -> Result<()> {
        let most = self.args.columns[..self.count].iter().map(|c| c.n).max().unwrap_or(0) as usize;
        // A thread for each unit, up to what fills the device several times.
        let blocks = most.div_ceil(256).min(32 * cuda.multiprocessors());
        let grid = Grid::xyz(blocks, std::mem::take(&mut self.count), 1);
        cuda.kernel::<GatherArgs>(&DATA, "gather")?.launch(cuda, grid, &self.args)
    }
}
