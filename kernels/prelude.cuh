// What every kernel file includes: types, the kernel macros, conversions, block-wide sums, random numbers, the step.
//
// A .cu file is read by two compilers: CUDA's (NVRTC, no headers but ours) and any C++17 compiler with KAMACITE_EMULATED,
// where `emulator.h` (tests/emulator) supplies the execution model on the CPU.
#pragma once

#ifdef KAMACITE_EMULATED
#include "emulator.h"
#define DEVICE inline
#else
#define DEVICE __device__ __forceinline__
#endif

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

// ---------------------------------------------------------------------------------------------------------- kernels
//
// KERNEL(threads, name, Args) { .. a.x .. }     one kernel with one struct argument `a`; every block has `threads` threads
// KERNELS(threads, name, Args)                  name_f32, name_bf16 and name_f16 from `template <class T> DEVICE void name(const
//                                               Args<T>& a)`
//
// Both also define a constant name_args with sizeof(Args), which the host compares with its own struct when it loads the kernel.
// SHARED(type, name) is the dynamic shared memory of the launch.
//
// From compute capability 9.0 on, the blocks of a kernel are brought to their places while the kernel in front still runs, which
// hides a microsecond of each launch ("programmatic dependent launch"). Every kernel therefore begins with `wait_for_previous`,
// behind which the kernel in front and all its writes are done; as that one has waited too, so are all before it. With
// `let_next_begin` in front of it, the next kernel may come as soon as all blocks of this one have begun.

DEVICE void wait_for_previous() {
#if !defined(KAMACITE_EMULATED) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
DEVICE void let_next_begin() {
#if !defined(KAMACITE_EMULATED) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

#ifdef KAMACITE_EMULATED
#define KERNEL_BOUNDS(threads, least, name, ...)                                                                         \
    static void name(const __VA_ARGS__& a);                                                                              \
    static emulator::Registration registration_##name(#name, threads, sizeof(__VA_ARGS__), [](const void* a) { name(*(const __VA_ARGS__*)a); }); \
    static void name(const __VA_ARGS__& a)
#define SHARED(type, name) type* const name = (type*)emulator::dynamic_shared()
#else
#if __CUDA_ARCH__ >= 700
#define GRID_CONSTANT __grid_constant__
#else
#define GRID_CONSTANT // Pascal lacks it
#endif
#define KERNEL_BOUNDS(threads, least, name, ...)                                                                         \
    extern "C" __device__ unsigned name##_args = sizeof(__VA_ARGS__);                                                    \
    __device__ __forceinline__ void name##_body(const __VA_ARGS__& a);                                                   \
    extern "C" __global__ void __launch_bounds__(threads, least) name(const GRID_CONSTANT __VA_ARGS__ a) {          \
        let_next_begin();                                                                                                \
        wait_for_previous();                                                                                             \
        name##_body(a);                                                                                                  \
    }                                                                                                                    \
    __device__ __forceinline__ void name##_body(const __VA_ARGS__& a)
#define SHARED(type, name)                                                                                               \
    extern __shared__ __align__(1024) unsigned char dynamic_shared_memory[];                                             \
    type* const name = (type*)dynamic_shared_memory
#endif
#define KERNEL(threads, name, ...) KERNEL_BOUNDS(threads, 1, name, __VA_ARGS__)
#define KERNELS(threads, name, Args)                                                                                     \
    KERNEL(threads, name##_f32, Args<float>) { name<float>(a); }                                                         \
    KERNEL(threads, name##_bf16, Args<bf16>) { name<bf16>(a); }                                                          \
    KERNEL(threads, name##_f16, Args<f16>) { name<f16>(a); }

// for (GRID(i, n)): every index below n once, spread over all threads of the grid.
#define GRID(i, n) u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (u64)gridDim.x * blockDim.x

// How much there is from `at` to `end`.
DEVICE u32 left(u32 end, u32 at) { return end > at ? end - at : 0; }

// ------------------------------------------------------------------------------------------------------------- types

// 16-bit storage types of our own, since CUDA's need its headers. All arithmetic is in float.
struct bf16 { u16 bits; };
struct f16 { u16 bits; };

DEVICE float to_float(float v) { return v; }
DEVICE float to_float(bf16 v) { return __uint_as_float((u32)v.bits << 16); }
DEVICE float to_float(f16 v) {
#ifdef KAMACITE_EMULATED
    return emulator::half_to_float(v.bits);
#else
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
    return f;
#endif
}

template <class T> DEVICE T of_float(float v);
template <> DEVICE float of_float<float>(float v) { return v; }
template <> DEVICE bf16 of_float<bf16>(float v) {
#if !defined(KAMACITE_EMULATED) && __CUDA_ARCH__ >= 800
    bf16 h;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h.bits) : "f"(v));
    return h;
#else
    u32 u = __float_as_uint(v);
    if ((u & 0x7fffffffu) > 0x7f800000u) return {(u16)((u >> 16) | 64)}; // a NaN stays one
    return {(u16)((u + 0x7fffu + ((u >> 16) & 1)) >> 16)};
#endif
}
template <> DEVICE f16 of_float<f16>(float v) {
#ifdef KAMACITE_EMULATED
    return {emulator::float_to_half(v)};
#else
    f16 h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(v));
    return h;
#endif
}

// Two neighbours as stored, in one register.
template <class T> DEVICE u32 narrow(float low, float high);
template <> DEVICE u32 narrow<bf16>(float low, float high) {
#if !defined(KAMACITE_EMULATED) && __CUDA_ARCH__ >= 800
    u32 v;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(high), "f"(low));
    return v;
#else
    return of_float<bf16>(low).bits | (u32)of_float<bf16>(high).bits << 16;
#endif
}
template <> DEVICE u32 narrow<f16>(float low, float high) {
#if !defined(KAMACITE_EMULATED) && __CUDA_ARCH__ >= 800
    u32 v;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(high), "f"(low));
    return v;
#else
    return of_float<f16>(low).bits | (u32)of_float<f16>(high).bits << 16;
#endif
}

