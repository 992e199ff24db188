//! Convolution on slices: the planned loops of [`Conv`] with everything checked, for those who write the network themselves.

use super::blas::with_work;
use super::conv::{Conv, End, Geometry};
use super::reduce;
use crate::memory::GradMode;
use crate::{Cpu, Error, Math, Real, Result};

/// A convolution y = conv(x, w) + b, its gradients, planned for batches of up to so many samples.
///
/// # Shapes
/// x: rows of d·h·w·c values; y: rows of the output's; w: kd, kh, kw, c/groups, filters, the last contiguous; b: filters.
///
/// # Examples
/// ```
/// use kamacite::memory::GradMode;
/// use kamacite::op::conv::{Geometry, Slices};
/// use kamacite::{Cpu, Extent, Window};
/// // Differences of neighbours along a line of four.
/// let g = Geometry::new(Extent::line(4, 1), 1, Window::new([1, 1, 2]), 1)?;
/// let conv = Slices::new(&Cpu::new(1)?, g, 1)?;
/// let (x, w, mut y) = ([1.0_f32, 4.0, 9.0, 16.0], [-1.0, 1.0], [0.0; 3]);
/// conv.forward(&x, &w, None, &mut y)?;
/// assert_eq!(y, [3.0, 5.0, 7.0]);
/// let mut dw = [0.0; 2];
/// conv.weight_gradient(&x, &[1.0, 1.0, 1.0], GradMode::Write, &mut dw)?;
/// assert_eq!(dw, [14.0, 29.0]);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Debug)]
pub struct Slices<T> {
    cpu: Cpu,
    g: Geometry,
    rows: usize,
    conv: Conv,
    scratch: usize,
    _type: std::marker::PhantomData<T>,
}

impl<T: Real> Slices<T> {
    /// Plans all directions for batches of up to `rows` samples.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for a geometry that contradicts itself or does not fit in memory, and for no rows.
    pub fn new(cpu: &Cpu, g: Geometry, rows: usize) -> Result<Self> {
        Self::with_math(cpu, g, rows, Math::Exact)
    }

    /// As [`Slices::new`], with sums rearranged as [`Math`] tells.
    ///
    /// # Errors
    /// As [`Slices::new`].
    pub fn with_math(cpu: &Cpu, g: Geometry, rows: usize, math: Math) -> Result<Self> {
        // Its fields are open to change, and the loops trust it. Along an axis of one output the stride was forgotten.
        let most = Geometry::new(g.x, g.y.c, g.window, g.groups)?.y.check()?;
        if (0..3).any(|i| g.y.space()[i] != most.space()[i] && g.y.space()[i] != 1) {
            return Err(Error::shape(PLACE, "the output does not follow from input and window").got(g.y));
        }
        if rows == 0 || g.x.len().max(g.y.len()).checked_mul(rows).is_none_or(|n| n > 1 << 48) {
            return Err(Error::shape(PLACE, "samples in a batch").expected("1 to as many as memory holds").got(rows));
        }
        let (conv, scratch) = Conv::on_cpu::<T>(g, rows, cpu, math)?;
        Ok(Self { cpu: cpu.clone(), g, rows, conv, scratch, _type: std::marker::PhantomData })
    }

    /// The sizes.
    pub fn geometry(&self) -> &Geometry {
        &self.g
    }

    /// The most samples of a batch.
    pub fn capacity(&self) -> usize {
        self.rows
    }

    /// y = conv(x, w) + b.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for a slice of another length.
    pub fn forward(&self, x: &[T], w: &[T], bias: Option<&[T]>, y: &mut [T]) -> Result<()> {
        self.batch(x.len(), y.len())?;
        same("w", self.g.weight_len()?, w.len())?;
        bias.map_or(Ok(()), |b| same("bias", self.g.y.c, b.len()))?;
        let end = End { bias, ..End::plain(GradMode::Write) };
        with_work(self.scratch, |scratch| self.conv.forward(&self.cpu, x, w, end, y, scratch));
        Ok(())
    }

    /// The gradient wrt x: dx, or dx + what is there, from dy.
    ///
    /// # Errors
    /// As [`Slices::forward`].
    pub fn input_gradient(&self, dy: &[T], w: &[T], mode: GradMode, dx: &mut [T]) -> Result<()> {
        self.batch(dx.len(), dy.len())?;
        same("w", self.g.weight_len()?, w.len())?;
        with_work(self.scratch, |scratch| self.conv.backward(&self.cpu, dy, w, End::plain(mode), dx, scratch));
        Ok(())
    }

    /// The gradient wrt w: dw, or dw + what is there, summed over the batch.
    ///
    /// # Errors
    /// As [`Slices::forward`].
    pub fn weight_gradient(&self, x: &[T], dy: &[T], mode: GradMode, dw: &mut [T]) -> Result<()> {
        self.batch(x.len(), dy.len())?;
        same("dw", self.g.weight_len()?, dw.len())?;
        with_work(self.scratch, |scratch| self.conv.weights(&self.cpu, x, dy, dw, mode, scratch));
        Ok(())
    }

    /// The gradient wrt b: Σ dy over samples and positions, or that + what is there.
    ///
    /// # Errors
    /// As [`Slices::forward`].
    pub fn bias_gradient(&self, dy: &[T], mode: GradMode, db: &mut [T]) -> Result<()> {
        self.batch(dy.len() / self.g.y.len() * self.g.x.len(), dy.len())?;
        same("db", self.g.y.c, db.len())?;
        reduce::columns(&self.cpu, dy, self.g.y.c, db, mode);
        Ok(())
    }

