//! From declarations to offsets: who needs how much memory, when, and where it lies.
//!
//! Time is a list of events: forward of node i at i, the losses at n, backward of node i at 2n − i. Each request states
//! when it is alive; requests that are never alive together may share bytes. Packing is greedy: largest first, each at
//! the lowest offset that is free during its whole life.
//!
//! # Source
//! The greedy-by-size strategy of Pisarchyk & Lee 2020, "Efficient memory management for deep neural net inference".

use super::{ALIGN, Arena, Region, Slot, Space, Store};
use crate::device::{Device, Kernel, Source};
use crate::rng::{Init, hash};
use crate::shape::Axes;
use crate::{DType, Math, Mode, Precision, Result};
use std::cell::RefCell;

/// What a parameter is, for weight decay and freezing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ParamKind {
    /// Multiplies activations; decayed.
    Weight,
    /// Added to activations; spared by weight decay on request.
    Bias,
    /// Scale or shift of a normalisation, slope of an activation; spared by weight decay on request.
    Norm,
}

/// A parameter as a layer declares it.
#[derive(Clone, Debug)]
pub struct ParamSpec {
    pub(crate) shape: Vec<usize>,
    pub(crate) kind: ParamKind,
    pub(crate) init: Init,
    pub(crate) fans: (usize, usize),
}

impl ParamSpec {
    /// A weight of this shape (rows first); `fans` are the inputs and outputs of one unit.
    pub fn weight(shape: &[usize], init: Init, fans: (usize, usize)) -> Self {
        Self { shape: shape.to_vec(), kind: ParamKind::Weight, init, fans }
    }

    /// A bias of `len` elements, all `value` at first.
    pub fn bias(len: usize, value: f64) -> Self {
        Self { shape: vec![len], kind: ParamKind::Bias, init: Init::Constant(value), fans: (1, 1) }
    }

    /// A scale, shift or slope of `len` elements, all `value` at first.
    pub fn norm(len: usize, value: f64) -> Self {
        Self { kind: ParamKind::Norm, ..Self::bias(len, value) }
    }

    /// Replaces the initializer.
    #[must_use]
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }
}

/// The slots of a parameter; `dw` is `None` when it is frozen. Hand `dw` to [`Step::grad`](super::Step::grad).
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Values.
    pub w: Slot,
    /// Gradient.
    pub dw: Option<Slot>,
}

/// Elements of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Size {
    PerRow(usize),
    Fixed(usize),
}

/// When a request is alive; both ends included.
pub(crate) type Span = (u32, u32);

/// The life of what is kept from pass to pass.
pub(crate) const ALWAYS: Span = (0, u32::MAX);

/// One request for plan-local memory.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub size: Size,
    pub dtype: DType,
    pub spans: Vec<Span>,
    /// The node that asked, for the report.
    pub node: u32,
}

impl Request {
    pub fn len(&self, capacity: usize) -> usize {
        match self.size {
            Size::PerRow(n) => n.saturating_mul(capacity),
            Size::Fixed(n) => n,
        }
    }

    pub fn bytes(&self, capacity: usize) -> usize {
        self.len(capacity).saturating_mul(self.dtype.bytes())
    }

    /// The same request, of nothing at no time.
    pub fn none(&self) -> Self {
        Self { size: Size::Fixed(0), spans: Vec::new(), ..*self }
    }

    fn meets(&self, other: &Self) -> bool {
        self.spans.iter().any(|a| other.spans.iter().any(|b| a.0 <= b.1 && b.0 <= a.1))
    }
}

/// What a layer or loss asks for while it is planned: facts about the plan, parameters, and memory.
#[derive(Debug)]
pub struct Planner<'a> {
    pub(crate) device: &'a Device,
    pub(crate) precision: Precision,
    pub(crate) mode: Mode,
    pub(crate) capacity: usize,
    pub(crate) axes: Axes,
    pub(crate) store: &'a mut Store,
    pub(crate) requests: &'a mut Vec<Request>,
    pub(crate) node: u32,
    pub(crate) name: &'a str,
    /// Forward and backward time of the node being planned.
    pub(crate) times: (u32, u32),
    /// The kernels asked for, each with the node that did.
    pub(crate) kernels: &'a RefCell<Vec<(u32, String)>>,
}

