//! How a profile is measured: steps of a copy of the model, with a clock between the nodes.

use super::model::PlanKey;
use super::{Model, Phase, Profile, ProfileRow, Seed, Targets, View};
use crate::device::Device;
use crate::loss::Target;
use crate::memory::{Grads, Mode};
use crate::op::peak;
use crate::optim::Optimizer;
use crate::rng::{Purpose, Stream};
use crate::{Error, Extent, Result, real};
use std::time::Instant;

/// Seconds for which steps are timed, and the least and most of them.
const SECONDS: f64 = 0.4;
const PASSES: (usize, usize) = (5, 201);

impl Model {
    /// Where the time of a training step goes: staging, each node forward and backward, losses, update.
    ///
    /// A copy of the model, as its seed begins it, takes steps on batches of random numbers, at a learning rate of 0; nothing of this model
    /// changes. Nodes are timed by the functions that every step calls, each as often as a second or so allows; the time of a clock
    /// is subtracted. On a GPU each node is waited for, so that short kernels show the time of their launch.
    /// A trainer's tiny network, whose step runs in one piece, is timed node by node all the same.
    /// Peaks are those of the device's threads in the model's precision: [`op::peak`](crate::op::peak).
    ///
    /// # Errors
    /// What planning and steps may meet; [`ErrorKind::Value`](crate::ErrorKind::Value) for a batch of 0.
    ///
    /// # Examples
    /// ```
    /// use kamacite::*;
    /// let mut net = Network::new(Extent::image(12, 12, 1));
    /// net.push(Conv::new(4, 3).act(Relu));
    /// net.push(Dense::new(10));
    /// let model = Model::builder(net).device(Device::cpu_threads(1)?).loss("output", SoftmaxCrossEntropy, 1.0).build()?;
    /// let profile = model.profile(32, &Sgd::new(0.01))?;
    /// println!("{profile}");
    /// let kinds: Vec<&str> = profile.rows.iter().map(|row| row.kind.as_str()).collect();
    /// assert_eq!(kinds, ["staging", "conv", "dense", "softmax_cross_entropy", "sgd"]);
    /// let conv = &profile.rows[1];
    /// assert_eq!(conv.forward.flops, 2 * 9 * 4 * 10 * 10 * 32);
    /// assert!(conv.forward.gflops() > 0.0 && profile.share_of_peak(&conv.forward).is_some());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn profile(&self, batch: usize, optimizer: &dyn Optimizer) -> Result<Profile> {
        self.measure(batch, Mode::Train, Some(optimizer))
    }

    /// As [`Model::profile`], of a forward pass in [`Mode::Infer`].
    ///
    /// # Errors
    /// As [`Model::profile`].
    pub fn profile_inference(&self, batch: usize) -> Result<Profile> {
        self.measure(batch, Mode::Infer, None)
    }

    fn measure(&self, batch: usize, mode: Mode, optimizer: Option<&dyn Optimizer>) -> Result<Profile> {
        let (peak_flops, peak_bandwidth) = match &self.device {
            Device::Cpu(cpu) => {
                let flops = real!(self.precision.storage().host(), T => peak::flops::<T>(cpu));
                (Some(flops), Some(peak::read_bandwidth(cpu)))
            }
            Device::Cuda(_) => (None, None),
        };
        let mut run = Run::new(self, batch, mode, optimizer, false)?;
        let mut clock = Clock::new(&self.device);
        let warm = Instant::now();
        // Once to plan, once with everything in caches.
        run.step()?;
        run.timed(&mut clock)?;
        let passes = (SECONDS / warm.elapsed().as_secs_f64().max(1e-9)) as usize;
        let passes = passes.clamp(PASSES.0, PASSES.1);
        clock.laps.clear();
        let mut whole = Vec::with_capacity(passes);
        // In turn, so that both see the same machine.
        for _ in 0..passes {
            let begun = Instant::now();
            run.step()?;
            whole.push(begun.elapsed().as_secs_f64());
            run.timed(&mut clock)?;
        }
        let rows = run.rows(&clock.medians(passes));
        Ok(Profile {
            device: self.device.summary(),
            mode,
            batch,
            passes,
            step_seconds: median(&mut whole),
            peak_flops,
            peak_bandwidth,
            plan_bytes: run.model.planned(run.plan).report.local_bytes,
            rows,
        })
    }

    /// A model of the same network, losses and device with weights as the seed draws them.
    fn twin(&self, input_gradients: bool) -> Result<Self> {
        let builder = Self::builder(self.net.clone()).device(self.device.clone()).precision(self.precision).math(self.math());
        let mut twin = builder.seed(self.seed).input_gradients(input_gradients).build()?;
        twin.losses = self.losses.clone();
        twin.store.samples = self.store.samples;
        twin.spare_biases = self.spare_biases;
        twin.kept = self.kept.clone();
        twin.starts = self.starts.clone();
        for (twin, own) in twin.store.params.iter_mut().zip(&self.store.params) {
            (twin.frozen, twin.lr_scale) = (own.frozen, own.lr_scale);
        }
        twin.find_runs();
        Ok(twin)
    }
}

