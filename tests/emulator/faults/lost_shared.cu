// Planted: an index behind the dynamic shared memory.
#include "faults.cuh"

KERNEL(256, lost_shared, Args) {
    SHARED(float, tile);
    u32 i = threadIdx.x;
#ifdef PLANTED
    tile[i + 1] = i < a.n ? a.x[i] : 0.0f;
#else
    tile[i] = i < a.n ? a.x[i] : 0.0f;
#endif
    __syncthreads();
    if (i < a.n) a.y[i] = tile[a.n - 1 - i];
}
