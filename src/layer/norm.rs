//! Normalisation: x̂ = (x − μ)·ρ with ρ = 1/√(v + ε), y = γ·x̂ + β. The mean μ and the biased variance v are of a *set* of N
//! values:
//!
//! * batch: one channel over the valid rows and all positions;
//! * groups, instance, layer: some, one, all channels of one sample over all its positions.
//!
//! With g = γ·dy and means over the set: dx = ρ·(g − mean(g) − x̂·mean(g·x̂)), dγ = Σ dy·x̂, dβ = Σ dy. Batch statistics that
//! are constants (evaluation) leave dx = ρ·g.
//!
//! # Source
//! Ioffe & Szegedy 2015 (batch), Ba, Kiros & Hinton 2016 (layer), Ulyanov, Vedaldi & Lempitsky 2016 (instance), Wu & He
//! 2018 (groups).

mod cuda;
mod end;
mod pass;
mod pooled;

use super::{Fields, Layer, Part, Planned, fields, one};
use crate::memory::{ParamSpec, Planner};
use crate::op::bands::Statistics;
use crate::op::epilogue::Constants;
use crate::{DType, Error, Extent, Mode, Result};
use cuda::Gpu;
use end::NormEnd;
use pass::{Cut, NormPass};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Shifts and scales values to mean 0 and variance 1, then by a trained β and γ per channel.
///
/// # Shapes
/// The output has the extent of the input. `scale` (γ, 1 at first) and `shift` (β, 0 at first) have c elements; batch
/// normalisation also keeps `running_mean` and `running_var`.
///
/// # Errors
/// Refused at planning: groups that do not divide the channels, sets of one value, ε ≤ 0, a momentum outside of [0, 1].
///
/// # Examples
/// ```
/// use kamacite::layer::Norm;
/// let after_conv = Norm::batch();
/// let small_batches = Norm::groups(8);
/// let plain = Norm::layer().no_affine();
/// # let _ = (after_conv, small_batches, plain);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Norm {
    over: Over,
    eps: f64,
    #[serde(default = "momentum")]
    momentum: f64,
    #[serde(default = "affine")]
    affine: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Over {
    Batch,
    Layer,
    Instance,
    Groups(usize),
    Cianna { group_size: usize, set_off: usize },
}

const fn momentum() -> f64 {
    0.1
}

const fn affine() -> bool {
    true
}

impl Norm {
    const fn new(over: Over, eps: f64) -> Self {
        Self { over, eps, momentum: momentum(), affine: affine() }
    }

    /// Each channel over the batch. Training uses the statistics of the valid rows and updates the running ones,
    /// r ← (1−momentum)·r + momentum·statistic, with the unbiased variance N/(N−1)·v; a batch of a single value per channel
    /// leaves them alone. All other modes use the running ones.
    pub const fn batch() -> Self {
        Self::new(Over::Batch, 1e-5)
    }

    /// All values of a sample together. γ and β are per channel, so that they do not depend on the size of the image.
    pub const fn layer() -> Self {
        Self::new(Over::Layer, 1e-5)
    }

    /// Each channel of each sample.
    pub const fn instance() -> Self {
        Self::new(Over::Instance, 1e-5)
    }

    /// `n` groups of neighbouring channels of each sample.
    pub const fn groups(n: usize) -> Self {
        Self::new(Over::Groups(n), 1e-5)
    }

    /// Groups of `group_size` channels of each sample, one γ and one β for each group, ε = 10⁻³; the last `set_off` groups
    /// pass through unchanged and have neither. This is what CIANNA does.
    pub const fn cianna(group_size: usize, set_off: usize) -> Self {
        Self::new(Over::Cianna { group_size, set_off }, 1e-3)
    }

    /// What is added to the variance.
    #[must_use]
    pub const fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// The weight of a new batch in the running statistics: 0.1 unless set. (Keras counts the other way: 1 − its 0.99.)
    #[must_use]
    pub const fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Neither γ nor β.
    #[must_use]
    pub const fn no_affine(mut self) -> Self {
        self.affine = false;
        self
    }

