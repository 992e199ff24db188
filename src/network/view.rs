//! What goes into a model and comes out of it: borrowed batches.

use super::NodeId;
use crate::{DType, Error, Extent, Result, Target};
use std::ops::Range;

/// A batch on the host, borrowed: rows of one extent in f32 or f64.
///
/// # Examples
/// ```
/// use kamacite::{Extent, View};
/// let x = [1.0_f32, 2.0, 3.0, 4.0];
/// let view = View::new(Extent::flat(2), &x)?;
/// assert_eq!((view.rows(), view.row(1)?), (2, &[3.0, 4.0][..]));
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    data: Data<'a>,
    extent: Extent,
    rows: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Data<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
}

impl<'a> View<'a> {
    /// A batch of as many rows as `data` holds.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if `data` is no whole number of rows, or none.
    #[inline]
    pub fn new(extent: Extent, data: &'a [f32]) -> Result<Self> {
        Self::of(Data::F32(data), extent, data.len())
    }

    /// A batch in double precision.
    ///
    /// # Errors
    /// As [`View::new`].
    #[inline]
    pub fn f64(extent: Extent, data: &'a [f64]) -> Result<Self> {
        Self::of(Data::F64(data), extent, data.len())
    }

    #[inline]
    pub(crate) fn of(data: Data<'a>, extent: Extent, len: usize) -> Result<Self> {
        let n = extent.check()?.len();
        // One row is the batch of those who count nanoseconds: without a division.
        let rows = if len == n { 1 } else { len / n };
        if rows == 0 || rows * n != len {
            return Err(uneven(extent, len));
        }
        Ok(Self { data, extent, rows })
    }

    /// Rows of the batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The extent of one row.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The same elements as rows of another extent.
    ///
    /// # Errors
    /// As [`View::new`].
    pub fn reshaped(self, extent: Extent) -> Result<Self> {
        Self::of(self.data, extent, self.rows * self.extent.len())
    }

    /// Some of the rows.
    pub(crate) fn part(&self, rows: Range<usize>) -> Result<Self> {
        let n = self.extent.len();
        let part = rows.start.min(self.rows) * n..rows.end.min(self.rows) * n;
        let len = part.len();
        let data = match self.data {
            Data::F32(x) => Data::F32(&x[part]),
            Data::F64(x) => Data::F64(&x[part]),
        };
        Self::of(data, self.extent, len)
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self.data {
            Data::F32(_) => DType::F32,
            Data::F64(_) => DType::F64,
        }
    }

    /// The elements, if they are f32.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a batch in f64.
    pub fn as_f32(&self) -> Result<&'a [f32]> {
        match self.data {
            Data::F32(x) => Ok(x),
            Data::F64(_) => Err(Error::value("view", "element type").expected("f32").got("f64").hint("use as_f64 or to_vec")),
        }
    }

    /// The elements, if they are f64.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a batch in f32.
    pub fn as_f64(&self) -> Result<&'a [f64]> {
        match self.data {
            Data::F64(x) => Ok(x),
            Data::F32(_) => Err(Error::value("view", "element type").expected("f64").got("f32").hint("use as_f32 or to_vec")),
        }
    }

    /// Row `i`, if the batch is f32.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a batch in f64 or a row past the end.
    pub fn row(&self, i: usize) -> Result<&'a [f32]> {
        if i >= self.rows {
            return Err(Error::value("view", "row past the end").expected(format!("below {}", self.rows)).got(i));
        }
        let n = self.extent.len();
        Ok(&self.as_f32()?[i * n..(i + 1) * n])
    }

    /// A copy of the elements as f32, whatever they are.
    pub fn to_vec(&self) -> Vec<f32> {
        match self.data {
            Data::F32(x) => x.to_vec(),
            Data::F64(x) => x.iter().map(|&x| x as f32).collect(),
        }
    }
}

#[cold]
fn uneven(extent: Extent, len: usize) -> Error {
    let e = Error::shape("view", "data is no whole number of rows");
    e.expected(format!("a multiple of {} ({extent})", extent.len())).got(len)
}

/// What [`Model::forward`](super::Model::forward) takes: one batch, or one for each input of the network.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'a> {
    /// For networks with one input.
    One(View<'a>),
    /// In the order of [`Network::inputs`](super::Network::inputs).
    Many(&'a [View<'a>]),
}

impl<'a> Inputs<'a> {
    pub(crate) fn as_slice(&self) -> &[View<'a>] {
        match self {
            Self::One(view) => std::slice::from_ref(view),
            Self::Many(views) => views,
        }
    }
}

impl<'a> From<View<'a>> for Inputs<'a> {
    fn from(view: View<'a>) -> Self {
        Self::One(view)
    }
}

impl<'a> From<&'a [View<'a>]> for Inputs<'a> {
    fn from(views: &'a [View<'a>]) -> Self {
        Self::Many(views)
    }
}

impl<'a, const N: usize> From<&'a [View<'a>; N]> for Inputs<'a> {
    fn from(views: &'a [View<'a>; N]) -> Self {
        Self::Many(views)
    }
}

/// Where a backward pass begins.
#[derive(Clone, Copy, Debug)]
pub enum Seed<'a> {
    /// At the gradients that [`Model::loss`](super::Model::loss) computed.
    Loss,
    /// At this gradient wrt the first output.
    Output(View<'a>),
    /// At these gradients wrt the outputs, in their order; `None` is zero.
    Outputs(&'a [Option<View<'a>>]),
    /// At this gradient wrt the output of a node of [`Model::seed_at`](super::Model::seed_at), or of one that is an output.
    Node(NodeId, View<'a>),
}

impl<'a> From<View<'a>> for Seed<'a> {
    fn from(view: View<'a>) -> Self {
        Self::Output(view)
    }
}

/// The target of one loss.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// Numbers: one-hot or soft classes, regression values.
    Values(View<'a>),
    /// Class indices, one for each position of each row.
    Classes(&'a [u32]),
    /// For a loss that takes none.
    None,
}

impl Targets<'_> {
    /// Whether this is a target of `rows` rows of just this kind.
    pub(super) fn fits(&self, kind: Target, rows: usize) -> bool {
        match (self, kind) {
            (Self::Values(view), Target::Values(extent)) => view.rows() == rows && view.extent().len() == extent.len(),
            (Self::Classes(labels), Target::Index { positions, .. }) => labels.len() == rows * positions,
            (Self::None, Target::None) => true,
            _ => false,
        }
    }

    /// Whether these are labels that one-hot numbers can stand for. One channel has no room for two classes.
    pub(super) fn converts(&self, kind: Target, rows: usize) -> bool {
        matches!((self, kind), (Self::Classes(labels), Target::Values(e)) if e.c > 1 && labels.len() == rows * e.area())
    }
}

impl std::fmt::Display for Targets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Values(view) => write!(f, "{} rows of {}", view.rows(), view.extent()),
            Self::Classes(labels) => write!(f, "{} labels", labels.len()),
            Self::None => f.write_str("no target"),
        }
    }
}

impl<'a> From<View<'a>> for Targets<'a> {
    fn from(view: View<'a>) -> Self {
        Self::Values(view)
    }
}

impl<'a> From<&'a [u32]> for Targets<'a> {
    fn from(labels: &'a [u32]) -> Self {
        Self::Classes(labels)
    }
}