impl Planner<'_> {
    /// The device the plan is for.
    pub fn device(&self) -> &Device {
        self.device
    }

    /// The precision the plan computes in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// How sums may be rearranged.
    pub fn math(&self) -> Math {
        self.store.math
    }

    /// The type of activations and their gradients.
    pub fn dtype(&self) -> DType {
        self.precision.storage()
    }

    /// The type of parameters, their gradients, statistics, targets and losses: f32 where activations are narrower.
    pub fn master(&self) -> DType {
        self.precision.master()
    }

    /// A kernel by its full name. Plans for the CPU get an empty handle.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) for a source that does not compile, a kernel that is not in it, or an
    /// argument of another size than on the device.
    pub fn kernel<A: bytemuck::Pod + std::fmt::Debug>(&self, source: &Source, name: &str) -> Result<Kernel<A>> {
        match self.device {
            Device::Cpu(_) => Ok(Kernel::absent()),
            Device::Cuda(cuda) => {
                self.kernels.borrow_mut().push((self.node, name.to_string()));
                cuda.kernel(source, name)
            }
        }
    }

    /// The variant of a kernel for this plan's activations: `name_f32`, `name_bf16` or `name_f16`.
    ///
    /// # Errors
    /// As [`Planner::kernel`].
    pub fn typed_kernel<A: bytemuck::Pod + std::fmt::Debug>(&self, source: &Source, name: &str) -> Result<Kernel<A>> {
        self.kernel(source, &format!("{name}_{}", self.dtype().suffix()))
    }

    /// What the plan is for. Only plans with [`Mode::differentiable`] run backward passes.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The most rows a batch may have.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The spatial axes at this node: those along which a network input or a reshape above it is longer than 1.
    pub fn axes(&self) -> Axes {
        self.axes
    }

    /// Threads that work at once on the CPU.
    pub(crate) fn threads(&self) -> usize {
        match self.device {
            Device::Cpu(cpu) => cpu.threads(),
            Device::Cuda(_) => 1,
        }
    }

    /// A number that tells this node's random draws from those of the others, whatever is inserted elsewhere.
    pub fn key(&self) -> u64 {
        hash(self.name.as_bytes())
    }

    /// Declares a trained parameter; its full name is the node's name, a dot and `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if an earlier plan declared it with another shape.
    pub fn param(&mut self, name: &str, spec: ParamSpec) -> Result<Param> {
        self.store.param(format!("{}.{name}", self.name), self.node, &spec)
    }

    /// A parameter in the type of activations, for kernels that read it so: itself, or a copy that every step finds up to date.
    pub(crate) fn as_activations(&mut self, w: Slot) -> Slot {
        match self.dtype() {
            dtype @ (DType::Bf16 | DType::F16) => {
                self.store.copies.wanted = Some(dtype);
                Slot { space: Space::Copy, index: w.index }
            }
            _ => w,
        }
    }

    /// Declares an array that is saved with the weights but not optimised: running statistics.
    ///
    /// # Errors
    /// As [`Planner::param`].
    pub fn state(&mut self, name: &str, spec: ParamSpec) -> Result<Slot> {
        self.store.state(format!("{}.{name}", self.name), self.node, &spec)
    }

    /// `per_row` elements for each row of the batch, kept from this node's forward to its backward pass.
    pub fn saved(&mut self, dtype: DType, per_row: usize) -> Slot {
        self.request(Size::PerRow(per_row), dtype, true)
    }

    /// `len` elements, whatever the batch, kept from this node's forward to its backward pass.
    pub fn saved_fixed(&mut self, dtype: DType, len: usize) -> Slot {
        self.request(Size::Fixed(len), dtype, true)
    }

    /// `len` elements within one pass; contents do not survive it.
    pub fn scratch(&mut self, dtype: DType, len: usize) -> Slot {
        self.request(Size::Fixed(len), dtype, false)
    }

    /// `per_row` elements for each row of the batch within one pass; contents do not survive it.
    pub fn scratch_rows(&mut self, dtype: DType, per_row: usize) -> Slot {
        self.request(Size::PerRow(per_row), dtype, false)
    }

    /// `per_row` elements for each row of the batch within the backward pass.
    pub(crate) fn scratch_backward(&mut self, dtype: DType, per_row: usize) -> Slot {
        let b = self.times.1;
        push(self.requests, Request { size: Size::PerRow(per_row), dtype, spans: vec![(b, b)], node: self.node })
    }

    /// `len` elements that keep their contents from pass to pass; arbitrary before the first.
    pub(crate) fn lasting(&mut self, dtype: DType, len: usize) -> Slot {
        push(self.requests, Request { size: Size::Fixed(len), dtype, spans: vec![ALWAYS], node: self.node })
    }

    fn request(&mut self, size: Size, dtype: DType, kept: bool) -> Slot {
        let (f, b) = self.times;
        let spans = match (self.mode.differentiable(), kept) {
            (false, _) => vec![(f, f)],
            (true, true) => vec![(f, b)],
            (true, false) => vec![(f, f), (b, b)],
        };
        push(self.requests, Request { size, dtype, spans, node: self.node })
    }
}

