//! One file, one sample.

#[cfg(feature = "fits")]
use crate::data::Missing;
use crate::data::{Prepare, Raw, Scaling, npy};
use crate::{Error, Extent, Result};
use std::cell::Cell;
use std::path::Path;

/// How files are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    /// Planes are channels.
    pub bands: bool,
    #[cfg(feature = "fits")]
    pub hdu: Option<crate::data::fits::Which>,
    #[cfg(feature = "fits")]
    pub columns: Vec<String>,
}

/// What a thread keeps from file to file.
#[derive(Default)]
struct Buffers {
    bytes: Vec<u8>,
    x: Vec<f32>,
    #[cfg(feature = "fits")]
    planes: Vec<f32>,
}

thread_local!(static BUFFERS: Cell<Buffers> = Cell::default());

fn with_buffers<R>(f: impl FnOnce(&mut Buffers) -> R) -> R {
    let mut buffers = BUFFERS.take();
    let r = f(&mut buffers);
    BUFFERS.set(buffers);
    r
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Npy,
    Fits,
}

/// The kind of a file, by its name.
fn kind(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".fz")).map_or_else(|| name.clone(), str::to_string);
    match Path::new(&name).extension()?.to_str()? {
        "npy" if path.extension()?.eq_ignore_ascii_case("npy") => Some(Kind::Npy),
        "fits" | "fit" | "fts" => Some(Kind::Fits),
        _ => None,
    }
}

pub(super) fn known(path: &Path) -> bool {
    kind(path).is_some()
}

/// The kinds that can be read, for messages.
pub(super) fn kinds() -> &'static str {
    ".fits, .fit, .fts (also .gz and .fz) or .npy"
}

/// The file's name in front, where the message does not have it yet.
fn named(e: Error, path: &Path) -> Error {
    let name = path.display().to_string();
    if e.to_string().contains(&name) { e } else { e.at(name) }
}

/// The extent of an array of one sample.
fn extent_of(shape: &[usize], bands: bool) -> Result<Extent> {
    let extent = match *shape {
        [] => Extent::line(1, 1),
        [w] => Extent::line(w, 1),
        [h, w] => Extent::image(h, w, 1),
        [c, h, w] if bands => Extent::image(h, w, c),
        [d, h, w] => Extent::cube(d, h, w, 1),
        [c, d, h, w] if bands => Extent::cube(d, h, w, c),
        _ => {
            let e = Error::shape("array", "too many axes").expected("at most 3, or 4 with .bands()");
            return Err(e.got(format!("{shape:?}")));
        }
    };
    extent.check()
}

/// Brings planes (c, d, h, w) into the order (d, h, w, c).
fn interleave(planes: &[f32], c: usize, x: &mut [f32]) {
    let area = planes.len() / c;
    for (i, x) in x.chunks_exact_mut(c).enumerate() {
        x.iter_mut().enumerate().for_each(|(k, x)| *x = planes[k * area + i]);
    }
}

impl Reader {
    /// Reads the first file of a set; the extent it comes out with.
    pub fn first(&self, path: &Path, prepare: &Prepare, x: &mut Vec<f32>) -> Result<Extent> {
        let mut read = || {
            let extent = self.raw(path, prepare, x)?;
            prepare.apply(x, extent)
        };
        read().map_err(|e| named(e, path))
    }

    /// Reads a file and prepares it; it must come out with this extent.
    pub fn sample(&self, path: &Path, prepare: &Prepare, wanted: Extent, out: &mut [f32]) -> Result<()> {
        let mut read = || {
            #[cfg(feature = "fits")]
            if prepare.keeps_extent() && self.straight(path, prepare, wanted, out)? {
                return match reading(prepare) {
                    Missing::Keep => prepare.apply_in_place(out, wanted),
                    _ => prepare.apply_after_first(out, wanted),
                };
            }
            let mut x = with_buffers(|b| std::mem::take(&mut b.x));
            let result = self.raw(path, prepare, &mut x).and_then(|extent| {
                // Before the work of preparing it.
                fits(prepare.extent(extent)?, wanted, extent)?;
                prepare.apply(&mut x, extent)?;
                out.copy_from_slice(&x);
                Ok(())
            });
            with_buffers(|b| b.x = x);
            result
        };
        read().map_err(|e| named(e, path))
    }

