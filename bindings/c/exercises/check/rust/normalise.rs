#[unsafe(export_name = "normalise")]
unsafe extern "C" fn c_normalise(x: *mut f32, n: i64, m: i32) {
    // SAFETY: x[n][m] of the checker.
    unsafe { student::normalise(write(x, n * i64::from(m)), m as usize) }
}
