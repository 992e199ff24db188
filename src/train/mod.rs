//! Training: the loop over epochs, with validation, early stopping, checkpoints and a stop handle.

mod ahead;
mod builder;
mod clock;
mod evaluate;
mod feed;
mod fit;
mod gather;
mod mlp;
mod monte_carlo;
mod packed;
mod replay;
mod resident;
mod whole;

pub use builder::TrainerBuilder;
pub use evaluate::Evaluation;
pub use fit::{Ended, Report};
pub use monte_carlo::{Entropy, MonteCarlo};

use crate::device::Device;
use crate::io::Checkpoint;
use crate::layer::{Fields, fields};
use crate::loss::{Loss, Target};
use crate::memory::{Grads, Mode};
use crate::network::{Mlp, Model, Network, Profile, Seed, Table, Whole};
use crate::optim::{Clip, EarlyStopping, EarlyStoppingState, Ema, Optimizer, PlateauState, ReduceOnPlateau, Schedule};
use crate::{Error, Extent, Precision, Result};
use feed::Feed;
use replay::Replay;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A model, its data and the rules of its training.
///
/// # Examples
/// ```
/// use kamacite::*;
/// use kamacite::data::Samples;
/// let x = vec![0., 0., 0., 1., 1., 0., 1., 1.];
/// let xor = Samples::new(Extent::flat(2), x)?.with_classes(vec![0, 1, 1, 0], 2)?;
/// let mut net = Network::new(Extent::flat(2));
/// net.push(Dense::new(8).act(Tanh));
/// net.push(Dense::new(2));
/// let mut t = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(0.05)).batch(4).seed(1).data(xor.clone(), Some(xor)).build()?;
/// let report = t.fit(200, &mut Silent)?;
/// assert_eq!(report.valid.unwrap().accuracy, Some(1.0));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer {
    model: Model,
    optimizer: Arc<dyn Optimizer>,
    rules: Rules,
    train: Feed,
    valid: Option<Feed>,
    state: State,
    /// The best weights so far, where early stopping may go back to them.
    best: Option<Checkpoint>,
    /// The plan of training batches, and how often plans had been dropped when it was made.
    plan: Option<(usize, u64)>,
    /// On a GPU: steps of this generation of plans in one kernel, where the network is small enough.
    mlp: Option<(u64, Option<Box<Mlp>>)>,
    /// Its steps in one piece, where the network is small enough, and the samples for them.
    whole: Option<(Whole, Table)>,
    notes: Vec<(String, Fields)>,
    stop: StopHandle,
    /// On a GPU: recorded steps, and how far the host has read what they did.
    replay: Replay,
}

/// What a run was told.
#[derive(Clone, Debug)]
struct Rules {
    batch: usize,
    seed: u64,
    schedule: Schedule,
    clip: Option<Clip>,
    ema: Option<Ema>,
    plateau: Option<ReduceOnPlateau>,
    early: Option<EarlyStopping>,
    accumulate: usize,
    validate_every: u64,
    shuffle: bool,
    checkpoint: Option<PathBuf>,
    checkpoint_every: u64,
    best: Option<PathBuf>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            batch: 32,
            seed: 0,
            schedule: Schedule::Constant,
            clip: None,
            ema: None,
            plateau: None,
            early: None,
            accumulate: 1,
            validate_every: 1,
            shuffle: true,
            checkpoint: None,
            checkpoint_every: 0,
            best: None,
        }
    }
}

/// Where a run stands: what a checkpoint adds to the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    /// Epochs completed.
    epoch: u64,
    /// Samples taken in the present epoch.
    cursor: usize,
    /// Sum of the losses of those samples.
    sum: f64,
    /// How many of them were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    skipped: u64,
    plateau: PlateauState,
    early: EarlyStoppingState,
    /// Early stopping has spoken.
    stopped: bool,
    history: Vec<Record>,
    /// In f16, at the time of a checkpoint: the loss scale, and the steps since it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loss_scale: Option<(f32, u32)>,
}

