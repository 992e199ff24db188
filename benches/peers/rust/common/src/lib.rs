//! Command line, timing protocol and result line of the peers in Rust; the same as `../../common.py`.

use serde_json::{Value, json};
use std::time::Instant;

/// The command line.
pub struct Options {
    pub workload: String,
    pub batch: usize,
    pub threads: usize,
    pub train: bool,
    pub seconds: f64,
    pub repeats: usize,
    pub variant: String,
    pub optimizer: String,
    pub rate: f64,
    pub spec: Value,
}

/// What a framework built: trainable numbers and multiply-accumulates of one sample's forward pass, from its own layers.
pub struct Built {
    pub params: usize,
    pub macs: usize,
}

unsafe extern "C" {
    fn sched_setaffinity(pid: i32, size: usize, mask: *const u64) -> i32;
}

/// Parses the command line and sets cores and threads. Call it first in `main`, before any thread starts.
pub fn cli(variants: &[&str]) -> Options {
    let args: Vec<String> = std::env::args().collect();
    let text = |key: &str| args.iter().position(|a| a == key).and_then(|at| args.get(at + 1)).cloned();
    let number =
        |key: &str, default: f64| text(key).map_or(default, |v| v.parse().unwrap_or_else(|_| panic!("{key} {v}: not a number")));
    let workload = text("--workload").unwrap_or_else(|| "W1".into());
    let path = text("--networks").unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../workloads.json").into());
    let file = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let spec: Value = serde_json::from_str::<Value>(&file).expect("networks are JSON")[&workload].clone();
    let variant = text("--variant").unwrap_or_else(|| variants[0].into());
    assert!(variants.contains(&variant.as_str()), "variant {variant}: there are {variants:?}");
    let batch = match number("--batch", 0.0) as usize {
        0 => spec["batches"][0].as_u64().unwrap_or(1) as usize,
        n => n,
    };
    let threads = number("--threads", 2.0) as usize;
    // SAFETY: no thread has been started yet; the mask lives during the call.
    unsafe {
        for v in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MATMUL_NUM_THREADS"] {
            std::env::set_var(v, threads.to_string());
        }
        sched_setaffinity(0, 8, &((1_u64 << threads) - 1));
    }
    Options {
        train: text("--mode").is_none_or(|m| m == "train"),
        seconds: number("--seconds", 3.0),
        repeats: number("--repeats", 7.0) as usize,
        optimizer: text("--optimizer").unwrap_or_else(|| "sgd".into()),
        rate: number("--lr", 1e-4),
        workload,
        batch,
        threads,
        variant,
        spec,
    }
}

pub fn sizes(v: &Value) -> Vec<usize> {
    v.as_array().expect("a list").iter().map(|x| x.as_u64().expect("a size") as usize).collect()
}

/// Repeatable, roughly normal numbers.
pub fn normal(n: usize, mut s: u64) -> Vec<f32> {
    let mut u = || {
        s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((s >> 40) as f32) / (1_u64 << 24) as f32
    };
    (0..n).map(|_| (u() + u() + u() + u() - 2.0) * 1.732).collect()
}

/// What the timed blocks say.
pub struct Measured {
    pub first: f64,
    pub steps: usize,
    pub rates: Vec<f64>,
    pub waited: f64,
}

/// Seconds that the threads of this process were runnable but waited for a core.
fn run_delay() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter_map(|e| std::fs::read_to_string(e.path().join("schedstat")).ok())
        .filter_map(|s| s.split_whitespace().nth(1)?.parse::<f64>().ok())
        .sum::<f64>()
        / 1e9
}

pub fn measure(o: &Options, mut step: impl FnMut(usize)) -> Measured {
    let mut time = |n: usize| {
        let begun = Instant::now();
        step(n);
        begun.elapsed().as_secs_f64()
    };
    let first = time(1);
    let (mut per, mut repeats) = (time(1), o.repeats.max(1));
    if per > 0.5 {
        repeats = repeats.min((o.seconds / per).round() as usize).max(1);
    } else {
        let (mut n, begun) = (0, Instant::now());
        while n < 3 || begun.elapsed().as_secs_f64() < 0.5 {
            let k = if n < 8 { 1 } else { n / 4 };
            time(k);
            n += k;
        }
        let k = (n / 8).max(1);
        per = time(k) / k as f64;
    }
    let steps = ((o.seconds / repeats as f64 / per).round() as usize).max(1);
    let (delay, begun) = (run_delay(), Instant::now());
    let mut rates: Vec<f64> = (0..repeats).map(|_| (steps * o.batch) as f64 / time(steps)).collect();
    let waited = (run_delay() - delay) / begun.elapsed().as_secs_f64() / o.threads as f64;
    rates.sort_by(f64::total_cmp);
    Measured { first, steps, rates, waited }
}

fn peak_rss() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).and_then(|l| l.split_whitespace().next());
    line.and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

pub fn refuse(o: &Options, peer: &str, reason: &str) {
    let mode = if o.train { "train" } else { "infer" };
    println!(
        "{}",
        json!({"peer": peer, "workload": o.workload, "batch": o.batch, "threads": o.threads, "mode": mode, "unsupported": reason})
    );
}

pub fn emit(o: &Options, peer: &str, version: &str, build_s: f64, built: &Built, m: &Measured) {
    let round = |x: f64, scale: f64| (x * scale).round() / scale;
    let median = m.rates[m.rates.len() / 2];
    println!(
        "{}",
        json!({
            "peer": peer, "variant": o.variant, "version": version, "workload": o.workload, "batch": o.batch,
            "threads": o.threads, "mode": if o.train { "train" } else { "infer" }, "optimizer": o.optimizer,
            "params": built.params, "params_spec": o.spec["params"], "macs": built.macs, "import_s": 0.0,
            "build_s": round(build_s, 1e3), "first_step_s": round(m.first, 1e5), "rq_wait": round(m.waited, 1e4),
            "steps_per_repeat": m.steps, "repeats": m.rates.len(), "samples_per_s": round(median, 1e4),
            "min": round(m.rates[0], 1e4), "max": round(m.rates[m.rates.len() - 1], 1e4),
            "steps_per_s": round(median / o.batch as f64, 1e5), "peak_rss_mb": round(peak_rss(), 10.0),
        })
    );
}

/// The shape behind a layer, channels first; `saved` are the channels kept under names.
pub fn behind(l: &Value, mut shape: Vec<usize>, saved: &std::collections::HashMap<String, usize>) -> Vec<usize> {
    let number = |key: &str| l[key].as_u64().expect("a number") as usize;
    match l["t"].as_str().expect("a layer") {
        kind @ ("conv" | "convt") => {
            let (k, s, p) = (sizes(&l["k"]), sizes(&l["s"]), sizes(&l["p"]));
            for (i, n) in shape[1..].iter_mut().enumerate() {
                *n = if kind == "conv" { (*n + 2 * p[i] - k[i]) / s[i] + 1 } else { (*n - 1) * s[i] + k[i] - 2 * p[i] };
            }
            shape[0] = number("c");
        }
        "maxpool" => shape[1..].iter_mut().for_each(|n| *n /= number("k")),
        "gap" => shape.truncate(1),
        "flatten" => shape = vec![shape.iter().product()],
        "dense" => shape = vec![number("n")],
        "concat" => shape[0] += saved[l["n"].as_str().expect("a name")],
        _ => {}
    }
    shape
}
