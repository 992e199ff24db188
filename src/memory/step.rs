//! What a pass sees of the machine during one step.

use super::{Arena, Element, Fetched, Read, Slot, Space, Store, Total, Write};
use crate::device::{Device, Ptr};
use crate::rng::{Draws, Purpose};
use crate::{DType, Result};
use serde::{Deserialize, Serialize};

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Training: dropout active, batch statistics, a backward pass follows.
    Train,
    /// Evaluation with gradients: dropout off, running statistics, a backward pass may follow.
    Eval,
    /// Inference: as `Eval`, without a backward pass and without the memory for one.
    Infer,
    /// Monte-Carlo inference: dropout active, running statistics, no backward pass.
    MonteCarlo,
}

impl Mode {
    /// Whether a backward pass can follow.
    pub const fn differentiable(self) -> bool {
        matches!(self, Self::Train | Self::Eval)
    }

    /// Whether dropout draws masks.
    pub const fn drops(self) -> bool {
        matches!(self, Self::Train | Self::MonteCarlo)
    }
}

/// How a gradient reaches its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradMode {
    /// Overwrite: the first writer.
    Write,
    /// Add to what is there.
    Add,
}

/// What a backward pass does with the gradients of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grads {
    /// Overwrite them.
    Write,
    /// Add to them: gradient accumulation, several losses.
    Add,
    /// Leave them alone: saliency maps, the generator's pass through a discriminator.
    Skip,
}

impl Grads {
    /// How they are written; `None` where they are not.
    #[inline]
    pub(crate) fn mode(self) -> Option<GradMode> {
        match self {
            Self::Write => Some(GradMode::Write),
            Self::Add => Some(GradMode::Add),
            Self::Skip => None,
        }
    }
}

/// The slots of one node in one plan.
#[derive(Clone, Copy, Debug)]
pub struct Io<'a> {
    /// Inputs, in the order of the node's arguments.
    pub x: &'a [Slot],
    /// Output. The same slot as `x[0]` when a layer planned as `InPlace` or `View` was granted it.
    pub y: Slot,
    /// Gradient wrt the output. The pass may overwrite it: nobody reads it afterwards.
    pub dy: Slot,
    /// Gradients wrt the inputs; `None` where nobody wants one. May be the same slot as `dy` where `y` was `x[0]`.
    pub dx: &'a [Option<(Slot, GradMode)>],
}

/// One step of one plan: the device, the number of valid rows, and the memory behind slots.
#[derive(Debug)]
#[allow(clippy::len_without_is_empty)]
pub struct Step<'m> {
    pub(crate) device: &'m Device,
    pub(crate) store: &'m Store,
    pub(crate) local: &'m Arena,
    pub(crate) dtype: DType,
    pub(crate) master: DType,
    pub(crate) rows: usize,
    pub(crate) mode: Mode,
    pub(crate) grads: Grads,
    pub(crate) seed: u64,
    pub(crate) forward: u64,
    pub(crate) penalty: f64,
}

