//! FITS files that astropy wrote (`tests/golden/fits`), the course's spectrum, and our own files read by ourselves and by astropy.

use crate::data::course;
use flate2::{Crc, read::GzDecoder};
use kamacite::data::fits::{Cards, Fits, HduKind, NewColumn, Value, Writer};
use kamacite::data::{Kind, Missing};
use kamacite::{ErrorKind, Extent, Result};
use serde_json::Value as Json;
use std::io::Read;
use std::path::{Path, PathBuf};

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

/// What is written comes back, type by type.
#[test]
fn fits_written_and_read() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.fits");
    let source = Fits::open(golden("images.fits.gz"))?;
    let cards =
        |name: &str| Cards::new().with("EXTNAME", name)?.with("OBJECT", "O'Brien / 3").map(|c| c.wcs(source.hdus()[1].header()));
    let mut w = Writer::create(&path)?;
    w.image(&[2, 3], &[0_u8, 1, 2, 253, 254, 255], &cards("A")?)?;
    w.image(&[3], &[i16::MIN, 0, i16::MAX], &cards("B")?)?;
    w.image(&[3], &[i32::MIN, 7, i32::MAX], &cards("C")?)?;
    w.image(&[2, 1, 2], &[1.5_f32, f32::NAN, -0.0, f32::MAX], &cards("D")?)?;
    w.image(&[2], &[1e-300, std::f64::consts::PI], &cards("E")?)?;
    w.image(&[3], &[0_u16, 40_000, u16::MAX], &cards("F")?)?;
    w.image(&[2], &[i8::MIN, i8::MAX], &cards("G")?)?;
    w.image(&[2], &[0, u32::MAX], &cards("H")?)?;
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
    let fits = Fits::open(&path)?;
    let read = |name: &str| fits.image(name)?.read_f64(Missing::Keep);
    assert_eq!(read("A")?, [0., 1., 2., 253., 254., 255.]);
    assert_eq!(read("B")?, [-32768., 0., 32767.]);
    assert_eq!(read("C")?, [-2_147_483_648., 7., 2_147_483_647.]);
    assert_eq!(bits(&fits.image("D")?.read(Missing::Keep)?), bits(&[1.5, f32::NAN, -0.0, f32::MAX]));
    assert_eq!(read("E")?, [1e-300, std::f64::consts::PI]);
    assert_eq!((read("F")?, read("G")?, read("H")?), (vec![0., 40_000., 65_535.], vec![-128., 127.], vec![0., 4_294_967_295.]));
    let head = fits.hdu("D")?.header();
    assert_eq!((head.get::<String>("OBJECT").as_deref(), head.get::<f64>("CRVAL2")), (Some("O'Brien / 3"), Some(-41.25)));
    assert!(head.wcs_cards().eq(source.hdus()[1].header().wcs_cards()));
    let t = fits.table("T")?;
    assert_eq!(t.column("i32")?.to_f64()?, [-2_147_483_648., 5.]);
    assert_eq!(t.column("i64")?.to_f64()?, [-3., (1_u64 << 50) as f64]);
    assert_eq!((t.column("f64")?.to_f64()?, t.field("f64")?.unit()), (vec![1e-300, 2.0], "Jy"));
    assert_eq!((t.column("vec")?.shape(), t.column_f32("vec", Missing::Error)?), (&[2, 3][..], vec![1., 2., 3., 4., 5., 6.]));
    assert_eq!((t.text("name")?, t.column("u16")?.to_f64()?), (vec!["Vega".to_string(), "x".to_string()], vec![1., 65_535.]));
    assert_eq!(fits.image("D")?.extent()?, Extent::image(2, 2, 1));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    Ok(())
}
