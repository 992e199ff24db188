// Convolution without tensor cores, for any geometry: as a product of matrices that are gathered on the way to shared
// memory (`conv_gather`, `conv_weights`). Few channels and small groups have kernels of their own in conv_direct.cu.
//
// The left matrix has a row for each output p and a column for each weight row k = (tap, channel); it is never stored.
// Tables in shared memory say where its rows and columns lie, so that an element costs a few additions.
//
// The host may define CONV_F32, CONV_BF16 or CONV_F16 to have one type compiled only.
#include "conv.cuh"

#if !defined(CONV_F32) && !defined(CONV_BF16) && !defined(CONV_F16)
#define CONV_F32
#define CONV_BF16
#define CONV_F16
#endif

constexpr int BK = 16; // depth of a tile

// acc += the product of BK columns of a and b. A thread has 4 rows in each of RM bands, and 4 columns.
template <int BM, int BN, int RM> DEVICE void multiply(const float (*a)[BM + 4], const float (*b)[BN + 4], float (*acc)[4]) {
    const u32 column = threadIdx.x % (BN / 4) * 4, row = threadIdx.x / (BN / 4) * 4;
#pragma unroll
    for (int k = 0; k < BK; k++) {
        const float4 r = *(const float4*)&b[k][column];
#pragma unroll
        for (int h = 0; h < RM; h++) {
            const float4 l = *(const float4*)&a[k][row + h * (BM / RM)];
            const float left[4] = {l.x, l.y, l.z, l.w}, right[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) acc[h * 4 + i][j] = fmaf(left[i], right[j], acc[h * 4 + i][j]);
        }
    }
}

// Puts a thread's results of band h into `stage` [BM / RM][BN].
template <int BN> DEVICE void lay_out(const float (*acc)[4], int h, float* stage) {
    const u32 column = threadIdx.x % (BN / 4) * 4, row = threadIdx.x / (BN / 4) * 4;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float* v = acc[h * 4 + i];
        *(float4*)(stage + (row + i) * BN + column) = make_float4(v[0], v[1], v[2], v[3]);
    }
}

// V neighbouring channels of the left matrix; zeros where the tap meets no input.
template <int V, class T> DEVICE void fetch(const T* x, const Extent& e, const Anchor& q, const Tap& t, float* out) {
    u32 at;
    const bool on = meets(e, q, t, at);
    const T* from = x + (q.n * length(e) + at);
    if constexpr (V == 4) {
        const float4 v = on ? load4(from) : make_float4(0.f, 0.f, 0.f, 0.f);
        out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
    } else {
        out[0] = on ? to_float(*from) : 0.f;
    }
}

