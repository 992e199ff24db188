//! What a normalisation does besides, on its way to memory: the ReLU and the pooling that follow it, chunk by chunk.

use super::Sets;
use super::pass::Cut;
use super::pooled::Pooled;
use crate::layer::Head;
use crate::memory::{Planner, Slot};
use crate::op::bands::Statistics;
use crate::op::epilogue::Epilogue;
use crate::{DType, Extent, Result};
use std::sync::{Arc, OnceLock};

/// What the plan added to the pass.
#[derive(Debug)]
pub(super) struct Taken {
    pub epilogue: Epilogue,
    /// Factor and summand of the map per channel, for each unit.
    pub maps: Slot,
    /// A chunk of gradients for each thread.
    pub work: Slot,
}

/// Shared by the pass and the plan, which adds to it once.
#[derive(Debug)]
pub(super) struct NormEnd {
    /// Values of a chunk, and channels.
    chunk: usize,
    c: usize,
    x: Extent,
    sets: Sets,
    /// The type of activations on a GPU.
    gpu: Option<DType>,
    taken: OnceLock<Taken>,
    /// On a GPU.
    followed: OnceLock<Followed>,
}

/// What follows on a GPU.
#[derive(Debug)]
pub(super) struct Followed {
    pub relu: bool,
    pub pool: Option<Pooled>,
}

impl NormEnd {
    pub fn new(x: Extent, cut: Cut, sets: Sets, gpu: Option<DType>) -> Self {
        let (taken, followed) = (OnceLock::new(), OnceLock::new());
        Self { x, chunk: cut.chunk, c: x.c, sets, gpu, taken, followed }
    }

    pub fn taken(&self) -> Option<&Taken> {
        self.taken.get()
    }

    /// Whether a GPU applies the ReLU that follows.
    pub fn rectifies(&self) -> bool {
        self.followed.get().is_some_and(|followed| followed.relu)
    }

    /// The pool that a GPU applies behind it.
    pub fn pooled(&self) -> Option<&Pooled> {
        self.followed.get()?.pool.as_ref()
    }
}

impl Head for NormEnd {
    fn fits(&self, epilogue: &Epilogue) -> bool {
        let able = match self.gpu {
            Some(dtype) => epilogue.pool.is_none_or(|g| Pooled::suits(self.x, self.sets, &g, dtype)),
            None => (self.chunk / self.c).is_multiple_of(epilogue.band()),
        };
        able && epilogue.norm.is_none()
    }

    fn take(&self, epilogue: Epilogue, p: &mut Planner<'_>) -> Result<()> {
        if self.gpu.is_some() {
            let pool = epilogue.pool.map(|g| Pooled::plan(&g, p)).transpose()?;
            // A second call would find the place taken; there is none.
            let _ = self.followed.set(Followed { relu: epilogue.relu, pool });
            return Ok(());
        }
        let (dtype, width) = (p.dtype(), 2 * self.c);
        let maps = if self.sets.batch { p.scratch(dtype, width) } else { p.scratch_rows(dtype, width) };
        let seats = p.threads();
        let work = p.scratch(dtype, seats * self.chunk);
        // As above.
        let _ = self.taken.set(Taken { epilogue, maps, work });
        Ok(())
    }

    fn measure(&self, _: &Arc<Statistics>, _: &mut Planner<'_>) -> Result<()> {
        Ok(())
    }
}
