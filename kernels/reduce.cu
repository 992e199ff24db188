// Sums in a fixed order.
#include "reduce.cuh"

template <class T> struct ColumnsArgs {
    Columns to;
    const T* x;
};
// s_j = sum of x_ij over i, or s_j += ..; with several parts, their sums.
template <class T> DEVICE void columns(const ColumnsArgs<T>& a) {
    sum_columns(a.to, [&](u64 i, u32) { return load(a.x, i); });
}
KERNELS(256, columns, ColumnsArgs)

// The parts in order, in double: there may be hundreds.
KERNEL(256, columns_parts, Columns) {
    for (GRID(j, a.c)) {
        double sum = 0;
        for (u32 p = 0; p < a.parts; p++) sum += a.work[(u64)p * a.c + j];
        put(a.s, j, (float)sum, a.add);
    }
}
