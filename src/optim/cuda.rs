//! What the optimizers hand to their kernels; the twin of `kernels/optim.cu`.

use super::{Run, outside};
use crate::device::{Cuda, Grid, Ptr, Source};
use crate::memory::{Slot, Step};
use crate::{DType, Result};
use bytemuck::{Pod, Zeroable};
use std::fmt::Debug;
use std::ops::Range;

pub(super) const OPTIM: Source = Source::new("optim", include_str!("../../kernels/optim.cu"));

/// A run of the flat arenas, as `Sweep` on the device. The learning rate and the number of the step are not here: a captured
/// step is replayed, and they change.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct Sweep {
    control: Ptr,
    w: Ptr,
    dw: Ptr,
    words: [Ptr; 3],
    copy: Ptr,
    n: u64,
    quads: u64,
    lr_scale: f64,
    grad_scale: f64,
    decay: f64,
    clipped: u32,
    copies: u32,
}

/// As `CopyKind` there.
#[derive(Clone, Copy, Debug)]
enum CopyKind {
    None,
    Bf16,
    F16,
}

impl CopyKind {
    fn new(dtype: Option<DType>) -> Self {
        match dtype {
            Some(DType::Bf16) => Self::Bf16,
            Some(DType::F16) => Self::F16,
            _ => Self::None,
        }
    }
}

/// What `mlp.cu` is told of a rule.
#[derive(Clone, Copy, Debug)]
pub struct MlpRule {
    pub(crate) kind: u32,
    /// The words of the rule's structure in `optim.cuh`.
    pub(crate) hyper: [f64; 4],
    pub(crate) weight_decay: f64,
}

/// As `RuleKind` in `mlp.cuh`.
#[derive(Clone, Copy, Debug)]
pub(super) enum RuleKind {
    Sgd,
    SgdMomentum,
    Adam,
    AdamAmsgrad,
    RmsProp,
    RmsPropMomentum,
    RmsPropCentered,
    RmsPropBoth,
    Adadelta,
}

impl MlpRule {
    pub(super) const fn new(kind: RuleKind, hyper: [f64; 4], weight_decay: f64) -> Self {
        Self { kind: kind as u32, hyper, weight_decay }
    }

    /// Two flags in the place of a number.
    pub(super) const fn flags(first: bool, second: bool) -> f64 {
        f64::from_bits(first as u64 | (second as u64) << 32)
    }
}

impl Run<'_> {
    /// The run with its first `words` words of state, for a rule whose weight decay is `rate`.
    pub(super) fn on_device(&self, s: &Step<'_>, words: usize, rate: f64) -> Result<Sweep> {
        let mut state = [Ptr::NULL; 3];
        for (i, ptr) in state.iter_mut().enumerate().take(words) {
            *ptr = part(s, self.word_slot(i)?, &self.range)?;
        }
        Ok(Sweep {
            control: s.control()?,
            w: part(s, self.w, &self.range)?,
            dw: part(s, self.dw, &self.range)?,
            words: state,
            copy: s.store.copies.written_by_update(self.range.start, self.range.len())?,
            n: self.range.len() as u64,
            quads: quads(&self.range),
            lr_scale: self.lr_scale,
            grad_scale: self.grad_scale,
            decay: self.decay(rate),
            clipped: u32::from(self.clipped),
            copies: CopyKind::new(s.store.copies.dtype()) as u32,
        })
    }

    /// Launches the kernel of a rule; `argument` begins with what [`Run::on_device`] gives.
    pub(super) fn launch<A: Pod + Debug>(&self, cuda: &Cuda, kernel: &str, argument: &A) -> Result<()> {
        cuda.kernel::<A>(&OPTIM, kernel)?.launch(cuda, threads(&self.range), argument)
    }
}

/// The address of a run within a flat arena of f32.
pub(super) fn part(s: &Step<'_>, slot: Slot, range: &Range<usize>) -> Result<Ptr> {
    let len = s.len(slot)?;
    if range.start > range.end || range.end > len {
        return Err(outside(range, len));
    }
    Ok(s.ptr(slot)?.offset(range.start * size_of::<f32>()))
}

/// How often a run holds four neighbours that one load can take: not at all where it begins between two such loads.
pub(super) fn quads(range: &Range<usize>) -> u64 {
    if range.start.is_multiple_of(4) { range.len() as u64 / 4 } else { 0 }
}

/// A thread for four neighbours, or for each element.
pub(super) fn threads(range: &Range<usize>) -> Grid {
    let quads = quads(range) as usize;
    Grid::cover(quads.max(range.len() - 4 * quads))
}
