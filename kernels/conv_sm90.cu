// Convolution of bf16 and f16 on sm_90a: the products of conv_mma.cu by warpgroups.
//
// The producer's four warps gather the input with asynchronous copies of 16 bytes, zeros where a tap meets none, straight into the
// order that wgmma reads; the copy engine brings the other operand. Tiles are 128 outputs (weight gradient: 128 rows of weights) by BN
// columns. The host may define CONV_BF16 .. CONV_WEIGHTS_F16 to have one direction and type compiled only.
// `moments` are forward passes that also find the mean and the variance of their results.
#include "conv.cuh"
#include "gemm_sm90.cuh"
#include "moments.cuh"
#if HOPPER

#if !defined(CONV_BF16) && !defined(CONV_FLIP_BF16) && !defined(CONV_WEIGHTS_BF16) && !defined(CONV_F16) && !defined(CONV_FLIP_F16) && !defined(CONV_WEIGHTS_F16) && !defined(CONV_MOMENTS_BF16) && !defined(CONV_MOMENTS_F16)
#define CONV_MOMENTS_BF16
#define CONV_MOMENTS_F16
#define CONV_BF16
#define CONV_FLIP_BF16
#define CONV_WEIGHTS_BF16
#define CONV_F16
#define CONV_FLIP_F16
#define CONV_WEIGHTS_F16
#endif

constexpr int BM = 128;

// As HopperConvArgs in op/conv_sm90.rs. Boxes of b, forward: 64 filters by `piece` rows of weights; data gradient: `piece` filters by BN
// channels.
template <class E> struct HopperConvArgs {
    TensorMap b, y;
    Divisor tap;  // rows of b of a tap; of all where they follow each other
    u32 piece;    // rows of a box along k: a divisor of 64 and of a tap's rows
    u32 together; // 1: all rows of b follow each other
    u32 sent;     // 1: the copy engine takes the results to y, a matrix of these outputs
    u32 unused[2];
    ConvArgs<E, E> c;
};

// As HopperWeightArgs there. Boxes of b: 64 filters of dy by 64 outputs.
template <class E> struct HopperWeightArgs {
    TensorMap b;
    WeightArgs<E> c;
};

// As HopperMomentsArgs in op/conv_sm90.rs. One part, one group, sent by the copy engine, linear.
template <class E> struct HopperMomentsArgs {
    HopperConvArgs<E> c;
    Bands b;
};

// Where an output's products begin: the address under the first tap, perhaps outside of the image, and a bit for each tap along d, h and w
// that lies inside.
struct alignas(16) Spot { u64 from; u32 taps, unused; };
// A tap: its bits, and its distance from the first one in bytes. One behind the last has a bit that no output has.
struct Reach { u32 taps; i64 bytes; };

// Tables of the producer and of the epilogue, behind the barriers.
template <int BN, int STAGES> struct Tables {
    using R = Room<BM, BN, STAGES>;
    char* at;
    DEVICE explicit Tables(char* memory) : at(memory + R::BARRIERS + 256) {}
    DEVICE Spot* spots() const { return (Spot*)at; }             // two times 128
    DEVICE u64* places() const { return (u64*)(at + 2 * 128 * 16); } // BM
};

// The bits of n taps from coordinate `first` on that lie within `size`.
DEVICE u32 inside(int first, int dilation, u32 n, u32 size) {
    u32 bits = 0;
    for (u32 t = 0; t < n; t++, first += dilation) bits |= (u32)((u32)first < size) << t;
    return bits;
}

// Output r of a part, counted from sample n.
template <class E> DEVICE Spot spot_of(const Gather& g, const Part& p, const E* x, u32 n, u32 r) {
    u64 to;
    const Anchor q = locate(g, p, n, r, to);
    if (to == NOWHERE) return {0, 0, 0};
    const u32 d = inside(q.d, g.dilation[0], p.taps[0], g.x.d), h = inside(q.h, g.dilation[1], p.taps[1], g.x.h), w = inside(q.w, g.dilation[2], p.taps[2], g.x.w);
    const i64 from = (i64)(q.n * length(g.x)) + ((i64)((i64)q.d * g.x.h + q.h) * g.x.w + q.w) * g.x.c;
    return {(u64)x + (u64)(from * (i64)sizeof(E)), d | h << p.taps[0] | w << (p.taps[0] + p.taps[1]), 0};
}

