//! Options of a trainer, and their checks.

use super::ahead::{After, Load};
use super::{Feed, Replay, Rules, State, StopHandle, Trainer};
use crate::data::Dataset;
use crate::device::Device;
use crate::io::Checkpoint;
use crate::layer::fields;
use crate::loss::{Loss, Target};
use crate::network::{Model, Network, Registry};
use crate::optim::{Clip, EarlyStopping, Ema, Optimizer, ReduceOnPlateau, Schedule};
use crate::{Error, Math, Precision, Result};
use std::path::PathBuf;
use std::sync::Arc;

/// Options of a [`Trainer`]; made by [`Trainer::builder`].
#[derive(Debug)]
pub struct TrainerBuilder {
    net: Network,
    losses: Vec<(String, Arc<dyn Loss>, f64)>,
    optimizer: Arc<dyn Optimizer>,
    device: Option<Device>,
    precision: Precision,
    math: Math,
    spare_biases: bool,
    rules: Rules,
    train: Option<Data>,
    valid: Option<Data>,
    frozen: Vec<String>,
    scales: Vec<(String, f64)>,
    resume: Option<PathBuf>,
    registry: Registry,
    notes: Vec<(String, crate::layer::Fields)>,
    load: Load,
}

struct Data(Arc<dyn Dataset>);

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} samples", self.0.len())
    }
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $type:ty => $field:ident = $value:expr;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.rules.$field = $value;
            self
        }
    )*};
}

impl TrainerBuilder {
    pub(super) fn new(net: Network, loss: impl Loss + 'static, optimizer: impl Optimizer + 'static) -> Self {
        let output = net.outputs().first().map_or_else(|| "output".to_string(), |(name, _)| name.clone());
        Self {
            net,
            losses: vec![(output, Arc::new(loss), 1.0)],
            optimizer: Arc::new(optimizer),
            device: None,
            precision: Precision::default(),
            math: Math::default(),
            spare_biases: false,
            rules: Rules::default(),
            train: None,
            valid: None,
            frozen: Vec::new(),
            scales: Vec::new(),
            resume: None,
            registry: Registry::standard(),
            notes: Vec::new(),
            load: Load::default(),
        }
    }

    options! {
        /// Rows of a batch; 32 by default.
        batch: usize => batch = batch;
        /// The seed of weights, order, dropout and augmentation; 0 by default.
        seed: u64 => seed = seed;
        /// The course of the learning rate.
        schedule: Schedule => schedule = schedule;
        /// Bounds on the gradients.
        clip: Clip => clip = Some(clip);
        /// Keeps an average of the weights, with which validation and prediction then work.
        ema: Ema => ema = Some(ema);
        /// Lowers the learning rate when validation stops improving.
        reduce_on_plateau: ReduceOnPlateau => plateau = Some(reduce_on_plateau);
        /// Stops when validation stops improving, and goes back to the best weights.
        early_stopping: EarlyStopping => early = Some(early_stopping);
        /// Batches whose gradients are summed before each update; 1 by default.
        accumulate: usize => accumulate = accumulate;
        /// Validates after every so many epochs; 1 by default.
        validate_every: u64 => validate_every = validate_every;
        /// Whether samples are taken in a new random order in each epoch; true by default.
        shuffle: bool => shuffle = shuffle;
        /// Writes a checkpoint after each epoch, and when stopped by a signal.
        checkpoint: impl Into<PathBuf> => checkpoint = Some(checkpoint.into());
        /// Writes the checkpoint after every so many steps too.
        checkpoint_every: u64 => checkpoint_every = checkpoint_every;
        /// Writes a checkpoint whenever validation is the best so far, by the goal of early stopping, else by that of the plateau rule, else by the loss.
        best: impl Into<PathBuf> => best = Some(best.into());
    }

