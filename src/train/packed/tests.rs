use super::super::ahead::{After, Load};
use super::super::feed::Feed;
use super::super::plan_of;
use super::super::resident::tests::{numbers, staged};
use crate::data::shards::{Packing, Storage, pack};
use crate::data::{Augment, Augmented, Dataset, Files, Kind, Missing, Normalized, Normalizer, OnBad, Prepare};
use crate::data::{Rule, Samples, Scope, Shards, Subset, npy, raw};
use crate::device::testing::gpu;
use crate::{Dense, Device, Extent, Mode, Model, Mse, Network, Precision, Result};
use half::f16;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const X: Extent = Extent::image(5, 3, 1);
const SAMPLES: usize = 11;

/// Batches that go to the GPU as they are stored have the bits of those that go as numbers, read ahead or not. Of how many inputs they were.
fn same(gpu: &Device, data: &Arc<dyn Dataset>, precision: Precision) -> Result<usize> {
    let mut net = Network::new(data.inputs()[0]);
    let mut ends = vec![net.push(Dense::new(2))];
    for (k, x) in data.inputs().iter().enumerate().skip(1) {
        let input = net.input(&format!("input{k}"), *x);
        ends.push(net.add(Dense::new(2), &[input]));
    }
    if ends.len() > 1 {
        let sum = net.add(crate::Merge::add(), &ends);
        net.output("output", sum);
    }
    let mut model = Model::builder(net.clone()).device(gpu.clone()).precision(precision).loss("output", Mse, 1.0).build()?;
    let feed = |depth: usize, packed: bool| -> Result<Feed> {
        let mut feed = Feed::new(Arc::clone(data), &net, 1, true, "data")?;
        feed.ready(gpu, 4, Load { threads: 2, depth }, After::Next)?;
        feed.packed = feed.packed.filter(|_| packed);
        feed.arrange(1, 7)?;
        Ok(feed)
    };
    let (mut plain, mut at_once, mut ahead) = (feed(0, false)?, feed(0, true)?, feed(2, true)?);
    let plan = plan_of(&mut model, &plain, Mode::Train, 4)?;
    let mut stored = 0;
    for range in [0..4, 4..8, 8..SAMPLES] {
        model.begin(plan, range.len())?;
        let stage = |feed: &mut Feed| {
            let (planned, s) = model.staging()?;
            let used = feed.stage(planned, &s, range.clone(), (1, 7))?;
            staged(&model).map(|bits| (used, bits))
        };
        let expected = stage(&mut plain)?;
        for feed in [&mut at_once, &mut ahead] {
            // Other bits in between, so that what is not written shows.
            let (planned, s) = model.staging()?;
            for port in &planned.inputs {
                s.host_write::<f32>(port.y, |x| {
                    x.fill(-77.0);
                    Ok(())
                })?;
            }
            assert_eq!(stage(feed)?, expected, "{precision:?} {range:?}");
        }
        let count = |feed: &Feed| feed.packed.iter().flat_map(|p| p.raws()).flatten().count();
        assert!(count(&at_once) <= count(&ahead));
        stored = count(&at_once);
    }
    Ok(stored)
}

fn all(gpu: &Device, what: &str, data: impl Into<Arc<dyn Dataset>>, expected: usize) -> Result<()> {
    let data = data.into();
    for precision in [Precision::FP32, Precision::BF16, Precision::FP16] {
        assert_eq!(same(gpu, &data, precision)?, expected, "{what} {precision:?}");
    }
    Ok(())
}

fn targets() -> Vec<f32> {
    numbers(SAMPLES * 2, 5)
}

fn labels(folder: &Path, name: impl Fn(usize) -> String) -> PathBuf {
    let t = targets();
    let lines: Vec<String> = (0..SAMPLES).map(|i| format!("{},{},{}", name(i), t[2 * i], t[2 * i + 1])).collect();
    let path = folder.join("labels.txt");
    std::fs::write(&path, lines.join("\n")).expect("a file");
    path
}

