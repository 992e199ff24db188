// Tensor cores below sm_90, by warps: ldmatrix, stmatrix, mma.sync. Fragment layouts as in the PTX manual. Sums run over k in
// order, in float; products of 16-bit and tf32 numbers are exact in float.
#pragma once

namespace emulator {

// ------------------------------------------------------------------------------------------------ in the library
// One lane's part of ldmatrix or stmatrix: `count` 8 x 8 matrices of 16-bit elements, lane l names row l%8 of matrix l/8.
struct MatrixRows {
    uint32_t* registers;
    char* row;
    int count;
    bool transpose, store;
};
void move_matrices(Warp& w);
// d += a b for the 16 x k by k x 8 product of a warp; `a` is 16 x k, `b` is k x 8, `d[lane]` that lane's four sums.
void multiply(const float* a, const float* b, int k, float* const* d);

inline void ldmatrix(uint32_t* r, int count, const void* row, bool transpose, int line = __builtin_LINE()) {
    MatrixRows slot = {r, (char*)row, count, transpose, false};
    collective("ldmatrix", line, ~0u, &slot, move_matrices);
}
inline void stmatrix(const uint32_t* r, int count, void* row, bool transpose, int line = __builtin_LINE()) {
    MatrixRows slot = {(uint32_t*)r, (char*)row, count, transpose, true};
    collective("stmatrix", line, ~0u, &slot, move_matrices);
}

// Fragments of A (16 x K) and B (K x 8), K = 16 or 8, of 16-bit elements that `convert` turns into float.
template <int K, class Convert> struct Mma16 {
    float* d;
    const uint32_t *a, *b;
    const Convert* convert;
    static void run(Warp& w) {
        if (w.arrived != ~0u) fault("mma.sync by a warp whose lanes %08x have returned", ~w.arrived);
        float a[16 * K], b[K * 8], *d[32];
        const Convert& f = *((Mma16*)w.slot[0])->convert;
        for (int lane = 0; lane < 32; lane++) {
            const Mma16& m = *(Mma16*)w.slot[lane];
            int g = lane / 4, t = lane % 4;
            d[lane] = m.d;
            for (int half = 0; half < K / 8; half++) {
                for (int e = 0; e < 2; e++) {
                    int k = half * 8 + t * 2 + e;
                    a[g * K + k] = f((uint16_t)(m.a[half * 2] >> 16 * e));
                    a[(g + 8) * K + k] = f((uint16_t)(m.a[half * 2 + 1] >> 16 * e));
                    b[k * 8 + g] = f((uint16_t)(m.b[half] >> 16 * e));
                }
            }
        }
        multiply(a, b, K, d);
    }
};
template <class Convert> void mma_m16n8k16(float* d, const uint32_t* a, const uint32_t* b, Convert convert, int line = __builtin_LINE()) {
    Mma16<16, Convert> slot = {d, a, b, &convert};
    collective("mma.m16n8k16", line, ~0u, &slot, &Mma16<16, Convert>::run);
}
template <class Convert> void mma_m16n8k8(float* d, const uint32_t* a, const uint32_t* b, Convert convert, int line = __builtin_LINE()) {
    Mma16<8, Convert> slot = {d, a, b, &convert};
    collective("mma.m16n8k8", line, ~0u, &slot, &Mma16<8, Convert>::run);
}

// tf32: float bits, of which the unit ignores the last 13.
struct MmaTf32 {
    float* d;
    const uint32_t *a, *b;
    static void run(Warp& w);
};
inline void mma_m16n8k8_tf32(float* d, const uint32_t* a, const uint32_t* b, int line = __builtin_LINE()) {
    MmaTf32 slot = {d, a, b};
    collective("mma.m16n8k8.tf32", line, ~0u, &slot, &MmaTf32::run);
}
// cvt.rna.tf32.f32: to 10 bits of mantissa, ties away from 0.
inline uint32_t to_tf32(float v) {
    uint32_t u = bits<uint32_t>(v);
    return (u & 0x7f800000u) == 0x7f800000u ? u : (u + 0x1000u) & 0xffffe000u;
}

} // namespace emulator
