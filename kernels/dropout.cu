// Dropout: the kernels of layer/dropout.rs, which draw the very masks that the CPU draws.
#include "prelude.cuh"

// Word e mod 4 of block e / 4 decides about element e. The count of forward passes is the step's, so a captured step draws anew.
struct Coin {
    const Control* control;
    u64 key;
    u32 threshold;
    float keep; // factor of what stays
};
DEVICE float toss(const Coin& c, u32 word) { return word >> 8 < c.threshold ? 0.0f : c.keep; }

template <class T> struct DropElementsArgs {
    const T* x;
    T* y;
    u64 n;
    Coin coin;
    u32 add, unused;
};
// y = m x or y += m x
template <class T> DEVICE void drop_elements(const DropElementsArgs<T>& a) {
    const u64 forward = a.coin.control->params.forward;
    for (GRID(i, (a.n + 3) / 4)) {
        Words words = philox(a.coin.key, forward, i);
        float m[4];
        for (int j = 0; j < 4; j++) m[j] = toss(a.coin, words.w[j]);
        if (4 * i + 4 <= a.n) {
            Pack<T, 4> x = ((const Pack<T, 4>*)a.x)[i];
            for (int j = 0; j < 4; j++) m[j] *= to_float(x.v[j]);
            put((Pack<T, 4>*)a.y + i, m, a.add);
        } else {
            for (int j = 0; j < 4; j++)
                if (4 * i + j < a.n) put(a.y, 4 * i + j, m[j] * load(a.x, 4 * i + j), a.add);
        }
    }
}
KERNELS(256, drop_elements, DropElementsArgs)

// m: one factor for each channel of each row.
struct TossChannelsArgs {
    float* m;
    u64 n;
    Coin coin;
};
KERNEL(256, toss_channels, TossChannelsArgs) {
    const u64 forward = a.coin.control->params.forward;
    for (GRID(i, (a.n + 3) / 4)) {
        Words words = philox(a.coin.key, forward, i);
        for (int j = 0; j < 4; j++)
            if (4 * i + j < a.n) a.m[4 * i + j] = toss(a.coin, words.w[j]);
    }
}

template <class T> struct MultiplyChannelsArgs {
    const T* x;
    T* y;
    const float* m;
    u64 n; // packs
    Layout e;
    u32 add, unused;
};
template <class T, int V> DEVICE void multiply_channels_of(const MultiplyChannelsArgs<T>& a) {
    typedef Pack<T, V> P;
    for (GRID(i, a.n)) {
        Coordinates p = coordinates(i, a.e);
        Pack<float, V> m = ((const Pack<float, V>*)a.m)[p.n * a.e.c.d + p.c];
        P x = ((const P*)a.x)[i];
        for (int j = 0; j < V; j++) m.v[j] *= to_float(x.v[j]);
        put((P*)a.y + i, m.v, a.add);
    }
}
template <class T> DEVICE void multiply_channels(const MultiplyChannelsArgs<T>& a) { multiply_channels_of<T, 1>(a); }
template <class T> DEVICE void multiply_channels_wide(const MultiplyChannelsArgs<T>& a) { multiply_channels_of<T, 16 / sizeof(T)>(a); }
KERNELS(256, multiply_channels, MultiplyChannelsArgs)
KERNELS(256, multiply_channels_wide, MultiplyChannelsArgs)

template <class T> struct ScaleArgs {
    const T* x;
    T* y;
    u64 n;
    float factor;
    u32 add;
};
template <class T> DEVICE void scale(const ScaleArgs<T>& a) {
    constexpr int V = 16 / sizeof(T);
    typedef Pack<T, V> P;
    const u64 packs = a.n / V;
    for (GRID(i, packs)) {
        P x = ((const P*)a.x)[i];
        float v[V];
        for (int j = 0; j < V; j++) v[j] = a.factor * to_float(x.v[j]);
        put((P*)a.y + i, v, a.add);
    }
    for (GRID(i, a.n - packs * V)) put(a.y, packs * V + i, a.factor * load(a.x, packs * V + i), a.add);
}
KERNELS(256, scale, ScaleArgs)