/// A model that takes steps on one batch.
pub(super) struct Run<'a> {
    pub(super) model: Model,
    plan: usize,
    pub(super) batch: usize,
    pub(super) optimizer: Option<&'a dyn Optimizer>,
    inputs: Vec<(Extent, Vec<f32>)>,
    targets: Vec<Made>,
    /// Gradients of the outputs, where there is no loss.
    seeds: Vec<(Extent, Vec<f32>)>,
}

/// A made target.
enum Made {
    Values(Extent, Vec<f32>),
    Classes(Vec<u32>),
    None,
}

impl Made {
    fn new(target: Target, batch: usize) -> Self {
        match target {
            // One-hot: in the domain of every loss.
            Target::Values(e) => {
                Self::Values(e, (0..batch * e.len()).map(|i| f32::from(u8::from(i % e.c == i / e.c % e.c))).collect())
            }
            Target::Index { classes, positions } => Self::Classes((0..batch * positions).map(|i| (i % classes) as u32).collect()),
            Target::None => Self::None,
        }
    }

    fn view(&self) -> Result<Targets<'_>> {
        match self {
            Self::Values(extent, t) => Ok(View::new(*extent, t)?.into()),
            Self::Classes(labels) => Ok(Targets::Classes(labels)),
            Self::None => Ok(Targets::None),
        }
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(
        of: &Model,
        batch: usize,
        mode: Mode,
        optimizer: Option<&'a dyn Optimizer>,
        input_grad: bool,
    ) -> Result<Self> {
        if batch == 0 {
            return Err(Error::value("profile", "batch").expected("at least 1").got(batch));
        }
        let mut model = of.twin(input_grad)?;
        if optimizer.is_none() {
            model.losses.clear();
        }
        let extents: Vec<Extent> = model.net.inputs().map(|(_, e)| e).collect();
        let key = PlanKey { mode, extents, targets: vec![None; model.losses.len()], input_grad };
        let plan = model.plan_for(key, batch)?;
        let mut r = Stream::new(of.seed, Purpose::User, 0);
        let mut normal = |e: Extent| (e, (0..batch * e.len()).map(|_| r.normal() as f32).collect());
        let inputs = model.planned(plan).inputs.iter().map(|port| normal(port.extent)).collect();
        let outputs: Vec<Extent> = model.planned(plan).outputs.iter().map(|port| port.extent).collect();
        let targets: Vec<Made> = model.losses.iter().map(|l| Made::new(l.loss.target(outputs[l.output]), batch)).collect();
        let seeds = if targets.is_empty() { outputs.into_iter().map(normal).collect() } else { Vec::new() };
        Ok(Self { model, plan, batch, optimizer, inputs, targets, seeds })
    }

    pub(super) fn stage(&mut self) -> Result<()> {
        let inputs = self.inputs.iter().map(|(e, x)| View::new(*e, x)).collect::<Result<Vec<_>>>()?;
        let targets = self.targets.iter().map(Made::view).collect::<Result<Vec<_>>>()?;
        self.model.begin(self.plan, self.batch)?;
        self.model.put_inputs(self.plan, &inputs, self.batch)?;
        if targets.is_empty() { Ok(()) } else { self.model.put_targets(&targets) }
    }

    fn losses(&mut self) -> Result<()> {
        if !self.targets.is_empty() {
            self.model.run_losses(1.0 / self.batch as f64)?;
            self.model.loss_total(self.batch)?;
        }
        Ok(())
    }

    /// A step as it always runs.
    pub(super) fn step(&mut self) -> Result<()> {
        self.stage()?;
        self.model.run_forward()?;
        if let Some(optimizer) = self.optimizer {
            self.losses()?;
            let seeds = views(&self.seeds)?;
            self.model.run_backward(seed(&seeds), Grads::Write)?;
            self.model.step_at(optimizer, 0.0, 1.0)?;
        }
        self.model.device.synchronize()
    }

    /// The same step, with a look at the clock behind each of its parts.
    fn timed(&mut self, clock: &mut Clock) -> Result<()> {
        clock.begin()?;
        self.stage()?;
        clock.lap()?;
        let (c, plan) = self.model.fresh()?;
        let nodes = plan.nodes.len();
        for i in 0..nodes {
            self.model.forward_node(c, i)?;
            clock.lap()?;
        }
        let Some(optimizer) = self.optimizer else { return Ok(()) };
        self.losses()?;
        clock.lap()?;
        let seeds = views(&self.seeds)?;
        let c = self.model.begin_backward(seed(&seeds), Grads::Write)?;
        clock.begin()?;
        for i in (0..nodes).rev() {
            self.model.backward_node(c, i, Grads::Write)?;
            clock.lap()?;
        }
        self.model.step_at(optimizer, 0.0, 1.0)?;
        clock.lap()
    }