/// Adds a request and names its slot.
pub(crate) fn push(requests: &mut Vec<Request>, request: Request) -> Slot {
    requests.push(request);
    Slot { space: Space::Local, index: (requests.len() - 1) as u32 }
}

/// Byte offsets of all requests and the total, with `guard` bytes kept free after each (for canaries).
pub(crate) fn pack(requests: &[Request], capacity: usize, guard: usize) -> (Vec<usize>, usize) {
    let size = |r: &Request| r.bytes(capacity).saturating_add(guard).div_ceil(ALIGN).saturating_mul(ALIGN);
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(size(&requests[i])), i));
    let mut offsets = vec![0; requests.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(requests.len());
    let mut total = 0_usize;
    for i in order {
        // Placed neighbours in order of offset; take the first hole that fits.
        let mut offset = 0;
        for &j in &placed {
            if requests[i].meets(&requests[j]) {
                if offset + size(&requests[i]) <= offsets[j] {
                    break;
                }
                offset = offset.max(offsets[j].saturating_add(size(&requests[j])));
            }
        }
        offsets[i] = offset;
        total = total.max(offset.saturating_add(size(&requests[i])));
        let at = placed.partition_point(|&j| offsets[j] <= offset);
        placed.insert(at, i);
    }
    (offsets, total)
}

/// The arena of a packed plan.
pub(crate) fn arena(device: &Device, requests: &[Request], offsets: &[usize], total: usize, capacity: usize) -> Result<Arena> {
    let region = |(r, &offset): (&Request, &usize)| {
        let row = match r.size {
            Size::PerRow(n) => Some(n),
            Size::Fixed(_) => None,
        };
        Region { offset, len: r.len(capacity), row, dtype: r.dtype }
    };
    Arena::new(device, total, requests.iter().zip(offsets).map(region).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(len: usize, spans: Vec<Span>) -> Request {
        Request { size: Size::Fixed(len), dtype: DType::F32, spans, node: 0 }
    }

    proptest! {
        /// No two requests that are alive together share a byte, guards included; and sharing does happen.
        #[test]
        fn packing_never_overlaps(list in prop::collection::vec((1_usize..5000, 0_u32..20, 0_u32..6), 1..40)) {
            let requests: Vec<_> = list.iter().map(|&(n, t, life)| request(n, vec![(t, t + life)])).collect();
            let (offsets, total) = pack(&requests, 1, 64);
            for (i, a) in requests.iter().enumerate() {
                prop_assert!(offsets[i] % ALIGN == 0 && offsets[i] + a.bytes(1) + 64 <= total);
                for (j, b) in requests.iter().enumerate().skip(i + 1) {
                    if a.meets(b) {
                        prop_assert!(offsets[i] + a.bytes(1) + 64 <= offsets[j] || offsets[j] + b.bytes(1) + 64 <= offsets[i]);
                    }
                }
            }
            let sum: usize = requests.iter().map(|r| (r.bytes(1) + 64).next_multiple_of(ALIGN)).sum();
            prop_assert!(total <= sum);
        }
    }

    #[test]
    fn requests_that_never_meet_share_memory() {
        let (_, total) = pack(&[request(1000, vec![(0, 1)]), request(1000, vec![(2, 3)]), request(500, vec![(1, 2)])], 1, 0);
        assert_eq!(total, 4032 + 2048, "one 1000-element and one 500-element region");
    }
}
