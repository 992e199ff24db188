//! Activations: y = f(x), and dx = dy·f′ from the saved output or input.
//!
//! Each has one definition of f and f′ (`Curve`), used by layers, fused epilogues and tests alike. At a kink f′ takes
//! the value of the flat (or leaky) side. NaN passes through.

use crate::device::{Cpu, per_isa};
use crate::{Error, Real, Result};
use serde::{Deserialize, Serialize};

/// An activation function, applied element by element ([`Activation::Softmax`]: position by position).
///
/// # Examples
/// ```
/// use kamacite::{Activation, LeakyRelu, Relu};
/// assert_eq!(Activation::default(), kamacite::Linear);
/// let act = Activation::leaky_relu(0.05);
/// assert_eq!(act, LeakyRelu { slope: 0.05, saturation: None });
/// assert_ne!(act, Relu);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Activation {
    /// y = x
    #[default]
    Linear,
    /// y = max(x, 0), y′(0) = 0
    Relu,
    /// y = slope·x for x ≤ 0, sat + slope·(x − sat) for x ≥ sat, x between; y′ = slope at both kinks.
    ///
    /// # Source
    /// The "RELU" of CIANNA, whose defaults are slope 0.05 and saturation 800.
    LeakyRelu {
        /// Slope below 0 and above the saturation; at least 0.
        slope: f64,
        /// Where the upper leak begins; `None` is never.
        saturation: Option<f64>,
    },
    /// y = x for x > 0, α(eˣ − 1) otherwise; y′(0) = α.
    ///
    /// # Source
    /// Clevert, Unterthiner & Hochreiter 2016, "Fast and accurate deep network learning by exponential linear units".
    Elu {
        /// −y at −∞; at least 0.
        alpha: f64,
    },
    /// y = λx for x > 0, λα(eˣ − 1) otherwise, with λ = 1.0507…, α = 1.6733…; y′(0) = λα.
    ///
    /// # Source
    /// Klambauer, Unterthiner, Mayr & Hochreiter 2017, "Self-normalizing neural networks".
    Selu,
    /// y = x·Φ(x), Φ(x) = ½·erfc(−x/√2), the exact form.
    ///
    /// # Source
    /// Hendrycks & Gimpel 2016, "Gaussian error linear units".
    Gelu,
    /// y = x/(1 + e⁻ˣ)
    ///
    /// # Source
    /// Elfwing, Uchibe & Doya 2018, "Sigmoid-weighted linear units for neural network function approximation".
    Silu,
    /// y = tanh x
    Tanh,
    /// y = 1/(1 + e⁻ˣ)
    Logistic,
    /// y = 1/(1 + exp(min(−slope·x, saturation))); y′ = slope·y·(1 − y), where saturated too.
    ///
    /// # Source
    /// The "LOGI" of CIANNA.
    ScaledLogistic {
        /// Factor on x.
        slope: f64,
        /// Upper bound of the exponent, which keeps y above 1/(1 + exp saturation); `None` is no bound.
        saturation: Option<f64>,
    },
    /// y = ln(1 + eˣ)
    Softplus,
    /// y_i = e^(x_i)/Σ_j e^(x_j) over the channels of each position.
    Softmax,
}

/// What the backward pass of an activation needs to have been kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// The output.
    Y,
    /// The input, because y does not determine y′.
    X,
}

impl Activation {
    /// The leaky ReLU without saturation.
    pub const fn leaky_relu(slope: f64) -> Self {
        Self::LeakyRelu { slope, saturation: None }
    }

    /// What `backward_in_place` wants as `saved`.
    pub const fn reads(self) -> Reads {
        match self {
            Self::Gelu | Self::Silu => Reads::X,
            _ => Reads::Y,
        }
    }

