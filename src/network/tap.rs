//! Backward passes that begin at any node, and models looked into for a while.

use super::model::Current;
use super::{Model, NodeId, View, What};
use crate::layer::Layer;
use crate::{Error, Extent, Mode, Result};
use std::sync::Arc;

impl Model {
    /// Lets backward passes begin at a node that is no output, with [`Seed::Node`](super::Seed::Node): for gradients of anything a network
    /// computes on its way.
    ///
    /// # Examples
    /// ```
    /// use kamacite::*;
    /// let mut net = Network::new(Extent::flat(2));
    /// let hidden = net.push(Dense::new(3).act(Tanh));
    /// net.push(Dense::new(1));
    /// let mut model = Model::builder(net).build()?;
    /// model.seed_at(hidden);
    /// model.forward(Mode::Eval, View::new(Extent::flat(2), &[0.5, -1.0])?)?;
    /// let dx = model.backward(Seed::Node(hidden, View::new(Extent::flat(3), &[0.0, 1.0, 0.0])?), Grads::Skip)?;
    /// assert_eq!(dx.extent(), Extent::flat(2));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn seed_at(&mut self, node: NodeId) {
        let node = node.0 as usize;
        if node < self.net.nodes.len() && !self.starts.contains(&node) {
            self.starts.push(node);
            self.forget_plans();
        }
    }

    /// The extent of the first argument of a node, at the declared extents of the inputs.
    pub(crate) fn input_of(&self, node: NodeId) -> Option<Extent> {
        let first = self.net.nodes.get(node.0 as usize)?.inputs.first()?;
        self.net.report(Mode::Infer, 1).ok()?.nodes.get(first.0 as usize).map(|n| n.extent)
    }

    /// Seeds a backward pass at a node.
    pub(super) fn seed_node(&mut self, c: Current, node: NodeId, view: View<'_>) -> Result<()> {
        let ports = &self.plans[c.plan].1.outputs;
        let at = ports.iter().position(|p| p.node == node.0 as usize).ok_or_else(|| {
            let e = Error::order("backward", "begins at a node that was not announced").got(self.net.name_of(node));
            e.hint("call Model::seed_at(node) before the forward pass")
        })?;
        let views: Vec<_> = (0..=at).map(|k| (k == at).then_some(view)).collect();
        self.seed(c, &views)
    }

    /// Does `work` on a model that keeps these nodes, lets backward passes begin at `start`, whose layer has no activation then if
    /// `linear` says so, and computes gradients wrt its inputs. Afterwards the model is as it was.
    pub(crate) fn tapped<T>(
        &mut self,
        keep: &[NodeId],
        (start, linear): (NodeId, bool),
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let known = |node: &NodeId| (node.0 as usize) < self.net.nodes.len();
        if let Some(node) = keep.iter().chain([&start]).find(|node| !known(node)) {
            let expected = format!("below {}", self.net.nodes.len());
            return Err(Error::value("model", "no such node").expected(expected).got(node.0));
        }
        let before = (self.kept.clone(), self.starts.clone(), self.input_gradients);
        let bare = match &self.net.nodes[start.0 as usize].what {
            What::Layer(layer) if linear => layer.linear(),
            _ => None,
        };
        let swap = |model: &mut Self, layer: Arc<dyn Layer>| {
            std::mem::replace(&mut model.net.nodes[start.0 as usize].what, What::Layer(layer))
        };
        self.input_gradients = true;
        keep.iter().for_each(|&node| self.keep(node));
        self.seed_at(start);
        let old = bare.map(|bare| swap(self, bare));
        if old.is_some() {
            self.forget_plans();
        }
        let done = work(self);
        let changed = old.is_some() || self.kept != before.0 || self.starts != before.1;
        if let Some(What::Layer(layer)) = old {
            swap(self, layer);
        }
        (self.kept, self.starts, self.input_gradients) = before;
        if changed {
            self.forget_plans();
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use crate::*;

    fn model() -> Result<(Model, [NodeId; 3])> {
        let mut net = Network::new(Extent::flat(3));
        let a = net.push(Dense::new(4).act(Tanh));
        let b = net.push(Dense::new(2).act(Tanh));
        let c = net.push(Dense::new(2).act(Softmax));
        Ok((Model::builder(net).seed(3).build()?, [a, b, c]))
    }

    #[test]
    fn a_gradient_from_an_inner_node_is_that_of_the_network_cut_there() -> Result<()> {
        let (mut model, [_, b, _]) = model()?;
        let x = [0.3_f32, -0.7, 0.2, 0.5, 0.1, -0.4];
        let dy = [1.0_f32, 0.0, 0.5, -2.0];
        let mut short = Model::builder(model.network().up_to(b)).build()?;
        let names: Vec<String> = short.arrays().map(|(n, _)| n.to_string()).collect();
        names.iter().try_for_each(|n| short.set_array(n, &model.array(n)?))?;
        let (x, dy) = (View::new(Extent::flat(3), &x)?, View::new(Extent::flat(2), &dy)?);
        short.forward(Mode::Eval, x)?;
        let expected = short.backward(dy, Grads::Write)?.to_vec();
        let weights = short.gradient("dense1.weight")?;

        model.forward(Mode::Eval, x)?;
        assert_eq!(model.backward(Seed::Node(b, dy), Grads::Write).map(|_| ()).map_err(|e| e.kind()), Err(ErrorKind::Order));
        model.seed_at(b);
        model.forward(Mode::Eval, x)?;
        assert_eq!(model.backward(Seed::Node(b, dy), Grads::Write)?.to_vec(), expected);
        assert_eq!(model.gradient("dense1.weight")?, weights);
        assert!(model.gradient("dense3.weight")?.iter().all(|g| *g == 0.0) && weights.iter().any(|g| *g != 0.0));
        // The outputs are where they were.
        model.forward(Mode::Eval, x)?;
        assert_eq!(model.output(0)?.extent(), Extent::flat(2));
        Ok(())
    }

    #[test]
    fn an_output_that_is_announced_keeps_its_loss() -> Result<()> {
        let gradient = |announced: bool| -> Result<Vec<f64>> {
            let mut net = Network::new(Extent::flat(3));
            let hidden = net.push(Dense::new(4).act(Tanh));
            let last = net.push(Dense::new(2));
            let mut model = Model::builder(net).seed(3).loss("output", SoftmaxCrossEntropy, 1.0).build()?;
            if announced {
                model.seed_at(last);
                model.seed_at(hidden);
            }
            model.forward(Mode::Train, View::new(Extent::flat(3), &[0.3, -0.7, 0.2])?)?;
            model.loss(&[Targets::Classes(&[1])])?;
            model.backward_parameters(Seed::Loss, Grads::Write)?;
            model.gradient("dense1.weight")
        };
        let plain = gradient(false)?;
        assert!(plain.iter().any(|g| *g != 0.0));
        assert_eq!(gradient(true)?, plain);
        Ok(())
    }

    #[test]
    fn a_tapped_model_is_as_before() -> Result<()> {
        let (mut model, [a, _, c]) = model()?;
        let x = [0.3_f32, -0.7, 0.2];
        let x = View::new(Extent::flat(3), &x)?;
        let before = model.forward(Mode::Infer, x)?.to_vec();
        let inside = model.tapped(&[a], (c, true), |m| {
            let y = m.forward(Mode::Eval, x)?.to_vec();
            assert_eq!(m.node(a)?.extent(), Extent::flat(4));
            Ok(y)
        })?;
        // Logits, of which the softmax is the output.
        let sum: f32 = inside.iter().map(|z| z.exp()).sum();
        assert!(inside.iter().zip(&before).all(|(z, p)| (z.exp() / sum - p).abs() < 1e-6) && inside != before);
        assert_eq!(model.forward(Mode::Infer, x)?.to_vec(), before);
        assert!(model.node(a).is_err() && model.starts.is_empty());
        let failed: Result<()> = model.tapped(&[a], (c, true), |_| Err(Error::order("mine", "no")));
        assert!(failed.is_err() && model.kept.is_empty());
        assert!(model.tapped(&[NodeId(99)], (c, true), |_| Ok(())).is_err());
        Ok(())
    }
}
