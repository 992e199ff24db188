//! Convolutions, and the patches of the textbooks.

use super::window::{convolution, kmc_window, patches};
use super::{Span, apart, cpu, span};
use crate::entry::{Answer, Fault, count, entry, slice, slice_mut};
use crate::status::kmc_status;
use kamacite::Real;
use kamacite::memory::GradMode;
use kamacite::op::conv::{Geometry, Slices};
use kamacite::op::im2col;
use std::any::Any;
use std::cell::RefCell;

/// An array that is read, with its length.
type In<T> = (*const T, i64);
/// An array that is written.
type Out<T> = (*mut T, i64);

/// Plans that a thread keeps: those of the layers that it computes in turn.
const KEPT: usize = 16;

thread_local! {
    /// The last ones, the latest first. Planning a small convolution takes as long as computing it.
    static PLANS: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Hands the plan for `rows` samples to `f`.
fn planned<T: Real>(g: Geometry, rows: usize, f: impl FnOnce(&Slices<T>) -> Answer) -> Answer {
    PLANS.with_borrow_mut(|plans| {
        let fits = |p: &Box<dyn Any>| p.downcast_ref::<Slices<T>>().is_some_and(|p| *p.geometry() == g && p.capacity() == rows);
        let at = match plans.iter().position(fits) {
            Some(at) => at,
            None => {
                let plan = Slices::<T>::new(cpu(), g, rows)?;
                plans.truncate(KEPT - 1);
                plans.insert(0, Box::new(plan));
                0
            }
        };
        plans[..=at].rotate_right(1);
        plans[0].downcast_ref::<Slices<T>>().map_or_else(|| Err(Fault::shape("plan", "one of this type", "another")), f)
    })
}

/// Refuses another length than `rows` times so many values.
fn whole(what: &str, len: i64, rows: usize, row: usize) -> Answer {
    if rows.checked_mul(row).is_some_and(|n| n as i64 == len) {
        return Ok(());
    }
    Err(Fault::shape(what, format!("{rows} x {row} values"), len))
}

fn rows_of(rows: i64) -> Answer<usize> {
    count(rows, "rows").and_then(|n| if n == 0 { Err(Fault::value("rows", "1 or more", n)) } else { Ok(n) })
}

fn of<T>(name: &'static str, (p, len): In<T>) -> Span {
    span(name, p, len)
}

fn of_mut<T>(name: &'static str, (p, len): Out<T>) -> Span {
    span(name, p.cast_const(), len)
}

/// # Safety
/// The crate's contract.
unsafe fn forward<T: Real>(y: Out<T>, x: In<T>, w: In<T>, bias: *const T, window: *const kmc_window, rows: i64) -> Answer {
    // SAFETY: the caller's promise.
    let (g, rows) = (unsafe { convolution(window) }?, rows_of(rows)?);
    whole("y", y.1, rows, g.y.len())?;
    whole("x", x.1, rows, g.x.len())?;
    let bias = (bias, if bias.is_null() { 0 } else { g.y.c as i64 });
    apart(&[of_mut("y", y)], &[of("x", x), of("w", w), of("bias", bias)])?;
    // SAFETY: the caller's promise; y is apart from the others.
    let (x, w, b, y) =
        unsafe { (slice(x.0, x.1, "x")?, slice(w.0, w.1, "w")?, slice(bias.0, bias.1, "bias")?, slice_mut(y.0, y.1, "y")?) };
    planned(g, rows, |plan| Ok(plan.forward(x, w, (!b.is_empty()).then_some(b), y)?))
}

/// # Safety
/// The crate's contract.
unsafe fn input_gradient<T: Real>(dx: Out<T>, dy: In<T>, w: In<T>, window: *const kmc_window, rows: i64) -> Answer {
    // SAFETY: the caller's promise.
    let (g, rows) = (unsafe { convolution(window) }?, rows_of(rows)?);
    whole("dx", dx.1, rows, g.x.len())?;
    whole("dy", dy.1, rows, g.y.len())?;
    apart(&[of_mut("dx", dx)], &[of("dy", dy), of("w", w)])?;
    // SAFETY: the caller's promise; dx is apart from the others.
    let (dy, w, dx) = unsafe { (slice(dy.0, dy.1, "dy")?, slice(w.0, w.1, "w")?, slice_mut(dx.0, dx.1, "dx")?) };
    planned(g, rows, |plan| Ok(plan.input_gradient(dy, w, GradMode::Write, dx)?))
}

/// # Safety
/// The crate's contract.
unsafe fn weight_gradient<T: Real>(dw: Out<T>, db: *mut T, x: In<T>, dy: In<T>, window: *const kmc_window, rows: i64) -> Answer {
    // SAFETY: the caller's promise.
    let (g, rows) = (unsafe { convolution(window) }?, rows_of(rows)?);
    whole("x", x.1, rows, g.x.len())?;
    whole("dy", dy.1, rows, g.y.len())?;
    let db = (db, if db.is_null() { 0 } else { g.y.c as i64 });
    apart(&[of_mut("dw", dw), of_mut("db", db)], &[of("x", x), of("dy", dy)])?;
    // SAFETY: the caller's promise; dw and db are apart from all others.
    let (x, dy, dw, db) =
        unsafe { (slice(x.0, x.1, "x")?, slice(dy.0, dy.1, "dy")?, slice_mut(dw.0, dw.1, "dw")?, slice_mut(db.0, db.1, "db")?) };
    planned(g, rows, |plan| {
        plan.weight_gradient(x, dy, GradMode::Write, dw)?;
        if db.is_empty() { Ok(()) } else { Ok(plan.bias_gradient(dy, GradMode::Write, db)?) }
    })
}

/// Lengths of a sample and of its patches.
fn sizes(g: &Geometry) -> Answer<(usize, usize)> {
    let patches = g.y.area().checked_mul(g.window.taps()).and_then(|n| n.checked_mul(g.x.c)).filter(|&n| n <= 1 << 40);
    patches.map(|n| (g.x.len(), n)).ok_or_else(|| Fault::shape("columns", "at most 2^40 values", "more"))
}

/// # Safety
/// The crate's contract.
unsafe fn unfold<T: Real>(columns: Out<T>, x: In<T>, window: *const kmc_window) -> Answer {
    // SAFETY: the caller's promise.
    let g = unsafe { patches(window) }?;
    let (sample, patches) = sizes(&g)?;
    whole("columns", columns.1, 1, patches)?;
    whole("x", x.1, 1, sample)?;
    apart(&[of_mut("columns", columns)], &[of("x", x)])?;
    // SAFETY: the caller's promise; columns is apart from x.
    im2col::im2col(&g, unsafe { slice(x.0, x.1, "x") }?, unsafe { slice_mut(columns.0, columns.1, "columns") }?);
    Ok(())
}

/// # Safety
/// The crate's contract.
unsafe fn fold<T: Real>(x: Out<T>, columns: In<T>, window: *const kmc_window) -> Answer {
    // SAFETY: the caller's promise.
    let g = unsafe { patches(window) }?;
    let (sample, patches) = sizes(&g)?;
    whole("columns", columns.1, 1, patches)?;
    whole("x", x.1, 1, sample)?;
    apart(&[of_mut("x", x)], &[of("columns", columns)])?;
    // SAFETY: the caller's promise; x is apart from columns.
    im2col::col2im(&g, unsafe { slice(columns.0, columns.1, "columns") }?, unsafe { slice_mut(x.0, x.1, "x") }?);
    Ok(())
}

/// The patches of one sample x[d][h][w][c] under a window: columns[position][cell under the window][c], 0 in the padding. A convolution is
/// then the product of `columns` with the weights, and `filters` of the window has no part in it. The arrays must not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_im2col_f32(
    columns: *mut f32,
    columns_len: i64,
    x: *const f32,
    x_len: i64,
    window: *const kmc_window,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_im2col_f32", || unsafe { unfold((columns, columns_len), (x, x_len), window) })
}

