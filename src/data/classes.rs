//! Class indices and one-hot rows, and back; weights against unequal classes.

use super::{Dataset, Pick};
use crate::loss::Target;
use crate::{Error, Real, Result};

/// One row of `classes` values for each label: 1 at the label, 0 elsewhere.
///
/// # Errors
/// [`ErrorKind::Value`](crate::ErrorKind::Value) for a label out of range.
///
/// # Examples
/// ```
/// use kamacite::data::classes::{argmax, one_hot};
/// let t = one_hot(&[2, 0], 3)?;
/// assert_eq!(t, [0., 0., 1., 1., 0., 0.]);
/// assert_eq!(argmax(&t, 3)?, [2, 0]);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn one_hot(labels: &[u32], classes: usize) -> Result<Vec<f32>> {
    let len = super::file::product("one_hot", [labels.len(), classes])?;
    let mut t: Vec<f32> = super::file::reserve("one_hot", len)?;
    t.resize(len, 0.0);
    for (i, (&label, t)) in labels.iter().zip(t.chunks_exact_mut(classes.max(1))).enumerate() {
        let one = t.get_mut(label as usize).ok_or_else(|| out_of_range(i, label, classes))?;
        *one = 1.0;
    }
    match labels.first() {
        Some(&label) if classes == 0 => Err(out_of_range(0, label, classes)),
        _ => Ok(t),
    }
}

fn out_of_range(sample: usize, label: u32, classes: usize) -> Error {
    let place = format!("label of sample {sample}");
    Error::value(place, "out of range").expected(format!("below {classes}")).got(label).hint("labels count from 0")
}

/// The position of the largest value in each row of `classes`; of equal values the first.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for no whole number of rows, [`ErrorKind::Value`](crate::ErrorKind::Value) for NaN.
pub fn argmax<T: Real>(t: &[T], classes: usize) -> Result<Vec<u32>> {
    if classes == 0 || !t.len().is_multiple_of(classes) || u32::try_from(classes).is_err() {
        return Err(Error::shape("argmax", "no whole number of rows").expected(format!("a multiple of {classes}")).got(t.len()));
    }
    let row = |(i, row): (usize, &[T])| {
        if row.iter().any(|t| t.to_f64().is_nan()) {
            return Err(Error::value(format!("row {i}"), "NaN has no order"));
        }
        Ok((1..classes).fold(0, |best, c| if row[c] > row[best] { c } else { best }) as u32)
    };
    t.chunks_exact(classes).enumerate().map(row).collect()
}

/// The class of every sample, read from a target that holds one label, or one row of values, for each.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for a target that is none of both; what reading may meet.
pub fn labels(data: &dyn Dataset, target: usize) -> Result<Vec<u32>> {
    let kind = data.targets().get(target).copied();
    let mut labels = Vec::with_capacity(data.len());
    let mut row = match kind {
        Some(Target::Index { positions: 1, .. }) => vec![],
        Some(Target::Values(e)) if e.area() == 1 => vec![0.0; e.c],
        other => {
            let got = other.map_or("no such target".to_string(), |t| format!("{t:?}"));
            return Err(Error::shape(format!("target {target}"), "one class for each sample is needed").got(got));
        }
    };
    for index in 0..data.len() {
        let (pick, mut label) = (Pick { index, epoch: 0, seed: 0 }, [0]);
        if row.is_empty() {
            data.classes(pick, target, &mut label)?;
        } else {
            data.values(pick, target, &mut row)?;
            label[0] = argmax(&row, row.len()).map_err(|e| e.at(format!("sample {index}")))?[0];
        }
        labels.push(label[0]);
    }
    Ok(labels)
}

/// How many samples each class has.
///
/// # Errors
/// [`ErrorKind::Value`](crate::ErrorKind::Value) for a label out of range.
pub fn counts(labels: &[u32], classes: usize) -> Result<Vec<usize>> {
    let mut counts: Vec<usize> = super::file::reserve("counts", classes)?;
    counts.resize(classes, 0);
    for (i, &label) in labels.iter().enumerate() {
        *counts.get_mut(label as usize).ok_or_else(|| out_of_range(i, label, classes))? += 1;
    }
    Ok(counts)
}

/// A weight for each sample that gives every class the same total: n / (classes present · count of its class), at most `most`.
///
/// # Errors
/// [`ErrorKind::Value`](crate::ErrorKind::Value) for a label out of range.
///
/// # Examples
/// ```
/// use kamacite::data::classes::weights;
/// assert_eq!(weights(&[0, 0, 0, 1], 2, 10.0)?, [2. / 3., 2. / 3., 2. / 3., 2.]);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn weights(labels: &[u32], classes: usize, most: f32) -> Result<Vec<f32>> {
    let counts = counts(labels, classes)?;
    let present = counts.iter().filter(|&&n| n > 0).count();
    let weight = |&label: &u32| (labels.len() as f64 / (present * counts[label as usize]) as f64) as f32;
    Ok(labels.iter().map(|label| weight(label).min(most)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Extent;
    use crate::data::Samples;

    #[test]
    fn refuses_bad_labels_and_rows() {
        assert!(
            one_hot(&[3], 3).is_err() && one_hot(&[0], 0).is_err() && counts(&[2], 2).is_err() && weights(&[1], 1, 1.0).is_err()
        );
        assert!(one_hot(&[0; 4], usize::MAX).is_err());
        assert!(argmax(&[1.0; 4], 3).is_err() && argmax(&[1.0; 4], 0).is_err() && argmax(&[1.0, f32::NAN], 2).is_err());
        assert_eq!(argmax(&[1.0, 1.0, 0.0, 2.0], 2).unwrap(), [0, 1]);
        assert!(weights(&[0, 0, 0, 1], 2, 1.0).unwrap().iter().all(|&w| w <= 1.0));
    }

    #[test]
    fn labels_from_both_kinds_of_target() {
        let s = Samples::new(Extent::flat(1), vec![0.0; 3]).unwrap();
        let s = s.with_classes(vec![1, 0, 2], 3).unwrap().with_values(Extent::flat(3), one_hot(&[2, 1, 0], 3).unwrap()).unwrap();
        let s = s.with_classes(vec![0; 6], 3).unwrap();
        assert_eq!(labels(&s, 0).unwrap(), [1, 0, 2]);
        assert_eq!(labels(&s, 1).unwrap(), [2, 1, 0]);
        assert!(labels(&s, 2).is_err() && labels(&s, 3).is_err());
    }
}
