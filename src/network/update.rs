//! What follows the backward pass: clipping, the optimizer, the moving average.

use super::Model;
use super::model::{MAX_WORDS, RunSpec};
use crate::device::control::{StepParams, StepState};
use crate::memory::{Grads, Mode, Slot, Space};
use crate::optim::{Clip, Ema, Optimizer, Run};
use crate::{Error, Result};

impl Model {
    /// Bounds the gradients; returns the factor to hand to [`Model::step_at`] as `grad_scale`.
    ///
    /// On a GPU the factor stays there for the next update, and 1 comes back.
    ///
    /// # Errors
    /// [`ErrorKind::Diverged`](crate::ErrorKind::Diverged) for a gradient whose norm is NaN or infinite; in FP16, where the loss
    /// scale takes the blame at first, the next update is left out instead.
    pub fn clip(&mut self, clip: &Clip) -> Result<f64> {
        let factor = self.bound_gradients(clip)?;
        if self.clipped {
            let kept = self.step_state()?;
            if kept.diverged != 0 {
                self.set_step_state(StepState { diverged: 0, ..kept })?;
                return Err(Error::diverged("clip", "the norm of the gradients is not finite"));
            }
        }
        Ok(factor)
    }

    /// As [`Model::clip`], but on a GPU without waiting: a norm that is not finite makes this and all later updates no-ops, as a
    /// loss that is not finite does.
    pub(crate) fn bound_gradients(&mut self, clip: &Clip) -> Result<f64> {
        let s = self.step_view(&self.store.words, 0, Mode::Train, Grads::Skip, self.forwards);
        let factor = clip.apply(&s, self.store.flat(Space::Grad), &self.ranges, self.scaled)?;
        self.clipped = self.device.is_cuda() && matches!(clip, Clip::Norm(_));
        Ok(factor)
    }

    /// Updates the parameters from their gradients, at the optimizer's own learning rate.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for hyper-parameters outside their domain.
    pub fn step(&mut self, optimizer: &dyn Optimizer) -> Result<()> {
        self.step_at(optimizer, optimizer.learning_rate(), 1.0)
    }

    /// As [`Model::step`], at another learning rate and with gradients multiplied by `grad_scale`.
    ///
    /// # Errors
    /// As [`Model::step`].
    pub fn step_at(&mut self, optimizer: &dyn Optimizer, learning_rate: f64, grad_scale: f64) -> Result<()> {
        self.set_step(StepParams { forward: self.forward_key(), update: self.updates, cursor: 0, learning_rate })?;
        self.check_overflow()?;
        self.update_parameters(optimizer, learning_rate, grad_scale * self.unscaled()?)?;
        self.adapt_loss_scale()?;
        self.updates += 1;
        Ok(())
    }

    /// The update alone; whether it wrote the copies of parameters too. A GPU takes the learning rate and the number of the step from
    /// its control block.
    pub(crate) fn update_parameters(&mut self, optimizer: &dyn Optimizer, learning_rate: f64, grad_scale: f64) -> Result<bool> {
        if optimizer.words() > MAX_WORDS {
            let e = Error::unsupported(optimizer.kind(), "words of state");
            return Err(e.expected(format!("at most {MAX_WORDS}")).got(optimizer.words()));
        }
        if self.store.reserve_words(optimizer.words())? {
            // A recorded step holds the addresses of the old words.
            self.generation += 1;
        }
        let words: [Slot; MAX_WORDS] = std::array::from_fn(|i| Slot { space: Space::Word, index: i as u32 });
        let words = &words[..optimizer.words()];
        let s = self.step_view(&self.store.words, 0, Mode::Train, Grads::Skip, self.forwards);
        let mut wrote = true;
        for run in &self.runs {
            self.store.copies.begin_update(run.range.start);
            optimizer.update(&s, &self.run(run, learning_rate, grad_scale, words))?;
            wrote &= self.store.copies.wrote(run.range.end);
        }
        self.clipped = false;
        self.store.copies.updated(&self.store.weights, wrote);
        Ok(wrote)
    }

    /// What a rule is told of a run of parameters.
    #[inline]
    pub(super) fn run<'a>(&self, of: &RunSpec, learning_rate: f64, grad_scale: f64, words: &'a [Slot]) -> Run<'a> {
        let RunSpec { range, lr_scale, decay } = of.clone();
        let (w, dw) = (self.store.flat(Space::Weight), self.store.flat(Space::Grad));
        let (clipped, step) = (self.clipped, self.updates);
        Run { w, dw, words, range, learning_rate: learning_rate * lr_scale, lr_scale, grad_scale, clipped, decay, step }
    }

    /// Moves the average of the weights towards them, after an update; begins it when there is none.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn average(&mut self, ema: &Ema) -> Result<()> {
        let update = self.updates.saturating_sub(1);
        self.set_step(StepParams { forward: self.forward_key(), update, ..StepParams::default() })?;
        self.move_average(ema)
    }

    /// The key of the random numbers of the last forward pass: its backward pass may still come.
    fn forward_key(&self) -> u64 {
        self.current.map_or(self.forwards, |c| c.forward)
    }

    /// The average alone. A GPU takes the number of the update from its control block.
    pub(crate) fn move_average(&mut self, ema: &Ema) -> Result<()> {
        self.store.reserve_average()?;
        let (average, w) = (Slot { space: Space::Average, index: 0 }, self.store.flat(Space::Weight));
        let s = self.step_view(&self.store.average, 0, Mode::Train, Grads::Skip, self.forwards);
        ema.update(&s, average, w, &(0..self.store.flat_len()), self.updates.saturating_sub(1))
    }

    /// Exchanges the weights and their moving average: to evaluate with the average, and back.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) without [`Model::average`].
    pub fn swap_average(&mut self) -> Result<()> {
        if self.store.average.regions.is_empty() {
            return Err(Error::order("model", "no moving average").hint("call Model::average after each step"));
        }
        self.store.swap_average()
    }
}
