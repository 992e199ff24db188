//! Writing: images, cubes and tables, whole or in parts.

use super::cards::{Cards, records};
use super::header::{RECORD, Value};
use super::section::Section;
use crate::data::array::{Element, check_shape};
use crate::data::{Kind, file};
use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Blocks of a file, in bytes.
const BLOCK: u64 = 2880;
/// Bytes converted and written at once.
const PIECE: usize = 1 << 18;

/// Writes a file, HDU after HDU, under a temporary name that [`Writer::finish`] changes: whoever reads sees the old file or the whole new one.
///
/// # Examples
/// ```
/// use kamacite::data::Missing;
/// use kamacite::data::fits::{Cards, Fits, NewColumn, Writer};
/// let path = std::env::temp_dir().join(format!("kamacite-doc-{}.fits", std::process::id()));
/// let mut file = Writer::create(&path)?;
/// file.image(&[2, 2], &[1.0_f32, 2.0, 3.0, 4.0], &Cards::new())?;
/// let columns = [NewColumn::new("flux", &[0.5_f32, 1.5]).unit("mJy"), NewColumn::text("name", &["Vega", "Deneb"])];
/// file.table(&columns, &Cards::new().with("EXTNAME", "STARS")?)?;
/// file.finish()?;
/// let table = Fits::open(&path)?.table("stars")?;
/// assert_eq!((table.column_f32("flux", Missing::Error)?, table.text("name")?[1].as_str()), (vec![0.5, 1.5], "Deneb"));
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    sink: Sink,
    /// Where the next HDU begins.
    at: u64,
}

#[derive(Debug)]
enum Sink {
    File { file: File, path: PathBuf, temporary: PathBuf },
    Bytes(Vec<u8>),
    Done,
}

