//! TMA, memory barriers, named barriers, clusters and wgmma: products of two matrices, and what happens without the waits.

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
    let (bf16, swizzle_128) = (9, 3);
    encode(e, bf16, base, &[k as u64, rows as u64], &[k as u64 * 2], &[64, 64], swizzle_128)
}

fn encode(e: &Emulator, kind: c_int, base: u64, size: &[u64], stride: &[u64], boxed: &[u32], swizzle: c_int) -> Map {
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
    let (rank, step) = (size.len() as u32, [1; 5]);
    let rc = unsafe {
        encode(&mut map, kind, rank, base, size.as_ptr(), stride.as_ptr(), boxed.as_ptr(), step.as_ptr(), 0, swizzle, 0, 0)
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
    let (a, b) = operands(m, n, k);
    let (tiles_m, tiles_n) = (m.div_ceil(64), n.div_ceil(64));
    let width = tiles_n * 64;
    let (pa, pb, pc) = (e.upload(&a), e.upload(&b), e.allocate(4 * tiles_m * 64 * width).unwrap());
    let args = Args { a: map(e, pa, m, k), b: map(e, pb, n, k), c: pc, k: k as u32, unused: 0, more: [0; 6] };
    let grid = [tiles_n as u32, tiles_m as u32, 1];
    let rc = e.launch(f, grid, 256, 2 * 2 * 64 * 64 * 2, std::ptr::null_mut::<c_void>(), &args);
    let c: Vec<f32> = rc.and_then(|()| e.download(pc, tiles_m * 64 * width)).map_err(|rc| (rc, e.fault()))?;
    Ok(worst(&a, &b, &c, [m, n, k, width]))
}

fn operands(m: usize, n: usize, k: usize) -> (Vec<u16>, Vec<u16>) {
    let value = |i: usize, seed: usize| bf16(((i * 7 + seed * 13) % 31) as f32 / 8.0 - 2.0);
    ((0..m * k).map(|i| value(i, 1)).collect(), (0..n * k).map(|i| value(i / 3, 2)).collect())
}

fn worst(a: &[u16], b: &[u16], c: &[f32], [m, n, k, width]: [usize; 4]) -> f64 {
    let float = |v: u16| f64::from(f32::from_bits(u32::from(v) << 16));
    let mut worst = 0.0_f64;
    for i in 0..m {
        for j in 0..n {
            let sum: f64 = (0..k).map(|p| float(a[i * k + p]) * float(b[j * k + p])).sum();
            let error = (sum - f64::from(c[i * width + j])).abs();
            worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
        }
    }
    worst
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

#[repr(C)]
struct ClusterArgs {
    a: Map,
    b: Map,
    c: Map,
    k: u32,
    unused: u32,
    more: [u64; 7],
}

const CLUSTER_DIMENSION: u32 = 4;
const PROGRAMMATIC: u32 = 6;

/// The kernel with this fault; 0 for none.
fn cluster_kernel(e: &Emulator, planted: u32) -> *mut c_void {
    let source = include_str!("../faults/cluster.cu");
    let module = e.module("cluster", source, &HEADERS, &[&format!("-DPLANTED={planted}")]).unwrap();
    e.function(module, "cluster").unwrap()
}

/// As `product`, by clusters of `blocks`.
fn cluster(e: &Emulator, f: *mut c_void, blocks: usize, [m, n, k]: [usize; 3]) -> Result<f64, (i32, String)> {
    let (a, b) = operands(m, n, k);
    let (pa, pb, pc) = (e.upload(&a), e.upload(&b), e.allocate(4 * m * n).unwrap());
    let (bf16, f32, rows) = (9, 7, |r: usize| [k as u64, r as u64]);
    let share = [64, (64 / blocks) as u32];
    let args = ClusterArgs {
        a: map(e, pa, m, k),
        b: encode(e, bf16, pb, &rows(n), &[k as u64 * 2], &share, 3),
        c: encode(e, f32, pc, &[n as u64, m as u64], &[n as u64 * 4], &[32, 64], 0),
        k: k as u32,
        unused: 0,
        more: [0; 7],
    };
    let grid = [(m.div_ceil(64).next_multiple_of(blocks)) as u32, n.div_ceil(64) as u32, 1];
    let attributes = [(CLUSTER_DIMENSION, [blocks as u32, 1, 1]), (PROGRAMMATIC, [1, 0, 0])];
    let shared = 2 * 2 * 64 * 64 * 2 + 64 * 32 * 4 + 1024;
    let rc = e.launch_with(f, grid, 256, shared, std::ptr::null_mut(), (&attributes, &args));
    let c: Vec<f32> = rc.and_then(|()| e.download(pc, m * n)).map_err(|rc| (rc, e.fault()))?;
    Ok(worst(&a, &b, &c, [m, n, k, n]))
}

#[test]
fn clusters_are_right_in_every_order() {
    let Some(e) = emulator() else { return };
    let f = cluster_kernel(&e, 0);
    for order in ORDERS {
        e.order(order);
        for size in [[128, 64, 64], [256, 128, 512], [100, 72, 328], [300, 64, 200]] {
            for blocks in [2, 4] {
                let error = cluster(&e, f, blocks, size).unwrap();
                assert!(error < 1e-3, "{order:?}, clusters of {blocks}: {size:?}: {error}");
            }
        }
    }
}

#[test]
fn faults_in_clusters_are_caught() {
    let Some(e) = emulator() else { return };
    let run = |f, order, k| {
        e.order(order);
        let result = cluster(&e, f, 2, [128, 64, k]);
        e.reset();
        result
    };
    let told = |p, k, orders: &[Order], what: &str| {
        let f = cluster_kernel(&e, p);
        for &order in orders {
            let (rc, sentence) = run(f, order, k).unwrap_err();
            assert!(rc == 719 && sentence.contains(what), "{order:?}, {p}: {sentence}");
        }
    };
    told(1, 512, &ORDERS, "2 in an mbarrier at line 34");
    told(2, 512, &ORDERS, "in an mbarrier at line");
    told(3, 512, &ORDERS, "returned");
    told(5, 64, &[Order::Reverse], "mbarrier without initialisation");
    told(6, 64, &ORDERS, "static shared memory in a cluster");
    told(7, 64, &ORDERS, "static shared memory in a cluster");
    told(8, 64, &ORDERS, "has not waited since it last arrived");
    told(9, 64, &ORDERS, "barrier.cluster.wait");
    let f = cluster_kernel(&e, 4);
    let overwritten = run(f, Order::Forward, 64).unwrap();
    assert!(overwritten > 1.0, "the second half leaves twice: {overwritten}");
    let early = run(f, Order::Reverse, 64).unwrap();
    assert!(early < 1e-3, "a copy that lands at once cannot be overwritten: {early}");
}

#[test]
fn refused_clusters() {
    let Some(e) = emulator() else { return };
    let module = e.module("off_by_one", include_str!("../faults/off_by_one.cu"), &HEADERS, &[]).unwrap();
    let f = e.function(module, "off_by_one").unwrap();
    let args = [e.upload(&[1.0_f32; 1024]), e.allocate(4096).unwrap(), 1024];
    let launch = |grid, attributes: &[_]| e.launch_with(f, [grid, 1, 1], 256, 0, std::ptr::null_mut(), (attributes, &args));
    assert_eq!(launch(4, &[(CLUSTER_DIMENSION, [2, 1, 1])]), Ok(()), "a kernel that needs no cluster");
    assert_eq!(launch(4, &[(0, [0; 3]), (PROGRAMMATIC, [1, 0, 0])]), Ok(()));
    for (grid, blocks, why) in [(5, 2, "do not divide 5 along x"), (6, 3, "portable"), (8, 8, "more than 1024 threads")] {
        assert_eq!(launch(grid, &[(CLUSTER_DIMENSION, [blocks, 1, 1])]), Err(1));
        assert!(e.fault().contains(why), "{}", e.fault());
    }
    let not_supported = 801;
    assert_eq!(launch(4, &[(CLUSTER_DIMENSION, [1, 2, 1])]), Err(not_supported));
    assert_eq!(launch(4, &[(2, [1, 0, 0])]), Err(not_supported), "a cooperative launch");
}

/// A box of five dimensions there and back: element (i, j, ..) is where it was.
#[test]
fn boxes_of_five_dimensions() {
    let Some(e) = emulator() else { return };
    let source = r#"
#include "faults.cuh"
struct alignas(64) Map { unsigned char bytes[128]; };
struct FiveArgs { Map x, y; };
KERNEL(32, five, FiveArgs) {
    SHARED(u64, barrier);
    float* tile = (float*)(barrier + 128);
    if (threadIdx.x) return;
    emulator::mbarrier_init(barrier, 1);
    int at[5] = {-4, 1, 2, 0, 1};
    emulator::mbarrier_arrive(barrier, 8 * 2 * 2 * 3 * 2 * 4);
    emulator::tma_load(tile, &a.x, barrier, at, 5);
    emulator::mbarrier_wait(barrier, 0);
    emulator::tma_store(&a.y, tile, at, 5);
}
"#;
    let module = e.module("five", source, &HEADERS, &[]).unwrap();
    let f = e.function(module, "five").unwrap();
    let size = [8_u64, 3, 4, 5, 3];
    let n: u64 = size.iter().product();
    let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
    for order in ORDERS {
        e.order(order);
        let (px, py) = (e.upload(&x), e.upload(&vec![-1.0_f32; n as usize]));
        let strides: Vec<u64> = (1..5).map(|d| 4 * size[..d].iter().product::<u64>()).collect();
        let of = |base| encode(&e, 7, base, &size, &strides, &[8, 2, 2, 3, 2], 0);
        let args = [of(px), of(py)];
        e.launch(f, [1, 1, 1], 32, 4096, std::ptr::null_mut(), &args).unwrap();
        let y = e.download::<f32>(py, n as usize).unwrap();
        let within = |i: u64| {
            let mut rest = i;
            let at: Vec<u64> = size.iter().map(|s| (rest % s, rest /= s).0).collect();
            at[0] < 4 && (1..3).contains(&at[1]) && at[2] >= 2 && at[3] < 3 && at[4] >= 1
        };
        for i in 0..n {
            assert_eq!(y[i as usize], if within(i) { i as f32 } else { -1.0 }, "{order:?} {i}");
        }
    }
}
