//! Variational dense layer: y = act(x·W + b) with weights that are drawn anew in each forward pass, w = μ + s·ε, ε ~ N(0, 1),
//! s = ln(1 + e^ρ), and a prior N(0, s₀²) on each of them (Bayes by backprop).
//!
//! What is minimised is the mean loss plus KL/N for N training samples, with KL = Σ ln(s₀/s) + (s² + μ²)/(2·s₀²) − ½. With g the
//! gradient wrt w: dμ = g + μ/(N·s₀²), dρ = (g·ε + (s/s₀² − 1/s)/N)·σ(ρ). One draw serves a whole batch, so that the products are
//! those of [`Dense`]; drawing per sample (local reparametrisation) would cost two products more in each direction and could not
//! share weights between the samples of a Monte-Carlo prediction.
//!
//! Element e of an array takes number e mod 4 of block ⌊e/4⌋, the blocks of the bias after those of the weights; two words make two
//! normal numbers by Box and Muller's method.
//!
//! # Source
//! Blundell, Cornebise, Kavukcuoglu & Wierstra 2015, "Weight uncertainty in neural networks", ICML.

use super::{Dense, Fields, Layer, Pass, Planned, fields};
use crate::device::{Cpu, Cuda, Device, Grid, Kernel, Ptr, Source, per_isa};
use crate::memory::{GradMode, Grads, Io, Param, ParamKind, ParamSpec, Planner, Slot, Step};
use crate::op::activation::Activation;
use crate::rng::{Draws, Purpose};
use crate::{DType, Error, Extent, Init, Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A fully connected layer with a distribution over its weights: each forward pass in training and in Monte-Carlo inference draws
/// weights from N(μ, s²), all others use μ. What it has learnt is told by [`Model::predict_monte_carlo`](crate::Model::predict_monte_carlo).
///
/// The divergence from the prior is part of the loss, weighed against the number of training samples, which a
/// [`Trainer`](crate::Trainer) knows.
///
/// # Shapes
/// As [`Dense`]: any extent, read as one vector, to a vector of `units`. Parameters: `weight` (μ) and `weight_rho` [d·h·w·c, units],
/// `bias` and `bias_rho` (units).
///
/// # Errors
/// Planning refuses what [`Dense`] does, and deviations that are not positive.
///
/// # Examples
/// ```
/// use kamacite::data::synth;
/// use kamacite::*;
/// let mut net = Network::new(Extent::flat(2));
/// net.push(BayesDense::new(16).act(Relu));
/// net.push(Dense::new(4));
/// let data = synth::clusters(200, 2, 1)?;
/// let mut t = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(0.01)).data(data.clone(), Some(data.clone())).build()?;
/// t.fit(2, &mut Silent)?;
/// let sure = t.model_mut().predict_monte_carlo(data, 64, 10, &[])?;
/// assert!(sure.deviation.iter().all(|d| *d > 0.0));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BayesDense {
    #[serde(flatten)]
    dense: Dense,
    /// Of the prior.
    prior: f64,
    /// Of the weights at first.
    deviation: f64,
    /// Training samples; `None` takes those of the run.
    #[serde(default)]
    samples: Option<u64>,
}

impl BayesDense {
    /// `units` outputs: linear, with a bias; deviations of 0.03 at first, of 1 in the prior.
    pub fn new(units: usize) -> Self {
        Self { dense: Dense::new(units), prior: 1.0, deviation: 0.03, samples: None }
    }

    /// The activation.
    #[must_use]
    pub fn act(mut self, act: Activation) -> Self {
        self.dense = self.dense.act(act);
        self
    }

    /// No bias.
    #[must_use]
    pub fn no_bias(mut self) -> Self {
        self.dense = self.dense.no_bias();
        self
    }

    /// How the means of the weights begin, as for [`Dense::init`].
    #[must_use]
    pub fn init(mut self, init: Init) -> Self {
        self.dense = self.dense.init(init);
        self
    }

