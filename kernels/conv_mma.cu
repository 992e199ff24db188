// Convolution on tensor cores: the implicit products of conv.cu with the channels and filters of a group a multiple of 8.
// bf16, f16, tf32, and three tf32 products that come close to f32. sm_80 and later.
//
// Tiles of 128 x BN, 64 bytes deep, arrive by asynchronous copies three stages ahead; what meets no input arrives as zeros.
// A tile with k innermost ("inner") has rows of 80 bytes, one with k outermost ("outer") rows of BM or BN elements and a
// pad, so that fragments are read without bank conflicts.
//
// The host may define CONV_BF16, CONV_F16, CONV_TF32 or CONV_TF32X3 to have one precision compiled only, and CONV_MOMENTS_BF16 .. to have
// those forward passes only that also find the mean and the variance of their results.
#include "conv.cuh"
#include "mma.cuh"
#include "moments.cuh"

#if !defined(CONV_BF16) && !defined(CONV_F16) && !defined(CONV_TF32) && !defined(CONV_TF32X3) && !defined(CONV_MOMENTS_BF16) && !defined(CONV_MOMENTS_F16) && !defined(CONV_MOMENTS_TF32) && !defined(CONV_MOMENTS_TF32X3)
#define CONV_MOMENTS_BF16
#define CONV_MOMENTS_F16
#define CONV_MOMENTS_TF32
#define CONV_MOMENTS_TF32X3
#define CONV_BF16
#define CONV_F16
#define CONV_TF32
#define CONV_TF32X3
#endif

constexpr int BM = 128, STAGES = 3, INNER = 80;
template <class E> struct Of {
    static constexpr int STEP = 64 / sizeof(E), CHUNK = 16 / sizeof(E); // elements of a stage's depth and of one copy
    static DEVICE constexpr int pitch(int width) { return width * (int)sizeof(E) + (sizeof(E) == 2 ? 16 : 32); }
};

// Registers of a 16-row fragment of A, or of two 8-column fragments of B, from an outer tile of f32, which ldmatrix cannot
// turn round: rows t, t+4 and columns g, g+8; `b` exchanges the middle two.
DEVICE void turn(u32* r, const char* tile, int pitch, bool b) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const float* low = (const float*)(tile + t * pitch) + g;
    const float* high = (const float*)(tile + (t + 4) * pitch) + g;
    r[0] = __float_as_uint(low[0]), r[3] = __float_as_uint(high[8]);
    r[b ? 2 : 1] = __float_as_uint(low[8]), r[b ? 1 : 2] = __float_as_uint(high[0]);
}

// A fragment: 16 rows from `row` on, 32 bytes of k from 32·half on.
template <class E, bool OUTER> DEVICE void read_a(u32* r, const char* tile, int row, int half) {
    const int l = threadIdx.x % 32;
    constexpr int pitch = Of<E>::pitch(BM), depth = Of<E>::STEP / 2;
    if constexpr (!OUTER)
        load_matrices(r, shared_address(tile + (row + l % 16) * INNER + half * 32 + l / 16 * 16));
    else if constexpr (sizeof(E) == 2)
        load_matrices_transposed(r, shared_address(tile + (half * depth + l % 8 + l / 16 * 8) * pitch + (row + l / 8 % 2 * 8) * 2));
    else
        turn(r, tile + half * depth * pitch + row * 4, pitch, false);
}

// Two B fragments: 16 columns.
template <class E, int BN, bool OUTER> DEVICE void read_b(u32* r, const char* tile, int column, int half) {
    const int l = threadIdx.x % 32;
    constexpr int pitch = Of<E>::pitch(BN), depth = Of<E>::STEP / 2;
    if constexpr (!OUTER)
        load_matrices(r, shared_address(tile + (column + l % 8 + l / 16 * 8) * INNER + half * 32 + l / 8 % 2 * 16));
    else if constexpr (sizeof(E) == 2)
        load_matrices_transposed(r, shared_address(tile + (half * depth + l % 16) * pitch + (column + l / 16 * 8) * 2));
    else
        turn(r, tile + half * depth * pitch + column * 4, pitch, true);
}

