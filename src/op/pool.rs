//! Pooling on slices: one value per channel for each place of a window, and the way back, for those who write the network themselves.
//! The equations are those of the layer [`Pool`](crate::layer::Pool).

use super::pool_cpu as loops;
use crate::memory::GradMode;
use crate::{Cpu, Error, Extent, Real, Result, Window};
use std::ops::Range;

/// The sizes of a pooling: input, output, window. Every window holds at least one input cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub(crate) x: Extent,
    pub(crate) y: Extent,
    pub(crate) window: Window,
}

impl Geometry {
    /// Checks that the window fits.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for windows larger than the padded input, windows that see nothing but padding,
    /// and windows with dilation or gaps, which pooling has not.
    pub fn new(x: Extent, window: Window) -> Result<Self> {
        if window.dilation != [1; 3] || window.gap != [0; 3] {
            return Err(Error::shape("", "pooling has neither dilation nor gaps"));
        }
        let y = x.with_space(window.output(x.space())?).check()?;
        for (i, axis) in ["d", "h", "w"].into_iter().enumerate() {
            // Windows move one way, so the first and the last are the ones that may miss the input.
            let last = (y.space()[i] - 1) * window.stride[i];
            if window.size[i] <= window.before[i] || last >= window.before[i] + x.space()[i] {
                return Err(Error::shape("", format!("a window lies wholly in the padding of axis {axis}"))
                    .expected("padding smaller than the window on both sides")
                    .got(format!("{} before and {} after", window.before[i], window.after[i])));
            }
        }
        Ok(Self { x, y, window })
    }

    /// The extent of an input.
    pub fn input(&self) -> Extent {
        self.x
    }

    /// The extent of an output.
    pub fn output(&self) -> Extent {
        self.y
    }

    /// The input cells under output `o` of an axis.
    #[inline(always)]
    pub(crate) fn cells(&self, axis: usize, o: usize) -> Range<usize> {
        let w = &self.window;
        let start = o * w.stride[axis];
        start.saturating_sub(w.before[axis])..(start + w.size[axis] - w.before[axis]).min(self.x.space()[axis])
    }

    /// The outputs of an axis whose window holds input `i`; empty where the stride skips it.
    #[inline(always)]
    pub(crate) fn windows(&self, axis: usize, i: usize) -> Range<usize> {
        let w = &self.window;
        let at = i + w.before[axis];
        (at + 1).saturating_sub(w.size[axis]).div_ceil(w.stride[axis])..(at / w.stride[axis] + 1).min(self.y.space()[axis])
    }

    /// The outputs of the axis w whose window holds each input in turn; as [`Geometry::windows`], without divisions.
    #[inline(always)]
    pub(crate) fn along(&self) -> impl Iterator<Item = Range<usize>> {
        let (size, stride, before) = (self.window.size[2], self.window.stride[2], self.window.before[2]);
        let (mut low, mut high) = (0, 0);
        (before..before + self.x.w).map(move |at| {
            while low * stride + size <= at {
                low += 1;
            }
            while high < self.y.w && high * stride <= at {
                high += 1;
            }
            low..high
        })
    }

    /// 1/n(o).
    #[inline(always)]
    pub(crate) fn share(&self, o: [usize; 3], full: bool, whole: f64) -> f64 {
        let n: usize = (0..3).map(|axis| self.cells(axis, o[axis]).len()).product();
        if full || n == self.window.taps() { whole } else { 1.0 / n as f64 }
    }
}

