//! Perceptron on the Pima diabetes data, from scratch: eight measures of a woman, two binary neurons, "no" and "yes".
//!
//!   o_j = 1 if sum_i x_i w_ij - w_bj > 0, else 0         w_ij = w_ij + rate (t_j - o_j) x_i
//!
//! cargo run --release -p kamacite-exercises perceptron_pima --data pima.data --seeds 50
//!
//! Expected over 50 seeds: 57 to 78 % at the last epoch, median 72 %; "no" alone is 65.1 %. It jumps: no line parts the classes.
//! Conventions: all 768 women are trained on and tested on; pregnancies are cut at 8; the age becomes (age - 30) mod 10 with the sign of
//! age - 30, cut at 5 (as the course has it: is that wise?); then each feature (x - mean) / max |x - mean|; one woman after the other in a
//! new order each epoch; rate 0.05, 400 epochs; weights start uniform in +-0.005; the bias is an input that is always -1, its weights are
//! the last row; class = first maximum of the answers (so 00 and 11 count as "no"). Single precision.

#[path = "exercise.rs"]
mod exercise;
use exercise::*;
use kamacite::Result;
use kamacite::metrics::{Confusion, predicted};

const INPUTS: usize = 8;
const OUTPUTS: usize = 2;
const WEIGHTS: usize = (INPUTS + 1) * OUTPUTS;

/// x\[n\]\[8\]: pregnancies, glucose, blood pressure, skin, insulin, mass index, pedigree, age.
pub fn prepare(x: &mut [f32]) {
    for woman in x.chunks_exact_mut(8) {
        // >>> 1. cut the pregnancies woman[0] at 8; replace the age woman[7] by (age - 30) % 10 (Rust's remainder), cut at 5
        woman[0] = woman[0].min(8.0);
        woman[7] = ((woman[7] - 30.0) % 10.0).min(5.0);
        // <<<
    }
}

/// x\[n\]\[m\]: every feature to mean 0 and largest absolute value 1.
pub fn normalise(x: &mut [f32], m: usize) {
    let n = x.len() / m;
    for i in 0..m {
        // >>> 2. feature i: subtract its mean over the n samples, then divide by the largest absolute value
        let mut mean = 0.0;
        for s in 0..n {
            mean += f64::from(x[s * m + i]);
        }
        mean /= n as f64;
        let mut largest = 0.0_f32;
        for s in 0..n {
            x[s * m + i] -= mean as f32;
            largest = largest.max(x[s * m + i].abs());
        }
        for s in 0..n {
            if largest > 0.0 {
                x[s * m + i] /= largest;
            }
        }
        // <<<
    }
}

/// The neurons: o\[n\] = 0 or 1 from x\[m\] and w\[m + 1\]\[n\]; the last row of w belongs to the bias.
pub fn neurons(o: &mut [f32], x: &[f32], w: &[f32]) {
    let (m, n) = (x.len(), o.len());
    for j in 0..n {
        // >>> 3. neuron j: o_j = 1 if sum_i x_i w_ij - w_mj > 0, else 0
        let mut a = 0.0;
        for i in 0..m {
            a += x[i] * w[i * n + j];
        }
        a -= w[m * n + j];
        o[j] = if a > 0.0 { 1.0 } else { 0.0 };
        // <<<
    }
}

/// The delta rule: neurons that answered o\[n\] learn the targets t\[n\].
pub fn learn(w: &mut [f32], x: &[f32], o: &[f32], t: &[f32], rate: f32) {
    let (m, n) = (x.len(), o.len());
    for j in 0..n {
        // >>> 4. w_ij = w_ij + rate (t_j - o_j) x_i for every input i, and the bias row w_mj
        let step = rate * (t[j] - o[j]);
        for i in 0..m {
            w[i * n + j] += step * x[i];
        }
        w[m * n + j] -= step;
        // <<<
    }
}

/// One woman after the other, in a new order each epoch.
fn train(x: &[f32], label: &[u32], epochs: u64, seed: u64) -> Vec<f32> {
    let mut w = random_uniform(WEIGHTS, -0.005, 0.005, seed);
    for epoch in 0..epochs {
        for s in shuffle(label.len(), seed * 100_000 + epoch) {
            let woman = &x[s * INPUTS..][..INPUTS];
            let (mut o, mut t) = ([0.0; OUTPUTS], [0.0; OUTPUTS]);
            t[label[s] as usize] = 1.0;
            // >>> 5. one woman: ask the neurons, let them learn with rate 0.05
            neurons(&mut o, woman, &w);
            learn(&mut w, woman, &o, &t, 0.05);
            // <<<
        }
    }
    w
}

/// Who is taken for what.
fn test(w: &[f32], x: &[f32], label: &[u32]) -> Result<Confusion> {
    let mut answers = vec![0.0; label.len() * OUTPUTS];
    for (woman, o) in x.chunks_exact(INPUTS).zip(answers.chunks_exact_mut(OUTPUTS)) {
        neurons(o, woman, w);
    }
    Confusion::of(&predicted(&answers, OUTPUTS)?, label, OUTPUTS)
}

pub fn main() -> Result<()> {
    let o = Options::parse(400, "pima.data", "")?;
    let (mut x, label) = table(o.file()?, INPUTS)?;
    prepare(&mut x);
    normalise(&mut x, INPUTS);
    let (mut accuracy, mut sum) = (Vec::new(), 0.0);
    let mut confusion = Confusion::new(OUTPUTS)?;
    for seed in o.runs() {
        let w = train(&x, &label, if o.smoke { 20 } else { o.epochs }, seed);
        confusion = test(&w, &x, &label)?;
        accuracy.push(100.0 * confusion.accuracy().unwrap_or(f64::NAN));
        w.iter().for_each(|&w| sum += f64::from(w));
    }
    println!("{confusion}");
    let middle = median(&mut accuracy); // sorts
    println!(
        "RESULT seeds={} accuracy_min={:.2} accuracy_median={middle:.2} accuracy_max={:.2} sum_bits={}",
        o.seeds,
        accuracy[0],
        accuracy[accuracy.len() - 1],
        bits(sum)
    );
    Ok(())
}