    /// Medians of the laps, in the order of [`Run::timed`], as rows.
    fn rows(&self, seconds: &[f64]) -> Vec<ProfileRow> {
        let plan = self.model.planned(self.plan);
        let (count, size) = (plan.nodes.len(), self.model.precision.storage().bytes() as u64);
        let numbers = |extents: &mut dyn Iterator<Item = Extent>| extents.map(|e| (e.len() * self.batch) as u64).sum::<u64>();
        let staged = numbers(&mut plan.inputs.iter().map(|port| port.extent));
        let mut rows = vec![ProfileRow::other("batch", "staging", seconds[0], 2 * size * staged)];
        for (i, node) in plan.nodes.iter().enumerate() {
            let of = |lap: usize, k: usize| {
                let mut phase = Phase { seconds: seconds[lap], flops: 0, bytes: 0 };
                for report in node.covers.iter().map(|&n| &plan.report.nodes[n]) {
                    phase = Phase { flops: phase.flops + report.flops[k], bytes: phase.bytes + report.traffic[k], ..phase };
                }
                phase
            };
            let covered: Vec<_> = node.covers.iter().map(|&n| &plan.report.nodes[n]).collect();
            let join = |words: Vec<&str>| words.join(" + ");
            let path = if node.small.is_some() && !self.model.device.is_cuda() {
                vec!["small"]
            } else {
                covered.iter().flat_map(|n| &n.kernels).map(|k| &**k).collect()
            };
            rows.push(ProfileRow {
                name: join(covered.iter().map(|n| &*n.name).collect()),
                kind: join(covered.iter().map(|n| &*n.kind).collect()),
                nodes: covered.iter().map(|n| n.name.clone()).collect(),
                extent: covered.last().map(|n| n.extent),
                parameters: covered.iter().map(|n| n.parameters).sum(),
                bytes: covered.iter().map(|n| n.bytes).sum(),
                path: path.join(" "),
                forward: of(1 + i, 0),
                backward: (self.optimizer.is_some() && node.backward).then(|| of(1 + count + 1 + (count - 1 - i), 1)),
            });
        }
        let Some(optimizer) = self.optimizer else { return rows };
        if !self.targets.is_empty() {
            let outputs = self.model.net.outputs();
            let names: Vec<&str> = plan.losses.iter().map(|l| &*outputs[l.output].0).collect();
            let kinds: Vec<&str> = self.model.losses.iter().map(|l| l.loss.kind()).collect();
            let bytes = size * 3 * numbers(&mut plan.losses.iter().map(|l| plan.outputs[l.output].extent));
            rows.push(ProfileRow::other(&names.join(" + "), &kinds.join(" + "), seconds[1 + count], bytes));
        }
        // Weights and words of state read and written, gradients read.
        let trained: usize = self.model.store.params.iter().filter(|p| !p.frozen).map(|p| p.len).sum();
        let bytes = trained * (3 + 2 * optimizer.words()) * self.model.store.dtype.bytes();
        rows.push(ProfileRow::other("update", optimizer.kind(), seconds[2 + 2 * count], bytes as u64));
        rows
    }
}

impl ProfileRow {
    /// What is no node.
    fn other(name: &str, kind: &str, seconds: f64, bytes: u64) -> Self {
        Self {
            name: name.to_string(),
            kind: kind.to_string(),
            nodes: Vec::new(),
            extent: None,
            parameters: 0,
            bytes: 0,
            path: String::new(),
            forward: Phase { seconds, flops: 0, bytes },
            backward: None,
        }
    }
}

type Seeds<'a> = Vec<Option<View<'a>>>;

fn views(seeds: &[(Extent, Vec<f32>)]) -> Result<Seeds<'_>> {
    seeds.iter().map(|(e, dy)| View::new(*e, dy).map(Some)).collect()
}

/// At the losses, where there are some.
fn seed<'a>(seeds: &'a Seeds<'_>) -> Seed<'a> {
    if seeds.is_empty() { Seed::Loss } else { Seed::Outputs(seeds) }
}

/// A clock that is read behind each part of a step.
struct Clock {
    device: Device,
    last: Instant,
    /// Seconds that a look takes.
    look: f64,
    laps: Vec<f64>,
}

impl Clock {
    fn new(device: &Device) -> Self {
        let mut looks: Vec<f64> = (0..101).map(|_| Instant::now().elapsed().as_secs_f64()).collect();
        Self { device: device.clone(), last: Instant::now(), look: median(&mut looks), laps: Vec::new() }
    }

    fn begin(&mut self) -> Result<()> {
        self.device.synchronize()?;
        self.last = Instant::now();
        Ok(())
    }

    fn lap(&mut self) -> Result<()> {
        self.device.synchronize()?;
        let now = Instant::now();
        self.laps.push((now.duration_since(self.last).as_secs_f64() - self.look).max(0.0));
        self.last = now;
        Ok(())
    }

    /// The median of each part over all passes.
    fn medians(&self, passes: usize) -> Vec<f64> {
        let parts = self.laps.len() / passes;
        (0..parts).map(|k| median(&mut self.laps.iter().skip(k).step_by(parts).copied().collect::<Vec<_>>())).collect()
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
