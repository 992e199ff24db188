//! Writing shards.

use super::{HEADER, INDEX, Index, KIND, Kind, MAGIC, Record, SUM, Shard, Storage, VERSION};
use crate::data::{Dataset, Pick, split};
use crate::loss::Target;
use crate::{Error, Result};
use rayon::prelude::*;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The most files of a set: all stay open while it is read, and systems allow a program 1024.
const MOST_FILES: usize = 500;

/// Bytes of samples that are in memory at once.
const AT_ONCE: usize = 1 << 25;

/// How [`pack`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    seed: u64,
    storage: Storage,
    shard_bytes: usize,
}

impl Packing {
    /// In a random order that follows from the seed, in single precision, in files of up to 256 MiB.
    pub fn new(seed: u64) -> Self {
        Self { seed, storage: Storage::F32, shard_bytes: 1 << 28 }
    }

    /// Stores inputs like this. Targets keep single precision.
    #[must_use]
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }

    /// Bytes of a file, about; at least one sample, and more where there would be over 500 files.
    #[must_use]
    pub fn shard_bytes(mut self, bytes: usize) -> Self {
        self.shard_bytes = bytes;
        self
    }
}

/// What [`pack`] has written.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Packed {
    /// Samples.
    pub samples: usize,
    /// Files.
    pub shards: usize,
    /// Their bytes in all.
    pub bytes: u64,
    /// What could not be read and was left out.
    pub skipped: Vec<String>,
}

/// Packs a data set into a folder, which is made if there is none; see [`Shards`](super::Shards). Samples are read by all threads, each once, as in the first
/// epoch of a run; those that are skipped are left out. Files get their names when all are written, the index last: a folder without one is no
/// set. Where packing fails, nothing of it stays.
///
/// # Errors
/// What reading may meet; values that the storage cannot hold; a folder that holds a set already or files of the same names, or cannot be written.
pub fn pack(data: &dyn Dataset, folder: impl AsRef<Path>, packing: &Packing) -> Result<Packed> {
    let folder = folder.as_ref();
    let path = folder.join(INDEX);
    if path.exists() {
        return Err(
            Error::value(path.display(), "the folder holds a packed set already").hint("remove it, or choose another folder")
        );
    }
    if data.is_empty() {
        return Err(Error::value("packing", "no samples"));
    }
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let mut index = Index {
        kind: KIND.to_string(),
        version: VERSION,
        inputs: data.inputs().to_vec(),
        stored: vec![packing.storage; data.inputs().len()],
        targets: data.targets().iter().map(|t| Kind::of(*t)).collect(),
        class_names: data.class_names().to_vec(),
        weights: None,
        shards: vec![],
    };
    let record = Record::new(&index)?;
    let order = split::shuffled(data.len(), packing.seed);
    let each = (packing.shard_bytes / record.len()).max(1).max(order.len().div_ceil(MOST_FILES));
    let mut writer = Writer { folder, record: record.len(), each, open: None, shards: vec![], made: Made(vec![]) };
    let mut weights = Vec::with_capacity(order.len());
    for some in order.chunks((AT_ONCE / record.len()).max(1)) {
        let encoded: Vec<Result<Option<Vec<u8>>>> = some.par_iter().map(|&i| encode(data, i, packing.storage, &record)).collect();
        for (&i, bytes) in some.iter().zip(encoded) {
            if let Some(bytes) = bytes.map_err(|e| e.at(format!("packing sample {i}")))? {
                writer.add(&bytes)?;
                weights.push(data.weight(i));
            }
        }
    }
    writer.close()?;
    if weights.is_empty() {
        let reasons = data.skipped();
        let e = Error::value("packing", format!("none of {} samples could be read", data.len()));
        return Err(e.got(reasons.first().map_or("no reason", String::as_str)));
    }
    let samples = weights.len();
    index.weights = Some(weights).filter(|w| w.iter().any(|w| *w != 1.0));
    writer.rename()?;
    index.shards = writer.shards;
    let bytes = (samples * record.len() + index.shards.len() * HEADER) as u64;
    let packed = Packed { samples, shards: index.shards.len(), bytes, skipped: data.skipped() };
    let index = serde_json::to_vec_pretty(&index).map_err(|e| Error::value("packing", "the index").got(e))?;
    let half = part(&path);
    writer.made.0.push(half.clone());
    std::fs::write(&half, index).map_err(|e| Error::io(&half, e))?;
    std::fs::rename(&half, &path).map_err(|e| Error::io(&path, e))?;
    writer.made.0.clear();
    Ok(packed)
}

