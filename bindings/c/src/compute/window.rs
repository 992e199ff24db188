//! The window of convolutions and poolings.

use crate::entry::{Answer, Fault, copy_out, entry, options, sized32, slice_mut};
use crate::status::kmc_status;
use kamacite::op::{conv, pool};
use kamacite::{Extent, Window};

/// A sliding window over one sample x[d][h][w][c], channels last; initialise it with `KMC_WINDOW_INIT`. Arrays of three are for d, h and w.
/// Along an axis of n cells it takes (n + before + after - (kernel - 1) dilation - 1) / stride + 1 places, rounded down.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_window {
    /// sizeof(kmc_window)
    pub size: u32,
    /// 0
    pub reserved: i32,
    /// Depth; 0: 1.
    pub d: i64,
    /// Height; 0: 1.
    pub h: i64,
    /// Width; 0: 1.
    pub w: i64,
    /// Channels, at least 1.
    pub c: i64,
    /// Filters of a convolution; poolings do not look at it.
    pub filters: i64,
    /// Cells under the window; 0: 1.
    pub kernel: [i64; 3],
    /// Steps between places; 0: 1.
    pub stride: [i64; 3],
    /// Zeros before the first cell.
    pub before: [i64; 3],
    /// Zeros after the last cell.
    pub after: [i64; 3],
    /// Distance between cells under the window; 0: 1.
    pub dilation: [i64; 3],
    /// Groups of channels and filters; 0: 1.
    pub groups: i64,
}

sized32!(kmc_window);

/// Sizes that a caller may leave at 0.
fn or_one(n: i64, what: &str) -> Answer<usize> {
    usize::try_from(n).map(|n| n.max(1)).map_err(|_| Fault::value(what, "0 or more", n))
}

fn three(n: [i64; 3], what: &str, least: usize) -> Answer<[usize; 3]> {
    let one = |n: i64| usize::try_from(n).map(|n| n.max(least)).map_err(|_| Fault::value(what, "0 or more", n));
    Ok([one(n[0])?, one(n[1])?, one(n[2])?])
}

fn parts(p: &kmc_window) -> Answer<(Extent, Window)> {
    let c = usize::try_from(p.c).ok().filter(|&c| c > 0).ok_or_else(|| Fault::value("window.c", "1 or more", p.c))?;
    let x = Extent::cube(or_one(p.d, "window.d")?, or_one(p.h, "window.h")?, or_one(p.w, "window.w")?, c).check()?;
    let window = Window {
        stride: three(p.stride, "window.stride", 1)?,
        before: three(p.before, "window.before", 0)?,
        after: three(p.after, "window.after", 0)?,
        dilation: three(p.dilation, "window.dilation", 1)?,
        ..Window::new(three(p.kernel, "window.kernel", 1)?)
    };
    Ok((x, window))
}

/// The sizes of a convolution.
///
/// # Safety
/// The crate's contract.
pub(super) unsafe fn convolution(p: *const kmc_window) -> Answer<conv::Geometry> {
    // SAFETY: the caller's promise.
    let p = unsafe { options(p, "window") }?;
    let (x, window) = parts(p)?;
    let filters = usize::try_from(p.filters)
        .ok()
        .filter(|&n| n > 0)
        .ok_or_else(|| Fault::value("window.filters", "1 or more", p.filters))?;
    Ok(conv::Geometry::new(x, filters, window, or_one(p.groups, "window.groups")?)?)
}

/// The sizes of the patches under a window; filters and groups have no part in them.
///
/// # Safety
/// The crate's contract.
pub(super) unsafe fn patches(p: *const kmc_window) -> Answer<conv::Geometry> {
    // SAFETY: the caller's promise.
    let (x, window) = parts(unsafe { options(p, "window") }?)?;
    Ok(conv::Geometry::new(x, 1, window, 1)?)
}

/// The sizes of a pooling.
///
/// # Safety
/// The crate's contract.
pub(super) unsafe fn pooling(p: *const kmc_window) -> Answer<pool::Geometry> {
    // SAFETY: the caller's promise.
    let (x, window) = parts(unsafe { options(p, "window") }?)?;
    Ok(pool::Geometry::new(x, window)?)
}

/// The extent d, h, w, c of what comes out: as many channels as filters, or as go in where `filters` is 0 (poolings).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_window_output(out_dhwc: *mut i64, window: *const kmc_window) -> kmc_status {
    entry("kmc_window_output", || {
        // SAFETY: the crate's contract.
        let (out, filters) = unsafe { (slice_mut(out_dhwc, 4, "out_dhwc")?, options(window, "window")?.filters) };
        // SAFETY: as above.
        let y = unsafe { if filters == 0 { pooling(window)?.output() } else { convolution(window)?.y } };
        copy_out(out, &[y.d, y.h, y.w, y.c].map(|n| n as i64), "out_dhwc")
    })
}
