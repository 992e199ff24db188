//! Cases of `Dropout`.

use crate::case::{Batch, Case, case};
use crate::check::layer_suite;
use kamacite::layer::Dropout;
use kamacite::*;

fn cases() -> Vec<Case> {
    let same = |layer: Dropout, name: &str, x: Extent| {
        case(format!("{name} on {x}"), layer).x(x).random().modes_differ().naive(|g| g.x().clone())
    };
    let scaled = |layer: Dropout, x: Extent, keep: f64| {
        case(format!("not inverted on {x}"), layer).x(x).random().modes_differ().naive(move |g| g.x().clone().map(|v| keep * v))
    };
    vec![
        same(Dropout::new(0.5), "half", Extent::flat(101)),
        same(Dropout::new(0.2), "a fifth", Extent::image(4, 5, 3)).rows(5),
        same(Dropout::channels(0.3), "channels", Extent::image(3, 3, 7)),
        same(Dropout::channels(0.4), "channels", Extent::cube(2, 2, 3, 16)),
        scaled(Dropout::new(0.3).not_inverted(), Extent::flat(40), 0.7),
        scaled(Dropout::channels(0.3).not_inverted(), Extent::image(2, 3, 5), 0.7),
    ]
}

layer_suite!();

fn train(layer: Dropout, extent: Extent, rows: usize, mode: Mode, forwards: usize) -> Result<Vec<Batch>> {
    let mut net = Network::new(extent);
    net.push(layer);
    let mut model = Model::builder(net).seed(5).build()?;
    let x = vec![1.0_f32; rows * extent.len()];
    (0..forwards).map(|_| crate::case::batch(model.forward(mode, View::new(extent, &x)?)?)).collect()
}

/// As many elements are dropped as the rate says, the others enlarged, and each forward pass draws anew.
#[test]
fn masks_have_their_rate_and_change() -> Result<()> {
    let (extent, rows, p) = (Extent::flat(1000), 8, 0.3);
    for mode in [Mode::Train, Mode::MonteCarlo] {
        let y = train(Dropout::new(p), extent, rows, mode, 2)?;
        for y in &y {
            let n = y.v.len() as f64;
            let dropped = y.v.iter().filter(|v| **v == 0.0).count() as f64;
            // Five standard deviations of a binomial count.
            assert!((dropped - n * p).abs() < 5.0 * (n * p * (1.0 - p)).sqrt(), "{dropped} of {n} dropped");
            let kept = f64::from((1.0 / (1.0 - p)) as f32);
            assert!(y.v.iter().all(|v| *v == 0.0 || (*v - kept).abs() <= 2.0 * f64::from(f32::EPSILON) * kept));
        }
        let agree = y[0].v.iter().zip(&y[1].v).filter(|(a, b)| a == b).count() as f64 / y[0].v.len() as f64;
        assert!((agree - (p * p + (1.0 - p) * (1.0 - p))).abs() < 0.05, "two masks agree in {agree}");
    }
    Ok(())
}

/// Whole channels go together, each row by itself.
#[test]
fn channels_go_together() -> Result<()> {
    let (extent, rows) = (Extent::image(3, 4, 50), 4);
    let y = train(Dropout::channels(0.4), extent, rows, Mode::Train, 1)?.remove(0);
    let mut dropped = 0;
    for n in 0..rows {
        for c in 0..extent.c {
            let first = y[[n, 0, 0, 0, c]];
            dropped += usize::from(first == 0.0);
            assert!((0..3).all(|h| (0..4).all(|w| y[[n, 0, h, w, c]] == first)));
        }
    }
    assert!((dropped as f64 - 80.0).abs() < 5.0 * (200.0_f64 * 0.24).sqrt(), "{dropped} of 200 channels dropped");
    Ok(())
}
