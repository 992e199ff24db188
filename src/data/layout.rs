//! The order of the values in arrays of samples.

use crate::{Error, Extent, Result};

/// How the values of a plain array of samples follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// (n, d, h, w, c), as this crate keeps them: interleaved images, rows of a table, a Fortran array `x(c,w,h,d,n)`.
    #[default]
    ChannelsLast,
    /// (n, c, d, h, w): planar images, CIANNA, PyTorch, a Fortran array `x(w,h,d,c,n)`.
    ChannelsFirst,
    /// (d, h, w, c, n): all samples of the first feature, then all of the second; a Fortran array `x(n,features)`.
    FeatureMajor,
}

impl Layout {
    /// Whether such arrays are in the order (n, d, h, w, c) already.
    pub(super) fn keeps(self, extent: Extent) -> bool {
        match self {
            Self::ChannelsLast => true,
            Self::ChannelsFirst => extent.c == 1 || extent.area() == 1,
            Self::FeatureMajor => false,
        }
    }

    /// Brings an array of samples into the order (n, d, h, w, c).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the array is no whole number of samples.
    pub fn to_channels_last<T: Copy + Default>(self, extent: Extent, x: Vec<T>) -> Result<Vec<T>> {
        let n = whole(extent.check()?, x.len(), "samples")?;
        if self.keeps(extent) {
            return Ok(x);
        }
        let mut y = vec![T::default(); x.len()];
        match self {
            Self::FeatureMajor => transpose(&x, &mut y, n),
            _ => x
                .chunks_exact(extent.len())
                .zip(y.chunks_exact_mut(extent.len()))
                .for_each(|(x, y)| transpose(x, y, extent.area())),
        }
        Ok(y)
    }
}

/// y (columns × rows) = xᵀ, x being rows × `columns`; in blocks of 16 so that both sides stay in cache.
fn transpose<T: Copy>(x: &[T], y: &mut [T], columns: usize) {
    const BLOCK: usize = 16;
    let rows = x.len() / columns.max(1);
    for i0 in (0..rows).step_by(BLOCK) {
        for j0 in (0..columns).step_by(BLOCK) {
            for i in i0..rows.min(i0 + BLOCK) {
                for j in j0..columns.min(j0 + BLOCK) {
                    y[j * rows + i] = x[i * columns + j];
                }
            }
        }
    }
}

/// How many samples of this extent `len` values are; an error if none or no whole number.
pub(super) fn whole(extent: Extent, len: usize, place: &str) -> Result<usize> {
    if len == 0 || !len.is_multiple_of(extent.len()) {
        return Err(Error::shape(place, format!("{len} values are no whole number of samples"))
            .expected(format!("a multiple of {} ({extent})", extent.len()))
            .got(len));
    }
    Ok(len / extent.len())
}
