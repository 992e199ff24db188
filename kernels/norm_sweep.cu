// Normalisation, the sweeps that write: y from x, and dx. See norm.cuh.
#include "norm.cuh"

template <class T> struct ApplyArgs {
    const T* x;
    T* y;
    const float *table, *scale, *shift; // scale and shift may be null
    Sweep s;
    u32 relu, unused;
};

// y = (x - mu) rho gamma + beta, or with a rectifier behind it what is above 0
template <class T> DEVICE void apply(const ApplyArgs<T>& a) {
    Column b = column(a.s, a.s.c);
    u32 j = b.channel / a.s.per_scale;
    float gamma = b.active && a.scale ? a.scale[j] : 1.f, beta = b.active && a.shift ? a.shift[j] : 0.f;
#pragma unroll 4
    for (u32 p = b.p; p < b.n; p += b.at.side) {
        Pair t = b.active ? pair(a.table, entry(a.s, b, p)) : Pair{0.f, 1.f};
        u64 i = b.offset + p * a.s.c;
        float v = (load(a.x, i) - t.a) * (t.b * gamma) + beta;
        store(a.y, i, a.relu && v < 0.f ? 0.f : v);
    }
}
KERNELS(256, apply, ApplyArgs)

template <class T> struct GradientArgs {
    const T *x, *dy;
    T* dx;
    const float *table, *slopes, *scale, *shift; // slopes: null where statistics are constants; scale and shift may be null
    Sweep s;
    u32 add, relu;
};

// dx = rho gamma dy - q - (x - mu) r
template <class T> DEVICE void gradient(const GradientArgs<T>& a) {
    Column b = column(a.s, a.s.c);
    u32 own = b.channel / a.s.per_scale;
    float gamma = b.active && a.scale ? a.scale[own] : 1.f, beta = b.active && a.shift ? a.shift[own] : 0.f;
#pragma unroll 4
    for (u32 p = b.p; p < b.n; p += b.at.side) {
        u64 e = entry(a.s, b, p), i = b.offset + p * a.s.c;
        Pair t = b.active ? pair(a.table, e) : Pair{0.f, 1.f};
        bool moves = b.active && a.slopes; // the statistics with x
        Pair s = moves ? pair(a.slopes, e) : Pair{0.f, 0.f};
        float off = moves || a.relu ? load(a.x, i) - t.a : 0.f;
        float dy = load(a.dy, i) * rectified(a.relu, off * (t.b * gamma) + beta);
        put(a.dx, i, t.b * gamma * dy - s.a - off * s.b, a.add);
    }
}
KERNELS(256, gradient, GradientArgs)

// ------------------------------------------------------------------------------------------------- sweeps by 16 bytes
//
// Where all channels are normalised and their number is a multiple of a pack's, a thread takes V neighbours: the same arithmetic,
// one load and one store for all of them.

// visit(element, packs, channels) for those of a thread, with the N packs that load(element, packs) fetches. Those of U positions are under
// way at once: no compiler moves a load in front of another position's store.
template <class T, u32 N, u32 U, class Load, class Visit, class Here>
DEVICE void sweep_packs(u64 from, u32 p, u32 n, u32 side, u32 c, Channels<PACK<T>>& of, Load load, Visit visit, Here here) {
    for (; p < n; p += U * side) {
        uint4 raw[U][N] = {};
#pragma unroll
        for (u32 j = 0; j < U; j++)
            if (p + j * side < n) load(from + (p + j * side) * c, raw[j]);
#pragma unroll
        for (u32 j = 0; j < U; j++) {
            if (p + j * side >= n) continue;
            here(p + j * side, of);
            visit(from + (p + j * side) * c, raw[j], of);
        }
    }
}
template <class T, u32 N, u32 U, class Load, class Visit>
DEVICE void each_pack(const Sweep& s, const float* table, const float* slopes, const float* scale, const float* shift, Load load, Visit visit) {
    constexpr u32 V = PACK<T>;
    const u32 packs = s.c / V, first = blockIdx.y * 256;
    const Stand at = stand(packs - first < 256 ? packs - first : 256);
    if (at.place >= at.side) return;
    const u64 begin = (u64)blockIdx.x * s.chunk, left = s.positions - begin;
    const u32 n = left < s.chunk ? (u32)left : s.chunk, channel = (first + at.lane) * V;
    Channels<V> of(s, channel, scale, shift);
    if (!s.row_sets) {
        of.read(table, slopes, 0);
        return sweep_packs<T, N, U>(begin * s.c + channel, at.place, n, at.side, s.c, of, load, visit, [](u32, Channels<V>&) {});
    }
    const u64 row = begin / s.area.d;
    const u32 in_row = (u32)(begin - row * s.area.d);
    auto here = [&](u32 p, Channels<V>& of) { of.read(table, slopes, (row + quotient(in_row + p, s.area)) * s.row_sets); };
    sweep_packs<T, N, 2>(begin * s.c + channel, at.place, n, at.side, s.c, of, load, visit, here);
}

template <class T> DEVICE void apply_wide(const ApplyArgs<T>& a) {
    constexpr u32 V = PACK<T>;
    auto load = [&](u64 i, uint4 (&raw)[1]) { raw[0] = *(const uint4*)(a.x + i); };
    each_pack<T, 1, 4>(a.s, a.table, nullptr, a.scale, a.shift, load, [&](u64 i, const uint4 (&raw)[1], const Channels<V>& of) {
        float x[V];
        unpack(raw[0], x, T{});
#pragma unroll
        for (u32 k = 0; k < V; k++) {
            const float v = (x[k] - of.mu[k]) * (of.rho[k] * of.gamma[k]) + of.beta[k];
            x[k] = a.relu && v < 0.f ? 0.f : v;
        }
        *(uint4*)(a.y + i) = pack(x, T{});
    });
}
KERNELS(256, apply_wide, ApplyArgs)

template <class T> DEVICE void gradient_wide(const GradientArgs<T>& a) {
    constexpr u32 V = PACK<T>;
    const bool reads_x = a.slopes || a.relu;
    auto load = [&](u64 i, uint4 (&raw)[2]) {
        if (reads_x) raw[0] = *(const uint4*)(a.x + i);
        raw[1] = *(const uint4*)(a.dy + i);
    };
    each_pack<T, 2, 4>(a.s, a.table, a.slopes, a.scale, a.shift, load, [&](u64 i, const uint4 (&raw)[2], const Channels<V>& of) {
        float off[V], dy[V], dx[V];
        unpack(raw[0], off, T{}), unpack(raw[1], dy, T{});
        if (a.add) unpack(*(const uint4*)(a.dx + i), dx, T{});
#pragma unroll
        for (u32 k = 0; k < V; k++) {
            off[k] = reads_x ? off[k] - of.mu[k] : 0.f;
            const float g = dy[k] * rectified(a.relu, off[k] * (of.rho[k] * of.gamma[k]) + of.beta[k]);
            const float v = of.rho[k] * of.gamma[k] * g - of.q[k] - off[k] * of.r[k];
            dx[k] = a.add ? dx[k] + v : v;
        }
        *(uint4*)(a.dx + i) = pack(dx, T{});
    });
}
KERNELS(256, gradient_wide, GradientArgs)
