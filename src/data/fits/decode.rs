//! Bytes of a data unit to numbers: byte order, scale, blanks and missing values in one pass over memory.

use crate::data::Kind;
use crate::data::Missing;
use bytemuck::Pod;

/// What the header says about the numbers: value = scale·stored + zero, and the stored number that means "none".
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub scale: f64,
    pub zero: f64,
    pub blank: Option<i64>,
}

impl Scale {
    pub fn is_plain(&self) -> bool {
        self.scale == 1.0 && self.zero == 0.0
    }
}

/// A type that pixels are read as.
pub(super) trait Pixel: Pod + Send {
    /// The stored type that is this one but for the order of bytes.
    const KIND: Kind;
    /// Elements in the byte order of files, as many as `out` holds.
    fn decode(kind: Kind, bytes: &[u8], scale: &Scale, out: &mut [Self]);
    /// Turns big-endian bytes read into `x` into numbers.
    fn from_file_order(x: &mut [Self]);
    fn count_missing(x: &[Self]) -> usize;
    fn is_missing(self) -> bool;
    fn of(x: f32) -> Self;
    fn treat_median(x: &mut [Self]);
}

macro_rules! pixel {
    ($out:ident, $kind:ident, $bits:ident, $infinity:expr) => {
        impl Pixel for $out {
            const KIND: Kind = Kind::$kind;

            fn decode(kind: Kind, bytes: &[u8], scale: &Scale, out: &mut [Self]) {
                let Scale { scale: a, zero: b, blank } = *scale;
                macro_rules! integers {
                    ($t:ty) => {{
                        let raw = bytes.as_chunks::<{ size_of::<$t>() }>().0.iter().map(|c| <$t>::from_be_bytes(*c)).zip(out);
                        // Four loops without a branch inside: they vectorise.
                        match (scale.is_plain(), blank.and_then(|x| <$t>::try_from(x).ok())) {
                            (true, None) => raw.for_each(|(x, y)| *y = x as $out),
                            (true, Some(none)) => raw.for_each(|(x, y)| *y = if x == none { $out::NAN } else { x as $out }),
                            (false, None) => raw.for_each(|(x, y)| *y = (x as f64 * a + b) as $out),
                            (false, Some(none)) => {
                                raw.for_each(|(x, y)| *y = if x == none { $out::NAN } else { (x as f64 * a + b) as $out });
                            }
                        }
                    }};
                }
                macro_rules! floats {
                    ($t:ty) => {{
                        let raw = bytes.as_chunks::<{ size_of::<$t>() }>().0.iter().map(|c| <$t>::from_be_bytes(*c)).zip(out);
                        if scale.is_plain() {
                            raw.for_each(|(x, y)| *y = x as $out);
                        } else {
                            raw.for_each(|(x, y)| *y = (f64::from(x) * a + b) as $out);
                        }
                    }};
                }
                match kind {
                    Kind::I16 => integers!(i16),
                    Kind::I32 => integers!(i32),
                    Kind::I64 => integers!(i64),
                    Kind::F32 => floats!(f32),
                    Kind::F64 => floats!(f64),
                    _ => integers!(u8),
                }
            }

            fn from_file_order(x: &mut [Self]) {
                x.iter_mut().for_each(|x| *x = $out::from_bits($bits::from_be(x.to_bits())));
            }

            fn count_missing(x: &[Self]) -> usize {
                // Exponents of ones only; counted in the width of a pixel, which vectorises.
                let mut total = 0;
                for piece in x.chunks(1 << 16) {
                    let count: $bits = piece.iter().map(|x| $bits::from(x.to_bits() & $infinity == $infinity)).sum();
                    total += count as usize;
                }
                total
            }

            fn is_missing(self) -> bool {
                !self.is_finite()
            }

            fn of(x: f32) -> Self {
                x.into()
            }

            fn treat_median(x: &mut [Self]) {
                let mut known: Vec<$out> = x.iter().copied().filter(|x| x.is_finite()).collect();
                let middle = known.len() / 2;
                let put = if known.is_empty() {
                    0.0
                } else {
                    let (below, &mut high, _) = known.select_nth_unstable_by(middle, $out::total_cmp);
                    let low = below.iter().copied().max_by($out::total_cmp).unwrap_or(high);
                    if x.iter().filter(|x| x.is_finite()).count() % 2 == 1 { high } else { low / 2.0 + high / 2.0 }
                };
                x.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = put);
            }
        }
    };
}
pixel!(f32, F32, u32, 0x7f80_0000);
pixel!(f64, F64, u64, 0x7ff0_0000_0000_0000);

/// How many values were missing, and where the first was, under a policy that is applied piece by piece.
pub(super) struct Treat {
    policy: Missing,
    pub missing: usize,
    /// Index among the values read, and the value.
    pub first: Option<(usize, f64)>,
}

impl Treat {
    pub fn new(policy: Missing) -> Self {
        Self { policy, missing: 0, first: None }
    }

    /// Treats values that begin at index `at` of all that are read, while they are in the cache.
    pub fn piece<T: Pixel + Into<f64>>(&mut self, at: usize, x: &mut [T]) {
        if self.policy == Missing::Keep {
            return;
        }
        let missing = T::count_missing(x);
        if missing == 0 {
            return;
        }
        self.missing += missing;
        if self.first.is_none_or(|(i, _)| i > at) {
            self.first = x.iter().position(|x| x.is_missing()).map(|i| (at + i, x[i].into()));
        }
        let put = match self.policy {
            Missing::Zero => T::of(0.0),
            Missing::Value(v) => T::of(v),
            Missing::Error | Missing::Keep | Missing::Median => return,
        };
        x.iter_mut().filter(|x| x.is_missing()).for_each(|x| *x = put);
    }

    /// What needs all values.
    pub fn finish<T: Pixel>(&self, x: &mut [T]) {
        if self.policy == Missing::Median && self.missing > 0 {
            T::treat_median(x);
        }
    }

    pub fn refused(&self) -> bool {
        self.policy == Missing::Error && self.missing > 0
    }
}
