use super::*;
use crate::ErrorKind;
use crate::data::prepare::Interpolation;
use crate::data::{Missing, npy};
use std::fs;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A file whose pixels are all `value`.
fn image(path: impl AsRef<Path>, shape: &[usize], value: f32) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    npy::write(path, shape, &vec![value; shape.iter().product()]).unwrap();
}

fn pick(index: usize) -> Pick {
    Pick { index, epoch: 0, seed: 0 }
}

fn first_value(files: &Files, index: usize) -> Result<f32> {
    let mut x = vec![0.0; files.inputs()[0].len()];
    files.input(pick(index), 0, &mut x).map(|()| x[0])
}

/// A message without the folder it is about.
fn told<T>(result: Result<T>, folder: &TempDir) -> String {
    let root = format!("{}/", folder.path().display());
    result.map(|_| ()).unwrap_err().to_string().replace(&root, "").replace(root.trim_end_matches('/'), "FOLDER")
}

#[test]
fn folders_are_classes_in_the_order_of_their_names() {
    let dir = folder();
    for (k, class) in ["good", "bad", "medium"].into_iter().enumerate() {
        for i in 0..3 {
            image(dir.path().join(class).join(format!("{i}.npy")), &[4, 5], (10 * k + i) as f32);
        }
    }
    fs::write(dir.path().join("README.md"), "no sample").unwrap();
    fs::write(dir.path().join("good/.hidden.npy"), "no sample").unwrap();
    fs::write(dir.path().join("good/notes.txt"), "no sample").unwrap();
    let files = Files::folders(dir.path()).open().unwrap();
    assert_eq!(
        (files.len(), files.inputs(), files.class_names().concat()),
        (9, &[Extent::image(4, 5, 1)][..], "badgoodmedium".into())
    );
    assert_eq!(files.class_indices(), Some(&[0, 0, 0, 1, 1, 1, 2, 2, 2][..]));
    let values: Vec<f32> = (0..9).map(|i| first_value(&files, i).unwrap()).collect();
    assert_eq!(values, [10., 11., 12., 0., 1., 2., 20., 21., 22.]);
    assert!(files.waits() && !files.varies() && files.path(3).unwrap().ends_with("good/0.npy"));
    let listed = Files::folders(dir.path()).classes(["good", "bad"]).open().unwrap();
    assert_eq!((listed.len(), listed.class_indices().unwrap()[0], first_value(&listed, 0).unwrap()), (6, 0, 0.0));
}

#[test]
fn labels_are_numbers_names_or_values() {
    let dir = folder();
    for i in 0..4 {
        image(dir.path().join(format!("stamps/{i}.npy")), &[2, 2], i as f32);
    }
    let labels = dir.path().join("stamps/labels.txt");
    let open = |text: &str, change: &dyn Fn(FilesBuilder) -> FilesBuilder| {
        fs::write(&labels, text).unwrap();
        change(Files::labels(&labels)).open()
    };
    let plain: &dyn Fn(FilesBuilder) -> FilesBuilder = &|b| b;
    let files = open("filename,label\r\n3.npy,1\r\n\r\n# a comment\r\n 0.npy , 0\r\n", plain).unwrap();
    assert_eq!((files.class_indices(), files.class_names().len(), first_value(&files, 0).unwrap()), (Some(&[1, 0][..]), 2, 3.0));
    let files = open("0.npy,spiral\n1.npy,elliptical\n2.npy,spiral", plain).unwrap();
    assert_eq!((files.class_indices(), files.class_names().join(" ")), (Some(&[1, 0, 1][..]), "elliptical spiral".into()));
    let files = open("0.npy,spiral\n1.npy,elliptical\n2.npy,spiral", &|b| b.classes(["spiral", "elliptical"])).unwrap();
    assert_eq!(files.class_indices(), Some(&[0, 1, 0][..]));
    let files = open("0.npy,1\n1.npy,0", &|b| b.classes(["spiral", "elliptical"])).unwrap();
    assert_eq!((files.class_indices(), files.class_names()[1].as_str()), (Some(&[1, 0][..]), "elliptical"));
    // Names that are numbers are names where they are listed.
    let files = open("0.npy,20\n1.npy,10", &|b| b.classes(["20", "10"])).unwrap();
    assert_eq!(files.class_indices(), Some(&[0, 1][..]));
    let files = open("0.npy,0.5,-1e3\n1.npy,7,8", &|b| b.values()).unwrap();
    let mut t = [0.0; 2];
    files.values(pick(0), 0, &mut t).unwrap();
    assert_eq!((files.targets(), t, files.class_indices()), (&[Target::Values(Extent::flat(2))][..], [0.5, -1e3], None));
    assert!(files.values(pick(2), 0, &mut t).is_err() && files.classes(pick(0), 0, &mut [0]).is_err());
    // Another folder for the names, a list, and files without labels.
    fs::rename(&labels, dir.path().join("list.csv")).unwrap();
    assert!(Files::labels(dir.path().join("list.csv")).folder(dir.path().join("stamps")).values().open().is_ok());
    let path = |i: usize| dir.path().join(format!("stamps/{i}.npy"));
    let listed = Files::list([(path(2), "a"), (path(1), "b")]).open().unwrap();
    assert_eq!((listed.class_indices(), first_value(&listed, 0).unwrap()), (Some(&[0, 1][..]), 2.0));
    let plain = Files::paths([path(3)]).open().unwrap();
    assert_eq!((plain.targets().len(), first_value(&plain, 0).unwrap()), (0, 3.0));
}

