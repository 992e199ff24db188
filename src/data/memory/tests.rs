use super::*;

const PICK: Pick = Pick { index: 1, epoch: 0, seed: 0 };

fn sample() -> Samples {
    Samples::new(Extent::flat(2), (0..6).map(|x| x as f32).collect())
        .and_then(|s| s.with_input(Extent::flat(1), vec![7., 8., 9.]))
        .and_then(|s| s.with_classes(vec![2, 0, 1], 3))
        .and_then(|s| s.with_values(Extent::flat(2), vec![0.; 6]))
        .and_then(|s| s.with_classes(vec![1, 0, 1, 1, 0, 0], 2))
        .and_then(|s| s.with_weights(vec![1., 0.5, 0.]))
        .and_then(|s| s.with_names(["a", "b", "c"].map(String::from).to_vec()))
        .unwrap()
}

#[test]
fn reads_what_was_put_in() {
    let s = sample().subset(&[2, 1, 1]).unwrap();
    let (mut x, mut y, mut t, mut map) = ([0.; 2], [0.; 1], [0; 1], [0; 2]);
    s.input(PICK, 0, &mut x).unwrap();
    s.input(PICK, 1, &mut y).unwrap();
    s.classes(PICK, 0, &mut t).unwrap();
    s.classes(Pick { index: 0, ..PICK }, 2, &mut map).unwrap();
    assert_eq!((x, y, t, map, s.weight(1), s.weight(0)), ([2., 3.], [8.], [0], [0, 0], 0.5, 0.0));
    assert_eq!(s.names().unwrap(), ["c", "b", "b"]);
    assert_eq!(s.targets()[2], Target::Index { classes: 2, positions: 2 });
}

#[test]
fn refuses_what_does_not_fit() {
    let flat = Extent::flat;
    assert!(Samples::new(flat(2), vec![0.; 5]).is_err());
    assert!(Samples::new(flat(2), vec![]).is_err());
    assert!(Samples::new(flat(0), vec![0.; 5]).is_err());
    assert!(Samples::new(Extent::cube(usize::MAX, 2, 2, 2), vec![0.; 5]).is_err());
    assert!(sample().with_input(flat(2), vec![0.; 5]).is_err());
    assert!(sample().with_values(flat(1), vec![0., 1., f32::NAN]).is_err());
    assert!(sample().with_classes(vec![0; 4], 2).is_err());
    assert!(sample().with_classes(vec![], 2).is_err());
    assert!(sample().with_classes(vec![0; 3], (1 << 24) + 1).is_err());
    assert!(sample().with_weights(vec![1., -1., 0.]).is_err());
    assert!(sample().subset(&[3]).is_err() && sample().subset(&[]).is_err());
    assert!(sample().split(3).is_err() && sample().split(0).is_err());
    let e = sample().with_classes(vec![0, 1, 2], 2).unwrap_err().to_string();
    assert_eq!(e, "target 3: label of sample 2 is out of range; expected below 2, got 2; labels count from 0");
    let (mut x, mut t) = ([0.; 2], [0; 1]);
    let s = sample();
    assert!(s.input(Pick { index: 3, ..PICK }, 0, &mut x).is_err());
    assert!(s.input(PICK, 1, &mut x).is_err() && s.input(PICK, 2, &mut x).is_err());
    assert!(s.classes(PICK, 1, &mut t).is_err() && s.values(PICK, 0, &mut x).is_err());
}

#[test]
fn layouts_are_permutations() {
    let e = Extent::cube(2, 3, 5, 4);
    let n = 3;
    let value = |i: usize, p: usize, c: usize| ((i * 100 + p) * 10 + c) as f32;
    let (area, c) = (e.area(), e.c);
    let first: Vec<f32> = (0..n * e.len()).map(|k| value(k / e.len(), k % area, k / area % c)).collect();
    let major: Vec<f32> = (0..n * e.len()).map(|k| value(k % n, k / n / c, k / n % c)).collect();
    let last: Vec<f32> = (0..n * e.len()).map(|k| value(k / e.len(), k % e.len() / c, k % c)).collect();
    assert_eq!(Layout::ChannelsFirst.to_channels_last(e, first).unwrap(), last);
    assert_eq!(Layout::FeatureMajor.to_channels_last(e, major).unwrap(), last);
}

#[test]
fn padding_keeps_the_corner() {
    let s = Samples::new(Extent::image(2, 2, 1), vec![1., 2., 3., 4.]).unwrap();
    let p = s.clone().padded(Extent::image(3, 3, 2), -1.0).unwrap();
    let expected = [1., -1., 2., -1., -1., -1., 3., -1., 4., -1., -1., -1., -1., -1., -1., -1., -1., -1.];
    assert_eq!(p.x(0), expected);
    assert!(s.clone().padded(Extent::image(1, 3, 1), 0.0).is_err());
    assert!(s.padded(Extent::flat(1 << 40), 0.0).is_err());
}

#[test]
fn a_million_samples() {
    let n = 1_000_000;
    let s =
        Samples::new(Extent::flat(1), vec![1.0; n]).unwrap().with_classes((0..n as u32).map(|i| i % 10).collect(), 10).unwrap();
    let odd: Vec<usize> = (1..n).step_by(2).collect();
    let half = s.subset(&odd).unwrap();
    assert_eq!((half.len(), half.labels(0).unwrap()[3]), (n / 2, 7));
}
