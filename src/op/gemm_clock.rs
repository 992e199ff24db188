//! How long copies and matrix products take on a GPU: for `benches/gpu.rs`, which could not launch one otherwise.

use super::gemm_cuda::{CudaGemm, CudaProduct, Layout};
use crate::device::{Buffer, Cuda};
use crate::memory::{Planner, Store};
use crate::rng::{Purpose, Stream};
use crate::shape::Axes;
use crate::{DType, Device, Error, Mode, Precision, Result};
use half::{bf16, f16};
use std::cell::RefCell;
use std::time::Instant;

/// Operands of this many bytes in turn: more than a cache holds.
const ROTATED: usize = 256 << 20;
const MOST_ROTATED: usize = 8;
/// Entries of a product that are compared with f64.
const COMPARED: usize = 256;
/// Random numbers, repeated; a prime, so that neither rows nor columns repeat.
const NUMBERS: usize = 1_000_003;

fn gpu<'a>(device: &'a Device, who: &'static str) -> Result<&'a Cuda> {
    match device {
        Device::Cuda(cuda) => Ok(cuda),
        Device::Cpu(_) => Err(Error::unsupported(who, "this device is no GPU").got(device)),
    }
}

/// Block means of what is recorded, for each of its `per` parts.
fn replay(cuda: &Cuda, per: usize, (blocks, seconds): (usize, f64), work: impl Fn() -> Result<()>) -> Result<Vec<f64>> {
    // The first time kernels are loaded, which cannot be recorded.
    work()?;
    cuda.synchronize()?;
    let mut graph = cuda.capture(work)?;
    let mut time = |count: usize| -> Result<f64> {
        cuda.synchronize()?;
        let begun = Instant::now();
        (0..count).try_for_each(|_| graph.launch())?;
        cuda.synchronize()?;
        Ok(begun.elapsed().as_secs_f64() / (count * per) as f64)
    };
    time(2)?;
    let count = (seconds / blocks as f64 / time(2)? / per as f64) as usize;
    (0..blocks).map(|_| time(count.max(1))).collect()
}

/// Seconds of a copy of this many bytes within the device.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for the CPU; what the device may meet.
pub fn copy_on_gpu(device: &Device, bytes: usize, blocks: usize, seconds: f64) -> Result<Vec<f64>> {
    let cuda = gpu(device, "copy_on_gpu")?;
    let (from, to) = (cuda.allocate(bytes)?, cuda.allocate(bytes)?);
    cuda.fill(from.ptr(), 1, bytes)?;
    replay(cuda, 1, (blocks, seconds), || cuda.copy(to.ptr(), from.ptr(), bytes))
}

/// Seconds of one product C = A·B of these sizes (m, n, k) on random numbers, the means of `blocks` blocks, together about `seconds`;
/// and the error of some of its entries: root mean square, relative to the entries' own. The layout is nn, nt or tn: whether B or A
/// is stored transposed.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for the CPU, [`ErrorKind::Value`](crate::ErrorKind::Value) for another
/// layout; what the device may meet.
pub fn gemm_on_gpu(
    device: &Device,
    precision: Precision,
    layout: &str,
    sizes: [usize; 3],
    (blocks, seconds): (usize, f64),
) -> Result<(Vec<f64>, f64)> {
    let cuda = gpu(device, "gemm_on_gpu")?;
    let layout = match layout {
        "nn" => Layout::NN,
        "nt" => Layout::NT,
        "tn" => Layout::TN,
        other => return Err(Error::value("gemm_on_gpu", "layout").expected("nn, nt or tn").got(other)),
    };
    device.supports(precision)?;
    let gemm = plan(device, precision, layout, sizes)?;
    let ([m, n, k], dtype) = (sizes, precision.storage());
    let numbers = numbers(dtype);
    let table = table(cuda, dtype, &numbers)?;
    let random = |len: usize| {
        let buffer = cuda.allocate(len * dtype.bytes())?;
        for from in (0..len).step_by(NUMBERS) {
            let bytes = NUMBERS.min(len - from) * dtype.bytes();
            cuda.copy(buffer.ptr().offset(from * dtype.bytes()), table.ptr(), bytes)?;
        }
        Ok::<_, Error>(buffer)
    };
    let rotated = ROTATED.div_ceil((m * k + k * n + m * n) * dtype.bytes()).min(MOST_ROTATED);
    let work = cuda.allocate(gemm.workspace() * 4)?;
    let operands = (0..rotated).map(|_| Ok((random(m * k)?, random(k * n)?, cuda.allocate(m * n * dtype.bytes())?)));
    let operands = operands.collect::<Result<Vec<_>>>()?;
    let (lda, ldb) = (if layout == Layout::TN { m } else { k }, if layout == Layout::NT { k } else { n });
    let times = replay(cuda, rotated, (blocks, seconds), || {
        operands.iter().try_for_each(|(a, b, c)| {
            gemm.launch(cuda, &CudaProduct::new(sizes, (a.ptr(), lda), (b.ptr(), ldb), (c.ptr(), n)), work.ptr())
        })
    })?;
    let (mut wrong, mut whole) = (0.0, 0.0);
    for entry in 0..COMPARED.min(m * n) {
        let (i, j) = (entry * 7919 % m, entry * 104_729 % n);
        let a = |p: usize| numbers[if layout == Layout::TN { p * m + i } else { i * k + p } % NUMBERS];
        let b = |p: usize| numbers[if layout == Layout::NT { j * k + p } else { p * n + j } % NUMBERS];
        let exact: f64 = (0..k).map(|p| f64::from(a(p)) * f64::from(b(p))).sum();
        let mut bytes = [0; 4];
        let bytes = &mut bytes[..dtype.bytes()];
        cuda.download(operands[0].2.ptr().offset((i * n + j) * dtype.bytes()), bytes)?;
        wrong += (f64::from(read(dtype, bytes)) - exact).powi(2);
        whole += exact.powi(2);
    }
    Ok((times, (wrong / whole).sqrt()))
}

