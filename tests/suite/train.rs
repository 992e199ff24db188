//! The trainer: resumed runs, accumulation, early stopping, averages, divergence.

use kamacite::data::Samples;
use kamacite::monitor::{Batch, Control, End, Epoch, Start};
use kamacite::optim::{
    Adadelta, Adam, AdamW, Clip, EarlyStopping, Ema, Goal, Optimizer, ReduceOnPlateau, RmsProp, Schedule, Sgd,
};
use kamacite::rng::{Purpose, Stream};
use kamacite::train::{Ended, TrainerBuilder};
use kamacite::*;
use std::path::Path;
use std::sync::Arc;

/// Three classes of points around corners of a square: easy, but not at once.
pub fn points(n: usize, seed: u64) -> Samples {
    let mut r = Stream::new(seed, Purpose::User, 0);
    let labels: Vec<u32> = (0..n).map(|i| (i % 3) as u32).collect();
    let corner = [[1.0, 1.0], [-1.0, 1.0], [0.0, -1.0]];
    let x = labels.iter().flat_map(|&c| corner[c as usize].map(|m| (m + 0.6 * r.normal()) as f32)).collect();
    Samples::new(Extent::flat(2), x).and_then(|s| s.with_classes(labels, 3)).expect("sizes fit")
}

/// Dense, norm, dropout: running statistics and random masks must be resumed as well.
pub fn network() -> Network {
    let mut net = Network::new(Extent::flat(2));
    net.push(Dense::new(16));
    net.push(Norm::batch());
    net.push(Activate::new(Relu));
    net.push(Dropout::new(0.2));
    net.push(Dense::new(3));
    net
}

fn builder(optimizer: impl Optimizer + 'static) -> TrainerBuilder {
    let (train, valid) = (points(90, 1), points(60, 2));
    Trainer::builder(network(), SoftmaxCrossEntropy, optimizer).batch(16).seed(5).data(train, Some(valid))
}

pub fn steps(t: &mut Trainer, count: usize) {
    for _ in 0..count {
        t.step().expect("a step");
    }
}

/// Every bit of a trainer's state.
fn state(t: &Trainer) -> Vec<u8> {
    t.checkpoint().and_then(|c| c.to_bytes()).expect("a finite state")
}

/// 100 steps, against 37 steps, a checkpoint on disk, and 63 steps of another trainer built anew.
fn resumes(make: impl Fn() -> TrainerBuilder, name: &str) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("run.safetensors");
    let mut whole = make().build().expect("a legal trainer");
    steps(&mut whole, 100);
    let mut first = make().build().expect("a legal trainer");
    steps(&mut first, 37);
    first.save(&path).expect("a file");
    drop(first);
    let mut second = make().resume(&path).build().expect("a resumed trainer");
    assert_eq!(second.model().updates(), 37, "{name}");
    steps(&mut second, 63);
    assert!(state(&whole) == state(&second), "{name}: a resumed run differs");
    assert!(state(&whole) != state(&make().build().expect("a legal trainer")), "{name}: nothing was trained");
}

/// 90 samples in batches of 16 make 6 steps an epoch, so step 37 lies within an epoch.
#[test]
fn a_resumed_run_has_the_same_bits_for_every_optimizer() {
    resumes(|| builder(Sgd::new(0.05)), "sgd");
    resumes(|| builder(Sgd::new(0.05).momentum(0.9).nesterov().weight_decay(1e-3)), "sgd nesterov");
    resumes(|| builder(Adam::new(0.01)), "adam");
    resumes(|| builder(Adam::new(0.01).amsgrad()), "amsgrad");
    resumes(|| builder(AdamW::new(0.01).weight_decay(0.01)).spare_biases(), "adamw");
    resumes(|| builder(RmsProp::new(0.01).momentum(0.5).centered()), "rmsprop");
    resumes(|| builder(Adadelta::new(1.0)), "adadelta");
    let rich = || {
        builder(Adam::new(0.01))
            .ema(Ema::new(0.95).warm_up())
            .clip(Clip::Norm(0.5))
            .accumulate(2)
            .schedule(Schedule::cosine_restarts(20, 2, 0.1).warm_up(5))
            .scale_learning_rate("dense2", 0.5)
    };
    resumes(rich, "everything");
    resumes(|| builder(Adam::new(0.01)).precision(Precision::FP64), "f64");
}

