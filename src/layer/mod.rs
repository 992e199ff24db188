//! Layers: plain data that a user writes, planned into passes that run.
//!
//! A new layer is one file here, one kernel file of the same stem, one test file of the same stem, and its line in
//! [`Registry::standard`](crate::network::Registry::standard).

mod activation;
mod bayes_dense;
mod conv;
mod conv_transpose;
mod dense;
mod dropout;
mod lrn;
mod merge;
mod norm;
mod pad;
mod pool;
mod reshape;
mod upsample;

pub use activation::{Activate, PRelu};
pub use bayes_dense::BayesDense;
pub use conv::Conv;
pub use conv_transpose::ConvTranspose;
pub use dense::Dense;
pub use dropout::Dropout;
pub use lrn::Lrn;
pub use merge::Merge;
pub use norm::Norm;
pub use pad::{Crop, ZeroPad};
pub use pool::Pool;
pub use reshape::{Flatten, Reshape};
pub use upsample::Upsample;

use crate::device::Cuda;
use crate::loss::{Logits, LossIo};
use crate::memory::{Io, Planner, Slot, Step};
use crate::op::bands::Statistics;
use crate::op::dense_micro::SmallDense;
use crate::op::epilogue::{Constants, Epilogue};
use crate::op::pool::Geometry;
use crate::{Error, Extent, Result};
use std::fmt;
use std::sync::Arc;

/// A layer's data as it is saved in a checkpoint.
pub type Fields = serde_json::Value;

/// The saved form of a layer or loss that derives `Serialize`.
pub fn fields<T: serde::Serialize>(data: &T) -> Fields {
    serde_json::to_value(data).unwrap_or(Fields::Null)
}

/// What a user writes: data only. Knows no device and no neighbour.
pub trait Layer: fmt::Debug + Send + Sync {
    /// The tag in checkpoints and messages: `conv`.
    fn kind(&self) -> &'static str;

    /// The data, to be read back by the constructor registered under [`Layer::kind`]; [`fields`] does it for serde types.
    fn save(&self) -> Fields;

    /// Checks the input extents, asks for parameters and memory, and makes the pass.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) and whatever else makes the layer impossible here; a step never
    /// fails for such a reason.
    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned>;

    /// The same layer without its activation, which is what a score is the gradient of; `None` where it has none.
    fn linear(&self) -> Option<Arc<dyn Layer>> {
        None
    }
}

/// What runs: geometry and slots, fixed for one plan. No default methods, so both directions exist.
pub trait Pass: fmt::Debug + Send {
    /// y from x.
    ///
    /// # Errors
    /// Device failures only.
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()>;

    /// dx and the gradients of the parameters from dy (and x, y, saved slots as declared in [`Planned`]).
    ///
    /// # Errors
    /// Device failures only.
    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()>;
}

/// The result of planning a layer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Planned {
    /// The output's extent.
    pub y: Extent,
    /// The machine.
    pub pass: Box<dyn Pass>,
    /// Where the output lies.
    pub place: Place,
    /// Whether the backward pass reads x.
    pub reads_x: bool,
    /// Whether the backward pass reads y.
    pub reads_y: bool,
    /// Multiply-adds of one sample's forward pass: what reports and profiles count. Both dx and dw take as many.
    pub products: u64,
    /// Where the forward pass leaves what the layer adds to the mean loss: one number of the master type.
    pub penalty: Option<Slot>,
    /// A small dense layer on the CPU, and where its pass lies.
    small: Option<(SmallDense, (usize, usize))>,
    /// What may be done with its results on their way to memory, and where its pass lies.
    head: Option<(Arc<dyn Head>, (usize, usize))>,
    /// What the layer is to the one before it, and where its pass lies.
    part: Option<(Part, (usize, usize))>,
    /// What evaluates the loss of its results, and where its pass lies.
    ending: Option<(Arc<dyn Ending>, (usize, usize))>,
    /// What it wants to know of its input, and where its pass lies.
    statistics: Option<(Arc<Statistics>, (usize, usize))>,
}

/// A layer that the one before can do on the way of its results to memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// With statistics that are constants.
    Norm(Constants),
    Relu,
    MaxPool(Geometry),
}

/// A pass that can do what follows it, before its results leave the cache.
pub(crate) trait Head: fmt::Debug + Send + Sync {
    /// Whether it can do that.
    fn fits(&self, epilogue: &Epilogue) -> bool;

