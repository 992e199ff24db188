//! Gradients of a score wrt the input.
//!
//! Saliency: ∂s/∂x. SmoothGrad: its mean over noisy copies of the sample, (1/n)·Σ ∂s/∂x at x + N(0, σ²), σ a share of the sample's range.
//!
//! # Source
//! Simonyan, Vedaldi & Zisserman 2013, "Deep inside convolutional networks"; Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise";
//! Shrikumar et al. 2017, "Learning important features through propagating activation differences", for gradient × input.

use super::Maps;
use super::score::{Score, batches};
use crate::network::{Inputs, Model, NodeId, View};
use crate::rng::{Purpose, Stream};
use crate::{Error, Result};
use rayon::prelude::*;

/// What is made of the gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gradient {
    /// ∂s/∂x: how the score would change.
    #[default]
    Plain,
    /// |∂s/∂x|: how much.
    Absolute,
    /// x·∂s/∂x: to first order, what the pixel contributes beside a dark one.
    TimesInput,
}

impl Gradient {
    fn apply(self, g: f64, x: f32) -> f32 {
        match self {
            Self::Plain => g as f32,
            Self::Absolute => g.abs() as f32,
            Self::TimesInput => (g * f64::from(x)) as f32,
        }
    }
}

/// The gradient of a score wrt each input, in evaluation mode.
///
/// # Shapes
/// For each input of the network, a map of its extent for each sample.
///
/// # Errors
/// Inputs that do not fit, channels that are not there, nodes on which no input has an influence.
///
/// # Examples
/// ```
/// use kamacite::introspect::{Gradient, Score, saliency};
/// use kamacite::*;
/// let mut net = Network::new(Extent::flat(3));
/// net.push(Dense::new(2).act(Softmax));
/// let mut model = Model::builder(net).build()?;
/// let maps = saliency(&mut model, View::new(Extent::flat(3), &[1.0, 2.0, 3.0])?, &Score::channel(1), Gradient::Plain)?;
/// // Of a linear network the weights, whatever the sample.
/// assert_eq!(f64::from(maps[0].row(0)[2]), model.array("dense1.weight")?[2 * 2 + 1]);
/// # Ok::<(), Error>(())
/// ```
pub fn saliency<'a>(model: &mut Model, x: impl Into<Inputs<'a>>, score: &Score, kind: Gradient) -> Result<Vec<Maps>> {
    let x = x.into();
    let x = x.as_slice();
    let at = score.node(model)?;
    model.tapped(&[at.0], at, |model| {
        let mut maps = vec![Vec::new(); x.len()];
        for rows in batches(x)? {
            let part = x.iter().map(|v| v.part(rows.clone())).collect::<Result<Vec<_>>>()?;
            for ((map, g), x) in maps.iter_mut().zip(gradients(model, at.0, score, rows.start, &part)?).zip(&part) {
                map.extend(g.iter().zip(x.to_vec()).map(|(g, x)| kind.apply(f64::from(*g), x)));
            }
        }
        x.iter().zip(maps).map(|(v, map)| Maps::new(v.extent(), map)).collect()
    })
}

/// How [`smooth_grad`] draws its noisy copies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smooth {
    /// How many copies of each sample.
    pub draws: usize,
    /// The standard deviation of the noise, as a share of the sample's range (its highest value minus its lowest, for each input).
    pub noise: f64,
    /// The noise of draw k of sample i depends on the seed, k and i alone.
    pub seed: u64,
}

impl Default for Smooth {
    fn default() -> Self {
        Self { draws: 25, noise: 0.15, seed: 0 }
    }
}

/// [`saliency`] averaged over noisy copies of each sample: what stays is not the noise of the gradient itself.
///
/// Gradients are averaged with their signs; `kind` is applied to the mean and to the sample without noise.
///
/// # Shapes
/// As [`saliency`].
///
/// # Errors
/// As [`saliency`]; no draws, noise that is negative or not finite.
pub fn smooth_grad<'a>(
    model: &mut Model,
    x: impl Into<Inputs<'a>>,
    score: &Score,
    kind: Gradient,
    smooth: &Smooth,
) -> Result<Vec<Maps>> {
    let x = x.into();
    let x = x.as_slice();
    if smooth.draws == 0 {
        return Err(Error::value("SmoothGrad", "draws").expected("1 or more").got(0));
    }
    if !(smooth.noise.is_finite() && smooth.noise >= 0.0) {
        return Err(Error::value("SmoothGrad", "noise").expected("a finite number >= 0").got(smooth.noise));
    }
    let at = score.node(model)?;
    model.tapped(&[at.0], at, |model| {
        let mut maps = vec![Vec::new(); x.len()];
        for rows in batches(x)? {
            let part = x.iter().map(|v| v.part(rows.clone())).collect::<Result<Vec<_>>>()?;
            let clean: Vec<Vec<f32>> = part.iter().map(View::to_vec).collect();
            let mut sums: Vec<Vec<f64>> = clean.iter().map(|x| vec![0.0; x.len()]).collect();
            for draw in 0..smooth.draws {
                let mut noisy = clean.clone();
                for (input, (x, v)) in noisy.iter_mut().zip(&part).enumerate() {
                    add_noise(x, v.extent().len(), (rows.start, draw, input), smooth);
                }
                let views = noisy.iter().zip(&part).map(|(x, v)| View::new(v.extent(), x)).collect::<Result<Vec<_>>>()?;
                for (sum, g) in sums.iter_mut().zip(gradients(model, at.0, score, rows.start, &views)?) {
                    sum.iter_mut().zip(g).for_each(|(s, g)| *s += f64::from(g));
                }
            }
            for ((map, sum), x) in maps.iter_mut().zip(sums).zip(clean) {
                map.extend(sum.iter().zip(x).map(|(s, x)| kind.apply(s / smooth.draws as f64, x)));
            }
        }
        x.iter().zip(maps).map(|(v, map)| Maps::new(v.extent(), map)).collect()
    })
}

/// Noise for the samples from number `first` on, each from a stream of its own.
fn add_noise(x: &mut [f32], len: usize, (first, draw, input): (usize, usize, usize), smooth: &Smooth) {
    x.par_chunks_exact_mut(len).enumerate().for_each(|(i, x)| {
        let (low, high) = x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
        let sigma = smooth.noise * f64::from(high - low);
        // Samples in the low half, draws and inputs in the high one.
        let index = (first + i) as u64 | (draw as u64) << 32 | (input as u64) << 56;
        let mut r = Stream::new(smooth.seed, Purpose::Noise, index);
        x.iter_mut().for_each(|x| *x += (sigma * r.normal()) as f32);
    });
}

/// The gradients of the scores wrt each input.
fn gradients(model: &mut Model, node: NodeId, score: &Score, first: usize, x: &[View<'_>]) -> Result<Vec<Vec<f32>>> {
    score.differentiate(model, node, first, x)?;
    (0..x.len()).map(|input| model.input_gradient(input).map(|g| g.to_vec())).collect()
}
