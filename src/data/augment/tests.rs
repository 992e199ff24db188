use super::*;
use crate::data::Samples;

fn pick(index: usize) -> Pick {
    Pick { index, epoch: 3, seed: 42 }
}

fn image(e: Extent, n: usize) -> Samples {
    let x = (0..n * e.len()).map(|i| (i * 7 % 101) as f32).collect();
    Samples::new(e, x).unwrap()
}

fn read(data: &Augmented, pick: Pick) -> Vec<f32> {
    let mut x = vec![f32::NAN; data.extent.len()];
    data.input(pick, data.augment.input, &mut x).unwrap();
    x
}

/// numpy.rot90, turns times, by its index formula out[i][j] = in[j][n−1−i].
fn rot90(x: &[f32], n: usize, c: usize, turns: usize) -> Vec<f32> {
    (0..turns).fold(x.to_vec(), |x, _| (0..n * n * c).map(|k| x[((k / c % n) * n + n - 1 - k / c / n) * c + k % c]).collect())
}

#[test]
fn quarter_turns_are_exact_and_all_occur() {
    for n in [4, 5] {
        let e = Extent::image(n, n, 3);
        let data = image(e, 1);
        let original = data.x(0).to_vec();
        let turned = Augmented::new(data, Augment::new().quarter_turns()).unwrap();
        let mut seen = [0; 4];
        for epoch in 0..100 {
            let y = read(&turned, Pick { epoch, ..pick(0) });
            let k = (0..4).find(|&k| rot90(&original, n, 3, k) == y).expect("one of the four turns");
            seen[k] += 1;
        }
        // Five standard deviations of a binomial (100, 1/4) are 22.
        assert!(seen.iter().all(|&s| (3..=47).contains(&s)), "{seen:?}");
    }
}

#[test]
fn flips_mirror_one_axis_each() {
    let e = Extent::cube(2, 3, 4, 2);
    let data = image(e, 1);
    let x = data.x(0).to_vec();
    let at = |d: usize, h: usize, w: usize, c: usize| x[((d * 3 + h) * 4 + w) * 2 + c];
    let all = |f: &dyn Fn(usize, usize, usize, usize) -> f32| -> Vec<f32> {
        (0..48).map(|k| f(k / 24, k / 8 % 3, k / 2 % 4, k % 2)).collect()
    };
    let run = |a: Augment| read(&Augmented::new(data.clone(), a).unwrap(), pick(0));
    assert_eq!(run(Augment::new().flip_h(1.0)), all(&|d, h, w, c| at(d, h, 3 - w, c)));
    assert_eq!(run(Augment::new().flip_v(1.0)), all(&|d, h, w, c| at(d, 2 - h, w, c)));
    assert_eq!(run(Augment::new().flip_d(1.0)), all(&|d, h, w, c| at(1 - d, h, w, c)));
    assert_eq!(run(Augment::new()), x);
    // The bilinear path with nothing to do is the identity too, bit for bit.
    let source = Source { x: &x, e, border: Border::Edge };
    let mut y = vec![0.0; x.len()];
    source.interpolate(Motion { m: [[1., 0.], [0., 1.]], t: [0., 0.], mirror_d: false }, &mut y, blend(Border::Edge));
    assert_eq!(y, x);
}

#[test]
fn shifts_respect_the_border() {
    let e = Extent::line(3, 1);
    let source = |border| Source { x: &[1.0_f32, 2.0, 3.0], e, border };
    let run = |border, t| {
        let mut y = [0.0; 3];
        source(border).copy(Motion { m: [[1., 0.], [0., 1.]], t: [0.0, t], mirror_d: false }, &mut y, blend(border));
        y
    };
    assert_eq!(run(Border::Edge, 2.0), [3., 3., 3.]);
    assert_eq!(run(Border::Reflect, 2.0), [3., 2., 1.]);
    assert_eq!(run(Border::Reflect, -5.0), [2., 1., 2.]);
    assert_eq!(run(Border::Value(9.0), -1.0), [9., 1., 2.]);
    // All five shifts occur.
    let set =
        Augmented::new(Samples::new(Extent::line(9, 1), (0..9).map(|x| x as f32).collect()).unwrap(), Augment::new().shift(2))
            .unwrap();
    let mut seen: Vec<f32> = (0..100).map(|epoch| read(&set, Pick { epoch, ..pick(0) })[4]).collect();
    seen.sort_by(f32::total_cmp);
    seen.dedup();
    assert_eq!(seen, [2., 3., 4., 5., 6.]);
}

