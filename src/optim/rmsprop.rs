//! RMSprop.
//!
//! With the gradient g = dw + λ·w and the memory α:
//!
//! v ← α·v + (1 − α)·g², u = g/(√v + ε), w ← w − η·u.
//!
//! Centred: a ← α·a + (1 − α)·g, and √(v − a²) takes the place of √v. With momentum m: b ← m·b + u, w ← w − η·b.
//!
//! # Source
//! Tieleman & Hinton 2012, "Lecture 6.5: RMSprop"; Graves 2013, "Generating sequences with recurrent neural networks"
//! (centred). ε is outside of the root, as in PyTorch.

use super::cuda::{MlpRule, RuleKind, Sweep};
use super::{CHUNK, Optimizer, Run, cut, demand_epsilon, demand_rate, demand_share, view};
use crate::device::{Cpu, Device, per_isa};
use crate::layer::{Fields, fields};
use crate::memory::{Element, Step};
use crate::{Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// RMSprop, optionally centred and with momentum.
///
/// # Examples
/// ```
/// use kamacite::optim::{Optimizer, RmsProp};
/// assert_eq!(RmsProp::new(1e-2).momentum(0.9).centered().words(), 3);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RmsProp {
    learning_rate: f64,
    alpha: f64,
    eps: f64,
    #[serde(default)]
    momentum: f64,
    #[serde(default)]
    centered: bool,
    #[serde(default)]
    weight_decay: f64,
}

impl RmsProp {
    /// α = 0.99, ε = 10⁻⁸, no momentum, not centred.
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 }
    }

    /// The memory of the running means.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// What is added to the denominator.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Keeps a velocity with this memory, 0 ≤ m < 1.
    #[must_use]
    pub fn momentum(mut self, m: f64) -> Self {
        self.momentum = m;
        self
    }

    /// Divides by the standard deviation of the gradient instead of its root mean square.
    #[must_use]
    pub fn centered(mut self) -> Self {
        self.centered = true;
        self
    }

    /// Adds λ·w to the gradient.
    #[must_use]
    pub fn weight_decay(mut self, rate: f64) -> Self {
        self.weight_decay = rate;
        self
    }
}

impl Optimizer for RmsProp {
    fn kind(&self) -> &'static str {
        "rmsprop"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn check(&self) -> Result<()> {
        demand_rate("rmsprop", "learning rate", self.learning_rate)?;
        demand_rate("rmsprop", "weight decay", self.weight_decay)?;
        demand_share("rmsprop", "alpha", self.alpha)?;
        demand_share("rmsprop", "momentum", self.momentum)?;
        demand_epsilon("rmsprop", self.eps)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// The square, then the velocity, then the mean, where kept.
    fn words(&self) -> usize {
        1 + usize::from(self.momentum > 0.0) + usize::from(self.centered)
    }

    fn update(&self, s: &Step<'_>, run: &Run<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => self.sweep::<T>(cpu, s, run)),
            Device::Cuda(cuda) => {
                let run_args = run.on_device(s, self.words(), self.weight_decay)?;
                let args = RmsPropArgs { run: run_args, alpha: self.alpha, momentum: self.momentum, eps: self.eps };
                let kernel = match (self.momentum > 0.0, self.centered) {
                    (false, false) => "rmsprop",
                    (true, false) => "rmsprop_momentum",
                    (false, true) => "rmsprop_centered",
                    (true, true) => "rmsprop_momentum_centered",
                };
                run.launch(cuda, kernel, &args)
            }
        }
    }

    fn in_mlp(&self) -> Option<MlpRule> {
        let kind = match (self.momentum > 0.0, self.centered) {
            (false, false) => RuleKind::RmsProp,
            (true, false) => RuleKind::RmsPropMomentum,
            (false, true) => RuleKind::RmsPropCentered,
            (true, true) => RuleKind::RmsPropBoth,
        };
        Some(MlpRule::new(kind, [self.alpha, self.momentum, self.eps, 0.0], self.weight_decay))
    }
}

