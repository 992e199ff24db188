//! The instructions that a kernel is made of, as nvdisasm shows its machine code, and what `tests/nvrtc/mix.txt` asks of them.

use crate::folder;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

/// Architectures whose machine code is disassembled.
pub const ARCHITECTURES: &[&str] = &["sm_80", "sm_90a"];

/// How often each opcode with its modifiers (`LDG.E.128.CONSTANT`) is in a kernel.
pub type Mix = BTreeMap<String, u32>;

/// What the document shows, in this order.
const SHOWN: [&str; 15] = [
    "HGMMA",
    "HMMA",
    "UTMALDG",
    "UTMASTG",
    "USETMAXREG",
    "SYNCS",
    "LDGSTS.128",
    "LDGSTS",
    "LDSM",
    "LDG.128",
    "LDG",
    "STG.128",
    "STG",
    "LDL",
    "STL",
];

/// Whether an instruction (`LDG.E.128.CONSTANT`) has this opcode and at least these modifiers (`LDG.128`).
fn fits(what: &str, name: &str) -> bool {
    let (mut wanted, mut parts) = (what.split('.'), name.split('.'));
    let same = wanted.next() == parts.next();
    let modifiers: Vec<&str> = parts.collect();
    same && wanted.all(|m| modifiers.contains(&m))
}

/// How many instructions of a kind there are.
pub fn count(mix: &Mix, what: &str) -> u32 {
    mix.iter().filter(|(name, _)| fits(what, name)).map(|(_, n)| n).sum()
}

/// The instructions that say most about a kernel, each by the first kind that fits: `LDG` are those that are no `LDG.128`.
pub fn summary(mix: &Mix) -> String {
    let mut counts = [0; SHOWN.len()];
    for (name, n) in mix {
        if let Some(i) = SHOWN.iter().position(|what| fits(what, name)) {
            counts[i] += n;
        }
    }
    let shown = SHOWN.iter().zip(counts).filter(|(_, n)| *n > 0);
    shown.map(|(what, n)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
}

/// From what nvdisasm prints: the mix of each section of code.
pub fn read(text: &str) -> BTreeMap<String, Mix> {
    let mut all: BTreeMap<String, Mix> = BTreeMap::new();
    let mut section = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix(".section").filter(|rest| rest.starts_with(char::is_whitespace)) {
            section = rest.trim().split(',').next().and_then(|name| name.strip_prefix(".text."));
        }
        let (Some(kernel), Some(instruction)) = (section, line.strip_prefix("/*").and_then(|l| l.split_once("*/"))) else {
            continue;
        };
        let mut words = instruction.1.split_whitespace().skip_while(|word| word.starts_with('@'));
        if let Some(opcode) = words.next().map(|word| word.trim_end_matches(';')).filter(|word| !word.is_empty()) {
            *all.entry(kernel.into()).or_default().entry(opcode.into()).or_default() += 1;
        }
    }
    all
}

/// Where `tests/nvrtc.sh` installs nvdisasm.
pub fn disassembler() -> Result<PathBuf, String> {
    let pythons = fs::read_dir(folder().join("lib")).into_iter().flatten().flatten();
    let mut files = pythons.map(|entry| entry.path().join("site-packages/nvidia/cu13/bin/nvdisasm"));
    files.find(|file| file.exists()).ok_or_else(|| format!("no nvdisasm in {}", folder().display()))
}

/// The mixes in a file of machine code; kept beside it in the cache, by a name that follows from its bytes and this reader.
fn of_file(nvdisasm: &Path, name: &str, code: &[u8]) -> Result<BTreeMap<String, Mix>, String> {
    let sum = code
        .iter()
        .chain(include_bytes!("mix.rs"))
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    let kept = folder().join("cache").join(format!("{name}-{sum:016x}.mix"));
    if let Some(found) = fs::read(&kept).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Ok(found);
    }
    let place = |e: &dyn std::fmt::Display| format!("{name}: {e}");
    let beside = kept.with_extension(format!("{}.cubin", std::process::id()));
    fs::write(&beside, code).map_err(|e| place(&e))?;
    let output = Command::new(nvdisasm).arg("-c").arg(&beside).output();
    let removed = fs::remove_file(&beside);
    let output = output.and_then(|output| removed.map(|()| output)).map_err(|e| place(&e))?;
    if !output.status.success() {
        return Err(place(&format!("nvdisasm: {}", String::from_utf8_lossy(&output.stderr))));
    }
    let found = read(&String::from_utf8_lossy(&output.stdout));
    let text = serde_json::to_vec(&found).map_err(|e| place(&e))?;
    let beside = kept.with_extension(std::process::id().to_string());
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, &kept)).map_err(|e| place(&e))?;
    Ok(found)
}

