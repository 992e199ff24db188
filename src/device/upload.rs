//! From host to device while both go on working: a ring of pinned buffers, a stream for the copies, events between them.
#![allow(unsafe_code)]

use super::cuda::{Cuda, failed};
use super::kernel::Ptr;
use crate::Result;
use cudarc::driver::{CudaContext, CudaEvent, CudaStream, DriverError, result};
use std::sync::Arc;

/// Batches on their way, at most: inputs, targets and weights of two steps.
const STAGES: usize = 8;

/// Bytes up to which a copy goes straight to its place, behind the step before: a second copy and two events would take longer.
const DIRECT: usize = 32 << 10;

/// The ring.
pub(super) struct Uploads {
    copies: Arc<CudaStream>,
    stages: Vec<Stage>,
    next: usize,
}

/// A pinned buffer, and the piece of device memory that its copy goes through.
struct Stage {
    host: *mut u8,
    /// None where the device has no memory left for it: the copy then waits for the step before.
    device: Option<u64>,
    bytes: usize,
    context: Arc<CudaContext>,
    /// The copy to the device has read the host's side.
    copied: CudaEvent,
    /// The step has taken its input from the device's side.
    taken: CudaEvent,
}

// SAFETY: the pointers are owned, and all use goes through `&mut self`.
unsafe impl Send for Stage {}

impl Uploads {
    pub fn new(context: &Arc<CudaContext>) -> Result<Self, DriverError> {
        Ok(Self { copies: context.new_stream()?, stages: Vec::new(), next: 0 })
    }

    /// Fills a pinned buffer, copies it on the copy stream, and from there into place in the order of `stream`: `to` may be in
    /// use by the step before until then.
    pub fn send(
        &mut self,
        cuda: &Cuda,
        stream: &CudaStream,
        to: Ptr,
        bytes: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let check = |e| failed(cuda, "copying to the device failed", e);
        let i = self.next % STAGES;
        self.next += 1;
        if self.stages.len() <= i {
            self.stages.push(Stage::new(stream.context(), bytes).map_err(check)?);
        }
        let stage = &mut self.stages[i];
        stage.copied.synchronize().map_err(check)?;
        if stage.bytes < bytes {
            stage.taken.synchronize().map_err(check)?;
            *stage = Stage::new(stream.context(), bytes).map_err(check)?;
        }
        // SAFETY: the buffer has at least `bytes`, all initialised, and the last copy from it is over.
        let host = unsafe { std::slice::from_raw_parts_mut(stage.host, bytes) };
        fill(host)?;
        let send = || -> Result<(), DriverError> {
            let Some(device) = stage.device.filter(|_| bytes > DIRECT) else {
                // SAFETY: `to` is a slot of `bytes` bytes; `host` is not touched until `copied`.
                unsafe { result::memcpy_htod_async(to.0, host, stream.cu_stream())? };
                stage.taken.record(stream)?;
                return stage.copied.record(stream);
            };
            self.copies.wait(&stage.taken)?;
            // SAFETY: both buffers have `bytes`; `host` is not touched until `copied`, nor `device` until `taken`.
            unsafe { result::memcpy_htod_async(device, host, self.copies.cu_stream())? };
            stage.copied.record(&self.copies)?;
            stream.wait(&stage.copied)?;
            // SAFETY: `to` is a slot of `bytes` bytes.
            unsafe { result::memcpy_dtod_async(to.0, device, bytes, stream.cu_stream())? };
            stage.taken.record(stream)
        };
        send().map_err(check)
    }
}

impl Stage {
    fn new(context: &Arc<CudaContext>, bytes: usize) -> Result<Self, DriverError> {
        context.bind_to_thread()?;
        let bytes = bytes.next_power_of_two().max(4096);
        let (copied, taken) = (context.new_event(None)?, context.new_event(None)?);
        // SAFETY: plain allocations; the host's side is initialised before it is lent out as a slice.
        let (host, device) = unsafe {
            let host = result::malloc_host(bytes, 0)?.cast::<u8>();
            host.write_bytes(0, bytes);
            (host, result::malloc_sync(bytes).ok())
        };
        Ok(Self { host, device, bytes, context: Arc::clone(context), copied, taken })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, freed once; freeing waits for copies under way. A lost device has nothing to free.
        let _ = self.context.bind_to_thread().and_then(|()| unsafe {
            result::free_host(self.host.cast())?;
            self.device.map_or(Ok(()), |device| result::free_sync(device))
        });
    }
}
