// The rules of src/optim, element by element: equations, names and the order of operations are those there. A rule is made
// once for each run and step, in double as the CPU does, and then steps in float.
#pragma once
#include "prelude.cuh"

// What a rule is told of a run of parameters in one step.
struct Moment {
    double rate;  // learning rate, with the factor of the run
    double scale; // from stored gradients to those of the loss, bounded
    double decay; // of the weights, 0 where it does not apply
    u64 update;   // optimizer steps done
};

// --------------------------------------------------------------------------------------------------------------- SGD

struct SgdRule {
    double momentum;
    u32 nesterov, velocity_form;
};

// g = scale·dw + decay·w; v ← momentum·v + g; w ← w − (ahead·g + kept·v). Without momentum there is no v.
template <int MOMENTUM> struct Sgd {
    enum { WORDS = MOMENTUM };
    float scale, decay, momentum, ahead, kept;

    static DEVICE Sgd of(const SgdRule& a, const Moment& now) {
        double lr = now.rate, inner = a.velocity_form ? lr : 1.0, outer = a.velocity_form ? 1.0 : lr;
        Sgd k;
        k.scale = (float)(inner * now.scale);
        k.decay = (float)(inner * now.decay);
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

// ------------------------------------------------------------------------------------------------------ Adam and AdamW

struct AdamRule {
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

    static DEVICE Adam of(const AdamRule& a, const Moment& now) {
        double lr = now.rate;
        Adam k;
        k.scale = (float)now.scale;
        k.decay = (float)(a.decoupled ? 0.0 : now.decay);
        k.shrink = (float)(a.decoupled ? 1.0 - lr * now.decay : 1.0);
        k.beta1 = (float)a.beta1, k.rest1 = (float)(1.0 - a.beta1);
        k.beta2 = (float)a.beta2, k.rest2 = (float)(1.0 - a.beta2);
        k.rate = (float)(lr / (1.0 - power(a.beta1, now.update + 1)));
        k.root = (float)(1.0 / sqrt(1.0 - power(a.beta2, now.update + 1)));
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

// ------------------------------------------------------------------------------------------------------------- RMSprop

struct RmsPropRule {
    double alpha, momentum, eps;
};

// Words: the square, then the velocity, then the mean, where kept.
template <int MOMENTUM, int CENTERED> struct RmsProp {
    enum { WORDS = 1 + MOMENTUM + CENTERED, VELOCITY = MOMENTUM, MEAN = MOMENTUM + CENTERED };
    float rate, scale, decay, alpha, rest, momentum, eps;

    static DEVICE RmsProp of(const RmsPropRule& a, const Moment& now) {
        RmsProp k;
        k.rate = (float)now.rate;
        k.scale = (float)now.scale;
        k.decay = (float)now.decay;
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

// ------------------------------------------------------------------------------------------------------------ Adadelta

struct AdadeltaRule {
    double rho, eps;
};

struct Adadelta {
    enum { WORDS = 2 };
    float rate, scale, decay, rho, rest, eps;

    static DEVICE Adadelta of(const AdadeltaRule& a, const Moment& now) {
        Adadelta k;
        k.rate = (float)now.rate;
        k.scale = (float)now.scale;
        k.decay = (float)now.decay;
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

// ------------------------------------------------------------------------------------------------------ moving average

// 1 − d, by which an average moves towards the weights after this update.
DEVICE float ema_rest(double decay, u32 warm_up, u64 update) {
    double t = (double)update, early = (1.0 + t) / (10.0 + t);
    return (float)(1.0 - (warm_up && early < decay ? early : decay));
}
// average += (1 − d)·(w − average), so that an average that has arrived stays.
DEVICE void ema_step(float& average, float w, float rest) { average += rest * (w - average); }
