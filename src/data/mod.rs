//! Data sets: in memory, by a trait, split, normalised, augmented, loaded from files, generated.
//!
//! [`Samples`] holds plain arrays; [`Subset`], [`Balanced`], [`Normalized`] and [`Augmented`] are views over any [`Dataset`].
//! [`Files`] reads samples out of folders as they are needed, [`Prepare`] makes of each what the network sees, [`Shards`] are such
//! sets packed into a few large files; a trainer reads ahead what [waits](Dataset::waits) for a disk. [`mosaic`] predicts images
//! larger than a network.
//!
//! Readers: [`TableReader`] (text tables), [`points`], [`idx`], [`npy`], [`raw`], [`cifar`] and, with the feature, `fits`. Every
//! reader has a form for a path and one for bytes, checks sizes against the length of the file before it asks for memory, and never
//! panics.

pub mod array;
pub mod augment;
pub mod cifar;
pub mod classes;
mod file;
pub mod files;
#[cfg(feature = "fits")]
pub mod fits;
pub mod idx;
pub mod layout;
pub mod memory;
pub mod missing;
pub mod mosaic;
pub mod normalize;
pub mod npy;
#[cfg(feature = "npz")]
pub mod npz;
mod number;
pub mod points;
pub mod prepare;
pub mod raw;
pub mod shards;
mod skip;
pub mod split;
pub mod stored;
pub mod synth;
pub mod table;
pub mod view;
mod views;
mod warp;

pub use array::{Array, Kind};
pub use augment::{Augment, Augmented};
pub use files::Files;
pub use layout::Layout;
pub use memory::Samples;
pub use missing::Missing;
pub use normalize::{Normalized, Normalizer, Rule, Scope};
pub use prepare::Prepare;
pub use shards::Shards;
pub use skip::OnBad;
pub use stored::{Raw, Scaling};
pub use table::{Column, TableReader};
pub use view::{Balanced, Subset};
pub use views::TwoViews;
pub use warp::Border;

use crate::loss::Target;
use crate::{Extent, Result};

/// Which sample, and in which epoch of which run: what an augmentation is keyed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Index of the sample, below [`Dataset::len`].
    pub index: usize,
    /// Passes over the data before this one; 0 outside of training.
    pub epoch: u64,
    /// The seed of the run.
    pub seed: u64,
}

/// A set of samples, each with one value per network input and one target per loss.
///
/// Reading is called from several threads at once and must not depend on their order.
pub trait Dataset: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The extents of the inputs, in the order of the network's inputs.
    fn inputs(&self) -> &[Extent];

    /// The targets, in the order of the network's losses. None at all do for prediction, and for losses that take none.
    fn targets(&self) -> &[Target];

    /// Writes input `input` of a sample.
    ///
    /// # Errors
    /// Whatever reading the sample may meet.
    fn input(&self, pick: Pick, input: usize, x: &mut [f32]) -> Result<()>;

    /// Writes target `target` of a sample where it is [`Target::Values`].
    ///
    /// # Errors
    /// Whatever reading the sample may meet.
    fn values(&self, pick: Pick, target: usize, t: &mut [f32]) -> Result<()>;

    /// Writes target `target` of a sample where it is [`Target::Index`].
    ///
    /// # Errors
    /// Whatever reading the sample may meet.
    fn classes(&self, pick: Pick, target: usize, t: &mut [u32]) -> Result<()>;

    /// The weight of a sample in the loss; 1 for most sets.
    fn weight(&self, index: usize) -> f32;

    /// Whether a sample may read otherwise in another epoch or under another seed, as augmented ones do. A set that never does may
    /// be sent to a GPU once and for all.
    fn varies(&self) -> bool {
        true
    }

    /// Whether reading waits for something slower than memory, a disk. A trainer then reads batches ahead of time, on threads of its own, and
    /// holds no such set in the memory of a GPU.
    fn waits(&self) -> bool {
        false
    }

    /// Whether this sample could not be read and counts for nothing; asked after [`Dataset::input`], which then has written zeros.
    fn is_skipped(&self, _: Pick) -> bool {
        false
    }

    /// What could not be read so far: for each file that was left out a sentence that names it and says why.
    fn skipped(&self) -> Vec<String> {
        Vec::new()
    }

    /// The names of the classes; none, or as many as there are.
    fn class_names(&self) -> &[String] {
        &[]
    }

    /// How the rows of an input lie in their source, where [`Raw`] can say all that becomes of them. A GPU then gets them as they are, and makes
    /// of them what [`Dataset::input`] writes, bit for bit.
    fn raw(&self, _input: usize) -> Option<Raw> {
        None
    }

    /// Writes a row of an input as [`Dataset::raw`] says, [`Raw::bytes`] of them; `None` for one that lies otherwise, or cannot be read:
    /// the set is then asked for its numbers.
    fn raw_row(&self, _pick: Pick, _input: usize, _row: &mut [u8]) -> Option<Scaling> {
        None
    }

    /// This set as a view that augments another one, which a GPU may do itself.
    fn as_augmented(&self) -> Option<&Augmented> {
        None
    }

    /// This set as a view that normalises another one, which a GPU may do itself.
    fn as_normalized(&self) -> Option<&Normalized> {
        None
    }
}
