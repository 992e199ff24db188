//! Local response normalisation across channels: with a = alpha/range and r = ⌊range/2⌋, at every position
//!
//! s(c) = k + a·Σ x(j)² over |j − c| ≤ r, y(c) = x(c)·s(c)^(−β);
//! dx(c) = dy(c)·s(c)^(−β) − 2aβ·x(c)·Σ dy(j)·x(j)·s(j)^(−β−1) over the same j.
//!
//! The sums stop at the first and the last channel, and alpha is divided by `range` there too.
//!
//! # Source
//! Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional neural networks", section 3.3.

use super::{Fields, Layer, Pass, Planned, fields, one};
use crate::device::{Cpu, Device, Divisor, Grid, Kernel, MAX_SIZE, Ptr, Source, per_isa};
use crate::memory::{GradMode, Io, Planner, Slot, Step};
use crate::{Error, Extent, Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// Divides each channel by a power of the energy in its neighbours.
///
/// # Shapes
/// The output has the extent of the input.
///
/// # Errors
/// Refused at planning: a range of 0, k ≤ 0, alpha < 0, beta < 0, and what is not finite.
///
/// # Examples
/// ```
/// use kamacite::layer::Lrn;
/// let alexnet = Lrn::new(5).k(2.0).alpha(5e-4).beta(0.75);
/// # let _ = alexnet;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lrn {
    range: usize,
    k: f64,
    alpha: f64,
    beta: f64,
}

impl Lrn {
    /// A window of ⌊range/2⌋ channels on both sides (an odd range is the width of the window), with k = 1,
    /// alpha = 10⁻⁴ and beta = 0.75.
    pub const fn new(range: usize) -> Self {
        Self { range, k: 1.0, alpha: 1e-4, beta: 0.75 }
    }

    /// The constant term.
    #[must_use]
    pub const fn k(mut self, k: f64) -> Self {
        self.k = k;
        self
    }

    /// The weight of the mean square of the window.
    #[must_use]
    pub const fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// The exponent.
    #[must_use]
    pub const fn beta(mut self, beta: f64) -> Self {
        self.beta = beta;
        self
    }

    fn numbers(&self, c: usize) -> Result<Numbers> {
        let at_least = |name: &str, value: f64, fits: bool, least: &str| match value.is_finite() && fits {
            true => Ok(()),
            false => Err(Error::value(name, "out of range").expected(least).got(value)),
        };
        at_least("range", self.range as f64, self.range > 0, "at least 1")?;
        at_least("k", self.k, self.k > 0.0, "a number above 0")?;
        at_least("alpha", self.alpha, self.alpha >= 0.0, "at least 0")?;
        at_least("beta", self.beta, self.beta >= 0.0, "at least 0")?;
        let reach = (self.range / 2).min(c - 1);
        Ok(Numbers { c, reach, k: self.k, a: self.alpha / self.range as f64, beta: self.beta })
    }
}

impl Layer for Lrn {
    fn kind(&self) -> &'static str {
        "lrn"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let x = one(x)?;
        let numbers = self.numbers(x.c)?;
        if x.c > MAX_SIZE && matches!(p.device(), Device::Cuda(_)) {
            return Err(Error::shape("", "too many channels for a GPU").expected(format!("at most {MAX_SIZE}")).got(x.c));
        }
        let (forward, backward) = (p.typed_kernel(&LRN, "lrn_forward")?, p.typed_kernel(&LRN, "lrn_backward")?);
        Ok(Planned::new(x, LrnPass { numbers, s: p.saved(p.master(), x.len()), forward, backward }).reads_x())
    }
}

#[derive(Clone, Copy, Debug)]
struct Numbers {
    c: usize,
    reach: usize,
    k: f64,
    a: f64,
    beta: f64,
}

impl Numbers {
    /// Values in one task: some 10 µs at one power each.
    fn chunk(&self) -> usize {
        ((1 << 13) / self.c).max(1) * self.c
    }
}

#[derive(Debug)]
struct LrnPass {
    numbers: Numbers,
    /// s(c) of every value.
    s: Slot,
    forward: Kernel<LrnForwardArgs>,
    backward: Kernel<LrnBackwardArgs>,
}

