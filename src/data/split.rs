//! Which samples go where: train, validation, test; folds; limits for each class. All draw from Philox, so a seed says all.

use super::classes::counts;
use crate::rng::{Purpose, Stream};
use crate::{Error, Result};

/// 0..n in random order.
pub fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    Stream::new(seed, Purpose::Split, 0).shuffle(&mut order);
    order
}

/// Cuts 0..n into random parts of these fractions, which add up to 1; sizes are rounded by largest remainder.
///
/// # Errors
/// [`ErrorKind::Value`](crate::ErrorKind::Value) for fractions that are negative or do not add up to 1.
///
/// # Examples
/// ```
/// use kamacite::data::split;
/// let parts = split::fractions(1000, &[0.7, 0.15, 0.15], 42)?;
/// assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [700, 150, 150]);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn fractions(n: usize, fractions: &[f64], seed: u64) -> Result<Vec<Vec<usize>>> {
    check(fractions)?;
    let order = shuffled(n, seed);
    let mut rest = order.as_slice();
    let cut = |size| {
        let (part, others) = rest.split_at(rest.len().min(size));
        rest = others;
        part.to_vec()
    };
    Ok(sizes(n, fractions).into_iter().map(cut).collect())
}

/// As [`fractions`], each class cut in the same proportions (B5 of the course: 70/15/15, stratified, seeded).
///
/// # Errors
/// As [`fractions`], and for labels that are not below `classes`.
pub fn stratified(labels: &[u32], classes: usize, fractions: &[f64], seed: u64) -> Result<Vec<Vec<usize>>> {
    check(fractions)?;
    let mut parts = vec![vec![]; fractions.len()];
    for (class, members) in by_class(labels, classes)?.into_iter().enumerate() {
        let sizes = sizes(members.len(), fractions);
        let mut members = members;
        Stream::new(seed, Purpose::Split, 1 + class as u64).shuffle(&mut members);
        let mut members = members.into_iter();
        parts.iter_mut().zip(sizes).for_each(|(part, size)| part.extend(members.by_ref().take(size)));
    }
    let mut r = Stream::new(seed, Purpose::Split, 0);
    parts.iter_mut().for_each(|part| r.shuffle(part));
    Ok(parts)
}

/// The k pairs (train, validation) of k-fold cross-validation; every sample is in exactly one validation part.
///
/// # Errors
/// [`ErrorKind::Value`](crate::ErrorKind::Value) unless 2 ≤ k ≤ n.
pub fn folds(n: usize, k: usize, seed: u64) -> Result<Vec<(Vec<usize>, Vec<usize>)>> {
    if k < 2 || k > n {
        return Err(Error::value("folds", "number of folds").expected(format!("2 to {n}")).got(k));
    }
    Ok(deal(&shuffled(n, seed), k))
}

/// As [`folds`], each class spread evenly over the folds.
///
/// # Errors
/// As [`folds`], and for labels that are not below `classes`.
pub fn stratified_folds(labels: &[u32], classes: usize, k: usize, seed: u64) -> Result<Vec<(Vec<usize>, Vec<usize>)>> {
    if k < 2 || k > labels.len() {
        return Err(Error::value("folds", "number of folds").expected(format!("2 to {}", labels.len())).got(k));
    }
    let mut order = Vec::with_capacity(labels.len());
    for (class, mut members) in by_class(labels, classes)?.into_iter().enumerate() {
        Stream::new(seed, Purpose::Split, 1 + class as u64).shuffle(&mut members);
        order.append(&mut members);
    }
    Ok(deal(&order, k))
}

/// Every k-th of the order to one fold.
fn deal(order: &[usize], k: usize) -> Vec<(Vec<usize>, Vec<usize>)> {
    let part = |fold: usize, inside: bool| {
        let chosen = order.iter().enumerate().filter(|(i, _)| (i % k == fold) == inside);
        chosen.map(|(_, &index)| index).collect()
    };
    (0..k).map(|fold| (part(fold, false), part(fold, true))).collect()
}

/// The first `caps[c]` samples of each class c, in the order of the data (the course's rebalancing); shuffle first for a random choice.
///
/// # Errors
/// [`ErrorKind::Value`](crate::ErrorKind::Value) for labels without a limit, and if nothing is left.
///
/// # Examples
/// ```
/// use kamacite::data::split::rebalance;
/// assert_eq!(rebalance(&[0, 0, 1, 0, 1, 1], &[1, 2])?, [0, 2, 4]);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn rebalance(labels: &[u32], caps: &[usize]) -> Result<Vec<usize>> {
    counts(labels, caps.len())?;
    let mut left = caps.to_vec();
    let mut keep = |&i: &usize| {
        let left = &mut left[labels[i] as usize];
        let keep = *left > 0;
        *left = left.saturating_sub(1);
        keep
    };
    let chosen: Vec<usize> = (0..labels.len()).filter(&mut keep).collect();
    if chosen.is_empty() { Err(Error::value("rebalance", "no sample is left")) } else { Ok(chosen) }
}

