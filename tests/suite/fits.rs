//! FITS files that astropy wrote (`tests/golden/fits`), the course's spectrum, and our own files read by ourselves and by astropy.

use crate::data::course;
use flate2::{Crc, read::GzDecoder};
use kamacite::data::fits::{Cards, Fits, HduKind, NewColumn, Value, Writer};
use kamacite::data::{Kind, Missing};
use kamacite::{ErrorKind, Extent, Result};
use serde_json::Value as Json;
use std::io::Read;
use std::path::{Path, PathBuf};

#[path = "../fuzz/fits_input.rs"]
pub mod fits_input;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fits").join(name)
}

fn unpacked(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(std::fs::File::open(golden(name)).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

fn expected(name: &str) -> Json {
    serde_json::from_str(&std::fs::read_to_string(golden(name)).unwrap()).unwrap()
}

fn crc(x: impl IntoIterator<Item = u8>) -> u64 {
    let mut crc = Crc::new();
    crc.update(&x.into_iter().collect::<Vec<u8>>());
    crc.sum().into()
}

/// With one NaN for everything that is missing.
fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if x.is_finite() { x.to_bits() } else { f32::NAN.to_bits() }).collect()
}

fn numbers(json: &Json) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|x| x.as_f64().unwrap_or(f64::NAN)).collect()
}

/// Every pixel of every image, read whole, by rows and in a box, from a file and from memory.
fn check_images(name: &str, least: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.fits");
    std::fs::write(&path, unpacked(name)).unwrap();
    let expected = expected("expected.json");
    let files = [Fits::open(golden(name)).unwrap(), Fits::open(&path).unwrap(), Fits::from_bytes("x", unpacked(name)).unwrap()];
    let mut seen = 0;
    for hdu in files[0].hdus().iter().filter(|h| h.version() == 1) {
        let Some(golden) = expected.get(hdu.name()) else { continue };
        if ["HCOMPRESS", "PLIO"].contains(&hdu.name()) {
            assert_eq!(files[0].image(hdu.index()).unwrap_err().kind(), ErrorKind::Unsupported);
            continue;
        }
        seen += 1;
        for fits in &files {
            let image = fits.image(hdu.name()).unwrap();
            let shape: Vec<usize> = numbers(&golden["shape"]).iter().map(|&n| n as usize).collect();
            assert_eq!((image.shape(), f64::from(image.bitpix())), (&shape[..], golden["bitpix"].as_f64().unwrap()), "{hdu}");
            let x = image.read(Missing::Keep).unwrap();
            let place = x.iter().map(|x| if x.is_finite() { *x } else { f32::NAN });
            assert_eq!(crc(place.flat_map(f32::to_be_bytes)), golden["crc"].as_u64().unwrap(), "{hdu}: {x:?}");
            if let Some(values) = golden.get("values") {
                let wide = image.read_f64(Missing::Keep).unwrap();
                let same = |(x, y): (&f64, f64)| x.to_bits() == y.to_bits() || !x.is_finite() && !y.is_finite();
                let values = numbers(values);
                assert!(wide.len() == values.len() && wide.iter().zip(values).all(same), "{hdu}: {wide:?}");
            }
            check_sections(&image, &x);
        }
    }
    assert!(seen >= least, "{seen} images of {name}");
}

/// Boxes against the whole image: single rows, single columns, the middle, nothing.
fn check_sections(image: &kamacite::data::fits::Image, whole: &[f32]) {
    let shape = image.shape();
    let all: Vec<_> = shape.iter().map(|&n| 0..n).collect();
    let mut boxes = vec![all.clone()];
    for axis in 0..shape.len() {
        for range in [0..1, shape[axis] - 1..shape[axis], shape[axis] / 3..(shape[axis] / 2).max(shape[axis] / 3), 0..0] {
            let mut one = all.clone();
            one[axis] = range;
            boxes.push(one);
        }
    }
    boxes.push(shape.iter().map(|&n| n / 4..n - n / 4).collect());
    for ranges in boxes {
        let mut expected = Vec::new();
        for (i, x) in whole.iter().enumerate() {
            let mut rest = i;
            if (0..shape.len()).rev().all(|k| (ranges[k].contains(&(rest % shape[k])), rest /= shape[k]).0) {
                expected.push(*x);
            }
        }
        let mut got = vec![7.0; expected.len()];
        image.section(&ranges, &mut got, Missing::Keep).unwrap();
        assert_eq!(bits(&got), bits(&expected), "{} {ranges:?}", image.place());
    }
}

