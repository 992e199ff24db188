//! The history as a table and as JSON, one row per epoch.
//!
//! A new run begins a new file. A resumed run keeps the rows up to the epoch it resumes after, and goes on below them:
//! rows of epochs that will be done again, and a last row cut short by a crash, are dropped.

use super::{Batch, Control, End, Epoch, Monitor, Start};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Far more than any history; what is larger is another file, taken by mistake.
const MAX_BYTES: u64 = 1 << 28;

/// Writes `history.csv`: a header, then one row per epoch. Values that an epoch lacks are left empty. `waited` are the seconds that steps
/// waited for data still being read, `skipped` the training samples that could not be read and were left out.
///
/// # Examples
/// ```no_run
/// let log = kamacite::monitor::CsvLog::new("history.csv");
/// ```
#[derive(Debug)]
pub struct CsvLog(Log);

/// Writes `metrics.jsonl`: one JSON object per line and epoch, with the confusion matrix. NaN and infinities are `null`.
///
/// # Examples
/// ```no_run
/// let log = kamacite::monitor::JsonLines::new("metrics.jsonl");
/// ```
#[derive(Debug)]
pub struct JsonLines(Log);

impl CsvLog {
    /// A table at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(Log { path: path.into(), file: None })
    }
}

impl JsonLines {
    /// Lines at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(Log { path: path.into(), file: None })
    }
}

const HEADER: &str = "epoch,steps,learning_rate,loss,valid_loss,accuracy,rmse,r2,seconds,samples_per_second,best,waited,skipped";

/// The columns at the end that files of earlier versions lack.
const NEW: &str = ",waited,skipped";

impl Monitor for CsvLog {
    fn start(&mut self, start: &Start<'_>) -> Result<()> {
        let epoch = |row: &str| row.split(',').next().and_then(|e| e.parse().ok());
        self.0.open(start.epoch, Some(HEADER), epoch)
    }

    fn batch(&mut self, _: &Batch) -> Result<()> {
        Ok(())
    }

    fn epoch(&mut self, epoch: &Epoch<'_>) -> Result<Control> {
        let Epoch { record: r, evaluation, best, rate, seconds, waited, .. } = epoch;
        let some = |x: Option<f64>| x.map_or(String::new(), |x| format!("{x:?}"));
        let score = |of: fn(&crate::train::Evaluation) -> Option<f64>| some(evaluation.and_then(of));
        let (valid, accuracy) = (some(r.valid_loss), some(r.accuracy));
        let (rmse, r2) = (score(|e| e.rmse), score(|e| e.r2));
        let start = format!("{},{},{:?},{:?}", r.epoch, r.steps, r.learning_rate, r.loss);
        let end = format!("{},{waited:.6},{}", u8::from(*best), r.skipped);
        self.0.row(&format!("{start},{valid},{accuracy},{rmse},{r2},{seconds:.6},{rate:.1},{end}\n"))?;
        Ok(Control::Continue)
    }

    fn end(&mut self, _: &End<'_>) -> Result<()> {
        self.0.close()
    }
}

/// One line of `metrics.jsonl`.
#[derive(Serialize)]
struct Row<'a> {
    epoch: u64,
    steps: u64,
    learning_rate: f64,
    loss: f64,
    valid_loss: Option<f64>,
    accuracy: Option<f64>,
    rmse: Option<f64>,
    r2: Option<f64>,
    confusion: Option<Vec<&'a [u64]>>,
    seconds: f64,
    samples_per_second: f64,
    best: bool,
    waited: f64,
    skipped: u64,
}

impl Monitor for JsonLines {
    fn start(&mut self, start: &Start<'_>) -> Result<()> {
        #[derive(Deserialize)]
        struct Head {
            epoch: u64,
        }
        self.0.open(start.epoch, None, |row| serde_json::from_str::<Head>(row).ok().map(|h| h.epoch))
    }

    fn batch(&mut self, _: &Batch) -> Result<()> {
        Ok(())
    }

    fn epoch(&mut self, epoch: &Epoch<'_>) -> Result<Control> {
        let (r, e) = (epoch.record, epoch.evaluation);
        let row = Row {
            epoch: r.epoch,
            steps: r.steps,
            learning_rate: r.learning_rate,
            loss: r.loss,
            valid_loss: r.valid_loss,
            accuracy: r.accuracy,
            rmse: e.and_then(|e| e.rmse),
            r2: e.and_then(|e| e.r2),
            confusion: e.and_then(|e| e.confusion.as_ref()).map(|c| c.rows().collect()),
            seconds: epoch.seconds,
            samples_per_second: epoch.rate,
            best: epoch.best,
            waited: epoch.waited,
            skipped: r.skipped,
        };
        let text = serde_json::to_string(&row).map_err(|e| Error::format(self.0.path.display(), e))?;
        self.0.row(&(text + "\n"))?;
        Ok(Control::Continue)
    }

