//! Learning curves and the confusion matrix as pictures (SVG).

use super::files::replace;
use super::{Batch, Control, End, Epoch, Monitor, Start};
use crate::metrics::Confusion;
use crate::train::{Evaluation, Record};
use crate::{Error, Result};
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fs;
use std::path::PathBuf;

/// Writes `history.svg` (losses, score, learning rate by epoch) and `confusion.svg` into a directory, every few epochs and
/// at the end. Matrices of more than 200 classes are left out.
///
/// # Examples
/// ```no_run
/// let plot = kamacite::monitor::Plot::new("run1").every(5);
/// ```
#[derive(Debug)]
pub struct Plot {
    dir: PathBuf,
    every: u64,
    points: Vec<Point>,
    confusion: Option<Confusion>,
    names: Vec<String>,
}

/// What is drawn of one epoch.
#[derive(Clone, Copy, Debug)]
struct Point {
    epoch: f64,
    learning_rate: f64,
    loss: f64,
    valid_loss: Option<f64>,
    accuracy: Option<f64>,
    r2: Option<f64>,
}

impl Point {
    fn of(r: &Record, evaluation: Option<&Evaluation>) -> Self {
        let Record { learning_rate, loss, valid_loss, accuracy, .. } = *r;
        Self { epoch: r.epoch as f64, learning_rate, loss, valid_loss, accuracy, r2: evaluation.and_then(|e| e.r2) }
    }
}

impl Plot {
    /// Pictures in `dir`, which is made if need be, every 10 epochs.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), every: 10, points: Vec::new(), confusion: None, names: Vec::new() }
    }

    /// Draws after every `epochs` epochs; 0: only at the end.
    #[must_use]
    pub fn every(mut self, epochs: u64) -> Self {
        self.every = epochs;
        self
    }

    /// Names the classes of the confusion matrix.
    #[must_use]
    pub fn names<S: AsRef<str>>(mut self, names: &[S]) -> Self {
        self.names = names.iter().map(|n| n.as_ref().to_string()).collect();
        self
    }

    fn keep(&mut self, evaluation: Option<&Evaluation>) -> Result<()> {
        if let Some(confusion) = evaluation.and_then(|e| e.confusion.clone()) {
            self.confusion = Some(if self.names.is_empty() { confusion } else { confusion.names(&self.names)? });
        }
        Ok(())
    }

    fn write(&self) -> Result<()> {
        fs::create_dir_all(&self.dir).map_err(|e| Error::io(&self.dir, e))?;
        if !self.points.is_empty() {
            replace(&self.dir.join("history.svg"), history(&self.points)?.as_bytes())?;
        }
        if let Some(m) = self.confusion.as_ref().filter(|m| m.classes() <= MAX_DRAWN) {
            replace(&self.dir.join("confusion.svg"), matrix(m)?.as_bytes())?;
        }
        Ok(())
    }
}

impl Monitor for Plot {
    fn start(&mut self, start: &Start<'_>) -> Result<()> {
        self.points = start.history.iter().map(|r| Point::of(r, None)).collect();
        self.confusion = None;
        fs::create_dir_all(&self.dir).map_err(|e| Error::io(&self.dir, e))
    }

    fn batch(&mut self, _: &Batch) -> Result<()> {
        Ok(())
    }

    fn epoch(&mut self, epoch: &Epoch<'_>) -> Result<Control> {
        self.points.push(Point::of(epoch.record, epoch.evaluation));
        self.keep(epoch.evaluation)?;
        if self.every > 0 && epoch.record.epoch.is_multiple_of(self.every) {
            self.write()?;
        }
        Ok(Control::Continue)
    }

    fn end(&mut self, end: &End<'_>) -> Result<()> {
        self.keep(end.evaluation)?;
        self.write()
    }
}

pub(crate) const INK: RGBColor = RGBColor(40, 40, 40);
pub(crate) const GRID: RGBColor = RGBColor(225, 225, 225);
/// Blue and orange, told apart by the colour-blind.
const TRAIN: RGBColor = RGBColor(31, 119, 180);
const VALID: RGBColor = RGBColor(230, 110, 20);

