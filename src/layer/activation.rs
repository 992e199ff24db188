//! Activations as layers of their own: y = f(x), dx = dy·f′.
//!
//! PReLU has a trained slope for each channel k: y = x for x > 0, a_k·x otherwise; dx = dy for x > 0, a_k·dy otherwise;
//! da_k = Σ dy·x over the x ≤ 0 of channel k.
//!
//! # Source
//! PReLU: He, Zhang, Ren & Sun 2015, "Delving deep into rectifiers". The others: [`Activation`].

use super::{Fields, Layer, Part, Pass, Place, Planned, fields, one};
use crate::device::{Cpu, Cuda, Device, Divisor, Grid, Kernel, Ptr, per_isa};
use crate::memory::{Element, GradMode, Io, Param, ParamSpec, Planner, Slot, Step};
use crate::op::activation::{self, Activation, Reads};
use crate::op::activation_cuda::{ACTIVATION, ActivationKernels};
use crate::op::elementwise::copy_or_add;
use crate::op::reduce::{ColumnSums, Columns};
use crate::{DType, Error, Extent, Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An activation between layers: y = f(x). Most layers take one themselves, with `.act(..)`.
///
/// # Shapes
/// Any to the same. [`Activation::Softmax`] runs over the channels of each position.
///
/// # Errors
/// Planning refuses activations that [`Activation::check`] refuses.
///
/// # Examples
/// ```
/// use kamacite::layer::{Activate, Layer};
/// use kamacite::Softmax;
/// assert_eq!(Activate::new(Softmax).kind(), "activate");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activate {
    act: Activation,
}

impl Activate {
    /// The layer that applies `act`.
    pub const fn new(act: Activation) -> Self {
        Self { act }
    }
}

impl Layer for Activate {
    fn kind(&self) -> &'static str {
        "activate"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let x = one(x)?;
        self.act.check()?;
        let kernels = ActivationKernels::plan(self.act, x.c, p)?;
        let planned = Planned::new(x, ActivatePass { act: self.act, c: x.c, kernels });
        let planned = if self.act == Activation::Relu { planned.part(Part::Relu) } else { planned };
        Ok(match (self.act, self.act.reads()) {
            (Activation::Linear, _) => planned.place(Place::InPlace),
            (_, Reads::Y) => planned.place(Place::InPlace).reads_y(),
            (_, Reads::X) => planned.reads_x(),
        })
    }

    fn linear(&self) -> Option<Arc<dyn Layer>> {
        (self.act != Activation::Linear).then(|| Arc::new(Self::new(Activation::Linear)) as Arc<dyn Layer>)
    }
}

/// PReLU: y = x for x > 0, a·x otherwise, with a trained slope a for each channel.
///
/// # Shapes
/// Any to the same. Parameter `slope`: (c), or one element where it is shared.
///
/// # Errors
/// Planning refuses an initial slope that is not finite.
///
/// # Examples
/// ```
/// use kamacite::layer::{Layer, PRelu};
/// assert_eq!(PRelu::new().kind(), "prelu");
/// assert_ne!(PRelu::new(), PRelu::new().shared());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PRelu {
    shared: bool,
    slope: f64,
}

impl PRelu {
    /// One slope for each channel, 0.25 at first.
    pub const fn new() -> Self {
        Self { shared: false, slope: 0.25 }
    }

    /// One slope for all channels.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// The initial slope.
    #[must_use]
    pub fn slope(mut self, slope: f64) -> Self {
        self.slope = slope;
        self
    }
}

impl Default for PRelu {
    fn default() -> Self {
        Self::new()
    }
}

/// The most parts into which the sum for the slopes is cut.
const PARTS: usize = 16;
/// Partial sums of a shared slope.
const LANES: usize = 16;

impl Layer for PRelu {
    fn kind(&self) -> &'static str {
        "prelu"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let x = one(x)?;
        if !self.slope.is_finite() {
            return Err(Error::value("prelu", "initial slope").expected("a finite number").got(self.slope));
        }
        let (slopes, lanes) = if self.shared { (1, LANES) } else { (x.c, x.c) };
        let slope = p.param("slope", ParamSpec::norm(slopes, self.slope))?;
        let differentiable = p.mode().differentiable() && slope.dw.is_some();
        let cuda = matches!(p.device(), Device::Cuda(_)).then(|| CudaPRelu::plan(x, slopes, differentiable, p)).transpose()?;
        let sums = (differentiable && cuda.is_none()).then(|| p.scratch(DType::F64, PARTS * lanes));
        // From the capacity, not from the valid rows, so that a row always falls into the same part.
        let part = p.capacity().saturating_mul(x.len()).div_ceil(PARTS).next_multiple_of(lanes);
        Ok(Planned::new(x, PReluPass { c: x.c, slope, sums, part, lanes, cuda }).reads_x())
    }
}

