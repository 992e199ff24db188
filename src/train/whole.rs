//! Steps in one piece, where the network is small enough.

use super::Trainer;
use crate::network::Table;
use crate::{Error, Result};
use std::ops::Range;

impl Trainer {
    /// Looks whether the steps of this plan can be made in one piece, now that it is new.
    pub(super) fn find_whole(&mut self, plan: usize) {
        // The samples do not change.
        let table = self.whole.take().map(|(_, table)| table);
        if self.rules.accumulate > 1 || self.rules.clip.is_some() {
            return;
        }
        let Some(whole) = self.model.whole(plan, &*self.optimizer) else { return };
        let wanted = self.model.planned(plan).losses[0].used().kind;
        self.whole = table.or_else(|| Table::read(&*self.train.data, wanted)).map(|table| (whole, table));
    }

    /// One update on the samples at this range of the order.
    pub(super) fn step_whole(&mut self, range: Range<usize>) -> Result<f64> {
        let rate = self.learning_rate();
        let Some((whole, table)) = &mut self.whole else { return Err(Error::order("trainer", "no whole step")) };
        let sum = self.model.step_whole(whole, (table, self.train.samples(range.clone())), &*self.optimizer, rate)?;
        if !sum.is_finite() {
            return Err(self.diverged(range, sum));
        }
        if let Some(ema) = &self.rules.ema {
            self.model.average(ema)?;
        }
        self.state.cursor = range.end;
        self.state.sum += sum;
        Ok(sum / range.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Samples;
    use crate::op::dense_micro::switch;
    use crate::optim::{AdamW, Clip, EarlyStopping, Ema, Goal, ReduceOnPlateau, RmsProp, Schedule};
    use crate::rng::{Purpose, Stream};
    use crate::train::TrainerBuilder;
    use crate::*;
    use std::sync::Arc;

    /// What a run is made of besides its random numbers.
    #[derive(Clone, Copy, Debug)]
    struct Case {
        seed: u64,
        precision: Precision,
        /// How many samples count for nothing, and how many are extreme.
        odd: usize,
    }

    fn samples(r: &mut Stream, n: usize, k: usize, classes: usize, case: Case) -> Samples {
        let x: Vec<f32> = (0..n * k).map(|_| r.between(-1.0, 1.0) as f32).collect();
        let samples = Samples::new(Extent::flat(k), x).unwrap();
        let samples = if r.below(2) == 0 {
            samples.with_classes((0..n).map(|_| r.below(classes) as u32).collect(), classes).unwrap()
        } else {
            let t: Vec<f32> = (0..n * classes).map(|_| r.between(0.0, 1.0) as f32).collect();
            samples.with_values(Extent::flat(classes), t).unwrap()
        };
        if r.below(2) == 0 {
            return samples;
        }
        let weights = (0..n).map(|i| if i < case.odd { 0.0 } else { r.between(0.1, 2.0) as f32 }).collect();
        samples.with_weights(weights).unwrap()
    }

    fn builder(case: Case) -> TrainerBuilder {
        let r = &mut Stream::new(case.seed, Purpose::User, 0);
        let (k, depth) = (1 + r.below(9), 1 + r.below(3));
        let mut net = Network::new(Extent::flat(k));
        let acts = [Linear, Relu, Tanh, Logistic, Gelu, Softplus, Elu { alpha: 0.5 }, Silu];
        let mut units = 0;
        for layer in 0..depth {
            units = 1 + r.below(8);
            let act = if layer + 1 == depth { Linear } else { acts[r.below(acts.len())] };
            net.push(if r.below(4) == 0 { Dense::new(units).act(act).no_bias() } else { Dense::new(units).act(act) });
        }
        let (n, batch) = (1 + r.below(20), 1 + r.below(3));
        let (train, valid) = (samples(r, n, k, units, case), samples(r, 5, k, units, case));
        let rule: Arc<dyn Optimizer> = match r.below(6) {
            0 => Arc::new(Sgd::new(0.05)),
            1 => Arc::new(Sgd::new(0.02).momentum(0.9).weight_decay(1e-3)),
            2 => Arc::new(Sgd::new(0.02).momentum(0.8).nesterov().velocity_form()),
            3 => Arc::new(Adam::new(0.01).amsgrad()),
            4 => Arc::new(AdamW::new(0.01)),
            _ => Arc::new(RmsProp::new(0.01)),
        };
        let losses: [Arc<dyn Loss>; 5] = [
            Arc::new(SoftmaxCrossEntropy),
            Arc::new(SoftmaxCrossEntropy.label_smoothing(0.1).class_weights(&vec![1.5; units])),
            Arc::new(Mse),
            Arc::new(Mse::half()),
            Arc::new(Mae),
        ];
        // Validation wants the kind of target that training has.
        let valid = if valid.targets() == train.targets() { Some(valid) } else { None };
        let mut b = Trainer::builder(net, losses[r.below(losses.len())].clone(), rule).batch(batch).seed(case.seed);
        b = b.data(train, valid).precision(case.precision).loss_factor(0.7).device(Device::cpu_threads(1).unwrap());
        let mut some = |b: TrainerBuilder, change: &dyn Fn(TrainerBuilder) -> TrainerBuilder| {
            if r.below(4) == 0 { change(b) } else { b }
        };
        b = some(b, &|b| b.schedule(Schedule::Exponential { gamma: 0.95 }));
        b = some(b, &|b| b.ema(Ema::new(0.9)));
        b = some(b, &|b| b.reduce_on_plateau(ReduceOnPlateau::new(Goal::Min).patience(1)));
        b = some(b, &|b| b.early_stopping(EarlyStopping::new(Goal::Min).patience(2)));
        b = some(b, &|b| b.shuffle(false));
        b = some(b, &|b| b.spare_biases());
        b = some(b, &|b| b.freeze("dense1"));
        b = some(b, &|b| b.scale_learning_rate("dense1", 0.5));
        some(b, &|b| b.validate_every(2))
    }

    /// Everything that can be seen of a run, whether its steps were whole, and how it went on by hand.
    fn run(case: Case) -> (String, bool) {
        let mut t = match builder(case).build() {
            Ok(t) => t,
            Err(e) => return (e.to_string(), false),
        };
        let mut seen = String::new();
        for epochs in [2, 5] {
            let report = t.fit(epochs, &mut Silent).unwrap();
            let names: Vec<String> = t.model().arrays().map(|(name, _)| name.to_string()).collect();
            for name in &names {
                let bits = |v: Vec<f64>| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                seen +=
                    &format!("{name} {:?} {:?} ", bits(t.model().array(name).unwrap()), bits(t.model().gradient(name).unwrap()));
            }
            let valid = report.valid.map(|v| v.loss);
            seen += &format!("{:?} {:?} {:?} {:?} ", report.epochs, report.steps, report.ended, valid);
            seen += &format!("{:?} {:?} ", t.history(), t.checkpoint().unwrap().to_bytes().unwrap());
            seen += &format!("{:?} ", t.step().unwrap());
            seen += &format!("{:?} ", t.model_mut().output(0).unwrap().to_vec());
        }
        (seen, t.whole.is_some())
    }

    /// Losses, rules, schedules, batches, weights of samples, frozen nodes at random: the same weights, gradients, reports and
    /// checkpoints as by the general path.
    #[test]
    fn whole_steps_have_the_bits_of_the_general_path() {
        let mut ran = 0;
        for seed in 0..300 {
            for precision in [Precision::FP32, Precision::FP64] {
                let case = Case { seed, precision, odd: (seed % 3) as usize };
                let (whole, is_whole) = run(case);
                let (general, never) = switch::general(|| run(case));
                assert!(!never && whole == general, "{case:?}:\n{whole}\n{general}");
                ran += usize::from(is_whole);
            }
        }
        assert!(ran > 150, "only {ran} runs were whole");
    }

    /// A loss that is not finite stops a run with the same words, and the weights before it.
    #[test]
    fn a_broken_loss_is_told_as_by_the_general_path() {
        let run = || {
            let mut net = Network::new(Extent::flat(2));
            net.push(Dense::new(3).act(Relu));
            net.push(Dense::new(1));
            let x: Vec<f32> = (0..20).map(|i| if i == 13 { 1e30 } else { i as f32 / 20.0 }).collect();
            let data = Samples::new(Extent::flat(2), x).unwrap().with_values(Extent::flat(1), vec![1.0; 10]).unwrap();
            let b = Trainer::builder(net, Mse, Sgd::new(0.1)).batch(1).device(Device::cpu_threads(1).unwrap());
            let mut t = b.data(data, None::<Samples>).build().unwrap();
            let whole = t.whole.is_some();
            let e = t.fit(50, &mut Silent).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Diverged);
            (e.to_string(), t.model().updates(), t.model().array("dense1.weight").unwrap(), whole)
        };
        let (a, b) = (run(), switch::general(run));
        assert!(a.3 && !b.3);
        assert_eq!((a.0, a.1, a.2), (b.0, b.1, b.2));
    }

    /// What only the general path can do, it does.
    #[test]
    fn clipping_accumulation_and_sets_that_vary_are_left_to_the_general_path() {
        let build = |change: &dyn Fn(TrainerBuilder) -> TrainerBuilder, augmented: bool| {
            let mut net = Network::new(Extent::line(4, 1));
            net.push(Dense::new(2));
            let data = Samples::new(Extent::line(4, 1), vec![0.5; 40]).unwrap().with_classes(vec![0; 10], 2).unwrap();
            let b = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(0.1)).batch(1).device(Device::cpu_threads(1).unwrap());
            let data: Arc<dyn data::Dataset> = if augmented {
                Arc::new(data::Augmented::new(data, data::Augment::new().shift(1)).unwrap())
            } else {
                Arc::new(data)
            };
            change(b.data(data, None::<Samples>)).build().unwrap().whole.is_some()
        };
        assert!(build(&|b| b, false));
        assert!(!build(&|b| b, true));
        assert!(!build(&|b| b.accumulate(2), false));
        assert!(!build(&|b| b.clip(Clip::Norm(1.0)), false));
    }
}
