//! Whole training steps of a small network of dense layers in one kernel, `kernels/mlp.cu`, and many of them for each launch: a step
//! of such a network on the general path is a dozen kernels, each of which takes longer to begin than to compute.
//!
//! All sums are those of the general path, in an order of their own: the same numbers up to rounding, and the same bits for any
//! number of steps in a launch.

use super::model::{Current, Model};
use super::{LossPort, Plan};
use crate::device::{Device, Divisor, Grid, Kernel, Ptr, Source};
use crate::loss::{MlpLoss, Target};
use crate::memory::Slot;
use crate::op::activation::Reads;
use crate::op::activation_cuda::CudaActivation;
use crate::op::dense_micro::Places;
use crate::optim::{Ema, MlpRule, Optimizer};
use crate::{DType, Error, Precision, Result};
use bytemuck::{Pod, Zeroable};

const MLP: Source = Source::new("mlp", include_str!("../../kernels/mlp.cu"));

/// The most steps of a launch: their learning rates travel in its argument.
pub(crate) const STEPS: usize = 256;
/// The most layers, and runs of parameters that are treated alike.
const LAYERS: usize = 8;
const RUNS: usize = 8;
/// Threads of the block.
const THREADS: usize = 256;
/// Steps whose rules are made at once, and floats of one.
const AHEAD: usize = 32;
const RULE: usize = 12;
/// The most products of a forward pass. Some 30 a cycle make this one 5 µs, and a step 15: more of them, and a whole GPU is faster.
const MOST: usize = 1 << 18;
/// Bytes of shared memory that the kernel has besides its dynamic part.
const STATIC: usize = 2048;
/// `EmaFlag` in the kernel.
const WARM_UP: u32 = 1;
const BEGINS: u32 = 2;
/// Parameters without a run: they stay as they are.
const FROZEN: u32 = u32::MAX;

/// A data set on the device, one input and one target each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    /// The samples of an epoch in order.
    pub order: Ptr,
    pub x: Ptr,
    pub t: Ptr,
    pub w: Ptr,
    /// Elements of a sample.
    pub inputs: usize,
    pub targets: usize,
    /// Targets are indices.
    pub labels: bool,
    pub samples: usize,
}

/// `Layer` in `mlp.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Layer {
    k: u32,
    n: u32,
    terms: u32,
    w: u32,
    pitch: u32,
    x: u32,
    x_pitch: u32,
    y: u32,
    y_pitch: u32,
    z: u32,
    dz: u32,
    dz_pitch: u32,
    weight: u32,
    bias: u32,
    weight_run: u32,
    bias_run: u32,
    tiles: u32,
    forward_lanes: u32,
    backward_lanes: u32,
    forward_rows: u32,
    backward_rows: u32,
    by_n: Divisor,
    by_k: Divisor,
    act: CudaActivation,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct RunOf {
    lr_scale: f64,
    decay: f64,
}

/// `MlpArgs` in `mlp.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct MlpArgs {
    control: Ptr,
    order: Ptr,
    x: Ptr,
    t: Ptr,
    w: Ptr,
    weights: Ptr,
    grads: Ptr,
    words_at: [Ptr; 3],
    average: Ptr,
    y: Ptr,
    value: Ptr,
    factor: f64,
    ema: f64,
    rule: [f64; 4],
    update: u64,
    cursor: u64,
    samples: u64,
    batch: u32,
    steps: u32,
    layers: u32,
    runs: u32,
    words: u32,
    rule_kind: u32,
    ema_flags: u32,
    target_kind: u32,
    inputs: u32,
    targets: u32,
    parameters: u32,
    tile: u32,
    tile_lanes: u32,
    tiles: u32,
    at_t: u32,
    at_w: u32,
    at_value: u32,
    at_index: u32,
    at_rules: u32,
    equal_rates: u32,
    by_inputs: Divisor,
    by_targets: Divisor,
    loss: MlpLoss,
    run: [RunOf; RUNS],
    layer: [Layer; LAYERS],
    rate: [f64; STEPS],
}

/// A plan whose steps one kernel makes.
#[derive(Debug)]
pub(crate) struct Mlp {
    plan: usize,
    kernel: Kernel<MlpArgs>,
    shared: usize,
    /// Whether an average of the weights moves along.
    averages: bool,
    args: MlpArgs,
}