// Row k = tap·channels + channel of a part and group.
template <class E> DEVICE Reach reach_of(const Gather& g, const Part& p, u32 group, u32 k) {
    const u32 t = quotient(k, g.channels), channel = group * g.channels.d + k - t * g.channels.d;
    if (t >= p.all) return {1u << 31, 0};
    const u32 d = quotient(t, p.taps_plane), r = t - d * p.taps_plane.d, h = quotient(r, p.taps_line), w = r - h * p.taps_line.d;
    const i64 at = ((i64)(int)d * g.dilation[0] * g.x.h + (int)h * g.dilation[1]) * g.x.w + (int)w * g.dilation[2];
    return {1u << d | 1u << (p.taps[0] + h) | 1u << (p.taps[0] + p.taps[1] + w), (at * g.x.c + channel) * (i64)sizeof(E)};
}

// 16 bytes, or zeros where the tap lies outside.
DEVICE void copy_reached(SharedAddress to, const Spot& s, const Reach& r) {
    copy_async<16>(to, (const void*)(s.from + (u64)r.bytes), (s.taps & r.taps) == r.taps ? 16 : 0);
}

constexpr u32 ARRIVALS = 128 + 1; // of a full stage: one for each thread's copies, one that announces the copy engine's

constexpr u32 PRODUCERS = 8; // the barrier of the producer's threads
DEVICE void producers_meet() { meet(PRODUCERS, 128); }

// ------------------------------------------------------------------------------------------------- forward, data gradient

// Brings the columns from `column` on of rows k.. of the weights of a part and group. One thread.
template <class E, int BN, int STAGES, bool FLIP>
DEVICE void bring_weights(const HopperConvArgs<E>& a, const Tiles<BM, BN, STAGES>& tiles, u32 stage, const Part& p, u32 group, u32 column, u32 k) {
    const Gather& g = a.c.g;
    Barrier* const full = tiles.full(stage);
    char* const to = tiles.b(stage);
    arrive_expecting(full, BN * ROW);
#pragma unroll 1
    for (u32 at = 0; at < DEPTH; at += a.piece) {
        // Rows behind the last tap lie outside of b: zeros come.
        const u32 q = quotient(k + at, a.tap), row = k + at - q * a.tap.d;
        const int tap = a.together ? (int)q : q < p.all ? tap_number(g, p, q) : -1;
        if (FLIP) {
            bring(to + at * BN * sizeof(E), a.b, full, (int)(group * g.channels.d + row), (int)column, tap);
        } else {
#pragma unroll
            for (u32 x = 0; x < BN; x += 64) bring(to + x * ROW + at * ROW, a.b, full, (int)(group * g.columns + column + x), (int)row, tap);
        }
    }
}

// Gathers 64 products of 128 outputs: eight threads for an output's row, each with 16 bytes of it.
template <class E> DEVICE void gather(const Gather& g, const Part& p, u32 group, const Spot* spots, char* to, u32 k) {
    const u32 chunk = threadIdx.x % 8, row = threadIdx.x / 8;
    const Reach reach = reach_of<E>(g, p, group, k + chunk * 8);
    const SharedAddress at = shared_address(to + row * ROW + (chunk ^ row % 8) * 16);
#pragma unroll
    for (u32 i = 0; i < BM / 16; i++) copy_reached(at + i * 16 * ROW, spots[i], reach);
}

