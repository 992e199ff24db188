//! Multilayer perceptron on stellar spectra, from scratch, as matrix products: 3753 pixels, 8 hidden neurons, 7 classes.
//!
//! The rows of X are spectra, with a last column of -1 for the bias; so has H. f is the logistic function, o multiplies elements.
//!   H = f(X W1)     O = f(H W2)     D = (O - T) o O o (1 - O)     E = (D W2') o H o (1 - H)     dW2 = H' D     dW1 = X' E
//!
//! cargo run --release -p kamacite-exercises mlp_spectra --mode online
//!
//! --mode  online     915 spectra an epoch, one after the other in a new order, rate 0.1, 100 epochs
//!         sgd        915 draws with replacement an epoch, one after the other, rate 0.1, 100 epochs
//!         batch      all 915 in one step, gradients summed, rate 0.005, 3000 epochs
//!         rebalance  a batch of the first 10, 20, 30, 20, 20, 20, 10 of each class, rate 0.02, 1500 epochs
//! Without --data FOLDER the spectra are made; with it, FOLDER/train.dat and target.dat are read (made, if only train.dat is missing).
//! Expected on made spectra, in % of 200: see expected.txt.
//! Conventions: all spectra normalised together, per pixel, (x - mean) / max |x - mean|; first 915 train, last 200 test; weights start
//! uniform in +-0.01; class = first maximum; the test error has the factor 1/2. Single precision.

#[path = "exercise.rs"]
mod exercise;
#[path = "spectra.rs"]
mod spectra;
use exercise::*;
use kamacite::metrics::{Confusion, predicted};
use kamacite::op::blas::{Order::RowMajor, Transpose::*, gemm};
use kamacite::{Cpu, Error, Result};
use spectra::*;
use std::path::Path;

const INPUTS: usize = PIXELS + 1;
const HIDDEN: usize = 8;
const WEIGHTS1: usize = INPUTS * HIDDEN;
const WEIGHTS: usize = WEIGHTS1 + (HIDDEN + 1) * CLASSES;

