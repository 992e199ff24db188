//! Learning curves.

use super::axes::{Axes, Key, Labels, Scale, legend};
use super::scene::{Frame, Point, Scene, Stroke};
use super::{save, some};
use crate::Result;
use crate::train::Record;
use std::path::Path;

/// What is drawn of one epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epochs {
    pub epoch: f64,
    pub learning_rate: f64,
    pub loss: f64,
    pub valid_loss: Option<f64>,
    pub accuracy: Option<f64>,
    pub r2: Option<f64>,
}

impl Epochs {
    pub fn of(r: &Record, r2: Option<f64>) -> Self {
        let Record { learning_rate, loss, valid_loss, accuracy, .. } = *r;
        Self { epoch: r.epoch as f64, learning_rate, loss, valid_loss, accuracy, r2 }
    }
}

/// Draws the losses of a run and, below, the accuracy where there is one, by epoch, and marks the best epoch of each.
///
/// # Errors
/// An empty history; a file that cannot be written.
pub fn history(path: impl AsRef<Path>, records: &[Record]) -> Result<()> {
    let points: Vec<_> = records.iter().map(|r| Epochs::of(r, None)).collect();
    some("plot of a history", "epochs", points.len())?;
    write(path.as_ref(), &points)
}

/// Values above this, NaN and infinities are left out.
const LARGEST: f64 = 1e30;

/// Ratio of the largest to the smallest value above which an axis is logarithmic.
const DECADES: f64 = 30.0;

const WIDE: f64 = 660.0;
const HIGH: f64 = 180.0;

/// A curve: what it is called, which series, its points.
type Curve = (&'static str, usize, Vec<Point>);

/// One panel below the other: losses, then a score and the learning rate where there is something to see. Nothing is written where there is not.
pub(crate) fn write(path: &Path, points: &[Epochs]) -> Result<()> {
    let curve = |of: &dyn Fn(&Epochs) -> Option<f64>| -> Vec<Point> {
        points.iter().filter_map(|p| of(p).filter(|y| y.abs() <= LARGEST).map(|y| (p.epoch, y))).collect()
    };
    let mut panels: Vec<(&str, Vec<Curve>)> =
        vec![("loss", vec![("training", 0, curve(&|p| Some(p.loss))), ("validation", 1, curve(&|p| p.valid_loss))])];
    panels.push(("accuracy", vec![("validation", 1, curve(&|p| p.accuracy))]));
    panels.push(("R²", vec![("validation", 1, curve(&|p| p.r2))]));
    if points.iter().any(|p| p.learning_rate != points[0].learning_rate) {
        panels.push(("learning rate", vec![("training", 0, curve(&|p| Some(p.learning_rate)))]));
    }
    for (_, curves) in &mut panels {
        curves.retain(|(.., points)| !points.is_empty());
    }
    panels.retain(|(_, curves)| !curves.is_empty());
    if panels.is_empty() {
        return Ok(());
    }
    let step = HIGH + 60.0;
    let mut scene = Scene::new(WIDE + 100.0, step * panels.len() as f64 + 20.0);
    for (i, (title, curves)) in panels.iter().enumerate() {
        let frame = Frame { x: 80.0, y: 30.0 + step * i as f64, w: WIDE, h: HIGH };
        panel(&mut scene, frame, title, curves, i + 1 == panels.len());
    }
    save(path, &scene)
}

fn panel(scene: &mut Scene, frame: Frame, title: &str, curves: &[Curve], last: bool) {
    let all = || curves.iter().flat_map(|(.., points)| points);
    let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), p| (a.min(p.1), b.max(p.1)));
    // Twelve decades are enough to see.
    let floor = low.max(1e-12 * high);
    let decades = low > 0.0 && high / floor > DECADES;
    let y = if decades { Scale::decades([floor, high].into_iter()) } else { Scale::around([low, high].into_iter(), 0.05) };
    let axes = Axes { frame, x: epochs(all().map(|p| p.0)), y };
    axes.draw(scene, Labels::new("", if last { "epoch" } else { "" }, title));
    let mut entries = Vec::new();
    for (name, series, points) in curves {
        let places: Vec<Point> = points.iter().map(|p| axes.at(p.0, p.1)).collect();
        scene.line(places.iter().copied(), Stroke::series(*series));
        if let [only] = places[..] {
            scene.mark(*series, only, 4.0, 1.0);
        }
        entries.push((Key::Line(*series), (*name).to_string()));
    }
    if let Some((series, best)) = best(title, curves) {
        let (x, y) = axes.at(best.0, best.1);
        scene.line([(x, y), (x, frame.y + frame.h)], Stroke::QUIET);
        scene.mark(series, (x, y), 5.0, 1.0);
        entries.push((Key::Mark(series), format!("best: epoch {}, {}", best.0, score(best.1))));
    }
    legend(scene, frame, &entries);
}

