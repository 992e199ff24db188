//! What the spectra exercises are given: 3753 pixels of stars of seven classes, O B A F G K M.
// Each exercise uses a part.
#![allow(dead_code)]

use kamacite::data::{Samples, TableReader, split, synth};
use kamacite::metrics::predicted;
use kamacite::{Extent, Result};
use std::path::Path;

pub const PIXELS: usize = 3753;
pub const CLASSES: usize = 7;
pub const SPECTRA: usize = 1115;
pub const TRAIN: usize = 915;
pub const NAMES: [&str; CLASSES] = ["O", "B", "A", "F", "G", "K", "M"];

/// `folder/train.dat` with the classes of `folder/target.dat`; where train.dat is missing, spectra are made for these classes.
pub fn read(folder: Option<&Path>) -> Result<Samples> {
    let label = classes(folder)?;
    let Some(path) = folder.map(|f| f.join("train.dat")).filter(|p| p.exists()) else {
        return Ok(synth::spectra(&label, 1)?.with_class_names(NAMES));
    };
    let table = TableReader::new().read(path)?;
    // Columns of a table are channels, pixels lie side by side.
    Ok(table.reshaped(Extent::line(PIXELS, 1))?.with_classes(label, CLASSES)?.with_class_names(NAMES))
}

/// Those of `folder/target.dat` (one-hot rows); without a folder as many of each as there, in random order.
fn classes(folder: Option<&Path>) -> Result<Vec<u32>> {
    const COUNT: [usize; CLASSES] = [12, 134, 109, 192, 300, 327, 41];
    if let Some(folder) = folder {
        let one_hot = TableReader::new().read(folder.join("target.dat"))?;
        return predicted(one_hot.x(0), CLASSES);
    }
    let sorted: Vec<u32> = (0..CLASSES).flat_map(|c| vec![c as u32; COUNT[c]]).collect();
    Ok(split::shuffled(SPECTRA, 1).into_iter().map(|i| sorted[i]).collect())
}

/// The first cap\[c\] samples of each class c.
pub fn rebalance(samples: &Samples, cap: &[usize; CLASSES]) -> Result<Samples> {
    samples.subset(&split::rebalance(samples.labels(0).unwrap_or_default(), cap)?)
}
