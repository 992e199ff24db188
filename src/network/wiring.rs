//! Who reads whom in a network: shared values, where gradients flow, and how long everything lives.
//!
//! Time is a list of events: forward of node i at i, the losses at n, backward of node i at 2n − i, the end at 2n + 1.

use super::Network;
use super::fuse::Owners;
use super::plan::Setup;
use crate::Extent;
use crate::layer::{Place, Planned};
use crate::memory::plan::{Request, Size, Span, push};
use crate::memory::{GradMode, Slot, Store};

/// Who reads whom: consumers, shared values, and where gradients flow.
///
/// Where one pass does the work of several nodes, the first of them stands for all: the consumers of the last are its own,
/// and the others have neither inputs nor consumers.
pub(super) struct Wiring<'a> {
    n: usize,
    owners: &'a Owners,
    /// (consumer, argument) of each node's output, in order.
    consumers: Vec<Vec<(usize, usize)>>,
    /// The node whose value this one shares, for views and granted in-place layers.
    alias: Vec<Option<usize>>,
    is_output: Vec<bool>,
    is_kept: Vec<bool>,
    is_input: Vec<bool>,
    /// A gradient wrt this node's output is computed.
    grad: Vec<bool>,
    pub backward: Vec<bool>,
    reads: Vec<(bool, bool)>,
    losses_at: Vec<bool>,
}

