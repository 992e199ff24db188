// Sums down the columns of a matrix in a fixed order: parts of the rows side by side, then the parts by the last block to come.
#pragma once
#include "prelude.cuh"

// Whether this block is the last of `blocks` to arrive here: it sees what the others wrote before. All threads must call. The
// counter is 0 at first, and again afterwards.
DEVICE bool last_to_arrive(u32* counter, u32 blocks) {
    __shared__ u32 before;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) before = atomicAdd(counter, 1u);
    __syncthreads();
    if (before != blocks - 1) return false;
    if (threadIdx.x == 0) *counter = 0;
    __threadfence();
    return true;
}

// As Columns in op/reduce.rs. Grid: (c / width rounded up, parts) blocks of 256 threads.
struct Columns {
    float* s;    // c sums
    float* work; // parts times c sums; unused if there is one part
    u32* arrived; // a counter for each block of columns
    u64 rows;
    u64 part;  // rows of a part
    u32 c;
    u32 width; // columns of a block, a power of 2 up to 64
    u32 parts;
    u32 add;
};

// The sum of value(i c + j, j) over rows i, for each column j.
template <class F> DEVICE void sum_columns(const Columns& a, F value) {
    __shared__ float sums[256];
    u32 lanes = 256 / a.width, x = threadIdx.x % a.width, y = threadIdx.x / a.width, j = blockIdx.x * a.width + x;
    u64 first = blockIdx.y * a.part, end = min(a.rows, first + a.part);
    float sum[4] = {0.f, 0.f, 0.f, 0.f};
    if (j < a.c) {
        u64 i = first + y;
        for (; i + 3 * lanes < end; i += 4 * lanes) {
            float v[4];
#pragma unroll
            for (u32 q = 0; q < 4; q++) v[q] = value((i + q * lanes) * a.c + j, j);
#pragma unroll
            for (u32 q = 0; q < 4; q++) sum[q] += v[q];
        }
        for (; i < end; i += lanes) sum[0] += value(i * a.c + j, j);
    }
    sums[threadIdx.x] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    __syncthreads();
    for (u32 half = lanes / 2; half; half /= 2) {
        if (y < half) sums[threadIdx.x] += sums[threadIdx.x + half * a.width];
        __syncthreads();
    }
    if (a.parts == 1) {
        if (y == 0 && j < a.c) put(a.s, j, sums[x], a.add);
        return;
    }
    if (y == 0 && j < a.c) a.work[(u64)blockIdx.y * a.c + j] = sums[x];
    if (!last_to_arrive(a.arrived + blockIdx.x, a.parts)) return;
    // In double: there may be hundreds.
    __shared__ double totals[256];
    double total = 0;
#pragma unroll 8
    for (u32 p = y; j < a.c && p < a.parts; p += lanes) total += a.work[(u64)p * a.c + j];
    totals[threadIdx.x] = total;
    __syncthreads();
    if (y || j >= a.c) return;
    for (u32 l = 1; l < lanes; l++) total += totals[l * a.width + x];
    put(a.s, j, (float)total, a.add);
}
