// The sizes of a convolution as its kernels see them, and what all of them share. As in op/conv_cuda.rs.
//
// Every direction is a *gather*: out(p, j) = sum over taps t and channels i of in[q(p, t)][i]·w(t, i, j). On each axis the
// outputs fall into phases that meet the same taps (op/conv_plan.rs); a Part is one combination of phases over the three
// axes, and in it output `first + j·step` and tap i meet input `origin + j·stride + i·dilation`. Without gaps in the
// input (forward) or strides (gradient) there is one part.
#pragma once
#include "activation.cuh"

struct Part {
    u32 count[3];  // outputs along d, h, w
    u32 first[3];  // the first of them
    int origin[3]; // the input that the first output and the first tap meet
    u32 taps[3];
    int weight;    // the first tap, counted in the weights
    u32 all;       // taps in all
    Divisor area, plane, line;     // count d·h·w, h·w, w
    Divisor taps_plane, taps_line; // taps h·w, w
};
constexpr u32 PARTS = 8; // of one launch

struct Gather {
    Extent x, y; // input and output of the gather: for the data gradient dy and dx
    int stride[3], dilation[3];
    u32 step[3];
    int tap_step[3];  // from a part's tap to the next, counted in the weights
    Divisor channels; // of the input in a group
    u32 columns;      // channels of the output in a group
    u32 groups, parts, rows;
    // Where w(t, i, j) of a group lies: t·w_tap + i·w_channel + group·w_group + j·w_column.
    u32 w_tap, w_channel, w_group, w_column;
    // log2 of the sizes of the windows that are pooled: 2^cells outputs that follow each other, y is of the windows, and so are the planes and
    // lines of a part. All 0: nothing is pooled.
    u32 cells[3];
    Part part[PARTS];
};

template <class T, class W> struct ConvArgs {
    const T* x;
    const W* w;
    const float* bias; // may be null
    T* y;
    T* z; // the values before the activation are kept here, if not null
    u8* winner; // of pooled windows: the cell of each maximum, if not null
    Gather g;
    Activation act;
    u32 m_tiles, n_tiles; // of one part and group
    u32 add;              // 1: y += result, then without bias and activation
    u32 width;            // log2 of a tile's outputs along w, for direct kernels
    Divisor across;       // for grouped kernels: columns of all groups, or quarters of them
    Divisor group;        // columns
};

template <class T> struct WeightArgs {
    const T* x;
    const T* dy;
    float* dw;   // the weights, or one copy for each chunk
    u64 weights; // elements of a copy
    Gather g;
    u32 m_tiles, n_tiles;
    u32 chunks, length; // outputs (direct kernels: tiles) of a chunk, all samples counted through
    u32 add;
    u32 width, filters; // log2 of a tile's outputs along w and of a block's filters, for the direct kernel
    Divisor group;      // columns
};

// An output: the input that the first tap meets, the sample.
struct alignas(16) Anchor { int d, h, w; u32 n; };
// A tap with a channel: its distance from the first, and the channel in the input.
struct alignas(16) Tap { int d, h, w; u32 channel; };
// Coordinates stay below 2^28, which planning checks, so that either of these leads out of the image.
constexpr int NO_ANCHOR = -(1 << 30), NO_TAP = 1 << 29;
constexpr u64 NOWHERE = ~0ull;

// log2 of the cells of a window.
DEVICE u32 cells_of(const Gather& g) { return g.cells[0] + g.cells[1] + g.cells[2]; }

// Output r of a part, counted from sample n; `to` becomes its place in y, or that of its window.
DEVICE Anchor locate(const Gather& g, const Part& p, u32 n, u32 r, u64& to) {
    u32 more = quotient(r, p.area);
    n += more, r -= more * p.area.d;
    const u32 cell = r & ((1u << cells_of(g)) - 1);
    r >>= cells_of(g);
    u32 d = quotient(r, p.plane);
    r -= d * p.plane.d;
    u32 h = quotient(r, p.line), w = r - h * p.line.d;
    to = NOWHERE;
    if (n >= g.rows) return {NO_ANCHOR, 0, 0, 0};
    u32 yd = p.first[0] + d * g.step[0], yh = p.first[1] + h * g.step[1], yw = p.first[2] + w * g.step[2];
    to = n * length(g.y) + ((yd * g.y.h + yh) * g.y.w + yw) * g.y.c;
    d = d << g.cells[0] | cell >> (g.cells[1] + g.cells[2]);
    h = h << g.cells[1] | (cell >> g.cells[2] & ((1u << g.cells[1]) - 1));
    w = w << g.cells[2] | (cell & ((1u << g.cells[2]) - 1));
    return {p.origin[0] + (int)d * g.stride[0], p.origin[1] + (int)h * g.stride[1], p.origin[2] + (int)w * g.stride[2], n};
}

