//! AstronomyCNN (B11 to B13): what a FITS stamp shows, from a folder of files and a list of labels.
//!
//! cargo run --release -p kamacite-gallery -- astronomy_cnn
//!
//! Stamps `images/NNNNN.fits` and lines `NNNNN.fits,class` in `labels.txt`: spiral, elliptical, irregular, merger, artifact. `--data FOLDER` names a
//! folder of one's own, `labels.txt` beside `images`; without it stamps are made and written as FITS below `--out` first. Missing values become 0, then
//! clip to the 1st and 99th percentile, ln(x − min + 1), min-max; four times convolution 3×3, batch norm, ReLU, pooling, with 32, 64, 128 and 256
//! filters, dense 512 and 128 with dropout 0.5, dense 5: 34 010 053 parameters on stamps of 256×256, which files of that size give.
//! Adam 10⁻³, batches of 16, the rate halved where the validation's accuracy has not risen for more than five epochs, the best model kept.
//!
//! | accuracy on 360 stamps | chance | linear | PyTorch | here |
//! |---|---|---|---|---|
//! | 2400 stamps, 64×64 | 20 % | 60.0 % | 82.5 to 88.1 % (seeds 1 to 3) | 82.5 to 86.4 % (seeds 1 to 6) |
//!
//! `astronomy_cnn_full` is the same with 800 stamps of 256×256.

use crate::options::{Options, stop_on_signals};
use crate::sky;
use kamacite::data::fits::{Cards, Writer};
use kamacite::data::{Files, Prepare, Subset, split};
use kamacite::optim::{Goal, ReduceOnPlateau};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// Convolution, batch norm, ReLU and pooling for each number of filters.
pub fn blocks(net: &mut Network, filters: [usize; 4]) {
    for f in filters {
        net.push(Conv::new(f, 3).pad(1).init(Init::HeNormal));
        net.push(Norm::batch());
        net.push(layer::Activate::new(Relu));
        net.push(Pool::max(2));
    }
}

/// AstronomyCNN for stamps of this extent.
fn network(stamp: Extent, classes: usize) -> Network {
    let mut net = Network::new(stamp);
    blocks(&mut net, [32, 64, 128, 256]);
    for units in [512, 128] {
        net.push(Dense::new(units).act(Relu));
        net.push(Dropout::new(0.5));
    }
    net.push(Dense::new(classes).init(Init::Normal(0.01)));
    net
}

/// Stamps of 64×64, or the user's.
pub fn run(o: &Options) -> Result<()> {
    train(o, (64, if o.smoke { 60 } else { 2400 }))
}

/// Fewer stamps of the course's size.
pub fn run_full(o: &Options) -> Result<()> {
    train(o, if o.smoke { (128, 25) } else { (256, 800) })
}

/// Trains, goes back to the best model and judges it on stamps that neither training nor choosing has seen.
fn train(o: &Options, made: (usize, usize)) -> Result<()> {
    let folder = match &o.data {
        Some(folder) => folder.clone(),
        None => write(&o.file("stamps")?, made)?,
    };
    let files = Files::labels(folder.join("labels.txt")).folder(folder.join("images")).prepare(Prepare::astronomy()).open()?;
    let (labels, stamp) = (files.class_indices().unwrap_or_default().to_vec(), files.inputs()[0]);
    let classes = 1 + labels.iter().max().map_or(0, |&last| last as usize);
    let names = if o.data.is_none() { sky::KINDS.map(String::from).to_vec() } else { files.class_names().to_vec() };
    let parts = parts(o, &labels, classes, [14, 3, 3])?;
    let preparation = files.preparation().clone();
    let files: Arc<dyn Dataset> = files.into();
    let [train, valid, test] = parts.map(|rows| Subset::new(files.clone(), rows));
    let best = o.file("astronomy_cnn.safetensors")?;
    let mut t = Trainer::builder(network(stamp, classes), SoftmaxCrossEntropy, Adam::new(1e-3))
        .batch(16)
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .reduce_on_plateau(ReduceOnPlateau::new(Goal::Max).factor(0.5).patience(5))
        .note("prepare", &preparation)
        .note("classes", &names)
        .checkpoint(o.file("last.safetensors")?)
        .best(&best);
    if o.resume {
        t = t.resume(o.file("last.safetensors")?);
    } else {
        // Of an earlier run, perhaps.
        drop(std::fs::remove_file(&best));
    }
    let mut t = t.data(train?, Some(valid?)).build()?;
    stop_on_signals(&t.stop_handle())?;
    o.show_profile(|| t.profile())?;
    let report = t.fit(o.epochs, &mut o.monitor(&names)?)?;
    plot::history(o.file("astronomy_cnn.svg")?, t.history())?;
    println!("waited {:.2} % of the time for data", 100.0 * report.waited / report.seconds);
    if report.ended == train::Ended::Stopped {
        println!("stopped in epoch {}; --resume auto goes on", t.epoch() + 1);
        return Ok(());
    }
    best_model(&mut t, &best)?;
    let accuracy = t.model_mut().evaluate(test?, 16)?.accuracy.unwrap_or(f64::NAN);
    println!("RESULT accuracy={accuracy:.4} best_epoch={}", best_epoch(t.history()));
    Ok(())
}

