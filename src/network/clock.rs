//! How long the parts of a step take on a GPU, recorded and replayed: for `benches/gpu.rs`, which could not record one otherwise.

use super::measure::Run;
use super::{Model, Seed};
use crate::device::{Cuda, Device};
use crate::memory::{Grads, Mode};
use crate::optim::Optimizer;
use crate::{Error, Result};
use std::time::Instant;

impl Model {
    /// Seconds of a forward pass; with an optimizer also of one with losses, with losses and gradients, and of a whole step: the means of
    /// `blocks` blocks, about `seconds` for each of the four. A copy of the model takes the steps, on random numbers.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for the CPU and for steps without a loss; what the device may meet.
    #[doc(hidden)]
    pub fn clock_on_gpu(
        &self,
        batch: usize,
        optimizer: Option<&dyn Optimizer>,
        input_gradient: bool,
        blocks: usize,
        seconds: f64,
    ) -> Result<Vec<Vec<f64>>> {
        let Device::Cuda(cuda) = &self.device else {
            return Err(Error::unsupported("clock_on_gpu", "this device is no GPU").got(&self.device));
        };
        if optimizer.is_some() && self.losses.is_empty() {
            return Err(Error::unsupported("clock_on_gpu", "a step without a loss"));
        }
        let mode = if optimizer.is_some() { Mode::Train } else { Mode::Infer };
        let mut run = Run::new(self, batch, mode, optimizer, input_gradient)?;
        // Kernels are loaded and memory is taken, which cannot be recorded.
        run.step()?;
        let parts = if optimizer.is_some() { 4 } else { 1 };
        (0..parts).map(|last| run.clock(cuda, last, (blocks, seconds))).collect()
    }
}

impl Run<'_> {
    /// Block means of a step up to this part.
    fn clock(&mut self, cuda: &Cuda, last: usize, (blocks, seconds): (usize, f64)) -> Result<Vec<f64>> {
        self.stage()?;
        cuda.synchronize()?;
        let mut graph = cuda.capture(|| self.enqueue(last))?;
        let mut time = |count: usize| -> Result<f64> {
            cuda.synchronize()?;
            let begun = Instant::now();
            (0..count).try_for_each(|_| graph.launch())?;
            cuda.synchronize()?;
            Ok(begun.elapsed().as_secs_f64() / count as f64)
        };
        time(2)?;
        let count = (seconds / blocks as f64 / time(3)?) as usize;
        (0..blocks).map(|_| time(count.max(1))).collect()
    }

    /// Forward, losses, gradients, update; up to this part, without waiting.
    fn enqueue(&mut self, last: usize) -> Result<()> {
        self.model.run_forward()?;
        let Some(optimizer) = self.optimizer else { return Ok(()) };
        if last >= 1 {
            self.model.run_losses(1.0 / self.batch as f64)?;
        }
        if last >= 2 {
            self.model.run_backward(Seed::Loss, Grads::Write)?;
        }
        if last >= 3 {
            self.model.update_parameters(optimizer, 0.0, 1.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::device::testing::gpu;
    use crate::optim::Sgd;
    use crate::{Conv, Dense, Device, Extent, Model, Network, SoftmaxCrossEntropy};

    #[test]
    fn a_step_is_timed_by_parts_and_nothing_changes() {
        let Some(device) = gpu() else { return };
        let mut net = Network::new(Extent::image(6, 6, 1));
        let conv = net.push(Conv::new(2, 3));
        net.push(Dense::new(3));
        let build = |device: &Device, loss: bool| {
            let builder = Model::builder(net.clone()).device(device.clone()).seed(1);
            if loss { builder.loss("output", SoftmaxCrossEntropy, 1.0) } else { builder }.build().expect("a model")
        };
        let mut model = build(&device, true);
        let before = model.array("conv1.weight").expect("weights");
        let rule = Sgd::new(0.1).momentum(0.9);
        for frozen in [false, true] {
            let parts = model.clock_on_gpu(4, Some(&rule), frozen, 3, 0.0).expect("times");
            assert!(parts.len() == 4 && parts.iter().all(|t| t.len() == 3 && t.iter().all(|t| *t > 0.0)), "{parts:?}");
            model.freeze(conv);
        }
        assert_eq!(model.clock_on_gpu(4, None, false, 2, 0.0).expect("times").len(), 1);
        assert_eq!((model.array("conv1.weight").expect("weights"), model.updates()), (before, 0));
        assert!(build(&device, false).clock_on_gpu(4, Some(&rule), false, 1, 0.0).is_err(), "no loss");
        assert!(build(&Device::cpu(), true).clock_on_gpu(4, None, false, 1, 0.0).is_err(), "no GPU");
    }
}
