//! Kinds to constructors: how a saved network finds its layers, losses and optimizers again.

use crate::layer::{self, Fields, Layer};
use crate::loss::{self, Loss};
use crate::optim::{self, Optimizer};
use crate::{Error, Result};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;

type Make<T> = fn(&Fields) -> std::result::Result<Arc<T>, serde_json::Error>;

/// The layers, losses and optimizers that a checkpoint may name. Users add theirs to [`Registry::standard`].
#[derive(Clone)]
pub struct Registry {
    layers: BTreeMap<&'static str, Make<dyn Layer>>,
    losses: BTreeMap<&'static str, Make<dyn Loss>>,
    optimizers: BTreeMap<&'static str, Make<dyn Optimizer>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.layers.keys().chain(self.losses.keys()).chain(self.optimizers.keys())).finish()
    }
}

impl Registry {
    /// Nothing but what is added.
    pub const fn empty() -> Self {
        Self { layers: BTreeMap::new(), losses: BTreeMap::new(), optimizers: BTreeMap::new() }
    }

    /// Everything this crate has.
    #[must_use]
    pub fn standard() -> Self {
        Self::empty()
            .with_layer::<layer::Activate>("activate")
            .with_layer::<layer::BayesDense>("bayes_dense")
            .with_layer::<layer::Conv>("conv")
            .with_layer::<layer::ConvTranspose>("conv_transpose")
            .with_layer::<layer::Crop>("crop")
            .with_layer::<layer::Dense>("dense")
            .with_layer::<layer::Dropout>("dropout")
            .with_layer::<layer::Flatten>("flatten")
            .with_layer::<layer::Lrn>("lrn")
            .with_layer::<layer::Merge>("merge")
            .with_layer::<layer::Norm>("norm")
            .with_layer::<layer::Pool>("pool")
            .with_layer::<layer::PRelu>("prelu")
            .with_layer::<layer::Reshape>("reshape")
            .with_layer::<layer::Upsample>("upsample")
            .with_layer::<layer::ZeroPad>("pad")
            .with_loss::<loss::CrossEntropy>("cross_entropy")
            .with_loss::<loss::GaussianNll>("gaussian_nll")
            .with_loss::<loss::Huber>("huber")
            .with_loss::<loss::LogisticBce>("logistic_bce")
            .with_loss::<loss::Mae>("mae")
            .with_loss::<loss::Mse>("mse")
            .with_loss::<loss::NtXent>("nt_xent")
            .with_loss::<loss::SoftmaxCrossEntropy>("softmax_cross_entropy")
            .with_optimizer::<optim::Adadelta>("adadelta")
            .with_optimizer::<optim::Adam>("adam")
            .with_optimizer::<optim::AdamW>("adamw")
            .with_optimizer::<optim::RmsProp>("rmsprop")
            .with_optimizer::<optim::Sgd>("sgd")
    }

    /// Adds a layer type under its [`Layer::kind`].
    #[must_use]
    pub fn with_layer<L: Layer + DeserializeOwned + 'static>(mut self, kind: &'static str) -> Self {
        self.layers.insert(kind, |data| L::deserialize(data).map(|l| Arc::new(l) as Arc<dyn Layer>));
        self
    }

    /// Adds a loss type under its [`Loss::kind`].
    #[must_use]
    pub fn with_loss<L: Loss + DeserializeOwned + 'static>(mut self, kind: &'static str) -> Self {
        self.losses.insert(kind, |data| L::deserialize(data).map(|l| Arc::new(l) as Arc<dyn Loss>));
        self
    }

    /// Adds an optimizer type under its [`Optimizer::kind`].
    #[must_use]
    pub fn with_optimizer<O: Optimizer + DeserializeOwned + 'static>(mut self, kind: &'static str) -> Self {
        self.optimizers.insert(kind, |data| O::deserialize(data).map(|o| Arc::new(o) as Arc<dyn Optimizer>));
        self
    }

    /// A layer from its saved form.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) for an unknown kind or fields that do not fit it.
    pub fn layer(&self, kind: &str, data: &Fields) -> Result<Arc<dyn Layer>> {
        make(&self.layers, "layer", kind, data)
    }

    /// A loss from its saved form.
    ///
    /// # Errors
    /// As [`Registry::layer`].
    pub fn loss(&self, kind: &str, data: &Fields) -> Result<Arc<dyn Loss>> {
        make(&self.losses, "loss", kind, data)
    }

    /// An optimizer from its saved form.
    ///
    /// # Errors
    /// As [`Registry::layer`].
    pub fn optimizer(&self, kind: &str, data: &Fields) -> Result<Arc<dyn Optimizer>> {
        make(&self.optimizers, "optimizer", kind, data)
    }
}

fn make<T: ?Sized>(table: &BTreeMap<&'static str, Make<T>>, what: &str, kind: &str, data: &Fields) -> Result<Arc<T>> {
    let Some(make) = table.get(kind) else {
        let known = table.keys().copied().collect::<Vec<_>>().join(", ");
        let e = Error::format(what, "unknown kind").expected(format!("one of {known}")).got(kind);
        return Err(e.hint("add your own kinds to the Registry"));
    };
    make(data).map_err(|e| Error::format(format!("{what} {kind}"), "fields not understood").got(e))
}