#[test]
fn shapes_and_preparation() {
    let dir = folder();
    let path = |name: &str| dir.path().join(name);
    let ramp: Vec<f32> = (0..24).map(|i| i as f32).collect();
    npy::write(path("cube.npy"), &[2, 3, 4], &ramp).unwrap();
    npy::write(path("line.npy"), &[24], &ramp).unwrap();
    npy::write(path("i16.npy"), &[3, 8], &ramp.iter().map(|x| *x as i16).collect::<Vec<_>>()).unwrap();
    let extent = |name: &str, b: &dyn Fn(FilesBuilder) -> FilesBuilder| b(Files::paths([path(name)])).open().unwrap().inputs()[0];
    assert_eq!(extent("cube.npy", &|b| b), Extent::cube(2, 3, 4, 1));
    assert_eq!(extent("cube.npy", &|b| b.bands()), Extent::image(3, 4, 2));
    assert_eq!((extent("line.npy", &|b| b), extent("i16.npy", &|b| b)), (Extent::line(24, 1), Extent::image(3, 8, 1)));
    let bands = Files::paths([path("cube.npy")]).bands().open().unwrap();
    let mut x = [0.0; 24];
    bands.input(pick(0), 0, &mut x).unwrap();
    assert_eq!(x[..6], [0.0, 12.0, 1.0, 13.0, 2.0, 14.0]);
    // Files of any size, brought to one.
    image(path("tall.npy"), &[9, 3], 2.0);
    let fit = Prepare::new().fit(6, Interpolation::Area);
    let files = Files::paths([path("i16.npy"), path("tall.npy")]).prepare(fit.clone()).open().unwrap();
    let mut x = [9.0; 36];
    files.input(pick(1), 0, &mut x).unwrap();
    assert_eq!(
        (files.inputs()[0], &x[..6], files.preparation()),
        (Extent::image(6, 6, 1), &[2.0, 2.0, 0.0, 0.0, 0.0, 0.0][..], &fit)
    );
    // Where the steps keep the size the sample is prepared in its place.
    let files = Files::paths([path("i16.npy")]).prepare(Prepare::new().affine(2.0, 1.0)).open().unwrap();
    let mut x = [0.0; 24];
    files.input(pick(0), 0, &mut x).unwrap();
    assert_eq!(x[..3], [1.0, 3.0, 5.0]);
    assert!(files.input(pick(1), 0, &mut x).is_err() && files.input(pick(0), 0, &mut [0.0; 3]).is_err());
}

