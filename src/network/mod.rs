//! Networks: a list of nodes, each a layer and the ids of earlier nodes. Always a DAG, since only earlier ids exist.

mod builder;
mod clock;
mod draft;
mod fuse;
mod infer;
mod measure;
mod mlp;
mod model;
mod parameters;
mod plan;
mod profile;
mod registry;
mod report;
mod run;
mod small;
mod steer;
mod tap;
mod update;
mod view;
mod whole;
mod wiring;
mod work;

pub use builder::ModelBuilder;
pub use model::Model;
pub use profile::{Phase, Profile, ProfileRow};
pub use registry::Registry;
pub use report::{NodeReport, PlanReport};
pub use view::{Inputs, Seed, Targets, View};

pub(crate) use mlp::{Columns, Mlp, STEPS};
pub(crate) use run::one_hot;
pub(crate) use whole::{Table, Whole};

pub(crate) use model::MAX_WORDS;
pub(crate) use plan::{LossPort, LossSpec, Plan};

use crate::layer::{Fields, Layer};
use crate::{Error, Extent, Mode, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;

/// A node of a network: the handle that [`Network::push`] and its kin return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub(crate) u32);

/// The description of a network: no memory, no device. Cloning shares the layers.
///
/// # Examples
/// ```
/// use kamacite::*;
/// let mut net = Network::new(Extent::image(28, 28, 1));
/// net.push(Conv::new(8, 5).pad(2).act(Relu));
/// net.push(Pool::max(2));
/// net.push(Dense::new(10));
/// assert_eq!(net.report(Mode::Infer, 64)?.parameters(), 8 * 25 + 8 + 14 * 14 * 8 * 10 + 10);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Network {
    pub(crate) nodes: Vec<Node>,
    pub(crate) outputs: Vec<(String, NodeId)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub name: String,
    pub what: What,
    pub inputs: Vec<NodeId>,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Input(Extent),
    Layer(Arc<dyn Layer>),
}

impl Node {
    pub fn kind(&self) -> &'static str {
        match &self.what {
            What::Input(_) => "input",
            What::Layer(layer) => layer.kind(),
        }
    }

    /// `node 4 (conv2)`: the place in messages.
    pub fn place(&self, index: usize) -> String {
        format!("node {index} ({})", self.name)
    }
}

impl Network {
    /// A network with one input, named `input`.
    pub fn new(input: Extent) -> Self {
        let mut net = Self::default();
        net.input("input", input);
        net
    }

    /// Adds a named input. [`Network::default`] starts without any.
    pub fn input(&mut self, name: &str, extent: Extent) -> NodeId {
        self.insert(name.to_string(), What::Input(extent), Vec::new())
    }

    /// Adds a layer after the last node.
    pub fn push(&mut self, layer: impl Layer + 'static) -> NodeId {
        let last = NodeId(self.nodes.len().saturating_sub(1) as u32);
        self.add(layer, &[last])
    }

    /// Adds a layer after these nodes.
    pub fn add(&mut self, layer: impl Layer + 'static, inputs: &[NodeId]) -> NodeId {
        let kind = layer.kind();
        let number = 1 + self.nodes.iter().filter(|n| n.kind() == kind).count();
        self.insert(format!("{kind}{number}"), What::Layer(Arc::new(layer)), inputs.to_vec())
    }

    fn insert(&mut self, name: String, what: What, inputs: Vec<NodeId>) -> NodeId {
        self.nodes.push(Node { name, what, inputs });
        NodeId(self.nodes.len() as u32 - 1)
    }

    /// Names a node; its parameters are then called `name.weight` and so on. Without this a layer is called by its kind
    /// and number: `conv2`.
    pub fn name(&mut self, node: NodeId, name: &str) -> &mut Self {
        if let Some(n) = self.nodes.get_mut(node.0 as usize) {
            n.name = name.to_string();
        }
        self
    }