impl Pass for LrnPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let (x, mut sums, mut y) = (s.read::<T>(io.x[0])?, s.write::<T>(self.s)?, s.write::<T>(io.y)?);
                forward(cpu, self.numbers, &x, &mut sums, &mut y);
            }),
            Device::Cuda(cuda) => {
                let (m, n) = (self.numbers, s.len(io.y)?);
                let args = LrnForwardArgs {
                    x: s.ptr(io.x[0])?,
                    s: s.ptr(self.s)?,
                    y: s.ptr(io.y)?,
                    n: n as u64,
                    c: Divisor::new(m.c),
                    reach: m.reach as u32,
                    k: m.k as f32,
                    a: m.a as f32,
                    beta: m.beta as f32,
                    unused: 0,
                };
                self.forward.launch(cuda, Grid::cover(n), &args)?;
            }
        }
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let Some((dx, mode)) = io.dx[0] else { return Ok(()) };
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let (x, sums) = (s.read::<T>(io.x[0])?, s.read::<T>(self.s)?);
                let (mut dy, mut dx) = (s.write::<T>(io.dy)?, s.write::<T>(dx)?);
                backward(cpu, self.numbers, &x, &sums, &mut dy, mode, &mut dx);
            }),
            Device::Cuda(cuda) => {
                let (m, n) = (self.numbers, s.len(dx)?);
                let args = LrnBackwardArgs {
                    x: s.ptr(io.x[0])?,
                    s: s.ptr(self.s)?,
                    dy: s.ptr(io.dy)?,
                    dx: s.ptr(dx)?,
                    n: n as u64,
                    c: Divisor::new(m.c),
                    reach: m.reach as u32,
                    factor: (-2.0 * m.a * m.beta) as f32,
                    beta: m.beta as f32,
                    add: u32::from(mode == GradMode::Add),
                    unused: 0,
                };
                self.backward.launch(cuda, Grid::cover(n), &args)?;
            }
        }
        Ok(())
    }
}

const LRN: Source = Source::new("lrn", include_str!("../../kernels/lrn.cu"));

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct LrnForwardArgs {
    x: Ptr,
    s: Ptr,
    y: Ptr,
    n: u64,
    c: Divisor,
    reach: u32,
    k: f32,
    a: f32,
    beta: f32,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct LrnBackwardArgs {
    x: Ptr,
    s: Ptr,
    dy: Ptr,
    dx: Ptr,
    n: u64,
    c: Divisor,
    reach: u32,
    factor: f32,
    beta: f32,
    add: u32,
    unused: u32,
}

fn forward<T: Real>(cpu: &Cpu, n: Numbers, x: &[T], s: &mut [T], y: &mut [T]) {
    cpu.split(n.chunk(), (x, s, y), |_, (x, s, y)| {
        sums(cpu, n, x, s);
        powers(cpu, n.beta, s, y);
        scale(cpu, x, y);
    });
}

/// Overwrites dy.
fn backward<T: Real>(cpu: &Cpu, n: Numbers, x: &[T], s: &[T], dy: &mut [T], mode: GradMode, dx: &mut [T]) {
    cpu.split(n.chunk(), (x, s, dy, dx), |_, (x, s, dy, dx)| gradient(cpu, n, x, s, dy, mode, dx));
}

/// Calls `f(own, other)` with the ranges of channels that are `offset` apart, for every offset in the window.
#[inline(always)]
fn neighbours(n: Numbers, mut f: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>)) {
    f(0..n.c, 0..n.c);
    for offset in 1..=n.reach {
        f(offset..n.c, 0..n.c - offset);
        f(0..n.c - offset, offset..n.c);
    }
}

/// s^(−β); the usual exponents without a logarithm.
#[inline(always)]
fn power<T: Real>(beta: f64, s: T) -> T {
    if beta == 0.75 {
        T::ONE / (s.sqrt() * s.sqrt().sqrt())
    } else if beta == 0.5 {
        T::ONE / s.sqrt()
    } else if beta == 1.0 {
        T::ONE / s
    } else {
        (T::of(-beta) * s.ln()).exp()
    }
}

per_isa! {
    /// Whole positions of s(c).
    fn sums<T: Real>(cpu: &Cpu, n: Numbers, x: &[T], s: &mut [T]) {
        let (k, a) = (T::of(n.k), T::of(n.a));
        for (x, s) in x.chunks_exact(n.c).zip(s.chunks_exact_mut(n.c)) {
            s.fill(k);
            neighbours(n, |own, other| {
                s[own].iter_mut().zip(&x[other]).for_each(|(s, x)| *s += a * *x * *x);
            });
        }
    }
}

per_isa! {
    /// p = s^(−β)
    fn powers<T: Real>(cpu: &Cpu, beta: f64, s: &[T], p: &mut [T]) {
        p.iter_mut().zip(s).for_each(|(p, s)| *p = power(beta, *s));
    }
}

per_isa! {
    /// y *= x
    fn scale<T: Real>(cpu: &Cpu, x: &[T], y: &mut [T]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y *= *x);
    }
}

