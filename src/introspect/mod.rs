//! What a network looks at: filters, activations, saliency, SmoothGrad, Grad-CAM, occlusion maps and Shapley values.
//!
//! The functions take a [`Model`] on any device, with one input or several, of one, two or three axes, and leave it as it was. Each explains
//! a [`Score`]: one channel of an output or of an inner node. The activation of an output is left out (the score of a class is its logit:
//! behind a softmax the gradients of all other classes would enter); an inner node is taken as it is. Samples are independent, and results
//! have the same bits for any number of threads.

mod cam;
mod maps;
mod occlusion;
mod saliency;
mod score;
mod shapley;

pub use cam::grad_cam;
pub use maps::Maps;
pub use occlusion::{Occlusion, occlusion};
pub use saliency::{Gradient, Smooth, saliency, smooth_grad};
pub use score::{Score, scores};
pub use shapley::{Permutations, Shapley, channel_of, shapley};

use crate::network::{Inputs, Model, NodeId, View};
use crate::{Error, Extent, Mode, Result};
use score::batches;

/// The weights of a convolution as small images, or those of a dense layer as maps over what it looks at: one map for each filter or unit.
///
/// # Shapes
/// Convolution: filters × (kd, kh, kw, channels of a group); dense layer: units × the extent of its input.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a node without such weights.
///
/// # Examples
/// ```
/// use kamacite::*;
/// let mut net = Network::new(Extent::image(8, 8, 1));
/// let first = net.push(Conv::new(4, 3));
/// let model = Model::builder(net).build()?;
/// let filters = introspect::filters(&model, first)?;
/// assert_eq!((filters.rows(), filters.extent()), (4, Extent::image(3, 3, 1)));
/// # Ok::<(), Error>(())
/// ```
pub fn filters(model: &Model, node: NodeId) -> Result<Maps> {
    let name = model.network().name_of(node).to_string();
    let weight = format!("{name}.weight");
    let shape = model.arrays().find(|(n, _)| *n == weight).map(|(_, shape)| shape.to_vec());
    let (extent, count) = match shape.as_deref() {
        Some(&[d, h, w, c, filters]) => (Extent { d, h, w, c }, filters),
        Some(&[inputs, units]) => (model.input_of(node).filter(|e| e.len() == inputs).unwrap_or(Extent::flat(inputs)), units),
        _ => return Err(Error::unsupported("filters", "a node whose weights are no filters").got(name)),
    };
    let w = model.array(&weight)?;
    // Filters are contiguous in memory; a map is one of them.
    let values = (0..count).flat_map(|f| w.iter().skip(f).step_by(count).map(|w| *w as f32)).collect();
    Maps::new(extent, values)
}

/// What a node yields for each sample, in evaluation mode: the feature maps of a convolution.
///
/// # Errors
/// Inputs that do not fit.
///
/// # Examples
/// ```
/// use kamacite::*;
/// let mut net = Network::new(Extent::image(8, 8, 1));
/// let first = net.push(Conv::new(4, 3).act(Relu));
/// net.push(Dense::new(2));
/// let mut model = Model::builder(net).build()?;
/// let maps = introspect::activations(&mut model, View::new(Extent::image(8, 8, 1), &[0.5; 64])?, first)?;
/// assert_eq!((maps.rows(), maps.extent()), (1, Extent::image(6, 6, 4)));
/// # Ok::<(), Error>(())
/// ```
pub fn activations<'a>(model: &mut Model, x: impl Into<Inputs<'a>>, node: NodeId) -> Result<Maps> {
    let x = x.into();
    let x = x.as_slice();
    model.tapped(&[node], (node, false), |model| {
        let (mut extent, mut values) = (Extent::flat(1), Vec::new());
        for rows in batches(x)? {
            let part = x.iter().map(|v| v.part(rows.clone())).collect::<Result<Vec<View<'_>>>>()?;
            model.forward(Mode::Infer, &part[..])?;
            let y = model.node(node)?;
            extent = y.extent();
            values.extend(y.to_vec());
        }
        Maps::new(extent, values)
    })
}

#[cfg(test)]
mod tests;
