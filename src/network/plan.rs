//! A network with memory: the passes of a plan, the places of its values, and guards around them where debug assertions are.

use super::draft::Draft;
use super::work::Work;
use super::{Network, PlanReport, small};
use crate::device::{Cuda, Device, Ptr};
use crate::layer::{Ending, Pass};
use crate::loss::{Logits, Loss, LossPass, Target};
use crate::memory::plan::{ALWAYS, Span, arena, pack};
use crate::memory::{ALIGN, Arena, GradMode, Slot, Store};
use crate::op::dense_micro::{Small, SmallDense};
use crate::{DType, Error, ErrorKind, Extent, Mode, Precision, Result};
use std::sync::Arc;

/// Guards and poison are on where debug assertions are.
pub(crate) const CHECKED: bool = cfg!(debug_assertions);
/// Bytes kept free after each region for a canary.
pub(super) const GUARD: usize = if CHECKED { ALIGN } else { 0 };

/// A loss attached to an output, with its share in the sum.
#[derive(Clone, Debug)]
pub(crate) struct LossSpec {
    pub output: usize,
    pub loss: Arc<dyn Loss>,
    pub factor: f64,
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    pub device: &'a Device,
    pub precision: Precision,
    pub mode: Mode,
    pub capacity: usize,
    pub extents: &'a [Extent],
    /// The losses to plan, with the kind of target each will see; `None` leaves it to the loss.
    pub losses: &'a [(LossSpec, Option<Target>)],
    pub input_grad: bool,
    pub kept: &'a [usize],
    /// Nodes beside the outputs at which backward passes may begin.
    pub starts: &'a [usize],
}

#[derive(Debug)]
pub(crate) struct PlannedNode {
    pub pass: Box<dyn Pass>,
    pub node: usize,
    pub x: Vec<Slot>,
    pub y: Slot,
    pub dy: Slot,
    pub dx: Vec<Option<(Slot, GradMode)>>,
    /// Whether a gradient arrives and somebody wants what the backward pass computes.
    pub backward: bool,
    /// Where to copy dy before the backward pass may overwrite it.
    pub keep_dy: Option<Slot>,
    /// A small dense layer, which the engine runs instead of the pass.
    pub small: Option<Small>,
    pub work: Work,
    /// The nodes of the network that it computes.
    pub covers: Vec<usize>,
}

/// A value that enters or leaves the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub node: usize,
    pub extent: Extent,
    pub y: Slot,
    pub dy: Option<Slot>,
}

#[derive(Debug)]
pub(crate) struct LossPort {
    pub output: usize,
    pub factor: f64,
    pub value: Slot,
    /// One for each kind of target that the plan can take; never empty.
    pub kinds: Vec<LossKind>,
    /// The kind that is staged.
    pub used: usize,
}

/// A loss planned for one kind of target.
#[derive(Debug)]
pub(crate) struct LossKind {
    pub pass: Box<dyn LossPass>,
    pub kind: Target,
    pub target: Slot,
}

impl LossPort {
    pub fn used(&self) -> &LossKind {
        &self.kinds[self.used]
    }
}

/// A node that evaluates the only loss, of its own results.
#[derive(Debug)]
pub(crate) struct Finale {
    /// Its place in the plan.
    pub at: usize,
    pub ending: Arc<dyn Ending>,
    pub loss: Logits,
}

/// A network planned for one device, precision, mode, capacity and image size.
#[derive(Debug)]
pub(crate) struct Plan {
    pub nodes: Vec<PlannedNode>,
    pub inputs: Vec<Port>,
    /// Those of the network, then the other nodes at which backward passes may begin.
    pub outputs: Vec<Port>,
    pub kept: Vec<Port>,
    pub losses: Vec<LossPort>,
    pub finale: Option<Finale>,
    /// What layers add to the mean loss.
    pub penalties: Vec<Slot>,
    /// One weight per row, where there are losses.
    pub weight: Option<Slot>,
    pub arena: Arena,
    pub report: PlanReport,
    pub capacity: usize,
    /// Number of nodes: the time of the losses.
    pub middle: u32,
}

impl Plan {
    /// Plans without allocating; the report alone.
    pub fn report_only(net: &Network, mode: Mode, capacity: usize) -> Result<PlanReport> {
        let device = Device::cpu_threads(1)?;
        let mut store = Store::new(&device, DType::F32);
        let extents: Vec<Extent> = net.inputs().map(|(_, e)| e).collect();
        let (precision, losses, kept, starts, input_grad) = (Precision::FP32, &[][..], &[][..], &[][..], false);
        let setup = Setup { device: &device, precision, mode, capacity, extents: &extents, losses, input_grad, kept, starts };
        Ok(Draft::new(net, setup, &mut store)?.report(net, &store))
    }

