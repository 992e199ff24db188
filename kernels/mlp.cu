// Whole training steps of a small network of dense layers, many for each launch: one block gathers, runs forward, loss, backward
// and the optimizer, with weights, state and activations in its shared memory. The data set, its order and the result of the
// launch (weights, state, the gradients and outputs of its last step) lie in global memory.
//
// What a step takes is the latency of its phases, of which L layers have 2L + 1 with a barrier behind each: L forward, the loss,
// L - 1 backward, all weight gradients with their updates. So a phase spreads its sums over as many threads as there are, the
// next batch is on its way while this one is used, and what the optimizer needs in double is made for 32 steps at once. Every
// sum has an order that follows from the planned sizes, so equal runs have equal bits however many steps a launch makes.
#include "loss.cuh"
#include "mma.cuh"
#include "optim.cuh"

const u32 THREADS = 256, LAYERS = 8, RUNS = 8, STEPS = 256, AHEAD = 32, FROZEN = 0xffffffffu;

// As in network/mlp.rs. Places are in floats from the start of the shared memory, or of the flat arenas of parameters.
struct Layer {
    u32 k, n;                // inputs, units
    u32 terms;               // of a sum: the inputs, and the constant 1 of a bias
    u32 w, pitch;            // its weights in shared memory, a row of units for each term; a pitch that is odd avoids conflicts
    u32 x, x_pitch;          // inputs; those of the first layer are in two places in turn
    u32 y, y_pitch;          // outputs; behind them in each row the constant 1
    u32 z;                   // what the activation was applied to, where its slope wants that; with the pitch of y
    u32 dz, dz_pitch;        // gradients before the activation
    u32 weight, bias;        // in the arenas
    u32 weight_run, bias_run;
    u32 tiles;               // of weight gradients
    u32 forward_lanes, backward_lanes, forward_rows, backward_rows; // how sums are shared: see `sums`
    Divisor by_n, by_k;
    Activation act;
    u32 unused;
};

enum LossKind : u32 { SQUARE, ABSOLUTE, HUBER, CROSS_ENTROPY, BCE, GAUSSIAN, SOFTMAX_CROSS_ENTROPY };
enum TargetKind : u32 { NUMBERS, LABELS, ONE_HOT };
// As MlpLoss in loss/cuda.rs.
struct LossOf {
    const float* weights; // of classes or channels, or null
    double factor;        // on the sum over items
    u32 kind;
    u32 items, team; // as Rows in loss.cu; a team is part of a warp
    u32 c;           // classes, or channels
    float p, q;      // what the kind has for numbers
};

enum RuleKind : u32 { SGD, SGD_MOMENTUM, ADAM, ADAM_AMSGRAD, RMSPROP, RMSPROP_MOMENTUM, RMSPROP_CENTERED, RMSPROP_BOTH, ADADELTA };
struct RunOf { double lr_scale, decay; };

struct MlpArgs {
    Control* control;
    const u32* order;
    const float* x;
    const u32* t; // numbers or labels
    const float* w;
    float* weights;
    float* grads;
    float* word[3];
    float* average; // or null
    float* y;       // of the last step
    float* value;
    double factor;  // of the loss in the sum
    double ema;
    double rule[4]; // SgdRule, AdamRule, RmsPropRule or AdadeltaRule
    u64 update, cursor, samples;
    u32 batch, steps, layers, runs;
    u32 words, rule_kind, ema_flags, target_kind;
    u32 inputs, targets;
    u32 parameters; // floats of one array of parameters in shared memory
    u32 tile, tile_lanes; // terms of a weight gradient in a thread (1 or 4), and threads for each
    u32 tiles;
    u32 at_t, at_w, at_value, at_index, at_rules; // two batches of targets, weights and samples; losses; rules
    u32 equal_rates;                              // all rates are the first
    Divisor by_inputs, by_targets;
    LossOf loss;
    RunOf run[RUNS];
    Layer layer[LAYERS];
    double rate[STEPS];
};

// Of averages: their memory grows at first; they begin as the weights after the first update of this launch.
enum EmaFlag : u32 { WARM_UP = 1, BEGINS = 2 };

// What the block keeps of the control block.
struct Sums { double loss, last; u64 at; u32 diverged; };

// ----------------------------------------------------------------------------------------------------------- the batch

// A step: its number in the launch, its place in the epoch, its rows, and which of two places its batch lies in.
struct Now { u32 step, rows, half; };
DEVICE Now now_at(const MlpArgs& a, u32 step) {
    u64 from = a.cursor + (u64)step * a.batch;
    u64 left = step < a.steps && from < a.samples ? a.samples - from : 0;
    return {step, (u32)(left < a.batch ? left : a.batch), step & 1};
}