/// The record of a sample; `None` where it is skipped.
fn encode(data: &dyn Dataset, index: usize, storage: Storage, record: &Record) -> Result<Option<Vec<u8>>> {
    let pick = Pick { index, epoch: 0, seed: 0 };
    let mut inputs = Vec::with_capacity(record.inputs_len() + SUM);
    let mut x = Vec::new();
    for (k, extent) in data.inputs().iter().enumerate() {
        x.resize(extent.len(), 0.0);
        data.input(pick, k, &mut x)?;
        storage.encode(&x, &mut inputs)?;
    }
    let mut bytes = Vec::with_capacity(record.len());
    for (k, target) in data.targets().iter().enumerate() {
        match *target {
            Target::Values(extent) => {
                let mut t = vec![0.0; extent.len()];
                data.values(pick, k, &mut t)?;
                t.iter().for_each(|t| bytes.extend(t.to_le_bytes()));
            }
            Target::Index { positions, .. } => {
                let mut t = vec![0; positions];
                data.classes(pick, k, &mut t)?;
                t.iter().for_each(|t| bytes.extend(t.to_le_bytes()));
            }
            Target::None => {}
        }
    }
    if data.is_skipped(pick) {
        return Ok(None);
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.extend_from_slice(&inputs);
    bytes.extend(crc32fast::hash(&inputs).to_le_bytes());
    Ok(Some(bytes))
}

/// What a file of so many records of this length begins with.
pub(super) fn header(record: usize, samples: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&(record as u64).to_le_bytes());
    header[16..24].copy_from_slice(&(samples as u64).to_le_bytes());
    let sum = crc32fast::hash(&header[..28]);
    header[28..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// The files of a set that is not complete: removed with it.
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        // Why packing failed is what matters.
        self.0.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
}

/// What a file is called until the set is complete.
fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".part");
    name.into()
}

/// Writes records into files of `each`.
struct Writer<'a> {
    folder: &'a Path,
    record: usize,
    each: usize,
    open: Option<(PathBuf, BufWriter<File>, usize)>,
    shards: Vec<Shard>,
    made: Made,
}

impl Writer<'_> {
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        if self.open.is_none() {
            let path = self.folder.join(shard(self.shards.len()));
            if path.exists() {
                let e = Error::value(path.display(), "a file of this name is there already, and no index");
                return Err(e.hint("remove it, or choose another folder"));
            }
            let path = part(&path);
            let file = File::create(&path).map_err(|e| Error::io(&path, e))?;
            self.made.0.push(path.clone());
            let mut file = BufWriter::with_capacity(1 << 20, file);
            // The header is written when the number of records is known.
            file.write_all(&[0; HEADER]).map_err(|e| Error::io(&path, e))?;
            self.open = Some((path, file, 0));
        }
        let Some((path, file, samples)) = &mut self.open else { return Ok(()) };
        file.write_all(bytes).map_err(|e| Error::io(&*path, e))?;
        *samples += 1;
        if *samples == self.each { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<()> {
        use std::io::{Seek, SeekFrom};
        let Some((path, mut file, samples)) = self.open.take() else { return Ok(()) };
        let finish = || -> std::io::Result<()> {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header(self.record, samples))?;
            file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
        };
        finish().map_err(|e| Error::io(&path, e))?;
        self.shards.push(Shard { file: shard(self.shards.len()), samples });
        Ok(())
    }

    /// Gives the files their names.
    fn rename(&mut self) -> Result<()> {
        for (shard, made) in self.shards.iter().zip(&mut self.made.0) {
            let path = self.folder.join(&shard.file);
            std::fs::rename(&*made, &path).map_err(|e| Error::io(&path, e))?;
            *made = path;
        }
        Ok(())
    }
}

fn shard(number: usize) -> String {
    format!("shard-{number:05}.bin")
}
