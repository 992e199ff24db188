//! A scene as a PNG, drawn by tiny-skia with the letters of a font that lies in this folder: a page looks the same on every machine.

use super::colour::Rgb;
use super::scene::{Anchor, Frame, Item, Paint, Pixels, Point, Scene, Stroke};
use crate::{Error, Result};
use std::sync::OnceLock;
use tiny_skia as skia;
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// Pixels of the file for each pixel of the page: sharp on paper and on dense screens.
const DENSITY: f32 = 2.0;

/// Half the height of a capital letter, in font sizes.
pub(super) const HALF_CAPITAL: f64 = 0.365;

static FONT: &[u8] = include_bytes!("font/dejavu-sans.ttf");

/// The font; none only if the file in this folder were broken, which a test would tell.
fn face() -> Option<&'static Face<'static>> {
    static FACE: OnceLock<Option<Face<'static>>> = OnceLock::new();
    FACE.get_or_init(|| Face::parse(FONT, 0).ok()).as_ref()
}

/// The width of a text in font sizes.
pub(super) fn advance(text: &str) -> f64 {
    let Some(face) = face() else { return 0.0 };
    text.chars().map(|c| step(face, glyph(face, c))).sum()
}

/// Letters that the font lacks are drawn as its empty box.
fn glyph(face: &Face<'_>, c: char) -> GlyphId {
    let c = if c.is_control() { ' ' } else { c };
    face.glyph_index(c).unwrap_or(GlyphId(0))
}

fn step(face: &Face<'_>, glyph: GlyphId) -> f64 {
    f64::from(face.glyph_hor_advance(glyph).unwrap_or(0)) / f64::from(face.units_per_em())
}

/// # Errors
/// A page that is too large.
pub(super) fn png(scene: &Scene) -> Result<Vec<u8>> {
    let (w, h) = ((scene.width as f32 * DENSITY).ceil(), (scene.height as f32 * DENSITY).ceil());
    let too_large = || Error::unsupported("plot", "a page of this size").got(format!("{w} x {h} pixels"));
    let mut page = skia::Pixmap::new(w as u32, h as u32).ok_or_else(too_large)?;
    scene.items.iter().for_each(|item| draw(&mut page, item));
    // Rounding may leave a pixel a little transparent.
    for pixel in page.pixels_mut() {
        let white = |v: u8| v.saturating_add(255 - pixel.alpha());
        *pixel = skia::ColorU8::from_rgba(white(pixel.red()), white(pixel.green()), white(pixel.blue()), 255).premultiply();
    }
    page.encode_png().map_err(|e| Error::unsupported("plot", e))
}

/// An image by itself, for an SVG.
pub(super) fn pixels(p: &Pixels) -> Result<Vec<u8>> {
    pixmap(p)
        .and_then(|map| map.encode_png().ok())
        .ok_or_else(|| Error::unsupported("plot", "an image of this size").got(format!("{} x {} pixels", p.columns, p.rows)))
}

fn pixmap(p: &Pixels) -> Option<skia::Pixmap> {
    let mut map = skia::Pixmap::new(p.columns as u32, p.rows as u32)?;
    for (to, from) in map.pixels_mut().iter_mut().zip(p.rgba.chunks_exact(4)) {
        *to = skia::ColorU8::from_rgba(from[0], from[1], from[2], from[3]).premultiply();
    }
    Some(map)
}

fn draw(page: &mut skia::Pixmap, item: &Item) {
    match item {
        Item::Line(points, stroke) => {
            if let Some(path) = path(points, false) {
                outline(page, &path, stroke);
            }
        }
        Item::Area(points, paint, rim) => {
            if let Some(path) = path(points, true) {
                area(page, &path, paint, rim.as_ref());
            }
        }
        Item::Rect(f, paint) => {
            if let Some(rect) = skia::Rect::from_xywh(f.x as f32, f.y as f32, f.w as f32, f.h as f32) {
                page.fill_rect(rect, &ink(paint), scale(), None);
            }
        }
        Item::Circle((x, y), r, paint, rim) => {
            if let Some(path) = skia::PathBuilder::from_circle(*x as f32, *y as f32, *r as f32) {
                area(page, &path, paint, rim.as_ref());
            }
        }
        Item::Text { at, size, text, anchor, turned, colour } => letters(page, *at, *size, text, (*anchor, *turned), *colour),
        Item::Image(frame, pixels) => image(page, frame, pixels),
    }
}

