//! Reading and writing slots from the host, wherever they lie: directly on the CPU, by copies on a GPU.
//!
//! For what happens around steps (batches, predictions, checkpoints), never for passes. On a GPU, reading waits for the device;
//! 16-bit slots are f32 on the host.

use super::{Arena, Element};
use crate::device::{Cuda, Download};
use crate::{DType, Error, Result};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use std::cell::Cell;

thread_local! {
    /// Numbers on their way to slots of 16 bits, kept from batch to batch.
    static WIDE: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

impl DType {
    /// The type in which the host sees slots of this type: wider where it has no arithmetic of its own.
    pub(crate) const fn host(self) -> Self {
        match self {
            Self::F16 | Self::Bf16 => Self::F32,
            other => other,
        }
    }
}

fn widen(dtype: DType, narrow: &[u16], x: &mut [f32]) {
    match dtype {
        DType::F16 => narrow.reinterpret_cast::<f16>().convert_to_f32_slice(x),
        _ => narrow.reinterpret_cast::<bf16>().convert_to_f32_slice(x),
    }
}

/// Regions as they were at one moment of a step: copied on the CPU, on a GPU on their way.
#[derive(Debug)]
pub(crate) struct Fetched {
    bytes: Bytes,
    /// Type, first byte and number of elements of each.
    parts: Vec<(DType, usize, usize)>,
}

#[derive(Debug)]
enum Bytes {
    Here(Vec<u64>),
    Coming(Download),
}

/// Regions begin at multiples of this among the bytes.
const PART: usize = 16;

impl Fetched {
    /// Hands the elements of region `k` of those that were asked for to `f`; on a GPU it waits until they have come.
    pub fn read<T: Element, R>(&self, k: usize, f: impl FnOnce(&[T]) -> R) -> Result<R> {
        let found = self.parts.get(k).copied().filter(|(dtype, ..)| dtype.host() == T::ELEMENT);
        let Some((dtype, at, len)) = found else {
            return Err(Error::order("results", "a region of another type").expected(format!("{:?}", T::ELEMENT)));
        };
        let bytes = match &self.bytes {
            Bytes::Here(words) => bytemuck::cast_slice(words),
            Bytes::Coming(download) => download.wait()?,
        };
        let bytes = &bytes[at..at + len * dtype.bytes()];
        if dtype == T::ELEMENT {
            return Ok(f(bytemuck::cast_slice(bytes)));
        }
        let mut wide = WIDE.take();
        wide.resize(len, 0.0);
        widen(dtype, bytemuck::cast_slice(bytes), &mut wide);
        let result = f(bytemuck::cast_slice(&wide));
        WIDE.set(wide);
        Ok(result)
    }
}

impl Arena {
    /// The regions of numbers with these indices as they are now; on a GPU at this place of its work, and nothing waits for it.
    pub fn fetch(&self, indices: &[usize], rows: usize) -> Result<Fetched> {
        let (mut parts, mut end) = (Vec::with_capacity(indices.len()), 0_usize);
        for &index in indices {
            let (dtype, len) = self.place_of_numbers(index, rows)?;
            parts.push((dtype, end, len));
            end = (end + len * dtype.bytes()).next_multiple_of(PART);
        }
        if let Some(cuda) = self.cuda() {
            let range =
                |(&index, &(dtype, at, len)): (&usize, &(DType, usize, usize))| Ok((self.ptr(index)?, at, len * dtype.bytes()));
            let ranges = indices.iter().zip(&parts).map(range).collect::<Result<Vec<_>>>()?;
            return Ok(Fetched { bytes: Bytes::Coming(cuda.fetch(&ranges)?), parts });
        }
        let mut words = vec![0_u64; end.div_ceil(8)];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        for (&index, &(dtype, at, len)) in indices.iter().zip(&parts) {
            let to = &mut bytes[at..at + len * dtype.bytes()];
            crate::real!(dtype, T => to.copy_from_slice(bytemuck::cast_slice(&self.read::<T>(index, rows)?)));
        }
        Ok(Fetched { bytes: Bytes::Here(words), parts })
    }

    /// Type and number of the elements of a region that the host sees as f32 or f64.
    fn place_of_numbers(&self, index: usize, rows: usize) -> Result<(DType, usize)> {
        match self.regions.get(index).map(|r| r.dtype.host()) {
            Some(DType::F64) => self.host_region::<f64>(index, rows),
            _ => self.host_region::<f32>(index, rows),
        }
    }

    /// Hands the elements of region `index` to `f`; `rows` cuts a batch to its valid rows.
    #[inline]
    pub fn host_read<T: Element, R>(&self, index: usize, rows: usize, f: impl FnOnce(&[T]) -> R) -> Result<R> {
        match self.cuda() {
            None => Ok(f(&self.read::<T>(index, rows)?)),
            Some(cuda) => Ok(f(&self.downloaded(cuda, index, rows)?)),
        }
    }

    #[cold]
    fn downloaded<T: Element>(&self, cuda: &Cuda, index: usize, rows: usize) -> Result<Vec<T>> {
        let (dtype, len) = self.host_region::<T>(index, rows)?;
        let mut x = vec![T::zeroed(); len];
        let from = self.ptr(index)?;
        if dtype == T::ELEMENT {
            cuda.download(from, bytemuck::cast_slice_mut(&mut x))?;
        } else {
            let mut narrow = vec![0_u16; len];
            cuda.download(from, bytemuck::cast_slice_mut(&mut narrow))?;
            widen(dtype, &narrow, bytemuck::cast_slice_mut(&mut x));
        }
        Ok(x)
    }

    /// Copies region `index` of numbers from a device; takes memory only where `to` has too little.
    pub fn download(&self, cuda: &Cuda, index: usize, rows: usize, to: &mut Vec<f32>) -> Result<()> {
        let (dtype, len) = self.host_region::<f32>(index, rows)?;
        let from = self.ptr(index)?;
        to.resize(len, 0.0);
        if dtype == DType::F32 {
            return cuda.download(from, bytemuck::cast_slice_mut(to));
        }
        // Into the second half, and widened from the front: every word is read before its place is written.
        let words: &mut [u16] = bytemuck::cast_slice_mut(to);
        cuda.download(from, bytemuck::cast_slice_mut(&mut words[len..]))?;
        for i in 0..len {
            let word = words[len + i];
            let wide = if dtype == DType::F16 { f16::from_bits(word).to_f32() } else { bf16::from_bits(word).to_f32() };
            let [a, b, c, d] = wide.to_ne_bytes();
            (words[2 * i], words[2 * i + 1]) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
        }
        Ok(())
    }

    /// Lets `f` write all elements of region `index`. What it leaves alone holds anything.
    #[inline]
    pub fn host_write<T: Element>(&self, index: usize, rows: usize, f: impl FnOnce(&mut [T]) -> Result<()>) -> Result<()> {
        match self.cuda() {
            None => f(&mut self.write::<T>(index, rows)?),
            Some(cuda) => self.upload(cuda, index, rows, f),
        }
    }

    #[cold]
    fn upload<T: Element>(&self, cuda: &Cuda, index: usize, rows: usize, f: impl FnOnce(&mut [T]) -> Result<()>) -> Result<()> {
        let (dtype, len) = self.host_region::<T>(index, rows)?;
        self.changed();
        let mut f = Some(f);
        let mut fill = |bytes: &mut [u8]| -> Result<()> {
            let Some(f) = f.take() else { return Ok(()) };
            if dtype == T::ELEMENT {
                return f(bytemuck::cast_slice_mut(bytes));
            }
            let mut wide = WIDE.take();
            wide.resize(len, 0.0);
            let done = f(bytemuck::cast_slice_mut(&mut wide));
            let narrow = bytemuck::cast_slice_mut::<u8, u16>(bytes);
            match dtype {
                DType::F16 => narrow.reinterpret_cast_mut::<f16>().convert_from_f32_slice(&wide),
                _ => narrow.reinterpret_cast_mut::<bf16>().convert_from_f32_slice(&wide),
            }
            WIDE.set(wide);
            done
        };
        cuda.upload(self.ptr(index)?, len * dtype.bytes(), &mut fill)
    }

    /// Lets `f` change region `index`, whole.
    pub fn host_update<T: Element>(&self, index: usize, f: impl FnOnce(&mut [T]) -> Result<()>) -> Result<()> {
        if self.cuda().is_none() {
            return f(&mut self.write::<T>(index, 0)?);
        }
        let mut x = self.host_read::<T, _>(index, 0, <[T]>::to_vec)?;
        f(&mut x)?;
        self.host_write::<T>(index, 0, |slot| {
            slot.copy_from_slice(&x);
            Ok(())
        })
    }

    /// Type and number of the elements, if the host sees them as `T`.
    fn host_region<T: Element>(&self, index: usize, rows: usize) -> Result<(DType, usize)> {
        match self.regions.get(index) {
            Some(r) if r.dtype.host() == T::ELEMENT => Ok((r.dtype, r.row.map_or(r.len, |row| row * rows).min(r.len))),
            _ => Err(self.foreign(index, T::ELEMENT)),
        }
    }
}
