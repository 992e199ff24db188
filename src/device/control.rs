//! The few bytes through which the host steers a device between steps, and the device tells how it went; as `Control` in
//! `prelude.cuh`.

use super::{Ptr, Source};
use bytemuck::{Pod, Zeroable};

/// What the host tells the device before each step.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub(crate) struct StepParams {
    /// Count of forward passes: the key of dropout masks.
    pub forward: u64,
    /// Optimizer steps done.
    pub update: u64,
    /// Samples of the epoch taken before this step.
    pub cursor: u64,
    /// Of this step, before the factors of parameter groups.
    pub learning_rate: f64,
}

/// What the device keeps between steps.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub(crate) struct StepState {
    /// Sum of the losses of all steps so far.
    pub loss: f64,
    /// The loss of the last step.
    pub last: f64,
    /// The update at which the loss was first not finite.
    pub diverged_at: u64,
    /// 1 from then on: updates become no-ops.
    pub diverged: u32,
    /// 1 where this step's gradients overflowed f16.
    pub skip: u32,
    /// Factor on loss gradients; 1 but for f16.
    pub loss_scale: f32,
    /// Steps since the loss scale last changed.
    pub good: u32,
    /// Factor on gradients from clipping by norm.
    pub clip: f32,
    /// Updates left out because of overflow.
    pub skipped: u32,
}

/// Both, as they lie in device memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub(crate) struct Control {
    pub params: StepParams,
    pub state: StepState,
}

impl Control {
    /// At the start: nothing done, and `loss_scale` for the gradients of losses.
    pub fn new(loss_scale: f32) -> Self {
        Self { state: StepState { loss_scale, clip: 1.0, ..Zeroable::zeroed() }, params: StepParams::default() }
    }
}

pub(crate) const CONTROL: Source = Source::new("control", include_str!("../../kernels/control.cu"));

/// Argument of `set_step`: a launch carries its argument along, so that no copy needs memory that must stay alive.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct SetStepArgs {
    pub control: Ptr,
    pub params: StepParams,
}

/// Argument of `add_loss`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct AddLossArgs {
    pub control: Ptr,
    /// Losses of the rows, weighted.
    pub value: Ptr,
    pub rows: u32,
    /// Whether this is the first loss of the step.
    pub first: u32,
    pub factor: f64,
}

/// Argument of `check_gradients`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct CheckGradientsArgs {
    pub control: Ptr,
    pub dw: Ptr,
    pub n: u64,
}
