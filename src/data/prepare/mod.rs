//! What is done to one sample between the file and the network: a list of steps that can be saved with the weights and read back for
//! inference.
//!
//! | family | steps |
//! |---|---|
//! | values | [`missing`](Prepare::missing), [`clip`](Prepare::clip), [`log`](Prepare::log), [`asinh`](Prepare::asinh), [`sqrt`](Prepare::sqrt), [`affine`](Prepare::affine), [`min_max`](Prepare::min_max), [`l2`](Prepare::l2), [`normalize`](Prepare::normalize) |
//! | sizes | [`resize`](Prepare::resize), [`fit`](Prepare::fit), [`pad`](Prepare::pad), [`crop`](Prepare::crop) |
//! | spectra | [`window`](Prepare::window), [`resample`](Prepare::resample), [`continuum`](Prepare::continuum) |
//!
//! Every number comes from the sample itself or from the step: nothing is learned here but what a fitted
//! [`Normalizer`] brings along. The same sample gives the same bits on every machine and for any number of threads.

mod continuum;
mod frame;
mod resize;
mod spectrum;
mod step;
mod stretch;

pub use continuum::{Continuum, Fit};
pub use resize::Interpolation;
pub use spectrum::{Grid, Positions, Resample};

use super::{Missing, Normalizer, Raw, missing};
use crate::{Error, Extent, Result};
use serde::{Deserialize, Serialize};
use spectrum::Window;
use std::cell::Cell;
use std::str::FromStr;
use step::Step;

/// Which values of a sample share their statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Over {
    /// All of them.
    #[default]
    Sample,
    /// Each channel on its own: bands of an image.
    Channel,
}

/// Steps that turn what a file holds into what a network sees, one sample at a time.
///
/// A list of no steps refuses values that are NaN or infinite; [`Prepare::missing`] as the first step says what else shall become of
/// them. Statistics (percentiles, minima, sums) leave out values that are not finite, and such values pass through the steps.
///
/// # Shapes
/// Any extent; [`Prepare::extent`] tells what comes out. Steps on (h, w) treat every slice of a cube and every channel alike.
///
/// # Errors
/// Steps whose numbers make no sense, samples that a step cannot work on (crop of a smaller image), values that are not finite at the
/// end unless [`Missing::Keep`] was asked for.
///
/// # Examples
/// ```
/// use kamacite::data::{Missing, Prepare};
/// use kamacite::Extent;
/// let prepare = Prepare::new().missing(Missing::Zero).clip(0.0, 0.5).min_max(0.0);
/// let mut x = vec![0.0, f32::NAN, 4.0, 2.0, 8.0];
/// let extent = prepare.apply(&mut x, Extent::line(5, 1))?;
/// assert_eq!((extent, &x[..]), (Extent::line(5, 1), &[0.0, 0.0, 1.0, 1.0, 1.0][..]));
/// let saved = serde_json::to_string(&prepare).expect("plain numbers");
/// assert_eq!(serde_json::from_str::<Prepare>(&saved).expect("what was saved"), prepare);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prepare {
    steps: Vec<Step>,
}

/// Memory that steps work in, kept from sample to sample. Without one, [`Prepare::apply`] takes the thread's.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// The sample of the next size.
    next: Vec<f32>,
    narrow: Vec<f32>,
    /// Between the two axes of a resize.
    between: Vec<f32>,
    wide: Vec<f64>,
    more: Vec<f64>,
}

thread_local!(static SCRATCH: Cell<Scratch> = Cell::default());

/// `astronomy`, for [`Prepare::astronomy`], or the steps in JSON, as they are saved with the weights. It is for programs that are told the
/// steps: on a command line, through the C interface.
///
/// # Examples
/// ```
/// use kamacite::data::Prepare;
/// let steps: Prepare = r#"[{"missing": "Zero"}, {"clip": {"low": 0.01, "high": 0.99}}, {"log": {}}, {"min_max": {"epsilon": 1e-8}}]"#.parse()?;
/// assert_eq!((&steps, "astronomy".parse::<Prepare>()?), (&Prepare::astronomy(), Prepare::astronomy()));
/// # Ok::<(), kamacite::Error>(())
/// ```
impl FromStr for Prepare {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "astronomy" {
            return Ok(Self::astronomy());
        }
        serde_json::from_str(text).map_err(|e| {
            let e = Error::value("prepare", format!("no list of steps: {e}")).expected("astronomy, or steps in JSON");
            e.hint(r#"for example [{"missing": "Zero"}, {"resize": {"h": 64, "w": 64, "how": "area"}}, "l2"]"#)
        })
    }
}

impl Prepare {
    /// No steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// The preprocessing of the course's `AstronomyDataset`: missing values become 0; clip to the 1st and 99th percentile;
    /// ln(x − min + 1); (x − min)/(max − min + 10⁻⁸).
    ///
    /// # Source
    /// B12 of the course.
    pub fn astronomy() -> Self {
        Self::new().missing(Missing::Zero).clip(0.01, 0.99).log().min_max(1e-8)
    }

