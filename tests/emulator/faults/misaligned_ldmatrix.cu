// y[i] = x[n-1-i], and a matrix load. Planted: its rows begin on 8 bytes.
#include "faults.cuh"

KERNEL(32, misaligned_ldmatrix, Args) {
    alignas(16) __shared__ u16 tile[32 * 8 + 8];
    u32 r[4];
    for (u32 i = threadIdx.x; i < 32 * 8 + 8; i += 32) tile[i] = 0;
    __syncthreads();
#ifdef PLANTED
    load_matrices(r, shared_address(tile + threadIdx.x * 8 + 4));
#else
    load_matrices(r, shared_address(tile + threadIdx.x * 8));
#endif
    for (u32 i = threadIdx.x; i < a.n; i += 32) a.y[i] = a.x[a.n - 1 - i] + r[0] + r[3];
}
