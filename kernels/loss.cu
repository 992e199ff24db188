// Losses, as in loss/*.rs: the value of each row and the gradient, in one sweep; and predictions.
//
// A row is a sum over items, elements or positions. A *team* of threads takes a row: a part of a warp or a warp for few items, a
// block for many; a long row is cut into chunks, a block each, whose sums `fold` adds. A row of weight 0 counts for nothing,
// whatever it holds: a missing label may be NaN.
#include "loss.cuh"
#include "reduce.cuh"

// What becomes of the values of all rows, once they are there: the last block to come adds them to the losses of the step.
struct Total {
    Control* control;
    u32* arrived;  // a counter
    double factor; // of this loss in the sum
    u32 adds;      // 0: nothing; 1: adds; 2: begins the sum of the step
    u32 unused;
};
DEVICE void add_up(const Total& t, const float* value, u32 rows) {
    if (t.adds && last_to_arrive(t.arrived, gridDim.x)) add_losses(t.control, value, rows, t.factor, t.adds == 2);
}

template <class T> struct Rows {
    const T* y;
    const float* t;     // targets that are numbers, else null
    const u32* label;   // targets that are indices, else null
    T* dy;              // null where only values are wanted
    const float* w;     // weights of the rows
    float* value;       // of the rows
    double* partial;    // of the chunks, if there are several
    Total total;
    double scale;       // on the gradient, besides weight and factor
    double factor;      // on the sum over items
    u32 rows, items, chunk, chunks, team, unused;
};

// The part of one thread: items first..first + n of a row, shared with the `team`.
struct Part {
    u64 row;
    u32 chunk, first, n, lane;
    float w, g; // weight of the row; what multiplies the derivative of an item
    bool in;    // there is such a row
};
template <class T> DEVICE Part part(const Rows<T>& r) {
    Part b;
    u64 team = (u64)blockIdx.x * (256 / r.team) + threadIdx.x / r.team;
    b.row = r.chunks == 1 ? team : team / r.chunks;
    b.chunk = (u32)(team - b.row * r.chunks);
    b.lane = threadIdx.x % r.team;
    b.in = b.row < r.rows;
    b.first = b.chunk * r.chunk;
    b.n = b.in ? (r.items - b.first < r.chunk ? r.items - b.first : r.chunk) : 0;
    b.w = b.in ? r.w[b.row] : 0.f;
    b.g = (float)(r.scale * r.factor * b.w * r.total.control->state.loss_scale);
    return b;
}

// The value of a row, or of its chunk, from the sums of the team's threads.
template <class T> DEVICE void finish(const Rows<T>& r, const Part& b, double sum) {
    __shared__ double scratch[32];
    sum = team_sum(sum, r.team, scratch);
    const bool writes = b.in && b.lane == 0;
    if (r.chunks > 1) {
        if (writes) r.partial[b.row * r.chunks + b.chunk] = sum;
        return;
    }
    if (writes) r.value[b.row] = (float)(b.w * (r.factor * sum));
    add_up(r.total, r.value, r.rows);
}

struct FoldArgs {
    const double* partial;
    const float* w;
    float* value;
    Total total;
    double factor;
    u32 rows, chunks;
};

// The value of a row from those of its chunks: a warp for each row.
KERNEL(256, fold, FoldArgs) {
    for (u32 row = blockIdx.x * 8 + threadIdx.x / 32; row < a.rows; row += gridDim.x * 8) {
        double sum = 0;
        for (u32 k = threadIdx.x % 32; k < a.chunks; k += 32) sum += a.partial[(u64)row * a.chunks + k];
        sum = warp_sum(sum);
        if (threadIdx.x % 32 == 0) a.value[row] = (float)(a.w[row] * (a.factor * sum));
    }
    add_up(a.total, a.value, a.rows);
}

// ------------------------------------------------------------------------------------------ one target for each output

// Calls item(b, i) for the items of each row, which returns the term and writes the gradient. At most 32 terms are added in float.
template <class T, class Item> DEVICE void each(const Rows<T>& r, Item item) {
    Part b = part(r);
    float sum = 0;
    for (u32 i = b.lane; i < b.n; i += r.team) sum += item(b, b.first + i);
    finish(r, b, sum);
}
// A sum of point(y, t, i).
template <class T, class Point> DEVICE void pointwise(const Rows<T>& r, Point point) {
    each(r, [&](const Part& b, u32 i) -> float {
        u64 at = b.row * r.items + i;
        Term term = {0.f, 0.f};
        if (b.w != 0.f) term = point(load(r.y, at), r.label ? (float)r.label[at] : r.t[at], i);
        if (r.dy) store(r.dy, at, b.w != 0.f ? b.g * term.slope : 0.f);
        return term.l;
    });
}

template <class T> struct PlainArgs { Rows<T> rows; };

template <class T> DEVICE void mse(const PlainArgs<T>& a) { pointwise(a.rows, SquareTerm()); }
KERNELS(256, mse, PlainArgs)

template <class T> DEVICE void mae(const PlainArgs<T>& a) { pointwise(a.rows, AbsoluteTerm()); }
KERNELS(256, mae, PlainArgs)

