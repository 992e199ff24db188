//! Batches that are read before they are needed, for data that wait for a disk.
//!
//! One thread goes through the batches in the order of the run, reads the rows of each on a pool of its own, and puts them into a queue of
//! a few batches; where the queue is full, it waits. What a batch holds follows from its place in the run alone, so a run reads the
//! same bits with any number of threads, and without any. A request for another batch than the next (a checkpoint was restored) begins
//! anew there. Dropping ends the thread after the rows it is reading.

use crate::data::{Dataset, Pick, Raw, Scaling};
use crate::loss::Target;
use crate::rng::{Purpose, Stream};
use crate::{Error, Result};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Which batch: places `from..to` in the order of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub epoch: u64,
    pub seed: u64,
    pub from: usize,
    pub to: usize,
}

/// What comes after the last batch of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The first of the next epoch.
    Next,
    /// The first of the same: validation.
    Again,
    /// Nothing.
    End,
}

/// How much is read ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Threads that read.
    pub threads: usize,
    /// Batches that wait to be used, at most; 0 reads each when it is needed.
    pub depth: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self { threads: thread::available_parallelism().map_or(1, usize::from).min(8), depth: 3 }
    }
}

/// The batches of a run, one after another.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub samples: usize,
    pub batch: usize,
    pub shuffle: bool,
    pub after: After,
}

impl Course {
    fn next(&self, key: Key) -> Option<Key> {
        let batch = |epoch: u64, from: usize| Key { epoch, from, to: self.samples.min(from + self.batch), ..key };
        match self.after {
            _ if key.to < self.samples => Some(batch(key.epoch, key.to)),
            After::Next => Some(batch(key.epoch + 1, 0)),
            After::Again => Some(batch(key.epoch, 0)),
            After::End => None,
        }
    }
}

/// The order of an epoch: a function of the seed and the epoch alone, so that a resumed run finds it again.
pub(super) fn shuffled(order: &mut [u32], epoch: u64, seed: u64) {
    order.iter_mut().enumerate().for_each(|(i, o)| *o = i as u32);
    Stream::new(seed, Purpose::Shuffle, epoch).shuffle(order);
}

/// The values of one target.
#[derive(Debug)]
enum Column {
    Values(Vec<f32>),
    Index(Vec<u32>),
}

/// The values of one input: as they are stored, or numbers.
#[derive(Debug, Default)]
struct Input {
    /// How they are stored, if they are.
    stored: Option<Arc<Raw>>,
    bytes: Vec<u8>,
    scalings: Vec<Scaling>,
    numbers: Vec<f32>,
}

/// What was read for one batch.
#[derive(Debug, Default)]
pub(super) struct Batch {
    key: Option<Key>,
    inputs: Vec<Input>,
    targets: Vec<Column>,
    weights: Vec<f32>,
    skipped: Vec<bool>,
    failed: Option<Error>,
}

impl Batch {
    pub fn input(&self, row: usize, k: usize, x: &mut [f32]) {
        let (len, input) = (x.len(), &self.inputs[k]);
        match &input.stored {
            Some(raw) => {
                let size = raw.bytes(len);
                raw.decode(&input.bytes[row * size..][..size], &input.scalings[row], x);
            }
            None => x.copy_from_slice(&input.numbers[row * len..][..len]),
        }
    }

    pub fn is_stored(&self, k: usize) -> bool {
        self.inputs[k].stored.is_some()
    }

    /// A row as it is stored.
    pub fn stored(&self, row: usize, k: usize, bytes: &mut [u8]) -> Option<Scaling> {
        let (input, size) = (&self.inputs[k], bytes.len());
        input.stored.as_ref()?;
        bytes.copy_from_slice(&input.bytes[row * size..][..size]);
        input.scalings.get(row).copied()
    }

    pub fn values(&self, row: usize, k: usize, t: &mut [f32]) {
        if let Column::Values(column) = &self.targets[k] {
            let len = t.len();
            t.copy_from_slice(&column[row * len..][..len]);
        }
    }

    pub fn classes(&self, row: usize, k: usize, t: &mut [u32]) {
        if let Column::Index(column) = &self.targets[k] {
            let len = t.len();
            t.copy_from_slice(&column[row * len..][..len]);
        }
    }

    pub fn weight(&self, row: usize) -> f32 {
        self.weights[row]
    }

    pub fn is_skipped(&self, row: usize) -> bool {
        self.skipped[row]
    }

