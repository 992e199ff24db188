// A fully connected layer on few rows, one launch for each direction: y = act(x W + b), and dx, dW and db from dy. As
// op/dense_small.rs, which says where it is chosen. Products in ordinary arithmetic on f32 sums whatever the storage: layers of
// this size are bound by the latency of launches and loads.
//
// x: m rows of k. W: k rows of n, f32. dz = dy act'(saved) is formed while it is loaded, so nothing waits for a pass of its own.
#include "loss.cuh"
#include "reduce.cuh"

// One tile of C = A B by a block of eight warps: WM by WN tiles of 16 x 16, their depth shared by WK warps. Where A or B lies
// with its neighbours along the depth (DEEP), shared memory holds it so too.
template <int WM, int WN, int WK, int DEPTH, bool A_DEEP, bool B_DEEP> struct Tile {
    enum {
        ROWS = 16 * WM,
        COLUMNS = 16 * WN,
        A_PITCH = (A_DEEP ? DEPTH : ROWS) + 4,
        B_PITCH = (B_DEEP ? DEPTH : COLUMNS) + 4,
        A_ROWS = A_DEEP ? ROWS : DEPTH,
        B_ROWS = B_DEEP ? COLUMNS : DEPTH,
        A_PACKS = ROWS * DEPTH / 4,
        B_PACKS = COLUMNS * DEPTH / 4,
        A_EACH = (A_PACKS + 255) / 256,
        B_EACH = (B_PACKS + 255) / 256,
        STAGE = A_ROWS * A_PITCH + B_ROWS * B_PITCH,
        SUMS = WK * ROWS * COLUMNS,
        FLOATS = STAGE > SUMS ? STAGE : SUMS
    };
};
typedef Tile<1, 1, 8, 128, true, false> Forward;  // x W
typedef Tile<1, 1, 8, 128, true, true> Inputs;    // dz W^T
typedef Tile<4, 2, 1, 32, false, false> Weights;  // x^T dz

constexpr int GRADIENT_FLOATS = (int)Inputs::FLOATS > (int)Weights::FLOATS ? (int)Inputs::FLOATS : (int)Weights::FLOATS;

// Four neighbours of a row-major matrix, zeros outside; `quads`: rows are whole quads.
template <class T> DEVICE void fetch(const T* p, u32 i, u32 rows, u32 j, u32 columns, u32 pitch, bool quads, float (&v)[4]) {
    const u64 at = (u64)i * pitch + j;
#pragma unroll
    for (int q = 0; q < 4; q++) v[q] = 0.f;
    if (i >= rows) return;
    if (quads && j + 4 <= columns) {
        const Pack<T, 4> pack = *(const Pack<T, 4>*)(p + at);
#pragma unroll
        for (int q = 0; q < 4; q++) v[q] = to_float(pack.v[q]);
        return;
    }
#pragma unroll
    for (int q = 0; q < 4; q++)
        if (j + q < columns) v[q] = load(p, at + q);
}

DEVICE void put4(float* to, const float (&v)[4]) { *(float4*)to = make_float4(v[0], v[1], v[2], v[3]); }

// The parts of the depth of one tile, each a block's; all sums of a part lie side by side.
struct Split {
    float* sums;   // [tile][part][ROWS * COLUMNS], or null: one part
    u32* arrived;  // a counter for each tile
    u32 length, parts;
};