// The number of a part's tap t among all taps of the weights.
DEVICE int tap_number(const Gather& g, const Part& p, u32 t) {
    u32 d = quotient(t, p.taps_plane), r = t - d * p.taps_plane.d, h = quotient(r, p.taps_line), w = r - h * p.taps_line.d;
    return p.weight + (int)d * g.tap_step[0] + (int)h * g.tap_step[1] + (int)w * g.tap_step[2];
}

// Row k = tap·channels + channel of the weights of a part and group; `weight` becomes the place of its column 0.
DEVICE Tap tap_of(const Gather& g, const Part& p, u32 group, u32 k, u32& weight) {
    u32 t = quotient(k, g.channels), i = k - t * g.channels.d;
    if (t >= p.all) {
        weight = ~0u;
        return {NO_TAP, 0, 0, 0};
    }
    u32 d = quotient(t, p.taps_plane), r = t - d * p.taps_plane.d, h = quotient(r, p.taps_line), w = r - h * p.taps_line.d;
    weight = (u32)tap_number(g, p, t) * g.w_tap + i * g.w_channel + group * g.w_group;
    return {(int)d * g.dilation[0], (int)h * g.dilation[1], (int)w * g.dilation[2], group * g.channels.d + i};
}

// Whether the tap meets an input there; `at` becomes its place in the sample.
DEVICE bool meets(const Extent& x, const Anchor& q, const Tap& t, u32& at) {
    u32 d = (u32)(q.d + t.d), h = (u32)(q.h + t.h), w = (u32)(q.w + t.w);
    at = ((d * x.h + h) * x.w + w) * x.c + t.channel;
    return d < x.d && h < x.h && w < x.w;
}

// What a block works on: tiles of columns run fastest, then tiles of outputs, groups, parts.
struct Block { u32 n, m, group, part; };
DEVICE Block block_of(u32 index, u32 n_tiles, u32 m_tiles, u32 groups) {
    u32 n = index % n_tiles, rest = index / n_tiles, m = rest % m_tiles;
    rest /= m_tiles;
    return {n, m, rest % groups, rest / groups};
}

// Writes one result of column j.
template <class T, class W> DEVICE void finish(const ConvArgs<T, W>& a, u64 to, u32 j, float v) {
    if (a.add) return put(a.y, to + j, v, 1);
    if (a.bias) v += a.bias[j];
    if (a.z) store(a.z, to + j, v);
    store(a.y, to + j, activate(a.act, v));
}

DEVICE void add_bias4(const float* bias, u32 j, float* v) {
#pragma unroll
    for (u32 i = 0; i < 4; i++)
        if (bias) v[i] += bias[j + i];
}
DEVICE void activate4(const Activation& act, float* v) {
    if (act.kind == LINEAR) return;
    // The values rotate through one copy of the long text of `activate`.
#pragma unroll 1
    for (u32 i = 0; i < 4; i++) {
        const float y = activate(act, v[0]);
        v[0] = v[1], v[1] = v[2], v[2] = v[3], v[3] = y;
    }
}

// The same of four columns from j on, aligned.
template <class T, class W> DEVICE void finish4(const ConvArgs<T, W>& a, u64 to, u32 j, float4 sum) {
    float v[4] = {sum.x, sum.y, sum.z, sum.w};
    if (a.add) {
        const float4 y = load4(a.y + to + j);
        return store4(a.y + to + j, make_float4(y.x + v[0], y.y + v[1], y.z + v[2], y.w + v[3]));
    }
    add_bias4(a.bias, j, v);
    if (a.z) store4(a.z + to + j, make_float4(v[0], v[1], v[2], v[3]));
    activate4(a.act, v);
    store4(a.y + to + j, make_float4(v[0], v[1], v[2], v[3]));
}

// The maximum of each of four columns from j on over the cells of a window, whose sums begin at `sums` and lie `pitch` apart.
template <class T, class W> DEVICE void finish_window4(const ConvArgs<T, W>& a, u64 to, u32 j, const float* sums, u32 pitch) {
    float best[4];
    u32 winner = 0;
#pragma unroll
    for (u32 i = 0; i < 4; i++) best[i] = __uint_as_float(LOWEST);
#pragma unroll 1
    for (u32 cell = 0; cell < 1u << cells_of(a.g); cell++) {
        const float4 sum = load4(sums + cell * pitch);
        float v[4] = {sum.x, sum.y, sum.z, sum.w};
        add_bias4(a.bias, j, v);
        activate4(a.act, v);
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            // As a pass of its own would read it.
            const float y = to_float(of_float<T>(v[i]));
            const bool wins = beats(y, best[i]);
            best[i] = wins ? y : best[i];
            winner = wins ? (winner & ~(255u << i * 8)) | cell << i * 8 : winner;
        }
    }
    store4(a.y + to + j, make_float4(best[0], best[1], best[2], best[3]));
    if (a.winner) *(u32*)(a.winner + to + j) = winner;
}
