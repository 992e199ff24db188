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
    u32 c;     // a multiple of V
    u32 width; // columns of a block, a power of 2 from V up to 64
    u32 parts;
    u32 add;
};

// The sums of what make(i c + j, read(i c + j, j), v) leaves in v over rows i, for each column j: those of V neighbouring columns. ROWS
// rows are read before the first is made something of, which may write.
template <int V, int ROWS, class Read, class Make> DEVICE void sum_columns(const Columns& a, Read read, Make make) {
    constexpr int SUMS = V == 1 ? 4 : 2; // of a column in a thread
    __shared__ float sums[V][256];
    const u32 packs = a.width / V, lanes = 256 / packs, x = threadIdx.x % packs, y = threadIdx.x / packs, j = blockIdx.x * a.width + x * V;
    const u64 first = blockIdx.y * a.part, end = min(a.rows, first + a.part);
    float sum[SUMS][V] = {};
    if (j < a.c) {
        u64 i = first + y;
        for (; i + (ROWS - 1) * lanes < end; i += ROWS * lanes) {
            decltype(read(i, j)) raw[ROWS];
#pragma unroll
            for (int q = 0; q < ROWS; q++) raw[q] = read((i + q * lanes) * a.c + j, j);
#pragma unroll
            for (int q = 0; q < ROWS; q++) {
                float v[V];
                make((i + q * lanes) * a.c + j, raw[q], v);
#pragma unroll
                for (int k = 0; k < V; k++) sum[q % SUMS][k] += v[k];
            }
        }
        for (; i < end; i += lanes) {
            float v[V];
            make(i * a.c + j, read(i * a.c + j, j), v);
#pragma unroll
            for (int k = 0; k < V; k++) sum[0][k] += v[k];
        }
    }
#pragma unroll
    for (int k = 0; k < V; k++) {
#pragma unroll
        for (int q = 1; q < SUMS; q++) sum[0][k] += sum[q][k];
        sums[k][threadIdx.x] = sum[0][k];
    }
    __syncthreads();
    for (u32 half = lanes / 2; half; half /= 2) {
        if (y < half) {
#pragma unroll
            for (int k = 0; k < V; k++) sums[k][threadIdx.x] += sums[k][threadIdx.x + half * packs];
        }
        __syncthreads();
    }
    // From here on a thread for each column.
    const u32 side = 256 / a.width, column = threadIdx.x % a.width, share = threadIdx.x / a.width, to = blockIdx.x * a.width + column;
    const float own = sums[column % V][column / V];
    const bool is = to < a.c;
    if (a.parts == 1) {
        if (share == 0 && is) put(a.s, to, own, a.add);
        return;
    }
    if (share == 0 && is) a.work[(u64)blockIdx.y * a.c + to] = own;
    if (!last_to_arrive(a.arrived + blockIdx.x, a.parts)) return;
    // In double: there may be hundreds.
    __shared__ double totals[256];
    double total = 0;
#pragma unroll 8
    for (u32 p = share; is && p < a.parts; p += side) total += a.work[(u64)p * a.c + to];
    totals[threadIdx.x] = total;
    __syncthreads();
    if (share || !is) return;
    for (u32 l = 1; l < side; l++) total += totals[l * a.width + column];
    put(a.s, to, (float)total, a.add);
}
