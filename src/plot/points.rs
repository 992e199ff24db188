//! Points in the plane: predictions against the truth, clusters, and the regions in which a classifier answers each class.

use super::axes::{Axes, Key, Labels, Scale, legend, legend_height, tick};
use super::colour::{Rgb, colour, pale};
use super::scene::{Frame, Item, Pixels, Point, Scene, Stroke};
use super::{finite, same_length, save, some};
use crate::metrics::{Residuals, r2};
use crate::{Error, Real, Result};
use std::path::Path;

/// Width and height of a panel in pixels, with its axes.
const SIDE: f64 = 480.0;

/// Cells of a boundary's map along each axis.
const CELLS: usize = 160;

/// Points beyond which their density is drawn instead of each.
const MOST_POINTS: usize = 2000;

/// Draws predictions against the truth with the line on which they should lie, and says how far they are from it: bias, standard deviation,
/// σ from the median deviation, R². More than 2000 points are drawn as their density.
///
/// # Errors
/// No points, lengths that do not match, values that are not finite, a file that cannot be written.
///
/// # Examples
/// ```
/// use kamacite::plot::{Labels, scatter};
/// let file = tempfile::NamedTempFile::with_suffix(".png").unwrap();
/// scatter(file.path(), &[5000.0_f32, 6000.0], &[5100.0, 5900.0], Labels::new("stars", "true T / K", "predicted T / K"))?;
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn scatter<T: Real>(path: impl AsRef<Path>, truth: &[T], predicted: &[T], labels: Labels<'_>) -> Result<()> {
    const PLACE: &str = "plot of predictions";
    same_length(PLACE, "predictions", truth.len(), predicted.len())?;
    some(PLACE, "points", truth.len())?;
    let (t, p) = (finite(PLACE, "truth", truth)?, finite(PLACE, "predictions", predicted)?);
    let both = || t.iter().chain(&p).copied();
    if let Some(v) = both().find(|v| (labels.log.0 || labels.log.1) && *v <= 0.0) {
        return Err(Error::value(PLACE, "a value along an axis in decades").expected("above 0").got(v));
    }
    let scale = if labels.log.0 || labels.log.1 { Scale::decades(both()) } else { Scale::around(both(), 0.04) };
    let entries = [(Key::None, summary(predicted, truth)?)];
    let top = if labels.title.is_empty() { 12.0 } else { 30.0 } + legend_height(SIDE - 80.0, &entries);
    let mut scene = Scene::new(SIDE + 20.0, top + SIDE - 80.0 + 48.0);
    let frame = Frame { x: 80.0, y: top, w: SIDE - 80.0, h: SIDE - 80.0 };
    let axes = Axes { frame, x: scale, y: scale };
    axes.draw(&mut scene, labels.or("truth", "prediction"));
    let places = t.iter().zip(&p).map(|(&t, &p)| axes.at(t, p));
    if t.len() > MOST_POINTS {
        density(&mut scene, frame, places);
    } else {
        let alpha = (60.0 / (t.len() as f64).sqrt()).clamp(0.25, 0.8);
        places.for_each(|at| scene.mark(0, at, 3.0, alpha));
    }
    scene.line([(frame.x, frame.y + frame.h), (frame.x + frame.w, frame.y)], Stroke::QUIET);
    legend(&mut scene, frame, &entries);
    save(path.as_ref(), &scene)
}

fn summary<T: Real>(predicted: &[T], truth: &[T]) -> Result<String> {
    let r = Residuals::of(predicted, truth)?;
    let round = |v: f64| tick(format!("{v:.2e}").parse().unwrap_or(v));
    let spread = (r.mse() - r.bias() * r.bias()).max(0.0).sqrt();
    let r2 = r2(predicted, truth).ok().filter(|r| r.is_finite()).map_or(String::new(), |r| format!("   R² {r:.3}"));
    let (bias, mad) = (round(r.bias()), round(r.normalised_mad()));
    Ok(format!("n {}   bias {bias}   σ {}   σ(MAD) {mad}{r2}", r.values().len(), round(spread)))
}

