//! What follows a layer, done by its own pass: the same bits as layer by layer, which is how kept nodes are computed; on a GPU, where
//! the passes of rows are kernels of their own, the same within rounding.

use crate::case::{Case, graph};
use crate::check::all;
use crate::cuda::{cuda, gpu};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;

/// A row of layers that one pass may do, on this input.
struct Row {
    x: Extent,
    /// What comes before the first of them, so that a gradient goes further.
    before: Vec<Layered>,
    layers: Vec<Layered>,
    /// How many normalisations and pools others' passes take over in plans with gradients, and in those for inference. (A ReLU in
    /// place has no memory of its own either way.)
    absorbed: [usize; 2],
}

#[derive(Clone)]
enum Layered {
    Conv(layer::Conv),
    Norm(layer::Norm),
    Activate(Activation),
    Pool(layer::Pool),
}

impl Row {
    fn network(&self) -> (Network, Vec<NodeId>) {
        let mut net = Network::new(self.x);
        let mut push = |l: &Layered| match l.clone() {
            Layered::Conv(l) => net.push(l),
            Layered::Norm(l) => net.push(l),
            Layered::Activate(act) => net.push(Activate::new(act)),
            Layered::Pool(l) => net.push(l),
        };
        let nodes = self.before.iter().chain(&self.layers).map(&mut push).collect();
        net.push(Dense::new(3));
        (net, nodes)
    }

    fn random(r: &mut Stream) -> Self {
        let pick = |r: &mut Stream, n: usize| r.below(n);
        let k = 2 + pick(r, 2);
        let c = [1, 3, 4, 8, 17, 32][pick(r, 6)];
        let x = match pick(r, 4) {
            0 => Extent::line(k * (1 + pick(r, 40)), c),
            1 => Extent::cube(k * (1 + pick(r, 2)), k * (1 + pick(r, 3)), k * (1 + pick(r, 3)), c),
            _ => Extent::image(k * (1 + pick(r, 9)), k * (1 + pick(r, 9)), c),
        };
        let (norm, batch) = match pick(r, 6) {
            0 => (Some(layer::Norm::layer()), false),
            1 => (Some(layer::Norm::instance()), false),
            2 => (Some(layer::Norm::batch().no_affine()), true),
            3 => (None, false),
            _ => (Some(layer::Norm::batch()), true),
        };
        let (relu, pool) = (pick(r, 4) > 0, pick(r, 4) > 0);
        let mut layers: Vec<Layered> = norm.clone().map(Layered::Norm).into_iter().collect();
        layers.extend(relu.then_some(Layered::Activate(Relu)));
        layers.extend(pool.then(|| Layered::Pool(layer::Pool::max(k))));
        let conv = layer::Conv::new([c, 5, 16, 40][pick(r, 4)], 3).pad(1);
        let (conv, able) = match pick(r, 5) {
            0 => (conv.act(Tanh), false),
            1 if norm.is_none() && !relu => (conv.act(Relu), true),
            2 => (conv.stride(1).groups(if c % 4 == 0 { 1 } else { c }).multiplier(c), true),
            _ => (conv, true),
        };
        let before = if norm.is_none() || pick(r, 2) == 0 { vec![Layered::Conv(conv)] } else { Vec::new() };
        let behind_norm = usize::from(norm.is_some() && pool);
        let by_conv = !before.is_empty() && able && (norm.is_none() || batch);
        let absorbed = [behind_norm, if by_conv { usize::from(norm.is_some()) + usize::from(pool) } else { behind_norm }];
        Self { x, before, layers, absorbed }
    }
}

type Bits = Vec<(String, Vec<u64>)>;

