//! Nothing is allocated in a step: counted over all threads, in steps 3 to 100, for every kind of layer.
#![allow(unsafe_code)]

use kamacite::loss::{Mse, SoftmaxCrossEntropy};
use kamacite::optim::{Adadelta, Adam, AdamW, RmsProp, Sgd};
use kamacite::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The system's allocator, with a count of what is asked of it.
struct Counting;

static ASKED: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ASKED.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A device whose threads have all begun: a thread that starts allocates, and on a busy machine it may start late.
fn device(threads: usize) -> Device {
    let device = Device::cpu_threads(threads).expect("a CPU");
    let Device::Cpu(cpu) = &device else { return device };
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        let (inside, met) = (AtomicUsize::new(0), AtomicUsize::new(0));
        cpu.run(threads, &|_| {
            inside.fetch_add(1, Relaxed);
            let since = Instant::now();
            while inside.load(Relaxed) < threads && since.elapsed() < Duration::from_millis(20) {
                std::thread::yield_now();
            }
            met.fetch_add(usize::from(inside.load(Relaxed) >= threads), Relaxed);
        });
        // Every task saw all the others: each was on a thread of its own.
        if met.load(Relaxed) >= threads {
            break;
        }
    }
    device
}

/// Allocations during steps 3 to 100.
fn count(mut step: impl FnMut()) -> u64 {
    step();
    step();
    let before = ASKED.load(Relaxed);
    (3..=100).for_each(|_| step());
    ASKED.load(Relaxed) - before
}

fn dense() -> Network {
    let mut net = Network::new(Extent::flat(64));
    net.push(Dense::new(128).act(Relu));
    net.push(Dropout::new(0.3));
    net.push(Dense::new(96).act(Gelu));
    net.push(Norm::layer());
    net.push(Dense::new(10));
    net
}

/// Small enough for the kernels of small layers.
fn tiny() -> Network {
    let mut net = Network::new(Extent::flat(4));
    net.push(Dense::new(6).act(Logistic));
    net.push(Dense::new(5).act(Gelu));
    net.push(Dense::new(10));
    net
}

fn images() -> Network {
    let mut net = Network::new(Extent::image(16, 16, 3));
    net.push(Conv::new(8, 3).same());
    net.push(Norm::batch());
    let trunk = net.push(Activate::new(Relu));
    let a = net.push(Pool::max(2));
    let b = net.add(Pool::average(2), &[trunk]);
    let sum = net.add(Merge::add(), &[a, b]);
    net.push(Lrn::new(5));
    net.push(Conv::depthwise(3).pad(1));
    net.push(Dropout::channels(0.2));
    let up = net.push(ConvTranspose::new(8, 2).stride(2).act(Silu));
    let linear = net.add(Upsample::linear(2), &[sum]);
    net.add(Merge::concat(), &[up, linear]);
    net.push(PRelu::new());
    net.push(ZeroPad::new(1, 1));
    net.push(Crop::new(1, 1));
    net.push(Norm::groups(4));
    net.push(Conv::new(6, 1));
    net.push(Pool::global_average());
    net.push(Reshape::to(Extent::image(1, 2, 3)));
    net.push(Flatten::new());
    net.push(Dense::new(10));
    net
}

fn open_loop(net: Network, rule: &dyn Optimizer, threads: usize) -> u64 {
    let extent = net.inputs().next().expect("an input").1;
    let mut model =
        Model::builder(net).device(device(threads)).loss("output", SoftmaxCrossEntropy, 1.0).build().expect("a model");
    let x: Vec<f32> = (0..32 * extent.len()).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
    let t: Vec<u32> = (0..32).map(|i| i % 10).collect();
    count(|| {
        model.forward(Mode::Train, View::new(extent, &x).expect("rows")).expect("forward");
        model.loss(&[Targets::Classes(&t)]).expect("loss");
        model.backward(Seed::Loss, Grads::Write).expect("backward");
        model.step(rule).expect("step");
    })
}

fn train_batch(net: Network, rule: &dyn Optimizer, rows: usize) -> u64 {
    let extent = net.inputs().next().expect("an input").1;
    let mut model = Model::builder(net).device(device(1)).loss("output", SoftmaxCrossEntropy, 1.0).build().expect("a model");
    let x: Vec<f32> = (0..rows * extent.len()).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
    let t: Vec<u32> = (0..rows as u32).map(|i| i % 10).collect();
    count(|| {
        let x = View::new(extent, &x).expect("rows");
        assert!(model.train_batch(x, &[Targets::Classes(&t)], rule).expect("a step").is_finite());
    })
}

fn trainer(net: Network, rule: impl Optimizer + 'static, batch: usize) -> u64 {
    let extent = net.inputs().next().expect("an input").1;
    let n = 100;
    let x: Vec<f32> = (0..n * extent.len()).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
    let samples = kamacite::data::Samples::new(extent, x).expect("samples");
    let data = samples.with_classes((0..n as u32).map(|i| i % 10).collect(), 10).expect("labels");
    let none: Option<kamacite::data::Samples> = None;
    let builder = Trainer::builder(net, SoftmaxCrossEntropy, rule).batch(batch).device(device(2));
    let mut trainer = builder.data(data, none).build().expect("a trainer");
    // 100 samples in batches of 16, say: the last batch of each epoch is partial, and epochs are shuffled anew in between.
    count(|| assert!(trainer.step().expect("step").is_finite()))
}