/// The first epoch with the lowest validation loss, or with the highest score.
fn best(title: &str, curves: &[Curve]) -> Option<(usize, Point)> {
    let sign = match title {
        "loss" => -1.0,
        "learning rate" => return None,
        _ => 1.0,
    };
    let (_, series, points) = curves.iter().find(|(name, ..)| *name == "validation")?;
    let first = *points.first()?;
    Some((*series, points.iter().fold(first, |best, &p| if sign * p.1 > sign * best.1 { p } else { best })))
}

/// Four digits.
fn score(v: f64) -> String {
    super::axes::tick(format!("{v:.3e}").parse().unwrap_or(v))
}

/// Epochs are whole: a run of one needs an axis of some length too.
fn epochs(values: impl Iterator<Item = f64> + Clone) -> Scale {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if high > low { Scale::Linear(low, high) } else { Scale::Linear(low - 1.0, high + 1.0) }
}

#[cfg(test)]
mod tests {
    use super::super::svg::hex;
    use super::super::testing::{drawn, polylines};
    use super::super::{Path, colour};
    use super::*;
    use crate::ErrorKind;

    fn record(epoch: u64, loss: f64, valid_loss: Option<f64>, accuracy: Option<f64>) -> Record {
        Record { epoch, steps: 10 * epoch, learning_rate: 0.1, loss, valid_loss, accuracy, skipped: 0 }
    }

    fn stroke(series: usize) -> String {
        format!("stroke=\"{}\" stroke-width=\"2\"", hex(colour::colour(series)))
    }

    #[test]
    fn two_panels_and_the_best_epochs() {
        let accuracy = [0.5, 0.8, 0.7, 0.8];
        let valid = [3.0, 2.0, 1.0, 1.5];
        let records: Vec<_> = (0..4).map(|i| record(i as u64 + 1, 2.0, Some(valid[i]), Some(accuracy[i]))).collect();
        let svg = drawn(|p| history(p, &records));
        assert!(
            svg.contains(">loss<") && svg.contains(">accuracy<") && svg.contains(">epoch<") && !svg.contains("learning rate")
        );
        // The lowest loss is that of epoch 3; of two equal accuracies the first counts.
        assert!(svg.contains(">best: epoch 3, 1<") && svg.contains(">best: epoch 2, 0.8<"), "{svg}");
        let x: Vec<f64> = (0..4).map(|i| 80.0 + WIDE * f64::from(i) / 3.0).collect();
        let curves: Vec<_> = polylines(&svg, &stroke(1)).into_iter().filter(|l| l.len() == 4).collect();
        assert_eq!(curves.len(), 2);
        assert!(curves.iter().all(|c| c.iter().zip(&x).all(|(p, x)| (p.0 - x).abs() < 0.01)));
        assert!(curves[1][1].1 < curves[1][2].1 && curves[1][1].1 == curves[1][3].1);
        assert_eq!(history("a.svg", &[]).map_err(|e| e.kind()), Err(ErrorKind::Shape));
    }

    #[test]
    fn odd_values_are_drawn_or_left_out() {
        for (loss, valid) in
            [(0.0, None), (-3.0, Some(f64::NAN)), (1e-300, Some(1e300)), (f64::NAN, None), (f64::INFINITY, Some(2.0))]
        {
            for n in [1, 2, 40] {
                let records: Vec<_> = (1..=n).map(|e| record(e, loss, valid, None)).collect();
                if [Some(loss), valid].iter().flatten().any(|y| y.abs() <= LARGEST) {
                    assert!(drawn(|p| history(p, &records)).contains(">epoch<"), "{loss} {valid:?} {n}");
                } else {
                    let dir = tempfile::tempdir().expect("a temporary directory");
                    assert!(history(dir.path().join("a.svg"), &records).is_ok() && !dir.path().join("a.svg").exists());
                }
            }
        }
        let many: Vec<_> = (1..=100_000).map(|e| record(e, (e as f64).sin(), None, None)).collect();
        assert!(drawn(|p: &Path| history(p, &many)).len() < 500_000);
    }
}