// f32 bits to tf32, and what that loses.
DEVICE void split(const u32* v, u32* big, u32* small, int n) {
#pragma unroll
    for (int i = 0; i < n; i++) {
        const float f = __uint_as_float(v[i]);
        big[i] = to_tf32(f);
        small[i] = to_tf32(f - __uint_as_float(big[i]));
    }
}

template <int BN> constexpr int WARP_ROWS = BN == 128 ? 64 : 32; // of 8 warps with 32 columns each

// acc += the product of one stage.
template <class E, int BN, bool SPLIT, bool A_OUTER, bool B_OUTER> DEVICE void multiply(const char* a_tile, const char* b_tile, float (*acc)[4][4]) {
    constexpr int ROWS = WARP_ROWS<BN>;
    const int warp = threadIdx.x / 32, row = warp / (BN / 32) * ROWS, column = warp % (BN / 32) * 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        u32 b[8], b_small[8];
        read_b<E, BN, B_OUTER>(b, b_tile, column, half);
        read_b<E, BN, B_OUTER>(b + 4, b_tile, column + 16, half);
        if constexpr (sizeof(E) == 4) split(b, b, b_small, 8);
#pragma unroll
        for (int i = 0; i < ROWS / 16; i++) {
            u32 a[4], a_small[4];
            read_a<E, A_OUTER>(a, a_tile, row + i * 16, half);
            if constexpr (sizeof(E) == 4) split(a, a, a_small, 4);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                if constexpr (SPLIT) {
                    mma<E>(acc[i][j], a_small, b[2 * j], b[2 * j + 1]);
                    mma<E>(acc[i][j], a, b_small[2 * j], b_small[2 * j + 1]);
                }
                mma<E>(acc[i][j], a, b[2 * j], b[2 * j + 1]);
            }
        }
    }
}

// Puts the results of rows 64·band.. into `stage` [64][BN + 4].
template <int BN> DEVICE void lay_out(const float (*acc)[4][4], int band, float* stage) {
    constexpr int ROWS = WARP_ROWS<BN>;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, row = warp / (BN / 32) * ROWS, column = warp % (BN / 32) * 32;
    if (row / 64 != band) return;
#pragma unroll
    for (int i = 0; i < ROWS / 16; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float* to = stage + (row % 64 + i * 16 + lane / 4) * (BN + 4) + column + j * 8 + lane % 4 * 2;
            to[0] = acc[i][j][0], to[1] = acc[i][j][1];
            to += 8 * (BN + 4);
            to[0] = acc[i][j][2], to[1] = acc[i][j][3];
        }
}

// The stages of a product: `table` prepares a step's addresses, `copy` begins its copies to a stage, `use` consumes it.
template <class Table, class Copy, class Use> DEVICE void pipeline(u32 steps, Table table, Copy copy, Use use) {
    table(0), table(1), table(2);
    __syncthreads();
#pragma unroll
    for (u32 step = 0; step < STAGES - 1; step++) {
        if (step < steps) copy(step, step);
        copy_commit();
    }
    u32 stage = 0;
    for (u32 step = 0; step < steps; step++) {
        copy_wait<STAGES - 2>();
        __syncthreads();
        table(step + STAGES);
        if (step + STAGES - 1 < steps) copy(step + STAGES - 1, (stage + STAGES - 1) % STAGES);
        copy_commit();
        use(stage);
        stage = (stage + 1) % STAGES;
    }
    copy_wait<0>();
}

// As MomentsArgs in op/conv_args.rs. One part, linear.
template <class E> struct MomentsArgs {
    ConvArgs<E, E> c;
    Bands b;
};

// The moments of the 64 results of each column in `stage`, [64][BN + 4] values as stored: a warp takes 8 columns, then 8 further on.
template <class E, int BN> DEVICE void stage_moments(const Bands& b, const float* stage, u32 band, u32 column, u32 columns) {
    typedef typename MomentOf<E>::Type Kept;
    const u32 n = band + 1 == b.bands ? last_band(b) : BAND;
#pragma unroll 1
    for (u32 j = threadIdx.x / 32 * 8 + threadIdx.x % 8; j < BN; j += 64) {
        Kept m[1];
        band_moments(n, [&](u32 row, float* v) { v[0] = stage[row * (BN + 4) + j]; }, m);
        if (threadIdx.x % 32 < 8 && j < columns) ((Kept*)b.parts)[(u64)band * b.c + column + j] = m[0];
    }
}

