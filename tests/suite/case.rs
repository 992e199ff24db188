//! A case: a layer with its input extents, from which `check` and `gradient` derive everything that must hold.
//!
//! ```text
//! case("max overlapping", Pool::max(3).stride(2).pad(1)).x(Extent::image(7, 5, 3)).naive(|g| ..)
//! ```

use kamacite::layer::{Fields, Layer, Planned};
use kamacite::memory::Planner;
use kamacite::rng::{Purpose, Stream};
use kamacite::{Device, Extent, Grads, Mode, Model, Network, NodeId, Precision, Result, Seed, View, Window};
use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// A batch in f64, indexed [n, d, h, w, c].
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub rows: usize,
    pub extent: Extent,
    pub v: Vec<f64>,
}

impl Batch {
    pub fn zeros(rows: usize, extent: Extent) -> Self {
        Self { rows, extent, v: vec![0.0; rows * extent.len()] }
    }

    /// Every element from its index.
    pub fn from_fn(rows: usize, extent: Extent, mut f: impl FnMut([usize; 5]) -> f64) -> Self {
        let mut batch = Self::zeros(rows, extent);
        for n in 0..rows {
            for (d, h, w, c) in positions(extent) {
                batch[[n, d, h, w, c]] = f([n, d, h, w, c]);
            }
        }
        batch
    }

    pub fn map(mut self, f: impl Fn(f64) -> f64) -> Self {
        self.v.iter_mut().for_each(|v| *v = f(*v));
        self
    }

    fn at(&self, [n, d, h, w, c]: [usize; 5]) -> usize {
        let e = self.extent;
        assert!(n < self.rows && d < e.d && h < e.h && w < e.w && c < e.c, "index out of the batch");
        (((n * e.d + d) * e.h + h) * e.w + w) * e.c + c
    }
}

impl Index<[usize; 5]> for Batch {
    type Output = f64;
    fn index(&self, i: [usize; 5]) -> &f64 {
        &self.v[self.at(i)]
    }
}

impl IndexMut<[usize; 5]> for Batch {
    fn index_mut(&mut self, i: [usize; 5]) -> &mut f64 {
        let i = self.at(i);
        &mut self.v[i]
    }
}

/// All (d, h, w, c) of an extent, in memory order.
pub fn positions(e: Extent) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..e.d).flat_map(move |d| (0..e.h).flat_map(move |h| (0..e.w).flat_map(move |w| (0..e.c).map(move |c| (d, h, w, c)))))
}

/// What a naive forward pass gets.
pub struct Given {
    pub x: Vec<Batch>,
    /// Parameters and states by their short names: `weight`.
    pub arrays: BTreeMap<String, Vec<f64>>,
    pub mode: Mode,
}

impl Given {
    pub fn x(&self) -> &Batch {
        &self.x[0]
    }

    pub fn array(&self, name: &str) -> &[f64] {
        self.arrays.get(name).unwrap_or_else(|| panic!("no array {name} in {:?}", self.arrays.keys()))
    }
}

type Naive = Arc<dyn Fn(&Given) -> Batch + Send + Sync>;
/// A whole network; `Some(k)` asks for a wrong gradient at the k-th layer.
type Graph = Arc<dyn Fn(Option<usize>) -> Network + Send + Sync>;
type Values = Arc<dyn Fn(&mut Stream) -> f64 + Send + Sync>;

/// One case. The builder's methods say what differs from a plain differentiable layer with one input.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub layer: Shared,
    pub graph: Option<Graph>,
    pub x: Vec<Extent>,
    pub rows: usize,
    pub naive: Option<Naive>,
    pub values: Values,
    pub seed: u64,
    pub modes: Vec<Mode>,
    /// Terms in the longest sum behind an output or input gradient.
    pub terms: Option<usize>,
    /// Draws random numbers in training: differences need the same draws again.
    pub random: bool,
    /// Rows do not see each other, in training too.
    pub per_sample: bool,
}

/// A case with one row per input until [`Case::x`] says otherwise.
pub fn case(name: impl Into<String>, layer: impl Layer + 'static) -> Case {
    Case {
        name: name.into(),
        layer: Shared(Arc::new(layer)),
        graph: None,
        x: Vec::new(),
        rows: 3,
        naive: None,
        values: Arc::new(|r| r.between(-1.5, 1.5)),
        seed: 1,
        modes: vec![Mode::Train],
        terms: None,
        random: false,
        per_sample: true,
    }
}

/// A case of a whole network, whose inputs are those of the case.
pub fn graph(name: &str, f: impl Fn(Option<usize>) -> Network + Send + Sync + 'static) -> Case {
    let x = f(None).inputs().map(|(_, e)| e).collect();
    Case { graph: Some(Arc::new(f)), x, ..case(name, kamacite::Flatten::new()) }
}

