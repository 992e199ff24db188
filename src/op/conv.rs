//! Convolution: y(p, f) = b(f) + Σ_(t,i) x(q, i)·w(t, i, f), summed over the taps t and input positions q that meet
//! output p (see [`im2col`](super::im2col)) and the channels i of f's group; its gradients wrt x and w.

use super::conv_cpu as loops;
pub(crate) use super::conv_cpu::{After, End};
use super::conv_neighbours::Neighbours;
use super::conv_plan::Gather;
pub use super::conv_slices::Slices;
use super::conv_winograd::{self as winograd, Winograd};
use super::simd::lanes;
use crate::device::{Cpu, Isa};
use crate::memory::{Element, GradMode, Planner, Slot, Space, Step};
use crate::{Error, Extent, Math, Real, Result, Window, real};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The sizes of a convolution: input, output, window, groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Input.
    pub x: Extent,
    /// Output.
    pub y: Extent,
    /// Window over the input.
    pub window: Window,
    /// Channels and filters fall into this many independent groups.
    pub groups: usize,
}

impl Geometry {
    /// Checks that the window fits and the groups divide.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape).
    pub fn new(x: Extent, filters: usize, window: Window, groups: usize) -> Result<Self> {
        x.check()?;
        let y = Extent { c: filters, ..x.with_space(window.output(x.space())?) }.check()?;
        let mut window = window;
        for i in 0..3 {
            // Steps that are never taken; as 1 they make no phases and cannot overflow.
            if y.space()[i] == 1 {
                window.stride[i] = 1;
            }
            if x.space()[i] == 1 {
                window.gap[i] = 0;
            }
            if window.size[i] == 1 {
                window.dilation[i] = 1;
            }
        }
        if groups == 0 || !x.c.is_multiple_of(groups) || !filters.is_multiple_of(groups) {
            return Err(Error::shape("", "groups must divide the channels and the filters")
                .expected(format!("a divisor of {} and {filters}", x.c))
                .got(groups));
        }
        Ok(Self { x, y, window, groups })
    }

    /// The shape of the weights, [kd, kh, kw, c/groups, filters]: filters are contiguous.
    pub fn weights(&self) -> [usize; 5] {
        let [kd, kh, kw] = self.window.size;
        [kd, kh, kw, self.x.c / self.groups, self.y.c]
    }

    /// Multiply-adds of one image, those with the zeros of the padding included.
    pub fn products(&self) -> usize {
        self.weights().into_iter().fold(self.y.area(), usize::saturating_mul)
    }

    /// Elements of the weights, or an error if they do not fit in memory.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape).
    pub fn weight_len(&self) -> Result<usize> {
        let product = self.weights().into_iter().try_fold(1_usize, usize::checked_mul).filter(|&n| n <= 1 << 40);
        product.ok_or_else(|| {
            Error::shape("weight", "too many elements").expected("at most 2^40").got(format!("{:?}", self.weights()))
        })
    }
}

/// A planned convolution: its tables, and the scratch that all directions share in turn.
#[derive(Debug)]
pub(crate) struct Conv {
    forward: Gather,
    backward: Gather,
    /// How the gathers take neighbouring outputs at once, if they do.
    together: [Option<Neighbours>; 2],
    /// How they are computed in tiles, if they are.
    tiled: [Option<Winograd>; 2],
    /// Elements of a vector register.
    lanes: usize,
    /// Tasks that work at once; each has a unit's copy in the scratch.
    tasks: usize,
    /// Runs of units that sum up weight gradients on their own; depends on the shape alone.
    chunks: usize,
    scratch: Slot,
    /// Whether the forward pass of the layer is the backward direction.
    flip: bool,
    kept: Option<Kept>,
}

/// The packed weights of a plan for inference, from pass to pass.
#[derive(Debug)]
struct Kept {
    slot: Slot,
    /// The count of changes of the parameters when they were packed.
    at: AtomicU64,
}

/// Multiplications below which a pass stays on the calling thread: some 10 µs of work, several times a hand-off.
const SERIAL: usize = 1 << 19;
/// Elements of all partial sums of weight gradients.
const SUMS: usize = 1 << 19;
/// The most partial sums: enough for the threads of a workstation to share.
const CHUNKS: usize = 16;

impl Conv {
    /// Plans all three directions, or only the one that inference takes: forward, or (`flip`) backward.
    pub(super) fn plan(g: Geometry, flip: bool, (isa, threads): (Isa, usize), p: &mut Planner<'_>) -> Result<Self> {
        let lanes = real!(p.dtype(), T => lanes::<T>(isa));
        let (mut conv, all) = Self::new(g, p.capacity(), lanes, threads, p.math())?;
        conv.flip = flip;
        let mut len = all;
        if !p.mode().differentiable() {
            let packed = part(conv.packed_len(flip));
            conv.kept = Some(Kept { slot: p.lasting(p.dtype(), packed.max(1)), at: AtomicU64::new(u64::MAX) });
            len = (conv.gather_len(flip) - packed).max(1);
        }
        conv.scratch = p.scratch(p.dtype(), len);
        Ok(conv)
    }