    /// Refuses parameters for which the function or its derivative from y makes no sense.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value).
    pub fn check(self) -> Result<()> {
        let check = |name: &str, value: f64, good: bool, range: &str| {
            if good {
                return Ok(());
            }
            Err(Error::value("activation", format!("{name} of {self:?}")).expected(range).got(value))
        };
        match self {
            Self::LeakyRelu { slope, saturation } => {
                check("slope", slope, slope.is_finite() && slope >= 0.0, "a finite number, at least 0")?;
                let saturation = saturation.unwrap_or(f64::INFINITY);
                check("saturation", saturation, saturation > 0.0, "above 0")
            }
            Self::Elu { alpha } => check("alpha", alpha, alpha.is_finite() && alpha >= 0.0, "a finite number, at least 0"),
            Self::ScaledLogistic { slope, saturation } => {
                check("slope", slope, slope.is_finite() && slope > 0.0, "a finite number above 0")?;
                let saturation = saturation.unwrap_or(f64::INFINITY);
                check("saturation", saturation, !saturation.is_nan(), "a number")
            }
            _ => Ok(()),
        }
    }
}

/// λ and α of [`Activation::Selu`]: the values for which mean 0 and variance 1 are a fixed point.
pub(super) const SELU: (f64, f64) = (1.050_700_987_355_480_5, 1.673_263_242_354_377_2);

/// One activation with its parameters in the type it computes in.
trait Curve<T>: Copy {
    /// y
    fn f(self, x: T) -> T;
    /// y′ from x or y, as [`Activation::reads`] says.
    fn slope(self, saved: T) -> T;
}

