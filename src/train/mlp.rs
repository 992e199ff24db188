//! Many steps in one launch, where the network is small enough for `kernels/mlp.cu`.

use super::Trainer;
use crate::Result;
use crate::network::STEPS;

impl Trainer {
    /// Up to `most` updates by one kernel, without waiting for them: as many as the epoch has left and a launch can take. 0 where the
    /// general path has to make them.
    pub(super) fn steps_in_one_kernel(&mut self, plan: usize, most: usize) -> Result<usize> {
        let known = self.mlp.take().filter(|(generation, _)| *generation == self.model.generation());
        let (_, mut mlp) = match known {
            Some(known) => known,
            None => (self.model.generation(), self.find_mlp(plan)?),
        };
        #[cfg(test)]
        let most = most.min(limit::get());
        let done = mlp.as_mut().map_or(Ok(0), |mlp| {
            let (from, updates) = (self.state.cursor, self.model.updates);
            let left = (self.train.len() - from).div_ceil(mlp.batch());
            let steps = most.clamp(1, STEPS).min(left);
            let mut rates = [0.0; STEPS];
            for (rate, step) in rates.iter_mut().zip(0..steps as u64) {
                *rate = self.learning_rate_at(updates + step);
            }
            self.model.steps_of_mlp(mlp, from, &rates[..steps])?;
            self.state.cursor = self.train.len().min(from + steps * mlp.batch());
            let last = from + (steps - 1) * mlp.batch();
            self.unseen(steps, self.state.cursor - last);
            Ok(steps)
        });
        // Taking memory for a rule makes a generation of its own.
        self.mlp = Some((self.model.generation(), mlp));
        done
    }

    fn find_mlp(&self, plan: usize) -> Result<Option<Box<crate::network::Mlp>>> {
        if self.rules.accumulate > 1 || self.rules.clip.is_some() {
            return Ok(None);
        }
        match self.train.resident().and_then(super::resident::Resident::columns) {
            Some(data) => self.model.mlp(plan, &*self.optimizer, self.rules.ema.as_ref(), &data),
            None => Ok(None),
        }
    }
}

/// Lets tests bound the steps of a launch.
#[cfg(test)]
mod limit {
    use std::cell::Cell;

    thread_local! {
        static MOST: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    pub fn get() -> usize {
        MOST.get()
    }

    pub fn with<R>(most: usize, f: impl FnOnce() -> R) -> R {
        MOST.set(most);
        let result = f();
        MOST.set(usize::MAX);
        result
    }
}

#[cfg(test)]
mod tests;
