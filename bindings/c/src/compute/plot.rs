//! Pictures of points.

use super::area;
use crate::entry::{Answer, Fault, classes, count, entry, slice, text};
use crate::status::kmc_status;
use kamacite::plot;
use std::ffi::{c_char, c_void};

/// A classifier of points in the plane, for `kmc_plot_boundary`: the class of point[2], from 0, or a negative number to end the picture.
pub type kmc_classify_fn = Option<unsafe extern "C" fn(point: *const f32, user: *mut c_void) -> i32>;

/// Writes a picture (SVG or PNG) of points x[n][dims], dims 2 or 3, in the colours of their clusters, with the centres[k][dims]. `assignment` and
/// `centres` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_plot_clusters(
    path: *const c_char,
    x: *const f32,
    n: i64,
    dims: i64,
    assignment: *const i32,
    centres: *const f32,
    k: i64,
) -> kmc_status {
    entry("kmc_plot_clusters", || {
        // SAFETY: the crate's contract.
        let (path, x) = unsafe { (text(path, "path")?, slice(x, area(n, dims, "n x dims")?, "x")?) };
        let k = if centres.is_null() { 0 } else { k };
        // SAFETY: as above.
        let centres = unsafe { slice(centres, area(k, dims, "k x dims")?, "centres") }?;
        let assignment = if assignment.is_null() {
            None
        } else {
            // SAFETY: as above.
            Some(classes(unsafe { slice(assignment, n, "assignment") }?, "assignment")?)
        };
        Ok(plot::clusters(path, x, count(dims, "dims")?, assignment, centres)?)
    })
}

/// Writes a picture (SVG or PNG) of points x[n][2] in the colours of their labels, over the regions in which `classify` answers each class. `user` is
/// handed to `classify`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_plot_boundary(
    path: *const c_char,
    x: *const f32,
    n: i64,
    labels: *const i32,
    classify: kmc_classify_fn,
    user: *mut c_void,
) -> kmc_status {
    entry("kmc_plot_boundary", || {
        // SAFETY: the crate's contract.
        let (path, x, labels) = unsafe {
            (text(path, "path")?, slice(x, area(n, 2, "n x 2")?, "x")?, classes(slice(labels, n, "labels")?, "labels")?)
        };
        let classify = classify.ok_or_else(|| Fault::new(kmc_status::KMC_ERR_NULL, "classify is NULL"))?;
        let mut refused = None;
        let drawn = plot::boundary(path, x, labels, |point| {
            // SAFETY: a function of the caller's, with the arguments that its type names.
            let class = unsafe { classify(point.as_ptr(), user) };
            u32::try_from(class).map_err(|_| {
                refused = Some(class);
                kamacite::Error::order("classify", "stopped")
            })
        });
        refused.map_or_else(|| drawn.map_err(Fault::from), stopped)
    })
}

fn stopped(class: i32) -> Answer {
    Err(Fault::new(kmc_status::KMC_ERR_CALLBACK, format!("classify answered {class}, no class")))
}
