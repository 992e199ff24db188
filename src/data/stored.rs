//! Rows as their source holds them: few bytes, in any order, and what makes numbers of them.
//!
//! A GPU takes such rows as they are and makes the numbers itself, with the roundings of [`Dataset::input`](super::Dataset::input): less to read,
//! to convert and to send. What cannot be said here is read as numbers.

use super::{Kind, Missing};
use bytemuck::{Pod, Zeroable};
use half::f16;

/// Numbers beyond this are left to the host, which refuses what overflows.
const MOST: f64 = 1e37;

/// How the rows of an input lie in their source, and what becomes of each number: in this order the [`Scaling`] of its row, the policy for
/// values that are missing, factor·x + offset, and (x − a)/b.
///
/// # Examples
/// ```
/// use kamacite::data::{Kind, Missing, Raw};
/// let pixels = Raw::new(Kind::I16, true).map(|raw| raw.missing(Missing::Zero)).and_then(|raw| raw.affine(0.5, 1.0));
/// assert_eq!(pixels.map(|raw| raw.bytes(64 * 64)), Some(8192));
/// assert!(Raw::new(Kind::F64, true).is_none());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Raw {
    kind: Kind,
    big_endian: bool,
    missing: Missing,
    affine: Option<(f32, f32)>,
    norm: Option<Norm>,
}

/// What is subtracted from element i, and what it is divided by then, at i modulo their number.
#[derive(Clone, Debug, PartialEq)]
struct Norm {
    a: Vec<f32>,
    b: Vec<f32>,
    /// The largest |a| and the smallest |b|.
    reach: (f64, f64),
}

/// What makes numbers of the stored ones of one row: x as it is, or zero + scale·x; and which of them means that there is none.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Scaling {
    scale: f64,
    zero: f64,
    bias: f32,
    blank: i32,
    flags: u32,
    unused: u32,
}

impl Scaling {
    const DOUBLE: u32 = 1;
    const SINGLE: u32 = 2;
    const BLANK: u32 = 4;

    /// The numbers as they are.
    pub fn plain() -> Self {
        Self { scale: 1.0, ..Self::zeroed() }
    }

    /// scale·x + zero in double precision, rounded once: `BSCALE` and `BZERO` of FITS.
    pub fn double(scale: f64, zero: f64) -> Self {
        let flags = if scale == 1.0 && zero == 0.0 { 0 } else { Self::DOUBLE };
        Self { scale, zero, flags, ..Self::zeroed() }
    }

    /// zero + scale·(x + bias), each operation rounded to single precision.
    pub fn single(scale: f32, zero: f32, bias: f32) -> Self {
        Self { scale: scale.into(), zero: zero.into(), bias, flags: Self::SINGLE, ..Self::zeroed() }
    }

    /// Integers of this value are no numbers: `BLANK` of FITS.
    #[must_use]
    pub fn blank(self, blank: i32) -> Self {
        Self { blank, flags: self.flags | Self::BLANK, ..self }
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.flags == 0
    }

    /// The largest magnitude that comes of magnitudes up to `most`.
    fn reach(&self, most: f64) -> f64 {
        match self.flags & !Self::BLANK {
            0 => most,
            Self::SINGLE => self.zero.abs() + self.scale.abs() * (most + f64::from(self.bias.abs())),
            _ => self.zero.abs() + self.scale.abs() * most,
        }
    }

    #[inline(always)]
    fn number<T: Element>(&self, x: T) -> f32 {
        match self.flags & !Self::BLANK {
            0 => x.single(),
            Self::SINGLE => self.zero as f32 + self.scale as f32 * (x.single() + self.bias),
            _ => (x.double() * self.scale + self.zero) as f32,
        }
    }
}

/// A stored number.
trait Element: Copy {
    type Bytes: Pod;
    fn of(bytes: Self::Bytes, big_endian: bool) -> Self;
    fn single(self) -> f32;
    fn double(self) -> f64;
    fn is(self, blank: i32) -> bool;
}

