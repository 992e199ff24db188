//! The maximum over windows on the way to memory, against the same results pooled one after the other.

use super::*;

/// y and the cells of the maxima, of results that lie in the order of their image; NaN above all numbers, the first of equal ones.
fn pooled(y: &[f64], rows: usize, pool: &Pooling) -> (Vec<f64>, Vec<u8>) {
    let (x, to, [sd, sh, sw]) = (pool.x, pool.y, pool.window.size);
    let (mut maxima, mut cells) = (Vec::new(), Vec::new());
    for at in 0..rows * to.len() {
        let (n, rest) = (at / to.len(), at % to.len());
        let (c, w, h, d) = (rest % to.c, rest / to.c % to.w, rest / to.c / to.w % to.h, rest / to.c / to.w / to.h);
        let values = (0..pool.window.taps()).map(|cell| {
            let (cd, ch, cw) = (cell / (sh * sw), cell / sw % sh, cell % sw);
            y[n * x.len() + (((d * sd + cd) * x.h + h * sh + ch) * x.w + w * sw + cw) * x.c + c]
        });
        let (mut best, mut winner) = (f64::NEG_INFINITY, 0);
        for (cell, v) in values.enumerate() {
            if !best.is_nan() && (v.is_nan() || v > best) {
                (best, winner) = (v, cell);
            }
        }
        maxima.push(best);
        cells.push(winner as u8);
    }
    (maxima, cells)
}

/// The kernel that ran, where there is one for these windows.
fn check_pooled(
    cuda: &Cuda,
    what: &str,
    (g, size, rows): (&Geometry, [usize; 3], usize),
    act: Activation,
    (precision, units): (Precision, Units),
) -> Option<String> {
    let (dtype, capacity) = (precision.storage(), rows + 1);
    let conv = CudaConv::by(units, g, capacity, precision, Some(false), cuda).unwrap();
    let pool = Pooling::new(g.y, Window { stride: size, ..Window::new(size) }).unwrap();
    if !conv.pools() || !Gather::pools(&pool) {
        return None;
    }
    let mut r = Stream::new(43, Purpose::User, 0);
    // Few different numbers: many maxima are there more than once.
    let mut draw = |n: usize| (0..n).map(|_| r.below(3) as f64 - 1.0).collect::<Vec<f64>>();
    let (mut x, w, b) = (draw((rows + 1) * g.x.len()), draw(g.weight_len().unwrap()), draw(g.y.c));
    x[g.x.len() / 2] = f64::NAN;
    let (x, w, b) = (Array::new(cuda, &x, dtype), Array::new(cuda, &w, dtype), Array::new(cuda, &b, DType::F32));
    let end = CudaEnd { bias: b.ptr(), act: CudaActivation::new(act, dtype), ..CudaEnd::plain(GradMode::Write) };
    let single = Array::new(cuda, &vec![0.0; rows * g.y.len()], dtype);
    conv.forward(cuda, rows, (x.ptr(), w.ptr(), single.ptr()), end).unwrap();
    let (maxima, cells) = pooled(&single.read(cuda), rows, &pool);
    for marked in [true, false] {
        let y = Array::new(cuda, &vec![7.0; (rows + 1) * pool.y.len()], dtype);
        let winner = cuda.allocate((rows + 1) * pool.y.len()).unwrap();
        cuda.fill(winner.ptr(), 99, (rows + 1) * pool.y.len()).unwrap();
        let mark = if marked { winner.ptr() } else { Ptr::NULL };
        conv.pooled(cuda, rows, (x.ptr(), w.ptr(), y.ptr()), end, (&pool, mark)).unwrap();
        let y = y.read(cuda);
        let same = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan();
        let far = y.iter().zip(&maxima).position(|pair| !same(pair));
        let what = format!("{what}, windows {size:?}, {act:?}, {precision:?}, {conv:?}");
        assert!(far.is_none(), "{what}: at {far:?} {:?}", far.map(|i| (y[i], maxima[i])));
        assert!(y[maxima.len()..].iter().all(|&v| v == 7.0), "{what}: wrote behind the last sample");
        if marked {
            let mut got = vec![0; (rows + 1) * pool.y.len()];
            cuda.download(winner.ptr(), &mut got).unwrap();
            let far = got.iter().zip(&cells).position(|(a, b)| a != b);
            assert!(far.is_none(), "{what}: the winner at {far:?} is {:?}", far.map(|i| (got[i], cells[i])));
            assert!(got[cells.len()..].iter().all(|&v| v == 99), "{what}: marked behind the last sample");
        }
    }
    Some(conv.path()[0].to_string())
}

