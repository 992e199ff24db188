//! Bars: distributions of values, and values with names.

use super::axes::{Axes, Key, Labels, Scale, legend, legend_height, tick};
use super::colour::{Rgb, colour, pale};
use super::scene::{Anchor, Frame, Item, Paint, Point, Scene, Stroke, width};
use super::{finite, save, some};
use crate::{Error, Real, Result};
use std::path::Path;

/// The most bins of a histogram.
const MAX_BINS: usize = 1000;

/// Draws how often values lie in `bins` equal bins from the lowest to the highest of all series.
///
/// # Errors
/// No values, values that are not finite, 0 or more than 1000 bins, decades along an axis, a file that cannot be written.
///
/// # Examples
/// ```
/// use kamacite::plot::{Labels, histogram};
/// let file = tempfile::NamedTempFile::with_suffix(".svg").unwrap();
/// histogram(file.path(), &[("residuals", &[0.1_f32, 0.2, 0.15, -0.3][..])], 4, Labels::new("", "residual", "stars"))?;
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn histogram<T: Real>(path: impl AsRef<Path>, series: &[(&str, &[T])], bins: usize, labels: Labels<'_>) -> Result<()> {
    const PLACE: &str = "plot of a histogram";
    if !(1..=MAX_BINS).contains(&bins) {
        return Err(Error::value(PLACE, "number of bins").expected(format!("1 to {MAX_BINS}")).got(bins));
    }
    if labels.log.0 || labels.log.1 {
        return Err(Error::unsupported(PLACE, "decades along an axis").hint("take the logarithm of the values"));
    }
    let values: Vec<Vec<f64>> = series.iter().map(|(name, v)| finite(PLACE, name, v)).collect::<Result<_>>()?;
    some(PLACE, "values", values.iter().map(Vec::len).sum())?;
    let (low, high) = values.iter().flatten().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
    let (low, high) = if high > low { (low, high) } else { (low - 0.5, high + 0.5) };
    let edge = |k: usize| low + (high - low) * k as f64 / bins as f64;
    let count = |values: &[f64]| {
        let mut counts = vec![0_u64; bins];
        values.iter().for_each(|v| counts[(((v - low) / (high - low) * bins as f64) as usize).min(bins - 1)] += 1);
        counts
    };
    let counts: Vec<Vec<u64>> = values.iter().map(|v| count(v)).collect();
    let most = counts.iter().flatten().copied().max().unwrap_or(1) as f64;
    let entries: Vec<_> = series.iter().enumerate().map(|(i, (name, _))| (Key::Line(i), (*name).to_string())).collect();
    let top = 30.0 + legend_height(620.0, &entries);
    let mut scene = Scene::new(720.0, top + 300.0 + 46.0);
    let frame = Frame { x: 80.0, y: top, w: 620.0, h: 300.0 };
    let axes = Axes { frame, x: Scale::Linear(low, high), y: Scale::Linear(0.0, 1.05 * most) };
    axes.draw(&mut scene, labels.or("", "number"));
    for (i, counts) in counts.iter().enumerate() {
        let steps = counts.iter().enumerate().flat_map(|(k, &n)| [axes.at(edge(k), n as f64), axes.at(edge(k + 1), n as f64)]);
        let outline: Vec<Point> = [axes.at(low, 0.0)].into_iter().chain(steps).chain([axes.at(high, 0.0)]).collect();
        if i == 0 {
            scene.items.push(Item::Area(outline.clone(), Paint { colour: colour(0), alpha: 0.25 }, None));
        }
        scene.line(outline, Stroke::series(i));
    }
    axes.border(&mut scene);
    legend(&mut scene, frame, &entries);
    save(path.as_ref(), &scene)
}

