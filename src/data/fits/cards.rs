//! Cards to be written.

use super::hdu::is_structure;
use super::header::{Header, RECORD, Value, name};
use super::wcs;
use crate::{Error, Result};

/// Characters of a string in one card, quotes left out.
const TEXT: usize = 68;

/// Cards for a new header. Those that describe the structure of the file (`BITPIX`, `NAXIS`, `TFORM`, …) the [`Writer`](super::Writer) adds.
///
/// # Examples
/// ```
/// use kamacite::data::fits::Cards;
/// let cards = Cards::new().with("EXTNAME", "SCI")?.with("EXPTIME", 30.0)?.commented("GAIN", 4_i64, "[e-/ADU]")?.history("flat-fielded");
/// assert!(Cards::new().with("NAXIS", 2_i64).is_err());
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cards(Vec<[u8; RECORD]>);

impl Cards {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a keyword, in the place of a card that was there.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a keyword that is none or belongs to the writer, text that is not ASCII, NaN and infinities.
    pub fn with(self, keyword: &str, value: impl Into<Value>) -> Result<Self> {
        self.commented(keyword, value, "")
    }

    /// As [`Cards::with`], with a comment, which is cut where the card ends.
    ///
    /// # Errors
    /// As [`Cards::with`].
    pub fn commented(mut self, keyword: &str, value: impl Into<Value>, comment: &str) -> Result<Self> {
        let new = records(keyword, &value.into(), comment)?;
        if new.first().is_some_and(is_structure) {
            let e = Error::value("fits card", format!("{keyword} belongs to the structure of the file"));
            return Err(e.hint("leave it out: the writer adds it"));
        }
        self.remove(keyword);
        self.0.extend(new);
        Ok(self)
    }

    /// Adds `HISTORY`, over as many cards as it takes. What is not ASCII becomes `?`.
    #[must_use]
    pub fn history(self, text: &str) -> Self {
        self.lines("HISTORY", text)
    }

    /// Adds a `COMMENT`, over as many cards as it takes. What is not ASCII becomes `?`.
    #[must_use]
    pub fn comment(self, text: &str) -> Self {
        self.lines("COMMENT", text)
    }

    /// Adds the world coordinates of another header: where on the sky, at which wavelength, when; see [`Header::wcs_cards`].
    #[must_use]
    pub fn wcs(mut self, header: &Header) -> Self {
        self.0.extend(header.wcs_cards().map(printable));
        self
    }

    /// As [`Cards::wcs`], for an image whose pixels are finer by a factor along each axis, in the order of `NAXIS1`, `NAXIS2`, …: 2 where it has
    /// twice as many, 0.5 where half.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for distortions given as polynomials of pixels (SIP).
    pub fn wcs_scaled(mut self, header: &Header, factors: &[f64]) -> Result<Self> {
        if factors.iter().all(|&f| f == 1.0) {
            return Ok(self.wcs(header));
        }
        self.0.extend(wcs::scaled(header, factors)?);
        Ok(self)
    }

    pub(super) fn records(&self) -> &[[u8; RECORD]] {
        &self.0
    }

    fn remove(&mut self, keyword: &str) {
        let mut removing = false;
        self.0.retain(|r| {
            removing = if name(r) == "CONTINUE" { removing } else { name(r).eq_ignore_ascii_case(keyword) };
            !removing
        });
    }

    fn lines(mut self, keyword: &str, text: &str) -> Self {
        let text: Vec<u8> = text.chars().map(|c| if matches!(c, ' '..='~') { c as u8 } else { b'?' }).collect();
        self.0.extend(text.chunks(RECORD - 8).map(|line| record(&[format!("{keyword:<8}").as_bytes(), line].concat())));
        self
    }
}

fn record(text: &[u8]) -> [u8; RECORD] {
    let mut record = [b' '; RECORD];
    record.iter_mut().zip(text).for_each(|(r, t)| *r = *t);
    record
}

/// Files in the wild have bytes in their headers that the standard forbids.
fn printable(raw: &[u8; RECORD]) -> [u8; RECORD] {
    raw.map(|b| if matches!(b, b' '..=b'~') { b } else { b'?' })
}

/// The records of one keyword: several for a long string.
pub(super) fn records(keyword: &str, value: &Value, comment: &str) -> Result<Vec<[u8; RECORD]>> {
    let refused = |what: &str| Error::value(format!("fits card {keyword}"), what);
    let key = keyword.to_ascii_uppercase();
    let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if key.is_empty() || key.len() > 8 || !key.bytes().all(legal) {
        return Err(refused("no keyword").expected("1 to 8 letters, digits, hyphens, underscores"));
    }
    if !comment.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Err(refused("the comment is not printable ASCII").got(format!("{comment:?}")));
    }
    let text = match value {
        Value::Text(text) => return strings(&key, text, comment, &refused),
        Value::Bool(x) => if *x { "T" } else { "F" }.to_string(),
        Value::Integer(x) => x.to_string(),
        Value::Float(x) if x.is_finite() => float(*x),
        Value::Float(x) => return Err(refused("headers hold no NaN or infinity").got(x)),
    };
    let slash = if comment.is_empty() { String::new() } else { format!(" / {comment}") };
    Ok(vec![record(format!("{key:<8}= {text:>20}{slash}").as_bytes())])
}

/// The shortest digits that give the number again, with a decimal point.
fn float(x: f64) -> String {
    let text = format!("{x:?}");
    match text.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => format!("{digits}E{exponent}"),
        Some((digits, exponent)) => format!("{digits}.0E{exponent}"),
        None => text,
    }
}

fn strings(key: &str, text: &str, comment: &str, refused: &dyn Fn(&str) -> Error) -> Result<Vec<[u8; RECORD]>> {
    if !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Err(refused("the text is not printable ASCII").got(format!("{text:?}")));
    }
    let mut pieces = vec![String::new()];
    let whole = text.len() + text.matches('\'').count() <= TEXT;
    for c in text.chars() {
        let len = if c == '\'' { 2 } else { 1 };
        if !whole && pieces.last().map_or(0, String::len) + len > TEXT - 1 {
            pieces.push(String::new());
        }
        let piece = pieces.last_mut().ok_or_else(|| refused("no text"))?;
        (0..len).for_each(|_| piece.push(c));
    }
    let last = pieces.len() - 1;
    let card = |(i, piece): (usize, &String)| {
        let start = if i == 0 { format!("{key:<8}= ") } else { "CONTINUE  ".to_string() };
        let more = if i < last { "&" } else { "" };
        let slash = if i < last || comment.is_empty() { String::new() } else { format!(" / {comment}") };
        record(format!("{start}{:<20}{slash}", format!("'{:<8}'", format!("{piece}{more}"))).as_bytes())
    };
    Ok(pieces.iter().enumerate().map(card).collect())
}
