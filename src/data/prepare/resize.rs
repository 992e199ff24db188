//! Images of another size: by splines through the pixels, or by averages over areas. One axis after the other.

use super::Scratch;
use crate::Extent;
use serde::{Deserialize, Serialize};

/// How values between pixels are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The cubic spline through all pixels, first pixel on first and last on last: `scipy.ndimage.zoom(order=3)`, but without its zeros
    /// where rounding puts the last pixel beyond the edge. Makes no average: stars may be lost when an image shrinks much.
    Cubic,
    /// Straight lines between pixels, first on first and last on last: `scipy.ndimage.zoom(order=1)`.
    Linear,
    /// The mean over the area that a new pixel covers: keeps the mean of the image, and its noise falls as it should.
    Area,
}

/// The pole of the cubic B-spline, √3 − 2.
const POLE: f64 = -0.267_949_192_431_122_7;

/// Powers of the pole beyond this one vanish in double precision.
const VANISHED: usize = 64;

/// Lines that are worked on side by side: whole vectors, and in the second-level cache for lines of some thousand pixels.
const LANES: usize = 32;

/// `outer` times `n` times `inner` values: an axis of length n within an array.
#[derive(Clone, Copy)]
struct Axis {
    outer: usize,
    n: usize,
    inner: usize,
}

/// Resizes every slice and channel.
pub(super) fn resize(x: &[f32], from: Extent, y: &mut [f32], to: Extent, how: Interpolation, scratch: &mut Scratch) {
    let rows = |e: Extent| Axis { outer: e.d, n: e.h, inner: e.w * e.c };
    let columns = |e: Extent| Axis { outer: e.d * e.h, n: e.w, inner: e.c };
    let lines = &mut scratch.wide;
    match (to.h == from.h, to.w == from.w) {
        (true, true) => return y.copy_from_slice(x),
        (false, true) => return along(x, rows(from), y, to.h, how, lines),
        (true, false) => return along(x, columns(from), y, to.w, how, lines),
        (false, false) => {}
    }
    let between = &mut scratch.between;
    between.clear();
    // First the axis that leaves less to do for the other one.
    if to.h * from.w <= to.w * from.h {
        let middle = Extent { h: to.h, ..from };
        between.resize(middle.len(), 0.0);
        along(x, rows(from), between, to.h, how, lines);
        along(between, columns(middle), y, to.w, how, lines);
    } else {
        let middle = Extent { w: to.w, ..from };
        between.resize(middle.len(), 0.0);
        along(x, columns(from), between, to.w, how, lines);
        along(between, rows(middle), y, to.h, how, lines);
    }
}

/// Brings one axis to length m.
fn along(x: &[f32], axis: Axis, y: &mut [f32], m: usize, how: Interpolation, lines: &mut Vec<f64>) {
    let Axis { outer, n, inner } = axis;
    lines.clear();
    lines.resize(n * LANES, 0.0);
    let total = outer * inner;
    for first in (0..total).step_by(LANES) {
        let lanes = LANES.min(total - first);
        // Where lane l begins in an array whose axis has this length.
        let at = |l: usize, n: usize| (first + l) / inner * n * inner + (first + l) % inner;
        let together = at(lanes - 1, n) - at(0, n) == lanes - 1;
        for (k, line) in lines.chunks_exact_mut(LANES).enumerate() {
            if together {
                let x = &x[at(0, n) + k * inner..][..lanes];
                line.iter_mut().zip(x).for_each(|(v, x)| *v = f64::from(*x));
            } else {
                line[..lanes].iter_mut().enumerate().for_each(|(l, v)| *v = f64::from(x[at(l, n) + k * inner]));
            }
        }
        if how == Interpolation::Cubic && n > 1 {
            coefficients(lines, n);
        }
        for i in 0..m {
            let mut sum = [0.0; LANES];
            let mut add = |k: usize, weight: f64| {
                sum.iter_mut().zip(&lines[k * LANES..][..LANES]).for_each(|(s, v)| *s += weight * v);
            };
            match how {
                Interpolation::Cubic => cubic(i, n, m, &mut add),
                Interpolation::Linear => linear(i, n, m, &mut add),
                Interpolation::Area => area(i, n, m, &mut add),
            }
            sum[..lanes].iter().enumerate().for_each(|(l, s)| y[at(l, m) + i * inner] = *s as f32);
        }
    }
}

