//! Properties over random shapes: windows, graphs, linear layers and their adjoints, schedules, checkpoints.

use crate::case::{batch, enumerate};
use kamacite::layer::Layer;
use kamacite::optim::Schedule;
use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use proptest::prelude::*;

fn axis() -> impl Strategy<Value = [usize; 7]> {
    (1_usize..12, 1_usize..6, 1_usize..5, 0_usize..5, 0_usize..5, 1_usize..4, 0_usize..3)
        .prop_map(|(input, size, stride, before, after, dilation, gap)| [input, size, stride, before, after, dilation, gap])
}

/// One axis after the other: [input, size, stride, before, after, dilation, gap].
fn window([d, h, w]: [[usize; 7]; 3]) -> (Extent, Window) {
    let each = |k: usize| [d[k], h[k], w[k]];
    let window = Window { size: each(1), stride: each(2), before: each(3), after: each(4), dilation: each(5), gap: each(6) };
    (Extent::flat(1).with_space(each(0)), window)
}

/// A random DAG of layers that keep or halve an image: `choices` decides the layer and the inputs of each node.
/// `smooth` leaves out what has kinks.
fn dag(choices: &[(u8, u8, u8)], smooth: bool) -> Network {
    let mut net = Network::new(Extent::image(6, 6, 3));
    let mut nodes = vec![(net.node("input").unwrap(), Extent::image(6, 6, 3))];
    for &(what, a, b) in choices {
        let (x, e) = nodes[a as usize % nodes.len()];
        let partners: Vec<NodeId> = nodes.iter().filter(|(_, f)| *f == e).map(|(n, _)| *n).collect();
        let other = partners[b as usize % partners.len()];
        let wide = e.area() > 1;
        let node = match what % 26 {
            0 if !smooth => net.add(Activate::new(Relu), &[x]),
            1 => net.add(Activate::new(Silu), &[x]),
            2 => net.add(Merge::add(), &[x, other]),
            3 => net.add(Merge::add(), &[x, other, x]),
            4 if e.c < 20 => net.add(Merge::concat(), &[x, other]),
            5 => net.add(Conv::new(2 + b as usize % 3, 3).same().act(Tanh), &[x]),
            6 => net.add(Conv::depthwise(3).same(), &[x]),
            7 if e.h > 2 && smooth => net.add(Pool::average(2), &[x]),
            7 if e.h > 2 => net.add(Pool::max(2), &[x]),
            8 if e.h > 2 => net.add(Pool::average(3).stride(1).pad(1), &[x]),
            9 => net.add(Dropout::new(0.3), &[x]),
            10 if wide => net.add(Norm::instance(), &[x]),
            11 => net.add(Reshape::to(e), &[x]),
            12 if !smooth => net.add(PRelu::new(), &[x]),
            13 if wide => net.add(Norm::batch(), &[x]),
            14 => net.add(Lrn::new(3).alpha(0.3), &[x]),
            15 if e.h < 10 => net.add(Upsample::linear(2), &[x]),
            16 if e.h < 10 => net.add(ConvTranspose::new(3, 2).stride(2), &[x]),
            17 => net.add(ZeroPad::new(1, 0), &[x]),
            18 if e.h > 2 && e.w > 2 => net.add(Crop::new(0, 1), &[x]),
            19 if e.len() < 200 => net.add(Dense::new(1 + b as usize % 7).act(Logistic), &[x]),
            20 => net.add(Flatten::new(), &[x]),
            21 => net.add(Dropout::channels(0.2).not_inverted(), &[x]),
            22 => net.add(Activate::new(Linear), &[x]),
            23 => net.add(Activate::new(Tanh), &[x]),
            24 => net.add(Conv::new(2, 3).stride(2).pad(1).act(Gelu), &[x]),
            _ => net.add(Activate::new(Softmax), &[x]),
        };
        let e = net.report(Mode::Infer, 1).unwrap().nodes.last().unwrap().extent;
        nodes.push((node, e));
    }
    // Several outputs, the last node among them.
    let (last, middle) = (nodes.len() - 1, nodes.len() / 2);
    net.output("last", nodes[last].0);
    if middle != last && middle != 0 {
        net.output("middle", nodes[middle].0);
    }
    net
}

/// What a plan may be asked for beyond the network.
#[derive(Clone, Copy, Default)]
struct Wish {
    /// Nodes to keep, as bits.
    keep: u64,
    /// Nodes to freeze, as bits.
    freeze: u64,
}

