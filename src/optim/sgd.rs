//! Stochastic gradient descent, with momentum.
//!
//! With the gradient g = dw + λ·w (weight decay λ) and momentum m:
//!
//! - v ← m·v + g, w ← w − η·v (default);
//! - v ← m·v + η·g, w ← w − v ([`Sgd::velocity_form`]).
//!
//! Both are the same while the learning rate η is constant; when it falls, the second form goes on with the velocity it
//! has. With [`Sgd::nesterov`] the step is g + m·v (η·g + m·v) instead of v, with the new v. v is 0 at first.
//!
//! # Source
//! Polyak 1964; Nesterov 1983 in the form of Sutskever et al. 2013, "On the importance of initialization and momentum".

use super::cuda::{MlpRule, RuleKind, Sweep};
use super::rule::{Kind, Rule};
use super::{Optimizer, Run, demand, demand_rate, demand_share};
use crate::device::{Device, per_isa};
use crate::layer::{Fields, fields};
use crate::memory::Step;
use crate::{Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// Stochastic gradient descent: w ← w − η·(dw + λ·w), or with momentum as above.
///
/// # Examples
/// ```
/// use kamacite::optim::{Optimizer, Sgd};
/// let plain = Sgd::new(0.1);
/// let heavy = Sgd::new(4e-3).momentum(0.9).nesterov().weight_decay(1e-4);
/// assert_eq!((plain.words(), heavy.words()), (0, 1));
/// assert!(heavy.check().is_ok() && Sgd::new(0.1).momentum(1.5).check().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sgd {
    learning_rate: f64,
    #[serde(default)]
    momentum: f64,
    #[serde(default)]
    nesterov: bool,
    #[serde(default)]
    weight_decay: f64,
    #[serde(default)]
    velocity_form: bool,
}

impl Sgd {
    /// Plain descent at this learning rate.
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, momentum: 0.0, nesterov: false, weight_decay: 0.0, velocity_form: false }
    }

    /// Keeps a velocity with this memory m, 0 ≤ m < 1.
    #[must_use]
    pub fn momentum(mut self, m: f64) -> Self {
        self.momentum = m;
        self
    }

    /// Looks ahead by one step of momentum.
    #[must_use]
    pub fn nesterov(mut self) -> Self {
        self.nesterov = true;
        self
    }

    /// Adds λ·w to the gradient.
    #[must_use]
    pub fn weight_decay(mut self, rate: f64) -> Self {
        self.weight_decay = rate;
        self
    }

    /// Puts the learning rate into the velocity, as CIANNA does.
    #[must_use]
    pub fn velocity_form(mut self) -> Self {
        self.velocity_form = true;
        self
    }
}

impl Optimizer for Sgd {
    fn kind(&self) -> &'static str {
        "sgd"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn check(&self) -> Result<()> {
        demand_rate("sgd", "learning rate", self.learning_rate)?;
        demand_rate("sgd", "weight decay", self.weight_decay)?;
        demand_share("sgd", "momentum", self.momentum)?;
        demand(!self.nesterov || self.momentum > 0.0, "sgd", "momentum", "above 0 with nesterov", self.momentum)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn words(&self) -> usize {
        usize::from(self.momentum > 0.0)
    }

    fn update(&self, s: &Step<'_>, run: &Run<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => self.on_slices(run).sweep::<T>(cpu, s, run)),
            Device::Cuda(cuda) => {
                let args = SgdArgs {
                    run: run.on_device(s, self.words(), self.weight_decay)?,
                    momentum: self.momentum,
                    nesterov: u32::from(self.nesterov),
                    velocity_form: u32::from(self.velocity_form),
                };
                run.launch(cuda, if self.words() == 0 { "sgd" } else { "sgd_momentum" }, &args)
            }
        }
    }

    fn rule(&self, run: &Run<'_>) -> Option<Rule> {
        Some(self.on_slices(run))
    }

    fn in_mlp(&self) -> Option<MlpRule> {
        let kind = if self.words() == 0 { RuleKind::Sgd } else { RuleKind::SgdMomentum };
        let flags = MlpRule::flags(self.nesterov, self.velocity_form);
        Some(MlpRule::new(kind, [self.momentum, flags, 0.0, 0.0], self.weight_decay))
    }
}

