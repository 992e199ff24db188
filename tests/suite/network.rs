//! Whole networks: every layer in one DAG, plans, modes, freezing, user-defined parts, errors.

use crate::case::{Batch, Case, Shared, batch, graph};
use crate::check::{Descent, layer_suite};
use crate::corrupt::{Corrupt, What};
use crate::user::{Quadratic, Quartic};
use kamacite::layer::{Fields, Layer};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use std::sync::Arc;

/// Two inputs, fan-outs, sums, concatenations, views, in-place layers: every layer there is.
fn everything(wrong: Option<usize>) -> Network {
    let mut net = Network::default();
    let (image, vector) = (net.input("image", Extent::image(6, 6, 2)), net.input("vector", Extent::flat(3)));
    let mut count = 0;
    let mut add = |layer: Arc<dyn Layer>, inputs: &[NodeId]| {
        let inner = Shared(layer);
        let corrupt = wrong == Some(count);
        count += 1;
        if corrupt { net.add(Corrupt { inner, what: What::Input(0), factor: -1.0 }, inputs) } else { net.add(inner, inputs) }
    };
    let conv = add(Arc::new(Conv::new(4, 3).same().act(Tanh)), &[image]);
    let norm = add(Arc::new(Norm::batch()), &[conv]);
    let relu = add(Arc::new(Activate::new(Silu)), &[norm]);
    let prelu = add(Arc::new(PRelu::new()), &[norm]);
    let max = add(Arc::new(Pool::max(2)), &[relu]);
    let mean = add(Arc::new(Pool::average(2)), &[prelu]);
    let sum = add(Arc::new(Merge::add()), &[max, mean]);
    let lrn = add(Arc::new(Lrn::new(3).alpha(0.5)), &[sum]);
    let groups = add(Arc::new(Norm::groups(2)), &[sum]);
    let wide = add(Arc::new(Merge::concat()), &[lrn, groups, max]);
    let depth = add(Arc::new(Conv::depthwise(3).pad(1)), &[wide]);
    let drop = add(Arc::new(Dropout::new(0.3)), &[depth]);
    let up = add(Arc::new(Upsample::linear(2)), &[drop]);
    let padded = add(Arc::new(ZeroPad::new(1, 1)), &[up]);
    let cropped = add(Arc::new(Crop::new(1, 1)), &[padded]);
    let transposed = add(Arc::new(ConvTranspose::new(3, 2).stride(2).act(Softplus)), &[sum]);
    let skip = add(Arc::new(Merge::concat()), &[cropped, transposed, conv]);
    let global = add(Arc::new(Pool::global_average()), &[skip]);
    let dense = add(Arc::new(Dense::new(9).act(Tanh)), &[vector]);
    let map = add(Arc::new(Reshape::to(Extent::image(3, 3, 1))), &[dense]);
    let small = add(Arc::new(Conv::new(2, 2)), &[map]);
    let flat = add(Arc::new(Flatten::new()), &[small]);
    let drawn = add(Arc::new(BayesDense::new(3).act(Tanh)), &[vector]);
    let joined = add(Arc::new(Merge::concat()), &[global, flat, dense, drawn]);
    let head = add(Arc::new(Dense::new(4)), &[joined]);
    add(Arc::new(Activate::new(Softmax)), &[head]);
    net
}

fn cases() -> Vec<Case> {
    // Sums over the batch and both halves of the network: the longest is the batch statistics', 3·36 values, and the
    // rounding of about a dozen layers one after another comes on top.
    vec![graph("every layer", everything).random().couples_rows().terms(12 * 108)]
}

layer_suite!();

/// A new layer must appear in the network above.
#[test]
fn the_network_has_every_layer() {
    let report = everything(None).report(Mode::Train, 2).unwrap();
    let registry = Registry::standard();
    for kind in format!("{registry:?}").split(['[', ',', ']', '"', ' ']).filter(|k| !k.is_empty()) {
        let known = match registry.layer(kind, &Fields::Null) {
            Ok(_) => true,
            Err(e) => !e.to_string().contains("unknown kind"),
        };
        assert!(!known || report.nodes.iter().any(|n| n.kind == kind), "no {kind} in the network of every layer");
    }
}

