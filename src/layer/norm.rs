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

use super::{Fields, Layer, Pass, Planned, fields, one};
use crate::device::{Cpu, Device};
use crate::memory::{Element, GradMode, Io, Param, ParamSpec, Planner, Read, Slot, Step};
use crate::op::moments::{self, Slope, combine};
use crate::{DType, Error, Extent, Mode, Real, Result, real};
use serde::{Deserialize, Serialize};

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
            if n == 0 || x.c % n != 0 {
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
        let cut = Cut::new(x, rows, sets.batch);
        let (table, width) = (2 * x.c, cut.chunks.saturating_mul(2 * x.c));
        let (dtype, batch) = (p.dtype(), sets.batch);
        let scratch = |p: &mut Planner<'_>, dtype, n| if batch { p.scratch(dtype, n) } else { p.scratch_rows(dtype, n) };
        let pass = NormPass {
            x,
            sets,
            cut,
            eps: self.eps,
            momentum: self.momentum,
            scale,
            shift,
            running,
            partial: scratch(p, DType::F64, width),
            slopes: scratch(p, dtype, table),
            table: if batch { p.saved_fixed(dtype, table) } else { p.saved(dtype, table) },
        };
        Ok(Planned::new(x, pass).reads_x())
    }
}

/// How the values are cut into chunks for threads, by shape alone: the positions of one sample, or of the whole batch,
/// make a unit of `chunks` chunks.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Values in a chunk: whole positions.
    chunk: usize,
    /// Chunks in a unit; in the last unit of a batch that is not full, fewer.
    chunks: usize,
}

/// Values in a chunk: some 20 µs of work.
const GRAIN: usize = 1 << 15;

/// More chunks than threads will ever share, few enough to fold in no time.
const MAX_CHUNKS: usize = 256;

impl Cut {
    fn new(x: Extent, rows: usize, batch: bool) -> Self {
        let positions = x.area().saturating_mul(rows);
        let wanted = positions.saturating_mul(x.c).div_ceil(GRAIN).clamp(1, MAX_CHUNKS);
        // The chunks of samples must end with the sample; the whole batch may have a short last chunk.
        let chunks = if batch { wanted } else { (1..=wanted).rev().find(|k| positions % k == 0).unwrap_or(1) };
        let each = positions.div_ceil(chunks);
        Self { chunk: each.saturating_mul(x.c), chunks: positions.div_ceil(each) }
    }

    /// Calls `f(chunk, piece)` for pieces of `width` elements of `out`, one for each chunk (or, with `chunk` = 0, unit).
    fn each<T: Send>(&self, cpu: &Cpu, out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
        // Several small ones in one task.
        let many = (GRAIN / self.chunk).max(1);
        cpu.split(many * width, out, |i, out| {
            out.chunks_mut(width).enumerate().for_each(|(k, out)| f(i * many + k, out));
        });
    }
}

#[derive(Debug)]
struct NormPass {
    x: Extent,
    sets: Sets,
    cut: Cut,
    eps: f64,
    momentum: f64,
    scale: Option<Param>,
    shift: Option<Param>,
    /// Mean and variance.
    running: Option<[Slot; 2]>,
    /// Two sums per channel for each chunk.
    partial: Slot,
    /// q and r per channel for each unit, see [`Slope`].
    slopes: Slot,
    /// μ and ρ per channel for each unit.
    table: Slot,
}

