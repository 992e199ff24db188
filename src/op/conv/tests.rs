use super::*;
use crate::device::Isa;
use crate::rng::{Purpose, Stream};

/// Output, input and weight indices of every product, by trying all combinations of positions.
fn products(g: &Geometry) -> Vec<(usize, usize, usize)> {
    let (c, f, window) = (g.x.c / g.groups, g.y.c / g.groups, g.window);
    let places = |[d, h, w]: [usize; 3]| (0..d * h * w).map(move |i| [i / (h * w), i / w % h, i % w]).enumerate();
    let mut list = Vec::new();
    for (p, at) in places(g.y.space()) {
        for (q, from) in places(g.x.space()) {
            for (t, tap) in places(window.size) {
                let meets = |i: usize| {
                    at[i] * window.stride[i] + tap[i] * window.dilation[i] == window.before[i] + from[i] * (window.gap[i] + 1)
                };
                if !(0..3).all(meets) {
                    continue;
                }
                for group in 0..g.groups {
                    for (i, j) in (0..c).flat_map(|i| (0..f).map(move |j| (i, j))) {
                        let y = p * g.y.c + group * f + j;
                        list.push((y, q * g.x.c + group * c + i, (t * c + i) * g.y.c + group * f + j));
                    }
                }
            }
        }
    }
    list
}

#[test]
fn all_directions_agree_with_the_loop_nest() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
        check(&Cpu::with_isa(2, isa).unwrap());
    }
}

fn check(cpu: &Cpu) {
    let rows = 3;
    for (i, g) in geometries().into_iter().enumerate() {
        // Small integers: every path is exact in f64, whatever the order of its sums.
        let mut r = Stream::new(5, Purpose::User, i as u64);
        let mut draw = |n: usize| (0..n).map(|_| r.below(19) as f64 - 9.0).collect::<Vec<f64>>();
        let (x, dy, b) = (draw(rows * g.x.len()), draw(rows * g.y.len()), draw(g.y.c));
        let w = draw(g.weight_len().unwrap());
        let (y0, dx0, dw0) = (draw(dy.len()), draw(x.len()), draw(w.len()));
        let products = products(&g);
        let (conv, len) = Conv::on_cpu::<f64>(g, 4, cpu, Math::Exact).unwrap();
        let mut scratch = vec![f64::NAN; len];
        for mode in [GradMode::Write, GradMode::Add] {
            let keep = if mode == GradMode::Add { 1.0 } else { 0.0 };
            let bias = (mode == GradMode::Write).then_some(&b[..]);
            let (mut y, mut dx, mut dw) = (y0.clone(), dx0.clone(), dw0.clone());
            let mut ey: Vec<f64> = y0.iter().enumerate().map(|(k, y)| keep * y + bias.map_or(0.0, |b| b[k % g.y.c])).collect();
            let mut edx: Vec<f64> = dx0.iter().map(|v| keep * v).collect();
            let mut edw: Vec<f64> = dw0.iter().map(|v| keep * v).collect();
            for n in 0..rows {
                for &(iy, ix, iw) in &products {
                    let (iy, ix) = (n * g.y.len() + iy, n * g.x.len() + ix);
                    ey[iy] += x[ix] * w[iw];
                    edx[ix] += dy[iy] * w[iw];
                    edw[iw] += x[ix] * dy[iy];
                }
            }
            conv.forward(cpu, &x, &w, End { bias, relu: false, mode }, &mut y, &mut scratch);
            conv.backward(cpu, &dy, &w, End::plain(mode), &mut dx, &mut scratch);
            conv.weights(cpu, &x, &dy, &mut dw, mode, &mut scratch);
            assert!(y == ey, "y of {g:?} {mode:?}");
            assert!(dx == edx, "dx of {g:?} {mode:?}");
            assert!(dw == edw, "dw of {g:?} {mode:?}");
            if mode == GradMode::Write {
                // ReLU at the end, and bias and ReLU of the transposed convolution.
                let bx = &x[..g.x.c];
                ey.iter_mut().for_each(|y| *y = y.max(0.0));
                edx.iter_mut().enumerate().for_each(|(k, dx)| *dx = (*dx + bx[k % g.x.c]).max(0.0));
                conv.forward(cpu, &x, &w, End { bias, relu: true, mode }, &mut y, &mut scratch);
                conv.backward(cpu, &dy, &w, End { bias: Some(bx), relu: true, mode }, &mut dx, &mut scratch);
                assert!(y == ey, "relu(y) of {g:?}");
                assert!(dx == edx, "transposed relu(y) of {g:?}");
            }
        }
    }
}

