//! Convolutions and poolings.

use crate::products::product;
use crate::{near, numbers, ok, refused};
use kamacite_capi::compute::blas::{KMC_NO_TRANS, KMC_TRANS};
use kamacite_capi::compute::conv::*;
use kamacite_capi::compute::pool::*;
use kamacite_capi::compute::window::*;
use kamacite_capi::network::layers::{KMC_POOL_AVERAGE, KMC_POOL_MAX};
use kamacite_capi::status::kmc_status::*;
use std::ptr::{null, null_mut};

fn window(kernel: [i64; 3], filters: i64) -> kmc_window {
    let size = size_of::<kmc_window>() as u32;
    let zero = [0; 3];
    kmc_window {
        size,
        reserved: 0,
        d: 0,
        h: 0,
        w: 0,
        c: 0,
        filters,
        kernel,
        stride: zero,
        before: zero,
        after: zero,
        dilation: zero,
        groups: 0,
    }
}

/// Convolutions by patches and products, which is how a textbook does it, and by the engine; more windows than a thread keeps plans.
#[test]
fn convolutions_are_products_of_patches() {
    for turn in 0..2 {
        for i in 0..20_i64 {
            let mut p = window([[1, 1, 3], [1, 3, 3], [2, 2, 2]][i as usize % 3], 4 + i % 3);
            (p.d, p.h, p.w, p.c) = (if i % 3 == 2 { 4 } else { 0 }, if i % 3 == 0 { 0 } else { 6 }, 7 + i % 5, 1 + i % 4);
            (p.stride, p.before, p.after, p.dilation) = ([1, 1, 1 + i % 2], [0, i % 3 / 2, 1], [0, 0, i % 2], [0, 0, 1 + i % 2]);
            let mut out = [0; 4];
            // SAFETY: room for four, a window.
            ok(unsafe { kmc_window_output(out.as_mut_ptr(), &p) });
            let (places, f) = ((out[0] * out[1] * out[2]) as usize, p.filters as usize);
            assert_eq!(out[3], p.filters);
            let taps: usize = p.kernel.iter().product::<i64>() as usize * p.c as usize;
            let sample = (p.d.max(1) * p.h.max(1) * p.w * p.c) as usize;
            let rows = 1 + i as usize % 3;
            let (x, w, b, dy) = (numbers(rows * sample, 1), numbers(taps * f, 2), numbers(f, 3), numbers(rows * places * f, 4));
            let (mut y, mut dx, mut dw, mut db) = (vec![], vec![], vec![0.0; w.len()], vec![0.0; f]);
            for (x, dy) in x.chunks(sample).zip(dy.chunks(places * f)) {
                let mut columns = vec![f32::NAN; places * taps];
                let n = columns.len() as i64;
                // SAFETY: the lengths are those of the slices.
                ok(unsafe { kmc_im2col_f32(columns.as_mut_ptr(), n, x.as_ptr(), sample as i64, &p) });
                let (m, k, f) = (places as i64, taps as i64, f as i64);
                y.extend(
                    product([KMC_NO_TRANS, KMC_NO_TRANS], [m, f, k], &columns, &w)
                        .iter()
                        .enumerate()
                        .map(|(i, y)| y + b[i % f as usize]),
                );
                let part = product([KMC_TRANS, KMC_NO_TRANS], [k, f, m], &columns, dy);
                dw.iter_mut().zip(part).for_each(|(dw, part)| *dw += part);
                dy.iter().enumerate().for_each(|(i, dy)| db[i % f as usize] += dy);
                let back = product([KMC_NO_TRANS, KMC_TRANS], [m, k, f], dy, &w);
                let mut part = vec![f32::NAN; sample];
                // SAFETY: as above.
                ok(unsafe { kmc_col2im_f32(part.as_mut_ptr(), sample as i64, back.as_ptr(), n, &p) });
                dx.extend(part);
            }
            let (mut gy, mut gx, mut gw, mut gb) =
                (vec![f32::NAN; y.len()], vec![f32::NAN; x.len()], vec![f32::NAN; w.len()], vec![f32::NAN; f]);
            let len = |v: &[f32]| v.len() as i64;
            let n = rows as i64;
            // SAFETY: the lengths are those of the slices.
            unsafe {
                ok(kmc_conv_forward_f32(gy.as_mut_ptr(), len(&y), x.as_ptr(), len(&x), w.as_ptr(), len(&w), b.as_ptr(), &p, n));
                ok(kmc_conv_input_gradient_f32(gx.as_mut_ptr(), len(&x), dy.as_ptr(), len(&dy), w.as_ptr(), len(&w), &p, n));
                ok(kmc_conv_weight_gradient_f32(
                    gw.as_mut_ptr(),
                    len(&w),
                    gb.as_mut_ptr(),
                    x.as_ptr(),
                    len(&x),
                    dy.as_ptr(),
                    len(&dy),
                    &p,
                    n,
                ));
            }
            // Sums of up to 500 terms below 1.
            assert!(near(&gy, &y, 1e-5) && near(&gx, &dx, 1e-5) && near(&gw, &dw, 1e-5) && near(&gb, &db, 1e-5), "{turn} {i}");
            let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
            let (wx, ww, mut wy) = (wide(&x), wide(&w), vec![f64::NAN; y.len()]);
            // SAFETY: as above.
            ok(unsafe {
                kmc_conv_forward_f64(wy.as_mut_ptr(), len(&y), wx.as_ptr(), len(&x), ww.as_ptr(), len(&w), null(), &p, n)
            });
            assert!(wy.iter().zip(&y).enumerate().all(|(i, (a, y))| (a + f64::from(b[i % f]) - f64::from(*y)).abs() < 1e-4));
        }
    }
}