    /// A plan outside of a network, for batches of up to `capacity` rows of T, and the elements of scratch it needs.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for sizes that do not fit in memory.
    pub fn on_cpu<T: Real>(g: Geometry, capacity: usize, cpu: &Cpu, math: Math) -> Result<(Self, usize)> {
        Self::new(g, capacity, lanes::<T>(cpu.isa()), cpu.threads(), math)
    }

    fn new(g: Geometry, capacity: usize, lanes: usize, threads: usize, math: Math) -> Result<(Self, usize)> {
        let weights = g.weight_len()?;
        let plan = |flip: bool| {
            let together = Neighbours::of(&g, flip, lanes);
            let wide = together.as_ref().and_then(|n| Gather::plan(&n.wide, false, capacity).ok());
            match wide {
                Some(gather) => Ok((gather, together)),
                None => Gather::plan(&g, flip, capacity).map(|gather| (gather, None)),
            }
        };
        let ((forward, few), (backward, few_back)) = (plan(false)?, plan(true)?);
        let tiled = |gather: &Gather, together: &Option<Neighbours>| {
            if math == Math::Exact || together.is_some() { None } else { Winograd::of(&g, gather, capacity) }
        };
        let tiled = [tiled(&forward, &few), tiled(&backward, &few_back)];
        let work = (g.y.area() as u128) * (weights as u128) * (capacity as u128);
        let tasks = if work < SERIAL as u128 { 1 } else { 2 * threads };
        let sum = few.as_ref().map_or(weights, Neighbours::len);
        let chunks = (SUMS / sum).clamp(1, CHUNKS).min(forward.units(capacity));
        let scratch = Slot { space: Space::Local, index: 0 };
        let together = [few, few_back];
        let conv = Self { forward, backward, together, tiled, lanes, tasks, chunks, scratch, flip: false, kept: None };
        let sums = if chunks > 1 { chunks * sum } else { 0 };
        let weights = part(tasks * conv.forward.copy_len()) + conv.wide_len(false).0 + sums;
        let len = weights.max(conv.gather_len(false)).max(conv.gather_len(true)).max(1);
        Ok((conv, len))
    }

    /// Which directions are computed in Winograd's tiles.
    #[cfg(test)]
    pub fn tiled(&self) -> [bool; 2] {
        self.tiled.each_ref().map(Option::is_some)
    }

    fn direction(&self, flip: bool) -> &Gather {
        if flip { &self.backward } else { &self.forward }
    }

    /// Scratch of the forward or (`flip`) backward pass: packed weights, then what [`Conv::packed`] takes.
    fn gather_len(&self, flip: bool) -> usize {
        let g = self.direction(flip);
        let packed = part(self.packed_len(flip));
        if let Some(tiled) = &self.tiled[usize::from(flip)] {
            let (each, all) = tiled.work_len();
            return packed + part(loops::packed_len(g, self.lanes)).max(self.tasks * each + all);
        }
        let (weights, bias) = self.wide_len(flip);
        packed + weights + bias + part(self.tasks * g.copy_len())
    }

    /// Elements of the packed weights of a direction.
    fn packed_len(&self, flip: bool) -> usize {
        let g = self.direction(flip);
        let direct = || loops::packed_len(g, self.lanes);
        self.tiled[usize::from(flip)].as_ref().map_or_else(direct, |tiled| tiled.packed_len(g, self.lanes))
    }

    /// Scratch for the weights and the bias of neighbours taken together.
    fn wide_len(&self, flip: bool) -> (usize, usize) {
        let of = |n: &Neighbours| (part(n.len()), part(n.wide.y.c));
        self.together[usize::from(flip)].as_ref().map_or((0, 0), of)
    }

    /// What the directions need as `scratch`.
    pub(crate) fn scratch(&self) -> Slot {
        self.scratch
    }

    /// y = conv(x, w), with an end.
    pub fn forward<T: Real>(&self, cpu: &Cpu, x: &[T], w: &[T], end: End<'_, T>, y: &mut [T], scratch: &mut [T]) {
        self.gather(cpu, false, x, w, end, y, scratch);
    }

    /// dx from dy; with a bias it is the forward pass of the transposed convolution.
    pub fn backward<T: Real>(&self, cpu: &Cpu, dy: &[T], w: &[T], end: End<'_, T>, dx: &mut [T], scratch: &mut [T]) {
        self.gather(cpu, true, dy, w, end, dx, scratch);
    }

