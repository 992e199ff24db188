//! Parameters in the type of activations: products of bf16 or f16 read copies of the f32 masters.

use crate::device::{Cuda, Grid, Kernel, Ptr, Source};
use crate::memory::{Planner, Slot, Step};
use crate::{DType, Result};
use bytemuck::{Pod, Zeroable};
use std::cell::Cell;

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct CastArgs {
    x: Ptr,
    y: Ptr,
    n: u64,
}

/// A parameter in the type of activations, from the forward pass to the backward pass.
#[derive(Clone, Debug)]
pub(crate) struct Narrowed {
    master: Slot,
    len: usize,
    /// None where the master has the type already.
    copy: Option<(Slot, Kernel<CastArgs>)>,
    /// Where no backward pass follows the copy lasts, until parameters change: how often they had when it was made, if ever.
    lasts: Option<Cell<u64>>,
}

impl Narrowed {
    pub fn plan(master: Slot, len: usize, p: &mut Planner<'_>) -> Result<Self> {
        let lasts = (!p.mode().differentiable()).then(|| Cell::new(u64::MAX));
        let copy = match p.dtype() {
            dtype @ (DType::Bf16 | DType::F16) => {
                let kernel = p.kernel(&CAST, &format!("cast_{}_{}", p.master().suffix(), dtype.suffix()))?;
                Some((if lasts.is_some() { p.lasting(dtype, len) } else { p.saved_fixed(dtype, len) }, kernel))
            }
            _ => None,
        };
        Ok(Self { master, len, copy, lasts })
    }

    /// Makes the copy, in the forward pass: in every one of training, for inference where parameters have changed.
    pub fn refresh(&self, s: &Step<'_>, cuda: &Cuda) -> Result<()> {
        let Some((to, kernel)) = &self.copy else { return Ok(()) };
        let changes = s.weight_changes();
        if self.lasts.as_ref().is_some_and(|made| made.replace(changes) == changes) {
            return Ok(());
        }
        let args = CastArgs { x: s.ptr(self.master)?, y: s.ptr(*to)?, n: self.len as u64 };
        kernel.launch(cuda, Grid::cover(self.len.div_ceil(4)), &args)
    }

    /// Where the values lie in the type of activations.
    pub fn ptr(&self, s: &Step<'_>) -> Result<Ptr> {
        s.ptr(self.copy.as_ref().map_or(self.master, |(to, _)| *to))
    }
}

const CAST: Source = Source::new("cast", include_str!("../../kernels/cast.cu"));
