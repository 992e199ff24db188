// Pooling: the kernels of layer/pool.rs, whose first lines say what they compute. Channels are taken in packs of V; Layouts count
// packs.
#include "prelude.cuh"

struct Pooling {
    Layout x, y;
    Divisor stride[3];
    u32 size[3], before[3];
};
struct Range { u32 from, to; };

// The input cells under output `o` of an axis of `n` cells.
DEVICE Range cells(const Pooling& g, int axis, u32 o, u32 n) {
    u32 start = o * g.stride[axis].d, before = g.before[axis];
    return {max(start, before) - before, min(start + g.size[axis] - before, n)};
}

// The outputs of an axis of `n` outputs whose window holds input `i`; empty where the stride skips it.
DEVICE Range windows(const Pooling& g, int axis, u32 i, u32 n) {
    u32 at = i + g.before[axis], size = g.size[axis];
    u32 from = at < size ? 0 : quotient(at - size, g.stride[axis]) + 1;
    return {from, min(quotient(at, g.stride[axis]) + 1, n)};
}

// ----------------------------------------------------------------------------------------------------------- maximum

template <class T> struct MaxArgs {
    const T* from; // x, or dy in the backward pass
    T* to;         // y, or dx
    void* winner;  // see below; NULL where no backward pass follows
    u64 n;         // packs of `to`, or outputs for the kernel of blocks
    Pooling g;
    u32 add, log_lanes;
    u32 large;     // the windows are
};

// Where a maximum came from: the cell of its window in a byte, or the position in its sample where windows are large.
struct Cell { u8 v; };
struct Position { u32 v; };
DEVICE u32 mark(const Pooling& g, Cell, u32 d, u32 h, u32 w, u32 od, u32 oh, u32 ow) {
    const u32 td = d + g.before[0] - od * g.stride[0].d, th = h + g.before[1] - oh * g.stride[1].d, tw = w + g.before[2] - ow * g.stride[2].d;
    return (td * g.size[1] + th) * g.size[2] + tw;
}
DEVICE u32 mark(const Pooling& g, Position, u32 d, u32 h, u32 w, u32, u32, u32) { return (d * g.x.h.d + h) * g.x.w.d + w; }

template <class T, int V> DEVICE void max_of(const MaxArgs<T>& a) {
    const Pooling& g = a.g;
    const Layout& e = g.x;
    const Pack<T, V>* x = (const Pack<T, V>*)a.from;
    for (GRID(i, a.n)) {
        Coordinates o = coordinates(i, g.y);
        Range d = cells(g, 0, o.d, e.d.d), h = cells(g, 1, o.h, e.h.d), w = cells(g, 2, o.w, e.w.d);
        float best[V];
        Pack<Cell, V> at;
        for (int j = 0; j < V; j++) best[j] = __uint_as_float(LOWEST), at.v[j] = {(u8)mark(g, Cell{}, d.from, h.from, w.from, o.d, o.h, o.w)};
        for (u32 id = d.from; id < d.to; id++)
            for (u32 ih = h.from; ih < h.to; ih++)
                for (u32 iw = w.from; iw < w.to; iw++) {
                    Pack<T, V> p = x[index(o.n, id, ih, iw, o.c, e)];
                    const Cell cell = {(u8)mark(g, Cell{}, id, ih, iw, o.d, o.h, o.w)};
                    for (int j = 0; j < V; j++) {
                        float v = to_float(p.v[j]);
                        bool wins = beats(v, best[j]);
                        best[j] = wins ? v : best[j], at.v[j] = wins ? cell : at.v[j];
                    }
                }
        Pack<T, V> y;
        for (int j = 0; j < V; j++) y.v[j] = of_float<T>(best[j]);
        ((Pack<T, V>*)a.to)[i] = y;
        if (a.winner) ((Pack<Cell, V>*)a.winner)[i] = at;
    }
}

// Sum of dy over the windows that each cell won.
template <class T, int V, class Mark> DEVICE void max_gradient_of(const MaxArgs<T>& a) {
    const Pooling& g = a.g;
    const Layout& e = g.y;
    const Pack<T, V>* dy = (const Pack<T, V>*)a.from;
    const Pack<Mark, V>* winner = (const Pack<Mark, V>*)a.winner;
    Pack<T, V>* dx = (Pack<T, V>*)a.to;
    for (GRID(i, a.n)) {
        Coordinates c = coordinates(i, g.x);
        Range d = windows(g, 0, c.d, e.d.d), h = windows(g, 1, c.h, e.h.d), w = windows(g, 2, c.w, e.w.d);
        float sum[V];
        for (int j = 0; j < V; j++) sum[j] = 0;
        for (u32 od = d.from; od < d.to; od++)
            for (u32 oh = h.from; oh < h.to; oh++)
                for (u32 ow = w.from; ow < w.to; ow++) {
                    u64 o = index(c.n, od, oh, ow, c.c, e);
                    Pack<Mark, V> at = winner[o];
                    Pack<T, V> p = dy[o];
                    const u32 here = mark(g, Mark{}, c.d, c.h, c.w, od, oh, ow);
                    for (int j = 0; j < V; j++) sum[j] += at.v[j].v == here ? to_float(p.v[j]) : 0.0f;
                }
        put(dx + i, sum, a.add);
    }
}

