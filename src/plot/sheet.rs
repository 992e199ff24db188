//! Sheets of images: filters, activations, saliency maps, stamps.

use super::colour::{Colours, INK, Rgb};
use super::scene::{Anchor, Frame, Pixels, Scene, Stroke, width};
use super::{finite, save, some};
use crate::{Error, Real, Result};
use std::path::Path;

/// An image of a [`sheet`] with its caption.
#[derive(Clone, Debug)]
pub struct Tile {
    caption: String,
    rows: usize,
    columns: usize,
    values: Vec<f64>,
    bands: usize,
    colours: Colours,
    range: Option<(f64, f64)>,
    circle: Option<(f64, f64, f64)>,
    upwards: bool,
}

impl Tile {
    /// An image of `rows` by `columns` values; its lowest value is the darkest.
    pub fn new<T: Real>(caption: impl Into<String>, rows: usize, columns: usize, values: &[T]) -> Self {
        let values = values.iter().map(|v| v.to_f64()).collect();
        let (colours, range, circle) = (Colours::default(), None, None);
        Self { caption: caption.into(), rows, columns, values, bands: 1, colours, range, circle, upwards: false }
    }

    /// An image in true colours: red, green and blue of each pixel, of the same range.
    pub fn rgb<T: Real>(caption: impl Into<String>, rows: usize, columns: usize, values: &[T]) -> Self {
        Self { bands: 3, ..Self::new(caption, rows, columns, values) }
    }

    /// The colours of the values.
    #[must_use]
    pub fn colours(self, colours: Colours) -> Self {
        Self { colours, ..self }
    }

    /// The values of the darkest and the lightest colour, instead of the lowest and the highest.
    #[must_use]
    pub fn range(self, low: f64, high: f64) -> Self {
        Self { range: Some((low, high)), ..self }
    }

    /// A circle around (row, column), both from 0, of this radius in pixels of the image.
    #[must_use]
    pub fn circle(self, row: f64, column: f64, radius: f64) -> Self {
        Self { circle: Some((row, column, radius)), ..self }
    }

    /// The first row below, as in FITS images.
    #[must_use]
    pub fn upwards(self) -> Self {
        Self { upwards: true, ..self }
    }

    fn check(&self) -> Result<()> {
        let place = format!("tile {:?}", self.caption);
        some(&place, "pixels", self.values.len())?;
        let expected = self.rows.checked_mul(self.columns).and_then(|n| n.checked_mul(self.bands));
        if expected != Some(self.values.len()) {
            let size = format!("{} x {} x {}", self.rows, self.columns, self.bands);
            return Err(Error::shape(place, "number of values").expected(size).got(self.values.len()));
        }
        finite(&place, "pixels", &self.values)?;
        let odd = self.range.filter(|(low, high)| !(low.is_finite() && high.is_finite() && low < high));
        if let Some((low, high)) = odd {
            return Err(Error::value(place, "range").expected("a finite one, from low to high").got(format!("{low} to {high}")));
        }
        let odd = self.circle.filter(|(y, x, r)| !(y.is_finite() && x.is_finite() && r.is_finite()));
        if odd.is_some() {
            return Err(Error::value(place, "circle").expected("finite numbers").got(format!("{:?}", self.circle)));
        }
        Ok(())
    }

    /// The values from 0 to 1 in their range.
    fn scaled(&self) -> impl Fn(f64) -> f64 {
        let ends = self.values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
        let (low, high) = self.range.unwrap_or(ends);
        let (low, high) = if self.colours == Colours::Signed && self.bands == 1 {
            let most = low.abs().max(high.abs());
            (-most, most)
        } else {
            (low, high)
        };
        // A flat image is of medium brightness.
        move |v| if high > low { (v - low) / (high - low) } else { 0.5 }
    }

    /// At most two pixels of the file for each pixel of the page: more are averaged in square blocks.
    fn pixels(&self, side: f64) -> Pixels {
        let block = (self.rows.max(self.columns) as f64 / (2.0 * side)).ceil().max(1.0) as usize;
        let (rows, columns) = (self.rows.div_ceil(block), self.columns.div_ceil(block));
        let scaled = self.scaled();
        let mean = |row: usize, column: usize, band: usize| {
            let (mut sum, mut count) = (0.0, 0.0);
            for y in row * block..((row + 1) * block).min(self.rows) {
                for x in column * block..((column + 1) * block).min(self.columns) {
                    sum += self.values[(y * self.columns + x) * self.bands + band];
                    count += 1.0;
                }
            }
            scaled(sum / count)
        };
        let mut rgba = Vec::with_capacity(4 * rows * columns);
        for row in 0..rows {
            let row = if self.upwards { rows - 1 - row } else { row };
            for column in 0..columns {
                let Rgb(r, g, b) = if self.bands == 3 {
                    let [r, g, b] = [0, 1, 2].map(|band| (255.0 * mean(row, column, band).clamp(0.0, 1.0)).round() as u8);
                    Rgb(r, g, b)
                } else {
                    self.colours.at(mean(row, column, 0))
                };
                rgba.extend([r, g, b, 255]);
            }
        }
        Pixels { columns, rows, rgba }
    }
}

