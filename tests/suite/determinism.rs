//! The same seed gives the same bits: for any number of threads, in two runs, over whole trainings.

use kamacite::loss::SoftmaxCrossEntropy;
use kamacite::optim::{Adam, Sgd};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;

type Bits = Vec<(String, Vec<u64>)>;

/// All weights and states after 20 steps on random batches, some of them partial.
fn train(net: &Network, rule: &dyn Optimizer, classes: usize, threads: usize, seed: u64) -> Result<Bits> {
    let extent = net.inputs().next().map(|(_, e)| e).unwrap_or(Extent::flat(1));
    let builder = Model::builder(net.clone()).device(Device::cpu_threads(threads)?).seed(seed);
    let mut model = builder.loss("output", SoftmaxCrossEntropy, 1.0).build()?;
    let mut r = Stream::new(seed, Purpose::User, 0);
    for step in 0..20 {
        let rows = if step % 5 == 4 { 11 } else { 16 };
        let x: Vec<f32> = (0..rows * extent.len()).map(|_| r.normal() as f32).collect();
        let t: Vec<u32> = (0..rows).map(|_| r.below(classes) as u32).collect();
        model.forward(Mode::Train, View::new(extent, &x)?)?;
        let loss = model.loss(&[Targets::Classes(&t)])?;
        assert!(loss.is_finite());
        model.backward(Seed::Loss, Grads::Write)?;
        model.step(rule)?;
    }
    let names: Vec<String> = model.arrays().map(|(n, _)| n.to_string()).collect();
    names.into_iter().map(|n| Ok((n.clone(), model.array(&n)?.iter().map(|v| v.to_bits()).collect()))).collect()
}

fn check(net: &Network, rule: &dyn Optimizer, classes: usize) -> Result<()> {
    let first = train(net, rule, classes, 1, 3)?;
    for threads in [1, 2, 7] {
        for ((name, a), (_, b)) in first.iter().zip(&train(net, rule, classes, threads, 3)?) {
            assert!(a == b, "{name} differs with {threads} threads");
        }
    }
    assert_ne!(first, train(net, rule, classes, 1, 4)?, "another seed should give another training");
    Ok(())
}

#[test]
fn dense_with_dropout() -> Result<()> {
    let mut net = Network::new(Extent::flat(150));
    net.push(Dense::new(300).act(Relu));
    net.push(Dropout::new(0.4));
    net.push(Dense::new(200).act(Tanh));
    net.push(Dense::new(10));
    check(&net, &Sgd::new(0.05).momentum(0.9), 10)
}

#[test]
fn images() -> Result<()> {
    let mut net = Network::new(Extent::image(24, 24, 3));
    net.push(Conv::new(16, 3).same());
    net.push(Norm::batch());
    net.push(Activate::new(Relu));
    net.push(Pool::max(2));
    net.push(Conv::depthwise(3).pad(1));
    net.push(Conv::new(24, 1).act(Gelu));
    net.push(Norm::groups(4));
    net.push(Pool::average(3).stride(2));
    net.push(Dropout::channels(0.2));
    net.push(Dense::new(7));
    check(&net, &Adam::new(1e-3), 7)
}

#[test]
fn cubes_up_and_down() -> Result<()> {
    let mut net = Network::new(Extent::cube(4, 8, 8, 2));
    let down = net.push(Conv::new(8, 3).stride(2).pad(1).act(Silu));
    let up = net.push(ConvTranspose::new(6, 2).stride(2));
    let smooth = net.add(Upsample::linear(2), &[down]);
    net.add(Merge::concat(), &[up, smooth]);
    net.push(PRelu::new());
    net.push(Lrn::new(3));
    net.push(Norm::layer());
    net.push(Pool::global_average());
    net.push(Dense::new(3));
    check(&net, &kamacite::optim::AdamW::new(1e-3).amsgrad(), 3)
}
