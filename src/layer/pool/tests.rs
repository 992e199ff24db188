//! Pooling against its definition.

use super::*;
use crate::memory::GradMode;
use crate::rng::{Purpose, Stream};
use crate::{Cpu, Real};

struct Case {
    pool: Pool,
    x: Extent,
}

fn cases() -> Vec<Case> {
    let case = |pool, x| Case { pool, x };
    vec![
        case(Pool::max(2), Extent::image(6, 8, 8)),
        case(Pool::max(2), Extent::image(7, 5, 3)),
        case(Pool::max(3).stride(2).pad(1), Extent::image(9, 7, 21)),
        case(Pool::max(3).stride(1).same(), Extent::cube(4, 5, 6, 2)),
        case(Pool::max([2, 3]).stride([3, 1]).pad_sides([0, 2], [1, 0]), Extent::image(8, 7, 5)),
        case(Pool::max(4).stride(5), Extent::line(23, 6)),
        case(Pool::global_max(), Extent::cube(3, 4, 5, 17)),
        case(Pool::average(2), Extent::image(6, 8, 8)),
        case(Pool::average(3).stride(2).pad(1), Extent::image(9, 8, 19)),
        case(Pool::average(3).stride(2).pad(1).count_padding(), Extent::image(9, 8, 19)),
        case(Pool::average(2).stride(1).same(), Extent::cube(3, 4, 5, 1)),
        case(Pool::average(3).stride(4), Extent::line(30, 4)),
        case(Pool::global_average(), Extent::image(31, 17, 5)),
    ]
}

/// Signed cells of the window at o, by the definition: start o·stride − before, `size` cells, those in the input.
fn cells_by_definition(g: &Geometry, o: [usize; 3]) -> Vec<usize> {
    let mut found = Vec::new();
    for d in 0..g.window.size[0] {
        for h in 0..g.window.size[1] {
            for w in 0..g.window.size[2] {
                let tap = [d, h, w];
                let i: [i64; 3] =
                    std::array::from_fn(|a| (o[a] * g.window.stride[a] + tap[a]) as i64 - g.window.before[a] as i64);
                if (0..3).all(|a| i[a] >= 0 && i[a] < g.x.space()[a] as i64) {
                    found.push(((i[0] as usize * g.x.h) + i[1] as usize) * g.x.w + i[2] as usize);
                }
            }
        }
    }
    found
}

/// For each output value: the input elements that it depends on, with their weights.
fn dependencies(case: &Case, g: &Geometry, x: &[f64], rows: usize) -> Vec<Vec<(usize, f64)>> {
    let mut list = Vec::new();
    for n in 0..rows {
        for o in 0..g.y.area() {
            let cells = cells_by_definition(g, [o / (g.y.h * g.y.w), o / g.y.w % g.y.h, o % g.y.w]);
            for c in 0..g.y.c {
                let at = |cell: usize| n * g.x.len() + cell * g.x.c + c;
                list.push(match case.pool.over {
                    Over::Max => {
                        let first = cells.iter().fold(None, |best: Option<usize>, &cell| match best {
                            Some(b) if x[at(cell)] <= x[at(b)] => Some(b),
                            _ => Some(cell),
                        });
                        first.map(|cell| (at(cell), 1.0)).into_iter().collect()
                    }
                    Over::Average => {
                        let n = if case.pool.count_padding { g.window.taps() } else { cells.len() };
                        cells.iter().map(|&cell| (at(cell), 1.0 / n as f64)).collect()
                    }
                });
            }
        }
    }
    list
}

