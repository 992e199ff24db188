//! Adam.
//!
//! With the gradient g = dw + λ·w and the count of updates t = 1, 2, …:
//!
//! m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g²,
//! w ← w − η·m/(1 − β₁ᵗ) / (√(v̂/(1 − β₂ᵗ)) + ε),
//!
//! where v̂ is v, or with [`Adam::amsgrad`] the largest v so far.
//!
//! # Source
//! Kingma & Ba 2015, "Adam: a method for stochastic optimization"; Reddi, Kale & Kumar 2018, "On the convergence of Adam
//! and beyond".

use super::cuda::{MlpRule, RuleKind, Sweep};
use super::rule::{Kind, Rule};
use super::{Optimizer, Run, demand_epsilon, demand_rate, demand_share};
use crate::device::{Device, per_isa};
use crate::layer::{Fields, fields};
use crate::memory::Step;
use crate::{Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// Adam with weight decay as part of the gradient (L2); see [`AdamW`](super::AdamW) for decay of the weights themselves.
///
/// # Examples
/// ```
/// use kamacite::optim::{Adam, Optimizer};
/// let adam = Adam::new(1e-3).betas(0.9, 0.99).amsgrad();
/// assert_eq!(adam.words(), 3);
/// assert!(adam.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    learning_rate: f64,
    #[serde(flatten)]
    moments: Moments,
    #[serde(default)]
    weight_decay: f64,
}

impl Adam {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, no weight decay.
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, moments: Moments::STANDARD, weight_decay: 0.0 }
    }

    /// The memory of the first and the second moment.
    #[must_use]
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        (self.moments.beta1, self.moments.beta2) = (beta1, beta2);
        self
    }

    /// What is added to the denominator.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.moments.eps = eps;
        self
    }

    /// Divides by the largest second moment so far.
    #[must_use]
    pub fn amsgrad(mut self) -> Self {
        self.moments.amsgrad = true;
        self
    }

    /// Adds λ·w to the gradient.
    #[must_use]
    pub fn weight_decay(mut self, rate: f64) -> Self {
        self.weight_decay = rate;
        self
    }
}

impl Optimizer for Adam {
    fn kind(&self) -> &'static str {
        "adam"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn check(&self) -> Result<()> {
        demand_rate("adam", "learning rate", self.learning_rate)?;
        demand_rate("adam", "weight decay", self.weight_decay)?;
        self.moments.check("adam")
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn words(&self) -> usize {
        self.moments.words()
    }

    fn update(&self, s: &Step<'_>, run: &Run<'_>) -> Result<()> {
        self.moments.update(s, run, self.weight_decay, false)
    }

    fn rule(&self, run: &Run<'_>) -> Option<Rule> {
        Some(self.moments.on_slices(run, self.weight_decay, false))
    }

    fn in_mlp(&self) -> Option<MlpRule> {
        Some(self.moments.in_mlp(self.weight_decay, false))
    }
}

/// What Adam and AdamW share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Moments {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    #[serde(default)]
    pub amsgrad: bool,
}

