//! Text tables: one sample a line, columns between blanks, commas, semicolons or tabs; numbers, and classes as numbers or names.

use super::{Dataset, Missing, Samples, file, number};
use crate::{Error, Extent, Result};
use rayon::prelude::*;
use std::fmt;
use std::path::Path;

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// The first.
    First,
    /// The last.
    Last,
    /// By position, from 0.
    Index(usize),
    /// By its name in the header.
    Name(String),
}

impl From<usize> for Column {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl From<&str> for Column {
    fn from(name: &str) -> Self {
        Self::Name(name.to_string())
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("the first column"),
            Self::Last => f.write_str("the last column"),
            Self::Index(i) => write!(f, "column {i} (from 0)"),
            Self::Name(n) => write!(f, "column {n:?}"),
        }
    }
}

/// How to read a text table. What is not said is found out: the separator, and whether the first line names the columns.
///
/// Lines that are empty or begin with `#` are left out. Numbers may have the forms of C, Python and Fortran (`1.5D+03`). Missing are
/// empty fields between separators, `nan`, `NA`, `?`, `-`, asterisks, and numbers beyond single precision.
///
/// # Errors
/// [`ErrorKind::Format`](crate::ErrorKind::Format), naming the line and the column, for what is no number where one must be and for lines
/// of another length than the first.
///
/// # Examples
/// ```
/// use kamacite::data::{Column, Dataset, TableReader};
/// let iris = b"6.4 3.2 5.3 2.3 2\n6.6 3.0 4.4 1.4 1\n";
/// let iris = TableReader::new().label(Column::Last).classes(3).from_bytes(iris)?;
/// assert_eq!((iris.len(), iris.labels(0)), (2, Some(&[2, 1][..])));
///
/// let sky = b"id,u,g,kind,z\n1,18.2,17.1,galaxy,0.1\n2,15.0,14.9,star,0.0\n";
/// let sky = TableReader::new().features(["u", "g"]).label("kind").targets(["z"]).from_bytes(sky)?;
/// assert_eq!((sky.class_names(), sky.t(1)), (&["galaxy".to_string(), "star".to_string()][..], Some(&[0.1, 0.0][..])));
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TableReader {
    separator: Option<u8>,
    comment: u8,
    skip: usize,
    header: Option<bool>,
    label: Option<Column>,
    first_class: u32,
    classes: Option<usize>,
    features: Option<Vec<Column>>,
    targets: Vec<Column>,
    missing: Missing,
}

impl Default for TableReader {
    fn default() -> Self {
        Self {
            separator: None,
            comment: b'#',
            skip: 0,
            header: None,
            label: None,
            first_class: 0,
            classes: None,
            features: None,
            targets: vec![],
            missing: Missing::Error,
        }
    }
}

/// Reads a table of numbers, all columns features; [`TableReader`] has the options.
///
/// # Errors
/// See [`TableReader`].
pub fn read(path: impl AsRef<Path>) -> Result<Samples> {
    TableReader::new().read(path)
}

/// Reads inputs and targets from two tables of numbers with as many lines: spectra and their one-hot classes.
///
/// # Errors
/// See [`TableReader`]; and if the numbers of lines differ.
pub fn read_pair(inputs: impl AsRef<Path>, targets: impl AsRef<Path>) -> Result<Samples> {
    let t = read(targets.as_ref())?;
    let extent = t.inputs()[0];
    read(inputs)?.with_values(extent, t.x(0).to_vec()).map_err(|e| e.at(targets.as_ref().display()))
}

impl TableReader {
    /// All columns are features, nothing may be missing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The byte between columns; a blank stands for any number of blanks and tabs. Otherwise the first of `;`, `,`, blank in the first line.
    #[must_use]
    pub fn separator(mut self, separator: u8) -> Self {
        self.separator = Some(separator);
        self
    }

    /// The byte that begins a comment: `#`.
    #[must_use]
    pub fn comment(mut self, comment: u8) -> Self {
        self.comment = comment;
        self
    }

    /// Leaves out this many lines at the top, whatever they hold.
    #[must_use]
    pub fn skip(mut self, lines: usize) -> Self {
        self.skip = lines;
        self
    }

    /// Whether the first line names the columns. Otherwise it does if one of its features is no number.
    #[must_use]
    pub fn header(mut self, header: bool) -> Self {
        self.header = Some(header);
        self
    }

    /// The column of the class: whole numbers, or names, which are numbered in alphabetical order. It is target 0.
    #[must_use]
    pub fn label(mut self, column: impl Into<Column>) -> Self {
        self.label = Some(column.into());
        self
    }