/// What the kernel is made of: layers in order, the loss, and how targets lie.
struct Found {
    layers: Vec<Places>,
    loss: MlpLoss,
    targets: TargetKind,
    y: Slot,
    value: Slot,
    factor: f64,
}

/// As in `mlp.cuh`.
#[derive(Clone, Copy, Debug)]
enum TargetKind {
    Numbers,
    Labels,
    OneHot,
}

/// A chain of dense layers with one loss behind it.
fn find(of: &Plan, data: &Columns) -> Option<Found> {
    let ([input], [output], [port]) = (&of.inputs[..], &of.outputs[..], &of.losses[..]) else { return None };
    if !(of.kept.is_empty() && of.penalties.is_empty()) || of.nodes.is_empty() || of.nodes.len() > LAYERS {
        return None;
    }
    let layers = of.nodes.iter().map(|n| Some(*n.small.as_ref()?.places())).collect::<Option<Vec<_>>>()?;
    let place = |slot: Slot| of.arena.regions[slot.index as usize].offset / DType::F32.bytes();
    let chained = layers.windows(2).all(|pair| pair[1].x == pair[0].y && pair[1].k == pair[0].n);
    let (first, last) = (&layers[0], &layers[layers.len() - 1]);
    let ends = first.x == place(input.y) && first.k == data.inputs && last.y == place(output.y) && last.dy.is_some();
    let targets = target_kind(port, data)?;
    let sane = port.factor.is_finite() && port.factor.abs() < 1e200;
    let (loss, value) = (port.used().pass.in_mlp()?, port.value);
    (chained && ends && sane).then_some(Found { layers, loss, targets, y: output.y, value, factor: port.factor })
}

fn target_kind(port: &LossPort, data: &Columns) -> Option<TargetKind> {
    match (port.used().kind, data.labels) {
        (Target::Values(t), false) if t.len() == data.targets => Some(TargetKind::Numbers),
        (Target::Values(t), true) if data.targets == 1 && t.area() == 1 => Some(TargetKind::OneHot),
        (Target::Index { positions, .. }, true) if positions == data.targets => Some(TargetKind::Labels),
        _ => None,
    }
}

/// Takes up shared memory piece by piece, in floats, each on 16 bytes.
#[derive(Default)]
struct Memory(usize);

impl Memory {
    fn take(&mut self, floats: usize) -> u32 {
        let at = self.0;
        self.0 += floats.next_multiple_of(4);
        at as u32
    }
}

/// How many threads share each of `tasks` sums of `terms`: as many as there are, while each keeps `least`.
fn lanes(tasks: usize, terms: usize, least: usize) -> usize {
    let mut lanes = 1;
    while lanes < 32 && 2 * lanes * tasks <= THREADS && terms >= 2 * lanes * least {
        lanes *= 2;
    }
    lanes
}

/// The layers with their places in shared memory, and the floats of one array of parameters, which come first.
fn lay_out(layers: &[Places], batch: usize, arrays: usize, run_of: &dyn Fn(usize) -> u32) -> (Vec<Layer>, usize, Memory) {
    let mut m = Memory::default();
    let terms = |l: &Places| l.k + usize::from(l.b.is_some());
    let mut all = Vec::new();
    for l in layers {
        let pitch = l.n | 1;
        all.push(Layer {
            k: l.k as u32,
            n: l.n as u32,
            terms: terms(l) as u32,
            w: m.take(terms(l) * pitch),
            pitch: pitch as u32,
            weight: l.w as u32,
            bias: l.b.map_or(0, |b| b as u32),
            weight_run: run_of(l.w),
            bias_run: l.b.map_or(FROZEN, run_of),
            by_n: Divisor::new(l.n),
            by_k: Divisor::new(l.k),
            act: CudaActivation::new(l.act, DType::F32),
            ..Zeroable::zeroed()
        });
    }
    let parameters = m.0;
    m.take(parameters * (arrays - 1));
    // Four rows at once may reach behind the last one.
    let rows = batch.next_multiple_of(4);
    let mut x_pitch = (layers[0].k + 1).next_multiple_of(4);
    let mut x = m.take((2 * batch + 3) * x_pitch);
    for (layer, l) in all.iter_mut().zip(layers) {
        let (y_pitch, dz_pitch) = ((l.n + 1).next_multiple_of(4), l.n.next_multiple_of(4));
        (layer.x, layer.x_pitch) = (x, x_pitch as u32);
        (layer.y, layer.y_pitch) = (m.take(rows * y_pitch), y_pitch as u32);
        layer.z = if l.act.reads() == Reads::X { m.take(rows * y_pitch) } else { 0 };
        (layer.dz, layer.dz_pitch) = (m.take(rows * dz_pitch), dz_pitch as u32);
        (x, x_pitch) = (layer.y, y_pitch);
        let quads = |terms: usize| terms.div_ceil(4);
        let by_rows = |columns: usize| if batch.div_ceil(4) * columns >= THREADS { 4 } else { 1 };
        layer.forward_lanes = lanes(batch * l.n, quads(terms(l)), 2) as u32;
        layer.backward_lanes = lanes(batch * l.k, quads(l.n), 2) as u32;
        (layer.forward_rows, layer.backward_rows) = (by_rows(l.n), by_rows(l.k));
    }
    (all, parameters, m)
}

