// Borders of zeros and cut-outs: the kernels of layer/pad.rs. Channels are taken in packs of V; Layouts count packs.
#include "prelude.cuh"

template <class T> struct FrameArgs {
    const T* x;
    T* y;
    u64 n; // packs of the array that the threads walk
    Layout small, large;
    u32 origin[3]; // of the small array in the large one
    u32 add;
};

template <class T> DEVICE u64 in_large(const FrameArgs<T>& a, u64 i) {
    Coordinates p = coordinates(i, a.small);
    return index(p.n, p.d + a.origin[0], p.h + a.origin[1], p.w + a.origin[2], p.c, a.large);
}
template <class T, int V> DEVICE void put_pack(Pack<T, V>* y, Pack<T, V> x, u32 add) {
    if (!add) {
        *y = x;
        return;
    }
    float v[V];
    for (int j = 0; j < V; j++) v[j] = to_float(x.v[j]);
    put(y, v, 1);
}

// small = its part of large, or small += it.
template <class T, int V> DEVICE void extract_of(const FrameArgs<T>& a) {
    typedef Pack<T, V> P;
    for (GRID(i, a.n)) put_pack((P*)a.y + i, ((const P*)a.x)[in_large(a, i)], a.add);
}
// large += small
template <class T, int V> DEVICE void add_within_of(const FrameArgs<T>& a) {
    typedef Pack<T, V> P;
    for (GRID(i, a.n)) put_pack((P*)a.y + in_large(a, i), ((const P*)a.x)[i], 1);
}
// large = small within zeros
template <class T, int V> DEVICE void enclose_of(const FrameArgs<T>& a) {
    typedef Pack<T, V> P;
    const Layout& s = a.small;
    for (GRID(i, a.n)) {
        Coordinates p = coordinates(i, a.large);
        // Below the origin the difference wraps to a large number.
        u32 d = p.d - a.origin[0], h = p.h - a.origin[1], w = p.w - a.origin[2];
        P v = {};
        if (d < s.d.d && h < s.h.d && w < s.w.d) v = ((const P*)a.x)[index(p.n, d, h, w, p.c, s)];
        ((P*)a.y)[i] = v;
    }
}

template <class T> DEVICE void extract(const FrameArgs<T>& a) { extract_of<T, 1>(a); }
template <class T> DEVICE void extract_wide(const FrameArgs<T>& a) { extract_of<T, 16 / sizeof(T)>(a); }
template <class T> DEVICE void add_within(const FrameArgs<T>& a) { add_within_of<T, 1>(a); }
template <class T> DEVICE void add_within_wide(const FrameArgs<T>& a) { add_within_of<T, 16 / sizeof(T)>(a); }
template <class T> DEVICE void enclose(const FrameArgs<T>& a) { enclose_of<T, 1>(a); }
template <class T> DEVICE void enclose_wide(const FrameArgs<T>& a) { enclose_of<T, 16 / sizeof(T)>(a); }
KERNELS(256, extract, FrameArgs)
KERNELS(256, extract_wide, FrameArgs)
KERNELS(256, add_within, FrameArgs)
KERNELS(256, add_within_wide, FrameArgs)
KERNELS(256, enclose, FrameArgs)
KERNELS(256, enclose_wide, FrameArgs)