    /// The number of the first class in the file, where classes are numbers: 0, or 1 for files that count from 1.
    #[must_use]
    pub fn first_class(mut self, first: u32) -> Self {
        self.first_class = first;
        self
    }

    /// The number of classes. Otherwise it is the largest in the file.
    #[must_use]
    pub fn classes(mut self, classes: usize) -> Self {
        self.classes = Some(classes);
        self
    }

    /// The columns that are features, in this order. Otherwise all that are neither label nor target.
    #[must_use]
    pub fn features(mut self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        self.features = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// The columns that are a target of values; it comes after that of the classes.
    #[must_use]
    pub fn targets(mut self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        self.targets = columns.into_iter().map(Into::into).collect();
        self
    }

    /// What to do with missing features. Targets and classes may not be missing.
    #[must_use]
    pub fn missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), and see [`TableReader`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Samples> {
        let path = path.as_ref();
        self.from_bytes(&file::bytes(path)?).map_err(|e| e.at(path.display()))
    }

    /// Reads the contents of a file.
    ///
    /// # Errors
    /// See [`TableReader`].
    #[allow(clippy::wrong_self_convention)] // The reader is a list of options; `from_bytes` is the name in all readers.
    pub fn from_bytes(&self, bytes: &[u8]) -> Result<Samples> {
        let (plan, body) = self.plan(bytes)?;
        let chunks = chunks(&bytes[body..]);
        let parts: Vec<Result<Part<'_>>> = chunks.par_iter().map(|chunk| plan.parse(chunk)).collect();
        let (mut x, mut t, mut labels) = (vec![], vec![], vec![]);
        let (nx, nt, nl) =
            parts.iter().flatten().fold((0, 0, 0), |n, p| (n.0 + p.x.len(), n.1 + p.t.len(), n.2 + p.labels.len()));
        if parts.iter().all(Result::is_ok) {
            (x, t, labels) = (file::reserve("table", nx)?, file::reserve("table", nt)?, file::reserve("table", nl)?);
        }
        let mut line = bytes[..body].iter().filter(|&&b| b == b'\n').count();
        for (part, chunk) in parts.into_iter().zip(chunks) {
            let part = part.map_err(|e| e.at(format!("line {}", line + plan.bad_line(chunk))))?;
            line += chunk.iter().filter(|&&b| b == b'\n').count();
            x.extend_from_slice(&part.x);
            t.extend_from_slice(&part.t);
            labels.extend_from_slice(&part.labels);
        }
        if x.is_empty() {
            return Err(Error::format("table", "no samples").hint("every line is empty, a comment or a header"));
        }
        let samples = Samples::with_missing(Extent::flat(plan.features), x, self.missing)?;
        let samples = if self.label.is_some() { self.classify(samples, &labels)? } else { samples };
        if self.targets.is_empty() { Ok(samples) } else { samples.with_values(Extent::flat(self.targets.len()), t) }
    }

    fn classify(&self, samples: Samples, labels: &[&[u8]]) -> Result<Samples> {
        let numbers: Option<Vec<u32>> = labels.iter().map(|l| number::index(l)).collect();
        let (labels, names) = match numbers {
            Some(numbers) => (self.count_from_zero(numbers)?, vec![]),
            None => {
                let mut names = labels.to_vec();
                names.par_sort_unstable();
                names.dedup();
                let of = |l: &&[u8]| names.binary_search(l).unwrap_or(0) as u32;
                (labels.par_iter().map(of).collect(), names)
            }
        };
        let most = labels.iter().max().map_or(1, |&l| l as usize + 1);
        let samples = samples.with_classes(labels, self.classes.unwrap_or(most))?;
        Ok(samples.with_class_names(names.iter().map(|n| String::from_utf8_lossy(n).into_owned())))
    }

    fn count_from_zero(&self, mut labels: Vec<u32>) -> Result<Vec<u32>> {
        for (i, label) in labels.iter_mut().enumerate() {
            let got = *label;
            *label = got.checked_sub(self.first_class).ok_or_else(|| {
                Error::value(format!("label of sample {i}"), "below the first class").expected(self.first_class).got(got)
            })?;
        }
        Ok(labels)
    }

    /// Looks at the first line: separator, header, what each column is. Returns this and where the samples begin.
    fn plan(&self, bytes: &[u8]) -> Result<(Plan, usize)> {
        let mut at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        for _ in 0..self.skip {
            at += line_end(&bytes[at..]);
        }
        let line = loop {
            if at == bytes.len() {
                return Err(Error::format("table", "no samples").hint("every line is empty or a comment"));
            }
            let line = trimmed(&bytes[at..at + line_end(&bytes[at..])], self.separator.unwrap_or(b' '));
            if !line.is_empty() && line[0] != self.comment {
                break line;
            }
            at += line_end(&bytes[at..]);
        };
        let found = || [b';', b','].into_iter().find(|s| line.contains(s)).unwrap_or(b' ');
        let mut plan = Plan {
            separator: self.separator.map_or_else(found, |s| if s == b'\t' || s > b' ' { s } else { b' ' }),
            comment: self.comment,
            strict: self.missing == Missing::Error,
            roles: vec![],
            features: 0,
            targets: self.targets.len(),
        };
        let fields: Vec<&[u8]> = plan.fields(line).collect();
        let named = |c: &Column| matches!(c, Column::Name(_));
        let names = self.label.iter().chain(&self.targets).chain(self.features.iter().flatten()).any(named);
        let mut header = self.header.unwrap_or(names);
        plan.features = self.roles(&fields, header, &mut plan.roles)?;
        if self.header.is_none() && !header {
            let number = |(role, field): (&Role, &&[u8])| !matches!(role, Role::Feature(_)) || number::parse(field).is_some();
            header = !plan.roles.iter().zip(&fields).all(number);
        }
        Ok((plan, if header { at + line_end(&bytes[at..]) } else { at }))
    }

    /// Says for each column what it is; returns the number of features.
    fn roles(&self, fields: &[&[u8]], header: bool, roles: &mut Vec<Role>) -> Result<usize> {
        let find = |column: &Column| {
            let found = match column {
                Column::First => Some(0),
                Column::Last => Some(fields.len() - 1),
                Column::Index(i) => Some(*i).filter(|i| *i < fields.len()),
                Column::Name(name) => fields.iter().position(|f| header && *f == name.as_bytes()),
            };
            let shown = || fields.iter().take(30).map(|f| shown(f)).collect::<Vec<_>>().join(", ");
            found.ok_or_else(|| {
                Error::value("table", format!("there is no {column}")).got(format!("{} columns: {}", fields.len(), shown()))
            })
        };
        roles.resize(fields.len(), Role::Skip);
        let mut put = |column: usize, role| match std::mem::replace(&mut roles[column], role) {
            Role::Skip => Ok(()),
            before => Err(Error::value(format!("column {column}"), format!("cannot be both {before:?} and {role:?}"))),
        };
        if let Some(label) = &self.label {
            put(find(label)?, Role::Label)?;
        }
        for (k, target) in self.targets.iter().enumerate() {
            put(find(target)?, Role::Target(k))?;
        }
        for (k, feature) in self.features.iter().flatten().enumerate() {
            put(find(feature)?, Role::Feature(k))?;
        }
        let mut features = self.features.as_ref().map_or(0, Vec::len);
        if self.features.is_none() {
            for role in roles.iter_mut().filter(|r| **r == Role::Skip) {
                *role = Role::Feature(features);
                features += 1;
            }
        }
        if features == 0 { Err(Error::value("table", "no column is a feature")) } else { Ok(features) }
    }
}

/// What a column is; features and targets with their position among these.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Skip,
    Label,
    Feature(usize),
    Target(usize),
}