impl Case {
    /// Adds an input.
    pub fn x(mut self, extent: Extent) -> Self {
        self.x.push(extent);
        self
    }

    /// The batch; 3 rows (in a plan for 4) unless said otherwise.
    pub fn rows(mut self, rows: usize) -> Self {
        self.rows = rows;
        self
    }

    /// The forward pass as a loop nest in f64.
    pub fn naive(mut self, f: impl Fn(&Given) -> Batch + Send + Sync + 'static) -> Self {
        self.naive = Some(Arc::new(f));
        self
    }

    /// How inputs are drawn; uniform on [−1.5, 1.5) otherwise.
    pub fn values(mut self, f: impl Fn(&mut Stream) -> f64 + Send + Sync + 'static) -> Self {
        self.values = Arc::new(f);
        self
    }

    /// Another draw, where the usual one meets a kink within the rounding of f32.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Terms in the longest sum behind an element of y and dx, where it is not that of the weights.
    pub fn terms(mut self, terms: usize) -> Self {
        self.terms = Some(terms);
        self
    }

    /// The layer draws random numbers in training.
    pub fn random(mut self) -> Self {
        self.random = true;
        self
    }

    /// Evaluation computes something else than training: gradients are checked in both.
    pub fn modes_differ(mut self) -> Self {
        self.modes = vec![Mode::Train, Mode::Eval];
        self
    }

    /// In training the rows of a batch see each other.
    pub fn couples_rows(mut self) -> Self {
        self.per_sample = false;
        self
    }

    /// Random inputs, and an output gradient of the given extent, in numbers that f32 holds exactly.
    pub fn inputs(&self) -> Vec<Batch> {
        let draw = |(i, &extent): (usize, &Extent)| {
            let mut r = Stream::new(self.seed, Purpose::User, i as u64);
            Batch::from_fn(self.rows, extent, |_| f64::from((self.values)(&mut r) as f32))
        };
        self.x.iter().enumerate().map(draw).collect()
    }

    pub fn weighting(&self, rows: usize, y: Extent) -> Batch {
        let mut r = Stream::new(self.seed, Purpose::User, 1000);
        // Bounded away from 0, so that every output counts.
        Batch::from_fn(rows, y, |_| f64::from(((0.3 + 0.7 * r.uniform()) * if r.below(2) == 0 { 1.0 } else { -1.0 }) as f32))
    }

    /// The layer alone in a network.
    pub fn network(&self, layer: impl Layer + 'static) -> (Network, NodeId) {
        if let Some(graph) = &self.graph {
            let net = graph(None);
            let node = net.outputs()[0].1;
            return (net, node);
        }
        let mut net = Network::default();
        let inputs: Vec<NodeId> = self.x.iter().enumerate().map(|(i, &e)| net.input(&format!("x{i}"), e)).collect();
        let node = net.add(layer, &inputs);
        (net, node)
    }

    pub fn rig(&self, precision: Precision, device: &Device) -> Result<Rig> {
        self.rig_of(self.layer.clone(), precision, device)
    }

    pub fn rig_of(&self, layer: impl Layer + 'static, precision: Precision, device: &Device) -> Result<Rig> {
        let (net, node) = self.network(layer);
        self.rig_in(net, node, precision, device)
    }

    /// A model of `net` with random arrays.
    pub fn rig_in(&self, net: Network, node: NodeId, precision: Precision, device: &Device) -> Result<Rig> {
        let prefix = if self.graph.is_some() { String::new() } else { format!("{}.", net.name_of(node)) };
        let mut model = Model::builder(net).precision(precision).device(device.clone()).seed(self.seed).build()?;
        let names: Vec<(String, usize)> =
            model.arrays().map(|(name, shape)| (name.to_string(), shape.last().copied().unwrap_or(1))).collect();
        let (mut params, mut states) = (Vec::new(), Vec::new());
        for (i, (name, columns)) in names.into_iter().enumerate() {
            let mut r = Stream::new(self.seed, Purpose::User, 100 + i as u64);
            let trained = model.gradient(&name).is_ok();
            let len = model.array(&name)?.len();
            // Weights of unit variance in the sum; biases, scales and states away from their neutral values.
            let scale = (3.0 * columns as f64 / len as f64).sqrt();
            let values: Vec<f64> = (0..len)
                .map(|_| match () {
                    () if !trained => r.between(0.5, 1.5),
                    () if len > columns => scale * r.between(-1.0, 1.0),
                    () => r.between(0.3, 1.0),
                })
                .map(|v| f64::from(v as f32))
                .collect();
            model.set_array(&name, &values)?;
            if trained { params.push(name) } else { states.push(name) }
        }
        Ok(Rig { model, node, prefix, params, states })
    }
}

