//! A convolutional network in one dimension on stellar spectra, from scratch on the library's convolutions: 3753 pixels, 7 classes.
//!
//!   3 x [convolution: 8, 16, 32 filters of 8 pixels, stride 4; ReLU]  ->  dense 7, softmax
//!   convolution  a_jf = b_f + sum_u sum_c x_(4j-2+u)c w_ucf     y = max(0, a)     dE/da = dE/dy where y > 0, else 0
//!   softmax      p_k = exp(a_k) / sum_l exp(a_l)                E = -ln p_t       dE/da_k = p_k - [k = t], means over a batch
//!   momentum     v = 0.8 v + dE/dw                              w = w - rate v
//!
//! cargo run --release -p kamacite-exercises cnn_spectra
//!
//! Without --data FOLDER the spectra are made; with it, FOLDER/train.dat and target.dat are read (made, if only train.dat is missing).
//! Expected on made spectra, in % of 200: see expected.txt.
//! Conventions: pixels become tanh(40 x); of the first 915 spectra the first 10, 30, 30, 20, 20, 30, 10 of each class train, in batches of
//! 16, in a new order each epoch (what is left over waits); the last 200 test; weights start uniform in +-sqrt(6 / inputs of a unit) but the
//! last ones in +-0.01, biases at 0; a layer's weights are followed by its biases. Single precision; the loss in double.

#[path = "exercise.rs"]
mod exercise;
#[path = "spectra.rs"]
mod spectra;
use exercise::*;
use kamacite::data::{Normalizer, Rule, Samples};
use kamacite::memory::GradMode::Write;
use kamacite::metrics::{Confusion, predicted};
use kamacite::op::blas::{Order::RowMajor, Transpose::*, gemm};
use kamacite::op::conv::{Geometry, Slices};
use kamacite::{Cpu, Extent, Result, Window};
use spectra::*;
use std::path::Path;

const PADDED: usize = 3776;
const CONVS: usize = 3;
const BATCH: usize = 16;
const TESTS: usize = SPECTRA - TRAIN;

/// y\[rows\]\[outputs\] = ReLU of the convolution of x\[rows\]\[inputs\] with the kernels and biases in w.
pub fn conv_forward(y: &mut [f32], x: &[f32], w: &[f32], conv: &Slices<f32>) -> Result<()> {
    let (kernels, biases) = w.split_at(w.len() - conv.geometry().y.c);
    // >>> 1. conv.forward with the biases; then y = max(0, y)
    conv.forward(x, kernels, Some(biases), y)?;
    for y in y {
        *y = y.max(0.0);
    }
    // <<<
    Ok(())
}

/// g = dE/dw and, if it is there, dx = dE/dx from dy = dE/dy, which becomes dE/da on the way.
pub fn conv_backward(
    dx: Option<&mut [f32]>,
    g: &mut [f32],
    dy: &mut [f32],
    x: &[f32],
    y: &[f32],
    w: &[f32],
    conv: &Slices<f32>,
) -> Result<()> {
    let kernels = w.len() - conv.geometry().y.c;
    // >>> 2. dy_i = 0 where y_i is 0; conv.weight_gradient and bias_gradient into g; if there is a dx, conv.input_gradient (Write)
    for (dy, &y) in dy.iter_mut().zip(y) {
        *dy = if y > 0.0 { *dy } else { 0.0 };
    }
    conv.weight_gradient(x, dy, Write, &mut g[..kernels])?;
    conv.bias_gradient(dy, Write, &mut g[kernels..])?;
    if let Some(dx) = dx {
        conv.input_gradient(dy, &w[..kernels], Write, dx)?;
    }
    // <<<
    Ok(())
}

/// a\[rows\]\[n\] = x\[rows\]\[m\] w\[m\]\[n\] + b; the biases are behind w.
pub fn dense_forward(cpu: &Cpu, a: &mut [f32], x: &[f32], w: &[f32], [rows, m, n]: [usize; 3]) -> Result<()> {
    // >>> 3. gemm, then add the biases, from w[m * n] on, to each row
    gemm(cpu, RowMajor, [No, No], [rows, n, m], 1.0, (x, m), (w, n), 0.0, (a, n))?;
    for r in 0..rows {
        for k in 0..n {
            a[r * n + k] += w[m * n + k];
        }
    }
    // <<<
    Ok(())
}

