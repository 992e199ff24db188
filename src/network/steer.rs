//! Steering a GPU through its control block: what changes from step to step, the sum of the losses, the loss scale of f16.
//!
//! Gradients of losses are multiplied by the loss scale when they are written, and so is everything that follows from them;
//! optimizers, clipping and whatever the user reads divide by it. It is 1 but for [`Precision::FP16`]. Backward passes that
//! begin at a gradient of the user's own are not scaled.

use super::Model;
use crate::device::control::{AddLossArgs, CONTROL, CheckGradientsArgs, Control, SetStepArgs, StepParams, StepState};
use crate::device::{Cuda, Device, Grid};
use crate::memory::{Slot, Step, Total};
use crate::{Error, Precision, Result};

impl Model {
    /// Tells a GPU what changes from step to step, where it does. The CPU is told by arguments.
    #[inline]
    pub(crate) fn set_step(&self, params: StepParams) -> Result<()> {
        let Device::Cuda(cuda) = &self.device else { return Ok(()) };
        if self.told.get() == Some(params) {
            return Ok(());
        }
        // Nothing is known of a launch that fails.
        self.told.set(None);
        let args = SetStepArgs { control: self.store.control.ptr(0)?, params };
        cuda.kernel::<SetStepArgs>(&CONTROL, "set_step")?.launch(cuda, Grid::blocks(1), &args)?;
        self.told.set(Some(params));
        Ok(())
    }

    /// Adds the values of a loss to the sum that the device keeps, without waiting.
    pub(crate) fn add_loss(&self, s: &Step<'_>, cuda: &Cuda, value: Slot, total: Total) -> Result<()> {
        let (control, value, Total { factor, first }) = (s.control()?, s.ptr(value)?, total);
        let args = AddLossArgs { control, value, rows: s.rows() as u32, first: u32::from(first), factor };
        cuda.kernel::<AddLossArgs>(&CONTROL, "add_loss")?.launch(cuda, Grid::blocks(1), &args)
    }

    /// Adds the penalties of layers, as often as `samples`, the rows that count.
    pub(crate) fn add_penalties(&self, cuda: &Cuda, samples: usize) -> Result<()> {
        let (plan, s) = self.staging()?;
        for slot in &plan.penalties {
            let (control, value) = (s.control()?, s.ptr(*slot)?);
            let args = AddLossArgs { control, value, rows: 1, first: 0, factor: samples as f64 };
            cuda.kernel::<AddLossArgs>(&CONTROL, "add_loss")?.launch(cuda, Grid::blocks(1), &args)?;
        }
        Ok(())
    }

    /// What the device has kept so far. Waits for it.
    pub(crate) fn step_state(&self) -> Result<StepState> {
        let at = self.store.control.ptr(0)?;
        let Device::Cuda(cuda) = &self.device else { return Err(Error::order("step", "kept by a GPU alone")) };
        let mut control = Control::new(1.0);
        cuda.download(at, bytemuck::bytes_of_mut(&mut control))?;
        Ok(control.state)
    }

    /// Sets what the device keeps.
    pub(crate) fn set_step_state(&self, state: StepState) -> Result<()> {
        self.store.control.host_update::<u32>(0, |words| {
            let mut control: Control = bytemuck::pod_read_unaligned(bytemuck::cast_slice(words));
            control.state = state;
            words.copy_from_slice(bytemuck::cast_slice(bytemuck::bytes_of(&control)));
            Ok(())
        })
    }

    /// In f16: whether a gradient has overflowed. The next update then leaves everything as it is.
    #[inline]
    pub(crate) fn check_overflow(&self) -> Result<()> {
        self.control_gradients("check_gradients")
    }

    /// In f16: adapts the loss scale, after the update.
    #[inline]
    pub(crate) fn adapt_loss_scale(&self) -> Result<()> {
        self.control_gradients("scale_loss")
    }

    #[inline]
    fn control_gradients(&self, kernel: &str) -> Result<()> {
        let (Device::Cuda(cuda), Precision::FP16) = (&self.device, self.precision) else { return Ok(()) };
        let n = self.store.flat_len();
        let (control, dw) = (self.store.control.ptr(0)?, self.store.grads.ptr(self.store.params.len())?);
        let grid = if kernel == "scale_loss" { Grid::blocks(1) } else { Grid::cover(n) };
        cuda.kernel(&CONTROL, kernel)?.launch(cuda, grid, &CheckGradientsArgs { control, dw, n: n as u64 })
    }

    /// What the gradients of the last backward pass are to be multiplied by. Waits for the device in f16.
    pub(crate) fn gradient_factor(&self) -> Result<f64> {
        match self.precision {
            Precision::FP16 if self.scaled => Ok(1.0 / f64::from(self.step_state()?.loss_scale)),
            _ => Ok(1.0),
        }
    }

    /// The factor that undoes the loss scale, by which an update divides, where the gradients do not carry it.
    pub(crate) fn unscaled(&self) -> Result<f64> {
        match self.precision {
            Precision::FP16 if !self.scaled => Ok(f64::from(self.step_state()?.loss_scale)),
            _ => Ok(1.0),
        }
    }
}