// B of the data gradient: pieces of rows along k, side by side.
template <int BN> struct PiecesB {
    u32 width; // bytes of a piece's row
    DEVICE u64 operator()(const char* b) const { return along_k(b, width); }
    DEVICE u64 operator()(u32 s) const {
        const u32 each = width == 128 ? 2 : width == 64 ? 1 : 0; // log2 of the steps of a piece
        return ((s >> each) * BN * width + (s & ((1 << each) - 1)) * 32) / 16;
    }
};

// The moments of the 64 results of each column of a box that begins at this one: a warp takes 16 columns, a lane two.
template <class E> DEVICE void box_moments(const Bands& b, const char* box, u32 band, u32 column) {
    typedef typename MomentOf<E>::Type Kept;
    const u32 t = threadIdx.x % 128, lane = t % 32, chunk = t / 32 * 2 + lane % 8 / 4;
    Kept m[2];
    band_moments(
        band + 1 == b.bands ? last_band(b) : BAND,
        [&](u32 row, float* v) {
            const u32 pair = *(const u32*)(box + row * ROW + ((chunk ^ row % 8) * 16) + lane % 4 * 4);
            v[0] = to_float(E{(u16)pair}), v[1] = to_float(E{(u16)(pair >> 16)});
        },
        m);
    column += chunk * 8 + lane % 4 * 2;
    if (lane < 8 && column < b.c) *(Pack<Kept, 2>*)((Kept*)b.parts + ((u64)band * b.c + column)) = {m[0], m[1]};
}

// Whether this warpgroup is the last of `all` to arrive here, as last_to_arrive; `seen` is a word in shared memory of its own.
DEVICE bool last_group_to_arrive(u32* counter, u32 all, u32 group, u32* seen) {
    __threadfence();
    group_meet(group);
    if (threadIdx.x % 128 == 0) *seen = atomicAdd(counter, 1u);
    group_meet(group);
    if (*seen != all - 1) return false;
    if (threadIdx.x % 128 == 0) *counter = 0;
    __threadfence();
    return true;
}

// The sums of a warpgroup with their moments, where the copy engine takes them.
template <class E, int BN, int STAGES>
DEVICE void finish_with_moments(const HopperConvArgs<E>& a, const Bands& m, float (*d)[4], const Tiles<BM, BN, STAGES>& tiles, u32& sends, u32 group, const Block& b) {
    const u32 band = b.m * (BM / 64) + group, column = b.n * BN;
    if (band >= m.bands) return;
    char* const staging = tiles.staging(group);
    send_sums<E, BN>({(u32)m.positions, m.c, a.c.bias, 1.f, false}, a.y, d, staging, sends, group, band * 64, column,
                     [&](const char* box, u32 at) { box_moments<E>(m, box, band, at); });
    u32* const seen = (u32*)(tiles.memory + Room<BM, BN, STAGES>::BYTES) + group;
    if (!m.arrived || !last_group_to_arrive(m.arrived + b.n, m.bands, group, seen)) return;
    if (threadIdx.x % 128 == 0) sent<0>(); // the staging is free
    group_meet(group);
    put_bands_together<128, E>(m, column, min((u32)BN, m.c - column), threadIdx.x % 128, (double*)staging, [&] { group_meet(group); });
}

// The sums of a warpgroup, outputs `first`.. of a part and columns `column`.. of a group.
template <class E, int BN, int STAGES, bool FLIP>
DEVICE void finish_outputs(const HopperConvArgs<E>& a, float (*d)[4], const Tiles<BM, BN, STAGES>& tiles, u64* places, u32& sends, u32 group, const Part& p, const Block& b) {
    const Gather& g = a.c.g;
    const u64 first = (u64)b.m * BM + group * 64;
    char* const staging = tiles.staging(group);
    if (a.sent) {
        const Ends end = {g.rows * p.area.d, g.columns, a.c.bias, 1.f, a.c.act.kind == RELU};
        return send_sums<E, BN>(end, a.y, d, staging, sends, group, (u32)first, b.n * BN);
    }
    const u32 t = threadIdx.x % 128, sample = (u32)(first / p.area.d);
    places += group * 64;
    group_meet(group); // the places of the tile before have been read
    if (t < 64) locate(g, p, sample, (u32)(first - (u64)sample * p.area.d) + t, places[t]);
    const u32 cells = FLIP ? 0 : cells_of(g);
    give_rows<BN>(d, staging, group, left(g.columns, b.n * BN), cells, [&](u32 r, u32 column, const float* sums) {
        const u32 n = b.n * BN + column;
        if (places[r] == NOWHERE || n >= g.columns) return;
        if (!FLIP && cells) finish_window4(a.c, places[r], b.group * g.columns + n, sums, SUMS);
        else finish4(a.c, places[r], b.group * g.columns + n, load4(sums));
    });
}

