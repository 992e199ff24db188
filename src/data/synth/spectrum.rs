//! Stellar spectra of the seven classes O B A F G K M.
//!
//! ```text
//! f(λ) = B_λ(T) · Balmer jump · lines and bands of this T · reddening · response · (1 + noise)
//! ```
//!
//! A line is f ← f (1 − depth · exp(−½ ((λ − λ₀)/σ)²)), its depth a bump or a step in T: hydrogen is deepest at 9300 K, He I at
//! 20 500 K, He II at 42 000 K; calcium, magnesium, sodium and 700 lines of a fixed list grow to the cool end; TiO bands begin
//! below 3950 K.
//!
//! # Source
//! Wavelengths from the NIST atomic database; strengths with temperature after Gray & Corbally 2009, "Stellar Spectral
//! Classification"; the grid is every fourth pixel of the Indo-US library, Valdes et al. 2004.

use crate::rng::{Purpose, Stream};

/// Pixels of a spectrum; λₙ = 3465 + 1.6 n Å.
pub(super) const PIXELS: usize = 3753;
const FIRST: f64 = 3465.0;
const STEP: f64 = 1.6;

/// Effective temperatures of the classes in kelvin; generated with edges that overlap by 1.5 %.
const RANGES: [(f64, f64); 7] =
    [(30_000., 45_000.), (10_300., 29_000.), (7500., 10_000.), (6050., 7400.), (5250., 5950.), (3900., 5200.), (2900., 3800.)];
const BALMER: [f64; 10] = [6562.8, 4861.3, 4340.5, 4101.7, 3970.1, 3889.1, 3835.4, 3797.9, 3770.6, 3750.2];
const HELIUM_1: [(f64, f64); 4] = [(4026.2, 0.28), (4471.5, 0.30), (5875.6, 0.25), (6678.2, 0.18)];
const HELIUM_2: [(f64, f64); 4] = [(4199.8, 0.20), (4541.6, 0.25), (4685.7, 0.28), (5411.5, 0.22)];
/// Ca I, Mg b, Na D: wavelength, depth, width.
const COOL: [(f64, f64, f64); 6] =
    [(4226.7, 0.75, 4.0), (5167.3, 0.5, 3.0), (5172.7, 0.6, 3.0), (5183.6, 0.6, 3.0), (5890.0, 0.7, 2.2), (5895.9, 0.6, 2.2)];
const CALCIUM_TRIPLET: [(f64, f64); 3] = [(8498.0, 0.35), (8542.1, 0.5), (8662.1, 0.45)];
/// Band heads of TiO and their depths.
const TITANIUM: [(f64, f64); 10] = [
    (4761., 0.5),
    (4955., 0.6),
    (5167., 0.7),
    (5448., 0.6),
    (5847., 0.6),
    (6159., 0.7),
    (6651., 0.7),
    (7054., 0.9),
    (7589., 0.9),
    (8432., 0.8),
];

/// Wavelength of a pixel in Å.
fn lambda(pixel: usize) -> f64 {
    FIRST + STEP * pixel as f64
}

/// The optical depth of the weak metal lines at unit strength: the same list for every star.
pub(super) fn metals() -> Vec<f64> {
    let mut r = Stream::new(2004, Purpose::Synth, u64::MAX);
    let mut tau = vec![0.0; PIXELS];
    for _ in 0..700 {
        let (at, depth) = (r.between(3600.0, 6800.0), (0.10 * r.exponential()).min(0.5));
        let depth = depth * (4500.0 / at) * (4500.0 / at);
        around(at, 1.4, |pixel, gauss| tau[pixel] += depth * gauss);
    }
    tau
}

/// Calls for each pixel within six σ of a line with the Gaussian's value; beyond, it is below 2e-8.
fn around(at: f64, sigma: f64, mut f: impl FnMut(usize, f64)) {
    let pixel = |lambda: f64| ((lambda - FIRST) / STEP).clamp(0.0, PIXELS as f64);
    for i in pixel(at - 6.0 * sigma) as usize..pixel(at + 6.0 * sigma) as usize {
        let d = (lambda(i) - at) / sigma;
        f(i, libm::exp(-0.5 * d * d));
    }
}

/// The strength of a line at its best temperature `peak`, and around it: a Gaussian in log₁₀ T.
fn bump(t: f64, peak: f64, width: f64) -> f64 {
    let d = libm::log10(t / peak) / width;
    libm::exp(-0.5 * d * d)
}

/// 1 for cool stars, 0 for hot ones, ½ at `half`.
fn cool(t: f64, half: f64, power: f64) -> f64 {
    1.0 / (1.0 + libm::pow(t / half, power))
}

fn absorb(f: &mut [f64], at: f64, depth: f64, sigma: f64) {
    around(at, sigma, |pixel, gauss| f[pixel] *= 1.0 - depth * gauss);
}

