use super::*;
use crate::ErrorKind;

const NAN: f32 = f32::NAN;

fn run(prepare: &Prepare, x: &[f32], extent: Extent) -> Result<(Vec<f32>, Extent)> {
    let mut x = x.to_vec();
    let to = prepare.apply(&mut x, extent)?;
    assert_eq!((to, x.len()), (prepare.extent(extent)?, to.len()));
    Ok((x, to))
}

fn values(prepare: &Prepare, x: &[f32], extent: Extent) -> Vec<f32> {
    run(prepare, x, extent).unwrap().0
}

/// One of each step, for a spectrum of 40 positions and for an image.
fn all() -> [(Prepare, Extent); 2] {
    use Interpolation::{Area, Cubic, Linear};
    let grid = Grid::linear(5.0, 30.0, 20).unwrap();
    let norm = Normalizer::fit(Extent::image(6, 6, 1), &[2.0; 36], &[super::super::Rule::Standard(super::super::Scope::Feature)]);
    let spectrum = Prepare::new()
        .missing(Missing::Zero)
        .resample(Resample::new(grid).flux_conserving().fill(1.0))
        .continuum(Continuum::median(5).subtract())
        .continuum(Continuum::new(Fit::Chebyshev { order: 2, low: 2.0, high: 2.0, rounds: 3 }).subtract())
        .l2();
    let image = Prepare::new()
        .missing(Missing::Median)
        .clip(0.1, 0.9)
        .per_channel()
        .log()
        .asinh(2.0)
        .sqrt(0.5)
        .affine(3.0, -1.0)
        .min_max(1e-6)
        .resize(9, 7, Area)
        .resize(5, 7, Linear)
        .fit(8, Cubic)
        .crop(5, 4)
        .pad(6, 6, 0.5)
        .normalize(norm.unwrap());
    [(spectrum, Extent::line(40, 2)), (image, Extent::image(11, 8, 1))]
}

fn ramp(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.37).sin() * 5.0 + i as f32).collect()
}

#[test]
fn every_step_is_saved_and_read_back() {
    for (prepare, extent) in all() {
        let saved = serde_json::to_string(&prepare).unwrap();
        let read: Prepare = serde_json::from_str(&saved).unwrap();
        assert_eq!(read, prepare, "{saved}");
        let x: Vec<f32> = match extent.c {
            1 => ramp(extent.len()),
            _ => (0..40).flat_map(|i| [(i as f32).cos(), i as f32]).collect(),
        };
        assert_eq!(values(&read, &x, extent), values(&prepare, &x, extent));
    }
    for bad in [
        "{}",
        "[{\"clip\":{}}]",
        "[\"l3\"]",
        "[{\"resample\":{\"grid\":[2.0,1.0],\"conserving\":false,\"positions\":\"plain\"}}]",
    ] {
        assert!(serde_json::from_str::<Prepare>(bad).is_err(), "{bad}");
    }
}

/// Samples one after another in the same memory: the bits of each alone, whatever was there before.
#[test]
fn memory_is_used_again() {
    let (prepare, extent) = all()[1].clone();
    let x = ramp(extent.len());
    let expected = values(&prepare, &x, extent);
    let (mut scratch, mut sample) = (Scratch::default(), Vec::new());
    for n in [30, 3, 11] {
        let other = Extent::image(n, n, 1);
        sample.clear();
        sample.extend(ramp(other.len()));
        prepare.apply_with(&mut sample, other, &mut scratch).unwrap();
        sample.clear();
        sample.extend_from_slice(&x);
        prepare.apply_with(&mut sample, extent, &mut scratch).unwrap();
        assert_eq!(sample, expected);
    }
}

