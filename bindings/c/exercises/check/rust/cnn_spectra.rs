//! cnn_spectra.rs for the checker cnn_spectra.c, which calls C functions.

mod student;
include!("bridge.rs");

use kamacite::op::conv::{Geometry, Slices};
use kamacite::{Cpu, Extent, Window};

/// `kmc_window` of kamacite.h and `stage` of spectra.h.
#[repr(C)]
struct CWindow {
    size: u32,
    reserved: i32,
    d: i64,
    h: i64,
    w: i64,
    c: i64,
    filters: i64,
    kernel: [i64; 3],
    stride: [i64; 3],
    before: [i64; 3],
    after: [i64; 3],
    dilation: [i64; 3],
    groups: i64,
}

#[repr(C)]
struct Stage {
    window: CWindow,
    inputs: i64,
    outputs: i64,
    filters: i64,
    weights: i64,
}

fn conv(s: &Stage, rows: i64) -> Slices<f32> {
    let at_least_1 = |n: [i64; 3]| n.map(|n| n.max(1) as usize);
    let zeros = |n: [i64; 3]| n.map(|n| n as usize);
    let p = &s.window;
    let window = Window {
        stride: at_least_1(p.stride),
        before: zeros(p.before),
        after: zeros(p.after),
        ..Window::new(at_least_1(p.kernel))
    };
    let geometry = Geometry::new(Extent::line(p.w as usize, p.c as usize), p.filters as usize, window, 1).expect("window");
    Slices::new(&Cpu::default(), geometry, rows as usize).expect("plan")
}

#[unsafe(export_name = "conv_forward")]
unsafe extern "C" fn c_conv_forward(y: *mut f32, x: *const f32, w: *const f32, s: *const Stage, rows: i64) {
    // SAFETY: arrays of the checker, of these lengths.
    let (s, y, x, w) = unsafe { (&*s, write(y, rows * (*s).outputs), read(x, rows * (*s).inputs), read(w, (*s).weights)) };
    student::conv_forward(y, x, w, &conv(s, rows)).expect("conv_forward()");
}

#[unsafe(export_name = "conv_backward")]
unsafe extern "C" fn c_conv_backward(
    dx: *mut f32,
    g: *mut f32,
    dy: *mut f32,
    x: *const f32,
    y: *const f32,
    w: *const f32,
    s: *const Stage,
    rows: i64,
) {
    // SAFETY: arrays of the checker, of these lengths.
    let (s, g, x, w) = unsafe { (&*s, write(g, (*s).weights), read(x, rows * (*s).inputs), read(w, (*s).weights)) };
    // SAFETY: as above.
    let (dx, dy, y) = unsafe { (write(dx, rows * s.inputs), write(dy, rows * s.outputs), read(y, rows * s.outputs)) };
    student::conv_backward(Some(dx), g, dy, x, y, w, &conv(s, rows)).expect("conv_backward()");
}

#[unsafe(export_name = "dense_forward")]
unsafe extern "C" fn c_dense_forward(a: *mut f32, x: *const f32, w: *const f32, rows: i64, m: i64, n: i64) {
    let sizes = [rows, m, n].map(|n| n as usize);
    // SAFETY: arrays of the checker, of these lengths.
    let (a, x, w) = unsafe { (write(a, rows * n), read(x, rows * m), read(w, (m + 1) * n)) };
    student::dense_forward(&Cpu::default(), a, x, w, sizes).expect("dense_forward()");
}

#[unsafe(export_name = "dense_backward")]
unsafe extern "C" fn c_dense_backward(
    dx: *mut f32,
    g: *mut f32,
    d: *const f32,
    x: *const f32,
    w: *const f32,
    rows: i64,
    m: i64,
    n: i64,
) {
    let sizes = [rows, m, n].map(|n| n as usize);
    // SAFETY: arrays of the checker, of these lengths.
    let (dx, g, d) = unsafe { (write(dx, rows * m), write(g, (m + 1) * n), read(d, rows * n)) };
    // SAFETY: as above.
    let (x, w) = unsafe { (read(x, rows * m), read(w, (m + 1) * n)) };
    student::dense_backward(&Cpu::default(), dx, g, d, x, w, sizes).expect("dense_backward()");
}

#[unsafe(export_name = "softmax_loss")]
unsafe extern "C" fn c_softmax_loss(d: *mut f32, a: *const f32, label: *const u32, rows: i64, n: i64) -> f64 {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::softmax_loss(write(d, rows * n), read(a, rows * n), read(label, rows), n as usize) }
}

#[unsafe(export_name = "update")]
unsafe extern "C" fn c_update(w: *mut f32, v: *mut f32, g: *const f32, n: i32, rate: f32, momentum: f32) {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::update(write(w, n), write(v, n), read(g, n), rate, momentum) }
}
