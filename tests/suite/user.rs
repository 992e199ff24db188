//! A layer and a loss as users write them.

use kamacite::layer::{Fields, Layer, Pass, Place, Planned, fields, one};
use kamacite::loss::LossPass;
use kamacite::memory::{GradMode, Io, Planner, Slot, Step};
use kamacite::*;

/// y = x² + 3x + 1, as a user writes a layer.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Quadratic {
    pub linear: f64,
}

impl Layer for Quadratic {
    fn kind(&self) -> &'static str {
        "quadratic"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], _: &mut Planner<'_>) -> Result<Planned> {
        Ok(Planned::new(one(x)?, QuadraticPass(self.linear)).reads_x().place(Place::Fresh))
    }
}

#[derive(Debug)]
struct QuadraticPass(f64);

impl Pass for QuadraticPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        real!(s.dtype(), T => {
            let (x, mut y, b) = (s.read::<T>(io.x[0])?, s.write::<T>(io.y)?, <T as Real>::of(self.0));
            y.iter_mut().zip(&*x).for_each(|(y, &x)| *y = x * x + b * x + <T as Real>::ONE);
        });
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let Some((dx, mode)) = io.dx[0] else { return Ok(()) };
        real!(s.dtype(), T => {
            let (x, dy, mut dx, b) = (s.read::<T>(io.x[0])?, s.read::<T>(io.dy)?, s.write::<T>(dx)?, <T as Real>::of(self.0));
            for ((dx, &x), &dy) in dx.iter_mut().zip(&*x).zip(&*dy) {
                let d = dy * (x + x + b);
                *dx = if mode == GradMode::Add { *dx + d } else { d };
            }
        });
        Ok(())
    }
}

/// ℓ = Σ (y − t)⁴, as a user writes a loss.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Quartic {}

impl Loss for Quartic {
    fn kind(&self) -> &'static str {
        "quartic"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn target(&self, y: Extent) -> Target {
        Target::Values(y)
    }

    fn plan(&self, y: Extent, target: Target, _: &mut Planner<'_>) -> Result<Box<dyn LossPass>> {
        match target {
            Target::Values(t) if t == y => Ok(Box::new(QuarticPass(y.len()))),
            _ => Err(Error::shape("quartic", "target").expected(y).got(format!("{target:?}"))),
        }
    }
}

#[derive(Debug)]
struct QuarticPass(usize);

impl LossPass for QuarticPass {
    fn value_and_grad(&self, s: &Step<'_>, io: &kamacite::loss::LossIo) -> Result<()> {
        real!(s.dtype(), T => {
            let (y, t, w) = (s.read::<T>(io.y)?, s.read::<T>(io.target)?, s.read::<T>(io.weight)?);
            let mut value = s.write::<T>(io.value)?;
            for (n, value) in value.iter_mut().enumerate() {
                let row = n * self.0..(n + 1) * self.0;
                *value = w[n] * y[row.clone()].iter().zip(&t[row]).map(|(y, t)| { let r = *y - *t; r * r * r * r }).sum::<T>();
            }
            if let Some(dy) = io.dy {
                let mut dy = s.write::<T>(dy)?;
                for (i, dy) in dy.iter_mut().enumerate() {
                    let r = y[i] - t[i];
                    *dy = <T as Real>::of(4.0 * io.scale) * w[i / self.0] * r * r * r;
                }
            }
        });
        Ok(())
    }

    fn predict(&self, _: &Step<'_>, _: Slot) -> Result<()> {
        Ok(())
    }
}
