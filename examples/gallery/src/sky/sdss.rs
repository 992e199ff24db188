//! Spectra as the Sloan Digital Sky Survey keeps them: stars, galaxies, narrow-line AGN and quasars on a logarithmic grid, with their errors.
//!
//! ```text
//! flux(λ) = brightness · rest(λ/(1+z)) + noise,  λ = 10^(3.5795 + 10⁻⁴ k) Å, of which 3522 bins lie in 4000 to 9000 Å
//! ```
//!
//! A star is Planck's law with the lines and bands of its temperature and reddening; a galaxy the same of 4300 to 5600 K with emission lines whose
//! ratios [N II]/Hα and [O III]/Hβ lie among those of young stars; an AGN has those of an accreting black hole, the other side of the diagram of
//! Baldwin, Phillips & Terlevich; a quasar a power law with broad lines and, beyond z = 2, the Lyman-α forest. The noise is that of the sky, worse in
//! the blue and beyond 8300 Å, and 2 % of the flux.
//!
//! # Source
//! Lines and their ratios: Osterbrock & Ferland 2006, "Astrophysics of Gaseous Nebulae and Active Galactic Nuclei"; Vanden Berk et al. 2001 for
//! quasars.

use super::generate;
use kamacite::data::fits::{Cards, Fits, NewColumn, Writer};
use kamacite::data::{Missing, Samples};
use kamacite::rng::{Purpose, Stream};
use kamacite::{Error, Extent, Result};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Bins of a spectrum in 4000 < λ ≤ 9000 Å.
pub const BINS: usize = 3522;
/// log₁₀ λ of the first of them.
pub const FIRST: f64 = 3.5795 + 226.0 * STEP;
/// Width of a bin in log₁₀ λ.
pub const STEP: f64 = 1e-4;
/// What there is, in the order of the labels.
pub const CLASSES: [&str; 4] = ["star", "galaxy", "AGN", "QSO"];

/// A catalogue of spectra.
#[derive(Clone, Debug, Default)]
pub struct Spectra {
    /// 10⁻¹⁷ erg/s/cm²/Å, bin by bin.
    pub flux: Vec<f32>,
    /// Inverse variances of the same.
    pub ivar: Vec<f32>,
    /// Indices of [`CLASSES`].
    pub class: Vec<u32>,
    /// Redshifts.
    pub z: Vec<f32>,
}

impl Spectra {
    /// `n` spectra, the classes in turn.
    pub fn generated(n: usize, seed: u64) -> Self {
        let (x, t) = generate(n, Extent::line(2 * BINS, 1), seed, |i, r, x| {
            let (flux, ivar) = x.split_at_mut(BINS);
            observe(i % 4, r, flux, ivar)
        });
        let mut all = Self { class: (0..n as u32).map(|i| i % 4).collect(), z: t, ..Self::default() };
        for x in x.chunks_exact(2 * BINS) {
            all.flux.extend(&x[..BINS]);
            all.ivar.extend(&x[BINS..]);
        }
        all
    }

    /// The user's own files, or `n` generated ones.
    ///
    /// # Errors
    /// As [`Spectra::read`].
    pub fn of(data: Option<&Path>, n: usize) -> Result<Self> {
        data.map_or_else(|| Ok(Self::generated(n, 1)), Self::read)
    }