    /// The deviation s₀ of the prior.
    #[must_use]
    pub fn prior(mut self, deviation: f64) -> Self {
        self.prior = deviation;
        self
    }

    /// The deviation s at which all weights begin.
    #[must_use]
    pub fn deviation(mut self, deviation: f64) -> Self {
        self.deviation = deviation;
        self
    }

    /// The number N that the divergence is divided by, where it is not that of the trainer's samples.
    #[must_use]
    pub fn samples(mut self, samples: u64) -> Self {
        self.samples = Some(samples);
        self
    }
}

impl Layer for BayesDense {
    fn kind(&self) -> &'static str {
        "bayes_dense"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let [k, n] = self.dense.sizes(x)?;
        for (name, value) in [("deviation of the prior", self.prior), ("deviation of the weights", self.deviation)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::value("", name).expected("a positive number").got(value));
            }
        }
        if self.samples == Some(0) {
            return Err(Error::value("", "number of training samples").expected("at least 1").got(0));
        }
        let rho = Init::Constant(libm::log(libm::expm1(self.deviation)));
        let weight = Drawn::plan("weight", self.dense.weight_spec([k, n]), rho, 0, p)?;
        let first = weight.len.div_ceil(4) as u64;
        let bias =
            self.dense.bias_value().map(|value| Drawn::plan("bias", ParamSpec::bias(n, value), rho, first, p)).transpose()?;
        let kernels = Kernels::new([Some(&weight), bias.as_ref()], p)?;
        let kl = p.scratch(p.master(), 1);
        let dense = self.dense.plan_on([k, n], (weight.in_use(), bias.as_ref().map(Drawn::in_use)), p)?;
        let reads_y = dense.reads_y;
        let (dense, _) = dense.into_pass();
        let pass = BayesDensePass {
            dense,
            arrays: [Some(weight), bias],
            kl,
            prior: self.prior,
            samples: self.samples,
            key: p.key(),
            draws: p.mode().drops(),
            kernels,
        };
        let planned = Planned::new(Extent::flat(n), pass).reads_x().products(k * n).penalty(kl);
        Ok(if reads_y { planned.reads_y() } else { planned })
    }

    fn linear(&self) -> Option<Arc<dyn Layer>> {
        (self.dense.activation() != Activation::Linear).then(|| Arc::new(self.clone().act(Activation::Linear)) as Arc<dyn Layer>)
    }
}

/// An array of weights with a distribution.
#[derive(Debug)]
struct Drawn {
    mean: Param,
    rho: Param,
    len: usize,
    /// Where its random numbers begin.
    first: u64,
    /// The weights in use, from the forward to the backward pass.
    w: Slot,
    /// Their gradient; in the forward pass the terms of the divergence.
    dw: Slot,
    /// The random numbers of the forward pass, where it draws.
    eps: Option<Slot>,
}

impl Drawn {
    fn plan(name: &str, mean: ParamSpec, rho: Init, first: u64, p: &mut Planner<'_>) -> Result<Self> {
        let len = mean.shape.iter().product();
        let spread = ParamSpec { kind: ParamKind::Norm, init: rho, ..mean.clone() };
        let (mean, rho) = (p.param(name, mean)?, p.param(&format!("{name}_rho"), spread)?);
        let dtype = p.master();
        let (w, dw) = (p.saved_fixed(dtype, len), p.scratch(dtype, len));
        let eps = p.mode().drops().then(|| p.saved_fixed(dtype, len));
        Ok(Self { mean, rho, len, first, w, dw, eps })
    }

    /// The weights in use as a parameter of the plain layer.
    fn in_use(&self) -> Param {
        Param { w: self.w, dw: self.mean.dw.map(|_| self.dw) }
    }
}

#[derive(Debug)]
struct BayesDensePass {
    /// The plain layer on the weights in use.
    dense: Box<dyn Pass>,
    arrays: [Option<Drawn>; 2],
    kl: Slot,
    prior: f64,
    samples: Option<u64>,
    key: u64,
    draws: bool,
    kernels: Kernels,
}

