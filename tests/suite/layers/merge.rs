//! Cases of `Merge`.

use crate::case::{Batch, Case, case};
use crate::check::layer_suite;
use kamacite::Extent;
use kamacite::layer::Merge;

fn cases() -> Vec<Case> {
    let add = |x: Extent, count: usize| {
        let case = case(format!("sum of {count} times {x}"), Merge::add()).terms(count);
        let case = case.naive(|g| Batch::from_fn(g.x().rows, g.x().extent, |i| g.x.iter().map(|x| x[i]).sum()));
        (0..count).fold(case, |case, _| case.x(x))
    };
    let concat = |list: &[Extent]| {
        let case = case(format!("side by side {list:?}"), Merge::concat()).naive(|g| {
            let wide = g.x.iter().map(|x| x.extent.c).sum();
            Batch::from_fn(g.x().rows, g.x().extent.with_channels(wide), |[n, d, h, w, mut c]| {
                for x in &g.x {
                    if c < x.extent.c {
                        return x[[n, d, h, w, c]];
                    }
                    c -= x.extent.c;
                }
                unreachable!("fewer channels than the sum")
            })
        });
        list.iter().fold(case, |case, &x| case.x(x))
    };
    vec![
        add(Extent::flat(7), 2),
        add(Extent::image(3, 4, 5), 3),
        add(Extent::cube(2, 2, 3, 1), 2).rows(1),
        concat(&[Extent::flat(3), Extent::flat(5)]),
        concat(&[Extent::image(3, 2, 1), Extent::image(3, 2, 4), Extent::image(3, 2, 17)]),
        concat(&[Extent::cube(2, 3, 2, 2), Extent::cube(2, 3, 2, 3)]).rows(1),
        // Channels that a GPU moves in packs.
        concat(&[Extent::image(3, 2, 8), Extent::image(3, 2, 24), Extent::image(3, 2, 16)]),
    ]
}

layer_suite!();
