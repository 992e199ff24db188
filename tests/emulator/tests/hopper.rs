//! TMA, memory barriers, named barriers and wgmma: a product of two matrices, and what happens without the waits.

mod device;
use device::{Emulator, ORDERS, Order, emulator};
use std::ffi::{c_int, c_void};

const HEADERS: [(&str, &str); 3] = [
    ("prelude.cuh", include_str!("../../../kernels/prelude.cuh")),
    ("mma.cuh", include_str!("../../../kernels/mma.cuh")),
    ("faults.cuh", include_str!("../faults/faults.cuh")),
];

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Map([u8; 128]);

#[repr(C)]
struct Args {
    a: Map,
    b: Map,
    c: u64,
    k: u32,
    unused: u32,
    more: [u64; 6],
}

fn bf16(v: f32) -> u16 {
    (v.to_bits() >> 16) as u16
}

/// A map of boxes of 64 x 64 bf16 numbers, rows of `k`.
fn map(e: &Emulator, base: u64, rows: usize, k: usize) -> Map {
    type Encode = unsafe extern "C" fn(
        *mut Map,
        c_int,
        u32,
        u64,
        *const u64,
        *const u64,
        *const u32,
        *const u32,
        c_int,
        c_int,
        c_int,
        c_int,
    ) -> c_int;
    let encode = unsafe { e.get::<Encode>("cuTensorMapEncodeTiled") };
    let mut map = Map([0; 128]);
    let (size, stride, boxed, step) = ([k as u64, rows as u64], [k as u64 * 2], [64, 64], [1, 1]);
    let (bf16, swizzle_128) = (9, 3);
    let rc = unsafe {
        encode(&mut map, bf16, 2, base, size.as_ptr(), stride.as_ptr(), boxed.as_ptr(), step.as_ptr(), 0, swizzle_128, 0, 0)
    };
    assert_eq!(rc, 0);
    map
}

/// The largest error of c = a bᵀ, or the error of the launch with its sentence.
fn product(e: &Emulator, planted: Option<u32>, m: usize, n: usize, k: usize) -> Result<f64, (i32, String)> {
    let source = include_str!("../faults/hopper.cu");
    let option = planted.map(|p| format!("-DPLANTED={p}"));
    let module = e.module("hopper", source, &HEADERS, &option.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let f = e.function(module, "hopper").unwrap();
    let value = |i: usize, seed: usize| bf16(((i * 7 + seed * 13) % 31) as f32 / 8.0 - 2.0);
    let a: Vec<u16> = (0..m * k).map(|i| value(i, 1)).collect();
    let b: Vec<u16> = (0..n * k).map(|i| value(i / 3, 2)).collect();
    let (tiles_m, tiles_n) = (m.div_ceil(64), n.div_ceil(64));
    let width = tiles_n * 64;
    let (pa, pb, pc) = (e.upload(&a), e.upload(&b), e.allocate(4 * tiles_m * 64 * width).unwrap());
    let args = Args { a: map(e, pa, m, k), b: map(e, pb, n, k), c: pc, k: k as u32, unused: 0, more: [0; 6] };
    let grid = [tiles_n as u32, tiles_m as u32, 1];
    let rc = e.launch(f, grid, 256, 2 * 2 * 64 * 64 * 2, std::ptr::null_mut::<c_void>(), &args);
    let c: Vec<f32> = rc.and_then(|()| e.download(pc, tiles_m * 64 * width)).map_err(|rc| (rc, e.fault()))?;
    let float = |v: u16| f64::from(f32::from_bits(u32::from(v) << 16));
    let mut worst = 0.0_f64;
    for i in 0..m {
        for j in 0..n {
            let sum: f64 = (0..k).map(|p| float(a[i * k + p]) * float(b[j * k + p])).sum();
            let error = (sum - f64::from(c[i * width + j])).abs();
            worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
        }
    }
    Ok(worst)
}

#[test]
fn products_are_right_in_every_order() {
    let Some(e) = emulator() else { return };
    for order in ORDERS {
        e.order(order);
        for (m, n, k) in [(64, 64, 64), (128, 64, 512), (100, 72, 328)] {
            let error = product(&e, None, m, n, k).unwrap();
            assert!(error < 1e-3, "{order:?} {m} {n} {k}: {error}");
        }
    }
}

#[test]
fn missing_waits_are_caught() {
    let Some(e) = emulator() else { return };
    for order in ORDERS {
        e.order(order);
        // Late landings leave the barrier full; early ones overwrite stages, or the consumer misses a phase.
        let overrun = product(&e, Some(1), 64, 64, 512);
        match order {
            Order::Forward => assert!(overrun.unwrap_err().1.contains("mbarrier: too many arrivals")),
            _ => assert!(overrun.as_ref().map_or(true, |&error| error > 1.0), "{order:?}: {overrun:?}"),
        }
        e.reset();
        let unprotected = product(&e, Some(2), 64, 64, 512);
        assert!(unprotected.as_ref().map_or(true, |&error| error > 1.0), "{order:?}: {unprotected:?}");
        e.reset();
        let unfinished = product(&e, Some(3), 64, 64, 64);
        assert!(unfinished.as_ref().map_or(true, |&error| error > 1.0), "{order:?}: {unfinished:?}");
        e.reset();
        let (rc, sentence) = product(&e, Some(4), 64, 64, 64).unwrap_err();
        assert!(rc == 719 && sentence.contains("128 in a named barrier at line"), "{order:?}: {sentence}");
        e.reset();
        let (rc, sentence) = product(&e, Some(5), 64, 64, 64).unwrap_err();
        assert!(rc == 719 && sentence.contains("mbarrier without initialisation"), "{order:?}: {sentence}");
        e.reset();
    }
}
