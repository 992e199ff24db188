//! Element types and the precision of a computation.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// The type of the elements of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// IEEE double precision; on the CPU only, for gradient checks and small fits.
    F64,
    /// IEEE half precision; storage on the GPU.
    F16,
    /// bfloat16; storage on the GPU.
    Bf16,
    /// Unsigned indices: labels, positions of maxima.
    U32,
}

impl DType {
    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// How kernels for this type end: `relu_bf16`.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::U32 => "u32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

/// How sums may be rearranged on the CPU. Neither is exact to the last bit; both give the same bits for any number of threads.
///
/// [`Math::Fast`] computes convolutions of 3×3 with stride 1, where that is faster, as Winograd's F(4×4, 3×3):
/// Y = Aᵀ[Σ (G g Gᵀ) ⊙ (Bᵀ d B)]A over the channels, with a quarter of the multiplications, both forward and for the gradient
/// wrt the input. Its rounding errors are larger: |Ŷ − Y| ≤ (C + 24)·ε·19²·10²·max|d|·Σ|g| for C channels, inputs d and weights
/// g; with normal operands the largest is 4 to 18 times that of the sum itself, below 10⁻⁴ of the results' root mean square in f32.
/// Transformed weights take four times the memory. On a GPU it changes nothing.
///
/// # Source
/// Lavin & Gray 2016, "Fast algorithms for convolutional neural networks".
///
/// # Examples
/// ```
/// use kamacite::*;
/// let mut net = Network::new(Extent::image(32, 32, 16));
/// net.push(Conv::new(32, 3).pad(1));
/// let model = Model::builder(net).math(Math::Fast).build()?;
/// assert_eq!(model.math(), Math::Fast);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Math {
    /// Sums as they are written.
    #[default]
    Exact,
    /// Fewer multiplications, larger rounding errors.
    Fast,
}

/// What a network computes in. Accumulators, statistics, losses and master weights are never narrower than f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Precision {
    /// Single precision throughout.
    #[default]
    FP32,
    /// Double precision throughout (CPU).
    FP64,
    /// f32 storage, TF32 products (GPU).
    TF32,
    /// f32 storage, three TF32 products for nearly f32 accuracy (GPU).
    FP32x3,
    /// bf16 storage and products, f32 accumulation (GPU).
    BF16,
    /// f16 storage and products, f32 accumulation, dynamic loss scale (GPU).
    FP16,
}

impl Precision {
    /// The type in which activations are stored.
    pub const fn storage(self) -> DType {
        match self {
            Self::FP32 | Self::TF32 | Self::FP32x3 => DType::F32,
            Self::FP64 => DType::F64,
            Self::BF16 => DType::Bf16,
            Self::FP16 => DType::F16,
        }
    }
}

impl Precision {
    /// The type of parameters, their gradients, statistics, targets and losses: never narrower than f32.
    pub const fn master(self) -> DType {
        match self {
            Self::FP64 => DType::F64,
            _ => DType::F32,
        }
    }
}

/// `fp32`, `fp64`, `tf32`, `fp32x3`, `bf16` or `fp16`, in any case.
impl std::str::FromStr for Precision {
    type Err = crate::Error;

    fn from_str(name: &str) -> crate::Result<Self> {
        let all = [Self::FP32, Self::FP64, Self::TF32, Self::FP32x3, Self::BF16, Self::FP16];
        let found = all.into_iter().find(|p| format!("{p:?}").eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            crate::Error::value("precision", "unknown name").expected("fp32, fp64, tf32, fp32x3, bf16 or fp16").got(name)
        })
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The two types the CPU computes in: `f32` and `f64`.
pub trait Real:
    sealed::Sealed
    + crate::op::simd::Simd
    + bytemuck::Pod
    + PartialOrd
    + Default
    + Send
    + Sync
    + fmt::Debug
    + fmt::Display
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + std::iter::Sum
    + crate::op::math::Elementary
{
    /// The runtime name of the type.
    const DTYPE: DType;
    /// The distance from 1 to the next number.
    const EPSILON: Self;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Negative infinity, below every number.
    const LOWEST: Self;
    /// Rounds to the nearest representable value.
    fn of(x: f64) -> Self;
    /// Widens without loss.
    fn to_f64(self) -> f64;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// The larger of the two; the other one if one is NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller of the two; the other one if one is NaN.
    fn min(self, other: Self) -> Self;
    /// Neither NaN nor infinite.
    fn is_finite(self) -> bool;
}

macro_rules! real_impl {
    ($t:ident, $dtype:ident) => {
        impl Real for $t {
            const DTYPE: DType = DType::$dtype;
            const EPSILON: Self = $t::EPSILON;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LOWEST: Self = $t::NEG_INFINITY;
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation)]
            fn of(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                self.max(other)
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                self.min(other)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                self.is_finite()
            }
        }
    };
}
real_impl!(f32, F32);
real_impl!(f64, F64);

/// Runs a block once with `T` bound to the type that a [`DType`] names: `real!(s.dtype(), T => body)`.
///
/// CPU passes are planned for f32 and f64 only ([`Device::supports`](crate::Device::supports)), so other types are an
/// internal error here.
#[macro_export]
macro_rules! real {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            other => unreachable!("the CPU was asked to compute in {other:?}, which planning refuses"),
        }
    };
}
