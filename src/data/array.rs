//! Arrays as files hold them: any element type, byte order and memory order, decoded when asked.

use super::memory::Stored;
use super::{Layout, Raw, Samples, Scaling, file};
use crate::{Error, Extent, Result};
use std::fmt;
use std::sync::Arc;

/// The element type of an array in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Kind {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
}

impl Kind {
    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// The types that the writers of [`idx`](super::idx) and [`npy`](super::npy) take.
pub trait Element: bytemuck::Pod + sealed::Sealed {
    /// Its name in a file.
    const KIND: Kind;
}

macro_rules! elements {
    ($($t:ty => $kind:ident),*) => {$(
        impl sealed::Sealed for $t {}
        impl Element for $t { const KIND: Kind = Kind::$kind; }
    )*};
}
elements!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64, f32 => F32, f64 => F64);

/// How the elements lie in the bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub kind: Kind,
    pub big_endian: bool,
    /// The first index runs fastest.
    pub fortran: bool,
}

/// An array read from a file. Its memory is at most that of the file.
///
/// # Examples
/// ```
/// use kamacite::data::{Array, npy};
/// let a: Array = npy::from_bytes(&npy::to_bytes(&[2, 3], &[1_i32, 2, 3, 4, 5, 6])?)?;
/// assert_eq!((a.shape(), a.to_f32()?), (&[2, 3][..], vec![1., 2., 3., 4., 5., 6.]));
/// assert_eq!(a.samples()?.x(0).len(), 6);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Array {
    form: Form,
    shape: Vec<usize>,
    bytes: Arc<Vec<u8>>,
    start: usize,
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({:?}, {:?})", self.form, self.shape)
    }
}

impl Array {
    /// The elements are `bytes` from `start`; there must be exactly as many as the shape says.
    pub(crate) fn new(place: &str, form: Form, shape: Vec<usize>, bytes: Vec<u8>, start: usize) -> Result<Self> {
        let expected = file::product(place, shape.iter().copied().chain([form.kind.bytes()]))?;
        let got = bytes.len().saturating_sub(start);
        if got != expected {
            let hint = if got < expected { "the file is cut short" } else { "the file is longer than its header says" };
            let what = format!("shape {shape:?} of {:?} does not fill the file", form.kind);
            return Err(Error::format(place, what).expected(format!("{expected} bytes of data")).got(got).hint(hint));
        }
        Ok(Self { form, shape, bytes: Arc::new(bytes), start })
    }

