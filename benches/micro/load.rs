//! Samples out of files in the page cache: bytes of the files per second, on one thread.

use crate::record::{Work, bench};
use kamacite::data::prepare::Interpolation;
use kamacite::data::shards::{Packing, Storage, pack};
use kamacite::data::{Dataset, Files, Missing, Pick, Prepare, Samples, Shards};
use kamacite::{Extent, Result};
use std::path::{Path, PathBuf};

/// A batch of images of this many rows and columns.
const FILES: usize = 16;
const SIDE: usize = 512;

/// A FITS file of one image; the cards after NAXIS2, and the pixels in big-endian order.
fn fits(path: &Path, bitpix: i32, cards: &[&str], pixels: &[u8]) {
    let first = [
        "SIMPLE  =                    T".to_string(),
        format!("BITPIX  = {bitpix:>20}"),
        "NAXIS   =                    2".to_string(),
        format!("NAXIS1  = {SIDE:>20}"),
        format!("NAXIS2  = {SIDE:>20}"),
    ];
    let mut file = Vec::new();
    for card in first.iter().map(String::as_str).chain(cards.iter().copied()).chain(["END"]) {
        file.extend(format!("{card:<80}").bytes());
    }
    file.resize(file.len().next_multiple_of(2880), b' ');
    file.extend_from_slice(pixels);
    file.resize(file.len().next_multiple_of(2880), 0);
    std::fs::write(path, file).expect("a file");
}

fn folder(kind: &str) -> (tempfile::TempDir, Vec<PathBuf>, f64) {
    let dir = tempfile::tempdir().expect("a folder");
    let value = |i: usize, k: usize| ((i * 31 + k * 17) % 4001) as f32;
    let mut bytes = 0;
    let paths = (0..FILES).map(|k| {
        let path = dir.path().join(format!("{k}.fits"));
        let pixels: Vec<u8> = match kind {
            "i16" => (0..SIDE * SIDE).flat_map(|i| (value(i, k) as i16).to_be_bytes()).collect(),
            _ => (0..SIDE * SIDE).flat_map(|i| value(i, k).to_be_bytes()).collect(),
        };
        match kind {
            "i16" => fits(&path, 16, &["BSCALE  =                 0.25", "BZERO   =               8192.0"], &pixels),
            _ => fits(&path, -32, &[], &pixels),
        }
        bytes += pixels.len();
        path
    });
    let paths = paths.collect();
    (dir, paths, bytes as f64)
}

fn read(data: &dyn Dataset, x: &mut [f32]) -> Result<()> {
    let rows = x.chunks_exact_mut(SIDE * SIDE).enumerate();
    for (index, x) in rows {
        data.input(Pick { index, epoch: 0, seed: 0 }, 0, x)?;
    }
    Ok(())
}

#[cfg(feature = "fits")]
#[divan::bench(args = ["f32", "i16", "f32 affine", "i16 affine"], max_time = 1.0)]
fn load_fits(bencher: divan::Bencher<'_, '_>, name: &str) {
    let (_dir, paths, bytes) = folder(&name[..3]);
    let zero = Prepare::new().missing(Missing::Zero);
    let prepare = if name.ends_with("affine") { zero.affine(1e-3, -1.0) } else { zero };
    let data = Files::paths(paths).prepare(prepare).open().expect("a data set");
    let mut x = vec![0.0; FILES * SIDE * SIDE];
    bench(bencher, &format!("fits {name}"), Work::Bytes(bytes), || read(&data, &mut x));
}

/// What preprocessing costs, beside reading: bytes of the pixels.
#[divan::bench(args = ["astronomy", "fit 128 cubic", "fit 128 area"], max_time = 1.0)]
fn prepare(bencher: divan::Bencher<'_, '_>, name: &str) {
    let prepare = match name {
        "astronomy" => Prepare::astronomy(),
        "fit 128 cubic" => Prepare::new().fit(128, Interpolation::Cubic),
        _ => Prepare::new().fit(128, Interpolation::Area),
    };
    let image: Vec<f32> = (0..1024 * 1024).map(|i| ((i * 7919) % 10007) as f32).collect();
    let mut x = Vec::new();
    bench(bencher, &format!("prepare {name} of 1024x1024"), Work::Bytes(4.0 * image.len() as f64), || {
        x.clear();
        x.extend_from_slice(&image);
        prepare.apply(&mut x, Extent::image(1024, 1024, 1)).map(drop)
    });
}

#[divan::bench(args = ["f32", "f16", "i16", "u8"], max_time = 1.0)]
fn load_shards(bencher: divan::Bencher<'_, '_>, name: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let storage = match name {
        "f32" => Storage::F32,
        "f16" => Storage::F16,
        "i16" => Storage::I16,
        _ => Storage::U8,
    };
    let x: Vec<f32> = (0..FILES * SIDE * SIDE).map(|i| (i % 4001) as f32).collect();
    let samples = Samples::new(Extent::image(SIDE, SIDE, 1), x).expect("sizes fit");
    let packed = pack(&samples, dir.path(), &Packing::new(0).storage(storage)).expect("shards");
    let data = Shards::open(dir.path()).expect("a data set");
    let mut x = vec![0.0; FILES * SIDE * SIDE];
    bench(bencher, &format!("shards {name}"), Work::Bytes(packed.bytes as f64), || read(&data, &mut x));
}
