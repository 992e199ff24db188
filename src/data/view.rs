//! Views over a data set that copy nothing: a part of it, or its classes in equal shares.

use super::{Dataset, Pick, Raw, Scaling, classes, split};
use crate::loss::Target;
use crate::rng::{Draws, Purpose};
use crate::{Error, Extent, Result};
use std::sync::Arc;

/// Some samples of another set, in this order.
///
/// # Examples
/// ```
/// use kamacite::data::{Dataset, Samples, Subset};
/// use kamacite::Extent;
/// let all = Samples::new(Extent::flat(1), vec![0., 10., 20.])?;
/// let part = Subset::new(all, vec![2, 0])?;
/// assert_eq!(part.len(), 2);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone)]
pub struct Subset {
    data: Arc<dyn Dataset>,
    indices: Vec<usize>,
}

impl Subset {
    /// The samples at these indices; an index may come several times.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for an index out of range, and for no index at all.
    pub fn new(data: impl Into<Arc<dyn Dataset>>, indices: Vec<usize>) -> Result<Self> {
        let data = data.into();
        super::memory::check_indices(&indices, data.len())?;
        Ok(Self { data, indices })
    }

    /// The index in the underlying set of each sample.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    fn inner(&self, pick: Pick) -> Result<Pick> {
        let index = self.indices.get(pick.index).copied();
        let index =
            index.ok_or_else(|| Error::shape("subset", "index out of range").expected(self.indices.len()).got(pick.index))?;
        Ok(Pick { index, ..pick })
    }
}

/// Draws, for each index of each epoch, first a class (all equally likely) and then a sample of that class.
///
/// Sample i of epoch e under seed s is a pure function of (s, e, i), whatever the number of threads. An epoch has as many draws
/// as the set has samples; some samples come several times, others not at all.
///
/// # Examples
/// ```
/// use kamacite::data::{Balanced, Samples};
/// use kamacite::Extent;
/// let rare = Samples::new(Extent::flat(1), vec![0.; 100])?.with_classes((0..100).map(|i| u32::from(i == 7)).collect(), 2)?;
/// let drawn = Balanced::new(rare, 0)?;
/// let sevens = drawn.epoch(0, 42).filter(|&i| i == 7).count();
/// assert!((30..70).contains(&sevens));
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone)]
pub struct Balanced {
    data: Arc<dyn Dataset>,
    members: Vec<Vec<usize>>,
}

impl Balanced {
    /// Balances by the classes of target `target`: one label, or one row of values, for each sample.
    ///
    /// # Errors
    /// As [`classes::labels`]; and for a set whose weights differ, which a drawn order cannot carry.
    pub fn new(data: impl Into<Arc<dyn Dataset>>, target: usize) -> Result<Self> {
        let data = data.into();
        let labels = classes::labels(&*data, target)?;
        if let Some(i) = (0..data.len()).find(|&i| data.weight(i) != data.weight(0)) {
            let hint = "use either weights or a balanced order";
            return Err(Error::value("balanced", format!("sample {i} has another weight than the first")).hint(hint));
        }
        let classes = labels.iter().max().map_or(0, |&l| l as usize + 1);
        let mut members = split::by_class(&labels, classes)?;
        members.retain(|m| !m.is_empty());
        if members.is_empty() {
            return Err(Error::value("balanced", "no samples"));
        }
        Ok(Self { data, members })
    }

    /// The samples drawn in one epoch.
    pub fn epoch(&self, epoch: u64, seed: u64) -> impl Iterator<Item = usize> {
        (0..self.data.len()).map(move |index| self.draw(Pick { index, epoch, seed }))
    }

    fn draw(&self, pick: Pick) -> usize {
        let r = Draws::new(pick.seed, Purpose::Split, BALANCED ^ pick.epoch).block(pick.index as u64);
        let below = |n: usize, k: usize| {
            // A 64-bit fraction of n: the bias is below n/2⁶⁴.
            let word = (u64::from(r[k]) << 32) | u64::from(r[k + 1]);
            ((u128::from(word) * n as u128) >> 64) as usize
        };
        let class = &self.members[below(self.members.len(), 0)];
        class[below(class.len(), 2)]
    }

    fn inner(&self, pick: Pick) -> Result<Pick> {
        if pick.index >= self.data.len() {
            return Err(Error::shape("balanced", "index out of range").expected(self.data.len()).got(pick.index));
        }
        Ok(Pick { index: self.draw(pick), ..pick })
    }
}

/// Keeps these draws apart from those of the splits, whose index is a small class number.
const BALANCED: u64 = 1 << 63;

