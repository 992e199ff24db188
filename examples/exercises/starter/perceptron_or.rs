// Starter: write what the blanks say, in their order; then delete the next line.
#![allow(unused, unreachable_code)]
//! One binary neuron learns the OR gate, from scratch; --mode and learns AND; --mode xor shows what it cannot.
//!
//!   o = 1 if sum_i x_i w_i - w_b > 0, else 0         w = w + rate (t - o) x
//!
//! cargo run --release -p kamacite-exercises perceptron_or --seeds 50
//!
//! Expected: OR is right after 5 epochs from every start. Writes perceptron_or.svg, the line that the neuron draws.
//! Conventions: weights start uniform in +-0.01; the bias is an input that is always -1, its weight is the last one; rate 0.1; the four
//! rows in their order; 5 epochs (10 with --epochs 10).

#[path = "../exercise.rs"]
mod exercise;
use exercise::*;
use kamacite::{Result, plot};

const INPUTS: usize = 2;
const ROWS: usize = 4;

/// The neuron: 0 or 1 from x\[m\] and w\[m + 1\].
pub fn neuron(x: &[f32], w: &[f32]) -> u32 {
    let m = x.len();
    let mut a = 0.0;
    blank!("1. a = sum_i x_i w_i - w_m");
    u32::from(a > 0.0)
}

/// The delta rule: a neuron that answered o learns the target t.
pub fn learn(w: &mut [f32], x: &[f32], o: u32, t: u32, rate: f32) {
    blank!("2. w_i = w_i + rate (t - o) x_i, and the same for the bias, whose input is -1");
}

pub fn main() -> Result<()> {
    let x = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let o = Options::parse(5, "", "or")?;
    let (and, xor) = (o.mode == "and", o.mode == "xor");
    let t = [false, !and, !and, !xor].map(u32::from);
    let (mut w, mut learnt, mut right, mut sum) = (Vec::new(), 0, 0, 0.0);
    for seed in o.runs() {
        w = random_uniform(INPUTS + 1, -0.01, 0.01, seed);
        for _ in 0..o.epochs {
            for (row, &target) in x.chunks_exact(INPUTS).zip(&t) {
                blank!("3. one row: ask the neuron, let it learn with rate 0.1");
            }
        }
        right = x.chunks_exact(INPUTS).zip(&t).filter(|&(row, &t)| neuron(row, &w) == t).count();
        learnt += u32::from(right == ROWS);
        sum += f64::from(w[0]) + f64::from(w[1]) + f64::from(w[2]);
    }
    plot::boundary("perceptron_or.svg", &x, &t, |point| Ok(neuron(&point, &w)))?;
    println!("o = 1 if {:.4} x1 + {:.4} x2 > {:.4}: {right} of 4 rows of {} are right", w[0], w[1], w[2], o.mode);
    println!("RESULT seeds={} learnt={learnt} sum_bits={}", o.seeds, bits(sum));
    Ok(())
}
