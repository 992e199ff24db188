//! k-means, and what calls back: the gradient check, the picture of a boundary.

use crate::{last_error, numbers, ok, refused};
use kamacite_capi::compute::gradcheck::*;
use kamacite_capi::compute::kmeans::*;
use kamacite_capi::compute::plot::*;
use kamacite_capi::status::kmc_status::*;
use std::ffi::{CString, c_void};
use std::ptr::{null, null_mut};

fn options() -> kmc_kmeans_options {
    let size = size_of::<kmc_kmeans_options>() as u32;
    kmc_kmeans_options { size, start: KMC_KMEANS_PLUS_PLUS, restarts: 0, max_iterations: 0, tolerance: 0.0, seed: 5 }
}

#[test]
fn kmeans_is_that_of_rust() {
    let x = numbers(300, 1);
    let (mut centres, mut assignment, o) = ([0.0_f32; 12], [-1; 100], options());
    let size = size_of::<kmc_kmeans_result>() as u32;
    let mut out = kmc_kmeans_result { size, converged: -1, iterations: 0, empty: -1, mean_squared_distance: 0.0 };
    // SAFETY: 100 samples of 3, 4 centres.
    unsafe {
        ok(kmc_kmeans_f32(&mut out, centres.as_mut_ptr(), assignment.as_mut_ptr(), x.as_ptr(), 100, 3, 4, &o));
        let found = kamacite::kmeans::KMeans::new(4).seed(5).fit(&kamacite::Cpu::new(1).unwrap(), &x, 3).unwrap();
        assert_eq!(centres[..], found.centres);
        assert!(assignment.iter().zip(&found.assignment).all(|(a, b)| *a as u32 == *b));
        assert_eq!((out.converged, out.iterations, out.empty), (1, found.iterations as i64, 0));
        assert_eq!(out.mean_squared_distance, found.mean_squared_distance);
        // Everything optional left out.
        ok(kmc_kmeans_f32(null_mut(), centres.as_mut_ptr(), null_mut(), x.as_ptr(), 100, 3, 4, null()));
        let one = kmc_kmeans_options { max_iterations: 1, restarts: 1, start: KMC_KMEANS_POINTS, ..o };
        ok(kmc_kmeans_f32(&mut out, centres.as_mut_ptr(), null_mut(), x.as_ptr(), 100, 3, 4, &one));
        assert_eq!((out.converged, out.iterations), (0, 1));

        let c = centres.as_mut_ptr();
        let run = |k: i64, o: kmc_kmeans_options| kmc_kmeans_f32(null_mut(), c, null_mut(), x.as_ptr(), 100, 3, k, &o);
        refused(run(0, o), KMC_ERR_VALUE, &["kmc_kmeans_f32", "clusters"]);
        refused(run(-1, o), KMC_ERR_VALUE, &["k"]);
        refused(run(4, kmc_kmeans_options { size: 0, ..o }), KMC_ERR_STRUCT, &["KMC_KMEANS_OPTIONS_INIT"]);
        refused(run(4, kmc_kmeans_options { start: 2, ..o }), KMC_ERR_VALUE, &["options.start"]);
        refused(run(4, kmc_kmeans_options { restarts: -1, ..o }), KMC_ERR_VALUE, &["options.restarts"]);
        refused(run(4, kmc_kmeans_options { tolerance: f64::NAN, ..o }), KMC_ERR_VALUE, &["tolerance"]);
        out.size = 1;
        refused(kmc_kmeans_f32(&mut out, c, null_mut(), x.as_ptr(), 100, 3, 4, &o), KMC_ERR_STRUCT, &["KMC_KMEANS_RESULT_INIT"]);
        refused(kmc_kmeans_f32(null_mut(), c, null_mut(), c, 4, 3, 4, &o), KMC_ERR_VALUE, &["centres", "apart from x"]);
        refused(kmc_kmeans_f32(null_mut(), null_mut(), null_mut(), x.as_ptr(), 100, 3, 4, &o), KMC_ERR_NULL, &["centres"]);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = CString::new(dir.path().join("centres.dat").to_str().unwrap()).unwrap();
    // SAFETY: 4 centres of 3.
    unsafe {
        ok(kmc_centres_write(path.as_ptr(), centres.as_ptr(), 4, 3));
        let text = std::fs::read_to_string(dir.path().join("centres.dat")).unwrap();
        assert!(text.starts_with("3 4\n") && text.lines().count() == 5);
        let picture = dir.path().join("centres.svg");
        let path = CString::new(picture.to_str().unwrap()).unwrap();
        ok(kmc_plot_clusters(path.as_ptr(), x.as_ptr(), 100, 3, assignment.as_ptr(), centres.as_ptr(), 4));
        ok(kmc_plot_clusters(path.as_ptr(), x.as_ptr(), 150, 2, null(), null(), 0));
        assert!(std::fs::read_to_string(picture).unwrap().contains("<svg"));
        refused(kmc_plot_clusters(null(), x.as_ptr(), 150, 2, null(), null(), 0), KMC_ERR_NULL, &["path"]);
        refused(kmc_centres_write(c"/nowhere/at/all".as_ptr(), centres.as_ptr(), 4, 3), KMC_ERR_IO, &["nowhere"]);
    }
}

unsafe extern "C" fn bowl(out: *mut f64, w: *const f64, n: i64, user: *mut c_void) -> i32 {
    // SAFETY: as `kmc_loss_fn` says; `user` counts the calls and holds a limit.
    let (w, calls) = unsafe { (std::slice::from_raw_parts(w, n as usize), &mut *user.cast::<[i32; 2]>()) };
    calls[0] += 1;
    if calls[0] > calls[1] {
        return 42;
    }
    // SAFETY: as above.
    unsafe { *out = w.iter().map(|w| w * w).sum() };
    0
}

#[test]
fn a_gradient_is_checked_through_a_callback() {
    let (w, right, wrong) = ([1.0, -2.0, 3.0], [2.0, -4.0, 6.0], [2.0, 4.0, 6.0]);
    let mut calls = [0, i32::MAX];
    let user = (&raw mut calls).cast::<c_void>();
    let size = size_of::<kmc_gradcheck_result>() as u32;
    let mut out = kmc_gradcheck_result { size, reserved: 0, worst: -1, deviation: -1.0, analytic: 0.0, numeric: 0.0 };
    // SAFETY: three parameters, a function of the right type.
    unsafe {
        ok(kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), right.as_ptr(), 3, 0.0));
        assert!(out.deviation < 1e-9, "{out:?}");
        ok(kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), wrong.as_ptr(), 3, 0.0));
        assert!(out.worst == 1 && (out.deviation - 2.0).abs() < 1e-9 && (out.numeric + 4.0).abs() < 1e-9, "{out:?}");
        (*user.cast::<[i32; 2]>())[0] = 0;
        ok(kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), right.as_ptr(), 3, 1e-3));
        assert!(out.deviation < 1e-9 && (*user.cast::<[i32; 2]>())[0] == 6);
        *user.cast::<[i32; 2]>() = [0, 4];
        refused(
            kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), right.as_ptr(), 3, 0.0),
            KMC_ERR_CALLBACK,
            &["kmc_gradcheck", "42"],
        );
        assert_eq!((*user.cast::<[i32; 2]>())[0], 5, "no call after the one that failed");
        refused(kmc_gradcheck(&mut out, None, user, w.as_ptr(), right.as_ptr(), 3, 0.0), KMC_ERR_NULL, &["loss"]);
        refused(kmc_gradcheck(null_mut(), Some(bowl), user, w.as_ptr(), right.as_ptr(), 3, 0.0), KMC_ERR_NULL, &["out"]);
        refused(kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), right.as_ptr(), 0, 0.0), KMC_ERR_SHAPE, &["gradient"]);
        refused(kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), right.as_ptr(), 3, -1.0), KMC_ERR_VALUE, &["step"]);
        out.size = 3;
        refused(
            kmc_gradcheck(&mut out, Some(bowl), user, w.as_ptr(), right.as_ptr(), 3, 0.0),
            KMC_ERR_STRUCT,
            &["kmc_gradcheck_result"],
        );
    }
}

