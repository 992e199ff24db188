//! Convolution as a matrix product: the patches under a window as the rows of a matrix, and the way back.
//!
//! With the weights as a matrix w of taps·c rows and f columns, y = im2col(x)·w, dx = col2im(dy·wᵀ) and
//! dw = im2col(x)ᵀ·dy. The fast paths of [`conv`](super::conv) never build the matrix; this is their readable reference.
//!
//! Output p and tap t meet input q on an axis where p·stride + t·dilation = before + q·(gap + 1).

use super::conv::Geometry;
use crate::Real;

impl Geometry {
    /// Calls `f(p, t, q)` for every output position p, tap t and input position q of one sample that meet, in the order
    /// of p, then t.
    pub fn meet(&self, mut f: impl FnMut(usize, usize, usize)) {
        let Self { x, y, window, .. } = *self;
        let size = window.size;
        let input = |axis: usize, p: usize, t: usize| {
            let reach = (p * window.stride[axis] + t * window.dilation[axis]).checked_sub(window.before[axis])?;
            let unit = window.gap[axis] + 1;
            (reach % unit == 0 && reach / unit < x.space()[axis]).then_some(reach / unit)
        };
        for p in 0..y.area() {
            let at = [p / (y.h * y.w), p / y.w % y.h, p % y.w];
            for td in 0..size[0] {
                let Some(qd) = input(0, at[0], td) else { continue };
                for th in 0..size[1] {
                    let Some(qh) = input(1, at[1], th) else { continue };
                    for tw in 0..size[2] {
                        if let Some(qw) = input(2, at[2], tw) {
                            f(p, (td * size[1] + th) * size[2] + tw, (qd * x.h + qh) * x.w + qw);
                        }
                    }
                }
            }
        }
    }
}

/// Writes the patches of one sample: `columns[(p·taps + t)·c + i] = x[q·c + i]`, 0 where a tap meets no input.
///
/// # Shapes
/// `x` holds the input's d·h·w·c values, `columns` one row of taps·c values for each output position.
pub fn im2col<T: Real>(g: &Geometry, x: &[T], columns: &mut [T]) {
    let (c, taps) = (g.x.c, g.window.taps());
    columns.fill(T::ZERO);
    g.meet(|p, t, q| columns[(p * taps + t) * c..][..c].copy_from_slice(&x[q * c..][..c]));
}

/// Writes the sum of all patch elements that came from each input: the transpose of [`im2col`].
pub fn col2im<T: Real>(g: &Geometry, columns: &[T], x: &mut [T]) {
    let (c, taps) = (g.x.c, g.window.taps());
    x.fill(T::ZERO);
    g.meet(|p, t, q| {
        for (x, column) in x[q * c..][..c].iter_mut().zip(&columns[(p * taps + t) * c..][..c]) {
            *x += *column;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::conv::tests::geometries;
    use crate::rng::{Purpose, Stream};

    #[test]
    fn col2im_is_the_transpose_of_im2col() {
        for (i, g) in geometries().into_iter().enumerate() {
            let mut r = Stream::new(3, Purpose::User, i as u64);
            let mut draw = |n: usize| (0..n).map(|_| r.normal()).collect::<Vec<f64>>();
            let (x, columns) = (draw(g.x.len()), draw(g.y.area() * g.window.taps() * g.x.c));
            let (mut ax, mut aty) = (vec![7.0; columns.len()], vec![7.0; x.len()]);
            im2col(&g, &x, &mut ax);
            col2im(&g, &columns, &mut aty);
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let size = dot(&ax, &ax).sqrt() * dot(&columns, &columns).sqrt() + 1.0;
            let (left, right) = (dot(&ax, &columns), dot(&x, &aty));
            assert!((left - right).abs() < 1e-12 * size, "{g:?}: {left} and {right}");
        }
    }

    #[test]
    fn a_padded_line_by_hand() {
        let window = crate::Window { before: [0, 0, 1], after: [0, 0, 1], ..crate::Window::new([1, 1, 3]) };
        let g = Geometry::new(crate::Extent::line(3, 1), 1, window, 1).unwrap();
        let mut columns = [9.0_f32; 9];
        im2col(&g, &[1.0, 2.0, 3.0], &mut columns);
        assert_eq!(columns, [0.0, 1.0, 2.0, 1.0, 2.0, 3.0, 2.0, 3.0, 0.0]);
    }
}