#[derive(Debug)]
struct ActivatePass {
    act: Activation,
    c: usize,
    kernels: ActivationKernels,
}

impl Pass for ActivatePass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let x = io.x[0];
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                if io.y == x {
                    activation::forward_in_place(cpu, self.act, &mut s.write::<T>(x)?, self.c);
                } else {
                    activation::forward(cpu, self.act, &s.read::<T>(x)?, &mut s.write::<T>(io.y)?, self.c);
                }
            }),
            Device::Cuda(cuda) => self.kernels.forward(cuda, s.ptr(x)?, s.ptr(io.y)?, s.len(io.y)?)?,
        }
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let Some(dx) = io.dx[0] else { return Ok(()) };
        if self.act != Activation::Linear {
            let saved = if self.act.reads() == Reads::X { io.x[0] } else { io.y };
            match s.device() {
                Device::Cpu(cpu) => real!(s.dtype(), T => {
                    activation::backward_in_place(cpu, self.act, &s.read::<T>(saved)?, &mut s.write::<T>(io.dy)?, self.c);
                }),
                Device::Cuda(cuda) => self.kernels.backward(cuda, s.ptr(saved)?, s.ptr(io.dy)?, s.len(io.dy)?)?,
            }
        }
        copy_or_add(s, io.dy, dx)
    }
}

#[derive(Debug)]
struct PReluPass {
    c: usize,
    slope: Param,
    /// [`PARTS`] rows of `lanes` partial sums.
    sums: Option<Slot>,
    /// Elements of one part.
    part: usize,
    lanes: usize,
    cuda: Option<CudaPRelu>,
}

impl Pass for PReluPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let (x, mut y, a) = (s.read::<T>(io.x[0])?, s.write::<T>(io.y)?, s.read::<T>(self.slope.w)?);
                y.copy_from_slice(&x);
                scale(cpu, self.c, &x, &a, &mut y);
            }),
            Device::Cuda(cuda) => self.on_cuda()?.scale(s, cuda, self.slope, io.x[0], (io.x[0], io.y))?,
        }
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => self.backward_cpu::<T>(cpu, s, io)),
            Device::Cuda(cuda) => {
                let on = self.on_cuda()?;
                on.slopes(s, cuda, self.slope, io)?;
                let Some(dx) = io.dx[0] else { return Ok(()) };
                on.scale(s, cuda, self.slope, io.x[0], (io.dy, io.dy))?;
                copy_or_add(s, io.dy, dx)
            }
        }
    }
}

impl PReluPass {
    fn on_cuda(&self) -> Result<&CudaPRelu> {
        self.cuda.as_ref().ok_or_else(|| Error::order("prelu", "planned for another device"))
    }

    fn backward_cpu<T: Real + Element>(&self, cpu: &Cpu, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let x = s.read::<T>(io.x[0])?;
        if let (Some((da, mode)), Some(sums)) = (s.grad(self.slope.dw), self.sums) {
            let (dy, mut sums) = (s.read::<T>(io.dy)?, s.write::<f64>(sums)?);
            slope_gradient(cpu, (self.part, self.lanes), &x, &dy, &mut sums, (&mut s.write::<T>(da)?, mode));
        }
        let Some(dx) = io.dx[0] else { return Ok(()) };
        // x decides, not y: a slope below 0 maps both signs to the same one.
        scale(cpu, self.c, &x, &s.read::<T>(self.slope.w)?, &mut s.write::<T>(io.dy)?);
        copy_or_add(s, io.dy, dx)
    }
}

