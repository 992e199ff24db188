//! Where a convolution finds its operands: tables made when planning, so that the inner loops only add offsets.
//!
//! One operation, *gather*, serves three purposes: out(p, j) = Σ_(t,i) in[(p·s + o + t·e)/u][i]·w(t, i, j) over the taps t
//! for which the position is a whole number inside the input. Forward: stride s, dilation e, o = −before, u = gap + 1.
//! The gradient wrt the input, and the transposed convolution: s and u change places and the taps are flipped, which
//! makes o = before − (size − 1)·e.
//!
//! With u > 1 an output meets only some taps. Along each axis the outputs fall into u/gcd(s, u) *phases*, the residue
//! classes that meet the same taps; a phase is a plain convolution with stride s/gcd(s, u) and dilation e/gcd(e, u).
//! A [`Part`] is one combination of phases over the three axes. Each tap belongs to at most one phase; outputs of phases
//! that meet no tap get the bias alone.
//!
//! The outputs are computed in *units*: blocks small enough that the input under them, padded, stays in the cache.

use super::conv::Geometry;
use crate::{Error, Extent, Result};

/// One axis of a gather.
#[derive(Clone, Copy, Debug)]
struct Axis {
    input: usize,
    output: usize,
    size: usize,
    stride: usize,
    up: usize,
    origin: isize,
    dilation: usize,
}

/// The outputs first, first + step, … of an axis, and the taps tap, tap + tap_step, … that they meet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub first: usize,
    pub count: usize,
    pub tap: usize,
    pub taps: usize,
    pub origin: isize,
}

/// An axis by phases. Output first + j·step of a phase and its tap i meet input origin + j·stride + i·dilation.
#[derive(Clone, Debug)]
pub(super) struct Phases {
    pub step: usize,
    pub tap_step: usize,
    pub stride: usize,
    pub dilation: usize,
    pub list: Vec<Phase>,
    /// The most outputs a phase has.
    pub most: usize,
    /// The first input that any phase asks for, and one past the last.
    pub low: isize,
    pub high: isize,
    /// Some outputs meet no tap.
    pub sparse: bool,
}

impl Phases {
    /// Inputs from the first to the last that `steps` outputs of each phase ask for.
    fn span(&self, steps: usize) -> usize {
        let end = |p: &Phase| {
            let last = (steps.min(p.count) - 1) * self.stride + (p.taps - 1) * self.dilation;
            (p.origin - self.low) as usize + last + 1
        };
        self.list.iter().map(end).max().unwrap_or(1)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The number below m that times a is 1 modulo m, for a and m without a common divisor (Euclid).
fn inverse(a: usize, m: usize) -> usize {
    let (mut r, mut next_r, mut t, mut next_t) = (m as i128, (a % m) as i128, 0_i128, 1_i128);
    while next_r != 0 {
        let q = r / next_r;
        (r, next_r) = (next_r, r - q * next_r);
        (t, next_t) = (next_t, t - q * next_t);
    }
    t.rem_euclid(m as i128) as usize
}

impl Axis {
    /// The phases that meet a tap. The first output of tap t's phase solves first·stride + origin + t·dilation ≡ 0 modulo u.
    fn phases(self) -> Phases {
        let (common, tap_step) = (gcd(self.stride, self.up), self.up / gcd(self.dilation, self.up));
        let (step, up) = (self.up / common, self.up as i128);
        let (stride, dilation) = (self.stride / common, self.dilation / gcd(self.dilation, self.up));
        let inverse = inverse(stride, step) as i128;
        let phase = |tap: usize| {
            let at = self.origin as i128 + tap as i128 * self.dilation as i128;
            let residue = (-at).rem_euclid(up);
            let first = (residue / common as i128 * inverse % step as i128) as usize;
            (residue % common as i128 == 0 && first < self.output).then(|| Phase {
                first,
                count: (self.output - first).div_ceil(step),
                tap,
                taps: (self.size - tap).div_ceil(tap_step),
                origin: ((first as i128 * self.stride as i128 + at) / up) as isize,
            })
        };
        let mut list: Vec<Phase> = (0..tap_step.min(self.size)).filter_map(phase).collect();
        list.sort_by_key(|p| p.first);
        let end = |p: &Phase| p.origin + ((p.count - 1) * stride + (p.taps - 1) * dilation + 1) as isize;
        let low = list.iter().map(|p| p.origin).min().unwrap_or(0);
        let high = list.iter().map(end).max().unwrap_or(low + 1);
        let sparse = list.len() < step.min(self.output);
        Phases { step, tap_step, stride, dilation, most: self.output.div_ceil(step), low, high, list, sparse }
    }
}

/// Where an element of the tile's left operand is found, and where its result goes, in elements from the unit's bases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub from: usize,
    pub to: usize,
}

/// A run of consecutive products: where it begins in the left operand and in the right one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub a: usize,
    pub b: usize,
}

