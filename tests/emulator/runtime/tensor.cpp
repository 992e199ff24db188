// ldmatrix, stmatrix and the products of mma.sync.
#include "device.h"
#include "../include/tensor.h"

namespace emulator {

void check_shared(const void* p, size_t bytes, const char* what, int line) {
    const Processor& s = *processor;
    const char *b = (const char*)p, *shared = s.running->cta->shared;
    bool dynamic = b >= shared && b + bytes <= shared + s.launch.shared_bytes;
    bool fixed = b >= s.launch.kernel->shared_begin && b + bytes <= s.launch.kernel->shared_end;
    if (fixed && s.launch.cluster > 1) fault("%s", STATIC_IN_CLUSTER);
    if (!dynamic && !fixed) fault("%s at line %d: not an address in shared memory", what, line);
}

void move_matrices(Warp& w) {
    const MatrixRows& first = *(MatrixRows*)w.slot[0];
    if (w.arrived != ~0u) fault("ldmatrix by a warp whose lanes %08x have returned", ~w.arrived);
    for (int i = 0; i < first.count * 8; i++) {
        const void* row = ((MatrixRows*)w.slot[i])->row;
        if ((uintptr_t)row % 16) fault("misaligned %s at line %d: the row of lane %d is not on 16 bytes", first.store ? "stmatrix" : "ldmatrix", w.line, i);
        check_shared(row, 16, first.store ? "stmatrix" : "ldmatrix", w.line);
    }
    for (int lane = 0; lane < 32; lane++) {
        uint32_t* registers = ((MatrixRows*)w.slot[lane])->registers;
        for (int m = 0; m < first.count; m++)
            for (int e = 0; e < 2; e++) {
                int i = lane / 4, j = lane % 4 * 2 + e;
                if (first.transpose) std::swap(i, j);
                uint16_t* element = (uint16_t*)((MatrixRows*)w.slot[m * 8 + i])->row + j;
                uint16_t* mine = (uint16_t*)&registers[m] + e;
                if (first.store) *element = *mine;
                else *mine = *element;
            }
    }
}

// Eight sums at a time. Products and sums are rounded one by one, whatever the machine.
typedef float Row __attribute__((vector_size(32)));
void multiply(const float* a, const float* b, int k, float* const* d) {
    Row rows[16];
    for (int i = 0; i < k; i++) memcpy(&rows[i], b + i * 8, sizeof(Row));
    for (int row = 0; row < 16; row++) {
        Row sum;
        for (int j = 0; j < 4; j++) memcpy((float*)&sum + 2 * j, d[row % 8 * 4 + j] + row / 8 * 2, 8);
        for (int i = 0; i < k; i++) sum += a[row * k + i] * rows[i];
        for (int j = 0; j < 4; j++) memcpy(d[row % 8 * 4 + j] + row / 8 * 2, (float*)&sum + 2 * j, 8);
    }
}

void MmaTf32::run(Warp& w) {
    if (w.arrived != ~0u) fault("mma.sync by a warp whose lanes %08x have returned", ~w.arrived);
    auto value = [](uint32_t u) { return bits<float>(u & 0xffffe000u); };
    float a[16 * 8], b[8 * 8], *d[32];
    for (int lane = 0; lane < 32; lane++) {
        const MmaTf32& m = *(MmaTf32*)w.slot[lane];
        int g = lane / 4, t = lane % 4;
        d[lane] = m.d;
        for (int half = 0; half < 2; half++) {
            a[g * 8 + half * 4 + t] = value(m.a[half * 2]);
            a[(g + 8) * 8 + half * 4 + t] = value(m.a[half * 2 + 1]);
            b[(half * 4 + t) * 8 + g] = value(m.b[half]);
        }
    }
    multiply(a, b, 8, d);
}

} // namespace emulator
