//! k-means: k centres c_j for which the mean squared distance (1/n)·Σ_i min_j |x_i − c_j|² is small.
//!
//! Lloyd's iteration: every sample goes to its nearest centre (of equally near ones to the first), then every centre moves to the
//! mean of its samples. A centre without samples stays where it is, and does not keep the others from converging. The iteration
//! ends in a local minimum, so several starts are tried and the best is kept.
//!
//! Distances are computed in the type of the samples, means and the mean squared distance in f64. The same seed gives the same bits
//! for any number of threads and every instruction set.
//!
//! # Source
//! Lloyd 1982, "Least squares quantization in PCM"; Arthur & Vassilvitskii 2007, "k-means++: the advantages of careful seeding".

mod lloyd;

use crate::rng::{Purpose, Stream};
use crate::{Cpu, Error, Real, Result};
use lloyd::Points;

/// Where the centres begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// k-means++: the first is a sample, each further one a sample drawn with a probability proportional to its squared distance from
    /// the nearest centre so far.
    #[default]
    KMeansPlusPlus,
    /// k samples, each drawn from all, as plain textbook programs do: two may be the same one, and then one of both centres stays
    /// empty.
    Points,
}

/// What to do: the number of clusters, and options.
///
/// # Examples
/// ```
/// use kamacite::kmeans::KMeans;
/// use kamacite::Cpu;
/// // Four points in the plane: two on the left, two on the right.
/// let x = [0.0_f32, 0.0, 0.0, 1.0, 9.0, 0.0, 9.0, 1.0];
/// let found = KMeans::new(2).seed(7).fit(&Cpu::default(), &x, 2)?;
/// assert_eq!((found.sizes, found.mean_squared_distance), (vec![2, 2], 0.25));
/// assert!(found.assignment[0] == found.assignment[1] && found.assignment[0] != found.assignment[2]);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KMeans {
    k: usize,
    start: Start,
    restarts: usize,
    max_iterations: usize,
    tolerance: f64,
    seed: u64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Clusters<T> {
    /// The centres, k rows of as many coordinates as a sample has.
    pub centres: Vec<T>,
    /// The nearest centre of each sample.
    pub assignment: Vec<u32>,
    /// Samples of each centre.
    pub sizes: Vec<usize>,
    /// (1/n)·Σ |x − c|² over the samples and their centres.
    pub mean_squared_distance: f64,
    /// Times that the centres were moved, in the start that won; the last time of a converged one moves nothing.
    pub iterations: usize,
    /// Whether the last of them moved no centre farther than the tolerance.
    pub converged: bool,
}

impl KMeans {
    /// k clusters from 10 starts by k-means++, each of up to 100 iterations, until no centre moves.
    pub const fn new(k: usize) -> Self {
        Self { k, start: Start::KMeansPlusPlus, restarts: 10, max_iterations: 100, tolerance: 0.0, seed: 0 }
    }

    /// Where the centres begin.
    #[must_use]
    pub const fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// How many starts are tried; the one with the least mean squared distance is kept, of equal ones the first.
    #[must_use]
    pub const fn restarts(mut self, restarts: usize) -> Self {
        self.restarts = restarts;
        self
    }

    /// The most iterations of one start.
    #[must_use]
    pub const fn max_iterations(mut self, iterations: usize) -> Self {
        self.max_iterations = iterations;
        self
    }

    /// Stops when no centre moves farther than this, in the units of the samples.
    #[must_use]
    pub const fn tolerance(mut self, distance: f64) -> Self {
        self.tolerance = distance;
        self
    }

    /// What all draws are keyed by; start number r draws the same whatever their number.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Finds the clusters of samples of `dims` coordinates each.
    ///
    /// # Shapes
    /// `samples`: n rows of `dims`; centres: k rows of `dims`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for no whole number of samples, [`ErrorKind::Value`](crate::ErrorKind::Value) for
    /// k outside 1..=n, no start, no iteration, a negative tolerance, and coordinates that are not finite or whose squared distances
    /// overflow.
    pub fn fit<T: Real>(&self, cpu: &Cpu, samples: &[T], dims: usize) -> Result<Clusters<T>> {
        self.check(samples, dims)?;
        let points = Points::new(cpu, samples, dims, self.k);
        let mut work = points.workspace(self.k);
        let mut best: Option<Clusters<T>> = None;
        for restart in 0..self.restarts {
            let mut r = Stream::new(self.seed, Purpose::Init, restart as u64);
            let centres = match self.start {
                Start::KMeansPlusPlus => points.plus_plus(cpu, self.k, &mut r, &mut work),
                Start::Points => (0..self.k).flat_map(|_| points.point(r.below(points.len()))).collect(),
            };
            let (centres, iterations, converged) = points.lloyd(cpu, centres, self.max_iterations, self.tolerance, &mut work);
            let mean_squared_distance = work.mean_squared_distance();
            if best.as_ref().is_none_or(|b| mean_squared_distance < b.mean_squared_distance) {
                let (assignment, sizes) = work.assignment();
                best = Some(Clusters { centres, assignment, sizes, mean_squared_distance, iterations, converged });
            }
        }
        best.ok_or_else(|| Error::value(PLACE, "number of starts").expected("at least 1").got(0))
    }

    fn check<T: Real>(&self, samples: &[T], dims: usize) -> Result<()> {
        if dims == 0 || samples.is_empty() || !samples.len().is_multiple_of(dims) {
            let expected = format!("n rows of {} coordinates", dims.max(1));
            return Err(Error::shape(PLACE, "no whole number of samples")
                .expected(expected)
                .got(format!("{} values", samples.len())));
        }
        let n = samples.len() / dims;
        if self.k == 0 || self.k > n || u32::try_from(self.k).is_err() {
            return Err(Error::value(PLACE, "number of clusters")
                .expected(format!("1 to {n}, the number of samples"))
                .got(self.k));
        }
        for (what, value) in [("number of starts", self.restarts), ("number of iterations", self.max_iterations)] {
            if value == 0 {
                return Err(Error::value(PLACE, what).expected("at least 1").got(value));
            }
        }
        if self.tolerance < 0.0 || self.tolerance.is_nan() {
            return Err(Error::value(PLACE, "tolerance").expected("a distance, at least 0").got(self.tolerance));
        }
        if let Some(i) = samples.iter().position(|x| !x.is_finite()) {
            let place = format!("{PLACE}: sample {}, coordinate {}", i / dims, i % dims);
            return Err(Error::value(place, "not a number to measure distances from")
                .expected("a finite number")
                .got(samples[i]));
        }
        let largest = samples.iter().fold(T::ZERO, |largest, x| largest.max(x.abs())).to_f64();
        if !T::of(4.0 * largest * largest * dims as f64).is_finite() {
            let e = Error::value(PLACE, "squared distances overflow").got(format!("coordinates of {largest:e}"));
            return Err(e.hint("divide the samples by their scale"));
        }
        Ok(())
    }
}

const PLACE: &str = "k-means";

#[cfg(test)]
mod tests;
