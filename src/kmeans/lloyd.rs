//! The loops of k-means: samples in chunks over threads, coordinate after coordinate within a chunk, so that distances of
//! neighbours fill vectors.
//!
//! Chunks follow from the sizes alone; what they sum up is added in their order.

use crate::device::{Rows, per_isa};
use crate::rng::Stream;
use crate::{Cpu, Real};

/// Samples that are measured together.
const LANES: usize = 16;
/// Samples in a chunk, at least: some 5 µs of work, and few enough for the second-level cache.
const CHUNK: usize = 2048;

/// The samples, turned for the loops.
pub(super) struct Points<T> {
    /// Chunk after chunk; within one `dims` rows of `chunk` coordinates. The last one is filled up with zeros.
    x: Vec<T>,
    n: usize,
    dims: usize,
    chunk: usize,
}

/// What one start needs and leaves.
pub(super) struct Work<T> {
    /// The nearest centre of each sample, in whole chunks.
    labels: Vec<u32>,
    /// Squared distance to the nearest of the centres so far, for k-means++.
    nearest: Vec<T>,
    /// For each chunk: Σ x of each centre's samples, their number, and Σ |x − c|².
    sums: Vec<f64>,
    /// The same over all chunks.
    total: Vec<f64>,
    n: usize,
    k: usize,
}

impl<T: Real> Points<T> {
    pub fn new(cpu: &Cpu, samples: &[T], dims: usize, k: usize) -> Self {
        let n = samples.len() / dims;
        // Sums of k centres are then at most an eighth of a chunk's samples.
        let chunk = CHUNK.max(8 * k).min(n).next_multiple_of(LANES);
        let mut x = vec![T::ZERO; n.div_ceil(chunk) * chunk * dims];
        cpu.split(1, Rows(&mut x[..], chunk * dims), |i, x| {
            for (s, sample) in samples[i * chunk * dims..].chunks_exact(dims).take(chunk).enumerate() {
                sample.iter().enumerate().for_each(|(d, value)| x[d * chunk + s] = *value);
            }
        });
        Self { x, n, dims, chunk }
    }

    pub fn len(&self) -> usize {
        self.n
    }

    /// The coordinates of a sample.
    pub fn point(&self, i: usize) -> impl Iterator<Item = T> {
        let first = i / self.chunk * self.chunk * self.dims + i % self.chunk;
        (0..self.dims).map(move |d| self.x[first + d * self.chunk])
    }

    pub fn workspace(&self, k: usize) -> Work<T> {
        let (chunks, stride) = (self.n.div_ceil(self.chunk), k * self.dims + k + 1);
        Work {
            labels: vec![0; chunks * self.chunk],
            nearest: vec![T::ZERO; chunks * self.chunk],
            sums: vec![0.0; chunks * stride],
            total: vec![0.0; stride],
            n: self.n,
            k,
        }
    }

    /// The valid samples of a chunk.
    fn valid(&self, chunk: usize) -> usize {
        self.chunk.min(self.n - chunk * self.chunk)
    }

    /// Moves the centres until none moves farther than `tolerance`, at most `most` times; returns them, how often, and whether they came to
    /// rest. Leaves the assignment to them.
    pub fn lloyd(
        &self,
        cpu: &Cpu,
        mut centres: Vec<T>,
        most: usize,
        tolerance: f64,
        work: &mut Work<T>,
    ) -> (Vec<T>, usize, bool) {
        let (mut iterations, mut moved) = (0, f64::INFINITY);
        while moved > tolerance && iterations < most {
            self.assign(cpu, &centres, work);
            moved = work.means(&mut centres, self.dims);
            iterations += 1;
        }
        if moved > 0.0 {
            self.assign(cpu, &centres, work);
        }
        (centres, iterations, moved <= tolerance)
    }

