//! Convolution: y(p, f) = act(b(f) + Σ_(t,i) x(q, i)·w(t, i, f)), a cross-correlation (the window is not flipped).
//!
//! Output p and tap t meet input q on each axis where p·stride + t·dilation = before + q·(gap + 1). With dz the gradient
//! before the activation: dx(q, i) = Σ dz(p, f)·w(t, i, f), dw(t, i, f) = Σ x(q, i)·dz(p, f), db(f) = Σ dz(p, f).
//!
//! # Source
//! LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition"; dilation: Yu & Koltun
//! 2016; the gap is the "internal padding" of CIANNA.

mod end;

use super::{Fields, Layer, Pass, Planned, fields, one};
use crate::device::{Cuda, Device, Ptr};
use crate::memory::{Element, GradMode, Io, Param, ParamSpec, Planner, Slot, Step};
use crate::op::activation::{self, Activation, Reads};
use crate::op::activation_cuda::{ActivationKernels, CudaActivation};
use crate::op::conv::{End, Geometry};
use crate::op::conv_cuda::CudaEnd;
use crate::op::conv_engine::Engine;
use crate::op::conv_unit::{ConvUnit, Gradients};
use crate::op::reduce::{self, ColumnSums};
use crate::{Cpu, Error, Extent, Init, Padding, Real, Result, Sizes, Window, real};
use end::ConvEnd;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A convolution over 1, 2 or 3 axes with bias and activation.
///
/// # Shapes
/// (d, h, w, c) to (d', h', w', filters) with out = ⌊(in + (in−1)·gap + before + after − (size−1)·dilation − 1)/stride⌋ + 1
/// on each axis. A size given as one number holds on every axis the network has. Weights: `weight` [kd, kh, kw,
/// c/groups, filters] and `bias` (filters).
///
/// # Errors
/// Planning refuses windows that exceed the padded input, zero sizes, and groups that do not divide channels and filters.
///
/// # Examples
/// ```
/// use kamacite::layer::{Conv, Layer};
/// use kamacite::Activation;
/// let first = Conv::new(8, 5).pad(2).act(Activation::Relu);
/// assert_eq!(first.kind(), "conv");
/// let spectrum = Conv::new(16, [8]).stride([4]).pad([2]);
/// let separable = Conv::depthwise(3).same().no_bias();
/// assert_ne!(spectrum, separable);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv {
    filters: usize,
    size: Sizes,
    #[serde(default = "ones")]
    stride: Sizes,
    #[serde(default = "no_padding")]
    padding: Padding,
    #[serde(default = "ones")]
    dilation: Sizes,
    #[serde(default = "zeros")]
    gap: Sizes,
    #[serde(default)]
    groups: Groups,
    #[serde(default)]
    act: Activation,
    /// The initial bias; `None` for no bias.
    bias: Option<f64>,
    #[serde(default)]
    init: Option<Init>,
}

/// Into how many groups channels and filters fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Groups {
    Count(usize),
    /// One for each channel; `filters` counts per channel.
    Channels,
}

impl Default for Groups {
    fn default() -> Self {
        Self::Count(1)
    }
}

/// The initializer asked for, or the one that keeps variances through this activation.
pub(super) fn initializer(asked: Option<Init>, act: Activation) -> Init {
    asked.unwrap_or(match act {
        Activation::Relu | Activation::LeakyRelu { .. } | Activation::Elu { .. } | Activation::Gelu | Activation::Silu => {
            Init::HeNormal
        }
        Activation::Selu => Init::LecunNormal,
        _ => Init::XavierNormal,
    })
}

pub(super) fn ones() -> Sizes {
    Sizes::All(1)
}

pub(super) fn zeros() -> Sizes {
    Sizes::All(0)
}

pub(super) fn no_padding() -> Padding {
    Padding::Both(Sizes::All(0))
}

