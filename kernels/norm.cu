// Normalisation, as in layer/norm.rs: mean and variance of sets, y = (x - mu) rho gamma + beta, and its gradient
// dx = rho g - q - (x - mu) r with g = gamma dy, q = rho mean(g), r = rho^2 mean(g xhat).
//
// A *unit* is a sample, or the whole batch for batch normalisation; it has as many positions as follow each other in memory.
// A *set* is some neighbouring channels over all positions of a unit. `table` holds mu and rho of each set, `slopes` q and r.
#include "pack.cuh"
#include "reduce.cuh"

// ------------------------------------------------------------------------------------------- where the threads stand

// Threads stand side by side over channels; few channels leave room for several positions. A thread so keeps its channel, and a
// warp reads memory in one piece.
struct Stand { u32 lanes, side, lane, place; };
DEVICE Stand stand(u32 channels) {
    Stand s;
    s.lanes = channels < 256 ? channels : 256;
    s.side = 256 / s.lanes;
    s.lane = threadIdx.x % s.lanes;
    s.place = threadIdx.x / s.lanes;
    return s;
}

// How the sets are cut for the blocks. blockIdx.x counts the chunks of positions of all units, blockIdx.y groups of `tile` sets.
struct Sets {
    u64 positions; // of a unit
    u32 chunk;     // positions in a chunk; the last one may be shorter
    u32 chunks;    // of a unit
    u32 c;         // channels in memory
    u32 channels;  // of a set
    u32 sets;      // of a unit
    u32 tile;      // 1 for sets of 256 channels and more, otherwise as many as fit 256 threads
};

// The part of one block, and of one thread: it visits element (p, k), p a position of the chunk, k a channel of the tile.
struct Part {
    Stand at;
    u32 unit, chunk, first, sets, width, n; // first and number of sets, their channels, positions
    u64 offset;                             // of the first element
    u32 p, k;
};
DEVICE Part part(const Sets& s) {
    Part b;
    b.unit = blockIdx.x / s.chunks, b.chunk = blockIdx.x % s.chunks;
    b.first = blockIdx.y * s.tile;
    b.sets = s.sets - b.first < s.tile ? s.sets - b.first : s.tile;
    b.width = b.sets * s.channels;
    b.at = stand(b.width);
    u64 begin = (u64)b.chunk * s.chunk, left = s.positions - begin;
    b.n = left < s.chunk ? (u32)left : s.chunk;
    b.offset = ((u64)b.unit * s.positions + begin) * s.c + (u64)b.first * s.channels;
    // Threads without a place beside the others visit nothing.
    b.p = b.at.place < b.at.side ? b.at.place : b.n;
    b.k = b.at.lane;
    return b;
}
DEVICE void advance(Part& b) {
    b.k += b.at.lanes;
    if (b.k >= b.width) b.k = b.at.lane, b.p += b.at.side;
}
// Two neighbouring floats.
struct Pair { float a, b; };
DEVICE Pair pair(const float* table, u64 i) { return {table[2 * i], table[2 * i + 1]}; }
// Elements that a thread takes at once: their loads wait together, and their sum in float loses nothing.
#define TILE 8

// Sums two numbers over the threads of each of `sets` sets of neighbouring lanes, always in the same order; done(q, first, second)
// runs in one thread for set q. All threads must call.
template <class Done> DEVICE void set_sums(const Stand& at, u32 sets, double first, double second, double* scratch, Done done) {
    u32 width = at.lanes / sets, entries = width * at.side, team = entries > 16 ? 32 : 1;
    __syncthreads();
    scratch[threadIdx.x] = first, scratch[256 + threadIdx.x] = second;
    __syncthreads();
    for (u32 q = threadIdx.x / team; q < sets; q += 256 / team) {
        double a = 0, b = 0;
        for (u32 e = threadIdx.x % team; e < entries; e += team) {
            u32 thread = e / width * at.lanes + q * width + e % width;
            a += scratch[thread], b += scratch[256 + thread];
        }
        if (team == 32) a = warp_sum(a), b = warp_sum(b);
        if (threadIdx.x % team == 0) done(q, a, b);
    }
}

