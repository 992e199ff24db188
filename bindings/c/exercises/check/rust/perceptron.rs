#[unsafe(export_name = "neurons")]
unsafe extern "C" fn c_neurons(o: *mut f32, x: *const f32, w: *const f32, m: i32, n: i32) {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::neurons(write(o, n), read(x, m), read(w, (m + 1) * n)) }
}

#[unsafe(export_name = "learn")]
unsafe extern "C" fn c_learn(w: *mut f32, x: *const f32, o: *const f32, t: *const f32, m: i32, n: i32, rate: f32) {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::learn(write(w, (m + 1) * n), read(x, m), read(o, n), read(t, n), rate) }
}
