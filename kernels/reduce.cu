// Sums in a fixed order.
#include "pack.cuh"
#include "reduce.cuh"

template <class T> struct ColumnsArgs {
    Columns to;
    const T* x;
};
// s_j = sum of x_ij over i, or s_j += ..
template <class T> DEVICE void columns(const ColumnsArgs<T>& a) {
    sum_columns<1, 4>(a.to, [&](u64 i, u32) { return load(a.x, i); }, [](u64, float x, float* v) { v[0] = x; });
}
KERNELS(256, columns, ColumnsArgs)
template <class T> DEVICE void columns_wide(const ColumnsArgs<T>& a) {
    constexpr int V = PACK<T>;
    sum_columns<V, 4>(a.to, [&](u64 i, u32) { return *(const uint4*)(a.x + i); }, [](u64, uint4 raw, float* v) { unpack(raw, v, T{}); });
}
KERNELS(256, columns_wide, ColumnsArgs)
