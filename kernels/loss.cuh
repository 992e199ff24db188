// What losses compute from one element or one position, as in loss/*.rs, and sums over the threads that share a row.
#pragma once
#include "activation.cuh"

DEVICE float not_a_number() { return __uint_as_float(0x7fc00000u); }
DEVICE float minus_infinity() { return __uint_as_float(0xff800000u); }

// Over the `n` neighbouring threads that a power of two makes, up to a warp, or the block.
DEVICE float team_sum(float v, u32 n, float* scratch) {
    if (n > 32) return block_sum(v, scratch);
    for (u32 o = n / 2; o; o /= 2) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}
DEVICE double team_sum(double v, u32 n, double* scratch) {
    if (n > 32) return block_sum(v, scratch);
    for (u32 o = n / 2; o; o /= 2) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}
DEVICE float team_max(float v, u32 n, float* scratch) {
    if (n > 32) return block_max(v, scratch);
    for (u32 o = n / 2; o; o /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, o));
    return v;
}

// ------------------------------------------------------------------------------------------ one target for each output

// The term of an element and its derivative wrt y.
struct Term { float l, slope; };

struct SquareTerm {
    DEVICE Term operator()(float y, float t, u32) const {
        float r = y - t;
        return {r * r, r + r};
    }
};

struct AbsoluteTerm {
    DEVICE Term operator()(float y, float t, u32) const {
        float r = y - t;
        return {fabsf(r), r == 0.f ? 0.f : r < 0.f ? -1.f : 1.f};
    }
};

struct HuberTerm {
    float delta;
    DEVICE Term operator()(float y, float t, u32) const {
        float r = y - t, held = r > delta ? delta : r;
        held = held < -delta ? -delta : held;
        return {held * (r - 0.5f * held), held}; // half of r^2 where r is held nowhere
    }
};

struct CrossEntropyTerm {
    float floor, tiny;
    DEVICE Term operator()(float y, float t, u32) const {
        return {-t * logf(y < floor ? floor : y), -t / (y < tiny ? tiny : y)};
    }
};

// Targets outside of [0, 1] give NaN: the step shows as diverged.
struct BceTerm {
    const float* weights; // of the channels, or null
    Divisor c;
    float positive;
    DEVICE Term operator()(float y, float t, u32 i) const {
        t = t >= 0.f && t <= 1.f ? t : not_a_number();
        float e = expf(-fabsf(y)), low = log1pf(e), near = 1.f / (1.f + e), far = e / (1.f + e);
        float yes = positive * t, no = 1.f - t, v = weights ? weights[i - quotient(i, c) * c.d] : 1.f;
        // ln(1 + e^-y) and sigma(-y), ln(1 + e^y) and sigma(y)
        bool below = y < 0.f;
        float if_yes = below ? low - y : low, if_no = below ? low : low + y, up = below ? near : far, down = below ? far : near;
        return {v * (no * if_no + yes * if_yes), v * (no * down - yes * up)};
    }
};

// ---------------------------------------------------------------------------------------------------- mean and variance

// The term of a pair, and its derivatives wrt the mean and the logarithm s of the variance.
struct PairTerm { float l, mean, log; };

struct GaussianTerm {
    float lowest, highest; // logarithms of the variance's bounds
    // s within its bounds; NaN stays.
    DEVICE float hold(float s) const {
        s = s < lowest ? lowest : s;
        return s > highest ? highest : s;
    }
    DEVICE PairTerm operator()(float mean, float s, float t) const {
        float held = hold(s), off = mean - t, pull = off * expf(-held), slope = 0.5f * (1.f - off * pull);
        // Beyond a bound the gradient leads back or rests.
        bool away = (s < held && slope > 0.f) || (s > held && slope < 0.f);
        return {0.5f * (held + off * pull), pull, away ? 0.f : slope};
    }
};

// -------------------------------------------------------------------------------------------- classes of each position

// What a class weighs in a target: class weights and label smoothing.
struct ClassTargets {
    const float* weights; // of the classes, or null
    float keep, spread;   // 1 - epsilon and epsilon/c of label smoothing
    DEVICE float operator()(float q, u32 k) const { return (weights ? weights[k] : 1.f) * (keep * q + spread); }
};

// One position of c classes, shared by a team of `lanes` threads, of which this is number `sub`: with m = max y, Z = sum of
// e^(y - m), targets q and S = sum of q, the value is S ln Z + sum of q (m - y), in every thread, and dl/dy = S e^(y - m)/Z - q
// goes to write(k, dy), multiplied by g. `valid` is false for an index out of range, which gives NaN. A position that does not
// `count` has the value 0 and gradients of 0. All threads of a warp must call.
template <class Y, class Q, class Write>
DEVICE float softmax_position(Y y, Q target, Write write, bool counts, bool valid, float g, u32 c, u32 sub, u32 lanes, float* scratch) {
    u32 end = counts ? c : 0;
    float m = minus_infinity(), z = 0, share = 0, rest = 0;
    for (u32 k = sub; k < end; k += lanes) m = fmaxf(m, y(k));
    m = team_max(m, lanes, scratch);
    for (u32 k = sub; k < end; k += lanes) {
        float q = target(k), below = m - y(k);
        z += expf(-below);
        share += q;
        rest += q == 0.f ? 0.f : q * below; // 0 times infinity is not asked
    }
    z = team_sum(z, lanes, scratch);
    share = team_sum(valid ? share : not_a_number(), lanes, scratch);
    rest = team_sum(rest, lanes, scratch);
    float factor = g * share / z;
    for (u32 k = sub; k < c; k += lanes) write(k, counts ? factor * expf(y(k) - m) - g * target(k) : 0.f);
    return counts ? share * logf(z) + rest : 0.f;
}

// ------------------------------------------------------------------------------------------------------- all of a step

// last <- the sum of factor times value over the rows, added over the losses of a step and to the sum of all steps. The first loss
// that is not finite sets the flag that turns updates into no-ops, and leaves the sum as it was. For one block.
DEVICE void add_losses(Control* control, const float* value, u32 rows, double factor, bool first) {
    __shared__ double scratch[32];
    double sum = 0;
    for (u32 i = threadIdx.x; i < rows; i += blockDim.x) sum += value[i];
    sum = factor * block_sum(sum, scratch);
    if (threadIdx.x != 0) return;
    StepState& s = control->state;
    if (first) s.last = 0;
    s.last += sum;
    bool finite = sum - sum == 0;
    if (finite && !s.diverged) s.loss += sum;
    if (!finite && !s.diverged) s.diverged = 1, s.diverged_at = control->params.update;
}