#[test]
fn fits_images_of_astropy() {
    check_images("images.fits.gz", 16);
}

#[test]
fn fits_tiles_of_astropy() {
    check_images("tiles.fits.gz", 23);
}

#[test]
fn fits_headers_of_astropy() {
    let fits = Fits::open(golden("images.fits.gz")).unwrap();
    let hdu = fits.hdu(("u8", 1)).unwrap();
    assert_eq!((hdu.index(), hdu.kind(), fits.hdu(("U8", 2)).unwrap().shape()), (1, HduKind::Image, &[2, 3][..]));
    let head = hdu.header();
    assert_eq!(head.get::<String>("object").as_deref(), Some("NGC 'x' 1365 / a"));
    assert_eq!(head.get::<String>("LONGSTR"), Some("a long string ".repeat(12).trim_end().to_string()));
    assert_eq!(head.get::<String>("HIERARCH ESO DET ID").as_deref(), Some("CCD-44"));
    assert_eq!(head.get::<String>("eso.det.id").as_deref(), Some("CCD-44"));
    assert_eq!(
        (head.get::<f64>("EXPTIME"), head.get::<bool>("FLAG"), head.get::<i64>("CRVAL2")),
        (Some(1.5e-3), Some(true), None)
    );
    assert_eq!((head.get::<f64>("NAXIS1"), head.get::<bool>("EXPTIME"), head.get::<Value>("ABSENT")), (Some(7.0), None, None));
    let cards: Vec<_> = head.cards().collect();
    let named = |key: &str| cards.iter().filter(|c| c.keyword == key).collect::<Vec<_>>();
    assert_eq!(
        (named("OBJECT")[0].comment.as_str(), named("HISTORY")[0].comment.as_str()),
        ("quotes and a slash", "made for tests")
    );
    assert_eq!((cards[0].keyword.as_str(), named("CONTINUE").len(), named("LONGSTR").len()), ("XTENSION", 0, 1));
    assert_eq!(head.wcs_cards().count(), 14);
}