macro_rules! elements {
    ($($t:ty, $single:expr, $double:expr, $is:expr;)*) => {$(
        impl Element for $t {
            type Bytes = [u8; size_of::<$t>()];
            #[inline(always)]
            fn of(bytes: Self::Bytes, big_endian: bool) -> Self {
                if big_endian { <$t>::from_be_bytes(bytes) } else { <$t>::from_le_bytes(bytes) }
            }
            #[inline(always)]
            fn single(self) -> f32 {
                let f: fn($t) -> f32 = $single;
                f(self)
            }
            #[inline(always)]
            fn double(self) -> f64 {
                let f: fn($t) -> f64 = $double;
                f(self)
            }
            #[inline(always)]
            fn is(self, blank: i32) -> bool {
                let f: fn($t, i32) -> bool = $is;
                f(self, blank)
            }
        }
    )*};
}
elements! {
    u8, f32::from, f64::from, |x, blank| i32::from(x) == blank;
    i8, f32::from, f64::from, |x, blank| i32::from(x) == blank;
    u16, f32::from, f64::from, |x, blank| i32::from(x) == blank;
    i16, f32::from, f64::from, |x, blank| i32::from(x) == blank;
    i32, |x| x as f32, f64::from, |x, blank| x == blank;
    f16, f16::to_f32, f16::to_f64, |_, _| false;
    f32, |x| x, f64::from, |_, _| false;
}

/// Calls a function of an [`Element`] with the type of a kind.
macro_rules! by_kind {
    ($kind:expr, $f:ident($($argument:expr),*)) => {
        match $kind {
            Kind::I8 => $f::<i8>($($argument),*),
            Kind::U16 => $f::<u16>($($argument),*),
            Kind::I16 => $f::<i16>($($argument),*),
            Kind::I32 => $f::<i32>($($argument),*),
            Kind::F16 => $f::<f16>($($argument),*),
            Kind::F32 => $f::<f32>($($argument),*),
            _ => $f::<u8>($($argument),*),
        }
    };
}

impl Raw {
    /// Numbers of this type; `None` for types of eight bytes, unsigned ones of four, and booleans.
    pub fn new(kind: Kind, big_endian: bool) -> Option<Self> {
        let known = matches!(kind, Kind::U8 | Kind::I8 | Kind::U16 | Kind::I16 | Kind::I32 | Kind::F16 | Kind::F32);
        known.then_some(Self { kind, big_endian, missing: Missing::Error, affine: None, norm: None })
    }

    /// What becomes of values that are NaN, infinite or blank. Rows that have some under [`Missing::Error`] and [`Missing::Median`] are read as numbers.
    #[must_use]
    pub fn missing(self, policy: Missing) -> Self {
        Self { missing: policy, ..self }
    }

    /// With x·factor + offset, in single precision, of what there is so far; `None` where there is such a step already.
    #[must_use]
    pub fn affine(self, factor: f32, offset: f32) -> Option<Self> {
        (self.affine.is_none() && self.norm.is_none()).then_some(Self { affine: Some((factor, offset)), ..self })
    }

    /// With (x − a)/b of what there is so far, element i of a row by number i modulo theirs; `None` where there is such a step already.
    #[must_use]
    pub fn normalized(self, a: &[f32], b: &[f32]) -> Option<Self> {
        let least = b.iter().fold(f64::INFINITY, |m, b| m.min(f64::from(b.abs())));
        let most = a.iter().fold(0.0_f64, |m, a| m.max(f64::from(a.abs())));
        let good = self.norm.is_none() && !a.is_empty() && a.len() == b.len();
        let norm = Norm { a: a.to_vec(), b: b.to_vec(), reach: (most, least) };
        good.then_some(Self { norm: Some(norm), ..self })
    }

    /// The type of the stored numbers.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Bytes of a row of `len` numbers.
    pub fn bytes(&self, len: usize) -> usize {
        len * self.kind.bytes()
    }

    pub(crate) fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    /// The factor and the offset.
    pub(crate) fn line(&self) -> Option<(f32, f32)> {
        self.affine
    }

    /// What is subtracted, and what is divided by.
    pub(crate) fn norm(&self) -> Option<(&[f32], &[f32])> {
        self.norm.as_ref().map(|norm| (&norm.a[..], &norm.b[..]))
    }

    /// What is put in the place of what is not finite.
    pub(crate) fn put(&self) -> Option<f32> {
        match self.missing {
            Missing::Zero => Some(0.0),
            Missing::Value(v) => Some(v),
            Missing::Error | Missing::Keep | Missing::Median => None,
        }
    }

