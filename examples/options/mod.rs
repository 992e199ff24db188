//! What the examples have in common: a few options, and signals that finish the batch and save.
// Each example uses a part.
#![allow(dead_code)]

use kamacite::{CsvLog, Device, Error, JsonLines, Monitor, Precision, Profile, Progress, Result, StopHandle, Tee};
use std::path::PathBuf;

/// The options of an example. `--help` prints them.
pub struct Options {
    /// `--data PATH`: the user's own files instead of the example's.
    pub data: Option<PathBuf>,
    /// `--epochs N`.
    pub epochs: u64,
    /// `--seed N`.
    pub seed: u64,
    /// `--seeds N`: repeat with so many seeds.
    pub seeds: u64,
    /// `--out DIR`: where files are written.
    pub out: PathBuf,
    /// `--resume auto`: go on from the checkpoint in the output folder, if there is one.
    pub resume: bool,
    /// `--profile`: before training, where the time of a step goes.
    pub profile: bool,
    /// `--smoke`: a run of seconds, for tests.
    pub smoke: bool,
    /// `--device auto|cpu|cuda:N`; `--threads N` for the CPU with so many threads. The best device without them.
    pub device: Device,
    /// `--precision fp32|tf32|fp32x3|bf16|fp16`; fp64 on the CPU.
    pub precision: Precision,
}

impl Options {
    /// Reads the command line; `epochs` in a full and in a smoke run where nothing is said.
    pub fn parse(epochs: (u64, u64)) -> Result<Self> {
        Self::of(std::env::args_os().skip(1).collect(), epochs)
    }

    /// The same from these arguments.
    pub fn of(arguments: Vec<std::ffi::OsString>, (epochs, smoke_epochs): (u64, u64)) -> Result<Self> {
        let mut args = pico_args::Arguments::from_vec(arguments);
        if args.contains(["-h", "--help"]) {
            println!(
                "options: --data PATH --epochs N --seed N --seeds N --device auto|cpu|cuda:N\n         --threads N --precision fp32|tf32|fp32x3|bf16|fp16|fp64 --out DIR --resume auto --profile --smoke"
            );
            std::process::exit(0);
        }
        let wrong = |e: pico_args::Error| Error::value("command line", e).hint("--help lists the options");
        let smoke = args.contains("--smoke");
        let threads: Option<usize> = args.opt_value_from_str("--threads").map_err(wrong)?;
        let device: Option<String> = args.opt_value_from_str("--device").map_err(wrong)?;
        let precision: Option<String> = args.opt_value_from_str("--precision").map_err(wrong)?;
        let resume: Option<String> = args.opt_value_from_str("--resume").map_err(wrong)?;
        let options = Self {
            data: args.opt_value_from_str("--data").map_err(wrong)?,
            epochs: args.opt_value_from_str("--epochs").map_err(wrong)?.unwrap_or(if smoke { smoke_epochs } else { epochs }),
            seed: args.opt_value_from_str("--seed").map_err(wrong)?.unwrap_or(1),
            seeds: args.opt_value_from_str("--seeds").map_err(wrong)?.unwrap_or(1),
            out: args.opt_value_from_str("--out").map_err(wrong)?.unwrap_or_else(|| PathBuf::from("out")),
            resume: resume.is_some(),
            profile: args.contains("--profile"),
            smoke,
            device: match (device.as_deref(), threads) {
                (None | Some("cpu"), Some(threads)) => Device::cpu_threads(threads)?,
                (Some(name), None) => name.parse()?,
                (None, None) => Device::auto(),
                (Some(name), Some(_)) => {
                    return Err(Error::value("command line", "--threads is for the CPU").got(format!("--device {name}")));
                }
            },
            precision: precision.map_or(Ok(Precision::FP32), |name| name.parse())?,
        };
        if let Some(rest) = args.finish().first() {
            return Err(Error::value("command line", "unknown option")
                .got(rest.to_string_lossy())
                .hint("--help lists the options"));
        }
        if let Some(other) = resume.filter(|r| r != "auto") {
            return Err(Error::value("--resume", "what to resume").expected("auto").got(other));
        }
        Ok(options)
    }

    /// With `--profile` prints where the time of a training step goes.
    pub fn show_profile(&self, profile: impl FnOnce() -> Result<Profile>) -> Result<()> {
        if self.profile {
            println!("{}\n", profile()?);
        }
        Ok(())
    }

    /// What a person sees, and the files `history.csv`, `metrics.jsonl` and (with the feature `plot`) the curves and the
    /// confusion matrix as SVG in the output folder.
    pub fn monitor(&self, classes: &[String]) -> Result<Tee> {
        let (csv, json) = (self.file("history.csv")?, self.file("metrics.jsonl")?);
        #[allow(unused_mut)]
        let mut all: Vec<Box<dyn Monitor>> =
            vec![Box::new(Progress::default()), Box::new(CsvLog::new(csv)), Box::new(JsonLines::new(json))];
        #[cfg(feature = "plot")]
        all.push(Box::new(kamacite::Plot::new(&self.out).names(classes)));
        #[cfg(not(feature = "plot"))]
        let _ = classes;
        Ok(Tee(all))
    }

    /// A file in the output folder, which is made when needed.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        std::fs::create_dir_all(&self.out).map_err(|e| Error::io(&self.out, e))?;
        Ok(self.out.join(name))
    }
}

/// SIGINT, SIGTERM and SIGUSR1 (Slurm's warning) finish the batch and save; a second SIGINT ends the program at once.
pub fn stop_on_signals(handle: &StopHandle) -> Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        let register = || {
            signal_hook::flag::register_conditional_shutdown(signal, 130, handle.flag())?;
            signal_hook::flag::register(signal, handle.flag())
        };
        register().map_err(|e| Error::device(format!("signal {signal}"), e))?;
    }
    Ok(())
}
