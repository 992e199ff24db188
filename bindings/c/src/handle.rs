//! Handles: what C holds in place of an object.
//!
//! A handle looks like a pointer and is a number: a slot in a table, the generation of what is in it, and its type. The table's
//! memory is never given back, so that every number can be looked up, whatever it is: a handle that was destroyed, that was cast to
//! another type or made up is found out, and so is the use of one object by two calls at once.
//!
//! ```text
//! 63 .. 32 generation | 31 .. 4 slot + 1 | 3 a trainer's model | 2 .. 0 type
//! ```

use crate::entry::{Answer, Fault};
use crate::status::kmc_status::*;
use crate::{dataset, model, network, trainer};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

const _: () = assert!(size_of::<usize>() == 8, "handles need pointers of 64 bits");

/// Everything that a handle may stand for.
pub(crate) enum Object {
    Dataset(dataset::Data),
    Network(kamacite::Network),
    Model(Box<kamacite::Model>),
    Trainer(Box<trainer::Run>),
}

/// A type of handle.
pub(crate) trait Handle {
    /// What is behind it.
    type Of;
    const TAG: u64;
    fn of(object: &mut Object) -> Option<&mut Self::Of>;
}

const NAMES: [&str; 5] = ["nothing", "a kmc_dataset", "a kmc_network", "a kmc_model", "a kmc_trainer"];

impl Handle for dataset::kmc_dataset {
    type Of = dataset::Data;
    const TAG: u64 = 1;
    fn of(object: &mut Object) -> Option<&mut Self::Of> {
        match object {
            Object::Dataset(data) => Some(data),
            _ => None,
        }
    }
}

impl Handle for network::kmc_network {
    type Of = kamacite::Network;
    const TAG: u64 = 2;
    fn of(object: &mut Object) -> Option<&mut Self::Of> {
        match object {
            Object::Network(net) => Some(net),
            _ => None,
        }
    }
}

impl Handle for model::kmc_model {
    type Of = kamacite::Model;
    const TAG: u64 = 3;
    fn of(object: &mut Object) -> Option<&mut Self::Of> {
        match object {
            Object::Model(model) => Some(model),
            Object::Trainer(run) => Some(run.trainer.model_mut()),
            _ => None,
        }
    }
}

impl Handle for trainer::kmc_trainer {
    type Of = trainer::Run;
    const TAG: u64 = 4;
    fn of(object: &mut Object) -> Option<&mut Self::Of> {
        match object {
            Object::Trainer(run) => Some(run),
            _ => None,
        }
    }
}

/// Marks the model that belongs to a trainer.
const BORROWED: u64 = 8;

/// A place in the table. `state` is generation << 32 | flags.
struct Place {
    state: AtomicU64,
    /// A fit is asked to stop. Outside of the object, so that a signal handler may set it.
    stop: AtomicBool,
    object: UnsafeCell<Option<Object>>,
}

const LIVE: u64 = 1;
const BUSY: u64 = 2;
const POISONED: u64 = 4;

// SAFETY: `object` is touched only by the one call that has set BUSY (or took the place from the free list), and every object is Send.
unsafe impl Sync for Place {}

const fn is_send<T: Send>() {}
const _: () = is_send::<Object>();

/// Pages of 64, 128, 256, … places, made when needed and never given back.
static PAGES: [OnceLock<Box<[Place]>>; 22] = [const { OnceLock::new() }; 22];

/// Places that are free, and how many there are in all.
static FREE: Mutex<(Vec<u32>, u32)> = Mutex::new((Vec::new(), 0));

fn place(slot: u32) -> Option<&'static Place> {
    let n = slot.checked_add(64)?;
    let page = n.ilog2() - 6;
    PAGES.get(page as usize)?.get()?.get((n - (64 << page)) as usize)
}

fn take_place() -> Answer<(u32, &'static Place)> {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let slot = match free.0.pop() {
        Some(slot) => slot,
        None => {
            let (n, page) = (free.1 + 64, ((free.1 + 64).ilog2() - 6) as usize);
            let full = || Fault::new(KMC_ERR_OUT_OF_MEMORY, format!("{} handles exist already; destroy some", free.1));
            let page = PAGES.get(page).ok_or_else(full)?;
            page.get_or_init(|| (0..1_u64 << n.ilog2()).map(|_| Place::new()).collect());
            free.1 += 1;
            free.1 - 1
        }
    };
    place(slot).map(|p| (slot, p)).ok_or_else(|| Fault::new(KMC_ERR_PANIC, "handle table"))
}

impl Place {
    fn new() -> Self {
        Self { state: AtomicU64::new(1 << 32), stop: AtomicBool::new(false), object: UnsafeCell::new(None) }
    }
}

/// Puts an object into the table.
pub(crate) fn insert<H: Handle>(object: Object) -> Answer<*mut H> {
    let (slot, place) = take_place()?;
    // SAFETY: the place is not LIVE, and this call has taken it from the free list: nobody else touches it.
    unsafe { *place.object.get() = Some(object) };
    place.stop.store(false, Ordering::Relaxed);
    let generation = place.state.load(Ordering::Relaxed) & !0xffff_ffff;
    place.state.store(generation | LIVE, Ordering::Release);
    Ok((generation | (u64::from(slot) + 1) << 4 | H::TAG) as usize as *mut H)
}

