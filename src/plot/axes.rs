//! A panel with axes: where a value lies, ticks, labels, and a legend above, where it covers no data.

use super::scene::{Anchor, Frame, Point, Scene, Stroke, width};

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    Linear(f64, f64),
    /// Both ends above zero.
    Log(f64, f64),
    /// Names instead of values: without ticks.
    Names,
}

impl Scale {
    /// Over finite values, with a margin (a share of their range) at both ends; of some length where all are equal.
    pub fn around(values: impl Iterator<Item = f64>, margin: f64) -> Self {
        let (low, high) = bounds(values);
        let room = if high > low { margin * (high - low) } else { 0.5 * low.abs().max(1e-9) };
        let room = if high == low && low == 0.0 { 0.5 } else { room };
        Self::Linear(low - room, high + room)
    }

    /// Over positive values, in decades.
    pub fn decades(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = bounds(values);
        let edge = if high > low { (high / low).powf(0.04) } else { 2.0 };
        Self::Log(low / edge, high * edge)
    }

    /// The lowest and the highest value.
    pub fn ends(self) -> (f64, f64) {
        match self {
            Self::Linear(a, b) | Self::Log(a, b) => (a, b),
            Self::Names => (0.0, 1.0),
        }
    }

    /// Where a value lies, from 0 to 1; values beyond the ends lie at the ends.
    pub fn place(self, v: f64) -> f64 {
        let t = match self {
            Self::Linear(a, b) => (v - a) / (b - a),
            Self::Log(a, b) => (v.max(f64::MIN_POSITIVE) / a).ln() / (b / a).ln(),
            Self::Names => 0.0,
        };
        t.clamp(0.0, 1.0)
    }

    /// About `most` round values, not more.
    fn ticks(self, most: usize) -> Vec<f64> {
        match self {
            Self::Names => Vec::new(),
            Self::Linear(a, b) => {
                let rough = (b - a) / most as f64;
                let power = 10f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|k| k * power).into_iter().find(|s| *s >= rough * 0.999).unwrap_or(rough);
                let (first, last) = ((a / step - 1e-9).ceil(), (b / step + 1e-9).floor());
                let count = (last - first).clamp(-1.0, 1000.0) as i64 + 1;
                (0..count).map(|k| (first + k as f64) * step).map(|v| if v.abs() < step * 1e-9 { 0.0 } else { v }).collect()
            }
            Self::Log(a, b) => {
                let (first, last) = (a.log10().floor() as i32, b.log10().ceil() as i32);
                let decades = (last - first).max(1) as usize;
                let digits: &[f64] = if (b / a).log10() < 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let stride = decades.div_ceil(most).max(1);
                let each = (first..=last).step_by(stride).flat_map(|k| digits.iter().map(move |d| d * 10f64.powi(k)));
                each.filter(|v| (a..=b).contains(v)).collect()
            }
        }
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// A value beside an axis, without the zeros at the end.
pub(super) fn tick(v: f64) -> String {
    let trimmed = |text: &str| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text.to_string() }
    };
    let minus = |text: String| text.replace('-', "−");
    if v == 0.0 || (1e-3..1e5).contains(&v.abs()) {
        return minus(trimmed(&format!("{v:.6}")));
    }
    let text = format!("{v:.3e}");
    minus(text.split_once('e').map_or(text.clone(), |(digits, power)| format!("{}e{power}", trimmed(digits))))
}

/// What stands beside the axes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Labels<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    pub(super) log: (bool, bool),
}

impl<'a> Labels<'a> {
    /// A title and the names of the axes, with their units; an empty text stands for none.
    pub const fn new(title: &'a str, x: &'a str, y: &'a str) -> Self {
        Self { title, x, y, log: (false, false) }
    }

    /// Decades along x.
    #[must_use]
    pub const fn log_x(mut self) -> Self {
        self.log.0 = true;
        self
    }

    /// Decades along y.
    #[must_use]
    pub const fn log_y(mut self) -> Self {
        self.log.1 = true;
        self
    }

    /// The same with names for axes that have none.
    pub(super) fn or(self, x: &'a str, y: &'a str) -> Self {
        let pick = |own: &'a str, other| if own.is_empty() { other } else { own };
        Self { x: pick(self.x, x), y: pick(self.y, y), ..self }
    }
}

/// A panel: its frame on the page, and the scales of its axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axes {
    pub frame: Frame,
    pub x: Scale,
    pub y: Scale,
}

const SMALL: f64 = 12.0;
const LARGE: f64 = 14.0;

impl Axes {
    /// Where a value lies on the page.
    pub fn at(&self, x: f64, y: f64) -> Point {
        let f = self.frame;
        (f.x + f.w * self.x.place(x), f.y + f.h * (1.0 - self.y.place(y)))
    }

