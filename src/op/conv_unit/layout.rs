//! How the blocks of a unit share its work: it follows from the planned sizes alone.

use super::{CHUNKS, EACH, SHARED, SPAN, Slab, THREADS, Unit};
use crate::device::Divisor;
use crate::op::conv::Geometry;
use crate::op::pool;

/// Blocks that keep a large GPU busy.
const BLOCKS: usize = 132;

/// The sizes of the unit, and lines of windows or of x in bands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub g: Geometry,
    /// Cells of a window, and windows, on each axis.
    pub pool: [usize; 3],
    pub p: [usize; 3],
    pub capacity: usize,
}

/// Lines in bands: those of a block, blocks that cover them, and the lines of a slice of a band.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bands {
    pub lines: usize,
    pub count: usize,
    pub high: usize,
}

impl Bands {
    /// The fewest of `d`·`h` lines for which `fits` holds: of one slice, or all.
    fn new(d: usize, h: usize, fits: impl Fn(usize) -> bool) -> Option<Self> {
        if d > 1 {
            return fits(h).then_some(Self { lines: d * h, count: 1, high: h });
        }
        let most = (1..=h).rev().find(|&lines| fits(lines))?;
        // The same number of blocks with lines spread evenly.
        let lines = h.div_ceil(h.div_ceil(most));
        Some(Self { lines, count: h.div_ceil(lines), high: lines })
    }
}

impl Sizes {
    fn channels(&self) -> usize {
        self.g.x.c
    }

    fn filters(&self) -> usize {
        self.g.y.c
    }

    /// Weights of a filter.
    pub fn rows(&self) -> usize {
        self.g.window.taps() * self.channels()
    }

    fn windows(&self, lines: usize) -> usize {
        lines * self.p[2] * if self.p[0] > 1 { self.p[0] } else { 1 }
    }

    /// The tile of x under so many lines of windows of a slice.
    fn tile(&self, lines: usize) -> Option<(Slab, usize)> {
        let w = &self.g.window;
        let span = |i: usize, n: usize| (n * self.pool[i] - 1) * w.stride[i] + (w.size[i] - 1) * w.dilation[i] + 1;
        Slab::new([span(0, self.p[0]), span(1, lines), span(2, self.p[2])], self.channels())
    }

    /// The tile of gradients under so many lines of x of a slice, of this many filters.
    fn gradients(&self, lines: usize, filters: usize) -> Option<(Slab, usize)> {
        let (w, x) = (&self.g.window, self.g.x);
        let span = |i: usize, n: usize| n + (w.size[i] - 1) * w.dilation[i];
        Slab::new([span(0, x.d), span(1, lines), span(2, x.w)], filters)
    }

    fn unit(&self) -> Unit {
        let (g, w) = (&self.g, &self.g.window);
        let [d, h, wide] = self.p;
        let [_, kh, kw] = self.pool;
        let cell = |k: usize| (((k / (kh * kw)) << 16) | ((k / kw % kh) << 8) | (k % kw)) as u32;
        let p = crate::Extent { d, h, w: wide, c: g.y.c };
        Unit {
            x: g.x.into(),
            y: g.y.into(),
            p: p.into(),
            size: w.size.map(|n| n as u32),
            dilation: w.dilation.map(|n| n as u32),
            before: w.before.map(|n| n as u32),
            stride: w.stride.map(Divisor::new),
            pool: self.pool.map(Divisor::new),
            cell: std::array::from_fn(cell),
            rows: 0,
            taps: w.taps() as u32,
            winner_row: p.len().next_multiple_of(4) as u32,
        }
    }
}

/// How the blocks of the forward pass share it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forward {
    pub s: Slab,
    pub bands: Bands,
    pub log_filters: u32,
    pub groups: usize,
    pub shared: usize,
}

