//! Cases of `Pool`.

use crate::case::{Batch, Case, case, enumerate, triples, under};
use crate::check::layer_suite;
use kamacite::layer::Pool;
use kamacite::*;

/// The values under each window, in the order d, h, w.
fn naive(x: &Batch, w: &Window, join: impl Fn(&[f64]) -> f64) -> Batch {
    let e = x.extent;
    Batch::from_fn(x.rows, e.with_space(enumerate(e, w)), |[n, d, h, v, c]| {
        let mut seen = Vec::new();
        for t in triples(w.size) {
            let q: [Option<usize>; 3] = std::array::from_fn(|i| under([d, h, v][i], t[i], w, i, e.space()[i]));
            if let [Some(qd), Some(qh), Some(qw)] = q {
                seen.push(x[[n, qd, qh, qw, c]]);
            }
        }
        join(&seen)
    })
}

fn cases() -> Vec<Case> {
    let largest = |seen: &[f64]| seen.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = |seen: &[f64]| seen.iter().sum::<f64>() / seen.len() as f64;
    let image = Extent::image;
    let shapes: Vec<(Extent, Window)> = vec![
        (image(4, 6, 3), Window { stride: [1, 2, 2], ..Window::new([1, 2, 2]) }),
        (image(7, 5, 3), Window { stride: [1, 2, 2], before: [0, 1, 1], after: [0, 1, 1], ..Window::new([1, 3, 3]) }),
        (image(5, 4, 17), Window { stride: [1, 1, 1], ..Window::new([1, 2, 3]) }),
        (image(7, 7, 1), Window { stride: [1, 3, 3], ..Window::new([1, 2, 2]) }),
        (image(5, 6, 2), Window { stride: [1, 2, 1], before: [0, 0, 1], after: [0, 1, 0], ..Window::new([1, 2, 2]) }),
        (Extent::line(11, 4), Window { stride: [1, 1, 2], before: [0, 0, 1], after: [0, 0, 1], ..Window::new([1, 1, 3]) }),
        (Extent::cube(4, 3, 5, 2), Window { stride: [2, 1, 2], ..Window::new([2, 3, 2]) }),
        (Extent::cube(3, 4, 3, 3), Window { before: [1; 3], after: [1; 3], ..Window::new([3; 3]) }),
        (image(19, 21, 2), Window { stride: [1, 4, 3], before: [0, 5, 2], after: [0, 1, 5], ..Window::new([1, 10, 9]) }),
        (image(1, 5, 16), Window { stride: [1, 1, 2], ..Window::new([1, 1, 2]) }),
    ];
    let mut list = Vec::new();
    for (x, w) in shapes {
        let of = |pool: Pool| pool.stride(w.stride).pad_sides(w.before, w.after);
        let taps = w.taps();
        let name = |kind: &str| format!("{kind} {:?} by {:?} on {x}", w.size, w.stride);
        list.push(case(name("max"), of(Pool::max(w.size))).x(x).terms(taps).naive(move |g| naive(g.x(), &w, largest)));
        list.push(case(name("average"), of(Pool::average(w.size))).x(x).terms(taps).naive(move |g| naive(g.x(), &w, mean)));
        list.push(
            case(name("full average"), of(Pool::average(w.size)).count_padding())
                .x(x)
                .terms(taps)
                .naive(move |g| naive(g.x(), &w, |seen| seen.iter().sum::<f64>() / taps as f64)),
        );
    }
    // Those of more than 64 cells are shared by the threads of a block on a GPU.
    for x in [image(4, 3, 5), Extent::cube(2, 3, 2, 1), Extent::line(9, 17), image(11, 9, 3), Extent::cube(5, 3, 7, 35)] {
        let w = Window::new(x.space());
        list.push(case(format!("global max on {x}"), Pool::global_max()).x(x).naive(move |g| naive(g.x(), &w, largest)));
        list.push(
            case(format!("global average on {x}"), Pool::global_average())
                .x(x)
                .terms(x.area())
                .naive(move |g| naive(g.x(), &w, mean)),
        );
    }
    // ⌈7/2⌉ = 4 places need one cell before and one after (2·3 + 2 − 7 = 1: after).
    let same = Window { stride: [1, 2, 2], after: [0, 1, 1], ..Window::new([1, 2, 2]) };
    list.push(case("same", Pool::max(2).same()).x(image(7, 5, 2)).terms(4).naive(move |g| naive(g.x(), &same, largest)));
    list.push(
        case("large", Pool::max(2))
            .x(image(20, 20, 8))
            .terms(4)
            .naive(move |g| naive(g.x(), &Window { stride: [1, 2, 2], ..Window::new([1, 2, 2]) }, largest)),
    );
    list
}

