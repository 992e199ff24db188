// What products on sm_90a share: a ring of tiles in shared memory, the warpgroups that multiply them, the way of the sums to C.
//
// A block is one warpgroup that brings tiles (the producer) and BM/64 that multiply them, 64 rows each. A stage of the ring holds
// 64 products along k: BM rows of A, BN columns of B. `full` of a stage turns when its tiles have landed, `empty` when all warps have
// read them. The producer runs ahead, into the next tile of C too, while the others write their sums.
#pragma once
#include "hopper.cuh"
#if HOPPER

constexpr u32 DEPTH = 64, ROW = 128, BOX = DEPTH * ROW; // products of a stage, bytes of a row in shared memory, of 64 rows

// As Hopper in op/gemm_sm90.rs counts them.
template <int BM, int BN, int STAGES> struct Room {
    static constexpr u32 A = BM * ROW, B = BN * ROW, STAGE = A + B, GROUPS = BM / 64;
    static constexpr u32 STAGING = 17 * ATOM; // of a warpgroup: two boxes of 64 x 64 values of 16 bits, or 64 rows of 68 floats
    static constexpr u32 BARRIERS = STAGES * STAGE + GROUPS * STAGING, BYTES = BARRIERS + 2 * STAGES * 8;
};

// The stage in use and the parity of its phase.
template <int STAGES> struct Ring {
    u32 stage = 0, parity = 0;
    DEVICE void next() {
        if (++stage == STAGES) stage = 0, parity ^= 1;
    }
};

// The shared memory of a block.
template <int BM, int BN, int STAGES> struct Tiles {
    using R = Room<BM, BN, STAGES>;
    char* memory;
    DEVICE explicit Tiles(char* memory) : memory(memory) {}
    DEVICE char* a(u32 stage) const { return memory + stage * R::STAGE; }
    DEVICE char* b(u32 stage) const { return memory + stage * R::STAGE + R::A; }
    DEVICE char* staging(u32 group) const { return memory + STAGES * R::STAGE + group * R::STAGING; }
    DEVICE Barrier* full(u32 stage) const { return (Barrier*)(memory + R::BARRIERS) + stage; }
    DEVICE Barrier* empty(u32 stage) const { return (Barrier*)(memory + R::BARRIERS) + STAGES + stage; }

    // `producers` arrivals make a stage full, those of all warps that multiply, in all blocks of the cluster, make it empty.
    DEVICE void begin(u32 producers, u32 cluster) const {
        if (threadIdx.x == 0) {
            for (u32 s = 0; s < STAGES; s++) barrier_init(full(s), producers), barrier_init(empty(s), 4 * R::GROUPS * cluster);
            barrier_init_fence();
        }
        if (cluster > 1) cluster_meet();
        else __syncthreads();
    }
};

// The 64 products of a stage for the 64 rows at `a`. at_b(s) tells where step s of 16 products begins in B.
template <class T, int N, bool ACROSS_A, bool ACROSS_B, class AtB> DEVICE void multiply_stage(float (*d)[4], const char* a, AtB at_b) {
    const u64 from_a = ACROSS_A ? across_k(a, BOX) : along_k(a);
#pragma unroll
    for (u32 s = 0; s < DEPTH / 16; s++) product<T, N, ACROSS_A, ACROSS_B>(d, from_a + s * (ACROSS_A ? 16 * ROW : 32) / 16, at_b(s));
}

// d += the products of `steps` stages for warpgroup `group`. One group of products is under way while the next is issued, so a stage is
// given back one turn later.
// COPIED: threads, not the copy engine, brought A.
template <class T, int BM, int BN, int STAGES, int CLUSTER, bool COPIED, bool ACROSS_A, bool ACROSS_B, class OffsetB>
DEVICE void sum_stages(float (*d)[4], const Tiles<BM, BN, STAGES>& tiles, Ring<STAGES>& ring, u32 steps, u32 group, OffsetB offset_b) {
    const u32 lane = threadIdx.x % 32;
    auto release = [&](u32 stage) {
        if (CLUSTER == 1 && lane == 0) arrive(tiles.empty(stage));
        if (CLUSTER > 1 && lane < CLUSTER) arrive_at(tiles.empty(stage), lane);
    };
    u32 before = 0;
    for (u32 t = 0; t < steps; t++) {
        wait(tiles.full(ring.stage), ring.parity);
        if (COPIED) show_to_engines();
        const char* b = tiles.b(ring.stage);
        const u64 from_b = offset_b(b);
        products_begin();
        multiply_stage<T, BN, ACROSS_A, ACROSS_B>(d, tiles.a(ring.stage) + group * BOX, [&](u32 s) { return from_b + offset_b(s); });
        products_commit();
        products_wait<1>();
        if (t) release(before);
        before = ring.stage;
        ring.next();
    }
    products_wait<0>();
    if (steps) release(before);
}

