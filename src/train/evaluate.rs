//! Evaluation and prediction over whole data sets.

use super::ahead::{After, Load};
use super::{Feed, Trainer, plan_of};
use crate::data::Dataset;
use crate::loss::Target;
use crate::memory::{Fetched, Mode, Slot};
use crate::metrics::{Confusion, argmax};
use crate::network::Model;
use crate::{DType, Error, ErrorKind, Real, Result, real};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// What an evaluation found. Classes are judged at the first output that has class targets; with several positions
/// (maps), each counts as one sample.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// Samples seen; those that could not be read and were left out are none of them.
    pub samples: usize,
    /// Mean loss: Σ factor·Σᵢ wᵢℓᵢ / samples.
    pub loss: f64,
    /// Mean of each loss, without its factor.
    pub losses: Vec<f64>,
    /// Share of samples whose class was found.
    pub accuracy: Option<f64>,
    /// True and predicted classes, with the names that the data set gives them.
    pub confusion: Option<Confusion>,
    /// Root mean square error of the first output with numbers for targets.
    pub rmse: Option<f64>,
    /// Coefficient of determination of that output.
    pub r2: Option<f64>,
}

/// Sums for the regression scores: errors, and the truth about a running mean (Welford).
#[derive(Default)]
struct Squares {
    n: f64,
    errors: f64,
    mean: f64,
    spread: f64,
}

impl Squares {
    fn add(&mut self, y: f64, t: f64) {
        self.n += 1.0;
        self.errors += (y - t) * (y - t);
        let d = t - self.mean;
        self.mean += d / self.n;
        self.spread += d * (t - self.mean);
    }
}

impl Model {
    /// Evaluates the attached losses, and predictions, over a data set in batches of `batch`.
    ///
    /// # Errors
    /// Data that do not fit the network; what the data set may meet.
    pub fn evaluate(&mut self, data: impl Into<Arc<dyn Dataset>>, batch: usize) -> Result<Evaluation> {
        let mut feed = Feed::new(data.into(), self.network(), self.losses.len(), false, "evaluation data")?;
        feed.ready(self.device(), batch, Load::default(), After::End)?;
        evaluate(self, &mut feed, batch)
    }

    /// The predictions of the first output for every sample of a data set, row after row, in batches of `batch`. With
    /// [`Mode::MonteCarlo`] each call draws other dropout masks. Samples that could not be read and were left out have NaN for a prediction.
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn predict_data(&mut self, data: impl Into<Arc<dyn Dataset>>, batch: usize, mode: Mode) -> Result<Vec<f32>> {
        let mut feed = Feed::new(data.into(), self.network(), self.losses.len(), false, "data")?;
        let plan = plan_of(self, &feed, mode, batch.min(feed.len()).max(1))?;
        feed.ready(self.device(), batch, Load::default(), After::End)?;
        let mut all = Vec::new();
        for_batches(self, &mut feed, plan, (batch, 1), &mut Predicted::run, &mut |batch: Predicted| batch.add_to(&mut all))?;
        Ok(all)
    }
}

impl Trainer {
    /// Evaluates over the validation data, with averaged weights where an average is kept.
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn validate(&mut self) -> Result<Option<Evaluation>> {
        let Some(feed) = &mut self.valid else { return Ok(None) };
        let averaged = self.rules.ema.is_some() && self.model.updates > 0;
        if averaged {
            self.model.swap_average()?;
        }
        let evaluation = evaluate(&mut self.model, feed, self.rules.batch);
        if averaged {
            self.model.swap_average()?;
        }
        evaluation.map(Some)
    }
}

/// What becomes of the results of batches, one after another in their order.
struct Scores {
    /// Factors of the losses.
    factors: Vec<f64>,
    /// The target of classes that is judged: which, how many, and how many labels a sample has.
    classes: Option<(usize, usize, usize)>,
    confusion: Option<Confusion>,
    sums: Vec<f64>,
    total: f64,
    squares: Squares,
    seen: usize,
}

/// A batch that is being computed.
struct Batch {
    /// Losses, penalties, then outputs and targets as the places below say.
    results: Fetched,
    /// The types of activations, and of losses.
    dtypes: (DType, DType),
    penalties: usize,
    /// Values of a sample and the place of its predictions, where classes are judged.
    classes: Option<(usize, usize)>,
    /// The place of predicted numbers, which true ones follow.
    numbers: Option<usize>,
    /// Whether a row counts, and the labels of those that do.
    counts: Vec<bool>,
    labels: Vec<u32>,
}