template <class T> DEVICE void max_forward(const MaxArgs<T>& a) { max_of<T, 1>(a); }
template <class T> DEVICE void max_forward_wide(const MaxArgs<T>& a) { max_of<T, 16 / sizeof(T)>(a); }
template <class T, int V> DEVICE void max_gradient(const MaxArgs<T>& a) {
    if (a.large) max_gradient_of<T, V, Position>(a);
    else max_gradient_of<T, V, Cell>(a);
}
template <class T> DEVICE void max_backward(const MaxArgs<T>& a) { max_gradient<T, 1>(a); }
template <class T> DEVICE void max_backward_wide(const MaxArgs<T>& a) { max_gradient<T, 16 / sizeof(T)>(a); }
KERNELS(256, max_forward, MaxArgs)
KERNELS(256, max_forward_wide, MaxArgs)
KERNELS(256, max_backward, MaxArgs)
KERNELS(256, max_backward_wide, MaxArgs)

// ----------------------------------------------------------------------------------------------------------- average

template <class T> struct AverageArgs {
    const T* from; // x, or dy in the backward pass
    T* to;         // y, or dx
    u64 n;         // packs of `to`, or outputs for the kernel of blocks
    Pooling g;
    u32 full;      // divide by the whole window
    float whole;   // 1 / taps
    u32 add, log_lanes, unused;
};

// 1/n(o) from the number of cells.
template <class T> DEVICE float share(const AverageArgs<T>& a, Range d, Range h, Range w) {
    if (a.full) return a.whole;
    return 1.0f / ((float)(d.to - d.from) * (float)(h.to - h.from) * (float)(w.to - w.from));
}

template <class T, int V> DEVICE void average_of(const AverageArgs<T>& a) {
    const Pooling& g = a.g;
    const Layout& e = g.x;
    const Pack<T, V>* x = (const Pack<T, V>*)a.from;
    for (GRID(i, a.n)) {
        Coordinates o = coordinates(i, g.y);
        Range d = cells(g, 0, o.d, e.d.d), h = cells(g, 1, o.h, e.h.d), w = cells(g, 2, o.w, e.w.d);
        float sum[V], factor = share(a, d, h, w);
        for (int j = 0; j < V; j++) sum[j] = 0;
        for (u32 id = d.from; id < d.to; id++)
            for (u32 ih = h.from; ih < h.to; ih++)
                for (u32 iw = w.from; iw < w.to; iw++) {
                    Pack<T, V> p = x[index(o.n, id, ih, iw, o.c, e)];
                    for (int j = 0; j < V; j++) sum[j] += to_float(p.v[j]);
                }
        for (int j = 0; j < V; j++) sum[j] *= factor;
        put((Pack<T, V>*)a.to + i, sum, 0);
    }
}

template <class T, int V> DEVICE void average_gradient_of(const AverageArgs<T>& a) {
    const Pooling& g = a.g;
    const Layout &e = g.y, &f = g.x;
    const Pack<T, V>* dy = (const Pack<T, V>*)a.from;
    for (GRID(i, a.n)) {
        Coordinates c = coordinates(i, f);
        Range d = windows(g, 0, c.d, e.d.d), h = windows(g, 1, c.h, e.h.d), w = windows(g, 2, c.w, e.w.d);
        float sum[V];
        for (int j = 0; j < V; j++) sum[j] = 0;
        for (u32 od = d.from; od < d.to; od++)
            for (u32 oh = h.from; oh < h.to; oh++)
                for (u32 ow = w.from; ow < w.to; ow++) {
                    float factor = share(a, cells(g, 0, od, f.d.d), cells(g, 1, oh, f.h.d), cells(g, 2, ow, f.w.d));
                    Pack<T, V> p = dy[index(c.n, od, oh, ow, c.c, e)];
                    for (int j = 0; j < V; j++) sum[j] += factor * to_float(p.v[j]);
                }
        put((Pack<T, V>*)a.to + i, sum, a.add);
    }
}

