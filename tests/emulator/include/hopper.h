// sm_90a: clusters, mbarrier, TMA, wgmma. Addresses in descriptors are offsets in the dynamic shared memory (shared_address), so that
// kernels build descriptors with the same text on both compilers.
#pragma once

namespace emulator {

// ------------------------------------------------------------------------------------------------ in the library
// The block's place in its cluster; 0 and 1 without one.
unsigned cluster_rank();
unsigned cluster_size();
// barrier.cluster: of all threads of the cluster that have not returned.
void cluster_arrive(int line = __builtin_LINE());
void cluster_wait(int line = __builtin_LINE());

void mbarrier_init(void* barrier, unsigned arrivals);
void mbarrier_expect(void* barrier, unsigned bytes);
void mbarrier_arrive(void* barrier, unsigned expected_bytes = 0);
// At the barrier that lies at the same place in another block of the cluster.
void mbarrier_arrive_cluster(void* barrier, unsigned rank, int line = __builtin_LINE());
// Returns when the phase of this parity is complete.
void mbarrier_wait(void* barrier, unsigned parity, int line = __builtin_LINE());

// One box of the tensor that `map` (cuTensorMapEncodeTiled) describes, from these coordinates on; lands when the barrier is
// waited for (or earlier: see async.h) and counts its bytes there. Outside of the tensor it is 0.
void tma_load(void* to, const void* map, void* barrier, const int* at, int rank, int line = __builtin_LINE());
inline void tma_load_1d(void* to, const void* map, void* barrier, int x) { return tma_load(to, map, barrier, &x, 1); }
inline void tma_load_2d(void* to, const void* map, void* barrier, int x, int y, int line = __builtin_LINE()) {
    int at[2] = {x, y};
    tma_load(to, map, barrier, at, 2, line);
}
inline void tma_load_3d(void* to, const void* map, void* barrier, int x, int y, int z, int line = __builtin_LINE()) {
    int at[3] = {x, y, z};
    tma_load(to, map, barrier, at, 3, line);
}
// Lands at the same place in each block of the mask, at the barrier that lies at the same place there.
void tma_load_multicast(void* to, const void* map, void* barrier, unsigned short mask, const int* at, int rank, int line = __builtin_LINE());

// The way back: shared memory is read when the group is waited for (or earlier: see async.h), at the latest when the block
// has ended.
void tma_store(const void* map, const void* from, const int* at, int rank, int line = __builtin_LINE());
inline void tma_store_2d(const void* map, const void* from, int x, int y, int line = __builtin_LINE()) {
    int at[2] = {x, y};
    tma_store(map, from, at, 2, line);
}
void tma_store_commit();
void tma_store_wait_read(unsigned left); // until at most `left` of this thread's groups have still to be read

// wgmma.mma_async m64nNk16 (tf32: k8): d (N/8 x 4 floats of each thread of a warpgroup) += A B. Operands are read when the
// group is waited for; until then d is poison. `transpose`: the operand lies M- or N-major in shared memory (16-bit only).
enum ProductKind { PRODUCT_BF16, PRODUCT_F16, PRODUCT_TF32 };
void wgmma(float* d, int n, uint64_t a, uint64_t b, ProductKind kind, bool accumulate = true, bool transpose_a = false, bool transpose_b = false, int line = __builtin_LINE());
// The same with A in four registers of each thread.
void wgmma(float* d, int n, const uint32_t* a, uint64_t b, ProductKind kind, bool accumulate = true, bool transpose_b = false, int line = __builtin_LINE());
void wgmma_commit();
void wgmma_wait(unsigned left, int line = __builtin_LINE());

} // namespace emulator
