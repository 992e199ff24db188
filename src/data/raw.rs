//! Bare arrays without a header: the shape is the user's, the length of the file must agree.

use super::array::{Array, Form, Kind};
use super::file;
use crate::Result;
use std::path::Path;

/// Reads a little-endian file with these sizes, slowest first.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io), and what [`from_bytes`] refuses.
///
/// # Examples
/// ```no_run
/// use kamacite::data::{Kind, raw};
/// let cats_and_dogs = raw::read("asirra_bin_128.dat", Kind::U8, &[25_000, 128, 128, 3])?.samples()?.scaled(1.0 / 255.0);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn read(path: impl AsRef<Path>, kind: Kind, shape: &[usize]) -> Result<Array> {
    let path = path.as_ref();
    owned(file::bytes(path)?, kind, shape).map_err(|e| e.at(path.display()))
}

/// Reads the contents of such a file.
///
/// # Errors
/// [`ErrorKind::Format`](crate::ErrorKind::Format) unless there are exactly as many bytes as the shape needs.
///
/// # Examples
/// ```
/// use kamacite::data::{Kind, raw};
/// let bytes: Vec<u8> = [1.0_f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
/// assert_eq!(raw::from_bytes(&bytes, Kind::F32, &[2])?.to_f32()?, [1.0, -2.0]);
/// assert!(raw::from_bytes(&bytes, Kind::F32, &[3]).is_err());
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn from_bytes(bytes: &[u8], kind: Kind, shape: &[usize]) -> Result<Array> {
    owned(bytes.to_vec(), kind, shape)
}

fn owned(bytes: Vec<u8>, kind: Kind, shape: &[usize]) -> Result<Array> {
    Array::new("raw", Form { kind, big_endian: false, fortran: false }, shape.to_vec(), bytes, 0)
}
