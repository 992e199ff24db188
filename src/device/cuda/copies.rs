//! Copies between host and device for which nobody waits.

use super::{Cuda, failed, lock};
use crate::device::Ptr;
use crate::device::download::Download;
use crate::device::upload::Stage;
use crate::{Error, Result};

impl Cuda {
    /// Begins to copy ranges of device memory to the host, without waiting: from where, to which place, so many bytes.
    pub(crate) fn fetch(&self, from: &[(Ptr, usize, usize)]) -> Result<Download> {
        let mut downloads = lock(&self.0.downloads);
        let _turn = self.0.turns.take();
        let begun = self.bound().and_then(|()| downloads.begin(self, &self.0.stream, from));
        begun.map_err(|e| failed(self, "copying to the host failed", e))
    }

    /// What was fetched into a buffer is not needed any more.
    pub(in crate::device) fn fetched(&self, stage: Stage) {
        lock(&self.0.downloads).give_back(stage);
    }

    /// Copies what `fill` writes to the device, without waiting: through pinned memory and a stream of its own.
    pub(crate) fn upload(&self, to: Ptr, bytes: usize, fill: &mut dyn FnMut(&mut [u8]) -> Result<()>) -> Result<()> {
        if self.capturing() {
            return Err(Error::order(self, "an upload within a captured step"));
        }
        if bytes == 0 {
            return Ok(());
        }
        // The buffers first, then a turn: whoever waits for buffers holds up nobody who records.
        let mut uploads = lock(&self.0.uploads);
        let _turn = self.0.turns.take();
        let stage = uploads.take(self, bytes)?;
        fill(stage.host(bytes))?;
        stage.send(&self.0.stream, to, bytes).map_err(|e| failed(self, "copying to the device failed", e))
    }

    /// As [`Cuda::upload`] to a place that is good for what `work` launches alone. Whether there was one: memory may be short.
    pub(crate) fn upload_for(
        &self,
        bytes: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<()>,
        work: &mut dyn FnMut(Ptr) -> Result<()>,
    ) -> Result<bool> {
        if self.capturing() {
            return Err(Error::order(self, "an upload within a captured step"));
        }
        let check = |e| failed(self, "copying to the device failed", e);
        let mut uploads = lock(&self.0.uploads);
        let turn = self.0.turns.take();
        let stage = uploads.take(self, bytes)?;
        fill(stage.host(bytes))?;
        let Some(at) = stage.bring(&self.0.stream, bytes).map_err(check)? else { return Ok(false) };
        // A launch takes a turn of its own.
        drop(turn);
        work(at)?;
        let _turn = self.0.turns.take();
        stage.taken(&self.0.stream).map_err(check)?;
        Ok(true)
    }
}
