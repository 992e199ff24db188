// c = a b' (64 x 64 tiles, b 64 x k by rows, bf16) with TMA and wgmma: a producer warpgroup, a consumer warpgroup, two stages.
// Planted: 1 the producer does not wait for an empty stage, 2 the consumer does not wait for a full one, 3 nor for its
// products, 4 a named barrier is one warp short, 5 the barriers are not initialised.
#include "faults.cuh"
#ifndef PLANTED
#define PLANTED 0
#endif

struct alignas(64) Map { unsigned char bytes[128]; };
struct HopperArgs {
    Map a, b;
    float* c;
    u32 k, unused;
    u64 more[6];
};

static u64 descriptor(const void* p) {
    return (u64)(emulator::shared_address(p) >> 4) | (u64)1 << 16 | (u64)(1024 >> 4) << 32 | (u64)1 << 62;
}

KERNEL(256, hopper, HopperArgs) {
    constexpr u32 STAGES = 2, TILE = 64 * 64;
    SHARED(u16, tiles);
    alignas(8) __shared__ u64 full[STAGES], empty[STAGES];
    if (threadIdx.x == 0 && PLANTED != 5)
        for (u32 s = 0; s < STAGES; s++) emulator::mbarrier_init(&full[s], 1), emulator::mbarrier_init(&empty[s], 1);
    __syncthreads();
    u32 stage = 0, phase = 0, t = threadIdx.x % 128;
    if (threadIdx.x < 128) {
        for (u32 k = 0; t == 0 && k < a.k; k += 64) {
            if (PLANTED != 1) emulator::mbarrier_wait(&empty[stage], phase ^ 1);
            u16* to = tiles + stage * 2 * TILE;
            emulator::mbarrier_arrive(&full[stage], 2 * TILE * 2);
            emulator::tma_load_2d(to, &a.a, &full[stage], (int)k, (int)blockIdx.y * 64);
            emulator::tma_load_2d(to + TILE, &a.b, &full[stage], (int)k, (int)blockIdx.x * 64);
            if (++stage == STAGES) stage = 0, phase ^= 1;
        }
        return;
    }
    float d[8][4] = {};
    for (u32 k = 0; k < a.k; k += 64) {
        if (PLANTED != 2) emulator::mbarrier_wait(&full[stage], phase);
        const u16* from = tiles + stage * 2 * TILE;
        for (u32 i = 0; i < 64; i += 16)
            emulator::wgmma(&d[0][0], 64, descriptor(from + i), descriptor(from + TILE + i), emulator::PRODUCT_BF16);
        emulator::wgmma_commit();
        if (PLANTED != 3) emulator::wgmma_wait(0);
        emulator::barrier(1, PLANTED == 4 ? 160 : 128, true, __LINE__);
        if (t == 0) emulator::mbarrier_arrive(&empty[stage]);
        if (++stage == STAGES) stage = 0, phase ^= 1;
    }
    u32 row = blockIdx.y * 64 + t / 32 * 16 + t % 32 / 4, column = blockIdx.x * 64 + t % 4 * 2;
    for (u32 j = 0; j < 8; j++)
        for (u32 e = 0; e < 4; e++) a.c[(row + e / 2 * 8) * gridDim.x * 64 + column + j * 8 + e % 2] = d[j][e];
}
