//! Low-level compute through the C functions: against loops, against each other, and every misuse that can be detected.

use kamacite_capi::compute::activation::*;
use kamacite_capi::compute::blas::*;
use kamacite_capi::compute::conv::*;
use kamacite_capi::compute::gradcheck::*;
use kamacite_capi::compute::kmeans::*;
use kamacite_capi::compute::loss::*;
use kamacite_capi::compute::plot::*;
use kamacite_capi::compute::pool::*;
use kamacite_capi::compute::random::*;
use kamacite_capi::compute::window::*;
use kamacite_capi::network::layers::{KMC_POOL_AVERAGE, KMC_POOL_MAX};
use kamacite_capi::rules::*;
use kamacite_capi::status::{kmc_last_error, kmc_status};
use std::ffi::{CStr, CString, c_void};
use std::ptr::{null, null_mut};

use kmc_status::*;

fn last_error() -> String {
    // SAFETY: never NULL, valid until the next failing call of this thread.
    unsafe { CStr::from_ptr(kmc_last_error()) }.to_str().unwrap().to_string()
}

fn ok(status: kmc_status) {
    assert_eq!(status, KMC_OK, "{}", last_error());
}

/// A refusal with its status, whose sentence names the function and the argument.
fn refused(got: kmc_status, expected: kmc_status, words: &[&str]) {
    assert_eq!(got, expected, "{}", last_error());
    let sentence = last_error();
    assert!(words.iter().all(|word| sentence.contains(word)), "{sentence:?} lacks one of {words:?}");
}

fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut x = vec![0.0; n];
    // SAFETY: room for n.
    ok(unsafe { kmc_random_uniform_f32(x.as_mut_ptr(), n as i64, -1.0, 1.0, seed) });
    x
}

fn near(a: &[f32], b: &[f32], bound: f32) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= bound * (1.0 + b.abs()))
}

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

/// C = A B of m by k by n, both row-major, by the C function.
fn product(trans: [i32; 2], [m, n, k]: [i64; 3], a: &[f32], b: &[f32]) -> Vec<f32> {
    let mut c = vec![f32::NAN; (m * n) as usize];
    let (lda, ldb) = (if trans[0] == KMC_TRANS { m } else { k }, if trans[1] == KMC_TRANS { k } else { n });
    let (a, b, out) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    // SAFETY: the sizes are those of the slices.
    ok(unsafe { kmc_sgemm(KMC_ROW_MAJOR, trans[0], trans[1], m, n, k, 1.0, a, lda, b, ldb, 0.0, out, n) });
    c
}

#[test]
fn products_in_both_orders_and_inside_a_larger_matrix() {
    let (a, b) = (numbers(6, 1), numbers(8, 2));
    // A of 3 by 2, B of 2 by 4; in the other order they are their transposes.
    let expected: Vec<f32> = (0..12).map(|i| (0..2).map(|p| a[i / 4 * 2 + p] * b[p * 4 + i % 4]).sum()).collect();
    assert!(near(&product([KMC_NO_TRANS, KMC_NO_TRANS], [3, 4, 2], &a, &b), &expected, 1e-6));
    let mut c = [f64::NAN; 12];
    let (wide_a, wide_b): (Vec<f64>, Vec<f64>) = (a.iter().map(|&a| a.into()).collect(), b.iter().map(|&b| b.into()).collect());
    let (pa, pb) = (wide_a.as_ptr(), wide_b.as_ptr());
    // SAFETY: the sizes are those of the arrays.
    ok(unsafe { kmc_dgemm(KMC_COLUMN_MAJOR, KMC_TRANS, KMC_TRANS, 3, 4, 2, 2.0, pa, 2, pb, 4, 0.0, c.as_mut_ptr(), 3) });
    assert!((0..12).all(|i| (c[i % 4 * 3 + i / 4] - 2.0 * f64::from(expected[i])).abs() < 1e-6));

    // A, B and C as blocks of one matrix of 3 by 10: columns 0-1, 2-5 (two rows of them) and 6-9.
    let mut all = numbers(30, 3);
    let before = all.clone();
    let p = all.as_mut_ptr();
    // SAFETY: all blocks lie within the matrix.
    ok(unsafe { kmc_sgemm(KMC_ROW_MAJOR, KMC_NO_TRANS, KMC_NO_TRANS, 3, 4, 2, 1.0, p, 10, p.add(2), 10, 1.0, p.add(6), 10) });
    for (i, found) in all.iter().enumerate() {
        let (row, column) = (i / 10, i % 10);
        let sum: f32 = if column < 6 { 0.0 } else { (0..2).map(|p| before[row * 10 + p] * before[p * 10 + column - 4]).sum() };
        assert!((found - before[i] - sum).abs() < 1e-6, "{i}");
    }
    // C = A A, in place.
    let mut square = [1.0_f32, 2.0, 3.0, 4.0];
    let p = square.as_mut_ptr();
    // SAFETY: as above.
    ok(unsafe { kmc_sgemm(KMC_ROW_MAJOR, KMC_NO_TRANS, KMC_NO_TRANS, 2, 2, 2, 1.0, p, 2, p, 2, 0.0, p, 2) });
    assert_eq!(square, [7.0, 10.0, 15.0, 22.0]);
}

