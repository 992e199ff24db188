//! Maps against what can be computed by hand.

use super::*;
use crate::rng::{Purpose, Stream};
use crate::*;

fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut r = Stream::new(seed, Purpose::User, 0);
    (0..n).map(|_| r.normal() as f32).collect()
}

/// A dense layer on an image of 2×3 pixels with 2 channels, with this activation.
fn linear(act: Activation) -> Result<(Model, Vec<f64>)> {
    let mut net = Network::new(Extent::image(2, 3, 2));
    net.push(Dense::new(3).act(act));
    let model = Model::builder(net).seed(5).build()?;
    let w = model.array("dense1.weight")?;
    Ok((model, w))
}

/// A small network with all that is not linear.
fn network(extent: Extent, seed: u64) -> Result<(Model, NodeId)> {
    let mut net = Network::new(extent);
    let conv = net.push(Conv::new(3, 3).pad(1).act(Relu));
    net.push(Pool::max(2));
    net.push(Dropout::new(0.5));
    net.push(Dense::new(4).act(Tanh));
    net.push(Dense::new(2).act(Logistic));
    Ok((Model::builder(net).seed(seed).build()?, conv))
}

#[test]
fn saliency_of_a_linear_network_is_its_weights() -> Result<()> {
    for act in [Linear, Softmax, Logistic] {
        let (mut model, w) = linear(act)?;
        let x = numbers(12 * 2, 1);
        let view = View::new(Extent::image(2, 3, 2), &x)?;
        let plain = saliency(&mut model, view, &Score::channel(2), Gradient::Plain)?.remove(0);
        let each = saliency(&mut model, view, &Score::each(&[2, 0]), Gradient::Plain)?.remove(0);
        let absolute = saliency(&mut model, view, &Score::channel(2), Gradient::Absolute)?.remove(0);
        let times = saliency(&mut model, view, &Score::channel(2), Gradient::TimesInput)?.remove(0);
        assert_eq!((plain.rows(), plain.extent()), (2, Extent::image(2, 3, 2)));
        for k in 0..12 {
            let (w, w0) = (w[k * 3 + 2] as f32, w[k * 3] as f32);
            assert_eq!((plain.row(0)[k], plain.row(1)[k], absolute.row(1)[k]), (w, w, w.abs()), "{act:?}");
            assert_eq!((each.row(0)[k], each.row(1)[k], times.row(1)[k]), (w, w0, w * x[12 + k]), "{act:?}");
        }
    }
    Ok(())
}

#[test]
fn an_activation_of_its_own_at_the_end_is_left_out_too() -> Result<()> {
    let mut net = Network::new(Extent::flat(3));
    net.push(Dense::new(2));
    net.push(Activate::new(Logistic));
    let mut model = Model::builder(net).seed(1).build()?;
    let w = model.array("dense1.weight")?;
    // Large enough for the logistic function to be flat.
    let x = [90.0_f32, -80.0, 70.0];
    let view = View::new(Extent::flat(3), &x)?;
    let map = saliency(&mut model, view, &Score::channel(1), Gradient::Plain)?.remove(0);
    assert_eq!(map.row(0), [w[1] as f32, w[3] as f32, w[5] as f32]);
    assert!(model.forward(Mode::Infer, view)?.to_vec().iter().all(|p| (0.0..=1.0).contains(p)));
    Ok(())
}

#[test]
fn scores_are_logits() -> Result<()> {
    let (mut model, w) = linear(Softmax)?;
    let x = numbers(12, 3);
    let view = View::new(Extent::image(2, 3, 2), &x)?;
    let z: Vec<f64> = (0..3).map(|c| (0..12).map(|k| w[k * 3 + c] * f64::from(x[k])).sum()).collect();
    for (c, z) in z.iter().enumerate() {
        assert!((scores(&mut model, view, &Score::channel(c))?[0] - z).abs() < 1e-6 * 12.0);
    }
    let p = model.forward(Mode::Infer, view)?.to_vec();
    assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    Ok(())
}