template <class T> DEVICE void average_forward(const AverageArgs<T>& a) { average_of<T, 1>(a); }
template <class T> DEVICE void average_forward_wide(const AverageArgs<T>& a) { average_of<T, 16 / sizeof(T)>(a); }
template <class T> DEVICE void average_backward(const AverageArgs<T>& a) { average_gradient_of<T, 1>(a); }
template <class T> DEVICE void average_backward_wide(const AverageArgs<T>& a) { average_gradient_of<T, 16 / sizeof(T)>(a); }
KERNELS(256, average_forward, AverageArgs)
KERNELS(256, average_forward_wide, AverageArgs)
KERNELS(256, average_backward, AverageArgs)
KERNELS(256, average_backward_wide, AverageArgs)

// ----------------------------------------------------------------------------------------------------- large windows
//
// A block for each output position and each group of 256 >> log_lanes channels (not packs): `1 << log_lanes` threads share the
// cells of one channel, and the results are joined in the order of the threads.

struct Share {
    u64 position; // of the output, in the batch
    Coordinates o;
    u32 c, lane, lanes;
    Range d, h, w;
};
DEVICE Share share_of_block(const Pooling& g, u32 log_lanes, u64 block) {
    Share s;
    u32 channels = 256u >> log_lanes, groups = (g.y.c.d + channels - 1) / channels;
    s.position = block / groups;
    s.o = coordinates(s.position * g.y.c.d, g.y);
    s.c = (u32)(block % groups) * channels + threadIdx.x % channels;
    s.lane = threadIdx.x / channels, s.lanes = 1u << log_lanes;
    s.d = cells(g, 0, s.o.d, g.x.d.d), s.h = cells(g, 1, s.o.h, g.x.h.d), s.w = cells(g, 2, s.o.w, g.x.w.d);
    return s;
}
// Calls f(d, h, w) for every `lanes`-th cell of the window from `lane` on.
template <class F> DEVICE void each_cell(const Share& s, F f) {
    u32 high = s.h.to - s.h.from, wide = s.w.to - s.w.from;
    // The step from one cell of this thread to its next one, so that the loop needs no division.
    u32 step_w = s.lanes % wide, step_h = s.lanes / wide % high, step_d = s.lanes / wide / high;
    u32 w = s.lane % wide, h = s.lane / wide % high, d = s.lane / wide / high;
    while (d < s.d.to - s.d.from) {
        f(s.d.from + d, s.h.from + h, s.w.from + w);
        w += step_w, h += step_h, d += step_d;
        if (w >= wide) w -= wide, h++;
        if (h >= high) h -= high, d++;
    }
}

template <class T> DEVICE void max_whole(const MaxArgs<T>& a) {
    __shared__ float bests[256];
    __shared__ u32 places[256];
    const Layout& e = a.g.x;
    for (u64 block = blockIdx.x; block < a.n; block += gridDim.x) {
        Share s = share_of_block(a.g, a.log_lanes, block);
        float best = __uint_as_float(LOWEST);
        u32 at = 0xffffffffu;
        if (s.c < e.c.d)
            each_cell(s, [&](u32 d, u32 h, u32 w) {
                float v = load(a.from, index(s.o.n, d, h, w, s.c, e));
                if (beats(v, best) || at == 0xffffffffu) best = v, at = (d * e.h.d + h) * e.w.d + w;
            });
        bests[threadIdx.x] = best, places[threadIdx.x] = at;
        __syncthreads();
        if (s.lane == 0 && s.c < e.c.d) {
            for (u32 l = 1; l < s.lanes; l++) {
                u32 t = l * (256u >> a.log_lanes) + threadIdx.x;
                float v = bests[t];
                bool equal = v == best || (v != v && best != best);
                if (places[t] != 0xffffffffu && (equal ? places[t] < at : beats(v, best))) best = v, at = places[t];
            }
            u64 o = s.position * e.c.d + s.c;
            store(a.to, o, best);
            if (a.winner) ((u32*)a.winner)[o] = at;
        }
        __syncthreads();
    }
}
KERNELS(256, max_whole, MaxArgs)

template <class T> DEVICE void average_whole(const AverageArgs<T>& a) {
    __shared__ double sums[256];
    const Layout& e = a.g.x;
    for (u64 block = blockIdx.x; block < a.n; block += gridDim.x) {
        Share s = share_of_block(a.g, a.log_lanes, block);
        double sum = 0; // a float stops growing once it is 10^7 times its terms
        if (s.c < e.c.d) each_cell(s, [&](u32 d, u32 h, u32 w) { sum += load(a.from, index(s.o.n, d, h, w, s.c, e)); });
        sums[threadIdx.x] = sum;
        __syncthreads();
        if (s.lane == 0 && s.c < e.c.d) {
            for (u32 l = 1; l < s.lanes; l++) sum += sums[l * (256u >> a.log_lanes) + threadIdx.x];
            store(a.to, s.position * e.c.d + s.c, (float)(sum * share(a, s.d, s.h, s.w)));
        }
        __syncthreads();
    }
}
KERNELS(256, average_whole, AverageArgs)
