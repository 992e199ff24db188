//! Convolution: y[p][f] = b[f] + Σ_(t,i) x[q][i]·w[t][i][f], summed over the taps t and input positions q that meet
//! output p (see [`im2col`](super::im2col)) and the channels i of f's group; its gradients wrt x and w.

use crate::device::Cpu;
use crate::memory::{GradMode, Planner, Slot};
use crate::{DType, Error, Extent, Real, Result, Window};

/// The sizes of a convolution: input, output, window, groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Input.
    pub x: Extent,
    /// Output.
    pub y: Extent,
    /// Window over the input.
    pub window: Window,
    /// Channels and filters fall into this many independent groups.
    pub groups: usize,
}

impl Geometry {
    /// Checks that the window fits and the groups divide.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape).
    pub fn new(x: Extent, filters: usize, window: Window, groups: usize) -> Result<Self> {
        x.check()?;
        let y = Extent { c: filters, ..x.with_space(window.output(x.space())?) }.check()?;
        if groups == 0 || x.c % groups != 0 || filters % groups != 0 {
            return Err(Error::shape("", "groups must divide the channels and the filters")
                .expected(format!("a divisor of {} and {filters}", x.c))
                .got(groups));
        }
        Ok(Self { x, y, window, groups })
    }

    /// The shape of the weights, [kd, kh, kw, c/groups, filters]: filters are contiguous.
    pub fn weights(&self) -> [usize; 5] {
        let [kd, kh, kw] = self.window.size;
        [kd, kh, kw, self.x.c / self.groups, self.y.c]
    }

    /// Elements of the weights, or an error if they do not fit in memory.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape).
    pub fn weight_len(&self) -> Result<usize> {
        let product = self.weights().into_iter().try_fold(1_usize, usize::checked_mul).filter(|&n| n <= 1 << 40);
        product.ok_or_else(|| {
            Error::shape("weight", "too many elements").expected("at most 2^40").got(format!("{:?}", self.weights()))
        })
    }
}

/// A planned convolution: geometry and scratch.
#[derive(Debug)]
pub(crate) struct Conv {
    g: Geometry,
    scratch: Slot,
}

impl Conv {
    /// Plans all three directions.
    pub fn plan(g: Geometry, p: &mut Planner<'_>) -> Result<Self> {
        g.weight_len()?;
        let dtype: DType = p.dtype();
        Ok(Self { g, scratch: p.scratch(dtype, 1) })
    }

    /// What the directions need as `scratch`.
    pub fn scratch(&self) -> Slot {
        self.scratch
    }

    /// y = conv(x, w) + b, or y += conv(x, w).
    #[allow(clippy::too_many_arguments)]
    pub fn forward<T: Real>(
        &self,
        _cpu: &Cpu,
        x: &[T],
        w: &[T],
        b: Option<&[T]>,
        y: &mut [T],
        mode: GradMode,
        _scratch: &mut [T],
    ) {
        let g = &self.g;
        let (c, f) = (g.x.c, g.y.c);
        let (cg, fg) = (c / g.groups, f / g.groups);
        if mode == GradMode::Write {
            start(y, f, b);
        }
        for (x, y) in x.chunks_exact(g.x.len()).zip(y.chunks_exact_mut(g.y.len())) {
            g.meet(|p, t, q| {
                for i in 0..c {
                    let (group, x) = (i / cg, x[q * c + i]);
                    let w = &w[(t * cg + i % cg) * f + group * fg..][..fg];
                    for (y, w) in y[p * f + group * fg..][..fg].iter_mut().zip(w) {
                        *y += x * *w;
                    }
                }
            });
        }
    }

    /// dx from dy; with `b` it is the forward pass of the transposed convolution.
    #[allow(clippy::too_many_arguments)]
    pub fn backward<T: Real>(
        &self,
        _cpu: &Cpu,
        dy: &[T],
        w: &[T],
        b: Option<&[T]>,
        dx: &mut [T],
        mode: GradMode,
        _scratch: &mut [T],
    ) {
        let g = &self.g;
        let (c, f) = (g.x.c, g.y.c);
        let (cg, fg) = (c / g.groups, f / g.groups);
        if mode == GradMode::Write {
            start(dx, c, b);
        }
        for (dx, dy) in dx.chunks_exact_mut(g.x.len()).zip(dy.chunks_exact(g.y.len())) {
            g.meet(|p, t, q| {
                for i in 0..c {
                    let group = i / cg;
                    let w = &w[(t * cg + i % cg) * f + group * fg..][..fg];
                    dx[q * c + i] += dy[p * f + group * fg..][..fg].iter().zip(w).map(|(dy, w)| *dy * *w).sum();
                }
            });
        }
    }

    /// dw from x and dy.
    pub fn weights<T: Real>(&self, _cpu: &Cpu, x: &[T], dy: &[T], dw: &mut [T], mode: GradMode, _scratch: &mut [T]) {
        let g = &self.g;
        let (c, f) = (g.x.c, g.y.c);
        let (cg, fg) = (c / g.groups, f / g.groups);
        if mode == GradMode::Write {
            dw.fill(T::ZERO);
        }
        for (x, dy) in x.chunks_exact(g.x.len()).zip(dy.chunks_exact(g.y.len())) {
            g.meet(|p, t, q| {
                for i in 0..c {
                    let (group, x) = (i / cg, x[q * c + i]);
                    let dw = &mut dw[(t * cg + i % cg) * f + group * fg..][..fg];
                    for (dw, dy) in dw.iter_mut().zip(&dy[p * f + group * fg..][..fg]) {
                        *dw += x * *dy;
                    }
                }
            });
        }
    }
}

