//! Readers against real files: the data of the examples, the corpus of the fuzz targets, and the course's files where they are at hand.

use kamacite::data::cifar::{self, Variant};
use kamacite::data::{Column, Dataset, Kind, Layout, Missing, TableReader, classes, idx, npy, points, raw, split, table};
use kamacite::{Checkpoint, Device, Registry};
use kamacite::{Extent, Result};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the course, from `KAMACITE_COURSE_DATA` or `shared/course-data`; a loud skip where there is none.
pub fn course(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("KAMACITE_COURSE_DATA").map_or_else(|| root().join("shared/course-data"), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(!std::env::var("KAMACITE_REQUIRE").is_ok_and(|r| r.split(',').any(|r| r == "course-data")), "no {}", path.display());
    println!("SKIPPED shared data: {} is absent; set KAMACITE_COURSE_DATA", path.display());
    None
}

fn counts(labels: &[u32], n: usize) -> Vec<usize> {
    classes::counts(labels, n).unwrap()
}

#[test]
fn iris_and_pima() {
    let read = |name, n| TableReader::new().label(Column::Last).classes(n).read(root().join("examples/data").join(name)).unwrap();
    let iris = read("iris.data", 3);
    assert_eq!((iris.len(), iris.extent(0), &iris.x(0)[..4]), (150, Some(Extent::flat(4)), &[6.4, 3.2, 5.3, 2.3][..]));
    let (train, test) = iris.split(100).unwrap();
    assert_eq!((counts(train.labels(0).unwrap(), 3), counts(test.labels(0).unwrap(), 3)), (vec![32, 32, 36], vec![18, 18, 14]));
    let pima = read("pima.data", 2);
    let (train, test) = pima.split(568).unwrap();
    assert_eq!((counts(train.labels(0).unwrap(), 2), counts(test.labels(0).unwrap(), 2)), (vec![371, 197], vec![129, 71]));
    let parts = split::stratified(pima.labels(0).unwrap(), 2, &[0.7, 0.15, 0.15], 42).unwrap();
    assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 768);
}

/// The centres that the course stores with its points have the mean squared distances that were measured with the course's programs.
#[test]
fn points_of_the_course() {
    for (dimensions, expected) in [(2, 0.022_768_3), (3, 0.027_332_7)] {
        let Some(input) = course(&format!("kmeans_input_file_{dimensions}d.dat")) else { return };
        let Some(centres) = course(&format!("kmeans_output_{dimensions}d.dat")) else { return };
        let (x, centres) = (points::read(input).unwrap(), TableReader::new().skip(1).read(centres).unwrap());
        let square = |p: &[f32], c: &[f32]| p.iter().zip(c).map(|(p, c)| f64::from(p - c).powi(2)).sum::<f64>();
        let nearest = |p: &[f32]| centres.x(0).chunks(dimensions).map(|c| square(p, c)).fold(f64::INFINITY, f64::min);
        let mean = x.x(0).chunks(dimensions).map(nearest).sum::<f64>() / x.len() as f64;
        // The reference is known to six digits, and the centres are stored with as many.
        assert!((mean / expected - 1.0).abs() < 1e-5, "{dimensions}d: {mean}");
    }
}

#[test]
fn files_of_the_course() {
    if let Some(path) = course("target.dat") {
        let t = table::read(path).unwrap();
        let labels = classes::argmax(t.x(0), 7).unwrap();
        assert_eq!(classes::one_hot(&labels, 7).unwrap(), t.x(0));
        assert_eq!(counts(&labels, 7), [12, 134, 109, 192, 300, 327, 41]);
        assert_eq!(counts(&labels[..915], 7), [7, 91, 96, 169, 246, 279, 27]);
    }
    if let (Some(labels), Some(waves)) = (course("labels.npy"), course("wavelengths.npy")) {
        let labels = npy::read(labels).unwrap();
        assert_eq!((labels.kind(), labels.shape(), labels.to_labels().unwrap().iter().max()), (Kind::I32, &[7000][..], Some(&2)));
        let waves = npy::read(waves).unwrap().to_f32().unwrap();
        assert_eq!((waves.len(), waves[0].floor(), waves[3521].floor()), (3522, 4000.0, 8999.0));
        assert!(waves.is_sorted());
    }
    if let Some(path) = course("cianna_fixture_input.f32") {
        let x = raw::read(path, Kind::F32, &[60, 512]).unwrap().samples_of(Extent::line(512, 1), Layout::ChannelsFirst).unwrap();
        assert_eq!(x.len(), 60);
    }
}