// work(block, part, stages) for every tile of this block.
template <class E, class Work> DEVICE void each_tile(const ConvArgs<E, E>& a, Work work) {
    const Gather& g = a.g;
    const u32 items = a.m_tiles * a.n_tiles * g.groups * g.parts;
    for (u32 item = blockIdx.x; item < items; item += gridDim.x) {
        const Block b = block_of(item, a.n_tiles, a.m_tiles, g.groups);
        const Part& p = g.part[b.part];
        if ((u64)b.m * BM < (u64)g.rows * p.area.d) work(b, p, (p.all * g.channels.d + DEPTH - 1) / DEPTH);
    }
}

// `moments`: where these go, or null.
template <class E, int BN, int STAGES, bool FLIP, bool MOMENTS, int KEPT, int TAKEN>
DEVICE void conv_sm90(const HopperConvArgs<E>& a, const Bands* moments) {
    SHARED(char, memory);
    const Tiles<BM, BN, STAGES> tiles(memory);
    const Tables<BN, STAGES> tables(memory);
    const Gather& g = a.c.g;
    const u32 tid = threadIdx.x;
    tiles.begin(ARRIVALS, 1);
    Ring<STAGES> ring;
    if (tid < 128) {
        keep_registers<KEPT>();
        if (tid == 0) {
            prefetch(a.b);
            if (a.sent) prefetch(a.y);
        }
        each_tile(a.c, [&](const Block& b, const Part& p, u32 steps) {
            const u64 first = (u64)b.m * BM;
            const u32 sample = (u32)(first / p.area.d);
            producers_meet(); // all have taken their spots of the tile before
            tables.spots()[tid] = spot_of(g, p, a.c.x, sample, (u32)(first - (u64)sample * p.area.d) + tid);
            producers_meet();
            Spot spots[BM / 16];
#pragma unroll
            for (u32 i = 0; i < BM / 16; i++) spots[i] = tables.spots()[tid / 8 + i * 16];
            for (u32 k = 0; k < steps * DEPTH; k += DEPTH, ring.next()) {
                wait(tiles.empty(ring.stage), ring.parity ^ 1);
                if (tid == 0) bring_weights<E, BN, STAGES, FLIP>(a, tiles, ring.stage, p, b.group, b.n * BN, k);
                __syncwarp();
                gather<E>(g, p, b.group, spots, tiles.a(ring.stage), k);
                arrive_when_copied(tiles.full(ring.stage));
            }
        });
        copy_commit(), copy_wait<0>();
    } else {
        take_registers<TAKEN>();
        const u32 group = tid / 128 - 1;
        u32 sends = 0;
        each_tile(a.c, [&](const Block& b, const Part& p, u32 steps) {
            float d[BN / 8][4] = {};
            if constexpr (FLIP) sum_stages<E, BM, BN, STAGES, 1, true, false, false>(d, tiles, ring, steps, group, PiecesB<BN>{a.piece * (u32)sizeof(E)});
            else sum_stages<E, BM, BN, STAGES, 1, true, false, true>(d, tiles, ring, steps, group, WholeB<true>());
            if constexpr (MOMENTS) finish_with_moments<E, BN, STAGES>(a, *moments, d, tiles, sends, group, b);
            else finish_outputs<E, BN, STAGES, FLIP>(a, d, tiles, tables.places(), sends, group, p, b);
        });
        if (tid % 128 == 0) sent<0>();
    }
}

