//! What to do when a value stops improving: take smaller steps, or stop.
//!
//! Both are rules (plain data) with a state of their own that is saved in checkpoints. The first value is always the
//! best so far; a value improves on the best when it beats it by more than a margin; NaN never improves.

use super::demand;
use crate::Result;
use serde::{Deserialize, Serialize};

/// Which way is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Losses, errors.
    #[default]
    Min,
    /// Accuracies.
    Max,
}

impl Goal {
    /// Whether `value` beats `best` by more than `margin`; anything but NaN beats nothing.
    fn improves(self, value: f64, best: Option<f64>, margin: f64) -> bool {
        match (self, best) {
            (_, None) => !value.is_nan(),
            (Self::Min, Some(best)) => value < best - margin,
            (Self::Max, Some(best)) => value > best + margin,
        }
    }
}

/// Multiplies the learning rate by `factor` each time more than `patience` values in a row have not improved.
///
/// # Examples
/// ```
/// use kamacite::optim::{Goal, PlateauState, ReduceOnPlateau};
/// let rule = ReduceOnPlateau::new(Goal::Max).factor(0.5).patience(1);
/// let mut state = PlateauState::default();
/// let factors = [0.7, 0.8, 0.8, 0.8, 0.9].map(|accuracy| rule.update(&mut state, accuracy));
/// assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReduceOnPlateau {
    goal: Goal,
    factor: f64,
    patience: u64,
    threshold: f64,
    cooldown: u64,
    floor: f64,
}

/// What [`ReduceOnPlateau`] remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlateauState {
    /// The factor on the learning rate now.
    pub scale: f64,
    /// The best value so far.
    pub best: Option<f64>,
    /// Values in a row that did not improve.
    pub waited: u64,
    /// Values for which no waiting is counted yet.
    pub cooling: u64,
}

impl Default for PlateauState {
    fn default() -> Self {
        Self { scale: 1.0, best: None, waited: 0, cooling: 0 }
    }
}

impl ReduceOnPlateau {
    /// Factor 0.1, patience 10, threshold 10⁻⁴, no cooldown, no floor.
    pub const fn new(goal: Goal) -> Self {
        Self { goal, factor: 0.1, patience: 10, threshold: 1e-4, cooldown: 0, floor: 0.0 }
    }

    /// Which way is better.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// The factor of one reduction, 0 < f < 1.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Values without improvement that are tolerated.
    #[must_use]
    pub fn patience(mut self, patience: u64) -> Self {
        self.patience = patience;
        self
    }

    /// The margin of an improvement, as a share of the size of the best value.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Values after a reduction during which no waiting is counted.
    #[must_use]
    pub fn cooldown(mut self, cooldown: u64) -> Self {
        self.cooldown = cooldown;
        self
    }

    /// The smallest product of factors.
    #[must_use]
    pub fn floor(mut self, floor: f64) -> Self {
        self.floor = floor;
        self
    }

    /// Refuses values outside their domain.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value).
    pub fn check(&self) -> Result<()> {
        let place = "reduce on plateau";
        demand(self.factor > 0.0 && self.factor < 1.0, place, "factor", "above 0 and below 1", self.factor)?;
        demand((0.0..1.0).contains(&self.threshold), place, "threshold", "0 or more and below 1", self.threshold)?;
        demand((0.0..=1.0).contains(&self.floor), place, "floor", "0 to 1", self.floor)
    }

    /// Takes in the value of one evaluation; returns the factor on the learning rate from now on.
    pub fn update(&self, state: &mut PlateauState, value: f64) -> f64 {
        let margin = self.threshold * state.best.map_or(0.0, f64::abs);
        if self.goal.improves(value, state.best, margin) {
            (state.best, state.waited) = (Some(value), 0);
        } else {
            state.waited = state.waited.saturating_add(1);
        }
        if state.cooling > 0 {
            (state.cooling, state.waited) = (state.cooling - 1, 0);
        }
        if state.waited > self.patience {
            state.scale = (state.scale * self.factor).max(self.floor);
            (state.cooling, state.waited) = (self.cooldown, 0);
        }
        state.scale
    }
}