// ------------------------------------------------------------------------------------------------------------ moments

// Where mu and rho go, and what becomes of the running statistics.
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

template <class T> struct MomentsArgs {
    const T* x;
    double* partial; // mean and m2 for each set and chunk
    u32* arrived;    // a counter for each unit and tile of sets
    Table table;
    Sets s;
};

// The table's entry for set `i` from the moments of all chunks. For a warp.
DEVICE void combine_moments(const Table& t, const Sets& s, const double* partial, u64 i) {
    const u32 lane = threadIdx.x % 32;
    partial += 2 * i * s.chunks;
    double last = (double)(s.positions - (u64)(s.chunks - 1) * s.chunk) * s.channels;
    double full = (double)s.chunk * s.channels, all = (double)s.positions * s.channels, sum = 0, m2 = 0;
#pragma unroll 4
    for (u32 k = lane; k < s.chunks; k += 32) sum += partial[2 * k] * (k + 1 < s.chunks ? full : last);
    double mean = warp_sum(sum) / all;
#pragma unroll 4
    for (u32 k = lane; k < s.chunks; k += 32) {
        double delta = partial[2 * k] - mean;
        m2 += partial[2 * k + 1] + (k + 1 < s.chunks ? full : last) * delta * delta;
    }
    m2 = warp_sum(m2);
    if (lane == 0) tabulate(t, i, all, mean, m2);
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
    set_sums(b.at, b.sets, n > 0 ? m2 + n * delta * delta : 0, n, scratch, [&](u32 q, double m2, double n) {
        u64 i = (u64)b.unit * a.s.sets + b.first + q;
        if (a.s.chunks == 1) return tabulate(a.table, i, n, centre[q], m2);
        a.partial[2 * (i * a.s.chunks + b.chunk)] = centre[q];
        a.partial[2 * (i * a.s.chunks + b.chunk) + 1] = m2;
    });
    if (a.s.chunks == 1 || !last_to_arrive(a.arrived + (u64)b.unit * gridDim.y + blockIdx.y, a.s.chunks)) return;
    for (u32 q = threadIdx.x / 32; q < b.sets; q += 8)
        combine_moments(a.table, a.s, a.partial, (u64)b.unit * a.s.sets + b.first + q);
}
KERNELS(256, moments, MomentsArgs)

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

// ------------------------------------------------------------------------------------------- sweeps over all positions

// How positions of all rows are cut for blocks: blockIdx.x counts chunks, blockIdx.y groups of 256 channels.
struct Sweep {
    u64 positions; // of all rows
    u32 chunk;
    u32 c, active;           // channels, and those that are normalised: the others pass through
    u32 channels, per_scale; // of a set, and for each element of gamma and beta
    u32 row_sets;            // sets of a row; 0: all rows share theirs
    Divisor area;            // positions of a row, where row_sets is not 0
    u32 unused;
};
// A thread's channel and positions, and the table entry of the position it is at.
struct Column {
    Stand at;
    u32 channel, set, n, p, first_in_row;
    u64 offset, row, entry;
    bool active;
};
DEVICE Column column(const Sweep& s, u32 channels) {
    Column b;
    u32 first = blockIdx.y * 256;
    b.at = stand(channels - first < 256 ? channels - first : 256);
    b.channel = first + b.at.lane;
    b.active = b.channel < s.active;
    b.set = b.active ? b.channel / s.channels : 0;
    u64 begin = (u64)blockIdx.x * s.chunk, left = s.positions - begin;
    b.n = left < s.chunk ? (u32)left : s.chunk;
    b.p = b.at.place < b.at.side ? b.at.place : b.n;
    b.row = s.row_sets ? begin / s.area.d : 0;
    b.first_in_row = (u32)(begin - b.row * s.area.d);
    b.offset = begin * s.c + b.channel;
    b.entry = 0;
    return b;
}
// The table entry for position p of this column.
DEVICE u64 entry(const Sweep& s, const Column& b, u32 p) {
    return s.row_sets ? (b.row + quotient(b.first_in_row + p, s.area)) * s.row_sets + b.set : b.set;
}

