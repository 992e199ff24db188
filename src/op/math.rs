//! The elementary functions of the hot loops: branch-free arithmetic and bit patterns, so that a loop over them fills
//! vectors inside [`per_isa!`](crate::device), and the same bits on every instruction set (no fused multiply-add).
//!
//! Largest error against the exact value in units of the last place of the result, for f32 and f64 alike (the tests
//! measure it over dense sweeps):
//!
//! | function | units |
//! |---|---|
//! | `exp` | 1.5 |
//! | `exp_m1` | 2 |
//! | `ln`, `ln_1p` | 1 |
//! | `logistic` | 2.5 |
//! | `tanh`, `erf` | 3 |
//! | `erfc` | 6 |
//!
//! Below the normal numbers the unit is the smallest number above 0, and the logistic is 0. NaN gives NaN, infinities and
//! zeros give the limits; the sign of a zero result is not kept.
//!
//! # Source
//! Argument reduction by multiples of ln 2 after Cody & Waite 1980, "Software manual for the elementary functions"; the
//! logarithm through s = f/(2 + f) after Tang 1990, "Table-driven implementation of the logarithm function"; erfc through
//! (x − a)/(x + a) after Shepherd & Laframboise 1981, "Chebyshev approximation of (1 + 2x)exp(x²)erfc x in 0 ≤ x < ∞". The
//! polynomials are Chebyshev fits of our own, computed with 50 digits on the intervals stated at the tables.

/// The functions that [`Real`](crate::Real) types offer beyond arithmetic. On `f32` and `f64` themselves the standard
/// methods of the same names come first; generic code over `Real` gets these.
pub trait Elementary: Sized {
    /// eˣ
    fn exp(self) -> Self;
    /// eˣ − 1
    fn exp_m1(self) -> Self;
    /// ln x
    fn ln(self) -> Self;
    /// ln(1 + x)
    fn ln_1p(self) -> Self;
    /// tanh x
    fn tanh(self) -> Self;
    /// 1/(1 + e⁻ˣ)
    fn logistic(self) -> Self;
    /// erf x = 2/√π·∫₀ˣ e^(−t²) dt
    fn erf(self) -> Self;
    /// erfc x = 1 − erf x
    fn erfc(self) -> Self;
}

