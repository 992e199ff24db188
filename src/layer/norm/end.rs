//! What a normalisation does besides, on its way to memory: the ReLU and the pooling that follow it, chunk by chunk.

use super::pass::Cut;
use crate::Extent;
use crate::layer::Head;
use crate::memory::{Planner, Slot};
use crate::op::epilogue::Epilogue;
use std::sync::OnceLock;

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
    batch: bool,
    on_gpu: bool,
    taken: OnceLock<Taken>,
    /// On a GPU: a rectifier follows.
    rectifies: OnceLock<()>,
}

impl NormEnd {
    pub fn new(x: Extent, cut: Cut, batch: bool, on_gpu: bool) -> Self {
        let (taken, rectifies) = (OnceLock::new(), OnceLock::new());
        Self { chunk: cut.chunk, c: x.c, batch, on_gpu, taken, rectifies }
    }

    pub fn taken(&self) -> Option<&Taken> {
        self.taken.get()
    }

    /// Whether a GPU applies the ReLU that follows.
    pub fn rectifies(&self) -> bool {
        self.rectifies.get().is_some()
    }
}

impl Head for NormEnd {
    fn fits(&self, epilogue: &Epilogue) -> bool {
        let alone = if self.on_gpu { epilogue.pool.is_none() } else { true };
        alone && epilogue.norm.is_none() && (self.on_gpu || (self.chunk / self.c).is_multiple_of(epilogue.band()))
    }

    fn take(&self, epilogue: Epilogue, p: &mut Planner<'_>) {
        if self.on_gpu {
            // A second call would find the place taken; there is none.
            let _ = self.rectifies.set(());
            return;
        }
        let (dtype, width) = (p.dtype(), 2 * self.c);
        let maps = if self.batch { p.scratch(dtype, width) } else { p.scratch_rows(dtype, width) };
        let seats = p.threads();
        let work = p.scratch(dtype, seats * self.chunk);
        // A second call would find the place taken; there is none.
        let _ = self.taken.set(Taken { epilogue, maps, work });
    }
}
