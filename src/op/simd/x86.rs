//! The registers of AVX-512 and AVX2.

use super::Lanes;
use std::arch::x86_64::*;

/// A 512-bit register of T.
#[derive(Clone, Copy)]
pub struct Zmm<T>(std::marker::PhantomData<T>);
/// A 256-bit register of T.
#[derive(Clone, Copy)]
pub struct Ymm<T>(std::marker::PhantomData<T>);

macro_rules! common {
    ($splat:ident $zero:ident $load:ident $store:ident $fma:ident $add:ident $sub:ident $mul:ident $max:ident $min:ident) => {
        #[inline(always)]
        unsafe fn splat(x: Self::T) -> Self::V {
            $splat(x)
        }
        #[inline(always)]
        unsafe fn zero() -> Self::V {
            $zero()
        }
        #[inline(always)]
        unsafe fn load(p: *const Self::T) -> Self::V {
            $load(p)
        }
        #[inline(always)]
        unsafe fn store(p: *mut Self::T, v: Self::V) {
            $store(p, v)
        }
        #[inline(always)]
        unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            $fma(a, b, c)
        }
        #[inline(always)]
        unsafe fn fma_one(a: Self::T, b: Self::T, c: Self::T) -> Self::T {
            a.mul_add(b, c)
        }
        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            $add(a, b)
        }
        #[inline(always)]
        unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
            $sub(a, b)
        }
        #[inline(always)]
        unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
            $mul(a, b)
        }
        #[inline(always)]
        unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
            $max(a, b)
        }
        #[inline(always)]
        unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
            $min(a, b)
        }
    };
}

macro_rules! zmm {
    ($t:ty, $v:ty, $m:ty, $n:literal, $maskz_load:ident, $mask_store:ident, $permute:ident, $int:ty, ($cmp:ident $cmp_masked:ident $blend:ident), $($op:ident)*) => {
        impl Lanes for Zmm<$t> {
            type T = $t;
            type V = $v;
            type M = $m;
            type W = $m;
            const N: usize = $n;
            const REGISTERS: usize = 32;
            const FREE_MASKS: bool = true;
            common!($($op)*);
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation)]
            unsafe fn mask(n: usize) -> $m {
                ((1_u32 << n) - 1) as $m
            }
            #[inline(always)]
            unsafe fn load_masked(p: *const $t, m: $m) -> $v {
                $maskz_load(m, p)
            }
            #[inline(always)]
            unsafe fn store_masked(p: *mut $t, m: $m, v: $v) {
                $mask_store(p, m, v)
            }
            #[inline(always)]
            unsafe fn above(a: $v, b: $v) -> $m {
                $cmp::<_CMP_GT_OQ>(a, b)
            }
            #[inline(always)]
            unsafe fn beats(a: $v, b: $v) -> $m {
                $cmp_masked::<_CMP_NLE_UQ>($cmp::<_CMP_ORD_Q>(b, b), a, b)
            }
            #[inline(always)]
            unsafe fn equal(a: $v, b: $v) -> $m {
                $cmp::<_CMP_EQ_OQ>(a, b)
            }
            #[inline(always)]
            unsafe fn pick(w: $m, a: $v, b: $v) -> $v {
                $blend(w, b, a)
            }
            #[inline(always)]
            unsafe fn zip(a: $v, b: $v) -> ($v, $v) {
                // Lanes of a count from 0, those of b from N.
                const fn index(first: $int) -> [$int; $n] {
                    let mut index = [0; $n];
                    let mut i = 0;
                    while i < $n / 2 {
                        index[2 * i] = first + i as $int;
                        index[2 * i + 1] = first + ($n + i) as $int;
                        i += 1;
                    }
                    index
                }
                const LOW: [$int; $n] = index(0);
                const HIGH: [$int; $n] = index($n / 2);
                let (low, high) = (_mm512_loadu_si512(LOW.as_ptr().cast()), _mm512_loadu_si512(HIGH.as_ptr().cast()));
                ($permute(a, low, b), $permute(a, high, b))
            }
        }
    };
}

