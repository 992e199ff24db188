//! Kernels with a planted fault, each caught and told by name, and their correct twins, which pass in every order of
//! execution.

mod device;
use device::{Emulator, ORDERS, Order, emulator};
use std::ffi::c_void;

const HEADERS: [(&str, &str); 3] = [
    ("prelude.cuh", include_str!("../../../kernels/prelude.cuh")),
    ("mma.cuh", include_str!("../../../kernels/mma.cuh")),
    ("faults.cuh", include_str!("../faults/faults.cuh")),
];
const ILLEGAL_ADDRESS: i32 = 700;
const LAUNCH_FAILED: i32 = 719;
const INVALID_VALUE: i32 = 1;

#[repr(C)]
#[derive(Clone, Copy)]
struct Args {
    x: u64,
    y: u64,
    n: u32,
    unused: u32,
}

const N: usize = 256;

fn x() -> Vec<f32> {
    (0..N).map(|i| i as f32 + 0.5).collect()
}

/// Runs y[i] = x[n-1-i]: whether it is right, or the error with its sentence.
fn run(e: &Emulator, module: *mut c_void, name: &str, threads: u32, shared: u32) -> Result<bool, (i32, String)> {
    let f = e.function(module, name).unwrap();
    let x = x();
    let args = Args { x: e.upload(&x), y: e.allocate(4 * N).unwrap(), n: N as u32, unused: 0 };
    let done = e.launch(f, [2, 1, 1], threads, shared, std::ptr::null_mut(), &args);
    let y = done.and_then(|()| e.download::<f32>(args.y, N)).map_err(|rc| (rc, e.fault()));
    y.map(|y| y.iter().zip(x.iter().rev()).all(|(y, x)| y == x))
}

macro_rules! fault {
    ($name:ident, $threads:expr, $shared:expr, |$e:ident, $module:ident| $planted:expr) => {
        #[test]
        fn $name() {
            let Some(e) = emulator() else { return };
            let (name, source) = (stringify!($name), include_str!(concat!("../faults/", stringify!($name), ".cu")));
            let good = e.module(name, source, &HEADERS, &[]).unwrap();
            for order in ORDERS {
                e.order(order);
                assert_eq!(run(&e, good, name, $threads, $shared), Ok(true), "{order:?}");
            }
            let $module = e.module(name, source, &HEADERS, &["-DPLANTED"]).unwrap();
            let $e = &*e;
            $planted
        }
    };
}

/// The planted fault shows as a wrong result in this order.
fn wrong(e: &Emulator, module: *mut c_void, name: &str, threads: u32, shared: u32, order: Order) {
    e.order(order);
    assert_eq!(run(e, module, name, threads, shared), Ok(false), "{order:?}");
}

/// The planted fault is told in every order; the device is broken from then on.
fn told(e: &Emulator, module: *mut c_void, name: &str, threads: u32, shared: u32, rc: i32, parts: &[&str]) {
    for order in ORDERS {
        e.reset();
        e.order(order);
        let (got, sentence) = run(e, module, name, threads, shared).unwrap_err();
        assert_eq!(got, rc, "{sentence}");
        for part in parts.iter().chain(&[format!("kernel {name}: ").as_str()]) {
            assert!(sentence.contains(part), "{order:?}: {part:?} is not in {sentence:?}");
        }
        assert_eq!(e.allocate(64), Err(rc), "the device stays broken");
    }
}

