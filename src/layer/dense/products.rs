//! A fully connected layer on a GPU as products of matrices.

use super::planned;
use crate::device::{Cuda, Ptr};
use crate::layer::conv::bias_sum;
use crate::memory::{GradMode, Param, Planner, Slot, Step};
use crate::op::gemm_cuda::{CudaGemm, CudaProduct, Layout};
use crate::op::reduce::ColumnSums;
use crate::{Activation, Extent, Result};

/// Where a gradient goes, and how.
type To = Option<(Ptr, GradMode)>;

/// The three products, the weights in the type that they read, and the sum for the bias.
#[derive(Debug)]
pub(super) struct Products {
    pub w: Slot,
    pub y: CudaGemm,
    /// dW, dx.
    gradients: Option<(CudaGemm, CudaGemm)>,
    /// Of the bias, in plans with gradients.
    pub db: Option<ColumnSums>,
}

impl Products {
    pub fn plan([m, n, k]: [usize; 3], w: Param, b: Option<Param>, act: Activation, p: &mut Planner<'_>) -> Result<Self> {
        let y = CudaGemm::plan(Layout::NN, [m, n, k], p)?;
        let gradients = if p.mode().differentiable() {
            let (dw, dx) = (CudaGemm::plan(Layout::TN, [k, n, m], p)?, CudaGemm::plan(Layout::NT, [m, k, n], p)?);
            Some((dw, dx))
        } else {
            None
        };
        Ok(Self { w: p.as_activations(w.w), y, gradients, db: bias_sum(b, act, Extent::flat(n), p)? })
    }

    /// Floats that each of the products may use.
    pub fn workspace(&self) -> usize {
        let gradients = self.gradients.as_ref().map_or(0, |(dw, dx)| dw.workspace().max(dx.workspace()));
        self.y.workspace().max(gradients)
    }

    /// The gradients that are wanted, of x and dz.
    pub fn backward(
        &self,
        s: &Step<'_>,
        cuda: &Cuda,
        [m, n, k]: [usize; 3],
        (x, dz): (Ptr, Ptr),
        (dx, dw): (To, To),
        work: Ptr,
    ) -> Result<()> {
        let (product_dw, product_dx) = planned(&self.gradients)?;
        if let Some((dw, mode)) = dw {
            let product = CudaProduct::new([k, n, m], (x, k), (dz, n), (dw, n));
            product_dw.launch(cuda, &CudaProduct { wide: true, add: mode == GradMode::Add, ..product }, work)?;
        }
        if let Some((dx, mode)) = dx {
            let product = CudaProduct::new([m, k, n], (dz, n), (s.ptr(self.w)?, n), (dx, k));
            product_dx.launch(cuda, &CudaProduct { add: mode == GradMode::Add, ..product }, work)?;
        }
        Ok(())
    }
}