impl Model {
    /// The steps of this plan with this rule on these data in one kernel, where all that is small and has such a form.
    pub(crate) fn mlp(
        &self,
        plan: usize,
        optimizer: &dyn Optimizer,
        ema: Option<&Ema>,
        data: &Columns,
    ) -> Result<Option<Box<Mlp>>> {
        let Device::Cuda(cuda) = &self.device else { return Ok(None) };
        #[cfg(test)]
        if crate::op::dense_micro::switch::is_general() {
            return Ok(None);
        }
        let suits = self.precision == Precision::FP32 && self.runs.len() <= RUNS && self.store.flat_len() < 1 << 31;
        let (Some(rule), true) = (optimizer.in_mlp(), suits) else { return Ok(None) };
        let Some(found) = find(self.planned(plan), data) else { return Ok(None) };
        let batch = self.planned(plan).capacity;
        let products = found.layers.iter().map(|l| l.n.saturating_mul(l.k)).fold(0, usize::saturating_add);
        if products.saturating_mul(batch) > MOST
            || data.inputs.saturating_mul(batch) > MOST
            || found.layers.iter().any(|l| l.n > MOST)
        {
            return Ok(None);
        }
        let (mut args, bytes) = self.mlp_args(&found, (batch, data), (optimizer.words(), rule), ema);
        if bytes + STATIC > cuda.shared_memory() {
            return Ok(None);
        }
        let (all, of) = (self.store.params.len(), self.planned(plan));
        (args.weights, args.grads) = (self.store.weights.ptr(all)?, self.store.grads.ptr(all)?);
        (args.y, args.value) = (of.arena.ptr(found.y.index as usize)?, of.arena.ptr(found.value.index as usize)?);
        args.control = self.store.control.ptr(0)?;
        Ok(Some(Box::new(Mlp { plan, kernel: cuda.kernel(&MLP, "mlp")?, shared: bytes, averages: ema.is_some(), args })))
    }

    /// Where the words of the rule and the average lie: a checkpoint that was read may have moved them.
    fn state_of_mlp(&mut self, mlp: &mut Mlp) -> Result<()> {
        let words = mlp.args.words as usize;
        if self.store.reserve_words(words)? {
            // A recorded step holds the addresses of the old words.
            self.generation += 1;
        }
        for (k, at) in mlp.args.words_at.iter_mut().enumerate().take(words) {
            *at = self.store.words.ptr(k)?;
        }
        if mlp.averages {
            // As on the general path, where it begins after the first update.
            let begins = self.store.average.regions.is_empty();
            mlp.args.ema_flags = mlp.args.ema_flags & WARM_UP | if begins { BEGINS } else { 0 };
            self.store.reserve_average()?;
            mlp.args.average = self.store.average.ptr(0)?;
        }
        Ok(())
    }

