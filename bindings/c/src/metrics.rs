//! Scores of predictions that the caller holds.

use crate::entry::{
    Answer, Fault, classes, copy_out, count, entry, give_text, output, print_line, results, sized32, slice, slice_mut, texts,
};
use crate::status::kmc_status;
use kamacite::metrics::{self, Confusion, Reliability, Residuals, Roc, Temperature, brier, r2, top_k};
use std::ffi::{CString, c_char};

/// Counts how often class t was predicted as p: `counts` has classes x classes numbers, [true][predicted], and is overwritten.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_confusion_count(
    counts: *mut i64,
    n_classes: i64,
    truth: *const i32,
    predicted: *const i32,
    n: i64,
) -> kmc_status {
    entry("kmc_confusion_count", || {
        // SAFETY: the crate's contract.
        let (truth, predicted) = unsafe { (slice(truth, n, "truth")?, slice(predicted, n, "predicted")?) };
        // SAFETY: as above.
        let counts = unsafe { slice_mut(counts, square(n_classes)?, "counts") }?;
        let (truth, predicted) = (classes(truth, "truth")?, classes(predicted, "predicted")?);
        let found = Confusion::of(predicted, truth, count(n_classes, "n_classes")?)?;
        counts.iter_mut().zip(found.rows().flatten()).for_each(|(to, &n)| *to = n as i64);
        Ok(())
    })
}

fn square(n: i64) -> Answer<i64> {
    n.checked_mul(n).filter(|_| n > 0).ok_or_else(|| Fault::value("n_classes", "1 or more", n))
}

/// # Safety
/// The crate's contract.
unsafe fn confusion(counts: *const i64, n_classes: i64) -> Answer<Confusion> {
    // SAFETY: the caller's promise.
    let counts = unsafe { slice(counts, square(n_classes)?, "counts") }?;
    let rows = counts.iter().map(|&n| u64::try_from(n).map_err(|_| Fault::value("counts", "0 or more", n)));
    Ok(Confusion::from_counts(n_classes as usize, rows.collect::<Answer<Vec<_>>>()?)?)
}

/// # Safety
/// The crate's contract.
unsafe fn table(counts: *const i64, n_classes: i64, names: *const *const c_char) -> Answer<String> {
    // SAFETY: the caller's promise.
    let table = unsafe { confusion(counts, n_classes) }?;
    if names.is_null() {
        return Ok(table.to_string());
    }
    // SAFETY: as above.
    Ok(table.names(&unsafe { texts(names, n_classes, "names") }?)?.to_string())
}

/// A table of counts with recall, precision and accuracy. `names` (of the classes) may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_confusion_text(
    out: *mut *const c_char,
    counts: *const i64,
    n_classes: i64,
    names: *const *const c_char,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_confusion_text", || unsafe { give_text(out, &table(counts, n_classes, names)?) })
}

/// Prints what `kmc_confusion_text` gives on standard output.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_confusion_print(counts: *const i64, n_classes: i64, names: *const *const c_char) -> kmc_status {
    entry("kmc_confusion_print", || {
        // SAFETY: the crate's contract.
        let text = unsafe { table(counts, n_classes, names) }?;
        // The table ends with a line break, and so does what is printed.
        print_line(&CString::new(text.trim_end()).unwrap_or_default());
        Ok(())
    })
}

/// Recall, precision and F1 of each class, and the accuracy. Each may be NULL; NaN where there is nothing to divide by.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_confusion_scores(
    recall: *mut f64,
    precision: *mut f64,
    f1: *mut f64,
    accuracy: *mut f64,
    counts: *const i64,
    n_classes: i64,
) -> kmc_status {
    entry("kmc_confusion_scores", || {
        // SAFETY: the crate's contract.
        let table = unsafe { confusion(counts, n_classes) }?;
        let room = |p: *mut f64, n: i64, what: &str| {
            // SAFETY: as above.
            if p.is_null() { Ok(&mut [][..]) } else { unsafe { slice_mut(p, n, what) } }
        };
        let (recall, precision) = (room(recall, n_classes, "recall")?, room(precision, n_classes, "precision")?);
        let (f1, accuracy) = (room(f1, n_classes, "f1")?, room(accuracy, 1, "accuracy")?);
        let nan = |x: Option<f64>| x.unwrap_or(f64::NAN);
        recall.iter_mut().enumerate().for_each(|(i, x)| *x = nan(table.recall(i)));
        precision.iter_mut().enumerate().for_each(|(i, x)| *x = nan(table.precision(i)));
        f1.iter_mut().enumerate().for_each(|(i, x)| *x = nan(table.f1(i)));
        accuracy.iter_mut().for_each(|x| *x = nan(table.accuracy()));
        Ok(())
    })
}

