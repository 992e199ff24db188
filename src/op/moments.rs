//! Sums over the positions of a batch, channel by channel, and the affine maps that normalisation makes of them.
//!
//! f32 sums run over one block that stays in the first-level cache, and blocks are combined in f64, so that a large image
//! loses no digits. Variances are of deviations from the mean of each block, combined by
//! M₂ = M₂ₐ + M₂ᵦ + δ²·nₐnᵦ/n with δ = meanᵦ − meanₐ; a large mean or one hot pixel does no harm.
//!
//! # Source
//! Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", The American Statistician 37.

use crate::Real;
use crate::device::per_isa;
use crate::memory::GradMode;

/// The longest inner loop: what is added in one go, in channels or in whole positions of few channels.
const LANES: usize = 256;

/// Values in a block: two arrays of f32 in the first-level cache.
const BLOCK: usize = 4096;

/// Some channels as the inner loops see them: `lanes` neighbouring values, `step` values apart.
#[derive(Clone, Copy)]
struct Strip {
    /// The first channel.
    at: usize,
    /// How many channels.
    channels: usize,
    lanes: usize,
    step: usize,
}

impl Strip {
    /// All channels of `positions` positions. Few channels: several positions side by side, if possible as many as fill
    /// whole vectors; many channels: a part of them.
    #[inline(always)]
    fn all(c: usize, positions: usize) -> impl Iterator<Item = Self> {
        let fits = (LANES / c).min(positions).max(1);
        let whole = 32 >> c.trailing_zeros().min(5);
        let side_by_side = if fits >= whole { fits / whole * whole } else { fits };
        (0..c).step_by(LANES).map(move |at| {
            let channels = LANES.min(c - at);
            if c > LANES {
                Self { at, channels, lanes: channels, step: c }
            } else {
                Self { at, channels, lanes: channels * side_by_side, step: c * side_by_side }
            }
        })
    }

    /// The values of this strip, row by row.
    #[inline(always)]
    fn rows<T>(self, x: &[T]) -> impl Iterator<Item = &[T]> {
        x.chunks(self.step).map(move |x| &x[self.at..x.len().min(self.at + self.lanes)])
    }

    #[inline(always)]
    fn rows_mut<T>(self, x: &mut [T]) -> impl Iterator<Item = &mut [T]> {
        x.chunks_mut(self.step).map(move |x| {
            let end = x.len().min(self.at + self.lanes);
            &mut x[self.at..end]
        })
    }

    /// Row `k` of `x`, which has all its lanes.
    #[inline(always)]
    fn row<T>(self, x: &[T], k: usize) -> &[T] {
        &x[k * self.step + self.at..][..self.lanes]
    }

    /// Σ x lane by lane. Four rows at once: the sums then pass through memory a quarter as often.
    #[inline(always)]
    fn sum<T: Real>(self, x: &[T]) -> [T; LANES] {
        let mut sum = [T::ZERO; LANES];
        for x in x.chunks(4 * self.step) {
            if x.len() == 4 * self.step {
                let four = self.row(x, 0).iter().zip(self.row(x, 1)).zip(self.row(x, 2)).zip(self.row(x, 3));
                sum.iter_mut().zip(four).for_each(|(sum, (((a, b), c), d))| *sum += (*a + *b) + (*c + *d));
            } else {
                self.rows(x).for_each(|x| sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += *x));
            }
        }
        sum
    }

    /// The two sums of f(x, z, centre), in the same way.
    #[inline(always)]
    fn sums<T: Real>(self, x: &[T], z: &[T], centre: &[T; LANES], f: impl Fn(T, T, T) -> (T, T)) -> ([T; LANES], [T; LANES]) {
        let (mut first, mut second) = ([T::ZERO; LANES], [T::ZERO; LANES]);
        for (x, z) in x.chunks(4 * self.step).zip(z.chunks(4 * self.step)) {
            if x.len() == 4 * self.step {
                let rows = |k| self.row(x, k).iter().zip(self.row(z, k));
                let four = rows(0).zip(rows(1)).zip(rows(2)).zip(rows(3));
                for (((first, second), m), (((a, b), c), d)) in first.iter_mut().zip(&mut second).zip(centre).zip(four) {
                    let [a, b, c, d] = [a, b, c, d].map(|(x, z)| f(*x, *z, *m));
                    *first += (a.0 + b.0) + (c.0 + d.0);
                    *second += (a.1 + b.1) + (c.1 + d.1);
                }
            } else {
                for (x, z) in self.rows(x).zip(self.rows(z)) {
                    for (((first, second), m), (x, z)) in first.iter_mut().zip(&mut second).zip(centre).zip(x.iter().zip(z)) {
                        let (a, b) = f(*x, *z, *m);
                        *first += a;
                        *second += b;
                    }
                }
            }
        }
        (first, second)
    }

    /// One value per channel, repeated for the positions side by side.
    #[inline(always)]
    fn spread<T: Real>(self, f: impl Fn(usize) -> T) -> [T; LANES] {
        let mut lanes = [T::ZERO; LANES];
        (0..self.channels).for_each(|i| lanes[i] = f(self.at + i));
        for i in self.channels..self.lanes {
            lanes[i] = lanes[i - self.channels];
        }
        lanes
    }

    /// The sum of the lanes of channel `i` of this strip.
    #[inline(always)]
    fn total<T: Real>(self, lanes: &[T; LANES], i: usize) -> f64 {
        lanes[i..self.lanes].iter().step_by(self.channels).map(|v| v.to_f64()).sum()
    }
}

