//! AdamW: Adam whose weight decay does not pass through the moments.
//!
//! w ← (1 − η·λ)·w, then Adam's step (module `adam`) with g = dw.
//!
//! # Source
//! Loshchilov & Hutter 2019, "Decoupled weight decay regularization".

use super::adam::Moments;
use super::cuda::MlpRule;
use super::{Optimizer, Rule, Run, demand_rate};
use crate::Result;
use crate::layer::{Fields, fields};
use crate::memory::Step;
use serde::{Deserialize, Serialize};

/// Adam with decoupled weight decay.
///
/// # Examples
/// ```
/// use kamacite::optim::{AdamW, Optimizer};
/// assert!(AdamW::new(1e-3).weight_decay(0.05).check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    learning_rate: f64,
    #[serde(flatten)]
    moments: Moments,
    weight_decay: f64,
}

impl AdamW {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, weight decay 0.01.
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, moments: Moments::STANDARD, weight_decay: 0.01 }
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

    /// The decay λ; a step takes the share η·λ of each weight.
    #[must_use]
    pub fn weight_decay(mut self, rate: f64) -> Self {
        self.weight_decay = rate;
        self
    }
}

impl Optimizer for AdamW {
    fn kind(&self) -> &'static str {
        "adamw"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn check(&self) -> Result<()> {
        demand_rate("adamw", "learning rate", self.learning_rate)?;
        demand_rate("adamw", "weight decay", self.weight_decay)?;
        self.moments.check("adamw")
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn words(&self) -> usize {
        self.moments.words()
    }

    fn update(&self, s: &Step<'_>, run: &Run<'_>) -> Result<()> {
        self.moments.update(s, run, self.weight_decay, true)
    }

    fn rule(&self, run: &Run<'_>) -> Option<Rule> {
        Some(self.moments.on_slices(run, self.weight_decay, true))
    }

    fn in_mlp(&self) -> Option<MlpRule> {
        Some(self.moments.in_mlp(self.weight_decay, true))
    }
}

#[cfg(test)]
mod tests {
    use super::super::adam::tests::published;
    use super::super::testing::{Case, follows, refuses};
    use super::*;

    #[test]
    fn follows_its_equations() -> Result<()> {
        for adamw in [AdamW::new(0.05), AdamW::new(0.05).weight_decay(0.5), AdamW::new(0.05).weight_decay(0.5).amsgrad()] {
            let adam = published(&adamw.moments, 0.0);
            let decay = adamw.weight_decay;
            follows(&adamw, |c: &Case, w, dw, words: &mut [f64]| {
                let shrunk = if c.decay { w - c.learning_rate * decay * w } else { w };
                adam(c, shrunk, dw, words)
            })?;
        }
        Ok(())
    }

    #[test]
    fn refuses_values_outside_their_domain() {
        refuses(&[
            &AdamW::new(f64::NAN),
            &AdamW::new(0.1).betas(-0.1, 0.9),
            &AdamW::new(0.1).eps(f64::INFINITY),
            &AdamW::new(0.1).weight_decay(-0.1),
        ]);
    }
}
