//! What follows a layer, done by its own pass: the same bits as layer by layer, which is how kept nodes are computed.

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
    threads: usize,
    seed: u64,
) -> Result<(Bits, usize)> {
    let device = Device::cpu_threads(threads)?;
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
                let (single, none) = run(&net, &nodes, true, mode, precision, 2, seed)?;
                assert_eq!(none, 0, "{what}: kept nodes have memory");
                for threads in [1, 2, 7] {
                    let (fused, absorbed) = run(&net, &nodes, false, mode, precision, threads, seed)?;
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
