//! Activations, losses, random numbers.

use crate::{near, ok, refused};
use kamacite_capi::compute::activation::*;
use kamacite_capi::compute::loss::*;
use kamacite_capi::compute::random::*;
use kamacite_capi::rules::*;
use kamacite_capi::status::kmc_status::*;
use std::ptr::{null, null_mut};

#[test]
fn activations_and_their_derivatives() {
    let (x, n) = ([-2.0, -0.3, 0.4, 1.5, 0.1, -1.0_f64], 6);
    for kind in KMC_LINEAR..=KMC_SOFTMAX {
        let forward = |x: &[f64]| {
            let mut y = [f64::NAN; 6];
            // SAFETY: six values each.
            ok(unsafe { kmc_activation_forward_f64(y.as_mut_ptr(), x.as_ptr(), n, kind, 0.0, 0.0, 3) });
            y
        };
        let (y, dy) = (forward(&x), [1.0, -2.0, 3.0, 0.5, 0.25, 4.0]);
        let mut same = x;
        let p = same.as_mut_ptr();
        // SAFETY: as above, in place.
        ok(unsafe { kmc_activation_forward_f64(p, p, n, kind, 0.0, 0.0, 3) });
        assert_eq!(same, y);
        let (xp, yp) = (x.as_ptr(), y.as_ptr());
        // From both, from x alone, and in place.
        let [mut both, mut alone, mut inside] = [[f64::NAN; 6], [f64::NAN; 6], dy];
        // SAFETY: as above.
        unsafe {
            ok(kmc_activation_backward_f64(both.as_mut_ptr(), dy.as_ptr(), xp, yp, n, kind, 0.0, 0.0, 3));
            ok(kmc_activation_backward_f64(alone.as_mut_ptr(), dy.as_ptr(), xp, null(), n, kind, 0.0, 0.0, 3));
            let p = inside.as_mut_ptr();
            ok(kmc_activation_backward_f64(p, p, xp, yp, n, kind, 0.0, 0.0, 3));
        }
        assert_eq!((both, alone), (inside, inside), "{kind}");
        for i in 0..6 {
            let at = |h: f64| {
                let mut x = x;
                x[i] += h;
                forward(&x).iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>()
            };
            assert!((both[i] - (at(1e-5) - at(-1e-5)) / 2e-5).abs() < 1e-8, "{kind} {i}");
        }
    }
    let (x, mut y) = ([1.0_f32; 4], [0.0_f32; 4]);
    // SAFETY: four values each.
    unsafe {
        let (xp, yp) = (x.as_ptr(), y.as_mut_ptr());
        refused(
            kmc_activation_forward_f32(yp, xp, 4, 12, 0.0, 0.0, 1),
            KMC_ERR_VALUE,
            &["kmc_activation_forward_f32", "activation"],
        );
        refused(kmc_activation_forward_f32(yp, xp, 4, KMC_SOFTMAX, 0.0, 0.0, 3), KMC_ERR_SHAPE, &["softmax"]);
        refused(kmc_activation_forward_f32(yp, xp, 4, KMC_SOFTMAX, 0.0, 0.0, 0), KMC_ERR_SHAPE, &["softmax"]);
        refused(kmc_activation_forward_f32(yp, xp, 4, KMC_ELU, -1.0, 0.0, 1), KMC_ERR_VALUE, &["alpha"]);
        refused(kmc_activation_forward_f32(yp, xp, -4, KMC_RELU, 0.0, 0.0, 1), KMC_ERR_VALUE, &["-4"]);
        refused(kmc_activation_forward_f32(yp.add(1), yp, 3, KMC_RELU, 0.0, 0.0, 1), KMC_ERR_VALUE, &["apart from x"]);
        refused(kmc_activation_backward_f32(yp, xp, null(), null(), 4, KMC_TANH, 0.0, 0.0, 1), KMC_ERR_NULL, &["y is NULL"]);
        refused(kmc_activation_backward_f32(yp, xp, null(), xp, 4, KMC_GELU, 0.0, 0.0, 1), KMC_ERR_NULL, &["x is NULL"]);
        refused(
            kmc_activation_backward_f32(yp, xp, null(), yp, 4, KMC_TANH, 0.0, 0.0, 1),
            KMC_ERR_VALUE,
            &["dx", "apart from y"],
        );
        ok(kmc_activation_forward_f32(null_mut(), null(), 0, KMC_RELU, 0.0, 0.0, 1));
    }
}

