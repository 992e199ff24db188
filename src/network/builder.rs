//! Options of a model, and the drawing of its weights.

use super::draft::Draft;
use super::plan::{LossSpec, Setup};
use super::{Model, Network};
use crate::device::Device;
use crate::loss::Loss;
use crate::memory::{Mode, Store};
use crate::{Error, Extent, Math, Precision, Result};
use std::sync::Arc;

/// Options of a [`Model`].
#[derive(Debug)]
pub struct ModelBuilder {
    net: Network,
    device: Option<Device>,
    precision: Precision,
    math: Math,
    samples: usize,
    seed: u64,
    losses: Vec<(String, Arc<dyn Loss>, f64)>,
    spare_biases: bool,
    input_gradients: bool,
}

impl ModelBuilder {
    pub(super) fn new(net: Network) -> Self {
        Self {
            net,
            device: None,
            precision: Precision::default(),
            math: Math::default(),
            samples: 0,
            seed: 0,
            losses: Vec::new(),
            spare_biases: false,
            input_gradients: true,
        }
    }

    /// Where to compute; [`Device::auto`] by default, and the CPU where that cannot compute in the chosen precision.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = Some(device);
        self
    }

    /// What to compute in; f32 by default.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// How sums may be rearranged; [`Math::Exact`] by default. Not part of checkpoints.
    #[must_use]
    pub fn math(mut self, math: Math) -> Self {
        self.math = math;
        self
    }

    /// How many samples the weights are learnt from, against which a prior on them is weighed ([`Step::samples`]); a trainer says so
    /// itself. Not part of checkpoints.
    ///
    /// [`Step::samples`]: crate::memory::Step::samples
    #[must_use]
    pub fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// The seed of initial weights and dropout masks; 0 by default.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Attaches a loss to an output, with its share in the sum.
    #[must_use]
    pub fn loss(self, output: &str, loss: impl Loss + 'static, factor: f64) -> Self {
        self.loss_shared(output, Arc::new(loss), factor)
    }

    pub(crate) fn loss_shared(mut self, output: &str, loss: Arc<dyn Loss>, factor: f64) -> Self {
        self.losses.push((output.to_string(), loss, factor));
        self
    }

    /// Whether backward passes compute gradients wrt the inputs; true by default. Without them the first layer has less to
    /// do, and [`Model::backward_parameters`] takes the place of [`Model::backward`].
    #[must_use]
    pub fn input_gradients(mut self, wanted: bool) -> Self {
        self.input_gradients = wanted;
        self
    }

    /// Spares biases and norms from weight decay.
    #[must_use]
    pub fn spare_biases(mut self) -> Self {
        self.spare_biases = true;
        self
    }

    /// Draws the weights.
    ///
    /// # Errors
    /// Whatever makes the network impossible, at its declared extents.
    pub fn build(self) -> Result<Model> {
        let outputs = self.net.outputs();
        let attach = |(name, loss, factor): (String, Arc<dyn Loss>, f64)| {
            let Some(output) = outputs.iter().position(|(n, _)| *n == name) else {
                let known = outputs.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(", ");
                return Err(Error::plan(format!("loss {}", loss.kind()), "no such output").expected(known).got(name));
            };
            if !factor.is_finite() {
                return Err(Error::value(format!("loss {}", loss.kind()), "factor").expected("a finite number").got(factor));
            }
            Ok(LossSpec { output, loss, factor })
        };
        let losses = self.losses.into_iter().map(attach).collect::<Result<Vec<_>>>()?;
        let device = self
            .device
            .unwrap_or_else(|| Some(Device::auto()).filter(|d| d.supports(self.precision).is_ok()).unwrap_or_else(Device::cpu));
        let mut store = Store::new(&device, self.precision.master());
        store.math = self.math;
        store.samples = self.samples;
        if self.precision == Precision::FP16 {
            // As large as gradients of order 1 allow in f16; halved whenever one overflows.
            store.loss_scale = 65_536.0;
        }
        let extents: Vec<Extent> = self.net.inputs().map(|(_, e)| e).collect();
        let precision = self.precision;
        let setup = Setup {
            device: &device,
            precision,
            mode: Mode::Infer,
            capacity: 1,
            extents: &extents,
            losses: &[],
            input_grad: false,
            kept: &[],
            starts: &[],
        };
        Draft::new(&self.net, setup, &mut store)?;
        store.seal(self.seed)?;
        let mut model = Model {
            net: self.net,
            device,
            precision: self.precision,
            store,
            seed: self.seed,
            forwards: 0,
            updates: 0,
            losses,
            spare_biases: self.spare_biases,
            input_gradients: self.input_gradients,
            kept: Vec::new(),
            starts: Vec::new(),
            plans: Vec::new(),
            generation: 0,
            recorded: Vec::new(),
            told: std::cell::Cell::new(None),
            runs: Vec::new(),
            ranges: Vec::new(),
            current: None,
            copy: Vec::new(),
            scaled: false,
            clipped: false,
        };
        model.find_runs();
        Ok(model)
    }
}
