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

/// A pinned buffer, and the piece of device memory that its copy goes through, in either direction.
pub(super) struct Stage {
    host: *mut u8,
    /// None where the device has no memory left for it: the copy then waits for the step before.
    device: Option<u64>,
    bytes: usize,
    copies: Arc<CudaStream>,
    context: Arc<CudaContext>,
    /// The copy to the device has read the host's side, or the one from it has written it.
    copied: CudaEvent,
    /// The step has taken its input from the device's side, or has put its results there.
    taken: CudaEvent,
}

// SAFETY: the pointers are owned, and all use goes through `&mut self`.
unsafe impl Send for Stage {}

impl Uploads {
    pub fn new(context: &Arc<CudaContext>) -> Result<Self, DriverError> {
        Ok(Self { copies: context.new_stream()?, stages: Vec::new(), next: 0 })
    }

    /// Takes the next buffer, with room for so many bytes, once its last copy is over.
    pub fn take(&mut self, cuda: &Cuda, bytes: usize) -> Result<&mut Stage> {
        let check = |e| failed(cuda, "copying to the device failed", e);
        let i = self.next % STAGES;
        self.next += 1;
        if self.stages.len() <= i {
            self.stages.push(Stage::new(&self.copies, bytes).map_err(check)?);
        }
        let stage = &mut self.stages[i];
        stage.copied.synchronize().map_err(check)?;
        if stage.bytes < bytes {
            stage.taken.synchronize().map_err(check)?;
            *stage = Stage::new(&self.copies, bytes).map_err(check)?;
        }
        Ok(stage)
    }
}

impl Stage {
    /// The host's side: the last copy from it is over.
    pub fn host(&mut self, bytes: usize) -> &mut [u8] {
        // SAFETY: the buffer has at least so many bytes, all initialised, and `take` has waited for the last copy from it.
        unsafe { std::slice::from_raw_parts_mut(self.host, bytes.min(self.bytes)) }
    }

    /// Copies the host's side on the copy stream, and from there into place in the order of `stream`: `to` may be in use by the
    /// step before until then.
    pub fn send(&mut self, stream: &CudaStream, to: Ptr, bytes: usize) -> Result<(), DriverError> {
        if bytes <= DIRECT || self.device.is_none() {
            // SAFETY: `to` is a slot of `bytes` bytes; the host's side is not touched until `copied`.
            unsafe { result::memcpy_htod_async(to.0, self.host(bytes), stream.cu_stream())? };
            self.taken.record(stream)?;
            return self.copied.record(stream);
        }
        let Some(device) = self.bring(stream, bytes)? else { return Ok(()) };
        // SAFETY: `to` is a slot of `bytes` bytes.
        unsafe { result::memcpy_dtod_async(to.0, device.0, bytes, stream.cu_stream())? };
        self.taken(stream)
    }

    /// Copies the host's side to the device's, where work that is put into `stream` from now on finds it until [`Stage::taken`]. `None` where
    /// the device had no memory for it.
    pub fn bring(&mut self, stream: &CudaStream, bytes: usize) -> Result<Option<Ptr>, DriverError> {
        let Some(device) = self.device else { return Ok(None) };
        // Few bytes go behind the step before: events between two streams would take longer.
        let copies = Arc::clone(&self.copies);
        let on = if bytes > DIRECT { &*copies } else { stream };
        if bytes > DIRECT {
            on.wait(&self.taken)?;
        }
        // SAFETY: both buffers have `bytes`; the host's side is not touched until `copied`, nor the device's until `taken`: what read
        // it before was put into `stream`.
        unsafe { result::memcpy_htod_async(device, self.host(bytes), on.cu_stream())? };
        self.copied.record(on)?;
        if bytes > DIRECT {
            stream.wait(&self.copied)?;
        }
        Ok(Some(Ptr(device)))
    }

    /// Brings ranges of device memory (address, place here, bytes) as they are at this place of `stream` to the host's side.
    pub fn fetch(&mut self, stream: &CudaStream, from: &[(Ptr, usize, usize)]) -> Result<(), DriverError> {
        // Nobody may have waited for what the buffer was last used for.
        self.copied.synchronize()?;
        let bytes = from.iter().map(|(_, at, bytes)| at + bytes).max().unwrap_or(0);
        let Some(device) = self.device.filter(|_| bytes > DIRECT) else {
            for &(ptr, at, bytes) in from.iter().filter(|(.., bytes)| *bytes > 0) {
                // SAFETY: callers pass ranges of live buffers and places within this one, which is not touched until `copied`.
                unsafe { result::memcpy_dtoh_async(&mut self.host(at + bytes)[at..], ptr.0, stream.cu_stream())? };
            }
            return self.copied.record(stream);
        };
        for &(ptr, at, bytes) in from.iter().filter(|(.., bytes)| *bytes > 0) {
            // SAFETY: as above; the last copy from the device's side is over.
            unsafe { result::memcpy_dtod_async(device + at as u64, ptr.0, bytes, stream.cu_stream())? };
        }
        self.taken.record(stream)?;
        let copies = Arc::clone(&self.copies);
        copies.wait(&self.taken)?;
        // SAFETY: both sides have so many bytes.
        unsafe { result::memcpy_dtoh_async(self.host(bytes), device, copies.cu_stream())? };
        self.copied.record(&copies)
    }

    /// The host's side, once what was fetched is there.
    pub fn wait(&self, bytes: usize) -> Result<&[u8], DriverError> {
        self.copied.synchronize()?;
        // SAFETY: the buffer has at least so many bytes, all initialised, and nothing writes them any more.
        Ok(unsafe { std::slice::from_raw_parts(self.host, bytes.min(self.bytes)) })
    }

    pub fn room(&self) -> usize {
        self.bytes
    }

    /// What has been put into `stream` is all that reads the device's side.
    pub fn taken(&mut self, stream: &CudaStream) -> Result<(), DriverError> {
        self.taken.record(stream)
    }

    pub fn new(copies: &Arc<CudaStream>, bytes: usize) -> Result<Self, DriverError> {
        let context = copies.context();
        context.bind_to_thread()?;
        let bytes = bytes.next_power_of_two().max(4096);
        let (copied, taken) = (context.new_event(None)?, context.new_event(None)?);
        // SAFETY: plain allocations; the host's side is initialised before it is lent out as a slice.
        let (host, device) = unsafe {
            let host = result::malloc_host(bytes, 0)?.cast::<u8>();
            host.write_bytes(0, bytes);
            (host, result::malloc_sync(bytes).ok())
        };
        Ok(Self { host, device, bytes, copies: Arc::clone(copies), context: Arc::clone(context), copied, taken })
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
