//! IDX, the format of MNIST: two zero bytes, a type, the number of indices, the sizes (big-endian), the elements.
//!
//! With the feature `gzip`, compressed files are read as they are.
//!
//! # Source
//! LeCun, Cortes & Burges, "The MNIST database of handwritten digits".

use super::array::{Array, Element, Form, Kind, check_shape};
use super::{Samples, file};
use crate::{Error, Result};
use std::path::Path;

/// Reads a file.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io), and what [`from_bytes`] refuses.
pub fn read(path: impl AsRef<Path>) -> Result<Array> {
    let path = path.as_ref();
    owned(file::bytes(path)?).map_err(|e| e.at(path.display()))
}

/// Reads the contents of a file.
///
/// # Errors
/// [`ErrorKind::Format`](crate::ErrorKind::Format) for anything that is not exactly one array.
///
/// # Examples
/// ```
/// use kamacite::data::idx;
/// let file = idx::to_bytes(&[2, 2], &[1_u8, 2, 3, 4])?;
/// assert_eq!(file, [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4]);
/// assert_eq!(idx::from_bytes(&file)?.to_f32()?, [1., 2., 3., 4.]);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn from_bytes(bytes: &[u8]) -> Result<Array> {
    owned(bytes.to_vec())
}

/// Images and labels from two files, as MNIST comes. Pixels stay 0 to 255; see [`Samples::scaled`].
///
/// # Errors
/// As [`read`], and if the numbers of images and labels differ.
pub fn read_pair(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Samples> {
    let (images, labels) = (images.as_ref(), labels.as_ref());
    let x = read(images)?.samples().map_err(|e| e.at(images.display()))?;
    let labels_at = |e: Error| e.at(labels.display());
    let t = read(labels)?.to_labels().map_err(labels_at)?;
    let classes = t.iter().max().map_or(1, |&c| c as usize + 1);
    x.with_classes(t, classes).map_err(labels_at)
}

fn owned(bytes: Vec<u8>) -> Result<Array> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return owned(unzip(&bytes)?);
    }
    let (form, shape, start) = header(&bytes)?;
    Array::new("idx", form, shape, bytes, start)
}

/// The form, the sizes and where the elements begin.
fn header(bytes: &[u8]) -> Result<(Form, Vec<usize>, usize)> {
    let short = |expected: usize| Error::format("idx header", "cut short").expected(format!("{expected} bytes")).got(bytes.len());
    let Some((&[zero, also, code, rank], _)) = bytes.split_first_chunk() else { return Err(short(4)) };
    let wrong = |byte, what, expected| Error::format(format!("idx, byte {byte}"), what).expected(expected);
    if [zero, also] != [0, 0] {
        return Err(wrong(0, "not an IDX file", "0 0").got(format!("{zero} {also}")));
    }
    let kind = match code {
        0x08 => Kind::U8,
        0x09 => Kind::I8,
        0x0b => Kind::I16,
        0x0c => Kind::I32,
        0x0d => Kind::F32,
        0x0e => Kind::F64,
        _ => return Err(wrong(2, "unknown element type", "8, 9, 11, 12, 13 or 14").got(code)),
    };
    if rank == 0 {
        return Err(wrong(3, "no sizes", "at least 1").got(0));
    }
    let start = 4 + 4 * usize::from(rank);
    let sizes = bytes.get(4..start).ok_or_else(|| short(start))?;
    let shape = sizes.as_chunks::<4>().0.iter().map(|b| u32::from_be_bytes(*b) as usize).collect();
    Ok((Form { kind, big_endian: true, fortran: false }, shape, start))
}

#[cfg(not(feature = "gzip"))]
fn unzip(_: &[u8]) -> Result<Vec<u8>> {
    Err(Error::unsupported("idx", "compressed with gzip").hint("build with the feature `gzip`, or unpack it first"))
}

/// Unpacks as many bytes as the sizes in the unpacked header ask for, and no more.
#[cfg(feature = "gzip")]
fn unzip(bytes: &[u8]) -> Result<Vec<u8>> {
    use std::io::Read;
    // Deflate cannot expand by more (RFC 1951: 258 bytes from 2 bits), so a larger claim is a lie.
    const EXPANSION: usize = 1032;
    let failed = |e: std::io::Error| Error::format("idx, gzip", e);
    let mut reader = flate2::read::MultiGzDecoder::new(bytes);
    let mut head = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut head).map_err(failed)?;
    reader.by_ref().take(4 * u64::from(head.get(3).copied().unwrap_or(0))).read_to_end(&mut head).map_err(failed)?;
    if head.starts_with(&[0x1f, 0x8b]) {
        return Err(Error::format("idx, gzip", "compressed twice"));
    }
    let (form, shape, start) = header(&head)?;
    let len = file::product("idx, gzip", shape.into_iter().chain([form.kind.bytes()]))?;
    let most = bytes.len().saturating_mul(EXPANSION);
    if len > most {
        return Err(Error::format("idx, gzip", "the sizes exceed what the file can hold")
            .expected(format!("at most {most}"))
            .got(len));
    }
    // One byte more than announced shows a file that is too long.
    reader.take(len as u64 + 1).read_to_end(&mut head).map_err(failed)?;
    debug_assert!(head.len() <= start + len + 1);
    Ok(head)
}

