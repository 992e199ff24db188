//! Binary tables: columns by name.

use super::decode::{Pixel, Scale};
use super::header::Header;
use super::source::Source;
use super::{Fits, Hdu};
use crate::data::array::Form;
use crate::data::{Array, Kind, Missing, file};
use crate::{Error, Result};
use std::borrow::Cow;

/// Columns that a table may have (FITS standard, section 7.2.1).
const FIELDS: usize = 999;
/// Bytes of rows read at once.
const PIECE: usize = 1 << 18;

/// A column of a table: where it lies in a row, and what its numbers mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    name: String,
    format: String,
    unit: String,
    /// The letter of its type, and for columns of variable length that of their elements.
    code: u8,
    element: u8,
    /// Elements in a row.
    count: usize,
    offset: usize,
    width: usize,
    scale: Scale,
    /// The sizes of an array in one row, slowest first; none for one number.
    dims: Vec<usize>,
}

impl Field {
    /// `TTYPE`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `TFORM`: `E`, `16A`, `1PJ(20)`.
    pub fn format(&self) -> &str {
        &self.format
    }

    /// `TUNIT`, or nothing.
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// Elements in a row: 1 for a number, more for vectors, characters of a string.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether each row has as many elements as it likes.
    pub fn is_variable(&self) -> bool {
        matches!(self.code, b'P' | b'Q')
    }

    /// The first number of the column in a row; NaN for what is no number.
    pub(super) fn number(&self, row: &[u8]) -> f64 {
        let (Some(kind), Some(bytes)) = (kind_of(self.code), row.get(self.offset..self.offset + self.width)) else {
            return f64::NAN;
        };
        let mut x = [f64::NAN];
        f64::decode(kind, bytes, &self.scale, &mut x);
        x[0]
    }
}

/// How elements of this letter are stored. Complex numbers are two elements, bits come by eights.
fn kind_of(code: u8) -> Option<Kind> {
    match code {
        b'L' => Some(Kind::Bool),
        b'X' | b'B' => Some(Kind::U8),
        b'I' => Some(Kind::I16),
        b'J' => Some(Kind::I32),
        b'K' => Some(Kind::I64),
        b'E' | b'C' => Some(Kind::F32),
        b'D' | b'M' => Some(Kind::F64),
        _ => None,
    }
}

/// Where the rows and the heap of a table lie.
#[derive(Clone, Debug)]
pub(super) struct Heap {
    at: u64,
    row_bytes: usize,
    pub rows: u64,
    heap_at: u64,
    heap_bytes: u64,
}

/// The columns of a table that the file holds as a whole.
pub(super) fn layout(hdu: &Hdu) -> Result<(Vec<Field>, Heap)> {
    let header = &hdu.header;
    let (row_bytes, rows) = (header.require::<usize>("NAXIS1")?, header.require::<usize>("NAXIS2")?);
    let count = header.require::<usize>("TFIELDS")?;
    if count > FIELDS {
        return Err(Error::format("", "too many columns").expected(format!("at most {FIELDS}")).got(count));
    }
    if header.require::<i64>("BITPIX")? != 8 {
        return Err(Error::format("", "a table has BITPIX 8").got(header.require::<i64>("BITPIX")?));
    }
    let (mut fields, mut offset) = (Vec::with_capacity(count), 0_usize);
    for i in 1..=count {
        let field = field(header, i, offset).map_err(|e| e.at(format!("column {i}")))?;
        offset = offset.checked_add(field.width).filter(|&end| end <= row_bytes).ok_or_else(|| {
            let e = Error::format("", "the columns are wider than a row").expected(format!("NAXIS1 = {row_bytes} bytes"));
            e.got(format!("column {i} ({}) of format {}", field.name, field.format))
        })?;
        fields.push(field);
    }
    let main = (row_bytes as u64).saturating_mul(rows as u64);
    let heap = header.get::<usize>("THEAP").map_or(main, |t| t as u64);
    if row_bytes == 0 && rows > 0 {
        return Err(Error::format("", "rows of no bytes").got(format!("{rows} rows")));
    }
    let heap_bytes = hdu.bytes.checked_sub(heap).filter(|_| heap >= main && main <= hdu.bytes).ok_or_else(|| {
        Error::format("", "the heap lies outside of the data").expected(format!("THEAP from {main} to {}", hdu.bytes)).got(heap)
    })?;
    Ok((fields, Heap { at: hdu.at, row_bytes, rows: rows as u64, heap_at: hdu.at + heap, heap_bytes }))
}

