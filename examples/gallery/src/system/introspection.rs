//! What a network that classifies light-cones looks at, and how a map shows that it looks at the wrong thing.
//!
//! cargo run --release -p kamacite-gallery -- introspection        # 20 s on a busy machine
//!
//! HE5 to HE8 of the course on generated light-cones (16 slices of 12 × 12, bubbles of three sizes). One 3-D network (convolutions 8 and 16 of
//! 3³ with ReLU and max pooling, dense 32 and 3, Adam) is trained four times:
//! on clean simulations, with two seeds; on the same seen through noise; and on noisy ones of which every one with large bubbles carries a
//! bright voxel ("Clever Hans"). Of the last, saliency, SmoothGrad, Grad-CAM and occlusion must each find the voxel: `rank_*` is the place of
//! its neighbourhood of 3³ among all voxels in the mean map, 1 the highest; `honest` is the same for SmoothGrad of the network that never saw
//! the voxel. `accuracy_uncued` is what is left when it is taken away. `shift` is 1 − the correlation of the |SmoothGrad| maps of the networks
//! trained on simulations and on noise, sample by sample, `shift_seeds` that of the two seeds: what the noise changed, beside what chance
//! changes. `depth` and `depth_noise` are the mean slices of these maps.
//!
//! | accuracy on 500 light-cones | chance | linear | the same network in PyTorch | here |
//! |---|---|---|---|---|
//! | seeds 1, 2, 3 | 33.3 % | 35.4 % | 97.2 to 99.6 % | 99.4 to 100.0 % |

use crate::options::Options;
use crate::sky::{bubbles, noisy};
use kamacite::data::{Dataset, Samples};
use kamacite::introspect::{
    Gradient, Maps, Occlusion, Score, Smooth, activations, filters, grad_cam, occlusion, saliency, smooth_grad,
};
use kamacite::plot::{Colours, Tile, sheet};
use kamacite::*;

/// The class that carries the bright voxel, where, and how bright.
const CLASS: u32 = 2;
const PLANTED: [usize; 3] = [4, 2, 9];
const BRIGHT: f32 = 6.0;

/// Standard deviation of the noise, in units of the mean neutral medium.
const NOISE: f64 = 0.7;

/// Trains, looks, and writes the pictures.
pub fn run(o: &Options) -> Result<()> {
    let (count, first, looked) = if o.smoke { (120, 90, 8) } else { (2000, 1500, 64) };
    let clean = bubbles(count, 1)?;
    let sky = noisy(clean.clone(), NOISE, 2)?;
    let mut cued = sky.clone();
    plant(&mut cued);
    let (mut sim, accuracy) = train(o, &clean, first, o.seed)?;
    let (mut other, _) = train(o, &clean, first, o.seed + 1000)?;
    let (mut mock, accuracy_noise) = train(o, &sky, first, o.seed)?;
    let (mut hans, accuracy_cued) = train(o, &cued, first, o.seed)?;
    let uncued = sky.split(first)?.1;
    let accuracy_uncued = hans.model_mut().evaluate(uncued.clone(), 64)?.accuracy.unwrap_or(f64::NAN);

    // Light-cones of the class that neither network was trained on.
    let valid = cued.split(first)?.1;
    let chosen: Vec<usize> = (0..valid.len()).filter(|&i| valid.labels(0).is_some_and(|t| t[i] == CLASS)).take(looked).collect();
    let large = valid.subset(&chosen)?;
    let maps = look(hans.model_mut(), &large, o.seed)?;
    let honest = &look(mock.model_mut(), &large, o.seed)?[1];
    let ranks: Vec<usize> = maps.iter().map(|(_, map)| rank(map)).collect();

    let view = clean.split(first)?.1.subset(&(0..looked).collect::<Vec<_>>())?;
    let of = |t: &mut Trainer| smoothed(t.model_mut(), &view, o.seed);
    let (a, b, c) = (of(&mut sim)?, of(&mut other)?, of(&mut mock)?);
    let apart = |b: &Maps| (0..looked).map(|i| 1.0 - correlation(a.row(i), b.row(i))).sum::<f64>() / looked as f64;
    let (shift, shift_seeds, depths) = (apart(&c), apart(&b), (depth(&a), depth(&c)));

    pictures(o, &mut hans, &large, &maps)?;
    println!(
        "RESULT accuracy={accuracy:.4} accuracy_noise={accuracy_noise:.4} accuracy_cued={accuracy_cued:.4} accuracy_uncued={accuracy_uncued:.4} rank_saliency={} rank_smoothgrad={} rank_gradcam={} rank_occlusion={} honest={} shift={shift:.3} shift_seeds={shift_seeds:.3} depth={:.2} depth_noise={:.2}",
        ranks[0],
        ranks[1],
        ranks[2],
        ranks[3],
        rank(&honest.1),
        depths.0,
        depths.1
    );
    Ok(())
}

/// The bright voxel in every light-cone of the class.
fn plant(samples: &mut Samples) {
    let labels = samples.labels(0).map(<[u32]>::to_vec).unwrap_or_default();
    let extent = samples.inputs()[0];
    for (x, label) in samples.x_mut(0).chunks_exact_mut(extent.len()).zip(labels) {
        if label == CLASS {
            x[(PLANTED[0] * extent.h + PLANTED[1]) * extent.w + PLANTED[2]] = BRIGHT;
        }
    }
}

