//! Runs recorded with CIANNA v1.0 (CPU code), reproduced with general layers.
//!
//! `tests/golden/cianna` holds the recordings; `compact_cianna.py` next to it shortened their numbers without changing a
//! single f32. How CIANNA's parts are expressed:
//!
//! * a bias is a trained weight on a constant input: here a second input of ones times the bias value, through a 1x1
//!   convolution (or, for dense layers, one more input column), so that it learns and decays as CIANNA's does;
//! * weights are channel-major there and channels-last here: permuted when read, and again when compared;
//! * gradients are divided by the batch size B in partial batches too: a factor rows/B on the mean gradient;
//! * momentum multiplies a velocity that holds the learning rate: [`Sgd::velocity_form`];
//! * LIN, RELU, LOGI outputs have ½·Σ(o − t)², SMAX outputs cross entropy.
//!
//! | recording | used | why not |
//! |---|---|---|
//! | dense_single_lin, dense_single_logi, dense_softmax, dense_logi_beta_sat | yes | |
//! | dense_relu_custom | no | outputs above the saturation: the CPU code compares the gradient with it instead of the output |
//! | mlp_relu_bias_lost, mlp_lr_decay, mlp_logi_softmax_iris_like | yes: a lost bias node is no bias | |
//! | mlp_lin_bias_trained | no | a bias node that learns but whose pivot does not: no general layer is so |
//! | conv1d_stride, conv2d_same_relu, conv2d_stride2_exact, conv2d_stride2_nopad, conv3d | yes | |
//! | conv2d_int_padding, conv2d_int_padding2 | yes: `Conv::gap` | |
//! | conv_lin_map_output, conv_logi_map_output, conv_smax_output | yes | |
//! | dense_to_conv | yes: the neurons are permuted | |
//! | maxpool, avgpool, maxpool_overlap_pad, pool3d, global_avg_smax | yes | |
//! | norm_group, norm_group_setoff, pool_norm_order | yes: `Norm::cianna` | |
//! | norm_relu_cuda_semantics, norm_then_dense_cuda_semantics | yes, with the repairs that give its CUDA semantics | |
//! | worked_examples | partly: `layers::lrn` | the rest repeats the recordings |
//! | save_format_all_layers, yolo_* | no | they belong to the reader of CIANNA's files and to the detection loss |

use crate::case::triples;
use kamacite::loss::{Mse, SoftmaxCrossEntropy};
use kamacite::optim::Sgd;
use kamacite::*;
use serde_json::Value;

macro_rules! recordings {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() -> Result<()> {
            replay(include_str!(concat!("../golden/cianna/", stringify!($name), ".json")))
        }
    )*};
}
recordings!(
    avgpool,
    conv1d_stride,
    conv2d_int_padding,
    conv2d_int_padding2,
    conv2d_same_relu,
    conv2d_stride2_exact,
    conv2d_stride2_nopad,
    conv3d,
    conv_lin_map_output,
    conv_logi_map_output,
    conv_smax_output,
    dense_logi_beta_sat,
    dense_single_lin,
    dense_single_logi,
    dense_softmax,
    dense_to_conv,
    global_avg_smax,
    maxpool,
    maxpool_overlap_pad,
    mlp_logi_softmax_iris_like,
    mlp_lr_decay,
    mlp_relu_bias_lost,
    norm_group,
    norm_group_setoff,
    norm_relu_cuda_semantics,
    norm_then_dense_cuda_semantics,
    pool3d,
    pool_norm_order,
);

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// Sizes [w, h, d] as [d, h, w].
fn sizes(v: &Value) -> [usize; 3] {
    let n = numbers(v);
    [n[2] as usize, n[1] as usize, n[0] as usize]
}

fn count(v: &Value) -> usize {
    v.as_u64().expect("a count") as usize
}

/// RELU_S800.00_L0.05 and its kin.
fn activation(name: &str) -> Activation {
    let part = |letter: char, usual: f64| {
        let found = name.split('_').skip(1).find_map(|p| p.strip_prefix(letter));
        found.map_or(usual, |v| v.parse().expect("a number"))
    };
    match &name[..3.min(name.len())] {
        "LIN" => Linear,
        "REL" => LeakyRelu { slope: part('L', 0.05), saturation: Some(part('S', 800.0)) },
        "LOG" => ScaledLogistic { slope: part('B', 1.0), saturation: Some(part('S', 6.0)) },
        other => panic!("activation {other}"),
    }
}

