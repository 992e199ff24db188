// What cuTensorMapEncodeTiled leaves in the 128 bytes of a CUtensorMap, and the movement of its boxes.
#pragma once
#include "../include/emulator.h"

namespace emulator {

struct TensorMap {
    uint32_t mark, rank, element, swizzle; // bytes of an element; bytes of a swizzled row: 0, 32, 64 or 128
    char* base;
    uint64_t size[5], stride[4]; // in elements; in bytes, of dimensions 1 and up
    uint32_t box[5], unused;

    static constexpr uint32_t MARK = 0x70616d74;
    uint32_t bytes() const;
    void check(int rank, const void* shared, int line) const;
    uint32_t load(void* to, const int* at) const; // returns the bytes that it counts
    void store(const void* from, const int* at) const;
    template <class Move> void each(const int* at, Move move) const;
};
static_assert(sizeof(TensorMap) <= 128, "a CUtensorMap has 128 bytes");

// Swizzle of shared addresses: bits 4.. are xored with bits 7.., as many as the row's 16-byte units need.
inline uintptr_t swizzled(uintptr_t address, uint32_t row) {
    return row ? address ^ (address >> 3 & (row - 16)) : address;
}

} // namespace emulator
