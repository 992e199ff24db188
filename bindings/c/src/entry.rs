//! What stands around every function: arguments into Rust, errors and panics into a status.

use crate::float_mode::FloatMode;
use crate::status::{kmc_status, lend_text, remember};
use kamacite::Extent;
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// An error on its way to C.
#[derive(Debug)]
pub(crate) struct Fault {
    pub status: kmc_status,
    pub sentence: String,
}

pub(crate) type Answer<T = ()> = Result<T, Fault>;

impl Fault {
    pub fn new(status: kmc_status, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    /// An argument outside its domain.
    pub fn value(what: &str, expected: impl Display, got: impl Display) -> Self {
        Self::new(kmc_status::KMC_ERR_VALUE, format!("{what}: expected {expected}, got {got}"))
    }

    /// An array of another length than needed.
    pub fn shape(what: &str, expected: impl Display, got: impl Display) -> Self {
        Self::new(kmc_status::KMC_ERR_SHAPE, format!("{what}: expected {expected}, got {got}"))
    }
}

impl From<kamacite::Error> for Fault {
    fn from(e: kamacite::Error) -> Self {
        Self::new(e.kind().into(), e.to_string())
    }
}

thread_local! {
    /// What the panic on this thread said, and where.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A library does not print: what a panic says goes into the last error. The hook is that of this library's own runtime.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let payload = info.payload();
            let said = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
            let said = said.unwrap_or("no message");
            let place = info.location().map_or_else(String::new, |l| format!(" at {}:{}", l.file(), l.line()));
            PANIC.with(|kept| *kept.borrow_mut() = format!("{said}{place}"));
        }));
    });
}

/// Runs one function of the API: `name` begins the sentence of its failure.
pub(crate) fn entry(name: &str, f: impl FnOnce() -> Answer) -> kmc_status {
    let _mode = FloatMode::put_aside();
    lookup(name, f)
}

/// As [`entry`], for functions that compute nothing: half of the time of a getter would go into the floating-point mode.
pub(crate) fn lookup(name: &str, f: impl FnOnce() -> Answer) -> kmc_status {
    quiet_panics();
    let fault = match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => return kmc_status::KMC_OK,
        Ok(Err(fault)) => fault,
        Err(_) => {
            let said = PANIC.with(|kept| std::mem::take(&mut *kept.borrow_mut()));
            Fault::new(kmc_status::KMC_ERR_PANIC, format!("a bug in kamacite, please report it: {said}"))
        }
    };
    let fault = Fault { sentence: format!("{name}: {}", fault.sentence), ..fault };
    remember(&fault);
    fault.status
}

/// NULL where something is needed.
fn null(what: &str) -> Fault {
    Fault::new(kmc_status::KMC_ERR_NULL, format!("{what} is NULL"))
}

/// Where a result goes.
///
/// # Safety
/// The crate's contract.
pub(crate) unsafe fn output<'a, T>(p: *mut T, what: &str) -> Answer<&'a mut T> {
    demand_aligned(p, what)?;
    // SAFETY: the caller's promise.
    unsafe { p.as_mut() }.ok_or_else(|| null(what))
}

/// Where a result goes, or NULL where nobody wants it. To be called before the work: what is refused must not have happened.
///
/// # Safety
/// The crate's contract.
pub(crate) unsafe fn optional_output<'a, T>(p: *mut T, what: &str) -> Answer<Option<&'a mut T>> {
    demand_aligned(p, what)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { p.as_mut() })
}

/// A struct of the caller's.
///
/// # Safety
/// The crate's contract.
pub(crate) unsafe fn input<'a, T>(p: *const T, what: &str) -> Answer<&'a T> {
    demand_aligned(p, what)?;
    // SAFETY: the caller's promise.
    unsafe { p.as_ref() }.ok_or_else(|| null(what))
}

fn demand_aligned<T>(p: *const T, what: &str) -> Answer {
    if p.is_aligned() {
        return Ok(());
    }
    Err(Fault::value(what, format!("an address that is a multiple of {}", align_of::<T>()), format!("{p:p}")))
}

/// A length as Rust counts.
pub(crate) fn count(n: i64, what: &str) -> Answer<usize> {
    usize::try_from(n).ok().filter(|&n| n <= isize::MAX as usize / 8).ok_or_else(|| Fault::value(what, "0 or more", n))
}

/// Values of the caller's. NULL is an empty array.
///
/// # Safety
/// The crate's contract.
pub(crate) unsafe fn slice<'a, T>(p: *const T, len: i64, what: &str) -> Answer<&'a [T]> {
    let len = count(len, what)?;
    demand_aligned(p, what)?;
    match (p.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(null(what)),
        // SAFETY: the caller's promise.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(p, len) }),
    }
}

/// Class indices as the engine wants them, without a copy.
pub(crate) fn classes<'a>(values: &'a [i32], what: &str) -> Answer<&'a [u32]> {
    if let Some(i) = values.iter().position(|&c| c < 0) {
        return Err(Fault::value(&format!("{what}[{i}]"), "0 or more", values[i]));
    }
    // SAFETY: the same size and alignment, and no number below 0.
    Ok(unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) })
}

