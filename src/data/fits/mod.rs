//! FITS: images and cubes, binary tables, headers; reading and writing.
//!
//! [`Fits`] opens a file and lists its HDUs. [`Image`] reads pixels of every `BITPIX` with `BSCALE`, `BZERO` and `BLANK`, whole or in
//! sections, also tile-compressed ones (`RICE_1`, `GZIP_1`, `GZIP_2`); [`Table`] reads columns by name. [`Writer`] writes images, cubes and
//! tables, [`Parts`] an image larger than memory. `.fits.gz` is unpacked into memory, at most 4 GiB.
//!
//! Shapes are those of NumPy: the slowest axis first, so an image is (rows, columns) and `NAXIS1` comes last. What a missing value (NaN,
//! infinite, `BLANK`) becomes, the caller says: [`Missing`](crate::data::Missing). Reading needs no `&mut`: threads share one [`Fits`].
//! No file makes a panic, a hang, or asks for memory beyond what its length explains.
//!
//! # Source
//! The FITS standard 4.0 (IAU FITS Working Group, 2018); tile compression: its section 10. Cards are read by the crate `fitsrs` (CDS).
//!
//! # Examples
//! ```
//! use kamacite::data::Missing;
//! use kamacite::data::fits::{Cards, Fits, Writer};
//! let file = Writer::to_bytes(|w| w.image(&[2, 3], &[1_i16, 2, 3, 4, 5, 6], &Cards::new().with("OBJECT", "M 31")?))?;
//! let fits = Fits::from_bytes("m31.fits", file)?;
//! let image = fits.image(0)?;
//! assert_eq!((image.shape(), image.read(Missing::Error)?), (&[2, 3][..], vec![1., 2., 3., 4., 5., 6.]));
//! let mut corner = [0.0; 2];
//! image.section(&[1..2, 1..3], &mut corner, Missing::Error)?;
//! assert_eq!(corner, [5.0, 6.0]);
//! # Ok::<(), kamacite::Error>(())
//! ```

mod cards;
mod decode;
mod hdu;
mod header;
mod image;
mod rice;
mod section;
mod source;
mod table;
mod tiles;
mod wcs;
mod write;

pub use cards::Cards;
pub use hdu::{Hdu, HduKind};
pub use header::{Card, Header, Value};
pub use image::Image;
pub use table::{Field, Table};
pub use write::{NewColumn, Parts, Writer};

use crate::{Error, Result};
use source::Source;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// An open file. Clones share it.
#[derive(Clone)]
pub struct Fits(Arc<Inner>);

pub(in crate::data) struct Inner {
    source: Source,
    hdus: Vec<Hdu>,
    /// Why there are no more HDUs, where the file goes on.
    ended: Option<String>,
}

impl fmt::Debug for Fits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hdus: Vec<String> = self.0.hdus.iter().map(Hdu::to_string).collect();
        f.debug_struct("Fits").field("name", &self.0.source.name).field("hdus", &hdus).finish()
    }
}

/// Which HDU: its number, its `EXTNAME` (case does not matter), or name and `EXTVER`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// The number; the primary HDU is 0.
    Index(usize),
    /// The first of this name.
    Name(String),
    /// The one of this name and version.
    Version(String, i64),
}

impl From<usize> for Which {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl From<&str> for Which {
    fn from(name: &str) -> Self {
        Self::Name(name.to_string())
    }
}

impl From<String> for Which {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl From<(&str, i64)> for Which {
    fn from((name, version): (&str, i64)) -> Self {
        Self::Version(name.to_string(), version)
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(i) => write!(f, "number {i}"),
            Self::Name(name) => write!(f, "named {name:?}"),
            Self::Version(name, version) => write!(f, "named {name:?} with EXTVER {version}"),
        }
    }
}

impl Fits {
    /// Opens a file, also a gzip-compressed one, and reads its headers. Data are read when asked for.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), [`ErrorKind::Format`](crate::ErrorKind::Format) for anything but a FITS file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(Source::open(path.as_ref())?)
    }