/// The area under the curve of true against false positives; `positive` is 0 or 1 for each score.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_roc_auc(out: *mut f64, scores: *const f64, positive: *const i32, n: i64) -> kmc_status {
    entry("kmc_roc_auc", || {
        // SAFETY: the crate's contract.
        let (out, scores) = unsafe { (output(out, "out")?, slice(scores, n, "scores")?) };
        // SAFETY: as above.
        let positive: Vec<bool> = unsafe { slice(positive, n, "positive") }?.iter().map(|&p| p != 0).collect();
        *out = Roc::of(scores, &positive)?.auc();
        Ok(())
    })
}

/// The share of the positive samples that are found where at most this share of the negative ones is taken for positive; TPR0 at 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_roc_recall_at(
    out: *mut f64,
    scores: *const f64,
    positive: *const i32,
    n: i64,
    false_alarms: f64,
) -> kmc_status {
    entry("kmc_roc_recall_at", || {
        // SAFETY: the crate's contract.
        let (out, scores) = unsafe { (output(out, "out")?, slice(scores, n, "scores")?) };
        // SAFETY: as above.
        let positive: Vec<bool> = unsafe { slice(positive, n, "positive") }?.iter().map(|&p| p != 0).collect();
        *out = Roc::of(scores, &positive)?.recall_at(false_alarms);
        Ok(())
    })
}

/// The share of samples whose class is among the k largest of their scores, [sample][class].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_top_k(
    out: *mut f64,
    scores: *const f32,
    n_classes: i64,
    truth: *const i32,
    n: i64,
    k: i64,
) -> kmc_status {
    entry("kmc_top_k", || {
        // SAFETY: the crate's contract.
        let (out, scores, truth) = unsafe {
            (output(out, "out")?, slice(scores, area(n, n_classes)?, "scores")?, classes(slice(truth, n, "truth")?, "truth")?)
        };
        *out = top_k(scores, count(n_classes, "n_classes")?, truth, count(k, "k")?)?;
        Ok(())
    })
}

fn area(n: i64, m: i64) -> Answer<i64> {
    n.checked_mul(m).filter(|_| n >= 0 && m >= 0).ok_or_else(|| Fault::value("lengths", "0 or more", format!("{n} and {m}")))
}

/// Scores of a regression; initialise it with `KMC_RESIDUALS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_residuals {
    /// sizeof(kmc_residuals)
    pub size: u32,
    /// 0
    pub reserved: i32,
    /// Mean of the differences, predicted - true.
    pub bias: f64,
    /// Mean of their squares.
    pub mse: f64,
    /// Root of that.
    pub rmse: f64,
    /// Mean of their absolute values.
    pub mae: f64,
    /// Median of the distances from their median.
    pub mad: f64,
    /// 1.4826 times that: sigma of a normal distribution.
    pub normalised_mad: f64,
    /// Coefficient of determination.
    pub r2: f64,
    /// The share whose absolute value is above the limit.
    pub outliers: f64,
}

sized32!(kmc_residuals);

/// Scores of predicted values; with `redshift` 1 of (z' - z) / (1 + z). `limit` is that of outliers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_residuals_of(
    out: *mut kmc_residuals,
    predicted: *const f64,
    truth: *const f64,
    n: i64,
    redshift: i32,
    limit: f64,
) -> kmc_status {
    entry("kmc_residuals_of", || {
        // SAFETY: the crate's contract.
        let (out, y, t) = unsafe { (results(out, "out")?, slice(predicted, n, "predicted")?, slice(truth, n, "truth")?) };
        let r = if crate::entry::flag(redshift, "redshift")? { Residuals::redshift(y, t)? } else { Residuals::of(y, t)? };
        (out.bias, out.mse, out.rmse, out.mae) = (r.bias(), r.mse(), r.rmse(), r.mae());
        (out.mad, out.normalised_mad, out.outliers) = (r.mad(), r.normalised_mad(), r.outliers(limit));
        out.r2 = r2(y, t)?;
        Ok(())
    })
}