#[test]
fn fits_table_of_astropy() {
    let expected = expected("expected.json");
    let fits = Fits::open(golden("table.fits.gz")).unwrap();
    let (mixed, scaled) = (fits.table("MIXED").unwrap(), fits.table(2).unwrap());
    let kinds = [
        ("logical", Kind::Bool),
        ("bits", Kind::U8),
        ("byte", Kind::U8),
        ("short", Kind::I16),
        ("int", Kind::I32),
        ("long", Kind::I64),
        ("float", Kind::F32),
        ("double", Kind::F64),
        ("complex", Kind::F32),
        ("vector", Kind::F32),
        ("matrix", Kind::I32),
        ("unsigned", Kind::U16),
        ("scaled", Kind::F64),
        ("nulls", Kind::F64),
    ];
    for (name, kind) in kinds {
        let table = if matches!(name, "scaled" | "nulls") { &scaled } else { &mixed };
        let (array, golden) = (table.column(name).unwrap(), &expected[format!("table.{name}")]);
        let shape: Vec<usize> = numbers(&golden["shape"]).iter().map(|&n| n as usize).collect();
        assert_eq!((array.shape(), array.kind()), (&shape[..], kind), "{name}");
        let (x, y) = (array.to_f64().unwrap(), numbers(&golden["values"]));
        assert!(x.iter().zip(&y).all(|(x, y)| x == y || x.is_nan() && y.is_nan()), "{name}: {x:?}");
        let single = table.column_f32(name, Missing::Keep).unwrap();
        assert_eq!(bits(&single), bits(&y.iter().map(|&y| y as f32).collect::<Vec<_>>()), "{name}");
    }
    assert_eq!(mixed.text("text").unwrap(), ["Vega", "Deneb", "", "Altair 7", " x"]);
    let rows = mixed.variable("variable").unwrap();
    assert_eq!(rows.iter().map(kamacite::data::Array::len).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(rows[4].to_f32().unwrap(), [0.0, 0.5, 1.0, 1.5]);
    assert_eq!(scaled.column_f32("nulls", Missing::Zero).unwrap(), [7.0, 0.0, 9.0, 3.0, 0.0]);
    let field = mixed.field("FLOAT").unwrap();
    assert_eq!((field.name(), field.format(), field.unit(), mixed.rows(), mixed.columns().len()), ("float", "E", "mJy", 5, 14));
}

/// The spectrum of the course, against checksums that `make_fits.py` took of it.
#[test]
fn fits_spectrum_of_the_course() {
    let Some(path) = course("spec-1198-52669-0063.fits") else { return };
    let (table, expected) = (Fits::open(path).unwrap().table("COADD").unwrap(), expected("spectrum.json"));
    assert_eq!(table.rows() as u64, expected["rows"].as_u64().unwrap());
    assert_eq!(table.columns().len(), expected["crc"].as_object().unwrap().len());
    for field in table.columns() {
        let array = table.column(field.name()).unwrap();
        let x = array.to_f64().unwrap();
        let sum = match array.kind() {
            Kind::F32 => crc(x.iter().flat_map(|&x| (x as f32).to_be_bytes())),
            Kind::I32 => crc(x.iter().flat_map(|&x| (x as i32).to_be_bytes())),
            kind => panic!("{kind:?}"),
        };
        assert_eq!(sum, expected["crc"][field.name()].as_u64().unwrap(), "{}", field.name());
        if array.kind() == Kind::F32 {
            assert_eq!(array.to_f32().unwrap(), table.column_f32(field.name(), Missing::Error).unwrap());
        }
    }
}

/// A file of ours with every type, and what is in it for `verify.py`.
fn written(path: &Path) -> Result<Json> {
    let source = Fits::open(golden("images.fits.gz"))?;
    let cards = |name: &str| {
        let cards = Cards::new().with("EXTNAME", name)?.with("OBJECT", "O'Brien / 3")?.history(&"what was done ".repeat(9));
        let cards = cards.with("LONG", "a long 'string' ".repeat(9) + "end")?.commented("TINY", 1.5e-300, "a comment")?;
        Ok::<_, kamacite::Error>(cards.wcs(source.hdus()[1].header()))
    };
    let mut all = Vec::new();
    let mut w = Writer::create(path)?;
    macro_rules! image {
        ($name:literal, $dtype:literal, $shape:expr, $values:expr) => {{
            w.image(&$shape, &$values, &cards($name)?)?;
            all.push(serde_json::json!([$name, null, $dtype, $shape, $values]));
        }};
    }
    image!("A", "uint8", [2, 3], [0_u8, 1, 2, 253, 254, 255]);
    image!("B", "int16", [3], [i16::MIN, 0, i16::MAX]);
    image!("C", "int32", [3], [i32::MIN, 7, i32::MAX]);
    image!("D", "float32", [2, 1, 2], [1.5_f32, f32::NAN, -0.0, 0.25]);
    image!("E", "float64", [1, 2], [1e-300, std::f64::consts::PI]);
    image!("F", "uint16", [3], [0_u16, 40_000, u16::MAX]);
    image!("G", "int8", [2], [i8::MIN, i8::MAX]);
    image!("H", "uint32", [2], [0, u32::MAX]);
    image!("I", "int64", [2], [i64::MIN, i64::MAX]);
    let columns = [
        NewColumn::new("i32", &[i32::MIN, 5]),
        NewColumn::new("i64", &[-3_i64, 1 << 50]),
        NewColumn::new("f64", &[1e-300, 2.0]).unit("Jy"),
        NewColumn::vectors("vec", 3, &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]),
        NewColumn::text("name", &["Vega", "x"]),
        NewColumn::new("u16", &[1_u16, 65_535]),
    ];
    w.table(&columns, &cards("T")?)?;
    assert!(!path.exists());
    w.finish()?;
    all.push(serde_json::json!(["T", "i32", "int32", [2], [i32::MIN, 5]]));
    all.push(serde_json::json!(["T", "i64", "int64", [2], [-3, 1_i64 << 50]]));
    all.push(serde_json::json!(["T", "f64", "float64", [2], [1e-300, 2.0]]));
    all.push(serde_json::json!(["T", "vec", "float32", [2, 3], [1, 2, 3, 4, 5, 6]]));
    all.push(serde_json::json!(["T", "name", "str", [2], ["Vega", "x"]]));
    all.push(serde_json::json!(["T", "u16", "uint16", [2], [1, 65_535]]));
    Ok(all.into())
}

