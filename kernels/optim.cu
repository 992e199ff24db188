// Optimizers, clipping, the moving average: one sweep over a run of the flat arenas of parameters. Equations, names and the
// order of operations are those of src/optim.
//
// What changes from step to step comes from the control block; one thread of each block makes the factors from it, in double
// as the CPU does. With the flag `diverged` or `skip` set, every kernel leaves everything as it is.
#include "optim.cuh"

enum CopyKind : u32 { NO_COPY, COPY_BF16, COPY_F16 };

// A run. Four neighbours at a time where the run begins at a multiple of 16 bytes: `quads` of them, then single elements.
struct Sweep {
    const Control* control;
    float* w;
    const float* dw;
    float* word[3]; // state, as many as the rule keeps
    void* copy;     // of w, in the type of activations, or null
    u64 n, quads;
    double lr_scale;   // of the parameter group
    double grad_scale; // given by the caller
    double decay;      // of the weights, 0 where it does not apply
    u32 clipped;       // whether state.clip belongs to these gradients
    u32 copies;        // a CopyKind
};

DEVICE Moment moment(const Sweep& a) {
    const Control& c = *a.control;
    double scale = a.grad_scale * (a.clipped ? (double)c.state.clip : 1.0) / c.state.loss_scale;
    return {c.params.learning_rate * a.lr_scale, scale, a.decay, c.params.update};
}

DEVICE void load4(const float* p, u64 i, float (&v)[4]) {
    float4 q = load4(p + 4 * i);
    v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
}
DEVICE void store4(float* p, u64 i, const float (&v)[4]) { store4(p + 4 * i, make_float4(v[0], v[1], v[2], v[3])); }

// The weights that products of bf16 or f16 read.
DEVICE void copy4(const Sweep& a, u64 i, const float (&w)[4]) {
    const float4 v = make_float4(w[0], w[1], w[2], w[3]);
    if (a.copies == COPY_BF16) store4((bf16*)a.copy + 4 * i, v);
    else if (a.copies == COPY_F16) store4((f16*)a.copy + 4 * i, v);
}
DEVICE void copy1(const Sweep& a, u64 i, float w) {
    if (a.copies == COPY_BF16) store((bf16*)a.copy, i, w);
    else if (a.copies == COPY_F16) store((f16*)a.copy, i, w);
}

// Applies rule.step(w, dw, x) to every element, x being its Rule::WORDS words of state. Rule::of makes the factors.
template <class Rule, class Args> DEVICE void update(const Args& args) {
    constexpr int WORDS = Rule::WORDS, ROOM = WORDS ? WORDS : 1;
    const Sweep& a = args.run;
    if (halted(a.control)) return;
    __shared__ Rule made;
    if (threadIdx.x == 0) made = Rule::of(args.rule, moment(a));
    __syncthreads();
    const Rule rule = made;
    for (GRID(i, a.quads)) {
        float w[4], dw[4], word[ROOM][4];
        load4(a.w, i, w);
        load4(a.dw, i, dw);
#pragma unroll
        for (int k = 0; k < WORDS; k++) load4(a.word[k], i, word[k]);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float x[ROOM];
#pragma unroll
            for (int k = 0; k < WORDS; k++) x[k] = word[k][j];
            rule.step(w[j], dw[j], x);
#pragma unroll
            for (int k = 0; k < WORDS; k++) word[k][j] = x[k];
        }
        store4(a.w, i, w);
        copy4(a, i, w);
#pragma unroll
        for (int k = 0; k < WORDS; k++) store4(a.word[k], i, word[k]);
    }
    u64 whole = 4 * a.quads;
    for (GRID(rest, a.n - whole)) {
        u64 at = whole + rest;
        float x[ROOM];
#pragma unroll
        for (int k = 0; k < WORDS; k++) x[k] = a.word[k][at];
        float w = a.w[at];
        rule.step(w, a.dw[at], x);
        a.w[at] = w;
        copy1(a, at, w);
#pragma unroll
        for (int k = 0; k < WORDS; k++) a.word[k][at] = x[k];
    }
}

// ---------------------------------------------------------------------------------------------------------- the rules

