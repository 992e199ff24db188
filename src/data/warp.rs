//! Resampling of images: each output pixel looks up where in the source it comes from.

use crate::Extent;
use serde::{Deserialize, Serialize};

/// What lies outside of an image that is shifted, rotated or shrunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Border {
    /// The nearest pixel of the edge.
    #[default]
    Edge,
    /// The image mirrored at its edge pixels, which are not repeated: c b | a b c | b a.
    Reflect,
    /// This value (class 0 in a target of classes).
    Value(f32),
}

/// One draw: u = m·v + t, both measured from the centre; `turned` where d is mirrored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Motion {
    pub m: [[f32; 2]; 2],
    pub t: [f32; 2],
    pub mirror_d: bool,
}

/// The channels at four neighbours; none beyond a border that has a value of its own.
pub(super) type Taps<'a, T> = [Option<&'a [T]>; 4];

/// The image to take pixels from.
pub(super) struct Source<'a, T> {
    pub x: &'a [T],
    pub e: Extent,
    pub border: Border,
}

impl<'a, T> Source<'a, T> {
    /// Runs over the output pixels with the position in the source that each shows.
    fn each(&self, motion: Motion, y: &mut [T], mut f: impl FnMut(usize, f32, f32, &mut [T])) {
        let Extent { d, h, w, c } = self.e;
        let Motion { m, t, mirror_d } = motion;
        let centre = [(h - 1) as f32 * 0.5, (w - 1) as f32 * 0.5];
        for (row, y) in y.chunks_exact_mut(w * c).enumerate() {
            let (slice, i) = (row / h, row % h);
            let slice = if mirror_d { d - 1 - slice } else { slice };
            let v = i as f32 - centre[0];
            for (j, y) in y.chunks_exact_mut(c).enumerate() {
                let u = j as f32 - centre[1];
                f(slice, m[0][0] * v + m[0][1] * u + centre[0] + t[0], m[1][0] * v + m[1][1] * u + centre[1] + t[1], y);
            }
        }
    }

    /// The channels at a pixel, or at the one that stands for it beyond the border.
    fn pixel(&self, slice: usize, i: i64, j: i64) -> Option<&'a [T]> {
        let (i, j) = (inside(self.border, i, self.e.h)?, inside(self.border, j, self.e.w)?);
        let at = ((slice * self.e.h + i) * self.e.w + j) * self.e.c;
        Some(&self.x[at..at + self.e.c])
    }

    /// Every output pixel shows one source pixel: motions by whole pixels.
    pub fn copy(&self, motion: Motion, y: &mut [T], mix: impl Fn(Taps<'_, T>, [f32; 4], &mut [T])) {
        // Coordinates are sums of halves, hence exact; the offset keeps a whole number from falling to the one below.
        self.each(motion, y, |slice, i, j, y| {
            let x = self.pixel(slice, floor(i + 0.25), floor(j + 0.25));
            mix([x; 4], [1.0, 0.0, 0.0, 0.0], y);
        });
    }

    /// Every output pixel mixes four neighbours: any motion.
    pub fn interpolate(&self, motion: Motion, y: &mut [T], mix: impl Fn(Taps<'_, T>, [f32; 4], &mut [T])) {
        self.each(motion, y, |slice, i, j, y| {
            let (i0, j0) = (floor(i), floor(j));
            let (a, b) = (i - i0 as f32, j - j0 as f32);
            let x = [(i0, j0), (i0, j0 + 1), (i0 + 1, j0), (i0 + 1, j0 + 1)].map(|(i, j)| self.pixel(slice, i, j));
            mix(x, [(1.0 - a) * (1.0 - b), (1.0 - a) * b, a * (1.0 - b), a * b], y);
        });
    }
}

fn floor(x: f32) -> i64 {
    let i = x as i64;
    if (i as f32) > x { i - 1 } else { i }
}

fn inside(border: Border, i: i64, n: usize) -> Option<usize> {
    let last = n as i64 - 1;
    if (0..=last).contains(&i) {
        return Some(i as usize);
    }
    match border {
        Border::Value(_) => None,
        Border::Edge => Some(i.clamp(0, last) as usize),
        Border::Reflect if last == 0 => Some(0),
        Border::Reflect => {
            let k = i.rem_euclid(2 * last);
            Some(k.min(2 * last - k) as usize)
        }
    }
}

/// y = Σ weight·x over the four neighbours; a neighbour of full weight is copied, so that whole motions are exact.
pub(super) fn blend(border: Border) -> impl Fn(Taps<'_, f32>, [f32; 4], &mut [f32]) {
    let outside = if let Border::Value(v) = border { v } else { 0.0 };
    move |x, weight, y| {
        if weight[0] == 1.0 {
            match x[0] {
                Some(x) => y.copy_from_slice(x),
                None => y.fill(outside),
            }
            return;
        }
        for (k, y) in y.iter_mut().enumerate() {
            let tap = |t: usize| weight[t] * x[t].map_or(outside, |x| x[k]);
            *y = (tap(0) + tap(1)) + (tap(2) + tap(3));
        }
    }
}