/// The mixes in each of these files (a name and machine code), as many at a time as there are processors.
pub fn all(nvdisasm: &Path, files: &[(String, &[u8])]) -> Vec<Result<BTreeMap<String, Mix>, String>> {
    let next = AtomicUsize::new(0);
    let answers: Vec<Mutex<Option<_>>> = files.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((i, (name, code))) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, files.get(i)?)))
                {
                    if let Ok(mut answer) = answers[i].lock() {
                        *answer = Some(of_file(nvdisasm, name, code));
                    }
                }
            });
        }
    });
    let lost = || Err("not disassembled".into());
    answers.into_iter().map(|answer| answer.into_inner().ok().flatten().unwrap_or_else(lost)).collect()
}

/// A line of `mix.txt`.
#[derive(Debug)]
struct Rule<'a> {
    line: &'a str,
    sources: &'a str,
    kernels: &'a str,
    architectures: Vec<&'a str>,
    has: Vec<(&'a str, Option<u32>)>,
    lacks: Vec<&'a str>,
}

fn rule(line: &str) -> Result<Rule<'_>, String> {
    let columns: Vec<&str> = line.split('|').map(str::trim).collect();
    let [sources, kernels, architectures, has, lacks] = columns[..] else {
        return Err(format!("mix.txt: five columns in {line:?}"));
    };
    let has = has.split_whitespace().map(|what| match what.split_once('=') {
        None => Ok((what, None)),
        Some((what, n)) => Ok((what, Some(n.parse().map_err(|e| format!("mix.txt: {e} in {line:?}"))?))),
    });
    let (has, lacks) = (has.collect::<Result<Vec<_>, String>>()?, lacks.split_whitespace().collect::<Vec<_>>());
    let architectures: Vec<&str> = architectures.split_whitespace().collect();
    let known = architectures.iter().all(|a| ARCHITECTURES.contains(a)) && !architectures.is_empty();
    if !known || has.is_empty() && lacks.is_empty() {
        return Err(format!("mix.txt: nothing is asked by {line:?}"));
    }
    Ok(Rule { line, sources, kernels, architectures, has, lacks })
}

/// Whether a name is one of these, divided by spaces; `*` stands for any letters.
fn named(patterns: &str, name: &str) -> bool {
    fn fits(pattern: &str, name: &str) -> bool {
        match pattern.split_once('*') {
            None => pattern == name,
            Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
                let ends = name.char_indices().map(|(i, _)| i).chain([name.len()]);
                ends.map(|i| &name[i..]).any(|name| fits(rest, name))
            }),
        }
    }
    patterns.split_whitespace().any(|pattern| fits(pattern, name))
}

/// Source, kernel, architecture, mix.
pub type Row<'a> = (&'a str, &'a str, &'a str, &'a Mix);

/// Where kernels are not made of what the table asks for. A line that speaks of no kernel is a failure, too.
pub fn broken(table: &str, rows: &[Row<'_>]) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let rule = rule(line)?;
        for architecture in &rule.architectures {
            let here = |row: &&Row<'_>| row.2 == *architecture;
            // A run for other architectures.
            if !rows.iter().any(|row| here(&row)) {
                continue;
            }
            let mut kernels =
                rows.iter().filter(here).filter(|row| named(rule.sources, row.0) && named(rule.kernels, row.1)).peekable();
            if kernels.peek().is_none() {
                out.push(format!("mix.txt: no kernel for {architecture} is meant by {:?}", rule.line));
            }
            for (source, kernel, _, mix) in kernels {
                let place = format!("{source}.cu, {kernel} for {architecture}");
                for (what, exactly) in &rule.has {
                    let n = count(mix, what);
                    if exactly.map_or(n == 0, |exactly| n != exactly) {
                        let wanted = exactly.map_or("some are".into(), |n| format!("{n} are"));
                        out.push(format!("{place}: {n} {what}, {wanted} asked for by {:?}", rule.line));
                    }
                }
                let forbidden = rule.lacks.iter().map(|what| (what, count(mix, what))).filter(|(_, n)| *n > 0);
                out.extend(forbidden.map(|(what, n)| format!("{place}: {n} {what}, none are allowed by {:?}", rule.line)));
            }
        }
    }
    Ok(out)
}