/// Values of a block: whole positions, at least 16, so that the work in f64 stays small.
#[inline(always)]
fn block(c: usize) -> usize {
    (BLOCK / c).max(16) * c
}

per_isa! {
    /// Mean and Σ(x − mean)² of each channel over the positions in `x`.
    pub(crate) fn moments<T: Real>(cpu: &Cpu, x: &[T], mean: &mut [f64], m2: &mut [f64]) {
        let c = mean.len();
        mean.fill(0.0);
        m2.fill(0.0);
        for (k, x) in x.chunks(block(c)).enumerate() {
            let (before, n) = ((k * (block(c) / c)) as f64, (x.len() / c) as f64);
            for s in Strip::all(c, x.len() / c) {
                let sum = s.sum(x);
                let centre = s.spread(|i| T::of(s.total(&sum, i - s.at) / n));
                let (first, second) = s.sums(x, x, &centre, |x, _, centre| (x - centre, (x - centre) * (x - centre)));
                let all = before + n;
                for i in 0..s.channels {
                    // The rounding of the centre is put right.
                    let off = s.total(&first, i) / n;
                    let (mean, m2) = (&mut mean[s.at + i], &mut m2[s.at + i]);
                    let delta = centre[i].to_f64() + off - *mean;
                    *mean += delta * (n / all);
                    *m2 += s.total(&second, i) - off * off * n + delta * delta * (before * n / all);
                }
            }
        }
        // Below zero by a rounding at most; a NaN stays.
        m2.iter_mut().for_each(|m2| *m2 = if *m2 < 0.0 { 0.0 } else { *m2 });
    }
}

/// Adds the moments of `n` more values to those of `all`.
#[inline]
pub(crate) fn combine((all, mean, m2): (f64, f64, f64), (n, other, other_m2): (f64, f64, f64)) -> (f64, f64, f64) {
    if n == 0.0 {
        return (all, mean, m2);
    }
    let (sum, delta) = (all + n, other - mean);
    (sum, mean + delta * (n / sum), m2 + other_m2 + delta * delta * (all * n / sum))
}

/// Combines the moments (means, then Σ(x − mean)², of c channels each) of chunks of `n` values per channel, the last of
/// what is left of `total`, in their order into the first.
pub(crate) fn combine_chunks(chunks: &mut [f64], c: usize, n: usize, total: usize) {
    let (sum, rest) = chunks.split_at_mut(2 * c);
    let (mean, m2) = sum.split_at_mut(c);
    for (k, chunk) in rest.chunks_exact(2 * c).enumerate() {
        let before = ((k + 1) * n) as f64;
        let n = n.min(total - (k + 1) * n) as f64;
        let (part, product) = (n / (before + n), before * n / (before + n));
        let (other, other_m2) = chunk.split_at(c);
        for (((mean, m2), other), other_m2) in mean.iter_mut().zip(m2.iter_mut()).zip(other).zip(other_m2) {
            let delta = *other - *mean;
            *mean += delta * part;
            *m2 += *other_m2 + delta * delta * product;
        }
    }
}

/// Adds rows of `width` sums in their order to the first.
pub(crate) fn add_chunks(chunks: &mut [f64], width: usize) {
    let (sum, rest) = chunks.split_at_mut(width);
    for chunk in rest.chunks_exact(width) {
        sum.iter_mut().zip(chunk).for_each(|(sum, v)| *sum += *v);
    }
}