fn main() {
    let allocations = |f: &dyn Fn()| {
        let before = ASKED.load(Relaxed);
        f();
        ASKED.load(Relaxed) - before
    };
    assert!(allocations(&|| drop(std::hint::black_box(vec![1_u8; 100]))) > 0, "the allocator does not count");

    let mut found = Vec::new();
    let mut note = |name: &str, n: u64| {
        if n > 0 {
            found.push(format!("{name}: {n} allocations in 98 steps"));
        }
    };
    for threads in [1, 2] {
        note("dense, SGD", open_loop(dense(), &Sgd::new(1e-3).momentum(0.9), threads));
        note("images, Adam", open_loop(images(), &Adam::new(1e-4), threads));
    }
    note("dense, AdamW", open_loop(dense(), &AdamW::new(1e-4), 2));
    note("dense, RMSprop", open_loop(dense(), &RmsProp::new(1e-4).momentum(0.5).centered(), 2));
    note("dense, Adadelta", open_loop(dense(), &Adadelta::new(0.1), 2));
    note("trainer, dense, SGD", trainer(dense(), Sgd::new(1e-3).momentum(0.9), 16));
    note("trainer, images, Adam", trainer(images(), Adam::new(1e-4), 16));
    note("trainer, tiny, one by one", trainer(tiny(), Sgd::new(0.1), 1));
    note("trainer, tiny, Adam", trainer(tiny(), Adam::new(1e-3), 7));
    note("train_batch, tiny", train_batch(tiny(), &Sgd::new(0.1), 1));
    note("train_batch, dense", train_batch(dense(), &Sgd::new(1e-3).momentum(0.9), 16));
    note("regression", regression());
    if let Some(gpu) = gpu() {
        for precision in [Precision::FP32, Precision::BF16] {
            note("inference on a GPU", inference(&gpu, precision));
        }
        note("tiny steps on a GPU", in_one_kernel(&gpu));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    println!("steps_allocate_nothing ... ok");
}

/// A GPU, or the emulated one.
fn gpu() -> Option<Device> {
    if !cfg!(feature = "cuda") {
        return None;
    }
    let real = ["/dev/nvidiactl", "/dev/dxg"].iter().any(|file| std::path::Path::new(file).exists());
    if !real && std::env::var_os("KAMACITE_CUDA_DRIVER").is_none() {
        for (name, value) in kamacite_emulator::environment().ok()? {
            // SAFETY: no other thread reads the environment.
            unsafe { std::env::set_var(name, value) };
        }
    }
    Device::cuda(0).ok()
}

/// Forward passes of a single sample, once they are recorded: allocations of the host.
fn inference(gpu: &Device, precision: Precision) -> u64 {
    let mut model = Model::builder(dense()).device(gpu.clone()).precision(precision).build().expect("a model");
    let x = [0.5_f32; 64];
    let mut call = || {
        let y = model.forward(Mode::Infer, View::new(Extent::flat(64), &x).expect("a row")).expect("forward");
        assert!(y.row(0).expect("a row")[0].is_finite());
    };
    // The ring of pinned buffers fills up.
    (0..10).for_each(|_| call());
    count(call)
}

/// Steps of a tiny network, one for each launch.
fn in_one_kernel(gpu: &Device) -> u64 {
    let x = (0..400).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
    let samples = kamacite::data::Samples::new(Extent::flat(4), x).expect("samples");
    let data = samples.with_classes((0..100).map(|i| i % 10).collect(), 10).expect("labels");
    let builder = Trainer::builder(tiny(), SoftmaxCrossEntropy, Adam::new(1e-3)).batch(1).device(gpu.clone());
    let mut trainer = builder.data(data, None::<kamacite::data::Samples>).build().expect("a trainer");
    let mut step = || assert!(trainer.step().expect("step").is_finite());
    // The ring of pinned buffers fills up, of which an epoch takes one.
    (0..1000).for_each(|_| step());
    count(step)
}

fn regression() -> u64 {
    let mut net = Network::new(Extent::line(50, 2));
    net.push(Conv::new(6, 5).stride(2).act(Tanh));
    net.push(Norm::instance());
    net.push(Dense::new(3));
    let mut model = Model::builder(net).device(device(2)).loss("output", Mse, 1.0).build().expect("a model");
    let (x, t) = ([0.5_f32; 400], [0.25_f32; 12]);
    count(|| {
        model.forward(Mode::Train, View::new(Extent::line(50, 2), &x).expect("rows")).expect("forward");
        model.loss(&[View::new(Extent::flat(3), &t).expect("rows").into()]).expect("loss");
        model.backward(Seed::Loss, Grads::Write).expect("backward");
        model.step(&Sgd::new(1e-3)).expect("step");
    })
}