/// The table.
pub const TABLE: &str = include_str!("../mix.txt");

/// Whether the variable names something that must not be skipped.
pub fn required() -> bool {
    env::var("KAMACITE_REQUIRE").is_ok_and(|names| names.split(',').any(|name| name == "nvrtc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\t.target\tsm_90a\n\
        \t.section\t.nv.info,\"\",@\"SHT_CUDA_INFO\"\n        /*0000*/ .byte 4\n\
        \t.section\t.text.gemm_bf16,\"ax\",@progbits\n\t.sectioninfo\t@\"SHI_REGISTERS=34\"\ngemm_bf16:\n\
        \x20       /*0000*/                   LDC R1, c[0x0][0x28] ;\n\
        \x20       /*0010*/              @!P2 LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;\n\
        \x20       /*0020*/                   LDG.E.64 R4, desc[UR4][R2.64+0x1280] ;\n\
        \x20       /*0030*/                   USETMAXREG.DEALLOC.CTAPOOL 0x18 ;\n\
        \x20       /*0040*/              @P0  HGMMA.64x256x16.F32.BF16 R24, gdesc[UR8].tnspB, R24, !UPT, gsb0 ;\n\
        .L_x_1:\n        /*0050*/                   HFMA2.MMA R17, -RZ, RZ, 0, 0 ;\n        /*0060*/                   EXIT ;\n\
        \t.section\t.text.sum,\"ax\",@progbits\n        /*0000*/                   EXIT;\n";

    #[test]
    fn instructions_are_counted_by_kernel() {
        let all = read(TEXT);
        assert_eq!(all.keys().collect::<Vec<_>>(), ["gemm_bf16", "sum"]);
        let mix = &all["gemm_bf16"];
        let counts =
            ["LDG.128", "LDG", "LDG.64", "HGMMA", "HGMMA.BF16", "HMMA", "USETMAXREG", "EXIT", "LD"].map(|w| count(mix, w));
        assert_eq!(counts, [1, 2, 1, 1, 1, 0, 1, 1, 0]);
        assert_eq!(count(&all["sum"], "EXIT"), 1, "without a space in front of the semicolon");
        assert_eq!(summary(mix), "1 HGMMA, 1 USETMAXREG, 1 LDG.128, 1 LDG");
        assert!(read("nothing of the kind").is_empty());
    }

    #[test]
    fn every_demand_can_fail() {
        let all = read(TEXT);
        let rows: Vec<Row<'_>> = all.iter().map(|(kernel, mix)| ("gemm", kernel.as_str(), "sm_90a", mix)).collect();
        let broken = |table: &str| broken(table, &rows).unwrap();
        for fine in [
            "gemm | gemm_* | sm_90a | HGMMA LDG.128 USETMAXREG=1 LDG=2 | HMMA LDL STL",
            "# a remark\n\n  other gemm | s* gemm*bf16 | sm_90a sm_80 | EXIT |",
            "* | sum | sm_90a | | HGMMA",
        ] {
            assert_eq!(broken(fine), Vec::<String>::new());
        }
        for (table, found) in [
            ("gemm | gemm_* | sm_90a | HMMA |", "gemm.cu, gemm_bf16 for sm_90a: 0 HMMA, some are asked for"),
            ("gemm | gemm_* | sm_90a | USETMAXREG=2 |", "1 USETMAXREG, 2 are asked for"),
            ("gemm | gemm_* | sm_90a | HMMA=0 LDG=1 |", "2 LDG, 1 are asked for"),
            ("* | * | sm_90a | | HGMMA", "1 HGMMA, none are allowed"),
            ("gemm | gemm | sm_90a | EXIT |", "no kernel for sm_90a"),
            ("gem | * | sm_90a | EXIT |", "no kernel for sm_90a"),
        ] {
            let failures = broken(table);
            assert!(failures.len() == 1 && failures[0].contains(found), "{table}: {failures:?}");
        }
        for wrong in
            ["a | b | sm_90a | c", "a | b | | c | d", "a | b | sm_70 | c | d", "a | b | sm_80 | |", "a | b | sm_80 | c=x |"]
        {
            assert!(super::broken(wrong, &rows).is_err(), "{wrong}");
        }
        assert_eq!(super::broken("a | b | sm_80 | c |", &rows).unwrap(), Vec::<String>::new(), "nothing was compiled for sm_80");
    }

    #[test]
    fn the_table_is_read() {
        assert!(broken(TABLE, &[]).unwrap().is_empty());
    }
}
