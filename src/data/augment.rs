//! Random changes of the samples of a training set: flips, turns, shifts, zoom, brightness, noise.
//!
//! Output pixel v (measured from the centre) shows the source at u = M v + t, with M = R(θ)/zoom · F · Q: quarter turn,
//! then flips, then rotation; t is a shift in whole pixels. Where M has whole numbers the pixels are copied exactly;
//! otherwise they are interpolated bilinearly between the four neighbours.

use super::warp::{Border, Motion, Source, Taps, blend};
use super::{Dataset, Pick, Raw, Scaling};
use crate::loss::Target;
use crate::rng::{Draws, Purpose, unit};
use crate::{Error, Extent, Result};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::sync::Arc;

/// Which changes to draw; nothing by default. Angles are in degrees, shifts in pixels.
///
/// # Examples
/// ```
/// use kamacite::data::{Augment, Augmented, Samples};
/// use kamacite::Extent;
/// let train = Samples::new(Extent::image(8, 8, 3), vec![0.5; 10 * 8 * 8 * 3])?;
/// let train = Augmented::new(train, Augment::new().flip_h(0.5).quarter_turns().shift(2).brightness(0.8, 1.2).noise(0.01))?;
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Augment {
    flips: [f64; 3],
    quarter_turns: bool,
    shift: usize,
    zoom: (f64, f64),
    rotation: f64,
    brightness: (f64, f64),
    gain: (f64, f64),
    contrast: (f64, f64),
    noise: f64,
    border: Border,
    input: usize,
    targets: Vec<usize>,
}

impl Default for Augment {
    fn default() -> Self {
        let one = (1.0, 1.0);
        Self {
            flips: [0.0; 3],
            quarter_turns: false,
            shift: 0,
            zoom: one,
            rotation: 0.0,
            brightness: one,
            gain: one,
            contrast: one,
            noise: 0.0,
            border: Border::Edge,
            input: 0,
            targets: vec![],
        }
    }
}

impl Augment {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Mirrors left and right (the axis w) with this probability.
    #[must_use]
    pub fn flip_h(mut self, p: f64) -> Self {
        self.flips[2] = p;
        self
    }

    /// Mirrors up and down (the axis h) with this probability.
    #[must_use]
    pub fn flip_v(mut self, p: f64) -> Self {
        self.flips[1] = p;
        self
    }

    /// Mirrors front and back (the axis d) with this probability.
    #[must_use]
    pub fn flip_d(mut self, p: f64) -> Self {
        self.flips[0] = p;
        self
    }

    /// Turns by 0, 90, 180 or 270 degrees, equally likely. Images must be square.
    #[must_use]
    pub fn quarter_turns(mut self) -> Self {
        self.quarter_turns = true;
        self
    }

    /// Shifts along h and w by up to this many pixels each way, whole pixels, equally likely.
    #[must_use]
    pub fn shift(mut self, pixels: usize) -> Self {
        self.shift = pixels;
        self
    }

    /// Magnifies by a factor between these two; below 1 it shrinks.
    #[must_use]
    pub fn zoom(mut self, low: f64, high: f64) -> Self {
        self.zoom = (low, high);
        self
    }

    /// Rotates by an angle between −`degrees` and `degrees`.
    #[must_use]
    pub fn rotation(mut self, degrees: f64) -> Self {
        self.rotation = degrees;
        self
    }

    /// Multiplies all values by one factor between these two.
    #[must_use]
    pub fn brightness(mut self, low: f64, high: f64) -> Self {
        self.brightness = (low, high);
        self
    }

    /// Multiplies each channel by its own factor between these two.
    #[must_use]
    pub fn channel_gain(mut self, low: f64, high: f64) -> Self {
        self.gain = (low, high);
        self
    }

    /// Multiplies the difference from the mean of each sample by a factor between these two.
    #[must_use]
    pub fn contrast(mut self, low: f64, high: f64) -> Self {
        self.contrast = (low, high);
        self
    }

    /// Adds normal noise of this standard deviation to every value.
    #[must_use]
    pub fn noise(mut self, sigma: f64) -> Self {
        self.noise = sigma;
        self
    }

    /// What lies outside of the image; the nearest edge pixel unless this says otherwise.
    #[must_use]
    pub fn border(mut self, border: Border) -> Self {
        self.border = border;
        self
    }