fn field(header: &Header, i: usize, offset: usize) -> Result<Field> {
    let text = |key: &str| header.get::<String>(&format!("{key}{i}")).unwrap_or_default().trim().to_string();
    let format = header.require::<String>(&format!("TFORM{i}"))?.trim().to_string();
    let nonsense =
        || Error::format("", "TFORM makes no sense").expected("like 'E', '16A' or '1PJ(20)'").got(format!("{format:?}"));
    let digits = format.bytes().take_while(u8::is_ascii_digit).count();
    let repeat = if digits == 0 { 1 } else { format[..digits].parse::<usize>().map_err(|_| nonsense())? };
    let mut letters = format.bytes().skip(digits);
    let code = letters.next().ok_or_else(nonsense)?;
    let element = letters.next().unwrap_or(b' ');
    let (size, count) = match code {
        b'L' | b'A' | b'B' => (1, Some(repeat)),
        b'X' => (1, Some(repeat.div_ceil(8))),
        b'I' => (2, Some(repeat)),
        b'J' | b'E' => (4, Some(repeat)),
        b'K' | b'D' => (8, Some(repeat)),
        b'C' => (4, repeat.checked_mul(2)),
        b'M' => (8, repeat.checked_mul(2)),
        b'P' if repeat <= 1 && (kind_of(element).is_some() || element == b'A') => (8, Some(repeat)),
        b'Q' if repeat <= 1 && (kind_of(element).is_some() || element == b'A') => (16, Some(repeat)),
        _ => return Err(nonsense()),
    };
    let width = count.and_then(|n| n.checked_mul(size)).ok_or_else(nonsense)?;
    let number = |key: &str, default| match header.get::<f64>(&format!("{key}{i}")) {
        Some(x) if !x.is_finite() => Err(Error::format("", format!("{key}{i} is no number")).got(x)),
        x => Ok(x.unwrap_or(default)),
    };
    let integer = matches!(if matches!(code, b'P' | b'Q') { element } else { code }, b'B' | b'I' | b'J' | b'K');
    let blank = header.get::<i64>(&format!("TNULL{i}")).filter(|_| integer);
    let scale = Scale { scale: number("TSCAL", 1.0)?, zero: number("TZERO", 0.0)?, blank };
    let count = count.unwrap_or(0);
    let mut dims =
        dims(&text("TDIM")).filter(|d| d.iter().try_fold(1, |n: usize, &d| n.checked_mul(d)) == Some(repeat)).unwrap_or_default();
    let complex = matches!(code, b'C' | b'M');
    let numbers = if complex { repeat } else { count };
    if dims.is_empty() && numbers != 1 {
        dims = vec![numbers];
    }
    if complex {
        dims.push(2);
    }
    Ok(Field { name: text("TTYPE"), unit: text("TUNIT"), format, code, element, count, offset, width, scale, dims })
}

/// `(3,2)` is 2 rows of 3.
fn dims(text: &str) -> Option<Vec<usize>> {
    let sizes = text.strip_prefix('(')?.strip_suffix(')')?.split(',').rev().map(|n| n.trim().parse().ok());
    sizes.collect()
}

impl Heap {
    /// The bytes of a row.
    pub fn row<'a>(&self, source: &'a Source, row: u64) -> Result<Cow<'a, [u8]>> {
        source.span(self.at + row * self.row_bytes as u64, self.row_bytes)
    }

    /// How many elements a row of variable length has, and where they begin in the heap.
    fn descriptor(field: &Field, row: &[u8]) -> (u64, u64) {
        let bytes = &row[field.offset..field.offset + field.width];
        if let Some((n, at)) = bytes.split_first_chunk::<8>().and_then(|(n, rest)| Some((n, rest.first_chunk()?))) {
            return (u64::from_be_bytes(*n), u64::from_be_bytes(*at));
        }
        let halves = bytes.split_first_chunk::<4>().and_then(|(n, rest)| Some((n, rest.first_chunk()?)));
        halves.map_or((0, 0), |(n, at)| (u32::from_be_bytes(*n).into(), u32::from_be_bytes(*at).into()))
    }

    /// The elements of a row of variable length, as bytes.
    pub fn array<'a>(&self, source: &'a Source, field: &Field, row: &[u8]) -> Result<Cow<'a, [u8]>> {
        let (n, at) = Self::descriptor(field, row);
        let bytes = match field.element {
            b'X' => Some(n.div_ceil(8)),
            b'C' | b'M' => n.checked_mul(2 * kind_of(field.element).map_or(1, Kind::bytes) as u64),
            code => n.checked_mul(kind_of(code).map_or(1, Kind::bytes) as u64),
        };
        let fits = |bytes: &u64| n == 0 || at.checked_add(*bytes).is_some_and(|end| end <= self.heap_bytes);
        let bytes = bytes.filter(fits).ok_or_else(|| {
            let e = Error::format("", "a row points beyond the heap").expected(format!("at most {} bytes", self.heap_bytes));
            e.got(format!("{n} elements at byte {at}")).hint("is the file damaged?")
        })?;
        if n == 0 { Ok(Cow::Borrowed(&[])) } else { source.span(self.heap_at + at, bytes as usize) }
    }
}

