//! Whole training runs on a GPU (or the emulator): beside the CPU, twice with equal bits, recorded and replayed, and with faults.

use crate::cuda::gpu;
use kamacite::data::{Missing, Samples, synth};
use kamacite::optim::{Adam, Clip, Ema, Sgd};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use std::path::{Path, PathBuf};
use std::process::Command;

const STEPS: usize = 20;

/// An example: its network, data and rule, in small.
struct Run {
    name: &'static str,
    build: fn() -> train::TrainerBuilder,
}

fn runs() -> [Run; 3] {
    [
        Run {
            name: "iris",
            build: || Trainer::builder(iris(), Mse::half(), Sgd::new(0.1)).batch(1).data(flowers(), None::<Samples>),
        },
        Run {
            name: "digits",
            build: || {
                let data = synth::digits(40, 3).expect("digits");
                Trainer::builder(digits(), SoftmaxCrossEntropy, Sgd::new(0.008).momentum(0.9))
                    .batch(8)
                    .data(data, None::<Samples>)
            },
        },
        Run {
            name: "galaxies",
            build: || {
                let data = synth::galaxies(20, 3).expect("galaxies");
                Trainer::builder(galaxies(), SoftmaxCrossEntropy, Adam::new(1e-3)).batch(4).data(data, None::<Samples>)
            },
        },
    ]
}

fn iris() -> Network {
    let mut net = Network::new(Extent::flat(4));
    net.push(Dense::new(4).act(Logistic).init(Init::Uniform(0.01)));
    net.push(Dense::new(3).act(Logistic).init(Init::Uniform(0.01)));
    net
}

fn flowers() -> Samples {
    let mut r = Stream::new(1, Purpose::Synth, 0);
    let x = (0..60 * 4).map(|i| (r.normal() * 0.3 + f64::from(i / 4 % 3) - 1.0) as f32).collect();
    Samples::new(Extent::flat(4), x).and_then(|s| s.with_classes((0..60).map(|i| i % 3).collect(), 3)).expect("flowers")
}

fn digits() -> Network {
    let mut net = Network::new(Extent::image(28, 28, 1));
    for filters in [8, 16] {
        net.push(Conv::new(filters, 5).pad(2).act(Relu));
        net.push(Pool::max(2));
    }
    net.push(Dense::new(256).act(Relu));
    net.push(Dropout::new(0.5));
    net.push(Dense::new(128).act(Relu));
    net.push(Dropout::new(0.2));
    net.push(Dense::new(10).init(Init::Normal(0.01)));
    net
}

fn galaxies() -> Network {
    let act = Activation::leaky_relu(0.1);
    let mut net = Network::new(Extent::image(48, 48, 3));
    for (filters, size) in [(8, 5), (24, 3), (48, 3)] {
        net.push(Conv::new(filters, size).pad(size / 2).act(act));
        net.push(Pool::max(2));
    }
    net.push(Dense::new(64).act(act));
    net.push(Dropout::new(0.3));
    net.push(Dense::new(5));
    net
}

impl Run {
    fn trainer(&self, device: &Device, precision: Precision) -> train::TrainerBuilder {
        (self.build)().seed(5).device(device.clone()).precision(precision)
    }

    /// Losses of the first steps.
    fn losses(&self, device: &Device, precision: Precision) -> Vec<f64> {
        let mut t = self.trainer(device, precision).build().expect("a legal trainer");
        (0..STEPS).map(|_| t.step().expect("a step")).collect()
    }
}

/// The losses agree with those of the CPU to 1e-4 of their size: rounding in another order, over 20 steps.
#[test]
fn the_losses_of_the_examples_are_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for run in runs() {
        let cpu = run.losses(&Device::cpu(), Precision::FP32);
        let cuda = run.losses(&gpu.device, Precision::FP32);
        for (i, (a, b)) in cpu.iter().zip(&cuda).enumerate() {
            assert!((a - b).abs() <= 1e-4 * a.abs().max(1e-3), "{} step {i}: {a} on the CPU, {b} on {}", run.name, gpu.device);
        }
        assert!(cpu[0] != cpu[STEPS - 1], "{}: nothing was learnt", run.name);
        let again = run.losses(&gpu.device, Precision::FP32);
        assert_eq!(cuda, again, "{}: two runs, other bits", run.name);
    }
}