/// How many points lie in each cell of 3 × 3 pixels, as opacity in logarithmic steps.
fn density(scene: &mut Scene, frame: Frame, places: impl Iterator<Item = Point>) {
    let cells = (frame.w / 3.0) as usize;
    let mut counts = vec![0_u32; cells * cells];
    let cell = |v: f64| ((v / frame.w * cells as f64) as usize).min(cells - 1);
    places.for_each(|(x, y)| counts[cell(y - frame.y) * cells + cell(x - frame.x)] += 1);
    let most = f64::from(counts.iter().copied().max().unwrap_or(1)).ln_1p();
    let Rgb(r, g, b) = colour(0);
    let opacity = |n: u32| if n == 0 { 0 } else { (255.0 * (0.15 + 0.85 * f64::from(n).ln_1p() / most)).round() as u8 };
    let rgba = counts.iter().flat_map(|&n| [r, g, b, opacity(n)]).collect();
    scene.image(frame, Pixels { columns: cells, rows: cells, rgba });
}

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
    some(NAME, "points", n)?;
    let k = rows(NAME, "centres", centres, dims)?;
    if let Some(a) = assignment {
        same_length(NAME, "cluster numbers", n, a.len())?;
    }
    let pairs: &[(usize, usize)] = if dims == 2 { &[(0, 1)] } else { &[(0, 1), (0, 2), (1, 2)] };
    let scales: Vec<_> = (0..dims).map(|d| scale(points.iter().chain(centres).skip(d).step_by(dims))).collect();
    let mut scene = Scene::new(SIDE * pairs.len() as f64, SIDE);
    for (panel, &(a, b)) in pairs.iter().enumerate() {
        let axes = axes(&mut scene, panel, (a, b), (scales[a], scales[b]));
        let place = |values: &[f32], i: usize| axes.at(values[i * dims + a].into(), values[i * dims + b].into());
        (0..n).for_each(|i| scene.mark(assignment.map_or(0, |a| a[i]) as usize, place(points, i), 3.5, 1.0));
        (0..k).for_each(|c| cross(&mut scene, place(centres, c)));
    }
    save(path.as_ref(), &scene)
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
    some(NAME, "points", n)?;
    same_length(NAME, "labels", n, labels.len())?;
    let scales = [0, 1].map(|d| scale(points.iter().skip(d).step_by(2)));
    let mut scene = Scene::new(SIDE, SIDE);
    let axes = axes(&mut scene, 0, (0, 1), (scales[0], scales[1]));
    let value = |(low, high): (f64, f64), cell: f64| low + (high - low) * cell / CELLS as f64;
    let f = axes.frame;
    let step = (f.w / CELLS as f64, f.h / CELLS as f64);
    for row in 0..CELLS {
        let mut classes = Vec::with_capacity(CELLS);
        for column in 0..CELLS {
            let at = [value(scales[0].ends(), column as f64 + 0.5), value(scales[1].ends(), row as f64 + 0.5)];
            classes.push(classify(at.map(|v| v as f32))?);
        }
        // Neighbours of one class are one rectangle.
        let mut from = 0;
        for run in classes.chunk_by(|a, b| a == b) {
            let (x, y) = (f.x + step.0 * from as f64, f.y + f.h - step.1 * (row + 1) as f64);
            scene.rect(Frame { x, y, w: step.0 * run.len() as f64, h: step.1 }, pale(colour(run[0] as usize)));
            from += run.len();
        }
    }
    axes.border(&mut scene);
    points.chunks_exact(2).zip(labels).for_each(|(p, &c)| scene.mark(c as usize, axes.at(p[0].into(), p[1].into()), 3.5, 1.0));
    save(path.as_ref(), &scene)
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

fn scale<'a>(values: impl Iterator<Item = &'a f32>) -> Scale {
    Scale::around(values.map(|&v| v.into()), 0.1)
}

/// The panel of two of the coordinates, side by side with those before it.
fn axes(scene: &mut Scene, panel: usize, (a, b): (usize, usize), (x, y): (Scale, Scale)) -> Axes {
    let frame = Frame { x: SIDE * panel as f64 + 72.0, y: 14.0, w: SIDE - 88.0, h: SIDE - 66.0 };
    let axes = Axes { frame, x, y };
    axes.draw(scene, Labels::new("", &format!("x{}", a + 1), &format!("x{}", b + 1)));
    axes
}