#[test]
fn fit_goes_on_after_a_stop_and_ends_like_an_uninterrupted_run() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let make = |path: &Path| {
        builder(Adam::new(0.01))
            .checkpoint(path)
            .reduce_on_plateau(ReduceOnPlateau::new(Goal::Min).patience(0))
            .early_stopping(EarlyStopping::new(Goal::Min).patience(50))
    };
    let (a, b) = (dir.path().join("a.safetensors"), dir.path().join("b.safetensors"));
    let mut whole = make(&a).build().expect("a legal trainer");
    whole.fit(12, &mut Silent).expect("a run");
    /// Stops after this many steps.
    struct After(u64, StopHandle);
    impl Monitor for After {
        fn start(&mut self, _: &Start<'_>) -> Result<()> {
            Ok(())
        }
        fn batch(&mut self, b: &Batch) -> Result<()> {
            if b.step == self.0 {
                self.1.stop();
            }
            Ok(())
        }
        fn epoch(&mut self, _: &Epoch<'_>) -> Result<Control> {
            Ok(Control::Continue)
        }
        fn end(&mut self, _: &End<'_>) -> Result<()> {
            Ok(())
        }
    }
    let mut first = make(&b).build().expect("a legal trainer");
    let stop = first.stop_handle();
    let report = first.fit(12, &mut After(33, stop)).expect("a stopped run");
    assert_eq!((report.ended, report.steps, report.checkpoint.as_deref()), (Ended::Stopped, 33, Some(b.as_path())));
    drop(first);
    let mut second = make(&b).resume(&b).build().expect("a resumed trainer");
    let report = second.fit(12, &mut Silent).expect("the rest");
    assert_eq!((report.ended, report.epochs), (Ended::Done, 12));
    assert!(state(&whole) == state(&second), "weights, history or plateau differ");
    assert_eq!(whole.history(), second.history());
    assert!(whole.history().last().and_then(|r| r.accuracy).expect("validated") > 0.8);
}

#[test]
fn accumulated_batches_are_one_large_batch() {
    let plain = |batch, accumulate| {
        let mut net = Network::new(Extent::flat(2));
        net.push(Dense::new(16).act(Tanh));
        net.push(Dense::new(3));
        let t = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(0.1)).precision(Precision::FP64);
        let mut t = t.batch(batch).accumulate(accumulate).seed(3).data(points(90, 1), None::<Samples>).build().expect("legal");
        steps(&mut t, 10);
        t.model().array("dense1.weight").expect("a weight")
    };
    let (large, small) = (plain(32, 1), plain(8, 4));
    // Sums in another order: a few ulp of numbers near 1.
    assert!(large.iter().zip(&small).all(|(a, b)| (a - b).abs() < 1e-13), "{large:?} {small:?}");
}

#[test]
fn early_stopping_goes_back_to_the_best_weights() {
    // Steps so large that the weights wander: the last epoch is not the best.
    let mut t =
        builder(Sgd::new(3.0)).early_stopping(EarlyStopping::new(Goal::Min).patience(3)).build().expect("a legal trainer");
    let report = t.fit(200, &mut Silent).expect("a run");
    assert_eq!(report.ended, Ended::EarlyStopping);
    let losses: Vec<f64> = t.history().iter().filter_map(|r| r.valid_loss).collect();
    let best = losses.iter().copied().fold(f64::MAX, f64::min);
    assert_eq!(report.valid.expect("validated").loss, best, "{losses:?}");
    assert!(losses.last().is_some_and(|l| *l > best), "the last epoch was the best");
}

#[test]
fn the_best_checkpoint_follows_the_goal_of_the_plateau_rule() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Steps so large that loss and accuracy disagree about the best epoch.
    let epoch = |goal: Option<Goal>| {
        let path = dir.path().join(format!("{goal:?}.safetensors"));
        let mut b = builder(Sgd::new(3.0)).best(&path);
        if let Some(goal) = goal {
            b = b.reduce_on_plateau(ReduceOnPlateau::new(goal).patience(1000));
        }
        let mut t = b.build().expect("a legal trainer");
        t.fit(40, &mut Silent).expect("a run");
        let history = t.history().to_vec();
        t.restore(&Checkpoint::load(&path).expect("a best checkpoint")).expect("the same network");
        (t.epoch(), history)
    };
    let first = |history: &[train::Record], score: &dyn Fn(&train::Record) -> f64| {
        let best = history.iter().map(score).fold(f64::MIN, f64::max);
        history.iter().find(|r| score(r) == best).map_or(0, |r| r.epoch)
    };
    let (by_accuracy, history) = epoch(Some(Goal::Max));
    let highest = first(&history, &|r| r.accuracy.unwrap_or(f64::NAN));
    let lowest = first(&history, &|r| -r.valid_loss.unwrap_or(f64::NAN));
    assert_ne!(highest, lowest, "loss and accuracy agree: the test proves nothing");
    assert_eq!(by_accuracy, highest);
    assert_eq!([epoch(Some(Goal::Min)).0, epoch(None).0], [lowest; 2]);
}

