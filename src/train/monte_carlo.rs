//! Monte-Carlo prediction: what a network with dropout predicts, and how sure it is.

use super::ahead::{After, Load};
use super::evaluate::{Predicted, for_batches};
use super::{Feed, plan_of};
use crate::data::Dataset;
use crate::memory::Mode;
use crate::network::Model;
use crate::{Error, Result};
use std::sync::Arc;

/// Mean, spread and quantiles of the predictions over draws of dropout masks, and of the weights of [`BayesDense`](crate::BayesDense).
///
/// # Source
/// Gal & Ghahramani 2016, "Dropout as a Bayesian approximation".
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MonteCarlo {
    /// The mean of the draws, row after row as from [`Model::predict_data`].
    pub mean: Vec<f32>,
    /// The standard deviation of a draw, √(Σ (y − mean)²/(draws − 1)).
    pub deviation: Vec<f32>,
    /// For each probability that was asked for the quantile of the draws at it, in rows as `mean`: between two draws in proportion (the
    /// default of NumPy, "linear").
    pub quantiles: Vec<Vec<f32>>,
    /// How unsure the classes are, where the first output has class probabilities: wherever the channels of every position are at
    /// least 0 and sum to 1, to three digits.
    pub entropy: Option<Entropy>,
}

/// Entropies of class probabilities, in nats: one for each position of each sample.
///
/// # Source
/// Houlsby, Huszár, Ghahramani & Lengyel 2011, "Bayesian active learning for classification and preference learning"; Depeweg et al.
/// 2018, "Decomposition of uncertainty in Bayesian deep learning".
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Entropy {
    /// Of the mean of the draws, −Σ p̄ ln p̄: all that is not known.
    pub predictive: Vec<f32>,
    /// The mean over the draws of −Σ p ln p: what a perfectly known network could not tell either, noise in the data.
    pub expected: Vec<f32>,
    /// The difference: what the draws disagree about, and more data would settle.
    pub mutual_information: Vec<f32>,
}

/// The most values that are held at once: 64 MiB.
const MOST: usize = 1 << 24;

impl Model {
    /// Predicts every sample of a data set `draws` times in [`Mode::MonteCarlo`], in batches of at most `batch`, and returns mean,
    /// deviation and the quantiles at these probabilities of the first output, value by value.
    ///
    /// All draws of a batch are held at once; batches are made smaller where they would take more than 64 MiB. A model of the same seed
    /// and history gives the same bits, for the same batch.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for fewer than two draws or more than 2²⁴, and for probabilities outside of
    /// [0, 1]; as [`Model::evaluate`].
    ///
    /// # Examples
    /// ```
    /// use kamacite::data::synth;
    /// use kamacite::*;
    /// let data = synth::clusters(20, 2, 1)?;
    /// let mut net = Network::new(Extent::flat(2));
    /// net.push(Dense::new(16).act(Relu));
    /// net.push(Dropout::new(0.5));
    /// net.push(Dense::new(4));
    /// let mut model = Model::builder(net).seed(1).loss("output", SoftmaxCrossEntropy, 1.0).build()?;
    /// let p = model.predict_monte_carlo(data, 20, 100, &[0.05, 0.95])?;
    /// assert_eq!((p.mean.len(), p.quantiles.len()), (80, 2));
    /// assert!((0..80).all(|i| p.quantiles[0][i] <= p.mean[i] && p.mean[i] <= p.quantiles[1][i] && p.deviation[i] > 0.0));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn predict_monte_carlo(
        &mut self,
        data: impl Into<Arc<dyn Dataset>>,
        batch: usize,
        draws: usize,
        probabilities: &[f64],
    ) -> Result<MonteCarlo> {
        if !(2..=MOST).contains(&draws) {
            return Err(Error::value(PLACE, "number of draws").expected(format!("2 to {MOST}")).got(draws));
        }
        if let Some(p) = probabilities.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Err(Error::value(PLACE, "probability").expected("0 to 1").got(p));
        }
        let mut feed = Feed::new(data.into(), self.network(), self.losses.len(), false, "data")?;
        let n = feed.len();
        let mut plan = plan_of(self, &feed, Mode::MonteCarlo, batch.clamp(1, n))?;
        let (row, classes) = self.planned(plan).outputs.first().map_or((1, 1), |port| (port.extent.len(), port.extent.c));
        let batch = rows_at_once(batch, draws, row).min(n);
        plan = plan_of(self, &feed, Mode::MonteCarlo, batch)?;
        feed.ready(self.device(), batch, Load::default(), After::End)?;
        let quantiles = vec![vec![]; probabilities.len()];
        let mut found = MonteCarlo { mean: vec![], deviation: vec![], quantiles, entropy: (classes > 1).then(Entropy::default) };
        // Draw after draw of one batch; and the draws of one value.
        let (mut values, mut drawn, mut column) = (Vec::new(), 0, vec![0.0; draws]);
        for_batches(self, &mut feed, plan, (batch, draws), &mut Predicted::run, &mut |draw: Predicted| {
            draw.add_to(&mut values)?;
            drawn += 1;
            if drawn < draws {
                return Ok(());
            }
            let len = values.len() / draws;
            for i in 0..len {
                column.iter_mut().zip(values[i..].iter().step_by(len)).for_each(|(c, v)| *c = f64::from(*v));
                found.add(&mut column, probabilities);
            }
            found.entropy = found.entropy.take().and_then(|entropy| entropy.with(&values, len, classes));
            drawn = 0;
            values.clear();
            Ok(())
        })?;
        Ok(found)
    }
}