/// Fills `x` with a spectrum of this class (below 7), divided by its Euclidean norm.
pub(super) fn observe(class: u32, metals: &[f64], r: &mut Stream, x: &mut [f32]) {
    let (low, high) = RANGES[class as usize];
    let t = libm::exp(r.between(libm::log(0.985 * low), libm::log(1.015 * high)));
    let mut f = continuum(t);
    lines(&mut f, t, metals, r);
    instrument(&mut f, r);
    let norm = libm::sqrt(f.iter().map(|f| f * f).sum());
    x.iter_mut().zip(f).for_each(|(x, f)| *x = (f / norm) as f32);
}

/// Planck's law relative to 5500 Å, with the jump at the head of the Balmer series.
fn continuum(t: f64) -> Vec<f64> {
    // h c / k in Å K.
    let wien = |lambda: f64| libm::expm1(1.438_777e8 / (lambda * t));
    let (reference, jump) = (wien(5500.0), 0.45 * bump(t, 10_500.0, 0.13));
    let planck = |i| {
        let lambda = lambda(i);
        let cold_side = 1.0 / (1.0 + libm::exp((lambda - 3680.0) / 25.0));
        libm::pow(lambda / 5500.0, -5.0) * reference / wien(lambda) * (1.0 - jump * cold_side)
    };
    (0..PIXELS).map(planck).collect()
}

fn lines(f: &mut [f64], t: f64, metals: &[f64], r: &mut Stream) {
    // Gravity widens the hydrogen lines; metallicity scales the metals.
    let (gravity, metallicity) = (r.between(0.6, 1.6), libm::pow(10.0, -0.1 + 0.25 * r.normal()));
    let strength = libm::sqrt(metallicity);
    let hydrogen = 0.06 + 0.62 * bump(t, 9300.0, 0.14);
    let mut decrement = 1.0;
    for at in BALMER {
        absorb(f, at, 0.7 * hydrogen * decrement, 9.0 * gravity);
        absorb(f, at, 0.3 * hydrogen * decrement, 2.5);
        decrement *= 0.96;
    }
    HELIUM_1.iter().for_each(|&(at, depth)| absorb(f, at, depth * bump(t, 20_500.0, 0.13), 3.0));
    HELIUM_2.iter().for_each(|&(at, depth)| absorb(f, at, depth * bump(t, 42_000.0, 0.10), 3.0));
    let width = 6.0 * (0.7 + cool(t, 6300.0, 6.0));
    for (at, depth) in [(3933.7, 0.85), (3968.5, 0.80)] {
        absorb(f, at, depth * cool(t, 8200.0, 8.0), width);
    }
    // The G band of CH.
    absorb(f, 4303.0, 0.35 * bump(t, 5200.0, 0.09), 9.0);
    for (at, depth, sigma) in COOL {
        absorb(f, at, (depth * strength * cool(t, 4700.0, 6.0)).min(0.95), sigma);
    }
    CALCIUM_TRIPLET.iter().for_each(|&(at, depth)| absorb(f, at, depth * cool(t, 9000.0, 8.0), 3.5));
    let weak = 3.0 * strength * cool(t, 6200.0, 5.0);
    f.iter_mut().zip(metals).filter(|(_, tau)| **tau > 0.0).for_each(|(f, tau)| *f *= libm::exp(-weak * tau));
    let oxide = ((3950.0 - t) / 900.0).clamp(0.0, 1.2);
    for (head, depth) in TITANIUM.iter().filter(|_| oxide > 0.0) {
        let from = ((head - FIRST) / STEP).ceil() as usize;
        let depth = (depth * oxide).min(0.93);
        f.iter_mut().enumerate().skip(from).for_each(|(i, f)| *f *= 1.0 - depth * libm::exp(-(lambda(i) - head) / 110.0));
    }
}

/// Reddening, a smooth error of the response, noise, and in 8 % of the spectra a stretch that was not observed.
fn instrument(f: &mut [f64], r: &mut Stream) {
    let dust = 0.06 * r.exponential();
    let c: [f64; 4] = std::array::from_fn(|_| 0.01 * r.normal());
    let noise = libm::pow(10.0, -r.between(1.6, 2.4));
    for (i, f) in f.iter_mut().enumerate() {
        let k = 3.1 * (libm::pow(5500.0 / lambda(i), 1.3) - 1.0);
        let u = 2.0 * i as f64 / (PIXELS as f64 - 1.0) - 1.0;
        // Chebyshev polynomials T₀ to T₃.
        let response = c[0] + c[1] * u + c[2] * (2.0 * u * u - 1.0) + c[3] * u * (4.0 * u * u - 3.0);
        *f *= libm::exp(-0.4 * std::f64::consts::LN_10 * dust * k) * (1.0 + response) * (1.0 + noise * r.normal());
    }
    if r.uniform() < 0.08 {
        let from = r.below(PIXELS - 600);
        // The value the library fills gaps with.
        f[from..from + 600].fill(1e-4);
    }
}