/// Reduced precisions learn too: the loss after 20 steps is that of the CPU within the rounding of their products.
#[test]
fn every_precision_trains() {
    let Some(gpu) = gpu() else { return };
    for run in &runs()[1..2] {
        let cpu = run.losses(&Device::cpu(), Precision::FP32);
        for precision in [Precision::TF32, Precision::FP32x3, Precision::BF16, Precision::FP16] {
            let cuda = run.losses(&gpu.device, precision);
            for (i, (a, b)) in cpu.iter().zip(&cuda).enumerate() {
                // A rounding error of 2⁻⁸ in each of a few layers, and what 20 steps of momentum make of it.
                assert!((a - b).abs() <= 0.05 * a.abs(), "{precision:?} step {i}: {a} on the CPU, {b}");
            }
        }
    }
}

/// Open loop: two models, a random layer between them, gradients by hand: the example `vae`, small.
#[test]
fn the_losses_of_a_vae_are_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let (cpu, cuda) = (vae(&Device::cpu()).expect("a run"), vae(&gpu.device).expect("a run"));
    for (i, (a, b)) in cpu.iter().zip(&cuda).enumerate() {
        assert!((a - b).abs() <= 1e-4 * a.abs(), "step {i}: {a} on the CPU, {b} on {}", gpu.device);
    }
}

fn vae(device: &Device) -> Result<Vec<f64>> {
    const ROWS: usize = 8;
    let (pixels, plane) = (Extent::flat(784), Extent::flat(2));
    let mut net = Network::new(pixels);
    let h = net.push(Dense::new(64).act(Relu));
    let (mean, log_var) = (net.add(Dense::new(2), &[h]), net.add(Dense::new(2), &[h]));
    net.output("mean", mean).output("log_var", log_var);
    let mut encoder = Model::builder(net).seed(1).device(device.clone()).build()?;
    let mut net = Network::new(plane);
    net.push(Dense::new(64).act(Relu));
    net.push(Dense::new(784));
    let mut decoder = Model::builder(net).seed(2).device(device.clone()).loss("output", LogisticBce, 784.0).build()?;
    let (images, optimizer) = (synth::digits(4 * ROWS, 1)?, Adam::new(1e-3));
    let mut random = Stream::new(7, Purpose::User, 0);
    let mut losses = Vec::new();
    for x in images.x(0).chunks_exact(ROWS * 784).cycle().take(STEPS) {
        let x = View::new(pixels, x)?;
        encoder.forward(Mode::Train, x)?;
        let (mean, log_var) = (encoder.output(0)?.to_vec(), encoder.output(1)?.to_vec());
        let eps: Vec<f32> = mean.iter().map(|_| random.normal() as f32).collect();
        let z: Vec<f32> = (0..eps.len()).map(|i| mean[i] + (0.5 * log_var[i]).exp() * eps[i]).collect();
        decoder.forward(Mode::Train, View::new(plane, &z)?)?;
        losses.push(decoder.loss(&[x.into()])?);
        let dz = decoder.backward(Seed::Loss, Grads::Write)?.to_vec();
        let dlog_var: Vec<f32> = (0..z.len()).map(|i| 0.5 * dz[i] * eps[i] * (0.5 * log_var[i]).exp()).collect();
        let seeds = [Some(View::new(plane, &dz)?), Some(View::new(plane, &dlog_var)?)];
        encoder.backward(Seed::Outputs(&seeds), Grads::Write)?;
        encoder.step(&optimizer)?;
        decoder.step(&optimizer)?;
    }
    Ok(losses)
}

