// Batches from a data set that lies on the device, or from rows that were sent as their source holds them.
#include "prelude.cuh"

// How numbers that are stored in few bytes become those of the plan: x = value(raw), then factor*x + offset, then (x - a)/b with the a and
// b of group i mod groups for number i of a sample. The same roundings as on the host.
struct Decoder {
    Divisor groups;
    u32 affine;
    float factor, offset;
    const float* a; // or null
    const float* b;
};
DEVICE float value(u8 v) { return (float)v; }
DEVICE float value(signed char v) { return (float)v; }
DEVICE float value(short v) { return (float)v; }
DEVICE float value(u16 v) { return (float)v; }
DEVICE float value(int v) { return (float)v; }
DEVICE float value(float v) { return v; }
DEVICE float value(f16 v) { return to_float(v); }
DEVICE float decode(float v, u32 i, const Decoder& d) {
    if (d.affine) v = __fadd_rn(__fmul_rn(d.factor, v), d.offset);
    if (!d.a) return v;
    u32 g = i - quotient(i, d.groups) * d.groups.d;
    return (v - d.a[g]) / d.b[g];
}

// As Scaling in data/stored.rs: what makes numbers of the stored ones of a row.
struct Scaling {
    double scale, zero;
    float bias;
    int blank;
    u32 flags, unused;
};
const u32 IN_DOUBLE = 1, IN_SINGLE = 2, HAS_BLANK = 4;

// The bytes the other way round.
DEVICE u16 swapped(u16 v) { return (u16)(v << 8 | v >> 8); }
DEVICE u32 swapped(u32 v) { return v << 24 | (v & 0xff00) << 8 | (v >> 8 & 0xff00) | v >> 24; }
DEVICE u8 swapped(u8 v) { return v; }
DEVICE signed char swapped(signed char v) { return v; }
DEVICE short swapped(short v) { return (short)swapped((u16)v); }
DEVICE int swapped(int v) { return (int)swapped((u32)v); }
DEVICE float swapped(float v) { return __uint_as_float(swapped(__float_as_uint(v))); }
DEVICE f16 swapped(f16 v) { return {swapped(v.bits)}; }

template <class Raw> DEVICE double wide(Raw v) { return (double)v; }
DEVICE double wide(f16 v) { return (double)to_float(v); }
template <class Raw> DEVICE bool is(Raw v, int blank) { return (int)v == blank; }
DEVICE bool is(f16, int) { return false; }
DEVICE bool is(float, int) { return false; }

template <class Raw> DEVICE float scaled(Raw v, const Scaling& s) {
    u32 flags = s.flags;
    if ((flags & HAS_BLANK) && is(v, s.blank)) return __uint_as_float(0x7fc00000);
    if (flags & IN_DOUBLE) return (float)(__dmul_rn(wide(v), s.scale) + s.zero);
    if (flags & IN_SINGLE) return __fadd_rn((float)s.zero, __fmul_rn((float)s.scale, value(v) + s.bias));
    return value(v);
}
DEVICE bool finite(float v) { return (__float_as_uint(v) & 0x7f800000) != 0x7f800000; }

// What a column is made of, and becomes: units of so many bytes whatever they mean, labels that become rows of zeros with a one, or
// numbers to be decoded.
enum ColumnKind : u32 { COPY_16, COPY_4, COPY_2, ONE_HOT, OF_U8, OF_I8, OF_I16, OF_U16, OF_I32, OF_F16, OF_F32 };
enum NumberKind : u32 { TO_F32, TO_BF16, TO_F16 };

struct Column {
    const void* from;        // the rows of all samples
    const Scaling* scalings; // of all samples, or null
    void* to;
    u64 n;           // units of the batch
    Divisor per_row; // units of a row; of a label where rows are made one-hot
    u32 kind, number;
    u32 positions;   // labels of a row, for one-hot rows
    u32 swap;        // the numbers are big-endian
    u32 puts;        // what is not finite becomes `put`
    float put;
    u32 unused;
    Decoder decoder;
};

const u32 COLUMNS = 8;

struct GatherArgs {
    const Control* control;
    const u32* order; // the sample at each place of the epoch; null where the rows are those of the batch
    u64 offset;       // places after the cursor at which the batch begins
    Column column[COLUMNS];
};

// Which row (or label) of the batch unit i lies in. Division by multiplication holds below 2^31.
DEVICE u64 row_of(const Column& c, u64 i) { return c.n >> 31 ? i / c.per_row.d : quotient((u32)i, c.per_row); }

// The sample of row r of the batch.
DEVICE u64 sample_of(const u32* order, u64 r) { return order ? order[r] : r; }

