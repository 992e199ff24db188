//! Fully connected layer: y = act(x·W + b).
//!
//! With dz the gradient before the activation: dW = xᵀ·dz, db_j = Σ_n dz_nj, dx = dz·Wᵀ.
//!
//! # Source
//! Rumelhart, Hinton & Williams 1986, "Learning representations by back-propagating errors", Nature 323.

mod ending;
mod products;

use super::conv::{Activated, bias_sum_of, initializer};
use super::{Ending, Fields, Layer, Pass, Planned, fields, one};
use crate::device::{Cuda, Device, Ptr};
use crate::memory::{GradMode, Io, Param, ParamSpec, Planner, Slot, Step};
use crate::op::activation::Activation;
use crate::op::dense_micro::{self, SmallDense};
use crate::op::dense_small::{self, Backward, DenseSmall, Forward};
use crate::op::gemm::{Mat, Product, gemm, workspace};
use crate::op::gemm_cuda::CudaProduct;
use crate::op::reduce;
use crate::{DType, Error, Extent, Init, Real, Result, real};
use ending::DenseEnding;
use products::Products;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A fully connected layer with bias and activation: y = act(x·W + b).
///
/// # Shapes
/// Any extent, read as one vector of its d·h·w·c values, to a vector of `units`. Weights: `weight` [d·h·w·c, units] with
/// rows in the order of the input (channels last), and `bias` (units).
///
/// # Errors
/// Planning refuses 0 units, and weights of more than 2⁴⁰ elements.
///
/// # Examples
/// ```
/// use kamacite::{Dense, Extent, Mode, Model, Network, Relu, View};
/// let mut net = Network::new(Extent::image(2, 2, 1));
/// net.push(Dense::new(3).act(Relu).bias_init(1.0));
/// net.push(Dense::new(2).no_bias());
/// let mut model = Model::builder(net).build()?;
/// let y = model.forward(Mode::Infer, View::new(Extent::image(2, 2, 1), &[0.5; 8])?)?;
/// assert_eq!((y.rows(), y.extent()), (2, Extent::flat(2)));
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dense {
    units: usize,
    #[serde(default)]
    act: Activation,
    /// The initial bias; `None` for no bias.
    bias: Option<f64>,
    #[serde(default)]
    init: Option<Init>,
}

impl Dense {
    /// `units` outputs: linear, with a bias that begins at 0.
    pub fn new(units: usize) -> Self {
        Self { units, act: Activation::Linear, bias: Some(0.0), init: None }
    }

    /// The activation.
    #[must_use]
    pub fn act(mut self, act: Activation) -> Self {
        self.act = act;
        self
    }

    /// No bias.
    #[must_use]
    pub fn no_bias(mut self) -> Self {
        self.bias = None;
        self
    }

    /// The value at which the bias begins.
    #[must_use]
    pub fn bias_init(mut self, value: f64) -> Self {
        self.bias = Some(value);
        self
    }

    /// How the weights begin. Otherwise: He's normal initializer in front of an activation that silences about half of
    /// its inputs (ReLU, leaky ReLU, ELU, GELU, SiLU), LeCun's in front of SELU, Xavier's in front of all others.
    #[must_use]
    pub fn init(mut self, init: Init) -> Self {
        self.init = Some(init);
        self
    }
}

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "dense"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let [k, n] = self.sizes(x)?;
        let w = p.param("weight", self.weight_spec([k, n]))?;
        let b = self.bias.map(|value| p.param("bias", ParamSpec::bias(n, value))).transpose()?;
        self.plan_on([k, n], (w, b), p)
    }

    fn linear(&self) -> Option<Arc<dyn Layer>> {
        (self.act != Activation::Linear).then(|| Arc::new(self.clone().act(Activation::Linear)) as Arc<dyn Layer>)
    }
}

impl Dense {
    /// Inputs and outputs.
    pub(super) fn sizes(&self, x: &[Extent]) -> Result<[usize; 2]> {
        self.act.check()?;
        let (k, n) = (one(x)?.check()?.len(), self.units);
        if n == 0 || k.checked_mul(n).is_none_or(|weights| weights > 1 << 40) {
            return Err(Error::shape("", "number of units").expected(format!("1 to {}", (1_usize << 40) / k)).got(n));
        }
        Ok([k, n])
    }

    /// The weights as they begin.
    pub(super) fn weight_spec(&self, [k, n]: [usize; 2]) -> ParamSpec {
        ParamSpec::weight(&[k, n], initializer(self.init, self.act), (k, n))
    }

    /// The activation.
    pub(super) fn activation(&self) -> Activation {
        self.act
    }

    /// The value at which the bias begins; `None` for no bias.
    pub(super) fn bias_value(&self) -> Option<f64> {
        self.bias
    }