    /// Declares an output. A network without any has one, `output`: its last node.
    pub fn output(&mut self, name: &str, node: NodeId) -> &mut Self {
        self.outputs.push((name.to_string(), node));
        self
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|n| n.name == name).map(|i| NodeId(i as u32))
    }

    /// The nodes in their order, inputs included.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// The name of a node.
    pub fn name_of(&self, node: NodeId) -> &str {
        self.nodes.get(node.0 as usize).map_or("", |n| &n.name)
    }

    /// Names and extents of the inputs.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, Extent)> {
        self.nodes.iter().filter_map(|n| match n.what {
            What::Input(extent) => Some((n.name.as_str(), extent)),
            What::Layer(_) => None,
        })
    }

    /// Names and nodes of the outputs.
    pub fn outputs(&self) -> Vec<(String, NodeId)> {
        match self.nodes.len() {
            0 => Vec::new(),
            n if self.outputs.is_empty() => vec![("output".to_string(), NodeId(n as u32 - 1))],
            _ => self.outputs.clone(),
        }
    }

    /// The nodes up to and including `last`: an encoder without its head. Outputs among them are kept.
    #[must_use]
    pub fn up_to(&self, last: NodeId) -> Self {
        let nodes = self.nodes[..self.nodes.len().min(last.0 as usize + 1)].to_vec();
        let outputs = self.outputs.iter().filter(|(_, n)| (n.0 as usize) < nodes.len()).cloned().collect();
        Self { nodes, outputs }
    }

    /// What planning at this batch size finds: extents, parameters, memory. Allocates no weights.
    ///
    /// # Errors
    /// Whatever makes the network impossible.
    pub fn report(&self, mode: Mode, batch: usize) -> Result<PlanReport> {
        Plan::report_only(self, mode, batch)
    }

    /// The description as it stands in a checkpoint.
    pub fn save(&self) -> Fields {
        let nodes = self.nodes.iter().map(|n| {
            let (kind, data) = match &n.what {
                What::Input(extent) => ("input", crate::layer::fields(extent)),
                What::Layer(layer) => (layer.kind(), layer.save()),
            };
            SavedNode { name: n.name.clone(), kind: kind.to_string(), data, inputs: n.inputs.clone() }
        });
        crate::layer::fields(&SavedNetwork { nodes: nodes.collect(), outputs: self.outputs.clone() })
    }

    /// Rebuilds a description; `registry` knows the layers.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) for anything that [`Network::save`] would not have written.
    pub fn load(saved: &Fields, registry: &Registry) -> Result<Self> {
        let saved: SavedNetwork =
            serde_json::from_value(saved.clone()).map_err(|e| Error::format("network", "description not understood").got(e))?;
        let mut net = Self { nodes: Vec::new(), outputs: saved.outputs };
        for n in saved.nodes {
            let what = if n.kind == "input" {
                let extent =
                    serde_json::from_value(n.data).map_err(|e| Error::format(&n.name, "input extent not understood").got(e))?;
                What::Input(extent)
            } else {
                What::Layer(registry.layer(&n.kind, &n.data).map_err(|e| e.at(&n.name))?)
            };
            net.nodes.push(Node { name: n.name, what, inputs: n.inputs });
        }
        net.check()?;
        Ok(net)
    }

    /// Everything that can be wrong before extents are known.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.nodes.iter().any(|n| matches!(n.what, What::Input(_))) {
            return Err(Error::plan("network", "has no input").hint("start with Network::new(extent)"));
        }
        let mut names = HashSet::new();
        for (i, n) in self.nodes.iter().enumerate() {
            let place = n.place(i);
            if n.name.is_empty() || !names.insert(&n.name) {
                return Err(Error::plan(place, "two nodes have the same name, or one has none"));
            }
            match n.what {
                What::Input(extent) => drop(extent.check().map_err(|e| e.at(&place))?),
                What::Layer(_) if n.inputs.is_empty() => return Err(Error::plan(place, "the layer has no input")),
                What::Layer(_) => {}
            }
            if let Some(id) = n.inputs.iter().find(|id| id.0 as usize >= i) {
                return Err(Error::plan(place, "takes a node that is not before it").got(format!("node {}", id.0)));
            }
        }
        let mut names = HashSet::new();
        for (name, id) in &self.outputs {
            if id.0 as usize >= self.nodes.len() || !names.insert(name) {
                return Err(Error::plan(format!("output {name}"), "names no node, or its name is taken"));
            }
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct SavedNetwork {
    nodes: Vec<SavedNode>,
    outputs: Vec<(String, NodeId)>,
}

#[derive(Serialize, Deserialize)]
struct SavedNode {
    name: String,
    kind: String,
    data: Fields,
    inputs: Vec<NodeId>,
}
