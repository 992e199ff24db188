// A convolution of few channels and filters with its activation and the maximum over windows behind it: y = max over each window of
// act(b + conv(x, w)) in one launch, and all gradients in one. As op/conv_unit.rs, which says where it is chosen; layer/conv.rs has
// the equations.
//
// `winner` tells for each output which cell of its window won: the first of several equal ones. NONE: nothing passes back, since the
// rectifier was off. Every sum is gathered by one thread, in an order that follows from the plan.
#include "activation.cuh"
#include "reduce.cuh"

constexpr u8 NONE = 255;

struct Unit {
    Extent x, y, p; // input, outputs of the convolution, and of the windows
    u32 size[3], dilation[3], before[3];
    Divisor stride[3], pool[3];
    u32 cell[8];    // d, h, w of each cell of a window, a byte each
    u32 rows, taps; // samples; taps of all axes
    u32 winner_row; // bytes of `winner` for a sample
};

// What lies in shared memory, plane by plane: value (d, h, w) of channel c at c slab + (d h' + h) w' + w.
struct Slab {
    u32 d, h, w, slab;
    Divisor line, high, channels; // values of a line of all channels; h; channels
};

// A tile of planes from (d, h, w) on, which may lie outside.
struct Origin { int d, h, w; };

// Copies `n` values to shared memory, E by E, so that the loads of a thread are under way together.
template <int E, class Value, class Put> DEVICE void stage(u32 n, Value value, Put put) {
    for (u32 first = threadIdx.x; first < n; first += 256 * E) {
        float v[E];
#pragma unroll
        for (u32 e = 0; e < E; e++) v[e] = first + 256 * e < n ? value(first + 256 * e) : 0.f;
#pragma unroll
        for (u32 e = 0; e < E; e++)
            if (first + 256 * e < n) put(first + 256 * e, v[e]);
    }
}

// The tile of a sample of x; zeros outside of the image.
template <class T> DEVICE void stage_x(const Slab& s, const Extent& e, const T* x, Origin o, float* xs) {
    const u32 all = s.d * s.h * s.line.d;
    auto place = [&](u32 i, u32& row, u32& j) {
        row = quotient(i, s.line);
        const u32 rest = i - row * s.line.d;
        j = quotient(rest, s.channels);
        return rest - j * s.channels.d;
    };
    stage<8>(
        all,
        [&](u32 i) -> float {
            u32 row, j;
            const u32 c = place(i, row, j), slice = quotient(row, s.high);
            const u32 d = (u32)(o.d + (int)slice), h = (u32)(o.h + (int)(row - slice * s.high.d)), w = (u32)(o.w + (int)j);
            return d < e.d && h < e.h && w < e.w ? load(x, ((d * e.h + h) * e.w + w) * e.c + c) : 0.f;
        },
        [&](u32 i, float v) {
            u32 row, j;
            const u32 c = place(i, row, j);
            xs[c * s.slab + row * s.w + j] = v;
        });
}

// The first line of windows of a band; lines of all slices count through, and a band that is not whole lies in the only one.
DEVICE Origin band_origin(const Unit& u, u32 line) {
    const int h = (int)(line * u.pool[1].d * u.stride[1].d);
    return {-(int)u.before[0], h - (int)u.before[1], -(int)u.before[2]};
}

// Where the input of the first tap and cell of window o of a band lies in a plane.
DEVICE u32 window_base(const Unit& u, const Slab& s, u32 o, u32 high) {
    const u32 line = o / u.p.w, w = o - line * u.p.w, d = line / high, h = line - d * high;
    return (d * u.pool[0].d * u.stride[0].d * s.h + h * u.pool[1].d * u.stride[1].d) * s.w + w * u.pool[2].d * u.stride[2].d;
}
DEVICE u32 cell_offset(const Unit& u, const Slab& s, u32 k) {
    const u32 c = u.cell[k];
    return ((c >> 16) * u.stride[0].d * s.h + (c >> 8 & 255) * u.stride[1].d) * s.w + (c & 255) * u.stride[2].d;
}

// ----------------------------------------------------------------------------------------------------------- forward

template <class T> struct UnitArgs {
    const T* x;
    const float* w;
    const float* bias; // may be null
    T* y;
    u8* winner; // null where nothing passes back
    Unit u;
    Slab s;
    Activation act; // does not decrease
    u32 lines, bands;        // lines of windows of a block, and how many blocks cover a sample
    u32 log_filters, groups; // filters of a block, and how many blocks cover them
    u32 high;                // lines of windows in a slice of a band
};

