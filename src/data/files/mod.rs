//! Data sets out of folders: one file a sample, read when a batch needs it.
//!
//! | classes come from | call |
//! |---|---|
//! | folders, `training_data/good/*.fits`, `training_data/bad/*.fits` | [`Files::folders`] |
//! | a file of lines `name.fits,label` | [`Files::labels`] |
//! | a list | [`Files::list`] |
//! | nowhere: files to predict | [`Files::paths`] |
//!
//! `.npy` is always read; `.fits`, `.fit`, `.fts`, also with `.gz` or `.fz`, with the feature `fits`. Files go by their names, in the order of
//! the bytes of the names, so a folder gives the same set on every machine. Nothing is written, here or elsewhere.

mod find;
mod read;

use super::skip::Skips;
use super::{Dataset, OnBad, Pick, Prepare, Raw, Scaling, file};
use crate::loss::Target;
use crate::{Error, Extent, Result};
use find::{Found, Label};
use read::Reader;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A data set of files; [`FilesBuilder`] has its options.
///
/// Every sample is read when it is asked for, prepared, and forgotten. The extent is that of the first file that can be read; files
/// that come out with another one are errors. A [`Trainer`](crate::Trainer) reads ahead on threads of its own.
///
/// # Examples
/// ```
/// use kamacite::data::{Dataset, Files, OnBad, Prepare, Subset, npy, split};
/// # let folder = tempfile::tempdir().unwrap();
/// # for class in ["good", "bad"] {
/// #     std::fs::create_dir(folder.path().join(class)).unwrap();
/// #     for i in 0..4 { npy::write(folder.path().join(class).join(format!("{i}.npy")), &[8, 6], &[i as f32; 48])?; }
/// # }
/// # let training_data = folder.path();
/// let files = Files::folders(training_data).prepare(Prepare::astronomy()).on_bad(OnBad::Skip).open()?;
/// assert_eq!((files.class_names(), files.inputs()[0].to_string()), (&["bad".to_string(), "good".to_string()][..], "8x6x1".to_string()));
/// let parts = split::stratified(files.class_indices().unwrap_or(&[]), 2, &[0.75, 0.25], 42)?;
/// let files: std::sync::Arc<dyn Dataset> = files.into();
/// let (train, valid) = (Subset::new(files.clone(), parts[0].clone())?, Subset::new(files, parts[1].clone())?);
/// assert_eq!((train.len(), valid.len()), (6, 2));
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    inputs: [Extent; 1],
    targets: Vec<Target>,
    labels: Labels,
    class_names: Vec<String>,
    reader: Reader,
    prepare: Prepare,
    skips: Skips,
    /// How the first file that can be read holds its sample, once somebody has asked.
    raw: OnceLock<Option<Raw>>,
}

/// The targets of all samples.
#[derive(Debug)]
enum Labels {
    None,
    Classes(Vec<u32>),
    Values(Vec<f32>),
}

/// Options of [`Files`].
#[derive(Clone, Debug)]
pub struct FilesBuilder {
    from: From,
    classes: Option<Vec<String>>,
    values: bool,
    prepare: Prepare,
    reader: Reader,
    on_bad: OnBad,
}

#[derive(Clone, Debug)]
enum From {
    Folders(PathBuf),
    Labels { file: PathBuf, folder: Option<PathBuf> },
    List(Vec<(PathBuf, Option<String>)>),
}

impl Files {
    /// A folder of folders, one for each class: `good/*.fits`, `medium/*.fits`, `bad/*.fits`. The names of the folders in the order of their
    /// bytes are classes 0, 1, …, unless [`FilesBuilder::classes`] lists them. Hidden files and those of unknown kinds are passed over.
    pub fn folders(folder: impl Into<PathBuf>) -> FilesBuilder {
        FilesBuilder::new(From::Folders(folder.into()))
    }

    /// A text file of lines `filename,label`; names are relative to its folder. Labels are class numbers from 0, or names, or numbers to
    /// predict ([`FilesBuilder::values`]). Empty lines, lines that begin with `#` and a first line `filename,label` are passed over.
    pub fn labels(file: impl Into<PathBuf>) -> FilesBuilder {
        FilesBuilder::new(From::Labels { file: file.into(), folder: None })
    }

    /// These files with these labels.
    pub fn list(files: impl IntoIterator<Item = (impl Into<PathBuf>, impl ToString)>) -> FilesBuilder {
        let with_label = |(path, label): (_, _)| (Into::into(path), Some(ToString::to_string(&label)));
        FilesBuilder::new(From::List(files.into_iter().map(with_label).collect()))
    }

