use crate::device::testing::gpu;
use crate::*;
use std::cell::Cell;

thread_local! {
    static RECORDING: Cell<bool> = const { Cell::new(true) };
}

pub fn recording() -> bool {
    RECORDING.get()
}

/// As if every pass came for the first time.
fn launched<R>(f: impl FnOnce() -> R) -> R {
    RECORDING.set(false);
    let result = f();
    RECORDING.set(true);
    result
}

const X: Extent = Extent::image(8, 8, 2);

fn model(gpu: &Device, precision: Precision) -> Result<Model> {
    let mut net = Network::new(X);
    net.push(Conv::new(8, 3).pad(1).act(Relu));
    net.push(layer::Norm::batch());
    net.push(Pool::max(2));
    net.push(Dropout::new(0.3));
    net.push(Dense::new(48).act(Tanh));
    net.push(Dense::new(5));
    Model::builder(net).device(gpu.clone()).precision(precision).seed(3).loss("output", SoftmaxCrossEntropy, 1.0).build()
}

fn batch(rows: usize, seed: usize) -> Vec<f32> {
    (0..rows * X.len()).map(|i| ((i * 7 + seed * 13) % 23) as f32 / 11.0 - 1.0).collect()
}

/// Calls with different rows, modes and inputs, and everything in between that changes weights.
fn run(gpu: &Device, precision: Precision) -> Result<Vec<Vec<f32>>> {
    let (mut m, mut all) = (model(gpu, precision)?, Vec::new());
    let see = |m: &mut Model, all: &mut Vec<Vec<f32>>| -> Result<()> {
        for (rows, seed) in [(1, 1), (4, 2), (1, 3), (4, 4), (3, 5), (4, 6), (1, 7), (3, 8)] {
            all.push(m.forward(Mode::Infer, View::new(X, &batch(rows, seed))?)?.to_vec());
            all.push(m.predict()?.to_vec());
        }
        for _ in 0..3 {
            all.push(m.forward(Mode::MonteCarlo, View::new(X, &batch(4, 9))?)?.to_vec());
        }
        Ok(())
    };
    see(&mut m, &mut all)?;
    // The optimizer and the statistics of a training step.
    for step in 0..2 {
        m.train_batch(View::new(X, &batch(4, step))?, &[Targets::Classes(&[0, 1, 2, 3])], &Sgd::new(0.1))?;
        m.average(&optim::Ema::new(0.5))?;
    }
    see(&mut m, &mut all)?;
    m.swap_average()?;
    see(&mut m, &mut all)?;
    let names: Vec<String> = m.arrays().map(|(name, _)| name.to_string()).filter(|name| name.ends_with("weight")).collect();
    for name in names {
        let halves: Vec<f64> = m.array(&name)?.iter().map(|w| 0.5 * w).collect();
        m.set_array(&name, &halves)?;
    }
    see(&mut m, &mut all)?;
    let other = model(gpu, precision)?.checkpoint()?;
    m.restore(&other)?;
    see(&mut m, &mut all)?;
    Ok(all)
}

/// Replayed passes have the bits of launched ones, and see every change of the weights.
#[test]
fn replayed_passes_are_those_that_were_launched() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    for precision in [Precision::FP32, Precision::BF16, Precision::FP16] {
        let (replayed, all) = (run(&gpu, precision)?, launched(|| run(&gpu, precision))?);
        let same = |a: &Vec<f32>, b: &Vec<f32>| a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()));
        for (i, (a, b)) in replayed.iter().zip(&all).enumerate() {
            assert!(same(a, b), "{precision:?}, output {i}");
        }
        // 19 outputs between changes: all of these were seen.
        assert_eq!(all.len(), 5 * 19);
        for change in 1..5 {
            assert!(!same(&all[0], &all[19 * change]) || change == 4, "{precision:?}, change {change}");
        }
        assert!(same(&all[0], &all[76]), "{precision:?}: restored weights");
    }
    Ok(())
}

/// A trainer's own steps, replayed, change the weights that an evaluation sees.
#[test]
fn evaluations_see_the_steps_of_a_trainer() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let run = || -> Result<Vec<f64>> {
        let mut net = Network::new(X);
        net.push(Conv::new(8, 3).pad(1).act(Relu));
        net.push(Dense::new(40).act(Relu));
        net.push(Dense::new(3));
        let data = data::Samples::new(X, batch(18, 0))?.with_classes((0..18).map(|i| i % 3).collect(), 3)?;
        let b = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(0.01)).batch(4).seed(1).device(gpu.clone());
        let mut t = b.precision(Precision::BF16).data(data.clone(), Some(data)).build()?;
        t.fit(6, &mut Silent)?;
        Ok(t.history().iter().flat_map(|r| [r.loss, r.valid_loss.unwrap_or(0.0)]).collect())
    };
    let (replayed, all) = (run()?, launched(run)?);
    assert_eq!(replayed, all);
    assert!(all.chunks(2).map(|l| l[1]).collect::<Vec<_>>().windows(2).all(|l| l[0] != l[1]), "{all:?}");
    Ok(())
}

/// Threads with models of their own share a stream: what one records holds nothing of the others.
#[test]
fn threads_record_side_by_side() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let alone = run(&gpu, Precision::FP32)?;
    let together: Vec<_> = std::thread::scope(|s| {
        let threads: Vec<_> = (0..3).map(|_| s.spawn(|| run(&gpu, Precision::FP32))).collect();
        threads.into_iter().map(|t| t.join().expect("a thread")).collect::<Result<_>>()
    })?;
    let bits = |all: &[Vec<f32>]| all.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert!(together.iter().all(|one| bits(one) == bits(&alone)));
    Ok(())
}
