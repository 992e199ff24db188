//! The same values under another extent: y = x, dx = dy. No value moves, for samples are stored one after another.

use super::{Fields, Layer, Pass, Place, Planned, fields, one};
use crate::memory::{Io, Planner, Step};
use crate::op::elementwise::copy_or_add;
use crate::{Error, Extent, Result};
use serde::{Deserialize, Serialize};

/// Reads a sample as another extent of the same size.
///
/// The order of the values stays: channels run fastest, then w, h, d. The spatial axes of the new extent are those of
/// the layers that follow.
///
/// # Errors
/// Refused at planning unless both extents hold the same number of values.
///
/// # Examples
/// ```
/// use kamacite::{Extent, layer::Reshape};
/// let decoder_input = Reshape::to(Extent::image(7, 7, 32));
/// # let _ = decoder_input;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reshape {
    to: Extent,
}

/// Reads a sample as a plain vector.
///
/// Dense layers do so by themselves; this is for networks that end in, or branch at, a map.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flatten {}

impl Reshape {
    /// A layer whose output has this extent.
    pub const fn to(to: Extent) -> Self {
        Self { to }
    }
}

impl Flatten {
    /// The only kind there is.
    pub const fn new() -> Self {
        Self {}
    }
}

impl Layer for Reshape {
    fn kind(&self) -> &'static str {
        "reshape"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], _: &mut Planner<'_>) -> Result<Planned> {
        let (x, y) = (one(x)?, self.to.check()?);
        if x.len() != y.len() {
            return Err(Error::shape("", "the new extent holds another number of values")
                .expected(format!("{} values as in {x}", x.len()))
                .got(format!("{} in {y}", y.len())));
        }
        Ok(Planned::new(y, ViewPass).place(Place::View))
    }
}

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], _: &mut Planner<'_>) -> Result<Planned> {
        Ok(Planned::new(Extent::flat(one(x)?.len()), ViewPass).place(Place::View))
    }
}

/// Does nothing forward; backward, hands dy on where dx lies elsewhere.
#[derive(Debug)]
pub(super) struct ViewPass;

impl Pass for ViewPass {
    fn forward(&self, _: &Step<'_>, _: &Io<'_>) -> Result<()> {
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        io.dx[0].map_or(Ok(()), |dx| copy_or_add(s, io.dy, dx))
    }
}