/// Output, gradients and weights of a step, and how many of `nodes` have no memory of their own.
fn run(
    net: &Network,
    nodes: &[NodeId],
    kept: bool,
    mode: Mode,
    precision: Precision,
    device: Device,
    seed: u64,
) -> Result<(Bits, usize)> {
    let mut model = Model::builder(net.clone()).device(device).precision(precision).seed(seed).build()?;
    if kept {
        nodes.iter().for_each(|n| model.keep(*n));
    }
    let (x, rows) = (net.inputs().next().map_or(Extent::flat(1), |(_, e)| e), 3);
    let mut r = Stream::new(seed, Purpose::User, 1);
    let mut draw = |n: usize| (0..n).map(|_| r.normal()).collect::<Vec<f64>>();
    for name in model.arrays().map(|(n, _)| n.to_string()).collect::<Vec<_>>() {
        let n = model.array(&name)?.len();
        // Scales of both signs, variances above 0.
        model.set_array(
            &name,
            &draw(n).iter().map(|v| if name.contains("var") { v.abs() + 0.5 } else { *v }).collect::<Vec<_>>(),
        )?;
    }
    let (input, dy) = (draw(rows * x.len()), draw(rows * 3));
    let narrow = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<f32>>();
    let (input32, dy32) = (narrow(&input), narrow(&dy));
    let double = precision == Precision::FP64;
    let shown = if double { View::f64(x, &input)? } else { View::new(x, &input32)? };
    let values = |v: View<'_>| -> Vec<u64> {
        v.as_f64()
            .map(|v| v.iter().map(|v| v.to_bits()).collect())
            .or_else(|_| v.as_f32().map(|v| v.iter().map(|v| u64::from(v.to_bits())).collect()))
            .unwrap_or_default()
    };
    let mut bits = vec![("y".to_string(), values(model.forward(mode, shown)?))];
    if mode != Mode::Infer {
        let y = Extent::flat(3);
        let seed = if double { View::f64(y, &dy)? } else { View::new(y, &dy32)? };
        bits.push(("dx".into(), values(model.backward(seed, Grads::Write)?)));
        bits.push(("dx of the second pass".into(), {
            model.forward(mode, shown)?;
            values(model.backward(seed, Grads::Add)?)
        }));
    }
    for name in model.arrays().map(|(n, _)| n.to_string()).collect::<Vec<_>>() {
        bits.push((name.clone(), model.array(&name)?.iter().map(|v| v.to_bits()).collect()));
        if mode != Mode::Infer {
            bits.push((format!("d{name}"), model.gradient(&name).unwrap_or_default().iter().map(|v| v.to_bits()).collect()));
        }
    }
    let report = model.plans().last().ok_or_else(|| Error::plan("test", "no plan"))?;
    let counts = |kind: &str| kind == "norm" || kind == "pool";
    let without = |n: &&NodeId| report.nodes.iter().any(|r| r.name == net.name_of(**n) && counts(&r.kind) && r.bytes == 0);
    Ok((bits, nodes.iter().filter(without).count()))
}

#[test]
fn what_one_pass_does_has_the_bits_of_the_layers() -> Result<()> {
    for seed in 0..80 {
        let row = Row::random(&mut Stream::new(seed, Purpose::User, 0));
        let (net, nodes) = row.network();
        for mode in [Mode::Train, Mode::Eval, Mode::Infer] {
            for precision in [Precision::FP32, Precision::FP64] {
                let what = format!(
                    "seed {seed}: {:?} {mode:?} {precision:?}",
                    net.nodes().map(|n| net.name_of(n).to_string()).collect::<Vec<_>>()
                );
                let (single, none) = run(&net, &nodes, true, mode, precision, Device::cpu_threads(2)?, seed)?;
                assert_eq!(none, 0, "{what}: kept nodes have memory");
                for threads in [1, 2, 7] {
                    let (fused, absorbed) = run(&net, &nodes, false, mode, precision, Device::cpu_threads(threads)?, seed)?;
                    for ((name, a), (_, b)) in single.iter().zip(&fused) {
                        assert!(a == b, "{what}: {name} differs, {} on {threads} threads", row.x);
                    }
                    let most = row.absorbed[usize::from(mode == Mode::Infer)];
                    // Pieces of cubes may not be whole slices; all others must be whole rows.
                    let expected = absorbed <= most && (absorbed == most || row.x.d > 1);
                    assert!(expected, "{what}: {absorbed} of {most} done by others, {}", row.x);
                }
            }
        }
    }
    Ok(())
}

/// Rows of a normalisation of a batch, perhaps a ReLU, and a pool on a GPU; whether the pool is a part of the normalisation's pass in
/// 32 bits, and in 16.
fn pooled() -> Vec<(Row, [bool; 2])> {
    let row = |x: Extent, norm: layer::Norm, relu: bool, pool: layer::Pool| {
        let mut layers = vec![Layered::Norm(norm)];
        layers.extend(relu.then_some(Layered::Activate(Relu)));
        layers.push(Layered::Pool(pool));
        Row { x, before: vec![Layered::Conv(Conv::new(x.c, 1))], layers, absorbed: [0; 2] }
    };
    let (image, batch, max) = (Extent::image, layer::Norm::batch, layer::Pool::max);
    vec![
        (row(image(8, 6, 8), batch(), true, max(2)), [true; 2]),
        (row(image(12, 10, 40), batch(), false, max(2)), [true; 2]),
        (row(image(40, 40, 8), batch(), true, max(2)), [true; 2]),
        (row(image(9, 6, 24), batch().no_affine(), true, max(3)), [true; 2]),
        (row(Extent::line(60, 16), batch(), true, max(4)), [true; 2]),
        (row(Extent::cube(4, 2, 6, 8), batch(), true, max(2)), [true; 2]),
        (row(image(2, 4, 2064), batch(), true, max(2)), [true; 2]),
        (row(image(6, 6, 12), batch(), true, max(2)), [true, false]),
        (row(image(6, 6, 9), batch(), true, max(2)), [false; 2]),
        (row(image(7, 6, 8), batch(), true, max(2)), [false; 2]),
        (row(image(6, 6, 8), batch(), true, max(3).stride(1)), [false; 2]),
        (row(image(6, 6, 8), layer::Norm::groups(2), true, max(2)), [false; 2]),
    ]
}

