//! Files of `peers/run.py`: initial weights `p0`, `p1`, … in the order of the layers, a batch or a data set, channels last.

use kamacite::*;
use safetensors::{SafeTensors, tensor::TensorView};
use serde_json::Value;

pub struct File(Vec<u8>);

impl File {
    pub fn open(path: &str) -> Result<Self> {
        let file = Self(std::fs::read(path).map_err(|e| Error::io(path, e))?);
        file.tensors()?;
        Ok(file)
    }

    fn tensors(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.0).map_err(|e| Error::format("--weights", e))
    }

    fn words<T>(&self, name: &str, number: fn([u8; 4]) -> T) -> Result<Vec<T>> {
        let all = self.tensors()?;
        let tensor: TensorView<'_> = all.tensor(name).map_err(|e| Error::format("--weights", e).got(name))?;
        Ok(tensor.data().as_chunks::<4>().0.iter().map(|b| number(*b)).collect())
    }

    pub fn numbers(&self, name: &str) -> Result<Vec<f32>> {
        self.words(name, f32::from_le_bytes)
    }

    /// Sets all parameters: kamacite keeps the file's order of axes.
    pub fn load(&self, model: &mut Model) -> Result<()> {
        let kinds = [".weight", ".bias", ".scale", ".shift"];
        let names: Vec<String> =
            model.arrays().map(|(n, _)| n.to_string()).filter(|n| kinds.iter().any(|k| n.ends_with(k))).collect();
        for (i, name) in names.iter().enumerate() {
            let values: Vec<f64> = self.numbers(&format!("p{i}"))?.into_iter().map(f64::from).collect();
            model.set_array(name, &values)?;
        }
        Ok(())
    }

    /// Inputs and targets whose names begin so.
    pub fn samples(&self, prefix: &str, spec: &Value, [input, output]: [Extent; 2]) -> Result<Samples> {
        let x = self.numbers(&format!("{prefix}x"))?;
        let (mut labels, mut values, name) = (vec![], vec![], format!("{prefix}y"));
        if spec["loss"] == "mse" {
            values = self.numbers(&name)?;
        } else {
            labels = self.words(&name, u32::from_le_bytes)?;
        }
        Ok(Samples { input, output, x, labels, values })
    }
}

/// Samples in memory, channels last: targets are classes, or else values.
pub struct Samples {
    pub input: Extent,
    pub output: Extent,
    pub x: Vec<f32>,
    pub labels: Vec<u32>,
    pub values: Vec<f32>,
}

impl Samples {
    pub fn len(&self) -> usize {
        self.x.len() / self.input.len()
    }

    /// Rows `at` to `at + n`.
    pub fn batch(&self, at: usize, n: usize) -> Result<(View<'_>, Targets<'_>)> {
        let x = View::new(self.input, &self.x[at * self.input.len()..(at + n) * self.input.len()])?;
        let targets = if self.values.is_empty() {
            Targets::Classes(&self.labels[at * self.output.area()..(at + n) * self.output.area()])
        } else {
            View::new(self.output, &self.values[at * self.output.len()..(at + n) * self.output.len()])?.into()
        };
        Ok((x, targets))
    }
}
