//! Kernels into the stream.

use super::super::kernel::{Blocks, Grid};
use super::{Cuda, Function, failed, synchronous};
use crate::{Error, Result};
use cudarc::driver::sys::{self, CUlaunchAttribute, CUlaunchAttributeID, CUlaunchAttributeValue, CUlaunchConfig};
use cudarc::driver::{DriverError, result};
use std::ffi::{c_char, c_void};

impl Cuda {
    pub(in crate::device) fn launch(&self, function: &Function, grid: Grid, argument: &[u8]) -> Result<()> {
        let f = &*function.0;
        let blocks = match grid.blocks {
            // Eight blocks of 256 threads fill a multiprocessor; four rounds of them hide the end of each.
            Blocks::Cover(n) => [n.div_ceil(f.threads as usize).min(32 * self.0.multiprocessors), 1, 1],
            Blocks::Exactly(blocks) => blocks,
        };
        if blocks.contains(&0) {
            return Ok(());
        }
        if blocks[0] > i32::MAX as usize || blocks[1] > 65535 || blocks[2] > 65535 || grid.shared > f.dynamic {
            return Err(Error::device(format!("kernel {}", f.name), "the launch is too large")
                .expected(format!("at most 2^31-1, 65535 and 65535 blocks and {} bytes of shared memory", f.dynamic)));
        }
        if !matches!(grid.cluster, 1 | 2 | 4 | 8) || !blocks[0].is_multiple_of(grid.cluster) {
            return Err(Error::device(format!("kernel {}", f.name), "no such clusters")
                .expected("1, 2, 4 or 8 blocks, which divide the blocks along x"));
        }
        if grid.cluster > 1 && self.0.capability < (9, 0) {
            return Err(Error::device(format!("kernel {}", f.name), "clusters need compute capability 9.0").got(self));
        }
        let _turn = self.0.turns.take();
        let launched = self.bound().and_then(|()| self.put(function, grid, blocks.map(|n| n as u32), argument));
        launched.map_err(|e| failed(format!("kernel {}", f.name), "launch failed", e))?;
        f.record.launched(f.source, &f.name);
        if synchronous() && !self.capturing() {
            self.0.stream.synchronize().map_err(|e| failed(format!("kernel {}", f.name), "failed", e))?;
        }
        Ok(())
    }

    fn put(&self, function: &Function, grid: Grid, [x, y, z]: [u32; 3], argument: &[u8]) -> Result<(), DriverError> {
        let f = &*function.0;
        let mut parameters = [argument.as_ptr().cast_mut().cast::<c_void>()];
        let stream = self.0.stream.cu_stream();
        let (raw, shared, clusters) = (f.function.cu_function(), grid.shared as u32, grid.cluster > 1);
        if !clusters && !f.early {
            // SAFETY: the one parameter has the size that the kernel declares (`Kernel::new`), and the driver copies it before
            // it returns. That the addresses in it belong to live slots is the planner's promise.
            return unsafe { result::launch_kernel(raw, (x, y, z), (f.threads, 1, 1), shared, stream, &mut parameters) };
        }
        let mut attributes = [
            attribute(CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, [grid.cluster as u32, 1, 1]),
            attribute(CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, [1, 0, 0]),
        ];
        let attributes = &mut attributes[usize::from(!clusters)..1 + usize::from(f.early)];
        let config = CUlaunchConfig {
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: f.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: shared,
            hStream: stream,
            attrs: attributes.as_mut_ptr(),
            numAttrs: attributes.len() as u32,
        };
        // SAFETY: as above, and a kernel that begins early waits for the one in front (`KERNEL_BOUNDS`); the configuration, too, is read before the driver returns. The function is there (`NEEDED`).
        unsafe { sys::cuLaunchKernelEx(&config, raw, parameters.as_mut_ptr(), std::ptr::null_mut()) }.result()
    }
}

