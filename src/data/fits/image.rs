//! Images and cubes.

use super::decode::{Pixel, Scale, Treat};
use super::hdu::{HduKind, checked_bitpix};
use super::header::Header;
use super::section::{self, Section};
use super::tiles::Tiles;
use super::{Fits, Hdu};
use crate::data::array::extent_of_rows;
use crate::data::memory::Stored;
use crate::data::{Kind, Missing, Raw, Samples, Scaling, file};
use crate::{Error, Extent, Result};
use std::ops::Range;
use std::sync::Arc;

/// An image or cube of a file. It keeps the file open; threads may share it.
///
/// Pixels are read as `f32`: scale·stored + zero in `f64`, rounded once. Integers of more than 24 bits and `f64` are rounded to the nearest
/// `f32`; [`Image::read_f64`] keeps `BITPIX` 32 and -64 exactly, and 64 up to 53 bits. `BLANK` is read as NaN, and
/// the policy ([`Missing`]) says what becomes of NaN and infinities. [`Missing::Median`] is that of all pixels read in one call.
#[derive(Clone, Debug)]
pub struct Image {
    fits: Fits,
    hdu: usize,
    kind: Kind,
    scale: Scale,
    store: Store,
}

#[derive(Clone, Debug)]
enum Store {
    Plain,
    Tiles(Box<Tiles>),
}

/// The type of elements that a `BITPIX` names.
pub(super) fn kind_of(bitpix: i64) -> Kind {
    match bitpix {
        16 => Kind::I16,
        32 => Kind::I32,
        64 => Kind::I64,
        -32 => Kind::F32,
        -64 => Kind::F64,
        _ => Kind::U8,
    }
}

impl Image {
    pub(super) fn new(fits: Fits, index: usize) -> Result<Self> {
        let hdu = &fits.0.hdus[index];
        let place = fits.place(hdu);
        let at = |e: Error| e.at(&place);
        if hdu.shape.contains(&0) {
            let e = Error::format(&place, "the image has no pixels").expected("sizes of at least 1");
            return Err(e.got(format!("{:?}", hdu.shape)).hint("was it written before there was anything to write?"));
        }
        let pixels = file::product(&place, hdu.shape.iter().copied())?;
        fits.0.source.check_whole(hdu)?;
        let compressed = hdu.kind == HduKind::CompressedImage;
        let kind = kind_of(checked_bitpix(&hdu.header, if compressed { "ZBITPIX" } else { "BITPIX" }).map_err(at)?);
        let store = if compressed { Store::Tiles(Box::new(Tiles::new(hdu, kind, pixels).map_err(at)?)) } else { Store::Plain };
        let number = |key: &str, default: f64| match hdu.header.get::<f64>(key) {
            Some(x) if !x.is_finite() => Err(Error::format(&place, format!("{key} is no number")).got(x)),
            x => Ok(x.unwrap_or(default)),
        };
        let integer = matches!(kind, Kind::U8 | Kind::I16 | Kind::I32 | Kind::I64);
        let blank = hdu.header.get::<i64>("BLANK").or_else(|| hdu.header.get("ZBLANK").filter(|_| compressed));
        let scale = Scale { scale: number("BSCALE", 1.0)?, zero: number("BZERO", 0.0)?, blank: blank.filter(|_| integer) };
        Ok(Self { hdu: index, kind, scale, store, fits })
    }

    fn hdu(&self) -> &Hdu {
        &self.fits.0.hdus[self.hdu]
    }

    /// `file: HDU 1 (SCI)`, where messages about this image begin.
    pub fn place(&self) -> String {
        self.fits.place(self.hdu())
    }

    /// The sizes, slowest axis first: (rows, columns) of an image.
    pub fn shape(&self) -> &[usize] {
        &self.hdu().shape
    }

    /// The type of the stored numbers: 8, 16, 32, 64 for integers, -32, -64 for floating point.
    pub fn bitpix(&self) -> i32 {
        let bits = 8 * self.kind.bytes() as i32;
        if matches!(self.kind, Kind::F32 | Kind::F64) { -bits } else { bits }
    }

    /// The header of its HDU. That of a compressed image is the header of the table it lies in.
    pub fn header(&self) -> &Header {
        &self.hdu().header
    }

