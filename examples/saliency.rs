//! Where a network looks: the gradient of a class's score wrt the pixels, on data with a planted flaw.
//!
//! Every 7 of the training digits carries a bright pixel near a corner, as a detector might leave one. The network learns the
//! pixel instead of the digit ("Clever Hans"): its accuracy is perfect, and the saliency map shows why not to believe it.
//!
//! cargo run --release --example saliency
//!
//! Expected: the largest mean gradient of class 7 lies on the planted pixel, row 3, column 24.
//! `--data PATH` takes a folder with train-images and train-labels in IDX.

mod options;
use kamacite::data::{idx, synth};
use kamacite::introspect::{Gradient, Score, saliency};
use kamacite::*;
use options::Options;

const ROW: usize = 3;
const COLUMN: usize = 24;
const CLASS: u32 = 7;

fn main() -> Result<()> {
    let o = Options::parse((2, 1))?;
    let mut digits = match &o.data {
        Some(dir) => {
            idx::read_pair(dir.join("train-images-idx3-ubyte"), dir.join("train-labels-idx1-ubyte"))?.scaled(1.0 / 255.0)
        }
        None => synth::digits(if o.smoke { 1500 } else { 6000 }, o.seed)?,
    };
    let labels = digits.labels(0).map(<[u32]>::to_vec).unwrap_or_default();
    for (x, &label) in digits.x_mut(0).chunks_exact_mut(784).zip(&labels) {
        if label == CLASS {
            x[ROW * 28 + COLUMN] = 1.0;
        }
    }
    let mut net = Network::new(Extent::image(28, 28, 1));
    net.push(Conv::new(8, 5).pad(2).act(Relu));
    net.push(Pool::max(2));
    net.push(Conv::new(16, 5).pad(2).act(Relu));
    net.push(Pool::max(2));
    net.push(Dense::new(10));
    let mut t = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(1e-3))
        .batch(64)
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .data(digits.clone(), Some(digits.clone()))
        .build()?;
    options::stop_on_signals(&t.stop_handle())?;
    o.show_profile(|| t.profile())?;
    let report = t.fit(o.epochs, &mut Silent)?;

    // Mean |∂score/∂x| over up to 256 sevens.
    let sevens: Vec<usize> = (0..digits.len()).filter(|&i| labels[i] == CLASS).take(256).collect();
    let x = digits.subset(&sevens)?;
    let view = View::new(Extent::image(28, 28, 1), x.x(0))?;
    let map = saliency(t.model_mut(), view, &Score::channel(CLASS as usize), Gradient::Absolute)?.remove(0).mean();
    let [_, row, column] = map.peak(0);
    let top = map.row(0)[row * 28 + column];
    for line in map.row(0).chunks_exact(28) {
        println!("{}", line.iter().map(|g| [' ', '.', ':', 'o', '#'][(g / top * 4.99).min(4.0) as usize]).collect::<String>());
    }
    let accuracy = report.valid.and_then(|v| v.accuracy).unwrap_or(0.0);
    println!("RESULT accuracy={accuracy:.4} row={row} column={column} planted={ROW},{COLUMN}");
    Ok(())
}