/// The most tiles of a sheet.
const MAX_TILES: usize = 400;
const GAP: f64 = 10.0;
const CAPTION: f64 = 12.0;

/// Draws images side by side, `columns` of them in a row, each with its caption above.
///
/// # Errors
/// No tiles or more than 400, no columns, numbers of values that do not fit, values that are not finite, a file that cannot be written.
///
/// # Examples
/// ```
/// use kamacite::plot::{Colours, Tile, sheet};
/// let file = tempfile::NamedTempFile::with_suffix(".png").unwrap();
/// let filter = Tile::new("filter 1", 2, 2, &[0.1_f32, -0.2, 0.3, 0.0]).colours(Colours::Signed);
/// sheet(file.path(), 4, &[filter])?;
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn sheet(path: impl AsRef<Path>, columns: usize, tiles: &[Tile]) -> Result<()> {
    const PLACE: &str = "sheet of images";
    some(PLACE, "tiles", tiles.len())?;
    if tiles.len() > MAX_TILES {
        return Err(Error::unsupported(PLACE, "tiles").expected(format!("up to {MAX_TILES}")).got(tiles.len()));
    }
    if columns == 0 {
        return Err(Error::value(PLACE, "columns").expected("1 or more").got(columns));
    }
    tiles.iter().try_for_each(Tile::check)?;
    let columns = columns.min(tiles.len());
    let side = (900.0 / columns as f64 - GAP).clamp(60.0, 220.0);
    let tallest = |row: &[Tile]| row.iter().map(|t| size(t, side).1).fold(0.0, f64::max);
    let high: f64 = tiles.chunks(columns).map(|row| tallest(row) + CAPTION + 2.0 * GAP).sum();
    let mut scene = Scene::new(columns as f64 * (side + GAP) + GAP, high + GAP);
    let mut top = GAP;
    for row in tiles.chunks(columns) {
        for (i, tile) in row.iter().enumerate() {
            let (w, h) = size(tile, side);
            let x = GAP + i as f64 * (side + GAP) + (side - w) / 2.0;
            let frame = Frame { x, y: top + CAPTION + GAP / 2.0, w, h };
            scene.text((x + w / 2.0, top + CAPTION / 2.0), CAPTION, fitted(&tile.caption, side + GAP - 2.0), Anchor::Middle);
            scene.image(frame, tile.pixels(side));
            scene.outline(frame, Stroke { width: 0.6, colour: INK, dash: &[] });
            if let Some(circle) = tile.circle {
                ring(&mut scene, frame, tile, circle);
            }
        }
        top += tallest(row) + CAPTION + 2.0 * GAP;
    }
    save(path.as_ref(), &scene)
}

/// Width and height on the page: pixels stay square, but nothing gets thinner than a sixth of the longer side.
fn size(tile: &Tile, side: f64) -> (f64, f64) {
    let most = tile.rows.max(tile.columns) as f64;
    let long = |n: usize| side * (n as f64 / most).max(1.0 / 6.0);
    (long(tile.columns), long(tile.rows))
}

/// White on black, to be seen on any image.
fn ring(scene: &mut Scene, f: Frame, tile: &Tile, (row, column, radius): (f64, f64, f64)) {
    let (sx, sy) = (f.w / tile.columns as f64, f.h / tile.rows as f64);
    let y = (row + 0.5) * sy;
    let (x, y) = (f.x + (column + 0.5) * sx, if tile.upwards { f.y + f.h - y } else { f.y + y });
    let around = |r: f64| {
        (0..=48)
            .map(move |k| f64::from(k) / 48.0 * std::f64::consts::TAU)
            .map(move |a| (x + r * sx * a.cos(), y + r * sy * a.sin()))
    };
    for (colour, width) in [(INK, 3.0), (Rgb(255, 255, 255), 1.4)] {
        scene.line(around(radius), Stroke { colour, width, dash: &[] });
    }
}