    /// The nearest centre of every sample, and the sums over the samples of each.
    fn assign(&self, cpu: &Cpu, centres: &[T], work: &mut Work<T>) {
        let (chunk, dims, stride) = (self.chunk, self.dims, work.total.len());
        let parts = (Rows(&self.x[..], chunk * dims), Rows(&mut work.labels[..], chunk), Rows(&mut work.sums[..], stride));
        cpu.split(1, parts, |i, (x, labels, sums)| {
            let valid = self.valid(i);
            let (square, sums) = sums.split_at_mut(1);
            square[0] = label(cpu, x, centres, dims, &mut labels[..valid]);
            sums.fill(0.0);
            let (counts, sums) = sums.split_at_mut(work.k);
            let labels = &labels[..valid];
            match dims {
                1 => add::<T, 1>(x, labels, counts, sums),
                2 => add::<T, 2>(x, labels, counts, sums),
                3 => add::<T, 3>(x, labels, counts, sums),
                4 => add::<T, 4>(x, labels, counts, sums),
                _ => add_any(x, dims, labels, counts, sums),
            }
        });
        work.total.fill(0.0);
        for sums in work.sums.chunks_exact(stride) {
            work.total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
    }

    /// The centres of k-means++.
    pub fn plus_plus(&self, cpu: &Cpu, k: usize, r: &mut Stream, work: &mut Work<T>) -> Vec<T> {
        let mut centres: Vec<T> = self.point(r.below(self.n)).collect();
        work.nearest.fill(-T::LOWEST);
        let mut sums = vec![0.0; self.n.div_ceil(self.chunk)];
        while centres.len() < k * self.dims {
            let last = &centres[centres.len() - self.dims..];
            let parts = (Rows(&self.x[..], self.chunk * self.dims), Rows(&mut work.nearest[..], self.chunk), &mut sums[..]);
            cpu.split(1, parts, |i, (x, nearest, sum)| {
                sum[0] = approach(cpu, x, last, &mut nearest[..self.valid(i)]);
            });
            let next = self.draw(r, &sums, &work.nearest);
            centres.extend(self.point(next));
        }
        centres
    }

    /// A sample, drawn by its squared distance; any, where all lie on centres.
    fn draw(&self, r: &mut Stream, sums: &[f64], nearest: &[T]) -> usize {
        let total: f64 = sums.iter().sum();
        if total == 0.0 {
            return r.below(self.n);
        }
        let mut rest = r.uniform() * total;
        let mut found = 0;
        for (i, sum) in sums.iter().enumerate().filter(|(_, sum)| **sum > 0.0) {
            found = i;
            if rest < *sum {
                break;
            }
            rest -= sum;
        }
        let (first, mut at) = (found * self.chunk, 0);
        for (i, d) in nearest[first..first + self.valid(found)].iter().enumerate().filter(|(_, d)| **d > T::ZERO) {
            // The last one stays, should rounding leave a rest.
            at = i;
            rest -= d.to_f64();
            if rest < 0.0 {
                break;
            }
        }
        first + at
    }
}

impl<T: Real> Work<T> {
    pub fn mean_squared_distance(&self) -> f64 {
        self.total[0] / self.n as f64
    }

    /// The nearest centre of each sample, and the number of samples of each centre.
    pub fn assignment(&self) -> (Vec<u32>, Vec<usize>) {
        (self.labels[..self.n].to_vec(), self.total[1..=self.k].iter().map(|n| *n as usize).collect())
    }