impl Pass for BayesDensePass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let mut kl = 0.0;
                for array in self.arrays.iter().flatten() {
                    kl += self.draw::<T>(cpu, s, array)?;
                }
                s.write::<T>(self.kl)?[0] = <T as Real>::of(kl / self.divisor(s));
            }),
            Device::Cuda(cuda) => self.draw_cuda(cuda, s)?,
        }
        self.dense.forward(s, io)
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        // The gradient wrt the weights in use is made anew in each pass, whatever becomes of the parameters'.
        let grads = if s.grads == Grads::Skip { Grads::Skip } else { Grads::Write };
        self.dense.backward(&Step { grads, ..*s }, io)?;
        for array in self.arrays.iter().flatten() {
            let (Some((dmean, mode)), Some((drho, _))) = (s.grad(array.mean.dw), s.grad(array.rho.dw)) else { continue };
            let (prior, pull) = (self.prior, s.penalty() / self.divisor(s));
            match s.device() {
                Device::Cpu(cpu) => real!(s.dtype(), T => {
                    let (mean, rho, dw) = (s.read::<T>(array.mean.w)?, s.read::<T>(array.rho.w)?, s.read::<T>(array.dw)?);
                    let eps = array.eps.map(|eps| s.read::<T>(eps)).transpose()?;
                    let (mut dmean, mut drho) = (s.write::<T>(dmean)?, s.write::<T>(drho)?);
                    let from = (&mean[..], &rho[..], &dw[..], eps.as_deref());
                    cpu.split(GRAIN, (from, &mut dmean[..], &mut drho[..]), |_, ((mean, rho, dw, eps), dmean, drho)| {
                        pass_on(cpu, Distribution { mean, rho }, (dw, eps), (dmean, drho), (prior, pull, mode));
                    });
                }),
                Device::Cuda(cuda) => self.pass_on_cuda(cuda, s, array, (dmean, drho, mode), pull)?,
            }
        }
        Ok(())
    }
}

impl BayesDensePass {
    fn divisor(&self, s: &Step<'_>) -> f64 {
        self.samples.map_or(s.samples() as f64, |n| n as f64)
    }

    /// Draws the weights of an array; its divergence from the prior.
    fn draw<T: Real + crate::memory::Element>(&self, cpu: &Cpu, s: &Step<'_>, array: &Drawn) -> Result<f64> {
        let (mean, rho) = (s.read::<T>(array.mean.w)?, s.read::<T>(array.rho.w)?);
        let (mut w, mut terms) = (s.write::<T>(array.w)?, s.write::<T>(array.dw)?);
        let mut eps = array.eps.map(|eps| s.write::<T>(eps)).transpose()?;
        let (draws, prior, first) = (s.draws(Purpose::Weights, self.key), self.prior, array.first);
        let parts = (&mean[..], &rho[..], &mut w[..], &mut terms[..], eps.as_deref_mut());
        cpu.split(GRAIN, parts, |i, (mean, rho, w, terms, mut eps)| {
            if let Some(eps) = &mut eps {
                normals(draws, first + (i * GRAIN / 4) as u64, eps);
            }
            weigh(cpu, Distribution { mean, rho }, (w, eps.as_deref()), (prior, terms));
        });
        Ok(terms.iter().map(|term| term.to_f64()).sum())
    }
}

/// Elements in one task: some 100 µs of drawing. A multiple of 4.
const GRAIN: usize = 1 << 12;

/// Normal numbers from block `first` on.
fn normals<T: Real>(draws: Draws, first: u64, eps: &mut [T]) {
    let unit = |word: u32| f64::from(word >> 8) / 16_777_216.0;
    for (eps, block) in eps.chunks_mut(4).zip(first..) {
        let [a, b, c, d] = draws.block(block);
        let pair = |u: u32, v: u32| {
            let (radius, angle) = (libm::sqrt(-2.0 * libm::log(1.0 - unit(u))), std::f64::consts::TAU * unit(v));
            let (sin, cos) = libm::sincos(angle);
            [radius * cos, radius * sin]
        };
        let all = [pair(a, b), pair(c, d)];
        eps.iter_mut().zip(all.as_flattened()).for_each(|(eps, z)| *eps = T::of(*z));
    }
}