    /// These files without labels, to predict.
    pub fn paths(files: impl IntoIterator<Item = impl Into<PathBuf>>) -> FilesBuilder {
        FilesBuilder::new(From::List(files.into_iter().map(|path| (path.into(), None)).collect()))
    }

    /// The path of a sample.
    pub fn path(&self, index: usize) -> Option<&Path> {
        self.paths.get(index).map(PathBuf::as_path)
    }

    /// The class of every sample, to split by; `None` where targets are numbers or there are none.
    pub fn class_indices(&self) -> Option<&[u32]> {
        match &self.labels {
            Labels::Classes(labels) => Some(labels),
            _ => None,
        }
    }

    /// What is done to each sample: a note for checkpoints, so that inference does the same.
    pub fn preparation(&self) -> &Prepare {
        &self.prepare
    }

    fn read(&self, index: usize, x: &mut [f32]) -> Result<()> {
        let path = self.paths.get(index).ok_or_else(|| {
            let e = Error::shape("files", "index out of range");
            e.expected(format!("below {}", self.paths.len())).got(index)
        })?;
        let [extent] = self.inputs;
        if x.len() != extent.len() {
            return Err(Error::shape("files", "room for a sample").expected(extent).got(format!("{} values", x.len())));
        }
        self.skips.read(index, x, |x| self.reader.sample(path, &self.prepare, extent, x))
    }
}

impl FilesBuilder {
    fn new(from: From) -> Self {
        let (classes, values, prepare) = (None, false, Prepare::new());
        Self { from, classes, values, prepare, reader: Reader::default(), on_bad: OnBad::Stop }
    }

    /// The folder that names in a labels file are relative to.
    #[must_use]
    pub fn folder(mut self, path: impl Into<PathBuf>) -> Self {
        if let From::Labels { folder, .. } = &mut self.from {
            *folder = Some(path.into());
        }
        self
    }

    /// The names of the classes, in the order of their numbers. Each must have members, and there must be no others.
    #[must_use]
    pub fn classes(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.classes = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Labels are numbers to predict, one or several after the comma, the same number in every line.
    #[must_use]
    pub fn values(mut self) -> Self {
        self.values = true;
        self
    }

    /// What is done to each sample; nothing by default, and then values that are missing are errors.
    #[must_use]
    pub fn prepare(mut self, prepare: Prepare) -> Self {
        self.prepare = prepare;
        self
    }

    /// What a file that cannot be read does to a run; it ends it by default.
    #[must_use]
    pub fn on_bad(mut self, on_bad: OnBad) -> Self {
        self.on_bad = on_bad;
        self
    }

    /// Takes the planes of arrays (planes, rows, columns) for channels of an image; by default they are the slices of a cube.
    #[must_use]
    pub fn bands(mut self) -> Self {
        self.reader.bands = true;
        self
    }

    /// Which HDU of FITS files to read; by default the first with an image, or the first table where columns are asked for.
    #[cfg(feature = "fits")]
    #[must_use]
    pub fn hdu(mut self, which: impl Into<super::fits::Which>) -> Self {
        self.reader.hdu = Some(which.into());
        self
    }

    /// Reads these columns of a table in a FITS file, as the channels of a line: flux, then wavelength, which
    /// [`Prepare::resample`] and [`Prepare::window`] take for positions.
    #[cfg(feature = "fits")]
    #[must_use]
    pub fn columns(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.reader.columns = names.into_iter().map(Into::into).collect();
        self
    }

    /// Finds the files, and reads the first.
    ///
    /// # Errors
    /// Folders without files, classes without members, labels that name none of the classes, files that are missing or come twice; under
    /// [`OnBad::Stop`] what is wrong with the first file, under [`OnBad::Skip`] if no file can be read.
    pub fn open(self) -> Result<Files> {
        let found = match &self.from {
            From::Folders(folder) => find::folders(folder, self.classes.as_deref())?,
            From::Labels { file, folder } => find::labels(file, folder.as_deref())?,
            From::List(files) => find::list(files),
        };
        find::check(&found)?;
        let (class_names, targets, labels) = self.targets(&found)?;
        let skips = Skips::new(self.on_bad);
        for (index, found) in found.iter().enumerate() {
            if let Err(e) = found.exists() {
                skips.note(index, e)?;
            }
        }
        let paths: Vec<PathBuf> = found.into_iter().map(|f| f.path).collect();
        let extent = first_extent(&paths, &self.reader, &self.prepare, &skips)?;
        let (reader, prepare) = (self.reader, self.prepare);
        Ok(Files { paths, inputs: [extent], targets, labels, class_names, reader, prepare, skips, raw: OnceLock::new() })
    }

    fn targets(&self, found: &[Found]) -> Result<(Vec<String>, Vec<Target>, Labels)> {
        if found.iter().all(|f| f.label == Label::None) {
            return Ok((vec![], vec![], Labels::None));
        }
        if self.values {
            let (n, values) = find::values(found)?;
            return Ok((vec![], vec![Target::Values(Extent::flat(n))], Labels::Values(values)));
        }
        let (names, labels) = find::classes(found, self.classes.as_deref())?;
        Ok((names.clone(), vec![Target::Index { classes: names.len(), positions: 1 }], Labels::Classes(labels)))
    }
}

/// The extent of the first sample that can be read and prepared.
fn first_extent(paths: &[PathBuf], reader: &Reader, prepare: &Prepare, skips: &Skips) -> Result<Extent> {
    let mut x = Vec::new();
    for (index, path) in paths.iter().enumerate().filter(|(index, _)| !skips.contains(*index)) {
        match reader.first(path, prepare, &mut x) {
            Ok(extent) => return Ok(extent),
            Err(e) => skips.note(index, e)?,
        }
    }
    let reasons = skips.reasons();
    let e = Error::value("files", format!("none of {} can be read", paths.len()));
    Err(e.got(reasons.first().map_or("no files", String::as_str)))
}

impl Dataset for Files {
    fn len(&self) -> usize {
        self.paths.len()
    }

