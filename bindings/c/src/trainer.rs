//! Trainers: a model, its data and the rules of its training.

pub mod fit;
pub mod options;

use crate::dataset::{kmc_dataset, shared};
use crate::entry::{entry, lookup, optional_output, output, results, slice_mut, text};
use crate::handle::{Object, destroy, insert, model_of, with};
use crate::model::{fill_confusion, fill_scores, kmc_model, kmc_scores};
use crate::network::kmc_network;
use crate::status::kmc_status;
use kamacite::{Checkpoint, Trainer};
use options::kmc_trainer_options;
use std::ffi::c_char;

/// A model, its data and the rules of its training. Made by `kmc_trainer_create`, destroyed by `kmc_trainer_destroy`.
pub struct kmc_trainer {
    _opaque: [u8; 0],
}

/// What is behind a `kmc_trainer`.
pub(crate) struct Run {
    pub trainer: Trainer,
}

/// A trainer for a copy of this network. `valid` may be NULL. The data sets may be destroyed or changed afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_trainer_create(
    out: *mut *mut kmc_trainer,
    net: *mut kmc_network,
    train: *mut kmc_dataset,
    valid: *mut kmc_dataset,
    options: *const kmc_trainer_options,
) -> kmc_status {
    entry("kmc_trainer_create", || {
        // SAFETY: the crate's contract.
        let (out, o) = unsafe { (output(out, "out")?, crate::entry::options(options, "options")?) };
        let net = with(net, "net", |net| Ok(net.clone()))?;
        let train = shared(train, "train")?;
        let valid = if valid.is_null() { None } else { Some(shared(valid, "valid")?) };
        // SAFETY: as above.
        let trainer = unsafe { options::builder(net, o) }?.data(train, valid).build()?;
        *out = insert(Object::Trainer(Box::new(Run { trainer })))?;
        Ok(())
    })
}

/// Destroys a trainer and its model. NULL is allowed, and nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_trainer_destroy(trainer: *mut kmc_trainer) -> kmc_status {
    entry("kmc_trainer_destroy", || destroy(trainer, "trainer"))
}

/// The model of a trainer, lent: every function for models works on it, until the trainer is destroyed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_trainer_model(out: *mut *mut kmc_model, trainer: *mut kmc_trainer) -> kmc_status {
    entry("kmc_trainer_model", || {
        // SAFETY: the crate's contract.
        *unsafe { output(out, "out") }? = model_of(trainer)?;
        Ok(())
    })
}

/// One update: gather, forward, losses, backward, optimizer. `loss` (may be NULL) is the mean over the samples.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_trainer_step(loss: *mut f64, trainer: *mut kmc_trainer) -> kmc_status {
    entry("kmc_trainer_step", || {
        // SAFETY: the crate's contract.
        let out = unsafe { optional_output(loss, "loss") }?;
        let value = with(trainer, "trainer", |run| Ok(run.trainer.step()?))?;
        if let Some(out) = out {
            *out = value;
        }
        Ok(())
    })
}

/// Evaluates over the validation data, with averaged weights where an average is kept; see `kmc_model_evaluate`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_trainer_validate(
    out: *mut kmc_scores,
    confusion: *mut i64,
    confusion_len: i64,
    trainer: *mut kmc_trainer,
) -> kmc_status {
    entry("kmc_trainer_validate", || {
        // SAFETY: the crate's contract.
        let (out, counts) = unsafe { (results(out, "out")?, slice_mut(confusion, confusion_len, "confusion")?) };
        let found = with(trainer, "trainer", |run| Ok(run.trainer.validate()?))?;
        let found = crate::model::some(found, "valid", "validation data, given to kmc_trainer_create")?;
        fill_confusion(counts, found.confusion.as_ref())?;
        fill_scores(out, Some(&found));
        Ok(())
    })
}

/// The number of epochs done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_trainer_epoch(out: *mut u64, trainer: *mut kmc_trainer) -> kmc_status {
    lookup("kmc_trainer_epoch", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        with(trainer, "trainer", |run| {
            *out = run.trainer.epoch();
            Ok(())
        })
    })
}

/// The learning rate of the next step.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_trainer_learning_rate(out: *mut f64, trainer: *mut kmc_trainer) -> kmc_status {
    entry("kmc_trainer_learning_rate", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        with(trainer, "trainer", |run| {
            *out = run.trainer.learning_rate();
            Ok(())
        })
    })
}

/// One epoch of the history. NaN: not evaluated, or not applicable.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_record {
    /// Which epoch, from 1.
    pub epoch: u64,
    /// Updates done by its end.
    pub steps: u64,
    /// The learning rate of its last update.
    pub learning_rate: f64,
    /// Mean loss of the samples as they were met in training.
    pub loss: f64,
    /// Mean loss on the validation data.
    pub valid_loss: f64,
    /// Share of validation samples whose class was found.
    pub accuracy: f64,
}

/// The epochs so far: `out_epochs` is how many there are, of which the first `len` are copied. `out` may be NULL with a `len` of 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_trainer_history(
    out: *mut kmc_record,
    len: i64,
    out_epochs: *mut i64,
    trainer: *mut kmc_trainer,
) -> kmc_status {
    entry("kmc_trainer_history", || {
        // SAFETY: the crate's contract.
        let (out, epochs) = unsafe { (slice_mut(out, len, "out")?, output(out_epochs, "out_epochs")?) };
        with(trainer, "trainer", |run| {
            let history = run.trainer.history();
            *epochs = history.len() as i64;
            for (to, r) in out.iter_mut().zip(history) {
                let (valid_loss, accuracy) = (r.valid_loss.unwrap_or(f64::NAN), r.accuracy.unwrap_or(f64::NAN));
                let (epoch, steps, learning_rate, loss) = (r.epoch, r.steps, r.learning_rate, r.loss);
                *to = kmc_record { epoch, steps, learning_rate, loss, valid_loss, accuracy };
            }
            Ok(())
        })
    })
}

/// Writes the whole state of the run: weights, optimizer, counters, history. A run that goes on from it gives the same bits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_trainer_save(trainer: *mut kmc_trainer, path: *const c_char) -> kmc_status {
    entry("kmc_trainer_save", || {
        // SAFETY: the crate's contract.
        let path = unsafe { text(path, "path") }?;
        with(trainer, "trainer", |run| Ok(run.trainer.save(path)?))
    })
}

/// Goes to the state of a checkpoint of the same network.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_trainer_restore(trainer: *mut kmc_trainer, path: *const c_char) -> kmc_status {
    entry("kmc_trainer_restore", || {
        // SAFETY: the crate's contract.
        let path = unsafe { text(path, "path") }?;
        with(trainer, "trainer", |run| Ok(run.trainer.restore(&Checkpoint::load(path)?)?))
    })
}