/// An attribute whose value begins with these numbers; all of them are 32-bit.
fn attribute(id: CUlaunchAttributeID, value: [u32; 3]) -> CUlaunchAttribute {
    let mut bytes: [c_char; 64] = [0; 64];
    for (to, from) in bytes.iter_mut().zip(value.iter().flat_map(|v| v.to_ne_bytes())) {
        *to = from as c_char;
    }
    CUlaunchAttribute { id, pad: [0; 4], value: CUlaunchAttributeValue { pad: bytes } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Device, Ptr, Source, testing};
    use bytemuck::{Pod, Zeroable};

    /// Each value times ten and one more; ordinary kernels, which any launch suits.
    const STEP: Source = Source::new(
        "step",
        r#"
        #include "prelude.cuh"
        struct StepArgs { float* x; u64 n; };
        KERNEL(32, step, StepArgs) {
            for (GRID(i, a.n)) a.x[i] = a.x[i] * 10 + 1;
        }
        "#,
    );

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Pod, Zeroable)]
    struct StepArgs {
        x: Ptr,
        n: u64,
    }

    #[test]
    fn clusters_and_early_starts_keep_the_order_of_the_stream() {
        let Some(Device::Cuda(cuda)) = testing::gpu() else { return };
        let kernel = cuda.kernel::<StepArgs>(&STEP, "step").expect("a kernel");
        let memory = cuda.allocate(4 * 100).expect("memory");
        let args = StepArgs { x: memory.ptr(), n: 100 };
        let read = || {
            let mut x = [0_f32; 100];
            cuda.download(memory.ptr(), bytemuck::cast_slice_mut(&mut x)).expect("a copy");
            assert!(x.iter().all(|&v| v == x[0]), "{x:?}");
            x[0]
        };
        let grids = [Grid::blocks(4), Grid::blocks(4), Grid::cover(100)].map(|g| (g, true));
        let clusters = [Grid::blocks(4).cluster(2), Grid::blocks(8).cluster(4)].map(|g| (g, cuda.capability() >= (9, 0)));
        let mut expected = 0.0;
        cuda.fill(memory.ptr(), 0, 400).expect("zeros");
        for (grid, legal) in grids.into_iter().chain(clusters) {
            let launched = kernel.launch(&cuda, grid, &args);
            assert_eq!(launched.is_ok(), legal, "{grid:?}: {launched:?}");
            expected = if legal { expected * 10.0 + 1.0 } else { expected };
        }
        assert_eq!(read(), expected);
        let mut graph = cuda
            .capture(|| {
                cuda.fill(memory.ptr(), 0, 400)?;
                grids.into_iter().chain(clusters).filter(|g| g.1).try_for_each(|(grid, _)| kernel.launch(&cuda, grid, &args))
            })
            .expect("a graph");
        cuda.fill(memory.ptr(), 1, 400).expect("ones");
        graph.launch().and_then(|()| graph.launch()).expect("two replays");
        assert_eq!(read(), expected, "captured");
        for grid in
            [Grid::blocks(3).cluster(2), Grid::blocks(6).cluster(3), Grid::blocks(16).cluster(16), Grid::blocks(4).cluster(0)]
        {
            let refused = kernel.launch(&cuda, grid, &args).expect_err("no such cluster").to_string();
            assert!(refused.contains("1, 2, 4 or 8 blocks"), "{refused}");
        }
        assert!(kernel.launch(&cuda, Grid::blocks(0).cluster(2), &args).is_ok(), "no blocks: nothing happens");
    }

    /// Kernels are launched early on the promise that each of them waits: the macros see to it, if nothing else makes kernels.
    #[test]
    fn every_kernel_waits_for_the_one_in_front() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        if !folder.exists() {
            println!("SKIPPED the text of the kernels: no {}", folder.display());
            return;
        }
        let mut made = 0;
        for file in std::fs::read_dir(folder).expect("kernels").flatten() {
            let Ok(text) = std::fs::read_to_string(file.path()) else { continue };
            for (i, line) in text.lines().enumerate().filter(|(_, line)| line.contains("__global__")) {
                let body: Vec<&str> = text.lines().skip(i + 1).take(3).map(|line| line.trim_end_matches('\\').trim()).collect();
                assert_eq!(body, ["let_next_begin();", "wait_for_previous();", "name##_body(a);"], "{line}");
                made += 1;
            }
        }
        assert_eq!(made, 1, "one macro makes all kernels");
    }
}
