// Matrix products without tensor cores: each thread sums a square of C in registers, in float whatever the type stored.
//
// Tiles of A and B pass through shared memory as BK rows of BM and BN values, two of each: while the products of one pair
// run, registers collect the next. The host may define GEMM_F32, GEMM_BF16 or GEMM_F16 to have one type compiled only.
#include "gemm.cuh"

#if !defined(GEMM_F32) && !defined(GEMM_BF16) && !defined(GEMM_F16)
#define GEMM_F32
#define GEMM_BF16
#define GEMM_F16
#endif

const u32 THREADS = 256;

// Up to four neighbours, zeros behind them.
template <class T> DEVICE float4 fetch4(const T* p, u32 valid, bool aligned) {
    if (valid >= 4 && aligned) return load4(p);
    float4 v = {0.f, 0.f, 0.f, 0.f};
    if (valid > 0) v.x = load(p, 0);
    if (valid > 1) v.y = load(p, 1);
    if (valid > 2) v.z = load(p, 2);
    if (valid > 3) v.w = load(p, 3);
    return v;
}

// How a thread brings its part of one operand's tiles to shared memory. ROWS counts along m or n; in memory, neighbours lie
// along k (ALONG_K) or along m or n.
template <class T, bool ALONG_K, int ROWS, int BK> struct Loader {
    static constexpr int LD = ROWS + 4;
    static constexpr int ACROSS = ALONG_K ? BK / 4 : ROWS / 4; // quads that lie together
    static constexpr int QUADS = ROWS * BK / 4 / THREADS;
    static constexpr int STEP = THREADS / ACROSS; // rows as stored, from quad to quad of a thread

    const T* p;
    u32 ld, row, end, k, k_end;
    bool aligned;
    float4 v[QUADS];

    // From row `first` (below `end`) and product k on.
    DEVICE Loader(const T* data, u32 ld, u32 first, u32 end, u32 k, u32 k_end, bool aligned)
        : ld(ld), end(end), k_end(k_end), aligned(aligned) {
        u32 line = threadIdx.x / ACROSS, place = threadIdx.x % ACROSS * 4;
        row = first + (ALONG_K ? line : place);
        this->k = k + (ALONG_K ? place : line);
        p = data + (ALONG_K ? (u64)row * ld + this->k : (u64)this->k * ld + row);
    }
    DEVICE void fetch() {
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
            u32 valid = ALONG_K ? (row + q * STEP < end ? left(k_end, k) : 0) : (k + q * STEP < k_end ? left(end, row) : 0);
            v[q] = fetch4(p + (u64)(q * STEP) * ld, valid, aligned);
        }
        p += ALONG_K ? BK : (u64)BK * ld, k += BK;
    }
    DEVICE void put(float* tile) const {
        u32 line = threadIdx.x / ACROSS, place = threadIdx.x % ACROSS * 4;
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
            if (ALONG_K) {
                float* to = tile + place * LD + line + q * STEP;
                to[0] = v[q].x, to[LD] = v[q].y, to[2 * LD] = v[q].z, to[3 * LD] = v[q].w;
            } else {
                store4(tile + (line + q * STEP) * LD + place, v[q]);
            }
        }
    }
};

// A thread's S values along one side of the tile, as groups of V neighbours spread over it.
template <int S> struct Side {
    static constexpr int V = S < 4 ? S : 4;
    static constexpr int GROUPS = S / V;
};
template <int S, int ROWS> DEVICE void take(float* v, const float* line, u32 at) {
    constexpr int V = Side<S>::V, GROUPS = Side<S>::GROUPS;
#pragma unroll
    for (int g = 0; g < GROUPS; g++) {
        const float* from = line + g * (ROWS / GROUPS) + at * V;
        if (V == 4) {
            float4 q = load4(from);
            v[g * V] = q.x, v[g * V + 1] = q.y, v[g * V + 2] = q.z, v[g * V + 3] = q.w;
        } else {
            float2 q = *(const float2*)from;
            v[0] = q.x, v[1] = q.y;
        }
    }
}