unsafe extern "C" fn half_plane(point: *const f32, user: *mut c_void) -> i32 {
    // SAFETY: two coordinates; `user` is an answer for points on the right.
    unsafe { if *point > 0.0 { *user.cast::<i32>() } else { 0 } }
}

#[test]
fn a_boundary_is_drawn_through_a_callback() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("boundary.svg");
    let path = CString::new(file.to_str().unwrap()).unwrap();
    let (x, labels) = ([-1.0_f32, 0.0, 1.0, 0.5], [0, 1]);
    // SAFETY: two points, a function of the right type.
    unsafe {
        for (answer, expected) in [(1, KMC_OK), (-3, KMC_ERR_CALLBACK)] {
            let mut answer: i32 = answer;
            let user = (&raw mut answer).cast();
            let status = kmc_plot_boundary(path.as_ptr(), x.as_ptr(), 2, labels.as_ptr(), Some(half_plane), user);
            assert_eq!(status, expected, "{}", last_error());
        }
        assert!(last_error().contains("-3"));
        refused(kmc_plot_boundary(path.as_ptr(), x.as_ptr(), 2, labels.as_ptr(), None, null_mut()), KMC_ERR_NULL, &["classify"]);
        refused(
            kmc_plot_boundary(path.as_ptr(), x.as_ptr(), -2, labels.as_ptr(), Some(half_plane), null_mut()),
            KMC_ERR_VALUE,
            &["n x 2"],
        );
    }
    assert!(std::fs::read_to_string(file).unwrap().contains("<svg"));
}
