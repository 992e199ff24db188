//! Memory of a plan: slots, the arena behind them, and the guards through which passes reach them.
//!
//! A [`Slot`] is a number. A [`Step`] turns it into a slice for as long as a guard lives; a slot is borrowed once for
//! writing or many times for reading, which is checked at run time. That no two live slots share bytes is the planner's
//! promise ([`plan`]), checked when the plan is made.
#![allow(unsafe_code)]

mod copies;
mod host;
pub mod plan;
mod step;
mod store;

pub(crate) use host::Fetched;
pub use plan::{Param, ParamKind, ParamSpec, Planner};
pub use step::{GradMode, Grads, Io, Mode, Step};
pub(crate) use store::{Entry, Store, Total};

use crate::device::{Buffer, Cuda, Device, Ptr};
use crate::{DType, Error, Result};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A piece of planned memory. Plain data; meaningful within the plan that issued it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub(crate) space: Space,
    pub(crate) index: u32,
}

/// Which arena a slot lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    /// Activations, their gradients, saved values and scratch of one plan.
    Local,
    /// Parameters, shared by all plans of a model.
    Weight,
    /// Gradients of parameters.
    Grad,
    /// Layer state that is saved but not optimised.
    State,
    /// Optimizer state, one slot per word.
    Word,
    /// The moving average of the weights.
    Average,
    /// Parameters in the type of activations.
    Copy,
}

/// Where a slot lies and what it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    /// Bytes from the start of the arena; a multiple of [`ALIGN`] on the host.
    pub offset: usize,
    /// Elements at full capacity.
    pub len: usize,
    /// Elements of one batch row, for slots that hold a batch.
    pub row: Option<usize>,
    /// Element type.
    pub dtype: DType,
}

/// Alignment of every region: a cache line, and the widest vector.
pub(crate) const ALIGN: usize = 64;

/// Alignment on a GPU: the widest access, and where a tensor of its copy engine may begin.
const DEVICE_ALIGN: usize = 16;

/// One allocation with its regions and their borrow flags.
#[derive(Debug)]
pub(crate) struct Arena {
    memory: Memory,
    bytes: usize,
    pub regions: Vec<Region>,
    places: Vec<Place>,
    /// How often host memory was handed out to be changed: whoever derives something from it asks whether that still holds.
    changes: Cell<u64>,
}

/// What a borrow of a region looks at, side by side: tiny networks spend their time here.
#[derive(Debug)]
struct Place {
    /// Its first byte; null where it lies on a GPU.
    at: *mut u8,
    len: usize,
    /// Elements of one batch row; 0 for regions that hold no batch.
    row: usize,
    dtype: DType,
    /// 0 free, n > 0 read n times, −1 written.
    borrows: Cell<i32>,
}

impl Place {
    #[inline(always)]
    fn len(&self, rows: usize) -> usize {
        debug_assert!(self.row * rows <= self.len);
        if self.row == 0 { self.len } else { self.len.min(self.row * rows) }
    }

    #[inline(always)]
    fn start<T>(&self) -> NonNull<T> {
        // SAFETY: `locate` hands out places of host memory only.
        unsafe { NonNull::new_unchecked(self.at.cast::<T>()) }
    }
}

#[derive(Debug)]
enum Memory {
    Host(NonNull<u8>),
    Cuda(Buffer),
}

// SAFETY: the arena owns its allocation; the flags are `Cell`s, so it is `Send` but not `Sync`.
unsafe impl Send for Arena {}