impl Writer {
    /// Begins a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".tmp");
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).map_err(|e| Error::io(&temporary, e))?;
        Ok(Self { sink: Sink::File { file, path: path.to_path_buf(), temporary }, at: 0 })
    }

    /// The bytes of a file in memory.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn to_bytes(write: impl FnOnce(&mut Self) -> Result<()>) -> Result<Vec<u8>> {
        let mut writer = Self { sink: Sink::Bytes(Vec::new()), at: 0 };
        write(&mut writer)?;
        match std::mem::replace(&mut writer.sink, Sink::Done) {
            Sink::Bytes(bytes) => Ok(bytes),
            _ => Ok(Vec::new()),
        }
    }

    /// Writes an image or cube, slowest axis first. The first one is the primary HDU. `u16`, `u32`, `u64` and `i8` are stored with `BZERO`, as
    /// the format has no such types.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for values that do not fill the shape, [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn image<T: Element>(&mut self, shape: &[usize], values: &[T], cards: &Cards) -> Result<()> {
        check_shape("fits image", shape, values.len())?;
        let whole: Vec<Range<usize>> = shape.iter().map(|&n| 0..n).collect();
        self.parts::<T>(shape, cards)?.write(&whole, values)
    }

    /// Begins an image or cube that is written part by part, in any order, so that it may be larger than memory. What is never written is 0.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for sizes of zero, [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn parts<T: Element>(&mut self, shape: &[usize], cards: &Cards) -> Result<Parts<'_, T>> {
        let pixels = file::product("fits image", shape.iter().copied())?;
        if pixels == 0 || shape.is_empty() || shape.len() > 16 {
            return Err(Error::shape("fits image", "no image has this shape")
                .expected("1 to 16 sizes of at least 1")
                .got(format!("{shape:?}")));
        }
        let bytes = file::product("fits image", [pixels, T::KIND.bytes()])? as u64;
        let (bits, zero) = bitpix(T::KIND);
        let mut head = self.begin("IMAGE", bits, shape)?;
        if let Some(zero) = zero {
            head.extend(records("BZERO", &zero, "stored = value - BZERO")?);
        }
        let at = self.data(head, cards, bytes)?;
        Ok(Parts { at, shape: shape.to_vec(), writer: self, element: PhantomData })
    }

    /// Writes a binary table.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for columns of different lengths, [`ErrorKind::Value`](crate::ErrorKind::Value) for names that
    /// cannot be written, [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn table(&mut self, columns: &[NewColumn], cards: &Cards) -> Result<()> {
        let rows = columns.first().map_or(0, NewColumn::rows);
        if let Some(odd) = columns.iter().find(|c| c.rows() != rows || (c.width > 0 && c.bytes.len() % c.width != 0)) {
            let e = Error::shape(format!("fits table, column {}", odd.name), "columns of different lengths");
            return Err(e.expected(format!("{rows} rows")).got(format!("{} bytes of {} a row", odd.bytes.len(), odd.width)));
        }
        if columns.len() > 999 {
            return Err(Error::shape("fits table", "too many columns").expected("at most 999").got(columns.len()));
        }
        if self.at == 0 {
            let head = self.begin("IMAGE", 8, &[])?;
            self.data(head, &Cards::new(), 0)?;
        }
        let width: usize = columns.iter().map(|c| c.width).sum();
        let mut head = self.begin("BINTABLE", 8, &[rows, width])?;
        head.extend(records("TFIELDS", &Value::Integer(columns.len() as i64), "columns")?);
        for (i, column) in (1..).zip(columns) {
            head.extend(column.records(i)?);
        }
        let mut at = self.data(head, cards, (rows * width) as u64)?;
        let most = (PIECE / width.max(1)).max(1);
        for first in (0..rows).step_by(most) {
            let mut piece = Vec::with_capacity(most.min(rows - first) * width);
            for row in first..rows.min(first + most) {
                columns.iter().for_each(|c| piece.extend_from_slice(&c.bytes[row * c.width..(row + 1) * c.width]));
            }
            self.sink.put(at, &piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Gives the file its name, when all bytes are on the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), [`ErrorKind::Order`](crate::ErrorKind::Order) where nothing was written.
    pub fn finish(mut self) -> Result<()> {
        if self.at == 0 {
            return Err(Error::order("fits file", "finished before anything was written").hint("write an image or a table first"));
        }
        if let Sink::File { file, path, temporary } = &self.sink {
            file.sync_all().map_err(|e| Error::io(temporary, e))?;
            fs::rename(temporary, path).map_err(|e| Error::io(path, e))?;
        }
        self.sink = Sink::Done;
        Ok(())
    }

    /// The mandatory cards.
    fn begin(&self, extension: &str, bits: i64, shape: &[usize]) -> Result<Vec<[u8; RECORD]>> {
        let primary = self.at == 0;
        let mut head = match primary {
            true => records("SIMPLE", &Value::Bool(true), "FITS standard 4.0")?,
            false => records("XTENSION", &Value::Text(extension.to_string()), "")?,
        };
        head.extend(records("BITPIX", &Value::Integer(bits), "")?);
        head.extend(records("NAXIS", &Value::Integer(shape.len() as i64), "")?);
        for (i, n) in (1..).zip(shape.iter().rev()) {
            head.extend(records(&format!("NAXIS{i}"), &Value::Integer(*n as i64), "")?);
        }
        match primary {
            true => head.extend(records("EXTEND", &Value::Bool(true), "")?),
            false => {
                head.extend(records("PCOUNT", &Value::Integer(0), "")?);
                head.extend(records("GCOUNT", &Value::Integer(1), "")?);
            }
        }
        Ok(head)
    }

    /// Writes a header and makes room for the data. Returns where they begin.
    fn data(&mut self, mut head: Vec<[u8; RECORD]>, cards: &Cards, bytes: u64) -> Result<u64> {
        head.extend(cards.records());
        let mut text = head.as_flattened().to_vec();
        text.extend_from_slice(format!("{:<80}", "END").as_bytes());
        text.resize(text.len().next_multiple_of(BLOCK as usize), b' ');
        self.sink.put(self.at, &text)?;
        let at = self.at + text.len() as u64;
        self.at = at + bytes.next_multiple_of(BLOCK);
        self.sink.extend(self.at)?;
        Ok(at)
    }
}

impl Sink {
    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        match self {
            Self::File { file, temporary, .. } => {
                let write = |file: &mut File| file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes));
                write(file).map_err(|e| Error::io(temporary, e))
            }
            Self::Bytes(memory) => {
                let end = at as usize + bytes.len();
                memory.resize(memory.len().max(end), 0);
                memory[at as usize..end].copy_from_slice(bytes);
                Ok(())
            }
            Self::Done => Ok(()),
        }
    }

    /// Makes the file at least this long, with zeros.
    fn extend(&mut self, len: u64) -> Result<()> {
        match self {
            Self::File { file, temporary, .. } => file.set_len(len).map_err(|e| Error::io(temporary, e)),
            Self::Bytes(memory) => {
                let more = (len as usize).saturating_sub(memory.len());
                let place = |_| Error::out_of_memory("fits file", format!("no memory for {len} bytes"));
                memory.try_reserve(more).map_err(place)?;
                memory.resize(memory.len() + more, 0);
                Ok(())
            }
            Self::Done => Ok(()),
        }
    }
}

impl Drop for Writer {
    /// A file that was not finished leaves nothing behind.
    fn drop(&mut self) {
        if let Sink::File { temporary, .. } = &self.sink {
            fs::remove_file(temporary).ok();
        }
    }
}

/// An image that is written part by part; see [`Writer::parts`].
#[derive(Debug)]
pub struct Parts<'a, T> {
    writer: &'a mut Writer,
    at: u64,
    shape: Vec<usize>,
    element: PhantomData<T>,
}