    /// Whether a row comes out as numbers that the host would not refuse.
    pub(crate) fn accepts(&self, row: &[u8], scaling: &Scaling) -> bool {
        let (missing, most) = self.scan(row, scaling);
        let mut most = scaling.reach(most);
        if missing {
            match self.missing {
                Missing::Zero => {}
                Missing::Value(v) => most = most.max(f64::from(v).abs()),
                Missing::Keep if self.norm.is_none() => {}
                Missing::Keep | Missing::Error | Missing::Median => return false,
            }
        }
        if let Some((factor, offset)) = self.affine {
            most = f64::from(factor).abs() * most + f64::from(offset).abs();
        }
        if let Some(norm) = &self.norm {
            most = (most + norm.reach.0) / norm.reach.1;
        }
        most <= MOST
    }

    /// Whether a row has missing values, and the largest magnitude of the stored others.
    fn scan(&self, row: &[u8], scaling: &Scaling) -> (bool, f64) {
        let blank = |kind: Kind| {
            let blank = (scaling.flags & Scaling::BLANK != 0).then_some(scaling.blank);
            blank.is_some_and(|blank| by_kind!(kind, holds(row, self.big_endian, blank)))
        };
        match self.kind {
            Kind::F32 => {
                let bits =
                    |b: &[u8; 4]| 0x7fff_ffff & if self.big_endian { u32::from_be_bytes(*b) } else { u32::from_le_bytes(*b) };
                let (missing, most) = magnitudes(row.as_chunks::<4>().0.iter().map(bits), 0x7f80_0000);
                (missing, f32::from_bits(most).into())
            }
            Kind::F16 => {
                let bits = |b: &[u8; 2]| 0x7fff & if self.big_endian { u16::from_be_bytes(*b) } else { u16::from_le_bytes(*b) };
                let (missing, most) = magnitudes(row.as_chunks::<2>().0.iter().map(bits).map(u32::from), 0x7c00);
                (missing, f16::from_bits(most as u16).to_f64())
            }
            Kind::I32 => (blank(Kind::I32), 2_147_483_648.0),
            kind if kind.bytes() == 2 => (blank(kind), 65536.0),
            kind => (blank(kind), 256.0),
        }
    }

    /// The numbers of a row.
    pub(crate) fn decode(&self, row: &[u8], scaling: &Scaling, x: &mut [f32]) {
        by_kind!(self.kind, widen(row, self.big_endian, scaling, x));
        if let Some(put) = self.put() {
            x.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = put);
        }
        if let Some((factor, offset)) = self.affine {
            x.iter_mut().for_each(|x| *x = factor * *x + offset);
        }
        if let Some(Norm { a, b, .. }) = &self.norm {
            for x in x.chunks_mut(a.len()) {
                x.iter_mut().zip(a).zip(b).for_each(|((x, a), b)| *x = (*x - a) / b);
            }
        }
    }
}

/// Whether one of the magnitudes is at least `infinity`, and the largest of the others.
fn magnitudes(bits: impl Iterator<Item = u32> + Clone, infinity: u32) -> (bool, u32) {
    let most = bits.clone().fold(0, u32::max);
    if most < infinity {
        return (false, most);
    }
    (true, bits.filter(|bits| *bits < infinity).fold(0, u32::max))
}

fn holds<T: Element>(row: &[u8], big_endian: bool, blank: i32) -> bool {
    bytes_of::<T>(row).any(|b| T::of(b, big_endian).is(blank))
}

fn widen<T: Element>(row: &[u8], big_endian: bool, scaling: &Scaling, x: &mut [f32]) {
    let elements = bytes_of::<T>(row).map(|b| T::of(b, big_endian)).zip(x);
    if scaling.flags & Scaling::BLANK != 0 {
        elements.for_each(|(v, x)| *x = if v.is(scaling.blank) { f32::NAN } else { scaling.number(v) });
    } else if scaling.is_plain() {
        elements.for_each(|(v, x)| *x = v.single());
    } else {
        elements.for_each(|(v, x)| *x = scaling.number(v));
    }
}