/// A curve: what it is called, its colour, its points.
type Curve = (&'static str, RGBColor, Vec<(f64, f64)>);

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// One panel below the other: losses, then a score and the learning rate where there is something to see.
fn history(points: &[Point]) -> Result<String> {
    let thin = points.len().div_ceil(MOST_POINTS).max(1);
    let curve = |of: &dyn Fn(&Point) -> Option<f64>| -> Vec<(f64, f64)> {
        // From the end, so that the last epoch is always there.
        points.iter().rev().step_by(thin).filter_map(|p| of(p).filter(|y| y.abs() <= LARGEST).map(|y| (p.epoch, y))).collect()
    };
    let losses = vec![("training", TRAIN, curve(&|p| Some(p.loss))), ("validation", VALID, curve(&|p| p.valid_loss))];
    let mut panels: Vec<(&str, Vec<Curve>)> = vec![("loss", losses)];
    panels.push(("accuracy", vec![("validation", VALID, curve(&|p| p.accuracy))]));
    panels.push(("R²", vec![("validation", VALID, curve(&|p| p.r2))]));
    if points.iter().any(|p| p.learning_rate != points[0].learning_rate) {
        panels.push(("learning rate", vec![("rate", INK, curve(&|p| Some(p.learning_rate)))]));
    }
    for (_, curves) in &mut panels {
        curves.retain(|(.., points)| !points.is_empty());
    }
    panels.retain(|(_, curves)| !curves.is_empty());

    let mut svg = String::new();
    if let Some(last) = panels.len().checked_sub(1) {
        let root = SVGBackend::with_string(&mut svg, (760, 260 * panels.len() as u32 + 30)).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        for (i, (area, (title, curves))) in
            root.margin(10, 10, 10, 10).split_evenly((panels.len(), 1)).iter().zip(&panels).enumerate()
        {
            panel(area, title, curves, i == last)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

/// Epochs beyond which only every second, third, … is drawn.
const MOST_POINTS: usize = 2000;

/// Values above this, NaN and infinities are left out.
const LARGEST: f64 = 1e30;

/// Ratio of the largest to the smallest value above which an axis is logarithmic.
const DECADES: f64 = 30.0;

fn panel(area: &Area<'_>, title: &str, curves: &[Curve], last: bool) -> Result<()> {
    let all = || curves.iter().flat_map(|(.., points)| points);
    let bounds =
        |of: fn(&(f64, f64)) -> f64| all().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let ((x0, x1), (y0, y1)) = (bounds(|p| p.0), bounds(|p| p.1));
    // A run of one epoch, or a constant value, needs an axis of some length too.
    let x = if x1 > x0 { x0..x1 } else { x0 - 0.5..x1 + 0.5 };
    // Twelve decades are enough to see, and the axis makes a tick for each.
    let y0 = if y0 > 0.0 { y0.max(1e-12 * y1) } else { y0 };
    if y0 > 0.0 && y1 / y0 > DECADES {
        let edge = (y1 / y0).powf(0.04);
        return draw(area, title, curves, last, x, (y0 / edge..y1 * edge).log_scale());
    }
    let edge = if y1 > y0 { 0.05 * (y1 - y0) } else { 0.5 * y0.abs().max(1e-9) };
    draw(area, title, curves, last, x, y0 - edge..y1 + edge)
}

fn draw<Y>(area: &Area<'_>, title: &str, curves: &[Curve], last: bool, x: std::ops::Range<f64>, y: Y) -> Result<()>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut builder = ChartBuilder::on(area);
    builder.margin(6).x_label_area_size(if last { 42 } else { 22 }).y_label_area_size(78);
    let mut chart = builder.build_cartesian_2d(x, y).map_err(failed)?;
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(GRID).light_line_style(WHITE).axis_style(INK).label_style(("sans-serif", 13).into_font().color(&INK));
    mesh.x_labels(10).y_labels(6).x_label_formatter(&whole).y_label_formatter(&tick);
    mesh.axis_desc_style(("sans-serif", 15)).y_desc(title);
    if last {
        mesh.x_desc("epoch");
    }
    mesh.draw().map_err(failed)?;
    for (name, colour, points) in curves {
        let colour = *colour;
        let series = chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2))).map_err(failed)?;
        series.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        if let [only] = points[..] {
            chart.draw_series([Circle::new(only, 3, colour.filled())]).map_err(failed)?;
        }
    }
    if curves.len() > 1 {
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::UpperRight).border_style(GRID).background_style(WHITE.mix(0.85));
        legend.label_font(("sans-serif", 13)).draw().map_err(failed)?;
    }
    Ok(())
}

