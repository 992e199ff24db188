//! Kamacite: a low-level neural-network compute framework for astrophysics.
//!
//! Networks are planned once, for a device, a mode and a batch size, and then run without allocating; gradients are written by
//! hand, layer by layer, and open to the user; the same seed gives the same bits for any number of threads.
//!
//! ```
//! use kamacite::data::synth;
//! use kamacite::*;
//!
//! let (train, valid) = synth::digits(600, 1)?.split(500)?;
//! let mut net = Network::new(Extent::image(28, 28, 1));
//! net.push(Conv::new(8, 5).pad(2).act(Relu));
//! net.push(Pool::max(2));
//! net.push(Dense::new(64).act(Relu));
//! net.push(Dropout::new(0.5));
//! net.push(Dense::new(10));
//! let mut t = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(0.02).momentum(0.9))
//!     .batch(32).seed(7).device(Device::auto()).data(train, Some(valid)).build()?;
//! let report = t.fit(3, &mut Silent)?;
//! assert!(report.valid.unwrap().accuracy.unwrap() > 0.5);
//! # Ok::<(), Error>(())
//! ```
//!
//! # A tour
//! [`Network`] describes, [`Trainer`] trains, [`Model`] runs; [`Checkpoint`] saves. Layers are in [`layer`], losses in [`loss`],
//! optimizers and schedules in [`optim`], data sets, readers and generators in [`data`], scores in [`metrics`], what a person sees in
//! [`monitor`], what a network looks at in [`introspect`]. How it is built, and why, is in [`design`].
// Nothing behind a `Cuda` can be reached in builds without GPUs.
#![cfg_attr(not(feature = "cuda"), allow(unreachable_code, unused_variables, dead_code))]

pub mod data;
/// The design, as a chapter.
#[doc = include_str!("../docs/design.md")]
pub mod design {}
pub mod device;
pub mod dtype;
pub mod error;
pub mod gradcheck;
pub mod introspect;
pub mod io;
pub mod kmeans;
pub mod layer;
pub mod loss;
pub mod memory;
pub mod metrics;
pub mod monitor;
pub mod network;
pub mod op;
pub mod optim;
#[cfg(feature = "plot")]
pub mod plot;
pub mod rng;
pub mod shape;
pub mod train;

pub use data::{Dataset, Pick};
pub use device::{Cpu, Cuda, Device, doctor};
pub use dtype::{DType, Math, Precision, Real};
pub use error::{Error, ErrorKind, Result};
pub use io::Checkpoint;
pub use layer::{
    Activate, BayesDense, Conv, ConvTranspose, Crop, Dense, Dropout, Flatten, Lrn, Merge, Norm, PRelu, Pool, Reshape, Upsample,
    ZeroPad,
};
pub use loss::{CrossEntropy, GaussianNll, Huber, LogisticBce, Loss, Mae, Mse, NtXent, SoftmaxCrossEntropy, Target};
pub use memory::{Grads, Mode};
#[cfg(feature = "plot")]
pub use monitor::Plot;
pub use monitor::{CsvLog, JsonLines, Lines, Monitor, Progress, Silent, Tee};
pub use network::{Inputs, Model, Network, NodeId, Profile, Registry, Seed, Targets, View};
pub use op::activation::Activation::{self, *};
pub use optim::{Adadelta, Adam, AdamW, Optimizer, RmsProp, Schedule, Sgd};
pub use rng::Init;
pub use shape::{Axes, Extent, Padding, Sizes, Window};
pub use train::{Evaluation, Report, StopHandle, Trainer};

/// The README's program must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
