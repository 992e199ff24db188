//! Pictures of points (SVG): clusters, and the regions in which a classifier answers each class.
//!
//! Both show points in the plane. Classes and clusters have the colours of Okabe & Ito, which the colour-blind tell apart; after eight
//! they repeat.

use crate::monitor::{GRID, INK, failed, replace, tick};
use crate::{Error, Result};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::ops::Range;
use std::path::Path;

/// M. Okabe & K. Ito 2008, "Color Universal Design", black replaced by grey.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(240, 228, 66),
    RGBColor(120, 120, 120),
];

/// Width and height of a panel in pixels.
const SIDE: u32 = 480;

/// Cells of a boundary's map along each axis.
const CELLS: usize = 160;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws points in the colours of their clusters, and the centres as crosses; in three dimensions once for each pair of axes.
///
/// # Shapes
/// `points`: (n, `dims`), `dims` 2 or 3; `assignment`: n cluster numbers, none: all points have one colour; `centres`: (k, `dims`), may be empty.
///
/// # Errors
/// Lengths that do not match, values that are not finite, no points, a file that cannot be written.
///
/// # Examples
/// ```
/// let points = [0.0, 0.1, 0.2, 0.0, 1.0, 1.1];
/// let file = tempfile::NamedTempFile::new().unwrap();
/// kamacite::plot::clusters(file.path(), &points, 2, Some(&[0, 0, 1]), &[0.1, 0.05, 1.0, 1.1])?;
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn clusters(path: impl AsRef<Path>, points: &[f32], dims: usize, assignment: Option<&[u32]>, centres: &[f32]) -> Result<()> {
    const NAME: &str = "plot of clusters";
    if !(2..=3).contains(&dims) {
        return Err(Error::unsupported(NAME, "dimensions of the points").expected("2 or 3").got(dims));
    }
    let n = rows(NAME, "points", points, dims)?;
    let k = rows(NAME, "centres", centres, dims)?;
    if let Some(a) = assignment {
        same_length(NAME, "cluster numbers", n, a.len())?;
    }
    if n == 0 {
        return Err(Error::shape(NAME, "no points"));
    }
    let pairs: &[(usize, usize)] = if dims == 2 { &[(0, 1)] } else { &[(0, 1), (0, 2), (1, 2)] };
    let ranges: Vec<_> = (0..dims).map(|d| range((points.iter().chain(centres)).skip(d).step_by(dims))).collect();
    let svg = picture(pairs.len() as u32, |areas| {
        for (area, &(a, b)) in areas.iter().zip(pairs) {
            let mut chart = axes(area, (a, b), ranges[a].clone(), ranges[b].clone())?;
            let place = |values: &[f32], i: usize| (f64::from(values[i * dims + a]), f64::from(values[i * dims + b]));
            dots(&mut chart, (0..n).map(|i| (place(points, i), assignment.map_or(0, |a| a[i]))))?;
            let crosses = (0..k).map(|c| Cross::new(place(centres, c), 7, INK.stroke_width(3)));
            chart.draw_series(crosses).map_err(failed)?;
        }
        Ok(())
    })?;
    replace(path.as_ref(), svg.as_bytes())
}