/// What differs between the two types.
macro_rules! elementary {
    ($t:ident, $bits:ident, $m:ident, $table:ident) => {
        impl Elementary for $t {
            #[inline(always)]
            fn exp(self) -> Self {
                $m::exp(self)
            }
            #[inline(always)]
            fn exp_m1(self) -> Self {
                $m::exp_m1(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $m::ln(self)
            }
            #[inline(always)]
            fn ln_1p(self) -> Self {
                $m::ln_1p(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $m::tanh(self)
            }
            #[inline(always)]
            fn logistic(self) -> Self {
                $m::logistic(self)
            }
            #[inline(always)]
            fn erf(self) -> Self {
                $m::erf(self)
            }
            #[inline(always)]
            fn erfc(self) -> Self {
                $m::erfc(self)
            }
        }

        mod $m {
            use super::$table::*;

            /// Bits of the mantissa.
            const M: u32 = $t::MANTISSA_DIGITS - 1;
            /// The biased exponent of 1.
            const BIAS: $bits = (1.0 as $t).to_bits() >> M;
            /// Adding it rounds to an integer, which then stands in the low bits.
            const ROUND: $t = 1.5 * (1_u64 << M) as $t;
            const SQRT_HALF: $t = std::f64::consts::FRAC_1_SQRT_2 as $t;

            /// Σᵢ cᵢ xⁱ
            #[inline(always)]
            fn poly<const N: usize>(x: $t, c: [$t; N]) -> $t {
                let mut sum = c[N - 1];
                let mut i = N - 1;
                while i > 0 {
                    i -= 1;
                    sum = sum * x + c[i];
                }
                sum
            }

            /// x held within [lo, hi]; NaN stays.
            #[inline(always)]
            fn hold(x: $t, lo: $t, hi: $t) -> $t {
                let x = if x < lo { lo } else { x };
                if x > hi { hi } else { x }
            }

            /// 2^(m − BIAS) for a biased exponent of a normal number.
            #[inline(always)]
            fn power(m: $bits) -> $t {
                $t::from_bits(m << M)
            }

            /// n, e^r − 1 and eˣ = 2ⁿ·e^r with |r| ≤ ½·ln 2; n comes plus 2·BIAS, so that it is positive.
            #[inline(always)]
            fn reduce(x: $t) -> ($bits, $t) {
                let k = x * std::$t::consts::LOG2_E + ROUND;
                let n = k.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(2 * BIAS);
                let k = k - ROUND;
                let r = (x - k * LN2_HI) - k * LN2_LO;
                (n, r + r * r * poly(r, EXP))
            }

            #[inline(always)]
            pub fn exp(x: $t) -> $t {
                let (n, p) = reduce(hold(x, EXP_LOWEST, EXP_HIGHEST));
                // In two steps, because 2ⁿ alone may leave the normal numbers at both ends.
                let half = n >> 1;
                (1.0 + p) * power(half) * power(n.wrapping_sub(half))
            }

            #[inline(always)]
            pub fn exp_m1(x: $t) -> $t {
                let (n, p) = reduce(hold(x, -ONE_ROUNDS, EXP_HIGHEST));
                let half = n >> 1;
                let rest = n.wrapping_sub(half);
                // (p + 1 − 2⁻ⁿ)·2ⁿ
                (p + (1.0 - power((2 * BIAS).wrapping_sub(half)) * power((2 * BIAS).wrapping_sub(rest))))
                    * power(half)
                    * power(rest)
            }

            /// e^x for x ≤ 0 where what lies below the normal numbers may be 0.
            #[inline(always)]
            fn decay(x: $t) -> $t {
                let (n, p) = reduce(if x < DECAY_LOWEST { DECAY_LOWEST } else { x });
                let y = (1.0 + p) * power(n.wrapping_sub(BIAS));
                if x < DECAY_LOWEST { 0.0 } else { y }
            }

            #[inline(always)]
            pub fn logistic(x: $t) -> $t {
                let e = decay(-x.abs());
                (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
            }

            #[inline(always)]
            pub fn tanh(x: $t) -> $t {
                let a = x.abs();
                let a = if a > ONE_ROUNDS { ONE_ROUNDS } else { a };
                let (n, p) = reduce(a + a);
                // t = e^(2a) − 1; a is held low enough for one step.
                let two = power(n.wrapping_sub(BIAS));
                let t = two * p + (two - 1.0);
                (t / (t + 2.0)).copysign(x)
            }

            /// ln x + c for a normal x > 0.
            #[inline(always)]
            fn ln_normal(x: $t, k: $t, c: $t) -> $t {
                // x = 2ᵏ·m with √½ ≤ m < √2, f = m − 1.
                let bits = x.to_bits().wrapping_add((BIAS << M) - SQRT_HALF.to_bits());
                let m = $t::from_bits((bits & ((1 << M) - 1)) + SQRT_HALF.to_bits());
                let one = (1_u64 << M) as $t;
                let k = k + ($t::from_bits((bits >> M) | one.to_bits()) - (one + BIAS as $t));
                let f = m - 1.0;
                let s = f / (2.0 + f);
                let z = s * s;
                let half = 0.5 * f * f;
                k * LN2_HI - ((half - (s * (half + z * poly(z, LN)) + (k * LN2_LO + c))) - f)
            }

            /// The values of ln at and beyond the ends of its domain.
            #[inline(always)]
            fn ln_ends(x: $t, y: $t) -> $t {
                let y = if x > 0.0 { y } else { $t::NAN };
                let y = if x == 0.0 { $t::NEG_INFINITY } else { y };
                if x == $t::INFINITY { x } else { y }
            }

            #[inline(always)]
            pub fn ln(x: $t) -> $t {
                let small = x < $t::MIN_POSITIVE;
                let scaled = if small { x * (1_u64 << M) as $t } else { x };
                ln_ends(x, ln_normal(scaled, if small { -(M as $t) } else { 0.0 }, 0.0))
            }

            #[inline(always)]
            pub fn ln_1p(x: $t) -> $t {
                let w = 1.0 + x;
                // What the sum lost, relative to it.
                let lost = if w < 2.0 { x - (w - 1.0) } else { 1.0 - (w - x) };
                ln_ends(w, ln_normal(w, 0.0, lost / w))
            }

            /// erf a for a ≤ ½ and erfc a for a ≥ ½.
            #[inline(always)]
            fn erf_parts(a: $t) -> ($t, $t) {
                let z = a * a;
                let near = a + a * poly(z, ERF);
                // a² = z + lost: the last bits of z count a²-fold in e^(−a²).
                let high = $t::from_bits(a.to_bits() & HIGH);
                let low = a - high;
                let lost = ((high * high - z) + 2.0 * high * low) + low * low;
                let e = exp(-z);
                let e = e - e * lost;
                let t = 1.0 / ((a + 3.0) * (1.0 + 2.0 * a));
                let q = (a - 3.0) * (1.0 + 2.0 * a) * t;
                (near, e * (poly(q, ERFC) * (a + 3.0) * t))
            }

            #[inline(always)]
            pub fn erf(x: $t) -> $t {
                let a = x.abs();
                let (near, far) = erf_parts(if a > ERFC_LAST { ERFC_LAST } else { a });
                (if a < 0.5 { near } else { 1.0 - far }).copysign(x)
            }

            #[inline(always)]
            pub fn erfc(x: $t) -> $t {
                let a = x.abs();
                let (near, far) = erf_parts(if a > ERFC_LAST { ERFC_LAST } else { a });
                let near = 1.0 - if x < 0.0 { -near } else { near };
                let far = if x < 0.0 { 2.0 - far } else { far };
                if a < 0.5 { near } else { far }
            }
        }
    };
}
elementary!(f32, u32, single, single_tables);
elementary!(f64, u64, double, double_tables);

/// Tables of f32.
mod single_tables {
    /// ln 2 in two parts; products of the first with exponents are exact.
    pub const LN2_HI: f32 = 0.693_145_75;
    pub const LN2_LO: f32 = 1.428_606_8e-6;
    /// Below it eˣ rounds to 0, above the other it overflows.
    pub const EXP_LOWEST: f32 = -104.0;
    pub const EXP_HIGHEST: f32 = 89.0;
    /// From here on 1 − e⁻ˣ and tanh x round to 1.
    pub const ONE_ROUNDS: f32 = 18.0;
    /// ln of the smallest normal number.
    pub const DECAY_LOWEST: f32 = -87.336_54;
    /// Keeps the upper half of a mantissa.
    pub const HIGH: u32 = 0xffff_f000;
    /// Where erfc has long rounded to 0; end of the fit below.
    pub const ERFC_LAST: f32 = 11.0;
    /// (eʳ − 1 − r)/r² for |r| ≤ ½·ln 2.
    pub const EXP: [f32; 5] = [0.5, 0.166_665_76, 0.041_666_556, 0.008_363_179, 0.001_392_618_4];
    /// (2·artanh(s)/s − 2)/z with z = s² for s ≤ (√2 − 1)/(√2 + 1).
    pub const LN: [f32; 3] = [0.666_666_87, 0.399_887_77, 0.295_800_54];
    /// erf(x)/x − 1 in x² ≤ ¼.
    pub const ERF: [f32; 5] = [0.128_379_17, -0.376_126_08, 0.112_828_314, -0.026_757_732, 0.004_719_082_7];
    /// (1 + 2x)·e^(x²)·erfc x in (x − 3)/(x + 3) for ½ ≤ x ≤ 11.0.
    pub const ERFC: [f32; 10] = [
        1.253_008,
        -0.135_621_04,
        -0.047_562_104,
        0.129_642_77,
        -0.119_277_254,
        0.068_335_034,
        -0.023_744_337,
        0.002_409_873,
        0.001_803_365_4,
        -0.000_564_808_96,
    ];
}

/// Tables of f64.
mod double_tables {
    /// ln 2 in two parts; products of the first with exponents are exact.
    pub const LN2_HI: f64 = 0.693_147_180_559_663;
    pub const LN2_LO: f64 = 2.823_529_056_303_157_7e-13;
    /// Below it eˣ rounds to 0, above the other it overflows.
    pub const EXP_LOWEST: f64 = -746.0;
    pub const EXP_HIGHEST: f64 = 710.0;
    /// From here on 1 − e⁻ˣ and tanh x round to 1.
    pub const ONE_ROUNDS: f64 = 38.0;
    /// ln of the smallest normal number.
    pub const DECAY_LOWEST: f64 = -708.396_418_532_264_1;
    /// Keeps the upper half of a mantissa.
    pub const HIGH: u64 = 0xffff_ffff_f800_0000;
    /// Where erfc has long rounded to 0; end of the fit below.
    pub const ERFC_LAST: f64 = 28.0;
    /// (eʳ − 1 − r)/r² for |r| ≤ ½·ln 2.
    pub const EXP: [f64; 10] = [
        0.500_000_000_000_000_1,
        0.166_666_666_666_666_69,
        0.041_666_666_666_624_13,
        0.008_333_333_333_330_062,
        0.001_388_888_891_721_371_7,
        0.000_198_412_698_630_536_18,
        0.000_024_801_521_295_954_376,
        0.000_002_755_726_845_999_706_4,
        2.7620088445409746e-7,
        2.510038549551032e-8,
    ];
    /// (2·artanh(s)/s − 2)/z with z = s² for s ≤ (√2 − 1)/(√2 + 1).
    pub const LN: [f64; 7] = [
        0.666_666_666_666_667,
        0.399_999_999_998_994_44,
        0.285_714_286_260_032_7,
        0.222_222_111_302_598_78,
        0.181_828_894_556_749_47,
        0.153_317_106_182_107_73,
        0.146_165_854_248_886_23,
    ];
    /// erf(x)/x − 1 in x² ≤ ¼.
    pub const ERF: [f64; 9] = [
        0.128_379_167_095_512_56,
        -0.376_126_389_031_834_76,
        0.112_837_916_709_253_53,
        -0.026_866_170_632_887_928,
        0.005_223_977_373_021_47,
        -0.000_854_829_775_367_496_6,
        0.000_120_533_351_243_537_41,
        -0.000_014_845_849_259_707_869,
        0.000_001_472_586_548_055_674_4,
    ];
    /// (1 + 2x)·e^(x²)·erfc x in (x − 3)/(x + 3) for ½ ≤ x ≤ 28.0.
    pub const ERFC: [f64; 21] = [
        1.253_008_058_269_729_6,
        -0.135_621_106_124_580_84,
        -0.047_562_294_353_433_84,
        0.129_645_158_702_718_17,
        -0.119_273_663_416_375_91,
        0.068_308_027_345_574_02,
        -0.023_770_514_892_453_878,
        0.002_529_391_787_416_037,
        0.001_888_690_030_893_313_7,
        -0.000_779_831_978_767_074_9,
        -0.000_105_157_414_916_55,
        0.000_125_097_490_951_683_97,
        0.000_004_938_797_534_243_440_4,
        -0.000_020_092_983_304_588_6,
        -7.012462973163499e-7,
        0.000_003_452_519_701_615_304_4,
        3.0307407103093377e-7,
        -5.840747551910045e-7,
        -8.42551957399924e-8,
        7.124245030572795e-8,
        8.635681414307825e-9,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Real;

    /// |y − exact| in units of the last place of a `T` of the size of `exact`; 0 where y is as close as can be.
    fn ulps<T: Real>(y: T, exact: f64) -> f64 {
        if y == T::of(exact) || (y.to_f64().is_nan() && exact.is_nan()) {
            return 0.0;
        }
        if !exact.is_finite() {
            return f64::INFINITY;
        }
        let (digits, lowest) = if T::DTYPE == crate::DType::F32 { (24, -126) } else { (53, -1022) };
        let exponent = libm::ilogb(exact).max(lowest);
        (y.to_f64() - exact).abs() / libm::ldexp(1.0, exponent + 1 - digits)
    }

    /// The worst error over points spaced evenly in the bit pattern, both signs, all sizes, within [lo, hi].
    fn worst<T: Real>(f: impl Fn(T) -> T, exact: impl Fn(f64) -> f64, lo: f64, hi: f64) -> (f64, f64) {
        let mut worst = (0.0, 0.0);
        let mut try_one = |x: f64| {
            let x = T::of(x);
            if x.to_f64() >= lo && x.to_f64() <= hi {
                let exact = exact(x.to_f64());
                let error = ulps(f(x), exact);
                if error.is_nan() || error > worst.0 {
                    worst = (error, x.to_f64());
                }
            }
        };
        let n = 400_000;
        for i in 0..=n {
            let i = f64::from(i) / f64::from(n);
            try_one(lo.max(-1e3) + i * (hi.min(1e3) - lo.max(-1e3)));
            try_one(4.0 * i - 2.0);
            let size = (1400.0 * i - 740.0).exp();
            try_one(size);
            try_one(-size);
        }
        worst
    }

    /// Checks one function over [lo, hi] of each type. The reference for f64 is itself off by up to one unit.
    macro_rules! check {
        ($($name:ident: $f:ident, $exact:expr, $bound:expr, f32 [$lo:expr, $hi:expr], f64 [$lo64:expr, $hi64:expr];)*) => {$(
            #[test]
            fn $name() {
                let (error, x) = worst::<f32>(|x| Elementary::$f(x), $exact, $lo, $hi);
                assert!(error <= $bound, "f32: {error} units at {x:e}");
                let (error, x) = worst::<f64>(|x| Elementary::$f(x), $exact, $lo64, $hi64);
                assert!(error <= $bound + 1.0, "f64: {error} units at {x:e}");
            }
        )*};
    }
    check! {
        exp_is_close: exp, libm::exp, 1.5, f32 [-1e30, 1e30], f64 [-1e300, 1e300];
        exp_m1_is_close: exp_m1, libm::expm1, 2.0, f32 [-1e30, 1e30], f64 [-1e300, 1e300];
        ln_is_close: ln, libm::log, 1.0, f32 [-1e30, 1e38], f64 [-1e300, 1e308];
        ln_1p_is_close: ln_1p, libm::log1p, 1.0, f32 [-1e30, 1e38], f64 [-1e300, 1e308];
        tanh_is_close: tanh, libm::tanh, 3.0, f32 [-1e30, 1e30], f64 [-1e300, 1e300];
        logistic_is_close: logistic, |x| (if x < 0.0 { libm::exp(x) } else { 1.0 }) / (1.0 + libm::exp(-x.abs())), 2.5,
            f32 [DECAY.0, 1e30], f64 [DECAY.1, 1e300];
        erf_is_close: erf, libm::erf, 3.0, f32 [-1e30, 1e30], f64 [-1e300, 1e300];
        erfc_is_close: erfc, libm::erfc, 6.0, f32 [-1e30, 1e30], f64 [-1e300, 1e300];
    }
    /// Below these the logistic is below the normal numbers, where ours is 0.
    const DECAY: (f64, f64) = (-87.3, -708.3);

    fn ends<T: Real>() {
        let (nan, inf) = (T::of(f64::NAN), T::of(f64::INFINITY));
        let all: [fn(T) -> T; 8] = [T::exp, T::exp_m1, T::ln, T::ln_1p, T::tanh, T::logistic, T::erf, T::erfc];
        let table = |x: T| all.map(|f| f(x).to_f64());
        assert!(table(nan).iter().all(|y| y.is_nan()));
        let one = [f64::INFINITY, f64::INFINITY, f64::INFINITY, f64::INFINITY, 1.0, 1.0, 1.0, 0.0];
        assert_eq!(table(inf), one);
        let y = table(-inf);
        assert_eq!((y[0], y[1], y[4], y[5], y[6], y[7]), (0.0, -1.0, -1.0, 0.0, -1.0, 2.0));
        assert!(y[2].is_nan() && y[3].is_nan());
        for zero in [T::ZERO, -T::ZERO] {
            assert_eq!(table(zero), [1.0, 0.0, f64::NEG_INFINITY, 0.0, 0.0, 0.5, 0.0, 1.0]);
        }
        assert!(T::ln(-T::ONE).to_f64().is_nan() && T::ln_1p(T::of(-1.5)).to_f64().is_nan());
        assert_eq!(T::ln_1p(-T::ONE).to_f64(), f64::NEG_INFINITY);
        assert_eq!(T::logistic(T::of(-1e4)), T::ZERO);
        assert_eq!(T::logistic(T::of(1e4)), T::ONE);
    }

    #[test]
    fn ends_of_the_domains() {
        ends::<f32>();
        ends::<f64>();
        // Below the normal numbers: the smallest one, and the largest that is not normal.
        for x in [f32::from_bits(1), f32::from_bits(0x7f_ffff)] {
            assert!(ulps(Elementary::ln(x), libm::log(f64::from(x))) <= 1.0);
            assert_eq!([Elementary::exp_m1(x), Elementary::tanh(x), Elementary::ln_1p(x)], [x; 3]);
        }
    }
}
