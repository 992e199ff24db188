//! The only size arithmetic: extents of one sample, windows that slide over it.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The size of one sample, channels last: element (d, h, w, c) lies at ((d·H + h)·W + w)·C + c.
///
/// Every layer sees this one rank: a vector is {1,1,1,c}, a spectrum {1,1,w,c}, an image {1,h,w,c}, a cube {d,h,w,c}.
/// The batch is outermost and no part of the extent. A Fortran array `x(c,w,h,d,n)` is the same bytes.
///
/// # Examples
/// ```
/// use kamacite::Extent;
/// let x = Extent::image(28, 28, 1);
/// assert_eq!((x.len(), x.area(), x.to_string()), (784, 784, "28x28x1".to_string()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extent {
    /// Depth: slices of a cube, frequency channels of a light-cone.
    pub d: usize,
    /// Height: rows of an image.
    pub h: usize,
    /// Width: columns of an image, samples of a spectrum.
    pub w: usize,
    /// Channels: bands, filters, features.
    pub c: usize,
}

impl Extent {
    /// A plain vector of `c` features.
    pub const fn flat(c: usize) -> Self {
        Self { d: 1, h: 1, w: 1, c }
    }

    /// A spectrum or time series of `w` samples with `c` channels.
    pub const fn line(w: usize, c: usize) -> Self {
        Self { d: 1, h: 1, w, c }
    }

    /// An image of `h` rows and `w` columns with `c` channels.
    pub const fn image(h: usize, w: usize, c: usize) -> Self {
        Self { d: 1, h, w, c }
    }

    /// A cube of `d` slices of `h` rows and `w` columns with `c` channels.
    pub const fn cube(d: usize, h: usize, w: usize, c: usize) -> Self {
        Self { d, h, w, c }
    }

    /// Values in one sample. Use [`Extent::check`] first on extents from outside.
    pub const fn len(&self) -> usize {
        self.area() * self.c
    }

    /// Whether one of the sizes is zero; no valid extent is.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Positions in one sample: d·h·w.
    pub const fn area(&self) -> usize {
        self.d * self.h * self.w
    }

    /// The three spatial sizes [d, h, w].
    pub const fn space(&self) -> [usize; 3] {
        [self.d, self.h, self.w]
    }

    /// The same channels over other spatial sizes.
    pub const fn with_space(&self, [d, h, w]: [usize; 3]) -> Self {
        Self { d, h, w, c: self.c }
    }

    /// The same positions with another number of channels.
    pub const fn with_channels(&self, c: usize) -> Self {
        Self { c, ..*self }
    }

    /// Refuses zero sizes and products that do not fit a batch in memory (2⁴⁰ values).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape).
    #[inline]
    pub fn check(self) -> Result<Self> {
        let product = self.space().into_iter().try_fold(self.c, usize::checked_mul);
        match product {
            Some(n) if n > 0 && n <= 1 << 40 => Ok(self),
            product => Err(self.refused(product)),
        }
    }

    #[cold]
    fn refused(self, product: Option<usize>) -> Error {
        match product {
            Some(0) => Error::shape("extent", "a size is zero").expected("at least 1 in each of d, h, w, c").got(self),
            _ => Error::shape("extent", "too large").expected("at most 2^40 values in a sample").got(self),
        }
    }
}

impl fmt::Display for Extent {
    /// Leading sizes of 1 are left out: `784`, `3776x1`, `28x28x1`, `16x16x16x2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { d, h, w, c } = *self;
        match (d, h, w) {
            (1, 1, 1) => write!(f, "{c}"),
            (1, 1, _) => write!(f, "{w}x{c}"),
            (1, ..) => write!(f, "{h}x{w}x{c}"),
            _ => write!(f, "{d}x{h}x{w}x{c}"),
        }
    }
}

/// A size for each spatial axis as a user writes it: one number for all axes the network has, or the axes one by one.
///
/// `3` means 3 on every axis along which the network's input is longer than 1; `[w]`, `[h, w]` and `[d, h, w]` name the
/// last axes, and the others take the neutral value (1 for sizes and strides, 0 for padding).
///
/// # Examples
/// ```
/// use kamacite::{Axes, Sizes};
/// let image = Axes([false, true, true]);
/// assert_eq!(Sizes::from(3).on(image, 1), [1, 3, 3]);
/// assert_eq!(Sizes::from([5]).on(image, 1), [1, 1, 5]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sizes {
    /// The same on every axis the network has.
    All(usize),
    /// Axis by axis: d, h, w. `None` takes the neutral value.
    Each([Option<usize>; 3]),
}

/// Which of the spatial axes (d, h, w) a network has: those along which an input or a reshape is longer than 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Axes(pub [bool; 3]);

impl Axes {
    /// The axes along which `x` is longer than 1.
    pub fn of(x: Extent) -> Self {
        Self(x.space().map(|n| n > 1))
    }

    /// The axes that either has.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] || other.0[i]))
    }
}