/// Outputs, input gradient and all gradients of one training pass.
fn pass(net: &Network, threads: usize, wish: Wish, rows: usize) -> Result<Vec<Vec<f64>>> {
    let mut model = Model::builder(net.clone()).device(Device::cpu_threads(threads)?).seed(3).build()?;
    let names: Vec<String> = net.report(Mode::Infer, 1)?.nodes.into_iter().map(|n| n.name).collect();
    for (i, node) in names.iter().filter_map(|n| net.node(n)).enumerate() {
        if wish.keep >> i & 1 == 1 {
            model.keep(node);
        }
        if wish.freeze >> i & 1 == 1 {
            model.freeze(node);
        }
    }
    let x = Extent::image(6, 6, 3);
    let mut r = Stream::new(1, Purpose::User, 0);
    let xs: Vec<f32> = (0..rows * x.len()).map(|_| r.normal() as f32).collect();
    model.forward(Mode::Train, View::new(x, &xs)?)?;
    let mut all = Vec::new();
    let mut gradients = Vec::new();
    for k in 0..net.outputs().len() {
        let y = batch(model.output(k)?)?;
        gradients.push((y.extent, y.v.iter().map(|_| r.normal() as f32).collect::<Vec<f32>>()));
        all.push(y.v);
    }
    let views = gradients.iter().map(|(e, v)| View::new(*e, v).map(Some)).collect::<Result<Vec<_>>>()?;
    model.backward(Seed::Outputs(&views), Grads::Write)?;
    all.push(batch(model.input_gradient(0)?)?.v);
    let names: Vec<String> = model.arrays().map(|(n, _)| n.to_string()).collect();
    all.extend(names.iter().filter_map(|n| model.gradient(n).ok()));
    Ok(all)
}

/// How far the backward pass is from the differences, how far it may be, and whether the differences are clear enough to
/// tell.
fn check(net: &Network) -> Result<(f64, f64, bool)> {
    let at = Along::new(net, 0.0)?;
    let slope = |h: f64| -> Result<f64> { Ok((Along::new(net, h)?.value - Along::new(net, -h)?.value) / (2.0 * h)) };
    let (coarse, fine) = (slope(1e-4)?, slope(5e-5)?);
    // Richardson: the h² of both is gone, and their difference bounds what is left. Rounding: ε·Σ|r·y|/h.
    let best = fine + (fine - coarse) / 3.0;
    let bound = (fine - coarse).abs() + 1e-8 * at.slope.abs() + 64.0 * f64::EPSILON * at.size / 5e-5;
    Ok(((best - at.slope).abs(), bound, bound < 1e-3 * at.scale))
}

/// The check of random graphs notices a gradient that is 1 % wrong in the middle of a network.
#[test]
fn the_check_of_graphs_can_fail() -> Result<()> {
    use crate::corrupt::{Corrupt, What};
    for (factor, wrong) in [(1.0, false), (1.01, true), (-1.0, true)] {
        let mut net = Network::new(Extent::image(6, 6, 3));
        net.push(Conv::new(4, 3).same());
        let inner = crate::case::Shared(std::sync::Arc::new(Activate::new(Tanh)));
        net.push(Corrupt { inner, what: What::Input(0), factor });
        net.push(Dense::new(2));
        let (off, bound, clear) = check(&net)?;
        assert!(clear && (off > bound) == wrong, "factor {factor}: off by {off}, bound {bound}");
    }
    Ok(())
}

/// A network with everything moved by h along a random direction.
struct Along {
    /// Σ r·y over all outputs.
    value: f64,
    /// Its derivative along the direction, from the backward pass.
    slope: f64,
    /// Σ |r·y|
    size: f64,
    /// Σ |gradient·direction|
    scale: f64,
}