    fn sets(&self, x: Extent) -> Result<Sets> {
        if !(self.eps.is_finite() && self.eps > 0.0) {
            return Err(Error::value("eps", "out of range").expected("a number above 0").got(self.eps));
        }
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Error::value("momentum", "out of range").expected("0 to 1").got(self.momentum));
        }
        let divides = |n: usize| {
            if n == 0 || !x.c.is_multiple_of(n) {
                let e = Error::shape("", "the groups do not divide the channels");
                return Err(e.expected(format!("a divisor of {}", x.c)).got(n));
            }
            Ok(n)
        };
        let whole = |channels| Sets { batch: false, channels, active: x.c, per_scale: 1 };
        let sets = match self.over {
            Over::Batch => return Ok(Sets { batch: true, ..whole(1) }),
            Over::Layer => whole(x.c),
            Over::Instance => whole(1),
            Over::Groups(n) => whole(x.c / divides(n)?),
            Over::Cianna { group_size, set_off } => {
                let groups = x.c / divides(group_size)?;
                let active = groups.checked_sub(set_off).filter(|&n| n > 0).ok_or_else(|| {
                    let e = Error::value("set_off", "no group is left");
                    e.expected(format!("fewer than {groups}")).got(set_off)
                })?;
                Sets { batch: false, channels: group_size, active: active * group_size, per_scale: group_size }
            }
        };
        if sets.channels * x.area() == 1 {
            return Err(Error::shape("", "each set holds a single value, which its own mean removes")
                .got(x)
                .hint("use Norm::layer or Norm::batch on plain vectors"));
        }
        Ok(sets)
    }
}

/// Which values are normalised together.
#[derive(Clone, Copy, Debug)]
struct Sets {
    /// Over all rows, else row by row.
    batch: bool,
    /// Neighbouring channels in a set.
    channels: usize,
    /// Channels that are normalised; those behind pass through.
    active: usize,
    /// Channels for each element of γ and β.
    per_scale: usize,
}

impl Layer for Norm {
    fn kind(&self) -> &'static str {
        "norm"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let x = one(x)?;
        let sets = self.sets(x)?;
        if sets.batch && p.mode() == Mode::Train && p.capacity().saturating_mul(x.area()) == 1 {
            return Err(Error::shape("", "a batch of one row has a single value per channel, which its own mean removes")
                .expected("2 rows or more")
                .got(1));
        }
        let param = |p: &mut Planner<'_>, name: &str, value: f64| match self.affine {
            true => p.param(name, ParamSpec::norm(sets.active / sets.per_scale, value)).map(Some),
            false => Ok(None),
        };
        let (scale, shift) = (param(p, "scale", 1.0)?, param(p, "shift", 0.0)?);
        let running = match sets.batch {
            true => {
                Some([p.state("running_mean", ParamSpec::norm(x.c, 0.0))?, p.state("running_var", ParamSpec::norm(x.c, 1.0))?])
            }
            false => None,
        };
        let rows = if sets.batch { p.capacity() } else { 1 };
        let (cut, gpu) = (Cut::new(x, rows, sets.batch), Gpu::new(x, sets, p)?);
        let on_gpu = p.device().is_cuda();
        let (width, table) = match on_gpu {
            true => (gpu.cut.partial(x, sets, p.capacity()), 2 * sets.active / sets.channels),
            false => (cut.chunks.saturating_mul(2 * x.c), 2 * x.c),
        };
        let (dtype, batch) = (p.master(), sets.batch);
        let scratch = |p: &mut Planner<'_>, dtype, n| if batch { p.scratch(dtype, n) } else { p.scratch_rows(dtype, n) };
        let backward = self.affine && p.mode().differentiable();
        let columns = (on_gpu && !batch && backward).then(|| p.scratch(DType::F64, gpu.cut.columns(x, sets, p.capacity())));
        let end = Arc::new(NormEnd::new(x, cut, sets, on_gpu.then_some(p.dtype())));
        let slopes = scratch(p, dtype, table);
        let table = if batch { p.saved_fixed(dtype, table) } else { p.saved(dtype, table) };
        let measured = running.filter(|_| on_gpu && p.mode() == Mode::Train);
        let statistics = measured.map(|running| Arc::new(Statistics::new(x, table, running, self.eps, self.momentum)));
        let pass = NormPass {
            x,
            sets,
            cut,
            end: end.clone(),
            eps: self.eps,
            momentum: self.momentum,
            scale,
            shift,
            running,
            partial: scratch(p, DType::F64, width),
            columns,
            slopes,
            table,
            statistics: statistics.clone(),
            gpu,
        };
        // Statistics that are constants, and no gradients: the layer before can do it on its way to memory.
        let constants = running.filter(|_| !p.mode().differentiable() && !on_gpu).map(|[mean, variance]| Constants {
            mean,
            variance,
            scale: scale.map(|p| p.w),
            shift: shift.map(|p| p.w),
            eps: self.eps,
        });
        let planned = Planned::new(x, pass).reads_x().head(end).statistics(statistics);
        Ok(match constants {
            Some(k) => planned.part(Part::Norm(k)),
            None => planned,
        })
    }
}

#[cfg(test)]
mod tests;
