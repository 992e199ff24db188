//! Predictions over images larger than a network, tile by tile, against the whole image at once.

use kamacite::data::mosaic::{Mosaic, Place};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;

fn noise(n: usize) -> Vec<f32> {
    let mut r = Stream::new(5, Purpose::User, 0);
    (0..n).map(|_| r.normal() as f32).collect()
}

/// The indices of a place in an array of this size.
fn indices([_, h, w]: [usize; 3], place: &Place) -> Vec<usize> {
    let rows = place[0].clone().flat_map(|d| place[1].clone().map(move |y| (d * h + y) * w));
    rows.flat_map(|row| place[2].clone().map(move |x| row + x)).collect()
}

/// The predictions of all tiles of `image`, with `c` channels.
fn tiled(mosaic: &Mosaic, model: &mut Model, size: [usize; 3], image: &[f32]) -> Result<(Extent, Vec<f32>)> {
    let mut pieces: Vec<(Place, Vec<f32>)> = Vec::new();
    let read = |place: &Place, x: &mut [f32]| {
        indices(size, place).iter().zip(x).for_each(|(&i, x)| *x = image[i]);
        Ok(())
    };
    let write = |place: &Place, y: &[f32]| {
        pieces.push((place.clone(), y.to_vec()));
        Ok(())
    };
    let extent = mosaic.predict(model, size, read, |_| Ok(()), write)?;
    let mut out = vec![f32::NAN; extent.len()];
    for (place, y) in pieces {
        for (i, y) in indices(extent.space(), &place).into_iter().zip(y.chunks_exact(extent.c)) {
            assert!(out[i * extent.c].is_nan(), "written twice");
            out[i * extent.c..(i + 1) * extent.c].copy_from_slice(y);
        }
    }
    Ok((extent, out))
}

/// The largest difference from the whole image at once, relative to its root mean square, and where.
fn compare(mosaic: &Mosaic, net: Network, size: [usize; 3]) -> Result<f32> {
    let mut model = Model::builder(net).seed(4).device(Device::cpu_threads(1)?).build()?;
    let image = noise(size.iter().product());
    let (extent, out) = tiled(mosaic, &mut model, size, &image)?;
    let whole = model.forward(Mode::Infer, View::new(Extent { d: size[0], h: size[1], w: size[2], c: 1 }, &image)?)?;
    assert_eq!(whole.extent(), extent);
    let whole = whole.row(0)?;
    let rms = (whole.iter().map(|x| x * x).sum::<f32>() / whole.len() as f32).sqrt();
    Ok(whole.iter().zip(&out).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / rms)
}

fn filters(extent: Extent) -> Network {
    let mut net = Network::new(extent);
    net.push(Conv::new(3, 3).pad(1).act(Tanh));
    net.push(Conv::new(2, 5).pad(2));
    net
}

/// Sums of weights that are 1 up to rounding, over a few terms of the filters' sums: 64 ulp.
const ROUNDING: f32 = 64.0 * f32::EPSILON;

/// The margin is what the two filters reach: every pixel is as if the image had been seen whole, for any size and overlap.
#[test]
fn mosaic_of_filters() -> Result<()> {
    for size in [[1, 40, 57], [1, 16, 16], [1, 17, 16], [1, 64, 31], [1, 33, 100]] {
        for overlap in [6, 7, 9, 15] {
            let error =
                compare(&Mosaic::new(Extent::image(16, 16, 1), overlap).margin(3), filters(Extent::image(16, 16, 1)), size)?;
            assert!(error < ROUNDING, "{size:?}, overlap {overlap}: {error}");
        }
    }
    let line = compare(&Mosaic::new(Extent::line(24, 1), 8).margin(3), filters(Extent::line(24, 1)), [1, 1, 101])?;
    let cube = compare(&Mosaic::new(Extent::cube(9, 10, 11, 1), 7).margin(3), filters(Extent::cube(9, 10, 11, 1)), [20, 13, 27])?;
    assert!(line < ROUNDING && cube < ROUNDING, "{line} {cube}");
    // And a check that this test can see a seam: without the margin, the filters' padding shows.
    assert!(compare(&Mosaic::new(Extent::image(16, 16, 1), 6), filters(Extent::image(16, 16, 1)), [1, 40, 57])? > 0.01);
    Ok(())
}

