//! Activations on a GPU: the launches of `activation.cu`, and what kernels that end in an activation are told.

use super::activation::{Activation, SELU};
use crate::device::{Cuda, Grid, Kernel, Ptr, Source};
use crate::memory::Planner;
use crate::{DType, Result};
use bytemuck::{Pod, Zeroable};

/// An element-wise activation as kernels take it: `Activation` in `activation.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub(crate) struct CudaActivation {
    kind: u32,
    a: f32,
    b: f32,
    unused: u32,
}

impl CudaActivation {
    /// y = x
    pub const LINEAR: Self = Self { kind: 0, a: 0.0, b: 0.0, unused: 0 };
    /// y = max(x, 0)
    pub const RELU: Self = Self { kind: 1, ..Self::LINEAR };

    /// `act` with outputs of this type; the identity for the softmax, which is not element-wise.
    pub fn new(act: Activation, dtype: DType) -> Self {
        let (kind, a, b) = match act {
            Activation::Linear => (0, 0.0, 0.0),
            Activation::Relu => (1, 0.0, 0.0),
            // The backward pass compares y with the saturation, so that has to be a number that y can take.
            Activation::LeakyRelu { slope, saturation } => (2, slope, rounded(saturation.unwrap_or(f64::INFINITY), dtype)),
            Activation::Elu { alpha } => (3, 1.0, alpha),
            Activation::Selu => (3, SELU.0, SELU.1),
            Activation::Gelu => (4, 0.0, 0.0),
            Activation::Silu => (5, 0.0, 0.0),
            Activation::Tanh => (6, 0.0, 0.0),
            Activation::Logistic => (7, 0.0, 0.0),
            Activation::ScaledLogistic { slope, saturation } => (8, slope, saturation.unwrap_or(f64::INFINITY)),
            Activation::Softplus => (9, 0.0, 0.0),
            Activation::Softmax => (10, 0.0, 0.0),
        };
        Self { kind, a: a as f32, b: b as f32, unused: 0 }
    }

    /// Linear or ReLU: so short that a kernel can apply it to every register of a tile.
    pub const fn is_short(&self) -> bool {
        self.kind <= 1
    }
}

/// The nearest number of the type.
fn rounded(v: f64, dtype: DType) -> f64 {
    match dtype {
        DType::Bf16 => half::bf16::from_f32(v as f32).to_f64(),
        DType::F16 => half::f16::from_f32(v as f32).to_f64(),
        _ => v,
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct Args {
    /// x forward, what was saved backward.
    x: Ptr,
    /// y forward, dy backward.
    y: Ptr,
    n: u64,
    act: CudaActivation,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct SoftmaxArgs {
    x: Ptr,
    y: Ptr,
    rows: u64,
    c: u32,
    lanes: u32,
}

/// The kernels of one activation over arrays with `c` channels innermost.
#[derive(Clone, Debug)]
pub(crate) enum ActivationKernels {
    /// With the bytes of an element.
    Linear(usize),
    Each {
        act: CudaActivation,
        forward: Kernel<Args>,
        backward: Kernel<Args>,
    },
    Softmax {
        c: usize,
        forward: Kernel<SoftmaxArgs>,
        backward: Kernel<SoftmaxArgs>,
    },
}

impl ActivationKernels {
    pub fn plan(act: Activation, c: usize, p: &Planner<'_>) -> Result<Self> {
        Ok(match act {
            Activation::Linear => Self::Linear(p.dtype().bytes()),
            Activation::Softmax => Self::Softmax {
                c,
                forward: p.typed_kernel(&ACTIVATION, "softmax_forward")?,
                backward: p.typed_kernel(&ACTIVATION, "softmax_backward")?,
            },
            _ => Self::Each {
                act: CudaActivation::new(act, p.dtype()),
                forward: p.typed_kernel(&ACTIVATION, "activation_forward")?,
                backward: p.typed_kernel(&ACTIVATION, "activation_backward")?,
            },
        })
    }

    /// What a kernel applies on its way to memory; the softmax is left to [`ActivationKernels::forward`].
    pub fn fused(&self) -> CudaActivation {
        match self {
            Self::Each { act, .. } => *act,
            _ => CudaActivation::LINEAR,
        }
    }

    /// The activation, if it is one that works element by element and does something.
    pub fn element_wise(&self) -> Option<CudaActivation> {
        match self {
            Self::Each { act, .. } => Some(*act),
            _ => None,
        }
    }

    /// y = f(x) of n elements; both may be the same.
    pub fn forward(&self, cuda: &Cuda, x: Ptr, y: Ptr, n: usize) -> Result<()> {
        match self {
            Self::Linear(_) if x == y => Ok(()),
            Self::Linear(bytes) => cuda.copy(y, x, n * bytes),
            Self::Each { act, forward, .. } => each(cuda, forward, *act, (x, y), n),
            Self::Softmax { c, forward, .. } => softmax(cuda, forward, *c, (x, y), n),
        }
    }

    /// dy ← dy·f′ of n elements; `saved` is x or y as [`Activation::reads`] says.
    pub fn backward(&self, cuda: &Cuda, saved: Ptr, dy: Ptr, n: usize) -> Result<()> {
        match self {
            Self::Linear(_) => Ok(()),
            Self::Each { act, backward, .. } => each(cuda, backward, *act, (saved, dy), n),
            Self::Softmax { c, backward, .. } => softmax(cuda, backward, *c, (saved, dy), n),
        }
    }
}

fn each(cuda: &Cuda, kernel: &Kernel<Args>, act: CudaActivation, (x, y): (Ptr, Ptr), n: usize) -> Result<()> {
    // A thread takes 16 bytes: 4 elements, or 8 narrow ones.
    kernel.launch(cuda, Grid::cover(n.div_ceil(4)), &Args { x, y, n: n as u64, act })
}

fn softmax(cuda: &Cuda, kernel: &Kernel<SoftmaxArgs>, c: usize, (x, y): (Ptr, Ptr), n: usize) -> Result<()> {
    let lanes = c.next_power_of_two().min(32);
    let rows = n / c;
    kernel.launch(cuda, Grid::cover(rows * lanes), &SoftmaxArgs { x, y, rows: rows as u64, c: c as u32, lanes: lanes as u32 })
}

pub(crate) const ACTIVATION: Source = Source::new("activation", include_str!("../../kernels/activation.cu"));
