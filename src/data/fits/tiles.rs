//! Tile-compressed images: a table with one row for each tile, whose bytes lie in the heap.

use super::decode::{Pixel, Scale, Treat};
use super::hdu::{Hdu, sizes};
use super::rice;
use super::section::Section;
use super::source::{EXPANSION, Source, gunzip};
use super::table::{self, Field, Heap};
use crate::data::{Kind, file};
use crate::{Error, Result};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Codec {
    Rice {
        width: usize,
        block: usize,
    },
    Gzip,
    /// Gzip after all first bytes, all second bytes, … were put together.
    Shuffled,
    None,
}

/// How floating-point numbers became integers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dither {
    None,
    Subtractive,
    /// And zeros stay zeros.
    SubtractiveZeros,
}

/// Of a number that a column or a keyword may give.
#[derive(Clone, Debug)]
enum PerTile {
    Column(Field),
    Keyword(f64),
}

#[derive(Clone, Debug)]
struct Quantized {
    scale: PerTile,
    zero: PerTile,
    blank: Option<PerTile>,
    dither: Dither,
    seed: u64,
}

/// Everything that is needed to read any tile.
#[derive(Clone, Debug)]
pub(super) struct Tiles {
    kind: Kind,
    codec: Codec,
    shape: Vec<usize>,
    tile: Vec<usize>,
    heap: Heap,
    compressed: Field,
    /// Columns for tiles that could not be quantised or compressed.
    gzip: Option<Field>,
    raw: Option<Field>,
    quantized: Option<Quantized>,
}

impl Tiles {
    pub fn new(hdu: &Hdu, kind: Kind, pixels: usize) -> Result<Self> {
        let header = &hdu.header;
        let most = hdu.bytes.saturating_mul(EXPANSION);
        let claim = (pixels as u64).saturating_mul(kind.bytes() as u64);
        if claim > most {
            let e =
                Error::format("", "the sizes exceed what the compressed data can hold").expected(format!("at most {most} bytes"));
            return Err(e.got(claim).hint("is the header damaged?"));
        }
        let (fields, heap) = table::layout(hdu)?;
        let column = |name: &str| fields.iter().find(|f| f.name().eq_ignore_ascii_case(name)).cloned();
        let bytes = |name: &str| column(name).filter(|f| f.is_variable());
        let compressed = bytes("COMPRESSED_DATA");
        let compressed = compressed.ok_or_else(|| Error::format("", "no column COMPRESSED_DATA in a compressed image"))?;
        let axes = hdu.shape.len();
        let mut tile = match header.get::<i64>("ZTILE1") {
            Some(_) => sizes(header, "ZTILE", axes)?,
            None => (0..axes).map(|i| if i == 0 { hdu.shape[axes - 1] } else { 1 }).collect(),
        };
        tile.reverse();
        if tile.contains(&0) {
            return Err(Error::format("", "tiles of no pixels").got(format!("{tile:?}")));
        }
        let tiles = hdu.shape.iter().zip(&tile).map(|(n, t)| n.div_ceil(*t));
        let tiles = file::product("", tiles)? as u64;
        if tiles != heap.rows {
            let e = Error::format("", "the table has not one row for each tile").expected(format!("{tiles} rows"));
            return Err(e.got(heap.rows));
        }
        let per_tile = |name: &str| column(name).map(PerTile::Column).or_else(|| header.get(name).map(PerTile::Keyword));
        let name = header.get::<String>("ZQUANTIZ").unwrap_or_default();
        let float = matches!(kind, Kind::F32 | Kind::F64);
        let quantized = match (per_tile("ZSCALE"), per_tile("ZZERO")) {
            (Some(scale), Some(zero)) if float && name != "NONE" => {
                let dither = match name.as_str() {
                    "" | "NO_DITHER" => Dither::None,
                    "SUBTRACTIVE_DITHER_1" => Dither::Subtractive,
                    "SUBTRACTIVE_DITHER_2" => Dither::SubtractiveZeros,
                    _ => return Err(refused(&format!("quantised by {name}"))),
                };
                let seed = header.get::<usize>("ZDITHER0").unwrap_or(1).max(1) as u64;
                Some(Quantized { scale, zero, blank: per_tile("ZBLANK"), dither, seed })
            }
            _ => None,
        };
        let codec = codec(hdu, kind, quantized.is_some())?;
        let (gzip, raw) = (bytes("GZIP_COMPRESSED_DATA"), bytes("UNCOMPRESSED_DATA"));
        Ok(Self { kind, codec, shape: hdu.shape.clone(), tile, heap, compressed, gzip, raw, quantized })
    }

