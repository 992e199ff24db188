//! Errors that say where, what, what was expected, what came, and what to do about it.
//!
//! Display form: `node 4 (conv): window 7x7 exceeds the padded input; expected at most 5x5, got 7x7; use pad 1 or more`.

use std::fmt;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure an [`Error`] reports; foreign languages map it to a status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Sizes that do not fit together.
    Shape,
    /// A network that cannot be planned: unknown node, missing output, reused name.
    Plan,
    /// The plan needs more memory than there is.
    OutOfMemory,
    /// A device that is absent or failed.
    Device,
    /// Values outside their domain: a label above the number of classes, a negative rate.
    Value,
    /// A file whose contents contradict its format.
    Format,
    /// The operating system refused to read or write.
    Io,
    /// A legal request that this build or device cannot serve.
    Unsupported,
    /// The first NaN or infinity of a training run.
    Diverged,
    /// Calls in an order that makes no sense: backward before forward.
    Order,
}

/// What went wrong, and where. Built by the functions named after its [`ErrorKind`].
///
/// # Examples
/// ```
/// use kamacite::{Error, ErrorKind};
/// let e = Error::shape("node 4 (conv)", "window exceeds the padded input").expected("at most 5x5").got("7x7").hint("use pad 1 or more");
/// assert_eq!(e.kind(), ErrorKind::Shape);
/// assert_eq!(e.to_string(), "node 4 (conv): window exceeds the padded input; expected at most 5x5, got 7x7; use pad 1 or more");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    place: String,
    what: String,
    expected: Option<String>,
    got: Option<String>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(place: impl fmt::Display, what: impl fmt::Display) -> Self { Self::new(ErrorKind::$kind, place, what) }
    )*};
}

impl Error {
    /// An error of any kind; the functions below are shorter.
    pub fn new(kind: ErrorKind, place: impl fmt::Display, what: impl fmt::Display) -> Self {
        let (place, what) = (place.to_string(), what.to_string());
        Self(Box::new(Inner { kind, place, what, expected: None, got: None, hint: None, source: None }))
    }

    constructors! {
        /// Sizes that do not fit together.
        shape => Shape,
        /// A network that cannot be planned.
        plan => Plan,
        /// More memory needed than there is.
        out_of_memory => OutOfMemory,
        /// A device that is absent or failed.
        device => Device,
        /// A value outside its domain.
        value => Value,
        /// A file that contradicts its format.
        format => Format,
        /// A legal request that cannot be served here.
        unsupported => Unsupported,
        /// The first NaN or infinity.
        diverged => Diverged,
        /// Calls in an impossible order.
        order => Order,
    }

    /// A failed file operation on `path`.
    pub fn io(path: impl AsRef<std::path::Path>, source: std::io::Error) -> Self {
        let mut e = Self::new(ErrorKind::Io, path.as_ref().display(), &source);
        e.0.source = Some(Box::new(source));
        e
    }

    /// Adds what would have been right.
    #[must_use]
    pub fn expected(mut self, expected: impl fmt::Display) -> Self {
        self.0.expected = Some(expected.to_string());
        self
    }

    /// Adds what was found instead.
    #[must_use]
    pub fn got(mut self, got: impl fmt::Display) -> Self {
        self.0.got = Some(got.to_string());
        self
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.0.hint = Some(hint.to_string());
        self
    }

    /// Puts an outer place before the present one: `node 4 (conv)` before `weight`.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.place = if self.0.place.is_empty() { place.to_string() } else { format!("{place}: {}", self.0.place) };
        self
    }

    /// Adds the error behind this one.
    #[must_use]
    pub fn source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { place, what, expected, got, hint, .. } = &*self.0;
        if !place.is_empty() {
            write!(f, "{place}: ")?;
        }
        f.write_str(what)?;
        match (expected, got) {
            (Some(e), Some(g)) => write!(f, "; expected {e}, got {g}")?,
            (Some(e), None) => write!(f, "; expected {e}")?,
            (None, Some(g)) => write!(f, "; got {g}")?,
            (None, None) => {}
        }
        hint.as_ref().map_or(Ok(()), |h| write!(f, "; {h}"))
    }
}

/// The same sentence as `Display`: `main` returning `Err` then prints something a person can read.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}