impl RmsProp {
    fn sweep<T: Real + Element>(&self, cpu: &Cpu, s: &Step<'_>, run: &Run<'_>) -> Result<()> {
        let k = Factors {
            rate: T::of(run.learning_rate),
            scale: T::of(run.grad_scale),
            decay: T::of(run.decay(self.weight_decay)),
            alpha: T::of(self.alpha),
            rest: T::of(1.0 - self.alpha),
            momentum: T::of(self.momentum),
            eps: T::of(self.eps),
        };
        let range = &run.range;
        let (mut w, dw, mut v) = (s.write::<T>(run.w)?, s.read::<T>(run.dw)?, run.word::<T>(s, 0)?);
        let (w, dw, v) = (cut(&mut w, range)?, view(&dw, range)?, cut(&mut v, range)?);
        match (self.momentum > 0.0, self.centered) {
            (false, false) => cpu.split(CHUNK, (w, dw, v), |_, (w, dw, v)| rms(cpu, k, w, dw, v)),
            (false, true) => {
                let mut a = run.word::<T>(s, 1)?;
                cpu.split(CHUNK, (w, dw, v, cut(&mut a, range)?), |_, (w, dw, v, a)| centred(cpu, k, w, dw, v, a));
            }
            (true, false) => {
                let mut b = run.word::<T>(s, 1)?;
                cpu.split(CHUNK, (w, dw, v, cut(&mut b, range)?), |_, (w, dw, v, b)| heavy(cpu, k, w, dw, v, b));
            }
            (true, true) => {
                let (mut b, mut a) = (run.word::<T>(s, 1)?, run.word::<T>(s, 2)?);
                let parts = (w, dw, v, cut(&mut a, range)?, cut(&mut b, range)?);
                cpu.split(CHUNK, parts, |_, (w, dw, v, a, b)| heavy_centred(cpu, k, w, dw, v, a, b));
            }
        }
        Ok(())
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct RmsPropArgs {
    run: Sweep,
    alpha: f64,
    momentum: f64,
    eps: f64,
}

#[derive(Clone, Copy)]
struct Factors<T> {
    rate: T,
    scale: T,
    decay: T,
    alpha: T,
    /// 1 − α, rounded once.
    rest: T,
    momentum: T,
    eps: T,
}

impl<T: Real> Factors<T> {
    /// u, and the new v.
    #[inline(always)]
    fn scaled(&self, w: T, dw: T, v: T) -> (T, T) {
        let g = self.scale * dw + self.decay * w;
        let v = self.alpha * v + self.rest * (g * g);
        (g / (v.sqrt() + self.eps), v)
    }

    /// u, and the new v and a. The variance v − a² may come out below 0 by rounding; it counts as 0 then.
    #[inline(always)]
    fn centred(&self, w: T, dw: T, v: T, a: T) -> (T, T, T) {
        let g = self.scale * dw + self.decay * w;
        let (v, a) = (self.alpha * v + self.rest * (g * g), self.alpha * a + self.rest * g);
        let variance = v - a * a;
        let variance = if variance < T::ZERO { T::ZERO } else { variance };
        (g / (variance.sqrt() + self.eps), v, a)
    }
}

per_isa! {
    fn rms<T: Real>(cpu: &Cpu, k: Factors<T>, w: &mut [T], dw: &[T], v: &mut [T]) {
        for ((w, dw), v) in w.iter_mut().zip(dw).zip(v) {
            let (u, next) = k.scaled(*w, *dw, *v);
            *v = next;
            *w -= k.rate * u;
        }
    }
}

per_isa! {
    fn heavy<T: Real>(cpu: &Cpu, k: Factors<T>, w: &mut [T], dw: &[T], v: &mut [T], b: &mut [T]) {
        for (((w, dw), v), b) in w.iter_mut().zip(dw).zip(v).zip(b) {
            let (u, next) = k.scaled(*w, *dw, *v);
            *v = next;
            *b = k.momentum * *b + u;
            *w -= k.rate * *b;
        }
    }
}

per_isa! {
    fn centred<T: Real>(cpu: &Cpu, k: Factors<T>, w: &mut [T], dw: &[T], v: &mut [T], a: &mut [T]) {
        for (((w, dw), v), a) in w.iter_mut().zip(dw).zip(v).zip(a) {
            let (u, next, mean) = k.centred(*w, *dw, *v, *a);
            (*v, *a) = (next, mean);
            *w -= k.rate * u;
        }
    }
}

per_isa! {
    fn heavy_centred<T: Real>(cpu: &Cpu, k: Factors<T>, w: &mut [T], dw: &[T], v: &mut [T], a: &mut [T], b: &mut [T]) {
        for ((((w, dw), v), a), b) in w.iter_mut().zip(dw).zip(v).zip(a).zip(b) {
            let (u, next, mean) = k.centred(*w, *dw, *v, *a);
            (*v, *a) = (next, mean);
            *b = k.momentum * *b + u;
            *w -= k.rate * *b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, follows, refuses};
    use super::*;

    #[test]
    fn follows_its_equations() -> Result<()> {
        for rms in [
            RmsProp::new(0.05),
            RmsProp::new(0.05).alpha(0.9).eps(1e-3).weight_decay(0.1),
            RmsProp::new(0.05).momentum(0.8),
            RmsProp::new(0.05).centered(),
            RmsProp::new(0.05).momentum(0.8).centered().weight_decay(0.1),
        ] {
            let k = rms.clone();
            follows(&rms, move |c: &Case, w, dw, words: &mut [f64]| {
                let g = c.scale * dw + if c.decay { k.weight_decay * w } else { 0.0 };
                words[0] = k.alpha * words[0] + (1.0 - k.alpha) * g * g;
                let mut square = words[0];
                if k.centered {
                    let mean = words.last_mut().expect("a mean");
                    *mean = k.alpha * *mean + (1.0 - k.alpha) * g;
                    square -= *mean * *mean;
                }
                let u = g / (square.sqrt() + k.eps);
                if k.momentum == 0.0 {
                    return w - c.learning_rate * u;
                }
                words[1] = k.momentum * words[1] + u;
                w - c.learning_rate * words[1]
            })?;
        }
        Ok(())
    }

    /// A constant gradient drives the variance to 0, where rounding can make v − a² negative; the step must stay finite.
    #[test]
    fn centred_survives_a_vanishing_variance() {
        let k: Factors<f32> = Factors { rate: 0.1, scale: 1.0, decay: 0.0, alpha: 0.5, rest: 0.5, momentum: 0.0, eps: 1e-8 };
        let mut below = 0;
        for i in 1..1000 {
            let g = 0.1 + i as f32 * 1.7e-3;
            let (mut v, mut a) = (0.0, 0.0);
            for _ in 0..60 {
                let u;
                (u, v, a) = k.centred(0.0, g, v, a);
                assert!(u.is_finite());
            }
            below += usize::from(v - a * a < 0.0);
        }
        assert!(below > 0, "no gradient reached the case this test is for");
    }

    #[test]
    fn refuses_values_outside_their_domain() {
        refuses(&[
            &RmsProp::new(-0.1),
            &RmsProp::new(0.1).alpha(1.0),
            &RmsProp::new(0.1).eps(-1.0),
            &RmsProp::new(0.1).momentum(1.0),
            &RmsProp::new(0.1).weight_decay(f64::NAN),
        ]);
    }
}
