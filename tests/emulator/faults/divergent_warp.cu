// Planted: half of each warp skips a shuffle whose mask names all lanes, and waits at a barrier instead.
#include "faults.cuh"

KERNEL(256, divergent_warp, Args) {
    __shared__ float tile[256];
    u32 i = threadIdx.x;
    float v = i < a.n ? a.x[i] : 0.0f;
#ifdef PLANTED
    if (i % 32 < 16)
#endif
        v = __shfl_xor_sync(0xffffffffu, v, 31);
    tile[i ^ 31] = v;
    __syncthreads();
    if (i < a.n) a.y[i] = tile[a.n - 1 - i];
}
