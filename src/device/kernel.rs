//! Kernels as plans and passes see them: a source, a handle with the type of its argument, a grid.

use super::{Cuda, Function};
use crate::{Error, Extent, Result};
use bytemuck::{Pod, Zeroable};
use std::fmt;
use std::marker::PhantomData;

/// The text of one `.cu` file, whose kernels are made by the macros `KERNEL` and `KERNELS` of `prelude.cuh`: a kernel of another make would
/// begin before the one in front of it is done. It may include `prelude.cuh`, `mma.cuh`, `hopper.cuh`, `activation.cuh`.
///
/// # Examples
/// ```
/// use kamacite::device::Source;
/// const SQUARE: Source = Source::new("square", r#"
///     #include "prelude.cuh"
///     template <class T> struct SquareArgs { const T* x; T* y; u64 n; };
///     template <class T> DEVICE void square(const SquareArgs<T>& a) {
///         for (GRID(i, a.n)) { float x = load(a.x, i); store(a.y, i, x * x); }
///     }
///     KERNELS(256, square, SquareArgs)
/// "#);
/// assert_eq!(SQUARE.name, "square");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name in messages and in the cache: the stem of the file.
    pub name: &'static str,
    /// CUDA C++.
    pub text: &'static str,
}

/// By name and length: kernels are looked up in every step, and a text has thousands of characters.
impl std::hash::Hash for Source {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.name, self.text.len()).hash(state);
    }
}

impl Source {
    /// A source with a name.
    pub const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text }
    }
}

/// An address in device memory: what a pointer in a kernel's argument is on the host.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Ptr(pub u64);

impl Ptr {
    /// No memory.
    pub const NULL: Self = Self(0);

    /// The address `bytes` further on.
    #[must_use]
    pub const fn offset(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

impl fmt::Debug for Ptr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Division by a number known on the host: a multiplication and a shift, as `quotient` in `prelude.cuh`.
///
/// # Source
/// Granlund & Montgomery 1994, "Division by invariant integers using multiplication", for dividends below 2³¹.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Divisor {
    d: u32,
    magic: u32,
    shift: u32,
}

impl Divisor {
    /// Division by `d`, which is at least 1 and below 2³¹.
    pub const fn new(d: usize) -> Self {
        debug_assert!(d >= 1 && d < 1 << 31);
        let d = d as u32;
        // ⌈log2 d⌉ − 1: with 2^(31 + ⌈log2 d⌉) / d rounded up, the error stays below 1/d for all n < 2³¹.
        let log = 32 - (d - 1).leading_zeros();
        let shift = if log == 0 { 0 } else { log - 1 };
        let magic = if d == 1 { 0 } else { ((1_u64 << (32 + shift)).div_ceil(d as u64)) as u32 };
        Self { d, magic, shift }
    }

    /// n / d as the device computes it.
    #[cfg(test)]
    const fn quotient(self, n: u32) -> u32 {
        if self.d == 1 { n } else { ((n as u64 * self.magic as u64) >> 32) as u32 >> self.shift }
    }
}

/// The sizes of an extent, for kernels that find the place of a value from its number; as `Layout` in `prelude.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Layout {
    d: Divisor,
    h: Divisor,
    w: Divisor,
    c: Divisor,
}

impl Layout {
    /// Of a batch of `x` whose channels are taken in packs of `pack`, a divisor of their number.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for 2³¹ positions or channels or more along one axis.
    pub fn new(x: Extent, pack: usize) -> Result<Self> {
        let by = |n: usize| match n {
            1..=MAX_SIZE => Ok(Divisor::new(n)),
            _ => Err(Error::shape("", "an axis is too long for a GPU").expected("fewer than 2^31").got(n)),
        };
        Ok(Self { d: by(x.d)?, h: by(x.h)?, w: by(x.w)?, c: by(x.c / pack)? })
    }
}

/// The most positions or channels along one axis that kernels count.
pub(crate) const MAX_SIZE: usize = (1 << 31) - 1;