    /// Number of pixels.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether there are none; no image that opens is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The extent of a sample: axes of size 1 left out, (w), (h, w) or (d, h, w), one channel.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for more than three axes longer than 1.
    pub fn extent(&self) -> Result<Extent> {
        let long: Vec<usize> = self.shape().iter().copied().filter(|&n| n > 1).collect();
        match *long {
            [] => Ok(Extent::line(1, 1)),
            [w] => Ok(Extent::line(w, 1)),
            [h, w] => Ok(Extent::image(h, w, 1)),
            [d, h, w] => Ok(Extent::cube(d, h, w, 1)),
            _ => {
                let e = Error::shape(self.place(), "too many axes").expected("at most 3 longer than 1");
                Err(e.got(format!("{:?}", self.shape())).hint("read a part of it with `section`"))
            }
        }
    }

    /// The rows and columns of what must be an image: no more than two axes longer than 1.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for cubes.
    pub fn rows_and_columns(&self) -> Result<(usize, usize)> {
        let extent = self.extent().ok().filter(|e| e.d == 1);
        extent.map(|e| (e.h, e.w)).ok_or_else(|| {
            let e = Error::shape(self.place(), format!("{} axes where an image was expected", self.shape().len()));
            let e = e.expected("2 axes longer than 1: rows and columns").got(format!("{:?}", self.shape()));
            e.hint("read one plane of it with `section`")
        })
    }

