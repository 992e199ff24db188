//! The arguments of the convolution kernels, as kernels/conv.cuh has them, and how a geometry becomes one.

use super::activation_cuda::CudaActivation;
use super::bands::BandArgs;
use super::conv::Geometry;
use super::conv_plan::{Phase, Phases, phases};
use super::epilogue::Epilogue;
use super::pool::Geometry as Pooling;
use crate::device::{Divisor, Ptr};
use crate::{Error, Extent, Result};
use bytemuck::{Pod, Zeroable};

/// Four sizes of at most 2³².
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(crate) struct DeviceExtent {
    d: u32,
    h: u32,
    w: u32,
    c: u32,
}

impl From<Extent> for DeviceExtent {
    fn from(e: Extent) -> Self {
        Self { d: e.d as u32, h: e.h as u32, w: e.w as u32, c: e.c as u32 }
    }
}

/// One combination of phases.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct Part {
    pub count: [u32; 3],
    pub first: [u32; 3],
    pub origin: [i32; 3],
    pub taps: [u32; 3],
    pub weight: i32,
    pub all: u32,
    pub area: Divisor,
    pub plane: Divisor,
    pub line: Divisor,
    pub taps_plane: Divisor,
    pub taps_line: Divisor,
}

impl Part {
    /// Outputs in a sample.
    pub fn outputs(&self) -> usize {
        self.count.iter().map(|&n| n as usize).product()
    }
}

/// Parts of one launch.
pub(super) const PARTS: usize = 8;

/// The sizes of a gather.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct Gather {
    pub x: DeviceExtent,
    pub y: DeviceExtent,
    pub stride: [i32; 3],
    pub dilation: [i32; 3],
    pub step: [u32; 3],
    pub tap_step: [i32; 3],
    pub channels: Divisor,
    pub columns: u32,
    pub groups: u32,
    pub parts: u32,
    pub rows: u32,
    pub w_tap: u32,
    pub w_channel: u32,
    pub w_group: u32,
    pub w_column: u32,
    pub cells: [u32; 3],
    pub part: [Part; PARTS],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct ConvArgs {
    pub x: Ptr,
    pub w: Ptr,
    pub bias: Ptr,
    pub y: Ptr,
    pub z: Ptr,
    pub winner: Ptr,
    pub g: Gather,
    pub act: CudaActivation,
    pub m_tiles: u32,
    pub n_tiles: u32,
    pub add: u32,
    pub width: u32,
    pub across: Divisor,
    pub group: Divisor,
}

