//! k-means against its definition.

use super::*;
use crate::ErrorKind;
use crate::device::Isa;

fn numbers<T: Real>(n: usize, seed: u64) -> Vec<T> {
    let mut r = Stream::new(seed, Purpose::User, 0);
    (0..n).map(|_| T::of(r.normal() + 3.0 * r.below(3) as f64)).collect()
}

fn square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The nearest centre of a sample, the first of equally near ones, and its squared distance.
fn nearest(x: &[f64], centres: &[f64]) -> (usize, f64) {
    let all = centres.chunks(x.len()).map(|c| square(x, c)).enumerate();
    all.fold((0, f64::INFINITY), |best, (j, d)| if d < best.1 { (j, d) } else { best })
}

/// Lloyd's iteration from the samples that [`Start::Points`] draws, loop by loop.
fn naive(x: &[f64], dims: usize, k: usize, seed: u64, most: usize) -> (Vec<f64>, Vec<u32>, f64, usize) {
    let n = x.len() / dims;
    let mut r = Stream::new(seed, Purpose::Init, 0);
    let mut centres: Vec<f64> = (0..k).map(|_| r.below(n)).flat_map(|i| x[i * dims..(i + 1) * dims].to_vec()).collect();
    let mut iterations = 0;
    for _ in 0..most {
        let labels: Vec<usize> = x.chunks(dims).map(|x| nearest(x, &centres).0).collect();
        let before = centres.clone();
        for j in 0..k {
            let own: Vec<&[f64]> = x.chunks(dims).zip(&labels).filter(|(_, l)| **l == j).map(|(x, _)| x).collect();
            for d in (0..dims).filter(|_| !own.is_empty()) {
                centres[j * dims + d] = own.iter().map(|x| x[d]).sum::<f64>() / own.len() as f64;
            }
        }
        iterations += 1;
        if square(&before, &centres) < 1e-24 {
            break;
        }
    }
    let found: Vec<(usize, f64)> = x.chunks(dims).map(|x| nearest(x, &centres)).collect();
    let mean = found.iter().map(|f| f.1).sum::<f64>() / n as f64;
    (centres, found.iter().map(|f| f.0 as u32).collect(), mean, iterations)
}

