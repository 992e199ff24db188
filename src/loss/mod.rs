//! Losses: value and gradient in one sweep.

mod cross_entropy;
mod cuda;
mod direct;
mod gaussian_nll;
mod huber;
mod logistic_bce;
mod mae;
mod mse;
mod nt_xent;
mod softmax_cross_entropy;
mod sweep;
#[doc(hidden)]
pub use cuda::MlpLoss;
#[doc(hidden)]
pub use direct::Direct;
pub(crate) use direct::{Marks, Sides};
pub(crate) use sweep::find_label;

pub use cross_entropy::CrossEntropy;
pub use gaussian_nll::GaussianNll;
pub use huber::Huber;
pub use logistic_bce::LogisticBce;
pub use mae::Mae;
pub use mse::Mse;
pub use nt_xent::NtXent;
pub use softmax_cross_entropy::SoftmaxCrossEntropy;

use crate::device::Ptr;
use crate::layer::Fields;
use crate::memory::{Planner, Slot, Step};
use crate::{Extent, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The target that a data set offers for one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Target {
    /// Numbers: one-hot or soft classes, regression values.
    Values(Extent),
    /// One class index below `classes` for each of `positions` positions.
    Index {
        /// Number of classes.
        classes: usize,
        /// Labels per sample: 1, or the area of a map.
        positions: usize,
    },
    /// Nothing: the loss is a function of the outputs alone. What a data set without targets offers.
    None,
}

impl Target {
    /// Elements of one sample's target.
    pub const fn len(&self) -> usize {
        match self {
            Self::Values(e) => e.len(),
            Self::Index { positions, .. } => *positions,
            Self::None => 0,
        }
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a user writes: data only, as for a [`Layer`](crate::layer::Layer).
pub trait Loss: fmt::Debug + Send + Sync {
    /// The tag in checkpoints and messages: `mse`.
    fn kind(&self) -> &'static str;

    /// The data; see [`Layer::save`](crate::layer::Layer::save).
    fn save(&self) -> Fields;

    /// The target this loss would like for an output `y`: what a data set of plain arrays is checked against.
    fn target(&self, y: Extent) -> Target;

    /// Checks that this output and this target fit together, asks for memory, and makes the pass.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when they do not.
    fn plan(&self, y: Extent, target: Target, p: &mut Planner<'_>) -> Result<Box<dyn LossPass>>;
}

/// A loss that is chosen when the program runs.
impl Loss for Arc<dyn Loss> {
    fn kind(&self) -> &'static str {
        (**self).kind()
    }

    fn save(&self) -> Fields {
        (**self).save()
    }

    fn target(&self, y: Extent) -> Target {
        (**self).target(y)
    }

    fn plan(&self, y: Extent, target: Target, p: &mut Planner<'_>) -> Result<Box<dyn LossPass>> {
        (**self).plan(y, target, p)
    }
}

/// A planned loss.
pub trait LossPass: fmt::Debug + Send {
    /// Writes ℓᵢ (already weighted) of every valid row to `io.value`, and where `io.dy` is given scale·∂ℓᵢ/∂y to it, in one sweep.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for targets outside their domain, device failures.
    fn value_and_grad(&self, s: &Step<'_>, io: &LossIo) -> Result<()>;

    /// Turns the output into a prediction, in place: softmax of logits, logistic of logits, nothing for a regression.
    ///
    /// # Errors
    /// Device failures only.
    fn predict(&self, s: &Step<'_>, y: Slot) -> Result<()>;

    /// The same loss without a step, where it has that form.
    #[doc(hidden)]
    fn direct(&self) -> Option<Direct> {
        None
    }

    /// The same loss within a kernel that makes whole steps on a GPU, where it has that form.
    #[doc(hidden)]
    fn in_mlp(&self) -> Option<MlpLoss> {
        None
    }

    /// What another kernel has to know to evaluate it, where it is a softmax with cross entropy of one position.
    #[doc(hidden)]
    fn logits(&self) -> Option<Logits> {
        None
    }
}

/// Softmax and cross entropy of one position, as `ClassTargets` in `loss.cuh`.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Logits {
    pub(crate) classes: usize,
    /// Targets are indices.
    pub(crate) indexed: bool,
    /// Of the classes, or null.
    pub(crate) weights: Ptr,
    pub(crate) keep: f32,
    pub(crate) spread: f32,
}

/// The slots of one loss in one plan. All have the plan's element type, but an index target, which is u32.
#[derive(Clone, Copy, Debug)]
pub struct LossIo {
    /// The network's output.
    pub y: Slot,
    /// The target, of the kind the loss was planned for.
    pub target: Slot,
    /// One weight per row.
    pub weight: Slot,
    /// The gradient, unless only the value is wanted. The loss is the first writer.
    pub dy: Option<Slot>,
    /// One value per row.
    pub value: Slot,
    /// Factor on the gradient: the loss's weight over the number of rows in the step (of all accumulated batches).
    pub scale: f64,
}
