//! A network of `workloads.json` in burn's layers.

use burn::module::Module;
use burn::nn::conv::{self, *};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::*;
use burn::tensor::{Device, Tensor};
use peer_common::sizes;
use serde_json::Value;
use std::collections::HashMap;

#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Layer {
    C1(conv::Conv1d),
    C2(conv::Conv2d),
    C3(conv::Conv3d),
    T2(conv::ConvTranspose2d),
    Bn(BatchNorm),
    Gn(GroupNorm),
    Pool(MaxPool2d),
    Dense(Linear),
    Drop(Dropout),
    Relu(Relu),
}

#[derive(Module, Debug)]
pub struct Net {
    layers: Vec<Layer>,
}

/// What runs in turn; layers by their number.
pub enum Op {
    Layer(usize),
    GlobalAverage,
    Flatten,
    Save(String),
    Concat(String),
}

/// Tensors of any rank that occurs.
#[derive(Clone)]
pub enum Batch {
    D2(Tensor<2>),
    D3(Tensor<3>),
    D4(Tensor<4>),
    D5(Tensor<5>),
}

macro_rules! any {
    ($x:expr, $v:ident => $e:expr) => {
        match $x {
            Batch::D2($v) => Batch::D2($e),
            Batch::D3($v) => Batch::D3($e),
            Batch::D4($v) => Batch::D4($e),
            Batch::D5($v) => Batch::D5($e),
        }
    };
}

impl Batch {
    pub fn dims(&self) -> Vec<usize> {
        match self {
            Self::D2(x) => x.dims().to_vec(),
            Self::D3(x) => x.dims().to_vec(),
            Self::D4(x) => x.dims().to_vec(),
            Self::D5(x) => x.dims().to_vec(),
        }
    }

    /// The batch times the positions of one channel.
    fn positions(&self) -> usize {
        let dims = self.dims();
        dims[0] * dims[2..].iter().product::<usize>()
    }

    fn flattened(self) -> Self {
        Self::D2(match self {
            Self::D2(x) => x,
            Self::D3(x) => x.flatten(1, 2),
            Self::D4(x) => x.flatten(1, 3),
            Self::D5(x) => x.flatten(1, 4),
        })
    }

    fn averaged(self) -> Self {
        let dims = self.dims();
        let Self::D2(flat) = self.flattened() else { unreachable!("flattened") };
        let x: Tensor<3> = flat.reshape([dims[0], dims[1], dims[2..].iter().product()]);
        Self::D2(x.mean_dim(2).flatten(1, 2))
    }
}

impl Layer {
    fn forward(&self, x: Batch) -> Batch {
        match (self, x) {
            (Self::C1(m), Batch::D3(x)) => Batch::D3(m.forward(x)),
            (Self::C2(m), Batch::D4(x)) => Batch::D4(m.forward(x)),
            (Self::C3(m), Batch::D5(x)) => Batch::D5(m.forward(x)),
            (Self::T2(m), Batch::D4(x)) => Batch::D4(m.forward(x)),
            (Self::Pool(m), Batch::D4(x)) => Batch::D4(m.forward(x)),
            (Self::Dense(m), Batch::D2(x)) => Batch::D2(m.forward(x)),
            (Self::Bn(m), x) => any!(x, x => m.forward(x)),
            (Self::Gn(m), x) => any!(x, x => m.forward(x)),
            (Self::Drop(m), x) => any!(x, x => m.forward(x)),
            (Self::Relu(m), x) => any!(x, x => m.forward(x)),
            _ => panic!("a layer of this rank is not written here"),
        }
    }

    /// Multiply-accumulates, given the positions before and behind.
    fn macs(&self, before: usize, behind: usize) -> usize {
        let numbers = |dims: &[usize]| dims.iter().product::<usize>();
        match self {
            Self::C1(m) => behind * numbers(&m.weight.val().dims()),
            Self::C2(m) => behind * numbers(&m.weight.val().dims()),
            Self::C3(m) => behind * numbers(&m.weight.val().dims()),
            Self::T2(m) => before * numbers(&m.weight.val().dims()),
            Self::Dense(m) => behind * numbers(&m.weight.val().dims()),
            _ => 0,
        }
    }
}

