// The control block: what changes from step to step, the sum of the losses, the loss scale of f16.
#include "loss.cuh"

struct SetStepArgs {
    Control* control;
    StepParams params;
};

// The host's message of a step travels as the argument of this launch.
KERNEL(32, set_step, SetStepArgs) {
    if (threadIdx.x == 0) a.control->params = a.params;
}

struct AddLossArgs {
    Control* control;
    const float* value; // one for each row, weighted
    u32 rows, first;
    double factor;
};

KERNEL(256, add_loss, AddLossArgs) { add_losses(a.control, a.value, a.rows, a.factor, a.first); }

struct CheckGradientsArgs {
    Control* control;
    const float* dw;
    u64 n;
};

// skip ← 1 if a gradient is not finite. Every block that finds one writes the same value.
KERNEL(256, check_gradients, CheckGradientsArgs) {
    bool bad = false;
    for (GRID(i, a.n)) bad |= !(a.dw[i] - a.dw[i] == 0);
    if (bad) a.control->state.skip = 1;
}

// After the update: halves the loss scale where there was an overflow, doubles it after 2000 steps without one (Micikevicius et
// al. 2018, section 3.2).
KERNEL(32, scale_loss, CheckGradientsArgs) {
    if (threadIdx.x != 0) return;
    StepState& s = a.control->state;
    if (s.skip) {
        s.loss_scale = fmaxf(s.loss_scale * 0.5f, 1.0f);
        s.good = 0;
        s.skipped++;
    } else if (++s.good >= 2000) {
        s.loss_scale = fminf(s.loss_scale * 2.0f, 16777216.0f);
        s.good = 0;
    }
    s.skip = 0;
}