    /// Reads the rows of these samples: those of inputs with a `Raw` as they are stored, if all of them can be had so.
    fn read(&mut self, data: &dyn Dataset, raws: &mut [Option<Arc<Raw>>], key: Key, samples: &[u32], stop: &AtomicBool) {
        self.key = Some(key);
        self.failed = None;
        let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
        let pick = |row: usize| Pick { index: samples[row] as usize, epoch: key.epoch, seed: key.seed };
        let note = |row: usize, result: Result<()>| {
            if let Err(e) = result {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(first, _)| row < *first) {
                    *failed = Some((row, e));
                }
            }
        };
        let wanted = || !stop.load(Relaxed);
        let mut tried = Vec::new();
        self.inputs.resize_with(data.inputs().len(), Input::default);
        for (k, (x, extent)) in self.inputs.iter_mut().zip(data.inputs()).enumerate() {
            x.stored = raws.get(k).cloned().flatten();
            if let Some(raw) = &x.stored {
                let read = |row: usize, bytes: &mut [u8]| {
                    data.raw_row(pick(row), k, bytes).filter(|scaling| raw.accepts(bytes, scaling))
                };
                if each_stored(&mut x.bytes, &mut x.scalings, samples.len(), raw.bytes(extent.len()), &read, &wanted) {
                    continue;
                }
                // Numbers for this batch; and for all, if that is not the fault of samples which cannot be read.
                x.stored = None;
                tried.push(k);
            }
            each_row(&mut x.numbers, samples.len(), extent.len(), |row, x| {
                if wanted() {
                    note(row, data.input(pick(row), k, x));
                }
            });
        }
        self.targets.resize_with(data.targets().len(), || Column::Index(Vec::new()));
        for (k, (column, target)) in self.targets.iter_mut().zip(data.targets()).enumerate() {
            match target {
                Target::Values(extent) => {
                    let mut t = if let Column::Values(t) = column { std::mem::take(t) } else { Vec::new() };
                    each_row(&mut t, samples.len(), extent.len(), |row, t| {
                        if wanted() {
                            note(row, data.values(pick(row), k, t));
                        }
                    });
                    *column = Column::Values(t);
                }
                Target::Index { positions, .. } => {
                    let mut t = if let Column::Index(t) = column { std::mem::take(t) } else { Vec::new() };
                    each_row(&mut t, samples.len(), *positions, |row, t| {
                        if wanted() {
                            note(row, data.classes(pick(row), k, t));
                        }
                    });
                    *column = Column::Index(t);
                }
                Target::None => {}
            }
        }
        self.skipped.clear();
        self.skipped.extend((0..samples.len()).map(|row| data.is_skipped(pick(row))));
        self.weights.clear();
        self.weights.extend((0..samples.len()).map(|row| weight(data, pick(row))));
        self.failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner).map(|(_, e)| e);
        if self.failed.is_none() && !self.skipped.contains(&true) {
            tried.into_iter().for_each(|k| raws[k] = None);
        }
    }
}

/// The weight of a sample whose inputs have been read.
pub(super) fn weight(data: &dyn Dataset, pick: Pick) -> f32 {
    if data.is_skipped(pick) { 0.0 } else { data.weight(pick.index) }
}

/// Calls `read` for each of the rows, by all threads of the pool; rows are dealt one by one, since files differ in size and place.
fn each_row<T: Send + Default + Clone>(x: &mut Vec<T>, rows: usize, len: usize, read: impl Fn(usize, &mut [T]) + Sync) {
    x.resize(rows * len, T::default());
    x.par_chunks_exact_mut(len.max(1)).with_max_len(1).enumerate().for_each(|(row, x)| read(row, x));
}

/// As [`each_row`], for rows as they are stored; whether all of them are.
fn each_stored(
    bytes: &mut Vec<u8>,
    scalings: &mut Vec<Scaling>,
    rows: usize,
    size: usize,
    read: &(dyn Fn(usize, &mut [u8]) -> Option<Scaling> + Sync),
    wanted: &(dyn Fn() -> bool + Sync),
) -> bool {
    bytes.resize(rows * size, 0);
    scalings.resize(rows, Scaling::plain());
    let one = |(row, (bytes, scaling)): (usize, (&mut [u8], &mut Scaling))| {
        !wanted() || read(row, bytes).map(|found| *scaling = found).is_some()
    };
    bytes.par_chunks_exact_mut(size.max(1)).with_max_len(1).zip(scalings).enumerate().all(one)
}

