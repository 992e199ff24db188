//! Lines over an axis: spectra and light curves, receiver operating characteristics, reliability diagrams.

use super::axes::{Axes, Key, Labels, Scale, legend, legend_height};
use super::colour::{Rgb, colour};
use super::scene::{Frame, Pixels, Point, Scene, Stroke};
use super::{finite, same_length, save, some};
use crate::metrics::{Reliability, Roc};
use crate::{Error, Real, Result};
use std::path::Path;

/// A named line for [`lines`] and [`spectrum`].
#[derive(Clone, Debug)]
pub struct Curve {
    name: String,
    x: Vec<f64>,
    y: Vec<f64>,
    marked: bool,
}

impl Curve {
    /// Values `y` at `x`, which are connected in their order; values that are not finite leave a gap.
    pub fn new<X: Real, Y: Real>(name: impl Into<String>, x: &[X], y: &[Y]) -> Self {
        let (x, y) = (x.iter().map(|v| v.to_f64()).collect(), y.iter().map(|v| v.to_f64()).collect());
        Self { name: name.into(), x, y, marked: false }
    }

    /// With a mark at each point.
    #[must_use]
    pub fn marked(mut self) -> Self {
        self.marked = true;
        self
    }

    fn points(&self) -> impl Iterator<Item = Point> + '_ {
        self.x.iter().copied().zip(self.y.iter().copied())
    }
}

/// Draws lines over common axes.
///
/// # Errors
/// No lines, lines of unequal lengths in x and y, nothing finite to draw, values of zero or less along an axis in decades, a file that
/// cannot be written.
///
/// # Examples
/// ```
/// use kamacite::plot::{Curve, Labels, lines};
/// let file = tempfile::NamedTempFile::with_suffix(".svg").unwrap();
/// let curve = Curve::new("learning rate", &[1.0_f32, 2.0, 3.0], &[0.1_f32, 0.05, 0.025]);
/// lines(file.path(), &[curve], Labels::new("", "epoch", "rate").log_y())?;
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn lines(path: impl AsRef<Path>, curves: &[Curve], labels: Labels<'_>) -> Result<()> {
    let (mut scene, axes) = panel("plot of lines", curves, labels, 380.0)?;
    draw(&mut scene, &axes, curves);
    save(path.as_ref(), &scene)
}

/// Draws lines over shaded bands: the darker, the more a sample mattered, as a saliency map of a spectrum says.
///
/// # Shapes
/// `weights`: one for each point of the first curve, whose x must rise; sizes count, signs do not.
///
/// # Errors
/// As [`lines`]; weights that are not finite or as many as the points, x that do not rise.
pub fn spectrum<T: Real>(path: impl AsRef<Path>, curves: &[Curve], weights: &[T], labels: Labels<'_>) -> Result<()> {
    const PLACE: &str = "plot of a spectrum";
    let (mut scene, axes) = panel(PLACE, curves, labels, 320.0)?;
    let x = &curves[0].x;
    same_length(PLACE, "weights", x.len(), weights.len())?;
    let weights = finite(PLACE, "weights", weights)?;
    if let Some(i) = x.windows(2).position(|w| w[0].partial_cmp(&w[1]) != Some(std::cmp::Ordering::Less)) {
        return Err(Error::value(PLACE, format!("x of point {}", i + 1)).expected(format!("above {}", x[i])).got(x[i + 1]));
    }
    shade(&mut scene, &axes, x, &weights);
    axes.border(&mut scene);
    draw(&mut scene, &axes, curves);
    save(path.as_ref(), &scene)
}

/// An empty panel for these curves.
fn panel(place: &str, curves: &[Curve], labels: Labels<'_>, height: f64) -> Result<(Scene, Axes)> {
    some(place, "lines", curves.len())?;
    curves.iter().try_for_each(|c| same_length(place, &format!("values of {:?}", c.name), c.x.len(), c.y.len()))?;
    let known = || curves.iter().flat_map(Curve::points).filter(|p| p.0.is_finite() && p.1.is_finite());
    some(place, "finite values", known().count())?;
    let scale = |log: bool, of: fn(Point) -> f64, margin: f64| match known().map(of).find(|v| log && *v <= 0.0) {
        Some(v) => Err(Error::value(place, "a value along an axis in decades").expected("above 0").got(v)),
        None if log => Ok(Scale::decades(known().map(of))),
        None => Ok(Scale::around(known().map(of), margin)),
    };
    let (x, y) = (scale(labels.log.0, |p| p.0, 0.01)?, scale(labels.log.1, |p| p.1, 0.05)?);
    let entries = entries(curves);
    let (left, wide) = (80.0, 660.0);
    let top = 30.0 + legend_height(wide, &entries);
    let frame = Frame { x: left, y: top, w: wide, h: height };
    let mut scene = Scene::new(left + wide + 20.0, top + height + 46.0);
    let axes = Axes { frame, x, y };
    axes.draw(&mut scene, labels);
    legend(&mut scene, frame, &entries);
    Ok((scene, axes))
}