fault!(missing_barrier, 256, 1024, |e, m| for order in ORDERS {
    wrong(e, m, "missing_barrier", 256, 1024, order);
});
fault!(stale_shared, 256, 0, |e, m| for order in ORDERS {
    wrong(e, m, "stale_shared", 256, 0, order);
});
fault!(missing_copy_wait, 256, 0, |e, m| {
    wrong(e, m, "missing_copy_wait", 256, 0, Order::Forward);
    wrong(e, m, "missing_copy_wait", 256, 0, Order::Random);
});
fault!(missing_copy_arrival, 256, 0, |e, m| {
    wrong(e, m, "missing_copy_arrival", 256, 0, Order::Forward);
    wrong(e, m, "missing_copy_arrival", 256, 0, Order::Random);
});
fault!(stage_reused, 32, 0, |e, m| wrong(e, m, "stage_reused", 32, 0, Order::Reverse));
fault!(off_by_one, 256, 0, |e, m| {
    let parts = ["out-of-bounds access at +0 bytes behind an allocation of 1024 bytes", "block (1,0,0) thread (0,0,0)"];
    told(e, m, "off_by_one", 256, 0, ILLEGAL_ADDRESS, &parts);
});
fault!(divergent_barrier, 256, 0, |e, m| {
    told(
        e,
        m,
        "divergent_barrier",
        256,
        0,
        LAUNCH_FAILED,
        &["divergent barrier: __syncthreads at line", "other threads wait at line"],
    );
});
fault!(divergent_warp, 256, 0, |e, m| {
    told(
        e,
        m,
        "divergent_warp",
        256,
        0,
        LAUNCH_FAILED,
        &["divergent barrier", "in __shfl_xor_sync at line 11", "in __syncthreads at line 13"],
    );
});
fault!(partial_mask, 256, 0, |e, m| {
    told(e, m, "partial_mask", 256, 0, LAUNCH_FAILED, &["__shfl_xor_sync at line 9 with partial mask 0000ffff"]);
});
fault!(misaligned_ldmatrix, 32, 0, |e, m| {
    told(e, m, "misaligned_ldmatrix", 32, 0, LAUNCH_FAILED, &["misaligned ldmatrix", "the row of lane 0"]);
});
fault!(misaligned_copy, 64, 0, |e, m| {
    told(e, m, "misaligned_copy", 64, 0, LAUNCH_FAILED, &["misaligned cp.async of 16 bytes"]);
});
fault!(misaligned_vector, 64, 0, |e, m| {
    told(e, m, "misaligned_vector", 64, 0, ILLEGAL_ADDRESS, &["misaligned address"]);
});
fault!(lost_shared, 256, 1024, |e, m| {
    told(
        e,
        m,
        "lost_shared",
        256,
        1024,
        ILLEGAL_ADDRESS,
        &["out-of-bounds access at +0 bytes behind the 1024 bytes of dynamic shared memory"],
    );
});

#[test]
fn refused_launches() {
    let Some(e) = emulator() else { return };
    let module = e.module("good", include_str!("../faults/off_by_one.cu"), &HEADERS, &[]).unwrap();
    let f = e.function(module, "off_by_one").unwrap();
    assert_eq!(e.function(module, "off_by_two"), Err(500));
    let none = std::ptr::null_mut();
    let args = Args { x: e.upload(&x()), y: e.allocate(4 * N).unwrap(), n: N as u32, unused: 0 };
    let refused = |rc: Result<(), i32>, sentence: &str| {
        assert_eq!(rc, Err(INVALID_VALUE));
        assert!(e.fault().contains(sentence), "{}", e.fault());
    };
    refused(e.launch(f, [1, 1, 1], 257, 0, none, &args), "blocks of 257 threads, the kernel is declared for 256");
    refused(e.launch(f, [1, 65536, 1], 256, 0, none, &args), "a grid of 1 x 65536 x 1 blocks");
    refused(e.launch(f, [0, 1, 1], 256, 0, none, &args), "a grid of 0 x 1 x 1 blocks");
    refused(
        e.launch(f, [1, 1, 1], 256, 49153, none, &args),
        "49153 bytes of dynamic shared memory, the limit set for it is 49152",
    );
    let mut size = size_of::<Args>() - 8;
    let buffer = std::ptr::from_ref(&args).cast_mut().cast::<c_void>();
    let (pointer, size_of_buffer) = (std::ptr::without_provenance_mut(1), std::ptr::without_provenance_mut(2));
    let mut extra = [pointer, buffer, size_of_buffer, (&raw mut size).cast(), none];
    refused(
        unsafe { e.launch_raw(f, [1, 1, 1], 256, 0, none, std::ptr::null_mut(), extra.as_mut_ptr()) },
        "16 bytes of arguments, the kernel takes 24",
    );
    // None of them breaks the device.
    size = size_of::<Args>();
    extra[3] = (&raw mut size).cast();
    assert_eq!(unsafe { e.launch_raw(f, [1, 1, 1], 256, 0, none, std::ptr::null_mut(), extra.as_mut_ptr()) }, Ok(()));
    assert_eq!(e.download::<f32>(args.y, 1), Ok(vec![255.5]));
}