/// x\[n\]\[m\]: every feature to mean 0 and largest absolute value 1.
pub fn normalise(x: &mut [f32], m: usize) {
    let n = x.len() / m;
    for i in 0..m {
        // >>> 1. feature i: subtract its mean over the n samples, then divide by the largest absolute value
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

/// y\[rows\]\[n\] = f(x\[rows\]\[m\] w\[m\]\[n\]). The rows of y begin `stride` values apart: those of H have one more, which stays as it is.
pub fn layer(cpu: &Cpu, y: &mut [f32], stride: usize, x: &[f32], w: &[f32], [rows, m, n]: [usize; 3]) -> Result<()> {
    // >>> 2. gemm (RowMajor, y's leading dimension is stride), then f of each of the rows x n values
    gemm(cpu, RowMajor, [No, No], [rows, n, m], 1.0, (x, m), (w, n), 0.0, (y, stride))?;
    for r in 0..rows {
        for j in 0..n {
            y[r * stride + j] = 1.0 / (1.0 + (-y[r * stride + j]).exp());
        }
    }
    // <<<
    Ok(())
}

/// d from the outputs o and targets t, of any number of rows.
pub fn output_delta(d: &mut [f32], o: &[f32], t: &[f32]) {
    for k in 0..d.len() {
        // >>> 3. d_k = (o_k - t_k) o_k (1 - o_k)
        d[k] = (o[k] - t[k]) * o[k] * (1.0 - o[k]);
        // <<<
    }
}

/// e\[rows\]\[m\] from d\[rows\]\[n\], the hidden values h\[rows\]\[m + 1\] and the weights w\[m + 1\]\[n\] above them, of which the last row is the bias's.
pub fn hidden_delta(cpu: &Cpu, e: &mut [f32], d: &[f32], h: &[f32], w: &[f32], [rows, m, n]: [usize; 3]) -> Result<()> {
    // >>> 4. e = d w' by gemm with Yes (without the bias's row), then times h (1 - h) element by element
    gemm(cpu, RowMajor, [No, Yes], [rows, m, n], 1.0, (d, n), (w, n), 0.0, (e, m))?;
    for r in 0..rows {
        for j in 0..m {
            e[r * m + j] *= h[r * (m + 1) + j] * (1.0 - h[r * (m + 1) + j]);
        }
    }
    // <<<
    Ok(())
}

/// g\[m\]\[n\] = dE/dw, summed over the rows of x\[rows\]\[m\] and d\[rows\]\[n\].
pub fn gradient(cpu: &Cpu, g: &mut [f32], x: &[f32], d: &[f32], [rows, m, n]: [usize; 3]) -> Result<()> {
    // >>> 5. g = x' d by gemm
    gemm(cpu, RowMajor, [Yes, No], [m, n, rows], 1.0, (x, m), (d, n), 0.0, (g, n))?;
    // <<<
    Ok(())
}

/// One step down the gradient.
pub fn update(w: &mut [f32], g: &[f32], rate: f32) {
    for i in 0..w.len() {
        // >>> 6. w_i = w_i - rate g_i
        w[i] -= rate * g[i];
        // <<<
    }
}

/// The network, and room for what one step computes, for up to so many spectra.
struct Network {
    cpu: Cpu,
    w: Vec<f32>,
    /// h\[rows\]\[HIDDEN + 1\], o and d\[rows\]\[CLASSES\], e\[rows\]\[HIDDEN\], g\[WEIGHTS\].
    h: Vec<f32>,
    o: Vec<f32>,
    d: Vec<f32>,
    e: Vec<f32>,
    g: Vec<f32>,
}

impl Network {
    fn new(rows: usize) -> Self {
        let room = |n: usize| vec![0.0; rows * n];
        let (h, o, d, e) = (vec![-1.0; rows * (HIDDEN + 1)], room(CLASSES), room(CLASSES), room(HIDDEN));
        Self { cpu: Cpu::default(), w: vec![], h, o, d, e, g: vec![0.0; WEIGHTS] }
    }

    /// Hidden and output values of some spectra.
    fn forward(&mut self, x: &[f32]) -> Result<()> {
        let rows = x.len() / INPUTS;
        layer(&self.cpu, &mut self.h, HIDDEN + 1, x, &self.w[..WEIGHTS1], [rows, INPUTS, HIDDEN])?;
        layer(&self.cpu, &mut self.o, CLASSES, &self.h, &self.w[WEIGHTS1..], [rows, HIDDEN + 1, CLASSES])
    }

    /// Forward, backward, update for some spectra x\[rows\]\[INPUTS\] with targets t\[rows\]\[CLASSES\].
    fn step(&mut self, x: &[f32], t: &[f32], rate: f32) -> Result<()> {
        let rows = x.len() / INPUTS;
        self.forward(x)?;
        let Self { cpu, w, h, o, d, e, g } = self;
        // >>> 7. both deltas (of the first rows of d and e), both gradients (from g[0] and g[WEIGHTS1]), the update
        output_delta(&mut d[..t.len()], o, t);
        hidden_delta(cpu, e, d, h, &w[WEIGHTS1..], [rows, HIDDEN, CLASSES])?;
        gradient(cpu, &mut g[..WEIGHTS1], x, e, [rows, INPUTS, HIDDEN])?;
        gradient(cpu, &mut g[WEIGHTS1..], h, d, [rows, HIDDEN + 1, CLASSES])?;
        update(w, g, rate);
        // <<<
        Ok(())
    }

    /// Trains from new weights.
    fn train(&mut self, x: &[f32], t: &[f32], mode: &str, rate: f32, epochs: u64, seed: u64) -> Result<()> {
        self.w = random_uniform(WEIGHTS, -0.01, 0.01, seed);
        let rows = x.len() / INPUTS;
        for epoch in 0..epochs {
            let order = match mode {
                "online" => shuffle(rows, seed * 100_000 + epoch),
                "sgd" => {
                    let drawn = random_uniform(rows, 0.0, rows as f64, seed * 100_000 + epoch);
                    drawn.into_iter().map(|r| r as usize % rows).collect()
                }
                _ => {
                    self.step(x, t, rate)?;
                    continue;
                }
            };
            for r in order {
                self.step(&x[r * INPUTS..][..INPUTS], &t[r * CLASSES..][..CLASSES], rate)?;
            }
        }
        Ok(())
    }
}

/// Moves the first cap\[c\] spectra of each class c to the front of x and t; returns how many these are.
pub fn rebalance(x: &mut [f32], t: &mut [f32], label: &[u32], cap: &[usize; CLASSES]) -> usize {
    let (mut kept, mut taken) = (0, [0; CLASSES]);
    for (s, &c) in label.iter().enumerate() {
        // >>> 8. (rebalance) if class c is not full, count it in taken and kept, copy spectrum and target s to row `kept` (copy_within)
        if taken[c as usize] < cap[c as usize] {
            taken[c as usize] += 1;
            x.copy_within(s * INPUTS..(s + 1) * INPUTS, kept * INPUTS);
            t.copy_within(s * CLASSES..(s + 1) * CLASSES, kept * CLASSES);
            kept += 1;
        }
        // <<<
    }
    kept
}

/// Spectra with the bias column, one-hot targets, classes.
fn prepare(folder: Option<&Path>) -> Result<(Vec<f32>, Vec<f32>, Vec<u32>)> {
    let samples = read(folder)?;
    let (mut pixels, label) = (samples.x(0).to_vec(), samples.labels(0).unwrap_or_default().to_vec());
    normalise(&mut pixels, PIXELS);
    let x = pixels.chunks_exact(PIXELS).flat_map(|row| row.iter().copied().chain([-1.0])).collect();
    let t = label.iter().flat_map(|&c| (0..CLASSES).map(move |k| if k == c as usize { 1.0 } else { 0.0 })).collect();
    Ok((x, t, label))
}

pub fn main() -> Result<()> {
    let o = Options::parse(0, "", "online")?;
    let (rate, epochs) = match o.mode.as_str() {
        "online" | "sgd" => (0.1, 100),
        "batch" => (0.005, 3000),
        "rebalance" => (0.02, 1500),
        other => return Err(Error::value("--mode", "way of training").expected("online, sgd, batch or rebalance").got(other)),
    };
    let epochs = if o.smoke { 2 } else if o.epochs > 0 { o.epochs } else { epochs };
    let (mut x, mut t, label) = prepare(o.data.as_deref())?;
    let mut rows = TRAIN;
    if o.mode == "rebalance" {
        rows = rebalance(&mut x, &mut t, &label[..TRAIN], &[10, 20, 30, 20, 20, 20, 10]);
    }
    let (mut net, mut accuracy, mut error) = (Network::new(TRAIN), Vec::new(), 0.0);
    let mut confusion = Confusion::new(CLASSES)?;
    for seed in o.runs() {
        net.train(&x[..rows * INPUTS], &t[..rows * CLASSES], &o.mode, rate, epochs, seed)?;
        net.forward(&x[TRAIN * INPUTS..])?;
        let (t, label) = (&t[TRAIN * CLASSES..], &label[TRAIN..]);
        for (&o, &t) in net.o.iter().zip(t) {
            error += 0.5 * f64::from(o - t) * f64::from(o - t);
        }
        confusion = Confusion::of(&predicted(&net.o[..t.len()], CLASSES)?, label, CLASSES)?;
        accuracy.push(100.0 * confusion.accuracy().unwrap_or(f64::NAN));
    }
    println!("{}", confusion.names(&NAMES)?);
    let middle = median(&mut accuracy); // sorts
    println!(
        "RESULT mode={} seeds={} trained_on={rows} accuracy_min={:.2} accuracy_median={middle:.2} accuracy_max={:.2} half_error={:.4} sum_bits={}",
        o.mode,
        o.seeds,
        accuracy[0],
        accuracy[accuracy.len() - 1],
        error / ((SPECTRA - TRAIN) as u64 * o.seeds) as f64,
        bits(error)
    );
    Ok(())
}