    /// Does it from now on. Called once, before the plan gets its memory, with an epilogue that fits.
    fn take(&self, epilogue: Epilogue, p: &mut Planner<'_>) -> Result<()>;

    /// From now on the one pass that reads its results takes their mean from them, channel by channel: what is added to all results of a
    /// channel has no gradient.
    fn centred(&self) {}

    /// Finds statistics of its results from now on, if it can. Called at most once, before the plan gets its memory; `p` plans from its
    /// forward pass to the one that wants to know.
    fn measure(&self, of: &Arc<Statistics>, p: &mut Planner<'_>) -> Result<()>;
}

/// A pass on a GPU that can evaluate the loss of its results in the same launch.
pub(crate) trait Ending: fmt::Debug + Send + Sync {
    /// Whether it can do that for this loss.
    fn fits(&self, loss: &Logits) -> bool;

    /// Asks for memory, at the time of the losses. Called once, with a loss that fits.
    fn take(&self, p: &mut Planner<'_>) -> Result<()>;

    /// The forward pass, the loss with its gradient, and the sum of the losses over the rows in `Control`, which `first` begins anew.
    fn run(&self, s: &Step<'_>, cuda: &Cuda, io: &Io<'_>, loss: (&LossIo, &Logits), factor: f64, first: bool) -> Result<()>;
}

/// Where a layer's output lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In memory of its own.
    Fresh,
    /// The same bytes as the first input, unchanged: a reshape. Always granted. The backward pass must copy or add dy to
    /// dx where they are different slots ([`op::copy_or_add`](crate::op::elementwise::copy_or_add)), and do nothing where they are the same.
    View,
    /// May overwrite its first input, where nobody else needs it; the pass must handle both cases (`io.y == io.x[0]`,
    /// and in the backward pass `io.dx[0]` being `io.dy`). Not together with `reads_x`.
    InPlace,
}

impl Planned {
    /// A fresh output whose backward pass reads neither x nor y.
    pub fn new(y: Extent, pass: impl Pass + 'static) -> Self {
        let (pass, place, reads_x, reads_y) = (Box::new(pass), Place::Fresh, false, false);
        let (small, head, part, ending, statistics) = (None, None, None, None, None);
        Self { y, pass, place, reads_x, reads_y, products: 0, penalty: None, small, head, part, ending, statistics }
    }

    /// The backward pass reads x.
    #[must_use]
    pub fn reads_x(mut self) -> Self {
        self.reads_x = true;
        self
    }

    /// The backward pass reads y.
    #[must_use]
    pub fn reads_y(mut self) -> Self {
        self.reads_y = true;
        self
    }

    /// Counts the multiply-adds of one sample's forward pass.
    #[must_use]
    pub fn products(mut self, products: usize) -> Self {
        self.products = products as u64;
        self
    }

    /// The layer adds a penalty to the mean loss, as a prior on its weights does: every forward pass leaves it in this slot, a scratch
    /// slot of one number of [`Planner::master`], and the backward pass adds [`Step::penalty`] times its gradient to those of the
    /// parameters.
    #[must_use]
    pub fn penalty(mut self, slot: Slot) -> Self {
        self.penalty = Some(slot);
        self
    }

    /// The pass is no more than this layer: the engine may do it itself, with less ceremony.
    pub(crate) fn small(mut self, small: Option<SmallDense>) -> Self {
        self.small = small.map(|small| (small, address(&*self.pass)));
        self
    }

    /// The pass can do what follows it.
    pub(crate) fn head(mut self, head: Arc<dyn Head>) -> Self {
        self.head = Some((head, address(&*self.pass)));
        self
    }

    /// The pass is no more than this.
    pub(crate) fn part(mut self, part: Part) -> Self {
        self.part = Some((part, address(&*self.pass)));
        self
    }

    /// The pass can evaluate the loss of its results.
    pub(crate) fn ending(mut self, ending: Option<Arc<dyn Ending>>) -> Self {
        self.ending = ending.map(|ending| (ending, address(&*self.pass)));
        self
    }

    /// The pass begins with statistics of its input, which the layer before may find.
    pub(crate) fn statistics(mut self, statistics: Option<Arc<Statistics>>) -> Self {
        self.statistics = statistics.map(|statistics| (statistics, address(&*self.pass)));
        self
    }

    /// What it wants to know of its input. Not if another pass wraps its own.
    pub(crate) fn as_statistics(&self) -> Option<&Arc<Statistics>> {
        self.statistics.as_ref().filter(|(_, pass)| *pass == address(&*self.pass)).map(|(statistics, _)| statistics)
    }

    /// What evaluates the loss of its results. Not if another pass wraps its own.
    pub(crate) fn as_ending(&self) -> Option<&Arc<dyn Ending>> {
        self.ending.as_ref().filter(|(_, pass)| *pass == address(&*self.pass)).map(|(ending, _)| ending)
    }

    /// What it can do of that which follows. Not if another pass wraps its own.
    pub(crate) fn as_head(&self) -> Option<&Arc<dyn Head>> {
        self.head.as_ref().filter(|(_, pass)| *pass == address(&*self.pass)).map(|(head, _)| head)
    }

    /// What it is to the layer before. Not if another pass wraps its own.
    pub(crate) fn as_part(&self) -> Option<Part> {
        self.part.filter(|(_, pass)| *pass == address(&*self.pass)).map(|(part, _)| part)
    }

    /// The pass, and what the engine may do in its place. A layer that wraps another's pass in one of its own has that one run.
    pub(crate) fn into_pass(self) -> (Box<dyn Pass>, Option<SmallDense>) {
        let small = self.small.filter(|(_, pass)| *pass == address(&*self.pass));
        (self.pass, small.map(|(small, _)| small))
    }

    /// Sets where the output lies.
    #[must_use]
    pub fn place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }
}

/// Address and size: what tells a pass from the one that wraps it.
fn address(pass: &dyn Pass) -> (usize, usize) {
    (std::ptr::from_ref(pass).cast::<()>() as usize, size_of_val(pass))
}

/// The single input of a layer that takes one.
///
/// # Errors
/// [`ErrorKind::Plan`](crate::ErrorKind::Plan) for any other number of inputs.
pub fn one(x: &[Extent]) -> Result<Extent> {
    match x {
        [x] => Ok(*x),
        _ => Err(Error::plan("", "the layer takes one input").expected(1).got(x.len())),
    }
}