// Row r of the batch <- row order[r], in units that a row is a whole number of.
template <class Unit> DEVICE void copy_rows(const Column& c, const u32* order) {
    const Unit* from = (const Unit*)c.from;
    Unit* to = (Unit*)c.to;
    for (GRID(i, c.n)) {
        u64 row = row_of(c, i), at = i - row * c.per_row.d;
        to[i] = from[sample_of(order, row) * c.per_row.d + at];
    }
}

// As copy_rows, from labels to rows of zeros with a one at the label.
DEVICE void one_hot_rows(const Column& c, const u32* order) {
    const u32* labels = (const u32*)c.from;
    float* to = (float*)c.to;
    for (GRID(i, c.n)) {
        u64 place = row_of(c, i), row = c.positions == 1 ? place : place / c.positions;
        u64 at = sample_of(order, row) * c.positions + (place - row * c.positions);
        to[i] = labels[at] == i - place * c.per_row.d ? 1.f : 0.f;
    }
}

template <class Raw> DEVICE void decode_rows(const Column& c, const u32* order) {
    const Raw* from = (const Raw*)c.from;
    for (GRID(i, c.n)) {
        u64 row = row_of(c, i), sample = sample_of(order, row);
        u32 at = (u32)(i - row * c.per_row.d);
        Raw raw = from[sample * c.per_row.d + at];
        if (c.swap) raw = swapped(raw);
        float v = c.scalings ? scaled(raw, c.scalings[sample]) : value(raw);
        if (c.puts && !finite(v)) v = c.put;
        v = decode(v, at, c.decoder);
        if (c.number == TO_F32) ((float*)c.to)[i] = v;
        else if (c.number == TO_BF16) store((bf16*)c.to, i, v);
        else store((f16*)c.to, i, v);
    }
}

// All columns of a batch at once: blockIdx.y is the column.
KERNEL(256, gather, GatherArgs) {
    const u32* order = a.order ? a.order + a.control->params.cursor + a.offset : nullptr;
    const Column& c = a.column[blockIdx.y];
    switch (c.kind) {
    case COPY_16: return copy_rows<uint4>(c, order);
    case COPY_4: return copy_rows<u32>(c, order);
    case COPY_2: return copy_rows<u16>(c, order);
    case ONE_HOT: return one_hot_rows(c, order);
    case OF_U8: return decode_rows<u8>(c, order);
    case OF_I8: return decode_rows<signed char>(c, order);
    case OF_I16: return decode_rows<short>(c, order);
    case OF_U16: return decode_rows<u16>(c, order);
    case OF_I32: return decode_rows<int>(c, order);
    case OF_F16: return decode_rows<f16>(c, order);
    default: return decode_rows<float>(c, order);
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
    Decoder decoder;
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

DEVICE u32 bits(u32 v) { return v; }
DEVICE u16 bits(u16 v) { return v; }
DEVICE u32 bits(float v) { return __float_as_uint(v); }
DEVICE u32 moved(u32 v, u32, const Decoder&, u32*) { return v; }
DEVICE u16 moved(u16 v, u32, const Decoder&, u16*) { return v; }
template <class Raw> DEVICE float moved(Raw v, u32 at, const Decoder& d, float*) { return decode(value(v), at, d); }
template <class Raw> DEVICE u16 moved(Raw v, u32 at, const Decoder& d, bf16*) { return of_float<bf16>(decode(value(v), at, d)).bits; }
template <class Raw> DEVICE u16 moved(Raw v, u32 at, const Decoder& d, f16*) { return of_float<f16>(decode(value(v), at, d)).bits; }

// One block for a part of one sample: blockIdx.x is the row of the batch. Bits of a Unit are what MARK makes of a Raw.
template <class Raw, class Unit, class Mark> DEVICE void move(const MoveArgs& a) {
    u64 row = blockIdx.x;
    u32 sample = a.order[a.control->params.cursor + a.offset + row];
    __shared__ Motion drawn;
    if (threadIdx.x == 0) drawn = motion(a, sample);
    __syncthreads();
    const Motion q = drawn;
    const Raw* from = (const Raw*)a.from + (u64)sample * a.len;
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
        to[k] = y < 0 || x < 0 ? (Unit)a.outside : bits(moved(from[at], at, a.decoder, (Mark*)nullptr));
    }
}
KERNEL(256, move_4, MoveArgs) { move<u32, u32, u32>(a); }
KERNEL(256, move_2, MoveArgs) { move<u16, u16, u16>(a); }
#define MOVES(name, Raw)                                                                                                 \
    KERNEL(256, move_##name##_f32, MoveArgs) { move<Raw, u32, float>(a); }                                               \
    KERNEL(256, move_##name##_bf16, MoveArgs) { move<Raw, u16, bf16>(a); }                                               \
    KERNEL(256, move_##name##_f16, MoveArgs) { move<Raw, u16, f16>(a); }
MOVES(u8, u8)
MOVES(i16, short)
MOVES(u16, u16)
MOVES(f16, f16)