    /// All of the argument but addresses in the store and what changes from launch to launch; the bytes of shared memory.
    fn mlp_args(
        &self,
        found: &Found,
        (batch, data): (usize, &Columns),
        (words, rule): (usize, MlpRule),
        ema: Option<&Ema>,
    ) -> (MlpArgs, usize) {
        let run_of = |at: usize| self.runs.iter().position(|run| run.range.contains(&at)).map_or(FROZEN, |i| i as u32);
        let arrays = 1 + words + usize::from(ema.is_some());
        let (mut layers, parameters, mut m) = lay_out(&found.layers, batch, arrays, &run_of);
        let elements = |tile: usize| layers.iter().map(|l| (l.terms as usize).div_ceil(tile) * l.n as usize).sum::<usize>();
        let tile = if elements(4) >= THREADS { 4 } else { 1 };
        let tiles = elements(tile);
        let tile_lanes = if tile == 1 { lanes(tiles, batch, 4) } else { 1 };
        layers.iter_mut().for_each(|l| l.tiles = (l.terms as usize).div_ceil(tile) as u32 * l.n);
        let runs = self.runs.len();
        let (decay, warm_up) = ema.map_or((0.0, false), Ema::parts);
        let mut args = MlpArgs {
            order: data.order,
            x: data.x,
            t: data.t,
            w: data.w,
            factor: found.factor,
            ema: decay,
            rule: rule.hyper,
            samples: data.samples as u64,
            batch: batch as u32,
            layers: layers.len() as u32,
            runs: runs as u32,
            words: words as u32,
            rule_kind: rule.kind,
            ema_flags: if warm_up { WARM_UP } else { 0 },
            target_kind: found.targets as u32,
            inputs: data.inputs as u32,
            targets: data.targets as u32,
            parameters: parameters as u32,
            tile: tile as u32,
            tile_lanes: tile_lanes as u32,
            tiles: tiles as u32,
            at_t: m.take(2 * batch * data.targets),
            at_w: m.take(2 * batch),
            at_value: m.take(batch),
            at_index: m.take(2 * batch),
            at_rules: m.take(AHEAD * (runs * RULE + 1)),
            by_inputs: Divisor::new(data.inputs),
            by_targets: Divisor::new(data.targets),
            loss: found.loss,
            ..Zeroable::zeroed()
        };
        args.layer[..layers.len()].copy_from_slice(&layers);
        for (to, run) in args.run.iter_mut().zip(&self.runs) {
            *to = RunOf { lr_scale: run.lr_scale, decay: if run.decay { rule.weight_decay } else { 0.0 } };
        }
        (args, m.0 * DType::F32.bytes())
    }

    /// As many steps as there are learning rates, from this place of the epoch on, without waiting for them.
    pub(crate) fn steps_of_mlp(&mut self, mlp: &mut Mlp, cursor: usize, rates: &[f64]) -> Result<()> {
        let (steps, batch, samples) = (rates.len(), mlp.args.batch as usize, mlp.args.samples as usize);
        let last = cursor + (steps.max(1) - 1) * batch;
        if steps == 0 || steps > STEPS || last >= samples {
            let expected = format!("1 to {STEPS} within {samples} samples");
            return Err(Error::order("step", "number of steps").expected(expected).got(steps));
        }
        self.state_of_mlp(mlp)?;
        let Device::Cuda(cuda) = &self.device else { return Err(Error::order("step", "planned for a GPU")) };
        let args = &mut mlp.args;
        (args.update, args.cursor, args.steps) = (self.updates, cursor as u64, steps as u32);
        args.equal_rates = u32::from(rates.iter().all(|rate| rate == &rates[0]));
        args.rate[..steps].copy_from_slice(rates);
        mlp.kernel.launch(cuda, Grid::blocks(1).shared(mlp.shared), args)?;
        self.store.weights.changed();
        self.forwards += steps as u64;
        let (rows, forward) = (batch.min(samples - last), self.forwards - 1);
        self.current = Some(Current { plan: mlp.plan, rows, forward, penalty: 1.0, seeded: true, spent: true });
        (self.scaled, self.clipped) = (true, false);
        self.updates += steps as u64;
        Ok(())
    }
}

impl Mlp {
    /// Samples of a step, but for the last of an epoch.
    pub fn batch(&self) -> usize {
        self.args.batch as usize
    }
}
