//! Compiles runtime/*.cpp into one shared library. Without a C++ compiler the crate still builds and says why it has none.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=runtime");
    println!("cargo:rerun-if-changed=include");
    println!("cargo:rerun-if-env-changed=CXX");
    let (library, why) = match build() {
        Ok(path) => (path.display().to_string(), String::new()),
        Err(why) => {
            println!("cargo:warning=no emulator: {}", why.lines().next().unwrap_or_default());
            (String::new(), why)
        }
    };
    println!("cargo:rustc-env=KAMACITE_EMULATOR_LIBRARY={library}");
    println!("cargo:rustc-env=KAMACITE_EMULATOR_MISSING={}", why.replace('\n', " | "));
}

fn build() -> Result<PathBuf, String> {
    let out = PathBuf::from(env::var("OUT_DIR").map_err(|e| e.to_string())?);
    println!("cargo:rustc-env=KAMACITE_EMULATOR_CACHE={}", out.join("kernels").display());
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?);
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut sources: Vec<PathBuf> = fs::read_dir(here.join("runtime"))
        .map_err(|e| e.to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "cpp"))
        .collect();
    sources.sort();

    // All at once: the compiler is what takes the time.
    let mut running = Vec::new();
    for source in &sources {
        let object = out.join(source.file_stem().unwrap_or_default()).with_extension("o");
        let mut command = Command::new(&compiler);
        command.args(["-std=c++17", "-O3", "-g1", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-U_FORTIFY_SOURCE", "-Wall"]);
        command.args(machine_options());
        command.arg(format!("-DKAMACITE_EMULATOR_INCLUDE=\"{}\"", here.join("include").display()));
        command.arg("-DKAMACITE_EMULATOR_RUNTIME").arg("-c").arg(source).arg("-o").arg(&object);
        let child = command.stderr(std::process::Stdio::piped()).spawn();
        running.push((object, child.map_err(|e| format!("the C++ compiler {compiler} does not start: {e}"))?));
    }
    let mut objects = Vec::new();
    for (object, child) in running {
        check(child.wait_with_output().map_err(|e| e.to_string())?)?;
        objects.push(object);
    }
    // Kernels are cached under the compiler's path: with the sources' hash in it, an old cache is never taken for a new one.
    let library = out.join(format!("libkamacite_emulator-{:016x}.so", hash(&here)?));
    link(&compiler, &objects, &library)?;
    Ok(library)
}

// The soname is what cudarc asks the loader for first: once the library is loaded by its path, cudarc finds it by that name,
// even on a machine with a real driver.
fn link(compiler: &str, objects: &[PathBuf], library: &Path) -> Result<(), String> {
    let mut command = Command::new(compiler);
    command.args(["-shared", "-pthread", "-Wl,-soname,libcuda.so", "-Wl,-z,defs", "-o"]).arg(library).args(objects).arg("-ldl");
    check(command.output().map_err(|e| e.to_string())?)
}

fn hash(here: &Path) -> Result<u64, String> {
    let mut files = Vec::new();
    for folder in ["include", "runtime"] {
        let entries = fs::read_dir(here.join(folder)).map_err(|e| e.to_string())?;
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    let mut sum = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
    for file in files {
        for byte in fs::read(file).map_err(|e| e.to_string())? {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    Ok(sum)
}

fn check(output: std::process::Output) -> Result<(), String> {
    let log = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        for line in log.lines().filter(|l| l.contains("warning:")) {
            println!("cargo:warning={line}");
        }
        return Ok(());
    }
    Err(format!("the C++ compiler failed: {log}"))
}

fn machine_options() -> &'static [&'static str] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        return &["-march=x86-64-v3"];
    }
    &[]
}