#[test]
fn an_inner_node_is_explained_as_it_is() -> Result<()> {
    let mut net = Network::new(Extent::flat(3));
    let inner = net.push(Dense::new(2).act(Tanh));
    net.push(Dense::new(1));
    let mut model = Model::builder(net).seed(2).build()?;
    let (x, w) = ([0.4_f32, -0.2, 0.9], model.array("dense1.weight")?);
    let view = View::new(Extent::flat(3), &x)?;
    let y = activations(&mut model, view, inner)?.row(0)[1];
    let map = saliency(&mut model, view, &Score::channel(1).of(inner), Gradient::Plain)?.remove(0);
    for k in 0..3 {
        assert!((map.row(0)[k] - (1.0 - y * y) * w[k * 2 + 1] as f32).abs() < 1e-6);
    }
    Ok(())
}

#[test]
fn several_inputs_each_have_a_map() -> Result<()> {
    let mut net = Network::default();
    let (a, b) = (net.input("image", Extent::image(4, 4, 1)), net.input("spectrum", Extent::flat(2)));
    let conv = net.add(Conv::new(2, 2).act(Relu), &[a]);
    let flat = net.add(Flatten::new(), &[conv]);
    let both = net.add(Merge::concat(), &[flat, b]);
    net.add(Dense::new(2), &[both]);
    let mut model = Model::builder(net).seed(4).build()?;
    let (x, z) = (numbers(16 * 3, 1), numbers(2 * 3, 2));
    let views = [View::new(Extent::image(4, 4, 1), &x)?, View::new(Extent::flat(2), &z)?];
    let maps = saliency(&mut model, &views, &Score::channel(1), Gradient::Plain)?;
    let w = model.array("dense1.weight")?;
    // The last two rows of the dense layer look at the second input.
    assert_eq!(maps[1].row(2), [w[18 * 2 + 1] as f32, w[19 * 2 + 1] as f32]);
    assert_eq!((maps[0].rows(), maps[0].extent()), (3, Extent::image(4, 4, 1)));
    assert!(maps[0].values().iter().any(|v| *v != 0.0));
    assert_eq!(grad_cam(&mut model, &views, &Score::channel(1), conv)?.extent(), Extent::image(4, 4, 1));
    let map = occlusion(&mut model, &views, &Score::channel(1), &Occlusion::new([1, 1, 1]).input(1).fill(0.0));
    // A vector has one position: all of it is covered.
    let drop = w[37] * f64::from(z[0]) + w[39] * f64::from(z[1]);
    assert!((f64::from(map?.row(0)[0]) - drop).abs() < 1e-5);
    let uneven = [views[0], View::new(Extent::flat(2), &z[..4])?];
    assert_eq!(saliency(&mut model, &uneven, &Score::channel(1), Gradient::Plain).map_err(|e| e.kind()), Err(ErrorKind::Shape));
    Ok(())
}

#[test]
fn filters_and_activations() -> Result<()> {
    let (model, w) = linear(Relu)?;
    let node = model.network().node("dense1").expect("the layer");
    let units = filters(&model, node)?;
    assert_eq!((units.rows(), units.extent(), units.row(1)[7]), (3, Extent::image(2, 3, 2), w[7 * 3 + 1] as f32));
    let (mut model, conv) = network(Extent::cube(4, 4, 4, 2), 1)?;
    let f = filters(&model, conv)?;
    assert_eq!((f.rows(), f.extent()), (3, Extent::cube(3, 3, 3, 2)));
    assert_eq!(f.row(2)[5], model.array("conv1.weight")?[5 * 3 + 2] as f32);
    let pool = model.network().node("maxpool1").or(model.network().node("pool1")).expect("the pool");
    assert_eq!(filters(&model, pool).map_err(|e| e.kind()), Err(ErrorKind::Unsupported));
    let x = numbers(128 * 70, 9);
    let maps = activations(&mut model, View::new(Extent::cube(4, 4, 4, 2), &x)?, conv)?;
    assert_eq!((maps.rows(), maps.extent()), (70, Extent::cube(4, 4, 4, 3)));
    assert!(maps.values().iter().all(|v| *v >= 0.0) && maps.values().iter().any(|v| *v > 0.0));
    let last = activations(&mut model, View::new(Extent::cube(4, 4, 4, 2), &x[128 * 69..])?, conv)?;
    assert_eq!(last.row(0), maps.row(69), "samples are independent");
    Ok(())
}

