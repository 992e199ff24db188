use super::*;
use crate::data::{Files, Samples, npy, split};
use std::fs;

fn pick(index: usize) -> Pick {
    Pick { index, epoch: 0, seed: 0 }
}

/// Two inputs, two targets, weights, names.
fn samples(n: usize) -> Samples {
    let x = |len: usize, k: f32| (0..n * len).map(|i| (i as f32 * k).sin() * 3.0 - 1.0).collect::<Vec<f32>>();
    let samples = Samples::new(Extent::image(3, 5, 2), x(30, 0.7)).unwrap().with_input(Extent::flat(4), x(4, 1.3)).unwrap();
    let samples = samples.with_classes((0..n).map(|i| (i % 3) as u32).collect(), 3).unwrap();
    let samples = samples.with_values(Extent::line(2, 2), x(4, 0.9)).unwrap().with_class_names(["a", "b", "c"]);
    samples.with_weights((0..n).map(|i| 1.0 + i as f32).collect()).unwrap()
}

fn row(data: &dyn Dataset, index: usize) -> (Vec<f32>, Vec<f32>, u32, Vec<f32>, f32) {
    let (mut x, mut y, mut c, mut t) = (vec![0.0; 30], vec![0.0; 4], [0], vec![0.0; 4]);
    data.input(pick(index), 0, &mut x).unwrap();
    data.input(pick(index), 1, &mut y).unwrap();
    data.classes(pick(index), 0, &mut c).unwrap();
    data.values(pick(index), 1, &mut t).unwrap();
    (x, y, c[0], t, data.weight(index))
}

#[test]
fn what_is_packed_comes_back_in_the_order_of_the_seed() {
    let dir = tempfile::tempdir().unwrap();
    let data = samples(23);
    for (k, bytes) in [usize::MAX, 500, 1].into_iter().enumerate() {
        let folder = dir.path().join(k.to_string());
        let packed = pack(&data, &folder, &Packing::new(8).shard_bytes(bytes)).unwrap();
        assert_eq!((packed.samples, packed.shards, packed.skipped.len()), (23, [1, 8, 23][k], 0));
        let on_disk: u64 = fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap())
            .filter(|e| e.path().extension().unwrap() == "bin")
            .map(|e| e.metadata().unwrap().len())
            .sum();
        assert_eq!(packed.bytes, on_disk);
        let shards = Shards::open(&folder).unwrap();
        assert_eq!(
            (shards.len(), shards.inputs(), shards.targets(), shards.class_names()),
            (23, data.inputs(), data.targets(), data.class_names())
        );
        let order = split::shuffled(23, 8);
        assert!(!order.is_sorted());
        for (i, &from) in order.iter().enumerate() {
            assert_eq!(row(&shards, i), row(&data, from));
        }
        assert!(shards.waits() && shards.input(pick(23), 0, &mut [0.0; 30]).is_err());
        assert!(shards.input(pick(0), 2, &mut [0.0; 30]).is_err() && shards.input(pick(0), 0, &mut [0.0; 29]).is_err());
        assert!(shards.values(pick(0), 0, &mut [0.0]).is_err() && shards.classes(pick(0), 1, &mut [0]).is_err());
        assert!(pack(&data, &folder, &Packing::new(8)).unwrap_err().to_string().contains("holds a packed set already"));
    }
}

#[test]
fn smaller_storage_keeps_its_promise() {
    let x = vec![0.0, 1.0, -2.0, 1000.5, 3.25, 999.0, -1e-3, 77.7];
    for (storage, most) in
        [(Storage::F32, 0.0), (Storage::F16, 0.25), (Storage::I16, 1002.5 / 131_068.0), (Storage::U8, 1002.5 / 510.0)]
    {
        let mut bytes = vec![];
        storage.encode(&x, &mut bytes).unwrap();
        assert_eq!(Some(bytes.len()), storage.bytes(8));
        let mut y = vec![0.0; 8];
        storage.decode(&bytes, &mut y);
        let worst = x.iter().zip(&y).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        // The steps themselves are rounded to single precision.
        assert!(worst <= most * 1.001 + 1e-4 * f32::from(u8::from(most > 0.0)), "{storage:?}: {worst}");
        let mut constant = vec![];
        storage.encode(&[4.5; 3], &mut constant).unwrap();
        let mut y = [0.0; 3];
        storage.decode(&constant, &mut y);
        assert_eq!(y, [4.5; 3]);
    }
    assert!(Storage::U8.encode(&[f32::NAN], &mut vec![]).is_err() && Storage::F16.encode(&[1e6], &mut vec![]).is_err());
    let refused = pack(
        &Samples::new(Extent::flat(1), vec![1.0, 7e4]).unwrap(),
        tempfile::tempdir().unwrap().path(),
        &Packing::new(0).storage(Storage::F16),
    );
    let e = refused.unwrap_err().to_string();
    assert!(e.starts_with("packing sample 1: packing: values that F16 cannot hold; expected finite values up to 65504"), "{e}");
}