impl Net {
    /// The forward pass; adds the multiply-accumulates to `macs`.
    pub fn forward(&self, plan: &[Op], mut x: Batch, mut macs: Option<&mut usize>) -> Batch {
        let mut saved: HashMap<&str, Batch> = HashMap::new();
        for op in plan {
            x = match op {
                Op::Layer(i) => {
                    let before = x.positions();
                    let y = self.layers[*i].forward(x);
                    if let Some(macs) = macs.as_mut() {
                        **macs += self.layers[*i].macs(before, y.positions());
                    }
                    y
                }
                Op::Flatten => x.flattened(),
                Op::GlobalAverage => x.averaged(),
                Op::Save(name) => {
                    saved.insert(name, x.clone());
                    x
                }
                Op::Concat(name) => match (x, saved[name.as_str()].clone()) {
                    (Batch::D4(a), Batch::D4(b)) => Batch::D4(Tensor::cat(vec![a, b], 1)),
                    _ => panic!("a concatenation of this rank is not written here"),
                },
            };
        }
        x
    }

    /// Burn counts running statistics as parameters; these are without them.
    pub fn trainable(&self) -> usize {
        let statistics = |l: &Layer| if let Layer::Bn(b) = l { 2 * b.gamma.val().dims()[0] } else { 0 };
        self.num_params() - self.layers.iter().map(statistics).sum::<usize>()
    }
}

fn convolution(l: &Value, inputs: usize, device: &Device) -> Layer {
    let (k, s, p, c) = (sizes(&l["k"]), sizes(&l["s"]), sizes(&l["p"]), l["c"].as_u64().unwrap() as usize);
    match k[..] {
        [k] => {
            let padding = PaddingConfig1d::Explicit(p[0], p[0]);
            Layer::C1(Conv1dConfig::new(inputs, c, k).with_stride(s[0]).with_padding(padding).init(device))
        }
        [h, w] => {
            let padding = PaddingConfig2d::Explicit(p[0], p[1], p[0], p[1]);
            Layer::C2(Conv2dConfig::new([inputs, c], [h, w]).with_stride([s[0], s[1]]).with_padding(padding).init(device))
        }
        _ => {
            let (kernel, padding) = ([k[0], k[1], k[2]], PaddingConfig3d::Explicit(p[0], p[1], p[2]));
            Layer::C3(Conv3dConfig::new([inputs, c], kernel).with_stride([s[0], s[1], s[2]]).with_padding(padding).init(device))
        }
    }
}

fn transposed(l: &Value, inputs: usize, device: &Device) -> Layer {
    let (k, s, p, c) = (sizes(&l["k"]), sizes(&l["s"]), sizes(&l["p"]), l["c"].as_u64().unwrap() as usize);
    let config = ConvTranspose2dConfig::new([inputs, c], [k[0], k[1]]).with_stride([s[0], s[1]]).with_padding([p[0], p[1]]);
    Layer::T2(config.init(device))
}

/// The network and its plan.
pub fn build(spec: &Value, device: &Device) -> (Net, Vec<Op>) {
    let (mut shape, mut saved) = (sizes(&spec["input"]), HashMap::new());
    let (mut layers, mut plan): (Vec<Layer>, Vec<Op>) = (vec![], vec![]);
    for l in spec["layers"].as_array().unwrap() {
        let number = |key: &str| l[key].as_u64().unwrap() as usize;
        let (kind, name) = (l["t"].as_str().unwrap(), || l["n"].as_str().unwrap().to_string());
        plan.push(match kind {
            "gap" => Op::GlobalAverage,
            "flatten" => Op::Flatten,
            "save" => Op::Save(name()),
            "concat" => Op::Concat(name()),
            _ => Op::Layer(layers.len()),
        });
        match kind {
            "conv" => layers.push(convolution(l, shape[0], device)),
            "convt" => layers.push(transposed(l, shape[0], device)),
            "bn" => layers.push(Layer::Bn(BatchNormConfig::new(shape[0]).init(device))),
            "gn" => layers.push(Layer::Gn(GroupNormConfig::new(number("g"), shape[0]).init(device))),
            "relu" => layers.push(Layer::Relu(Relu::new())),
            "maxpool" => {
                let config = MaxPool2dConfig::new([number("k"); 2]).with_strides([number("k"); 2]);
                layers.push(Layer::Pool(config.init()));
            }
            "dense" => layers.push(Layer::Dense(LinearConfig::new(shape[0], number("n")).init(device))),
            "dropout" => layers.push(Layer::Drop(DropoutConfig::new(l["p"].as_f64().unwrap()).init())),
            "save" => _ = saved.insert(name(), shape[0]),
            "gap" | "flatten" | "concat" => {}
            other => panic!("layer {other}"),
        }
        shape = peer_common::behind(l, shape, &saved);
    }
    (Net { layers }, plan)
}
