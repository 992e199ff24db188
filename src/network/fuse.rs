//! Layers that the pass of an earlier one does on the way of its results to memory: normalisation, ReLU and pooling in one
//! sweep instead of three. The bits are those of the single passes.
//!
//! Only layers in a row, whose values nobody else sees: no second consumer, no output, none that the user keeps.
//!
//! And statistics of values that the pass which makes them finds, for a normalisation that is their only consumer.

use super::Network;
use super::plan::Setup;
use crate::Result;
use crate::layer::{Part, Planned};
use crate::memory::Planner;
use crate::memory::plan::Request;
use crate::op::epilogue::Epilogue;

/// For each node the one whose pass does its work: itself, or one before.
pub(super) struct Owners(Vec<usize>);

impl Owners {
    pub fn of(&self, node: usize) -> usize {
        self.0[node]
    }

    /// Whether another node's pass does the work of this one.
    pub fn absorbed(&self, node: usize) -> bool {
        self.0[node] != node
    }

    /// All nodes whose work `node` does, itself first; none where it is absorbed.
    pub fn row(&self, node: usize) -> Vec<usize> {
        (node..self.0.len()).filter(|&i| self.0[i] == node).collect()
    }
}

/// The only node that reads the results of this one.
fn consumer(net: &Network, node: usize) -> Option<usize> {
    let mut consumers = (0..net.nodes.len()).filter(|&i| net.nodes[i].inputs.iter().any(|id| id.0 as usize == node));
    consumers.next().filter(|_| consumers.next().is_none())
}

/// The row of nodes behind `head` that its pass can do, and what they come to.
fn followers(
    net: &Network,
    setup: Setup<'_>,
    planned: &[Option<Planned>],
    outputs: &[usize],
    head: usize,
) -> (Vec<usize>, Epilogue) {
    let (mut row, mut epilogue) = (Vec::new(), Epilogue::NONE);
    let Some(able) = planned[head].as_ref().and_then(Planned::as_head) else { return (row, epilogue) };
    let mut at = head;
    while !outputs.contains(&at) && !setup.kept.contains(&at) {
        let Some(next) = consumer(net, at) else { break };
        let part = planned[next].as_ref().and_then(Planned::as_part).filter(|_| net.nodes[next].inputs.len() == 1);
        let longer = match part {
            Some(Part::Norm(k)) if row.is_empty() => Epilogue { norm: Some(k), ..epilogue },
            Some(Part::Relu) if !epilogue.relu && epilogue.pool.is_none() => Epilogue { relu: true, ..epilogue },
            Some(Part::MaxPool(g)) if epilogue.pool.is_none() && Epilogue::tiles(&g) => Epilogue { pool: Some(g), ..epilogue },
            _ => break,
        };
        if !able.fits(&longer) {
            break;
        }
        (epilogue, at) = (longer, next);
        row.push(next);
    }
    (row, epilogue)
}

/// Lets every pass that can do so take over what follows it; `ask` hands out the planner of a node.
pub(super) fn fuse(
    net: &Network,
    setup: Setup<'_>,
    planned: &[Option<Planned>],
    outputs: &[usize],
    mut ask: impl FnMut(usize, &mut dyn FnMut(&mut Planner<'_>)),
) -> Result<Owners> {
    let mut owners = Owners((0..planned.len()).collect());
    for head in 0..planned.len() {
        if owners.absorbed(head) {
            continue;
        }
        let Some(able) = planned[head].as_ref().and_then(Planned::as_head) else { continue };
        let (row, epilogue) = followers(net, setup, planned, outputs, head);
        if row.is_empty() {
            let next = consumer(net, head).and_then(|next| Some((next, planned[next].as_ref()?.as_statistics()?)));
            let Some((next, statistics)) = next else { continue };
            if !outputs.contains(&head) {
                able.centred();
            }
            let mut asked = Ok(());
            ask(head, &mut |p| {
                p.times = (head as u32, next as u32);
                asked = able.measure(statistics, p);
            });
            asked?;
            continue;
        }
        let mut asked = Ok(());
        ask(head, &mut |p| asked = able.take(epilogue, p));
        asked?;
        row.into_iter().for_each(|node| owners.0[node] = head);
    }
    Ok(owners)
}

/// Takes back what absorbed nodes asked for.
pub(super) fn release(owners: &Owners, requests: &mut [Request]) {
    for r in requests.iter_mut().filter(|r| owners.absorbed(r.node as usize)) {
        *r = r.none();
    }
}
