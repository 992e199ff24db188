//! From a network to a plan: passes, and slots whose lifetimes are known.
//!
//! Layers are planned in order and state what they need; then outputs that may share memory are joined (views, in-place
//! layers), every value and gradient gets its life, and all of it is packed into one arena.

use super::fuse::{fuse, release};
use super::small;
use super::wiring::Wiring;
use super::work::{Cost, Work};
use super::{Network, NodeReport, PlanReport, What};
use crate::device::{Cuda, Device, Ptr};
use crate::layer::{Ending, Pass, Place, Planned};
use crate::loss::{Logits, Loss, LossPass, Target};
use crate::memory::plan::{ALWAYS, Request, Size, Span, arena, pack, push};
use crate::memory::{ALIGN, Arena, GradMode, Planner, Slot, Store};
use crate::op::dense_micro::{Small, SmallDense};
use crate::shape::Axes;
use crate::{DType, Error, ErrorKind, Extent, Mode, Precision, Result};
use std::cell::RefCell;
use std::sync::Arc;

/// Guards and poison are on where debug assertions are.
pub(crate) const CHECKED: bool = cfg!(debug_assertions);
/// Bytes kept free after each region for a canary.
const GUARD: usize = if CHECKED { ALIGN } else { 0 };

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

/// A plan before memory: everything but the arena.
#[derive(Debug)]
pub(crate) struct Draft {
    nodes: Vec<(PlannedNode, Option<SmallDense>)>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    kept: Vec<Port>,
    losses: Vec<LossPort>,
    finale: Option<Finale>,
    penalties: Vec<Slot>,
    weight: Option<Slot>,
    requests: Vec<Request>,
    kernels: Vec<(u32, String)>,
    extents: Vec<Extent>,
    dtype: DType,
    mode: Mode,
    capacity: usize,
}

impl Draft {
    pub fn new(net: &Network, setup: Setup<'_>, store: &mut Store) -> Result<Self> {
        net.check()?;
        setup.device.supports(setup.precision)?;
        if setup.capacity == 0 || setup.capacity > 1 << 24 {
            return Err(Error::value("plan", "batch").expected("1 to 2^24").got(setup.capacity));
        }
        let mut requests = Vec::new();
        let kernels = RefCell::default();
        let (planned, extents) = plan_layers(net, setup, store, (&mut requests, &kernels))?;
        let mut losses = Vec::new();
        let mut outputs: Vec<usize> = net.outputs().iter().map(|(_, id)| id.0 as usize).collect();
        for start in setup.starts {
            if !outputs.contains(start) {
                outputs.push(*start);
            }
        }
        let owners = fuse(net, setup, &planned, &outputs, |i, f| {
            let (node, n) = (&net.nodes[i], net.nodes.len() as u32);
            let times = (i as u32, 2 * n - i as u32);
            f(&mut planner(setup, store, (&mut requests, &kernels), i, &node.name, Axes::default(), times));
        });
        release(&owners, &mut requests);
        for (spec, target) in setup.losses {
            losses.push(plan_loss(
                net,
                setup,
                store,
                (&mut requests, &kernels),
                spec,
                *target,
                (outputs[spec.output], &extents),
            )?);
        }
        let middle = net.nodes.len() as u32;
        let mut penalties = Vec::new();
        for (i, slot) in planned.iter().enumerate().filter_map(|(i, planned)| Some((i, planned.as_ref()?.penalty?))) {
            // Read with the losses, or after the step.
            requests[slot.index as usize].spans = vec![(i as u32, 2 * middle + 1)];
            penalties.push(slot);
        }
        let weight = (!losses.is_empty()).then(|| {
            let (n, dtype) = (net.nodes.len() as u32, setup.precision.master());
            push(&mut requests, Request { size: Size::PerRow(1), dtype, spans: vec![(0, n)], node: n - 1 })
        });
        let wiring = Wiring::new(net, setup, &planned, (&outputs, &owners), store);
        let ending = match &losses[..] {
            [only] => ending(net, &planned, &wiring, (outputs[only.output], only)),
            _ => None,
        };
        if let Some((node, ending, _)) = &ending {
            let name = &net.nodes[*node].name;
            ending.take(&mut planner(setup, store, (&mut requests, &kernels), *node, name, Axes::default(), (middle, middle)))?;
        }
        let slots = wiring.slots(setup, &extents, &mut requests);
        let port = |node: usize| Port { node, extent: extents[node], y: slots.y[node], dy: slots.dy[node] };
        let is_input = |&i: &usize| matches!(net.nodes[i].what, What::Input(_));
        let inputs = (0..net.nodes.len()).filter(is_input).map(port).collect();
        let kept_port = |&node: &usize| Port { dy: slots.keep_dy[node].or(slots.dy[node]), ..port(node) };
        let nodes = planned.into_iter().enumerate().filter_map(|(node, planned)| {
            let x: Vec<Slot> = net.nodes[node].inputs.iter().map(|id| slots.y[id.0 as usize]).collect();
            let (y, dy, dx) = (slots.y[node], slots.dy[node].unwrap_or(slots.y[node]), slots.dx[node].clone());
            let (backward, keep_dy) = (wiring.backward[node], slots.keep_dy[node]);
            let (planned, covers) = (planned?, owners.row(node));
            let work = Work::of(&planned);
            let (pass, small) = planned.into_pass();
            Some((PlannedNode { pass, node, x, y, dy, dx, backward, keep_dy, small: None, work, covers }, small))
        });
        let nodes: Vec<_> = nodes.filter(|(n, _)| !owners.absorbed(n.node)).collect();
        let finale = ending.and_then(|(node, ending, loss)| {
            let at = nodes.iter().position(|(n, _)| n.node == node)?;
            Some(Finale { at, ending, loss })
        });
        Ok(Self {
            nodes,
            finale,
            inputs,
            outputs: outputs.iter().copied().map(port).collect(),
            kept: setup.kept.iter().map(kept_port).collect(),
            losses,
            penalties,
            weight,
            requests,
            kernels: kernels.into_inner(),
            extents,
            dtype: setup.precision.storage(),
            mode: setup.mode,
            capacity: setup.capacity,
        })
    }

