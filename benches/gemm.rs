//! Speed of matrix products: `cargo bench --bench gemm -- [threads] [seconds per shape] [name filter]`.
//!
//! Prints one JSON line for each shape: GFLOP/s (median, least, most of 5 blocks) and nanoseconds per call. The shapes are
//! squares, and the three products of dense layers and of convolutions written as products.

use kamacite::op::gemm::{Mat, Product, gemm, workspace};
use kamacite::{Cpu, Result};
use std::time::Instant;

/// (name, m, n, k, A transposed, B transposed)
const SHAPES: &[(&str, usize, usize, usize, bool, bool)] = &[
    ("tiny4", 1, 4, 4, false, false),
    ("tiny35", 1, 35, 35, false, false),
    ("iris.fwd", 8, 8, 4, false, false),
    ("iris.dw", 4, 8, 8, true, false),
    ("iris.dx", 8, 4, 8, false, true),
    ("square64", 64, 64, 64, false, false),
    ("square128", 128, 128, 128, false, false),
    ("square256", 256, 256, 256, false, false),
    ("square512", 512, 512, 512, false, false),
    ("square1024", 1024, 1024, 1024, false, false),
    ("square2048", 2048, 2048, 2048, false, false),
    ("digits1.fwd", 64, 64, 3753, false, false),
    ("digits1.dw", 3753, 64, 64, true, false),
    ("mnist1.fwd", 32, 128, 784, false, false),
    ("mnist1.dw", 784, 128, 32, true, false),
    ("mnist1b.fwd", 128, 128, 784, false, false),
    ("mnist1b.dw", 784, 128, 128, true, false),
    ("dense2.fwd", 64, 256, 784, false, false),
    ("dense2.dx", 64, 784, 256, false, true),
    ("dense2.dw", 784, 256, 64, true, false),
    ("spectra3.fwd", 16, 256, 1888, false, false),
    ("spectra3.dx", 16, 1888, 256, false, true),
    ("spectra3.dw", 1888, 256, 16, true, false),
    ("galaxy4.fwd", 16, 256, 8192, false, false),
    ("galaxy4.dx", 16, 8192, 256, false, true),
    ("galaxy4.dw", 8192, 256, 16, true, false),
    ("large4.fwd", 16, 512, 65536, false, false),
    ("conv1.fwd", 12544, 16, 200, false, false),
    ("conv1.dx", 12544, 200, 16, false, true),
    ("conv1.dw", 200, 16, 12544, true, false),
    ("conv3.fwd", 4096, 128, 576, false, false),
    ("conv3.dx", 4096, 576, 128, false, true),
    ("conv3.dw", 576, 128, 4096, true, false),
    ("deep14.fwd", 1024, 1024, 6912, false, false),
    ("deep14.dx", 1024, 6912, 1024, false, true),
    ("deep14.dw", 6912, 1024, 1024, true, false),
    ("one.dx", 1, 784, 256, false, true),
    ("one.fwd", 1, 256, 784, false, false),
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` passes --bench; without any argument this is `cargo test --benches`, which wants to be quick.
    let largest = if args.is_empty() { 1 << 20 } else { usize::MAX };
    let args: Vec<String> = args.into_iter().filter(|a| a != "--bench").collect();
    let threads = args.first().and_then(|a| a.parse().ok()).unwrap_or(1);
    let seconds = args.get(1).and_then(|a| a.parse().ok()).unwrap_or(0.2);
    let filter = args.get(2).map_or("", String::as_str);
    let cpu = Cpu::new(threads)?;
    for &(name, m, n, k, ta, tb) in SHAPES.iter().filter(|s| s.0.contains(filter) && s.1 * s.2 * s.3 < largest) {
        let fill = |len: usize, step: f32| (0..len).map(|i| (i as f32 * step).fract() - 0.5).collect::<Vec<f32>>();
        let (a, b, mut c) = (fill(m * k, 0.618_034), fill(k * n, 0.414_213), vec![0.0; m * n]);
        let mut work = vec![0.0; workspace::<f32>(&cpu, [m, n, k])];
        let a = if ta { Mat::rows(&a, m).t() } else { Mat::rows(&a, k) };
        let b = if tb { Mat::rows(&b, k).t() } else { Mat::rows(&b, n) };
        let product = Product::new([m, n, k], a, b);
        let mut time = |calls: usize| -> Result<f64> {
            let start = Instant::now();
            for _ in 0..calls {
                gemm(&cpu, &product, &mut c, n, &mut work)?;
            }
            Ok(start.elapsed().as_secs_f64() / calls as f64)
        };
        let mut calls = 1;
        while time(calls)? * (calls as f64) < seconds / 10.0 {
            calls *= 2;
        }
        let calls = (seconds / 5.0 / time(calls)?).ceil() as usize;
        let mut blocks = [0.0; 5];
        for block in &mut blocks {
            *block = time(calls)?;
        }
        blocks.sort_by(f64::total_cmp);
        let rate = |t: f64| 2.0 * (m * n * k) as f64 / t / 1e9;
        println!(
            "{{\"bench\":\"gemm\",\"name\":\"{name}\",\"isa\":\"{}\",\"threads\":{threads},\"m\":{m},\"n\":{n},\"k\":{k},\
             \"gflops\":{:.1},\"min\":{:.1},\"max\":{:.1},\"ns\":{:.0}}}",
            cpu.isa(),
            rate(blocks[2]),
            rate(blocks[4]),
            rate(blocks[0]),
            blocks[2] * 1e9
        );
    }
    Ok(())
}