/// A centre.
fn cross(scene: &mut Scene, (x, y): Point) {
    for side in [-7.0, 7.0] {
        scene.items.push(Item::Line(vec![(x - 7.0, y - side), (x + 7.0, y + side)], Stroke { width: 3.0, ..Stroke::INK }));
    }
}

#[cfg(test)]
mod tests {
    use super::super::svg::hex;
    use super::super::testing::{drawn, numbers, painted, polylines};
    use super::*;
    use crate::ErrorKind;

    fn fill(class: usize) -> String {
        format!("fill=\"{}\"", hex(colour(class)))
    }

    #[test]
    fn predictions_lie_by_their_truth_and_the_residuals_are_summed_up() {
        let svg = drawn(|p| scatter(p, &[0.0_f32, 1.0, 2.0, 3.0], &[0.5, 1.5, 2.5, 3.5], Labels::new("a title", "", "")));
        // σ is 0: the bias is all there is.
        assert!(svg.contains("n 4   bias 0.5   σ 0   σ(MAD) 0   R² 0.800"), "{svg}");
        assert!(svg.contains(">truth<") && svg.contains(">prediction<") && svg.contains(">a title<"));
        let (x, y) = (numbers(&svg, "circle", "cx", ""), numbers(&svg, "circle", "cy", ""));
        let frame = (80.0, 400.0);
        let at = |v: f64| (v + 0.14) / 3.78 * frame.1;
        let top = 30.0 + 17.0;
        for i in 0..4 {
            assert!((x[i] - (frame.0 + at(i as f64))).abs() < 0.01 && (y[i] - (top + 400.0 - at(i as f64 + 0.5))).abs() < 0.01);
        }
        assert_eq!(polylines(&svg, "stroke-dasharray=\"5 4\""), [[(80.0, top + 400.0), (480.0, top)]]);
    }

    #[test]
    fn many_predictions_become_a_density() {
        // 2900 points on one spot, 100 on another; both off the diagonal.
        let t: Vec<f64> = (0..3000).map(|i| if i < 2900 { 2.0 } else { 8.0 }).collect();
        let p: Vec<f64> = t.iter().map(|t| 10.0 - t).collect();
        assert!(drawn(|path| scatter(path, &t, &p, Labels::default())).len() < 20_000);
        let (width, pixels) = painted(|path| scatter(path, &t, &p, Labels::default()));
        let at = |x: f64, y: f64| {
            let share = |v: f64| 400.0 * (v - 2.0 + 0.24) / 6.48;
            pixels[(2.0 * (29.0 + 400.0 - share(y))) as usize * width + (2.0 * (80.0 + share(x))) as usize]
        };
        // Blue, the more the more points.
        assert_eq!(at(2.0, 8.0), [0, 114, 178]);
        let (few, none) = (at(8.0, 2.0), at(3.3, 3.6));
        assert!(few[0] > 20 && few[0] < 150 && few[2] > few[0] && none == [255; 3], "{few:?} {none:?}");
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
        let left = numbers(&svg, "rect", "width", &format!("fill=\"{}\"", hex(pale(colour(0)))));
        // One rectangle a row, half as wide as the panel's plot.
        assert_eq!(left.len(), CELLS);
        assert!(left.iter().all(|w| (w / (SIDE - 88.0) - 0.5).abs() < 0.02), "{left:?}");
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
        assert_eq!(kind(scatter(&path, &p, &p[..3], Labels::default())), Err(ErrorKind::Shape));
        assert_eq!(kind(scatter::<f32>(&path, &[], &[], Labels::default())), Err(ErrorKind::Shape));
        assert_eq!(kind(scatter(&path, &p, &[0.0, 1.0, f32::INFINITY, 3.0], Labels::default())), Err(ErrorKind::Value));
        assert_eq!(kind(scatter(&path, &p, &p, Labels::default().log_x())), Err(ErrorKind::Value));
        assert!(!path.exists());
        assert_eq!(kind(clusters(dir.path().join("none/a.svg"), &p, 2, None, &[])), Err(ErrorKind::Io));
    }
}