/// How the weights of one recorded layer lie in ours: (name, for each element of ours the index in the recorded list).
struct Placed {
    name: String,
    from: Vec<usize>,
}

/// The network, where each recorded layer's weights went, and the constant inputs it needs.
struct Built {
    net: Network,
    /// For each recorded layer, its arrays.
    placed: Vec<Vec<Placed>>,
    /// Extents and values of the constant inputs, in order.
    constants: Vec<(Extent, f64)>,
    softmax: bool,
}

/// The index in (c, z, y, x) order of each element in (z, y, x, c) order.
fn channel_major(e: Extent) -> Vec<usize> {
    let mut list = Vec::new();
    for [d, h, w] in triples(e.space()) {
        list.extend((0..e.c).map(|c| c * e.area() + (d * e.h + h) * e.w + w));
    }
    list
}

fn build(golden: &Value) -> Built {
    let config = &golden["config"];
    let [d, h, w] = sizes(&config["in_dim"]);
    let layers = golden["layers_initial"].as_array().expect("layers");
    let mut net = Network::new(Extent { d, h, w, c: count(&config["in_nb_ch"]) });
    let mut last = net.node("input").expect("the input");
    let mut x = Extent { d, h, w, c: count(&config["in_nb_ch"]) };
    let (mut placed, mut constants, mut softmax) = (Vec::new(), Vec::new(), false);
    let mut bias = config["input_bias"].as_f64().expect("a bias");
    let mut before = ' ';
    for (k, l) in layers.iter().enumerate() {
        let kind = l["t"].as_str().and_then(|t| t.chars().next()).expect("a type");
        // The first layer sees the bias of the input, a layer on maps its own, a dense one after a dense one none: the
        // bias node of RELU, LOGI and SMAX layers is lost.
        if k > 0 {
            bias = l["bias"].as_f64().unwrap_or(0.0);
        }
        let mut arrays = Vec::new();
        match kind {
            'D' => {
                let n = count(&l["n"]);
                // Weight [input][neuron]; the recorded rows have n + 1 columns. Neurons in the order of the next layer.
                let order = match layers.get(k + 1) {
                    Some(next) if next["t"] == "C" => {
                        let [d, h, w] = sizes(&next["prev"]);
                        channel_major(Extent { d, h, w, c: count(&next["dep"]) })
                    }
                    _ => (0..n).collect(),
                };
                let mut rows = if x.area() > 1 { channel_major(x) } else { (0..x.len()).collect() };
                if before != 'D' {
                    let one = net.input(&format!("one{k}"), Extent::flat(1));
                    constants.push((Extent::flat(1), bias));
                    let flat = net.add(Flatten::new(), &[last]);
                    last = net.add(Merge::concat(), &[flat, one]);
                    rows.push(x.len());
                }
                let node = net.add(Dense::new(n).no_bias(), &[last]);
                net.name(node, &format!("layer{k}"));
                last = node;
                let from = rows.iter().flat_map(|r| order.iter().map(move |c| r * (n + 1) + c)).collect();
                arrays.push(Placed { name: format!("layer{k}.weight"), from });
                x = Extent::flat(n);
            }
            'C' => {
                let (f, size) = (count(&l["nf"]), sizes(&l["f"]));
                let [d, h, w] = sizes(&l["prev"]);
                if before == 'D' {
                    x = Extent { d, h, w, c: count(&l["dep"]) };
                    last = net.add(Reshape::to(x), &[last]);
                }
                let conv = Conv::new(f, size).stride(sizes(&l["st"])).pad(sizes(&l["pad"])).gap(sizes(&l["ip"])).no_bias();
                let node = net.add(conv, &[last]);
                net.name(node, &format!("layer{k}"));
                let taps: usize = size.iter().product();
                let window = Window {
                    stride: sizes(&l["st"]),
                    before: sizes(&l["pad"]),
                    after: sizes(&l["pad"]),
                    gap: sizes(&l["ip"]),
                    ..Window::new(size)
                };
                let length = taps * x.c + 1;
                let from = (0..taps).flat_map(|t| (0..x.c).flat_map(move |c| (0..f).map(move |j| j * length + c * taps + t)));
                arrays.push(Placed { name: format!("layer{k}.weight"), from: from.collect() });
                x = Extent { c: f, ..x.with_space(crate::case::enumerate(x, &window)) };
                let ones = x.with_channels(1);
                let one = net.input(&format!("one{k}"), ones);
                constants.push((ones, bias));
                let constant = net.add(Conv::new(f, [1, 1, 1]).no_bias(), &[one]);
                net.name(constant, &format!("bias{k}"));
                arrays.push(Placed { name: format!("bias{k}.weight"), from: (0..f).map(|j| j * length + length - 1).collect() });
                last = net.add(Merge::add(), &[node, constant]);
            }
            'P' => {
                let pool = match (count(&l["g"]), l["ty"].as_str()) {
                    (1, Some("AVG")) => Pool::global_average(),
                    (1, _) => Pool::global_max(),
                    (_, Some("AVG")) => Pool::average(sizes(&l["p"])).stride(sizes(&l["st"])).pad(sizes(&l["pad"])),
                    _ => Pool::max(sizes(&l["p"])).stride(sizes(&l["st"])).pad(sizes(&l["pad"])),
                };
                let size = if count(&l["g"]) == 1 { x.space() } else { sizes(&l["p"]) };
                let (stride, pad) = (sizes(&l["st"]), sizes(&l["pad"]));
                x = x.with_space(crate::case::enumerate(x, &Window { stride, before: pad, after: pad, ..Window::new(size) }));
                last = net.add(pool, &[last]);
            }
            'N' => {
                let node = net.add(Norm::cianna(count(&l["gs"]), count(&l["off"])), &[last]);
                net.name(node, &format!("layer{k}"));
                last = node;
                let groups = x.c / count(&l["gs"]) - count(&l["off"]);
                arrays.push(Placed { name: format!("layer{k}.scale"), from: (0..groups).collect() });
                arrays.push(Placed { name: format!("layer{k}.shift"), from: (0..groups).collect() });
            }
            other => panic!("layer type {other}"),
        }
        // The names after training spell out the defaults.
        let name = golden["layers_after_training"][k]["act"].as_str().or(l["act"].as_str()).expect("an activation");
        if name.starts_with("SMAX") {
            softmax = true;
        } else if activation(name) != Linear {
            last = net.add(Activate::new(activation(name)), &[last]);
        }
        placed.push(arrays);
        before = kind;
    }
    net.output("output", last);
    Built { net, placed, constants, softmax }
}