    /// Moves the centres to the means of their samples; returns how far the farthest moved.
    fn means(&self, centres: &mut [T], dims: usize) -> f64 {
        let (counts, sums) = self.total[1..].split_at(self.k);
        let mut farthest = 0.0;
        for ((count, sums), centre) in counts.iter().zip(sums.chunks_exact(dims)).zip(centres.chunks_exact_mut(dims)) {
            if *count > 0.0 {
                let mut square = 0.0;
                for (sum, c) in sums.iter().zip(centre) {
                    let mean = T::of(sum / count);
                    square += (mean.to_f64() - c.to_f64()) * (mean.to_f64() - c.to_f64());
                    *c = mean;
                }
                farthest = f64::max(farthest, square);
            }
        }
        farthest.sqrt()
    }
}

per_isa! {
    /// The nearest centre of each sample of a chunk; returns Σ |x − c|².
    fn label<T: Real>(cpu: &Cpu, x: &[T], centres: &[T], dims: usize, labels: &mut [u32]) -> f64 {
        let chunk = x.len() / dims;
        let (blocks, rest) = labels.as_chunks_mut::<LANES>();
        let (mut sums, mut first) = ([0.0; LANES], 0);
        for labels in blocks {
            let nearest = nearest(&x[first..], chunk, centres, dims, labels);
            sums.iter_mut().zip(nearest).for_each(|(sum, d)| *sum += d.to_f64());
            first += LANES;
        }
        let mut total: f64 = sums.iter().sum();
        for label in rest.as_chunks_mut::<1>().0 {
            total += nearest(&x[first..], chunk, centres, dims, label)[0].to_f64();
            first += 1;
        }
        total
    }
}

/// Squared distance and number of the nearest centre of N neighbours, the first of equally near ones.
#[inline(always)]
fn nearest<T: Real, const N: usize>(x: &[T], chunk: usize, centres: &[T], dims: usize, labels: &mut [u32; N]) -> [T; N] {
    let (mut best, mut at) = ([-T::LOWEST; N], [0; N]);
    for (j, centre) in centres.chunks_exact(dims).enumerate() {
        let d = squares::<T, N>(x, chunk, centre);
        for l in 0..N {
            let nearer = d[l] < best[l];
            best[l] = if nearer { d[l] } else { best[l] };
            at[l] = if nearer { j as u32 } else { at[l] };
        }
    }
    *labels = at;
    best
}

/// |x − c|² of N neighbours.
#[inline(always)]
fn squares<T: Real, const N: usize>(x: &[T], chunk: usize, centre: &[T]) -> [T; N] {
    let mut d = [T::ZERO; N];
    for (i, c) in centre.iter().enumerate() {
        let x = &x[i * chunk..i * chunk + N];
        for l in 0..N {
            d[l] += (x[l] - *c) * (x[l] - *c);
        }
    }
    d
}

per_isa! {
    /// nearest ← min(nearest, |x − c|²) over a chunk; returns their sum.
    fn approach<T: Real>(cpu: &Cpu, x: &[T], centre: &[T], nearest: &mut [T]) -> f64 {
        let chunk = x.len() / centre.len();
        let (blocks, rest) = nearest.as_chunks_mut::<LANES>();
        let (mut sums, mut first) = ([0.0; LANES], 0);
        for nearest in blocks {
            let d = squares::<T, LANES>(&x[first..], chunk, centre);
            for l in 0..LANES {
                nearest[l] = if d[l] < nearest[l] { d[l] } else { nearest[l] };
                sums[l] += nearest[l].to_f64();
            }
            first += LANES;
        }
        let mut total: f64 = sums.iter().sum();
        for nearest in rest {
            let [d] = squares::<T, 1>(&x[first..], chunk, centre);
            *nearest = if d < *nearest { d } else { *nearest };
            total += nearest.to_f64();
            first += 1;
        }
        total
    }
}

/// Adds the samples of a chunk to the sums of their centres.
fn add<T: Real, const D: usize>(x: &[T], labels: &[u32], counts: &mut [f64], sums: &mut [f64]) {
    let chunk = x.len() / D;
    let x: [&[T]; D] = std::array::from_fn(|d| &x[d * chunk..d * chunk + labels.len()]);
    let sums = sums.as_chunks_mut::<D>().0;
    for (i, label) in labels.iter().enumerate() {
        let label = *label as usize;
        counts[label] += 1.0;
        for d in 0..D {
            sums[label][d] += x[d][i].to_f64();
        }
    }
}

/// As [`add`], for any number of coordinates.
fn add_any<T: Real>(x: &[T], dims: usize, labels: &[u32], counts: &mut [f64], sums: &mut [f64]) {
    let chunk = x.len() / dims;
    for (i, label) in labels.iter().enumerate() {
        let label = *label as usize;
        counts[label] += 1.0;
        let sums = &mut sums[label * dims..(label + 1) * dims];
        sums.iter_mut().enumerate().for_each(|(d, sum)| *sum += x[d * chunk + i].to_f64());
    }
}
