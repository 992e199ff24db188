//! Status codes, the last error, versions.

use crate::entry::Fault;
use kamacite::ErrorKind;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};

/// The version of the binary interface; a program that was compiled against another one must be compiled anew.
pub const KMC_ABI_VERSION: u32 = 2;

/// What every function answers: 0 for success.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum kmc_status {
    /// Done.
    KMC_OK = 0,
    /// Sizes that do not fit together.
    KMC_ERR_SHAPE = 1,
    /// A network that cannot be planned.
    KMC_ERR_PLAN = 2,
    /// More memory needed than there is.
    KMC_ERR_OUT_OF_MEMORY = 3,
    /// A device that is absent or failed.
    KMC_ERR_DEVICE = 4,
    /// A value outside its domain.
    KMC_ERR_VALUE = 5,
    /// A file that contradicts its format.
    KMC_ERR_FORMAT = 6,
    /// The operating system refused to read or write.
    KMC_ERR_IO = 7,
    /// A legal request that this build or device cannot serve.
    KMC_ERR_UNSUPPORTED = 8,
    /// The first NaN or infinity of a training run.
    KMC_ERR_DIVERGED = 9,
    /// Calls in an order that makes no sense.
    KMC_ERR_ORDER = 10,
    /// NULL where something is needed.
    KMC_ERR_NULL = 11,
    /// A handle that was destroyed, was never made, or is of another type.
    KMC_ERR_HANDLE = 12,
    /// An option struct whose field `size` is not that of this version: initialise it with its `_INIT` macro.
    KMC_ERR_STRUCT = 13,
    /// The handle is in use: by another thread, or by the call whose callback this is.
    KMC_ERR_BUSY = 14,
    /// An earlier call on this handle failed half way; it can only be destroyed.
    KMC_ERR_POISONED = 15,
    /// A bug in the library. The handles of the call are poisoned.
    KMC_ERR_PANIC = 16,
    /// A callback answered with an error.
    KMC_ERR_CALLBACK = 17,
}

use kmc_status::*;

impl From<ErrorKind> for kmc_status {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Shape => KMC_ERR_SHAPE,
            ErrorKind::Plan => KMC_ERR_PLAN,
            ErrorKind::OutOfMemory => KMC_ERR_OUT_OF_MEMORY,
            ErrorKind::Device => KMC_ERR_DEVICE,
            ErrorKind::Value => KMC_ERR_VALUE,
            ErrorKind::Format => KMC_ERR_FORMAT,
            ErrorKind::Io => KMC_ERR_IO,
            ErrorKind::Diverged => KMC_ERR_DIVERGED,
            ErrorKind::Order => KMC_ERR_ORDER,
            // Unsupported, and what the Rust crate may add.
            _ => KMC_ERR_UNSUPPORTED,
        }
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
    static TEXT: RefCell<CString> = RefCell::default();
}

/// As a C string; a NUL within, which Rust strings may hold, becomes a space.
fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

/// Keeps the sentence for `kmc_last_error`.
pub(crate) fn remember(fault: &Fault) {
    LAST.with(|last| *last.borrow_mut() = c_string(&fault.sentence));
}

/// Keeps a text for the caller until the next one.
pub(crate) fn lend_text(text: &str) -> *const c_char {
    TEXT.with(|kept| {
        *kept.borrow_mut() = c_string(text);
        kept.borrow().as_ptr()
    })
}

/// The name of a status, as it is written in C: "KMC_ERR_SHAPE". Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn kmc_status_name(status: i32) -> *const c_char {
    const NAMES: [&CStr; 18] = [
        c"KMC_OK",
        c"KMC_ERR_SHAPE",
        c"KMC_ERR_PLAN",
        c"KMC_ERR_OUT_OF_MEMORY",
        c"KMC_ERR_DEVICE",
        c"KMC_ERR_VALUE",
        c"KMC_ERR_FORMAT",
        c"KMC_ERR_IO",
        c"KMC_ERR_UNSUPPORTED",
        c"KMC_ERR_DIVERGED",
        c"KMC_ERR_ORDER",
        c"KMC_ERR_NULL",
        c"KMC_ERR_HANDLE",
        c"KMC_ERR_STRUCT",
        c"KMC_ERR_BUSY",
        c"KMC_ERR_POISONED",
        c"KMC_ERR_PANIC",
        c"KMC_ERR_CALLBACK",
    ];
    usize::try_from(status).ok().and_then(|i| NAMES.get(i)).unwrap_or(&c"unknown status").as_ptr()
}

/// The last failure on this thread, as a sentence: where, what, expected, got, a hint. Empty if there was none, never NULL. It is valid
/// until the next failing call on this thread. Whether a call failed is told by its status alone.
#[unsafe(no_mangle)]
pub extern "C" fn kmc_last_error() -> *const c_char {
    LAST.with(|last| last.borrow().as_ptr())
}

/// The version of the library: "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn kmc_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// The version of the library's binary interface, to be compared with the header's `KMC_ABI_VERSION`.
#[unsafe(no_mangle)]
pub extern "C" fn kmc_abi_version() -> u32 {
    KMC_ABI_VERSION
}