fn train(o: &Options, samples: &Samples, first: usize, seed: u64) -> Result<(Trainer, f64)> {
    let (train, valid) = samples.split(first)?;
    let mut net = Network::new(train.inputs()[0]);
    net.push(Conv::new(8, 3).pad(1).act(Relu));
    net.push(Pool::max(2));
    net.push(Conv::new(16, 3).pad(1).act(Relu));
    net.push(Pool::max(2));
    net.push(Dense::new(32).act(Relu));
    net.push(Dense::new(3));
    let mut t = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(1e-3))
        .batch(32)
        .seed(seed)
        .device(o.device.clone())
        .precision(o.precision)
        .data(train, Some(valid))
        .build()?;
    let report = t.fit(o.epochs, &mut Silent)?;
    Ok((t, report.valid.and_then(|v| v.accuracy).unwrap_or(f64::NAN)))
}

/// The mean maps of the class, by each method.
fn look(model: &mut Model, samples: &Samples, seed: u64) -> Result<Vec<(&'static str, Maps)>> {
    let x = View::new(samples.inputs()[0], samples.x(0))?;
    let score = Score::channel(CLASS as usize);
    let conv = model.network().node("conv1").ok_or_else(|| Error::plan("introspection", "no first convolution"))?;
    let covered = Occlusion::new([2, 2, 2]).stride([1, 1, 1]).fill(1.0);
    Ok(vec![
        ("saliency", saliency(model, x, &score, Gradient::Absolute)?.remove(0).mean()),
        ("SmoothGrad", smoothed(model, samples, seed)?.mean()),
        ("Grad-CAM", grad_cam(model, x, &score, conv)?.mean()),
        ("occlusion", occlusion(model, x, &score, &covered)?.mean()),
    ])
}

fn smoothed(model: &mut Model, samples: &Samples, seed: u64) -> Result<Maps> {
    let x = View::new(samples.inputs()[0], samples.x(0))?;
    let smooth = Smooth { draws: 5, noise: 0.2, seed };
    Ok(smooth_grad(model, x, &Score::channel(CLASS as usize), Gradient::Absolute, &smooth)?.remove(0))
}

/// How many voxels lie above the highest of those around the planted one, and one.
fn rank(map: &Maps) -> usize {
    let (e, values) = (map.extent(), map.row(0));
    let near = |i: usize| {
        let at = [i / (e.h * e.w), i / e.w % e.h, i % e.w];
        at.iter().zip(PLANTED).all(|(a, b)| a.abs_diff(b) <= 1)
    };
    let top = (0..values.len()).filter(|&i| near(i)).map(|i| values[i]).fold(f32::NEG_INFINITY, f32::max);
    1 + (0..values.len()).filter(|&i| !near(i) && values[i] >= top).count()
}

/// The mean slice, weighted by the maps.
fn depth(maps: &Maps) -> f64 {
    let slice = maps.extent().h * maps.extent().w;
    let total: f64 = maps.values().iter().map(|v| f64::from(*v)).sum();
    let at = |i: usize| (i % maps.extent().len() / slice) as f64;
    maps.values().iter().enumerate().map(|(i, v)| at(i) * f64::from(*v)).sum::<f64>() / total
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |x: &[f32]| x.iter().map(|v| f64::from(*v)).sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |x: &[f32], mx: f64, y: &[f32], my: f64| {
        x.iter().zip(y).map(|(x, y)| (f64::from(*x) - mx) * (f64::from(*y) - my)).sum::<f64>()
    };
    sum(a, ma, b, mb) / libm::sqrt(sum(a, ma, a, ma) * sum(b, mb, b, mb))
}

/// One sheet of the light-cone, its maps, the filters and what they yield, at the depth of the planted voxel; the maps as FITS.
fn pictures(o: &Options, t: &mut Trainer, large: &Samples, maps: &[(&'static str, Maps)]) -> Result<()> {
    let e = large.inputs()[0];
    let slice = |x: &[f32], channels: usize, c: usize| -> Vec<f32> {
        let plane = &x[PLANTED[0] * e.h * e.w * channels..(PLANTED[0] + 1) * e.h * e.w * channels];
        plane.iter().skip(c).step_by(channels).copied().collect()
    };
    let (row, column) = (PLANTED[1] as f64, PLANTED[2] as f64);
    let mut tiles = vec![Tile::new("a light-cone", e.h, e.w, &slice(large.x(0), 1, 0)).colours(Colours::Grey)];
    for (name, map) in maps {
        tiles.push(Tile::new(*name, e.h, e.w, &slice(map.row(0), 1, 0)).circle(row, column, 1.6));
    }
    let model = t.model_mut();
    let conv = model.network().node("conv1").ok_or_else(|| Error::plan("introspection", "no first convolution"))?;
    let weights = filters(model, conv)?;
    let features = activations(model, View::new(e, &large.x(0)[..e.len()])?, conv)?;
    let most = weights.values().iter().map(|w| f64::from(w.abs())).fold(1e-6, f64::max);
    for f in 0..5 {
        // The middle plane of each filter.
        tiles.push(
            Tile::new(format!("filter {}", f + 1), 3, 3, &weights.row(f)[9..18]).colours(Colours::Signed).range(-most, most),
        );
    }
    for f in 0..5 {
        tiles.push(Tile::new(format!("activation {}", f + 1), e.h, e.w, &slice(features.row(0), features.extent().c, f)));
    }
    sheet(o.file("introspection.png")?, 5, &tiles)?;
    let mut file = data::fits::Writer::create(o.file("introspection.fits")?)?;
    for (name, map) in maps {
        file.image(&[e.d, e.h, e.w], map.row(0), &data::fits::Cards::new().with("EXTNAME", *name)?)?;
    }
    file.finish()
}
