// y = asinh(a·x) with a = exp(s), one s for each channel; dx = dy·a/√(1 + (a·x)²), ds = Σ dy·a·x/√(1 + (a·x)²).
#include "prelude.cuh"

template <class T> struct AsinhArgs {
    const T* x;
    T* y; // dx in the backward pass
    const T* dy;
    const float* s;
    float* ds;
    u64 n;
    u32 channels, add;
};

template <class T> DEVICE void asinh_forward(const AsinhArgs<T>& a) {
    for (GRID(i, a.n)) store(a.y, i, asinhf(expf(a.s[i % a.channels]) * load(a.x, i)));
}
KERNELS(256, asinh_forward, AsinhArgs)

template <class T> DEVICE void asinh_backward(const AsinhArgs<T>& a) {
    for (GRID(i, a.n)) {
        float scale = expf(a.s[i % a.channels]), z = scale * load(a.x, i);
        put(a.y, i, load(a.dy, i) * scale / sqrtf(1 + z * z), a.add);
    }
}
KERNELS(256, asinh_backward, AsinhArgs)

// One block for each channel: its sum has the same order in every run.
template <class T> DEVICE void asinh_slope(const AsinhArgs<T>& a) {
    __shared__ float scratch[32];
    float scale = expf(a.s[blockIdx.x]), sum = 0;
    for (u64 i = blockIdx.x + (u64)threadIdx.x * a.channels; i < a.n; i += (u64)blockDim.x * a.channels) {
        float z = scale * load(a.x, i);
        sum += load(a.dy, i) * z / sqrtf(1 + z * z);
    }
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) put(a.ds, blockIdx.x, sum, a.add);
}
KERNELS(256, asinh_slope, AsinhArgs)
