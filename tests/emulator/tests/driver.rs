//! What the driver promises: captures and graphs, counters, memory limits, failures on request.

mod device;
use device::{Address, Emulator, check, emulator};
use std::ffi::{c_int, c_void};

const HEADERS: [(&str, &str); 1] = [("prelude.cuh", include_str!("../../../kernels/prelude.cuh"))];
const STEP: &str = r#"
#include "prelude.cuh"
struct Args { float* y; u32 n; float by; };
KERNEL(64, step, Args) {
    for (GRID(i, a.n)) a.y[i] = a.y[i] * 2 + a.by;
}
"#;

#[repr(C)]
#[derive(Clone, Copy)]
struct Args {
    y: Address,
    n: u32,
    by: f32,
}

struct Stream<'a>(&'a Emulator, *mut c_void);

impl<'a> Stream<'a> {
    fn new(e: &'a Emulator) -> Self {
        let mut s = std::ptr::null_mut();
        check(unsafe { e.get::<unsafe extern "C" fn(*mut *mut c_void, u32) -> c_int>("cuStreamCreate")(&mut s, 1) }).unwrap();
        Self(e, s)
    }
    fn begin(&self) -> Result<(), i32> {
        check(unsafe { self.0.get::<unsafe extern "C" fn(*mut c_void, c_int) -> c_int>("cuStreamBeginCapture_v2")(self.1, 1) })
    }
    fn end(&self) -> Result<*mut c_void, i32> {
        let mut graph = std::ptr::null_mut();
        type End = unsafe extern "C" fn(*mut c_void, *mut *mut c_void) -> c_int;
        check(unsafe { self.0.get::<End>("cuStreamEndCapture")(self.1, &mut graph) })?;
        let mut exec = std::ptr::null_mut();
        type Make = unsafe extern "C" fn(*mut *mut c_void, *mut c_void, u64) -> c_int;
        check(unsafe { self.0.get::<Make>("cuGraphInstantiateWithFlags")(&mut exec, graph, 0) })?;
        Ok(exec)
    }
    fn replay(&self, exec: *mut c_void) -> Result<(), i32> {
        check(unsafe { self.0.get::<unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int>("cuGraphLaunch")(exec, self.1) })
    }
    fn synchronize(&self) -> Result<(), i32> {
        check(unsafe { self.0.get::<unsafe extern "C" fn(*mut c_void) -> c_int>("cuStreamSynchronize")(self.1) })
    }
}

fn step(e: &Emulator) -> *mut c_void {
    let module = e.module("step", STEP, &HEADERS, &[]).unwrap();
    e.function(module, "step").unwrap()
}

#[test]
fn a_captured_step_runs_only_when_replayed() {
    let Some(e) = emulator() else { return };
    let (f, s, y) = (step(&e), Stream::new(&e), e.upload(&[1.0_f32, 2.0, 3.0]));
    let mut args = Args { y, n: 3, by: 1.0 };
    e.reset();
    s.begin().unwrap();
    e.launch(f, [1, 1, 1], 64, 0, s.1, &args).unwrap();
    args.by = 10.0; // arguments are copied when the launch is recorded
    let cluster_and_programmatic = [(4, [2, 1, 1]), (6, [1, 0, 0])];
    e.launch_with(f, [2, 1, 1], 64, 0, s.1, (&cluster_and_programmatic, &args)).unwrap();
    let exec = s.end().unwrap();
    assert_eq!(e.download::<f32>(y, 3), Ok(vec![1.0, 2.0, 3.0]));
    s.replay(exec).unwrap();
    s.replay(exec).unwrap();
    s.synchronize().unwrap();
    // Twice v -> (2 v + 1) 2 + 10 = 4 v + 12.
    assert_eq!(e.download::<f32>(y, 3), Ok([1.0, 2.0, 3.0].map(|v: f32| (v * 4.0 + 12.0) * 4.0 + 12.0).to_vec()));
    // launches, graph launches, copies in, their bytes, copies out, allocations, synchronisations, replayed nodes
    assert_eq!(e.counts(), [4, 2, 0, 0, 2, 0, 1, 4]);
}

#[test]
fn a_capture_is_spoiled_by_what_must_not_be_in_it() {
    let Some(e) = emulator() else { return };
    let s = Stream::new(&e);
    let args = Args { y: e.upload(&[0.0_f32; 4]), n: 4, by: 0.0 };
    let f = step(&e);
    s.begin().unwrap();
    e.launch(f, [1, 1, 1], 64, 0, s.1, &args).unwrap();
    assert_eq!(s.synchronize(), Err(900));
    assert_eq!(s.end().unwrap_err(), 901, "the wait spoiled the capture");
    s.begin().unwrap();
    assert_eq!(e.allocate(64), Err(900));
    assert_eq!(e.download::<f32>(args.y, 1), Err(900), "a copy in the default stream");
    assert_eq!(s.begin(), Err(900), "begun twice");
    let _ = s.end();
    assert_eq!(s.end().unwrap_err(), 903, "ended twice");
    assert_eq!(e.allocate(64).map(|_| ()), Ok(()), "all is well afterwards");
}