// A thread takes one window for four filters. Grid: groups of filters, bands, samples, the first fastest. Shared: weights
// [taps channels][filters], the tile of x.
template <class T, int CELLS> DEVICE void unit_forward(const UnitArgs<T>& a) {
    SHARED(float, ws);
    const Unit& u = a.u;
    const u32 group = blockIdx.x % a.groups, rest = blockIdx.x / a.groups, band = rest % a.bands, n = rest / a.bands;
    const u32 filters = 1u << a.log_filters, f0 = group << a.log_filters, depth = u.taps * u.x.c;
    float* const xs = ws + (depth << a.log_filters);
    stage<8>(
        depth << a.log_filters,
        [&](u32 i) -> float {
            const u32 f = f0 + (i & (filters - 1));
            return f < u.p.c ? a.w[(i >> a.log_filters) * u.p.c + f] : 0.f;
        },
        [&](u32 i, float v) { ws[i] = v; });
    const u32 first = band * a.lines, lines = min(a.lines, u.p.d * u.p.h - first), windows = lines * u.p.w;
    stage_x(a.s, u.x, a.x + n * length(u.x), band_origin(u, first), xs);
    __syncthreads();
    u32 cell[CELLS];
#pragma unroll
    for (int k = 0; k < CELLS; k++) cell[k] = cell_offset(u, a.s, k);
    for (u32 item = threadIdx.x; item < windows << (a.log_filters - 2); item += 256) {
        const u32 quad = item / windows, o = item - quad * windows;
        const float* const from = xs + window_base(u, a.s, o, a.high);
        const float* w = ws + 4 * quad;
        float acc[CELLS][4] = {};
        for (u32 td = 0; td < u.size[0]; td++)
            for (u32 th = 0; th < u.size[1]; th++)
                for (u32 tw = 0; tw < u.size[2]; tw++) {
                    const float* x = from + (td * u.dilation[0] * a.s.h + th * u.dilation[1]) * a.s.w + tw * u.dilation[2];
#pragma unroll 2
                    for (u32 c = 0; c < u.x.c; c++, x += a.s.slab, w += filters) {
                        const float4 v = *(const float4*)w;
#pragma unroll
                        for (int k = 0; k < CELLS; k++) {
                            const float q = x[cell[k]];
                            acc[k][0] = fmaf(q, v.x, acc[k][0]), acc[k][1] = fmaf(q, v.y, acc[k][1]);
                            acc[k][2] = fmaf(q, v.z, acc[k][2]), acc[k][3] = fmaf(q, v.w, acc[k][3]);
                        }
                    }
                }
        const u64 at = n * length(u.p) + (first * u.p.w + o) * u.p.c;
        const u64 mark = (u64)n * u.winner_row + (first * u.p.w + o) * u.p.c;
        float best[4];
        u32 won[4];
#pragma unroll
        for (int q = 0; q < 4; q++) {
            best[q] = acc[0][q], won[q] = 0;
#pragma unroll
            for (int k = 1; k < CELLS; k++)
                if (beats(acc[k][q], best[q])) best[q] = acc[k][q], won[q] = k;
        }
#pragma unroll 1
        for (u32 f = f0 + 4 * quad, q = 0; q < 4; q++, f++) {
            if (f < u.p.c) {
                const T y = of_float<T>(activate(a.act, a.bias ? best[0] + a.bias[f] : best[0]));
                a.y[at + f] = y;
                if (a.winner) a.winner[mark + f] = a.act.kind == RELU && !(to_float(y) > 0.f) ? NONE : (u8)won[0];
            }
            // Registers have no index: the next one moves to the front.
            best[0] = best[1], best[1] = best[2], best[2] = best[3];
            won[0] = won[1], won[1] = won[2], won[2] = won[3];
        }
    }
}

// ---------------------------------------------------------------------------------------------------------- backward

template <class T> struct UnitGradientArgs {
    const T* x;
    const float* w;
    const T* dy;
    const T* saved;   // y
    const u8* winner; // or null: windows of one cell, all of which pass
    T* dx;
    float* dw;
    float* db;
    float* sums;  // [group][chunk][row of weights][4]
    u32* arrived; // a counter for each group
    Unit u;
    Slab s, z;      // tiles of x, and of the gradients of the convolution's outputs
    Activation act; // whose slope is still to be multiplied
    u32 blocks;     // for dx; the others are for dw and db
    u32 lines, bands, high;            // of windows, for dw
    u32 length, chunks; // bands of a block for dw, all samples counted through, and how many blocks cover them
    u32 groups;         // of four filters
    u32 span;                          // for dw: threads side by side for the rows of a filter, a power of 2
    u32 x_lines, x_bands, filters;     // for dx: lines of x of a block, how many blocks cover a sample; filters in shared memory at once
    u32 add_dx, add_dw, add_db;
};

