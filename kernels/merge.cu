// Channels side by side: the kernel of layer/merge.rs. Channels are taken, and counted, in packs of V.
#include "prelude.cuh"

template <class T> struct CopyChannelsArgs {
    const T* x;
    T* y;
    u64 n;             // packs copied: positions times c
    Divisor c;         // channels copied at each position
    u32 x_c, x_at;     // channels of x, and the first one copied
    u32 y_c, y_at, add;
};

// y(p, y_at..) = x(p, x_at..) for c channels at every position p, or += .
template <class T, int V> DEVICE void copy_channels_of(const CopyChannelsArgs<T>& a) {
    typedef Pack<T, V> P;
    for (GRID(i, a.n)) {
        u64 p = divide(i, a.c);
        u32 c = (u32)(i - p * a.c.d);
        P x = ((const P*)a.x)[p * a.x_c + a.x_at + c];
        P* y = (P*)a.y + (p * a.y_c + a.y_at + c);
        if (a.add) {
            float v[V];
            for (int j = 0; j < V; j++) v[j] = to_float(x.v[j]);
            put(y, v, 1);
        } else {
            *y = x;
        }
    }
}

template <class T> DEVICE void copy_channels(const CopyChannelsArgs<T>& a) { copy_channels_of<T, 1>(a); }
template <class T> DEVICE void copy_channels_wide(const CopyChannelsArgs<T>& a) { copy_channels_of<T, 16 / sizeof(T)>(a); }
KERNELS(256, copy_channels, CopyChannelsArgs)
KERNELS(256, copy_channels_wide, CopyChannelsArgs)
