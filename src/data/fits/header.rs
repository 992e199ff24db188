//! Headers: records of 80 bytes, kept as they are; `fitsrs` reads the value of the one asked for.

use super::wcs;
use crate::{Error, Result};
use fitsrs::card as crate_card;
use std::fmt;

/// Bytes of one record.
pub(super) const RECORD: usize = 80;

/// The value of a card.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `T` or `F`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string without its quotes and trailing spaces.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(x) => f.write_str(if *x { "T" } else { "F" }),
            Self::Integer(x) => x.fmt(f),
            Self::Float(x) => write!(f, "{x:?}"),
            Self::Text(x) => write!(f, "'{x}'"),
        }
    }
}

macro_rules! into_value {
    ($($t:ty => |$x:ident| $value:expr),* $(,)?) => {$(
        impl From<$t> for Value { fn from($x: $t) -> Self { $value } }
    )*};
}
into_value! {
    bool => |x| Self::Bool(x), i64 => |x| Self::Integer(x), i32 => |x| Self::Integer(x.into()), u32 => |x| Self::Integer(x.into()),
    f64 => |x| Self::Float(x), f32 => |x| Self::Float(x.into()), &str => |x| Self::Text(x.to_string()), String => |x| Self::Text(x),
}

mod sealed {
    pub trait FromCard: Sized {
        fn from_card(value: super::Value) -> Option<Self>;
    }
}
use sealed::FromCard;

impl FromCard for bool {
    fn from_card(value: Value) -> Option<Self> {
        if let Value::Bool(x) = value { Some(x) } else { None }
    }
}

impl FromCard for i64 {
    /// Also `32768.0`, as some programs write whole numbers.
    fn from_card(value: Value) -> Option<Self> {
        match value {
            Value::Integer(x) => Some(x),
            Value::Float(x) if x.fract() == 0.0 && x.abs() < 9e18 => Some(x as i64),
            _ => None,
        }
    }
}

impl FromCard for usize {
    fn from_card(value: Value) -> Option<Self> {
        i64::from_card(value).and_then(|x| Self::try_from(x).ok())
    }
}

impl FromCard for f64 {
    fn from_card(value: Value) -> Option<Self> {
        match value {
            Value::Integer(x) => Some(x as Self),
            Value::Float(x) => Some(x),
            _ => None,
        }
    }
}

impl FromCard for String {
    fn from_card(value: Value) -> Option<Self> {
        if let Value::Text(x) = value { Some(x) } else { None }
    }
}

impl FromCard for Value {
    fn from_card(value: Value) -> Option<Self> {
        Some(value)
    }
}

/// One record of a header.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// The keyword; `HIERARCH` keywords without that word: `ESO DET ID`.
    pub keyword: String,
    /// The value; none for `COMMENT`, `HISTORY`, blank records and what cannot be read.
    pub value: Option<Value>,
    /// What follows the slash; the text of `COMMENT` and `HISTORY`.
    pub comment: String,
}

/// The header of an HDU, in the order of the file.
///
/// # Examples
/// ```
/// use kamacite::data::fits::{Cards, Fits, Writer};
/// let file = Writer::to_bytes(|w| w.image(&[2, 2], &[1.0_f32, 2.0, 3.0, 4.0], &Cards::new().with("EXPTIME", 30.0)?))?;
/// let fits = Fits::from_bytes("memory", file)?;
/// let header = fits.hdus()[0].header();
/// assert_eq!((header.get::<f64>("exptime"), header.get::<i64>("NAXIS1"), header.get::<bool>("ABSENT")), (Some(30.0), Some(2), None));
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Header {
    records: Vec<[u8; RECORD]>,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.cards()).finish()
    }
}

impl Header {
    pub(super) fn new(records: Vec<[u8; RECORD]>) -> Self {
        Self { records }
    }

    /// The value of a keyword as `bool`, `i64`, `usize`, `f64`, `String` or [`Value`]; `None` where it is absent or of another type. Case
    /// does not matter; of several cards the first counts; long strings come whole.
    pub fn get<T: sealed::FromCard>(&self, keyword: &str) -> Option<T> {
        let at = self.find(keyword)?;
        T::from_card(self.value(at)?.0)
    }

