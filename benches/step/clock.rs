//! The timing protocol, the one of `peers/common.py`, and what the kernel knows about this process.

use kamacite::Result;
use std::time::Instant;

/// What the timed blocks say.
pub struct Measured {
    pub first: f64,
    pub steps: usize,
    /// Samples per second of each block, sorted.
    pub rates: Vec<f64>,
    /// The share of thread time spent waiting for a core.
    pub waited: f64,
}

/// The first step apart, a warm-up of at least 4 steps and 0.5 s, then the blocks. If a step takes longer than 0.5 s, one more
/// step warms up and a block is one step.
pub fn measure(
    step: &mut dyn FnMut(usize) -> Result<()>,
    [batch, threads, repeats]: [usize; 3],
    seconds: f64,
) -> Result<Measured> {
    let first = time(step, 1)?;
    let (mut per, mut repeats) = (time(step, 1)?, repeats.max(1));
    if per > 0.5 {
        repeats = repeats.min((seconds / per).round() as usize).max(1);
    } else {
        let (mut done, begun) = (0, Instant::now());
        while done < 3 || begun.elapsed().as_secs_f64() < 0.5 {
            let n = if done < 8 { 1 } else { done / 4 };
            step(n)?;
            done += n;
        }
        let n = (done / 8).max(1);
        per = time(step, n)? / n as f64;
    }
    let steps = ((seconds / repeats as f64 / per).round() as usize).max(1);
    let (delay, begun) = (run_delay(), Instant::now());
    let mut rates = (0..repeats).map(|_| time(step, steps).map(|t| (steps * batch) as f64 / t)).collect::<Result<Vec<f64>>>()?;
    let waited = (run_delay() - delay) / begun.elapsed().as_secs_f64() / threads as f64;
    rates.sort_by(f64::total_cmp);
    Ok(Measured { first, steps, rates, waited })
}

fn time(step: &mut dyn FnMut(usize) -> Result<()>, n: usize) -> Result<f64> {
    let begun = Instant::now();
    step(n)?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Seconds that threads of this process were runnable but waited for a core; 0 where the system does not tell.
fn run_delay() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let waited = |path: std::path::PathBuf| -> Option<f64> {
        std::fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().nth(1)?.parse().ok()
    };
    tasks.filter_map(|t| waited(t.path())).sum::<f64>() / 1e9
}

/// The most memory this process has had, in MiB; 0 where the system does not tell.
pub fn peak_rss() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).and_then(|l| l.split_whitespace().next());
    line.and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