fn numbers(seed: u64, n: usize) -> Vec<f64> {
    let mut r = Stream::new(seed, Purpose::User, 0);
    (0..n).map(|_| r.between(-1.0, 1.0)).collect()
}

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

/// Two outputs with weighted losses: L = 2·ℓ(a) + 0.5·ℓ(b) over the rows, against differences.
#[test]
fn weighted_losses_of_two_outputs() -> Result<()> {
    let x = Extent::flat(4);
    let mut net = Network::new(x);
    let trunk = net.push(Dense::new(5).act(Tanh));
    let a = net.add(Dense::new(3), &[trunk]);
    let b = net.add(Dense::new(2).act(Logistic), &[trunk]);
    net.output("a", a).output("b", b);
    let mut model =
        Model::builder(net).precision(Precision::FP64).loss("a", Quartic {}, 2.0).loss("b", Quartic {}, 0.5).build()?;
    let (xs, ta, tb) = (numbers(1, 12), numbers(2, 9), numbers(3, 6));
    let (ea, eb) = (Extent::flat(3), Extent::flat(2));
    let value = |model: &mut Model, xs: &[f64]| -> Result<f64> {
        model.forward(Mode::Train, View::f64(x, xs)?)?;
        model.loss(&[View::f64(ea, &ta)?.into(), View::f64(eb, &tb)?.into()])
    };
    let total = value(&mut model, &xs)?;
    let quartic = |y: &[f64], t: &[f64]| y.iter().zip(t).map(|(y, t)| (y - t).powi(4)).sum::<f64>();
    let (ya, yb) = (model.output(0)?.as_f64()?.to_vec(), model.output(1)?.as_f64()?.to_vec());
    let expected = (2.0 * quartic(&ya, &ta) + 0.5 * quartic(&yb, &tb)) / 3.0;
    assert!((total - expected).abs() < 1e-13 * expected, "{total}, expected {expected}");
    let dx = model.backward(Seed::Loss, Grads::Write)?.as_f64()?.to_vec();
    for name in ["dense1.weight", "dense2.bias", "dense3.weight"] {
        let (w, dw) = (model.array(name)?, model.gradient(name)?);
        for i in 0..w.len() {
            let mut moved = w.clone();
            let mut at = |v: f64| -> Result<f64> {
                moved[i] = v;
                model.set_array(name, &moved)?;
                value(&mut model, &xs)
            };
            let slope = (at(w[i] + 1e-5)? - at(w[i] - 1e-5)?) / 2e-5;
            model.set_array(name, &w)?;
            // Truncation 1e-10·f‴/6 and rounding 1e-16·L/1e-5, both below 1e-8 of a gradient of order 1.
            assert!((slope - dw[i]).abs() < 1e-8 * total.max(1.0), "{name}[{i}]: {slope}, {}", dw[i]);
        }
    }
    for i in 0..xs.len() {
        let mut moved = xs.clone();
        moved[i] += 1e-5;
        let plus = value(&mut model, &moved)?;
        moved[i] -= 2e-5;
        let slope = (plus - value(&mut model, &moved)?) / 2e-5;
        assert!((slope - dx[i]).abs() < 1e-8 * total.max(1.0), "x[{i}]: {slope}, {}", dx[i]);
    }
    Ok(())
}