/// g = dE/dw, the biases behind, and dx = dE/dx from d\[rows\]\[n\] = dE/da.
pub fn dense_backward(
    cpu: &Cpu,
    dx: &mut [f32],
    g: &mut [f32],
    d: &[f32],
    x: &[f32],
    w: &[f32],
    [rows, m, n]: [usize; 3],
) -> Result<()> {
    // >>> 4. g = x' d and dx = d w' by gemm; the biases' gradients, from g[m * n] on, are the sums of d over the rows
    gemm(cpu, RowMajor, [Yes, No], [m, n, rows], 1.0, (x, m), (d, n), 0.0, (g, n))?;
    gemm(cpu, RowMajor, [No, Yes], [rows, m, n], 1.0, (d, n), (w, n), 0.0, (dx, m))?;
    for k in 0..n {
        g[m * n + k] = 0.0;
        for r in 0..rows {
            g[m * n + k] += d[r * n + k];
        }
    }
    // <<<
    Ok(())
}

/// Mean of -ln p_t over the rows of a\[rows\]\[n\]; d\[rows\]\[n\] is its gradient.
pub fn softmax_loss(d: &mut [f32], a: &[f32], label: &[u32], n: usize) -> f64 {
    let (rows, mut loss) = (label.len(), 0.0);
    for r in 0..rows {
        let (row, t) = (&a[r * n..][..n], label[r] as usize);
        // >>> 5. p = softmax of row (subtract the largest first: exp overflows); loss = loss - ln p_t; d_k = (p_k - [k = t]) / rows
        let largest = row.iter().fold(f64::NEG_INFINITY, |l, &a| l.max(f64::from(a)));
        let mut sum = 0.0;
        for k in 0..n {
            sum += (f64::from(row[k]) - largest).exp();
        }
        for k in 0..n {
            let p = (f64::from(row[k]) - largest).exp() / sum;
            d[r * n + k] = ((p - if k == t { 1.0 } else { 0.0 }) / rows as f64) as f32;
        }
        loss -= f64::from(row[t]) - largest - sum.ln();
        // <<<
    }
    loss / rows as f64
}

/// One step with momentum; v is the velocity of each weight.
pub fn update(w: &mut [f32], v: &mut [f32], g: &[f32], rate: f32, momentum: f32) {
    for i in 0..w.len() {
        // >>> 6. v_i = momentum v_i + g_i; w_i = w_i - rate v_i
        v[i] = momentum * v[i] + g[i];
        w[i] -= rate * v[i];
        // <<<
    }
}

/// The network: its convolutions, planned for so many samples at once, and what they compute: y\[0\] is the input, y\[CONVS + 1\] the
/// logits. The weights of a layer lie from at\[l\] to at\[l + 1\].
struct Network {
    cpu: Cpu,
    convs: Vec<Slices<f32>>,
    at: Vec<usize>,
    y: Vec<Vec<f32>>,
    dy: Vec<Vec<f32>>,
    g: Vec<f32>,
}

impl Network {
    fn new(rows: usize) -> Result<Self> {
        let cpu = Cpu::default();
        let (mut x, mut convs, mut at, mut sizes) = (Extent::line(PADDED, 1), vec![], vec![0], vec![PADDED]);
        for filters in [8, 16, 32] {
            let window = Window { stride: [1, 1, 4], before: [0, 0, 2], after: [0, 0, 2], ..Window::new([1, 1, 8]) };
            let geometry = Geometry::new(x, filters, window, 1)?;
            convs.push(Slices::new(&cpu, geometry, rows)?);
            at.push(at[convs.len() - 1] + (8 * x.c + 1) * filters);
            x = geometry.y;
            sizes.push(x.len());
        }
        at.push(at[CONVS] + (x.len() + 1) * CLASSES);
        sizes.push(CLASSES);
        let room: Vec<Vec<f32>> = sizes.iter().map(|n| vec![0.0; rows * n]).collect();
        let g = vec![0.0; at[CONVS + 1]];
        Ok(Self { cpu, convs, at, dy: room.clone(), y: room, g })
    }

    /// Rows, inputs and outputs of the dense layer.
    fn dense(&self) -> [usize; 3] {
        let rows = self.y[0].len() / PADDED;
        [rows, self.y[CONVS].len() / rows, CLASSES]
    }

    /// New weights.
    fn start(&self, seed: u64) -> Vec<f32> {
        let mut w = Vec::new();
        for l in 0..=CONVS {
            let filters = if l < CONVS { self.convs[l].geometry().y.c } else { CLASSES };
            let kernels = self.at[l + 1] - self.at[l] - filters;
            let r = if l < CONVS { (6.0 / (kernels / filters) as f64).sqrt() } else { 0.01 };
            w.extend(random_uniform(kernels, -r, r, seed * 10 + l as u64));
            w.extend(vec![0.0; filters]);
        }
        w
    }

