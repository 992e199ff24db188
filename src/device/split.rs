//! Slices cut into equal chunks, one for each task of [`Cpu::run`]: how safe code writes from several threads.
#![allow(unsafe_code)]

use super::Cpu;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

impl Cpu {
    /// Cuts `parts` (slices of equal length, or a tuple of such) every `chunk` elements and calls `task(i, pieces)` for
    /// each chunk, on all threads; on the calling thread alone where one chunk holds everything.
    ///
    /// The cuts depend on the lengths alone, so results do not depend on the number of threads.
    #[inline]
    pub fn split<P: Parts>(&self, chunk: usize, parts: P, task: impl Fn(usize, P::Piece) + Sync) {
        let (shared, len) = parts.share();
        let chunk = chunk.max(1);
        let piece = |i: usize| {
            let start = i * chunk;
            // SAFETY: the range lies within every part, and `run` calls each i once, so no element is handed out twice.
            unsafe { P::piece(shared, start..len.min(start + chunk)) }
        };
        // Small work is not even divided.
        if len > chunk {
            self.run(len.div_ceil(chunk), &|i| task(i, piece(i)));
        } else if len > 0 {
            task(0, piece(0));
        }
    }
}

impl Cpu {
    /// As [`Cpu::split`], with one of the parts of `len` elements of `work` for each task, as many at once as there are.
    pub(crate) fn split_with<P: Parts, T: Send>(
        &self,
        chunk: usize,
        parts: P,
        (work, len): (&mut [T], usize),
        task: impl Fn(usize, P::Piece, &mut [T]) + Sync,
    ) {
        let (shared, total) = parts.share();
        let ((work, room), chunk) = (work.share(), chunk.max(1));
        let (pieces, next) = (total.div_ceil(chunk), AtomicUsize::new(0));
        debug_assert!(pieces == 0 || room >= len);
        self.run((room / len.max(1)).min(pieces), &|seat| {
            loop {
                let i = next.fetch_add(1, Relaxed);
                if i >= pieces {
                    return;
                }
                let start = i * chunk;
                // SAFETY: each i is met once and each seat is one task of `run`, so neither range is handed out twice at a time.
                let (piece, work) = unsafe {
                    (P::piece(shared, start..total.min(start + chunk)), <&mut [T]>::piece(work, seat * len..(seat + 1) * len))
                };
                task(i, piece, work);
            }
        });
    }
}

/// What [`Cpu::split`] can cut: `&[T]`, `&mut [T]`, [`Rows`] of them, `Option`s and tuples of these. Unequal lengths are cut to the shortest.
pub trait Parts {
    /// What all threads hold.
    type Shared: Copy + Sync;
    /// What one task gets.
    type Piece;

    /// The form that threads share, and the number of elements.
    fn share(self) -> (Self::Shared, usize);

    /// The elements in `range`.
    ///
    /// # Safety
    /// `range` lies within the length from [`Parts::share`], and no two calls overlap.
    unsafe fn piece(shared: Self::Shared, range: Range<usize>) -> Self::Piece;
}

impl<'a, T: Sync> Parts for &'a [T] {
    type Shared = Self;
    type Piece = Self;

    fn share(self) -> (Self, usize) {
        (self, self.len())
    }

    unsafe fn piece(shared: Self, range: Range<usize>) -> &'a [T] {
        &shared[range]
    }
}

/// The start of a slice that is written in pieces.
pub struct Start<'a, T>(*mut T, PhantomData<&'a mut [T]>);

impl<T> Clone for Start<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Start<'_, T> {}

// SAFETY: a pointer to elements that may move to other threads; `Parts::piece` hands each out once.
unsafe impl<T: Send> Sync for Start<'_, T> {}

impl<'a, T: Send> Parts for &'a mut [T] {
    type Shared = Start<'a, T>;
    type Piece = &'a mut [T];

    fn share(self) -> (Start<'a, T>, usize) {
        (Start(self.as_mut_ptr(), PhantomData), self.len())
    }