/// Draws which class `classify` answers everywhere in the plane around labelled points, and the points.
///
/// It is asked for the middles of 160 × 160 cells, row by row from below.
///
/// # Shapes
/// `points`: (n, 2); `labels`: n.
///
/// # Errors
/// Lengths that do not match, values that are not finite, no points, a file that cannot be written, and whatever `classify` fails with.
///
/// # Examples
/// ```
/// let file = tempfile::NamedTempFile::new().unwrap();
/// let or = |p: [f32; 2]| Ok(u32::from(p[0] + p[1] > 0.5));
/// kamacite::plot::boundary(file.path(), &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], &[0, 1, 1, 1], or)?;
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn boundary(
    path: impl AsRef<Path>,
    points: &[f32],
    labels: &[u32],
    mut classify: impl FnMut([f32; 2]) -> Result<u32>,
) -> Result<()> {
    const NAME: &str = "plot of a boundary";
    let n = rows(NAME, "points", points, 2)?;
    same_length(NAME, "labels", n, labels.len())?;
    if n == 0 {
        return Err(Error::shape(NAME, "no points"));
    }
    let (x, y) = (range(points.iter().step_by(2)), range(points.iter().skip(1).step_by(2)));
    let at = |r: &Range<f64>, cells: f64| r.start + (r.end - r.start) * cells / CELLS as f64;
    let svg = picture(1, |areas| {
        let mut chart = axes(&areas[0], (0, 1), x.clone(), y.clone())?;
        for row in 0..CELLS {
            let mut classes = Vec::with_capacity(CELLS);
            for column in 0..CELLS {
                classes.push(classify([at(&x, column as f64 + 0.5) as f32, at(&y, row as f64 + 0.5) as f32])?);
            }
            // Neighbours of one class are one rectangle.
            let mut from = 0;
            let runs = classes.chunk_by(|a, b| a == b).map(|run| {
                let corners =
                    [(at(&x, from as f64), at(&y, row as f64)), (at(&x, (from + run.len()) as f64), at(&y, row as f64 + 1.0))];
                from += run.len();
                Rectangle::new(corners, pale(colour(run[0])).filled())
            });
            chart.draw_series(runs).map_err(failed)?;
        }
        dots(&mut chart, points.chunks_exact(2).zip(labels).map(|(p, &c)| ((f64::from(p[0]), f64::from(p[1])), c)))
    })?;
    replace(path.as_ref(), svg.as_bytes())
}

/// How many rows of `dims` values there are; all must be finite.
fn rows(name: &str, what: &str, values: &[f32], dims: usize) -> Result<usize> {
    if !values.len().is_multiple_of(dims) {
        return Err(Error::shape(name, what).expected(format!("a multiple of {dims} values")).got(values.len()));
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(Error::value(name, format!("{what}: row {}, column {}", i / dims, i % dims))
            .expected("a finite value")
            .got(values[i])),
        None => Ok(values.len() / dims),
    }
}

fn same_length(name: &str, what: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::shape(name, what).expected(format!("{expected}, one for each point")).got(got))
}

/// From the lowest to the highest with a margin; of some length where all are equal.
fn range<'a>(values: impl Iterator<Item = &'a f32>) -> Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v.into()), b.max(v.into())));
    let margin = if high > low { 0.1 * (high - low) } else { 0.5 * low.abs().max(1.0) };
    low - margin..high + margin
}

fn colour(class: u32) -> RGBColor {
    COLOURS[class as usize % COLOURS.len()]
}

/// For regions, on which points of the same colour must be seen.
fn pale(RGBColor(r, g, b): RGBColor) -> RGBColor {
    let mix = |v: u8| 255 - (255 - v) / 4;
    RGBColor(mix(r), mix(g), mix(b))
}

