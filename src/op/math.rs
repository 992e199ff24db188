//! The elementary functions of the hot loops.

/// The functions that [`Real`](crate::Real) types offer beyond arithmetic.
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

macro_rules! elementary {
    ($t:ident, $exp:ident, $expm1:ident, $log:ident, $log1p:ident, $tanh:ident, $erf:ident, $erfc:ident) => {
        impl Elementary for $t {
            #[inline(always)]
            fn exp(self) -> Self {
                libm::$exp(self)
            }
            #[inline(always)]
            fn exp_m1(self) -> Self {
                libm::$expm1(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                libm::$log(self)
            }
            #[inline(always)]
            fn ln_1p(self) -> Self {
                libm::$log1p(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                libm::$tanh(self)
            }
            #[inline(always)]
            fn logistic(self) -> Self {
                1.0 / (1.0 + libm::$exp(-self))
            }
            #[inline(always)]
            fn erf(self) -> Self {
                libm::$erf(self)
            }
            #[inline(always)]
            fn erfc(self) -> Self {
                libm::$erfc(self)
            }
        }
    };
}
elementary!(f32, expf, expm1f, logf, log1pf, tanhf, erff, erfcf);
elementary!(f64, exp, expm1, log, log1p, tanh, erf, erfc);