/// Epochs are whole; ticks between them stay without a number.
fn whole(x: &f64) -> String {
    if (x - x.round()).abs() < 1e-9 { format!("{x:.0}") } else { String::new() }
}

/// Without the zeros at the end.
pub(crate) fn tick(y: &f64) -> String {
    let trimmed = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_string();
    if *y == 0.0 || (1e-3..1e5).contains(&y.abs()) {
        return trimmed(&format!("{y:.6}"));
    }
    let text = format!("{y:.3e}");
    text.split_once('e').map_or(text.clone(), |(digits, power)| format!("{}e{power}", trimmed(digits)))
}

/// Classes up to which a matrix is drawn, and up to which its cells carry numbers.
const MAX_DRAWN: usize = 200;
const MAX_NUMBERED: usize = 25;

/// Cells shaded by the share of their row: the diagonal shows recall.
fn matrix(m: &Confusion) -> Result<String> {
    let n = m.classes() as i32;
    let cell = (640 / n).clamp(5, 72);
    let longest = (0..m.classes()).map(|c| m.name(c).chars().count()).max().unwrap_or(0).min(24) as i32;
    let named = cell >= 12;
    let left = 46 + if named { 8 * longest } else { 0 };
    // Names below the columns are written upright once they are wider than a cell.
    let upright = 8 * longest > cell;
    let below = 40 + if named && upright { 8 * longest } else { 22 };
    let (top, side) = (44, n * cell);
    let size = ((left + side + 20).max(320) as u32, (top + side + below) as u32);

    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let text = |text: &str, x: i32, y: i32, style: TextStyle<'_>| root.draw_text(text, &style, (x, y)).map_err(failed);
    let font = |px: i32| ("sans-serif", px).into_font().color(&INK);
    let at = |style: TextStyle<'static>, h, v| style.pos(Pos::new(h, v));

    let accuracy = m.accuracy().map_or(String::new(), |a| format!("accuracy {:.2}% ({} of {})", 100.0 * a, m.right(), m.total()));
    text(&accuracy, left, 14, at(font(16), HPos::Left, VPos::Top))?;
    let size = (cell / 3).clamp(9, 16);
    for t in 0..n {
        let support = m.support(t as usize).max(1) as f64;
        for p in 0..n {
            let count = m.get(t as usize, p as usize);
            let share = count as f64 / support;
            let (x, y) = (left + p * cell, top + t * cell);
            let shade = |full: u8| (255.0 - share * (255.0 - f64::from(full))).round() as u8;
            let colour = RGBColor(shade(8), shade(64), shade(129));
            root.draw(&Rectangle::new([(x, y), (x + cell, y + cell)], colour.filled())).map_err(failed)?;
            if m.classes() <= MAX_NUMBERED {
                let ink = if share > 0.5 { &WHITE } else { &BLACK };
                let style = ("sans-serif", size).into_font().color(ink);
                text(&count.to_string(), x + cell / 2, y + cell / 2, at(style, HPos::Center, VPos::Center))?;
            }
        }
        if named {
            let (name, middle) = (short(m.name(t as usize)), t * cell + cell / 2);
            text(&name, left - 8, top + middle, at(font(13), HPos::Right, VPos::Center))?;
            let style = if upright { font(13).transform(FontTransform::Rotate270) } else { font(13) };
            let (h, v) = if upright { (HPos::Right, VPos::Center) } else { (HPos::Center, VPos::Top) };
            text(&name, left + middle, top + side + 8, at(style, h, v))?;
        }
    }
    root.draw(&Rectangle::new([(left, top), (left + side, top + side)], INK.stroke_width(1))).map_err(failed)?;
    text("predicted", left + side / 2, top + side + below - 8, at(font(15), HPos::Center, VPos::Bottom))?;
    let turned = font(15).transform(FontTransform::Rotate270);
    text("true", 14, top + side / 2, at(turned, HPos::Center, VPos::Center))?;
    root.present().map_err(failed)?;
    drop(root);
    Ok(svg)
}