#[test]
fn text_that_does_not_compile_gives_a_log() {
    let Some(e) = emulator() else { return };
    let log = e.module("broken.cu", "#include \"prelude.cuh\"\nKERNEL(256, k, Nothing) {}\n", &HEADERS, &[]).unwrap_err();
    assert!(log.contains("broken.cu:2") && log.contains("Nothing"), "{log}");
    let log = e.module(
        "lost.cu",
        "#include \"prelude.cuh\"\nint missing(int);\nstruct A { u32 n; };\nKERNEL(32, k, A) { missing(a.n); }\n",
        &HEADERS,
        &[],
    );
    assert!(log.unwrap_err().contains("missing"), "an unresolved name is an error of the compiler");
}

#[test]
fn writes_behind_small_allocations_and_after_free() {
    let Some(e) = emulator() else { return };
    let module = e.module("off", include_str!("../faults/off_by_one.cu"), &HEADERS, &["-DPLANTED"]).unwrap();
    let f = e.function(module, "off_by_one").unwrap();
    let none = std::ptr::null_mut();
    // 100 elements are no multiple of 256 bytes: the next byte is accessible, but watched.
    let args = Args { x: 0, y: e.allocate(400).unwrap(), n: 100, unused: 0 };
    assert_eq!(e.launch(f, [1, 1, 1], 256, 0, none, &args), Err(ILLEGAL_ADDRESS));
    assert_eq!(e.fault(), "kernel off_by_one: out-of-bounds write at +0 bytes behind an allocation of 400 bytes");
    e.reset();
    let args = Args { x: 0, y: e.allocate(4096).unwrap(), n: 100, unused: 0 };
    assert_eq!(e.free(args.y), Ok(()));
    assert_eq!(e.free(args.y), Err(INVALID_VALUE), "freed twice");
    assert_eq!(e.launch(f, [1, 1, 1], 256, 0, none, &args), Err(ILLEGAL_ADDRESS));
    assert!(e.fault().contains("lies in no allocation"), "{}", e.fault());
    e.reset();
    let args = Args { x: 0, y: 0, n: 100, unused: 0 };
    assert_eq!(e.launch(f, [1, 1, 1], 256, 0, none, &args), Err(ILLEGAL_ADDRESS));
    assert!(e.fault().contains("null pointer"), "{}", e.fault());
}

#[test]
fn indices_outside_of_arrays() {
    let Some(e) = emulator() else { return };
    let source = r#"
#include "faults.cuh"
KERNEL(32, outside, Args) {
    __shared__ float tile[2][16];
    float mine[4] = {};
    tile[threadIdx.x / 16][threadIdx.x % 16 + a.unused] = 1;
    mine[a.unused * 4] = 1;
    __syncthreads();
    a.y[threadIdx.x] = tile[threadIdx.x / 16][threadIdx.x % 16] + mine[0];
}
"#;
    // SAFETY: the emulator is locked, so no other test of this process looks at the environment.
    unsafe { std::env::set_var("KAMACITE_EMULATED_BOUNDS", "1") };
    let module = e.module("outside", source, &HEADERS, &[]).unwrap();
    unsafe { std::env::remove_var("KAMACITE_EMULATED_BOUNDS") };
    let f = e.function(module, "outside").unwrap();
    let mut args = Args { x: 0, y: e.allocate(128).unwrap(), n: 32, unused: 0 };
    assert_eq!(e.launch(f, [1, 1, 1], 32, 0, std::ptr::null_mut(), &args), Ok(()));
    args.unused = 1;
    assert_eq!(e.launch(f, [1, 1, 1], 32, 0, std::ptr::null_mut(), &args), Err(ILLEGAL_ADDRESS));
    assert_eq!(e.fault(), "kernel outside: index outside of an array, or misaligned address by block (0,0,0) thread (0,0,0)");
    e.reset();
}