/// Clipping, averaging, accumulation and a short last batch: the weights after two epochs are those of the CPU, and a run that is
/// saved in the middle and resumed on the GPU gives the same bits.
#[test]
fn a_run_with_everything_resumes_with_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("run.safetensors");
    for accumulate in [1, 3] {
        let build = |device: &Device| {
            let run = &runs()[0];
            let t = run.trainer(device, Precision::FP32).batch(7).accumulate(accumulate).ema(Ema::new(0.9));
            t.clip(Clip::Norm(0.05)).build().expect("a legal trainer")
        };
        let weights = |t: &Trainer| t.model().array("dense1.weight").expect("weights");
        let (mut cpu, mut cuda, mut halves) = (build(&Device::cpu()), build(&gpu.device), build(&gpu.device));
        let (a, b) = (cpu.fit(2, &mut Silent).expect("a run"), cuda.fit(2, &mut Silent).expect("a run"));
        assert!((a.loss - b.loss).abs() < 1e-5 * a.loss, "{} on the CPU, {}", a.loss, b.loss);
        for (a, b) in weights(&cpu).iter().zip(weights(&cuda)) {
            assert!((a - b).abs() < 1e-5, "{a} on the CPU, {b}");
        }
        let mut by_hand = build(&Device::cpu());
        for _ in 0..3 {
            let (a, b) = (by_hand.step().expect("a step"), halves.step().expect("a step"));
            assert!((a - b).abs() < 1e-5 * a, "the loss of a step of {accumulate} batches: {a} on the CPU, {b}");
        }
        halves.save(&path).expect("a file");
        let mut resumed = build(&gpu.device);
        resumed.restore(&Checkpoint::load(&path).expect("a checkpoint")).expect("the same run");
        let c = resumed.fit(2, &mut Silent).expect("a run");
        assert_eq!(weights(&cuda), weights(&resumed), "accumulate {accumulate}");
        assert!((b.loss - c.loss).abs() < 1e-12 * b.loss, "{} at once, {} in two", b.loss, c.loss);
    }
}

/// The loss scale of f16 is part of the run: one that overflows at first is saved in the middle, and goes on with the same bits.
#[test]
fn a_run_in_f16_resumes_with_its_loss_scale() {
    let Some(gpu) = gpu() else { return };
    let build = || {
        // 2^16·2^6 of scale overflow f16; after some skipped updates the scale is small enough.
        let t = runs()[0].trainer(&gpu.device, Precision::FP16).batch(5).loss_factor(64.0);
        t.build().expect("a legal trainer")
    };
    let weights = |t: &Trainer| t.model().array("dense1.weight").expect("weights");
    let (mut whole, mut halves, mut resumed) = (build(), build(), build());
    let drawn = weights(&whole);
    whole.step().expect("a step");
    assert_eq!(weights(&whole), drawn, "nothing overflows: this run shows nothing");
    for _ in 1..16 {
        whole.step().expect("a step");
    }
    for _ in 0..8 {
        halves.step().expect("a step");
    }
    resumed.restore(&halves.checkpoint().expect("a state")).expect("the same run");
    for _ in 0..8 {
        resumed.step().expect("a step");
    }
    assert_ne!(weights(&whole), drawn, "every update was skipped");
    assert_eq!(weights(&whole), weights(&resumed));
}

/// Another optimizer in between takes other memory: a recorded step must not write to the old.
#[test]
fn another_optimizer_in_between_is_noticed() {
    let Some(gpu) = gpu() else { return };
    let run = |device: &Device| {
        let t = Trainer::builder(iris(), Mse::half(), Sgd::new(0.1).momentum(0.9)).batch(5).seed(5).device(device.clone());
        let mut t = t.data(flowers(), None::<Samples>).build().expect("a legal trainer");
        let mut losses = Vec::new();
        for i in 0..9 {
            losses.push(t.step().expect("a step"));
            if i == 4 {
                t.model_mut().step(&Adam::new(1e-3)).expect("an update by hand");
            }
        }
        losses
    };
    for (a, b) in run(&Device::cpu()).iter().zip(run(&gpu.device)) {
        assert!((a - b).abs() <= 1e-4 * a.abs().max(1e-3), "{a} on the CPU, {b}");
    }
}

/// The first loss that is not finite stops the run at a later look, with the weights of the step before it.
#[test]
fn a_diverging_run_names_the_step_the_layer_and_the_sample() {
    let Some(gpu) = gpu() else { return };
    let mut x = vec![0.5_f32; 40 * 4];
    x[4 * 17 + 2] = f32::NAN;
    let samples = || Samples::with_missing(Extent::flat(4), x.clone(), Missing::Keep);
    let data = || samples().and_then(|s| s.with_classes(vec![0; 40], 3)).expect("samples");
    let trainer = |device: &Device| {
        let t = Trainer::builder(iris(), SoftmaxCrossEntropy, Sgd::new(0.1)).batch(5).seed(1).shuffle(false);
        t.device(device.clone()).data(data(), None::<Samples>).build().expect("a legal trainer")
    };
    let (mut cpu, mut cuda) = (trainer(&Device::cpu()), trainer(&gpu.device));
    let fail = |t: &mut Trainer| t.fit(3, &mut Silent).expect_err("NaN in the data");
    let (a, b) = (fail(&mut cpu), fail(&mut cuda));
    assert_eq!((a.kind(), b.kind()), (ErrorKind::Diverged, ErrorKind::Diverged));
    assert!(b.to_string().contains("sample") && b.to_string().contains("17"), "{b}");
    assert_eq!((cpu.model().updates(), cuda.model().updates()), (3, 3), "{a} / {b}");
    for (a, b) in cpu.model().array("dense1.weight").unwrap().iter().zip(cuda.model().array("dense1.weight").unwrap()) {
        assert!((a - b).abs() < 1e-6, "{a} on the CPU, {b}: the bad step changed the weights");
    }
}

