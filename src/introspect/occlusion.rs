//! Occlusion: how much a score falls when a window of the input is covered.
//!
//! At each position the mean of s(x) − s(x with the window covered) over the windows that cover it.
//!
//! # Source
//! Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks", ECCV.

use super::Maps;
use super::score::{Score, batch, batches};
use crate::network::{Inputs, Model, NodeId, View};
use crate::{Error, Extent, Mode, Result};

/// How the input is covered.
///
/// # Examples
/// ```
/// use kamacite::introspect::Occlusion;
/// let patches = Occlusion::new([1, 4, 4]).stride([1, 2, 2]).fill(0.0);
/// # let _ = patches;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Occlusion {
    window: [usize; 3],
    stride: [usize; 3],
    fill: Option<f32>,
    input: usize,
}

impl Occlusion {
    /// Windows of this depth, height and width (1 along axes that the input lacks), half a window apart; what they cover takes the sample's
    /// mean of each channel.
    pub fn new(window: [usize; 3]) -> Self {
        Self { window, stride: window.map(|w| (w / 2).max(1)), fill: None, input: 0 }
    }

    /// Distances between windows; the last window along an axis ends at the edge.
    #[must_use]
    pub fn stride(mut self, stride: [usize; 3]) -> Self {
        self.stride = stride;
        self
    }

    /// What is covered takes this value.
    #[must_use]
    pub fn fill(mut self, value: f32) -> Self {
        self.fill = Some(value);
        self
    }

    /// Which input is covered; the first by default.
    #[must_use]
    pub fn input(mut self, index: usize) -> Self {
        self.input = index;
        self
    }

    /// The first corner of every window.
    fn corners(&self, space: [usize; 3]) -> Result<Vec<[usize; 3]>> {
        let mut along: [Vec<usize>; 3] = Default::default();
        for axis in 0..3 {
            let (n, w, s) = (space[axis], self.window[axis], self.stride[axis]);
            if w == 0 || w > n {
                let e = Error::value("occlusion", format!("window along axis {axis} of {space:?}")).expected(format!("1 to {n}"));
                return Err(e.got(w));
            }
            if s == 0 || s > w {
                let e = Error::value("occlusion", format!("stride along axis {axis}")).expected(format!("1 to {w}, the window"));
                return Err(e.got(s).hint("with larger ones, some pixels are never covered"));
            }
            let regular = (0..=n - w).step_by(s);
            along[axis] = regular.chain((!(n - w).is_multiple_of(s)).then_some(n - w)).collect();
        }
        let [d, h, w] = &along;
        Ok(d.iter().flat_map(|&d| h.iter().flat_map(move |&h| w.iter().map(move |&w| [d, h, w]))).collect())
    }
}

/// The offsets of the positions in a window, in pixels.
fn covered(corner: [usize; 3], window: [usize; 3], [_, h, w]: [usize; 3]) -> impl Iterator<Item = usize> {
    let axis = move |k: usize| corner[k]..corner[k] + window[k];
    axis(0).flat_map(move |d| axis(1).flat_map(move |y| axis(2).map(move |x| (d * h + y) * w + x)))
}

/// How much a score falls where the input is covered, by many forward passes in evaluation mode.
///
/// # Shapes
/// For each sample a map (d, h, w, 1), d, h and w those of the covered input.
///
/// # Errors
/// As [`saliency`](super::saliency()); windows that do not fit, strides beyond the window, an input that is not there.
///
/// # Examples
/// ```
/// use kamacite::introspect::{Occlusion, Score, occlusion};
/// use kamacite::*;
/// let mut net = Network::new(Extent::line(6, 1));
/// net.push(Dense::new(1));
/// let mut model = Model::builder(net).build()?;
/// let map = occlusion(&mut model, View::new(Extent::line(6, 1), &[1.0; 6])?, &Score::channel(0), &Occlusion::new([1, 1, 2]).fill(0.0))?;
/// assert_eq!((map.rows(), map.extent()), (1, Extent::line(6, 1)));
/// # Ok::<(), Error>(())
/// ```
pub fn occlusion<'a>(model: &mut Model, x: impl Into<Inputs<'a>>, score: &Score, how: &Occlusion) -> Result<Maps> {
    let x = x.into();
    let x = x.as_slice();
    let Some(target) = x.get(how.input) else {
        return Err(Error::value("occlusion", "input").expected(format!("below {}", x.len())).got(how.input));
    };
    let (extent, rows) = (target.extent(), target.rows());
    let corners = how.corners(extent.space())?;
    batches(x)?;
    let at = score.node(model)?;
    model.tapped(&[at.0], at, |model| {
        let mut values = Vec::with_capacity(rows * extent.area());
        for row in 0..rows {
            let sample = x.iter().map(|v| v.part(row..row + 1).map(|v| v.to_vec())).collect::<Result<Vec<_>>>()?;
            values.extend(one(model, (at.0, score, row), (&sample, x), &corners, how)?);
        }
        Maps::new(extent.with_channels(1), values)
    })
}

/// The map of one sample, given as the values of each input.
fn one(
    model: &mut Model,
    (node, score, row): (NodeId, &Score, usize),
    (sample, views): (&[Vec<f32>], &[View<'_>]),
    corners: &[[usize; 3]],
    how: &Occlusion,
) -> Result<Vec<f32>> {
    let extent = views[how.input].extent();
    let fill = fill(&sample[how.input], extent, how.fill);
    let (mut drops, mut windows) = (vec![0.0_f64; extent.area()], vec![0_u32; extent.area()]);
    let mut whole = None;
    // The sample as it is stands before its covered copies.
    let all: Vec<Option<[usize; 3]>> = [None].into_iter().chain(corners.iter().copied().map(Some)).collect();
    for part in all.chunks(batch(views)) {
        let mut inputs: Vec<Vec<f32>> = sample.iter().map(|x| x.repeat(part.len())).collect();
        for (x, corner) in inputs[how.input].chunks_exact_mut(extent.len()).zip(part) {
            let Some(corner) = corner else { continue };
            covered(*corner, how.window, extent.space()).for_each(|p| x[p * extent.c..(p + 1) * extent.c].copy_from_slice(&fill));
        }
        let batch = inputs.iter().zip(views).map(|(x, v)| View::new(v.extent(), x)).collect::<Result<Vec<_>>>()?;
        model.forward(Mode::Infer, &batch[..])?;
        let scores = score.read_copies(model, node, row)?;
        let whole = *whole.get_or_insert(scores[0]);
        for (corner, s) in part.iter().zip(scores) {
            let Some(corner) = corner else { continue };
            for p in covered(*corner, how.window, extent.space()) {
                drops[p] += whole - s;
                windows[p] += 1;
            }
        }
    }
    Ok(drops.iter().zip(windows).map(|(d, n)| (d / f64::from(n)) as f32).collect())
}

/// The values of a covered position: the one that was asked for, or the mean of each channel.
fn fill(x: &[f32], extent: Extent, value: Option<f32>) -> Vec<f32> {
    let mean = |c: usize| (x.iter().skip(c).step_by(extent.c).map(|v| f64::from(*v)).sum::<f64>() / extent.area() as f64) as f32;
    (0..extent.c).map(|c| value.unwrap_or_else(|| mean(c))).collect()
}
