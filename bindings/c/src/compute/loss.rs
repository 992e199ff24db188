//! Losses with their gradients, and the class of the largest output.

use super::{Span, apart, area, cpu, span};
use crate::entry::{Answer, classes, copy_out, count, entry, flag, output, slice, slice_mut};
use crate::status::kmc_status;
use kamacite::data::classes::argmax;
use kamacite::{Mse, Real, SoftmaxCrossEntropy};

/// What a loss writes.
fn written<T>(loss: *mut f64, name: &'static str, dy: *mut T, len: i64) -> [Span; 2] {
    let or_none = |null: bool, len: i64| if null { 0 } else { len };
    [span("loss", loss.cast_const(), or_none(loss.is_null(), 1)), span(name, dy.cast_const(), or_none(dy.is_null(), len))]
}

/// Runs a loss with its optional gradient, and hands out its value.
///
/// # Safety
/// The crate's contract; `dy` is apart from all that is read.
unsafe fn evaluate<T>(
    loss: *mut f64,
    (dy, len): (*mut T, i64),
    run: impl FnOnce(Option<&mut [T]>) -> kamacite::Result<f64>,
) -> Answer {
    // SAFETY: the caller's promise.
    let dy = if dy.is_null() { None } else { Some(unsafe { slice_mut(dy, len, "gradient") }?) };
    let value = run(dy)?;
    if !loss.is_null() {
        // SAFETY: as above.
        *unsafe { output(loss, "loss") }? = value;
    }
    Ok(())
}

/// # Safety
/// The crate's contract.
unsafe fn cross_entropy<T: Real>(
    loss: *mut f64,
    dlogits: *mut T,
    (logits, labels): (*const T, *const i32),
    (rows, n_classes): (i64, i64),
) -> Answer {
    let len = area(rows, n_classes, "rows x classes")?;
    apart(&written(loss, "dlogits", dlogits, len), &[span("logits", logits, len), span("labels", labels, rows)])?;
    // SAFETY: the caller's promise.
    let (y, labels) = unsafe { (slice(logits, len, "logits")?, classes(slice(labels, rows, "labels")?, "labels")?) };
    let n = count(n_classes, "classes")?;
    // SAFETY: as above; the gradient is apart from what is read.
    unsafe { evaluate(loss, (dlogits, len), |dy| SoftmaxCrossEntropy.on_labels(cpu(), y, n, labels, dy)) }
}

/// # Safety
/// The crate's contract.
unsafe fn squares<T: Real>(
    loss: *mut f64,
    dy: *mut T,
    (y, t): (*const T, *const T),
    (rows, len): (i64, i64),
    half: i32,
) -> Answer {
    let all = area(rows, len, "rows x len")?;
    apart(&written(loss, "dy", dy, all), &[span("y", y, all), span("t", t, all)])?;
    // SAFETY: the caller's promise.
    let (y, t) = unsafe { (slice(y, all, "y")?, slice(t, all, "t")?) };
    let (mse, len) = (if flag(half, "half")? { Mse::half() } else { Mse }, count(len, "len")?);
    // SAFETY: as above; the gradient is apart from what is read.
    unsafe { evaluate(loss, (dy, all), |dy| mse.on_values(cpu(), y, t, len, dy)) }
}

/// # Safety
/// The crate's contract.
unsafe fn largest<T: Real>(out: *mut i32, y: *const T, rows: i64, n_classes: i64) -> Answer {
    let len = area(rows, n_classes, "rows x classes")?;
    apart(&[span("out", out.cast_const(), rows)], &[span("y", y, len)])?;
    // SAFETY: the caller's promise; out is apart from y.
    let (y, out) = unsafe { (slice(y, len, "y")?, slice_mut(out, rows, "out")?) };
    let found: Vec<i32> = argmax(y, count(n_classes, "classes")?)?.into_iter().map(|c| c as i32).collect();
    copy_out(out, &found, "out")
}

/// Softmax and cross entropy in one: with p = softmax(logits[row]) the loss is the mean over the rows of -ln p[label], and its gradient dlogits =
/// (p - 1 at the label) / rows. Each of both results may be NULL. dlogits must overlap nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_softmax_cross_entropy_f32(
    loss: *mut f64,
    dlogits: *mut f32,
    logits: *const f32,
    labels: *const i32,
    rows: i64,
    classes: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_softmax_cross_entropy_f32", || unsafe { cross_entropy(loss, dlogits, (logits, labels), (rows, classes)) })
}

/// As `kmc_softmax_cross_entropy_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_softmax_cross_entropy_f64(
    loss: *mut f64,
    dlogits: *mut f64,
    logits: *const f64,
    labels: *const i32,
    rows: i64,
    classes: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_softmax_cross_entropy_f64", || unsafe { cross_entropy(loss, dlogits, (logits, labels), (rows, classes)) })
}

/// The squared error of y[row][len] from t, and its gradient dy: the mean over the rows of sum (y - t)^2 / len, or with `half` 1 of
/// sum (y - t)^2 / 2, the convention of the course. Each of both results may be NULL. dy must overlap nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_mse_f32(
    loss: *mut f64,
    dy: *mut f32,
    y: *const f32,
    t: *const f32,
    rows: i64,
    len: i64,
    half: i32,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_mse_f32", || unsafe { squares(loss, dy, (y, t), (rows, len), half) })
}

/// As `kmc_mse_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_mse_f64(
    loss: *mut f64,
    dy: *mut f64,
    y: *const f64,
    t: *const f64,
    rows: i64,
    len: i64,
    half: i32,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_mse_f64", || unsafe { squares(loss, dy, (y, t), (rows, len), half) })
}

/// The class, from 0, of the largest of y[row][classes], of equal ones the first. NaN is KMC_ERR_VALUE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_argmax_f32(out: *mut i32, y: *const f32, rows: i64, classes: i64) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_argmax_f32", || unsafe { largest(out, y, rows, classes) })
}

/// As `kmc_argmax_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_argmax_f64(out: *mut i32, y: *const f64, rows: i64, classes: i64) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_argmax_f64", || unsafe { largest(out, y, rows, classes) })
}
