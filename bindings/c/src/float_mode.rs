//! The floating-point mode of the caller: put aside during a call, and given back as it was.
//!
//! Programs trap on invalid operations (`gfortran -ffpe-trap=invalid`), flush subnormal numbers to zero (whatever is linked with
//! `-ffast-math`) or round otherwise. Vector loops compute both sides of a choice, one of which may be 0/0, and take the right one; and
//! the same seed is to give the same bits in every program. So the library computes in the mode that every thread begins with. Its own
//! threads begin in it, since they are started from within calls.

/// The caller's mode, until dropped.
pub(crate) struct FloatMode {
    saved: u32,
}

/// What happened so far: no mode, but shared with it in one register.
const FLAGS: u32 = 0x3f;
/// Nothing traps, subnormal numbers are numbers, rounding is to nearest.
const STANDARD: u32 = 0x1f80;

impl FloatMode {
    /// Puts the caller's mode aside.
    pub fn put_aside() -> Self {
        let saved = read();
        if saved & !FLAGS != STANDARD {
            write(STANDARD);
        }
        Self { saved }
    }
}

impl Drop for FloatMode {
    fn drop(&mut self) {
        // The flags as well: what the library met on its way says nothing about the program.
        if read() != self.saved {
            write(self.saved);
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn read() -> u32 {
    let mut mode = 0_u32;
    // SAFETY: stores the control register of SSE into `mode`.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack, preserves_flags)) };
    mode
}

#[cfg(target_arch = "x86_64")]
fn write(mode: u32) {
    // SAFETY: loads a value that the register held before, or its initial one.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack, preserves_flags)) };
}

/// Other machines keep the caller's mode.
#[cfg(not(target_arch = "x86_64"))]
fn read() -> u32 {
    STANDARD
}

#[cfg(not(target_arch = "x86_64"))]
fn write(_: u32) {}
