//! `docs/gpu-status.md`: what each kernel has been run on, and what the compiler makes of it.

use crate::mix::summary;
use crate::usage::Usage;
use crate::{repository, target};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

/// Architectures in the document.
pub const COLUMNS: &[&str] = &["sm_75", "sm_80", "sm_90a", "sm_120"];

const FILE: &str = "docs/gpu-status.md";

/// What came of compiling every source for some architectures.
#[derive(Clone, Debug, Default)]
pub struct Table {
    nvrtc: (i32, i32),
    /// By source and kernel, then by architecture.
    kernels: BTreeMap<(String, String), BTreeMap<String, Usage>>,
    /// Bytes of all sources for an architecture.
    bytes: BTreeMap<String, usize>,
    /// Why there are no instructions, where they are wanted.
    pub not_disassembled: Option<String>,
    /// What did not compile, in words.
    pub failures: Vec<String>,
    /// All of it took.
    pub seconds: f64,
}

impl Table {
    /// With a compiler of this version.
    pub fn new(nvrtc: (i32, i32)) -> Self {
        Self { nvrtc, ..Self::default() }
    }

    /// The kernels of a source for an architecture, and the length of the file with their code.
    pub fn add(&mut self, source: &str, architecture: &str, usages: Vec<Usage>, bytes: usize) {
        *self.bytes.entry(architecture.into()).or_default() += bytes;
        for usage in usages {
            let key = (source.to_string(), usage.kernel.clone());
            self.kernels.entry(key).or_default().insert(architecture.into(), usage);
        }
    }

    /// Source, architecture, usage.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &str, &Usage)> {
        self.kernels.iter().flat_map(|((source, _), by)| by.iter().map(move |(a, usage)| (source.as_str(), a.as_str(), usage)))
    }

    /// A line for each architecture.
    pub fn summary(&self) -> String {
        let mut out = format!("NVRTC {}.{}, {:.0} s", self.nvrtc.0, self.nvrtc.1, self.seconds);
        for (architecture, bytes) in &self.bytes {
            let rows: Vec<&Usage> = self.rows().filter(|(_, a, _)| a == architecture).map(|(.., usage)| usage).collect();
            let most = rows.iter().map(|usage| usage.registers).max().unwrap_or(0);
            let spilled = rows.iter().filter(|usage| usage.stores + usage.loads > 0).count();
            let stack = rows.iter().filter(|usage| usage.stack > 0).count();
            let _ = write!(
                out,
                "\n{architecture:7} {:4} kernels, at most {most:3} registers, {spilled} with spills, {stack} with a stack, {:.1} MB",
                rows.len(),
                *bytes as f64 / 1e6
            );
        }
        out
    }

    fn document(&self, states: &States) -> String {
        let mut out = format!(
            "# State of the GPU kernels\n\n\
            Made by `make gpu-status` with NVRTC {}.{}; CI compares.\n\n\
            *emulated*: ran to its end in the tests, on the CPU, compiled from the same text. *silicon*: right on that card.\n\
            Then the registers of a thread for each architecture, with bytes of spills and of stack where there are any, and the\n\
            bytes of machine code on sm_90a, and what of it says most about the kernel's way: instructions in the code, each counted\n\
            once however often it runs, `LDG` what is not `LDG.128`. CI asks for what must be there and for what must not: `tests/nvrtc/mix.txt`.\n",
            self.nvrtc.0, self.nvrtc.1
        );
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (source, kernel) in self.kernels.keys() {
            *counts.entry(states.of(source, kernel).split(':').next().unwrap_or_default().trim()).or_default() += 1;
        }
        let counts: Vec<String> = counts.iter().map(|(state, n)| format!("{n} {state}")).collect();
        let _ = writeln!(out, "\n{} kernels: {}.", self.kernels.len(), counts.join(", "));
        let mut last = "";
        for ((source, kernel), by) in &self.kernels {
            if source != last {
                let _ = write!(out, "\n## {source}.cu\n\n| kernel | state | {} | code | instructions |\n", COLUMNS.join(" | "));
                let _ = writeln!(out, "|---|---|{}---:|---|", "---:|".repeat(COLUMNS.len()));
                last = source;
            }
            let cells: Vec<String> = COLUMNS.iter().map(|a| by.get(*a).map_or("-".into(), cell)).collect();
            let (code, mix) = by.get("sm_90a").map_or((0, String::new()), |usage| (usage.code, summary(&usage.mix)));
            let _ = writeln!(out, "| `{kernel}` | {} | {} | {code} | {mix} |", states.of(source, kernel), cells.join(" | "));
        }
        out
    }
}

