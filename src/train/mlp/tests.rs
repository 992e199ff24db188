use super::limit;
use crate::data::Samples;
use crate::device::testing::gpu;
use crate::op::dense_micro::switch;
use crate::optim::{Adadelta, AdamW, Clip, EarlyStopping, Ema, Goal, ReduceOnPlateau, RmsProp, Schedule};
use crate::rng::{Purpose, Stream};
use crate::train::TrainerBuilder;
use crate::*;
use std::sync::Arc;

const ACTS: [Activation; 12] = [
    Linear,
    Relu,
    LeakyRelu { slope: 0.05, saturation: Some(2.0) },
    Elu { alpha: 0.7 },
    Selu,
    Gelu,
    Silu,
    Tanh,
    Logistic,
    ScaledLogistic { slope: 1.5, saturation: Some(40.0) },
    Softplus,
    Softmax,
];

fn rule(r: &mut Stream) -> Arc<dyn Optimizer> {
    // An eps that is not small beside the gradients: the quotient of two roundings is no measure.
    match r.below(10) {
        0 => Arc::new(Sgd::new(0.05)),
        1 => Arc::new(Sgd::new(0.02).momentum(0.9).weight_decay(1e-3)),
        2 => Arc::new(Sgd::new(0.02).momentum(0.8).nesterov().velocity_form()),
        3 => Arc::new(Adam::new(0.01).eps(1e-2).weight_decay(1e-2)),
        4 => Arc::new(Adam::new(0.01).eps(1e-2).amsgrad()),
        5 => Arc::new(AdamW::new(0.01).eps(1e-2)),
        6 => Arc::new(RmsProp::new(0.01).eps(1e-2)),
        7 => Arc::new(RmsProp::new(0.01).eps(1e-2).momentum(0.9)),
        8 => Arc::new(RmsProp::new(0.01).eps(1e-2).momentum(0.9).centered()),
        _ => Arc::new(Adadelta::new(0.5).eps(1e-2)),
    }
}

/// A loss, the activation in front of it where it wants a certain one, and whether its targets may be numbers and labels.
fn loss(r: &mut Stream, units: usize) -> (Arc<dyn Loss>, Option<Activation>, [bool; 2]) {
    match r.below(9) {
        0 => (Arc::new(SoftmaxCrossEntropy), Some(Linear), [true, true]),
        1 => {
            let loss = SoftmaxCrossEntropy.label_smoothing(0.1).class_weights(&vec![1.5; units]);
            (Arc::new(loss), Some(Linear), [true, true])
        }
        2 => (Arc::new(CrossEntropy), Some(Softmax), [true, true]),
        3 => (Arc::new(loss::GaussianNll), Some(Linear), [true, false]),
        4 => (Arc::new(LogisticBce), Some(Linear), [true, true]),
        5 => (Arc::new(Mae), None, [true, true]),
        6 => (Arc::new(loss::Huber::new(0.3)), None, [true, true]),
        7 => (Arc::new(Mse), None, [true, true]),
        _ => (Arc::new(Mse::half()), None, [true, true]),
    }
}

