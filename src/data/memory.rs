//! Samples in memory, from plain arrays.

mod dataset;
mod values;

use super::layout::{Layout, whole};
use super::{Dataset, Missing, Pick};
use crate::loss::Target;
use crate::{Error, Extent, Result};
use std::sync::Arc;
pub(super) use values::{Stored, Values};

/// More classes than any data set has: identifiers taken for labels must not make tables of counts fill the memory.
const MOST_CLASSES: usize = 1 << 24;

/// The values of one target.
#[derive(Clone, Debug, PartialEq)]
enum Column {
    Values(Vec<f32>),
    Index(Vec<u32>),
}

/// A data set of plain arrays: inputs, targets, weights and names, each sample after the other.
///
/// # Shapes
/// Each input is (n, d, h, w, c); a target of classes is (n, positions), a target of values (n, d, h, w, c).
///
/// # Errors
/// Every builder refuses lengths that do not fit, values that are not finite and labels out of range.
///
/// # Examples
/// ```
/// use kamacite::data::{Dataset, Samples};
/// use kamacite::Extent;
/// let x = vec![0., 0., 0., 1., 1., 0., 1., 1.];
/// let or = Samples::new(Extent::flat(2), x)?.with_classes(vec![0, 1, 1, 1], 2)?;
/// assert_eq!((or.len(), or.labels(0)), (4, Some(&[0, 1, 1, 1][..])));
/// let (train, test) = or.split(3)?;
/// assert_eq!((train.len(), test.x(0)), (3, &[1.0, 1.0][..]));
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    n: usize,
    inputs: Vec<Extent>,
    x: Vec<Values>,
    targets: Vec<Target>,
    t: Vec<Column>,
    weights: Option<Vec<f32>>,
    names: Option<Vec<String>>,
    class_names: Vec<String>,
}