/// Geometries that cross the borders of tiles, panels, units and chunks: name, geometry, rows.
fn large() -> Vec<(&'static str, Geometry, usize)> {
    let window =
        |size: [usize; 3], stride: [usize; 3], pad: [usize; 3]| Window { stride, before: pad, after: pad, ..Window::new(size) };
    let plane = |k: usize, s: usize, p: usize| window([1, k, k], [1, s, s], [0, p, p]);
    let cube = |k: usize, s: usize, p: usize| window([k; 3], [s; 3], [p; 3]);
    let line = |k: usize, s: usize, p: usize| window([1, 1, k], [1, 1, s], [0, 0, p]);
    let with = |name, x: Extent, f: usize, window: Window, groups: usize, rows: usize| {
        (name, Geometry::new(x, f, window, groups).unwrap(), rows)
    };
    vec![
        with("several images in a unit", Extent::image(14, 14, 8), 16, plane(5, 1, 2), 1, 9),
        with("rows in blocks", Extent::image(61, 70, 12), 40, plane(3, 1, 1), 1, 2),
        with("rows in blocks, no padding", Extent::image(61, 70, 12), 7, plane(3, 1, 0), 1, 2),
        with("strided rows in blocks", Extent::image(75, 64, 12), 33, plane(3, 2, 1), 1, 2),
        with("stride 3, size 2", Extent::image(90, 64, 9), 5, plane(2, 3, 1), 1, 2),
        with("slices in blocks", Extent::cube(17, 19, 16, 8), 24, cube(3, 1, 1), 1, 1),
        with("strided slices in blocks", Extent::cube(21, 19, 16, 8), 24, cube(3, 2, 1), 1, 2),
        with("a row in blocks", Extent::line(70_001, 1), 3, line(8, 4, 2), 1, 1),
        with("a row in blocks with channels", Extent::line(9_001, 5), 17, line(9, 1, 4), 1, 2),
        with("rows of a wide cube", Extent::cube(4, 60, 150, 4), 4, cube(3, 1, 1), 1, 1),
        with("1x1", Extent::image(33, 35, 40), 70, plane(1, 1, 0), 1, 2),
        with("channels that alias", Extent::image(7, 5, 512), 20, plane(3, 1, 1), 1, 3),
        with("filters that alias", Extent::image(7, 5, 20), 512, plane(3, 1, 1), 1, 3),
        with("groups", Extent::image(40, 33, 24), 36, plane(3, 1, 1), 3, 2),
        with("depthwise", Extent::image(40, 33, 37), 37, plane(3, 1, 1), 37, 2),
        with("depthwise, two filters each", Extent::image(40, 33, 19), 38, plane(3, 2, 1), 19, 2),
        with("window of the whole image", Extent::image(30, 30, 20), 33, plane(30, 1, 0), 1, 3),
        with("one filter", Extent::image(50, 50, 16), 1, plane(1, 1, 0), 1, 3),
        with("few filters", Extent::image(33, 36, 3), 4, plane(5, 1, 2), 1, 9),
    ]
}

fn normal<T: Real>(n: usize, index: u64) -> Vec<T> {
    let mut r = Stream::new(17, Purpose::User, index);
    (0..n).map(|_| T::of(r.normal())).collect()
}

/// Runs all directions: y, dx, dw.
fn run<T: Real>(cpu: &Cpu, g: Geometry, data: [&[T]; 3], rows: usize) -> [Vec<T>; 3] {
    let [x, dy, w] = data;
    let (conv, len) = Conv::on_cpu::<T>(g, rows + 1, cpu, Math::Exact).unwrap();
    let mut scratch = vec![T::of(f64::NAN); len];
    let mut out = [dy, x, w].map(|like| vec![T::of(f64::NAN); like.len()]);
    let [y, dx, dw] = &mut out;
    conv.forward(cpu, x, w, End::plain(GradMode::Write), y, &mut scratch);
    conv.backward(cpu, dy, w, End::plain(GradMode::Write), dx, &mut scratch);
    conv.weights(cpu, x, dy, dw, GradMode::Write, &mut scratch);
    out
}

#[test]
fn large_shapes_are_exact_on_integers() {
    for (i, (name, g, rows)) in large().into_iter().enumerate() {
        // Integers below 4: sums of up to 2^18 products are exact in f32, whatever their order.
        let mut r = Stream::new(23, Purpose::User, i as u64);
        let mut draw = |n: usize| (0..n).map(|_| r.below(7) as f32 - 3.0).collect::<Vec<_>>();
        let (x, dy, w) = (draw(rows * g.x.len()), draw(rows * g.y.len()), draw(g.weight_len().unwrap()));
        let expected = by_definition(&g, &x, &dy, &w);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
            let computed = run(&Cpu::with_isa(2, isa).unwrap(), g, [&x, &dy, &w], rows);
            for ((what, computed), expected) in ["y", "dx", "dw"].iter().zip(&computed).zip(&expected) {
                assert!(computed == expected, "{what} of {name}, {isa}");
            }
        }
    }
}