/// What the first line has shown.
struct Plan {
    separator: u8,
    comment: u8,
    /// Whether a missing feature is an error.
    strict: bool,
    roles: Vec<Role>,
    features: usize,
    targets: usize,
}

/// What one chunk of the file holds.
#[derive(Default)]
struct Part<'a> {
    x: Vec<f32>,
    t: Vec<f32>,
    labels: Vec<&'a [u8]>,
}

impl Plan {
    fn fields<'a>(&self, line: &'a [u8]) -> Fields<'a> {
        Fields { rest: Some(line), separator: self.separator, comment: self.comment }
    }

    fn parse<'a>(&self, chunk: &'a [u8]) -> Result<Part<'a>> {
        let mut part = Part::default();
        chunk.split_inclusive(|&b| b == b'\n').try_for_each(|line| self.row(line, &mut part))?;
        Ok(part)
    }

    /// The number, from 1, of the first line of a chunk that is refused.
    fn bad_line(&self, chunk: &[u8]) -> usize {
        let mut part = Part::default();
        1 + chunk.split_inclusive(|&b| b == b'\n').take_while(|line| self.row(line, &mut part).is_ok()).count()
    }

    fn row<'a>(&self, line: &'a [u8], part: &mut Part<'a>) -> Result<()> {
        let line = trimmed(line, self.separator);
        if line.is_empty() || line[0] == self.comment {
            return Ok(());
        }
        let (x0, t0) = (part.x.len(), part.t.len());
        part.x.resize(x0 + self.features, 0.0);
        part.t.resize(t0 + self.targets, 0.0);
        let mut count = 0;
        for (k, field) in self.fields(line).enumerate() {
            count += 1;
            match self.roles.get(k) {
                // A separator after the last column makes no further column.
                None if field.is_empty() && k == self.roles.len() => count -= 1,
                None | Some(Role::Skip) => {}
                Some(Role::Feature(i)) => part.x[x0 + i] = value(k, field, self.strict)?,
                Some(Role::Target(i)) => part.t[t0 + i] = value(k, field, true)?,
                Some(Role::Label) if field.is_empty() => {
                    return Err(Error::format(format!("column {}", k + 1), "no class").hint("every sample needs one"));
                }
                Some(Role::Label) => part.labels.push(field),
            }
        }
        if count == self.roles.len() {
            return Ok(());
        }
        Err(Error::format("", "another number of columns than in the first line").expected(self.roles.len()).got(count))
    }
}

