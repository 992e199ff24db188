//! What a convolution does besides: in plans for inference normalisation by constants, ReLU and pooling, unit by unit; on a GPU in
//! training the statistics of its results.

use crate::layer::Head;
use crate::memory::{Element, Planner, Slot, Step};
use crate::op::bands::Statistics;
use crate::op::conv::{After, Conv, End};
use crate::op::conv_cuda::{Measurable, Measuring};
use crate::op::epilogue::Epilogue;
use crate::{Cpu, Real, Result};
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

/// Shared by the pass and the plan, which adds to it once.
#[derive(Debug, Default)]
pub(super) struct ConvEnd {
    /// Values of a unit's outputs, tasks and channels; `None` where nothing can follow.
    unit: Option<(usize, usize, usize)>,
    taken: OnceLock<Taken>,
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

    /// Of one on a GPU without an activation.
    pub fn linear(measurable: Option<Measurable>) -> Self {
        Self { measurable, linear: true, ..Self::default() }
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
}

impl Head for ConvEnd {
    fn fits(&self, epilogue: &Epilogue) -> bool {
        self.unit.is_some_and(|(len, _, c)| (len / c).is_multiple_of(epilogue.band()))
    }

    fn take(&self, epilogue: Epilogue, p: &mut Planner<'_>) -> Result<()> {
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
