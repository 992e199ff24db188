//! Handwritten digits in the format of MNIST: 28 × 28 pixels, 8 bits, white on black.
//!
//! Each digit is a few strokes, each a Catmull-Rom spline through points that jitter; the whole is warped, sheared, turned and
//! scaled, then drawn with a round pen, a pixel's value being the share of it that the pen covers.

use crate::rng::Stream;

pub(super) const SIZE: usize = 28;

type Point = (f64, f64);
type Stroke = &'static [Point];

/// One way to write each digit per row; x to the right and y down, in half heights of the digit.
const GLYPHS: [(u32, &[Stroke]); 16] = [
    (0, &[&[(0., -1.), (-0.5, -0.65), (-0.62, 0.), (-0.5, 0.65), (0., 1.), (0.5, 0.65), (0.62, 0.), (0.5, -0.65), (0., -1.)]]),
    (0, &[&[(0.2, -0.95), (-0.4, -0.6), (-0.5, 0.2), (-0.2, 0.9), (0.25, 0.85), (0.5, 0.), (0.3, -0.8), (-0.1, -0.95)]]),
    (1, &[&[(0., -1.), (0., 1.)]]),
    (1, &[&[(-0.35, -0.6), (0., -1.)], &[(0., -1.), (0., 1.)]]),
    (1, &[&[(-0.35, -0.6), (0., -1.)], &[(0., -1.), (0., 0.95)], &[(-0.4, 0.95), (0.4, 0.95)]]),
    (
        2,
        &[
            &[(-0.5, -0.6), (-0.3, -0.93), (0.1, -1.), (0.48, -0.7), (0.4, -0.2), (0., 0.35), (-0.55, 0.95)],
            &[(-0.55, 0.95), (0.6, 0.9)],
        ],
    ),
    (2, &[&[(-0.45, -0.7), (0., -1.), (0.4, -0.7), (0.2, 0.), (-0.3, 0.75), (-0.5, 0.8), (-0.3, 0.6), (0.1, 0.85), (0.6, 0.8)]]),
    (
        3,
        &[
            &[(-0.5, -0.75), (-0.1, -1.), (0.4, -0.8), (0.38, -0.3), (-0.1, -0.05)],
            &[(-0.1, -0.05), (0.45, 0.15), (0.5, 0.65), (0.05, 1.), (-0.55, 0.75)],
        ],
    ),
    (4, &[&[(0.05, -1.), (-0.6, 0.25)], &[(-0.6, 0.25), (0.65, 0.25)], &[(0.3, -0.35), (0.25, 1.)]]),
    (4, &[&[(0.3, -1.), (-0.6, 0.3)], &[(-0.6, 0.3), (0.65, 0.3)], &[(0.3, -1.), (0.3, 1.)]]),
    (
        5,
        &[
            &[(0.5, -0.95), (-0.4, -0.95)],
            &[(-0.4, -0.95), (-0.48, -0.15)],
            &[(-0.48, -0.15), (0., -0.3), (0.5, 0.05), (0.48, 0.6), (0., 1.), (-0.55, 0.8)],
        ],
    ),
    (
        6,
        &[&[
            (0.4, -0.95),
            (-0.2, -0.55),
            (-0.55, 0.2),
            (-0.4, 0.8),
            (0.05, 1.),
            (0.5, 0.65),
            (0.4, 0.2),
            (0., 0.05),
            (-0.45, 0.35),
        ]],
    ),
    (7, &[&[(-0.55, -0.92), (0.55, -0.95)], &[(0.55, -0.95), (0.1, 0.), (-0.2, 1.)]]),
    (7, &[&[(-0.55, -0.92), (0.55, -0.95)], &[(0.55, -0.95), (0.1, 0.), (-0.2, 1.)], &[(-0.3, 0.05), (0.42, 0.05)]]),
    (
        8,
        &[&[
            (0.4, -0.75),
            (0., -1.),
            (-0.42, -0.65),
            (0., -0.1),
            (0.48, 0.45),
            (0.3, 0.9),
            (-0.1, 1.),
            (-0.5, 0.6),
            (0., -0.1),
            (0.42, -0.6),
            (0.3, -0.9),
        ]],
    ),
    (
        9,
        &[
            &[(0.45, -0.5), (0.15, -0.95), (-0.2, -0.95), (-0.5, -0.55), (-0.25, -0.12), (0.15, -0.15), (0.45, -0.6)],
            &[(0.45, -0.6), (0.4, 0.1), (0.2, 1.)],
        ],
    ),
];

