//! What changes weights: an update, or a whole training step.

use super::kmc_model;
use super::open_loop::{only_input, values};
use crate::entry::{Answer, classes, entry, optional_output, options, slice};
use crate::handle::with;
use crate::rules::{self, kmc_clip, kmc_optimizer_options};
use crate::status::kmc_status;
use kamacite::{Targets, View};

/// Updates the weights from their gradients.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_step(model: *mut kmc_model, optimizer: *const kmc_optimizer_options) -> kmc_status {
    entry("kmc_model_step", || {
        // SAFETY: the crate's contract.
        let rule = rules::optimizer(unsafe { options(optimizer, "optimizer") }?)?;
        with(model, "model", |model| Ok(model.step(rule.get())?))
    })
}

/// As `kmc_model_step`, with bounded gradients. `out_factor` (may be NULL) is what a bound on the norm multiplied them by; on a GPU it
/// stays there, and 1 comes back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_step_clipped(
    out_factor: *mut f64,
    model: *mut kmc_model,
    optimizer: *const kmc_optimizer_options,
    clip: kmc_clip,
    bound: f64,
) -> kmc_status {
    entry("kmc_model_step_clipped", || {
        // SAFETY: the crate's contract.
        let (o, out) = unsafe { (options(optimizer, "optimizer")?, optional_output(out_factor, "out_factor")?) };
        let (rule, clip) = (rules::optimizer(o)?, rules::clip(clip, bound)?);
        let factor = with(model, "model", |model| {
            let factor = clip.map(|c| model.clip(&c)).transpose()?.unwrap_or(1.0);
            model.step_at(rule.get(), rule.get().learning_rate(), factor)?;
            Ok(factor)
        })?;
        if let Some(out) = out {
            *out = factor;
        }
        Ok(())
    })
}

/// Moves a running mean of the weights towards them: a = decay a + (1 - decay) w; `warm_up` (0 or 1) shortens its memory at first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_average(model: *mut kmc_model, decay: f64, warm_up: i32) -> kmc_status {
    entry("kmc_model_average", || {
        let ema = rules::ema(decay, warm_up)?;
        with(model, "model", |model| Ok(model.average(&ema)?))
    })
}

/// Exchanges the weights and their running mean: to predict with the mean, and back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_swap_average(model: *mut kmc_model) -> kmc_status {
    entry("kmc_model_swap_average", || with(model, "model", |model| Ok(model.swap_average()?)))
}

/// Trains on one batch: forward, loss, backward, update, in one call. `x_len` is rows x d x h x w x c, `labels` are from 0. `loss` (may be
/// NULL) is the mean over the rows, before the update.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_train_batch_classes(
    loss: *mut f64,
    model: *mut kmc_model,
    x: *const f32,
    x_len: i64,
    labels: *const i32,
    n: i64,
    optimizer: *const kmc_optimizer_options,
) -> kmc_status {
    entry("kmc_model_train_batch_classes", || {
        // SAFETY: the crate's contract.
        let (x, labels) = unsafe { (slice(x, x_len, "x")?, slice(labels, n, "labels")?) };
        let labels = classes(labels, "labels")?;
        // SAFETY: as above.
        unsafe { train_batch(loss, model, x, |_| Ok(Targets::Classes(labels)), optimizer) }
    })
}

/// As `kmc_model_train_batch_classes`, for targets that are numbers: as many for each row.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_train_batch_values(
    loss: *mut f64,
    model: *mut kmc_model,
    x: *const f32,
    x_len: i64,
    t: *const f32,
    t_len: i64,
    optimizer: *const kmc_optimizer_options,
) -> kmc_status {
    entry("kmc_model_train_batch_values", || {
        // SAFETY: the crate's contract.
        let (x, t) = unsafe { (slice(x, x_len, "x")?, slice(t, t_len, "t")?) };
        // SAFETY: as above.
        unsafe { train_batch(loss, model, x, |rows| Ok(Targets::Values(values(t, rows)?)), optimizer) }
    })
}

/// # Safety
/// The crate's contract.
unsafe fn train_batch<'a>(
    loss: *mut f64,
    model: *mut kmc_model,
    x: &[f32],
    target: impl FnOnce(usize) -> Answer<Targets<'a>>,
    optimizer: *const kmc_optimizer_options,
) -> Answer {
    // SAFETY: the caller's promise.
    let (o, out) = unsafe { (options(optimizer, "optimizer")?, optional_output(loss, "loss")?) };
    let rule = rules::optimizer(o)?;
    let value = with(model, "model", |model| {
        let extent = only_input(model)?;
        let x = View::new(extent, x)?;
        Ok(model.train_batch(x, &[target(x.rows())?], rule.get())?)
    })?;
    if let Some(out) = out {
        *out = value;
    }
    Ok(())
}
