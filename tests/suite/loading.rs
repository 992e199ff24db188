//! Data that wait for a disk: folders and shards, read ahead, against the same arrays in memory.

use crate::cuda::gpu;
use kamacite::data::shards::{Packing, pack};
use kamacite::data::{Augment, Augmented, Dataset, Files, Missing, OnBad, Pick, Prepare, Samples, Shards, Subset, npy};
use kamacite::loss::Target;
use kamacite::monitor::{Batch, Control, End, Epoch, Lines, Start};
use kamacite::optim::Adam;
use kamacite::rng::{Purpose, Stream};
use kamacite::train::{Ended, TrainerBuilder};
use kamacite::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tempfile::TempDir;

const N: usize = 60;

fn path(folder: &Path, i: usize) -> PathBuf {
    folder.join(["bad", "good"][i / (N / 2)]).join(format!("{i:03}.npy"))
}

/// Two class folders of images: stars, and stars with a trail.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for i in 0..N {
        let file = path(dir.path(), i);
        fs::create_dir_all(file.parent().expect("a class")).expect("a folder");
        let mut r = Stream::new(3, Purpose::User, i as u64);
        let mut x: Vec<f32> = (0..64).map(|_| (100.0 + 5.0 * r.normal()) as f32).collect();
        x[r.below(64)] += 400.0;
        if i < N / 2 {
            (0..8).for_each(|k| x[9 * k] += 60.0);
        }
        x[63] = f32::NAN;
        npy::write(file, &[8, 8], &x).expect("a file");
    }
    dir
}

fn files(dir: &TempDir) -> kamacite::data::files::FilesBuilder {
    Files::folders(dir.path()).prepare(Prepare::astronomy())
}

/// The same arrays in memory; skipped samples are zeros of weight 0.
fn in_memory(data: &dyn Dataset) -> Samples {
    let extent = data.inputs()[0];
    let (mut x, mut labels, mut weights) = (vec![0.0; data.len() * extent.len()], vec![], vec![]);
    for (index, x) in x.chunks_exact_mut(extent.len()).enumerate() {
        let (pick, mut t) = (Pick { index, epoch: 0, seed: 0 }, [0]);
        data.input(pick, 0, x).expect("a sample");
        data.classes(pick, 0, &mut t).expect("a label");
        labels.push(t[0]);
        weights.push(if data.is_skipped(pick) { 0.0 } else { data.weight(index) });
    }
    let samples = Samples::new(extent, x).and_then(|s| s.with_classes(labels, 2)).and_then(|s| s.with_weights(weights));
    samples.expect("sizes fit")
}

fn builder(train: impl Into<Arc<dyn Dataset>>, valid: impl Into<Arc<dyn Dataset>>) -> TrainerBuilder {
    let mut net = Network::new(Extent::image(8, 8, 1));
    net.push(Conv::new(4, 3).pad(1).act(Relu));
    net.push(Pool::max(2));
    net.push(Dropout::new(0.2));
    net.push(Dense::new(2));
    Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(0.01)).batch(7).seed(4).data(train, Some(valid))
}

/// Every bit of a trainer after three epochs with validation, and its report.
fn trained(builder: TrainerBuilder) -> (Vec<u8>, train::Report) {
    let mut t = builder.build().expect("a legal trainer");
    let report = t.fit(3, &mut Silent).expect("a run");
    (state(&t), report)
}

fn state(t: &Trainer) -> Vec<u8> {
    t.checkpoint().and_then(|c| c.to_bytes()).expect("a finite state")
}

/// A set around another: slow, each read taking another time, or one that says it is as quick as memory.
struct Around {
    data: Arc<dyn Dataset>,
    slow: bool,
}

impl Dataset for Around {
    fn len(&self) -> usize {
        self.data.len()
    }
    fn inputs(&self) -> &[Extent] {
        self.data.inputs()
    }
    fn targets(&self) -> &[Target] {
        self.data.targets()
    }
    fn input(&self, pick: Pick, k: usize, x: &mut [f32]) -> Result<()> {
        if self.slow {
            std::thread::sleep(Duration::from_micros((pick.index as u64 * 37) % 400));
        }
        self.data.input(pick, k, x)
    }
    fn values(&self, pick: Pick, k: usize, t: &mut [f32]) -> Result<()> {
        self.data.values(pick, k, t)
    }
    fn classes(&self, pick: Pick, k: usize, t: &mut [u32]) -> Result<()> {
        self.data.classes(pick, k, t)
    }
    fn weight(&self, index: usize) -> f32 {
        self.data.weight(index)
    }
    fn varies(&self) -> bool {
        false
    }
    fn waits(&self) -> bool {
        self.slow
    }
    fn is_skipped(&self, pick: Pick) -> bool {
        self.data.is_skipped(pick)
    }
}