#[test]
fn misused_convolutions_are_refused() {
    let (x, w, mut y) = ([1.0_f32; 16], [1.0_f32; 3], [0.0_f32; 14]);
    let mut p = window([1, 1, 3], 1);
    (p.w, p.c) = (16, 1);
    let run = |y: &mut [f32], x: &[f32], w: &[f32], p: &kmc_window, rows: i64| {
        // SAFETY: the lengths are those of the slices.
        unsafe {
            let (yp, yn, xn, wn) = (y.as_mut_ptr(), y.len() as i64, x.len() as i64, w.len() as i64);
            kmc_conv_forward_f32(yp, yn, x.as_ptr(), xn, w.as_ptr(), wn, null(), p, rows)
        }
    };
    ok(run(&mut y, &x, &w, &p, 1));
    assert_eq!(y, [3.0; 14]);
    refused(run(&mut y[..13], &x, &w, &p, 1), KMC_ERR_SHAPE, &["kmc_conv_forward_f32", "y", "14", "13"]);
    refused(run(&mut y, &x[..15], &w, &p, 1), KMC_ERR_SHAPE, &["x"]);
    refused(run(&mut y, &x, &w[..2], &p, 1), KMC_ERR_SHAPE, &["w"]);
    refused(run(&mut y, &x, &w, &p, 2), KMC_ERR_SHAPE, &["y", "2 x 14"]);
    refused(run(&mut y, &x, &w, &p, 0), KMC_ERR_VALUE, &["rows"]);
    refused(run(&mut y, &x, &w, &p, -1), KMC_ERR_VALUE, &["rows"]);
    let bent = |change: fn(&mut kmc_window)| {
        let mut p = p;
        change(&mut p);
        p
    };
    refused(run(&mut y, &x, &w, &bent(|p| p.size = 8), 1), KMC_ERR_STRUCT, &["kmc_window", "KMC_WINDOW_INIT"]);
    refused(run(&mut y, &x, &w, &bent(|p| p.c = 0), 1), KMC_ERR_VALUE, &["window.c"]);
    refused(run(&mut y, &x, &w, &bent(|p| p.filters = 0), 1), KMC_ERR_VALUE, &["window.filters"]);
    refused(run(&mut y, &x, &w, &bent(|p| p.kernel[2] = -1), 1), KMC_ERR_VALUE, &["window.kernel"]);
    refused(run(&mut y, &x, &w, &bent(|p| p.kernel[2] = 17), 1), KMC_ERR_SHAPE, &["window"]);
    refused(run(&mut y, &x, &w, &bent(|p| p.groups = 2), 1), KMC_ERR_SHAPE, &["groups"]);
    refused(run(&mut y, &x, &w, &bent(|p| p.before[2] = i64::MAX), 1), KMC_ERR_SHAPE, &["overflow"]);
    let q = y.as_mut_ptr();
    // SAFETY: y overlaps x, which is refused before anything is read.
    let overlapping = unsafe { kmc_conv_forward_f32(q, 14, q.sub(0), 16, w.as_ptr(), 3, null(), &p, 1) };
    refused(overlapping, KMC_ERR_VALUE, &["y", "apart from x"]);
    // SAFETY: NULL where something is needed.
    unsafe {
        refused(kmc_conv_forward_f32(null_mut(), 14, x.as_ptr(), 16, w.as_ptr(), 3, null(), &p, 1), KMC_ERR_NULL, &["y is NULL"]);
        refused(kmc_conv_forward_f32(q, 14, x.as_ptr(), 16, w.as_ptr(), 3, null(), null(), 1), KMC_ERR_NULL, &["window is NULL"]);
        refused(kmc_window_output(null_mut(), &p), KMC_ERR_NULL, &["out_dhwc"]);
        refused(kmc_im2col_f32(q, 14, x.as_ptr(), 16, &p), KMC_ERR_SHAPE, &["columns", "42"]);
        refused(kmc_col2im_f32(q, 14, x.as_ptr(), 16, &p), KMC_ERR_SHAPE, &["columns"]);
        let dw = kmc_conv_weight_gradient_f32(q, 3, q.add(1), x.as_ptr(), 16, x.as_ptr(), 14, &p, 1);
        refused(dw, KMC_ERR_VALUE, &["dw", "apart from db"]);
    }
}