/// A caption that is not wider than this.
fn fitted(caption: &str, wide: f64) -> String {
    if width(caption, CAPTION) <= wide {
        return caption.to_string();
    }
    let fits = |n: usize| {
        let text: String = caption.chars().take(n).chain(['…']).collect();
        (width(&text, CAPTION) <= wide).then_some(text)
    };
    (0..caption.chars().count()).rev().find_map(fits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{drawn, numbers, painted};
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn every_pixel_lies_in_its_place() {
        let values = [0.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0];
        let tiles = [
            Tile::new("a", 2, 3, &values).colours(Colours::Grey),
            Tile::new("b", 2, 3, &values).colours(Colours::Grey).upwards().range(0.0, 10.0),
            Tile::rgb("c", 1, 2, &[0.0_f32, 0.5, 1.0, 1.0, 0.5, 0.0]),
        ];
        let (width, pixels) = painted(|p| sheet(p, 2, &tiles));
        // Tiles of 220 pixels: 3 columns of 73.3 each; captions and gaps take 27 above.
        let at = |tile: usize, column: f64, row: f64, of: (f64, f64)| {
            let (x0, y0) = (10.0 + 230.0 * (tile % 2) as f64, 27.0 + (146.67 + 32.0) * (tile / 2) as f64);
            let (x, y) = (x0 + (column + 0.5) * 220.0 / of.0, y0 + (row + 0.5) * 220.0 / of.1);
            pixels[(2.0 * y) as usize * width + (2.0 * x) as usize]
        };
        let grey = |t: f64| [Colours::Grey.at(t).0; 3];
        for k in 0..6 {
            let (column, row) = (f64::from(k % 3), f64::from(k / 3));
            assert_eq!(at(0, column, row, (3.0, 3.0)), grey(f64::from(k) / 5.0), "{k}");
            assert_eq!(at(1, column, 1.0 - row, (3.0, 3.0)), grey(f64::from(k) / 10.0), "{k}");
        }
        assert_eq!([at(2, 0.0, 0.0, (2.0, 2.0)), at(2, 1.0, 0.0, (2.0, 2.0))], [[0, 128, 255], [255, 128, 0]]);
    }

    #[test]
    fn large_images_are_averaged_and_long_ones_stay_visible() {
        let values: Vec<f32> = (0..2000 * 1000).map(|i| ((i / 1000 + i % 1000) % 2) as f32).collect();
        let svg = drawn(|p| sheet(p, 1, &[Tile::new("chess", 2000, 1000, &values).range(0.0, 1.0)]));
        assert!(svg.len() < 20_000, "{}", svg.len());
        let svg = drawn(|p| {
            sheet(
                p,
                9,
                &[Tile::new("a spectrum with a very long name indeed, longer than it", 1, 600, &[0.0_f32; 600])
                    .circle(0.0, 0.0, 2.0)],
            )
        });
        let (w, h) = (numbers(&svg, "image", "width", ""), numbers(&svg, "image", "height", ""));
        assert!((w[0] / h[0] - 6.0).abs() < 0.01 && svg.contains("…<"));
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let kind = |columns, tiles: &[Tile]| sheet("a.svg", columns, tiles).map_err(|e| e.kind());
        let tile = Tile::new("t", 1, 2, &[0.0_f32, 1.0]);
        assert_eq!(kind(1, &[]), Err(ErrorKind::Shape));
        assert_eq!(kind(0, std::slice::from_ref(&tile)), Err(ErrorKind::Value));
        assert_eq!(kind(1, &[tile.clone().range(1.0, 1.0)]), Err(ErrorKind::Value));
        assert_eq!(kind(1, &[tile.clone().circle(f64::NAN, 0.0, 1.0)]), Err(ErrorKind::Value));
        assert_eq!(kind(1, &[Tile::new("t", 2, 2, &[0.0_f32, 1.0])]), Err(ErrorKind::Shape));
        assert_eq!(kind(1, &[Tile::new("t", usize::MAX, 2, &[0.0_f32, 1.0])]), Err(ErrorKind::Shape));
        assert_eq!(kind(1, &[Tile::new("t", 0, 2, &[0.0_f32; 0])]), Err(ErrorKind::Shape));
        assert_eq!(kind(1, &[Tile::new("t", 1, 2, &[0.0_f32, f32::NAN])]), Err(ErrorKind::Value));
        assert_eq!(kind(1, &vec![tile; MAX_TILES + 1]), Err(ErrorKind::Unsupported));
    }
}