/// The first epoch of the highest accuracy.
fn best_epoch(history: &[train::Record]) -> u64 {
    let score = |r: &&train::Record| r.accuracy.unwrap_or(0.0);
    history.iter().rev().max_by(|a, b| score(a).total_cmp(&score(b))).map_or(0, |r| r.epoch)
}

/// Rows to train on, to choose the model by, and to judge it by: `shares` of every class, drawn by lot out of a user's files; generated ones are in
/// no order, and the first of each class are to train on.
pub fn parts(o: &Options, labels: &[u32], classes: usize, shares: [usize; 3]) -> Result<[Vec<usize>; 3]> {
    let sum: usize = shares.iter().sum();
    if o.data.is_some() {
        let parts = split::stratified(labels, classes, &shares.map(|s| s as f64 / sum as f64), 42)?;
        return parts.try_into().map_err(|parts: Vec<_>| Error::value("split", "parts").expected(3).got(parts.len()));
    }
    let mut parts = [const { Vec::new() }; 3];
    for rows in split::by_class(labels, classes)? {
        let [a, b] = [shares[0], shares[0] + shares[1]].map(|s| rows.len() * s / sum);
        let cuts = [&rows[..a], &rows[a..b], &rows[b..]];
        parts.iter_mut().zip(cuts).for_each(|(part, rows)| part.extend_from_slice(rows));
    }
    Ok(parts)
}

/// Goes back to the best weights; a run that was stopped before the first validation has none but its last.
pub fn best_model(t: &mut Trainer, best: &Path) -> Result<()> {
    if best.exists() { t.model_mut().restore(&Checkpoint::load(best)?) } else { Ok(()) }
}

/// Writes stamps, the kinds in turn, and their labels; what is there already is written anew.
fn write(folder: &Path, (side, n): (usize, usize)) -> Result<std::path::PathBuf> {
    let images = folder.join("images");
    std::fs::create_dir_all(&images).map_err(|e| Error::io(&images, e))?;
    (0..n).into_par_iter().try_for_each(|i| {
        let mut stamp = vec![0.0; side * side];
        sky::stamp(i % 5, &mut stamp, &mut Stream::new(1, Purpose::User, i as u64));
        let mut file = Writer::create(images.join(format!("{i:05}.fits")))?;
        file.image(&[side, side], &stamp, &Cards::new().with("OBJECT", sky::KINDS[i % 5])?)?;
        file.finish()
    })?;
    let labels: String = (0..n).map(|i| format!("{i:05}.fits,{}\n", i % 5)).collect();
    let list = folder.join("labels.txt");
    std::fs::write(&list, labels).map_err(|e| Error::io(&list, e))?;
    Ok(folder.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_of_the_course() {
        let report = network(Extent::image(256, 256, 1), 5).report(Mode::Eval, 1).expect("a legal network");
        assert_eq!(report.parameters(), 34_010_053);
    }
}
