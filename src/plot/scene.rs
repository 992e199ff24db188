//! What is drawn: lines, areas, texts and images in pixels on a page. `svg` and `png` write it.

use super::colour::{GRID, INK, PAPER, QUIET, Rgb, colour, dash};
use super::png;

/// A colour with its opacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Paint {
    pub colour: Rgb,
    pub alpha: f64,
}

impl From<Rgb> for Paint {
    fn from(colour: Rgb) -> Self {
        Self { colour, alpha: 1.0 }
    }
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stroke {
    pub colour: Rgb,
    pub width: f64,
    /// Lengths of strokes and gaps.
    pub dash: &'static [f64],
}

impl Stroke {
    pub const INK: Self = Self { colour: INK, width: 1.0, dash: &[] };
    pub const GRID: Self = Self { colour: GRID, width: 1.0, dash: &[] };
    /// For what is there to compare with: diagonals, zero.
    pub const QUIET: Self = Self { colour: QUIET, width: 1.3, dash: &[5.0, 4.0] };
    const RIM: Self = Self { colour: PAPER, width: 0.8, dash: &[] };

    /// Of series `i`.
    pub fn series(i: usize) -> Self {
        Self { colour: colour(i), width: 2.0, dash: dash(i) }
    }
}

/// Which end of a text lies at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
}

pub(super) type Point = (f64, f64);

/// A rectangle: its upper left corner, width and height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

#[derive(Clone, Debug)]
pub(super) enum Item {
    Line(Vec<Point>, Stroke),
    /// A closed area, and the stroke around it.
    Area(Vec<Point>, Paint, Option<Stroke>),
    Rect(Frame, Paint),
    Circle(Point, f64, Paint, Option<Stroke>),
    /// The place is halfway up a capital letter; turned texts run upwards.
    Text {
        at: Point,
        size: f64,
        text: String,
        anchor: Anchor,
        turned: bool,
        colour: Rgb,
    },
    Image(Frame, Pixels),
}

/// An image: four bytes (red, green, blue, opacity) for each pixel, row by row from above.
#[derive(Clone, Debug)]
pub(super) struct Pixels {
    pub columns: usize,
    pub rows: usize,
    pub rgba: Vec<u8>,
}

/// A page.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub width: f64,
    pub height: f64,
    pub items: Vec<Item>,
}

impl Scene {
    /// An empty white page.
    pub fn new(width: f64, height: f64) -> Self {
        let page = Item::Rect(Frame { x: 0.0, y: 0.0, w: width, h: height }, PAPER.into());
        Self { width, height, items: vec![page] }
    }

    /// A line through these points, without those that nobody could tell from their neighbours.
    pub fn line(&mut self, points: impl IntoIterator<Item = Point>, stroke: Stroke) {
        let mut kept: Vec<Point> = Vec::new();
        let mut last = None;
        for p in thinned(points.into_iter().collect()) {
            last = Some(p);
            if kept.last().is_none_or(|k| (k.0 - p.0).abs().max((k.1 - p.1).abs()) > 0.25) {
                kept.push(p);
            }
        }
        if let Some(last) = last.filter(|p| kept.last() != Some(p)) {
            kept.push(last);
        }
        if kept.len() > 1 {
            self.items.push(Item::Line(kept, stroke));
        }
    }

    pub fn rect(&mut self, frame: Frame, paint: impl Into<Paint>) {
        self.items.push(Item::Rect(frame, paint.into()));
    }

    pub fn outline(&mut self, f: Frame, stroke: Stroke) {
        let corners = [(f.x, f.y), (f.x + f.w, f.y), (f.x + f.w, f.y + f.h), (f.x, f.y + f.h), (f.x, f.y)];
        self.items.push(Item::Line(corners.to_vec(), stroke));
    }

