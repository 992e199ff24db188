// y[i] = x[n-1-i] through cp.async of 16 bytes. Planted: from an address that is not on 16 bytes.
#include "faults.cuh"

KERNEL(64, misaligned_copy, Args) {
    alignas(16) __shared__ float tile[256];
    u32 i = threadIdx.x * 4;
#ifdef PLANTED
    copy_async<16>(shared_address(tile + i), a.x + i + 1, i + 4 < a.n ? 16 : 0);
#else
    copy_async<16>(shared_address(tile + i), a.x + i, i < a.n ? 16 : 0);
#endif
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    for (u32 j = threadIdx.x; j < a.n; j += 64) a.y[j] = tile[a.n - 1 - j];
}