/// y, dx, dw product by product.
fn by_definition(g: &Geometry, x: &[f32], dy: &[f32], w: &[f32]) -> [Vec<f32>; 3] {
    let (c, f) = (g.x.c / g.groups, g.y.c / g.groups);
    let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
    for n in 0..x.len() / g.x.len() {
        let (x, dx) = (&x[n * g.x.len()..], &mut dx[n * g.x.len()..]);
        let (dy, y) = (&dy[n * g.y.len()..], &mut y[n * g.y.len()..]);
        g.meet(|p, t, q| {
            for i in 0..g.x.c {
                let (to, from, row) = (p * g.y.c + i / c * f, q * g.x.c + i, (t * c + i % c) * g.y.c + i / c * f);
                let (y, dy) = (&mut y[to..][..f], &dy[to..][..f]);
                let (w, dw) = (&w[row..][..f], &mut dw[row..][..f]);
                for j in 0..f {
                    y[j] += x[from] * w[j];
                    dx[from] += dy[j] * w[j];
                    dw[j] += x[from] * dy[j];
                }
            }
        });
    }
    [y, dx, dw]
}

#[test]
fn bits_do_not_depend_on_threads() {
    for (name, g, rows) in large() {
        let data: [Vec<f32>; 3] = [normal(rows * g.x.len(), 0), normal(rows * g.y.len(), 1), normal(g.weight_len().unwrap(), 2)];
        let bits = |threads: usize| {
            let cpu = Cpu::new(threads).unwrap();
            run(&cpu, g, data.each_ref().map(|d| &d[..]), rows).map(|v| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
        };
        let one = bits(1);
        assert!(one == bits(2) && one == bits(7), "{name}");
    }
}

/// Tables grow with taps and units, never with gaps, strides and padding.
#[test]
fn extreme_windows_are_planned_or_refused_at_once() {
    let cpu = Cpu::new(2).unwrap();
    let plan = |input: usize, window: Window| {
        let g = Geometry::new(Extent::line(input, 2), 3, window, 1)?;
        Conv::on_cpu::<f32>(g, 2, &cpu, Math::Exact).map(|(conv, _)| conv)
    };
    let window = Window::new([1, 1, 3]);
    let conv = plan(28, Window { gap: [0, 0, 1 << 30], ..window }).unwrap();
    assert!(conv.forward.sparse && conv.forward.parts.len() == 3 && conv.backward.parts.len() == 1);
    let conv = plan(28, Window { stride: [1, 1, 1 << 30], before: [0, 0, 1 << 31], ..window }).unwrap();
    assert!(conv.backward.sparse && conv.backward.parts.len() <= 3);
    let large = plan(1 << 26, Window::new([1, 1, 1 << 25]));
    assert_eq!(large.unwrap_err().kind(), crate::ErrorKind::Shape);
}

/// Each path was taken that the large shapes are there for.
#[test]
fn large_shapes_take_every_path() {
    let plans: Vec<_> = large()
        .into_iter()
        .map(|(_, g, rows)| Conv::on_cpu::<f32>(g, rows, &Cpu::new(2).unwrap(), Math::Exact).unwrap().0)
        .collect();
    let any = |test: &dyn Fn(&Gather) -> bool| plans.iter().any(|c| test(&c.forward) || test(&c.backward));
    assert!(any(&|g| g.block[0] > 1) && any(&|g| (1..4).any(|i| g.block[i] < g.most[i - 1] && g.block[i] > 1)));
    for axis in 0..3 {
        assert!(any(&|g| g.block[axis + 1] < g.most[axis] && g.block[axis + 1] > 1), "blocks along axis {axis}");
    }
    assert!(any(&|g| g.direct) && any(&|g| !g.direct) && any(&|g| g.pitch > g.input.c));
    assert!(any(&|g| g.parts.len() > 1) && any(&|g| g.sparse) && any(&|g| g.each));
    assert!(any(&|g| g.parts.iter().any(|p| p.together < p.runs.len())));
    assert!(plans.iter().any(|c| c.chunks > 1) && plans.iter().any(|c| c.chunks == 1));
    assert!(plans.iter().any(|c| c.tasks > 1));
    assert!((0..2).all(|i| plans.iter().any(|c| c.together[i].is_some())));
    assert!(plans.iter().any(|c| c.together[0].is_some() && c.chunks > 1));
}

/// Random small geometries of 1, 2 and 3 dimensions with every feature of a window.
pub fn geometries() -> Vec<Geometry> {
    let mut r = Stream::new(11, Purpose::User, 0);
    let mut list = Vec::new();
    while list.len() < 120 {
        let dims = 1 + r.below(3);
        let (mut space, mut window) = ([1; 3], Window::new([1; 3]));
        for (i, space) in space.iter_mut().enumerate().skip(3 - dims) {
            *space = 1 + r.below(if dims == 3 { 5 } else { 9 });
            window.size[i] = 1 + r.below(4);
            window.stride[i] = 1 + r.below(3);
            window.dilation[i] = 1 + r.below(2);
            window.gap[i] = r.below(3) * r.below(2);
            window.before[i] = r.below(4);
            window.after[i] = r.below(4);
        }
        let groups = [1, 1, 2, 3][r.below(4)];
        let (c, f) = (groups * (1 + r.below(5)), groups * (1 + r.below(5)));
        let x = Extent { c, ..Extent::flat(1).with_space(space) };
        list.extend(Geometry::new(x, f, window, groups));
    }
    list
}
