//! The CPU and its small pool of threads.

use super::Isa;
use crate::{Error, Result};
use std::fmt;
use std::sync::Arc;

/// The most threads a pool may have.
pub const MAX_THREADS: usize = 1024;

/// A CPU with a pool of threads. Clones share the pool; it is joined when the last clone drops.
#[derive(Clone)]
pub struct Cpu(Arc<Pool>);

struct Pool {
    threads: usize,
    isa: Isa,
}

impl Cpu {
    /// A pool of this many threads, the caller included.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for 0 and for more than [`MAX_THREADS`].
    pub fn new(threads: usize) -> Result<Self> {
        if threads == 0 || threads > MAX_THREADS {
            return Err(Error::value("cpu", "number of threads").expected(format!("1 to {MAX_THREADS}")).got(threads));
        }
        Ok(Self(Arc::new(Pool { threads, isa: Isa::best() })))
    }

    /// Threads that take part in [`Cpu::run`].
    pub fn threads(&self) -> usize {
        self.0.threads
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.0.isa
    }

    /// Calls `task(i)` for every i < `tasks`, on all threads; returns when all are done.
    pub fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(task);
    }
}

/// Threads that this process may use.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new(default_threads().min(MAX_THREADS)).expect("the default number of threads is in range")
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cpu({} threads, {})", self.threads(), self.isa())
    }
}
