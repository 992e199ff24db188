// Planted: a shuffle that names half a warp.
#include "faults.cuh"

KERNEL(256, partial_mask, Args) {
    __shared__ float tile[256];
    u32 i = threadIdx.x;
    float v = i < a.n ? a.x[i] : 0.0f;
#ifdef PLANTED
    v = __shfl_xor_sync(0x0000ffffu, v, 1);
#else
    v = __shfl_xor_sync(0xffffffffu, v, 1);
#endif
    tile[i ^ 1] = v;
    __syncthreads();
    if (i < a.n) a.y[i] = tile[a.n - 1 - i];
}
