//! Mathematics shared by layers. Each file: shape checks, the CPU loops, and (in GPU builds) the launch.

mod gemm_clock;
#[doc(hidden)]
pub use gemm_clock::gemm_on_gpu;

pub mod activation;
pub(crate) mod activation_cuda;
pub(crate) mod cast;
pub mod conv;
mod conv_args;
mod conv_cpu;
pub(crate) mod conv_cuda;
pub(crate) mod conv_engine;
mod conv_micro;
mod conv_plan;
pub mod elementwise;
pub mod gemm;
mod gemm_cpu;
pub(crate) mod gemm_cuda;
mod gemm_micro;
pub mod im2col;
pub mod math;
pub(crate) mod moments;
pub(crate) mod packs;
pub(crate) mod reduce;
pub(crate) mod simd;