#[test]
fn a_folder_trains_as_the_same_arrays_in_memory() {
    let dir = folder();
    let open = || files(&dir).open().expect("a data set");
    let memory = in_memory(&open());
    let (expected, report) = trained(builder(memory.clone(), memory.clone()));
    assert_eq!((report.waited, report.skipped.len()), (0.0, 0));
    for (threads, ahead) in [(1, 0), (1, 1), (2, 3), (7, 3), (2, 100)] {
        let (bits, report) = trained(builder(open(), open()).load_threads(threads).load_ahead(ahead));
        assert!(bits == expected, "{threads} threads, {ahead} batches ahead: other bits");
        assert!(report.waited > 0.0 || ahead == 0);
    }
    let slow: Arc<dyn Dataset> = Arc::new(Around { data: Arc::new(memory.clone()), slow: true });
    let (bits, report) = trained(builder(slow, memory.clone()).load_threads(2));
    assert!(bits == expected && report.waited > 0.0, "a slow disk changes nothing but the time");
    // Views pass on what they are views of: augmentation happens on the threads that read.
    let augmented =
        |data: Arc<dyn Dataset>| Augmented::new(data, Augment::new().flip_h(0.5).shift(1).noise(0.05)).expect("legal");
    let part = |data: Arc<dyn Dataset>| Subset::new(data, (0..N).rev().step_by(2).collect()).expect("in range");
    let (expected, _) = trained(builder(augmented(memory.clone().into()), part(memory.into())));
    let (bits, report) = trained(builder(augmented(open().into()), part(open().into())));
    assert!(bits == expected && report.waited > 0.0);
}

#[test]
fn shards_train_as_what_was_packed_and_resume_in_the_middle() {
    let dir = folder();
    let packed = tempfile::tempdir().expect("a temporary folder");
    let packed = packed.path();
    pack(&files(&dir).open().expect("a data set"), packed, &Packing::new(5).shard_bytes(3000)).expect("shards");
    let open = || Shards::open(packed).expect("a data set");
    let memory = in_memory(&open());
    let (expected, _) = trained(builder(memory.clone(), memory.clone()));
    assert!(trained(builder(open(), open())).0 == expected);
    let from_files = || builder(files(&dir).open().expect("files"), open());
    let from_shards = || builder(open(), open());
    for data in [&from_files as &dyn Fn() -> TrainerBuilder, &from_shards] {
        let file = packed.join("run.safetensors");
        let mut whole = data().build().expect("a legal trainer");
        crate::train::steps(&mut whole, 31);
        let mut first = data().build().expect("a legal trainer");
        crate::train::steps(&mut first, 13);
        first.save(&file).expect("a file");
        drop(first);
        // 13 steps end in the middle of the second epoch.
        let mut second = data().resume(&file).build().expect("a resumed trainer");
        crate::train::steps(&mut second, 18);
        assert!(state(&whole) == state(&second), "resumed with other bits");
        // A trainer that is sent back goes on from there, whatever was read ahead.
        whole.restore(&Checkpoint::load(&file).expect("a checkpoint")).expect("its own state");
        crate::train::steps(&mut whole, 18);
        assert!(state(&whole) == state(&second), "restored with other bits");
    }
}