/// A view that replaces the index of a sample and passes the rest on.
macro_rules! redirected {
    ($name:ident, $len:expr, $weight:expr, $varies:expr) => {
        impl Dataset for $name {
            fn len(&self) -> usize {
                $len(self)
            }
            fn inputs(&self) -> &[Extent] {
                self.data.inputs()
            }
            fn targets(&self) -> &[Target] {
                self.data.targets()
            }
            fn input(&self, pick: Pick, input: usize, x: &mut [f32]) -> Result<()> {
                self.data.input(self.inner(pick)?, input, x)
            }
            fn values(&self, pick: Pick, target: usize, t: &mut [f32]) -> Result<()> {
                self.data.values(self.inner(pick)?, target, t)
            }
            fn classes(&self, pick: Pick, target: usize, t: &mut [u32]) -> Result<()> {
                self.data.classes(self.inner(pick)?, target, t)
            }
            fn raw(&self, input: usize) -> Option<Raw> {
                self.data.raw(input)
            }
            fn raw_row(&self, pick: Pick, input: usize, row: &mut [u8]) -> Option<Scaling> {
                self.data.raw_row(self.inner(pick).ok()?, input, row)
            }
            fn weight(&self, index: usize) -> f32 {
                $weight(self, index)
            }
            fn varies(&self) -> bool {
                $varies(self)
            }
            fn waits(&self) -> bool {
                self.data.waits()
            }
            fn is_skipped(&self, pick: Pick) -> bool {
                self.inner(pick).is_ok_and(|pick| self.data.is_skipped(pick))
            }
            fn skipped(&self) -> Vec<String> {
                self.data.skipped()
            }
            fn class_names(&self) -> &[String] {
                self.data.class_names()
            }
        }

        impl From<$name> for Arc<dyn Dataset> {
            fn from(view: $name) -> Self {
                Arc::new(view)
            }
        }
    };
}

redirected!(
    Subset,
    |s: &Subset| s.indices.len(),
    |s: &Subset, i: usize| s.indices.get(i).map_or(0.0, |&i| s.data.weight(i)),
    |s: &Subset| s.data.varies()
);
// Every epoch draws anew.
redirected!(Balanced, |s: &Balanced| s.data.len(), |s: &Balanced, _| s.data.weight(0), |_| true);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Samples;

    fn set(n: usize) -> Samples {
        let labels = (0..n).map(|i| if i % 10 == 0 { 0 } else { 1 + u32::from(i % 10 > 3) * 2 }).collect();
        Samples::new(Extent::flat(1), (0..n).map(|i| i as f32).collect()).unwrap().with_classes(labels, 4).unwrap()
    }

    #[test]
    fn a_subset_reads_the_chosen_samples() {
        let weights: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let part = Subset::new(set(20).with_weights(weights).unwrap(), vec![3, 10, 3]).unwrap();
        let (mut x, mut t) = ([0.0], [9]);
        for (index, (expected, class)) in [(3.0, 1), (10.0, 0), (3.0, 1)].into_iter().enumerate() {
            let pick = Pick { index, epoch: 1, seed: 2 };
            part.input(pick, 0, &mut x).unwrap();
            part.classes(pick, 0, &mut t).unwrap();
            assert_eq!((x[0], t[0], part.weight(index)), (expected, class, expected));
        }
        assert!(part.input(Pick { index: 3, epoch: 0, seed: 0 }, 0, &mut x).is_err());
        assert!(Subset::new(set(5), vec![5]).is_err());
    }

    #[test]
    fn classes_come_equally_often() {
        let n = 9000;
        let view = Balanced::new(set(n), 0).unwrap();
        let labels = classes::labels(&*view.data, 0).unwrap();
        let mut counts = [0.0; 4];
        view.epoch(3, 7).for_each(|i| counts[labels[i] as usize] += 1.0);
        // Class 2 is empty. Five standard deviations of a binomial with p = 1/3.
        let sigma = (n as f64 * 2.0 / 9.0).sqrt();
        assert_eq!(counts[2], 0.0);
        assert!([0, 1, 3].iter().all(|&c: &usize| (counts[c] - 3000.0_f64).abs() < 5.0 * sigma), "{counts:?}");
        let epoch = |e, s| view.epoch(e, s).collect::<Vec<_>>();
        assert!(epoch(0, 1) == epoch(0, 1) && epoch(0, 1) != epoch(1, 1) && epoch(0, 1) != epoch(0, 2));
        let (mut x, pick) = ([0.0], Pick { index: 5, epoch: 3, seed: 7 });
        view.input(pick, 0, &mut x).unwrap();
        assert_eq!(x[0] as usize, epoch(3, 7)[5]);
        assert!(Balanced::new(set(3).with_weights(vec![1., 2., 1.]).unwrap(), 0).is_err());
    }
}
