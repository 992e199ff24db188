//! Transposed convolution: y(q, i) = act(b(i) + Σ_(t,f) x(p, f)·w(t, i, f)), the data gradient of a convolution.
//!
//! Input p, tap t and output q meet on each axis where p·stride + t·dilation = before + q. With dz the gradient before
//! the activation: dx(p, f) = Σ dz(q, i)·w(t, i, f), dw(t, i, f) = Σ dz(q, i)·x(p, f), db(i) = Σ dz(q, i).
//!
//! # Source
//! Zeiler, Krishnan, Taylor & Fergus 2010, "Deconvolutional networks"; sizes as in PyTorch's `ConvTranspose2d`.

use super::conv::{Activated, bias_sum, bias_sum_of, cuda_end, initializer, no_padding, ones, zeros};
use super::{Fields, Layer, Pass, Planned, fields, one};
use crate::device::{Cuda, Device};
use crate::memory::{GradMode, Io, Param, ParamSpec, Planner, Step};
use crate::op::activation::Activation;
use crate::op::conv::{End, Geometry};
use crate::op::conv_cuda::CudaEnd;
use crate::op::conv_engine::Engine;
use crate::op::reduce::{self, ColumnSums};
use crate::{Error, Extent, Init, Padding, Result, Sizes, Window, real};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A transposed convolution over 1, 2 or 3 axes with bias and activation: upsampling with learned weights.
///
/// # Shapes
/// (d, h, w, c) to (d', h', w', filters) with out = (in−1)·stride − before − after + (size−1)·dilation + 1 + output_pad on
/// each axis. Weights: `weight` [kd, kh, kw, filters/groups, c] and `bias` (filters).
///
/// # Errors
/// Planning refuses zero sizes, padding that leaves no output, an output padding that is not below the stride, and groups
/// that do not divide channels and filters.
///
/// # Examples
/// ```
/// use kamacite::layer::{ConvTranspose, Layer};
/// let up = ConvTranspose::new(64, 2).stride(2).act(kamacite::Activation::Relu);
/// assert_eq!(up.kind(), "conv_transpose");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConvTranspose {
    filters: usize,
    size: Sizes,
    #[serde(default = "ones")]
    stride: Sizes,
    #[serde(default = "no_padding")]
    padding: Padding,
    #[serde(default = "zeros")]
    output_pad: Sizes,
    #[serde(default = "ones")]
    dilation: Sizes,
    #[serde(default = "one_group")]
    groups: usize,
    #[serde(default)]
    act: Activation,
    /// The initial bias; `None` for no bias.
    bias: Option<f64>,
    #[serde(default)]
    init: Option<Init>,
}

fn one_group() -> usize {
    1
}

impl ConvTranspose {
    /// `filters` filters of this size: stride 1, no padding, linear, with a bias that begins at 0.
    pub fn new(filters: usize, size: impl Into<Sizes>) -> Self {
        Self {
            filters,
            size: size.into(),
            stride: ones(),
            padding: no_padding(),
            output_pad: zeros(),
            dilation: ones(),
            groups: 1,
            act: Activation::Linear,
            bias: Some(0.0),
            init: None,
        }
    }

