//! PyTorch's numbers for layers, losses and optimizers; `tests/golden/make_torch.py` made them and tells how.
//!
//! Both sides compute in f64 and the file has 10 significant digits, so 1e-9 of the largest number is agreement. Where
//! conventions differ the table below says so: PyTorch counts `momentum` of batch norm as we do; its Nesterov, AMSGrad,
//! RMSprop and Adadelta are the ones documented in `optim`.

use crate::case::{Batch, Shared, case};
use crate::check::{close, text};
use kamacite::layer::Layer;
use kamacite::loss::*;
use kamacite::optim::*;
use kamacite::*;
use serde_json::Value;
use std::sync::Arc;

const BOUND: f64 = 1e-9;

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/torch.json")).expect("torch.json is JSON")
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn extent(v: &Value) -> Extent {
    let n: Vec<usize> = numbers(v).into_iter().map(|v| v as usize).collect();
    Extent { d: n[0], h: n[1], w: n[2], c: n[3] }
}

fn batch(v: &Value, rows: usize) -> Batch {
    Batch { rows, extent: extent(&v["extent"]), v: numbers(&v["v"]) }
}

/// The layer of ours that each case of PyTorch's means.
fn layer(name: &str) -> (Arc<dyn Layer>, Mode) {
    let act = |a| Arc::new(Activate::new(a)) as Arc<dyn Layer>;
    let layer: Arc<dyn Layer> = match name {
        "conv1d stride padding" => Arc::new(Conv::new(4, [4]).stride([2]).pad([1])),
        "conv1d dilation" => Arc::new(Conv::new(3, [3]).dilation([3]).pad([2])),
        "conv2d same" => Arc::new(Conv::new(4, 3).same()),
        "conv2d stride dilation" => Arc::new(Conv::new(3, [3, 2]).stride([2, 1]).pad([2, 1]).dilation([2, 3])),
        "conv2d groups" => Arc::new(Conv::new(6, 3).groups(2).pad(1)),
        "conv2d depthwise" => Arc::new(Conv::depthwise(3).multiplier(2).stride(2)),
        "conv3d" => Arc::new(Conv::new(3, [3, 2, 3]).pad([1, 0, 1]).stride([2, 1, 1])),
        "conv_transpose1d" => Arc::new(ConvTranspose::new(2, [4]).stride([3]).pad([1]).output_pad([2])),
        "conv_transpose2d" => Arc::new(ConvTranspose::new(4, 3).stride(2).pad(1).output_pad(1)),
        "conv_transpose2d groups dilation" => Arc::new(ConvTranspose::new(6, [3, 2]).groups(2).dilation(2).pad(1)),
        "conv_transpose3d" => Arc::new(ConvTranspose::new(3, 2).stride(2)),
        "linear" => Arc::new(Dense::new(5)),
        "max_pool2d" => Arc::new(Pool::max(3).stride(2).pad(1)),
        "max_pool1d" => Arc::new(Pool::max(2)),
        "max_pool3d" => Arc::new(Pool::max(2).stride([2, 1, 2])),
        "avg_pool2d" => Arc::new(Pool::average(3).stride(2).pad(1)),
        "avg_pool2d full" => Arc::new(Pool::average(3).stride(2).pad(1).count_padding()),
        "adaptive_avg_pool2d" => Arc::new(Pool::global_average()),
        "upsample nearest" => Arc::new(Upsample::nearest(2)),
        "upsample bilinear" => Arc::new(Upsample::linear([2, 3])),
        "upsample bilinear corners" => Arc::new(Upsample::linear(2).align_corners()),
        "upsample trilinear" => Arc::new(Upsample::linear(2)),
        "local_response_norm" => Arc::new(Lrn::new(5).alpha(0.8).beta(0.75).k(2.0)),
        "relu" => act(Relu),
        "leaky_relu" => act(Activation::leaky_relu(0.05)),
        "elu" => act(Elu { alpha: 0.7 }),
        "selu" => act(Selu),
        "gelu" => act(Gelu),
        "silu" => act(Silu),
        "tanh" => act(Tanh),
        "sigmoid" => act(Logistic),
        "softplus" => act(Softplus),
        "softmax" => act(Softmax),
        "prelu" => Arc::new(PRelu::new()),
        "batch_norm train" | "batch_norm train vector" | "batch_norm eval" => Arc::new(Norm::batch()),
        "group_norm" => Arc::new(Norm::groups(2)),
        "instance_norm" => Arc::new(Norm::instance()),
        "layer_norm" => Arc::new(Norm::layer()),
        other => panic!("torch.json has a layer the test does not know: {other}"),
    };
    (layer, if name.ends_with("eval") { Mode::Eval } else { Mode::Train })
}