// y = gather(x, w) in tiles of BM outputs and BN columns; V = 4 where the channels of a group are a multiple of 4.
template <class T, int BM, int BN, int RM, int V> DEVICE void conv_gather(const ConvArgs<T, float>& a) {
    constexpr int THREADS = BM / (4 * RM) * (BN / 4), CHUNKS = BK / V, ROWS = THREADS / CHUNKS;
    constexpr int NA = BM / ROWS, NB = BK * BN / THREADS;
    alignas(16) __shared__ float left[2][BK][BM + 4];
    alignas(16) __shared__ float right[2][BK][BN + 4];
    __shared__ Anchor anchors[BM];
    __shared__ u64 to[BM];
    __shared__ Tap taps[3][CHUNKS];
    __shared__ u32 weight[3][CHUNKS];
    const Gather& g = a.g;
    const Block b = block_of(blockIdx.x, a.n_tiles, a.m_tiles, g.groups);
    const Part& p = g.part[b.part];
    const u64 first = (u64)b.m * BM;
    if (first >= (u64)g.rows * p.area.d) return;
    const u32 tid = threadIdx.x, sample = (u32)(first / p.area.d), start = (u32)(first - (u64)sample * p.area.d);
    for (u32 i = tid; i < BM; i += THREADS) anchors[i] = locate(g, p, sample, start + i, to[i]);
    auto table = [&](u32 step) {
        if (tid < CHUNKS) taps[step % 3][tid] = tap_of(g, p, b.group, step * BK + tid * V, weight[step % 3][tid]);
    };
    const u32 chunk = tid % CHUNKS, row = tid / CHUNKS;
    // Neighbouring threads take neighbouring weights.
    const bool across = g.w_column == 1;
    const u32 bk = across ? tid / BN : tid % BK, bn = across ? tid % BN : tid / BK;
    const u32 bk_step = across ? THREADS / BN : 0, bn_step = across ? 0 : THREADS / BK;
    float next_a[NA][V], next_b[NB];
    auto prefetch = [&](u32 step) {
        const Tap t = taps[step % 3][chunk];
#pragma unroll
        for (int i = 0; i < NA; i++) fetch<V>(a.x, g.x, anchors[row + i * ROWS], t, next_a[i]);
#pragma unroll
        for (int i = 0; i < NB; i++) {
            const u32 k = bk + i * bk_step, n = b.n * BN + bn + i * bn_step, w = weight[step % 3][k / V];
            next_b[i] = w != ~0u && n < g.columns ? a.w[w + k % V * g.w_channel + n * g.w_column] : 0.f;
        }
    };
    auto keep = [&](u32 step) {
#pragma unroll
        for (int i = 0; i < NA; i++)
#pragma unroll
            for (int v = 0; v < V; v++) left[step % 2][chunk * V + v][row + i * ROWS] = next_a[i][v];
#pragma unroll
        for (int i = 0; i < NB; i++) right[step % 2][bk + i * bk_step][bn + i * bn_step] = next_b[i];
    };
    const u32 steps = (p.all * g.channels.d + BK - 1) / BK;
    table(0), table(1);
    __syncthreads();
    prefetch(0), keep(0);
    float acc[RM * 4][4] = {};
    for (u32 step = 0; step < steps; step++) {
        __syncthreads();
        table(step + 2);
        if (step + 1 < steps) prefetch(step + 1);
        multiply<BM, BN, RM>(left[step % 2], right[step % 2], acc);
        if (step + 1 < steps) keep(step + 1);
    }
    // By way of shared memory, so that neighbouring threads write neighbours.
    float* const stage = &left[0][0][0];
#pragma unroll
    for (int h = 0; h < RM; h++) {
        __syncthreads();
        lay_out<BN>(acc, h, stage);
        __syncthreads();
#pragma unroll 1
        for (u32 i = tid; i < BM / RM * BN; i += THREADS) {
            const u64 at = to[h * (BM / RM) + i / BN];
            const u32 n = b.n * BN + i % BN;
            if (at != NOWHERE && n < g.columns) finish(a, at, b.group * g.columns + n, stage[i]);
        }
    }
}

