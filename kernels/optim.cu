// Optimizers, clipping, the moving average: one sweep over a run of the flat arenas of parameters. Equations, names and the
// order of operations are those of src/optim.
//
// What changes from step to step comes from the control block; one thread of each block makes the factors from it, in double
// as the CPU does. With the flag `diverged` or `skip` set, every kernel leaves everything as it is.
#include "prelude.cuh"

// A run. Four neighbours at a time where the run begins at a multiple of 16 bytes: `quads` of them, then single elements.
struct Sweep {
    const Control* control;
    float* w;
    const float* dw;
    float* word[3]; // state, as many as the rule keeps
    u64 n, quads;
    double lr_scale;   // of the parameter group
    double grad_scale; // given by the caller
    double decay;      // of the weights, 0 where it does not apply
    u32 clipped;       // whether state.clip belongs to these gradients
    u32 unused;
};

DEVICE double learning_rate(const Sweep& a) { return a.control->params.learning_rate * a.lr_scale; }

// From stored gradients to those of the loss, bounded.
DEVICE double gradient_scale(const Sweep& a) {
    const StepState& s = a.control->state;
    return a.grad_scale * (a.clipped ? (double)s.clip : 1.0) / s.loss_scale;
}

DEVICE void load4(const float* p, u64 i, float (&v)[4]) {
    float4 q = ((const float4*)p)[i];
    v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
}
DEVICE void store4(float* p, u64 i, const float (&v)[4]) { ((float4*)p)[i] = make_float4(v[0], v[1], v[2], v[3]); }

// Applies rule.step(w, dw, x) to every element, x being its Rule::WORDS words of state. Rule::of(a) makes the factors.
template <class Rule, class Args> DEVICE void update(const Args& args) {
    constexpr int WORDS = Rule::WORDS, ROOM = WORDS ? WORDS : 1;
    const Sweep& a = args.run;
    if (halted(a.control)) return;
    __shared__ Rule made;
    if (threadIdx.x == 0) made = Rule::of(args);
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
#pragma unroll
        for (int k = 0; k < WORDS; k++) store4(a.word[k], i, word[k]);
    }
    u64 whole = 4 * a.quads;
    for (GRID(rest, a.n - whole)) {
        u64 at = whole + rest;
        float x[ROOM];
#pragma unroll
        for (int k = 0; k < WORDS; k++) x[k] = a.word[k][at];
        rule.step(a.w[at], a.dw[at], x);
#pragma unroll
        for (int k = 0; k < WORDS; k++) a.word[k][at] = x[k];
    }
}

// --------------------------------------------------------------------------------------------------------------- SGD

struct SgdArgs {
    Sweep run;
    double momentum;
    u32 nesterov, velocity_form;
};

// g = scale·dw + decay·w; v ← momentum·v + g; w ← w − (ahead·g + kept·v). Without momentum there is no v.
template <int MOMENTUM> struct Sgd {
    enum { WORDS = MOMENTUM };
    float scale, decay, momentum, ahead, kept;

    static DEVICE Sgd of(const SgdArgs& a) {
        double lr = learning_rate(a.run), inner = a.velocity_form ? lr : 1.0, outer = a.velocity_form ? 1.0 : lr;
        Sgd k;
        k.scale = (float)(inner * gradient_scale(a.run));
        k.decay = (float)(inner * a.run.decay);
        k.momentum = (float)a.momentum;
        k.ahead = (float)(a.nesterov || !MOMENTUM ? outer : 0.0);
        k.kept = (float)(outer * (a.nesterov ? a.momentum : 1.0));
        return k;
    }
    DEVICE void step(float& w, float dw, float* v) const {
        float g = scale * dw + decay * w;
        if (MOMENTUM) {
            v[0] = momentum * v[0] + g;
            w -= ahead * g + kept * v[0];
        } else {
            w -= ahead * g;
        }
    }
};
KERNEL(256, sgd, SgdArgs) { update<Sgd<0>>(a); }
KERNEL(256, sgd_momentum, SgdArgs) { update<Sgd<1>>(a); }

// ------------------------------------------------------------------------------------------------------ Adam and AdamW

struct AdamArgs {
    Sweep run;
    double beta1, beta2, eps;
    u32 decoupled; // AdamW: decay shrinks the weights instead of entering the gradient
    u32 unused;
};

// beta^t by squaring: t roundings at most, where beta^t is not negligible a few thousand of 1e-16.
DEVICE double power(double beta, u64 t) {
    double p = 1;
    for (; t; t >>= 1, beta *= beta)
        if (t & 1) p *= beta;
    return p;
}

