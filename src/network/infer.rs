//! Inference on a GPU: a forward pass is launched kernel by kernel the first time, recorded the second time and replayed from then on.
//!
//! Nothing of a forward pass changes from call to call but what lies in device memory: inputs, weights, the control block.

use super::Model;
use crate::Result;
use crate::device::{Device, Graph};

/// The most recorded passes: of plans times numbers of rows.
const MOST: usize = 64;

/// A forward pass that came before.
#[derive(Debug)]
pub(super) struct Recorded {
    key: Key,
    graph: Option<Graph>,
}

/// What a recorded pass depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    plan: usize,
    generation: u64,
    rows: usize,
}

impl Model {
    /// The forward pass of the step that has begun; without a backward pass behind it and on a GPU recorded and replayed.
    pub(crate) fn run_inference(&mut self) -> Result<()> {
        let (Some(c), Device::Cuda(cuda)) = (self.current, &self.device) else { return self.run_forward() };
        if self.planned(c.plan).report.mode.differentiable() || cuda.capturing() || !recording() {
            return self.run_forward();
        }
        let cuda = cuda.clone();
        let key = Key { plan: c.plan, generation: self.generation, rows: c.rows };
        self.recorded.retain(|r| r.key.generation == key.generation);
        let Some(i) = self.recorded.iter().position(|r| r.key == key) else {
            // The first time kernels are loaded.
            self.run_forward()?;
            if self.recorded.len() == MOST {
                self.recorded.remove(0);
            }
            self.recorded.push(Recorded { key, graph: None });
            return Ok(());
        };
        if self.recorded[i].graph.is_none() {
            let graph = cuda.capture(|| self.run_forward())?;
            self.recorded[i].graph = Some(graph);
        }
        self.recorded[i].graph.as_mut().map_or(Ok(()), Graph::launch)
    }
}

#[cfg(not(test))]
fn recording() -> bool {
    true
}
#[cfg(test)]
use tests::recording;

#[cfg(test)]
mod tests;