/// A network of dense layers, data, a rule and what else a trainer is told, all drawn from the seed.
fn builder(seed: u64, device: &Device) -> TrainerBuilder {
    let precision = if device.is_cuda() { Precision::FP32 } else { Precision::FP64 };
    let r = &mut Stream::new(seed, Purpose::User, 0);
    let wide = |r: &mut Stream| if r.below(4) == 0 { 1 + r.below(40) } else { 1 + r.below(12) };
    let (k, depth) = (wide(r), 1 + r.below(4));
    let (n, batch) = (3 + r.below(40), [1, 2, 1 + r.below(9), 32][r.below(4)]);
    let mut net = Network::new(Extent::flat(k));
    for _ in 1..depth {
        let dense = Dense::new(wide(r)).act(ACTS[r.below(ACTS.len())]);
        net.push(if r.below(4) == 0 { dense.no_bias() } else { dense.bias_init(0.1) });
    }
    let (mut outputs, act) = (wide(r), ACTS[r.below(ACTS.len())]);
    let (loss, wanted, [_, labels]) = loss(r, outputs);
    let pairs = loss.kind() == "gaussian_nll";
    outputs += usize::from(pairs) * (outputs % 2);
    net.push(Dense::new(outputs).act(wanted.unwrap_or(act)));
    let x: Vec<f32> = (0..n * k).map(|_| r.between(-1.0, 1.0) as f32).collect();
    let data = Samples::new(Extent::flat(k), x).expect("inputs");
    let data = if labels && r.below(2) == 0 {
        data.with_classes((0..n).map(|_| r.below(outputs) as u32).collect(), outputs.max(2))
    } else {
        let len = outputs / if pairs { 2 } else { 1 };
        data.with_values(Extent::flat(len), (0..n * len).map(|_| r.between(0.0, 1.0) as f32).collect())
    };
    let data = data.expect("targets");
    let weights = (0..n).map(|i| if i < seed as usize % 3 { 0.0 } else { r.between(0.1, 2.0) as f32 }).collect();
    let data = if r.below(2) == 0 { data } else { data.with_weights(weights).expect("weights") };
    let b = Trainer::builder(net, loss, rule(r)).batch(batch).seed(seed).loss_factor(0.7).device(device.clone());
    let b = b.precision(precision).data(data.clone(), Some(data));
    let mut some =
        |b: TrainerBuilder, change: &dyn Fn(TrainerBuilder) -> TrainerBuilder| if r.below(4) == 0 { change(b) } else { b };
    let b = some(b, &|b| b.schedule(Schedule::Exponential { gamma: 0.95 }));
    let b = some(b, &|b| b.ema(Ema::new(0.9).warm_up()));
    let b = some(b, &|b| b.reduce_on_plateau(ReduceOnPlateau::new(Goal::Min).patience(1)));
    let b = some(b, &|b| b.early_stopping(EarlyStopping::new(Goal::Min).patience(2)));
    let b = some(b, &|b| b.shuffle(false));
    let b = some(b, &|b| b.spare_biases());
    let b = some(b, &|b| b.freeze("dense1"));
    some(b, &|b| b.scale_learning_rate("dense1", 0.5))
}

/// Everything that can be seen of a run: numbers that may be rounded, and the rest as text.
struct Seen {
    numbers: Vec<f64>,
    text: String,
    in_one: bool,
}

fn run(seed: u64, device: &Device, epochs: &[u64]) -> Option<Seen> {
    let mut t = builder(seed, device).build().ok()?;
    let (mut numbers, mut text) = (Vec::new(), String::new());
    for &epochs in epochs {
        let report = t.fit(epochs, &mut Silent).expect("a run");
        numbers.push(t.step().expect("a step"));
        let names: Vec<String> = t.model().arrays().map(|(name, _)| name.to_string()).collect();
        for name in &names {
            numbers.extend(t.model().array(name).expect("an array"));
            numbers.extend(t.model().gradient(name).expect("a gradient"));
        }
        numbers.extend(t.model_mut().output(0).expect("an output").to_vec().iter().map(|y| f64::from(*y)));
        numbers.extend(t.history().iter().flat_map(|r| [r.loss, r.valid_loss.unwrap_or(0.0)]));
        text += &format!("{:?} {:?} {:?} {} ", report.epochs, report.steps, report.ended, t.model().updates());
    }
    let in_one = matches!(t.mlp, Some((_, Some(_))));
    text += &format!("{:?}", t.checkpoint().expect("a checkpoint").to_bytes().expect("bytes"));
    Some(Seen { numbers, text, in_one })
}

/// Losses, activations, rules, schedules, batches, averages, weights of samples, frozen nodes at random: the same bits in
/// everything that can be seen, however many steps a launch makes.
#[test]
fn steps_of_one_launch_are_those_of_many() {
    let Some(gpu) = gpu() else { return };
    let mut ran = 0;
    for seed in 0..90 {
        let Some(many) = run(seed, &gpu, &[2, 4]) else { continue };
        for most in [1, 3] {
            let few = limit::with(most, || run(seed, &gpu, &[2, 4])).expect("the same run");
            let same = many.numbers.iter().map(|x| x.to_bits()).eq(few.numbers.iter().map(|x| x.to_bits()));
            assert!(same && many.text == few.text, "seed {seed}, {most} at once");
        }
        ran += usize::from(many.in_one);
    }
    assert!(ran > 60, "only {ran} runs were in one kernel");
}

