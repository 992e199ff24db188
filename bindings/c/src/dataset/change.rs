//! Changes in place. A set that a trainer uses, or that has a clone, is copied first.

use super::{kmc_dataset, samples};
use crate::entry::{Answer, Fault, count, entry, extent, slice};
use crate::handle::with;
use crate::status::kmc_status;
use kamacite::Dataset;
use kamacite::data::{Normalizer, Rule, Scope, split};
use std::ffi::c_void;

/// A step of a normalisation. x are the values that share statistics.
pub type kmc_rule = i32;
/// `kmc_rule`: y = (x - mean) / max|x - mean|: the convention of the course.
pub const KMC_MEAN_MAX_ABS: i32 = 0;
/// `kmc_rule`: y = (x - mean) / sigma.
pub const KMC_STANDARD: i32 = 1;
/// `kmc_rule`: y = (x - min) / (max - min).
pub const KMC_MIN_MAX: i32 = 2;
/// `kmc_rule`: y = min(max(x, p_a), p_b), the values at the fractions a and b of the sorted x.
pub const KMC_CLIP: i32 = 3;
/// `kmc_rule`: y = ln(1 + max(x - min, 0)).
pub const KMC_LOG: i32 = 4;
/// `kmc_rule`: y = x / sqrt(sum x^2) over each sample.
pub const KMC_L2: i32 = 5;
/// `kmc_rule`: y = tanh(a min(max(x, b), c)).
pub const KMC_TANH_RANGE: i32 = 6;

/// Which values share their statistics.
pub type kmc_scope = i32;
/// `kmc_scope`: Each feature of a sample, over the samples.
pub const KMC_PER_FEATURE: i32 = 0;
/// `kmc_scope`: Each channel, over samples and positions.
pub const KMC_PER_CHANNEL: i32 = 1;
/// `kmc_scope`: All values.
pub const KMC_GLOBAL: i32 = 2;
/// `kmc_scope`: All values of one sample.
pub const KMC_PER_SAMPLE: i32 = 3;

fn rule(rule: kmc_rule, scope: kmc_scope, [a, b, c]: [f64; 3]) -> Answer<Rule> {
    let scope = match scope {
        KMC_PER_FEATURE => Scope::Feature,
        KMC_PER_CHANNEL => Scope::Channel,
        KMC_GLOBAL => Scope::Global,
        KMC_PER_SAMPLE => Scope::Row,
        _ => return Err(Fault::value("scope", "KMC_PER_FEATURE, _CHANNEL, _SAMPLE or KMC_GLOBAL", scope)),
    };
    Ok(match rule {
        KMC_MEAN_MAX_ABS => Rule::MeanMaxAbs(scope),
        KMC_STANDARD => Rule::Standard(scope),
        KMC_MIN_MAX => Rule::MinMax(scope),
        KMC_CLIP => Rule::Clip(a, b, scope),
        KMC_LOG => Rule::Log(scope),
        KMC_L2 => Rule::L2,
        KMC_TANH_RANGE => Rule::Tanh { gain: a as f32, low: b as f32, high: c as f32 },
        _ => return Err(Fault::value("rule", "one of KMC_MEAN_MAX_ABS to KMC_TANH_RANGE", rule)),
    })
}

/// Normalises input 0 with what the rule learns from `fitted_on`: the training data, or NULL for the set itself. a, b and c are the
/// numbers of those rules that have some. Normalise the test data first: the training data learn from themselves.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_normalize(
    data: *mut kmc_dataset,
    rule: kmc_rule,
    scope: kmc_scope,
    a: f64,
    b: f64,
    c: f64,
    fitted_on: *mut kmc_dataset,
) -> kmc_status {
    entry("kmc_dataset_normalize", || {
        let rule = self::rule(rule, scope, [a, b, c])?;
        let source = if fitted_on.is_null() { data } else { fitted_on };
        let source = with(source, "fitted_on", |source| source.plain().cloned())?;
        let norm = Normalizer::fit(source.inputs()[0], source.x(0), &[rule])?;
        drop(source);
        with(data, "data", |data| {
            let extent = data.dataset().inputs()[0];
            if extent != norm.extent() {
                return Err(Fault::shape("fitted_on", format!("samples of {extent}"), norm.extent()));
            }
            // On a copy: a value that cannot be normalised leaves all as they were.
            let mut x = data.plain()?.x(0).to_vec();
            norm.apply(&mut x)?;
            data.plain_mut()?.x_mut(0).copy_from_slice(&x);
            Ok(())
        })
    })
}

