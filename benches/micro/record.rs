//! What each operation reached, as a share of what this machine can do at most, measured in the same program.

use kamacite::{Cpu, Device, Result, op::peak};
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

/// The work of one call.
#[derive(Clone, Copy)]
pub enum Work {
    /// Floating-point operations, two for each multiply-add.
    Flops(f64),
    /// Bytes that must be read or written at least.
    Bytes(f64),
}

/// Seconds of the fastest call of each operation.
static BEST: Mutex<BTreeMap<String, (Work, f64)>> = Mutex::new(BTreeMap::new());

/// The threads to compute with: MICRO_THREADS, 1 by default.
pub fn threads() -> usize {
    std::env::var("MICRO_THREADS").ok().and_then(|t| t.parse().ok()).unwrap_or(1)
}

/// One for the whole program: its threads wait for work from every operation.
pub fn cpu() -> &'static Cpu {
    static CPU: LazyLock<Cpu> = LazyLock::new(|| Cpu::new(threads()).expect("threads"));
    &CPU
}

pub fn device() -> Device {
    Device::Cpu(cpu().clone())
}

/// Times `call` as divan samples it, and keeps the fastest.
pub fn bench(bencher: divan::Bencher<'_, '_>, name: &str, work: Work, mut call: impl FnMut() -> Result<()>) {
    let mut best = f64::INFINITY;
    bencher.bench_local(|| {
        let begun = Instant::now();
        call().expect("shapes fit");
        best = best.min(begun.elapsed().as_secs_f64());
    });
    // Divan calls once more for each sample set; nothing at all when it only lists.
    if best.is_finite() {
        let mut all = BEST.lock().expect("one thread");
        let kept = all.entry(name.to_string()).or_insert((work, best));
        kept.1 = kept.1.min(best);
    }
}

/// The table of shares.
pub fn print() {
    let all = BEST.lock().expect("one thread");
    if all.is_empty() {
        return;
    }
    let (flops, bytes) = (peak::flops::<f32>(cpu()), peak::read_bandwidth(cpu()));
    println!(
        "\n{:?}, {} threads: {:.1} GFLOP/s in registers (f32), {:.1} GB/s from memory",
        cpu(),
        threads(),
        flops / 1e9,
        bytes / 1e9
    );
    println!("{:46} {:>12} {:>16} {:>8}", "fastest call", "us", "rate", "of peak");
    for (name, (work, seconds)) in all.iter() {
        let (rate, unit, share) = match work {
            Work::Flops(n) => (n / seconds / 1e9, "GFLOP/s", n / seconds / flops),
            Work::Bytes(n) => (n / seconds / 1e9, "GB/s", n / seconds / bytes),
        };
        println!("{name:46} {:12.2} {rate:8.2} {unit:7} {:6.1} %", seconds * 1e6, 100.0 * share);
    }
    println!("Small operands stay in the caches: more than 100 % of the memory's rate is possible.");
}