impl Conv {
    /// `filters` filters of this size: stride 1, no padding, linear, with a bias that begins at 0.
    pub fn new(filters: usize, size: impl Into<Sizes>) -> Self {
        Self {
            filters,
            size: size.into(),
            stride: ones(),
            padding: no_padding(),
            dilation: ones(),
            gap: zeros(),
            groups: Groups::default(),
            act: Activation::Linear,
            bias: Some(0.0),
            init: None,
        }
    }

    /// One filter of this size for each channel; more with [`Conv::multiplier`].
    pub fn depthwise(size: impl Into<Sizes>) -> Self {
        Self { groups: Groups::Channels, ..Self::new(1, size) }
    }

    /// As many filters for each channel of a depthwise convolution; for another one, the number of filters.
    #[must_use]
    pub fn multiplier(mut self, filters: usize) -> Self {
        self.filters = filters;
        self
    }

    /// Steps between neighbouring outputs.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Sizes>) -> Self {
        self.stride = stride.into();
        self
    }

    /// As many zeros on both sides of each axis.
    #[must_use]
    pub fn pad(mut self, zeros: impl Into<Sizes>) -> Self {
        self.padding = Padding::Both(zeros.into());
        self
    }

    /// Zeros before the first and after the last input of each axis.
    #[must_use]
    pub fn pad_sides(mut self, before: impl Into<Sizes>, after: impl Into<Sizes>) -> Self {
        self.padding = Padding::Sides { before: before.into(), after: after.into() };
        self
    }

    /// As many zeros as make out = ⌈in/stride⌉, the odd one after.
    #[must_use]
    pub fn same(mut self) -> Self {
        self.padding = Padding::Same;
        self
    }

    /// Distance between neighbouring taps.
    #[must_use]
    pub fn dilation(mut self, dilation: impl Into<Sizes>) -> Self {
        self.dilation = dilation.into();
        self
    }

    /// Zeros between neighbouring inputs.
    #[must_use]
    pub fn gap(mut self, zeros: impl Into<Sizes>) -> Self {
        self.gap = zeros.into();
        self
    }

    /// Channels and filters in this many independent groups.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = Groups::Count(groups);
        self
    }

    /// The activation.
    #[must_use]
    pub fn act(mut self, act: Activation) -> Self {
        self.act = act;
        self
    }

    /// No bias.
    #[must_use]
    pub fn no_bias(mut self) -> Self {
        self.bias = None;
        self
    }

    /// How the weights begin. Otherwise: He's normal initializer in front of an activation that silences about half of
    /// its inputs (ReLU, leaky ReLU, ELU, GELU, SiLU), LeCun's in front of SELU, Xavier's in front of all others.
    #[must_use]
    pub fn init(mut self, init: Init) -> Self {
        self.init = Some(init);
        self
    }

    /// The value at which the bias begins.
    #[must_use]
    pub fn bias_init(mut self, value: f64) -> Self {
        self.bias = Some(value);
        self
    }

    fn geometry(&self, x: Extent, p: &Planner<'_>) -> Result<Geometry> {
        x.check()?;
        let axes = p.axes();
        let mut window = Window {
            stride: self.stride.on(axes, 1),
            dilation: self.dilation.on(axes, 1),
            gap: self.gap.on(axes, 0),
            ..Window::new(self.size.on(axes, 1))
        };
        self.padding.apply(&mut window, axes, x.space());
        let (filters, groups) = match self.groups {
            Groups::Count(groups) => (Some(self.filters), groups),
            Groups::Channels => (self.filters.checked_mul(x.c), x.c),
        };
        let filters = filters.filter(|&f| f > 0 && f <= 1 << 40);
        let filters = filters.ok_or_else(|| Error::shape("", "number of filters").expected("1 to 2^40").got(self.filters))?;
        Geometry::new(x, filters, window, groups)
    }
}