/// Compares a row of layers done by few launches on a GPU with the same layer by layer, in training and inference: as many of its nodes as expected have
/// no memory, and no value is further away than `bound` of its array's largest. Two runs give equal bits.
fn against_single_launches(
    gpu: &Device,
    (what, row, absorbed): (&str, &Row, usize),
    precision: Precision,
    bound: impl Fn(&str) -> f64,
) -> Result<()> {
    let (net, nodes) = row.network();
    for mode in [Mode::Train, Mode::Infer] {
        let what = format!("{what}, {}: {mode:?} {precision:?}", row.x);
        let run = |kept: bool| run(&net, &nodes, kept, mode, precision, gpu.clone(), row.x.len() as u64);
        let ((single, none), (fused, taken)) = (run(true)?, run(false)?);
        assert_eq!(none, 0, "{what}: kept nodes have memory");
        assert_eq!(taken, absorbed, "{what}");
        for ((name, a), (_, b)) in single.iter().zip(&fused) {
            let shown = name == "y" || name.starts_with("dx");
            let value = |bits: &u64| if shown { f64::from(f32::from_bits(*bits as u32)) } else { f64::from_bits(*bits) };
            let (a, b): (Vec<f64>, Vec<f64>) = (a.iter().map(value).collect(), b.iter().map(value).collect());
            let bound = bound(name) * a.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
            let far = a.iter().zip(&b).position(|(a, b)| (a - b).abs().is_nan() || (a - b).abs() > bound);
            assert!(far.is_none(), "{what}: {name} at {far:?}: {:?}", far.map(|i| (a[i], b[i], bound)));
        }
        assert!(run(false)?.0 == fused, "{what}: other bits");
    }
    Ok(())
}

/// The same results as by single launches, and the same gradients but for the order of sums.
#[test]
fn a_normalisation_takes_the_pool_behind_it_on_a_gpu() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    for (i, (row, takes)) in pooled().into_iter().enumerate() {
        for (precision, eps) in [(Precision::FP32, 1e-5), (Precision::BF16, 1.0 / 128.0), (Precision::FP16, 1.0 / 1024.0)] {
            let absorbed = usize::from(takes[usize::from(eps > 1e-4)]);
            let bound = |name: &str| if name == "y" { 0.0 } else { eps };
            against_single_launches(&gpu.device, (&format!("case {i}"), &row, absorbed), precision, bound)?;
        }
    }
    Ok(())
}

/// Convolutions of many channels with a pool behind them, and whether their kernel takes the maxima.
fn convolutions() -> Vec<(Row, bool)> {
    let row = |x: Extent, conv: Conv, pool: layer::Pool| Row {
        x,
        before: vec![Layered::Conv(Conv::new(x.c, 1))],
        layers: vec![Layered::Conv(conv), Layered::Pool(pool)],
        absorbed: [0; 2],
    };
    let (image, same, max) = (Extent::image, |filters: usize| Conv::new(filters, 3).same(), layer::Pool::max);
    vec![
        (row(image(8, 12, 24), same(40).act(Relu), max(2)), true),
        (row(image(8, 8, 64), same(64), layer::Pool::max([4, 2])), true),
        (row(image(6, 10, 32), same(32).act(Activation::leaky_relu(0.1)).no_bias(), max(2)), true),
        (row(image(9, 17, 32), same(48).stride(2).groups(2).act(Tanh), layer::Pool::max([1, 3])), false),
        (row(image(7, 15, 32), same(48).stride(2).groups(2).act(Tanh), max(4)), true),
        (row(Extent::line(96, 16), Conv::new(40, 9).same().act(Relu), max(4)), true),
        (row(Extent::cube(4, 4, 6, 24), same(32).act(Relu), max(2)), true),
        // The gradient needs more than the maxima, or windows overlap.
        (row(image(8, 8, 32), same(32).act(Gelu), max(2)), false),
        (row(image(8, 8, 32), same(32).act(Relu), max(3).stride(1)), false),
        (row(image(8, 8, 20), same(33).act(Relu), max(2)), false),
    ]
}

