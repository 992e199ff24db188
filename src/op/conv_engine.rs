//! A convolution in a network: planned for its device, run on slots.

use super::conv::{Conv, Geometry};
use super::conv_args::Gather;
use super::conv_cuda::{CudaConv, CudaEnd, Measurable, Measuring};
use super::gemm_cuda::{CudaGemm, CudaProduct, Layout};
use super::pool::Geometry as Pooling;
use crate::device::{Cuda, Device, Ptr};
use crate::memory::{GradMode, Planner, Slot, Step};
use crate::{DType, Error, Result};

/// A convolution planned for the device of a network.
#[derive(Debug)]
// One for each layer, made once and never moved.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Engine {
    /// Loops over slices.
    Cpu(Box<Conv>),
    /// Kernels.
    Cuda(Box<OnCuda>),
}

impl Engine {
    /// Plans all three directions of a convolution with weights `w`, or only the one that inference takes: forward, or
    /// (`flip`, for the transposed convolution) backward.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for sizes that the device cannot compute, and what
    /// [`Planner::kernel`] returns.
    pub fn plan(g: Geometry, flip: bool, w: Slot, p: &mut Planner<'_>) -> Result<Self> {
        match p.device() {
            Device::Cpu(cpu) => Conv::plan(g, flip, (cpu.isa(), cpu.threads()), p).map(|conv| Self::Cpu(Box::new(conv))),
            Device::Cuda(_) => OnCuda::plan(&g, flip, w, p).map(|on| Self::Cuda(Box::new(on))),
        }
    }

    /// The CPU's plan.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) in a plan for a GPU.
    pub fn cpu(&self) -> Result<&Conv> {
        match self {
            Self::Cpu(conv) => Ok(conv),
            Self::Cuda(_) => Err(Error::order("convolution", "planned for a GPU, run on a CPU")),
        }
    }

    /// The GPU's plan.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) in a plan for the CPU.
    pub fn cuda(&self) -> Result<&OnCuda> {
        match self {
            Self::Cuda(conv) => Ok(conv),
            Self::Cpu(_) => Err(Error::order("convolution", "planned for a CPU, run on a GPU")),
        }
    }
}

/// The kernels of a convolution with what they need from the plan.
#[derive(Debug)]
pub(crate) struct OnCuda {
    kernels: Kernels,
    /// The weights, in the type of activations where a kernel reads them so.
    w: Slot,
    /// Partial sums.
    work: Option<Slot>,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
enum Kernels {
    Windows(Box<CudaConv>),
    /// Every input meets one tap of one output: plain products of matrices.
    Product(Box<Product>),
}

impl OnCuda {
    fn plan(g: &Geometry, flip: bool, w: Slot, p: &mut Planner<'_>) -> Result<Self> {
        let only = (!p.mode().differentiable()).then_some(flip);
        let (kernels, narrow, work) = if Product::suits(g, flip) {
            let product = Product::plan(g, only, p)?;
            let work = product.work();
            (Kernels::Product(Box::new(product)), true, work)
        } else {
            let Device::Cuda(cuda) = p.device() else { return Err(Error::order("convolution", "planned for a CPU")) };
            let conv = CudaConv::new(g, p.capacity(), p.precision(), only, cuda)?;
            for name in conv.path().into_iter().filter(|name| !name.is_empty()) {
                p.kernels.borrow_mut().push((p.node, name.to_string()));
            }
            let (narrow, work) = (conv.narrow(), conv.work());
            (Kernels::Windows(Box::new(conv)), narrow, work)
        };
        let w = if narrow { p.as_activations(w) } else { w };
        let work = (work > 0).then(|| p.scratch(DType::F32, work));
        Ok(Self { kernels, w, work })
    }

    fn work(&self, s: &Step<'_>) -> Result<Ptr> {
        self.work.map_or(Ok(Ptr::NULL), |work| s.ptr(work))
    }

    /// y = conv(x, w), with an end.
    pub fn forward(&self, s: &Step<'_>, cuda: &Cuda, x: Slot, end: CudaEnd, y: Slot) -> Result<()> {
        let pointers = (s.ptr(x)?, s.ptr(self.w)?, s.ptr(y)?);
        match &self.kernels {
            Kernels::Windows(conv) => conv.forward(cuda, s.rows(), pointers, end),
            Kernels::Product(product) => product.forward(cuda, s.rows(), pointers, end, self.work(s)?),
        }
    }

    /// Whether, and how, the forward pass without an activation can find the moments of its results.
    pub fn measurable(&self, p: &Planner<'_>) -> Option<Measurable> {
        match &self.kernels {
            Kernels::Windows(conv) => conv.measurable(p.capacity(), p.precision()),
            Kernels::Product(_) => None,
        }
    }

    /// y = conv(x, w) with a bias, and the moments of y.
    pub fn measure(&self, s: &Step<'_>, cuda: &Cuda, (x, y): (Slot, Slot), end: CudaEnd, by: &Measuring) -> Result<()> {
        let pointers = (s.ptr(x)?, s.ptr(self.w)?, s.ptr(y)?);
        match &self.kernels {
            Kernels::Windows(conv) => conv.measure(cuda, s.rows(), pointers, end, (&by.kernel, by.statistics.args(s)?)),
            Kernels::Product(_) => Err(Error::order("convolution", "a product does not find moments")),
        }
    }

    /// Whether the forward pass can take the maximum over windows of its results that [suit](Self::pools_windows).
    pub fn pools(&self) -> bool {
        matches!(&self.kernels, Kernels::Windows(conv) if conv.pools())
    }

