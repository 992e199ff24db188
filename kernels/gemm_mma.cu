// Matrix products on tensor cores: bf16 and f16 as stored, f32 rounded to tf32, or f32 as a sum of two tf32 (three products),
// all with sums in f32.
//
// STAGES tiles of A and B, 64 bytes deep along k, lie in shared memory: while warps multiply one, copies fill the next ones.
// The 16-byte chunks of a tile's lines are permuted so that neither the copies nor ldmatrix meet in a bank. The host may
// define GEMM_BF16, GEMM_F16, GEMM_TF32 or GEMM_TF32X3 to have one family compiled only.
//
// Source of the three products: Ootomo & Yokota 2022, "Recovering single precision accuracy from Tensor Cores while surpassing
// the FP32 theoretical peak performance".
#include "gemm.cuh"
#include "mma.cuh"

#if !defined(GEMM_BF16) && !defined(GEMM_F16) && !defined(GEMM_TF32) && !defined(GEMM_TF32X3)
#define GEMM_BF16
#define GEMM_F16
#define GEMM_TF32
#define GEMM_TF32X3
#endif

// One operand's tiles: ROWS along m or n, 64 bytes along k. In memory, and in the tile's lines, neighbours lie along k
// (ALONG_K) or along m or n.
template <class T, bool ALONG_K, int ROWS, int THREADS> struct Operand {
    static constexpr u32 CHUNK = 16 / sizeof(T);             // elements of 16 bytes
    static constexpr u32 DEPTH = 4 * CHUNK;                  // of k in a tile
    static constexpr u32 WIDTH = ALONG_K ? 4 : ROWS / CHUNK; // chunks of a line
    static constexpr u32 COPIES = ROWS * 4 / THREADS;        // chunks that a thread brings
    static constexpr u32 STEP = THREADS / WIDTH;             // lines from one of them to the next
    static constexpr u32 BYTES = ROWS * 64;

    // Where a chunk of a line lies in the tile. ldmatrix reads eight lines at one chunk, and the words of f32 that it cannot
    // transpose come from four lines at two chunks: all in different banks.
    static DEVICE u32 place(u32 line, u32 chunk) {
        u32 turn = ALONG_K ? line >> 1 & 3 : sizeof(T) == 4 ? (line & 3) << 1 : line & 7;
        return (line * WIDTH + (chunk ^ turn)) * 16;
    }
    static_assert(STEP % (sizeof(T) == 4 ? 4 : 8) == 0, "a thread's chunks are permuted alike");

    const T* p;
    u64 step, advance;
    u32 row, end, k, k_end, target;
    bool aligned, inside;

    // From row `first` (below `end`) and product k on.
    DEVICE Operand(const void* data, u32 ld, u32 first, u32 end, u32 k, u32 k_end, bool aligned)
        : step((u64)STEP * ld), advance(ALONG_K ? DEPTH : (u64)DEPTH * ld), end(end), k_end(k_end), aligned(aligned) {
        u32 line = threadIdx.x / WIDTH, chunk = threadIdx.x % WIDTH;
        row = first + (ALONG_K ? line : chunk * CHUNK);
        this->k = k + (ALONG_K ? chunk * CHUNK : line);
        p = (const T*)data + (ALONG_K ? (u64)row * ld + this->k : (u64)this->k * ld + row);
        target = place(line, chunk);
        inside = aligned && first + ROWS <= end;
    }

    // Begins to bring the tile of products from `first` on.
    DEVICE void fetch(SharedAddress tile, u32 first) {
        tile += target;
        if (inside && first + DEPTH <= k_end) {
#pragma unroll
            for (u32 q = 0; q < COPIES; q++) copy_async<16>(tile + q * STEP * WIDTH * 16, p + q * step);
        } else if (aligned) {
#pragma unroll 1
            for (u32 q = 0; q < COPIES; q++) copy_async<16>(tile + q * STEP * WIDTH * 16, p + q * step, valid(q) * (u32)sizeof(T));
        } else {
#pragma unroll 1
            for (u32 q = 0; q < COPIES; q++) gather(tile + q * STEP * WIDTH * 16, p + q * step, valid(q));
        }
        p += advance, k += DEPTH;
    }
    // Elements of its chunk q that a thread finds in the matrix.
    DEVICE u32 valid(u32 q) const {
        bool line = ALONG_K ? row + q * STEP < end : k + q * STEP < k_end;
        return line ? min(ALONG_K ? left(k_end, k) : left(end, row), CHUNK) : 0;
    }
    // Element by element, for rows that do not begin at multiples of 16 bytes.
    static DEVICE void gather(SharedAddress to, const T* from, u32 valid) {
        u32 v[4] = {0, 0, 0, 0};
#pragma unroll
        for (u32 e = 0; e < CHUNK; e++) {
            if (e < valid) v[e * sizeof(T) / 4] |= bits(from[e]) << 8 * (e * sizeof(T) % 4);
        }
        store_shared(to, v);
    }
    static DEVICE u32 bits(float v) { return __float_as_uint(v); }
    template <class H> static DEVICE u32 bits(H v) { return v.bits; }
};