/// One combination of phases.
#[derive(Debug)]
pub(crate) struct Part {
    /// Outputs along d, h, w.
    pub count: [usize; 3],
    /// The outputs of a full unit, row by row.
    pub pixels: Vec<Place>,
    /// For each weight row (tap, channel of a group): the input it meets under the first output, and its place in dw.
    pub rows: Vec<Place>,
    /// Runs of `run` input elements under a window, with `b` counting rows of weights.
    pub runs: Vec<Segment>,
    pub run: usize,
    /// How many runs to take at a time, so that their packed weights stay in the cache.
    pub together: usize,
    /// Rows of outputs of a full unit, for the weight gradient: `a` in the input, `b` in the output.
    pub lines: Vec<Segment>,
    /// The tap of each group of `c` weight rows, in the order of the original window.
    pub taps: Vec<usize>,
    /// Weight rows in the parts before.
    pub before: usize,
}

/// A gather with its tables.
#[derive(Debug)]
pub(crate) struct Gather {
    pub input: Extent,
    pub output: Extent,
    pub groups: usize,
    /// Depthwise, one filter for each channel: vectors run over channels, and operands meet element by element.
    pub each: bool,
    /// The combinations of phases that meet a tap.
    pub parts: Vec<Part>,
    /// Some outputs meet no tap.
    pub sparse: bool,
    /// Outputs of a phase in a unit, along n, d, h, w.
    pub block: [usize; 4],
    /// The most outputs of a phase along d, h, w.
    pub most: [usize; 3],
    /// Whether the input is read where it lies; otherwise units are copied, with zeros around.
    pub direct: bool,
    /// Sizes of one image of a unit's input, and the distance of its pixels.
    pub span: [usize; 3],
    pub pitch: usize,
    /// The first input position of the first unit, per axis.
    pub low: [isize; 3],
    /// Input steps from one output of a phase to the next, per axis.
    pub stride: [usize; 3],
    /// Outputs from one of a phase to the next, per axis.
    pub step: [usize; 3],
}

/// Input elements of a unit: half of a 256 KiB second-level cache in f32.
const UNIT: usize = 32 * 1024;
/// Outputs that a unit of small images gathers, so that the last tile of a unit is a small part of it; and the outputs
/// for which a unit of many channels may grow beyond `UNIT`, so that weights are read seldom.
const PIXELS: usize = 256;

/// The most weight rows: their table then takes 256 MiB.
const ROWS: usize = 1 << 24;
/// Weight rows whose panel of two vectors (64 bytes each) takes a quarter of a 1 MiB second-level cache.
const DEEP: usize = 2048;

/// The axes of the forward pass, or (`flip`) of the gradient wrt the input.
fn axes(g: &Geometry, flip: bool) -> [Axis; 3] {
    std::array::from_fn(|i| {
        let (x, y, window) = (g.x.space()[i], g.y.space()[i], g.window);
        let (size, dilation, before) = (window.size[i], window.dilation[i], window.before[i] as isize);
        if flip {
            let origin = before - ((size - 1) * dilation) as isize;
            Axis { input: y, output: x, size, stride: window.gap[i] + 1, up: window.stride[i], origin, dilation }
        } else {
            Axis { input: x, output: y, size, stride: window.stride[i], up: window.gap[i] + 1, origin: -before, dilation }
        }
    })
}

/// The phases along each axis of the forward pass, or (`flip`) of the gradient wrt the input.
pub(super) fn phases(g: &Geometry, flip: bool) -> [Phases; 3] {
    axes(g, flip).map(Axis::phases)
}

