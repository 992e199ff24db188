//! The units of a file: where each header and its data lie, with every size checked against the length of the file.

use super::header::{Header, RECORD, name};
use super::source::Source;
use crate::{Error, Result};
use std::fmt;

/// Files are made of blocks of this many bytes.
pub(super) const BLOCK: u64 = 2880;
/// Bytes of the longest header that is read: two hundred thousand records.
const HEADER: u64 = 5825 * BLOCK;
/// Axes that are understood. The standard allows 999; nobody has written seventeen.
const AXES: usize = 16;

/// What sort of HDU one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HduKind {
    /// A header without data.
    Empty,
    /// An image or cube.
    Image,
    /// An image in compressed tiles.
    CompressedImage,
    /// A binary table.
    Table,
    /// A table of text, which is not read.
    AsciiTable,
    /// Random groups or an extension of another type, which are not read.
    Other,
}

/// A header and data unit of a file.
#[derive(Clone, Debug)]
pub struct Hdu {
    pub(super) index: usize,
    pub(super) kind: HduKind,
    pub(super) name: String,
    pub(super) version: i64,
    pub(super) shape: Vec<usize>,
    pub(super) header: Header,
    /// Where the data begin, and how many bytes the header announces, heap included.
    pub(super) at: u64,
    pub(super) bytes: u64,
}

impl Hdu {
    /// Its number; the primary HDU is 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// `EXTNAME`, or nothing.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `EXTVER`, 1 where there is none.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// What it holds.
    pub fn kind(&self) -> HduKind {
        self.kind
    }

    /// The sizes of an image, slowest axis first; rows and columns of a table.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// `HDU 1 (SCI)`: how messages call it.
    pub(super) fn place(&self) -> String {
        if self.name.is_empty() { format!("HDU {}", self.index) } else { format!("HDU {} ({})", self.index, self.name) }
    }
}

impl fmt::Display for Hdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place())?;
        let bitpix = |key| self.header.get::<i64>(key).unwrap_or(0);
        match self.kind {
            HduKind::Empty => f.write_str("no data"),
            HduKind::Image => write!(f, "image {:?}, BITPIX {}", self.shape, bitpix("BITPIX")),
            HduKind::CompressedImage => write!(f, "compressed image {:?}, BITPIX {}", self.shape, bitpix("ZBITPIX")),
            HduKind::Table => write!(f, "table, {} rows, {} columns", self.shape[0], self.shape[1]),
            HduKind::AsciiTable => f.write_str("ASCII table"),
            HduKind::Other => f.write_str("not an image or table"),
        }
    }
}

/// All HDUs, and why the search ended before the end of the file where it did.
pub(super) fn scan(source: &Source) -> Result<(Vec<Hdu>, Option<String>)> {
    recognise(source)?;
    let (mut hdus, mut at) = (Vec::new(), 0);
    loop {
        let index = hdus.len();
        let hdu = match read_hdu(source, at, index) {
            Ok(hdu) => hdu,
            Err(e) if index == 0 => return Err(e),
            Err(e) => return Ok((hdus, Some(e.to_string()))),
        };
        // The data may lie beyond the end: who asks for them is told.
        let next = hdu.bytes.checked_next_multiple_of(BLOCK).and_then(|n| n.checked_add(hdu.at));
        hdus.push(hdu);
        match next {
            Some(next) if more(source, next)? => at = next,
            _ => return Ok((hdus, None)),
        }
    }
}

/// Whether another HDU begins here. What follows the last one (special records, zeros of a tape) is no HDU.
fn more(source: &Source, at: u64) -> Result<bool> {
    let left = source.len().saturating_sub(at);
    Ok(left >= 8 && source.span(at, 8)?.starts_with(b"XTENSION"))
}