    pub fn report(&self, net: &Network, store: &Store) -> PlanReport {
        let costs = |i: usize| {
            let node = self.nodes.iter().map(|(node, _)| node).find(|node| node.node == i);
            node.map_or([Cost::default(); 2], |node| {
                node.work.costs(node, net, (&self.extents, self.dtype, self.capacity), store)
            })
        };
        let node = |(i, n): (usize, &super::Node)| NodeReport {
            flops: costs(i).map(|cost| cost.flops),
            traffic: costs(i).map(|cost| cost.bytes),
            name: n.name.clone(),
            kind: n.kind().to_string(),
            inputs: n.inputs.iter().map(|id| net.name_of(*id).to_string()).collect(),
            extent: self.extents[i],
            parameters: store.params.iter().filter(|p| p.node as usize == i).map(|p| p.len).sum(),
            bytes: self.requests.iter().filter(|r| r.node as usize == i).map(|r| r.bytes(self.capacity)).sum(),
            kernels: self.kernels.iter().filter(|(node, _)| *node as usize == i).map(|(_, name)| name.clone()).collect(),
        };
        let entries = store.params.iter().map(|p| 2 * p.len).chain(store.states.iter().map(|s| s.len));
        PlanReport {
            nodes: net.nodes.iter().enumerate().map(node).collect(),
            device: None,
            mode: self.mode,
            capacity: self.capacity,
            store_bytes: entries.sum::<usize>() * store.dtype.bytes(),
            local_bytes: pack(&self.requests, self.capacity, GUARD).1,
            requests: self.requests.clone(),
            guard: GUARD,
        }
    }
}

/// The node of the output `loss` belongs to, if it can evaluate it: nobody else takes its results, and what it reads is there until
/// its backward pass.
fn ending(
    net: &Network,
    planned: &[Option<Planned>],
    wiring: &Wiring<'_>,
    (node, loss): (usize, &LossPort),
) -> Option<(usize, Arc<dyn Ending>, Logits)> {
    let logits = loss.used().pass.logits().filter(|_| loss.kinds.len() == 1)?;
    let of = planned[node].as_ref()?;
    let ending = of.as_ending().filter(|ending| ending.fits(&logits) && of.reads_x && wiring.backward[node])?;
    let consumed = net.nodes.iter().any(|n| n.inputs.iter().any(|id| id.0 as usize == node));
    (!consumed).then(|| (node, ending.clone(), logits))
}

type Layers = (Vec<Option<Planned>>, Vec<Extent>);
/// Where the planned ask for memory and kernels.
type Asked<'a> = (&'a mut Vec<Request>, &'a RefCell<Vec<(u32, String)>>);

