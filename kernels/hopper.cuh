// What sm_90a has and no other architecture: tiles brought by the copy engine (TMA), barriers in shared memory, products of
// a warpgroup (wgmma), clusters of blocks, registers moved between warps. Inline PTX, each primitive beside its twin on the CPU.
//
// Tiles lie in shared memory in rows of 128 bytes ("atoms": 8 rows, 1024 bytes, aligned to as much) whose 16-byte chunks are
// permuted by the row: chunk c of row r is at c ^ r % 8. The copy engine writes and wgmma reads this order ("128B swizzle").
#pragma once
#include "mma.cuh"

#ifdef KAMACITE_EMULATED
#define HOPPER 1
#elif defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HOPPER 1
#else
#define HOPPER 0
#endif
// Elsewhere this file is empty, and so are the files that need it.
#if HOPPER

constexpr u32 ATOM = 1024;

// CUtensorMap, made by the host (device/tensor_map.rs).
struct alignas(64) TensorMap { u8 bytes[128]; };

// ---------------------------------------------------------------------------------------------------------- barriers

// A barrier in shared memory is complete when all arrivals have come and all expected bytes have landed; then its phase turns.
typedef u64 Barrier;

DEVICE void barrier_init(Barrier* b, u32 arrivals) {
#ifdef KAMACITE_EMULATED
    emulator::mbarrier_init(b, arrivals);
#else
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals) : "memory");
#endif
}
// Makes initialised barriers known to the copy engine and to the other blocks of the cluster.
DEVICE void barrier_init_fence() {
#ifndef KAMACITE_EMULATED
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
DEVICE void arrive(Barrier* b) {
#ifdef KAMACITE_EMULATED
    emulator::mbarrier_arrive(b);
#else
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
#endif
}
// Arrives and announces bytes that the copy engine will bring.
DEVICE void arrive_expecting(Barrier* b, u32 bytes) {
#ifdef KAMACITE_EMULATED
    emulator::mbarrier_arrive(b, bytes);
#else
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes) : "memory");
#endif
}
// Arrives at the same barrier of block `rank` of the cluster, behind reads that are over: nothing is published. To release what this thread
// wrote, at the scope of the cluster, would cost a fence of the whole GPU for each stage.
DEVICE void arrive_at(Barrier* b, u32 rank) {
#ifdef KAMACITE_EMULATED
    emulator::mbarrier_arrive_cluster(b, rank);
#else
    asm volatile("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\nmbarrier.arrive.shared::cluster.b64 _, [there];\n}"
                 ::"r"(shared_address(b)), "r"(rank) : "memory");
#endif
}
// Arrives when all copies (copy_async) that this thread has begun have landed.
DEVICE void arrive_when_copied(Barrier* b) {
#ifdef KAMACITE_EMULATED
    emulator::cp_async_arrive(b);
#else
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(b)) : "memory");
#endif
}
// Returns when the phase of this parity is complete; a fresh barrier counts as one whose phase 1 is.
DEVICE void wait(Barrier* b, u32 parity) {
#ifdef KAMACITE_EMULATED
    emulator::mbarrier_wait(b, parity);
#else
    asm volatile("{\n.reg .pred done;\nAGAIN:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@done bra DONE;\nbra AGAIN;\nDONE:\n}"
                 ::"r"(shared_address(b)), "r"(parity) : "memory");
#endif
}

