//! Template fitting: each spectrum against a few eigenspectra of every class at every redshift, by least squares with the errors of its bins.
//!
//! ```text
//! χ²(class, z) = min over a of Σ_k w_k (f_k − Σ_j a_j T_j(k + s))²,  s = log₁₀(1+z) in bins
//! ```
//!
//! The eigenspectra are those of the weighted principal components of the class's training spectra, moved to rest by their known redshifts; bins that
//! a spectrum does not cover weigh nothing. The sums over bins are products of matrices: all spectra at once for each shift.
//!
//! # Source
//! Bailey 2012, "Principal component analysis with missing and noisy data", PASP 124, for the components; Bolton et al. 2012, "Spectral classification
//! and redshift measurement for the SDSS-III BOSS", for the fit.

use crate::sky::sdss::{BINS, STEP, Spectra};
use kamacite::op::gemm::{Mat, Product, gemm, workspace};
use kamacite::rng::{Purpose, Stream};
use kamacite::{Cpu, Result};
use rayon::prelude::*;

/// Bins of the catalogue in one of the fit: 138 km/s.
const REBIN: usize = 2;
const N: usize = BINS / REBIN;
/// Eigenspectra of a class.
const K: usize = 5;
/// Their products, each pair once.
const PAIRS: usize = K * (K + 1) / 2;
const ROUNDS: usize = 12;

/// The eigenspectra of one class, and the shifts at which they are tried.
struct Class {
    /// (rest bins, K)
    eigen: Vec<f64>,
    /// Bins by which the bluest spectrum was moved: rest bin of observed bin 0 at shift 0.
    top: usize,
    shifts: Vec<usize>,
}

/// What a fit says of a spectrum.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    /// χ², least over classes and redshifts.
    pub chi2: f64,
    /// The class, as in [`crate::sky::sdss::CLASSES`].
    pub class: u32,
    /// The redshift.
    pub z: f64,
}

/// Templates of all four classes.
pub struct Templates(Vec<Class>);

/// A spectrum in the bins of the fit: w·f and w, scaled to a mean flux of 1.
fn rebinned(flux: &[f32], ivar: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let bins = || flux.chunks_exact(REBIN).zip(ivar.chunks_exact(REBIN));
    let w: Vec<f64> = bins().map(|(_, w)| w.iter().map(|w| f64::from(*w)).sum()).collect();
    let wf: Vec<f64> = bins().map(|(f, w)| f.iter().zip(w).map(|(f, w)| f64::from(*f) * f64::from(*w)).sum()).collect();
    let scale = wf.iter().sum::<f64>() / w.iter().sum::<f64>();
    (wf.iter().map(|wf| wf * scale).collect(), w.iter().map(|w| w * scale * scale).collect())
}

fn shift(z: f64) -> usize {
    libm::round(libm::log10(1.0 + z) / (STEP * REBIN as f64)) as usize
}

impl Templates {
    /// Those of the training spectra, whose redshifts are known.
    pub fn of(train: &Spectra) -> Self {
        Self((0..4).map(|class| Class::of(train, class)).collect())
    }