fn entries(curves: &[Curve]) -> Vec<(Key, String)> {
    let key = |i, marked| if marked { Key::Both(i) } else { Key::Line(i) };
    let named = |(i, c): (usize, &Curve)| (!c.name.is_empty()).then(|| (key(i, c.marked), c.name.clone()));
    curves.iter().enumerate().filter_map(named).collect()
}

fn draw(scene: &mut Scene, axes: &Axes, curves: &[Curve]) {
    for (i, curve) in curves.iter().enumerate() {
        let places: Vec<Option<Point>> =
            curve.points().map(|(x, y)| (x.is_finite() && y.is_finite()).then(|| axes.at(x, y))).collect();
        for run in places.split(Option::is_none) {
            let run: Vec<Point> = run.iter().flatten().copied().collect();
            scene.line(run.iter().copied(), Stroke { width: if run.len() > 400 { 1.2 } else { 2.0 }, ..Stroke::series(i) });
            if curve.marked || run.len() == 1 {
                run.iter().for_each(|&p| scene.mark(i, p, 4.0, 1.0));
            }
        }
    }
}

/// A strip behind the curves, one column of pixels wide each; a column takes the largest weight of the samples in it, or of those beside it.
fn shade(scene: &mut Scene, axes: &Axes, x: &[f64], weights: &[f64]) {
    let columns = axes.frame.w as usize;
    let most = weights.iter().map(|w| w.abs()).fold(0.0, f64::max);
    let mut strip = vec![0.0_f64; columns];
    let middle = |i: usize| axes.at((x[i] + x[i + 1]) / 2.0, 0.0).0 - axes.frame.x;
    for (i, w) in weights.iter().enumerate() {
        let own = axes.at(x[i], 0.0).0 - axes.frame.x;
        let from = if i == 0 { own } else { middle(i - 1) };
        let to = if i + 1 == x.len() { own } else { middle(i) };
        let (from, to) = (from.floor() as usize, (to.ceil() as usize).min(columns));
        for s in &mut strip[from.min(columns.saturating_sub(1))..to.max(from + 1).min(columns)] {
            *s = s.max(if most > 0.0 { w.abs() / most } else { 0.0 });
        }
    }
    let Rgb(r, g, b) = colour(1);
    let rgba = strip.iter().flat_map(|s| [r, g, b, (190.0 * s).round() as u8]).collect();
    scene.image(axes.frame, Pixels { columns, rows: 1, rgba });
}

/// Side of a square panel.
const SIDE: f64 = 420.0;

/// Draws receiver operating characteristics with their areas, and the diagonal of a guess.
///
/// # Errors
/// No curves; a file that cannot be written.
///
/// # Examples
/// ```
/// use kamacite::metrics::Roc;
/// let file = tempfile::NamedTempFile::with_suffix(".svg").unwrap();
/// let roc = Roc::of(&[0.1_f32, 0.4, 0.35, 0.8], &[false, false, true, true])?;
/// kamacite::plot::roc(file.path(), &[("network", &roc)])?;
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn roc(path: impl AsRef<Path>, curves: &[(&str, &Roc)]) -> Result<()> {
    some("plot of a ROC", "curves", curves.len())?;
    let entry = |(i, (name, roc)): (usize, &(&str, &Roc))| (Key::Line(i), format!("{name}: area {:.4}", roc.auc()));
    let entries: Vec<_> = curves.iter().enumerate().map(entry).collect();
    let top = 20.0 + legend_height(SIDE, &entries);
    let mut scene = Scene::new(SIDE + 100.0, top + SIDE + 50.0);
    let frame = Frame { x: 76.0, y: top, w: SIDE, h: SIDE };
    let axes = Axes { frame, x: Scale::Linear(0.0, 1.0), y: Scale::Linear(0.0, 1.0) };
    axes.draw(&mut scene, Labels::new("", "false positive rate", "true positive rate"));
    scene.line([axes.at(0.0, 0.0), axes.at(1.0, 1.0)], Stroke::QUIET);
    for (i, (_, roc)) in curves.iter().enumerate() {
        let all = roc.points().last().map_or((1.0, 1.0), |p| (p.false_positives as f64, p.true_positives as f64));
        let place = roc.points().iter().map(|p| axes.at(p.false_positives as f64 / all.0, p.true_positives as f64 / all.1));
        scene.line(place, Stroke::series(i));
    }
    legend(&mut scene, frame, &entries);
    save(path.as_ref(), &scene)
}

