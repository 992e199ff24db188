//! perceptron_or.rs for the checker perceptron_or.c, which calls C functions.

mod student;
include!("bridge.rs");

#[unsafe(export_name = "neuron")]
unsafe extern "C" fn c_neuron(x: *const f32, w: *const f32, m: i32) -> i32 {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::neuron(read(x, m), read(w, m + 1)) as i32 }
}

#[unsafe(export_name = "learn")]
unsafe extern "C" fn c_learn(w: *mut f32, x: *const f32, o: i32, t: i32, m: i32, rate: f32) {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::learn(write(w, m + 1), read(x, m), o as u32, t as u32, rate) }
}
