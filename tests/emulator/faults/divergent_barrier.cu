// Planted: threads of one block meet at two different barriers.
#include "faults.cuh"

KERNEL(256, divergent_barrier, Args) {
    __shared__ float tile[256];
    u32 i = threadIdx.x;
    tile[i] = i < a.n ? a.x[i] : 0.0f;
#ifdef PLANTED
    if (i < 64) __syncthreads();
    else if (i < 250) {
        __syncthreads();
    }
#else
    __syncthreads();
#endif
    if (i < a.n) a.y[i] = tile[a.n - 1 - i];
}