/// The kernels of a PReLU and the sums for its slopes.
#[derive(Debug)]
struct CudaPRelu {
    slopes: usize,
    scale: Kernel<PReluArgs>,
    gradient: Option<(ColumnSums, Kernel<PReluSlopesArgs>)>,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct PReluArgs {
    x: Ptr,
    from: Ptr,
    to: Ptr,
    slopes: Ptr,
    n: u64,
    c: Divisor,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct PReluSlopesArgs {
    to: Columns,
    x: Ptr,
    dy: Ptr,
}

impl CudaPRelu {
    fn plan(x: Extent, slopes: usize, differentiable: bool, p: &mut Planner<'_>) -> Result<Self> {
        let gradient = if differentiable {
            let sums = ColumnSums::plan(p.capacity().saturating_mul(x.len() / slopes), slopes, false, p)?;
            Some((sums, p.typed_kernel(&ACTIVATION, "prelu_slopes")?))
        } else {
            None
        };
        Ok(Self { slopes, scale: p.typed_kernel(&ACTIVATION, "prelu")?, gradient })
    }

    /// to = from where x > 0, a·from otherwise.
    fn scale(&self, s: &Step<'_>, cuda: &Cuda, slope: Param, x: Slot, (from, to): (Slot, Slot)) -> Result<()> {
        let n = s.len(x)?;
        let (x, from, to, slopes) = (s.ptr(x)?, s.ptr(from)?, s.ptr(to)?, s.ptr(slope.w)?);
        let args = PReluArgs { x, from, to, slopes, n: n as u64, c: Divisor::new(self.slopes), unused: 0 };
        self.scale.launch(cuda, Grid::cover(n.div_ceil(4)), &args)
    }

    /// da_k = Σ dy·x over x ≤ 0.
    fn slopes(&self, s: &Step<'_>, cuda: &Cuda, slope: Param, io: &Io<'_>) -> Result<()> {
        let (Some((da, mode)), Some((sums, kernel))) = (s.grad(slope.dw), &self.gradient) else { return Ok(()) };
        let (to, grid) = sums.columns(s, s.len(io.dy)? / self.slopes, (s.ptr(da)?, mode))?;
        kernel.launch(cuda, grid, &PReluSlopesArgs { to, x: s.ptr(io.x[0])?, dy: s.ptr(io.dy)? })
    }
}

/// v ← a·v where x ≤ 0.
fn scale<T: Real>(cpu: &Cpu, c: usize, x: &[T], a: &[T], v: &mut [T]) {
    cpu.split(activation::chunk(c), (x, v), |_, (x, v)| match a {
        [a] => scale_all(cpu, x, *a, v),
        _ => scale_channels(cpu, x, a, v),
    });
}

per_isa! {
    fn scale_all<T: Real>(cpu: &Cpu, x: &[T], a: T, v: &mut [T]) {
        for (v, x) in v.iter_mut().zip(x) {
            *v *= if *x <= T::ZERO { a } else { T::ONE };
        }
    }
}

per_isa! {
    fn scale_channels<T: Real>(cpu: &Cpu, x: &[T], a: &[T], v: &mut [T]) {
        for (v, x) in v.chunks_exact_mut(a.len()).zip(x.chunks_exact(a.len())) {
            for ((v, x), a) in v.iter_mut().zip(x).zip(a) {
                *v *= if *x <= T::ZERO { *a } else { T::ONE };
            }
        }
    }
}

/// da_k = Σ dy·x over x ≤ 0: a fixed number of parts, added in order.
fn slope_gradient<T: Real>(
    cpu: &Cpu,
    (part, lanes): (usize, usize),
    x: &[T],
    dy: &[T],
    sums: &mut [f64],
    (da, mode): (&mut [T], GradMode),
) {
    let sums = &mut sums[..x.len().div_ceil(part) * lanes];
    cpu.split(lanes, &mut *sums, |i, sums| {
        let part = i * part..x.len().min((i + 1) * part);
        sum_part(cpu, &x[part.clone()], &dy[part], sums);
    });
    let slopes = da.len();
    for (k, da) in da.iter_mut().enumerate() {
        // Slope k owns lane k of each part, and a shared one owns all lanes.
        let total: f64 = sums.iter().skip(k).step_by(slopes).sum();
        match mode {
            GradMode::Write => *da = T::of(total),
            GradMode::Add => *da += T::of(total),
        }
    }
}

per_isa! {
    fn sum_part<T: Real>(cpu: &Cpu, x: &[T], dy: &[T], sums: &mut [f64]) {
        sums.fill(0.0);
        for (x, dy) in x.chunks(sums.len()).zip(dy.chunks(sums.len())) {
            for ((sum, x), dy) in sums.iter_mut().zip(x).zip(dy) {
                *sum += if *x <= T::ZERO { dy.to_f64() * x.to_f64() } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Isa;
    use crate::{Grads, Mode, Model, Network, Precision, Seed, View};

    #[test]
    fn slopes_sum_what_lies_at_or_below_zero() {
        let x: Vec<f64> = (0..5 * 7 * 4).map(|i| f64::from(i * 37 % 23) - 11.0).collect();
        let dy: Vec<f64> = (0..x.len()).map(|i| (i as f64).sin()).collect();
        for (lanes, slopes) in [(4, 4), (1, 1), (LANES, 1)] {
            let mut naive = vec![0.0; slopes];
            for (i, (x, dy)) in x.iter().zip(&dy).enumerate() {
                naive[i % slopes] += if *x <= 0.0 { x * dy } else { 0.0 };
            }
            let mut bits = Vec::new();
            for (threads, isa) in [(1, Isa::Portable), (3, Isa::best())] {
                let cpu = Cpu::with_isa(threads, isa).unwrap();
                let (mut sums, mut da) = (vec![f64::NAN; 18 * lanes], vec![1.0; slopes]);
                slope_gradient(&cpu, (8 * lanes, lanes), &x, &dy, &mut sums, (&mut da, GradMode::Write));
                for (da, naive) in da.iter().zip(&naive) {
                    // 140 terms below 11 in another order.
                    assert!((da - naive).abs() < 140.0 * 11.0 * f64::EPSILON, "{da} {naive}");
                }
                bits.push(da.clone());
                slope_gradient(&cpu, (8 * lanes, lanes), &x, &dy, &mut sums, (&mut da, GradMode::Add));
                assert!(da.iter().zip(bits.last().unwrap()).all(|(twice, once)| *twice == once + once));
            }
            assert_eq!(bits[0], bits[1], "threads and instruction sets");
        }
    }

    #[test]
    fn channels_scale_by_their_own_slopes() {
        let cpu = Cpu::new(1).unwrap();
        let x = [-1.0_f32, -2.0, 3.0, 0.0, f32::NAN, 6.0];
        let mut y = x;
        scale(&cpu, 2, &x, &[0.5, -2.0], &mut y);
        assert_eq!([y[0], y[1], y[2], y[3], y[5]], [-0.5, 4.0, 3.0, 0.0, 6.0]);
        assert!(y[4].is_nan());
    }

    /// The loss, dx, and the gradients of both layers' slopes.
    type Found = (f64, Vec<f64>, Vec<f64>, Vec<f64>);

    /// Loss and, where asked, gradients of a network of activations only: in place, fresh, and with slopes.
    fn run(x: &[f64], t: &[f64], slopes: Option<&[f64]>) -> Result<Found> {
        let extent = Extent::line(3, 4);
        let mut net = Network::new(extent);
        net.push(PRelu::new());
        for act in [Activation::Tanh, Activation::Linear, Activation::Gelu, Activation::Softplus, Activation::Softmax] {
            net.push(Activate::new(act));
        }
        net.push(PRelu::new().shared().slope(-0.5));
        let builder = Model::builder(net).precision(Precision::FP64).device(crate::Device::cpu_threads(2)?);
        let mut model = builder.loss("output", crate::loss::Mse::half(), 1.0).build()?;
        if let Some(slopes) = slopes {
            model.set_array("prelu1.slope", slopes)?;
        }
        model.forward(Mode::Train, View::f64(extent, x)?)?;
        let loss = model.loss(&[View::f64(extent, t)?.into()])?;
        let dx = model.backward(Seed::Loss, Grads::Write)?.as_f64()?.to_vec();
        Ok((loss, dx, model.gradient("prelu1.slope")?, model.gradient("prelu2.slope")?))
    }

    #[test]
    fn a_network_of_activations_has_the_gradients_of_differences() -> Result<()> {
        // Two rows of 3 positions, all of them 0.03 or more from the kink at 0.
        let x: Vec<f64> = (0..24).map(|i| f64::from(i * 7 % 24) * 0.2 - 2.27).collect();
        let t: Vec<f64> = (0..24).map(|i| f64::from(i % 5) - 2.0).collect();
        let slopes = [0.25, -0.1, 0.0, 1.5];
        let (_, dx, da, shared) = run(&x, &t, Some(&slopes))?;
        let h = 1e-5;
        // Truncation h²·ℓ‴ with ℓ‴ below 100, rounding of a loss below 100 over 2h.
        let tolerance = 100.0 * h * h + 100.0 * f64::EPSILON / h;
        for (i, dx) in dx.iter().enumerate() {
            let at = |d: f64| {
                let mut x = x.clone();
                x[i] += d;
                run(&x, &t, Some(&slopes)).map(|r| r.0)
            };
            let difference = (at(h)? - at(-h)?) / (2.0 * h);
            assert!((dx - difference).abs() < tolerance, "x {i}: {dx} and {difference}");
        }
        for (k, da) in da.iter().enumerate() {
            let at = |d: f64| {
                let mut slopes = slopes;
                slopes[k] += d;
                run(&x, &t, Some(&slopes)).map(|r| r.0)
            };
            let difference = (at(h)? - at(-h)?) / (2.0 * h);
            assert!((da - difference).abs() < tolerance, "slope {k}: {da} and {difference}");
        }
        // A softmax is above 0 everywhere, so the last slope acts on nothing.
        assert_eq!(shared, [0.0]);
        Ok(())
    }
}
