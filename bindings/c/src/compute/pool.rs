//! Pooling.

use super::window::{kmc_window, pooling};
use super::{apart, cpu, span};
use crate::entry::{Answer, Fault, count, entry, slice, slice_mut};
use crate::network::layers::{KMC_POOL_AVERAGE, KMC_POOL_MAX, kmc_pool};
use crate::status::kmc_status;
use kamacite::Real;
use kamacite::memory::GradMode;
use kamacite::op::pool::{self, Geometry};

/// The sizes, with the lengths checked, and whether it is the maximum that is taken.
///
/// # Safety
/// The crate's contract.
unsafe fn sizes(kind: kmc_pool, window: *const kmc_window, rows: i64, x: i64, y: i64) -> Answer<(Geometry, bool)> {
    // SAFETY: the caller's promise.
    let (g, rows) = (unsafe { pooling(window) }?, count(rows, "rows")?);
    for (what, len, row) in [("x", x, g.input().len()), ("y", y, g.output().len())] {
        if rows.checked_mul(row).is_none_or(|n| n as i64 != len) {
            return Err(Fault::shape(what, format!("{rows} x {row} values"), len));
        }
    }
    match kind {
        KMC_POOL_MAX => Ok((g, true)),
        KMC_POOL_AVERAGE => Ok((g, false)),
        _ => Err(Fault::value("kind", "KMC_POOL_MAX or KMC_POOL_AVERAGE", kind)),
    }
}

/// # Safety
/// The crate's contract.
unsafe fn forward<T: Real>(
    (y, y_len): (*mut T, i64),
    (x, x_len): (*const T, i64),
    kind: kmc_pool,
    window: *const kmc_window,
    rows: i64,
) -> Answer {
    // SAFETY: the caller's promise.
    let (g, max) = unsafe { sizes(kind, window, rows, x_len, y_len) }?;
    apart(&[span("y", y.cast_const(), y_len)], &[span("x", x, x_len)])?;
    // SAFETY: the caller's promise; y is apart from x.
    let (x, y) = unsafe { (slice(x, x_len, "x")?, slice_mut(y, y_len, "y")?) };
    Ok(if max { pool::max(cpu(), &g, x, y, None) } else { pool::average(cpu(), &g, false, x, y) }?)
}

/// # Safety
/// The crate's contract.
unsafe fn backward<T: Real>(
    (dx, dx_len): (*mut T, i64),
    (dy, dy_len): (*const T, i64),
    (x, x_len): (*const T, i64),
    kind: kmc_pool,
    window: *const kmc_window,
    rows: i64,
) -> Answer {
    // SAFETY: the caller's promise.
    let (g, max) = unsafe { sizes(kind, window, rows, dx_len, dy_len) }?;
    let x_len = if max { x_len } else { 0 };
    if max && x_len != dx_len {
        return Err(Fault::shape("x", format!("{dx_len} values, as dx"), x_len));
    }
    apart(&[span("dx", dx.cast_const(), dx_len)], &[span("dy", dy, dy_len), span("x", x, x_len)])?;
    // SAFETY: the caller's promise; dx is apart from the others.
    let (dy, x, dx) = unsafe { (slice(dy, dy_len, "dy")?, slice(x, x_len, "x")?, slice_mut(dx, dx_len, "dx")?) };
    if max {
        let (mut y, mut winner) = (vec![T::ZERO; dy.len()], vec![0; dy.len()]);
        pool::max(cpu(), &g, x, &mut y, Some(&mut winner))?;
        pool::max_gradient(cpu(), &g, dy, &winner, GradMode::Write, dx)?;
    } else {
        pool::average_gradient(cpu(), &g, false, dy, GradMode::Write, dx)?;
    }
    Ok(())
}

/// Pooling of `rows` samples: y is the largest value or the mean of x under each place of the window, channel by channel; padding neither wins
/// nor counts. `filters`, `groups` of the window have no part in it, its dilation must be 1. y must not overlap x.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_pool_forward_f32(
    y: *mut f32,
    y_len: i64,
    x: *const f32,
    x_len: i64,
    kind: kmc_pool,
    window: *const kmc_window,
    rows: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_pool_forward_f32", || unsafe { forward((y, y_len), (x, x_len), kind, window, rows) })
}

/// As `kmc_pool_forward_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_pool_forward_f64(
    y: *mut f64,
    y_len: i64,
    x: *const f64,
    x_len: i64,
    kind: kmc_pool,
    window: *const kmc_window,
    rows: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_pool_forward_f64", || unsafe { forward((y, y_len), (x, x_len), kind, window, rows) })
}

/// The gradient wrt the input of a pooling: dx from dy and, for KMC_POOL_MAX, x, whose first maximum under each place takes all of it. x may be
/// NULL otherwise. dx must not overlap the others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_pool_backward_f32(
    dx: *mut f32,
    dx_len: i64,
    dy: *const f32,
    dy_len: i64,
    x: *const f32,
    x_len: i64,
    kind: kmc_pool,
    window: *const kmc_window,
    rows: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_pool_backward_f32", || unsafe { backward((dx, dx_len), (dy, dy_len), (x, x_len), kind, window, rows) })
}

/// As `kmc_pool_backward_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_pool_backward_f64(
    dx: *mut f64,
    dx_len: i64,
    dy: *const f64,
    dy_len: i64,
    x: *const f64,
    x_len: i64,
    kind: kmc_pool,
    window: *const kmc_window,
    rows: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_pool_backward_f64", || unsafe { backward((dx, dx_len), (dy, dy_len), (x, x_len), kind, window, rows) })
}