    /// As [`Header::get`], for a keyword that must be there.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format).
    pub fn require<T: sealed::FromCard>(&self, keyword: &str) -> Result<T> {
        let Some(at) = self.find(keyword) else {
            return Err(Error::format("header", format!("no keyword {keyword}")).hint("is this the right HDU?"));
        };
        let value = self.value(at);
        let found = value.as_ref().map_or("nothing that can be read".to_string(), |(v, _)| v.to_string());
        let wrong = || Error::format("header", format!("{keyword} has a value of another type")).got(found);
        value.and_then(|(v, _)| T::from_card(v)).ok_or_else(wrong)
    }

    /// All cards in order, without `END`; a string continued over several records is one card.
    pub fn cards(&self) -> impl Iterator<Item = Card> + '_ {
        let mut goes_on = false;
        let begins = move |at: &usize| {
            let orphan = !goes_on;
            let record = &self.records[*at];
            let text = match parse(record) {
                Some(crate_card::Card::Continuation { string, .. }) => string,
                _ => read(record).and_then(|(_, v, _)| if let Some(Value::Text(t)) = v { Some(t) } else { None }),
            };
            goes_on = text.is_some_and(|t| t.ends_with('&'));
            keyword(record) != *b"CONTINUE" || orphan
        };
        (0..self.records.len()).filter(begins).map(|at| self.card(at))
    }

    /// The records that say where on the sky (or at which wavelength, or when) a pixel lies, to be written into another file; see
    /// [`Cards::wcs`](super::Cards::wcs).
    pub fn wcs_cards(&self) -> impl Iterator<Item = &[u8; RECORD]> + '_ {
        let mut before = false;
        self.records.iter().filter(move |r| {
            before = if keyword(r) == *b"CONTINUE" { before } else { wcs::is_wcs(name(r)) };
            before
        })
    }

    fn find(&self, key: &str) -> Option<usize> {
        if key.len() <= 8 && !key.contains([' ', '.']) {
            let mut wanted = [b' '; 8];
            wanted.iter_mut().zip(key.bytes()).for_each(|(w, k)| *w = k.to_ascii_uppercase());
            return self.records.iter().position(|r| keyword(r) == wanted);
        }
        let wanted = hierarch(key);
        let matches = |r: &[u8; RECORD]| keyword(r) == *b"HIERARCH" && read(r).is_some_and(|(k, ..)| hierarch(&k) == wanted);
        self.records.iter().position(matches)
    }

    /// The value and the comment of a record, with the records that continue it.
    fn value(&self, at: usize) -> Option<(Value, String)> {
        let (_, value, mut comment) = read(&self.records[at])?;
        let Value::Text(mut text) = value? else { return read(&self.records[at]).and_then(|(_, v, c)| Some((v?, c))) };
        for next in self.records[at + 1..].iter().take_while(|r| keyword(r) == *b"CONTINUE") {
            if !text.ends_with('&') {
                break;
            }
            text.pop();
            let Some(crate_card::Card::Continuation { string, comment: more }) = parse(next) else { break };
            text.push_str(string.as_deref().unwrap_or_default());
            comment.push_str(more.as_deref().unwrap_or_default());
        }
        text.truncate(text.trim_end().len());
        Some((Value::Text(text), comment))
    }

    fn card(&self, at: usize) -> Card {
        let record = &self.records[at];
        let undefined = || Card { keyword: name(record).to_string(), value: None, comment: lossy(&record[8..]) };
        let Some((keyword, value, comment)) = read(record) else { return undefined() };
        match (value, self.value(at)) {
            (Some(_), Some((value, comment))) => Card { keyword, value: Some(value), comment: comment.trim().to_string() },
            _ => Card { keyword, value: None, comment: comment.trim_end().to_string() },
        }
    }
}

