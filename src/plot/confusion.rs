//! The confusion matrix.

use super::colour::{INK, PAPER, Rgb};
use super::save;
use super::scene::{Anchor, Frame, Scene, Stroke, width};
use crate::metrics::Confusion;
use crate::{Error, Result};
use std::path::Path;

/// Classes up to which a matrix is drawn, and up to which its cells carry numbers.
pub(crate) const MAX_CLASSES: usize = 200;
const MAX_NUMBERED: usize = 25;

const SIZE: f64 = 13.0;

/// Draws a confusion matrix: rows are true classes, cells are shaded by their share of the row (the diagonal shows recall) and carry the counts.
///
/// # Errors
/// More than 200 classes; a file that cannot be written.
pub fn confusion(path: impl AsRef<Path>, m: &Confusion) -> Result<()> {
    let n = m.classes();
    if n > MAX_CLASSES {
        return Err(Error::unsupported("plot of a confusion matrix", "classes").expected(format!("up to {MAX_CLASSES}")).got(n));
    }
    let cell = (640 / n).clamp(5, 72) as f64;
    let names: Vec<String> = (0..n).map(|c| m.name(c).chars().take(24).collect()).collect();
    let longest = names.iter().map(|name| width(name, SIZE)).fold(0.0, f64::max);
    let named = cell >= 12.0;
    let left = 46.0 + if named { longest } else { 0.0 };
    // Names below the columns run upwards once they are wider than a cell.
    let upright = longest + 6.0 > cell;
    let below = 40.0 + if named && upright { longest } else { 22.0 };
    let (top, side) = (44.0, n as f64 * cell);
    let accuracy = m.accuracy().map_or(String::new(), |a| format!("accuracy {:.2}% ({} of {})", 100.0 * a, m.right(), m.total()));
    let wide = (left + side + 20.0).max(left + width(&accuracy, 16.0) + 10.0);
    let mut scene = Scene::new(wide, top + side + below);
    scene.text((left, 20.0), 16.0, accuracy, Anchor::Left);
    for (t, name) in names.iter().enumerate() {
        for p in 0..n {
            let at = Frame { x: left + p as f64 * cell, y: top + t as f64 * cell, w: cell, h: cell };
            filled(&mut scene, at, m.get(t, p), m.support(t), n <= MAX_NUMBERED);
        }
        if named {
            let middle = (t as f64 + 0.5) * cell;
            scene.text((left - 8.0, top + middle), SIZE, name.as_str(), Anchor::Right);
            if upright {
                scene.turned_text((left + middle, top + side + 8.0), SIZE, name.as_str(), Anchor::Right);
            } else {
                scene.text((left + middle, top + side + 16.0), SIZE, name.as_str(), Anchor::Middle);
            }
        }
    }
    scene.outline(Frame { x: left, y: top, w: side, h: side }, Stroke::INK);
    scene.text((left + side / 2.0, top + side + below - 14.0), 15.0, "predicted", Anchor::Middle);
    scene.turned_text((16.0, top + side / 2.0), 15.0, "true", Anchor::Middle);
    save(path.as_ref(), &scene)
}

fn filled(scene: &mut Scene, at: Frame, count: u64, support: u64, numbered: bool) {
    let share = count as f64 / support.max(1) as f64;
    let shade = |full: u8| (255.0 - share * (255.0 - f64::from(full))).round() as u8;
    scene.rect(at, Rgb(shade(8), shade(64), shade(129)));
    if numbered {
        let ink = if share > 0.5 { PAPER } else { INK };
        scene.coloured_text((at.x + at.w / 2.0, at.y + at.h / 2.0), (at.w / 3.0).clamp(9.0, 16.0), count.to_string(), ink);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::drawn;
    use super::*;

    #[test]
    fn every_cell_has_its_count_and_shade() -> Result<()> {
        for classes in [1, 2, 25, 26, MAX_CLASSES] {
            let mut m = Confusion::new(classes)?;
            (0..classes as u32).try_for_each(|c| m.count(c, c))?;
            let svg = drawn(|p| confusion(p, &m));
            assert_eq!(svg.matches("<rect").count(), 1 + classes * classes, "{classes} classes");
            assert_eq!(svg.matches("fill=\"#084081\"").count(), classes);
        }
        let m = Confusion::from_counts(2, vec![3, 1, 0, 40])?.names(&["a<b>&c", "\u{1}d"])?;
        let svg = drawn(|p| confusion(p, &m));
        assert!(
            svg.contains("a&lt;b&gt;&amp;c") && !svg.contains('\u{1}') && svg.contains("accuracy 97.73% (43 of 44)"),
            "{svg}"
        );
        let counts: Vec<&str> = svg.lines().filter(|l| l.contains("font-size=\"16\" text-anchor")).collect();
        assert_eq!(counts.len(), 4);
        assert!(["3", "1", "0", "40"].iter().zip(counts).all(|(n, l)| l.contains(&format!(">{n}<"))));
        let wide = Confusion::new(MAX_CLASSES + 1)?;
        assert!(confusion("a.svg", &wide).is_err());
        Ok(())
    }
}