    /// Changes this input instead of the first.
    #[must_use]
    pub fn input(mut self, input: usize) -> Self {
        self.input = input;
        self
    }

    /// Moves this target in the same way as the input: the image of an autoencoder, a map of classes.
    /// Classes are taken from the nearest pixel. Brightness, contrast and noise leave targets alone.
    #[must_use]
    pub fn with_target(mut self, target: usize) -> Self {
        self.targets.push(target);
        self
    }

    fn moves(&self) -> bool {
        self.quarter_turns || self.shift > 0 || self.flips.iter().any(|p| *p > 0.0) || !self.exact()
    }

    /// Whether all pixels move by whole pixels.
    fn exact(&self) -> bool {
        self.rotation == 0.0 && self.zoom == (1.0, 1.0)
    }

    fn check(&self, x: Extent) -> Result<()> {
        let bad = |what: &str, expected: &str| Err(Error::value("augment", what).expected(expected));
        let range = |(low, high): (f64, f64), least: f64| least <= low && low <= high && high <= 1e3;
        if !self.flips.iter().all(|p| (0.0..=1.0).contains(p)) {
            return bad("probability of a flip", "0 to 1");
        }
        if !range(self.zoom, 1e-3) {
            return bad("range of the zoom", "0.001 <= low <= high <= 1000");
        }
        if !(range(self.brightness, 0.0) && range(self.gain, 0.0) && range(self.contrast, 0.0)) {
            return bad("range of brightness, channel gain or contrast", "0 <= low <= high <= 1000");
        }
        if !(self.rotation.is_finite() && self.noise.is_finite() && self.noise >= 0.0 && self.rotation >= 0.0) {
            return bad("rotation or noise", "a finite number of at least 0");
        }
        if matches!(self.border, Border::Value(v) if !v.is_finite()) {
            return bad("value of the border", "a finite number");
        }
        if self.shift > 1 << 20 {
            return bad("shift", "at most 2^20 pixels");
        }
        if self.quarter_turns && x.h != x.w {
            return Err(Error::shape("augment", "quarter turns need square images").expected("h = w").got(x));
        }
        if self.rotation > 0.0 && x.h == 1 {
            return Err(Error::shape("augment", "rotation needs images").expected("h > 1").got(x));
        }
        Ok(())
    }
}

/// A view over a data set that changes each sample anew in each epoch.
///
/// What happens to a sample depends on (seed, epoch, index) alone, never on threads or order; see [`Pick`]. Wrap the training
/// set only. Nothing is allocated once each thread has read its first sample.
#[derive(Clone)]
pub struct Augmented {
    data: Arc<dyn Dataset>,
    augment: Augment,
    extent: Extent,
}

/// Motions by whole pixels over a set that never changes: what a kernel needs to do them.
pub(crate) struct Moves<'a> {
    pub data: &'a dyn Dataset,
    /// Of the input that moves, and the targets that move with it.
    pub extent: Extent,
    pub input: usize,
    pub targets: &'a [usize],
    /// Probabilities along d, h, w.
    pub flips: [f64; 3],
    pub quarter_turns: bool,
    pub shift: usize,
    pub border: Border,
}

/// Blocks of draws below this one are for single numbers, those from it on for noise.
const NOISE: u64 = 1 << 16;

impl Augmented {
    /// The changed set.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for limits out of order; [`ErrorKind::Shape`](crate::ErrorKind::Shape) for inputs
    /// that are absent, not square where they must be, and for targets of another size than the input.
    pub fn new(data: impl Into<Arc<dyn Dataset>>, augment: Augment) -> Result<Self> {
        let data = data.into();
        let Some(&extent) = data.inputs().get(augment.input) else {
            return Err(Error::shape("augment", format!("no input {}", augment.input)));
        };
        augment.check(extent)?;
        for &target in &augment.targets {
            let (fits, got) = match data.targets().get(target) {
                Some(Target::Values(t)) => (t.space() == extent.space(), t.to_string()),
                Some(Target::Index { positions, .. }) => (*positions == extent.area(), format!("{positions} positions")),
                Some(Target::None) | None => (false, "no such target".to_string()),
            };
            if !fits {
                let expected = format!("the positions of the input, {}", extent.with_channels(1));
                return Err(Error::shape(format!("augment, target {target}"), "cannot move with the input")
                    .expected(expected)
                    .got(got));
            }
        }
        Ok(Self { data, augment, extent })
    }

