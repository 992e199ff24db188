//! Writes generated data as `NAME-x.npy` and `NAME-t.npy`, for other programs to read.
//!
//! `cargo run --release --example synth -- galaxies 6000 1 FOLDER`; with `--smoke` ten galaxies into a temporary folder.
//!
//! Expected: two files, and their shapes in the last line.

use kamacite::data::{Dataset, npy, synth};
use kamacite::{Error, Result};
use std::path::Path;

fn main() -> Result<()> {
    let usage =
        || Error::value("synth", "wrong arguments").expected("galaxies|digits|spectra|stars|clusters|ring NUMBER SEED FOLDER");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let temporary = std::env::temp_dir().to_string_lossy().into_owned();
    let smoke = ["galaxies", "10", "1", &temporary].map(String::from);
    let arguments = if arguments == ["--smoke"] { &smoke[..] } else { &arguments[..] };
    let [name, count, seed, folder] = arguments else { return Err(usage()) };
    let (n, seed) = (count.parse().map_err(|_| usage())?, seed.parse().map_err(|_| usage())?);
    let samples = match name.as_str() {
        "galaxies" => synth::galaxies(n, seed),
        "digits" => synth::digits(n, seed),
        "spectra" => synth::spectra(&(0..7).cycle().take(n).collect::<Vec<_>>(), seed),
        "stars" => synth::stars(n, seed),
        "clusters" => synth::clusters(n, 2, seed),
        "ring" => synth::ring(n, 0.05, seed),
        _ => return Err(usage()),
    }?;
    let file = |what: &str| Path::new(folder).join(format!("{name}-{what}.npy"));
    let e = samples.inputs()[0];
    let shape = [samples.len(), e.h, e.w, e.c];
    npy::write(file("x"), &shape, samples.x(0))?;
    match (samples.labels(0), samples.t(0)) {
        (Some(t), _) => npy::write(file("t"), &[t.len()], t)?,
        (_, Some(t)) => npy::write(file("t"), &[t.len()], t)?,
        _ => {}
    }
    println!("RESULT samples={} extent={e}", samples.len());
    Ok(())
}
