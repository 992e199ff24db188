//! gallery NAME OPTIONS: runs one system; `gallery list` names them, `gallery data NAME NUMBER SEED FOLDER` writes a generated sky as NPY,
//! `gallery pack FROM FOLDER` packs a folder of files into shards,
//! `gallery quality check|watch --help` tells how to judge frames.

use kamacite::{Error, Result};
use kamacite_gallery::options::Options;
use kamacite_gallery::{pack, sky, system};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let name = arguments.next().unwrap_or_default().to_string_lossy().into_owned();
    let mut rest: Vec<_> = arguments.collect();
    if name == "quality" {
        match rest.first().and_then(|word| word.to_str()) {
            Some("check" | "watch") => std::process::exit(system::quality_watch::command(rest)),
            Some("train") => drop(rest.remove(0)),
            _ => {}
        }
    }
    match name.as_str() {
        "list" => system::SYSTEMS.iter().for_each(|s| println!("{:<14} {}", s.name, s.what)),
        "data" => sky::write(&rest)?,
        "pack" => pack::run(rest)?,
        name => {
            let found = system::SYSTEMS.iter().find(|s| s.name == name);
            let system =
                found.ok_or_else(|| Error::value("gallery", "name of a system").expected("one of `gallery list`").got(name))?;
            (system.run)(&Options::of(rest, system.epochs)?)?;
        }
    }
    Ok(())
}
