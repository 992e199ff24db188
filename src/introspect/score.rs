//! What is explained: a number that a network computes for a sample.

use crate::network::{Inputs, Model, NodeId, Seed, View};
use crate::{Error, Extent, Grads, Mode, Result};
use std::ops::Range;

/// The number that a map explains: a channel of the first output without its activation, or of another node.
///
/// Over several positions (a map of classes, say) it is their sum.
///
/// # Examples
/// ```
/// use kamacite::introspect::Score;
/// let of_class_7 = Score::channel(7);
/// let of_each_ones_own = Score::each(&[7, 0, 3]);
/// # let _ = (of_class_7, of_each_ones_own);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    node: Option<NodeId>,
    which: Which,
}

#[derive(Clone, Debug, PartialEq)]
enum Which {
    Channel(usize),
    Each(Vec<u32>),
}

impl Score {
    /// The same channel for all samples: a class, or a parameter of a regression.
    pub const fn channel(c: usize) -> Self {
        Self { node: None, which: Which::Channel(c) }
    }

    /// A channel for each sample: its class, or the class it was taken for.
    pub fn each(channels: &[u32]) -> Self {
        Self { node: None, which: Which::Each(channels.to_vec()) }
    }

    /// The same of another node: as it is where it is an inner one, without its activation where it is an output.
    #[must_use]
    pub const fn of(mut self, node: NodeId) -> Self {
        self.node = Some(node);
        self
    }

    /// The node, and whether its activation is left out.
    pub(super) fn node(&self, model: &Model) -> Result<(NodeId, bool)> {
        let outputs = model.network().outputs();
        match self.node {
            Some(node) => Ok((node, outputs.iter().any(|(_, id)| *id == node))),
            None => outputs.first().map(|(_, id)| (*id, true)).ok_or_else(|| Error::plan("score", "a network without outputs")),
        }
    }

    fn channel_of(&self, row: usize, extent: Extent) -> Result<usize> {
        let channel = match &self.which {
            Which::Channel(c) => *c,
            Which::Each(all) => {
                let none = || {
                    Error::shape("score", "a channel for each sample").expected(format!("at least {}", row + 1)).got(all.len())
                };
                *all.get(row).ok_or_else(none)? as usize
            }
        };
        if channel < extent.c {
            return Ok(channel);
        }
        Err(Error::value("score", "channel").expected(format!("below {}, of {extent}", extent.c)).got(channel))
    }

    /// The gradient wrt the node's output of the scores of `rows` samples from `first`.
    fn seed(&self, first: usize, rows: usize, extent: Extent) -> Result<Vec<f32>> {
        let mut seed = vec![0.0; rows * extent.len()];
        for (i, row) in seed.chunks_exact_mut(extent.len()).enumerate() {
            let channel = self.channel_of(first + i, extent)?;
            row.iter_mut().skip(channel).step_by(extent.c).for_each(|s| *s = 1.0);
        }
        Ok(seed)
    }

    /// The scores in the last forward pass, whose first sample was number `first`.
    pub(super) fn read(&self, model: &mut Model, node: NodeId, first: usize) -> Result<Vec<f64>> {
        self.read_rows(model, node, |row| first + row)
    }

    /// The scores in a forward pass of copies of one sample.
    pub(super) fn read_copies(&self, model: &mut Model, node: NodeId, sample: usize) -> Result<Vec<f64>> {
        self.read_rows(model, node, |_| sample)
    }

    fn read_rows(&self, model: &mut Model, node: NodeId, sample: impl Fn(usize) -> usize) -> Result<Vec<f64>> {
        let y = model.node(node)?;
        let (extent, rows) = (y.extent(), y.rows());
        let values: Vec<f64> = match y.as_f64() {
            Ok(y) => y.to_vec(),
            Err(_) => y.as_f32()?.iter().map(|v| f64::from(*v)).collect(),
        };
        let sum = |row: usize| -> Result<f64> {
            let channel = self.channel_of(sample(row), extent)?;
            Ok(values[row * extent.len()..(row + 1) * extent.len()].iter().skip(channel).step_by(extent.c).sum())
        };
        (0..rows).map(sum).collect()
    }

    /// Forward, and back from the score.
    pub(super) fn differentiate(&self, model: &mut Model, node: NodeId, first: usize, x: &[View<'_>]) -> Result<()> {
        model.forward(Mode::Eval, x)?;
        let y = model.node(node)?;
        let (extent, rows) = (y.extent(), y.rows());
        let seed = self.seed(first, rows, extent)?;
        model.backward_parameters(Seed::Node(node, View::new(extent, &seed)?), Grads::Skip)
    }
}

/// The scores themselves: logits, for classes.
///
/// # Errors
/// Inputs that do not fit, channels that are not there.
pub fn scores<'a>(model: &mut Model, x: impl Into<Inputs<'a>>, score: &Score) -> Result<Vec<f64>> {
    let x = x.into();
    let x = x.as_slice();
    let at = score.node(model)?;
    model.tapped(&[at.0], at, |model| {
        let mut all = Vec::new();
        for rows in batches(x)? {
            let part = x.iter().map(|v| v.part(rows.clone())).collect::<Result<Vec<_>>>()?;
            model.forward(Mode::Infer, &part[..])?;
            all.extend(score.read(model, at.0, rows.start)?);
        }
        Ok(all)
    })
}

/// Numbers of the inputs of a batch: whole light-cones go one by one, small images by the dozen.
const NUMBERS: usize = 1 << 20;

/// The most samples of a batch.
const ROWS: usize = 64;

/// How many samples of these inputs make a batch.
pub(super) fn batch(x: &[View<'_>]) -> usize {
    let numbers: usize = x.iter().map(|v| v.extent().len()).sum();
    // A power of two: plans are made for those.
    1 << (NUMBERS / numbers.max(1)).clamp(1, ROWS).ilog2()
}

/// The rows of each batch.
///
/// # Errors
/// Inputs of different numbers of rows.
pub(super) fn batches(x: &[View<'_>]) -> Result<Vec<Range<usize>>> {
    let rows = x.first().map_or(0, View::rows);
    if let Some(other) = x.iter().find(|v| v.rows() != rows) {
        return Err(Error::shape("inputs", "different numbers of rows").expected(rows).got(other.rows()));
    }
    let step = batch(x);
    Ok((0..rows).step_by(step).map(|from| from..(from + step).min(rows)).collect())
}