impl Gather {
    /// The forward pass of a convolution, or (`flip`) the gradient wrt its input.
    pub fn plan(g: &Geometry, flip: bool, capacity: usize) -> Result<Self> {
        let axes = axes(g, flip);
        let (input, output) = if flip { (g.y, g.x) } else { (g.x, g.y) };
        let rows = (input.c / g.groups).checked_mul(g.window.taps());
        if rows.is_none_or(|rows| rows > ROWS) {
            return Err(Error::shape("window", "too many weights for one output").expected("at most 2^24"));
        }
        let phases = axes.map(Axis::phases);
        let most: [usize; 3] = std::array::from_fn(|i| phases[i].most);
        let inside = |i: usize| phases[i].low >= 0 && phases[i].high <= axes[i].input as isize;
        let pitch = pitch(input.c);
        let direct = pitch == input.c && (0..3).all(inside);
        let stride: [usize; 3] = std::array::from_fn(|i| phases[i].stride);
        let block = block(capacity, &phases, pitch);
        let span = if direct { input.space() } else { std::array::from_fn(|i| phases[i].span(block[i + 1])) };
        let fits = span.into_iter().chain([pitch, block[0]]).try_fold(1_usize, usize::checked_mul).is_some_and(|n| n <= 1 << 36);
        if !fits {
            return Err(Error::shape("window", "one row of the padded input is too large").expected("at most 2^36 values"));
        }
        let mut gather = Self {
            input,
            output,
            groups: g.groups,
            each: g.groups == g.x.c && g.groups == g.y.c,
            parts: Vec::new(),
            sparse: phases.iter().any(|p| p.sparse),
            block,
            most,
            direct,
            span,
            pitch,
            low: std::array::from_fn(|i| phases[i].low),
            stride,
            step: std::array::from_fn(|i| phases[i].step),
        };
        gather.fill(&phases, g.window.size, flip);
        Ok(gather)
    }

    fn fill(&mut self, phases: &[Phases; 3], size: [usize; 3], flip: bool) {
        let mut before = 0;
        for d in &phases[0].list {
            for h in &phases[1].list {
                for w in &phases[2].list {
                    let part = self.part(phases, [*d, *h, *w], size, flip, before);
                    before += part.rows.len();
                    self.parts.push(part);
                }
            }
        }
    }

