//! Images larger than a network: tiles that overlap, and predictions put together without seams, band by band.
//!
//! A [`Mosaic`] cuts an image or cube into tiles of one size. Along each axis tile k begins at k·(tile − overlap); the last one is moved back to
//! end with the image, so that every tile lies inside. An image smaller than a tile is continued by its outermost pixels. Where tiles
//! overlap, the prediction is the mean Σ wₖ yₖ with weights that rise linearly across the overlap and sum to one; the outermost
//! [`margin`](Mosaic::margin) pixels of a tile, where a network sees its own padding instead of the image, weigh nothing except at
//! the edge of the image. With a margin as wide as the network's reach, the result is that of the whole image at once, up to rounding.
//!
//! One row of tiles is in memory at a time.
//!
//! # Source
//! Ronneberger, Fischer & Brox 2015, "U-Net", MICCAI, section 2 (the overlap-tile strategy).

use super::file;
use crate::{Error, Extent, Mode, Model, Result, View};
use std::ops::Range;

/// A box in an image: ranges of (d, h, w).
pub type Place = [Range<usize>; 3];

/// How an image is cut into tiles.
///
/// # Examples
/// ```
/// use kamacite::data::mosaic::Mosaic;
/// use kamacite::*;
/// let mut net = Network::new(Extent::image(16, 16, 1));
/// net.push(Conv::new(1, 3).pad(1));
/// let mut model = Model::builder(net).seed(1).build()?;
/// let (image, mut out) = (vec![1.0; 40 * 50], vec![0.0; 40 * 50]);
/// let rows = |place: &data::mosaic::Place| place[1].clone().flat_map(|y| place[2].clone().map(move |x| y * 50 + x)).collect::<Vec<_>>();
/// let mosaic = Mosaic::new(Extent::image(16, 16, 1), 4).margin(1);
/// mosaic.predict(
///     &mut model,
///     [1, 40, 50],
///     |place, x| Ok(x.iter_mut().zip(rows(place)).for_each(|(x, i)| *x = image[i])),
///     |_tile| Ok(()),
///     |place, y| Ok(rows(place).iter().zip(y).for_each(|(&i, y)| out[i] = *y)),
/// )?;
/// let whole = model.forward(Mode::Infer, View::new(Extent::image(40, 50, 1), &image)?)?;
/// assert!(whole.row(0)?.iter().zip(&out).all(|(a, b)| (a - b).abs() < 1e-5));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Mosaic {
    tile: Extent,
    overlap: usize,
    margin: usize,
    batch: usize,
}

impl Mosaic {
    /// Tiles of this extent (the network's input, or any other size that it takes) which share `overlap` pixels with their neighbours, along
    /// each axis on which the tile is longer than 1.
    pub fn new(tile: Extent, overlap: usize) -> Self {
        Self { tile, overlap, margin: 0, batch: 1 }
    }

    /// Leaves out this many pixels along each inner edge of a tile, at most half of the overlap: as many as the network reaches to one side,
    /// for example 1 for each convolution of 3 before any pooling.
    #[must_use]
    pub fn margin(mut self, pixels: usize) -> Self {
        self.margin = pixels;
        self
    }

    /// Runs this many tiles at once; 1 at first.
    #[must_use]
    pub fn batch(mut self, tiles: usize) -> Self {
        self.batch = tiles.max(1);
        self
    }

    /// The tiles of an image of this size (d, h, w), row after row. They lie inside of it: one of an image that is smaller than a tile is as small.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for sizes of zero, an overlap that is no smaller than the tile, and a margin wider than half the
    /// overlap.
    pub fn tiles(&self, size: [usize; 3]) -> Result<impl Iterator<Item = Place> + use<>> {
        let [d, h, w] = self.axes(size, [Ratio::ONE; 3])?;
        let place = move |i: usize| {
            let (k, j, i) = (i / (h.count() * w.count()), i / w.count() % h.count(), i % w.count());
            [d.inside(k), h.inside(j), w.inside(i)]
        };
        let count = self.axes(size, [Ratio::ONE; 3])?.iter().map(Axis::count).product::<usize>();
        Ok((0..count).map(place))
    }

