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

/// y = f(x).
///
/// # Shapes
/// x and y: any number of values, [`Activation::Softmax`] in groups of `channels`; the others do not look at `channels`.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for unequal lengths, and for a softmax over no whole number of groups;
/// [`ErrorKind::Value`](crate::ErrorKind::Value) for what [`Activation::check`] refuses.
///
/// # Examples
/// ```
/// use kamacite::op::activation::{apply, gradient_in_place};
/// use kamacite::{Cpu, Tanh};
/// let cpu = Cpu::new(1)?;
/// let (x, mut y, mut d) = ([-1.0_f64, 0.0, 2.0], [0.0; 3], [1.0; 3]);
/// apply(&cpu, Tanh, &x, &mut y, 1)?;
/// gradient_in_place(&cpu, Tanh, &y, &mut d, 1)?; // from dy = 1: the derivative, 1 - y²
/// assert!((0..3).all(|i| (y[i] - x[i].tanh()).abs() < 1e-12 && d[i] == 1.0 - y[i] * y[i]));
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn apply<T: Real>(cpu: &Cpu, act: Activation, x: &[T], y: &mut [T], channels: usize) -> Result<()> {
    let c = act.groups(x.len(), y.len(), channels)?;
    forward(cpu, act, x, y, c);
    Ok(())
}

/// y ← f(y), as [`apply`].
///
/// # Errors
/// As [`apply`].
pub fn apply_in_place<T: Real>(cpu: &Cpu, act: Activation, y: &mut [T], channels: usize) -> Result<()> {
    let c = act.groups(y.len(), y.len(), channels)?;
    forward_in_place(cpu, act, y, c);
    Ok(())
}

/// dy ← dy·f′: the gradient wrt y becomes the one wrt x. `saved` is x or y, as [`Activation::reads`] says.
///
/// # Shapes
/// As [`apply`].
///
/// # Errors
/// As [`apply`].
pub fn gradient_in_place<T: Real>(cpu: &Cpu, act: Activation, saved: &[T], dy: &mut [T], channels: usize) -> Result<()> {
    let c = act.groups(saved.len(), dy.len(), channels)?;
    backward_in_place(cpu, act, saved, dy, c);
    Ok(())
}

impl Activation {
    /// The size of groups that these lengths may be cut into.
    fn groups(self, x: usize, y: usize, channels: usize) -> Result<usize> {
        self.check()?;
        if x != y {
            return Err(Error::shape("activation", "input and output differ in length").expected(x).got(y));
        }
        if self != Self::Softmax {
            return Ok(1);
        }
        if channels == 0 || !x.is_multiple_of(channels) {
            let expected = format!("groups of {channels} channels, at least one each");
            return Err(Error::shape("softmax", "no whole number of groups").expected(expected).got(format!("{x} values")));
        }
        Ok(channels)
    }
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

/// y ← f(y) for an activation that acts element by element; inlined, so that it takes the instruction set of its caller.
#[inline(always)]
pub(super) fn values<T: Real>(act: Activation, y: &mut [T]) {
    with_curve!(act, curve => for y in y { *y = curve.f(*y) }, linear => {}, softmax => {});
}

/// As [`values`], saved ← f′.
#[inline(always)]
pub(super) fn slopes<T: Real>(act: Activation, saved: &mut [T]) {
    with_curve!(act, curve => for s in saved { *s = curve.slope(*s) }, linear => {}, softmax => {});
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
mod tests;
