//! Optimizers: one sweep over runs of parameters in a flat arena. They never meet a layer.
//!
//! The learning rate of a step is the optimizer's own rate times the factors of a [`Schedule`] and of
//! [`ReduceOnPlateau`]; [`Clip`] bounds gradients before the sweep, [`Ema`] averages weights after it.

mod adadelta;
mod adam;
mod adamw;
mod clip;
mod cuda;
mod ema;
mod plateau;
mod rmsprop;
mod rule;
mod schedule;
mod sgd;

pub use adadelta::Adadelta;
pub use adam::Adam;
pub use adamw::AdamW;
pub(crate) use clip::NORM_WORDS;
pub use clip::{Clip, norm};
#[doc(hidden)]
pub use cuda::MlpRule;
pub use ema::Ema;
pub use plateau::{EarlyStopping, EarlyStoppingState, Goal, PlateauState, ReduceOnPlateau, Verdict};
pub use rmsprop::RmsProp;
pub(crate) use rule::RULE_WORDS;
#[doc(hidden)]
pub use rule::Rule;
pub use schedule::Schedule;
pub use sgd::Sgd;

use crate::layer::Fields;
use crate::memory::{Slot, Step, Write};
use crate::{Error, Real, Result};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The rule by which gradients change parameters.
///
/// Elements between parameters (padding) have w = dw = 0 and state 0, and a rule must leave them 0.
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// The tag in checkpoints: `adam`.
    fn kind(&self) -> &'static str;

    /// The hyper-parameters; see [`Layer::save`](crate::layer::Layer::save).
    fn save(&self) -> Fields;

    /// Refuses hyper-parameters outside their domain; asked once, before training.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value), naming the parameter and its domain.
    fn check(&self) -> Result<()>;

    /// The learning rate before any schedule.
    fn learning_rate(&self) -> f64;

    /// Numbers of state kept for each parameter: 0 for plain SGD, 1 with momentum, 2 for Adam.
    fn words(&self) -> usize;

    /// Updates one run of parameters.
    ///
    /// # Errors
    /// Device failures only.
    fn update(&self, s: &Step<'_>, run: &Run<'_>) -> Result<()>;

    /// The same update of one run on slices of host memory, where the rule has that form: the engine may then update weights as
    /// soon as it has their gradients.
    #[doc(hidden)]
    fn rule(&self, _: &Run<'_>) -> Option<Rule> {
        None
    }

    /// The same rule within a kernel that makes whole steps on a GPU, where it has that form.
    #[doc(hidden)]
    fn in_mlp(&self) -> Option<MlpRule> {
        None
    }
}

/// A rule that is chosen when the program runs.
impl Optimizer for Arc<dyn Optimizer> {
    fn kind(&self) -> &'static str {
        (**self).kind()
    }

    fn save(&self) -> Fields {
        (**self).save()
    }

    fn check(&self) -> Result<()> {
        (**self).check()
    }

    fn learning_rate(&self) -> f64 {
        (**self).learning_rate()
    }

    fn words(&self) -> usize {
        (**self).words()
    }

    fn update(&self, s: &Step<'_>, run: &Run<'_>) -> Result<()> {
        (**self).update(s, run)
    }

    fn rule(&self, run: &Run<'_>) -> Option<Rule> {
        (**self).rule(run)
    }

    fn in_mlp(&self) -> Option<MlpRule> {
        (**self).in_mlp()
    }
}

/// A run of neighbouring parameters that are treated alike.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// All parameters; take `range`.
    pub w: Slot,
    /// All gradients; take `range`.
    pub dw: Slot,
    /// All of each word of state; take `range`. At least as many as [`Optimizer::words`].
    pub words: &'a [Slot],
    /// The elements to update.
    pub range: Range<usize>,
    /// The learning rate of this step for this run.
    pub learning_rate: f64,
    /// The factor of this run in that rate. A GPU multiplies it with the rate in its control block, so that a recorded step stays
    /// good when the schedule moves on.
    pub lr_scale: f64,
    /// Factor on every gradient: from clipping by norm.
    pub grad_scale: f64,
    /// On a GPU, whether a further factor on every gradient stands in `Control`, as `state.clip`: there the host does not know
    /// the norm. All of them are divided by `state.loss_scale` as well.
    pub clipped: bool,
    /// Whether weight decay applies.
    pub decay: bool,
    /// Updates done before this one: 0 at the first. A kernel reads `params.update` of `Control`.
    pub step: u64,
}

impl Run<'_> {
    /// Word `i` of state, whole; take [`cut`] of it.
    fn word<'s, T: Real + crate::memory::Element>(&self, s: &'s Step<'_>, i: usize) -> Result<Write<'s, T>> {
        s.write(self.word_slot(i)?)
    }

    fn word_slot(&self, i: usize) -> Result<Slot> {
        let missing =
            || Error::order("optimizer", "words of state").expected(format!("at least {}", i + 1)).got(self.words.len());
        self.words.get(i).copied().ok_or_else(missing)
    }

    /// The weight decay of this run, where the rule's is `rate`.
    fn decay(&self, rate: f64) -> f64 {
        if self.decay { rate } else { 0.0 }
    }
}

/// Elements of one task of a sweep: some 10 µs of work, several times the cost of waking a thread.
const CHUNK: usize = 1 << 15;

/// The elements of a run within a whole arena.
fn cut<'s, T>(all: &'s mut [T], range: &Range<usize>) -> Result<&'s mut [T]> {
    let len = all.len();
    all.get_mut(range.clone()).ok_or_else(|| outside(range, len))
}

/// As [`cut`], for reading.
fn view<'s, T>(all: &'s [T], range: &Range<usize>) -> Result<&'s [T]> {
    all.get(range.clone()).ok_or_else(|| outside(range, all.len()))
}

#[cold]
fn outside(range: &Range<usize>, len: usize) -> Error {
    Error::order("optimizer", "run of parameters outside the arena")
        .expected(format!("within 0..{len}"))
        .got(format!("{range:?}"))
}

/// Refuses a hyper-parameter unless `ok`.
fn demand(ok: bool, rule: &str, name: &str, expected: &str, got: impl fmt::Display) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::value(rule, name).expected(expected).got(got)) }
}

/// A rate: learning rate, weight decay.
fn demand_rate(rule: &str, name: &str, rate: f64) -> Result<()> {
    demand(rate.is_finite() && rate >= 0.0, rule, name, "a finite number, 0 or more", rate)
}

/// A share: momentum, the memory of a running mean.
fn demand_share(rule: &str, name: &str, share: f64) -> Result<()> {
    demand((0.0..1.0).contains(&share), rule, name, "0 or more and below 1", share)
}

/// What is added to a denominator. Below f32's smallest normal number it would vanish, and padding become 0/0.
fn demand_epsilon(rule: &str, eps: f64) -> Result<()> {
    demand(eps.is_finite() && eps >= f64::from(f32::MIN_POSITIVE), rule, "eps", "at least 1.2e-38", eps)
}

#[cfg(test)]
mod testing;
