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
    able: bool,
    taken: OnceLock<Taken>,
}

impl NormEnd {
    pub fn new(x: Extent, cut: Cut, batch: bool, on_gpu: bool) -> Self {
        Self { chunk: cut.chunk, c: x.c, batch, able: !on_gpu, taken: OnceLock::new() }
    }

    pub fn taken(&self) -> Option<&Taken> {
        self.taken.get()
    }
}

impl Head for NormEnd {
    fn fits(&self, epilogue: &Epilogue) -> bool {
        self.able && epilogue.norm.is_none() && (self.chunk / self.c).is_multiple_of(epilogue.band())
    }

    fn take(&self, epilogue: Epilogue, p: &mut Planner<'_>) {
        let (dtype, width) = (p.dtype(), 2 * self.c);
        let maps = if self.batch { p.scratch(dtype, width) } else { p.scratch_rows(dtype, width) };
        let seats = p.threads();
        let work = p.scratch(dtype, seats * self.chunk);
        // A second call would find the place taken; there is none.
        let _ = self.taken.set(Taken { epilogue, maps, work });
    }
}