/// Every message of this layer: what it is about, what was found, what to do.
#[test]
fn messages() {
    let dir = folder();
    let path = |name: &str| dir.path().join(name);
    for name in ["a/0.npy", "a/1.npy", "b/0.npy"] {
        image(path(name), &[4, 4], 1.0);
    }
    fs::create_dir(path("c")).unwrap();
    fs::create_dir_all(path("empty")).unwrap();
    let open = |b: FilesBuilder| told(b.open(), &dir);
    assert_eq!(
        open(Files::folders(dir.path())),
        "c: a class without members; expected .fits, .fit, .fts (also .gz and .fz) or .npy, got an empty folder; \
         remove the folder, or list the classes with .classes([...])"
    );
    fs::write(path("c/0.jpg"), "").unwrap();
    assert!(open(Files::folders(dir.path())).contains("got 1 other files, such as c/0.jpg"));
    assert_eq!(
        open(Files::folders(path("empty"))),
        "empty: no folder of a class; expected folders of files, one for each class, got an empty folder; Files::labels reads classes from a text file"
    );
    assert!(
        open(Files::folders(path("a")))
            .contains("no folder of a class; expected folders of files, one for each class, got 2 files")
    );
    assert!(open(Files::folders(path("nowhere"))).starts_with("nowhere: No such file or directory"));
    assert!(open(Files::folders(dir.path()).classes(["a", "d"])).starts_with("d: No such file or directory"));
    let labels = |text: &str| {
        fs::write(path("labels.txt"), text).unwrap();
        Files::labels(path("labels.txt"))
    };
    assert!(
        open(labels("a/0.npy,0\na/9.npy,1\n"))
            .starts_with("labels.txt, line 2: a/9.npy: No such file or directory (os error 2); check the name")
    );
    assert_eq!(open(labels("a/0.npy\n")), "labels.txt, line 1: no label; expected filename,label, got \"a/0.npy\"");
    assert_eq!(open(labels("# nothing\n")), "labels.txt: no lines; expected lines filename,label");
    assert_eq!(
        open(labels("a/0.npy,0\n\na/0.npy,1\n")),
        "labels.txt, line 3: a/0.npy comes twice; got labels \"0\" and \"1\"; keep one of them"
    );
    assert_eq!(
        open(labels("a/0.npy,x\na/1.npy,y\n").classes(["x", "z"])),
        "labels.txt, line 2: unknown label \"y\"; expected one of x, z"
    );
    assert_eq!(open(labels("a/0.npy,x\n").classes(["x", "z"])), "files: class z has no members; got 1 files of 1 other classes");
    assert_eq!(open(labels("a/0.npy,0\na/1.npy,2\nb/0.npy,2")), "files: class 1 has no members; got 3 files of 2 other classes");
    assert!(
        open(labels("a/0.npy,0\na/1.npy,4000000000\n"))
            .starts_with("files: label 4000000000 for 2 files; expected classes numbered from 0")
    );
    assert_eq!(
        open(labels("a/0.npy,1\na/1.npy,x\n").values()),
        "labels.txt, line 2: no number; expected finite numbers, got \"x\""
    );
    assert_eq!(
        open(labels("a/0.npy,1\na/1.npy,1,2\n").values()),
        "labels.txt, line 2: another number of values than before; expected 1, got 2"
    );
    assert_eq!(
        open(labels("c/0.jpg,1\n")),
        "labels.txt, line 1: c/0.jpg is of an unknown kind; expected .fits, .fit, .fts (also .gz and .fz) or .npy"
    );
    fs::write(path("labels.txt"), [0xff, b'\n']).unwrap();
    assert_eq!(open(Files::labels(path("labels.txt"))), "labels.txt: not a text in UTF-8; got another byte at 0");
    assert_eq!(open(Files::paths(Vec::<PathBuf>::new())), "files: no files");
    // What is in the files.
    image(path("b/big.npy"), &[4, 6], 1.0);
    image(path("b/nan.npy"), &[4, 4], f32::NAN);
    fs::write(path("b/cut.npy"), &fs::read(path("b/0.npy")).unwrap()[..150]).unwrap();
    let list = |names: &[&str], prepare: Prepare| Files::paths(names.iter().map(|n| path(n))).prepare(prepare);
    let read = |names: &[&str], prepare: Prepare, i: usize| told(first_value(&list(names, prepare).open().unwrap(), i), &dir);
    assert_eq!(
        read(&["a/0.npy", "b/big.npy"], Prepare::new(), 1),
        "b/big.npy: another size than the first file; expected 4x4x1, got 4x6x1; Prepare::resize, fit, crop and pad bring images to one size"
    );
    assert!(
        read(&["a/0.npy", "b/big.npy"], Prepare::new().pad(8, 4, 0.0), 1)
            .starts_with("b/big.npy: prepare, step 1 (pad): smaller than the sample; expected at least 4x6, got 8x4")
    );
    assert!(
        read(&["a/0.npy", "b/cut.npy"], Prepare::new(), 1)
            .starts_with("b/cut.npy: npy: shape [4, 4] of F32 does not fill the file")
    );
    assert_eq!(
        open(list(&["b/nan.npy"], Prepare::new())),
        "b/nan.npy: row 0, column 0, channel 0: NaN; expected finite values, got all 16 missing; \
         begin with Prepare::missing: Zero, Value, Median or Keep"
    );
    assert!(list(&["b/nan.npy"], Prepare::new().missing(Missing::Zero)).open().is_ok());
    assert!(
        open(list(&["b/nan.npy", "b/cut.npy"], Prepare::new()).on_bad(OnBad::Skip))
            .starts_with("files: none of 2 can be read; got ")
    );
    #[cfg(not(feature = "fits"))]
    assert!(open(Files::paths([path("x.fits")])).contains("No such file"));
}