/// Runs one reader as its fuzz target does, with the first error.
fn replay(target: &str, bytes: &[u8]) -> Result<()> {
    match target {
        "table" => {
            let (&options, text) = bytes.split_first().unwrap_or((&0, &[]));
            let mut reader = TableReader::new().skip(usize::from(options >> 6));
            if options & 1 != 0 {
                reader = reader.label(Column::Last);
            }
            if options & 2 != 0 {
                reader = reader.missing(Missing::Median);
            }
            if options & 4 != 0 {
                reader = reader.features([0, 1]).targets([2]);
            }
            if options & 8 != 0 {
                reader = reader.separator(b'\t');
            }
            reader.from_bytes(text).map(drop)
        }
        "checkpoint" => Checkpoint::from_bytes(bytes)?.model(&Registry::standard(), Device::cpu_threads(1)?).map(drop),
        "points" => points::from_bytes(bytes).map(drop),
        "idx" => idx::from_bytes(bytes)?.to_f32().map(drop),
        "npy" => npy::from_bytes(bytes)?.to_f32().map(drop),
        "cifar" => [Variant::Ten, Variant::Fine]
            .into_iter()
            .map(|v| cifar::from_bytes(bytes, v).map(drop))
            .find(Result::is_ok)
            .unwrap_or_else(|| cifar::from_bytes(bytes, Variant::Ten).map(drop)),
        #[cfg(feature = "npz")]
        "npz" => {
            let mut npz = kamacite::data::npz::Npz::from_bytes(bytes)?.limit(1 << 20);
            npz.names().iter().try_for_each(|n| npz.array(n)?.to_f32().map(drop))
        }
        #[cfg(feature = "fits")]
        "fits" => crate::fits::fits_input::read(bytes),
        other => panic!("no reader for the corpus {other}"),
    }
}

/// Files of the corpus that are damaged on purpose; all others must be read.
const DAMAGED: [&str; 13] = [
    "checkpoint/huge",
    "checkpoint/nan",
    "table/header_only",
    "table/fortran",
    "points/huge",
    "points/nan",
    "idx/huge",
    "npy/text",
    "npy/record",
    "npz/bomb",
    "cifar/short",
    "fits/huge",
    "fits/overlap",
];

#[test]
fn corpus_of_the_fuzz_targets() {
    let mut seen = vec![];
    for target in std::fs::read_dir(root().join("tests/fuzz/corpus")).unwrap() {
        let target = target.unwrap();
        let name = target.file_name().into_string().unwrap();
        if (name == "npz" && !cfg!(feature = "npz")) || (name == "fits" && !cfg!(feature = "fits")) {
            println!("SKIPPED {name}: built without the feature");
            continue;
        }
        for file in std::fs::read_dir(target.path()).unwrap() {
            let file = file.unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            let id = format!("{name}/{}", file.file_name().to_string_lossy());
            let result = replay(&name, &bytes);
            let gzip = id == "idx/gzip" && !cfg!(feature = "gzip");
            let damaged = DAMAGED.contains(&id.as_str()) || gzip;
            assert_eq!(result.is_err(), damaged, "{id}: {:?}", result.err());
            // Cuts at every byte, and at each byte of the first 512 two changes: none may panic.
            (0..bytes.len()).for_each(|end| drop(replay(&name, &bytes[..end])));
            for i in 0..bytes.len().min(512) {
                for change in [0x80, 0x01] {
                    let mut bytes = bytes.clone();
                    bytes[i] ^= change;
                    drop(replay(&name, &bytes));
                }
            }
            seen.push(id);
        }
    }
    assert!(seen.len() > 30, "{seen:?}");
    assert!(DAMAGED.iter().all(|d| seen.iter().any(|s| s == d) || d.starts_with("npz") || d.starts_with("fits")), "{seen:?}");
}