#[test]
fn failures_on_request() {
    let Some(e) = emulator() else { return };
    let (f, y) = (step(&e), e.upload(&[1.0_f32; 4]));
    let (args, none) = (Args { y, n: 4, by: 0.0 }, std::ptr::null_mut());
    e.fail("alloc", 1);
    assert!(e.allocate(64).is_ok());
    assert_eq!(e.allocate(64), Err(2), "out of memory");
    assert!(e.allocate(64).is_ok(), "once, and nothing is broken");

    e.fail("launch", 0);
    assert_eq!(e.launch(f, [1, 1, 1], 64, 0, none, &args), Err(719));
    assert_eq!(e.download::<f32>(y, 4), Err(719), "the device is broken");
    assert_eq!(e.fault(), "kernel step: planned failure of a launch");
    e.reset();
    assert_eq!(e.download::<f32>(y, 4), Ok(vec![1.0; 4]), "the kernel did not run");

    e.fail("lost", 2);
    assert!(e.launch(f, [1, 1, 1], 64, 0, none, &args).is_ok());
    assert!(e.launch(f, [1, 1, 1], 64, 0, none, &args).is_ok());
    assert_eq!(e.launch(f, [1, 1, 1], 64, 0, none, &args), Err(46));
    assert_eq!(e.allocate(64), Err(46));
    e.reset();
}

#[test]
fn memory_is_counted_and_fresh_memory_is_poison() {
    let Some(e) = emulator() else { return };
    let info = || {
        let (mut free, mut total) = (0_usize, 0_usize);
        let f = unsafe { e.get::<unsafe extern "C" fn(*mut usize, *mut usize) -> c_int>("cuMemGetInfo_v2") };
        assert_eq!(unsafe { f(&mut free, &mut total) }, 0);
        (free, total)
    };
    let (free, total) = info();
    let p = e.allocate(1000).unwrap();
    assert_eq!(p % 256, 0);
    assert_eq!(info(), (free - 1000, total));
    assert_eq!(e.download::<u8>(p, 1000), Ok(vec![0xff; 1000]));
    assert_eq!(e.download::<u8>(p, 1001), Err(1), "a copy from behind the allocation");
    assert_eq!(e.allocate(total + 1), Err(2));
    e.free(p).unwrap();
    assert_eq!(info().0, free);
}

#[test]
fn two_host_threads_run_kernels_at_once() {
    let Some(e) = emulator() else { return };
    // Static shared memory and threadIdx are of each host thread's own copy of the kernels.
    let source = r#"
#include "prelude.cuh"
struct Args { float* y; u32 n; float by; };
KERNEL(64, share, Args) {
    __shared__ float tile[64];
    float sum = 0;
    for (u32 round = 0; round < a.n; round++) {
        tile[threadIdx.x] = a.by + threadIdx.x;
        __syncthreads();
        sum += tile[63 - threadIdx.x];
        __syncthreads();
    }
    a.y[blockIdx.x * 64 + threadIdx.x] = sum;
}
"#;
    let module = e.module("share", source, &HEADERS, &[]).unwrap();
    let f = e.function(module, "share").unwrap() as usize;
    let context = {
        let mut context: *mut c_void = std::ptr::null_mut();
        unsafe { e.get::<unsafe extern "C" fn(*mut *mut c_void) -> c_int>("cuCtxGetCurrent")(&mut context) };
        context as usize
    };
    let e = &*e;
    std::thread::scope(|scope| {
        for t in 0..4 {
            scope.spawn(move || {
                let args = Args { y: 0, n: 50, by: 0.0 };
                assert_eq!(
                    e.launch(f as *mut c_void, [1, 1, 1], 64, 0, std::ptr::null_mut(), &args),
                    Err(201),
                    "no context here"
                );
                let set = unsafe { e.get::<unsafe extern "C" fn(*mut c_void) -> c_int>("cuCtxSetCurrent") };
                assert_eq!(unsafe { set(context as *mut c_void) }, 0);
                for _ in 0..20 {
                    let args = Args { y: e.allocate(4 * 64 * 8).unwrap(), n: 50, by: t as f32 * 1000.0 };
                    e.launch(f as *mut c_void, [8, 1, 1], 64, 0, std::ptr::null_mut(), &args).unwrap();
                    let y = e.download::<f32>(args.y, 64 * 8).unwrap();
                    assert!(y.iter().enumerate().all(|(i, &y)| y == 50.0 * (args.by + 63.0 - (i % 64) as f32)));
                    e.free(args.y).unwrap();
                }
            });
        }
    });
}