#[test]
fn losses_and_classes() {
    let (y, t, labels) = ([1.0_f32, 2.0, 3.0, 1.0, 1.0, 1.0], [1.0_f32, 0.0, 3.0, 1.0, 4.0, 1.0], [1, 2]);
    let (mut loss, mut dy, mut classes) = (f64::NAN, [f32::NAN; 6], [-1; 2]);
    // SAFETY: two rows of three each.
    unsafe {
        ok(kmc_mse_f32(&mut loss, dy.as_mut_ptr(), y.as_ptr(), t.as_ptr(), 2, 3, 1));
        assert_eq!((loss, dy), ((2.0 + 4.5) / 2.0, [0.0, 1.0, 0.0, 0.0, -1.5, 0.0]));
        ok(kmc_mse_f32(&mut loss, null_mut(), y.as_ptr(), t.as_ptr(), 2, 3, 0));
        assert!((loss - (4.0 + 9.0) / 6.0).abs() < 1e-6);
        ok(kmc_softmax_cross_entropy_f32(&mut loss, dy.as_mut_ptr(), y.as_ptr(), labels.as_ptr(), 2, 3));
        let z: f64 = [1.0, 2.0, 3.0].iter().map(|y: &f64| y.exp()).sum();
        assert!((loss - (z.ln() - 2.0 + 3.0_f64.ln()) / 2.0).abs() < 1e-6);
        let p = [1.0, 2.0, 3.0].map(|y: f64| y.exp() / z);
        let expected = [p[0], p[1] - 1.0, p[2], 1.0 / 3.0, 1.0 / 3.0, -2.0 / 3.0].map(|g| (g / 2.0) as f32);
        assert!(near(&dy, &expected, 1e-6));
        ok(kmc_softmax_cross_entropy_f32(null_mut(), null_mut(), y.as_ptr(), labels.as_ptr(), 2, 3));
        ok(kmc_argmax_f32(classes.as_mut_ptr(), y.as_ptr(), 2, 3));
        assert_eq!(classes, [2, 0]);

        let (yp, dp) = (y.as_ptr(), dy.as_mut_ptr());
        let cross =
            |labels: [i32; 2], classes: i64| kmc_softmax_cross_entropy_f32(null_mut(), dp, yp, labels.as_ptr(), 2, classes);
        refused(cross([0, 3], 3), KMC_ERR_VALUE, &["kmc_softmax_cross_entropy_f32", "label", "3"]);
        refused(cross([0, -1], 3), KMC_ERR_VALUE, &["labels[1]", "-1"]);
        refused(cross([0, 0], -3), KMC_ERR_VALUE, &["classes"]);
        let over = kmc_softmax_cross_entropy_f32(null_mut(), dp, dp, labels.as_ptr(), 2, 3);
        refused(over, KMC_ERR_VALUE, &["dlogits", "apart from logits"]);
        refused(kmc_mse_f32(null_mut(), dp, dp, yp, 2, 3, 0), KMC_ERR_VALUE, &["dy", "apart from y"]);
        refused(kmc_mse_f32(null_mut(), dp, yp, yp, 2, 3, 2), KMC_ERR_VALUE, &["half"]);
        refused(kmc_mse_f32(null_mut(), dp, yp, null(), 2, 3, 0), KMC_ERR_NULL, &["t is NULL"]);
        refused(kmc_mse_f32(null_mut(), dp, yp, yp, 0, 3, 0), KMC_ERR_SHAPE, &["mse"]);
        refused(kmc_mse_f32(null_mut(), dp, yp, yp, i64::MAX, 3, 0), KMC_ERR_VALUE, &["rows"]);
        refused(kmc_argmax_f32(classes.as_mut_ptr(), [0.0, f32::NAN].as_ptr(), 1, 2), KMC_ERR_VALUE, &["NaN"]);
        refused(kmc_argmax_f32(null_mut(), yp, 2, 3), KMC_ERR_NULL, &["out"]);
    }
}

#[test]
fn orders_and_random_numbers_are_those_of_the_seed() {
    let (mut order, mut other) = ([0; 50], [0; 50]);
    // SAFETY: room for 50.
    unsafe {
        ok(kmc_shuffle(order.as_mut_ptr(), 50, 7));
        ok(kmc_shuffle(other.as_mut_ptr(), 50, 8));
    }
    assert_eq!(order.map(|i| i as usize).to_vec(), kamacite::data::split::shuffled(50, 7));
    let mut sorted = order;
    sorted.sort_unstable();
    assert!(order != other && sorted.iter().enumerate().all(|(i, &o)| o == i as i64));
    let (mut u, mut z) = (vec![0.0; 10_000], vec![0.0; 10_000]);
    // SAFETY: room for 10 000.
    unsafe {
        ok(kmc_random_uniform_f64(u.as_mut_ptr(), 10_000, 2.0, 4.0, 1));
        ok(kmc_random_normal_f64(z.as_mut_ptr(), 10_000, -1.0, 0.5, 1));
        refused(kmc_random_uniform_f64(u.as_mut_ptr(), 1, 2.0, 1.0, 1), KMC_ERR_VALUE, &["kmc_random_uniform_f64", "low"]);
        refused(kmc_random_normal_f64(u.as_mut_ptr(), 1, 0.0, -1.0, 1), KMC_ERR_VALUE, &["sigma"]);
        refused(kmc_random_normal_f32(null_mut(), 1, 0.0, 1.0, 1), KMC_ERR_NULL, &["x"]);
        refused(kmc_shuffle(null_mut(), 3, 1), KMC_ERR_NULL, &["order"]);
    }
    let moments = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / 1e4;
        (mean, (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e4).sqrt())
    };
    // Five standard errors of 10 000 draws.
    let ((mean, sigma), (z_mean, z_sigma)) = (moments(&u), moments(&z));
    assert!((mean - 3.0).abs() < 0.03 && (sigma - 1.0 / 3.0_f64.sqrt()).abs() < 0.03 && u.iter().all(|u| (2.0..4.0).contains(u)));
    assert!((z_mean + 1.0).abs() < 0.025 && (z_sigma - 0.5).abs() < 0.02);
}
