//! How the copy engine of sm_90 finds boxes of a tensor: what `TensorMap` in `hopper.cuh` is on the host.
#![allow(unsafe_code)]

use bytemuck::{Pod, Zeroable};
use std::fmt;

/// A tensor of up to five dimensions, the innermost first, and the box of it that comes with one copy.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct TensorMap([u64; 16]);

impl fmt::Debug for TensorMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 == [0; 16] { "TensorMap(none)" } else { "TensorMap" })
    }
}

#[cfg(feature = "cuda")]
mod encode {
    use super::TensorMap;
    use crate::device::cuda::failed;
    use crate::device::{Cuda, Ptr};
    use crate::{DType, Error, Result};
    use bytemuck::Zeroable;
    use cudarc::driver::sys::{
        self, CUtensorMap, CUtensorMapDataType as Type, CUtensorMapFloatOOBfill as Fill, CUtensorMapInterleave as Interleave,
        CUtensorMapL2promotion as Promotion, CUtensorMapSwizzle as Swizzle,
    };

    impl Cuda {
        /// Elements of 16 bits at `base`: `sizes[i]` along dimension i, `strides[i]` elements apart (those of dimension 0 are
        /// neighbours). A row of a box, `boxed[0]` elements in 32, 64 or 128 bytes, lies in shared memory with its 16-byte chunks
        /// permuted as wgmma reads them.
        ///
        /// # Errors
        /// [`ErrorKind::Device`](crate::ErrorKind::Device) for what the driver refuses: sizes of 0, strides or an address that are no
        /// multiples of 16 bytes.
        pub(crate) fn tensor_map(
            &self,
            dtype: DType,
            base: Ptr,
            sizes: &[usize],
            strides: &[usize],
            boxed: &[usize],
        ) -> Result<TensorMap> {
            let rank = sizes.len();
            if !(1..=5).contains(&rank) || strides.len() != rank || boxed.len() != rank {
                return Err(Error::order("tensor map", "1 to 5 dimensions, all given").got(rank));
            }
            let row = boxed[0] * dtype.bytes();
            let swizzle = match row {
                32 => Swizzle::CU_TENSOR_MAP_SWIZZLE_32B,
                64 => Swizzle::CU_TENSOR_MAP_SWIZZLE_64B,
                _ => Swizzle::CU_TENSOR_MAP_SWIZZLE_128B,
            };
            let kind = match dtype {
                DType::Bf16 => Type::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                DType::F16 => Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                _ => return Err(Error::unsupported("tensor map", "elements of 16 bits only").got(dtype.suffix())),
            };
            let (mut size, mut apart, mut part) = ([1_u64; 5], [0_u64; 5], [1_u32; 5]);
            for i in 0..rank {
                (size[i], part[i]) = (sizes[i] as u64, boxed[i] as u32);
                // The driver takes the strides of dimensions 1 and up, in bytes.
                apart[i] = strides.get(i + 1).map_or(0, |n| (n * dtype.bytes()) as u64);
            }
            let mut map = TensorMap::zeroed();
            let to = (&raw mut map).cast::<CUtensorMap>();
            let encoded = self.bound().and_then(|()| {
                // SAFETY: the map has 128 bytes at a multiple of 64, as the driver asks; all arrays have five elements, of which it
                // reads `rank` at most. The address is only noted.
                let rc = unsafe {
                    sys::cuTensorMapEncodeTiled(
                        to,
                        kind,
                        rank as u32,
                        base.0 as *mut _,
                        size.as_ptr(),
                        apart.as_ptr(),
                        part.as_ptr(),
                        [1; 5].as_ptr(),
                        Interleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                        swizzle,
                        Promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                        Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
                    )
                };
                rc.result()
            });
            let seen = || format!("{base:?}, sizes {sizes:?}, strides {strides:?}, boxes {boxed:?}");
            encoded.map_err(|e| failed("tensor map", "the driver refuses it", e).got(seen()))?;
            Ok(map)
        }
    }
}
