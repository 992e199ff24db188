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
