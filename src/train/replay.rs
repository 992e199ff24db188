//! Steps on a GPU: launched kernel by kernel the first time, recorded the second time, replayed from then on.
//!
//! Nothing is waited for: the device sums the losses up and turns updates into no-ops from the first that is not finite. The host
//! looks a few times a second, at the end of an epoch, and when asked.

use super::Trainer;
use crate::device::control::{StepParams, StepState};
use crate::device::{Cuda, Graph};
use crate::memory::Grads;
use crate::network::{Model, Seed};
use crate::{Error, Result};
use std::time::{Duration, Instant};

/// How long the host goes without looking.
const GLANCE: Duration = Duration::from_millis(200);

/// Recorded steps, and what the host has seen of them.
#[derive(Debug, Default)]
pub(super) struct Replay {
    steps: Vec<(Key, Option<Recorded>)>,
    /// The device's sum of losses when the host last looked.
    seen: f64,
    /// What the losses of this epoch began with, and the device's sum at that time: so the sum of an epoch does not depend on when the
    /// host looked.
    begun: (f64, f64),
    /// Updates whose losses are not in `State::sum` yet.
    unseen: u64,
    /// Samples of these that were left out.
    pub skipped: u64,
    /// When the host last looked, and the mean loss that it saw.
    glance: Option<(Instant, f64)>,
    /// Samples of the last step that count.
    used: usize,
}

/// What a recorded step depends on besides the control block.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    plan: usize,
    generation: u64,
    rows: usize,
}

/// A step, and whether its update writes the copies of parameters too.
#[derive(Debug)]
struct Recorded {
    graph: Graph,
    copies: bool,
}

impl Replay {
    /// A new epoch: everything of the last one has been seen.
    pub fn begin_epoch(&mut self) {
        self.begun = (0.0, self.seen);
    }

    /// The losses of this epoch.
    fn sum(&self, kept: &StepState) -> f64 {
        self.begun.0 + (kept.loss - self.begun.1)
    }

    /// Forgets what was seen: the weights are those of another moment, at which the losses of the epoch were this. In f16 the loss scale of that moment, and the steps since it
    /// changed, come back; without them it begins anew.
    pub fn restart(&mut self, model: &Model, sum: f64, scale: Option<(f32, u32)>) -> Result<()> {
        self.begun = (sum, 0.0);
        (self.unseen, self.skipped, self.glance) = (0, 0, None);
        if model.device().is_cuda() {
            self.seen = 0.0;
            let (loss_scale, good) = scale.unwrap_or((model.store.loss_scale, 0));
            let state = model.step_state()?;
            model.set_step_state(StepState { loss: 0.0, last: 0.0, diverged: 0, skip: 0, loss_scale, good, ..state })?;
        }
        Ok(())
    }
}

impl Trainer {
    /// At least one update on a GPU and at most so many, without waiting for them; how many.
    pub(super) fn steps_on_gpu(&mut self, cuda: &Cuda, plan: usize, most: usize) -> Result<usize> {
        match self.steps_in_one_kernel(plan, most)? {
            0 => self.step_on_gpu(cuda, plan).map(|()| 1),
            steps => Ok(steps),
        }
    }

    /// Updates that are on their way: how many, and how many samples of the last count.
    pub(super) fn unseen(&mut self, steps: usize, used: usize) {
        self.replay.unseen += steps as u64;
        self.replay.used = used;
    }