    /// The best class and redshift of every spectrum.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn fit(&self, cpu: &Cpu, spectra: &Spectra) -> Result<Vec<Fit>> {
        let n = spectra.len();
        let (mut wf, mut w) = (Vec::with_capacity(n * N), Vec::with_capacity(n * N));
        for i in 0..n {
            let (flux, ivar) = spectra.spectrum(i);
            let (a, b) = rebinned(flux, ivar);
            wf.extend(a);
            w.extend(b);
        }
        let own =
            |i: usize| wf[i * N..(i + 1) * N].iter().zip(&w[i * N..]).map(|(wf, w)| if *w > 0.0 { wf * wf / w } else { 0.0 });
        let squares: Vec<f64> = (0..n).map(|i| own(i).sum()).collect();
        let mut best = vec![Fit { chi2: f64::INFINITY, class: 0, z: 0.0 }; n];
        let (mut a, mut b) = (vec![0.0; n * PAIRS], vec![0.0; n * K]);
        let mut work = vec![0.0; workspace::<f64>(cpu, [n, PAIRS, N]).max(workspace::<f64>(cpu, [n, K, N]))];
        for (class, of) in self.0.iter().enumerate() {
            let pairs: Vec<f64> =
                of.eigen.chunks_exact(K).flat_map(|t| (0..K).flat_map(move |i| (0..=i).map(move |j| t[i] * t[j]))).collect();
            for &s in &of.shifts {
                let from = of.top - s;
                let table = Mat::rows(&pairs[from * PAIRS..(from + N) * PAIRS], PAIRS);
                gemm(cpu, &Product::new([n, PAIRS, N], Mat::rows(&w, N), table), &mut a, PAIRS, &mut work)?;
                let table = Mat::rows(&of.eigen[from * K..(from + N) * K], K);
                gemm(cpu, &Product::new([n, K, N], Mat::rows(&wf, N), table), &mut b, K, &mut work)?;
                best.par_iter_mut().enumerate().for_each(|(i, best)| {
                    let b: &[f64] = &b[i * K..(i + 1) * K];
                    let chi2 =
                        squares[i] - solve(&a[i * PAIRS..(i + 1) * PAIRS], b).iter().zip(b).map(|(x, b)| x * b).sum::<f64>();
                    if chi2 < best.chi2 {
                        let z = libm::pow(10.0, s as f64 * STEP * REBIN as f64) - 1.0;
                        *best = Fit { chi2, class: class as u32, z };
                    }
                });
            }
        }
        Ok(best)
    }
}

impl Class {
    fn of(train: &Spectra, class: u32) -> Self {
        let members: Vec<usize> = (0..train.len()).filter(|&i| train.class[i] == class && train.z[i].is_finite()).collect();
        let shifts: Vec<usize> = members.iter().map(|&i| shift(f64::from(train.z[i]))).collect();
        let (low, top) = (shifts.iter().min().copied().unwrap_or(0), shifts.iter().max().copied().unwrap_or(0));
        let spectra: Vec<(Vec<f64>, Vec<f64>, usize)> = members
            .par_iter()
            .zip(&shifts)
            .map(|(&i, s)| {
                let (flux, ivar) = train.spectrum(i);
                let (wf, w) = rebinned(flux, ivar);
                (wf, w, top - s)
            })
            .collect();
        let eigen = components(&spectra, N + top - low, class);
        // Broad lines need no finer steps; the fit of narrow ones must not miss a bin.
        let step = if top - low > 1500 { 8 } else { 1 };
        Self { eigen, top, shifts: (low..=top).step_by(step).collect() }
    }
}

/// The components of spectra (w·f, w, first rest bin) in turns: coefficients of each spectrum, then values of each bin.
fn components(spectra: &[(Vec<f64>, Vec<f64>, usize)], bins: usize, class: u32) -> Vec<f64> {
    let mut coefficients: Vec<[f64; K]> = (0..spectra.len())
        .map(|i| {
            let mut r = Stream::new(u64::from(class), Purpose::User, i as u64);
            std::array::from_fn(|k| if k == 0 { 1.0 } else { r.normal() })
        })
        .collect();
    let mut eigen = vec![0.0; bins * K];
    for round in 0..ROUNDS {
        if round > 0 {
            let of = |(wf, w, first): &(Vec<f64>, Vec<f64>, usize)| {
                let (mut a, mut b) = ([0.0; PAIRS], [0.0; K]);
                for ((wf, w), t) in wf.iter().zip(w).zip(eigen[first * K..].chunks_exact(K)) {
                    gather(&mut a, &mut b, t, *w, *wf);
                }
                solve(&a, &b)
            };
            coefficients = spectra.par_iter().map(of).collect();
        }
        eigen.par_chunks_exact_mut(K).enumerate().for_each(|(bin, value)| {
            let (mut a, mut b) = ([0.0; PAIRS], [0.0; K]);
            for ((wf, w, first), c) in spectra.iter().zip(&coefficients) {
                if let Some(k) = bin.checked_sub(*first).filter(|k| *k < N) {
                    gather(&mut a, &mut b, c, w[k], wf[k]);
                }
            }
            value.copy_from_slice(&solve(&a, &b));
        });
        // Equal lengths, so that no direction drowns in rounding.
        for k in 0..K {
            let norm = libm::sqrt(eigen.iter().skip(k).step_by(K).map(|e| e * e).sum::<f64>() / bins as f64).max(1e-12);
            eigen.iter_mut().skip(k).step_by(K).for_each(|e| *e /= norm);
        }
    }
    eigen
}