/// Every row of y begins as b, or as zeros.
fn start<T: Real>(y: &mut [T], c: usize, b: Option<&[T]>) {
    match b {
        Some(b) => y.chunks_exact_mut(c).for_each(|y| y.copy_from_slice(b)),
        None => y.fill(T::ZERO),
    }
}

/// db = Σ rows of dy
pub(crate) fn bias_gradient<T: Real>(dy: &[T], db: &mut [T], mode: GradMode) {
    if mode == GradMode::Write {
        db.fill(T::ZERO);
    }
    for dy in dy.chunks_exact(db.len()) {
        db.iter_mut().zip(dy).for_each(|(db, dy)| *db += *dy);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    /// Output, input and weight indices of every product, by trying all combinations of positions.
    fn products(g: &Geometry) -> Vec<(usize, usize, usize)> {
        let (c, f, window) = (g.x.c / g.groups, g.y.c / g.groups, g.window);
        let places = |[d, h, w]: [usize; 3]| (0..d * h * w).map(move |i| [i / (h * w), i / w % h, i % w]).enumerate();
        let mut list = Vec::new();
        for (p, at) in places(g.y.space()) {
            for (q, from) in places(g.x.space()) {
                for (t, tap) in places(window.size) {
                    let meets = |i: usize| {
                        at[i] * window.stride[i] + tap[i] * window.dilation[i] == window.before[i] + from[i] * (window.gap[i] + 1)
                    };
                    if !(0..3).all(meets) {
                        continue;
                    }
                    for group in 0..g.groups {
                        for (i, j) in (0..c).flat_map(|i| (0..f).map(move |j| (i, j))) {
                            let y = p * g.y.c + group * f + j;
                            list.push((y, q * g.x.c + group * c + i, (t * c + i) * g.y.c + group * f + j));
                        }
                    }
                }
            }
        }
        list
    }

    #[test]
    fn all_directions_agree_with_the_loop_nest() {
        let cpu = Cpu::new(1).unwrap();
        let rows = 3;
        for (i, g) in geometries().into_iter().enumerate() {
            // Small integers: every path is exact in f64, whatever the order of its sums.
            let mut r = Stream::new(5, Purpose::User, i as u64);
            let mut draw = |n: usize| (0..n).map(|_| r.below(19) as f64 - 9.0).collect::<Vec<f64>>();
            let (x, dy, b) = (draw(rows * g.x.len()), draw(rows * g.y.len()), draw(g.y.c));
            let w = draw(g.weight_len().unwrap());
            let (y0, dx0, dw0) = (draw(dy.len()), draw(x.len()), draw(w.len()));
            let products = products(&g);
            let conv = Conv { g, scratch: crate::memory::Slot { space: crate::memory::Space::Local, index: 0 } };
            for mode in [GradMode::Write, GradMode::Add] {
                let keep = if mode == GradMode::Add { 1.0 } else { 0.0 };
                let bias = (mode == GradMode::Write).then_some(&b[..]);
                let (mut y, mut dx, mut dw) = (y0.clone(), dx0.clone(), dw0.clone());
                let mut ey: Vec<f64> =
                    y0.iter().enumerate().map(|(k, y)| keep * y + bias.map_or(0.0, |b| b[k % g.y.c])).collect();
                let mut edx: Vec<f64> = dx0.iter().map(|v| keep * v).collect();
                let mut edw: Vec<f64> = dw0.iter().map(|v| keep * v).collect();
                for n in 0..rows {
                    for &(iy, ix, iw) in &products {
                        let (iy, ix) = (n * g.y.len() + iy, n * g.x.len() + ix);
                        ey[iy] += x[ix] * w[iw];
                        edx[ix] += dy[iy] * w[iw];
                        edw[iw] += x[ix] * dy[iy];
                    }
                }
                conv.forward(&cpu, &x, &w, bias, &mut y, mode, &mut []);
                conv.backward(&cpu, &dy, &w, None, &mut dx, mode, &mut []);
                conv.weights(&cpu, &x, &dy, &mut dw, mode, &mut []);
                assert!(y == ey, "y of {g:?} {mode:?}");
                assert!(dx == edx, "dx of {g:?} {mode:?}");
                assert!(dw == edw, "dw of {g:?} {mode:?}");
            }
        }
    }

    /// Random small geometries of 1, 2 and 3 dimensions with every feature of a window.
    pub fn geometries() -> Vec<Geometry> {
        let mut r = Stream::new(11, Purpose::User, 0);
        let mut list = Vec::new();
        while list.len() < 120 {
            let dims = 1 + r.below(3);
            let (mut space, mut window) = ([1; 3], Window::new([1; 3]));
            for i in 3 - dims..3 {
                space[i] = 1 + r.below(if dims == 3 { 5 } else { 9 });
                window.size[i] = 1 + r.below(4);
                window.stride[i] = 1 + r.below(3);
                window.dilation[i] = 1 + r.below(2);
                window.gap[i] = r.below(3) * r.below(2);
                window.before[i] = r.below(4);
                window.after[i] = r.below(4);
            }
            let groups = [1, 1, 2, 3][r.below(4)];
            let (c, f) = (groups * (1 + r.below(5)), groups * (1 + r.below(5)));
            let x = Extent { c, ..Extent::flat(1).with_space(space) };
            list.extend(Geometry::new(x, f, window, groups));
        }
        list
    }
}