/// Draws reliability diagrams: the share that came true against the probability that was stated, with the expected calibration error, and
/// below how many samples had which probability.
///
/// # Errors
/// No curves, or none with samples; a file that cannot be written.
pub fn reliability(path: impl AsRef<Path>, curves: &[(&str, &Reliability)]) -> Result<()> {
    const PLACE: &str = "plot of a reliability diagram";
    let total = |r: &Reliability| r.bins().iter().map(|b| b.count).sum::<u64>();
    some(PLACE, "samples", curves.iter().map(|(_, r)| total(r) as usize).sum())?;
    let entry = |(i, (name, r)): (usize, &(&str, &Reliability))| (Key::Both(i), format!("{name}: ECE {:.4}", r.ece()));
    let filled: Vec<_> = curves.iter().filter(|(_, r)| total(r) > 0).copied().collect();
    let entries: Vec<_> = filled.iter().enumerate().map(entry).collect();
    let (top, low) = (20.0 + legend_height(SIDE, &entries), 110.0);
    let mut scene = Scene::new(SIDE + 100.0, top + SIDE + low + 80.0);
    let frame = Frame { x: 76.0, y: top, w: SIDE, h: SIDE };
    let axes = Axes { frame, x: Scale::Linear(0.0, 1.0), y: Scale::Linear(0.0, 1.0) };
    axes.draw(&mut scene, Labels::new("", "", "share that came true"));
    scene.line([axes.at(0.0, 0.0), axes.at(1.0, 1.0)], Stroke::QUIET);
    legend(&mut scene, frame, &entries);
    let share = |r: &Reliability, count: u64| count as f64 / total(r) as f64;
    let most = filled.iter().flat_map(|(_, r)| r.bins().iter().map(|b| share(r, b.count))).fold(0.0, f64::max);
    let below = Axes { frame: Frame { y: top + SIDE + 32.0, h: low, ..frame }, y: Scale::Linear(0.0, 1.05 * most), ..axes };
    below.draw(&mut scene, Labels::new("", "stated probability", "share of samples"));
    for (i, (_, r)) in filled.iter().enumerate() {
        let known: Vec<Point> = r.bins().iter().filter(|b| b.count > 0).map(|b| axes.at(b.confidence, b.accuracy)).collect();
        scene.line(known.iter().copied(), Stroke::series(i));
        known.iter().for_each(|&p| scene.mark(i, p, 4.5, 1.0));
        let n = r.bins().len() as f64;
        let steps = r.bins().iter().enumerate().flat_map(|(k, b)| {
            let height = share(r, b.count);
            [below.at(k as f64 / n, height), below.at((k + 1) as f64 / n, height)]
        });
        scene.line(steps, Stroke::series(i));
    }
    save(path.as_ref(), &scene)
}

#[cfg(test)]
mod tests {
    use super::super::svg::hex;
    use super::super::testing::{drawn, painted, polylines};
    use super::*;
    use crate::ErrorKind;

    fn series(i: usize) -> String {
        format!("stroke=\"{}\" stroke-width=\"2\"", hex(colour(i)))
    }

    #[test]
    fn a_roc_runs_from_corner_to_corner_through_its_points() -> Result<()> {
        let a = Roc::of(&[0.9_f32, 0.8, 0.7, 0.1], &[true, false, true, false])?;
        let b = Roc::of(&[0.9_f32, 0.1], &[true, false])?;
        let svg = drawn(|p| roc(p, &[("a & b", &a), ("best", &b)]));
        assert!(svg.contains("a &amp; b: area 0.7500") && svg.contains("best: area 1.0000"));
        let top = 20.0 + 17.0;
        let at = |x: f64, y: f64| (76.0 + 420.0 * x, top + 420.0 * (1.0 - y));
        // The other line of this stroke is the legend's.
        assert_eq!(polylines(&svg, &series(0))[0], [at(0.0, 0.0), at(0.0, 0.5), at(0.5, 0.5), at(0.5, 1.0), at(1.0, 1.0)]);
        assert_eq!(polylines(&svg, &series(1))[0], [at(0.0, 0.0), at(0.0, 1.0), at(1.0, 1.0)]);
        assert!(svg.lines().any(|l| l.contains(&series(1)) && l.contains("dasharray")));
        assert_eq!(roc("a.svg", &[]).map_err(|e| e.kind()), Err(ErrorKind::Shape));
        Ok(())
    }