/// A model of one layer, and the names of its arrays.
pub struct Rig {
    pub model: Model,
    pub node: NodeId,
    pub prefix: String,
    pub params: Vec<String>,
    pub states: Vec<String>,
}

/// Everything one forward and backward pass gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub y: Batch,
    pub dx: Vec<Batch>,
    pub dw: Vec<(String, Vec<f64>)>,
}

impl Rig {
    pub fn arrays(&self) -> Result<BTreeMap<String, Vec<f64>>> {
        let short = |name: &String| name.strip_prefix(&self.prefix).unwrap_or(name).to_string();
        self.params.iter().chain(&self.states).map(|n| Ok((short(n), self.model.array(n)?))).collect()
    }

    pub fn given(&self, x: &[Batch], mode: Mode) -> Result<Given> {
        Ok(Given { x: x.to_vec(), arrays: self.arrays()?, mode })
    }

    pub fn forward(&mut self, mode: Mode, x: &[Batch]) -> Result<Batch> {
        let precision = self.model.precision();
        let narrow: Vec<Vec<f32>> = match precision {
            Precision::FP64 => Vec::new(),
            _ => x.iter().map(|b| b.v.iter().map(|&v| v as f32).collect()).collect(),
        };
        let views = match precision {
            Precision::FP64 => x.iter().map(|b| View::f64(b.extent, &b.v)).collect::<Result<Vec<_>>>()?,
            _ => x.iter().zip(&narrow).map(|(b, v)| View::new(b.extent, v)).collect::<Result<Vec<_>>>()?,
        };
        batch(self.model.forward(mode, &views[..])?)
    }

    pub fn backward(&mut self, dy: &Batch, grads: Grads) -> Result<Vec<Batch>> {
        let narrow: Vec<f32> = dy.v.iter().map(|&v| v as f32).collect();
        let view = match self.model.precision() {
            Precision::FP64 => View::f64(dy.extent, &dy.v)?,
            _ => View::new(dy.extent, &narrow)?,
        };
        self.model.backward(Seed::Output(view), grads)?;
        let inputs = self.model.network().inputs().count();
        (0..inputs).map(|i| batch(self.model.input_gradient(i)?)).collect()
    }

    pub fn run(&mut self, mode: Mode, x: &[Batch], dy: &Batch, grads: Grads) -> Result<Outcome> {
        let y = self.forward(mode, x)?;
        let dx = self.backward(dy, grads)?;
        let dw = self.params.iter().map(|n| Ok((n.clone(), self.model.gradient(n)?))).collect::<Result<_>>()?;
        Ok(Outcome { y, dx, dw })
    }
}

/// A view copied and widened.
pub fn batch(view: View<'_>) -> Result<Batch> {
    let v = match view.as_f64() {
        Ok(v) => v.to_vec(),
        Err(_) => view.as_f32()?.iter().map(|&v| f64::from(v)).collect(),
    };
    Ok(Batch { rows: view.rows(), extent: view.extent(), v })
}

/// A layer behind a shared pointer, so that one value can be pushed into several networks.
#[derive(Clone, Debug)]
pub struct Shared(pub Arc<dyn Layer>);

impl Layer for Shared {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn save(&self) -> Fields {
        self.0.save()
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        self.0.plan(x, p)
    }
}

/// The places of a window on one axis, counted one by one: a place counts while its last tap lies within the padded input.
fn places(input: usize, w: &Window, axis: usize) -> usize {
    let padded: Vec<bool> = std::iter::repeat_n(false, w.before[axis])
        .chain((0..input).flat_map(|i| {
            let gap = if i + 1 < input { w.gap[axis] } else { 0 };
            std::iter::once(true).chain(std::iter::repeat_n(false, gap))
        }))
        .chain(std::iter::repeat_n(false, w.after[axis]))
        .collect();
    let mut count = 0;
    let mut start = 0;
    while (0..w.size[axis]).all(|t| start + t * w.dilation[axis] < padded.len()) {
        count += 1;
        start += w.stride[axis];
    }
    count
}

/// The spatial sizes of the output, by enumeration.
pub fn enumerate(input: Extent, w: &Window) -> [usize; 3] {
    std::array::from_fn(|axis| places(input.space()[axis], w, axis))
}

/// The input position under tap `t` of place `p` on one axis: `None` on padding and gaps.
pub fn under(p: usize, t: usize, w: &Window, axis: usize, input: usize) -> Option<usize> {
    let at = (p * w.stride[axis] + t * w.dilation[axis]).checked_sub(w.before[axis])?;
    let step = w.gap[axis] + 1;
    (at % step == 0 && at / step < input).then_some(at / step)
}

/// All triples below these sizes.
pub fn triples(s: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..s[0]).flat_map(move |a| (0..s[1]).flat_map(move |b| (0..s[2]).map(move |c| [a, b, c])))
}
