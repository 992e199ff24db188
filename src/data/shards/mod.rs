//! Data sets packed into a few large files: shuffled, with a checksum for every sample, larger than memory.
//!
//! [`pack`] writes any data set into a folder; [`Shards`] reads it, sample by sample, from any thread. A million small files become some
//! hundred large ones, which disks and parallel file systems read many times faster.
//!
//! # The folder
//! `index.json` is written last: what the samples are, how each input is stored, and the files with their numbers of samples. A file
//! `shard-00000.bin` begins with the 8 bytes `KMCSHARD`, the length of a record and the number of records (u64, little-endian), and the
//! CRC-32 of these 24 bytes with 4 bytes of zeros; then record after record: the targets (f32 or u32), their CRC-32, the inputs as they are
//! stored, their CRC-32. Everything is little-endian.

mod store;
mod write;

pub use store::Storage;
pub use write::{Packed, Packing, pack};

use super::skip::Skips;
use super::{Dataset, OnBad, Pick, Raw, Scaling, file};
use crate::loss::Target;
use crate::{Error, Extent, Result};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const INDEX: &str = "index.json";
const MAGIC: &[u8; 8] = b"KMCSHARD";
const KIND: &str = "kamacite shards";
const VERSION: u32 = 1;

/// Bytes before the first record.
const HEADER: usize = 32;

/// A checksum.
const SUM: usize = 4;

/// What `index.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Index {
    kind: String,
    version: u32,
    inputs: Vec<Extent>,
    stored: Vec<Storage>,
    targets: Vec<Kind>,
    class_names: Vec<String>,
    /// Absent where all are 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weights: Option<Vec<f32>>,
    shards: Vec<Shard>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Shard {
    file: String,
    samples: usize,
}

/// A target, as [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Values(Extent),
    Classes { classes: usize, positions: usize },
    None,
}

impl Kind {
    fn of(target: Target) -> Self {
        match target {
            Target::Values(extent) => Self::Values(extent),
            Target::Index { classes, positions } => Self::Classes { classes, positions },
            Target::None => Self::None,
        }
    }

    fn target(self) -> Target {
        match self {
            Self::Values(extent) => Target::Values(extent),
            Self::Classes { classes, positions } => Target::Index { classes, positions },
            Self::None => Target::None,
        }
    }
}

/// Where things lie in a record.
#[derive(Clone, Debug)]
struct Record {
    /// Begin of each target, then their end.
    targets: Vec<usize>,
    /// Begin of each input, counted from the first, then their end.
    inputs: Vec<usize>,
}

impl Record {
    fn new(index: &Index) -> Result<Self> {
        let ends = |sizes: &mut dyn Iterator<Item = Option<usize>>| -> Option<Vec<usize>> {
            let mut ends = vec![0_usize];
            for size in sizes {
                ends.push(ends[ends.len() - 1].checked_add(size?)?);
            }
            Some(ends)
        };
        let targets = ends(&mut index.targets.iter().map(|t| t.target().len().checked_mul(4)));
        let inputs = ends(&mut index.inputs.iter().zip(&index.stored).map(|(x, how)| how.bytes(x.len())));
        let too_long = || Error::format("record", "too long");
        let record = Self { targets: targets.ok_or_else(too_long)?, inputs: inputs.ok_or_else(too_long)? };
        if record.len() > 1 << 42 { Err(too_long()) } else { Ok(record) }
    }

    fn targets_len(&self) -> usize {
        self.targets[self.targets.len() - 1]
    }

    fn inputs_len(&self) -> usize {
        self.inputs[self.inputs.len() - 1]
    }

    fn len(&self) -> usize {
        self.targets_len() + SUM + self.inputs_len() + SUM
    }
}

/// A packed data set. Opening looks at the index and the length and header of each file; samples are checked as they are read.
///
/// # Examples
/// ```
/// use kamacite::data::shards::{Packing, Storage, pack};
/// use kamacite::data::{Dataset, Shards, synth};
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path().join("galaxies");
/// let packed = pack(&synth::galaxies(20, 1)?, &folder, &Packing::new(42).storage(Storage::F16))?;
/// assert_eq!((packed.samples, packed.shards), (20, 1));
/// let data = Shards::open(&folder)?;
/// assert_eq!((data.len(), data.inputs()[0].to_string(), data.class_names().len()), (20, "48x48x3".to_string(), 5));
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Debug)]
pub struct Shards {
    files: Vec<Open>,
    /// The first sample of each file, then their number.
    first: Vec<usize>,
    index: Index,
    targets: Vec<Target>,
    record: Record,
    skips: Skips,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: At,
}

/// A file that is read at positions.
#[derive(Debug)]
struct At(#[cfg(unix)] File, #[cfg(not(unix))] std::sync::Mutex<File>);

impl At {
    #[cfg(unix)]
    fn new(file: File) -> Self {
        Self(file)
    }

    #[cfg(unix)]
    fn read(&self, at: u64, out: &mut [u8]) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, out, at)
    }

    #[cfg(not(unix))]
    fn new(file: File) -> Self {
        Self(std::sync::Mutex::new(file))
    }

    #[cfg(not(unix))]
    fn read(&self, at: u64, out: &mut [u8]) -> std::io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(out)
    }
}

