// Upsampling: the kernels of layer/upsample.rs, whose first lines say what they compute. Channels are taken in packs of V; Layouts
// count packs. Weights come from whole numbers, so that both directions round them alike.
#include "prelude.cuh"

// One axis. Output o lies at the input coordinate max(0, o·scale - shift) / unit.
struct Axis {
    u32 scale, shift; // 1, 0 for nearest; 2, f - 1 for linear; in - 1, 0 for aligned corners
    Divisor unit;     // f; 2 f; out - 1 or, for one output, 1
    Divisor back;     // scale, or 1 where it is 0
};
template <class T> struct UpsampleArgs {
    const T* from; // x, or dy in the backward pass
    T* to;         // y, or dx
    u64 n;         // packs of `to`
    Layout x, y;
    Axis axes[3];
    u32 add, unused;
};

// The input before an output, and the weight of the one behind it.
struct Tap { u32 i; float behind; };
DEVICE Tap tap(const Axis& a, u32 o, u32 inputs) {
    u64 at = (u64)o * a.scale;
    at = at > a.shift ? at - a.shift : 0;
    u32 i = (u32)divide(at, a.unit);
    if (i + 1 >= inputs) return {inputs - 1, 0};
    return {i, (float)(u32)(at - (u64)i * a.unit.d) / (float)a.unit.d};
}
DEVICE float weight(Tap t, u32 i) { return t.i == i ? 1.0f - t.behind : t.i + 1 == i ? t.behind : 0.0f; }

// The outputs whose taps may hold input `i`: those above coordinate i - 1 and below i + 1.
struct Range { u32 from, to; };
DEVICE Range outputs(const Axis& a, u32 i, u32 inputs, u32 outs) {
    Range r = {0, outs};
    if (i > 0) r.from = (u32)divide((u64)(i - 1) * a.unit.d + a.shift, a.back) + 1;
    if (i + 1 < inputs) r.to = min((u32)divide((u64)(i + 1) * a.unit.d + a.shift + a.back.d - 1, a.back), outs);
    return r;
}

// ----------------------------------------------------------------------------------------------------------- nearest

template <class T, int V> DEVICE void nearest_of(const UpsampleArgs<T>& a) {
    typedef Pack<T, V> P;
    for (GRID(i, a.n)) {
        Coordinates o = coordinates(i, a.y);
        u32 d = quotient(o.d, a.axes[0].unit), h = quotient(o.h, a.axes[1].unit), w = quotient(o.w, a.axes[2].unit);
        ((P*)a.to)[i] = ((const P*)a.from)[index(o.n, d, h, w, o.c, a.x)];
    }
}
template <class T, int V> DEVICE void nearest_gradient_of(const UpsampleArgs<T>& a) {
    typedef Pack<T, V> P;
    const u32 fd = a.axes[0].unit.d, fh = a.axes[1].unit.d, fw = a.axes[2].unit.d;
    for (GRID(i, a.n)) {
        Coordinates x = coordinates(i, a.x);
        float sum[V];
        for (int j = 0; j < V; j++) sum[j] = 0;
        for (u32 d = x.d * fd; d < (x.d + 1) * fd; d++)
            for (u32 h = x.h * fh; h < (x.h + 1) * fh; h++)
                for (u32 w = x.w * fw; w < (x.w + 1) * fw; w++) {
                    P p = ((const P*)a.from)[index(x.n, d, h, w, x.c, a.y)];
                    for (int j = 0; j < V; j++) sum[j] += to_float(p.v[j]);
                }
        put((P*)a.to + i, sum, a.add);
    }
}

// ------------------------------------------------------------------------------------------------------------ linear

