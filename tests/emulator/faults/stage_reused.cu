// y[i] = x[n-1-i], in rounds of 32 through one stage. Planted: no barrier before the stage is filled again.
#include "faults.cuh"

KERNEL(32, stage_reused, Args) {
    __shared__ float tile[32];
    u32 i = threadIdx.x;
    for (u32 at = 0; at < a.n; at += 32) {
        copy_async<4>(shared_address(tile + i), a.x + at + i, 4);
        copy_commit();
        copy_wait<0>();
        __syncthreads();
        a.y[a.n - 32 - at + i] = tile[31 - i];
#ifndef PLANTED
        __syncthreads();
#endif
    }
}
