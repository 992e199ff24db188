//! Data sets from the caller's arrays.

use super::{give, kmc_dataset, kmc_layout, layout};
use crate::entry::{Answer, Fault, count, entry, extent, output, slice, texts};
use crate::handle::with;
use crate::status::kmc_status;
use kamacite::Extent;
use kamacite::data::Samples;
use std::ffi::c_char;

/// Numbers of the caller's, of either width, as the engine keeps them.
trait Number: Copy {
    fn narrow(self) -> f32;
}

impl Number for f32 {
    fn narrow(self) -> f32 {
        self
    }
}

impl Number for f64 {
    fn narrow(self) -> f32 {
        self as f32
    }
}

/// A copy of `n` samples, channels last.
///
/// # Safety
/// The crate's contract: `x` points to n·d·h·w·c values.
unsafe fn copied<T: Number>(x: *const T, n: i64, e: Extent, order: kmc_layout, what: &str) -> Answer<Vec<f32>> {
    let order = layout(order)?;
    let n = count(n, "n")?;
    let len = n.checked_mul(e.len()).filter(|&len| len <= isize::MAX as usize / 8);
    let len = len.ok_or_else(|| Fault::value("n", format!("as many samples of {e} as memory can hold"), n))?;
    // SAFETY: the caller's promise.
    let x = unsafe { slice(x, len as i64, what) }?;
    let mut copy = Vec::new();
    let full = |_| Fault::new(kmc_status::KMC_ERR_OUT_OF_MEMORY, format!("{what}: no memory for a copy of {len} values"));
    copy.try_reserve_exact(len).map_err(full)?;
    copy.extend(x.iter().map(|x| x.narrow()));
    Ok(order.to_channels_last(e, copy)?)
}

/// # Safety
/// The crate's contract.
unsafe fn create<T: Number>(out: *mut *mut kmc_dataset, x: *const T, n: i64, e: Extent, order: kmc_layout) -> Answer {
    // SAFETY: the caller's promise.
    let (out, x) = unsafe { (output(out, "out")?, copied(x, n, e, order, "x")?) };
    give(out, Samples::new(e, x)?)
}

/// # Safety
/// The crate's contract.
unsafe fn add_input<T: Number>(data: *mut kmc_dataset, x: *const T, n: i64, e: Extent, order: kmc_layout) -> Answer {
    // SAFETY: the caller's promise.
    let x = unsafe { copied(x, n, e, order, "x") }?;
    with(data, "data", |data| Ok(data.plain_mut()?.add_input(e, x)?))
}

/// # Safety
/// The crate's contract.
unsafe fn add_values<T: Number>(data: *mut kmc_dataset, t: *const T, n: i64, e: Extent, order: kmc_layout) -> Answer {
    // SAFETY: the caller's promise.
    let t = unsafe { copied(t, n, e, order, "t") }?;
    with(data, "data", |data| Ok(data.plain_mut()?.add_values(e, t)?))
}

/// A data set of `n` samples of d x h x w x c values, copied from an array in the given order: a table of 4 columns is 1, 1, 1, 4, a
/// spectrum 1, 1, w, 1, an image 1, h, w, c. Values must be finite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_create_f32(
    out: *mut *mut kmc_dataset,
    x: *const f32,
    n: i64,
    d: i64,
    h: i64,
    w: i64,
    c: i64,
    layout: kmc_layout,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_dataset_create_f32", || unsafe { create(out, x, n, extent(d, h, w, c)?, layout) })
}

/// As `kmc_dataset_create_f32`, from double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_create_f64(
    out: *mut *mut kmc_dataset,
    x: *const f64,
    n: i64,
    d: i64,
    h: i64,
    w: i64,
    c: i64,
    layout: kmc_layout,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_dataset_create_f64", || unsafe { create(out, x, n, extent(d, h, w, c)?, layout) })
}

/// Adds another input, for networks with several: as many samples as the first has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_add_input_f32(
    data: *mut kmc_dataset,
    x: *const f32,
    n: i64,
    d: i64,
    h: i64,
    w: i64,
    c: i64,
    layout: kmc_layout,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_dataset_add_input_f32", || unsafe { add_input(data, x, n, extent(d, h, w, c)?, layout) })
}

/// As `kmc_dataset_add_input_f32`, from double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_add_input_f64(
    data: *mut kmc_dataset,
    x: *const f64,
    n: i64,
    d: i64,
    h: i64,
    w: i64,
    c: i64,
    layout: kmc_layout,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_dataset_add_input_f64", || unsafe { add_input(data, x, n, extent(d, h, w, c)?, layout) })
}

/// Adds a target of numbers, d x h x w x c for each sample: values of a regression, one-hot rows, an image.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_add_values_f32(
    data: *mut kmc_dataset,
    t: *const f32,
    n: i64,
    d: i64,
    h: i64,
    w: i64,
    c: i64,
    layout: kmc_layout,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_dataset_add_values_f32", || unsafe { add_values(data, t, n, extent(d, h, w, c)?, layout) })
}

/// As `kmc_dataset_add_values_f32`, from double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_add_values_f64(
    data: *mut kmc_dataset,
    t: *const f64,
    n: i64,
    d: i64,
    h: i64,
    w: i64,
    c: i64,
    layout: kmc_layout,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_dataset_add_values_f64", || unsafe { add_values(data, t, n, extent(d, h, w, c)?, layout) })
}

/// Adds a target of classes. `labels` counts from 0 and holds one label for each sample, or as many for each as a map has positions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_add_classes(
    data: *mut kmc_dataset,
    labels: *const i32,
    len: i64,
    classes: i64,
) -> kmc_status {
    entry("kmc_dataset_add_classes", || {
        let classes = count(classes, "classes")?;
        // SAFETY: the crate's contract.
        let labels = crate::entry::classes(unsafe { slice(labels, len, "labels") }?, "labels")?.to_vec();
        with(data, "data", |data| Ok(data.plain_mut()?.add_classes(labels, classes)?))
    })
}

/// Sets the weight of each sample in the loss, 0 or more; 0 leaves a sample out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_set_weights(data: *mut kmc_dataset, weights: *const f64, n: i64) -> kmc_status {
    entry("kmc_dataset_set_weights", || {
        // SAFETY: the crate's contract.
        let weights = unsafe { slice(weights, n, "weights") }?.iter().map(|&w| w as f32).collect();
        with(data, "data", |data| Ok(data.plain_mut()?.set_weights(weights)?))
    })
}

/// Sets the names of the classes, which tables of results then show.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_set_class_names(data: *mut kmc_dataset, names: *const *const c_char, n: i64) -> kmc_status {
    entry("kmc_dataset_set_class_names", || {
        // SAFETY: the crate's contract.
        let names = unsafe { texts(names, n, "names") }?;
        with(data, "data", |data| {
            data.plain_mut()?.set_class_names(names);
            Ok(())
        })
    })
}