// Sums of the tile over depth first..end, taken to put(i, j, sum) for all i and j of the tile. a(r, p, v) and b(p, c, v) load
// four neighbours: rows from r and columns from c of the tile, or depths from p on where they lie along the depth. False in a
// block that leaves its part of the sums to another one.
template <int WM, int WN, int WK, int DEPTH, bool A_DEEP, bool B_DEEP, class A, class B, class Put>
DEVICE bool product(
    Tile<WM, WN, WK, DEPTH, A_DEEP, B_DEEP>, float* shared, u32 first, u32 end, const Split& split, u32 tile, u32 part, A a, B b, Put put) {
    typedef Tile<WM, WN, WK, DEPTH, A_DEEP, B_DEEP> Q;
    const u32 tid = threadIdx.x, lane = tid % 32, warp = tid / 32, slice = warp / (WM * WN), wm = warp % WM, wn = warp / WM % WN;
    const u32 r = lane / 4, c = lane % 4;
    float* const as = shared;
    float* const bs = shared + Q::A_ROWS * Q::A_PITCH;
    float next_a[Q::A_EACH][4], next_b[Q::B_EACH][4];
    constexpr u32 A_WIDE = (A_DEEP ? DEPTH : Q::ROWS) / 4, B_WIDE = (B_DEEP ? DEPTH : Q::COLUMNS) / 4;
    auto load_stage = [&](u32 p) {
#pragma unroll
        for (u32 e = 0; e < Q::A_EACH; e++) {
            const u32 i = tid + 256 * e, along = i % A_WIDE * 4, other = i / A_WIDE;
            if (i < Q::A_PACKS) a(A_DEEP ? other : along, p + (A_DEEP ? along : other), next_a[e]);
        }
#pragma unroll
        for (u32 e = 0; e < Q::B_EACH; e++) {
            const u32 i = tid + 256 * e, along = i % B_WIDE * 4, other = i / B_WIDE;
            if (i < Q::B_PACKS) b(p + (B_DEEP ? along : other), B_DEEP ? other : along, next_b[e]);
        }
    };
    float acc[2][4] = {};
    load_stage(first);
    for (u32 p = first; p < end; p += DEPTH) {
        __syncthreads();
#pragma unroll
        for (u32 e = 0; e < Q::A_EACH; e++) {
            const u32 i = tid + 256 * e;
            if (i < Q::A_PACKS) put4(as + i / A_WIDE * Q::A_PITCH + i % A_WIDE * 4, next_a[e]);
        }
#pragma unroll
        for (u32 e = 0; e < Q::B_EACH; e++) {
            const u32 i = tid + 256 * e;
            if (i < Q::B_PACKS) put4(bs + i / B_WIDE * Q::B_PITCH + i % B_WIDE * 4, next_b[e]);
        }
        __syncthreads();
        if (p + DEPTH < end) load_stage(p + DEPTH);
        constexpr u32 OWN = DEPTH / WK;
#pragma unroll 2
        for (u32 d = slice * OWN; d < (slice + 1) * OWN; d += 4) {
            float x[2][4], w[4][4]; // x: rows by depths; w: depths by columns
#pragma unroll
            for (int s = 0; s < 2; s++) {
                if (A_DEEP) {
                    const float4 v = *(const float4*)(as + (16 * wm + r + 8 * s) * Q::A_PITCH + d);
                    x[s][0] = v.x, x[s][1] = v.y, x[s][2] = v.z, x[s][3] = v.w;
                } else {
#pragma unroll
                    for (u32 q = 0; q < 4; q++) x[s][q] = as[(d + q) * Q::A_PITCH + 16 * wm + r + 8 * s];
                }
            }
#pragma unroll
            for (int s = 0; s < 4; s++) {
                if (B_DEEP) {
                    const float4 v = *(const float4*)(bs + (16 * wn + c + 4 * s) * Q::B_PITCH + d);
                    w[0][s] = v.x, w[1][s] = v.y, w[2][s] = v.z, w[3][s] = v.w;
                } else {
                    const float4 v = *(const float4*)(bs + (d + s) * Q::B_PITCH + 16 * wn + 4 * c);
                    w[s][0] = v.x, w[s][1] = v.y, w[s][2] = v.z, w[s][3] = v.w;
                }
            }
#pragma unroll
            for (int q = 0; q < 4; q++)
#pragma unroll
                for (int i = 0; i < 2; i++)
#pragma unroll
                    for (int j = 0; j < 4; j++) acc[i][j] = fmaf(x[i][q], w[q][j], acc[i][j]);
        }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            shared[(slice * Q::ROWS + 16 * wm + r + 8 * i) * Q::COLUMNS + 16 * wn + (B_DEEP ? c + 4 * j : 4 * c + j)] = acc[i][j];
    __syncthreads();
    float* const sums = split.sums + (u64)tile * split.parts * Q::ROWS * Q::COLUMNS;
#pragma unroll 1
    for (u32 e = tid; e < Q::ROWS * Q::COLUMNS; e += 256) {
        float sum = 0.f;
#pragma unroll
        for (u32 s = 0; s < WK; s++) sum += shared[s * Q::ROWS * Q::COLUMNS + e];
        if (split.parts == 1) put(e / Q::COLUMNS, e % Q::COLUMNS, sum);
        else sums[part * Q::ROWS * Q::COLUMNS + e] = sum;
    }
    if (split.parts == 1) return true;
    if (!last_to_arrive(split.arrived + tile, split.parts)) return false;
#pragma unroll 1
    for (u32 e = tid; e < Q::ROWS * Q::COLUMNS; e += 256) {
        float sum = 0.f;
        for (u32 s = 0; s < split.parts; s++) sum += sums[s * Q::ROWS * Q::COLUMNS + e];
        put(e / Q::COLUMNS, e % Q::COLUMNS, sum);
    }
    return true;
}

template <class T> struct DenseArgs {
    const T* x;
    const float* w;
    const float* bias; // may be null
    T* y;
    T* z; // what the activation is applied to is kept here, if not null
    Split split;
    u32 m, n, k;
    u32 across; // tiles of columns
    Activation act;
};

// Grid: parts, tiles of columns, tiles of rows, the first fastest.
template <class T> DEVICE void dense_forward(const DenseArgs<T>& a) {
    alignas(16) __shared__ float shared[Forward::FLOATS];
    const u32 tile = blockIdx.x / a.split.parts, part = blockIdx.x % a.split.parts;
    const u32 i0 = tile / a.across * Forward::ROWS, j0 = tile % a.across * Forward::COLUMNS;
    const u32 first = part * a.split.length, end = min(first + a.split.length, a.k);
    product(
        Forward{}, shared, first, end, a.split, tile, part,
        [&](u32 r, u32 p, float (&v)[4]) { fetch(a.x, i0 + r, a.m, p, end, a.k, a.k % 4 == 0, v); },
        [&](u32 p, u32 c, float (&v)[4]) { fetch(a.w, p, end, j0 + c, a.n, a.n, a.n % 4 == 0, v); },
        [&](u32 r, u32 c, float v) {
            const u32 i = i0 + r, j = j0 + c;
            if (i >= a.m || j >= a.n) return;
            if (a.bias) v += a.bias[j];
            const u64 at = (u64)i * a.n + j;
            if (a.z) store(a.z, at, v);
            store(a.y, at, activate(a.act, v));
        });
}
KERNELS(256, dense_forward, DenseArgs)

template <class T> struct DenseLossArgs {
    DenseArgs<T> dense; // linear, one tile of columns
    const float* t;     // targets that are numbers, else null
    const u32* label;   // targets that are indices, else null
    T* dy;
    const float* weight; // of the rows
    float* value;        // of the rows
    Control* control;
    u32* done;    // a counter
    double scale; // on the gradient, besides the weight
    double factor;
    ClassTargets target;
    u32 first, unused;
};

// The logits of a network with their softmax and cross entropy, as softmax_cross_entropy in loss.cu; the last block to come adds the
// losses up.
template <class T> DEVICE void dense_loss(const DenseLossArgs<T>& a) {
    alignas(16) __shared__ float shared[Forward::FLOATS];
    __shared__ float logits[Forward::ROWS][Forward::COLUMNS + 1];
    const DenseArgs<T>& q = a.dense;
    const u32 tile = blockIdx.x / q.split.parts, part = blockIdx.x % q.split.parts, i0 = tile * Forward::ROWS;
    const u32 first = part * q.split.length, end = min(first + q.split.length, q.k);
    const bool finished = product(
        Forward{}, shared, first, end, q.split, tile, part,
        [&](u32 r, u32 p, float (&v)[4]) { fetch(q.x, i0 + r, q.m, p, end, q.k, q.k % 4 == 0, v); },
        [&](u32 p, u32 c, float (&v)[4]) { fetch(q.w, p, end, c, q.n, q.n, q.n % 4 == 0, v); },
        [&](u32 r, u32 c, float v) {
            if (i0 + r >= q.m || c >= q.n) return;
            const T y = of_float<T>(q.bias ? v + q.bias[c] : v);
            q.y[(u64)(i0 + r) * q.n + c] = y;
            logits[r][c] = to_float(y);
        });
    if (!finished) return;
    __syncthreads();
    const u32 r = threadIdx.x / Forward::COLUMNS, i = i0 + r;
    const bool in = i < q.m;
    const float w = in ? a.weight[i] : 0.f, g = (float)(a.scale * w * a.control->state.loss_scale);
    const bool counts = in && w != 0.f;
    const u64 at = (u64)i * q.n;
    const u32 label = counts && a.label ? a.label[i] : 0;
    const float l = softmax_position(
        [&](u32 k) -> float { return logits[r][k]; },
        [&](u32 k) -> float { return a.target(a.label ? (k == label ? 1.f : 0.f) : a.t[at + k], k); },
        [&](u32 k, float dy) {
            if (in) store(a.dy, at + k, dy);
        },
        counts, label < q.n, g, q.n, threadIdx.x % Forward::COLUMNS, Forward::COLUMNS, shared);
    if (in && threadIdx.x % Forward::COLUMNS == 0) a.value[i] = (float)(w * (double)l);
    if (last_to_arrive(a.done, gridDim.x / q.split.parts)) add_losses(a.control, a.value, q.m, a.factor, a.first);
}
KERNELS(256, dense_loss, DenseLossArgs)

template <class T> struct DenseGradientArgs {
    const T* x;
    const float* w;
    const T* dy;
    const T* saved; // of the activation
    T* dx;
    float* dw;
    float* db;
    Split split; // of dx
    u32 m, n, k;
    u32 blocks[2];        // for dx, for dw; the others are for db
    u32 across[2];        // tiles of columns of dx and of dw
    u32 add_dx, add_dw, add_db;
    Activation act;
};

// dz: four neighbours of row i from column j on.
template <class T> DEVICE void fetch_dz(const DenseGradientArgs<T>& a, u32 i, u32 rows, u32 j, u32 columns, float (&v)[4]) {
    fetch(a.dy, i, rows, j, columns, a.n, a.n % 4 == 0, v);
    if (a.act.kind == LINEAR) return;
    float saved[4];
    fetch(a.saved, i, rows, j, columns, a.n, a.n % 4 == 0, saved);
    if (a.act.kind == RELU) {
#pragma unroll
        for (int q = 0; q < 4; q++) v[q] = saved[q] > 0.f ? v[q] : 0.f * v[q];
        return;
    }
#pragma unroll 1
    for (int q = 0; q < 4; q++) {
        // Registers have no index: each turn takes the first and turns the row.
        const float s = v[0] * slope(a.act, saved[0]);
        v[0] = v[1], v[1] = v[2], v[2] = v[3], v[3] = s;
        saved[0] = saved[1], saved[1] = saved[2], saved[2] = saved[3];
    }
}

template <class T> DEVICE void input_gradient(const DenseGradientArgs<T>& a, float* shared, u32 block) {
    const u32 tile = block / a.split.parts, part = block % a.split.parts;
    const u32 i0 = tile / a.across[0] * Inputs::ROWS, j0 = tile % a.across[0] * Inputs::COLUMNS;
    const u32 first = part * a.split.length, end = min(first + a.split.length, a.n);
    product(
        Inputs{}, shared, first, end, a.split, tile, part,
        [&](u32 r, u32 p, float (&v)[4]) { fetch_dz(a, i0 + r, a.m, p, end, v); },
        [&](u32 p, u32 c, float (&v)[4]) { fetch(a.w, j0 + c, a.k, p, end, a.n, a.n % 4 == 0, v); },
        [&](u32 r, u32 c, float v) {
            if (i0 + r < a.m && j0 + c < a.k) put(a.dx, (u64)(i0 + r) * a.k + j0 + c, v, a.add_dx);
        });
}

template <class T> DEVICE void weight_gradient(const DenseGradientArgs<T>& a, float* shared, u32 block) {
    const u32 i0 = block / a.across[1] * Weights::ROWS, j0 = block % a.across[1] * Weights::COLUMNS;
    const Split whole = {nullptr, nullptr, a.m, 1};
    product(
        Weights{}, shared, 0, a.m, whole, 0, 0,
        [&](u32 r, u32 p, float (&v)[4]) { fetch(a.x, p, a.m, i0 + r, a.k, a.k, a.k % 4 == 0, v); },
        [&](u32 p, u32 c, float (&v)[4]) { fetch_dz(a, p, a.m, j0 + c, a.n, v); },
        [&](u32 r, u32 c, float v) {
            if (i0 + r < a.k && j0 + c < a.n) put(a.dw, (u64)(i0 + r) * a.n + j0 + c, v, a.add_dw);
        });
}

// Sums of 32 columns of dz: a warp takes every eighth row.
template <class T> DEVICE void bias_gradient(const DenseGradientArgs<T>& a, float* shared, u32 block) {
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, j = block * 32 + lane;
    float sum = 0.f;
    if (j < a.n) {
#pragma unroll 4
        for (u32 i = warp; i < a.m; i += 8) {
            const u64 at = (u64)i * a.n + j;
            const float dy = load(a.dy, at);
            sum += a.act.kind == LINEAR ? dy : dy * slope(a.act, load(a.saved, at));
        }
    }
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (warp || j >= a.n) return;
    for (u32 w = 1; w < 8; w++) sum += shared[32 * w + lane];
    put(a.db, j, sum, a.add_db);
}

// All gradients: some blocks for dx, some for dW, some for db.
template <class T> DEVICE void dense_backward(const DenseGradientArgs<T>& a) {
    alignas(16) __shared__ float shared[GRADIENT_FLOATS];
    const u32 block = blockIdx.x;
    if (block < a.blocks[0]) input_gradient(a, shared, block);
    else if (block < a.blocks[0] + a.blocks[1]) weight_gradient(a, shared, block - a.blocks[0]);
    else bias_gradient(a, shared, block - a.blocks[0] - a.blocks[1]);
}
KERNELS(256, dense_backward, DenseGradientArgs)
