//! Who watches a training run: nothing, lines, a progress bar, files, plots.

mod files;
mod lines;
#[cfg(feature = "plot")]
mod plot;
#[cfg(feature = "progress")]
mod progress;
mod tee;

#[cfg(feature = "plot")]
pub(crate) use files::replace;
pub use files::{CsvLog, JsonLines};
pub use lines::Lines;
/// Without the feature `progress` there is no bar: plain lines.
#[cfg(not(feature = "progress"))]
pub use lines::Lines as Progress;
#[cfg(feature = "plot")]
pub use plot::Plot;
#[cfg(feature = "progress")]
pub use progress::Progress;
pub use tee::Tee;

use crate::Result;
use crate::device::Device;
use crate::train::{Evaluation, Record};
use std::path::Path;

/// What a run begins with.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// Epochs done before.
    pub epoch: u64,
    /// Epochs to do in all.
    pub epochs: u64,
    /// Updates in each.
    pub steps_per_epoch: u64,
    /// Training samples.
    pub samples: usize,
    /// Rows of a batch.
    pub batch: usize,
    /// Where it computes.
    pub device: &'a Device,
    /// The epochs done before.
    pub history: &'a [Record],
}

/// What a step did.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Epochs done before the present one.
    pub epoch: u64,
    /// Samples of the present epoch that are done.
    pub done: usize,
    /// Samples of an epoch.
    pub samples: usize,
    /// Updates done since the run began.
    pub step: u64,
    /// Mean loss of the step's samples, NaN where all were left out; on a GPU of the last step that was looked at, a fraction of a second ago.
    pub loss: f64,
    /// The learning rate of the step.
    pub learning_rate: f64,
}

/// What an epoch did.
#[derive(Clone, Copy, Debug)]
pub struct Epoch<'a> {
    /// Its line of the history.
    pub record: &'a Record,
    /// Epochs to do in all.
    pub epochs: u64,
    /// The validation after it, if there was one.
    pub evaluation: Option<&'a Evaluation>,
    /// Whether it was the best so far.
    pub best: bool,
    /// Training samples per second.
    pub rate: f64,
    /// Seconds of training, without validation.
    pub seconds: f64,
    /// Seconds of these that steps waited for data still being read.
    pub waited: f64,
    /// What could not be read so far and was left out, one sentence for each file.
    pub skipped: &'a [String],
}

/// What a run ends with.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// All epochs since the run began.
    pub history: &'a [Record],
    /// The last validation.
    pub evaluation: Option<&'a Evaluation>,
    /// Whether it was stopped before its end, by a handle or a monitor.
    pub stopped: bool,
    /// The checkpoint it wrote.
    pub checkpoint: Option<&'a Path>,
    /// Seconds it took.
    pub seconds: f64,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Save and return.
    Stop,
}

/// Told of what happens in [`Trainer::fit`](crate::Trainer::fit).
pub trait Monitor {
    /// Before the first step.
    ///
    /// # Errors
    /// Files that cannot be written end the run.
    fn start(&mut self, start: &Start<'_>) -> Result<()>;

    /// After each step. Called often: must be cheap and allocate nothing.
    ///
    /// # Errors
    /// As [`Monitor::start`].
    fn batch(&mut self, batch: &Batch) -> Result<()>;

    /// After each epoch.
    ///
    /// # Errors
    /// As [`Monitor::start`].
    fn epoch(&mut self, epoch: &Epoch<'_>) -> Result<Control>;

    /// After the last step.
    ///
    /// # Errors
    /// As [`Monitor::start`].
    fn end(&mut self, end: &End<'_>) -> Result<()>;
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn start(&mut self, _: &Start<'_>) -> Result<()> {
        Ok(())
    }
    fn batch(&mut self, _: &Batch) -> Result<()> {
        Ok(())
    }
    fn epoch(&mut self, _: &Epoch<'_>) -> Result<Control> {
        Ok(Control::Continue)
    }
    fn end(&mut self, _: &End<'_>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod testing;
