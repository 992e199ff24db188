//! Cases of `ZeroPad` and `Crop`.

use crate::case::{Batch, Case, case};
use crate::check::layer_suite;
use kamacite::Extent;
use kamacite::layer::{Crop, ZeroPad};

fn cases() -> Vec<Case> {
    let pad = |layer: ZeroPad, x: Extent, before: [usize; 3], after: [usize; 3]| {
        case(format!("pad {before:?} {after:?} on {x}"), layer).x(x).naive(move |g| {
            let (x, e) = (g.x(), g.x().extent);
            let out = e.with_space(std::array::from_fn(|i| e.space()[i] + before[i] + after[i]));
            Batch::from_fn(x.rows, out, |[n, d, h, w, c]| {
                let at = |o: usize, i: usize| o.checked_sub(before[i]).filter(|&q| q < e.space()[i]);
                match (at(d, 0), at(h, 1), at(w, 2)) {
                    (Some(d), Some(h), Some(w)) => x[[n, d, h, w, c]],
                    _ => 0.0,
                }
            })
        })
    };
    let crop = |layer: Crop, x: Extent, before: [usize; 3], after: [usize; 3]| {
        case(format!("crop {before:?} {after:?} on {x}"), layer).x(x).naive(move |g| {
            let (x, e) = (g.x(), g.x().extent);
            let out = e.with_space(std::array::from_fn(|i| e.space()[i] - before[i] - after[i]));
            Batch::from_fn(x.rows, out, |[n, d, h, w, c]| x[[n, d + before[0], h + before[1], w + before[2], c]])
        })
    };
    vec![
        pad(ZeroPad::new(1, 1), Extent::image(3, 4, 2), [0, 1, 1], [0, 1, 1]),
        pad(ZeroPad::new([2, 0], [0, 3]), Extent::image(2, 3, 5), [0, 2, 0], [0, 0, 3]),
        pad(ZeroPad::new(0, [1]), Extent::line(4, 3), [0; 3], [0, 0, 1]),
        pad(ZeroPad::new([1, 0, 2], [0, 1, 1]), Extent::cube(2, 3, 2, 1), [1, 0, 2], [0, 1, 1]),
        pad(ZeroPad::new(1, [0, 2]), Extent::image(2, 3, 16), [0, 1, 1], [0, 0, 2]),
        crop(Crop::new([2, 0], 1), Extent::image(4, 3, 24), [0, 2, 0], [0, 1, 1]),
        crop(Crop::new(1, 1), Extent::image(4, 5, 3), [0, 1, 1], [0, 1, 1]),
        crop(Crop::new([0, 2], [3, 0]), Extent::image(5, 4, 2), [0, 0, 2], [0, 3, 0]),
        crop(Crop::new([1, 1, 0], [0, 1, 1]), Extent::cube(3, 4, 2, 2), [1, 1, 0], [0, 1, 1]),
    ]
}

layer_suite!();
