//! Numbers in text, as C, Fortran and Python write them.

/// A number; `None` for anything else. The text of a missing value is NaN.
pub(crate) fn parse(token: &[u8]) -> Option<f32> {
    let text = std::str::from_utf8(token).ok()?;
    match text.parse() {
        Ok(x) => Some(x),
        Err(_) if missing(token) => Some(f32::NAN),
        Err(_) => fortran(token),
    }
}

/// The ways in which programs write that there is no value; a field of asterisks is one that was too narrow in Fortran.
fn missing(token: &[u8]) -> bool {
    const MARKS: [&str; 8] = ["na", "n/a", "null", "none", "?", "-", "--", "masked"];
    token.iter().all(|&b| b == b'*') || MARKS.iter().any(|m| token.eq_ignore_ascii_case(m.as_bytes()))
}

/// 1.5D+03, and 1.5-103 where three digits left no room for the letter.
fn fortran(token: &[u8]) -> Option<f32> {
    let mut text = [0; 48];
    let mut len = 0;
    for (i, &b) in token.iter().enumerate() {
        let b = if matches!(b, b'd' | b'D' | b'q' | b'Q') { b'e' } else { b };
        // Only after a decimal point: 2024-01 is a date.
        let bare = matches!(b, b'+' | b'-') && token[..i].contains(&b'.') && !token[i - 1].is_ascii_alphabetic();
        for b in bare.then_some(b'e').into_iter().chain([b]) {
            *text.get_mut(len)? = b;
            len += 1;
        }
    }
    // What remains must be a number proper: no words like "infinity" by way of the letter.
    let number = |b: &u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
    text[..len].iter().all(number).then(|| std::str::from_utf8(&text[..len]).ok()?.parse().ok())?
}

/// A class index: a whole number of at least 0, also as 2.0 or 2.000000e+00.
pub(crate) fn index(token: &[u8]) -> Option<u32> {
    let x: f64 = std::str::from_utf8(token).ok()?.parse().ok()?;
    (x >= 0.0 && x <= f64::from(u32::MAX) && x.fract() == 0.0).then_some(x as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_languages() {
        let cases = [
            ("1", 1.0),
            ("-.5", -0.5),
            ("+2.", 2.0),
            ("1.000000000000000000e+00", 1.0),
            ("1.5D+03", 1500.0),
            ("1.5d3", 1500.0),
            ("0.15-10", 0.15e-10),
            ("-1.5+010", -1.5e10),
            ("1e999", f32::INFINITY),
        ];
        for (text, x) in cases {
            assert_eq!(parse(text.as_bytes()), Some(x), "{text}");
        }
        for text in ["nan", "NaN", "NA", "?", "****", "", "n/a", "None"] {
            assert!(parse(text.as_bytes()).is_some_and(f32::is_nan), "{text}");
        }
        for text in
            ["a", "1.2.3", "1,5", "0x10", "2024-01", "1e", "e5", "--1", "d", "1-", "\u{661}", &"1".repeat(60).replace('1', "d")]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(
            [index(b"2"), index(b"2.000e+00"), index(b"-1"), index(b"1.5"), index(b"4294967296"), index(b"x")],
            [Some(2), Some(2), None, None, None, None]
        );
    }
}