    /// Grid, ticks, their values and the names of the axes. What is drawn next lies above the grid.
    pub fn draw(&self, scene: &mut Scene, labels: Labels<'_>) {
        let f = self.frame;
        for v in self.x.ticks(((f.w / 70.0) as usize).max(2)) {
            let x = self.at(v, 0.0).0;
            scene.line([(x, f.y), (x, f.y + f.h)], Stroke::GRID);
            scene.text((x, f.y + f.h + 13.0), SMALL, tick(v), Anchor::Middle);
        }
        let mut widest = 0.0_f64;
        for v in self.y.ticks(((f.h / 34.0) as usize).clamp(2, 8)) {
            let y = self.at(0.0, v).1;
            scene.line([(f.x, y), (f.x + f.w, y)], Stroke::GRID);
            scene.text((f.x - 7.0, y), SMALL, tick(v), Anchor::Right);
            widest = widest.max(width(&tick(v), SMALL));
        }
        self.border(scene);
        if !labels.x.is_empty() {
            scene.text((f.x + f.w / 2.0, f.y + f.h + 33.0), LARGE, labels.x, Anchor::Middle);
        }
        if !labels.y.is_empty() {
            scene.turned_text(((f.x - widest - 20.0).max(10.0), f.y + f.h / 2.0), LARGE, labels.y, Anchor::Middle);
        }
        if !labels.title.is_empty() {
            scene.text((f.x, 15.0), LARGE + 1.0, labels.title, Anchor::Left);
        }
    }

    /// The left and the lower edge.
    pub fn border(&self, scene: &mut Scene) {
        let f = self.frame;
        scene.line([(f.x, f.y), (f.x, f.y + f.h), (f.x + f.w, f.y + f.h)], Stroke::INK);
    }
}

/// What stands before a name in a legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Line(usize),
    Mark(usize),
    /// A line with marks.
    Both(usize),
    None,
}

impl Key {
    fn width(self) -> f64 {
        if self == Self::None { 0.0 } else { 28.0 }
    }
}

/// Rows of a legend from above: where each entry begins.
fn lay_out(wide: f64, entries: &[(Key, String)]) -> Vec<Vec<(f64, usize)>> {
    let mut rows = Vec::new();
    let (mut row, mut x) = (Vec::new(), 0.0);
    for (i, (key, name)) in entries.iter().enumerate() {
        let long = key.width() + width(name, SMALL);
        if x + long > wide && !row.is_empty() {
            rows.push(std::mem::take(&mut row));
            x = 0.0;
        }
        row.push((x, i));
        x += long + 18.0;
    }
    rows.push(row);
    rows
}

/// The height of a legend in pixels.
pub(super) fn legend_height(wide: f64, entries: &[(Key, String)]) -> f64 {
    if entries.is_empty() { 0.0 } else { ROW * lay_out(wide, entries).len() as f64 }
}

/// The height of a row of a legend.
const ROW: f64 = 17.0;

/// Draws names above a panel, in rows from the left.
pub(super) fn legend(scene: &mut Scene, frame: Frame, entries: &[(Key, String)]) {
    for (r, row) in lay_out(frame.w, entries).iter().rev().enumerate() {
        let y = frame.y - 12.0 - ROW * r as f64;
        for &(from, i) in row {
            let ((key, name), x) = (&entries[i], frame.x + from);
            if let Key::Line(k) | Key::Both(k) = *key {
                scene.line([(x, y), (x + 22.0, y)], Stroke::series(k));
            }
            if let Key::Mark(k) | Key::Both(k) = *key {
                scene.mark(k, (x + 11.0, y), 4.0, 1.0);
            }
            scene.text((x + key.width(), y), SMALL, name.as_str(), Anchor::Left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(Scale::Linear(0.0, 1.0).ticks(5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(Scale::Linear(-3.0, 47.0).ticks(5), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(Scale::Log(0.5, 2000.0).ticks(8), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(Scale::Log(0.5, 12.0).ticks(8), [0.5, 1.0, 2.0, 5.0, 10.0]);
        for (a, b) in [(1e-300, 1e-290), (-1e30, 1e30), (0.999_999, 1.000_001), (5.0, 5.0 + 1e-9)] {
            let ticks = Scale::Linear(a, b).ticks(6);
            assert!((1..=7).contains(&ticks.len()), "{a} {b} {ticks:?}");
        }
        assert!(Scale::Log(1e-12, 1e30).ticks(6).len() <= 7);
        let texts = [0.0, 0.1, 1.25, 100.0, 99_999.0, 2e-4, -1.5e6, 1e-12, 0.6000000000000001].map(tick);
        assert_eq!(texts, ["0", "0.1", "1.25", "100", "99999", "2e−4", "−1.5e6", "1e−12", "0.6"]);
    }

    #[test]
    fn a_value_lies_where_it_should() {
        let axes =
            Axes { frame: Frame { x: 10.0, y: 20.0, w: 100.0, h: 50.0 }, x: Scale::Linear(-1.0, 1.0), y: Scale::Log(1.0, 100.0) };
        assert_eq!(axes.at(0.0, 10.0), (60.0, 45.0));
        assert_eq!(axes.at(9.0, 0.0), (110.0, 70.0));
        assert_eq!(Scale::around([2.0, 2.0].into_iter(), 0.1), Scale::Linear(1.0, 3.0));
        assert_eq!(Scale::around([0.0].into_iter(), 0.1), Scale::Linear(-0.5, 0.5));
    }

    #[test]
    fn a_legend_that_is_too_long_takes_more_rows() {
        let entries: Vec<_> = (0..5).map(|i| (Key::Line(i), "a name of some length".to_string())).collect();
        assert_eq!([2000.0, 600.0, 10.0].map(|wide| legend_height(wide, &entries) / ROW), [1.0, 2.0, 5.0]);
    }
}