/// A handle taken apart and looked up.
struct Found {
    place: &'static Place,
    slot: u32,
    /// The state of an object that is there and not in use.
    idle: u64,
    borrowed: bool,
}

fn find<H: Handle>(handle: *mut H, what: &str) -> Answer<Found> {
    if handle.is_null() {
        return Err(Fault::new(KMC_ERR_NULL, format!("{what} is NULL")));
    }
    let bits = handle as usize as u64;
    let wrong = |said: String| Err(Fault::new(KMC_ERR_HANDLE, format!("{what}: {said}")));
    let (generation, tag, slot) = (bits & !0xffff_ffff, bits & 7, (bits & 0xffff_ffff) >> 4);
    let known = u32::try_from(slot).ok().and_then(|slot| place(slot.checked_sub(1)?));
    let (Some(place), true, 1..=4) = (known, generation != 0 && (bits & BORROWED == 0 || tag == 3), tag) else {
        return wrong(format!("{bits:#x} is no handle; pass what a kmc_..._create function gave"));
    };
    if tag != H::TAG {
        return wrong(format!("expected {}, got {}", NAMES[H::TAG as usize], NAMES[tag as usize]));
    }
    Ok(Found { place, slot: slot as u32 - 1, idle: generation | LIVE, borrowed: bits & BORROWED != 0 })
}

impl Found {
    /// Takes the object for one call.
    fn lock(&self, what: &str, also: u64) -> Answer<Busy> {
        let locked = |idle: u64| {
            let busy = (idle | BUSY, Ordering::Acquire);
            self.place.state.compare_exchange(idle, busy.0, busy.1, Ordering::Relaxed).map(|_| Busy { place: self.place, idle })
        };
        let seen = match locked(self.idle) {
            Ok(busy) => return Ok(busy),
            Err(seen) if seen == self.idle | also => match locked(seen) {
                Ok(busy) => return Ok(busy),
                Err(seen) => seen,
            },
            Err(seen) => seen,
        };
        Err(match seen {
            s if s & !(BUSY | POISONED) != self.idle => {
                Fault::new(KMC_ERR_HANDLE, format!("{what}: this handle was destroyed before"))
            }
            s if s & BUSY != 0 => Fault::new(
                KMC_ERR_BUSY,
                format!("{what}: in use by another thread, or by the call whose callback this is; one call at a time"),
            ),
            _ => Fault::new(KMC_ERR_POISONED, format!("{what}: an earlier call on this handle failed half way; destroy it")),
        })
    }
}

/// The right to one object, until dropped.
struct Busy {
    place: &'static Place,
    idle: u64,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let poison = if std::thread::panicking() { POISONED } else { 0 };
        self.place.state.store(self.idle | poison, Ordering::Release);
    }
}

/// Calls `f` with the object behind a handle.
pub(crate) fn with<H: Handle, R>(handle: *mut H, what: &str, f: impl FnOnce(&mut H::Of) -> Answer<R>) -> Answer<R> {
    let busy = find(handle, what)?.lock(what, 0)?;
    // SAFETY: this call has set BUSY: nobody else touches the object until `busy` is dropped.
    let object = unsafe { &mut *busy.place.object.get() };
    let Some(of) = object.as_mut().and_then(H::of) else {
        return Err(Fault::new(KMC_ERR_HANDLE, format!("{what}: another type of object is behind this handle")));
    };
    f(of)
}

/// Takes the object behind a handle out of the table, and drops it. NULL is nothing.
pub(crate) fn destroy<H: Handle>(handle: *mut H, what: &str) -> Answer {
    if handle.is_null() {
        return Ok(());
    }
    let found = find(handle, what)?;
    if found.borrowed {
        let sentence = format!("{what}: this model belongs to a trainer; kmc_trainer_destroy destroys it");
        return Err(Fault::new(KMC_ERR_ORDER, sentence));
    }
    let busy = found.lock(what, POISONED)?;
    // SAFETY: as in `with`.
    let object = unsafe { (*busy.place.object.get()).take() };
    // The next generation; 0 is none, so that no handle is ever NULL.
    let next = (found.idle & !0xffff_ffff).wrapping_add(1 << 32).max(1 << 32);
    std::mem::forget(busy);
    found.place.state.store(next, Ordering::Release);
    FREE.lock().unwrap_or_else(PoisonError::into_inner).0.push(found.slot);
    drop(object);
    Ok(())
}

/// The model of a trainer, as a handle of its own.
pub(crate) fn model_of(trainer: *mut trainer::kmc_trainer) -> Answer<*mut model::kmc_model> {
    with(trainer, "trainer", |_| Ok(()))?;
    let bits = trainer as usize as u64;
    Ok((bits & !7 | BORROWED | model::kmc_model::TAG) as usize as *mut model::kmc_model)
}

/// The flag that asks for an end of what a handle is doing. Touches atomics only: signal handlers may call it.
pub(crate) fn stop_flag<H: Handle>(handle: *mut H) -> Option<&'static AtomicBool> {
    let bits = handle as usize as u64;
    let slot = u32::try_from((bits & 0xffff_ffff) >> 4).ok()?.checked_sub(1)?;
    let place = place(slot)?;
    let live = place.state.load(Ordering::Relaxed) & !(BUSY | POISONED) == bits & !0xffff_ffff | LIVE;
    (live && bits & 7 == H::TAG).then_some(&place.stop)
}

#[cfg(test)]
mod tests;