#[test]
fn what_blas_does_not_read_may_be_null() {
    let mut c = [1.0_f32, f32::NAN];
    let p = c.as_mut_ptr();
    let gemm = |m: i64, n: i64, k: i64, alpha: f32, beta: f32, c: *mut f32| {
        // SAFETY: C has two elements or none; A and B are not read.
        unsafe { kmc_sgemm(KMC_ROW_MAJOR, KMC_NO_TRANS, KMC_NO_TRANS, m, n, k, alpha, null(), 9, null(), 9, beta, c, 9) }
    };
    ok(gemm(0, 5, 5, 1.0, 1.0, null_mut()));
    ok(gemm(5, 0, 5, 1.0, 1.0, null_mut()));
    ok(gemm(1, 1, 0, 1.0, 3.0, p));
    ok(gemm(1, 1, 7, 0.0, 2.0, p));
    assert_eq!(c[0], 6.0);
    let p = c.as_mut_ptr();
    ok(gemm(1, 2, 0, 1.0, 0.0, p));
    assert_eq!(c, [0.0, 0.0]);
    refused(gemm(1, 1, 1, 1.0, 0.0, c.as_mut_ptr()), KMC_ERR_NULL, &["kmc_sgemm", "a is NULL"]);
}

#[test]
fn misused_products_are_refused() {
    let (a, mut c) = ([1.0_f32; 16], [0.0_f32; 16]);
    let mut gemm = |order, ta, tb, m, n, k, lda, ldb, ldc| {
        // SAFETY: 16 elements are enough for what is not refused.
        unsafe { kmc_sgemm(order, ta, tb, m, n, k, 1.0, a.as_ptr(), lda, a.as_ptr(), ldb, 0.0, c.as_mut_ptr(), ldc) }
    };
    let (row, no) = (KMC_ROW_MAJOR, KMC_NO_TRANS);
    ok(gemm(row, no, no, 2, 3, 4, 4, 3, 3));
    refused(gemm(0, no, no, 2, 3, 4, 4, 3, 3), KMC_ERR_VALUE, &["kmc_sgemm", "order"]);
    refused(gemm(row, 0, no, 2, 3, 4, 4, 3, 3), KMC_ERR_VALUE, &["trans_a"]);
    refused(gemm(row, no, 113, 2, 3, 4, 4, 3, 3), KMC_ERR_VALUE, &["trans_b"]);
    refused(gemm(row, no, no, -1, 3, 4, 4, 3, 3), KMC_ERR_VALUE, &["m", "-1"]);
    refused(gemm(row, no, no, 2, 3, 4, 3, 3, 3), KMC_ERR_SHAPE, &["leading dimension of a"]);
    refused(gemm(row, no, no, 2, 3, 4, 4, 2, 3), KMC_ERR_SHAPE, &["leading dimension of b"]);
    refused(gemm(row, no, no, 2, 3, 4, 4, 3, 0), KMC_ERR_SHAPE, &["leading dimension of c"]);
    refused(gemm(row, no, no, 2, 3, 4, -4, 3, 3), KMC_ERR_VALUE, &["lda"]);
    refused(gemm(KMC_COLUMN_MAJOR, no, no, 2, 3, 4, 1, 4, 2), KMC_ERR_SHAPE, &["leading dimension of a", "column"]);
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

fn options() -> kmc_kmeans_options {
    let size = size_of::<kmc_kmeans_options>() as u32;
    kmc_kmeans_options { size, start: KMC_KMEANS_PLUS_PLUS, restarts: 0, max_iterations: 0, tolerance: 0.0, seed: 5 }
}

#[test]
fn kmeans_is_that_of_rust() {
    let x = numbers(300, 1);
    let (mut centres, mut assignment, o) = ([0.0_f32; 12], [-1; 100], options());
    let size = size_of::<kmc_kmeans_result>() as u32;
    let mut out = kmc_kmeans_result { size, converged: -1, iterations: 0, empty: -1, mean_squared_distance: 0.0 };
    // SAFETY: 100 samples of 3, 4 centres.
    unsafe {
        ok(kmc_kmeans_f32(&mut out, centres.as_mut_ptr(), assignment.as_mut_ptr(), x.as_ptr(), 100, 3, 4, &o));
        let found = kamacite::kmeans::KMeans::new(4).seed(5).fit(&kamacite::Cpu::new(1).unwrap(), &x, 3).unwrap();
        assert_eq!(centres[..], found.centres);
        assert!(assignment.iter().zip(&found.assignment).all(|(a, b)| *a as u32 == *b));
        assert_eq!((out.converged, out.iterations, out.empty), (1, found.iterations as i64, 0));
        assert_eq!(out.mean_squared_distance, found.mean_squared_distance);
        // Everything optional left out.
        ok(kmc_kmeans_f32(null_mut(), centres.as_mut_ptr(), null_mut(), x.as_ptr(), 100, 3, 4, null()));
        let one = kmc_kmeans_options { max_iterations: 1, restarts: 1, start: KMC_KMEANS_POINTS, ..o };
        ok(kmc_kmeans_f32(&mut out, centres.as_mut_ptr(), null_mut(), x.as_ptr(), 100, 3, 4, &one));
        assert_eq!((out.converged, out.iterations), (0, 1));

        let c = centres.as_mut_ptr();
        let run = |k: i64, o: kmc_kmeans_options| kmc_kmeans_f32(null_mut(), c, null_mut(), x.as_ptr(), 100, 3, k, &o);
        refused(run(0, o), KMC_ERR_VALUE, &["kmc_kmeans_f32", "clusters"]);
        refused(run(-1, o), KMC_ERR_VALUE, &["k"]);
        refused(run(4, kmc_kmeans_options { size: 0, ..o }), KMC_ERR_STRUCT, &["KMC_KMEANS_OPTIONS_INIT"]);
        refused(run(4, kmc_kmeans_options { start: 2, ..o }), KMC_ERR_VALUE, &["options.start"]);
        refused(run(4, kmc_kmeans_options { restarts: -1, ..o }), KMC_ERR_VALUE, &["options.restarts"]);
        refused(run(4, kmc_kmeans_options { tolerance: f64::NAN, ..o }), KMC_ERR_VALUE, &["tolerance"]);
        out.size = 1;
        refused(kmc_kmeans_f32(&mut out, c, null_mut(), x.as_ptr(), 100, 3, 4, &o), KMC_ERR_STRUCT, &["KMC_KMEANS_RESULT_INIT"]);
        refused(kmc_kmeans_f32(null_mut(), c, null_mut(), c, 4, 3, 4, &o), KMC_ERR_VALUE, &["centres", "apart from x"]);
        refused(kmc_kmeans_f32(null_mut(), null_mut(), null_mut(), x.as_ptr(), 100, 3, 4, &o), KMC_ERR_NULL, &["centres"]);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = CString::new(dir.path().join("centres.dat").to_str().unwrap()).unwrap();
    // SAFETY: 4 centres of 3.
    unsafe {
        ok(kmc_centres_write(path.as_ptr(), centres.as_ptr(), 4, 3));
        let text = std::fs::read_to_string(dir.path().join("centres.dat")).unwrap();
        assert!(text.starts_with("3 4\n") && text.lines().count() == 5);
        ok(kmc_plot_clusters(path.as_ptr(), x.as_ptr(), 100, 3, assignment.as_ptr(), centres.as_ptr(), 4));
        ok(kmc_plot_clusters(path.as_ptr(), x.as_ptr(), 150, 2, null(), null(), 0));
        assert!(std::fs::read_to_string(dir.path().join("centres.dat")).unwrap().contains("<svg"));
        refused(kmc_plot_clusters(null(), x.as_ptr(), 150, 2, null(), null(), 0), KMC_ERR_NULL, &["path"]);
        refused(kmc_centres_write(c"/nowhere/at/all".as_ptr(), centres.as_ptr(), 4, 3), KMC_ERR_IO, &["nowhere"]);
    }
}

unsafe extern "C" fn bowl(out: *mut f64, w: *const f64, n: i64, user: *mut c_void) -> i32 {
    // SAFETY: as `kmc_loss_fn` says; `user` counts the calls and holds a limit.
    let (w, calls) = unsafe { (std::slice::from_raw_parts(w, n as usize), &mut *user.cast::<[i32; 2]>()) };
    calls[0] += 1;
    if calls[0] > calls[1] {
        return 42;
    }
    // SAFETY: as above.
    unsafe { *out = w.iter().map(|w| w * w).sum() };
    0
}

#[test]
fn a_gradient_is_checked_through_a_callback() {
    let (w, right, wrong) = ([1.0, -2.0, 3.0], [2.0, -4.0, 6.0], [2.0, 4.0, 6.0]);
    let mut calls = [0, i32::MAX];
    let user = (&raw mut calls).cast::<c_void>();
    let size = size_of::<kmc_gradcheck_result>() as u32;
    let mut out = kmc_gradcheck_result { size, reserved: 0, worst: -1, deviation: -1.0, analytic: 0.0, numeric: 0.0 };
    // SAFETY: three parameters, a function of the right type.
    unsafe {
        ok(kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), right.as_ptr(), 3, 0.0));
        assert!(out.deviation < 1e-9, "{out:?}");
        ok(kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), wrong.as_ptr(), 3, 0.0));
        assert!(out.worst == 1 && (out.deviation - 2.0).abs() < 1e-9 && (out.numeric + 4.0).abs() < 1e-9, "{out:?}");
        (*user.cast::<[i32; 2]>())[0] = 0;
        ok(kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), right.as_ptr(), 3, 1e-3));
        assert!(out.deviation < 1e-9 && (*user.cast::<[i32; 2]>())[0] == 6);
        *user.cast::<[i32; 2]>() = [0, 4];
        refused(
            kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), right.as_ptr(), 3, 0.0),
            KMC_ERR_CALLBACK,
            &["kmc_gradcheck", "42"],
        );
        assert_eq!((*user.cast::<[i32; 2]>())[0], 5, "no call after the one that failed");
        refused(kmc_gradcheck(&mut out, None, user, w.as_ptr(), right.as_ptr(), 3, 0.0), KMC_ERR_NULL, &["loss"]);
        refused(kmc_gradcheck(null_mut(), Some(bowl), user, w.as_ptr(), right.as_ptr(), 3, 0.0), KMC_ERR_NULL, &["out"]);
        refused(kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), right.as_ptr(), 0, 0.0), KMC_ERR_SHAPE, &["gradient"]);
        refused(kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), right.as_ptr(), 3, -1.0), KMC_ERR_VALUE, &["step"]);
        out.size = 3;
        refused(
            kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), right.as_ptr(), 3, 0.0),
            KMC_ERR_STRUCT,
            &["kmc_gradcheck_result"],
        );
    }
}