    /// Reads a file right to its place, where that can be done: what lies in it pixel after pixel.
    #[cfg(feature = "fits")]
    fn straight(&self, path: &Path, prepare: &Prepare, wanted: Extent, out: &mut [f32]) -> Result<bool> {
        if kind(path) != Some(Kind::Fits) || !self.columns.is_empty() || self.bands {
            return Ok(false);
        }
        let image = self.image(path)?;
        let extent = image.extent()?;
        fits(extent, wanted, extent)?;
        image.read_into(out, reading(prepare))?;
        Ok(true)
    }

    /// How a file holds a sample of this extent, if these steps are nothing that must see it.
    pub fn stored(&self, path: &Path, prepare: &Prepare, wanted: Extent) -> Option<Raw> {
        let raw = match kind(path)? {
            Kind::Npy => with_buffers(|buffers| {
                let (kind, big_endian, shape, _) = npy::read_raw(path, &mut buffers.bytes)?;
                self.as_it_lies(&shape, wanted)?;
                Raw::new(kind, big_endian)
            }),
            Kind::Fits => self.fits_stored(path, wanted).map(|(raw, _)| raw),
        };
        prepare.raw(raw?)
    }

    /// Reads a sample as its file holds it; `None` for a file that does so in another way.
    pub fn stored_row(&self, path: &Path, raw: &Raw, wanted: Extent, row: &mut [u8]) -> Option<Scaling> {
        let same = |kind, big_endian| kind == raw.kind() && big_endian == raw.is_big_endian();
        match kind(path)? {
            Kind::Npy => with_buffers(|buffers| {
                let (kind, big_endian, shape, start) = npy::read_raw(path, &mut buffers.bytes)?;
                self.as_it_lies(&shape, wanted).filter(|()| same(kind, big_endian))?;
                row.copy_from_slice(buffers.bytes.get(start..).filter(|bytes| bytes.len() == row.len())?);
                Some(Scaling::plain())
            }),
            Kind::Fits => self.fits_stored_row(path, wanted, row, &same),
        }
    }

    /// Whether an array of this shape is a sample of this extent without a change of order.
    fn as_it_lies(&self, shape: &[usize], wanted: Extent) -> Option<()> {
        let extent = extent_of(shape, self.bands).ok()?;
        (extent == wanted && (!self.bands || extent.c == 1)).then_some(())
    }

    #[cfg(not(feature = "fits"))]
    fn fits_stored(&self, _: &Path, _: Extent) -> Option<(Raw, Scaling)> {
        None
    }

    #[cfg(not(feature = "fits"))]
    fn fits_stored_row(&self, _: &Path, _: Extent, _: &mut [u8], _: &dyn Fn(crate::data::Kind, bool) -> bool) -> Option<Scaling> {
        None
    }

    #[cfg(feature = "fits")]
    fn fits_stored(&self, path: &Path, wanted: Extent) -> Option<(Raw, Scaling)> {
        if !self.columns.is_empty() || self.bands {
            return None;
        }
        let image = self.image(path).ok()?;
        image.raw().filter(|_| image.extent().is_ok_and(|extent| extent == wanted))
    }

    #[cfg(feature = "fits")]
    fn fits_stored_row(
        &self,
        path: &Path,
        wanted: Extent,
        row: &mut [u8],
        same: &dyn Fn(crate::data::Kind, bool) -> bool,
    ) -> Option<Scaling> {
        let image = self.image(path).ok()?;
        let (raw, scaling) = image.raw().filter(|(raw, _)| same(raw.kind(), raw.is_big_endian()))?;
        let fits = image.extent().is_ok_and(|extent| extent == wanted) && row.len() == raw.bytes(wanted.len());
        (fits && image.read_raw(row).is_ok()).then_some(scaling)
    }

    /// The values of a file as they are; their extent.
    fn raw(&self, path: &Path, prepare: &Prepare, x: &mut Vec<f32>) -> Result<Extent> {
        match kind(path) {
            Some(Kind::Npy) => self.npy(path, x),
            Some(Kind::Fits) => self.fits(path, prepare, x),
            None => Err(Error::unsupported(path.display(), "unknown kind of file").expected(kinds())),
        }
    }

