// Direct convolution, where a product of matrices would be mostly padding: few input channels (`conv_few`: the tile's input
// and weights in shared memory, 4 outputs and 8 or 16 columns in the registers of a thread) and small groups
// (`conv_grouped`: one output each), with their weight gradients. One type only as in conv.cu.
#include "conv.cuh"

#if !defined(CONV_F32) && !defined(CONV_BF16) && !defined(CONV_F16)
#define CONV_F32
#define CONV_BF16
#define CONV_F16
#endif

// --------------------------------------------------------------------------------------------------------- few channels

constexpr u32 OUTPUTS = 512; // of a tile, 4 for each of 128 threads

// A tile of outputs of one sample and its input in shared memory, channel by channel: input (d, h, w) of channel i under
// the first output at i·slab + (d·sh + h)·sw + w.
struct Tile {
    u32 d, h, w; // first output
    u32 sd, sh, sw, slab;
};

// Tile `index` of a part's tiles of 2^width columns and `outputs` outputs; false where the part has fewer.
DEVICE bool tile_at(const Gather& g, const Part& p, u32 index, u32 width, u32 outputs, Tile& t) {
    const u32 tw = 1u << width, th = outputs >> width;
    const u32 across = (p.count[2] + tw - 1) / tw, down = (p.count[1] + th - 1) / th;
    t.w = index % across * tw;
    t.h = index / across % down * th;
    t.d = index / across / down;
    t.sd = (p.taps[0] - 1) * g.dilation[0] + 1;
    t.sh = (th - 1) * g.stride[1] + (p.taps[1] - 1) * g.dilation[1] + 1;
    t.sw = (tw - 1) * g.stride[2] + (p.taps[2] - 1) * g.dilation[2] + 1;
    t.slab = t.sd * t.sh * t.sw;
    return t.d < p.count[0];
}

// Copies the tile's input, zeros outside of the image. A warp takes a row.
template <class T> DEVICE void read_tile(const Gather& g, const Part& p, const Tile& t, const T* x, float* xs) {
    const int d0 = p.origin[0] + (int)t.d * g.stride[0], h0 = p.origin[1] + (int)t.h * g.stride[1];
    const int w0 = p.origin[2] + (int)t.w * g.stride[2];
    for (u32 row = threadIdx.x / 32; row < t.sd * t.sh; row += blockDim.x / 32) {
        const u32 d = (u32)(d0 + (int)(row / t.sh)), h = (u32)(h0 + (int)(row % t.sh));
        const bool on = d < g.x.d && h < g.x.h;
        const u32 from = on ? (d * g.x.h + h) * g.x.w : 0;
        for (u32 i = threadIdx.x % 32; i < t.sw * g.channels.d; i += 32) {
            const u32 j = quotient(i, g.channels), c = i - j * g.channels.d, w = (u32)(w0 + (int)j);
            xs[c * t.slab + row * t.sw + j] = on && w < g.x.w ? load(x, (from + w) * g.x.c + c) : 0.f;
        }
    }
}

// Where output l of a tile lies in y, in the sample; ~0 outside.
DEVICE u32 output_of(const Gather& g, const Part& p, const Tile& t, u32 width, u32 l) {
    const u32 h = t.h + (l >> width), w = t.w + (l & ((1u << width) - 1));
    if (h >= p.count[1] || w >= p.count[2]) return ~0u;
    const u32 yd = p.first[0] + t.d * g.step[0], yh = p.first[1] + h * g.step[1], yw = p.first[2] + w * g.step[2];
    return ((yd * g.y.h + yh) * g.y.w + yw) * g.y.c;
}

// acc[j] += input · weights of all taps for the outputs whose input begins at xs[base[j]].
template <int F> DEVICE void few_products(const Gather& g, const Part& p, const Tile& t, const float* xs, const float* ws, const u32* base, float (*acc)[F]) {
    for (u32 d = 0; d < p.taps[0]; d++)
        for (u32 h = 0; h < p.taps[1]; h++)
            for (u32 w = 0; w < p.taps[2]; w++) {
                const float* from = xs + (d * g.dilation[0] * t.sh + h * g.dilation[1]) * t.sw + w * g.dilation[2];
                for (u32 i = 0; i < g.channels.d; i++, from += t.slab, ws += F) {
                    float x[4];
#pragma unroll
                    for (int j = 0; j < 4; j++) x[j] = from[base[j]];
#pragma unroll
                    for (int f = 0; f < F; f += 4) {
                        const float4 v = *(const float4*)(ws + f);
#pragma unroll
                        for (int j = 0; j < 4; j++) {
                            acc[j][f] = fmaf(x[j], v.x, acc[j][f]);
                            acc[j][f + 1] = fmaf(x[j], v.y, acc[j][f + 1]);
                            acc[j][f + 2] = fmaf(x[j], v.z, acc[j][f + 2]);
                            acc[j][f + 3] = fmaf(x[j], v.w, acc[j][f + 3]);
                        }
                    }
                }
            }
}

