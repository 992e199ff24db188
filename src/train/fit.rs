//! The loop over epochs.

use super::{Evaluation, Record, Trainer};
use crate::Result;
use crate::monitor::{Batch, Control, End, Epoch, Monitor, Start};
use crate::optim::{Goal, Verdict};
use std::path::PathBuf;
use std::time::Instant;

/// What a call of [`Trainer::fit`] did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Epochs completed since the run began, earlier calls and checkpoints included.
    pub epochs: u64,
    /// Optimizer steps, likewise.
    pub steps: u64,
    /// Mean training loss of the last epoch.
    pub loss: f64,
    /// The last evaluation on validation data; of the best weights, where early stopping went back to them.
    pub valid: Option<Evaluation>,
    /// Seconds this call took.
    pub seconds: f64,
    /// Training samples per second in this call, validation not counted.
    pub rate: f64,
    /// Why it ended.
    pub ended: Ended,
    /// The checkpoint last written.
    pub checkpoint: Option<PathBuf>,
    /// Seconds that steps waited in this call for data still being read: see [`Trainer::waited`].
    pub waited: f64,
    /// What could not be read and was left out, since the data set was made: see [`Trainer::skipped`].
    pub skipped: Vec<String>,
}

/// Why a call of [`Trainer::fit`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All epochs were done.
    Done,
    /// Validation stopped improving.
    EarlyStopping,
    /// A [`StopHandle`](super::StopHandle) or a monitor asked.
    Stopped,
}

/// How an epoch went.
struct Pace {
    rate: f64,
    seconds: f64,
    waited: f64,
}

impl Trainer {
    /// Trains until `epochs` epochs are done in all: a resumed run does those that are left.
    ///
    /// # Errors
    /// As [`Trainer::step`]; what writing checkpoints and the monitor may meet.
    pub fn fit(&mut self, epochs: u64, monitor: &mut dyn Monitor) -> Result<Report> {
        let (begun, waited) = (Instant::now(), self.waited());
        monitor.start(&Start {
            epoch: self.state.epoch,
            epochs,
            steps_per_epoch: self.steps_per_epoch(),
            samples: self.train.len(),
            batch: self.rules.batch,
            device: self.model.device(),
            history: &self.state.history,
        })?;
        let (mut trained, mut busy) = (0, 0.0);
        let (mut valid, mut ended) = (None, Ended::Done);
        while self.state.epoch < epochs && ended == Ended::Done {
            if self.state.stopped {
                ended = Ended::EarlyStopping;
                break;
            }
            let (epoch_begun, epoch_waited) = (Instant::now(), self.waited());
            let first = self.state.cursor;
            while self.state.cursor < self.train.len() && !self.stop.is_stopped() {
                let (from, updates) = (self.state.cursor, self.model.updates());
                let (steps, loss) = self.advance_and_look(self.steps_to_checkpoint())?;
                for step in 1..=steps {
                    monitor.batch(&Batch {
                        epoch: self.state.epoch,
                        done: self.train.len().min(from + step * self.samples_per_step()),
                        samples: self.train.len(),
                        step: updates + step as u64,
                        loss,
                        learning_rate: self.learning_rate_at(updates + step as u64 - 1),
                    })?;
                }
                self.checkpoint_on_the_way()?;
            }
            let seconds = epoch_begun.elapsed().as_secs_f64();
            trained += self.state.cursor - first;
            busy += seconds;
            if self.state.cursor < self.train.len() {
                ended = Ended::Stopped;
                break;
            }
            let pace = Pace {
                rate: (self.state.cursor - first) as f64 / seconds.max(1e-9),
                seconds,
                waited: (self.waited() - epoch_waited).as_secs_f64(),
            };
            let (evaluation, control) = self.end_epoch(epochs, pace, monitor)?;
            valid = evaluation.or(valid);
            ended = match control {
                _ if self.state.stopped => Ended::EarlyStopping,
                Control::Stop => Ended::Stopped,
                Control::Continue if self.stop.is_stopped() && self.state.epoch < epochs => Ended::Stopped,
                Control::Continue => Ended::Done,
            };
        }
        let mut checkpoint = None;
        if let Some(path) = self.rules.checkpoint.clone().filter(|_| ended == Ended::Stopped) {
            self.save(&path)?;
            checkpoint = Some(path);
        }
        if self.state.stopped && self.go_back_to_best()? {
            valid = self.validate()?;
        }
        let report = Report {
            epochs: self.state.epoch,
            steps: self.model.updates(),
            loss: self.state.history.last().map_or(f64::NAN, |r| r.loss),
            valid,
            seconds: begun.elapsed().as_secs_f64(),
            rate: trained as f64 / f64::max(busy, 1e-9),
            ended,
            checkpoint: checkpoint.or_else(|| self.rules.checkpoint.clone().filter(|_| trained > 0)),
            waited: (self.waited() - waited).as_secs_f64(),
            skipped: self.skipped(),
        };
        monitor.end(&End {
            history: &self.state.history,
            evaluation: report.valid.as_ref(),
            stopped: ended == Ended::Stopped,
            checkpoint: report.checkpoint.as_deref(),
            seconds: report.seconds,
        })?;
        Ok(report)
    }

