//! Is this frame worth keeping: QualityClassifier (B14) and the checker that works beside the telescope (B15).
//!
//! cargo run --release -p kamacite-gallery -- quality train [--data FOLDER]
//! cargo run --release -p kamacite-gallery -- quality check FILE.fits...
//! cargo run --release -p kamacite-gallery -- quality watch FOLDER --on-bad 'mv -t rejected'
//!
//! Frames of class folders (`good`, `medium`, `bad`; generated where no `--data` names a folder that holds them), made 128 pixels long on their longer
//! side by averaging, filled up to a square with zeros, clipped to the 1st and 99th percentile, min-max; four convolutions of 16 to 128 filters
//! with batch norm and pooling, dense 256 with dropout 0.5, dense 3: 2 195 811 parameters; Adam 10⁻³, batches of 16, the best model is kept,
//! with the preparation and the names of the classes in its file.
//!
//! | accuracy on 75 frames | chance | linear | PyTorch | here |
//! |---|---|---|---|---|
//! | 450 frames, 160×160 | 33.3 % | 48.0 % | 88.0 to 90.7 % | 89.3 % (each of seeds 1 to 3) |
//!
//! A frame of 1024×1024 takes 3.2 ms with one thread: 0.65 to read, 1.5 to prepare, 1.05 to predict. Training takes 16 s of one processor's time.

use super::astronomy_cnn::{best_model, blocks, parts};
use crate::options::{Options, stop_on_signals};
use crate::sky;
use kamacite::data::fits::{Cards, Fits, Writer};
use kamacite::data::prepare::Interpolation;
use kamacite::data::{Files, Missing, Prepare, Subset};
use kamacite::optim::{Goal, ReduceOnPlateau};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pixels along a side of what the network sees.
const SIDE: usize = 128;

/// QualityClassifier.
fn network(classes: usize) -> Network {
    let mut net = Network::new(Extent::image(SIDE, SIDE, 1));
    blocks(&mut net, [16, 32, 64, 128]);
    net.push(Dense::new(256).act(Relu));
    net.push(Dropout::new(0.5));
    net.push(Dense::new(classes).init(Init::Normal(0.01)));
    net
}

/// From the frame to the network's input. Averaging is what 1024 pixels need to become 128 without picking some of them.
fn preparation() -> Prepare {
    Prepare::new().missing(Missing::Zero).fit(SIDE, Interpolation::Area).clip(0.01, 0.99).min_max(1e-8)
}

/// What the checker says about a frame.
pub struct Verdict {
    /// The number of its class.
    pub class: usize,
    /// Of every class.
    pub probabilities: Vec<f32>,
    /// What reading, preparing and predicting took.
    pub times: [Duration; 3],
}

/// A trained network with what its frames need.
pub struct Checker {
    model: Model,
    prepare: Prepare,
    classes: Vec<String>,
    frame: Vec<f32>,
}

