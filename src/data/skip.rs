//! Samples that cannot be read: an end of the run, or left out and reported.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What a sample that cannot be read does to a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnBad {
    /// The step that needs it fails, with the name of the file.
    #[default]
    Stop,
    /// It is reported, and counts for nothing from then on: in the gradients of training as a sample of weight 0, in mean losses and an
    /// evaluation as if it were not there, in predictions as NaN.
    Skip,
}

/// The samples that could not be read, and why.
pub(crate) struct Skips {
    on_bad: OnBad,
    /// How many there are: most sets have none, and then nobody waits for the lock.
    count: AtomicUsize,
    bad: Mutex<BTreeMap<usize, String>>,
}

impl fmt::Debug for Skips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} so far", self.on_bad, self.count.load(Relaxed))
    }
}

impl Skips {
    pub fn new(on_bad: OnBad) -> Self {
        Self { on_bad, count: AtomicUsize::new(0), bad: Mutex::default() }
    }

    pub fn contains(&self, index: usize) -> bool {
        self.count.load(Relaxed) > 0 && self.lock().contains_key(&index)
    }

    /// Fills `x` by `read`, or with zeros where the sample is left out.
    pub fn read(&self, index: usize, x: &mut [f32], read: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<()> {
        if self.contains(index) {
            x.fill(0.0);
            return Ok(());
        }
        read(x).or_else(|e| {
            x.fill(0.0);
            self.note(index, e)
        })
    }

    /// Leaves a sample out, or gives the error back.
    pub fn note(&self, index: usize, e: Error) -> Result<()> {
        if self.on_bad == OnBad::Stop {
            return Err(e);
        }
        let mut bad = self.lock();
        bad.entry(index).or_insert_with(|| e.to_string());
        self.count.store(bad.len(), Relaxed);
        Ok(())
    }

    pub fn reasons(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, String>> {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