// The results of a tile from `acc`, with their moments. `to` says where they lie.
template <class E, int BN> DEVICE void finish_with_moments(const ConvArgs<E, E>& a, const Bands& m, const float (*acc)[4][4], const u64* to, float* stage, const Block& b) {
    const u32 tid = threadIdx.x, column = b.group * a.g.columns + b.n * BN, columns = min((u32)BN, a.g.columns - b.n * BN);
    for (u32 half = 0; half < BM / 64; half++) {
        __syncthreads();
        lay_out<BN>(acc, half, stage);
        __syncthreads();
        const u32 band = b.m * (BM / 64) + half;
        if (band >= m.bands) break;
#pragma unroll 1
        for (u32 i = tid; i < 64 * BN / 4; i += 256) {
            const u32 row = i / (BN / 4), j = i % (BN / 4) * 4;
            const u64 at = to[half * 64 + row];
            if (at == NOWHERE || j >= columns) continue;
            float* const v = stage + row * (BN + 4) + j;
#pragma unroll
            for (u32 k = 0; k < 4; k++) v[k] = to_float(of_float<E>(v[k] + (a.bias ? a.bias[column + j + k] : 0.f)));
            store4(a.y + (at + column + j), load4(v));
        }
        __syncthreads();
        stage_moments<E, BN>(m, stage, band, column, columns);
    }
    if (!m.arrived || !last_to_arrive(m.arrived + b.group * a.n_tiles + b.n, (m.bands + 1) / 2)) return;
    put_bands_together<256, E>(m, column, columns, tid, (double*)stage, [] { __syncthreads(); });
}

// y = gather(x, w). FLIP: the weights' columns lie apart and their channels together (the data gradient). `moments`: where these go, or
// null.
template <class E, int BN, bool SPLIT, bool FLIP, bool MOMENTS> DEVICE void conv_mma(const ConvArgs<E, E>& a, const Bands* moments) {
    constexpr int STEP = Of<E>::STEP, CHUNK = Of<E>::CHUNK, PITCH = Of<E>::pitch(BN);
    constexpr int A_BYTES = BM * INNER, BYTES = A_BYTES + (FLIP ? BN * INNER : STEP * PITCH);
    SHARED(char, memory);
    __shared__ Anchor anchors[BM];
    __shared__ u64 to[BM];
    __shared__ Tap taps[4][4];
    __shared__ u32 weight[4][4];
    const Gather& g = a.g;
    const Block b = block_of(blockIdx.x, a.n_tiles, a.m_tiles, g.groups);
    const Part& p = g.part[b.part];
    const u64 first = (u64)b.m * BM;
    if (first >= (u64)g.rows * p.area.d) return;
    const u32 tid = threadIdx.x, sample = (u32)(first / p.area.d), start = (u32)(first - (u64)sample * p.area.d);
    if (tid < BM) anchors[tid] = locate(g, p, sample, start + tid, to[tid]);
    __syncthreads();
    const Anchor q[2] = {anchors[tid / 4], anchors[tid / 4 + 64]};
    const E* const x[2] = {a.x + q[0].n * length(g.x), a.x + q[1].n * length(g.x)};
    auto table = [&](u32 step) {
        if (tid < 4) taps[step % 4][tid] = tap_of(g, p, b.group, step * STEP + tid * CHUNK, weight[step % 4][tid]);
    };
    auto copy = [&](u32 step, u32 stage) {
        char* const at = memory + stage * BYTES;
        const Tap t = taps[step % 4][tid % 4];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            u32 from;
            const bool on = meets(g.x, q[i], t, from);
            copy_async<16>(shared_address(at + (tid / 4 + i * 64) * INNER + tid % 4 * 16), on ? x[i] + from : a.x, on ? 16 : 0);
        }
#pragma unroll
        for (int i = 0; i < BN / 64; i++) {
            const u32 e = tid + i * 256, across = BN / CHUNK, k = FLIP ? e % 4 * CHUNK : e / across;
            const u32 n = b.n * BN + (FLIP ? e / 4 : e % across * CHUNK), w = weight[step % 4][k / CHUNK];
            const bool on = w != ~0u && n < g.columns;
            const E* from = a.w + (on ? w + k % CHUNK * g.w_channel + n * g.w_column : 0);
            const u32 place = FLIP ? e / 4 * INNER + e % 4 * 16 : k * PITCH + e % across * 16;
            copy_async<16>(shared_address(at + A_BYTES + place), from, on ? 16 : 0);
        }
    };
    float acc[WARP_ROWS<BN> / 16][4][4] = {};
    auto use = [&](u32 stage) {
        const char* at = memory + stage * BYTES;
        multiply<E, BN, SPLIT, false, !FLIP>(at, at + A_BYTES, acc);
    };
    pipeline((p.all * g.channels.d + STEP - 1) / STEP, table, copy, use);
    float* const stage = (float*)memory;
    if constexpr (MOMENTS) finish_with_moments<E, BN>(a, *moments, acc, to, stage, b);
    const u32 cells = FLIP ? 0 : cells_of(g);
    for (int band = 0; !MOMENTS && band < BM / 64; band++) {
        __syncthreads();
        lay_out<BN>(acc, band, stage);
        __syncthreads();
#pragma unroll 1
        for (u32 i = tid; i < (64 >> cells) * BN / 4; i += 256) {
            const u32 row = i / (BN / 4) << cells, column = i % (BN / 4) * 4, n = b.n * BN + column;
            const u64 at = to[band * 64 + row];
            const float* const sums = stage + row * (BN + 4) + column;
            if (at == NOWHERE || n >= g.columns) continue;
            if (!FLIP && cells) finish_window4(a, at, b.group * g.columns + n, sums, BN + 4);
            else finish4(a, at, b.group * g.columns + n, load4(sums));
        }
    }
}