/// A launch that takes long is shared between host threads; every block runs once.
#[test]
fn long_launches_are_shared() {
    let Some(e) = emulator() else { return };
    let source = r#"
#include "prelude.cuh"
struct Args { float* y; u32 n; float by; };
KERNEL(128, long_one, Args) {
    __shared__ float tile[128];
    for (u32 round = 0; round < a.n; round++) {
        tile[threadIdx.x] = round;
        __syncthreads();
        a.y[blockIdx.x * 128 + threadIdx.x] += tile[127 - threadIdx.x] * a.by;
        __syncthreads();
    }
    if (blockIdx.x == 300 && a.by == 0) __trap();
}
"#;
    let module = e.module("long", source, &HEADERS, &[]).unwrap();
    let f = e.function(module, "long_one").unwrap();
    for order in device::ORDERS {
        e.order(order);
        let y = e.upload(&vec![0.5_f32; 400 * 128]);
        e.launch(f, [400, 1, 1], 128, 0, std::ptr::null_mut(), &Args { y, n: 20, by: 1.0 }).unwrap();
        assert!(e.download::<f32>(y, 400 * 128).unwrap().iter().all(|&v| v == 190.5), "{order:?}");
    }
    let y = e.upload(&vec![0.5_f32; 400 * 128]);
    let failed = e.launch(f, [400, 1, 1], 128, 0, std::ptr::null_mut(), &Args { y, n: 20, by: 0.0 });
    assert_eq!(failed, Err(719));
    assert!(e.fault().starts_with("kernel long_one: __trap() by block (300,0,0)"), "{}", e.fault());
    e.reset();
}

/// With late work, everything that the host does too early shows.
#[test]
fn late_work_runs_when_it_is_waited_for() {
    let Some(e) = emulator() else { return };
    let late = |on: i32| unsafe { e.get::<unsafe extern "C" fn(c_int)>("kamacite_emulator_late")(on) };
    let (f, s, copies, y) = (step(&e), Stream::new(&e), Stream::new(&e), e.upload(&[1.0_f32; 4]));
    let args = Args { y, n: 4, by: 1.0 };
    let mut pinned: *mut c_void = std::ptr::null_mut();
    let host = unsafe { e.get::<unsafe extern "C" fn(*mut *mut c_void, usize, u32) -> c_int>("cuMemHostAlloc") };
    assert_eq!(unsafe { host(&mut pinned, 16, 0) }, 0);
    let pinned = pinned.cast::<f32>();
    let write = |v: f32| (0..4).for_each(|i| unsafe { pinned.add(i).write(v) });
    type CopyIn = unsafe extern "C" fn(Address, *const f32, usize, *mut c_void) -> c_int;
    let copy = unsafe { e.get::<CopyIn>("cuMemcpyHtoDAsync_v2") };
    let mut event: *mut c_void = std::ptr::null_mut();
    assert_eq!(unsafe { e.get::<unsafe extern "C" fn(*mut *mut c_void, u32) -> c_int>("cuEventCreate")(&mut event, 0) }, 0);
    type Record = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
    type Wait = unsafe extern "C" fn(*mut c_void, *mut c_void, u32) -> c_int;
    let (record, wait) = unsafe { (e.get::<Record>("cuEventRecord"), e.get::<Wait>("cuStreamWaitEvent")) };
    let query = unsafe { e.get::<unsafe extern "C" fn(*mut c_void) -> c_int>("cuEventQuery") };

    late(1);
    e.launch(f, [1, 1, 1], 64, 0, s.1, &args).unwrap();
    assert_eq!(e.download::<f32>(y, 4), Ok(vec![1.0; 4]), "the kernel has not run");
    s.synchronize().unwrap();
    assert_eq!(e.download::<f32>(y, 4), Ok(vec![3.0; 4]));

    // A pinned buffer is read when the copy runs, ordinary memory at once.
    write(5.0);
    assert_eq!(unsafe { copy(y, pinned, 16, s.1) }, 0);
    write(6.0);
    s.synchronize().unwrap();
    assert_eq!(e.download::<f32>(y, 4), Ok(vec![6.0; 4]), "overwritten too early");
    let mut plain = [7.0_f32; 4];
    assert_eq!(unsafe { copy(y, plain.as_ptr(), 16, s.1) }, 0);
    plain.fill(8.0);
    s.synchronize().unwrap();
    assert_eq!(e.download::<f32>(y, 4), Ok(vec![7.0; 4]));

    // One stream waits for the other's copy.
    write(9.0);
    assert_eq!(unsafe { copy(y, pinned, 16, copies.1) }, 0);
    assert_eq!(unsafe { record(event, copies.1) }, 0);
    assert_eq!(unsafe { wait(s.1, event, 0) }, 0);
    e.launch(f, [1, 1, 1], 64, 0, s.1, &args).unwrap();
    s.synchronize().unwrap();
    assert_eq!(unsafe { query(event) }, 0);
    assert_eq!(e.download::<f32>(y, 4), Ok(vec![19.0; 4]));

    // A fault shows at the wait.
    e.launch(f, [1, 1, 1], 64, 0, s.1, &Args { y: 0, n: 4, by: 0.0 }).unwrap();
    assert_eq!(s.synchronize(), Err(700));
    let mut text: *const std::ffi::c_char = std::ptr::null();
    type Text = unsafe extern "C" fn(c_int, *mut *const std::ffi::c_char) -> c_int;
    assert_eq!(unsafe { e.get::<Text>("cuGetErrorString")(700, &mut text) }, 0);
    let text = unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy();
    assert!(text.starts_with("kernel step: access through a null pointer"), "the driver's text tells the fault: {text}");
    late(0);
    e.reset();
}
