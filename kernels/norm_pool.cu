// Batch normalisation with a maximum over windows behind it, with or without a rectifier between them, in one sweep each way:
// neither what is normalised nor its gradient lies in memory. Windows tile the input, and a thread takes one window of V neighbouring
// channels at a time. Which cell won is found again from x on the way back; values are compared as they would be stored, so that equal
// ones are those that the single layers see as equal. See norm.cuh.
#include "norm.cuh"

constexpr u32 MOST = 64; // cells of a window

// As WindowsArgs in layer/norm/pooled.rs.
struct Windows {
    u64 n;            // of all rows
    u64 area;         // positions in a sample
    u32 chunk;        // windows of a block, which takes 256 packs of channels
    u32 c;            // channels
    Divisor d, h, w;  // windows along each axis
    u32 size[3];      // cells of a window
    u32 row, plane;   // positions of x in a row, and in a slice
    u32 taps, unused;
    u32 cells[MOST];  // from a window's first element to that of each cell
};

// What a thread's channels are normalised with.
template <int V> struct Maps {
    float mu[V], factor[V], beta[V]; // factor: rho gamma
};
template <int V> DEVICE void read_maps(Maps<V>& of, u32 channel, const float* table, const float* scale, const float* shift) {
#pragma unroll
    for (int k = 0; k < V; k++) {
        const Pair t = pair(table, channel + k);
        of.mu[k] = t.a, of.factor[k] = t.b * (scale ? scale[channel + k] : 1.f), of.beta[k] = shift ? shift[channel + k] : 0.f;
    }
}

// Where a thread stands among the packs of its block, and the first of its channels.
struct Place { Stand at; u32 channel; };
template <class T> DEVICE Place place(const Windows& s) {
    const u32 packs = s.c / PACK<T>, first = blockIdx.y * 256;
    const Stand at = stand(packs - first < 256 ? packs - first : 256);
    return {at, (first + at.lane) * PACK<T>};
}

// visit(first element of the window, element of its result) for the windows of a thread; done where it has none.
template <class T, class Visit> DEVICE void each_window(const Windows& s, const Place& to, Visit visit) {
    const u64 begin = (u64)blockIdx.x * s.chunk, left = s.n - begin;
    const u32 n = left < s.chunk ? (u32)left : s.chunk;
    if (to.at.place >= to.at.side) return;
#pragma unroll 1
    for (u32 p = to.at.place; p < n; p += to.at.side) {
        const u64 q = begin + p, line = divide(q, s.w), slice = divide(line, s.h), sample = divide(slice, s.d);
        const u64 d = (slice - sample * s.d.d) * s.size[0], h = (line - slice * s.h.d) * s.size[1], w = (q - line * s.w.d) * s.size[2];
        visit((sample * s.area + d * s.plane + h * s.row + w) * s.c + to.channel, q * s.c + to.channel);
    }
}

// The largest normalised value of a window, which cell it is in, and x there; x0 is where the window begins. A rectifier behind them
// changes neither where the gradient goes nor, applied afterwards, the maximum. With CELLS other than 0 there are as many cells, and
// their x stay in `raw`. ROUND: compare what the type can store.
template <class T, int CELLS, bool ROUND, int V>
DEVICE void maxima(const T* x0, const Windows& s, const Maps<V>& of, uint4* raw, float* best, u32* won, float* x) {
#pragma unroll
    for (int t = 0; t < CELLS; t++) raw[t] = *(const uint4*)(x0 + s.cells[t]);
#pragma unroll CELLS ? CELLS : 1
    for (int t = 0; t < (CELLS ? CELLS : (int)s.taps); t++) {
        float here[V], v[V];
        unpack(CELLS ? raw[t] : *(const uint4*)(x0 + s.cells[t]), here, T{});
#pragma unroll
        for (int k = 0; k < V; k++) v[k] = (here[k] - of.mu[k]) * of.factor[k] + of.beta[k];
        if (ROUND) unpack(pack(v, T{}), v, T{});
#pragma unroll
        for (int k = 0; k < V; k++)
            // A NaN is larger than every number, and the first one stays.
            if (t == 0 || (!(v[k] <= best[k]) && best[k] == best[k])) best[k] = v[k], won[k] = t, x[k] = here[k];
    }
}

template <class T> struct ApplyPoolArgs {
    const T* x;
    T* y;
    const float *table, *scale, *shift; // scale and shift may be null
    Windows s;
    u32 relu, unused;
};

template <class T, int CELLS> DEVICE void apply_windows(const ApplyPoolArgs<T>& a, const Place& p) {
    constexpr int V = PACK<T>;
    Maps<V> of;
    read_maps(of, p.channel, a.table, a.scale, a.shift);
    each_window<T>(a.s, p, [&](u64 from, u64 to) {
        uint4 raw[CELLS ? CELLS : 1];
        float best[V], x[V];
        u32 won[V];
        maxima<T, CELLS, false, V>(a.x + from, a.s, of, raw, best, won, x);
#pragma unroll
        for (int k = 0; k < V; k++) best[k] = a.relu && best[k] < 0.f ? 0.f : best[k];
        *(uint4*)(a.y + to) = pack(best, T{});
    });
}
// y = max over each window of (x - mu) rho gamma + beta, or of what is above 0 of it
template <class T> DEVICE void apply_pool(const ApplyPoolArgs<T>& a) {
    const Place p = place<T>(a.s);
    if (a.s.taps == 4) apply_windows<T, 4>(a, p);
    else apply_windows<T, 0>(a, p);
}
KERNELS(256, apply_pool, ApplyPoolArgs)