/// What is written comes back, type by type.
#[test]
fn fits_written_and_read() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.fits");
    let all = written(&path)?;
    let fits = Fits::open(&path)?;
    for entry in all.as_array().unwrap() {
        let [name, column, dtype, shape, values] = entry.as_array().unwrap().as_slice() else { panic!("{entry}") };
        let name = name.as_str().unwrap();
        match (column.as_str(), dtype.as_str().unwrap()) {
            (Some(column), "str") => assert_eq!(Json::from(fits.table(name)?.text(column)?), *values),
            (column, _) => {
                let (got, found) = match column {
                    Some(c) => (fits.table(name)?.column(c)?.to_f64()?, fits.table(name)?.column(c)?.shape().to_vec()),
                    None => (fits.image(name)?.read_f64(Missing::Keep)?, fits.image(name)?.shape().to_vec()),
                };
                let wanted = numbers(values);
                assert!(
                    got.iter().zip(&wanted).all(|(x, y)| x == y || x.is_nan() && y.is_nan()) && got.len() == wanted.len(),
                    "{entry}: {got:?}"
                );
                assert_eq!(Json::from(found), *shape);
            }
        }
    }
    let (head, source) = (fits.hdu("D")?.header(), Fits::open(golden("images.fits.gz"))?);
    assert_eq!((head.get::<String>("OBJECT").as_deref(), head.get::<f64>("CRVAL2")), (Some("O'Brien / 3"), Some(-41.25)));
    assert_eq!(head.get::<String>("LONG"), Some("a long 'string' ".repeat(9) + "end"));
    assert!(head.wcs_cards().eq(source.hdus()[1].header().wcs_cards()));
    assert_eq!((fits.table("T")?.field("f64")?.unit(), fits.image("D")?.extent()?), ("Jy", Extent::image(2, 2, 1)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    drop(Writer::create(&path)?);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nor by a writer that was given up");
    Ok(())
}

/// A box in an image of 40 GB, of which the file system keeps only what was written.
#[test]
#[cfg(target_os = "linux")]
fn fits_sections_of_a_huge_image() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let (path, n) = (folder.path().join("huge.fits"), 100_000);
    let mut writer = Writer::create(&path)?;
    let mut parts = writer.parts::<f32>(&[n, n], &Cards::new())?;
    let values: Vec<f32> = (1..=15).map(|x| x as f32).collect();
    parts.write(&[n - 3..n, 700..705], &values)?;
    writer.finish()?;
    let image = Fits::open(&path)?.image(0)?;
    let mut out = [7.0; 4 * 6];
    image.section(&[n - 4..n, 699..705], &mut out, Missing::Error)?;
    assert_eq!(out[..7], [0.0; 7]);
    assert_eq!((&out[7..12], &out[19..24], out[12]), (&values[..5], &values[10..], 0.0));
    assert!(std::fs::metadata(&path).unwrap().len() > 40_000_000_000);
    Ok(())
}

/// The same file, read by astropy where Python has it: `KAMACITE_PYTHON`, or python3.
#[test]
fn fits_written_for_astropy() {
    let python = std::env::var_os("KAMACITE_PYTHON").unwrap_or_else(|| "python3".into());
    let has = std::process::Command::new(&python).args(["-c", "import astropy"]).output().is_ok_and(|o| o.status.success());
    if !has {
        let required = std::env::var("KAMACITE_REQUIRE").is_ok_and(|r| r.split(',').any(|r| r == "astropy"));
        assert!(!required, "KAMACITE_REQUIRE asks for astropy, which {python:?} lacks");
        return println!("SKIPPED astropy: {python:?} has none; set KAMACITE_PYTHON");
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, json) = (folder.path().join("out.fits"), folder.path().join("expected.json"));
    std::fs::write(&json, written(&path).unwrap().to_string()).unwrap();
    let mut command = std::process::Command::new(python);
    let out = command.arg(golden("verify.py")).args([&path, &json, &golden("images.fits.gz")]).output().unwrap();
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
}

