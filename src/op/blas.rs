//! C = alpha·op(A)·op(B) + beta·C as BLAS has it: row- or column-major, transposed or not, any leading dimensions.
//!
//! The loops are those of [`gemm`](super::gemm); this is their plain form for those who write a network themselves. Workspace is kept
//! by the calling thread from call to call: some MiB, where products are large.

use super::gemm::{Mat, Product, workspace};
use crate::{Cpu, Error, Real, Result};
use std::cell::Cell;

/// How matrices lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Row after row: element (i, j) at i·ld + j, as in C.
    RowMajor,
    /// Column after column: element (i, j) at i + j·ld, as in Fortran.
    ColumnMajor,
}

/// How an operand is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transpose {
    /// As it lies.
    No,
    /// Transposed.
    Yes,
}

/// C = alpha·op(A)·op(B) + beta·C, op(A) of m by k and op(B) of k by n.
///
/// As in BLAS, A and B are not read where alpha or k is 0, and C is not read where beta is 0: NaN there leaves no trace.
///
/// # Shapes
/// A is stored as m by k, or k by m where it is transposed; B as k by n, or n by k; C as m by n. A leading dimension is at least the
/// length of a stored row (row-major) or column (column-major), and at least 1.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for a leading dimension or a slice that is too short.
///
/// # Examples
/// ```
/// use kamacite::op::blas::{Order::*, Transpose::*, gemm};
/// let cpu = kamacite::Cpu::new(1)?;
/// let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
/// let mut c = [100.0_f32; 4];
/// gemm(&cpu, RowMajor, [No, No], [2, 2, 3], 1.0, (&a, 3), (&b, 2), 0.0, (&mut c, 2))?;
/// assert_eq!(c, [4.0, 5.0, 10.0, 11.0]);
/// gemm(&cpu, RowMajor, [Yes, No], [2, 2, 3], 1.0, (&a, 2), (&b, 2), 1.0, (&mut c, 2))?;
/// assert_eq!(c, [10.0, 13.0, 18.0, 21.0]);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[allow(clippy::too_many_arguments)]
pub fn gemm<T: Real>(
    cpu: &Cpu,
    order: Order,
    [ta, tb]: [Transpose; 2],
    [m, n, k]: [usize; 3],
    alpha: T,
    (a, lda): (&[T], usize),
    (b, ldb): (&[T], usize),
    beta: T,
    (c, ldc): (&mut [T], usize),
) -> Result<()> {
    let stored = |t: Transpose, rows: usize, columns: usize| if t == Transpose::Yes { (columns, rows) } else { (rows, columns) };
    let reads = alpha != T::ZERO && m > 0 && n > 0;
    check(order, "a", stored(ta, m, k), if reads { a.len() } else { usize::MAX }, lda)?;
    check(order, "b", stored(tb, k, n), if reads { b.len() } else { usize::MAX }, ldb)?;
    check(order, "c", (m, n), c.len(), ldc)?;
    let (k, a, b) = if reads { (k, a, b) } else { (0, &[][..], &[][..]) };
    let mat = |t: Transpose, data, ld| match (order, t) {
        (Order::RowMajor, Transpose::No) | (Order::ColumnMajor, Transpose::Yes) => Mat::rows(data, ld),
        _ => Mat::rows(data, ld).t(),
    };
    let (a, b) = (mat(ta, a, lda), mat(tb, b, ldb));
    // Columns of C are rows of Cᵀ = op(B)ᵀ·op(A)ᵀ.
    let product = match order {
        Order::RowMajor => Product::new([m, n, k], a, b),
        Order::ColumnMajor => Product::new([n, m, k], b.t(), a.t()),
    };
    with_work(workspace::<T>(cpu, [product.m, product.n, k]), |work| {
        super::gemm::gemm(cpu, &product.alpha(alpha).beta(beta), c, ldc, work)
    })
}

fn check(order: Order, name: &str, sizes: (usize, usize), len: usize, ld: usize) -> Result<()> {
    let span = span(order, name, sizes, ld)?;
    if span <= len {
        return Ok(());
    }
    let (rows, columns) = sizes;
    let what = format!("{name} is too short for {rows} x {columns} with leading dimension {ld}");
    Err(Error::shape("gemm", what).expected(format!("at least {span} elements")).got(len))
}

