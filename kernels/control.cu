// The control block: what changes from step to step, the sum of the losses, the loss scale of f16.
#include "prelude.cuh"

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

// last ← Σ factor·value, added over the losses of a step and to the sum of all steps. The first loss that is not finite sets the
// flag that turns updates into no-ops, and leaves the sum as it was.
KERNEL(256, add_loss, AddLossArgs) {
    __shared__ double scratch[32];
    double sum = 0;
    for (u32 i = threadIdx.x; i < a.rows; i += blockDim.x) sum += a.value[i];
    sum = a.factor * block_sum(sum, scratch);
    if (threadIdx.x != 0) return;
    StepState& s = a.control->state;
    if (a.first) s.last = 0;
    s.last += sum;
    bool finite = sum - sum == 0;
    if (finite && !s.diverged) s.loss += sum;
    if (!finite && !s.diverged) s.diverged = 1, s.diverged_at = a.control->params.update;
}

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
