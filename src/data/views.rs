//! Pairs of views: what contrastive learning is shown.

use super::{Dataset, Pick};
use crate::loss::Target;
use crate::rng::{Draws, Purpose, Stream};
use crate::{Error, Extent, Result};
use std::sync::Arc;

/// How a view is drawn from a sample.
type Draw = dyn Fn(&[f32], &mut Stream, &mut [f32]) + Send + Sync;

/// Two views of each sample of another set, one after the other in one input, and no targets.
///
/// A view is drawn by the user's function from a stream of its own: a pure function of (seed, epoch, index, view), whatever the
/// number of threads. The views lie along the first axis before the samples' own that is 1: two spectra become an image of two
/// lines, two images a cube of two planes. Convolutions with a window of 1 along that axis treat both alike;
/// [`NtXent`](crate::loss::NtXent) is the loss for them.
///
/// # Examples
/// ```
/// use kamacite::data::{Dataset, Pick, Samples, TwoViews};
/// use kamacite::Extent;
/// let spectra = Samples::new(Extent::line(3, 1), vec![1., 2., 3., 4., 5., 6.])?;
/// let views = TwoViews::new(spectra, |x, random, view| {
///     let scale = random.between(0.5, 2.0) as f32;
///     view.iter_mut().zip(x).for_each(|(view, x)| *view = scale * x);
/// })?;
/// let mut x = [0.0; 6];
/// views.input(Pick { index: 1, epoch: 0, seed: 7 }, 0, &mut x)?;
/// assert_eq!(views.inputs(), [Extent::image(2, 3, 1)]);
/// assert!((x[2] / x[0] - 1.5).abs() < 1e-6 && x[0] != x[3]);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone)]
pub struct TwoViews {
    data: Arc<dyn Dataset>,
    extent: [Extent; 1],
    len: usize,
    draw: Arc<Draw>,
}

impl TwoViews {
    /// Views of the only input of a set; `draw(sample, random, view)` writes every value of one.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for a set of several inputs, and for cubes, which leave no axis for the views.
    pub fn new(
        data: impl Into<Arc<dyn Dataset>>,
        draw: impl Fn(&[f32], &mut Stream, &mut [f32]) + Send + Sync + 'static,
    ) -> Result<Self> {
        let data = data.into();
        let [x] = *data.inputs() else {
            return Err(Error::shape("two views", "inputs of the data set").expected(1).got(data.inputs().len()));
        };
        let extent = match x {
            Extent { d: 1, h: 1, .. } => Extent { h: 2, ..x },
            Extent { d: 1, .. } => Extent { d: 2, ..x },
            _ => return Err(Error::shape("two views", "no axis is left for them").expected("lines or images").got(x)),
        };
        Ok(Self { data, extent: [extent], len: x.len(), draw: Arc::new(draw) })
    }
}

impl Dataset for TwoViews {
    fn len(&self) -> usize {
        self.data.len()
    }

    fn inputs(&self) -> &[Extent] {
        &self.extent
    }

    fn targets(&self) -> &[Target] {
        &[]
    }

    fn input(&self, pick: Pick, _: usize, x: &mut [f32]) -> Result<()> {
        if x.len() != 2 * self.len {
            return Err(Error::shape("two views", "values of a sample").expected(2 * self.len).got(x.len()));
        }
        let (first, second) = x.split_at_mut(self.len);
        // The sample lies in the place of the second view until that is drawn.
        self.data.input(pick, 0, second)?;
        let words = Draws::new(pick.seed, Purpose::Augment, pick.epoch).block(VIEWS ^ pick.index as u64);
        let stream = |k: usize| Stream::new(u64::from(words[k]) << 32 | u64::from(words[k + 1]), Purpose::Augment, 0);
        (self.draw)(second, &mut stream(0), first);
        let sample = second.to_vec();
        (self.draw)(&sample, &mut stream(2), second);
        Ok(())
    }

    fn values(&self, _: Pick, target: usize, _: &mut [f32]) -> Result<()> {
        Err(Error::shape("two views", format!("no target {target}")))
    }

    fn classes(&self, _: Pick, target: usize, _: &mut [u32]) -> Result<()> {
        Err(Error::shape("two views", format!("no target {target}")))
    }

    fn weight(&self, index: usize) -> f32 {
        self.data.weight(index)
    }

    fn waits(&self) -> bool {
        self.data.waits()
    }

    fn is_skipped(&self, pick: Pick) -> bool {
        self.data.is_skipped(pick)
    }

    fn skipped(&self) -> Vec<String> {
        self.data.skipped()
    }
}

/// Keeps these draws apart from those of augmentations, whose blocks are numbered by samples.
const VIEWS: u64 = 1 << 63;

impl From<TwoViews> for Arc<dyn Dataset> {
    fn from(views: TwoViews) -> Self {
        Arc::new(views)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Samples, Subset};

    #[test]
    fn views_follow_from_seed_epoch_and_index() -> Result<()> {
        let samples = Samples::new(Extent::image(2, 2, 3), (0..48).map(|i| i as f32).collect())?;
        let samples = samples.with_classes(vec![0, 1, 0, 1], 2)?.with_weights(vec![1.0, 0.0, 2.0, 1.0])?;
        let views = TwoViews::new(samples.clone(), |x, r, view| {
            let shift = r.uniform() as f32;
            view.iter_mut().zip(x).for_each(|(view, x)| *view = x + shift);
        })?;
        assert_eq!((views.inputs(), views.targets().len(), views.len()), (&[Extent::cube(2, 2, 2, 3)][..], 0, 4));
        assert_eq!((views.weight(1), views.weight(2), views.varies()), (0.0, 2.0, true));
        let read = |index: usize, epoch: u64, seed: u64| {
            let mut x = vec![f32::NAN; 24];
            views.input(Pick { index, epoch, seed }, 0, &mut x).map(|()| x)
        };
        let first = read(1, 3, 9)?;
        assert_eq!(first, read(1, 3, 9)?);
        let shift = |x: &[f32], index: usize, view: usize| x[12 * view] - 12.0 * index as f32;
        assert!((0..12).all(|i| (first[i] - first[12 + i] - (first[0] - first[12])).abs() < 1e-5));
        let mut shifts = vec![shift(&first, 1, 0), shift(&first, 1, 1)];
        for (index, epoch, seed) in [(2, 3, 9), (1, 4, 9), (1, 3, 10)] {
            let x = read(index, epoch, seed)?;
            shifts.extend([shift(&x, index, 0), shift(&x, index, 1)]);
        }
        assert!(shifts.iter().all(|s| (0.0..1.0).contains(s)));
        shifts.sort_by(f32::total_cmp);
        assert!(shifts.windows(2).all(|s| s[0] != s[1]), "{shifts:?}");
        // Errors of the set below come through, and what has no place for views is refused.
        assert!(read(4, 0, 0).is_err() && TwoViews::new(Subset::new(samples.clone(), vec![1])?, |_, _, _| ()).is_ok());
        let two = samples.with_input(Extent::flat(1), vec![0.0; 4])?;
        let cube = Samples::new(Extent::cube(2, 2, 2, 1), vec![0.0; 8])?;
        assert!(TwoViews::new(two, |_, _, _| ()).is_err() && TwoViews::new(cube, |_, _, _| ()).is_err());
        Ok(())
    }
}
