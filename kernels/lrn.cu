// Local response normalisation: the kernels of layer/lrn.rs, whose first lines say what they compute.
#include "prelude.cuh"

// s^(-beta); the usual exponents without a logarithm.
DEVICE float power(float beta, float s) {
    if (beta == 0.75f) return 1.0f / (sqrtf(s) * sqrtf(sqrtf(s)));
    if (beta == 0.5f) return 1.0f / sqrtf(s);
    if (beta == 1.0f) return 1.0f / s;
    return expf(-beta * logf(s));
}

template <class T> struct LrnForwardArgs {
    const T* x;
    float* s;
    T* y;
    u64 n;
    Divisor c;
    u32 reach; // below c
    float k, a, beta;
    u32 unused;
};
template <class T> DEVICE void lrn_forward(const LrnForwardArgs<T>& a) {
    for (GRID(i, a.n)) {
        const u32 c = (u32)(i - divide(i, a.c) * a.c.d);
        const float x = load(a.x, i);
        float s = a.k + a.a * x * x;
        for (u32 o = 1; o <= a.reach; o++) {
            float below = o <= c ? load(a.x, i - o) : 0.0f, above = o < a.c.d - c ? load(a.x, i + o) : 0.0f;
            s += a.a * below * below;
            s += a.a * above * above;
        }
        a.s[i] = s;
        store(a.y, i, x * power(a.beta, s));
    }
}
KERNELS(256, lrn_forward, LrnForwardArgs)

template <class T> struct LrnBackwardArgs {
    const T* x;
    const float* s;
    const T* dy;
    T* dx;
    u64 n;
    Divisor c;
    u32 reach;
    float factor; // -2 a beta
    float beta;
    u32 add, unused;
};
// dy x s^(-beta-1)
template <class T> DEVICE float pull(const LrnBackwardArgs<T>& a, u64 j) {
    return load(a.dy, j) * power(a.beta, a.s[j]) * load(a.x, j) / a.s[j];
}
template <class T> DEVICE void lrn_backward(const LrnBackwardArgs<T>& a) {
    for (GRID(i, a.n)) {
        const u32 c = (u32)(i - divide(i, a.c) * a.c.d);
        const float x = load(a.x, i), own = load(a.dy, i) * power(a.beta, a.s[i]);
        float sum = own * x / a.s[i];
        for (u32 o = 1; o <= a.reach; o++) {
            if (o <= c) sum += pull(a, i - o);
            if (o < a.c.d - c) sum += pull(a, i + o);
        }
        put(a.dx, i, own + a.factor * x * sum, a.add);
    }
}
KERNELS(256, lrn_backward, LrnBackwardArgs)