impl<T: Element> Parts<'_, T> {
    /// The sizes, slowest axis first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Writes the pixels of a box: a range for each axis, slowest first.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for ranges outside of the image and values that do not fill them,
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn write(&mut self, ranges: &[Range<usize>], values: &[T]) -> Result<()> {
        let section = Section::new(&self.shape, ranges, values.len()).map_err(|e| e.at("fits image"))?;
        let size = T::KIND.bytes();
        let mut piece = Vec::new();
        section.runs(|start, at| {
            let mut place = self.at + (start * size) as u64;
            for values in values[at..at + section.run].chunks(PIECE / size) {
                piece.clear();
                encode(values, &mut piece);
                self.writer.sink.put(place, &piece)?;
                place += piece.len() as u64;
            }
            Ok(())
        })
    }
}

/// Values in the order of the file, unsigned integers less half of their range.
fn encode<T: Element>(values: &[T], out: &mut Vec<u8>) {
    let sign = match T::KIND {
        Kind::I8 | Kind::U16 | Kind::U32 | Kind::U64 => 0x80,
        _ => 0,
    };
    let bytes: &[u8] = bytemuck::cast_slice(values);
    macro_rules! swap {
        ($t:ty) => {
            bytes.as_chunks::<{ size_of::<$t>() }>().0.iter().for_each(|b| {
                let mut b = <$t>::from_ne_bytes(*b).to_be_bytes();
                b[0] ^= sign;
                out.extend_from_slice(&b);
            })
        };
    }
    out.reserve(bytes.len());
    match size_of::<T>() {
        1 => swap!(u8),
        2 => swap!(u16),
        4 => swap!(u32),
        _ => swap!(u64),
    }
}

/// `BITPIX` and `BZERO` of a type.
fn bitpix(kind: Kind) -> (i64, Option<Value>) {
    match kind {
        Kind::I8 => (8, Some(Value::Integer(-128))),
        Kind::U16 => (16, Some(Value::Integer(32_768))),
        Kind::I16 => (16, None),
        Kind::U32 => (32, Some(Value::Integer(2_147_483_648))),
        Kind::I32 => (32, None),
        Kind::U64 => (64, Some(Value::Float(9_223_372_036_854_775_808.0))),
        Kind::I64 => (64, None),
        Kind::F32 => (-32, None),
        Kind::F64 => (-64, None),
        Kind::Bool | Kind::U8 | Kind::F16 => (8, None),
    }
}

/// A column of a new table.
#[derive(Clone, Debug)]
pub struct NewColumn {
    name: String,
    unit: String,
    code: char,
    zero: Option<Value>,
    repeat: usize,
    /// Bytes of a row.
    width: usize,
    bytes: Vec<u8>,
}

impl NewColumn {
    /// A number in each row.
    pub fn new<T: Element>(name: impl Into<String>, values: &[T]) -> Self {
        Self::vectors(name, 1, values)
    }

    /// A vector of `len` numbers in each row: the values, row after row.
    pub fn vectors<T: Element>(name: impl Into<String>, len: usize, values: &[T]) -> Self {
        let (bits, zero) = bitpix(T::KIND);
        let code = match bits {
            16 => 'I',
            32 => 'J',
            64 => 'K',
            -32 => 'E',
            -64 => 'D',
            _ => 'B',
        };
        let mut bytes = Vec::new();
        encode(values, &mut bytes);
        let len = len.max(1);
        Self { name: name.into(), unit: String::new(), code, zero, repeat: len, width: len * T::KIND.bytes(), bytes }
    }

    /// A string in each row; what is not ASCII becomes `?`.
    pub fn text<S: AsRef<str>>(name: impl Into<String>, values: &[S]) -> Self {
        let ascii = |s: &S| s.as_ref().chars().map(|c| if matches!(c, ' '..='~') { c as u8 } else { b'?' }).collect();
        let strings: Vec<Vec<u8>> = values.iter().map(ascii).collect();
        let width = strings.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut bytes = Vec::with_capacity(width * strings.len());
        for mut string in strings {
            string.resize(width, b' ');
            bytes.extend(string);
        }
        Self { name: name.into(), unit: String::new(), code: 'A', zero: None, repeat: width, width, bytes }
    }

    /// Says in which unit the numbers are.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = unit.into();
        self
    }

    fn rows(&self) -> usize {
        self.bytes.len() / self.width
    }

    fn records(&self, i: usize) -> Result<Vec<[u8; RECORD]>> {
        let text = |key: &str, value: &str| records(&format!("{key}{i}"), &Value::Text(value.to_string()), "");
        let mut out = text("TTYPE", &self.name)?;
        out.extend(text("TFORM", &format!("{}{}", self.repeat, self.code))?);
        if !self.unit.is_empty() {
            out.extend(text("TUNIT", &self.unit)?);
        }
        if let Some(zero) = &self.zero {
            out.extend(records(&format!("TZERO{i}"), zero, "")?);
        }
        Ok(out)
    }
}