    fn with(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// What becomes of NaN and infinities. [`Missing::Median`] takes the median of the channel of this sample.
    #[must_use]
    pub fn missing(self, policy: Missing) -> Self {
        self.with(Step::Missing(policy))
    }

    /// y = min(max(x, p_low), p_high) with the values at these fractions (0 to 1) of the sorted sample, interpolated linearly between
    /// neighbours as `numpy.percentile` does by default.
    #[must_use]
    pub fn clip(self, low: f64, high: f64) -> Self {
        self.with(Step::Clip { low, high, over: Over::Sample })
    }

    /// y = ln(x − min + 1).
    #[must_use]
    pub fn log(self) -> Self {
        self.with(Step::Log { over: Over::Sample })
    }

    /// y = asinh(x / softening): linear for |x| well below the softening, logarithmic above.
    #[must_use]
    pub fn asinh(self, softening: f32) -> Self {
        self.with(Step::Asinh { softening })
    }

    /// y = sign(x)·(√(1 + |x|/softening) − 1): linear for |x| well below the softening, a square root above.
    #[must_use]
    pub fn sqrt(self, softening: f32) -> Self {
        self.with(Step::Sqrt { softening })
    }

    /// y = factor·x + offset.
    #[must_use]
    pub fn affine(self, factor: f32, offset: f32) -> Self {
        self.with(Step::Affine { factor, offset })
    }

    /// y = (x − min)/(max − min + epsilon). A constant sample becomes 0, with epsilon 0 too.
    #[must_use]
    pub fn min_max(self, epsilon: f32) -> Self {
        self.with(Step::MinMax { epsilon, over: Over::Sample })
    }

    /// y = x/√Σx² over the sample. A sample of zeros stays.
    #[must_use]
    pub fn l2(self) -> Self {
        self.with(Step::L2)
    }

    /// Lets the last step, one of [`clip`](Self::clip), [`log`](Self::log) and [`min_max`](Self::min_max), take its statistics from each
    /// channel on its own. Other steps have none, and stay as they are.
    #[must_use]
    pub fn per_channel(mut self) -> Self {
        if let Some(Step::Clip { over, .. } | Step::Log { over } | Step::MinMax { over, .. }) = self.steps.last_mut() {
            *over = Over::Channel;
        }
        self
    }

    /// A fitted normalisation: the mean and deviation of every pixel, say.
    #[must_use]
    pub fn normalize(self, norm: Normalizer) -> Self {
        self.with(Step::Normalize(norm))
    }

    /// Images of h rows and w columns, whatever their shape was.
    #[must_use]
    pub fn resize(self, h: usize, w: usize, how: Interpolation) -> Self {
        self.with(Step::Resize { h, w, how })
    }

    /// Resizes so that the longer side has `side` pixels and the other one as many as the shape asks for (side·short/long, rounded to
    /// the nearest even number in a tie, at least 1), and fills up to side × side with zeros after the last row or column.
    #[must_use]
    pub fn fit(self, side: usize, how: Interpolation) -> Self {
        self.with(Step::Fit { side, how })
    }

    /// Adds rows and columns of `value` after the last ones, up to h × w.
    #[must_use]
    pub fn pad(self, h: usize, w: usize, value: f32) -> Self {
        self.with(Step::Pad { h, w, value })
    }

    /// Keeps the h × w pixels around the centre; of an odd remainder one more is lost at the end.
    #[must_use]
    pub fn crop(self, h: usize, w: usize) -> Self {
        self.with(Step::Crop { h, w })
    }

    /// Keeps the samples of a spectrum at positions above `above` and up to `to`, which must be exactly `bins`. The last channel holds
    /// the positions, and is left out.
    #[must_use]
    pub fn window(self, positions: Positions, above: f64, to: f64, bins: usize) -> Self {
        self.with(Step::Window(Window { positions, above, to, bins }))
    }

    /// Brings spectra onto a common grid.
    #[must_use]
    pub fn resample(self, resample: Resample) -> Self {
        self.with(Step::Resample(resample))
    }

    /// Takes the continuum out of spectra.
    #[must_use]
    pub fn continuum(self, continuum: Continuum) -> Self {
        self.with(Step::Continuum(continuum))
    }

    /// What becomes of values that are missing.
    pub fn policy(&self) -> Missing {
        match self.steps.first() {
            Some(Step::Missing(policy)) => *policy,
            _ => Missing::Error,
        }
    }

    /// The extent that samples of this extent come out with.
    ///
    /// # Errors
    /// Steps that cannot work on this extent, or whose numbers make no sense; all but the values of a sample is checked here.
    pub fn extent(&self, from: Extent) -> Result<Extent> {
        let named = |e: Error, i: usize| e.at(format!("prepare, step {} ({})", i + 1, self.steps[i].name()));
        let step = |x: Extent, (i, s): (usize, &Step)| s.extent(x).and_then(Extent::check).map_err(|e| named(e, i));
        self.steps.iter().enumerate().try_fold(from.check()?, step)
    }

    /// Whether samples of any size keep it: then a sample can be prepared where it lies, by [`Prepare::apply_in_place`].
    pub fn keeps_extent(&self) -> bool {
        self.steps.iter().all(|s| !s.changes_extent())
    }

    /// Prepares a sample; its new extent.
    ///
    /// # Errors
    /// As [`Prepare::extent`]; what the steps refuse.
    pub fn apply(&self, x: &mut Vec<f32>, extent: Extent) -> Result<Extent> {
        with_scratch(|scratch| self.apply_with(x, extent, scratch))
    }

    /// As [`Prepare::apply`], in this memory.
    ///
    /// # Errors
    /// As [`Prepare::apply`].
    pub fn apply_with(&self, x: &mut Vec<f32>, extent: Extent, scratch: &mut Scratch) -> Result<Extent> {
        self.extent(extent)?;
        check_len(x.len(), extent)?;
        self.begin(x, extent)?;
        let mut at = extent;
        for (i, step) in self.steps.iter().enumerate() {
            let named = |e: Error| e.at(format!("prepare, step {} ({})", i + 1, step.name()));
            if !step.changes_extent() {
                step.in_place(x, at, scratch).map_err(named)?;
                continue;
            }
            let to = step.extent(at)?;
            let mut y = std::mem::take(&mut scratch.next);
            y.clear();
            y.resize(to.len(), 0.0);
            let changed = step.change(x, at, &mut y, to, scratch).map_err(named);
            std::mem::swap(x, &mut y);
            scratch.next = y;
            changed?;
            at = to;
        }
        self.end(x, at)?;
        Ok(at)
    }

    /// Prepares a sample where it lies, if all steps [keep its extent](Prepare::keeps_extent).
    ///
    /// # Errors
    /// As [`Prepare::apply`], and for steps that change the extent.
    pub fn apply_in_place(&self, x: &mut [f32], extent: Extent) -> Result<()> {
        self.in_place_from(0, x, extent)
    }

    /// As [`Prepare::apply_in_place`], for a sample whose reader has done what the first step would.
    #[cfg(feature = "fits")]
    pub(super) fn apply_after_first(&self, x: &mut [f32], extent: Extent) -> Result<()> {
        if self.steps.len() == 1 { Ok(()) } else { self.in_place_from(1, x, extent) }
    }

    /// Rows of a source with these steps; `None` for steps that must see a whole sample.
    pub(super) fn raw(&self, raw: Raw) -> Option<Raw> {
        self.steps.iter().enumerate().try_fold(raw, |raw, (i, step)| match step {
            Step::Missing(policy) => (i == 0).then(|| raw.missing(*policy)),
            Step::Affine { factor, offset } => raw.affine(*factor, *offset),
            Step::Normalize(norm) => norm.affine().and_then(|(a, b)| raw.normalized(a, b)),
            _ => None,
        })
    }

    fn in_place_from(&self, first: usize, x: &mut [f32], extent: Extent) -> Result<()> {
        if let Some(step) = self.steps.iter().find(|s| s.changes_extent()) {
            return Err(Error::unsupported("prepare", format!("the step {} changes the extent", step.name())).hint("use apply"));
        }
        self.extent(extent)?;
        check_len(x.len(), extent)?;
        self.begin(x, extent)?;
        with_scratch(|scratch| {
            for (i, step) in self.steps.iter().enumerate().skip(first) {
                let named = |e: Error| e.at(format!("prepare, step {} ({})", i + 1, step.name()));
                step.in_place(x, extent, scratch).map_err(named)?;
            }
            self.end(x, extent)
        })
    }

    fn begin(&self, x: &[f32], extent: Extent) -> Result<()> {
        match self.steps.first() {
            Some(Step::Missing(_)) => Ok(()),
            Some(Step::Normalize(norm)) if norm.treats_missing() => Ok(()),
            _ => stretch::refuse_missing(x, extent),
        }
    }

    fn end(&self, x: &[f32], extent: Extent) -> Result<()> {
        match self.policy() {
            Missing::Keep => Ok(()),
            _ => stretch::refuse_missing(x, extent).map_err(|e| e.at("prepared sample")),
        }
    }
}

/// The sample has as many values as its extent says.
fn check_len(len: usize, extent: Extent) -> Result<()> {
    if len == extent.len() {
        return Ok(());
    }
    Err(Error::shape("prepare", "number of values").expected(format!("{} ({extent})", extent.len())).got(len))
}

/// This thread's memory, taken out while in use.
fn with_scratch<R>(f: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SCRATCH.take();
    let r = f(&mut scratch);
    SCRATCH.set(scratch);
    r
}

impl Over {
    /// The number of groups of values with statistics of their own; value i belongs to group i mod groups.
    fn groups(self, extent: Extent) -> usize {
        match self {
            Self::Sample => 1,
            Self::Channel => extent.c,
        }
    }
}

#[cfg(test)]
mod tests;
