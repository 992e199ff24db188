//! The parameters and the layer state of a model by their names: read, set, frozen, in groups of their own.

use super::model::RunSpec;
use super::{Model, NodeId};
use crate::memory::{ALIGN, Arena, Entry, ParamKind};
use crate::{Error, Real, Result, real};

impl Model {
    /// Freezes a node: its parameters get no gradient and no update.
    pub fn freeze(&mut self, node: NodeId) {
        self.set_frozen(node, true);
    }

    /// Undoes [`Model::freeze`].
    pub fn unfreeze(&mut self, node: NodeId) {
        self.set_frozen(node, false);
    }

    /// Multiplies the learning rate of a node's parameters: a parameter group.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a factor that is negative or not finite.
    pub fn scale_learning_rate(&mut self, node: NodeId, factor: f64) -> Result<()> {
        if !(factor.is_finite() && factor >= 0.0) {
            return Err(Error::value(self.net.name_of(node), "learning-rate factor")
                .expected("a finite number >= 0")
                .got(factor));
        }
        self.store.params.iter_mut().filter(|p| p.node == node.0).for_each(|p| p.lr_scale = factor);
        self.find_runs();
        Ok(())
    }

    /// Names and shapes of the parameters, then of the layer state.
    pub fn arrays(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.store.params.iter().chain(&self.store.states).map(|e| (e.name.as_str(), e.shape.as_slice()))
    }

    /// A parameter or state array, as f64.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for an unknown name.
    pub fn array(&self, name: &str) -> Result<Vec<f64>> {
        let (arena, i) = self.find(name)?;
        real!(self.store.dtype, T => arena.host_read::<T, _>(i, 0, |w| w.iter().map(|x| x.to_f64()).collect()))
    }

    /// The gradient of a parameter, as f64.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for an unknown name.
    pub fn gradient(&self, name: &str) -> Result<Vec<f64>> {
        let i = self.store.params.iter().position(|e| e.name == name).ok_or_else(|| self.unknown(name))?;
        let factor = self.gradient_factor()?;
        real!(self.store.dtype, T => self.store.grads.host_read::<T, _>(i, 0, |dw| dw.iter().map(|x| factor * x.to_f64()).collect()))
    }

    /// Sets a parameter or state array.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for an unknown name, [`ErrorKind::Shape`](crate::ErrorKind::Shape)
    /// for another number of elements.
    pub fn set_array(&mut self, name: &str, values: &[f64]) -> Result<()> {
        let (arena, i) = self.find(name)?;
        real!(self.store.dtype, T => arena.host_write::<T>(i, 0, |w| {
            if w.len() != values.len() {
                return Err(Error::shape(name, "number of elements").expected(w.len()).got(values.len()));
            }
            w.iter_mut().zip(values).for_each(|(w, v)| *w = Real::of(*v));
            Ok(())
        }))
    }

    fn find(&self, name: &str) -> Result<(&Arena, usize)> {
        let at = |entries: &[Entry]| entries.iter().position(|e| e.name == name);
        match (at(&self.store.params), at(&self.store.states)) {
            (Some(i), _) => Ok((&self.store.weights, i)),
            (_, Some(i)) => Ok((&self.store.state, i)),
            _ => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let known = self.arrays().map(|(n, _)| n).collect::<Vec<_>>().join(", ");
        Error::value("model", "no such array").expected(format!("one of {known}")).got(name)
    }

    fn set_frozen(&mut self, node: NodeId, frozen: bool) {
        self.store.params.iter_mut().filter(|p| p.node == node.0).for_each(|p| p.frozen = frozen);
        self.find_runs();
        self.forget_plans();
    }

    /// Neighbouring parameters that are treated alike become one run.
    pub(crate) fn find_runs(&mut self) {
        // A recorded step holds the runs as they were.
        self.generation += 1;
        let per_line = ALIGN / self.store.dtype.bytes();
        self.runs.clear();
        for p in self.store.params.iter().filter(|p| !p.frozen) {
            let range = p.offset..p.offset + p.len.next_multiple_of(per_line);
            let decay = !self.spare_biases || p.kind == ParamKind::Weight;
            match self.runs.last_mut() {
                Some(r) if r.range.end == range.start && r.lr_scale == p.lr_scale && r.decay == decay => r.range.end = range.end,
                _ => self.runs.push(RunSpec { range, lr_scale: p.lr_scale, decay }),
            }
        }
        self.ranges = self.runs.iter().map(|r| r.range.clone()).collect();
    }
}
