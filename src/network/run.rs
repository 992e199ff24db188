//! One step of a plan: staging, passes forward, losses, passes backward. Shared by the open loop and the trainer.

use super::model::{Current, PlanKey};
use super::view::{Data, Seed, Targets, View};
use super::{Model, Plan, small};
use crate::device::control::StepParams;
use crate::device::{Cuda, Device};
use crate::loss::{LossIo, Target, find_label};
use crate::memory::{Arena, GradMode, Grads, Io, Mode, Slot, Step, Total};
use crate::op::elementwise::copy_or_add;
use crate::{DType, Error, Extent, Precision, Real, Result, real};

impl Model {
    /// The plan for training or evaluation with losses on batches of up to `capacity` rows.
    /// Without targets the losses choose: for prediction, and for losses that take none.
    pub(crate) fn plan_losses(&mut self, mode: Mode, capacity: usize, extents: &[Extent], targets: &[Target]) -> Result<usize> {
        let targets = match targets {
            [] => vec![None; self.losses.len()],
            targets => targets.iter().copied().map(Some).collect(),
        };
        let key = PlanKey { mode, extents: extents.to_vec(), targets, input_grad: false };
        self.plan_for(key, capacity)
    }

    /// Begins a step: the staged inputs and targets of this plan may now be written.
    pub(crate) fn begin(&mut self, plan: usize, rows: usize) -> Result<()> {
        self.begin_with(plan, rows, StepParams { update: self.updates, ..StepParams::default() })
    }

    /// A plan by its index.
    pub(crate) fn planned(&self, plan: usize) -> &Plan {
        &self.plans[plan].1
    }

    /// As [`Model::begin`], with what else a GPU is to know of the step.
    pub(crate) fn begin_with(&mut self, plan: usize, rows: usize, params: StepParams) -> Result<()> {
        let forward = self.forwards;
        if self.plans[plan].1.report.mode.drops() {
            self.forwards += 1;
        }
        self.current = Some(Current { plan, rows, forward, penalty: 0.0, seeded: false, spent: false });
        self.set_step(StepParams { forward, ..params })?;
        if let Device::Cuda(cuda) = &self.device {
            self.store.copies.refresh(cuda, &self.store.weights)?;
        }
        self.plans[plan].1.born(0)
    }

    /// As [`Model::begin`], with the random numbers of the step before.
    pub(crate) fn begin_again(&mut self, plan: usize, rows: usize) -> Result<()> {
        self.forwards = self.forwards.saturating_sub(1);
        self.begin(plan, rows)
    }

    /// Runs the last step's forward pass once more with every node kept; the first node whose output is not finite, and
    /// the rows in which. `stage` begins the step in the given plan and stages its batch.
    pub(crate) fn first_non_finite(
        &mut self,
        rows: usize,
        stage: &mut dyn FnMut(&mut Self, usize) -> Result<()>,
    ) -> Result<Option<(String, Vec<usize>)>> {
        let c = self.current.ok_or_else(no_forward)?;
        let key = self.plans[c.plan].0.clone();
        let kept = std::mem::replace(&mut self.kept, (0..self.net.nodes.len()).collect());
        let plan = self.make_plan(key, rows);
        self.kept = kept;
        let plan = plan?;
        stage(self, plan)?;
        self.run_forward()?;
        let (planned, s) = self.staging()?;
        let mut found = None;
        for port in &planned.kept {
            let n = port.extent.len();
            let rows: Vec<usize> = real!(s.dtype().host(), T => s.host_read::<T, _>(port.y, |y| {
                let bad = |row: &usize| y[row * n..(row + 1) * n].iter().any(|x| !x.is_finite());
                (0..rows).filter(bad).collect()
            }))?;
            if !rows.is_empty() {
                found = Some((self.net.nodes[port.node].place(port.node), rows));
                break;
            }
        }
        self.forget_plans();
        Ok(found)
    }

    /// The first parameter with a value that is not finite.
    pub(crate) fn first_broken_parameter(&self) -> Option<&str> {
        let broken = |i: usize| -> Result<bool> {
            real!(self.store.dtype, T => self.store.weights.host_read::<T, _>(i, 0, |w| w.iter().any(|w| !w.is_finite())))
        };
        let index = (0..self.store.params.len()).find(|&i| broken(i).unwrap_or(true))?;
        Some(&self.store.params[index].name)
    }