impl Sgd {
    fn on_slices(&self, run: &Run<'_>) -> Rule {
        let lr = run.learning_rate;
        let (inner, outer) = if self.velocity_form { (lr, 1.0) } else { (1.0, lr) };
        let (ahead, kept) = if self.nesterov { (1.0, self.momentum) } else { (0.0, 1.0) };
        let k = Factors {
            scale: inner * run.grad_scale,
            decay: inner * run.decay(self.weight_decay),
            momentum: self.momentum,
            ahead: outer * ahead,
            kept: outer * kept,
        };
        Rule(if self.words() == 0 { Kind::Plain(Factors { ahead: outer, ..k }) } else { Kind::Heavy(k) })
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct SgdArgs {
    run: Sweep,
    momentum: f64,
    nesterov: u32,
    velocity_form: u32,
}

/// g = scale·dw + decay·w; v ← momentum·v + g; w ← w − (ahead·g + kept·v).
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors<T> {
    scale: T,
    decay: T,
    momentum: T,
    ahead: T,
    kept: T,
}

impl Factors<f64> {
    #[inline(always)]
    pub fn cast<T: Real>(&self) -> Factors<T> {
        let of = T::of;
        let &Self { scale, decay, momentum, ahead, kept } = self;
        Factors { scale: of(scale), decay: of(decay), momentum: of(momentum), ahead: of(ahead), kept: of(kept) }
    }
}

per_isa! {
    pub(super) fn plain<T: Real>(cpu: &Cpu, k: Factors<T>, w: &mut [T], dw: &[T]) {
        for (w, dw) in w.iter_mut().zip(dw) {
            *w -= k.ahead * (k.scale * *dw + k.decay * *w);
        }
    }
}

per_isa! {
    pub(super) fn heavy<T: Real>(cpu: &Cpu, k: Factors<T>, w: &mut [T], dw: &[T], v: &mut [T]) {
        for ((w, dw), v) in w.iter_mut().zip(dw).zip(v) {
            let g = k.scale * *dw + k.decay * *w;
            *v = k.momentum * *v + g;
            *w -= k.ahead * g + k.kept * *v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, follows, refuses};
    use super::*;

    /// w ← w − η·d with v ← m·v + g, d = v or g + m·v.
    fn torch(sgd: &Sgd) -> impl Fn(&Case, f64, f64, &mut [f64]) -> f64 {
        let (m, nesterov, decay) = (sgd.momentum, sgd.nesterov, sgd.weight_decay);
        move |c, w, dw, v| {
            let g = c.scale * dw + if c.decay { decay * w } else { 0.0 };
            let Some(v) = v.first_mut() else { return w - c.learning_rate * g };
            *v = m * *v + g;
            w - c.learning_rate * if nesterov { g + m * *v } else { *v }
        }
    }

    #[test]
    fn follows_its_equations() -> Result<()> {
        for sgd in [
            Sgd::new(0.05),
            Sgd::new(0.05).weight_decay(0.1),
            Sgd::new(0.05).momentum(0.9),
            Sgd::new(0.05).momentum(0.8).weight_decay(0.1),
            Sgd::new(0.05).momentum(0.8).weight_decay(0.1).nesterov(),
        ] {
            follows(&sgd, torch(&sgd))?;
        }
        Ok(())
    }

    /// CIANNA: v ← η·g + m·v + η·λ·w, w ← w − v. The learning rate of the harness changes at every step, so the default
    /// form would fail here.
    #[test]
    fn velocity_form_keeps_the_learning_rate_in_the_velocity() -> Result<()> {
        for nesterov in [false, true] {
            let mut sgd = Sgd::new(0.05).momentum(0.9).weight_decay(0.1).velocity_form();
            sgd.nesterov = nesterov;
            follows(&sgd, |c: &Case, w, dw, v: &mut [f64]| {
                let (lr, decay) = (c.learning_rate, if c.decay { 0.1 } else { 0.0 });
                let g = lr * c.scale * dw + lr * decay * w;
                v[0] = g + 0.9 * v[0];
                w - if nesterov { g + 0.9 * v[0] } else { v[0] }
            })?;
        }
        Ok(())
    }

    #[test]
    fn refuses_values_outside_their_domain() {
        refuses(&[
            &Sgd::new(-0.1),
            &Sgd::new(f64::NAN),
            &Sgd::new(f64::INFINITY),
            &Sgd::new(0.1).momentum(1.0),
            &Sgd::new(0.1).momentum(-0.1),
            &Sgd::new(0.1).weight_decay(-1.0),
            &Sgd::new(0.1).nesterov(),
        ]);
    }
}
