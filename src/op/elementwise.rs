//! Copies and sums.

use crate::device::{Device, per_isa};
use crate::memory::{GradMode, Slot, Step};
use crate::{Real, Result, real};

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
        Device::Cuda(_) => return Err(crate::device::unported()),
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