impl Batch {
    /// Runs the losses and predictions of the step that has begun, and has the results brought.
    fn run(
        model: &mut Model,
        feed: &Feed,
        scores: (Option<(usize, usize, usize)>, Option<usize>),
        (from, rows): (usize, usize),
    ) -> Result<Self> {
        let counts: Vec<bool> = (0..rows).map(|row| !feed.is_skipped(from, row)).collect();
        model.run_losses(1.0)?;
        model.run_predict()?;
        let (planned, s) = model.staging()?;
        let mut slots: Vec<Slot> = planned.losses.iter().map(|l| l.value).chain(planned.penalties.iter().copied()).collect();
        let mut place = |some: &[Slot]| {
            slots.extend_from_slice(some);
            slots.len() - some.len()
        };
        let (mut classes, mut labels) = (None, Vec::new());
        if let Some((k, n, positions)) = scores.0 {
            let port = planned.outputs[planned.losses[k].output];
            if port.extent.c == n {
                classes = Some((port.extent.len(), place(&[port.y])));
                labels.resize(rows * positions, 0);
                for (row, labels) in labels.chunks_exact_mut(positions).enumerate().filter(|(row, _)| counts[*row]) {
                    feed.classes(from, row, k, labels)?;
                }
            }
        }
        let numbers = scores.1.map(|k| {
            let loss = &planned.losses[k];
            place(&[planned.outputs[loss.output].y, loss.used().target])
        });
        let (dtypes, penalties) = ((s.dtype().host(), s.master()), planned.penalties.len());
        Ok(Self { results: s.fetch(&slots)?, dtypes, penalties, classes, numbers, counts, labels })
    }
}

impl Scores {
    /// Adds a batch whose results have come, or waits for them.
    fn add(&mut self, batch: &Batch) -> Result<()> {
        let (results, rows) = (&batch.results, batch.counts.len());
        let used = batch.counts.iter().filter(|counts| **counts).count();
        self.seen += used;
        let sum = |k: usize| real!(batch.dtypes.1, T => results.read::<T, _>(k, |l| l.iter().map(|x| x.to_f64()).sum::<f64>()));
        let losses = (0..self.factors.len()).map(sum).collect::<Result<Vec<_>>>()?;
        let total = losses.iter().zip(&self.factors).fold(0.0, |total, (l, factor)| total + factor * l);
        let penalties = losses.len()..losses.len() + batch.penalties;
        self.total += penalties.map(sum).try_fold(total, |total, p| p.map(|p| total + used as f64 * p))?;
        self.sums.iter_mut().zip(&losses).for_each(|(sum, l)| *sum += l);
        let counted = |row: &usize| batch.counts[*row];
        real!(batch.dtypes.0, T => {
            if let (Some((_, classes, positions)), Some((len, k)), Some(confusion)) = (self.classes, batch.classes, &mut self.confusion) {
                results.read::<T, _>(k, |y| -> Result<()> {
                    for row in (0..rows).filter(counted) {
                        let labels = &batch.labels[row * positions..][..positions];
                        for (y, &truth) in y[row * len..].chunks_exact(classes).zip(labels) {
                            confusion.count(argmax(y)? as u32, truth)?;
                        }
                    }
                    Ok(())
                })??;
            }
            if let Some(k) = batch.numbers {
                results.read::<T, _>(k, |y| {
                    results.read::<T, _>(k + 1, |t| {
                        let len = y.len() / rows;
                        if y.len() != t.len() || len == 0 {
                            return;
                        }
                        for row in (0..rows).filter(counted) {
                            let pairs = y[row * len..][..len].iter().zip(&t[row * len..]);
                            pairs.for_each(|(y, t)| self.squares.add(y.to_f64(), t.to_f64()));
                        }
                    })
                })??;
            }
        });
        Ok(())
    }
}

/// The predictions of a batch that is being computed.
pub(super) struct Predicted {
    y: Fetched,
    dtype: DType,
    skipped: Vec<bool>,
}

impl Predicted {
    /// Predicts in the step that has begun, and has the first output brought.
    pub fn run(model: &mut Model, feed: &Feed, from: usize, rows: usize) -> Result<Self> {
        model.run_predict()?;
        let (planned, s) = model.staging()?;
        let port = planned.outputs.first().ok_or_else(|| Error::order("model", "no output to predict"))?;
        let skipped = (0..rows).map(|row| feed.is_skipped(from, row)).collect();
        Ok(Self { y: s.fetch(&[port.y])?, dtype: s.dtype().host(), skipped })
    }

    /// Puts the predictions behind those of the batches before, NaN for rows that count for nothing: zeros went in.
    pub fn add_to(&self, all: &mut Vec<f32>) -> Result<()> {
        let before = all.len();
        real!(self.dtype, T => self.y.read::<T, _>(0, |y| all.extend(y.iter().map(|y| y.to_f64() as f32))))?;
        let len = (all.len() - before) / self.skipped.len().max(1);
        for (y, _) in all[before..].chunks_exact_mut(len.max(1)).zip(&self.skipped).filter(|(_, skipped)| **skipped) {
            y.fill(f32::NAN);
        }
        Ok(())
    }
}

