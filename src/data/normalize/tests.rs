use super::*;
use crate::data::Samples;
use crate::rng::{Purpose, Stream};

fn noise(n: usize) -> Vec<f32> {
    let mut r = Stream::new(3, Purpose::User, 0);
    (0..n).map(|i| (r.normal() * (1.0 + (i % 6) as f64) + (i % 6) as f64 * 10.0) as f32).collect()
}

fn run(extent: Extent, x: &[f32], rules: &[Rule]) -> Vec<f32> {
    let norm = Normalizer::fit(extent, x, rules).unwrap();
    let mut y = x.to_vec();
    norm.apply(&mut y).unwrap();
    y
}

/// Statistics of the groups of the result, by plain loops.
fn groups(y: &[f32], groups: usize, f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    (0..groups).map(|g| f(&y.iter().skip(g).step_by(groups).map(|&y| f64::from(y)).collect::<Vec<_>>())).collect()
}

#[test]
fn every_scope_reaches_its_statistics() {
    let e = Extent::line(2, 3);
    let x = noise(600);
    let mean = |y: &[f64]| y.iter().sum::<f64>() / y.len() as f64;
    let sigma = |y: &[f64]| (y.iter().map(|y| y * y).sum::<f64>() / y.len() as f64 - mean(y).powi(2)).sqrt();
    let most = |y: &[f64]| y.iter().fold(0.0_f64, |m, y| m.max(y.abs()));
    // Rounding of x − mean: a few ε of the largest |x| (≈ 65), divided by the smallest spread (≈ 1).
    let bound = 4.0 * 65.0 * f64::from(f32::EPSILON);
    let near = |got: Vec<f64>, expected: f64| assert!(got.iter().all(|g| (g - expected).abs() < bound), "{got:?} {expected}");
    for (scope, n) in [(Scope::Feature, 6), (Scope::Channel, 3), (Scope::Global, 1)] {
        let y = run(e, &x, &[Rule::Standard(scope)]);
        near(groups(&y, n, mean), 0.0);
        near(groups(&y, n, sigma), 1.0);
        let y = run(e, &x, &[Rule::MeanMaxAbs(scope)]);
        near(groups(&y, n, mean), 0.0);
        near(groups(&y, n, most), 1.0);
        let y = run(e, &x, &[Rule::MinMax(scope)]);
        near(groups(&y, n, |y| y.iter().copied().fold(f64::INFINITY, f64::min)), 0.0);
        near(groups(&y, n, most), 1.0);
    }
    for row in run(e, &x, &[Rule::MinMax(Scope::Row)]).chunks(6) {
        assert!(row.contains(&0.0) && row.contains(&1.0));
    }
    for row in run(e, &x, &[Rule::L2]).chunks(6) {
        near(vec![row.iter().map(|&y| f64::from(y).powi(2)).sum()], 1.0);
    }
}

/// The preprocessing of image frames in the course notes: NaN → 0, percentiles, logarithm, 0 to 1, image by image.
#[test]
fn a_pipeline_of_one_sample() {
    let x: Vec<f32> = (0..101).map(|i| if i == 50 { f32::NAN } else { i as f32 }).collect();
    let rules = [
        Rule::Missing(Missing::Zero, Scope::Row),
        Rule::Clip(0.01, 0.99, Scope::Row),
        Rule::Log(Scope::Row),
        Rule::MinMax(Scope::Row),
    ];
    let y = run(Extent::flat(101), &x, &rules);
    // Sorted values are 0, 0, 1, …, 49, 51, …, 100: the percentiles are at positions 1 and 99, which hold 0 and 99.
    let expected = |x: f64| (1.0 + x.clamp(0.0, 99.0)).ln() / 100_f64.ln();
    for (i, y) in y.iter().enumerate() {
        let x = if i == 50 { 0.0 } else { i as f64 };
        // ln, its difference, and one division: three roundings of values up to ln 100 = 4.6, divided by 4.6.
        assert!((f64::from(*y) - expected(x)).abs() < 4.0 * f64::from(f32::EPSILON), "{i}: {y}");
    }
}

