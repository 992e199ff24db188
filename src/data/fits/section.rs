//! Sections of an array: which bytes, and reading no more than those.

use super::Inner;
use super::decode::{Pixel, Scale, Treat};
use crate::data::Kind;
use crate::{Error, Result};
use std::ops::Range;

/// Bytes read at once: they are still in the cache when they are converted.
const PIECE: usize = 1 << 16;
/// Runs of pixels at most this far apart are read together: copying so many bytes costs less than another call.
const GAP: usize = 1 << 12;

/// A box of pixels in an array, as runs that are contiguous.
pub(super) struct Section<'a> {
    shape: &'a [usize],
    ranges: &'a [Range<usize>],
    /// The runs extend over the axes from this one on.
    axis: usize,
    /// Pixels in a run.
    pub run: usize,
}

impl<'a> Section<'a> {
    /// The section must lie in the array, and hold `len` pixels.
    pub fn new(shape: &'a [usize], ranges: &'a [Range<usize>], len: usize) -> Result<Self> {
        if ranges.len() != shape.len() {
            let e = Error::shape("", "a section has one range for each axis")
                .expected(format!("{} for shape {shape:?}", shape.len()));
            return Err(e.got(ranges.len()));
        }
        if let Some(axis) = (0..shape.len()).find(|&i| ranges[i].start > ranges[i].end || ranges[i].end > shape[i]) {
            let e = Error::shape("", format!("the section leaves the image on axis {axis}"));
            return Err(e.expected(format!("ranges within {shape:?}")).got(format!("{ranges:?}")));
        }
        let sizes: Vec<usize> = ranges.iter().map(Range::len).collect();
        // The shape itself was checked against the file, and this is less.
        let pixels: usize = sizes.iter().product();
        if pixels != len {
            let e = Error::shape("", "the memory for the pixels is of another size")
                .expected(format!("{pixels} values for {sizes:?}"));
            return Err(e.got(len));
        }
        let whole = |i: &usize| ranges[*i].len() == shape[*i];
        let axis = shape.len() - (0..shape.len()).rev().take_while(whole).count();
        let axis = axis.saturating_sub(1);
        Ok(Self { shape, ranges, axis, run: sizes[axis..].iter().product() })
    }

    /// Calls `visit` with the first pixel of each run, in the array and among those of the section, in ascending order.
    pub fn runs(&self, mut visit: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
        if self.ranges.iter().any(Range::is_empty) {
            return Ok(());
        }
        let outer = &self.ranges[..self.axis];
        let mut index: Vec<usize> = outer.iter().map(|r| r.start).collect();
        let inner: usize = self.shape[self.axis..].iter().product();
        let first =
            self.ranges.get(self.axis).map_or(0, |r| r.start) * self.shape.get(self.axis + 1..).map_or(1, |s| s.iter().product());
        for at in 0.. {
            let row = index.iter().zip(self.shape).fold(0, |row, (i, n)| row * n + i);
            visit(row * inner + first, at * self.run)?;
            // An odometer: the last index turns first.
            let Some(axis) = (0..index.len()).rev().find(|&k| index[k] + 1 < outer[k].end) else { break };
            index[axis] += 1;
            (axis + 1..index.len()).for_each(|k| index[k] = outer[k].start);
        }
        Ok(())
    }
}

/// Reads pixels that lie in the file as they are, `base` bytes from its beginning.
pub(super) fn read<T: Pixel + Into<f64>>(
    file: &Inner,
    (base, kind, scale): (u64, Kind, &Scale),
    section: &Section<'_>,
    out: &mut [T],
    treat: &mut Treat,
) -> Result<()> {
    let mut reader = Reader { file, base, kind, scale, run: section.run, out, treat, waiting: Vec::new() };
    section.runs(|start, at| reader.push(start, at))?;
    reader.flush()
}

struct Reader<'a, T> {
    file: &'a Inner,
    base: u64,
    kind: Kind,
    scale: &'a Scale,
    run: usize,
    out: &'a mut [T],
    treat: &'a mut Treat,
    /// Runs that will be read at once: first pixel in the file and in `out`.
    waiting: Vec<(usize, usize)>,
}

impl<T: Pixel + Into<f64>> Reader<'_, T> {
    fn push(&mut self, start: usize, at: usize) -> Result<()> {
        let size = self.kind.bytes();
        if self.run * size > PIECE {
            let most = PIECE / size;
            for done in (0..self.run).step_by(most) {
                self.read(start + done, at + done, most.min(self.run - done))?;
            }
            return Ok(());
        }
        if let (Some(&(first, _)), Some(&(last, _))) = (self.waiting.first(), self.waiting.last()) {
            let (gap, all) = (start - last - self.run, start + self.run - first);
            if gap * size > GAP || all * size > PIECE {
                self.flush()?;
            }
        }
        self.waiting.push((start, at));
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let (Some(&(first, at)), Some(&(last, _))) = (waiting.first(), waiting.last()) else { return Ok(()) };
        if waiting.len() == 1 {
            return self.read(first, at, self.run);
        }
        let size = self.kind.bytes();
        let bytes = self.file.source.span(self.base + (first * size) as u64, (last + self.run - first) * size)?;
        for &(start, at) in &waiting {
            let (from, out) = ((start - first) * size, &mut self.out[at..at + self.run]);
            T::decode(self.kind, &bytes[from..from + self.run * size], self.scale, out);
            self.treat.piece(at, out);
        }
        self.waiting = waiting;
        self.waiting.clear();
        Ok(())
    }

    /// Reads pixels without a gap.
    fn read(&mut self, start: usize, at: usize, len: usize) -> Result<()> {
        let (place, out) = (self.base + (start * self.kind.bytes()) as u64, &mut self.out[at..at + len]);
        if self.file.source.memory().is_none() && self.kind == T::KIND && self.scale.is_plain() {
            self.file.source.fill(place, bytemuck::cast_slice_mut(out))?;
            T::from_file_order(out);
        } else {
            let bytes = self.file.source.span(place, len * self.kind.bytes())?;
            T::decode(self.kind, &bytes, self.scale, out);
        }
        self.treat.piece(at, out);
        Ok(())
    }
}