fn keyword(record: &[u8; RECORD]) -> [u8; 8] {
    *record.first_chunk().unwrap_or(&[0; 8])
}

/// The keyword without spaces; nothing where it is not ASCII.
pub(super) fn name(record: &[u8; RECORD]) -> &str {
    std::str::from_utf8(record[..8].trim_ascii()).unwrap_or_default()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned()
}

fn hierarch(key: &str) -> String {
    let key = key.to_ascii_uppercase().replace('.', " ");
    let words: Vec<&str> = key.split_whitespace().filter(|w| *w != "HIERARCH").collect();
    words.join(" ")
}

/// Keyword, value and comment of a record. `None` for what is no card.
fn read(record: &[u8; RECORD]) -> Option<(String, Option<Value>, String)> {
    use crate_card::{Card as C, Value as V};
    let value = |v: V| match v {
        V::Integer { value, comment } => (Some(Value::Integer(value)), comment),
        V::Float { value, comment } => (Some(Value::Float(value)), comment),
        V::Logical { value, comment } => (Some(Value::Bool(value)), comment),
        V::String { value, comment } => (Some(Value::Text(value)), comment),
        V::Undefined | V::Invalid(_) => (None, None),
    };
    match parse(record)? {
        C::Value { value: v, .. } => {
            let (v, comment) = value(v);
            Some((name(record).to_string(), v, comment.unwrap_or_default()))
        }
        C::Hierarch { name, value: v } => {
            let (v, comment) = value(v);
            Some((name.replace('.', " "), v, comment.unwrap_or_default()))
        }
        C::Comment(text) | C::History(text) => Some((name(record).to_string(), None, text)),
        C::Space => Some((String::new(), None, String::new())),
        C::Continuation { string, .. } => Some(("CONTINUE".to_string(), None, string.unwrap_or_default())),
        C::Xtension { .. } | C::End | C::Undefined(_) => None,
    }
}

/// `fitsrs` on one record. It knows three kinds of extension by name.
fn parse(record: &[u8; RECORD]) -> Option<crate_card::Card> {
    let mut record = *record;
    if record.starts_with(b"XTENSION") {
        record[7] = b' ';
    }
    if has_lone_quote(&record) {
        return None;
    }
    // What its next version may panic on.
    std::panic::catch_unwind(|| crate_card::Card::try_from(&record).ok()).ok().flatten()
}

/// Whether the value, where `fitsrs` looks for it, is a string that does not end: it would cut a lone quote at byte 1 of 1 and panic.
fn has_lone_quote(record: &[u8; RECORD]) -> bool {
    let from = match &keyword(record) {
        b"CONTINUE" => 8,
        // Not the one of `HIERARCH=`, which is an ordinary keyword to other readers.
        b"HIERARCH" => 10 + record[9..].iter().position(|&b| b == b'=').unwrap_or(RECORD - 10),
        _ => 10,
    };
    let mut text = record[from..].trim_ascii().iter();
    text.next() == Some(&b'\'') && !text.any(|&b| b == b'\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_that_does_not_end_is_found_where_the_value_is() {
        let record = |text: &str| -> [u8; RECORD] { format!("{text:<80}").into_bytes().try_into().expect("80 bytes") };
        let lone = [
            "A       = '",
            "CONTINUE  '",
            "HIERARCH A B = '",
            "HIERARCH= 3 CTYPE1  = '",
            "HIERARCH= 'k' N = '",
            "A       = ' / x",
        ];
        let whole =
            ["A       = ''", "A       = 1", "CONTINUE  'x'", "HIERARCH A = 'b'", "HIERARCH= '", "HIERARCH '", "COMMENT '", "END"];
        assert_eq!(lone.map(|text| has_lone_quote(&record(text))), [true; 6]);
        assert_eq!(whole.map(|text| has_lone_quote(&record(text))), [false; 8]);
        // Would panic, which the harness shows, without what is tested above.
        lone.iter().chain(&whole).for_each(|text| drop(parse(&record(text))));
        assert!(lone.iter().all(|text| parse(&record(text)).is_none()));
    }
}