/// Parameters of some weights.
#[derive(Clone, Copy)]
struct Distribution<'a, T> {
    mean: &'a [T],
    rho: &'a [T],
}

/// s = ln(1 + e^ρ), ln s, and σ(ρ)/s, which are e^ρ, ρ and 1 where e^ρ is below the rounding of 1.
#[inline(always)]
fn spread<T: Real>(rho: T) -> (T, T, T) {
    let e = (-rho.abs()).exp();
    let s = Real::max(rho, T::ZERO) + e.ln_1p();
    let tiny = rho < T::of(-37.0);
    let logistic = if rho < T::ZERO { e / (T::ONE + e) } else { T::ONE / (T::ONE + e) };
    (s, if tiny { rho } else { s.ln() }, if tiny { T::ONE } else { logistic / s })
}

per_isa! {
    /// w = μ + s·ε, and the terms of the divergence from the prior.
    fn weigh<T: Real>(cpu: &Cpu, of: Distribution<'_, T>, to: (&mut [T], Option<&[T]>), kl: (f64, &mut [T])) {
        let ((w, eps), (prior, terms)) = (to, kl);
        let (log, half) = (T::of(libm::log(prior) - 0.5), T::of(0.5 / (prior * prior)));
        for (((term, w), mean), rho) in terms.iter_mut().zip(w.iter_mut()).zip(of.mean).zip(of.rho) {
            let (s, ln_s, _) = spread(*rho);
            *w = s;
            *term = log - ln_s + half * (s * s + *mean * *mean);
        }
        match eps {
            Some(eps) => w.iter_mut().zip(of.mean).zip(eps).for_each(|((w, mean), eps)| *w = *mean + *w * *eps),
            None => w.copy_from_slice(of.mean),
        }
    }
}

per_isa! {
    /// From the gradient wrt the weights to those of μ and ρ, with `pull` times those of the divergence.
    fn pass_on<T: Real>(cpu: &Cpu, of: Distribution<'_, T>, from: (&[T], Option<&[T]>), to: (&mut [T], &mut [T]), how: (f64, f64, GradMode)) {
        let ((dw, eps), (dmean, drho), (prior, pull, mode)) = (from, to, how);
        let (pull, tight) = (T::of(pull), T::of(1.0 / (prior * prior)));
        let keep = if mode == GradMode::Add { T::ONE } else { T::ZERO };
        for (i, (dmean, drho)) in dmean.iter_mut().zip(drho).enumerate() {
            let ((s, _, ratio), g) = (spread(of.rho[i]), dw[i]);
            let through = eps.map_or(T::ZERO, |eps| g * eps[i]);
            let (a, b) = (g + pull * tight * of.mean[i], (through * s + pull * (tight * s * s - T::ONE)) * ratio);
            // What is overwritten may be NaN.
            *dmean = if keep == T::ZERO { a } else { *dmean + a };
            *drho = if keep == T::ZERO { b } else { *drho + b };
        }
    }
}

const BAYES_DENSE: Source = Source::new("bayes_dense", include_str!("../../kernels/bayes_dense.cu"));

/// Elements of one block of `kl_terms`.
const CHUNK: usize = 256 * 32;

#[derive(Debug)]
struct Kernels {
    draw: Kernel<DrawArgs>,
    terms: Kernel<TermsArgs>,
    fold: Kernel<FoldArgs>,
    pass_on: Kernel<PassOnArgs>,
    /// Sums of the divergence.
    partial: Slot,
    chunks: usize,
}