// How a warp reads fragments of 16 rows and 32 bytes of k from one operand's tiles; MANY of them along its side. Registers 0 to
// 3 are low rows at low k, high rows at low k, and the same at high k; for B rows and k change places, so that the two
// registers of one mma lie together.
template <class T, class Op, bool ALONG_K, bool B, int MANY> struct Reader {
    static constexpr bool WORDS = !ALONG_K && sizeof(T) == 4;
    // Along k the two steps differ in the permutation, otherwise the fragments do.
    static constexpr int OFFSETS = ALONG_K ? 2 : WORDS ? 2 * MANY : MANY;
    u32 offset[OFFSETS];

    DEVICE explicit Reader(u32 row) {
        u32 lane = threadIdx.x % 32, high_row = B ? lane / 16 : lane / 8 % 2, high_k = B ? lane / 8 % 2 : lane / 16;
#pragma unroll
        for (int o = 0; o < OFFSETS; o++) {
            u32 v;
            if (ALONG_K) v = Op::place(row + high_row * 8 + lane % 8, 2 * o + high_k);
            else if (WORDS) v = Op::place(lane % 4, (row + 8 * o + lane / 4) / Op::CHUNK) + lane / 4 % Op::CHUNK * 4;
            else v = Op::place(high_k * 8 + lane % 8, (row + 16 * o) / Op::CHUNK + high_row);
            offset[o] = keep(v);
        }
    }
    // Fragment i at step s.
    DEVICE void read(u32* r, SharedAddress tile, int i, int s) const {
        constexpr u32 LINE = Op::WIDTH * 16;
        if (ALONG_K) {
            load_matrices(r, tile + offset[s] + i * 16 * LINE);
        } else if (!WORDS) {
            load_matrices_transposed(r, tile + offset[i] + s * 16 * LINE);
        } else {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int high_row = B ? e / 2 : e % 2, high_k = B ? e % 2 : e / 2;
                r[e] = load_shared(tile + offset[2 * i + high_row] + (8 * s + 4 * high_k) * LINE);
            }
        }
    }
};

// Rounds fragments of f32 to tf32, and what that leaves as well; infinities become NaN in the second case.
DEVICE void round_fragment(u32* r) {
#pragma unroll
    for (int e = 0; e < 4; e++) r[e] = to_tf32(__uint_as_float(r[e]));
}
DEVICE void split_fragment(u32* big, u32* small) {
#pragma unroll
    for (int e = 0; e < 4; e++) {
        float v = __uint_as_float(big[e]);
        big[e] = to_tf32(v);
        small[e] = to_tf32(v - __uint_as_float(big[e]));
    }
}

