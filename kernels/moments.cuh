// Mean and variance of sets of values: of the results of a convolution while they are on their way to memory, and the table that a
// normalisation reads.
//
// A convolution finds the moments of bands of 64 outputs, each about its own mean, of the values as they are stored. They are put
// together in f64, in the order of the bands: by the last block to come where there are few bands, otherwise by `combine` of norm.cu.
#pragma once
#include "reduce.cuh"

// Where mu and rho go, and what becomes of the running statistics. As Table in op/bands.rs.
struct Table {
    float* table;
    float *mean, *var; // running, of batch normalisation in training; else null
    const Control* control;
    double eps, momentum;
};
// Set `i` has n values of this mean, with sum m2 of squared deviations.
DEVICE void tabulate(const Table& t, u64 i, double n, double mean, double m2) {
    t.table[2 * i] = (float)mean;
    t.table[2 * i + 1] = (float)(1 / sqrt(m2 / n + t.eps));
    // The variance of a single value says nothing.
    if (!t.mean || n <= 1 || halted(t.control)) return;
    t.mean[i] = (float)((1 - t.momentum) * t.mean[i] + t.momentum * mean);
    t.var[i] = (float)((1 - t.momentum) * t.var[i] + t.momentum * (m2 / (n - 1)));
}

// Mean, and sum of squared deviations from it.
template <class S> struct alignas(2 * sizeof(S)) Moment { S mean, m2; };
// What they are of values of type T: the mean of f32 values would lose in f32 what tells them apart.
template <class T> struct MomentOf { typedef Moment<float> Type; };
template <> struct MomentOf<float> { typedef Moment<double> Type; };

constexpr u32 BAND = 64; // outputs of a band

// The moments of a convolution's results. As BandArgs in op/bands.rs.
struct Bands {
    void* parts;   // of each band and channel: [bands][c] moments
    u32* arrived;  // a counter for each block of columns, whose last block to come makes the table; null: `combine` does
    Table table;
    u64 positions; // of all rows
    u32 c, bands;
};
// Outputs of the last one of `bands` bands.
DEVICE u32 last_band(const Bands& b) { return (u32)(b.positions - (u64)(b.bands - 1) * BAND); }

// The moments of the first n of 64 rows, n at least 1: for W columns of each of eight lanes, which the lanes 8, 16 and 24 further share.
// value(row, v) gives the values of a lane's columns. A warp must call.
template <int W, class S, class Value> DEVICE void band_moments(u32 n, Value value, Moment<S> (&to)[W]) {
    // Two neighbouring rows of eight, so that the four lanes of a column meet different banks.
    const u32 first = threadIdx.x % 32 / 8 * 2;
    float origin[W], v[16][W], sum[W] = {}, squares[W] = {};
    value(0, origin);
#pragma unroll
    for (u32 i = 0; i < 16; i++) {
        const u32 row = first + i / 2 * 8 + i % 2;
        value(row, v[i]);
#pragma unroll
        for (u32 k = 0; k < W; k++) {
            v[i][k] = row < n ? v[i][k] - origin[k] : 0.f;
            sum[k] += v[i][k];
        }
    }
#pragma unroll
    for (u32 k = 0; k < W; k++) {
        for (u32 o = 8; o < 32; o *= 2) sum[k] += __shfl_xor_sync(0xffffffffu, sum[k], o);
        sum[k] /= n;
    }
#pragma unroll
    for (u32 i = 0; i < 16; i++)
#pragma unroll
        for (u32 k = 0; k < W; k++) {
            const float off = v[i][k] - sum[k];
            squares[k] += first + i / 2 * 8 + i % 2 < n ? off * off : 0.f;
        }
#pragma unroll
    for (u32 k = 0; k < W; k++) {
        for (u32 o = 8; o < 32; o *= 2) squares[k] += __shfl_xor_sync(0xffffffffu, squares[k], o);
        to[k] = {(S)origin[k] + (S)sum[k], (S)squares[k]};
    }
}

// The moments of a channel from those of `count` parts of it, each `stride` behind the one before, of `full` values but the last one, of
// `last`. Thread t of THREADS takes part for channel t % 32, the result is in the first 32 of them. Null: no such channel. `scratch` has
// 2 THREADS values; all threads must call, and meet() is their barrier.
template <u32 THREADS, class S, class Meet>
DEVICE Moment<double> put_together(const Moment<S>* parts, u64 stride, u32 count, double full, double last, u32 t, double* scratch, Meet meet) {
    // Deviations are from the mean of the first part: a large mean does no harm.
    const double origin = parts ? (double)parts[0].mean : 0;
    double sum = 0, squares = 0;
    if (parts) {
#pragma unroll 8
        for (u32 k = t / 32; k < count; k += THREADS / 32) {
            const Moment<S> part = parts[k * stride];
            const double n = k + 1 < count ? full : last, off = part.mean - origin;
            sum += n * off, squares += part.m2 + n * off * off;
        }
    }
    meet();
    scratch[t] = sum, scratch[THREADS + t] = squares;
    meet();
    if (t >= 32) return {};
    for (u32 other = t + 32; other < THREADS; other += 32) sum += scratch[other], squares += scratch[THREADS + other];
    const double all = (double)(count - 1) * full + last, m2 = squares - sum * sum / all;
    return {origin + sum / all, m2 < 0 ? 0 : m2};
}

// The table of `columns` channels from `first` on, from all bands. Threads and barrier as above.
template <u32 THREADS, class T, class Meet> DEVICE void put_bands_together(const Bands& b, u32 first, u32 columns, u32 t, double* scratch, Meet meet) {
    typedef typename MomentOf<T>::Type Kept;
#pragma unroll 1
    for (u32 at = 0; at < columns; at += 32) {
        const bool in = at + t % 32 < columns;
        const u32 channel = first + at + t % 32;
        const Kept* const parts = in ? (const Kept*)b.parts + channel : nullptr;
        const Moment<double> all = put_together<THREADS>(parts, b.c, b.bands, BAND, last_band(b), t, scratch, meet);
        if (in && t < 32) tabulate(b.table, channel, (double)b.positions, all.mean, all.m2);
    }
}