/// How far probabilities can be trusted: the expected calibration error over `bins` bins, and the Brier score. Probabilities are
/// [sample][class]; each result may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_calibration(
    out_ece: *mut f64,
    out_brier: *mut f64,
    probabilities: *const f32,
    n_classes: i64,
    truth: *const i32,
    n: i64,
    bins: i64,
) -> kmc_status {
    entry("kmc_calibration", || {
        // SAFETY: the crate's contract.
        let (p, truth) = unsafe {
            (slice(probabilities, area(n, n_classes)?, "probabilities")?, classes(slice(truth, n, "truth")?, "truth")?)
        };
        let (k, bins) = (count(n_classes, "n_classes")?, count(bins, "bins")?);
        if !out_ece.is_null() {
            // SAFETY: as above.
            *unsafe { output(out_ece, "out_ece") }? = Reliability::of(p, k, truth, bins)?.ece();
        }
        if !out_brier.is_null() {
            // SAFETY: as above.
            *unsafe { output(out_brier, "out_brier") }? = brier(p, k, truth)?;
        }
        Ok(())
    })
}

/// The temperature T at which softmax(logits / T) makes the true classes of validation samples the most likely. Logits are
/// [sample][class]; logarithms of probabilities are logits as well.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_temperature_fit(
    out: *mut f64,
    logits: *const f32,
    n_classes: i64,
    truth: *const i32,
    n: i64,
) -> kmc_status {
    entry("kmc_temperature_fit", || {
        // SAFETY: the crate's contract.
        let (out, z, truth) = unsafe {
            (output(out, "out")?, slice(logits, area(n, n_classes)?, "logits")?, classes(slice(truth, n, "truth")?, "truth")?)
        };
        *out = Temperature::fit(z, count(n_classes, "n_classes")?, truth)?.value();
        Ok(())
    })
}

/// The probabilities softmax(logits / temperature), [sample][class] as the logits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_temperature_apply(
    probabilities: *mut f32,
    logits: *const f32,
    n_classes: i64,
    n: i64,
    temperature: f64,
) -> kmc_status {
    entry("kmc_temperature_apply", || {
        let len = area(n, n_classes)?;
        // SAFETY: the crate's contract.
        let z = unsafe { slice(logits, len, "logits") }?;
        let p = Temperature::new(temperature)?.apply(z, count(n_classes, "n_classes")?)?;
        // SAFETY: as above.
        copy_out(unsafe { slice_mut(probabilities, len, "probabilities") }?, &p, "probabilities")
    })
}

/// Predicted densities: their probabilities in double precision, the edges of the bins, and the truth.
///
/// # Safety
/// The crate's contract.
unsafe fn densities<'a>(
    probabilities: *const f32,
    edges: *const f64,
    n_bins: i64,
    truth: *const f64,
    n: i64,
) -> Answer<(Vec<f64>, &'a [f64], &'a [f64])> {
    let n_edges = n_bins.checked_add(1).ok_or_else(|| Fault::value("n_bins", "fewer", n_bins))?;
    // SAFETY: the caller's promise.
    let p = unsafe { slice(probabilities, area(n, n_bins)?, "probabilities") }?;
    // SAFETY: as above.
    let (edges, truth) = unsafe { (slice(edges, n_edges, "edges")?, slice(truth, n, "truth")?) };
    Ok((p.iter().map(|&p| f64::from(p)).collect(), edges, truth))
}

/// The mean continuous ranked probability score of densities over bins, in the units of the edges. Probabilities are [sample][bin];
/// `edges` are n_bins + 1, ascending.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_crps(
    out: *mut f64,
    probabilities: *const f32,
    edges: *const f64,
    n_bins: i64,
    truth: *const f64,
    n: i64,
) -> kmc_status {
    entry("kmc_crps", || {
        // SAFETY: the crate's contract.
        let (out, (p, edges, truth)) = unsafe { (output(out, "out")?, densities(probabilities, edges, n_bins, truth, n)?) };
        *out = metrics::crps(&p, edges, truth)?;
        Ok(())
    })
}

/// The probability integral transform of each sample, the share of its density below the truth; see `kmc_crps`. Over many samples it
/// is uniform where the densities are right.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_pit(
    out: *mut f64,
    probabilities: *const f32,
    edges: *const f64,
    n_bins: i64,
    truth: *const f64,
    n: i64,
) -> kmc_status {
    entry("kmc_pit", || {
        // SAFETY: the crate's contract.
        let (p, edges, truth) = unsafe { densities(probabilities, edges, n_bins, truth, n) }?;
        let found = metrics::pit(&p, edges, truth)?;
        // SAFETY: as above.
        copy_out(unsafe { slice_mut(out, n, "out") }?, &found, "out")
    })
}
