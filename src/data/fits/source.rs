//! Where the bytes are: a file read at positions, which threads share without a cursor, or memory.

use crate::data::file;
use crate::{Error, Result};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Compressed files are unpacked into memory, and no further than this.
const UNPACKED: u64 = 1 << 32;

/// Deflate cannot expand by more (RFC 1951: 258 bytes from 2 bits), so a larger claim is a lie.
pub(super) const EXPANSION: u64 = 1032;

pub(super) struct Source {
    /// The path, or the name the caller gave: the first word of every message.
    pub name: String,
    len: u64,
    store: Store,
}

enum Store {
    File(File),
    Bytes(Vec<u8>),
}

impl Source {
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e: io::Error| {
            let hint = match e.kind() {
                io::ErrorKind::NotFound => "check the path; relative ones start at the folder the program runs in",
                io::ErrorKind::PermissionDenied => "ask its owner for the right to read it",
                _ => "can another program read it?",
            };
            Error::io(path, e).hint(hint)
        };
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let name = path.display().to_string();
        if !meta.is_file() {
            return Err(Error::format(name, "not a regular file").hint("give the path of a file, not of a folder or a pipe"));
        }
        let source = Self { name, len: meta.len(), store: Store::File(file) };
        let mut magic = [0; 2];
        if source.len >= 2 {
            source.fill(0, &mut magic)?;
        }
        if magic == GZIP {
            let Store::File(file) = source.store else { return Ok(source) };
            return Self::unpacked(source.name, file, source.len);
        }
        Ok(source)
    }

    pub fn from_bytes(name: String, bytes: Vec<u8>) -> Result<Self> {
        if bytes.starts_with(&GZIP) {
            return Self::unpacked(name, &bytes[..], bytes.len() as u64);
        }
        Ok(Self { name, len: bytes.len() as u64, store: Store::Bytes(bytes) })
    }

    fn unpacked(name: String, packed: impl Read, len: u64) -> Result<Self> {
        let bytes = gunzip(&name, packed, UNPACKED.min(len.saturating_mul(EXPANSION)))?;
        if bytes.starts_with(&GZIP) {
            return Err(Error::format(name, "compressed twice").hint("unpack it once with gunzip"));
        }
        Ok(Self { name, len: bytes.len() as u64, store: Store::Bytes(bytes) })
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// Reads all of `out` from `at` on.
    pub fn fill(&self, at: u64, out: &mut [u8]) -> Result<()> {
        let wanted = out.len();
        let failed = |e: io::Error| {
            let e = Error::io(&self.name, e).expected(format!("{wanted} bytes at byte {at}"));
            e.hint("was the file changed while it was read?")
        };
        match &self.store {
            Store::File(file) => read_at(file, at, out).map_err(failed),
            Store::Bytes(_) => {
                out.copy_from_slice(&self.span(at, out.len())?);
                Ok(())
            }
        }
    }

    /// `len` bytes from `at` on: the memory itself, or a piece of the file.
    pub fn span(&self, at: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        let end = at.checked_add(len as u64).filter(|&end| end <= self.len);
        let Some(end) = end else {
            let e = Error::format(&self.name, "the file ends too soon").expected(format!("{len} bytes at byte {at}"));
            return Err(e.got(format!("a file of {} bytes", self.len)).hint("copy or download it again"));
        };
        match &self.store {
            // Within the length of a vector, so both fit.
            Store::Bytes(bytes) => Ok(Cow::Borrowed(&bytes[at as usize..end as usize])),
            Store::File(_) => {
                let mut piece = file::reserve(&self.name, len)?;
                piece.resize(len, 0);
                self.fill(at, &mut piece)?;
                Ok(Cow::Owned(piece))
            }
        }
    }

    /// The whole contents, where they are in memory.
    pub fn memory(&self) -> Option<&[u8]> {
        match &self.store {
            Store::Bytes(bytes) => Some(bytes),
            Store::File(_) => None,
        }
    }
}

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Unpacks at most `most` bytes; memory grows with what really comes.
pub(super) fn gunzip(place: &str, packed: impl Read, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(io::BufReader::new(packed)).take(most.saturating_add(1));
    let damaged =
        |e: io::Error| Error::format(place, format!("gzip: {e}")).hint("the file is cut short or damaged: copy it again");
    reader.read_to_end(&mut bytes).map_err(damaged)?;
    if bytes.len() as u64 > most {
        let e = Error::format(place, "gzip: unpacks to too much").expected(format!("at most {most} bytes"));
        return Err(e.hint("unpack it with gunzip: files that are not compressed may have any size"));
    }
    Ok(bytes)
}

#[cfg(unix)]
fn read_at(file: &File, at: u64, out: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut at: u64, mut out: &mut [u8]) -> io::Result<()> {
    while !out.is_empty() {
        let n = std::os::windows::fs::FileExt::seek_read(file, out, at)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out = &mut out[n..];
        at += n as u64;
    }
    Ok(())
}

#[cfg(not(any(unix, windows)))]
fn read_at(_: &File, _: u64, _: &mut [u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
