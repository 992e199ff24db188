// Weight gradients of small networks, and at once the update by a rule of optim.cuh.
#pragma once
#include "mlp.cuh"

const u32 RULE = 12; // floats in which the factors of any rule have room

template <class Rule, class Hyper> DEVICE void make_rule(float* to, const double* hyper, const Moment& m) {
    static_assert(sizeof(Rule) <= RULE * sizeof(float) && sizeof(Hyper) <= 4 * sizeof(double), "room for a rule");
    *(Rule*)to = Rule::of(*(const Hyper*)hyper, m);
}
// The rules of the next AHEAD steps: a warp for each run, a thread for each step. Then what averages move by.
DEVICE void make_rules(const MlpArgs& a, float* s, u32 step) {
    u32 run = threadIdx.x / 32, ahead = threadIdx.x % 32;
    float* rules = s + a.at_rules;
    if (step + ahead >= a.steps) return;
    u64 update = a.update + step + ahead;
    if (run < a.runs) {
        const RunOf& of = a.run[run];
        Moment m = {a.rate[a.equal_rates ? 0 : step + ahead] * of.lr_scale, 1.0, of.decay, update};
        float* to = rules + (ahead * a.runs + run) * RULE;
        switch (a.rule_kind) {
        case SGD: make_rule<Sgd<0>, SgdRule>(to, a.rule, m); break;
        case SGD_MOMENTUM: make_rule<Sgd<1>, SgdRule>(to, a.rule, m); break;
        case ADAM: make_rule<Adam<0>, AdamRule>(to, a.rule, m); break;
        case ADAM_AMSGRAD: make_rule<Adam<1>, AdamRule>(to, a.rule, m); break;
        case ADADELTA: make_rule<Adadelta, AdadeltaRule>(to, a.rule, m); break;
        default: make_rule<RmsProp<1, 1>, RmsPropRule>(to, a.rule, m);
        }
    }
    if (run == 0 && a.average) rules[AHEAD * a.runs * RULE + ahead] = ema_rest(a.ema, a.ema_flags & WARM_UP, update);
}

// `count` neighbouring terms of one unit, from place `at` of the arrays of parameters on: rule `made` on each.
template <class Rule> DEVICE void apply(const MlpArgs& a, float* s, u32 at, u32 pitch, u32 count, const float* dw, const float* weights, const float* bias) {
    constexpr int WORDS = Rule::WORDS, ROOM = WORDS ? WORDS : 1;
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        const float* made = i + 1 == count ? bias : weights;
        if (i >= count || !made) continue;
        float* w = s + at + i * pitch;
        float x[ROOM];
#pragma unroll
        for (int k = 0; k < WORDS; k++) x[k] = w[(k + 1) * a.parameters];
        ((const Rule*)made)->step(*w, dw[i], x);
#pragma unroll
        for (int k = 0; k < WORDS; k++) w[(k + 1) * a.parameters] = x[k];
    }
}
DEVICE void apply_rule(const MlpArgs& a, float* s, u32 at, u32 pitch, u32 count, const float* dw, const float* weights, const float* bias) {
    switch (a.rule_kind) {
    case SGD: return apply<Sgd<0>>(a, s, at, pitch, count, dw, weights, bias);
    case SGD_MOMENTUM: return apply<Sgd<1>>(a, s, at, pitch, count, dw, weights, bias);
    case ADAM: return apply<Adam<0>>(a, s, at, pitch, count, dw, weights, bias);
    case ADAM_AMSGRAD: return apply<Adam<1>>(a, s, at, pitch, count, dw, weights, bias);
    case RMSPROP: return apply<RmsProp<0, 0>>(a, s, at, pitch, count, dw, weights, bias);
    case RMSPROP_MOMENTUM: return apply<RmsProp<1, 0>>(a, s, at, pitch, count, dw, weights, bias);
    case RMSPROP_CENTERED: return apply<RmsProp<0, 1>>(a, s, at, pitch, count, dw, weights, bias);
    case RMSPROP_BOTH: return apply<RmsProp<1, 1>>(a, s, at, pitch, count, dw, weights, bias);
    default: return apply<Adadelta>(a, s, at, pitch, count, dw, weights, bias);
    }
}

// dW = x^T dz and db, and at once the update: R terms of one unit for each group of `lanes` threads, which share the rows.
template <int R> DEVICE void updates(const MlpArgs& a, float* s, Now now) {
    u32 lanes = a.tile_lanes, shift = __ffs(lanes) - 1, all = a.tiles * lanes;
    const float* rules = s + a.at_rules + now.step % AHEAD * a.runs * RULE;
    for (u32 base = 0; base < all; base += THREADS) {
        u32 i = base + threadIdx.x, tile = i >> shift, lane = i & (lanes - 1), at = 0;
        bool in = i < all;
        if (!in) tile = 0;
        while (tile >= a.layer[at].tiles) tile -= a.layer[at++].tiles;
        const Layer& l = a.layer[at];
        u32 group = quotient(tile, l.by_n), j = tile - group * l.n, first = group * R;
        const float *x = s + l.x + (at == 0 ? now.half * a.batch * l.x_pitch : 0) + first, *dz = s + l.dz + j;
        float dw[4] = {0.f, 0.f, 0.f, 0.f};
        if (in) {
#pragma unroll 4
            for (u32 r = lane; r < now.rows; r += lanes) {
                float g = dz[r * l.dz_pitch];
                if (R == 4) {
                    float4 v = *(const float4*)(x + r * l.x_pitch);
                    dw[0] = fmaf(v.x, g, dw[0]), dw[1] = fmaf(v.y, g, dw[1]);
                    dw[2] = fmaf(v.z, g, dw[2]), dw[3] = fmaf(v.w, g, dw[3]);
                } else {
                    dw[0] = fmaf(x[r * l.x_pitch], g, dw[0]);
                }
            }
        }
        if (lanes > 1) {
#pragma unroll
            for (int r = 0; r < R; r++) dw[r] = lanes_sum(dw[r], lanes);
        }
        if (!in || lane) continue;
        u32 count = min((u32)R, l.terms - first), place = l.w + first * l.pitch + j;
        // The last term of a layer with bias is the bias.
        const float* of_weights = l.weight_run == FROZEN ? nullptr : rules + l.weight_run * RULE;
        const float* of_bias = l.bias_run == FROZEN ? nullptr : rules + l.bias_run * RULE;
        bool ends = l.terms > l.k && first + count == l.terms;
        apply_rule(a, s, place, l.pitch, count, dw, of_weights, ends ? of_bias : of_weights);
        if (a.average) {
            float rest = s[a.at_rules + AHEAD * a.runs * RULE + now.step % AHEAD];
            bool begins = (a.ema_flags & BEGINS) && now.step == 0;
            for (u32 q = 0; q < count; q++) {
                float *w = s + place + q * l.pitch, &average = w[(a.words + 1) * a.parameters];
                if (begins) average = *w;
                else ema_step(average, *w, rest);
            }
        }
        if (now.step + 1 < a.steps) continue;
#pragma unroll
        for (u32 q = 0; q < R; q++) {
            bool is_bias = first + q == l.k;
            if (q < count && (is_bias ? l.bias_run : l.weight_run) != FROZEN)
                a.grads[is_bias ? l.bias + j : l.weight + (u64)(first + q) * l.n + j] = dw[q];
        }
    }
}
