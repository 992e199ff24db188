//! One small network, three steps: the bits that C and Fortran must print as well. `KAMACITE_SCENARIO=FILE` writes them;
//! tests/all.sh compares.

use kamacite::data::synth;
use kamacite::*;
use std::fmt::Write;
use std::sync::Arc;

fn scenario(threads: usize) -> Result<String> {
    let mut net = Network::new(Extent::image(28, 28, 1));
    net.push(Conv::new(4, 5).pad(2).act(Relu));
    net.push(Pool::max(2));
    net.push(Dense::new(16).act(Tanh));
    net.push(Dropout::new(0.25));
    net.push(Dense::new(10));
    let digits: Arc<dyn Dataset> = synth::digits(96, 3)?.into();
    let builder = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(0.002)).batch(32).seed(7);
    let mut trainer = builder.device(Device::cpu_threads(threads)?).data(digits.clone(), None::<Arc<dyn Dataset>>).build()?;
    let mut out = String::new();
    for step in 1..=3 {
        writeln!(out, "step {step} loss {:016X}", trainer.step()?.to_bits()).unwrap();
    }
    let y = trainer.model_mut().predict_data(digits, 32, Mode::Infer)?;
    out += "y";
    for p in &y[..10] {
        write!(out, " {:08X}", p.to_bits()).unwrap();
    }
    Ok(out + "\n")
}

#[test]
fn the_scenario_of_all_languages() {
    let one = scenario(1).unwrap();
    assert_eq!(one, scenario(2).unwrap());
    assert_eq!(one.lines().count(), 4);
    if let Some(path) = std::env::var_os("KAMACITE_SCENARIO") {
        std::fs::write(path, one).unwrap();
    }
}
