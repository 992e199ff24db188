//! Samples in memory as a data set.

use super::{Samples, Values};
use crate::data::{Dataset, Pick, Raw, Scaling};
use crate::loss::Target;
use crate::{Extent, Result};

impl Dataset for Samples {
    fn len(&self) -> usize {
        self.n
    }

    fn inputs(&self) -> &[Extent] {
        &self.inputs
    }

    fn targets(&self) -> &[Target] {
        &self.targets
    }

    fn input(&self, pick: Pick, input: usize, x: &mut [f32]) -> Result<()> {
        let values = self.x.get(input);
        let at = self.place(values.map(Values::len), "input", input, pick, x.len())?;
        if let Some(values) = values {
            values.read(at, x);
        }
        Ok(())
    }

    fn raw(&self, input: usize) -> Option<Raw> {
        self.x.get(input)?.raw().cloned()
    }

    fn raw_row(&self, pick: Pick, input: usize, row: &mut [u8]) -> Option<Scaling> {
        self.x.get(input)?.raw_row(pick.index.checked_mul(self.inputs[input].len())?, row)
    }

    fn values(&self, pick: Pick, target: usize, t: &mut [f32]) -> Result<()> {
        t.copy_from_slice(self.row(Self::t(self, target), "target of values", target, pick, t.len())?);
        Ok(())
    }

    fn classes(&self, pick: Pick, target: usize, t: &mut [u32]) -> Result<()> {
        t.copy_from_slice(self.row(self.labels(target), "target of classes", target, pick, t.len())?);
        Ok(())
    }

    fn weight(&self, index: usize) -> f32 {
        self.weights.as_ref().map_or(1.0, |w| w.get(index).copied().unwrap_or(0.0))
    }

    fn varies(&self) -> bool {
        false
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }
}
