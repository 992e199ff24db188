// y[i] = x[n-1-i] through shared memory. Planted: no barrier between writing and reading.
#include "faults.cuh"

KERNEL(256, missing_barrier, Args) {
    SHARED(float, tile);
    u32 i = threadIdx.x;
    if (i < a.n) tile[i] = a.x[i];
#ifndef PLANTED
    __syncthreads();
#endif
    if (i < a.n) a.y[i] = tile[a.n - 1 - i];
}