// A run and what its rule keeps for itself.
template <class Hyper> struct RuleArgs {
    Sweep run;
    Hyper rule;
};

KERNEL(256, sgd, RuleArgs<SgdRule>) { update<Sgd<0>>(a); }
KERNEL(256, sgd_momentum, RuleArgs<SgdRule>) { update<Sgd<1>>(a); }
KERNEL(256, adam, RuleArgs<AdamRule>) { update<Adam<0>>(a); }
KERNEL(256, adam_amsgrad, RuleArgs<AdamRule>) { update<Adam<1>>(a); }
KERNEL(256, rmsprop, RuleArgs<RmsPropRule>) { update<RmsProp<0, 0>>(a); }
KERNEL(256, rmsprop_momentum, RuleArgs<RmsPropRule>) { update<RmsProp<1, 0>>(a); }
KERNEL(256, rmsprop_centered, RuleArgs<RmsPropRule>) { update<RmsProp<0, 1>>(a); }
KERNEL(256, rmsprop_momentum_centered, RuleArgs<RmsPropRule>) { update<RmsProp<1, 1>>(a); }
KERNEL(256, adadelta, RuleArgs<AdadeltaRule>) { update<Adadelta>(a); }

// ------------------------------------------------------------------------------------------------------ moving average

struct EmaArgs {
    const Control* control;
    float* average;
    const float* w;
    u64 n;
    double decay;
    u32 warm_up, unused;
};

KERNEL(256, ema, EmaArgs) {
    if (halted(a.control)) return;
    __shared__ float made;
    if (threadIdx.x == 0) made = ema_rest(a.decay, a.warm_up, a.control->params.update);
    __syncthreads();
    const float rest = made;
    for (GRID(i, a.n)) ema_step(a.average[i], a.w[i], rest);
}

// ------------------------------------------------------------------------------------------------------------ clipping

struct ClipValueArgs {
    const Control* control;
    float* dw;
    u64 n;
    double bound;
    u32 scaled; // whether the gradients carry the loss scale
    u32 unused;
};

// Both comparisons are false for NaN, which stays.
KERNEL(256, clip_value, ClipValueArgs) {
    const float c = (float)(a.scaled ? a.bound * a.control->state.loss_scale : a.bound);
    for (GRID(i, a.n)) {
        float x = a.dw[i];
        a.dw[i] = x > c ? c : x < -c ? -c : x;
    }
}

struct SquareSumArgs {
    const float* dw;
    double* partial; // one for each block; the sums of several runs are added up
    u64 n, quads;
};

KERNEL(256, square_sum, SquareSumArgs) {
    __shared__ double scratch[32];
    double sum = 0;
    for (GRID(i, a.quads)) {
        float x[4];
        load4(a.dw, i, x);
#pragma unroll
        for (int j = 0; j < 4; j++) sum += (double)x[j] * x[j];
    }
    u64 whole = 4 * a.quads;
    for (GRID(rest, a.n - whole)) sum += (double)a.dw[whole + rest] * a.dw[whole + rest];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) a.partial[blockIdx.x] += sum;
}

struct ClipNormArgs {
    Control* control;
    const double* partial;
    double* norm;
    double bound; // 0: the norm alone
    u32 parts, scaled;
};

// norm ← √Σ partial, without the loss scale that gradients may carry; clip ← min(1, bound/norm). A norm that is not finite stops
// all updates as such a loss does; where it can be an overflow of the loss scale, it costs this update only.
KERNEL(256, clip_norm, ClipNormArgs) {
    __shared__ double scratch[32];
    double sum = 0;
    for (u32 i = threadIdx.x; i < a.parts; i += blockDim.x) sum += a.partial[i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x != 0) return;
    StepState& s = a.control->state;
    double norm = a.scaled ? sqrt(sum) / s.loss_scale : sqrt(sum);
    *a.norm = norm;
    if (a.bound <= 0) return;
    s.clip = norm > a.bound ? (float)(a.bound / norm) : 1.f;
    bool finite = norm - norm == 0;
    if (finite || halted(a.control)) return;
    if (a.scaled && s.loss_scale > 1.f) s.skip = 1;
    else s.diverged = 1, s.diverged_at = a.control->params.update;
}