    unsafe fn piece(shared: Start<'a, T>, range: Range<usize>) -> &'a mut [T] {
        // SAFETY: the range lies within the slice and overlaps no other piece (the caller's promise).
        unsafe { std::slice::from_raw_parts_mut(shared.0.add(range.start), range.len()) }
    }
}

macro_rules! tuples {
    ($($P:ident $i:tt),*) => {
        impl<$($P: Parts),*> Parts for ($($P,)*) {
            type Shared = ($($P::Shared,)*);
            type Piece = ($($P::Piece,)*);

            fn share(self) -> (Self::Shared, usize) {
                let shared = ($(self.$i.share(),)*);
                let len = usize::MAX $(.min(shared.$i.1))*;
                (($(shared.$i.0,)*), len)
            }

            unsafe fn piece(shared: Self::Shared, range: Range<usize>) -> Self::Piece {
                // SAFETY: the caller's promise holds for each part.
                unsafe { ($($P::piece(shared.$i, range.clone()),)*) }
            }
        }
    };
}
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);

/// A part whose elements are groups of neighbours: `Rows(y, n)` next to `value` cuts y where it cuts n times as many values.
pub struct Rows<P>(pub P, pub usize);

impl<P: Parts> Parts for Rows<P> {
    type Shared = (P::Shared, usize);
    type Piece = P::Piece;

    fn share(self) -> (Self::Shared, usize) {
        let (shared, len) = self.0.share();
        ((shared, self.1), len / self.1.max(1))
    }

    unsafe fn piece((shared, n): Self::Shared, range: Range<usize>) -> P::Piece {
        // SAFETY: groups in `range` lie within len/n groups and overlap where the groups do.
        unsafe { P::piece(shared, range.start * n..range.end * n) }
    }
}

/// A part that may be absent; it then bounds nothing.
impl<P: Parts> Parts for Option<P> {
    type Shared = Option<P::Shared>;
    type Piece = Option<P::Piece>;

    fn share(self) -> (Self::Shared, usize) {
        match self.map(P::share) {
            Some((shared, len)) => (Some(shared), len),
            None => (None, usize::MAX),
        }
    }

    unsafe fn piece(shared: Self::Shared, range: Range<usize>) -> Self::Piece {
        // SAFETY: the caller's promise, handed on.
        shared.map(|shared| unsafe { P::piece(shared, range) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Result;

    #[test]
    fn every_element_is_visited_once_whatever_the_threads() -> Result<()> {
        for threads in [1, 2, 7] {
            let cpu = Cpu::new(threads)?;
            for len in [0, 1, 9, 10, 11, 1000] {
                let x: Vec<usize> = (0..len).collect();
                let (mut y, mut chunk) = (vec![0; len], vec![usize::MAX; len]);
                cpu.split(10, (&x[..], &mut y[..], &mut chunk[..]), |i, (x, y, chunk)| {
                    assert!(x.len() == y.len() && y.len() == chunk.len());
                    y.iter_mut().zip(x).for_each(|(y, x)| *y += x + 1);
                    chunk.fill(i);
                });
                assert!(y.iter().zip(&x).all(|(y, x)| *y == x + 1), "{threads} threads, {len} elements");
                assert!(chunk.iter().enumerate().all(|(i, c)| *c == i / 10));
            }
        }
        Ok(())
    }

    #[test]
    fn unequal_parts_are_cut_to_the_shortest() {
        let (x, mut y) = ([1; 25], [0; 12]);
        Cpu::default().split(5, (&x[..], &mut y[..]), |_, (x, y)| y.copy_from_slice(x));
        assert_eq!(y, [1; 12]);
    }

    #[test]
    fn rows_are_cut_with_their_values_and_an_absent_part_bounds_nothing() -> Result<()> {
        let cpu = Cpu::new(3)?;
        let x: Vec<u32> = (0..35).collect();
        for present in [false, true] {
            let (mut y, mut sums) = (vec![0; 35], vec![0; 7]);
            let out = present.then_some(Rows(&mut y[..], 5));
            cpu.split(2, (Rows(&x[..], 5), out, &mut sums[..]), |_, (x, y, sums)| {
                for (x, sum) in x.chunks_exact(5).zip(sums) {
                    *sum = x.iter().sum();
                }
                if let Some(y) = y {
                    y.copy_from_slice(x);
                }
            });
            assert_eq!(sums, x.chunks_exact(5).map(|x| x.iter().sum()).collect::<Vec<u32>>());
            assert_eq!(y == x, present);
        }
        Ok(())
    }
}