/// The path from digit space to pixels.
struct Hand {
    matrix: [f64; 4],
    middle: Point,
    warp: (f64, f64, f64),
}

impl Hand {
    fn new(r: &mut Stream) -> Self {
        let (turn, shear, size) = (0.13 * r.normal(), 0.05 + 0.16 * r.normal(), 9.0 * r.between(0.78, 1.08));
        let (wide, cos, sin) = (r.between(0.8, 1.15), libm::cos(turn), libm::sin(turn));
        // Turn × shear × scale, columns x then y; a positive shear leans to the right.
        let matrix = [size * wide * cos, size * (-shear * cos - sin), size * wide * sin, size * (cos - shear * sin)];
        let at = 0.5 * (SIZE as f64 - 1.0);
        let middle = (at + 0.8 * r.normal(), at + 0.8 * r.normal());
        Self { matrix, middle, warp: (0.05 * r.normal(), r.between(2.0, 4.0), r.between(0.0, std::f64::consts::TAU)) }
    }

    fn pixel(&self, (x, y): Point) -> Point {
        let (a, omega, phase) = self.warp;
        let (x, y) = (x + a * libm::sin(omega * y + phase), y + a * libm::cos(omega * x + phase));
        let m = &self.matrix;
        (self.middle.0 + m[0] * x + m[1] * y, self.middle.1 + m[2] * x + m[3] * y)
    }
}

/// Draws the digit `class`; values are multiples of 1/255.
pub(super) fn draw(class: u32, r: &mut Stream, x: &mut [f32]) {
    let ways: Vec<&[Stroke]> = GLYPHS.iter().filter(|g| g.0 == class).map(|g| g.1).collect();
    let strokes = ways.get(r.below(ways.len())).copied().unwrap_or_default();
    let (hand, pen) = (Hand::new(r), r.between(0.75, 1.65));
    let mut lines: Vec<(Point, Point)> = Vec::new();
    for stroke in strokes {
        let points: Vec<Point> = stroke.iter().map(|p| (p.0 + 0.05 * r.normal(), p.1 + 0.05 * r.normal())).collect();
        let curve: Vec<Point> = spline(&points).into_iter().map(|p| hand.pixel(p)).collect();
        lines.extend(curve.windows(2).map(|w| (w[0], w[1])));
    }
    for (i, x) in x.iter_mut().enumerate() {
        let at = ((i % SIZE) as f64, (i / SIZE) as f64);
        let near = lines.iter().map(|l| distance2(at, *l)).fold(f64::INFINITY, f64::min);
        let cover = (pen + 0.5 - libm::sqrt(near)).clamp(0.0, 1.0);
        *x = (libm::round(255.0 * cover) / 255.0) as f32;
    }
}

/// The Catmull-Rom curve through the points, eight pieces between two of them; the ends are doubled.
fn spline(points: &[Point]) -> Vec<Point> {
    let last = points.len().saturating_sub(1);
    let mut curve: Vec<Point> = points.first().copied().into_iter().collect();
    for i in 0..last {
        let [a, b, c, d] = [points[i.saturating_sub(1)], points[i], points[i + 1], points[(i + 2).min(last)]];
        for step in 1..=8 {
            let t = f64::from(step) / 8.0;
            let blend = |a: f64, b: f64, c: f64, d: f64| {
                0.5 * (2.0 * b + t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a))))
            };
            curve.push((blend(a.0, b.0, c.0, d.0), blend(a.1, b.1, c.1, d.1)));
        }
    }
    curve
}

/// Squared distance of a point from a line segment.
fn distance2(p: Point, (a, b): (Point, Point)) -> f64 {
    let (ux, uy, vx, vy) = (b.0 - a.0, b.1 - a.1, p.0 - a.0, p.1 - a.1);
    let length2 = ux * ux + uy * uy;
    let t = if length2 > 0.0 { ((ux * vx + uy * vy) / length2).clamp(0.0, 1.0) } else { 0.0 };
    let (dx, dy) = (vx - t * ux, vy - t * uy);
    dx * dx + dy * dy
}
