//! How long matrix products take on a GPU: for `benches/gpu.rs`, which could not launch one otherwise.

use super::gemm_cuda::{CudaGemm, CudaProduct, Layout};
use crate::memory::{Planner, Store};
use crate::rng::{Purpose, Stream};
use crate::shape::Axes;
use crate::{DType, Device, Error, Mode, Precision, Result};
use half::{bf16, f16};
use std::cell::RefCell;
use std::time::Instant;

/// Seconds of one product C = A·B of these sizes (m, n, k) on random numbers: the means of `blocks` blocks of about `seconds` each.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for the CPU; what the device may meet.
pub fn gemm_on_gpu(device: &Device, precision: Precision, sizes: [usize; 3], blocks: usize, seconds: f64) -> Result<Vec<f64>> {
    let Device::Cuda(cuda) = device else {
        return Err(Error::unsupported("gemm_on_gpu", "this device is no GPU").got(device));
    };
    device.supports(precision)?;
    let (mut store, mut requests) = (Store::new(device, precision.master()), Vec::new());
    let p = Planner {
        device,
        precision,
        mode: Mode::Infer,
        capacity: sizes[0],
        axes: Axes::default(),
        store: &mut store,
        requests: &mut requests,
        node: 0,
        name: "gemm",
        times: (0, 0),
        kernels: &RefCell::default(),
    };
    let gemm = CudaGemm::plan(Layout::NN, sizes, &p)?;
    let ([m, n, k], dtype) = (sizes, precision.storage());
    let mut r = Stream::new(1, Purpose::User, 0);
    let mut random = |len: usize| {
        let buffer = cuda.allocate(len * dtype.bytes())?;
        cuda.upload(buffer.ptr(), len * dtype.bytes(), &mut |bytes| {
            for to in bytes.chunks_exact_mut(dtype.bytes()) {
                let x = r.between(-1.0, 1.0) as f32;
                match dtype {
                    DType::Bf16 => to.copy_from_slice(&bf16::from_f32(x).to_le_bytes()),
                    DType::F16 => to.copy_from_slice(&f16::from_f32(x).to_le_bytes()),
                    _ => to.copy_from_slice(&x.to_le_bytes()),
                }
            }
            Ok(())
        })?;
        Ok::<_, Error>(buffer)
    };
    let (a, b) = (random(m * k)?, random(k * n)?);
    let (c, work) = (cuda.allocate(m * n * dtype.bytes())?, cuda.allocate(gemm.workspace() * 4)?);
    let product = CudaProduct::new(sizes, (a.ptr(), k), (b.ptr(), n), (c.ptr(), n));
    let time = |count: usize| -> Result<f64> {
        cuda.synchronize()?;
        let begun = Instant::now();
        for _ in 0..count {
            gemm.launch(cuda, &product, work.ptr())?;
        }
        cuda.synchronize()?;
        Ok(begun.elapsed().as_secs_f64() / count as f64)
    };
    time(3)?;
    let count = ((seconds / time(3)?) as usize).max(1);
    (0..blocks).map(|_| time(count)).collect()
}
