// dy <- dy f' as in activation.cu, and the sums of what comes of it over all rows: the gradient of a bias. Rows of
// whole packs of 16 bytes.
#include "activation.cuh"
#include "pack.cuh"
#include "reduce.cuh"

template <class T> struct BackwardColumnsArgs {
    Columns to;
    const T* saved;
    T* dy;
    Activation act;
};
// What is saved, and dy.
struct Both { uint4 saved, dy; };
template <class T> DEVICE void activation_columns(const BackwardColumnsArgs<T>& a) {
    constexpr int V = PACK<T>;
    auto read = [&](u64 i, u32) -> Both { return {*(const uint4*)(a.saved + i), *(const uint4*)(a.dy + i)}; };
    sum_columns<V, 2>(a.to, read, [&](u64 i, Both raw, float* v) {
        float saved[V];
        unpack(raw.saved, saved, T{}), unpack(raw.dy, v, T{});
#pragma unroll
        for (int k = 0; k < V; k++) v[k] *= slope(a.act, saved[k]);
        *(uint4*)(a.dy + i) = pack(v, T{});
    });
}
KERNELS(256, activation_columns, BackwardColumnsArgs)
