// Around the products of a convolution: sums of its chunks, and what no product reaches.
#include "activation.cuh"

struct ConvSumArgs {
    const float* parts; // [chunks][n]
    float* dw;
    u64 n;
    u32 chunks, add;
};
// dw = the sum of all chunks, in order.
KERNEL(256, conv_sum, ConvSumArgs) {
    for (GRID(i, a.n)) {
        float sum = 0.f;
        for (u32 c = 0; c < a.chunks; c++) sum += a.parts[c * a.n + i];
        put(a.dw, i, sum, a.add);
    }
}

template <class T> struct ConvStartArgs {
    const float* bias; // may be null
    T* y;
    T* z;
    u64 n;
    Activation act;
    Divisor channels;
    u32 unused;
};
// What outputs are that meet no tap: the activation of the bias.
template <class T> DEVICE void conv_start(const ConvStartArgs<T>& a) {
    for (GRID(i, a.n)) {
        const float v = a.bias ? a.bias[i % a.channels.d] : 0.f;
        if (a.z) store(a.z, i, v);
        store(a.y, i, activate(a.act, v));
    }
}
KERNELS(256, conv_start, ConvStartArgs)

struct ConvClearArgs { float* dw; u64 n; };
// Zeros, for weights that meet no output.
KERNEL(256, conv_clear, ConvClearArgs) {
    for (GRID(i, a.n)) a.dw[i] = 0.f;
}
