//! From a network to a plan: passes, and slots whose lifetimes are known.
//!
//! Layers are planned in order and state what they need; then outputs that may share memory are joined (views, in-place
//! layers), every value and gradient gets its life. [`Plan::allocate`](super::Plan::allocate) packs all of it into one arena.

use super::fuse::{fuse, release};
use super::plan::{Finale, GUARD, LossKind, LossPort, LossSpec, PlannedNode, Port, Setup};
use super::wiring::Wiring;
use super::work::{Cost, Work};
use super::{Network, NodeReport, PlanReport, What};
use crate::layer::{Ending, Place, Planned};
use crate::loss::{Logits, Target};
use crate::memory::plan::{Request, Size, pack, push};
use crate::memory::{Planner, Slot, Store};
use crate::op::dense_micro::SmallDense;
use crate::shape::Axes;
use crate::{DType, Error, Extent, Mode, Result};
use std::cell::RefCell;
use std::sync::Arc;

/// A plan before memory: everything but the arena.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(super) nodes: Vec<(PlannedNode, Option<SmallDense>)>,
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
    pub(super) kept: Vec<Port>,
    pub(super) losses: Vec<LossPort>,
    pub(super) finale: Option<Finale>,
    pub(super) penalties: Vec<Slot>,
    pub(super) weight: Option<Slot>,
    pub(super) requests: Vec<Request>,
    pub(super) kernels: Vec<(u32, String)>,
    pub(super) extents: Vec<Extent>,
    pub(super) dtype: DType,
    pub(super) mode: Mode,
    pub(super) capacity: usize,
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
        })?;
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
        let copies = store.copies.wanted.map_or(0, |dtype| store.flat_len() * dtype.bytes());
        PlanReport {
            nodes: net.nodes.iter().enumerate().map(node).collect(),
            device: None,
            mode: self.mode,
            capacity: self.capacity,
            store_bytes: entries.sum::<usize>() * store.dtype.bytes() + copies,
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
