//! The binary files of CIFAR-10 and CIFAR-100: records of one or two labels and 3 × 1024 bytes, plane by plane.
//!
//! # Source
//! Krizhevsky 2009, "Learning multiple layers of features from tiny images".

use super::{Layout, Samples, file};
use crate::{Error, Extent, Result};
use std::path::Path;

/// The names of the ten classes.
pub const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Which of the data sets, and which of its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// CIFAR-10.
    Ten,
    /// CIFAR-100 with its 20 coarse labels.
    Coarse,
    /// CIFAR-100 with its 100 fine labels.
    Fine,
}

const PIXELS: usize = 3 * 1024;

impl Variant {
    /// Labels in a record, the one to take, the number of classes.
    const fn form(self) -> (usize, usize, usize) {
        match self {
            Self::Ten => (1, 0, 10),
            Self::Coarse => (2, 0, 20),
            Self::Fine => (2, 1, 100),
        }
    }
}

/// Reads files one after another: `data_batch_1.bin` to `data_batch_5.bin`. Pixels stay 0 to 255; see [`Samples::scaled`].
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io), and what [`from_bytes`] refuses.
///
/// # Examples
/// ```no_run
/// use kamacite::data::cifar::{self, Variant};
/// let train = cifar::read((1..=5).map(|i| format!("cifar-10-batches-bin/data_batch_{i}.bin")), Variant::Ten)?.scaled(1.0 / 255.0);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn read(paths: impl IntoIterator<Item = impl AsRef<Path>>, variant: Variant) -> Result<Samples> {
    let (mut x, mut t) = (vec![], vec![]);
    for path in paths {
        let path = path.as_ref();
        append(&file::bytes(path)?, variant, &mut x, &mut t).map_err(|e| e.at(path.display()))?;
    }
    samples(x, t, variant)
}

/// Reads the contents of one file.
///
/// # Errors
/// [`ErrorKind::Format`](crate::ErrorKind::Format) for no whole number of records and labels out of range.
///
/// # Examples
/// ```
/// use kamacite::data::cifar::{self, Variant};
/// let mut record = vec![7; 1 + 3072]; // label 7
/// record[1] = 255; // the first red byte
/// let one = cifar::from_bytes(&record, Variant::Ten)?;
/// assert_eq!((one.labels(0), &one.x(0)[..4]), (Some(&[7][..]), &[255., 7., 7., 7.][..]));
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn from_bytes(bytes: &[u8], variant: Variant) -> Result<Samples> {
    let (mut x, mut t) = (vec![], vec![]);
    append(bytes, variant, &mut x, &mut t)?;
    samples(x, t, variant)
}

fn append(bytes: &[u8], variant: Variant, x: &mut Vec<f32>, t: &mut Vec<u32>) -> Result<()> {
    let (labels, which, classes) = variant.form();
    let record = labels + PIXELS;
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        let hint = "CIFAR-10 has records of 3073 bytes, CIFAR-100 of 3074; the Python and Matlab versions are other formats";
        let expected = format!("a multiple of {record} bytes");
        return Err(Error::format("cifar", "no whole number of records").expected(expected).got(bytes.len()).hint(hint));
    }
    let failed = |_| Error::out_of_memory("cifar", "no memory for the images");
    x.try_reserve(bytes.len() / record * PIXELS).map_err(failed)?;
    for (i, record) in bytes.chunks_exact(record).enumerate() {
        let (label, pixels) = (record[which], &record[labels..]);
        if usize::from(label) >= classes {
            return Err(Error::format(format!("cifar, record {i}"), "label out of range")
                .expected(format!("below {classes}"))
                .got(label));
        }
        t.push(u32::from(label));
        x.extend(pixels.iter().map(|&p| f32::from(p)));
    }
    Ok(())
}

fn samples(x: Vec<f32>, t: Vec<u32>, variant: Variant) -> Result<Samples> {
    let s = Samples::from_layout(Layout::ChannelsFirst, Extent::image(32, 32, 3), x)?.with_classes(t, variant.form().2)?;
    Ok(if variant == Variant::Ten { s.with_class_names(CLASSES) } else { s })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    fn file(labels: &[&[u8]]) -> Vec<u8> {
        let record = |(i, labels): (usize, &&[u8])| {
            let planes = (0..PIXELS).map(move |p| (p / 1024 * 80 + p % 64 + i) as u8);
            labels.iter().copied().chain(planes).collect::<Vec<u8>>()
        };
        labels.iter().enumerate().flat_map(record).collect()
    }

    #[test]
    fn planes_become_channels() {
        let s = from_bytes(&file(&[&[3], &[9]]), Variant::Ten).unwrap();
        assert_eq!((s.len(), s.labels(0).unwrap(), s.class_names()[9].as_str()), (2, &[3, 9][..], "truck"));
        for (p, pixel) in s.x(0)[PIXELS..].chunks(3).enumerate() {
            assert_eq!(pixel, [0, 80, 160].map(|c| (c + p % 64 + 1) as f32));
        }
        let hundred = file(&[&[19, 99]]);
        assert_eq!(from_bytes(&hundred, Variant::Coarse).unwrap().labels(0).unwrap(), [19]);
        assert_eq!(from_bytes(&hundred, Variant::Fine).unwrap().labels(0).unwrap(), [99]);
    }

    #[test]
    fn damaged_files_are_refused() {
        assert!(from_bytes(&file(&[&[10]]), Variant::Ten).unwrap_err().to_string().contains("label out of range"));
        let (refused, runs) = crate::data::file::mutate(&file(&[&[3]]), |b| from_bytes(b, Variant::Ten));
        // Changed pixels are images too; all else must be refused.
        assert!(refused > PIXELS && refused < runs);
        assert!(read(Vec::<String>::new(), Variant::Ten).is_err());
    }

    #[test]
    fn several_files() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().join("a"), dir.path().join("b")];
        std::fs::write(&paths[0], file(&[&[1], &[2]])).unwrap();
        std::fs::write(&paths[1], file(&[&[3]])).unwrap();
        assert_eq!(read(&paths, Variant::Ten).unwrap().labels(0).unwrap(), [1, 2, 3]);
    }
}