/// Draws named values as bars from zero, from above in the order given; negative ones are hatched. A third number is the length of an error bar
/// to both sides, where it is above 0.
///
/// # Errors
/// No bars, values that are not finite, a file that cannot be written.
///
/// # Examples
/// ```
/// use kamacite::plot::{Labels, bars};
/// let file = tempfile::NamedTempFile::with_suffix(".svg").unwrap();
/// bars(file.path(), &[("stellar mass", 0.4, 0.05), ("colour", -0.1, 0.0)], Labels::new("", "Shapley value", ""))?;
/// # Ok::<(), kamacite::Error>(())
/// ```
pub fn bars(path: impl AsRef<Path>, bars: &[(&str, f64, f64)], labels: Labels<'_>) -> Result<()> {
    const PLACE: &str = "plot of bars";
    const SIZE: f64 = 13.0;
    const ROW: f64 = 24.0;
    some(PLACE, "bars", bars.len())?;
    if let Some((name, v, e)) = bars.iter().find(|(_, v, e)| !(v.is_finite() && e.is_finite())) {
        return Err(Error::value(PLACE, format!("bar {name:?}")).expected("finite numbers").got(format!("{v} ± {e}")));
    }
    let ends = bars.iter().flat_map(|(_, v, e)| [v - e.max(0.0), v + e.max(0.0)]).chain([0.0]);
    let scale = match Scale::around(ends, 0.12) {
        Scale::Linear(a, b) => Scale::Linear(if a < 0.0 && bars.iter().all(|b| b.1 >= 0.0 && b.2 <= b.1) { 0.0 } else { a }, b),
        other => other,
    };
    let left = 40.0 + bars.iter().map(|(name, ..)| width(name, SIZE)).fold(0.0, f64::max);
    let frame = Frame { x: left, y: 34.0, w: 440.0, h: ROW * bars.len() as f64 + 8.0 };
    let mut scene = Scene::new(left + frame.w + 24.0, frame.y + frame.h + 46.0);
    let axes = Axes { frame, x: scale, y: Scale::Names };
    axes.draw(&mut scene, Labels { y: "", ..labels });
    for (i, (name, v, e)) in bars.iter().enumerate() {
        let y = frame.y + 4.0 + ROW * (i as f64 + 0.5);
        let (zero, end) = (axes.at(0.0, 0.0).0, axes.at(*v, 0.0).0);
        let bar = Frame { x: zero.min(end), y: y - 8.0, w: (end - zero).abs(), h: 16.0 };
        let Rgb(r, g, b) = colour(usize::from(*v < 0.0));
        scene.rect(bar, if *v < 0.0 { pale(Rgb(r, g, b)) } else { Rgb(r, g, b) });
        if *v < 0.0 {
            scene.hatch(bar, Stroke { colour: Rgb(r, g, b), width: 1.5, dash: &[] });
            scene.outline(bar, Stroke { colour: Rgb(r, g, b), width: 1.0, dash: &[] });
        }
        if *e > 0.0 {
            scene.line([(axes.at(v - e, 0.0).0, y), (axes.at(v + e, 0.0).0, y)], Stroke { width: 1.5, ..Stroke::INK });
        }
        scene.text((left - 8.0, y), SIZE, *name, Anchor::Right);
        let (beyond, anchor) =
            if *v < 0.0 { (axes.at(v - e, 0.0).0 - 5.0, Anchor::Right) } else { (axes.at(v + e, 0.0).0 + 5.0, Anchor::Left) };
        scene.text((beyond, y), 11.0, tick(format!("{v:.2e}").parse().unwrap_or(*v)), anchor);
    }
    let zero = axes.at(0.0, 0.0).0;
    scene.line([(zero, frame.y), (zero, frame.y + frame.h)], Stroke::INK);
    save(path.as_ref(), &scene)
}

#[cfg(test)]
mod tests {
    use super::super::svg::hex;
    use super::super::testing::{drawn, numbers, polylines};
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_histogram_counts() {
        let a = [0.0_f32, 0.1, 0.2, 2.5, 4.0];
        let svg = drawn(|p| histogram(p, &[("a", &a[..]), ("b", &[1.5_f32])], 4, Labels::default()));
        let outline = &polylines(&svg, &format!("stroke=\"{}\"", hex(colour(0))))[0];
        // 3, 0, 1 and, with the highest value, 1 of at most 3.15.
        for (k, count) in [3.0, 0.0, 1.0, 1.0].into_iter().enumerate() {
            let middle = 80.0 + 620.0 * (k as f64 + 0.5) / 4.0;
            let step = outline.windows(2).find(|w| w[0].0 < middle && middle < w[1].0).expect("a step over each bin");
            assert!(step.iter().all(|p| (3.15 * (347.0 - p.1) / 300.0 - count).abs() < 0.01), "{k} {step:?}");
        }
        assert!(svg.contains(">a<") && svg.contains(">b<"));
        let kind = |r: Result<()>| r.map_err(|e| e.kind());
        assert_eq!(kind(histogram("a.svg", &[("a", &a[..])], 0, Labels::default())), Err(ErrorKind::Value));
        assert_eq!(kind(histogram::<f32>("a.svg", &[("a", &[])], 3, Labels::default())), Err(ErrorKind::Shape));
        assert_eq!(kind(histogram("a.svg", &[("a", &[f32::NAN])], 3, Labels::default())), Err(ErrorKind::Value));
        drawn(|p| histogram(p, &[("same", &[3.0_f32; 5])], 3, Labels::default()));
    }

    #[test]
    fn bars_begin_at_zero() {
        let svg = drawn(|p| bars(p, &[("mass", 2.0, 0.5), ("colour", -1.0, 0.0)], Labels::new("", "value", "")));
        let widths = numbers(&svg, "rect", "width", "");
        // The page, then the bars: from −1 to 2.5 with an eighth of the range to both sides.
        let unit = 440.0 / (3.5 * 1.24);
        assert!((widths[1] - 2.0 * unit).abs() < 0.02 && (widths[2] - unit).abs() < 0.02, "{widths:?}");
        let x = numbers(&svg, "rect", "x", "");
        assert!((x[2] + widths[2] - x[1]).abs() < 0.02);
        assert!(svg.contains(">−1<") && svg.contains(">mass<") && svg.contains(">value<"));
        assert!(polylines(&svg, &hex(colour(1))).len() > 10, "no hatching");
        let kind = |r: Result<()>| r.map_err(|e| e.kind());
        assert_eq!(kind(bars("a.svg", &[], Labels::default())), Err(ErrorKind::Shape));
        assert_eq!(kind(bars("a.svg", &[("a", f64::NAN, 0.0)], Labels::default())), Err(ErrorKind::Value));
        drawn(|p| bars(p, &[("zero", 0.0, 0.0)], Labels::default()));
    }
}