/// A binary table of a file. It keeps the file open; threads may share it.
#[derive(Clone, Debug)]
pub struct Table {
    fits: Fits,
    hdu: usize,
    fields: Vec<Field>,
    heap: Heap,
}

impl Table {
    pub(super) fn new(fits: Fits, index: usize) -> Result<Self> {
        let hdu = &fits.0.hdus[index];
        fits.0.source.check_whole(hdu)?;
        let (fields, heap) = layout(hdu).map_err(|e| e.at(fits.place(hdu)))?;
        Ok(Self { hdu: index, fields, heap, fits })
    }

    /// `file: HDU 1 (COADD)`, where messages about this table begin.
    pub fn place(&self) -> String {
        self.fits.place(&self.fits.0.hdus[self.hdu])
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.heap.rows as usize
    }

    /// The columns, in the order of the file.
    pub fn columns(&self) -> &[Field] {
        &self.fields
    }

    /// The header of its HDU.
    pub fn header(&self) -> &Header {
        &self.fits.0.hdus[self.hdu].header
    }

    /// A column by name; case matters only where two names differ by it.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value), listing those that there are.
    pub fn field(&self, name: &str) -> Result<&Field> {
        let exact = self.fields.iter().find(|f| f.name == name);
        let found = exact.or_else(|| self.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name)));
        found.ok_or_else(|| {
            const MOST: usize = 20;
            let names: Vec<&str> = self.fields.iter().take(MOST).map(Field::name).collect();
            let more = if self.fields.len() > MOST { format!(" and {} more", self.fields.len() - MOST) } else { String::new() };
            Error::value(self.place(), format!("no column {name:?}")).hint(format!("the table has {}{more}", names.join(", ")))
        })
    }

    /// A column of numbers as an array, (rows) or (rows, …) for vectors, in the type of the file. Logical values are `Bool`, bits are bytes, complex
    /// numbers have a last index of 2. Unsigned integers (`TZERO` 32768 and its kin) keep their type; other columns with `TSCAL`, `TZERO` or
    /// `TNULL` are `F64` with NaN for null.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a column that is not there, [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for
    /// text ([`Table::text`]) and for rows of different lengths ([`Table::variable`]).
    pub fn column(&self, name: &str) -> Result<Array> {
        let (field, kind) = self.numbers(name)?;
        let shape = std::iter::once(self.rows()).chain(field.dims.iter().copied()).collect();
        self.array(field, kind, shape, self.bytes(field)?)
    }

    fn array(&self, field: &Field, kind: Kind, shape: Vec<usize>, mut bytes: Vec<u8>) -> Result<Array> {
        let place = format!("{}: column {}", self.place(), field.name);
        let mut form = Form { kind, big_endian: true, fortran: false };
        if kind == Kind::Bool {
            bytes.iter_mut().for_each(|b| *b = u8::from(*b == b'T'));
        } else if let Some(unsigned) = unsigned(kind, &field.scale) {
            form.kind = unsigned;
            // Adding half of the range turns the highest bit, which comes first.
            bytes.iter_mut().step_by(kind.bytes()).for_each(|b| *b ^= 0x80);
        } else if !field.scale.is_plain() || field.scale.blank.is_some() {
            let mut x = file::reserve(&place, bytes.len() / kind.bytes())?;
            x.resize(bytes.len() / kind.bytes(), 0.0_f64);
            f64::decode(kind, &bytes, &field.scale, &mut x);
            form = Form { kind: Kind::F64, big_endian: cfg!(target_endian = "big"), fortran: false };
            bytes = bytemuck::cast_slice(&x).to_vec();
        }
        Array::new(&place, form, shape, bytes, 0)
    }

    /// A column of numbers in single precision, row after row, scaled; null is NaN, and the policy says what becomes of it. Under
    /// [`Missing::Median`] each place of a vector has its own median.
    ///
    /// # Errors
    /// As [`Table::column`], and [`ErrorKind::Value`](crate::ErrorKind::Value) for missing values under [`Missing::Error`].
    pub fn column_f32(&self, name: &str, missing: Missing) -> Result<Vec<f32>> {
        let (field, kind) = self.numbers(name)?;
        let place = || format!("{}: column {}", self.place(), field.name);
        let bytes = self.bytes(field)?;
        let mut x = file::reserve(place(), bytes.len() / kind.bytes())?;
        match kind {
            Kind::Bool => x.extend(bytes.iter().map(|&b| f32::from(u8::from(b == b'T')))),
            _ => {
                x.resize(bytes.len() / kind.bytes(), 0.0);
                f32::decode(kind, &bytes, &field.scale, &mut x);
            }
        }
        if missing == Missing::Error && !x.is_empty() && x.iter().all(|x| !x.is_finite()) {
            let e = Error::value(place(), format!("all {} values are NaN or infinite", x.len())).expected("finite values");
            return Err(e.hint("choose another column, or another Missing policy"));
        }
        missing.treat(place(), &mut x, field.count)?;
        Ok(x)
    }

    /// A column of strings, without trailing spaces.
    ///
    /// # Errors
    /// As [`Table::column`], [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a column of numbers.
    pub fn text(&self, name: &str) -> Result<Vec<String>> {
        let field = self.field(name)?;
        if field.code != b'A' {
            let e = Error::unsupported(self.place(), format!("column {name} is no text")).got(format!("format {}", field.format));
            return Err(e.hint("read it with `column`"));
        }
        let bytes = self.bytes(field)?;
        if field.width == 0 {
            return Ok(vec![String::new(); self.rows()]);
        }
        let string = |b: &[u8]| {
            let end = b.iter().position(|&b| b == 0).unwrap_or(b.len());
            String::from_utf8_lossy(b[..end].trim_ascii_end()).into_owned()
        };
        Ok(bytes.chunks_exact(field.width).map(string).collect())
    }

    /// A column whose rows have different lengths: an array for each row. Text comes as its bytes.
    ///
    /// # Errors
    /// As [`Table::column`]; [`ErrorKind::Format`](crate::ErrorKind::Format) for rows that point outside of the data, or together to more.
    pub fn variable(&self, name: &str) -> Result<Vec<Array>> {
        let field = self.field(name)?;
        if !field.is_variable() {
            let e = Error::unsupported(self.place(), format!("all rows of column {name} have one length"));
            return Err(e.got(format!("format {}", field.format)).hint("read it with `column`"));
        }
        let kind = kind_of(field.element).unwrap_or(Kind::U8);
        let source = &self.fits.0.source;
        let (mut arrays, mut total) = (file::reserve(self.place(), self.rows())?, 0_u64);
        for row in 0..self.heap.rows {
            let read = || {
                let columns = self.heap.row(source, row)?;
                Ok(self.heap.array(source, field, &columns)?.into_owned())
            };
            let bytes = read().map_err(|e: Error| e.at(format!("{}: column {name}, row {row}", self.place())))?;
            total += bytes.len() as u64;
            if total > self.heap.heap_bytes {
                let e = Error::format(self.place(), format!("the rows of column {name} share their data"));
                return Err(e.expected(format!("at most {} bytes in all", self.heap.heap_bytes)).hint("is the file damaged?"));
            }
            let shape = vec![bytes.len() / kind.bytes()];
            arrays.push(self.array(field, kind, shape, bytes)?);
        }
        Ok(arrays)
    }

    /// The column, where it has numbers, as many in each row.
    fn numbers(&self, name: &str) -> Result<(&Field, Kind)> {
        let field = self.field(name)?;
        let refused = |what: &str| {
            Error::unsupported(self.place(), format!("column {name} {what}")).got(format!("format {}", field.format))
        };
        if field.is_variable() {
            return Err(refused("has rows of different lengths").hint("read it with `variable`"));
        }
        kind_of(field.code).map(|kind| (field, kind)).ok_or_else(|| refused("is text").hint("read it with `text`"))
    }

    /// The bytes of a column, row after row.
    fn bytes(&self, field: &Field) -> Result<Vec<u8>> {
        let Heap { at, row_bytes, .. } = self.heap;
        let mut out = file::reserve(self.place(), self.rows().saturating_mul(field.width))?;
        let most = (PIECE / row_bytes.max(1)).max(1);
        for first in (0..if field.width == 0 { 0 } else { self.rows() }).step_by(most) {
            let n = most.min(self.rows() - first);
            let rows = self.fits.0.source.span(at + (first as u64) * row_bytes as u64, n * row_bytes)?;
            rows.chunks_exact(row_bytes).for_each(|row| out.extend_from_slice(&row[field.offset..field.offset + field.width]));
        }
        Ok(out)
    }
}

/// The unsigned type (signed, for bytes) that `TZERO` makes of integers.
pub(super) fn unsigned(kind: Kind, scale: &Scale) -> Option<Kind> {
    if scale.scale != 1.0 || scale.blank.is_some() {
        return None;
    }
    match (kind, scale.zero) {
        (Kind::U8, -128.0) => Some(Kind::I8),
        (Kind::I16, 32_768.0) => Some(Kind::U16),
        (Kind::I32, 2_147_483_648.0) => Some(Kind::U32),
        (Kind::I64, 9_223_372_036_854_775_808.0) => Some(Kind::U64),
        _ => None,
    }
}
