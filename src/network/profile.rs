//! Where the time of a step goes: what a profile holds, and its table.

use super::report::{grouped, human};
use crate::{Extent, Mode};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where the time of a step goes, node by node, beside what the machine can do: [`Model::profile`](super::Model::profile).
///
/// `Display` writes it as a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Profile {
    /// What computed.
    pub device: String,
    /// Training, or inference.
    pub mode: Mode,
    /// Samples in the batch.
    pub batch: usize,
    /// How many steps were timed; times are medians.
    pub passes: usize,
    /// Seconds of a step that is timed as a whole: no clock between its parts.
    pub step_seconds: f64,
    /// Floating-point operations per second of multiply-adds on registers, measured just before; none on a GPU.
    pub peak_flops: Option<f64>,
    /// Bytes per second read from memory, measured just before; none on a GPU.
    pub peak_bandwidth: Option<f64>,
    /// Bytes of activations, gradients and scratch: the plan's peak, after sharing.
    pub plan_bytes: usize,
    /// Staging of the batch, the nodes in their order, the losses, the optimizer.
    pub rows: Vec<ProfileRow>,
}

/// One row of a [`Profile`]: a node, or several that run as one; a loss; the optimizer; the staging of the batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfileRow {
    /// The node's name; `conv1 + norm1` where one pass computes both.
    pub name: String,
    /// The kind of the layer, loss or optimizer; `staging`.
    pub kind: String,
    /// The names of the network's nodes that it computes; none for what is not a node.
    pub nodes: Vec<String>,
    /// The output's extent.
    pub extent: Option<Extent>,
    /// Parameters, frozen ones included.
    pub parameters: usize,
    /// Bytes asked for in the plan, before sharing.
    pub bytes: usize,
    /// The code that runs, where the plan knows it: `small` for a small dense layer, the kernels of a GPU.
    pub path: String,
    /// The forward pass; for losses value and gradient, for the optimizer the update.
    pub forward: Phase,
    /// The backward pass, where there is one.
    pub backward: Option<Phase>,
}

/// One direction of a [`ProfileRow`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Phase {
    /// Seconds for the whole batch, the median of all passes.
    pub seconds: f64,
    /// Floating-point operations of dense layers and convolutions, two for each multiply-add; 0 for other layers.
    pub flops: u64,
    /// Bytes that have to be read and written, each operand once.
    pub bytes: u64,
}

impl Phase {
    /// 10⁹ floating-point operations per second.
    pub fn gflops(&self) -> f64 {
        self.rate(self.flops)
    }

    /// 10⁹ bytes per second. More than memory can give is a sign of caches.
    pub fn gbytes(&self) -> f64 {
        self.rate(self.bytes)
    }

    fn rate(&self, n: u64) -> f64 {
        if self.seconds > 0.0 { n as f64 / self.seconds * 1e-9 } else { 0.0 }
    }
}

impl ProfileRow {
    /// Seconds of both directions.
    pub fn seconds(&self) -> f64 {
        self.forward.seconds + self.backward.map_or(0.0, |b| b.seconds)
    }
}

impl Profile {
    /// Seconds of all rows: about [`Profile::step_seconds`].
    pub fn seconds(&self) -> f64 {
        self.rows.iter().map(ProfileRow::seconds).sum()
    }

    /// Which part of all rows' time a row takes.
    pub fn share(&self, row: &ProfileRow) -> f64 {
        row.seconds() / self.seconds()
    }

    /// Which part of what the machine can do is reached: max(FLOPs/peak, bytes/bandwidth)/seconds. Above 1 where operands lie in
    /// caches; `None` without peaks, and for what has neither operations nor bytes.
    pub fn share_of_peak(&self, phase: &Phase) -> Option<f64> {
        let least = (phase.flops as f64 / self.peak_flops?).max(phase.bytes as f64 / self.peak_bandwidth?);
        (least > 0.0 && phase.seconds > 0.0).then(|| least / phase.seconds)
    }

    /// Samples per second of the step that is timed as a whole.
    pub fn samples_per_second(&self) -> f64 {
        self.batch as f64 / self.step_seconds
    }

    /// The four cells of one direction.
    fn cells(&self, phase: Option<&Phase>) -> [String; 4] {
        let Some(phase) = phase else { return Default::default() };
        let rate = |of: u64, rate: f64| if of == 0 { String::new() } else { figures(rate) };
        let peak = self.share_of_peak(phase).map_or(String::new(), |share| format!("{:.0} %", 100.0 * share));
        [figures(phase.seconds * 1e6), rate(phase.flops, phase.gflops()), rate(phase.bytes, phase.gbytes()), peak]
    }
}

/// Three figures, more only before the point.
fn figures(x: f64) -> String {
    let digits = if x >= 99.95 { 0 } else { usize::from(x < 9.995) + 1 };
    format!("{x:.digits$}")
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let train = self.rows.iter().any(|row| row.backward.is_some());
        let direction = |name| [name, "GFLOP/s", "GB/s", "peak"].map(String::from).to_vec();
        let mut head = ["node", "kind", "output", "parameters", "memory"].map(String::from).to_vec();
        head.extend(direction("forward us"));
        head.extend(if train { direction("backward us") } else { Vec::new() });
        head.extend(["step", "runs as"].map(String::from));
        let mut table = vec![head];
        for row in &self.rows {
            let (extent, share) = (row.extent.map_or(String::new(), |e| e.to_string()), 100.0 * self.share(row));
            let parameters = if row.parameters == 0 { String::new() } else { grouped(row.parameters) };
            let mut line = vec![row.name.clone(), row.kind.clone(), extent, parameters, human(row.bytes)];
            line.extend(self.cells(Some(&row.forward)));
            line.extend(if train { self.cells(row.backward.as_ref()).to_vec() } else { Vec::new() });
            line.extend([format!("{share:.1} %"), row.path.clone()]);
            table.push(line);
        }
        let width = |k: usize| table.iter().map(|line| line[k].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..table[0].len()).map(width).collect();
        for line in &table {
            let cell = |(k, text): (usize, &String)| match k {
                // Words to the left, numbers to the right.
                0..=2 => format!("{text:width$}", width = widths[k]),
                _ if k + 1 == line.len() => text.clone(),
                _ => format!("{text:>width$}", width = widths[k]),
            };
            let text: Vec<String> = line.iter().enumerate().map(cell).collect();
            writeln!(f, "{}", text.join("  ").trim_end())?;
        }
        let (all, step, mode) = (1e6 * self.seconds(), 1e6 * self.step_seconds, self.mode);
        writeln!(f, "{mode:?}, batch {}: all rows {} us, a step as a whole {} us", self.batch, figures(all), figures(step))?;
        let (each, rate, memory) = (step / self.batch as f64, self.samples_per_second(), human(self.plan_bytes));
        let medians = format!("medians of {} steps", self.passes);
        writeln!(f, "{} us a sample, {} samples per second; {medians}; {memory} in the plan", figures(each), figures(rate))?;
        write!(f, "on {}", self.device)?;
        match (self.peak_flops, self.peak_bandwidth) {
            (Some(flops), Some(bytes)) => {
                write!(f, "; measured peaks: {} GFLOP/s, {} GB/s read", figures(flops * 1e-9), figures(bytes * 1e-9))
            }
            _ => Ok(()),
        }
    }
}
