// Activations, element by element: the functions of op/activation.rs, in float. The softmax has kernels of its own in
// activation.cu and passes through here as the identity.
//
// The kind is the same for all threads, so the branch costs little; but the text of all kinds is long: call `activate`
// in a loop that is not unrolled, not once for every register of a tile.
#pragma once
#include "prelude.cuh"

// As CudaActivation in op/activation.rs.
enum ActivationKind : u32 { LINEAR, RELU, LEAKY, ELU, GELU, SILU, TANH, LOGISTIC, SCALED_LOGISTIC, SOFTPLUS, SOFTMAX };

struct Activation {
    u32 kind;
    float a; // LEAKY, SCALED_LOGISTIC: slope; ELU: factor on everything
    float b; // LEAKY, SCALED_LOGISTIC: saturation in the precision of y, +inf for none; ELU: alpha
    u32 unused;
};

// 1/(1 + e^-x)
DEVICE float logistic(float x) {
    float e = expf(-fabsf(x));
    return (x < 0.f ? e : 1.f) / (1.f + e);
}
// Phi(x), accurate relative to its size in the lower tail too.
DEVICE float normal_cdf(float x) { return 0.5f * erfcf(x * -0.70710678118654752f); }

// y = f(x); NaN passes.
DEVICE float activate(Activation act, float x) {
    switch (act.kind) {
    case RELU: return x < 0.f ? 0.f : x;
    case LEAKY: return x <= 0.f ? act.a * x : x > act.b ? act.b + (x - act.b) * act.a : x;
    case ELU: return act.a * (x > 0.f ? x : act.b * expm1f(x));
    case GELU: return x * normal_cdf(x);
    case SILU: return x * logistic(x);
    case TANH: return tanhf(x);
    case LOGISTIC: return logistic(x);
    case SCALED_LOGISTIC: {
        float z = -act.a * x;
        return logistic(-(z > act.b ? act.b : z));
    }
    case SOFTPLUS: return (x > 0.f ? x : 0.f) + log1pf(expf(-fabsf(x)));
    default: return x;
    }
}

// Whether `slope` wants x; all others want y. As Activation::reads.
DEVICE bool reads_x(Activation act) { return act.kind == GELU || act.kind == SILU; }

// f'(x) from the saved x or y; at a kink the value of the flat or leaky side.
DEVICE float slope(Activation act, float saved) {
    switch (act.kind) {
    case RELU: return saved > 0.f ? 1.f : 0.f;
    case LEAKY: return saved <= 0.f || saved >= act.b ? act.a : 1.f;
    case ELU: return saved > 0.f ? act.a : saved + act.a * act.b;
    case GELU: return normal_cdf(saved) + saved * 0.39894228040143268f * expf(-0.5f * saved * saved);
    case SILU: {
        float s = logistic(saved);
        return s * (1.f + saved * (1.f - s));
    }
    case TANH: return 1.f - saved * saved;
    case LOGISTIC: return saved * (1.f - saved);
    case SCALED_LOGISTIC: return act.a * saved * (1.f - saved);
    case SOFTPLUS: return -expm1f(-saved);
    default: return 1.f;
    }
}