impl Checker {
    /// Reads what `quality train` has written.
    ///
    /// # Errors
    /// A file that is none, or without its notes.
    pub fn load(path: &Path, device: Device) -> Result<Self> {
        let saved = Checkpoint::load(path)?;
        let note = |name: &str| {
            let missing =
                || Error::format(path.display(), format!("no note {name:?}")).hint("train it with `gallery quality train`");
            saved.notes(name).cloned().ok_or_else(missing)
        };
        let understood = |e: serde_json::Error| Error::format(path.display(), e);
        let mut checker = Self {
            prepare: serde_json::from_value(note("prepare")?).map_err(understood)?,
            classes: serde_json::from_value(note("classes")?).map_err(understood)?,
            model: saved.model(&Registry::standard(), device)?,
            frame: Vec::new(),
        };
        // The first prediction plans; a frame shall not wait for that.
        checker.predict(Extent::image(1, 1, 1), vec![0.0], Instant::now())?;
        Ok(checker)
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Reads, prepares and classifies a frame of any shape.
    ///
    /// # Errors
    /// A file that is no FITS image.
    pub fn judge(&mut self, path: &Path) -> Result<Verdict> {
        let begun = Instant::now();
        let image = Fits::open(path)?.first_image()?;
        let mut frame = std::mem::take(&mut self.frame);
        frame.resize(image.len(), 0.0);
        image.read_into(&mut frame, Missing::Zero)?;
        self.predict(image.extent()?, frame, begun)
    }

    fn predict(&mut self, extent: Extent, mut frame: Vec<f32>, begun: Instant) -> Result<Verdict> {
        let read = Instant::now();
        let extent = self.prepare.apply(&mut frame, extent).map_err(|e| e.at("frame"))?;
        let prepared = Instant::now();
        self.model.forward(Mode::Eval, View::new(extent, &frame)?)?;
        let probabilities = self.model.predict()?.to_vec();
        self.frame = frame;
        let times = [read - begun, prepared - read, prepared.elapsed()];
        Ok(Verdict { class: metrics::argmax(&probabilities)?, probabilities, times })
    }
}

/// Trains the classifier and judges the best model.
pub fn run(o: &Options) -> Result<()> {
    let folder = match &o.data {
        Some(folder) => folder.clone(),
        None => write(&o.file("training_data")?, if o.smoke { 36 } else { 450 })?,
    };
    let files = Files::folders(folder).classes(sky::QUALITIES).prepare(preparation()).open()?;
    let labels = files.class_indices().unwrap_or_default().to_vec();
    let parts = parts(o, &labels, 3, [4, 1, 1])?;
    let names = files.class_names().to_vec();
    let files: Arc<dyn Dataset> = files.into();
    let part = |i: usize| Subset::new(files.clone(), parts[i].clone());
    let best = o.file("quality.safetensors")?;
    // Of an earlier run, perhaps.
    drop(std::fs::remove_file(&best));
    let mut t = Trainer::builder(network(3), SoftmaxCrossEntropy, Adam::new(1e-3))
        .batch(16)
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .reduce_on_plateau(ReduceOnPlateau::new(Goal::Max).factor(0.5).patience(5))
        .note("prepare", &preparation())
        .note("classes", &names)
        .best(&best)
        .data(part(0)?, Some(part(1)?))
        .build()?;
    stop_on_signals(&t.stop_handle())?;
    o.show_profile(|| t.profile())?;
    t.fit(o.epochs, &mut o.monitor(&names)?)?;
    best_model(&mut t, &best)?;
    let judged = t.model_mut().evaluate(part(2)?, 16)?;
    let recall = judged.confusion.and_then(|c| c.recall(2)).unwrap_or(f64::NAN);
    picture(o, &files, &parts[2], &best)?;
    println!("wrote {}", best.display());
    println!("RESULT accuracy={:.4} recall_of_bad={recall:.4}", judged.accuracy.unwrap_or(f64::NAN));
    Ok(())
}

/// Two frames of each class as the network sees them, and what it says.
fn picture(o: &Options, files: &Arc<dyn Dataset>, rows: &[usize], best: &Path) -> Result<()> {
    if !best.exists() {
        return Ok(());
    }
    let mut checker = Checker::load(best, o.device.clone())?;
    let third = rows.len() / 3;
    let mut tiles = Vec::new();
    for &index in (0..2.min(third)).flat_map(|i| [0, 1, 2].map(|class| &rows[class * third + i])) {
        let mut frame = vec![0.0; SIDE * SIDE];
        files.input(Pick { index, epoch: 0, seed: 0 }, 0, &mut frame)?;
        checker.model.forward(Mode::Eval, View::new(Extent::image(SIDE, SIDE, 1), &frame)?)?;
        let probabilities = checker.model.predict()?.to_vec();
        let class = metrics::argmax(&probabilities)?;
        let caption = format!("{} {:.0} %", checker.classes[class], 100.0 * probabilities[class]);
        tiles.push(plot::Tile::new(caption, SIDE, SIDE, &frame).upwards());
    }
    if tiles.is_empty() { Ok(()) } else { plot::sheet(o.file("quality.png")?, 3, &tiles) }
}

/// Writes frames of 160×160 pixels into class folders.
fn write(folder: &Path, n: usize) -> Result<PathBuf> {
    for quality in sky::QUALITIES {
        let folder = folder.join(quality);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
    }
    (0..n).into_par_iter().try_for_each(|i| {
        let quality = sky::QUALITIES[i % 3];
        let frame = sky::frame(i % 3, [160, 160], &mut Stream::new(1, Purpose::User, i as u64));
        let mut file = Writer::create(folder.join(quality).join(format!("{i:04}.fits")))?;
        file.image(&[160, 160], &frame, &Cards::new().with("EXPTIME", 60.0)?.with("OBJECT", quality)?)?;
        file.finish()
    })?;
    Ok(folder.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_of_the_course() {
        let report = network(3).report(Mode::Eval, 1).expect("a legal network");
        assert_eq!(report.parameters(), 2_195_811);
    }
}