impl Pass for NormPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let (x, mut table) = (s.read::<T>(io.x[0])?, s.write::<T>(self.table)?);
                match self.running {
                    Some([mean, var]) if s.mode() != Mode::Train => {
                        self.recall(&mut table, &s.read::<T>(mean)?, &s.read::<T>(var)?);
                    }
                    _ => self.measure(cpu, s, &x, &mut table)?,
                }
                let (scale, shift) = (read::<T>(s, self.scale)?, read::<T>(s, self.shift)?);
                self.apply(cpu, &x, &table, [scale.as_deref(), shift.as_deref()], &mut s.write::<T>(io.y)?);
            }),
            Device::Cuda(cuda) => match *cuda {},
        }
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let constant = self.sets.batch && s.mode() != Mode::Train;
        let dw = [self.scale, self.shift].map(|p| s.grad(p.and_then(|p| p.dw)));
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let (x, dy, table) = (s.read::<T>(io.x[0])?, s.read::<T>(io.dy)?, s.read::<T>(self.table)?);
                let mut partial = s.write::<f64>(self.partial)?;
                let partial = &mut partial[..self.used(x.len())];
                if dw != [None, None] || !constant {
                    self.sums(cpu, &dy, &x, &table, partial);
                }
                self.parameters::<T>(s, partial, &table, dw)?;
                if let Some((dx, mode)) = io.dx[0] {
                    let scale = read::<T>(s, self.scale)?;
                    let mut slopes = s.write::<T>(self.slopes)?;
                    match constant {
                        true => slopes.fill(T::ZERO),
                        false => self.slopes(cpu, partial, &table, scale.as_deref(), s.rows(), &mut slopes),
                    }
                    self.gradient(cpu, [&dy, &x], [&table, &slopes], scale.as_deref(), mode, &mut s.write::<T>(dx)?);
                }
            }),
            Device::Cuda(cuda) => match *cuda {},
        }
        Ok(())
    }
}

fn read<'a, T: Element>(s: &'a Step<'_>, p: Option<Param>) -> Result<Option<Read<'a, T>>> {
    p.map(|p| s.read::<T>(p.w)).transpose()
}