    /// Slanted lines within a rectangle.
    pub fn hatch(&mut self, f: Frame, stroke: Stroke) {
        const STEP: f64 = 6.0;
        let lines = ((f.w + f.h) / STEP).floor() as usize;
        for k in 1..=lines {
            // Along x + y = s.
            let s = STEP * k as f64;
            let (low, high) = ((s - f.h).max(0.0), s.min(f.w));
            self.items.push(Item::Line(vec![(f.x + low, f.y + s - low), (f.x + high, f.y + s - high)], stroke));
        }
    }

    pub fn image(&mut self, frame: Frame, pixels: Pixels) {
        self.items.push(Item::Image(frame, pixels));
    }

    /// The mark of series `i`: its shape and colour.
    pub fn mark(&mut self, i: usize, at: Point, radius: f64, alpha: f64) {
        let (paint, rim) = (Paint { colour: colour(i), alpha }, (alpha == 1.0).then_some(Stroke::RIM));
        let shape = |radii: &[f64], turn: f64| -> Vec<Point> {
            let n = radii.len() as f64;
            let corner = |(k, r): (usize, &f64)| {
                let angle = (turn + k as f64 / n) * std::f64::consts::TAU;
                (at.0 + radius * r * angle.sin(), at.1 - radius * r * angle.cos())
            };
            radii.iter().enumerate().map(corner).collect()
        };
        let star = [1.5, 0.65].repeat(5);
        let points = match i % 8 {
            0 => return self.items.push(Item::Circle(at, radius, paint, rim)),
            1 => shape(&[1.25; 4], 0.125),
            2 => shape(&[1.35; 3], 0.0),
            3 => shape(&[1.3; 4], 0.0),
            4 => plus(at, radius, false),
            5 => shape(&[1.35; 3], 0.5),
            6 => plus(at, radius, true),
            _ => shape(&star, 0.0),
        };
        self.items.push(Item::Area(points, paint, rim));
    }

    pub fn text(&mut self, at: Point, size: f64, text: impl Into<String>, anchor: Anchor) {
        self.items.push(Item::Text { at, size, text: text.into(), anchor, turned: false, colour: INK });
    }

    pub fn coloured_text(&mut self, at: Point, size: f64, text: impl Into<String>, colour: Rgb) {
        self.items.push(Item::Text { at, size, text: text.into(), anchor: Anchor::Middle, turned: false, colour });
    }

    /// A text that runs upwards.
    pub fn turned_text(&mut self, at: Point, size: f64, text: impl Into<String>, anchor: Anchor) {
        self.items.push(Item::Text { at, size, text: text.into(), anchor, turned: true, colour: INK });
    }
}

/// The most points of a line: more than a panel has pixels.
const MOST_POINTS: usize = 4000;

/// The lowest and the highest of each group of points, and the last, where there are too many.
fn thinned(points: Vec<Point>) -> Vec<Point> {
    if points.len() <= MOST_POINTS {
        return points;
    }
    let ends = points.chunks((2 * points.len()).div_ceil(MOST_POINTS)).flat_map(|chunk| {
        let index = |better: fn(f64, f64) -> bool| {
            (1..chunk.len()).fold(0, |best, i| if better(chunk[i].1, chunk[best].1) { i } else { best })
        };
        let (a, b) = (index(|a, b| a < b), index(|a, b| a > b));
        [chunk[a.min(b)], chunk[a.max(b)]]
    });
    ends.chain(points.last().copied()).collect()
}

/// An upright or a slanted cross.
fn plus((x, y): Point, radius: f64, slanted: bool) -> Vec<Point> {
    let (long, short) = (1.35 * radius, 0.45 * radius);
    let quarter = [(short, -long), (short, -short), (long, -short)];
    let turn = |k: usize, (a, b): Point| (0..k).fold((a, b), |(a, b), _| (-b, a));
    let r = std::f64::consts::FRAC_1_SQRT_2;
    let slant = |(a, b): Point| if slanted { (r * (a - b), r * (a + b)) } else { (a, b) };
    (0..4).flat_map(|k| quarter.map(|p| slant(turn(k, p)))).map(|(a, b)| (x + a, y + b)).collect()
}

/// The width of a text in pixels.
pub(super) fn width(text: &str, size: f64) -> f64 {
    png::advance(text) * size
}