#[test]
fn one_start_is_the_plain_iteration() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
        let cpu = Cpu::with_isa(2, isa).unwrap();
        for (i, (n, dims, k)) in
            [(1, 1, 1), (17, 1, 3), (200, 2, 4), (333, 3, 5), (100, 4, 7), (64, 5, 3), (5000, 6, 4), (9001, 3, 40)]
                .into_iter()
                .enumerate()
        {
            let x = numbers::<f64>(n * dims, i as u64);
            for most in [1, 3, 1000] {
                let plan = KMeans::new(k).start(Start::Points).restarts(1).seed(5).max_iterations(most).tolerance(1e-12);
                let found = plan.fit(&cpu, &x, dims).unwrap();
                let (centres, assignment, mean, iterations) = naive(&x, dims, k, 5, most);
                assert_eq!((&found.assignment, found.iterations), (&assignment, iterations), "{n} {dims} {k} {isa}");
                // Sums of at most 9001 terms below 10, in another order.
                let near = |a: f64, b: f64| (a - b).abs() < 1e-11;
                assert!(found.centres.iter().zip(&centres).all(|(a, b)| near(*a, *b)), "{n} {dims} {k} {isa}");
                assert!(near(found.mean_squared_distance, mean), "{} {mean}", found.mean_squared_distance);
                let sizes = (0..k).map(|j| assignment.iter().filter(|a| **a == j as u32).count());
                assert_eq!(found.sizes, sizes.collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn bits_depend_neither_on_threads_nor_on_the_instruction_set() {
    fn check<T: Real>() {
        for (n, dims, k) in [(20_001, 3, 5), (7000, 7, 600)] {
            let x = numbers::<T>(n * dims, 3);
            for start in [Start::KMeansPlusPlus, Start::Points] {
                let run = |threads, isa| {
                    let cpu = Cpu::with_isa(threads, isa).unwrap();
                    let c = KMeans::new(k).start(start).restarts(2).max_iterations(5).seed(1).fit(&cpu, &x, dims).unwrap();
                    let bits: Vec<u64> = c.centres.iter().map(|c| c.to_f64().to_bits()).collect();
                    (bits, c.assignment, c.mean_squared_distance.to_bits())
                };
                let one = run(1, Isa::Portable);
                for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
                    assert!([1, 2, 7].into_iter().all(|threads| run(threads, isa) == one), "{start:?} {isa}");
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn more_starts_never_do_worse_and_seeds_differ() {
    let (x, cpu) = (numbers::<f32>(600, 8), Cpu::new(1).unwrap());
    let run = |restarts, seed| KMeans::new(9).restarts(restarts).seed(seed).fit(&cpu, &x, 2).unwrap();
    let means: Vec<f64> = (1..8).map(|restarts| run(restarts, 4).mean_squared_distance).collect();
    assert!(means.windows(2).all(|m| m[1] <= m[0]) && means[6] < means[0], "{means:?}");
    assert!((0..20).any(|seed| run(1, seed).centres != run(1, 4).centres));
    assert_eq!(run(3, 4), run(3, 4));
}

#[test]
fn a_centre_without_samples_stays_and_lets_the_others_converge() {
    // Three different points only, each several times: of 5 centres at least 2 stay empty.
    let x: Vec<f32> = [[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]].into_iter().cycle().take(30).flatten().collect();
    let cpu = Cpu::new(2).unwrap();
    for (start, seed) in [(Start::KMeansPlusPlus, 0), (Start::KMeansPlusPlus, 1), (Start::Points, 2), (Start::Points, 3)] {
        let found = KMeans::new(5).start(start).seed(seed).fit(&cpu, &x, 2).unwrap();
        assert!(found.converged && found.iterations < 10 && found.sizes.iter().sum::<usize>() == 30, "{found:?}");
        assert!(found.sizes.iter().filter(|n| **n == 0).count() >= 2);
        // Empty ones stay where they began: on a sample.
        assert!(found.centres.chunks(2).all(|c| c.iter().all(|c| c.is_finite())));
        if start == Start::KMeansPlusPlus {
            assert_eq!(found.mean_squared_distance, 0.0);
            assert!(found.centres.chunks(2).all(|c| x.chunks(2).any(|x| x == c)));
        }
    }
    // Equally near centres: the first takes all.
    let found = KMeans::new(3).fit(&cpu, &[2.0_f64; 7], 1).unwrap();
    assert_eq!((found.sizes, found.assignment), (vec![7, 0, 0], vec![0; 7]));
}

#[test]
fn the_tolerance_ends_early_with_a_consistent_answer() {
    let (x, cpu) = (numbers::<f64>(2000, 1), Cpu::new(1).unwrap());
    let plan = KMeans::new(6).start(Start::Points).restarts(1).seed(2);
    let (full, early) = (plan.fit(&cpu, &x, 2).unwrap(), plan.tolerance(0.1).fit(&cpu, &x, 2).unwrap());
    assert!(early.iterations < full.iterations && early.mean_squared_distance > full.mean_squared_distance);
    assert!(full.converged && early.converged && !plan.max_iterations(2).fit(&cpu, &x, 2).unwrap().converged);
    for found in [full, early] {
        let all: Vec<_> = x.chunks(2).map(|x| nearest(x, &found.centres)).collect();
        assert!(all.iter().zip(&found.assignment).all(|(a, b)| a.0 == *b as usize));
        let mean = all.iter().map(|a| a.1).sum::<f64>() / 1000.0;
        assert!((mean - found.mean_squared_distance).abs() < 1e-12);
    }
}

#[test]
fn bad_input_is_an_error() {
    let cpu = Cpu::new(1).unwrap();
    let kind = |plan: KMeans, x: &[f32], dims| plan.fit(&cpu, x, dims).map(|_| ()).map_err(|e| e.kind());
    let (two, x) = (KMeans::new(2), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(kind(two, &x, 2), Ok(()));
    for (x, dims) in [(&x[..], 0), (&x[..3], 2), (&[][..], 2)] {
        assert_eq!(kind(two, x, dims), Err(ErrorKind::Shape));
    }
    let bad =
        [KMeans::new(0), KMeans::new(3), two.restarts(0), two.max_iterations(0), two.tolerance(-1.0), two.tolerance(f64::NAN)];
    assert!(bad.into_iter().all(|plan| kind(plan, &x, 2) == Err(ErrorKind::Value)));
    for bad in [f32::NAN, f32::INFINITY, 1e19, -1e19] {
        assert_eq!(kind(two, &[1.0, 2.0, bad, 4.0], 2), Err(ErrorKind::Value), "{bad}");
    }
    let e = two.fit(&cpu, &[1.0, 2.0, f64::NAN, 4.0], 2).unwrap_err().to_string();
    assert_eq!(e, "k-means: sample 1, coordinate 0: not a number to measure distances from; expected a finite number, got NaN");
}