    /// Reads a section that lies in the image.
    pub fn read<T: Pixel + Into<f64>>(
        &self,
        (source, scale): (&Source, &Scale),
        ranges: &[Range<usize>],
        out: &mut [T],
        treat: &mut Treat,
    ) -> Result<()> {
        let lens: Vec<usize> = ranges.iter().map(Range::len).collect();
        let touched: Vec<Range<usize>> =
            ranges.iter().zip(&self.tile).map(|(r, &t)| r.start / t..r.end.div_ceil(t).max(r.start / t)).collect();
        let grid: Vec<usize> = self.shape.iter().zip(&self.tile).map(|(n, t)| n.div_ceil(*t)).collect();
        let tiles: usize = touched.iter().map(Range::len).product();
        // One by one, so that a tile's row in the table is its number in the grid.
        for k in 0..if lens.contains(&0) { 0 } else { tiles } {
            let mut rest = k;
            let mut number: Vec<usize> = touched.iter().rev().map(|r| (r.start + rest % r.len(), rest /= r.len()).0).collect();
            number.reverse();
            let row = number.iter().zip(&grid).fold(0, |row, (i, n)| row * n + i) as u64;
            let place: Vec<Range<usize>> = (0..number.len())
                .map(|i| number[i] * self.tile[i]..((number[i] + 1) * self.tile[i]).min(self.shape[i]))
                .collect();
            let sizes: Vec<usize> = place.iter().map(Range::len).collect();
            let (kind, bytes) = self.tile(source, row, sizes.iter().product()).map_err(|e| e.at(format!("tile {row}")))?;
            // What tile and section share, seen from either.
            let shared = || ranges.iter().zip(&place).map(|(r, p)| r.start.max(p.start)..r.end.min(p.end));
            let inside: Vec<_> = shared().zip(&place).map(|(s, p)| s.start - p.start..s.end - p.start).collect();
            let wanted: Vec<_> = shared().zip(ranges).map(|(s, r)| s.start - r.start..s.end - r.start).collect();
            let pixels = inside.iter().map(Range::len).product();
            let (from, to) = (Section::new(&sizes, &inside, pixels)?, Section::new(&lens, &wanted, pixels)?);
            let run = from.run.min(to.run);
            let (from, to) = (starts(&from, run)?, starts(&to, run)?);
            for (from, to) in from.into_iter().zip(to) {
                let (size, out) = (kind.bytes(), &mut out[to..to + run]);
                T::decode(kind, &bytes[from * size..(from + run) * size], scale, out);
                treat.piece(to, out);
            }
        }
        Ok(())
    }

