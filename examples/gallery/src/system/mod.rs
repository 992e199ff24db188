//! The systems, one file each.

mod astronomy_cnn;
mod blends;
mod classical;
mod contrastive;
mod introspection;
mod lenses;
mod lightcones;
mod mnist;
mod photoz;
mod quality;
pub mod quality_watch;
mod random_labels;
mod sdss;
mod shapley;
mod supernovae;
mod templates;
mod transits;
mod uncertain;

pub use transits::folded;

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
        name: "blends",
        what: "BO3: the fluxes of two galaxies that lie over each other",
        epochs: (12, 2),
        run: blends::run,
    },
    System {
        name: "astronomy_cnn",
        what: "B11-B13: AstronomyCNN, what a FITS stamp shows, from files and a list of labels",
        epochs: (20, 2),
        run: astronomy_cnn::run,
    },
    System {
        name: "astronomy_cnn_full",
        what: "the same on fewer stamps of the course's size, 256 pixels a side",
        epochs: (10, 1),
        run: astronomy_cnn::run_full,
    },
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
        name: "lenses",
        what: "BO4: strong gravitational lenses among galaxies with companions",
        epochs: (10, 2),
        run: lenses::run,
    },
    System { name: "mnist_cnn", what: "A5: handwritten digits with convolutions and Adadelta", epochs: (12, 1), run: mnist::cnn },
    System { name: "mnist_mlp", what: "A4: handwritten digits with a perceptron", epochs: (5, 2), run: mnist::mlp },
    System {
        name: "photoz",
        what: "BO6: redshifts of galaxies as densities, from stamps in five bands",
        epochs: (10, 1),
        run: photoz::run,
    },
    System {
        name: "contrastive",
        what: "HE3: views of spectra without labels (NT-Xent), then a hundred labels",
        epochs: (30, 2),
        run: contrastive::run,
    },
    System {
        name: "lightcones",
        what: "HE4: 3D-21cmPIE-Net, six parameters of the early universe out of 21-cm light-cones",
        epochs: (16, 1),
        run: lightcones::run,
    },
    System {
        name: "lightcones_full",
        what: "HE4: one prediction of that network at its published size, its memory and time",
        epochs: (1, 1),
        run: lightcones::run_full,
    },
    System {
        name: "quality",
        what: "B14, B15: good, medium and bad frames; `quality check` and `quality watch` judge files",
        epochs: (12, 2),
        run: quality::run,
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
    System {
        name: "supernovae",
        what: "BO5: types of supernovae from maps of their light curves",
        epochs: (10, 2),
        run: supernovae::run,
    },
    System { name: "transits", what: "planets in light curves, beside box least squares", epochs: (15, 4), run: transits::run },
    System {
        name: "sdss",
        what: "HE1, F1, F3: spectra of stars, galaxies, AGN and quasars; a 1-D network beside template fitting",
        epochs: (60, 2),
        run: sdss::run,
    },
    System {
        name: "uncertain",
        what: "HE2: how sure of its class; Monte-Carlo dropout, weights with distributions, calibration",
        epochs: (30, 2),
        run: uncertain::run,
    },
];
