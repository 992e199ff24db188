// The losses of small networks, by teams of threads: values, gradients, and the sum that the device keeps.
#pragma once
#include "mlp.cuh"

// One row as a thread of its team sees it.
struct Row {
    const float* y;
    float* dy;
    const u32* t;
    u32 target_kind, lane, team, items; // no items where there is no such row
    float w, g;
};
DEVICE float target(const Row& r, u32 i) {
    if (r.target_kind == ONE_HOT) return r.t[0] == i ? 1.f : 0.f;
    return r.target_kind == LABELS ? (float)r.t[i] : __uint_as_float(r.t[i]);
}
template <class Point> DEVICE double pointwise(const Row& r, Point point) {
    float sum = 0;
    for (u32 i = r.lane; i < r.items; i += r.team) {
        Term term = {0.f, 0.f};
        if (r.w != 0.f) term = point(r.y[i], target(r, i), i);
        r.dy[i] = r.w != 0.f ? r.g * term.slope : 0.f;
        sum += term.l;
    }
    return sum;
}
DEVICE double gaussian(const Row& r, GaussianTerm of, u32 c) {
    float sum = 0;
    for (u32 i = r.lane; i < r.items; i += r.team) {
        PairTerm term = {0.f, 0.f, 0.f};
        if (r.w != 0.f) term = of(r.y[i], r.y[c + i], target(r, i));
        r.dy[i] = r.w != 0.f ? r.g * term.mean : 0.f, r.dy[c + i] = r.w != 0.f ? r.g * term.log : 0.f;
        sum += term.l;
    }
    return sum;
}
DEVICE double softmax_row(const Row& r, const LossOf& l) {
    ClassTargets targets = {l.weights, l.p, l.q};
    bool in = r.items > 0, counts = in && r.w != 0.f, labels = r.target_kind != NUMBERS;
    u32 label = counts && labels ? r.t[0] : 0;
    float value = softmax_position(
        [&](u32 k) { return r.y[k]; },
        [&](u32 k) { return targets(labels ? (k == label ? 1.f : 0.f) : __uint_as_float(r.t[k]), k); },
        [&](u32 k, float dy) {
            if (in) r.dy[k] = dy;
        },
        counts, label < l.c, r.g, l.c, r.lane, r.team, nullptr);
    return r.lane == 0 ? value : 0.f;
}

// Values and gradients of all rows; and the gradient before the last activation, unless that is a softmax.
DEVICE void losses(const MlpArgs& a, float* s, Now now) {
    const LossOf& l = a.loss;
    const Layer& last = a.layer[a.layers - 1];
    u32 lane = threadIdx.x % l.team, teams = THREADS / l.team;
    double scale = 1.0 / now.rows * a.factor * l.factor;
    const u32* t = (const u32*)(s + a.at_t) + now.half * a.batch * a.targets;
    const float* weights = s + a.at_w + now.half * a.batch;
    bool slopes = last.act.kind != LINEAR && last.act.kind != SOFTMAX;
    for (u32 base = 0; base < now.rows; base += teams) {
        u32 row = base + threadIdx.x / l.team;
        bool in = row < now.rows;
        float w = in ? weights[row] : 0.f;
        Row r = {s + last.y + row * last.y_pitch, s + last.dz + row * last.dz_pitch, t + row * a.targets, a.target_kind, lane, l.team,
                 in ? l.items : 0, w, (float)(scale * w)};
        double sum = 0;
        switch (l.kind) {
        case SQUARE: sum = pointwise(r, SquareTerm()); break;
        case ABSOLUTE: sum = pointwise(r, AbsoluteTerm()); break;
        case HUBER: sum = pointwise(r, HuberTerm{l.p}); break;
        case CROSS_ENTROPY: sum = pointwise(r, CrossEntropyTerm{l.p, l.q}); break;
        case BCE: sum = pointwise(r, BceTerm{l.weights, last.by_n, l.p}); break;
        case GAUSSIAN: sum = gaussian(r, GaussianTerm{l.p, l.q}, l.c); break;
        default: sum = softmax_row(r, l);
        }
        sum = team_sum(sum, l.team, (double*)nullptr);
        if (in && lane == 0) s[a.at_value + row] = (float)(w * (l.factor * sum));
        if (!slopes) continue;
        __syncwarp();
        const float* saved = s + (reads_x(last.act) ? last.z : last.y) + row * last.y_pitch;
        for (u32 i = lane; in && i < last.n; i += l.team) r.dy[i] *= slope(last.act, saved[i]);
    }
}

// As add_loss in control.cu, by one warp.
DEVICE void add_loss(const MlpArgs& a, const float* s, Now now, Sums& kept) {
    double sum = 0;
    for (u32 i = threadIdx.x % 32; i < now.rows; i += 32) sum += s[a.at_value + i];
    sum = a.factor * warp_sum(sum);
    if (threadIdx.x % 32) return;
    kept.last = sum;
    bool finite = sum - sum == 0;
    if (finite) kept.loss += sum;
    else kept.diverged = 1, kept.at = a.update + now.step;
}