    /// The pixels of a tile as big-endian bytes, and of which type they are.
    fn tile(&self, source: &Source, row: u64, pixels: usize) -> Result<(Kind, Vec<u8>)> {
        let columns = self.heap.row(source, row)?;
        let packed = self.heap.array(source, &self.compressed, &columns)?;
        if packed.is_empty() {
            return self.unquantized(source, &columns, pixels);
        }
        let integers = match self.codec {
            Codec::Rice { width, block } => {
                let mut out = file::reserve("", pixels)?;
                out.resize(pixels, 0);
                let damaged = || Error::format("", "the RICE_1 data are damaged").hint("copy or download the file again");
                rice::decode(&packed, width, block, &mut out).ok_or_else(damaged)?;
                out
            }
            codec => {
                let mut bytes = if codec == Codec::None { packed.into_owned() } else { inflate(&packed, pixels)? };
                let width = width_of(&bytes, pixels)?;
                if codec == Codec::Shuffled {
                    bytes = unshuffle(&bytes, width);
                }
                if self.quantized.is_none() {
                    return Ok((self.stored_kind(width)?, bytes));
                }
                if width != 4 {
                    return Err(odd_width(width));
                }
                let mut out = file::reserve("", pixels)?;
                out.extend(bytes.as_chunks().0.iter().map(|b| i32::from_be_bytes(*b)));
                out
            }
        };
        let kind = if self.quantized.is_some() { self.kind } else { Kind::I32 };
        let mut bytes: Vec<u8> = file::reserve("", pixels.saturating_mul(kind.bytes()))?;
        match &self.quantized {
            Some(q) => q.restore(&columns, row, &integers, |x| match kind {
                Kind::F64 => bytes.extend(x.to_be_bytes()),
                _ => bytes.extend((x as f32).to_be_bytes()),
            }),
            None => bytes.extend(integers.iter().flat_map(|x| x.to_be_bytes())),
        }
        Ok((kind, bytes))
    }

    /// A tile that the codec could not serve.
    fn unquantized(&self, source: &Source, row: &[u8], pixels: usize) -> Result<(Kind, Vec<u8>)> {
        let column =
            |field: &Option<Field>| field.as_ref().map_or(Ok(Cow::Borrowed(&[][..])), |f| self.heap.array(source, f, row));
        let (packed, raw) = (column(&self.gzip)?, column(&self.raw)?);
        let bytes = if packed.is_empty() { raw.into_owned() } else { inflate(&packed, pixels)? };
        if bytes.is_empty() {
            return Err(Error::format("", "no data").hint("copy or download the file again"));
        }
        Ok((self.stored_kind(width_of(&bytes, pixels)?)?, bytes))
    }

    /// The type of numbers of this width: older programs stored narrow integers as wide ones.
    fn stored_kind(&self, width: usize) -> Result<Kind> {
        match (self.kind, width) {
            (Kind::F32, 4) | (Kind::F64, 8) => Ok(self.kind),
            (Kind::F32 | Kind::F64, _) => Err(odd_width(width)),
            (_, 1) => Ok(Kind::U8),
            (_, 2) => Ok(Kind::I16),
            (_, 4) => Ok(Kind::I32),
            _ => Ok(Kind::I64),
        }
    }
}

impl Quantized {
    /// Integers back to numbers, in double precision.
    fn restore(&self, row: &[u8], number: u64, integers: &[i32], mut put: impl FnMut(f64)) {
        let value = |x: &PerTile| match x {
            PerTile::Column(field) => field.number(row),
            PerTile::Keyword(x) => *x,
        };
        let (scale, zero) = (value(&self.scale), value(&self.zero));
        let blank = self.blank.as_ref().map(value);
        let mut noise = Noise::new(number + self.seed - 1);
        for &x in integers {
            let random = if self.dither == Dither::None { 0.5 } else { noise.draw() };
            put(match x {
                x if blank == Some(f64::from(x)) => f64::NAN,
                ZERO if self.dither == Dither::SubtractiveZeros => 0.0,
                x => (f64::from(x) - random + 0.5) * scale + zero,
            });
        }
    }
}

/// The integer that is exactly 0 under `SUBTRACTIVE_DITHER_2` (FITS standard, section 10.2.1).
const ZERO: i32 = -2_147_483_646;

/// The random numbers of appendix I of the standard.
static RANDOM: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let mut seed = 1_u64;
    let mut next = || {
        seed = seed * 16807 % 2_147_483_647;
        (seed as f64 / 2_147_483_647.0) as f32
    };
    (0..10_000).map(|_| next()).collect()
});