    #[allow(clippy::too_many_arguments)]
    fn gather<T: Real>(&self, cpu: &Cpu, flip: bool, x: &[T], w: &[T], end: End<'_, T>, y: &mut [T], scratch: &mut [T]) {
        let (packed, scratch) = scratch.split_at_mut(part(self.packed_len(flip)));
        self.pack(cpu, flip, w, packed, scratch);
        self.packed(cpu, flip, x, packed, (end, None), y, scratch);
    }

    /// Values of a unit's outputs, where something can follow on them: in a plan for inference.
    pub fn unit(&self) -> Option<usize> {
        let g = &self.forward;
        let fits = self.kept.is_some() && self.tiled[0].is_none() && !self.flip && g.whole() && (g.groups == 1 || g.each);
        fits.then(|| g.unit_len())
    }

    /// Units that are computed at once.
    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// The forward pass of a layer. In a plan for inference weights are packed only after they may have changed.
    pub fn layer<T: Real + Element>(
        &self,
        s: &Step<'_>,
        cpu: &Cpu,
        x: &[T],
        w: &[T],
        (end, after): (End<'_, T>, Option<After<'_, T>>),
        y: &mut [T],
    ) -> Result<()> {
        let scratch = &mut s.write::<T>(self.scratch)?[..];
        let Some(kept) = &self.kept else {
            debug_assert!(after.is_none());
            self.gather(cpu, self.flip, x, w, end, y, scratch);
            return Ok(());
        };
        let (packed, now) = (&mut s.write::<T>(kept.slot)?[..], s.weight_changes());
        if kept.at.load(Relaxed) != now {
            self.pack(cpu, self.flip, w, packed, scratch);
            kept.at.store(now, Relaxed);
        }
        self.packed(cpu, self.flip, x, packed, (end, after), y, scratch);
        Ok(())
    }

    /// Packs the weights of a direction.
    fn pack<T: Real>(&self, cpu: &Cpu, flip: bool, w: &[T], packed: &mut [T], scratch: &mut [T]) {
        let g = self.direction(flip);
        if self.tiled[usize::from(flip)].is_some() {
            winograd::transform(cpu, g, flip, self.lanes, w, &mut scratch[..loops::packed_len(g, self.lanes)], packed);
        } else if let Some(together) = &self.together[usize::from(flip)] {
            let wide = &mut scratch[..together.len()];
            together.widen(w, wide);
            loops::pack(cpu, g, false, self.lanes, wide, packed);
        } else {
            loops::pack(cpu, g, flip, self.lanes, w, packed);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn packed<T: Real>(&self, cpu: &Cpu, flip: bool, x: &[T], packed: &[T], ends: Ends<'_, T>, y: &mut [T], scratch: &mut [T]) {
        let g = self.direction(flip);
        let (mut end, after) = ends;
        if let Some(tiled) = &self.tiled[usize::from(flip)] {
            debug_assert!(after.is_none());
            return tiled.run(cpu, g, self.lanes, self.tasks, x, packed, end, y, scratch);
        }
        let (weights, biases) = self.wide_len(flip);
        let (bias, copies) = scratch[weights..].split_at_mut(biases);
        if let Some(together) = &self.together[usize::from(flip)] {
            end.bias = end.bias.map(|b| {
                together.repeat(b, &mut bias[..g.output.c]);
                &bias[..g.output.c]
            });
        }
        if g.sparse && end.mode == GradMode::Write {
            start(y, g.output.c, end);
        }
        loops::gather(cpu, g, self.lanes, self.tasks, x, packed, end, after, y, copies);
    }

    /// dw from x and dy.
    pub fn weights<T: Real>(&self, cpu: &Cpu, x: &[T], dy: &[T], dw: &mut [T], mode: GradMode, scratch: &mut [T]) {
        let (copies, scratch) = scratch.split_at_mut(part(self.tasks * self.forward.copy_len()));
        let (wide, sums) = scratch.split_at_mut(self.wide_len(false).0);
        let (g, split) = (&self.forward, (self.tasks, self.chunks));
        if let Some(together) = &self.together[0] {
            let wide = &mut wide[..together.len()];
            loops::weights(cpu, g, self.lanes, split, x, dy, wide, GradMode::Write, (copies, sums));
            together.sum(wide, mode, dw);
        } else {
            loops::weights(cpu, g, self.lanes, split, x, dy, dw, mode, (copies, sums));
        }
    }
}

/// The end of a pass and what comes after it.
type Ends<'a, T> = (End<'a, T>, Option<After<'a, T>>);

/// A part of the scratch, rounded up to whole cache lines.
fn part(len: usize) -> usize {
    len.next_multiple_of(16)
}

/// What outputs are that meet no tap.
fn start<T: Real>(y: &mut [T], c: usize, end: End<'_, T>) {
    let Some(b) = end.bias else { return y.fill(T::ZERO) };
    for y in y.chunks_exact_mut(c) {
        for (y, b) in y.iter_mut().zip(b) {
            *y = if end.relu && *b < T::ZERO { T::ZERO } else { *b };
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