macro_rules! ymm {
    ($t:ty, $v:ty, $n:literal, $int:ty, $maskload:ident, $maskstore:ident, $low:ident, $high:ident, $halves:ident, ($cmp:ident $and:ident $blend:ident), $($op:ident)*) => {
        impl Lanes for Ymm<$t> {
            type T = $t;
            type V = $v;
            type M = __m256i;
            type W = $v;
            const N: usize = $n;
            const REGISTERS: usize = 16;
            const FREE_MASKS: bool = false;
            common!($($op)*);
            #[inline(always)]
            unsafe fn mask(n: usize) -> __m256i {
                // A window of N integers that ends N − n past the step from ones to zeros.
                const STEP: [$int; 2 * $n] = {
                    let mut step = [0; 2 * $n];
                    let mut i = 0;
                    while i < $n {
                        step[i] = -1;
                        i += 1;
                    }
                    step
                };
                _mm256_loadu_si256(STEP.as_ptr().add($n - n).cast())
            }
            #[inline(always)]
            unsafe fn load_masked(p: *const $t, m: __m256i) -> $v {
                $maskload(p, m)
            }
            #[inline(always)]
            unsafe fn store_masked(p: *mut $t, m: __m256i, v: $v) {
                $maskstore(p, m, v)
            }
            #[inline(always)]
            unsafe fn above(a: $v, b: $v) -> $v {
                $cmp::<_CMP_GT_OQ>(a, b)
            }
            #[inline(always)]
            unsafe fn beats(a: $v, b: $v) -> $v {
                $and($cmp::<_CMP_ORD_Q>(b, b), $cmp::<_CMP_NLE_UQ>(a, b))
            }
            #[inline(always)]
            unsafe fn equal(a: $v, b: $v) -> $v {
                $cmp::<_CMP_EQ_OQ>(a, b)
            }
            #[inline(always)]
            unsafe fn pick(w: $v, a: $v, b: $v) -> $v {
                $blend(b, a, w)
            }
            #[inline(always)]
            unsafe fn zip(a: $v, b: $v) -> ($v, $v) {
                let (low, high) = ($low(a, b), $high(a, b));
                ($halves::<0x20>(low, high), $halves::<0x31>(low, high))
            }
        }
    };
}

zmm!(f32, __m512, __mmask16, 16, _mm512_maskz_loadu_ps, _mm512_mask_storeu_ps, _mm512_permutex2var_ps, i32,
    (_mm512_cmp_ps_mask _mm512_mask_cmp_ps_mask _mm512_mask_blend_ps),
    _mm512_set1_ps _mm512_setzero_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_fmadd_ps
    _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_max_ps _mm512_min_ps);
zmm!(f64, __m512d, __mmask8, 8, _mm512_maskz_loadu_pd, _mm512_mask_storeu_pd, _mm512_permutex2var_pd, i64,
    (_mm512_cmp_pd_mask _mm512_mask_cmp_pd_mask _mm512_mask_blend_pd),
    _mm512_set1_pd _mm512_setzero_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_fmadd_pd
    _mm512_add_pd _mm512_sub_pd _mm512_mul_pd _mm512_max_pd _mm512_min_pd);
ymm!(f32, __m256, 8, i32, _mm256_maskload_ps, _mm256_maskstore_ps,
    _mm256_unpacklo_ps, _mm256_unpackhi_ps, _mm256_permute2f128_ps, (_mm256_cmp_ps _mm256_and_ps _mm256_blendv_ps),
    _mm256_set1_ps _mm256_setzero_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_fmadd_ps
    _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_max_ps _mm256_min_ps);
ymm!(f64, __m256d, 4, i64, _mm256_maskload_pd, _mm256_maskstore_pd,
    _mm256_unpacklo_pd, _mm256_unpackhi_pd, _mm256_permute2f128_pd, (_mm256_cmp_pd _mm256_and_pd _mm256_blendv_pd),
    _mm256_set1_pd _mm256_setzero_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_fmadd_pd
    _mm256_add_pd _mm256_sub_pd _mm256_mul_pd _mm256_max_pd _mm256_min_pd);
