//! In which type a column of numbers lies on the device: the narrowest that holds all of them, so that images of bytes take a quarter
//! of the memory and of the way there. The kernel that gathers a batch makes them again what the plan wants, bit for bit.

use super::super::gather::ColumnKind;
use crate::DType;
use crate::data::{Dataset, Kind, Pick};
use half::f16;
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The type of the elements on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// That of the plan.
    Same,
    U8,
    I16,
    U16,
    F16,
}

impl Stored {
    /// From the narrowest on.
    const ALL: [Self; 4] = [Self::U8, Self::I16, Self::U16, Self::F16];

    pub const fn bytes(self, dtype: DType) -> usize {
        match self {
            Self::Same => dtype.bytes(),
            Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
        }
    }

    /// The type of stored numbers, where kernels that move samples know it.
    pub fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::U8 => Some(Self::U8),
            Kind::I16 => Some(Self::I16),
            Kind::U16 => Some(Self::U16),
            Kind::F16 => Some(Self::F16),
            _ => None,
        }
    }

    /// What gathers rows of so many elements of `dtype`, and the bytes of its unit.
    pub fn column(self, dtype: DType, len: usize) -> (ColumnKind, usize) {
        let row = len * dtype.bytes();
        match self {
            Self::Same if row.is_multiple_of(16) => (ColumnKind::Copy16, 16),
            Self::Same if row.is_multiple_of(4) => (ColumnKind::Copy4, 4),
            Self::Same => (ColumnKind::Copy2, 2),
            Self::U8 => (ColumnKind::OfU8, dtype.bytes()),
            Self::I16 => (ColumnKind::OfI16, dtype.bytes()),
            Self::U16 => (ColumnKind::OfU16, dtype.bytes()),
            Self::F16 => (ColumnKind::OfF16, dtype.bytes()),
        }
    }

    /// As in the names of kernels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "",
            Self::U8 => "u8",
            Self::I16 => "i16",
            Self::U16 => "u16",
            Self::F16 => "f16",
        }
    }

    /// Whether the type holds the number, with its sign if it is 0.
    fn holds(self, x: f32) -> bool {
        let back = match self {
            Self::Same => x,
            Self::U8 => f32::from(x as u8),
            Self::I16 => f32::from(x as i16),
            Self::U16 => f32::from(x as u16),
            Self::F16 => f16::from_f32(x).to_f32(),
        };
        back.to_bits() == x.to_bits()
    }

    /// The elements as bytes.
    pub fn pack(self, x: &[f32], to: &mut [u8]) {
        let words = |to: &mut [u8], word: &dyn Fn(f32) -> u16| {
            to.chunks_exact_mut(2).zip(x).for_each(|(to, x)| to.copy_from_slice(&word(*x).to_ne_bytes()));
        };
        match self {
            Self::Same => to.copy_from_slice(bytemuck::cast_slice(x)),
            Self::U8 => to.iter_mut().zip(x).for_each(|(to, x)| *to = *x as u8),
            Self::I16 => words(to, &|x| x as i16 as u16),
            Self::U16 => words(to, &|x| x as u16),
            Self::F16 => words(to, &|x| f16::from_f32(x).to_bits()),
        }
    }
}

/// Where the numbers come from, and how they lie on the device.
pub(super) struct Source<'a> {
    pub data: &'a dyn Dataset,
    pub stored: Stored,
    /// What a normalisation subtracts and divides by.
    pub norm: Option<(&'a [f32], &'a [f32])>,
}

impl<'a> Source<'a> {
    /// Input `k` as it is.
    pub fn plain(data: &'a dyn Dataset) -> Self {
        Self { data, stored: Stored::Same, norm: None }
    }

    /// Input `k` in the narrowest type, before its normalisation where it has one that is a subtraction and a division. Every number is
    /// tried: what comes out on the device has the bits that the host would send.
    pub fn narrow(data: &'a dyn Dataset, k: usize, dtype: DType) -> Self {
        let len = data.inputs()[k].len();
        let (inner, norm) = match data.as_normalized().and_then(|n| n.affine(k)) {
            Some((inner, a, b)) => (inner, Some((a, b))),
            None => (data, None),
        };
        let fit = Stored::ALL.map(|_| AtomicBool::new(true));
        let wide = AtomicU32::new(0);
        (0..data.len()).into_par_iter().for_each_init(
            || (vec![0.0; len], vec![0.0; len]),
            |(x, raw), index| {
                if wide.load(Ordering::Relaxed) == Stored::ALL.len() as u32 {
                    return;
                }
                let pick = Pick { index, epoch: 0, seed: 0 };
                let read = data.input(pick, k, x).and_then(|()| inner.input(pick, k, raw));
                let decoded = |(i, (raw, x)): (usize, (&f32, &f32))| {
                    let value = norm.map_or(*raw, |(a, b)| (raw - a[i % a.len()]) / b[i % b.len()]);
                    value.to_bits() == x.to_bits()
                };
                let good = read.is_ok() && raw.iter().zip(&*x).enumerate().all(decoded);
                for (stored, fit) in Stored::ALL.iter().zip(&fit) {
                    if !(good && raw.iter().all(|x| stored.holds(*x))) && fit.swap(false, Ordering::Relaxed) {
                        wide.fetch_add(1, Ordering::Relaxed);
                    }
                }
            },
        );
        let narrower = |s: &Stored| s.bytes(dtype) < dtype.bytes();
        let found = Stored::ALL.iter().zip(&fit).find(|(s, fit)| fit.load(Ordering::Relaxed) && narrower(s));
        match found {
            Some((stored, _)) => Self { data: inner, stored: *stored, norm },
            None => Self::plain(data),
        }
    }
}