impl Arena {
    /// Allocates zeroed memory for regions that were placed within `bytes`.
    pub fn new(device: &Device, bytes: usize, regions: Vec<Region>) -> Result<Self> {
        let align = if device.is_cuda() { DEVICE_ALIGN } else { ALIGN };
        debug_assert!(regions.iter().all(|r| r.offset % align == 0 && r.offset + r.len * r.dtype.bytes() <= bytes));
        let memory = match device {
            Device::Cpu(_) => {
                let layout = layout(bytes)?;
                // SAFETY: the layout has a non-zero size.
                let base = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) });
                Memory::Host(base.ok_or_else(|| too_large(bytes))?)
            }
            Device::Cuda(cuda) => {
                let buffer = cuda.allocate(bytes)?;
                cuda.fill(buffer.ptr(), 0, bytes)?;
                Memory::Cuda(buffer)
            }
        };
        let place = |r: &Region| {
            let at = match &memory {
                // SAFETY: regions lie within the allocation (above), each on a cache line.
                Memory::Host(base) => unsafe { base.add(r.offset).as_ptr() },
                Memory::Cuda(_) => std::ptr::null_mut(),
            };
            Place { at, len: r.len, row: r.row.unwrap_or(0), dtype: r.dtype, borrows: Cell::new(0) }
        };
        let places = regions.iter().map(place).collect();
        Ok(Self { memory, bytes, regions, places, changes: Cell::new(0) })
    }

    /// An arena without memory.
    pub fn empty() -> Self {
        let memory = Memory::Host(NonNull::dangling());
        Self { memory, bytes: NOTHING, regions: Vec::new(), places: Vec::new(), changes: Cell::new(0) }
    }

    /// Borrows region `index` for reading; `rows` cuts a batch to its valid rows.
    #[inline(always)]
    pub fn read<T: Element>(&self, index: usize, rows: usize) -> Result<Read<'_, T>> {
        let place = self.locate::<T>(index)?;
        let flag = &place.borrows;
        if flag.get() < 0 {
            return Err(borrowed(index));
        }
        flag.set(flag.get() + 1);
        Ok(Read { ptr: place.start(), len: place.len(rows), flag, life: PhantomData })
    }

    /// Borrows region `index` for writing.
    #[inline(always)]
    pub fn write<T: Element>(&self, index: usize, rows: usize) -> Result<Write<'_, T>> {
        let place = self.locate::<T>(index)?;
        let flag = &place.borrows;
        if flag.get() != 0 {
            return Err(borrowed(index));
        }
        flag.set(-1);
        self.changed();
        Ok(Write { ptr: place.start(), len: place.len(rows), flag, life: PhantomData })
    }

    /// How often memory was handed out to be changed, or somebody said that it was.
    pub fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Says that it was changed: on a device nobody sees that.
    #[inline(always)]
    pub fn changed(&self) {
        self.changes.set(self.changes.get() + 1);
    }

    #[inline(always)]
    fn locate<T: Element>(&self, index: usize) -> Result<&Place> {
        match self.places.get(index) {
            Some(place) if place.dtype == T::ELEMENT && !place.at.is_null() => Ok(place),
            _ => Err(self.foreign(index, T::ELEMENT)),
        }
    }

    /// The address of region `index` on the device, for the argument of a kernel.
    pub fn ptr(&self, index: usize) -> Result<Ptr> {
        match (&self.memory, self.regions.get(index)) {
            (Memory::Cuda(buffer), Some(r)) => Ok(buffer.ptr().offset(r.offset)),
            (_, None) => Err(self.foreign(index, DType::F32)),
            (Memory::Host(_), _) => Err(Error::order("slot", "asked for its device address, but it lies on the host")),
        }
    }

    /// Elements of region `index` within `rows`.
    pub fn len(&self, index: usize, rows: usize) -> Result<usize> {
        let r = self.regions.get(index).ok_or_else(|| self.foreign(index, DType::F32))?;
        Ok(r.row.map_or(r.len, |row| row * rows).min(r.len))
    }

    /// The device that holds the memory, if it is not the host.
    #[inline]
    pub fn cuda(&self) -> Option<&Cuda> {
        match &self.memory {
            Memory::Host(_) => None,
            Memory::Cuda(buffer) => Some(buffer.cuda()),
        }
    }

    #[cold]
    fn foreign(&self, index: usize, asked: DType) -> Error {
        match self.regions.get(index) {
            None => Error::order("slot", "belongs to another plan").got(index),
            Some(r) if r.dtype == asked => on_device(index),
            Some(r) => {
                let e = Error::order("slot", "borrowed with another element type");
                e.expected(format!("{:?}", r.dtype)).got(format!("{asked:?}"))
            }
        }
    }

    /// Region `index` without a guard: the exclusive borrow excludes guards. Host memory only.
    pub fn slice<T: Element>(&mut self, index: usize, rows: usize) -> Result<&[T]> {
        let place = self.locate::<T>(index)?;
        // SAFETY: initialised Pod memory, and no guard lives beside `&mut self`.
        Ok(unsafe { std::slice::from_raw_parts(place.start().as_ptr(), place.len(rows)) })
    }

    /// How many elements of a type it has room for.
    pub fn elements(&self, dtype: DType) -> usize {
        if self.bytes == NOTHING { 0 } else { self.bytes / dtype.bytes() }
    }

    /// All of the host memory as elements of one type. Where regions lie in it, `regions` tells.
    #[inline(always)]
    pub fn whole<T: Element>(&mut self) -> Result<&mut [T]> {
        self.changed();
        match &self.memory {
            // SAFETY: initialised memory that any Pod type can be read from; `&mut self` excludes all guards.
            Memory::Host(base) if self.bytes != NOTHING => {
                Ok(unsafe { std::slice::from_raw_parts_mut(base.cast::<T>().as_ptr(), self.bytes / size_of::<T>()) })
            }
            _ => Err(on_device(0)),
        }
    }

    /// As [`Arena::whole`], for reading.
    #[inline(always)]
    pub fn all<T: Element>(&mut self) -> Result<&[T]> {
        match &self.memory {
            // SAFETY: as in `whole`.
            Memory::Host(base) if self.bytes != NOTHING => {
                Ok(unsafe { std::slice::from_raw_parts(base.cast::<T>().as_ptr(), self.bytes / size_of::<T>()) })
            }
            _ => Err(on_device(0)),
        }
    }

    /// All bytes of host memory, for canaries and poison between passes.
    pub fn raw(&mut self) -> Option<&mut [u8]> {
        self.changed();
        debug_assert!(self.places.iter().all(|p| p.borrows.get() == 0));
        match &self.memory {
            // SAFETY: `&mut self` excludes all guards, and the allocation is initialised.
            Memory::Host(base) if self.bytes != NOTHING => {
                Some(unsafe { std::slice::from_raw_parts_mut(base.as_ptr(), self.bytes) })
            }
            _ => None,
        }
    }
}