/// Refuses what is no FITS file, saying what it is.
fn recognise(source: &Source) -> Result<()> {
    let head = source.span(0, source.len().min(512) as usize)?;
    if head.starts_with(b"SIMPLE") {
        return Ok(());
    }
    const KINDS: [(&[u8], &str); 12] = [
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"\x89PNG", "a PNG picture"),
        (b"GIF8", "a GIF picture"),
        (b"II*\0", "a TIFF picture"),
        (b"MM\0*", "a TIFF picture"),
        (b"%PDF", "a PDF document"),
        (b"\x89HDF", "an HDF5 file"),
        (b"\x93NUMPY", "an NPY file, which data::npy reads"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"BZh", "compressed with bzip2"),
        (b"\x1f\x9d", "compressed with compress (.Z)"),
        (b"\xfd7zXZ", "compressed with xz"),
    ];
    let lower = head.trim_ascii_start().to_ascii_lowercase();
    let kind = KINDS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, kind)| *kind);
    let kind = kind.or_else(|| (lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html")).then_some("an HTML page"));
    let refused = |what: &str| Error::format(&source.name, what);
    if head.is_empty() {
        return Err(refused("the file is empty").hint("was its download or its copy broken off?"));
    }
    let e = refused("not a FITS file").expected("SIMPLE  = T at the beginning");
    Err(match kind {
        Some("an HTML page") => {
            e.got("an HTML page").hint("the server answered with a page, perhaps an error: look at it and download again")
        }
        Some(kind) => e.got(kind),
        None => e.got(format!("{:?}", String::from_utf8_lossy(&head[..head.len().min(16)]))),
    })
}

fn read_hdu(source: &Source, at: u64, index: usize) -> Result<Hdu> {
    let place = |e: Error| e.at(format!("{}: HDU {index}", source.name));
    let (header, at) = read_header(source, at).map_err(place)?;
    let name = header.get::<String>("EXTNAME").unwrap_or_default().trim().to_string();
    let version = header.get("EXTVER").unwrap_or(1);
    let mut hdu = Hdu { index, kind: HduKind::Other, name, version, shape: Vec::new(), header, at, bytes: 0 };
    hdu.measure().map_err(place)?;
    Ok(hdu)
}

/// The records up to `END`, and where the data begin.
fn read_header(source: &Source, start: u64) -> Result<(Header, u64)> {
    let mut records = Vec::new();
    let mut at = start;
    loop {
        let left = source.len().saturating_sub(at);
        if left < RECORD as u64 {
            let e = Error::format("", "the file ends inside the header").expected("an END card");
            return Err(e.got(format!("{} cards", records.len())).hint("the file is cut short: copy or download it again"));
        }
        if at - start >= HEADER {
            let e = Error::format("", "the header does not end").expected(format!("an END card within {HEADER} bytes"));
            return Err(e.hint("is the file damaged?"));
        }
        // Whole blocks at first; a last block that is cut short may still hold the END.
        let piece = source.span(at, left.min(4 * BLOCK) as usize)?;
        for record in piece.as_chunks::<RECORD>().0 {
            if record.starts_with(b"END     ") {
                let bytes = (records.len() as u64 + 1) * RECORD as u64;
                return Ok((Header::new(records), start + bytes.next_multiple_of(BLOCK)));
            }
            records.push(*record);
        }
        at += piece.len() as u64 / RECORD as u64 * RECORD as u64;
    }
}

impl Hdu {
    /// Fills in kind, shape and the number of bytes.
    fn measure(&mut self) -> Result<()> {
        let header = &self.header;
        let bits = checked_bitpix(header, "BITPIX")?;
        let axes = axes(header, "NAXIS")?;
        let extra = |key, default| match header.get::<i64>(key) {
            None => Ok(default),
            Some(n) => u64::try_from(n).map_err(|_| Error::format("", format!("{key} is negative")).got(n)),
        };
        let (pcount, gcount) = (extra("PCOUNT", 0)?, extra("GCOUNT", 1)?);
        let groups = header.get::<bool>("GROUPS") == Some(true) && axes.first() == Some(&0);
        let pixels = axes[usize::from(groups)..].iter().try_fold(1_u64, |n, &axis| n.checked_mul(axis as u64));
        let pixels = pixels.map(|n| if axes.is_empty() { 0 } else { n });
        let bytes = pixels.and_then(|n| n.checked_add(pcount)?.checked_mul(gcount)?.checked_mul(bits.unsigned_abs() / 8));
        let overflow = || Error::format("", "the product of the sizes overflows").got(format!("{axes:?}"));
        self.bytes = bytes.filter(|&n| n < 1 << 62).ok_or_else(overflow)?;
        let extension = header.get::<String>("XTENSION");
        let table = matches!(extension.as_deref(), Some("BINTABLE" | "A3DTABLE"));
        let compressed = table && header.get::<bool>("ZIMAGE") == Some(true);
        self.kind = match extension.as_deref() {
            _ if groups => HduKind::Other,
            _ if compressed => HduKind::CompressedImage,
            _ if table => HduKind::Table,
            Some("TABLE") => HduKind::AsciiTable,
            None | Some("IMAGE" | "IUEIMAGE") if axes.is_empty() => HduKind::Empty,
            None | Some("IMAGE" | "IUEIMAGE") => HduKind::Image,
            Some(_) => HduKind::Other,
        };
        let (mut shape, fields) = (axes, header.get("TFIELDS").unwrap_or(0));
        self.shape = match self.kind {
            HduKind::CompressedImage => {
                let mut shape = self::axes(header, "ZNAXIS")?;
                shape.reverse();
                shape
            }
            HduKind::Table if shape.len() == 2 => vec![shape[1], fields],
            HduKind::Table => return Err(Error::format("", "a table has two axes").got(format!("NAXIS = {}", shape.len()))),
            _ => {
                shape.reverse();
                shape
            }
        };
        Ok(())
    }
}

/// `BITPIX` or `ZBITPIX`, one of the six that exist.
pub(super) fn checked_bitpix(header: &Header, key: &str) -> Result<i64> {
    let bits = header.require::<i64>(key)?;
    if [8, 16, 32, 64, -32, -64].contains(&bits) {
        return Ok(bits);
    }
    let e = Error::format("", format!("{key} makes no sense")).expected("8, 16, 32, 64, -32 or -64").got(bits);
    Err(e.hint("is the header damaged?"))
}

/// The sizes that `NAXIS` and `NAXISn` (or their namesakes) give, fastest first.
pub(super) fn axes(header: &Header, key: &str) -> Result<Vec<usize>> {
    let count = header.require::<i64>(key)?;
    let n = usize::try_from(count).ok().filter(|&n| n <= AXES);
    let n = n.ok_or_else(|| Error::format("", format!("{key} makes no sense")).expected(format!("0 to {AXES}")).got(count))?;
    sizes(header, key, n)
}

/// `KEY1` to `KEYn`, none negative.
pub(super) fn sizes(header: &Header, key: &str, n: usize) -> Result<Vec<usize>> {
    let size = |i: usize| {
        let key = format!("{key}{i}");
        let size = header.require::<i64>(&key)?;
        usize::try_from(size).map_err(|_| Error::format("", format!("{key} is negative")).got(size))
    };
    (1..=n).map(size).collect()
}

impl Source {
    /// Refuses an HDU whose data the file does not hold.
    pub(super) fn check_whole(&self, hdu: &Hdu) -> Result<()> {
        let held = self.len().saturating_sub(hdu.at);
        if held >= hdu.bytes {
            return Ok(());
        }
        let e = Error::format(format!("{}: {}", self.name, hdu.place()), "the data are cut short");
        Err(e.expected(format!("{} bytes after the header", hdu.bytes)).got(held).hint("copy or download the file again"))
    }
}

/// Whether a record's keyword describes the structure of the file, which a writer chooses itself.
pub(super) fn is_structure(record: &[u8; RECORD]) -> bool {
    let key = name(record);
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let fixed = [
        "SIMPLE", "XTENSION", "BITPIX", "EXTEND", "PCOUNT", "GCOUNT", "TFIELDS", "THEAP", "BSCALE", "BZERO", "BLANK", "GROUPS",
        "END",
    ];
    let checked = ["CHECKSUM", "DATASUM", "ZIMAGE", "ZCMPTYPE", "ZBITPIX", "ZNAXIS", "ZTILE", "ZNAME", "ZVAL", "ZQUANTIZ"];
    fixed.contains(&key)
        || checked.contains(&stem)
        || ["NAXIS", "TFORM", "TTYPE", "TUNIT", "TDIM", "TSCAL", "TZERO", "TNULL", "TDISP"].contains(&stem)
}
