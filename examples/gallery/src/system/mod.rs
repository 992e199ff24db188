//! The systems, one file each.

mod classical;
mod introspection;
mod random_labels;
mod shapley;

use crate::options::Options;
use kamacite::Result;

/// A program of the gallery.
pub struct System {
    /// What it is called by.
    pub name: &'static str,
    /// What it does, in a line.
    pub what: &'static str,
    /// Epochs of a full and of a smoke run where nothing is said.
    pub epochs: (u64, u64),
    /// Runs it; the last line it prints is `RESULT key=value …`, the same in every run with the same options.
    pub run: fn(&Options) -> Result<()>,
}

/// All of them.
pub const SYSTEMS: &[System] = &[
    System {
        name: "classical",
        what: "A1-A3, F2: k-means, nearest neighbours, support vector machines; what unscaled inputs do to them",
        epochs: (1, 1),
        run: classical::run,
    },
    System {
        name: "introspection",
        what: "HE5-HE8: filters, activations, saliency, SmoothGrad, Grad-CAM, occlusion; a cue that should not be there",
        epochs: (12, 2),
        run: introspection::run,
    },
    System {
        name: "random_labels",
        what: "B10: labels without meaning, a test for leaks",
        epochs: (20, 6),
        run: random_labels::run,
    },
    System {
        name: "shapley",
        what: "F4: Shapley values of a regression, on planted effects",
        epochs: (60, 4),
        run: shapley::run,
    },
];