/// The queue, seen from the side that takes.
pub(super) struct Ahead {
    data: Arc<dyn Dataset>,
    course: Course,
    load: Load,
    /// How inputs are stored that are to be read so.
    raws: Vec<Option<Arc<Raw>>>,
    loader: Option<Loader>,
    current: Batch,
    waited: Duration,
}

struct Loader {
    batches: Receiver<Batch>,
    used: Sender<Batch>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    pub fn new(data: Arc<dyn Dataset>, course: Course, load: Load, raws: Vec<Option<Arc<Raw>>>) -> Self {
        Self { data, course, load, raws, loader: None, current: Batch::default(), waited: Duration::ZERO }
    }

    /// How long batches were waited for.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The batch that was asked for last.
    pub fn current(&self) -> &Batch {
        &self.current
    }

    /// This batch; the error of its first row that cannot be read.
    pub fn get(&mut self, key: Key) -> Result<&Batch> {
        if self.current.key != Some(key) {
            let begun = Instant::now();
            let batch = self.take(key);
            self.waited += begun.elapsed();
            self.current = batch?;
        }
        if let Some(e) = self.current.failed.take() {
            // Who asks again has it read again.
            (self.current, self.loader) = (Batch::default(), None);
            return Err(e);
        }
        Ok(&self.current)
    }

    fn take(&mut self, key: Key) -> Result<Batch> {
        let mut used = Some(std::mem::take(&mut self.current)).filter(|batch| batch.key.is_some());
        for fresh in [false, true] {
            if fresh || self.loader.is_none() {
                self.loader = None;
                self.loader = Some(Loader::start(&self.data, &self.course, self.load, self.raws.clone(), key)?);
            }
            let Some(loader) = &mut self.loader else { break };
            if let Some(used) = used.take() {
                // A loader that has ended needs no more buffers.
                let _ = loader.used.send(used);
            }
            match loader.batches.recv() {
                Ok(batch) if batch.key == Some(key) => return Ok(batch),
                Ok(_) => {}
                Err(_) => loader.join(),
            }
        }
        Err(Error::order("loader", format!("no batch of samples {}..{}", key.from, key.to)))
    }
}

impl Loader {
    fn start(data: &Arc<dyn Dataset>, course: &Course, load: Load, raws: Vec<Option<Arc<Raw>>>, first: Key) -> Result<Self> {
        let failed = |e: &dyn std::fmt::Display| Error::unsupported("loader", "no threads to read with").got(e);
        let pool = ThreadPoolBuilder::new().num_threads(load.threads).thread_name(|i| format!("kamacite-read-{i}"));
        let pool = pool.build().map_err(|e| failed(&e))?;
        let (queue, batches) = sync_channel(load.depth.max(1));
        let (used, returned) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (data, course, flag) = (Arc::clone(data), course.clone(), Arc::clone(&stop));
        let run = move || go_through(&*data, &course, raws, first, &pool, &Ends { queue, returned, stop: flag });
        let thread = thread::Builder::new().name("kamacite-ahead".to_string()).spawn(run).map_err(|e| failed(&e))?;
        Ok(Self { batches, used, stop, thread: Some(thread) })
    }

    /// Waits for the thread, and passes its panic on.
    fn join(&mut self) {
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        // Without a receiver the thread cannot wait for room in the queue.
        self.batches = channel().1;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The queue, seen from the side that fills it.
struct Ends {
    queue: SyncSender<Batch>,
    returned: Receiver<Batch>,
    stop: Arc<AtomicBool>,
}

fn go_through(data: &dyn Dataset, course: &Course, mut raws: Vec<Option<Arc<Raw>>>, first: Key, pool: &ThreadPool, ends: &Ends) {
    let mut order: Vec<u32> = (0..course.samples as u32).collect();
    let mut made_for = None;
    let mut next = Some(first);
    while let Some(key) = next {
        if course.shuffle && made_for.replace((key.epoch, key.seed)) != Some((key.epoch, key.seed)) {
            shuffled(&mut order, key.epoch, key.seed);
        }
        let mut batch = ends.returned.try_recv().unwrap_or_default();
        let (samples, stop) = (&order[key.from..key.to], &*ends.stop);
        pool.install(|| batch.read(data, &mut raws, key, samples, stop));
        let failed = batch.failed.is_some();
        // A batch that was stopped in its middle is no batch.
        if ends.stop.load(Relaxed) || ends.queue.send(batch).is_err() || failed {
            return;
        }
        next = course.next(key);
    }
}

#[cfg(test)]
mod tests;
