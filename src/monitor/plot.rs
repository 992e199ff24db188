//! Learning curves and the confusion matrix as pictures (SVG).

use super::{Batch, Control, End, Epoch, Monitor, Start};
use crate::metrics::Confusion;
use crate::plot::{Epochs, MAX_CLASSES, confusion, write_history};
use crate::train::Evaluation;
use crate::{Error, Result};
use std::fs;
use std::path::PathBuf;

/// Writes `history.svg` (losses, score, learning rate by epoch) and `confusion.svg` into a directory, every few epochs and
/// at the end. Matrices of more than 200 classes are left out.
///
/// # Examples
/// ```no_run
/// let plot = kamacite::monitor::Plot::new("run1").every(5);
/// ```
#[derive(Debug)]
pub struct Plot {
    dir: PathBuf,
    every: u64,
    points: Vec<Epochs>,
    confusion: Option<Confusion>,
    names: Vec<String>,
}

impl Plot {
    /// Pictures in `dir`, which is made if need be, every 10 epochs.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), every: 10, points: Vec::new(), confusion: None, names: Vec::new() }
    }

    /// Draws after every `epochs` epochs; 0: only at the end.
    #[must_use]
    pub fn every(mut self, epochs: u64) -> Self {
        self.every = epochs;
        self
    }

    /// Names the classes of the confusion matrix.
    #[must_use]
    pub fn names<S: AsRef<str>>(mut self, names: &[S]) -> Self {
        self.names = names.iter().map(|n| n.as_ref().to_string()).collect();
        self
    }

    fn keep(&mut self, evaluation: Option<&Evaluation>) -> Result<()> {
        if let Some(confusion) = evaluation.and_then(|e| e.confusion.clone()) {
            self.confusion = Some(if self.names.is_empty() { confusion } else { confusion.names(&self.names)? });
        }
        Ok(())
    }

    fn write(&self) -> Result<()> {
        fs::create_dir_all(&self.dir).map_err(|e| Error::io(&self.dir, e))?;
        write_history(&self.dir.join("history.svg"), &self.points)?;
        if let Some(m) = self.confusion.as_ref().filter(|m| m.classes() <= MAX_CLASSES) {
            confusion(self.dir.join("confusion.svg"), m)?;
        }
        Ok(())
    }
}

impl Monitor for Plot {
    fn start(&mut self, start: &Start<'_>) -> Result<()> {
        self.points = start.history.iter().map(|r| Epochs::of(r, None)).collect();
        self.confusion = None;
        fs::create_dir_all(&self.dir).map_err(|e| Error::io(&self.dir, e))
    }

    fn batch(&mut self, _: &Batch) -> Result<()> {
        Ok(())
    }

    fn epoch(&mut self, epoch: &Epoch<'_>) -> Result<Control> {
        self.points.push(Epochs::of(epoch.record, epoch.evaluation.and_then(|e| e.r2)));
        self.keep(epoch.evaluation)?;
        if self.every > 0 && epoch.record.epoch.is_multiple_of(self.every) {
            self.write()?;
        }
        Ok(Control::Continue)
    }

    fn end(&mut self, end: &End<'_>) -> Result<()> {
        self.keep(end.evaluation)?;
        self.write()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{evaluation, run};
    use super::*;

    #[test]
    fn a_run_leaves_two_pictures() -> Result<()> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("plots");
        run(&mut Plot::new(&path).names(&["a<b>&c", "\u{1}d"]), 3, 30)?;
        let read = |name: &str| fs::read_to_string(path.join(name)).map_err(|e| Error::io(name, e));
        let (history, confusion) = (read("history.svg")?, read("confusion.svg")?);
        assert!(history.trim_end().ends_with("</svg>") && confusion.trim_end().ends_with("</svg>"));
        // Both losses and the accuracy, over all 30 epochs: those before the resume come from the history.
        let curves: Vec<usize> = history
            .split("<polyline")
            .filter(|l| l.contains("stroke-width=\"2\""))
            .map(|l| l.split('"').map(|p| p.split(' ').count()).max().unwrap_or(0))
            .collect();
        assert_eq!(curves.iter().filter(|n| **n >= 30).count(), 3, "{curves:?}");
        assert!(confusion.contains("a&lt;b&gt;&amp;c") && !confusion.contains('\u{1}'), "{confusion}");
        assert!(confusion.contains("accuracy 75.00% (3 of 4)"));
        Ok(())
    }

    #[test]
    fn names_must_be_as_many_as_classes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert!(run(&mut Plot::new(dir.path()).names(&["one"]), 0, 1).is_err());
        assert_eq!(evaluation().confusion.map(|c| c.classes()), Some(2));
    }
}
