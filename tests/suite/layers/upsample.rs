//! Cases of `Upsample`.

use crate::case::{Batch, Case, case};
use crate::check::layer_suite;
use kamacite::Extent;
use kamacite::layer::Upsample;

#[derive(Clone, Copy, PartialEq)]
enum How {
    Nearest,
    Centres,
    Corners,
}

/// The value at output `o` of an axis of `n` inputs as weights of two inputs.
fn weights(how: How, o: usize, n: usize, f: usize) -> [(usize, f64); 2] {
    let u = match how {
        How::Nearest => return [(o / f, 1.0), (0, 0.0)],
        How::Centres => ((o as f64 + 0.5) / f as f64 - 0.5).max(0.0),
        How::Corners if n * f == 1 => 0.0,
        How::Corners => o as f64 * (n - 1) as f64 / (n * f - 1) as f64,
    };
    let i = (u.floor() as usize).min(n - 1);
    [(i, 1.0 - (u - i as f64)), ((i + 1).min(n - 1), u - i as f64)]
}

fn cases() -> Vec<Case> {
    let new = |how: How, layer: Upsample, x: Extent, f: [usize; 3]| {
        let kind = ["nearest", "linear", "corners"][how as usize];
        case(format!("{kind} {f:?} on {x}"), layer).x(x).terms(8 * f.iter().product::<usize>()).naive(move |g| {
            let (x, e) = (g.x(), g.x().extent);
            let out = e.with_space(std::array::from_fn(|i| e.space()[i] * f[i]));
            Batch::from_fn(x.rows, out, |[n, d, h, w, c]| {
                let at = |o, i: usize| weights(how, o, e.space()[i], f[i]);
                let mut sum = 0.0;
                for (qd, a) in at(d, 0) {
                    for (qh, b) in at(h, 1) {
                        for (qw, k) in at(w, 2) {
                            sum += a * b * k * x[[n, qd, qh, qw, c]];
                        }
                    }
                }
                sum
            })
        })
    };
    let image = Extent::image;
    vec![
        new(How::Nearest, Upsample::nearest(2), image(3, 4, 2), [1, 2, 2]),
        new(How::Nearest, Upsample::nearest([3, 1]), image(2, 3, 17), [1, 3, 1]),
        new(How::Nearest, Upsample::nearest(2), Extent::cube(2, 3, 2, 1), [2; 3]),
        new(How::Centres, Upsample::linear(2), image(3, 4, 3), [1, 2, 2]),
        new(How::Centres, Upsample::linear([2, 3]), image(4, 2, 1), [1, 2, 3]),
        new(How::Centres, Upsample::linear(4), Extent::line(5, 2), [1, 1, 4]),
        new(How::Centres, Upsample::linear(2), Extent::cube(2, 3, 2, 2), [2; 3]),
        new(How::Corners, Upsample::linear(2).align_corners(), image(3, 4, 3), [1, 2, 2]),
        new(How::Corners, Upsample::linear(3).align_corners(), Extent::line(4, 5), [1, 1, 3]),
        new(How::Nearest, Upsample::nearest(1), image(3, 3, 2), [1; 3]),
        // Channels that a GPU moves in packs; one input on an axis.
        new(How::Nearest, Upsample::nearest([3, 2]), image(2, 3, 16), [1, 3, 2]),
        new(How::Centres, Upsample::linear([5, 2]), image(2, 3, 8), [1, 5, 2]),
        new(How::Corners, Upsample::linear([2, 3]).align_corners(), image(3, 2, 24), [1, 2, 3]),
        new(How::Centres, Upsample::linear([3, 2, 2]), Extent::cube(1, 2, 3, 1), [3, 2, 2]),
        new(How::Corners, Upsample::linear([3, 1, 2]).align_corners(), Extent::cube(1, 4, 2, 1), [3, 1, 2]),
    ]
}

layer_suite!();
