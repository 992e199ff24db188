//! What is in a data set.

use super::kmc_dataset;
use crate::entry::{Answer, Fault, copy_out, count, entry, lookup, output, slice_mut};
use crate::handle::with;
use crate::status::kmc_status;
use kamacite::data::classes;
use kamacite::loss::Target;

/// One of several by its number.
pub(crate) fn nth<T>(mut items: impl ExactSizeIterator<Item = T>, index: i64, what: &str) -> Answer<T> {
    let n = items.len();
    let item = usize::try_from(index).ok().and_then(|i| items.nth(i));
    item.ok_or_else(|| Fault::value(what, format!("below {n}"), index))
}

/// The number of samples.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_len(out: *mut i64, data: *mut kmc_dataset) -> kmc_status {
    lookup("kmc_dataset_len", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        with(data, "data", |data| {
            *out = data.dataset().len() as i64;
            Ok(())
        })
    })
}

/// The sizes d, h, w, c of an input, the first of which is 0. `out_dhwc` has room for 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_extent(out_dhwc: *mut i64, data: *mut kmc_dataset, input: i64) -> kmc_status {
    lookup("kmc_dataset_extent", || {
        // SAFETY: the crate's contract.
        let out = unsafe { slice_mut(out_dhwc, 4, "out_dhwc") }?;
        with(data, "data", |data| {
            let e = nth(data.dataset().inputs().iter(), input, "input")?;
            out.copy_from_slice(&[e.d, e.h, e.w, e.c].map(|n| n as i64));
            Ok(())
        })
    })
}

/// The number of classes of a target, the first of which is 0; 0 if it is one of values, or not there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_classes(out: *mut i64, data: *mut kmc_dataset, target: i64) -> kmc_status {
    lookup("kmc_dataset_classes", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        with(data, "data", |data| {
            let target = usize::try_from(target).ok().and_then(|t| data.dataset().targets().get(t));
            *out = match target {
                Some(Target::Index { classes, .. }) => *classes as i64,
                _ => 0,
            };
            Ok(())
        })
    })
}

/// Copies the values of an input, (n, d, h, w, c). `len` is n·d·h·w·c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_inputs(out: *mut f32, len: i64, data: *mut kmc_dataset, input: i64) -> kmc_status {
    entry("kmc_dataset_inputs", || {
        // SAFETY: the crate's contract.
        let out = unsafe { slice_mut(out, len, "out") }?;
        with(data, "data", |data| {
            let input = nth(0..data.dataset().inputs().len(), input, "input")?;
            copy_out(out, data.plain()?.x(input), "out")
        })
    })
}

/// Copies the class indices of a target, from 0: one for each sample, or a map of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_labels(out: *mut i32, len: i64, data: *mut kmc_dataset, target: i64) -> kmc_status {
    entry("kmc_dataset_labels", || {
        // SAFETY: the crate's contract.
        let out = unsafe { slice_mut(out, len, "out") }?;
        with(data, "data", |data| {
            let target = nth(0..data.dataset().targets().len(), target, "target")?;
            let labels = data.plain()?.labels(target).ok_or_else(|| Fault::value("target", "one of classes", "one of values"))?;
            copy_out(out, &labels.iter().map(|&l| l as i32).collect::<Vec<_>>(), "out")
        })
    })
}

/// Copies the values of a target.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_values(out: *mut f32, len: i64, data: *mut kmc_dataset, target: i64) -> kmc_status {
    entry("kmc_dataset_values", || {
        // SAFETY: the crate's contract.
        let out = unsafe { slice_mut(out, len, "out") }?;
        with(data, "data", |data| {
            let target = nth(0..data.dataset().targets().len(), target, "target")?;
            let t = data.plain()?.t(target).ok_or_else(|| Fault::value("target", "one of values", "one of classes"))?;
            copy_out(out, t, "out")
        })
    })
}

/// The number of samples of each class.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_counts(out: *mut i64, n_classes: i64, data: *mut kmc_dataset, target: i64) -> kmc_status {
    entry("kmc_dataset_counts", || {
        // SAFETY: the crate's contract.
        let out = unsafe { slice_mut(out, n_classes, "out") }?;
        with(data, "data", |data| {
            let target = nth(0..data.dataset().targets().len(), target, "target")?;
            let labels = classes::labels(data.dataset(), target)?;
            let counts = classes::counts(&labels, count(n_classes, "n_classes")?)?;
            copy_out(out, &counts.iter().map(|&n| n as i64).collect::<Vec<_>>(), "out")
        })
    })
}