per_isa! {
    /// Σ dy and Σ dy·(x − centre) of each channel over the positions in `x`.
    pub(crate) fn products<T: Real>(cpu: &Cpu, dy: &[T], x: &[T], centre: &[T], first: &mut [f64], second: &mut [f64]) {
        let c = centre.len();
        first.fill(0.0);
        second.fill(0.0);
        for (dy, x) in dy.chunks(block(c)).zip(x.chunks(block(c))) {
            for s in Strip::all(c, x.len() / c) {
                let centre = s.spread(|i| centre[i]);
                let (a, b) = s.sums(dy, x, &centre, |dy, x, centre| (dy, dy * (x - centre)));
                for i in 0..s.channels {
                    first[s.at + i] += s.total(&a, i);
                    second[s.at + i] += s.total(&b, i);
                }
            }
        }
    }
}

per_isa! {
    /// y = (x − centre)·scale + shift, channel by channel.
    pub(crate) fn affine<T: Real>(cpu: &Cpu, x: &[T], centre: &[T], scale: &dyn Fn(usize) -> T, shift: &dyn Fn(usize) -> T, y: &mut [T]) {
        let c = centre.len();
        for s in Strip::all(c, x.len() / c) {
            let (centre, scale, shift) = (s.spread(|i| centre[i]), s.spread(scale), s.spread(shift));
            for (x, y) in s.rows(x).zip(s.rows_mut(y)) {
                for ((((y, x), centre), scale), shift) in y.iter_mut().zip(x).zip(&centre).zip(&scale).zip(&shift) {
                    *y = (*x - *centre) * *scale + *shift;
                }
            }
        }
    }
}

/// The coefficients of a gradient, channel by channel: dx = p·dy − q − r·(x − centre).
pub(crate) struct Slope<'a, T> {
    pub centre: &'a [T],
    pub p: &'a dyn Fn(usize) -> T,
    pub q: &'a [T],
    pub r: &'a [T],
}

/// dy, x, centre, p, q, r of one element.
type Zipped<'a, T> = (((((&'a T, &'a T), &'a T), &'a T), &'a T), &'a T);

