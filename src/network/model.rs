//! The planned machine: weights, and the plans that share them.

use super::builder::ModelBuilder;
use super::draft::Draft;
use super::infer::Recorded;
use super::plan::{LossSpec, Setup};
use super::view::{Inputs, Seed, Targets, View};
use super::{Network, NodeId, Plan, PlanReport};
use crate::device::Device;
use crate::device::control::StepParams;
use crate::loss::Target;
use crate::memory::{Grads, Mode, Store};
use crate::optim::Optimizer;
use crate::{Error, Extent, Math, Precision, Result};
use std::cell::Cell;
use std::ops::Range;

/// A network with weights on a device. Plans for each mode, batch capacity and image size are made when first needed,
/// kept, and share the weights.
///
/// # Examples
/// A gradient step by hand, and the gradient wrt the input:
/// ```
/// use kamacite::*;
/// let mut net = Network::new(Extent::flat(2));
/// net.push(Dense::new(8).act(Tanh));
/// net.push(Dense::new(1));
/// let mut model = Model::builder(net).seed(3).build()?;
/// let x = [0.5_f32, -1.0];
/// let y = model.forward(Mode::Train, View::new(Extent::flat(2), &x)?)?.row(0)?[0];
/// let dy = [2.0 * (y - 1.0)];                                        // of (y − 1)²
/// let dx = model.backward(View::new(Extent::flat(1), &dy)?, Grads::Write)?;
/// assert_eq!(dx.extent(), Extent::flat(2));
/// model.step(&Sgd::new(0.01))?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Model {
    pub(crate) net: Network,
    pub(crate) device: Device,
    pub(crate) precision: Precision,
    pub(crate) store: Store,
    pub(crate) seed: u64,
    /// Forward passes that drew random numbers: the key of dropout masks.
    pub(crate) forwards: u64,
    /// Optimizer steps done.
    pub(crate) updates: u64,
    pub(crate) losses: Vec<LossSpec>,
    pub(crate) spare_biases: bool,
    pub(super) input_gradients: bool,
    pub(super) kept: Vec<usize>,
    /// Nodes beside the outputs at which backward passes may begin.
    pub(super) starts: Vec<usize>,
    pub(super) plans: Vec<(PlanKey, Plan)>,
    pub(super) generation: u64,
    pub(super) runs: Vec<RunSpec>,
    /// The elements of all runs.
    pub(super) ranges: Vec<Range<usize>>,
    pub(super) current: Option<Current>,
    /// On a GPU: forward passes that came before.
    pub(super) recorded: Vec<Recorded>,
    /// What a GPU was told last.
    pub(super) told: Cell<Option<StepParams>>,
    /// What a view of device memory shows.
    pub(super) copy: Vec<f32>,
    /// The last backward pass began at the losses, whose gradients carry the loss scale.
    pub(super) scaled: bool,
    /// On a GPU: clipping by norm has left a factor for the next update in the control block.
    pub(super) clipped: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlanKey {
    pub mode: Mode,
    pub extents: Vec<Extent>,
    /// Kinds of target, one for each loss.
    pub targets: Vec<Option<Target>>,
    pub input_grad: bool,
}

/// The most numbers an optimizer may keep for each parameter.
pub(crate) const MAX_WORDS: usize = 4;

/// The last forward pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub plan: usize,
    pub rows: usize,
    pub forward: u64,
    /// Factor on the gradients of penalties.
    pub penalty: f64,
    /// The losses have written their gradients.
    pub seeded: bool,
    /// A backward pass has consumed them.
    pub spent: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct RunSpec {
    pub range: Range<usize>,
    pub lr_scale: f64,
    pub decay: bool,
}

impl Model {
    /// Options, then [`ModelBuilder::build`].
    pub fn builder(net: Network) -> ModelBuilder {
        ModelBuilder::new(net)
    }