    /// One update on a GPU, without waiting for it.
    fn step_on_gpu(&mut self, cuda: &Cuda, plan: usize) -> Result<()> {
        let start = self.state.cursor;
        let end = self.train.len().min(start + self.samples_per_step());
        let rate = self.learning_rate();
        let params =
            StepParams { forward: self.model.forwards, update: self.model.updates, cursor: start as u64, learning_rate: rate };
        let mut used = 0;
        if end - start <= self.rules.batch {
            used += self.begin_on_gpu(plan, start..end, params)?;
            self.replay_or_run(cuda, Key { plan, generation: self.model.generation(), rows: end - start }, used, rate)?;
        } else {
            // Every batch has a forward pass, and random numbers, of its own.
            for from in (start..end).step_by(self.rules.batch) {
                let to = from + self.rules.batch.min(end - from);
                let some = self.begin_on_gpu(plan, from..to, StepParams { cursor: from as u64, ..params })?;
                let grads = if from == start { Grads::Write } else { Grads::Add };
                self.gradients_on_gpu(cuda, some, 1.0 / (end - start) as f64, grads)?;
                used += some;
            }
            self.update_on_gpu(rate)?;
        }
        self.model.updates += 1;
        self.state.cursor = end;
        self.unseen(1, used);
        self.replay.skipped += (end - start - used) as u64;
        Ok(())
    }

    /// Tells the device about the step, and sends the batch where the data are not there already. How many of its samples count.
    fn begin_on_gpu(&mut self, plan: usize, range: std::ops::Range<usize>, params: StepParams) -> Result<usize> {
        self.model.begin_with(plan, range.len(), params)?;
        if self.train.resident().is_some() {
            return Ok(range.len());
        }
        let (planned, s) = self.model.staging()?;
        self.train.stage(planned, &s, range, (self.state.epoch, self.rules.seed))
    }

    fn replay_or_run(&mut self, cuda: &Cuda, key: Key, used: usize, rate: f64) -> Result<()> {
        self.replay.steps.retain(|(k, _)| k.generation == key.generation);
        let scale = 1.0 / key.rows as f64;
        if used < key.rows {
            // A recorded step counts all its rows; batches with samples left out are few.
            self.gradients_on_gpu(cuda, used, scale, Grads::Write)?;
            return self.update_on_gpu(rate).map(drop);
        }
        match self.replay.steps.iter().position(|(k, _)| *k == key) {
            None => {
                // The first time kernels are loaded and memory is taken, which cannot be recorded.
                self.gradients_on_gpu(cuda, used, scale, Grads::Write)?;
                self.update_on_gpu(rate)?;
                let generation = self.model.generation();
                self.replay.steps.push((Key { generation, ..key }, None));
                Ok(())
            }
            Some(i) => {
                if self.replay.steps[i].1.is_none() {
                    let mut copies = false;
                    let graph = cuda.capture(|| {
                        self.gradients_on_gpu(cuda, used, scale, Grads::Write)?;
                        copies = self.update_on_gpu(rate)?;
                        Ok(())
                    })?;
                    self.replay.steps[i].1 = Some(Recorded { graph, copies });
                }
                let Some(recorded) = &mut self.replay.steps[i].1 else { return Ok(()) };
                let store = &self.model.store;
                store.copies.updated(&store.weights, recorded.copies);
                recorded.graph.launch()
            }
        }
    }

    /// Gather, forward, losses, backward.
    fn gradients_on_gpu(&mut self, cuda: &Cuda, used: usize, scale: f64, grads: Grads) -> Result<()> {
        self.gather_on_gpu()?;
        self.model.run_to_losses(cuda, scale, used, grads == Grads::Write)?;
        self.model.run_backward(Seed::Loss, grads)
    }

    /// The batch at the cursor, where the data are on the device.
    fn gather_on_gpu(&self) -> Result<()> {
        let (planned, s) = self.model.staging()?;
        self.train.resident().map_or(Ok(()), |data| data.gather(&s, planned, 0))
    }

    /// Clip, optimizer, average; whether copies of parameters were written too.
    fn update_on_gpu(&mut self, rate: f64) -> Result<bool> {
        self.model.check_overflow()?;
        if let Some(clip) = &self.rules.clip {
            self.model.bound_gradients(clip)?;
        }
        let copies = self.model.update_parameters(&*self.optimizer, rate, 1.0)?;
        self.model.adapt_loss_scale()?;
        if let Some(ema) = &self.rules.ema {
            self.model.move_average(ema)?;
        }
        Ok(copies)
    }

