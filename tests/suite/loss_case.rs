//! A case of a loss: value against a sum in f64, gradient against differences, both kinds of target, weights of rows,
//! rows past the valid ones, threads, precision, and a wrong gradient that must be noticed.

use crate::case::batch;
use crate::check::{Verdict, close, instruction_sets, text};
use crate::cuda::{PRECISIONS, gpu, rounded, unit};
use kamacite::device::{Grid, Kernel, Ptr, Source};
use kamacite::layer::Fields;
use kamacite::loss::{LossIo, LossPass};
use kamacite::memory::{Planner, Slot, Step};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use std::sync::{Arc, Mutex};

/// One test per check for the cases of `cases()`.
macro_rules! loss_suite {
    () => {
        #[test]
        fn values_are_the_sums() {
            crate::loss_case::all(&cases(), crate::loss_case::values);
        }
        #[test]
        fn gradients_are_the_differences() {
            crate::loss_case::all(&cases(), crate::loss_case::gradients);
        }
        #[test]
        fn wrong_gradients_are_noticed() {
            crate::loss_case::all(&cases(), crate::loss_case::corrupted);
        }
        #[test]
        fn every_instruction_set_is_accurate() {
            crate::loss_case::all(&cases(), crate::loss_case::precision);
        }
        #[test]
        fn cuda_is_accurate_in_every_precision() {
            crate::loss_case::all(&cases(), crate::loss_case::cuda);
        }
        #[test]
        fn bits_do_not_depend_on_threads() {
            crate::loss_case::all(&cases(), crate::loss_case::threads);
        }
        #[test]
        fn descriptions_survive_saving() {
            crate::loss_case::all(&cases(), crate::loss_case::saved);
        }
    };
}
pub(crate) use loss_suite;