    /// Whether it can do so over these.
    pub fn pools_windows(pool: &Pooling) -> bool {
        Gather::pools(pool)
    }

    /// y = the maximum over windows of conv(x, w) with an end, and the cells that the maxima came from.
    pub fn pooled(
        &self,
        s: &Step<'_>,
        cuda: &Cuda,
        (x, y): (Slot, Slot),
        end: CudaEnd,
        (pool, winner): (&Pooling, Option<Slot>),
    ) -> Result<()> {
        let pointers = (s.ptr(x)?, s.ptr(self.w)?, s.ptr(y)?);
        let winner = winner.map_or(Ok(Ptr::NULL), |winner| s.ptr(winner))?;
        match &self.kernels {
            Kernels::Windows(conv) => conv.pooled(cuda, s.rows(), pointers, end, (pool, winner)),
            Kernels::Product(_) => Err(Error::order("convolution", "a product does not pool")),
        }
    }

    /// dx from dy; with a bias it is the forward pass of the transposed convolution.
    pub fn backward(&self, s: &Step<'_>, cuda: &Cuda, dy: Slot, end: CudaEnd, dx: Slot) -> Result<()> {
        let pointers = (s.ptr(dy)?, s.ptr(self.w)?, s.ptr(dx)?);
        match &self.kernels {
            Kernels::Windows(conv) => conv.backward(cuda, s.rows(), pointers, end),
            Kernels::Product(product) => product.backward(cuda, s.rows(), pointers, end, self.work(s)?),
        }
    }

    /// dw from x and dy.
    pub fn weights(&self, s: &Step<'_>, cuda: &Cuda, x: Slot, dy: Slot, dw: Slot, mode: GradMode) -> Result<()> {
        let pointers = (s.ptr(x)?, s.ptr(dy)?, s.ptr(dw)?);
        match &self.kernels {
            Kernels::Windows(conv) => conv.weights(cuda, s.rows(), pointers, mode, self.work(s)?),
            Kernels::Product(product) => product.weights(cuda, s.rows(), pointers, mode, self.work(s)?),
        }
    }
}

/// y = x·w with a row of x for each output, `pixels` of them in a sample.
#[derive(Debug)]
struct Product {
    pixels: usize,
    k: usize,
    n: usize,
    y: Option<CudaGemm>,
    dx: Option<CudaGemm>,
    dw: Option<CudaGemm>,
}

impl Product {
    /// Windows of one tap that are everywhere, and those of the whole sample; the latter not for the transposed
    /// convolution, whose bias belongs to channels and not to columns.
    fn suits(g: &Geometry, flip: bool) -> bool {
        let window = &g.window;
        let plain = g.groups == 1 && window.before == [0; 3] && window.gap == [0; 3] && window.dilation == [1; 3];
        let everywhere = window.taps() == 1 && window.stride == [1; 3] && g.x.space() == g.y.space();
        let whole = window.size == g.x.space() && g.y.area() == 1;
        plain && (everywhere || whole && !flip)
    }

    fn plan(g: &Geometry, only: Option<bool>, p: &Planner<'_>) -> Result<Self> {
        let (pixels, k, n) = (g.y.area(), g.window.taps() * g.x.c, g.y.c);
        let m = p.capacity().saturating_mul(pixels);
        let plan = |wanted: bool, stored, sizes| wanted.then(|| CudaGemm::plan(stored, sizes, p)).transpose();
        let y = plan(only != Some(true), Layout::NN, [m, n, k])?;
        let dx = plan(only != Some(false), Layout::NT, [m, k, n])?;
        let dw = plan(only.is_none(), Layout::TN, [k, n, m])?;
        Ok(Self { pixels, k, n, y, dx, dw })
    }

    fn work(&self) -> usize {
        [&self.y, &self.dx, &self.dw].into_iter().flatten().map(CudaGemm::workspace).max().unwrap_or(0)
    }

    fn forward(&self, cuda: &Cuda, rows: usize, (x, w, y): (Ptr, Ptr, Ptr), end: CudaEnd, work: Ptr) -> Result<()> {
        let &Self { pixels, k, n, .. } = self;
        let product = CudaProduct::new([rows * pixels, n, k], (x, k), (w, n), (y, n));
        planned(&self.y)?.launch(cuda, &ended(product, end), work)
    }

    fn backward(&self, cuda: &Cuda, rows: usize, (dy, w, dx): (Ptr, Ptr, Ptr), end: CudaEnd, work: Ptr) -> Result<()> {
        let &Self { pixels, k, n, .. } = self;
        let product = CudaProduct::new([rows * pixels, k, n], (dy, n), (w, n), (dx, k));
        planned(&self.dx)?.launch(cuda, &ended(product, end), work)
    }

    fn weights(&self, cuda: &Cuda, rows: usize, (x, dy, dw): (Ptr, Ptr, Ptr), mode: GradMode, work: Ptr) -> Result<()> {
        let &Self { pixels, k, n, .. } = self;
        let product = CudaProduct::new([k, n, rows * pixels], (x, k), (dy, n), (dw, n));
        planned(&self.dw)?.launch(cuda, &CudaProduct { wide: true, add: mode == GradMode::Add, ..product }, work)
    }
}

fn ended(product: CudaProduct, end: CudaEnd) -> CudaProduct {
    let CudaEnd { bias, act, z, mode } = end;
    CudaProduct { bias, act, z, add: mode == GradMode::Add, ..product }
}

fn planned(made: &Option<CudaGemm>) -> Result<&CudaGemm> {
    made.as_ref().ok_or_else(|| Error::order("convolution", "this direction was not planned").hint("plan with gradients"))
}