/// A name that fits, without characters that XML forbids.
fn short(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(24).collect()
}

pub(crate) fn failed(e: impl std::fmt::Display) -> Error {
    Error::unsupported("plot", e)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{evaluation, record, run};
    use super::*;

    #[test]
    fn a_run_leaves_two_pictures() -> Result<()> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("plots");
        run(&mut Plot::new(&path).names(&["a<b>&c", "\u{1}d"]), 3, 30)?;
        let read = |name: &str| fs::read_to_string(path.join(name)).map_err(|e| Error::io(name, e));
        let (history, confusion) = (read("history.svg")?, read("confusion.svg")?);
        assert!(history.trim_end().ends_with("</svg>") && confusion.trim_end().ends_with("</svg>"));
        // Both losses and the accuracy, over all 30 epochs: those before the resume come from the history.
        let curves: Vec<usize> = history
            .split("<polyline")
            .filter(|l| l.contains("stroke-width=\"2\""))
            .map(|l| l.split('"').map(|p| p.split(' ').count()).max().unwrap_or(0))
            .collect();
        assert_eq!(curves.iter().filter(|n| **n >= 30).count(), 3, "{curves:?}");
        assert!(confusion.contains("a&lt;b&gt;&amp;c") && !confusion.contains('\u{1}'), "{confusion}");
        assert!(confusion.contains("accuracy 75.00% (3 of 4)"));
        Ok(())
    }

    #[test]
    fn odd_values_are_drawn_or_left_out() -> Result<()> {
        for (loss, valid) in
            [(0.0, None), (-3.0, Some(f64::NAN)), (1e-300, Some(1e300)), (f64::NAN, None), (f64::INFINITY, Some(2.0))]
        {
            for n in [1, 2, 40] {
                let points: Vec<Point> =
                    (1..=n).map(|e| Point::of(&Record { loss, valid_loss: valid, accuracy: None, ..record(e) }, None)).collect();
                let svg = history(&points)?;
                let drawn = [Some(loss), valid].iter().flatten().any(|y| y.abs() <= LARGEST);
                assert!(svg.contains("epoch") == drawn && !svg.contains("NaN") && !svg.contains("inf"), "{loss} {valid:?} {n}");
            }
        }
        let many: Vec<Point> = (1..=100_000).map(|e| Point::of(&record(e), None)).collect();
        assert!(history(&many)?.len() < 500_000);
        let ticks = [0.0, 0.1, 1.25, 100.0, 99_999.0, 2e-4, -1.5e6, 1e-12].map(|y| tick(&y));
        assert_eq!(ticks, ["0", "0.1", "1.25", "100", "99999", "2e-4", "-1.5e6", "1e-12"]);
        for classes in [1, 2, 25, 26, MAX_DRAWN] {
            let mut m = Confusion::new(classes)?;
            (0..classes as u32).try_for_each(|c| m.count(c, c))?;
            let svg = matrix(&m)?;
            assert_eq!(svg.matches("<rect").count(), 2 + classes * classes, "{classes} classes");
        }
        Ok(())
    }

    #[test]
    fn names_must_be_as_many_as_classes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert!(run(&mut Plot::new(dir.path()).names(&["one"]), 0, 1).is_err());
        assert_eq!(evaluation().confusion.map(|c| c.classes()), Some(2));
    }
}