    /// Runs a model over an image of any size. `read` fills the pixels of a place (d, h, w, channels), `prepare` may change a whole tile before the
    /// network sees it, and `write` gets the finished predictions, place after place without gaps.
    ///
    /// The network may keep the size of a tile, or change it along each axis by a whole factor, up or down; an image whose size no such
    /// factor divides is rounded up. Returns the extent of all predictions.
    ///
    /// # Errors
    /// As [`Mosaic::tiles`], for a network that changes the size otherwise, and those of the functions.
    pub fn predict(
        &self,
        model: &mut Model,
        size: [usize; 3],
        mut read: impl FnMut(&Place, &mut [f32]) -> Result<()>,
        mut prepare: impl FnMut(&mut [f32]) -> Result<()>,
        mut write: impl FnMut(&Place, &[f32]) -> Result<()>,
    ) -> Result<Extent> {
        let (ratios, channels) = self.probe(model)?;
        let axes = self.axes(size, ratios)?;
        let out = Extent { d: axes[0].out, h: axes[1].out, w: axes[2].out, c: channels }.check().map_err(|e| e.at("mosaic"))?;
        let mut band = Band::new(&axes, channels)?;
        let mut tiles = file::reserve("mosaic", self.batch.saturating_mul(self.tile.len()))?;
        let mut waiting = Vec::with_capacity(self.batch);
        for row in 0..axes[band.axis].count() {
            let places = band.places(&axes, row);
            for (n, place) in places.iter().enumerate() {
                let start = tiles.len();
                tiles.resize(start + self.tile.len(), 0.0);
                self.read(&axes, *place, &mut read, &mut tiles[start..])?;
                prepare(&mut tiles[start..])?;
                waiting.push(*place);
                if waiting.len() == self.batch || n + 1 == places.len() {
                    model.forward(Mode::Infer, View::new(self.tile, &tiles)?)?;
                    let y = model.predict()?;
                    for (i, place) in waiting.iter().enumerate() {
                        band.add(&axes, *place, y.row(i)?);
                    }
                    tiles.clear();
                    waiting.clear();
                }
            }
            band.flush(&axes, row, &mut write)?;
        }
        Ok(out)
    }

    /// What the network makes of a tile: the factor on each axis, and the channels.
    fn probe(&self, model: &mut Model) -> Result<([Ratio; 3], usize)> {
        self.tile.check().map_err(|e| e.at("mosaic"))?;
        let zeros = vec![0.0; self.tile.len()];
        model.forward(Mode::Infer, View::new(self.tile, &zeros)?)?;
        let y = model.predict()?.extent();
        let mut ratios = [Ratio::ONE; 3];
        for ((ratio, a), b) in ratios.iter_mut().zip(self.tile.space()).zip(y.space()) {
            *ratio = match (a, b) {
                (a, b) if b % a == 0 => Ratio { up: b / a, down: 1 },
                (a, b) if a % b == 0 => Ratio { up: 1, down: a / b },
                _ => {
                    let e = Error::shape("mosaic", "the network changes the size of a tile by no whole factor");
                    let e = e.expected(format!("{}, or a multiple or a fraction of it on each axis", self.tile)).got(y);
                    return Err(e.hint("use tiles whose sizes the pooling divides, and padded convolutions"));
                }
            };
        }
        Ok((ratios, y.c))
    }