    /// The layer on weights and a bias that lie in these slots.
    pub(super) fn plan_on(&self, [k, n]: [usize; 2], (w, b): (Param, Option<Param>), p: &mut Planner<'_>) -> Result<Planned> {
        let y = Extent::flat(n);
        let act = Activated::plan(self.act, y, p)?;
        let cuda = matches!(p.device(), Device::Cuda(_))
            .then(|| CudaDense::plan([p.capacity(), n, k], w, b, self.act, p))
            .transpose()?;
        let work = match &cuda {
            Some(cuda) => p.scratch(DType::F32, cuda.workspace().max(1)),
            None => p.scratch(p.dtype(), work_len(k, n, p).max(1)),
        };
        let reads_y = act.reads_y();
        // On a GPU nobody runs it alone, but a chain of such layers may become one kernel.
        let fits = cuda.is_some() || dense_micro::fits([p.capacity(), n, k]);
        let small = fits.then_some(SmallDense { n, k, act: act.act, z: act.z, w, b });
        let ending = match &cuda {
            Some(CudaDense::Small(on)) if act.act == Activation::Linear => {
                Some(Arc::new(DenseEnding::new(on.clone(), w.w, b.map(|b| b.w))) as Arc<dyn Ending>)
            }
            _ => None,
        };
        let planned = Planned::new(y, DensePass { k, n, w, b, act, work, cuda }).small(small).ending(ending).reads_x();
        let planned = planned.products(k * n);
        Ok(if reads_y { planned.reads_y() } else { planned })
    }
}

/// Workspace of the three products.
fn work_len(k: usize, n: usize, p: &Planner<'_>) -> usize {
    let m = p.capacity();
    match p.device() {
        Device::Cpu(cpu) => real!(p.dtype(), T => {
            let forward = workspace::<T>(cpu, [m, n, k]);
            if p.mode().differentiable() {
                forward.max(workspace::<T>(cpu, [k, n, m])).max(workspace::<T>(cpu, [m, k, n]))
            } else {
                forward
            }
        }),
        Device::Cuda(_) => 0,
    }
}

#[derive(Debug)]
struct DensePass {
    /// Inputs.
    k: usize,
    /// Units.
    n: usize,
    w: Param,
    b: Option<Param>,
    act: Activated,
    work: Slot,
    cuda: Option<CudaDense>,
}

/// On a GPU: one launch for a direction, or products of matrices.
#[derive(Debug)]
enum CudaDense {
    Small(Arc<DenseSmall>),
    Products(Box<Products>),
}

impl CudaDense {
    fn plan([m, n, k]: [usize; 3], w: Param, b: Option<Param>, act: Activation, p: &mut Planner<'_>) -> Result<Self> {
        Ok(match dense_small::fits([m, n, k], p.precision()) {
            true => Self::Small(Arc::new(DenseSmall::plan([m, n, k], p)?)),
            false => Self::Products(Box::new(Products::plan([m, n, k], w, b, act, p)?)),
        })
    }

    /// Floats of workspace.
    fn workspace(&self) -> usize {
        match self {
            Self::Small(_) => 0,
            Self::Products(products) => products.workspace(),
        }
    }
}

/// The factor on what is there already.
fn beta<T: Real>(mode: GradMode) -> T {
    match mode {
        GradMode::Write => T::ZERO,
        GradMode::Add => T::ONE,
    }
}

impl Pass for DensePass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let &Self { k, n, .. } = self;
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let (x, w, mut y) = (s.read::<T>(io.x[0])?, s.read::<T>(self.w.w)?, s.write::<T>(io.y)?);
                let b = self.b.map(|b| s.read::<T>(b.w)).transpose()?;
                let product = Product::new([s.rows(), n, k], Mat::rows(&x, k), Mat::rows(&w, n)).bias(b.as_deref());
                gemm(cpu, &product, &mut y, n, &mut s.write::<T>(self.work)?)?;
                self.act.forward(s, cpu, &mut y)
            }),
            Device::Cuda(cuda) => self.forward_cuda(s, cuda, io),
        }
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let &Self { k, n, .. } = self;
        let m = s.rows();
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let mut dy = s.write::<T>(io.dy)?;
                self.act.backward(s, cpu, io, &mut dy)?;
                let dz = Mat::rows(&dy, n);
                let mut work = s.write::<T>(self.work)?;
                if let Some((db, mode)) = self.b.and_then(|b| s.grad(b.dw)) {
                    reduce::columns(cpu, &dy, n, &mut s.write::<T>(db)?, mode);
                }
                if let Some((dw, mode)) = s.grad(self.w.dw) {
                    let x = s.read::<T>(io.x[0])?;
                    let product = Product::new([k, n, m], Mat::rows(&x, k).t(), dz).beta(beta(mode));
                    gemm(cpu, &product, &mut s.write::<T>(dw)?, n, &mut work)?;
                }
                if let Some((dx, mode)) = io.dx[0] {
                    let w = s.read::<T>(self.w.w)?;
                    let product = Product::new([m, k, n], dz, Mat::rows(&w, n).t()).beta(beta(mode));
                    gemm(cpu, &product, &mut s.write::<T>(dx)?, k, &mut work)?;
                }
                Ok(())
            }),
            Device::Cuda(cuda) => self.backward_cuda(s, cuda, io),
        }
    }
}