// ------------------------------------------------------------------------------------------------------- weight gradient

// Gathers 64 outputs' products of 128 rows (tap, channel): 16 threads for an output, each with 8 rows.
DEVICE void gather_across(const Reach& reach, const Spot* spots, char* to) {
    const u32 chunk = threadIdx.x % 16, k = threadIdx.x / 16;
    const SharedAddress at = shared_address(to + chunk / 8 * BOX + k * ROW + (chunk % 8 ^ k) * 16);
#pragma unroll
    for (u32 i = 0; i < DEPTH; i += 8) copy_reached(at + i * ROW, spots[k + i], reach);
}

// work(block, first output, outputs) for every tile and chunk of this block.
template <class E, class Work> DEVICE void each_chunk(const WeightArgs<E>& a, Work work) {
    const Gather& g = a.g;
    const u32 items = a.m_tiles * a.n_tiles * g.groups * a.chunks;
    const u64 total = (u64)g.rows * g.part[0].area.d;
    for (u32 item = blockIdx.x; item < items; item += gridDim.x) {
        const Block b = block_of(item, a.n_tiles, a.m_tiles, g.groups);
        const u64 first = (u64)b.part * a.length;
        work(b, first, first < total ? (u32)(total - first < a.length ? total - first : a.length) : 0);
    }
}

// dw over the outputs of a chunk. One part, whose outputs follow each other in dy.
template <class E, int BN, int STAGES, int KEPT, int TAKEN> DEVICE void conv_sm90_weights(const HopperWeightArgs<E>& a) {
    SHARED(char, memory);
    const Tiles<BM, BN, STAGES> tiles(memory);
    const Tables<BN, STAGES> tables(memory);
    const Gather& g = a.c.g;
    const Part& p = g.part[0];
    const u32 tid = threadIdx.x;
    tiles.begin(ARRIVALS, 1);
    Ring<STAGES> ring;
    if (tid < 128) {
        keep_registers<KEPT>();
        if (tid == 0 && g.rows) prefetch(a.b);
        u32 turn = 0;
        each_chunk(a.c, [&](const Block& b, u64 first, u32 count) {
            const u32 sample = (u32)(first / p.area.d), start = (u32)(first - (u64)sample * p.area.d);
            const Reach reach = reach_of<E>(g, p, b.group, b.m * BM + tid % 16 * 8);
            for (u32 k = 0; k < count; k += DEPTH, ring.next()) {
                // Spots of two stages, while others may still read those of the two before: they leave them before they come here again.
                if (k % 128 == 0) {
                    turn ^= 128;
                    tables.spots()[turn + tid] = k + tid < count ? spot_of(g, p, a.c.x, sample, start + k + tid) : Spot{0, 0, 0};
                    producers_meet();
                }
                wait(tiles.empty(ring.stage), ring.parity ^ 1);
                if (tid == 0) {
                    Barrier* const full = tiles.full(ring.stage);
                    arrive_expecting(full, BN * ROW);
#pragma unroll
                    for (u32 x = 0; x < BN; x += 64) bring(tiles.b(ring.stage) + x * ROW, a.b, full, (int)(b.group * g.columns + b.n * BN + x), (int)(first + k));
                }
                __syncwarp();
                gather_across(reach, tables.spots() + turn + k % 128, tiles.a(ring.stage));
                arrive_when_copied(tiles.full(ring.stage));
            }
        });
        copy_commit(), copy_wait<0>();
    } else {
        take_registers<TAKEN>();
        const u32 group = tid / 128 - 1;
        each_chunk(a.c, [&](const Block& b, u64 first, u32 count) {
            float d[BN / 8][4] = {};
            sum_stages<E, BM, BN, STAGES, 1, true, true, true>(d, tiles, ring, (count + DEPTH - 1) / DEPTH, group, WholeB<true>());
            float* const dw = a.c.dw + b.part * a.c.weights;
            const u32 row = b.m * BM + group * 64;
            give_sums<BN>(d, tiles.staging(group), group, left(g.columns, b.n * BN), [&](u32 r, u32 column, float4 v) {
                u32 weight;
                tap_of(g, p, b.group, row + r, weight);
                const u32 n = b.n * BN + column;
                if (weight == ~0u || n >= g.columns) return;
                float* const to = dw + weight + n;
                if (a.c.add) {
                    const float4 old = load4(to);
                    v.x += old.x, v.y += old.y, v.z += old.z, v.w += old.w;
                }
                store4(to, v);
            });
        });
    }
}