    fn axes(&self, size: [usize; 3], ratios: [Ratio; 3]) -> Result<[Axis; 3]> {
        let extent = Extent { d: size[0], h: size[1], w: size[2], c: self.tile.c };
        if size.contains(&0) || self.tile.is_empty() || size.iter().any(|&n| n > 1 << 40) {
            let e = Error::shape("mosaic", "a size is zero or too large").expected("at least 1 in each of d, h, w, c");
            return Err(e.got(format!("an image of {extent}, tiles of {}", self.tile)));
        }
        if 2 * self.margin > self.overlap {
            let e = Error::shape("mosaic", "the margin leaves gaps between tiles")
                .expected(format!("at most half of the overlap, {}", self.overlap));
            return Err(e.got(self.margin).hint("raise the overlap"));
        }
        let mut axes = [Axis::default(), Axis::default(), Axis::default()];
        for (axis, ((size, tile), ratio)) in axes.iter_mut().zip(size.into_iter().zip(self.tile.space()).zip(ratios)) {
            let overlap = if tile > 1 { self.overlap } else { 0 };
            if overlap >= tile {
                let e = Error::shape("mosaic", "the overlap is no smaller than the tile").expected(format!("less than {tile}"));
                return Err(e.got(overlap).hint("use larger tiles"));
            }
            *axis = Axis::new(size, tile, (overlap, if tile > 1 { self.margin } else { 0 }), ratio);
        }
        Ok(axes)
    }

    /// Fills a tile, beyond the edge with the outermost pixels.
    fn read(
        &self,
        axes: &[Axis; 3],
        place: [usize; 3],
        read: &mut impl FnMut(&Place, &mut [f32]) -> Result<()>,
        out: &mut [f32],
    ) -> Result<()> {
        let inside: Place = [axes[0].inside(place[0]), axes[1].inside(place[1]), axes[2].inside(place[2])];
        let [d, h, w] = [inside[0].len(), inside[1].len(), inside[2].len()];
        let (c, [td, th, tw]) = (self.tile.c, self.tile.space());
        let len = d * h * w * c;
        if len == out.len() {
            return read(&inside, out);
        }
        let mut part = file::reserve("mosaic", len)?;
        part.resize(len, 0.0);
        read(&inside, &mut part)?;
        let rows = (0..td).flat_map(|k| (0..th).map(move |j| (k.min(d - 1) * h + j.min(h - 1)) * w));
        for (row, out) in rows.zip(out.chunks_exact_mut(tw * c)) {
            for (i, out) in out.chunks_exact_mut(c).enumerate() {
                let from = (row + i.min(w - 1)) * c;
                out.copy_from_slice(&part[from..from + c]);
            }
        }
        Ok(())
    }
}

/// Pixels of the prediction for pixels of the image.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ratio {
    up: usize,
    down: usize,
}

impl Ratio {
    const ONE: Self = Self { up: 1, down: 1 };

    fn of(self, n: usize) -> usize {
        n * self.up / self.down
    }
}

/// One axis of a mosaic: where tiles begin, and what their predictions weigh.
#[derive(Clone, Debug, Default, PartialEq)]
struct Axis {
    size: usize,
    tile: usize,
    /// Where tiles begin in the image.
    starts: Vec<usize>,
    /// Size of the whole prediction.
    out: usize,
    /// Where tiles begin in the prediction, and the weight of each of their pixels.
    weights: Vec<(usize, Vec<f32>)>,
}