impl DensePass {
    fn forward_cuda(&self, s: &Step<'_>, cuda: &Cuda, io: &Io<'_>) -> Result<()> {
        let &Self { k, n, .. } = self;
        let (act, z) = self.act.fused_cuda(s)?;
        let bias = self.b.map_or(Ok(Ptr::NULL), |b| s.ptr(b.w))?;
        let (x, y) = (s.ptr(io.x[0])?, s.ptr(io.y)?);
        match planned(&self.cuda)? {
            CudaDense::Small(small) => small.forward(s, cuda, &Forward { x, w: s.ptr(self.w.w)?, bias, y, z, act })?,
            CudaDense::Products(on) => {
                let product = CudaProduct::new([s.rows(), n, k], (x, k), (s.ptr(on.w)?, n), (y, n));
                on.y.launch(cuda, &CudaProduct { bias, z, act, ..product }, s.ptr(self.work)?)?;
            }
        }
        self.act.rest_cuda(s, cuda, io.y)
    }

    fn backward_cuda(&self, s: &Step<'_>, cuda: &Cuda, io: &Io<'_>) -> Result<()> {
        let to = |wanted: Option<(Slot, GradMode)>| wanted.map(|(to, mode)| Ok((s.ptr(to)?, mode))).transpose();
        let (dx, dw) = (to(io.dx[0])?, to(s.grad(self.w.dw))?);
        match planned(&self.cuda)? {
            CudaDense::Small(small) => {
                let (act, db) = (self.act.gradient_cuda(s, cuda, io)?, to(self.b.and_then(|b| s.grad(b.dw)))?);
                let (x, w, dy, saved) = (s.ptr(io.x[0])?, s.ptr(self.w.w)?, s.ptr(io.dy)?, s.ptr(self.act.z.unwrap_or(io.y))?);
                small.backward(s, cuda, &Backward { x, w, dy, saved, act, dx, dw, db })
            }
            CudaDense::Products(on) => {
                self.act.backward_cuda(s, cuda, io, bias_sum_of(s, self.b, &on.db)?)?;
                on.backward(s, cuda, [s.rows(), self.n, self.k], (s.ptr(io.x[0])?, s.ptr(io.dy)?), (dx, dw), s.ptr(self.work)?)
            }
        }
    }
}

