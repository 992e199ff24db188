//! Data sets of files, which are read as they are needed, and copies of such in memory.

use super::{Data, give, give_data, kmc_dataset, shared};
use crate::entry::{Answer, Fault, entry, flag, give_text, optional, optional_text, output, sized32, text, texts};
use crate::fits::which;
use crate::handle::with;
use crate::status::kmc_status;
use kamacite::data::files::FilesBuilder;
use kamacite::data::{Files, Missing, OnBad, Prepare, Samples};
use kamacite::loss::Target;
use kamacite::{Dataset, Pick};
use std::ffi::c_char;
use std::sync::Arc;

/// How files become samples. Zero is the default of every field but `hdu`; see `KMC_FILES_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_files_options {
    /// sizeof(kmc_files_options)
    pub size: u32,
    /// 1: files that cannot be read are left out, and named by `kmc_dataset_skipped`; 0: the call that needs one fails.
    pub skip_bad: i32,
    /// What is done to each sample, "astronomy" or steps in JSON, as `kmc_dataset_load` has them; NULL: nothing.
    pub prepare: *const c_char,
    /// The names of the classes, in the order of their numbers; NULL: those that are found, in the order of their letters.
    pub classes: *const *const c_char,
    /// Their number.
    pub n_classes: i64,
    /// The folder that names in a labels file are relative to; NULL: its own.
    pub folder: *const c_char,
    /// Columns of a table in each file (flux, then wavelength), which become channels of a line; NULL: files are images.
    pub columns: *const *const c_char,
    /// Their number.
    pub n_columns: i64,
    /// Which HDU of FITS files, the primary one being 0; `KMC_FIRST_HDU` in the macro.
    pub hdu: i32,
    /// 1: labels are numbers to predict, one or several.
    pub values: i32,
    /// The name of the HDU, in place of its number; NULL: none.
    pub hdu_name: *const c_char,
    /// 1: planes of an array (planes, rows, columns) are channels; else slices of a cube.
    pub bands: i32,
    /// 0
    pub reserved: i32,
}

sized32!(kmc_files_options);

/// The steps of a text.
///
/// # Safety
/// The crate's contract.
pub(crate) unsafe fn prepare(steps: *const c_char) -> Answer<Option<Prepare>> {
    // SAFETY: the caller's promise.
    Ok(unsafe { optional_text(steps, "prepare") }?.map(str::parse::<Prepare>).transpose()?)
}

/// # Safety
/// The crate's contract.
unsafe fn open(out: *mut *mut kmc_dataset, mut files: FilesBuilder, options: *const kmc_files_options) -> Answer {
    // SAFETY: the caller's promise.
    let (out, o) = unsafe { (output(out, "out")?, optional(options, "options")?) };
    if let Some(o) = o {
        // SAFETY: as above.
        let (classes, columns, folder) = unsafe {
            (
                texts(o.classes, o.n_classes, "classes")?,
                texts(o.columns, o.n_columns, "columns")?,
                optional_text(o.folder, "folder")?,
            )
        };
        if !classes.is_empty() {
            files = files.classes(classes);
        }
        if let Some(folder) = folder {
            files = files.folder(folder);
        }
        // SAFETY: as above.
        if let Some(steps) = unsafe { prepare(o.prepare) }? {
            files = files.prepare(steps);
        }
        // SAFETY: as above.
        if let Some(which) = unsafe { which(o.hdu, o.hdu_name) }? {
            files = files.hdu(which);
        }
        files = files.columns(columns).on_bad(if flag(o.skip_bad, "skip_bad")? { OnBad::Skip } else { OnBad::Stop });
        if flag(o.values, "values")? {
            files = files.values();
        }
        if flag(o.bands, "bands")? {
            files = files.bands();
        }
    }
    give_data(out, Data::View(Arc::new(files.open()?)))
}

/// A data set of the files in the folders of a folder, a class for each: `good/*.fits`, `bad/*.fits`. They are read as they are needed, FITS
/// or `.npy`; trainers read ahead. `options` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_open_folders(
    out: *mut *mut kmc_dataset,
    folder: *const c_char,
    options: *const kmc_files_options,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_dataset_open_folders", || unsafe { open(out, Files::folders(text(folder, "folder")?), options) })
}

/// As `kmc_dataset_open_folders`, of the files in a text file of lines `filename,label`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_open_labels(
    out: *mut *mut kmc_dataset,
    path: *const c_char,
    options: *const kmc_files_options,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_dataset_open_labels", || unsafe { open(out, Files::labels(text(path, "path")?), options) })
}