// dy times the slope of the activation at `at` of a sample, NONE not asked.
template <class T> DEVICE float passed(const UnitGradientArgs<T>& a, u64 at) {
    const float dy = load(a.dy, at);
    if (a.act.kind == LINEAR) return dy;
    return dy * slope(a.act, load(a.saved, at));
}

struct alignas(8) Entry { float g; u32 base; };

// The gradients of the windows of a band for four filters, and where the inputs of the cells that won lie.
template <int E, class T> DEVICE void stage_entries(const UnitGradientArgs<T>& a, u32 n, u32 first, u32 windows, u32 f0, Entry* entries) {
    const Unit& u = a.u;
    stage<E>(
        4 * windows,
        [&](u32 i) -> float {
            const u32 f = f0 + i % 4, at = (first * u.p.w + i / 4) * u.p.c + f;
            if (f >= u.p.c || (a.winner && a.winner[(u64)n * u.winner_row + at] == NONE)) return 0.f;
            return passed(a, n * length(u.p) + at);
        },
        [&](u32 i, float v) { entries[i].g = v; });
    stage<8>(
        4 * windows,
        [&](u32 i) -> float {
            const u32 f = f0 + i % 4;
            const u64 at = (u64)n * u.winner_row + (first * u.p.w + i / 4) * u.p.c + f;
            const u8 k = a.winner && f < u.p.c ? a.winner[at] : 0;
            return __uint_as_float(window_base(u, a.s, i / 4, a.high) + cell_offset(u, a.s, k == NONE ? 0 : k));
        },
        [&](u32 i, float v) { entries[i].base = __float_as_uint(v); });
}

// dw and db of four filters: 64 threads for each, every one with the rows span, 2 span, .. apart, the windows shared by those that
// have the same rows. The row behind the last is the bias, whose input is 1. The last block to come sums all chunks.
template <class T> DEVICE void unit_weights(const UnitGradientArgs<T>& a, float* shared, u32 block) {
    const Unit& u = a.u;
    const u32 group = block % a.groups, chunk = block / a.groups, f0 = 4 * group, rows = u.taps * u.x.c;
    const u32 q = threadIdx.x / 64, lane = threadIdx.x % 64, row = lane & (a.span - 1), split = lane / a.span, splits = 64 / a.span;
    Entry* const entries = (Entry*)shared;
    float* const xs = shared + 8 * a.lines * u.p.w;
    u32 offset[8];
    float acc[8] = {};
    const u32 each = (rows + a.span) / a.span; // of rows + 1
#pragma unroll
    for (u32 k = 0; k < 8; k++) {
        const u32 r = row + k * a.span, t = r / u.x.c, c = r - t * u.x.c, td = t / (u.size[1] * u.size[2]);
        const u32 rest = t - td * (u.size[1] * u.size[2]), th = rest / u.size[2], tw = rest - th * u.size[2];
        offset[k] = c * a.s.slab + (td * u.dilation[0] * a.s.h + th * u.dilation[1]) * a.s.w + tw * u.dilation[2];
        if (r == rows) offset[k] = ~0u;
        if (r > rows) offset[k] = 0;
    }
    const u32 last = min((chunk + 1) * a.length, u.rows * a.bands);
    for (u32 i = chunk * a.length; i < last; i++) {
        const u32 n = i / a.bands, first = (i - n * a.bands) * a.lines, windows = min(a.lines, u.p.d * u.p.h - first) * u.p.w;
        __syncthreads();
        stage_x(a.s, u.x, a.x + n * length(u.x), band_origin(u, first), xs);
        if (a.act.kind == LINEAR) stage_entries<8>(a, n, first, windows, f0, entries);
        else stage_entries<1>(a, n, first, windows, f0, entries);
        __syncthreads();
        for (u32 o = split; o < windows; o += splits) {
            const Entry e = entries[4 * o + q];
#pragma unroll
            for (u32 k = 0; k < 8; k++)
                if (k < each) acc[k] = fmaf(offset[k] == ~0u ? 1.f : xs[e.base + offset[k]], e.g, acc[k]);
        }
    }
    __syncthreads();
#pragma unroll
    for (u32 k = 0; k < 8; k++) shared[k * 256 + threadIdx.x] = acc[k];
    __syncthreads();
    float* const sums = a.sums + (u64)group * a.chunks * (rows + 1) * 4;
    for (u32 i = threadIdx.x; i < 4 * (rows + 1); i += 256) {
        const u32 r = i / 4, from = r / a.span * 256 + i % 4 * 64 + (r & (a.span - 1));
        float sum = 0.f;
        for (u32 s = 0; s < splits; s++) sum += shared[from + s * a.span];
        sums[chunk * (rows + 1) * 4 + i] = sum;
    }
    if (!last_to_arrive(a.arrived + group, a.chunks)) return;
    for (u32 r = threadIdx.x; r <= rows; r += 256) {
        float4 sum = make_float4(0.f, 0.f, 0.f, 0.f);
#pragma unroll 8
        for (u32 c = 0; c < a.chunks; c++) {
            const float4 v = *(const float4*)(sums + (c * (rows + 1) + r) * 4);
            sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
        }
        const float four[4] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            if (f0 + j >= u.p.c) continue;
            if (r < rows && a.dw) put(a.dw, r * u.p.c + f0 + j, four[j], a.add_dw);
            if (r == rows && a.db) put(a.db, f0 + j, four[j], a.add_db);
        }
    }
}

