// c = a b' (b 64 x k by rows, bf16) by clusters: each block has 64 rows of a, and brings its share of each tile of b to all
// blocks of the cluster. The product leaves by TMA in two halves through one piece of shared memory.
// Planted: 1 a consumer releases the stage in its own block only, 2 the other blocks' bytes are not expected, 3 a block
// returns before the others are done with it, 4 the second half overwrites the first before it is read, 5 no cluster barrier
// behind the initialisation, 6 static shared memory, 7 a barrier there, 8 arrives at the cluster's barrier twice,
// 9 waits there without.
#include "faults.cuh"
#ifndef PLANTED
#define PLANTED 0
#endif

struct alignas(64) Map { unsigned char bytes[128]; };
struct ClusterArgs {
    Map a, b, c;
    u32 k, unused;
    u64 more[7];
};

static u64 descriptor(const void* p) {
    return (u64)(emulator::shared_address(p) >> 4) | (u64)1 << 16 | (u64)(1024 >> 4) << 32 | (u64)1 << 62;
}

struct alignas(1024) Stage { u16 a[64 * 64], b[64 * 64]; };
constexpr u32 STAGES = 2;
struct Shared {
    Stage stages[STAGES];
    float out[64 * 32];
    u64 full[STAGES], empty[STAGES];
};

static void produce(const ClusterArgs& a, Shared& s, u32 blocks, u32 rank) {
    u32 stage = 0, phase = 0, share = 64 / blocks;
    for (u32 k = 0; k < a.k; k += 64) {
        emulator::mbarrier_wait(&s.empty[stage], phase ^ 1);
        Stage& to = s.stages[stage];
        emulator::mbarrier_arrive(&s.full[stage], sizeof to.a + (PLANTED == 2 ? sizeof to.b / blocks : sizeof to.b));
        emulator::tma_load_2d(to.a, &a.a, &s.full[stage], (int)k, (int)blockIdx.x * 64);
        int at[2] = {(int)k, (int)(blockIdx.y * 64 + rank * share)};
        emulator::tma_load_multicast(to.b + rank * share * 64, &a.b, &s.full[stage], (1 << blocks) - 1, at, 2);
        if (++stage == STAGES) stage = 0, phase ^= 1;
    }
}

static void consume(const ClusterArgs& a, Shared& s, u32 blocks, u32 t) {
    float d[8][4] = {};
    u32 stage = 0, phase = 0;
    for (u32 k = 0; k < a.k; k += 64) {
        emulator::mbarrier_wait(&s.full[stage], phase);
        const Stage& from = s.stages[stage];
        for (u32 i = 0; i < 64; i += 16)
            emulator::wgmma(&d[0][0], 64, descriptor(from.a + i), descriptor(from.b + i), emulator::PRODUCT_BF16);
        emulator::wgmma_commit();
        emulator::wgmma_wait(0);
        emulator::barrier(1, 128, true, __LINE__);
        for (u32 c = 0; t == 0 && c < blocks; c++)
            if (PLANTED != 1 || c == emulator::cluster_rank()) emulator::mbarrier_arrive_cluster(&s.empty[stage], c);
        if (++stage == STAGES) stage = 0, phase ^= 1;
    }
    for (u32 half = 0; half < 2; half++) {
        u32 row = t / 32 * 16 + t % 32 / 4, column = t % 4 * 2;
        for (u32 j = 0; j < 4; j++)
            for (u32 e = 0; e < 4; e++) s.out[(row + e / 2 * 8) * 32 + column + j * 8 + e % 2] = d[half * 4 + j][e];
        emulator::barrier(1, 128, true, __LINE__);
        if (t == 0) {
            int at[2] = {(int)(blockIdx.y * 64 + half * 32), (int)blockIdx.x * 64};
            emulator::tma_store(&a.c, s.out, at, 2);
            emulator::tma_store_commit();
            if (PLANTED != 4) emulator::tma_store_wait_read(0);
        }
        emulator::barrier(1, 128, true, __LINE__);
    }
}

KERNEL(256, cluster, ClusterArgs) {
    SHARED(Shared, s);
    alignas(8) __shared__ u64 fixed;
    u32 blocks = emulator::cluster_size(), rank = emulator::cluster_rank(), t = threadIdx.x % 128;
    if (rank != blockIdx.x % blocks) __trap();
    if (PLANTED == 6 && threadIdx.x == 0) *(volatile u64*)&fixed = 1;
    if (PLANTED == 7 && threadIdx.x == 0) emulator::mbarrier_init(&fixed, 1);
    if (threadIdx.x == 0)
        for (u32 i = 0; i < STAGES; i++) emulator::mbarrier_init(&s->full[i], 1), emulator::mbarrier_init(&s->empty[i], blocks);
    __syncthreads();
    if (PLANTED != 5 && PLANTED != 9) emulator::cluster_arrive();
    if (PLANTED == 8) emulator::cluster_arrive();
    if (PLANTED != 5) emulator::cluster_wait();
    if (PLANTED == 3 && rank == blocks - 1) return;
    if (threadIdx.x >= 128) consume(a, *s, blocks, t);
    else if (t == 0) produce(a, *s, blocks, rank);
    emulator::cluster_arrive();
    emulator::cluster_wait();
}