fn check<T: Real>(cpu: &Cpu, case: &Case) -> Result<()> {
    let rows = 3;
    let g = Geometry::new(case.x, case.pool.window(case.x, Axes::of(case.x))?)?;
    let mut r = Stream::new(3, Purpose::User, 0);
    // Few distinct values, so that maxima tie.
    let x: Vec<f64> = (0..rows * g.x.len()).map(|_| r.below(9) as f64 * 0.25 - 1.0).collect();
    let dy: Vec<f64> = (0..rows * g.y.len()).map(|_| r.below(64) as f64 / 32.0 - 1.0).collect();
    let deps = dependencies(case, &g, &x, rows);
    let t = |v: &[f64]| v.iter().map(|&v| T::of(v)).collect::<Vec<T>>();
    let (tx, tdy) = (t(&x), t(&dy));
    let (mut y, mut winner) = (vec![T::ZERO; dy.len()], vec![u32::MAX; dy.len()]);
    let mut dx = t(&vec![0.5; x.len()]);
    let mut added = dx.clone();
    for (mode, dx) in [(GradMode::Write, &mut dx), (GradMode::Add, &mut added)] {
        match case.pool.over {
            Over::Max => {
                max(cpu, &g, &tx, &mut y, &mut winner);
                max_gradient(cpu, &g, &tdy, &winner, mode, dx);
            }
            Over::Average => {
                average(cpu, &g, case.pool.count_padding, &tx, &mut y);
                average_gradient(cpu, &g, case.pool.count_padding, &tdy, mode, dx);
            }
        }
    }
    // Terms are at most 2 in size; a sum of n of them and one product with a rounded factor lose n + 2 roundings.
    let bound = |n: usize| 2.0 * (n as f64 + 2.0) * T::EPSILON.to_f64();
    let mut expected = vec![(0.0, 0); x.len()];
    for (o, deps) in deps.iter().enumerate() {
        let value: f64 = deps.iter().map(|&(i, w)| w * x[i]).sum();
        assert!((y[o].to_f64() - value).abs() <= bound(deps.len()), "{case:?} y[{o}] = {}, expected {value}", y[o]);
        deps.iter().for_each(|&(i, w)| expected[i] = (expected[i].0 + w * dy[o], expected[i].1 + 1));
    }
    for (i, (value, n)) in expected.into_iter().enumerate() {
        assert!((dx[i].to_f64() - value).abs() <= bound(n), "{case:?} dx[{i}] = {}, expected {value}", dx[i]);
        assert!((added[i].to_f64() - value - 0.5).abs() <= bound(n), "{case:?} add to dx[{i}]");
    }
    let mut only = vec![T::ZERO; y.len()];
    if case.pool.over == Over::Max {
        max_only(cpu, &g, &tx, &mut only);
        assert_eq!(only, y, "with and without winners");
    }
    Ok(())
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} on {}", self.pool, self.x)
    }
}

#[test]
fn values_and_gradients_follow_the_definition() -> Result<()> {
    let cpu = Cpu::new(2)?;
    for case in cases() {
        check::<f32>(&cpu, &case)?;
        check::<f64>(&cpu, &case)?;
    }
    Ok(())
}

#[test]
fn both_ways_to_the_windows_of_a_cell_agree() -> Result<()> {
    for case in cases() {
        let g = Geometry::new(case.x, case.pool.window(case.x, Axes::of(case.x))?)?;
        for (i, along) in g.along().enumerate() {
            let direct = g.windows(2, i);
            assert!(along == direct || (along.is_empty() && direct.is_empty()), "{case:?} at {i}: {along:?}, {direct:?}");
        }
    }
    Ok(())
}

#[test]
fn a_nan_wins_and_minus_infinity_has_a_place() -> Result<()> {
    let cpu = Cpu::new(1)?;
    let g = Geometry::new(Extent::line(6, 1), Window { stride: [1, 1, 2], ..Window::new([1, 1, 2]) })?;
    let x = [1.0, f32::NAN, f32::NAN, 5.0, f32::NEG_INFINITY, f32::NEG_INFINITY];
    let (mut y, mut winner, mut dx) = ([0.0; 3], [9; 3], [7.0; 6]);
    max(&cpu, &g, &x, &mut y, &mut winner);
    assert!(y[0].is_nan() && y[1].is_nan() && y[2] == f32::NEG_INFINITY, "{y:?}");
    assert_eq!(winner, [1, 2, 4]);
    max_gradient(&cpu, &g, &[1.0, 2.0, 3.0], &winner, GradMode::Write, &mut dx);
    assert_eq!(dx, [0.0, 1.0, 2.0, 0.0, 3.0, 0.0]);
    Ok(())
}

#[test]
fn long_averages_keep_their_digits() -> Result<()> {
    // 0.1 is not a binary fraction: an f32 sum of 2²⁰ of them is wrong in the third digit.
    let x = vec![0.1_f32; 1 << 20];
    let e = Extent::line(x.len(), 1);
    let g = Geometry::new(e, Pool::global_average().window(e, Axes::of(e))?)?;
    let mut y = [0.0];
    average(&Cpu::new(1)?, &g, false, &x, &mut y);
    assert_eq!(y[0], 0.1);
    Ok(())
}

#[test]
fn windows_without_input_are_refused() {
    let x = Extent::line(4, 1);
    let plan = |p: Pool| p.window(x, Axes::of(x)).and_then(|w| Geometry::new(x, w)).map(|g| g.y.w);
    assert_eq!(plan(Pool::max(2).stride(1).pad(1)).ok(), Some(5));
    for pool in [
        Pool::max(2).stride(1).pad(2),
        Pool::average(2).stride(1).pad_sides(0, 2),
        Pool::max(5),
        Pool::max(0),
        Pool::max(2).stride(0),
        Pool::global_max().pad(1),
        Pool::average(usize::MAX),
        Pool::average(2).pad(usize::MAX),
    ] {
        assert!(plan(pool.clone()).is_err(), "{pool:?}");
    }
}