/// Bytes that astropy wrote, changed: whatever comes out, no panic.
#[test]
fn fits_changed_files() {
    let mut r = kamacite::rng::Stream::new(1, kamacite::rng::Purpose::User, 0);
    let (mut refused, runs) = (0, 120);
    for name in ["images.fits.gz", "tiles.fits.gz", "table.fits.gz"] {
        let good = unpacked(name);
        for _ in 0..runs {
            let mut bytes = good.clone();
            for _ in 0..1 + r.below(40) {
                let i = r.below(bytes.len());
                bytes[i] = if r.below(2) == 0 { r.word() as u8 } else { b"0123456789'&/ TE"[r.below(16)] };
            }
            bytes.truncate(good.len() - r.below(2) * r.below(good.len()));
            refused += usize::from(fits_input::read(&bytes).is_err());
        }
    }
    assert!(refused > runs / 2 && refused < 3 * runs, "{refused}");
}

/// The bytes of a file with these cards, and data behind them.
fn crafted(cards: &[&str], data: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = cards.iter().chain(&["END"]).flat_map(|c| format!("{c:<80}").into_bytes()).collect();
    bytes.resize(bytes.len().next_multiple_of(2880), b' ');
    bytes.extend(data);
    bytes
}

/// Every error of the data path, word for word.
#[test]
fn fits_errors() {
    const SIMPLE: &str = "SIMPLE  = T";
    let image = Writer::to_bytes(|w| {
        w.image(&[2, 2], &[1.0_f32, f32::NAN, 3.0, 4.0], &Cards::new())?;
        w.image(&[2, 3, 4, 5], &[0_u8; 120], &Cards::new().with("EXTNAME", "SCI")?)?;
        w.image(&[2, 2], &[f32::NAN; 4], &Cards::new().with("EXTNAME", "EMPTY")?)?;
        w.table(
            &[NewColumn::new("flux", &[f32::NAN; 2]), NewColumn::text("name", &["a", "b"])],
            &Cards::new().with("EXTNAME", "CAT")?,
        )
    });
    let image = image.unwrap();
    let open = |bytes: &[u8]| Fits::from_bytes("m31.fits", bytes.to_vec());
    let fits = open(&image).unwrap();
    let crafted_image = |cards: &[&str]| open(&crafted(&[&[SIMPLE], cards].concat(), &[])).and_then(|f| f.image(0)).map(drop);
    let tiled = |cards: &[&str]| {
        let head = [
            "XTENSION= 'BINTABLE'",
            "BITPIX  = 8",
            "NAXIS   = 2",
            "NAXIS1  = 8",
            "NAXIS2  = 1",
            "PCOUNT  = 4",
            "GCOUNT  = 1",
            "TFIELDS = 1",
            "TTYPE1  = 'COMPRESSED_DATA'",
            "TFORM1  = '1PB(4)'",
            "ZIMAGE  = T",
            "ZBITPIX = 16",
            "ZNAXIS  = 2",
            "ZNAXIS1 = 9",
            "ZNAXIS2 = 1",
        ];
        let mut bytes = crafted(&[SIMPLE, "BITPIX  = 8", "NAXIS   = 0"], &[]);
        bytes.extend(crafted(&[&head, cards].concat(), &[0, 0, 0, 4, 0, 0, 0, 0, 9, 9, 9, 9]));
        open(&bytes).and_then(|f| f.image(1)?.read(Missing::Keep)).map(drop)
    };
    let cases: Vec<(&str, Result<()>)> = vec![
        ("missing file", Fits::open("absent/m31.fits").map(drop)),
        ("folder", Fits::open(".").map(drop)),
        ("empty file", open(&[]).map(drop)),
        ("picture", open(b"\xff\xd8\xff\xe0 JFIF").map(drop)),
        ("page", open(b"\n<!DOCTYPE html><html>404 Not found").map(drop)),
        ("text", open(b"1.0 2.0 3.0 some numbers").map(drop)),
        ("damaged gzip", open(b"\x1f\x8b\x08\0\0\0\0\0").map(drop)),
        ("header cut short", open(&image[..400]).map(drop)),
        ("data cut short", open(&image[..2890]).and_then(|f| f.image(0)).map(drop)),
        ("no such number", fits.image(7).map(drop)),
        ("no such name", fits.image("SCY").map(drop)),
        ("no such version", fits.image(("SCI", 2)).map(drop)),
        ("table for an image", fits.image("CAT").map(drop)),
        ("image for a table", fits.table("SCI").map(drop)),
        ("no such column", fits.table("CAT").and_then(|t| t.column("flox")).map(drop)),
        ("text for numbers", fits.table("CAT").and_then(|t| t.column_f32("name", Missing::Error)).map(drop)),
        ("numbers for text", fits.table("CAT").and_then(|t| t.text("flux")).map(drop)),
        ("all-NaN column", fits.table("CAT").and_then(|t| t.column_f32("flux", Missing::Error)).map(drop)),
        ("NaN", fits.image(0).and_then(|i| i.read(Missing::Error)).map(drop)),
        ("all-NaN", fits.image("EMPTY").and_then(|i| i.read(Missing::Error)).map(drop)),
        ("four axes", fits.image("SCI").and_then(|i| i.extent()).map(drop)),
        ("no plane", fits.image("SCI").and_then(|i| i.rows_and_columns()).map(drop)),
        ("section outside", fits.image(0).and_then(|i| i.section(&[0..2, 1..3], &mut [0.0; 4], Missing::Keep))),
        ("section of another size", fits.image(0).and_then(|i| i.section(&[0..2, 0..1], &mut [0.0; 4], Missing::Keep))),
        ("zero size", crafted_image(&["BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 0", "NAXIS2  = 5"])),
        ("no data", crafted_image(&["BITPIX  = 8", "NAXIS   = 0"])),
        ("nonsense BITPIX", crafted_image(&["BITPIX  = 12", "NAXIS   = 1", "NAXIS1  = 5"])),
        ("text BITPIX", crafted_image(&["BITPIX  = 'x'", "NAXIS   = 1", "NAXIS1  = 5"])),
        ("no BITPIX", crafted_image(&["NAXIS   = 1", "NAXIS1  = 5"])),
        ("nonsense NAXIS", crafted_image(&["BITPIX  = 8", "NAXIS   = 99999"])),
        ("negative NAXIS1", crafted_image(&["BITPIX  = 8", "NAXIS   = 1", "NAXIS1  = -5"])),
        ("HCOMPRESS", tiled(&["ZCMPTYPE= 'HCOMPRESS_1'"])),
        ("damaged RICE", tiled(&["ZCMPTYPE= 'RICE_1'"])),
        ("damaged GZIP", tiled(&["ZCMPTYPE= 'GZIP_1'"])),
        ("card of the writer", Cards::new().with("NAXIS1", 5_i64).map(drop)),
        ("no keyword", Cards::new().with("much too long", 5_i64).map(drop)),
        ("NaN in a card", Cards::new().with("SEEING", f64::NAN).map(drop)),
    ];
    let mut text = String::new();
    for (what, result) in cases {
        text += &format!("{what}\n    {}\n", result.expect_err(what));
    }
    let expected = std::fs::read_to_string(golden("errors.txt")).unwrap_or_default();
    if std::env::var_os("KAMACITE_WRITE_ERRORS").is_some() {
        std::fs::write(golden("errors.txt"), &text).unwrap();
    }
    for (got, wanted) in text.lines().zip(expected.lines()) {
        assert_eq!(got, wanted, "if that is better, KAMACITE_WRITE_ERRORS=1 writes it");
    }
    assert_eq!(text.len(), expected.len());
}