pub fn all(cases: &[LossCase], check: impl Fn(&LossCase) -> Verdict) {
    let failures: Vec<String> = cases.iter().filter_map(|c| Some(format!("{}: {}", c.name, check(c).err()?))).collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// The targets of a case.
#[derive(Clone, Debug)]
pub enum Truth {
    Values(Extent, Vec<f64>),
    Classes(Vec<u32>),
    None,
}

/// Weighted values of all rows from all outputs and the weights.
type Coupled = Arc<dyn Fn(&[f64], &[f64]) -> Vec<f64> + Send + Sync>;
type Naive = Arc<dyn Fn(&[f64], &[f64]) -> f64 + Send + Sync>;
type Prediction = Arc<dyn Fn(&[f64]) -> Vec<f64> + Send + Sync>;

#[derive(Clone)]
pub struct LossCase {
    pub name: String,
    loss: Arc<dyn Loss>,
    y: Extent,
    ys: Vec<f64>,
    truth: Truth,
    rows: usize,
    naive: Naive,
    /// Where rows see each other, instead of `naive`.
    coupled: Option<Coupled>,
    /// A row of weight 0.
    absent: Option<usize>,
    prediction: Prediction,
}

fn f32s(mut r: impl FnMut() -> f64, n: usize) -> Vec<f64> {
    (0..n).map(|_| f64::from(r() as f32)).collect()
}

/// A case of 3 rows (in a plan for 4) with outputs uniform on [−3, 3); `naive(row of y, row of t)` is the value of a row,
/// labels given as numbers.
pub fn loss_case(
    name: &str,
    loss: impl Loss + 'static,
    y: Extent,
    naive: impl Fn(&[f64], &[f64]) -> f64 + Send + Sync + 'static,
) -> LossCase {
    let case = LossCase {
        name: format!("{name} on {y}"),
        loss: Arc::new(loss),
        y,
        ys: Vec::new(),
        truth: Truth::Values(y, Vec::new()),
        rows: 3,
        naive: Arc::new(naive),
        coupled: None,
        absent: None,
        prediction: Arc::new(<[f64]>::to_vec),
    };
    case.rows(3)
}

impl LossCase {
    /// Another number of rows; before targets are drawn.
    pub fn rows(mut self, rows: usize) -> Self {
        let (mut r, n) = (Stream::new(7, Purpose::User, self.y.len() as u64), rows * self.y.len());
        self.ys = f32s(|| r.between(-3.0, 3.0), n);
        self.truth = Truth::Values(self.y, f32s(|| r.between(-2.0, 2.0), n));
        self.rows = rows;
        self
    }

    /// Targets as numbers of this extent.
    pub fn targets(mut self, t: Extent, mut draw: impl FnMut(&mut Stream) -> f64) -> Self {
        let mut r = Stream::new(8, Purpose::User, 0);
        self.truth = Truth::Values(t, f32s(|| draw(&mut r), self.rows * t.len()));
        self
    }

    /// A loss without targets in which rows see each other: the weighted values of all from all outputs and their weights.
    pub fn coupled(mut self, f: impl Fn(&[f64], &[f64]) -> Vec<f64> + Send + Sync + 'static) -> Self {
        self.truth = Truth::None;
        self.coupled = Some(Arc::new(f));
        self
    }

    /// Row `n` weighs nothing and holds this value throughout.
    pub fn absent(mut self, n: usize, value: f64) -> Self {
        self.ys[n * self.y.len()..(n + 1) * self.y.len()].fill(value);
        self.absent = Some(n);
        self
    }

    /// Soft classes: positive, with sum 1 over the channels but for the rounding to f32.
    pub fn soft(mut self) -> Self {
        let mut r = Stream::new(9, Purpose::User, 0);
        let mut t = Vec::new();
        for _ in 0..self.rows * self.y.area() {
            let p: Vec<f64> = (0..self.y.c).map(|_| r.uniform() + 0.05).collect();
            let sum: f64 = p.iter().sum();
            t.extend(p.iter().map(|p| f64::from((p / sum) as f32)));
        }
        self.truth = Truth::Values(self.y, t);
        self
    }

    /// Labels below `classes`, one for each position.
    pub fn classes(mut self, classes: usize) -> Self {
        let mut r = Stream::new(10, Purpose::User, 0);
        self.truth = Truth::Classes((0..self.rows * self.y.area()).map(|_| r.below(classes) as u32).collect());
        self
    }

    /// Labels as one-hot numbers.
    pub fn one_hot(mut self) -> Self {
        if let Truth::Classes(labels) = &self.truth {
            let c = self.y.c;
            let hot = |&l: &u32| (0..c).map(move |k| if k == l as usize { 1.0 } else { 0.0 });
            self.truth = Truth::Values(self.y, labels.iter().flat_map(hot).collect());
        }
        self
    }

    /// Outputs that are probabilities over the channels.
    pub fn probabilities(mut self) -> Self {
        self.ys = match self.clone().soft().truth {
            Truth::Values(_, v) => v,
            Truth::Classes(_) | Truth::None => self.ys,
        };
        self
    }

    /// What `predict` makes of a row of outputs.
    pub fn prediction(mut self, f: impl Fn(&[f64]) -> Vec<f64> + Send + Sync + 'static) -> Self {
        self.prediction = Arc::new(f);
        self
    }

    /// The same with NaN for everything but row `n`.
    fn alone(&self, n: usize) -> Self {
        let only = |v: &[f64]| {
            let width = v.len() / self.rows;
            v.iter().enumerate().map(|(i, v)| if i / width == n { *v } else { f64::NAN }).collect()
        };
        let truth = match &self.truth {
            Truth::Values(e, t) => Truth::Values(*e, only(t)),
            labels => labels.clone(),
        };
        Self { ys: only(&self.ys), truth, ..self.clone() }
    }

    /// Channels of the output.
    pub fn channels(&self) -> usize {
        self.y.c
    }

    fn weights(&self) -> Vec<f64> {
        let mut r = Stream::new(12, Purpose::User, 0);
        let mut weights = f32s(|| r.between(0.25, 2.0), self.rows);
        self.absent.into_iter().for_each(|n| weights[n] = 0.0);
        weights
    }

    fn expected(&self) -> Vec<f64> {
        if let Some(coupled) = &self.coupled {
            return coupled(&self.ys, &self.weights());
        }
        let t: Vec<f64> = match &self.truth {
            Truth::None => Vec::new(),
            Truth::Values(_, v) => v.clone(),
            Truth::Classes(labels) => labels.iter().map(|&l| f64::from(l)).collect(),
        };
        let per_row = t.len() / self.rows;
        let w = self.weights();
        (0..self.rows)
            .map(|n| w[n] * (self.naive)(&self.ys[n * self.y.len()..][..self.y.len()], &t[n * per_row..][..per_row]))
            .collect()
    }

    fn rig(&self, precision: Precision, device: Device, factor: f64) -> Result<LossRig> {
        self.rig_of(precision, device, factor, 1.0)
    }

    /// A model of which the loss has this share, and its gradient a wrong `factor`.
    fn rig_of(&self, precision: Precision, device: Device, factor: f64, share: f64) -> Result<LossRig> {
        let mut net = Network::new(self.y);
        net.push(Activate::new(Linear));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let weights = Arc::new(Mutex::new(self.weights()));
        let loss = Weighed { inner: self.loss.clone(), weights: weights.clone(), seen: seen.clone(), factor };
        let model = Model::builder(net).precision(precision).device(device).loss("output", loss, share).build()?;
        Ok(LossRig { model, seen, weights })
    }
}

struct LossRig {
    model: Model,
    seen: Arc<Mutex<Vec<f64>>>,
    weights: Arc<Mutex<Vec<f64>>>,
}

impl LossRig {
    fn forward(&mut self, case: &LossCase, ys: &[f64]) -> Result<f64> {
        let wide = self.model.precision() == Precision::FP64;
        let narrow: Vec<f32> = ys.iter().map(|&v| v as f32).collect();
        let view = if wide { View::f64(case.y, ys)? } else { View::new(case.y, &narrow)? };
        self.model.forward(Mode::Train, view)?;
        match &case.truth {
            Truth::Classes(labels) => self.model.loss(&[Targets::Classes(labels)]),
            Truth::None => self.model.loss(&[Targets::None]),
            Truth::Values(extent, t) => {
                let narrow: Vec<f32> = t.iter().map(|&v| v as f32).collect();
                let view = if wide { View::f64(*extent, t)? } else { View::new(*extent, &narrow)? };
                self.model.loss(&[view.into()])
            }
        }
    }

    /// Mean loss, values of the rows, gradient of the mean.
    fn run(&mut self, case: &LossCase) -> Result<(f64, Vec<f64>, Vec<f64>)> {
        let mean = self.forward(case, &case.ys)?;
        let rows = self.seen.lock().unwrap().clone();
        Ok((mean, rows, batch(self.model.backward(Seed::Loss, Grads::Write)?)?.v))
    }
}

fn cpu(threads: usize) -> Device {
    Device::cpu_threads(threads).unwrap()
}

/// The value of each row, their mean, and the prediction.
pub fn values(case: &LossCase) -> Verdict {
    let mut rig = case.rig(Precision::FP64, cpu(2), 1.0).map_err(text)?;
    let (mean, rows, _) = rig.run(case).map_err(text)?;
    let expected = case.expected();
    close("values", &rows, &expected, 1e-12)?;
    close("mean", &[mean], &[expected.iter().sum::<f64>() / case.rows as f64], 1e-12)?;
    rig.forward(case, &case.ys).map_err(text)?;
    let prediction = batch(rig.model.predict().map_err(text)?).map_err(text)?.v;
    let expected: Vec<f64> = case.ys.chunks(case.y.len()).flat_map(|row| (case.prediction)(row)).collect();
    close("prediction", &prediction, &expected, 1e-12)
}

pub fn gradients(case: &LossCase) -> Verdict {
    differences(case, 1.0)
}

pub fn corrupted(case: &LossCase) -> Verdict {
    for factor in [-1.0, 0.0, 1.000_01] {
        if differences(case, factor).is_ok() {
            return Err(format!("the gradient times {factor} passed the check"));
        }
    }
    Ok(())
}

fn differences(case: &LossCase, factor: f64) -> Verdict {
    let mut rig = case.rig(Precision::FP64, cpu(1), factor).map_err(text)?;
    let (mean, _, dy) = rig.run(case).map_err(text)?;
    let scale = dy.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    for i in 0..dy.len() {
        let h = 1e-5 * case.ys[i].abs().max(1.0);
        let mut at = |y: f64| {
            let mut ys = case.ys.clone();
            ys[i] = y;
            rig.forward(case, &ys).map_err(text)
        };
        let slope = (at(case.ys[i] + h)? - at(case.ys[i] - h)?) / (2.0 * h);
        // As for layers; the mean is a sum of all rows, and so is its rounding error.
        let bound = 1e-7 * slope.abs().max(dy[i].abs()).max(0.01 * scale) + 8.0 * f64::EPSILON * mean.abs().max(1.0) / h;
        let off = (slope - dy[i]).abs();
        if off.is_nan() || off > bound {
            return Err(format!("dy[{i}]: differences give {slope}, the loss {}", dy[i]));
        }
    }
    Ok(())
}

/// f32 on every instruction set: k·ε·√(elements of a row), k <= 8, of the largest value.
pub fn precision(case: &LossCase) -> Verdict {
    let exact = case.rig(Precision::FP64, cpu(1), 1.0).and_then(|mut r| r.run(case)).map_err(text)?;
    for isa in instruction_sets() {
        let device = Device::Cpu(Cpu::with_isa(2, isa).map_err(text)?);
        let (_, rows, dy) = case.rig(Precision::FP32, device, 1.0).and_then(|mut r| r.run(case)).map_err(text)?;
        let bound = 8.0 * f64::from(f32::EPSILON) * (case.y.len() as f64).sqrt();
        close("values", &rows, &exact.1, bound).map_err(|e| format!("{isa}: {e}"))?;
        close("dy", &dy, &exact.2, bound).map_err(|e| format!("{isa}: {e}"))?;
    }
    Ok(())
}

/// (5) CUDA in every precision against f64: the mean, the gradient, the values of single rows while the others weigh nothing and
/// hold NaN, the prediction; and equal bits in two runs. Sums are in f32 whatever the outputs are stored in, whose rounding
/// comes on top.
pub fn cuda(case: &LossCase) -> Verdict {
    let Some(gpu) = gpu() else { return Ok(()) };
    for precision in PRECISIONS {
        let held = LossCase { ys: case.ys.iter().map(|y| rounded(precision, *y)).collect(), ..case.clone() };
        on_cuda(&held, precision, &gpu.device).map_err(|e| format!("{precision:?}: {e}"))?;
    }
    Ok(())
}

fn on_cuda(case: &LossCase, precision: Precision, device: &Device) -> Verdict {
    // With the loss scale of the start, f16 holds gradients below 1 only; training would halve it.
    let share = 1.0 / 64.0;
    let mut exact = case.rig_of(Precision::FP64, cpu(1), 1.0, share).map_err(text)?;
    let (mean, rows, dy) = exact.run(case).map_err(text)?;
    let rows: Vec<f64> = rows.iter().map(|v| share * v).collect();
    let mut rig = case.rig_of(precision, device.clone(), 1.0, share).map_err(text)?;
    let sums = 8.0 * f64::from(f32::EPSILON) * (case.y.len() as f64).sqrt();
    let stored = sums + unit(precision);
    // Against the largest value: those of a mean may cancel.
    let largest = rows.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let (got, _, first) = rig.run(case).map_err(text)?;
    close("mean, largest value", &[got, largest], &[mean, largest], sums)?;
    close("dy", &first, &dy, stored)?;
    let again = rig.run(case).map_err(text)?;
    if (again.0, &again.2) != (got, &first) {
        return Err("other bits in a second run".into());
    }
    // Rows that see each other are not what they are alone.
    for n in [0, case.rows / 2, case.rows - 1].into_iter().filter(|_| case.coupled.is_none()) {
        let alone = case.alone(n);
        *rig.weights.lock().unwrap() = (0..case.rows).map(|i| if i == n { case.weights()[n] } else { 0.0 }).collect();
        let (mean, _, dy) = rig.run(&alone).map_err(text)?;
        close(&format!("value of row {n}, largest value"), &[mean * case.rows as f64, largest], &[rows[n], largest], sums)?;
        let row = n * case.y.len()..(n + 1) * case.y.len();
        let here = |i: usize| if row.contains(&i) { first[i] } else { 0.0 };
        if let Some(i) = (0..dy.len()).find(|&i| dy[i] != here(i)) {
            return Err(format!("dy[{i}] where only row {n} counts: expected {}, got {}", here(i), dy[i]));
        }
    }
    let predict = |rig: &mut LossRig| {
        rig.forward(case, &case.ys)?;
        Ok(batch(rig.model.predict()?)?.v)
    };
    let (exact, got) = (predict(&mut exact).map_err(text)?, predict(&mut rig).map_err(text)?);
    close("prediction", &got, &exact, stored)
}

pub fn threads(case: &LossCase) -> Verdict {
    for precision in [Precision::FP32, Precision::FP64] {
        let run = |threads| case.rig(precision, cpu(threads), 1.0).and_then(|mut r| r.run(case)).map_err(text);
        let first = run(1)?;
        for threads in [2, 7, 7] {
            if run(threads)? != first {
                return Err(format!("{precision:?}: other bits with {threads} threads"));
            }
        }
    }
    Ok(())
}

pub fn saved(case: &LossCase) -> Verdict {
    let parsed: Fields = serde_json::from_str(&case.loss.save().to_string()).map_err(|e| e.to_string())?;
    let again = Registry::standard().loss(case.loss.kind(), &parsed).map_err(text)?;
    if again.save() != case.loss.save() { Err("read back as another loss".into()) } else { Ok(()) }
}

/// A loss with weights for its rows that keeps their values, and whose gradient can be made wrong.
#[derive(Clone, Debug)]
struct Weighed {
    inner: Arc<dyn Loss>,
    weights: Arc<Mutex<Vec<f64>>>,
    seen: Arc<Mutex<Vec<f64>>>,
    factor: f64,
}

/// What puts a weight into device memory.
const WEIGH: Source = Source::new(
    "weigh",
    r#"
    #include "prelude.cuh"
    struct WeighArgs { float* w; u32 row; float weight; };
    KERNEL(32, weigh, WeighArgs) {
        if (threadIdx.x == 0) a.w[a.row] = a.weight;
    }
    "#,
);

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Zeroable, bytemuck::Pod)]
struct WeighArgs {
    w: Ptr,
    row: u32,
    weight: f32,
}

