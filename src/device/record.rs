//! Which kernels ever ran: `KAMACITE_RECORD` names a file that gets a line `gemm_f32.cu gemm_nn_64_f32` for each, from any number
//! of processes. It is how `docs/gpu-status.md` knows.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a kernel was written down.
#[derive(Debug, Default)]
pub(super) struct Record(AtomicBool);

impl Record {
    /// Writes it down when it is launched for the first time.
    pub fn launched(&self, source: &str, kernel: &str) {
        static FILE: OnceLock<Option<std::ffi::OsString>> = OnceLock::new();
        let Some(path) = FILE.get_or_init(|| std::env::var_os("KAMACITE_RECORD").filter(|path| !path.is_empty())) else { return };
        if self.0.swap(true, Ordering::Relaxed) {
            return;
        }
        // One write for a line, so that those of several processes stay whole.
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        let written = file.and_then(|mut file| file.write_all(format!("{source}.cu {kernel}\n").as_bytes()));
        if let Err(e) = written {
            eprintln!("KAMACITE_RECORD: {}: {e}", path.display());
        }
    }
}
