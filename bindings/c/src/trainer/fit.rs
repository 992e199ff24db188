//! The loop over epochs, with the caller's callbacks, and the request to stop it.

use super::kmc_trainer;
use crate::entry::{Answer, Fault, count, entry, optional, optional_text, print_line, results, sized32};
use crate::handle::{stop_flag, with};
use crate::model::{fill_scores, kmc_scores};
use crate::status::kmc_status;
use kamacite::monitor::{Batch, Control, CsvLog, End, Epoch, JsonLines, Lines, Monitor, Plot, Progress, Start, Tee};
use kamacite::train::Ended;
use kamacite::{Error, ErrorKind, StopHandle};
use std::ffi::{CStr, CString, c_char, c_void};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Where a run stands. NaN: not known.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_progress {
    /// Epochs done.
    pub epoch: u64,
    /// Epochs to do in all.
    pub epochs: u64,
    /// Updates done.
    pub step: u64,
    /// Samples of the present epoch that are done.
    pub done: i64,
    /// Samples of an epoch.
    pub samples: i64,
    /// Mean loss: of the step's samples, or of the epoch's.
    pub loss: f64,
    /// The learning rate of the last update.
    pub learning_rate: f64,
    /// Mean loss on the validation data.
    pub valid_loss: f64,
    /// Share of validation samples whose class was found.
    pub accuracy: f64,
    /// Training samples per second.
    pub rate: f64,
}

/// Told where a run stands. Answers 0 to go on, 1 to end the run as `kmc_request_stop` does; anything else fails the call with
/// `KMC_ERR_CALLBACK`. It must not use the trainer: that is in use.
pub type kmc_progress_fn = Option<unsafe extern "C" fn(progress: *const kmc_progress, user: *mut c_void) -> i32>;

/// Told a line about a run, without its line break.
pub type kmc_log_fn = Option<unsafe extern "C" fn(line: *const c_char, user: *mut c_void)>;

/// Who is told of a run; see `KMC_FIT_OPTIONS_INIT`. Without any of it nothing is said.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_fit_options {
    /// sizeof(kmc_fit_options)
    pub size: u32,
    /// 1: a line for each epoch on standard output; 2: a progress bar as well.
    pub verbose: i32,
    /// Called after each epoch; NULL: not.
    pub on_epoch: kmc_progress_fn,
    /// Called after each update; NULL: not.
    pub on_batch: kmc_progress_fn,
    /// Gets the lines that `verbose` would print; NULL: not.
    pub log: kmc_log_fn,
    /// Handed to the callbacks.
    pub user: *mut c_void,
    /// A file for the history as a table; NULL: none.
    pub csv: *const c_char,
    /// A file for the history, one JSON object a line; NULL: none.
    pub json_lines: *const c_char,
    /// A folder for learning curves as SVG files; NULL: none.
    pub plots: *const c_char,
}

/// Why a run ended.
pub type kmc_ended = i32;
/// `kmc_ended`: All epochs were done.
pub const KMC_ENDED_DONE: i32 = 0;
/// `kmc_ended`: Validation stopped improving.
pub const KMC_ENDED_EARLY_STOPPING: i32 = 1;
/// `kmc_ended`: `kmc_request_stop` or a callback asked.
pub const KMC_ENDED_STOPPED: i32 = 2;

/// What a run did; initialise it with `KMC_REPORT_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_report {
    /// sizeof(kmc_report)
    pub size: u32,
    /// Why it ended.
    pub ended: kmc_ended,
    /// Epochs done since the run began, earlier calls and checkpoints included.
    pub epochs: u64,
    /// Updates, likewise.
    pub steps: u64,
    /// Mean training loss of the last epoch.
    pub loss: f64,
    /// Seconds that this call took.
    pub seconds: f64,
    /// Training samples per second in this call, validation not counted.
    pub rate: f64,
    /// The last validation, of the best weights where early stopping went back to them.
    pub valid: kmc_scores,
}

