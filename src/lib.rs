//! Kamacite: a low-level neural-network compute framework for astrophysics.

pub mod data;
pub mod device;
pub mod dtype;
pub mod error;
pub mod io;
pub mod layer;
pub mod loss;
pub mod memory;
pub mod metrics;
pub mod monitor;
pub mod network;
pub mod op;
pub mod optim;
pub mod rng;
pub mod shape;
pub mod train;

pub use data::{Dataset, Pick};
pub use device::{Cpu, Cuda, Device};
pub use dtype::{DType, Precision, Real};
pub use error::{Error, ErrorKind, Result};
pub use io::Checkpoint;
pub use layer::{
    Activate, Conv, ConvTranspose, Crop, Dense, Dropout, Flatten, Lrn, Merge, Norm, PRelu, Pool, Reshape, Upsample, ZeroPad,
};
pub use loss::{CrossEntropy, GaussianNll, Huber, LogisticBce, Loss, Mae, Mse, SoftmaxCrossEntropy, Target};
pub use memory::{Grads, Mode};
pub use monitor::{Monitor, Silent};
pub use network::{Inputs, Model, Network, NodeId, Registry, Seed, Targets, View};
pub use op::activation::Activation::{self, *};
pub use optim::Optimizer;
pub use rng::Init;
pub use shape::{Axes, Extent, Padding, Sizes, Window};
pub use train::{Evaluation, Report, StopHandle, Trainer};