fn check_layer(golden: &Value) -> Result<(), String> {
    let (layer, mode) = layer(golden["name"].as_str().expect("a name"));
    let rows = golden["rows"].as_u64().expect("a count") as usize;
    let x: Vec<Batch> = golden["x"].as_array().expect("inputs").iter().map(|x| batch(x, rows)).collect();
    let case = x.iter().fold(case("golden", Shared(layer)), |case, x| case.x(x.extent));
    let mut rig = case.rig(Precision::FP64, &Device::cpu()).map_err(text)?;
    for table in ["params", "states"] {
        for (name, values) in golden[table].as_object().into_iter().flatten() {
            rig.model.set_array(&format!("{}{name}", rig.prefix), &numbers(values)).map_err(text)?;
        }
    }
    let y = batch(&golden["y"], rows);
    let dy = Batch { v: numbers(&golden["dy"]), ..y.clone() };
    let out = rig.run(mode, &x, &dy, Grads::Write).map_err(text)?;
    if out.y.extent != y.extent {
        return Err(format!("extent {}, PyTorch has {}", out.y.extent, y.extent));
    }
    close("y", &out.y.v, &y.v, BOUND)?;
    for (i, dx) in out.dx.iter().enumerate() {
        close("dx", &dx.v, &numbers(&golden["dx"][i]), BOUND)?;
    }
    let expected = golden["dw"].as_object().expect("gradients");
    if expected.len() != out.dw.len() {
        return Err(format!("{} parameters, PyTorch has {}", out.dw.len(), expected.len()));
    }
    for (name, dw) in &out.dw {
        let name = name.strip_prefix(&rig.prefix).unwrap_or(name);
        close(&format!("d{name}"), dw, &numbers(&expected[name]), BOUND)?;
    }
    for (name, values) in golden["states_after"].as_object().into_iter().flatten() {
        let got = rig.model.array(&format!("{}{name}", rig.prefix)).map_err(text)?;
        close(name, &got, &numbers(values), BOUND)?;
    }
    Ok(())
}