    /// The motions by whole pixels, where they are all that happens to samples that are otherwise the same in every epoch.
    pub(crate) fn whole_motions(&self) -> Option<Moves<'_>> {
        let a = &self.augment;
        let coloured = [a.brightness, a.gain, a.contrast] != [(1.0, 1.0); 3] || a.noise > 0.0;
        (a.exact() && !coloured && !self.data.varies()).then(|| Moves {
            data: &*self.data,
            extent: self.extent,
            input: a.input,
            targets: &a.targets,
            flips: a.flips,
            quarter_turns: a.quarter_turns,
            shift: a.shift,
            border: a.border,
        })
    }

    fn draws(&self, pick: Pick) -> impl Fn(u64) -> [u32; 4] + use<> {
        let draws = Draws::new(pick.seed, Purpose::Augment, pick.index as u64);
        // 2⁴⁰ blocks for each epoch are more than a sample can use.
        let base = pick.epoch.wrapping_mul(1 << 40);
        move |block| draws.block(base.wrapping_add(block))
    }

    fn motion(&self, pick: Pick) -> Motion {
        let a = &self.augment;
        let draws = self.draws(pick);
        let ([d, v, h, turn], [angle, zoom, down, right]) = (draws(0), draws(1));
        let flip = |word: u32, p: f64| f64::from(unit(word)) < p;
        let sign = |word, p| if flip(word, p) { -1.0_f32 } else { 1.0 };
        let quarters = [[[1., 0.], [0., 1.]], [[0., 1.], [-1., 0.]], [[-1., 0.], [0., -1.]], [[0., -1.], [1., 0.]]];
        let mut m: [[f32; 2]; 2] = if a.quarter_turns { quarters[turn as usize >> 30] } else { quarters[0] };
        let flips = [sign(v, a.flips[1]), sign(h, a.flips[2])];
        m = [m[0].map(|x| x * flips[0]), m[1].map(|x| x * flips[1])];
        if !a.exact() {
            let (sin, cos) = libm::sincos(a.rotation.to_radians() * (2.0 * f64::from(unit(angle)) - 1.0));
            let zoom = between(zoom, a.zoom);
            let (sin, cos) = ((sin / zoom) as f32, (cos / zoom) as f32);
            m = [0, 1]
                .map(|i| [0, 1].map(|j| if i == 0 { cos * m[0][j] - sin * m[1][j] } else { sin * m[0][j] + cos * m[1][j] }));
        }
        let steps = 2 * a.shift as u64 + 1;
        let shift = |word: u32| ((u64::from(word) * steps) >> 32) as f32 - a.shift as f32;
        Motion { m, t: [if self.extent.h > 1 { shift(down) } else { 0.0 }, shift(right)], mirror_d: flip(d, a.flips[0]) }
    }

    /// Reads into a buffer of this thread and resamples from there into `y`.
    fn moved<T: bytemuck::Pod>(
        &self,
        pick: Pick,
        c: usize,
        y: &mut [T],
        read: impl FnOnce(&mut [T]) -> Result<()>,
        mix: impl Fn(Taps<'_, T>, [f32; 4], &mut [T]),
    ) -> Result<()> {
        let motion = self.motion(pick);
        with_buffer(y.len(), |buffer| {
            let x: &mut [T] = bytemuck::cast_slice_mut(buffer);
            read(x)?;
            let source = Source { x, e: self.extent.with_channels(c), border: self.augment.border };
            if self.augment.exact() {
                source.copy(motion, y, mix)
            } else {
                source.interpolate(motion, y, mix)
            }
            Ok(())
        })
    }

    fn colour(&self, pick: Pick, x: &mut [f32]) {
        let a = &self.augment;
        let draws = self.draws(pick);
        let [brightness, contrast, ..] = draws(2);
        if a.brightness != (1.0, 1.0) {
            let f = between(brightness, a.brightness) as f32;
            x.iter_mut().for_each(|x| *x *= f);
        }
        if a.gain != (1.0, 1.0) {
            let c = self.extent.c;
            for k in 0..c {
                let f = between(draws(16 + k as u64 / 4)[k % 4], a.gain) as f32;
                x.iter_mut().skip(k).step_by(c).for_each(|x| *x *= f);
            }
        }
        if a.contrast != (1.0, 1.0) {
            let f = between(contrast, a.contrast) as f32;
            let mean = (x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64) as f32;
            x.iter_mut().for_each(|x| *x = mean + f * (*x - mean));
        }
        if a.noise > 0.0 {
            for (i, x) in x.chunks_mut(4).enumerate() {
                let z = normals(draws(NOISE + i as u64));
                x.iter_mut().zip(z).for_each(|(x, z)| *x += a.noise as f32 * z);
            }
        }
    }
}