sized32!(kmc_fit_options, kmc_report);

/// How often all runs were asked to stop.
static STOP_ALL: AtomicU64 = AtomicU64::new(0);

/// Asks a run to finish its update, write its checkpoint and return; NULL: all that are running now. A request to a trainer that is not
/// running ends its next run at once. May be called from a signal handler and from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_request_stop(trainer: *mut kmc_trainer) {
    if trainer.is_null() {
        STOP_ALL.fetch_add(1, Ordering::Relaxed);
    } else if let Some(flag) = stop_flag(trainer) {
        flag.store(true, Ordering::Relaxed);
    }
}

/// Hands requests to stop on to the trainer, and calls back.
struct Watch {
    on_epoch: kmc_progress_fn,
    on_batch: kmc_progress_fn,
    user: *mut c_void,
    requested: &'static AtomicBool,
    /// `STOP_ALL` when the run began.
    all: u64,
    stop: StopHandle,
    now: kmc_progress,
}

impl Watch {
    fn look(&self) {
        if self.requested.load(Ordering::Relaxed) || STOP_ALL.load(Ordering::Relaxed) != self.all {
            self.stop.stop();
        }
    }

    fn call(&self, f: kmc_progress_fn) -> kamacite::Result<()> {
        let Some(f) = f else { return Ok(()) };
        // SAFETY: the crate's contract: f can be called with `user`.
        match unsafe { f(&raw const self.now, self.user) } {
            0 => Ok(()),
            1 => {
                self.stop.stop();
                Ok(())
            }
            other => Err(Error::new(ErrorKind::Order, CALLBACK, "answered with an error").expected("0 or 1").got(other)),
        }
    }
}

/// How the error of a callback is told from the engine's own.
const CALLBACK: &str = "callback";

impl Monitor for Watch {
    fn start(&mut self, start: &Start<'_>) -> kamacite::Result<()> {
        (self.now.epoch, self.now.epochs, self.now.samples) = (start.epoch, start.epochs, start.samples as i64);
        self.look();
        Ok(())
    }

    fn batch(&mut self, b: &Batch) -> kamacite::Result<()> {
        self.look();
        if self.on_batch.is_none() {
            return Ok(());
        }
        let now = &mut self.now;
        (now.epoch, now.step, now.done) = (b.epoch, b.step, b.done as i64);
        (now.loss, now.learning_rate) = (b.loss, b.learning_rate);
        self.call(self.on_batch)
    }

    fn epoch(&mut self, e: &Epoch<'_>) -> kamacite::Result<Control> {
        let r = e.record;
        let (valid_loss, accuracy) = (r.valid_loss.unwrap_or(f64::NAN), r.accuracy.unwrap_or(f64::NAN));
        let (samples, done) = (self.now.samples, self.now.samples);
        let (loss, learning_rate, rate) = (r.loss, r.learning_rate, e.rate);
        self.now = kmc_progress {
            epoch: r.epoch,
            epochs: e.epochs,
            step: r.steps,
            done,
            samples,
            loss,
            learning_rate,
            valid_loss,
            accuracy,
            rate,
        };
        self.look();
        self.call(self.on_epoch)?;
        Ok(if self.stop.is_stopped() { Control::Stop } else { Control::Continue })
    }

    fn end(&mut self, _: &End<'_>) -> kamacite::Result<()> {
        Ok(())
    }
}

/// Cuts what is written into lines.
struct Log<F> {
    log: F,
    line: Vec<u8>,
}

fn lines(log: impl FnMut(&CStr) + 'static) -> Box<dyn Monitor> {
    Box::new(Lines::to(Log { log, line: Vec::new() }))
}

