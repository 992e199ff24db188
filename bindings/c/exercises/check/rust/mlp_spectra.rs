//! mlp_spectra.rs for the checker mlp_spectra.c, which calls C functions.

mod student;
include!("bridge.rs");
include!("normalise.rs");
include!("update.rs");

const INPUTS: i64 = 3754;
const CLASSES: i64 = 7;

#[unsafe(export_name = "layer")]
unsafe extern "C" fn c_layer(y: *mut f32, stride: i64, x: *const f32, w: *const f32, rows: i64, m: i64, n: i64) {
    let sizes = [rows, m, n].map(|n| n as usize);
    // SAFETY: arrays of the checker, of these lengths.
    let (y, x, w) = unsafe { (write(y, rows * stride), read(x, rows * m), read(w, m * n)) };
    student::layer(&kamacite::Cpu::default(), y, stride as usize, x, w, sizes).expect("layer()");
}

#[unsafe(export_name = "output_delta")]
unsafe extern "C" fn c_output_delta(d: *mut f32, o: *const f32, t: *const f32, n: i64) {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::output_delta(write(d, n), read(o, n), read(t, n)) }
}

#[unsafe(export_name = "hidden_delta")]
unsafe extern "C" fn c_hidden_delta(e: *mut f32, d: *const f32, h: *const f32, w: *const f32, rows: i64, m: i64, n: i64) {
    let sizes = [rows, m, n].map(|n| n as usize);
    // SAFETY: arrays of the checker, of these lengths.
    let (e, d, h, w) = unsafe { (write(e, rows * m), read(d, rows * n), read(h, rows * (m + 1)), read(w, (m + 1) * n)) };
    student::hidden_delta(&kamacite::Cpu::default(), e, d, h, w, sizes).expect("hidden_delta()");
}

#[unsafe(export_name = "gradient")]
unsafe extern "C" fn c_gradient(g: *mut f32, x: *const f32, d: *const f32, rows: i64, m: i64, n: i64) {
    let sizes = [rows, m, n].map(|n| n as usize);
    // SAFETY: arrays of the checker, of these lengths.
    let (g, x, d) = unsafe { (write(g, m * n), read(x, rows * m), read(d, rows * n)) };
    student::gradient(&kamacite::Cpu::default(), g, x, d, sizes).expect("gradient()");
}

#[unsafe(export_name = "rebalance")]
unsafe extern "C" fn c_rebalance(x: *mut f32, t: *mut f32, label: *const u32, rows: i64, cap: *const i64) -> i64 {
    // SAFETY: arrays of the checker, of these lengths.
    let (x, t, label, cap) = unsafe { (write(x, rows * INPUTS), write(t, rows * CLASSES), read(label, rows), read(cap, CLASSES)) };
    let mut most = [0; CLASSES as usize];
    most.iter_mut().zip(cap).for_each(|(most, &cap)| *most = cap as usize);
    student::rebalance(x, t, label, &most) as i64
}