#[test]
fn a_bad_file_stops_the_step_that_needs_it_and_no_other() {
    let dir = folder();
    let open = || files(&dir).open().expect("a data set");
    let (expected, _) = trained(builder(open(), open()));
    let (bad, good) = (path(dir.path(), 40), fs::read(path(dir.path(), 40)).expect("a file"));
    let data = open();
    fs::write(&bad, &good[..200]).expect("a file");
    let mut t = builder(data, open()).load_threads(2).build().expect("a legal trainer");
    let mut steps = 0;
    let error = loop {
        match t.step() {
            Ok(_) => steps += 1,
            Err(e) => break e,
        }
    };
    assert!(error.to_string().contains("040.npy: npy: shape [8, 8] of F32 does not fill the file"), "{error}");
    // The order of the first epoch says when.
    let mut order: Vec<u32> = (0..N as u32).collect();
    Stream::new(4, Purpose::Shuffle, 0).shuffle(&mut order);
    assert_eq!(Some(steps), order.iter().position(|&i| i == 40).map(|at| at / 7));
    assert!(t.step().is_err(), "it is still bad");
    fs::write(&bad, &good).expect("a file");
    t.fit(3, &mut Silent).expect("the rest of the run");
    assert!(state(&t) == expected, "a file that was mended changes nothing");
    // In validation too.
    fs::write(&bad, "").expect("a file");
    let e = t.validate().expect_err("a bad file").to_string();
    assert!(e.contains("040.npy"), "{e}");
    let model = t.model_mut();
    assert!(model.evaluate(open(), 8).is_err() && model.predict_data(open(), 8, Mode::Infer).is_err());
}

#[test]
fn skipped_files_count_for_nothing_and_are_told() {
    let dir = folder();
    let bad = [3, 17, 44];
    fs::write(path(dir.path(), 3), "damaged").expect("a file");
    npy::write(path(dir.path(), 17), &[9, 8], &[0.0_f32; 72]).expect("a file");
    npy::write(path(dir.path(), 44), &[8, 8], &[f32::NAN; 64]).expect("a file");
    let strict = || {
        Files::folders(dir.path())
            .prepare(Prepare::new().missing(Missing::Zero).l2())
            .on_bad(OnBad::Skip)
            .open()
            .expect("a data set")
    };
    let count = |bits: &[u8]| {
        let c = Checkpoint::from_bytes(bits).expect("a checkpoint");
        let mut t = builder(strict(), strict()).build().expect("a legal trainer");
        t.restore(&c).expect("its own state");
        t.history().iter().map(|r| r.skipped).collect::<Vec<_>>()
    };
    let (bits, report) = trained(builder(strict(), strict()));
    assert_eq!(count(&bits), [2; 3]);
    // An image of nothing but NaN is no error where missing values are 0: two are left out.
    assert_eq!(report.skipped.len(), 2, "{:?}", report.skipped);
    fs::write(path(dir.path(), 44), "").expect("a file");
    let memory = in_memory(&strict());
    let good: Vec<usize> = (0..N).filter(|i| !bad.contains(i)).collect();
    let valid = Subset::new(memory.clone(), good.clone()).expect("in range");
    let (expected, by_memory) = trained(builder(memory.clone(), valid.clone()));
    for threads in [1, 2, 7] {
        let (bits, report) = trained(builder(strict(), strict()).load_threads(threads));
        // Scores over the files that can be read; batches of validation are other ones, and sums of losses differ by rounding.
        let (a, b) = (report.valid.expect("validated"), by_memory.valid.clone().expect("validated"));
        assert_eq!((a.samples, a.accuracy, a.confusion.map(|c| c.total())), (57, b.accuracy, Some(57)));
        assert!((a.loss - b.loss).abs() < 1e-6 * b.loss);
        assert_eq!((report.skipped.len(), count(&bits)), (3, vec![3; 3]));
        assert!(report.skipped.iter().zip(bad).all(|(s, i)| s.contains(&format!("{i:03}.npy"))), "{:?}", report.skipped);
        let weights = |bits: &[u8]| {
            let c = Checkpoint::from_bytes(bits).expect("a checkpoint");
            c.names().map(|n| c.array(n).expect("an array").1).collect::<Vec<_>>()
        };
        assert!(weights(&bits) == weights(&expected), "weight 0 and left out are the same in training");
    }
    // Predictions of what was left out are no numbers, those of the others are as alone.
    let mut model = builder(memory, valid.clone()).build().expect("a legal trainer").into_model();
    let (all, some) =
        (model.predict_data(strict(), 7, Mode::Infer).expect("rows"), model.predict_data(valid, 7, Mode::Infer).expect("rows"));
    let kept: Vec<f32> = good.iter().flat_map(|i| all[2 * i..2 * i + 2].to_vec()).collect();
    assert_eq!(kept, some);
    assert!(bad.iter().all(|i| all[2 * i].is_nan() && all[2 * i + 1].is_nan()));
    let drawn = model.predict_monte_carlo(strict(), 7, 3, &[0.5]).expect("draws");
    assert!((0..2 * N).all(|i| drawn.mean[i].is_nan() == bad.contains(&(i / 2)) && drawn.quantiles[0][i].is_nan() == drawn.mean[i].is_nan()));
}

