//! Data sets from files.

use super::{give, kmc_dataset, kmc_layout, layout};
use crate::entry::{Answer, Fault, count, entry, extent, optional, optional_text, output, sized32, slice, text, texts};
use crate::status::kmc_status;
use kamacite::data::{Array, Column, Kind, Samples, TableReader, cifar, idx, npy, npz::Npz, points, raw, table};
use std::ffi::c_char;

/// A column that is not there.
pub const KMC_NO_COLUMN: i64 = -2;
/// The last column.
pub const KMC_LAST_COLUMN: i64 = -1;

/// How to read a text table. Zero is the default of every field but `label`; see `KMC_TABLE_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_table_options {
    /// sizeof(kmc_table_options)
    pub size: u32,
    /// Whether the first line names the columns: 1 yes, -1 no, 0 is found out.
    pub header: i32,
    /// The column of the class, from 0; `KMC_LAST_COLUMN` or `KMC_NO_COLUMN`.
    pub label: i64,
    /// Number of classes; 0 is found out.
    pub classes: i64,
    /// The number that means the first class.
    pub first_class: i64,
    /// Lines to leave out at the beginning.
    pub skip: i64,
    /// The character between columns; 0 is found out.
    pub separator: i32,
    /// The character that begins a line of comment; 0 is '#'.
    pub comment: i32,
    /// The columns of the features, from 0; NULL: all others.
    pub features: *const i64,
    /// Their number.
    pub n_features: i64,
    /// Columns of values to be predicted; NULL: none.
    pub targets: *const i64,
    /// Their number.
    pub n_targets: i64,
}

/// Elements of a raw file.
pub type kmc_kind = i32;
/// `kmc_kind`: 8 bits, from 0.
pub const KMC_KIND_U8: i32 = 1;
/// `kmc_kind`: 8 bits with a sign.
pub const KMC_KIND_I8: i32 = 2;
/// `kmc_kind`: 16 bits, from 0.
pub const KMC_KIND_U16: i32 = 3;
/// `kmc_kind`: 16 bits with a sign.
pub const KMC_KIND_I16: i32 = 4;
/// `kmc_kind`: 32 bits, from 0.
pub const KMC_KIND_U32: i32 = 5;
/// `kmc_kind`: 32 bits with a sign.
pub const KMC_KIND_I32: i32 = 6;
/// `kmc_kind`: Half precision.
pub const KMC_KIND_F16: i32 = 7;
/// `kmc_kind`: Single precision.
pub const KMC_KIND_F32: i32 = 8;
/// `kmc_kind`: Double precision.
pub const KMC_KIND_F64: i32 = 9;

sized32!(kmc_table_options);

fn kind(value: kmc_kind) -> Answer<Kind> {
    const KINDS: [Kind; 9] = [Kind::U8, Kind::I8, Kind::U16, Kind::I16, Kind::U32, Kind::I32, Kind::F16, Kind::F32, Kind::F64];
    let index = usize::try_from(value).ok().and_then(|v| v.checked_sub(1));
    index.and_then(|i| KINDS.get(i)).copied().ok_or_else(|| Fault::value("kind", "one of KMC_KIND_U8 to KMC_KIND_F64", value))
}

fn character(value: i32, what: &str) -> Answer<Option<u8>> {
    match value {
        0 => Ok(None),
        1..=127 => Ok(Some(value as u8)),
        _ => Err(Fault::value(what, "an ASCII character, or 0", value)),
    }
}

fn column(value: i64, what: &str) -> Answer<Option<Column>> {
    match value {
        KMC_NO_COLUMN => Ok(None),
        KMC_LAST_COLUMN => Ok(Some(Column::Last)),
        _ => usize::try_from(value)
            .map(|i| Some(Column::Index(i)))
            .map_err(|_| Fault::value(what, "a column from 0, KMC_LAST_COLUMN or KMC_NO_COLUMN", value)),
    }
}

/// # Safety
/// The crate's contract.
unsafe fn columns(p: *const i64, n: i64, what: &str) -> Answer<Vec<usize>> {
    // SAFETY: the caller's promise.
    let columns = unsafe { slice(p, n, what) }?;
    columns.iter().map(|&c| usize::try_from(c).map_err(|_| Fault::value(what, "columns from 0", c))).collect()
}

/// # Safety
/// The crate's contract.
unsafe fn reader(o: &kmc_table_options) -> Answer<TableReader> {
    let mut reader = TableReader::new();
    if let Some(separator) = character(o.separator, "separator")? {
        reader = reader.separator(separator);
    }
    if let Some(comment) = character(o.comment, "comment")? {
        reader = reader.comment(comment);
    }
    reader = match o.header {
        0 => reader,
        1 => reader.header(true),
        -1 => reader.header(false),
        other => return Err(Fault::value("header", "1, -1 or 0", other)),
    };
    if let Some(label) = column(o.label, "label")? {
        reader = reader.label(label);
    }
    if o.classes != 0 {
        reader = reader.classes(count(o.classes, "classes")?);
    }
    let first = u32::try_from(o.first_class).map_err(|_| Fault::value("first_class", "0 or more", o.first_class))?;
    reader = reader.first_class(first).skip(count(o.skip, "skip")?);
    // SAFETY: the caller's promise.
    let (features, targets) =
        unsafe { (columns(o.features, o.n_features, "features")?, columns(o.targets, o.n_targets, "targets")?) };
    if !features.is_empty() {
        reader = reader.features(features);
    }
    if !targets.is_empty() {
        reader = reader.targets(targets);
    }
    Ok(reader)
}

