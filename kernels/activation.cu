// Activations of whole arrays: element by element, softmax over rows, and the one with trained slopes.
#include "activation.cuh"
#include "pack.cuh"
#include "reduce.cuh"

// y = f(x); x may be y.
template <class T> struct ForwardArgs {
    const T* x;
    T* y;
    u64 n;
    Activation act;
};
template <class T> DEVICE void activation_forward(const ForwardArgs<T>& a) {
    for (GRID(i, packs<T>(a.n))) {
        float v[PACK<T>];
        load_pack(a.x, i, a.n, v);
#pragma unroll
        for (u32 q = 0; q < PACK<T>; q++) v[q] = activate(a.act, v[q]);
        store_pack(a.y, i, a.n, v);
    }
}
KERNELS(256, activation_forward, ForwardArgs)

// dy <- dy f'; `saved` is x or y as the activation wants.
template <class T> struct BackwardArgs {
    const T* saved;
    T* dy;
    u64 n;
    Activation act;
};
template <class T> DEVICE void activation_backward(const BackwardArgs<T>& a) {
    for (GRID(i, packs<T>(a.n))) {
        float v[PACK<T>], dy[PACK<T>];
        load_pack(a.saved, i, a.n, v), load_pack(a.dy, i, a.n, dy);
#pragma unroll
        for (u32 q = 0; q < PACK<T>; q++) dy[q] *= slope(a.act, v[q]);
        store_pack(a.dy, i, a.n, dy);
    }
}
KERNELS(256, activation_backward, BackwardArgs)

// ------------------------------------------------------------------------------------------------------------- softmax

// `lanes` neighbours in a warp (a power of 2 up to 32) work on a row of c.
template <class T> struct SoftmaxArgs {
    const T* x; // y in the backward pass
    T* y;       // dy in the backward pass
    u64 rows;
    u32 c, lanes;
};
// The row of this group, the same number of turns for all lanes of a warp; rows at and beyond a.rows are idle.
#define ROWS(row, a)                                                                                                     \
    u32 group = 256 / a.lanes, lane = threadIdx.x % a.lanes;                                                             \
    for (u64 first = (u64)blockIdx.x * group, row = first + threadIdx.x / a.lanes; first < a.rows;                       \
         first += (u64)gridDim.x * group, row += (u64)gridDim.x * group)

DEVICE float lanes_sum(float v, u32 lanes) {
    for (u32 o = lanes / 2; o; o /= 2) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}
DEVICE float lanes_max(float v, u32 lanes) {
    for (u32 o = lanes / 2; o; o /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, o));
    return v;
}

// y_i = e^(x_i - m)/sum_j e^(x_j - m), m = max_j x_j; x may be y.
template <class T> DEVICE void softmax_forward(const SoftmaxArgs<T>& a) {
    ROWS(row, a) {
        u32 c = row < a.rows ? a.c : 0;
        const T* x = a.x + row * a.c;
        T* y = a.y + row * a.c;
        float m = -3.402823466e38f, sum = 0.f;
        for (u32 i = lane; i < c; i += a.lanes) m = fmaxf(m, load(x, i));
        m = lanes_max(m, a.lanes);
        for (u32 i = lane; i < c; i += a.lanes) sum += expf(load(x, i) - m);
        sum = lanes_sum(sum, a.lanes);
        for (u32 i = lane; i < c; i += a.lanes) store(y, i, expf(load(x, i) - m) / sum);
    }
}
KERNELS(256, softmax_forward, SoftmaxArgs)

// dy_i <- y_i (dy_i - sum_j y_j dy_j)
template <class T> DEVICE void softmax_backward(const SoftmaxArgs<T>& a) {
    ROWS(row, a) {
        u32 c = row < a.rows ? a.c : 0;
        const T* y = a.x + row * a.c;
        T* dy = a.y + row * a.c;
        float dot = 0.f;
        for (u32 i = lane; i < c; i += a.lanes) dot = fmaf(load(y, i), load(dy, i), dot);
        dot = lanes_sum(dot, a.lanes);
        for (u32 i = lane; i < c; i += a.lanes) store(dy, i, load(y, i) * (load(dy, i) - dot));
    }
}
KERNELS(256, softmax_backward, SoftmaxArgs)

// --------------------------------------------------------------------------------------------------------------- PReLU

template <class T> struct PReluArgs {
    const T* x;
    const T* from; // x forward, dy backward
    T* to;         // y forward, dy backward
    const float* slopes;
    u64 n;
    Divisor c; // 1 where one slope serves all channels
    u32 unused;
};
DEVICE u32 channel(u64 i, u64 n, Divisor c) {
    if (n >= 1u << 31) return (u32)(i % c.d);
    return (u32)i - quotient((u32)i, c) * c.d;
}
// to = from where x > 0, slope from otherwise.
template <class T> DEVICE void prelu(const PReluArgs<T>& a) {
    for (GRID(i, packs<T>(a.n))) {
        float x[PACK<T>], v[PACK<T>];
        load_pack(a.x, i, a.n, x), load_pack(a.from, i, a.n, v);
        u32 k = channel(i * PACK<T>, a.n, a.c);
#pragma unroll
        for (u32 q = 0; q < PACK<T>; q++) {
            if (x[q] <= 0.f) v[q] *= a.slopes[k];
            k = k + 1 == a.c.d ? 0 : k + 1;
        }
        store_pack(a.to, i, a.n, v);
    }
}
KERNELS(256, prelu, PReluArgs)

// da_k = sum of dy x over the x <= 0 of channel k.
template <class T> struct PReluSlopesArgs {
    Columns to;
    const T* x;
    const T* dy;
};
template <class T> DEVICE void prelu_slopes(const PReluSlopesArgs<T>& a) {
    auto read = [&](u64 i, u32) {
        float x = load(a.x, i);
        return x <= 0.f ? load(a.dy, i) * x : 0.f;
    };
    sum_columns<1, 4>(a.to, read, [](u64, float x, float* v) { v[0] = x; });
}
KERNELS(256, prelu_slopes, PReluSlopesArgs)