/// Elements from the first to the last one of a stored matrix of `rows` by `columns`; `name` is that of the matrix in messages.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for a leading dimension below the length of a row (column), or below 1.
pub fn span(order: Order, name: &str, (rows, columns): (usize, usize), ld: usize) -> Result<usize> {
    let (lines, line, what) = match order {
        Order::RowMajor => (rows, columns, "row"),
        Order::ColumnMajor => (columns, rows, "column"),
    };
    let place = || format!("leading dimension of {name}");
    if ld < line.max(1) {
        let expected = format!("at least {}, a {what} of {rows} x {columns}", line.max(1));
        return Err(Error::shape("gemm", place()).expected(expected).got(ld));
    }
    if lines == 0 || line == 0 {
        return Ok(0);
    }
    let span = (lines - 1).checked_mul(ld).and_then(|n| n.checked_add(line));
    span.ok_or_else(|| Error::shape("gemm", place()).expected("a matrix that fits in memory").got(ld))
}

thread_local! {
    static WORK: Cell<Vec<f64>> = const { Cell::new(Vec::new()) };
}

/// Hands `f` at least `len` elements that begin a cache line, kept from call to call.
pub(crate) fn with_work<T: Real, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    // Taken out meanwhile: a call from within `f` gets another one.
    let mut work = WORK.take();
    let words = (len * size_of::<T>()).div_ceil(size_of::<f64>()) + LINE;
    if work.len() < words {
        work = vec![0.0; words];
    }
    let first = work.as_ptr().align_offset(LINE * size_of::<f64>()).min(LINE);
    let result = f(&mut bytemuck::cast_slice_mut(&mut work[first..])[..len]);
    WORK.set(work);
    result
}