fn bytes_of<T: Element>(row: &[u8]) -> impl Iterator<Item = T::Bytes> {
    row.chunks_exact(size_of::<T::Bytes>()).map(bytemuck::pod_read_unaligned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a row comes out as; nothing where it is refused.
    fn numbers(raw: &Raw, row: &[u8], scaling: &Scaling) -> Option<Vec<f32>> {
        let mut x = vec![f32::NAN; row.len() / raw.kind.bytes()];
        raw.accepts(row, scaling).then(|| raw.decode(row, scaling, &mut x)).map(|()| x)
    }

    #[test]
    fn steps_are_taken_in_order_and_once() {
        let raw = Raw::new(Kind::I16, true).expect("a narrow type");
        let row: Vec<u8> = [-3_i16, 7, -32768].iter().flat_map(|x| x.to_be_bytes()).collect();
        assert_eq!(numbers(&raw, &row, &Scaling::plain()), Some(vec![-3.0, 7.0, -32768.0]));
        assert_eq!(numbers(&raw, &row, &Scaling::double(0.5, 2.0)), Some(vec![0.5, 5.5, -16382.0]));
        assert_eq!(numbers(&raw, &row, &Scaling::single(0.5, 2.0, 1.0)), Some(vec![1.0, 6.0, -16381.5]));
        let blank = Scaling::double(0.5, 2.0).blank(-32768);
        assert_eq!(numbers(&raw, &row, &blank), None, "missing values are errors");
        let raw = raw.missing(Missing::Value(9.0)).affine(2.0, 1.0).expect("the first");
        assert_eq!(numbers(&raw, &row, &blank), Some(vec![2.0, 12.0, 19.0]));
        assert!(raw.clone().affine(1.0, 0.0).is_none());
        let raw = raw.normalized(&[1.0, 2.0, 3.0], &[1.0, 5.0, 4.0]).expect("the first");
        assert_eq!(numbers(&raw, &row, &blank), Some(vec![1.0, 2.0, 4.0]));
        assert!(raw.clone().normalized(&[1.0], &[1.0]).is_none() && raw.affine(1.0, 0.0).is_none());
        // In single precision each operation rounds: 1e8 + 1 is 1e8.
        let byte = Raw::new(Kind::U8, false).expect("a narrow type");
        assert_eq!(numbers(&byte, &[1, 2], &Scaling::single(1.0, 1e8, 0.0)), Some(vec![1e8, 1e8]));
        assert_eq!(numbers(&byte, &[1, 2], &Scaling::double(4.0, 1e8)), Some(vec![1e8, 100_000_008.0]));
    }

    #[test]
    fn what_the_host_would_refuse_is_left_to_it() {
        let f32s = |x: &[f32]| x.iter().flat_map(|x| x.to_be_bytes()).collect::<Vec<u8>>();
        let raw = Raw::new(Kind::F32, true).expect("floats");
        let plain = Scaling::plain();
        assert_eq!(numbers(&raw, &f32s(&[1.5, -0.0]), &plain).map(|x| x[1].to_bits()), Some((-0.0_f32).to_bits()));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(numbers(&raw, &f32s(&[1.5, bad]), &plain), None);
            assert_eq!(numbers(&raw.clone().missing(Missing::Median), &f32s(&[1.5, bad]), &plain), None);
            assert_eq!(numbers(&raw.clone().missing(Missing::Zero), &f32s(&[1.5, bad]), &plain), Some(vec![1.5, 0.0]));
            let kept = raw.clone().missing(Missing::Keep);
            assert!(numbers(&kept, &f32s(&[bad, 1.5]), &plain).is_some());
            assert_eq!(numbers(&kept.normalized(&[0.0], &[1.0]).expect("the first"), &f32s(&[1.5, bad]), &plain), None);
        }
        // Beyond the largest number, now or after a step.
        assert!(numbers(&raw, &f32s(&[1e36]), &plain).is_some() && numbers(&raw, &f32s(&[1e38]), &plain).is_none());
        assert_eq!(numbers(&raw.clone().affine(1e3, 0.0).expect("the first"), &f32s(&[1e36]), &plain), None);
        assert_eq!(numbers(&raw.clone().normalized(&[0.0], &[1e-9]).expect("the first"), &f32s(&[1e30]), &plain), None);
        let half = Raw::new(Kind::F16, false).expect("halves");
        let halves = |x: f16| x.to_le_bytes().to_vec();
        assert_eq!(numbers(&half, &halves(f16::from_f32(-2.5)), &plain), Some(vec![-2.5]));
        assert_eq!(numbers(&half, &halves(f16::INFINITY), &plain), None);
        let words = Raw::new(Kind::I32, true).expect("integers");
        assert_eq!(numbers(&words, &i32::MAX.to_be_bytes(), &plain), Some(vec![2_147_483_648.0]));
        assert_eq!(numbers(&words, &7_i32.to_be_bytes(), &Scaling::double(1e30, 0.0)), None, "others could overflow");
    }
}