/// The text of an SVG with panels side by side.
fn picture(panels: u32, draw: impl FnOnce(&[Area<'_>]) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (SIDE * panels, SIDE)).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    draw(&root.split_evenly((1, panels as usize)))?;
    root.present().map_err(failed)?;
    drop(root);
    Ok(svg)
}

fn axes<'a, 'b>(area: &'a Area<'b>, (a, b): (usize, usize), x: Range<f64>, y: Range<f64>) -> Result<Chart<'a, 'b>> {
    let mut builder = ChartBuilder::on(area);
    builder.margin(12).x_label_area_size(40).y_label_area_size(56);
    let mut chart = builder.build_cartesian_2d(x, y).map_err(failed)?;
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(GRID).light_line_style(WHITE).axis_style(INK).label_style(("sans-serif", 13).into_font().color(&INK));
    mesh.x_labels(6).y_labels(6).x_label_formatter(&tick).y_label_formatter(&tick).axis_desc_style(("sans-serif", 15));
    mesh.x_desc(format!("x{}", a + 1)).y_desc(format!("x{}", b + 1)).draw().map_err(failed)?;
    Ok(chart)
}

fn dots(chart: &mut Chart<'_, '_>, points: impl Iterator<Item = ((f64, f64), u32)>) -> Result<()> {
    for (place, class) in points {
        let rim = Circle::new(place, 4, WHITE.filled());
        let dot = Circle::new(place, 3, colour(class).filled());
        chart.draw_series([rim, dot]).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn drawn(draw: impl FnOnce(&Path) -> Result<()>) -> String {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("a.svg");
        draw(&path).expect("a picture");
        std::fs::read_to_string(path).expect("the picture's text")
    }

    fn fill(class: u32) -> String {
        let RGBColor(r, g, b) = colour(class);
        format!("fill=\"#{r:02X}{g:02X}{b:02X}\"")
    }

    #[test]
    fn every_point_has_the_colour_of_its_cluster() {
        let points: Vec<f32> = (0..30).map(|i| (i % 7) as f32 - 0.3 * i as f32).collect();
        for (dims, panels) in [(2, 1), (3, 3)] {
            let n = 30 / dims;
            let assignment: Vec<u32> = (0..n as u32).map(|i| if i < 4 { 2 } else { 9 }).collect();
            let svg = drawn(|p| clusters(p, &points, dims, Some(&assignment), &points[..2 * dims]));
            let count = |class| svg.matches(&fill(class)).count();
            assert_eq!((count(2), count(9)), (4 * panels, (n - 4) * panels), "{dims} dimensions");
            // A cross is two lines of its own width.
            assert_eq!(svg.matches("stroke-width=\"3\"").count(), 2 * 2 * panels);
            assert!(svg.trim_end().ends_with("</svg>") && svg.contains("x2") && svg.contains("x3") == (dims == 3));
        }
        let svg = drawn(|p| clusters(p, &[1.0; 6], 2, None, &[]));
        assert_eq!(svg.matches(&fill(0)).count(), 3);
    }

    #[test]
    fn a_region_lies_where_its_class_is_answered() {
        let points = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
        let mut asked = Vec::new();
        let svg = drawn(|p| {
            boundary(p, &points, &[0, 1, 1, 1], |at| {
                asked.push(at);
                Ok(u32::from(at[0] > 0.5))
            })
        });
        assert_eq!(asked.len(), CELLS * CELLS);
        assert!(asked.iter().flatten().all(|v| (-0.1..1.1).contains(v)));
        assert!(asked[0][1] < asked[CELLS * CELLS - 1][1] && asked[0][0] < asked[1][0]);
        let RGBColor(r, g, b) = pale(colour(0));
        let left: Vec<f64> = svg
            .split("<rect")
            .filter(|l| l.contains(&format!("fill=\"#{r:02X}{g:02X}{b:02X}\"")))
            .filter_map(|l| l.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        // One rectangle a row, half as wide as the panel's plot.
        assert_eq!(left.len(), CELLS);
        assert!(left.iter().all(|w| (w / f64::from(SIDE - 24 - 56) - 0.5).abs() < 0.02), "{left:?}");
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("a.svg");
        let kind = |r: Result<()>| r.map_err(|e| e.kind());
        let p = [0.0f32, 1.0, 2.0, 3.0];
        assert_eq!(kind(clusters(&path, &p, 1, None, &[])), Err(ErrorKind::Unsupported));
        assert_eq!(kind(clusters(&path, &p, 4, None, &[])), Err(ErrorKind::Unsupported));
        assert_eq!(kind(clusters(&path, &p[..3], 2, None, &[])), Err(ErrorKind::Shape));
        assert_eq!(kind(clusters(&path, &p, 2, Some(&[0]), &[])), Err(ErrorKind::Shape));
        assert_eq!(kind(clusters(&path, &p, 2, None, &[0.0])), Err(ErrorKind::Shape));
        assert_eq!(kind(clusters(&path, &[], 2, None, &[])), Err(ErrorKind::Shape));
        assert_eq!(kind(clusters(&path, &[0.0, f32::NAN], 2, None, &[])), Err(ErrorKind::Value));
        assert_eq!(kind(boundary(&path, &p, &[1], |_| Ok(0))), Err(ErrorKind::Shape));
        assert_eq!(kind(boundary(&path, &p, &[1, 0], |_| Err(Error::order("mine", "no")))), Err(ErrorKind::Order));
        assert!(!path.exists());
        assert_eq!(kind(clusters(dir.path().join("none/a.svg"), &p, 2, None, &[])), Err(ErrorKind::Io));
    }
}