/// Their order in a tile: beginning at a place that the tile's number chooses, anew at the end of the list.
struct Noise {
    seed: usize,
    at: usize,
}

impl Noise {
    fn new(number: u64) -> Self {
        let seed = (number % RANDOM.len() as u64) as usize;
        Self { seed, at: (RANDOM[seed] * 500.0) as usize }
    }

    fn draw(&mut self) -> f64 {
        let random = RANDOM[self.at];
        self.at += 1;
        if self.at == RANDOM.len() {
            self.seed = (self.seed + 1) % RANDOM.len();
            self.at = (RANDOM[self.seed] * 500.0) as usize;
        }
        random.into()
    }
}

fn refused(what: &str) -> Error {
    Error::unsupported("", what).expected("RICE_1, GZIP_1, GZIP_2 or NOCOMPRESS").hint("unpack the file: funpack FILE")
}

fn codec(hdu: &Hdu, kind: Kind, quantized: bool) -> Result<Codec> {
    let name = hdu.header.require::<String>("ZCMPTYPE")?;
    match name.as_str() {
        "GZIP_1" => Ok(Codec::Gzip),
        "GZIP_2" => Ok(Codec::Shuffled),
        "NOCOMPRESS" => Ok(Codec::None),
        "RICE_1" | "RICE_ONE" => {
            let option = |wanted: &str| {
                let named = |i: &usize| hdu.header.get::<String>(&format!("ZNAME{i}")).as_deref() == Some(wanted);
                (1..10).find(named).and_then(|i| hdu.header.get::<usize>(&format!("ZVAL{i}")))
            };
            let (width, block) = (option("BYTEPIX").unwrap_or(4), option("BLOCKSIZE").unwrap_or(32));
            if !matches!(width, 1 | 2 | 4) || block == 0 || block > 256 || (kind == Kind::I64 && !quantized) {
                return Err(refused(&format!("RICE_1 with BYTEPIX {width} and BLOCKSIZE {block}")));
            }
            Ok(Codec::Rice { width, block })
        }
        other => Err(refused(&format!("compressed by {other}"))),
    }
}

/// Unpacks a tile, whose elements have at most 8 bytes.
fn inflate(packed: &[u8], pixels: usize) -> Result<Vec<u8>> {
    gunzip("", packed, (pixels as u64).saturating_mul(8).min((packed.len() as u64).saturating_mul(EXPANSION)))
}

fn width_of(bytes: &[u8], pixels: usize) -> Result<usize> {
    let width = bytes.len() / pixels.max(1);
    if matches!(width, 1 | 2 | 4 | 8) && width.checked_mul(pixels) == Some(bytes.len()) {
        return Ok(width);
    }
    let e = Error::format("", "the data do not fill the tile").expected(format!("{pixels} pixels of 1, 2, 4 or 8 bytes"));
    Err(e.got(format!("{} bytes", bytes.len())))
}

fn odd_width(width: usize) -> Error {
    Error::format("", format!("{width} bytes a pixel do not fit ZBITPIX")).hint("is the header damaged?")
}

fn unshuffle(bytes: &[u8], width: usize) -> Vec<u8> {
    let pixels = bytes.len() / width;
    let mut out = vec![0; bytes.len()];
    for (k, plane) in bytes.chunks_exact(pixels.max(1)).enumerate() {
        plane.iter().zip(out[k..].iter_mut().step_by(width)).for_each(|(x, y)| *y = *x);
    }
    out
}

/// The beginnings of a section's runs, cut into shorter ones.
fn starts(section: &Section<'_>, run: usize) -> Result<Vec<usize>> {
    let mut starts = Vec::new();
    section.runs(|start, _| {
        starts.extend((0..section.run).step_by(run.max(1)).map(|k| start + k));
        Ok(())
    })?;
    Ok(starts)
}