/// Words in a cache line.
const LINE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::rng::{Purpose, Stream};
    use Order::*;
    use Transpose::*;

    const ORDERS: [Order; 2] = [RowMajor, ColumnMajor];
    const READINGS: [Transpose; 2] = [No, Yes];

    /// Where (i, j) of a matrix lies, read transposed or not.
    fn at(order: Order, t: Transpose, ld: usize, i: usize, j: usize) -> usize {
        let (i, j) = if t == Yes { (j, i) } else { (i, j) };
        if order == RowMajor { i * ld + j } else { i + j * ld }
    }

    fn check_all<T: Real>(cpu: &Cpu, [m, n, k]: [usize; 3], r: &mut Stream) {
        for (order, ta, tb) in ORDERS.iter().flat_map(|o| READINGS.iter().flat_map(move |a| READINGS.map(|b| (*o, *a, b)))) {
            let mut matrix = |t: Transpose, rows: usize, columns: usize, fill: Option<f64>| {
                let (rows, columns) = if t == Yes { (columns, rows) } else { (rows, columns) };
                let (lines, line) = if order == RowMajor { (rows, columns) } else { (columns, rows) };
                let ld = line.max(1) + r.below(3);
                // The last line needs no filling.
                let len = if lines == 0 || line == 0 { 0 } else { (lines - 1) * ld + line };
                ((0..len).map(|_| T::of(fill.unwrap_or_else(|| r.below(19) as f64 - 9.0))).collect::<Vec<_>>(), ld)
            };
            for (alpha, beta) in [(1.0, 0.0), (2.0, 1.0), (-1.0, -0.5), (0.0, 0.0), (0.0, 2.0)] {
                // What must not be read is NaN.
                let unread = (alpha == 0.0).then_some(f64::NAN);
                let ((a, lda), (b, ldb)) = (matrix(ta, m, k, unread), matrix(tb, k, n, unread));
                let (c, ldc) = matrix(No, m, n, (beta == 0.0).then_some(f64::NAN));
                let mut found = c.clone();
                gemm(cpu, order, [ta, tb], [m, n, k], T::of(alpha), (&a, lda), (&b, ldb), T::of(beta), (&mut found, ldc))
                    .unwrap();
                let mut expected: Vec<f64> = c.iter().map(|c| c.to_f64()).collect();
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let term = |p: usize| a[at(order, ta, lda, i, p)].to_f64() * b[at(order, tb, ldb, p, j)].to_f64();
                    let c = &mut expected[at(order, No, ldc, i, j)];
                    let sum = if alpha == 0.0 { 0.0 } else { alpha * (0..k).map(term).sum::<f64>() };
                    *c = if beta == 0.0 { sum } else { sum + beta * *c };
                }
                // Small integers and halves: exact. What lies between the lines is compared too.
                let bits = |c: f64| if c.is_nan() { f64::NAN.to_bits() } else { (c + 0.0).to_bits() };
                let same = found.iter().zip(&expected).all(|(f, e)| bits(f.to_f64()) == bits(*e));
                assert!(same, "{order:?} {ta:?} {tb:?} {m} {n} {k} {alpha} {beta}: {found:?} {expected:?}");
            }
        }
    }

    #[test]
    fn every_order_and_reading_is_the_sum_of_products() {
        let mut r = Stream::new(4, Purpose::User, 0);
        let cpu = Cpu::new(2).unwrap();
        for shape in [[0, 3, 2], [3, 0, 2], [3, 2, 0], [0, 0, 0], [1, 1, 1], [2, 3, 4], [17, 5, 9], [70, 33, 65], [5, 130, 400]] {
            check_all::<f32>(&cpu, shape, &mut r);
            check_all::<f64>(&cpu, shape, &mut r);
        }
    }

    #[test]
    fn short_slices_and_dimensions_are_errors() {
        let cpu = Cpu::new(1).unwrap();
        let x = [1.0_f32; 30];
        let run = |order, t, a: usize, lda, b: usize, ldb, c: usize, ldc| {
            let shape = [3, 4, 2];
            gemm(&cpu, order, t, shape, 1.0, (&x[..a], lda), (&x[..b], ldb), 0.0, (&mut vec![0.0; c], ldc)).map_err(|e| e.kind())
        };
        let short = Err(ErrorKind::Shape);
        assert_eq!(run(RowMajor, [No, No], 6, 2, 8, 4, 12, 4), Ok(()));
        assert_eq!(run(ColumnMajor, [No, Yes], 6, 3, 8, 4, 12, 3), Ok(()));
        assert_eq!(run(RowMajor, [Yes, No], 8, 3, 8, 4, 12, 4), Ok(()));
        for (a, lda, b, ldb, c, ldc) in [
            (5, 2, 8, 4, 12, 4),
            (6, 1, 8, 4, 12, 4),
            (6, 2, 7, 4, 12, 4),
            (6, 2, 8, 3, 12, 4),
            (6, 2, 8, 4, 11, 4),
            (6, 2, 8, 4, 12, 3),
        ] {
            assert_eq!(run(RowMajor, [No, No], a, lda, b, ldb, c, ldc), short, "{a} {lda} {b} {ldb} {c} {ldc}");
        }
        assert_eq!(run(RowMajor, [No, No], 6, usize::MAX, 8, 4, 12, 4), short);
        assert_eq!(run(RowMajor, [No, No], 6, 0, 8, 4, 12, 4), short);
        let e = gemm(&cpu, ColumnMajor, [Yes, No], [3, 4, 2], 1.0, (&x, 1), (&x, 2), 0.0, (&mut [0.0; 12], 3)).unwrap_err();
        assert_eq!(e.to_string(), "gemm: leading dimension of a; expected at least 2, a column of 2 x 3, got 1");
    }

    #[test]
    fn the_workspace_of_a_thread_begins_a_line_and_is_nobody_elses() {
        for len in [0, 1, 7, 1000, 3] {
            with_work::<f32, _>(len, |outer| {
                outer.fill(1.0);
                assert!(outer.len() == len && outer.as_ptr().align_offset(64) == 0);
                with_work::<f64, _>(len, |inner| inner.fill(2.0));
                assert!(outer.iter().all(|w| *w == 1.0));
            });
        }
    }
}
