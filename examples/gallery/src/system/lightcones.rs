//! Cosmology and first galaxies out of 21-cm light-cones: 3D-21cmPIE-Net (HE4).
//!
//! cargo run --release -p kamacite-gallery -- lightcones
//!
//! The network at its published size: cones of 140×140 cells on the sky and 2350 along the line of sight; a convolution of 3×3×102 in steps of
//! 102 cells, which looks at the sky in 23 pieces of cosmic time, then 3×3×2 five times with two poolings of the sky and zero padding by hand,
//! the mean, three dense layers of 128, six sigmoids: 651 526 parameters, glorot, MSE, Adam 5·10⁻⁵ with AMSGrad. The axes are d and h for the sky
//! and w, the innermost, for the line of sight. `lightcones_full` runs this network once.
//!
//! Trained here is the same list of layers on 20×20×160 cells of 600 generated cones, stretched by asinh(δT/10 mK) and standardised redshift by redshift,
//! with 3×3×10 and steps of 10 in the first layer; the rate is 10⁻³ with a cosine and batches hold 5, for a run of minutes. `--data FOLDER` takes `lightcones-x.npy` (n, sky,
//! sky, depth, 1) and `lightcones-t.npy` (n, 6).
//!
//! | R² on 150 cones, seeds 1, 2, 3 | chance | linear (mean and deviation at each redshift) | PyTorch | here |
//! |---|---|---|---|---|
//! | Ω_m | 0 | 0.82, 0.84, 0.83 | 0.72, 0.72, 0.73 | 0.77, 0.75, 0.65 |
//! | L_X | 0 | 0.94, 0.94, 0.94 | 0.90, 0.85, 0.92 | 0.92, 0.92, 0.92 |
//! | T_vir | 0 | 0.96, 0.96, 0.94 | 0.95, 0.93, 0.91 | 0.96, 0.93, 0.92 |
//! | ζ | 0 | 0.74, 0.73, 0.71 | 0.55, 0.43, 0.81 | 0.81, 0.80, 0.84 |
//! | m_WDM, E₀ | 0 | below 0.03 | below 0.05 | below 0.06 |
//!
//! The generated cones have little that moments do not tell: the linear model is hard to beat. 36 s; `lightcones_full` takes 433 MiB for its plan, 0.7 GB
//! for the process, and 2 s of processor time.

use crate::options::{Options, stop_on_signals};
use crate::sky;
use kamacite::data::{Samples, npy};
use kamacite::optim::Schedule;
use kamacite::rng::{Purpose, Stream};
use kamacite::*;

/// The published size.
const FULL: Extent = Extent::cube(140, 140, 2350, 1);

/// 3D-21cmPIE-Net for cones of this extent; the first layer takes `depth` cells of the line of sight at a time.
fn network(cone: Extent, depth: usize) -> Network {
    let mut net = Network::new(cone);
    let conv = |filters, d| Conv::new(filters, [3, 3, d]).act(Relu).init(Init::XavierUniform);
    let sky_border = || ZeroPad::new([1, 1, 0], [1, 1, 0]);
    net.push(conv(32, depth).stride([1, 1, depth]));
    net.push(conv(32, 2));
    for filters in [64, 128] {
        net.push(Pool::max([2, 2, 1]));
        net.push(conv(filters, 2));
        net.push(sky_border());
        net.push(conv(filters, 2));
    }
    net.push(Pool::global_average());
    for _ in 0..3 {
        net.push(Dense::new(128).act(Relu).init(Init::XavierUniform));
    }
    net.push(Dense::new(6).act(Logistic).init(Init::XavierUniform));
    net
}

