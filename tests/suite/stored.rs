//! Data that go to a GPU as their files hold them: through the ordinary constructors, with the results of the same numbers in memory, and
//! counted byte by byte on their way.

use crate::cuda::gpu;
use crate::cuda_training::Emulator;
use kamacite::data::{Dataset, Files, Kind, Pick, Prepare, Samples, npy, raw};
use kamacite::optim::Adam;
use kamacite::*;
use std::path::Path;
use std::sync::Arc;

const N: usize = 24;
const BATCH: usize = 8;

/// A number of the range -1..1.
fn number(i: usize) -> f32 {
    ((i * 7919 + i / 13) % 2003) as f32 / 1001.5 - 1.0
}

fn trainer(data: impl Into<Arc<dyn Dataset>>, device: &Device, precision: Precision) -> Trainer {
    let data = data.into();
    let mut net = Network::new(data.inputs()[0]);
    net.push(Dense::new(12).act(Relu));
    // Dense layers alone would train in one kernel where the data are on the device, with sums in another order.
    net.push(Dropout::new(0.1));
    net.push(Dense::new(2));
    let t = Trainer::builder(net, Mse, Adam::new(0.01)).batch(BATCH).seed(4).device(device.clone()).precision(precision);
    t.data(data, None::<Samples>).build().expect("a legal trainer")
}

fn state(t: &Trainer) -> Vec<u8> {
    t.checkpoint().and_then(|c| c.to_bytes()).expect("a finite state")
}

/// The same samples as numbers in memory.
fn numbers(data: &dyn Dataset) -> Samples {
    let x = data.inputs()[0];
    let (mut all, mut targets) = (vec![0.0; N * x.len()], vec![0.0; N * 2]);
    for (index, (x, t)) in all.chunks_exact_mut(x.len()).zip(targets.chunks_exact_mut(2)).enumerate() {
        let pick = Pick { index, epoch: 0, seed: 0 };
        data.input(pick, 0, x).and_then(|()| data.values(pick, 0, t)).expect("a sample");
    }
    Samples::new(x, all).and_then(|s| s.with_values(Extent::flat(2), targets)).expect("sizes fit")
}

/// Trains three epochs from files: the weights of training on the numbers, and `element` bytes for each number on the way.
fn check(what: &str, element: usize, files: impl Fn() -> Result<Files>) {
    let (Some(gpu), Some(emulator)) = (gpu(), Emulator::get()) else { return };
    for precision in [Precision::FP32, Precision::BF16] {
        let files = files().expect("files");
        let len = files.inputs()[0].len();
        let mut plain = trainer(numbers(&files), &gpu.device, precision);
        plain.fit(3, &mut Silent).expect("a run");
        let mut t = trainer(files, &gpu.device, precision);
        t.fit(2, &mut Silent).expect("a run");
        let before = emulator.counts();
        t.fit(3, &mut Silent).expect("a run");
        let after = emulator.counts();
        assert!(state(&t) == state(&plain), "{what} {precision:?}");
        let batches = (N / BATCH) as u64;
        let (copies, bytes) = ((after[2] - before[2]) / batches, (after[3] - before[3]) / batches);
        println!("{what} {precision:?}: {copies} copies, {bytes} bytes for each batch of {BATCH} x {len}");
        // The rows, a scaling, two targets and a weight for each of them, and gaps between columns.
        let least = (BATCH * len * element) as u64;
        assert!((least..=least + BATCH as u64 * 44 + 64).contains(&bytes), "{what}: {bytes} bytes, {least} of pixels");
        assert_eq!(copies, 1, "{what}");
    }
}

fn labels(folder: &Path, kind: &str) -> kamacite::data::files::FilesBuilder {
    let line = |i: usize| format!("{i}.{kind},{},{}\n", number(i), number(i + 77));
    std::fs::write(folder.join("labels.txt"), (0..N).map(line).collect::<String>()).expect("a file");
    Files::labels(folder.join("labels.txt")).values()
}

/// Writes a sample of numbers in -1..1 as elements of some type.
fn elements<T>(i: usize, len: usize, of: impl Fn(f32) -> T) -> Vec<T> {
    (0..len).map(|k| of(number(i * len + k))).collect()
}

#[test]
fn arrays_of_numpy() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |i: usize, kind: Kind| {
        let (file, shape) = (dir.path().join(format!("{i}.npy")), [16, 20]);
        match kind {
            Kind::U8 => npy::write(file, &shape, &elements(i, 320, |x| (x * 127.0 + 127.0) as u8)),
            Kind::I16 => npy::write(file, &shape, &elements(i, 320, |x| (x * 30000.0) as i16)),
            Kind::F16 => {
                // The writer has no type for halves: those of integers, under another name.
                let bits = elements(i, 320, |x| half_bits((x * 8.0).round()));
                let mut bytes = npy::to_bytes(&shape, &bits).expect("an array");
                let at = bytes.windows(2).position(|w| w == b"u2").expect("a type");
                bytes[at] = b'f';
                std::fs::write(file, bytes).map_err(|e| Error::io(dir.path().join("half"), e))
            }
            _ => npy::write(file, &shape, &elements(i, 320, |x| x)),
        }
    };
    for (kind, element) in [(Kind::U8, 1), (Kind::I16, 2), (Kind::F16, 2), (Kind::F32, 4)] {
        (0..N).try_for_each(|i| write(i, kind)).expect("files");
        check(&format!("npy {kind:?}"), element, || labels(dir.path(), "npy").open());
        let scaled = || labels(dir.path(), "npy").prepare(Prepare::new().affine(1.0 / 255.0, -0.5)).open();
        check(&format!("npy {kind:?}, scaled"), element, scaled);
    }
}