    /// Steps between the windows of neighbouring inputs.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Sizes>) -> Self {
        self.stride = stride.into();
        self
    }

    /// As many outputs cut off on both sides of each axis.
    #[must_use]
    pub fn pad(mut self, cut: impl Into<Sizes>) -> Self {
        self.padding = Padding::Both(cut.into());
        self
    }

    /// Outputs cut off before and after on each axis.
    #[must_use]
    pub fn pad_sides(mut self, before: impl Into<Sizes>, after: impl Into<Sizes>) -> Self {
        self.padding = Padding::Sides { before: before.into(), after: after.into() };
        self
    }

    /// Outputs added after the last one: which of the inputs sizes of a strided convolution comes back.
    #[must_use]
    pub fn output_pad(mut self, more: impl Into<Sizes>) -> Self {
        self.output_pad = more.into();
        self
    }

    /// Distance between neighbouring taps.
    #[must_use]
    pub fn dilation(mut self, dilation: impl Into<Sizes>) -> Self {
        self.dilation = dilation.into();
        self
    }

    /// Channels and filters in this many independent groups.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
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

    /// The convolution from the output of this layer to its input.
    fn geometry(&self, x: Extent, p: &Planner<'_>) -> Result<Geometry> {
        x.check()?;
        let axes = p.axes();
        let (before, after) = match self.padding {
            Padding::Both(both) => (both, both),
            Padding::Sides { before, after } => (before, after),
            Padding::Same => return Err(Error::shape("", "a transposed convolution has no \"same\" padding").hint("use pad")),
        };
        let window = Window {
            stride: self.stride.on(axes, 1),
            dilation: self.dilation.on(axes, 1),
            before: before.on(axes, 0),
            after: after.on(axes, 0),
            ..Window::new(self.size.on(axes, 1))
        };
        let more = self.output_pad.on(axes, 0);
        let mut space = [0; 3];
        for (i, space) in space.iter_mut().enumerate() {
            let axis = ["d", "h", "w"][i];
            if window.size[i] == 0 || window.stride[i] == 0 || window.dilation[i] == 0 {
                let what = format!("zero size, stride or dilation on axis {axis}");
                return Err(Error::shape("window", what).expected("at least 1"));
            }
            if more[i] >= window.stride[i] {
                return Err(Error::shape("", format!("output padding on axis {axis}"))
                    .expected(format!("less than the stride, {}", window.stride[i]))
                    .got(more[i]));
            }
            let full = || {
                let reach = (window.size[i] - 1).checked_mul(window.dilation[i])?;
                let full = (x.space()[i] - 1).checked_mul(window.stride[i])?.checked_add(reach)?.checked_add(1 + more[i])?;
                let cut = window.before[i].checked_add(window.after[i])?;
                (full <= 1 << 40).then_some((full, cut))
            };
            let Some((full, cut)) = full() else {
                return Err(Error::shape("window", format!("sizes overflow on axis {axis}")).expected("at most 2^40"));
            };
            *space = full.saturating_sub(cut);
            if *space == 0 {
                return Err(Error::shape("", format!("the padding leaves no output on axis {axis}"))
                    .expected(format!("less than {full} in all"))
                    .got(cut));
            }
        }
        if self.filters == 0 || self.filters > 1 << 40 {
            return Err(Error::shape("", "number of filters").expected("1 to 2^40").got(self.filters));
        }
        Geometry::new(Extent { c: self.filters, ..x.with_space(space) }, x.c, window, self.groups)
    }
}

impl Layer for ConvTranspose {
    fn kind(&self) -> &'static str {
        "conv_transpose"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        self.act.check()?;
        let g = self.geometry(one(x)?, p)?;
        let [kd, kh, kw, i, c] = g.weights();
        let fans = (kd * kh * kw * (c / g.groups), kd * kh * kw * i);
        let w = p.param("weight", ParamSpec::weight(&g.weights(), initializer(self.init, self.act), fans))?;
        let b = self.bias.map(|value| p.param("bias", ParamSpec::bias(g.x.c, value))).transpose()?;
        let op = Engine::plan(g, true, w.w, p)?;
        let db = bias_sum(b, self.act, g.x, p)?;
        let act = Activated::plan(self.act, g.x, p)?;
        let reads_y = act.reads_y();
        let planned = Planned::new(g.x, ConvTransposePass { op, w, b, db, act }).reads_x().products(g.products());
        Ok(if reads_y { planned.reads_y() } else { planned })
    }

    fn linear(&self) -> Option<Arc<dyn Layer>> {
        (self.act != Activation::Linear).then(|| Arc::new(self.clone().act(Activation::Linear)) as Arc<dyn Layer>)
    }
}

#[derive(Debug)]
struct ConvTransposePass {
    op: Engine,
    w: Param,
    b: Option<Param>,
    /// The sum for the bias gradient on a GPU.
    db: Option<ColumnSums>,
    act: Activated,
}

