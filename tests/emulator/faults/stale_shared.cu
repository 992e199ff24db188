// y[i] = x[n-1-i] through static shared memory. Planted: one element is never written, and only the first block's would be
// there from an earlier launch.
#include "faults.cuh"

template <class T> DEVICE void reverse(const Args& a) {
    __shared__ T tile[256];
    u32 i = threadIdx.x;
#ifdef PLANTED
    if (i && i < a.n) tile[i] = a.x[i];
#else
    if (i < a.n) tile[i] = a.x[i];
#endif
    __syncthreads();
    if (i < a.n) a.y[i] = tile[a.n - 1 - i];
}
KERNEL(256, stale_shared, Args) { reverse<float>(a); }