    /// As [`Trainer::advance`], with the mean loss of a recent update.
    pub(super) fn advance_and_look(&mut self, most: usize) -> Result<(usize, f64)> {
        let (steps, loss) = self.advance(most)?;
        let loss = match (loss, self.replay.glance) {
            (Some(loss), _) => loss,
            (None, Some((when, loss))) if when.elapsed() < GLANCE => loss,
            _ => self.settle()?,
        };
        Ok((steps, loss))
    }

    /// Waits for the GPU: adds the losses of its last steps to the sum, and fails if one was not finite. The mean loss of the last.
    pub(super) fn settle(&mut self) -> Result<f64> {
        if !self.model.device().is_cuda() || self.replay.unseen == 0 {
            return Ok(self.replay.glance.map_or(f64::NAN, |(_, loss)| loss));
        }
        let kept = self.model.step_state()?;
        if kept.diverged != 0 {
            return Err(self.diverged_on_gpu(&kept));
        }
        self.state.sum = self.replay.sum(&kept);
        self.state.skipped += std::mem::take(&mut self.replay.skipped);
        let loss = kept.last / self.replay.used as f64;
        (self.replay.seen, self.replay.unseen, self.replay.glance) = (kept.loss, 0, Some((Instant::now(), loss)));
        Ok(loss)
    }

    /// The losses of this epoch, with those that are not in the state yet.
    pub(super) fn sum(&self) -> Result<f64> {
        if !self.model.device().is_cuda() || self.replay.unseen == 0 {
            return Ok(self.state.sum);
        }
        let kept = self.model.step_state()?;
        match kept.diverged {
            0 => Ok(self.replay.sum(&kept)),
            _ => Err(Error::diverged(format!("step {}", kept.diverged_at), "the loss was not finite: nothing to save")),
        }
    }

    /// Goes back to the step whose loss was not finite: the weights are those before it. Runs it again to find the layer and the
    /// samples.
    fn diverged_on_gpu(&mut self, kept: &StepState) -> Error {
        let back = self.model.updates.saturating_sub(kept.diverged_at);
        let size = self.samples_per_step();
        // All steps of an epoch but the last have the same size, and the host looks at the end of each epoch.
        let after = self.state.cursor.div_ceil(size) as u64;
        let start = after.saturating_sub(back) as usize * size;
        let end = self.train.len().min(start + size);
        let batches = |rows: usize| rows.div_ceil(self.rules.batch) as u64;
        self.model.forwards = self.model.forwards.saturating_sub(batches(self.state.cursor - start));
        self.model.updates = kept.diverged_at;
        self.state.cursor = start;
        (self.replay.unseen, self.replay.skipped) = (0, 0);
        self.state.sum = self.replay.sum(kept);
        self.replay.begun = (self.state.sum, 0.0);
        let place = format!("epoch {}, step {}", self.state.epoch + 1, kept.diverged_at);
        let mut again = || -> Result<Option<Error>> {
            self.model.set_step_state(StepState { diverged: 0, loss: 0.0, ..*kept })?;
            self.replay.seen = 0.0;
            let plan = self.training_plan()?;
            for from in (start..end).step_by(self.rules.batch) {
                let to = from + self.rules.batch.min(end - from);
                self.begin_on_gpu(plan, from..to, StepParams { cursor: from as u64, ..StepParams::default() })?;
                self.gather_on_gpu()?;
                self.model.run_forward()?;
                self.model.run_losses(1.0)?;
                let loss = self.model.loss_total(to - from)?;
                if !loss.is_finite() {
                    return Ok(Some(self.diverged(from..to, loss)));
                }
            }
            Ok(None)
        };
        match again() {
            Ok(Some(e)) | Err(e) => e,
            Ok(None) => Error::diverged(place, "a loss or the norm of the gradients was not finite")
                .hint("lower the learning rate, or clip the gradients"),
        }
    }
}