/// A value and a view of it are two arguments in one memory: their sum must not overwrite the first before the second is
/// read. (Found by the random graphs.)
#[test]
fn a_value_and_its_view_can_be_added() -> Result<()> {
    let x = Extent::flat(3);
    for (first, second) in [(0, 1), (1, 0), (1, 1), (0, 0)] {
        let mut net = Network::new(x);
        let a = net.push(Activate::new(Tanh));
        let view = net.push(Reshape::to(x));
        net.add(Merge::add(), &[[a, view][first], [a, view][second]]);
        let mut model = Model::builder(net).precision(Precision::FP64).build()?;
        let xs = [0.5, -1.0, 2.0];
        let y = model.forward(Mode::Train, View::f64(x, &xs)?)?.as_f64()?.to_vec();
        let expected: Vec<f64> = xs.iter().map(|x: &f64| 2.0 * x.tanh()).collect();
        crate::check::close("y", &y, &expected, 1e-14).unwrap();
        let dx = model.backward(View::f64(x, &[1.0, 2.0, 3.0])?, Grads::Write)?.as_f64()?.to_vec();
        let expected: Vec<f64> = xs.iter().zip([1.0, 2.0, 3.0]).map(|(x, d)| 2.0 * d * (1.0 - x.tanh().powi(2))).collect();
        crate::check::close("dx", &dx, &expected, 1e-14).unwrap();
    }
    Ok(())
}

/// A plan in which every node is kept shares no activation; the results are the same bits.
#[test]
fn shared_memory_changes_no_bit() -> Result<()> {
    let run = |keep: bool, precision: Precision| -> Result<Vec<Vec<f64>>> {
        let net = everything(None);
        let nodes: Vec<String> = net.report(Mode::Infer, 1)?.nodes.into_iter().map(|n| n.name).collect();
        let mut model = Model::builder(net).precision(precision).seed(9).build()?;
        if keep {
            nodes.iter().filter_map(|n| model.network().node(n)).collect::<Vec<_>>().into_iter().for_each(|n| model.keep(n));
        }
        let (image, vector) = (narrow(&numbers(4, 5 * 72)), narrow(&numbers(5, 5 * 3)));
        let (ei, ev) = (Extent::image(6, 6, 2), Extent::flat(3));
        let y = batch(model.forward(Mode::Train, &[View::new(ei, &image)?, View::new(ev, &vector)?])?)?.v;
        let dy: Vec<f64> = numbers(6, y.len());
        let dy32 = narrow(&dy);
        let dy = if precision == Precision::FP64 { View::f64(Extent::flat(4), &dy)? } else { View::new(Extent::flat(4), &dy32)? };
        model.backward(dy, Grads::Write)?;
        let mut all = vec![y, batch(model.input_gradient(0)?)?.v, batch(model.input_gradient(1)?)?.v];
        let names: Vec<String> = model.arrays().map(|(n, _)| n.to_string()).collect();
        all.extend(names.iter().filter_map(|n| model.gradient(n).ok()));
        Ok(all)
    };
    let bytes = |keep: bool| -> Result<usize> {
        let mut model = Model::builder(everything(None)).build()?;
        if keep {
            (0..27)
                .filter_map(|i| model.network().report(Mode::Infer, 1).ok()?.nodes.get(i).map(|n| n.name.clone()))
                .collect::<Vec<_>>()
                .iter()
                .filter_map(|n| model.network().node(n))
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|n| model.keep(n));
        }
        let (image, vector) = ([0.5_f32; 72], [0.5_f32; 3]);
        model.forward(Mode::Train, &[View::new(Extent::image(6, 6, 2), &image)?, View::new(Extent::flat(3), &vector)?])?;
        Ok(model.plans().map(|p| p.local_bytes).sum())
    };
    for precision in [Precision::FP32, Precision::FP64] {
        assert_eq!(run(false, precision)?, run(true, precision)?);
    }
    assert!(bytes(false)? < bytes(true)?, "keeping everything should need more memory");
    Ok(())
}