template <class T, int V> DEVICE void linear_of(const UpsampleArgs<T>& a) {
    typedef Pack<T, V> P;
    for (GRID(i, a.n)) {
        Coordinates o = coordinates(i, a.y);
        Tap td = tap(a.axes[0], o.d, a.x.d.d), th = tap(a.axes[1], o.h, a.x.h.d), tw = tap(a.axes[2], o.w, a.x.w.d);
        float sum[V];
        for (int j = 0; j < V; j++) sum[j] = 0;
        for (u32 d = 0; d < (td.behind > 0 ? 2 : 1); d++)
            for (u32 h = 0; h < (th.behind > 0 ? 2 : 1); h++)
                for (u32 w = 0; w < (tw.behind > 0 ? 2 : 1); w++) {
                    P p = ((const P*)a.from)[index(o.n, td.i + d, th.i + h, tw.i + w, o.c, a.x)];
                    float lambda = weight(td, td.i + d) * weight(th, th.i + h) * weight(tw, tw.i + w);
                    for (int j = 0; j < V; j++) sum[j] += lambda * to_float(p.v[j]);
                }
        put((P*)a.to + i, sum, 0);
    }
}
template <class T, int V> DEVICE void linear_gradient_of(const UpsampleArgs<T>& a) {
    typedef Pack<T, V> P;
    for (GRID(i, a.n)) {
        Coordinates x = coordinates(i, a.x);
        Range rd = outputs(a.axes[0], x.d, a.x.d.d, a.y.d.d), rh = outputs(a.axes[1], x.h, a.x.h.d, a.y.h.d),
              rw = outputs(a.axes[2], x.w, a.x.w.d, a.y.w.d);
        float sum[V];
        for (int j = 0; j < V; j++) sum[j] = 0;
        for (u32 d = rd.from; d < rd.to; d++) {
            float ld = weight(tap(a.axes[0], d, a.x.d.d), x.d);
            for (u32 h = rh.from; h < rh.to; h++) {
                float lh = ld * weight(tap(a.axes[1], h, a.x.h.d), x.h);
                for (u32 w = rw.from; w < rw.to; w++) {
                    float lambda = lh * weight(tap(a.axes[2], w, a.x.w.d), x.w);
                    P p = ((const P*)a.from)[index(x.n, d, h, w, x.c, a.y)];
                    for (int j = 0; j < V; j++) sum[j] += lambda * to_float(p.v[j]);
                }
            }
        }
        put((P*)a.to + i, sum, a.add);
    }
}

template <class T> DEVICE void nearest_forward(const UpsampleArgs<T>& a) { nearest_of<T, 1>(a); }
template <class T> DEVICE void nearest_forward_wide(const UpsampleArgs<T>& a) { nearest_of<T, 16 / sizeof(T)>(a); }
template <class T> DEVICE void nearest_backward(const UpsampleArgs<T>& a) { nearest_gradient_of<T, 1>(a); }
template <class T> DEVICE void nearest_backward_wide(const UpsampleArgs<T>& a) { nearest_gradient_of<T, 16 / sizeof(T)>(a); }
template <class T> DEVICE void linear_forward(const UpsampleArgs<T>& a) { linear_of<T, 1>(a); }
template <class T> DEVICE void linear_forward_wide(const UpsampleArgs<T>& a) { linear_of<T, 16 / sizeof(T)>(a); }
template <class T> DEVICE void linear_backward(const UpsampleArgs<T>& a) { linear_gradient_of<T, 1>(a); }
template <class T> DEVICE void linear_backward_wide(const UpsampleArgs<T>& a) { linear_gradient_of<T, 16 / sizeof(T)>(a); }
KERNELS(256, nearest_forward, UpsampleArgs)
KERNELS(256, nearest_forward_wide, UpsampleArgs)
KERNELS(256, nearest_backward, UpsampleArgs)
KERNELS(256, nearest_backward_wide, UpsampleArgs)
KERNELS(256, linear_forward, UpsampleArgs)
KERNELS(256, linear_forward_wide, UpsampleArgs)
KERNELS(256, linear_backward, UpsampleArgs)
KERNELS(256, linear_backward_wide, UpsampleArgs)