/// As `kmc_im2col_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_im2col_f64(
    columns: *mut f64,
    columns_len: i64,
    x: *const f64,
    x_len: i64,
    window: *const kmc_window,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_im2col_f64", || unsafe { unfold((columns, columns_len), (x, x_len), window) })
}

/// The transpose of `kmc_im2col_f32`: x takes the sum of all elements of `columns` that came from it. The arrays must not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_col2im_f32(
    x: *mut f32,
    x_len: i64,
    columns: *const f32,
    columns_len: i64,
    window: *const kmc_window,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_col2im_f32", || unsafe { fold((x, x_len), (columns, columns_len), window) })
}

/// As `kmc_col2im_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_col2im_f64(
    x: *mut f64,
    x_len: i64,
    columns: *const f64,
    columns_len: i64,
    window: *const kmc_window,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_col2im_f64", || unsafe { fold((x, x_len), (columns, columns_len), window) })
}

/// A convolution of `rows` samples: y[p][f] = bias[f] + sum over the window's cells and channels of x w, with w[kd][kh][kw][c / groups][filters]
/// and filters values of `bias` (NULL: none). y must not overlap the others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_conv_forward_f32(
    y: *mut f32,
    y_len: i64,
    x: *const f32,
    x_len: i64,
    w: *const f32,
    w_len: i64,
    bias: *const f32,
    window: *const kmc_window,
    rows: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_conv_forward_f32", || unsafe { forward((y, y_len), (x, x_len), (w, w_len), bias, window, rows) })
}

