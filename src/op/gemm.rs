//! C = alpha·A·B + beta·C + bias: matrix products of any strides.
//!
//! Operands are packed only where it pays; transposes are strides. Sums run over p in order within blocks of k, and the
//! blocks, as well as the pieces of a split sum, follow from m, n and k alone: the bits depend neither on threads nor on
//! packing.
#![allow(unsafe_code)]

use super::gemm_cpu::{self, Job};
use crate::{Cpu, Error, Real, Result};

/// A matrix in a slice: element (i, j) lies at i·rs + j·cs.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a, T> {
    pub(super) data: &'a [T],
    pub(super) rs: usize,
    pub(super) cs: usize,
}

impl<'a, T> Mat<'a, T> {
    /// Rows of `ld` elements, one after the other.
    pub fn rows(data: &'a [T], ld: usize) -> Self {
        Self { data, rs: ld, cs: 1 }
    }

    /// Any strides.
    pub fn strided(data: &'a [T], rs: usize, cs: usize) -> Self {
        Self { data, rs, cs }
    }

    /// The transpose.
    #[must_use]
    pub fn t(self) -> Self {
        Self { rs: self.cs, cs: self.rs, ..self }
    }

    /// Elements that `rows` times `columns` of it span.
    fn span(&self, rows: usize, columns: usize) -> Option<usize> {
        span(rows, self.rs, columns, self.cs)
    }
}

fn span(rows: usize, rs: usize, columns: usize, cs: usize) -> Option<usize> {
    if rows == 0 || columns == 0 {
        return Some(0);
    }
    (rows - 1).checked_mul(rs)?.checked_add((columns - 1).checked_mul(cs)?)?.checked_add(1)
}

/// What to compute: alpha·A·B + beta·C + bias, of m rows, n columns and k products each.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a, T> {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) a: Mat<'a, T>,
    pub(super) b: Mat<'a, T>,
    pub(super) alpha: T,
    pub(super) beta: T,
    pub(super) bias: Option<&'a [T]>,
}

impl<'a, T: Real> Product<'a, T> {
    /// A·B, A of m by k, B of k by n.
    pub fn new([m, n, k]: [usize; 3], a: Mat<'a, T>, b: Mat<'a, T>) -> Self {
        Self { m, n, k, a, b, alpha: T::ONE, beta: T::ZERO, bias: None }
    }

    /// Factor on A·B, 1 otherwise.
    #[must_use]
    pub fn alpha(mut self, alpha: T) -> Self {
        self.alpha = alpha;
        self
    }

    /// Factor on C, 0 otherwise: then C is not read.
    #[must_use]
    pub fn beta(mut self, beta: T) -> Self {
        self.beta = beta;
        self
    }

    /// Adds bias_j to every row.
    #[must_use]
    pub fn bias(mut self, bias: Option<&'a [T]>) -> Self {
        self.bias = bias;
        self
    }

    fn check(&self, c: usize, ldc: usize) -> Result<()> {
        let &Self { m, n, k, .. } = self;
        let fits = |what: &str, span: Option<usize>, len: usize| match span {
            Some(span) if span <= len => Ok(()),
            span => Err(short(what, span, len)),
        };
        fits("a", self.a.span(m, k), self.a.data.len())?;
        fits("b", self.b.span(k, n), self.b.data.len())?;
        fits("c", if m > 1 && ldc < n { None } else { span(m, ldc, n, 1) }, c)?;
        fits("bias", Some(if self.bias.is_some() { n } else { 0 }), self.bias.map_or(0, <[T]>::len))
    }
}

#[cold]
fn short(what: &str, span: Option<usize>, len: usize) -> Error {
    let expected = span.map_or("a leading dimension of at least a row".into(), |span| format!("at least {span} elements"));
    Error::shape("gemm", format!("{what} is too short")).expected(expected).got(format!("{len} elements"))
}

/// Elements of `work` that [`gemm`] needs for products of at most these sizes, whatever the strides.
pub fn workspace<T: Real>(cpu: &Cpu, shape: [usize; 3]) -> usize {
    gemm_cpu::workspace::<T>(cpu, shape)
}