// One group. A block takes a tile of one sample and F columns. Shared: weights [all·channels][F], then the tile's input.
template <class T, int F> DEVICE void conv_few(const ConvArgs<T, float>& a) {
    constexpr int PITCH = F + 4;
    SHARED(float, ws);
    const Gather& g = a.g;
    const Block b = block_of(blockIdx.x, a.n_tiles, a.m_tiles, g.rows);
    const Part& p = g.part[b.part];
    const u32 sample = b.group, depth = p.all * g.channels.d;
    Tile t;
    if (!tile_at(g, p, b.m, a.width, OUTPUTS, t)) return;
    float* const xs = ws + depth * F;
    read_tile(g, p, t, a.x + sample * length(g.x), xs);
    for (u32 i = threadIdx.x; i < depth * F; i += blockDim.x) {
        const u32 j = b.n * F + i % F;
        u32 w;
        tap_of(g, p, 0, i / F, w);
        ws[i] = j < g.columns ? a.w[w + j * g.w_column] : 0.f;
    }
    __syncthreads();
    u32 base[4];
#pragma unroll
    for (u32 j = 0; j < 4; j++) {
        const u32 l = threadIdx.x + 128 * j;
        base[j] = (l >> a.width) * g.stride[1] * t.sw + (l & ((1u << a.width) - 1)) * g.stride[2];
    }
    float acc[4][F] = {};
    few_products<F>(g, p, t, xs, ws, base, acc);
    // By way of shared memory, so that neighbouring threads write neighbours.
#pragma unroll
    for (u32 j = 0; j < 4; j++) {
        __syncthreads();
#pragma unroll
        for (int f = 0; f < F; f += 4)
            *(float4*)(ws + threadIdx.x * PITCH + f) = make_float4(acc[j][f], acc[j][f + 1], acc[j][f + 2], acc[j][f + 3]);
        __syncthreads();
        if (g.columns % 4 == 0) {
#pragma unroll 1
            for (u32 i = threadIdx.x * 4; i < 128 * F; i += 512) {
                const u32 at = output_of(g, p, t, a.width, 128 * j + i / F), n = b.n * F + i % F;
                if (at != ~0u && n < g.columns) finish4(a, sample * length(g.y) + at, n, load4(ws + i / F * PITCH + i % F));
            }
            continue;
        }
#pragma unroll 1
        for (u32 i = threadIdx.x; i < 128 * F; i += 128) {
            const u32 at = output_of(g, p, t, a.width, 128 * j + i / F), n = b.n * F + i % F;
            if (at != ~0u && n < g.columns) finish(a, sample * length(g.y) + at, n, ws[i / F * PITCH + i % F]);
        }
    }
}

constexpr u32 SUMMED = 256; // outputs of a tile for the weight gradient

// acc[r][f] += x · dy over the outputs split, split + splits, .. of a tile.
DEVICE void few_sums(const float* xs, const float* dys, const u32* offset, u32 split, u32 splits, u32 width, u32 down, u32 right, u32 pitch, float (*acc)[8]) {
    for (u32 l = split; l < SUMMED; l += splits) {
        const u32 base = (l >> width) * down + (l & ((1u << width) - 1)) * right;
        const float4 low = *(const float4*)(dys + l * pitch), high = *(const float4*)(dys + l * pitch + 4);
        const float dy[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int r = 0; r < 4; r++) {
            const float x = xs[base + offset[r]];
#pragma unroll
            for (int f = 0; f < 8; f++) acc[r][f] = fmaf(x, dy[f], acc[r][f]);
        }
    }
}