thread_local!(static BYTES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });

impl Shards {
    /// Opens a folder that [`pack`] has written.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) for files that are missing, [`ErrorKind::Format`](crate::ErrorKind::Format) for files that
    /// are cut short, belong to another set or are none of [`pack`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let path = folder.join(INDEX);
        let bytes =
            file::bytes(&path).map_err(|e| e.hint("is this the folder that pack has written, and was it written to its end?"))?;
        let malformed = |e: &dyn std::fmt::Display| Error::format(path.display(), "not an index of shards").got(e);
        let index: Index = serde_json::from_slice(&bytes).map_err(|e| malformed(&e))?;
        if index.kind != KIND || index.version != VERSION {
            let got = format!("{} {}", index.kind, index.version);
            return Err(Error::format(path.display(), "unknown kind of shards").expected(format!("{KIND} {VERSION}")).got(got));
        }
        let record = index.check().map_err(|e| e.at(path.display()))?;
        let mut first = vec![0_usize];
        let mut files = Vec::with_capacity(index.shards.len());
        for shard in &index.shards {
            files.push(shard.open(folder, record.len())?);
            first.push(first[first.len() - 1].saturating_add(shard.samples));
        }
        let targets = index.targets.iter().map(|t| t.target()).collect();
        Ok(Self { files, first, index, targets, record, skips: Skips::new(OnBad::Stop) })
    }

    /// What a damaged sample does to a run; it ends it by default.
    #[must_use]
    pub fn on_bad(mut self, on_bad: OnBad) -> Self {
        self.skips = Skips::new(on_bad);
        self
    }

    /// Reads targets or inputs of a sample, and checks them.
    fn part<R>(&self, index: usize, inputs: bool, use_it: impl FnOnce(&[u8]) -> Result<R>) -> Result<R> {
        if index >= self.len() {
            return Err(Error::shape("shards", "index out of range").expected(format!("below {}", self.len())).got(index));
        }
        let shard = self.first.partition_point(|&first| first <= index) - 1;
        let (open, row) = (&self.files[shard], index - self.first[shard]);
        let targets = self.record.targets_len();
        let (offset, len) = if inputs { (targets + SUM, self.record.inputs_len()) } else { (0, targets) };
        let mut bytes = BYTES.take();
        bytes.resize(len + SUM, 0);
        let place = || format!("{}, sample {row}", open.path.display());
        let at = (HEADER + row * self.record.len() + offset) as u64;
        let result =
            open.file.read(at, &mut bytes).map_err(|e| Error::io(&open.path, e).at(format!("sample {row}"))).and_then(|()| {
                let (part, sum) = bytes.split_at(len);
                let (expected, got) = (u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]), crc32fast::hash(part));
                if expected != got {
                    let e = Error::format(place(), "damaged: the checksum differs").expected(format!("{expected:08x}"));
                    return Err(e.got(format!("{got:08x}")).hint("copy the file again, pack anew, or .on_bad(OnBad::Skip)"));
                }
                use_it(part).map_err(|e| e.at(place()))
            });
        BYTES.set(bytes);
        result
    }

    /// The four-byte numbers of a target.
    fn target<T>(&self, pick: Pick, target: usize, t: &mut [T], of: impl Fn([u8; 4]) -> T) -> Result<()> {
        let [from, to] = self.record.targets[target..target + 2] else { return Ok(()) };
        if (to - from) / 4 != t.len() {
            return Err(Error::shape("shards", format!("target {target}")).expected((to - from) / 4).got(t.len()));
        }
        self.part(pick.index, false, |bytes| {
            let words = bytes[from..to].chunks_exact(4);
            t.iter_mut().zip(words).for_each(|(t, b)| *t = of([b[0], b[1], b[2], b[3]]));
            Ok(())
        })
    }
}

impl Index {
    /// Refuses what no packing writes.
    fn check(&self) -> Result<Record> {
        let wrong = |what: &str, expected: usize, got: usize| Err(Error::format("", what).expected(expected).got(got));
        if self.inputs.is_empty() || self.stored.len() != self.inputs.len() {
            return wrong("storage of the inputs", self.inputs.len().max(1), self.stored.len());
        }
        self.inputs.iter().try_for_each(|x| x.check().map(drop))?;
        for target in &self.targets {
            match *target {
                Kind::Values(extent) => drop(extent.check()?),
                Kind::Classes { classes, positions } if classes == 0 || positions == 0 || positions > 1 << 40 => {
                    return wrong("classes of a target", 1, classes.min(positions));
                }
                Kind::Classes { .. } | Kind::None => {}
            }
        }
        let samples = self.shards.iter().try_fold(0_usize, |sum, s| sum.checked_add(s.samples)).unwrap_or(0);
        if samples == 0 || self.shards.iter().any(|s| s.samples == 0) {
            return wrong("samples", 1, 0);
        }
        if let Some(weights) = &self.weights {
            let bad = weights.iter().any(|w| !(w.is_finite() && *w >= 0.0));
            if bad || weights.len() != samples {
                return wrong("weights, finite and at least 0", samples, weights.len());
            }
        }
        // Names of files in the folder, not paths out of it.
        match self.shards.iter().find(|s| Path::new(&s.file).file_name().is_none_or(|name| name != s.file.as_str())) {
            Some(shard) => {
                Err(Error::format("", "name of a shard").expected("a plain file name").got(format!("{:?}", shard.file)))
            }
            None => Record::new(self),
        }
    }
}

