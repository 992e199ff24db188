//! The steps of the exercises with the network API, beside the solution: the data, the network with its first weights, the rules. The
//! first wrong step ends the program with status 1.

use kamacite::data::{Dataset, Samples};
use kamacite::rng::{Purpose, Stream};
use kamacite::train::TrainerBuilder;
use kamacite::{Device, Extent, Mode, Model, Network, Result, View};
use std::fmt::Debug;

pub fn right(step: &str) {
    println!("right: {step}");
}

pub fn wrong(step: &str, hint: impl AsRef<str>) -> ! {
    eprintln!("WRONG: {step}\n  {}", hint.as_ref());
    std::process::exit(1)
}

/// Where iris.data and pima.data lie: the first argument.
#[allow(dead_code)]
pub fn file(name: &str) -> std::path::PathBuf {
    std::path::PathBuf::from(std::env::args().nth(1).unwrap_or_default()).join(name)
}

pub fn data(step: &str, yours: &Samples, truth: &Samples) {
    let extent = |s: &Samples| format!("{} samples of {}", s.len(), s.inputs()[0]);
    if extent(yours) != extent(truth) {
        wrong(step, format!("read_data(): yours: {}, expected: {}", extent(yours), extent(truth)));
    }
    if yours.labels(0) != truth.labels(0) {
        wrong(step, "read_data(): the samples have other classes than in the reference: another order, or other samples");
    }
    let largest = truth.x(0).iter().fold(0.0_f32, |l, x| l.max(x.abs()));
    for (i, (x, t)) in yours.x(0).iter().zip(truth.x(0)).enumerate() {
        if (x - t).abs() > 1e-5 * largest || x.is_nan() {
            wrong(step, format!("read_data(): value {i}: yours {x}, expected {t}"));
        }
    }
    right(step);
}

/// What is written of both, line by line: the first that differs.
fn lines(step: &str, place: &str, yours: &impl Debug, truth: &impl Debug) {
    let (yours, truth) = (format!("{yours:#?}"), format!("{truth:#?}"));
    let differ = yours.lines().zip(truth.lines()).find(|(a, b)| a != b);
    if let Some((a, b)) = differ {
        wrong(step, format!("{place}: yours `{}`, expected `{}`", a.trim().trim_end_matches(','), b.trim().trim_end_matches(',')));
    }
    if yours.len() != truth.len() {
        wrong(step, format!("{place}: yours is {} than expected", if yours.len() < truth.len() { "shorter" } else { "longer" }));
    }
}

/// The description; then, with equal seeds, what two samples give in training.
pub fn network(yours: Network, truth: Network) -> Result<()> {
    lines("network", "describe()", &yours, &truth);
    let extent = truth.inputs().next().map_or(Extent::flat(1), |(_, extent)| extent);
    let mut r = Stream::new(81, Purpose::User, 0);
    let x: Vec<f32> = (0..2 * extent.len()).map(|_| r.between(-1.0, 1.0) as f32).collect();
    let run = |net: Network| -> Result<Vec<f32>> {
        let mut model = Model::builder(net).device(Device::cpu()).seed(1).build()?;
        Ok(model.forward(Mode::Train, View::new(extent, &x)?)?.to_vec())
    };
    if run(yours)? != run(truth)? {
        wrong("network", "describe(): the same samples give other outputs than in the reference");
    }
    right("network");
    Ok(())
}

pub fn rules(yours: &TrainerBuilder, truth: &TrainerBuilder) {
    lines("rules of training", "rules()", yours, truth);
    right("rules of training");
}