    /// The plan and a view of the machine for staging.
    pub(crate) fn staging(&self) -> Result<(&Plan, Step<'_>)> {
        let c = self.current.ok_or_else(no_forward)?;
        let plan = &self.plans[c.plan].1;
        Ok((plan, self.step_view(&plan.arena, c.rows, plan.report.mode, Grads::Write, c.forward)))
    }

    pub(crate) fn run_forward(&mut self) -> Result<()> {
        let c = self.current.ok_or_else(no_forward)?;
        (0..self.plans[c.plan].1.nodes.len()).try_for_each(|i| self.forward_node(c, i))
    }

    /// The forward pass of node `i` of the plan.
    #[inline]
    pub(super) fn forward_node(&mut self, c: Current, i: usize) -> Result<()> {
        let time = self.plans[c.plan].1.nodes[i].node as u32;
        if time > 0 {
            self.plans[c.plan].1.born(time)?;
        }
        if !self.run_small(c, i, None)? {
            let plan = &self.plans[c.plan].1;
            let s = self.step_view(&plan.arena, c.rows, plan.report.mode, Grads::Skip, c.forward);
            let n = &plan.nodes[i];
            n.pass
                .forward(&s, &Io { x: &n.x, y: n.y, dy: n.dy, dx: &n.dx })
                .map_err(|e| e.at(self.net.nodes[n.node].place(n.node)))?;
        }
        self.plans[c.plan].1.died(time)
    }

    /// Runs node `i` if it is a small dense layer: forward, or backward with these gradients. Whether it was one.
    #[inline]
    fn run_small(&mut self, c: Current, i: usize, backward: Option<Grads>) -> Result<bool> {
        let plan = &mut self.plans[c.plan].1;
        let (Some(small), Device::Cpu(cpu)) = (&plan.nodes[i].small, &self.device) else { return Ok(false) };
        let (local, store) = (&mut plan.arena, &mut self.store);
        real!(store.dtype, T => small::run::<T>(small, cpu, (c.rows, backward), local, store))?;
        Ok(true)
    }

    /// Evaluates the planned losses on the staged targets; gradients where the plan is differentiable and `grads` asks.
    /// `scale` multiplies the gradients: 1 over the rows of the step.
    pub(crate) fn run_losses(&mut self, scale: f64) -> Result<()> {
        self.evaluate_losses(scale, None)
    }

    /// As [`Model::run_losses`]; on a GPU their values are added to the sum that the device keeps, which `first` begins anew.
    fn evaluate_losses(&mut self, scale: f64, sum: Option<(&Cuda, bool)>) -> Result<()> {
        let c = self.current.ok_or_else(no_forward)?;
        let middle = self.plans[c.plan].1.middle;
        self.plans[c.plan].1.born(middle)?;
        let plan = &self.plans[c.plan].1;
        let s = self.step_view(&plan.arena, c.rows, plan.report.mode, Grads::Write, c.forward);
        for (k, l) in plan.losses.iter().enumerate() {
            let weight = plan.weight.ok_or_else(no_forward)?;
            // Two losses on one output: the second one's gradient cannot overwrite the first one's.
            let again = plan.losses[..k].iter().any(|other| other.output == l.output);
            let port = plan.outputs[l.output];
            if again {
                let e = Error::unsupported("losses", "two losses on one output").got(&self.net.outputs()[l.output].0);
                return Err(e.hint("declare a second output for the same node"));
            }
            let io = LossIo { y: port.y, target: l.used().target, weight, dy: port.dy, value: l.value, scale: scale * l.factor };
            self.store.total.set(sum.map(|(_, first)| Total { factor: l.factor, first: first && k == 0 }));
            l.used()
                .pass
                .value_and_grad(&s, &io)
                .map_err(|e| e.at(format!("loss of output {}", self.net.outputs()[l.output].0)))?;
            if let (Some((cuda, _)), Some(total)) = (sum, self.store.total.take()) {
                self.add_loss(&s, cuda, l.value, total)?;
            }
        }
        self.seeded(c, scale)
    }

    /// The losses have written their gradients; those of outputs without one are 0.
    fn seeded(&mut self, c: Current, scale: f64) -> Result<()> {
        let plan = &self.plans[c.plan].1;
        let s = self.step_view(&plan.arena, c.rows, plan.report.mode, Grads::Write, c.forward);
        for (k, port) in plan.outputs.iter().enumerate() {
            if let Some(dy) = port.dy.filter(|_| plan.losses.iter().all(|l| l.output != k)) {
                zero(&s, dy)?;
            }
        }
        self.current = Some(Current { seeded: true, penalty: scale * c.rows as f64, ..c });
        Ok(())
    }

