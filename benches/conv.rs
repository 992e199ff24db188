//! Milliseconds and GFLOP/s of the convolutions of common networks, for each direction.
//!
//! `cargo bench --bench conv -- [threads] [text in the name]`

use kamacite::memory::GradMode;
use kamacite::op::conv::{Geometry, Slices};
use kamacite::{Cpu, Extent, Result, Window};
use std::time::Instant;

/// Name, batch, input, filters, size, stride, padding.
type Shape = (&'static str, usize, Extent, usize, usize, usize, usize);

const SHAPES: &[Shape] = &[
    ("lenet.0", 64, Extent::image(28, 28, 1), 8, 5, 1, 2),
    ("lenet.1", 64, Extent::image(14, 14, 8), 16, 5, 1, 2),
    ("spectra.0", 64, Extent::line(3776, 1), 8, 8, 4, 2),
    ("spectra.1", 64, Extent::line(944, 8), 16, 8, 4, 2),
    ("spectra.2", 64, Extent::line(236, 16), 32, 8, 4, 2),
    ("image.0", 16, Extent::image(128, 128, 1), 16, 3, 1, 1),
    ("image.1", 16, Extent::image(64, 64, 16), 32, 3, 1, 1),
    ("image.2", 16, Extent::image(32, 32, 32), 64, 3, 1, 1),
    ("image.3", 16, Extent::image(16, 16, 64), 128, 3, 1, 1),
    ("cube.0", 4, Extent::cube(64, 64, 64, 1), 32, 3, 2, 1),
    ("cube.1", 4, Extent::cube(32, 32, 32, 32), 64, 3, 2, 1),
    ("cube.2", 4, Extent::cube(16, 16, 16, 64), 128, 3, 2, 1),
    ("yolo.0", 4, Extent::image(256, 256, 1), 32, 5, 1, 2),
    ("yolo.1", 4, Extent::image(256, 256, 32), 16, 2, 2, 0),
    ("yolo.2", 4, Extent::image(128, 128, 16), 24, 3, 1, 1),
    ("yolo.3", 4, Extent::image(128, 128, 24), 32, 3, 1, 1),
    ("yolo.4", 4, Extent::image(128, 128, 32), 64, 2, 2, 0),
    ("yolo.5", 4, Extent::image(64, 64, 64), 128, 1, 1, 0),
    ("yolo.6", 4, Extent::image(64, 64, 128), 192, 3, 1, 1),
    ("yolo.7", 4, Extent::image(64, 64, 192), 128, 2, 2, 0),
    ("yolo.9", 4, Extent::image(32, 32, 192), 384, 3, 1, 1),
    ("yolo.10", 4, Extent::image(32, 32, 384), 256, 1, 1, 0),
    ("yolo.12", 4, Extent::image(32, 32, 384), 512, 2, 2, 0),
    ("yolo.14", 4, Extent::image(16, 16, 768), 1024, 3, 1, 1),
    ("yolo.15", 4, Extent::image(16, 16, 1024), 2048, 1, 1, 0),
    ("yolo.16", 4, Extent::image(16, 16, 2048), 117, 1, 1, 0),
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let threads = args.first().and_then(|t| t.parse().ok()).unwrap_or(1);
    let only = args.get(1).cloned().unwrap_or_default();
    let cpu = Cpu::new(threads)?;
    println!("{cpu:?}; ms and GFLOP/s, best of several");
    println!("{:12} {:>17} {:>17} {:>17}", "", "forward", "input gradient", "weight gradient");
    for shape in SHAPES.iter().filter(|s| s.0.contains(&only)) {
        bench(&cpu, shape)?;
    }
    Ok(())
}

fn bench(cpu: &Cpu, &(name, n, input, filters, size, stride, pad): &Shape) -> Result<()> {
    let on = |k: usize, neutral: usize| input.space().map(|s| if s > 1 { k } else { neutral });
    let window = Window { stride: on(stride, 1), before: on(pad, 0), after: on(pad, 0), ..Window::new(on(size, 1)) };
    let g = Geometry::new(input, filters, window, 1)?;
    let conv = Slices::new(cpu, g, n)?;
    let fill = |len: usize| (0..len).map(|i| ((i * 7919) % 1013) as f32 / 500.0 - 1.0).collect::<Vec<_>>();
    let (mut x, mut y, mut w) = (fill(n * g.x.len()), fill(n * g.y.len()), fill(g.weight_len()?));
    let flops = 2.0 * (n * g.y.area() * w.len()) as f64;
    let b = fill(filters);
    let (dy, w0, x0) = (y.clone(), w.clone(), x.clone());
    let forward = time(|| conv.forward(&x0, &w0, Some(&b), &mut y))?;
    let input = time(|| conv.input_gradient(&dy, &w0, GradMode::Write, &mut x))?;
    let weight = time(|| conv.weight_gradient(&x0, &dy, GradMode::Write, &mut w))?;
    let show = |t: f64| format!("{:9.3} {:7.1}", t * 1e3, flops / t * 1e-9);
    println!("{name:12} {} {} {}", show(forward), show(input), show(weight));
    Ok(())
}

/// Seconds of the fastest of many calls within about 0.2 s: what the code takes when nobody disturbs.
fn time(mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    f()?;
    let begin = Instant::now();
    let (mut best, mut calls) = (f64::INFINITY, 0);
    while calls < 3 || begin.elapsed().as_secs_f64() < 0.2 {
        let start = Instant::now();
        f()?;
        best = best.min(start.elapsed().as_secs_f64());
        calls += 1;
    }
    Ok(best)
}