fn value(column: usize, field: &[u8], strict: bool) -> Result<f32> {
    let place = || format!("column {}", column + 1);
    let not_a_number =
        || Error::format(place(), "not a number").got(shown(field)).hint("leave the column out or make it the label");
    let x = number::parse(field).ok_or_else(not_a_number)?;
    if strict && !x.is_finite() {
        let hint = "choose a Missing policy for features: Zero, Value, Median or Keep";
        return Err(Error::format(place(), "missing or not finite").got(shown(field)).hint(hint));
    }
    Ok(x)
}

/// The start of a field, as it may stand in a message.
pub(crate) fn shown(field: &[u8]) -> String {
    let start = String::from_utf8_lossy(&field[..field.len().min(40)]);
    format!("{start:?}{}", if field.len() > 40 { "..." } else { "" })
}

/// The columns of a line.
struct Fields<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
    comment: u8,
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        if self.separator == b' ' {
            return self.word(rest);
        }
        let start = rest.trim_ascii_start();
        if let Some(quoted) = start.strip_prefix(b"\"")
            && let Some(end) = quoted.iter().position(|&b| b == b'"')
        {
            let after = &quoted[end + 1..];
            self.rest = after.iter().position(|&b| b == self.separator).map(|i| &after[i + 1..]);
            return Some(&quoted[..end]);
        }
        let end = rest.iter().position(|&b| b == self.separator);
        self.rest = end.map(|i| &rest[i + 1..]);
        Some(rest[..end.unwrap_or(rest.len())].trim_ascii())
    }
}

impl<'a> Fields<'a> {
    fn word(&mut self, rest: &'a [u8]) -> Option<&'a [u8]> {
        let start = rest.iter().position(|b| !b.is_ascii_whitespace())?;
        let rest = &rest[start..];
        if rest[0] == self.comment {
            self.rest = None;
            return None;
        }
        let (word, rest) = rest.split_at(rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len()));
        self.rest = Some(rest);
        Some(word)
    }
}

/// A line without the white space around it; tabs stay where they separate columns, since an empty field may be the first or last.
fn trimmed(line: &[u8], separator: u8) -> &[u8] {
    let blank = |b: &u8| b.is_ascii_whitespace() && (*b != b'\t' || separator != b'\t');
    let Some(start) = line.iter().position(|b| !blank(b)) else { return &[] };
    let end = line.iter().rposition(|b| !blank(b)).map_or(start, |i| i + 1);
    &line[start..end]
}

/// Bytes up to and with the end of the first line.
fn line_end(bytes: &[u8]) -> usize {
    bytes.iter().position(|&b| b == b'\n').map_or(bytes.len(), |i| i + 1)
}

/// Pieces of whole lines, large enough to be worth a task.
fn chunks(mut bytes: &[u8]) -> Vec<&[u8]> {
    const SIZE: usize = 1 << 18;
    let mut chunks = vec![];
    while !bytes.is_empty() {
        let size = SIZE.min(bytes.len());
        let (chunk, rest) = bytes.split_at(size + if size < bytes.len() { line_end(&bytes[size..]) } else { 0 });
        chunks.push(chunk);
        bytes = rest;
    }
    chunks
}

#[cfg(test)]
mod tests;