/// The gradient that a kept node had is the one that differences of what follows it give.
#[test]
fn kept_nodes_show_values_and_gradients() -> Result<()> {
    let x = Extent::image(4, 4, 2);
    let mut net = Network::new(x);
    let conv = net.push(Conv::new(3, 3).pad(1));
    let relu = net.push(Activate::new(Tanh));
    net.push(Pool::average(2));
    let mut model = Model::builder(net.clone()).precision(Precision::FP64).build()?;
    let e = model.node(conv).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Order, "{e}");
    model.keep(conv);
    model.keep(relu);
    let xs = numbers(7, 2 * 32);
    model.forward(Mode::Eval, View::f64(x, &xs)?)?;
    assert_eq!(model.node_gradient(conv).unwrap_err().kind(), ErrorKind::Order);
    let dy = numbers(8, 2 * 12);
    let z = batch(model.node(conv)?)?.v;
    let a = batch(model.node(relu)?)?.v;
    assert!(z.iter().zip(&a).all(|(z, a)| (z.tanh() - a).abs() < 1e-14), "the kept values are those of their own nodes");
    model.backward(View::f64(Extent::image(2, 2, 3), &dy)?, Grads::Skip)?;
    let (da, dz) = (batch(model.node_gradient(relu)?)?, batch(model.node_gradient(conv)?)?.v);
    let dy = Batch { rows: 2, extent: Extent::image(2, 2, 3), v: dy };
    let expected = Batch::from_fn(2, da.extent, |[n, d, h, w, c]| dy[[n, d, h / 2, w / 2, c]] / 4.0);
    crate::check::close("da", &da.v, &expected.v, 1e-14).unwrap();
    let expected: Vec<f64> = da.v.iter().zip(&a).map(|(d, a)| d * (1.0 - a * a)).collect();
    crate::check::close("dz", &dz, &expected, 1e-14).unwrap();
    Ok(())
}

#[test]
fn backward_needs_a_fresh_forward_pass() -> Result<()> {
    let x = Extent::flat(3);
    let mut net = Network::new(x);
    net.push(Dense::new(2));
    let mut model = Model::builder(net).build()?;
    let (xs, dy) = ([1.0_f32, 2.0, 3.0], [1.0_f32, -1.0]);
    let (xs, dy) = (View::new(x, &xs)?, View::new(Extent::flat(2), &dy)?);
    let order = |e: Error| {
        assert_eq!(e.kind(), ErrorKind::Order, "{e}");
        e.to_string()
    };
    order(model.backward(dy, Grads::Write).unwrap_err());
    model.forward(Mode::Train, xs)?;
    model.backward(dy, Grads::Write)?;
    let message = order(model.backward(dy, Grads::Write).unwrap_err());
    assert!(message.contains("forward"), "{message}");
    for mode in [Mode::Infer, Mode::MonteCarlo] {
        model.forward(mode, xs)?;
        order(model.backward(dy, Grads::Write).unwrap_err());
    }
    model.forward(Mode::Eval, xs)?;
    let dx = model.backward(dy, Grads::Skip)?.to_vec();
    let w = model.array("dense1.weight")?;
    assert!((0..3).all(|i| (f64::from(dx[i]) - (w[2 * i] - w[2 * i + 1])).abs() < 1e-6), "eval mode has gradients");
    model.forward(Mode::Train, xs)?;
    order(model.backward(Seed::Loss, Grads::Write).unwrap_err());
    // Freezing and keeping make new plans: the old pass is gone, and says so.
    let node = model.network().node("dense1").expect("the layer");
    for change in [Model::freeze, Model::unfreeze, Model::keep] {
        model.forward(Mode::Train, xs)?;
        change(&mut model, node);
        order(model.backward(dy, Grads::Write).unwrap_err());
        order(model.output(0).map(drop).unwrap_err());
    }
    Ok(())
}

/// Models and trainers can move to a thread of their own.
#[test]
fn models_can_be_sent() {
    fn send<T: Send>() {}
    send::<Model>();
    send::<Trainer>();
    send::<Network>();
    send::<Checkpoint>();
}

