//! The last layer of a classifier on a GPU, together with its loss.

use crate::device::{Cuda, Ptr};
use crate::layer::Ending;
use crate::loss::{Logits, LossIo};
use crate::memory::{Io, Planner, Slot, Step};
use crate::op::activation_cuda::CudaActivation;
use crate::op::dense_small::{CLASSES, DenseSmall, Forward, WithLoss};
use crate::{Error, Result};
use std::sync::{Arc, OnceLock};

/// A linear layer and what it takes to add the loss.
#[derive(Debug)]
pub(super) struct DenseEnding {
    small: Arc<DenseSmall>,
    w: Slot,
    b: Option<Slot>,
    taken: OnceLock<WithLoss>,
}

impl DenseEnding {
    pub fn new(small: Arc<DenseSmall>, w: Slot, b: Option<Slot>) -> Self {
        Self { small, w, b, taken: OnceLock::new() }
    }
}

impl Ending for DenseEnding {
    fn fits(&self, loss: &Logits) -> bool {
        loss.classes == self.small.sizes().1 && loss.classes <= CLASSES
    }

    fn take(&self, p: &mut Planner<'_>) -> Result<()> {
        let (k, n) = self.small.sizes();
        let taken = WithLoss::plan([p.capacity(), n, k], p)?;
        // A second call would find the place taken; there is none.
        let _ = self.taken.set(taken);
        Ok(())
    }

    fn run(&self, s: &Step<'_>, cuda: &Cuda, io: &Io<'_>, loss: (&LossIo, &Logits), factor: f64, first: bool) -> Result<()> {
        let taken = self.taken.get().ok_or_else(|| Error::order("dense", "planned without its loss"))?;
        let bias = self.b.map_or(Ok(Ptr::NULL), |b| s.ptr(b))?;
        let (x, w, y) = (s.ptr(io.x[0])?, s.ptr(self.w)?, s.ptr(io.y)?);
        let of = Forward { x, w, bias, y, z: Ptr::NULL, act: CudaActivation::LINEAR };
        taken.run(s, cuda, (&self.small, &of), loss, factor, first)
    }
}
