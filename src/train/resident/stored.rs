//! In which type a column of numbers lies on the device: the narrowest that holds all of them, so that images of bytes take a quarter
//! of the memory and of the way there. The kernel that gathers a batch makes them again what the plan wants, bit for bit.

use crate::data::{Dataset, Pick};
use crate::device::{Buffer, Cuda, Divisor, Ptr};
use crate::{DType, Result};
use bytemuck::{Pod, Zeroable};
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

/// `Decoder` in `data.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct Decoder {
    groups: Divisor,
    unused: u32,
    a: Ptr,
    b: Ptr,
}

/// Where the numbers come from, and how they lie on the device.
pub(super) struct Source<'a> {
    pub data: &'a dyn Dataset,
    pub stored: Stored,
    /// What a normalisation subtracts and divides by.
    norm: Option<(&'a [f32], &'a [f32])>,
}

/// What a decoder points to.
#[derive(Debug)]
pub(super) struct Norm {
    memory: Buffer,
    groups: usize,
}

impl Norm {
    /// The decoder of a column, with a normalisation or without.
    pub fn decoder(of: Option<&Self>) -> Decoder {
        let (groups, a) = of.map_or((1, Ptr::NULL), |norm| (norm.groups, norm.memory.ptr()));
        let b = of.map_or(Ptr::NULL, |norm| norm.memory.ptr().offset(norm.groups * size_of::<f32>()));
        Decoder { groups: Divisor::new(groups), unused: 0, a, b }
    }
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

    /// The numbers of the normalisation, on the device.
    pub fn send_norm(&self, cuda: &Cuda) -> Result<Option<Norm>> {
        let Some((a, b)) = self.norm else { return Ok(None) };
        let memory = cuda.allocate(size_of_val(a) + size_of_val(b))?;
        cuda.upload(memory.ptr(), size_of_val(a) + size_of_val(b), &mut |bytes| {
            let (first, second) = bytes.split_at_mut(size_of_val(a));
            first.copy_from_slice(bytemuck::cast_slice(a));
            second.copy_from_slice(bytemuck::cast_slice(b));
            Ok(())
        })?;
        Ok(Some(Norm { memory, groups: a.len() }))
    }
}
