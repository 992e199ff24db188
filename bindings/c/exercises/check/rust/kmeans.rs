//! kmeans.rs for the checker kmeans.c, which calls C functions.

mod student;
include!("bridge.rs");

#[unsafe(export_name = "distance2")]
unsafe extern "C" fn c_distance2(a: *const f32, b: *const f32, dims: i32) -> f32 {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::distance2(read(a, dims), read(b, dims)) }
}

#[unsafe(export_name = "assign")]
unsafe extern "C" fn c_assign(cluster: *mut u32, x: *const f32, centres: *const f32, n: i64, dims: i32, k: i32) -> f64 {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::assign(write(cluster, n), read(x, n * i64::from(dims)), read(centres, k * dims), dims as usize) }
}

#[unsafe(export_name = "update_centres")]
unsafe extern "C" fn c_update_centres(centres: *mut f32, cluster: *const u32, x: *const f32, n: i64, dims: i32, k: i32) -> f64 {
    // SAFETY: arrays of the checker, of these lengths.
    unsafe { student::update_centres(write(centres, k * dims), read(cluster, n), read(x, n * i64::from(dims)), dims as usize) }
}

#[unsafe(export_name = "kmeans")]
unsafe extern "C" fn c_kmeans(centres: *mut f32, cluster: *mut u32, x: *const f32, n: i64, dims: i32, k: i32, seed: u64) -> f64 {
    // SAFETY: arrays of the checker, of these lengths.
    let (x, to_centres, to_cluster) = unsafe { (read(x, n * i64::from(dims)), write(centres, k * dims), write(cluster, n)) };
    let (centres, cluster, error) = student::kmeans(x, dims as usize, k as usize, seed).expect("kmeans()");
    to_centres.copy_from_slice(&centres);
    to_cluster.copy_from_slice(&cluster);
    error
}