/// The numbers of the general path but for rounding: after an epoch and a step, every weight, gradient, output and loss is as near
/// to what double precision gives as those of the general path are.
#[test]
fn numbers_are_those_of_the_general_path() {
    let Some(gpu) = gpu() else { return };
    let mut ran = 0;
    for seed in 0..120 {
        let Some(one) = run(seed, &gpu, &[1]) else { continue };
        let general = switch::general(|| run(seed, &gpu, &[1])).expect("the same run");
        let exact = run(seed, &Device::cpu_threads(1).expect("a thread"), &[1]).expect("the same run");
        assert!(!general.in_one && one.numbers.len() == exact.numbers.len());
        let error = |got: &Seen| {
            let each = got.numbers.iter().zip(&exact.numbers).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
            each.fold(0.0, f64::max)
        };
        // Sums of up to 40 terms in another order: chance makes one error or the other larger.
        let bound = 4.0 * error(&general) + 40_f64.sqrt() * f64::from(f32::EPSILON);
        assert!(error(&one) <= bound, "seed {seed}: {:e}, by the general path {:e}", error(&one), error(&general));
        ran += usize::from(one.in_one);
    }
    assert!(ran > 80, "only {ran} runs were in one kernel");
}

/// A run that stops within an epoch and goes on from its checkpoint ends as one that does not.
#[test]
fn runs_resume_within_an_epoch() {
    let Some(gpu) = gpu() else { return };
    let mut ran = 0;
    for seed in 0..25 {
        let Ok(mut whole) = builder(seed, &gpu).build() else { continue };
        whole.fit(3, &mut Silent).expect("a run");
        let (mut first, mut second) = (builder(seed, &gpu).build().expect("a run"), builder(seed, &gpu).build().expect("a run"));
        for _ in 0..whole.steps_per_epoch() + 1 {
            // By hand nobody validates, so that epochs end in fit alone.
            if first.state.cursor < first.train.len() {
                first.step().expect("a step");
            }
        }
        let middle = first.checkpoint().expect("a checkpoint");
        second.step().expect("a step of another run");
        second.restore(&middle).expect("a restored run");
        for t in [&mut first, &mut second] {
            t.fit(3, &mut Silent).expect("a run");
        }
        let arrays = |t: &Trainer| {
            let names = t.model().arrays().map(|(name, _)| t.model().array(name).expect("an array"));
            names.map(|a| a.iter().map(|x| x.to_bits()).collect()).collect::<Vec<Vec<u64>>>()
        };
        assert_eq!(arrays(&first), arrays(&whole), "seed {seed}");
        assert_eq!(first.history(), whole.history(), "seed {seed}");
        assert_eq!(arrays(&second), arrays(&whole), "seed {seed}");
        // The sum of its losses was rounded where it was saved.
        for (a, b) in second.history().iter().zip(whole.history()) {
            assert!((a.loss - b.loss).abs() <= 1e-14 * b.loss.abs(), "seed {seed}: {} {}", a.loss, b.loss);
        }
        ran += usize::from(matches!(second.mlp, Some((_, Some(_)))));
    }
    assert!(ran > 12, "only {ran} runs were in one kernel");
}

/// A loss that is not finite stops a run with the same words, at the same step, and with the weights before it.
#[test]
fn a_broken_loss_is_told_as_by_the_general_path() {
    let Some(gpu) = gpu() else { return };
    let run = || {
        let mut net = Network::new(Extent::flat(2));
        net.push(Dense::new(3).act(Relu));
        net.push(Dense::new(1));
        let x: Vec<f32> = (0..20).map(|i| if i == 13 { 1e30 } else { i as f32 / 20.0 }).collect();
        let data = Samples::new(Extent::flat(2), x).unwrap().with_values(Extent::flat(1), vec![1.0; 10]).unwrap();
        let b = Trainer::builder(net, Mse, Sgd::new(0.1)).batch(1).device(gpu.clone());
        let mut t = b.data(data, None::<Samples>).build().unwrap();
        let e = t.fit(50, &mut Silent).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Diverged);
        let in_one = matches!(t.mlp, Some((_, Some(_))));
        (e.to_string(), t.model().updates(), t.model().array("dense1.weight").unwrap(), in_one)
    };
    let (a, b, c) = (run(), limit::with(2, run), switch::general(run));
    assert!(a.3 && b.3 && !c.3);
    assert_eq!((&a.0, a.1, &a.2), (&b.0, b.1, &b.2));
    assert_eq!((&a.0, a.1), (&c.0, c.1));
    assert!(a.2.iter().zip(&c.2).all(|(a, c)| (a - c).abs() <= 1e-5 * c.abs().max(1.0)), "{:?} {:?}", a.2, c.2);
}