/// As `kmc_dataset_open_folders`, of `n` files without labels, to be predicted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_open_files(
    out: *mut *mut kmc_dataset,
    paths: *const *const c_char,
    n: i64,
    options: *const kmc_files_options,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_dataset_open_files", || unsafe { open(out, Files::paths(texts(paths, n, "paths")?), options) })
}

/// The files that could not be read so far, and why: a line for each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_skipped(out: *mut *const c_char, data: *mut kmc_dataset) -> kmc_status {
    entry("kmc_dataset_skipped", || {
        let lines = with(data, "data", |data| Ok(data.dataset().skipped().join("\n")))?;
        // SAFETY: the crate's contract.
        unsafe { give_text(out, &lines) }
    })
}

/// A copy in memory of a set, also of a view, as it is in the first epoch; files that were skipped are left out. `prepare` says what is
/// done to input 0 of each sample: NULL nothing; "astronomy" (missing values to 0, clip to the 1st and 99th percentile, logarithm, 0 to 1);
/// or a list of steps in JSON, such as `[{"missing": "Zero"}, {"clip": {"low": 0.01, "high": 0.99}}, {"min_max": {"epsilon": 1e-8}}]`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_load(
    out: *mut *mut kmc_dataset,
    data: *mut kmc_dataset,
    prepare: *const c_char,
) -> kmc_status {
    entry("kmc_dataset_load", || {
        // SAFETY: the crate's contract.
        let (out, steps) = unsafe { (output(out, "out")?, self::prepare(prepare)?) };
        give(out, load(&*shared(data, "data")?, steps.as_ref())?)
    })
}

fn load(data: &dyn Dataset, steps: Option<&Prepare>) -> Answer<Samples> {
    let no_memory = |n: usize| Fault::new(kmc_status::KMC_ERR_OUT_OF_MEMORY, format!("data: no memory for a copy of {n} values"));
    let pick = |index: usize| Pick { index, epoch: 0, seed: 0 };
    let mut kept: Vec<usize> = Vec::new();
    let mut inputs = Vec::with_capacity(data.inputs().len());
    for (input, &extent) in data.inputs().iter().enumerate() {
        let (mut all, mut row, mut came) = (Vec::new(), Vec::new(), extent);
        for index in 0..data.len() {
            row.clear();
            row.resize(extent.len(), 0.0);
            data.input(pick(index), input, &mut row)?;
            if data.is_skipped(pick(index)) {
                continue;
            }
            if input == 0 {
                kept.push(index);
                came = steps.map_or(Ok(extent), |s| s.apply(&mut row, extent))?;
            }
            all.try_reserve(row.len()).map_err(|_| no_memory(data.len().saturating_mul(row.len())))?;
            all.extend_from_slice(&row);
        }
        inputs.push((came, all));
    }
    let mut inputs = inputs.into_iter();
    let (extent, x) = inputs.next().ok_or_else(|| Fault::shape("data", "an input", "none"))?;
    let mut samples = Samples::with_missing(extent, x, Missing::Keep)?;
    for (extent, x) in inputs {
        samples.add_input(extent, x)?;
    }
    for (i, target) in data.targets().iter().enumerate() {
        add_target(&mut samples, data, (i, *target), &kept)?;
    }
    let weights: Vec<f32> = kept.iter().map(|&index| data.weight(index)).collect();
    if weights.iter().any(|&w| w != 1.0) {
        samples.set_weights(weights)?;
    }
    samples.set_class_names(data.class_names());
    Ok(samples)
}

fn add_target(samples: &mut Samples, data: &dyn Dataset, (i, target): (usize, Target), kept: &[usize]) -> Answer {
    let pick = |index: usize| Pick { index, epoch: 0, seed: 0 };
    match target {
        Target::Values(extent) => {
            let mut t = vec![0.0; kept.len() * extent.len()];
            for (row, &index) in t.chunks_exact_mut(extent.len()).zip(kept) {
                data.values(pick(index), i, row)?;
            }
            samples.add_values(extent, t)?;
        }
        Target::Index { classes, positions } => {
            let mut labels = vec![0; kept.len() * positions];
            for (row, &index) in labels.chunks_exact_mut(positions).zip(kept) {
                data.classes(pick(index), i, row)?;
            }
            samples.add_classes(labels, classes)?;
        }
        Target::None => {}
    }
    Ok(())
}