impl Moments {
    pub const STANDARD: Self = Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, amsgrad: false };

    pub fn check(&self, rule: &str) -> Result<()> {
        demand_share(rule, "beta1", self.beta1)?;
        demand_share(rule, "beta2", self.beta2)?;
        demand_epsilon(rule, self.eps)
    }

    pub fn words(&self) -> usize {
        2 + usize::from(self.amsgrad)
    }

    /// One sweep. Weight decay at this rate goes into the gradient or, `decoupled`, shrinks the weights first.
    pub fn update(&self, s: &Step<'_>, run: &Run<'_>, rate: f64, decoupled: bool) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => self.on_slices(run, rate, decoupled).sweep::<T>(cpu, s, run)),
            Device::Cuda(cuda) => {
                let args = AdamArgs {
                    run: run.on_device(s, self.words(), rate)?,
                    beta1: self.beta1,
                    beta2: self.beta2,
                    eps: self.eps,
                    decoupled: u32::from(decoupled),
                    unused: 0,
                };
                run.launch(cuda, if self.amsgrad { "adam_amsgrad" } else { "adam" }, &args)
            }
        }
    }

    /// The rule within a kernel.
    pub fn in_mlp(&self, rate: f64, decoupled: bool) -> MlpRule {
        let kind = if self.amsgrad { RuleKind::AdamAmsgrad } else { RuleKind::Adam };
        MlpRule::new(kind, [self.beta1, self.beta2, self.eps, MlpRule::flags(decoupled, false)], rate)
    }

    /// The sweep's rule.
    pub fn on_slices(&self, run: &Run<'_>, rate: f64, decoupled: bool) -> Rule {
        let decay = run.decay(rate);
        let (decay, shrink) = if decoupled { (0.0, 1.0 - run.learning_rate * decay) } else { (decay, 1.0) };
        let t = run.step as f64 + 1.0;
        let [bias1, bias2] = [self.beta1, self.beta2].map(|beta| 1.0 - libm::pow(beta, t));
        let k = Factors {
            scale: run.grad_scale,
            decay,
            shrink,
            beta: [self.beta1, self.beta2],
            rest: [1.0 - self.beta1, 1.0 - self.beta2],
            rate: run.learning_rate / bias1,
            root: 1.0 / bias2.sqrt(),
            eps: self.eps,
        };
        Rule(if self.amsgrad { Kind::Amsgrad(k) } else { Kind::Adam(k) })
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct AdamArgs {
    run: Sweep,
    beta1: f64,
    beta2: f64,
    eps: f64,
    decoupled: u32,
    unused: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Factors<T> {
    scale: T,
    decay: T,
    shrink: T,
    beta: [T; 2],
    /// 1 − β, rounded once.
    rest: [T; 2],
    /// η/(1 − β₁ᵗ).
    rate: T,
    /// 1/√(1 − β₂ᵗ).
    root: T,
    eps: T,
}

impl Factors<f64> {
    #[inline(always)]
    pub fn cast<T: Real>(&self) -> Factors<T> {
        let of = T::of;
        let &Self { scale, decay, shrink, beta, rest, rate, root, eps } = self;
        let (beta, rest) = (beta.map(of), rest.map(of));
        Factors {
            scale: of(scale),
            decay: of(decay),
            shrink: of(shrink),
            beta,
            rest,
            rate: of(rate),
            root: of(root),
            eps: of(eps),
        }
    }
}

impl<T: Real> Factors<T> {
    /// The weight after shrinking, and both moments.
    #[inline(always)]
    fn moments(&self, w: T, dw: T, m: T, v: T) -> (T, T, T) {
        let g = self.scale * dw + self.decay * w;
        (self.shrink * w, self.beta[0] * m + self.rest[0] * g, self.beta[1] * v + self.rest[1] * (g * g))
    }

    #[inline(always)]
    fn step(&self, m: T, v: T) -> T {
        self.rate * (m / (v.sqrt() * self.root + self.eps))
    }
}

per_isa! {
    pub(super) fn adam<T: Real>(cpu: &Cpu, k: Factors<T>, w: &mut [T], dw: &[T], m: &mut [T], v: &mut [T]) {
        for (((w, dw), m), v) in w.iter_mut().zip(dw).zip(m).zip(v) {
            (*w, *m, *v) = k.moments(*w, *dw, *m, *v);
            *w -= k.step(*m, *v);
        }
    }
}

per_isa! {
    pub(super) fn amsgrad<T: Real>(cpu: &Cpu, k: Factors<T>, w: &mut [T], dw: &[T], m: &mut [T], v: &mut [T], top: &mut [T]) {
        for ((((w, dw), m), v), top) in w.iter_mut().zip(dw).zip(m).zip(v).zip(top) {
            (*w, *m, *v) = k.moments(*w, *dw, *m, *v);
            // Not `max`, which would drop a NaN.
            *top = if *v < *top { *top } else { *v };
            *w -= k.step(*m, *top);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::testing::{Case, follows, refuses};
    use super::*;

    /// The published equations, bias-corrected moments and all.
    pub fn published(k: &Moments, decay: f64) -> impl Fn(&Case, f64, f64, &mut [f64]) -> f64 {
        let k = k.clone();
        move |c, w, dw, words| {
            let g = c.scale * dw + if c.decay { decay * w } else { 0.0 };
            words[0] = k.beta1 * words[0] + (1.0 - k.beta1) * g;
            words[1] = k.beta2 * words[1] + (1.0 - k.beta2) * g.powi(2);
            if k.amsgrad {
                words[2] = words[2].max(words[1]);
            }
            let t = c.step as i32 + 1;
            let m = words[0] / (1.0 - k.beta1.powi(t));
            let v = words[if k.amsgrad { 2 } else { 1 }] / (1.0 - k.beta2.powi(t));
            w - c.learning_rate * m / (v.sqrt() + k.eps)
        }
    }

    #[test]
    fn follows_its_equations() -> Result<()> {
        for adam in [
            Adam::new(0.05),
            Adam::new(0.05).betas(0.8, 0.95).eps(1e-3),
            Adam::new(0.05).weight_decay(0.1),
            Adam::new(0.05).betas(0.5, 0.5).amsgrad().weight_decay(0.1),
            Adam::new(0.05).betas(0.0, 0.0),
        ] {
            follows(&adam, published(&adam.moments, adam.weight_decay))?;
        }
        Ok(())
    }

    #[test]
    fn refuses_values_outside_their_domain() {
        refuses(&[
            &Adam::new(-0.1),
            &Adam::new(0.1).betas(1.0, 0.9),
            &Adam::new(0.1).betas(0.9, f64::NAN),
            &Adam::new(0.1).eps(0.0),
            &Adam::new(0.1).eps(1e-50),
            &Adam::new(0.1).weight_decay(f64::INFINITY),
        ]);
    }
}