/// Of a forward pass that also finds the moments of its results.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct MomentsArgs {
    pub c: ConvArgs,
    pub bands: BandArgs,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct WeightArgs {
    pub x: Ptr,
    pub dy: Ptr,
    pub dw: Ptr,
    pub weights: u64,
    pub g: Gather,
    pub m_tiles: u32,
    pub n_tiles: u32,
    pub chunks: u32,
    pub length: u32,
    pub add: u32,
    pub width: u32,
    pub filters: u32,
    pub group: Divisor,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct SumArgs {
    pub parts: Ptr,
    pub dw: Ptr,
    pub n: u64,
    pub chunks: u32,
    pub add: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct StartArgs {
    pub bias: Ptr,
    pub y: Ptr,
    pub z: Ptr,
    pub n: u64,
    pub act: CudaActivation,
    pub channels: Divisor,
    pub unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct ClearArgs {
    pub dw: Ptr,
    pub n: u64,
}

impl Gather {
    /// Whether outputs can come window by window: those of a window are a power of two on each axis, and no more than 64.
    pub fn pools(pool: &Pooling) -> bool {
        pool.window.size.iter().all(|n| n.is_power_of_two()) && pool.window.taps() <= 64 && Epilogue::tiles(pool)
    }

    /// The same gather of one part, whose outputs follow each other, with the maximum over these windows behind it.
    pub fn pooled(self, pool: &Pooling) -> Self {
        let (y, cells) = (pool.y, pool.window.size.map(usize::ilog2));
        let mut part = self.part;
        part[0] = Part { plane: Divisor::new(y.h * y.w), line: Divisor::new(y.w), ..part[0] };
        Self { y: y.into(), cells, part, ..self }
    }
}

/// Samples and coordinates that kernels count in 32 bits.
const SAMPLE: usize = 1 << 30;
const COORDINATE: isize = 1 << 28;

/// A gather with all its parts.
pub(super) struct Sizes {
    /// Without parts and rows.
    pub g: Gather,
    pub parts: Vec<Part>,
    /// Channels of input and output in a group.
    pub channels: usize,
    pub columns: usize,
    /// Taps of the window.
    pub taps: usize,
    /// Some outputs meet no tap.
    pub sparse: bool,
}

impl Sizes {
    /// The forward pass, or (`flip`) the gradient wrt the input.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for sizes that do not fit the kernels' 32-bit indices.
    pub fn new(g: &Geometry, flip: bool) -> Result<Self> {
        let phases = phases(g, flip);
        let (x, y) = if flip { (g.y, g.x) } else { (g.x, g.y) };
        let low = |e: &Extent| e.len() < SAMPLE && e.space().iter().all(|&n| n < COORDINATE as usize);
        let near = phases.iter().all(|p| p.low > -COORDINATE && p.high < COORDINATE);
        if !low(&x) || !low(&y) || !near || g.weight_len()? >= SAMPLE {
            return Err(Error::shape("convolution on a GPU", "a sample, the weights or the padding are too large")
                .expected("below 2^30 values, coordinates below 2^28")
                .got(format!("{x} to {y}, weights {:?}", g.weights()))
                .hint("Device::cpu() computes it"));
        }
        let (channels, columns) = (x.c / g.groups, y.c / g.groups);
        let size = g.window.size;
        let across = [(size[1] * size[2]) as i32, size[2] as i32, 1];
        let sign = if flip { -1 } else { 1 };
        let row = g.y.c as u32;
        // Where the two channels of a weight lie, [tap][c/groups][filters].
        let (w_channel, w_group, w_column) = if flip { (1, channels, row) } else { (row, columns, 1) };
        let gather = Gather {
            x: x.into(),
            y: y.into(),
            stride: phases.each_ref().map(|p| p.stride as i32),
            dilation: phases.each_ref().map(|p| p.dilation as i32),
            step: phases.each_ref().map(|p| p.step as u32),
            tap_step: std::array::from_fn(|i| sign * phases[i].tap_step as i32 * across[i]),
            channels: Divisor::new(channels),
            columns: columns as u32,
            groups: g.groups as u32,
            w_tap: (g.x.c / g.groups) as u32 * row,
            w_channel,
            w_group: w_group as u32,
            w_column,
            ..Gather::zeroed()
        };
        let mut parts = Vec::new();
        for d in &phases[0].list {
            for h in &phases[1].list {
                for w in &phases[2].list {
                    let at = [d, h, w];
                    let tap = |i: usize| if flip { size[i] - 1 - at[i].tap } else { at[i].tap };
                    parts.push(part(at, (0..3).map(|i| tap(i) as i32 * across[i]).sum()));
                }
            }
        }
        Ok(Self { g: gather, parts, channels, columns, taps: g.window.taps(), sparse: phases.iter().any(|p: &Phases| p.sparse) })
    }

    /// Elements of the output of a sample.
    pub fn y_len(&self) -> usize {
        let DeviceExtent { d, h, w, c } = self.g.y;
        [d, h, w, c].map(|n| n as usize).iter().product()
    }

    /// The sizes with the parts of each launch.
    pub fn launches(&self) -> Vec<Gather> {
        let fill = |parts: &[Part]| {
            let mut g = self.g;
            g.part[..parts.len()].copy_from_slice(parts);
            g.parts = parts.len() as u32;
            g
        };
        self.parts.chunks(PARTS).map(fill).collect()
    }

    /// Whether the outputs of the only part follow each other in y.
    pub fn whole(&self) -> bool {
        self.parts.len() == 1 && self.g.step == [1; 3]
    }

    /// The most outputs of a part in a sample.
    pub fn most_outputs(&self) -> usize {
        self.parts.iter().map(Part::outputs).max().unwrap_or(0)
    }

    /// The most weight rows of a part.
    pub fn most_rows(&self) -> usize {
        self.parts.iter().map(|p| p.all as usize * self.channels).max().unwrap_or(0)
    }

    /// Tiles of `outputs` outputs that cover a sample of any part, if 2^`width` lie side by side, and the elements of
    /// input under one.
    pub fn tiles(&self, outputs: usize, width: u32) -> (usize, usize) {
        let (h, w) = (outputs >> width, 1_usize << width);
        let count = |p: &Part| p.count[0] as usize * (p.count[1] as usize).div_ceil(h) * (p.count[2] as usize).div_ceil(w);
        let span = |p: &Part, i: usize, n: usize| {
            (n - 1) * self.g.stride[i] as usize + (p.taps[i] as usize - 1) * self.g.dilation[i] as usize + 1
        };
        let input = |p: &Part| {
            let spans = [span(p, 0, 1), span(p, 1, h), span(p, 2, w), self.channels];
            spans.into_iter().fold(1_usize, usize::saturating_mul)
        };
        let most = |f: &dyn Fn(&Part) -> usize| self.parts.iter().map(f).max().unwrap_or(0);
        (most(&count), most(&input))
    }

    /// The width of tiles that covers a sample with the fewest; among those the one with the least input under it.
    pub fn width(&self, outputs: usize) -> u32 {
        (2..=outputs.ilog2()).min_by_key(|&width| self.tiles(outputs, width)).unwrap_or(2)
    }
}

fn part(at: [&Phase; 3], weight: i32) -> Part {
    let (count, taps) = (at.map(|p| p.count), at.map(|p| p.taps));
    Part {
        count: count.map(|n| n as u32),
        first: at.map(|p| p.first as u32),
        origin: at.map(|p| p.origin as i32),
        taps: taps.map(|n| n as u32),
        weight,
        all: taps.iter().product::<usize>() as u32,
        area: Divisor::new(count.iter().product()),
        plane: Divisor::new(count[1] * count[2]),
        line: Divisor::new(count[2]),
        taps_plane: Divisor::new(taps[1] * taps[2]),
        taps_line: Divisor::new(taps[2]),
    }
}