#[test]
fn poolings_and_their_gradients() {
    let mut p = window([1, 1, 2], 0);
    (p.w, p.c, p.stride) = (4, 1, [0, 0, 2]);
    let (x, dy) = ([1.0_f32, 3.0, 2.0, 2.0, -4.0, -5.0, 0.0, 7.0], [1.0_f32, 10.0, 100.0, 1000.0]);
    let (mut y, mut dx) = ([f32::NAN; 4], [f32::NAN; 8]);
    // SAFETY: the lengths are those of the arrays.
    unsafe {
        ok(kmc_pool_forward_f32(y.as_mut_ptr(), 4, x.as_ptr(), 8, KMC_POOL_MAX, &p, 2));
        ok(kmc_pool_backward_f32(dx.as_mut_ptr(), 8, dy.as_ptr(), 4, x.as_ptr(), 8, KMC_POOL_MAX, &p, 2));
        assert_eq!((y, dx), ([3.0, 2.0, -4.0, 7.0], [0.0, 1.0, 10.0, 0.0, 100.0, 0.0, 0.0, 1000.0]));
        ok(kmc_pool_forward_f32(y.as_mut_ptr(), 4, x.as_ptr(), 8, KMC_POOL_AVERAGE, &p, 2));
        ok(kmc_pool_backward_f32(dx.as_mut_ptr(), 8, dy.as_ptr(), 4, null(), 0, KMC_POOL_AVERAGE, &p, 2));
        assert_eq!((y, dx), ([2.0, 2.0, -4.5, 3.5], [0.5, 0.5, 5.0, 5.0, 50.0, 50.0, 500.0, 500.0]));
        refused(
            kmc_pool_forward_f32(y.as_mut_ptr(), 4, x.as_ptr(), 8, 2, &p, 2),
            KMC_ERR_VALUE,
            &["kmc_pool_forward_f32", "kind"],
        );
        refused(kmc_pool_forward_f32(y.as_mut_ptr(), 4, x.as_ptr(), 8, KMC_POOL_MAX, &p, 3), KMC_ERR_SHAPE, &["x"]);
        let (null_x, mut dilated) = (null(), p);
        dilated.dilation[2] = 2;
        refused(
            kmc_pool_backward_f32(dx.as_mut_ptr(), 8, dy.as_ptr(), 4, null_x, 8, KMC_POOL_MAX, &p, 2),
            KMC_ERR_NULL,
            &["x is NULL"],
        );
        refused(
            kmc_pool_backward_f32(dx.as_mut_ptr(), 8, dy.as_ptr(), 4, x.as_ptr(), 7, KMC_POOL_MAX, &p, 2),
            KMC_ERR_SHAPE,
            &["x"],
        );
        refused(kmc_pool_forward_f32(y.as_mut_ptr(), 4, x.as_ptr(), 8, KMC_POOL_MAX, &dilated, 2), KMC_ERR_SHAPE, &["dilation"]);
        let at = dx.as_mut_ptr();
        refused(kmc_pool_forward_f32(at.add(3), 4, at, 8, KMC_POOL_MAX, &p, 2), KMC_ERR_VALUE, &["apart from x"]);
        let mut out = [0; 4];
        ok(kmc_window_output(out.as_mut_ptr(), &p));
        assert_eq!(out, [1, 1, 2, 1]);
    }
}
