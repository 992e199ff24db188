//! A fully connected layer on a GPU as products of matrices.

use super::planned;
use crate::Result;
use crate::device::{Cuda, Ptr};
use crate::memory::{GradMode, Param, Planner, Step};
use crate::op::cast::Narrowed;
use crate::op::gemm_cuda::{CudaGemm, CudaProduct, Layout};
use crate::op::reduce::ColumnSums;

/// Where a gradient goes, and how.
type To = Option<(Ptr, GradMode)>;

/// The three products, the weights in the type that they read, and the sum for the bias.
#[derive(Debug)]
pub(super) struct Products {
    pub w: Narrowed,
    pub y: CudaGemm,
    /// dW, dx, db.
    gradients: Option<(CudaGemm, CudaGemm, Option<ColumnSums>)>,
}

impl Products {
    pub fn plan([m, n, k]: [usize; 3], w: Param, b: Option<Param>, p: &mut Planner<'_>) -> Result<Self> {
        let narrowed = Narrowed::plan(w.w, k * n, p)?;
        let y = CudaGemm::plan(Layout::NN, [m, n, k], p)?;
        let gradients = if p.mode().differentiable() {
            let (dw, dx) = (CudaGemm::plan(Layout::TN, [k, n, m], p)?, CudaGemm::plan(Layout::NT, [m, k, n], p)?);
            Some((dw, dx, b.map(|_| ColumnSums::plan(m, n, p)).transpose()?))
        } else {
            None
        };
        Ok(Self { w: narrowed, y, gradients })
    }

    /// Floats that each of the products may use.
    pub fn workspace(&self) -> usize {
        let gradients = self.gradients.as_ref().map_or(0, |(dw, dx, _)| dw.workspace().max(dx.workspace()));
        self.y.workspace().max(gradients)
    }

    /// The gradients that are wanted, of x and dz.
    pub fn backward(
        &self,
        s: &Step<'_>,
        cuda: &Cuda,
        [m, n, k]: [usize; 3],
        (x, dz): (Ptr, Ptr),
        (dx, dw, db): (To, To, To),
        work: Ptr,
    ) -> Result<()> {
        let (product_dw, product_dx, sum_db) = planned(&self.gradients)?;
        if let (Some(db), Some(sum_db)) = (db, sum_db) {
            sum_db.run(s, cuda, dz, m, db)?;
        }
        if let Some((dw, mode)) = dw {
            let product = CudaProduct::new([k, n, m], (x, k), (dz, n), (dw, n));
            product_dw.launch(cuda, &CudaProduct { wide: true, add: mode == GradMode::Add, ..product }, work)?;
        }
        if let Some((dx, mode)) = dx {
            let product = CudaProduct::new([m, k, n], (dz, n), (self.w.ptr(s)?, n), (dx, k));
            product_dx.launch(cuda, &CudaProduct { add: mode == GradMode::Add, ..product }, work)?;
        }
        Ok(())
    }
}
