//! Points in the layout of the course's k-means exercise: `dimensions count`, then one line of `count` numbers for each dimension.

use super::{Dataset, Layout, Samples, file, number};
use crate::{Error, Extent, Result};
use std::fmt::Write;
use std::path::Path;

/// Reads a file.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io), and what [`from_bytes`] refuses.
pub fn read(path: impl AsRef<Path>) -> Result<Samples> {
    let path = path.as_ref();
    from_bytes(&file::bytes(path)?).map_err(|e| e.at(path.display()))
}

/// Reads the contents of a file. Line breaks after the first two numbers are of no importance.
///
/// # Errors
/// [`ErrorKind::Format`](crate::ErrorKind::Format) for anything but numbers, and for another count than announced.
///
/// # Examples
/// ```
/// use kamacite::data::points;
/// let two = points::from_bytes(b"3 2\n0.1 0.2\n1.1 1.2\n2.1 2.2\n")?;
/// assert_eq!(two.x(0), [0.1, 1.1, 2.1, 0.2, 1.2, 2.2]);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn from_bytes(bytes: &[u8]) -> Result<Samples> {
    let mut tokens = Tokens { rest: bytes, line: 1 };
    let mut size = |what: &str| {
        let (line, token) = tokens.next().ok_or_else(|| Error::format("header", "cut short").expected("dimensions count"))?;
        let n = number::index(token).filter(|&n| n > 0);
        n.map(|n| n as usize).ok_or_else(|| bad(line, token, what))
    };
    let (dimensions, count) = (size("a number of dimensions")?, size("a number of points")?);
    let len = file::product("header", [dimensions, count])?;
    // A number and what separates it from the next take two bytes.
    let most = tokens.rest.len() / 2 + 1;
    if len > most {
        let expected = format!("at most the {most} numbers that the file has room for");
        return Err(Error::format("header", "announces more points than there are")
            .expected(expected)
            .got(format!("{dimensions} x {count}")));
    }
    let mut x = file::reserve("points", len)?;
    for (line, token) in tokens {
        if x.len() == len {
            return Err(
                Error::format(format!("line {line}"), "more numbers than announced").expected(format!("{dimensions} x {count}"))
            );
        }
        x.push(number::parse(token).filter(|x| x.is_finite()).ok_or_else(|| bad(line, token, "a finite number"))?);
    }
    if x.len() < len {
        let got = x.len();
        return Err(Error::format("points", "cut short").expected(format!("{dimensions} x {count} = {len} numbers")).got(got));
    }
    Samples::from_layout(Layout::FeatureMajor, Extent::flat(dimensions), x)
}

fn bad(line: usize, token: &[u8], expected: &str) -> Error {
    Error::format(format!("line {line}"), "not understood").expected(expected).got(super::table::shown(token))
}

/// Words between white space, with the line they are on.
struct Tokens<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.rest.iter().position(|b| !b.is_ascii_whitespace())?;
        self.line += self.rest[..start].iter().filter(|&&b| b == b'\n').count();
        let rest = &self.rest[start..];
        let (token, rest) = rest.split_at(rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len()));
        self.rest = rest;
        Some((self.line, token))
    }
}

/// Writes the first input of a set of flat samples; numbers are the shortest that read back to the same bits.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io).
pub fn write(path: impl AsRef<Path>, samples: &Samples) -> Result<()> {
    let (x, n) = (samples.x(0), samples.len());
    let c = x.len() / n;
    let mut text = format!("{c} {n}\n");
    for k in 0..c {
        x.iter().skip(k).step_by(c).for_each(|x| _ = write!(text, "{x} "));
        text.push('\n');
    }
    file::write(path.as_ref(), &[text.as_bytes()])
}

/// Writes centres in the layout of the course's `kmeans_output` files: `dimensions k`, then one line for each centre, where a file of
/// points has one for each dimension. [`TableReader`](super::TableReader) reads it back without its first line.
///
/// # Shapes
/// `centres`: k rows of `dimensions`.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for no whole number of centres, [`ErrorKind::Io`](crate::ErrorKind::Io).
pub fn write_centres<T: crate::Real>(path: impl AsRef<Path>, centres: &[T], dimensions: usize) -> Result<()> {
    if dimensions == 0 || centres.is_empty() || !centres.len().is_multiple_of(dimensions) {
        let expected = format!("a multiple of {dimensions}, above 0");
        return Err(Error::shape("centres", "no whole number of them")
            .expected(expected)
            .got(format!("{} values", centres.len())));
    }
    let mut text = format!("{dimensions} {}\n", centres.len() / dimensions);
    for centre in centres.chunks_exact(dimensions) {
        centre.iter().for_each(|x| _ = write!(text, "{x} "));
        text.push('\n');
    }
    file::write(path.as_ref(), &[text.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let x = Samples::new(Extent::flat(3), (0..300).map(|i| (i as f32 * 0.37).sin() * 1e-3).collect()).unwrap();
        let path = tempfile::NamedTempFile::new().unwrap();
        write(path.path(), &x).unwrap();
        assert_eq!(read(path.path()).unwrap(), x);
    }

    #[test]
    fn damaged_files_are_refused() {
        let good = b"2 3\n0.5 1.5 -2.5e1 \n3 4 5 \n";
        // The last three bytes are "5 \n": cuts there still leave all numbers.
        let (refused, _) = file::mutate(good, from_bytes);
        assert!(refused >= good.len() - 3);
        let messages = [
            ("2 3\n1 2 3\n4 x 6\n", "line 3: not understood; expected a finite number, got \"x\""),
            ("2 3\n1 2 3\n4 5 6 7\n", "line 3: more numbers than announced; expected 2 x 3"),
            ("2 3\n1 2 3\n4 nan 5\n", "line 3: not understood; expected a finite number, got \"nan\""),
            ("0 3\n", "line 1: not understood; expected a number of dimensions, got \"0\""),
            ("2 3\n1 2 3 4 5", "points: cut short; expected 2 x 3 = 6 numbers, got 5"),
            ("4294967295 4294967295\n1", "header: the product of the sizes overflows"),
            ("100000 30000\n1", "header: announces more points than there are"),
        ];
        for (text, message) in messages {
            let e = from_bytes(text.as_bytes()).unwrap_err().to_string();
            assert!(e.starts_with(message), "{e}");
        }
    }
}