impl Shard {
    /// Opens the file, whose length and header must be those of so many records.
    fn open(&self, folder: &Path, record: usize) -> Result<Open> {
        let path = folder.join(&self.file);
        let io = |e| Error::io(&path, e).hint("a shard of the index is missing or cannot be read: copy the folder again");
        let file = File::open(&path).map_err(io)?;
        let got = file.metadata().map_err(io)?.len();
        let expected = self.samples.checked_mul(record).and_then(|n| n.checked_add(HEADER)).map(|n| n as u64);
        if expected != Some(got) {
            let what = if expected.is_none_or(|n| got < n) { "cut short" } else { "longer than the index says" };
            let e = Error::format(path.display(), what).expected(format!("{} bytes", expected.unwrap_or(u64::MAX)));
            return Err(e.got(got).hint("copy the file again, or pack anew"));
        }
        let mut header = [0; HEADER];
        let file = At::new(file);
        file.read(0, &mut header).map_err(io)?;
        if header != write::header(record, self.samples) {
            return Err(Error::format(path.display(), "not the header of this shard")
                .hint("index and shards of one packing belong together"));
        }
        Ok(Open { path, file })
    }
}

impl Dataset for Shards {
    fn len(&self) -> usize {
        self.first[self.first.len() - 1]
    }

    fn inputs(&self) -> &[Extent] {
        &self.index.inputs
    }

    fn targets(&self) -> &[Target] {
        &self.targets
    }

    fn input(&self, pick: Pick, input: usize, x: &mut [f32]) -> Result<()> {
        match self.index.inputs.get(input) {
            Some(extent) if extent.len() == x.len() => {}
            extent => {
                let expected = extent.map_or("no such input".to_string(), |e| e.to_string());
                return Err(Error::shape("shards", format!("input {input}")).expected(expected).got(x.len()));
            }
        }
        let (from, to) = (self.record.inputs[input], self.record.inputs[input + 1]);
        self.skips.read(pick.index, x, |x| {
            self.part(pick.index, true, |bytes| {
                self.index.stored[input].decode(&bytes[from..to], x);
                Ok(())
            })
        })
    }

    fn raw(&self, input: usize) -> Option<Raw> {
        self.index.stored.get(input)?.raw()
    }

    fn raw_row(&self, pick: Pick, input: usize, row: &mut [u8]) -> Option<Scaling> {
        if self.skips.contains(pick.index) {
            return None;
        }
        let (stored, ends) = (*self.index.stored.get(input)?, &self.record.inputs);
        let read = self.part(pick.index, true, |bytes| Ok(stored.raw_row(&bytes[ends[input]..ends[input + 1]], row)));
        read.ok().flatten()
    }

    fn values(&self, pick: Pick, target: usize, t: &mut [f32]) -> Result<()> {
        match self.index.targets.get(target) {
            Some(Kind::Values(_)) => self.target_or_skip(pick, target, t, f32::from_le_bytes, 0.0),
            _ => Err(Error::shape("shards", format!("no target of values {target}"))),
        }
    }

    fn classes(&self, pick: Pick, target: usize, t: &mut [u32]) -> Result<()> {
        match self.index.targets.get(target) {
            Some(Kind::Classes { .. }) => self.target_or_skip(pick, target, t, u32::from_le_bytes, 0),
            _ => Err(Error::shape("shards", format!("no target of classes {target}"))),
        }
    }

    fn weight(&self, index: usize) -> f32 {
        self.index.weights.as_ref().map_or(1.0, |w| w.get(index).copied().unwrap_or(0.0))
    }

    fn varies(&self) -> bool {
        false
    }

    fn waits(&self) -> bool {
        true
    }

    fn is_skipped(&self, pick: Pick) -> bool {
        self.skips.contains(pick.index)
    }

    fn skipped(&self) -> Vec<String> {
        self.skips.reasons()
    }

    fn class_names(&self) -> &[String] {
        &self.index.class_names
    }
}

impl Shards {
    fn target_or_skip<T: Copy>(&self, pick: Pick, target: usize, t: &mut [T], of: impl Fn([u8; 4]) -> T, none: T) -> Result<()> {
        if self.skips.contains(pick.index) {
            t.fill(none);
            return Ok(());
        }
        self.target(pick, target, t, of).or_else(|e| {
            t.fill(none);
            self.skips.note(pick.index, e)
        })
    }
}

impl From<Shards> for Arc<dyn Dataset> {
    fn from(shards: Shards) -> Self {
        Arc::new(shards)
    }
}

#[cfg(test)]
mod tests;
