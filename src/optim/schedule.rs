//! How the learning rate changes with time: pure functions of the step.
//!
//! A schedule gives a *factor* on the optimizer's learning rate, so one schedule serves any rate and any group. Time t
//! counts steps (updates), or epochs inside [`Schedule::per_epoch`]; it is 0 at the first update.
//!
//! | name | factor f(t) |
//! |---|---|
//! | constant | 1 |
//! | step | γ^⌊t/every⌋ |
//! | milestones | γ^(number of milestones ≤ t) |
//! | exponential | γᵗ |
//! | decay | r + (1 − r)·exp(−k·t) |
//! | cosine | r + (1 − r)·(1 + cos(π·τ/p))/2, τ the time within a period of length p, 1 cycle or restarted |
//! | polynomial | r + (1 − r)·(1 − t/n)^q up to t = n, then r |
//! | one cycle | s → 1 → e along half cosines, then e |
//! | warm-up | from s linearly to f(0) in n, then f(t − n) |
//!
//! # Source
//! decay: CIANNA (there with r the ratio of end to begin, per epoch). cosine: Loshchilov & Hutter 2017, "SGDR". one
//! cycle: Smith & Topin 2018, "Super-convergence". warm-up: Goyal et al. 2017, "Accurate, large minibatch SGD".

use super::demand;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// A factor on the learning rate as a function of time.
///
/// # Examples
/// ```
/// use kamacite::optim::Schedule;
/// // 500 steps of warm-up, then CIANNA's decay from the rate to a twentieth of it, changing once per epoch of 100 steps.
/// let schedule = Schedule::decay(0.05, 0.0012).per_epoch().warm_up(500);
/// assert_eq!(schedule.at(500, 100), 1.0);
/// assert_eq!(schedule.at(600, 100), 0.05 + 0.95 * f64::exp(-0.0012));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Schedule {
    /// Always 1.
    #[default]
    Constant,
    /// Multiplied by `gamma` every so often.
    Step {
        /// Time between two changes.
        every: u64,
        /// Factor of one change.
        gamma: f64,
    },
    /// Multiplied by `gamma` at given times.
    Milestones {
        /// The times, in order.
        at: Vec<u64>,
        /// Factor of one change.
        gamma: f64,
    },
    /// Multiplied by `gamma` in each unit of time.
    Exponential {
        /// Factor of one unit of time.
        gamma: f64,
    },
    /// From 1 towards `floor`, exponentially.
    Decay {
        /// The limit.
        floor: f64,
        /// Inverse of the time in which the distance to the limit falls to 1/e.
        rate: f64,
    },
    /// From 1 to `floor` along half a cosine, once or again and again.
    Cosine {
        /// Length of the first period.
        period: u64,
        /// Each period is this many times as long as the one before; 0: there is only one, and `floor` afterwards.
        growth: u64,
        /// The least factor.
        floor: f64,
    },
    /// From 1 to `floor` along a power of the time that is left.
    Polynomial {
        /// When `floor` is reached.
        over: u64,
        /// The power: 1 is a straight line.
        power: f64,
        /// The last factor.
        floor: f64,
    },
    /// Up to 1 and down again, along half cosines.
    OneCycle {
        /// When `last` is reached.
        over: u64,
        /// The share of the time spent going up.
        rise: f64,
        /// The factor at the start.
        first: f64,
        /// The factor at the end.
        last: f64,
    },
    /// A straight line from `from` to the start of another schedule, which then begins.
    WarmUp {
        /// Length.
        over: u64,
        /// The factor at t = 0, as a share of the other schedule's first.
        from: f64,
        /// What follows.
        then: Box<Self>,
    },
    /// A schedule whose time counts epochs.
    Epochs(Box<Self>),
}

impl Schedule {
    /// Multiplied by `gamma` every `every` units of time.
    pub const fn step(every: u64, gamma: f64) -> Self {
        Self::Step { every, gamma }
    }

    /// Multiplied by `gamma` at each of these times.
    pub fn milestones(at: impl Into<Vec<u64>>, gamma: f64) -> Self {
        Self::Milestones { at: at.into(), gamma }
    }

    /// Multiplied by `gamma` in each unit of time.
    pub const fn exponential(gamma: f64) -> Self {
        Self::Exponential { gamma }
    }

    /// From 1 towards `floor`, by 1 − exp(−rate·t) of the way.
    pub const fn decay(floor: f64, rate: f64) -> Self {
        Self::Decay { floor, rate }
    }

    /// One half cosine from 1 to `floor` in `period`.
    pub const fn cosine(period: u64, floor: f64) -> Self {
        Self::Cosine { period, growth: 0, floor }
    }