template <class T> DEVICE float load(const T* p, u64 i) { return to_float(p[i]); }
template <class T> DEVICE void store(T* p, u64 i, float v) { p[i] = of_float<T>(v); }
// Write or, with `add`, accumulate.
template <class T> DEVICE void put(T* p, u64 i, float v, u32 add) { p[i] = of_float<T>(add ? to_float(p[i]) + v : v); }

// Division by a number known on the host: q = n / d for all n < 2^31. Made by `Divisor::new` in device/kernel.rs.
struct Divisor { u32 d, magic, shift; };
DEVICE u32 quotient(u32 n, Divisor d) { return d.d == 1 ? n : (u32)(((u64)n * d.magic) >> 32) >> d.shift; }

DEVICE u64 divide(u64 n, Divisor d) { return n >> 31 ? n / d.d : quotient((u32)n, d); }

// A maximum begins at LOWEST, -inf; a NaN is larger than every number, and the first of several equal ones stays.
constexpr u32 LOWEST = 0xff800000;
DEVICE bool beats(float v, float best) { return !(v <= best) && best == best; }

// V neighbouring values that one thread moves at once.
template <class T, int V> struct alignas(V * sizeof(T)) Pack { T v[V]; };
template <class T, int V> DEVICE void put(Pack<T, V>* p, const float (&v)[V], u32 add) {
    Pack<T, V> old = {}, sum;
    if (add) old = *p;
    for (int j = 0; j < V; j++) sum.v[j] = of_float<T>(add ? to_float(old.v[j]) + v[j] : v[j]);
    *p = sum;
}

// Four neighbours, aligned to as many elements.
DEVICE float4 load4(const float* p) { return *(const float4*)p; }
template <class T> DEVICE float4 load4(const T* p) {
    uint2 v = *(const uint2*)p;
    return {to_float(T{(u16)v.x}), to_float(T{(u16)(v.x >> 16)}), to_float(T{(u16)v.y}), to_float(T{(u16)(v.y >> 16)})};
}
DEVICE void store4(float* p, float4 v) { *(float4*)p = v; }
template <class T> DEVICE void store4(T* p, float4 v) {
    *(uint2*)p = {narrow<T>(v.x, v.y), narrow<T>(v.z, v.w)};
}

