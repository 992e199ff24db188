//! NPY, the arrays of NumPy: versions 1 to 3, numbers and booleans, both byte orders, C and Fortran order.
//!
//! # Source
//! NumPy Enhancement Proposal 1, "A Simple File Format for NumPy Arrays".

use super::array::{Array, Element, Form, Kind, check_shape};
use super::file;
use crate::{Error, Result};
use std::fmt::Write;
use std::path::Path;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Reads a file.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io), and what [`from_bytes`] refuses.
pub fn read(path: impl AsRef<Path>) -> Result<Array> {
    let path = path.as_ref();
    owned(file::bytes(path)?).map_err(|e| e.at(path.display()))
}

/// Reads a file into memory that is there, rounded to single precision; the shape.
pub(crate) fn read_f32(path: &Path, bytes: &mut Vec<u8>, x: &mut Vec<f32>) -> Result<Vec<usize>> {
    file::bytes_into(path, bytes)?;
    let mut read = || {
        let (form, shape, start) = header(bytes)?;
        let plain = form.kind == Kind::F32 && !form.big_endian && (!form.fortran || shape.len() < 2);
        let expected = file::product("npy", shape.iter().copied().chain([form.kind.bytes()]))?;
        x.clear();
        if plain && bytes.len() - start == expected {
            x.extend(bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        } else {
            let array = Array::new("npy", form, shape.clone(), std::mem::take(bytes), start)?;
            x.extend(array.to_f32()?);
        }
        Ok(shape)
    };
    read().map_err(|e: Error| e.at(path.display()))
}

/// Reads a file into memory that is there: its element type, whether it is big-endian, its shape and where the elements begin. `None` for one
/// that is no array in C order, or of another length.
pub(crate) fn read_raw(path: &Path, bytes: &mut Vec<u8>) -> Option<(Kind, bool, Vec<usize>, usize)> {
    file::bytes_into(path, bytes).ok()?;
    let (form, shape, start) = header(bytes).ok()?;
    let expected = file::product("npy", shape.iter().copied().chain([form.kind.bytes()])).ok()?;
    let whole = bytes.len() - start == expected && (!form.fortran || shape.len() < 2);
    whole.then_some((form.kind, form.big_endian, shape, start))
}

/// Reads the contents of a file.
///
/// # Errors
/// [`ErrorKind::Format`](crate::ErrorKind::Format) for anything that is not exactly one array,
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for arrays of texts, records, complex numbers and objects.
///
/// # Examples
/// ```
/// use kamacite::data::npy;
/// let file = npy::to_bytes(&[3], &[0.5_f32, 1.5, 2.5])?;
/// assert_eq!(npy::from_bytes(&file)?.to_f32()?, [0.5, 1.5, 2.5]);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn from_bytes(bytes: &[u8]) -> Result<Array> {
    owned(bytes.to_vec())
}

pub(crate) fn owned(bytes: Vec<u8>) -> Result<Array> {
    let (form, shape, start) = header(&bytes)?;
    Array::new("npy", form, shape, bytes, start)
}

fn header(bytes: &[u8]) -> Result<(Form, Vec<usize>, usize)> {
    let short = || Error::format("npy header", "cut short").got(format!("{} bytes", bytes.len()));
    if !bytes.starts_with(MAGIC) {
        let got = String::from_utf8_lossy(&bytes[..bytes.len().min(6)]).into_owned();
        return Err(Error::format("npy, byte 0", "not an NPY file").expected("\\x93NUMPY").got(format!("{got:?}")));
    }
    let (version, from) = (*bytes.get(6).ok_or_else(short)?, if bytes[6] == 1 { 10 } else { 12 });
    let len = match (version, bytes.get(8..from).ok_or_else(short)?) {
        (1, &[a, b]) => usize::from(u16::from_le_bytes([a, b])),
        (2 | 3, &[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]) as usize,
        _ => return Err(Error::format("npy, byte 6", "unknown version").expected("1, 2 or 3").got(version)),
    };
    let start = from.checked_add(len).filter(|&s| s <= bytes.len()).ok_or_else(short)?;
    let (form, shape) = Dict { text: &bytes[..start], at: from }.parse()?;
    Ok((form, shape, start))
}

