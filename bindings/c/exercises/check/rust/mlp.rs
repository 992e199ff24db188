#[unsafe(export_name = "layer")]
unsafe extern "C" fn c_layer(y: *mut f32, x: *const f32, w: *const f32, m: i32, n: i32) {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::layer(write(y, n), read(x, m), read(w, (m + 1) * n)) }
}

#[unsafe(export_name = "output_delta")]
unsafe extern "C" fn c_output_delta(d: *mut f32, o: *const f32, t: *const f32, n: i32) {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::output_delta(write(d, n), read(o, n), read(t, n)) }
}

#[unsafe(export_name = "hidden_delta")]
unsafe extern "C" fn c_hidden_delta(e: *mut f32, d: *const f32, h: *const f32, w: *const f32, m: i32, n: i32) {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::hidden_delta(write(e, m), read(d, n), read(h, m), read(w, (m + 1) * n)) }
}

#[unsafe(export_name = "gradient")]
unsafe extern "C" fn c_gradient(g: *mut f32, x: *const f32, d: *const f32, m: i32, n: i32) {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::gradient(write(g, (m + 1) * n), read(x, m), read(d, n)) }
}