/// The contents of a file with these sizes, slowest first.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the data do not fill the shape or the shape does not fit the format,
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for types that IDX does not have.
pub fn to_bytes<T: Element>(shape: &[usize], x: &[T]) -> Result<Vec<u8>> {
    check_shape("idx", shape, x.len())?;
    let code = match T::KIND {
        Kind::U8 => 0x08,
        Kind::I8 => 0x09,
        Kind::I16 => 0x0b,
        Kind::I32 => 0x0c,
        Kind::F32 => 0x0d,
        Kind::F64 => 0x0e,
        other => {
            return Err(Error::unsupported("idx", "no such element type")
                .expected("u8, i8, i16, i32, f32 or f64")
                .got(format!("{other:?}")));
        }
    };
    let sizes: Option<Vec<u32>> = shape.iter().map(|&n| u32::try_from(n).ok()).collect();
    let (Some(sizes), Ok(rank @ 1..)) = (sizes, u8::try_from(shape.len())) else {
        return Err(Error::shape("idx", "shape").expected("1 to 255 sizes below 2^32").got(format!("{shape:?}")));
    };
    let mut out = file::reserve("idx", 4 + 4 * sizes.len() + size_of_val(x))?;
    out.extend([0, 0, code, rank]);
    sizes.iter().for_each(|n| out.extend(n.to_be_bytes()));
    let start = out.len();
    out.extend_from_slice(bytemuck::cast_slice(x));
    if cfg!(target_endian = "little") {
        out[start..].chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
    }
    Ok(out)
}

/// Writes a file; see [`to_bytes`].
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io), and as [`to_bytes`].
pub fn write<T: Element>(path: impl AsRef<Path>, shape: &[usize], x: &[T]) -> Result<()> {
    file::write(path.as_ref(), &[&to_bytes(shape, x)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round<T: Element + Into<f64>>(x: &[T]) {
        let bytes = to_bytes(&[x.len() / 2, 2], x).unwrap();
        let a = from_bytes(&bytes).unwrap();
        let expected: Vec<f32> = x.iter().map(|&x| x.into() as f32).collect();
        assert_eq!((a.kind(), a.shape(), a.to_f32().unwrap()), (T::KIND, &[x.len() / 2, 2][..], expected));
        let (refused, _) = file::mutate(&bytes, |b| from_bytes(b)?.to_f32());
        assert!(refused >= bytes.len(), "every cut must be refused");
    }

    #[test]
    fn every_type_survives() {
        round(&[1_u8, 255, 0, 7]);
        round(&[1_i8, -128, 0, 7]);
        round(&[1_i16, -32768, 0, 7]);
        round(&[1_i32, i32::MIN, 0, 7]);
        round(&[1.5_f32, -1e30, 0.0, 7.0]);
        round(&[1.5_f64, -1e30, 0.0, 7.0]);
        assert!(to_bytes(&[1], &[1_u64]).is_err() && to_bytes(&[2], &[1_u8]).is_err() && to_bytes(&[], &[1_u8]).is_err());
    }

    #[test]
    fn lies_about_sizes_are_refused_before_memory_is_asked_for() {
        for sizes in [[u32::MAX; 3], [1 << 31, 2, 1], [0, 1, 1]] {
            let mut bytes = vec![0, 0, 0x0e, 3];
            sizes.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
            bytes.push(1);
            assert!(from_bytes(&bytes).is_err(), "{sizes:?}");
        }
        let e = from_bytes(&[0, 0, 8, 1, 0, 0, 0, 5, 1, 2]).unwrap_err().to_string();
        assert_eq!(e, "idx: shape [5] of U8 does not fill the file; expected 5 bytes of data, got 2; the file is cut short");
    }

    #[test]
    fn images_and_labels() {
        let dir = tempfile::tempdir().unwrap();
        let (x, t) = (dir.path().join("x"), dir.path().join("t"));
        write(&x, &[2, 2, 3], &(0..12).collect::<Vec<u8>>()).unwrap();
        write(&t, &[2], &[3_u8, 1]).unwrap();
        let s = read_pair(&x, &t).unwrap();
        assert_eq!((s.extent(0), s.labels(0)), (Some(crate::Extent::image(2, 3, 1)), Some(&[3, 1][..])));
        write(&t, &[3], &[3_u8, 1, 0]).unwrap();
        assert!(read_pair(&x, &t).unwrap_err().to_string().contains("for each of 2 samples"));
        assert!(read(dir.path()).is_err() && read(dir.path().join("absent")).is_err());
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn gzip_is_unpacked_to_the_announced_size_only() {
        use std::io::Write;
        let zip = |bytes: &[u8]| {
            let mut w = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
            w.write_all(bytes).unwrap();
            w.finish().unwrap()
        };
        let plain = to_bytes(&[4], &[1_u8, 2, 3, 4]).unwrap();
        assert_eq!(from_bytes(&zip(&plain)).unwrap().to_f32().unwrap(), [1., 2., 3., 4.]);
        file::mutate(&zip(&plain), from_bytes);
        assert!(from_bytes(&zip(&zip(&plain))).is_err());
        // 16 MiB of zeros after a header that announces four bytes, and a header that announces 4 GiB.
        let mut bomb = plain.clone();
        bomb.resize(1 << 24, 0);
        assert!(from_bytes(&zip(&bomb)).unwrap_err().to_string().contains("longer than its header"));
        bomb[4..8].copy_from_slice(&[0xff; 4]);
        assert!(from_bytes(&zip(&bomb)).unwrap_err().to_string().contains("exceed what the file can hold"));
    }
}