impl Forward {
    fn new(of: &Sizes) -> Option<Self> {
        let mut found = None;
        for log_filters in (2..=of.filters().next_power_of_two().clamp(4, 32).ilog2()).rev() {
            let (filters, weights) = (1 << log_filters, of.rows() << log_filters);
            let room = |lines: usize| of.tile(lines).filter(|(_, x)| x + weights <= SHARED);
            let fits = |lines: usize| {
                let one = of.p[0] > 1 || lines == 1 || of.windows(lines) * filters / 4 <= THREADS;
                one && room(lines).is_some()
            };
            let Some(bands) = Bands::new(of.p[0], of.p[1], fits) else { continue };
            let (s, x) = room(bands.high)?;
            let groups = of.filters().div_ceil(filters);
            found = Some(Self { s, bands, log_filters, groups, shared: 4 * (x + weights) });
            if of.capacity * bands.count * groups >= BLOCKS {
                break;
            }
        }
        found
    }
}

/// How the blocks of the backward pass share it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backward {
    pub s: Slab,
    pub bands: Bands,
    pub groups: usize,
    pub chunks: usize,
    pub length: usize,
    pub span: usize,
    pub z: Slab,
    pub x_bands: Bands,
    pub filters: usize,
    pub shared: usize,
}

impl Backward {
    fn new(of: &Sizes) -> Option<Self> {
        let room = |lines: usize| of.tile(lines).map(|(s, x)| (s, x + 8 * of.windows(lines))).filter(|(_, all)| *all <= SHARED);
        let bands = Bands::new(of.p[0], of.p[1], |lines| room(lines).is_some())?;
        let (s, for_weights) = room(bands.high)?;
        let (groups, tiles) = (of.filters().div_ceil(4), of.capacity.checked_mul(bands.count)?);
        let length = tiles.div_ceil((2 * BLOCKS / groups).clamp(1, CHUNKS));
        let span = (of.rows() + 1).next_power_of_two().min(SPAN);
        let x = of.g.x;
        let pitch = of.channels().next_multiple_of(4);
        let mut filters = of.filters();
        let (z, x_bands, for_inputs) = loop {
            let weights = of.g.window.taps() * filters * pitch;
            let room = |lines: usize| of.gradients(lines, filters).filter(|(_, z)| z + weights <= SHARED);
            let fits = |lines: usize| {
                let items = (lines * x.w).div_ceil(2) * pitch / 4;
                (x.d > 1 || lines == 1 || items <= THREADS) && room(lines).is_some()
            };
            if let Some(bands) = Bands::new(x.d, x.h, fits) {
                let (z, floats) = room(bands.high)?;
                break (z, bands, floats + weights);
            }
            if filters <= 4 {
                return None;
            }
            filters = filters.div_ceil(2);
        };
        let shared = 4 * for_weights.max(for_inputs).max(EACH * THREADS);
        Some(Self { s, bands, groups, chunks: tiles.div_ceil(length), length, span, z, x_bands, filters, shared })
    }
}

/// One way to plan a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub of: Sizes,
    pub unit: Unit,
    pub forward: Forward,
    pub backward: Option<Backward>,
}

impl Layout {
    /// None where a block has too little shared memory.
    pub fn new(g: &Geometry, pool: Option<&pool::Geometry>, capacity: usize, differentiable: bool) -> Option<Self> {
        let (pool, p) = pool.map_or(([1; 3], g.y.space()), |pool| (pool.window.size, pool.y.space()));
        let of = Sizes { g: *g, pool, p, capacity };
        let (forward, backward) = (Forward::new(&of)?, if differentiable { Some(Backward::new(&of)?) } else { None });
        let blocks =
            |of: &Sizes| [of.capacity, of.g.x.d * of.g.x.h, of.filters()].into_iter().try_fold(1_usize, usize::checked_mul);
        blocks(&of).filter(|&n| n < 1 << 30)?;
        Some(Self { of, unit: of.unit(), forward, backward })
    }
}