impl Step<'_> {
    /// The device to compute on.
    #[inline]
    pub fn device(&self) -> &Device {
        self.device
    }

    /// Valid rows of the batch: at most the plan's capacity. Slots planned per row are cut to it.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What the pass is for.
    #[inline]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The type of activations and their gradients; on the CPU of everything: `real!(s.dtype(), T => ..)` names it.
    #[inline]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The type of parameters, their gradients, statistics, targets and losses: f32 where activations are narrower.
    #[inline]
    pub fn master(&self) -> DType {
        self.master
    }

    /// Random numbers that are the same in the backward pass of this step, on every device and for every number of
    /// threads: keyed by the model's seed, the layer's key ([`Planner::key`](super::Planner::key)) and the count of forward passes.
    #[inline]
    pub fn draws(&self, purpose: Purpose, key: u64) -> Draws {
        Draws::new(self.seed ^ key, purpose, self.forward)
    }

    /// The key of [`Step::draws`] for kernels, which take the count of forward passes from `Control`.
    #[inline]
    pub fn draw_key(&self, purpose: Purpose, key: u64) -> u64 {
        Draws::key(self.seed ^ key, purpose)
    }

    /// In a backward pass that began at the losses: what the gradients of a layer's own penalty are multiplied by, the share of this
    /// batch in the update. On a GPU the loss scale of `Control` comes on top. 0 where the pass began at gradients of the user's own.
    #[inline]
    pub fn penalty(&self) -> f64 {
        self.penalty
    }

    /// How many samples the weights are learnt from: those of the trainer's data set or of
    /// [`ModelBuilder::samples`](crate::network::ModelBuilder::samples); of this batch where neither has said.
    #[inline]
    pub fn samples(&self) -> usize {
        if self.store.samples > 0 { self.store.samples } else { self.rows }
    }

    /// Borrows a slot for reading; batch slots are cut to the valid rows.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) if the slot is being written, or holds another type.
    #[inline]
    pub fn read<T: Element>(&self, slot: Slot) -> Result<Read<'_, T>> {
        self.arena(slot).read(slot.index as usize, self.rows)
    }

    /// Borrows a slot for writing.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) if the slot is borrowed, or holds another type.
    #[inline]
    pub fn write<T: Element>(&self, slot: Slot) -> Result<Write<'_, T>> {
        self.arena(slot).write(slot.index as usize, self.rows)
    }

    /// The address of a slot in device memory, for the argument of a kernel. Only the first [`Step::rows`] rows are valid.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) for a slot of another plan, or on the CPU.
    #[inline]
    pub fn ptr(&self, slot: Slot) -> Result<Ptr> {
        self.arena(slot).ptr(slot.index as usize)
    }

    /// Elements of a slot within the valid rows.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) for a slot of another plan.
    pub fn len(&self, slot: Slot) -> Result<usize> {
        self.arena(slot).len(slot.index as usize, self.rows)
    }

    /// The address of the `Control` block (`prelude.cuh`): what changes from step to step, for kernels to read.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) on the CPU.
    #[inline]
    pub fn control(&self) -> Result<Ptr> {
        self.store.control.ptr(0)
    }

    /// What a loss on a GPU is to add to the sum of the step, from whoever says here that it does so.
    pub(crate) fn take_total(&self) -> Option<Total> {
        self.store.total.take()
    }

    /// Where the norm of gradients is summed up on a GPU.
    pub(crate) fn norm_words(&self) -> Result<Ptr> {
        self.store.norm.ptr(0)
    }

    /// Hands the elements of a slot to `f`, wherever they lie; on a GPU it waits for the device.
    #[inline]
    pub(crate) fn host_read<T: Element, R>(&self, slot: Slot, f: impl FnOnce(&[T]) -> R) -> Result<R> {
        self.arena(slot).host_read(slot.index as usize, self.rows, f)
    }

    /// Slots of this plan with numbers, as they are at this place of the step; nothing waits for a GPU.
    pub(crate) fn fetch(&self, slots: &[Slot]) -> Result<Fetched> {
        let indices: Vec<usize> = slots.iter().map(|slot| slot.index as usize).collect();
        match slots.iter().all(|slot| slot.space == Space::Local) {
            true => self.local.fetch(&indices, self.rows),
            false => Err(crate::Error::order("results", "slots of no plan")),
        }
    }

    /// Lets `f` write all elements of a slot, wherever they lie.
    #[inline]
    pub(crate) fn host_write<T: Element>(&self, slot: Slot, f: impl FnOnce(&mut [T]) -> Result<()>) -> Result<()> {
        self.arena(slot).host_write(slot.index as usize, self.rows, f)
    }

    /// Changes with everything that may have changed a parameter.
    #[inline]
    pub(crate) fn weight_changes(&self) -> u64 {
        self.store.weights.changes()
    }

    /// How to write the gradient of a parameter in this step; `None` when it is frozen or not wanted.
    #[inline]
    pub fn grad(&self, dw: Option<Slot>) -> Option<(Slot, GradMode)> {
        Some((dw?, self.grads.mode()?))
    }

    #[inline]
    fn arena(&self, slot: Slot) -> &Arena {
        match slot.space {
            Space::Local => self.local,
            Space::Weight => &self.store.weights,
            Space::Grad => &self.store.grads,
            Space::State => &self.store.state,
            Space::Word => &self.store.words,
            Space::Average => &self.store.average,
            Space::Copy => &self.store.copies.arena,
        }
    }
}
