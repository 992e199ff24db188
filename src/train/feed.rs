//! From a data set to the staging slots of a plan.

use super::ahead::{After, Ahead, Batch, Course, Key, Load, shuffled, weight};
use super::packed::Packed;
use super::resident::Resident;
use crate::data::{Dataset, Pick, Raw, Scaling};
use crate::loss::{Target, find_label};
use crate::memory::Step;
use crate::network::{LossPort, Network, Plan, one_hot};
use crate::{DType, Device, Error, Extent, Real, Result};
use rayon::prelude::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Rows are read by all threads once a batch has this many values.
const PARALLEL: usize = 1 << 15;

/// A data set and the order in which an epoch takes it.
pub(crate) struct Feed {
    pub data: Arc<dyn Dataset>,
    order: Vec<u32>,
    /// The epoch and seed that `order` was made for.
    made_for: Option<(u64, u64)>,
    shuffle: bool,
    /// Buffers for what the plan stores in another type than the data set.
    numbers: Vec<f32>,
    labels: Vec<u32>,
    /// The data on a GPU, where they fit.
    resident: Option<Resident>,
    /// How batches go to a GPU, where it takes inputs as they are stored.
    pub(super) packed: Option<Packed>,
    /// Batches on their way, where the data wait for a disk.
    ahead: Option<Ahead>,
}

/// Where the rows of a batch come from.
pub(super) enum Rows<'a> {
    Set { data: &'a dyn Dataset, samples: &'a [u32], epoch: u64, seed: u64 },
    Batch(&'a Batch),
}

impl Rows<'_> {
    /// Whether rows of input `k` can be had as they are stored.
    pub fn is_stored(&self, k: usize) -> bool {
        match self {
            Self::Set { .. } => true,
            Self::Batch(batch) => batch.is_stored(k),
        }
    }

    /// A row of input `k` as it is stored; `None` for one that the host must see.
    pub fn stored(&self, row: usize, k: usize, raw: &Raw, bytes: &mut [u8]) -> Option<Scaling> {
        match self {
            Self::Set { data, .. } => data.raw_row(self.pick(row), k, bytes).filter(|scaling| raw.accepts(bytes, scaling)),
            Self::Batch(batch) => batch.stored(row, k, bytes),
        }
    }

    pub fn input(&self, row: usize, k: usize, x: &mut [f32]) -> Result<()> {
        match self {
            Self::Set { data, .. } => data.input(self.pick(row), k, x),
            Self::Batch(batch) => {
                batch.input(row, k, x);
                Ok(())
            }
        }
    }

    pub fn values(&self, row: usize, k: usize, t: &mut [f32]) -> Result<()> {
        match self {
            Self::Set { data, .. } => data.values(self.pick(row), k, t),
            Self::Batch(batch) => {
                batch.values(row, k, t);
                Ok(())
            }
        }
    }

    pub fn classes(&self, row: usize, k: usize, t: &mut [u32]) -> Result<()> {
        match self {
            Self::Set { data, .. } => data.classes(self.pick(row), k, t),
            Self::Batch(batch) => {
                batch.classes(row, k, t);
                Ok(())
            }
        }
    }

    pub fn weight(&self, row: usize) -> f32 {
        match self {
            Self::Set { data, .. } => weight(*data, self.pick(row)),
            Self::Batch(batch) => batch.weight(row),
        }
    }

    fn is_skipped(&self, row: usize) -> bool {
        match self {
            Self::Set { data, .. } => data.is_skipped(self.pick(row)),
            Self::Batch(batch) => batch.is_skipped(row),
        }
    }

    fn pick(&self, row: usize) -> Pick {
        match self {
            Self::Set { samples, epoch, seed, .. } => Pick { index: samples[row] as usize, epoch: *epoch, seed: *seed },
            Self::Batch(_) => Pick { index: row, epoch: 0, seed: 0 },
        }
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Feed({} samples)", self.order.len())
    }
}