// One group, one or more tiles for a block. An item is 4 weight rows by 8 filters; a block has at most 256 of them, and
// spreads a tile's outputs over several threads for an item where it has fewer. Shared: dy [SUMMED][filters], the tile's
// input; at the end the sums [splits][items][36].
template <class T> DEVICE void conv_few_weights(const WeightArgs<T>& a) {
    constexpr u32 PITCH = 36;
    SHARED(float, dys);
    const Gather& g = a.g;
    Block b = block_of(blockIdx.x, a.n_tiles, a.chunks, g.parts);
    const Part& p = g.part[b.group];
    const u32 filters = 1u << a.filters, rows = p.all * g.channels.d, quarter = (rows + 3) / 4;
    const u32 items = quarter * (filters / 8), splits = 256 / items, tid = threadIdx.x;
    const u32 item = tid % items, split = tid / items, im = item % quarter, column = item / quarter * 8;
    float* const xs = dys + SUMMED * filters;
    float acc[4][8] = {};
    const u32 first = b.m * a.length, all = g.rows * a.m_tiles;
    for (u32 i = first; i < all && i < first + a.length; i++) {
        const u32 sample = i / a.m_tiles;
        Tile t;
        if (!tile_at(g, p, i % a.m_tiles, a.width, SUMMED, t)) continue;
        __syncthreads();
        read_tile(g, p, t, a.x + sample * length(g.x), xs);
        const T* const dy = a.dy + sample * length(g.y);
        const bool four = g.columns % 4 == 0;
        for (u32 e = four ? 4 * tid : tid; e < SUMMED << a.filters; e += four ? 1024 : 256) {
            const u32 at = output_of(g, p, t, a.width, e >> a.filters), n = b.n * filters + (e & (filters - 1));
            const bool in = at != ~0u && n < g.columns;
            if (four) *(float4*)(dys + e) = in ? load4(dy + at + n) : make_float4(0.f, 0.f, 0.f, 0.f);
            else dys[e] = in ? load(dy, at + n) : 0.f;
        }
        __syncthreads();
        u32 offset[4];
#pragma unroll
        for (u32 r = 0; r < 4; r++) {
            u32 w;
            const Tap tap = tap_of(g, p, 0, im + r * quarter, w);
            offset[r] = w == ~0u ? 0 : tap.channel * t.slab + (tap.d * t.sh + tap.h) * t.sw + tap.w;
        }
        if (split < splits) few_sums(xs, dys + column, offset, split, splits, a.width, g.stride[1] * t.sw, g.stride[2], filters, acc);
    }
    __syncthreads();
    if (split < splits) {
#pragma unroll
        for (int r = 0; r < 4; r++) {
            float* const to = dys + tid * PITCH + r * 8;
            *(float4*)to = make_float4(acc[r][0], acc[r][1], acc[r][2], acc[r][3]);
            *(float4*)(to + 4) = make_float4(acc[r][4], acc[r][5], acc[r][6], acc[r][7]);
        }
    }
    __syncthreads();
    for (u32 i = tid; i < items * 32; i += 256) {
        const u32 at = i / 32, r = i % 32 / 8, n = b.n * filters + at / quarter * 8 + i % 8;
        float sum = 0.f;
        for (u32 s = 0; s < splits; s++) sum += dys[(s * items + at) * PITCH + i % 32];
        u32 w;
        tap_of(g, p, 0, at % quarter + r * quarter, w);
        if (w != ~0u && n < g.columns) put(a.dw + b.m * a.weights, w + n, sum, a.add);
    }
}

// --------------------------------------------------------------------------------------------------------- small groups

