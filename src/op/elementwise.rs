//! Copies and sums.

use crate::device::{Device, Grid, Ptr, Source, per_isa};
use crate::memory::{GradMode, Slot, Step};
use crate::{Real, Result, real};
use bytemuck::{Pod, Zeroable};

/// Elements for which handing over to another thread pays: some 20 µs of memory traffic.
const CHUNK: usize = 1 << 16;

/// dx = dy or dx += dy; nothing where they are the same slot.
///
/// # Errors
/// [`ErrorKind::Order`](crate::ErrorKind::Order) if a slot is borrowed.
pub fn copy_or_add(s: &Step<'_>, dy: Slot, (dx, mode): (Slot, GradMode)) -> Result<()> {
    if dx == dy {
        return Ok(());
    }
    match s.device() {
        Device::Cpu(cpu) => real!(s.dtype(), T => {
            let (dy, mut dx) = (s.read::<T>(dy)?, s.write::<T>(dx)?);
            cpu.split(CHUNK, (&*dy, &mut *dx), |_, (dy, dx)| match mode {
                GradMode::Write => dx.copy_from_slice(dy),
                GradMode::Add => add(cpu, dy, dx),
            });
        }),
        Device::Cuda(cuda) => {
            let kernel = cuda.kernel(&ELEMENTWISE, &format!("copy_or_add_{}", s.dtype().suffix()))?;
            let n = s.len(dx)?;
            let add = u32::from(mode == GradMode::Add);
            let args = CopyOrAddArgs { x: s.ptr(dy)?, y: s.ptr(dx)?, n: n as u64, add, unused: 0 };
            kernel.launch(cuda, Grid::cover(n.div_ceil(16 / s.dtype().bytes())), &args)?;
        }
    }
    Ok(())
}

per_isa! {
    /// y += x
    pub(crate) fn add<T: Real>(cpu: &Cpu, x: &[T], y: &mut [T]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += *x;
        }
    }
}

const ELEMENTWISE: Source = Source::new("elementwise", include_str!("../../kernels/elementwise.cu"));

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct CopyOrAddArgs {
    x: Ptr,
    y: Ptr,
    n: u64,
    add: u32,
    unused: u32,
}