impl Entropy {
    /// With those of a further batch: draw after draw of `len` values. `None` where these are no probabilities.
    fn with(mut self, values: &[f32], len: usize, classes: usize) -> Option<Self> {
        let probability = |p: &[f32]| p.iter().all(|p| *p >= 0.0) && (p.iter().sum::<f32>() - 1.0).abs() < 1e-3;
        if !values.chunks_exact(classes).all(probability) {
            return None;
        }
        let of = |p: f64| if p > 0.0 { -p * libm::log(p) } else { 0.0 };
        let draws = (values.len() / len) as f64;
        let mut mean = vec![0.0; classes];
        for position in (0..len).step_by(classes) {
            mean.fill(0.0);
            let mut expected = 0.0;
            for draw in values.chunks_exact(len) {
                for (mean, p) in mean.iter_mut().zip(&draw[position..position + classes]) {
                    *mean += f64::from(*p) / draws;
                    expected += of(f64::from(*p)) / draws;
                }
            }
            let predictive: f64 = mean.iter().map(|p| of(*p)).sum();
            self.predictive.push(predictive as f32);
            self.expected.push(expected as f32);
            // Entropy is concave; what lies below 0 is rounding.
            self.mutual_information.push((predictive - expected).max(0.0) as f32);
        }
        Some(self)
    }
}

/// Samples of a batch whose draws are held at once.
fn rows_at_once(batch: usize, draws: usize, row: usize) -> usize {
    batch.min(MOST / draws / row).max(1)
}

const PLACE: &str = "Monte-Carlo prediction";

impl MonteCarlo {
    /// Adds the draws of one value.
    fn add(&mut self, draws: &mut [f64], probabilities: &[f64]) {
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        self.mean.push(mean as f32);
        self.deviation.push((draws.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / (n - 1.0)).sqrt() as f32);
        if !probabilities.is_empty() {
            draws.sort_unstable_by(f64::total_cmp);
        }
        for (quantiles, p) in self.quantiles.iter_mut().zip(probabilities) {
            quantiles.push(if mean.is_nan() { f32::NAN } else { quantile(draws, *p) as f32 });
        }
    }
}

