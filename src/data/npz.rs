//! NPZ archives of NumPy: a ZIP file with one NPY file for each array.

use super::Array;
use super::npy;
use crate::{Error, Result};
use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;
use zip::ZipArchive;

/// No entry is unpacked beyond this many bytes unless [`Npz::limit`] says otherwise.
const LIMIT: u64 = 1 << 32;

/// Deflate cannot expand by more (RFC 1951: 258 bytes from 2 bits), so a larger claim is a lie.
const EXPANSION: u64 = 1032;

trait Source: Read + Seek + Send {}
impl<T: Read + Seek + Send> Source for T {}

/// An archive, read array by array.
///
/// # Examples
/// ```no_run
/// use kamacite::data::npz::Npz;
/// let mut file = Npz::read("catalogue.npz")?;
/// println!("{:?}", file.names());
/// let train = file.array("x")?.samples()?.with_classes(file.array("labels")?.to_labels()?, 10)?;
/// # Ok::<(), kamacite::Error>(())
/// ```
pub struct Npz {
    archive: ZipArchive<Box<dyn Source>>,
    limit: u64,
}

fn failed(place: impl Display) -> impl Fn(zip::result::ZipError) -> Error {
    move |e| Error::format(&place, e).hint("is it an archive written by numpy.savez?")
}

impl Npz {
    /// Opens a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), [`ErrorKind::Format`](crate::ErrorKind::Format) for anything but a ZIP archive.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        Self::open(Box::new(BufReader::new(file)), path.display())
    }

    /// Opens the contents of a file.
    ///
    /// # Errors
    /// As [`Npz::read`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::open(Box::new(Cursor::new(bytes.to_vec())), "npz")
    }

    fn open(source: Box<dyn Source>, place: impl Display) -> Result<Self> {
        let archive = ZipArchive::new(source).map_err(failed(place.to_string()))?;
        Ok(Self { archive, limit: LIMIT })
    }

    /// Sets how many bytes one array may unpack to (4 GiB).
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// The names of the arrays, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.archive.file_names().map(|n| n.strip_suffix(".npy").unwrap_or(n).to_string()).collect()
    }

    /// Unpacks one array.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) for an absent or damaged array and one beyond the limit.
    pub fn array(&mut self, name: &str) -> Result<Array> {
        let place = format!("npz, {name}");
        let file = [format!("{name}.npy"), name.to_string()].into_iter().find(|n| self.archive.index_for_name(n).is_some());
        let Some(file) = file else {
            return Err(Error::format(&place, "no such array").expected(format!("one of {:?}", self.names())));
        };
        let entry = self.archive.by_name(&file).map_err(failed(&place))?;
        let (size, packed) = (entry.size(), entry.compressed_size());
        let most = self.limit.min(packed.saturating_mul(EXPANSION));
        if size > most {
            let hint = "raise the limit if you trust the file";
            return Err(Error::format(&place, "unpacks to too much")
                .expected(format!("at most {most} bytes"))
                .got(size)
                .hint(hint));
        }
        let mut bytes = Vec::new();
        entry.take(size + 1).read_to_end(&mut bytes).map_err(|e| Error::format(&place, e))?;
        if bytes.len() as u64 != size {
            return Err(Error::format(&place, "not the announced size").expected(size).got(bytes.len()));
        }
        npy::owned(bytes).map_err(|e| e.at(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    fn archive(method: CompressionMethod, files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut w = ZipWriter::new(Cursor::new(vec![]));
        for (name, bytes) in files {
            w.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            w.write_all(bytes).unwrap();
        }
        w.finish().unwrap().into_inner()
    }

    #[test]
    fn arrays_by_name() {
        let (x, t) = (npy::to_bytes(&[2, 2], &[1.0_f64, 2.0, 3.0, 4.0]).unwrap(), npy::to_bytes(&[2], &[0_u8, 1]).unwrap());
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let bytes = archive(method, &[("x.npy", &x), ("t.npy", &t)]);
            let mut npz = Npz::from_bytes(&bytes).unwrap();
            assert_eq!(npz.names(), ["x", "t"]);
            assert_eq!(npz.array("x").unwrap().to_f32().unwrap(), [1., 2., 3., 4.]);
            assert_eq!(npz.array("t").unwrap().to_labels().unwrap(), [0, 1]);
            assert!(npz.array("y").unwrap_err().to_string().contains("one of"));
            let (refused, _) = crate::data::file::mutate(&bytes, |b| {
                let mut npz = Npz::from_bytes(b)?;
                npz.names().iter().map(|n| npz.array(n)).collect::<Result<Vec<_>>>()
            });
            assert!(refused >= bytes.len());
        }
    }

    #[test]
    fn bombs_are_refused() {
        let zeros = npy::to_bytes(&[1 << 24], &vec![0_u8; 1 << 24]).unwrap();
        let bytes = archive(CompressionMethod::Deflated, &[("x.npy", &zeros)]);
        assert!(bytes.len() < 1 << 16);
        let e = Npz::from_bytes(&bytes).unwrap().limit(1 << 20).array("x").unwrap_err().to_string();
        assert!(e.contains("at most 1048576 bytes, got 16777344"), "{e}");
        assert_eq!(Npz::from_bytes(&bytes).unwrap().array("x").unwrap().len(), 1 << 24);
    }
}
