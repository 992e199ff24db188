// Convolution as a product of matrices, written out: the patches under a window as the rows of a matrix, and the way back.
// The readable reference of conv.cu, which never stores the matrix; as op/im2col.rs.
#include "prelude.cuh"

template <class T> struct Im2colArgs {
    const T* x; // im2col: images; col2im: columns
    T* y;
    Extent in, out;
    Window window;
    u32 rows;
};

// The input position that output p and tap t meet on an axis, or ~0.
DEVICE u64 input_at(const Window& w, u32 axis, u64 p, u64 t, u32 size) {
    const u64 reach = p * w.stride[axis] + t * w.dilation[axis], unit = w.gap[axis] + 1;
    if (reach < w.before[axis] || (reach - w.before[axis]) % unit || (reach - w.before[axis]) / unit >= size) return ~0ull;
    return (reach - w.before[axis]) / unit;
}

// columns[((n·area + p)·taps + t)·c + i] = x[n][q][i], 0 where a tap meets no input.
template <class T> DEVICE void im2col(const Im2colArgs<T>& a) {
    const u32* const size = a.window.size;
    const u64 taps = (u64)size[0] * size[1] * size[2], c = a.in.c;
    for (GRID(e, a.rows * area(a.out) * taps * c)) {
        const u64 i = e % c, t = e / c % taps, r = e / c / taps, n = r / area(a.out), p = r % area(a.out);
        const u64 d = input_at(a.window, 0, p / ((u64)a.out.h * a.out.w), t / (size[1] * size[2]), a.in.d);
        const u64 h = input_at(a.window, 1, p / a.out.w % a.out.h, t / size[2] % size[1], a.in.h);
        const u64 w = input_at(a.window, 2, p % a.out.w, t % size[2], a.in.w);
        const bool on = d != ~0ull && h != ~0ull && w != ~0ull;
        a.y[e] = on ? a.x[((n * a.in.d + d) * a.in.h + h) * a.in.w * c + w * c + i] : of_float<T>(0.f);
    }
}
KERNELS(256, im2col, Im2colArgs)

// The output position that tap t meets over input q on an axis, or ~0.
DEVICE u64 output_at(const Window& w, u32 axis, u64 q, u64 t, u32 size) {
    const u64 at = w.before[axis] + q * (w.gap[axis] + 1), back = t * w.dilation[axis];
    if (at < back || (at - back) % w.stride[axis] || (at - back) / w.stride[axis] >= size) return ~0ull;
    return (at - back) / w.stride[axis];
}

// x[n][q][i] = the sum of all elements of columns that came from it.
template <class T> DEVICE void col2im(const Im2colArgs<T>& a) {
    const u32* const size = a.window.size;
    const u64 taps = (u64)size[0] * size[1] * size[2], c = a.in.c;
    for (GRID(e, a.rows * length(a.in))) {
        const u64 i = e % c, n = e / length(a.in), q = e / c % area(a.in);
        float sum = 0.f;
        for (u64 t = 0; t < taps; t++) {
            const u64 d = output_at(a.window, 0, q / ((u64)a.in.h * a.in.w), t / (size[1] * size[2]), a.out.d);
            const u64 h = output_at(a.window, 1, q / a.in.w % a.in.h, t / size[2] % size[1], a.out.h);
            const u64 w = output_at(a.window, 2, q % a.in.w, t % size[2], a.out.w);
            if (d == ~0ull || h == ~0ull || w == ~0ull) continue;
            sum += load(a.x, ((((n * a.out.d + d) * a.out.h + h) * a.out.w + w) * taps + t) * c + i);
        }
        store(a.y, e, sum);
    }
}
KERNELS(256, col2im, Im2colArgs)