    /// Takes memory for a draft. The store must be sealed by now.
    pub fn allocate(draft: Draft, net: &Network, setup: Setup<'_>, store: &Store) -> Result<Self> {
        let report = PlanReport { device: Some(setup.device.summary()), ..draft.report(net, store) };
        let (offsets, total) = pack(&draft.requests, setup.capacity, GUARD);
        let free = || setup.device.free_memory().unwrap_or(0);
        if setup.device.free_memory().is_some_and(|free| total > free) {
            return Err(report.too_large(total, free()));
        }
        let arena = arena(setup.device, &draft.requests, &offsets, total, setup.capacity);
        // Free memory may lie in pieces, or be taken by another program in between.
        let in_table =
            |e: Error| if e.kind() == ErrorKind::OutOfMemory { report.too_large(total, free().min(total - 1)) } else { e };
        let arena = arena.map_err(in_table)?;
        let Draft { nodes, inputs, outputs, kept, losses, finale, penalties, weight, .. } = draft;
        let bind = |(node, small): (PlannedNode, Option<SmallDense>)| {
            let small = small.and_then(|small| small::bind(&small, &node, setup.capacity, &arena, store));
            PlannedNode { small, ..node }
        };
        let nodes = nodes.into_iter().map(bind).collect();
        let middle = net.nodes.len() as u32;
        let capacity = setup.capacity;
        Ok(Self { nodes, inputs, outputs, kept, losses, finale, penalties, weight, arena, report, capacity, middle })
    }

    /// Poisons and guards the regions whose life begins at `time`. Nothing in builds without debug assertions.
    pub fn born(&mut self, time: u32) -> Result<()> {
        if !CHECKED {
            return Ok(());
        }
        self.each_at(
            |span| span.0 == time && *span != ALWAYS,
            |memory| match memory {
                Piece::Host(bytes, guard) => {
                    bytes.fill(POISON);
                    guard.fill(CANARY);
                    Ok(true)
                }
                Piece::Cuda(cuda, at, bytes) => {
                    cuda.fill(at, POISON, bytes)?;
                    cuda.fill(at.offset(bytes), CANARY, GUARD)?;
                    Ok(true)
                }
            },
        )?;
        Ok(())
    }

    /// Checks the guards of the regions whose life ends at `time`, and poisons them.
    pub fn died(&mut self, time: u32) -> Result<()> {
        let intact = !CHECKED
            || self.each_at(
                |span| span.1 == time,
                |memory| match memory {
                    Piece::Host(bytes, guard) => {
                        bytes.fill(POISON);
                        Ok(guard.iter().all(|&b| b == CANARY))
                    }
                    Piece::Cuda(cuda, at, bytes) => {
                        cuda.fill(at, POISON, bytes)?;
                        // Nothing may wait within a captured step, but the same step ran once before.
                        let mut guard = [CANARY; GUARD];
                        if !cuda.capturing() {
                            cuda.download(at.offset(bytes), &mut guard)?;
                        }
                        Ok(guard.iter().all(|&b| b == CANARY))
                    }
                },
            )?;
        if intact { Ok(()) } else { Err(Error::device("memory", format!("a pass wrote past its slot (time {time})"))) }
    }

    fn each_at(&mut self, at: impl Fn(&Span) -> bool, mut f: impl FnMut(Piece<'_>) -> Result<bool>) -> Result<bool> {
        let mut all = true;
        for (i, r) in self.report.requests.iter().enumerate() {
            if r.spans.iter().any(&at) {
                let (start, bytes) = (self.arena.regions[i].offset, r.bytes(self.capacity));
                all &= match self.arena.cuda() {
                    Some(cuda) => f(Piece::Cuda(cuda, self.arena.ptr(i)?, bytes))?,
                    None => {
                        let Some(raw) = self.arena.raw() else { continue };
                        let (region, rest) = raw[start..].split_at_mut(bytes);
                        f(Piece::Host(region, &mut rest[..GUARD]))?
                    }
                };
            }
        }
        Ok(all)
    }
}

/// A region and the guard behind it.
enum Piece<'a> {
    Host(&'a mut [u8], &'a mut [u8]),
    /// Address and bytes of the region.
    Cuda(&'a Cuda, Ptr, usize),
}

/// NaN in f32 and f64, 2³²−1 in u32.
const POISON: u8 = 0xFF;
const CANARY: u8 = 0xA5;