    /// Equal and whole numbers of samples, no more than were planned.
    fn batch(&self, x: usize, y: usize) -> Result<()> {
        let rows = x / self.g.x.len();
        if (rows * self.g.x.len(), rows * self.g.y.len()) != (x, y) || rows > self.rows || rows == 0 {
            let expected = format!("the same 1 to {} samples of {} and of {} values", self.rows, self.g.x.len(), self.g.y.len());
            return Err(Error::shape(PLACE, "input and output").expected(expected).got(format!("{x} and {y} values")));
        }
        Ok(())
    }
}

fn same(name: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::shape(PLACE, format!("elements of {name}")).expected(expected).got(got)) }
}

const PLACE: &str = "convolution";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::conv::tests::geometries;
    use crate::rng::{Purpose, Stream};
    use crate::{ErrorKind, Extent, Window};

    /// y, dx, dw product by product, by the definition of [`Geometry::meet`].
    #[test]
    fn all_directions_agree_with_the_sums() {
        let cpu = Cpu::new(2).unwrap();
        for (i, g) in geometries().into_iter().enumerate().step_by(4) {
            let rows = 1 + i % 3;
            let mut r = Stream::new(31, Purpose::User, i as u64);
            // Small integers: exact in any order.
            let mut draw = |n: usize| (0..n).map(|_| r.below(7) as f32 - 3.0).collect::<Vec<_>>();
            let (x, dy, w, b) = (draw(rows * g.x.len()), draw(rows * g.y.len()), draw(g.weight_len().unwrap()), draw(g.y.c));
            let (c, f) = (g.x.c / g.groups, g.y.c / g.groups);
            let mut y: Vec<f32> = (0..dy.len()).map(|i| b[i % g.y.c]).collect();
            let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; w.len()], vec![0.0; g.y.c]);
            dy.iter().enumerate().for_each(|(i, dy)| db[i % g.y.c] += dy);
            for n in 0..rows {
                g.meet(|p, t, q| {
                    for (i, j) in (0..g.x.c).flat_map(|i| (0..f).map(move |j| (i, i / c * f + j))) {
                        let (iy, ix, iw) =
                            (n * g.y.len() + p * g.y.c + j, n * g.x.len() + q * g.x.c + i, (t * c + i % c) * g.y.c + j);
                        y[iy] += x[ix] * w[iw];
                        dx[ix] += dy[iy] * w[iw];
                        dw[iw] += x[ix] * dy[iy];
                    }
                });
            }
            // Planned for more rows than come.
            let conv = Slices::new(&cpu, g, 3).unwrap();
            let mut found = vec![f32::NAN; y.len()];
            conv.forward(&x, &w, Some(&b), &mut found).unwrap();
            assert_eq!(found, y, "{g:?}");
            for (mode, times) in [(GradMode::Write, 1.0), (GradMode::Add, 2.0)] {
                let start = |n: &[f32]| if times == 2.0 { n.to_vec() } else { vec![f32::NAN; n.len()] };
                let twice = |n: &[f32]| n.iter().map(|n| times * n).collect::<Vec<_>>();
                let (mut gx, mut gw, mut gb) = (start(&dx), start(&dw), start(&db));
                conv.input_gradient(&dy, &w, mode, &mut gx).unwrap();
                conv.weight_gradient(&x, &dy, mode, &mut gw).unwrap();
                conv.bias_gradient(&dy, mode, &mut gb).unwrap();
                assert_eq!((gx, gw, gb), (twice(&dx), twice(&dw), twice(&db)), "{g:?} {mode:?}");
            }
        }
    }

    #[test]
    fn wrong_lengths_and_geometries_are_errors() {
        let (cpu, window) = (Cpu::new(1).unwrap(), Window::new([1, 3, 3]));
        let g = Geometry::new(Extent::image(5, 5, 2), 4, window, 1).unwrap();
        let conv = Slices::<f32>::new(&cpu, g, 2).unwrap();
        let (x, w, y) = ([1.0; 150], [1.0; 72], || vec![0.0; 72]);
        conv.forward(&x[..100], &w, Some(&w[..4]), &mut y()).unwrap();
        let kind = |r: Result<()>| r.map_err(|e| e.kind());
        let bad = [
            conv.forward(&x[..99], &w, None, &mut y()),
            conv.forward(&x[..50], &w, None, &mut y()),
            conv.forward(&x, &w, None, &mut [0.0; 108]),
            conv.forward(&[], &w, None, &mut []),
            conv.forward(&x[..100], &w[..71], None, &mut y()),
            conv.forward(&x[..100], &w, Some(&w[..3]), &mut y()),
            conv.input_gradient(&y(), &w, GradMode::Write, &mut [0.0; 99]),
            conv.weight_gradient(&x[..100], &y(), GradMode::Write, &mut [0.0; 71]),
            conv.bias_gradient(&y()[..71], GradMode::Write, &mut [0.0; 4]),
            conv.bias_gradient(&y(), GradMode::Write, &mut [0.0; 5]),
        ];
        assert!(bad.into_iter().all(|r| kind(r) == Err(ErrorKind::Shape)));
        let bent = Geometry { y: Extent::image(9, 9, 4), ..g };
        assert!(Slices::<f32>::new(&cpu, bent, 1).is_err() && Slices::<f32>::new(&cpu, g, 0).is_err());
        assert!(Slices::<f32>::new(&cpu, g, usize::MAX).is_err());
    }
}