fn cell(usage: &Usage) -> String {
    let mut out = usage.registers.to_string();
    if usage.stores + usage.loads > 0 {
        let _ = write!(out, ", {} spilled", usage.stores.max(usage.loads));
    }
    if usage.stack > 0 {
        let _ = write!(out, ", stack {}", usage.stack);
    }
    out
}

/// What kernels have been run on.
#[derive(Debug, Default)]
struct States {
    /// Lines `gemm.cu gemm_sum_f32` that ran in the tests.
    emulated: HashSet<String>,
    /// The same, or a kernel's name alone: where it was right, or not.
    silicon: HashMap<String, String>,
    /// The document's own word, where there is no record.
    before: HashMap<String, String>,
}

/// A run on a card, as `benches/results/*gpu*.json` has it.
#[derive(Deserialize)]
struct Results {
    card: String,
    driver: String,
    date: String,
    #[serde(default)]
    kernels: Vec<Checked>,
}

#[derive(Deserialize)]
struct Checked {
    name: String,
    ok: bool,
}

impl States {
    fn read(committed: &str) -> Result<Self, String> {
        let mut states = Self::default();
        match fs::read_to_string(record()) {
            Ok(text) => states.emulated = text.lines().map(str::to_string).collect(),
            Err(_) => states.before = words(committed),
        }
        let mut all = Vec::new();
        let folder = repository().join("benches/results");
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.contains("gpu") && name.ends_with(".json") {
                let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
                all.push(serde_json::from_str::<Results>(&text).map_err(|e| format!("{}: {e}", path.display()))?);
            }
        }
        // The last word counts.
        all.sort_by(|a, b| a.date.cmp(&b.date));
        for Results { card, driver, date, kernels } in all {
            for Checked { name, ok } in kernels {
                let state = if ok { "silicon" } else { "wrong" };
                states.silicon.insert(name, format!("{state}: {card}, driver {driver}, {date}"));
            }
        }
        Ok(states)
    }

    fn of(&self, source: &str, kernel: &str) -> &str {
        let full = format!("{source}.cu {kernel}");
        if let Some(state) = self.silicon.get(&full).or_else(|| self.silicon.get(kernel)) {
            return state;
        }
        if self.emulated.contains(&full) {
            return "emulated";
        }
        match self.before.get(&full) {
            Some(state) if state == "emulated" => "emulated",
            _ => "never run",
        }
    }
}

/// Which kernels the emulator ran: `tests/all.sh` has it written there.
fn record() -> PathBuf {
    env::var_os("KAMACITE_RECORD").map_or_else(|| target().join("emulated"), PathBuf::from)
}