    /// On a GPU: the forward pass and the losses on staged targets, added to the sum that the device keeps, with the last layer and the
    /// loss in one launch where they can be.
    pub(crate) fn run_to_losses(&mut self, cuda: &Cuda, scale: f64, samples: usize, first: bool) -> Result<()> {
        let c = self.current.ok_or_else(no_forward)?;
        let Some(at) = self.plans[c.plan].1.finale.as_ref().map(|finale| finale.at) else {
            self.run_forward()?;
            self.evaluate_losses(scale, Some((cuda, first)))?;
            return self.add_penalties(cuda, samples);
        };
        (0..self.plans[c.plan].1.nodes.len()).filter(|&i| i != at).try_for_each(|i| self.forward_node(c, i))?;
        let plan = &mut self.plans[c.plan].1;
        let (time, middle) = (plan.nodes[at].node as u32, plan.middle);
        plan.born(time)?;
        plan.born(middle)?;
        let plan = &self.plans[c.plan].1;
        let s = self.step_view(&plan.arena, c.rows, plan.report.mode, Grads::Write, c.forward);
        if let (Some(finale), [l], Some(weight)) = (&plan.finale, &plan.losses[..], plan.weight) {
            let (n, port) = (&plan.nodes[at], plan.outputs[l.output]);
            let loss =
                LossIo { y: port.y, target: l.used().target, weight, dy: port.dy, value: l.value, scale: scale * l.factor };
            let io = Io { x: &n.x, y: n.y, dy: n.dy, dx: &n.dx };
            let done = finale.ending.run(&s, cuda, &io, (&loss, &finale.loss), l.factor, first);
            done.map_err(|e| e.at(self.net.nodes[n.node].place(n.node)))?;
        }
        self.plans[c.plan].1.died(time)?;
        self.seeded(c, scale)?;
        self.add_penalties(cuda, samples)
    }

    /// The sum over rows of the losses that [`Model::run_losses`] evaluated, and the penalties of layers as often as `samples`, the rows
    /// that count. On a GPU this waits for the step.
    pub(crate) fn loss_total(&self, samples: usize) -> Result<f64> {
        let (plan, s) = self.staging()?;
        let total = plan.losses.iter().try_fold(0.0, |total, l| Ok(total + l.factor * self.sum(&s, l.value)?))?;
        plan.penalties.iter().try_fold(total, |total, slot| Ok(total + samples as f64 * self.sum(&s, *slot)?))
    }

    /// The per-row values of loss `k`, already weighted.
    pub(crate) fn loss_rows(&self, k: usize) -> Result<Vec<f64>> {
        let (plan, s) = self.staging()?;
        real!(s.master(), T => s.host_read::<T, _>(plan.losses[k].value, |l| l.iter().map(|x| x.to_f64()).collect()))
    }

    /// Turns the outputs into predictions, in place.
    pub(crate) fn run_predict(&self) -> Result<()> {
        let (plan, s) = self.staging()?;
        plan.losses.iter().try_for_each(|l| l.used().pass.predict(&s, plan.outputs[l.output].y))
    }

    pub(crate) fn run_backward(&mut self, seed: Seed<'_>, grads: Grads) -> Result<()> {
        let c = self.begin_backward(seed, grads)?;
        (0..self.plans[c.plan].1.nodes.len()).rev().try_for_each(|i| self.backward_node(c, i, grads))?;
        self.current = Some(Current { spent: true, ..c });
        Ok(())
    }

    /// Seeds the gradients of the outputs.
    pub(super) fn begin_backward(&mut self, seed: Seed<'_>, grads: Grads) -> Result<Current> {
        let mut c = self.current.ok_or_else(no_forward)?;
        let plan = &mut self.plans[c.plan].1;
        if c.spent || !plan.report.mode.differentiable() {
            let e = Error::order(
                "backward",
                if c.spent { "the forward pass is spent" } else { "the forward pass kept nothing for it" },
            );
            return Err(e.hint("call forward in Mode::Train or Mode::Eval first"));
        }
        let scaled = matches!(seed, Seed::Loss);
        if grads == Grads::Add && self.scaled != scaled && self.precision == Precision::FP16 {
            let e = Error::order("backward", "gradients of a loss and of the user's own cannot be added in FP16");
            return Err(e.hint("the former carry the loss scale; use BF16"));
        }
        self.scaled = scaled;
        // A factor from clipping belongs to the gradients that this pass overwrites.
        self.clipped &= grads != Grads::Write;
        match seed {
            Seed::Loss if c.seeded => {}
            Seed::Loss => {
                return Err(Error::order("backward", "the losses have not been evaluated").hint("call Model::loss first"));
            }
            Seed::Output(view) => self.seed(c, &[Some(view)])?,
            Seed::Outputs(views) => self.seed(c, views)?,
            Seed::Node(node, view) => self.seed_node(c, node, view)?,
        }
        if !scaled {
            c.penalty = 0.0;
        }
        let plan = &mut self.plans[c.plan].1;
        plan.died(plan.middle)?;
        Ok(c)
    }