/// Batches of four kinds over the same weights, each planned once.
#[test]
fn plans_are_made_once() -> Result<()> {
    let x = Extent::image(8, 8, 1);
    let mut net = Network::new(x);
    net.push(Conv::new(4, 3).same().act(Relu));
    net.push(Norm::batch());
    net.push(Conv::new(2, 1));
    let mut model = Model::builder(net).seed(2).build()?;
    let data = narrow(&numbers(9, 256 * 64));
    let large = narrow(&numbers(10, 12 * 20));
    let mut first = Vec::new();
    for round in 0..2 {
        let eval = model.forward(Mode::Eval, View::new(x, &data)?)?.to_vec();
        let infer = model.forward(Mode::Infer, View::new(x, &data[..64])?)?.to_vec();
        let wide = model.forward(Mode::Infer, View::new(Extent::image(12, 20, 1), &large)?)?;
        assert_eq!(wide.extent(), Extent::image(12, 20, 2));
        // The same row in another plan: other blocks, the same numbers but for rounding.
        assert!(eval.iter().zip(&infer).all(|(a, b)| (a - b).abs() <= 1e-5 * a.abs().max(1.0)));
        if round == 0 {
            first = infer;
        } else {
            assert_ne!(first, infer, "the plans share the weights that were trained in between");
        }
        model.forward(Mode::Train, View::new(x, &data[..64 * 64])?)?;
        let dy = vec![1e-3_f32; 64 * 128];
        model.backward(View::new(Extent::image(8, 8, 2), &dy)?, Grads::Write)?;
        model.step(&Descent(0.1))?;
        assert_eq!(model.plans().count(), 4, "round {round}");
    }
    let mut list: Vec<(Mode, usize)> = model.plans().map(|p| (p.mode, p.capacity)).collect();
    list.sort_by_key(|(_, n)| *n);
    assert_eq!(list, [(Mode::Infer, 1), (Mode::Infer, 1), (Mode::Train, 64), (Mode::Eval, 256)]);
    Ok(())
}

#[test]
fn user_defined_layers_and_losses() -> Result<()> {
    let x = Extent::flat(1);
    let mut net = Network::new(x);
    net.push(Dense::new(3).act(Tanh));
    net.push(Quadratic { linear: 3.0 });
    net.push(Dense::new(1));
    let build = |net: Network| Model::builder(net).precision(Precision::FP64).seed(4).loss("output", Quartic {}, 1.0).build();
    let mut model = build(net.clone())?;
    let (xs, ts) = ([0.1, 0.4, -0.6, 1.0], [0.3, 0.2, 0.5, 0.1]);
    let mut losses = Vec::new();
    for _ in 0..200 {
        model.forward(Mode::Train, View::f64(x, &xs)?)?;
        losses.push(model.loss(&[View::f64(x, &ts)?.into()])?);
        model.backward(Seed::Loss, Grads::Write)?;
        model.step(&Descent(0.002))?;
    }
    assert!(losses[199] < 0.2 * losses[0], "{} to {}", losses[0], losses[199]);
    // Without the layer in the registry the file cannot be read, with it the same network comes back.
    let registry = Registry::standard().with_layer::<Quadratic>("quadratic").with_loss::<Quartic>("quartic");
    let e = Network::load(&net.save(), &Registry::standard()).unwrap_err();
    assert!(e.kind() == ErrorKind::Format && e.to_string().contains("quadratic"), "{e}");
    assert_eq!(Network::load(&net.save(), &registry)?.save(), net.save());
    let bytes = model.checkpoint()?.to_bytes()?;
    let mut again = Checkpoint::from_bytes(&bytes)?.model(&registry, Device::cpu())?;
    let before = model.forward(Mode::Infer, View::f64(x, &xs)?)?.as_f64()?.to_vec();
    assert_eq!(again.forward(Mode::Infer, View::f64(x, &xs)?)?.as_f64()?, before);
    assert!(Checkpoint::from_bytes(&bytes)?.model(&Registry::standard(), Device::cpu()).is_err());
    Ok(())
}

/// `None` for an output is a gradient of zeros.
#[test]
fn outputs_without_a_gradient() -> Result<()> {
    let x = Extent::flat(4);
    let mut net = Network::new(x);
    let trunk = net.push(Dense::new(5).act(Tanh));
    let a = net.add(Dense::new(3), &[trunk]);
    let b = net.add(Activate::new(Softmax), &[trunk]);
    net.output("a", a).output("trunk", trunk).output("b", b);
    let (xs, dy, zeros) = (numbers(20, 8), numbers(21, 10), vec![0.0; 10]);
    let run = |absent: bool| -> Result<Vec<Vec<f64>>> {
        let mut model = Model::builder(net.clone()).precision(Precision::FP64).seed(8).build()?;
        model.forward(Mode::Train, View::f64(x, &xs)?)?;
        let (three, five) = (View::f64(Extent::flat(3), &zeros[..6])?, View::f64(Extent::flat(5), &zeros)?);
        let dy = View::f64(Extent::flat(5), &dy)?;
        let seeds = if absent { [None, Some(dy), None] } else { [Some(three), Some(dy), Some(five)] };
        let dx = model.backward(Seed::Outputs(&seeds), Grads::Write)?.as_f64()?.to_vec();
        Ok(vec![dx, model.gradient("dense1.weight")?, model.gradient("dense2.weight")?])
    };
    assert_eq!(run(true)?, run(false)?);
    assert!(run(true)?[0].iter().any(|v| *v != 0.0));
    Ok(())
}

