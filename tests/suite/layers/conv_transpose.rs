//! Cases of `ConvTranspose`.

use crate::case::{Batch, Case, Given, case, triples};
use crate::check::layer_suite;
use kamacite::layer::ConvTranspose;
use kamacite::{Extent, Tanh, Window};

/// Every input spreads over the outputs: y[q][i] += x[p][f]·w[t][i][f] where p·stride + t·dilation = before + q.
fn naive(g: &Given, w: &Window, filters: usize, groups: usize, more: [usize; 3]) -> Batch {
    let x = g.x();
    let e = x.extent;
    let space = std::array::from_fn(|i| {
        (e.space()[i] - 1) * w.stride[i] + (w.size[i] - 1) * w.dilation[i] + 1 + more[i] - w.before[i] - w.after[i]
    });
    let (fg, cg) = (filters / groups, e.c / groups);
    let weight = g.array("weight");
    let out = Extent { c: filters, ..e.with_space(space) };
    let mut y = Batch::from_fn(x.rows, out, |i| g.arrays.get("bias").map_or(0.0, |b| b[i[4]]));
    for n in 0..x.rows {
        for p in triples(e.space()) {
            for t in triples(w.size) {
                let q = |i: usize| (p[i] * w.stride[i] + t[i] * w.dilation[i]).checked_sub(w.before[i]).filter(|&q| q < space[i]);
                let (Some(qd), Some(qh), Some(qw)) = (q(0), q(1), q(2)) else { continue };
                let tap = (t[0] * w.size[1] + t[1]) * w.size[2] + t[2];
                for f in 0..e.c {
                    for i in 0..fg {
                        y[[n, qd, qh, qw, f / cg * fg + i]] += x[[n, p[0], p[1], p[2], f]] * weight[(tap * fg + i) * e.c + f];
                    }
                }
            }
        }
    }
    y
}

fn cases() -> Vec<Case> {
    let new = |name: &str, layer: ConvTranspose, x: Extent, w: Window, (filters, groups): (usize, usize), more: [usize; 3]| {
        case(format!("{name} on {x}"), layer)
            .x(x)
            .naive(move |g| naive(g, &w, filters, groups, more))
            .terms(w.taps() * x.c.max(filters) / groups)
    };
    let (image, window) = (Extent::image, Window::new);
    let strided = move |size, stride| Window { stride, ..window(size) };
    let cut = |w: Window, pad| Window { before: pad, after: pad, ..w };
    vec![
        new("1x1", ConvTranspose::new(4, 1), image(3, 4, 5), window([1; 3]), (4, 1), [0; 3]),
        new("3x3", ConvTranspose::new(3, 3), image(4, 3, 2), window([1, 3, 3]), (3, 1), [0; 3]),
        new("doubling", ConvTranspose::new(3, 2).stride(2), image(3, 4, 5), strided([1, 2, 2], [1, 2, 2]), (3, 1), [0; 3]),
        new(
            "4x4 doubling",
            ConvTranspose::new(2, 4).stride(2).pad(1),
            image(3, 3, 17),
            cut(strided([1, 4, 4], [1, 2, 2]), [0, 1, 1]),
            (2, 1),
            [0; 3],
        ),
        new(
            "output padding",
            ConvTranspose::new(3, 3).stride(2).pad(1).output_pad(1),
            image(4, 3, 2),
            cut(strided([1, 3, 3], [1, 2, 2]), [0, 1, 1]),
            (3, 1),
            [0, 1, 1],
        ),
        new(
            "stride 3, output padding 2 by 1",
            ConvTranspose::new(2, [3, 4]).stride(3).output_pad([2, 1]),
            image(3, 2, 1),
            strided([1, 3, 4], [1, 3, 3]),
            (2, 1),
            [0, 2, 1],
        ),
        new(
            "stride above the window",
            ConvTranspose::new(2, 2).stride(3),
            image(3, 3, 2),
            strided([1, 2, 2], [1, 3, 3]),
            (2, 1),
            [0; 3],
        ),
        new(
            "dilated",
            ConvTranspose::new(2, 3).dilation(2).pad(2),
            image(4, 4, 3),
            cut(Window { dilation: [1, 2, 2], ..window([1, 3, 3]) }, [0, 2, 2]),
            (2, 1),
            [0; 3],
        ),
        new(
            "groups",
            ConvTranspose::new(6, 3).groups(2).stride(2),
            image(3, 3, 4),
            strided([1, 3, 3], [1, 2, 2]),
            (6, 2),
            [0; 3],
        ),
        new(
            "sides",
            ConvTranspose::new(2, 3).pad_sides([1, 0], [0, 2]),
            image(4, 5, 3),
            Window { before: [0, 1, 0], after: [0, 0, 2], ..window([1, 3, 3]) },
            (2, 1),
            [0; 3],
        ),
        new(
            "spectrum",
            ConvTranspose::new(3, 4).stride(2).pad(1),
            Extent::line(6, 5),
            cut(strided([1, 1, 4], [1, 1, 2]), [0, 0, 1]),
            (3, 1),
            [0; 3],
        ),
        new("cube", ConvTranspose::new(2, 2).stride(2), Extent::cube(2, 3, 2, 3), strided([2; 3], [2; 3]), (2, 1), [0; 3]),
        new("no bias", ConvTranspose::new(2, 2).no_bias(), image(3, 3, 2), window([1, 2, 2]), (2, 1), [0; 3]),
        new(
            "16 to 16",
            ConvTranspose::new(16, 3).stride(2).pad(1).output_pad(1),
            image(4, 4, 16),
            cut(strided([1, 3, 3], [1, 2, 2]), [0, 1, 1]),
            (16, 1),
            [0, 1, 1],
        ),
        case("tanh", ConvTranspose::new(3, 2).stride(2).act(Tanh))
            .x(image(3, 3, 2))
            .terms(12)
            .naive(move |g| naive(g, &strided([1, 2, 2], [1, 2, 2]), 3, 1, [0; 3]).map(f64::tanh)),
    ]
}

layer_suite!();