#[test]
fn bad_files_are_left_out_and_told_once() {
    let dir = folder();
    let path = |i: usize| dir.path().join(format!("{i}.npy"));
    (0..4).for_each(|i| image(path(i), &[2, 3], i as f32 + 1.0));
    fs::write(path(0), "damaged").unwrap();
    image(path(2), &[3, 3], 0.0);
    let all = || Files::list((0..5).map(|i| (path(i), i % 2)));
    assert!(matches!(all().open().map_err(|e| e.kind()), Err(ErrorKind::Io)), "file 4 is missing");
    let files = all().on_bad(OnBad::Skip).open().unwrap();
    // The first file and the missing one were found bad while opening.
    assert_eq!((files.inputs()[0], files.skipped().len()), (Extent::image(2, 3, 1), 2));
    let mut x = [7.0; 6];
    for _ in 0..3 {
        for i in 0..5 {
            let bad = [0, 2, 4].contains(&i);
            files.input(pick(i), 0, &mut x).unwrap();
            assert_eq!((x[5], files.is_skipped(pick(i))), (if bad { 0.0 } else { i as f32 + 1.0 }, bad));
        }
    }
    let skipped = files.skipped();
    assert_eq!(skipped.len(), 3);
    assert!(skipped.iter().zip([0, 2, 4]).all(|(s, i)| s.contains(&format!("{i}.npy"))), "{skipped:?}");
    let e = Files::list([(path(1), 0), (path(2), 1)]).open().unwrap().input(pick(1), 0, &mut x).unwrap_err();
    assert!(e.to_string().contains("2.npy: another size"), "{e}");
}

#[cfg(feature = "fits")]
mod fits {
    use super::*;
    use crate::data::fits::{Cards, NewColumn, Writer};
    use crate::data::prepare::{Grid, Positions, Resample};

    /// An HDU of one image.
    fn hdu(first: &str, bitpix: i32, [rows, columns]: [usize; 2], more: &[&str], pixels: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let sizes = [
            format!("BITPIX  = {bitpix:>20}"),
            "NAXIS   =                    2".into(),
            format!("NAXIS1  = {columns:>20}"),
            format!("NAXIS2  = {rows:>20}"),
        ];
        for card in [first].into_iter().chain(sizes.iter().map(String::as_str)).chain(more.iter().copied()).chain(["END"]) {
            out.extend(format!("{card:<80}").bytes());
        }
        out.resize(out.len().next_multiple_of(2880), b' ');
        out.extend_from_slice(pixels);
        out.resize(out.len().next_multiple_of(2880), 0);
        out
    }

    /// A FITS file with an image of i16, scaled and with BLANK, in HDU 0, and one of f32 in HDU 1 named SCI.
    fn write(path: &Path) {
        let integers: Vec<u8> = [0_i16, 2, -4, -32768, 32767, 1].iter().flat_map(|v| v.to_be_bytes()).collect();
        let floats: Vec<u8> = [1.5_f32, f32::NAN, -2.0, 4.0].iter().flat_map(|v| v.to_be_bytes()).collect();
        let scaled = ["BSCALE  =                  0.5", "BZERO   =                 10.0", "BLANK   =               -32768"];
        let mut file = hdu("SIMPLE  =                    T", 16, [2, 3], &scaled, &integers);
        let named = ["PCOUNT  =                    0", "GCOUNT  =                    1", "EXTNAME = 'SCI     '"];
        file.extend(hdu("XTENSION= 'IMAGE   '", -32, [2, 2], &named, &floats));
        fs::write(path, file).unwrap();
    }

    fn read(b: FilesBuilder, index: usize) -> (Vec<f32>, Extent) {
        let files = b.open().unwrap();
        let mut x = vec![0.0; files.inputs()[0].len()];
        files.input(pick(index), 0, &mut x).unwrap();
        (x, files.inputs()[0])
    }