// dw over the outputs of a chunk, in tiles of 128 rows (tap, channel).
template <class E, int BN, bool SPLIT> DEVICE void conv_mma_weights(const WeightArgs<E>& a) {
    constexpr int STEP = Of<E>::STEP, CHUNK = Of<E>::CHUNK, A_PITCH = Of<E>::pitch(BM), B_PITCH = Of<E>::pitch(BN);
    constexpr int A_BYTES = STEP * A_PITCH, BYTES = A_BYTES + STEP * B_PITCH, CHUNKS = BM / CHUNK;
    SHARED(char, memory);
    __shared__ Tap taps[CHUNKS];
    __shared__ u32 weight[CHUNKS];
    __shared__ Anchor anchors[4][STEP];
    __shared__ u64 outputs[4][STEP];
    const Gather& g = a.g;
    Block b = block_of(blockIdx.x, a.n_tiles, a.m_tiles, g.groups);
    const u32 chunk = b.part % a.chunks;
    b.part /= a.chunks;
    const Part& p = g.part[b.part];
    if (b.m * BM >= p.all * g.channels.d) return;
    const u32 tid = threadIdx.x;
    if (tid < CHUNKS) taps[tid] = tap_of(g, p, b.group, b.m * BM + tid * CHUNK, weight[tid]);
    __syncthreads();
    const Tap t = taps[tid % CHUNKS];
    const u64 first = (u64)chunk * a.length, total = (u64)g.rows * p.area.d;
    const u32 count = first < total ? (u32)(total - first < a.length ? total - first : a.length) : 0;
    const u32 sample = (u32)(first / p.area.d), start = (u32)(first - (u64)sample * p.area.d);
    auto table = [&](u32 step) {
        if (tid >= STEP) return;
        const u32 k = step * STEP + tid;
        anchors[step % 4][tid] = {NO_ANCHOR, 0, 0, 0};
        outputs[step % 4][tid] = NOWHERE;
        if (k < count) anchors[step % 4][tid] = locate(g, p, sample, start + k, outputs[step % 4][tid]);
    };
    auto copy = [&](u32 step, u32 stage) {
        char* const at = memory + stage * BYTES;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const u32 k = (tid + i * 256) / CHUNKS;
            const Anchor q = anchors[step % 4][k];
            u32 from;
            const bool on = meets(g.x, q, t, from);
            copy_async<16>(shared_address(at + k * A_PITCH + tid % CHUNKS * 16), on ? a.x + (q.n * length(g.x) + from) : a.x, on ? 16 : 0);
        }
#pragma unroll
        for (int i = 0; i < BN / 64; i++) {
            const u32 e = tid + i * 256, k = e / (BN / CHUNK), n = b.n * BN + e % (BN / CHUNK) * CHUNK;
            const u64 from = outputs[step % 4][k];
            const bool on = from != NOWHERE && n < g.columns;
            copy_async<16>(shared_address(at + A_BYTES + k * B_PITCH + e % (BN / CHUNK) * 16), on ? a.dy + (from + b.group * g.columns + n) : a.dy, on ? 16 : 0);
        }
    };
    float acc[WARP_ROWS<BN> / 16][4][4] = {};
    auto use = [&](u32 stage) {
        const char* at = memory + stage * BYTES;
        multiply<E, BN, SPLIT, true, true>(at, at + A_BYTES, acc);
    };
    pipeline((count + STEP - 1) / STEP, table, copy, use);
    float* const stage = (float*)memory;
    float* const dw = a.dw + chunk * a.weights;
    for (int band = 0; band < BM / 64; band++) {
        __syncthreads();
        lay_out<BN>(acc, band, stage);
        __syncthreads();
        for (u32 i = tid; i < 64 * BN; i += 256) {
            const u32 row = i / BN, m = band * 64 + row, n = b.n * BN + i % BN, w = weight[m / CHUNK];
            if (w != ~0u && n < g.columns) put(dw, w + m % CHUNK * g.w_channel + n, stage[row * (BN + 4) + i % BN], a.add);
        }
    }
}