/// What planning made for this device and mode.
fn planned<T>(made: &Option<T>) -> Result<&T> {
    made.as_ref().ok_or_else(|| Error::order("dense", "planned for another device, or without a backward pass"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};
    use crate::{Grads, Mode, Model, Network, Precision, View};

    /// Random numbers of one batch of a layer, and the model that holds it.
    struct Case {
        model: Model,
        x: Vec<f64>,
        g: Vec<f64>,
        input: Extent,
        units: usize,
    }

    impl Case {
        fn new(layer: Dense, input: Extent, rows: usize) -> Self {
            let units = layer.units;
            let mut net = Network::new(input);
            net.push(layer);
            let device = Device::cpu_threads(2).unwrap();
            let mut model = Model::builder(net).precision(Precision::FP64).device(device).seed(3).build().unwrap();
            let mut r = Stream::new(5, Purpose::User, 0);
            let mut draw = |n: usize| (0..n).map(|_| r.between(-1.0, 1.0)).collect::<Vec<_>>();
            if let Ok(bias) = model.array("dense1.bias") {
                model.set_array("dense1.bias", &draw(bias.len())).unwrap();
            }
            let (x, g) = (draw(rows * input.len()), draw(rows * units));
            Self { model, x, g, input, units }
        }

        /// y of the whole batch.
        fn forward(&mut self, x: &[f64]) -> Vec<f64> {
            self.model.forward(Mode::Train, View::f64(self.input, x).unwrap()).unwrap().as_f64().unwrap().to_vec()
        }

        /// Σ g·y
        fn probe(&mut self, x: &[f64]) -> f64 {
            let y = self.forward(x);
            y.iter().zip(&self.g).map(|(y, g)| y * g).sum()
        }

        /// dx, dw, db of Σ g·y.
        fn backward(&mut self, grads: Grads) -> [Vec<f64>; 3] {
            self.forward(&self.x.clone());
            let g = self.g.clone();
            let dy = View::f64(Extent::flat(self.units), &g).unwrap();
            let dx = self.model.backward(dy, grads).unwrap().as_f64().unwrap().to_vec();
            let dw = self.model.gradient("dense1.weight").unwrap();
            assert_eq!(dw.len(), self.input.len() * self.units);
            [dx, dw, self.model.gradient("dense1.bias").unwrap_or_default()]
        }
    }

    /// Two-sided differences with step h: h²/6·|f‴| and the rounding of a sum of n terms of size below 10, divided by 2h.
    fn close(gradient: &[f64], difference: impl Fn(usize) -> f64, n: usize, what: &str) {
        let tolerance = H * H * 10.0 + n as f64 * 10.0 * f64::EPSILON / H;
        for (i, g) in gradient.iter().enumerate() {
            let d = difference(i);
            assert!((g - d).abs() < tolerance, "{what}[{i}]: {g}, difference {d}");
        }
    }
    const H: f64 = 1e-5;

    #[test]
    fn gradients_are_differences() {
        let cases = [
            (Dense::new(4).act(Activation::Tanh), Extent::flat(5), 3),
            (Dense::new(7).act(Activation::Gelu).init(Init::Normal(0.5)), Extent::image(3, 2, 2), 9),
            (Dense::new(3).act(Activation::Softmax), Extent::line(4, 2), 5),
            (Dense::new(1).no_bias(), Extent::flat(1), 1),
        ];
        for (layer, input, rows) in cases {
            let what = format!("{layer:?}");
            let mut case = Case::new(layer.clone(), input, rows);
            let [dx, dw, db] = case.backward(Grads::Write);
            let case = std::cell::RefCell::new(case);
            let x = case.borrow().x.clone();
            let n = x.len() + dw.len();
            let input = |i: usize| {
                let at = |h: f64| {
                    let mut x = x.clone();
                    x[i] += h;
                    case.borrow_mut().probe(&x)
                };
                (at(H) - at(-H)) / (2.0 * H)
            };
            let param = |name: &str, i: usize| {
                let w = case.borrow().model.array(name).unwrap();
                let at = |h: f64| {
                    let mut w = w.clone();
                    w[i] += h;
                    case.borrow_mut().model.set_array(name, &w).unwrap();
                    case.borrow_mut().probe(&x)
                };
                let difference = (at(H) - at(-H)) / (2.0 * H);
                case.borrow_mut().model.set_array(name, &w).unwrap();
                difference
            };
            assert!(dx.iter().chain(&dw).any(|g| g.abs() > 1e-3), "{what}: gradients vanish");
            assert_eq!(db.len(), if layer.bias.is_some() { layer.units } else { 0 });
            close(&dx, input, n, &format!("{what} dx"));
            close(&dw, |i| param("dense1.weight", i), n, &format!("{what} dw"));
            close(&db, |i| param("dense1.bias", i), n, &format!("{what} db"));
        }
    }

    #[test]
    fn forward_is_the_sum_over_inputs() {
        let mut case = Case::new(Dense::new(6).act(Activation::Relu), Extent::image(2, 3, 4), 5);
        let (x, k, n) = (case.x.clone(), 24, 6);
        let y = case.forward(&x);
        let (w, b) = (case.model.array("dense1.weight").unwrap(), case.model.array("dense1.bias").unwrap());
        for (i, y) in y.iter().enumerate() {
            let (row, j) = (i / n, i % n);
            let z: f64 = b[j] + (0..k).map(|p| x[row * k + p] * w[p * n + j]).sum::<f64>();
            // k + 1 roundings of partial sums below 10.
            assert!((y - z.max(0.0)).abs() <= 10.0 * (k + 1) as f64 * f64::EPSILON, "{i}: {y} for {z}");
        }
    }

    #[test]
    fn gradients_accumulate_or_are_skipped() {
        let mut case = Case::new(Dense::new(5).act(Activation::Logistic), Extent::flat(7), 4);
        let [dx, dw, db] = case.backward(Grads::Write);
        let [dx2, dw2, db2] = case.backward(Grads::Add);
        assert_eq!(dx, dx2);
        assert_eq!(db.len(), 5);
        assert!(dw.iter().zip(&dw2).chain(db.iter().zip(&db2)).all(|(once, twice)| 2.0 * once == *twice));
        let [_, dw3, db3] = case.backward(Grads::Skip);
        assert_eq!((dw2, db2), (dw3, db3));
    }

    #[test]
    fn sizes_are_checked_when_planned() {
        for units in [0, usize::MAX, 1 << 39] {
            let mut net = Network::new(Extent::flat(3));
            net.push(Dense::new(units));
            let built = Model::builder(net).build();
            assert!(built.unwrap_err().to_string().contains("dense"), "{units} units");
        }
    }
}
