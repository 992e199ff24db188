//! k-means in one call.

use super::{apart, area, cpu, span};
use crate::entry::{Answer, Fault, copy_out, count, entry, optional, results, sized32, slice, slice_mut, text};
use crate::status::kmc_status;
use kamacite::Real;
use kamacite::data::points::write_centres;
use kamacite::kmeans::{KMeans, Start};
use std::ffi::c_char;

/// Where the centres of k-means begin.
pub type kmc_start = i32;
/// k-means++: a sample, then samples drawn in proportion to their squared distance from the centres so far.
pub const KMC_KMEANS_PLUS_PLUS: i32 = 0;
/// Samples, each drawn from all: the plain start of the course.
pub const KMC_KMEANS_POINTS: i32 = 1;

/// Options of k-means; initialise them with `KMC_KMEANS_OPTIONS_INIT`. Zero is the default of every field.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_kmeans_options {
    /// sizeof(kmc_kmeans_options)
    pub size: u32,
    /// Where the centres begin.
    pub start: kmc_start,
    /// Starts, of which the best is kept; 0: 10.
    pub restarts: i64,
    /// The most iterations of a start; 0: 100.
    pub max_iterations: i64,
    /// A start ends when no centre moves farther than this.
    pub tolerance: f64,
    /// What all draws are keyed by.
    pub seed: u64,
}

/// What k-means found; initialise it with `KMC_KMEANS_RESULT_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_kmeans_result {
    /// sizeof(kmc_kmeans_result)
    pub size: u32,
    /// 1: the best start ended because its centres came to rest; 0: because of `max_iterations`.
    pub converged: i32,
    /// Iterations of the best start.
    pub iterations: i64,
    /// Centres without samples.
    pub empty: i64,
    /// Mean over the samples of |x - c|^2.
    pub mean_squared_distance: f64,
}

sized32!(kmc_kmeans_options, kmc_kmeans_result);

fn plan(k: usize, options: Option<&kmc_kmeans_options>) -> Answer<KMeans> {
    let plan = KMeans::new(k);
    let Some(o) = options else { return Ok(plan) };
    let or = |n: i64, default: usize, what: &str| count(n, what).map(|n| if n == 0 { default } else { n });
    let start = match o.start {
        KMC_KMEANS_PLUS_PLUS => Start::KMeansPlusPlus,
        KMC_KMEANS_POINTS => Start::Points,
        _ => return Err(Fault::value("options.start", "KMC_KMEANS_PLUS_PLUS or KMC_KMEANS_POINTS", o.start)),
    };
    let plan = plan.start(start).restarts(or(o.restarts, 10, "options.restarts")?);
    Ok(plan.max_iterations(or(o.max_iterations, 100, "options.max_iterations")?).tolerance(o.tolerance).seed(o.seed))
}

/// # Safety
/// The crate's contract.
unsafe fn kmeans<T: Real>(
    out: *mut kmc_kmeans_result,
    (centres, assignment): (*mut T, *mut i32),
    (x, n): (*const T, i64),
    (dims, k): (i64, i64),
    options: *const kmc_kmeans_options,
) -> Answer {
    let (len, room) = (area(n, dims, "n x dims")?, area(k, dims, "k x dims")?);
    let labels = if assignment.is_null() { 0 } else { n };
    apart(
        &[
            span("out", out.cast_const(), i64::from(!out.is_null())),
            span("centres", centres.cast_const(), room),
            span("assignment", assignment.cast_const(), labels),
        ],
        &[span("x", x, len)],
    )?;
    // SAFETY: the caller's promise; what is written is apart from x.
    let (x, centres, assignment) =
        unsafe { (slice(x, len, "x")?, slice_mut(centres, room, "centres")?, slice_mut(assignment, labels, "assignment")?) };
    // SAFETY: as above.
    let (options, out) =
        unsafe { (optional(options, "options")?, if out.is_null() { None } else { Some(results(out, "out")?) }) };
    let found = plan(count(k, "k")?, options)?.fit(cpu(), x, count(dims, "dims")?)?;
    copy_out(centres, &found.centres, "centres")?;
    assignment.iter_mut().zip(&found.assignment).for_each(|(to, from)| *to = *from as i32);
    if let Some(out) = out {
        out.converged = i32::from(found.converged);
        out.iterations = found.iterations as i64;
        out.empty = found.sizes.iter().filter(|n| **n == 0).count() as i64;
        out.mean_squared_distance = found.mean_squared_distance;
    }
    Ok(())
}

/// k-means: `centres`[k][dims] and the nearest of them for each of the samples x[n][dims], from 0, of equally near ones the first. A centre without
/// samples stays where it was. `out`, `assignment` and `options` may be NULL. The arrays must not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_kmeans_f32(
    out: *mut kmc_kmeans_result,
    centres: *mut f32,
    assignment: *mut i32,
    x: *const f32,
    n: i64,
    dims: i64,
    k: i64,
    options: *const kmc_kmeans_options,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_kmeans_f32", || unsafe { kmeans(out, (centres, assignment), (x, n), (dims, k), options) })
}

/// As `kmc_kmeans_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_kmeans_f64(
    out: *mut kmc_kmeans_result,
    centres: *mut f64,
    assignment: *mut i32,
    x: *const f64,
    n: i64,
    dims: i64,
    k: i64,
    options: *const kmc_kmeans_options,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_kmeans_f64", || unsafe { kmeans(out, (centres, assignment), (x, n), (dims, k), options) })
}

/// Writes centres[k][dims] to a file as the course's programs do: dims and k, then one line for each centre.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_centres_write(path: *const c_char, centres: *const f32, k: i64, dims: i64) -> kmc_status {
    entry("kmc_centres_write", || {
        // SAFETY: the crate's contract.
        let path = unsafe { text(path, "path") }?;
        // SAFETY: as above.
        let centres = unsafe { slice(centres, area(k, dims, "k x dims")?, "centres") }?;
        Ok(write_centres(path, centres, count(dims, "dims")?)?)
    })
}