impl<F: FnMut(&CStr)> Write for Log<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            if byte == b'\n' {
                (self.log)(&CString::new(std::mem::take(&mut self.line)).unwrap_or_default());
            } else {
                self.line.push(byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// # Safety
/// The crate's contract.
unsafe fn monitors(o: &kmc_fit_options, tee: &mut Tee) -> Answer {
    match o.verbose {
        0 => {}
        1 => tee.0.push(lines(print_line)),
        2 => tee.0.push(Box::new(Progress::default())),
        other => return Err(Fault::value("verbose", "0, 1 or 2", other)),
    }
    if let Some(log) = o.log {
        let user = o.user;
        // SAFETY: the crate's contract: `log` can be called with `user`.
        tee.0.push(lines(move |line| unsafe { log(line.as_ptr(), user) }));
    }
    // SAFETY: the caller's promise.
    let (csv, json, plots) =
        unsafe { (optional_text(o.csv, "csv")?, optional_text(o.json_lines, "json_lines")?, optional_text(o.plots, "plots")?) };
    if let Some(path) = csv {
        tee.0.push(Box::new(CsvLog::new(path)));
    }
    if let Some(path) = json {
        tee.0.push(Box::new(JsonLines::new(path)));
    }
    if let Some(path) = plots {
        tee.0.push(Box::new(Plot::new(path)));
    }
    Ok(())
}

/// Trains until `epochs` epochs are done in all: a second call, or a resumed run, does those that are left. `out` and `options` may be
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_trainer_fit(
    out: *mut kmc_report,
    trainer: *mut kmc_trainer,
    epochs: i64,
    options: *const kmc_fit_options,
) -> kmc_status {
    entry("kmc_trainer_fit", || {
        let epochs = count(epochs, "epochs")? as u64;
        // SAFETY: the crate's contract.
        let (o, out) = unsafe {
            let out = if out.is_null() { None } else { Some(results(out, "out")?) };
            (optional(options, "options")?, out)
        };
        let mut tee = Tee::default();
        if let Some(o) = o {
            // SAFETY: as above.
            unsafe { monitors(o, &mut tee) }?;
        }
        let all = STOP_ALL.load(Ordering::Relaxed);
        let report = with(trainer, "trainer", |run| {
            let requested = stop_flag(trainer).ok_or_else(|| Fault::new(kmc_status::KMC_ERR_HANDLE, "trainer"))?;
            let stop = run.trainer.stop_handle();
            tee.0.push(Box::new(Watch {
                on_epoch: o.and_then(|o| o.on_epoch),
                on_batch: o.and_then(|o| o.on_batch),
                user: o.map_or(std::ptr::null_mut(), |o| o.user),
                requested,
                all,
                stop: stop.clone(),
                now: BEGINNING,
            }));
            let report = run.trainer.fit(epochs, &mut tee);
            // The request is served: the next run goes on.
            requested.store(false, Ordering::Relaxed);
            stop.flag().store(false, Ordering::Relaxed);
            Ok(report)
        })?;
        let report = report.map_err(|e| {
            let fault = Fault::from(e);
            let status = if fault.sentence.starts_with(CALLBACK) { kmc_status::KMC_ERR_CALLBACK } else { fault.status };
            Fault { status, ..fault }
        })?;
        let Some(out) = out else { return Ok(()) };
        (out.epochs, out.steps) = (report.epochs, report.steps);
        (out.loss, out.seconds, out.rate) = (report.loss, report.seconds, report.rate);
        out.ended = match report.ended {
            Ended::Done => KMC_ENDED_DONE,
            Ended::EarlyStopping => KMC_ENDED_EARLY_STOPPING,
            Ended::Stopped => KMC_ENDED_STOPPED,
        };
        fill_scores(&mut out.valid, report.valid.as_ref());
        Ok(())
    })
}

const BEGINNING: kmc_progress = kmc_progress {
    epoch: 0,
    epochs: 0,
    step: 0,
    done: 0,
    samples: 0,
    loss: f64::NAN,
    learning_rate: f64::NAN,
    valid_loss: f64::NAN,
    accuracy: f64::NAN,
    rate: f64::NAN,
};