    /// The backward pass of node `i` of the plan, if it has one.
    #[inline]
    pub(super) fn backward_node(&mut self, c: Current, i: usize, grads: Grads) -> Result<()> {
        let plan = &mut self.plans[c.plan].1;
        if !plan.nodes[i].backward {
            return Ok(());
        }
        let node = plan.nodes[i].node;
        let time = 2 * plan.middle - node as u32;
        plan.born(time)?;
        let plan = &self.plans[c.plan].1;
        let n = &plan.nodes[i];
        if let Some(keep) = n.keep_dy {
            let s = self.step_view(&plan.arena, c.rows, plan.report.mode, grads, c.forward);
            copy_or_add(&s, n.dy, (keep, GradMode::Write))?;
        }
        if !self.run_small(c, i, Some(grads))? {
            let plan = &self.plans[c.plan].1;
            let s = self.step_view(&plan.arena, c.rows, plan.report.mode, grads, c.forward);
            let s = Step { penalty: c.penalty, ..s };
            let n = &plan.nodes[i];
            n.pass
                .backward(&s, &Io { x: &n.x, y: n.y, dy: n.dy, dx: &n.dx })
                .map_err(|e| e.at(self.net.nodes[node].place(node)))?;
        }
        self.plans[c.plan].1.died(time)
    }

