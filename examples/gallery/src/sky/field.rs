//! Fields with a given power spectrum, and smoothing: multiplication in Fourier space, periodic.

use kamacite::rng::Stream;
use rustfft::num_complex::Complex;
use rustfft::{FftDirection, FftPlannerScalar};

/// White noise of unit variance.
pub fn white(cells: usize, r: &mut Stream) -> Vec<f32> {
    (0..cells).map(|_| r.normal() as f32).collect()
}

/// Two real fields out of one: its Fourier modes times two real functions of their wavenumber in cycles per cell.
///
/// The second rides along as the imaginary part, which costs nothing. `space` is (d, h, w), its product the length of `x`.
pub fn filtered(x: &[f32], space: [usize; 3], filter: impl Fn(f64) -> [f64; 2]) -> [Vec<f32>; 2] {
    let mut modes: Vec<Complex<f32>> = x.iter().map(|&x| Complex::new(x, 0.0)).collect();
    transform(&mut modes, space, FftDirection::Forward);
    let frequencies = space.map(|n| (0..n).map(|i| i.min(n - i) as f64 / n as f64).map(|f| f * f).collect::<Vec<_>>());
    let (mut cells, scale) = (modes.iter_mut(), 1.0 / x.len() as f64);
    for d in &frequencies[0] {
        for h in &frequencies[1] {
            for (w, mode) in frequencies[2].iter().zip(&mut cells) {
                let [a, b] = filter(libm::sqrt(d + h + w));
                *mode *= Complex::new((a * scale) as f32, (b * scale) as f32);
            }
        }
    }
    transform(&mut modes, space, FftDirection::Inverse);
    [modes.iter().map(|m| m.re).collect(), modes.iter().map(|m| m.im).collect()]
}

/// A field smoothed with a Gaussian of this width in cells.
pub fn smoothed(x: &[f32], space: [usize; 3], sigma: f64) -> Vec<f32> {
    let exponent = -2.0 * std::f64::consts::PI * std::f64::consts::PI * sigma * sigma;
    let [y, _] = filtered(x, space, |k| [libm::exp(exponent * k * k), 0.0]);
    y
}

/// Brings a field to unit variance; one without variance stays.
pub fn normalise(x: &mut [f32]) {
    let n = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = x.iter().map(|&x| (f64::from(x) - mean) * (f64::from(x) - mean)).sum::<f64>() / n;
    if variance > 0.0 {
        let scale = (1.0 / libm::sqrt(variance)) as f32;
        x.iter_mut().for_each(|x| *x *= scale);
    }
}

/// One axis after the other. The planner without vector instructions gives the same bits on every x86.
fn transform(modes: &mut [Complex<f32>], space: [usize; 3], direction: FftDirection) {
    let mut planner = FftPlannerScalar::new();
    for axis in 0..3 {
        let (n, stride) = (space[axis], space[axis + 1..].iter().product::<usize>());
        if n == 1 {
            continue;
        }
        let fft = planner.plan_fft(n, direction);
        let mut lines = vec![Complex::default(); n * stride];
        let mut scratch = vec![Complex::default(); fft.get_inplace_scratch_len()];
        // n planes of `stride` values become `stride` lines of n, and planes again.
        for planes in modes.chunks_exact_mut(n * stride) {
            for (i, plane) in planes.chunks_exact(stride).enumerate() {
                plane.iter().zip(lines.iter_mut().skip(i).step_by(n)).for_each(|(from, to)| *to = *from);
            }
            fft.process_with_scratch(&mut lines, &mut scratch);
            for (i, plane) in planes.chunks_exact_mut(stride).enumerate() {
                plane.iter_mut().zip(lines.iter().skip(i).step_by(n)).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kamacite::rng::Purpose;

    #[test]
    fn a_filter_of_one_changes_nothing_and_the_second_field_is_its_own() {
        let space = [4, 6, 10];
        let x = white(240, &mut Stream::new(1, Purpose::User, 0));
        let [same, double] = filtered(&x, space, |_| [1.0, 2.0]);
        for ((x, a), b) in x.iter().zip(same).zip(double) {
            assert!((x - a).abs() < 1e-5 && (2.0 * x - b).abs() < 2e-5, "{x} {a} {b}");
        }
    }

    #[test]
    fn smoothing_spreads_a_point_as_a_gaussian_and_keeps_its_light() {
        let (space, sigma) = ([1, 32, 40], 2.0);
        let mut x = vec![0.0; 32 * 40];
        x[10 * 40 + 15] = 1.0;
        let y = smoothed(&x, space, sigma);
        assert!((y.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        for (h, w) in [(10, 15), (12, 15), (10, 18), (8, 13)] {
            let r2 = ((h as f64 - 10.0).powi(2) + (w as f64 - 15.0).powi(2)) / (sigma * sigma);
            let expected = (-0.5 * r2).exp() / (std::f64::consts::TAU * sigma * sigma);
            assert!((f64::from(y[h * 40 + w]) - expected).abs() < 1e-6, "({h}, {w})");
        }
    }
}