#[test]
fn constants_and_missing_values() {
    let e = Extent::flat(2);
    let x = [7.1, f32::NAN, 7.1, 2.0, 7.1, 4.0];
    assert!(Normalizer::fit(e, &x, &[Rule::Standard(Scope::Feature)]).is_err());
    for rule in [Rule::Standard(Scope::Feature), Rule::MinMax(Scope::Feature), Rule::MeanMaxAbs(Scope::Feature)] {
        let y = run(e, &x, &[Rule::Missing(Missing::Median, Scope::Feature), rule]);
        assert_eq!([y[0], y[2], y[4]], [0.0; 3], "{rule:?}");
    }
    let keep = run(e, &x, &[Rule::Missing(Missing::Keep, Scope::Global), Rule::MinMax(Scope::Feature)]);
    assert!(keep[1].is_nan() && keep[3] == 0.0 && keep[5] == 1.0);
    // A median is learned from the training data and used for others.
    let norm = Normalizer::fit(e, &x, &[Rule::Missing(Missing::Median, Scope::Feature)]).unwrap();
    let mut other = [f32::NAN, f32::INFINITY];
    norm.apply(&mut other).unwrap();
    assert_eq!(other, [7.1, 3.0]);
    assert!(Normalizer::fit(e, &[f32::MAX, 0.0, -f32::MAX, 0.0], &[Rule::MinMax(Scope::Feature)]).is_err());
    assert!(Normalizer::fit(e, &[0.0; 3], &[]).is_err() && Normalizer::fit(e, &[], &[]).is_err());
    assert!(Normalizer::fit(e, &[0.0; 4], &[Rule::Clip(0.9, 0.1, Scope::Global)]).is_err());
}

#[test]
fn undo_inverts() {
    let x = noise(600);
    let e = Extent::flat(6);
    let norm = Normalizer::fit(e, &x, &[Rule::Log(Scope::Global), Rule::Standard(Scope::Feature)]).unwrap();
    let mut y = x.clone();
    norm.apply(&mut y).unwrap();
    norm.undo(&mut y).unwrap();
    // exp amplifies the rounding of its argument (up to ln 100) by itself; x − min is up to 100.
    let bound = 100.0 * 8.0 * f32::EPSILON * 4.6;
    assert!(x.iter().zip(&y).all(|(x, y)| (x - y).abs() < bound));
    assert!(Normalizer::fit(e, &x, &[Rule::L2]).unwrap().undo(&mut y).is_err());
}

#[test]
fn a_spectrum_through_tanh() {
    let y = run(Extent::flat(3), &[-1.0, 0.01, 2.0], &[Rule::Tanh { gain: 40.0, low: 0.0, high: 1.0 }]);
    assert_eq!((y[0], y[2]), (0.0, 1.0));
    assert!((y[1] - 0.4_f32.tanh()).abs() < f32::EPSILON);
}

#[test]
fn a_file_cannot_smuggle_numbers_in() {
    let norm = Normalizer::fit(Extent::flat(2), &[1., 2., 3., 4.], &[Rule::Standard(Scope::Feature)]).unwrap();
    let good = serde_json::to_string(&norm).unwrap();
    assert!(serde_json::from_str::<Normalizer>(&good).is_ok());
    for (from, to) in [("\"b\":[1.0,1.0]", "\"b\":[1.0,0.0]"), ("\"a\":[2.0,3.0]", "\"a\":[]"), ("\"c\":2", "\"c\":0")] {
        assert!(good.contains(from), "{good}");
        assert!(serde_json::from_str::<Normalizer>(&good.replace(from, to)).is_err(), "{to}");
    }
}

#[test]
fn the_view_is_the_same_as_in_place() {
    let x = noise(60);
    let e = Extent::flat(6);
    let norm = Normalizer::fit(e, &x, &[Rule::MinMax(Scope::Feature)]).unwrap();
    let view = Normalized::new(Samples::new(e, x.clone()).unwrap(), 0, norm.clone()).unwrap();
    let (mut whole, mut row) = (x, [0.0; 6]);
    norm.apply(&mut whole).unwrap();
    view.input(Pick { index: 4, epoch: 0, seed: 0 }, 0, &mut row).unwrap();
    assert_eq!(row, whole[24..30]);
    assert!(Normalized::new(Samples::new(Extent::flat(3), vec![0.0; 6]).unwrap(), 0, norm).is_err());
}