layer_suite!();

/// Where several values are largest, the first in the order d, h, w gets the gradient; overlapping windows add.
#[test]
fn ties_go_to_the_first() -> Result<()> {
    let x = Extent::image(3, 3, 1);
    let mut net = Network::new(x);
    net.push(Pool::max(2).stride(1));
    let mut model = Model::builder(net).precision(Precision::FP64).build()?;
    model.forward(Mode::Train, View::f64(x, &[1.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 1.0, 1.0])?)?;
    let dx = model.backward(View::f64(Extent::image(2, 2, 1), &[1.0, 10.0, 100.0, 1000.0])?, Grads::Write)?;
    assert_eq!(dx.as_f64()?, [0.0, 11.0, 0.0, 100.0, 1000.0, 0.0, 0.0, 0.0, 0.0]);
    Ok(())
}

/// On CUDA too: the CPU's very values and gradients where values are equal, infinite or no numbers, with small and large windows.
#[test]
fn ties_and_nan_are_the_same_on_cuda() -> Result<()> {
    let Some(gpu) = crate::cuda::gpu() else { return Ok(()) };
    for (c, pool) in
        [(3, Pool::max(3).stride(2).pad(1)), (8, Pool::max([2, 3]).stride(1)), (3, Pool::global_max()), (16, Pool::max(9))]
    {
        let x = Extent::image(11, 10, c);
        let mut r = rng::Stream::new(3, rng::Purpose::User, 0);
        let values = [0.0, 1.0, 2.0, 2.0, -1.0, f32::NEG_INFINITY, f32::NEG_INFINITY];
        // A NaN in the first row alone, nothing but -inf in the last one.
        let mut draw = |i: usize| match i / x.len() {
            2 => f32::NEG_INFINITY,
            0 if r.below(20) == 0 => f32::NAN,
            _ => values[r.below(values.len())],
        };
        let v: Vec<f32> = (0..3 * x.len()).map(&mut draw).collect();
        let run = |device: Device| -> Result<(Vec<u32>, Vec<f32>)> {
            let mut net = Network::new(x);
            net.push(pool.clone());
            let mut model = Model::builder(net).device(device).build()?;
            let y = model.forward(Mode::Train, View::new(x, &v)?)?;
            let (extent, bits) =
                (y.extent(), y.as_f32()?.iter().map(|y| if y.is_nan() { u32::MAX } else { y.to_bits() }).collect());
            let dy: Vec<f32> = (0..3 * extent.len()).map(|i| i as f32).collect();
            let dx = model.backward(View::new(extent, &dy)?, Grads::Write)?;
            Ok((bits, dx.as_f32()?.to_vec()))
        };
        assert_eq!(run(gpu.device.clone())?, run(Device::cpu())?, "{pool:?}");
    }
    Ok(())
}

#[test]
fn impossible_windows_are_refused() {
    let plan = |pool: Pool, x: Extent| {
        let mut net = Network::new(x);
        net.push(pool);
        net.report(Mode::Train, 1).map(drop)
    };
    let image = Extent::image(4, 4, 2);
    for (pool, what) in [
        (Pool::max(5), "window above the input"),
        (Pool::max(2).pad(2), "a window of padding alone"),
        (Pool::max(0), "no window"),
        (Pool::average(2).stride(0), "no stride"),
        (Pool::global_average().stride(2), "a global pool with a stride"),
        (Pool::max(usize::MAX), "overflow"),
    ] {
        let e = plan(pool, image).expect_err(what);
        assert!(e.to_string().starts_with("node 1 (pool1): "), "{what}: {e}");
    }
}