impl Feed {
    pub fn new(data: Arc<dyn Dataset>, net: &Network, losses: usize, shuffle: bool, place: &str) -> Result<Self> {
        let n = data.len();
        if n == 0 || u32::try_from(n).is_err() {
            return Err(Error::shape(place, "number of samples").expected("1 to 2^32-1").got(n));
        }
        let inputs: Vec<(&str, Extent)> = net.inputs().collect();
        if inputs.len() != data.inputs().len() || ![0, losses].contains(&data.targets().len()) {
            let expected = format!("{} inputs and {losses} targets", inputs.len());
            let got = format!("{} and {}", data.inputs().len(), data.targets().len());
            return Err(Error::shape(place, "inputs or targets of the data set").expected(expected).got(got));
        }
        for ((name, expected), got) in inputs.iter().zip(data.inputs()) {
            // Channels are fixed by the weights; whether other spatial sizes can be planned, planning tells.
            if expected.c != got.c {
                return Err(Error::shape(format!("{place}, input {name}"), "channels").expected(expected).got(got));
            }
        }
        let order = (0..n as u32).collect();
        Ok(Self {
            order,
            data,
            made_for: None,
            shuffle,
            numbers: Vec::new(),
            labels: Vec::new(),
            resident: None,
            packed: None,
            ahead: None,
        })
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Refuses a set without targets where a loss of the plan takes one.
    pub fn check_targets(&self, plan: &Plan) -> Result<()> {
        let wanted = plan.losses.iter().map(|loss| loss.used().kind).find(|kind| *kind != Target::None);
        match wanted.filter(|_| self.data.targets().is_empty()) {
            Some(kind) => {
                let e = Error::shape("data set", "no targets, which the loss is to be taken of").expected(format!("{kind:?}"));
                Err(e.hint("Samples::with_classes and Samples::with_values add them"))
            }
            None => Ok(()),
        }
    }

    /// Sends the data to a GPU, if they fit and never change; batches are then gathered there, inputs as `dtype` and targets as
    /// `wanted`.
    pub fn reside(&mut self, device: &Device, dtype: DType, wanted: &[Target]) -> Result<()> {
        if let Device::Cuda(cuda) = device {
            self.resident = Resident::upload(&*self.data, cuda, dtype, wanted)?;
            self.resident.iter().try_for_each(|r| r.set_order(&self.order, (0, 0)))?;
            self.packed = self.packed.take().filter(|_| self.resident.is_none());
        }
        Ok(())
    }

    /// Finds out how batches of this size will come and go: read ahead, if the data wait for a disk; to a GPU as they are stored, if it can take
    /// them so.
    pub fn ready(&mut self, device: &Device, batch: usize, load: Load, after: After) -> Result<()> {
        if let Device::Cuda(cuda) = device {
            self.packed = Packed::new(&*self.data, cuda)?;
        }
        if self.data.waits() && load.depth > 0 {
            let course = Course { samples: self.len(), batch: batch.max(1), shuffle: self.shuffle, after };
            let raws = self.packed.as_ref().map_or(Vec::new(), Packed::raws);
            self.ahead = Some(Ahead::new(Arc::clone(&self.data), course, load, raws));
        }
        Ok(())
    }

    /// How long batches were waited for that should have been read ahead.
    pub fn waited(&self) -> Duration {
        self.ahead.as_ref().map_or(Duration::ZERO, Ahead::waited)
    }

    /// Whether a row of the batch that was staged last counts for nothing; the batch began at sample `from` of a set in its own order.
    pub fn is_skipped(&self, from: usize, row: usize) -> bool {
        match &self.ahead {
            Some(ahead) => ahead.current().is_skipped(row),
            None => self.data.is_skipped(Pick { index: from + row, epoch: 0, seed: 0 }),
        }
    }

    /// The error of a set of which every sample was left out.
    pub fn nothing_read(&self, place: &str) -> Error {
        let reasons = self.data.skipped();
        let e = Error::value(place, format!("none of the {} samples could be read", self.len()));
        e.got(reasons.first().map_or("no reason", String::as_str))
    }

    /// The classes of a row of that batch.
    pub fn classes(&self, from: usize, row: usize, k: usize, t: &mut [u32]) -> Result<()> {
        match &self.ahead {
            Some(ahead) => {
                ahead.current().classes(row, k, t);
                Ok(())
            }
            None => self.data.classes(Pick { index: from + row, epoch: 0, seed: 0 }, k, t),
        }
    }

    /// The data on a GPU.
    pub fn resident(&self) -> Option<&Resident> {
        self.resident.as_ref()
    }

    /// The order of this epoch: a function of the seed and the epoch alone, so that a resumed run finds it again.
    pub fn arrange(&mut self, epoch: u64, seed: u64) -> Result<()> {
        if self.made_for.replace((epoch, seed)) == Some((epoch, seed)) {
            return Ok(());
        }
        if self.shuffle {
            shuffled(&mut self.order, epoch, seed);
        }
        if let Some(resident) = self.resident.as_ref().filter(|r| self.shuffle || r.moves()) {
            resident.set_order(&self.order, (epoch, seed))?;
        }
        Ok(())
    }

    /// The samples at these places of the order.
    pub fn samples(&self, range: std::ops::Range<usize>) -> &[u32] {
        &self.order[range]
    }

    /// Writes inputs, targets and weights of the samples at `range` of the order into the slots of the plan. The step has just
    /// begun: on a GPU its cursor is 0. Returns how many of the samples count: those that could be read.
    pub fn stage(
        &mut self,
        plan: &Plan,
        s: &Step<'_>,
        range: std::ops::Range<usize>,
        (epoch, seed): (u64, u64),
    ) -> Result<usize> {
        if let Some(resident) = &self.resident {
            return resident.gather(s, plan, range.start).map(|()| range.len());
        }
        let data = &*self.data;
        let from = match &mut self.ahead {
            Some(ahead) => Rows::Batch(ahead.get(Key { epoch, seed, from: range.start, to: range.end })?),
            None => Rows::Set { data, samples: &self.order[range.clone()], epoch, seed },
        };
        let used = |from: &Rows<'_>| (0..range.len()).filter(|&row| !from.is_skipped(row)).count();
        if let Some(packed) = &mut self.packed
            && packed.stage(s, plan, &from, data.targets())?
        {
            return Ok(used(&from));
        }
        for (k, port) in plan.inputs.iter().enumerate() {
            let read = |row: usize, x: &mut [f32]| from.input(row, k, x);
            numbers(s, port.y, port.extent.len(), &mut self.numbers, read)?;
        }
        for (k, (port, offered)) in plan.losses.iter().map(LossPort::used).zip(data.targets()).enumerate() {
            match (offered, port.kind) {
                (Target::None, _) | (_, Target::None) => {}
                (Target::Values(_), _) => {
                    let read = |row: usize, t: &mut [f32]| from.values(row, k, t);
                    numbers(s, port.target, port.kind.len(), &mut self.numbers, read)?;
                }
                (Target::Index { classes, positions }, Target::Index { .. }) => {
                    let read = |row: usize, t: &mut [u32]| from.classes(row, k, t);
                    s.host_write::<u32>(port.target, |t| {
                        rows(s, t, *positions, read)?;
                        if !s.device().is_cuda() {
                            return Ok(());
                        }
                        // Losses on a GPU cannot say so any more.
                        let weights: Vec<f32> = (0..s.rows()).map(|row| from.weight(row)).collect();
                        find_label(t, &weights, *classes, *positions)
                    })?;
                }
                (Target::Index { positions, .. }, Target::Values(extent)) => {
                    self.labels.resize(s.rows() * positions, 0);
                    rows(s, &mut self.labels, *positions, |row: usize, t: &mut [u32]| from.classes(row, k, t))?;
                    crate::real!(s.master(), T => s.host_write::<T>(port.target, |t| one_hot(&self.labels, extent.c, t)))?;
                }
            }
        }
        if let Some(weight) = plan.weight {
            crate::real!(s.master(), T => s.host_write::<T>(weight, |w| {
                w.iter_mut().enumerate().for_each(|(row, w)| *w = T::of(f64::from(from.weight(row))));
                Ok(())
            }))?;
        }
        Ok(used(&from))
    }
}

/// Fills a slot of numbers; in f64 plans through `buffer`.
fn numbers(
    s: &Step<'_>,
    slot: crate::memory::Slot,
    len: usize,
    buffer: &mut Vec<f32>,
    read: impl Fn(usize, &mut [f32]) -> Result<()> + Sync,
) -> Result<()> {
    if s.dtype() != DType::F64 {
        return s.host_write::<f32>(slot, |x| rows(s, x, len, read));
    }
    buffer.resize(s.rows() * len, 0.0);
    rows(s, buffer, len, read)?;
    s.host_write::<f64>(slot, |x| {
        x.iter_mut().zip(buffer.iter()).for_each(|(d, x)| *d = f64::from(*x));
        Ok(())
    })
}

/// Reads row after row, with all threads where that pays. The first failing row's error comes back.
#[inline]
fn rows<T: Send>(s: &Step<'_>, out: &mut [T], len: usize, read: impl Fn(usize, &mut [T]) -> Result<()> + Sync) -> Result<()> {
    if out.len() >= PARALLEL && len > 0 {
        return rows_in_parallel(s, out, len, &read);
    }
    out.chunks_exact_mut(len.max(1)).enumerate().try_for_each(|(row, out)| read(row, out))
}

#[inline(never)]
fn rows_in_parallel<T: Send>(
    s: &Step<'_>,
    out: &mut [T],
    len: usize,
    read: &(dyn Fn(usize, &mut [T]) -> Result<()> + Sync),
) -> Result<()> {
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let one = |row: usize, out: &mut [T]| {
        if let Err(e) = read(row, out) {
            let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if failed.as_ref().is_none_or(|(first, _)| row < *first) {
                *failed = Some((row, e));
            }
        }
    };
    match s.device() {
        Device::Cpu(cpu) => cpu.split(len, out, one),
        // While the GPU computes the step before, the host has all its threads.
        Device::Cuda(_) => out.par_chunks_exact_mut(len).enumerate().for_each(|(row, out)| one(row, out)),
    }
    failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), |(_, e)| Err(e))
}
