//! gallery pack FROM FOLDER OPTIONS: packs a folder of class folders, or a file of lines `filename,label`, into shuffled shards with checksums.
//!
//! --seed 0           order of the samples
//! --storage f32      or f16, i16, u8
//! --prepare FILE     the steps as JSON, what `serde_json` makes of a `Prepare`; without it files are taken as they are
//! --astronomy        the preprocessing of the course instead: percentiles 1 to 99, logarithm, 0 to 1
//! --skip             leaves files out that cannot be read, and names them

use kamacite::data::shards::{Packing, Storage, pack};
use kamacite::data::{Files, OnBad, Prepare};
use kamacite::{Error, Result};
use std::ffi::OsString;
use std::path::PathBuf;

/// Packs as the arguments say, and prints what came of it.
///
/// # Errors
/// Other arguments; what reading and writing meet.
pub fn run(arguments: Vec<OsString>) -> Result<()> {
    let wrong = |e: pico_args::Error| {
        Error::value("gallery pack", "arguments").got(e).hint("gallery pack FROM FOLDER [--seed N] [--storage f16]")
    };
    let mut args = pico_args::Arguments::from_vec(arguments);
    let seed = args.opt_value_from_str("--seed").map_err(wrong)?.unwrap_or(0);
    let storage: Option<String> = args.opt_value_from_str("--storage").map_err(wrong)?;
    let storage = match storage.as_deref().unwrap_or("f32") {
        "f32" => Storage::F32,
        "f16" => Storage::F16,
        "i16" => Storage::I16,
        "u8" => Storage::U8,
        other => return Err(Error::value("gallery pack", "--storage").expected("f32, f16, i16 or u8").got(other)),
    };
    let file: Option<PathBuf> = args.opt_value_from_str("--prepare").map_err(wrong)?;
    let prepare = match (file, args.contains("--astronomy")) {
        (Some(file), _) => {
            let text = std::fs::read(&file).map_err(|e| Error::io(&file, e))?;
            serde_json::from_slice(&text).map_err(|e| Error::format(file.display(), "no list of steps").got(e))?
        }
        (None, true) => Prepare::astronomy(),
        (None, false) => Prepare::new(),
    };
    let on_bad = if args.contains("--skip") { OnBad::Skip } else { OnBad::Stop };
    let from: PathBuf = args.free_from_str().map_err(wrong)?;
    let folder: PathBuf = args.free_from_str().map_err(wrong)?;
    if let Some(rest) = args.finish().first() {
        return Err(Error::value("gallery pack", "unknown argument").got(rest.to_string_lossy()));
    }
    let files = if from.is_dir() { Files::folders(&from) } else { Files::labels(&from) };
    let data = files.prepare(prepare).on_bad(on_bad).open()?;
    let packed = pack(&data, &folder, &Packing::new(seed).storage(storage))?;
    packed.skipped.iter().for_each(|reason| eprintln!("left out: {reason}"));
    println!(
        "RESULT samples={} shards={} bytes={} skipped={}",
        packed.samples,
        packed.shards,
        packed.bytes,
        packed.skipped.len()
    );
    Ok(())
}