/// Stops once `patience` values in a row have not improved.
///
/// # Examples
/// ```
/// use kamacite::optim::{EarlyStopping, EarlyStoppingState, Goal, Verdict};
/// let (rule, mut state) = (EarlyStopping::new(Goal::Min).patience(1), EarlyStoppingState::default());
/// assert_eq!([0.5, 0.3, 0.4].map(|loss| rule.update(&mut state, loss)), [Verdict::Best, Verdict::Best, Verdict::Stop]);
/// assert_eq!(state.best_at, 2);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    goal: Goal,
    patience: u64,
    min_delta: f64,
    warm_up: u64,
}

/// What [`EarlyStopping`] remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EarlyStoppingState {
    /// Values seen.
    pub seen: u64,
    /// The best value so far.
    pub best: Option<f64>,
    /// Which value was the best, counted from 1; 0 before there is one.
    pub best_at: u64,
    /// Values in a row that did not improve.
    pub waited: u64,
}

/// What a value means for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The best so far: keep this model.
    Best,
    /// Not better; go on.
    Waiting,
    /// Patience is at its end: go back to the best model.
    Stop,
}

impl EarlyStopping {
    /// Patience 10, any improvement counts, no warm-up.
    pub const fn new(goal: Goal) -> Self {
        Self { goal, patience: 10, min_delta: 0.0, warm_up: 0 }
    }

    /// Values without improvement after which to stop, at least 1.
    #[must_use]
    pub fn patience(mut self, patience: u64) -> Self {
        self.patience = patience;
        self
    }

    /// The least improvement that counts.
    #[must_use]
    pub fn min_delta(mut self, min_delta: f64) -> Self {
        self.min_delta = min_delta;
        self
    }

    /// Values at the start during which no waiting is counted.
    #[must_use]
    pub fn warm_up(mut self, values: u64) -> Self {
        self.warm_up = values;
        self
    }

    /// Which way is better.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// Refuses values outside their domain.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value).
    pub fn check(&self) -> Result<()> {
        demand(self.patience > 0, "early stopping", "patience", "at least 1", self.patience)?;
        super::demand_rate("early stopping", "min_delta", self.min_delta)
    }

