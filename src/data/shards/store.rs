//! How the values of one input lie in a record.

use crate::data::{Kind, Missing, Raw, Scaling};
use crate::{Error, Result};
use half::f16;
use serde::{Deserialize, Serialize};

/// How inputs are stored: the smaller, the less there is to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// As they are.
    #[default]
    F32,
    /// In half precision: relative errors up to 2⁻¹¹, and nothing beyond ±65504.
    F16,
    /// In 65535 equal steps between the smallest and the largest value of the sample: errors up to (max − min)/131068.
    I16,
    /// In 255 equal steps: errors up to (max − min)/510.
    U8,
}

impl Storage {
    /// Bytes that `n` values take.
    pub(super) fn bytes(self, n: usize) -> Option<usize> {
        match self {
            Self::F32 => n.checked_mul(4),
            Self::F16 => n.checked_mul(2),
            Self::I16 => n.checked_mul(2)?.checked_add(8),
            Self::U8 => n.checked_add(8),
        }
    }

    /// Appends the values of one sample.
    pub(super) fn encode(self, x: &[f32], out: &mut Vec<u8>) -> Result<()> {
        let largest = x.iter().fold(0.0_f32, |m, x| if x.is_finite() { m.max(x.abs()) } else { f32::INFINITY });
        let most = if self == Self::F16 { f16::MAX.to_f32() } else { f32::MAX };
        if self != Self::F32 && largest > most {
            return Err(Error::value("packing", format!("values that {self:?} cannot hold"))
                .expected(format!("finite values up to {most}"))
                .got(format!("up to {largest}"))
                .hint("Storage::F32, or a Prepare that brings them to a common range"));
        }
        match self {
            Self::F32 => x.iter().for_each(|x| out.extend(x.to_le_bytes())),
            Self::F16 => x.iter().for_each(|x| out.extend(f16::from_f32(*x).to_le_bytes())),
            Self::I16 => steps(x, 65535.0, out, |step, out| out.extend(((step as i32 - 32768) as i16).to_le_bytes())),
            Self::U8 => steps(x, 255.0, out, |step, out| out.push(step as u8)),
        }
        Ok(())
    }

    /// What is stored.
    pub(super) fn raw(self) -> Option<Raw> {
        let kind = match self {
            Self::F32 => Kind::F32,
            Self::F16 => Kind::F16,
            Self::I16 => Kind::I16,
            Self::U8 => Kind::U8,
        };
        Raw::new(kind, false).map(|raw| raw.missing(Missing::Keep))
    }

    /// Takes one sample as it is stored.
    pub(super) fn raw_row(self, bytes: &[u8], row: &mut [u8]) -> Option<Scaling> {
        let (header, scaling) = match self {
            Self::F32 | Self::F16 => (0, Scaling::plain()),
            Self::I16 | Self::U8 => {
                let (low, step) = line(bytes);
                (8, Scaling::single(step, low, if self == Self::I16 { 32768.0 } else { 0.0 }))
            }
        };
        row.copy_from_slice(bytes.get(header..).filter(|bytes| bytes.len() == row.len())?);
        Some(scaling)
    }

    /// Reads the values of one sample.
    pub(super) fn decode(self, bytes: &[u8], x: &mut [f32]) {
        match self {
            Self::F32 => {
                x.iter_mut().zip(bytes.chunks_exact(4)).for_each(|(x, b)| *x = f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            }
            Self::F16 => {
                x.iter_mut().zip(bytes.chunks_exact(2)).for_each(|(x, b)| *x = f16::from_le_bytes([b[0], b[1]]).to_f32())
            }
            Self::I16 => {
                let (low, step) = line(bytes);
                let value = |b: &[u8]| low + step * (f32::from(i16::from_le_bytes([b[0], b[1]])) + 32768.0);
                x.iter_mut().zip(bytes[8..].chunks_exact(2)).for_each(|(x, b)| *x = value(b));
            }
            Self::U8 => {
                let (low, step) = line(bytes);
                x.iter_mut().zip(&bytes[8..]).for_each(|(x, b)| *x = low + step * f32::from(*b));
            }
        }
    }
}

/// Smallest value and step, then the number of steps of each value.
fn steps(x: &[f32], most: f64, out: &mut Vec<u8>, mut push: impl FnMut(f64, &mut Vec<u8>)) {
    let low = x.iter().copied().fold(f32::INFINITY, f32::min);
    let high = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let step = ((f64::from(high) - f64::from(low)) / most) as f32;
    out.extend(low.to_le_bytes());
    out.extend(step.to_le_bytes());
    let scale = if step > 0.0 { 1.0 / f64::from(step) } else { 0.0 };
    x.iter().for_each(|x| push(((f64::from(*x) - f64::from(low)) * scale).round().clamp(0.0, most), out));
}

fn line(bytes: &[u8]) -> (f32, f32) {
    let number = |at: usize| f32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    (number(0), number(4))
}