fn evaluate(model: &mut Model, feed: &mut Feed, batch: usize) -> Result<Evaluation> {
    let plan = plan_of(model, feed, Mode::Infer, batch.min(feed.len()).max(1))?;
    feed.check_targets(model.planned(plan))?;
    let targets = feed.data.targets().to_vec();
    let classes = targets.iter().enumerate().find_map(|(k, t)| match t {
        Target::Index { classes, positions } => Some((k, *classes, *positions)),
        Target::Values(_) | Target::None => None,
    });
    let numbers = targets.iter().position(|t| matches!(t, Target::Values(_)));
    let factors: Vec<f64> = model.planned(plan).losses.iter().map(|l| l.factor).collect();
    let confusion = classes.map(|(_, c, _)| named(c, feed.data.class_names())).transpose()?;
    let sums = vec![0.0; factors.len()];
    let mut scores = Scores { factors, classes, confusion, sums, total: 0.0, squares: Squares::default(), seen: 0 };
    let run =
        &mut |model: &mut Model, feed: &Feed, from: usize, rows: usize| Batch::run(model, feed, (classes, numbers), (from, rows));
    for_batches(model, feed, plan, (batch, 1), run, &mut |batch| scores.add(&batch))?;
    let Scores { confusion, sums, total, squares, seen, .. } = scores;
    if seen == 0 {
        return Err(feed.nothing_read("evaluation"));
    }
    let n = seen as f64;
    let confusion = confusion.filter(|c| c.total() > 0);
    let scored = squares.n > 0.0;
    Ok(Evaluation {
        samples: seen,
        loss: total / n,
        losses: sums.iter().map(|s| s / n).collect(),
        accuracy: confusion.as_ref().and_then(Confusion::accuracy),
        confusion,
        rmse: scored.then(|| (squares.errors / squares.n).sqrt()),
        r2: (scored && squares.spread > 0.0).then(|| 1.0 - squares.errors / squares.spread),
    })
}

/// Batches that a GPU has been given and whose results have not been looked at: while it computes one, the next is read and sent, and the
/// results of the one before come.
const IN_FLIGHT: usize = 3;

#[cfg(not(test))]
fn in_flight() -> usize {
    IN_FLIGHT
}
#[cfg(test)]
use tests::in_flight;

/// Stages batch after batch, each so many times; `run` computes one of so many rows from a sample on, `take` gets what that gave, in the
/// same order.
pub(super) fn for_batches<R>(
    model: &mut Model,
    feed: &mut Feed,
    plan: usize,
    (batch, times): (usize, usize),
    run: &mut dyn FnMut(&mut Model, &Feed, usize, usize) -> Result<R>,
    take: &mut dyn FnMut(R) -> Result<()>,
) -> Result<()> {
    let (n, batch) = (feed.len(), batch.max(1));
    let most = if model.device().is_cuda() { in_flight() } else { 0 };
    let mut flying: VecDeque<(Range<usize>, R)> = VecDeque::with_capacity(most + 1);
    let named = |samples: Range<usize>| move |e: Error| e.at(format!("samples {} to {}", samples.start, samples.end - 1));
    let mut land = |flying: &mut VecDeque<(Range<usize>, R)>| match flying.pop_front() {
        Some((samples, results)) => take(results).map_err(named(samples)),
        None => Ok(()),
    };
    for from in (0..n).step_by(batch).flat_map(|from| std::iter::repeat_n(from, times)) {
        let to = n.min(from + batch);
        let done = forward(model, feed, plan, from..to).and_then(|()| run(model, feed, from, to - from));
        let done = done.map_err(|e| match flying.front() {
            // A device tells of its failures late: any of these it may have been.
            Some((first, _)) if e.kind() == ErrorKind::Device => named(first.start..to)(e),
            _ => e,
        });
        flying.push_back((from..to, done?));
        if flying.len() > most {
            land(&mut flying)?;
        }
    }
    while !flying.is_empty() {
        land(&mut flying)?;
    }
    Ok(())
}

/// Stages and runs one batch.
fn forward(model: &mut Model, feed: &mut Feed, plan: usize, rows: Range<usize>) -> Result<()> {
    model.begin(plan, rows.len())?;
    let (planned, s) = model.staging()?;
    feed.stage(planned, &s, rows, (0, 0))?;
    model.run_inference()
}

/// An empty matrix with these names, if there are as many as classes.
fn named(classes: usize, names: &[String]) -> Result<Confusion> {
    let m = Confusion::new(classes)?;
    if names.len() == classes { m.names(names) } else { Ok(m) }
}

#[cfg(test)]
mod tests;
