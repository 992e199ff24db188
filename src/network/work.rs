//! What a node has to do: operations, and bytes that it cannot avoid to move. Reports and profiles count with it.

use super::Network;
use super::plan::PlannedNode;
use crate::layer::{Place, Planned};
use crate::memory::{GradMode, Store};
use crate::{DType, Extent};

/// Floating-point operations and bytes of one pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub flops: u64,
    pub bytes: u64,
}

/// What a layer said of its work when it was planned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// Multiply-adds of one sample's forward pass.
    products: u64,
    reads_x: bool,
    reads_y: bool,
    view: bool,
}

impl Work {
    pub fn of(planned: &Planned) -> Self {
        let Planned { products, reads_x, reads_y, place, .. } = *planned;
        Self { products, reads_x, reads_y, view: place == Place::View }
    }

    /// The passes of this node for a batch of `rows`, forward and backward: every operand once, parameters included, scratch not.
    pub fn costs(
        &self,
        node: &PlannedNode,
        net: &Network,
        (extents, dtype, rows): (&[Extent], DType, usize),
        store: &Store,
    ) -> [Cost; 2] {
        let batch = |e: &Extent| (e.len() * rows * dtype.bytes()) as u64;
        let inputs: Vec<u64> = net.nodes[node.node].inputs.iter().map(|id| batch(&extents[id.0 as usize])).collect();
        let (x, y) = (inputs.iter().sum::<u64>(), batch(&extents[node.covers[node.covers.len() - 1]]));
        let own = || store.params.iter().filter(|p| node.covers.contains(&(p.node as usize)));
        let bytes = |len: usize| (len * store.dtype.bytes()) as u64;
        let weights = own().map(|p| bytes(p.len)).sum::<u64>();
        let trained = own().filter(|p| !p.frozen).map(|p| bytes(p.len)).sum::<u64>();
        let once = 2 * self.products * rows as u64;
        let forward = Cost { flops: once, bytes: if self.view { 0 } else { x + y + weights } };
        if !node.backward {
            return [forward, Cost::default()];
        }
        let wanted = node.dx.iter().flatten().count() > 0;
        let dx = node.dx.iter().zip(&inputs).filter_map(|(dx, bytes)| Some((dx.as_ref()?, bytes)));
        // Shared with dy by a view: nothing moves.
        let dx = dx.map(|((slot, mode), bytes)| match mode {
            _ if self.view && *slot == node.dy => 0,
            GradMode::Write => *bytes,
            GradMode::Add => 2 * bytes,
        });
        let dx = dx.sum::<u64>();
        let read = if self.view && dx == 0 { 0 } else { y };
        let kept = if self.reads_x { x } else { 0 } + if self.reads_y { y } else { 0 };
        let sides = u64::from(wanted) + u64::from(trained > 0);
        let backward = Cost { flops: once * sides, bytes: read + kept + dx + trained + if wanted { weights } else { 0 } };
        [forward, backward]
    }
}
