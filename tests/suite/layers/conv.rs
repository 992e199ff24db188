//! Cases of `Conv`.

use crate::case::{Batch, Case, Given, case, enumerate, triples, under};
use crate::check::layer_suite;
use kamacite::layer::Conv;
use kamacite::rng::{Purpose, Stream};
use kamacite::{Activation, Extent, LeakyRelu, Relu, Silu, Tanh, Window};

/// y[p][f] = b[f] + Σ x[q][i]·w[t][i][f] over the taps t that lie over an input, one product after another.
pub fn naive(g: &Given, w: &Window, filters: usize, groups: usize) -> Batch {
    let x = g.x();
    let e = x.extent;
    let y = Extent { c: filters, ..e.with_space(enumerate(e, w)) };
    let (cg, fg) = (e.c / groups, filters / groups);
    let weight = g.array("weight");
    Batch::from_fn(x.rows, y, |[n, d, h, v, f]| {
        let mut sum = g.arrays.get("bias").map_or(0.0, |b| b[f]);
        for t in triples(w.size) {
            let q: [Option<usize>; 3] = std::array::from_fn(|i| under([d, h, v][i], t[i], w, i, e.space()[i]));
            let [Some(qd), Some(qh), Some(qw)] = q else { continue };
            for i in 0..cg {
                let tap = (t[0] * w.size[1] + t[1]) * w.size[2] + t[2];
                sum += x[[n, qd, qh, qw, f / fg * cg + i]] * weight[(tap * cg + i) * filters + f];
            }
        }
        sum
    })
}

fn conv(name: &str, layer: Conv, x: Extent, w: Window, filters: usize, groups: usize) -> Case {
    let filters = if filters == 0 { x.c } else { filters };
    case(format!("{name} on {x}"), layer)
        .x(x)
        .naive(move |g| naive(g, &w, filters, groups))
        .terms(w.taps() * x.c.max(filters) / groups)
}

fn window(size: [usize; 3]) -> Window {
    Window::new(size)
}

fn padded(size: [usize; 3], pad: [usize; 3]) -> Window {
    Window { before: pad, after: pad, ..window(size) }
}

fn cases() -> Vec<Case> {
    let image = Extent::image;
    let mut list = vec![
        conv("1x1", Conv::new(4, 1), image(3, 4, 5), window([1; 3]), 4, 1),
        conv("1x1 of a vector", Conv::new(7, 1), Extent::flat(5), window([1; 3]), 7, 1).rows(9),
        conv("1x1 strided", Conv::new(3, 1).stride(2), image(5, 4, 17), Window { stride: [1, 2, 2], ..window([1; 3]) }, 3, 1),
        conv("3x3", Conv::new(3, 3), image(5, 6, 2), window([1, 3, 3]), 3, 1),
        conv("3x3 padded, one channel", Conv::new(8, 3).pad(1), image(7, 5, 1), padded([1, 3, 3], [0, 1, 1]), 8, 1),
        conv("3x3 padded, 16 to 17", Conv::new(17, 3).pad(1), image(6, 6, 16), padded([1, 3, 3], [0, 1, 1]), 17, 1),
        conv("3x3 padded, 17 to 16", Conv::new(16, 3).pad(1), image(4, 9, 17), padded([1, 3, 3], [0, 1, 1]), 16, 1),
        conv("3x3 padded, 3 to 33", Conv::new(33, 3).pad(1), image(8, 8, 3), padded([1, 3, 3], [0, 1, 1]), 33, 1).rows(1),
        conv("5x5 padded, one channel", Conv::new(6, 5).pad(2), image(9, 8, 1), padded([1, 5, 5], [0, 2, 2]), 6, 1).rows(2),
        conv("pad larger than the window", Conv::new(2, 2).pad(3), image(3, 3, 2), padded([1, 2, 2], [0, 3, 3]), 2, 1),
        conv(
            "sides and stride",
            Conv::new(3, [3, 2]).stride([2, 1]).pad_sides([1, 0], [0, 2]),
            image(6, 5, 3),
            Window { stride: [1, 2, 1], before: [0, 1, 0], after: [0, 0, 2], ..window([1, 3, 2]) },
            3,
            1,
        ),
        conv(
            "stride that leaves a rest",
            Conv::new(2, 3).stride(3).pad(1),
            image(9, 7, 2),
            Window { stride: [1, 3, 3], ..padded([1, 3, 3], [0, 1, 1]) },
            2,
            1,
        ),
        conv(
            "dilated",
            Conv::new(3, 3).dilation(2).pad(2),
            image(6, 5, 2),
            Window { dilation: [1, 2, 2], ..padded([1, 3, 3], [0, 2, 2]) },
            3,
            1,
        ),
        conv(
            "gap",
            Conv::new(2, 4).gap(1).pad(2),
            image(3, 4, 2),
            Window { gap: [0, 1, 1], ..padded([1, 4, 4], [0, 2, 2]) },
            2,
            1,
        ),
        conv(
            "gap, stride and dilation",
            Conv::new(3, 3).gap(2).stride(2).dilation(2).pad(1),
            image(4, 3, 2),
            Window { gap: [0, 2, 2], stride: [1, 2, 2], dilation: [1, 2, 2], ..padded([1, 3, 3], [0, 1, 1]) },
            3,
            1,
        ),
        conv("two groups", Conv::new(6, 3).groups(2).pad(1), image(4, 5, 4), padded([1, 3, 3], [0, 1, 1]), 6, 2),
        conv("depthwise", Conv::depthwise(3).pad(1), image(5, 4, 5), padded([1, 3, 3], [0, 1, 1]), 0, 5),
        conv(
            "depthwise, 17 channels",
            Conv::depthwise(3).pad(1).stride(2),
            image(5, 6, 17),
            Window { stride: [1, 2, 2], ..padded([1, 3, 3], [0, 1, 1]) },
            0,
            17,
        ),
        conv("depthwise, twice the channels", Conv::depthwise(2).multiplier(2), image(4, 4, 3), window([1, 2, 2]), 6, 3),
        conv("no bias", Conv::new(3, 2).no_bias(), image(4, 3, 3), window([1, 2, 2]), 3, 1),
        conv(
            "spectrum",
            Conv::new(5, 4).stride(2).pad(1),
            Extent::line(13, 1),
            Window { stride: [1, 1, 2], ..padded([1, 1, 4], [0, 0, 1]) },
            5,
            1,
        ),
        conv("spectrum, 17 channels", Conv::new(4, 7), Extent::line(11, 17), window([1, 1, 7]), 4, 1),
        conv("cube", Conv::new(3, 3).pad(1), Extent::cube(4, 3, 5, 2), padded([3; 3], [1; 3]), 3, 1),
        conv(
            "cube, anisotropic",
            Conv::new(2, [2, 3, 1]).stride([2, 1, 2]).pad([1, 0, 0]),
            Extent::cube(5, 4, 3, 3),
            Window { stride: [2, 1, 2], ..padded([2, 3, 1], [1, 0, 0]) },
            2,
            1,
        ),
        conv("window of the whole image", Conv::new(9, [4, 4]), image(4, 4, 3), window([1, 4, 4]), 9, 1),
        conv("many rows", Conv::new(4, 3).pad(1), image(4, 4, 3), padded([1, 3, 3], [0, 1, 1]), 4, 1).rows(17),
        // More elements than the differences try one by one.
        conv("large", Conv::new(24, 3).pad(1), image(12, 11, 16), padded([1, 3, 3], [0, 1, 1]), 24, 1).rows(2),
        conv("large, many channels", Conv::new(32, 3).pad(1), image(20, 20, 32), padded([1, 3, 3], [0, 1, 1]), 32, 1).rows(1),
        conv("large 1x1", Conv::new(64, 1), image(9, 9, 48), window([1; 3]), 64, 1).rows(2),
        conv("large depthwise", Conv::depthwise(5).pad(2), image(17, 15, 40), padded([1, 5, 5], [0, 2, 2]), 0, 40).rows(2),
        // "Same": ⌈7/2⌉ = 4 places need 1 + 1 zeros; ⌈6/2⌉ = 3 need one, after.
        conv(
            "same",
            Conv::new(2, 3).stride(2).same(),
            image(7, 6, 2),
            Window { stride: [1, 2, 2], before: [0, 1, 0], after: [0, 1, 1], ..window([1, 3, 3]) },
            2,
            1,
        ),
    ];
    type Curve = fn(f64) -> f64;
    let curves: [(Activation, Curve); 4] = [
        (Relu, |z| z.max(0.0)),
        (Tanh, f64::tanh),
        (Silu, |z| z / (1.0 + (-z).exp())),
        (LeakyRelu { slope: 0.1, saturation: Some(1.0) }, |z| if z > 1.0 { 1.0 + 0.1 * (z - 1.0) } else { z.max(0.1 * z) }),
    ];
    for (act, f) in curves {
        let w = padded([1, 3, 3], [0, 1, 1]);
        let layer = Conv::new(5, 3).pad(1).act(act);
        list.push(case(format!("{act:?}"), layer).x(image(5, 4, 3)).naive(move |g| naive(g, &w, 5, 1).map(f)).terms(9 * 5));
    }
    list
}