    /// Half cosines from 1 to `floor`, again and again, each `growth` times as long as the one before.
    pub const fn cosine_restarts(period: u64, growth: u64, floor: f64) -> Self {
        Self::Cosine { period, growth, floor }
    }

    /// From 1 to `floor` in `over`, along a power of the time that is left.
    pub const fn polynomial(over: u64, power: f64, floor: f64) -> Self {
        Self::Polynomial { over, power, floor }
    }

    /// From 1/25 up to 1 in the first three tenths of `over`, then down to 4·10⁻⁶.
    pub const fn one_cycle(over: u64) -> Self {
        Self::OneCycle { over, rise: 0.3, first: 0.04, last: 4e-6 }
    }

    /// Begins with a straight line from 0 in `over` units of time; this schedule's own time starts afterwards. The first
    /// update is made at 1/(over + 1) of the rate, not at 0.
    #[must_use]
    pub fn warm_up(self, over: u64) -> Self {
        let from = 1.0 / (over as f64 + 1.0);
        Self::WarmUp { over, from, then: Box::new(self) }
    }

    /// Counts time in epochs: constant within each.
    #[must_use]
    pub fn per_epoch(self) -> Self {
        Self::Epochs(Box::new(self))
    }

    /// The factor at update `step` (0 is the first), where an epoch has `epoch` updates.
    pub fn at(&self, step: u64, epoch: u64) -> f64 {
        let t = step as f64;
        match *self {
            Self::Constant => 1.0,
            Self::Step { every, gamma } => libm::pow(gamma, (step / every.max(1)) as f64),
            Self::Milestones { ref at, gamma } => libm::pow(gamma, at.iter().filter(|m| **m <= step).count() as f64),
            Self::Exponential { gamma } => libm::pow(gamma, t),
            Self::Decay { floor, rate } => floor + (1.0 - floor) * libm::exp(-rate * t),
            Self::Cosine { period, growth, floor } => half_cosine(1.0, floor, within(step, period.max(1), growth)),
            Self::Polynomial { over, power, floor } => floor + (1.0 - floor) * libm::pow(1.0 - share(t, over as f64), power),
            Self::OneCycle { over, rise, first, last } => {
                let (top, end) = (rise * over as f64, over as f64);
                if t < top { half_cosine(first, 1.0, share(t, top)) } else { half_cosine(1.0, last, share(t - top, end - top)) }
            }
            Self::WarmUp { over, from, ref then } if step < over => {
                then.at(0, epoch) * (from + (1.0 - from) * share(t, over as f64))
            }
            Self::WarmUp { over, ref then, .. } => then.at(step - over, epoch),
            Self::Epochs(ref inner) => inner.at(step / epoch.max(1), 1),
        }
    }

    /// Refuses values that would make a factor negative, infinite or NaN.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value).
    pub fn check(&self) -> Result<()> {
        self.check_nested(0)
    }

    fn check_nested(&self, depth: u32) -> Result<()> {
        let place = "schedule";
        // Above 1, a power of the time could overflow.
        let gamma = |g: f64| demand(g > 0.0 && g <= 1.0, place, "gamma", "above 0, at most 1", g);
        let level = |name, f: f64| demand((0.0..=1.0).contains(&f), place, name, "0 to 1", f);
        let length = |n: u64| demand(n > 0, place, "length of time", "at least 1", n);
        match *self {
            Self::Constant => Ok(()),
            Self::Step { every, gamma: g } => length(every).and(gamma(g)),
            Self::Milestones { ref at, gamma: g } => {
                demand(at.windows(2).all(|w| w[0] < w[1]), place, "milestones", "increasing times", format!("{at:?}"))
                    .and(gamma(g))
            }
            Self::Exponential { gamma: g } => gamma(g),
            Self::Decay { floor, rate } => level("floor", floor).and(super::demand_rate(place, "rate", rate)),
            Self::Cosine { period, floor, .. } => length(period).and(level("floor", floor)),
            Self::Polynomial { over, power, floor } => {
                length(over)?;
                demand(power.is_finite() && power > 0.0, place, "power", "a finite number above 0", power)?;
                level("floor", floor)
            }
            Self::OneCycle { over, rise, first, last } => {
                length(over)?;
                level("rise", rise).and(level("first", first)).and(level("last", last))
            }
            Self::WarmUp { from, ref then, .. } => level("from", from).and(then.nested(depth)),
            Self::Epochs(ref inner) => inner.nested(depth),
        }
    }

