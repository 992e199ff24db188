//! Pictures of results, in one look: SVG or PNG, as the file's extension says (SVG without one).
//!
//! Series differ in colour, lightness, dash and mark, and colour maps rise evenly in lightness: printed in black and white, every picture can
//! still be read. A file is replaced as a whole. Learning curves come from the monitor [`Plot`](crate::Plot) or from [`history`].

mod axes;
mod bars;
mod colour;
mod confusion;
mod curves;
mod history;
mod png;
mod points;
mod scene;
mod sheet;
mod svg;

pub use axes::Labels;
pub use bars::{bars, histogram};
pub use colour::Colours;
pub use confusion::confusion;
pub use curves::{Curve, lines, reliability, roc, spectrum};
pub use history::history;
pub use points::{boundary, clusters, scatter};
pub use sheet::{Tile, sheet};

pub(crate) use confusion::MAX_CLASSES;
pub(crate) use history::{Epochs, write as write_history};

use crate::monitor::replace;
use crate::{Error, Real, Result};
use scene::Scene;
use std::path::Path;

/// Writes a page in the format of the file's extension.
fn save(path: &Path, scene: &Scene) -> Result<()> {
    let contents = match extension(path)? {
        Format::Svg => svg::svg(scene)?.into_bytes(),
        Format::Png => png::png(scene)?,
    };
    replace(path, &contents)
}

enum Format {
    Svg,
    Png,
}

fn extension(path: &Path) -> Result<Format> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        None | Some("svg") => Ok(Format::Svg),
        Some("png") => Ok(Format::Png),
        Some(other) => {
            Err(Error::unsupported(path.display(), "format of a picture").expected("a name that ends in .svg or .png").got(other))
        }
    }
}

/// The values, which must be finite.
fn finite<T: Real>(place: &str, what: &str, values: &[T]) -> Result<Vec<f64>> {
    match values.iter().position(|v| !v.to_f64().is_finite()) {
        Some(i) => Err(Error::value(place, format!("{what}, value {i}")).expected("a finite number").got(values[i].to_f64())),
        None => Ok(values.iter().map(|v| v.to_f64()).collect()),
    }
}

fn same_length(place: &str, what: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::shape(place, what).expected(format!("{expected}, one for each point")).got(got))
}

fn some(place: &str, what: &str, count: usize) -> Result<()> {
    if count > 0 { Ok(()) } else { Err(Error::shape(place, format!("no {what}"))) }
}

#[cfg(test)]
mod testing;
