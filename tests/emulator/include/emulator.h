// What a .cu file finds in place of CUDA when a C++ compiler reads it with KAMACITE_EMULATED: the language's keywords and
// built-in variables. warp.h, tensor.h, async.h and hopper.h hold the intrinsics; everything that needs state lives in the
// emulator's library (runtime/), which kernels are linked with. C headers only: every kernel file is compiled at run time.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __align__(n) __attribute__((aligned(n)))
#ifndef KAMACITE_EMULATOR_RUNTIME // the library itself, which includes the C library's headers
#define __global__
#define __device__
#define __host__
#define __noinline__ __attribute__((noinline))
#define __forceinline__ inline
#define __constant__ static const
#define __grid_constant__
#define __launch_bounds__(...)
#define __restrict__ __restrict
// One block runs at a time in one copy of the kernel's library, so a plain static is per block. The library fills all of
// them with 0xff (NaN) before each block: they are what lies in .bss.
#define __shared__ static
#endif

struct __align__(8) uint2 { unsigned x, y; };
struct uint3 { unsigned x, y, z; };
struct __align__(8) int2 { int x, y; };
struct __align__(8) float2 { float x, y; };
struct __align__(16) float4 { float x, y, z, w; };
struct __align__(16) uint4 { unsigned x, y, z, w; };
struct __align__(16) int4 { int x, y, z, w; };
struct __align__(16) double2 { double x, y; };
struct float3 { float x, y, z; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace emulator {

struct Warp;
struct Thread {
    uint3 index;
    unsigned linear, lane;
    Warp* warp;
};
// Up to 32 threads. Those that meet in a warp-wide operation leave a pointer to their own operands in `slot`; the last one
// to arrive computes the results of all.
struct Warp {
    unsigned live;    // lanes that have not returned
    unsigned arrived; // lanes that wait in the operation under way
    unsigned ready;   // lanes that can go on
    void (*run)(Warp&);
    int line;
    void* slot[32];
};
// The built-in variables of the thread that runs now. The library writes them.
struct Here {
    Thread* thread;
    uint3 block, block_size, grid;
};
static Here here __attribute__((section(".data"), used));

// ------------------------------------------------------------------------------------------------ in the library
[[noreturn]] void fault(const char* format, ...) __attribute__((format(printf, 1, 2)));
// Meets the other lanes of the warp; the last to arrive calls `run`.
void collective(const char* what, int line, unsigned mask, void* slot, void (*run)(Warp&));
// bar.sync (or, without `wait`, bar.arrive) of `count` threads; 0 stands for all threads of the block.
void barrier(unsigned id, unsigned count, bool wait, int line);
void* dynamic_shared();
unsigned shared_address(const void* p); // offset in the dynamic shared memory, as descriptors use it
void* shared_pointer(unsigned address);
void yield();

// A kernel announces itself when its library is loaded.
struct Announcement {
    const char* name;
    unsigned threads;
    size_t argument_bytes;
    void (*run)(const void* arguments);
    Here* here;
    char *shared_begin, *shared_end;
};
void announce(const Announcement& kernel);
extern "C" __attribute__((visibility("hidden"))) char __bss_start[], _end[];
struct Registration {
    Registration(const char* name, unsigned threads, size_t argument_bytes, void (*run)(const void*)) {
        announce({name, threads, argument_bytes, run, &here, __bss_start, _end});
    }
};

} // namespace emulator

#include "half.h"
#ifndef KAMACITE_EMULATOR_RUNTIME

#define threadIdx (emulator::here.thread->index)
#define blockIdx (emulator::here.block)
#define blockDim (emulator::here.block_size)
#define gridDim (emulator::here.grid)
#define warpSize 32

inline void __syncthreads(int line = __builtin_LINE()) { emulator::barrier(0, 0, true, line); }
inline void __nanosleep(unsigned) { emulator::yield(); }
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
[[noreturn]] inline void __trap() { emulator::fault("__trap()"); }

#include "arithmetic.h"
#include "warp.h"
#include "tensor.h"
#include "async.h"
#include "hopper.h"

#endif
