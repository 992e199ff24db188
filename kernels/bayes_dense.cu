// The weights of layer/bayes_dense.rs: drawn, compared with their prior, and their gradients passed on.
#include "prelude.cuh"

// s = ln(1 + e^rho), ln s, and logistic(rho)/s, which are e^rho, rho and 1 where e^rho is below the rounding of 1.
struct Spread { float s, log, ratio; };
DEVICE Spread spread(float rho) {
    float e = expf(-fabsf(rho)), s = (rho > 0.f ? rho : 0.f) + log1pf(e);
    bool tiny = rho < -37.f;
    float logistic = rho < 0.f ? e / (1.f + e) : 1.f / (1.f + e);
    return {s, tiny ? rho : logf(s), tiny ? 1.f : logistic / s};
}

struct DrawArgs {
    const float* mean;
    const float* rho;
    float* w;
    float* eps; // null where nothing is drawn
    const Control* control;
    u64 key, first, n;
};
// Numbers 4i to 4i + 3 of an array from block first + i. The count of forward passes is the step's, so a captured step draws anew.
KERNEL(256, draw_weights, DrawArgs) {
    const u64 forward = a.control->params.forward;
    for (GRID(i, (a.n + 3) / 4)) {
        float z[4] = {0.f, 0.f, 0.f, 0.f};
        if (a.eps) {
            Words words = philox(a.key, forward, a.first + i);
            for (int j = 0; j < 4; j += 2) {
                float u = 1.f - (float)(words.w[j] >> 8) * (1.f / 16777216.f), v = (float)(words.w[j + 1] >> 8) * (1.f / 8388608.f);
                float radius = sqrtf(-2.f * logf(u)), sine, cosine;
                sincospif(v, &sine, &cosine);
                z[j] = radius * cosine, z[j + 1] = radius * sine;
            }
        }
        for (int j = 0; j < 4; j++) {
            u64 e = 4 * i + j;
            if (e >= a.n) break;
            if (a.eps) a.eps[e] = z[j];
            a.w[e] = a.eps ? a.mean[e] + spread(a.rho[e]).s * z[j] : a.mean[e];
        }
    }
}

struct TermsArgs {
    const float* mean;
    const float* rho;
    double* partial;
    u64 n;
    float log, half; // ln s0 - 1/2 and 1/(2 s0^2)
};
// A chunk of 8192 weights for each block: the sum of ln(s0/s) + (s^2 + mean^2)/(2 s0^2) - 1/2.
KERNEL(256, kl_terms, TermsArgs) {
    __shared__ double scratch[32];
    double sum = 0;
    for (u32 k = threadIdx.x; k < 8192; k += 256) {
        u64 e = (u64)blockIdx.x * 8192 + k;
        if (e >= a.n) break;
        Spread of = spread(a.rho[e]);
        sum += a.log - of.log + a.half * (of.s * of.s + a.mean[e] * a.mean[e]);
    }
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) a.partial[blockIdx.x] = sum;
}

struct KlFoldArgs {
    const double* partial;
    float* kl;
    double factor;
    u64 n;
};
KERNEL(256, kl_fold, KlFoldArgs) {
    __shared__ double scratch[32];
    double sum = 0;
    for (u64 k = threadIdx.x; k < a.n; k += 256) sum += a.partial[k];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) *a.kl = (float)(a.factor * sum);
}

struct PassOnArgs {
    const float* mean;
    const float* rho;
    const float* dw;
    const float* eps; // null where nothing was drawn
    float* dmean;
    float* drho;
    const Control* control;
    u64 n;
    float pull, tight; // factor on the gradient of the divergence, but for the loss scale; 1/s0^2
    u32 add, unused;
};
// From the gradient wrt the weights in use to those of their distribution.
KERNEL(256, pass_on, PassOnArgs) {
    const float pull = a.pull * a.control->state.loss_scale;
    for (GRID(i, a.n)) {
        Spread of = spread(a.rho[i]);
        float g = a.dw[i], through = a.eps ? g * a.eps[i] : 0.f;
        put(a.dmean, i, g + pull * a.tight * a.mean[i], a.add);
        put(a.drho, i, (through * of.s + pull * (a.tight * of.s * of.s - 1.f)) * of.ratio, a.add);
    }
}
