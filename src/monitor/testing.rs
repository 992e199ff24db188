//! A run without a trainer, for the monitors' tests.

use super::{Batch, Control, End, Epoch, Monitor, Start};
use crate::metrics::Confusion;
use crate::train::{Evaluation, Record};
use crate::{Device, Result};
use std::cell::RefCell;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;

/// What is written to it can be read by a test that keeps a clone.
#[derive(Clone, Default)]
pub struct Shared(Rc<RefCell<Vec<u8>>>);

impl Shared {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow()).into_owned()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn table() -> Confusion {
    Confusion::of(&[0, 1, 1, 1], &[0, 0, 1, 1], 2).expect("legal")
}

pub fn evaluation() -> Evaluation {
    let confusion = table();
    let (samples, loss, accuracy) = (4, 0.6, confusion.accuracy());
    Evaluation { samples, loss, losses: vec![loss], accuracy, confusion: Some(confusion), rmse: None, r2: None }
}

pub fn record(epoch: u64) -> Record {
    let loss = 1.0 / epoch as f64;
    Record { epoch, steps: 10 * epoch, learning_rate: 0.01, loss, valid_loss: Some(0.6), accuracy: Some(0.75), skipped: epoch }
}

/// Epochs `done + 1` to `epochs` of ten steps each; returns the last epoch done.
pub fn run(monitor: &mut dyn Monitor, done: u64, epochs: u64) -> Result<u64> {
    let device = Device::cpu_threads(1)?;
    let mut history: Vec<Record> = (1..=done).map(record).collect();
    monitor.start(&Start {
        epoch: done,
        epochs,
        steps_per_epoch: 10,
        samples: 100,
        batch: 10,
        device: &device,
        history: &history,
    })?;
    let evaluation = evaluation();
    let mut stopped = false;
    for epoch in done + 1..=epochs {
        for i in 1..=10 {
            let step = 10 * (epoch - 1) + i as u64;
            monitor.batch(&Batch { epoch: epoch - 1, done: 10 * i, samples: 100, step, loss: 0.7, learning_rate: 0.01 })?;
        }
        history.push(record(epoch));
        let record = &history[history.len() - 1];
        let (evaluation, best) = (Some(&evaluation), epoch.is_multiple_of(2));
        let (waited, skipped) = (0.001, &[]);
        let epoch = Epoch { record, epochs, evaluation, best, rate: 1000.0, seconds: 0.1, waited, skipped };
        if monitor.epoch(&epoch)? == Control::Stop {
            stopped = true;
            break;
        }
    }
    let (evaluation, checkpoint) = (Some(&evaluation), Some(Path::new("run.safetensors")));
    monitor.end(&End { history: &history, evaluation, stopped, checkpoint, seconds: 63.0 })?;
    Ok(history.len() as u64)
}