/// As `kmc_conv_forward_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_conv_forward_f64(
    y: *mut f64,
    y_len: i64,
    x: *const f64,
    x_len: i64,
    w: *const f64,
    w_len: i64,
    bias: *const f64,
    window: *const kmc_window,
    rows: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_conv_forward_f64", || unsafe { forward((y, y_len), (x, x_len), (w, w_len), bias, window, rows) })
}

/// The gradient wrt the input of a convolution: dx from dy. dx must not overlap the others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_conv_input_gradient_f32(
    dx: *mut f32,
    dx_len: i64,
    dy: *const f32,
    dy_len: i64,
    w: *const f32,
    w_len: i64,
    window: *const kmc_window,
    rows: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_conv_input_gradient_f32", || unsafe { input_gradient((dx, dx_len), (dy, dy_len), (w, w_len), window, rows) })
}

/// As `kmc_conv_input_gradient_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_conv_input_gradient_f64(
    dx: *mut f64,
    dx_len: i64,
    dy: *const f64,
    dy_len: i64,
    w: *const f64,
    w_len: i64,
    window: *const kmc_window,
    rows: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_conv_input_gradient_f64", || unsafe { input_gradient((dx, dx_len), (dy, dy_len), (w, w_len), window, rows) })
}

/// The gradients wrt the weights and (unless it is NULL) the bias of a convolution, summed over the samples: dw, and db of filters values, from
/// x and dy. dw and db must overlap nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_conv_weight_gradient_f32(
    dw: *mut f32,
    dw_len: i64,
    db: *mut f32,
    x: *const f32,
    x_len: i64,
    dy: *const f32,
    dy_len: i64,
    window: *const kmc_window,
    rows: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_conv_weight_gradient_f32", || unsafe { weight_gradient((dw, dw_len), db, (x, x_len), (dy, dy_len), window, rows) })
}

/// As `kmc_conv_weight_gradient_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_conv_weight_gradient_f64(
    dw: *mut f64,
    dw_len: i64,
    db: *mut f64,
    x: *const f64,
    x_len: i64,
    dy: *const f64,
    dy_len: i64,
    window: *const kmc_window,
    rows: i64,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_conv_weight_gradient_f64", || unsafe { weight_gradient((dw, dw_len), db, (x, x_len), (dy, dy_len), window, rows) })
}
