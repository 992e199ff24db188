//! `quality check` and `quality watch`: the classifier at work, on the command line and beside the telescope.

use super::quality::Checker;
use kamacite::{Device, Error, Result};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

const HELP: &str = "\
gallery quality train [options of the systems]     writes OUT/quality.safetensors
gallery quality check [options] FILE.fits...       a line for each file: name, class, its probability, all probabilities
gallery quality watch [options] FOLDER             the same for every file in FOLDER and for those that arrive
  --model FILE       out/quality.safetensors by default
  --device cpu|auto|cuda:N, --threads N
  --times            on standard error, milliseconds for each file
 of watch:
  --on-bad CMD       runs `sh -c 'CMD \"$1\"'` with the name of a bad file
  --interval SECONDS how often to look, 1 by default; a file is taken when it has not changed since the last look
  --once             ends when every file of the folder has been judged
ends with 0: all good; 1: some are medium or bad; 2: an error, which standard error tells. Signals end `watch` as if it were done.";

/// Looks at a file that cannot be read, and does not change, before that is an error: a slow camera may pause.
const PATIENCE: u32 = 5;

/// `check` or `watch` with their arguments; the exit status of the program.
pub fn command(arguments: Vec<OsString>) -> i32 {
    match parse(arguments).and_then(|options| options.map_or(Ok(0), run)) {
        Ok(status) => status,
        Err(e) => {
            eprintln!("{e}");
            2
        }
    }
}

struct Options {
    checker: Checker,
    times: bool,
    work: Work,
}

enum Work {
    Check(Vec<PathBuf>),
    Watch { folder: PathBuf, on_bad: Option<String>, interval: Duration, once: bool },
}

fn parse(arguments: Vec<OsString>) -> Result<Option<Options>> {
    let mut args = pico_args::Arguments::from_vec(arguments);
    if args.contains(["-h", "--help"]) {
        println!("{HELP}");
        return Ok(None);
    }
    let wrong = |e: pico_args::Error| Error::value("command line", e).hint("gallery quality check --help lists the options");
    let work = args.subcommand().map_err(wrong)?.unwrap_or_default();
    let model: Option<PathBuf> = args.opt_value_from_str("--model").map_err(wrong)?;
    let device: Option<String> = args.opt_value_from_str("--device").map_err(wrong)?;
    let threads: Option<usize> = args.opt_value_from_str("--threads").map_err(wrong)?;
    let times = args.contains("--times");
    let (on_bad, once) = (args.opt_value_from_str("--on-bad").map_err(wrong)?, args.contains("--once"));
    let interval: f64 = args.opt_value_from_str("--interval").map_err(wrong)?.unwrap_or(1.0);
    let interval = Duration::try_from_secs_f64(interval).map_err(|e| Error::value("--interval", e).got(interval))?;
    let files: Vec<PathBuf> = args.finish().into_iter().map(PathBuf::from).collect();
    let option = |f: &PathBuf| f.to_string_lossy().starts_with('-');
    let work = match (work.as_str(), &files[..]) {
        ("check", [_, ..]) if !files.iter().any(option) => Work::Check(files),
        ("watch", [folder]) if !option(folder) => Work::Watch { folder: folder.clone(), on_bad, interval, once },
        _ => {
            return Err(Error::value("command line", "arguments")
                .expected("check FILE.fits... or watch FOLDER")
                .got(format!("{work} {files:?}"))
                .hint("gallery quality check --help lists the options"));
        }
    };
    let device = match (device.as_deref(), threads) {
        (None | Some("cpu"), Some(threads)) => Device::cpu_threads(threads)?,
        (Some(name), _) => name.parse()?,
        (None, None) => Device::auto(),
    };
    let model = model.unwrap_or_else(|| PathBuf::from("out/quality.safetensors"));
    Ok(Some(Options { checker: Checker::load(&model, device)?, times, work }))
}

fn run(mut o: Options) -> Result<i32> {
    let mut worst = 0;
    match std::mem::replace(&mut o.work, Work::Check(Vec::new())) {
        Work::Check(files) => files.iter().for_each(|file| worst = worst.max(o.line(file, None))),
        Work::Watch { folder, on_bad, interval, once } => {
            let stop = Arc::new(AtomicBool::new(false));
            for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
                let registered = signal_hook::flag::register(signal, stop.clone());
                registered.map_err(|e| Error::device(format!("signal {signal}"), e))?;
            }
            eprintln!("watching {}", folder.display());
            let mut seen = BTreeMap::new();
            while !stop.load(Ordering::Relaxed) {
                for file in arrived(&folder, &mut seen)? {
                    worst = worst.max(o.line(&file, on_bad.as_deref()));
                }
                if once && seen.values().all(|f: &Seen| f.done) {
                    break;
                }
                rest(interval, &stop);
            }
        }
    }
    Ok(worst)
}