/// One epoch of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Which epoch, from 1.
    pub epoch: u64,
    /// Optimizer steps done by its end.
    pub steps: u64,
    /// The learning rate of its last step.
    pub learning_rate: f64,
    /// Mean loss of the samples as they were met in training, without those that were left out.
    pub loss: f64,
    /// Mean loss on the validation data, where they were evaluated.
    pub valid_loss: Option<f64>,
    /// Share of validation samples whose class was found.
    pub accuracy: Option<f64>,
    /// Training samples that could not be read and were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
}

/// What was never met is not written, so that equal states have equal bytes, those of earlier versions too.
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Asks a trainer to finish its batch, save and return. Cheap to clone, and safe to use from a signal handler.
#[derive(Clone, Debug, Default)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// Asks.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has asked.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for crates that set one when a signal arrives.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Trainer {
    /// Options, then [`TrainerBuilder::build`]. The loss belongs to the network's first output.
    pub fn builder(net: Network, loss: impl Loss + 'static, optimizer: impl Optimizer + 'static) -> TrainerBuilder {
        TrainerBuilder::new(net, loss, optimizer)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model, to predict with, freeze, read and change.
    pub fn model_mut(&mut self) -> &mut Model {
        &mut self.model
    }

    /// The model alone.
    pub fn into_model(self) -> Model {
        self.model
    }

    /// Epochs completed.
    pub fn epoch(&self) -> u64 {
        self.state.epoch
    }

    /// The epochs so far.
    pub fn history(&self) -> &[Record] {
        &self.state.history
    }

    /// How long steps have waited so far for batches that were still being read: next to nothing where reading keeps up. Counted for data
    /// that [wait](crate::data::Dataset::waits) for a disk; others are read within the step.
    pub fn waited(&self) -> std::time::Duration {
        self.train.waited()
    }

    /// What could not be read so far and was left out: one sentence for each file, of the training data and then of the validation data.
    pub fn skipped(&self) -> Vec<String> {
        let mut all = self.train.data.skipped();
        // Parts of one set tell of the same files.
        let more = self.valid.iter().flat_map(|valid| valid.data.skipped()).filter(|s| !all.contains(s)).collect::<Vec<_>>();
        all.extend(more);
        all
    }

    /// Where the time of a training step goes, at this batch size and with this optimizer: [`Model::profile`]. Reading the data is not part
    /// of it, nor are clipping and averages. Nothing of the run changes.
    ///
    /// # Errors
    /// As [`Model::profile`].
    pub fn profile(&self) -> Result<Profile> {
        self.model.profile(self.rules.batch.min(self.train.len()), &*self.optimizer)
    }

    /// A handle that stops [`Trainer::fit`] from elsewhere.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Batches per epoch that end in an update.
    pub fn steps_per_epoch(&self) -> u64 {
        self.train.len().div_ceil(self.rules.batch).div_ceil(self.rules.accumulate) as u64
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate_at(self.model.updates)
    }

    /// Samples of an update, but for the last of an epoch; for a batch of any size.
    fn samples_per_step(&self) -> usize {
        self.rules.batch.saturating_mul(self.rules.accumulate).min(self.train.len())
    }

    fn learning_rate_at(&self, step: u64) -> f64 {
        let factor = match &self.rules.schedule {
            Schedule::Constant => 1.0,
            schedule => schedule.at(step, self.steps_per_epoch()),
        };
        self.optimizer.learning_rate() * factor * self.state.plateau.scale
    }

    /// One update: gather, forward, losses, backward (each as often as batches are accumulated), clip, optimizer, average.
    /// Begins a new epoch when the last one is over. Returns the mean loss of the samples, for which a GPU has to be waited for;
    /// [`Trainer::fit`] does so a few times a second only. Samples that could not be read and were left out are none of them: where all were,
    /// the mean is NaN.
    ///
    /// # Errors
    /// [`ErrorKind::Diverged`](crate::ErrorKind::Diverged) for a loss that is NaN or infinite, naming the first layer whose
    /// output is, and the samples; the weights are then those before the step. What the data set may meet.
    pub fn step(&mut self) -> Result<f64> {
        match self.advance(1)? {
            (_, Some(loss)) => Ok(loss),
            (_, None) => self.settle(),
        }
    }

    /// An update, or several where one kernel makes them, but no more than `most`. How many, and the loss of the last, where the device
    /// tells it without being waited for.
    fn advance(&mut self, most: usize) -> Result<(usize, Option<f64>)> {
        if self.state.cursor >= self.train.len() {
            self.begin_epoch();
        }
        let plan = self.training_plan()?;
        self.train.arrange(self.state.epoch, self.rules.seed)?;
        let forwards = self.model.forwards;
        let done = if let Device::Cuda(cuda) = self.model.device() {
            let cuda = cuda.clone();
            self.steps_on_gpu(&cuda, plan, most).map(|steps| (steps, None))
        } else {
            self.step_on_cpu(plan).map(|loss| (1, Some(loss)))
        };
        if done.as_ref().is_err_and(|e| e.kind() != crate::ErrorKind::Diverged) {
            // A step whose data could not be read leaves no trace: made again, it draws the same random numbers.
            self.model.forwards = forwards;
        }
        done
    }

    fn step_on_cpu(&mut self, plan: usize) -> Result<f64> {
        let start = self.state.cursor;
        let end = self.train.len().min(start + self.samples_per_step());
        if self.whole.is_some() {
            return self.step_whole(start..end);
        }
        let scale = 1.0 / (end - start) as f64;
        let (mut sum, mut used) = (0.0, 0);
        let mut from = start;
        while from < end {
            let to = from + self.rules.batch.min(end - from);
            self.model.begin(plan, to - from)?;
            let (planned, s) = self.model.staging()?;
            let some = self.train.stage(planned, &s, from..to, (self.state.epoch, self.rules.seed))?;
            self.model.run_forward()?;
            self.model.run_losses(scale)?;
            let loss = self.model.loss_total(some)?;
            if !loss.is_finite() {
                return Err(self.diverged(from..to, loss));
            }
            let grads = if from == start { Grads::Write } else { Grads::Add };
            self.model.run_backward(Seed::Loss, grads)?;
            (sum, used) = (sum + loss, used + some);
            from = to;
        }
        let scale = match &self.rules.clip {
            Some(clip) => self.model.clip(clip)?,
            None => 1.0,
        };
        self.model.step_at(&*self.optimizer, self.learning_rate(), scale)?;
        if let Some(ema) = &self.rules.ema {
            self.model.average(ema)?;
        }
        self.state.cursor = end;
        self.state.sum += sum;
        self.state.skipped += (end - start - used) as u64;
        Ok(sum / used as f64)
    }

    fn begin_epoch(&mut self) {
        self.state.epoch += 1;
        (self.state.cursor, self.state.sum, self.state.skipped) = (0, 0.0, 0);
        self.replay.begin_epoch();
    }

    fn training_plan(&mut self) -> Result<usize> {
        match self.plan {
            Some((plan, generation)) if generation == self.model.generation() => Ok(plan),
            _ => {
                let plan = plan_of(&mut self.model, &self.train, Mode::Train, self.rules.batch.min(self.train.len()))?;
                self.train.check_targets(self.model.planned(plan))?;
                self.plan = Some((plan, self.model.generation()));
                self.find_whole(plan);
                Ok(plan)
            }
        }
    }

    /// Runs the failed batch again with every node kept, and names the first that is not finite.
    fn diverged(&mut self, range: std::ops::Range<usize>, loss: f64) -> Error {
        let (epoch, seed) = (self.state.epoch, self.rules.seed);
        let ids = |rows: &[usize]| {
            let samples = self.train.samples(range.clone());
            let shown: Vec<String> = rows.iter().take(8).filter_map(|&r| samples.get(r)).map(u32::to_string).collect();
            shown.join(", ") + if rows.len() > 8 { ", ..." } else { "" }
        };
        let hint = "lower the learning rate, clip the gradients, or look at these samples";
        let mut bad = Vec::new();
        for k in 0..self.model.losses.len() {
            match self.model.loss_rows(k) {
                Ok(rows) => bad.extend(rows.iter().enumerate().filter(|(_, x)| !x.is_finite()).map(|(i, _)| i)),
                Err(e) => return e,
            }
        }
        let place = format!("epoch {}, step {}", epoch + 1, self.model.updates);
        let what = format!("the loss is {loss} for samples {}", ids(&bad));
        if let Some(name) = self.model.first_broken_parameter() {
            let got = format!("a parameter, {name}, that is not finite: its gradient was not in the step before");
            return Error::diverged(place, what).got(got).hint(hint);
        }
        let train = &mut self.train;
        let found = self.model.first_non_finite(range.len(), &mut |model: &mut Model, plan| {
            model.begin_again(plan, range.len())?;
            let (planned, s) = model.staging()?;
            train.stage(planned, &s, range.clone(), (epoch, seed)).map(|_| ())
        });
        match found {
            Ok(Some((node, _))) => {
                Error::diverged(place, what).got(format!("the first values that are not finite in {node}")).hint(hint)
            }
            Ok(None) => Error::diverged(place, what).got("finite outputs of all layers").hint(hint),
            Err(e) => e,
        }
    }

    /// The state of the run: weights, optimizer, averages, counters, cursor, schedule, history.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) if a weight is NaN or infinite.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let mut state = self.state.clone();
        state.sum = self.sum()?;
        state.skipped += self.replay.skipped;
        state.loss_scale = None;
        if self.model.precision() == Precision::FP16 {
            let kept = self.model.step_state()?;
            state.loss_scale = Some((kept.loss_scale, kept.good));
        }
        let mut checkpoint = self.model.checkpoint()?;
        checkpoint.meta.trainer = Some(fields(&state));
        checkpoint.set_optimizer(self.optimizer.kind(), self.optimizer.save());
        self.notes.iter().for_each(|(name, value)| checkpoint.note(name, value.clone()));
        Ok(checkpoint)
    }

    /// Writes [`Trainer::checkpoint`] to a file.
    ///
    /// # Errors
    /// As [`Trainer::checkpoint`], and [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.checkpoint()?.save(path)
    }

    /// Goes back, or on, to the state of a checkpoint of the same network. A checkpoint without a trainer's state (a
    /// model's own) gives its weights, and the run begins anew.
    ///
    /// # Errors
    /// As [`Model::restore`]; [`ErrorKind::Format`](crate::ErrorKind::Format) for a state that does not belong to these data.
    pub fn restore(&mut self, from: &Checkpoint) -> Result<()> {
        let state = match &from.meta.trainer {
            Some(saved) => State::deserialize(saved).map_err(|e| Error::format("trainer", "state not understood").got(e))?,
            None => State::default(),
        };
        if let Some((scale, _)) = state.loss_scale.filter(|(scale, _)| !(scale.is_finite() && *scale >= 1.0)) {
            return Err(Error::format("trainer", "loss scale").expected("a finite number, 1 or more").got(scale));
        }
        if state.cursor > self.train.len() {
            let e = Error::format("trainer", "the checkpoint belongs to another data set");
            return Err(e.expected(format!("a cursor up to {}", self.train.len())).got(state.cursor));
        }
        if state.skipped > state.cursor as u64 {
            let e = Error::format("trainer", "samples left out");
            return Err(e.expected(format!("up to {}, the samples of the epoch that are done", state.cursor)).got(state.skipped));
        }
        from.check_optimizer(self.optimizer.kind())?;
        self.model.restore(from)?;
        self.rules.seed = self.model.seed;
        self.state = state;
        self.replay.restart(&self.model, self.state.sum, self.state.loss_scale)
    }
}

/// The plan of this mode for batches from a feed.
fn plan_of(model: &mut Model, feed: &Feed, mode: Mode, capacity: usize) -> Result<usize> {
    let (extents, targets): (Vec<Extent>, Vec<Target>) = (feed.data.inputs().to_vec(), feed.data.targets().to_vec());
    model.plan_losses(mode, capacity, &extents, &targets)
}
