//! The products and convolutions that occur in W1 to W10 of `workloads.json`.

use kamacite::op::conv::Geometry;
use kamacite::{Extent, Window};
use serde_json::Value;
use std::fmt;

/// Rows of a convolution written as a product are cut here: more of them do not change the rate, only the memory.
const ROWS: usize = 1 << 16;

/// C (m x n) = A (m x k) · B (k x n); a weight gradient has A transposed, a data gradient B.
#[derive(Clone)]
pub struct Gemm {
    pub name: String,
    pub size: [usize; 3],
    pub transposed: [bool; 2],
}

/// One direction of a convolution of a whole batch.
#[derive(Clone)]
pub struct Conv {
    pub name: String,
    pub batch: usize,
    pub geometry: Geometry,
    pub direction: &'static str,
}

/// Activations of an image layer, for what is bound by memory.
#[derive(Clone)]
pub struct Image {
    pub name: String,
    pub batch: usize,
    pub extent: Extent,
}

macro_rules! shown {
    ($($t:ty),*) => {$(
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.name)
            }
        }
    )*};
}
shown!(Gemm, Conv, Image);

/// A layer with weights: its place, and what goes in and out.
struct Layer {
    name: String,
    batch: usize,
    input: Extent,
    spec: Value,
    norm: bool,
    pool: bool,
}

fn sizes(v: &Value) -> Vec<usize> {
    v.as_array().into_iter().flatten().filter_map(Value::as_u64).map(|n| n as usize).collect()
}

/// Sizes given for the last axes, on three.
fn axes(v: &Value, rest: usize) -> [usize; 3] {
    let given = sizes(v);
    std::array::from_fn(|i| if i + given.len() < 3 { rest } else { given[i + given.len() - 3] })
}

fn window(l: &Value) -> Window {
    let pad = axes(&l["p"], 0);
    Window { stride: axes(&l["s"], 1), before: pad, after: pad, ..Window::new(axes(&l["k"], 1)) }
}

/// Every layer with weights, and every norm and pooling, of every network.
fn layers() -> Vec<Layer> {
    let all: Value = serde_json::from_str(include_str!("../workloads.json")).expect("workloads are JSON");
    let mut found = vec![];
    for (workload, spec) in all.as_object().expect("an object") {
        for batch in sizes(&spec["batches"]) {
            let shape = sizes(&spec["input"]);
            let space: [usize; 3] = std::array::from_fn(|i| if i + shape.len() < 4 { 1 } else { shape[i + shape.len() - 3] });
            let mut x = Extent { d: space[0], h: space[1], w: space[2], c: shape[0] };
            let mut saved = std::collections::HashMap::new();
            for (i, l) in spec["layers"].as_array().into_iter().flatten().enumerate() {
                let (kind, n) = (l["t"].as_str().unwrap_or(""), |key: &str| l[key].as_u64().unwrap_or(1) as usize);
                let name = format!("{workload}/{batch} {kind} {i}");
                if ["conv", "dense", "bn", "gn", "maxpool"].contains(&kind) {
                    let (norm, pool) = (kind == "bn" || kind == "gn", kind == "maxpool");
                    found.push(Layer { name, batch, input: x, spec: l.clone(), norm, pool });
                }
                match kind {
                    "dense" => x = Extent::flat(n("n")),
                    "conv" => x = Geometry::new(x, n("c"), window(l), 1).expect("it fits").y,
                    "convt" => {
                        let (k, s, p) = (axes(&l["k"], 1), axes(&l["s"], 1), axes(&l["p"], 0));
                        let out = |size: usize, i: usize| (size - 1) * s[i] + k[i] - 2 * p[i];
                        x = Extent { d: out(x.d, 0), h: out(x.h, 1), w: out(x.w, 2), c: n("c") };
                    }
                    "maxpool" => {
                        let halve = |size: usize| if size > 1 { size / n("k") } else { 1 };
                        x = Extent { d: halve(x.d), h: halve(x.h), w: halve(x.w), c: x.c };
                    }
                    "gap" => x = Extent::flat(x.c),
                    "flatten" => x = Extent::flat(x.len()),
                    "save" => _ = saved.insert(l["n"].to_string(), x.c),
                    "concat" => x.c += saved[&l["n"].to_string()],
                    _ => {}
                }
            }
        }
    }
    found
}

/// Squares, and forward, data and weight gradient of every dense layer and of every convolution as a product. Equal ones once.
pub fn gemms() -> Vec<Gemm> {
    let square = |n: usize| Gemm { name: format!("square {n}"), size: [n; 3], transposed: [false; 2] };
    let mut all: Vec<Gemm> = [64, 128, 256, 512, 1024, 2048].map(square).into();
    for l in layers().into_iter().filter(|l| !l.norm && !l.pool) {
        let [m, n, k] = if l.spec["t"] == "dense" {
            [l.batch, l.spec["n"].as_u64().unwrap_or(1) as usize, l.input.len()]
        } else {
            let g = Geometry::new(l.input, l.spec["c"].as_u64().unwrap_or(1) as usize, window(&l.spec), 1).expect("it fits");
            [(l.batch * g.y.area()).min(ROWS), g.y.c, g.weights().iter().product::<usize>() / g.y.c]
        };
        for (way, size, transposed) in
            [("fwd", [m, n, k], [false; 2]), ("dx", [m, k, n], [false, true]), ("dw", [k, n, m], [true, false])]
        {
            let name = format!("{} {way} {}x{}x{}", l.name, size[0], size[1], size[2]);
            if all.iter().all(|g| (g.size, g.transposed) != (size, transposed)) {
                all.push(Gemm { name, size, transposed });
            }
        }
    }
    all
}

pub fn convs() -> Vec<Conv> {
    let mut all: Vec<Conv> = vec![];
    for l in layers().into_iter().filter(|l| l.spec["t"] == "conv") {
        let filters = l.spec["c"].as_u64().unwrap_or(1) as usize;
        let geometry = Geometry::new(l.input, filters, window(&l.spec), 1).expect("it fits");
        if all.iter().any(|c| format!("{:?}", (c.batch, &c.geometry)) == format!("{:?}", (l.batch, &geometry))) {
            continue;
        }
        for direction in ["fwd", "dx", "dw"] {
            // Nobody asks for the gradient wrt the data.
            if direction == "dx" && l.name.ends_with("conv 0") {
                continue;
            }
            all.push(Conv { name: format!("{} {direction}", l.name), batch: l.batch, geometry, direction });
        }
    }
    all
}

pub fn pools() -> Vec<Image> {
    images(|l| l.pool)
}

pub fn norms() -> Vec<Image> {
    images(|l| l.norm && l.spec["t"] == "bn")
}

fn images(wanted: impl Fn(&Layer) -> bool) -> Vec<Image> {
    let image = |l: Layer| Image { name: l.name, batch: l.batch, extent: l.input };
    layers().into_iter().filter(wanted).map(image).collect()
}