per_isa! {
    /// Whole positions of dx; dy becomes dy·x·s^(−β−1).
    fn gradient<T: Real>(cpu: &Cpu, n: Numbers, x: &[T], s: &[T], dy: &mut [T], mode: GradMode, dx: &mut [T]) {
        let own = |((dx, dy), (x, s)): ((&mut T, &mut T), (&T, &T))| {
            let g = *dy * power(n.beta, *s);
            *dx = if mode == GradMode::Write { g } else { *dx + g };
            *dy = g * *x / *s;
        };
        dx.iter_mut().zip(dy.iter_mut()).zip(x.iter().zip(s)).for_each(own);
        let factor = T::of(-2.0 * n.a * n.beta);
        for ((dx, t), x) in dx.chunks_exact_mut(n.c).zip(dy.chunks_exact(n.c)).zip(x.chunks_exact(n.c)) {
            neighbours(n, |own, other| {
                dx[own.clone()].iter_mut().zip(&x[own]).zip(&t[other]).for_each(|((dx, x), t)| *dx += factor * *x * *t);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    /// y of one position by the definition.
    fn naive(layer: &Lrn, x: &[f64]) -> Vec<f64> {
        let y = |c: usize| {
            let r = layer.range / 2;
            let window = &x[c.saturating_sub(r)..(c + r + 1).min(x.len())];
            let s = layer.k + layer.alpha / layer.range as f64 * window.iter().map(|x| x * x).sum::<f64>();
            x[c] / s.powf(layer.beta)
        };
        (0..x.len()).map(y).collect()
    }

    fn layers() -> Vec<Lrn> {
        vec![
            Lrn::new(5).alpha(1.0).beta(0.5),
            Lrn::new(3).k(2.0).alpha(0.7),
            Lrn::new(4).alpha(2.0).beta(1.0),
            Lrn::new(1).alpha(0.3).beta(1.7),
            Lrn::new(1000).alpha(3.0).beta(0.9),
        ]
    }

    #[test]
    fn forward_follows_the_definition_in_both_precisions() -> Result<()> {
        fn check<T: Real>(cpu: &Cpu, layer: &Lrn, c: usize) -> Result<()> {
            let (n, positions) = (layer.numbers(c)?, 11);
            let mut r = Stream::new(2, Purpose::User, 0);
            let x: Vec<T> = (0..positions * c).map(|_| T::of(r.between(-2.0, 2.0))).collect();
            let (mut s, mut y) = (vec![T::ZERO; x.len()], vec![T::ZERO; x.len()]);
            forward(cpu, n, &x, &mut s, &mut y);
            let x: Vec<f64> = x.iter().map(|x| x.to_f64()).collect();
            let expected = x.chunks(c).flat_map(|x| naive(layer, x));
            // |y| ≤ 2, one rounding for each term of the sum, a dozen for the power.
            let bound = 2.0 * (2.0 * n.reach as f64 + 16.0) * T::EPSILON.to_f64();
            for (y, e) in y.iter().zip(expected) {
                assert!((y.to_f64() - e).abs() <= bound, "{layer:?}, {c} channels: {y}, expected {e}");
            }
            Ok(())
        }
        let cpu = Cpu::new(2)?;
        for layer in layers() {
            for c in [1, 7, 40] {
                check::<f32>(&cpu, &layer, c)?;
                check::<f64>(&cpu, &layer, c)?;
            }
        }
        Ok(())
    }

    #[test]
    fn backward_is_the_derivative() -> Result<()> {
        let cpu = Cpu::new(1)?;
        for layer in layers() {
            let c = 9;
            let n = layer.numbers(c)?;
            let mut r = Stream::new(4, Purpose::User, 0);
            let mut random = || (0..c).map(|_| r.between(-2.0, 2.0)).collect::<Vec<f64>>();
            let (x, dy) = (random(), random());
            let (mut s, mut y, mut dx) = (vec![0.0; c], vec![0.0; c], vec![1.0; c]);
            forward(&cpu, n, &x, &mut s, &mut y);
            backward(&cpu, n, &x, &s, &mut dy.clone(), GradMode::Add, &mut dx);
            for i in 0..c {
                let h = 1e-5;
                let value = |delta: f64| {
                    let mut x = x.clone();
                    x[i] += delta;
                    naive(&layer, &x).iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>()
                };
                let slope = (value(h) - value(-h)) / (2.0 * h);
                // h² times a third derivative of order 10, and the cancellation 10⁻¹⁵/h.
                assert!((dx[i] - 1.0 - slope).abs() < 2e-9, "{layer:?} dx[{i}] = {} + 1, expected {slope}", dx[i] - 1.0);
            }
        }
        Ok(())
    }

    /// PyTorch 2: `F.local_response_norm(tensor([[[1.], [2.], [3.], [4.]]]).double(), 3, alpha=1., beta=0.75, k=1.)`.
    #[test]
    fn odd_ranges_agree_with_pytorch() -> Result<()> {
        let x = [1.0_f64, 2.0, 3.0, 4.0];
        let (mut s, mut y) = ([0.0; 4], [0.0; 4]);
        forward(&Cpu::new(1)?, Lrn::new(3).alpha(1.0).numbers(4)?, &x, &mut s, &mut y);
        let expected = [0.47920732818470435, 0.5445455905129597, 0.5082761270305377, 0.7490872564325832];
        assert!(y.iter().zip(expected).all(|(y, e)| (y - e).abs() < 8.0 * f64::EPSILON), "{y:?}");
        Ok(())
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for layer in [
            Lrn::new(0),
            Lrn::new(3).k(0.0),
            Lrn::new(3).k(f64::NAN),
            Lrn::new(3).alpha(-1.0),
            Lrn::new(3).alpha(f64::INFINITY),
            Lrn::new(3).beta(-0.5),
        ] {
            assert!(layer.numbers(4).is_err(), "{layer:?}");
        }
        assert!(Lrn::new(usize::MAX).numbers(4).is_ok());
    }
}