/// Multiplies every value of input 0: 1/255 brings bytes to 0 to 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_scale(data: *mut kmc_dataset, factor: f64) -> kmc_status {
    entry("kmc_dataset_scale", || {
        if !factor.is_finite() {
            return Err(Fault::value("factor", "a finite number", factor));
        }
        with(data, "data", |data| change(data.plain_mut()?.x_mut(0), |x| x * factor))
    })
}

/// A function of one value.
pub type kmc_map_fn = Option<unsafe extern "C" fn(x: f64, user: *mut c_void) -> f64>;

/// Replaces every value x of input 0 by f(x, user). f must not call back into this data set. If a result is not finite, nothing is changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_map(data: *mut kmc_dataset, f: kmc_map_fn, user: *mut c_void) -> kmc_status {
    entry("kmc_dataset_map", || {
        let f = f.ok_or_else(|| Fault::new(kmc_status::KMC_ERR_NULL, "f is NULL"))?;
        // SAFETY: the crate's contract: f can be called with `user`.
        with(data, "data", |data| change(data.plain_mut()?.x_mut(0), |x| unsafe { f(x, user) }))
    })
}

/// Changes all values, or none.
fn change(x: &mut [f32], f: impl Fn(f64) -> f64) -> Answer {
    let changed: Vec<f32> = x.iter().map(|&x| f(f64::from(x)) as f32).collect();
    if let Some(i) = changed.iter().position(|y| !y.is_finite()) {
        return Err(Fault::value(&format!("the result for value {i} ({})", x[i]), "a finite number", changed[i]));
    }
    x.copy_from_slice(&changed);
    Ok(())
}

/// Appends positions of `value` behind the last on each axis of input 0: a spectrum of 3753 pixels to 3776.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_pad(data: *mut kmc_dataset, d: i64, h: i64, w: i64, c: i64, value: f64) -> kmc_status {
    entry("kmc_dataset_pad", || {
        let to = extent(d, h, w, c)?;
        if !(value as f32).is_finite() {
            return Err(Fault::value("value", "a finite number", value));
        }
        with(data, "data", |data| Ok(data.plain_mut()?.pad(to, value as f32)?))
    })
}

/// Reads input 0 as another extent of as many values: rows of a table as spectra or images.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_reshape(data: *mut kmc_dataset, d: i64, h: i64, w: i64, c: i64) -> kmc_status {
    entry("kmc_dataset_reshape", || {
        let to = extent(d, h, w, c)?;
        with(data, "data", |data| Ok(data.plain_mut()?.reshape(to)?))
    })
}

/// Replaces target 0, one label for each sample, by one-hot rows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_one_hot(data: *mut kmc_dataset) -> kmc_status {
    entry("kmc_dataset_one_hot", || with(data, "data", |data| Ok(data.plain_mut()?.one_hot(0)?)))
}

/// Brings the samples into a random order.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_shuffle(data: *mut kmc_dataset, seed: u64) -> kmc_status {
    entry("kmc_dataset_shuffle", || replace(data, |samples| Ok(samples.subset(&split::shuffled(samples.len(), seed))?)))
}

/// Keeps the first `caps[k]` samples of each class k of target 0, in their order.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_rebalance(data: *mut kmc_dataset, caps: *const i64, classes: i64) -> kmc_status {
    entry("kmc_dataset_rebalance", || {
        // SAFETY: the crate's contract.
        let caps = unsafe { slice(caps, classes, "caps") }?;
        let caps = caps.iter().map(|&cap| count(cap, "caps")).collect::<Answer<Vec<_>>>()?;
        replace(data, |samples| {
            let labels = kamacite::data::classes::labels(samples, 0)?;
            Ok(samples.subset(&split::rebalance(&labels, &caps)?)?)
        })
    })
}

fn replace(data: *mut kmc_dataset, f: impl FnOnce(&kamacite::data::Samples) -> Answer<kamacite::data::Samples>) -> Answer {
    let new = f(&*samples(data)?)?;
    with(data, "data", |data| {
        *data.plain_mut()? = new;
        Ok(())
    })
}