// ------------------------------------------------------------------------------------------------- on the emulator alone

/// Functions that the emulator's library exports besides CUDA's.
pub struct Emulator(libloading::Library);

impl Emulator {
    pub fn get() -> Option<Self> {
        let path = std::env::var_os("KAMACITE_CUDA_DRIVER")?;
        #[allow(unsafe_code)]
        // SAFETY: it is loaded already.
        let library = unsafe { libloading::Library::new(path) }.ok()?;
        #[allow(unsafe_code)]
        // SAFETY: looked up, not called.
        let known = unsafe { library.get::<unsafe extern "C" fn(*mut u64)>(b"kamacite_emulator_counts\0").is_ok() };
        known.then_some(Self(library))
    }

    /// Launches, graph launches, copies to the device, bytes of them, copies to the host, allocations, waits, graph nodes.
    #[allow(unsafe_code)]
    pub fn counts(&self) -> [u64; 8] {
        let mut counts = [0; 8];
        // SAFETY: writes eight numbers.
        unsafe {
            let f: libloading::Symbol<'_, unsafe extern "C" fn(*mut u64)> =
                self.0.get(b"kamacite_emulator_counts\0").expect("a name");
            f(counts.as_mut_ptr());
        }
        counts
    }

    /// The call after `after` more ones fails: `alloc`, `launch` or `lost`.
    #[allow(unsafe_code)]
    fn fail(&self, what: &std::ffi::CStr, after: i32) {
        // SAFETY: the documented signature.
        unsafe {
            let f: libloading::Symbol<'_, unsafe extern "C" fn(*const std::ffi::c_char, i32)> =
                self.0.get(b"kamacite_emulator_fail\0").expect("a name");
            f(what.as_ptr(), after);
        }
    }
}

/// A replayed step with data on the device: one graph, nothing copied but the few bytes of the step (which travel with a launch), no
/// memory taken, nothing waited for.
#[test]
fn a_replayed_step_copies_allocates_and_waits_for_nothing() {
    let (Some(gpu), Some(emulator)) = (gpu(), Emulator::get()) else { return };
    let run = &runs()[1];
    let mut t = run.trainer(&gpu.device, Precision::FP32).build().expect("a legal trainer");
    // 5 steps an epoch: after two epochs every step is recorded.
    t.fit(2, &mut Silent).expect("a run");
    let before = emulator.counts();
    t.fit(6, &mut Silent).expect("a run");
    let after = emulator.counts();
    let [launches, graphs, copies, _, down, allocations, waits, _] = std::array::from_fn(|i| after[i] - before[i]);
    println!(
        "4 epochs of 5 steps: {launches} launches, {graphs} graphs, {copies} copies to, {down} from, {allocations} allocations, {waits} waits"
    );
    assert_eq!(graphs, 20);
    assert_eq!(allocations, 0);
    // Once an epoch the order of the samples is sent and the sum of the losses is read.
    assert!(copies <= 4 * 2 && down <= 4 * 3 && waits <= 4 * 5, "{copies} copies to, {down} from, {waits} waits");
    // Each step is one graph and the launch that carries its number.
    assert!(launches > graphs && launches % graphs == 0, "{launches} launches in {graphs} graphs");
}

