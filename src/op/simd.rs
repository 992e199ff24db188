//! Lanes: one vector register of f32 or f64 in each instruction set, for micro-kernels that the compiler does not
//! vectorise well by itself.
//!
//! A kernel is written once over [`Lanes`] and instantiated with [`per_lanes!`], which hands out one function per
//! instruction set. The methods are `#[inline(always)]` and carry no target feature of their own: they become single
//! instructions inside the functions that the macro makes, and nowhere else. A kernel must not call closures or
//! functions that are not `#[inline(always)]`: those would be compiled without the instruction set.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn, clippy::missing_safety_doc)]

use crate::Real;

/// A vector register of `N` elements.
///
/// # Safety
/// Every method needs the instruction set of the type (a [`Cpu`](crate::Cpu) carries only present ones); pointers need
/// no alignment, and must be valid for the elements touched. Masked methods touch only the first `n` elements of
/// `mask(n)`: the others may lie outside the allocation.
pub trait Lanes: Copy {
    /// The element.
    type T: Real;
    /// The register.
    type V: Copy;
    /// Which lanes take part.
    type M: Copy;
    /// The lanes that a comparison chose.
    type W: Copy;
    /// Elements in a register.
    const N: usize;
    /// Registers.
    const REGISTERS: usize;
    /// Whether masked loads and stores cost no more than whole ones.
    const FREE_MASKS: bool;

    /// x in all lanes.
    unsafe fn splat(x: Self::T) -> Self::V;
    /// 0 in all lanes.
    #[inline(always)]
    unsafe fn zero() -> Self::V {
        Self::splat(<Self::T as Real>::ZERO)
    }
    /// N elements from p.
    unsafe fn load(p: *const Self::T) -> Self::V;
    /// N elements to p.
    unsafe fn store(p: *mut Self::T, v: Self::V);
    /// The first n lanes, n <= N.
    unsafe fn mask(n: usize) -> Self::M;
    /// The lanes of the mask from p, 0 in the others.
    unsafe fn load_masked(p: *const Self::T, m: Self::M) -> Self::V;
    /// The lanes of the mask to p.
    unsafe fn store_masked(p: *mut Self::T, m: Self::M, v: Self::V);
    /// a·b + c; one rounding where the instruction set has FMA, two where not.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// As [`Lanes::fma`], for one element.
    unsafe fn fma_one(a: Self::T, b: Self::T, c: Self::T) -> Self::T;
    /// a + b
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// a − b
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// a·b
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// The larger, lane by lane; b where one is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller, lane by lane; b where one is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// Where a > b; nowhere where one is NaN.
    unsafe fn above(a: Self::V, b: Self::V) -> Self::W;
    /// Where a is larger than b, or NaN while b is not.
    unsafe fn beats(a: Self::V, b: Self::V) -> Self::W;
    /// Where a = b.
    unsafe fn equal(a: Self::V, b: Self::V) -> Self::W;
    /// a in the chosen lanes, b in the others.
    unsafe fn pick(w: Self::W, a: Self::V, b: Self::V) -> Self::V;
    /// a₀ b₀ a₁ b₁ .. in two registers.
    unsafe fn zip(a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// The sum of all lanes, from the first to the last.
    #[inline(always)]
    unsafe fn sum(v: Self::V) -> Self::T {
        let mut lanes = [<Self::T as Real>::ZERO; 16];
        Self::store(lanes.as_mut_ptr(), v);
        let mut sum = lanes[0];
        let mut i = 1;
        while i < Self::N {
            sum += lanes[i];
            i += 1;
        }
        sum
    }
}

/// The vector registers of an element type; a supertrait of [`Real`], so that generic code reaches them.
pub trait Simd: Sized {
    /// Under AVX-512.
    type Avx512: Lanes<T = Self>;
    /// Under AVX2 and FMA.
    type Avx2: Lanes<T = Self>;
    /// Under whatever the target guarantees.
    type Portable: Lanes<T = Self>;
}

/// An array that the compiler keeps in registers.
#[derive(Clone, Copy)]
pub struct Array<T, const N: usize>([T; N]);

macro_rules! lane_by_lane {
    ($f:ident, $a:ident, $b:ident => $e:expr) => {
        #[inline(always)]
        unsafe fn $f(mut a: Self::V, b: Self::V) -> Self::V {
            let mut i = 0;
            while i < N {
                let ($a, $b) = (a[i], b[i]);
                a[i] = $e;
                i += 1;
            }
            a
        }
    };
}

macro_rules! compared {
    ($f:ident, $a:ident, $b:ident => $e:expr) => {
        #[inline(always)]
        unsafe fn $f(a: Self::V, b: Self::V) -> Self::W {
            let (mut w, mut i) = ([false; N], 0);
            while i < N {
                let ($a, $b) = (a[i], b[i]);
                w[i] = $e;
                i += 1;
            }
            w
        }
    };
}

#[allow(clippy::eq_op, clippy::neg_cmp_op_on_partial_ord)]
impl<T: Real, const N: usize> Lanes for Array<T, N> {
    type T = T;
    type V = [T; N];
    type M = usize;
    type W = [bool; N];
    const N: usize = N;
    // Half of what baseline x86-64 has: an array of lanes takes two registers there.
    const REGISTERS: usize = if cfg!(target_arch = "x86_64") { 8 } else { 32 };
    const FREE_MASKS: bool = false;