impl Along {
    fn new(net: &Network, h: f64) -> Result<Self> {
        let x = Extent::image(6, 6, 3);
        let mut r = Stream::new(2, Purpose::User, 0);
        // A new model each time, so that dropout draws the same masks.
        let mut model = Model::builder(net.clone()).precision(Precision::FP64).seed(3).build()?;
        let mut moved = |v: f64| {
            let d = r.normal();
            (v + h * d, d)
        };
        let (xs, dx): (Vec<f64>, Vec<f64>) = (0..2 * x.len()).map(|i| moved((i as f64 * 0.7).sin())).unzip();
        let mut names: Vec<String> = model.arrays().map(|(n, _)| n.to_string()).collect();
        names.retain(|n| model.gradient(n).is_ok());
        let mut directions = Vec::new();
        for name in &names {
            let (w, d): (Vec<f64>, Vec<f64>) = model.array(name)?.into_iter().map(&mut moved).unzip();
            model.set_array(name, &w)?;
            directions.push(d);
        }
        model.forward(Mode::Train, View::f64(x, &xs)?)?;
        let (mut value, mut size, mut gradients) = (0.0, 0.0, Vec::new());
        for k in 0..net.outputs().len() {
            let y = batch(model.output(k)?)?;
            let weights: Vec<f64> = y.v.iter().map(|_| r.between(0.2, 1.0)).collect();
            value += y.v.iter().zip(&weights).map(|(y, w)| y * w).sum::<f64>();
            size += y.v.iter().zip(&weights).map(|(y, w)| (y * w).abs()).sum::<f64>();
            gradients.push((y.extent, weights));
        }
        let views = gradients.iter().map(|(e, v)| View::f64(*e, v).map(Some)).collect::<Result<Vec<_>>>()?;
        let back = model.backward(Seed::Outputs(&views), Grads::Write)?.as_f64()?.to_vec();
        let mut terms: Vec<f64> = back.iter().zip(&dx).map(|(g, d)| g * d).collect();
        for (name, d) in names.iter().zip(&directions) {
            terms.extend(model.gradient(name)?.iter().zip(d).map(|(g, d)| g * d));
        }
        Ok(Self { value, size, slope: terms.iter().sum(), scale: terms.iter().map(|t| t.abs()).sum() })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The formula for the size of an output against places counted one by one.
    #[test]
    fn windows_have_as_many_places_as_can_be_counted(axes in [axis(), axis(), axis()]) {
        let (x, w) = window(axes);
        let counted = enumerate(x, &w);
        match w.output(x.space()) {
            Ok(out) => prop_assert_eq!(out, counted),
            Err(e) => {
                prop_assert!(counted.contains(&0), "{}", e);
                prop_assert_eq!(e.kind(), ErrorKind::Shape);
            }
        }
    }

    /// "Same" padding gives ⌈in/stride⌉ places, with the odd zero after.
    #[test]
    fn same_padding_is_the_ceiling(input in 1_usize..40, size in 1_usize..8, stride in 1_usize..6, dilation in 1_usize..4) {
        let mut w = Window { size: [1, 1, size], stride: [1, 1, stride], dilation: [1, 1, dilation], ..Window::new([1; 3]) };
        Padding::Same.apply(&mut w, Axes([false, false, true]), [1, 1, input]);
        prop_assert!(w.after[2] == w.before[2] || w.after[2] == w.before[2] + 1);
        prop_assert_eq!(enumerate(Extent::line(input, 1), &w)[2], input.div_ceil(stride));
    }

    /// Schedules stay within their bounds and jump nowhere else than they say.
    #[test]
    fn schedules_are_bounded(n in 1_u64..200, low in 0.0..1.0_f64, warm in 1_u64..50) {
        let list = [
            Schedule::Constant,
            Schedule::step(1 + n / 3, 0.5),
            Schedule::exponential(0.99),
            Schedule::cosine(n, low),
            Schedule::polynomial(n, 2.0, low),
        ];
        for schedule in list {
            let falling: Vec<f64> = (0..n).map(|t| schedule.at(t, 10)).collect();
            prop_assert!(falling.windows(2).all(|f| f[1] <= f[0] + 1e-15), "{:?} rises", schedule);
            prop_assert!(falling.iter().all(|f| (0.0..=1.0).contains(f)), "{:?}", schedule);
            let warmed = schedule.clone().warm_up(warm);
            let rising: Vec<f64> = (0..warm).map(|t| warmed.at(t, 10)).collect();
            prop_assert!(rising.windows(2).all(|f| f[1] >= f[0]), "{:?} does not warm up", schedule);
            prop_assert!((warmed.at(warm, 10) - schedule.at(0, 10)).abs() < 1e-12);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Legal graphs can be planned; no unwritten memory (poison is NaN) reaches a result; neither threads nor the sharing
    /// of memory change a bit.
    #[test]
    fn random_graphs(choices in prop::collection::vec(any::<(u8, u8, u8)>(), 1..18), rows in 1_usize..6, keep in any::<u64>()) {
        let net = dag(&choices, false);
        let run = |threads, wish| pass(&net, threads, wish, rows).map_err(|e| TestCaseError::fail(e.to_string()));
        let one = run(1, Wish::default())?;
        prop_assert!(one.iter().flatten().all(|v| v.is_finite()));
        prop_assert!(one == run(3, Wish::default())?, "threads change the result");
        for keep in [u64::MAX, keep] {
            prop_assert!(one == run(1, Wish { keep, freeze: 0 })?, "sharing memory changes the result");
        }
    }

    /// Freezing some nodes changes neither the outputs nor the gradients of inputs and of the other nodes.
    #[test]
    fn frozen_parts_of_random_graphs(choices in prop::collection::vec(any::<(u8, u8, u8)>(), 1..18), freeze in any::<u64>()) {
        let net = dag(&choices, false);
        let run = |wish| pass(&net, 1, wish, 3).map_err(|e| TestCaseError::fail(e.to_string()));
        let (free, cold) = (run(Wish::default())?, run(Wish { keep: 0, freeze })?);
        let outputs = net.outputs().len() + 1;
        prop_assert!(free[..outputs] == cold[..outputs]);
        for (f, c) in free[outputs..].iter().zip(&cold[outputs..]) {
            prop_assert!(f == c || c.iter().all(|v| *v == 0.0));
        }
        let all = run(Wish { keep: 0, freeze: u64::MAX })?;
        prop_assert!(free[..outputs] == all[..outputs] && all[outputs..].iter().flatten().all(|v| *v == 0.0));
    }

    /// The gradient of a random functional of all outputs, along a random direction in all inputs and parameters.
    #[test]
    fn random_graphs_have_the_gradient_of_their_differences(choices in prop::collection::vec(any::<(u8, u8, u8)>(), 1..18)) {
        let (off, bound, clear) = check(&dag(&choices, true)).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assume!(clear);
        prop_assert!(off <= bound, "backward is off by {}, bound {:.1e}", off, bound);
    }

    /// A saved model computes the same bits, and saves as the same bytes.
    #[test]
    fn checkpoints_come_back(choices in prop::collection::vec(any::<(u8, u8, u8)>(), 1..10), seed in any::<u64>()) {
        let net = dag(&choices, false);
        let run = || -> Result<()> {
            let mut model = Model::builder(net.clone()).seed(seed).build()?;
            let bytes = model.checkpoint()?.to_bytes()?;
            let mut again = Checkpoint::from_bytes(&bytes)?.model(&Registry::standard(), Device::cpu())?;
            assert_eq!(again.checkpoint()?.to_bytes()?, bytes);
            let x = [0.25_f32; 108];
            for mode in [Mode::Infer, Mode::MonteCarlo] {
                let y = model.forward(mode, View::new(Extent::image(6, 6, 3), &x)?)?.to_vec();
                assert_eq!(again.forward(mode, View::new(Extent::image(6, 6, 3), &x)?)?.to_vec(), y);
            }
            Ok(())
        };
        run().map_err(|e| TestCaseError::fail(e.to_string()))?;
    }

    /// ⟨Ax, v⟩ = ⟨x, Aᵀv⟩ for the linear layers: forward and backward are each other's transpose, whatever the window.
    #[test]
    fn linear_layers_and_their_adjoints(axes in [axis(), axis(), axis()], which in 0_usize..6, seed in any::<u32>()) {
        let (x, w) = window(axes);
        let x = x.with_channels(3);
        let each = |k: usize| [axes[0][k], axes[1][k], axes[2][k]];
        let layer: Box<dyn Layer> = match which {
            0 => Box::new(Conv::new(2, w.size).stride(w.stride).pad_sides(w.before, w.after).dilation(w.dilation).gap(w.gap).no_bias()),
            1 => Box::new(ConvTranspose::new(2, w.size).stride(w.stride).dilation(w.dilation).no_bias()),
            2 => Box::new(Pool::average(w.size).stride(w.stride)),
            3 => Box::new(Upsample::linear(each(5))),
            4 => Box::new(ZeroPad::new(w.before, w.after)),
            _ => Box::new(Crop::new(w.before, w.after)),
        };
        let mut net = Network::new(x);
        net.push(crate::case::Shared(layer.into()));
        // Windows that do not fit are refused; the other tests see to that.
        let Ok(mut model) = Model::builder(net).precision(Precision::FP64).build() else { return Ok(()) };
        let mut r = Stream::new(u64::from(seed), Purpose::User, 0);
        let xs: Vec<f64> = (0..2 * x.len()).map(|_| r.normal()).collect();
        let mut run = || -> Result<(f64, f64, f64)> {
            let y = batch(model.forward(Mode::Train, View::f64(x, &xs)?)?)?;
            let v: Vec<f64> = y.v.iter().map(|_| r.normal()).collect();
            let dx = model.backward(View::f64(y.extent, &v)?, Grads::Skip)?.as_f64()?.to_vec();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let size = dot(&y.v, &y.v).sqrt() * dot(&v, &v).sqrt();
            Ok((dot(&y.v, &v), dot(&xs, &dx), size))
        };
        let (left, right, size) = run().map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert!((left - right).abs() <= 1e-12 * size.max(1e-3), "{} and {}", left, right);
    }
}