// Asks for which samples a step takes.
DEVICE void ask_index(const MlpArgs& a, float* s, Now to) {
    const u32* from = a.order + a.cursor + (u64)to.step * a.batch;
    float* at = s + a.at_index + to.half * a.batch;
    for (u32 i = threadIdx.x; i < to.rows; i += THREADS) copy_async<4>(shared_address(at + i), from + i);
}
// Asks for the samples themselves, once it is known which.
DEVICE void ask_batch(const MlpArgs& a, float* s, Now to) {
    const u32* sample = (const u32*)(s + a.at_index + to.half * a.batch);
    const Layer& l = a.layer[0];
    float *x = s + l.x + to.half * a.batch * l.x_pitch, *t = s + a.at_t + to.half * a.batch * a.targets;
    for (u32 i = threadIdx.x; i < to.rows * a.inputs; i += THREADS) {
        u32 row = quotient(i, a.by_inputs), k = i - row * a.inputs;
        copy_async<4>(shared_address(x + row * l.x_pitch + k), a.x + (u64)sample[row] * a.inputs + k);
    }
    for (u32 i = threadIdx.x; i < to.rows * a.targets; i += THREADS) {
        u32 row = quotient(i, a.by_targets);
        copy_async<4>(shared_address(t + i), a.t + (u64)sample[row] * a.targets + (i - row * a.targets));
    }
    float* w = s + a.at_w + to.half * a.batch;
    for (u32 i = threadIdx.x; i < to.rows; i += THREADS) copy_async<4>(shared_address(w + i), a.w + sample[i]);
}

// ------------------------------------------------------------------------------------------------------------- products

// sum of a_p b_p over p = from.. below `terms`, `lanes` threads taking four terms in turn; rows of a lie `ld` apart and are read
// by fours, b by `step`. R rows at once.
template <int R> DEVICE void dots(float (&sum)[R], const float* a, u32 ld, const float* b, u32 step, u32 terms, u32 lane, u32 lanes) {
    for (u32 p = 4 * lane; p < terms; p += 4 * lanes) {
        float v[4];
        u32 left = terms - p;
#pragma unroll
        for (u32 q = 0; q < 4; q++) v[q] = q < left ? b[(p + q) * step] : 0.f;
#pragma unroll
        for (int i = 0; i < R; i++) {
            float4 u = *(const float4*)(a + i * ld + p);
            sum[i] = fmaf(u.x, v[0], sum[i]);
            if (left > 1) sum[i] = fmaf(u.y, v[1], sum[i]);
            if (left > 2) sum[i] = fmaf(u.z, v[2], sum[i]);
            if (left > 3) sum[i] = fmaf(u.w, v[3], sum[i]);
        }
    }
}
DEVICE float lanes_sum(float v, u32 lanes) {
    for (u32 o = lanes / 2; o; o /= 2) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}

// Calls deliver(row, column, sum) for all `rows` x `columns` sums, by R rows and one column at a time. `lanes` neighbouring
// threads share one; they are above 1 only where R is 1. All threads must call.
template <int R, class B, class Deliver>
DEVICE void sums(u32 rows, u32 columns, Divisor by_columns, const float* a, u32 ld, B b, u32 step, u32 terms, u32 lanes, Deliver deliver) {
    u32 groups = (rows + R - 1) / R, all = groups * columns * lanes, shift = __ffs(lanes) - 1;
    for (u32 base = 0; base < all; base += THREADS) {
        u32 i = base + threadIdx.x, task = i >> shift, lane = i & (lanes - 1);
        bool in = i < all;
        u32 group = in ? quotient(task, by_columns) : 0, column = in ? task - group * columns : 0;
        float sum[R] = {};
        // Rows below the last one are there, whatever they hold: the batch has been of its full size, or its memory has.
        if (in) dots<R>(sum, a + group * R * ld, ld, b(column), step, terms, lane, lanes);
        if (lanes > 1) sum[0] = lanes_sum(sum[0], lanes);
        if (!in || lane) continue;
#pragma unroll
        for (int r = 0; r < R; r++)
            if (group * R + r < rows) deliver(group * R + r, column, sum[r]);
    }
}

