//! NumPy's and SciPy's numbers for preprocessing; `tests/golden/make_scipy.py` made them and tells how.
//!
//! They compute in f64. Here samples are f32, sums are taken in f64, and what lies between two steps is rounded: each step may add half a unit
//! in the last place of the largest number, and 2⁻²⁰ of it allows for sixteen such.

use kamacite::data::prepare::Interpolation;
use kamacite::data::{Missing, Prepare};
use kamacite::*;
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/scipy.json")).expect("scipy.json is JSON")
}

/// `null` is NaN.
fn numbers(v: &Value) -> Vec<f32> {
    v.as_array().expect("a list").iter().map(|v| v.as_f64().map_or(f32::NAN, |v| v as f32)).collect()
}

fn cases(golden: &Value, name: &str) -> Vec<Value> {
    let cases = golden[name].as_array().expect("cases").clone();
    assert!(cases.len() > 1);
    cases
}

fn size(v: &Value) -> (usize, usize) {
    let n = numbers(v);
    (n[0] as usize, n[1] as usize)
}

fn compare(name: &str, prepare: &Prepare, case: &Value, from: (usize, usize), expected: &Value) {
    let (mut x, expected) = (numbers(&case["x"]), numbers(expected));
    prepare.apply(&mut x, Extent::image(from.0, from.1, 1)).expect("a legal sample");
    let most = expected.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    assert_eq!(x.len(), expected.len(), "{name}");
    for (i, (x, y)) in x.iter().zip(&expected).enumerate() {
        assert!((x - y).abs() <= most * 2.0_f32.powi(-20), "{name} {from:?}, value {i}: {x}, not {y}");
    }
}

#[test]
fn splines_of_scipy() {
    for case in cases(&golden(), "resize") {
        let (from, (h, w)) = (size(&case["from"]), size(&case["to"]));
        compare("cubic", &Prepare::new().resize(h, w, Interpolation::Cubic), &case, from, &case["cubic"]);
        compare("linear", &Prepare::new().resize(h, w, Interpolation::Linear), &case, from, &case["linear"]);
    }
}

#[test]
fn frames_fitted_into_a_square() {
    for case in cases(&golden(), "fit") {
        let side = case["side"].as_u64().expect("a number") as usize;
        compare("fit", &Prepare::new().fit(side, Interpolation::Cubic), &case, size(&case["from"]), &case["y"]);
    }
}

#[test]
fn percentiles_of_numpy() {
    for case in cases(&golden(), "percentile") {
        let (x, q, p) = (numbers(&case["x"]), numbers(&case["q"]), numbers(&case["p"]));
        for i in 1..q.len() {
            let (low, high) = (f64::from(q[i - 1]) / 100.0, f64::from(q[i]) / 100.0);
            let mut clipped = x.clone();
            Prepare::new().clip(low, high).apply(&mut clipped, Extent::line(x.len(), 1)).expect("legal");
            let expected: Vec<f32> = x.iter().map(|x| x.max(p[i - 1]).min(p[i])).collect();
            for (x, y) in clipped.iter().zip(&expected) {
                // Fractions like 0.01 are not exact in either program: the place among the sorted values may differ in its last digits.
                assert!((x - y).abs() <= 1e-6 * y.abs().max(1.0), "{} values, {low}..{high}: {x}, not {y}", expected.len());
            }
        }
    }
}

#[test]
fn preprocessing_of_the_course() {
    for case in cases(&golden(), "b12") {
        let from = size(&case["from"]);
        compare("B12", &Prepare::astronomy(), &case, from, &case["y"]);
        let steps = Prepare::new().missing(Missing::Zero).clip(0.01, 0.99).log().min_max(1e-8);
        assert_eq!(steps, Prepare::astronomy());
    }
}
