// Elements 16 bytes at a time: one element per thread would leave most of the memory's bandwidth unused.
//
//     for (GRID(i, packs<T>(n))) { float v[PACK<T>]; load_pack(x, i, n, v); .. store_pack(y, i, n, v); }
//
// The arrays begin at multiples of 16 bytes, as slots do; elements from n on are 0, and are not written.
#pragma once
#include "prelude.cuh"

template <class T> constexpr u32 PACK = 16 / sizeof(T);
template <class T> DEVICE u64 packs(u64 n) { return (n + PACK<T> - 1) / PACK<T>; }

DEVICE void unpack(uint4 raw, float* v, float) {
    v[0] = __uint_as_float(raw.x), v[1] = __uint_as_float(raw.y), v[2] = __uint_as_float(raw.z), v[3] = __uint_as_float(raw.w);
}
template <class H> DEVICE void unpack(uint4 raw, float* v, H) {
    const u32 words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int q = 0; q < 4; q++) v[2 * q] = to_float(H{(u16)words[q]}), v[2 * q + 1] = to_float(H{(u16)(words[q] >> 16)});
}
DEVICE uint4 pack(const float* v, float) {
    return {__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]), __float_as_uint(v[3])};
}
template <class H> DEVICE uint4 pack(const float* v, H) {
    return {narrow<H>(v[0], v[1]), narrow<H>(v[2], v[3]), narrow<H>(v[4], v[5]), narrow<H>(v[6], v[7])};
}

template <class T> DEVICE void load_pack(const T* p, u64 i, u64 n, float* v) {
    u64 at = i * PACK<T>;
    if (at + PACK<T> <= n) {
        unpack(*(const uint4*)(p + at), v, T{});
    } else {
#pragma unroll
        for (u32 q = 0; q < PACK<T>; q++) v[q] = at + q < n ? load(p, at + q) : 0.f;
    }
}
template <class T> DEVICE void store_pack(T* p, u64 i, u64 n, const float* v) {
    u64 at = i * PACK<T>;
    if (at + PACK<T> <= n) {
        *(uint4*)(p + at) = pack(v, T{});
    } else {
#pragma unroll
        for (u32 q = 0; q < PACK<T>; q++)
            if (at + q < n) store(p, at + q, v[q]);
    }
}
