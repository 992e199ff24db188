//! Weights, layer state and gradients by name.

use super::kmc_model;
use crate::dataset::inspect::nth;
use crate::entry::{Fault, copy_out, entry, give_text, lookup, output, slice, slice_mut, text};
use crate::handle::with;
use crate::status::kmc_status;
use std::ffi::c_char;

/// The most indices an array may have.
const MAX_RANK: usize = 8;

/// The number of arrays: weights, then layer state.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_array_count(out: *mut i64, model: *mut kmc_model) -> kmc_status {
    lookup("kmc_model_array_count", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        with(model, "model", |model| {
            *out = model.arrays().count() as i64;
            Ok(())
        })
    })
}

/// The name of an array, counted from 0: `dense1.weight`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_array_name(out: *mut *const c_char, model: *mut kmc_model, index: i64) -> kmc_status {
    entry("kmc_model_array_name", || {
        let name = with(model, "model", |model| {
            let names: Vec<&str> = model.arrays().map(|(name, _)| name).collect();
            Ok(nth(names.iter(), index, "index")?.to_string())
        })?;
        // SAFETY: the crate's contract.
        unsafe { give_text(out, &name) }
    })
}

/// The shape of an array: weights of a dense layer are (inputs, units), of a convolution (kd, kh, kw, channels, filters). `out_shape` has
/// room for 8 numbers, of which `out_rank` are set and the others 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_array_shape(
    out_shape: *mut i64,
    out_rank: *mut i64,
    model: *mut kmc_model,
    name: *const c_char,
) -> kmc_status {
    entry("kmc_model_array_shape", || {
        // SAFETY: the crate's contract.
        let (shape, rank) = unsafe { (slice_mut(out_shape, MAX_RANK as i64, "out_shape")?, output(out_rank, "out_rank")?) };
        // SAFETY: as above.
        let name = unsafe { text(name, "name") }?;
        with(model, "model", |model| {
            let found = model.arrays().find(|(n, _)| *n == name).map(|(_, shape)| shape.to_vec());
            let Some(found) = found.filter(|s| s.len() <= MAX_RANK) else {
                let known: Vec<&str> = model.arrays().map(|(n, _)| n).collect();
                return Err(Fault::value("name", format!("one of {}", known.join(", ")), name));
            };
            shape.fill(1);
            shape.iter_mut().zip(&found).for_each(|(to, &n)| *to = n as i64);
            *rank = found.len() as i64;
            Ok(())
        })
    })
}

/// Copies an array.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_array_get(out: *mut f64, len: i64, model: *mut kmc_model, name: *const c_char) -> kmc_status {
    entry("kmc_model_array_get", || {
        // SAFETY: the crate's contract.
        let (out, name) = unsafe { (slice_mut(out, len, "out")?, text(name, "name")?) };
        with(model, "model", |model| copy_out(out, &model.array(name)?, "out"))
    })
}

/// Sets an array.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_array_set(
    model: *mut kmc_model,
    name: *const c_char,
    values: *const f64,
    len: i64,
) -> kmc_status {
    entry("kmc_model_array_set", || {
        // SAFETY: the crate's contract.
        let (name, values) = unsafe { (text(name, "name")?, slice(values, len, "values")?) };
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(Fault::value(&format!("values[{i}]"), "a finite number", values[i]));
        }
        with(model, "model", |model| Ok(model.set_array(name, values)?))
    })
}

/// Copies the gradient of a weight array after a backward pass.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_array_gradient(
    out: *mut f64,
    len: i64,
    model: *mut kmc_model,
    name: *const c_char,
) -> kmc_status {
    entry("kmc_model_array_gradient", || {
        // SAFETY: the crate's contract.
        let (out, name) = unsafe { (slice_mut(out, len, "out")?, text(name, "name")?) };
        with(model, "model", |model| copy_out(out, &model.gradient(name)?, "out"))
    })
}