impl Options {
    /// Judges a file, prints its line and returns its exit status.
    fn line(&mut self, file: &Path, on_bad: Option<&str>) -> i32 {
        let verdict = match self.checker.judge(file) {
            Ok(verdict) => verdict,
            Err(e) => {
                eprintln!("{e}");
                return 2;
            }
        };
        let classes = self.checker.classes();
        let all: String = classes.iter().zip(&verdict.probabilities).map(|(c, p)| format!(" {c}={p:.3}")).collect();
        let class = &classes[verdict.class];
        println!("{}\t{class}\t{:.3}\t{}", file.display(), verdict.probabilities[verdict.class], all.trim_start());
        if self.times {
            let [read, prepared, predicted] = verdict.times.map(|t| 1e3 * t.as_secs_f64());
            let sum = read + prepared + predicted;
            eprintln!("{}\t{sum:.2} ms: {read:.2} reading, {prepared:.2} preparing, {predicted:.2} predicting", file.display());
        }
        if class == "bad"
            && let Some(on_bad) = on_bad
        {
            let status = Command::new("sh").arg("-c").arg(format!("{on_bad} \"$1\"")).arg("sh").arg(file).status();
            match status {
                Ok(status) if status.success() => {}
                Ok(status) => eprintln!("{on_bad} {}: {status}", file.display()),
                Err(e) => eprintln!("{on_bad} {}: {e}", file.display()),
            }
        }
        i32::from(class != "good")
    }
}

/// What is known of a file in the folder.
struct Seen {
    state: (u64, Option<SystemTime>),
    looks: u32,
    done: bool,
}

/// The files that are there in full since the last look, in the order of their names. A file that goes and comes back is new.
fn arrived(folder: &Path, seen: &mut BTreeMap<PathBuf, Seen>) -> Result<Vec<PathBuf>> {
    let mut now = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        // Between both calls a file may go.
        let Ok(about) = entry.metadata() else { continue };
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if about.is_file()
            && !name.starts_with('.')
            && [".fits", ".fit", ".fts", ".fits.gz"].iter().any(|end| name.ends_with(end))
        {
            now.insert(entry.path(), (about.len(), about.modified().ok()));
        }
    }
    seen.retain(|path, _| now.contains_key(path));
    let mut ready = Vec::new();
    for (path, state) in now {
        let file = seen.entry(path.clone()).or_insert(Seen { state, looks: 0, done: false });
        if file.state != state {
            *file = Seen { state, looks: 0, done: false };
        }
        // FITS files come in blocks of 2880 bytes; one that ends inside of a block is still being written, or will stay broken.
        let whole = state.0 > 0 && (state.0.is_multiple_of(2880) || path.extension().is_some_and(|e| e == "gz"));
        if !file.done && (file.looks >= PATIENCE || (whole && file.looks >= 1)) {
            file.done = true;
            ready.push(path);
        }
        file.looks = file.looks.saturating_add(1);
    }
    Ok(ready)
}

/// Sleeps, but not through a signal.
fn rest(interval: Duration, stop: &AtomicBool) {
    let until = Instant::now() + interval;
    while !stop.load(Ordering::Relaxed) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20).min(until.saturating_duration_since(Instant::now())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_once_when_it_is_whole() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (file, mut seen) = (dir.path().join("a.fits"), BTreeMap::new());
        let mut look = || arrived(dir.path(), &mut seen).expect("a folder");
        std::fs::write(dir.path().join("notes.txt"), [0; 2880]).expect("a file");
        std::fs::write(&file, [0; 2880]).expect("a file");
        assert!(look().is_empty(), "it may still grow");
        std::fs::write(&file, [0; 2881]).expect("a file");
        assert!(look().is_empty() && look().is_empty(), "a part of a block");
        std::fs::write(&file, [0; 5760]).expect("a file");
        assert!(look().is_empty());
        assert_eq!(look(), std::slice::from_ref(&file));
        assert!(look().is_empty(), "once is enough");
        std::fs::remove_file(&file).expect("the file");
        assert!(look().is_empty());
        std::fs::write(&file, [0; 100]).expect("a file");
        // Broken for good: told in the end.
        assert_eq!((0..PATIENCE + 2).map(|_| look().len()).sum::<usize>(), 1);
    }
}