    fn part(&self, phases: &[Phases; 3], at: [Phase; 3], size: [usize; 3], flip: bool, before: usize) -> Part {
        let (c, f) = (self.input.c / self.groups, self.output.c);
        let [dilation, tap_step]: [[usize; 3]; 2] =
            [phases.each_ref().map(|p| p.dilation), phases.each_ref().map(|p| p.tap_step)];
        // Offsets of an input position, relative to the unit's first, and of an output position.
        let from = |p: [usize; 3]| ((p[0] * self.span[1] + p[1]) * self.span[2] + p[2]) * self.pitch;
        let to = |p: [usize; 3]| ((p[0] * self.output.h + p[1]) * self.output.w + p[2]) * f;
        let origin: [usize; 3] = std::array::from_fn(|i| (at[i].origin - phases[i].low) as usize);

        let (mut rows, mut taps, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        let whole = self.groups == 1 && dilation[2] == 1 && self.pitch == self.input.c;
        let run = if whole { at[2].taps * c } else { c };
        for [d, h, w] in places(at.map(|p| p.taps)) {
            let offset = from([d * dilation[0], h * dilation[1], w * dilation[2]]);
            let mut tap: [usize; 3] = std::array::from_fn(|i| at[i].tap + [d, h, w][i] * tap_step[i]);
            if flip {
                tap = std::array::from_fn(|i| size[i] - 1 - tap[i]);
            }
            let tap = (tap[0] * size[1] + tap[1]) * size[2] + tap[2];
            if !whole || w == 0 {
                runs.push(Segment { a: offset, b: taps.len() * c });
            }
            taps.push(tap);
            rows.extend((0..c).map(|i| Place { from: offset + i, to: (tap * c + i) * f }));
        }

        let image = self.span.iter().product::<usize>() * self.pitch;
        let (in_row, out_row) = if self.direct { (self.input.len(), self.output.len()) } else { (image, self.output.len()) };
        let count: [usize; 3] = at.map(|p| p.count);
        let full: [usize; 3] = std::array::from_fn(|i| count[i].min(self.block[i + 1]));
        let (mut pixels, mut lines) = (Vec::new(), Vec::new());
        for n in 0..self.block[0] {
            for p in places(full) {
                let from = n * in_row + from(std::array::from_fn(|i| origin[i] + p[i] * self.stride[i]));
                let to = n * out_row + to(std::array::from_fn(|i| at[i].first + p[i] * self.step[i]));
                pixels.push(Place { from, to });
                if p[2] == 0 {
                    lines.push(Segment { a: from, b: to });
                }
            }
        }
        let together = (DEEP / run).clamp(1, runs.len());
        Part { count, pixels, rows, runs, run, together, lines, taps, before }
    }

    /// Groups as the loops see them, and the outputs in one.
    pub fn columns(&self) -> (usize, usize) {
        if self.each { (1, self.output.c) } else { (self.groups, self.output.c / self.groups) }
    }

    /// Units of a batch of `rows`.
    pub fn units(&self, rows: usize) -> usize {
        let blocks: usize = (0..3).map(|i| self.most[i].div_ceil(self.block[i + 1])).product();
        rows.div_ceil(self.block[0]) * blocks
    }

    /// Elements of a unit's padded copy; 0 where none is made.
    pub fn copy_len(&self) -> usize {
        if self.direct { 0 } else { self.span.iter().product::<usize>() * self.pitch * self.block[0] }
    }

    /// Outputs of a full unit.
    pub fn unit_len(&self) -> usize {
        self.block.iter().product::<usize>() * self.output.c
    }

    /// Whether the outputs of a unit are one piece of the output, in order.
    pub fn whole(&self) -> bool {
        self.parts.len() == 1 && self.step == [1; 3] && !self.sparse
    }

    /// The unit's first output of each phase along n, d, h, w.
    pub fn start(&self, unit: usize) -> [usize; 4] {
        let blocks: [usize; 3] = std::array::from_fn(|i| self.most[i].div_ceil(self.block[i + 1]));
        let (w, rest) = (unit % blocks[2], unit / blocks[2]);
        let (h, rest) = (rest % blocks[1], rest / blocks[1]);
        let (d, n) = (rest % blocks[0], rest / blocks[0]);
        [n * self.block[0], d * self.block[1], h * self.block[2], w * self.block[3]]
    }

    /// Outputs of `part` in the unit that begins at `start`, along n, d, h, w. Only the outermost axis that is cut into
    /// several blocks can be cut short, and no axis outside of it holds more than one, so the valid entries of
    /// `pixels` and `lines` are the first ones.
    pub fn valid(&self, part: &Part, start: [usize; 4], rows: usize) -> [usize; 4] {
        let whole = [rows, part.count[0], part.count[1], part.count[2]];
        std::array::from_fn(|i| whole[i].saturating_sub(start[i]).min(self.block[i]))
    }

    /// Where the unit begins in the output.
    pub fn output_base(&self, start: [usize; 4]) -> usize {
        let at: [usize; 3] = std::array::from_fn(|i| start[i + 1] * self.step[i]);
        start[0] * self.output.len() + ((at[0] * self.output.h + at[1]) * self.output.w + at[2]) * self.output.c
    }

    /// The first input position that the unit reads, per axis.
    pub fn input_start(&self, start: [usize; 4]) -> [isize; 3] {
        std::array::from_fn(|i| self.low[i] + (start[i + 1] * self.stride[i]) as isize)
    }
}

/// The distance of pixels: rows of a tile whose distance is a multiple of 2 KiB would fall into the same few sets of the
/// first-level cache (64 sets of 64 bytes), so such pixels get 16 elements more.
pub(super) fn pitch(c: usize) -> usize {
    if c >= 512 && c.is_multiple_of(512) { c + 16 } else { c }
}

/// Outputs of a unit along n, d, h, w: whole images while they fit, else blocks along the first axis on which one step
/// with everything inside it fits.
fn block(capacity: usize, phases: &[Phases; 3], pitch: usize) -> [usize; 4] {
    let most = phases.each_ref().map(|p| p.most);
    let inner = |axis: usize| (axis..3).fold(pitch, |n, i| n.saturating_mul(phases[i].span(most[i])));
    // With the rows around 256 pixels in a square.
    let unit = UNIT.max(pitch.saturating_mul(PIXELS * 3 / 2)).min(32 * UNIT);
    if inner(0) <= unit {
        let area = most.iter().fold(1_usize, |n, &m| n.saturating_mul(m));
        let n = (unit / inner(0)).min(PIXELS.div_ceil(area)).clamp(1, capacity.max(1));
        return [n, most[0], most[1], most[2]];
    }
    let fits = |axis: usize| phases[axis].span(1).saturating_mul(inner(axis + 1)) <= unit;
    let axis = (0..2).find(|&axis| fits(axis)).unwrap_or(2);
    let spare = (unit / inner(axis + 1)).saturating_sub(phases[axis].span(1));
    let steps = (spare / phases[axis].stride + 1).min(most[axis]);
    let mut block = [1; 4];
    // As even as the number of blocks allows, but whole windows of a pooling that may follow.
    let even = most[axis].div_ceil(most[axis].div_ceil(steps));
    let rounded = if even.next_multiple_of(4) <= steps { even.next_multiple_of(4) } else { even / 4 * 4 };
    block[axis + 1] = if even < 8 { even } else { rounded };
    block[axis + 2..].copy_from_slice(&most[axis + 1..]);
    block
}

/// All positions of a box in order.
fn places([d, h, w]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..d).flat_map(move |d| (0..h).flat_map(move |h| (0..w).map(move |w| [d, h, w])))
}