impl Loss for Weighed {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn save(&self) -> Fields {
        self.inner.save()
    }

    fn target(&self, y: Extent) -> Target {
        self.inner.target(y)
    }

    fn plan(&self, y: Extent, target: Target, p: &mut Planner<'_>) -> Result<Box<dyn LossPass>> {
        let weigh = p.kernel(&WEIGH, "weigh")?;
        Ok(Box::new(WeighedPass { inner: self.inner.plan(y, target, p)?, rule: self.clone(), weigh }))
    }
}

#[derive(Debug)]
struct WeighedPass {
    inner: Box<dyn LossPass>,
    rule: Weighed,
    weigh: Kernel<WeighArgs>,
}

impl LossPass for WeighedPass {
    fn value_and_grad(&self, s: &Step<'_>, io: &LossIo) -> Result<()> {
        let weights = self.rule.weights.lock().unwrap().clone();
        if let Device::Cuda(cuda) = s.device() {
            for (row, weight) in weights.iter().enumerate() {
                let args = WeighArgs { w: s.ptr(io.weight)?, row: row as u32, weight: *weight as f32 };
                self.weigh.launch(cuda, Grid::blocks(1), &args)?;
            }
            return self.inner.value_and_grad(s, io);
        }
        real!(s.dtype(), T => {
            s.write::<T>(io.weight)?.iter_mut().zip(&weights).for_each(|(w, v)| *w = <T as Real>::of(*v));
            self.inner.value_and_grad(s, io)?;
            *self.rule.seen.lock().unwrap() = s.read::<T>(io.value)?.iter().map(|v| v.to_f64()).collect();
            if let Some(dy) = io.dy {
                s.write::<T>(dy)?.iter_mut().for_each(|v| *v *= <T as Real>::of(self.rule.factor));
            }
        });
        Ok(())
    }

    fn predict(&self, s: &Step<'_>, y: Slot) -> Result<()> {
        self.inner.predict(s, y)
    }
}
