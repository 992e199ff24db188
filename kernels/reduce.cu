// Sums in a fixed order.
#include "reduce.cuh"

template <class T> struct ColumnsArgs {
    Columns to;
    const T* x;
};
// s_j = sum of x_ij over i, or s_j += ..
template <class T> DEVICE void columns(const ColumnsArgs<T>& a) {
    sum_columns(a.to, [&](u64 i, u32) { return load(a.x, i); });
}
KERNELS(256, columns, ColumnsArgs)