// dw in tiles of BM rows (tap, channel) and BN filters, summed over the outputs of a chunk.
template <class T, int BM, int BN, int RM, int V> DEVICE void conv_weights(const WeightArgs<T>& a) {
    constexpr int THREADS = BM / (4 * RM) * (BN / 4), CHUNKS = BM / V;
    constexpr int NA = BK * BM / V / THREADS, NB = BK * BN / THREADS;
    static_assert(THREADS % CHUNKS == 0 || CHUNKS % THREADS == 0, "");
    alignas(16) __shared__ float left[2][BK][BM + 4];
    alignas(16) __shared__ float right[2][BK][BN + 4];
    __shared__ Tap taps[CHUNKS];
    __shared__ u32 weight[CHUNKS];
    __shared__ Anchor anchors[3][BK];
    __shared__ u64 from[3][BK];
    const Gather& g = a.g;
    Block b = block_of(blockIdx.x, a.n_tiles, a.m_tiles, g.groups);
    const u32 chunk = b.part % a.chunks;
    b.part /= a.chunks;
    const Part& p = g.part[b.part];
    if (b.m * BM >= p.all * g.channels.d) return;
    const u32 tid = threadIdx.x;
    for (u32 i = tid; i < CHUNKS; i += THREADS) taps[i] = tap_of(g, p, b.group, b.m * BM + i * V, weight[i]);
    const u64 first = (u64)chunk * a.length, total = (u64)g.rows * p.area.d;
    const u32 count = first < total ? (u32)(total - first < a.length ? total - first : a.length) : 0;
    const u32 sample = (u32)(first / p.area.d), start = (u32)(first - (u64)sample * p.area.d);
    auto table = [&](u32 step) {
        if (tid >= BK) return;
        const u32 k = step * BK + tid;
        anchors[step % 3][tid] = {NO_ANCHOR, 0, 0, 0};
        from[step % 3][tid] = NOWHERE;
        if (k < count) anchors[step % 3][tid] = locate(g, p, sample, start + k, from[step % 3][tid]);
    };
    float next_a[NA][V], next_b[NB];
    auto prefetch = [&](u32 step) {
#pragma unroll
        for (int i = 0; i < NA; i++) {
            const u32 at = tid + i * THREADS;
            fetch<V>(a.x, g.x, anchors[step % 3][at / CHUNKS], taps[at % CHUNKS], next_a[i]);
        }
#pragma unroll
        for (int i = 0; i < NB; i++) {
            const u32 at = tid + i * THREADS, n = b.n * BN + at % BN;
            const u64 y = from[step % 3][at / BN];
            next_b[i] = y != NOWHERE && n < g.columns ? load(a.dy, y + b.group * g.columns + n) : 0.f;
        }
    };
    auto keep = [&](u32 step) {
#pragma unroll
        for (int i = 0; i < NA; i++) {
            const u32 at = tid + i * THREADS;
#pragma unroll
            for (int v = 0; v < V; v++) left[step % 2][at / CHUNKS][at % CHUNKS * V + v] = next_a[i][v];
        }
#pragma unroll
        for (int i = 0; i < NB; i++) right[step % 2][(tid + i * THREADS) / BN][(tid + i * THREADS) % BN] = next_b[i];
    };
    const u32 steps = (count + BK - 1) / BK;
    float acc[RM * 4][4] = {};
    table(0), table(1);
    __syncthreads();
    if (steps) prefetch(0), keep(0);
    for (u32 step = 0; step < steps; step++) {
        __syncthreads();
        table(step + 2);
        if (step + 1 < steps) prefetch(step + 1);
        multiply<BM, BN, RM>(left[step % 2], right[step % 2], acc);
        if (step + 1 < steps) keep(step + 1);
    }
    float* const stage = &left[0][0][0];
    float* const dw = a.dw + chunk * a.weights;
#pragma unroll
    for (int h = 0; h < RM; h++) {
        __syncthreads();
        lay_out<BN>(acc, h, stage);
        __syncthreads();
        for (u32 i = tid; i < BM / RM * BN; i += THREADS) {
            const u32 m = h * (BM / RM) + i / BN, n = b.n * BN + i % BN, w = weight[m / V];
            if (w != ~0u && n < g.columns) put(dw, w + m % V * g.w_channel + n, stage[i], a.add);
        }
    }
}

#define PRODUCTS(suffix, T)                                                                                              \
    KERNEL(256, conv_wide_##suffix, ConvArgs<T, float>) { conv_gather<T, 128, 64, 2, 1>(a); }                            \
    KERNEL(256, conv_wide4_##suffix, ConvArgs<T, float>) { conv_gather<T, 128, 64, 2, 4>(a); }                           \
    KERNEL(256, conv_narrow_##suffix, ConvArgs<T, float>) { conv_gather<T, 256, 16, 1, 1>(a); }                          \
    KERNEL(256, conv_narrow4_##suffix, ConvArgs<T, float>) { conv_gather<T, 256, 16, 1, 4>(a); }                         \
    KERNEL(256, conv_weights_wide_##suffix, WeightArgs<T>) { conv_weights<T, 128, 64, 2, 1>(a); }                        \
    KERNEL(256, conv_weights_wide4_##suffix, WeightArgs<T>) { conv_weights<T, 128, 64, 2, 4>(a); }                       \
    KERNEL(128, conv_weights_narrow_##suffix, WeightArgs<T>) { conv_weights<T, 128, 16, 1, 1>(a); }                      \
    KERNEL(128, conv_weights_narrow4_##suffix, WeightArgs<T>) { conv_weights<T, 128, 16, 1, 4>(a); }
#ifdef CONV_F32
PRODUCTS(f32, float)
#endif
#ifdef CONV_BF16
PRODUCTS(bf16, bf16)
#endif
#ifdef CONV_F16
PRODUCTS(f16, f16)
#endif
