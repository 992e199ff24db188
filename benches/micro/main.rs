//! Single operations in the shapes of W1 to W10, and what share of this machine's peak they reach:
//!
//! MICRO_THREADS=2 cargo bench --bench micro -- conv
//!
//! Divan times, and filters by the text behind `--`; the table at the end has GFLOP/s of arithmetic and GB/s of memory, of the fastest
//! call, beside a loop of multiply-adds in registers and a sum over memory that run in the same program on as many threads.

mod load;
mod record;
mod shapes;

use kamacite::memory::GradMode;
use kamacite::op::activation::apply;
use kamacite::op::conv::Slices;
use kamacite::op::gemm::{Mat, Product, gemm, workspace};
use kamacite::op::pool;
use kamacite::*;
use record::{Work, bench, cpu, device};
use shapes::{Conv, Gemm, Image};

fn main() {
    divan::main();
    record::print();
}

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919) % 1013) as f32 / 500.0 - 1.0).collect()
}

#[divan::bench(args = shapes::gemms(), max_time = 0.2)]
fn product(bencher: divan::Bencher<'_, '_>, s: &Gemm) {
    let [m, n, k] = s.size;
    let (a, b, mut c) = (numbers(m * k), numbers(k * n), vec![0.0; m * n]);
    let mut work = vec![0.0; workspace::<f32>(cpu(), s.size)];
    let a = if s.transposed[0] { Mat::rows(&a, m).t() } else { Mat::rows(&a, k) };
    let b = if s.transposed[1] { Mat::rows(&b, k).t() } else { Mat::rows(&b, n) };
    let product = Product::new(s.size, a, b);
    let work_done = Work::Flops(2.0 * m as f64 * n as f64 * k as f64);
    bench(bencher, &format!("product {s}"), work_done, || gemm(cpu(), &product, &mut c, n, &mut work));
}

#[divan::bench(args = shapes::convs(), max_time = 0.2)]
fn conv(bencher: divan::Bencher<'_, '_>, s: &Conv) {
    let g = &s.geometry;
    let conv = Slices::new(cpu(), *g, s.batch).expect("it fits");
    let (x, dy, w) = (numbers(s.batch * g.x.len()), numbers(s.batch * g.y.len()), numbers(g.weights().iter().product()));
    let mut out = match s.direction {
        "fwd" => dy.clone(),
        "dx" => x.clone(),
        _ => w.clone(),
    };
    let work = Work::Flops(2.0 * (s.batch * g.y.area()) as f64 * w.len() as f64);
    bench(bencher, &format!("conv {s}"), work, || match s.direction {
        "fwd" => conv.forward(&x, &w, None, &mut out),
        "dx" => conv.input_gradient(&dy, &w, GradMode::Write, &mut out),
        _ => conv.weight_gradient(&x, &dy, GradMode::Write, &mut out),
    });
}

/// Reads x, writes y; and for training which input won.
#[divan::bench(args = shapes::pools(), max_time = 0.2)]
fn max_pool(bencher: divan::Bencher<'_, '_>, s: &Image) {
    let g = pool_geometry(s);
    let (x, n) = (numbers(s.batch * s.extent.len()), s.batch * g.output().len());
    let (mut y, mut winner) = (vec![0.0; n], vec![0; n]);
    bench(bencher, &format!("max pool fwd {s}"), bytes(x.len() + 2 * n), || pool::max(cpu(), &g, &x, &mut y, Some(&mut winner)));
}

/// Reads dy and the winners, writes dx.
#[divan::bench(args = shapes::pools(), max_time = 0.2)]
fn max_pool_gradient(bencher: divan::Bencher<'_, '_>, s: &Image) {
    let g = pool_geometry(s);
    let (mut x, n) = (numbers(s.batch * s.extent.len()), s.batch * g.output().len());
    let (mut y, mut winner) = (vec![0.0; n], vec![0; n]);
    pool::max(cpu(), &g, &x, &mut y, Some(&mut winner)).expect("it fits");
    let work = bytes(x.len() + 2 * n);
    bench(bencher, &format!("max pool dx {s}"), work, || pool::max_gradient(cpu(), &g, &y, &winner, GradMode::Write, &mut x));
}

fn pool_geometry(s: &Image) -> pool::Geometry {
    let size = s.extent.space().map(|n| if n > 1 { 2 } else { 1 });
    pool::Geometry::new(s.extent, Window { stride: size, ..Window::new(size) }).expect("it fits")
}

fn bytes(numbers: usize) -> Work {
    Work::Bytes(4.0 * numbers as f64)
}

/// Batch norm in training, forward and backward: in each direction the statistics need a pass before the one that writes.
/// With the copy of the input into the plan.
#[divan::bench(args = shapes::norms(), max_time = 0.2)]
fn batch_norm(bencher: divan::Bencher<'_, '_>, s: &Image) {
    let mut net = Network::new(s.extent);
    net.push(Norm::batch());
    let mut model = Model::builder(net).device(device()).build().expect("it fits");
    let (x, dy) = (numbers(s.batch * s.extent.len()), numbers(s.batch * s.extent.len()));
    // Copies of x and dy: 2 each. Forward: x twice, y. Backward: x and dy twice, dx.
    bench(bencher, &format!("batch norm fwd+bwd {s}"), bytes(12 * x.len()), || {
        model.forward(Mode::Train, View::new(s.extent, &x)?)?;
        model.backward(View::new(s.extent, &dy)?, Grads::Write).map(|_| ())
    });
}

#[divan::bench(args = [7, 10, 128, 1000], max_time = 0.2)]
fn softmax(bencher: divan::Bencher<'_, '_>, classes: usize) {
    let x = numbers((1 << 18) / classes * classes);
    let mut y = x.clone();
    bench(bencher, &format!("softmax of {classes}"), bytes(2 * x.len()), || apply(cpu(), Softmax, &x, &mut y, classes));
}

/// One update of 2^24 weights, more than caches hold: what is read and written for each.
#[divan::bench(args = ["sgd", "momentum", "adam"], max_time = 0.3)]
fn update(bencher: divan::Bencher<'_, '_>, rule: &str) {
    let (optimizer, words): (Box<dyn Optimizer>, usize) = match rule {
        "sgd" => (Box::new(Sgd::new(1e-4)), 3),
        "momentum" => (Box::new(Sgd::new(1e-4).momentum(0.9)), 5),
        _ => (Box::new(Adam::new(1e-4)), 7),
    };
    let mut net = Network::new(Extent::flat(4096));
    net.push(Dense::new(4096).no_bias());
    let mut model = Model::builder(net).device(device()).input_gradients(false).build().expect("it fits");
    let x = numbers(4096);
    let y = View::new(Extent::flat(4096), &x).expect("it fits");
    model.forward(Mode::Train, y).expect("it fits");
    model.backward_parameters(y, Grads::Write).expect("it fits");
    bench(bencher, &format!("update {rule}"), bytes(words << 24), || model.step(&*optimizer));
}