template <class T> struct GradientPoolArgs {
    const T *x, *dy;
    T* dx;
    const float *table, *slopes, *scale, *shift; // slopes: null where statistics are constants; scale and shift may be null
    Windows s;
    u32 add, relu;
};

template <class T, int CELLS> DEVICE void gradient_windows(const GradientPoolArgs<T>& a, const Place& p) {
    constexpr int V = PACK<T>;
    Maps<V> of;
    read_maps(of, p.channel, a.table, a.scale, a.shift);
    float q[V], r[V];
#pragma unroll
    for (int k = 0; k < V; k++) {
        const Pair slope = a.slopes ? pair(a.slopes, p.channel + k) : Pair{0.f, 0.f};
        q[k] = slope.a, r[k] = slope.b;
    }
    each_window<T>(a.s, p, [&](u64 from, u64 of_dy) {
        uint4 raw[CELLS ? CELLS : 1];
        float best[V], dy[V], x[V];
        u32 won[V];
        unpack(*(const uint4*)(a.dy + of_dy), dy, T{});
        maxima<T, CELLS, true, V>(a.x + from, a.s, of, raw, best, won, x);
#pragma unroll CELLS ? CELLS : 1
        for (int t = 0; t < (CELLS ? CELLS : (int)a.s.taps); t++) {
            const u64 cell = from + a.s.cells[t];
            float off[V], dx[V];
            // Out of the first-level cache: kept in registers, they would halve the number of threads.
            unpack(*(const uint4*)(a.x + cell), off, T{});
            if (a.add) unpack(*(const uint4*)(a.dx + cell), dx, T{});
#pragma unroll
            for (int k = 0; k < V; k++) {
                off[k] -= of.mu[k];
                const float g = won[k] == (u32)t ? dy[k] * rectified(a.relu, off[k] * of.factor[k] + of.beta[k]) : 0.f;
                const float v = of.factor[k] * g - q[k] - off[k] * r[k];
                dx[k] = a.add ? dx[k] + v : v;
            }
            *(uint4*)(a.dx + cell) = pack(dx, T{});
        }
    });
}
// dx = rho gamma g - q - (x - mu) r with g = dy where the maximum came from, and 0 elsewhere
template <class T> DEVICE void gradient_pool(const GradientPoolArgs<T>& a) {
    const Place p = place<T>(a.s);
    if (a.s.taps == 4) gradient_windows<T, 4>(a, p);
    else gradient_windows<T, 0>(a, p);
}
// Two blocks on a multiprocessor, or too few loads would be under way.
KERNEL_BOUNDS(256, 2, gradient_pool_f32, GradientPoolArgs<float>) { gradient_pool<float>(a); }
KERNEL_BOUNDS(256, 2, gradient_pool_bf16, GradientPoolArgs<bf16>) { gradient_pool<bf16>(a); }
KERNEL_BOUNDS(256, 2, gradient_pool_f16, GradientPoolArgs<f16>) { gradient_pool<f16>(a); }

template <class T> struct ColumnsPoolArgs {
    const T *x, *dy;
    const float *table, *scale, *shift; // scale and shift may be null
    double* partial;                    // sum of g and of g xhat for each channel and chunk
    u32* arrived;                       // a counter for each 256 packs of channels
    ParametersArgs to;
    Windows s;
    u32 relu, unused;
};

// Adds up g and g (x - mu) of the maxima of a thread's windows.
template <class T, int CELLS> DEVICE void sum_windows(const ColumnsPoolArgs<T>& a, const Place& p, double* first, double* second) {
    constexpr int V = PACK<T>;
    Maps<V> of;
    read_maps(of, p.channel, a.table, a.scale, a.shift);
    each_window<T>(a.s, p, [&](u64 from, u64 of_dy) {
        uint4 raw[CELLS ? CELLS : 1];
        float best[V], dy[V], x[V];
        u32 won[V];
        unpack(*(const uint4*)(a.dy + of_dy), dy, T{});
        maxima<T, CELLS, true, V>(a.x + from, a.s, of, raw, best, won, x);
#pragma unroll
        for (int k = 0; k < V; k++) {
            const float off = x[k] - of.mu[k];
            const float g = dy[k] * rectified(a.relu, off * of.factor[k] + of.beta[k]);
            first[k] += g, second[k] += (double)g * off;
        }
    });
}
// dgamma, dbeta and the slopes: sums over chunks of windows, which the last block to come puts together.
template <class T> DEVICE void columns_pool(const ColumnsPoolArgs<T>& a) {
    constexpr int V = PACK<T>;
    __shared__ double scratch[512 * V];
    const Place p = place<T>(a.s);
    const u32 group = blockIdx.y * 256;
    double first[V] = {}, second[V] = {};
    if (a.s.taps == 4) sum_windows<T, 4>(a, p, first, second);
    else sum_windows<T, 0>(a, p, first, second);
    slot_sums<V>(p.at, first, second, scratch, [&](u32 q, double g, double gx) {
        const u64 channel = group * V + q, i = channel * gridDim.x + blockIdx.x;
        a.partial[2 * i] = g, a.partial[2 * i + 1] = gx * pair(a.table, channel).b;
    });
    if (!last_to_arrive(a.arrived + blockIdx.y, gridDim.x)) return;
    for (u32 j = group * V + threadIdx.x / 32; j < (group + p.at.lanes) * V; j += 8) parameter(a.to, j);
}
KERNELS(256, columns_pool, ColumnsPoolArgs)
