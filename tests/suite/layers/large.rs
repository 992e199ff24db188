//! Sizes at which the loops are split over threads: the cases of the other files are too small for that.

use crate::case::{Case, case};
use crate::check::{all, rows, threads};
use kamacite::layer::Layer;
use kamacite::*;

fn cases() -> Vec<Case> {
    let (image, cube) = (Extent::image(48, 40, 24), Extent::cube(12, 20, 16, 12));
    let new = |layer: Box<dyn Layer>, x: Extent| {
        let name = format!("{layer:?} on {x}");
        case(name, crate::case::Shared(layer.into())).x(x).rows(5)
    };
    let mut list = vec![
        new(Box::new(Activate::new(Gelu)), image),
        new(Box::new(Activate::new(Softmax)), image),
        new(Box::new(PRelu::new()), image),
        new(Box::new(PRelu::new().shared()), cube),
        new(Box::new(Conv::new(16, 3).same().act(Tanh)), image),
        new(Box::new(Conv::new(33, 1)), image),
        new(Box::new(Conv::new(8, 5).stride(3)), image),
        new(Box::new(Conv::new(6, 3).groups(3).pad(1)), cube),
        new(Box::new(Conv::depthwise(3).pad(1)), image),
        new(Box::new(ConvTranspose::new(8, 3).stride(2).pad(1)), cube),
        new(Box::new(Dense::new(50)), image),
        new(Box::new(Dropout::new(0.4)), image).random(),
        new(Box::new(Dropout::channels(0.4)), cube).random(),
        new(Box::new(Lrn::new(5).alpha(0.5)), image),
        new(Box::new(ZeroPad::new(2, 1)), image),
        new(Box::new(Crop::new(2, 1)), cube),
        new(Box::new(Pool::max(3).stride(2)), image),
        new(Box::new(Pool::max(2)), cube),
        new(Box::new(Pool::average(3).stride(1).pad(1)), image),
        new(Box::new(Pool::global_average()), image),
        new(Box::new(Pool::global_max()), cube),
        new(Box::new(Norm::batch()), image).couples_rows(),
        new(Box::new(Norm::batch()), cube).couples_rows(),
        new(Box::new(Norm::layer()), image),
        new(Box::new(Norm::instance()), cube),
        new(Box::new(Norm::groups(4)), image),
        new(Box::new(Upsample::nearest(2)), image),
        new(Box::new(Upsample::linear(2)), cube),
        new(Box::new(Flatten::new()), image),
        new(Box::new(Merge::add()), image).x(image),
        new(Box::new(Merge::concat()), image).x(image.with_channels(5)),
        new(Box::new(Dense::new(700)), Extent::flat(600)).rows(130),
        new(Box::new(Norm::batch()), Extent::flat(512)).rows(300).couples_rows(),
    ];
    list.iter_mut().for_each(|c| c.seed = 2);
    list
}

#[test]
fn bits_do_not_depend_on_threads() {
    all(&cases(), threads);
}

#[test]
fn rows_stand_alone() {
    let few: Vec<Case> = cases().into_iter().filter(|c| c.rows == 5).collect();
    all(&few, rows);
}

#[test]
fn cuda_is_accurate() {
    all(&cases(), crate::cuda::large);
}