    #[inline(always)]
    unsafe fn splat(x: T) -> Self::V {
        [x; N]
    }
    #[inline(always)]
    unsafe fn load(p: *const T) -> Self::V {
        p.cast::<[T; N]>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn store(p: *mut T, v: Self::V) {
        p.cast::<[T; N]>().write_unaligned(v);
    }
    #[inline(always)]
    unsafe fn mask(n: usize) -> usize {
        n
    }
    #[inline(always)]
    unsafe fn load_masked(p: *const T, m: usize) -> Self::V {
        let mut v = [T::ZERO; N];
        let mut i = 0;
        while i < N {
            if i < m {
                v[i] = *p.add(i);
            }
            i += 1;
        }
        v
    }
    #[inline(always)]
    unsafe fn store_masked(p: *mut T, m: usize, v: Self::V) {
        let mut i = 0;
        while i < N {
            if i < m {
                *p.add(i) = v[i];
            }
            i += 1;
        }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, mut c: Self::V) -> Self::V {
        let mut i = 0;
        while i < N {
            c[i] += a[i] * b[i];
            i += 1;
        }
        c
    }
    #[inline(always)]
    unsafe fn fma_one(a: T, b: T, c: T) -> T {
        c + a * b
    }
    #[inline(always)]
    unsafe fn zip(a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        let (mut low, mut high) = (a, b);
        let mut i = 0;
        while i < N / 2 {
            (low[2 * i], low[2 * i + 1]) = (a[i], b[i]);
            (high[2 * i], high[2 * i + 1]) = (a[N / 2 + i], b[N / 2 + i]);
            i += 1;
        }
        (low, high)
    }
    lane_by_lane!(add, x, y => x + y);
    lane_by_lane!(sub, x, y => x - y);
    lane_by_lane!(mul, x, y => x * y);
    lane_by_lane!(max, x, y => if x > y { x } else { y });
    lane_by_lane!(min, x, y => if x < y { x } else { y });
    compared!(above, x, y => x > y);
    compared!(beats, x, y => !(x <= y) & (y == y));
    compared!(equal, x, y => x == y);
    #[inline(always)]
    unsafe fn pick(w: Self::W, a: Self::V, mut b: Self::V) -> Self::V {
        let mut i = 0;
        while i < N {
            b[i] = if w[i] { a[i] } else { b[i] };
            i += 1;
        }
        b
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;

/// 128 bits: what SSE2 and NEON have.
#[cfg(target_arch = "x86_64")]
macro_rules! simd {
    ($t:ty, $n:literal) => {
        impl Simd for $t {
            type Avx512 = x86::Zmm<$t>;
            type Avx2 = x86::Ymm<$t>;
            type Portable = Array<$t, $n>;
        }
    };
}
#[cfg(not(target_arch = "x86_64"))]
macro_rules! simd {
    ($t:ty, $n:literal) => {
        impl Simd for $t {
            type Avx512 = Array<$t, $n>;
            type Avx2 = Array<$t, $n>;
            type Portable = Array<$t, $n>;
        }
    };
}
simd!(f32, 4);
simd!(f64, 2);

/// Asks for the cache line at p, which need not be valid.
#[inline(always)]
pub(crate) fn prefetch<T>(p: *const T) {
    // SAFETY: a hint; SSE is part of the target.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// As [`prefetch`], into the second-level cache: for what is wanted only after more than the first one holds.
#[inline(always)]
pub(crate) fn prefetch_far<T>(p: *const T) {
    // SAFETY: a hint; SSE is part of the target.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// Defines a micro-kernel over [`Lanes`] and a selector: `name::<T, CONSTS>(isa)` is the function for that instruction
/// set, to be chosen when planning. It may be called where the instruction set is present.
///
/// ```text
/// per_lanes! {
///     /// y = a·x over whole registers
///     pub(crate) unsafe fn scale<T, L, const UNROLL: usize>(n: usize, a: T, x: *const T, y: *mut T) {
///         let a = L::splat(a);
///         ...
///     }
/// }
/// let kernel = scale::<f32, 4>(cpu.isa());     // unsafe fn(usize, f32, *const f32, *mut f32)
/// ```
macro_rules! per_lanes {
    ($(#[$meta:meta])* $vis:vis unsafe fn $name:ident<$T:ident, $L:ident $(, const $C:ident: $ct:ty)*>
     ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[inline]
        #[allow(unsafe_code, unsafe_op_in_unsafe_fn, clippy::too_many_arguments, clippy::type_complexity)]
        $vis fn $name<$T: $crate::Real $(, const $C: $ct)*>(isa: $crate::device::Isa) -> unsafe fn($($ty),*) $(-> $ret)? {
            #[inline(always)]
            unsafe fn body<$T: $crate::Real, $L: $crate::op::simd::Lanes<T = $T> $(, const $C: $ct)*>($($arg: $ty),*) $(-> $ret)? $body
            unsafe fn portable<$T: $crate::Real $(, const $C: $ct)*>($($arg: $ty),*) $(-> $ret)? {
                body::<$T, <$T as $crate::op::simd::Simd>::Portable $(, $C)*>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2<$T: $crate::Real $(, const $C: $ct)*>($($arg: $ty),*) $(-> $ret)? {
                body::<$T, <$T as $crate::op::simd::Simd>::Avx2 $(, $C)*>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            unsafe fn avx512<$T: $crate::Real $(, const $C: $ct)*>($($arg: $ty),*) $(-> $ret)? {
                body::<$T, <$T as $crate::op::simd::Simd>::Avx512 $(, $C)*>($($arg),*)
            }
            match isa {
                #[cfg(target_arch = "x86_64")]
                $crate::device::Isa::Avx512 => avx512::<$T $(, $C)*>,
                #[cfg(target_arch = "x86_64")]
                $crate::device::Isa::Avx2 => avx2::<$T $(, $C)*>,
                _ => portable::<$T $(, $C)*>,
            }
        }
    };
}
pub(crate) use per_lanes;

/// Elements of a register of `isa`, and the number of its registers.
pub(crate) fn registers<T: Real>(isa: crate::device::Isa) -> (usize, usize) {
    use crate::device::Isa;
    match isa {
        Isa::Avx512 => (<T as Simd>::Avx512::N, <T as Simd>::Avx512::REGISTERS),
        Isa::Avx2 => (<T as Simd>::Avx2::N, <T as Simd>::Avx2::REGISTERS),
        Isa::Portable => (<T as Simd>::Portable::N, <T as Simd>::Portable::REGISTERS),
    }
}

/// Elements of a register of `isa`.
pub(crate) fn lanes<T: Real>(isa: crate::device::Isa) -> usize {
    registers::<T>(isa).0
}

#[cfg(test)]
mod tests;