per_isa! {
    /// dx = or += p·dy − q − r·(x − centre), channel by channel.
    pub(crate) fn gradient<T: Real>(cpu: &Cpu, dy: &[T], x: &[T], slope: &Slope<'_, T>, mode: GradMode, dx: &mut [T]) {
        let c = slope.centre.len();
        for s in Strip::all(c, x.len() / c) {
            let (centre, p) = (s.spread(|i| slope.centre[i]), s.spread(slope.p));
            let (q, r) = (s.spread(|i| slope.q[i]), s.spread(|i| slope.r[i]));
            for ((dy, x), dx) in s.rows(dy).zip(s.rows(x)).zip(s.rows_mut(dx)) {
                let terms = dy.iter().zip(x).zip(&centre).zip(&p).zip(&q).zip(&r);
                let value = |(((((dy, x), centre), p), q), r): Zipped<'_, T>| *p * *dy - *q - *r * (*x - *centre);
                match mode {
                    GradMode::Write => dx.iter_mut().zip(terms).for_each(|(dx, t)| *dx = value(t)),
                    GradMode::Add => dx.iter_mut().zip(terms).for_each(|(dx, t)| *dx += value(t)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Cpu;
    use crate::rng::{Purpose, Stream};

    const CHANNELS: [usize; 10] = [1, 2, 3, 8, 10, 100, 255, 256, 257, 700];

    #[test]
    fn strips_cover_each_value_once() {
        for c in CHANNELS {
            for positions in [1, 2, 31, 300] {
                let x: Vec<usize> = (0..c * positions).collect();
                let mut seen = vec![0; x.len()];
                for s in Strip::all(c, positions) {
                    for row in s.rows(&x) {
                        for (lane, &v) in row.iter().enumerate() {
                            seen[v] += 1;
                            assert_eq!(v % c, s.at + lane % s.channels);
                        }
                    }
                }
                assert!(seen.iter().all(|&n| n == 1), "{c} channels, {positions} positions");
            }
        }
    }

    /// Means 0 and 1000, and a hot pixel first; against two sweeps in f64.
    #[test]
    fn moments_are_accurate_far_from_zero() {
        let cpu = Cpu::default();
        for c in CHANNELS {
            for (offset, hot) in [(0.0, 0.0), (1000.0, 0.0), (0.0, 1e4)] {
                let positions = 1000;
                let mut r = Stream::new(1, Purpose::User, c as u64);
                let mut x: Vec<f32> = (0..c * positions).map(|_| (offset + r.normal()) as f32).collect();
                x[0] += hot as f32;
                let (mut mean, mut m2) = (vec![0.0; c], vec![0.0; c]);
                moments(&cpu, &x, &mut mean, &mut m2);
                for i in 0..c {
                    let channel = || x.iter().skip(i).step_by(c).map(|&x| f64::from(x));
                    let expected = channel().sum::<f64>() / positions as f64;
                    let m2_expected: f64 = channel().map(|x| (x - expected).powi(2)).sum();
                    // Blocks have their centres rounded, which is put right, and sum at most 4096 terms in f32: a few
                    // roundings of the deviations, which are 1 + the hot pixel's share.
                    let eps = f64::from(f32::EPSILON);
                    assert!((mean[i] - expected).abs() <= 8.0 * eps * (1.0 + hot / 100.0), "{c}, {offset}, {hot}: {}", mean[i]);
                    assert!((m2[i] / m2_expected - 1.0).abs() <= 32.0 * eps, "{c}, {offset}, {hot}: {} {m2_expected}", m2[i]);
                }
            }
        }
    }

    #[test]
    fn combining_is_the_whole() {
        let x = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0];
        let direct = |x: &[f64]| {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            (x.len() as f64, mean, x.iter().map(|x| (x - mean).powi(2)).sum::<f64>())
        };
        let expected = direct(&x);
        let near = |n: f64, mean: f64, m2: f64| {
            assert!(n == expected.0 && (mean - expected.1).abs() < 1e-14 && (m2 - expected.2).abs() < 1e-12, "{n} {mean} {m2}");
        };
        let (n, mean, m2) = combine(direct(&x[..3]), direct(&x[3..]));
        near(n, mean, m2);
        near(expected.0, combine((0.0, 0.0, 0.0), expected).1, combine(expected, (0.0, 0.0, 0.0)).2);
        // Chunks of 3, 3 and 1 values of two equal channels.
        let mut chunks: Vec<f64> = x.chunks(3).map(direct).flat_map(|(_, mean, m2)| [mean, mean, m2, m2]).collect();
        combine_chunks(&mut chunks, 2, 3, 7);
        near(7.0, chunks[0], chunks[2]);
        near(7.0, chunks[1], chunks[3]);
        let mut sums = [1.0, 2.0, 10.0, 20.0, 100.0, 200.0];
        add_chunks(&mut sums, 2);
        assert_eq!(sums[..2], [111.0, 222.0]);
    }

    #[test]
    fn products_and_maps_follow_their_formulas() {
        let cpu = Cpu::default();
        for c in CHANNELS {
            let positions = 50;
            let mut r = Stream::new(2, Purpose::User, c as u64);
            let mut random = |n: usize| (0..n).map(|_| r.between(-1.0, 1.0)).collect::<Vec<f64>>();
            let (x, dy) = (random(c * positions), random(c * positions));
            let (centre, p, q, k) = (random(c), random(c), random(c), random(c));
            let (mut first, mut second) = (vec![0.0; c], vec![0.0; c]);
            products(&cpu, &dy, &x, &centre, &mut first, &mut second);
            let (mut y, mut dx) = (vec![0.0; x.len()], vec![1.0; x.len()]);
            affine(&cpu, &x, &centre, &|i| p[i], &|i| q[i], &mut y);
            let slope = Slope { centre: &centre, p: &|i| p[i], q: &q, r: &k };
            gradient(&cpu, &dy, &x, &slope, GradMode::Add, &mut dx);
            let mut written = vec![9.0; x.len()];
            gradient(&cpu, &dy, &x, &slope, GradMode::Write, &mut written);
            for i in 0..x.len() {
                let j = i % c;
                first[j] -= dy[i];
                second[j] -= dy[i] * (x[i] - centre[j]);
                assert_eq!(y[i], (x[i] - centre[j]) * p[j] + q[j]);
                assert_eq!(written[i], p[j] * dy[i] - q[j] - k[j] * (x[i] - centre[j]));
                assert_eq!(dx[i], 1.0 + written[i]);
            }
            // Sums of 50 terms below 2 in another order.
            assert!(first.iter().chain(&second).all(|rest| rest.abs() < 2.0 * 50.0 * 50.0 * f64::EPSILON), "{c}");
        }
    }
}
