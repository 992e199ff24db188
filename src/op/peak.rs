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
    /// C independent chains of multiply-adds that stay in registers; they tend to b/(1 − a).
    unsafe fn chains<T, L, const C: usize>(times: usize, a: T, b: T) -> T {
        let (a, b) = (L::splat(a), L::splat(b));
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

/// The same for the portable kernels, with the registers that every x86-64 has: compilers leave plain loops of this kind in memory.
#[cfg(target_arch = "x86_64")]
mod baseline {
    use std::arch::x86_64::*;

    macro_rules! chains {
        ($name:ident $t:ty, $splat:ident $mul:ident $add:ident $first:ident; $($s:ident)*) => {
            pub fn $name(times: usize, a: $t, b: $t) -> $t {
                // SAFETY: SSE2 is part of x86-64.
                unsafe {
                    let (a, b) = ($splat(a), $splat(b));
                    $(let mut $s = b;)*
                    for _ in 0..times {
                        $($s = $add($mul($s, a), b);)*
                    }
                    let mut all = b;
                    $(all = $add(all, $s);)*
                    $first(all)
                }
            }
        };
    }
    chains!(single f32, _mm_set1_ps _mm_mul_ps _mm_add_ps _mm_cvtss_f32; s0 s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11);
    chains!(double f64, _mm_set1_pd _mm_mul_pd _mm_add_pd _mm_cvtsd_f64; s0 s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11);
}

/// As many chains as cover the latency and leave registers for the factors.
const CHAINS: usize = 12;

/// `times` multiply-adds in each of [`CHAINS`] chains of `isa`'s registers.
fn chain<T: Real>(isa: Isa, times: usize) {
    // Unknown to the compiler.
    let (a, b) = black_box((0.875, 0.125));
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Portable {
        if size_of::<T>() == 4 {
            black_box(baseline::single(times, a as f32, b as f32));
        } else {
            black_box(baseline::double(times, a, b));
        }
        return;
    }
    // SAFETY: a `Cpu` carries only instruction sets that this machine has.
    black_box(unsafe { chains::<T, CHAINS>(isa)(times, T::of(a), T::of(b)) });
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
    let seconds = |times: usize| {
        let begun = Instant::now();
        cpu.run(cpu.threads(), &|_| chain::<T>(isa, black_box(times)));
        begun.elapsed()
    };
    let mut times = 1 << 12;
    while seconds(times) < LONG {
        times *= 2;
    }
    let least = (0..5).map(|_| seconds(times)).min().unwrap_or(LONG).as_secs_f64();
    (2 * lanes * CHAINS * times * cpu.threads()) as f64 / least
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

    /// f32 has two lanes where f64 has one, more than a busy machine hides.
    #[test]
    fn peaks_are_in_proportion() -> crate::Result<()> {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
            let cpu = Cpu::with_isa(1, isa)?;
            let begun = Instant::now();
            // The best of some: another program may take the core for a while.
            let best = |f: &dyn Fn() -> f64| (0..6).map(|_| f()).fold(0.0, f64::max);
            let (single, double) = (best(&|| flops::<f32>(&cpu)), best(&|| flops::<f64>(&cpu)));
            let read = read_bandwidth(&cpu);
            println!("{isa}: {single:.3e} {double:.3e} {read:.3e} in {:?}", begun.elapsed());
            assert!(single > double && single < 8.0 * double, "{isa}: {single:e} {double:e}");
            assert!(single > 1e8 && double > 1e8, "{isa}: {single:e} {double:e}");
            assert!(read > 1e8 && read < 1e13, "{isa}: {read:e}");
        }
        Ok(())
    }
}
