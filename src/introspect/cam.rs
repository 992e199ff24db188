//! Grad-CAM: where in the feature maps of a node the evidence for a score lies.
//!
//! With A the output of the node, α_k = mean over positions of ∂s/∂A_k; the map is max(0, Σ_k α_k·A_k) at each position.
//!
//! # Source
//! Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks via gradient-based localization", ICCV.

use super::Maps;
use super::score::{Score, batches};
use crate::network::{Inputs, Model, NodeId};
use crate::{Error, Extent, Result};

/// The Grad-CAM maps of the node `at`, a convolution with its activation most often, on the grid of the first input.
///
/// # Shapes
/// For each sample a map (d, h, w, 1), d, h and w those of the first input; linear between the positions of the node.
///
/// # Errors
/// As [`saliency`](super::saliency()); a node without positions: a vector.
///
/// # Examples
/// ```
/// use kamacite::introspect::{Score, grad_cam};
/// use kamacite::*;
/// let mut net = Network::new(Extent::image(8, 8, 1));
/// let conv = net.push(Conv::new(4, 3).pad(1).act(Relu));
/// net.push(Pool::global_average());
/// net.push(Dense::new(2));
/// let mut model = Model::builder(net).build()?;
/// let map = grad_cam(&mut model, View::new(Extent::image(8, 8, 1), &[0.5; 64])?, &Score::channel(0), conv)?;
/// assert_eq!((map.rows(), map.extent()), (1, Extent::image(8, 8, 1)));
/// # Ok::<(), Error>(())
/// ```
pub fn grad_cam<'a>(model: &mut Model, x: impl Into<Inputs<'a>>, score: &Score, at: NodeId) -> Result<Maps> {
    let x = x.into();
    let x = x.as_slice();
    let start = score.node(model)?;
    model.tapped(&[start.0, at], start, |model| {
        let (mut extent, mut values) = (Extent::flat(1), Vec::new());
        for rows in batches(x)? {
            let part = x.iter().map(|v| v.part(rows.clone())).collect::<Result<Vec<_>>>()?;
            score.differentiate(model, start.0, rows.start, &part)?;
            let a = model.node(at)?;
            extent = a.extent();
            if extent.area() == 1 {
                let e = Error::unsupported("Grad-CAM", "a node without positions").got(extent);
                return Err(e.hint("take a convolution before the pooling or the dense layers"));
            }
            let a = a.to_vec();
            let g = model.node_gradient(at)?.to_vec();
            for (a, g) in a.chunks_exact(extent.len()).zip(g.chunks_exact(extent.len())) {
                values.extend(map(a, g, extent));
            }
        }
        let space = x.first().map_or([1; 3], |v| v.extent().space());
        Maps::new(extent.with_channels(1), values)?.resized(space)
    })
}

/// The map of one sample.
fn map(a: &[f32], g: &[f32], extent: Extent) -> Vec<f32> {
    let mut alpha = vec![0.0_f64; extent.c];
    for g in g.chunks_exact(extent.c) {
        alpha.iter_mut().zip(g).for_each(|(s, g)| *s += f64::from(*g));
    }
    let n = extent.area() as f64;
    let weighted = |a: &[f32]| a.iter().zip(&alpha).map(|(a, s)| f64::from(*a) * s / n).sum::<f64>().max(0.0) as f32;
    a.chunks_exact(extent.c).map(weighted).collect()
}
