//! Points without a pattern: 100 normal numbers, and one of five classes by lot.

use super::generate;
use kamacite::data::Samples;
use kamacite::{Extent, Result};

/// `n` points with their lots.
///
/// # Errors
/// No points.
pub fn random_labels(n: usize, seed: u64) -> Result<Samples> {
    let extent = Extent::flat(100);
    let (x, t) = generate(n, extent, seed, |_, r, x| {
        x.iter_mut().for_each(|x| *x = r.normal() as f32);
        r.below(5) as u32
    });
    Samples::new(extent, x)?.with_classes(t, 5)
}