/// The coefficients of the spline through n lines of values, mirrored about the first and the last.
///
/// # Source
/// Unser, Aldroubi & Eden 1993, "B-spline signal processing", equations 2.5 and following.
fn coefficients(lines: &mut [f64], n: usize) {
    let gain = (1.0 - POLE) * (1.0 - 1.0 / POLE);
    lines.iter_mut().for_each(|v| *v *= gain);
    let (last, power) = (n - 1, |k: usize| POLE.powi(k.min(1000) as i32));
    let row = |lines: &[f64], k: usize| -> [f64; LANES] {
        let mut out = [0.0; LANES];
        out.copy_from_slice(&lines[k * LANES..][..LANES]);
        out
    };
    let mut sum = row(lines, 0);
    let mut add = |v: [f64; LANES], weight: f64| sum.iter_mut().zip(v).for_each(|(s, v)| *s += weight * v);
    add(row(lines, last), power(last));
    for k in 1..last {
        if k < VANISHED || 2 * last - k < VANISHED {
            add(row(lines, k), power(k) + power(2 * last - k));
        }
    }
    let whole = 1.0 - power(2 * last);
    lines[..LANES].iter_mut().zip(sum).for_each(|(c, s)| *c = s / whole);
    for k in 1..n {
        let (before, c) = lines.split_at_mut(k * LANES);
        c.iter_mut().zip(&before[(k - 1) * LANES..]).take(LANES).for_each(|(c, b)| *c += POLE * b);
    }
    let before = row(lines, last - 1);
    lines[last * LANES..].iter_mut().zip(before).for_each(|(c, b)| *c = POLE / (POLE * POLE - 1.0) * (POLE * b + *c));
    for k in (0..last).rev() {
        let (c, after) = lines.split_at_mut((k + 1) * LANES);
        c[k * LANES..].iter_mut().zip(&after[..LANES]).for_each(|(c, a)| *c = POLE * (a - *c));
    }
}

/// Where pixel i of m lies among n: pixel and fraction.
fn place(i: usize, n: usize, m: usize) -> (usize, f64) {
    if m < 2 || n < 2 {
        return (0, 0.0);
    }
    let u = (i * (n - 1)) as f64 / (m - 1) as f64;
    let k = (u as usize).min(n - 1);
    (k, u - k as f64)
}

fn cubic(i: usize, n: usize, m: usize, add: &mut impl FnMut(usize, f64)) {
    let (k, t) = place(i, n, m);
    if n == 1 {
        return add(0, 1.0);
    }
    let s = 1.0 - t;
    let weights =
        [s * s * s / 6.0, (4.0 - 3.0 * t * t * (2.0 - t)) / 6.0, (4.0 - 3.0 * s * s * (2.0 - s)) / 6.0, t * t * t / 6.0];
    for (tap, weight) in weights.into_iter().enumerate() {
        // k + tap − 1, mirrored about 0 and n − 1.
        let at = (k + tap).abs_diff(1) % (2 * (n - 1));
        add(at.min(2 * (n - 1) - at), weight);
    }
}

fn linear(i: usize, n: usize, m: usize, add: &mut impl FnMut(usize, f64)) {
    let (k, t) = place(i, n, m);
    add(k, 1.0 - t);
    if t > 0.0 {
        add(k + 1, t);
    }
}

fn area(i: usize, n: usize, m: usize, add: &mut impl FnMut(usize, f64)) {
    // In units of 1/m of an old pixel: whole numbers.
    let (from, to) = (i * n, (i + 1) * n);
    for k in from / m..to.div_ceil(m) {
        let covered = to.min((k + 1) * m) - from.max(k * m);
        add(k, covered as f64 / n as f64);
    }
}
