//! One plain line per epoch: for terminals, pipes and batch jobs.

use super::{Batch, Control, End, Epoch, Monitor, Start};
use crate::{Error, Result};
use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};

/// Classes up to which the table of a confusion matrix fits on a page.
const TABLE: usize = 20;

/// Files left out in one epoch that are told one by one.
const MOST_TOLD: usize = 10;

/// The share of the time that steps may wait for data without a word.
const QUICK: f64 = 0.02;

/// Writes one line per epoch, and the confusion matrix at the end.
///
/// # Examples
/// ```no_run
/// use kamacite::monitor::Lines;
/// let to_the_terminal = Lines::default();
/// let to_a_file = Lines::to(std::fs::File::create("training.log")?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Lines {
    out: Box<dyn Write>,
    /// The files left out that were told of.
    told: HashSet<String>,
}

impl Lines {
    /// Writes to `out`, and flushes it after each epoch.
    pub fn to(out: impl Write + 'static) -> Self {
        Self { out: Box::new(out), told: HashSet::new() }
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(|e| Error::io("progress output", e))
    }
}

/// On standard output.
impl Default for Lines {
    fn default() -> Self {
        Self::to(io::stdout())
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

impl Monitor for Lines {
    fn start(&mut self, start: &Start<'_>) -> Result<()> {
        let Start { epoch, epochs, samples, batch, device, .. } = start;
        let resumed = if *epoch > 0 { format!(", resumed after {epoch}") } else { String::new() };
        self.write(&format!("training on {device}: {samples} samples in batches of {batch}, {epochs} epochs{resumed}\n"))
    }

    fn batch(&mut self, _: &Batch) -> Result<()> {
        Ok(())
    }

    fn epoch(&mut self, epoch: &Epoch<'_>) -> Result<Control> {
        let mut text = line(epoch);
        let new: Vec<&String> = epoch.skipped.iter().filter(|reason| !self.told.contains(*reason)).collect();
        new.iter().take(MOST_TOLD).for_each(|reason| text += &format!("  left out: {reason}\n"));
        if new.len() > MOST_TOLD {
            text += &format!("  left out: {} more\n", new.len() - MOST_TOLD);
        }
        self.told.extend(epoch.skipped.iter().cloned());
        self.write(&text)?;
        Ok(Control::Continue)
    }

    fn end(&mut self, end: &End<'_>) -> Result<()> {
        let mut text = String::new();
        if let Some(table) = end.evaluation.and_then(|e| e.confusion.as_ref()).filter(|c| c.classes() <= TABLE) {
            text += &table.to_string();
        }
        let verb = if end.stopped { "stopped" } else { "finished" };
        text += &format!("{verb} after {} epochs, {}", end.history.len(), duration(end.seconds));
        if let Some(path) = end.checkpoint {
            text += &format!("; checkpoint {}", path.display());
        }
        self.write(&(text + "\n"))
    }
}

/// `epoch  3/20  loss 0.1234  valid 0.1456  accuracy 95.20%  lr 0.004  61.2k samples/s  1.3 s  best`
fn line(epoch: &Epoch<'_>) -> String {
    let Epoch { record, epochs, evaluation, best, rate, seconds, waited, .. } = epoch;
    let width = epochs.to_string().len();
    let mut text = format!("epoch {:>width$}/{epochs}  loss {}", record.epoch, number(record.loss));
    if let Some(loss) = record.valid_loss {
        text += &format!("  valid {}", number(loss));
    }
    if let Some(e) = evaluation {
        e.accuracy.iter().for_each(|a| text += &format!("  accuracy {:.2}%", 100.0 * a));
        e.rmse.iter().for_each(|r| text += &format!("  rmse {}", number(*r)));
        e.r2.iter().for_each(|r| text += &format!("  r2 {}", number(*r)));
    }
    text += &format!("  lr {}  {} samples/s  {}", number(record.learning_rate), count(*rate), duration(*seconds));
    if *waited > QUICK * seconds {
        text += &format!("  waited {:.0}%", 100.0 * waited / seconds);
    }
    text + if *best { "  best\n" } else { "\n" }
}

/// Four significant digits.
pub(super) fn number(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 || !x.is_finite() {
        return x.to_string();
    }
    if !(1e-3..1e5).contains(&size) {
        return format!("{x:.3e}");
    }
    let digits = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
    format!("{x:.digits$}")
}

/// Three significant digits and a letter.
pub(super) fn count(x: f64) -> String {
    match x {
        x if x >= 1e9 => format!("{:.2}G", x / 1e9),
        x if x >= 1e6 => format!("{:.2}M", x / 1e6),
        x if x >= 1e4 => format!("{:.1}k", x / 1e3),
        x => format!("{x:.0}"),
    }
}

/// `0.012 s`, `12.3 s`, `4m05s`, `3h02m`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        s if s < 1.0 => format!("{s:.3} s"),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Shared, evaluation, run};
    use super::*;

    #[test]
    fn a_run_in_lines() -> Result<()> {
        let out = Shared::default();
        run(&mut Lines::to(out.clone()), 0, 2)?;
        let text = out.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("100 samples in batches of 10, 2 epochs"), "{text}");
        let second = "epoch 2/2  loss 0.5000  valid 0.6000  accuracy 75.00%  lr 0.01000  1000 samples/s  0.100 s  best";
        assert_eq!(lines[2], second);
        assert_eq!(lines[3..8].join("\n") + "\n", evaluation().confusion.map_or(String::new(), |c| c.to_string()));
        assert_eq!(lines[8], "finished after 2 epochs, 1m03s; checkpoint run.safetensors");
        Ok(())
    }

    #[test]
    fn numbers_are_short() {
        let all = [0.123_456, 12.345_6, 1234.567, 99_999.6, 1e5, 9.9999e-4, -0.5, 0.0, f64::NAN, f64::INFINITY].map(number);
        assert_eq!(all, ["0.1235", "12.35", "1235", "100000", "1.000e5", "1.000e-3", "-0.5000", "0", "NaN", "inf"]);
        assert_eq!([5.4, 12_345.0, 1.5e6, 2e9].map(count), ["5", "12.3k", "1.50M", "2.00G"]);
        assert_eq!(
            [0.0123, 59.94, 60.0, 3599.0, 3600.0, 90_000.0].map(duration),
            ["0.012 s", "59.9 s", "1m00s", "59m59s", "1h00m", "25h00m"]
        );
    }

    #[test]
    fn a_failed_write_is_reported() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(run(&mut Lines::to(Full), 0, 1).map_err(|e| e.kind()), Err(crate::ErrorKind::Io));
    }
}