impl Layer for Conv {
    fn kind(&self) -> &'static str {
        "conv"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        self.act.check()?;
        let g = self.geometry(one(x)?, p)?;
        let [kd, kh, kw, c, f] = g.weights();
        let fans = (kd * kh * kw * c, kd * kh * kw * (f / g.groups));
        let w = p.param("weight", ParamSpec::weight(&g.weights(), initializer(self.init, self.act), fans))?;
        let b = self.bias.map(|value| p.param("bias", ParamSpec::bias(f, value))).transpose()?;
        let unit = if p.device().is_cuda() { ConvUnit::plan(&g, self.act, p)? } else { None };
        let act = Activated::plan(self.act, g.y, p)?;
        if let Some(unit) = unit.map(Arc::new) {
            let planned = Planned::new(g.y, UnitPass { unit: unit.clone(), w, b, act: act.clone() });
            let planned = planned.reads_x().products(g.products()).head(unit);
            return Ok(if act.reads_y() { planned.reads_y() } else { planned });
        }
        let op = Engine::plan(g, false, w.w, p)?;
        let db = bias_sum(b, self.act, g.y, p)?;
        let reads_y = act.reads_y();
        let plain = act.act == Activation::Linear || act.fused();
        let end = match &op {
            Engine::Cpu(op) if plain => Arc::new(ConvEnd::new(op, f)),
            Engine::Cuda(op) => Arc::new(ConvEnd::on_cuda(op, self.act, p)),
            _ => Arc::default(),
        };
        let pass = ConvPass { op, w, b, db, act, end: end.clone() };
        let planned = Planned::new(g.y, pass).reads_x().products(g.products()).head(end);
        Ok(if reads_y { planned.reads_y() } else { planned })
    }

    fn linear(&self) -> Option<Arc<dyn Layer>> {
        (self.act != Activation::Linear).then(|| Arc::new(self.clone().act(Activation::Linear)) as Arc<dyn Layer>)
    }
}

/// The activation behind a layer, and where its input is kept when the gradient needs it.
#[derive(Clone, Debug)]
pub(super) struct Activated {
    pub act: Activation,
    pub c: usize,
    /// Where the input of the activation is kept for the backward pass, if that is not the output.
    pub z: Option<Slot>,
    kernels: ActivationKernels,
}

impl Activated {
    pub fn plan(act: Activation, y: Extent, p: &mut Planner<'_>) -> Result<Self> {
        let keep = act.reads() == Reads::X && p.mode().differentiable();
        let z = keep.then(|| p.saved(p.dtype(), y.len()));
        Ok(Self { act, c: y.c, z, kernels: ActivationKernels::plan(act, y.c, p)? })
    }

    pub fn reads_y(&self) -> bool {
        self.act.reads() == Reads::Y && self.act != Activation::Linear
    }

    /// Whether the operation before can apply the activation on its way to memory.
    pub fn fused(&self) -> bool {
        self.act == Activation::Relu
    }

    /// What is left to do after an operation that applied a fused activation.
    pub fn rest<T: Real + Element>(&self, s: &Step<'_>, cpu: &Cpu, y: &mut [T]) -> Result<()> {
        if self.fused() { Ok(()) } else { self.forward(s, cpu, y) }
    }

    /// y = act(y), keeping what [`Activated::backward`] needs.
    pub fn forward<T: Real + Element>(&self, s: &Step<'_>, cpu: &Cpu, y: &mut [T]) -> Result<()> {
        if let Some(z) = self.z {
            s.write::<T>(z)?.copy_from_slice(y);
        }
        activation::forward_in_place(cpu, self.act, y, self.c);
        Ok(())
    }

    /// dy ← the gradient before the activation.
    pub fn backward<T: Real + Element>(&self, s: &Step<'_>, cpu: &Cpu, io: &Io<'_>, dy: &mut [T]) -> Result<()> {
        if self.act == Activation::Linear {
            return Ok(());
        }
        let saved = s.read::<T>(self.z.unwrap_or(io.y))?;
        activation::backward_in_place(cpu, self.act, &saved, dy, self.c);
        Ok(())
    }

    /// On a GPU: what the operation before applies on its way to memory, and where it leaves what that was applied to
    /// (null: nowhere). [`Activated::rest_cuda`] does what is left.
    pub fn fused_cuda(&self, s: &Step<'_>) -> Result<(CudaActivation, Ptr)> {
        Ok((self.kernels.fused(), self.z.map_or(Ok(Ptr::NULL), |z| s.ptr(z))?))
    }