/// Layers above a frozen one still learn; a factor on the learning rate scales the step of its node alone.
#[test]
fn freezing_and_groups() -> Result<()> {
    let x = Extent::flat(3);
    let mut net = Network::new(x);
    let nodes = [net.push(Dense::new(4).act(Tanh)), net.push(Dense::new(4).act(Tanh)), net.push(Dense::new(2))];
    let step = |prepare: &dyn Fn(&mut Model) -> Result<()>| -> Result<[Vec<f64>; 3]> {
        let mut model = Model::builder(net.clone()).precision(Precision::FP64).seed(6).build()?;
        prepare(&mut model)?;
        let before: [Vec<f64>; 3] = ["dense1.weight", "dense2.weight", "dense3.weight"].map(|n| model.array(n).unwrap());
        let (xs, dy) = (numbers(11, 6), numbers(12, 4));
        model.forward(Mode::Train, View::f64(x, &xs)?)?;
        model.backward(View::f64(Extent::flat(2), &dy)?, Grads::Write)?;
        model.step(&Descent(0.5))?;
        let after = ["dense1.weight", "dense2.weight", "dense3.weight"].map(|n| model.array(n).unwrap());
        Ok(std::array::from_fn(|i| after[i].iter().zip(&before[i]).map(|(a, b)| a - b).collect()))
    };
    let plain = step(&|_| Ok(()))?;
    let frozen = step(&|m| {
        m.freeze(nodes[1]);
        Ok(())
    })?;
    assert!(frozen[1].iter().all(|d| *d == 0.0));
    assert!(frozen[0] == plain[0] && frozen[2] == plain[2], "freezing one layer changes the step of another");
    let scaled = step(&|m| m.scale_learning_rate(nodes[1], 0.25))?;
    assert!(scaled[0] == plain[0] && scaled[2] == plain[2]);
    // w + δ rounds once; the difference to w carries that rounding of a number of order 1.
    assert!(scaled[1].iter().zip(&plain[1]).all(|(s, p)| (s - 0.25 * p).abs() <= 2.0 * f64::EPSILON));
    assert!(plain.iter().all(|d| d.iter().any(|d| *d != 0.0)));
    Ok(())
}