impl NormPass {
    /// The two numbers per channel of the unit that chunk `i` belongs to.
    fn unit<'a, T>(&self, table: &'a [T], i: usize) -> &'a [T] {
        let unit = if self.sets.batch { 0 } else { i / self.cut.chunks };
        &table[unit * 2 * self.x.c..][..2 * self.x.c]
    }

    /// Element of γ or β for channel `c`.
    #[inline]
    fn of<T: Copy>(&self, p: Option<&[T]>, c: usize, neutral: T) -> T {
        match p {
            Some(p) if c < self.sets.active => p[c / self.sets.per_scale],
            _ => neutral,
        }
    }

    /// Elements of `partial` for a batch of `len` values.
    fn used(&self, len: usize) -> usize {
        len.div_ceil(self.cut.chunk) * 2 * self.x.c
    }

    /// The elements of `partial` that belong to one unit; the first 2c of them hold its sums in the end.
    fn width(&self, partial: &[f64]) -> usize {
        if self.sets.batch { partial.len() } else { self.cut.chunks * 2 * self.x.c }
    }

    /// y = (x − μ)·ρ·γ + β
    fn apply<T: Real>(&self, cpu: &Cpu, x: &[T], table: &[T], [scale, shift]: [Option<&[T]>; 2], y: &mut [T]) {
        self.cut.each(cpu, y, self.cut.chunk, |i, y| {
            let (mean, rho) = self.unit(table, i).split_at(self.x.c);
            let a = |c: usize| rho[c] * self.of(scale, c, T::ONE);
            let x = &x[i * self.cut.chunk..][..y.len()];
            moments::affine(cpu, x, mean, &a, &|c| self.of(shift, c, T::ZERO), y);
        });
    }

    /// μ and ρ from the running statistics.
    fn recall<T: Real>(&self, table: &mut [T], mean: &[T], var: &[T]) {
        let (mu, rho) = table.split_at_mut(self.x.c);
        mu.copy_from_slice(mean);
        rho.iter_mut().zip(var).for_each(|(rho, v)| *rho = self.rho(v.to_f64()));
    }

    fn rho<T: Real>(&self, variance: f64) -> T {
        T::of(1.0 / (variance + self.eps).sqrt())
    }

    /// μ and ρ from the values, and the running statistics.
    fn measure<T: Real + Element>(&self, cpu: &Cpu, s: &Step<'_>, x: &[T], table: &mut [T]) -> Result<()> {
        let c = self.x.c;
        let mut partial = s.write::<f64>(self.partial)?;
        let partial = &mut partial[..self.used(x.len())];
        self.moments(cpu, x, partial);
        self.tabulate(cpu, partial, x.len(), table);
        let n = (x.len() / c) as f64;
        // The variance of a single value says nothing.
        let Some([mean, var]) = self.running.filter(|_| n > 1.0) else { return Ok(()) };
        let (mut mean, mut var) = (s.write::<T>(mean)?, s.write::<T>(var)?);
        let mix = |old: T, new: f64| T::of((1.0 - self.momentum) * old.to_f64() + self.momentum * new);
        for i in 0..c {
            (mean[i], var[i]) = (mix(mean[i], partial[i]), mix(var[i], partial[c + i] / (n - 1.0)));
        }
        Ok(())
    }

    /// Mean and Σ(x − mean)² of the channels of each unit.
    fn moments<T: Real>(&self, cpu: &Cpu, x: &[T], partial: &mut [f64]) {
        let (c, chunk) = (self.x.c, self.cut.chunk);
        self.cut.each(cpu, partial, 2 * c, |i, out| {
            let (mean, m2) = out.split_at_mut(c);
            moments::moments(cpu, &x[i * chunk..x.len().min((i + 1) * chunk)], mean, m2);
        });
        let (width, values) = (self.width(partial), if self.sets.batch { x.len() } else { self.x.len() });
        partial.chunks_exact_mut(width).for_each(|unit| moments::combine_chunks(unit, c, chunk / c, values / c));
    }

    /// μ and ρ of each set, for all its channels.
    fn tabulate<T: Real>(&self, cpu: &Cpu, partial: &[f64], len: usize, table: &mut [T]) {
        let (c, width, active) = (self.x.c, self.width(partial), self.sets.active);
        let n = if self.sets.batch { len / c } else { self.x.area() } as f64;
        self.cut.each(cpu, table, 2 * c, |u, table| {
            let (means, m2s) = partial[u * width..][..2 * c].split_at(c);
            let (mean, rho) = table.split_at_mut(c);
            mean[active..].fill(T::ZERO);
            rho[active..].fill(T::ONE);
            for first in (0..active).step_by(self.sets.channels) {
                let set = first..first + self.sets.channels;
                let (n, mu, m2) = set.clone().fold((0.0, 0.0, 0.0), |sum, i| combine(sum, (n, means[i], m2s[i])));
                mean[set.clone()].fill(T::of(mu));
                rho[set].fill(self.rho(m2 / n));
            }
        });
    }

    /// Σ dy and Σ dy·(x − μ) of the channels of each unit.
    fn sums<T: Real>(&self, cpu: &Cpu, dy: &[T], x: &[T], table: &[T], partial: &mut [f64]) {
        let c = self.x.c;
        self.cut.each(cpu, partial, 2 * c, |i, out| {
            let chunk = i * self.cut.chunk..x.len().min((i + 1) * self.cut.chunk);
            let (first, second) = out.split_at_mut(c);
            moments::products(cpu, &dy[chunk.clone()], &x[chunk], &self.unit(table, i)[..c], first, second);
        });
        let width = self.width(partial);
        partial.chunks_exact_mut(width).for_each(|unit| moments::add_chunks(unit, 2 * c));
    }

    /// dγ = Σ ρ·Σ dy·(x − μ) and dβ = Σ Σ dy over the units, in f64 and in their order.
    fn parameters<T: Real + Element>(
        &self,
        s: &Step<'_>,
        partial: &[f64],
        table: &[T],
        dw: [Option<(Slot, GradMode)>; 2],
    ) -> Result<()> {
        let (c, per, width) = (self.x.c, self.sets.per_scale, self.width(partial));
        for (which, dw) in dw.into_iter().enumerate() {
            let Some((dw, mode)) = dw else { continue };
            let mut dw = s.write::<T>(dw)?;
            for (j, dw) in dw.iter_mut().enumerate() {
                let mut sum = 0.0;
                for (unit, table) in partial.chunks_exact(width).zip(table.chunks_exact(2 * c)) {
                    for i in j * per..(j + 1) * per {
                        sum += if which == 0 { unit[c + i] * table[c + i].to_f64() } else { unit[i] };
                    }
                }
                *dw = if mode == GradMode::Write { T::of(sum) } else { *dw + T::of(sum) };
            }
        }
        Ok(())
    }

    /// q = ρ·mean(g) and r = ρ²·mean(g·x̂) of each set, for all its channels.
    fn slopes<T: Real>(&self, cpu: &Cpu, partial: &[f64], table: &[T], scale: Option<&[T]>, rows: usize, slopes: &mut [T]) {
        let (c, width, active) = (self.x.c, self.width(partial), self.sets.active);
        let n = (self.x.area() * self.sets.channels * if self.sets.batch { rows } else { 1 }) as f64;
        self.cut.each(cpu, slopes, 2 * c, |u, slopes| {
            let (first, second) = partial[u * width..][..2 * c].split_at(c);
            let (q, r) = slopes.split_at_mut(c);
            q[active..].fill(T::ZERO);
            r[active..].fill(T::ZERO);
            for start in (0..active).step_by(self.sets.channels) {
                let set = start..start + self.sets.channels;
                let weighted = |sums: &[f64]| set.clone().map(|i| self.of(scale, i, T::ONE).to_f64() * sums[i]).sum::<f64>();
                let (g, gx, rho) = (weighted(first), weighted(second), table[u * 2 * c + c + start].to_f64());
                q[set.clone()].fill(T::of(rho * g / n));
                r[set.clone()].fill(T::of(rho * rho * rho * gx / n));
            }
        });
    }

    fn gradient<T: Real>(
        &self,
        cpu: &Cpu,
        [dy, x]: [&[T]; 2],
        [table, slopes]: [&[T]; 2],
        scale: Option<&[T]>,
        mode: GradMode,
        dx: &mut [T],
    ) {
        self.cut.each(cpu, dx, self.cut.chunk, |i, dx| {
            let (centre, rho) = self.unit(table, i).split_at(self.x.c);
            let (q, r) = self.unit(slopes, i).split_at(self.x.c);
            let p = |c: usize| rho[c] * self.of(scale, c, T::ONE);
            let chunk = i * self.cut.chunk..i * self.cut.chunk + dx.len();
            moments::gradient(cpu, &dy[chunk.clone()], &x[chunk], &Slope { centre, p: &p, q, r }, mode, dx);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};
    use crate::{Grads, Model, Network, Precision, View};

    /// Everything about one call, by the definition in f64.
    struct Naive {
        y: Vec<f64>,
        dx: Vec<f64>,
        /// dγ and dβ per channel.
        dw: [Vec<f64>; 2],
    }

    /// `set(e)`: which set element e belongs to, or `None` to pass through.
    fn naive(x: &[f64], dy: &[f64], w: [&[f64]; 2], c: usize, eps: f64, set: &dyn Fn(usize) -> Option<usize>) -> Naive {
        let sets = (0..x.len()).filter_map(set).max().map_or(0, |m| m + 1);
        let mut out = Naive { y: x.to_vec(), dx: dy.to_vec(), dw: [vec![0.0; c], vec![0.0; c]] };
        for k in 0..sets {
            let members: Vec<usize> = (0..x.len()).filter(|&e| set(e) == Some(k)).collect();
            let mean = |f: &dyn Fn(usize) -> f64| members.iter().map(|&e| f(e)).sum::<f64>() / members.len() as f64;
            let mu = mean(&|e| x[e]);
            let rho = 1.0 / (mean(&|e| (x[e] - mu).powi(2)) + eps).sqrt();
            let hat = |e: usize| (x[e] - mu) * rho;
            let g = |e: usize| w[0][e % c] * dy[e];
            let (mean_g, mean_gx) = (mean(&g), mean(&|e| g(e) * hat(e)));
            for &e in &members {
                out.y[e] = w[0][e % c] * hat(e) + w[1][e % c];
                out.dx[e] = rho * (g(e) - mean_g - hat(e) * mean_gx);
                out.dw[0][e % c] += dy[e] * hat(e);
                out.dw[1][e % c] += dy[e];
            }
        }
        out
    }

    fn close(what: &str, got: &[f64], expected: &[f64], bound: f64) {
        assert_eq!(got.len(), expected.len(), "{what}");
        for (i, (g, e)) in got.iter().zip(expected).enumerate() {
            assert!((g - e).abs() <= bound, "{what}[{i}] = {g}, expected {e}, bound {bound}");
        }
    }

    type Kind = (Norm, fn(usize, Extent) -> Option<usize>, usize);

    /// Layers on 6 channels, the set of element e, and how many channels share an element of γ.
    fn kinds() -> [Kind; 6] {
        [
            (Norm::batch(), |e, x| Some(e % x.c), 1),
            (Norm::layer(), |e, x| Some(e / x.len()), 1),
            (Norm::instance(), |e, x| Some(e / x.len() * x.c + e % x.c), 1),
            (Norm::groups(3), |e, x| Some(e / x.len() * 3 + e % x.c / 2), 1),
            (Norm::cianna(2, 0), |e, x| Some(e / x.len() * 3 + e % x.c / 2), 2),
            (Norm::cianna(2, 1), |e, x| (e % x.c < 4).then_some(e / x.len() * 2 + e % x.c / 2), 2),
        ]
    }

    fn check(
        norm: &Norm,
        set: fn(usize, Extent) -> Option<usize>,
        per: usize,
        x_extent: Extent,
        precision: Precision,
    ) -> Result<()> {
        let (rows, c) = (3, x_extent.c);
        let mut net = Network::new(x_extent);
        net.push(norm.clone());
        net.name(net.outputs()[0].1, "n");
        let mut model = Model::builder(net).precision(precision).build()?;
        let mut r = Stream::new(8, Purpose::User, 0);
        // Values that f32 holds, so that both precisions see the same.
        let mut random = |n: usize| (0..n).map(|_| f64::from(r.between(-2.0, 2.0) as f32)).collect::<Vec<_>>();
        let (x, dy) = (random(rows * x_extent.len()), random(rows * x_extent.len()));
        let shared = (0..c).filter(|&i| set(i, x_extent).is_some()).count() / per;
        let (scale, shift) = (random(shared), random(shared));
        let narrow = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        let (x32, dy32) = (narrow(&x), narrow(&dy));
        let batch = |wide, narrow| match precision {
            Precision::FP64 => View::f64(x_extent, wide),
            _ => View::new(x_extent, narrow),
        };
        let values = |v: View<'_>| match precision {
            Precision::FP64 => v.as_f64().map(<[f64]>::to_vec),
            _ => v.as_f32().map(|v| v.iter().map(|&v| f64::from(v)).collect()),
        };
        // Room for more rows than come, so that rows past the valid ones must not count.
        let room = vec![9.0; (rows + 2) * x_extent.len()];
        let room32 = narrow(&room);
        model.forward(Mode::Train, batch(&room, &room32)?)?;
        model.set_array("n.scale", &scale)?;
        model.set_array("n.shift", &shift)?;
        let y = values(model.forward(Mode::Train, batch(&x, &x32)?)?)?;
        let dx = values(model.backward(batch(&dy, &dy32)?, Grads::Write)?)?;
        let wide = |w: &[f64], neutral: f64| (0..c).map(|i| w.get(i / per).copied().unwrap_or(neutral)).collect::<Vec<_>>();
        let (gamma, beta) = (wide(&scale, 1.0), wide(&shift, 0.0));
        let e = naive(&x, &dy, [&gamma, &beta], c, norm.eps, &|i| set(i, x_extent));
        // |x| ≤ 2 and ρ is of order 1 but for small sets, where it may reach the reciprocal of the least spread; sums have
        // rows·len terms at most. The factor 64 covers products of a dozen such numbers.
        let eps = if precision == Precision::FP64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
        let bound = 64.0 * eps * (x.len() as f64).sqrt();
        let what = format!("{norm:?} on {x_extent} in {precision:?}");
        close(&format!("{what}: y"), &y, &e.y, bound);
        close(&format!("{what}: dx"), &dx, &e.dx, bound);
        for (name, dw) in [("n.scale", &e.dw[0]), ("n.shift", &e.dw[1])] {
            let folded: Vec<f64> = (0..shared).map(|j| dw[j * per..(j + 1) * per].iter().sum()).collect();
            close(&format!("{what}: {name}"), &model.gradient(name)?, &folded, bound);
        }
        Ok(())
    }

    #[test]
    fn values_and_gradients_follow_the_definition() -> Result<()> {
        for (norm, set, per) in kinds() {
            for x in [Extent::image(5, 4, 6), Extent::line(7, 6), Extent::cube(2, 3, 2, 6)] {
                check(&norm, set, per, x, Precision::FP64)?;
                check(&norm, set, per, x, Precision::FP32)?;
            }
        }
        // Many chunks in a unit, with a remainder in the batch.
        for (norm, set, per) in kinds() {
            check(&norm, set, per, Extent::image(90, 85, 6), Precision::FP64)?;
        }
        let plain = Extent::flat(6);
        check(&Norm::layer(), |e, x| Some(e / x.len()), 1, plain, Precision::FP64)?;
        check(&Norm::batch(), |e, x| Some(e % x.c), 1, plain, Precision::FP64)
    }

    #[test]
    fn running_statistics_follow_the_batches_and_serve_evaluation() -> Result<()> {
        let e = Extent::line(2, 1);
        let mut net = Network::new(e);
        net.push(Norm::batch().momentum(0.25));
        net.name(net.outputs()[0].1, "n");
        let mut model = Model::builder(net).precision(Precision::FP64).build()?;
        let near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-14, "{got}, expected {expected}");
        // Mean 3, Σ(x − mean)² = 20: unbiased variance 20/3.
        model.forward(Mode::Train, View::f64(e, &[0.0, 2.0, 4.0, 6.0])?)?;
        let (mean, var) = (0.25 * 3.0, 0.75 + 0.25 * 20.0 / 3.0);
        near(model.array("n.running_mean")?[0], mean);
        near(model.array("n.running_var")?[0], var);
        model.set_array("n.scale", &[2.0])?;
        let y = model.forward(Mode::Eval, View::f64(e, &[5.0, -1.0])?)?.as_f64()?.to_vec();
        let rho = 1.0 / (var + 1e-5).sqrt();
        near(y[0], 2.0 * (5.0 - mean) * rho);
        near(y[1], 2.0 * (-1.0 - mean) * rho);
        let dx = model.backward(View::f64(e, &[1.0, 10.0])?, Grads::Write)?.as_f64()?.to_vec();
        near(dx[0], 2.0 * rho);
        near(dx[1], 20.0 * rho);
        near(model.gradient("n.scale")?[0], ((5.0 - mean) + 10.0 * (-1.0 - mean)) * rho);
        near(model.gradient("n.shift")?[0], 11.0);
        let infer = model.forward(Mode::Infer, View::f64(e, &[5.0, -1.0])?)?.as_f64()?.to_vec();
        assert_eq!(infer, y);
        near(model.array("n.running_mean")?[0], mean);
        Ok(())
    }

    #[test]
    fn impossible_sets_are_refused() {
        let x = Extent::image(2, 2, 6);
        for norm in [
            Norm::groups(0),
            Norm::groups(4),
            Norm::cianna(0, 0),
            Norm::cianna(4, 0),
            Norm::cianna(2, 3),
            Norm::batch().eps(0.0),
            Norm::layer().eps(f64::NAN),
            Norm::batch().momentum(1.5),
        ] {
            assert!(norm.sets(x).is_err(), "{norm:?}");
        }
        assert!(Norm::instance().sets(Extent::flat(6)).is_err());
        assert!(Norm::layer().sets(Extent::flat(1)).is_err());
        assert!(Norm::batch().sets(Extent::flat(1)).is_ok());
        let mut net = Network::new(Extent::flat(6));
        net.push(Norm::batch());
        let mut model = Model::builder(net).build().expect("a batch may be larger than one row");
        let one_row = |mode, model: &mut Model| model.forward(mode, View::new(Extent::flat(6), &[1.0; 6])?).map(|_| ());
        assert!(one_row(Mode::Train, &mut model).is_err());
        assert!(one_row(Mode::Infer, &mut model).is_ok());
    }
}