/// The same samples in memory, with weight 0 where a file is bad, have the same sums but are all counted. Penalties of layers are part of the
/// means, on every device.
#[test]
fn mean_losses_are_those_of_the_samples_that_were_read() {
    let dir = folder();
    let bad = [3, 17, 44];
    bad.iter().for_each(|i| fs::write(path(dir.path(), *i), "damaged").expect("a file"));
    let open = || Arc::new(files(&dir).on_bad(OnBad::Skip).open().expect("a data set")) as Arc<dyn Dataset>;
    let memory = in_memory(&*open());
    let good: Vec<usize> = (0..N).filter(|i| !bad.contains(i)).collect();
    let whole: Arc<dyn Dataset> = memory.clone().into();
    let nothing: Arc<dyn Dataset> = memory.clone().with_weights(vec![0.0; N]).expect("a weight for each").into();
    let valid: Arc<dyn Dataset> = Subset::new(memory, good).expect("in range").into();
    let build = |train: Arc<dyn Dataset>, valid: Arc<dyn Dataset>, batch: usize| {
        let mut net = Network::new(Extent::image(8, 8, 1));
        net.push(BayesDense::new(2));
        // Steps too small to change a weight, so that only the samples and the draws of the layer make the loss.
        Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(1e-30)).batch(batch).seed(4).data(train, Some(valid))
    };
    let near = |a: f64, b: f64, most: f64| assert!((a - b).abs() < most * a, "{a}, {b}");
    for device in [Some(Device::cpu()), gpu().map(|gpu| gpu.device)].into_iter().flatten() {
        for accumulate in [1, 2] {
            let run = |train: Arc<dyn Dataset>, valid: Arc<dyn Dataset>| {
                let mut t =
                    build(train, valid, 7).device(device.clone()).accumulate(accumulate).build().expect("a legal trainer");
                let report = t.fit(3, &mut Silent).expect("a run");
                (report.loss, report.valid.expect("validated").loss)
            };
            let (loss, validated) = run(open(), open());
            let ((of_all, expected), (penalty, _)) = (run(whole.clone(), valid.clone()), run(nothing.clone(), valid.clone()));
            assert!(penalty > 0.1 * of_all && of_all > penalty, "{penalty} of {of_all}");
            // Sums in double precision; validation runs in other batches, which are summed in single precision.
            near(loss, (of_all - penalty) * 60.0 / 57.0 + penalty, 1e-12);
            near(validated, expected, 1e-6);
        }
    }
    // One by one: a step without a sample has no mean, and a run that is resumed has counted what came before.
    let (mut t, file) = (build(open(), valid.clone(), 1).build().expect("a legal trainer"), dir.path().join("run.safetensors"));
    let losses: Vec<f64> = (0..50).map(|_| t.step().expect("a step")).collect();
    let without = losses.iter().filter(|loss| loss.is_nan()).count();
    assert!((1..=3).contains(&without), "{without} of the first 50 steps");
    t.save(&file).expect("a file");
    let mut resumed = build(open(), valid.clone(), 1).resume(&file).build().expect("a resumed trainer");
    let (a, b) = (t.fit(2, &mut Silent).expect("a run"), resumed.fit(2, &mut Silent).expect("a run"));
    assert!(a.loss == b.loss && state(&t) == state(&resumed));
    // Nothing at all.
    let none = Subset::new(open(), bad.to_vec()).expect("in range").into();
    let e = build(none, valid, 7).build().and_then(|mut t| t.fit(1, &mut Silent)).expect_err("no samples").to_string();
    assert!(e.starts_with("training: none of the 3 samples could be read; got ") && e.contains("003.npy"), "{e}");
}

