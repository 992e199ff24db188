//! Matrix products as BLAS has them.

use super::{cpu, overlap, span};
use crate::entry::{Answer, Fault, count, entry, slice, slice_mut};
use crate::status::kmc_status;
use kamacite::Real;
use kamacite::op::blas::{self, Order, Transpose};

/// How matrices lie in memory; the numbers are those of CBLAS.
pub type kmc_order = i32;
/// Row after row, as in C.
pub const KMC_ROW_MAJOR: i32 = 101;
/// Column after column, as in Fortran.
pub const KMC_COLUMN_MAJOR: i32 = 102;

/// How an operand of a product is read; the numbers are those of CBLAS.
pub type kmc_transpose = i32;
/// As it lies.
pub const KMC_NO_TRANS: i32 = 111;
/// Transposed.
pub const KMC_TRANS: i32 = 112;

fn transpose(value: kmc_transpose, what: &str) -> Answer<Transpose> {
    match value {
        KMC_NO_TRANS => Ok(Transpose::No),
        KMC_TRANS => Ok(Transpose::Yes),
        _ => Err(Fault::value(what, "KMC_NO_TRANS (111) or KMC_TRANS (112)", value)),
    }
}

/// # Safety
/// The crate's contract, with lengths that follow from sizes and leading dimensions.
unsafe fn gemm<T: Real>(
    order: kmc_order,
    trans: [kmc_transpose; 2],
    sizes: [i64; 3],
    alpha: T,
    (a, lda): (*const T, i64),
    (b, ldb): (*const T, i64),
    beta: T,
    (c, ldc): (*mut T, i64),
) -> Answer {
    let order = match order {
        KMC_ROW_MAJOR => Order::RowMajor,
        KMC_COLUMN_MAJOR => Order::ColumnMajor,
        _ => return Err(Fault::value("order", "KMC_ROW_MAJOR (101) or KMC_COLUMN_MAJOR (102)", order)),
    };
    let trans = [transpose(trans[0], "trans_a")?, transpose(trans[1], "trans_b")?];
    let [m, n, k] = [count(sizes[0], "m")?, count(sizes[1], "n")?, count(sizes[2], "k")?];
    let [lda, ldb, ldc] = [count(lda, "lda")?, count(ldb, "ldb")?, count(ldc, "ldc")?];
    let len = |name, t, rows, columns, ld| {
        let stored = if t == Transpose::Yes { (columns, rows) } else { (rows, columns) };
        blas::span(order, name, stored, ld).map(|n| n as i64)
    };
    let (mut a_len, mut b_len) = (len("a", trans[0], m, k, lda)?, len("b", trans[1], k, n, ldb)?);
    let c_len = len("c", Transpose::No, m, n, ldc)?;
    if alpha == T::ZERO || c_len == 0 {
        // Not read, as in BLAS.
        (a_len, b_len) = (0, 0);
    }
    // C may lie between the rows of A or B, in a larger matrix: they are read from a copy then.
    let c_span = span("c", c.cast_const(), c_len);
    // SAFETY: the caller's promise; the copy is made before C is borrowed.
    let [a_copy, b_copy] = unsafe {
        let copy = |name, p: *const T, len: i64| {
            let inside = overlap(&span(name, p, len), &c_span);
            if inside { slice(p, len, name).map(|x| Some(x.to_vec())) } else { Ok(None) }
        };
        [copy("a", a, a_len)?, copy("b", b, b_len)?]
    };
    // SAFETY: the caller's promise; nothing that is borrowed here overlaps C.
    unsafe {
        let a = if let Some(a) = &a_copy { a } else { slice(a, a_len, "a")? };
        let b = if let Some(b) = &b_copy { b } else { slice(b, b_len, "b")? };
        // An empty operand stands for one that is not read.
        let alpha = if a_len == 0 || b_len == 0 { T::ZERO } else { alpha };
        let c = slice_mut(c, c_len, "c")?;
        Ok(blas::gemm(cpu(), order, trans, [m, n, k], alpha, (a, lda), (b, ldb), beta, (c, ldc))?)
    }
}

/// C = alpha op(A) op(B) + beta C in single precision, op(A) of m by k and op(B) of k by n.
///
/// A is stored as m by k, or as k by m with KMC_TRANS; B as k by n, or as n by k; C as m by n. A leading dimension is at least the length of
/// a stored row (KMC_ROW_MAJOR) or column (KMC_COLUMN_MAJOR), and at least 1. A and B are not read where alpha or k is 0, nor C where beta is
/// 0. Where C overlaps A or B, these are read before C is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_sgemm(
    order: kmc_order,
    trans_a: kmc_transpose,
    trans_b: kmc_transpose,
    m: i64,
    n: i64,
    k: i64,
    alpha: f32,
    a: *const f32,
    lda: i64,
    b: *const f32,
    ldb: i64,
    beta: f32,
    c: *mut f32,
    ldc: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_sgemm", || unsafe { gemm(order, [trans_a, trans_b], [m, n, k], alpha, (a, lda), (b, ldb), beta, (c, ldc)) })
}

/// As `kmc_sgemm`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dgemm(
    order: kmc_order,
    trans_a: kmc_transpose,
    trans_b: kmc_transpose,
    m: i64,
    n: i64,
    k: i64,
    alpha: f64,
    a: *const f64,
    lda: i64,
    b: *const f64,
    ldb: i64,
    beta: f64,
    c: *mut f64,
    ldc: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_dgemm", || unsafe { gemm(order, [trans_a, trans_b], [m, n, k], alpha, (a, lda), (b, ldb), beta, (c, ldc)) })
}