impl Sizes {
    /// The three numbers for a network with these axes; `neutral` where nothing was said.
    pub fn on(self, axes: Axes, neutral: usize) -> [usize; 3] {
        std::array::from_fn(|i| match self {
            Self::All(n) => {
                if axes.0[i] {
                    n
                } else {
                    neutral
                }
            }
            Self::Each(each) => each[i].unwrap_or(neutral),
        })
    }
}

impl From<usize> for Sizes {
    fn from(n: usize) -> Self {
        Self::All(n)
    }
}
impl From<[usize; 1]> for Sizes {
    fn from([w]: [usize; 1]) -> Self {
        Self::Each([None, None, Some(w)])
    }
}
impl From<[usize; 2]> for Sizes {
    fn from([h, w]: [usize; 2]) -> Self {
        Self::Each([None, Some(h), Some(w)])
    }
}
impl From<[usize; 3]> for Sizes {
    fn from([d, h, w]: [usize; 3]) -> Self {
        Self::Each([Some(d), Some(h), Some(w)])
    }
}

/// A sliding window over the axes d, h, w. With extended input size e = in + (in−1)·gap + before + after and extended
/// window k = (size−1)·dilation + 1, it takes out = ⌊(e − k)/stride⌋ + 1 places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Taps.
    pub size: [usize; 3],
    /// Steps between neighbouring outputs.
    pub stride: [usize; 3],
    /// Zeros before the first input.
    pub before: [usize; 3],
    /// Zeros after the last input.
    pub after: [usize; 3],
    /// Distance between neighbouring taps.
    pub dilation: [usize; 3],
    /// Zeros between neighbouring inputs (CIANNA's internal padding).
    pub gap: [usize; 3],
}

impl Window {
    /// A window of this size: stride 1, no padding, dilation 1, no gap.
    pub const fn new(size: [usize; 3]) -> Self {
        Self { size, stride: [1; 3], before: [0; 3], after: [0; 3], dilation: [1; 3], gap: [0; 3] }
    }

    /// Taps in the window.
    pub const fn taps(&self) -> usize {
        self.size[0] * self.size[1] * self.size[2]
    }

    /// The sizes of the output over an input of these sizes.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for a zero size, stride or dilation, a window that exceeds the
    /// padded input, and sizes that overflow.
    pub fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        let mut out = [0; 3];
        for (i, out) in out.iter_mut().enumerate() {
            *out = self.axis(i, input[i])?;
        }
        Ok(out)
    }

    fn axis(&self, i: usize, input: usize) -> Result<usize> {
        let axis = ["d", "h", "w"][i];
        if self.size[i] == 0 || self.stride[i] == 0 || self.dilation[i] == 0 || input == 0 {
            return Err(
                Error::shape("window", format!("zero size, stride, dilation or input on axis {axis}")).expected("at least 1")
            );
        }
        let sizes = || {
            let padded = (input - 1).checked_mul(self.gap[i].checked_add(1)?)?.checked_add(1)?;
            let padded = padded.checked_add(self.before[i])?.checked_add(self.after[i])?;
            let window = (self.size[i] - 1).checked_mul(self.dilation[i])?.checked_add(1)?;
            (padded <= 1 << 40 && window <= 1 << 40).then_some((padded, window))
        };
        let Some((padded, window)) = sizes() else {
            return Err(Error::shape("window", format!("sizes overflow on axis {axis}")).expected("at most 2^40"));
        };
        if window > padded {
            let what = format!("window exceeds the padded input on axis {axis}");
            return Err(Error::shape("", what)
                .expected(format!("at most {padded}"))
                .got(window)
                .hint("use a smaller window or more padding"));
        }
        Ok((padded - window) / self.stride[i] + 1)
    }
}

/// Padding as a user writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Padding {
    /// The same number of zeros before and after.
    Both(Sizes),
    /// Zeros before and after, [d, h, w] each.
    Sides {
        /// Zeros before the first input.
        before: Sizes,
        /// Zeros after the last input.
        after: Sizes,
    },
    /// As many zeros as make out = ⌈in/stride⌉; the odd one goes after (Keras "same").
    Same,
}

impl Padding {
    /// Fills `before` and `after` of a window whose other fields are set.
    pub fn apply(self, window: &mut Window, axes: Axes, input: [usize; 3]) {
        match self {
            Self::Both(p) => {
                window.before = p.on(axes, 0);
                window.after = window.before;
            }
            Self::Sides { before, after } => {
                window.before = before.on(axes, 0);
                window.after = after.on(axes, 0);
            }
            Self::Same => {
                for (i, &input) in input.iter().enumerate() {
                    let extended = input.saturating_sub(1).saturating_mul(window.gap[i].saturating_add(1)).saturating_add(1);
                    let stride = window.stride[i].max(1);
                    let span = window.size[i].saturating_sub(1).saturating_mul(window.dilation[i]).saturating_add(1);
                    let reach = (extended.div_ceil(stride) - 1).saturating_mul(stride).saturating_add(span);
                    let total = reach.saturating_sub(extended);
                    window.before[i] = total / 2;
                    window.after[i] = total - total / 2;
                }
            }
        }
    }
}
