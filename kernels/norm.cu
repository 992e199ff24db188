// Normalisation, the statistics: mu and rho from values, from running statistics, from what a convolution left. See norm.cuh.
#include "norm.cuh"

template <class T> struct MomentsArgs {
    const T* x;
    double* partial; // mean and m2 for each set and chunk
    u32* arrived;    // a counter for each unit and tile of sets
    Table table;
    Sets s;
};

// The table's entry for set `i` from the moments of all chunks; deviations are from the first one's mean. For a warp.
DEVICE void combine_moments(const Table& t, const Sets& s, const double* partial, u64 i) {
    partial += 2 * i * s.chunks;
    const double last = (double)(s.positions - (u64)(s.chunks - 1) * s.chunk) * s.channels, full = (double)s.chunk * s.channels;
    const double all = (double)s.positions * s.channels, origin = partial[0];
    double sum = 0, squares = 0;
    each_pair(partial, s.chunks, [&](u64 k, const Moment<double>& m) {
        const double n = k + 1 < s.chunks ? full : last, off = m.mean - origin;
        sum += n * off, squares += m.m2 + n * off * off;
    });
    sum = warp_sum(sum), squares = warp_sum(squares);
    const double m2 = squares - sum * sum / all;
    if (threadIdx.x % 32 == 0) tabulate(t, i, all, origin + sum / all, m2 < 0 ? 0 : m2);
}

// The moments of set q of a block's part, and behind the last chunk the table.
template <class T> DEVICE void leave_moments(const MomentsArgs<T>& a, const Part& b, u32 q, double mean, double m2) {
    const u64 i = (u64)b.unit * a.s.sets + b.first + q;
    if (a.s.chunks == 1) return tabulate(a.table, i, (double)b.n * a.s.channels, mean, m2);
    a.partial[2 * (i * a.s.chunks + b.chunk)] = mean;
    a.partial[2 * (i * a.s.chunks + b.chunk) + 1] = m2;
}
template <class T> DEVICE void finish_moments(const MomentsArgs<T>& a, const Part& b) {
    if (a.s.chunks == 1 || !last_to_arrive(a.arrived + (u64)b.unit * gridDim.y + blockIdx.y, a.s.chunks)) return;
    for (u32 q = threadIdx.x / 32; q < b.sets; q += 8)
        combine_moments(a.table, a.s, a.partial, (u64)b.unit * a.s.sets + b.first + q);
}

// Mean and m2 of each set within a chunk, and the table: the last block to come puts the chunks together. Deviations are from a first value, then from
// the mean of each tile, and tiles are put together as Chan, Golub & LeVeque 1983 do: large means and hot pixels do no harm.
template <class T> DEVICE void moments(const MomentsArgs<T>& a) {
    __shared__ double scratch[512], centre[256];
    Part b = part(a.s);
    const T* x = a.x + b.offset;
    float origin = b.p < b.n ? load(x, b.p * a.s.c + b.k) : 0.f;
    float n = 0, mean = 0, m2 = 0;
    while (b.p < b.n) {
        float v[TILE], sum = 0, squares = 0;
        u32 m = 0;
#pragma unroll
        for (u32 j = 0; j < TILE; j++) {
            bool in = b.p < b.n;
            v[j] = in ? load(x, b.p * a.s.c + b.k) - origin : 0.f;
            m += in;
            advance(b);
        }
#pragma unroll
        for (u32 j = 0; j < TILE; j++) sum += v[j];
        float here = sum / m;
#pragma unroll
        for (u32 j = 0; j < TILE; j++) squares += j < m ? (v[j] - here) * (v[j] - here) : 0.f;
        float share = m / (n + m), delta = here - mean;
        m2 += squares + delta * delta * n * share;
        mean += delta * share;
        n += m;
    }
    double mu = (double)origin + mean;
    set_sums(b.at, b.sets, n * mu, n, scratch, [&](u32 q, double sum, double n) { centre[q] = sum / n; });
    __syncthreads();
    u32 set = b.at.lane / (b.at.lanes / b.sets);
    double delta = mu - centre[set];
    set_sums(b.at, b.sets, n > 0 ? m2 + n * delta * delta : 0, n, scratch, [&](u32 q, double m2, double) { leave_moments(a, b, q, centre[q], m2); });
    finish_moments(a, b);
}
KERNELS(256, moments, MomentsArgs)