// The products of one 32-byte step of k: d += A B for the warp's MI x 16 rows and NJ x 16 columns.
template <class T, class A, class B, int MI, int NJ, bool THREE>
DEVICE void multiply(float (*d)[2 * NJ][4], const A& from_a, const B& from_b, SharedAddress tile_a, SharedAddress tile_b, int s) {
    u32 a[MI][4], a_small[THREE ? MI : 1][4];
#pragma unroll
    for (int i = 0; i < MI; i++) {
        from_a.read(a[i], tile_a, i, s);
        if (THREE) split_fragment(a[i], a_small[THREE ? i : 0]);
        else if (sizeof(T) == 4) round_fragment(a[i]);
    }
#pragma unroll
    for (int j = 0; j < NJ; j++) {
        u32 b[4], b_small[4];
        from_b.read(b, tile_b, j, s);
        if (THREE) split_fragment(b, b_small);
        else if (sizeof(T) == 4) round_fragment(b);
#pragma unroll
        for (int i = 0; i < MI; i++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                float* to = d[i][2 * j + h];
                if (THREE) {
                    // The small products first, so that they are not lost beside a large sum one by one.
                    mma<T>(to, a_small[THREE ? i : 0], b[2 * h], b[2 * h + 1]);
                    mma<T>(to, a[i], b_small[2 * h], b_small[2 * h + 1]);
                }
                mma<T>(to, a[i], b[2 * h], b[2 * h + 1]);
            }
    }
}

template <class T, int MI, int NJ, bool THREE, class A, class B>
DEVICE void multiply_tile(float (*d)[2 * NJ][4], const A& from_a, const B& from_b, SharedAddress tile_a, SharedAddress tile_b) {
#pragma unroll
    for (int s = 0; s < 2; s++) multiply<T, A, B, MI, NJ, THREE>(d, from_a, from_b, tile_a, tile_b, s);
}

// A block of WARPS_M x WARPS_N warps computes a tile of SIZE x SIZE.
template <class T, Stored L, int SIZE, int WARPS_M, int WARPS_N, int STAGES, bool THREE> DEVICE void gemm(const GemmArgs& a) {
    constexpr int THREADS = 32 * WARPS_M * WARPS_N, WM = SIZE / WARPS_M, WN = SIZE / WARPS_N, MI = WM / 16, NJ = WN / 16;
    using A = Operand<T, L != TN, SIZE, THREADS>;
    using B = Operand<T, L == NT, SIZE, THREADS>;
    constexpr u32 DEPTH = A::DEPTH, STAGE = A::BYTES + B::BYTES;
    SHARED(char, memory);
    SharedAddress shared = shared_address(memory);

    Corner at = corner<SIZE, SIZE>(a);
    u32 k = blockIdx.z * a.split, k_end = min(a.k, k + a.split), tiles = (left(k_end, k) + DEPTH - 1) / DEPTH;
    A from_a(a.a, a.lda, at.i, a.m, k, k_end, a.aligned & ALIGNED_A);
    B from_b(a.b, a.ldb, at.j, a.n, k, k_end, a.aligned & ALIGNED_B);
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32, row = warp / WARPS_N * WM, column = warp % WARPS_N * WN;
    Reader<T, A, L != TN, false, MI> read_a(row);
    Reader<T, B, L == NT, true, NJ> read_b(column);
    float d[MI][2 * NJ][4] = {};

    // Copies behind the last product bring zeros: each turn closes one group, whatever is left.
    for (u32 s = 0; s < STAGES - 1; s++, k += DEPTH) {
        from_a.fetch(shared + s * STAGE, k), from_b.fetch(shared + s * STAGE + A::BYTES, k);
        copy_commit();
    }
    for (u32 t = 0, now = 0, next = STAGES - 1; t < tiles; t++) {
        copy_wait<STAGES - 2>();
        __syncthreads();
        // The tile that all warps have just left takes the next copies.
        if (k < k_end) from_a.fetch(shared + next * STAGE, k), from_b.fetch(shared + next * STAGE + A::BYTES, k);
        k += DEPTH;
        copy_commit();
        SharedAddress tile = shared + now * STAGE;
        if (THREE) {
            // The units cut sums off instead of rounding them, so a long sum would drift: each tile's is added here.
            float part[MI][2 * NJ][4] = {};
            multiply_tile<T, MI, NJ, true>(part, read_a, read_b, tile, tile + A::BYTES);
#pragma unroll
            for (int i = 0; i < MI; i++)
#pragma unroll
                for (int j = 0; j < 8 * NJ; j++) d[i][j / 4][j % 4] += part[i][j / 4][j % 4];
        } else {
            multiply_tile<T, MI, NJ, false>(d, read_a, read_b, tile, tile + A::BYTES);
        }
        now = now + 1 == STAGES ? 0 : now + 1, next = next + 1 == STAGES ? 0 : next + 1;
    }
    copy_wait<0>();

    // To C through shared memory, so that a warp writes whole rows and one loop holds the activation.
    constexpr int LD = SIZE + 8, PASSES = SIZE * LD * 4 <= STAGES * (int)STAGE ? 1 : 2, PART = MI / PASSES;
    static_assert(SIZE / PASSES * LD * 4 <= STAGES * (int)STAGE && MI % PASSES == 0, "a pass fits where the tiles were");
    float* sums = (float*)memory;
#pragma unroll
    for (int pass = 0; pass < PASSES; pass++) {
        __syncthreads();
#pragma unroll
        for (int i = 0; i < PART; i++)
#pragma unroll
            for (int j = 0; j < 2 * NJ; j++) {
                float* to = sums + (warp / WARPS_N * PART * 16 + i * 16 + lane / 4) * LD + column + j * 8 + lane % 4 * 2;
                const float* v = d[pass * PART + i][j];
                *(float2*)to = {v[0], v[1]};
                *(float2*)(to + 8 * LD) = {v[2], v[3]};
            }
        __syncthreads();
#pragma unroll 1
        for (u32 q = threadIdx.x; q < SIZE / PASSES * SIZE / 4; q += THREADS) {
            u32 r = q / (SIZE / 4), i = at.i + r / (PART * 16) * WM + pass * PART * 16 + r % (PART * 16), j = q % (SIZE / 4) * 4;
            if (i < a.m && at.j + j < a.n) deliver<T>(a, blockIdx.z, i, at.j + j, load4(sums + r * LD + j));
        }
    }
}

