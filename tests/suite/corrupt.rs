//! A layer whose backward pass is wrong on purpose: the gradient check must notice.

use crate::case::Shared;
use kamacite::layer::{Fields, Layer, Pass, Planned};
use kamacite::memory::{Io, Param, ParamSpec, Planner, Slot, Step};
use kamacite::{Extent, Init, Real, Result, real};

/// What is done to one gradient after the right backward pass.
#[derive(Clone, Debug)]
pub struct Corrupt {
    pub inner: Shared,
    pub what: What,
    pub factor: f64,
}

/// Which gradient.
#[derive(Clone, Debug)]
pub enum What {
    /// That of an input.
    Input(usize),
    /// That of a parameter, by its short name and shape.
    Param(String, Vec<usize>),
}

impl Layer for Corrupt {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn save(&self) -> Fields {
        self.inner.save()
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let mut planned = self.inner.plan(x, p)?;
        let param = match &self.what {
            What::Input(_) => None,
            // A name that is known already gives the slots it has.
            What::Param(name, shape) => Some(p.param(name, ParamSpec::weight(shape, Init::Constant(0.0), (1, 1)))?),
        };
        let inner = std::mem::replace(&mut planned.pass, Box::new(Nothing));
        planned.pass = Box::new(CorruptPass { inner, what: self.what.clone(), param, factor: self.factor });
        Ok(planned)
    }
}

#[derive(Debug)]
struct CorruptPass {
    inner: Box<dyn Pass>,
    what: What,
    param: Option<Param>,
    factor: f64,
}

impl Pass for CorruptPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        self.inner.forward(s, io)
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        self.inner.backward(s, io)?;
        let slot: Option<Slot> = match self.what {
            What::Input(i) => io.dx[i].map(|(slot, _)| slot),
            What::Param(..) => self.param.and_then(|p| s.grad(p.dw)).map(|(slot, _)| slot),
        };
        let Some(slot) = slot else { return Ok(()) };
        real!(s.dtype(), T => s.write::<T>(slot)?.iter_mut().for_each(|v| *v *= <T as Real>::of(self.factor)));
        Ok(())
    }
}

#[derive(Debug)]
struct Nothing;

impl Pass for Nothing {
    fn forward(&self, _: &Step<'_>, _: &Io<'_>) -> Result<()> {
        Ok(())
    }

    fn backward(&self, _: &Step<'_>, _: &Io<'_>) -> Result<()> {
        Ok(())
    }
}