/// C = alpha·A·B + beta·C + bias; row i of C begins at `c[i·ldc]`. `work` has at least [`workspace`] elements.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if a slice is shorter than its matrix.
///
/// # Examples
/// ```
/// use kamacite::op::gemm::{Mat, Product, gemm, workspace};
/// let cpu = kamacite::Cpu::new(1)?;
/// let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
/// let mut c = [0.0; 4];
/// let mut work = vec![0.0; workspace::<f64>(&cpu, [2, 2, 2])];
/// gemm(&cpu, &Product::new([2, 2, 2], Mat::rows(&a, 2), Mat::rows(&b, 2).t()), &mut c, 2, &mut work)?;
/// assert_eq!(c, [17.0, 23.0, 39.0, 53.0]);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn gemm<T: Real>(cpu: &Cpu, product: &Product<'_, T>, c: &mut [T], ldc: usize, work: &mut [T]) -> Result<()> {
    let &Product { m, n, k, .. } = product;
    product.check(c.len(), ldc)?;
    if m == 0 || n == 0 {
        return Ok(());
    }
    let job = Job::new(cpu, product, c.as_mut_ptr(), ldc);
    // SAFETY: the spans were checked, so every element that the loops address lies in its slice.
    if unsafe { gemm_cpu::one_tile(&job, work) } {
        return Ok(());
    }
    let needed = workspace::<T>(cpu, [m, n, k]);
    if work.len() < needed {
        return Err(short("work", Some(needed), work.len()));
    }
    // SAFETY: as above, and `work` is long enough.
    unsafe { gemm_cpu::run(cpu, &job, work) }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Isa;
    use crate::rng::{Purpose, Stream};

    /// A matrix of m by n with random strides, and what it holds.
    fn matrix<T: Real>(r: &mut Stream, m: usize, n: usize) -> (Vec<T>, usize, usize) {
        let pad = |r: &mut Stream| r.below(4);
        let (rs, cs) = match r.below(5) {
            0 | 1 => (n + pad(r), 1),
            2 | 3 => (1, m + pad(r)),
            _ => ((n + 1) * 2 + pad(r), 2),
        };
        let len = span(m, rs, n, cs).unwrap();
        ((0..len).map(|_| T::of(r.between(-1.0, 1.0))).collect(), rs, cs)
    }

    /// Elements behind the workspace that must not change.
    const GUARD: usize = 20_000;

    struct Case<T> {
        shape: [usize; 3],
        a: (Vec<T>, usize, usize),
        b: (Vec<T>, usize, usize),
        c: Vec<T>,
        ldc: usize,
        alpha: T,
        beta: T,
        bias: Option<Vec<T>>,
    }

    impl<T: Real> Case<T> {
        fn new(r: &mut Stream, [m, n, k]: [usize; 3]) -> Self {
            let ldc = n + r.below(3);
            let beta = [0.0, 1.0, -0.5][r.below(3)];
            // With beta 0, C must not be read.
            let c = (0..m * ldc).map(|_| if beta == 0.0 { T::of(f64::NAN) } else { T::of(r.between(-1.0, 1.0)) }).collect();
            let bias = (r.below(2) == 0).then(|| (0..n).map(|_| T::of(r.between(-1.0, 1.0))).collect());
            let alpha = T::of([1.0, 1.0, -0.75][r.below(3)]);
            Self { shape: [m, n, k], a: matrix(r, m, k), b: matrix(r, k, n), c, ldc, alpha, beta: T::of(beta), bias }
        }

        fn run(&self, cpu: &Cpu) -> Vec<T> {
            let mut c = self.c.clone();
            let len = workspace::<T>(cpu, self.shape);
            let mut work = vec![T::of(f64::NAN); len + GUARD];
            work[len..].fill(T::ONE);
            let (a, b) = (Mat::strided(&self.a.0, self.a.1, self.a.2), Mat::strided(&self.b.0, self.b.1, self.b.2));
            let p = Product::new(self.shape, a, b).alpha(self.alpha).beta(self.beta).bias(self.bias.as_deref());
            gemm(cpu, &p, &mut c, self.ldc, &mut work[..len]).unwrap();
            assert!(work[len..].iter().all(|w| *w == T::ONE), "{:?}: wrote past the workspace", self.shape);
            c
        }

        /// Compares with sums in f64. Each of k + 3 roundings errs by at most ε/2 of a partial sum; as errors and terms walk
        /// randomly, they come to about ε/2·√k of |sum| ~ √k·|term|: that is ε·Σ|term|. The bound has a factor of 8 over it.
        fn check(&self, c: &[T], what: &str) {
            let [m, n, k] = self.shape;
            for i in 0..m {
                for j in 0..self.ldc {
                    let got = c[i * self.ldc + j].to_f64();
                    let old = self.c[i * self.ldc + j].to_f64();
                    if j >= n {
                        assert!(got.to_bits() == old.to_bits(), "{what} {:?}: wrote between rows", self.shape);
                        continue;
                    }
                    let bias = self.bias.as_ref().map_or(0.0, |b| b[j].to_f64());
                    let (mut sum, mut size) = (bias, bias.abs());
                    if self.beta != T::ZERO {
                        sum += self.beta.to_f64() * old;
                        size += (self.beta.to_f64() * old).abs();
                    }
                    for p in 0..k {
                        let (a, b) = (&self.a, &self.b);
                        let term = self.alpha.to_f64() * a.0[i * a.1 + p * a.2].to_f64() * b.0[p * b.1 + j * b.2].to_f64();
                        sum += term;
                        size += term.abs();
                    }
                    let bound = 8.0 * T::EPSILON.to_f64() * size;
                    assert!((got - sum).abs() <= bound, "{what} {:?} ({i}, {j}): {got} for {sum}", self.shape);
                }
            }
        }
    }

    fn bits<T: Real>(c: &[T]) -> Vec<u64> {
        c.iter().map(|c| c.to_f64().to_bits()).collect()
    }

    fn check<T: Real>(shapes: &[[usize; 3]]) {
        let mut r = Stream::new(1, Purpose::Synth, 0);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
            let cpus = [1, 2, 7].map(|threads| Cpu::with_isa(threads, isa).unwrap());
            assert!(cpus.iter().all(|cpu| cpu.isa() == isa));
            for &shape in shapes {
                let case = Case::<T>::new(&mut r, shape);
                let [c, others @ ..] = cpus.each_ref().map(|cpu| case.run(cpu));
                case.check(&c, &isa.to_string());
                for other in others {
                    assert_eq!(bits(&c), bits(&other), "{isa} {shape:?}: threads change bits");
                }
            }
        }
    }

    /// Every number of rows, columns and products from 0 to 70 in many combinations.
    #[test]
    fn small_products_of_any_strides() {
        let mut r = Stream::new(2, Purpose::Synth, 0);
        let mut shapes: Vec<[usize; 3]> = (0..=70).flat_map(|i| [[i, 70 - i, 9], [3, i, 70 - i], [70 - i, 5, i]]).collect();
        shapes.extend((0..300).map(|_| [r.below(71), r.below(71), r.below(71)]));
        check::<f32>(&shapes);
        check::<f64>(&shapes);
    }

    /// Past each limit: packing, transposes, blocks of m, n and k, threads, split sums.
    #[test]
    fn large_products_of_any_strides() {
        let shapes =
            [[200, 300, 70], [90, 1100, 40], [61, 67, 900], [17, 33, 4099], [3, 5, 9000], [130, 120, 130], [1, 300, 4000]];
        let turned = [[9, 60, 25], [16, 100, 40], [40, 500, 90], [64, 470, 400]];
        // Few rows and long sums, and more of B than any cache is taken to hold.
        let few = [[1, 70, 250], [3, 130, 129], [7, 67, 300], [5, 900, 1200], [9, 4200, 1050]];
        let often: Vec<_> = shapes.into_iter().chain(turned).chain(few).flat_map(|shape| [shape; 4]).collect();
        check::<f32>(&often);
        check::<f64>(&often);
    }

    #[test]
    fn short_slices_are_errors() {
        let cpu = Cpu::new(1).unwrap();
        let x = [1.0_f32; 12];
        let mut work = vec![0.0; workspace::<f32>(&cpu, [3, 3, 4])];
        let run = |a: &[f32], b: &[f32], c: usize, ldc: usize, bias: Option<&[f32]>, work: &mut [f32]| {
            let p = Product::new([3, 3, 4], Mat::rows(a, 4), Mat::rows(b, 3)).bias(bias);
            gemm(&cpu, &p, &mut vec![0.0; c], ldc, work)
        };
        run(&x, &x, 9, 3, Some(&x[..3]), &mut work).unwrap();
        assert!(run(&x[..11], &x, 9, 3, None, &mut work).is_err());
        assert!(run(&x, &x[..11], 9, 3, None, &mut work).is_err());
        assert!(run(&x, &x, 8, 3, None, &mut work).is_err());
        assert!(run(&x, &x, 9, 2, None, &mut work).is_err());
        assert!(run(&x, &x, 9, usize::MAX, None, &mut work).is_err());
        assert!(run(&x, &x, 9, 3, Some(&x[..2]), &mut work).is_err());
        // The whole of C fits in the registers: no workspace is used, and none missed. A larger C needs one.
        run(&x, &x, 9, 3, None, &mut []).unwrap();
        let (x, mut c) = ([1.0_f32; 100 * 100], [0.0; 100 * 100]);
        let large = Product::new([100, 100, 100], Mat::rows(&x, 100), Mat::rows(&x, 100));
        let short = &mut work[..workspace::<f32>(&cpu, [3, 3, 4]) / 2];
        assert!(gemm(&cpu, &large, &mut c, 100, short).is_err());
    }

    /// A plan asks for its workspace at full capacity and then computes fewer rows.
    #[test]
    fn workspace_grows_with_every_size() {
        let cpu = Cpu::new(7).unwrap();
        let sizes = [0, 1, 13, 64, 100, 1000, 5000, 20_000];
        for m in sizes.windows(2) {
            for n in sizes.windows(2) {
                for k in sizes.windows(2) {
                    let at = workspace::<f32>(&cpu, [m[1], n[1], k[1]]);
                    for smaller in [[m[0], n[1], k[1]], [m[1], n[0], k[1]], [m[1], n[1], k[0]]] {
                        assert!(workspace::<f32>(&cpu, smaller) <= at, "{smaller:?}");
                    }
                }
            }
        }
    }
}
