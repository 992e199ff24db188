//! Evaluation and prediction over whole data sets.

use super::ahead::{After, Load};
use super::{Feed, Trainer, plan_of};
use crate::data::Dataset;
use crate::loss::Target;
use crate::memory::Mode;
use crate::metrics::{Confusion, argmax};
use crate::network::Model;
use crate::{Real, Result, real};
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
        feed.read_ahead(batch, Load::default(), After::End);
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
        feed.read_ahead(batch, Load::default(), After::End);
        let mut all = Vec::new();
        for_batches(self, &mut feed, plan, batch, &mut |model, feed, from, rows| {
            model.run_predict()?;
            let before = all.len();
            all.extend(model.output(0)?.to_vec());
            leave_out(feed, from, rows, &mut all[before..]);
            Ok(())
        })?;
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

fn evaluate(model: &mut Model, feed: &mut Feed, batch: usize) -> Result<Evaluation> {
    let plan = plan_of(model, feed, Mode::Infer, batch.min(feed.len()).max(1))?;
    feed.check_targets(model.planned(plan))?;
    let targets = feed.data.targets().to_vec();
    let classes = targets.iter().enumerate().find_map(|(k, t)| match t {
        Target::Index { classes, positions } => Some((k, *classes, *positions)),
        Target::Values(_) | Target::None => None,
    });
    let numbers = targets.iter().position(|t| matches!(t, Target::Values(_)));
    let mut confusion = classes.map(|(_, c, _)| named(c, feed.data.class_names())).transpose()?;
    let (mut sums, mut squares, mut total) = (vec![0.0; model.losses.len()], Squares::default(), 0.0);
    let mut labels = vec![0_u32; classes.map_or(0, |(_, _, positions)| positions)];
    let mut seen = 0;
    for_batches(model, feed, plan, batch, &mut |model, feed, from, rows| {
        let counts = |row: &usize| !feed.is_skipped(from, *row);
        let used = (0..rows).filter(counts).count();
        seen += used;
        model.run_losses(1.0)?;
        total += model.loss_total(used)?;
        for (k, sum) in sums.iter_mut().enumerate() {
            *sum += model.loss_rows(k)?.iter().sum::<f64>();
        }
        model.run_predict()?;
        let (planned, s) = model.staging()?;
        real!(s.dtype().host(), T => {
            if let (Some((k, classes, _)), Some(confusion)) = (classes, &mut confusion) {
                let port = planned.outputs[planned.losses[k].output];
                if port.extent.c == classes {
                    s.host_read::<T, _>(port.y, |y| -> Result<()> {
                        for row in (0..rows).filter(counts) {
                            feed.classes(from, row, k, &mut labels)?;
                            for (y, &truth) in y[row * port.extent.len()..].chunks_exact(classes).zip(&labels) {
                                confusion.count(argmax(y)? as u32, truth)?;
                            }
                        }
                        Ok(())
                    })??;
                }
            }
            if let Some(k) = numbers {
                let loss = &planned.losses[k];
                s.host_read::<T, _>(planned.outputs[loss.output].y, |y| {
                    s.host_read::<T, _>(loss.used().target, |t| {
                        let len = y.len() / rows;
                        if y.len() != t.len() || len == 0 {
                            return;
                        }
                        for row in (0..rows).filter(counts) {
                            let pairs = y[row * len..][..len].iter().zip(&t[row * len..]);
                            pairs.for_each(|(y, t)| squares.add(y.to_f64(), t.to_f64()));
                        }
                    })
                })??;
            }
        });
        Ok(())
    })?;
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

/// Stages and runs batch after batch; `each` gets the data, the first sample and the number of rows.
fn for_batches(
    model: &mut Model,
    feed: &mut Feed,
    plan: usize,
    batch: usize,
    each: &mut dyn FnMut(&mut Model, &Feed, usize, usize) -> Result<()>,
) -> Result<()> {
    let n = feed.len();
    for from in (0..n).step_by(batch.max(1)) {
        let to = n.min(from + batch.max(1));
        forward(model, feed, plan, from..to)?;
        each(model, feed, from, to - from)?;
    }
    Ok(())
}

/// Puts NaN into the predictions for rows that count for nothing: zeros went in.
pub(super) fn leave_out(feed: &Feed, from: usize, rows: usize, y: &mut [f32]) {
    let len = y.len() / rows;
    for row in (0..rows).filter(|&row| feed.is_skipped(from, row)) {
        y[row * len..][..len].fill(f32::NAN);
    }
}

/// Stages and runs one batch.
pub(super) fn forward(model: &mut Model, feed: &mut Feed, plan: usize, rows: Range<usize>) -> Result<()> {
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
mod tests {
    use super::*;
    use crate::data::{Augment, Augmented, Balanced, Normalized, Normalizer, Rule, Samples, Scope, Subset, synth};
    use crate::{Dense, Extent, Network, SoftmaxCrossEntropy};

    #[test]
    fn the_confusion_takes_the_names_of_the_data_through_every_view() -> Result<()> {
        let names = ["round", "flat", "far", "near"];
        let plain: Samples = synth::clusters(12, 2, 1)?;
        let samples = plain.clone().with_class_names(names);
        let fitted = Normalizer::fit(Extent::flat(2), samples.x(0), &[Rule::Standard(Scope::Feature)])?;
        let sets: [Arc<dyn Dataset>; 5] = [
            samples.clone().into(),
            Subset::new(samples.clone(), vec![3, 1])?.into(),
            Balanced::new(samples.clone(), 0)?.into(),
            Normalized::new(samples.clone(), 0, fitted)?.into(),
            Augmented::new(samples.clone(), Augment::new())?.into(),
        ];
        let mut net = Network::new(Extent::flat(2));
        net.push(Dense::new(4));
        let mut model = Model::builder(net).loss("output", SoftmaxCrossEntropy, 1.0).build()?;
        let mut name = |data: Arc<dyn Dataset>| Ok(model.evaluate(data, 4)?.confusion.map(|c| c.name(2).to_string()));
        for data in sets {
            assert_eq!(name(data)?.as_deref(), Some("far"));
        }
        // None, or another number of them: the classes go by number.
        for data in [plain.clone(), plain.with_class_names(["one"])] {
            assert_eq!(name(data.into())?.as_deref(), Some("2"));
        }
        Ok::<(), crate::Error>(())
    }
}