impl Samples {
    /// Samples of this extent, one after another, channels last; their number follows from the length.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if `x` is no whole number of samples,
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) if a value is NaN or infinite.
    pub fn new(extent: Extent, x: Vec<f32>) -> Result<Self> {
        Self::with_missing(extent, x, Missing::Error)
    }

    /// As [`Samples::new`], with another policy for values that are NaN or infinite.
    ///
    /// # Errors
    /// As [`Samples::new`].
    pub fn with_missing(extent: Extent, mut x: Vec<f32>, missing: Missing) -> Result<Self> {
        let n = whole(extent.check()?, x.len(), "input 0")?;
        missing.treat("input 0", &mut x, extent.len())?;
        Ok(Self::of(extent, n, Values::Wide(x)))
    }

    /// Samples that stay as a file held them until somebody asks for numbers.
    pub(super) fn stored(extent: Extent, x: Stored) -> Result<Self> {
        let n = whole(extent.check()?, x.len, "input 0")?;
        Ok(Self::of(extent, n, Values::Stored(x)))
    }

    fn of(extent: Extent, n: usize, x: Values) -> Self {
        let (inputs, x) = (vec![extent], vec![x]);
        Self { n, inputs, x, targets: vec![], t: vec![], weights: None, names: None, class_names: vec![] }
    }

    /// As [`Samples::new`] from an array in another order, which is permuted once.
    ///
    /// # Errors
    /// As [`Samples::new`].
    ///
    /// # Examples
    /// ```
    /// use kamacite::data::{Layout, Samples};
    /// use kamacite::Extent;
    /// let planes = vec![1., 2., 3., 10., 20., 30.]; // one sample, two channels of three pixels
    /// let x = Samples::from_layout(Layout::ChannelsFirst, Extent::line(3, 2), planes)?;
    /// assert_eq!(x.x(0), [1., 10., 2., 20., 3., 30.]);
    /// # Ok::<(), kamacite::Error>(())
    /// ```
    pub fn from_layout(layout: Layout, extent: Extent, x: Vec<f32>) -> Result<Self> {
        Self::new(extent, layout.to_channels_last(extent, x)?)
    }

    fn fits(&self, place: &str, got: usize, per_sample: usize) -> Result<()> {
        if self.n.checked_mul(per_sample) == Some(got) {
            return Ok(());
        }
        let expected = format!("{per_sample} for each of {} samples", self.n);
        Err(Error::shape(place, "wrong number of values").expected(expected).got(got))
    }

    /// Adds another input.
    ///
    /// # Errors
    /// As [`Samples::new`], and if the number of samples differs.
    pub fn with_input(mut self, extent: Extent, x: Vec<f32>) -> Result<Self> {
        self.add_input(extent, x)?;
        Ok(self)
    }

    /// As [`Samples::with_input`], in place: refused values leave the samples as they were.
    ///
    /// # Errors
    /// As [`Samples::with_input`].
    pub fn add_input(&mut self, extent: Extent, mut x: Vec<f32>) -> Result<()> {
        let place = format!("input {}", self.x.len());
        self.fits(&place, x.len(), extent.check()?.len())?;
        Missing::Error.treat(place, &mut x, extent.len())?;
        self.inputs.push(extent);
        self.x.push(Values::Wide(x));
        Ok(())
    }

    /// Adds a target of class indices below `classes`: one for each sample, or a map of them.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the labels are no whole number for each sample,
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a label out of range.
    pub fn with_classes(mut self, labels: Vec<u32>, classes: usize) -> Result<Self> {
        self.add_classes(labels, classes)?;
        Ok(self)
    }

    /// As [`Samples::with_classes`], in place.
    ///
    /// # Errors
    /// As [`Samples::with_classes`].
    pub fn add_classes(&mut self, labels: Vec<u32>, classes: usize) -> Result<()> {
        let place = format!("target {}", self.t.len());
        if classes > MOST_CLASSES {
            let hint = "labels count from 0; is this the right column?";
            return Err(Error::value(place, "too many classes")
                .expected(format!("at most {MOST_CLASSES}"))
                .got(classes)
                .hint(hint));
        }
        let positions = (labels.len() / self.n).max(1);
        self.fits(&place, labels.len(), positions)?;
        if let Some(i) = labels.iter().position(|&l| l as usize >= classes) {
            return Err(Error::value(place, format!("label of sample {} is out of range", i / positions))
                .expected(format!("below {classes}"))
                .got(labels[i])
                .hint("labels count from 0"));
        }
        self.targets.push(Target::Index { classes, positions });
        self.t.push(Column::Index(labels));
        Ok(())
    }

    /// Adds a target of numbers: regression values, one-hot or soft classes, an image.
    ///
    /// # Errors
    /// As [`Samples::with_input`].
    pub fn with_values(mut self, extent: Extent, t: Vec<f32>) -> Result<Self> {
        self.add_values(extent, t)?;
        Ok(self)
    }

    /// As [`Samples::with_values`], in place.
    ///
    /// # Errors
    /// As [`Samples::with_values`].
    pub fn add_values(&mut self, extent: Extent, mut t: Vec<f32>) -> Result<()> {
        let place = format!("target {}", self.t.len());
        self.fits(&place, t.len(), extent.check()?.len())?;
        Missing::Error.treat(place, &mut t, extent.len())?;
        self.targets.push(Target::Values(extent));
        self.t.push(Column::Values(t));
        Ok(())
    }

    /// Adds the weight of each sample in the loss; 0 leaves a sample out.
    ///
    /// # Errors
    /// Another number than one for each sample; a weight that is negative or not finite.
    pub fn with_weights(mut self, weights: Vec<f32>) -> Result<Self> {
        self.set_weights(weights)?;
        Ok(self)
    }

    /// As [`Samples::with_weights`], in place.
    ///
    /// # Errors
    /// As [`Samples::with_weights`].
    pub fn set_weights(&mut self, weights: Vec<f32>) -> Result<()> {
        self.fits("weights", weights.len(), 1)?;
        if let Some(i) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            let what = format!("weight of sample {i}");
            return Err(Error::value("weights", what).expected("a finite number of at least 0").got(weights[i]));
        }
        self.weights = Some(weights);
        Ok(())
    }

    /// Adds a name for each sample: a file, an identifier in a catalogue.
    ///
    /// # Errors
    /// Another number than one for each sample.
    pub fn with_names(mut self, names: Vec<String>) -> Result<Self> {
        self.fits("names", names.len(), 1)?;
        self.names = Some(names);
        Ok(self)
    }

    /// Adds the names of the classes.
    #[must_use]
    pub fn with_class_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.set_class_names(names);
        self
    }

    /// As [`Samples::with_class_names`], in place.
    pub fn set_class_names(&mut self, names: impl IntoIterator<Item = impl Into<String>>) {
        self.class_names = names.into_iter().map(Into::into).collect();
    }

    /// Replaces a target of classes by one row of values for each label: 1 at the label, 0 elsewhere.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) if the target is not one label for each sample.
    ///
    /// # Examples
    /// ```
    /// use kamacite::data::Samples;
    /// use kamacite::Extent;
    /// let mut or = Samples::new(Extent::flat(1), vec![0., 1.])?.with_classes(vec![0, 1], 2)?;
    /// or.one_hot(0)?;
    /// assert_eq!(or.t(0), Some(&[1., 0., 0., 1.][..]));
    /// # Ok::<(), kamacite::Error>(())
    /// ```
    pub fn one_hot(&mut self, target: usize) -> Result<()> {
        let (Some(Target::Index { classes, positions: 1 }), Some(Column::Index(labels))) =
            (self.targets.get(target).copied(), self.t.get(target))
        else {
            let got = self.targets.get(target).map_or_else(|| "none".to_string(), |t| format!("{t:?}"));
            return Err(Error::value(format!("target {target}"), "kind").expected("one label for each sample").got(got));
        };
        self.t[target] = Column::Values(super::classes::one_hot(labels, classes)?);
        self.targets[target] = Target::Values(Extent::flat(classes));
        Ok(())
    }

    /// The values of an input, (n, d, h, w, c); empty if there is no such input.
    pub fn x(&self, input: usize) -> &[f32] {
        self.x.get(input).map_or(&[], Values::get)
    }

    /// The values of an input, to be changed in place.
    pub fn x_mut(&mut self, input: usize) -> &mut [f32] {
        self.x.get_mut(input).map_or(&mut [], Values::get_mut)
    }

    /// The extent of an input.
    pub fn extent(&self, input: usize) -> Option<Extent> {
        self.inputs.get(input).copied()
    }

    /// The class indices of a target, if it is one of classes.
    pub fn labels(&self, target: usize) -> Option<&[u32]> {
        match self.t.get(target)? {
            Column::Index(t) => Some(t),
            Column::Values(_) => None,
        }
    }

    /// The values of a target, if it is one of values.
    pub fn t(&self, target: usize) -> Option<&[f32]> {
        match self.t.get(target)? {
            Column::Values(t) => Some(t),
            Column::Index(_) => None,
        }
    }

    /// The values of a target, to be changed in place.
    pub fn t_mut(&mut self, target: usize) -> Option<&mut [f32]> {
        match self.t.get_mut(target)? {
            Column::Values(t) => Some(t),
            Column::Index(_) => None,
        }
    }

    /// The weights, if any were given.
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// The names of the samples, if any were given.
    pub fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// The names of the classes; empty if none were given.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// A copy of these samples, in this order; an index may come several times.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for an index out of range, and for no index at all.
    pub fn subset(&self, indices: &[usize]) -> Result<Self> {
        check_indices(indices, self.n)?;
        let rows = |x: &Vec<f32>| pick_rows(x, x.len() / self.n, indices);
        Ok(Self {
            n: indices.len(),
            inputs: self.inputs.clone(),
            x: self.x.iter().map(|x| x.rows(x.len() / self.n, indices)).collect(),
            targets: self.targets.clone(),
            t: self
                .t
                .iter()
                .map(|t| match t {
                    Column::Values(t) => Column::Values(rows(t)),
                    Column::Index(t) => Column::Index(pick_rows(t, t.len() / self.n, indices)),
                })
                .collect(),
            weights: self.weights.as_ref().map(rows),
            names: self.names.as_ref().map(|names| indices.iter().map(|&i| names[i].clone()).collect()),
            class_names: self.class_names.clone(),
        })
    }

    /// The first `first` samples and the others.
    ///
    /// # Errors
    /// If one of the two would be empty.
    pub fn split(&self, first: usize) -> Result<(Self, Self)> {
        if first == 0 || first >= self.n {
            return Err(Error::value("split", "a part would be empty")
                .expected(format!("1 to {}", self.n.saturating_sub(1)))
                .got(first));
        }
        let (head, tail): (Vec<_>, Vec<_>) = ((0..first).collect(), (first..self.n).collect());
        Ok((self.subset(&head)?, self.subset(&tail)?))
    }

    /// Multiplies every value of input 0: 1/255 brings bytes to 0..1.
    #[must_use]
    pub fn scaled(mut self, factor: f32) -> Self {
        self.x[0].scale(factor);
        self
    }

    /// Input 0 with further positions of `value` after the last on each axis: a spectrum of 3753 pixels to 3776.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the new extent is smaller on an axis.
    pub fn padded(mut self, to: Extent, value: f32) -> Result<Self> {
        self.pad(to, value)?;
        Ok(self)
    }

    /// As [`Samples::padded`], in place.
    ///
    /// # Errors
    /// As [`Samples::padded`].
    pub fn pad(&mut self, to: Extent, value: f32) -> Result<()> {
        let from = self.inputs[0];
        if to.check()?.c < from.c || to.d < from.d || to.h < from.h || to.w < from.w {
            let e = Error::shape("padded", "smaller than the samples").expected(format!("at least {from}")).got(to);
            let table = from.area() == 1 && from.c > to.c;
            return Err(if table {
                e.hint("rows of a table lie along c: reshape them, to a line or an image, first")
            } else {
                e
            });
        }
        let Some(len) = self.n.checked_mul(to.len()).filter(|&len| len <= isize::MAX as usize / 4) else {
            return Err(Error::shape("padded", "too large").got(format!("{} samples of {to}", self.n)));
        };
        let mut y = super::file::reserve("padded", len)?;
        y.resize(len, value);
        for (x, y) in self.x[0].get().chunks_exact(from.len()).zip(y.chunks_exact_mut(to.len())) {
            for (line, x) in x.chunks_exact(from.c).enumerate() {
                let (d, h, w) = (line / (from.w * from.h), line / from.w % from.h, line % from.w);
                let at = ((d * to.h + h) * to.w + w) * to.c;
                y[at..at + from.c].copy_from_slice(x);
            }
        }
        self.inputs[0] = to;
        self.x[0] = Values::Wide(y);
        Ok(())
    }

    /// Input 0 seen as another extent of as many values: rows of a table as spectra or images.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the number of values differs.
    pub fn reshaped(mut self, to: Extent) -> Result<Self> {
        self.reshape(to)?;
        Ok(self)
    }

    /// As [`Samples::reshaped`], in place.
    ///
    /// # Errors
    /// As [`Samples::reshaped`].
    pub fn reshape(&mut self, to: Extent) -> Result<()> {
        let from = self.inputs[0];
        if to.check()?.len() != from.len() {
            return Err(Error::shape("reshaped", "another number of values").expected(from).got(to));
        }
        self.inputs[0] = to;
        Ok(())
    }

    fn row<'a, T>(&self, x: Option<&'a [T]>, what: &str, k: usize, pick: Pick, out: usize) -> Result<&'a [T]> {
        let at = self.place(x.map(<[T]>::len), what, k, pick, out)?;
        Ok(&x.unwrap_or(&[])[at..][..out])
    }

    /// Where the `out` values of a sample begin among all `len` of them.
    fn place(&self, len: Option<usize>, what: &str, k: usize, pick: Pick, out: usize) -> Result<usize> {
        let len = len.ok_or_else(|| Error::shape("samples", format!("no {what} {k}")))?;
        if pick.index >= self.n || len != out * self.n {
            let expected = format!("an index below {} and room for {} values", self.n, len / self.n);
            return Err(Error::shape("samples", format!("reading {what} {k}"))
                .expected(expected)
                .got(format!("{} and {out}", pick.index)));
        }
        Ok(pick.index * out)
    }
}

pub(crate) fn check_indices(indices: &[usize], n: usize) -> Result<()> {
    if indices.is_empty() {
        return Err(Error::value("subset", "no samples chosen"));
    }
    match indices.iter().find(|&&i| i >= n) {
        Some(i) => Err(Error::value("subset", "index out of range").expected(format!("below {n}")).got(i)),
        None => Ok(()),
    }
}

fn pick_rows<T: Copy>(x: &[T], len: usize, indices: &[usize]) -> Vec<T> {
    let mut y = Vec::with_capacity(len * indices.len());
    indices.iter().for_each(|&i| y.extend_from_slice(&x[i * len..][..len]));
    y
}

impl From<Samples> for Arc<dyn Dataset> {
    fn from(samples: Samples) -> Self {
        Arc::new(samples)
    }
}

#[cfg(test)]
mod tests;