    /// y = softmax(y) where that is the activation; nothing else is left behind [`Activated::fused_cuda`].
    pub fn rest_cuda(&self, s: &Step<'_>, cuda: &Cuda, y: Slot) -> Result<()> {
        if self.act != Activation::Softmax {
            return Ok(());
        }
        let at = s.ptr(y)?;
        self.kernels.forward(cuda, at, at, s.len(y)?)
    }

    /// What a kernel applies to dy while it loads it, on a GPU: the gradient of the activation, or, where that is a softmax, nothing more.
    pub fn gradient_cuda(&self, s: &Step<'_>, cuda: &Cuda, io: &Io<'_>) -> Result<CudaActivation> {
        if self.act == Activation::Softmax {
            self.backward_cuda(s, cuda, io, None)?;
        }
        Ok(self.kernels.fused())
    }

    /// dy ← the gradient before the activation, on a GPU, and for a bias its sums over all positions.
    pub fn backward_cuda(&self, s: &Step<'_>, cuda: &Cuda, io: &Io<'_>, bias: Option<BiasSum<'_>>) -> Result<()> {
        let (saved, dy, n) = (s.ptr(self.z.unwrap_or(io.y))?, s.ptr(io.dy)?, s.len(io.dy)?);
        let Some((sum, to)) = bias else { return self.kernels.backward(cuda, saved, dy, n) };
        if let Some(act) = self.kernels.element_wise()
            && sum.run_behind(s, cuda, (act, saved), (dy, n / self.c), to)?
        {
            return Ok(());
        }
        self.kernels.backward(cuda, saved, dy, n)?;
        sum.run(s, cuda, dy, n / self.c, to)
    }
}

/// The sums that make a bias gradient, and where they go.
pub(super) type BiasSum<'a> = (&'a ColumnSums, (Ptr, GradMode));

/// What sums the gradient of this bias, where it is wanted.
pub(super) fn bias_sum_of<'a>(s: &Step<'_>, b: Option<Param>, sum: &'a Option<ColumnSums>) -> Result<Option<BiasSum<'a>>> {
    let wanted = b.and_then(|b| s.grad(b.dw)).zip(sum.as_ref());
    wanted.map(|((db, mode), sum)| Ok((sum, (s.ptr(db)?, mode)))).transpose()
}

/// On a GPU, in plans with gradients: the sum over all positions of a batch of y that makes a bias gradient.
pub(super) fn bias_sum(b: Option<Param>, act: Activation, y: Extent, p: &mut Planner<'_>) -> Result<Option<ColumnSums>> {
    let wanted = b.is_some_and(|b| b.dw.is_some()) && p.mode().differentiable() && p.device().is_cuda();
    let behind = !matches!(act, Activation::Linear | Activation::Softmax);
    wanted.then(|| ColumnSums::plan(p.capacity().saturating_mul(y.area()), y.c, behind, p)).transpose()
}

/// What a GPU does with the results of a convolution: the bias, and the activation where that can be fused.
pub(super) fn cuda_end(s: &Step<'_>, b: Option<Param>, act: &Activated) -> Result<CudaEnd> {
    let (act, z) = act.fused_cuda(s)?;
    Ok(CudaEnd { bias: b.map_or(Ok(Ptr::NULL), |b| s.ptr(b.w))?, act, z, mode: GradMode::Write })
}

/// A convolution of few channels on a GPU, with all that follows it.
#[derive(Debug)]
struct UnitPass {
    unit: Arc<ConvUnit>,
    w: Param,
    b: Option<Param>,
    act: Activated,
}