#[test]
fn the_first_nan_stops_before_the_weights_change_and_names_layer_and_samples() {
    struct Poisoned(Samples, f32);
    impl Dataset for Poisoned {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn inputs(&self) -> &[Extent] {
            self.0.inputs()
        }
        fn targets(&self) -> &[Target] {
            self.0.targets()
        }
        fn input(&self, pick: Pick, k: usize, x: &mut [f32]) -> Result<()> {
            self.0.input(pick, k, x)?;
            if pick.index == 77 {
                x[1] = self.1;
            }
            Ok(())
        }
        fn values(&self, pick: Pick, k: usize, t: &mut [f32]) -> Result<()> {
            self.0.values(pick, k, t)
        }
        fn classes(&self, pick: Pick, k: usize, t: &mut [u32]) -> Result<()> {
            self.0.classes(pick, k, t)
        }
        fn weight(&self, index: usize) -> f32 {
            self.0.weight(index)
        }
    }
    let run = |value: f32| {
        let data: Arc<dyn Dataset> = Arc::new(Poisoned(points(90, 1), value));
        let mut net = Network::new(Extent::flat(2));
        net.push(Dense::new(8).act(Tanh));
        let suspect = net.push(Dense::new(3));
        net.name(suspect, "suspect");
        let mut t = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(0.1))
            .batch(16)
            .data(data, None::<Samples>)
            .build()
            .expect("legal");
        let (error, before) = loop {
            let before = t.model().array("suspect.weight").expect("a weight");
            if let Err(e) = t.step() {
                break (e, before);
            }
        };
        assert_eq!(error.kind(), ErrorKind::Diverged);
        (error.to_string(), before, t.model().array("suspect.weight").expect("a weight"))
    };
    // A NaN reaches the loss at once.
    let (text, before, after) = run(f32::NAN);
    assert!(text.contains("for samples 77;") && text.contains("node 0 (input)"), "{text}");
    assert_eq!(before, after, "the weights were touched");
    // An infinity saturates the tanh: the loss stays finite, the gradient of the first layer does not.
    let (text, ..) = run(f32::INFINITY);
    assert!(text.contains("dense1.weight") && text.contains("gradient"), "{text}");
}

#[test]
fn options_outside_their_domain_are_refused_before_training() {
    let kind = |b: TrainerBuilder| b.build().err().map(|e| e.kind());
    assert_eq!(kind(builder(Sgd::new(0.1)).batch(0)), Some(ErrorKind::Value));
    assert_eq!(kind(builder(Sgd::new(0.1)).accumulate(0)), Some(ErrorKind::Value));
    assert_eq!(kind(builder(Sgd::new(-0.1))), Some(ErrorKind::Value));
    assert_eq!(kind(builder(Sgd::new(f64::NAN))), Some(ErrorKind::Value));
    assert_eq!(kind(builder(Adam::new(0.1)).clip(Clip::Norm(0.0))), Some(ErrorKind::Value));
    assert_eq!(kind(builder(Adam::new(0.1)).freeze("nobody")), Some(ErrorKind::Plan));
    assert_eq!(kind(builder(Adam::new(0.1)).loss("nowhere", Mse, 1.0)), Some(ErrorKind::Plan));
    let wrong = Samples::new(Extent::flat(3), vec![0.0; 9]).and_then(|s| s.with_classes(vec![0, 1, 2], 3)).expect("sizes fit");
    assert_eq!(kind(builder(Adam::new(0.1)).data(wrong, None::<Samples>)), Some(ErrorKind::Shape));
    let four = Samples::new(Extent::flat(2), vec![0.0; 8]).and_then(|s| s.with_classes(vec![0, 1, 2, 3], 4)).expect("sizes fit");
    assert_eq!(kind(builder(Adam::new(0.1)).data(four, None::<Samples>)), Some(ErrorKind::Shape));
}

#[test]
fn an_average_of_the_weights_is_what_validation_sees() {
    let mut t = builder(Adam::new(0.05)).ema(Ema::new(0.9)).build().expect("a legal trainer");
    t.fit(3, &mut Silent).expect("a run");
    let averaged = t.validate().expect("validation").expect("there are data").loss;
    let weights = t.model().array("dense1.weight").expect("a weight");
    let raw = t.model_mut().evaluate(points(60, 2), 16).expect("an evaluation").loss;
    assert_ne!(averaged, raw);
    t.model_mut().swap_average().expect("an average");
    assert_eq!(t.model_mut().evaluate(points(60, 2), 16).expect("an evaluation").loss, averaged);
    t.model_mut().swap_average().expect("an average");
    assert_eq!(t.model().array("dense1.weight").expect("a weight"), weights);
}

#[test]
fn frozen_nodes_stay_and_scaled_ones_follow_their_own_rate() {
    let train = |scale: f64, freeze: bool| {
        let mut b = builder(Sgd::new(0.1)).scale_learning_rate("dense2", scale);
        if freeze {
            b = b.freeze("dense1");
        }
        let mut t = b.build().expect("a legal trainer");
        let before = t.model().array("dense1.weight").expect("a weight");
        let head = t.model().array("dense2.bias").expect("a bias");
        t.step().expect("a step");
        let moved = |name: &str, old: &[f64]| {
            let new = t.model().array(name).expect("an array");
            new.iter().zip(old).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        (moved("dense1.weight", &before), moved("dense2.bias", &head))
    };
    let (body, head) = train(1.0, false);
    let (frozen, half) = train(0.5, true);
    assert!(body > 0.0 && frozen == 0.0);
    // The bias's first step is rate times gradient, exactly halved but for rounding of the new bias.
    assert!((half / head - 0.5).abs() < 1e-5, "{half} {head}");
}