// B as the copy engine brings it: rows of n along k, or boxes of 64 columns across k.
template <bool ACROSS> struct WholeB {
    DEVICE u64 operator()(const char* b) const { return ACROSS ? across_k(b, BOX) : along_k(b); }
    DEVICE u64 operator()(u32 s) const { return s * (ACROSS ? 16 * ROW : 32) / 16; }
};

// -------------------------------------------------------------------------------------------------------------- the sums

// Threads of a warpgroup wait for each other.
DEVICE void group_meet(u32 group) { meet(1 + group, 128); }

// What becomes of sums that the copy engine takes to C, an m x n matrix: relu or not of alpha d + bias.
struct Ends {
    u32 m, n;
    const float* bias; // n values, or null
    float alpha;
    bool relu;
};

// What is done with a box of 64 x 64 results while the copy engine takes it away, see send_sums: nothing.
struct NoLook {
    DEVICE void operator()(const char*, u32) const {}
};

// Rows i.. and columns j.. of C by the copy engine, 64 columns at a time, from one of two boxes in turn. look(box, column) may read a
// box, as stored.
template <class T, int N, class Look = NoLook>
DEVICE void send_sums(const Ends& end, const TensorMap& c, float (*d)[4], char* staging, u32& sends, u32 group, u32 i, u32 j, Look look = Look()) {
    // Kept, or the places of all values would be found before the products and lie in registers meanwhile.
    const u32 t = keep(threadIdx.x % 128), lane = t % 32, row = t / 32 * 16 + lane / 4, column = j + lane % 4 * 2, turn = row % 8 * 16;
#pragma unroll
    for (u32 q = 0; q < N / 64; q++) {
        if (i >= end.m || j + q * 64 >= end.n) continue;
        float bias[8][2] = {};
        if (end.bias) {
#pragma unroll
            for (u32 e = 0; e < 16; e++) bias[e / 2][e % 2] = end.bias[min(column + q * 64 + e / 2 * 8 + e % 2, end.n - 1)];
        }
        char* const box = staging + sends++ % 2 * BOX;
        if (t == 0) sent<1>();
        group_meet(group);
#pragma unroll
        for (u32 e = 0; e < 8; e++)
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                const float* v = d[q * 8 + e] + half * 2;
                float low = v[0] * end.alpha + bias[e][0], high = v[1] * end.alpha + bias[e][1];
                if (end.relu) low = low < 0.f ? 0.f : low, high = high < 0.f ? 0.f : high;
                *(u32*)(box + (row + half * 8) * ROW + (e * 16 ^ turn) + lane % 4 * 4) = narrow<T>(low, high);
            }
        show_to_engines();
        group_meet(group);
        if (t == 0) send(c, box, (int)(j + q * 64), (int)i);
        look(box, j + q * 64);
    }
}

constexpr u32 SUMS = 68; // floats of a row of the sums on any other way

// The sums through 64 x 64 floats to `give(row, column, address of four values)`, of every 2^`cells`-th row.
template <int N, class Give> DEVICE void give_rows(float (*d)[4], char* staging, u32 group, u32 columns, u32 cells, Give give) {
    const u32 t = keep(threadIdx.x % 128), lane = t % 32, row = t / 32 * 16 + lane / 4;
    float* const sums = (float*)staging;
#pragma unroll
    for (u32 q = 0; q < N / 64; q++) {
        if (q * 64 >= columns) continue;
        group_meet(group);
#pragma unroll
        for (u32 e = 0; e < 8; e++) {
            float* const to = sums + row * SUMS + e * 8 + lane % 4 * 2;
            *(float2*)to = {d[q * 8 + e][0], d[q * 8 + e][1]};
            *(float2*)(to + 8 * SUMS) = {d[q * 8 + e][2], d[q * 8 + e][3]};
        }
        group_meet(group);
#pragma unroll 1
        for (u32 x = t; x < (64 >> cells) * 16; x += 128) {
            const u32 r = x / 16 << cells, column = x % 16 * 4;
            give(r, q * 64 + column, sums + r * SUMS + column);
        }
    }
}

// All rows, to `give(row, column, four values)`.
template <int N, class Give> DEVICE void give_sums(float (*d)[4], char* staging, u32 group, u32 columns, Give give) {
    give_rows<N>(d, staging, group, columns, 0, [&](u32 r, u32 column, const float* v) { give(r, column, load4(v)); });
}

#endif