/// A tiny network with data on the device: an epoch is one launch.
#[test]
fn an_epoch_of_a_tiny_network_is_one_launch() {
    let (Some(gpu), Some(emulator)) = (gpu(), Emulator::get()) else { return };
    let mut t = runs()[0].trainer(&gpu.device, Precision::FP32).build().expect("a legal trainer");
    t.fit(1, &mut Silent).expect("a run");
    let before = emulator.counts();
    t.fit(5, &mut Silent).expect("a run");
    let after = emulator.counts();
    let [launches, graphs, copies, _, down, allocations, waits, _] = std::array::from_fn(|i| after[i] - before[i]);
    println!(
        "4 epochs of 60 steps: {launches} launches, {copies} copies to, {down} from, {allocations} allocations, {waits} waits"
    );
    assert_eq!((launches, graphs, allocations), (4, 0, 0));
    // Once an epoch the order of the samples is sent and the sum of the losses is read.
    assert!(copies <= 4 * 2 && down <= 4 * 3 && waits <= 4 * 5, "{copies} copies to, {down} from, {waits} waits");
}

/// Runs a test of this file as a process of its own, since it breaks the device.
fn alone(name: &str, role: &str, environment: &[(&str, &str)]) -> Option<(bool, String)> {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args([&format!("cuda_training::{name}"), "--exact", "--test-threads=1", "--nocapture"]).env(ROLE, role);
    let out = child.envs(environment.iter().copied()).output().expect("a child process");
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    Some((out.status.success(), text))
}
const ROLE: &str = "KAMACITE_TEST_ROLE";

fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// A device that is lost in the middle: an ordinary error, and the last checkpoint is whole.
#[test]
fn a_lost_device_leaves_the_last_checkpoint() {
    if let Some(path) = role() {
        let (Some(gpu), Some(emulator)) = (gpu(), Emulator::get()) else { return };
        let run = &runs()[0];
        let mut t = run.trainer(&gpu.device, Precision::FP32).batch(5).checkpoint(&path).build().expect("a legal trainer");
        t.fit(2, &mut Silent).expect("a run");
        emulator.fail(c"lost", 20);
        let e = t.fit(9, &mut Silent).expect_err("the device is lost");
        assert_eq!(e.kind(), ErrorKind::Device, "{e}");
        println!("LOST {e}");
        return;
    }
    if gpu().is_none() || Emulator::get().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("lost.safetensors");
    let (fine, text) = alone("a_lost_device_leaves_the_last_checkpoint", path.to_str().expect("a path"), &[]).expect("a child");
    assert!(fine && text.contains("LOST "), "{text}");
    assert!(Checkpoint::load(&path).expect("a whole file").updates() >= 24);
}

/// A device that is lost while batches of a prediction are under way: the error names their samples.
#[test]
fn a_device_lost_in_a_prediction_names_the_samples() {
    const NAME: &str = "a_device_lost_in_a_prediction_names_the_samples";
    if role().is_some() {
        let (Some(gpu), Some(emulator)) = (gpu(), Emulator::get()) else { return };
        let mut net = Network::new(Extent::flat(300));
        net.push(Dense::new(200));
        let mut model = Model::builder(net).device(gpu.device.clone()).build().expect("a model");
        let data = || Samples::new(Extent::flat(300), vec![0.5; 300 * 400]).expect("samples");
        assert_eq!(model.predict_data(data(), 10, Mode::Infer).expect("predictions").len(), 400 * 200);
        emulator.fail(c"lost", 200);
        let e = model.predict_data(data(), 10, Mode::Infer).expect_err("the device is lost");
        assert_eq!(e.kind(), ErrorKind::Device, "{e}");
        println!("LOST {e}");
        return;
    }
    if gpu().is_none() || Emulator::get().is_none() {
        return;
    }
    let (fine, text) = alone(NAME, "child", &[]).expect("a child");
    let named = text.split_once("LOST samples ").and_then(|(_, rest)| rest.split_once(':')).and_then(|(samples, _)| {
        let (first, last) = samples.split_once(" to ")?;
        Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
    });
    // Four batches at most: three of which nothing is known, and the one that was being sent.
    let good = named.is_some_and(|(first, last)| 0 < first && first < last && last < 399 && last - first < 40);
    assert!(fine && good, "{text}");
}

