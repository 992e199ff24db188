//! A bar on a terminal; plain lines elsewhere.

use super::lines::{count, duration, number};
use super::{Batch, Control, End, Epoch, Lines, Monitor, Start};
use crate::{Error, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// Time between two looks of the bar; a step in between costs one look at the clock.
const PERIOD: Duration = Duration::from_millis(100);

/// A bar for the present epoch with its loss, throughput and the time that is left for all epochs, above it the lines of
/// [`Lines`]. The bar is on standard error, and absent where that is no terminal. Colours are left out where the
/// environment sets `NO_COLOR`.
#[derive(Debug, Default)]
pub struct Progress {
    lines: Lines,
    bar: Option<Bar>,
}

#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
    clock: Clock,
}

/// Rates and the remaining time.
#[derive(Debug)]
struct Clock {
    begun: Instant,
    shown: Option<Instant>,
    epoch: u64,
    epochs: u64,
    samples: usize,
    /// Samples of the run that were done when it began, and when the present epoch was first seen.
    at_start: Option<u64>,
    epoch_begun: (Instant, u64),
}

impl Clock {
    fn new(start: &Start<'_>, now: Instant) -> Self {
        let (epoch, epochs, samples) = (start.epoch, start.epochs, start.samples);
        Self { begun: now, shown: None, epoch, epochs, samples, at_start: None, epoch_begun: (now, 0) }
    }

    /// Whether it is time to look; allocates nothing.
    fn due(&mut self, batch: &Batch, now: Instant) -> bool {
        let done = batch.epoch * self.samples as u64 + batch.done as u64;
        if self.at_start.is_none() || batch.epoch != self.epoch {
            self.at_start.get_or_insert(done);
            (self.epoch, self.epoch_begun) = (batch.epoch, (now, done));
        }
        let due = self.shown.is_none_or(|shown| now.duration_since(shown) >= PERIOD);
        if due {
            self.shown = Some(now);
        }
        due
    }

    /// `loss 0.1234  61.2k samples/s  4m05s left`
    fn message(&self, batch: &Batch, now: Instant) -> String {
        let done = batch.epoch * self.samples as u64 + batch.done as u64;
        let rate = |since: Instant, from: u64| (done - from) as f64 / now.duration_since(since).as_secs_f64().max(1e-9);
        let mut text = format!("loss {}", number(batch.loss));
        if done > self.epoch_begun.1 {
            text += &format!("  {} samples/s", count(rate(self.epoch_begun.0, self.epoch_begun.1)));
        }
        // Over the whole run, so that the time for validation counts.
        if let Some(first) = self.at_start.filter(|first| done > *first) {
            let left = (self.epochs * self.samples as u64).saturating_sub(done) as f64 / rate(self.begun, first);
            text += &format!("  {} left", duration(left));
        }
        text
    }
}

impl Monitor for Progress {
    fn start(&mut self, start: &Start<'_>) -> Result<()> {
        self.lines.start(start)?;
        if stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(start.samples as u64), ProgressDrawTarget::stderr());
            bar.set_style(style(std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()))?);
            self.bar = Some(Bar { bar, clock: Clock::new(start, Instant::now()) });
        }
        Ok(())
    }

    fn batch(&mut self, batch: &Batch) -> Result<()> {
        if let Some(Bar { bar, clock }) = &mut self.bar {
            let now = Instant::now();
            if clock.due(batch, now) {
                bar.set_prefix(format!("epoch {}/{}", batch.epoch + 1, clock.epochs));
                bar.set_message(clock.message(batch, now));
                bar.set_position(batch.done as u64);
            }
        }
        Ok(())
    }

    fn epoch(&mut self, epoch: &Epoch<'_>) -> Result<Control> {
        match &self.bar {
            Some(Bar { bar, .. }) => bar.suspend(|| self.lines.epoch(epoch)),
            None => self.lines.epoch(epoch),
        }
    }

    fn end(&mut self, end: &End<'_>) -> Result<()> {
        if let Some(Bar { bar, .. }) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.lines.end(end)
    }
}

/// A run that ends in an error leaves no bar behind the message.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(Bar { bar, .. }) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(colour: bool) -> Result<ProgressStyle> {
    let template = if colour { "{prefix} {bar:30.cyan/blue} {msg}" } else { "{prefix} {bar:30} {msg}" };
    ProgressStyle::with_template(template).map_err(|e| Error::unsupported("progress bar", e))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Shared, run};
    use super::*;
    use crate::Device;

    /// The bar is drawn nowhere, but all its calls are made.
    #[test]
    fn lines_are_those_of_lines() -> Result<()> {
        let (plain, below) = (Shared::default(), Shared::default());
        run(&mut Lines::to(plain.clone()), 1, 4)?;
        let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::hidden());
        bar.set_style(style(true)?);
        style(false)?;
        let device = Device::cpu_threads(1)?;
        let start = Start { epoch: 1, epochs: 4, steps_per_epoch: 10, samples: 100, batch: 10, device: &device, history: &[] };
        let clock = Clock::new(&start, Instant::now());
        let mut progress = Progress { lines: Lines::to(below.clone()), bar: Some(Bar { bar, clock }) };
        run(&mut progress, 1, 4)?;
        assert_eq!(plain.text(), below.text());
        Ok(())
    }

    #[test]
    fn looks_at_most_ten_times_a_second_and_knows_the_time_left() -> Result<()> {
        let device = Device::cpu_threads(1)?;
        let start = Start { epoch: 2, epochs: 4, steps_per_epoch: 10, samples: 100, batch: 10, device: &device, history: &[] };
        let begun = Instant::now();
        let mut clock = Clock::new(&start, begun);
        let batch = |epoch, done| Batch { epoch, done, samples: 100, step: 0, loss: 0.5, learning_rate: 0.1 };
        let after = |ms| begun + Duration::from_millis(ms);
        // The first batch of a resumed run ends at sample 40 of its epoch.
        assert!(clock.due(&batch(2, 40), after(1000)));
        assert_eq!(clock.message(&batch(2, 40), after(1000)), "loss 0.5000");
        assert!(!clock.due(&batch(2, 50), after(1050)) && !clock.due(&batch(2, 60), after(1099)));
        assert!(clock.due(&batch(2, 100), after(1600)));
        // 60 samples in 0.6 s; the run did 60 in 1.6 s and has 100 to go.
        assert_eq!(clock.message(&batch(2, 100), after(1600)), "loss 0.5000  100 samples/s  2.7 s left");
        clock.due(&batch(3, 10), after(2000));
        assert_eq!(clock.message(&batch(3, 50), after(2100)), "loss 0.5000  400 samples/s  0.955 s left");
        Ok(())
    }
}