/// All bits are those of single launches but for the gradient of the bias, which is summed over the maxima.
#[test]
fn a_convolution_takes_the_pool_behind_it_on_a_gpu() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    for (i, (row, takes)) in convolutions().into_iter().enumerate() {
        for precision in [Precision::FP32, Precision::TF32, Precision::BF16, Precision::FP16] {
            let absorbed = usize::from(takes && precision != Precision::FP32);
            let bound = |name: &str| if name == "dconv2.bias" { 1e-5 } else { 0.0 };
            against_single_launches(&gpu.device, (&format!("case {i}"), &row, absorbed), precision, bound)?;
        }
    }
    Ok(())
}

/// Convolutions of few channels with what may follow them, before a layer that makes their inputs' gradients wanted.
fn units() -> Vec<(Network, usize)> {
    let conv = |filters: usize, size: usize| Conv::new(filters, size);
    let relu = || Layered::Activate(Relu);
    let max = |k: usize| Layered::Pool(layer::Pool::max(k));
    let image = |h, w, c| Extent::image(h, w, c);
    let rows: Vec<(Extent, Vec<Layered>, usize)> = vec![
        (image(8, 8, 1), vec![Layered::Conv(conv(8, 3).pad(1).act(Relu)), max(2)], 1),
        (image(10, 6, 5), vec![Layered::Conv(conv(6, 3).pad(1).act(Tanh)), max(2)], 1),
        (image(9, 9, 8), vec![Layered::Conv(conv(16, 3).pad(2).stride(2)), relu(), max(2)], 2),
        (image(9, 9, 3), vec![Layered::Conv(conv(9, 3).dilation(2).act(Activation::leaky_relu(0.1)))], 0),
        (image(7, 7, 16), vec![Layered::Conv(conv(5, 2)), relu()], 1),
        (Extent::line(50, 2), vec![Layered::Conv(conv(3, 4).pad(2).no_bias().act(Relu)), max(2)], 0),
        (Extent::line(51, 2), vec![Layered::Conv(conv(3, 4).pad(2).no_bias().act(Relu)), max(2)], 1),
        (Extent::line(67, 2), vec![Layered::Conv(conv(3, 5).stride(4).act(Relu)), max(4)], 1),
        (Extent::cube(4, 4, 6, 2), vec![Layered::Conv(conv(7, 3).same().act(Softplus)), max(2)], 1),
        // Windows that overlap, or leave cells out, are passes of their own.
        (image(8, 8, 1), vec![Layered::Conv(conv(4, 3).pad(1).act(Relu)), Layered::Pool(layer::Pool::max(3).stride(2))], 0),
        (image(9, 9, 1), vec![Layered::Conv(conv(4, 3).pad(1).act(Relu)), max(2)], 0),
    ];
    rows.into_iter()
        .map(|(x, layers, absorbed)| (Row { x, before: Vec::new(), layers, absorbed: [0; 2] }.network().0, absorbed))
        .collect()
}

#[test]
fn a_convolution_of_few_channels_takes_what_follows_it_on_a_gpu() {
    for (net, expected) in units() {
        let Some(gpu) = gpu() else { return };
        let mut model = Model::builder(net.clone()).device(gpu.device.clone()).build().expect("a model");
        let x = net.inputs().next().expect("an input").1;
        model.forward(Mode::Train, View::new(x, &vec![0.5; 3 * x.len()]).expect("rows")).expect("a pass");
        let report = model.plans().last().expect("a plan");
        let nothing = report.nodes.iter().filter(|n| n.kind != "input" && n.bytes == 0).count();
        assert_eq!(nothing, expected, "{report:#?}");
        let unit = report.nodes[1].kernels.iter().any(|k| k.starts_with("unit_"));
        assert!(unit, "{:?}", report.nodes[1].kernels);
    }
    let normalised = [layer::Norm::batch(), layer::Norm::layer(), layer::Norm::groups(2).no_affine(), layer::Norm::cianna(2, 1)];
    // Of channels that lie by 16 bytes, and others.
    let rectified = normalised.into_iter().flat_map(|norm| [6, 16].map(|c| (norm.clone(), c))).map(|(norm, c)| {
        let layers = vec![Layered::Norm(norm), Layered::Activate(Relu)];
        let before = vec![Layered::Conv(Conv::new(c, 3).no_bias())];
        (Row { x: Extent::image(5, 9, 2), before, layers, absorbed: [0; 2] }.network().0, 1)
    });
    let case = |(net, _): (Network, usize)| graph(&format!("{net:?}"), move |_| net.clone());
    let cases: Vec<Case> = units().into_iter().map(case).chain(rectified.map(case).map(Case::modes_differ)).collect();
    all(&cases, cuda);
}
