// The contrastive loss of loss/nt_xent.rs. Embedding i is view i mod 2 of sample i / 2; samples of weight 0 take no part.
#include "prelude.cuh"

template <class T> struct NtArgsOf {
    const T* y;
    T* dy;          // null where only values are wanted
    const float* w; // weights of the samples
    float* value;   // of the samples
    float* z;       // embeddings of length 1
    float* length;  // 1/|y|; 0 for what takes no part and for what has no direction
    float* g;       // S, then G: the gradient wrt S
    float* dz;
    const Control* control;
    double scale;
    float inverse; // 1/temperature
    u32 rows, c, unused;
};
typedef NtArgsOf<float> NtArgs;

// A warp for each embedding.
template <class T> DEVICE void nt_normalize(const NtArgsOf<T>& a) {
    for (u32 i = blockIdx.x * 8 + threadIdx.x / 32; i < 2 * a.rows; i += gridDim.x * 8) {
        const T* y = a.y + (u64)i * a.c;
        float* z = a.z + (u64)i * a.c;
        bool counts = a.w[i / 2] != 0.f;
        double square = 0;
        for (u32 k = threadIdx.x % 32; counts && k < a.c; k += 32) square += (double)load(y, k) * load(y, k);
        square = warp_sum(square);
        float length = square == 0 ? 0.f : (float)(1 / sqrt(square));
        for (u32 k = threadIdx.x % 32; k < a.c; k += 32) z[k] = length == 0.f ? 0.f : load(y, k) * length;
        if (threadIdx.x % 32 == 0) a.length[i] = length;
    }
}
KERNELS(256, nt_normalize, NtArgsOf)

// A block for each sample, one of its anchors after the other.
KERNEL(256, nt_compare, NtArgs) {
    __shared__ float scratch[32];
    __shared__ double sums[32];
    const u32 row = blockIdx.x, n = 2 * a.rows, lane = threadIdx.x % 32;
    const float w = a.w[row], lowest = __uint_as_float(0xff800000u);
    double value = 0;
    for (u32 i = 2 * row; i < 2 * row + 2; i++) {
        float* g = a.g + (u64)i * n;
        const float* z = a.z + (u64)i * a.c;
        for (u32 k = threadIdx.x / 32; k < n; k += 8) {
            const float* other = a.z + (u64)k * a.c;
            float s = 0.f;
            for (u32 e = lane; e < a.c; e += 32) s += z[e] * other[e];
            s = warp_sum(s);
            if (lane == 0) g[k] = k == i || a.w[k / 2] == 0.f ? lowest : s * a.inverse;
        }
        __syncthreads();
        if (w == 0.f) { // the same for the whole block
            for (u32 k = threadIdx.x; k < n; k += 256) g[k] = 0.f;
            __syncthreads();
            continue;
        }
        float top = lowest, other = g[i ^ 1];
        for (u32 k = threadIdx.x; k < n; k += 256) top = fmaxf(top, g[k]);
        top = block_max(top, scratch);
        double sum = 0;
        for (u32 k = threadIdx.x; k < n; k += 256) sum += expf(g[k] - top);
        sum = block_sum(sum, sums);
        value += (double)(top - other) + logf((float)sum);
        float share = (float)(0.5 * a.scale * w) * a.control->state.loss_scale;
        __syncthreads();
        for (u32 k = threadIdx.x; k < n; k += 256) g[k] = share * (expf(g[k] - top) / (float)sum - (k == (i ^ 1) ? 1.f : 0.f));
        __syncthreads();
    }
    if (threadIdx.x == 0) a.value[row] = w == 0.f ? 0.f : (float)(0.5 * w * value);
}

// A block for each embedding: dz = (G + G^T) z / temperature, dy = (dz - (dz z) z)/|y|.
template <class T> DEVICE void nt_gradient(const NtArgsOf<T>& a) {
    __shared__ double sums[32];
    const u32 i = blockIdx.x, n = 2 * a.rows;
    const float* z = a.z + (u64)i * a.c;
    float* dz = a.dz + (u64)i * a.c;
    const float length = a.length[i];
    double along = 0;
    for (u32 e = threadIdx.x; e < a.c; e += 256) {
        float sum = 0.f;
        for (u32 k = 0; k < n; k++) sum += (a.g[(u64)i * n + k] + a.g[(u64)k * n + i]) * a.z[(u64)k * a.c + e];
        dz[e] = sum * a.inverse;
        along += (double)dz[e] * z[e];
    }
    along = block_sum(along, sums);
    for (u32 e = threadIdx.x; e < a.c; e += 256)
        store(a.dy, (u64)i * a.c + e, length == 0.f ? 0.f : (dz[e] - (float)along * z[e]) * length);
}
KERNELS(256, nt_gradient, NtArgsOf)