// A coordinate of the tile of gradients to an output of the convolution, its window and its place there; false outside.
DEVICE bool output_at(const Unit& u, int axis, int i, u32 n, u32& window, u32& cell) {
    if (i < 0) return false;
    const u32 o = quotient((u32)i, u.stride[axis]);
    window = quotient(o, u.pool[axis]), cell = o - window * u.pool[axis].d;
    return o * u.stride[axis].d == (u32)i && o < n;
}

// Gradients of the convolution's outputs, filters f0.. of a sample, with zeros between them where the convolution has strides.
template <int E, class T> DEVICE void stage_z(const UnitGradientArgs<T>& a, u32 n, Origin origin, u32 f0, u32 filters, float* zs) {
    const Unit& u = a.u;
    const Slab& s = a.z;
    auto place = [&](u32 i, u32& row, u32& j) {
        row = quotient(i, s.line);
        const u32 rest = i - row * s.line.d;
        j = quotient(rest, s.channels);
        return rest - j * s.channels.d;
    };
    stage<E>(
        s.d * s.h * s.line.d,
        [&](u32 i) -> float {
            u32 row, j, wd, wh, ww, kd, kh, kw;
            const u32 f = place(i, row, j), slice = quotient(row, s.high);
            bool on = f < filters && output_at(u, 0, origin.d + (int)slice, u.y.d, wd, kd);
            on = on && output_at(u, 1, origin.h + (int)(row - slice * s.high.d), u.y.h, wh, kh);
            on = on && output_at(u, 2, origin.w + (int)j, u.y.w, ww, kw);
            if (!on) return 0.f;
            const u32 at = ((wd * u.p.h + wh) * u.p.w + ww) * u.p.c + f0 + f;
            if (a.winner) {
                const u32 cell = (kd * u.pool[1].d + kh) * u.pool[2].d + kw;
                if (a.winner[(u64)n * u.winner_row + at] != cell) return 0.f;
            }
            return passed(a, n * length(u.p) + at);
        },
        [&](u32 i, float v) {
            u32 row, j;
            const u32 f = place(i, row, j);
            zs[f * s.slab + row * s.w + j] = v;
        });
}