fn scale() -> skia::Transform {
    skia::Transform::from_scale(DENSITY, DENSITY)
}

fn ink(paint: &Paint) -> skia::Paint<'static> {
    let Rgb(r, g, b) = paint.colour;
    let mut ink = skia::Paint { anti_alias: true, ..skia::Paint::default() };
    ink.set_color_rgba8(r, g, b, (255.0 * paint.alpha.clamp(0.0, 1.0)).round() as u8);
    ink
}

fn path(points: &[Point], closed: bool) -> Option<skia::Path> {
    let mut builder = skia::PathBuilder::new();
    for (i, &(x, y)) in points.iter().enumerate() {
        if i == 0 { builder.move_to(x as f32, y as f32) } else { builder.line_to(x as f32, y as f32) }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

fn outline(page: &mut skia::Pixmap, path: &skia::Path, stroke: &Stroke) {
    let dash = skia::StrokeDash::new(stroke.dash.iter().map(|&d| d as f32).collect(), 0.0);
    let style = skia::Stroke { width: stroke.width as f32, dash, line_join: skia::LineJoin::Round, ..skia::Stroke::default() };
    page.stroke_path(path, &ink(&stroke.colour.into()), &style, scale(), None);
}

fn area(page: &mut skia::Pixmap, path: &skia::Path, paint: &Paint, rim: Option<&Stroke>) {
    page.fill_path(path, &ink(paint), skia::FillRule::Winding, scale(), None);
    if let Some(rim) = rim {
        outline(page, path, rim);
    }
}

fn image(page: &mut skia::Pixmap, f: &Frame, pixels: &Pixels) {
    let Some(map) = pixmap(pixels) else { return };
    let (sx, sy) = (f.w / pixels.columns as f64, f.h / pixels.rows as f64);
    let place = skia::Transform::from_row(sx as f32, 0.0, 0.0, sy as f32, f.x as f32, f.y as f32);
    page.draw_pixmap(0, 0, map.as_ref(), &skia::PixmapPaint::default(), place.post_concat(scale()), None);
}

fn letters(page: &mut skia::Pixmap, (x, y): Point, size: f64, text: &str, (anchor, turned): (Anchor, bool), colour: Rgb) {
    let Some(face) = face() else { return };
    let back = match anchor {
        Anchor::Left => 0.0,
        Anchor::Middle => 0.5,
        Anchor::Right => 1.0,
    };
    let mut pen = -back * advance(text) * size;
    let em = size / f64::from(face.units_per_em());
    for c in text.chars() {
        let glyph = glyph(face, c);
        let mut outline = Outline(skia::PathBuilder::new());
        if face.outline_glyph(glyph, &mut outline).is_some()
            && let Some(path) = outline.0.finish()
        {
            // Fonts count upwards, pages downwards.
            let place = skia::Transform::from_row(em as f32, 0.0, 0.0, -em as f32, pen as f32, (HALF_CAPITAL * size) as f32);
            let turn = if turned {
                skia::Transform::from_row(0.0, -1.0, 1.0, 0.0, x as f32, y as f32)
            } else {
                skia::Transform::from_translate(x as f32, y as f32)
            };
            page.fill_path(
                &path,
                &ink(&colour.into()),
                skia::FillRule::Winding,
                place.post_concat(turn).post_concat(scale()),
                None,
            );
        }
        pen += step(face, glyph) * size;
    }
}

struct Outline(skia::PathBuilder);

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.0.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.0.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.0.close();
    }
}
