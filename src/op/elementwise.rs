//! Copies and sums.

use crate::device::{Device, per_isa};
use crate::memory::{GradMode, Slot, Step};
use crate::{Real, Result, real};

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
            match mode {
                GradMode::Write => dx.copy_from_slice(&dy),
                GradMode::Add => add(cpu, &dy, &mut dx),
            }
        }),
        Device::Cuda(cuda) => match *cuda {},
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