// y = act(x W), z kept where wanted.
template <int R> DEVICE void forward_by(const Layer& l, float* s, const float* x, u32 rows) {
    float *y = s + l.y, *z = s + l.z;
    bool keep = reads_x(l.act);
    sums<R>(rows, l.n, l.by_n, x, l.x_pitch, [&](u32 j) { return s + l.w + j; }, l.pitch, l.terms, l.forward_lanes,
        [&](u32 r, u32 j, float v) {
            u32 at = r * l.y_pitch + j;
            if (keep) z[at] = v;
            y[at] = v;
        });
    if (l.act.kind == LINEAR || l.act.kind == SOFTMAX) return;
    // Each thread takes up what it has written itself; a loop of its own, since the text of all activations is long.
    u32 lanes = l.forward_lanes, groups = (rows + R - 1) / R, all = groups * l.n * lanes;
    for (u32 i = threadIdx.x; i < all; i += THREADS) {
        if (i & (lanes - 1)) continue;
        u32 task = i / lanes, group = quotient(task, l.by_n), j = task - group * l.n;
        for (u32 r = group * R; r < rows && r < group * R + R; r++) y[r * l.y_pitch + j] = activate(l.act, y[r * l.y_pitch + j]);
    }
}
// The dz of the layer below = (dz W^T) act'(..)
template <int R> DEVICE void backward_by(const Layer& l, const Layer& below, float* s, u32 rows) {
    float* to = s + below.dz;
    const float* saved = s + (reads_x(below.act) ? below.z : below.y);
    sums<R>(rows, l.k, l.by_k, s + l.dz, l.dz_pitch, [&](u32 k) { return s + l.w + k * l.pitch; }, 1, l.n, l.backward_lanes,
        [&](u32 r, u32 k, float v) { to[r * below.dz_pitch + k] = v; });
    if (below.act.kind == LINEAR || below.act.kind == SOFTMAX) return;
    u32 lanes = l.backward_lanes, groups = (rows + R - 1) / R, all = groups * l.k * lanes;
    for (u32 i = threadIdx.x; i < all; i += THREADS) {
        if (i & (lanes - 1)) continue;
        u32 task = i / lanes, group = quotient(task, l.by_k), k = task - group * l.k;
        for (u32 r = group * R; r < rows && r < group * R + R; r++)
            to[r * below.dz_pitch + k] *= slope(below.act, saved[r * below.y_pitch + k]);
    }
}

// y = softmax(y), a warp for each row.
DEVICE void softmax_rows(const Layer& l, float* s, u32 rows) {
    for (u32 row = threadIdx.x / 32; row < rows; row += THREADS / 32) {
        float* y = s + l.y + row * l.y_pitch;
        float m = minus_infinity(), z = 0;
        for (u32 i = threadIdx.x % 32; i < l.n; i += 32) m = fmaxf(m, y[i]);
        m = warp_max(m);
        for (u32 i = threadIdx.x % 32; i < l.n; i += 32) z += expf(y[i] - m);
        z = warp_sum(z);
        for (u32 i = threadIdx.x % 32; i < l.n; i += 32) y[i] = expf(y[i] - m) / z;
    }
}
// dz = y (dy - sum y dy)
DEVICE void softmax_slopes(const Layer& l, float* s, u32 rows) {
    for (u32 row = threadIdx.x / 32; row < rows; row += THREADS / 32) {
        const float* y = s + l.y + row * l.y_pitch;
        float* dz = s + l.dz + row * l.dz_pitch;
        float dot = 0;
        for (u32 i = threadIdx.x % 32; i < l.n; i += 32) dot = fmaf(y[i], dz[i], dot);
        dot = warp_sum(dot);
        for (u32 i = threadIdx.x % 32; i < l.n; i += 32) dz[i] = y[i] * (dz[i] - dot);
    }
}

// ------------------------------------------------------------------------------------------------------------- the loss

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

// --------------------------------------------------------------------------------------------------------- the update

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
    constexpr u32 WORDS = Rule::WORDS, ROOM = WORDS ? WORDS : 1;
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        const float* made = i + 1 == count ? bias : weights;
        if (i >= count || !made) continue;
        float* w = s + at + i * pitch;
        float x[ROOM];
#pragma unroll
        for (u32 k = 0; k < WORDS; k++) x[k] = w[(k + 1) * a.parameters];
        ((const Rule*)made)->step(*w, dw[i], x);
#pragma unroll
        for (u32 k = 0; k < WORDS; k++) w[(k + 1) * a.parameters] = x[k];
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

// ------------------------------------------------------------------------------------------------------------ the launch

// Calls f(place in shared memory, place in the arenas) for every parameter.
template <class F> DEVICE void each_parameter(const MlpArgs& a, F f) {
    for (u32 at = 0; at < a.layers; at++) {
        const Layer& l = a.layer[at];
        for (u32 i = threadIdx.x; i < l.terms * l.n; i += THREADS) {
            u32 k = quotient(i, l.by_n), j = i - k * l.n;
            f(l.w + k * l.pitch + j, k < l.k ? l.weight + i : l.bias + j);
        }
    }
}