fn between(word: u32, (low, high): (f64, f64)) -> f64 {
    low + (high - low) * f64::from(unit(word))
}

/// Four standard normals from four words (Box-Muller, both branches).
fn normals([a, b, c, d]: [u32; 4]) -> [f32; 4] {
    let pair = |u: u32, v: u32| {
        let radius = libm::sqrtf(-2.0 * libm::logf(1.0 - unit(u)));
        let (sin, cos) = libm::sincosf(std::f32::consts::TAU * unit(v));
        (radius * cos, radius * sin)
    };
    let ((p, q), (r, s)) = (pair(a, b), pair(c, d));
    [p, q, r, s]
}

/// A buffer that this thread keeps. It is taken out while in use, so that one augmentation may read through another.
fn with_buffer<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local!(static BUFFERS: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) });
    let mut buffer = BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    let r = f(&mut buffer[..len]);
    BUFFERS.with_borrow_mut(|b| b.push(buffer));
    r
}

impl Dataset for Augmented {
    fn len(&self) -> usize {
        self.data.len()
    }
    fn inputs(&self) -> &[Extent] {
        self.data.inputs()
    }
    fn targets(&self) -> &[Target] {
        self.data.targets()
    }
    fn weight(&self, index: usize) -> f32 {
        self.data.weight(index)
    }
    fn varies(&self) -> bool {
        true
    }
    fn waits(&self) -> bool {
        self.data.waits()
    }
    fn is_skipped(&self, pick: Pick) -> bool {
        self.data.is_skipped(pick)
    }
    fn skipped(&self) -> Vec<String> {
        self.data.skipped()
    }
    fn class_names(&self) -> &[String] {
        self.data.class_names()
    }
    fn raw(&self, input: usize) -> Option<Raw> {
        self.data.raw(input).filter(|_| input != self.augment.input)
    }
    fn raw_row(&self, pick: Pick, input: usize, row: &mut [u8]) -> Option<Scaling> {
        self.data.raw_row(pick, input, row)
    }
    fn as_augmented(&self) -> Option<&Augmented> {
        Some(self)
    }

    fn input(&self, pick: Pick, input: usize, x: &mut [f32]) -> Result<()> {
        if input != self.augment.input || x.len() != self.extent.len() {
            return self.data.input(pick, input, x);
        }
        if self.augment.moves() {
            self.moved(pick, self.extent.c, x, |x| self.data.input(pick, input, x), blend(self.augment.border))?;
        } else {
            self.data.input(pick, input, x)?;
        }
        self.colour(pick, x);
        Ok(())
    }

    fn values(&self, pick: Pick, target: usize, t: &mut [f32]) -> Result<()> {
        let c = t.len() / self.extent.area();
        if !self.augment.moves() || !self.augment.targets.contains(&target) || c * self.extent.area() != t.len() {
            return self.data.values(pick, target, t);
        }
        self.moved(pick, c, t, |t| self.data.values(pick, target, t), blend(self.augment.border))
    }

    fn classes(&self, pick: Pick, target: usize, t: &mut [u32]) -> Result<()> {
        if !self.augment.moves() || !self.augment.targets.contains(&target) || t.len() != self.extent.area() {
            return self.data.classes(pick, target, t);
        }
        let nearest = |x: Taps<'_, u32>, weight: [f32; 4], t: &mut [u32]| {
            let best = (1..4).fold(0, |best, k| if weight[k] > weight[best] { k } else { best });
            t[0] = x[best].map_or(0, |x| x[0]);
        };
        self.moved(pick, 1, t, |t| self.data.classes(pick, target, t), nearest)
    }
}

impl From<Augmented> for Arc<dyn Dataset> {
    fn from(view: Augmented) -> Self {
        Arc::new(view)
    }
}

#[cfg(test)]
mod tests;
