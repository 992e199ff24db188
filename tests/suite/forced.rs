//! What `KAMACITE_ISA` forces is what computes.

use kamacite::device::Isa;
use kamacite::*;

/// Whether a dense layer of so many units, on so many rows, rounds products before it adds them.
fn rounds_twice(device: &Device, rows: usize, units: usize) -> Result<bool> {
    let mut net = Network::new(Extent::flat(2));
    net.push(Dense::new(units).no_bias());
    let mut model = Model::builder(net).device(device.clone()).build()?;
    // (1 + 2⁻¹²)² − 1 is 2⁻¹¹ + 2⁻²⁴; the last bit is lost if the square is rounded to 24 bits first.
    let a = 1.0 + 2.0_f64.powi(-12);
    let mut twice = true;
    for weights in [[-1.0, a], [a, -1.0]] {
        model.set_array("dense1.weight", &weights.map(|w| vec![w; units]).concat())?;
        let row = weights.map(|w| if w == -1.0 { 1.0 } else { a as f32 });
        let x = row.repeat(rows);
        let y = model.forward(Mode::Infer, View::new(Extent::flat(2), &x)?)?.to_vec();
        assert!(y.iter().all(|v| *v == y[0]), "different sums of the same products");
        twice &= y[0] == 2.0_f32.powi(-11);
    }
    Ok(twice)
}

/// The devices that tests ask for say so, and their rounding shows it: without FMA a product is rounded before it is added.
#[test]
fn the_forced_instruction_set_computes() -> Result<()> {
    let forced = std::env::var("KAMACITE_ISA").ok().filter(|name| !name.is_empty());
    let isa = forced.unwrap_or_else(|| Isa::best().to_string());
    for device in [Device::cpu(), Device::cpu_threads(1)?, Device::cpu_threads(7)?] {
        assert!(device.to_string().ends_with(&format!(", {isa})")), "{device} computes, not {isa}");
        for (rows, units) in [(1, 1), (3, 5), (64, 64)] {
            assert_eq!(rounds_twice(&device, rows, units)?, isa == "portable", "{rows} rows, {units} units on {device}");
        }
    }
    Ok(())
}