fn plan_layers(net: &Network, setup: Setup<'_>, store: &mut Store, (requests, kernels): Asked<'_>) -> Result<Layers> {
    let n = net.nodes.len() as u32;
    let given = net.inputs().count();
    if setup.extents.len() != given {
        return Err(Error::shape("inputs", "number of inputs").expected(given).got(setup.extents.len()));
    }
    let mut inputs = setup.extents.iter();
    let (mut planned, mut extents, mut axes) = (Vec::new(), Vec::<Extent>::new(), Vec::<Axes>::new());
    for (i, node) in net.nodes.iter().enumerate() {
        let place = node.place(i);
        let above = node.inputs.iter().map(|id| axes[id.0 as usize]).fold(Axes::default(), Axes::union);
        match &node.what {
            What::Input(declared) => {
                let extent = inputs.next().copied().unwrap_or(*declared).check().map_err(|e| e.at(&place))?;
                if extent.c != declared.c {
                    return Err(Error::shape(place, "number of channels").expected(declared).got(extent));
                }
                extents.push(extent);
                axes.push(Axes::of(*declared));
                planned.push(None);
            }
            What::Layer(layer) => {
                let x: Vec<Extent> = node.inputs.iter().map(|id| extents[id.0 as usize]).collect();
                let times = (i as u32, 2 * n - i as u32);
                let mut p = planner(setup, store, (requests, kernels), i, &node.name, above, times);
                let mut layer = layer.plan(&x, &mut p).map_err(|e| e.at(&place))?;
                layer.y = layer.y.check().map_err(|e| e.at(&place))?;
                let aliased = layer.place != Place::Fresh;
                if aliased && x.first().map(Extent::len) != Some(layer.y.len()) {
                    return Err(Error::plan(place, "a view or in-place layer changes the number of values").got(layer.y));
                }
                extents.push(layer.y);
                axes.push(above.union(Axes::of(layer.y)));
                planned.push(Some(layer));
            }
        }
    }
    Ok((planned, extents))
}

fn plan_loss(
    net: &Network,
    setup: Setup<'_>,
    store: &mut Store,
    (requests, kernels): Asked<'_>,
    spec: &LossSpec,
    kind: Option<Target>,
    (node, extents): (usize, &[Extent]),
) -> Result<LossPort> {
    let middle = net.nodes.len() as u32;
    let place = format!("loss {} of {}", spec.loss.kind(), net.nodes[node].place(node));
    let name = format!("{}.loss{}", net.nodes[node].name, spec.output);
    let y = extents[node];
    // The trainer knows its targets; the open loop shows them after the forward pass, so every kind the loss takes is planned.
    let candidates = match kind {
        Some(Target::Index { classes, positions }) if y.c == classes && y.area() == positions => {
            // A loss that takes numbers only is offered class indices as one-hot numbers; staging converts them.
            vec![Target::Index { classes, positions }, Target::Values(y)]
        }
        Some(kind) => vec![kind],
        None => {
            vec![spec.loss.target(y), Target::Values(y), Target::Index { classes: y.c.max(2), positions: y.area() }]
        }
    };
    let (mut kinds, mut refused) = (Vec::<LossKind>::new(), None);
    for candidate in candidates {
        if kinds.iter().any(|k| k.kind == candidate) || (kind.is_some() && !kinds.is_empty()) {
            continue;
        }
        let mut p = planner(setup, store, (requests, kernels), node, &name, Axes::of(y), (middle, middle));
        match spec.loss.plan(y, candidate, &mut p) {
            Ok(pass) => {
                let dtype = match candidate {
                    Target::Values(_) => setup.precision.master(),
                    Target::Index { .. } | Target::None => DType::U32,
                };
                let request = Request { size: Size::PerRow(candidate.len()), dtype, spans: vec![(0, middle)], node: node as u32 };
                kinds.push(LossKind { pass, kind: candidate, target: push(requests, request) });
            }
            Err(e) => refused = refused.or(Some(e)),
        }
    }
    if let Some(e) = refused.filter(|_| kinds.is_empty()) {
        return Err(e.at(&place));
    }
    let dtype = setup.precision.master();
    let value =
        push(requests, Request { size: Size::PerRow(1), dtype, spans: vec![(middle, 2 * middle + 1)], node: node as u32 });
    Ok(LossPort { output: spec.output, factor: spec.factor, value, kinds, used: 0 })
}

fn planner<'a>(
    setup: Setup<'a>,
    store: &'a mut Store,
    (requests, kernels): Asked<'a>,
    node: usize,
    name: &'a str,
    axes: Axes,
    times: (u32, u32),
) -> Planner<'a> {
    let Setup { device, precision, mode, capacity, .. } = setup;
    Planner { device, precision, mode, capacity, axes, store, requests, node: node as u32, name, times, kernels }
}