#[test]
fn maxima_of_results_are_those_of_a_pass_of_its_own() {
    let Some(cuda) = gpu() else { return };
    let image = Extent::image;
    let cases = [
        // Tiles that end within a sample, in the middle of a row of windows.
        (with("image", image(12, 20, 32), 48, plane(3, 1, 1), 1, 3), [1, 2, 2]),
        (with("wide", image(8, 8, 16), 136, plane(3, 1, 1), 1, 2), [1, 2, 2]),
        (with("wider", image(4, 8, 16), 256, plane(3, 1, 1), 1, 2), [1, 2, 4]),
        (with("stride", image(17, 15, 32), 64, plane(3, 2, 0), 1, 5), [1, 4, 1]),
        (with("groups", image(8, 12, 64), 96, plane(3, 1, 1), 2, 2), [1, 2, 2]),
        (with("all of a sample", image(8, 8, 32), 40, plane(3, 1, 1), 1, 3), [1, 8, 8]),
        (with("line", Extent::line(104, 16), 40, line(5, 1, 2), 1, 4), [1, 1, 8]),
        (with("cube", Extent::cube(4, 6, 10, 16), 32, cube(3, 1, 1), 1, 2), [2, 2, 2]),
        (with("one tap of many", image(6, 6, 72), 32, plane(1, 1, 0), 1, 2), [1, 2, 2]),
    ];
    let refused = [
        (with("windows of three", image(9, 9, 32), 32, plane(3, 1, 1), 1, 1), [1, 3, 3]),
        (with("cells left out", image(9, 9, 32), 32, plane(3, 1, 1), 1, 1), [1, 2, 2]),
        (with("one large window", image(16, 16, 32), 32, plane(3, 1, 1), 1, 1), [1, 16, 16]),
    ];
    let (acts, mut seen) = ([Activation::Relu, Activation::Linear, Activation::Tanh], BTreeSet::new());
    for (i, ((name, g, rows), size)) in cases.into_iter().enumerate() {
        for (j, precision) in PRECISIONS.into_iter().enumerate() {
            for units in units(&cuda, precision) {
                let columns = [None, Some(64), Some(128), Some(256)][(i + j) % 4].filter(|_| units.hopper);
                let how = (precision, Units { columns, ..units });
                seen.extend(check_pooled(&cuda, name, (&g, size, rows), acts[(i + j) % 3], how));
            }
        }
    }
    for ((name, g, rows), size) in refused {
        let how = (Precision::BF16, Units::new(Precision::BF16, cuda.capability()));
        assert_eq!(check_pooled(&cuda, name, (&g, size, rows), Activation::Relu, how), None, "{name}");
    }
    if cuda.capability().0 >= 8 {
        let tensor = ["tf32", "tf32x3", "bf16", "f16"].map(|n| [64, 128].map(|tile| format!("conv_{n}_{tile}")));
        let hopper = ["bf16", "f16"].map(|n| [64, 128, 256].map(|tile| format!("conv_sm90_{n}_{tile}")));
        let hopper = hopper.into_iter().flatten().filter(|_| cuda.capability() == (9, 0));
        for kernel in tensor.into_iter().flatten().chain(hopper) {
            assert!(seen.contains(&kernel), "{kernel} did not run: {seen:?}");
        }
    }
}
