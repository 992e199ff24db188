//! Cases of `Reshape` and `Flatten`.

use crate::case::{Batch, Case, case};
use crate::check::layer_suite;
use kamacite::Extent;
use kamacite::layer::{Flatten, Reshape};

fn cases() -> Vec<Case> {
    let new = |c: Case, x: Extent, y: Extent| c.x(x).naive(move |g| Batch { rows: g.x().rows, extent: y, v: g.x().v.clone() });
    let (image, cube) = (Extent::image(2, 3, 4), Extent::cube(2, 2, 2, 3));
    vec![
        new(case("flatten", Flatten::new()), image, Extent::flat(24)),
        new(case("to a cube", Reshape::to(cube)), Extent::flat(24), cube),
        new(case("to the same", Reshape::to(image)), image, image).rows(1),
    ]
}

layer_suite!();