layer_suite!();

/// Random geometries: extents against enumeration, values against the loop nest.
#[test]
fn random_windows() {
    let mut r = Stream::new(3, Purpose::User, 0);
    let (mut list, mut tried) = (Vec::new(), 0);
    while list.len() < 40 {
        tried += 1;
        assert!(tried < 5000);
        let dims = 1 + r.below(3);
        let (mut space, mut w) = ([1; 3], window([1; 3]));
        for (i, space) in space.iter_mut().enumerate().skip(3 - dims) {
            *space = 2 + r.below(if dims == 3 { 4 } else { 8 });
            w.size[i] = 1 + r.below(4);
            w.stride[i] = 1 + r.below(3);
            w.dilation[i] = 1 + r.below(2);
            w.gap[i] = r.below(3) * r.below(2);
            w.before[i] = r.below(4);
            w.after[i] = r.below(4);
        }
        let groups = [1, 1, 2, 3][r.below(4)];
        let (c, f) = (groups * (1 + r.below(5)), groups * (1 + r.below(5)));
        let x = Extent { c, ..Extent::flat(1).with_space(space) };
        let layer =
            Conv::new(f, w.size).stride(w.stride).dilation(w.dilation).gap(w.gap).pad_sides(w.before, w.after).groups(groups);
        let new = case(format!("{w:?} on {x}, {f} filters, {groups} groups"), layer).x(x).naive(move |g| naive(g, &w, f, groups));
        if enumerate(x, &w).contains(&0) {
            // No place for the window: refused, whoever plans it.
            assert!(new.rig(kamacite::Precision::FP64, &kamacite::Device::cpu()).is_err(), "{}", new.name);
        } else if touches(x, &w) {
            list.push(new.seed(list.len() as u64).rows(2));
        }
    }
    crate::check::all(&list, crate::check::forward);
    crate::check::all(&list, crate::gradient::gradients);
}

/// Whether some tap lies over some input: with a large stride or gap there may be none, and y is the bias.
fn touches(x: Extent, w: &Window) -> bool {
    (0..3).all(|axis| {
        let places = enumerate(x, w)[axis];
        (0..places).any(|p| (0..w.size[axis]).any(|t| under(p, t, w, axis, x.space()[axis]).is_some()))
    })
}
