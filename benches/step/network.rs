//! Networks of `workloads.json`: sizes there are channels first.

use kamacite::*;
use serde_json::Value;
use std::collections::HashMap;

/// The network; without dropout where numbers are compared with those of other frameworks.
pub fn network(spec: &Value, dropout: bool) -> Result<Network> {
    let sizes = |v: &Value| -> Vec<usize> {
        v.as_array().map_or(vec![], |a| a.iter().map(|x| x.as_u64().unwrap_or(0) as usize).collect())
    };
    let axes = |v: &Value| -> Sizes {
        match (v.as_u64(), sizes(v)[..].as_ref()) {
            (Some(n), _) => Sizes::All(n as usize),
            (_, [w]) => [*w].into(),
            (_, [h, w]) => [*h, *w].into(),
            (_, [d, h, w]) => [*d, *h, *w].into(),
            _ => Sizes::All(1),
        }
    };
    let input = match sizes(&spec["input"])[..] {
        [c] => Extent::flat(c),
        [c, w] => Extent::line(w, c),
        [c, h, w] => Extent::image(h, w, c),
        [c, d, h, w] => Extent::cube(d, h, w, c),
        _ => return Err(Error::format("workloads", "input").got(&spec["input"])),
    };
    let mut net = Network::new(input);
    let mut saved = HashMap::new();
    let mut last = net.node("input").ok_or_else(|| Error::plan("workloads", "no input"))?;
    let layers = spec["layers"].as_array().cloned().unwrap_or_default();
    let number = |l: &Value, key: &str| l[key].as_u64().unwrap_or(0) as usize;
    let mut i = 0;
    while let Some(l) = layers.get(i) {
        // An activation belongs to the convolution or dense layer before it.
        let relu = layers.get(i + 1).is_some_and(|next| next["t"] == "relu");
        let act = if relu { Relu } else { Linear };
        let fused = relu && matches!(l["t"].as_str(), Some("conv" | "convt" | "dense"));
        last = match l["t"].as_str().unwrap_or("") {
            "dense" => net.push(Dense::new(number(l, "n")).act(act)),
            "conv" => net.push(Conv::new(number(l, "c"), axes(&l["k"])).stride(axes(&l["s"])).pad(axes(&l["p"])).act(act)),
            "convt" => {
                net.push(ConvTranspose::new(number(l, "c"), axes(&l["k"])).stride(axes(&l["s"])).pad(axes(&l["p"])).act(act))
            }
            "relu" => net.push(Activate::new(Relu)),
            "maxpool" => net.push(Pool::max(axes(&l["k"]))),
            "gap" => net.push(Pool::global_average()),
            "bn" => net.push(Norm::batch()),
            "gn" => net.push(Norm::groups(number(l, "g"))),
            "dropout" => net.push(Dropout::new(if dropout { l["p"].as_f64().unwrap_or(0.0) } else { 0.0 })),
            "flatten" => net.push(Flatten::new()),
            "save" => {
                saved.insert(l["n"].to_string(), last);
                last
            }
            "concat" => net.add(Merge::concat(), &[last, saved[&l["n"].to_string()]]),
            other => return Err(Error::format("workloads", "layer").got(other)),
        };
        i += if fused { 2 } else { 1 };
    }
    Ok(net)
}

/// Multiply-accumulates of a forward pass of one sample, from the model's own weights and the extents of its nodes.
pub fn macs(model: &Model) -> Result<usize> {
    let nodes = model.network().report(Mode::Infer, 1)?.nodes;
    let area = |name: &str| nodes.iter().find(|n| n.name == name).map_or(0, |n| n.extent.area());
    let weights = model.arrays().filter_map(|(name, shape)| Some((name.strip_suffix(".weight")?, shape)));
    Ok(weights
        .map(|(name, shape)| {
            let node = nodes.iter().find(|n| n.name == name);
            // A transposed convolution spreads each input; the others gather each output.
            let spread = node.filter(|n| n.kind == "conv_transpose").and_then(|n| n.inputs.first());
            shape.iter().product::<usize>() * area(spread.map_or(name, String::as_str))
        })
        .sum())
}
