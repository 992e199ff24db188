//! A network of `workloads.json` in candle's layers.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{BatchNorm, BatchNormConfig, Module, ModuleT, VarBuilder, VarMap};
use peer_common::{behind, sizes};
use serde_json::Value;
use std::collections::HashMap;

enum Layer {
    C1(candle_nn::Conv1d),
    C2(candle_nn::Conv2d),
    T2(candle_nn::ConvTranspose2d),
    Bn(BatchNorm),
    Gn(candle_nn::GroupNorm),
    Relu,
    Pool(usize),
    GlobalAverage,
    Flatten,
    Dense(candle_nn::Linear),
    Drop(f32),
    Save(String),
    Concat(String),
}

pub struct Net(Vec<Layer>);

fn layer(l: &Value, shape: &[usize], vb: VarBuilder<'_>) -> Result<Layer> {
    let number = |key: &str| l[key].as_u64().expect("a number") as usize;
    let name = || l["n"].as_str().expect("a name").to_string();
    Ok(match l["t"].as_str().expect("a layer") {
        kind @ ("conv" | "convt") => {
            let (k, s, p, c) = (sizes(&l["k"]), sizes(&l["s"]), sizes(&l["p"]), number("c"));
            let even = |v: &[usize]| v.iter().all(|n| *n == v[0]);
            assert!(even(&k) && even(&s) && even(&p), "candle has square windows only");
            let (size, stride, padding) = (k[0], s[0], p[0]);
            if kind == "convt" {
                let config = candle_nn::ConvTranspose2dConfig { padding, stride, ..Default::default() };
                Layer::T2(candle_nn::conv_transpose2d(shape[0], c, size, config, vb)?)
            } else if k.len() == 1 {
                let config = candle_nn::Conv1dConfig { padding, stride, ..Default::default() };
                Layer::C1(candle_nn::conv1d(shape[0], c, size, config, vb)?)
            } else {
                let config = candle_nn::Conv2dConfig { padding, stride, ..Default::default() };
                Layer::C2(candle_nn::conv2d(shape[0], c, size, config, vb)?)
            }
        }
        "bn" => Layer::Bn(candle_nn::batch_norm(shape[0], BatchNormConfig::default(), vb)?),
        "gn" => Layer::Gn(candle_nn::group_norm(number("g"), shape[0], 1e-5, vb)?),
        "relu" => Layer::Relu,
        "maxpool" => Layer::Pool(number("k")),
        "gap" => Layer::GlobalAverage,
        "flatten" => Layer::Flatten,
        "dense" => Layer::Dense(candle_nn::linear(shape[0], number("n"), vb)?),
        "dropout" => Layer::Drop(l["p"].as_f64().expect("a rate") as f32),
        "save" => Layer::Save(name()),
        "concat" => Layer::Concat(name()),
        other => panic!("layer {other}"),
    })
}

/// The batch times the positions of one channel.
fn positions(x: &Tensor) -> usize {
    x.dims()[0] * x.dims()[2..].iter().product::<usize>()
}

impl Net {
    pub fn new(spec: &Value, map: &VarMap, device: &Device) -> Result<Self> {
        let vb = VarBuilder::from_varmap(map, DType::F32, device);
        let (mut shape, mut saved, mut layers) = (sizes(&spec["input"]), HashMap::new(), vec![]);
        for (i, l) in spec["layers"].as_array().expect("layers").iter().enumerate() {
            layers.push(layer(l, &shape, vb.pp(i.to_string()))?);
            if let Some(Layer::Save(name)) = layers.last() {
                saved.insert(name.clone(), shape[0]);
            }
            shape = behind(l, shape, &saved);
        }
        Ok(Self(layers))
    }

    /// The outputs, and the multiply-accumulates that made them.
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<(Tensor, usize)> {
        let (mut x, mut macs, mut saved) = (x.clone(), 0, HashMap::<&str, Tensor>::new());
        for l in &self.0 {
            let y = match l {
                Layer::C1(m) => m.forward(&x)?,
                Layer::C2(m) => m.forward(&x)?,
                Layer::T2(m) => m.forward(&x)?,
                Layer::Bn(m) => m.forward_t(&x, train)?,
                Layer::Gn(m) => m.forward(&x)?,
                Layer::Relu => x.relu()?,
                Layer::Pool(k) => x.max_pool2d(*k)?,
                Layer::GlobalAverage => x.flatten_from(2)?.mean(2)?,
                Layer::Flatten => x.flatten_from(1)?,
                Layer::Dense(m) => m.forward(&x)?,
                Layer::Drop(p) if train => candle_nn::ops::dropout(&x, *p)?,
                Layer::Drop(_) | Layer::Save(_) => x.clone(),
                Layer::Concat(name) => Tensor::cat(&[&x, &saved[name.as_str()]], 1)?,
            };
            if let Layer::Save(name) = l {
                saved.insert(name, y.clone());
            }
            macs += match l {
                Layer::C1(m) => positions(&y) * m.weight().elem_count(),
                Layer::C2(m) => positions(&y) * m.weight().elem_count(),
                Layer::T2(m) => positions(&x) * m.weight().elem_count(),
                Layer::Dense(m) => positions(&y) * m.weight().elem_count(),
                _ => 0,
            };
            x = y;
        }
        Ok((x, macs))
    }
}
