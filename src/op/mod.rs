//! Mathematics shared by layers. Each file: shape checks, the CPU loops, and (in GPU builds) the launch.
//!
//! For those who write a network themselves, on slices, everything checked: [`blas::gemm`], [`im2col`], [`conv::Slices`], [`pool`],
//! [`activation::apply`] and its gradient, [`SoftmaxCrossEntropy::on_labels`](crate::SoftmaxCrossEntropy::on_labels) and
//! [`Mse::on_values`](crate::Mse::on_values), [`argmax`](crate::data::classes::argmax), [`shuffled`](crate::data::split::shuffled),
//! and [`gradcheck`](mod@crate::gradcheck).

mod gemm_clock;
#[doc(hidden)]
pub use gemm_clock::{copy_on_gpu, gemm_on_gpu};

pub mod activation;
pub(crate) mod activation_cuda;
pub(crate) mod bands;
pub mod blas;
pub mod conv;
mod conv_args;
mod conv_cpu;
pub(crate) mod conv_cuda;
pub(crate) mod conv_engine;
mod conv_micro;
mod conv_neighbours;
mod conv_plan;
mod conv_slices;
mod conv_sm90;
mod conv_table;
pub(crate) mod conv_unit;
mod conv_winograd;
pub(crate) mod dense_micro;
pub(crate) mod dense_small;
pub mod elementwise;
pub(crate) mod epilogue;
pub mod gemm;
mod gemm_cpu;
pub(crate) mod gemm_cuda;
mod gemm_micro;
mod gemm_sm90;
mod gemm_table;
pub mod im2col;
pub mod math;
pub(crate) mod moments;
pub(crate) mod packs;
pub mod peak;
pub mod pool;
pub(crate) mod pool_cpu;
pub(crate) mod reduce;
pub(crate) mod simd;
