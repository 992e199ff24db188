//! What a plan needs, before anything is allocated.

use crate::memory::plan::{Request, pack};
use crate::{Error, Extent, Mode};
use std::fmt;

/// One node of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// The node's name.
    pub name: String,
    /// The layer's kind.
    pub kind: String,
    /// Names of the nodes it takes.
    pub inputs: Vec<String>,
    /// The output's extent.
    pub extent: Extent,
    /// Parameters, frozen ones included.
    pub parameters: usize,
    /// Bytes asked for in this plan, before sharing.
    pub bytes: usize,
    /// Floating-point operations of dense layers and convolutions, two for each multiply-add, for a batch of the plan's capacity:
    /// forward, backward.
    pub flops: [u64; 2],
    /// Bytes that have to be read and written, each operand once, for such a batch: forward, backward.
    pub traffic: [u64; 2],
    /// The CUDA kernels it may launch, in the order in which it asked for them; none on the CPU.
    pub kernels: Vec<String>,
}

/// The memory of a plan, node by node, and which batch fits how much.
#[derive(Clone, Debug)]
pub struct PlanReport {
    /// The nodes, in order.
    pub nodes: Vec<NodeReport>,
    /// What the plan computes on, and on a GPU what compiled its kernels; nothing for a network that is not planned for a device.
    pub device: Option<String>,
    /// What the plan is for.
    pub mode: Mode,
    /// The most rows a batch may have.
    pub capacity: usize,
    /// Bytes of parameters, their gradients and layer state (shared by all plans of a model).
    pub store_bytes: usize,
    /// Bytes of activations, gradients and scratch: the peak, after sharing.
    pub local_bytes: usize,
    pub(crate) requests: Vec<Request>,
    pub(crate) guard: usize,
}

impl PlanReport {
    /// Parameters of all nodes.
    pub fn parameters(&self) -> usize {
        self.nodes.iter().map(|n| n.parameters).sum()
    }

    /// Floating-point operations of a batch of the plan's capacity: forward, backward.
    pub fn flops(&self) -> [u64; 2] {
        self.nodes.iter().fold([0, 0], |[f, b], n| [f + n.flops[0], b + n.flops[1]])
    }

    /// All bytes.
    pub fn bytes(&self) -> usize {
        self.store_bytes.saturating_add(self.local_bytes)
    }

    /// The error for a plan of `total` bytes where `free` are left.
    pub(crate) fn too_large(&self, total: usize, free: usize) -> Error {
        let e = Error::out_of_memory("plan", format!("a batch of {} does not fit\n{self}\n", self.capacity));
        let fits = self.batch_within(free.saturating_add(self.store_bytes));
        let hint = fits.map_or("not even a batch of 1 fits".to_string(), |n| format!("a batch of {n} fits"));
        e.expected(format!("at most {free} bytes")).got(format!("{total} bytes")).hint(hint)
    }

    /// The largest batch whose plan fits into `bytes`, estimated from this plan; `None` if not even one row does.
    pub fn batch_within(&self, bytes: usize) -> Option<usize> {
        let fits = |batch: usize| self.store_bytes.saturating_add(pack(&self.requests, batch, self.guard).1) <= bytes;
        if !fits(1) {
            return None;
        }
        let (mut low, mut high) = (1, 2);
        while high <= 1 << 24 && fits(high) {
            (low, high) = (high, high * 2);
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle) { low = middle } else { high = middle }
        }
        Some(low)
    }
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.nodes.iter().map(|n| n.name.len()).max().unwrap_or(4).max(4);
        writeln!(f, "{:>3}  {:names$}  {:14}  {:>12}  {:>10}  inputs", "#", "node", "output", "parameters", "memory")?;
        for (i, n) in self.nodes.iter().enumerate() {
            let (extent, inputs) = (n.extent.to_string(), n.inputs.join(", "));
            let parameters = if n.parameters == 0 { String::new() } else { grouped(n.parameters) };
            writeln!(f, "{i:>3}  {:names$}  {extent:14}  {parameters:>12}  {:>10}  {inputs}", n.name, human(n.bytes))?;
            if !n.kernels.is_empty() {
                writeln!(f, "     {:names$}  {}", "", n.kernels.join(" "))?;
            }
        }
        let (local, store) = (human(self.local_bytes), human(self.store_bytes));
        let (parameters, capacity) = (grouped(self.parameters()), self.capacity);
        write!(f, "{parameters} parameters ({store} with gradients); {local} for a batch of {capacity}")?;
        self.device.as_ref().map_or(Ok(()), |device| write!(f, "\non {device}"))
    }
}

/// 1234567 as `1 234 567`.
pub(super) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

/// 3 670 016 as `3.5 MiB`.
pub(super) fn human(bytes: usize) -> String {
    let (mut x, mut unit) = (bytes as f64, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if x >= 1024.0 {
            (x, unit) = (x / 1024.0, next);
        }
    }
    if unit == "B" { format!("{x} B") } else { format!("{x:.1} {unit}") }
}
