//! Shapley values by permutations: what each feature of a sample adds to its prediction.
//!
//! With v(S) the mean prediction over a background set whose features in S are replaced by the sample's, a feature's value is the mean of
//! v(S ∪ {i}) − v(S), S being those before i in an order, over random orders, each with its reverse. The steps of one order add up to
//! f(x) − v(∅), so the values do, however few orders there are.
//!
//! # Source
//! Shapley 1953, "A value for n-person games"; Štrumbelj & Kononenko 2014, "Explaining prediction models and individual predictions with
//! feature contributions"; Mitchell et al. 2022, "Sampling permutations for Shapley value estimation", for the reversed orders.

use crate::network::{Inputs, Model, View};
use crate::rng::{Purpose, Stream};
use crate::{Error, Mode, Result};

/// How many orders are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutations {
    /// Pairs of an order and its reverse, for each sample.
    pub pairs: usize,
    /// The orders of sample i depend on the seed and on i alone.
    pub seed: u64,
}

impl Default for Permutations {
    fn default() -> Self {
        Self { pairs: 10, seed: 0 }
    }
}

/// Shapley values of some samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Shapley {
    /// The mean prediction over the background.
    pub base: f64,
    /// The predictions of the samples.
    pub predictions: Vec<f64>,
    /// Samples × features; a sample's values and `base` add up to its prediction.
    pub values: Vec<f64>,
    /// Standard errors of the values, from the scatter between pairs; NaN for a single pair.
    pub errors: Vec<f64>,
    features: usize,
}

impl Shapley {
    /// The values of sample `i`; empty past the end.
    pub fn row(&self, i: usize) -> &[f64] {
        self.values.chunks_exact(self.features).nth(i).unwrap_or(&[])
    }

    /// The mean size of each feature's values: how much it matters.
    pub fn importance(&self) -> Vec<f64> {
        let n = self.predictions.len().max(1) as f64;
        let mean = |f: usize| self.values.iter().skip(f).step_by(self.features).map(|v| v.abs()).sum::<f64>() / n;
        (0..self.features).map(mean).collect()
    }

    /// The largest distance of base + Σ values from a prediction.
    pub fn additivity_error(&self) -> f64 {
        let rows = self.values.chunks_exact(self.features).zip(&self.predictions);
        rows.map(|(v, p)| (self.base + v.iter().sum::<f64>() - p).abs()).fold(0.0, f64::max)
    }
}

/// Rows that are predicted in one call.
const ROWS: usize = 4096;