/// The recorded list that an array of ours comes from.
fn recorded(l: &Value, name: &str) -> Vec<f64> {
    let table = |v: &Value| v.as_array().expect("rows").iter().flat_map(numbers).collect();
    match l["t"].as_str() {
        Some("D") => table(&l["W"]),
        Some("C") => table(&l["F"]),
        _ if name.ends_with("scale") => numbers(&l["gamma"]),
        _ => numbers(&l["beta"]),
    }
}

struct Replay {
    model: Model,
    built: Built,
    x: Vec<Vec<f32>>,
    t: Vec<Vec<f32>>,
    input: Extent,
    output: Extent,
}

impl Replay {
    fn new(golden: &Value) -> Result<Self> {
        let built = build(golden);
        let (input, output) = {
            let report = built.net.report(Mode::Infer, 1)?;
            let last = &built.net.outputs()[0].1;
            let name = built.net.name_of(*last);
            (report.nodes[0].extent, report.nodes.iter().find(|n| n.name == name).map(|n| n.extent).expect("the output"))
        };
        let builder = Model::builder(built.net.clone()).spare_biases();
        let builder = match built.softmax {
            true => builder.loss("output", SoftmaxCrossEntropy, 1.0),
            false => builder.loss("output", Mse::half(), 1.0),
        };
        let mut model = builder.build()?;
        for (l, arrays) in golden["layers_initial"].as_array().expect("layers").iter().zip(&built.placed) {
            for a in arrays {
                let list = recorded(l, &a.name);
                model.set_array(&a.name, &a.from.iter().map(|&i| list[i]).collect::<Vec<_>>())?;
            }
        }
        let rows = |v: &Value, e: Extent| -> Vec<Vec<f32>> {
            let order = if e.area() > 1 { channel_major(e) } else { (0..e.len()).collect() };
            let row = |r: &Value| {
                let r = numbers(r);
                order.iter().map(|&i| r[i] as f32).collect()
            };
            v.as_array().expect("rows").iter().map(row).collect()
        };
        let (x, t) = (rows(&golden["inputs"], input), rows(&golden["targets"], output));
        Ok(Self { model, built, x, t, input, output })
    }