    fn end(&mut self, _: &End<'_>) -> Result<()> {
        self.0.close()
    }
}

/// A text file of one row per epoch, written through after each row.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: Option<File>,
}

impl Log {
    /// Opens the file with the rows of the first `done` epochs; `epoch` reads the number in a row.
    fn open(&mut self, done: u64, header: Option<&str>, epoch: impl Fn(&str) -> Option<u64>) -> Result<()> {
        let mut kept = header.map_or(String::new(), |h| format!("{h}\n"));
        if done > 0 && self.path.exists() {
            let old = read(&self.path)?;
            // What follows the last newline was cut short.
            let whole = old.rfind('\n').map_or("", |end| &old[..=end]);
            let first = whole.lines().next().unwrap_or_default();
            let is_earlier = header.is_some_and(|h| h.strip_suffix(NEW) == Some(first));
            if let Some(header) = header.filter(|h| !whole.is_empty() && *h != first && !is_earlier) {
                let e = Error::format(self.path.display(), "not a history of this program");
                return Err(e.expected(header).got(first).hint("move the file away"));
            }
            for (i, row) in whole.lines().enumerate().skip(usize::from(header.is_some())) {
                let what = || Error::format(format!("{}: line {}", self.path.display(), i + 1), "no epoch in this row");
                if epoch(row).ok_or_else(|| what().hint("move the file away"))? <= done {
                    kept.push_str(row);
                    kept.extend(NEW.chars().filter(|c| is_earlier && *c == ','));
                    kept.push('\n');
                }
            }
        }
        replace(&self.path, kept.as_bytes())?;
        let file = OpenOptions::new().append(true).open(&self.path).map_err(|e| Error::io(&self.path, e))?;
        self.file = Some(file);
        Ok(())
    }

    fn row(&mut self, row: &str) -> Result<()> {
        let file = self.file.as_mut().ok_or_else(|| Error::order(self.path.display(), "an epoch before the start of a run"))?;
        file.write_all(row.as_bytes()).map_err(|e| Error::io(&self.path, e))
    }

    fn close(&mut self) -> Result<()> {
        match self.file.take() {
            Some(file) => file.sync_all().map_err(|e| Error::io(&self.path, e)),
            None => Ok(()),
        }
    }
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if bytes > MAX_BYTES {
        let e = Error::format(path.display(), "too long for a history");
        return Err(e.expected(format!("at most {MAX_BYTES} bytes")).got(bytes));
    }
    fs::read_to_string(path).map_err(|e| Error::io(path, e))
}