impl Axis {
    fn new(size: usize, tile: usize, (overlap, margin): (usize, usize), ratio: Ratio) -> Self {
        let padded = size.next_multiple_of(ratio.down).max(tile);
        let step = ((tile - overlap) / ratio.down * ratio.down).max(ratio.down);
        let mut starts: Vec<usize> = (0..).map(|k| k * step).take_while(|start| start + tile < padded).collect();
        starts.push(padded - tile);
        let out = ratio.of(size.next_multiple_of(ratio.down));
        let scale = ratio.up as f64 / ratio.down as f64;
        // A pixel of the prediction that touches the margin counts as in it.
        let (overlap, margin) = (overlap as f64 * scale, (margin as f64 * scale).ceil());
        let ramp = (overlap - 2.0 * margin).max(1.0);
        let len = ratio.of(tile);
        // From the edge of the tile inwards: nothing within the margin, then up to 1.
        let rise = |from: f64| ((from - margin) / ramp).clamp(0.0, 1.0);
        let raw = |start: usize, p: usize| {
            let center = p as f64 + 0.5;
            let left = if start == 0 { 1.0 } else { rise(center) };
            let right = if start + tile == padded { 1.0 } else { rise(len as f64 - center) };
            left.min(right)
        };
        let mut sums = vec![(0.0, 0.0); ratio.of(padded)];
        for &start in &starts {
            for (p, sum) in sums[ratio.of(start)..][..len].iter_mut().enumerate() {
                *sum = (sum.0 + raw(start, p), sum.1 + 1.0);
            }
        }
        let weight = |start: usize, p: usize| match sums[ratio.of(start) + p] {
            // Margins that meet, rounded up, leave nothing: then all tiles count alike.
            (0.0, count) => (1.0 / count) as f32,
            (sum, _) => (raw(start, p) / sum) as f32,
        };
        let weights = |&start: &usize| (ratio.of(start), (0..len).map(|p| weight(start, p)).collect());
        Self { size, tile, weights: starts.iter().map(weights).collect(), starts, out }
    }

    fn count(&self) -> usize {
        self.starts.len()
    }

    /// What a tile covers of the image.
    fn inside(&self, k: usize) -> Range<usize> {
        self.starts[k]..(self.starts[k] + self.tile).min(self.size)
    }
}

/// The predictions of one row of tiles, which the next row adds to.
struct Band {
    /// The axis that rows follow: the slowest one of more than one pixel.
    axis: usize,
    /// Its first row in the prediction.
    start: usize,
    /// Sizes, channels last.
    shape: [usize; 4],
    sums: Vec<f32>,
}

impl Band {
    fn new(axes: &[Axis; 3], channels: usize) -> Result<Self> {
        let axis = usize::from(axes[0].out == 1);
        let mut shape = [axes[0].out, axes[1].out, axes[2].out, channels];
        shape[axis] = axes[axis].weights[0].1.len().min(axes[axis].out);
        let len = file::product("mosaic", shape)?;
        let mut sums = file::reserve("mosaic", len)?;
        sums.resize(len, 0.0);
        Ok(Self { axis, start: 0, shape, sums })
    }

    /// The tiles of a row.
    fn places(&self, axes: &[Axis; 3], row: usize) -> Vec<[usize; 3]> {
        let all = |a: usize| if a == self.axis { row..row + 1 } else { 0..axes[a].count() };
        let mut places = Vec::new();
        for k in all(0) {
            for j in all(1) {
                places.extend(all(2).map(|i| [k, j, i]));
            }
        }
        places
    }

    /// Adds what the network made of a tile.
    fn add(&mut self, axes: &[Axis; 3], place: [usize; 3], y: &[f32]) {
        let [d, h, w] = [0, 1, 2].map(|a| &axes[a].weights[place[a]]);
        let [_, sh, sw, c] = self.shape;
        let first = |a: usize, at: usize| if a == self.axis { at - self.start } else { at };
        let limit = [0, 1, 2].map(|a| axes[a].out);
        for (k, wd) in d.1.iter().enumerate().take(limit[0] - d.0) {
            for (j, wh) in h.1.iter().enumerate().take(limit[1] - h.0) {
                let row = ((first(0, d.0) + k) * sh + first(1, h.0) + j) * sw;
                let from = (k * h.1.len() + j) * w.1.len() * c;
                let sums = self.sums[(row + w.0) * c..(row + sw) * c].chunks_exact_mut(c);
                for ((sums, y), ww) in sums.zip(y[from..].chunks_exact(c)).zip(&w.1) {
                    let weight = wd * wh * ww;
                    // What weighs nothing may be anything, also NaN.
                    if weight > 0.0 {
                        sums.iter_mut().zip(y).for_each(|(s, y)| *s += weight * y);
                    }
                }
            }
        }
    }