macro_rules! curve {
    ($(#[$meta:meta])* $name:ident $({ $($field:ident),* })?, $x:ident => $f:expr, $saved:ident => $slope:expr) => {
        $(#[$meta])*
        #[derive(Clone, Copy)]
        struct $name<T> { $($($field: T,)*)? _type: std::marker::PhantomData<T> }
        impl<T: Real> $name<T> {
            #[inline(always)]
            fn new($($($field: f64),*)?) -> Self { Self { $($($field: T::of($field),)*)? _type: std::marker::PhantomData } }
        }
        impl<T: Real> Curve<T> for $name<T> {
            #[inline(always)]
            fn f(self, $x: T) -> T {
                $(let Self { $($field,)* .. } = self;)?
                $f
            }
            #[inline(always)]
            #[allow(unused_variables)]
            fn slope(self, $saved: T) -> T {
                $(let Self { $($field,)* .. } = self;)?
                $slope
            }
        }
    };
}

curve!(ReluCurve, x => if x < T::ZERO { T::ZERO } else { x }, y => if y > T::ZERO { T::ONE } else { T::ZERO });
curve!(LeakyCurve { leak, sat },
    x => if x <= T::ZERO { leak * x } else if x > sat { sat + (x - sat) * leak } else { x },
    y => if y <= T::ZERO || y >= sat { leak } else { T::ONE });
curve!(EluCurve { scale, alpha },
    x => scale * if x > T::ZERO { x } else { alpha * x.exp_m1() },
    y => if y > T::ZERO { scale } else { y + scale * alpha });
curve!(GeluCurve,
    x => x * normal_cdf(x),
    x => normal_cdf(x) + x * T::of(0.398_942_280_401_432_7) * (T::of(-0.5) * x * x).exp());
curve!(SiluCurve, x => x * x.logistic(), x => { let s = x.logistic(); s * (T::ONE + x * (T::ONE - s)) });
curve!(TanhCurve, x => x.tanh(), y => T::ONE - y * y);
curve!(LogisticCurve, x => x.logistic(), y => y * (T::ONE - y));
curve!(ScaledLogisticCurve { slope, sat },
    x => { let z = -slope * x; (-if z > sat { sat } else { z }).logistic() },
    y => slope * y * (T::ONE - y));
curve!(SoftplusCurve, x => if x > T::ZERO { x } else { T::ZERO } + (-x.abs()).exp().ln_1p(), y => -(-y).exp_m1());

/// Φ(x) = ½·erfc(−x/√2), accurate relative to its size in the lower tail too.
#[inline(always)]
fn normal_cdf<T: Real>(x: T) -> T {
    T::of(0.5) * (x * T::of(-std::f64::consts::FRAC_1_SQRT_2)).erfc()
}

/// Runs a block with `curve` bound to the curve of an element-wise activation, or the other block.
macro_rules! with_curve {
    ($act:expr, $curve:ident => $body:expr, linear => $linear:expr, softmax => $softmax:expr $(,)?) => {{
        macro_rules! run {
            ($made:expr) => {{
                let $curve = $made;
                $body
            }};
        }
        match $act {
            Activation::Linear => $linear,
            Activation::Relu => run!(ReluCurve::<T>::new()),
            Activation::LeakyRelu { slope, saturation } => run!(LeakyCurve::<T>::new(slope, saturation.unwrap_or(f64::INFINITY))),
            Activation::Elu { alpha } => run!(EluCurve::<T>::new(1.0, alpha)),
            Activation::Selu => run!(EluCurve::<T>::new(SELU.0, SELU.1)),
            Activation::Gelu => run!(GeluCurve::<T>::new()),
            Activation::Silu => run!(SiluCurve::<T>::new()),
            Activation::Tanh => run!(TanhCurve::<T>::new()),
            Activation::Logistic => run!(LogisticCurve::<T>::new()),
            Activation::ScaledLogistic { slope, saturation } => {
                run!(ScaledLogisticCurve::<T>::new(slope, saturation.unwrap_or(f64::INFINITY)))
            }
            Activation::Softplus => run!(SoftplusCurve::<T>::new()),
            Activation::Softmax => $softmax,
        }
    }};
}

/// Elements of one task, about: some microseconds of work even for the ReLU.
const CHUNK: usize = 1 << 15;

/// A whole number of positions in about [`CHUNK`] elements.
pub(crate) fn chunk(c: usize) -> usize {
    (CHUNK / c).max(1) * c
}

/// y = f(x); `c` channels are innermost in both.
pub(crate) fn forward<T: Real>(cpu: &Cpu, act: Activation, x: &[T], y: &mut [T], c: usize) {
    cpu.split(chunk(c), (x, y), |_, (x, y)| {
        y.copy_from_slice(x);
        in_place_chunk(cpu, act, y, c);
    });
}

/// y ← f(y); `c` channels are innermost.
pub(crate) fn forward_in_place<T: Real>(cpu: &Cpu, act: Activation, y: &mut [T], c: usize) {
    if act != Activation::Linear {
        cpu.split(chunk(c), y, |_, y| in_place_chunk(cpu, act, y, c));
    }
}

/// dy ← dy·f′, which makes it the gradient before the activation; `saved` is x or y as [`Activation::reads`] says.
pub(crate) fn backward_in_place<T: Real>(cpu: &Cpu, act: Activation, saved: &[T], dy: &mut [T], c: usize) {
    if act != Activation::Linear {
        cpu.split(chunk(c), (saved, dy), |_, (saved, dy)| backward_chunk(cpu, act, saved, dy, c));
    }
}

per_isa! {
    fn in_place_chunk<T: Real>(cpu: &Cpu, act: Activation, y: &mut [T], c: usize) {
        with_curve!(act,
            curve => for y in y { *y = curve.f(*y) },
            linear => {},
            softmax => softmax(y, c),
        );
    }
}

per_isa! {
    fn backward_chunk<T: Real>(cpu: &Cpu, act: Activation, saved: &[T], dy: &mut [T], c: usize) {
        with_curve!(act,
            curve => for (dy, saved) in dy.iter_mut().zip(saved) { *dy *= curve.slope(*saved) },
            linear => {},
            softmax => softmax_backward(saved, dy, c),
        );
    }
}

/// y_i ← e^(y_i − m)/Σ_j e^(y_j − m) with m = max_j y_j, in each group of `c`.
#[inline(always)]
fn softmax<T: Real>(y: &mut [T], c: usize) {
    centred_exp(y, c);
    for y in y.chunks_exact_mut(c) {
        let sum = lanes(y, |y| y);
        for y in y.iter_mut() {
            *y = *y / sum;
        }
    }
}

/// y_i ← e^(y_i − m) with m = max_j y_j, in each group of `c`.
#[inline(always)]
pub(crate) fn centred_exp<T: Real>(y: &mut [T], c: usize) {
    for y in y.chunks_exact_mut(c) {
        let m = lane_max(y);
        for y in y.iter_mut() {
            *y -= m;
        }
    }
    // One loop over all groups, so that it fills vectors when c is small.
    for y in y.iter_mut() {
        *y = y.exp();
    }
}

/// Accumulators of a sum or maximum along a slice: independent, so that the loop fills vectors.
const LANES: usize = 16;

/// Σ f(xᵢ)
#[inline(always)]
pub(crate) fn lanes<T: Real>(x: &[T], f: impl Fn(T) -> T) -> T {
    let mut sums = [T::ZERO; LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for x in blocks {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += f(*x);
        }
    }
    let tail = rest.iter().fold(T::ZERO, |sum, x| sum + f(*x));
    if blocks.is_empty() { tail } else { sums.iter().fold(tail, |sum, x| sum + *x) }
}

/// max xᵢ, NaN aside.
#[inline(always)]
pub(crate) fn lane_max<T: Real>(x: &[T]) -> T {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut tops = [T::LOWEST; LANES];
    for x in blocks {
        for (top, x) in tops.iter_mut().zip(x) {
            *top = if *x > *top { *x } else { *top };
        }
    }
    let top = rest.iter().fold(T::LOWEST, |top, x| if *x > top { *x } else { top });
    if blocks.is_empty() { top } else { tops.iter().fold(top, |top, x| if *x > top { *x } else { top }) }
}

/// dx_i = y_i·(dy_i − Σ_j y_j dy_j) in each group of `c`.
#[inline(always)]
fn softmax_backward<T: Real>(y: &[T], dy: &mut [T], c: usize) {
    for (y, dy) in y.chunks_exact(c).zip(dy.chunks_exact_mut(c)) {
        let dot = y.iter().zip(dy.iter()).fold(T::ZERO, |sum, (y, dy)| sum + *y * *dy);
        for (dy, y) in dy.iter_mut().zip(y) {
            *dy = *y * (*dy - dot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Isa;

    const ALL: [Activation; 14] = [
        Activation::Linear,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.05, saturation: Some(2.0) },
        Activation::LeakyRelu { slope: 0.0, saturation: Some(1.5) },
        Activation::leaky_relu(0.1),
        Activation::Elu { alpha: 0.7 },
        Activation::Selu,
        Activation::Gelu,
        Activation::Silu,
        Activation::Tanh,
        Activation::Logistic,
        Activation::ScaledLogistic { slope: 1.5, saturation: Some(40.0) },
        Activation::Softplus,
        Activation::Softmax,
    ];

    /// Σ_i g_i·f(x)_i, whose gradient the backward pass computes for dy = g.
    fn probe(cpu: &Cpu, act: Activation, x: &[f64], g: &[f64], c: usize) -> f64 {
        let mut y = vec![0.0; x.len()];
        forward(cpu, act, x, &mut y, c);
        y.iter().zip(g).map(|(y, g)| y * g).sum()
    }

    #[test]
    fn backward_is_the_derivative_of_forward() {
        let cpu = Cpu::new(1).unwrap();
        let c = 5;
        // No kink (0, 1.5, 2) within a step of a point.
        let x: Vec<f64> = (0..60).map(|i| f64::from(i) * 0.19 - 5.63).collect();
        let g: Vec<f64> = (0..60).map(|i| (f64::from(i) * 1.7).sin()).collect();
        for act in ALL {
            let mut y = vec![0.0; x.len()];
            forward(&cpu, act, &x, &mut y, c);
            let mut dx = g.clone();
            backward_in_place(&cpu, act, if act.reads() == Reads::X { &x } else { &y }, &mut dx, c);
            for i in 0..x.len() {
                let h = 1e-5;
                let at = |d: f64| {
                    let mut x = x.clone();
                    x[i] += d;
                    probe(&cpu, act, &x, &g, c)
                };
                let difference = (at(h) - at(-h)) / (2.0 * h);
                // h²·f‴/6 with f‴ below 6, and the rounding of a sum of 60 terms of size below 10 divided by 2h.
                let tolerance = h * h + 60.0 * 10.0 * f64::EPSILON / h;
                assert!((dx[i] - difference).abs() < tolerance, "{act:?} at {}: {} and {difference}", x[i], dx[i]);
            }
        }
    }

    #[test]
    fn in_place_is_the_same_and_nan_passes() {
        let cpu = Cpu::new(1).unwrap();
        for act in ALL {
            let x: Vec<f32> = (0..32).map(|i| if i == 7 { f32::NAN } else { (i as f32 - 16.0) * 0.4 }).collect();
            let (mut y, mut z) = (vec![0.0; 32], x.clone());
            forward(&cpu, act, &x, &mut y, 4);
            forward_in_place(&cpu, act, &mut z, 4);
            assert!(y[7].is_nan(), "{act:?}");
            assert!(y.iter().zip(&z).all(|(y, z)| y.to_bits() == z.to_bits() || y.is_nan() && z.is_nan()), "{act:?}");
        }
    }

    #[test]
    fn bits_depend_on_neither_threads_nor_instruction_set() {
        let c = 7;
        let x: Vec<f32> = (0..3 * CHUNK / c * c).map(|i| (i as f32 * 0.37).sin() * 9.0).collect();
        let g: Vec<f32> = x.iter().map(|x| 1.0 - x).collect();
        for act in ALL {
            let run = |cpu: &Cpu| {
                let (mut y, mut dx) = (vec![0.0; x.len()], g.clone());
                forward(cpu, act, &x, &mut y, c);
                backward_in_place(cpu, act, if act.reads() == Reads::X { &x } else { &y }, &mut dx, c);
                y.iter().chain(&dx).map(|v| v.to_bits()).collect::<Vec<_>>()
            };
            let one = run(&Cpu::with_isa(1, Isa::Portable).unwrap());
            for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
                assert!(one == run(&Cpu::with_isa(3, isa).unwrap()), "{act:?} {isa}");
            }
        }
    }

    #[test]
    fn kinks_and_limits() {
        let cpu = Cpu::new(1).unwrap();
        let act = Activation::LeakyRelu { slope: 0.25, saturation: Some(2.0) };
        let mut y = [-4.0, 0.0, 1.0, 2.0, 6.0];
        forward_in_place(&cpu, act, &mut y, 1);
        assert_eq!(y, [-1.0, 0.0, 1.0, 2.0, 3.0]);
        let mut dy = [1.0_f64; 5];
        backward_in_place(&cpu, act, &y, &mut dy, 1);
        assert_eq!(dy, [0.25, 0.25, 1.0, 0.25, 0.25]);

        let mut y = [-9.0_f64, 9.0];
        forward_in_place(&cpu, Activation::ScaledLogistic { slope: 1.5, saturation: Some(2.0) }, &mut y, 1);
        approx::assert_relative_eq!(y[0], 1.0 / (1.0 + 2_f64.exp()), max_relative = 1e-15);
        approx::assert_relative_eq!(y[1], 1.0 / (1.0 + (-13.5_f64).exp()), max_relative = 1e-15);

        let mut y = [1e4_f32, -1e4, 1e4, 1e4];
        forward_in_place(&cpu, Activation::Softmax, &mut y, 2);
        assert_eq!(y, [1.0, 0.0, 0.5, 0.5]);
        for act in [Activation::Softplus, Activation::Silu, Activation::Gelu] {
            let mut y = [1e4_f32, -1e4];
            forward_in_place(&cpu, act, &mut y, 1);
            assert_eq!(y, [1e4, 0.0], "{act:?}");
        }
    }

    #[test]
    fn saved_form_keeps_an_infinite_saturation() {
        for act in ALL {
            let text = serde_json::to_string(&act).unwrap();
            assert_eq!(serde_json::from_str::<Activation>(&text).unwrap(), act, "{text}");
        }
        assert_eq!(serde_json::to_string(&Activation::Relu).unwrap(), "\"Relu\"");
    }

    #[test]
    fn senseless_parameters_are_refused() {
        let bad = [
            Activation::leaky_relu(-0.1),
            Activation::leaky_relu(f64::NAN),
            Activation::LeakyRelu { slope: 0.1, saturation: Some(0.0) },
            Activation::Elu { alpha: f64::INFINITY },
            Activation::ScaledLogistic { slope: 0.0, saturation: None },
        ];
        for act in bad {
            assert_eq!(act.check().unwrap_err().kind(), crate::ErrorKind::Value, "{act:?}");
        }
        assert!(ALL.iter().all(|act| act.check().is_ok()));
    }
}
