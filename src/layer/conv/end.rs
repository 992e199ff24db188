//! What a convolution does besides: in plans for inference normalisation by constants, ReLU and pooling, unit by unit; on a GPU the
//! maximum over windows of its results, in training their statistics.

use crate::device::Cuda;
use crate::layer::Head;
use crate::layer::pool::MaxKernels;
use crate::memory::{Element, GradMode, Io, Planner, Slot, Step};
use crate::op::activation::{Activation, Reads};
use crate::op::bands::Statistics;
use crate::op::conv::{After, Conv, End};
use crate::op::conv_cuda::{CudaEnd, Measurable, Measuring};
use crate::op::conv_engine::OnCuda;
use crate::op::epilogue::Epilogue;
use crate::op::pool::Geometry;
use crate::{Cpu, DType, Error, Real, Result};
use std::sync::{Arc, OnceLock};

/// What the plan added to the pass.
#[derive(Debug)]
pub(super) struct Taken {
    epilogue: Epilogue,
    /// Centre, scale and shift of each channel.
    map: Slot,
    /// A unit's outputs for each task.
    units: Slot,
}

impl Taken {
    /// y from x with all that follows.
    pub fn run<T: Real + Element>(
        &self,
        s: &Step<'_>,
        cpu: &Cpu,
        (op, c): (&Conv, usize),
        (x, w): (&[T], &[T]),
        end: End<'_, T>,
        y: &mut [T],
    ) -> Result<()> {
        let (mut map, mut units) = (s.write::<T>(self.map)?, s.write::<T>(self.units)?);
        let affine = self.epilogue.norm.map(|norm| norm.affine(s, &mut map)).transpose()?;
        let after = After { epilogue: &self.epilogue, c, affine, units: &mut units };
        op.layer(s, cpu, x, w, (end, Some(after)), y)
    }
}

/// The maximum over windows of the results, on a GPU: the results themselves, and their gradients but for one pass, are nowhere.
#[derive(Debug)]
pub(super) struct Pooled {
    g: Geometry,
    kernels: MaxKernels,
    /// The cells of the maxima, and the gradient of all cells, in plans with gradients.
    kept: Option<(Slot, Slot)>,
}

impl Pooled {
    fn plan(g: Geometry, p: &mut Planner<'_>) -> Result<Self> {
        let kernels = MaxKernels::new(p, &g)?;
        let differentiable = p.mode().differentiable();
        let kept =
            differentiable.then(|| (p.saved(DType::U32, MaxKernels::winners(&g)), p.scratch_backward(p.dtype(), g.x.len())));
        Ok(Self { g, kernels, kept })
    }

    /// y from x.
    pub fn forward(&self, s: &Step<'_>, cuda: &Cuda, op: &OnCuda, io: &Io<'_>, end: CudaEnd) -> Result<()> {
        op.pooled(s, cuda, (io.x[0], io.y), end, (&self.g, self.kept.map(|(winner, _)| winner)))
    }

    /// Where the gradient of all cells lies, from that of the maxima.
    pub fn backward(&self, s: &Step<'_>, cuda: &Cuda, dy: Slot) -> Result<Slot> {
        let (winner, dz) = self.kept.ok_or_else(|| Error::order("convolution", "planned without a backward pass"))?;
        self.kernels.backward(cuda, &self.g, s, dy, winner, (dz, GradMode::Write))?;
        Ok(dz)
    }
}

/// Shared by the pass and the plan, which adds to it once.
#[derive(Debug, Default)]
pub(super) struct ConvEnd {
    /// Values of a unit's outputs, tasks and channels; `None` where nothing can follow.
    unit: Option<(usize, usize, usize)>,
    taken: OnceLock<Taken>,
    /// Whether maxima may follow, on a GPU.
    pools: bool,
    pooled: OnceLock<Pooled>,
    /// Of a linear one on a GPU.
    measurable: Option<Measurable>,
    measuring: OnceLock<Measuring>,
    linear: bool,
    centred: OnceLock<()>,
}

impl ConvEnd {
    /// Of a convolution whose activation its own end applies.
    pub fn new(op: &Conv, c: usize) -> Self {
        Self { unit: op.unit().map(|len| (len, op.tasks(), c)), ..Self::default() }
    }

    /// Of one on a GPU.
    pub fn on_cuda(op: &OnCuda, act: Activation, p: &Planner<'_>) -> Self {
        let linear = act == Activation::Linear;
        let measurable = if linear { op.measurable(p) } else { None };
        // The gradient of the activation is found from the maxima.
        let pools = op.pools() && act.reads() == Reads::Y && act != Activation::Softmax;
        Self { pools, measurable, linear, ..Self::default() }
    }

    /// Whether the bias has no gradient.
    pub fn is_centred(&self) -> bool {
        self.centred.get().is_some()
    }

    /// What finds statistics of its results.
    pub fn measuring(&self) -> Option<&Measuring> {
        self.measuring.get()
    }

    pub fn taken(&self) -> Option<&Taken> {
        self.taken.get()
    }

    /// The maxima that a GPU takes of the results.
    pub fn pooled(&self) -> Option<&Pooled> {
        self.pooled.get()
    }
}

impl Head for ConvEnd {
    fn fits(&self, epilogue: &Epilogue) -> bool {
        if self.pools {
            let alone = epilogue.norm.is_none() && !epilogue.relu;
            return alone && epilogue.pool.is_some_and(|g| OnCuda::pools_windows(&g));
        }
        self.unit.is_some_and(|(len, _, c)| (len / c).is_multiple_of(epilogue.band()))
    }

    fn take(&self, epilogue: Epilogue, p: &mut Planner<'_>) -> Result<()> {
        if let Some(g) = epilogue.pool.filter(|_| self.pools) {
            // As below.
            let _ = self.pooled.set(Pooled::plan(g, p)?);
            return Ok(());
        }
        let Some((len, tasks, c)) = self.unit else { return Ok(()) };
        let (map, units) = (p.scratch(p.dtype(), 3 * c), p.scratch(p.dtype(), tasks * len));
        // A second call would find the place taken; there is none.
        let _ = self.taken.set(Taken { epilogue, map, units });
        Ok(())
    }

    fn centred(&self) {
        if self.linear {
            // As above.
            let _ = self.centred.set(());
        }
    }

    fn measure(&self, of: &Arc<Statistics>, p: &mut Planner<'_>) -> Result<()> {
        let Some(measurable) = &self.measurable else { return Ok(()) };
        // As above.
        let _ = self.measuring.set(measurable.measure(of, p)?);
        Ok(())
    }
}