/// A linear image stays linear under any affine motion: bilinear interpolation must give its value at the moved place.
#[test]
fn rotation_and_zoom_of_a_ramp() {
    let n = 33;
    let e = Extent::image(n, n, 2);
    let (gi, gj) = (0.25_f32, -0.5_f32);
    let x: Vec<f32> = (0..n * n).flat_map(|p| [gi * (p / n) as f32 + gj * (p % n) as f32, 1.0]).collect();
    let set = Augmented::new(Samples::new(e, x).unwrap(), Augment::new().rotation(45.0).zoom(1.0, 2.0)).unwrap();
    for index in 0..20 {
        let p = Pick { index: 0, epoch: index, seed: 1 };
        let (y, motion) = (read(&set, p), set.motion(p));
        let ([[a, b], [c, d]], half) = (motion.m, 16.0);
        let zoom = 1.0 / (a * d - b * c).sqrt();
        assert!((1.0..=2.0 + 1e-6).contains(&zoom) && (a - d).abs() < 1e-6 && (b + c).abs() < 1e-6);
        for (k, y) in y.chunks(2).enumerate() {
            let (v, u) = ((k / n) as f32 - half, (k % n) as f32 - half);
            let (i, j) = (a * v + b * u + half, c * v + d * u + half);
            if (0.0..=32.0).contains(&i) && (0.0..=32.0).contains(&j) {
                // The place is off by rounding of numbers up to 48, a handful of operations; gradients are below 1.
                let bound = 8.0 * 48.0 * f32::EPSILON;
                assert!((y[0] - (gi * i + gj * j)).abs() < bound && (y[1] - 1.0).abs() < 4.0 * f32::EPSILON, "{k} {y:?}");
            }
        }
    }
}

#[test]
fn noise_and_colours_have_the_stated_statistics() {
    let e = Extent::image(100, 100, 4);
    let flat = |v: f32| Samples::new(e, vec![v; e.len()]).unwrap();
    let y = read(&Augmented::new(flat(5.0), Augment::new().noise(0.5)).unwrap(), pick(0));
    let n = y.len() as f64;
    let mean = y.iter().map(|&y| f64::from(y)).sum::<f64>() / n;
    let variance = y.iter().map(|&y| (f64::from(y) - mean).powi(2)).sum::<f64>() / n;
    // Five standard errors: σ/√n of the mean, σ²√(2/n) of the variance.
    assert!((mean - 5.0).abs() < 5.0 * 0.5 / n.sqrt(), "{mean}");
    assert!((variance - 0.25).abs() < 5.0 * 0.25 * (2.0 / n).sqrt(), "{variance}");

    let mut factors = vec![];
    let bright = Augmented::new(flat(1.0), Augment::new().brightness(0.5, 1.5)).unwrap();
    for epoch in 0..200 {
        let y = read(&bright, Pick { epoch, ..pick(0) });
        assert!(y.iter().all(|x| *x == y[0]) && (0.5..1.5).contains(&y[0]));
        factors.push(y[0]);
    }
    // The standard deviation of a uniform number is 1/√12.
    let mean = factors.iter().sum::<f32>() / 200.0;
    assert!((mean - 1.0).abs() < 5.0 / (12.0_f32 * 200.0).sqrt(), "{mean}");

    let gains = read(&Augmented::new(flat(1.0), Augment::new().channel_gain(0.5, 1.5)).unwrap(), pick(0));
    assert!(gains.chunks(4).all(|p| p == &gains[..4]) && gains[0] != gains[1]);
    let original = image(e, 1);
    let y = read(&Augmented::new(original.clone(), Augment::new().contrast(2.0, 2.0)).unwrap(), pick(0));
    let mean = (original.x(0).iter().map(|&x| f64::from(x)).sum::<f64>() / n) as f32;
    assert!(original.x(0).iter().zip(&y).all(|(x, y)| *y == mean + 2.0 * (x - mean)));
}

