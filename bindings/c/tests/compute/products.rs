//! Matrix products.

use crate::{near, numbers, ok, refused};
use kamacite_capi::compute::blas::*;
use kamacite_capi::status::kmc_status::*;
use std::ptr::{null, null_mut};

/// C = op(A) op(B) of m by k by n, both row-major, by the C function.
pub fn product(trans: [i32; 2], [m, n, k]: [i64; 3], a: &[f32], b: &[f32]) -> Vec<f32> {
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