/// y(o) = max of x under the window at o, channel by channel; the first in the order d, h, w of several equal ones, NaN above all
/// numbers. `winner`, where it is given, takes the position d·h·w of each maximum, for [`max_gradient`].
///
/// # Shapes
/// x: rows of the input; y and `winner`: as many rows of the output.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for slices of other lengths, and for inputs of 2³² positions and more.
///
/// # Examples
/// ```
/// use kamacite::memory::GradMode;
/// use kamacite::op::pool::{Geometry, max, max_gradient};
/// use kamacite::{Cpu, Extent, Window};
/// let window = Window { stride: [1, 1, 2], ..Window::new([1, 1, 2]) };
/// let (cpu, g) = (Cpu::new(1)?, Geometry::new(Extent::line(4, 1), window)?);
/// let (mut y, mut winner, mut dx) = ([0.0; 2], [0; 2], [9.0; 4]);
/// max(&cpu, &g, &[1.0_f32, 3.0, 2.0, 2.0], &mut y, Some(&mut winner))?;
/// assert_eq!((y, winner), ([3.0, 2.0], [1, 2]));
/// max_gradient(&cpu, &g, &[0.5, 0.25], &winner, GradMode::Write, &mut dx)?;
/// assert_eq!(dx, [0.0, 0.5, 0.25, 0.0]);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn max<T: Real>(cpu: &Cpu, g: &Geometry, x: &[T], y: &mut [T], winner: Option<&mut [u32]>) -> Result<()> {
    check(g, x.len(), y.len())?;
    if u32::try_from(g.x.area()).is_err() {
        return Err(Error::shape(PLACE, "too many positions").expected("fewer than 2^32").got(g.x));
    }
    match winner {
        Some(winner) => {
            same_len("winner", y.len(), winner.len())?;
            loops::max(cpu, g, x, y, winner);
        }
        None => loops::max_only(cpu, g, x, y),
    }
    Ok(())
}

/// dx(i) = Σ dy(o) over the outputs o whose maximum came from i, or that added to what is there.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for slices of other lengths.
pub fn max_gradient<T: Real>(cpu: &Cpu, g: &Geometry, dy: &[T], winner: &[u32], mode: GradMode, dx: &mut [T]) -> Result<()> {
    check(g, dx.len(), dy.len())?;
    same_len("winner", dy.len(), winner.len())?;
    loops::max_gradient(cpu, g, dy, winner, mode, dx);
    Ok(())
}

/// y(o) = mean of x under the window at o, channel by channel: over the cells in the input, or with `count_padding` over all cells of
/// the window.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for slices of other lengths.
pub fn average<T: Real>(cpu: &Cpu, g: &Geometry, count_padding: bool, x: &[T], y: &mut [T]) -> Result<()> {
    check(g, x.len(), y.len())?;
    loops::average(cpu, g, count_padding, x, y);
    Ok(())
}

/// dx(i) = Σ dy(o)/n(o) over the outputs o whose window holds i, or that added to what is there; n(o) as in [`average`].
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for slices of other lengths.
pub fn average_gradient<T: Real>(
    cpu: &Cpu,
    g: &Geometry,
    count_padding: bool,
    dy: &[T],
    mode: GradMode,
    dx: &mut [T],
) -> Result<()> {
    check(g, dx.len(), dy.len())?;
    loops::average_gradient(cpu, g, count_padding, dy, mode, dx);
    Ok(())
}

const PLACE: &str = "pooling";

/// Equal and whole numbers of samples.
fn check(g: &Geometry, x: usize, y: usize) -> Result<()> {
    let rows = x / g.x.len();
    if (rows * g.x.len(), rows * g.y.len()) == (x, y) {
        return Ok(());
    }
    let expected = format!("as many samples of {} and of {} values", g.x.len(), g.y.len());
    Err(Error::shape(PLACE, "input and output").expected(expected).got(format!("{x} and {y} values")))
}

