//! Where a network computes. `Device` is matched in leaf functions only: in `op/`, or at the bottom of a layer file.

pub mod cpu;
mod isa;
mod split;

pub use cpu::Cpu;
pub use isa::Isa;
pub(crate) use isa::per_isa;
pub use split::{Parts, Rows};

use crate::{Error, Precision, Result};

/// A device: the CPU with its threads, or (in builds with the feature) an NVIDIA GPU.
///
/// Cloning is cheap and shares the threads or the stream.
///
/// # Examples
/// ```
/// use kamacite::Device;
/// let device = Device::cpu_threads(2)?;
/// assert_eq!(device.to_string(), format!("cpu (2 threads, {})", kamacite::device::Isa::best()));
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub enum Device {
    /// The processor this program runs on.
    Cpu(Cpu),
    /// An NVIDIA GPU; uninhabited in this build.
    Cuda(Cuda),
}

/// An NVIDIA GPU. This build has none, so no value of this type exists and every `match` arm on it is dead code that
/// still type-checks.
#[derive(Clone, Debug)]
pub enum Cuda {}

impl Device {
    /// The best device of this machine.
    pub fn auto() -> Self {
        Self::Cpu(Cpu::default())
    }

    /// The CPU with as many threads as this process may use; see [`cpu::default_threads`].
    pub fn cpu() -> Self {
        Self::Cpu(Cpu::default())
    }

    /// The CPU with this many threads. The results do not depend on it.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for 0 and for more than [`cpu::MAX_THREADS`].
    pub fn cpu_threads(threads: usize) -> Result<Self> {
        Cpu::new(threads).map(Self::Cpu)
    }

    /// Refuses a precision that the device cannot compute in.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    pub fn supports(&self, precision: Precision) -> Result<()> {
        match (self, precision) {
            (Self::Cpu(_), Precision::FP32 | Precision::FP64) => Ok(()),
            (Self::Cpu(_), other) => Err(Error::unsupported("device cpu", format!("cannot compute in {other:?}"))
                .expected("FP32 or FP64")
                .hint("reduced precisions run on a GPU")),
            (Self::Cuda(cuda), _) => match *cuda {},
        }
    }

    /// Bytes that a new plan may take, where the system tells: on Linux `MemAvailable`, or what a cgroup leaves if less.
    pub fn free_memory(&self) -> Option<usize> {
        let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
        let cgroup = || number("/sys/fs/cgroup/memory.max")?.checked_sub(number("/sys/fs/cgroup/memory.current")?);
        let info = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = info.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
        let free = line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.saturating_mul(1024);
        match self {
            Self::Cpu(_) => Some(cgroup().map_or(free, |c| c.min(free))),
            Self::Cuda(cuda) => match *cuda {},
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu(cpu) => write!(f, "cpu ({} threads, {})", cpu.threads(), cpu.isa()),
            Self::Cuda(cuda) => match *cuda {},
        }
    }
}