    #[test]
    fn images_by_hdu_scaled_and_prepared() {
        let dir = folder();
        let path = dir.path().join("a.FITS");
        write(&path);
        let open = || Files::paths([&path]);
        let zero = Prepare::new().missing(Missing::Zero);
        let plain = [10.0, 11.0, 8.0, 0.0, 16393.5, 10.5];
        assert_eq!(read(open().prepare(zero.clone()), 0), (plain.to_vec(), Extent::image(2, 3, 1)));
        // Straight to its place and through a buffer: the same numbers.
        let twice = plain.map(|x| 2.0 * x + 1.0);
        assert_eq!(read(open().prepare(zero.clone().affine(2.0, 1.0)), 0).0, twice);
        assert_eq!(read(open().prepare(zero.affine(2.0, 1.0).crop(2, 3)), 0).0, twice);
        let median = Prepare::new().missing(Missing::Median);
        assert_eq!(read(open().hdu("sci").prepare(median), 0), (vec![1.5, 1.5, -2.0, 4.0], Extent::image(2, 2, 1)));
        assert_eq!(
            told(open().hdu(1).open(), &dir),
            "a.FITS: row 0, column 1, channel 0: NaN; expected finite values, got 1 of 4 missing; \
             begin with Prepare::missing: Zero, Value, Median or Keep"
        );
        let told = |b: FilesBuilder| told(b.open(), &dir);
        assert!(
            told(open().hdu("ERR")).starts_with("a.FITS: no HDU named \"ERR\"; the file has HDU 0"),
            "{}",
            told(open().hdu("ERR"))
        );
        assert!(
            told(open().columns(["flux"])).starts_with("a.FITS: no table in this file"),
            "{}",
            told(open().columns(["flux"]))
        );
        fs::write(dir.path().join("b.fits"), "SIMPLE  =").unwrap();
        assert!(told(Files::paths([dir.path().join("b.fits")])).starts_with("b.fits: "));
        let bytes = Writer::to_bytes(|w| w.image(&[2, 2, 2, 2], &[0_i16; 16], &Cards::new())).unwrap();
        fs::write(dir.path().join("c.fits"), bytes).unwrap();
        assert!(
            told(Files::paths([dir.path().join("c.fits")]))
                .contains("c.fits: HDU 0: too many axes; expected at most 3 longer than 1, got [2, 2, 2, 2]")
        );
        assert_eq!(read(Files::paths([dir.path().join("c.fits")]).bands(), 0).1, Extent::cube(2, 2, 2, 2));
    }

    #[test]
    fn cubes_as_channels() {
        let dir = folder();
        let path = dir.path().join("cube.fits");
        let x: Vec<f32> = (0..24).map(|i| i as f32).collect();
        fs::write(&path, Writer::to_bytes(|w| w.image(&[2, 3, 4], &x, &Cards::new())).unwrap()).unwrap();
        assert_eq!(read(Files::paths([&path]), 0), (x, Extent::cube(2, 3, 4, 1)));
        let (bands, extent) = read(Files::paths([&path]).bands(), 0);
        assert_eq!((&bands[..4], extent), (&[0.0, 12.0, 1.0, 13.0][..], Extent::image(3, 4, 2)));
    }

    /// Spectra of different lengths on one grid.
    #[test]
    fn spectra_out_of_tables() {
        let dir = folder();
        let path = |i: usize| dir.path().join(format!("{i}.fits"));
        for (i, n) in [40, 55].into_iter().enumerate() {
            let loglam: Vec<f64> = (0..n).map(|k| 3.6 + 0.001 * k as f64).collect();
            let flux: Vec<f32> = loglam.iter().map(|l| (10.0_f64.powf(*l) / 1000.0) as f32).collect();
            let columns = [NewColumn::new("loglam", &loglam), NewColumn::new("flux", &flux)];
            let mut file = Writer::create(path(i)).unwrap();
            file.table(&columns, &Cards::new()).unwrap();
            file.finish().unwrap();
        }
        let files = || Files::paths((0..2).map(path)).columns(["flux", "loglam"]);
        let grid = Grid::linear(4000.0, 4300.0, 31).unwrap();
        let prepare = Prepare::new().resample(Resample::new(grid).log10());
        for index in 0..2 {
            let (x, extent) = read(files().prepare(prepare.clone()), index);
            assert_eq!(extent, Extent::line(31, 1));
            assert!(x.iter().enumerate().all(|(k, x)| (x - (4.0 + 0.01 * k as f32)).abs() < 1e-5), "{x:?}");
        }
        let window = Prepare::new().window(Positions::Log10, 10.0_f64.powf(3.6095), 10.0_f64.powf(3.6195), 10);
        let (a, b) = (read(files().prepare(window.clone()), 0), read(files().prepare(window), 1));
        assert!(a == b && a.1 == Extent::line(10, 1) && (a.0[0] - 10.0_f32.powf(3.61) / 1000.0).abs() < 1e-5);
        let e = told(files().open().unwrap().input(pick(1), 0, &mut [0.0; 80]), &dir);
        assert!(e.starts_with("1.fits: another size than the first file; expected 40x2, got 55x2"), "{e}");
        let e = told(Files::paths([path(0)]).columns(["flux", "ivar"]).open(), &dir);
        assert!(e.contains("ivar") && e.contains("loglam"), "{e}");
    }
}
