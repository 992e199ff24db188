//! Colours, dashes and marks: series differ in all three, so that a picture printed in black and white can be read.

/// Red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rgb(pub u8, pub u8, pub u8);

pub(super) const INK: Rgb = Rgb(40, 40, 40);
pub(super) const GRID: Rgb = Rgb(225, 225, 225);
pub(super) const QUIET: Rgb = Rgb(120, 120, 120);
pub(super) const PAPER: Rgb = Rgb(255, 255, 255);

/// M. Okabe & K. Ito 2008, "Color Universal Design", black replaced by grey; dark and light ones take turns, so that neighbours differ in
/// lightness too.
const COLOURS: [Rgb; 8] = [
    Rgb(0, 114, 178),
    Rgb(230, 159, 0),
    Rgb(213, 94, 0),
    Rgb(86, 180, 233),
    Rgb(0, 158, 115),
    Rgb(240, 228, 66),
    Rgb(120, 120, 120),
    Rgb(204, 121, 167),
];

/// The colour of series or class `i`; after eight they repeat.
pub(super) fn colour(i: usize) -> Rgb {
    COLOURS[i % COLOURS.len()]
}

/// Lengths of strokes and gaps of series `i`, in pixels.
pub(super) fn dash(i: usize) -> &'static [f64] {
    const DASHES: [&[f64]; 6] = [&[], &[7.0, 3.0], &[2.0, 2.5], &[8.0, 3.0, 2.0, 3.0], &[14.0, 4.0], &[4.0, 2.0]];
    DASHES[i % DASHES.len()]
}

/// For regions, on which points of the same colour must be seen.
pub(super) fn pale(Rgb(r, g, b): Rgb) -> Rgb {
    let mix = |v: u8| 255 - (255 - v) / 4;
    Rgb(mix(r), mix(g), mix(b))
}

/// How the values of a [`Tile`](super::Tile) become colours. All three rise evenly in lightness, so none loses anything in print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// Black to white.
    Grey,
    /// Dark violet over green to light yellow, in steps that look equal.
    #[default]
    Even,
    /// Dark blue below zero, grey at zero, light orange above: for values with a sign. The range is symmetric.
    Signed,
}

impl Colours {
    /// The colour of `t`, 0 to 1.
    pub(super) fn at(self, t: f64) -> Rgb {
        let t = t.clamp(0.0, 1.0);
        match self {
            Self::Grey => grey(t),
            // Hues from violet (300°) to yellow (100°) by way of blue and green; least saturated at both ends, where the gamut is narrow.
            Self::Even => oklch(0.08 + 0.86 * t, 0.05 + 0.09 * (std::f64::consts::PI * t.powf(1.3)).sin(), 300.0 - 200.0 * t),
            Self::Signed => {
                let side = 2.0 * t - 1.0;
                oklch(0.16 + 0.76 * t, 0.13 * side.abs(), if side < 0.0 { 260.0 } else { 75.0 })
            }
        }
    }
}

/// sRGB of a lightness (0 to 1, as even as L*), chroma and hue in degrees of the space Oklab; what sRGB cannot show loses chroma.
///
/// B. Ottosson 2020, "A perceptual color space for image processing"; 2021, "Two new color spaces for color picking", for the lightness.
fn oklch(even: f64, chroma: f64, hue: f64) -> Rgb {
    let (k1, k2) = (0.206, 0.03);
    let lightness = even * (even + k1) / ((1.0 + k1) / (1.0 + k2) * (even + k2));
    let (sin, cos) = hue.to_radians().sin_cos();
    let linear = |c: f64| {
        let (a, b) = (c * cos, c * sin);
        let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
        let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
        let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
        [
            4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
            -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
            -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
        ]
    };
    let fits = |rgb: &[f64; 3]| rgb.iter().all(|v| (-1e-4..=1.0001).contains(v));
    let rgb = (0..=20).map(|k| linear(chroma * (1.0 - f64::from(k) / 20.0))).find(fits).unwrap_or_else(|| linear(0.0));
    let [r, g, b] = rgb.map(encoded);
    Rgb(r, g, b)
}

/// The grey of a hundredth of CIE L*.
fn grey(even: f64) -> Rgb {
    let v = encoded(if even > 0.08 { ((100.0 * even + 16.0) / 116.0).powi(3) } else { even / 9.033 });
    Rgb(v, v, v)
}

/// Linear light as a byte of sRGB.
fn encoded(v: f64) -> u8 {
    let v = v.clamp(0.0, 1.0);
    let v = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
    (255.0 * v).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CIE L* of a colour, 0 to 100: how light it looks, and how it prints.
    fn lightness(Rgb(r, g, b): Rgb) -> f64 {
        let linear = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        let y = 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
        if y > 0.008_856 { 116.0 * y.cbrt() - 16.0 } else { 903.3 * y }
    }

    #[test]
    fn every_map_rises_evenly_in_lightness() {
        for map in [Colours::Grey, Colours::Even, Colours::Signed] {
            let l: Vec<f64> = (0..=32).map(|k| lightness(map.at(f64::from(k) / 32.0))).collect();
            let mean = (l[32] - l[0]) / 32.0;
            assert!(mean > 1.5, "{map:?} {l:?}");
            assert!(l.windows(2).all(|w| (0.5..1.6).contains(&((w[1] - w[0]) / mean))), "{map:?} {l:?}");
        }
        assert_eq!((Colours::Grey.at(0.0), Colours::Grey.at(1.0)), (Rgb(0, 0, 0), Rgb(255, 255, 255)));
        let Rgb(r, g, b) = Colours::Signed.at(0.5);
        assert!(r.abs_diff(g) < 3 && g.abs_diff(b) < 3, "zero has no hue");
        assert!(Colours::Signed.at(0.1).2 > Colours::Signed.at(0.1).0 && Colours::Signed.at(0.9).0 > Colours::Signed.at(0.9).2);
    }

    #[test]
    fn neighbouring_series_differ_in_lightness_or_dash() {
        for i in 0..6 {
            assert_ne!(dash(i), dash(i + 1));
            assert!((lightness(colour(i)) - lightness(colour(i + 1))).abs() > 10.0, "{i}");
        }
    }
}
