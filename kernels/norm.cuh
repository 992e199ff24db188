// Normalisation, as in layer/norm.rs: mean and variance of sets, y = (x - mu) rho gamma + beta, and its gradient
// dx = rho g - q - (x - mu) r with g = gamma dy, q = rho mean(g), r = rho^2 mean(g xhat).
//
// A *unit* is a sample, or the whole batch for batch normalisation; it has as many positions as follow each other in memory.
// A *set* is some neighbouring channels over all positions of a unit. `table` holds mu and rho of each set, `slopes` q and r.
#pragma once
#include "moments.cuh"
#include "pack.cuh"

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

// The part of one block, and of one thread: it visits element (p, k), p a position of the chunk, k a channel of the tile, or a pack of V.
struct Part {
    Stand at;
    u32 unit, chunk, first, sets, width, n; // first and number of sets, their channels, positions
    u64 offset;                             // of the first element
    u32 p, k;
};
template <u32 V = 1> DEVICE Part part(const Sets& s) {
    Part b;
    b.unit = blockIdx.x / s.chunks, b.chunk = blockIdx.x % s.chunks;
    b.first = blockIdx.y * s.tile;
    b.sets = s.sets - b.first < s.tile ? s.sets - b.first : s.tile;
    b.width = b.sets * s.channels;
    b.at = stand(b.width / V);
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

// The same of V pairs of numbers of each thread: slot j of lane l is of set l V + j, whose number done gets. `scratch` has 512 V values.
template <u32 V, class Done> DEVICE void slot_sums(const Stand& at, const double (&first)[V], const double (&second)[V], double* scratch, Done done) {
    const u32 t = threadIdx.x, sets = at.lanes * V;
    u32 team = 1; // threads of a set
    while (team < 32 && team < at.side && 2 * team * sets <= 256) team *= 2;
    __syncthreads();
#pragma unroll
    for (u32 j = 0; j < V; j++) scratch[j * 256 + t] = first[j], scratch[(V + j) * 256 + t] = second[j];
    __syncthreads();
    for (u32 from = 0; from < sets; from += 256 / team) {
        const u32 q = from + t / team, lane = q % at.lanes, j = q / at.lanes;
        double a = 0, b = 0;
        for (u32 e = t % team; q < sets && e < at.side; e += team) {
            const u32 thread = e * at.lanes + lane;
            a += scratch[j * 256 + thread], b += scratch[(V + j) * 256 + thread];
        }
        for (u32 o = team / 2; o; o /= 2) a += __shfl_xor_sync(0xffffffffu, a, o), b += __shfl_xor_sync(0xffffffffu, b, o);
        if (q < sets && t % team == 0) done(lane * V + j, a, b);
    }
}

// take(k, pair k) for those pairs below n that are a lane's; eight loads are under way at once.
template <class Take> DEVICE void each_pair(const double* pairs, u64 n, Take take) {
    const Moment<double>* const from = (const Moment<double>*)pairs;
    for (u64 k = threadIdx.x % 32; k < n; k += 256) {
        Moment<double> v[8] = {};
#pragma unroll
        for (u32 j = 0; j < 8; j++)
            if (k + 32 * j < n) v[j] = from[k + 32 * j];
#pragma unroll
        for (u32 j = 0; j < 8; j++)
            if (k + 32 * j < n) take(k + 32 * j, v[j]);
    }
}

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

// What multiplies dy where a rectifier follows, from what it is applied to.
DEVICE float rectified(u32 relu, float v) { return relu && !(v > 0.f) ? 0.f : 1.f; }

// --------------------------------------------------------------------------------------------- sums behind the gradient

// q and r of set `i` from the sums of g and of g xhat over its n values.
DEVICE void slope(float* slopes, const float* table, u64 i, double n, double g, double gx) {
    double rho = table[2 * i + 1];
    slopes[2 * i] = (float)(rho * g / n);
    slopes[2 * i + 1] = (float)(rho * rho * gx / n);
}

// The sums of two neighbouring numbers over `n` pairs, in all threads of a warp.
struct Sums { double a, b; };
DEVICE Sums add_pairs(const double* partial, u64 n) {
    Sums s = {0, 0};
    each_pair(partial, n, [&](u64, const Moment<double>& pair) { s.a += pair.mean, s.b += pair.m2; });
    return {warp_sum(s.a), warp_sum(s.b)};
}

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

// V neighbouring numbers, by 16 bytes.
template <int V> DEVICE void take(const float* from, float (&to)[V]) {
#pragma unroll
    for (u32 k = 0; k < V; k += 4) {
        const float4 v = load4(from + k);
        to[k] = v.x, to[k + 1] = v.y, to[k + 2] = v.z, to[k + 3] = v.w;
    }
}

// A thread's channels, and what they are normalised with at one position.
template <int V> struct Channels {
    float mu[V], rho[V], q[V], r[V], gamma[V], beta[V];
    u32 channel, channels; // the first one, those of a set

    DEVICE Channels(const Sweep& s, u32 channel, const float* scale, const float* shift) : channel(channel), channels(s.channels) {
        parameters(gamma, scale, s.per_scale, 1.f), parameters(beta, shift, s.per_scale, 0.f);
    }
    DEVICE void parameters(float (&to)[V], const float* from, u32 each, float none) {
        if (from && each == 1) return take(from + channel, to);
#pragma unroll
        for (u32 k = 0; k < V; k++) to[k] = from ? from[(channel + k) / each] : none;
    }
    // The entries of a row; slopes may be null.
    DEVICE void read(const float* table, const float* slopes, u64 first) {
        pairs(mu, rho, table, first);
        if (slopes) return pairs(q, r, slopes, first);
#pragma unroll
        for (u32 k = 0; k < V; k++) q[k] = r[k] = 0.f;
    }
    DEVICE void pairs(float (&a)[V], float (&b)[V], const float* from, u64 first) {
        if (channels == 1) {
            float both[2 * V];
            take(from + 2 * (first + channel), both);
#pragma unroll
            for (u32 k = 0; k < V; k++) a[k] = both[2 * k], b[k] = both[2 * k + 1];
            return;
        }
        Pair t = pair(from, first + channel / channels);
        const bool apart = (channel + V - 1) / channels != channel / channels;
#pragma unroll
        for (u32 k = 0; k < V; k++) {
            if (k && apart) t = pair(from, first + (channel + k) / channels);
            a[k] = t.a, b[k] = t.b;
        }
    }
};