// Weights and state come in; the constant 1 behind the inputs of every layer.
DEVICE void enter(const MlpArgs& a, float* s) {
    each_parameter(a, [&](u32 here, u32 there) {
        s[here] = a.weights[there];
        for (u32 k = 0; k < a.words; k++) s[here + (k + 1) * a.parameters] = a.word[k][there];
        if (a.average) s[here + (a.words + 1) * a.parameters] = a.average[there];
    });
    for (u32 at = 0; at < a.layers; at++) {
        const Layer& l = a.layer[at];
        u32 rows = at == 0 ? 2 * a.batch : a.batch;
        for (u32 i = threadIdx.x; i < rows; i += THREADS) s[l.x + i * l.x_pitch + l.k] = 1.f;
    }
}

// And go back, with the outputs and losses of the last batch.
DEVICE void leave(const MlpArgs& a, const float* s, Now last) {
    each_parameter(a, [&](u32 here, u32 there) {
        a.weights[there] = s[here];
        for (u32 k = 0; k < a.words; k++) a.word[k][there] = s[here + (k + 1) * a.parameters];
        if (a.average) a.average[there] = s[here + (a.words + 1) * a.parameters];
    });
    const Layer& l = a.layer[a.layers - 1];
    for (u32 i = threadIdx.x; i < last.rows * l.n; i += THREADS) {
        u32 row = quotient(i, l.by_n);
        a.y[i] = s[l.y + row * l.y_pitch + (i - row * l.n)];
    }
    for (u32 i = threadIdx.x; i < last.rows; i += THREADS) a.value[i] = s[a.at_value + i];
}

DEVICE void forward(const MlpArgs& a, float* s, Now now) {
    for (u32 at = 0; at < a.layers; at++) {
        const Layer& l = a.layer[at];
        const float* x = s + l.x + (at == 0 ? now.half * a.batch * l.x_pitch : 0);
        if (l.forward_rows == 4) forward_by<4>(l, s, x, now.rows);
        else forward_by<1>(l, s, x, now.rows);
        __syncthreads();
        if (l.act.kind != SOFTMAX) continue;
        softmax_rows(l, s, now.rows);
        __syncthreads();
    }
}
// From the loss to all dz. The last warp adds the losses up meanwhile.
DEVICE void backward(const MlpArgs& a, float* s, Now now, Sums& kept) {
    bool adds = threadIdx.x / 32 == THREADS / 32 - 1;
    losses(a, s, now);
    __syncthreads();
    if (adds) add_loss(a, s, now, kept);
    if (a.layer[a.layers - 1].act.kind == SOFTMAX) {
        softmax_slopes(a.layer[a.layers - 1], s, now.rows);
        __syncthreads();
    }
    for (u32 at = a.layers - 1; at > 0; at--) {
        const Layer &l = a.layer[at], &below = a.layer[at - 1];
        if (l.backward_rows == 4) backward_by<4>(l, below, s, now.rows);
        else backward_by<1>(l, below, s, now.rows);
        __syncthreads();
        if (below.act.kind != SOFTMAX) continue;
        softmax_slopes(below, s, now.rows);
        __syncthreads();
    }
    if (a.layers == 1) __syncthreads();
}

KERNEL(THREADS, mlp, MlpArgs) {
    SHARED(float, s);
    __shared__ Sums kept;
    if (halted(a.control)) return;
    if (threadIdx.x == 0) kept = {a.control->state.loss, a.control->state.last, a.control->state.diverged_at, 0};
    enter(a, s);
    for (u32 step = 0; step < 2; step++) ask_index(a, s, now_at(a, step));
    copy_commit(), copy_wait<0>();
    __syncthreads();
    ask_batch(a, s, now_at(a, 0));
    copy_commit(), copy_wait<0>();
    Now now = now_at(a, 0);
    for (u32 step = 0; step < a.steps; step++) {
        now = now_at(a, step);
        if (step % AHEAD == 0) make_rules(a, s, step);
        if (step == 0) __syncthreads();
        ask_batch(a, s, now_at(a, step + 1));
        ask_index(a, s, now_at(a, step + 2));
        copy_commit();
        forward(a, s, now);
        backward(a, s, now, kept);
        if (kept.diverged) break;
        if (a.tile == 4) updates<4>(a, s, now);
        else updates<1>(a, s, now);
        copy_wait<0>();
        __syncthreads();
    }
    copy_wait<0>();
    leave(a, s, now);
    if (threadIdx.x == 0) {
        StepState& state = a.control->state;
        state.loss = kept.loss, state.last = kept.last, state.diverged = kept.diverged, state.diverged_at = kept.at;
    }
}