/// The states in a document: `gemm.cu gemm_sum_f32` and its word.
fn words(document: &str) -> HashMap<String, String> {
    let mut source = "";
    let mut found = HashMap::new();
    for line in document.lines() {
        source = line.strip_prefix("## ").unwrap_or(source);
        if let Some((kernel, rest)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` | ")) {
            let state = rest.split(" | ").next().unwrap_or_default();
            found.insert(format!("{source} {kernel}"), state.to_string());
        }
    }
    found
}

fn committed() -> String {
    fs::read_to_string(repository().join(FILE)).unwrap_or_default()
}

/// Writes the document.
pub fn write(table: &Table) -> Result<(), String> {
    let states = States::read(&committed())?;
    let path = repository().join(FILE);
    fs::write(&path, table.document(&states)).map_err(|e| format!("{}: {e}", path.display()))
}

/// Where the committed document is not what `make gpu-status` would write. Another NVRTC counts registers in its own way: then
/// there is nothing to compare.
pub fn compare(table: &Table) -> Result<Vec<String>, String> {
    let old = committed();
    let new = table.document(&States::read(&old)?);
    let maker = |text: &str| text.lines().find(|line| line.starts_with("Made by")).map(str::to_string);
    if !old.is_empty() && maker(&old) != maker(&new) {
        println!("{FILE} is of another compiler and not compared: {}", maker(&old).unwrap_or_default());
        return Ok(Vec::new());
    }
    Ok(differing(&old, &new))
}

/// Lines of the new document that the old one has not got.
fn differing(old: &str, new: &str) -> Vec<String> {
    let (before, now): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    if before.len() == now.len() && before.iter().zip(&now).all(|(a, b)| close(a, b)) {
        return Vec::new();
    }
    let unknown = now.iter().filter(|line| !before.iter().any(|old| close(old, line)));
    let heading = format!("{FILE} is old; `make gpu-status` would write:");
    [heading].into_iter().chain(unknown.take(8).map(|line| format!("  {line}"))).collect()
}

/// Whether two lines say the same, but for what the compiler itself varies: NVRTC 13.0 has made 85 and 86 registers of one
/// source, in two processes. Numbers in a kernel's row may differ by 4 or 5 %, whichever is more; all else is compared as it is.
fn close(old: &str, new: &str) -> bool {
    let words = |line: &str| line.split([' ', ',']).map(str::to_string).collect::<Vec<_>>();
    let (a, b) = (words(old), words(new));
    let near = |(a, b): (&String, &String)| match (a.parse::<u32>(), b.parse::<u32>()) {
        (Ok(a), Ok(b)) => a.abs_diff(b) <= 4.max(a / 20),
        _ => a == b,
    };
    old == new || old.starts_with("| `") && a.len() == b.len() && a.iter().zip(&b).all(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(kernel: &str, registers: u32, stores: u32, stack: u32) -> Usage {
        Usage {
            kernel: kernel.into(),
            registers,
            stack,
            stores,
            loads: stores,
            code: 640,
            mix: [("LDG.E.128".to_string(), 2)].into(),
        }
    }

    fn table() -> Table {
        let mut table = Table::new((13, 0));
        for architecture in COLUMNS {
            let usages = vec![usage("sum_f32", 40, 0, 0), usage("sum_f16", 255, 8, 16), usage("sum_bf16", 40, 0, 4)];
            table.add("reduce", architecture, usages, 4000);
        }
        table.add("fill", "sm_90a", vec![usage("sum_f32", 9, 0, 0)], 900);
        table
    }

    #[test]
    fn the_document_says_what_is_known() {
        let mut states = States::default();
        states.emulated.insert("reduce.cu sum_f32".into());
        states.silicon.insert("reduce.cu sum_f16".into(), "silicon: A card, driver 1, 2026-01-02".into());
        let text = table().document(&states);
        for line in [
            "4 kernels: 1 emulated, 2 never run, 1 silicon.",
            "| `sum_f32` | emulated | 40 | 40 | 40 | 40 | 640 | 2 LDG.128 |",
            "| `sum_f32` | never run | - | - | 9 | - | 640 | 2 LDG.128 |",
            "| `sum_bf16` | never run | 40, stack 4 | 40, stack 4 | 40, stack 4 | 40, stack 4 | 640 | 2 LDG.128 |",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(text.contains("| `sum_f16` | silicon: A card, driver 1, 2026-01-02 | 255, 8 spilled, stack 16 |"), "{text}");
        let words = words(&text);
        assert_eq!(words["reduce.cu sum_f32"], "emulated");
        assert_eq!(words["fill.cu sum_f32"], "never run");
        // Without a record, the document's own word stands.
        let later = States { before: words, ..States::default() };
        assert_eq!(later.of("reduce", "sum_f32"), "emulated");
        assert_eq!(later.of("reduce", "sum_f16"), "never run", "silicon is what a file of results says");
    }

    #[test]
    fn an_old_document_is_found_but_not_the_compilers_own_noise() {
        let old = "# State\n| `a_128` | emulated | 85 | 86, stack 16 | 31104 | 4 LDG.128, 139 LDG |\n| `b` | never run | 9 |";
        assert!(differing(old, old).is_empty());
        for same in ["| 86 | 85, ", "| 81 | 86, "].map(|now| old.replace("| 85 | 86, ", now)) {
            assert!(differing(old, &same).is_empty(), "{same}");
        }
        assert!(differing(old, &old.replace("31104", "32000").replace("139", "141")).is_empty());
        for (from, to) in [
            ("| 85", "| 95"),
            ("31104", "34000"),
            ("a_128", "a_129"),
            ("emulated", "never run"),
            ("86, stack 16", "86"),
            ("86, stack 16", "86, 8 spilled, stack 16"),
            ("4 LDG.128, 139 LDG", "139 LDG"),
            ("\n| `b` | never run | 9 |", ""),
        ] {
            let changed = old.replace(from, to);
            assert!(!differing(old, &changed).is_empty(), "{from} -> {to}");
            assert!(!differing(&changed, old).is_empty(), "{to} -> {from}");
        }
    }
}