/// A checkpoint on the way is that of its step, and every step is told.
#[test]
fn launches_end_where_the_host_is_needed() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let folder = std::env::temp_dir().join(format!("kamacite-mlp-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
    let run = |most: usize| {
        let path = folder.join(format!("{most}.safetensors"));
        let mut net = Network::new(Extent::flat(2));
        net.push(Dense::new(5).act(Tanh));
        net.push(Dense::new(4));
        let b = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(0.1).momentum(0.9)).batch(4).device(gpu.clone());
        let b = b.schedule(Schedule::Exponential { gamma: 0.9 }).checkpoint(&path).checkpoint_every(5);
        let mut t = b.data(data::synth::clusters(50, 2, 1)?, None::<Samples>).build()?;
        let mut steps = Steps { path, seen: Vec::new() };
        limit::with(most, || t.fit(2, &mut steps))?;
        assert!(matches!(t.mlp, Some((_, Some(_)))));
        Ok::<_, Error>((steps.seen, t.checkpoint()?.to_bytes()?))
    };
    let (many, few) = (run(usize::MAX)?, run(1)?);
    // 13 steps an epoch; the first of a launch sees the file of the launch before.
    let seen = |all: &[Told]| all.iter().map(|(told, _)| *told).collect::<Vec<_>>();
    assert_eq!(seen(&many.0), seen(&few.0));
    for step in [6, 11, 19] {
        assert!(many.0[step - 1].1.is_some() && many.0[step - 1].1 == few.0[step - 1].1, "the file before step {step}");
    }
    assert!(many.1 == few.1);
    std::fs::remove_dir_all(&folder).map_err(|e| Error::io(&folder, e))
}

/// A step as a monitor is told of it, with the bytes of the checkpoint at that time.
type Told = ((u64, usize, f64), Option<Vec<u8>>);

struct Steps {
    path: std::path::PathBuf,
    seen: Vec<Told>,
}

impl monitor::Monitor for Steps {
    fn start(&mut self, _: &monitor::Start<'_>) -> Result<()> {
        Ok(())
    }
    fn batch(&mut self, b: &monitor::Batch) -> Result<()> {
        self.seen.push(((b.step, b.done, b.learning_rate), std::fs::read(&self.path).ok()));
        Ok(())
    }
    fn epoch(&mut self, _: &monitor::Epoch<'_>) -> Result<monitor::Control> {
        Ok(monitor::Control::Continue)
    }
    fn end(&mut self, _: &monitor::End<'_>) -> Result<()> {
        Ok(())
    }
}

/// What only the general path can do, it does.
#[test]
fn other_runs_are_left_to_the_general_path() {
    let Some(gpu) = gpu() else { return };
    let build = |change: &dyn Fn(TrainerBuilder) -> TrainerBuilder, units: usize, augmented: bool, kept: bool| {
        let mut net = Network::new(Extent::line(4, 1));
        let hidden = net.push(Dense::new(units).act(Relu));
        net.push(Dense::new(2));
        let data = Samples::new(Extent::line(4, 1), vec![0.5; 40]).unwrap().with_classes(vec![0; 10], 2).unwrap();
        let b = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(0.1)).batch(4).device(gpu.clone());
        let data: Arc<dyn data::Dataset> =
            if augmented { Arc::new(data::Augmented::new(data, data::Augment::new().shift(1)).unwrap()) } else { Arc::new(data) };
        let mut t = change(b.data(data, None::<Samples>)).build().unwrap();
        if kept {
            t.model_mut().keep(hidden);
        }
        t.step().unwrap();
        matches!(t.mlp, Some((_, Some(_))))
    };
    assert!(build(&|b| b, 8, false, false));
    assert!(!build(&|b| b, 8, true, false), "samples that move");
    assert!(!build(&|b| b, 8, false, true), "a node that is kept");
    assert!(!build(&|b| b, 8000, false, false), "more than fits");
    assert!(!build(&|b| b.accumulate(2), 8, false, false));
    assert!(!build(&|b| b.clip(Clip::Norm(1.0)), 8, false, false));
    assert!(!build(&|b| b.precision(Precision::BF16), 8, false, false));
}