unsafe extern "C" fn half_plane(point: *const f32, user: *mut c_void) -> i32 {
    // SAFETY: two coordinates; `user` is an answer for points on the right.
    unsafe { if *point > 0.0 { *user.cast::<i32>() } else { 0 } }
}

#[test]
fn a_boundary_is_drawn_through_a_callback() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("boundary.svg");
    let path = CString::new(file.to_str().unwrap()).unwrap();
    let (x, labels) = ([-1.0_f32, 0.0, 1.0, 0.5], [0, 1]);
    // SAFETY: two points, a function of the right type.
    unsafe {
        for (answer, expected) in [(1, KMC_OK), (-3, KMC_ERR_CALLBACK)] {
            let mut answer: i32 = answer;
            let user = (&raw mut answer).cast();
            let status = kmc_plot_boundary(path.as_ptr(), x.as_ptr(), 2, labels.as_ptr(), Some(half_plane), user);
            assert_eq!(status, expected, "{}", last_error());
        }
        assert!(last_error().contains("-3"));
        refused(kmc_plot_boundary(path.as_ptr(), x.as_ptr(), 2, labels.as_ptr(), None, null_mut()), KMC_ERR_NULL, &["classify"]);
        refused(
            kmc_plot_boundary(path.as_ptr(), x.as_ptr(), -2, labels.as_ptr(), Some(half_plane), null_mut()),
            KMC_ERR_VALUE,
            &["n x 2"],
        );
    }
    assert!(std::fs::read_to_string(file).unwrap().contains("<svg"));
}