/// The quantile of sorted numbers.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let at = p * (sorted.len() - 1) as f64;
    let low = (at as usize).min(sorted.len() - 2);
    sorted[low] + (at - low as f64) * (sorted[low + 1] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synth;
    use crate::{Dense, Dropout, ErrorKind, Extent, Network, Relu, SoftmaxCrossEntropy};

    fn model(seed: u64) -> Result<Model> {
        let mut net = Network::new(Extent::flat(3));
        net.push(Dense::new(20).act(Relu));
        net.push(Dropout::new(0.4));
        net.push(Dense::new(5));
        Model::builder(net).seed(seed).loss("output", SoftmaxCrossEntropy, 1.0).build()
    }

    /// numpy.quantile([3, 1, 4, 1, 5, 9, 2, 6], p), NumPy 2.
    #[test]
    fn quantiles_of_numpy() {
        let sorted = [1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 9.0];
        for (p, expected) in [(0.0, 1.0), (0.1, 1.0), (0.25, 1.75), (0.5, 3.5), (0.9, 6.9), (1.0, 9.0)] {
            assert!((quantile(&sorted, p) - expected).abs() < 1e-14, "{p}");
        }
        assert_eq!(quantile(&[2.0, 4.0], 0.25), 2.5);
    }

    #[test]
    fn as_many_single_predictions() -> Result<()> {
        let (data, draws, p) = (synth::clusters(33, 3, 1)?, 41, [0.0, 0.16, 0.5, 1.0]);
        let found = model(7)?.predict_monte_carlo(data.clone(), 40, draws, &p)?;
        let mut other = model(7)?;
        let all = (0..draws).map(|_| other.predict_data(data.clone(), 40, Mode::MonteCarlo)).collect::<Result<Vec<_>>>()?;
        for i in 0..33 * 5 {
            let mut y: Vec<f64> = all.iter().map(|draw| f64::from(draw[i])).collect();
            let mean = y.iter().sum::<f64>() / 41.0;
            let deviation = (y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / 40.0).sqrt();
            assert_eq!((found.mean[i], found.deviation[i]), (mean as f32, deviation as f32));
            y.sort_by(f64::total_cmp);
            let quantiles = [y[0], y[6] + 0.4 * (y[7] - y[6]), y[20], y[40]];
            for (q, expected) in found.quantiles.iter().zip(quantiles) {
                assert!((f64::from(q[i]) - expected).abs() < 1e-7, "{i}");
            }
            assert!(deviation > 0.0, "dropout draws masks");
        }
        // The same by the definitions.
        let entropy = found.entropy.clone().unwrap_or_default();
        let h = |p: &[f64]| -p.iter().map(|p| p * p.ln()).sum::<f64>();
        for i in 0..33 {
            let draw = |d: &Vec<f32>| d[5 * i..5 * i + 5].iter().map(|p| f64::from(*p)).collect::<Vec<_>>();
            let mean: Vec<f64> = (0..5).map(|c| all.iter().map(|d| draw(d)[c]).sum::<f64>() / 41.0).collect();
            let (total, noise) = (h(&mean), all.iter().map(|d| h(&draw(d))).sum::<f64>() / 41.0);
            for (got, expected) in
                [(entropy.predictive[i], total), (entropy.expected[i], noise), (entropy.mutual_information[i], total - noise)]
            {
                assert!((f64::from(got) - expected).abs() < 1e-5, "{i}: {got} {expected}");
            }
            assert!(entropy.mutual_information[i] > 0.0);
        }
        assert_eq!(entropy.predictive.len(), 33);
        // Equal seeds give equal bits, other ones do not; a further call draws anew.
        let mut again = model(7)?;
        assert_eq!(again.predict_monte_carlo(data.clone(), 40, draws, &p)?, found);
        assert_ne!(again.predict_monte_carlo(data.clone(), 40, draws, &p)?, found);
        assert_ne!(model(8)?.predict_monte_carlo(data, 40, draws, &p)?, found);
        Ok(())
    }

    #[test]
    fn batches_cover_all_samples_and_stay_within_memory() -> Result<()> {
        let data = synth::clusters(33, 3, 1)?;
        let mean = model(7)?.predict_data(data.clone(), 64, Mode::Infer)?;
        for batch in [0, 1, 10, 64] {
            let found = model(7)?.predict_monte_carlo(data.clone(), batch, 4000, &[])?;
            assert_eq!((found.mean.len(), found.deviation.len()), (165, 165));
            // Far from a proof: the mean over masks lies near the prediction without.
            assert!(found.mean.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 0.15), "{batch}");
        }
        for (batch, draws, row) in [(64, 100, 5), (64, 100_000, 5), (1000, 7, 48 * 48 * 3), (10, MOST, 100), (1, 2, 1)] {
            let rows = rows_at_once(batch, draws, row);
            assert!(rows == 1 || (rows <= batch && rows * draws * row <= MOST));
            assert!(rows == batch || (rows + 1) * draws * row > MOST);
        }
        Ok(())
    }

    /// What is no distribution has no entropy.
    #[test]
    fn regressions_have_no_entropy() -> Result<()> {
        let mut net = Network::new(Extent::flat(3));
        net.push(Dropout::new(0.5));
        net.push(Dense::new(5));
        let found = Model::builder(net).build()?.predict_monte_carlo(
            crate::data::Samples::new(Extent::flat(3), vec![0.5; 9])?,
            2,
            3,
            &[],
        )?;
        assert_eq!((found.mean.len(), found.entropy), (15, None));
        assert!(Entropy::default().with(&[0.5, 0.5, 1.0, 0.0], 2, 2).is_some_and(|e| e.expected == [0.346_573_6]));
        assert!(Entropy::default().with(&[0.5, 0.6], 2, 2).is_none() && Entropy::default().with(&[1.5, -0.5], 2, 2).is_none());
        Ok(())
    }

    #[test]
    fn senseless_requests_are_errors() -> Result<()> {
        let data = synth::clusters(5, 3, 1)?;
        let kind = |draws, p: &[f64]| {
            let found = model(1).and_then(|mut m| m.predict_monte_carlo(data.clone(), 5, draws, p));
            found.map(|_| ()).map_err(|e| e.kind())
        };
        assert_eq!(kind(2, &[0.0, 1.0]), Ok(()));
        for (draws, p) in [(0, 0.5), (1, 0.5), (2, -0.1), (2, 1.1), (2, f64::NAN)] {
            assert_eq!(kind(draws, &[p]), Err(ErrorKind::Value), "{draws} {p}");
        }
        Ok(())
    }
}
