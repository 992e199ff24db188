//! Instruction sets, and the macro that instantiates a hot loop for each of them.
#![allow(unsafe_code)]

use std::fmt;

/// The instruction sets for which the hot loops are instantiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// What the target guarantees.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, DQ, VL (and AVX2, FMA).
    Avx512,
}

impl Isa {
    /// All of them, the plainest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The best one of this machine.
    pub fn best() -> Self {
        Self::ALL.into_iter().rev().find(|isa| isa.present()).unwrap_or(Self::Portable)
    }

    /// Whether this machine has it.
    pub fn present(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let (avx2, avx512) = (
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl"),
        );
        #[cfg(not(target_arch = "x86_64"))]
        let (avx2, avx512) = (false, false);
        match self {
            Self::Portable => true,
            Self::Avx2 => avx2,
            Self::Avx512 => avx2 && avx512,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

/// Defines a function whose body is compiled once per instruction set and chosen by `cpu.isa()`; its first argument is
/// always `cpu: &Cpu`. The body is plain Rust that vectorises by itself; `mul_add` does not belong in it (a library call
/// where FMA is absent, and other bits where it is present).
///
/// ```text
/// per_isa! {
///     /// y = a·x
///     pub(crate) fn scale<T: Real>(cpu: &Cpu, a: T, x: &[T], y: &mut [T]) {
///         for (y, x) in y.iter_mut().zip(x) { *y = a * *x }
///     }
/// }
/// ```
macro_rules! per_isa {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$T:ident: $B:path>)? ($cpu:ident: &Cpu $(, $arg:ident: $ty:ty)* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[inline]
        #[allow(unsafe_code, clippy::too_many_arguments)]
        $vis fn $name $(<$T: $B>)? ($cpu: &$crate::device::Cpu $(, $arg: $ty)*) $(-> $ret)? {
            #[inline(always)]
            fn portable $(<$T: $B>)? ($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$T: $B>)? ($($arg: $ty),*) $(-> $ret)? { portable $(::<$T>)? ($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512 $(<$T: $B>)? ($($arg: $ty),*) $(-> $ret)? { portable $(::<$T>)? ($($arg),*) }
            match $cpu.isa() {
                // SAFETY: a `Cpu` carries only instruction sets that this machine has.
                #[cfg(target_arch = "x86_64")]
                $crate::device::Isa::Avx512 => unsafe { avx512 $(::<$T>)? ($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::device::Isa::Avx2 => unsafe { avx2 $(::<$T>)? ($($arg),*) },
                _ => portable $(::<$T>)? ($($arg),*),
            }
        }
    };
}
pub(crate) use per_isa;
