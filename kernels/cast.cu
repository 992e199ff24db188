// From one storage type to another.
#include "prelude.cuh"

template <class A, class B> struct CastArgs {
    const A* x;
    B* y;
    u64 n;
};
// Four elements in flight per thread; the types differ in size, so they move one by one.
template <class A, class B> DEVICE void cast(const CastArgs<A, B>& a) {
    for (GRID(i, (a.n + 3) / 4)) {
        u64 stride = (a.n + 3) / 4;
        float v[4];
#pragma unroll
        for (u32 q = 0; q < 4; q++) v[q] = i + q * stride < a.n ? load(a.x, i + q * stride) : 0.f;
#pragma unroll
        for (u32 q = 0; q < 4; q++)
            if (i + q * stride < a.n) store(a.y, i + q * stride, v[q]);
    }
}
KERNEL(256, cast_f32_bf16, CastArgs<float, bf16>) { cast(a); }
KERNEL(256, cast_f32_f16, CastArgs<float, f16>) { cast(a); }