/// Files that are missing, cut, lengthened, exchanged, and every byte changed: refused when opened or when read, by name.
#[test]
fn damage_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("set");
    pack(&samples(6), &folder, &Packing::new(1).shard_bytes(400)).unwrap();
    let (first, index) = (folder.join("shard-00000.bin"), folder.join(INDEX));
    let (good, text) = (fs::read(&first).unwrap(), fs::read_to_string(&index).unwrap());
    let told = || Shards::open(&folder).unwrap_err().to_string().replace(&format!("{}/", folder.display()), "");
    fs::remove_file(&first).unwrap();
    assert!(told().starts_with("shard-00000.bin: No such file or directory (os error 2); a shard of the index is missing"));
    fs::write(&first, &good[..good.len() - 1]).unwrap();
    assert_eq!(
        told(),
        format!(
            "shard-00000.bin: cut short; expected {} bytes, got {}; copy the file again, or pack anew",
            good.len(),
            good.len() - 1
        )
    );
    fs::write(&first, [&good[..], &[0]].concat()).unwrap();
    assert!(told().starts_with("shard-00000.bin: longer than the index says"));
    fs::write(&first, &good).unwrap();
    for bad in [
        "",
        "{}",
        &text.replace("\"samples\": 2", "\"samples\": 3"),
        &text.replace(KIND, "other"),
        &text.replace("shard-00000.bin", "../shard-00000.bin"),
    ] {
        fs::write(&index, bad).unwrap();
        assert!(Shards::open(&folder).is_err(), "{bad}");
    }
    assert!(text.contains("\"samples\": 2"));
    fs::remove_file(&index).unwrap();
    assert!(told().contains("is this the folder that pack has written, and was it written to its end?"));
    fs::write(&index, &text).unwrap();
    let record = Shards::open(&folder).unwrap().record.len();
    for i in 0..good.len() {
        let mut bad = good.clone();
        bad[i] ^= 0x10;
        fs::write(&first, &bad).unwrap();
        let Ok(shards) = Shards::open(&folder) else {
            assert!(i < HEADER);
            continue;
        };
        let row = (i - HEADER) / record;
        let (mut x, mut c) = ([0.0; 30], [0]);
        let (input, class) = (shards.input(pick(row), 0, &mut x), shards.classes(pick(row), 0, &mut c));
        let e = input.and(class).unwrap_err().to_string();
        assert!(e.contains(&format!("shard-00000.bin, sample {row}: damaged: the checksum differs")), "byte {i}: {e}");
        assert!(shards.input(pick(1 - row), 0, &mut x).is_ok(), "the other sample is whole");
    }
    let shards = Shards::open(&folder).unwrap().on_bad(OnBad::Skip);
    let (mut x, mut c) = ([1.0; 30], [1]);
    shards.input(pick(1), 0, &mut x).unwrap();
    shards.classes(pick(1), 0, &mut c).unwrap();
    assert_eq!((x, shards.is_skipped(pick(1)), shards.is_skipped(pick(0)), shards.skipped().len()), ([0.0; 30], true, false, 1));
}

/// A sample that cannot be stored when files are written already, a panic of the data set, a name that is taken: what was there stays, and
/// nothing else.
#[test]
fn what_fails_leaves_the_folder_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("shard-00002.bin");
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let there = || {
        let mut all: Vec<(String, Vec<u8>)> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap())
            .map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()))
            .collect();
        all.sort();
        all
    };
    let before = there();
    let mut x = vec![1.0; 20];
    x[split::shuffled(20, 3)[11]] = 7e4;
    let bad = Samples::new(Extent::flat(1), x).unwrap();
    let packing = Packing::new(3).storage(Storage::F16).shard_bytes(50);
    let e = pack(&bad, dir.path(), &packing).unwrap_err().to_string();
    assert!(e.contains("values that F16 cannot hold"), "{e}");
    assert_eq!(there(), before);
    struct Panics(Samples);
    impl Dataset for Panics {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn inputs(&self) -> &[Extent] {
            self.0.inputs()
        }
        fn targets(&self) -> &[Target] {
            self.0.targets()
        }
        fn input(&self, pick: Pick, k: usize, x: &mut [f32]) -> Result<()> {
            self.0.input(pick, k, x)
        }
        fn values(&self, pick: Pick, k: usize, t: &mut [f32]) -> Result<()> {
            self.0.values(pick, k, t)
        }
        fn classes(&self, pick: Pick, k: usize, t: &mut [u32]) -> Result<()> {
            self.0.classes(pick, k, t)
        }
        fn weight(&self, index: usize) -> f32 {
            assert_ne!(index, split::shuffled(20, 3)[13], "a bug of the data set");
            1.0
        }
    }
    let panics = Panics(Samples::new(Extent::flat(1), vec![1.0; 20]).unwrap());
    let packed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pack(&panics, dir.path(), &packing)));
    assert!(packed.is_err() && there() == before);
    let good = panics.0;
    fs::write(&taken, "mine too").unwrap();
    let before = there();
    let e = pack(&good, dir.path(), &packing).unwrap_err().to_string();
    assert!(e.contains("shard-00002.bin: a file of this name is there already"), "{e}");
    assert_eq!(there(), before);
    fs::remove_file(taken).unwrap();
    assert!(pack(&good, dir.path(), &packing).unwrap().shards == 4);
    assert!(there().iter().all(|(name, _)| !name.ends_with(".part")) && Shards::open(dir.path()).unwrap().len() == 20);
}

#[test]
fn bad_files_are_not_packed() {
    let dir = tempfile::tempdir().unwrap();
    let path = |i: usize| dir.path().join(format!("{i}.npy"));
    (0..5).for_each(|i| npy::write(path(i), &[4], &[i as f32; 4]).unwrap());
    fs::write(path(3), "damaged").unwrap();
    let files = || Files::list((0..5).map(|i| (path(i), i % 2)));
    let refused = pack(&files().open().unwrap(), dir.path().join("a"), &Packing::new(3)).unwrap_err().to_string();
    assert!(refused.contains("3.npy: npy, byte 0: not an NPY file"), "{refused}");
    assert!(Shards::open(dir.path().join("a")).is_err(), "no index was written");
    let packed = pack(&files().on_bad(OnBad::Skip).open().unwrap(), dir.path().join("b"), &Packing::new(3)).unwrap();
    assert_eq!((packed.samples, packed.skipped.len()), (4, 1));
    assert_eq!(Shards::open(dir.path().join("b")).unwrap().len(), 4);
}
