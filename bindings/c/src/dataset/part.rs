//! Parts of data sets, and views over them.

use super::{Data, give_data, give_two, kmc_dataset, shared};
use crate::entry::{Answer, Fault, count, entry, flag, options, output, sized32, slice};
use crate::handle::with;
use crate::status::kmc_status;
use kamacite::Dataset;
use kamacite::data::{Augment, Augmented, Balanced, Border, classes, split};
use std::sync::Arc;

/// A new set of these samples, counted from 0; one may come several times. Parts of a view, here and below, are views.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_subset(
    out: *mut *mut kmc_dataset,
    data: *mut kmc_dataset,
    indices: *const i64,
    n: i64,
) -> kmc_status {
    entry("kmc_dataset_subset", || {
        // SAFETY: the crate's contract.
        let (out, indices) = unsafe { (output(out, "out")?, slice(indices, n, "indices")?) };
        let indices = indices.iter().map(|&i| count(i, "indices")).collect::<Answer<Vec<_>>>()?;
        give_data(out, with(data, "data", |data| data.part(&indices))?)
    })
}

/// The first `n_first` samples, and the others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_split(
    first: *mut *mut kmc_dataset,
    rest: *mut *mut kmc_dataset,
    data: *mut kmc_dataset,
    n_first: i64,
) -> kmc_status {
    entry("kmc_dataset_split", || {
        // SAFETY: the crate's contract.
        let (first, rest) = unsafe { (output(first, "first")?, output(rest, "rest")?) };
        let n = count(n_first, "n_first")?;
        let parts = with(data, "data", |data| match data {
            Data::Plain(samples) => {
                let (a, b) = samples.split(n)?;
                Ok((Data::Plain(Arc::new(a)), Data::Plain(Arc::new(b))))
            }
            Data::View(view) if n <= view.len() => {
                let (a, b): (Vec<_>, Vec<_>) = (0..view.len()).partition(|&i| i < n);
                Ok((data.part(&a)?, data.part(&b)?))
            }
            Data::View(view) => Err(Fault::value("n_first", format!("at most {}", view.len()), n)),
        })?;
        give_two(first, rest, parts)
    })
}

fn halves(data: &Data, parts: &[Vec<usize>]) -> Answer<(Data, Data)> {
    let [first, rest] = parts else { return Err(Fault::value("fraction", "two parts", parts.len())) };
    Ok((data.part(first)?, data.part(rest)?))
}

/// A random part of about `fraction` of the samples, and the others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_split_random(
    first: *mut *mut kmc_dataset,
    rest: *mut *mut kmc_dataset,
    data: *mut kmc_dataset,
    fraction: f64,
    seed: u64,
) -> kmc_status {
    entry("kmc_dataset_split_random", || {
        // SAFETY: the crate's contract.
        let (first, rest) = unsafe { (output(first, "first")?, output(rest, "rest")?) };
        let halves = with(data, "data", |data| {
            let parts = split::fractions(data.dataset().len(), &[fraction, 1.0 - fraction], seed)?;
            halves(data, &parts)
        })?;
        give_two(first, rest, halves)
    })
}

/// As `kmc_dataset_split_random`, with the same fraction of each class of target 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_split_stratified(
    first: *mut *mut kmc_dataset,
    rest: *mut *mut kmc_dataset,
    data: *mut kmc_dataset,
    fraction: f64,
    seed: u64,
) -> kmc_status {
    entry("kmc_dataset_split_stratified", || {
        // SAFETY: the crate's contract.
        let (first, rest) = unsafe { (output(first, "first")?, output(rest, "rest")?) };
        let halves = with(data, "data", |data| {
            let (labels, classes) = labels(data.dataset())?;
            let parts = split::stratified(&labels, classes, &[fraction, 1.0 - fraction], seed)?;
            halves(data, &parts)
        })?;
        give_two(first, rest, halves)
    })
}

fn labels(data: &dyn Dataset) -> Answer<(Vec<u32>, usize)> {
    let labels = classes::labels(data, 0)?;
    let classes = labels.iter().max().map_or(0, |&l| l as usize + 1);
    Ok((labels, classes))
}

