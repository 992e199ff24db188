// What the families of matrix products share: arguments, the order of tiles, the way of results to memory.
//
// C (m x n) = act(alpha A B + bias), or C += .. with `add`. A is stored as m rows of k (N) or k rows of m (T), B as k rows of
// n (N) or n rows of k (T); the name of a kernel says which: nn, nt, tn.
//
// Where C has few tiles and k is large, k is split into parts: each leaves its sums in `work`, and gemm_sum adds
// them in order. The parts follow from the sizes alone, so the bits do too.
#pragma once
#include "activation.cuh"

// As GemmArgs in op/gemm_cuda.rs. T is the type in the name of the kernel.
struct GemmArgs {
    const void* a;     // T
    const void* b;     // T
    void* c;           // T, or float with `wide`
    void* z;           // what the activation was applied to, in the type of C; or null
    const float* bias; // n values, or null
    float* work;       // `splits` times m x n sums, or null: no split
    u32 m, n, k;
    u32 lda, ldb, ldc; // elements from row to row as stored; that of z is ldc
    u32 split;         // products in each part of k: a multiple of 32 (sm_90a: 64) below k, or at least k
    u32 splits;        // parts of k
    u32 add, wide;
    float alpha;
    u32 aligned; // bits: rows of A, of B, of C (and z) begin at multiples of 16 bytes
    Activation act;
};
enum { ALIGNED_A = 1, ALIGNED_B = 2, ALIGNED_C = 4 };

// Where this block's tile begins. Blocks walk through bands of BAND tile rows column by column, so that those at work at the
// same time share rows of A and columns of B in the L2 cache.
struct Corner { u32 i, j; };
template <u32 BM, u32 BN> DEVICE Corner corner(const GemmArgs& a) {
    const u32 BAND = 8;
    u32 rows = (a.m + BM - 1) / BM, columns = (a.n + BN - 1) / BN;
    u32 first = blockIdx.x / (BAND * columns) * BAND, within = blockIdx.x % (BAND * columns);
    u32 height = min(rows - first, BAND);
    return {(first + within % height) * BM, within / height * BN};
}

// The first `width` of four values to c; `together` if all four fit and c is aligned.
template <class C> DEVICE void put4(C* c, float4 v, u32 width, bool together, u32 add) {
    if (together) {
        if (add) {
            float4 old = load4(c);
            v.x += old.x, v.y += old.y, v.z += old.z, v.w += old.w;
        }
        store4(c, v);
        return;
    }
    put(c, 0, v.x, add);
    if (width > 1) put(c, 1, v.y, add);
    if (width > 2) put(c, 2, v.z, add);
    if (width > 3) put(c, 3, v.w, add);
}
template <class T> DEVICE void put4(const GemmArgs& a, void* c, u64 at, float4 v, u32 width, u32 add) {
    bool together = width == 4 && (a.aligned & ALIGNED_C);
    if (a.wide) put4((float*)c + at, v, width, together, add);
    else put4((T*)c + at, v, width, together, add);
}

// Takes sums of products (i, j..j+3) to C.
template <class T> DEVICE void finish(const GemmArgs& a, u32 i, u32 j, float4 v) {
    u32 width = min(a.n - j, 4u);
    u64 at = (u64)i * a.ldc + j;
    v.x *= a.alpha, v.y *= a.alpha, v.z *= a.alpha, v.w *= a.alpha;
    if (a.bias) {
        v.x += a.bias[j];
        if (width > 1) v.y += a.bias[j + 1];
        if (width > 2) v.z += a.bias[j + 2];
        if (width > 3) v.w += a.bias[j + 3];
    }
    if (a.z) put4<T>(a, a.z, at, v, width, 0);
    if (a.act.kind != LINEAR) {
        // The values rotate through one copy of the long text of `activate`.
#pragma unroll 1
        for (u32 q = 0; q < 4; q++) {
            float y = activate(a.act, v.x);
            v.x = v.y, v.y = v.z, v.z = v.w, v.w = y;
        }
    }
    put4<T>(a, a.c, at, v, width, a.add);
}

// Takes them to C, or to the sums of this part of k.
template <class T> DEVICE void deliver(const GemmArgs& a, u32 part, u32 i, u32 j, float4 v) {
    if (!a.work) return finish<T>(a, i, j, v);
    u32 width = min(a.n - j, 4u);
    put4(a.work + ((u64)part * a.m + i) * a.n + j, v, width, width == 4 && a.n % 4 == 0, 0);
}

// The sums of all parts, in order.
template <class T> DEVICE void gemm_sum(const GemmArgs& a) {
    u32 quads = (a.n + 3) / 4;
    for (GRID(q, (u64)a.m * quads)) {
        // A split product is small: its sums are numbered with 32 bits.
        u32 i = (u32)q / quads, j = (u32)q % quads * 4;
        const float* work = a.work + (u64)i * a.n + j;
        float4 sum = {0.f, 0.f, 0.f, 0.f};
        for (u32 s = 0; s < a.splits; s++, work += (u64)a.m * a.n) {
            if (a.n % 4 == 0) {
                float4 v = load4(work);
                sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
                continue;
            }
            sum.x += work[0];
            if (j + 1 < a.n) sum.y += work[1];
            if (j + 2 < a.n) sum.z += work[2];
            if (j + 3 < a.n) sum.w += work[3];
        }
        finish<T>(a, i, j, sum);
    }
}

enum Stored { NN, NT, TN };