    /// Writes every spectrum as the survey does, `FOLDER/CLASS/spec-0000-00000-0000.fits`: HDU 1 is a table of flux, loglam and ivar, a few bins
    /// wider than what [`Spectra::read`] keeps.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let wide = |x: &[f32]| [&x[..3], x, &x[BINS - 3..]].concat();
        let grid: Vec<f32> = (0..BINS + 6).map(|i| (FIRST + STEP * (i as f64 - 3.0)) as f32).collect();
        for class in CLASSES {
            let folder = folder.join(class);
            std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        }
        (0..self.len()).into_par_iter().try_for_each(|i| {
            let ((flux, ivar), class) = (self.spectrum(i), CLASSES[self.class[i] as usize]);
            let columns =
                [NewColumn::new("flux", &wide(flux)), NewColumn::new("loglam", &grid), NewColumn::new("ivar", &wide(ivar))];
            let path = folder.join(class).join(format!("spec-{:04}-55000-{:04}.fits", i / 1000, i % 1000));
            let mut file = Writer::create(path)?;
            file.table(&columns, &Cards::new().with("Z", f64::from(self.z[i]))?.with("CLASS", class)?)?;
            file.finish()
        })
    }

    /// Reads `FOLDER/CLASS/spec-*.fits` of every class that has a folder, the survey's own files or those of [`Spectra::write`]: flux and ivar where
    /// 4000 < λ ≤ 9000 Å. Files with another number of bins there are left out and named. The order is drawn by lot, so that any part holds all
    /// classes.
    ///
    /// # Errors
    /// No such folder, no file with all bins, files that are no such tables.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut files: Vec<(u32, PathBuf)> = Vec::new();
        for (class, name) in (0..).zip(CLASSES) {
            let folder = folder.join(name);
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            let is_spectrum = |p: &PathBuf| {
                let name = p.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("spec-") && name.contains(".fits")
            };
            files.extend(entries.flatten().map(|e| e.path()).filter(is_spectrum).map(|path| (class, path)));
        }
        files.sort();
        Stream::new(1, Purpose::User, 0).shuffle(&mut files);
        let read: Vec<_> = files.par_iter().map(|(class, path)| Ok((*class, path, read_one(path)?))).collect::<Result<_>>()?;
        let mut all = Self::default();
        for (class, path, (flux, ivar, z)) in read {
            if flux.len() != BINS {
                println!("left out: {} has {} bins between 4000 and 9000 A, not {BINS}", path.display(), flux.len());
                continue;
            }
            all.flux.extend(flux);
            all.ivar.extend(ivar);
            all.class.push(class);
            all.z.push(z);
        }
        if all.is_empty() {
            let e =
                Error::value(folder.display(), "no spectra").expected(format!("spec-*.fits in folders {}", CLASSES.join(", ")));
            return Err(e.got(format!("{} files", files.len())));
        }
        Ok(all)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.class.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.class.is_empty()
    }

    /// Flux and inverse variance of one.
    pub fn spectrum(&self, i: usize) -> (&[f32], &[f32]) {
        (&self.flux[i * BINS..(i + 1) * BINS], &self.ivar[i * BINS..(i + 1) * BINS])
    }

    /// The first `n`, and the others.
    pub fn split(&self, n: usize) -> (Self, Self) {
        let part = |range: std::ops::Range<usize>| Self {
            flux: self.flux[range.start * BINS..range.end * BINS].to_vec(),
            ivar: self.ivar[range.start * BINS..range.end * BINS].to_vec(),
            class: self.class[range.clone()].to_vec(),
            z: self.z[range].to_vec(),
        };
        (part(0..n), part(n..self.len()))
    }

    /// What a network sees: each spectrum divided by its norm, the square root of the number of bins put back so that values are about 1.
    ///
    /// # Errors
    /// No spectra.
    pub fn samples(&self) -> Result<Samples> {
        let mut x = self.flux.clone();
        for x in x.chunks_exact_mut(BINS) {
            let norm = libm::sqrt(x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>() / BINS as f64);
            x.iter_mut().for_each(|x| *x = (f64::from(*x) / norm.max(1e-30)) as f32);
        }
        Ok(Samples::new(Extent::line(BINS, 1), x)?.with_classes(self.class.clone(), 4)?.with_class_names(CLASSES))
    }
}

/// Flux and inverse variance as two inputs, and the class: for other programs.
///
/// # Errors
/// No spectra.
pub fn sdss(n: usize, seed: u64) -> Result<Samples> {
    let all = Spectra::generated(n, seed);
    let e = Extent::line(BINS, 1);
    Samples::new(e, all.flux)?.with_input(e, all.ivar)?.with_classes(all.class, 4)
}

/// log₁₀ λ of a bin.
pub fn log_lambda(bin: usize) -> f64 {
    FIRST + STEP * bin as f64
}

