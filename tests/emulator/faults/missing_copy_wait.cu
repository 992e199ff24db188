// y[i] = x[n-1-i] through cp.async. Planted: the copies are not waited for.
#include "faults.cuh"

KERNEL(256, missing_copy_wait, Args) {
    __shared__ float tile[256];
    u32 i = threadIdx.x;
    copy_async<4>(shared_address(tile + i), a.x + i, i < a.n ? 4 : 0);
    copy_commit();
#ifndef PLANTED
    copy_wait<0>();
#endif
    __syncthreads();
    if (i < a.n) a.y[i] = tile[a.n - 1 - i];
}