// Two blocks on a multiprocessor hide each other's waits; the three products of tf32x3 need the registers of both.
#define CONV(name, E, SPLIT)                                                                                             \
    KERNEL_BOUNDS(256, SPLIT ? 1 : 2, conv_##name##_128, ConvArgs<E, E>) { conv_mma<E, 128, SPLIT, false, false>(a, nullptr); }          \
    KERNEL_BOUNDS(256, 2, conv_##name##_64, ConvArgs<E, E>) { conv_mma<E, 64, SPLIT, false, false>(a, nullptr); }                        \
    KERNEL_BOUNDS(256, SPLIT ? 1 : 2, conv_flip_##name##_128, ConvArgs<E, E>) { conv_mma<E, 128, SPLIT, true, false>(a, nullptr); }      \
    KERNEL_BOUNDS(256, 2, conv_flip_##name##_64, ConvArgs<E, E>) { conv_mma<E, 64, SPLIT, true, false>(a, nullptr); }                    \
    KERNEL_BOUNDS(256, SPLIT ? 1 : 2, conv_weights_##name##_128, WeightArgs<E>) { conv_mma_weights<E, 128, SPLIT>(a); }  \
    KERNEL_BOUNDS(256, 2, conv_weights_##name##_64, WeightArgs<E>) { conv_mma_weights<E, 64, SPLIT>(a); }
#define MOMENTS(name, E, SPLIT)                                                                                          \
    KERNEL_BOUNDS(256, SPLIT ? 1 : 2, conv_moments_##name##_128, MomentsArgs<E>) { conv_mma<E, 128, SPLIT, false, true>(a.c, &a.b); } \
    KERNEL_BOUNDS(256, 2, conv_moments_##name##_64, MomentsArgs<E>) { conv_mma<E, 64, SPLIT, false, true>(a.c, &a.b); }
#if MMA_ALL
#ifdef CONV_MOMENTS_BF16
MOMENTS(bf16, bf16, false)
#endif
#ifdef CONV_MOMENTS_F16
MOMENTS(f16, f16, false)
#endif
#ifdef CONV_MOMENTS_TF32
MOMENTS(tf32, float, false)
#endif
#ifdef CONV_MOMENTS_TF32X3
MOMENTS(tf32x3, float, true)
#endif
#ifdef CONV_BF16
CONV(bf16, bf16, false)
#endif
#ifdef CONV_F16
CONV(f16, f16, false)
#endif
#ifdef CONV_TF32
CONV(tf32, float, false)
#endif
#ifdef CONV_TF32X3
CONV(tf32x3, float, true)
#endif
#endif
