// Batches from a data set that lies on the device.
#include "prelude.cuh"

struct GatherArgs {
    const Control* control;
    const u32* order; // the sample at each place of the epoch
    const void* from; // the rows of all samples
    void* to;
    u64 n;           // units of the batch
    u64 offset;      // places after the cursor at which the batch begins
    Divisor per_row; // units of a row; of a label where rows are made one-hot
    u32 positions;   // labels of a row, for one-hot rows
};

// Which row (or label) of the batch unit i lies in. Division by multiplication holds below 2^31.
DEVICE u64 row_of(const GatherArgs& a, u64 i) { return a.n >> 31 ? i / a.per_row.d : quotient((u32)i, a.per_row); }

DEVICE const u32* batch_of(const GatherArgs& a) { return a.order + a.control->params.cursor + a.offset; }

// Row r of the batch ← row order[cursor + offset + r], in units that a row is a whole number of: bits are moved, whatever they mean.
template <class Unit> DEVICE void gather(const GatherArgs& a) {
    const u32* order = batch_of(a);
    const Unit* from = (const Unit*)a.from;
    Unit* to = (Unit*)a.to;
    for (GRID(i, a.n)) {
        u64 row = row_of(a, i), at = i - row * a.per_row.d;
        to[i] = from[(u64)order[row] * a.per_row.d + at];
    }
}
KERNEL(256, gather_16, GatherArgs) { gather<uint4>(a); }
KERNEL(256, gather_4, GatherArgs) { gather<u32>(a); }
KERNEL(256, gather_2, GatherArgs) { gather<u16>(a); }

// As gather, from labels to rows of zeros with a one at the label.
KERNEL(256, gather_one_hot, GatherArgs) {
    const u32* order = batch_of(a);
    const u32* labels = (const u32*)a.from;
    float* to = (float*)a.to;
    for (GRID(i, a.n)) {
        u64 place = row_of(a, i), row = a.positions == 1 ? place : place / a.positions;
        u64 at = (u64)order[row] * a.positions + (place - row * a.positions);
        to[i] = labels[at] == i - place * a.per_row.d ? 1.f : 0.f;
    }
}

// ------------------------------------------------------------------------------------------------------- augmentation
// Motions by whole pixels, with the draws of data/augment.rs: the same pixels as there, bit for bit.

enum BorderKind : u32 { EDGE, REFLECT, VALUE };

struct MoveArgs {
    const Control* control;
    const u32* order;
    const u64* draws; // epoch and seed
    const void* from;
    void* to;
    u64 offset;
    u64 purpose;     // keeps these draws apart from others
    double flips[3]; // probabilities along d, h, w
    u32 len, d;      // elements of a sample; slices
    Divisor h, w, c;
    u32 quarter_turns, shift, border, outside; // outside: the bits beyond a border of kind VALUE
    u32 unused;
};

// (i, j) of the source = m·(i, j) + t in whole pixels, both measured from the centre.
struct Motion { int m[2][2], t[2], mirror_d; };

DEVICE int sign(u32 word, double p) { return (double)(word >> 8) * (1.0 / 16777216.0) < p ? -1 : 1; }

DEVICE Motion motion(const MoveArgs& a, u32 sample) {
    u64 key = a.draws[1] ^ a.purpose, base = a.draws[0] << 40;
    Words flip = philox(key, sample, base), move = philox(key, sample, base + 1);
    u32 turn = a.quarter_turns ? flip.w[3] >> 30 : 0;
    int cos = turn == 0 ? 1 : turn == 2 ? -1 : 0, sin = turn == 1 ? 1 : turn == 3 ? -1 : 0;
    int v = sign(flip.w[1], a.flips[1]), h = sign(flip.w[2], a.flips[2]);
    u64 steps = 2 * (u64)a.shift + 1;
    Motion q;
    q.m[0][0] = v * cos, q.m[0][1] = v * sin;
    q.m[1][0] = -h * sin, q.m[1][1] = h * cos;
    q.t[0] = a.h.d > 1 ? (int)(move.w[2] * steps >> 32) - (int)a.shift : 0;
    q.t[1] = (int)(move.w[3] * steps >> 32) - (int)a.shift;
    q.mirror_d = sign(flip.w[0], a.flips[0]) < 0;
    return q;
}

// The pixel of 0..n that stands for i, or -1 for the value of the border.
DEVICE int inside(u32 border, int i, int n) {
    if (i >= 0 && i < n) return i;
    if (border == VALUE) return -1;
    if (border == EDGE) return i < 0 ? 0 : n - 1;
    if (n == 1) return 0;
    int period = 2 * (n - 1), k = i % period;
    k = k < 0 ? k + period : k;
    return k < n ? k : period - k;
}

// One block for a part of one sample: blockIdx.x is the row of the batch.
template <class Unit> DEVICE void move(const MoveArgs& a) {
    u64 row = blockIdx.x;
    u32 sample = a.order[a.control->params.cursor + a.offset + row];
    __shared__ Motion drawn;
    if (threadIdx.x == 0) drawn = motion(a, sample);
    __syncthreads();
    const Motion q = drawn;
    const Unit* from = (const Unit*)a.from + (u64)sample * a.len;
    Unit* to = (Unit*)a.to + row * a.len;
    int h = a.h.d, w = a.w.d;
    for (u32 k = blockIdx.y * blockDim.x + threadIdx.x; k < a.len; k += gridDim.y * blockDim.x) {
        u32 pixel = quotient(k, a.c), line = quotient(pixel, a.w), slice = quotient(line, a.h);
        // Twice the distance from the centre, which lies between pixels where their number is even.
        int i = 2 * (int)(line - slice * a.h.d) - (h - 1), j = 2 * (int)(pixel - line * a.w.d) - (w - 1);
        int y = (q.m[0][0] * i + q.m[0][1] * j + h - 1) / 2 + q.t[0], x = (q.m[1][0] * i + q.m[1][1] * j + w - 1) / 2 + q.t[1];
        y = inside(a.border, y, h), x = inside(a.border, x, w);
        if (q.mirror_d) slice = a.d - 1 - slice;
        u32 at = ((slice * a.h.d + (u32)y) * a.w.d + (u32)x) * a.c.d + (k - pixel * a.c.d);
        to[k] = y < 0 || x < 0 ? (Unit)a.outside : from[at];
    }
}
KERNEL(256, move_4, MoveArgs) { move<u32>(a); }
KERNEL(256, move_2, MoveArgs) { move<u16>(a); }