// Each thread has S x S sums, and there are 16 x 16 threads: a tile of B x B.
template <class T, Stored L, int S, int BK> DEVICE void gemm(const GemmArgs& a) {
    constexpr int B = 16 * S, V = Side<S>::V, GROUPS = Side<S>::GROUPS;
    using LoaderA = Loader<T, L != TN, B, BK>;
    using LoaderB = Loader<T, L == NT, B, BK>;
    constexpr int LD = B + 4, TILE = BK * LD;
    static_assert(B / GROUPS * LD <= 4 * TILE, "a group of rows fits where the tiles were");
    __shared__ float4 memory[TILE];
    float* shared = (float*)memory;

    Corner at = corner<B, B>(a);
    u32 k = blockIdx.z * a.split, k_end = min(a.k, k + a.split);
    LoaderA from_a((const T*)a.a, a.lda, at.i, a.m, k, k_end, a.aligned & ALIGNED_A);
    LoaderB from_b((const T*)a.b, a.ldb, at.j, a.n, k, k_end, a.aligned & ALIGNED_B);

    // A warp covers 4 x 8 threads, so that what it reads of a row of either tile is one line of 128 bytes at most.
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    u32 ty = warp / 2 * 4 + lane / 8, tx = warp % 2 * 8 + lane % 8;
    float sum[S][S] = {};

    from_a.fetch(), from_b.fetch();
    from_a.put(shared), from_b.put(shared + 2 * TILE);
    __syncthreads();
    for (u32 now = 0; k < k_end; k += BK, now ^= 1) {
        bool more = k + BK < k_end;
        if (more) from_a.fetch(), from_b.fetch();
        const float *tile_a = shared + now * TILE, *tile_b = shared + (2 + now) * TILE;
#pragma unroll
        for (int p = 0; p < BK; p++) {
            float x[S], y[S];
            take<S, B>(x, tile_a + p * LD, ty);
            take<S, B>(y, tile_b + p * LD, tx);
#pragma unroll
            for (int i = 0; i < S; i++)
#pragma unroll
                for (int j = 0; j < S; j++) sum[i][j] = fmaf(x[i], y[j], sum[i][j]);
        }
        if (more) from_a.put(shared + (now ^ 1) * TILE), from_b.put(shared + (3 - now) * TILE);
        __syncthreads();
    }

    // Through shared memory, so that a warp writes whole rows and one loop holds the activation.
#pragma unroll
    for (int g = 0; g < GROUPS; g++) {
        if (g) __syncthreads();
#pragma unroll
        for (int i = 0; i < V; i++)
#pragma unroll
            for (int j = 0; j < S; j++) shared[(ty * V + i) * LD + j / V * (B / GROUPS) + tx * V + j % V] = sum[g * V + i][j];
        __syncthreads();
#pragma unroll 1
        for (u32 q = threadIdx.x; q < B / GROUPS * B / 4; q += THREADS) {
            u32 row = q / (B / 4), i = at.i + g * (B / GROUPS) + row, j = q % (B / 4) * 4;
            if (i < a.m && at.j + j < a.n) deliver<T>(a, blockIdx.z, i, at.j + j, load4(shared + row * LD + j));
        }
    }
}

#define GEMM(layout, suffix, STORED, T)                                                                                  \
    KERNEL_BOUNDS(256, 2, gemm_##layout##_128_##suffix, GemmArgs) { gemm<T, STORED, 8, 16>(a); }                         \
    KERNEL_BOUNDS(256, 2, gemm_##layout##_64_##suffix, GemmArgs) { gemm<T, STORED, 4, 16>(a); }                          \
    KERNEL_BOUNDS(256, 2, gemm_##layout##_32_##suffix, GemmArgs) { gemm<T, STORED, 2, 32>(a); }
#define GEMMS(suffix, T)                                                                                                 \
    GEMM(nn, suffix, NN, T)                                                                                              \
    GEMM(nt, suffix, NT, T)                                                                                              \
    GEMM(tn, suffix, TN, T)                                                                                              \
    KERNEL(256, gemm_sum_##suffix, GemmArgs) { gemm_sum<T>(a); }
#ifdef GEMM_F32
GEMMS(f32, float)
#endif
#ifdef GEMM_BF16
GEMMS(bf16, bf16)
#endif
#ifdef GEMM_F16
GEMMS(f16, f16)
#endif
