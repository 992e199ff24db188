//! Rules on slices: the constants of one step, and what they make of an element and its state.

use super::{CHUNK, Run, adam, cut, sgd, view};
use crate::device::Cpu;
use crate::memory::{Element, Step};
use crate::{Real, Result};

/// A rule with the constants of one run of one step. What becomes of an element depends on that element alone, so that a range may
/// be updated in pieces, in any order, as soon as their gradients are final.
#[derive(Clone, Copy, Debug)]
pub struct Rule(pub(super) Kind);

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Plain(sgd::Factors<f64>),
    Heavy(sgd::Factors<f64>),
    Adam(adam::Factors<f64>),
    Amsgrad(adam::Factors<f64>),
}

/// The most words of state of such a rule.
pub(crate) const RULE_WORDS: usize = 3;

impl Rule {
    /// Words of state.
    pub(crate) fn words(&self) -> usize {
        match self.0 {
            Kind::Plain(_) => 0,
            Kind::Heavy(_) => 1,
            Kind::Adam(_) => 2,
            Kind::Amsgrad(_) => 3,
        }
    }

    /// Whether it is the same in every step while the learning rate is.
    #[inline]
    pub(crate) fn is_timeless(&self) -> bool {
        matches!(self.0, Kind::Plain(_) | Kind::Heavy(_))
    }

    /// Updates these weights on the calling thread; of `words` the first [`Rule::words`] are as long as `w`.
    #[inline]
    pub(crate) fn apply<T: Real>(&self, cpu: &Cpu, w: &mut [T], dw: &[T], words: [&mut [T]; RULE_WORDS]) {
        let [a, b, c] = words;
        match &self.0 {
            Kind::Plain(k) => sgd::plain(cpu, k.cast(), w, dw),
            Kind::Heavy(k) => sgd::heavy(cpu, k.cast(), w, dw, a),
            Kind::Adam(k) => adam::adam(cpu, k.cast(), w, dw, a, b),
            Kind::Amsgrad(k) => adam::amsgrad(cpu, k.cast(), w, dw, a, b, c),
        }
    }

    /// Updates one run on all threads.
    pub(super) fn sweep<T: Real + Element>(&self, cpu: &Cpu, s: &Step<'_>, run: &Run<'_>) -> Result<()> {
        let (mut w, dw) = (s.write::<T>(run.w)?, s.read::<T>(run.dw)?);
        let (w, dw) = (cut(&mut w, &run.range)?, view(&dw, &run.range)?);
        let word = |i: usize| (i < self.words()).then(|| run.word::<T>(s, i)).transpose();
        let (mut a, mut b, mut c) = (word(0)?, word(1)?, word(2)?);
        let [a, b, c] = [&mut a, &mut b, &mut c].map(|word| word.as_deref_mut().map(|word| cut(word, &run.range)).transpose());
        cpu.split(CHUNK, (w, dw, a?, b?, c?), |_, (w, dw, a, b, c)| {
            self.apply(cpu, w, dw, [a, b, c].map(Option::unwrap_or_default));
        });
        Ok(())
    }
}