    fn npy(&self, path: &Path, x: &mut Vec<f32>) -> Result<Extent> {
        with_buffers(|buffers| {
            let shape = npy::read_f32(path, &mut buffers.bytes, x)?;
            let extent = extent_of(&shape, self.bands)?;
            if self.bands && extent.c > 1 {
                let planes = std::mem::take(x);
                x.resize(planes.len(), 0.0);
                interleave(&planes, extent.c, x);
            }
            Ok(extent)
        })
    }

    #[cfg(not(feature = "fits"))]
    fn fits(&self, path: &Path, _: &Prepare, _: &mut Vec<f32>) -> Result<Extent> {
        Err(Error::unsupported(path.display(), "this build reads no FITS files").hint("build with the feature fits"))
    }

    #[cfg(feature = "fits")]
    fn image(&self, path: &Path) -> Result<crate::data::fits::Image> {
        let fits = crate::data::fits::Fits::open(path)?;
        match &self.hdu {
            Some(which) => fits.image(which.clone()),
            None => fits.first_image(),
        }
    }

    #[cfg(feature = "fits")]
    fn fits(&self, path: &Path, prepare: &Prepare, x: &mut Vec<f32>) -> Result<Extent> {
        if !self.columns.is_empty() {
            return self.table(path, x);
        }
        let image = self.image(path)?;
        x.clear();
        x.resize(image.len(), 0.0);
        if self.bands && image.shape().len() > 2 {
            let extent = extent_of(image.shape(), true)?;
            with_buffers(|buffers| {
                buffers.planes.clear();
                buffers.planes.resize(x.len(), 0.0);
                image.read_into(&mut buffers.planes, reading(prepare))?;
                interleave(&buffers.planes, extent.c, x);
                Ok(extent)
            })
        } else {
            image.read_into(x, reading(prepare))?;
            image.extent()
        }
    }

    /// Columns of a table side by side.
    #[cfg(feature = "fits")]
    fn table(&self, path: &Path, x: &mut Vec<f32>) -> Result<Extent> {
        use crate::data::fits::{Fits, HduKind};
        let fits = Fits::open(path)?;
        let table = match &self.hdu {
            Some(which) => fits.table(which.clone())?,
            None => {
                let first = fits.hdus().iter().find(|hdu| hdu.kind() == HduKind::Table).map(|hdu| hdu.index());
                let index = first.ok_or_else(|| Error::format(path.display(), "no table in this file"))?;
                fits.table(index)?
            }
        };
        let columns = self.columns.iter().map(|name| table.column_f32(name, Missing::Keep)).collect::<Result<Vec<_>>>()?;
        let (rows, c) = (columns[0].len(), columns.len());
        if let Some(k) = columns.iter().position(|column| column.len() != rows) {
            let what = format!("columns {} and {} differ in length", self.columns[0], self.columns[k]);
            return Err(Error::shape(table.place(), what).expected(rows).got(columns[k].len()));
        }
        x.clear();
        x.resize(rows * c, 0.0);
        for (k, column) in columns.iter().enumerate() {
            x.iter_mut().skip(k).step_by(c).zip(column).for_each(|(x, v)| *x = *v);
        }
        Extent::line(rows, c).check()
    }
}

/// What the reader itself makes of values that are missing: the rest is left to the steps, whose messages say where.
#[cfg(feature = "fits")]
fn reading(prepare: &Prepare) -> Missing {
    match prepare.policy() {
        policy @ (Missing::Zero | Missing::Value(_)) => policy,
        _ => Missing::Keep,
    }
}

fn fits(extent: Extent, wanted: Extent, file: Extent) -> Result<()> {
    if extent == wanted {
        return Ok(());
    }
    let got = if extent == file { extent.to_string() } else { format!("{extent}, from {file} in the file") };
    Err(Error::shape("", "another size than the first file")
        .expected(wanted)
        .got(got)
        .hint("Prepare::resize, fit, crop and pad bring images to one size"))
}