// Barrier `id` (1 to 15) of so many threads of the block.
DEVICE void meet(u32 id, u32 threads) {
#ifdef KAMACITE_EMULATED
    emulator::barrier(id, threads, true, __LINE__);
#else
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

// ---------------------------------------------------------------------------------------------------------- clusters

DEVICE u32 cluster_rank() {
#ifdef KAMACITE_EMULATED
    return emulator::cluster_rank();
#else
    u32 rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
#endif
}
// All threads of all blocks of the cluster.
DEVICE void cluster_meet() {
#ifdef KAMACITE_EMULATED
    emulator::cluster_arrive(__LINE__), emulator::cluster_wait(__LINE__);
#else
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

// --------------------------------------------------------------------------------------------------------- copy engine

// Begins to bring the box at (x, y[, z]) of a map's tensor; zeros stand outside of it. Its bytes count at the barrier. One thread.
DEVICE void bring(void* to, const TensorMap& map, Barrier* b, int x, int y) {
#ifdef KAMACITE_EMULATED
    emulator::tma_load_2d(to, &map, b, x, y);
#else
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
                 ::"r"(shared_address(to)), "l"(&map), "r"(shared_address(b)), "r"(x), "r"(y) : "memory");
#endif
}
DEVICE void bring(void* to, const TensorMap& map, Barrier* b, int x, int y, int z) {
#ifdef KAMACITE_EMULATED
    emulator::tma_load_3d(to, &map, b, x, y, z);
#else
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];"
                 ::"r"(shared_address(to)), "l"(&map), "r"(shared_address(b)), "r"(x), "r"(y), "r"(z) : "memory");
#endif
}
// The same into every block of the cluster whose bit is set, at the same place and counted at the same barrier there.
DEVICE void bring_to_all(void* to, const TensorMap& map, Barrier* b, u16 blocks, int x, int y) {
#ifdef KAMACITE_EMULATED
    int at[2] = {x, y};
    emulator::tma_load_multicast(to, &map, b, blocks, at, 2);
#else
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%4, %5}], [%2], %3;"
                 ::"r"(shared_address(to)), "l"(&map), "r"(shared_address(b)), "h"(blocks), "r"(x), "r"(y) : "memory");
#endif
}
// Begins to write the box at (x, y) from shared memory; what lies outside of the tensor is left out. One thread.
DEVICE void send(const TensorMap& map, const void* from, int x, int y) {
#ifdef KAMACITE_EMULATED
    emulator::tma_store_2d(&map, from, x, y);
    emulator::tma_store_commit();
#else
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];\ncp.async.bulk.commit_group;"
                 ::"l"(&map), "r"(shared_address(from)), "r"(x), "r"(y) : "memory");