template <int AMSGRAD> struct Adam {
    enum { WORDS = 2 + AMSGRAD };
    float scale, decay, shrink, beta1, beta2, rest1, rest2;
    float rate; // η/(1 − β₁ᵗ)
    float root; // 1/√(1 − β₂ᵗ)
    float eps;

    static DEVICE Adam of(const AdamArgs& a) {
        double lr = learning_rate(a.run);
        u64 t = a.run.control->params.update + 1;
        Adam k;
        k.scale = (float)gradient_scale(a.run);
        k.decay = (float)(a.decoupled ? 0.0 : a.run.decay);
        k.shrink = (float)(a.decoupled ? 1.0 - lr * a.run.decay : 1.0);
        k.beta1 = (float)a.beta1, k.rest1 = (float)(1.0 - a.beta1);
        k.beta2 = (float)a.beta2, k.rest2 = (float)(1.0 - a.beta2);
        k.rate = (float)(lr / (1.0 - power(a.beta1, t)));
        k.root = (float)(1.0 / sqrt(1.0 - power(a.beta2, t)));
        k.eps = (float)a.eps;
        return k;
    }
    DEVICE void step(float& w, float dw, float* x) const {
        float g = scale * dw + decay * w;
        w *= shrink;
        x[0] = beta1 * x[0] + rest1 * g;
        x[1] = beta2 * x[1] + rest2 * (g * g);
        float v = x[1];
        // Not fmaxf, which would drop a NaN.
        if (AMSGRAD) v = x[AMSGRAD + 1] = v < x[AMSGRAD + 1] ? x[AMSGRAD + 1] : v;
        w -= rate * (x[0] / (sqrtf(v) * root + eps));
    }
};
KERNEL(256, adam, AdamArgs) { update<Adam<0>>(a); }
KERNEL(256, adam_amsgrad, AdamArgs) { update<Adam<1>>(a); }

// ------------------------------------------------------------------------------------------------------------- RMSprop

struct RmsPropArgs {
    Sweep run;
    double alpha, momentum, eps;
};

// Words: the square, then the velocity, then the mean, where kept.
template <int MOMENTUM, int CENTERED> struct RmsProp {
    enum { WORDS = 1 + MOMENTUM + CENTERED, VELOCITY = MOMENTUM, MEAN = MOMENTUM + CENTERED };
    float rate, scale, decay, alpha, rest, momentum, eps;

    static DEVICE RmsProp of(const RmsPropArgs& a) {
        RmsProp k;
        k.rate = (float)learning_rate(a.run);
        k.scale = (float)gradient_scale(a.run);
        k.decay = (float)a.run.decay;
        k.alpha = (float)a.alpha, k.rest = (float)(1.0 - a.alpha);
        k.momentum = (float)a.momentum;
        k.eps = (float)a.eps;
        return k;
    }
    DEVICE void step(float& w, float dw, float* x) const {
        float g = scale * dw + decay * w;
        float square = x[0] = alpha * x[0] + rest * (g * g);
        if (CENTERED) {
            float mean = x[MEAN] = alpha * x[MEAN] + rest * g;
            square -= mean * mean;
            // The variance may come out below 0 by rounding; it counts as 0 then. NaN stays.
            if (square < 0.f) square = 0.f;
        }
        float u = g / (sqrtf(square) + eps);
        if (MOMENTUM) u = x[VELOCITY] = momentum * x[VELOCITY] + u;
        w -= rate * u;
    }
};
KERNEL(256, rmsprop, RmsPropArgs) { update<RmsProp<0, 0>>(a); }
KERNEL(256, rmsprop_momentum, RmsPropArgs) { update<RmsProp<1, 0>>(a); }
KERNEL(256, rmsprop_centered, RmsPropArgs) { update<RmsProp<0, 1>>(a); }
KERNEL(256, rmsprop_momentum_centered, RmsPropArgs) { update<RmsProp<1, 1>>(a); }

// ------------------------------------------------------------------------------------------------------------ Adadelta

struct AdadeltaArgs {
    Sweep run;
    double rho, eps;
};

struct Adadelta {
    enum { WORDS = 2 };
    float rate, scale, decay, rho, rest, eps;

    static DEVICE Adadelta of(const AdadeltaArgs& a) {
        Adadelta k;
        k.rate = (float)learning_rate(a.run);
        k.scale = (float)gradient_scale(a.run);
        k.decay = (float)a.run.decay;
        k.rho = (float)a.rho, k.rest = (float)(1.0 - a.rho);
        k.eps = (float)a.eps;
        return k;
    }
    DEVICE void step(float& w, float dw, float* x) const {
        float g = scale * dw + decay * w;
        x[0] = rho * x[0] + rest * (g * g);
        float delta = g * (sqrtf(x[1] + eps) / sqrtf(x[0] + eps));
        x[1] = rho * x[1] + rest * (delta * delta);
        w -= rate * delta;
    }
};
KERNEL(256, adadelta, AdadeltaArgs) { update<Adadelta>(a); }

// ------------------------------------------------------------------------------------------------------ moving average

struct EmaArgs {
    const Control* control;
    float* average;
    const float* w;
    u64 n;
    double decay;
    u32 warm_up, unused;
};

// average += (1 − d)·(w − average), so that an average that has arrived stays.
KERNEL(256, ema, EmaArgs) {
    if (halted(a.control)) return;
    __shared__ float made;
    if (threadIdx.x == 0) {
        double t = (double)a.control->params.update, early = (1.0 + t) / (10.0 + t);
        made = (float)(1.0 - (a.warm_up && early < a.decay ? early : a.decay));
    }
    __syncthreads();
    const float rest = made;
    for (GRID(i, a.n)) a.average[i] += rest * (a.w[i] - a.average[i]);
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