/// Sets that lie in a table for tiny networks, or on a GPU, would give what is left out its weight: those that leave something out do not.
#[test]
fn a_set_that_does_not_wait_may_leave_samples_out() {
    let dir = folder();
    [3, 17, 44].iter().for_each(|i| fs::write(path(dir.path(), *i), "damaged").expect("a file"));
    let open = || Arc::new(files(&dir).on_bad(OnBad::Skip).open().expect("a data set")) as Arc<dyn Dataset>;
    for device in [Some(Device::cpu_threads(1).expect("a CPU")), gpu().map(|gpu| gpu.device)].into_iter().flatten() {
        let run = |train: Arc<dyn Dataset>| {
            let mut net = Network::new(Extent::image(8, 8, 1));
            net.push(Dense::new(2));
            let b = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(0.01)).batch(1).seed(4).device(device.clone());
            let mut t = b.data(train, None::<Samples>).build().expect("a legal trainer");
            t.fit(2, &mut Silent).expect("a run");
            (state(&t), t.history()[1].skipped)
        };
        assert!(run(open()) == run(Arc::new(Around { data: open(), slow: false })), "{device}");
    }
}

/// The lines of a run name every file once.
#[test]
fn lines_name_what_was_left_out() {
    let dir = folder();
    fs::write(path(dir.path(), 8), "damaged").expect("a file");
    let open = || files(&dir).on_bad(OnBad::Skip).open().expect("a data set");
    let log = dir.path().join("log.txt");
    let mut t = builder(open(), open()).build().expect("a legal trainer");
    t.fit(2, &mut Lines::to(fs::File::create(&log).expect("a file"))).expect("a run");
    let text = fs::read_to_string(&log).expect("a log");
    assert_eq!(text.matches("  left out: ").count(), 1, "{text}");
    assert!(text.contains("008.npy: npy, byte 0: not an NPY file; expected \\x93NUMPY, got \"damage\"\n"), "{text}");
    // Nothing else was written.
    let names: Vec<_> = fs::read_dir(dir.path()).expect("a folder").map(|e| e.expect("an entry").file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

/// A monitor that ends the run in the middle of an epoch.
struct Enough(train::StopHandle);

impl Monitor for Enough {
    fn start(&mut self, _: &Start<'_>) -> Result<()> {
        Ok(())
    }
    fn batch(&mut self, batch: &Batch) -> Result<()> {
        if batch.step == 5 {
            self.0.stop();
        }
        Ok(())
    }
    fn epoch(&mut self, _: &Epoch<'_>) -> Result<Control> {
        Ok(Control::Continue)
    }
    fn end(&mut self, _: &End<'_>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_run_that_is_stopped_early_ends_and_leaves_no_threads() {
    let dir = folder();
    let data = Arc::new(files(&dir).open().expect("a data set"));
    let mut t =
        builder(Arc::clone(&data) as Arc<dyn Dataset>, Arc::clone(&data) as Arc<dyn Dataset>).build().expect("a legal trainer");
    let report = t.fit(1000, &mut Enough(t.stop_handle())).expect("a run");
    assert_eq!((report.ended, report.steps), (Ended::Stopped, 5));
    drop(t);
    assert_eq!(Arc::strong_count(&data), 1, "a thread still holds the data");
    let refused = |b: TrainerBuilder| b.build().expect_err("no threads").to_string();
    let shared = || Arc::clone(&data) as Arc<dyn Dataset>;
    assert_eq!(refused(builder(shared(), shared()).load_threads(0)), "trainer: load_threads; expected 1 to 1024, got 0");
}

/// On a GPU such data are staged from the host, with the bits of arrays that are.
#[test]
fn a_gpu_gets_the_same_batches() {
    let Some(gpu) = gpu() else { return };
    let dir = folder();
    let run = |data: Arc<dyn Dataset>| {
        let mut t = builder(Arc::clone(&data), data).device(gpu.device.clone()).build().expect("a legal trainer");
        let report = t.fit(2, &mut Silent).expect("a run");
        (t.model().array("dense1.weight").expect("a weight"), report.valid.expect("validated").loss)
    };
    let data = files(&dir).open().expect("a data set");
    let memory = in_memory(&data);
    assert_eq!(run(data.into()), run(memory.into()));
}

const CAP: &str = "KAMACITE_TEST_SHARDS";

/// One epoch over packed data of three times the memory that the child may have: the whole set cannot be read at once, and is not.
#[test]
#[cfg(target_os = "linux")]
fn an_epoch_runs_over_three_times_the_memory() {
    const SAMPLES: usize = 3000;
    let extent = Extent::image(128, 128, 1);
    if let Some(folder) = std::env::var_os(CAP) {
        let data: Arc<dyn Dataset> = Shards::open(folder).expect("shards").into();
        let mut net = Network::new(extent);
        net.push(Pool::average(16));
        net.push(Dense::new(2));
        let b = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(1e-3))
            .batch(16)
            .seed(2)
            .device(Device::cpu_threads(1).expect("a CPU"));
        let mut t = b.load_threads(2).data(data, None::<Samples>).build().expect("a legal trainer");
        let report = t.fit(1, &mut Silent).expect("an epoch");
        println!("loss {:016x} of {}", report.loss.to_bits(), report.steps);
        return;
    }
    /// The pixels of a sample follow from its number.
    struct Made(AtomicUsize, Extent);
    impl Dataset for Made {
        fn len(&self) -> usize {
            SAMPLES
        }
        fn inputs(&self) -> &[Extent] {
            std::slice::from_ref(&self.1)
        }
        fn targets(&self) -> &[Target] {
            const T: [Target; 1] = [Target::Index { classes: 2, positions: 1 }];
            &T
        }
        fn input(&self, pick: Pick, _: usize, x: &mut [f32]) -> Result<()> {
            self.0.fetch_add(1, Relaxed);
            x.iter_mut().enumerate().for_each(|(i, x)| *x = ((i * (pick.index % 97 + 1)) % 251) as f32 / 251.0);
            Ok(())
        }
        fn values(&self, _: Pick, _: usize, _: &mut [f32]) -> Result<()> {
            Ok(())
        }
        fn classes(&self, pick: Pick, _: usize, t: &mut [u32]) -> Result<()> {
            t[0] = (pick.index % 2) as u32;
            Ok(())
        }
        fn weight(&self, _: usize) -> f32 {
            1.0
        }
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let made = Made(AtomicUsize::new(0), extent);
    let packed = pack(&made, dir.path(), &Packing::new(1).shard_bytes(1 << 25)).expect("shards");
    assert_eq!((packed.samples, made.0.into_inner()), (SAMPLES, SAMPLES), "each sample is read once");
    let run = |kilobytes: u64| {
        let program = std::env::current_exe().expect("this program");
        let limited = format!(
            "ulimit -v {kilobytes} && exec \"$0\" loading::an_epoch_runs_over_three_times_the_memory --exact --test-threads=1 --nocapture"
        );
        // Each arena of the allocator would reserve 64 MiB of addresses.
        let child =
            Command::new("sh").arg("-c").arg(limited).arg(program).env(CAP, dir.path()).env("MALLOC_ARENA_MAX", "1").output();
        let child = child.expect("a child process");
        let text = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(child.status.success(), "{text}\n{}", String::from_utf8_lossy(&child.stderr));
        // Behind the name of the test, on the same line.
        let (_, result) = text.split_once("loss ").expect("its result");
        result.lines().next().expect("a line").to_string()
    };
    let cap = packed.bytes / 3 / 1024;
    assert!(packed.bytes >= 3 * cap * 1024);
    assert_eq!(run(cap), run(1 << 24), "with little memory and with much");
}

/// The spectrum of the course: its window of 3522 bins, as the tutorial cuts it, to the bit.
#[test]
#[cfg(feature = "fits")]
fn the_spectrum_of_the_course() {
    use kamacite::data::prepare::Positions;
    let Some(path) = crate::data::course("spec-1198-52669-0063.fits") else { return };
    let window = Prepare::new().window(Positions::Log10, 4000.0, 9000.0, 3522);
    let files = Files::paths([&path]).columns(["flux", "loglam"]).prepare(window).open().expect("the spectrum");
    let mut x = vec![0.0; 3522];
    files.input(Pick { index: 0, epoch: 0, seed: 0 }, 0, &mut x).expect("its flux");
    let table = data::fits::Fits::open(&path).and_then(|f| f.table(1)).expect("a table");
    let column = |name: &str| table.column_f32(name, Missing::Error).expect("a column");
    let (flux, loglam) = (column("flux"), column("loglam"));
    let first = loglam.iter().position(|l| 10.0_f64.powf(f64::from(*l)) > 4000.0).expect("a first bin");
    assert_eq!(x, flux[first..first + 3522]);
}
