// Normalisation, the sums behind the gradient. See norm.cuh.
#include "norm.cuh"

template <class T> struct SumsArgs {
    const T *x, *dy;
    const float *table, *scale, *shift; // scale and shift may be null
    double* partial;                    // two sums for each set and chunk
    u32* arrived;                       // a counter for each unit and tile of sets
    float* slopes;
    Sets s;
    u32 per_scale, relu;
};

// The sums of set q of a block's part, and behind the last chunk the slopes.
template <class T> DEVICE void leave_sums(const SumsArgs<T>& a, const Part& b, u32 q, double g, double gx) {
    const u64 i = (u64)b.unit * a.s.sets + b.first + q;
    if (a.s.chunks == 1) return slope(a.slopes, a.table, i, (double)a.s.positions * a.s.channels, g, gx);
    a.partial[2 * (i * a.s.chunks + b.chunk)] = g;
    a.partial[2 * (i * a.s.chunks + b.chunk) + 1] = gx;
}
template <class T> DEVICE void finish_sums(const SumsArgs<T>& a, const Part& b) {
    if (a.s.chunks == 1 || !last_to_arrive(a.arrived + (u64)b.unit * gridDim.y + blockIdx.y, a.s.chunks)) return;
    for (u32 q = threadIdx.x / 32; q < b.sets; q += 8) {
        u64 i = (u64)b.unit * a.s.sets + b.first + q;
        Sums s = add_pairs(a.partial + 2 * i * a.s.chunks, a.s.chunks);
        if (threadIdx.x % 32 == 0) slope(a.slopes, a.table, i, (double)a.s.positions * a.s.channels, s.a, s.b);
    }
}

// Sums of g and of g xhat for the sets of each sample within a chunk, and the slopes: the last block to come adds the chunks.
template <class T> DEVICE void sums(const SumsArgs<T>& a) {
    __shared__ double scratch[512];
    Part b = part(a.s);
    const T *x = a.x + b.offset, *dy = a.dy + b.offset;
    u64 set = (u64)b.unit * a.s.sets + b.first + b.k / a.s.channels;
    Pair t = pair(a.table, set);
    // One gamma for each channel, or one for each set, which a thread does not leave.
    u32 step = a.per_scale == 1, own = step ? b.first * a.s.channels : b.first + b.k / a.s.channels;
    double first = 0, second = 0;
    while (b.p < b.n) {
        float g[TILE], h[TILE], one = 0, two = 0;
#pragma unroll
        for (u32 j = 0; j < TILE; j++) {
            bool in = b.p < b.n;
            u32 i = b.p * a.s.c + b.k;
            float off = in ? load(x, i) - t.a : 0.f, gamma = in && a.scale ? a.scale[own + step * b.k] : 1.f;
            float beta = in && a.relu && a.shift ? a.shift[own + step * b.k] : 0.f;
            g[j] = in ? load(dy, i) * rectified(a.relu, off * (t.b * gamma) + beta) * gamma : 0.f;
            h[j] = off * t.b;
            advance(b);
        }
#pragma unroll
        for (u32 j = 0; j < TILE; j++) one += g[j], two += g[j] * h[j];
        first += one, second += two;
    }
    set_sums(b.at, b.sets, first, second, scratch, [&](u32 q, double g, double gx) { leave_sums(a, b, q, g, gx); });
    finish_sums(a, b);
}
KERNELS(256, sums, SumsArgs)

