// Whole training steps of a small network of dense layers, many for each launch: one block gathers, runs forward, loss, backward
// and the optimizer, with weights, state and activations in its shared memory. The data set, its order and the result of the
// launch (weights, state, the gradients and outputs of its last step) lie in global memory.
//
// What a step takes is the latency of its phases, of which L layers have 2L + 1 with a barrier behind each: L forward, the loss,
// L - 1 backward, all weight gradients with their updates. So a phase spreads its sums over as many threads as there are, the
// next batch is on its way while this one is used, and what the optimizer needs in double is made for 32 steps at once. Every
// sum has an order that follows from the planned sizes, so equal runs have equal bits however many steps a launch makes.
#include "mlp_loss.cuh"
#include "mlp_update.cuh"

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
