#[unsafe(export_name = "update")]
unsafe extern "C" fn c_update(w: *mut f32, g: *const f32, n: i32, rate: f32) {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::update(write(w, n), read(g, n), rate) }
}
