// Matrix products of bf16 and f16 on sm_90a: tiles by the copy engine, products by warpgroups, sums in f32.
//
// As many blocks as the GPU holds walk through the tiles of C. Two blocks of a cluster take neighbouring tiles of a column and
// bring half of B each, for both. The host may define GEMM_NN_BF16 .. GEMM_TN_F16 to have the kernels of one layout and type only.
#include "gemm.cuh"
#include "gemm_sm90.cuh"
#if HOPPER

#if !defined(GEMM_NN_BF16) && !defined(GEMM_NT_BF16) && !defined(GEMM_TN_BF16) && !defined(GEMM_NN_F16) && !defined(GEMM_NT_F16) && !defined(GEMM_TN_F16)
#define GEMM_NN_BF16
#define GEMM_NT_BF16
#define GEMM_TN_BF16
#define GEMM_NN_F16
#define GEMM_NT_F16
#define GEMM_TN_F16
#endif

// As HopperArgs in op/gemm_sm90.rs. Boxes: of A 64 products by BM rows (across k: 64 rows by 64 products), of B 64 products by
// BN / CLUSTER columns (across k: 64 by 64), of C 64 by 64.
struct HopperArgs {
    TensorMap a, b, c;
    GemmArgs g;
    u64 unused[2];
};

// What a block works on: a tile of C, and a part of k.
struct Work { u32 part, i, j; };
// Tiles run through bands of 2048 rows column by column, so that blocks at work at the same time share rows of A and columns of B in
// the L2 cache.
template <int BM, int BN, int CLUSTER> struct Order {
    static constexpr u32 BAND = 2048 / BM / CLUSTER;
    u32 rows, columns, tiles;
    DEVICE explicit Order(const GemmArgs& g)
        : rows((g.m + BM * CLUSTER - 1) / (BM * CLUSTER)), columns((g.n + BN - 1) / BN), tiles(rows * columns) {}
    DEVICE Work at(u32 item, u32 rank) const {
        u32 part = item / tiles, tile = item - part * tiles, first = tile / (BAND * columns) * BAND, within = tile % (BAND * columns);
        u32 height = min(rows - first, BAND);
        return {part, ((first + within % height) * CLUSTER + rank) * BM, within / height * BN};
    }
};

DEVICE u32 stages(const GemmArgs& g, u32 part) {
    u32 k = part * g.split, end = min(g.k, k + g.split);
    return (left(end, k) + DEPTH - 1) / DEPTH;
}

// Brings all tiles of one stage. One thread.
template <Stored L, int BM, int BN, int STAGES, int CLUSTER>
DEVICE void fetch(const HopperArgs& a, const Tiles<BM, BN, STAGES>& tiles, u32 stage, u32 rank, const Work& w, u32 k) {
    constexpr bool ACROSS_A = L == TN, ACROSS_B = L != NT;
    constexpr u32 SHARE = BN / CLUSTER; // of B's columns
    Barrier* const full = tiles.full(stage);
    arrive_expecting(full, Tiles<BM, BN, STAGES>::R::STAGE);
    if (ACROSS_A) {
#pragma unroll
        for (u32 x = 0; x < BM; x += 64) bring(tiles.a(stage) + x * ROW, a.a, full, (int)(w.i + x), (int)k);
    } else {
        bring(tiles.a(stage), a.a, full, (int)k, (int)w.i);
    }
#pragma unroll
    for (u32 x = rank * SHARE; x < rank * SHARE + SHARE; x += ACROSS_B ? 64 : SHARE) {
        const int column = (int)(w.j + x);
        char* const to = tiles.b(stage) + x * ROW;
        if (CLUSTER > 1) bring_to_all(to, a.b, full, (1 << CLUSTER) - 1, ACROSS_B ? column : (int)k, ACROSS_B ? (int)k : column);
        else bring(to, a.b, full, ACROSS_B ? column : (int)k, ACROSS_B ? (int)k : column);
    }
}

// Whether the copy engine can take the sums to C: 16 bits in aligned rows, no sum with what is there, no copy before the activation, an
// activation that is short. As GemmArgs::sent in op/gemm_cuda.rs.
DEVICE bool sendable(const GemmArgs& g) {
    return !g.work && !g.add && !g.wide && !g.z && (g.aligned & ALIGNED_C) && (g.act.kind == LINEAR || g.act.kind == RELU);
}

