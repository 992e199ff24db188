// y[i] = x[n-1-i] through cp.async, which a barrier in shared memory waits for. Planted: threads arrive before their copies have.
#include "faults.cuh"

KERNEL(256, missing_copy_arrival, Args) {
    alignas(8) __shared__ u64 landed;
    __shared__ float tile[256];
    u32 i = threadIdx.x;
    if (i == 0) emulator::mbarrier_init(&landed, 256);
    __syncthreads();
    copy_async<4>(shared_address(tile + i), a.x + i, i < a.n ? 4 : 0);
#ifdef PLANTED
    emulator::mbarrier_arrive(&landed);
#else
    emulator::cp_async_arrive(&landed);
#endif
    emulator::mbarrier_wait(&landed, 0);
    if (i < a.n) a.y[i] = tile[a.n - 1 - i];
}
