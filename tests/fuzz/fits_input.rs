//! What the fuzz target of FITS does with an input; the suite replays its corpus with it.

use kamacite::Result;
use kamacite::data::Missing;
use kamacite::data::fits::{Fits, HduKind};

/// FITS files come in blocks of 2880 bytes, most of them spaces. Inputs that begin with `#` are shorter: headers of one card a line, an empty line,
/// data, `#` on a line of its own, the next header.
pub fn file(input: &[u8]) -> Vec<u8> {
    let Some(text) = input.strip_prefix(b"#\n") else { return input.to_vec() };
    let mut out = Vec::new();
    let pad = |out: &mut Vec<u8>, with| out.resize(out.len().next_multiple_of(2880), with);
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|w| w == what).unwrap_or(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = find(rest, b"\n\n");
        for line in rest[..end].split(|&b| b == b'\n') {
            let card = out.len();
            out.extend(line.iter().take(80));
            out.resize(card + 80, b' ');
        }
        out.extend(format!("{:<80}", "END").bytes());
        pad(&mut out, b' ');
        rest = &rest[(end + 2).min(rest.len())..];
        let end = find(rest, b"\n#\n");
        out.extend(&rest[..end]);
        pad(&mut out, 0);
        rest = &rest[(end + 3).min(rest.len())..];
    }
    out
}

/// Reads everything, and returns the first error.
pub fn read(input: &[u8]) -> Result<()> {
    let fits = Fits::from_bytes("fuzz", file(input))?;
    let mut first = Ok(());
    for hdu in fits.hdus().iter().take(8) {
        let cards = hdu.header().cards().map(|c| c.keyword.len()).sum::<usize>() + hdu.header().wcs_cards().count();
        assert!(cards + hdu.to_string().len() > 0);
        let result = match hdu.kind() {
            HduKind::Table => table(&fits, hdu.index()),
            HduKind::Empty => Ok(()),
            _ => image(&fits, hdu.index()),
        };
        first = first.and(result);
    }
    first
}

fn image(fits: &Fits, index: usize) -> Result<()> {
    let image = fits.image(index)?;
    image.extent().ok();
    let (shape, most) = (image.shape(), 1 << 16);
    let ranges: Vec<_> = shape.iter().map(|&n| n / 3..(n / 3 + 5).min(n)).collect();
    let mut part = vec![0.0; ranges.iter().map(std::ops::Range::len).product::<usize>().min(most)];
    let section = image.section(&ranges, &mut part, Missing::Zero);
    if image.len() > most {
        section
    } else {
        section.and(image.read(Missing::Median).map(drop)).and(image.read_f64(Missing::Keep).map(drop))
    }
}

fn table(fits: &Fits, index: usize) -> Result<()> {
    let table = fits.table(index)?;
    let mut first = Ok(());
    for field in table.columns().iter().take(8) {
        let name = field.name();
        let result = match table.text(name) {
            Ok(_) => Ok(()),
            Err(_) if field.is_variable() => table.variable(name).map(drop),
            Err(_) => table.column(name).and_then(|a| a.to_f32()).and(table.column_f32(name, Missing::Value(1.0))).map(drop),
        };
        first = first.and(result);
    }
    first
}