// The sums of a warpgroup, rows i.. and columns j.. of C, to where they belong.
template <class T, int N> DEVICE void finish_sums(const HopperArgs& a, float (*d)[4], char* staging, u32& sends, u32 group, const Work& w) {
    const GemmArgs& g = a.g;
    const u32 i = w.i + group * 64;
    if (sendable(g)) return send_sums<T, N>({g.m, g.n, g.bias, g.alpha, g.act.kind == RELU}, a.c, d, staging, sends, group, i, w.j);
    give_sums<N>(d, staging, group, left(g.n, w.j), [&](u32 r, u32 column, float4 v) {
        if (i + r < g.m && w.j + column < g.n) deliver<T>(g, w.part, i + r, w.j + column, v);
    });
}

template <class T, Stored L, int BM, int BN, int STAGES, int CLUSTER, int KEPT, int TAKEN> DEVICE void gemm_sm90(const HopperArgs& a) {
    using All = Tiles<BM, BN, STAGES>;
    SHARED(char, memory);
    const All tiles(memory);
    const Order<BM, BN, CLUSTER> order(a.g);
    const u32 rank = CLUSTER > 1 ? cluster_rank() : 0, items = order.tiles * a.g.splits, step = gridDim.x / CLUSTER;
    tiles.begin(1, CLUSTER);
    Ring<STAGES> ring;
    if (threadIdx.x < 128) {
        keep_registers<KEPT>();
        if (threadIdx.x == 0) {
            // A map that is not used is none.
            if (a.g.k) prefetch(a.a), prefetch(a.b);
            if (sendable(a.g)) prefetch(a.c);
            for (u32 item = blockIdx.x / CLUSTER; item < items; item += step) {
                const Work w = order.at(item, rank);
                u32 k = w.part * a.g.split;
                for (u32 left = stages(a.g, w.part); left; left--, k += DEPTH, ring.next()) {
                    wait(tiles.empty(ring.stage), ring.parity ^ 1);
                    fetch<L, BM, BN, STAGES, CLUSTER>(a, tiles, ring.stage, rank, w, k);
                }
            }
        }
        __syncwarp();
    } else {
        take_registers<TAKEN>();
        const u32 group = threadIdx.x / 128 - 1;
        u32 sends = 0;
        for (u32 item = blockIdx.x / CLUSTER; item < items; item += step) {
            const Work w = order.at(item, rank);
            float d[BN / 8][4] = {};
            sum_stages<T, BM, BN, STAGES, CLUSTER, false, L == TN, L != NT>(d, tiles, ring, stages(a.g, w.part), group, WholeB<L != NT>());
            finish_sums<T, BN>(a, d, tiles.staging(group), sends, group, w);
        }
        if (threadIdx.x % 128 == 0) sent<0>();
        __syncwarp();
    }
    // No block may leave while another one of its cluster still brings tiles to it or releases its stages.
    if (CLUSTER > 1) cluster_meet();
}

// Registers: 65536 for 384 threads; a kernel begins with 168 each.
#define GEMM(layout, STORED, suffix, T)                                                                                  \
    KERNEL(384, gemm_sm90_##layout##_128x256_##suffix, HopperArgs) { gemm_sm90<T, STORED, 128, 256, 4, 2, 40, 232>(a); } \
    KERNEL(384, gemm_sm90_##layout##_128x128_##suffix, HopperArgs) { gemm_sm90<T, STORED, 128, 128, 5, 1, 40, 232>(a); } \
    KERNEL_BOUNDS(256, 2, gemm_sm90_##layout##_64x128_##suffix, HopperArgs) { gemm_sm90<T, STORED, 64, 128, 3, 1, 40, 208>(a); } \
    KERNEL(256, gemm_sm90_##layout##_sum_##suffix, GemmArgs) { gemm_sum<T>(a); }
#ifdef GEMM_NN_BF16
GEMM(nn, NN, bf16, bf16)
#endif
#ifdef GEMM_NT_BF16
GEMM(nt, NT, bf16, bf16)
#endif
#ifdef GEMM_TN_BF16
GEMM(tn, TN, bf16, bf16)
#endif
#ifdef GEMM_NN_F16
GEMM(nn, NN, f16, f16)
#endif
#ifdef GEMM_NT_F16
GEMM(nt, NT, f16, f16)
#endif
#ifdef GEMM_TN_F16
GEMM(tn, TN, f16, f16)
#endif
#endif
