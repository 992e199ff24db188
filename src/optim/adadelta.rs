//! Adadelta.
//!
//! With the gradient g = dw + λ·w and the memory ρ:
//!
//! v ← ρ·v + (1 − ρ)·g², δ = g·√(a + ε)/√(v + ε), a ← ρ·a + (1 − ρ)·δ², w ← w − η·δ.
//!
//! # Source
//! Zeiler 2012, "ADADELTA: an adaptive learning rate method"; the factor η is 1 there.

use super::cuda::{MlpRule, RuleKind, Sweep};
use super::{CHUNK, Optimizer, Run, cut, demand_epsilon, demand_rate, demand_share, view};
use crate::device::{Cpu, Device, per_isa};
use crate::layer::{Fields, fields};
use crate::memory::{Element, Step};
use crate::{Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// Adadelta: steps in the units of the weights, so that the learning rate is 1 in the paper.
///
/// # Examples
/// ```
/// use kamacite::optim::{Adadelta, Optimizer};
/// assert_eq!(Adadelta::new(1.0).rho(0.95).words(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adadelta {
    learning_rate: f64,
    rho: f64,
    eps: f64,
    #[serde(default)]
    weight_decay: f64,
}

impl Adadelta {
    /// ρ = 0.9, ε = 10⁻⁶.
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, rho: 0.9, eps: 1e-6, weight_decay: 0.0 }
    }

    /// The memory of the running means.
    #[must_use]
    pub fn rho(mut self, rho: f64) -> Self {
        self.rho = rho;
        self
    }

    /// What is added under both roots; it sets the size of the first steps.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Adds λ·w to the gradient.
    #[must_use]
    pub fn weight_decay(mut self, rate: f64) -> Self {
        self.weight_decay = rate;
        self
    }
}

impl Optimizer for Adadelta {
    fn kind(&self) -> &'static str {
        "adadelta"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn check(&self) -> Result<()> {
        demand_rate("adadelta", "learning rate", self.learning_rate)?;
        demand_rate("adadelta", "weight decay", self.weight_decay)?;
        demand_share("adadelta", "rho", self.rho)?;
        demand_epsilon("adadelta", self.eps)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn words(&self) -> usize {
        2
    }

    fn update(&self, s: &Step<'_>, run: &Run<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => self.sweep::<T>(cpu, s, run)),
            Device::Cuda(cuda) => {
                let args = AdadeltaArgs { run: run.on_device(s, self.words(), self.weight_decay)?, rho: self.rho, eps: self.eps };
                run.launch(cuda, "adadelta", &args)
            }
        }
    }

    fn in_mlp(&self) -> Option<MlpRule> {
        Some(MlpRule::new(RuleKind::Adadelta, [self.rho, self.eps, 0.0, 0.0], self.weight_decay))
    }
}

impl Adadelta {
    fn sweep<T: Real + Element>(&self, cpu: &Cpu, s: &Step<'_>, run: &Run<'_>) -> Result<()> {
        let k = Factors {
            rate: T::of(run.learning_rate),
            scale: T::of(run.grad_scale),
            decay: T::of(run.decay(self.weight_decay)),
            rho: T::of(self.rho),
            rest: T::of(1.0 - self.rho),
            eps: T::of(self.eps),
        };
        let range = &run.range;
        let (mut w, dw) = (s.write::<T>(run.w)?, s.read::<T>(run.dw)?);
        let (mut v, mut a) = (run.word::<T>(s, 0)?, run.word::<T>(s, 1)?);
        let parts = (cut(&mut w, range)?, view(&dw, range)?, cut(&mut v, range)?, cut(&mut a, range)?);
        cpu.split(CHUNK, parts, |_, (w, dw, v, a)| adadelta(cpu, k, w, dw, v, a));
        Ok(())
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct AdadeltaArgs {
    run: Sweep,
    rho: f64,
    eps: f64,
}

#[derive(Clone, Copy)]
struct Factors<T> {
    rate: T,
    scale: T,
    decay: T,
    rho: T,
    /// 1 − ρ, rounded once.
    rest: T,
    eps: T,
}

per_isa! {
    fn adadelta<T: Real>(cpu: &Cpu, k: Factors<T>, w: &mut [T], dw: &[T], v: &mut [T], a: &mut [T]) {
        for (((w, dw), v), a) in w.iter_mut().zip(dw).zip(v).zip(a) {
            let g = k.scale * *dw + k.decay * *w;
            *v = k.rho * *v + k.rest * (g * g);
            let delta = g * ((*a + k.eps).sqrt() / (*v + k.eps).sqrt());
            *a = k.rho * *a + k.rest * (delta * delta);
            *w -= k.rate * delta;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, follows, refuses};
    use super::*;

    #[test]
    fn follows_its_equations() -> Result<()> {
        for adadelta in [Adadelta::new(1.0), Adadelta::new(0.7).rho(0.8).eps(1e-3).weight_decay(0.1)] {
            let k = adadelta.clone();
            follows(&adadelta, move |c: &Case, w, dw, words: &mut [f64]| {
                let g = c.scale * dw + if c.decay { k.weight_decay * w } else { 0.0 };
                words[0] = k.rho * words[0] + (1.0 - k.rho) * g.powi(2);
                let delta = (words[1] + k.eps).sqrt() / (words[0] + k.eps).sqrt() * g;
                words[1] = k.rho * words[1] + (1.0 - k.rho) * delta.powi(2);
                w - c.learning_rate * delta
            })?;
        }
        Ok(())
    }

    #[test]
    fn refuses_values_outside_their_domain() {
        refuses(&[&Adadelta::new(-1.0), &Adadelta::new(1.0).rho(1.0), &Adadelta::new(1.0).eps(0.0)]);
    }
}