/// Networks that shrink or enlarge their input, also where no factor divides the image.
#[test]
fn mosaic_of_another_size() -> Result<()> {
    let tile = Extent::image(16, 16, 1);
    let mut half = Network::new(tile);
    half.push(Conv::new(2, 3).pad(1));
    half.push(Pool::max(2));
    let mut double = Network::new(tile);
    double.push(Conv::new(2, 3).pad(1));
    double.push(Upsample::nearest(2));
    for size in [[1, 40, 56], [1, 18, 90]] {
        let mosaic = Mosaic::new(tile, 4).margin(1);
        assert!(compare(&mosaic, half.clone(), size)? < ROUNDING);
        assert!(compare(&mosaic, double.clone(), size)? < ROUNDING);
    }
    let mut model = Model::builder(half).seed(1).build()?;
    let (extent, out) = tiled(&Mosaic::new(tile, 4).margin(1), &mut model, [1, 41, 19], &noise(41 * 19))?;
    assert!(extent == Extent::image(21, 10, 2) && out.iter().all(|x| x.is_finite()), "{extent}");
    Ok(())
}

/// A network that changes nothing gives the image back, whatever the size: weights sum to one. Batches change no bit.
#[test]
fn mosaic_of_nothing() -> Result<()> {
    let tile = Extent::image(8, 12, 1);
    let mut net = Network::new(tile);
    net.push(Conv::new(1, 1));
    let mut model = Model::builder(net).build()?;
    model.set_array("conv1.weight", &[1.0])?;
    model.set_array("conv1.bias", &[0.0])?;
    for size in [[1, 1, 1], [1, 3, 50], [1, 8, 12], [1, 9, 13], [1, 30, 5], [1, 29, 47]] {
        let image = noise(size.iter().product());
        for (overlap, margin) in [(0, 0), (1, 0), (4, 2), (7, 3), (7, 0)] {
            let mosaic = Mosaic::new(tile, overlap).margin(margin);
            let (extent, out) = tiled(&mosaic, &mut model, size, &image)?;
            assert_eq!(extent.space(), size);
            let off = out.iter().zip(&image).map(|(a, b)| (a - b).abs() / b.abs().max(1e-3)).fold(0.0, f32::max);
            assert!(off < 8.0 * f32::EPSILON, "{size:?} {overlap} {margin}: {off}");
            assert_eq!(tiled(&mosaic.clone().batch(3), &mut model, size, &image)?.1, out);
            let covered: usize = mosaic.tiles(size)?.map(|p| p.iter().map(std::ops::Range::len).product::<usize>()).sum();
            assert!(covered >= image.len() && mosaic.tiles(size)?.all(|p| p[1].end <= size[1] && p[2].end <= size[2]));
        }
    }
    let refused = |mosaic: Mosaic, size| mosaic.tiles(size).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(refused(Mosaic::new(tile, 8), [1, 20, 20]).contains("no smaller than the tile"));
    assert!(refused(Mosaic::new(tile, 4).margin(3), [1, 20, 20]).contains("leaves gaps"));
    assert!(refused(Mosaic::new(tile, 4), [1, 0, 20]).contains("zero"));
    let mut odd = Network::new(tile);
    odd.push(Conv::new(1, 3));
    let e = tiled(&Mosaic::new(tile, 4), &mut Model::builder(odd).build()?, [1, 20, 20], &noise(400)).unwrap_err().to_string();
    assert!(e.contains("no whole factor"), "{e}");
    Ok(())
}

#[cfg(feature = "fits")]
mod files {
    use super::*;
    use kamacite::data::Missing;
    use kamacite::data::fits::{Cards, Fits, Writer};