// Two blocks on a multiprocessor keep enough loads under way. Before Turing the compiler needs more registers than that leaves.
#if defined(KAMACITE_EMULATED) || __CUDA_ARCH__ >= 750
#define BLOCKS 2
#else
#define BLOCKS 1
#endif
#define TWICE(name, Args)                                                                                                \
    KERNEL_BOUNDS(256, BLOCKS, name##_f32, Args<float>) { name<float>(a); }                                              \
    KERNEL_BOUNDS(256, BLOCKS, name##_bf16, Args<bf16>) { name<bf16>(a); }                                               \
    KERNEL_BOUNDS(256, BLOCKS, name##_f16, Args<f16>) { name<f16>(a); }

// The sums of g and of g xhat for V neighbouring channels over positions p, p + side .. below n, U of which are under way at once. g is dy,
// or WEIGHTED gamma dy. here(p, of) makes `of` what holds at position p.
template <class T, u32 U, bool WEIGHTED, class Here>
DEVICE void add_up(const T* x, const T* dy, u32 c, u32 p, u32 n, u32 side, u32 relu, Channels<PACK<T>>& of, Here here, double (&first)[PACK<T>], double (&second)[PACK<T>]) {
    constexpr u32 V = PACK<T>;
    for (; p < n; p += U * side) {
        uint4 raw_x[U] = {}, raw_dy[U] = {};
        float one[V] = {}, two[V] = {};
#pragma unroll
        for (u32 j = 0; j < U; j++)
            if (p + j * side < n) {
                raw_x[j] = *(const uint4*)(x + (p + j * side) * c);
                raw_dy[j] = *(const uint4*)(dy + (p + j * side) * c);
            }
#pragma unroll
        for (u32 j = 0; j < U; j++) {
            if (p + j * side >= n) continue;
            float off[V], g[V];
            unpack(raw_x[j], off, T{}), unpack(raw_dy[j], g, T{});
            here(p + j * side, of);
#pragma unroll
            for (u32 k = 0; k < V; k++) {
                off[k] -= of.mu[k];
                g[k] *= rectified(relu, off[k] * (of.rho[k] * of.gamma[k]) + of.beta[k]);
                if (WEIGHTED) g[k] *= of.gamma[k];
                one[k] += g[k], two[k] += g[k] * (off[k] * of.rho[k]);
            }
        }
#pragma unroll
        for (u32 k = 0; k < V; k++) first[k] += one[k], second[k] += two[k];
    }
}

// The same by 16 bytes: a thread takes V neighbouring channels, of one set or of V.
template <class T> DEVICE void sums_wide(const SumsArgs<T>& a) {
    constexpr u32 V = PACK<T>;
    __shared__ double scratch[512 * V];
    const Part b = part<V>(a.s);
    const u32 channel = b.first * a.s.channels + b.k * V;
    Sweep s = {};
    s.channels = a.s.channels, s.per_scale = a.per_scale;
    Channels<V> of(s, channel, a.scale, a.relu ? a.shift : nullptr);
    of.read(a.table, nullptr, (u64)b.unit * a.s.sets);
    double first[V] = {}, second[V] = {}, one = 0, two = 0;
    const u64 from = b.offset + b.k * V;
    add_up<T, 4, true>(a.x + from, a.dy + from, a.s.c, b.p, b.n, b.at.side, a.relu, of, [](u32, Channels<V>&) {}, first, second);
#pragma unroll
    for (u32 k = 0; k < V; k++) one += first[k], two += second[k];
    auto leave = [&](u32 q, double g, double gx) { leave_sums(a, b, q, g, gx); };
    if (a.s.channels == 1) slot_sums<V>(b.at, first, second, scratch, leave);
    else set_sums(b.at, b.sets, one, two, scratch, leave);
    finish_sums(a, b);
}
TWICE(sums_wide, SumsArgs)

// A warp for each element.
KERNEL(256, parameters, ParametersArgs) {
    for (u64 j = (u64)blockIdx.x * 8 + threadIdx.x / 32; j < a.count; j += (u64)gridDim.x * 8) parameter(a, j);
}

template <class T> struct ColumnsArgs {
    const T *x, *dy;
    const float *table, *scale, *shift; // scale and shift may be null
    double* partial; // sum of dy and of dy xhat for each active channel and chunk
    u32* arrived;    // a counter for each 256 channels, or null: `parameters` follows
    ParametersArgs to;
    Sweep s;
    u32 relu, unused;
};

// Sums of dy and of dy xhat for each channel over a chunk of all rows' positions. Where each channel has parameters of its own, the
// last block to come makes their gradients.
template <class T> DEVICE void columns(const ColumnsArgs<T>& a) {
    __shared__ double scratch[512];
    Column b = column(a.s, a.s.active);
    u32 own = b.channel / a.s.per_scale;
    float gamma = b.p < b.n && a.scale ? a.scale[own] : 1.f, beta = b.p < b.n && a.shift ? a.shift[own] : 0.f;
    double first = 0, second = 0;
    for (u32 p = b.p; p < b.n;) {
        float g[TILE], h[TILE], one = 0, two = 0;
#pragma unroll
        for (u32 j = 0; j < TILE; j++, p += b.at.side) {
            bool in = p < b.n;
            u64 i = b.offset + p * a.s.c;
            Pair t = in ? pair(a.table, entry(a.s, b, p)) : Pair{0.f, 0.f};
            float off = in ? load(a.x, i) - t.a : 0.f;
            g[j] = in ? load(a.dy, i) * rectified(a.relu, off * (t.b * gamma) + beta) : 0.f;
            h[j] = off * t.b;
        }
#pragma unroll
        for (u32 j = 0; j < TILE; j++) one += g[j], two += g[j] * h[j];
        first += one, second += two;
    }
    set_sums(b.at, b.at.lanes, first, second, scratch, [&](u32 q, double g, double gx) {
        u64 i = (u64)(blockIdx.y * 256 + q) * gridDim.x + blockIdx.x;
        a.partial[2 * i] = g, a.partial[2 * i + 1] = gx;
    });
    if (!a.arrived || !last_to_arrive(a.arrived + blockIdx.y, gridDim.x)) return;
    for (u32 j = blockIdx.y * 256 + threadIdx.x / 32; j < blockIdx.y * 256 + b.at.lanes; j += 8) parameter(a.to, j);
}
KERNELS(256, columns, ColumnsArgs)

// The same by 16 bytes; blockIdx.y counts groups of 32 packs.
template <class T> DEVICE void columns_wide(const ColumnsArgs<T>& a) {
    constexpr u32 V = PACK<T>;
    __shared__ double scratch[512 * V];
    const Sweep& s = a.s;
    const u32 packs = s.c / V, start = blockIdx.y * 32;
    const Stand at = stand(packs - start < 32 ? packs - start : 32);
    const u64 begin = (u64)blockIdx.x * s.chunk, left = s.positions - begin, row = s.row_sets ? begin / s.area.d : 0;
    const u32 n = left < s.chunk ? (u32)left : s.chunk, channel = (start + at.lane) * V, in_row = (u32)(begin - row * s.area.d);
    Channels<V> of(s, channel, a.scale, a.relu ? a.shift : nullptr);
    double first[V] = {}, second[V] = {};
    const u64 from = begin * s.c + channel;
    const u32 p = at.place < at.side ? at.place : n;
    if (s.row_sets) {
        auto here = [&](u32 p, Channels<V>& of) { of.read(a.table, nullptr, (row + quotient(in_row + p, s.area)) * s.row_sets); };
        add_up<T, 2, false>(a.x + from, a.dy + from, s.c, p, n, at.side, a.relu, of, here, first, second);
    } else {
        of.read(a.table, nullptr, 0);
        add_up<T, 4, false>(a.x + from, a.dy + from, s.c, p, n, at.side, a.relu, of, [](u32, Channels<V>&) {}, first, second);
    }
    slot_sums<V>(at, first, second, scratch, [&](u32 q, double g, double gx) {
        const u64 i = (u64)(start * V + q) * gridDim.x + blockIdx.x;
        a.partial[2 * i] = g, a.partial[2 * i + 1] = gx;
    });
    if (!a.arrived || !last_to_arrive(a.arrived + blockIdx.y, gridDim.x)) return;
    for (u32 j = start * V + threadIdx.x / 32; j < (start + at.lanes) * V; j += 8) parameter(a.to, j);
}
TWICE(columns_wide, ColumnsArgs)
