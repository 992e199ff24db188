//! A scene as the text of an SVG. Fonts are named, not embedded.

use super::colour::Rgb;
use super::png;
use super::scene::{Anchor, Frame, Item, Paint, Point, Scene, Stroke};
use crate::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

/// # Errors
/// An image that cannot be compressed.
pub(super) fn svg(scene: &Scene) -> Result<String> {
    let (w, h) = (number(scene.width), number(scene.height));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\">\n"
    );
    for item in &scene.items {
        let _ = match item {
            Item::Line(points, stroke) => {
                writeln!(out, "<polyline points=\"{}\" fill=\"none\"{}/>", places(points), style(stroke))
            }
            Item::Area(points, paint, rim) => {
                writeln!(
                    out,
                    "<polygon points=\"{}\"{}{}/>",
                    places(points),
                    fill(paint),
                    rim.as_ref().map_or(String::new(), style)
                )
            }
            Item::Rect(frame, paint) => writeln!(out, "<rect{}{}/>", place(frame), fill(paint)),
            Item::Circle((x, y), r, paint, rim) => writeln!(
                out,
                "<circle cx=\"{}\" cy=\"{}\" r=\"{}\"{}{}/>",
                number(*x),
                number(*y),
                number(*r),
                fill(paint),
                rim.as_ref().map_or(String::new(), style)
            ),
            Item::Text { at, size, text, anchor, turned, colour } => {
                writeln!(out, "{}", letters(*at, *size, text, (*anchor, *turned), *colour))
            }
            Item::Image(frame, pixels) => writeln!(
                out,
                "<image{} preserveAspectRatio=\"none\" image-rendering=\"pixelated\" href=\"data:image/png;base64,{}\"/>",
                place(frame),
                STANDARD.encode(png::pixels(pixels)?)
            ),
        };
    }
    out.push_str("</svg>\n");
    Ok(out)
}

fn letters((x, y): Point, size: f64, text: &str, (anchor, turned): (Anchor, bool), colour: Rgb) -> String {
    let anchor = match anchor {
        Anchor::Left => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::Right => " text-anchor=\"end\"",
    };
    // The place is halfway up the letters, SVG's is the line they stand on.
    let down = png::HALF_CAPITAL * size;
    let (bx, by) = if turned { (number(x + down), number(y)) } else { (number(x), number(y + down)) };
    let turn = if turned { format!(" transform=\"rotate(-90 {bx} {by})\"") } else { String::new() };
    format!(
        "<text x=\"{bx}\" y=\"{by}\" font-size=\"{}\"{anchor}{turn} fill=\"{}\">{}</text>",
        number(size),
        hex(colour),
        escaped(text)
    )
}

fn place(f: &Frame) -> String {
    format!(" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"", number(f.x), number(f.y), number(f.w), number(f.h))
}

fn places(points: &[Point]) -> String {
    points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect::<Vec<_>>().join(" ")
}

fn fill(paint: &Paint) -> String {
    let alpha = if paint.alpha < 1.0 { format!(" fill-opacity=\"{}\"", number(paint.alpha)) } else { String::new() };
    format!(" fill=\"{}\"{alpha}", hex(paint.colour))
}

fn style(stroke: &Stroke) -> String {
    let mut text = format!(" stroke=\"{}\" stroke-width=\"{}\"", hex(stroke.colour), number(stroke.width));
    if !stroke.dash.is_empty() {
        let lengths = stroke.dash.iter().map(|d| number(*d)).collect::<Vec<_>>().join(" ");
        let _ = write!(text, " stroke-dasharray=\"{lengths}\"");
    }
    text
}

pub(super) fn hex(Rgb(r, g, b): Rgb) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// Hundredths are enough, without the zeros at the end.
fn number(v: f64) -> String {
    let text = format!("{v:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_string() } else { text.to_string() }
}

/// Without characters that XML forbids.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