    /// From one file to another: planes of channels, degenerate axes, coordinates of finer and coarser pixels.
    #[test]
    fn mosaic_of_a_file() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("in.fits"), folder.path().join("out.fits"));
        let (h, w, tile) = (40, 58, Extent::image(16, 16, 1));
        let image = noise(h * w);
        let cards = Cards::new().with("CRPIX1", 29.5)?.with("CRPIX2", 20.5)?.with("CDELT1", -0.1)?.with("CDELT2", 0.1)?;
        let mut writer = Writer::create(&from)?;
        writer.image(&[1, h, w], &image, &cards.with("CTYPE1", "RA---TAN")?)?;
        writer.finish()?;
        let input = Fits::open(&from)?.image(0)?;
        let mosaic = Mosaic::new(tile, 6).margin(3);
        let mut model = Model::builder(filters(tile)).seed(4).build()?;
        mosaic.predict_fits(&mut model, (&input, Missing::Error), |_| Ok(()), &to, Cards::new().with("OBJECT", "noise")?)?;
        let (extent, out) = tiled(&mosaic, &mut model, [1, h, w], &image)?;
        let result = Fits::open(&to)?.image(0)?;
        assert_eq!((result.shape(), result.header().get::<String>("OBJECT").as_deref()), (&[2, 1, h, w][..], Some("noise")));
        let planes: Vec<f32> = (0..2).flat_map(|c| out.iter().skip(c).step_by(extent.c).copied().collect::<Vec<_>>()).collect();
        assert_eq!(result.read(Missing::Error)?, planes);
        assert!(result.header().wcs_cards().eq(input.header().wcs_cards()));
        let mut half = Network::new(tile);
        half.push(Pool::max(2));
        mosaic.predict_fits(&mut Model::builder(half).build()?, (&input, Missing::Error), |_| Ok(()), &to, Cards::new())?;
        let result = Fits::open(&to)?.image(0)?;
        assert_eq!(result.shape(), [1, h / 2, w / 2]);
        // The middle of the image stays where it was, on pixels of twice the size.
        let get = |key: &str| result.header().get::<f64>(key).unwrap();
        assert_eq!([get("CRPIX1"), get("CRPIX2"), get("CDELT1"), get("CDELT2")], [15.0, 10.5, -0.2, 0.2]);
        Ok(())
    }

    /// 20 000 x 20 000 pixels through a network in less than 2 GiB: `cargo test --release --all-features --test suite -- --ignored mosaic_of_20000`.
    #[test]
    #[ignore = "writes two files of 1.6 GB"]
    fn mosaic_of_20000() -> Result<()> {
        let n = 20_000;
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("in.fits"), folder.path().join("out.fits"));
        let mut writer = Writer::create(&from)?;
        let mut parts = writer.parts::<f32>(&[n, n], &Cards::new().with("CRPIX1", 10_000.5)?)?;
        let value = |y: usize, x: usize| ((y * 7 + x * 13) % 101) as f32 / 50.0 - 1.0;
        for y in (0..n).step_by(100) {
            let band: Vec<f32> = (y..y + 100).flat_map(|y| (0..n).map(move |x| value(y, x))).collect();
            parts.write(&[y..y + 100, 0..n], &band)?;
        }
        writer.finish()?;
        let tile = Extent::image(512, 512, 1);
        let mut net = Network::new(tile);
        net.push(Conv::new(4, 3).pad(1).act(Relu));
        net.push(Conv::new(1, 3).pad(1));
        let mut model = Model::builder(net).seed(1).build()?;
        let start = std::time::Instant::now();
        let input = Fits::open(&from)?.image(0)?;
        let mosaic = Mosaic::new(tile, 32).margin(2);
        mosaic.predict_fits(&mut model, (&input, Missing::Error), |_| Ok(()), &to, Cards::new())?;
        let seconds = start.elapsed().as_secs_f64();
        let output = Fits::open(&to)?.image(0)?;
        assert_eq!(output.shape(), [n, n]);
        // A piece across several seams, against the network on that piece with a margin.
        let (a, b) = (900, 1100);
        let mut piece = vec![0.0; (b - a) * (b - a)];
        input.section(&[a..b, a..b], &mut piece, Missing::Error)?;
        let whole = model.forward(Mode::Infer, View::new(Extent::image(b - a, b - a, 1), &piece)?)?.row(0)?.to_vec();
        output.section(&[a..b, a..b], &mut piece, Missing::Error)?;
        for y in 2..b - a - 2 {
            for x in 2..b - a - 2 {
                let (p, q) = (piece[y * (b - a) + x], whole[y * (b - a) + x]);
                assert!((p - q).abs() < 1e-5, "{y} {x}: {p} {q}");
            }
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        println!("20 000 x 20 000: {seconds:.0} s, peak {:.0} MiB", peak.unwrap_or(0) as f64 / 1024.0);
        assert!(peak.is_none_or(|kb| kb < 2 << 20));
        Ok(())
    }
}