/// Where, what, expected, got, hint.
#[test]
fn errors_say_where_and_what() -> Result<()> {
    let image = Extent::image(4, 4, 2);
    let refuse = |net: Network, kind: ErrorKind, parts: &[&str]| {
        let e = net.report(Mode::Train, 2).expect_err("an impossible network");
        assert_eq!(e.kind(), kind, "{e}");
        let text = e.to_string();
        assert!(parts.iter().all(|p| text.contains(p)), "{text:?} lacks one of {parts:?}");
        assert!(Model::builder(net).build().is_err());
    };
    let mut net = Network::new(image);
    net.push(Conv::new(3, 7));
    refuse(net, ErrorKind::Shape, &["node 1 (conv1): ", "window", "expected at most 4", "got 7", "padding"]);

    let mut net = Network::new(image);
    let a = net.push(Conv::new(3, 3));
    let b = net.node("input").unwrap();
    net.add(Merge::add(), &[a, b]);
    refuse(net, ErrorKind::Shape, &["node 2 (merge1)"]);

    let mut net = Network::new(image);
    net.add(Merge::concat(), &[]);
    refuse(net, ErrorKind::Plan, &["node 1 (merge1)", "no input"]);

    let mut net = Network::new(image);
    let (a, b) = (net.push(Dense::new(2)), net.push(Dense::new(2)));
    net.name(a, "same").name(b, "same");
    refuse(net, ErrorKind::Plan, &["node 2 (same)"]);

    // An id from another network may lie ahead of the node that takes it: the only way to ask for a cycle.
    let mut longer = Network::new(image);
    let ahead = [0; 5].map(|_| longer.push(Dense::new(2)))[4];
    let mut net = Network::new(image);
    net.add(Dense::new(2), &[ahead]);
    refuse(net, ErrorKind::Plan, &["node 1 (dense1)", "not before it", "node 5"]);

    refuse(Network::default(), ErrorKind::Plan, &["no input"]);
    refuse(Network::new(Extent::image(0, 4, 1)), ErrorKind::Shape, &["node 0 (input)", "zero"]);

    let mut net = Network::new(image);
    let out = net.push(Dense::new(2));
    net.output("a", out).output("a", out);
    refuse(net, ErrorKind::Plan, &["output a"]);

    let mut net = Network::new(image);
    net.push(Dense::new(2));
    let e = Model::builder(net.clone()).loss("nowhere", Quartic {}, 1.0).build().unwrap_err();
    assert!(e.kind() == ErrorKind::Plan && e.to_string().contains("expected output, got nowhere"), "{e}");
    let e = Model::builder(net.clone()).precision(Precision::BF16).build().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    let mut model = Model::builder(net).build()?;
    let e = model.array("dense9.weight").unwrap_err();
    assert!(e.kind() == ErrorKind::Value && e.to_string().contains("dense1.weight"), "{e}");
    assert_eq!(model.set_array("dense1.bias", &[0.0; 3]).unwrap_err().kind(), ErrorKind::Shape);
    let five = [0.0_f32; 5];
    assert_eq!(View::new(image, &five).unwrap_err().kind(), ErrorKind::Shape);
    let other = [0.0_f32; 48];
    let e = model.forward(Mode::Infer, View::new(Extent::image(4, 4, 3), &other)?).unwrap_err();
    assert!(e.kind() == ErrorKind::Shape && e.to_string().contains("channels"), "{e}");
    // Another image size, which a dense layer cannot take.
    let other = [0.0_f32; 32 * 2];
    let e = model.forward(Mode::Infer, View::new(Extent::image(4, 8, 2), &other)?).unwrap_err();
    assert!(e.kind() == ErrorKind::Shape && e.to_string().contains("dense1"), "{e}");
    let wide = [0.0_f64; 32];
    let e = model.forward(Mode::Infer, View::f64(image, &wide)?).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Value, "{e}");
    assert_eq!(model.output(0).map(drop).unwrap_err().kind(), ErrorKind::Order);
    Ok(())
}

/// A plan that cannot fit says so before it takes memory, with a table and the batch that would.
#[test]
fn too_large_plans_are_refused_with_a_batch_that_fits() -> Result<()> {
    let x = Extent::flat(1);
    let mut net = Network::new(x);
    net.push(Dense::new(1 << 16));
    let mut model = Model::builder(net.clone()).build()?;
    // 2²² rows of 2¹⁶ outputs: a terabyte.
    let xs = vec![0.0_f32; 1 << 22];
    let e = model.forward(Mode::Infer, View::new(x, &xs)?).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{e}");
    let text = e.to_string();
    assert!(text.contains("dense1") && text.contains("a batch of") && text.contains("fits"), "{text}");
    let fits = net.report(Mode::Infer, 1)?.batch_within(1 << 30).expect("some batch fits in a GiB");
    // An estimate from the plan for one row: workspaces may grow a little with the batch.
    let share = net.report(Mode::Infer, fits)?.bytes() as f64 / (1_u64 << 30) as f64;
    assert!((0.95..1.02).contains(&share), "a batch of {fits} takes {share} of the GiB");
    assert_eq!(model.forward(Mode::Infer, View::new(x, &xs[..3])?)?.rows(), 3);
    Ok(())
}
