//! Reading and writing slots from the host, wherever they lie: directly on the CPU, by copies on a GPU.
//!
//! For what happens around steps (batches, predictions, checkpoints), never for passes. On a GPU, reading waits for the device;
//! 16-bit slots are f32 on the host.

use super::{Arena, Element};
use crate::device::Cuda;
use crate::{DType, Result};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};

impl DType {
    /// The type in which the host sees slots of this type: wider where it has no arithmetic of its own.
    pub(crate) const fn host(self) -> Self {
        match self {
            Self::F16 | Self::Bf16 => Self::F32,
            other => other,
        }
    }
}

impl Arena {
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
            let x = bytemuck::cast_slice_mut::<T, f32>(&mut x);
            match dtype {
                DType::F16 => narrow.reinterpret_cast::<f16>().convert_to_f32_slice(x),
                _ => narrow.reinterpret_cast::<bf16>().convert_to_f32_slice(x),
            }
        }
        Ok(x)
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
        let mut f = Some(f);
        let mut fill = |bytes: &mut [u8]| -> Result<()> {
            let Some(f) = f.take() else { return Ok(()) };
            if dtype == T::ELEMENT {
                return f(bytemuck::cast_slice_mut(bytes));
            }
            let mut wide = vec![T::zeroed(); len];
            f(&mut wide)?;
            let (wide, narrow) = (bytemuck::cast_slice::<T, f32>(&wide), bytemuck::cast_slice_mut::<u8, u16>(bytes));
            match dtype {
                DType::F16 => narrow.reinterpret_cast_mut::<f16>().convert_from_f32_slice(wide),
                _ => narrow.reinterpret_cast_mut::<bf16>().convert_from_f32_slice(wide),
            }
            Ok(())
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
