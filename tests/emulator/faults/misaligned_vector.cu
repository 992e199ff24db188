// y[i] = x[n-1-i] by four values at a time. Planted: from an address that is not on 16 bytes.
#include "faults.cuh"

KERNEL(64, misaligned_vector, Args) {
    u32 i = threadIdx.x * 4;
    if (i >= a.n) return;
#ifdef PLANTED
    const float4 v = load4(a.x + (a.n - 4 - i) + (i ? 1 : 0));
#else
    const float4 v = load4(a.x + (a.n - 4 - i));
#endif
    store4(a.y + i, make_float4(v.w, v.z, v.y, v.x));
}
