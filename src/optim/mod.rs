//! Optimizers: one sweep over runs of parameters in a flat arena. They never meet a layer.

use crate::Result;
use crate::layer::Fields;
use crate::memory::{Slot, Step};
use std::fmt;
use std::ops::Range;

/// The rule by which gradients change parameters.
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// The tag in checkpoints: `adam`.
    fn kind(&self) -> &'static str;

    /// The hyper-parameters; see [`Layer::save`](crate::layer::Layer::save).
    fn save(&self) -> Fields;

    /// The learning rate before any schedule.
    fn learning_rate(&self) -> f64;

    /// Numbers of state kept for each parameter: 0 for plain SGD, 1 with momentum, 2 for Adam.
    fn words(&self) -> usize;

    /// Updates one run of parameters.
    ///
    /// # Errors
    /// Device failures only.
    fn update(&self, s: &Step<'_>, run: &Run<'_>) -> Result<()>;
}

/// A run of neighbouring parameters that are treated alike.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// All parameters; take `range`.
    pub w: Slot,
    /// All gradients; take `range`.
    pub dw: Slot,
    /// All of each word of state; take `range`.
    pub words: &'a [Slot],
    /// The elements to update.
    pub range: Range<usize>,
    /// The learning rate of this step for this run.
    pub learning_rate: f64,
    /// Factor on every gradient: from clipping by norm.
    pub grad_scale: f64,
    /// Whether weight decay applies.
    pub decay: bool,
    /// Updates done before this one: 0 at the first.
    pub step: u64,
}