    fn forward(&mut self, mode: Mode, range: std::ops::Range<usize>) -> Result<()> {
        let rows = range.len();
        let x: Vec<f32> = self.x[range].concat();
        let constants: Vec<Vec<f32>> = self.built.constants.iter().map(|(e, b)| vec![*b as f32; rows * e.len()]).collect();
        let mut views = vec![View::new(self.input, &x)?];
        for ((e, _), values) in self.built.constants.iter().zip(&constants) {
            views.push(View::new(*e, values)?);
        }
        self.model.forward(mode, &views[..]).map(drop)
    }

    fn loss(&mut self, range: std::ops::Range<usize>) -> Result<f64> {
        let t: Vec<f32> = self.t[range].concat();
        self.model.loss(&[View::new(self.output, &t)?.into()])
    }

    /// Outputs in the recorded order, and the mean loss.
    fn evaluate(&mut self) -> Result<(Vec<Vec<f64>>, f64)> {
        let n = self.x.len();
        self.forward(Mode::Eval, 0..n)?;
        let loss = self.loss(0..n)?;
        let y = self.model.predict()?.to_vec();
        let order = if self.output.area() > 1 { channel_major(self.output) } else { (0..self.output.len()).collect() };
        let restore = |row: &[f32]| {
            let mut out = vec![0.0; row.len()];
            order.iter().zip(row).for_each(|(&i, &v)| out[i] = f64::from(v));
            out
        };
        Ok((y.chunks(self.output.len()).map(restore).collect(), loss))
    }
}

/// |a − b| <= 2e-6·max(1, |b|): a dozen f32 operations on numbers of order 1, and a few steps of training on top.
fn agree(what: &str, got: &[f64], expected: &[f64]) {
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= 2e-6 * e.abs().max(1.0), "{what}[{i}]: expected {e}, got {g}");
    }
}

fn replay(text: &str) -> Result<()> {
    let golden: Value = serde_json::from_str(text).expect("JSON");
    let mut run = Replay::new(&golden)?;
    let outputs = |run: &mut Replay, name: &str| -> Result<()> {
        let (y, _) = run.evaluate()?;
        for (n, (y, expected)) in y.iter().zip(golden[name].as_array().expect("rows")).enumerate() {
            agree(&format!("{name}, row {n}"), y, &numbers(expected));
        }
        Ok(())
    };
    outputs(&mut run, "output_initial")?;
    let config = &golden["config"];
    let number = |name: &str| config[name].as_f64().expect("a number");
    let (b, begin, end) = (count(&config["batch_size"]), number("learning_rate"), number("end_learning_rate"));
    let rule = Sgd::new(begin).momentum(number("momentum")).weight_decay(number("weight_decay")).velocity_form();
    let losses = numbers(&golden["mean_loss_after_each_iteration"]);
    for (k, &expected) in losses.iter().enumerate() {
        let decay = number("lr_decay");
        let rate = if decay == 0.0 { begin } else { end + (begin - end) * (-decay * k as f64).exp() };
        for start in (0..run.x.len()).step_by(b) {
            let rows = start..run.x.len().min(start + b);
            run.forward(Mode::Train, rows.clone())?;
            run.loss(rows.clone())?;
            run.model.backward(Seed::Loss, Grads::Write)?;
            run.model.step_at(&rule, rate, rows.len() as f64 / b as f64)?;
        }
        let (_, loss) = run.evaluate()?;
        // Six digits are recorded.
        assert!(
            (loss - expected).abs() <= 6e-6 * expected.abs().max(0.1),
            "iteration {}: expected {expected}, got {loss}",
            k + 1
        );
    }
    outputs(&mut run, "output_after_training")?;
    for (l, arrays) in golden["layers_after_training"].as_array().expect("layers").iter().zip(&run.built.placed) {
        for a in arrays {
            let list = recorded(l, &a.name);
            let expected: Vec<f64> = a.from.iter().map(|&i| list[i]).collect();
            agree(&a.name, &run.model.array(&a.name)?, &expected);
        }
    }
    Ok(())
}
