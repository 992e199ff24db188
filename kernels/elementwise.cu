// Copies and sums: the kernels of op/elementwise.rs.
#include "prelude.cuh"

template <class T> struct CopyOrAddArgs {
    const T* x;
    T* y;
    u64 n;
    u32 add, unused;
};

// y = x or y += x. x and y begin at multiples of 64 bytes.
template <class T> DEVICE void copy_or_add(const CopyOrAddArgs<T>& a) {
    constexpr int V = 16 / sizeof(T);
    typedef Pack<T, V> P;
    const u64 packs = a.n / V;
    for (GRID(i, packs)) {
        P x = ((const P*)a.x)[i];
        if (a.add) {
            P y = ((const P*)a.y)[i];
            for (int j = 0; j < V; j++) x.v[j] = of_float<T>(to_float(y.v[j]) + to_float(x.v[j]));
        }
        ((P*)a.y)[i] = x;
    }
    for (GRID(i, a.n - packs * V)) put(a.y, packs * V + i, load(a.x, packs * V + i), a.add);
}
KERNELS(256, copy_or_add, CopyOrAddArgs)