/// The samples of each class, in the order of the data.
///
/// # Errors
/// [`ErrorKind::Value`](crate::ErrorKind::Value) for labels that are not below `classes`.
pub fn by_class(labels: &[u32], classes: usize) -> Result<Vec<Vec<usize>>> {
    let mut members: Vec<Vec<usize>> = counts(labels, classes)?.into_iter().map(Vec::with_capacity).collect();
    labels.iter().enumerate().for_each(|(i, &label)| members[label as usize].push(i));
    Ok(members)
}

fn check(fractions: &[f64]) -> Result<()> {
    let sum: f64 = fractions.iter().sum();
    // Sums of decimal fractions miss 1 by rounding only.
    if fractions.iter().all(|f| *f >= 0.0) && (sum - 1.0).abs() < 1e-9 {
        return Ok(());
    }
    Err(Error::value("split", "fractions").expected("numbers of at least 0 that add up to 1").got(format!("{fractions:?}")))
}

/// n cut by largest remainder: floors first, then one more to those that lost most; equal losses to the earlier.
fn sizes(n: usize, fractions: &[f64]) -> Vec<usize> {
    // 0.7·1000 is 699.99…, which must count as 700: exact products are rounded before the floor is taken.
    let exact = |f: &f64| {
        let x = f * n as f64;
        if (x - x.round()).abs() < 1e-9 * n as f64 { x.round() } else { x }
    };
    let exact: Vec<f64> = fractions.iter().map(exact).collect();
    let mut sizes: Vec<usize> = exact.iter().map(|x| *x as usize).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|&i, &j| exact[j].fract().total_cmp(&exact[i].fract()));
    let mut left = n.saturating_sub(sizes.iter().sum());
    for &i in order.iter().cycle().take(sizes.len() * 2) {
        if left > 0 && fractions[i] > 0.0 {
            sizes[i] += 1;
            left -= 1;
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(parts: &[Vec<usize>]) -> Vec<usize> {
        let mut all: Vec<usize> = parts.concat();
        all.sort_unstable();
        all
    }

    #[test]
    fn every_sample_is_in_one_part_and_sizes_are_within_one() {
        for n in [0, 1, 2, 3, 10, 99, 1000, 1001] {
            for f in [&[0.7, 0.15, 0.15][..], &[1.0], &[0.5, 0.5, 0.0], &[0.1; 10], &[1. / 3., 1. / 3., 1. / 3.]] {
                let parts = fractions(n, f, 5).unwrap();
                assert_eq!(flat(&parts), (0..n).collect::<Vec<_>>());
                assert!(parts.iter().zip(f).all(|(p, f)| (p.len() as f64 - f * n as f64).abs() < 1.0), "{n} {f:?}");
            }
        }
        assert_eq!(fractions(50, &[0.5, 0.5], 1).unwrap(), fractions(50, &[0.5, 0.5], 1).unwrap());
        assert_ne!(fractions(50, &[0.5, 0.5], 1).unwrap(), fractions(50, &[0.5, 0.5], 2).unwrap());
        for bad in [&[0.5][..], &[], &[1.5, -0.5], &[f64::NAN]] {
            assert!(fractions(10, bad, 0).is_err());
        }
    }

    #[test]
    fn classes_keep_their_proportions() {
        let labels: Vec<u32> = (0..1115).map(|i| [0, 1, 1, 2, 2, 2, 2][i % 7]).collect();
        let total = counts(&labels, 3).unwrap();
        let parts = stratified(&labels, 3, &[0.7, 0.15, 0.15], 42).unwrap();
        assert_eq!(flat(&parts), (0..1115).collect::<Vec<_>>());
        for (part, f) in parts.iter().zip([0.7, 0.15, 0.15]) {
            let part: Vec<u32> = part.iter().map(|&i| labels[i]).collect();
            let part = counts(&part, 3).unwrap();
            assert!((0..3).all(|c| (part[c] as f64 - f * total[c] as f64).abs() < 1.0), "{part:?}");
        }
        assert!(stratified(&labels, 2, &[1.0], 0).is_err());
    }

    #[test]
    fn folds_cover_everything_once() {
        let labels: Vec<u32> = (0..103).map(|i| u32::from(i % 10 == 0)).collect();
        let (plain, even) = (folds(103, 5, 3).unwrap(), stratified_folds(&labels, 2, 5, 3).unwrap());
        for folds in [&plain, &even] {
            let valid: Vec<Vec<usize>> = folds.iter().map(|f| f.1.clone()).collect();
            assert_eq!(flat(&valid), (0..103).collect::<Vec<_>>());
            for (train, valid) in folds.iter().cloned() {
                assert_eq!(flat(&[train, valid]), (0..103).collect::<Vec<_>>());
            }
        }
        let ones = |f: &(Vec<usize>, Vec<usize>)| f.1.iter().filter(|&&i| labels[i] == 1).count();
        assert!(even.iter().map(ones).all(|n| n == 2 || n == 3));
        assert!(folds(3, 4, 0).is_err() && folds(3, 1, 0).is_err() && stratified_folds(&labels, 2, 200, 0).is_err());
    }

    #[test]
    fn limits_need_every_class() {
        assert!(rebalance(&[0, 2], &[1, 1]).is_err() && rebalance(&[0, 1], &[0, 0]).is_err());
        assert_eq!(rebalance(&[0, 2, 0], &[5, 5, 0]).unwrap(), [0, 2]);
    }
}