    /// The description.
    pub fn network(&self) -> &Network {
        &self.net
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How sums may be rearranged.
    pub fn math(&self) -> Math {
        self.store.math
    }

    /// Changes how sums may be rearranged, for a model out of a checkpoint, say. Every plan is made anew when it is next needed.
    pub fn set_math(&mut self, math: Math) {
        if self.store.math != math {
            self.store.math = math;
            self.forget_plans();
        }
    }

    /// The precision.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Optimizer steps done since the weights were drawn.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Plans made so far.
    pub fn plans(&self) -> impl Iterator<Item = &PlanReport> {
        self.plans.iter().map(|(_, plan)| &plan.report)
    }

    /// Keeps the output of a node, and in backward passes its gradient, readable by [`Model::node`] and
    /// [`Model::node_gradient`].
    pub fn keep(&mut self, node: NodeId) {
        let node = node.0 as usize;
        if node < self.net.nodes.len() && !self.kept.contains(&node) {
            self.kept.push(node);
            self.forget_plans();
        }
    }

    /// Runs a batch through the network; the first output comes back, [`Model::output`] reads the others.
    ///
    /// The plan's capacity is the number of rows rounded up to a power of two. Inputs may have other spatial sizes than
    /// declared, if all layers can be planned for them.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for inputs that do not fit; whatever a new plan may meet.
    pub fn forward<'a>(&mut self, mode: Mode, x: impl Into<Inputs<'a>>) -> Result<View<'_>> {
        self.forward_all(mode, self.input_gradients, x.into().as_slice())?;
        self.output(0)
    }

    fn forward_all(&mut self, mode: Mode, input_gradients: bool, x: &[View<'_>]) -> Result<()> {
        let rows = x.first().map_or(0, View::rows);
        if let Some(other) = x.iter().find(|v| v.rows() != rows) {
            return Err(Error::shape("inputs", "different numbers of rows").expected(rows).got(other.rows()));
        }
        let (capacity, input_grad) = (rows.next_power_of_two(), mode.differentiable() && input_gradients);
        // Looked up without making a key, which would allocate in each step.
        let known = |(k, p): &(PlanKey, Plan)| {
            let extents = k.extents.iter().copied().eq(x.iter().map(View::extent));
            p.capacity == capacity
                && k.mode == mode
                && k.input_grad == input_grad
                && extents
                && k.targets.iter().all(Option::is_none)
        };
        let plan = match self.plans.iter().position(known) {
            Some(plan) => plan,
            None => {
                let (extents, targets) = (x.iter().map(View::extent).collect(), vec![None; self.losses.len()]);
                self.plan_for(PlanKey { mode, extents, targets, input_grad }, capacity)?
            }
        };
        self.begin(plan, rows)?;
        let done = self.put_inputs(plan, x, rows).and_then(|()| self.run_inference());
        if done.is_err() {
            // Nothing may be read from a pass that did not happen.
            self.current = None;
        }
        done
    }

    pub(super) fn put_inputs(&mut self, plan: usize, x: &[View<'_>], rows: usize) -> Result<()> {
        for (i, view) in x.iter().enumerate() {
            let slot = self.plans[plan].1.inputs[i].y;
            self.put(slot, *view, rows).map_err(|e| e.at(format!("input {i}")))?;
        }
        Ok(())
    }

    /// Output `index` of the last forward pass.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) without a forward pass or for an output that is not there.
    pub fn output(&mut self, index: usize) -> Result<View<'_>> {
        let (current, plan) = self.fresh()?;
        let port = plan.outputs.get(index).copied();
        let port = port.ok_or_else(|| {
            Error::order("model", "no such output").expected(format!("below {}", plan.outputs.len())).got(index)
        })?;
        self.view(port.y, port.extent, current.rows, 1.0)
    }

    /// The output of a kept node in the last forward pass.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) if the node was not kept ([`Model::keep`]).
    pub fn node(&mut self, node: NodeId) -> Result<View<'_>> {
        let (current, plan) = self.fresh()?;
        let port = plan.kept.iter().find(|p| p.node == node.0 as usize).copied().ok_or_else(not_kept)?;
        self.view(port.y, port.extent, current.rows, 1.0)
    }

    /// The gradient wrt the output of a kept node in the last backward pass.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) if the node was not kept or no backward pass was made.
    pub fn node_gradient(&mut self, node: NodeId) -> Result<View<'_>> {
        let (current, plan) = self.fresh()?;
        let port = plan.kept.iter().find(|p| p.node == node.0 as usize).copied().ok_or_else(not_kept)?;
        let dy = port.dy.filter(|_| current.spent).ok_or_else(no_gradient)?;
        let factor = self.gradient_factor()?;
        self.view(dy, port.extent, current.rows, factor)
    }

    /// The gradient wrt input `index` of the last backward pass.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) without a backward pass.
    pub fn input_gradient(&mut self, index: usize) -> Result<View<'_>> {
        let (current, plan) = self.fresh()?;
        let port = plan.inputs.get(index).copied();
        let (port, dy) = port.and_then(|p| Some((p, p.dy?))).filter(|_| current.spent).ok_or_else(no_gradient)?;
        let factor = self.gradient_factor()?;
        self.view(dy, port.extent, current.rows, factor)
    }

    /// The attached losses of the last forward pass on these targets (one for each loss): Σ factor·Σᵢ ℓᵢ / rows. Their
    /// gradients are then ready for `backward(Seed::Loss, ..)`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for targets that do not fit,
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for labels out of range.
    pub fn loss(&mut self, targets: &[Targets<'_>]) -> Result<f64> {
        let rows = self.fresh()?.0.rows;
        self.put_targets(targets)?;
        self.run_losses(1.0 / rows as f64)?;
        Ok(self.loss_total(rows)? / rows as f64)
    }

    /// One training step on a batch: forward in [`Mode::Train`], losses, backward, update. Returns the mean loss, as
    /// [`Model::loss`] does. The same bits as these four calls, without the gradient wrt the inputs.
    ///
    /// # Errors
    /// As the four calls; [`ErrorKind::Diverged`](crate::ErrorKind::Diverged) for a loss that is NaN or infinite, naming the first
    /// layer whose output is: the weights are then those before the step.
    ///
    /// # Examples
    /// ```
    /// use kamacite::*;
    /// let mut net = Network::new(Extent::flat(2));
    /// net.push(Dense::new(3));
    /// let mut model = Model::builder(net).loss("output", SoftmaxCrossEntropy, 1.0).build()?;
    /// let x = [0.5_f32, -1.0, 1.5, 0.0];
    /// let mut loss = || model.train_batch(View::new(Extent::flat(2), &x)?, &[Targets::Classes(&[2, 0])], &Sgd::new(0.1));
    /// let first = loss()?;
    /// assert!(loss()? < first);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn train_batch<'a>(
        &mut self,
        x: impl Into<Inputs<'a>>,
        targets: &[Targets<'_>],
        optimizer: &dyn Optimizer,
    ) -> Result<f64> {
        let x = x.into();
        self.forward_all(Mode::Train, false, x.as_slice())?;
        let loss = self.loss(targets)?;
        if !loss.is_finite() {
            return Err(self.diverged(x.as_slice(), loss));
        }
        self.backward_parameters(Seed::Loss, Grads::Write)?;
        self.step(optimizer)?;
        Ok(loss)
    }

    /// Runs the forward pass of a batch again with every node kept, and names the first whose output is not finite.
    #[cold]
    fn diverged(&mut self, x: &[View<'_>], loss: f64) -> Error {
        let e = Error::diverged(format!("step {}", self.updates), format!("the loss is {loss}"));
        let e = e.hint("lower the learning rate, clip the gradients, or look at this batch");
        if let Some(name) = self.first_broken_parameter() {
            return e.got(format!("a parameter, {name}, that is not finite: its gradient was not in the step before"));
        }
        let rows = x.first().map_or(0, View::rows);
        let found = self.first_non_finite(rows, &mut |model, plan| {
            model.begin_again(plan, rows)?;
            model.put_inputs(plan, x, rows)
        });
        match found {
            Ok(Some((node, rows))) => {
                e.got(format!("the first values that are not finite in {node}, row {}", rows.first().copied().unwrap_or(0)))
            }
            Ok(None) => e.got("finite outputs of all layers"),
            Err(e) => e,
        }
    }

    /// Turns the outputs of the last forward pass into predictions, in place: probabilities for logits.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) without a forward pass.
    pub fn predict(&mut self) -> Result<View<'_>> {
        self.run_predict()?;
        self.output(0)
    }

    /// Gradients wrt the inputs (the first one comes back) and, as `grads` says, wrt the parameters. One backward pass
    /// for each forward pass: memory is reused on the way.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) without a fresh forward pass in a differentiable mode,
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for a gradient of another shape than the output.
    pub fn backward<'a>(&mut self, seed: impl Into<Seed<'a>>, grads: Grads) -> Result<View<'_>> {
        self.run_backward(seed.into(), grads)?;
        self.input_gradient(0)
    }

    /// As [`Model::backward`], for those who want no gradient wrt the inputs.
    ///
    /// # Errors
    /// As [`Model::backward`].
    pub fn backward_parameters<'a>(&mut self, seed: impl Into<Seed<'a>>, grads: Grads) -> Result<()> {
        self.run_backward(seed.into(), grads)
    }

    pub(crate) fn forget_plans(&mut self) {
        self.plans.clear();
        self.current = None;
        self.generation += 1;
    }

    /// How often all plans were dropped: an index of a plan is good for one generation.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Finds or makes a plan of at least this capacity.
    pub(super) fn plan_for(&mut self, key: PlanKey, capacity: usize) -> Result<usize> {
        if let Some(i) = self.plans.iter().position(|(k, p)| *k == key && p.capacity == capacity) {
            return Ok(i);
        }
        self.make_plan(key, capacity)
    }

    pub(super) fn make_plan(&mut self, key: PlanKey, capacity: usize) -> Result<usize> {
        if key.targets.len() != self.losses.len() {
            return Err(Error::shape("targets", "one for each loss").expected(self.losses.len()).got(key.targets.len()));
        }
        let losses: Vec<_> = self.losses.iter().cloned().zip(key.targets.iter().copied()).collect();
        let setup = Setup {
            device: &self.device,
            precision: self.precision,
            mode: key.mode,
            capacity,
            extents: &key.extents,
            losses: &losses,
            input_grad: key.input_grad,
            kept: &self.kept,
            starts: &self.starts,
        };
        let draft = Draft::new(&self.net, setup, &mut self.store)?;
        if self.store.reserve_copies()? {
            // A recorded update does not write them.
            self.generation += 1;
        }
        let plan = Plan::allocate(draft, &self.net, setup, &self.store)?;
        self.plans.push((key, plan));
        Ok(self.plans.len() - 1)
    }
}

fn not_kept() -> Error {
    Error::order("model", "the node was not kept").hint("call Model::keep(node) before the forward pass")
}

fn no_gradient() -> Error {
    Error::order("model", "no gradient here").hint("call forward in Mode::Train or Mode::Eval, then backward")
}
