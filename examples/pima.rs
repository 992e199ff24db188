//! Diabetes from eight measures: the course's second perceptron, 8-8-2, online gradient descent on ½ Σ (o − t)².
//!
//! cargo run --release --example pima
//!
//! Expected: 76 to 79 % of the 200 test cases (seeds 1 to 8), against 64.5 % for always saying "no". The course's Fortran program (12 hidden
//! neurons, and the last digit of the age for the age) finds 75.5 to 81.5 %. `--data PATH` takes another table of the same form.

mod options;
use kamacite::data::{Normalizer, Rule, Scope, TableReader};
use kamacite::*;
use options::Options;

fn main() -> Result<()> {
    let o = Options::parse((1500, 20))?;
    let table = TableReader::new().label(8).classes(2);
    let mut all = match &o.data {
        Some(path) => table.read(path)?,
        None => table.from_bytes(include_bytes!("data/pima.data"))?,
    };
    // More than eight pregnancies are rare: the course cuts them there.
    all.x_mut(0).chunks_exact_mut(8).for_each(|x| x[0] = x[0].min(8.0));
    Normalizer::fit(Extent::flat(8), all.x(0), &[Rule::MeanMaxAbs(Scope::Feature)])?.apply(all.x_mut(0))?;
    let (train, test) = all.split(all.len() * 74 / 100)?;

    let mut net = Network::new(Extent::flat(8));
    net.push(Dense::new(8).act(Logistic).init(Init::Uniform(0.01)));
    net.push(Dense::new(2).act(Logistic).init(Init::Uniform(0.01)));
    let mut t = Trainer::builder(net, Mse::half(), Sgd::new(0.05))
        .batch(1)
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .validate_every(o.epochs)
        .data(train, Some(test))
        .build()?;
    options::stop_on_signals(&t.stop_handle())?;
    o.show_profile(|| t.profile())?;
    let report = t.fit(o.epochs, &mut Silent)?;
    let Some(valid) = report.valid else { return Ok(()) };
    valid.confusion.iter().for_each(|c| println!("{c}"));
    println!("RESULT accuracy={:.4} half_error={:.4} seconds={:.2}", valid.accuracy.unwrap_or(0.0), valid.loss, report.seconds);
    Ok(())
}