/// Flux, inverse variance and redshift of a file. The survey keeps the redshift in HDU 2; NaN where there is none.
fn read_one(path: &Path) -> Result<(Vec<f32>, Vec<f32>, f32)> {
    let fits = Fits::open(path)?;
    let table = fits.table(1)?;
    let column = |name: &str| table.column_f32(name, Missing::Zero);
    let (loglam, flux, ivar) = (column("loglam")?, column("flux")?, column("ivar")?);
    let inside = |l: &f32| *l > 4000_f32.log10() && *l <= 9000_f32.log10();
    let keep = |x: &[f32]| loglam.iter().zip(x).filter(|(l, _)| inside(l)).map(|(_, x)| *x).collect::<Vec<_>>();
    let own = table.header().get::<f64>("Z").map(|z| z as f32);
    let of_survey = || fits.table(2).and_then(|t| t.column_f32("Z", Missing::Keep)).ok().and_then(|z| z.first().copied());
    Ok((keep(&flux), keep(&ivar), own.or_else(of_survey).unwrap_or(f32::NAN)))
}

/// Draws a spectrum of this class; its redshift.
fn observe(class: usize, r: &mut Stream, flux: &mut [f32], ivar: &mut [f32]) -> f32 {
    let lambda: Vec<f64> = (0..BINS).map(|i| libm::pow(10.0, log_lambda(i))).collect();
    let z = match class {
        0 => 0.0,
        1 => r.between(0.02, 0.35),
        2 => r.between(0.02, 0.3),
        _ => r.between(0.4, 3.0),
    };
    let mut f = if class == 3 { quasar(&lambda, z, r) } else { starlight(&lambda, z, class, r) };
    if class == 1 || class == 2 {
        emission(&mut f, &lambda, z, class == 2, r);
    }
    let mut sorted = f.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let brightness = libm::pow(10.0, r.between(0.4, 1.6)) / sorted[BINS / 2];
    for (i, lambda) in lambda.iter().enumerate() {
        let f = f[i] * brightness;
        let sky = 1.0 + 0.8 * libm::exp((3900.0 - lambda) / 120.0) + if *lambda > 8300.0 { 0.5 } else { 0.0 };
        let error = libm::sqrt(0.36 + 0.0004 * f * f) * sky;
        flux[i] = (f + error * r.normal()) as f32;
        ivar[i] = (1.0 / (error * error)) as f32;
    }
    z as f32
}

/// Rest wavelength and equivalent width in Å, and width at z = 0, of a quasar's lines.
const BROAD: [(f64, f64, f64); 6] = [
    (1215.7, 400.0, 60.0),
    (1549.0, 110.0, 45.0),
    (1908.7, 60.0, 50.0),
    (2799.0, 80.0, 40.0),
    (4861.3, 40.0, 30.0),
    (6562.8, 160.0, 30.0),
];

fn quasar(lambda: &[f64], z: f64, r: &mut Stream) -> Vec<f64> {
    let slope = -1.6 + 0.3 * r.normal();
    let mut f: Vec<f64> = lambda.iter().map(|l| libm::pow(l / 6000.0, slope)).collect();
    for (at, width, sigma) in BROAD {
        let sigma = sigma * (1.0 + z) * r.between(0.6, 1.4) * at / 2800.0;
        let height = 0.7 * width * (1.0 + z) * libm::exp(0.4 * r.normal()) / (2.5 * sigma);
        f.iter_mut().zip(lambda).for_each(|(f, l)| *f *= 1.0 + height * gauss(*l, at * (1.0 + z), sigma));
    }
    let forest = r.between(0.5, 1.5) * 0.0036 / 6.0;
    if z > 2.0 {
        for (f, l) in f.iter_mut().zip(lambda).filter(|(_, l)| **l < 1215.7 * (1.0 + z)) {
            *f *= libm::exp(-forest * libm::pow(l / 1215.7, 3.46));
        }
    }
    f
}

/// Narrow lines: strengths about the Balmer decrement 2.86, the ratios of forbidden lines on either side of the BPT diagram.
fn emission(f: &mut [f64], lambda: &[f64], z: f64, agn: bool, r: &mut Stream) {
    let h_alpha = libm::exp(1.0 + 0.9 * r.normal()) * if agn { 1.6 } else { 1.0 };
    let nitrogen = if agn { r.between(0.7, 1.6) } else { r.between(0.2, 0.5) };
    let oxygen = if agn { r.between(3.0, 10.0) } else { r.between(0.2, 0.9) };
    let h_beta = h_alpha / 2.86;
    let lines = [
        (6562.8, h_alpha),
        (6583.5, nitrogen * h_alpha),
        (6548.1, nitrogen * h_alpha / 3.0),
        (4861.3, h_beta),
        (5006.8, oxygen * h_beta),
        (4958.9, oxygen * h_beta / 3.0),
        (3727.4, 0.8 * h_alpha),
        (6716.4, 0.2 * h_alpha),
        (6730.8, 0.15 * h_alpha),
    ];
    for (at, height) in lines {
        f.iter_mut().zip(lambda).for_each(|(f, l)| *f += 0.12 * height * gauss(*l, at * (1.0 + z), 3.2 * (1.0 + z)));
    }
}