/// Reads a text table: one line for each sample, columns separated by blanks, commas or as told. Without options the last column is the
/// class. Errors name the line and the column.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_read_table(
    out: *mut *mut kmc_dataset,
    path: *const c_char,
    options: *const kmc_table_options,
) -> kmc_status {
    entry("kmc_dataset_read_table", || {
        // SAFETY: the crate's contract.
        let (out, path) = unsafe { (output(out, "out")?, text(path, "path")?) };
        // SAFETY: as above.
        let reader = match unsafe { optional(options, "options") }? {
            // SAFETY: as above.
            Some(o) => unsafe { reader(o) }?,
            None => TableReader::new().label(Column::Last),
        };
        give(out, reader.read(path)?)
    })
}

/// Reads two text matrices with a line for each sample: inputs, and one-hot rows or values to be predicted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_read_pair(
    out: *mut *mut kmc_dataset,
    inputs: *const c_char,
    targets: *const c_char,
) -> kmc_status {
    entry("kmc_dataset_read_pair", || {
        // SAFETY: the crate's contract.
        let (out, inputs, targets) = unsafe { (output(out, "out")?, text(inputs, "inputs")?, text(targets, "targets")?) };
        give(out, table::read_pair(inputs, targets)?)
    })
}

/// Reads points in the layout of the course's k-means exercise: `dimensions count`, then one line of `count` numbers for each dimension.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_read_points(out: *mut *mut kmc_dataset, path: *const c_char) -> kmc_status {
    entry("kmc_dataset_read_points", || {
        // SAFETY: the crate's contract.
        let (out, path) = unsafe { (output(out, "out")?, text(path, "path")?) };
        give(out, points::read(path)?)
    })
}

/// Reads images and labels in the IDX format of MNIST, gzip-compressed or not. Pixels stay 0 to 255; see `kmc_dataset_scale`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_read_idx(
    out: *mut *mut kmc_dataset,
    images: *const c_char,
    labels: *const c_char,
) -> kmc_status {
    entry("kmc_dataset_read_idx", || {
        // SAFETY: the crate's contract.
        let (out, images, labels) = unsafe { (output(out, "out")?, text(images, "images")?, text(labels, "labels")?) };
        give(out, idx::read_pair(images, labels)?)
    })
}

/// Samples, and their labels if there are any; the number of classes is the largest label + 1.
fn labelled(x: &Array, labels: Option<&Array>) -> Answer<Samples> {
    let samples = x.samples()?;
    let Some(labels) = labels else { return Ok(samples) };
    let labels = labels.to_labels()?;
    let classes = labels.iter().max().map_or(0, |&l| l as usize + 1);
    Ok(samples.with_classes(labels, classes)?)
}

/// Reads a NumPy array whose first index counts the samples; the others are (c), (h, w), (h, w, c) or (d, h, w, c). `labels` is a file of
/// class indices, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_read_npy(out: *mut *mut kmc_dataset, x: *const c_char, labels: *const c_char) -> kmc_status {
    entry("kmc_dataset_read_npy", || {
        // SAFETY: the crate's contract.
        let (out, x, labels) = unsafe { (output(out, "out")?, text(x, "x")?, optional_text(labels, "labels")?) };
        let labels = labels.map(npy::read).transpose()?;
        give(out, labelled(&npy::read(x)?, labels.as_ref())?)
    })
}

/// As `kmc_dataset_read_npy`, from two arrays of a NumPy archive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_read_npz(
    out: *mut *mut kmc_dataset,
    path: *const c_char,
    x: *const c_char,
    labels: *const c_char,
) -> kmc_status {
    entry("kmc_dataset_read_npz", || {
        // SAFETY: the crate's contract.
        let (out, path, x) = unsafe { (output(out, "out")?, text(path, "path")?, text(x, "x")?) };
        // SAFETY: as above.
        let labels = unsafe { optional_text(labels, "labels") }?;
        let mut archive = Npz::read(path)?;
        let labels = labels.map(|name| archive.array(name)).transpose()?;
        give(out, labelled(&archive.array(x)?, labels.as_ref())?)
    })
}

/// Reads a file that is nothing but the values of `n` samples of d x h x w x c, in the byte order of this machine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_read_raw(
    out: *mut *mut kmc_dataset,
    path: *const c_char,
    kind: kmc_kind,
    n: i64,
    d: i64,
    h: i64,
    w: i64,
    c: i64,
    layout: kmc_layout,
) -> kmc_status {
    entry("kmc_dataset_read_raw", || {
        // SAFETY: the crate's contract.
        let (out, path) = unsafe { (output(out, "out")?, text(path, "path")?) };
        let e = extent(d, h, w, c)?;
        let array = raw::read(path, self::kind(kind)?, &[count(n, "n")?, e.d, e.h, e.w, e.c])?;
        give(out, array.samples_of(e, self::layout(layout)?)?)
    })
}

/// Reads CIFAR files in the binary version. `variant` is 10, 100, or 20 for the coarse labels of CIFAR-100. Pixels stay 0 to 255.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_read_cifar(
    out: *mut *mut kmc_dataset,
    paths: *const *const c_char,
    n: i64,
    variant: i32,
) -> kmc_status {
    entry("kmc_dataset_read_cifar", || {
        // SAFETY: the crate's contract.
        let (out, paths) = unsafe { (output(out, "out")?, texts(paths, n, "paths")?) };
        let variant = match variant {
            10 => cifar::Variant::Ten,
            20 => cifar::Variant::Coarse,
            100 => cifar::Variant::Fine,
            _ => return Err(Fault::value("variant", "10, 20 or 100", variant)),
        };
        give(out, cifar::read(paths, variant)?)
    })
}
