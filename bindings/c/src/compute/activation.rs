//! Activation functions and their derivatives.

use super::{apart, cpu, span};
use crate::entry::{Answer, Fault, count, entry, slice, slice_mut};
use crate::rules::{activation, kmc_activation};
use crate::status::kmc_status;
use kamacite::Real;
use kamacite::op::activation::{Reads, apply, apply_in_place, gradient_in_place};

/// # Safety
/// The crate's contract.
unsafe fn forward<T: Real>(
    (y, x, n): (*mut T, *const T, i64),
    (kind, a, b): (kmc_activation, f64, f64),
    channels: i64,
) -> Answer {
    let (act, channels) = (activation(kind, a, b)?, count(channels, "channels")?);
    if y.cast_const() == x {
        // SAFETY: the caller's promise.
        return Ok(apply_in_place(cpu(), act, unsafe { slice_mut(y, n, "y") }?, channels)?);
    }
    apart(&[span("y", y.cast_const(), n)], &[span("x", x, n)])?;
    // SAFETY: the caller's promise; y is apart from x.
    let (x, y) = unsafe { (slice(x, n, "x")?, slice_mut(y, n, "y")?) };
    Ok(apply(cpu(), act, x, y, channels)?)
}

/// # Safety
/// The crate's contract.
unsafe fn backward<T: Real>(
    (dx, dy, n): (*mut T, *const T, i64),
    (x, y): (*const T, *const T),
    (kind, a, b): (kmc_activation, f64, f64),
    channels: i64,
) -> Answer {
    let (act, channels) = (activation(kind, a, b)?, count(channels, "channels")?);
    let (name, saved) = if act.reads() == Reads::X { ("x", x) } else { ("y", y) };
    let made = saved.is_null() && !x.is_null();
    let (name, saved) = if made { ("x", x) } else { (name, saved) };
    if saved.is_null() && n > 0 {
        return Err(Fault::new(kmc_status::KMC_ERR_NULL, format!("{name} is NULL, and this activation needs it")));
    }
    let to = span("dx", dx.cast_const(), n);
    apart(&[to], &[span(name, saved, n)])?;
    if dx.cast_const() != dy {
        apart(&[span("dx", dx.cast_const(), n)], &[span("dy", dy, n)])?;
        // SAFETY: the caller's promise; dx is apart from dy.
        unsafe { slice_mut(dx, n, "dx")?.copy_from_slice(slice(dy, n, "dy")?) };
    }
    // SAFETY: the caller's promise; dx is apart from what was saved.
    let (saved, dx) = unsafe { (slice(saved, n, name)?, slice_mut(dx, n, "dx")?) };
    if made {
        let mut y = saved.to_vec();
        apply_in_place(cpu(), act, &mut y, channels)?;
        return Ok(gradient_in_place(cpu(), act, &y, dx, channels)?);
    }
    Ok(gradient_in_place(cpu(), act, saved, dx, channels)?)
}

/// y = f(x) for n values; `a` and `b` are the parameters that `kmc_activation` names. KMC_SOFTMAX runs over groups of `channels` values, the others
/// do not look at it. y may be x; otherwise they must not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_activation_forward_f32(
    y: *mut f32,
    x: *const f32,
    n: i64,
    kind: kmc_activation,
    a: f64,
    b: f64,
    channels: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_activation_forward_f32", || unsafe { forward((y, x, n), (kind, a, b), channels) })
}

/// As `kmc_activation_forward_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_activation_forward_f64(
    y: *mut f64,
    x: *const f64,
    n: i64,
    kind: kmc_activation,
    a: f64,
    b: f64,
    channels: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_activation_forward_f64", || unsafe { forward((y, x, n), (kind, a, b), channels) })
}

/// dx = dy f'(x), the gradient before the activation from the one behind it; with dy = 1 it is the derivative. KMC_GELU and KMC_SILU need x, the
/// others y, which is computed from x where y is NULL; the one that is not needed may be NULL. At a kink f' is that of the flat side. dx may
/// be dy, and must overlap nothing else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_activation_backward_f32(
    dx: *mut f32,
    dy: *const f32,
    x: *const f32,
    y: *const f32,
    n: i64,
    kind: kmc_activation,
    a: f64,
    b: f64,
    channels: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_activation_backward_f32", || unsafe { backward((dx, dy, n), (x, y), (kind, a, b), channels) })
}

/// As `kmc_activation_backward_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_activation_backward_f64(
    dx: *mut f64,
    dy: *const f64,
    x: *const f64,
    y: *const f64,
    n: i64,
    kind: kmc_activation,
    a: f64,
    b: f64,
    channels: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_activation_backward_f64", || unsafe { backward((dx, dy, n), (x, y), (kind, a, b), channels) })
}