template <class T> struct ApplyArgs {
    const T* x;
    T* y;
    const float *table, *scale, *shift; // scale and shift may be null
    Sweep s;
    u32 relu, unused;
};

// What multiplies dy where a rectifier follows, from what it is applied to.
DEVICE float rectified(u32 relu, float v) { return relu && !(v > 0.f) ? 0.f : 1.f; }

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

// A thread's channels, and what they are normalised with at one position.
template <int V> struct Channels {
    float mu[V], rho[V], q[V], r[V], gamma[V], beta[V];
    u32 set[V];
    bool together; // of one set

    DEVICE Channels(const Sweep& s, u32 channel, const float* scale, const float* shift) {
#pragma unroll
        for (u32 k = 0; k < V; k++) {
            const u32 own = (channel + k) / s.per_scale;
            gamma[k] = scale ? scale[own] : 1.f, beta[k] = shift ? shift[own] : 0.f;
            set[k] = (channel + k) / s.channels;
        }
        together = set[0] == set[V - 1];
    }
    // The entries of a row; slopes may be null.
    DEVICE void read(const float* table, const float* slopes, u64 first) {
        Pair t = pair(table, first + set[0]), s = slopes ? pair(slopes, first + set[0]) : Pair{0.f, 0.f};
#pragma unroll
        for (u32 k = 0; k < V; k++) {
            if (k && !together) {
                t = pair(table, first + set[k]);
                if (slopes) s = pair(slopes, first + set[k]);
            }
            mu[k] = t.a, rho[k] = t.b, q[k] = s.a, r[k] = s.b;
        }
    }
};

// visit(element, channels) for the packs of a thread.
template <class T, class Visit> DEVICE void each_pack(const Sweep& s, const float* table, const float* slopes, const float* scale, const float* shift, Visit visit) {
    constexpr u32 V = PACK<T>;
    const u32 packs = s.c / V, first = blockIdx.y * 256;
    const Stand at = stand(packs - first < 256 ? packs - first : 256);
    if (at.place >= at.side) return;
    const u64 begin = (u64)blockIdx.x * s.chunk, left = s.positions - begin, row = s.row_sets ? begin / s.area.d : 0;
    const u32 n = left < s.chunk ? (u32)left : s.chunk, channel = (first + at.lane) * V, in_row = (u32)(begin - row * s.area.d);
    Channels<V> of(s, channel, scale, shift);
    if (!s.row_sets) of.read(table, slopes, 0);
#pragma unroll 2
    for (u32 p = at.place; p < n; p += at.side) {
        if (s.row_sets) of.read(table, slopes, (row + quotient(in_row + p, s.area)) * s.row_sets);
        visit((begin + p) * s.c + channel, of);
    }
}