    /// From y\[0\] to the logits.
    fn forward(&mut self, w: &[f32]) -> Result<()> {
        let dense = self.dense();
        for l in 0..CONVS {
            let (x, y) = self.y.split_at_mut(l + 1);
            conv_forward(&mut y[0], &x[l], &w[self.at[l]..self.at[l + 1]], &self.convs[l])?;
        }
        let (x, a) = self.y.split_at_mut(CONVS + 1);
        dense_forward(&self.cpu, &mut a[0], &x[CONVS], &w[self.at[CONVS]..], dense)
    }

    /// From the gradients of the logits to those of all weights.
    fn backward(&mut self, w: &[f32]) -> Result<()> {
        let (dense, from) = (self.dense(), self.at[CONVS]);
        let (dx, d) = self.dy.split_at_mut(CONVS + 1);
        dense_backward(&self.cpu, &mut dx[CONVS], &mut self.g[from..], &d[0], &self.y[CONVS], &w[from..], dense)?;
        for l in (0..CONVS).rev() {
            let of = self.at[l]..self.at[l + 1];
            let (dx, dy) = self.dy.split_at_mut(l + 1);
            let dx = (l > 0).then_some(&mut dx[l][..]);
            conv_backward(dx, &mut self.g[of.clone()], &mut dy[0], &self.y[l], &self.y[l + 1], &w[of], &self.convs[l])?;
        }
        Ok(())
    }

    /// Trains from new weights on x\[n\]\[PADDED\] in batches.
    fn train(&mut self, x: &[f32], label: &[u32], epochs: u64, seed: u64) -> Result<Vec<f32>> {
        let mut w = self.start(seed);
        let mut v = vec![0.0; w.len()];
        for epoch in 0..epochs {
            for batch in shuffle(label.len(), seed * 100_000 + epoch).chunks_exact(BATCH) {
                for (row, &s) in self.y[0].chunks_exact_mut(PADDED).zip(batch) {
                    row.copy_from_slice(&x[s * PADDED..][..PADDED]);
                }
                let t: Vec<u32> = batch.iter().map(|&s| label[s]).collect();
                self.forward(&w)?;
                softmax_loss(&mut self.dy[CONVS + 1], &self.y[CONVS + 1], &t, CLASSES);
                self.backward(&w)?;
                update(&mut w, &mut v, &self.g, 0.02, 0.8);
            }
        }
        Ok(w)
    }
}

/// Spectra to train on, as many of each class as it should be, and to test.
fn read_data(folder: Option<&Path>) -> Result<(Samples, Samples)> {
    let mut all = read(folder)?;
    let tanh = Rule::Tanh { gain: 40.0, low: 0.0, high: 1.0 };
    Normalizer::fit(Extent::line(PIXELS, 1), all.x(0), &[tanh])?.apply(all.x_mut(0))?;
    let (first, last) = all.padded(Extent::line(PADDED, 1), 0.0)?.split(TRAIN)?;
    Ok((rebalance(&first, &[10, 30, 30, 20, 20, 30, 10])?, last))
}

pub fn main() -> Result<()> {
    let o = Options::parse(200, "", "")?;
    let (train, test) = read_data(o.data.as_deref())?;
    let (label, truth) = (train.labels(0).unwrap_or_default(), test.labels(0).unwrap_or_default());
    let (mut net, mut judged) = (Network::new(BATCH)?, Network::new(TESTS)?);
    judged.y[0].copy_from_slice(test.x(0));
    let (mut accuracy, mut sum) = (Vec::new(), 0.0);
    let mut confusion = Confusion::new(CLASSES)?;
    for seed in o.runs() {
        let w = net.train(train.x(0), label, if o.smoke { 2 } else { o.epochs }, seed)?;
        judged.forward(&w)?;
        sum += softmax_loss(&mut judged.dy[CONVS + 1], &judged.y[CONVS + 1], truth, CLASSES);
        confusion = Confusion::of(&predicted(&judged.y[CONVS + 1], CLASSES)?, truth, CLASSES)?;
        accuracy.push(100.0 * confusion.accuracy().unwrap_or(f64::NAN));
    }
    println!("{}", confusion.names(&NAMES)?);
    let middle = median(&mut accuracy); // sorts
    println!(
        "RESULT seeds={} trained_on={} accuracy_min={:.2} accuracy_median={middle:.2} accuracy_max={:.2} loss={:.4} sum_bits={}",
        o.seeds,
        label.len(),
        accuracy[0],
        accuracy[accuracy.len() - 1],
        sum / o.seeds as f64,
        bits(sum)
    );
    Ok(())
}
