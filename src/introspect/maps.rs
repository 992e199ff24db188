//! Arrays that come out of a look into a network.

use crate::{Error, Extent, Result};

/// Arrays of one extent, one after another: a map for each sample, or for each filter.
///
/// # Examples
/// ```
/// use kamacite::{Extent, introspect::Maps};
/// let maps = Maps::new(Extent::image(1, 2, 1), vec![1.0, -3.0, 0.5, 0.0])?;
/// assert_eq!((maps.rows(), maps.row(1), maps.peak(0)), (2, &[0.5, 0.0][..], [0, 0, 1]));
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Maps {
    extent: Extent,
    values: Vec<f32>,
}

impl Maps {
    /// Maps of these values.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if they are no whole number of maps.
    pub fn new(extent: Extent, values: Vec<f32>) -> Result<Self> {
        let n = extent.check()?.len();
        if !values.len().is_multiple_of(n) {
            return Err(Error::shape("maps", "number of values")
                .expected(format!("a multiple of {n} ({extent})"))
                .got(values.len()));
        }
        Ok(Self { extent, values })
    }

    /// How many maps there are.
    pub fn rows(&self) -> usize {
        self.values.len() / self.extent.len()
    }

    /// The extent of each.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Map `i`; empty past the end.
    pub fn row(&self, i: usize) -> &[f32] {
        self.values.chunks_exact(self.extent.len()).nth(i).unwrap_or(&[])
    }

    /// All values, map after map.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values themselves.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The mean of all maps.
    #[must_use]
    pub fn mean(&self) -> Self {
        let mut sums = vec![0.0_f64; self.extent.len()];
        for row in self.values.chunks_exact(self.extent.len()) {
            sums.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
        }
        let n = self.rows().max(1) as f64;
        Self { extent: self.extent, values: sums.iter().map(|s| (s / n) as f32).collect() }
    }

    /// One channel: at each position the largest size of all channels.
    #[must_use]
    pub fn flattened(&self) -> Self {
        let largest = |p: &[f32]| p.iter().map(|v| v.abs()).fold(0.0, f32::max);
        Self { extent: self.extent.with_channels(1), values: self.values.chunks_exact(self.extent.c).map(largest).collect() }
    }

    /// Depth, row and column of the value of map `i` that is the largest in size; the first of several.
    pub fn peak(&self, i: usize) -> [usize; 3] {
        let size = |k: usize| self.row(i)[k].abs();
        let at = (1..self.row(i).len()).fold(0, |best, k| if size(k) > size(best) { k } else { best }) / self.extent.c;
        let [_, h, w] = self.extent.space();
        [at / (h * w), at / w % h, at % w]
    }

    /// The maps on another grid over the same region: linear between the middles of pixels, constant beyond the outermost.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for an axis without pixels.
    pub fn resized(&self, space: [usize; 3]) -> Result<Self> {
        let to = self.extent.with_space(space).check()?;
        let mut now = self.clone();
        for (axis, n) in space.into_iter().enumerate() {
            now = now.stretched(axis, n);
        }
        debug_assert_eq!(now.extent, to);
        Ok(now)
    }

    /// Along one axis.
    fn stretched(&self, axis: usize, n: usize) -> Self {
        let mut space = self.extent.space();
        let old = space[axis];
        if old == n {
            return self.clone();
        }
        // Elements between neighbours along the axis, and how often the axis is run through.
        let step = space[axis + 1..].iter().product::<usize>() * self.extent.c;
        space[axis] = n;
        let mut values = Vec::with_capacity(self.values.len() / old * n);
        for block in self.values.chunks_exact(old * step) {
            for k in 0..n {
                let at = ((k as f64 + 0.5) * old as f64 / n as f64 - 0.5).clamp(0.0, (old - 1) as f64);
                let (low, share) = (at as usize, at.fract());
                let high = (low + 1).min(old - 1);
                let between = |i: usize| {
                    let (a, b) = (f64::from(block[low * step + i]), f64::from(block[high * step + i]));
                    (a + share * (b - a)) as f32
                };
                values.extend((0..step).map(between));
            }
        }
        Self { extent: self.extent.with_space(space), values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_stays_a_plane_on_a_finer_grid() -> Result<()> {
        let plane = |d: f32, h: f32, w: f32| 2.0 * d - h + 0.5 * w + 3.0;
        let fill = |[nd, nh, nw]: [usize; 3]| -> Vec<f32> {
            let middle = |k: usize, n: usize| (k as f32 + 0.5) / n as f32;
            let at = |i: usize| (middle(i / (nh * nw), nd), middle(i / nw % nh, nh), middle(i % nw, nw));
            (0..nd * nh * nw).flat_map(|i| [plane(at(i).0, at(i).1, at(i).2), 1.0]).collect()
        };
        let maps = Maps::new(Extent::cube(2, 4, 5, 2), fill([2, 4, 5]))?;
        let fine = maps.resized([6, 12, 15])?;
        assert_eq!(fine.extent(), Extent::cube(6, 12, 15, 2));
        let expected = fill([6, 12, 15]);
        for d in 2..4 {
            for h in 2..10 {
                for w in 2..13 {
                    let i = 2 * ((d * 12 + h) * 15 + w);
                    assert!((fine.values()[i] - expected[i]).abs() < 1e-5 && fine.values()[i + 1] == 1.0, "{d} {h} {w}");
                }
            }
        }
        assert_eq!(fine.row(0)[0], maps.row(0)[0], "the corner is constant");
        assert!(maps.resized([0, 1, 1]).is_err());
        Ok(())
    }

    #[test]
    fn means_channels_and_peaks() -> Result<()> {
        let maps = Maps::new(
            Extent::image(2, 2, 2),
            vec![0.0, 1.0, 2.0, -3.0, 0.0, 0.0, 1.0, 1.0, 4.0, 1.0, 0.0, 0.0, 0.0, -4.5, 1.0, 1.0],
        )?;
        assert_eq!(maps.mean().values(), [2.0, 1.0, 1.0, -1.5, 0.0, -2.25, 1.0, 1.0]);
        assert_eq!(maps.flattened().values(), [1.0, 3.0, 0.0, 1.0, 4.0, 0.0, 4.5, 1.0]);
        assert_eq!((maps.peak(0), maps.peak(1)), ([0, 0, 1], [0, 1, 0]));
        assert!(Maps::new(Extent::flat(3), vec![0.0; 4]).is_err() && maps.row(2).is_empty());
        Ok(())
    }
}