/// Room for values. NULL is no room.
///
/// # Safety
/// The crate's contract.
pub(crate) unsafe fn slice_mut<'a, T>(p: *mut T, len: i64, what: &str) -> Answer<&'a mut [T]> {
    let len = count(len, what)?;
    demand_aligned(p, what)?;
    match (p.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(null(what)),
        // SAFETY: the caller's promise.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts_mut(p, len) }),
    }
}

/// A string.
///
/// # Safety
/// The crate's contract.
pub(crate) unsafe fn text<'a>(p: *const c_char, what: &str) -> Answer<&'a str> {
    // SAFETY: the caller's promise.
    unsafe { optional_text(p, what) }?.ok_or_else(|| null(what))
}

/// A string, or nothing for NULL.
///
/// # Safety
/// The crate's contract.
pub(crate) unsafe fn optional_text<'a>(p: *const c_char, what: &str) -> Answer<Option<&'a str>> {
    if p.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { CStr::from_ptr(p) };
    bytes.to_str().map(Some).map_err(|e| Fault::value(what, "UTF-8", e))
}

/// Strings.
///
/// # Safety
/// The crate's contract.
pub(crate) unsafe fn texts<'a>(p: *const *const c_char, n: i64, what: &str) -> Answer<Vec<&'a str>> {
    // SAFETY: the caller's promise.
    let pointers = unsafe { slice(p, n, what) }?;
    // SAFETY: as above.
    pointers.iter().map(|&p| unsafe { text(p, what) }).collect()
}

/// Hands a text to the caller.
///
/// # Safety
/// The crate's contract.
pub(crate) unsafe fn give_text(out: *mut *const c_char, text: &str) -> Answer {
    // SAFETY: the caller's promise.
    *unsafe { output(out, "out") }? = lend_text(text);
    Ok(())
}

/// Prints a line on C's standard output, in order with what the program prints itself.
pub(crate) fn print_line(line: &CStr) {
    unsafe extern "C" {
        fn puts(s: *const c_char) -> c_int;
    }
    // SAFETY: a string that ends with NUL. What cannot be printed, a closed pipe say, is lost, as for the program's own lines.
    unsafe { puts(line.as_ptr()) };
}

/// A struct that begins with its size.
pub(crate) trait Sized32 {
    /// Its name, and the macro that initialises it.
    const NAME: &'static str;
}

/// Options of the caller's, whose size must be that of this version.
///
/// # Safety
/// The crate's contract. Only the first four bytes are read before the size is known to be right.
pub(crate) unsafe fn options<'a, T: Sized32>(p: *const T, what: &str) -> Answer<&'a T> {
    if !p.is_null() {
        demand_aligned(p, what)?;
        // SAFETY: the caller's promise; every such struct begins with a u32.
        sized::<T>(unsafe { p.cast::<u32>().read() })?;
    }
    // SAFETY: the caller's promise.
    unsafe { input(p, what) }
}

/// Options, or nothing for NULL.
///
/// # Safety
/// As [`options`].
pub(crate) unsafe fn optional<'a, T: Sized32>(p: *const T, what: &str) -> Answer<Option<&'a T>> {
    // SAFETY: the caller's promise.
    if p.is_null() { Ok(None) } else { unsafe { options(p, what) }.map(Some) }
}

/// A struct for results, whose size must be that of this version.
///
/// # Safety
/// As [`options`].
pub(crate) unsafe fn results<'a, T: Sized32>(p: *mut T, what: &str) -> Answer<&'a mut T> {
    if !p.is_null() {
        demand_aligned(p, what)?;
        // SAFETY: the caller's promise; every such struct begins with a u32.
        sized::<T>(unsafe { p.cast::<u32>().read() })?;
    }
    // SAFETY: the caller's promise.
    unsafe { output(p, what) }
}

/// Refuses the size of another version.
pub(crate) fn sized<T: Sized32>(got: u32) -> Answer {
    if got as usize == size_of::<T>() {
        return Ok(());
    }
    let name = T::NAME;
    let sentence = format!(
        "{name}.size: expected {}, got {got}; initialise it with {}_INIT, and compile with this library's header",
        size_of::<T>(),
        name.to_uppercase()
    );
    Err(Fault::new(kmc_status::KMC_ERR_STRUCT, sentence))
}

macro_rules! sized32 {
    ($($name:ident),* $(,)?) => {$(
        impl crate::entry::Sized32 for $name {
            const NAME: &'static str = stringify!($name);
        }
    )*};
}
pub(crate) use sized32;

/// Extents as four numbers.
pub(crate) fn extent(d: i64, h: i64, w: i64, c: i64) -> Answer<Extent> {
    let one = |n: i64, what: &str| usize::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| Fault::value(what, "1 or more", n));
    Ok(Extent::cube(one(d, "d")?, one(h, "h")?, one(w, "w")?, one(c, "c")?).check()?)
}

/// A flag: 0 or 1.
pub(crate) fn flag(value: i32, what: &str) -> Answer<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::value(what, "0 or 1", value)),
    }
}

/// Copies results to the caller's room of just that length.
pub(crate) fn copy_out<T: Copy>(to: &mut [T], from: &[T], what: &str) -> Answer {
    if to.len() != from.len() {
        return Err(Fault::shape(what, format!("room for {} values", from.len()), to.len()));
    }
    to.copy_from_slice(from);
    Ok(())
}
