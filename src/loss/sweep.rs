//! What the losses share: one sweep over the rows of a batch, on all threads.

use super::{LossIo, Target};
use crate::device::{Cpu, Rows};
use crate::memory::{Element, Step};
use crate::{Error, Extent, Real, Result};

/// Some rows of a batch; `y`, `t` and `dy` hold as many elements for each.
pub(super) struct Batch<'a, T, L> {
    /// Outputs.
    pub y: &'a [T],
    /// Targets.
    pub t: &'a [L],
    /// Gradients wrt the outputs, where wanted.
    pub dy: Option<&'a mut [T]>,
    /// Weights of the rows.
    pub w: &'a [T],
    /// Values of the rows.
    pub value: &'a mut [T],
    /// Factor on the gradient, besides the weight.
    pub scale: f64,
}

/// Elements of one task, about.
const CHUNK: usize = 1 << 14;

/// Runs `kernel` on chunks of rows, each of `ey` outputs and `et` targets. The chunks depend on the sizes alone.
pub(super) fn sweep<T, L>(
    cpu: &Cpu,
    s: &Step<'_>,
    io: &LossIo,
    (ey, et): (usize, usize),
    kernel: impl Fn(&Cpu, Batch<'_, T, L>) + Sync,
) -> Result<()>
where
    T: Real + Element,
    L: Element + Sync,
{
    let (y, t, w) = (s.read::<T>(io.y)?, s.read::<L>(io.target)?, s.read::<T>(io.weight)?);
    let mut value = s.write::<T>(io.value)?;
    let mut dy = io.dy.map(|dy| s.write::<T>(dy)).transpose()?;
    let batch = Batch { y: &y, t: &t, dy: dy.as_deref_mut(), w: &w, value: &mut value, scale: io.scale };
    in_chunks(cpu, batch, (ey, et), kernel);
    Ok(())
}

fn in_chunks<T: Real, L: Sync>(
    cpu: &Cpu,
    b: Batch<'_, T, L>,
    (ey, et): (usize, usize),
    kernel: impl Fn(&Cpu, Batch<'_, T, L>) + Sync,
) {
    if b.y.len() <= CHUNK {
        return kernel(cpu, b);
    }
    let Batch { y, t, dy, w, value, scale } = b;
    let parts = (Rows(y, ey), Rows(t, et), dy.map(|dy| Rows(dy, ey)), w, value);
    cpu.split((CHUNK / ey).max(1), parts, |_, (y, t, dy, w, value)| kernel(cpu, Batch { y, t, dy, w, value, scale }));
}

/// Rows whose weights and values need no allocation.
const FEW: usize = 64;

/// The mean of a loss over rows of `ey` outputs and `et` targets on slices, and where wanted its gradient.
pub(super) fn mean<T: Real, L: Sync>(
    cpu: &Cpu,
    (ey, et): (usize, usize),
    (y, t): (&[T], &[L]),
    dy: Option<&mut [T]>,
    kernel: impl Fn(&Cpu, Batch<'_, T, L>) + Sync,
) -> f64 {
    let n = y.len() / ey;
    let (mut few, mut many) = ([T::ONE; 2 * FEW], Vec::new());
    let buffer = if n <= FEW {
        &mut few[..2 * n]
    } else {
        many.resize(2 * n, T::ONE);
        &mut many
    };
    let (w, value) = buffer.split_at_mut(n);
    in_chunks(cpu, Batch { y, t, dy, w, value, scale: 1.0 / n as f64 }, (ey, et), kernel);
    value.iter().map(|value| value.to_f64()).sum::<f64>() / n as f64
}

/// Refuses slices that hold no whole number of rows of `ey` outputs, or not as many rows of `et` targets and of gradients.
pub(super) fn check_slices(loss: &str, (ey, et): (usize, usize), (y, t, dy): (usize, usize, Option<usize>)) -> Result<()> {
    if ey == 0 || y == 0 || !y.is_multiple_of(ey) {
        return Err(Error::shape(loss, "no whole number of rows").expected(format!("rows of {ey}, at least one each")).got(y));
    }
    if (y / ey).checked_mul(et) != Some(t) {
        return Err(Error::shape(loss, "targets").expected(format!("{et} for each of {} rows", y / ey)).got(t));
    }
    match dy {
        Some(dy) if dy != y => Err(Error::shape(loss, "gradient and output differ in length").expected(y).got(dy)),
        _ => Ok(()),
    }
}

impl<T: Real, L> Batch<'_, T, L> {
    /// Calls `row(y, t, dy, g)` for each row, which returns ℓ and writes g·∂ℓ/∂y. A row of weight 0 counts for nothing,
    /// whatever it holds: a missing label may be NaN.
    #[inline(always)]
    pub fn rows(mut self, mut row: impl FnMut(&[T], &[L], Option<&mut [T]>, f64) -> f64) {
        let sizes = self.sizes();
        for i in 0..self.value.len() {
            if let Some((y, t, dy, g)) = self.row(i, sizes) {
                let l = row(y, t, dy, g);
                self.put(i, l);
            }
        }
    }

    /// Outputs and targets of one row.
    #[inline(always)]
    fn sizes(&self) -> (usize, usize) {
        match self.value.len() {
            // The batch of online learning: without a division.
            0 | 1 => (self.y.len(), self.t.len()),
            n => (self.y.len() / n, self.t.len() / n),
        }
    }

    /// What [`Batch::rows`] hands out for row `i`.
    #[inline(always)]
    #[allow(clippy::type_complexity)]
    fn row(&mut self, i: usize, (ey, et): (usize, usize)) -> Option<(&[T], &[L], Option<&mut [T]>, f64)> {
        let dy = self.dy.as_deref_mut().map(|dy| &mut dy[i * ey..(i + 1) * ey]);
        if self.w[i] == T::ZERO {
            self.value[i] = T::ZERO;
            dy.into_iter().for_each(|dy| dy.fill(T::ZERO));
            return None;
        }
        Some((&self.y[i * ey..(i + 1) * ey], &self.t[i * et..(i + 1) * et], dy, self.scale * self.w[i].to_f64()))
    }

    #[inline(always)]
    fn put(&mut self, i: usize, l: f64) {
        self.value[i] = T::of(self.w[i].to_f64() * l);
    }
}

/// A target read as a number.
pub(super) trait Label: Copy + Sync {
    /// The number.
    fn real<T: Real>(self) -> T;
}

impl<R: Real> Label for R {
    #[inline(always)]
    fn real<T: Real>(self) -> T {
        T::of(self.to_f64())
    }
}

impl Label for u32 {
    #[inline(always)]
    fn real<T: Real>(self) -> T {
        T::of(f64::from(self))
    }
}

/// A loss that is a sum over elements: its term and the term's derivative wrt y.
pub(super) trait Point<T>: Copy {
    /// (ℓ, ∂ℓ/∂y)
    fn at(self, y: T, t: T) -> (T, T);
}

/// Partial sums of one row.
const LANES: usize = 16;
/// Rows shorter than this are taken term by term.
const SHORT: usize = 8;
/// Terms that are added in `T` before the sum continues in f64.
const BLOCK: usize = 1 << 12;

/// ℓ = factor·Σ point(y, t) for each row.
#[inline(always)]
pub(super) fn pointwise<T: Real, L: Label>(mut b: Batch<'_, T, L>, factor: f64, point: impl Point<T>) {
    let sizes = b.sizes();
    // Not a closure for `rows`: too large to be inlined, it would be compiled without the wide vectors.
    for i in 0..b.value.len() {
        let Some((y, t, mut dy, g)) = b.row(i, sizes) else { continue };
        let g = T::of(g * factor);
        let (mut total, mut start) = (0.0, 0);
        while start < y.len() {
            let end = y.len().min(start + BLOCK);
            let dy = dy.as_deref_mut().map(|dy| &mut dy[start..end]);
            total += block(&y[start..end], &t[start..end], dy, g, point);
            start = end;
        }
        b.put(i, factor * total);
    }
}

#[inline(always)]
fn block<T: Real, L: Label>(y: &[T], t: &[L], dy: Option<&mut [T]>, g: T, point: impl Point<T>) -> f64 {
    if y.len() < SHORT {
        return short(y, t, dy, g, point);
    }
    let mut sums = [T::ZERO; LANES];
    // What no term is added to stays 0.
    let used = y.len().min(LANES);
    let ((y, y_rest), (t, t_rest)) = (y.as_chunks::<LANES>(), t.as_chunks::<LANES>());
    if let Some(dy) = dy {
        let (dy, dy_rest) = dy.as_chunks_mut::<LANES>();
        for ((y, t), dy) in y.iter().zip(t).zip(dy) {
            lanes(y, t, dy, g, &mut sums, point);
        }
        lanes(y_rest, t_rest, dy_rest, g, &mut sums, point);
    } else {
        let mut unused = [T::ZERO; LANES];
        for (y, t) in y.iter().zip(t) {
            lanes(y, t, &mut unused, g, &mut sums, point);
        }
        lanes(y_rest, t_rest, &mut unused, g, &mut sums, point);
    }
    sums[..used].iter().map(|sum| sum.to_f64()).sum()
}

/// The batch of online learning, where its row is short and counts: [`pointwise`] without what looks for rows in a batch.
#[inline(always)]
pub(super) fn one_short_row<T: Real, L: Label>(b: &mut Batch<'_, T, L>, factor: f64, point: impl Point<T>) -> bool {
    let ([w], [value], true) = (b.w, &mut *b.value, b.y.len() < SHORT) else { return false };
    if *w == T::ZERO {
        return false;
    }
    let g = T::of(b.scale * w.to_f64() * factor);
    let total = 0.0 + short(b.y, b.t, b.dy.as_deref_mut(), g, point);
    *value = T::of(w.to_f64() * (factor * total));
    true
}

/// The same for a row shorter than the lanes: one term in each.
#[inline(always)]
fn short<T: Real, L: Label>(y: &[T], t: &[L], mut dy: Option<&mut [T]>, g: T, point: impl Point<T>) -> f64 {
    let mut total = 0.0;
    for (i, (y, t)) in y.iter().zip(t).enumerate() {
        let (l, slope) = point.at(*y, t.real());
        total += (T::ZERO + l).to_f64();
        if let Some(dy) = dy.as_deref_mut().and_then(|dy| dy.get_mut(i)) {
            *dy = g * slope;
        }
    }
    total
}

// A function, not a closure: a closure used twice may stay outside, and is then compiled without the wide vectors.
#[inline(always)]
fn lanes<T: Real, L: Label>(y: &[T], t: &[L], dy: &mut [T], g: T, sums: &mut [T; LANES], point: impl Point<T>) {
    for (((y, t), dy), sum) in y.iter().zip(t).zip(dy).zip(sums) {
        let (l, slope) = point.at(*y, t.real());
        *sum += l;
        *dy = g * slope;
    }
}

/// Refuses targets that do not have one number for each output. A flat one stands for any with as many elements, since
/// the bytes are the same.
pub(super) fn same(loss: &str, y: Extent, target: Target) -> Result<()> {
    let flat = |e: Extent| e.area() == 1;
    match target {
        Target::Values(t) if t == y || (t.len() == y.len() && (flat(t) || flat(y))) => Ok(()),
        Target::Values(t) => Err(Error::shape(loss, "output and target differ").expected(y).got(t)),
        Target::Index { classes, positions } => {
            Err(Error::shape(loss, "takes numbers").expected(y).got(format!("{positions} indices of {classes} classes")))
        }
        Target::None => Err(Error::shape(loss, "no target").expected(y)),
    }
}

/// Refuses weights that do not fit the channels; no weights at all fit.
pub(super) fn check_weights(loss: &str, weights: &[f64], c: usize) -> Result<()> {
    if let Some(bad) = weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
        return Err(Error::value(loss, "class weight").expected("a finite number, at least 0").got(bad));
    }
    if !weights.is_empty() && weights.len() != c {
        return Err(Error::shape(loss, "number of class weights").expected(c).got(weights.len()));
    }
    Ok(())
}

/// Refuses labels at or above `classes` in rows that count. On a GPU they are looked at on their way there.
pub(super) fn check_labels<T: Real + Element>(s: &Step<'_>, io: &LossIo, classes: usize, positions: usize) -> Result<()> {
    find_label(&s.read::<u32>(io.target)?, &s.read::<T>(io.weight)?, classes, positions)
}

/// Refuses labels out of range in rows whose weight is not 0.
pub(crate) fn find_label<T: Real>(t: &[u32], w: &[T], classes: usize, positions: usize) -> Result<()> {
    let top = t.iter().fold(0, |top, t| top.max(*t));
    if (top as usize) < classes {
        return Ok(());
    }
    let counts = |i: usize| w.get(i / positions).is_some_and(|w| *w != T::ZERO);
    match t.iter().enumerate().find(|&(i, t)| *t as usize >= classes && counts(i)) {
        None => Ok(()),
        Some((i, label)) => {
            let place = format!("row {}, position {}", i / positions, i % positions);
            Err(Error::value(place, format!("label out of range for {classes} classes"))
                .expected(format!("0 to {}", classes - 1))
                .got(label)
                .hint("labels count from 0"))
        }
    }
}

#[cfg(test)]
pub(super) mod check {
    use super::Batch;

    /// Values and gradients of a kernel on some rows, with scale 1.
    pub fn run<L>(y: &[f64], t: &[L], w: &[f64], kernel: impl Fn(Batch<'_, f64, L>)) -> (Vec<f64>, Vec<f64>) {
        // NaN, so that what is not written shows.
        let (mut value, mut dy) = (vec![f64::NAN; w.len()], vec![f64::NAN; y.len()]);
        kernel(Batch { y, t, dy: Some(&mut dy), w, value: &mut value, scale: 1.0 });
        let mut alone = vec![f64::NAN; w.len()];
        kernel(Batch { y, t, dy: None, w, value: &mut alone, scale: 1.0 });
        let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&value), bits(&alone), "the value depends on whether the gradient is wanted");
        (value, dy)
    }

    /// Compares the gradient of Σ value with central differences.
    pub fn gradient<L>(y: &[f64], t: &[L], w: &[f64], kernel: impl Fn(Batch<'_, f64, L>)) {
        let (value, dy) = run(y, t, w, &kernel);
        let size: f64 = value.iter().map(|v| v.abs()).sum::<f64>().max(1.0);
        for i in 0..y.len() {
            let h = 1e-5 * y[i].abs().max(1.0);
            let at = |d: f64| {
                let mut y = y.to_vec();
                y[i] += d;
                run(&y, t, w, &kernel).0.iter().sum::<f64>()
            };
            let difference = (at(h) - at(-h)) / (2.0 * h);
            // Truncation h²·|ℓ‴| with |ℓ‴| below 10·(size + 1), rounding of the sum over 2h.
            let tolerance = 10.0 * (size + 1.0) * h * h + 64.0 * size * f64::EPSILON / h;
            assert!((dy[i] - difference).abs() < tolerance, "element {i}: {} and {difference}", dy[i]);
        }
    }

    /// Numbers without a pattern in [lo, hi].
    pub fn numbers(n: usize, lo: f64, hi: f64, seed: u64) -> Vec<f64> {
        let draw = |i: usize| crate::rng::hash(&[seed.to_le_bytes(), (i as u64).to_le_bytes()].concat()) >> 11;
        (0..n).map(|i| lo + (hi - lo) * draw(i) as f64 / (1_u64 << 53) as f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn labels_out_of_range_are_found_where_they_count() {
        let labels = [0, 1, 2, 9, 1, 0];
        assert!(find_label(&labels, &[1.0, 0.0, 1.0], 3, 2).is_ok());
        let e = find_label(&labels, &[1.0, 0.5, 1.0], 3, 2).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Value);
        assert_eq!(
            e.to_string(),
            "row 1, position 1: label out of range for 3 classes; expected 0 to 2, got 9; labels count from 0"
        );
    }

    #[test]
    fn rows_of_weight_zero_count_for_nothing() {
        #[derive(Clone, Copy)]
        struct Product;
        impl Point<f64> for Product {
            fn at(self, y: f64, t: f64) -> (f64, f64) {
                (y * t, t)
            }
        }
        let (y, t) = (vec![2.0; 66], [vec![1.0; 33], vec![f64::NAN; 33]].concat());
        let (value, dy) = check::run(&y, &t, &[3.0, 0.0], |b| pointwise(b, 0.5, Product));
        assert_eq!(value, [99.0, 0.0]);
        assert!(dy[..33].iter().all(|dy| *dy == 1.5) && dy[33..].iter().all(|dy| *dy == 0.0));
    }

    #[test]
    fn extents_of_equal_bytes_fit() {
        let (flat, image) = (Extent::flat(12), Extent::image(2, 3, 2));
        assert!(same("mse", flat, Target::Values(image)).is_ok() && same("mse", image, Target::Values(flat)).is_ok());
        for t in
            [Target::Values(Extent::image(3, 2, 2)), Target::Values(Extent::flat(11)), Target::Index { classes: 2, positions: 6 }]
        {
            assert_eq!(same("mse", image, t).unwrap_err().kind(), ErrorKind::Shape);
        }
    }
}