    /// The sizes, slowest first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    pub fn kind(&self) -> Kind {
        self.form.kind
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        (self.bytes.len() - self.start) / self.form.kind.bytes()
    }

    /// Whether a size is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements in C order (the last index runs fastest), rounded to single precision.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        self.decode(|x| x as f32)
    }

    /// The elements in C order, in double precision: exact but for 64-bit integers beyond 2⁵³.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        self.decode(|x| x)
    }

    /// The elements as class indices.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for an element that is negative, fractional or too large.
    pub fn to_labels(&self) -> Result<Vec<u32>> {
        let values = self.to_f64()?;
        let label = |(i, x): (usize, f64)| {
            if x >= 0.0 && x <= f64::from(u32::MAX) && x.fract() == 0.0 {
                return Ok(x as u32);
            }
            Err(Error::value(format!("label {i}"), "no class index").expected("a whole number of at least 0").got(x))
        };
        values.into_iter().enumerate().map(label).collect()
    }

    /// The elements as samples along the first index; the other indices are the extent (c), (h, w), (h, w, c) or (d, h, w, c). Those of one or two
    /// bytes stay as they are until somebody asks for numbers.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for more indices, and what [`Samples::new`] refuses.
    pub fn samples(&self) -> Result<Samples> {
        let extent = extent_of_rows(&self.shape)?;
        match self.stored() {
            Some(stored) => Samples::stored(extent, stored),
            None => Samples::new(extent, self.to_f32()?),
        }
    }

    /// The elements as they are, where that is less than numbers.
    fn stored(&self) -> Option<Stored> {
        let plain = !self.form.fortran || self.shape.len() < 2;
        let raw = Raw::new(self.form.kind, self.form.big_endian).filter(|_| plain && !self.is_empty())?;
        Stored::new(Arc::clone(&self.bytes), self.start, raw, Scaling::plain())
    }

    /// The elements as samples of this extent and order, whatever the shape says.
    ///
    /// # Errors
    /// What [`Samples::from_layout`] refuses.
    pub fn samples_of(&self, extent: Extent, layout: Layout) -> Result<Samples> {
        match self.stored().filter(|_| layout.keeps(extent)) {
            Some(stored) => Samples::stored(extent, stored),
            None => Samples::from_layout(layout, extent, self.to_f32()?),
        }
    }

    fn decode<T: Copy>(&self, to: impl Fn(f64) -> T) -> Result<Vec<T>> {
        let bytes = &self.bytes[self.start..];
        let mut out = file::reserve("array", self.len())?;
        macro_rules! read {
            ($t:ty, $widen:expr) => {{
                let (elements, _) = bytes.as_chunks::<{ size_of::<$t>() }>();
                let widen = $widen;
                if self.form.big_endian {
                    out.extend(elements.iter().map(|b| to(widen(<$t>::from_be_bytes(*b)))));
                } else {
                    out.extend(elements.iter().map(|b| to(widen(<$t>::from_le_bytes(*b)))));
                }
            }};
        }
        match self.form.kind {
            Kind::Bool => read!(u8, |x| f64::from(u8::from(x != 0))),
            Kind::U8 => read!(u8, f64::from),
            Kind::I8 => read!(i8, f64::from),
            Kind::U16 => read!(u16, f64::from),
            Kind::I16 => read!(i16, f64::from),
            Kind::U32 => read!(u32, f64::from),
            Kind::I32 => read!(i32, f64::from),
            Kind::U64 => read!(u64, |x| x as f64),
            Kind::I64 => read!(i64, |x| x as f64),
            Kind::F16 => read!(half::f16, half::f16::to_f64),
            Kind::F32 => read!(f32, f64::from),
            Kind::F64 => read!(f64, |x| x),
        }
        if self.form.fortran && self.shape.len() > 1 { self.to_c_order(&out) } else { Ok(out) }
    }

    /// Reorders from first to last index fastest: an odometer over the indices, the last one turning first.
    fn to_c_order<T: Copy>(&self, x: &[T]) -> Result<Vec<T>> {
        let mut y = file::reserve("array", x.len())?;
        let mut strides = Vec::with_capacity(self.shape.len());
        self.shape.iter().fold(1, |stride, n| {
            strides.push(stride);
            stride * n
        });
        let (mut index, mut at) = (vec![0; self.shape.len()], 0);
        while y.len() < x.len() {
            y.push(x[at]);
            for k in (0..index.len()).rev() {
                index[k] += 1;
                at += strides[k];
                if index[k] < self.shape[k] {
                    break;
                }
                at -= strides[k] * self.shape[k];
                index[k] = 0;
            }
        }
        Ok(y)
    }
}

/// The extent of the samples of an array, which lie along its first index.
pub(super) fn extent_of_rows(shape: &[usize]) -> Result<Extent> {
    match *shape.get(1..).unwrap_or(&[]) {
        [] => Ok(Extent::flat(1)),
        [c] => Ok(Extent::flat(c)),
        [h, w] => Ok(Extent::image(h, w, 1)),
        [h, w, c] => Ok(Extent::image(h, w, c)),
        [d, h, w, c] => Ok(Extent::cube(d, h, w, c)),
        _ => Err(Error::shape("array", "too many indices").expected("at most (n, d, h, w, c)").got(format!("{shape:?}"))),
    }
}

/// Refuses data whose number does not match the shape, before anything is written.
pub(crate) fn check_shape(place: &str, shape: &[usize], len: usize) -> Result<()> {
    if file::product(place, shape.iter().copied())? == len {
        return Ok(());
    }
    Err(Error::shape(place, "the data do not fill the shape").expected(format!("{shape:?}")).got(format!("{len} values")))
}
