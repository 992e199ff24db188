//! Losses on slices, without a step: for networks so small that finding the slices would take longer than the loss.

use super::mse;
use super::softmax_cross_entropy::{Terms, index_rows, value_rows};
use super::sweep::{Batch, find_label, one_short_row};
use crate::device::Cpu;
use crate::{Error, Real, Result};
use std::sync::Arc;

/// A planned loss as plain data, for whole batches on the calling thread.
#[derive(Clone, Debug)]
pub struct Direct(pub(super) Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// The factor of the squares.
    Square(f64),
    Softmax {
        of: Arc<Terms>,
        positions: usize,
    },
}

/// Targets of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Marks<'a, T> {
    Numbers(&'a [T]),
    Labels(&'a [u32]),
}

/// Outputs, weights, and where values and gradients go.
#[derive(Debug)]
pub(crate) struct Sides<'a, T> {
    pub y: &'a [T],
    pub w: &'a [T],
    pub value: &'a mut [T],
    pub dy: &'a mut [T],
    /// Factor on the gradient.
    pub scale: f64,
}

impl Direct {
    /// As the pass: the same bits.
    pub(crate) fn run<T: Real>(&self, cpu: &Cpu, t: Marks<'_, T>, sides: Sides<'_, T>) -> Result<()> {
        let Sides { y, w, value, dy, scale } = sides;
        match (&self.0, t) {
            (Kind::Square(factor), Marks::Numbers(t)) => {
                let mut b = Batch { y, t, dy: Some(dy), w, value, scale };
                if !one_short_row(&mut b, *factor, mse::Square) {
                    mse::rows(cpu, b, *factor);
                }
            }
            (Kind::Softmax { of, .. }, Marks::Numbers(t)) => value_rows(cpu, Batch { y, t, dy: Some(dy), w, value, scale }, of),
            (Kind::Softmax { of, positions }, Marks::Labels(t)) => {
                find_label(t, w, of.c, *positions)?;
                index_rows(cpu, Batch { y, t, dy: Some(dy), w, value, scale }, of);
            }
            (Kind::Square(_), Marks::Labels(_)) => return Err(Error::order("mse", "planned for another kind of target")),
        }
        Ok(())
    }
}