/// Writes a file as a whole: whoever reads it sees the old or the new one.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    fs::write(&temporary, contents).map_err(|e| Error::io(&temporary, e))?;
    fs::rename(&temporary, path).map_err(|e| Error::io(path, e))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{run, table};
    use super::*;
    use crate::ErrorKind;

    fn epochs(text: &str) -> Vec<u64> {
        text.lines().filter_map(|l| l.split([',', ':']).find_map(|f| f.parse().ok())).collect()
    }

    #[test]
    fn csv_rows() -> Result<()> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("history.csv");
        run(&mut CsvLog::new(&path), 0, 3)?;
        let text = read(&path)?;
        assert_eq!(text.lines().next(), Some(HEADER));
        assert_eq!(text.lines().nth(2), Some("2,20,0.01,0.5,0.6,0.75,,,0.100000,1000.0,1,0.001000,2"));
        assert_eq!(epochs(&text), [1, 2, 3]);
        assert!(text.lines().all(|l| l.split(',').count() == HEADER.split(',').count()));
        Ok(())
    }

    #[test]
    fn json_rows() -> Result<()> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("metrics.jsonl");
        run(&mut JsonLines::new(&path), 0, 2)?;
        let rows: Vec<serde_json::Value> =
            read(&path)?.lines().map(|l| serde_json::from_str(l).expect("a JSON object")).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!((&rows[1]["epoch"], &rows[1]["loss"], &rows[1]["rmse"]), (&2.into(), &0.5.into(), &serde_json::Value::Null));
        assert_eq!((&rows[1]["waited"], &rows[1]["skipped"]), (&0.001.into(), &2.into()));
        let expected: Vec<Vec<u64>> = table().rows().map(<[u64]>::to_vec).collect();
        assert_eq!(rows[1]["confusion"], serde_json::json!(expected));
        Ok(())
    }

    /// Five epochs, a row cut short, and a resume after epoch 3: rows 1 to 3 stay as they were, 4 to 6 are new.
    #[test]
    fn a_resumed_run_goes_on_below_its_rows() -> Result<()> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["h.csv", "m.jsonl"] {
            let path = dir.path().join(name);
            let monitor = |p: PathBuf| -> Box<dyn Monitor> {
                if name == "h.csv" { Box::new(CsvLog::new(p)) } else { Box::new(JsonLines::new(p)) }
            };
            run(&mut *monitor(path.clone()), 0, 5)?;
            let before = read(&path)?;
            fs::write(&path, before.clone() + "6,60,0.0").expect("a write");
            run(&mut *monitor(path.clone()), 3, 6)?;
            let after = read(&path)?;
            let kept = if name == "h.csv" { 4 } else { 3 };
            assert!(before.lines().take(kept).eq(after.lines().take(kept)), "{after}");
            let numbers: Vec<u64> = if name == "h.csv" { epochs(&after) } else { json_epochs(&after) };
            assert_eq!(numbers, [1, 2, 3, 4, 5, 6], "{after}");
            run(&mut *monitor(path.clone()), 0, 1)?;
            assert_eq!(read(&path)?.lines().count(), kept - 2, "a new run begins a new file");
        }
        Ok(())
    }

    /// A run that an earlier version began: its rows stay, with nothing in the columns that it did not know. Lines of JSON name their
    /// values.
    #[test]
    fn a_run_of_an_earlier_version_goes_on() -> Result<()> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("h.csv");
        let old = ["epoch,steps,learning_rate,loss,valid_loss,accuracy,rmse,r2,seconds,samples_per_second,best"]
            .into_iter()
            .chain(["1,10,0.01,1.0,,,,,0.1,1000.0,1", "2,20,0.01,0.5,,,,,0.1,1000.0,1", "3,30,0.0"]);
        fs::write(&path, old.collect::<Vec<_>>().join("\n")).expect("a write");
        run(&mut CsvLog::new(&path), 2, 3)?;
        let text = read(&path)?;
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[..3], [HEADER, "1,10,0.01,1.0,,,,,0.1,1000.0,1,,", "2,20,0.01,0.5,,,,,0.1,1000.0,1,,"]);
        assert_eq!(epochs(&text), [1, 2, 3]);
        assert!(text.lines().all(|l| l.split(',').count() == HEADER.split(',').count()), "{text}");
        // And again, now that the header is the present one.
        run(&mut CsvLog::new(&path), 3, 4)?;
        assert!(read(&path)?.starts_with(&text));
        let path = dir.path().join("m.jsonl");
        fs::write(&path, "{\"epoch\":1,\"best\":true}\n").expect("a write");
        run(&mut JsonLines::new(&path), 1, 2)?;
        let text = read(&path)?;
        assert!(text.starts_with("{\"epoch\":1,\"best\":true}\n{\"epoch\":2,"), "{text}");
        Ok(())
    }

    fn json_epochs(text: &str) -> Vec<u64> {
        text.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok()?["epoch"].as_u64()).collect()
    }

    #[test]
    fn another_file_is_not_overwritten_by_a_resumed_run() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let kind = |m: &mut dyn Monitor| run(m, 2, 3).map_err(|e| e.kind());
        let path = dir.path().join("notes");
        for notes in ["a,b\n1,2\n", "epoch\n", "\n"] {
            fs::write(&path, notes).expect("a write");
            assert_eq!(kind(&mut CsvLog::new(&path)), Err(ErrorKind::Format));
            assert_eq!(kind(&mut JsonLines::new(&path)), Err(ErrorKind::Format));
            assert_eq!(fs::read_to_string(&path).expect("a read"), notes);
        }
        fs::write(&path, [0xff, 0xfe, b'\n']).expect("a write");
        assert_eq!(kind(&mut CsvLog::new(&path)), Err(ErrorKind::Io));
        let nowhere = dir.path().join("absent").join("h.csv");
        assert_eq!(run(&mut CsvLog::new(nowhere), 0, 1).map_err(|e| e.kind()), Err(ErrorKind::Io));
    }
}