/// The size of an arena without memory.
const NOTHING: usize = usize::MAX;

impl Drop for Arena {
    fn drop(&mut self) {
        if let (Memory::Host(base), true, Ok(layout)) = (&self.memory, self.bytes != NOTHING, layout(self.bytes)) {
            // SAFETY: allocated in `new` with the same layout.
            unsafe { std::alloc::dealloc(base.as_ptr(), layout) }
        }
    }
}

fn layout(bytes: usize) -> Result<std::alloc::Layout> {
    std::alloc::Layout::from_size_align(bytes.max(ALIGN), ALIGN).map_err(|_| too_large(bytes))
}

fn too_large(bytes: usize) -> Error {
    Error::out_of_memory("arena", "the system refused the allocation").got(format!("{bytes} bytes")).hint("use a smaller batch")
}

#[cold]
fn borrowed(index: usize) -> Error {
    Error::order("slot", format!("slot {index} is already borrowed"))
        .hint("a pass borrows a slot once for writing or many times for reading")
}

#[cold]
fn on_device(index: usize) -> Error {
    Error::unsupported("slot", format!("slot {index} lies on a GPU and cannot be borrowed as a slice"))
        .hint("launch a kernel on Step::ptr in the Device::Cuda arm; a layer or optimizer without one runs on the CPU only")
}

/// The types a slot can hold.
pub trait Element: bytemuck::Pod {
    /// The runtime name of the type.
    const ELEMENT: DType;
}
impl Element for f32 {
    const ELEMENT: DType = DType::F32;
}
impl Element for f64 {
    const ELEMENT: DType = DType::F64;
}
impl Element for u32 {
    const ELEMENT: DType = DType::U32;
}

/// A slot borrowed for reading; dereferences to a slice.
pub struct Read<'a, T> {
    ptr: NonNull<T>,
    len: usize,
    flag: &'a Cell<i32>,
    life: PhantomData<&'a [T]>,
}

/// A slot borrowed for writing; dereferences to a mutable slice.
pub struct Write<'a, T> {
    ptr: NonNull<T>,
    len: usize,
    flag: &'a Cell<i32>,
    life: PhantomData<&'a mut [T]>,
}

impl<T> Deref for Read<'_, T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the region is initialised memory of Pod type, and the flag excludes writers.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl<T> Deref for Write<'_, T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: as for `Read`; this guard is the only one.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Write<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: the flag is −1, so no other guard of this slot lives; other live slots do not share bytes (plan).
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl<T> Drop for Read<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.flag.set(self.flag.get() - 1);
    }
}

impl<T> Drop for Write<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.flag.set(0);
    }
}
