//! Steps that change the frame of an image: pad, crop, fit into a square.

use super::{Interpolation, Scratch, resize, step::at_least_one};
use crate::{Error, Extent, Result};

pub(super) fn padded(from: Extent, h: usize, w: usize, value: f32) -> Result<Extent> {
    at_least_one(h, w)?;
    if !value.is_finite() {
        return Err(Error::value("", "value").expected("a finite number").got(value));
    }
    if h < from.h || w < from.w {
        let e = Error::shape("", "smaller than the sample").expected(format!("at least {}x{}", from.h, from.w));
        return Err(e.got(format!("{h}x{w}")).hint("crop or resize instead"));
    }
    Ok(Extent { h, w, ..from })
}

pub(super) fn cropped(from: Extent, h: usize, w: usize) -> Result<Extent> {
    at_least_one(h, w)?;
    if h > from.h || w > from.w {
        let e = Error::shape("", "larger than the sample").expected(format!("at most {}x{}", from.h, from.w));
        return Err(e.got(format!("{h}x{w}")).hint("pad or resize instead"));
    }
    Ok(Extent { h, w, ..from })
}

/// Copies rows of `n` values between two images that begin at these rows and columns.
fn copy(x: &[f32], (from, fr, fc): (Extent, usize, usize), y: &mut [f32], (to, tr, tc): (Extent, usize, usize)) {
    let (rows, columns) = (from.h.min(to.h), from.w.min(to.w) * from.c);
    for d in 0..from.d {
        for row in 0..rows {
            let a = ((d * from.h + row + fr) * from.w + fc) * from.c;
            let b = ((d * to.h + row + tr) * to.w + tc) * to.c;
            y[b..b + columns].copy_from_slice(&x[a..a + columns]);
        }
    }
}

pub(super) fn pad(x: &[f32], from: Extent, y: &mut [f32], to: Extent, value: f32) {
    y.fill(value);
    copy(x, (from, 0, 0), y, (to, 0, 0));
}

pub(super) fn crop(x: &[f32], from: Extent, y: &mut [f32], to: Extent) {
    copy(x, (from, (from.h - to.h) / 2, (from.w - to.w) / 2), y, (to, 0, 0));
}

/// The size of an image whose longer side becomes `side`.
pub(super) fn fitted(from: Extent, side: usize) -> Extent {
    let scale = side as f64 / from.h.max(from.w) as f64;
    let size = |n: usize| ((n as f64 * scale).round_ties_even() as usize).clamp(1, side);
    Extent { h: size(from.h), w: size(from.w), ..from }
}

pub(super) fn fit(x: &[f32], from: Extent, y: &mut [f32], side: usize, how: Interpolation, scratch: &mut Scratch) {
    let inner = fitted(from, side);
    let to = Extent { h: side, w: side, ..from };
    if inner == to {
        return resize::resize(x, from, y, to, how, scratch);
    }
    let mut small = std::mem::take(&mut scratch.narrow);
    small.clear();
    small.resize(inner.len(), 0.0);
    resize::resize(x, from, &mut small, inner, how, scratch);
    pad(&small, inner, y, to, 0.0);
    scratch.narrow = small;
}