    fn inputs(&self) -> &[Extent] {
        &self.inputs
    }

    fn targets(&self) -> &[Target] {
        &self.targets
    }

    fn input(&self, pick: Pick, input: usize, x: &mut [f32]) -> Result<()> {
        match input {
            0 => self.read(pick.index, x),
            _ => Err(Error::shape("files", format!("no input {input}"))),
        }
    }

    fn raw(&self, input: usize) -> Option<Raw> {
        let first = self.paths.iter().enumerate().find(|(index, _)| !self.skips.contains(*index));
        let raw = || self.reader.stored(first?.1, &self.prepare, self.inputs[0]);
        self.raw.get_or_init(raw).clone().filter(|_| input == 0)
    }

    fn raw_row(&self, pick: Pick, _: usize, row: &mut [u8]) -> Option<Scaling> {
        let path = self.paths.get(pick.index).filter(|_| !self.skips.contains(pick.index))?;
        self.reader.stored_row(path, self.raw.get()?.as_ref()?, self.inputs[0], row)
    }

    fn values(&self, pick: Pick, target: usize, t: &mut [f32]) -> Result<()> {
        match &self.labels {
            Labels::Values(all) => row(all, pick.index, target, t),
            _ => Err(Error::shape("files", format!("no target of values {target}"))),
        }
    }

    fn classes(&self, pick: Pick, target: usize, t: &mut [u32]) -> Result<()> {
        match &self.labels {
            Labels::Classes(all) => row(all, pick.index, target, t),
            _ => Err(Error::shape("files", format!("no target of classes {target}"))),
        }
    }

    fn weight(&self, _: usize) -> f32 {
        1.0
    }

    fn varies(&self) -> bool {
        false
    }

    fn waits(&self) -> bool {
        true
    }

    fn is_skipped(&self, pick: Pick) -> bool {
        self.skips.contains(pick.index)
    }

    fn skipped(&self) -> Vec<String> {
        self.skips.reasons()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }
}

fn row<T: Copy>(all: &[T], index: usize, target: usize, t: &mut [T]) -> Result<()> {
    let at = index.saturating_mul(t.len());
    match all.get(at..at.saturating_add(t.len())) {
        Some(row) if target == 0 => {
            t.copy_from_slice(row);
            Ok(())
        }
        _ => Err(Error::shape("files", format!("no target {target} of sample {index}"))),
    }
}

impl std::convert::From<Files> for Arc<dyn Dataset> {
    fn from(files: Files) -> Self {
        Arc::new(files)
    }
}

/// What `file` is called in messages about one of its lines.
fn line(file: &Path, number: usize) -> String {
    format!("{}, line {number}", file.display())
}

/// The whole text of a file.
fn text(path: &Path) -> Result<String> {
    String::from_utf8(file::bytes(path)?).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::format(path.display(), "not a text in UTF-8").got(format!("another byte at {at}"))
    })
}

#[cfg(test)]
mod tests;