    /// Validation, plateau, early stopping, history and files at the end of an epoch.
    fn end_epoch(&mut self, epochs: u64, pace: Pace, monitor: &mut dyn Monitor) -> Result<(Option<Evaluation>, Control)> {
        self.settle()?;
        let used = self.train.len() as u64 - self.state.skipped;
        if used == 0 {
            return Err(self.train.nothing_read("training"));
        }
        let learning_rate = self.learning_rate_at(self.model.updates.saturating_sub(1));
        let number = self.state.epoch + 1;
        let due = number.is_multiple_of(self.rules.validate_every) || number == epochs;
        let evaluation = if due { self.validate()? } else { None };
        let loss = self.state.sum / used as f64;
        let mut best = false;
        if evaluation.is_some() || self.valid.is_none() {
            best = self.judge(loss, evaluation.as_ref());
        }
        self.state.history.push(Record {
            epoch: number,
            steps: self.model.updates(),
            learning_rate,
            loss,
            valid_loss: evaluation.as_ref().map(|e| e.loss),
            accuracy: evaluation.as_ref().and_then(|e| e.accuracy),
            skipped: self.state.skipped,
        });
        (self.state.epoch, self.state.cursor, self.state.sum, self.state.skipped) = (number, 0, 0.0, 0);
        self.replay.begin_epoch();
        if best {
            self.keep_best()?;
        }
        if let Some(path) = &self.rules.checkpoint {
            self.save(path)?;
        }
        let record = &self.state.history[self.state.history.len() - 1];
        let Pace { rate, seconds, waited } = pace;
        let skipped = self.skipped();
        let epoch = Epoch { record, epochs, evaluation: evaluation.as_ref(), best, rate, seconds, waited, skipped: &skipped };
        let control = monitor.epoch(&epoch)?;
        Ok((evaluation, control))
    }

    /// Hands the watched value to plateau and early stopping; whether it is the best so far.
    fn judge(&mut self, loss: f64, evaluation: Option<&Evaluation>) -> bool {
        let watch = |goal: Goal| match (goal, evaluation) {
            (Goal::Max, Some(e)) => e.accuracy.or(e.r2).unwrap_or(-e.loss),
            (Goal::Max, None) => -loss,
            (Goal::Min, Some(e)) => e.loss,
            (Goal::Min, None) => loss,
        };
        if let Some(rule) = &self.rules.plateau {
            rule.update(&mut self.state.plateau, watch(rule.goal()));
        }
        let goal = self.rules.plateau.as_ref().map_or(Goal::Min, |rule| rule.goal());
        let default = crate::optim::EarlyStopping::new(goal).patience(u64::MAX);
        let rule = self.rules.early.as_ref().unwrap_or(&default);
        let verdict = rule.update(&mut self.state.early, watch(rule.goal()));
        self.state.stopped = verdict == Verdict::Stop;
        verdict == Verdict::Best
    }

    fn keep_best(&mut self) -> Result<()> {
        if let Some(path) = self.best_path() {
            self.save(path)?;
        } else if self.rules.early.is_some() {
            self.best = Some(self.checkpoint()?);
        }
        Ok(())
    }

    /// Where the best weights are written: as told, or beside the checkpoint, so that a resumed run can go back to them.
    fn best_path(&self) -> Option<PathBuf> {
        let beside = || {
            let path = self.rules.checkpoint.as_ref().filter(|_| self.rules.early.is_some())?;
            Some(path.with_extension("best.safetensors"))
        };
        self.rules.best.clone().or_else(beside)
    }

    /// The best weights, with the counters and the history of the whole run.
    fn go_back_to_best(&mut self) -> Result<bool> {
        let best = match (self.best.take(), self.best_path()) {
            (Some(best), _) => best,
            (None, Some(path)) if path.exists() => crate::Checkpoint::load(&path)?,
            _ => return Ok(false),
        };
        let state = self.state.clone();
        self.restore(&best)?;
        self.state = state;
        Ok(true)
    }

    /// Updates until a checkpoint on the way is due.
    fn steps_to_checkpoint(&self) -> usize {
        match (&self.rules.checkpoint, self.rules.checkpoint_every) {
            (Some(_), every) if every > 0 => usize::try_from(every - self.model.updates() % every).unwrap_or(usize::MAX),
            _ => usize::MAX,
        }
    }

    fn checkpoint_on_the_way(&self) -> Result<()> {
        let every = self.rules.checkpoint_every;
        match &self.rules.checkpoint {
            Some(path) if every > 0 && self.model.updates().is_multiple_of(every) => self.save(path),
            _ => Ok(()),
        }
    }
}