/// Training and test set of fold `fold` (from 0) of `k` for cross-validation; `stratified` (0 or 1) keeps the shares of the classes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_fold(
    train: *mut *mut kmc_dataset,
    test: *mut *mut kmc_dataset,
    data: *mut kmc_dataset,
    k: i64,
    fold: i64,
    stratified: i32,
    seed: u64,
) -> kmc_status {
    entry("kmc_dataset_fold", || {
        // SAFETY: the crate's contract.
        let (train, test) = unsafe { (output(train, "train")?, output(test, "test")?) };
        let (k, stratified) = (count(k, "k")?, flag(stratified, "stratified")?);
        let parts = with(data, "data", |data| {
            let folds = if stratified {
                let (labels, classes) = labels(data.dataset())?;
                split::stratified_folds(&labels, classes, k, seed)?
            } else {
                split::folds(data.dataset().len(), k, seed)?
            };
            let (a, b) = super::inspect::nth(folds.iter(), fold, "fold")?;
            Ok((data.part(a)?, data.part(b)?))
        })?;
        give_two(train, test, parts)
    })
}

/// A view in which all classes of target 0 come equally often; which samples stand for the large ones changes from epoch to epoch.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_balanced(out: *mut *mut kmc_dataset, data: *mut kmc_dataset) -> kmc_status {
    entry("kmc_dataset_balanced", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        give_data(out, Data::View(Arc::new(Balanced::new(shared(data, "data")?, 0)?)))
    })
}

/// What to change of a sample each time it is met in training. With zeros nothing is changed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_augment_options {
    /// sizeof(kmc_augment_options)
    pub size: u32,
    /// 1: turns by a random multiple of 90 degrees.
    pub quarter_turns: i32,
    /// Probability of a flip along w.
    pub flip_h: f64,
    /// Probability of a flip along h.
    pub flip_v: f64,
    /// Probability of a flip along d.
    pub flip_d: f64,
    /// The largest shift in pixels.
    pub shift: i64,
    /// The range of magnifications; both 0: none.
    pub zoom_low: f64,
    /// See `zoom_low`.
    pub zoom_high: f64,
    /// The largest angle in degrees.
    pub rotation: f64,
    /// The range of factors on all values; both 0: none.
    pub brightness_low: f64,
    /// See `brightness_low`.
    pub brightness_high: f64,
    /// The range of factors on each channel; both 0: none.
    pub gain_low: f64,
    /// See `gain_low`.
    pub gain_high: f64,
    /// The range of factors on the distance to the mean; both 0: none.
    pub contrast_low: f64,
    /// See `contrast_low`.
    pub contrast_high: f64,
    /// Standard deviation of added noise.
    pub noise: f64,
    /// What lies outside: 0 the nearest pixel, 1 zero, 2 the image reflected at its edge.
    pub border: i32,
    /// 1: target 0 is an image, and moves with the input.
    pub with_target: i32,
}

sized32!(kmc_augment_options);

fn augment(o: &kmc_augment_options) -> Answer<Augment> {
    let mut a = Augment::new().flip_h(o.flip_h).flip_v(o.flip_v).flip_d(o.flip_d).noise(o.noise).rotation(o.rotation);
    a = a.shift(count(o.shift, "shift")?);
    if flag(o.quarter_turns, "quarter_turns")? {
        a = a.quarter_turns();
    }
    let given = |low: f64, high: f64| low != 0.0 || high != 0.0;
    if given(o.zoom_low, o.zoom_high) {
        a = a.zoom(o.zoom_low, o.zoom_high);
    }
    if given(o.brightness_low, o.brightness_high) {
        a = a.brightness(o.brightness_low, o.brightness_high);
    }
    if given(o.gain_low, o.gain_high) {
        a = a.channel_gain(o.gain_low, o.gain_high);
    }
    if given(o.contrast_low, o.contrast_high) {
        a = a.contrast(o.contrast_low, o.contrast_high);
    }
    if flag(o.with_target, "with_target")? {
        a = a.with_target(0);
    }
    Ok(a.border(match o.border {
        0 => Border::Edge,
        1 => Border::Value(0.0),
        2 => Border::Reflect,
        other => return Err(Fault::value("border", "0, 1 or 2", other)),
    }))
}

/// A view whose samples are changed anew in each epoch, by draws that depend on the seed of the training alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_augmented(
    out: *mut *mut kmc_dataset,
    data: *mut kmc_dataset,
    options: *const kmc_augment_options,
) -> kmc_status {
    entry("kmc_dataset_augmented", || {
        // SAFETY: the crate's contract.
        let (out, o) = unsafe { (output(out, "out")?, self::options(options, "options")?) };
        give_data(out, Data::View(Arc::new(Augmented::new(shared(data, "data")?, augment(o)?)?)))
    })
}