/// exp(−½((λ − at)/σ)²), nothing beyond six σ.
fn gauss(lambda: f64, at: f64, sigma: f64) -> f64 {
    let d = (lambda - at) / sigma;
    if d.abs() < 6.0 { libm::exp(-0.5 * d * d) } else { 0.0 }
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

const BALMER: [f64; 10] = [6562.8, 4861.3, 4340.5, 4101.7, 3970.1, 3889.1, 3835.4, 3797.9, 3770.6, 3750.2];
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

/// A star's light, or a galaxy's, at the wavelengths at which it is observed.
fn starlight(lambda: &[f64], z: f64, class: usize, r: &mut Stream) -> Vec<f64> {
    let t = if class == 0 { libm::exp(r.between(libm::log(3300.0), libm::log(20_000.0))) } else { r.between(4300.0, 5600.0) };
    let (gravity, metallicity) = (r.between(0.6, 1.6), libm::pow(10.0, -0.1 + 0.25 * r.normal()));
    let (reddening, ripple): (f64, [f64; 4]) = (0.06 * r.exponential(), std::array::from_fn(|_| 0.01 * r.normal()));
    let noise = libm::pow(10.0, -r.between(1.6, 2.4));
    let lines = absorption(t, gravity, libm::sqrt(metallicity));
    let metals = 3.0 * libm::sqrt(metallicity) * cool(t, 6200.0, 5.0);
    let titanium = ((3950.0 - t) / 900.0).clamp(0.0, 1.2);
    // h c / k in Å K.
    let wien = |l: f64| libm::expm1(1.438_77e8 / (l * t));
    let (reference, jump) = (wien(5500.0), 0.45 * bump(t, 10_500.0, 0.13));
    let one = |l: f64, r: &mut Stream| {
        let mut f = libm::pow(l / 5500.0, -5.0) * reference / wien(l) * (1.0 - jump / (1.0 + libm::exp((l - 3680.0) / 25.0)));
        lines.iter().for_each(|&(at, depth, sigma)| f *= 1.0 - depth * gauss(l, at, sigma));
        f *= libm::exp(-metals * metal(l));
        if titanium > 0.0 {
            for (at, depth) in TITANIUM.iter().filter(|(at, _)| l >= *at) {
                f *= 1.0 - (depth * titanium).min(0.93) * libm::exp((at - l) / 110.0);
            }
        }
        f *= libm::pow(10.0, -0.4 * reddening * (3.1 * libm::pow(5500.0 / l, 1.3) - 3.1));
        let x = ((l - 6466.0) / 3003.0).clamp(-1.0, 1.0);
        let stitches = ripple[0] + ripple[1] * x + ripple[2] * (2.0 * x * x - 1.0) + ripple[3] * (4.0 * x * x * x - 3.0 * x);
        f * (1.0 + stitches) * (1.0 + noise * r.normal())
    };
    lambda.iter().map(|l| one(l / (1.0 + z), r)).collect()
}

/// Wavelength, depth and width of the lines of this temperature.
fn absorption(t: f64, gravity: f64, strength: f64) -> Vec<(f64, f64, f64)> {
    let mut all = Vec::new();
    let mut hydrogen = 0.06 + 0.62 * bump(t, 9300.0, 0.14);
    for at in BALMER {
        all.extend([(at, 0.7 * hydrogen, 9.0 * gravity), (at, 0.3 * hydrogen, 2.5)]);
        hydrogen *= 0.96;
    }
    let helium = [(4026.2, 0.28), (4471.5, 0.30), (5875.6, 0.25), (6678.2, 0.18)];
    all.extend(helium.map(|(at, depth)| (at, depth * bump(t, 20_500.0, 0.13), 3.0)));
    let calcium = cool(t, 8200.0, 8.0);
    all.extend([(3933.7, 0.85), (3968.5, 0.80)].map(|(at, depth)| (at, depth * calcium, 6.0 * (0.7 + cool(t, 6300.0, 6.0)))));
    all.push((4303.0, 0.35 * bump(t, 5200.0, 0.09), 9.0));
    let neutral =
        [(4226.7, 0.75, 4.0), (5167.3, 0.5, 3.0), (5172.7, 0.6, 3.0), (5183.6, 0.6, 3.0), (5890.0, 0.7, 2.2), (5895.9, 0.6, 2.2)];
    all.extend(neutral.map(|(at, depth, sigma)| (at, (depth * strength * cool(t, 4700.0, 6.0)).min(0.95), sigma)));
    all.extend([(8498.0, 0.35), (8542.1, 0.5), (8662.1, 0.45)].map(|(at, depth)| (at, depth * cool(t, 9000.0, 8.0), 3.5)));
    all.retain(|(_, depth, _)| *depth > 1e-6);
    all
}

/// The optical depth of the weak metal lines at unit strength, the same 700 for every star, between the points of a table.
fn metal(lambda: f64) -> f64 {
    const START: f64 = 3580.0;
    const WIDTH: f64 = 0.5;
    static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut r = Stream::new(2004, Purpose::User, u64::MAX);
        let mut tau = vec![0.0; 6500];
        for _ in 0..700 {
            let (at, depth) = (r.between(3600.0, 6800.0), (0.10 * r.exponential()).min(0.5));
            let depth = depth * (4500.0 / at) * (4500.0 / at);
            tau.iter_mut().enumerate().for_each(|(i, tau)| *tau += depth * gauss(START + WIDTH * i as f64, at, 1.4));
        }
        tau
    });
    let at = (lambda - START) / WIDTH;
    if at < 0.0 || at >= (table.len() - 1) as f64 {
        return 0.0;
    }
    let i = at as usize;
    table[i] + (at - i as f64) * (table[i + 1] - table[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_that_of_the_tutorial() {
        let inside = |l: f64| libm::pow(10.0, l) > 4000.0 && libm::pow(10.0, l) <= 9000.0;
        assert!(inside(log_lambda(0)) && inside(log_lambda(BINS - 1)));
        assert!(!inside(log_lambda(0) - STEP) && !inside(log_lambda(BINS)));
    }

    #[test]
    fn files_of_the_survey_come_back_to_the_bit() -> Result<()> {
        let folder = tempfile::tempdir().map_err(|e| Error::io("temporary folder", e))?;
        let spectra = Spectra::generated(9, 2);
        spectra.write(folder.path())?;
        let read = Spectra::read(folder.path())?;
        let key = |s: &Spectra, i: usize| {
            (s.class[i], s.z[i].to_bits(), s.flux[i * BINS..(i + 1) * BINS].iter().map(|f| f.to_bits()).collect::<Vec<_>>())
        };
        let all = |s: &Spectra| {
            let mut all: Vec<_> = (0..s.len()).map(|i| key(s, i)).collect();
            all.sort();
            all
        };
        assert_eq!(all(&read), all(&spectra));
        assert!(Spectra::read(&folder.path().join("nowhere")).is_err());
        Ok(())
    }

    /// The errors are those of the noise.
    #[test]
    fn noise_has_the_variance_that_is_told() {
        let (all, other) = (Spectra::generated(40, 1), Spectra::generated(8, 1));
        assert_eq!(other.flux, all.flux[..8 * BINS]);
        assert!(all.flux.iter().chain(&all.ivar).all(|v| v.is_finite()));
        // Differences of neighbours in quasars beyond their lines: the spectrum itself is smooth.
        for i in (3..40).step_by(4) {
            let (flux, ivar) = all.spectrum(i);
            let pulls: Vec<f64> =
                (0..BINS - 1).map(|k| f64::from((flux[k + 1] - flux[k]).powi(2) / (1.0 / ivar[k] + 1.0 / ivar[k + 1]))).collect();
            let mean = pulls.iter().sum::<f64>() / pulls.len() as f64;
            // Five standard errors of a mean of correlated squares.
            assert!((mean - 1.0).abs() < 5.0 * libm::sqrt(3.0 / BINS as f64), "spectrum {i}: {mean}");
        }
    }
}