/// Trains a small one and judges each parameter.
pub fn run(o: &Options) -> Result<()> {
    let (side, n) = if o.smoke { (20, 40) } else { (20, 750) };
    let cones = match &o.data {
        None => sky::lightcones(side, n, o.seed)?,
        Some(folder) => {
            let t = npy::read(folder.join("lightcones-t.npy"))?.to_f32()?;
            npy::read(folder.join("lightcones-x.npy"))?.samples()?.with_values(Extent::flat(6), t)?
        }
    };
    let (mut train, mut test) = cones.split(cones.len() * 4 / 5)?;
    stretch(train.x_mut(0));
    stretch(test.x_mut(0));
    let (mean, deviation) = slices(&train);
    for x in [train.x_mut(0), test.x_mut(0)] {
        let rows = x.chunks_exact_mut(mean.len());
        rows.for_each(|x| x.iter_mut().zip(mean.iter().zip(&deviation)).for_each(|(x, (m, d))| *x = (*x - m) / d));
    }
    let mut t = Trainer::builder(network(cones.inputs()[0], 10), Mse, Adam::new(1e-3).amsgrad())
        .batch(5)
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .schedule(Schedule::cosine(o.epochs, 0.0).per_epoch())
        .data(train, Some(test.clone()))
        .build()?;
    stop_on_signals(&t.stop_handle())?;
    o.show_profile(|| t.profile())?;
    t.fit(o.epochs, &mut o.monitor(&[])?)?;
    let predicted = t.model_mut().predict_data(test.clone(), 10, Mode::Eval)?;
    let truth = test.t(0).unwrap_or_default();
    plot::scatter(
        o.file("lightcones.svg")?,
        &strong(truth),
        &strong(&predicted),
        plot::Labels::new("Ω_m, L_X, T_vir, ζ", "true", "predicted"),
    )?;
    let mut scores = r2(&predicted, truth)?;
    let each: String = sky::PARAMETERS.iter().zip(&scores).map(|(name, r2)| format!(" {name}={r2:.3}")).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    println!("RESULT r2_of_four={:.3}{each}", scores[3]);
    Ok(())
}

/// asinh(δT/10 mK): the troughs of −480 mK come closer, and the few mK between ionised and neutral gas, which tell ζ, are not lost beside them.
fn stretch(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = libm::asinh(10.0 * f64::from(*x)) as f32);
}

/// The mean and the deviation of the stretched training cones at each redshift. 0.1 on top of the deviation keeps slices that are almost everywhere
/// ionised from being blown up.
fn slices(train: &Samples) -> (Vec<f32>, Vec<f32>) {
    let depth = train.inputs()[0].w;
    let cells = (train.x(0).len() / depth) as f64;
    let moments = (0..depth).map(|i| {
        let slice = || train.x(0).iter().skip(i).step_by(depth).map(|&x| f64::from(x));
        let mean = slice().sum::<f64>() / cells;
        let variance = slice().map(|x| (x - mean) * (x - mean)).sum::<f64>() / cells;
        (mean as f32, (variance.sqrt() + 0.1) as f32)
    });
    moments.unzip()
}

/// The coefficient of determination of each parameter.
fn r2(predicted: &[f32], truth: &[f32]) -> Result<Vec<f64>> {
    let column = |values: &[f32], k| values.iter().skip(k).step_by(6).copied().collect::<Vec<_>>();
    (0..6).map(|k| metrics::r2(&column(predicted, k), &column(truth, k))).collect()
}

/// The four parameters that the sky depends on most.
fn strong(values: &[f32]) -> Vec<f32> {
    values.chunks_exact(6).flat_map(|p| [p[1], p[2], p[4], p[5]]).collect()
}

/// One prediction at the published size, untrained: what it takes of memory and time.
pub fn run_full(o: &Options) -> Result<()> {
    let cone = if o.smoke { Extent::cube(20, 20, 2350, 1) } else { FULL };
    let net = network(cone, 102);
    let report = net.report(Mode::Eval, 1)?;
    let mut model = Model::builder(net).device(o.device.clone()).precision(o.precision).seed(o.seed).build()?;
    let mut x = vec![0.0; cone.len()];
    sky::mean_cone(cone, &mut Stream::new(o.seed, Purpose::User, 0), &mut x);
    let begun = std::time::Instant::now();
    let y = model.forward(Mode::Eval, View::new(cone, &x)?)?.to_vec();
    let seconds = begun.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).map_or("unknown", str::trim);
    println!("{report}");
    println!("planned and predicted in {seconds:.2} s; peak of the process {peak}");
    let outputs: Vec<String> = y.iter().map(|y| format!("{y:.4}")).collect();
    println!("RESULT parameters={} outputs={}", report.parameters(), outputs.join(","));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_at_its_published_size() {
        let report = network(FULL, 102).report(Mode::Eval, 1).expect("a legal network");
        assert_eq!(report.parameters(), 651_526);
        assert_eq!(report.nodes[1].extent, Extent::cube(138, 138, 23, 32));
        assert_eq!(report.nodes[report.nodes.len() - 6].extent, Extent::cube(31, 31, 18, 128));
    }
}