    pub(super) fn seed(&mut self, c: Current, views: &[Option<View<'_>>]) -> Result<()> {
        let middle = self.plans[c.plan].1.middle;
        self.plans[c.plan].1.born(middle)?;
        let ports = self.plans[c.plan].1.outputs.clone();
        if views.len() > ports.len() {
            return Err(Error::shape("backward", "more gradients than outputs").expected(ports.len()).got(views.len()));
        }
        for (k, port) in ports.iter().enumerate() {
            let Some(dy) = port.dy else { continue };
            match views.get(k).copied().flatten() {
                None => zero(&self.staging()?.1, dy)?,
                Some(view) if view.rows() != c.rows || view.extent().len() != port.extent.len() => {
                    let expected = format!("{} rows of {}", c.rows, port.extent);
                    let got = format!("{} rows of {}", view.rows(), view.extent());
                    return Err(Error::shape(format!("gradient of output {k}"), "does not fit the output")
                        .expected(expected)
                        .got(got));
                }
                Some(view) => self.put(dy, view, c.rows)?,
            }
        }
        Ok(())
    }

    pub(super) fn put_targets(&mut self, targets: &[Targets<'_>]) -> Result<()> {
        let c = self.current.ok_or_else(no_forward)?;
        let losses = &mut self.plans[c.plan].1.losses;
        if targets.len() != losses.len() {
            return Err(Error::shape("targets", "one for each loss").expected(losses.len()).got(targets.len()));
        }
        for (k, (port, target)) in losses.iter_mut().zip(targets).enumerate() {
            // As it is where the loss takes it so; labels as one-hot numbers otherwise.
            let found = port.kinds.iter().position(|l| target.fits(l.kind, c.rows));
            let found = found.or_else(|| port.kinds.iter().position(|l| target.converts(l.kind, c.rows)));
            port.used = found.ok_or_else(|| {
                let kinds: Vec<String> = port.kinds.iter().map(|l| format!("{:?}", l.kind)).collect();
                Error::shape(format!("target {k}"), "size or kind")
                    .expected(format!("{} for {} rows", kinds.join(" or "), c.rows))
                    .got(target)
            })?;
        }
        let (plan, s) = self.staging()?;
        for (k, (port, target)) in plan.losses.iter().zip(targets).enumerate() {
            let (kind, slot) = (port.used().kind, port.used().target);
            match (kind, target) {
                (Target::None, _) | (_, Targets::None) => Ok(()),
                (_, Targets::Values(view)) => self.put(slot, *view, s.rows()),
                (Target::Index { classes, positions }, Targets::Classes(labels)) => s.host_write::<u32>(slot, |t| {
                    t.copy_from_slice(labels);
                    // Losses on a GPU cannot say so any more.
                    if self.device.is_cuda() { find_label(t, &vec![1.0_f32; c.rows], classes, positions) } else { Ok(()) }
                }),
                (Target::Values(extent), Targets::Classes(labels)) => {
                    real!(s.master(), T => s.host_write::<T>(slot, |t| one_hot(labels, extent.c, t)))
                }
            }
            .map_err(|e| e.at(format!("target {k}")))?;
        }
        let Some(weight) = plan.weight else { return Ok(()) };
        real!(s.master(), T => s.host_write::<T>(weight, |w| {
            w.fill(T::ONE);
            Ok(())
        }))
    }

    pub(super) fn put(&self, slot: Slot, view: View<'_>, rows: usize) -> Result<()> {
        let (_, s) = self.staging()?;
        debug_assert_eq!(rows, s.rows());
        match (s.dtype().host(), view.dtype()) {
            (DType::F32, DType::F32) => s.host_write::<f32>(slot, |x| {
                x.copy_from_slice(view.as_f32()?);
                Ok(())
            }),
            (DType::F64, DType::F64) => s.host_write::<f64>(slot, |x| {
                x.copy_from_slice(view.as_f64()?);
                Ok(())
            }),
            (DType::F64, DType::F32) => s.host_write::<f64>(slot, |x| {
                x.iter_mut().zip(view.as_f32()?).for_each(|(d, x)| *d = f64::from(*x));
                Ok(())
            }),
            (expected, got) => {
                let e = Error::value("view", "element type").expected(format!("{expected:?}")).got(format!("{got:?}"));
                Err(e.hint("a model in FP64 takes both"))
            }
        }
    }

    fn sum(&self, s: &Step<'_>, slot: Slot) -> Result<f64> {
        real!(s.master(), T => s.host_read::<T, _>(slot, |l| l.iter().map(|x| x.to_f64()).sum()))
    }

    pub(super) fn fresh(&self) -> Result<(Current, &Plan)> {
        let c = self.current.ok_or_else(no_forward)?;
        Ok((c, &self.plans[c.plan].1))
    }

    /// The elements of a slot, those of device memory times `factor`.
    pub(super) fn view(&mut self, slot: Slot, extent: Extent, rows: usize, factor: f64) -> Result<View<'_>> {
        let c = self.current.ok_or_else(no_forward)?;
        let (arena, copy) = (&mut self.plans[c.plan].1.arena, &mut self.copy);
        let data = match self.precision.storage() {
            DType::F64 => Data::F64(arena.slice(slot.index as usize, rows)?),
            _ => {
                if let Some(cuda) = arena.cuda() {
                    arena.download(cuda, slot.index as usize, rows, copy)?;
                    copy.iter_mut().for_each(|x| *x *= factor as f32);
                    Data::F32(copy)
                } else {
                    Data::F32(arena.slice(slot.index as usize, rows)?)
                }
            }
        };
        View::of(data, extent, rows * extent.len())
    }

    pub(super) fn step_view<'m>(&'m self, local: &'m Arena, rows: usize, mode: Mode, grads: Grads, forward: u64) -> Step<'m> {
        let (device, store, seed) = (&self.device, &self.store, self.seed);
        let (dtype, master) = (self.precision.storage(), self.precision.master());
        Step { device, store, local, dtype, master, rows, mode, grads, seed, forward, penalty: 0.0 }
    }
}

fn no_forward() -> Error {
    Error::order("model", "no forward pass yet").hint("call Model::forward first")
}

/// Labels as one-hot rows of `c` numbers.
pub(crate) fn one_hot<T: Real>(labels: &[u32], c: usize, t: &mut [T]) -> Result<()> {
    t.fill(T::ZERO);
    for (row, (t, &label)) in t.chunks_exact_mut(c).zip(labels).enumerate() {
        let hot = t.get_mut(label as usize);
        *hot.ok_or_else(|| Error::value(format!("row {row}"), "label").expected(format!("below {c}")).got(label))? = T::ONE;
    }
    Ok(())
}

fn zero(s: &Step<'_>, slot: Slot) -> Result<()> {
    match s.device() {
        Device::Cpu(_) => real!(s.dtype(), T => s.write::<T>(slot)?.fill(<T as Real>::ZERO)),
        Device::Cuda(cuda) => cuda.fill(s.ptr(slot)?, 0, s.len(slot)? * s.dtype().bytes())?,
    }
    Ok(())
}
