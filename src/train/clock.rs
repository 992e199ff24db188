//! What a step costs the host: for `benches/gpu.rs`.

use super::Trainer;
use crate::Result;
use std::time::Instant;

impl Trainer {
    /// Seconds of the host for each of some steps that are put into a GPU's stream; few enough that its queue does not fill.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    #[doc(hidden)]
    pub fn host_seconds(&mut self, steps: usize) -> Result<f64> {
        self.model.device().synchronize()?;
        let begun = Instant::now();
        let mut left = steps;
        while left > 0 {
            left -= self.advance(left)?.0;
        }
        let spent = begun.elapsed().as_secs_f64() / steps as f64;
        self.settle()?;
        Ok(spent)
    }
}

#[cfg(test)]
mod tests {
    use crate::data::{Samples, synth};
    use crate::device::testing::gpu;
    use crate::optim::Sgd;
    use crate::{Dense, Extent, Network, SoftmaxCrossEntropy, Trainer};

    #[test]
    fn steps_are_taken_while_the_host_is_timed() {
        let Some(device) = gpu() else { return };
        let mut net = Network::new(Extent::image(28, 28, 1));
        net.push(Dense::new(10));
        let builder = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(0.1)).batch(4).device(device);
        let data = synth::digits(12, 1).expect("digits");
        let mut t = builder.data(data, None::<Samples>).build().expect("a trainer");
        assert!(t.host_seconds(5).expect("a time") > 0.0);
        assert_eq!((t.model().updates(), t.epoch()), (5, 1));
    }
}