/// Elements of a kind in both orders of bytes, values spread over its range.
fn elements(kind: Kind, big_endian: bool) -> Vec<u8> {
    let n = SAMPLES * X.len();
    numbers(n, 3)
        .iter()
        .flat_map(|x| {
            let mut bytes = match kind {
                Kind::U8 => vec![((x + 1.0) * 127.0) as u8],
                Kind::I8 => vec![(x * 127.0) as i8 as u8],
                Kind::U16 => (((x + 1.0) * 32767.0) as u16).to_le_bytes().to_vec(),
                Kind::I16 => ((x * 32767.0) as i16).to_le_bytes().to_vec(),
                Kind::I32 => ((f64::from(*x) * 2e9) as i32).to_le_bytes().to_vec(),
                Kind::F16 => f16::from_f32(x * 100.0).to_le_bytes().to_vec(),
                _ => (x * 1e3).to_le_bytes().to_vec(),
            };
            if big_endian {
                bytes.reverse();
            }
            bytes
        })
        .collect()
}

const KINDS: [(Kind, &str); 7] = [
    (Kind::U8, "u1"),
    (Kind::I8, "i1"),
    (Kind::U16, "u2"),
    (Kind::I16, "i2"),
    (Kind::I32, "i4"),
    (Kind::F16, "f2"),
    (Kind::F32, "f4"),
];

/// An array of these bytes in the file format of NumPy.
fn npy_file(code: &str, big_endian: bool, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let order = if big_endian { '>' } else { '<' };
    let header = format!("{{'descr': '{order}{code}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), bytes].concat()
}

#[test]
fn arrays_of_every_type_and_order_in_memory() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    for (kind, code) in KINDS {
        // What takes as much memory as numbers is held as such.
        let expected = usize::from(kind.bytes() <= 2);
        for big_endian in [false, true] {
            let file = npy_file(code, big_endian, &format!("{SAMPLES}, 5, 3"), &elements(kind, big_endian));
            let set = || npy::from_bytes(&file)?.samples()?.with_values(Extent::flat(2), targets());
            all(&gpu, code, set()?, expected)?;
            let norm = Normalizer::fit(X, set()?.x(0), &[Rule::Standard(Scope::Feature)])?;
            all(&gpu, code, Normalized::new(set()?.scaled(0.37), 0, norm)?, expected)?;
        }
    }
    Ok(())
}

#[test]
fn views_pass_rows_on_unless_they_change_them() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let bytes = elements(Kind::U8, false);
    let set = || raw::from_bytes(&bytes, Kind::U8, &[SAMPLES, 5, 3])?.samples()?.with_values(Extent::flat(2), targets());
    all(&gpu, "subset", Subset::new(set()?, (0..SAMPLES).map(|i| i * 7 % SAMPLES).collect())?, 1)?;
    all(&gpu, "augmented", Augmented::new(set()?, Augment::new().noise(0.1))?, 0)?;
    let norm = Normalizer::fit(X, set()?.x(0), &[Rule::Log(Scope::Global)])?;
    all(&gpu, "logarithm", Normalized::new(set()?, 0, norm)?, 0)?;
    // One input of two; the other one is numbers.
    let two = set()?.with_input(Extent::flat(4), numbers(SAMPLES * 4, 8))?;
    all(&gpu, "two inputs", Augmented::new(two.clone(), Augment::new().noise(0.1))?, 0)?;
    all(&gpu, "two inputs", two, 1)
}

#[test]
fn shards_of_every_storage() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let dir = tempfile::tempdir().expect("a folder");
    let x: Vec<f32> = numbers(SAMPLES * X.len(), 3).iter().map(|x| 1e3 * x + 17.0).collect();
    let set = Samples::new(X, x)?.with_values(Extent::flat(2), targets())?;
    for storage in [Storage::F32, Storage::F16, Storage::I16, Storage::U8] {
        let folder = dir.path().join(format!("{storage:?}"));
        pack(&set, &folder, &Packing::new(1).storage(storage))?;
        all(&gpu, &format!("{storage:?}"), Shards::open(&folder)?, 1)?;
        let norm = Normalizer::fit(X, set.x(0), &[Rule::MinMax(Scope::Channel)])?;
        all(&gpu, &format!("{storage:?}"), Normalized::new(Shards::open(&folder)?, 0, norm)?, 1)?;
    }
    Ok(())
}

#[test]
fn files_of_arrays() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let dir = tempfile::tempdir().expect("a folder");
    for (kind, code) in KINDS {
        for big_endian in [false, true] {
            let bytes = elements(kind, big_endian);
            for (i, bytes) in bytes.chunks(X.len() * kind.bytes()).enumerate() {
                std::fs::write(dir.path().join(format!("{i}.npy")), npy_file(code, big_endian, "5, 3", bytes)).expect("a file");
            }
            let files = || Files::labels(labels(dir.path(), |i| format!("{i}.npy"))).values();
            all(&gpu, code, files().open()?, 1)?;
            let prepare = Prepare::new().missing(Missing::Zero).affine(0.3, -2.0);
            all(&gpu, code, files().prepare(prepare).open()?, 1)?;
            all(&gpu, code, files().prepare(Prepare::astronomy()).open()?, 0)?;
        }
    }
    Ok(())
}

