//! Which keywords are a world coordinate system, and what becomes of them where an image is scaled.

use super::cards::records;
use super::header::{Header, RECORD, Value, name};
use crate::{Error, Result};

/// Keywords without an index; each may carry the letter of an alternative description.
const PLAIN: [&str; 17] = [
    "WCSAXES", "WCSNAME", "LONPOLE", "LATPOLE", "RADESYS", "EQUINOX", "SPECSYS", "SSYSOBS", "SSYSSRC", "VELOSYS", "ZSOURCE",
    "VELANGL", "RESTFRQ", "RESTWAV", "VELREF", "CNAME", "TIMESYS",
];
/// Keywords without any ending.
const WHOLE: [&str; 22] = [
    "RADECSYS", "EPOCH", "RESTFREQ", "DATE-OBS", "DATE-AVG", "DATE-BEG", "DATE-END", "DATEREF", "MJD-OBS", "MJD-AVG", "MJD-BEG",
    "MJD-END", "MJDREF", "MJDREFI", "MJDREFF", "JDREF", "TREFPOS", "TIMEUNIT", "OBSGEO-X", "OBSGEO-Y", "OBSGEO-Z", "DC-FLAG",
];
/// Keywords with the number of an axis.
const AXIS: [&str; 11] = ["CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT", "CROTA", "CNAME", "CRDER", "CSYER", "CZPHS", "CPERI"];
/// Keywords with two numbers.
const PAIR: [&str; 8] = ["PC", "CD", "PV", "PS", "A_", "B_", "AP_", "BP_"];

/// Whether a keyword describes coordinates. Tables of distortions (`CPDIS`, `D2IM`) are not among them: they name other HDUs.
pub(super) fn is_wcs(name: &str) -> bool {
    let plain = |p: &&str| name.strip_prefix(*p).is_some_and(alternative);
    let axis = |p: &&str| name.strip_prefix(*p).and_then(number).is_some_and(|(_, rest)| alternative(rest));
    let order = matches!(name, "A_ORDER" | "B_ORDER" | "AP_ORDER" | "BP_ORDER" | "A_DMAX" | "B_DMAX");
    WHOLE.contains(&name)
        || PLAIN.iter().any(plain)
        || AXIS.iter().any(axis)
        || order
        || PAIR.iter().any(|p| pair(name, p).is_some())
}

fn alternative(rest: &str) -> bool {
    rest.is_empty() || (rest.len() == 1 && rest.as_bytes()[0].is_ascii_uppercase())
}

fn number(text: &str) -> Option<(usize, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

/// Both numbers of a keyword with two, and the letter behind them.
pub(super) fn pair<'a>(name: &'a str, prefix: &str) -> Option<(usize, usize, &'a str)> {
    let (i, rest) = number(name.strip_prefix(prefix)?)?;
    let (j, rest) = number(rest.strip_prefix('_')?)?;
    alternative(rest).then_some((i, j, rest))
}

/// The number of an axis and the letter behind it.
pub(super) fn axis<'a>(name: &'a str, prefix: &str) -> Option<(usize, &'a str)> {
    let (i, rest) = number(name.strip_prefix(prefix)?)?;
    alternative(rest).then_some((i, rest))
}

/// The records of a header's coordinates for pixels that are finer by `factors`. Pixel p becomes f·(p − ½) + ½: the edges of the image stay.
pub(super) fn scaled(header: &Header, factors: &[f64]) -> Result<Vec<[u8; RECORD]>> {
    let factor = |axis: usize| axis.checked_sub(1).and_then(|i| factors.get(i)).copied().unwrap_or(1.0);
    let names: Vec<&str> = header.wcs_cards().map(name).collect();
    if names.iter().any(|n| ["A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER"].contains(n)) {
        let e = Error::unsupported("fits header", "SIP distortions are polynomials of pixels, which cannot be scaled");
        return Err(e.hint("write the image without them, or at the size it has"));
    }
    let (mut out, mut diagonal) = (Vec::new(), Vec::new());
    for raw in header.wcs_cards() {
        let key = name(raw);
        // With a matrix, it carries the size of a pixel; CDELT is left alone then.
        let matrix =
            |letter: &str| names.iter().any(|n| ["PC", "CD"].iter().any(|p| pair(n, p).is_some_and(|(.., l)| l == letter)));
        let new = if let Some((i, _)) = axis(key, "CRPIX") {
            header.get::<f64>(key).map(|p| factor(i) * (p - 0.5) + 0.5)
        } else if let Some((i, letter)) = axis(key, "CDELT") {
            header.get::<f64>(key).filter(|_| !matrix(letter)).map(|d| d / factor(i))
        } else if let Some((i, j, letter)) = pair(key, "PC").or_else(|| pair(key, "CD")) {
            if key.starts_with("PC") {
                diagonal.push((i, j, letter));
            }
            header.get::<f64>(key).map(|m| m / factor(j))
        } else {
            None
        };
        match new {
            Some(x) => out.extend(records(key, &Value::Float(x), "")?),
            None => out.push(*raw),
        }
    }
    // Elements of PC that are left out are those of the identity.
    for letter in diagonal.iter().map(|d| d.2).collect::<std::collections::BTreeSet<_>>() {
        for i in (1..=factors.len()).filter(|&i| factor(i) != 1.0 && !diagonal.contains(&(i, i, letter))) {
            out.extend(records(&format!("PC{i}_{i}{letter}"), &Value::Float(1.0 / factor(i)), "")?);
        }
    }
    Ok(out)
}