// dx of some lines of a sample: a thread takes two positions and four channels. Shared: weights [taps][filters][channels], the tile.
template <class T> DEVICE void unit_inputs(const UnitGradientArgs<T>& a, float* ws, u32 block) {
    const Unit& u = a.u;
    const u32 band = block % a.x_bands, n = block / a.x_bands, first = band * a.x_lines;
    const u32 lines = min(a.x_lines, u.x.d * u.x.h - first), all = lines * u.x.w, half = (all + 1) / 2, quads = (u.x.c + 3) / 4;
    const u32 high = u.x.d > 1 ? u.x.h : a.x_lines, pitch = 4 * quads;
    const Origin origin = {
        (int)u.before[0] - (int)((u.size[0] - 1) * u.dilation[0]), (int)first + (int)u.before[1] - (int)((u.size[1] - 1) * u.dilation[1]),
        (int)u.before[2] - (int)((u.size[2] - 1) * u.dilation[2])};
    float* const zs = ws + u.taps * a.filters * pitch;
    for (u32 round = 0; round < half * quads; round += 256) {
        const u32 item = round + threadIdx.x, quad = min(item / half, quads - 1), i = item % half;
        u32 base[2];
#pragma unroll
        for (u32 k = 0; k < 2; k++) {
            const u32 o = min(i + k * half, all - 1), line = o / u.x.w, w = o - line * u.x.w, d = line / high, h = line - d * high;
            base[k] = (d * a.z.h + h) * a.z.w + w;
        }
        float acc[2][4] = {};
        for (u32 f0 = 0; f0 < u.p.c; f0 += a.filters) {
            const u32 filters = min(a.filters, u.p.c - f0);
            __syncthreads();
            stage<8>(
                u.taps * pitch * a.filters,
                [&](u32 e) -> float {
                    const u32 f = e % a.filters, rest = e / a.filters, c = rest % pitch, t = rest / pitch;
                    return f < filters && c < u.x.c ? a.w[(t * u.x.c + c) * u.p.c + f0 + f] : 0.f;
                },
                [&](u32 e, float v) {
                    const u32 f = e % a.filters, rest = e / a.filters, c = rest % pitch, t = rest / pitch;
                    ws[(t * a.filters + f) * pitch + c] = v;
                });
            if (a.act.kind == LINEAR) stage_z<8>(a, n, origin, f0, filters, zs);
            else stage_z<1>(a, n, origin, f0, filters, zs);
            __syncthreads();
            const float* w = ws + 4 * quad;
            for (u32 td = u.size[0]; td--;)
                for (u32 th = u.size[1]; th--;)
                    for (u32 tw = u.size[2]; tw--;) {
                        const float* z = zs + (td * u.dilation[0] * a.z.h + th * u.dilation[1]) * a.z.w + tw * u.dilation[2];
#pragma unroll 4
                        for (u32 f = 0; f < a.filters; f++, z += a.z.slab, w += pitch) {
                            const float4 v = *(const float4*)w;
                            const float z0 = z[base[0]], z1 = z[base[1]];
                            acc[0][0] = fmaf(z0, v.x, acc[0][0]), acc[0][1] = fmaf(z0, v.y, acc[0][1]);
                            acc[0][2] = fmaf(z0, v.z, acc[0][2]), acc[0][3] = fmaf(z0, v.w, acc[0][3]);
                            acc[1][0] = fmaf(z1, v.x, acc[1][0]), acc[1][1] = fmaf(z1, v.y, acc[1][1]);
                            acc[1][2] = fmaf(z1, v.z, acc[1][2]), acc[1][3] = fmaf(z1, v.w, acc[1][3]);
                        }
                    }
        }
        if (item >= half * quads) continue;
#pragma unroll
        for (u32 k = 0; k < 2; k++) {
            const u32 o = i + k * half;
            if (o >= all) continue;
#pragma unroll
            for (u32 j = 0; j < 4; j++)
                if (4 * quad + j < u.x.c) put(a.dx, n * length(u.x) + (first * u.x.w + o) * u.x.c + 4 * quad + j, acc[k][j], a.add_dx);
        }
    }
}

// All gradients: some blocks for dx, the others for dw and db.
template <class T> DEVICE void unit_backward(const UnitGradientArgs<T>& a) {
    SHARED(float, shared);
    if (blockIdx.x < a.blocks) unit_inputs(a, shared, blockIdx.x);
    else unit_weights(a, shared, blockIdx.x - a.blocks);
}

#define UNIT(suffix, T)                                                                                                  \
    KERNEL(256, unit_forward1_##suffix, UnitArgs<T>) { unit_forward<T, 1>(a); }                                          \
    KERNEL(256, unit_forward2_##suffix, UnitArgs<T>) { unit_forward<T, 2>(a); }                                          \
    KERNEL(256, unit_forward4_##suffix, UnitArgs<T>) { unit_forward<T, 4>(a); }                                          \
    KERNEL(256, unit_forward8_##suffix, UnitArgs<T>) { unit_forward<T, 8>(a); }                                          \
    KERNEL(256, unit_backward_##suffix, UnitGradientArgs<T>) { unit_backward(a); }
#if defined(CONV_BF16)
UNIT(bf16, bf16)
#elif defined(CONV_F16)
UNIT(f16, f16)
#else
UNIT(f32, float)
#endif