template <class T> struct HuberArgs { Rows<T> rows; HuberTerm term; u32 unused; };
template <class T> DEVICE void huber(const HuberArgs<T>& a) { pointwise(a.rows, a.term); }
KERNELS(256, huber, HuberArgs)

template <class T> struct CrossEntropyArgs { Rows<T> rows; CrossEntropyTerm term; };
template <class T> DEVICE void cross_entropy(const CrossEntropyArgs<T>& a) { pointwise(a.rows, a.term); }
KERNELS(256, cross_entropy, CrossEntropyArgs)

template <class T> struct BceArgs { Rows<T> rows; BceTerm term; };
template <class T> DEVICE void bce(const BceArgs<T>& a) { pointwise(a.rows, a.term); }
KERNELS(256, bce, BceArgs)

template <class T> struct GaussianArgs {
    Rows<T> rows;
    Divisor c; // channels of the target
    GaussianTerm term;
    u32 unused;
};

template <class T> DEVICE void gaussian(const GaussianArgs<T>& a) {
    const Rows<T>& r = a.rows;
    each(r, [&](const Part& b, u32 i) -> float {
        // The first c of 2c channels are means, the others logarithms of variances.
        u64 mean = b.row * r.items * 2 + i + quotient(i, a.c) * a.c.d, log = mean + a.c.d;
        PairTerm term = {0.f, 0.f, 0.f};
        if (b.w != 0.f) term = a.term(load(r.y, mean), load(r.y, log), r.t[b.row * r.items + i]);
        if (r.dy) store(r.dy, mean, b.w != 0.f ? b.g * term.mean : 0.f), store(r.dy, log, b.w != 0.f ? b.g * term.log : 0.f);
        return term.l;
    });
}
KERNELS(256, gaussian, GaussianArgs)

// -------------------------------------------------------------------------------------------- classes of each position

template <class T> struct SoftmaxArgs {
    Rows<T> rows; // items are positions
    ClassTargets targets;
    u32 c, lanes; // classes, and threads for each position
};

template <class T> DEVICE void softmax_cross_entropy(const SoftmaxArgs<T>& a) {
    __shared__ float scratch[32];
    const Rows<T>& r = a.rows;
    Part b = part(r);
    u32 sub = b.lane % a.lanes, step = r.team / a.lanes;
    double total = 0;
    // All threads of a warp go round as often: the sums are of all of them.
    for (u32 base = 0; base < r.chunk; base += step) {
        u32 i = base + b.lane / a.lanes;
        bool in = i < b.n, counts = in && b.w != 0.f;
        u64 at = b.row * r.items + b.first + i;
        const T* y = r.y + at * a.c;
        u32 label = counts && r.label ? r.label[at] : 0;
        const float* t = counts && r.t ? r.t + at * a.c : r.t;
        float l = softmax_position(
            [&](u32 k) { return load(y, k); },
            [&](u32 k) { return a.targets(r.label ? (k == label ? 1.f : 0.f) : t[k], k); },
            [&](u32 k, float dy) {
                if (r.dy && in) store(r.dy, at * a.c + k, dy);
            },
            counts, label < a.c, b.g, a.c, sub, a.lanes, scratch);
        if (sub == 0) total += l;
    }
    finish(r, b, total);
}
KERNELS(256, softmax_cross_entropy, SoftmaxArgs)

// -------------------------------------------------------------------------------------------------------- predictions

template <class T> struct PredictArgs {
    T* y;
    u64 n; // positions, or elements
    u32 c, lanes;
    float lowest, highest;
};

// y becomes softmax(y) over the c channels of each position.
template <class T> DEVICE void predict_softmax(const PredictArgs<T>& a) {
    __shared__ float scratch[32];
    u32 sub = threadIdx.x % a.lanes, step = 256 / a.lanes;
    for (u64 base = (u64)blockIdx.x * step; base < a.n; base += (u64)gridDim.x * step) {
        u64 at = base + threadIdx.x / a.lanes;
        T* y = a.y + at * a.c;
        u32 end = at < a.n ? a.c : 0;
        float m = minus_infinity(), z = 0;
        for (u32 k = sub; k < end; k += a.lanes) m = fmaxf(m, load(y, k));
        m = team_max(m, a.lanes, scratch);
        for (u32 k = sub; k < end; k += a.lanes) z += expf(load(y, k) - m);
        z = team_sum(z, a.lanes, scratch);
        for (u32 k = sub; k < end; k += a.lanes) store(y, k, expf(load(y, k) - m) / z);
    }
}
KERNELS(256, predict_softmax, PredictArgs)

template <class T> DEVICE void predict_logistic(const PredictArgs<T>& a) {
    for (GRID(i, a.n)) store(a.y, i, logistic(load(a.y, i)));
}
KERNELS(256, predict_logistic, PredictArgs)

// The last c of 2c channels become e^s, s held within its bounds.
template <class T> DEVICE void predict_variance(const PredictArgs<T>& a) {
    for (GRID(i, a.n)) {
        u64 at = i + (i / a.c + 1) * a.c;
        float s = load(a.y, at);
        s = s < a.lowest ? a.lowest : s;
        store(a.y, at, expf(s > a.highest ? a.highest : s));
    }
}
KERNELS(256, predict_variance, PredictArgs)