// Registers: 64512 of 384 threads.
#define FORWARD(name, E)                                                                                                 \
    KERNEL(384, conv_sm90_##name##_256, HopperConvArgs<E>) { conv_sm90<E, 256, 3, false, false, 72, 216>(a, nullptr); }      \
    KERNEL(384, conv_sm90_##name##_128, HopperConvArgs<E>) { conv_sm90<E, 128, 5, false, false, 96, 200>(a, nullptr); }      \
    KERNEL(384, conv_sm90_##name##_64, HopperConvArgs<E>) { conv_sm90<E, 64, 6, false, false, 96, 200>(a, nullptr); }
#define MOMENTS(name, E)                                                                                                 \
    KERNEL(384, conv_sm90_moments_##name##_256, HopperMomentsArgs<E>) { conv_sm90<E, 256, 3, false, true, 72, 216>(a.c, &a.b); } \
    KERNEL(384, conv_sm90_moments_##name##_128, HopperMomentsArgs<E>) { conv_sm90<E, 128, 5, false, true, 96, 200>(a.c, &a.b); } \
    KERNEL(384, conv_sm90_moments_##name##_64, HopperMomentsArgs<E>) { conv_sm90<E, 64, 6, false, true, 96, 200>(a.c, &a.b); }
#define FLIP(name, E)                                                                                                    \
    KERNEL(384, conv_sm90_flip_##name##_256, HopperConvArgs<E>) { conv_sm90<E, 256, 3, true, false, 72, 216>(a, nullptr); }  \
    KERNEL(384, conv_sm90_flip_##name##_128, HopperConvArgs<E>) { conv_sm90<E, 128, 5, true, false, 96, 200>(a, nullptr); }  \
    KERNEL(384, conv_sm90_flip_##name##_64, HopperConvArgs<E>) { conv_sm90<E, 64, 6, true, false, 96, 200>(a, nullptr); }
#define WEIGHTS(name, E)                                                                                                 \
    KERNEL(384, conv_sm90_weights_##name##_256, HopperWeightArgs<E>) { conv_sm90_weights<E, 256, 3, 72, 216>(a); } \
    KERNEL(384, conv_sm90_weights_##name##_128, HopperWeightArgs<E>) { conv_sm90_weights<E, 128, 5, 96, 200>(a); } \
    KERNEL(384, conv_sm90_weights_##name##_64, HopperWeightArgs<E>) { conv_sm90_weights<E, 64, 6, 96, 200>(a); }
#ifdef CONV_BF16
FORWARD(bf16, bf16)
#endif
#ifdef CONV_FLIP_BF16
FLIP(bf16, bf16)
#endif
#ifdef CONV_WEIGHTS_BF16
WEIGHTS(bf16, bf16)
#endif
#ifdef CONV_MOMENTS_BF16
MOMENTS(bf16, bf16)
#endif
#ifdef CONV_MOMENTS_F16
MOMENTS(f16, f16)
#endif
#ifdef CONV_F16
FORWARD(f16, f16)
#endif
#ifdef CONV_FLIP_F16
FLIP(f16, f16)
#endif
#ifdef CONV_WEIGHTS_F16
WEIGHTS(f16, f16)
#endif
#endif