    /// The contents of a file; messages call them `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) for anything but a FITS file.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self> {
        Self::new(Source::from_bytes(name.into(), bytes)?)
    }

    fn new(source: Source) -> Result<Self> {
        let (hdus, ended) = hdu::scan(&source)?;
        Ok(Self(Arc::new(Inner { source, hdus, ended })))
    }

    /// The path, or the name given to [`Fits::from_bytes`].
    pub fn name(&self) -> &str {
        &self.0.source.name
    }

    /// What the file holds.
    pub fn hdus(&self) -> &[Hdu] {
        &self.0.hdus
    }

    /// One HDU.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value), listing those that there are.
    pub fn hdu(&self, which: impl Into<Which>) -> Result<&Hdu> {
        let which = which.into();
        let is = |h: &&Hdu| match &which {
            Which::Index(i) => h.index == *i,
            Which::Name(name) => h.name.eq_ignore_ascii_case(name) || (h.index == 0 && name.eq_ignore_ascii_case("PRIMARY")),
            Which::Version(name, version) => h.name.eq_ignore_ascii_case(name) && h.version == *version,
        };
        let found = self.0.hdus.iter().find(is);
        found.ok_or_else(|| Error::value(self.name(), format!("no HDU {which}")).hint(self.list(|_| true)))
    }

    /// An image or cube.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for an HDU that is not there or no image, [`ErrorKind::Format`](crate::ErrorKind::Format)
    /// for sizes of zero and data that are cut short, [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a compression that is not
    /// read.
    pub fn image(&self, which: impl Into<Which>) -> Result<Image> {
        let hdu = self.hdu(which)?;
        if !is_image(hdu) {
            return Err(self.another(hdu, "an image", is_image));
        }
        Image::new(self.clone(), hdu.index)
    }

    /// The first image or cube of the file.
    ///
    /// # Errors
    /// As [`Fits::image`].
    pub fn first_image(&self) -> Result<Image> {
        let found = self.0.hdus.iter().find(|h| is_image(h));
        let none = || Error::value(self.name(), "no image in this file").hint(self.list(|_| true));
        self.image(found.ok_or_else(none)?.index)
    }

    /// A binary table.
    ///
    /// # Errors
    /// As [`Fits::image`].
    pub fn table(&self, which: impl Into<Which>) -> Result<Table> {
        let hdu = self.hdu(which)?;
        let is_table = |h: &Hdu| h.kind == HduKind::Table;
        if hdu.kind == HduKind::AsciiTable {
            let e = Error::unsupported(self.place(hdu), "an ASCII table").expected("a binary table (BINTABLE)");
            return Err(e.hint("convert it, in Python: Table.read(file, hdu=1).write('out.fits')"));
        }
        if !is_table(hdu) {
            return Err(self.another(hdu, "a binary table", is_table));
        }
        Table::new(self.clone(), hdu.index)
    }

    fn another(&self, hdu: &Hdu, wanted: &str, is: impl Fn(&Hdu) -> bool) -> Error {
        let found = hdu.to_string();
        let found = found.split_once(": ").map_or(found.as_str(), |(_, what)| what).to_string();
        Error::value(self.place(hdu), format!("not {wanted}")).got(found).hint(self.list(is))
    }

    /// `file: HDU 1 (SCI)`, where messages begin.
    fn place(&self, hdu: &Hdu) -> String {
        format!("{}: {}", self.name(), hdu.place())
    }

    /// The HDUs that will do, for a hint.
    fn list(&self, is: impl Fn(&Hdu) -> bool) -> String {
        const MOST: usize = 12;
        let some: Vec<String> = self.0.hdus.iter().filter(|h| is(h)).map(Hdu::to_string).collect();
        let mut text = match some.len() {
            0 => "the file has none".to_string(),
            _ => format!("the file has {}", some[..some.len().min(MOST)].join("; ")),
        };
        if some.len() > MOST {
            text += &format!("; and {} more", some.len() - MOST);
        }
        if let Some(why) = &self.0.ended {
            text += &format!(". No more could be read ({why})");
        }
        text
    }
}

fn is_image(hdu: &Hdu) -> bool {
    matches!(hdu.kind, HduKind::Image | HduKind::CompressedImage)
}
