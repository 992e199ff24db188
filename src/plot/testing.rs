//! Pictures for tests: what they contain, read back from the file.

use super::*;

/// The text of the SVG that `draw` writes.
pub(super) fn drawn(draw: impl FnOnce(&Path) -> Result<()>) -> String {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("a.svg");
    draw(&path).expect("a picture");
    let text = std::fs::read_to_string(&path).expect("the picture's text");
    assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"), "{text}");
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    assert_eq!(std::fs::read_dir(dir.path()).map(Iterator::count).ok(), Some(1), "a file was left behind");
    text
}

/// The PNG that `draw` writes: its width, and red, green and blue of every pixel.
pub(super) fn painted(draw: impl FnOnce(&Path) -> Result<()>) -> (usize, Vec<[u8; 3]>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("a.PNG");
    draw(&path).expect("a picture");
    let map = tiny_skia::Pixmap::load_png(&path).expect("a PNG");
    assert!(map.pixels().iter().all(|p| p.alpha() == 255), "the page shines through");
    (map.width() as usize, map.pixels().iter().map(|p| [p.red(), p.green(), p.blue()]).collect())
}

/// Numbers of an attribute in every element of a kind that contains `with`.
pub(super) fn numbers(svg: &str, element: &str, attribute: &str, with: &str) -> Vec<f64> {
    svg.lines()
        .filter(|l| l.starts_with(&format!("<{element} ")) && l.contains(with))
        .filter_map(|l| l.split(&format!(" {attribute}=\"")).nth(1)?.split('"').next()?.parse().ok())
        .collect()
}

/// The points of every line of a stroke that contains `with`.
pub(super) fn polylines(svg: &str, with: &str) -> Vec<Vec<(f64, f64)>> {
    let points = |l: &str| -> Option<Vec<(f64, f64)>> {
        let list = l.split("points=\"").nth(1)?.split('"').next()?;
        list.split(' ').map(|p| p.split_once(',').and_then(|(x, y)| Some((x.parse().ok()?, y.parse().ok()?)))).collect()
    };
    svg.lines().filter(|l| l.starts_with("<polyline") && l.contains(with)).filter_map(points).collect()
}

#[test]
fn the_extension_chooses_the_format() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let page = || {
        let mut scene = Scene::new(40.0, 30.0);
        scene.text((20.0, 15.0), 12.0, "α ≤ 1\u{1}&<Ω☉", scene::Anchor::Middle);
        scene
    };
    let begins = |name: &str| {
        let path = dir.path().join(name);
        save(&path, &page()).map(|()| std::fs::read(&path).expect("the file")[..4].to_vec())
    };
    assert_eq!(begins("a.svg").ok().as_deref(), Some(&b"<svg"[..]));
    assert_eq!(begins("a").ok().as_deref(), Some(&b"<svg"[..]));
    assert_eq!(begins("a.PNG").ok().as_deref(), Some(&b"\x89PNG"[..]));
    for wrong in ["a.jpg", "a.svg.gz", "a.pdf"] {
        assert_eq!(begins(wrong).map_err(|e| e.kind()), Err(crate::ErrorKind::Unsupported), "{wrong}");
    }
    assert_eq!(begins("none/a.png").map_err(|e| e.kind()), Err(crate::ErrorKind::Io));
    let huge = save(&dir.path().join("b.png"), &Scene::new(1e9, 1e9));
    assert_eq!(huge.map_err(|e| e.kind()), Err(crate::ErrorKind::Unsupported));
    assert!(svg::svg(&page()).is_ok_and(|t| t.contains(">α ≤ 1 &amp;&lt;Ω☉<")));
}

#[test]
fn letters_and_shapes_lie_where_they_should_in_a_png() {
    let mut scene = Scene::new(100.0, 60.0);
    scene.rect(scene::Frame { x: 10.0, y: 10.0, w: 20.0, h: 15.0 }, colour::colour(0));
    scene.text((60.0, 20.0), 20.0, "H", scene::Anchor::Middle);
    scene.turned_text((90.0, 40.0), 20.0, "I", scene::Anchor::Middle);
    scene.image(
        scene::Frame { x: 10.0, y: 40.0, w: 20.0, h: 10.0 },
        scene::Pixels { columns: 2, rows: 1, rgba: vec![255, 0, 0, 255, 0, 0, 255, 255] },
    );
    let (width, pixels) = painted(|p| save(p, &scene));
    assert_eq!((width, pixels.len()), (200, 200 * 120));
    let at = |x: usize, y: usize| pixels[2 * y * width + 2 * x];
    let blue = [0, 114, 178];
    assert_eq!([at(9, 12), at(11, 12), at(28, 23), at(31, 23)], [[255; 3], blue, blue, [255; 3]]);
    assert_eq!([at(12, 45), at(18, 45), at(22, 45), at(28, 45)], [[255, 0, 0], [255, 0, 0], [0, 0, 255], [0, 0, 255]]);
    // The ink of the H is symmetric about (60, 20), as high as a capital letter, and empty between its legs.
    let dark: Vec<(usize, usize)> =
        (0..60).flat_map(|y| (45..75).map(move |x| (x, y))).filter(|&(x, y)| at(x, y)[0] < 128).collect();
    let edge = |of: fn(&(usize, usize)) -> usize| (dark.iter().map(of).min(), dark.iter().map(of).max());
    let ((Some(left), Some(right)), (Some(top), Some(bottom))) = (edge(|p| p.0), edge(|p| p.1)) else { panic!("no letter") };
    assert!((left + right).abs_diff(120) <= 2 && (top + bottom).abs_diff(40) <= 2 && (13..=16).contains(&(bottom - top)));
    assert!(at(60, top + 1)[0] > 200 && at(60, 20)[0] < 128);
    // An upright bar, turned, lies flat.
    let bar: Vec<(usize, usize)> =
        (25..55).flat_map(|y| (78..100).map(move |x| (x, y))).filter(|&(x, y)| at(x, y)[0] < 128).collect();
    let span = |of: fn(&(usize, usize)) -> usize| bar.iter().map(of).max().unwrap_or(0) - bar.iter().map(of).min().unwrap_or(0);
    assert!(span(|p| p.0) > 4 * span(|p| p.1).max(1), "{bar:?}");
}