fn same_len(name: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::shape(PLACE, format!("elements of {name}")).expected(expected).got(got)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::rng::{Purpose, Stream};

    /// Input cells under each output of a channel, in the order d, h, w.
    fn cells(g: &Geometry, o: usize) -> Vec<usize> {
        let at = [o / (g.y.h * g.y.w), o / g.y.w % g.y.h, o % g.y.w];
        let size = g.window.size;
        let inside = |tap: usize| {
            let tap = [tap / (size[1] * size[2]), tap / size[2] % size[1], tap % size[2]];
            let i: [Option<usize>; 3] = std::array::from_fn(|a| {
                (at[a] * g.window.stride[a] + tap[a]).checked_sub(g.window.before[a]).filter(|i| *i < g.x.space()[a])
            });
            Some((i[0]? * g.x.h + i[1]?) * g.x.w + i[2]?)
        };
        (0..g.window.taps()).filter_map(inside).collect()
    }

    #[test]
    fn both_kinds_and_their_gradients_are_the_definition() -> Result<()> {
        let window = |size, stride, before: [usize; 3]| Window { stride, before, after: before, ..Window::new(size) };
        let cpu = Cpu::new(2)?;
        for (x, w) in [
            (Extent::image(6, 7, 3), window([1, 2, 2], [1, 2, 2], [0; 3])),
            (Extent::image(9, 7, 21), window([1, 3, 3], [1, 2, 1], [0, 1, 1])),
            (Extent::cube(4, 5, 6, 2), window([2, 3, 2], [1, 2, 3], [1, 0, 1])),
        ] {
            let (g, rows) = (Geometry::new(x, w)?, 3);
            assert_eq!((g.input(), g.output()), (x, g.y));
            let mut r = Stream::new(1, Purpose::User, 0);
            // Few different values, so that maxima tie.
            let (input, dy): (Vec<f64>, Vec<f64>) = (
                (0..rows * x.len()).map(|_| r.below(5) as f64).collect(),
                (0..rows * g.y.len()).map(|_| r.below(9) as f64).collect(),
            );
            for (full, mode) in [(false, GradMode::Write), (true, GradMode::Add)] {
                let keep = if mode == GradMode::Add { 1.0 } else { 0.0 };
                let (mut top, mut mean) = (vec![0.0; dy.len()], vec![0.0; dy.len()]);
                let (mut dtop, mut dmean) = (vec![keep; input.len()], vec![keep; input.len()]);
                for (n, o, c) in (0..rows).flat_map(|n| (0..g.y.area()).flat_map(move |o| (0..x.c).map(move |c| (n, o, c)))) {
                    let (i, under) = ((n * g.y.area() + o) * x.c + c, cells(&g, o));
                    let at = |cell: usize| (n * x.area() + cell) * x.c + c;
                    let best =
                        under.iter().fold(under[0], |best, &cell| if input[at(cell)] > input[at(best)] { cell } else { best });
                    top[i] = input[at(best)];
                    dtop[at(best)] += dy[i];
                    let count = if full { w.taps() } else { under.len() } as f64;
                    mean[i] = under.iter().map(|&cell| input[at(cell)]).sum::<f64>() / count;
                    under.iter().for_each(|&cell| dmean[at(cell)] += dy[i] / count);
                }
                let (mut y, mut winner) = (vec![f64::NAN; dy.len()], vec![u32::MAX; dy.len()]);
                max(&cpu, &g, &input, &mut y, Some(&mut winner))?;
                assert_eq!(y, top);
                y.fill(f64::NAN);
                max(&cpu, &g, &input, &mut y, None)?;
                assert_eq!(y, top);
                let start = if mode == GradMode::Add { 1.0 } else { f64::NAN };
                let mut dx = vec![start; input.len()];
                max_gradient(&cpu, &g, &dy, &winner, mode, &mut dx)?;
                assert_eq!(dx, dtop);
                // Sums of at most 18 terms below 9, and of as many for each input.
                let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 18.0 * 18.0 * 9.0 * f64::EPSILON);
                average(&cpu, &g, full, &input, &mut y)?;
                dx.fill(start);
                average_gradient(&cpu, &g, full, &dy, mode, &mut dx)?;
                assert!(near(&y, &mean) && near(&dx, &dmean), "{x} {full}");
            }
        }
        Ok(())
    }

    #[test]
    fn wrong_lengths_and_windows_are_errors() -> Result<()> {
        let (cpu, x) = (Cpu::new(1)?, Extent::line(4, 2));
        let window = Window { stride: [1, 1, 2], ..Window::new([1, 1, 2]) };
        let g = Geometry::new(x, window)?;
        let (a, mut y, mut w) = ([0.0_f32; 16], [0.0; 8], [0; 8]);
        max(&cpu, &g, &a, &mut y, Some(&mut w))?;
        let mut b = a;
        let bad = [
            max(&cpu, &g, &a[..15], &mut y, None),
            max(&cpu, &g, &a, &mut y[..4], None),
            max(&cpu, &g, &a, &mut y, Some(&mut w[..7])),
            max_gradient(&cpu, &g, &y, &w[..7], GradMode::Write, &mut b),
            max_gradient(&cpu, &g, &y, &w, GradMode::Write, &mut b[..8]),
            average(&cpu, &g, false, &a, &mut y[..7]),
            average_gradient(&cpu, &g, false, &y, GradMode::Write, &mut b[..8]),
        ];
        assert!(bad.into_iter().all(|r| r.is_err_and(|e| e.kind() == ErrorKind::Shape)));
        assert!(Geometry::new(x, Window { dilation: [1, 1, 2], ..window }).is_err());
        assert!(Geometry::new(x, Window { gap: [0, 0, 1], ..window }).is_err());
        assert!(Geometry::new(x, Window { before: [0, 0, 2], ..window }).is_err());
        Ok(())
    }
}