// Tiles of 128 take 48 KiB of shared memory, tiles of 64 take 32: as Family::shared in op/gemm_cuda.rs.
#define GEMM(layout, suffix, STORED, T)                                                                                  \
    KERNEL_BOUNDS(128, 2, gemm_##layout##_128_##suffix, GemmArgs) { gemm<T, STORED, 128, 2, 2, 3, false>(a); }           \
    KERNEL_BOUNDS(128, 3, gemm_##layout##_64_##suffix, GemmArgs) { gemm<T, STORED, 64, 2, 2, 4, false>(a); }
#define GEMM3(layout, suffix, STORED, T)                                                                                 \
    KERNEL_BOUNDS(256, 1, gemm_##layout##_128_##suffix, GemmArgs) { gemm<T, STORED, 128, 4, 2, 3, true>(a); }            \
    KERNEL_BOUNDS(128, 2, gemm_##layout##_64_##suffix, GemmArgs) { gemm<T, STORED, 64, 2, 2, 4, true>(a); }
#define GEMMS(GEMM, suffix, T)                                                                                           \
    GEMM(nn, suffix, NN, T)                                                                                              \
    GEMM(nt, suffix, NT, T)                                                                                              \
    GEMM(tn, suffix, TN, T)                                                                                              \
    KERNEL(256, gemm_sum_##suffix, GemmArgs) { gemm_sum<T>(a); }
#if defined(GEMM_BF16) && MMA_ALL
GEMMS(GEMM, bf16, bf16)
#endif
#if defined(GEMM_F16) && MMA_F16
GEMMS(GEMM, f16, f16)
#endif
#if defined(GEMM_TF32) && MMA_ALL
GEMMS(GEMM, tf32, float)
#endif
#if defined(GEMM_TF32X3) && MMA_ALL
GEMMS(GEMM3, tf32x3, float)
#endif
