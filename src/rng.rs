//! Counter-based random numbers: Philox4x32-10.
//!
//! A draw is a pure function of (seed, stream, position), so masks, shuffles, initial weights and generated data are the
//! same on every device and for every number of threads, and a resumed run continues exactly.
//!
//! # Source
//! Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", SC11, section 5.1.

use crate::Real;

const M0: u32 = 0xD251_1F53;
const M1: u32 = 0xCD9E_8D57;
const W0: u32 = 0x9E37_79B9;
const W1: u32 = 0xBB67_AE85;

/// The Philox4x32-10 bijection: a 128-bit counter and a 64-bit key to four words.
#[inline]
pub const fn philox([mut c0, mut c1, mut c2, mut c3]: [u32; 4], [mut k0, mut k1]: [u32; 2]) -> [u32; 4] {
    let mut round = 0;
    while round < 10 {
        let p0 = M0 as u64 * c0 as u64;
        let p1 = M1 as u64 * c2 as u64;
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(W0);
        k1 = k1.wrapping_add(W1);
        round += 1;
    }
    [c0, c1, c2, c3]
}

/// What a stream of draws is for; keeps draws of different purpose apart under one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[non_exhaustive]
pub enum Purpose {
    /// Initial weights.
    Init = 1,
    /// Dropout masks.
    Dropout = 2,
    /// The order of samples in an epoch.
    Shuffle = 3,
    /// Augmentation of a sample.
    Augment = 4,
    /// Train/validation/test splits.
    Split = 5,
    /// Generated data sets.
    Synth = 6,
    /// Free for user programs: latent vectors, reparametrisation noise.
    User = 7,
    /// Noise and orders of [`introspect`](crate::introspect).
    Noise = 8,
    /// Weights of variational layers.
    Weights = 9,
}