    /// Writes what no later row adds to, and moves on.
    fn flush(&mut self, axes: &[Axis; 3], row: usize, write: &mut impl FnMut(&Place, &[f32]) -> Result<()>) -> Result<()> {
        let axis = &axes[self.axis];
        let next = axis.weights.get(row + 1).map_or(axis.out, |w| w.0);
        let mut place: Place = [0..axes[0].out, 0..axes[1].out, 0..axes[2].out];
        place[self.axis] = self.start..next;
        let done = (next - self.start) * self.sums.len() / self.shape[self.axis];
        write(&place, &self.sums[..done])?;
        self.sums.copy_within(done.., 0);
        let kept = self.sums.len() - done;
        self.sums[kept..].fill(0.0);
        self.start = next;
        Ok(())
    }
}

#[cfg(feature = "fits")]
mod in_fits {
    use super::*;
    use crate::data::Missing;
    use crate::data::fits::{Cards, Image, Writer};
    use std::path::Path;

    impl Mosaic {
        /// Runs a model of one input channel over an image or cube, and writes one file with its world coordinates (scaled, where the network changes
        /// the size), and `cards`. Several output channels are planes of one more, slowest axis. The policy for missing values
        /// applies tile by tile.
        ///
        /// # Errors
        /// As [`Mosaic::predict`], [`Image::section`] and [`Writer`].
        pub fn predict_fits(
            &self,
            model: &mut Model,
            (image, missing): (&Image, Missing),
            prepare: impl FnMut(&mut [f32]) -> Result<()>,
            path: impl AsRef<Path>,
            cards: Cards,
        ) -> Result<()> {
            if self.tile.c != 1 {
                let e = Error::shape("mosaic", "a FITS image has one channel").expected("tiles of 1 channel").got(self.tile);
                return Err(e.hint("call `predict` with a function that reads several images"));
            }
            let extent = image.extent()?;
            // The axes of the file that d, h and w are; others are of size 1.
            let mut long = (0..image.shape().len()).rev().filter(|&i| image.shape()[i] > 1);
            let mut axes = [long.next(), long.next(), long.next()];
            axes.reverse();
            let ranges = |place: &Place, more: Option<usize>| {
                let mut ranges = vec![0..1; image.shape().len()];
                place.iter().zip(axes).for_each(|(p, axis)| axis.into_iter().for_each(|a| ranges[a] = p.clone()));
                more.into_iter().map(|c| c..c + 1).chain(ranges).collect::<Vec<_>>()
            };
            let (ratios, channels) = self.probe(model)?;
            let out = self.axes(extent.space(), ratios)?;
            let mut shape: Vec<usize> = if channels > 1 { vec![channels] } else { vec![] };
            shape.extend(vec![1; image.shape().len()]);
            let mut factors = vec![1.0; image.shape().len()];
            for ((axis, out), ratio) in axes.iter().zip(&out).zip(ratios) {
                match axis {
                    Some(a) => {
                        shape[a + usize::from(channels > 1)] = out.out;
                        factors[image.shape().len() - 1 - a] = ratio.up as f64 / ratio.down as f64;
                    }
                    None if out.out > 1 => {
                        let e = Error::shape("mosaic", "the network adds an axis")
                            .expected(extent)
                            .got(format!("{} more planes", out.out));
                        return Err(e.hint("call `predict`, and write the result yourself"));
                    }
                    None => {}
                }
            }
            let mut writer = Writer::create(path)?;
            let mut parts = writer.parts::<f32>(&shape, &cards.wcs_scaled(image.header(), &factors)?)?;
            let mut plane = Vec::new();
            let read = |place: &Place, x: &mut [f32]| image.section(&ranges(place, None), x, missing);
            let write = |place: &Place, y: &[f32]| {
                if channels == 1 {
                    return parts.write(&ranges(place, None), y);
                }
                for c in 0..channels {
                    plane.clear();
                    plane.extend(y.iter().skip(c).step_by(channels));
                    parts.write(&ranges(place, Some(c)), &plane)?;
                }
                Ok(())
            };
            self.predict(model, extent.space(), read, prepare, write)?;
            writer.finish()
        }
    }
}
