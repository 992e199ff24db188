//! From device to host while both go on working: results are put aside in the order of the stream, and a stream of their own brings them to
//! pinned memory.
#![allow(unsafe_code)]

use super::cuda::{Cuda, failed};
use super::kernel::Ptr;
use super::upload::Stage;
use crate::Result;
use cudarc::driver::{CudaContext, CudaStream, DriverError};
use std::sync::Arc;

/// Buffers kept for later, at most.
const KEPT: usize = 8;

/// Buffers that nobody uses, and the stream.
pub(super) struct Downloads {
    copies: Arc<CudaStream>,
    idle: Vec<Stage>,
}

/// Results on their way to the host.
pub(crate) struct Download {
    cuda: Cuda,
    stage: Option<Stage>,
    bytes: usize,
}

impl Downloads {
    pub fn new(context: &Arc<CudaContext>) -> Result<Self, DriverError> {
        Ok(Self { copies: context.new_stream()?, idle: Vec::new() })
    }

    /// Begins to bring ranges of device memory as they are at this place of `stream`; `from` says where each goes.
    pub fn begin(&mut self, cuda: &Cuda, stream: &CudaStream, from: &[(Ptr, usize, usize)]) -> Result<Download, DriverError> {
        let bytes = from.iter().map(|(_, at, bytes)| at + bytes).max().unwrap_or(0);
        let fitting = self.idle.iter().position(|stage| stage.room() >= bytes);
        let mut stage = match fitting {
            Some(i) => self.idle.swap_remove(i),
            None => Stage::new(&self.copies, bytes)?,
        };
        stage.fetch(stream, from)?;
        Ok(Download { cuda: cuda.clone(), stage: Some(stage), bytes })
    }

    pub fn give_back(&mut self, stage: Stage) {
        if self.idle.len() == KEPT {
            self.idle.remove(0);
        }
        self.idle.push(stage);
    }
}

impl Download {
    /// The bytes, once they have come.
    pub fn wait(&self) -> Result<&[u8]> {
        let Some(stage) = &self.stage else { return Ok(&[]) };
        stage.wait(self.bytes).map_err(|e| failed(&self.cuda, "copying to the host failed", e))
    }
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Download({} bytes)", self.bytes)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(stage) = self.stage.take() {
            self.cuda.fetched(stage);
        }
    }
}
