//! Bytes from files, and memory that may be refused.

use crate::{Error, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// The contents of a regular file: devices and pipes have no length, so their contents could not be bounded.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes_into(path, &mut bytes)?;
    Ok(bytes)
}

/// As [`bytes`], into memory that is there.
pub(crate) fn bytes_into(path: &Path, bytes: &mut Vec<u8>) -> Result<()> {
    let io = |e| Error::io(path, e);
    let file = File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(
            Error::format(path.display(), "not a regular file").hint("give the path of a file, not of a folder or a pipe")
        );
    }
    let len = usize::try_from(meta.len()).unwrap_or(usize::MAX);
    bytes.clear();
    if bytes.capacity() < len {
        *bytes = reserve(path.display(), len)?;
    }
    file.take(meta.len()).read_to_end(bytes).map_err(io)?;
    Ok(())
}

/// An empty vector with room for `len` values, or an error where that much memory is not to be had.
pub(crate) fn reserve<T>(place: impl std::fmt::Display, len: usize) -> Result<Vec<T>> {
    let mut v = Vec::new();
    match v.try_reserve_exact(len) {
        Ok(()) => Ok(v),
        Err(_) => Err(Error::out_of_memory(place, format!("no memory for {len} values of {} bytes", size_of::<T>()))),
    }
}

/// Writes a whole file.
pub(crate) fn write(path: &Path, parts: &[&[u8]]) -> Result<()> {
    let io = |e| Error::io(path, e);
    let mut file = File::create(path).map_err(io)?;
    parts.iter().try_for_each(|part| file.write_all(part)).map_err(io)
}

/// The product of the sizes, refusing what does not fit.
pub(crate) fn product(place: impl std::fmt::Display, sizes: impl IntoIterator<Item = usize>) -> Result<usize> {
    let product = sizes.into_iter().try_fold(1_usize, usize::checked_mul).filter(|&n| n <= isize::MAX as usize / 8);
    product.ok_or_else(|| Error::format(place, "the product of the sizes overflows"))
}

/// For tests of readers: no input that is a prefix of a good one, or a good one with some bytes changed, may panic.
/// Returns how many were refused, so that a test can tell that something was.
#[cfg(test)]
pub(crate) fn mutate<T>(good: &[u8], mut read: impl FnMut(&[u8]) -> Result<T>) -> (usize, usize) {
    use crate::rng::{Purpose, Stream};
    let (mut refused, mut runs) = (0, 0);
    let mut run = |bytes: &[u8]| {
        runs += 1;
        if let Err(e) = read(bytes) {
            assert!(!e.to_string().is_empty());
            refused += 1;
        }
    };
    (0..good.len()).for_each(|end| run(&good[..end]));
    let mut r = Stream::new(1, Purpose::User, good.len() as u64);
    let head = good.len().min(256);
    for i in 0..head {
        for value in [0, 1, 0x7f, 0x80, 0xff, b'9', b' ', b'\n'] {
            let mut bytes = good.to_vec();
            bytes[i] = value;
            run(&bytes);
        }
    }
    for _ in 0..2000 {
        let mut bytes = good.to_vec();
        for _ in 0..1 + r.below(4) {
            let i = r.below(bytes.len());
            match r.below(4) {
                0 => bytes[i] = r.word() as u8,
                1 => bytes[i] ^= 1 << r.below(8),
                2 => bytes.insert(i, r.word() as u8),
                _ => drop(bytes.remove(i)),
            }
            if bytes.is_empty() {
                break;
            }
        }
        run(&bytes);
    }
    (refused, runs)
}