    /// Takes in the value of one evaluation.
    pub fn update(&self, state: &mut EarlyStoppingState, value: f64) -> Verdict {
        state.seen = state.seen.saturating_add(1);
        if self.goal.improves(value, state.best, self.min_delta) {
            *state = EarlyStoppingState { seen: state.seen, best: Some(value), best_at: state.seen, waited: 0 };
            return Verdict::Best;
        }
        if state.seen > self.warm_up {
            state.waited = state.waited.saturating_add(1);
        }
        if state.waited >= self.patience { Verdict::Stop } else { Verdict::Waiting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Best, Stop, Waiting};

    fn verdicts(rule: &EarlyStopping, values: &[f64]) -> (Vec<Verdict>, EarlyStoppingState) {
        let mut state = EarlyStoppingState::default();
        let mut seen = Vec::new();
        for &v in values {
            seen.push(rule.update(&mut state, v));
            if seen.last() == Some(&Stop) {
                break;
            }
        }
        (seen, state)
    }

    /// The course's example: the model of epoch 6 is kept.
    #[test]
    fn the_course_keeps_epoch_6() {
        let accuracies = [70.0, 78.0, 84.0, 88.0, 90.0, 91.0, 91.0, 90.0, 89.0];
        let (seen, state) = verdicts(&EarlyStopping::new(Goal::Max).patience(2), &accuracies);
        assert_eq!(seen, [Best, Best, Best, Best, Best, Best, Waiting, Stop]);
        assert_eq!((state.best_at, state.best), (6, Some(91.0)));
    }

    #[test]
    fn early_stopping_counts_only_what_it_should() {
        let rule = EarlyStopping::new(Goal::Min).patience(2).min_delta(0.1);
        let (seen, state) = verdicts(&rule, &[1.0, 0.95, 0.85, 0.8, 0.76]);
        assert_eq!(seen, [Best, Waiting, Best, Waiting, Stop]);
        assert_eq!(state.best_at, 3);
        let (seen, _) = verdicts(&EarlyStopping::new(Goal::Min).patience(1).warm_up(3), &[1.0, 2.0, 2.0, 2.0]);
        assert_eq!(seen, [Best, Waiting, Waiting, Stop]);
        let (seen, state) = verdicts(&EarlyStopping::new(Goal::Min).patience(3), &[f64::NAN, 1.0, f64::NAN, 0.5]);
        assert_eq!(seen, [Waiting, Best, Waiting, Best]);
        assert_eq!(state.best_at, 4);
        let (seen, _) = verdicts(&EarlyStopping::new(Goal::Max).patience(2), &[f64::NAN; 5]);
        assert_eq!(seen, [Waiting, Stop]);
    }

    #[test]
    fn a_saved_state_goes_on_as_if_never_interrupted() -> Result<()> {
        let values: Vec<f64> = (0..40).map(|i| 1.0 / f64::from(1 + i % 7 + i / 9) + 0.1).collect();
        let plateau = ReduceOnPlateau::new(Goal::Min).patience(2).cooldown(1).factor(0.7);
        let early = EarlyStopping::new(Goal::Min).patience(5);
        let (mut p, mut e) = (PlateauState::default(), EarlyStoppingState::default());
        let whole: Vec<_> = values.iter().map(|&v| (plateau.update(&mut p, v), early.update(&mut e, v))).collect();
        let (mut p, mut e) = (PlateauState::default(), EarlyStoppingState::default());
        for (&v, expected) in values.iter().zip(&whole) {
            p = serde_json::from_str(&serde_json::to_string(&p).expect("plain data")).expect("its own output");
            e = serde_json::from_str(&serde_json::to_string(&e).expect("plain data")).expect("its own output");
            assert_eq!((plateau.update(&mut p, v), early.update(&mut e, v)), *expected);
        }
        assert!(whole.last().is_some_and(|(scale, _)| *scale < 0.5), "the rate was never reduced");
        Ok(())
    }

    /// Factors of `torch.optim.lr_scheduler.ReduceLROnPlateau` (PyTorch 2.15) on the same values: lr = 1, and after each
    /// `step(value)` the lr was printed.
    #[test]
    fn plateau_as_pytorch() {
        let values = [1.0, 0.8, 0.8, 0.79999, 0.9, 0.7, 0.71, 0.72, 0.73, 0.74, 0.75, 0.76, 0.6, 0.61, 0.62, 0.63, 0.64, 0.65];
        let run = |rule: ReduceOnPlateau, sign: f64| {
            let mut state = PlateauState::default();
            values.map(|v| rule.update(&mut state, sign * v))
        };
        let rule = |goal| ReduceOnPlateau::new(goal).factor(0.5).patience(2);
        let halvings = |n: [i32; 18]| n.map(|n| 0.5_f64.powi(n));
        assert_eq!(run(rule(Goal::Min), 1.0), halvings([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4]));
        assert_eq!(run(rule(Goal::Min).cooldown(2), 1.0), halvings([0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3]));
        assert_eq!(run(rule(Goal::Min).threshold(0.2), 1.0), halvings([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3]));
        assert_eq!(run(rule(Goal::Max), 1.0), halvings([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]));
        let floored = run(rule(Goal::Min).cooldown(1).floor(0.3), 1.0);
        assert_eq!(floored[..8], [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]);
        assert_eq!(floored[8..], [0.3; 10]);
        // The margin is a share of the size, so negated values with the other goal take the same course.
        assert_eq!(run(rule(Goal::Max), -1.0), run(rule(Goal::Min), 1.0));
    }

    #[test]
    fn refuses_values_outside_their_domain() {
        let rule = || ReduceOnPlateau::new(Goal::Min);
        assert!(rule().check().is_ok());
        for bad in [rule().factor(1.0), rule().factor(0.0), rule().threshold(-1.0), rule().floor(2.0), rule().factor(f64::NAN)] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(EarlyStopping::new(Goal::Max).patience(0).check().is_err());
        assert!(EarlyStopping::new(Goal::Max).min_delta(f64::NAN).check().is_err());
    }
}