fn all(list: &Value, at_least: usize, check: impl Fn(&Value) -> Result<(), String>) {
    let list = list.as_array().expect("cases");
    assert!(list.len() >= at_least, "only {} cases", list.len());
    let failures: Vec<String> = list.iter().filter_map(|g| Some(format!("{}: {}", g["name"], check(g).err()?))).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn layers() {
    all(&golden()["layers"], 40, check_layer);
}

fn loss(name: &str) -> Arc<dyn Loss> {
    match name {
        "mse mean" => Arc::new(Mse),
        "mse half sum" => Arc::new(Mse::half()),
        "l1 mean" => Arc::new(Mae),
        "huber mean" => Arc::new(Huber::new(0.7)),
        "cross entropy" | "cross entropy soft" | "cross entropy map mean" => Arc::new(SoftmaxCrossEntropy),
        "cross entropy smoothed" => Arc::new(SoftmaxCrossEntropy.label_smoothing(0.1)),
        // With reduction "none" PyTorch does not divide by the sum of the weights either.
        "cross entropy weighted" => Arc::new(SoftmaxCrossEntropy.class_weights(&[0.5, 1.0, 2.0, 1.5, 3.0])),
        "bce mean" => Arc::new(LogisticBce),
        "bce pos_weight mean" => Arc::new(LogisticBce.pos_weight(3.0)),
        "gaussian nll mean" => Arc::new(GaussianNll),
        other => panic!("torch.json has a loss the test does not know: {other}"),
    }
}

#[derive(Debug)]
struct SharedLoss(Arc<dyn Loss>);

impl Loss for SharedLoss {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn save(&self) -> kamacite::layer::Fields {
        self.0.save()
    }

    fn target(&self, y: Extent) -> Target {
        self.0.target(y)
    }

    fn plan(&self, y: Extent, target: Target, p: &mut kamacite::memory::Planner<'_>) -> Result<Box<dyn LossPass>> {
        self.0.plan(y, target, p)
    }
}

fn check_loss(golden: &Value) -> Result<(), String> {
    let rows = golden["rows"].as_u64().expect("a count") as usize;
    let y = batch(&golden["y"], rows);
    let mut net = Network::new(y.extent);
    net.push(Activate::new(Linear));
    let loss = SharedLoss(loss(golden["name"].as_str().expect("a name")));
    let target = loss.target(y.extent);
    let mut model = Model::builder(net).precision(Precision::FP64).loss("output", loss, 1.0).build().map_err(text)?;
    model.forward(Mode::Train, View::f64(y.extent, &y.v).map_err(text)?).map_err(text)?;
    let t = numbers(&golden["target"]);
    let labels: Vec<u32> = t.iter().map(|&t| t as u32).collect();
    let extent = match target {
        Target::Values(extent) => extent,
        Target::Index { .. } | Target::None => y.extent,
    };
    let targets = match golden["kind"].as_str() {
        Some("index") => Targets::Classes(&labels),
        _ => View::f64(extent, &t).map_err(text)?.into(),
    };
    let mean = model.loss(&[targets]).map_err(text)?;
    let values = numbers(&golden["value"]);
    close("value", &[mean], &[values.iter().sum::<f64>() / rows as f64], BOUND)?;
    let dy = model.backward(Seed::Loss, Grads::Write).map_err(text)?;
    close("dy", dy.as_f64().map_err(text)?, &numbers(&golden["dy"]), BOUND)
}

#[test]
fn losses() {
    all(&golden()["losses"], 12, check_loss);
}

fn optimizer(name: &str) -> Box<dyn Optimizer> {
    match name {
        "sgd" => Box::new(Sgd::new(0.05)),
        "sgd momentum decay" => Box::new(Sgd::new(0.05).momentum(0.9).weight_decay(0.01)),
        "sgd nesterov" => Box::new(Sgd::new(0.05).momentum(0.8).nesterov().weight_decay(0.02)),
        "adam" => Box::new(Adam::new(0.02)),
        "adam decay" => Box::new(Adam::new(0.02).betas(0.8, 0.95).eps(1e-6).weight_decay(0.1)),
        "amsgrad" => Box::new(Adam::new(0.1).amsgrad()),
        "adamw" => Box::new(AdamW::new(0.02).weight_decay(0.1)),
        "rmsprop" => Box::new(RmsProp::new(0.01).alpha(0.9).weight_decay(0.1)),
        "rmsprop centered momentum" => Box::new(RmsProp::new(0.01).alpha(0.9).momentum(0.7).centered()),
        "adadelta" => Box::new(Adadelta::new(1.0).rho(0.8).weight_decay(0.05)),
        other => panic!("torch.json has an optimizer the test does not know: {other}"),
    }
}

/// Ten steps on L = Σ r·y + ½·Σ y² with y = x·w + b: dy = r + y.
#[test]
fn optimizers() -> Result<()> {
    let all = golden();
    let golden = &all["optimizers"];
    let (x, r) = (numbers(&golden["x"]), numbers(&golden["r"]));
    let runs = golden["runs"].as_object().expect("runs");
    assert_eq!(runs.len(), 10);
    for (name, steps) in runs {
        let mut net = Network::new(Extent::flat(3));
        net.push(Dense::new(2));
        let mut model = Model::builder(net).precision(Precision::FP64).build()?;
        for array in ["weight", "bias"] {
            model.set_array(&format!("dense1.{array}"), &numbers(&golden[array]))?;
        }
        let rule = optimizer(name);
        for (k, step) in steps.as_array().expect("steps").iter().enumerate() {
            let y = model.forward(Mode::Train, View::f64(Extent::flat(3), &x)?)?.as_f64()?.to_vec();
            let dy: Vec<f64> = y.iter().zip(&r).map(|(y, r)| y + r).collect();
            model.backward(View::f64(Extent::flat(2), &dy)?, Grads::Write)?;
            model.step(&*rule)?;
            for array in ["weight", "bias"] {
                let got = model.array(&format!("dense1.{array}"))?;
                close(array, &got, &numbers(&step[array]), BOUND).unwrap_or_else(|e| panic!("{name}, step {}: {e}", k + 1));
            }
        }
    }
    Ok(())
}
