//! The rules of a training run.

use crate::device::device;
use crate::entry::{Answer, Fault, count, flag, optional_text, sized32, slice};
use crate::rules::{self, kmc_clip, kmc_loss_options, kmc_optimizer_options, kmc_precision, kmc_schedule_options};
use kamacite::optim::{EarlyStopping, Goal, ReduceOnPlateau};
use kamacite::train::TrainerBuilder;
use kamacite::{Network, Trainer};
use std::ffi::c_char;

/// The rules of a training run; see `KMC_TRAINER_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_trainer_options {
    /// sizeof(kmc_trainer_options)
    pub size: u32,
    /// What it computes in.
    pub precision: kmc_precision,
    /// The seed of weights, order, dropout and augmentation.
    pub seed: u64,
    /// Samples in a batch; 32 in the macro.
    pub batch: i64,
    /// "auto", "cpu", "cuda:0"; NULL: "auto".
    pub device: *const c_char,
    /// Threads of a CPU; 0: the default. Results do not depend on it.
    pub threads: i32,
    /// 1: samples are taken in their order.
    pub keep_order: i32,
    /// The loss.
    pub loss: kmc_loss_options,
    /// The optimizer.
    pub optimizer: kmc_optimizer_options,
    /// The course of the learning rate.
    pub schedule: kmc_schedule_options,
    /// The losses of further outputs; NULL: none.
    pub more_losses: *const kmc_loss_options,
    /// Their number.
    pub n_more_losses: i64,
    /// How gradients are bounded.
    pub clip: kmc_clip,
    /// 1: no weight decay on biases and normalisations.
    pub spare_biases: i32,
    /// The bound.
    pub clip_bound: f64,
    /// The memory of a running mean of the weights, with which validation then works; 0: none.
    pub ema_decay: f64,
    /// 1: that memory is shorter at first.
    pub ema_warm_up: i32,
    /// 1: early stopping and the plateau watch the accuracy, not the loss.
    pub watch_accuracy: i32,
    /// Batches whose gradients are summed for one update; 0: 1.
    pub accumulate: i64,
    /// Epochs from one validation to the next; 0: 1.
    pub validate_every: i64,
    /// Validations without improvement after which training stops and goes back to the best weights; 0: never.
    pub early_patience: i64,
    /// The least improvement.
    pub early_min_delta: f64,
    /// Validations before any that count.
    pub early_warm_up: i64,
    /// Validations without improvement after which the learning rate falls; 0: never.
    pub plateau_patience: i64,
    /// The factor by which; 0: 0.1.
    pub plateau_factor: f64,
    /// The least improvement, relative; 0: 1e-4.
    pub plateau_threshold: f64,
    /// Validations to wait after a fall.
    pub plateau_cooldown: i64,
    /// The lowest factor in all.
    pub plateau_floor: f64,
    /// A file that is written after each epoch, and when a run is stopped; NULL: none.
    pub checkpoint: *const c_char,
    /// Updates after which it is written as well; 0: never.
    pub checkpoint_every: i64,
    /// A file that is written whenever a validation is the best so far; NULL: none.
    pub best: *const c_char,
    /// A checkpoint to go on from if it is there; NULL: none.
    pub resume: *const c_char,
}

sized32!(kmc_trainer_options);

/// The Rust builder for these options, without data.
///
/// # Safety
/// The crate's contract.
pub(super) unsafe fn builder(net: Network, o: &kmc_trainer_options) -> Answer<TrainerBuilder> {
    let number = |n: i64, what: &str| count(n, what).map(|n| n as u64);
    // SAFETY: the caller's promise.
    let (output, loss, factor) = unsafe { rules::loss(&o.loss) }?;
    let mut b = Trainer::builder(net, loss, rules::optimizer(&o.optimizer)?.share()).loss_factor(factor);
    if let Some(output) = output {
        b = b.loss_output(&output);
    }
    // SAFETY: as above.
    for more in unsafe { slice(o.more_losses, o.n_more_losses, "more_losses") }? {
        // SAFETY: as above.
        let (output, loss, factor) = unsafe { rules::loss(more) }?;
        let output = crate::model::some(output, "more_losses.output", "the name of an output")?;
        b = b.loss(&output, loss, factor);
    }
    b = b.precision(rules::precision(o.precision)?).seed(o.seed).batch(count(o.batch, "batch")?);
    // SAFETY: as above.
    b = b.schedule(unsafe { rules::schedule(&o.schedule) }?).shuffle(!flag(o.keep_order, "keep_order")?);
    // SAFETY: as above.
    if let Some(device) = device(unsafe { optional_text(o.device, "device") }?, o.threads)? {
        b = b.device(device);
    }
    if let Some(clip) = rules::clip(o.clip, o.clip_bound)? {
        b = b.clip(clip);
    }
    if flag(o.spare_biases, "spare_biases")? {
        b = b.spare_biases();
    }
    if o.ema_decay != 0.0 {
        b = b.ema(rules::ema(o.ema_decay, o.ema_warm_up)?);
    }
    b = b.accumulate(count(o.accumulate, "accumulate")?.max(1));
    b = b.validate_every(number(o.validate_every, "validate_every")?.max(1));
    b = watching(b, o)?;
    // SAFETY: as above.
    let (checkpoint, best, resume) = unsafe {
        (optional_text(o.checkpoint, "checkpoint")?, optional_text(o.best, "best")?, optional_text(o.resume, "resume")?)
    };
    if let Some(path) = checkpoint {
        b = b.checkpoint(path).checkpoint_every(number(o.checkpoint_every, "checkpoint_every")?);
    } else if o.checkpoint_every != 0 {
        return Err(Fault::value("checkpoint_every", "0 without a checkpoint", o.checkpoint_every));
    }
    if let Some(path) = best {
        b = b.best(path);
    }
    Ok(resume.into_iter().fold(b, TrainerBuilder::resume))
}

/// What follows from validation.
fn watching(mut b: TrainerBuilder, o: &kmc_trainer_options) -> Answer<TrainerBuilder> {
    let number = |n: i64, what: &str| count(n, what).map(|n| n as u64);
    let goal = if flag(o.watch_accuracy, "watch_accuracy")? { Goal::Max } else { Goal::Min };
    if o.early_patience != 0 {
        let rule = EarlyStopping::new(goal).patience(number(o.early_patience, "early_patience")?);
        b = b.early_stopping(rule.min_delta(o.early_min_delta).warm_up(number(o.early_warm_up, "early_warm_up")?));
    }
    if o.plateau_patience != 0 {
        let mut rule = ReduceOnPlateau::new(goal).patience(number(o.plateau_patience, "plateau_patience")?);
        rule = rule.cooldown(number(o.plateau_cooldown, "plateau_cooldown")?).floor(o.plateau_floor);
        if o.plateau_factor != 0.0 {
            rule = rule.factor(o.plateau_factor);
        }
        if o.plateau_threshold != 0.0 {
            rule = rule.threshold(o.plateau_threshold);
        }
        b = b.reduce_on_plateau(rule);
    }
    Ok(b)
}