impl Pass for ConvTransposePass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let (x, w, mut y) = (s.read::<T>(io.x[0])?, s.read::<T>(self.w.w)?, s.write::<T>(io.y)?);
                let b = self.b.map(|b| s.read::<T>(b.w)).transpose()?;
                let end = End { bias: b.as_deref(), relu: self.act.fused(), mode: GradMode::Write };
                self.op.cpu()?.layer(s, cpu, &x, &w, (end, None), &mut y)?;
                self.act.rest(s, cpu, &mut y)
            }),
            Device::Cuda(cuda) => {
                let op = self.op.cuda()?;
                op.backward(s, cuda, io.x[0], cuda_end(s, self.b, &self.act)?, io.y)?;
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
                    op.weights(cpu, &dy, &s.read::<T>(io.x[0])?, &mut s.write::<T>(dw)?, mode, &mut scratch);
                }
                if let Some((dx, mode)) = io.dx[0] {
                    let w = s.read::<T>(self.w.w)?;
                    op.forward(cpu, &dy, &w, End::plain(mode), &mut s.write::<T>(dx)?, &mut scratch);
                }
                Ok(())
            }),
            Device::Cuda(cuda) => self.backward_cuda(s, cuda, io),
        }
    }
}

impl ConvTransposePass {
    fn backward_cuda(&self, s: &Step<'_>, cuda: &Cuda, io: &Io<'_>) -> Result<()> {
        let op = self.op.cuda()?;
        self.act.backward_cuda(s, cuda, io, bias_sum_of(s, self.b, &self.db)?)?;
        if let Some((dw, mode)) = s.grad(self.w.dw) {
            op.weights(s, cuda, io.dy, io.x[0], dw, mode)?;
        }
        if let Some((dx, mode)) = io.dx[0] {
            op.forward(s, cuda, io.dy, CudaEnd::plain(mode), dx)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Mode, Model, Network, Precision, View};

    fn model(layer: ConvTranspose, x: Extent) -> Result<Model> {
        let mut net = Network::new(x);
        net.push(layer);
        Model::builder(net).precision(Precision::FP64).device(Device::cpu_threads(1)?).build()
    }

    fn forward(layer: ConvTranspose, x: Extent, data: &[f64], w: &[f64]) -> Vec<f64> {
        let mut model = model(layer, x).unwrap();
        model.set_array("conv_transpose1.weight", w).unwrap();
        model.forward(Mode::Infer, View::f64(x, data).unwrap()).unwrap().as_f64().unwrap().to_vec()
    }

    #[test]
    fn a_line_by_hand() {
        let x = Extent::line(2, 1);
        let w = [1.0, 10.0, 100.0];
        let up = ConvTranspose::new(1, 3).stride(2);
        assert_eq!(forward(up.clone(), x, &[1.0, 2.0], &w), [1.0, 10.0, 102.0, 20.0, 200.0]);
        assert_eq!(forward(up.clone().pad(1), x, &[1.0, 2.0], &w), [10.0, 102.0, 20.0]);
        assert_eq!(forward(up.clone().pad(1).output_pad(1), x, &[1.0, 2.0], &w), [10.0, 102.0, 20.0, 200.0]);
        let shifted = up.pad_sides(0, 2).bias_init(-60.0).act(Activation::Relu);
        assert_eq!(forward(shifted, x, &[1.0, 2.0], &w), [0.0, 0.0, 42.0]);
    }

    /// The channels of weights: [tap][filter][channel].
    #[test]
    fn channels_and_filters_by_hand() {
        let x = Extent::line(2, 2);
        let y = forward(ConvTranspose::new(3, 1), x, &[1.0, 2.0, 3.0, 4.0], &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
        assert_eq!(y, [21.0, 42.0, 63.0, 43.0, 86.0, 129.0]);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let x = Extent::image(4, 4, 6);
        let shape = |layer| model(layer, x).err().map(|e| e.kind());
        assert_eq!(shape(ConvTranspose::new(2, 3)), None);
        for layer in [
            ConvTranspose::new(0, 3),
            ConvTranspose::new(usize::MAX, 3),
            ConvTranspose::new(2, 0),
            ConvTranspose::new(2, 3).stride(0),
            ConvTranspose::new(2, usize::MAX),
            ConvTranspose::new(2, 3).stride(usize::MAX),
            ConvTranspose::new(2, 3).pad(3),
            ConvTranspose::new(2, 3).pad(usize::MAX),
            ConvTranspose::new(2, 3).stride(2).output_pad(2),
            ConvTranspose::new(3, 3).groups(2),
            ConvTranspose::new(4, 3).groups(4),
            ConvTranspose::new(2, 3).groups(0),
            ConvTranspose::new(2, 3).dilation(usize::MAX),
        ] {
            assert_eq!(shape(layer.clone()), Some(ErrorKind::Shape), "{layer:?}");
        }
    }
}
