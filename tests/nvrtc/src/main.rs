//! ```text
//! kamacite-nvrtc check [sm_90a ..]  every kernel for every architecture; fails on spills, on instructions that mix.txt forbids or
//!                                   misses, and on an old docs/gpu-status.md
//! kamacite-nvrtc status             writes docs/gpu-status.md
//! kamacite-nvrtc image <file>       the prebuilt image
//! kamacite-nvrtc sources <folder>   the text of every source in a file of its own, for benches/gpu/pack.sh
//! ```

use kamacite::device::Source;
use kamacite_nvrtc::compile::{self, Job};
use kamacite_nvrtc::mix;
use kamacite_nvrtc::sources::{sources, unknown_headers, untaken};
use kamacite_nvrtc::status::{self, Table};
use kamacite_nvrtc::usage::{self, Usage};
use kamacite_nvrtc::{IMAGE, NEW, OLD, compiler};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

/// Kernels that may spill: source, kernel, architecture, reason.
const MAY_SPILL: &[(&str, &str, &str, &str)] = &[
    ("gemm_bf16", "gemm_nt_128_bf16", "sm_100", "not launched there: from 8.0 on, tensor cores multiply bf16"),
    ("gemm_f16", "gemm_nt_128_f16", "sm_100", "not launched there: from 7.5 on, tensor cores multiply f16"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["compile", library, source, architecture] => compile::alone(Path::new(library), source, architecture),
        ["check", only @ ..] => check(only),
        ["status"] => write_status(),
        ["image", file] => image(Path::new(file)),
        ["sources", folder] => write_sources(Path::new(folder)),
        _ => Err("usage: kamacite-nvrtc check [sm_90a ..] | status | image <file> | sources <folder>".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn check(only: &[&str]) -> Result<(), String> {
    let unknown = unknown_headers()?.into_iter().map(|name| format!("HEADERS in src/device/nvrtc.rs lacks {name}"));
    let untaken =
        untaken()?.into_iter().map(|name| format!("kernels/{name}: no constant in src/ takes it, so nothing launches it"));
    let (mut failures, mut skipped) = (unknown.chain(untaken).collect::<Vec<_>>(), Vec::new());
    for (major, architectures) in [(13, NEW), (12, OLD)] {
        let chosen: Vec<&str> = architectures.iter().copied().filter(|a| only.is_empty() || only.contains(a)).collect();
        if chosen.is_empty() {
            continue;
        }
        match compiled(major, &chosen) {
            Ok(table) => {
                println!("{}", table.summary());
                failures.extend(table.failures.iter().cloned());
                failures.extend(spills(&table));
                if let Some(why) = &table.not_disassembled {
                    skipped.push(format!("instructions: {why}"));
                } else {
                    let rows: Vec<mix::Row<'_>> = table
                        .rows()
                        .filter(|row| !row.2.mix.is_empty())
                        .map(|(s, a, u)| (s, u.kernel.as_str(), a, &u.mix))
                        .collect();
                    failures.extend(mix::broken(mix::TABLE, &rows)?);
                    if major == 13 && only.is_empty() && table.failures.is_empty() {
                        failures.extend(status::compare(&table)?);
                    }
                }
            }
            Err(e) => skipped.push(e),
        }
    }
    if !skipped.is_empty() {
        let message = format!("SKIPPED nvrtc: {}", skipped.join("; "));
        println!("{message}");
        if mix::required() {
            failures.push(message);
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("FAILED nvrtc:\n{}", failures.join("\n"))) }
}

/// All sources for these architectures. An error: there is no compiler.
fn compiled(major: i32, architectures: &[&str]) -> Result<Table, String> {
    let nvrtc = compiler(major)?;
    let begun = Instant::now();
    let sources = sources()?;
    let jobs = jobs(&nvrtc, &sources, architectures);
    let mut table = Table::new(nvrtc.version);
    let answers = compile::all(&jobs);
    let mut mixes = disassembled(&jobs, &answers, &mut table);
    for (i, (job, answer)) in jobs.iter().zip(answers).enumerate() {
        let place = |e| format!("{}.cu for {}: {e}", job.source.name, job.architecture);
        let read = answer.and_then(|compiled| {
            let mut usages = usage::read(&compiled.log, &compiled.code).map_err(place)?;
            if let Some(found) = mixes.remove(&i) {
                let mut found = found?;
                for usage in &mut usages {
                    let mix = found.remove(&usage.kernel);
                    usage.mix = mix.ok_or_else(|| place(format!("nvdisasm shows nothing of {}", usage.kernel)))?;
                }
            }
            Ok((usages, compiled.code.len()))
        });
        match read {
            Ok((usages, bytes)) => table.add(job.source.name, job.architecture, usages, bytes),
            Err(e) => table.failures.push(e),
        }
    }
    // Only old cards may lack a kernel.
    if architectures.contains(&"sm_90a") && table.failures.is_empty() {
        let empty = sources.iter().map(|s| s.name).filter(|name| !table.rows().any(|(source, ..)| source == *name));
        table.failures = empty.map(|name| format!("{name}.cu has no kernels")).collect();
    }
    table.seconds = begun.elapsed().as_secs_f64();
    Ok(table)
}

/// What nvdisasm shows of each job's code, by the number of the job, where the architecture is one of those looked at.
fn disassembled(
    jobs: &[Job<'_>],
    answers: &[Result<compile::Compiled, String>],
    table: &mut Table,
) -> HashMap<usize, Result<BTreeMap<String, mix::Mix>, String>> {
    let looked_at = jobs.iter().zip(answers).enumerate().filter(|(_, (job, _))| mix::ARCHITECTURES.contains(&job.architecture));
    let chosen = looked_at.filter_map(|(i, (job, answer))| Some((i, job, answer.as_ref().ok()?)));
    let (numbers, files): (Vec<usize>, Vec<_>) =
        chosen.map(|(i, job, c)| (i, (format!("{}-{}", job.source.name, job.architecture), c.code.as_slice()))).unzip();
    if files.is_empty() {
        return HashMap::new();
    }
    match mix::disassembler() {
        Ok(nvdisasm) => numbers.into_iter().zip(mix::all(&nvdisasm, &files)).collect(),
        Err(e) => {
            table.not_disassembled = Some(e);
            HashMap::new()
        }
    }
}

fn jobs<'a>(nvrtc: &'a kamacite::device::offline::Nvrtc, sources: &[Source], architectures: &[&'a str]) -> Vec<Job<'a>> {
    let of = |source: &Source| {
        let source = *source;
        architectures.iter().map(move |architecture| Job { nvrtc, source, architecture })
    };
    sources.iter().flat_map(of).collect()
}

fn spills(table: &Table) -> Vec<String> {
    let allowed = |(source, architecture, usage): &(&str, &str, &Usage)| {
        MAY_SPILL.iter().any(|(s, kernel, a, _)| (s, kernel, a) == (source, &usage.kernel.as_str(), architecture))
    };
    let forbidden = table.rows().filter(|row| row.2.stores + row.2.loads > 0 && !allowed(row));
    forbidden
        .map(|(source, architecture, u)| {
            let Usage { kernel, registers, stores, loads, .. } = u;
            format!("{source}.cu, {kernel} for {architecture}: spills {stores} bytes, reads {loads} back, {registers} registers")
        })
        .collect()
}

fn write_status() -> Result<(), String> {
    let table = compiled(13, status::COLUMNS)?;
    if let Some(why) = &table.not_disassembled {
        return Err(why.clone());
    }
    if !table.failures.is_empty() {
        return Err(table.failures.join("\n"));
    }
    status::write(&table)
}

fn write_sources(folder: &Path) -> Result<(), String> {
    let place = |e: std::io::Error| format!("{}: {e}", folder.display());
    fs::create_dir_all(folder).map_err(place)?;
    sources()?.iter().try_for_each(|s| fs::write(folder.join(format!("{}.cu", s.name)), s.text)).map_err(place)
}

fn image(file: &Path) -> Result<(), String> {
    let nvrtc = compiler(12)?;
    let begun = Instant::now();
    let sources = sources()?;
    let jobs = jobs(&nvrtc, &sources, IMAGE);
    let made = jobs.iter().zip(compile::all(&jobs)).map(|(job, answer)| Ok(((job.source.name, job.architecture), answer?.code)));
    let made = made.collect::<Result<HashMap<_, _>, String>>()?;
    let raw: usize = made.values().map(Vec::len).sum();
    let bytes = kamacite::device::offline::build(&sources, IMAGE, &mut |source, architecture| {
        Ok(made[&(source.name, architecture)].clone())
    });
    let bytes = bytes.map_err(|e| e.to_string())?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(file, &bytes))
        .map_err(|e| format!("{}: {e}", file.display()))?;
    let (megabytes, seconds) = (|n: usize| n as f64 / 1e6, begun.elapsed().as_secs_f64());
    println!(
        "{}: {} sources for {} architectures, {:.1} MB of {:.1} MB, {nvrtc:?}, {seconds:.0} s",
        file.display(),
        sources.len(),
        IMAGE.len(),
        megabytes(bytes.len()),
        megabytes(raw)
    );
    Ok(())
}