/// As `DrawArgs` in `bayes_dense.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct DrawArgs {
    mean: Ptr,
    rho: Ptr,
    w: Ptr,
    /// Null where nothing is drawn.
    eps: Ptr,
    control: Ptr,
    key: u64,
    first: u64,
    n: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct TermsArgs {
    mean: Ptr,
    rho: Ptr,
    partial: Ptr,
    n: u64,
    /// ln s₀ − ½ and 1/(2·s₀²)
    log: f32,
    half: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct FoldArgs {
    partial: Ptr,
    kl: Ptr,
    factor: f64,
    n: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct PassOnArgs {
    mean: Ptr,
    rho: Ptr,
    dw: Ptr,
    eps: Ptr,
    dmean: Ptr,
    drho: Ptr,
    control: Ptr,
    n: u64,
    pull: f32,
    tight: f32,
    add: u32,
    unused: u32,
}

impl Kernels {
    fn new(arrays: [Option<&Drawn>; 2], p: &mut Planner<'_>) -> Result<Self> {
        let chunks = arrays.iter().flatten().map(|array| array.len.div_ceil(CHUNK)).sum();
        Ok(Self {
            draw: p.kernel(&BAYES_DENSE, "draw_weights")?,
            terms: p.kernel(&BAYES_DENSE, "kl_terms")?,
            fold: p.kernel(&BAYES_DENSE, "kl_fold")?,
            pass_on: p.kernel(&BAYES_DENSE, "pass_on")?,
            partial: p.scratch(DType::F64, if p.device().is_cuda() { chunks } else { 1 }),
            chunks,
        })
    }
}

impl BayesDensePass {
    /// The weights in use and the divergence from the prior.
    fn draw_cuda(&self, cuda: &Cuda, s: &Step<'_>) -> Result<()> {
        let (mut partial, prior) = (s.ptr(self.kernels.partial)?, self.prior);
        let (control, key) = (s.control()?, s.draw_key(Purpose::Weights, self.key));
        for array in self.arrays.iter().flatten() {
            let (mean, rho, w, n) = (s.ptr(array.mean.w)?, s.ptr(array.rho.w)?, s.ptr(array.w)?, array.len as u64);
            let eps = array.eps.filter(|_| self.draws).map_or(Ok(Ptr::NULL), |eps| s.ptr(eps))?;
            let args = DrawArgs { mean, rho, w, eps, control, key, first: array.first, n };
            self.kernels.draw.launch(cuda, Grid::cover(array.len.div_ceil(4)), &args)?;
            let (log, half) = ((libm::log(prior) - 0.5) as f32, (0.5 / (prior * prior)) as f32);
            let blocks = array.len.div_ceil(CHUNK);
            self.kernels.terms.launch(cuda, Grid::blocks(blocks), &TermsArgs { mean, rho, partial, n, log, half })?;
            partial = partial.offset(8 * blocks);
        }
        let (partial, kl) = (s.ptr(self.kernels.partial)?, s.ptr(self.kl)?);
        let args = FoldArgs { partial, kl, factor: 1.0 / self.divisor(s), n: self.kernels.chunks as u64 };
        self.kernels.fold.launch(cuda, Grid::blocks(1), &args)
    }

    fn pass_on_cuda(
        &self,
        cuda: &Cuda,
        s: &Step<'_>,
        array: &Drawn,
        (dmean, drho, mode): (Slot, Slot, GradMode),
        pull: f64,
    ) -> Result<()> {
        let args = PassOnArgs {
            mean: s.ptr(array.mean.w)?,
            rho: s.ptr(array.rho.w)?,
            dw: s.ptr(array.dw)?,
            eps: array.eps.map_or(Ok(Ptr::NULL), |eps| s.ptr(eps))?,
            dmean: s.ptr(dmean)?,
            drho: s.ptr(drho)?,
            control: s.control()?,
            n: array.len as u64,
            pull: pull as f32,
            tight: (1.0 / (self.prior * self.prior)) as f32,
            add: u32::from(mode == GradMode::Add),
            unused: 0,
        };
        self.kernels.pass_on.launch(cuda, Grid::cover(array.len), &args)
    }
}
