//! Convolutions with fewer filters than a vector has lanes: neighbouring outputs of a row share a vector.
//!
//! q neighbours along w with f filters each are one output with q·f filters, where they lie already. Its window is their
//! union, n' = n + (q − 1)·s wide, and it moves by q·s: w'(t, i, (k, j)) = w(t − k·s, i, j), 0 where t − k·s is no tap.
//! An output then costs n'/q products of vectors instead of n. The gradient wrt the input is such a convolution of dy with
//! the taps flipped and the channels exchanged, where the stride is 1; the gradient wrt w is the sum of that wrt w' over k.

use super::conv::Geometry;
use crate::memory::GradMode;
use crate::{Extent, Real, Window};

/// Neighbouring outputs in one.
#[derive(Debug)]
pub(super) struct Neighbours {
    /// The convolution as it is computed.
    pub wide: Geometry,
    /// How many, and the inputs from one to the next.
    count: usize,
    step: usize,
    /// Of the gradient wrt the input: the given weights are flipped and transposed.
    flip: bool,
    /// The window that was asked for, and its filters: outputs of one place.
    size: [usize; 3],
    filters: usize,
}

/// The share of the products that must remain at most, for the copies of weights to pay.
const WORTH: f64 = 0.85;

impl Neighbours {
    /// The number that costs the least in vectors of so many lanes, if that is worth it.
    pub fn of(g: &Geometry, flip: bool, lanes: usize) -> Option<Self> {
        let (window, plain) = (g.window, if flip { g.window.stride } else { g.window.gap.map(|n| n + 1) });
        if g.groups > 1 || plain != [1; 3] || window.dilation[2] != 1 {
            return None;
        }
        let (input, output) = if flip { (g.y, g.x) } else { (g.x, g.y) };
        let window = if flip { turned(&window)? } else { window };
        let (n, f, step) = (window.size[2], output.c, window.stride[2]);
        let cost = |q: usize| ((n + (q - 1) * step) * (q * f).div_ceil(lanes)) as f64 / q as f64;
        let counts = (2..=output.w.min(2 * lanes / f)).filter(|q| output.w.is_multiple_of(*q));
        let count = counts.min_by(|a, b| cost(*a).total_cmp(&cost(*b))).filter(|&q| cost(q) <= WORTH * cost(1))?;
        let mut wide = window;
        wide.size[2] = n + (count - 1) * step;
        wide.stride[2] = count * step;
        let y = Extent { w: output.w / count, c: count * f, ..output };
        let wide = Geometry { x: input, y, window: wide, groups: 1 };
        Some(Self { wide, count, step, flip, size: window.size, filters: f })
    }

    /// Elements of w'.
    pub fn len(&self) -> usize {
        self.wide.weights().iter().product()
    }

    /// For each row of w' and neighbour that meet: the row of w', the neighbour, tap and channel of w.
    fn meet(&self, mut f: impl FnMut(usize, usize, usize, usize)) {
        let [_, _, n] = self.size;
        let [kd, kh, wide, c, _] = self.wide.weights();
        for (line, t) in (0..kd * kh).flat_map(|line| (0..wide).map(move |t| (line, t))) {
            for k in 0..self.count {
                let Some(tap) = t.checked_sub(k * self.step).filter(|&tap| tap < n) else { continue };
                let tap = line * n + tap;
                let tap = if self.flip { kd * kh * n - 1 - tap } else { tap };
                (0..c).for_each(|i| f((line * wide + t) * c + i, k, tap, i));
            }
        }
    }

    /// w' from w.
    pub fn widen<T: Real>(&self, w: &[T], wide: &mut [T]) {
        let (f, c, columns) = (self.filters, self.wide.x.c, self.wide.y.c);
        wide.fill(T::ZERO);
        self.meet(|row, k, tap, i| {
            let out = &mut wide[row * columns + k * f..][..f];
            if self.flip {
                out.iter_mut().zip(w[tap * f * c + i..].iter().step_by(c)).for_each(|(out, w)| *out = *w);
            } else {
                out.copy_from_slice(&w[(tap * c + i) * f..][..f]);
            }
        });
    }

    /// dw (+)= the sums of dw'; never flipped.
    pub fn sum<T: Real>(&self, wide: &[T], mode: GradMode, dw: &mut [T]) {
        let (f, c, columns) = (self.filters, self.wide.x.c, self.wide.y.c);
        if mode == GradMode::Write {
            dw.fill(T::ZERO);
        }
        self.meet(|row, k, tap, i| {
            let sums = &wide[row * columns + k * f..][..f];
            dw[(tap * c + i) * f..][..f].iter_mut().zip(sums).for_each(|(dw, sum)| *dw += *sum);
        });
    }

    /// The bias of each neighbour.
    pub fn repeat<T: Real>(&self, bias: &[T], wide: &mut [T]) {
        wide.chunks_exact_mut(self.filters).for_each(|wide| wide.copy_from_slice(bias));
    }
}

/// The window of the gradient wrt the input, of a convolution with stride 1.
fn turned(window: &Window) -> Option<Window> {
    let mut before = [0; 3];
    for (i, before) in before.iter_mut().enumerate() {
        *before = ((window.size[i] - 1) * window.dilation[i]).checked_sub(window.before[i])?;
    }
    // What follows after does not count: the sizes of the output are given.
    Some(Window { stride: window.gap.map(|n| n + 1), gap: [0; 3], before, ..*window })
}