#[test]
fn a_sample_depends_on_seed_epoch_and_index_alone() {
    let e = Extent::image(16, 16, 1);
    let all = Augment::new().flip_h(0.5).quarter_turns().shift(3).zoom(0.8, 1.2).rotation(30.0).brightness(0.9, 1.1).noise(0.1);
    let set = Augmented::new(image(e, 8), all).unwrap();
    let forward: Vec<_> = (0..8).map(|i| read(&set, pick(i))).collect();
    let threads: Vec<_> = std::thread::scope(|s| {
        let handles: Vec<_> = (0..8)
            .rev()
            .map(|i| {
                s.spawn({
                    let set = &set;
                    move || read(set, pick(i))
                })
            })
            .collect();
        handles.into_iter().rev().map(|h| h.join().unwrap()).collect()
    });
    assert_eq!(forward, threads);
    let one = read(&set, pick(0));
    assert_ne!(one, read(&set, Pick { epoch: 4, ..pick(0) }));
    assert_ne!(one, read(&set, Pick { seed: 43, ..pick(0) }));
    assert_ne!(set.motion(pick(0)), set.motion(pick(1)));
}

#[test]
fn targets_move_along_and_views_nest() {
    let e = Extent::image(6, 6, 1);
    let data = image(e, 2);
    let labels: Vec<u32> = data.x(0).iter().map(|&x| x as u32).collect();
    let data = data.clone().with_values(e, data.x(0).to_vec()).unwrap().with_classes(labels, 101).unwrap();
    let move_all = Augment::new().quarter_turns().shift(2).flip_v(0.5).with_target(0).with_target(1);
    let inner = Augmented::new(data, move_all.clone()).unwrap();
    let set = Augmented::new(inner, move_all).unwrap();
    for epoch in 0..20 {
        let p = Pick { epoch, ..pick(1) };
        let x = read(&set, p);
        let (mut t, mut c) = (vec![0.0; 36], vec![0; 36]);
        set.values(p, 0, &mut t).unwrap();
        set.classes(p, 1, &mut c).unwrap();
        assert!(x == t && x.iter().zip(&c).all(|(x, c)| *x == *c as f32));
    }
}

#[test]
fn impossible_requests_are_refused() {
    let e = Extent::image(4, 6, 1);
    let refuse = |a: Augment| assert!(Augmented::new(image(e, 1), a.clone()).is_err(), "{a:?}");
    refuse(Augment::new().quarter_turns());
    refuse(Augment::new().flip_h(1.5));
    refuse(Augment::new().flip_v(f64::NAN));
    refuse(Augment::new().zoom(0.0, 1.0));
    refuse(Augment::new().zoom(2.0, 1.0));
    refuse(Augment::new().brightness(1.0, f64::INFINITY));
    refuse(Augment::new().noise(-1.0));
    refuse(Augment::new().rotation(f64::NAN));
    refuse(Augment::new().shift(usize::MAX));
    refuse(Augment::new().border(Border::Value(f32::NAN)));
    refuse(Augment::new().input(1));
    refuse(Augment::new().with_target(0));
    assert!(Augmented::new(image(Extent::line(8, 1), 1), Augment::new().rotation(5.0)).is_err());
    let saved = serde_json::to_string(&Augment::new().shift(3)).unwrap();
    assert_eq!(serde_json::from_str::<Augment>(&saved).unwrap(), Augment::new().shift(3));
}
