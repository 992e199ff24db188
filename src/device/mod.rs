//! Where a network computes. `Device` is matched in leaf functions only: in `op/`, or at the bottom of a layer file.

#[cfg(not(feature = "cuda"))]
#[path = "absent.rs"]
mod cuda;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
mod download;
#[cfg(feature = "prebuilt")]
mod image;
#[cfg(all(feature = "cuda", not(feature = "prebuilt")))]
#[path = "no_image.rs"]
mod image;
#[cfg(feature = "cuda")]
mod nvrtc;
#[cfg(feature = "cuda")]
mod record;
#[cfg(feature = "cuda")]
mod upload;

pub(crate) mod control;
pub mod cpu;
mod isa;
mod kernel;
mod split;
mod tensor_map;
#[cfg(test)]
pub(crate) mod testing;

/// Compiling kernels without a GPU: for the project's own tools.
#[cfg(feature = "prebuilt")]
#[doc(hidden)]
pub mod offline {
    pub use super::image::build;
    pub use super::nvrtc::{HEADERS, Nvrtc, texts};
}

pub use cpu::Cpu;
pub use cuda::Cuda;
#[cfg(not(feature = "cuda"))]
pub(crate) use cuda::Download;
#[allow(unused_imports)]
pub(crate) use cuda::Graph;
pub(crate) use cuda::{Buffer, Function};
#[cfg(feature = "cuda")]
pub(crate) use download::Download;
pub use isa::Isa;
pub(crate) use isa::per_isa;
pub(crate) use kernel::MAX_SIZE;
pub use kernel::{Divisor, Grid, Kernel, Layout, Ptr, Source};
pub use split::{Parts, Rows};
pub(crate) use tensor_map::TensorMap;

use crate::{Error, Precision, Result};

/// A device: the CPU with its threads, or an NVIDIA GPU.
///
/// Cloning is cheap and shares the threads or the stream.
///
/// # Examples
/// ```
/// use kamacite::Device;
/// let device = Device::cpu_threads(2)?;
/// assert_eq!(device.to_string(), format!("cpu (2 threads, {})", kamacite::device::Isa::best()));
/// assert!("cuda:x".parse::<Device>().is_err());
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub enum Device {
    /// The processor this program runs on.
    Cpu(Cpu),
    /// An NVIDIA GPU; a type without values in builds without the feature `cuda`.
    Cuda(Cuda),
}

impl Device {
    /// The device that `KAMACITE_DEVICE` names; otherwise the first GPU that can be used, or the CPU. [`doctor`] tells why a GPU
    /// is not.
    pub fn auto() -> Self {
        let named = std::env::var("KAMACITE_DEVICE").ok().filter(|name| !name.is_empty() && name != "auto");
        match named.map(|name| name.parse::<Self>()) {
            Some(Ok(device)) => device,
            // Whoever names a GPU wants to know that it is not used; the CPU computes the same.
            Some(Err(e)) => {
                eprintln!("KAMACITE_DEVICE: {e}; using the CPU");
                Self::cpu()
            }
            None => Self::cuda(0).unwrap_or_else(|_| Self::cpu()),
        }
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

    /// The GPU of this number, from 0.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if there is no such GPU, no driver, or nothing to compile kernels with;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) in builds without the feature `cuda`.
    pub fn cuda(ordinal: usize) -> Result<Self> {
        #[cfg(feature = "cuda")]
        return Cuda::new(ordinal).map(Self::Cuda);
        #[cfg(not(feature = "cuda"))]
        Err(Error::unsupported(format!("cuda:{ordinal}"), "this build has no GPU support").hint("build with the feature cuda"))
    }

    /// Whether this is a GPU.
    pub fn is_cuda(&self) -> bool {
        matches!(self, Self::Cuda(_))
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
            (Self::Cuda(_), Precision::FP64) => Err(Error::unsupported("device cuda", "cannot compute in FP64")
                .expected("FP32, TF32, FP32x3, BF16 or FP16")
                .hint("Device::cpu() computes in double precision")),
            (Self::Cuda(_), _) => Ok(()),
        }
    }

    /// Bytes that a new plan may take, where the system tells: on Linux `MemAvailable`, or what a cgroup leaves if less.
    pub fn free_memory(&self) -> Option<usize> {
        match self {
            Self::Cpu(_) => free_host_memory(),
            Self::Cuda(cuda) => cuda.free_memory(),
        }
    }

    /// The device, and on a GPU the architecture of its kernels and what compiles them.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Cpu(_) => self.to_string(),
            Self::Cuda(cuda) => format!("{cuda}, kernels for {}", cuda.compiler()),
        }
    }

    /// Waits until all work given to the device is done. The CPU has no work left when a call returns.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) for the failure of work since the last wait.
    pub fn synchronize(&self) -> Result<()> {
        match self {
            Self::Cpu(_) => Ok(()),
            Self::Cuda(cuda) => cuda.synchronize(),
        }
    }
}

fn free_host_memory() -> Option<usize> {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let cgroup = || number("/sys/fs/cgroup/memory.max")?.checked_sub(number("/sys/fs/cgroup/memory.current")?);
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let free = line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.saturating_mul(1024);
    Some(cgroup().map_or(free, |c| c.min(free)))
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu(cpu) => write!(f, "cpu ({} threads, {})", cpu.threads(), cpu.isa()),
            Self::Cuda(cuda) => write!(f, "{cuda}"),
        }
    }
}

/// `auto`, `cpu`, `cuda` or `cuda:1`.
impl std::str::FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let unknown = || Error::value("device", "unknown name").expected("auto, cpu, cuda or cuda:N").got(name);
        match name {
            "auto" => Ok(Self::auto()),
            "cpu" => Ok(Self::cpu()),
            "cuda" => Self::cuda(0),
            _ => Self::cuda(name.strip_prefix("cuda:").and_then(|n| n.parse().ok()).ok_or_else(unknown)?),
        }
    }
}

/// What this program can compute on, and what keeps it from more: one line each for the CPU, every GPU, and the kernel cache.
///
/// # Examples
/// ```
/// assert!(kamacite::doctor().contains("CPU: "));
/// ```
pub fn doctor() -> String {
    let mut lines = vec![format!("CPU: {}", Device::cpu())];
    #[cfg(feature = "cuda")]
    lines.extend(cuda::report());
    #[cfg(not(feature = "cuda"))]
    lines.push("GPU: none, this build has no GPU support (feature cuda)".into());
    lines.push(format!("chosen by Device::auto(): {}", Device::auto()));
    lines.join("\n")
}