#[test]
fn stretches() {
    let line = Extent::line(4, 1);
    let near = |p: &Prepare, x: &[f32], expected: &[f32]| {
        let y = values(p, x, Extent::line(x.len(), 1));
        assert!(y.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{p:?}: {y:?}");
    };
    near(&Prepare::new().log(), &[3.0, 2.0, 2.0 + std::f32::consts::E - 1.0], &[2.0_f32.ln(), 0.0, 1.0]);
    near(&Prepare::new().asinh(2.0), &[-4.0, 0.0, 2.0], &[-(2.0_f32.asinh()), 0.0, 1.0_f32.asinh()]);
    near(&Prepare::new().sqrt(2.0), &[-6.0, 0.0, 16.0], &[-1.0, 0.0, 2.0]);
    near(&Prepare::new().l2(), &[3.0, 0.0, -4.0], &[0.6, 0.0, -0.8]);
    near(&Prepare::new().affine(2.0, 1.0), &[3.0, 0.0], &[7.0, 1.0]);
    near(&Prepare::new().min_max(1.0), &[1.0, 5.0, 3.0], &[0.0, 0.8, 0.4]);
    near(&Prepare::new().clip(0.25, 0.75), &[4.0, 1.0, 3.0, 2.0], &[3.25, 1.75, 3.0, 2.0]);
    // Each channel by itself, or all together.
    let two = Extent::line(2, 2);
    let x = [0.0, 10.0, 1.0, 30.0];
    assert_eq!(values(&Prepare::new().min_max(0.0).per_channel(), &x, two), [0.0, 0.0, 1.0, 1.0]);
    assert_eq!(values(&Prepare::new().min_max(0.0), &x, two), [0.0, 1.0 / 3.0, 1.0 / 30.0, 1.0]);
    assert_eq!(values(&Prepare::new().clip(0.0, 0.5).per_channel(), &x, two), [0.0, 10.0, 0.5, 20.0]);
    assert!((values(&Prepare::new().log().per_channel(), &x, two)[3] - 21.0_f32.ln()).abs() < 1e-6);
    // Numbers whose spread overflows single precision.
    assert_eq!(values(&Prepare::new().min_max(0.0), &[-3e38, 3e38, 0.0, 3e38], line), [0.0, 1.0, 0.5, 1.0]);
}

/// Constant images, single pixels, and nothing but missing values: defined, and finite.
#[test]
fn degenerate_samples() {
    let one = Extent::image(1, 1, 1);
    for (x, y) in [(0.0, 0.0), (7.5, 0.0), (-1e30, 0.0), (NAN, 0.0)] {
        assert_eq!(values(&Prepare::astronomy(), &[x], one), [y]);
        assert_eq!(values(&Prepare::astronomy(), &[x; 12], Extent::image(3, 4, 1)), [y; 12]);
    }
    let nothing = Prepare::new().min_max(0.0).l2();
    assert_eq!(values(&nothing, &[5.0; 6], Extent::line(6, 1)), [0.0; 6]);
    for how in [Interpolation::Cubic, Interpolation::Linear, Interpolation::Area] {
        let grown = values(&Prepare::new().resize(3, 2, how), &[2.5], one);
        assert!(grown.iter().all(|x| (x - 2.5).abs() < 1e-6), "{how:?} {grown:?}");
        let (y, to) = run(&Prepare::new().fit(4, how), &[1.0; 100], Extent::image(1, 100, 1)).unwrap();
        assert_eq!(to, Extent::image(4, 4, 1));
        assert!(y[..4].iter().all(|x| (x - 1.0).abs() < 1e-6) && y[4..].iter().all(|x| *x == 0.0), "{how:?} {y:?}");
        let shrunk = values(&Prepare::new().resize(1, 1, how), &[3.0; 35], Extent::image(5, 7, 1));
        assert!((shrunk[0] - 3.0).abs() < 1e-6);
    }
}

/// Values that are missing take no part in statistics, and stay what they are where the policy says so.
#[test]
fn missing_values() {
    let line = Extent::line(5, 1);
    let x = [1.0, NAN, 3.0, f32::INFINITY, 5.0];
    let keep = Prepare::new().missing(Missing::Keep);
    let y = values(&keep.clone().min_max(0.0), &x, line);
    assert!(y[1].is_nan() && y[3].is_infinite() && [y[0], y[2], y[4]] == [0.0, 0.5, 1.0], "{y:?}");
    let y = values(&keep.clone().l2(), &x, line);
    assert!((y[4] - 5.0 / 35.0_f32.sqrt()).abs() < 1e-6 && y[1].is_nan());
    let y = values(&keep.clone().clip(0.0, 0.5), &x, line);
    assert!(y[1].is_nan() && y[3] == 3.0, "an infinity is clipped: {y:?}");
    assert!(values(&keep.clone().log().sqrt(1.0).asinh(1.0), &x, line)[1].is_nan());
    assert_eq!(values(&Prepare::new().missing(Missing::Median), &x, line), [1.0, 3.0, 3.0, 3.0, 5.0]);
    assert_eq!(values(&Prepare::new().missing(Missing::Value(-1.0)), &x, line), [1.0, -1.0, 3.0, -1.0, 5.0]);
    let refused = run(&Prepare::new(), &[0.0, 0.0, 0.0, 0.0, NAN, 0.0], Extent::image(3, 2, 1)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "row 2, column 0, channel 0: NaN; expected finite values, got 1 of 6 missing; begin with Prepare::missing: Zero, Value, Median or Keep"
    );
    let refused = run(&Prepare::new(), &[NAN; 8], Extent::cube(2, 2, 1, 2)).unwrap_err().to_string();
    assert!(
        refused.starts_with("slice 0, row 0, column 0, channel 0: NaN; expected finite values, got all 8 missing"),
        "{refused}"
    );
    // What a step makes infinite is told too.
    let refused = run(&Prepare::new().affine(1e30, 0.0), &[1e30], Extent::line(1, 1)).unwrap_err().to_string();
    assert!(refused.starts_with("prepared sample: row 0, column 0, channel 0: inf"), "{refused}");
    // One missing pixel spoils its row and column in a spline: the policy comes first.
    let mut image = vec![1.0; 64];
    image[9] = NAN;
    let small = values(&keep.resize(4, 4, Interpolation::Cubic), &image, Extent::image(8, 8, 1));
    assert!(small.iter().filter(|x| x.is_nan()).count() >= 4);
}

#[test]
fn means_over_areas() {
    let x: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let area = |h, w, x: &[f32], from| values(&Prepare::new().resize(h, w, Interpolation::Area), x, from);
    assert_eq!(area(1, 2, &x, Extent::image(2, 6, 1)), [4.0, 7.0]);
    // Three pixels onto two: each new one covers one and a half.
    assert_eq!(area(1, 2, &[3.0, 6.0, 9.0], Extent::line(3, 1)), [4.0, 8.0]);
    assert_eq!(area(1, 4, &[1.0, 2.0], Extent::line(2, 1)), [1.0, 1.0, 2.0, 2.0]);
    // Channels and slices stay apart, and the mean is kept.
    let cube = Extent::cube(2, 5, 7, 3);
    let x = ramp(cube.len());
    let y = area(3, 4, &x, cube);
    let mean = |x: &[f32], d: usize, c: usize| {
        let part = &x[d * x.len() / 2..][..x.len() / 2];
        part.iter().skip(c).step_by(3).map(|x| f64::from(*x)).sum::<f64>() / (part.len() / 3) as f64
    };
    for (d, c) in [(0, 0), (0, 2), (1, 1)] {
        assert!((mean(&x, d, c) - mean(&y, d, c)).abs() < 1e-4);
    }
}

/// Channels and slices are treated one by one, in any block of lanes.
#[test]
fn images_of_many_channels_are_those_of_one() {
    let many = Extent::cube(2, 9, 13, 5);
    let x = ramp(many.len());
    for how in [Interpolation::Cubic, Interpolation::Linear, Interpolation::Area] {
        for (h, w) in [(4, 20), (20, 4), (9, 6)] {
            let p = Prepare::new().resize(h, w, how);
            let y = values(&p, &x, many);
            for d in 0..2 {
                for c in 0..5 {
                    let part: Vec<f32> = x[d * 9 * 13 * 5..][..9 * 13 * 5].iter().skip(c).step_by(5).copied().collect();
                    let expected = values(&p, &part, Extent::image(9, 13, 1));
                    let got: Vec<f32> = y[d * h * w * 5..][..h * w * 5].iter().skip(c).step_by(5).copied().collect();
                    assert_eq!(got, expected, "{how:?} {h}x{w}");
                }
            }
        }
    }
}

#[test]
fn frames() {
    let x: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let image = Extent::image(3, 4, 1);
    assert_eq!(values(&Prepare::new().crop(1, 2), &x, image), [5.0, 6.0]);
    assert_eq!(values(&Prepare::new().crop(2, 1), &x, image), [1.0, 5.0]);
    let padded = values(&Prepare::new().pad(4, 5, -1.0), &x, image);
    assert_eq!(padded[..10], [0.0, 1.0, 2.0, 3.0, -1.0, 4.0, 5.0, 6.0, 7.0, -1.0]);
    assert_eq!(padded[15..], [-1.0; 5]);
    let colours = values(&Prepare::new().crop(1, 1).pad(1, 2, 9.0), &x, Extent::image(2, 2, 3));
    assert_eq!(colours, [0.0, 1.0, 2.0, 9.0, 9.0, 9.0]);
}

#[test]
fn spectra_on_a_grid() {
    let positions: Vec<f64> = (0..50).map(|i| 10.0 + i as f64 + 0.3 * (i as f64).sin()).collect();
    let x: Vec<f32> = positions.iter().flat_map(|p| [2.0 * *p as f32, 1.0, *p as f32]).collect();
    let from = Extent::line(50, 3);
    let grid = Grid::linear(12.0, 50.0, 77).unwrap();
    let y = values(&Prepare::new().resample(Resample::new(grid.clone())), &x, from);
    for (y, p) in y.chunks_exact(2).zip(grid.positions()) {
        assert!((f64::from(y[0]) - 2.0 * p).abs() < 1e-4 && y[1] == 1.0);
    }
    // The integral over whole bins, of the input and of the output.
    let coarse = Grid::linear(15.0, 45.0, 11).unwrap();
    let y = values(&Prepare::new().resample(Resample::new(coarse).flux_conserving()), &x, from);
    let integral: f64 = y.chunks_exact(2).map(|y| 3.0 * f64::from(y[0])).sum();
    let mut exact = 0.0;
    for i in 1..49 {
        let (low, high) = (0.5 * (positions[i - 1] + positions[i]), 0.5 * (positions[i] + positions[i + 1]));
        exact += (high.min(46.5) - low.max(13.5)).max(0.0) * 2.0 * positions[i];
    }
    assert!((integral / exact - 1.0).abs() < 1e-6, "{integral} {exact}");
    // Onto its own grid nothing changes.
    let own = Grid::new(positions.iter().map(|p| f64::from(*p as f32)).collect()).unwrap();
    for r in [Resample::new(own.clone()), Resample::new(own).flux_conserving()] {
        let y = values(&Prepare::new().resample(r), &x, from);
        assert!(y.chunks_exact(2).zip(x.chunks_exact(3)).all(|(y, x)| (y[0] - x[0]).abs() < 1e-5));
    }
}

#[test]
fn windows_and_logarithms() {
    let x: Vec<f32> = (0..10).flat_map(|i| [i as f32, 3.0 + 0.1 * i as f32]).collect();
    let from = Extent::line(10, 2);
    let (low, high) = (10.0_f64.powf(3.25), 10.0_f64.powf(3.65));
    assert_eq!(values(&Prepare::new().window(Positions::Log10, low, high, 4), &x, from), [3.0, 4.0, 5.0, 6.0]);
    let e = run(&Prepare::new().window(Positions::Plain, 3.25, 3.65, 5), &x, from).unwrap_err().to_string();
    assert_eq!(e, "prepare, step 1 (window): bins above 3.25 and up to 3.65; expected 5, got 4");
    let logs = Resample::new(Grid::logarithmic(1e3, 10.0_f64.powf(3.9), 10).unwrap()).log10().fill(0.0);
    let y = values(&Prepare::new().resample(logs), &x, from);
    assert!((1..9).all(|i| (y[i] - i as f32).abs() < 1e-4), "{y:?}");
}

#[test]
fn continua() {
    let line = Extent::line(200, 1);
    let level = |i: usize| 5.0 + 2.0 * (i as f32 / 100.0 - 1.0).powi(3);
    let absorbed = |i: usize| if i % 25 == 12 { 0.3 } else { 1.0 };
    let x: Vec<f32> = (0..200).map(|i| level(i) * absorbed(i)).collect();
    for (continuum, within) in [(Continuum::chebyshev(3), 1e-4), (Continuum::median(9), 0.05)] {
        let y = values(&Prepare::new().continuum(continuum), &x, line);
        assert!((0..200).all(|i| (y[i] - absorbed(i)).abs() < within), "{continuum:?}");
        let y = values(&Prepare::new().continuum(continuum.subtract()), &x, line);
        assert!((0..200).all(|i| (y[i] - level(i) * (absorbed(i) - 1.0)).abs() < 10.0 * within), "{continuum:?}");
    }
    // Without the clipping the lines pull the polynomial down.
    let plain = Continuum::new(Fit::Chebyshev { order: 3, low: 1e9, high: 1e9, rounds: 10 });
    let y = values(&Prepare::new().continuum(plain), &x, line);
    assert!((0..200).filter(|i| i % 25 != 12).all(|i| y[i] > 1.005));
    // The running median against its definition, with a missing value.
    let mut x: Vec<f32> = ramp(30);
    x[7] = NAN;
    let y = values(&Prepare::new().missing(Missing::Keep).continuum(Continuum::median(5).subtract()), &x, Extent::line(30, 1));
    for i in (0..30_usize).filter(|i| *i != 7) {
        let mut near: Vec<f32> = (i.saturating_sub(2)..(i + 3).min(30)).map(|k| x[k]).filter(|x| x.is_finite()).collect();
        // The median of an even number of values lies between two, and is rounded there once more.
        assert!((y[i] - (x[i] - missing::median(&mut near).unwrap())).abs() < 1e-5, "{i}");
    }
    assert!(y[7].is_nan());
    let dark = run(&Prepare::new().continuum(Continuum::median(3)), &[1.0, -1.0, -2.0, 0.0], Extent::line(4, 1)).unwrap_err();
    assert!(dark.to_string().contains("continuum of line 0, channel 0: 0 at position 0; expected above 0"), "{dark}");
    let few =
        run(&Prepare::new().missing(Missing::Keep).continuum(Continuum::chebyshev(2)), &[1.0, NAN, NAN, 2.0], Extent::line(4, 1));
    assert!(few.unwrap_err().to_string().contains("too few values for this order"));
}

/// Steps whose numbers make no sense, or that do not fit the sample: refused before anything is computed.
#[test]
fn senseless_steps_are_errors() {
    let image = Extent::image(4, 4, 1);
    let steps = [
        Prepare::new().clip(0.9, 0.1),
        Prepare::new().clip(-0.1, 0.5),
        Prepare::new().clip(NAN.into(), 0.5),
        Prepare::new().asinh(0.0),
        Prepare::new().sqrt(NAN),
        Prepare::new().affine(f32::INFINITY, 0.0),
        Prepare::new().min_max(-1.0),
        Prepare::new().missing(Missing::Value(NAN)),
        Prepare::new().resize(0, 4, Interpolation::Cubic),
        Prepare::new().resize(1 << 40, 1 << 40, Interpolation::Area),
        Prepare::new().fit(0, Interpolation::Cubic),
        Prepare::new().pad(3, 9, 0.0),
        Prepare::new().pad(4, 5, NAN),
        Prepare::new().crop(5, 1),
        Prepare::new().crop(0, 1),
        Prepare::new().continuum(Continuum::median(4)),
        Prepare::new().continuum(Continuum::median(0)),
        Prepare::new().continuum(Continuum::chebyshev(4)),
        Prepare::new().continuum(Continuum::new(Fit::Chebyshev { order: 1, low: 0.0, high: 1.0, rounds: 1 })),
        Prepare::new().window(Positions::Plain, 0.0, 1.0, 3),
        Prepare::new().resample(Resample::new(Grid::linear(0.0, 1.0, 2).unwrap())),
    ];
    for p in steps {
        let e = run(&p, &[1.0; 16], image).unwrap_err();
        assert!(matches!(e.kind(), ErrorKind::Value | ErrorKind::Shape) && e.to_string().starts_with("prepare, step 1 ("), "{e}");
    }
    let spectrum = Extent::line(3, 2);
    let grid = || Grid::linear(0.0, 5.0, 4).unwrap();
    for (p, x) in [
        (Prepare::new().resample(Resample::new(grid())), [1.0, 1.0, 1.0, 2.0, 1.0, 3.0]),
        (Prepare::new().resample(Resample::new(grid()).fill(0.0)), [1.0, 2.0, 1.0, 2.0, 1.0, 3.0]),
        (Prepare::new().resample(Resample::new(grid()).fill(NAN)), [1.0, 0.0, 1.0, 2.0, 1.0, 6.0]),
    ] {
        assert!(run(&p, &x, spectrum).is_err(), "{p:?}");
    }
    assert!(Grid::linear(1.0, 0.0, 3).is_err() && Grid::linear(0.0, 1.0, 1).is_err() && Grid::logarithmic(0.0, 1.0, 3).is_err());
    assert_eq!(run(&Prepare::new(), &[1.0; 3], image).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(Prepare::new().crop(1, 1).apply_in_place(&mut [1.0; 16], image).unwrap_err().kind(), ErrorKind::Unsupported);
}

/// What a person writes, and what is wrong with it.
#[test]
fn steps_from_a_text() {
    let all = r#"[{"missing": {"Value": 3.0}}, {"clip": {"low": 0.1, "high": 0.9, "over": "Channel"}}, {"log": {}}, {"asinh": {"softening": 2.0}},
        {"sqrt": {"softening": 1}}, {"affine": {"factor": 2.0, "offset": -1.0}}, {"min_max": {"epsilon": 0}}, "l2",
        {"resize": {"h": 8, "w": 9, "how": "cubic"}}, {"fit": {"side": 9, "how": "linear"}}, {"pad": {"h": 10, "w": 10, "value": 0.5}},
        {"crop": {"h": 4, "w": 4}}]"#;
    let said =
        Prepare::new().missing(Missing::Value(3.0)).clip(0.1, 0.9).per_channel().log().asinh(2.0).sqrt(1.0).affine(2.0, -1.0);
    let said =
        said.min_max(0.0).l2().resize(8, 9, Interpolation::Cubic).fit(9, Interpolation::Linear).pad(10, 10, 0.5).crop(4, 4);
    assert_eq!(all.parse::<Prepare>().expect("steps"), said);
    for (text, word) in
        [("", "EOF"), ("astronomie", "expected value"), (r#"[{"clipp": {}}]"#, "clipp"), (r#"[{"clip": {"low": 0}}]"#, "high")]
    {
        let e = text.parse::<Prepare>().expect_err(text);
        assert!(e.kind() == ErrorKind::Value && e.to_string().contains(word), "{text}: {e}");
    }
}
