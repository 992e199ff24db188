//! Compiles many sources for many architectures: NVRTC does one at a time in a process, so this program starts itself again
//! for each. What was compiled before is kept beside the compilers.

use crate::folder;
use crate::sources::sources;
use kamacite::device::Source;
use kamacite::device::offline::{Nvrtc, texts};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

/// One source for one architecture.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The compiler.
    pub nvrtc: &'a Nvrtc,
    /// What to compile.
    pub source: Source,
    /// What for.
    pub architecture: &'a str,
}

/// Machine code or PTX, and the compiler's log.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What a driver loads.
    pub code: Vec<u8>,
    /// With a report on each kernel.
    pub log: String,
}

impl Job<'_> {
    /// Files of the code and the log. Their name follows from everything they depend on.
    fn files(&self) -> [PathBuf; 2] {
        // Patch releases tell themselves apart by nothing but their size.
        let library = fs::metadata(&self.nvrtc.path).map_or(0, |m| m.len());
        let name = format!("{}-{}-{library}-{:016x}", self.source.name, self.architecture, texts(&self.source));
        [folder().join("cache").join(format!("{name}.bin")), folder().join("cache").join(format!("{name}.log"))]
    }

    fn cached(&self) -> Option<Compiled> {
        let [code, log] = self.files();
        // The code is written last.
        Some(Compiled { code: fs::read(code).ok()?, log: fs::read_to_string(log).ok()? })
    }

    fn run(&self) -> Result<Compiled, String> {
        if let Some(compiled) = self.cached() {
            return Ok(compiled);
        }
        let place = format!("{}.cu for {}", self.source.name, self.architecture);
        let program = env::current_exe().map_err(|e| e.to_string())?;
        let mut command = Command::new(program);
        command.arg("compile").arg(&self.nvrtc.path).arg(self.source.name).arg(self.architecture);
        let output = command.output().map_err(|e| format!("{place}: {e}"))?;
        if !output.status.success() {
            return Err(format!("{place}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
        }
        self.cached().ok_or_else(|| format!("{place}: nothing came back"))
    }
}

/// `compile <library> <source> <architecture>`: one job, in a process of its own.
pub fn alone(library: &Path, source: &str, architecture: &str) -> Result<(), String> {
    let nvrtc = Nvrtc::load(library).ok_or_else(|| format!("{} is not NVRTC", library.display()))?;
    let source = sources()?.into_iter().find(|s| s.name == source).ok_or_else(|| format!("no kernels/{source}.cu"))?;
    let (code, log) = nvrtc.compile(&source, architecture).map_err(|e| e.to_string())?;
    let files = Job { nvrtc: &nvrtc, source, architecture }.files();
    let [code_file, log_file] = &files;
    fs::create_dir_all(folder().join("cache")).map_err(|e| e.to_string())?;
    for (file, bytes) in [(log_file, log.as_bytes()), (code_file, &code)] {
        let beside = file.with_extension(std::process::id().to_string());
        fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, file)).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(())
}

/// All jobs, as many at a time as there are processors; the answers in the order of the jobs.
pub fn all(jobs: &[Job<'_>]) -> Vec<Result<Compiled, String>> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(vec![None; jobs.len()]);
    let work = || {
        while let Some((i, job)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, jobs.get(i)?))) {
            let answer = job.run();
            answers.lock().unwrap_or_else(PoisonError::into_inner)[i] = Some(answer);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err("not compiled".into()))).collect()
}