/// 64-bit FNV-1a: a stable number for a name.
pub const fn hash(bytes: &[u8]) -> u64 {
    let (mut h, mut i) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while i < bytes.len() {
        h = (h ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    h
}

/// A random-access family of draws: the block of element `i` depends on the seed, the purpose, `index` and `i` alone.
///
/// # Examples
/// ```
/// use kamacite::rng::{Draws, Purpose};
/// let mask = Draws::new(7, Purpose::Dropout, 3);
/// assert_eq!(mask.block(1_000_000), Draws::new(7, Purpose::Dropout, 3).block(1_000_000));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    key: [u32; 2],
    high: [u32; 2],
}

impl Draws {
    /// Draws for one purpose; `index` tells apart layers, forward passes, samples, epochs.
    pub const fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let key = Self::key(seed, purpose);
        Self { key: [key as u32, (key >> 32) as u32], high: [index as u32, (index >> 32) as u32] }
    }

    /// The key of `philox` in `prelude.cuh` for the same draws.
    pub(crate) const fn key(seed: u64, purpose: Purpose) -> u64 {
        // The purpose enters the key, so that all 64 bits of the index and of the position stay free.
        seed ^ (purpose as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// Four words of block `position`.
    #[inline]
    pub const fn block(&self, position: u64) -> [u32; 4] {
        philox([position as u32, (position >> 32) as u32, self.high[0], self.high[1]], self.key)
    }

    /// The draws in order, from the first.
    pub const fn stream(self) -> Stream {
        Stream { draws: self, next: 0, block: [0; 4], used: 4 }
    }
}

/// Uniform on [0, 1) from the 24 high bits of a word.
#[inline(always)]
pub const fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Draws one after another.
///
/// # Examples
/// ```
/// use kamacite::rng::{Purpose, Stream};
/// let mut r = Stream::new(42, Purpose::User, 0);
/// let (u, z, die) = (r.uniform(), r.normal(), r.below(6));
/// assert!((0.0..1.0).contains(&u) && z.is_finite() && die < 6);
/// ```
#[derive(Clone, Debug)]
pub struct Stream {
    draws: Draws,
    next: u64,
    block: [u32; 4],
    used: usize,
}

impl Stream {
    /// A stream for one purpose; see [`Draws::new`].
    pub const fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        Draws::new(seed, purpose, index).stream()
    }

    /// 32 random bits.
    #[inline]
    pub fn word(&mut self) -> u32 {
        if self.used == 4 {
            self.block = self.draws.block(self.next);
            self.next += 1;
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// Uniform on [0, 1) with 53 bits.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        let (a, b) = (u64::from(self.word() >> 5), u64::from(self.word() >> 6));
        ((a << 26) | b) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Uniform on [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform on 0..n without bias (rejection); 0 for n = 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        if n < 2 {
            return 0;
        }
        loop {
            let x = (u64::from(self.word()) << 32) | u64::from(self.word());
            // The last 2⁶⁴ mod n numbers are refused; how many these are is asked only where it could matter.
            if x <= u64::MAX - n || x <= u64::MAX - (u64::MAX - n + 1) % n {
                return (x % n) as usize;
            }
        }
    }

    /// Standard normal (Box-Muller, cosine branch).
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.uniform(), self.uniform());
        libm::sqrt(-2.0 * libm::log(u)) * libm::cos(std::f64::consts::TAU * v)
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.uniform())
    }

    /// Poisson with this mean: by inversion below 30, by a rounded normal above.
    pub fn poisson(&mut self, mean: f64) -> f64 {
        if mean <= 0.0 {
            return 0.0;
        }
        if mean > 30.0 {
            return libm::round(mean + libm::sqrt(mean) * self.normal()).max(0.0);
        }
        let (limit, mut product, mut n) = (libm::exp(-mean), self.uniform(), 0.0);
        while product > limit {
            product *= self.uniform();
            n += 1.0;
        }
        n
    }

    /// A uniformly random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// How a parameter begins. `fan_in` and `fan_out` are the inputs and outputs of one unit, window taps included.
///
/// # Source
/// Glorot & Bengio 2010 (xavier), He et al. 2015 (he), LeCun et al. 1998 (lecun), Saxe et al. 2014 (orthogonal).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum Init {
    /// N(0, 2/(fan_in+fan_out)).
    XavierNormal,
    /// U(−b, b) with b = √(6/(fan_in+fan_out)).
    XavierUniform,
    /// N(0, 2/fan_in).
    HeNormal,
    /// U(−b, b) with b = √(6/fan_in).
    HeUniform,
    /// N(0, 1/fan_in).
    LecunNormal,
    /// U(−b, b) with b = √(3/fan_in).
    LecunUniform,
    /// N(0, σ²).
    Normal(f64),
    /// U(−b, b).
    Uniform(f64),
    /// Every element the same.
    Constant(f64),
    /// Orthonormal rows or columns (whichever are fewer) times this gain.
    Orthogonal(f64),
}

impl Init {
    /// Fills `w`, the rows of a matrix with `columns` columns, from the stream of (`seed`, `name`).
    pub fn fill<T: Real>(self, w: &mut [T], columns: usize, (fan_in, fan_out): (usize, usize), seed: u64, name: &str) {
        let mut r = Stream::new(seed, Purpose::Init, hash(name.as_bytes()));
        let (i, o) = (fan_in.max(1) as f64, fan_out.max(1) as f64);
        let mut normal = |sigma: f64| w.iter_mut().for_each(|w| *w = T::of(sigma * r.normal()));
        match self {
            Self::XavierNormal => normal(libm::sqrt(2.0 / (i + o))),
            Self::HeNormal => normal(libm::sqrt(2.0 / i)),
            Self::LecunNormal => normal(libm::sqrt(1.0 / i)),
            Self::Normal(sigma) => normal(sigma),
            Self::XavierUniform => uniform(w, libm::sqrt(6.0 / (i + o)), &mut r),
            Self::HeUniform => uniform(w, libm::sqrt(6.0 / i), &mut r),
            Self::LecunUniform => uniform(w, libm::sqrt(3.0 / i), &mut r),
            Self::Uniform(bound) => uniform(w, bound, &mut r),
            Self::Constant(value) => w.fill(T::of(value)),
            Self::Orthogonal(gain) => orthogonal(w, columns.max(1), gain, &mut r),
        }
    }
}

fn uniform<T: Real>(w: &mut [T], bound: f64, r: &mut Stream) {
    w.iter_mut().for_each(|w| *w = T::of(r.between(-bound, bound)));
}