    #[test]
    fn a_reliability_diagram_shows_bins_that_have_samples() -> Result<()> {
        let r = Reliability::of_events(&[0.25_f32, 0.25, 0.75, 0.75, 0.75, 0.75], &[true, false, true, true, true, false], 4)?;
        let svg = drawn(|p| reliability(p, &[("net", &r)]));
        assert!(svg.contains(&format!("net: ECE {:.4}", r.ece())));
        let lines = polylines(&svg, &series(0));
        let at = |x: f64, y: f64| (76.0 + 420.0 * x, 37.0 + 420.0 * (1.0 - y));
        assert_eq!(lines[1], [at(0.25, 0.5), at(0.75, 0.75)]);
        // Four bins below: 2/6, 0, 4/6 and 0 of the samples, and the legend's line.
        assert_eq!((lines.len(), lines[2].len()), (3, 8));
        assert_eq!(svg.matches("<circle").count(), 2 + 1);
        assert_eq!(reliability("a.svg", &[]).map_err(|e| e.kind()), Err(ErrorKind::Shape));
        Ok(())
    }

    #[test]
    fn lines_break_where_nothing_is_known_and_keep_their_peaks() {
        let x: Vec<f32> = (0..9).map(|i| i as f32).collect();
        let y = [1.0_f32, 2.0, f32::NAN, 4.0, 5.0, f32::INFINITY, 7.0, f32::NAN, 3.0];
        let svg = drawn(|p| lines(p, &[Curve::new("", &x, &y)], Labels::new("t", "x", "y")));
        assert_eq!(polylines(&svg, &series(0)).iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(svg.matches("<circle").count(), 2, "points alone are marked");
        let x: Vec<f64> = (0..200_000).map(f64::from).collect();
        let y: Vec<f64> = (0..200_000).map(|i| if i == 123_457 { 9.0 } else { f64::from(i % 2) }).collect();
        let svg = drawn(|p| lines(p, &[Curve::new("n", &x, &y)], Labels::default()));
        let line = polylines(&svg, &format!("stroke=\"{}\" stroke-width=\"1.2\"", hex(colour(0)))).remove(0);
        let highest = line.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
        assert!(svg.len() < 150_000 && line.iter().filter(|p| p.1 == highest).count() == 1, "{} {highest}", svg.len());
        let at = line.iter().find(|p| p.1 == highest).map_or(0.0, |p| p.0);
        assert!((at - (80.0 + 660.0 * (123_457.0 / 199_999.0 + 0.01) / 1.02)).abs() < 1.0, "{at}");
    }

    #[test]
    fn bands_are_darkest_where_the_weight_is() {
        let x: Vec<f32> = (0..66).map(|i| i as f32).collect();
        let y = vec![0.0_f32; 66];
        let mut w = vec![0.0_f32; 66];
        (w[20], w[40]) = (-2.0, 1.0);
        let (width, pixels) = painted(|p| spectrum(p, &[Curve::new("flux", &x, &y)], &w, Labels::default()));
        // A row of the panel that holds neither curve nor grid; its white grid lines apart.
        let row = &pixels[2 * 80 * width..][..width];
        let blue = |at: usize| {
            let px = 80.0 + 660.0 * (at as f64 / 65.0 + 0.01) / 1.02;
            i32::from(row[(2.0 * px) as usize][2])
        };
        assert!(blue(20) < 80 && (100..190).contains(&blue(40)), "{} {}", blue(20), blue(40));
        assert!(blue(10) > 200 && blue(30) > 200 && blue(50) > 200);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let kind = |r: Result<()>| r.map_err(|e| e.kind());
        let c = |x: &[f32], y: &[f32]| Curve::new("c", x, y);
        let l = Labels::default();
        assert_eq!(kind(lines("a.svg", &[], l)), Err(ErrorKind::Shape));
        assert_eq!(kind(lines("a.svg", &[c(&[1.0], &[])], l)), Err(ErrorKind::Shape));
        assert_eq!(kind(lines("a.svg", &[c(&[1.0], &[f32::NAN])], l)), Err(ErrorKind::Shape));
        assert_eq!(kind(lines("a.svg", &[c(&[1.0, 2.0], &[0.0, 1.0])], l.log_y())), Err(ErrorKind::Value));
        assert_eq!(kind(spectrum("a.svg", &[c(&[1.0, 2.0], &[0.0, 1.0])], &[1.0_f32], l)), Err(ErrorKind::Shape));
        assert_eq!(kind(spectrum("a.svg", &[c(&[1.0, 1.0], &[0.0, 1.0])], &[1.0_f32, 2.0], l)), Err(ErrorKind::Value));
        assert_eq!(kind(spectrum("a.svg", &[c(&[1.0, 2.0], &[0.0, 1.0])], &[1.0_f32, f32::NAN], l)), Err(ErrorKind::Value));
        assert!(!Path::new("a.svg").exists());
    }
}