impl Pass for UnitPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let Device::Cuda(cuda) = s.device() else { return Err(Error::order("convolution", "planned for a GPU")) };
        let bias = self.b.map_or(Ok(Ptr::NULL), |b| s.ptr(b.w))?;
        self.unit.forward(s, cuda, (io.x[0], self.w.w, io.y), bias, self.act.fused_cuda(s)?.0)
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let Device::Cuda(cuda) = s.device() else { return Err(Error::order("convolution", "planned for a GPU")) };
        let to = Gradients { dx: io.dx[0], dw: s.grad(self.w.dw), db: self.b.and_then(|b| s.grad(b.dw)) };
        self.unit.backward(s, cuda, (io.x[0], self.w.w, io.y, io.dy), self.act.fused_cuda(s)?.0, to)
    }
}

#[derive(Debug)]
struct ConvPass {
    op: Engine,
    w: Param,
    b: Option<Param>,
    /// The sum for the bias gradient on a GPU.
    db: Option<ColumnSums>,
    act: Activated,
    /// What else it does.
    end: Arc<ConvEnd>,
}

impl Pass for ConvPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let (x, w, mut y) = (s.read::<T>(io.x[0])?, s.read::<T>(self.w.w)?, s.write::<T>(io.y)?);
                let b = self.b.map(|b| s.read::<T>(b.w)).transpose()?;
                let end = End { bias: b.as_deref(), relu: self.act.fused(), mode: GradMode::Write };
                match self.end.taken() {
                    Some(taken) => taken.run::<T>(s, cpu, (self.op.cpu()?, self.act.c), (&x, &w), end, &mut y)?,
                    None => self.op.cpu()?.layer(s, cpu, &x, &w, (end, None), &mut y)?,
                }
                self.act.rest(s, cpu, &mut y)
            }),
            Device::Cuda(cuda) => {
                let op = self.op.cuda()?;
                let end = cuda_end(s, self.b, &self.act)?;
                if let Some(by) = self.end.measuring() {
                    return op.measure(s, cuda, (io.x[0], io.y), end, by);
                }
                if let Some(pooled) = self.end.pooled() {
                    return pooled.forward(s, cuda, op, io, end);
                }
                op.forward(s, cuda, io.x[0], end, io.y)?;
                self.act.rest_cuda(s, cuda, io.y)
            }
        }
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let mut dy = s.write::<T>(io.dy)?;
                self.act.backward(s, cpu, io, &mut dy)?;
                let op = self.op.cpu()?;
                let mut scratch = s.write::<T>(op.scratch())?;
                if let Some((db, mode)) = self.b.and_then(|b| s.grad(b.dw)) {
                    reduce::columns(cpu, &dy, self.act.c, &mut s.write::<T>(db)?, mode);
                }
                if let Some((dw, mode)) = s.grad(self.w.dw) {
                    op.weights(cpu, &s.read::<T>(io.x[0])?, &dy, &mut s.write::<T>(dw)?, mode, &mut scratch);
                }
                if let Some((dx, mode)) = io.dx[0] {
                    let w = s.read::<T>(self.w.w)?;
                    op.backward(cpu, &dy, &w, End::plain(mode), &mut s.write::<T>(dx)?, &mut scratch);
                }
                Ok(())
            }),
            Device::Cuda(cuda) => self.backward_cuda(s, cuda, io),
        }
    }
}

impl ConvPass {
    fn backward_cuda(&self, s: &Step<'_>, cuda: &Cuda, io: &Io<'_>) -> Result<()> {
        let op = self.op.cuda()?;
        match bias_sum_of(s, self.b, &self.db)? {
            // Sums of a gradient that has no mean would be nothing but rounding.
            Some((_, (db, mode))) if self.end.is_centred() => {
                if mode == GradMode::Write {
                    cuda.fill(db, 0, self.act.c * size_of::<f32>())?;
                }
            }
            bias => self.act.backward_cuda(s, cuda, io, bias)?,
        }
        let dz = self.end.pooled().map_or(Ok(io.dy), |pooled| pooled.backward(s, cuda, io.dy))?;
        if let Some((dw, mode)) = s.grad(self.w.dw) {
            op.weights(s, cuda, io.x[0], dz, dw, mode)?;
        }
        if let Some((dx, mode)) = io.dx[0] {
            op.backward(s, cuda, dz, CudaEnd::plain(mode), dx)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