#[test]
fn grad_cam_by_hand() -> Result<()> {
    for extent in [Extent::line(6, 1), Extent::image(4, 5, 1), Extent::cube(2, 3, 4, 1)] {
        let mut net = Network::new(extent);
        let conv = net.push(Conv::new(2, 1).act(Relu));
        net.push(Pool::global_average());
        net.push(Dense::new(2).no_bias());
        let mut model = Model::builder(net).build()?;
        model.set_array("conv1.weight", &[1.0, -1.0])?;
        model.set_array("conv1.bias", &[0.0, 0.0])?;
        model.set_array("dense1.weight", &[0.5, 3.0, 0.25, -1.0])?;
        let x = numbers(extent.len() * 3, 7);
        let map = grad_cam(&mut model, View::new(extent, &x)?, &Score::channel(1), conv)?;
        assert_eq!((map.rows(), map.extent()), (3, extent));
        let n = extent.area() as f32;
        for (x, m) in x.iter().zip(map.values()) {
            // A is max(0, x) and max(0, −x), their weights 3/n and −1/n.
            let expected = ((3.0 * x.max(0.0) - (-x).max(0.0)) / n).max(0.0);
            assert!((m - expected).abs() < 1e-6, "{x} {m} {expected}");
        }
        let flat = model.network().node("dense1").expect("the layer");
        let refused = grad_cam(&mut model, View::new(extent, &x)?, &Score::channel(1), flat);
        assert_eq!(refused.map_err(|e| e.kind()), Err(ErrorKind::Unsupported));
    }
    Ok(())
}

#[test]
fn grad_cam_is_stretched_over_the_input() -> Result<()> {
    let mut net = Network::new(Extent::image(8, 12, 1));
    let conv = net.push(Conv::new(1, 4).stride(4));
    net.push(Dense::new(1));
    let mut model = Model::builder(net).seed(1).build()?;
    let mut x = vec![0.0; 96];
    x[5 * 12 + 9] = 5.0;
    let view = View::new(Extent::image(8, 12, 1), &x)?;
    let map = grad_cam(&mut model, view, &Score::channel(0), conv)?;
    let a = activations(&mut model, view, conv)?;
    assert_eq!((a.extent(), map.extent()), (Extent::image(2, 3, 1), Extent::image(8, 12, 1)));
    // Corners lie beyond the middles of the outermost pixels.
    let alpha = model.array("dense1.weight")?.iter().sum::<f64>() as f32 / 6.0;
    assert!((map.row(0)[95] - (alpha * a.row(0)[5]).max(0.0)).abs() < 1e-6);
    Ok(())
}

