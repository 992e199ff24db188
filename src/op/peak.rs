//! What this machine can do at most: the fused multiply-adds that its registers do, and the bytes that its memory gives.
//! Measured, in a few hundredths of a second; what kernels reach is a share of it.
#![allow(unsafe_code)]

use super::simd::per_lanes;
use crate::device::{Isa, per_isa};
use crate::{Cpu, Real};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Bytes read for the bandwidth: more than the caches of most machines hold.
const READ: usize = 64 << 20;
/// A measurement takes this long at least.
const LONG: Duration = Duration::from_millis(2);

per_lanes! {
    /// C independent chains of multiply-adds that stay in registers; they tend to 1.
    unsafe fn chains<T, L, const C: usize>(times: usize) -> T {
        let (a, b) = (L::splat(T::of(0.875)), L::splat(T::of(0.125)));
        let mut sums = [L::zero(); C];
        let mut i = 0;
        while i < times {
            let mut k = 0;
            while k < C {
                sums[k] = L::fma(sums[k], a, b);
                k += 1;
            }
            i += 1;
        }
        let (mut all, mut k) = (L::zero(), 0);
        while k < C {
            all = L::add(all, sums[k]);
            k += 1;
        }
        L::sum(all)
    }
}

per_isa! {
    /// Σ x, so that every word is read.
    fn sum(cpu: &Cpu, x: &[u64]) -> u64 {
        x.iter().fold(0, |sum, x| u64::wrapping_add(sum, *x))
    }
}

/// Floating-point operations per second of all threads in a loop of multiply-adds on registers: 2 for each lane, fused or not.
///
/// # Examples
/// ```
/// use kamacite::{Cpu, op::peak};
/// let cpu = Cpu::new(1)?;
/// let (single, double) = (peak::flops::<f32>(&cpu), peak::flops::<f64>(&cpu));
/// assert!(single > 1e8 && double > 1e8);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn flops<T: Real>(cpu: &Cpu) -> f64 {
    let isa = cpu.isa();
    let lanes = super::simd::lanes::<T>(isa);
    // As many chains as cover the latency and leave registers for the factors.
    let (kernel, count): (unsafe fn(usize) -> T, usize) =
        if isa == Isa::Portable { (chains::<T, 6>(isa), 6) } else { (chains::<T, 12>(isa), 12) };
    let seconds = |times: usize| {
        let begun = Instant::now();
        cpu.run(cpu.threads(), &|_| {
            // SAFETY: a `Cpu` carries only instruction sets that this machine has.
            black_box(unsafe { kernel(black_box(times)) });
        });
        begun.elapsed()
    };
    let mut times = 1 << 12;
    while seconds(times) < LONG {
        times *= 2;
    }
    let least = (0..5).map(|_| seconds(times)).min().unwrap_or(LONG).as_secs_f64();
    (2 * lanes * count * times * cpu.threads()) as f64 / least
}

/// Bytes per second that all threads together read from 64 MiB of memory.
///
/// # Examples
/// ```
/// let cpu = kamacite::Cpu::new(1)?;
/// assert!(kamacite::op::peak::read_bandwidth(&cpu) > 1e8);
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn read_bandwidth(cpu: &Cpu) -> f64 {
    const CHUNK: usize = 1 << 15;
    // Written once: pages that nobody wrote are all the same one.
    let mut words = vec![0_u64; READ / 8];
    cpu.split(CHUNK, &mut words[..], |i, words| words.fill(i as u64 + 1));
    let seconds = || {
        let begun = Instant::now();
        cpu.split(CHUNK, &words[..], |_, words| {
            black_box(sum(cpu, words));
        });
        begun.elapsed()
    };
    READ as f64 / (0..4).map(|_| seconds()).min().unwrap_or(LONG).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register of twice the lanes does about twice as much, a pool's memory is no faster than its arithmetic.
    #[test]
    fn peaks_are_in_proportion() -> crate::Result<()> {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
            let cpu = Cpu::with_isa(1, isa)?;
            let begun = Instant::now();
            let (single, double, read) = (flops::<f32>(&cpu), flops::<f64>(&cpu), read_bandwidth(&cpu));
            println!("{isa}: {single:.3e} {double:.3e} {read:.3e} in {:?}", begun.elapsed());
            // f32 has two lanes where f64 has one; the machine may be busy with something else.
            assert!(single > 1.2 * double && single < 4.0 * double, "{isa}: {single:e} {double:e}");
            assert!(read > 1e8 && read < 1e13, "{isa}: {read:e}");
        }
        Ok(())
    }
}