// The same, by 16 bytes: a thread takes V neighbouring channels, of one set or of V. Deviations are from the first value of a set.
template <class T> DEVICE void moments_wide(const MomentsArgs<T>& a) {
    constexpr u32 V = PACK<T>, U = 8;
    __shared__ double scratch[512 * V];
    const Part b = part<V>(a.s);
    const T* const x = a.x + b.offset;
    float origin[V], mean[V] = {}, m2[V] = {}, n = 0;
#pragma unroll
    for (u32 k = 0; k < V; k++) origin[k] = load(x, (b.k * V + k) / a.s.channels * a.s.channels);
    for (u32 p = b.p; p < b.n; p += U * b.at.side) {
        uint4 raw[U] = {};
        float v[V], here[V] = {}, squares[V] = {};
        const u32 m = min(U, (b.n - p + b.at.side - 1) / b.at.side);
#pragma unroll
        for (u32 j = 0; j < U; j++)
            if (j < m) raw[j] = *(const uint4*)(x + ((p + j * b.at.side) * a.s.c + b.k * V));
#pragma unroll
        for (u32 j = 0; j < U; j++) {
            unpack(raw[j], v, T{});
#pragma unroll
            for (u32 k = 0; k < V; k++) here[k] += j < m ? v[k] - origin[k] : 0.f;
        }
        const float part = 1.f / m, share = m / (n + m);
#pragma unroll
        for (u32 k = 0; k < V; k++) here[k] *= part;
#pragma unroll
        for (u32 j = 0; j < U; j++) {
            unpack(raw[j], v, T{});
#pragma unroll
            for (u32 k = 0; k < V; k++) {
                const float off = v[k] - origin[k] - here[k];
                squares[k] += j < m ? off * off : 0.f;
            }
        }
#pragma unroll
        for (u32 k = 0; k < V; k++) {
            const float delta = here[k] - mean[k];
            m2[k] += squares[k] + delta * delta * n * share;
            mean[k] += delta * share;
        }
        n += m;
    }
    double first[V], second[V], one = 0, two = 0;
#pragma unroll
    for (u32 k = 0; k < V; k++) {
        first[k] = (double)n * mean[k], second[k] = m2[k] + first[k] * mean[k];
        one += first[k], two += second[k];
    }
    auto leave = [&](u32 q, double sum, double squares) {
        const double all = (double)b.n * a.s.channels, m2 = squares - sum * sum / all;
        leave_moments(a, b, q, load(x, q * a.s.channels) + sum / all, m2 < 0 ? 0 : m2);
    };
    if (a.s.channels == 1) slot_sums<V>(b.at, first, second, scratch, leave);
    else set_sums(b.at, b.sets, one, two, scratch, leave);
    finish_moments(a, b);
}
KERNELS(256, moments_wide, MomentsArgs)

struct RecallArgs {
    float* table;
    const float *mean, *var;
    double eps;
    u64 c;
};

// The table from the running statistics.
KERNEL(256, recall, RecallArgs) {
    for (GRID(i, a.c)) {
        a.table[2 * i] = a.mean[i];
        a.table[2 * i + 1] = (float)(1 / sqrt(a.var[i] + a.eps));
    }
}

template <class T> struct CombineArgs {
    Bands b;
    Moment<double>* partial; // of each chunk and channel, where there are several
    u32* arrived;            // a counter for each 32 channels
    u32 chunk, chunks;       // bands in a chunk
};

// The table from the bands that a convolution left: the last block to come puts the chunks together.
template <class T> DEVICE void combine(const CombineArgs<T>& a) {
    typedef typename MomentOf<T>::Type Kept;
    __shared__ double scratch[512];
    auto meet = [] { __syncthreads(); };
    const Bands& b = a.b;
    const u32 t = threadIdx.x, channel = blockIdx.y * 32 + t % 32, begin = blockIdx.x * a.chunk, count = min(a.chunk, b.bands - begin);
    const bool in = channel < b.c, first = in && t < 32;
    const Kept* const parts = in ? (const Kept*)b.parts + ((u64)begin * b.c + channel) : nullptr;
    Moment<double> m = put_together<256>(parts, b.c, count, BAND, begin + count == b.bands ? last_band(b) : BAND, t, scratch, meet);
    if (a.chunks > 1) {
        if (first) a.partial[(u64)blockIdx.x * b.c + channel] = m;
        if (!last_to_arrive(a.arrived + blockIdx.y, a.chunks)) return;
        const double full = (double)a.chunk * BAND, last = (double)b.positions - (a.chunks - 1) * full;
        m = put_together<256>(in ? a.partial + channel : nullptr, b.c, a.chunks, full, last, t, scratch, meet);
    }
    if (first) tabulate(b.table, channel, (double)b.positions, m.mean, m.m2);
}
KERNELS(256, combine, CombineArgs)
