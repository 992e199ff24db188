//! Data sets from FITS files.

use super::{give, kmc_dataset};
use crate::entry::{Answer, Fault, entry, flag, optional, optional_text, output, text, texts};
use crate::fits::{KMC_FIRST_HDU, KMC_MISSING_ERROR, image, kmc_fits_options, missing, which};
use crate::status::kmc_status;
use kamacite::Extent;
use kamacite::data::fits::{Fits, HduKind, Table, Which};
use kamacite::data::{Layout, Missing, Samples};
use std::collections::BTreeSet;
use std::ffi::c_char;
use std::ptr::null;

const DEFAULT: kmc_fits_options = kmc_fits_options {
    size: size_of::<kmc_fits_options>() as u32,
    hdu: KMC_FIRST_HDU,
    hdu_name: null(),
    missing: KMC_MISSING_ERROR,
    stacked: 0,
    fill: 0.0,
    bands: 0,
    reserved: 0,
};

/// The number of samples and the extent of one, of an image of this shape.
fn layout_of(shape: &[usize], stacked: bool, bands: bool) -> Answer<(usize, Extent)> {
    let mut axes = shape.iter().copied();
    let mut take = |wanted: bool| if wanted { axes.next() } else { Some(1) };
    let (n, c) = (take(stacked), take(bands));
    let long: Vec<usize> = axes.filter(|&n| n > 1).collect();
    let few = || Fault::shape("image", "an axis for each of stacked and bands", format!("{shape:?}"));
    let (n, c) = (n.ok_or_else(few)?, c.ok_or_else(few)?);
    let extent = match *long {
        [] => Extent::line(1, c),
        [w] => Extent::line(w, c),
        [h, w] => Extent::image(h, w, c),
        [d, h, w] => Extent::cube(d, h, w, c),
        _ => return Err(Fault::shape("image", "at most 3 axes longer than 1 in a sample", format!("{shape:?}"))),
    };
    Ok((n, extent.check()?))
}

/// Reads an image or cube as one sample: (w), (h, w) or (d, h, w), axes of size 1 left out; with `stacked` as many as its slowest axis is
/// long. `options` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_read_fits(
    out: *mut *mut kmc_dataset,
    path: *const c_char,
    options: *const kmc_fits_options,
) -> kmc_status {
    entry("kmc_dataset_read_fits", || {
        // SAFETY: the crate's contract.
        let (out, path, o) =
            unsafe { (output(out, "out")?, text(path, "path")?, optional(options, "options")?.copied().unwrap_or(DEFAULT)) };
        let (missing, stacked, bands) = (missing(o.missing, o.fill)?, flag(o.stacked, "stacked")?, flag(o.bands, "bands")?);
        // SAFETY: as above.
        let image = image(path, unsafe { which(o.hdu, o.hdu_name) }?)?;
        let named = |f: Fault| Fault { sentence: format!("{}: {}", image.place(), f.sentence), ..f };
        let (_, extent) = layout_of(image.shape(), stacked, bands).map_err(named)?;
        let x = Layout::ChannelsFirst.to_channels_last(extent, image.read(missing)?)?;
        give(out, Samples::with_missing(extent, x, Missing::Keep)?)
    })
}

fn table(path: &str, which: Option<Which>) -> Answer<Table> {
    let fits = Fits::open(path)?;
    let first = || fits.hdus().iter().find(|h| h.kind() == HduKind::Table).map_or(1, |h| h.index());
    Ok(fits.table(which.unwrap_or_else(|| Which::Index(first())))?)
}

/// The columns of these names side by side: with `across`, value by value; else one column's values after the other's.
fn columns(table: &Table, names: &[&str], missing: Missing, across: bool) -> Answer<(usize, Vec<f32>)> {
    let counts = names.iter().map(|name| Ok(table.field(name)?.count())).collect::<Answer<Vec<_>>>()?;
    let first = counts.first().copied().unwrap_or(0);
    if let Some(i) = counts.iter().position(|&n| across && n != first) {
        let what = format!("{}: column {}", table.place(), names[i]);
        return Err(Fault::shape(&what, format!("{first} values in a row, as {}", names[0]), counts[i]));
    }
    let read = names.iter().map(|name| Ok(table.column_f32(name, missing)?)).collect::<Answer<Vec<_>>>()?;
    let mut x = Vec::with_capacity(read.iter().map(Vec::len).sum());
    for row in 0..table.rows() {
        if across {
            (0..first).for_each(|i| x.extend(read.iter().map(|column| column[row * first + i])));
        } else {
            read.iter().zip(&counts).for_each(|(column, n)| x.extend(&column[row * n..(row + 1) * n]));
        }
    }
    Ok((if across { first } else { counts.iter().sum() }, x))
}

/// Classes out of a column: numbers from 0, or names, which count in the order of their letters.
fn with_labels(samples: &mut Samples, table: &Table, name: &str) -> Answer {
    let format = table.field(name)?.format();
    if format.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('A') {
        let texts = table.text(name)?;
        let known: Vec<&String> = texts.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let labels = texts.iter().map(|t| known.binary_search(&t).unwrap_or_default() as u32).collect();
        samples.add_classes(labels, known.len())?;
        samples.set_class_names(known);
        return Ok(());
    }
    let labels = table.column(name)?.to_labels()?;
    let classes = labels.iter().max().map_or(0, |&l| l as usize + 1);
    Ok(samples.add_classes(labels, classes)?)
}

/// Reads columns of a binary table, a sample for each row: numbers of a row are channels, arrays of as many values in each column
/// (spectra) lines, with a channel for each column. `label` is a column of classes (numbers from 0, or names), or NULL; `targets` are
/// columns of values to be predicted. `options` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_read_fits_table(
    out: *mut *mut kmc_dataset,
    path: *const c_char,
    columns: *const *const c_char,
    n_columns: i64,
    label: *const c_char,
    targets: *const *const c_char,
    n_targets: i64,
    options: *const kmc_fits_options,
) -> kmc_status {
    entry("kmc_dataset_read_fits_table", || {
        // SAFETY: the crate's contract.
        let (out, path, o) =
            unsafe { (output(out, "out")?, text(path, "path")?, optional(options, "options")?.copied().unwrap_or(DEFAULT)) };
        // SAFETY: as above.
        let (names, label, targets) = unsafe {
            (texts(columns, n_columns, "columns")?, optional_text(label, "label")?, texts(targets, n_targets, "targets")?)
        };
        if names.is_empty() {
            return Err(Fault::value("columns", "one or more", "none"));
        }
        if o.stacked != 0 || o.bands != 0 {
            return Err(Fault::value("stacked and bands", "0 for a table", "something else"));
        }
        let missing = missing(o.missing, o.fill)?;
        // SAFETY: as above.
        let table = table(path, unsafe { which(o.hdu, o.hdu_name) }?)?;
        let (w, x) = self::columns(&table, &names, missing, true)?;
        let mut samples = Samples::with_missing(Extent::line(w, names.len()), x, Missing::Keep)?;
        if let Some(label) = label {
            with_labels(&mut samples, &table, label)?;
        }
        if !targets.is_empty() {
            let (n, t) = self::columns(&table, &targets, missing, false)?;
            samples.add_values(Extent::flat(n), t)?;
        }
        give(out, samples)
    })
}
