//! One step: what it is called, the extent after it, and the work.

use super::{Continuum, Interpolation, Over, Resample, Scratch, frame, resize, spectrum::Window, stretch};
use crate::data::{Missing, Normalizer};
use crate::{Error, Extent, Result};
use serde::{Deserialize, Serialize};

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    Missing(Missing),
    Clip {
        low: f64,
        high: f64,
        #[serde(default)]
        over: Over,
    },
    Log {
        #[serde(default)]
        over: Over,
    },
    Asinh {
        softening: f32,
    },
    Sqrt {
        softening: f32,
    },
    Affine {
        factor: f32,
        offset: f32,
    },
    MinMax {
        epsilon: f32,
        #[serde(default)]
        over: Over,
    },
    L2,
    Normalize(Normalizer),
    Resize {
        h: usize,
        w: usize,
        how: Interpolation,
    },
    Fit {
        side: usize,
        how: Interpolation,
    },
    Pad {
        h: usize,
        w: usize,
        value: f32,
    },
    Crop {
        h: usize,
        w: usize,
    },
    Window(Window),
    Resample(Resample),
    Continuum(Continuum),
}

impl Step {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Clip { .. } => "clip",
            Self::Log { .. } => "log",
            Self::Asinh { .. } => "asinh",
            Self::Sqrt { .. } => "sqrt",
            Self::Affine { .. } => "affine",
            Self::MinMax { .. } => "min_max",
            Self::L2 => "l2",
            Self::Normalize(_) => "normalize",
            Self::Resize { .. } => "resize",
            Self::Fit { .. } => "fit",
            Self::Pad { .. } => "pad",
            Self::Crop { .. } => "crop",
            Self::Window(_) => "window",
            Self::Resample(_) => "resample",
            Self::Continuum(_) => "continuum",
        }
    }

    pub fn changes_extent(&self) -> bool {
        use Step::{Crop, Fit, Pad, Resample, Resize, Window};
        matches!(self, Resize { .. } | Fit { .. } | Pad { .. } | Crop { .. } | Window(_) | Resample(_))
    }

    /// Checks the numbers of the step, and tells the extent after it.
    pub fn extent(&self, from: Extent) -> Result<Extent> {
        let finite = |what: &str, ok: bool, got: &dyn std::fmt::Debug| match ok {
            true => Ok(from),
            false => Err(Error::value(what, "out of range").expected("finite numbers in order").got(format!("{got:?}"))),
        };
        match self {
            Self::Missing(Missing::Value(v)) => finite("value", v.is_finite(), v),
            Self::Missing(_) | Self::Log { .. } | Self::L2 => Ok(from),
            Self::Clip { low, high, .. } => finite("fractions", 0.0 <= *low && low < high && *high <= 1.0, &(low, high)),
            Self::Asinh { softening } | Self::Sqrt { softening } => positive("softening", *softening).map(|()| from),
            Self::Affine { factor, offset } => {
                finite("factor and offset", factor.is_finite() && offset.is_finite(), &(factor, offset))
            }
            Self::MinMax { epsilon, .. } => finite("epsilon", epsilon.is_finite() && *epsilon >= 0.0, epsilon),
            Self::Normalize(norm) if norm.extent() == from => Ok(from),
            Self::Normalize(norm) => {
                Err(Error::shape("normalizer", "fitted for another extent").expected(norm.extent()).got(from))
            }
            Self::Resize { h, w, .. } => at_least_one(*h, *w).map(|()| Extent { h: *h, w: *w, ..from }),
            Self::Fit { side, .. } => at_least_one(*side, *side).map(|()| Extent { h: *side, w: *side, ..from }),
            Self::Pad { h, w, value } => frame::padded(from, *h, *w, *value),
            Self::Crop { h, w } => frame::cropped(from, *h, *w),
            Self::Window(window) => window.extent(from),
            Self::Resample(resample) => resample.extent(from),
            Self::Continuum(continuum) => continuum.check(from).map(|()| from),
        }
    }

    pub fn in_place(&self, x: &mut [f32], extent: Extent, scratch: &mut Scratch) -> Result<()> {
        match self {
            Self::Missing(policy) => stretch::missing(*policy, x, extent)?,
            Self::Clip { low, high, over } => stretch::clip(x, over.groups(extent), (*low, *high), &mut scratch.narrow),
            Self::Log { over } => stretch::log(x, over.groups(extent)),
            Self::Asinh { softening } => stretch::asinh(x, *softening),
            Self::Sqrt { softening } => stretch::sqrt(x, *softening),
            Self::Affine { factor, offset } => x.iter_mut().for_each(|x| *x = factor * *x + offset),
            Self::MinMax { epsilon, over } => stretch::min_max(x, over.groups(extent), *epsilon),
            Self::L2 => stretch::l2(x),
            Self::Normalize(norm) => norm.apply(x)?,
            Self::Continuum(continuum) => continuum.remove(x, extent, scratch)?,
            _ => return Err(Error::order("prepare", "this step changes the extent")),
        }
        Ok(())
    }

    pub fn change(&self, x: &[f32], from: Extent, y: &mut [f32], to: Extent, scratch: &mut Scratch) -> Result<()> {
        match self {
            Self::Resize { how, .. } => resize::resize(x, from, y, to, *how, scratch),
            Self::Fit { side, how } => frame::fit(x, from, y, *side, *how, scratch),
            Self::Pad { value, .. } => frame::pad(x, from, y, to, *value),
            Self::Crop { .. } => frame::crop(x, from, y, to),
            Self::Window(window) => return window.keep(x, from, y),
            Self::Resample(resample) => return resample.run(x, from, y, &mut scratch.wide, &mut scratch.more),
            _ => return Err(Error::order("prepare", "this step keeps the extent")),
        }
        Ok(())
    }
}

pub(super) fn at_least_one(h: usize, w: usize) -> Result<()> {
    match h.min(w) {
        0 => Err(Error::value("size", "zero").expected("at least 1x1").got(format!("{h}x{w}"))),
        _ => Ok(()),
    }
}

fn positive(what: &str, x: f32) -> Result<()> {
    if x.is_finite() && x > 0.0 {
        Ok(())
    } else {
        Err(Error::value(what, "out of range").expected("a finite number above 0").got(x))
    }
}