/// Stamps of every BITPIX with scales and blanks of their own, and what a run does with those that have none, or something else.
#[cfg(feature = "fits")]
#[test]
fn files_of_images() -> Result<()> {
    use crate::data::fits::{Cards, Writer};
    let Some(gpu) = gpu() else { return Ok(()) };
    let dir = tempfile::tempdir().expect("a folder");
    let write = |kind: Kind, i: usize, blank: Option<i64>| -> Result<()> {
        let bytes = elements(kind, false);
        let bytes = &bytes[i * X.len() * kind.bytes()..][..X.len() * kind.bytes()];
        let mut cards = Cards::new();
        if !i.is_multiple_of(3) {
            cards = cards.with("XSCALE", 0.01 + i as f64 / 3.0)?.with("XZERO", 32768.0 / (i as f64))?;
        }
        if let Some(blank) = blank {
            cards = cards.with("XLANK", blank)?;
        }
        let le = |b: &[u8]| -> [u8; 4] { b.try_into().expect("four bytes") };
        let file = Writer::to_bytes(|w| match kind {
            Kind::U8 => w.image(&[5, 3], bytes, &cards),
            Kind::I16 => {
                let x: Vec<i16> = bytes.chunks(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
                w.image(&[5, 3], &x, &cards)
            }
            Kind::I32 => w.image(&[5, 3], &bytes.chunks(4).map(|b| i32::from_le_bytes(le(b))).collect::<Vec<_>>(), &cards),
            _ => w.image(&[5, 3], &bytes.chunks(4).map(|b| f32::from_le_bytes(le(b))).collect::<Vec<_>>(), &cards),
        })?;
        // The writer itself scales nothing.
        let named = |at: &[u8]| [b"XSCALE  ", b"XZERO   ", b"XLANK   "].iter().any(|name| at.starts_with(&name[..]));
        let file: Vec<u8> = (0..file.len()).map(|i| if i % 80 == 0 && named(&file[i..]) { b'B' } else { file[i] }).collect();
        std::fs::write(dir.path().join(format!("{i}.fits")), file).expect("a file");
        Ok(())
    };
    let files = || Files::labels(labels(dir.path(), |i| format!("{i}.fits"))).values();
    let norm = || Normalizer::fit(X, &numbers(SAMPLES * X.len(), 4), &[Rule::Standard(Scope::Channel)]);
    for kind in [Kind::U8, Kind::I16, Kind::I32, Kind::F32] {
        let first = elements(kind, false);
        let blank = match kind {
            Kind::U8 => Some(i64::from(first[X.len() * 4 + 2])),
            Kind::I16 => Some(i64::from(i16::from_le_bytes([first[X.len() * 8 + 2], first[X.len() * 8 + 3]]))),
            _ => None,
        };
        (0..SAMPLES).try_for_each(|i| write(kind, i, None))?;
        all(&gpu, &format!("{kind:?}"), files().open()?, 1)?;
        all(&gpu, &format!("{kind:?}"), files().prepare(Prepare::new().affine(0.1, 3.0).normalize(norm()?)).open()?, 1)?;
        // A blank in the fifth.
        write(kind, 4, blank)?;
        for (policy, expected) in
            [(Missing::Zero, 1), (Missing::Value(3.5), 1), (Missing::Keep, 1), (Missing::Median, usize::from(blank.is_none()))]
        {
            all(&gpu, &format!("{kind:?} {policy:?}"), files().prepare(Prepare::new().missing(policy)).open()?, expected)?;
        }
        // Left out, and counted as such.
        all(&gpu, &format!("{kind:?}, skipped"), files().on_bad(OnBad::Skip).open()?, usize::from(blank.is_none()))?;
    }
    // One file of another type.
    write(Kind::U8, 6, None)?;
    all(&gpu, "mixed", files().open()?, 0)?;
    std::fs::write(dir.path().join("6.fits"), b"SIMPLE  = not a file").expect("a file");
    all(&gpu, "damaged", files().on_bad(OnBad::Skip).open()?, 0)
}
