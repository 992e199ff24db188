//! Five small training steps, whose instructions `tests/instructions.sh` counts under callgrind.
//!
//! instructions NAME STEPS takes one step that plans, then STEPS steps within `counted_steps`, the only function that is counted; without
//! arguments it lists NAME and STEPS of all networks.

use kamacite::rng::{Purpose, Stream};
use kamacite::*;

struct Net {
    name: &'static str,
    batch: usize,
    /// So many that a count is some ten million.
    steps: usize,
    build: fn() -> Network,
}

/// A network of the online course, an MLP and a LeNet for digits, convolutions along spectra, convolutions with batch norm and pooling.
const NETS: [Net; 5] = [
    Net { name: "iris_mlp", batch: 8, steps: 2000, build: iris_mlp },
    Net { name: "digits_mlp", batch: 32, steps: 8, build: digits_mlp },
    Net { name: "lenet", batch: 4, steps: 4, build: lenet },
    Net { name: "spectra_cnn", batch: 2, steps: 4, build: spectra_cnn },
    Net { name: "batch_norm_cnn", batch: 4, steps: 4, build: batch_norm_cnn },
];

fn iris_mlp() -> Network {
    let mut net = Network::new(Extent::flat(4));
    net.push(Dense::new(8).act(Relu));
    net.push(Dense::new(3));
    net
}

fn digits_mlp() -> Network {
    let mut net = Network::new(Extent::flat(784));
    net.push(Dense::new(128).act(Relu));
    net.push(Dense::new(10));
    net
}

fn lenet() -> Network {
    let mut net = Network::new(Extent::image(28, 28, 1));
    for filters in [8, 16] {
        net.push(Conv::new(filters, 5).pad(2).act(Relu));
        net.push(Pool::max(2));
    }
    for (units, rate) in [(256, 0.5), (128, 0.2)] {
        net.push(Dense::new(units).act(Relu));
        net.push(Dropout::new(rate));
    }
    net.push(Dense::new(10));
    net
}

fn spectra_cnn() -> Network {
    let mut net = Network::new(Extent::line(3776, 1));
    for filters in [8, 16, 32] {
        net.push(Conv::new(filters, [8]).stride([4]).pad([2]).act(Relu));
    }
    net.push(Dense::new(64).act(Relu));
    net.push(Dense::new(7));
    net
}

fn batch_norm_cnn() -> Network {
    let mut net = Network::new(Extent::image(32, 32, 1));
    for filters in [16, 32] {
        net.push(Conv::new(filters, 3).pad(1));
        net.push(Norm::batch());
        net.push(Activate::new(Relu));
        net.push(Pool::max(2));
    }
    net.push(Dense::new(3));
    net
}

/// What callgrind counts.
#[inline(never)]
fn counted_steps(n: usize, step: &mut dyn FnMut() -> Result<f64>) -> Result<f64> {
    (0..n).try_fold(0.0, |_, _| step())
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let Some(name) = args.next() else {
        NETS.iter().for_each(|net| println!("{} {}", net.name, net.steps));
        return Ok(());
    };
    let net = NETS.iter().find(|net| net.name == name).ok_or_else(|| Error::value("command line", "name").got(&name))?;
    let steps = args.next().and_then(|n| n.parse().ok()).unwrap_or(net.steps);
    let built = (net.build)();
    let (input, classes) = (built.inputs().next().map_or(Extent::flat(1), |(_, e)| e), built.report(Mode::Infer, 1)?);
    let classes = classes.nodes.last().map_or(1, |node| node.extent.c);
    let mut model =
        Model::builder(built).seed(1).device(Device::cpu_threads(1)?).loss("output", SoftmaxCrossEntropy, 1.0).build()?;
    let mut r = Stream::new(1, Purpose::User, 0);
    let x: Vec<f32> = (0..net.batch * input.len()).map(|_| r.normal() as f32).collect();
    let labels: Vec<u32> = (0..net.batch).map(|_| r.below(classes) as u32).collect();
    let sgd = Sgd::new(1e-3).momentum(0.9);
    let mut step = || model.train_batch(View::new(input, &x)?, &[Targets::Classes(&labels)], &sgd);
    step()?;
    let loss = counted_steps(steps, &mut step)?;
    println!("{name}: loss {loss:.4} on {}", model.device());
    Ok(())
}