#[test]
fn occlusion_by_hand() -> Result<()> {
    let mut net = Network::new(Extent::line(5, 1));
    net.push(Dense::new(1));
    let mut model = Model::builder(net).build()?;
    let w = [1.0, -2.0, 3.0, 0.5, 4.0];
    model.set_array("dense1.weight", &w)?;
    let x = [1.0_f32, 1.0, 2.0, 2.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    let view = View::new(Extent::line(5, 1), &x)?;
    let score = Score::channel(0);
    let single = occlusion(&mut model, view, &score, &Occlusion::new([1, 1, 1]).fill(0.0))?;
    assert!(single.values().iter().zip([1.0, -2.0, 6.0, 1.0, -4.0, 0.0, -2.0, 0.0, 0.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-5));
    // Windows of 2 at 0, 2 and, at the edge, 3: drops −1, 7, −3.
    let double = occlusion(&mut model, view, &score, &Occlusion::new([1, 1, 2]).stride([1, 1, 2]).fill(0.0))?;
    assert!(double.row(0).iter().zip([-1.0, -1.0, 7.0, 2.0, -3.0]).all(|(a, b)| (a - b).abs() < 1e-5), "{double:?}");
    // The mean of the first sample is 1: covering position 0 changes nothing.
    let mean = occlusion(&mut model, view, &score, &Occlusion::new([1, 1, 1]))?;
    assert!(mean.row(0).iter().zip([0.0, 0.0, 3.0, 0.5, -8.0]).all(|(a, b)| (a - b).abs() < 1e-5), "{mean:?}");
    let kind = |model: &mut Model, how| occlusion(model, view, &score, &how).map_err(|e| e.kind()).err();
    assert_eq!(kind(&mut model, Occlusion::new([1, 1, 6])), Some(ErrorKind::Value));
    assert_eq!(kind(&mut model, Occlusion::new([0, 1, 1])), Some(ErrorKind::Value));
    assert_eq!(kind(&mut model, Occlusion::new([1, 1, 2]).stride([1, 1, 3])), Some(ErrorKind::Value));
    assert_eq!(kind(&mut model, Occlusion::new([1, 1, 2]).stride([1, 1, 0])), Some(ErrorKind::Value));
    assert_eq!(kind(&mut model, Occlusion::new([1, 1, 2]).input(1)), Some(ErrorKind::Value));
    Ok(())
}

#[test]
fn smooth_grad_of_a_linear_network_is_its_saliency() -> Result<()> {
    let (mut model, _) = linear(Softmax)?;
    let x = numbers(12 * 5, 1);
    let view = View::new(Extent::image(2, 3, 2), &x)?;
    let score = Score::channel(1);
    let exact = saliency(&mut model, view, &score, Gradient::Plain)?;
    let smooth = smooth_grad(&mut model, view, &score, Gradient::Plain, &Smooth { draws: 5, noise: 0.2, seed: 1 })?;
    assert_eq!(exact, smooth);
    let (mut model, _) = network(Extent::image(6, 6, 1), 3)?;
    let x = numbers(36 * 2, 4);
    let view = View::new(Extent::image(6, 6, 1), &x)?;
    let mut of = |noise, seed, draws| smooth_grad(&mut model, view, &score, Gradient::Plain, &Smooth { draws, noise, seed });
    assert_eq!(of(0.0, 1, 1)?, of(0.0, 2, 1)?);
    assert_ne!(of(0.3, 1, 4)?, of(0.3, 2, 4)?);
    assert_eq!(of(0.3, 1, 4)?, of(0.3, 1, 4)?);
    assert_eq!(of(0.3, 1, 0).map_err(|e| e.kind()), Err(ErrorKind::Value));
    assert_eq!(of(f64::NAN, 1, 1).map_err(|e| e.kind()), Err(ErrorKind::Value));
    let clean = saliency(&mut model, view, &score, Gradient::Plain)?;
    let quiet = smooth_grad(&mut model, view, &score, Gradient::Plain, &Smooth { draws: 3, noise: 0.0, seed: 0 })?;
    assert_eq!(clean, quiet);
    Ok(())
}

#[test]
fn the_number_of_threads_and_of_samples_changes_nothing() -> Result<()> {
    let extent = Extent::image(6, 6, 1);
    let x = numbers(36 * 70, 4);
    let maps = |threads: usize, x: &[f32]| -> Result<Vec<Vec<f32>>> {
        let (model, conv) = network(extent, 3)?;
        let weights: Vec<_> = model.arrays().map(|(n, _)| n.to_string()).collect();
        let mut other = Model::builder(model.network().clone()).device(Device::cpu_threads(threads)?).build()?;
        weights.iter().try_for_each(|n| other.set_array(n, &model.array(n)?))?;
        let (model, view, score) = (&mut other, View::new(extent, x)?, Score::channel(1));
        Ok(vec![
            saliency(model, view, &score, Gradient::Absolute)?.remove(0).into_values(),
            smooth_grad(model, view, &score, Gradient::Plain, &Smooth { draws: 2, noise: 0.2, seed: 1 })?.remove(0).into_values(),
            grad_cam(model, view, &score, conv)?.into_values(),
            occlusion(model, view, &score, &Occlusion::new([1, 3, 3]))?.into_values(),
        ])
    };
    let one = maps(1, &x)?;
    assert_eq!(maps(2, &x)?, one);
    assert_eq!(maps(7, &x)?, one);
    let first = maps(1, &x[..36])?;
    assert!(one.iter().zip(&first).all(|(all, first)| all[..36] == first[..]));
    assert!(first.iter().all(|m| m.iter().any(|v| *v != 0.0)));
    Ok(())
}

#[test]
fn what_makes_no_sense_is_refused() -> Result<()> {
    let (mut model, conv) = network(Extent::image(6, 6, 1), 3)?;
    let x = numbers(72, 1);
    let view = View::new(Extent::image(6, 6, 1), &x)?;
    let kind = |model: &mut Model, score: Score| saliency(model, view, &score, Gradient::Plain).map_err(|e| e.kind()).err();
    assert_eq!(kind(&mut model, Score::channel(2)), Some(ErrorKind::Value));
    assert_eq!(kind(&mut model, Score::each(&[0, 7])), Some(ErrorKind::Value));
    assert_eq!(kind(&mut model, Score::each(&[0])), Some(ErrorKind::Shape));
    assert_eq!(kind(&mut model, Score::channel(3).of(conv)), Some(ErrorKind::Value));
    assert_eq!(kind(&mut model, Score::channel(2).of(conv)), None);
    let wrong = View::new(Extent::image(6, 4, 3), &x)?;
    assert!(saliency(&mut model, wrong, &Score::channel(0), Gradient::Plain).is_err());
    assert!(model.forward(Mode::Infer, view).is_ok());
    Ok(())
}

/// v(S) for every set S: the Shapley values without any draw.
fn enumerated(f: impl Fn(&[f64]) -> f64, x: &[f32], background: &[f32]) -> Vec<f64> {
    let n = x.len();
    let v: Vec<f64> = (0..1_usize << n)
        .map(|set| {
            let of = |b: &[f32]| f(&(0..n).map(|k| f64::from(if set >> k & 1 == 1 { x[k] } else { b[k] })).collect::<Vec<_>>());
            background.chunks(n).map(of).sum::<f64>() / (background.len() / n) as f64
        })
        .collect();
    let factorial = |k: usize| (1..=k).map(|k| k as f64).product::<f64>();
    (0..n)
        .map(|i| {
            let sets = (0..1_usize << n).filter(|s| s >> i & 1 == 0);
            let weight =
                |s: usize| factorial(s.count_ones() as usize) * factorial(n - 1 - s.count_ones() as usize) / factorial(n);
            sets.map(|s| weight(s) * (v[s | 1 << i] - v[s])).sum()
        })
        .collect()
}

#[test]
fn shapley_values_are_those_of_all_sets() -> Result<()> {
    let (n, x, background) = (6, numbers(6 * 3, 1), numbers(6 * 8, 2));
    let pairs = |x: &[f64]| x[0] * x[1] + 2.0 * x[2] - x[3] * x[5] + x[4] * x[4];
    let triples = |x: &[f64]| x[0] * x[1] * x[2] + (x[3] - x[5]).tanh() * x[0] + x[4];
    let rows = |f: fn(&[f64]) -> f64| {
        move |r: &[f32]| Ok(r.chunks(6).map(|x| f(&x.iter().map(|v| f64::from(*v)).collect::<Vec<_>>())).collect())
    };
    let one = Permutations { pairs: 1, seed: 3 };
    let many = Permutations { pairs: 200, seed: 3 };
    // An order and its reverse are exact where no more than two features act together.
    let s = shapley(rows(pairs), n, &x, &background, &one)?;
    for (i, x) in x.chunks(n).enumerate() {
        assert!(s.row(i).iter().zip(enumerated(pairs, x, &background)).all(|(a, b)| (a - b).abs() < 1e-12), "{i}");
    }
    let s = shapley(rows(triples), n, &x, &background, &many)?;
    for (i, x) in x.chunks(n).enumerate() {
        let exact = enumerated(triples, x, &background);
        for (k, (value, exact)) in s.row(i).iter().zip(exact).enumerate() {
            let (error, off) = (s.errors[i * n + k], value - exact);
            assert!(off.abs() <= 4.5 * error + 1e-12 && error < 0.1, "{i} {k} {off} {error}");
        }
        assert!(s.errors[i * n + 4] < 1e-12, "a feature that acts alone needs one order");
    }
    assert!(s.errors.iter().any(|e| *e > 1e-4) && s.additivity_error() < 1e-12);
    assert_eq!(s, shapley(rows(triples), n, &x, &background, &many)?);
    assert_ne!(s.values, shapley(rows(triples), n, &x, &background, &Permutations { seed: 4, ..many })?.values);
    Ok(())
}

#[test]
fn shapley_values_of_a_network_add_up() -> Result<()> {
    let mut net = Network::new(Extent::flat(5));
    net.push(Dense::new(8).act(Tanh));
    net.push(Dense::new(2));
    let mut model = Model::builder(net).seed(6).build()?;
    let (x, background) = (numbers(5 * 4, 1), numbers(5 * 30, 2));
    let s = shapley(channel_of(&mut model, 1), 5, &x, &background, &Permutations::default())?;
    assert!(s.additivity_error() < 1e-12 && s.importance().len() == 5);
    let y = model.forward(Mode::Infer, View::new(Extent::flat(5), &x)?)?.to_vec();
    assert!((0..4).all(|i| s.predictions[i] == f64::from(y[2 * i + 1])));
    let kind = |r: Result<Shapley>| r.map_err(|e| e.kind()).err();
    let p = Permutations::default();
    let ones = |r: &[f32]| Ok(vec![1.0; r.len() / 5]);
    assert_eq!(kind(shapley(channel_of(&mut model, 2), 5, &x, &background, &p)), Some(ErrorKind::Value));
    assert_eq!(kind(shapley(ones, 5, &x[..4], &background, &p)), Some(ErrorKind::Shape));
    assert_eq!(kind(shapley(ones, 5, &x, &[], &p)), Some(ErrorKind::Shape));
    assert_eq!(kind(shapley(ones, 0, &x, &background, &p)), Some(ErrorKind::Shape));
    assert_eq!(kind(shapley(ones, 5, &x, &background, &Permutations { pairs: 0, seed: 0 })), Some(ErrorKind::Value));
    assert_eq!(kind(shapley(|_| Ok(vec![1.0]), 5, &x, &background, &p)), Some(ErrorKind::Shape));
    assert_eq!(kind(shapley(|r| Ok(vec![f64::NAN; r.len() / 5]), 5, &x, &background, &p)), Some(ErrorKind::Value));
    let lonely = shapley(|r| Ok(r.iter().map(|v| f64::from(*v)).collect()), 1, &[2.0], &[0.5, 1.5], &p)?;
    assert_eq!((lonely.base, lonely.row(0)), (1.0, &[1.0][..]));
    Ok(())
}