#endif
}
// Waits until all but the LEFT last sends of this thread have read what they send.
template <int LEFT> DEVICE void sent() {
#ifdef KAMACITE_EMULATED
    emulator::tma_store_wait_read(LEFT);
#else
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(LEFT) : "memory");
#endif
}
DEVICE void prefetch(const TensorMap& map) {
#ifndef KAMACITE_EMULATED
    asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
#endif
}
// Makes what this thread wrote to shared memory, or knows by a barrier that others wrote or copied, visible to the copy engine and to
// wgmma, once they are told by a barrier or by this thread.
DEVICE void show_to_engines() {
#ifndef KAMACITE_EMULATED
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// ----------------------------------------------------------------------------------------------------------- registers

// Gives registers of this warpgroup back, or takes what others gave: all its warps, in a kernel with bounds (threads, 1).
template <int N> DEVICE void keep_registers() {
#ifndef KAMACITE_EMULATED
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
#endif
}
template <int N> DEVICE void take_registers() {
#ifndef KAMACITE_EMULATED
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
#endif
}

// ------------------------------------------------------------------------------------------------------------ products

// Where an operand of wgmma lies. Along k: rows of m or n hold `width` bytes of k (128, 64 or 32, swizzled as wide), 8 rows follow
// each other. Across k: rows of k hold 64 elements of m or n; the next 64 are `next` bytes further.
DEVICE u64 operand(const void* p) {
#ifdef KAMACITE_EMULATED
    return emulator::shared_address(p) >> 4;
#else
    return (shared_address(p) & 0x3ffff) >> 4;
#endif
}
DEVICE u64 along_k(const void* p, u32 width) {
    u64 swizzle = width == 128 ? 1 : width == 64 ? 2 : 3;
    return operand(p) | (u64)1 << 16 | (u64)(8 * width >> 4) << 32 | swizzle << 62;
}
DEVICE u64 along_k(const void* p) { return operand(p) | (u64)1 << 16 | (u64)(ATOM >> 4) << 32 | (u64)1 << 62; }
DEVICE u64 across_k(const void* p, u32 next) { return operand(p) | (u64)(next >> 4) << 16 | (u64)(ATOM >> 4) << 32 | (u64)1 << 62; }

// Before the first product after other instructions touched its sums or shared memory.
DEVICE void products_begin() {
#ifndef KAMACITE_EMULATED
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
DEVICE void products_commit() {
#ifdef KAMACITE_EMULATED
    emulator::wgmma_commit();
#else
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
// Waits until at most LEFT committed groups are under way.
template <int LEFT> DEVICE void products_wait() {
#ifdef KAMACITE_EMULATED
    emulator::wgmma_wait(LEFT);
#else
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
#endif
}

// d (64 rows, N columns: float j*4 + e of a thread is row warp*16 + lane/4 + e/2*8, column j*8 + lane%4*2 + e%2) += A B for 16
// products along k. ACROSS_A, ACROSS_B: the operand lies across k.
#ifdef KAMACITE_EMULATED
template <class T> struct ProductOf;
template <> struct ProductOf<bf16> { static constexpr emulator::ProductKind KIND = emulator::PRODUCT_BF16; };
template <> struct ProductOf<f16> { static constexpr emulator::ProductKind KIND = emulator::PRODUCT_F16; };
template <class T, int N, bool ACROSS_A, bool ACROSS_B> DEVICE void product(float (*d)[4], u64 a, u64 b) {
    emulator::wgmma(&d[0][0], N, a, b, ProductOf<T>::KIND, true, ACROSS_A, ACROSS_B);
}
#else
#define SUMS_1(j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define SUMS_8(j) SUMS_1(j), SUMS_1(j + 1), SUMS_1(j + 2), SUMS_1(j + 3), SUMS_1(j + 4), SUMS_1(j + 5), SUMS_1(j + 6), SUMS_1(j + 7)
#define PLACES_32 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define PLACES_64 PLACES_32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define PLACES_128 PLACES_64 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define PRODUCT(kind, n, places, a_place, b_place, across_a_place, across_b_place, ...)                                  \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" n "k16.f32." kind "." kind " {" places "}, " a_place ", " b_place   \
                 ", 1, 1, 1, " across_a_place ", " across_b_place ";"                                                    \
                 : __VA_ARGS__ : "l"(a), "l"(b), "n"(ACROSS_A ? 1 : 0), "n"(ACROSS_B ? 1 : 0))
#define PRODUCTS(T, kind)                                                                                                \
    template <int N, bool ACROSS_A, bool ACROSS_B> DEVICE void product_of(float (*d)[4], u64 a, u64 b, T) {    \
        if constexpr (N == 64) PRODUCT(kind, "64", PLACES_32, "%32", "%33", "%34", "%35", SUMS_8(0));             \
        if constexpr (N == 128) PRODUCT(kind, "128", PLACES_64, "%64", "%65", "%66", "%67", SUMS_8(0), SUMS_8(8)); \
        if constexpr (N == 256)                                                                                          \
            PRODUCT(kind, "256", PLACES_128, "%128", "%129", "%130", "%131", SUMS_8(0), SUMS_8(8), SUMS_8(16), SUMS_8(24)); \
    }
PRODUCTS(bf16, "bf16")
PRODUCTS(f16, "f16")
template <class T, int N, bool ACROSS_A, bool ACROSS_B> DEVICE void product(float (*d)[4], u64 a, u64 b) {
    product_of<N, ACROSS_A, ACROSS_B>(d, a, b, T{});
}
#endif

#endif