/// How many blocks to launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub(super) blocks: Blocks,
    pub(super) shared: usize,
    pub(super) cluster: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocks {
    /// One thread for each element, up to what fills the device; the kernel loops with `GRID`.
    Cover(usize),
    /// This many.
    Exactly([usize; 3]),
}

impl Grid {
    /// A thread for each of `n` elements, but no more than fill the device several times: for `GRID` loops.
    pub const fn cover(n: usize) -> Self {
        Self { blocks: Blocks::Cover(n), shared: 0, cluster: 1 }
    }

    /// This many blocks in a row.
    pub const fn blocks(x: usize) -> Self {
        Self::xyz(x, 1, 1)
    }

    /// This many blocks; `y` and `z` at most 65535.
    pub const fn xyz(x: usize, y: usize, z: usize) -> Self {
        Self { blocks: Blocks::Exactly([x, y, z]), shared: 0, cluster: 1 }
    }

    /// Bytes of dynamic shared memory for each block.
    #[must_use]
    pub const fn shared(mut self, bytes: usize) -> Self {
        self.shared = bytes;
        self
    }

    /// Clusters of 1, 2, 4 or 8 blocks, neighbours along `x`, which reach each other's shared memory. `n` divides the blocks
    /// along `x`; more than 1 needs compute capability 9.0.
    #[must_use]
    pub const fn cluster(mut self, n: usize) -> Self {
        self.cluster = n;
        self
    }
}

/// A compiled kernel whose argument is an `A`; an empty handle in plans for the CPU.
pub struct Kernel<A> {
    function: Option<Function>,
    argument: PhantomData<fn(&A)>,
}

impl<A> Clone for Kernel<A> {
    fn clone(&self) -> Self {
        Self { function: self.function.clone(), argument: PhantomData }
    }
}

impl<A> fmt::Debug for Kernel<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => write!(f, "Kernel({})", function.name()),
            None => write!(f, "Kernel(none: this plan is for the CPU)"),
        }
    }
}

impl<A: Pod + fmt::Debug> Kernel<A> {
    pub(crate) const fn absent() -> Self {
        Self { function: None, argument: PhantomData }
    }

    #[cfg(feature = "cuda")]
    pub(super) fn new(function: Function) -> Result<Self> {
        if let Some(bytes) = function.argument().filter(|bytes| *bytes != size_of::<A>()) {
            return Err(Error::device(format!("kernel {}", function.name()), "the argument has another size on the host")
                .expected(format!("{bytes} bytes"))
                .got(format!("{} bytes ({})", size_of::<A>(), std::any::type_name::<A>())));
        }
        Ok(Self { function: Some(function), argument: PhantomData })
    }

    /// Puts the kernel into the device's stream; comes back at once. No blocks: nothing happens.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) with the kernel, the grid and the argument.
    pub fn launch(&self, cuda: &Cuda, grid: Grid, args: &A) -> Result<()> {
        let Some(function) = &self.function else {
            return Err(Error::order("kernel", "launched from a plan for the CPU"));
        };
        cuda.launch(function, grid, bytemuck::bytes_of(args)).map_err(|e| e.got(format!("{grid:?}, {args:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_by_multiplication_is_exact() {
        let edges = |d: u32| [0, 1, d - 1, d, d + 1, 2 * d - 1, (1 << 31) - 1 - (1 << 31) % d, (1 << 31) - 2, (1 << 31) - 1];
        for d in (1..2000).chain([4095, 4096, 4097, 65535, 65537, 1 << 20, (1 << 30) - 1, 1 << 30]) {
            let by = Divisor::new(d as usize);
            for n in edges(d).into_iter().chain((0..200).map(|i| i * 10_737_417 + i)).filter(|&n| n < 1 << 31) {
                assert_eq!(by.quotient(n), n / d, "{n} / {d}");
            }
        }
    }
}