impl<'a> Wiring<'a> {
    pub fn new(
        net: &Network,
        setup: Setup<'_>,
        planned: &[Option<Planned>],
        (outputs, owners): (&[usize], &'a Owners),
        store: &Store,
    ) -> Self {
        let n = net.nodes.len();
        let differentiable = setup.mode.differentiable();
        let inputs = |i: usize| {
            let all = net.nodes[i].inputs.iter().map(|id| owners.of(id.0 as usize));
            all.filter(move |_| !owners.absorbed(i))
        };
        let mut consumers = vec![Vec::new(); n];
        for i in 0..n {
            inputs(i).enumerate().for_each(|(k, x)| consumers[x].push((i, k)));
        }
        let mark = |list: &mut dyn Iterator<Item = usize>| {
            let mut marks = vec![false; n];
            list.for_each(|i| marks[owners.of(i)] = true);
            marks
        };
        let is_output = mark(&mut outputs.iter().copied());
        let is_kept = mark(&mut setup.kept.iter().copied());
        let losses_at = mark(&mut setup.losses.iter().map(|(spec, _)| outputs[spec.output]));
        let is_input: Vec<bool> = planned.iter().map(Option::is_none).collect();
        let trained = mark(&mut store.params.iter().filter(|p| !p.frozen).map(|p| p.node as usize));
        // `wants`: somebody below wants a gradient to come this far. `reached`: one starts above.
        let (mut wants, mut reached) = (vec![false; n], is_output.clone());
        for i in 0..n {
            let above = inputs(i).any(|x| wants[x]);
            wants[i] = trained[i] || above || (is_input[i] && setup.input_grad) || is_kept[i];
        }
        for i in (0..n).rev() {
            if reached[i] {
                inputs(i).for_each(|x| reached[x] = true);
            }
        }
        let grad: Vec<bool> = (0..n).map(|i| differentiable && wants[i] && reached[i]).collect();
        let backward = (0..n).map(|i| grad[i] && !is_input[i]).collect();
        let read = |p: &Option<Planned>| {
            p.as_ref().map_or((false, false), |p| (differentiable && p.reads_x, differentiable && p.reads_y))
        };
        let reads = planned.iter().map(read).collect();
        let mut w =
            Self { n, owners, consumers, alias: vec![None; n], is_output, is_kept, is_input, grad, backward, reads, losses_at };
        for (i, p) in planned.iter().enumerate() {
            let (Some(p), Some(x)) = (p, inputs(i).next()) else { continue };
            let granted = match p.place {
                Place::Fresh => false,
                Place::View => true,
                Place::InPlace => w.may_overwrite(i, x),
            };
            w.alias[i] = granted.then_some(x);
        }
        w
    }

    fn root(&self, mut i: usize) -> usize {
        while let Some(j) = self.alias[i] {
            i = j;
        }
        i
    }

    /// Whether node `i` may write over the value of its input `x`: nobody outside sees it, nobody reads it later.
    fn may_overwrite(&self, i: usize, x: usize) -> bool {
        let root = self.root(x);
        let members = (0..i).filter(|&m| self.root(m) == root);
        let (mut safe, mut arguments) = (!self.reads[i].0, 0);
        for m in members {
            safe &= !self.is_output[m] && !self.is_kept[m] && !self.is_input[m] && !self.reads[m].1;
            safe &= self.consumers[m].iter().all(|&(c, _)| c == i || (c < i && !self.reads[c].0));
            arguments += self.consumers[m].iter().filter(|&&(c, _)| c == i).count();
        }
        // Two arguments in the same memory, be it through a view: the second would see the overwritten value.
        safe && arguments <= 1
    }

    fn backward_time(&self, i: usize) -> u32 {
        (2 * self.n - i) as u32
    }

    fn end(&self) -> u32 {
        2 * self.n as u32 + 1
    }

    /// From the first to the last moment at which the value of this root (and of all that share it) matters.
    fn value_life(&self, root: usize) -> Span {
        let start = if self.is_input[root] { 0 } else { root as u32 };
        let mut last = start;
        for m in (root..self.n).filter(|&m| self.root(m) == root) {
            last = last.max(m as u32);
            for &(c, _) in &self.consumers[m] {
                last = last.max(c as u32);
                if self.reads[c].0 && self.backward[c] {
                    last = last.max(self.backward_time(c));
                }
            }
            if self.reads[m].1 && self.backward[m] {
                last = last.max(self.backward_time(m));
            }
            if self.losses_at[m] {
                last = last.max(self.n as u32);
            }
            if self.is_output[m] || self.is_kept[m] {
                last = self.end();
            }
        }
        (start, last)
    }

    /// Whether the gradient of node `x` may share memory with that of its only consumer `i`.
    fn shares_gradient(&self, i: usize, x: usize) -> bool {
        let sole = self.consumers[x].len() == 1 && self.alias[i] == Some(x);
        sole && self.grad[i] && self.grad[x] && !self.is_output[x] && !self.is_input[x]
    }

    /// The consumers of node `i` that write its gradient, in the order in which they do.
    fn writers(&self, i: usize) -> Vec<(usize, usize)> {
        let mut writers: Vec<_> = self.consumers[i].iter().copied().filter(|&(c, _)| self.backward[c]).collect();
        writers.sort_by_key(|&(c, k)| (std::cmp::Reverse(c), k));
        writers
    }

    pub fn slots(&self, setup: Setup<'_>, extents: &[Extent], requests: &mut Vec<Request>) -> Slots {
        let dtype = setup.precision.storage();
        let mut request = |i: usize, span: Span| {
            // What leaves a row of nodes is what its last one yields.
            let last = self.owners.row(i).last().copied().unwrap_or(i);
            let size = Size::PerRow(extents[last].len());
            push(requests, Request { size, dtype, spans: vec![span], node: i as u32 })
        };
        let mut y: Vec<Slot> = Vec::with_capacity(self.n);
        for i in 0..self.n {
            let slot = match self.alias[i] {
                _ if self.owners.absorbed(i) => y[self.owners.of(i)],
                Some(x) => y[x],
                None => request(i, self.value_life(i)),
            };
            y.push(slot);
        }
        // Gradients from the last node to the first; a shared one exists already when its owner is met.
        let mut dy: Vec<Option<Slot>> = vec![None; self.n];
        let mut keep_dy = vec![None; self.n];
        for i in (0..self.n).rev().filter(|&i| self.grad[i]) {
            let sharer = self.consumers[i].iter().map(|&(c, _)| c).find(|&c| self.shares_gradient(c, i));
            dy[i] = match sharer {
                Some(c) => dy[c],
                None => Some(request(i, self.gradient_life(i))),
            };
            if self.is_kept[i] && !self.is_input[i] {
                keep_dy[i] = Some(request(i, (self.backward_time(i), self.end())));
            }
        }
        for i in (0..self.n).filter(|&i| self.owners.absorbed(i)) {
            (dy[i], keep_dy[i]) = (dy[self.owners.of(i)], keep_dy[self.owners.of(i)]);
        }
        let mut dx: Vec<Vec<Option<(Slot, GradMode)>>> = vec![Vec::new(); self.n];
        for (i, args) in dx.iter_mut().enumerate() {
            let count = (0..self.n).flat_map(|x| &self.consumers[x]).filter(|&&(c, _)| c == i).count();
            args.resize(count, None);
        }
        for x in (0..self.n).filter(|&x| self.grad[x]) {
            for (order, (c, k)) in self.writers(x).into_iter().enumerate() {
                let mode = if order == 0 && !self.is_output[x] { GradMode::Write } else { GradMode::Add };
                dx[c][k] = dy[x].map(|slot| (slot, mode));
            }
        }
        Slots { y, dy, keep_dy, dx }
    }

    /// The life of a gradient and of those that share it upstream: from its first writer to the last backward pass that
    /// reads it.
    fn gradient_life(&self, i: usize) -> Span {
        let first = self.writers(i).first().map(|&(c, _)| self.backward_time(c));
        let start = if self.is_output[i] { self.n as u32 } else { first.unwrap_or(self.n as u32) };
        let (mut last, mut node) = (self.backward_time(i), i);
        while let Some(x) = self.alias[node].filter(|&x| self.shares_gradient(node, x)) {
            node = x;
            last = last.max(self.backward_time(node));
        }
        (start, if self.is_input[i] { self.end() } else { last })
    }
}

pub(super) struct Slots {
    pub y: Vec<Slot>,
    pub dy: Vec<Option<Slot>>,
    pub keep_dy: Vec<Option<Slot>>,
    pub dx: Vec<Vec<Option<(Slot, GradMode)>>>,
}