template <class T> DEVICE void apply_wide(const ApplyArgs<T>& a) {
    constexpr u32 V = PACK<T>;
    each_pack<T>(a.s, a.table, nullptr, a.scale, a.shift, [&](u64 i, const Channels<V>& of) {
        float x[V];
        unpack(*(const uint4*)(a.x + i), x, T{});
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
    each_pack<T>(a.s, a.table, a.slopes, a.scale, a.shift, [&](u64 i, const Channels<V>& of) {
        float off[V], dy[V], dx[V];
        if (a.slopes || a.relu) unpack(*(const uint4*)(a.x + i), off, T{});
        unpack(*(const uint4*)(a.dy + i), dy, T{});
        if (a.add) unpack(*(const uint4*)(a.dx + i), dx, T{});
#pragma unroll
        for (u32 k = 0; k < V; k++) {
            off[k] = a.slopes || a.relu ? off[k] - of.mu[k] : 0.f;
            const float g = dy[k] * rectified(a.relu, off[k] * (of.rho[k] * of.gamma[k]) + of.beta[k]);
            const float v = of.rho[k] * of.gamma[k] * g - of.q[k] - off[k] * of.r[k];
            dx[k] = a.add ? dx[k] + v : v;
        }
        *(uint4*)(a.dx + i) = pack(dx, T{});
    });
}
KERNELS(256, gradient_wide, GradientArgs)

// --------------------------------------------------------------------------------------------- sums behind the gradient

// q and r of set `i` from the sums of g and of g xhat over its n values.
DEVICE void slope(float* slopes, const float* table, u64 i, double n, double g, double gx) {
    double rho = table[2 * i + 1];
    slopes[2 * i] = (float)(rho * g / n);
    slopes[2 * i + 1] = (float)(rho * rho * gx / n);
}

template <class T> struct SumsArgs {
    const T *x, *dy;
    const float *table, *scale, *shift; // scale and shift may be null
    double* partial;                    // two sums for each set and chunk
    u32* arrived;                       // a counter for each unit and tile of sets
    float* slopes;
    Sets s;
    u32 per_scale, relu;
};

// The sums of two neighbouring numbers over `n` pairs, in all threads of a warp.
struct Sums { double a, b; };
DEVICE Sums add_pairs(const double* partial, u64 n) {
    Sums s = {0, 0};
#pragma unroll 4
    for (u64 k = threadIdx.x % 32; k < n; k += 32) s.a += partial[2 * k], s.b += partial[2 * k + 1];
    return {warp_sum(s.a), warp_sum(s.b)};
}

// Sums of g and of g xhat for the sets of each sample within a chunk, and the slopes: the last block to come adds the chunks.
template <class T> DEVICE void sums(const SumsArgs<T>& a) {
    __shared__ double scratch[512];
    Part b = part(a.s);
    const T *x = a.x + b.offset, *dy = a.dy + b.offset;
    u64 set = (u64)b.unit * a.s.sets + b.first + b.k / a.s.channels;
    Pair t = pair(a.table, set);
    // One gamma for each channel, or one for each set, which a thread does not leave.
    u32 step = a.per_scale == 1, own = step ? b.first * a.s.channels : b.first + b.k / a.s.channels;
    double first = 0, second = 0;
    while (b.p < b.n) {
        float g[TILE], h[TILE], one = 0, two = 0;
#pragma unroll
        for (u32 j = 0; j < TILE; j++) {
            bool in = b.p < b.n;
            u32 i = b.p * a.s.c + b.k;
            float off = in ? load(x, i) - t.a : 0.f, gamma = in && a.scale ? a.scale[own + step * b.k] : 1.f;
            float beta = in && a.relu && a.shift ? a.shift[own + step * b.k] : 0.f;
            g[j] = in ? load(dy, i) * rectified(a.relu, off * (t.b * gamma) + beta) * gamma : 0.f;
            h[j] = off * t.b;
            advance(b);
        }
#pragma unroll
        for (u32 j = 0; j < TILE; j++) one += g[j], two += g[j] * h[j];
        first += one, second += two;
    }
    set_sums(b.at, b.sets, first, second, scratch, [&](u32 q, double g, double gx) {
        u64 i = (u64)b.unit * a.s.sets + b.first + q;
        if (a.s.chunks == 1) return slope(a.slopes, a.table, i, (double)a.s.positions * a.s.channels, g, gx);
        a.partial[2 * (i * a.s.chunks + b.chunk)] = g;
        a.partial[2 * (i * a.s.chunks + b.chunk) + 1] = gx;
    });
    if (a.s.chunks == 1 || !last_to_arrive(a.arrived + (u64)b.unit * gridDim.y + blockIdx.y, a.s.chunks)) return;
    for (u32 q = threadIdx.x / 32; q < b.sets; q += 8) {
        u64 i = (u64)b.unit * a.s.sets + b.first + q;
        Sums s = add_pairs(a.partial + 2 * i * a.s.chunks, a.s.chunks);
        if (threadIdx.x % 32 == 0) slope(a.slopes, a.table, i, (double)a.s.positions * a.s.channels, s.a, s.b);
    }
}
KERNELS(256, sums, SumsArgs)

struct ParametersArgs {
    const double* partial;
    const float *table, *scale;
    float *dscale, *dshift; // null where not wanted
    float* slopes;          // of batch normalisation, where statistics are not constants; else null
    double n;               // values of a set
    u64 chunks;
    u32 count, per_scale;   // elements of gamma, and channels for each
    u32 add, unused;
};

// dgamma and dbeta number `j` from the sums of all chunks, and of batch normalisation the slopes. For a warp.
DEVICE void parameter(const ParametersArgs& a, u64 j) {
    u64 pairs = a.chunks * a.per_scale;
    Sums s = add_pairs(a.partial + 2 * j * pairs, pairs);
    if (threadIdx.x % 32 != 0) return;
    if (a.dscale) put(a.dscale, j, (float)s.b, a.add);
    if (a.dshift) put(a.dshift, j, (float)s.a, a.add);
    double gamma = a.scale ? a.scale[j] : 1;
    if (a.slopes) slope(a.slopes, a.table, j, a.n, gamma * s.a, gamma * s.b);
}

// A warp for each element.
KERNEL(256, parameters, ParametersArgs) {
    for (u64 j = (u64)blockIdx.x * 8 + threadIdx.x / 32; j < a.count; j += (u64)gridDim.x * 8) parameter(a, j);
}

template <class T> struct ColumnsArgs {
    const T *x, *dy;
    const float *table, *scale, *shift; // scale and shift may be null
    double* partial; // sum of dy and of dy xhat for each active channel and chunk
    u32* arrived;    // a counter for each 256 channels, or null: `parameters` follows
    ParametersArgs to;
    Sweep s;
    u32 relu, unused;
};

// Sums of dy and of dy xhat for each channel over a chunk of all rows' positions. Where each channel has parameters of its own, the
// last block to come makes their gradients.
template <class T> DEVICE void columns(const ColumnsArgs<T>& a) {
    __shared__ double scratch[512];
    Column b = column(a.s, a.s.active);
    u32 own = b.channel / a.s.per_scale;
    float gamma = b.p < b.n && a.scale ? a.scale[own] : 1.f, beta = b.p < b.n && a.shift ? a.shift[own] : 0.f;
    double first = 0, second = 0;
    for (u32 p = b.p; p < b.n;) {
        float g[TILE], h[TILE], one = 0, two = 0;
#pragma unroll
        for (u32 j = 0; j < TILE; j++, p += b.at.side) {
            bool in = p < b.n;
            u64 i = b.offset + p * a.s.c;
            Pair t = in ? pair(a.table, entry(a.s, b, p)) : Pair{0.f, 0.f};
            float off = in ? load(a.x, i) - t.a : 0.f;
            g[j] = in ? load(a.dy, i) * rectified(a.relu, off * (t.b * gamma) + beta) : 0.f;
            h[j] = off * t.b;
        }
#pragma unroll
        for (u32 j = 0; j < TILE; j++) one += g[j], two += g[j] * h[j];
        first += one, second += two;
    }
    set_sums(b.at, b.at.lanes, first, second, scratch, [&](u32 q, double g, double gx) {
        u64 i = (u64)(blockIdx.y * 256 + q) * gridDim.x + blockIdx.x;
        a.partial[2 * i] = g, a.partial[2 * i + 1] = gx;
    });
    if (!a.arrived || !last_to_arrive(a.arrived + blockIdx.y, gridDim.x)) return;
    for (u32 j = blockIdx.y * 256 + threadIdx.x / 32; j < blockIdx.y * 256 + b.at.lanes; j += 8) parameter(a.to, j);
}
KERNELS(256, columns, ColumnsArgs)