    /// Where to compute; [`Device::auto`] by default, and the CPU where that cannot compute in the chosen precision.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = Some(device);
        self
    }

    /// What to compute in; f32 by default.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// How sums may be rearranged; [`Math::Exact`] by default. Not part of checkpoints.
    #[must_use]
    pub fn math(mut self, math: Math) -> Self {
        self.math = math;
        self
    }

    /// The training data, and data to validate with.
    #[must_use]
    pub fn data(mut self, train: impl Into<Arc<dyn Dataset>>, valid: Option<impl Into<Arc<dyn Dataset>>>) -> Self {
        self.train = Some(Data(train.into()));
        self.valid = valid.map(|v| Data(v.into()));
        self
    }

    /// Threads that read ahead where the data [wait](Dataset::waits) for a disk; as many as there are cores by default, at most 8.
    /// Results do not depend on it.
    #[must_use]
    pub fn load_threads(mut self, threads: usize) -> Self {
        self.load.threads = threads;
        self
    }

    /// Batches that are read ahead, at most, where the data wait for a disk; 3 by default. With 0 each is read when its step needs it.
    #[must_use]
    pub fn load_ahead(mut self, batches: usize) -> Self {
        self.load.depth = batches;
        self
    }

    /// Another loss, on another output, with its share in the sum.
    #[must_use]
    pub fn loss(mut self, output: &str, loss: impl Loss + 'static, factor: f64) -> Self {
        self.losses.push((output.to_string(), Arc::new(loss), factor));
        self
    }

    /// The share of the first loss in the sum; 1 by default.
    #[must_use]
    pub fn loss_factor(mut self, factor: f64) -> Self {
        self.losses[0].2 = factor;
        self
    }

    /// The output of the first loss; the network's first by default.
    #[must_use]
    pub fn loss_output(mut self, output: &str) -> Self {
        self.losses[0].0 = output.to_string();
        self
    }

    /// Spares biases and norms from weight decay.
    #[must_use]
    pub fn spare_biases(mut self) -> Self {
        self.spare_biases = true;
        self
    }

    /// Freezes the node of this name from the start.
    #[must_use]
    pub fn freeze(mut self, node: &str) -> Self {
        self.frozen.push(node.to_string());
        self
    }

    /// Multiplies the learning rate of the node of this name.
    #[must_use]
    pub fn scale_learning_rate(mut self, node: &str, factor: f64) -> Self {
        self.scales.push((node.to_string(), factor));
        self
    }

    /// Goes on from this checkpoint if the file exists, and begins anew if not.
    #[must_use]
    pub fn resume(mut self, path: impl Into<PathBuf>) -> Self {
        self.resume = Some(path.into());
        self
    }

    /// The registry with which checkpoints are read: needed for layers of the user's own.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Adds a note to every checkpoint: a normalisation, class names.
    #[must_use]
    pub fn note(mut self, name: &str, value: &impl serde::Serialize) -> Self {
        self.notes.push((name.to_string(), fields(value)));
        self
    }

    /// Checks all options, draws the weights or reads the checkpoint.
    ///
    /// # Errors
    /// Options outside their domain, data that do not fit the network, and what planning and reading may meet.
    pub fn build(self) -> Result<Trainer> {
        self.rules.check()?;
        if self.load.threads == 0 || self.load.threads > crate::device::cpu::MAX_THREADS {
            let expected = format!("1 to {}", crate::device::cpu::MAX_THREADS);
            return Err(Error::value("trainer", "load_threads").expected(expected).got(self.load.threads));
        }
        self.optimizer.check()?;
        let samples = self.train.as_ref().map_or(0, |Data(train)| train.len());
        let mut builder =
            Model::builder(self.net).precision(self.precision).math(self.math).seed(self.rules.seed).samples(samples);
        if let Some(device) = self.device {
            builder = builder.device(device);
        }
        let losses = self.losses.len();
        for (output, loss, factor) in self.losses {
            builder = builder.loss_shared(&output, loss, factor);
        }
        if self.spare_biases {
            builder = builder.spare_biases();
        }
        let mut model = builder.build()?;
        for name in &self.frozen {
            model.freeze(node(&model, name)?);
        }
        for (name, factor) in &self.scales {
            model.scale_learning_rate(node(&model, name)?, *factor)?;
        }
        let Some(Data(train)) = self.train else {
            return Err(Error::plan("trainer", "no training data").hint("call .data(train, valid)"));
        };
        let mut train = Feed::new(train, model.network(), losses, self.rules.shuffle, "training data")?;
        let mut valid = self.valid.map(|Data(v)| Feed::new(v, model.network(), losses, false, "validation data")).transpose()?;
        train.ready(model.device(), self.rules.batch, self.load, After::Next)?;
        if let Some(valid) = &mut valid {
            valid.ready(model.device(), self.rules.batch, self.load, After::Again)?;
        }
        let mut trainer = Trainer {
            model,
            optimizer: self.optimizer,
            rules: self.rules,
            train,
            valid,
            state: State::default(),
            best: None,
            plan: None,
            mlp: None,
            whole: None,
            notes: self.notes,
            stop: StopHandle::default(),
            replay: Replay::default(),
        };
        // The plan is made now, so that impossible targets and too little memory are seen here.
        let plan = trainer.training_plan()?;
        let (device, dtype) = (trainer.model.device().clone(), trainer.model.precision().storage());
        let wanted: Vec<Target> = trainer.model.planned(plan).losses.iter().map(|l| l.used().kind).collect();
        trainer.train.reside(&device, dtype, &wanted).map_err(|e| e.at("training data"))?;
        if let Some(valid) = &mut trainer.valid {
            valid.reside(&device, dtype, &wanted).map_err(|e| e.at("validation data"))?;
        }
        if let Some(path) = self.resume.filter(|path| path.exists()) {
            trainer.restore(&Checkpoint::load(&path)?).map_err(|e| e.at(path.display()))?
        }
        Ok(trainer)
    }
}

fn node(model: &Model, name: &str) -> Result<crate::network::NodeId> {
    let found = model.network().node(name);
    found.ok_or_else(|| Error::plan("trainer", "no such node").got(name).hint("Network::name_of tells the names"))
}

impl Rules {
    fn check(&self) -> Result<()> {
        let least = |name: &str, value: u64| match value {
            0 => Err(Error::value("trainer", name).expected("at least 1").got(0)),
            _ => Ok(()),
        };
        least("batch", self.batch as u64)?;
        least("accumulate", self.accumulate as u64)?;
        least("validate_every", self.validate_every)?;
        self.schedule.check()?;
        self.clip.iter().try_for_each(Clip::check)?;
        self.ema.iter().try_for_each(Ema::check)?;
        self.plateau.iter().try_for_each(ReduceOnPlateau::check)?;
        self.early.iter().try_for_each(EarlyStopping::check)
    }
}