/// Halves of small whole numbers.
fn half_bits(x: f32) -> u16 {
    let (sign, magnitude) = (u16::from(x < 0.0) << 15, x.abs() as u16);
    if magnitude == 0 {
        return 0;
    }
    let log = 15 - magnitude.leading_zeros() as u16;
    sign | (15 + log) << 10 | (magnitude << (10 - log) & 0x3ff)
}

/// Stamps of 16 bits with a scale and a zero of their own, and cubes of floats: big-endian, as FITS has it.
#[cfg(feature = "fits")]
#[test]
fn images_and_cubes_of_fits() {
    use kamacite::data::fits::{Cards, Writer};
    let dir = tempfile::tempdir().expect("a folder");
    for i in 0..N {
        let cards = Cards::new().with("XSCALE", 0.01 + i as f64 / 300.0).and_then(|c| c.with("XZERO", 32768.0 / (i + 1) as f64));
        let pixels = elements(i, 384, |x| (x * 30000.0) as i16);
        let file = Writer::to_bytes(|w| w.image(&[16, 24], &pixels, &cards.expect("cards"))).expect("a file");
        // The writer itself scales nothing.
        let named = |at: &[u8]| [b"XSCALE  ", b"XZERO   "].iter().any(|name| at.starts_with(&name[..]));
        let file: Vec<u8> = (0..file.len()).map(|k| if k % 80 == 0 && named(&file[k..]) { b'B' } else { file[k] }).collect();
        std::fs::write(dir.path().join(format!("{i}.fits")), file).expect("a file");
    }
    let prepare = || Prepare::new().affine(1e-3, 0.1);
    check("FITS i16 with BSCALE and BZERO", 2, || labels(dir.path(), "fits").prepare(prepare()).open());
    for i in 0..N {
        let file = Writer::to_bytes(|w| w.image(&[5, 8, 8], &elements(i, 320, |x| x), &Cards::new())).expect("a file");
        std::fs::write(dir.path().join(format!("{i}.fits")), file).expect("a file");
    }
    check("FITS f32 cube", 4, || labels(dir.path(), "fits").open());
}

/// Bytes of a raw file, scaled as everybody does it: in memory, so the trainer sends them once; an evaluation sends batches.
#[test]
fn bytes_of_a_raw_file() {
    let (Some(gpu), Some(emulator)) = (gpu(), Emulator::get()) else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let (path, len) = (dir.path().join("images.dat"), 300 * 300);
    std::fs::write(&path, elements(0, N * len, |x| (x * 127.0 + 127.0) as u8)).expect("a file");
    let set = || -> Result<Samples> {
        let targets = (0..N * 2).map(number).collect();
        raw::read(&path, Kind::U8, &[N, 300, 300])?.samples()?.scaled(1.0 / 255.0).with_values(Extent::flat(2), targets)
    };
    let set = set().expect("samples");
    for precision in [Precision::FP32, Precision::BF16] {
        let before = emulator.counts();
        let mut t = trainer(set.clone(), &gpu.device, precision);
        let sent = emulator.counts()[3] - before[3];
        let weights = 4 * (len * 12 + 12 * 2 + 14);
        println!("raw u8 {precision:?}: {sent} bytes for {N} x {len} pixels and {weights} of weights");
        assert!(sent < (N * len + weights + 4096) as u64, "{sent} bytes, {} of pixels", N * len);
        let mut plain = trainer(numbers(&set), &gpu.device, precision);
        [&mut t, &mut plain].into_iter().for_each(|t| drop(t.fit(2, &mut Silent).expect("a run")));
        assert!(state(&t) == state(&plain), "{precision:?}");
        let mut model = t.into_model();
        let before = emulator.counts();
        let found = model.evaluate(set.clone(), BATCH).expect("an evaluation");
        let batches = (N / BATCH) as u64;
        let bytes = (emulator.counts()[3] - before[3]) / batches;
        println!("raw u8 {precision:?}: {bytes} bytes for each batch of {BATCH} x {len}");
        let least = (BATCH * len) as u64;
        assert!((least..least + 1024).contains(&bytes), "{bytes} bytes, {least} of pixels");
        assert_eq!(found, plain.into_model().evaluate(numbers(&set), BATCH).expect("an evaluation"));
    }
}
