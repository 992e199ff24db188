//! What every exercise shares: blanks that say what is missing, the options of the command line, a table, random numbers.
// Each exercise uses a part.
#![allow(dead_code, unused_macros, unused_imports)]

use kamacite::data::{TableReader, split};
use kamacite::rng::{Purpose, Stream};
use kamacite::{Error, Result};
use std::path::{Path, PathBuf};

/// Stands in a starter where you write; ends the program with status 2.
macro_rules! blank {
    ($what:literal) => {{
        eprintln!("{}:{}: this part is still to be written:\n  {}", file!(), line!(), $what);
        std::process::exit(2)
    }};
}
pub(crate) use blank;

/// `--seed N --seeds N --epochs N --data PATH --mode NAME --smoke`. What a program does not use stays at its default.
pub struct Options {
    /// Of the first run.
    pub seed: u64,
    /// Runs with seed, seed + 1, ...
    pub seeds: u64,
    /// Epochs of training; 0: the exercise decides.
    pub epochs: u64,
    /// The user's own data, or made data.
    pub data: Option<PathBuf>,
    /// What a program can do in several ways.
    pub mode: String,
    /// As small as it can be.
    pub smoke: bool,
}

impl Options {
    /// Reads the command line behind the name of the exercise; `data` and `mode` where nothing is said, "" being nothing.
    pub fn parse(epochs: u64, data: &str, mode: &str) -> Result<Self> {
        let data = Some(data).filter(|d| !d.is_empty()).map(PathBuf::from);
        let mut o = Self { seed: 1, seeds: 1, epochs, data, mode: mode.to_string(), smoke: false };
        let mut words = std::env::args().skip(1).skip_while(|w| !w.starts_with("--"));
        while let Some(name) = words.next() {
            if name == "--smoke" {
                o.smoke = true;
                continue;
            }
            let value = words.next().unwrap_or_default();
            match (name.as_str(), value.parse::<u64>()) {
                ("--seed", Ok(n)) => o.seed = n,
                ("--seeds", Ok(n)) if n > 0 => o.seeds = n,
                ("--epochs", Ok(n)) if n > 0 => o.epochs = n,
                ("--data", _) if !value.is_empty() => o.data = Some(value.into()),
                ("--mode", _) if !value.is_empty() => o.mode = value,
                _ => {
                    let hint = "options: --seed N --seeds N --epochs N --data PATH --mode NAME --smoke";
                    return Err(Error::value("command line", "cannot use").got(format!("{name} {value}")).hint(hint));
                }
            }
        }
        Ok(o)
    }

    /// The seeds of all runs.
    pub fn runs(&self) -> std::ops::Range<u64> {
        self.seed..self.seed + self.seeds
    }

    /// The file that `--data` or the exercise names.
    pub fn file(&self) -> Result<&Path> {
        self.data.as_deref().ok_or_else(|| Error::value("command line", "--data PATH is needed"))
    }
}

/// A text table whose last column is the class: x\[n\]\[features\] and label\[n\].
pub fn table(path: &Path, features: usize) -> Result<(Vec<f32>, Vec<u32>)> {
    let samples = TableReader::new().label(features).read(path)?;
    let labels = samples.labels(0).unwrap_or_default().to_vec();
    if samples.x(0).len() != labels.len() * features {
        let columns = samples.x(0).len() / labels.len().max(1);
        return Err(Error::shape(path.display(), "columns beside the class").expected(features).got(columns));
    }
    Ok((samples.x(0).to_vec(), labels))
}

/// A random order of 0..n.
pub fn shuffle(n: usize, seed: u64) -> Vec<usize> {
    split::shuffled(n, seed)
}

/// n numbers, uniform between low and high.
pub fn random_uniform(n: usize, low: f64, high: f64, seed: u64) -> Vec<f32> {
    let mut r = Stream::new(seed, Purpose::User, 0);
    (0..n).map(|_| r.between(low, high) as f32).collect()
}

/// The middle of some values, which are sorted; of an even number, the upper one of the two.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The bits of a double: equal in C, Fortran and Rust for equal seeds.
pub fn bits(value: f64) -> String {
    format!("{:016X}", value.to_bits())
}