// Where value i of a batch lies: sample, position, channel. As Layout in device/kernel.rs.
struct Layout { Divisor d, h, w, c; };
struct Coordinates { u64 n; u32 d, h, w, c; };
DEVICE Coordinates coordinates(u64 i, const Layout& e) {
    u64 w = divide(i, e.c), h = divide(w, e.w), d = divide(h, e.h), n = divide(d, e.d);
    return {n, (u32)(d - n * e.d.d), (u32)(h - d * e.h.d), (u32)(w - h * e.w.d), (u32)(i - w * e.c.d)};
}
DEVICE u64 index(u64 n, u32 d, u32 h, u32 w, u32 c, const Layout& e) {
    return (((n * e.d.d + d) * e.h.d + h) * e.w.d + w) * e.c.d + c;
}

// n, d, h, w, c of one sample, and a window; as Extent and Window in shape.rs.
struct Extent { u32 d, h, w, c; };
DEVICE u64 area(Extent e) { return (u64)e.d * e.h * e.w; }
DEVICE u64 length(Extent e) { return area(e) * e.c; }
struct Window { u32 size[3], stride[3], dilation[3], gap[3], before[3]; };

// ---------------------------------------------------------------------------------------------------------- the step

// What the host tells the device before each step: its only message. As StepParams in device/control.rs.
struct StepParams {
    u64 forward;          // count of forward passes: the key of dropout masks
    u64 update;           // optimizer steps done
    u64 cursor;           // samples of the epoch taken before this step
    double learning_rate; // of this step, before the factors of parameter groups
};
// What the device keeps between steps. As StepState in device/control.rs.
struct StepState {
    double loss;      // sum of the losses since the host last read it
    double last;      // the loss of the last step
    u64 diverged_at;  // the update at which the loss was first not finite
    u32 diverged;     // 1 from then on: updates become no-ops
    u32 skip;         // 1: this step's gradients overflowed f16; no update
    float loss_scale; // factor on loss gradients; 1 but for f16
    u32 good;         // steps since the loss scale last changed
    float clip;       // factor on gradients from clipping by norm
    u32 skipped;      // updates left out because of overflow
};
struct Control { StepParams params; StepState state; };
// Whether optimizers must leave everything as it is.
DEVICE bool halted(const Control* c) { return c->state.diverged || c->state.skip; }

// ----------------------------------------------------------------------------------------------------- sums in a block

DEVICE float warp_sum(float v) {
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}
DEVICE float warp_max(float v) {
    for (int o = 16; o; o >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, o));
    return v;
}
DEVICE double warp_sum(double v) {
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}
// The sum over the block in every thread, in a fixed order. `scratch` holds 32 values; all threads must call.
template <class S> DEVICE S block_sum(S v, S* scratch) {
    v = warp_sum(v);
    u32 warps = blockDim.x / 32;
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
    __syncthreads();
    S total = 0;
    for (u32 i = 0; i < warps; i++) total += scratch[i];
    return total;
}
DEVICE float block_max(float v, float* scratch) {
    v = warp_max(v);
    u32 warps = blockDim.x / 32;
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
    __syncthreads();
    float top = scratch[0];
    for (u32 i = 1; i < warps; i++) top = fmaxf(top, scratch[i]);
    return top;
}

// ------------------------------------------------------------------------------------------------------ random numbers

// Philox4x32-10; the same bits as rng.rs. `key` and `index` as in rng::Draws, `position` counts blocks of four words.
struct Words { u32 w[4]; };
DEVICE Words philox(u64 key, u64 index, u64 position) {
    u32 c0 = (u32)position, c1 = (u32)(position >> 32), c2 = (u32)index, c3 = (u32)(index >> 32);
    u32 k0 = (u32)key, k1 = (u32)(key >> 32);
    for (int round = 0; round < 10; round++) {
        u64 p0 = (u64)0xD2511F53u * c0, p1 = (u64)0xCD9E8D57u * c2;
        u32 n0 = (u32)(p1 >> 32) ^ c1 ^ k0, n2 = (u32)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0, c1 = (u32)p1, c2 = n2, c3 = (u32)p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}