/// Too large a batch: the plan's table, the batch that fits, and the process goes on.
#[test]
fn out_of_memory_is_an_ordinary_error() {
    const NAME: &str = "out_of_memory_is_an_ordinary_error";
    if role().is_some() {
        let (Some(gpu), Some(_)) = (gpu(), Emulator::get()) else { return };
        let build = |batch: usize| {
            let data = synth::galaxies(100, 1).expect("galaxies");
            let t = Trainer::builder(galaxies(), SoftmaxCrossEntropy, Sgd::new(0.1)).batch(batch);
            t.device(gpu.device.clone()).data(data, None::<Samples>).build()
        };
        let e = build(100).expect_err("more than there is");
        assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{e}");
        let text = e.to_string();
        assert!(text.contains("conv1") && text.contains("a batch of "), "{text}");
        let fits: usize =
            text.rsplit("a batch of ").next().and_then(|s| s.split(' ').next()).and_then(|n| n.parse().ok()).expect("a number");
        let loss = build(fits.min(100)).expect("the batch that fits").step();
        assert!(loss.as_ref().is_ok_and(|l| l.is_finite()), "{loss:?}");
        println!("FITS {fits}");
        return;
    }
    if gpu().is_none() || Emulator::get().is_none() {
        return;
    }
    let (fine, text) = alone(NAME, "child", &[("KAMACITE_EMULATED_MEMORY", "10000000")]).expect("a child");
    assert!(fine && text.contains("FITS "), "{text}");
}

/// A library that passes for a driver, from C; none without a compiler.
fn driver(folder: &Path, name: &str, code: &str) -> Option<PathBuf> {
    let (source, library) = (folder.join(format!("{name}.c")), folder.join(format!("{name}.so")));
    std::fs::write(&source, code).expect("a file");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so", "-o"]).arg(&library).arg(&source);
    cc.status().is_ok_and(|s| s.success()).then_some(library)
}

/// No driver, one that is too old, one without a GPU, no compiler: a sentence, and the CPU.
#[test]
fn without_a_driver_or_a_compiler_there_is_a_reason_and_the_cpu() {
    const NAME: &str = "without_a_driver_or_a_compiler_there_is_a_reason_and_the_cpu";
    if role().is_some() {
        println!("CUDA {}", Device::cuda(0).expect_err("no GPU to be used"));
        println!("AUTO {}", Device::auto());
        println!("{}", doctor());
        return;
    }
    let nowhere = ("KAMACITE_CUDA_DRIVER", "/nonexistent/libcuda.so.1");
    let (fine, text) = alone(NAME, "child", &[nowhere, ("KAMACITE_DEVICE", "")]).expect("a child");
    assert!(fine && text.contains("CUDA cuda: no NVIDIA driver") && text.contains("AUTO cpu"), "{text}");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let rest = "int cuMemAlloc_v2(){return 1;} int cuModuleLoadData(){return 1;} int cuLaunchKernel(){return 1;} int cuLaunchKernelEx(){return 1;} \
                int cuStreamBeginCapture_v2(){return 1;} int cuGraphInstantiateWithFlags(){return 1;}";
    for (name, rest, expected) in [("old", "", "lacks cuMemAlloc_v2"), ("empty", rest, "a GPU")] {
        // cuInit: CUDA_ERROR_NO_DEVICE.
        let Some(driver) = driver(dir.path(), name, &format!("int cuInit(unsigned f){{return 100;}} {rest}")) else { break };
        let driver = ("KAMACITE_CUDA_DRIVER", driver.to_str().expect("a path"));
        let (fine, text) = alone(NAME, "child", &[driver, ("KAMACITE_DEVICE", "")]).expect("a child");
        assert!(fine && text.contains(expected) && text.contains("AUTO cpu"), "{name} driver: {text}");
    }
    let (Ok([driver, ..]), true) = (kamacite_emulator::environment(), Emulator::get().is_some() || gpu().is_some()) else {
        return;
    };
    // The file lies where this was built.
    if !driver.1.exists() {
        println!("SKIPPED without a compiler: no {}", driver.1.display());
        return;
    }
    let driver = (driver.0, driver.1.to_str().expect("a path"));
    let empty = tempfile::tempdir().expect("a temporary folder");
    let nothing = empty.path().to_str().expect("a path");
    let without = [driver, ("KAMACITE_NVRTC", nothing), ("HOME", nothing), ("VIRTUAL_ENV", nothing), ("KAMACITE_DEVICE", "")];
    let (fine, text) = alone(NAME, "child", &without).expect("a child");
    // A toolkit of this machine would be found in its usual place.
    if !text.contains("by NVRTC") {
        assert!(fine && text.contains("nvidia-cuda-nvrtc") && text.contains("AUTO cpu"), "{text}");
    }
}