/// Gram-Schmidt, twice for stability, on a normal matrix; works on the shorter side as vectors.
fn orthogonal<T: Real>(w: &mut [T], columns: usize, gain: f64, r: &mut Stream) {
    let rows = w.len() / columns;
    let (count, len) = (rows.min(columns), rows.max(columns));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    while basis.len() < count {
        let mut v: Vec<f64> = (0..len).map(|_| r.normal()).collect();
        for _ in 0..2 {
            for b in &basis {
                let dot: f64 = v.iter().zip(b).map(|(x, y)| x * y).sum();
                v.iter_mut().zip(b).for_each(|(x, y)| *x -= dot * y);
            }
        }
        let norm = libm::sqrt(v.iter().map(|x| x * x).sum());
        if norm > 1e-6 {
            v.iter_mut().for_each(|x| *x /= norm);
            basis.push(v);
        }
    }
    for (k, w) in w.iter_mut().enumerate() {
        let (row, column) = (k / columns, k % columns);
        let x = if rows <= columns { basis[row][column] } else { basis[column][row] };
        *w = T::of(gain * x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known-answer vectors that the authors publish with Random123 (kat_vectors, philox4x32 10).
    #[test]
    fn philox_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn uniform_and_normal_have_the_right_moments() {
        let mut r = Stream::new(1, Purpose::User, 0);
        let n = 200_000;
        let u: Vec<f64> = (0..n).map(|_| r.uniform()).collect();
        let z: Vec<f64> = (0..n).map(|_| r.normal()).collect();
        let moments = |x: &[f64]| {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            (mean, x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64)
        };
        let ((mu, vu), (mz, vz)) = (moments(&u), moments(&z));
        // Five standard errors: 0.2887/√n and 1/√n for the means.
        assert!((mu - 0.5).abs() < 5.0 * 0.2887 / 447.0 && (vu - 1.0 / 12.0).abs() < 1e-3, "{mu} {vu}");
        assert!(mz.abs() < 5.0 / 447.0 && (vz - 1.0).abs() < 0.016, "{mz} {vz}");
    }

    #[test]
    fn below_is_uniform_and_shuffle_is_a_permutation() {
        let mut r = Stream::new(5, Purpose::User, 1);
        let mut counts = [0_u32; 7];
        (0..70_000).for_each(|_| counts[r.below(7)] += 1);
        assert!(counts.iter().all(|&c| (9_500..10_500).contains(&c)), "{counts:?}");
        let mut order: Vec<u32> = (0..100).collect();
        r.shuffle(&mut order);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn orthogonal_rows_are_orthonormal_times_gain() {
        for (rows, columns) in [(3, 8), (8, 3), (5, 5)] {
            let mut w = vec![0.0_f64; rows * columns];
            Init::Orthogonal(2.0).fill(&mut w, columns, (rows, columns), 3, "w");
            let n = rows.min(columns);
            for i in 0..n {
                for j in 0..n {
                    let dot: f64 = if rows <= columns {
                        (0..columns).map(|k| w[i * columns + k] * w[j * columns + k]).sum()
                    } else {
                        (0..rows).map(|k| w[k * columns + i] * w[k * columns + j]).sum()
                    };
                    let expected = if i == j { 4.0 } else { 0.0 };
                    assert!((dot - expected).abs() < 1e-12, "{rows}x{columns} {i},{j}: {dot}");
                }
            }
        }
    }

    #[test]
    fn initial_weights_have_the_stated_variance() {
        let fans = (300, 100);
        let cases = [
            (Init::XavierNormal, 2.0 / 400.0),
            (Init::XavierUniform, 2.0 / 400.0),
            (Init::HeNormal, 2.0 / 300.0),
            (Init::HeUniform, 2.0 / 300.0),
            (Init::LecunNormal, 1.0 / 300.0),
            (Init::LecunUniform, 1.0 / 300.0),
            (Init::Normal(0.3), 0.09),
            (Init::Uniform(0.3), 0.03),
        ];
        for (init, variance) in cases {
            let mut w = vec![0.0_f32; 30_000];
            init.fill(&mut w, 100, fans, 9, "conv1.weight");
            let v = w.iter().map(|w| f64::from(w * w)).sum::<f64>() / 30_000.0;
            assert!((v / variance - 1.0).abs() < 0.05, "{init:?}: variance {v}, expected {variance}");
        }
    }
}