/// The Shapley values of samples under `f`, which predicts a number for each of many rows: of any function, of a network by [`channel_of`].
///
/// A sample costs 2·pairs·(features − 1)·(rows of the background) predictions.
///
/// # Shapes
/// `x`: (samples, features); `background`: (rows, features).
///
/// # Errors
/// Numbers of values that do not fit, no samples, no background, no pairs; whatever `f` fails with, or another number of predictions
/// than rows, or one that is not finite.
///
/// # Examples
/// ```
/// use kamacite::introspect::{Permutations, shapley};
/// let linear = |rows: &[f32]| Ok(rows.chunks(2).map(|x| f64::from(2.0 * x[0] - x[1])).collect());
/// let s = shapley(linear, 2, &[1.0, 1.0], &[0.0, 0.0, 0.0, 2.0], &Permutations::default())?;
/// assert_eq!((s.base, s.row(0)), (-1.0, &[2.0, 0.0][..]));
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn shapley(
    mut f: impl FnMut(&[f32]) -> Result<Vec<f64>>,
    features: usize,
    x: &[f32],
    background: &[f32],
    permutations: &Permutations,
) -> Result<Shapley> {
    const PLACE: &str = "Shapley values";
    for (what, values) in [("samples", x), ("background", background)] {
        if features == 0 || values.is_empty() || !values.len().is_multiple_of(features) {
            return Err(Error::shape(PLACE, what)
                .expected(format!("a multiple of {features} values, and some"))
                .got(values.len()));
        }
    }
    if permutations.pairs == 0 {
        return Err(Error::value(PLACE, "pairs of orders").expected("1 or more").got(0));
    }
    let base = mean(&predict(&mut f, background, features)?);
    let predictions = predict(&mut f, x, features)?;
    let (mut values, mut errors) = (Vec::with_capacity(x.len()), Vec::with_capacity(x.len()));
    for (i, sample) in x.chunks_exact(features).enumerate() {
        let mut r = Stream::new(permutations.seed, Purpose::Noise, i as u64);
        let mut order: Vec<usize> = (0..features).collect();
        // Means and squared distances from them, updated pair by pair (Welford 1962).
        let (mut means, mut squares) = (vec![0.0; features], vec![0.0; features]);
        for done in 1..=permutations.pairs {
            r.shuffle(&mut order);
            let mut pair = vec![0.0; features];
            for _ in 0..2 {
                order.reverse();
                let v = along(&mut f, sample, background, &order, (base, predictions[i]))?;
                order.iter().zip(v.windows(2)).for_each(|(&k, v)| pair[k] += 0.5 * (v[1] - v[0]));
            }
            for ((m, q), p) in means.iter_mut().zip(&mut squares).zip(pair) {
                let off = p - *m;
                *m += off / done as f64;
                *q += off * (p - *m);
            }
        }
        let n = permutations.pairs as f64;
        values.extend(means);
        errors.extend(squares.iter().map(|q| (q / n / (n - 1.0)).sqrt()));
    }
    Ok(Shapley { base, predictions, values, errors, features })
}

/// v of the sets along an order, from the empty one to the full one.
fn along(
    f: &mut impl FnMut(&[f32]) -> Result<Vec<f64>>,
    sample: &[f32],
    background: &[f32],
    order: &[usize],
    (empty, full): (f64, f64),
) -> Result<Vec<f64>> {
    let features = sample.len();
    let mut mixed = background.to_vec();
    let mut rows = Vec::with_capacity((features - 1) * background.len());
    for &k in &order[..features - 1] {
        mixed.iter_mut().skip(k).step_by(features).for_each(|v| *v = sample[k]);
        rows.extend_from_slice(&mixed);
    }
    let predictions = predict(f, &rows, features)?;
    let inner = predictions.chunks_exact(background.len() / features).map(mean);
    Ok([empty].into_iter().chain(inner).chain([full]).collect())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn predict(f: &mut impl FnMut(&[f32]) -> Result<Vec<f64>>, rows: &[f32], features: usize) -> Result<Vec<f64>> {
    let mut all = Vec::with_capacity(rows.len() / features);
    for part in rows.chunks(ROWS * features) {
        let got = f(part)?;
        if got.len() != part.len() / features {
            let e =
                Error::shape("Shapley values", "predictions").expected(format!("{}, one for each row", part.len() / features));
            return Err(e.got(got.len()));
        }
        if let Some(p) = got.iter().find(|p| !p.is_finite()) {
            return Err(Error::value("Shapley values", "a prediction").expected("a finite number").got(p));
        }
        all.extend(got);
    }
    Ok(all)
}

/// What a network with one input says in channel `channel` of its first output, as a function of rows: for [`shapley`].
pub fn channel_of(model: &mut Model, channel: usize) -> impl FnMut(&[f32]) -> Result<Vec<f64>> + '_ {
    move |rows| {
        let inputs: Vec<_> = model.network().inputs().map(|(_, e)| e).collect();
        let [extent] = inputs[..] else {
            return Err(Error::unsupported("Shapley values", "networks of several inputs").got(inputs.len()));
        };
        let y = model.forward(Mode::Infer, Inputs::One(View::new(extent, rows)?))?;
        let width = y.extent().len();
        if channel >= width {
            return Err(Error::value("Shapley values", "channel").expected(format!("below {width}")).got(channel));
        }
        Ok(y.to_vec().iter().skip(channel).step_by(width).map(|v| f64::from(*v)).collect())
    }
}