    /// A schedule within this many others: a file may not send `at` into endless recursion.
    fn nested(&self, depth: u32) -> Result<()> {
        if depth >= 8 {
            return Err(Error::value("schedule", "nested too deeply").expected("at most 8 levels"));
        }
        self.check_nested(depth + 1)
    }
}

/// How far t has come on the way to `end`, 0 to 1.
fn share(t: f64, end: f64) -> f64 {
    if t < end { t / end } else { 1.0 }
}

/// From a at τ = 0 to b at τ = 1, level at both ends.
fn half_cosine(a: f64, b: f64, tau: f64) -> f64 {
    b + (a - b) * (0.5 + 0.5 * libm::cos(std::f64::consts::PI * tau))
}

/// The share of the present period that has passed; a period of restarts has passed completely when the next begins.
fn within(step: u64, period: u64, growth: u64) -> f64 {
    match growth {
        0 => share(step as f64, period as f64),
        1 => (step % period) as f64 / period as f64,
        _ => {
            // Periods lengthen geometrically: at most 64 rounds.
            let (mut step, mut period) = (step, period);
            while step >= period {
                step -= period;
                period = period.saturating_mul(growth);
            }
            step as f64 / period as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PI: f64 = std::f64::consts::PI;

    fn at(schedule: &Schedule, step: u64) -> f64 {
        schedule.at(step, 10)
    }

    /// |a − b| within a few roundings of numbers up to 1.
    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 8.0 * f64::EPSILON
    }

    #[test]
    fn closed_forms() {
        for t in [0, 1, 9, 10, 11, 57, 99, 100, 101, 5000] {
            let x = t as f64;
            assert_eq!(at(&Schedule::Constant, t), 1.0);
            assert!(close(at(&Schedule::step(10, 0.5), t), 0.5_f64.powi((t / 10) as i32)));
            let passed = i32::from(t >= 10) + i32::from(t >= 100);
            assert!(close(at(&Schedule::milestones([10, 100], 0.1), t), 0.1_f64.powi(passed)));
            assert!(close(at(&Schedule::exponential(0.9), t), 0.9_f64.powi(t as i32)));
            assert!(close(at(&Schedule::cosine(100, 0.1), t), 0.1 + 0.45 * (1.0 + (PI * (x / 100.0).min(1.0)).cos())));
            assert!(close(at(&Schedule::polynomial(100, 2.0, 0.0), t), (1.0 - (x / 100.0).min(1.0)).powi(2)));
        }
        // Periods 10, 20, 40: they begin at 0, 10, 30, 70.
        let restarts = Schedule::cosine_restarts(10, 2, 0.0);
        assert_eq!([0, 10, 30, 70, 150].map(|t| at(&restarts, t)), [1.0; 5]);
        assert!([5, 20, 50].iter().all(|&t| close(at(&restarts, t), 0.5)));
        assert_eq!([0, 10, 20].map(|t| at(&Schedule::cosine_restarts(10, 1, 0.0), t)), [1.0; 3]);
        let cycle = Schedule::one_cycle(100);
        assert!(close(at(&cycle, 0), 0.04) && close(at(&cycle, 30), 1.0) && close(at(&cycle, 100), 4e-6));
        assert!(close(at(&cycle, 15), 0.52) && close(at(&cycle, 65), (1.0 + 4e-6) / 2.0));
    }

    /// CIANNA: lr = end + (begin − end)·exp(−decay·iteration), one value per epoch.
    #[test]
    fn decay_is_ciannas() {
        let (begin, end, rate) = (0.002, 1e-4, 0.0012);
        let schedule = Schedule::decay(end / begin, rate).per_epoch();
        for step in [0, 1, 255, 256, 257, 100_000] {
            let iteration = (step / 256) as f64;
            let expected = end + (begin - end) * (-rate * iteration).exp();
            assert!((begin * schedule.at(step, 256) - expected).abs() <= 4.0 * f64::EPSILON * begin);
        }
    }

    #[test]
    fn warm_up_is_a_line_that_meets_its_schedule() {
        let warm = Schedule::cosine(50, 0.0).warm_up(4);
        let line = [0, 1, 2, 3, 4].map(|t| at(&warm, t));
        assert!(line.iter().zip([0.2, 0.4, 0.6, 0.8, 1.0]).all(|(a, b)| close(*a, b)), "{line:?}");
        assert!((4..60).all(|t| at(&warm, t) == at(&Schedule::cosine(50, 0.0), t - 4)));
        let epochs = Schedule::exponential(0.5).warm_up(2).per_epoch();
        assert!(
            [(0, 1.0 / 3.0), (9, 1.0 / 3.0), (10, 2.0 / 3.0), (20, 1.0), (39, 0.5)]
                .iter()
                .all(|&(t, f)| close(at(&epochs, t), f))
        );
    }

    #[test]
    fn refuses_what_could_leave_the_range() {
        let mut deep = Schedule::Constant;
        (0..20).for_each(|_| deep = std::mem::take(&mut deep).per_epoch());
        for bad in [
            Schedule::step(0, 0.5),
            Schedule::step(5, 1.5),
            Schedule::exponential(0.0),
            Schedule::exponential(f64::NAN),
            Schedule::milestones([5, 5], 0.5),
            Schedule::decay(-0.1, 0.1),
            Schedule::decay(0.1, f64::INFINITY),
            Schedule::cosine(0, 0.0),
            Schedule::polynomial(5, 0.0, 0.0),
            Schedule::cosine(5, 2.0).warm_up(5),
            Schedule::WarmUp { over: 5, from: -1.0, then: Box::default() },
            Schedule::OneCycle { over: 5, rise: 1.5, first: 0.0, last: 0.0 },
            deep,
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    /// Any legal schedule of each kind.
    fn schedules() -> impl Strategy<Value = Schedule> {
        let level = || 0.0..=1.0_f64;
        let plain = prop_oneof![
            Just(Schedule::Constant),
            (1..1000_u64, 0.01..=1.0_f64).prop_map(|(n, g)| Schedule::step(n, g)),
            (1..1000_u64, 1..1000_u64, 0.01..=1.0_f64).prop_map(|(a, b, g)| Schedule::milestones([a, a + b], g)),
            (0.9..=1.0_f64).prop_map(Schedule::exponential),
            (level(), 0.0..2.0_f64).prop_map(|(f, r)| Schedule::decay(f, r)),
            (1..1000_u64, 0..4_u64, level()).prop_map(|(p, g, f)| Schedule::cosine_restarts(p, g, f)),
            (1..1000_u64, 0.1..4.0_f64, level()).prop_map(|(n, q, f)| Schedule::polynomial(n, q, f)),
            (1..1000_u64, level(), level(), level()).prop_map(|(over, rise, first, last)| Schedule::OneCycle {
                over,
                rise,
                first,
                last
            }),
        ];
        (plain, 0..3_u8, 0..50_u64).prop_map(|(s, wrap, n)| match wrap {
            0 => s,
            1 => s.warm_up(n),
            _ => s.per_epoch().warm_up(n),
        })
    }

    proptest! {
        #[test]
        fn legal_schedules_stay_within_0_and_1(s in schedules(), t in prop_oneof![0..3000_u64, any::<u64>()], epoch in 0..100_u64) {
            prop_assert!(s.check().is_ok(), "{s:?}");
            let f = s.at(t, epoch);
            // A few roundings above 1: floor + (1 − floor).
            prop_assert!((0.0..=1.0 + 4.0 * f64::EPSILON).contains(&f), "{f}");
        }

        #[test]
        fn what_only_falls_falls(t in 0..3000_u64, n in 1..500_u64, floor in 0.0..1.0_f64, power in 0.5..3.0_f64, rate in 0.0..0.1_f64) {
            for s in [
                Schedule::step(n, 0.5),
                Schedule::exponential(0.99),
                Schedule::decay(floor, rate),
                Schedule::cosine(n, floor),
                Schedule::polynomial(n, power, floor),
            ] {
                prop_assert!(s.at(t + 1, 1) <= s.at(t, 1) + 4.0 * f64::EPSILON, "{s:?}");
            }
        }

        /// Half cosines and lines change by no more than their steepest slope in one step.
        #[test]
        fn smooth_schedules_do_not_jump(t in 0..3000_u64, n in 4..500_u64, floor in 0.0..1.0_f64) {
            let n_f = n as f64;
            for (s, slope) in [
                (Schedule::cosine(n, floor), PI / 2.0 / n_f),
                (Schedule::polynomial(n, 1.0, floor), 1.0 / n_f),
                (Schedule::one_cycle(n), PI / 2.0 / (0.3 * n_f)),
                (Schedule::cosine(n, floor).warm_up(n), PI / 2.0 / n_f),
            ] {
                prop_assert!((s.at(t + 1, 1) - s.at(t, 1)).abs() <= slope + 8.0 * f64::EPSILON, "{s:?}");
            }
        }

        #[test]
        fn saved_schedules_read_back(s in schedules()) {
            let text = serde_json::to_string(&s).expect("plain data");
            prop_assert_eq!(serde_json::from_str::<Schedule>(&text).expect("its own output"), s);
        }
    }
}
