//! Evaluation and prediction over data sets.

use super::kmc_model;
use crate::dataset::{kmc_dataset, shared};
use crate::entry::{Answer, Fault, copy_out, count, entry, results, sized32, slice, slice_mut};
use crate::handle::with;
use crate::status::kmc_status;
use kamacite::metrics::{Confusion, predicted};
use kamacite::train::Evaluation;
use kamacite::{Mode, Model};

/// What an evaluation found; initialise it with `KMC_SCORES_INIT`. NaN stands for what does not apply.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_scores {
    /// sizeof(kmc_scores)
    pub size: u32,
    /// 0
    pub reserved: i32,
    /// Samples seen; 0: there was no evaluation.
    pub samples: i64,
    /// Classes; 0 where targets are numbers.
    pub classes: i64,
    /// Mean loss.
    pub loss: f64,
    /// Share of samples whose class was found.
    pub accuracy: f64,
    /// Root mean square error of targets that are numbers.
    pub rmse: f64,
    /// Coefficient of determination of those.
    pub r2: f64,
}

sized32!(kmc_scores);

/// Rows of a batch where the caller leaves that open.
const BATCH: usize = 256;

pub(crate) fn fill_scores(out: &mut kmc_scores, found: Option<&Evaluation>) {
    let nan = |x: Option<f64>| x.unwrap_or(f64::NAN);
    *out = kmc_scores {
        size: size_of::<kmc_scores>() as u32,
        reserved: 0,
        samples: found.map_or(0, |e| e.samples as i64),
        classes: found.and_then(|e| e.confusion.as_ref()).map_or(0, |c| c.classes() as i64),
        loss: nan(found.map(|e| e.loss)),
        accuracy: nan(found.and_then(|e| e.accuracy)),
        rmse: nan(found.and_then(|e| e.rmse)),
        r2: nan(found.and_then(|e| e.r2)),
    };
}

/// Copies counts, if the caller has room for them.
pub(crate) fn fill_confusion(to: &mut [i64], from: Option<&Confusion>) -> Answer {
    if to.is_empty() {
        return Ok(());
    }
    let from = super::some(from, "confusion", "targets that are classes")?;
    let counts: Vec<i64> = from.rows().flatten().map(|&n| n as i64).collect();
    copy_out(to, &counts, "confusion")
}

fn batch_of(batch: i64) -> Answer<usize> {
    count(batch, "batch").map(|n| if n == 0 { BATCH } else { n })
}

/// Evaluates the attached losses, and classes, over a data set in batches of `batch` (0: 256). `confusion` is NULL, or room for classes x
/// classes counts, [true][predicted], with `confusion_len` their number. Of equal outputs the first counts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_evaluate(
    out: *mut kmc_scores,
    confusion: *mut i64,
    confusion_len: i64,
    model: *mut kmc_model,
    data: *mut kmc_dataset,
    batch: i64,
) -> kmc_status {
    entry("kmc_model_evaluate", || {
        let batch = batch_of(batch)?;
        // SAFETY: the crate's contract.
        let (out, counts) = unsafe { (results(out, "out")?, slice_mut(confusion, confusion_len, "confusion")?) };
        let data = shared(data, "data")?;
        let found = with(model, "model", |model| Ok(model.evaluate(data, batch)?))?;
        fill_confusion(counts, found.confusion.as_ref())?;
        fill_scores(out, Some(&found));
        Ok(())
    })
}

fn predictions(model: &mut Model, data: *mut kmc_dataset, batch: usize) -> Answer<Vec<f32>> {
    Ok(model.predict_data(shared(data, "data")?, batch, Mode::Infer)?)
}

/// The predictions of the first output for every sample, in batches of `batch` (0: 256): probabilities, where the loss is one of classes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_predict(
    y: *mut f32,
    len: i64,
    model: *mut kmc_model,
    data: *mut kmc_dataset,
    batch: i64,
) -> kmc_status {
    entry("kmc_model_predict", || {
        let batch = batch_of(batch)?;
        // SAFETY: the crate's contract.
        let y = unsafe { slice_mut(y, len, "y") }?;
        with(model, "model", |model| copy_out(y, &predictions(model, data, batch)?, "y"))
    })
}

/// The class of the largest prediction for every sample, from 0; of equal ones the first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_predict_classes(
    out: *mut i32,
    len: i64,
    model: *mut kmc_model,
    data: *mut kmc_dataset,
    batch: i64,
) -> kmc_status {
    entry("kmc_model_predict_classes", || {
        let batch = batch_of(batch)?;
        // SAFETY: the crate's contract.
        let out = unsafe { slice_mut(out, len, "out") }?;
        with(model, "model", |model| {
            let y = predictions(model, data, batch)?;
            let classes = model.output(0)?.extent().c;
            let found: Vec<i32> = predicted(&y, classes)?.into_iter().map(|c| c as i32).collect();
            copy_out(out, &found, "out")
        })
    })
}

/// Predicts `draws` times with other dropout masks, and other weights of variational layers: the mean, the standard deviation and the
/// quantiles `q` (0 to 1) of each prediction. `len` is the number of predictions, rows x outputs; `deviation` (as long) and `quantiles`
/// ([q][row][output]) may be NULL. `entropies` is NULL or, where predictions are class probabilities, [3][row], in nats: of the mean
/// (all that is not known), the mean of those of the draws (noise in the data), and their difference, the mutual information (what more
/// data would settle). `n_rows` is the number of rows, times the positions of a map of classes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_predict_monte_carlo(
    mean: *mut f32,
    deviation: *mut f32,
    quantiles: *mut f32,
    len: i64,
    entropies: *mut f32,
    n_rows: i64,
    model: *mut kmc_model,
    data: *mut kmc_dataset,
    q: *const f64,
    n_q: i64,
    draws: i64,
    batch: i64,
) -> kmc_status {
    entry("kmc_model_predict_monte_carlo", || {
        let (batch, draws) = (batch_of(batch)?, count(draws, "draws")?);
        // SAFETY: the crate's contract.
        let (mean, q) = unsafe { (slice_mut(mean, len, "mean")?, slice(q, n_q, "q")?) };
        let room = len.checked_mul(n_q.max(0)).ok_or_else(|| Fault::value("n_q", "fewer", n_q))?;
        let wanted = |p: *mut f32, len: i64, what: &str| {
            // SAFETY: as above.
            if p.is_null() { Ok(None) } else { unsafe { slice_mut(p, len, what) }.map(Some) }
        };
        let (deviation, quantiles) = (wanted(deviation, len, "deviation")?, wanted(quantiles, room, "quantiles")?);
        let three = n_rows.checked_mul(3).ok_or_else(|| Fault::value("n_rows", "fewer", n_rows))?;
        let entropies = wanted(entropies, three, "entropies")?;
        let data = shared(data, "data")?;
        let found = with(model, "model", |model| Ok(model.predict_monte_carlo(data, batch, draws, q)?))?;
        if let Some(entropies) = entropies {
            let e = super::some(found.entropy.as_ref(), "entropies", "predictions that are class probabilities, or NULL")?;
            copy_out(entropies, &[&e.predictive[..], &e.expected, &e.mutual_information].concat(), "entropies")?;
        }
        copy_out(mean, &found.mean, "mean")?;
        if let Some(deviation) = deviation {
            copy_out(deviation, &found.deviation, "deviation")?;
        }
        if let Some(quantiles) = quantiles {
            copy_out(quantiles, &found.quantiles.concat(), "quantiles")?;
        }
        Ok(())
    })
}