/// Adds a bin to normal equations.
fn gather(a: &mut [f64; PAIRS], b: &mut [f64; K], t: &[f64], w: f64, wf: f64) {
    let mut at = 0;
    for i in 0..K {
        b[i] += wf * t[i];
        for j in 0..=i {
            a[at] += w * t[i] * t[j];
            at += 1;
        }
    }
}

/// Solves symmetric normal equations (lower triangle, row after row) by Cholesky's method, with a trace of damping.
fn solve(a: &[f64], b: &[f64]) -> [f64; K] {
    let at = |i: usize, j: usize| i * (i + 1) / 2 + j;
    let damping = 1e-9 * (0..K).map(|i| a[at(i, i)]).sum::<f64>() + 1e-30;
    let (mut l, mut x) = ([0.0; PAIRS], [0.0; K]);
    for i in 0..K {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| l[at(i, k)] * l[at(j, k)]).sum();
            let rest = a[at(i, j)] - sum;
            l[at(i, j)] = if i == j { libm::sqrt((rest + damping).max(1e-30)) } else { rest / l[at(j, j)] };
        }
    }
    for i in 0..K {
        x[i] = (b[i] - (0..i).map(|k| l[at(i, k)] * x[k]).sum::<f64>()) / l[at(i, i)];
    }
    for i in (0..K).rev() {
        x[i] = (x[i] - (i + 1..K).map(|k| l[at(k, i)] * x[k]).sum::<f64>()) / l[at(i, i)];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_equations_are_solved() {
        let (t, x): ([[f64; K]; 7], [f64; K]) = (
            std::array::from_fn(|i| std::array::from_fn(|j| libm::cos((3 * i + 7 * j) as f64) + if i == j { 2.0 } else { 0.0 })),
            [1.0, -2.0, 0.5, 3.0, -1.5],
        );
        let (mut a, mut b) = ([0.0; PAIRS], [0.0; K]);
        for t in &t {
            let f: f64 = t.iter().zip(&x).map(|(t, x)| t * x).sum();
            gather(&mut a, &mut b, t, 2.0, 2.0 * f);
        }
        assert!(solve(&a, &b).iter().zip(&x).all(|(got, x)| (got - x).abs() < 1e-6));
    }

    /// Galaxies of their own class and redshift, to a bin, as far as that is possible: bright ones.
    #[test]
    fn redshifts_are_found() -> Result<()> {
        let (train, test) = Spectra::generated(200, 3).split(160);
        let fits = Templates::of(&train).fit(&Cpu::new(2)?, &test)?;
        let right = (0..40).filter(|&i| fits[i].class == test.class[i]).count();
        assert!(right >= 24, "{right} of 40");
        let close = |i: usize| (fits[i].z - f64::from(test.z[i])).abs() < 0.003 * (1.0 + fits[i].z);
        let found = (0..40).filter(|&i| fits[i].class == test.class[i] && test.class[i] != 3 && close(i)).count();
        let all = (0..40).filter(|&i| fits[i].class == test.class[i] && test.class[i] != 3).count();
        assert!(found * 10 >= all * 8, "{found} of {all}");
        Ok(())
    }
}