/// The header is a Python dictionary: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
struct Dict<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Dict<'a> {
    fn parse(mut self) -> Result<(Form, Vec<usize>)> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while !self.eat(b'}') {
            let key = self.text()?;
            self.expect(b':')?;
            match key {
                b"descr" => descr = Some(self.descr()?),
                b"fortran_order" => fortran = Some(self.truth()?),
                b"shape" => shape = Some(self.shape()?),
                _ => return Err(self.wrong("descr, fortran_order or shape")),
            }
            if !self.eat(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        let (Some((kind, big_endian)), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
            return Err(self.wrong("all of descr, fortran_order and shape"));
        };
        Ok((Form { kind, big_endian, fortran }, shape))
    }

    fn wrong(&self, expected: &str) -> Error {
        let got = self.text.get(self.at).map_or("the end".to_string(), |&b| format!("{:?}", char::from(b)));
        Error::format(format!("npy header, byte {}", self.at), "malformed").expected(expected).got(got)
    }

    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.eat(byte) { Ok(()) } else { Err(self.wrong(&format!("{:?}", char::from(byte)))) }
    }

    /// The longest run of bytes that satisfy a test.
    fn run(&mut self, test: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.text[self.at.min(self.text.len())..];
        let run = &rest[..rest.iter().position(|&b| !test(b)).unwrap_or(rest.len())];
        self.at += run.len();
        run
    }

    fn text(&mut self) -> Result<&'a [u8]> {
        match self.peek() {
            Some(quote @ (b'\'' | b'"')) => {
                self.at += 1;
                let text = self.run(|b| b != quote);
                self.expect(quote)?;
                Ok(text)
            }
            _ => Err(self.wrong("a quoted text")),
        }
    }

    fn truth(&mut self) -> Result<bool> {
        self.peek();
        match self.run(|b| b.is_ascii_alphabetic()) {
            b"True" => Ok(true),
            b"False" => Ok(false),
            _ => Err(self.wrong("True or False")),
        }
    }

    fn descr(&mut self) -> Result<(Kind, bool)> {
        if self.peek() == Some(b'[') {
            return Err(Error::unsupported("npy", "an array of records").hint("save its columns one by one"));
        }
        let descr = self.text()?;
        let unsupported = || {
            let got = String::from_utf8_lossy(descr).into_owned();
            Error::unsupported("npy", "element type")
                .expected("booleans, integers or floats of up to 8 bytes")
                .got(format!("{got:?}"))
        };
        let (&order, code) = descr.split_first().ok_or_else(unsupported)?;
        let kind = match code {
            b"b1" => Kind::Bool,
            b"u1" => Kind::U8,
            b"i1" => Kind::I8,
            b"u2" => Kind::U16,
            b"i2" => Kind::I16,
            b"u4" => Kind::U32,
            b"i4" => Kind::I32,
            b"u8" => Kind::U64,
            b"i8" => Kind::I64,
            b"f2" => Kind::F16,
            b"f4" => Kind::F32,
            b"f8" => Kind::F64,
            _ => return Err(unsupported()),
        };
        match order {
            b'<' | b'|' => Ok((kind, false)),
            b'>' => Ok((kind, true)),
            b'=' => Ok((kind, cfg!(target_endian = "big"))),
            _ => Err(unsupported()),
        }
    }

    fn shape(&mut self) -> Result<Vec<usize>> {
        let mut shape = vec![];
        self.expect(b'(')?;
        while !self.eat(b')') {
            self.peek();
            let digits = self.run(|b| b.is_ascii_digit());
            let size = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
            shape.push(size.ok_or_else(|| self.wrong("a size"))?);
            // Python 2 wrote long integers as 3L.
            self.eat(b'L');
            if shape.len() > 32 {
                return Err(self.wrong("at most 32 sizes, as NumPy has"));
            }
            if !self.eat(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(shape)
    }
}

/// The contents of a file with these sizes, slowest first.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the data do not fill the shape.
pub fn to_bytes<T: Element>(shape: &[usize], x: &[T]) -> Result<Vec<u8>> {
    check_shape("npy", shape, x.len())?;
    if shape.len() > 32 {
        return Err(Error::shape("npy", "too many sizes").expected("at most 32, as NumPy has").got(shape.len()));
    }
    let code = match T::KIND {
        Kind::Bool => "b1",
        Kind::U8 => "u1",
        Kind::I8 => "i1",
        Kind::U16 => "u2",
        Kind::I16 => "i2",
        Kind::U32 => "u4",
        Kind::I32 => "i4",
        Kind::U64 => "u8",
        Kind::I64 => "i8",
        Kind::F16 => "f2",
        Kind::F32 => "f4",
        Kind::F64 => "f8",
    };
    let order = match (size_of::<T>(), cfg!(target_endian = "little")) {
        (1, _) => '|',
        (_, true) => '<',
        (_, false) => '>',
    };
    let mut text = format!("{{'descr': '{order}{code}', 'fortran_order': False, 'shape': (");
    // One size needs its comma: (3,) is a tuple, (3) a number.
    shape.iter().for_each(|n| _ = write!(text, "{n},"));
    text.push_str("), }");
    // The elements begin at a multiple of 64 bytes; the last byte of the header is a newline.
    let padded = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let mut out = file::reserve("npy", 10 + padded + size_of_val(x))?;
    out.extend_from_slice(MAGIC);
    out.extend([1, 0]);
    // At most 32 sizes of 20 digits: far below 2¹⁶.
    out.extend((padded as u16).to_le_bytes());
    out.extend(text.bytes());
    out.resize(10 + padded - 1, b' ');
    out.push(b'\n');
    out.extend_from_slice(bytemuck::cast_slice(x));
    Ok(out)
}

/// Writes a file; see [`to_bytes`].
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io), and as [`to_bytes`].
pub fn write<T: Element>(path: impl AsRef<Path>, shape: &[usize], x: &[T]) -> Result<()> {
    file::write(path.as_ref(), &[&to_bytes(shape, x)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, dict: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((dict.len() as u16).to_le_bytes()),
            _ => bytes.extend((dict.len() as u32).to_le_bytes()),
        }
        bytes.extend(dict.bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn versions_orders_and_kinds() {
        let dict = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3L), }\n";
        // Fortran order of [[1, 2, 3], [4, 5, -6]].
        let data = [0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 0xff, 0xfa];
        for version in 1..=3 {
            let a = from_bytes(&file(version, dict, &data)).unwrap();
            assert_eq!(a.to_f32().unwrap(), [1., 2., 3., 4., 5., -6.]);
            assert!(a.to_labels().unwrap_err().to_string().starts_with("label 5: no class index"));
        }
        let one = |descr: &str, data: &[u8]| {
            from_bytes(&file(1, &format!("{{\"shape\":({},),'fortran_order':False,'descr':'{descr}'}}", 1), data))
                .and_then(|a| a.to_f32())
        };
        assert_eq!(one("|b1", &[2]).unwrap(), [1.0]);
        assert_eq!(one("|i1", &[0xff]).unwrap(), [-1.0]);
        assert_eq!(one(">f2", &[0x3c, 0]).unwrap(), [1.0]);
        assert_eq!(one("<u8", &5_u64.to_le_bytes()).unwrap(), [5.0]);
        assert_eq!(one("=i8", &(-5_i64).to_ne_bytes()).unwrap(), [-5.0]);
        assert_eq!(one(">f8", &2.5_f64.to_be_bytes()).unwrap(), [2.5]);
        for bad in ["<c8", "|O", "<U25", "<M8[s]", "", "f4", "x"] {
            assert_eq!(one(bad, &[0; 8]).unwrap_err().kind(), crate::ErrorKind::Unsupported, "{bad}");
        }
        let scalar = from_bytes(&file(1, "{'descr':'<f4','fortran_order':True,'shape':()}", &1_f32.to_le_bytes())).unwrap();
        assert_eq!((scalar.shape(), scalar.to_f32().unwrap()), (&[][..], vec![1.0]));
    }

    /// A three-dimensional Fortran array against the index formula.
    #[test]
    fn fortran_order_of_three_indices() {
        let (a, b, c) = (2, 3, 4);
        let mut data = vec![0; a * b * c];
        let mut expected = vec![0.0; a * b * c];
        for i in 0..a {
            for j in 0..b {
                for k in 0..c {
                    let v = (100 * i + 10 * j + k) as u8;
                    data[i + a * (j + b * k)] = v;
                    expected[(i * b + j) * c + k] = f32::from(v);
                }
            }
        }
        let bytes = file(2, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4), }", &data);
        assert_eq!(from_bytes(&bytes).unwrap().to_f32().unwrap(), expected);
        let empty = file(2, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 0, 4), }", &[]);
        assert!(from_bytes(&empty).unwrap().to_f32().unwrap().is_empty());
    }

    #[test]
    fn hostile_files_are_refused() {
        let good = to_bytes(&[2, 3], &[1.0_f32; 6]).unwrap();
        let (refused, _) = file::mutate(&good, |b| from_bytes(b)?.to_f32());
        assert!(refused >= good.len());
        for shape in
            ["(18446744073709551615, 2)", "(4294967296, 4294967296)", "(99999999999999999999,)", "(-1,)", "(2", "(,)", "2"]
        {
            let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}");
            assert!(from_bytes(&file(1, &dict, &[0; 8])).is_err(), "{shape}");
        }
        let many = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({})}}", "1,".repeat(33));
        assert!(from_bytes(&file(1, &many, &[0; 4])).is_err());
        assert!(from_bytes(&file(4, "{}", &[])).is_err() && from_bytes(&file(1, "{}", &[])).is_err());
        let mut long = file(2, "{}", &[]);
        long[8..12].fill(0xff);
        assert!(from_bytes(&long).is_err());
    }

    #[test]
    fn elements_begin_at_a_multiple_of_64() {
        for shape in [&[6][..], &[2, 3], &[1; 30]] {
            let x = vec![1_i64; shape.iter().product()];
            let bytes = to_bytes(shape, &x).unwrap();
            assert_eq!((bytes.len() - size_of_val(x.as_slice())) % 64, 0);
            assert_eq!(from_bytes(&bytes).unwrap().shape(), shape);
        }
    }

    /// A file that NumPy wrote (`np.save`, version 1, little-endian i4), byte for byte.
    #[test]
    fn a_file_of_numpy() {
        let mut bytes = b"\x93NUMPY\x01\x00v\x00{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }".to_vec();
        bytes.resize(127, b' ');
        bytes.push(b'\n');
        [2_i32, 0, 1].iter().for_each(|x| bytes.extend(x.to_le_bytes()));
        assert_eq!(from_bytes(&bytes).unwrap().to_labels().unwrap(), [2, 0, 1]);
        assert_eq!(to_bytes(&[3], &[2_i32, 0, 1]).unwrap().len(), bytes.len());
    }
}