// A thread computes one output of one column, or (V = 4, depthwise with one filter for each channel) of four. Grid: outputs
// of a sample, samples, parts.
template <class T, int V> DEVICE void conv_grouped(const ConvArgs<T, float>& a) {
    const Gather& g = a.g;
    const Part& p = g.part[blockIdx.z];
    const u32 e = blockIdx.x * blockDim.x + threadIdx.x, r = quotient(e, a.across), column = (e - r * a.across.d) * V;
    if (r >= p.area.d) return;
    const u32 group = V == 4 ? column : quotient(column, a.group);
    const u32 w0 = group * g.w_group + (V == 4 ? 0 : (column - group * g.columns) * g.w_column);
    for (u32 n = blockIdx.y; n < g.rows; n += gridDim.y) {
        u64 to;
        const Anchor q = locate(g, p, n, r, to);
        const T* const x = a.x + n * length(g.x);
        float acc[V] = {};
        for (u32 d = 0; d < p.taps[0]; d++)
            for (u32 h = 0; h < p.taps[1]; h++)
                for (u32 w = 0; w < p.taps[2]; w++) {
                    const Tap tap = {(int)d * g.dilation[0], (int)h * g.dilation[1], (int)w * g.dilation[2], group * g.channels.d};
                    u32 at;
                    if (!meets(g.x, q, tap, at)) continue;
                    const u32 t = (u32)(p.weight + (int)d * g.tap_step[0] + (int)h * g.tap_step[1] + (int)w * g.tap_step[2]);
                    const float* const weight = a.w + (t * g.w_tap + w0);
                    if constexpr (V == 4) {
                        const float4 l = load4(x + at), k = load4(weight);
                        acc[0] = fmaf(l.x, k.x, acc[0]), acc[1] = fmaf(l.y, k.y, acc[1]);
                        acc[2] = fmaf(l.z, k.z, acc[2]), acc[3] = fmaf(l.w, k.w, acc[3]);
                    } else {
                        for (u32 i = 0; i < g.channels.d; i++) acc[0] = fmaf(load(x, at + i), weight[i * g.w_channel], acc[0]);
                    }
                }
        if constexpr (V == 4) finish4(a, to, column, make_float4(acc[0], acc[1], acc[2], acc[3]));
        else finish(a, to, column, acc[0]);
    }
}

// A block sums 4 weight rows of 32 filters over a chunk of outputs; each of its warps takes every eighth output.
template <class T> DEVICE void conv_grouped_weights(const WeightArgs<T>& a) {
    __shared__ float sums[8][4][32];
    const Gather& g = a.g;
    Block b = block_of(blockIdx.x, a.n_tiles, a.m_tiles, a.chunks);
    const Part& p = g.part[b.part];
    const u32 chunk = b.group, lane = threadIdx.x % 32, split = threadIdx.x / 32, column = b.n * 32 + lane;
    if (b.m * 4 >= p.all * g.channels.d) return;
    const bool on = column < g.y.c;
    const u32 group = on ? quotient(column, a.group) : 0;
    Tap taps[4];
    u32 weight[4];
#pragma unroll
    for (u32 r = 0; r < 4; r++) taps[r] = tap_of(g, p, group, b.m * 4 + r, weight[r]);
    const u64 first = (u64)chunk * a.length, total = (u64)g.rows * p.area.d;
    const u32 count = first < total ? (u32)(total - first < a.length ? total - first : a.length) : 0;
    const u32 sample = (u32)(first / p.area.d), start = (u32)(first - (u64)sample * p.area.d);
    float acc[4] = {};
    for (u32 i = split; i < count; i += 8) {
        u64 to;
        const Anchor q = locate(g, p, sample, start + i, to);
        const float dy = on ? load(a.dy, to + column) : 0.f;
        const T* const x = a.x + q.n * length(g.x);
#pragma unroll
        for (int r = 0; r < 4; r++) {
            u32 at;
            if (meets(g.x, q, taps[r], at)) acc[r] = fmaf(load(x, at), dy, acc[r]);
        }
    }
#pragma unroll
    for (int r = 0; r < 4; r++) sums[split][r][lane] = acc[r];
    __syncthreads();
    if (split >= 4 || !on) return;
    float sum = 0.f;
    for (u32 s = 0; s < 8; s++) sum += sums[s][split][lane];
    u32 w;
    tap_of(g, p, group, b.m * 4 + split, w);
    if (w != ~0u) put(a.dw + chunk * a.weights, w + (column - group * g.columns), sum, a.add);
}

#define DIRECT(suffix, T)                                                                                                \
    KERNEL(128, conv_few8_##suffix, ConvArgs<T, float>) { conv_few<T, 8>(a); }                                           \
    KERNEL(128, conv_few16_##suffix, ConvArgs<T, float>) { conv_few<T, 16>(a); }                                         \
    KERNEL(256, conv_few_weights_##suffix, WeightArgs<T>) { conv_few_weights(a); }                                       \
    KERNEL(256, conv_grouped_##suffix, ConvArgs<T, float>) { conv_grouped<T, 1>(a); }                                    \
    KERNEL(256, conv_grouped4_##suffix, ConvArgs<T, float>) { conv_grouped<T, 4>(a); }                                   \
    KERNEL(256, conv_grouped_weights_##suffix, WeightArgs<T>) { conv_grouped_weights(a); }
#ifdef CONV_F32
DIRECT(f32, float)
#endif
#ifdef CONV_BF16
DIRECT(bf16, bf16)
#endif
#ifdef CONV_F16
DIRECT(f16, f16)
#endif