fn plan(device: &Device, precision: Precision, layout: Layout, sizes: [usize; 3]) -> Result<CudaGemm> {
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
    CudaGemm::plan(layout, sizes, &p)
}

/// Between -1 and 1, as this type holds them.
fn numbers(dtype: DType) -> Vec<f32> {
    let mut r = Stream::new(1, Purpose::User, 0);
    let mut bytes = [0; 4];
    let one = |_| {
        let to = &mut bytes[..dtype.bytes()];
        write(dtype, r.between(-1.0, 1.0) as f32, to);
        read(dtype, to)
    };
    (0..NUMBERS).map(one).collect()
}

fn table(cuda: &Cuda, dtype: DType, numbers: &[f32]) -> Result<Buffer> {
    let (size, bytes) = (dtype.bytes(), numbers.len() * dtype.bytes());
    let buffer = cuda.allocate(bytes)?;
    cuda.upload(buffer.ptr(), bytes, &mut |bytes| {
        bytes.chunks_exact_mut(size).zip(numbers).for_each(|(to, x)| write(dtype, *x, to));
        Ok(())
    })?;
    Ok(buffer)
}

fn write(dtype: DType, x: f32, to: &mut [u8]) {
    match dtype {
        DType::Bf16 => to.copy_from_slice(&bf16::from_f32(x).to_le_bytes()),
        DType::F16 => to.copy_from_slice(&f16::from_f32(x).to_le_bytes()),
        _ => to.copy_from_slice(&x.to_le_bytes()),
    }
}

fn read(dtype: DType, from: &[u8]) -> f32 {
    match (dtype, from) {
        (DType::Bf16, &[a, b]) => bf16::from_le_bytes([a, b]).to_f32(),
        (DType::F16, &[a, b]) => f16::from_le_bytes([a, b]).to_f32(),
        (_, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
        _ => f32::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::testing::gpu as any;

    #[test]
    fn what_is_timed_is_right() {
        let Some(device) = any() else { return };
        for (precision, most) in
            [(Precision::FP32, 1e-6), (Precision::FP32x3, 1e-6), (Precision::TF32, 1e-3), (Precision::BF16, 1e-2)]
        {
            for layout in ["nn", "nt", "tn"] {
                let (times, error) = gemm_on_gpu(&device, precision, layout, [24, 40, 56], (3, 0.0)).expect("a product");
                assert!(times.len() == 3 && times.iter().all(|t| *t > 0.0), "{times:?}");
                assert!(error < most && error > 0.0, "{precision:?} {layout}: {error}");
            }
        }
        assert_eq!(copy_on_gpu(&device, 1000, 2, 0.0).expect("copies").len(), 2);
        assert!(gemm_on_gpu(&device, Precision::FP32, "tt", [8; 3], (1, 0.0)).is_err());
        assert!(gemm_on_gpu(&Device::cpu(), Precision::FP32, "nn", [8; 3], (1, 0.0)).is_err());
    }
}