    /// All pixels, in the order of the shape.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for missing values under [`Missing::Error`], [`ErrorKind::Format`](crate::ErrorKind::Format)
    /// for damaged tiles, [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn read(&self, missing: Missing) -> Result<Vec<f32>> {
        self.all(missing)
    }

    /// As [`Image::read`], in double precision.
    ///
    /// # Errors
    /// As [`Image::read`].
    pub fn read_f64(&self, missing: Missing) -> Result<Vec<f64>> {
        self.all(missing)
    }

    /// As [`Image::read`], into memory that is there: one value for each pixel.
    ///
    /// # Errors
    /// As [`Image::read`], and [`ErrorKind::Shape`](crate::ErrorKind::Shape) for memory of another size.
    pub fn read_into(&self, out: &mut [f32], missing: Missing) -> Result<()> {
        self.section_of(&self.whole(), out, missing)
    }

    /// All pixels, with 0 for missing ones, and which are missing.
    ///
    /// # Errors
    /// As [`Image::read`].
    pub fn read_masked(&self) -> Result<(Vec<f32>, Vec<bool>)> {
        let mut x: Vec<f32> = self.all(Missing::Keep)?;
        let mut mask = file::reserve(self.place(), x.len())?;
        mask.extend(x.iter().map(|x| !x.is_finite()));
        x.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
        Ok((x, mask))
    }

    /// The pixels in a box: a range for each axis, slowest first. No more of the file is read than the box, or the compressed tiles it touches.
    ///
    /// # Errors
    /// As [`Image::read_into`], and [`ErrorKind::Shape`](crate::ErrorKind::Shape) for ranges outside of the image.
    pub fn section(&self, ranges: &[Range<usize>], out: &mut [f32], missing: Missing) -> Result<()> {
        self.section_of(ranges, out, missing)
    }

    /// As [`Image::section`], in double precision.
    ///
    /// # Errors
    /// As [`Image::section`].
    pub fn section_f64(&self, ranges: &[Range<usize>], out: &mut [f64], missing: Missing) -> Result<()> {
        self.section_of(ranges, out, missing)
    }

    /// The pixels as samples along the first axis: a stack of stamps, of spectra, of cubes. Those of one or two bytes stay as they are in the file
    /// until somebody asks for numbers. [`Missing::Median`] is that of each pixel over the samples.
    ///
    /// # Errors
    /// As [`Image::read`], and [`ErrorKind::Shape`](crate::ErrorKind::Shape) for more than five axes.
    ///
    /// # Examples
    /// ```
    /// use kamacite::data::Missing;
    /// use kamacite::data::fits::{Cards, Fits, Writer};
    /// let file = Writer::to_bytes(|w| w.image(&[2, 1, 3], &[1_i16, 2, 3, 4, 5, 6], &Cards::new()))?;
    /// let stamps = Fits::from_bytes("stamps.fits", file)?.first_image()?.samples(Missing::Error)?;
    /// assert_eq!((stamps.extent(0), stamps.x(0)), (Some(kamacite::Extent::image(1, 3, 1)), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..]));
    /// # Ok::<(), kamacite::Error>(())
    /// ```
    pub fn samples(&self, missing: Missing) -> Result<Samples> {
        let at = |e: Error| e.at(self.place());
        let extent = extent_of_rows(self.shape()).map_err(at)?;
        if let Some((raw, scaling)) = self.raw().filter(|(raw, _)| raw.kind().bytes() <= 2) {
            let len = raw.bytes(self.len());
            let mut bytes = file::reserve(self.place(), len)?;
            bytes.resize(len, 0);
            self.read_raw(&mut bytes)?;
            if let Some(stored) = Stored::new(Arc::new(bytes), 0, raw.missing(missing), scaling) {
                return Samples::stored(extent, stored).map_err(at);
            }
        }
        Samples::with_missing(extent, self.read(Missing::Keep)?, missing).map_err(at)
    }

    /// How the pixels lie in the file, where they lie one after another.
    pub(in crate::data) fn raw(&self) -> Option<(Raw, Scaling)> {
        let raw = Raw::new(self.kind, true).filter(|_| matches!(self.store, Store::Plain))?;
        let scaling = Scaling::double(self.scale.scale, self.scale.zero);
        // A blank that the type does not hold means nothing.
        let blank = self.scale.blank.filter(|&blank| match self.kind {
            Kind::U8 => u8::try_from(blank).is_ok(),
            Kind::I16 => i16::try_from(blank).is_ok(),
            _ => true,
        });
        let blank = blank.and_then(|blank| i32::try_from(blank).ok());
        Some((raw, blank.map_or(scaling, |blank| scaling.blank(blank))))
    }

    /// All pixels as they lie in the file.
    pub(in crate::data) fn read_raw(&self, out: &mut [u8]) -> Result<()> {
        let expected = self.len() * self.kind.bytes();
        if out.len() != expected {
            return Err(Error::shape(self.place(), "bytes of the pixels").expected(expected).got(out.len()));
        }
        self.fits.0.source.fill(self.hdu().at, out)
    }

    fn whole(&self) -> Vec<Range<usize>> {
        self.shape().iter().map(|&n| 0..n).collect()
    }

    fn all<T: Pixel + Into<f64>>(&self, missing: Missing) -> Result<Vec<T>> {
        let mut out = file::reserve(self.place(), self.len())?;
        out.resize(self.len(), T::of(0.0));
        self.section_of(&self.whole(), &mut out, missing)?;
        Ok(out)
    }

    fn section_of<T: Pixel + Into<f64>>(&self, ranges: &[Range<usize>], out: &mut [T], missing: Missing) -> Result<()> {
        let at = |e: Error| e.at(self.place());
        let section = Section::new(self.shape(), ranges, out.len()).map_err(at)?;
        let mut treat = Treat::new(missing);
        match &self.store {
            Store::Plain => {
                let stored = (self.hdu().at, self.kind, &self.scale);
                section::read(&self.fits.0, stored, &section, out, &mut treat)?;
            }
            Store::Tiles(tiles) => tiles.read((&self.fits.0.source, &self.scale), ranges, out, &mut treat).map_err(at)?,
        }
        treat.finish(out);
        if treat.refused() { Err(self.missing(ranges, &treat, out.len())) } else { Ok(()) }
    }

    fn missing(&self, ranges: &[Range<usize>], treat: &Treat, len: usize) -> Error {
        let (first, value) = treat.first.unwrap_or_default();
        let mut rest = first;
        let mut index: Vec<usize> =
            ranges.iter().rev().map(|r| (r.start + rest % r.len().max(1), rest /= r.len().max(1)).0).collect();
        index.reverse();
        let what = if treat.missing == len {
            format!("all {len} pixels are NaN or infinite")
        } else {
            format!("{} of {len} pixels are NaN or infinite, the first is {value} at {index:?}", treat.missing)
        };
        let hint = "choose another Missing policy (Zero, Value, Median or Keep), or `read_masked`";
        Error::value(self.place(), what).expected("finite values").hint(hint)
    }
}
