// TMA descriptors: made by the host, read by tma_load and tma_store.
#include "tensor_map.h"
#include "device.h"

namespace emulator {

uint32_t TensorMap::bytes() const {
    uint32_t n = element;
    for (uint32_t i = 0; i < rank; i++) n *= box[i];
    return n;
}

void TensorMap::check(int r, const void* shared, int line) const {
    if (mark != MARK) fault("TMA at line %d: not a tensor map", line);
    if ((uint32_t)r != rank) fault("TMA at line %d: %d coordinates, the map has %u", line, r, rank);
    uintptr_t align = swizzle ? 8 * swizzle : 128;
    if ((uintptr_t)shared % align) fault("misaligned TMA at line %d: the tile is not on %zu bytes", line, (size_t)align);
}

// Calls move(address in the tile, address in the tensor or null) for each element of the box.
template <class Move> void TensorMap::each(const int* at, Move move) const {
    uint32_t i[5] = {}, offset = 0;
    for (;;) {
        char* p = base;
        for (uint32_t d = 0; d < rank && p; d++) {
            int64_t x = (int64_t)at[d] + i[d];
            if (x < 0 || (uint64_t)x >= size[d]) p = nullptr;
            else p += (uint64_t)x * (d ? stride[d - 1] : element);
        }
        move(offset, p);
        offset += element;
        uint32_t d = 0;
        while (d < rank && ++i[d] == box[d]) i[d++] = 0;
        if (d == rank) return;
    }
}

uint32_t TensorMap::load(void* to, const int* at) const {
    each(at, [&](uint32_t offset, const char* p) {
        void* q = (void*)swizzled((uintptr_t)to + offset, swizzle);
        if (p) memcpy(q, p, element);
        else memset(q, 0, element);
    });
    return bytes();
}
void TensorMap::store(const void* from, const int* at) const {
    each(at, [&](uint32_t offset, char* p) {
        if (p) memcpy(p, (const void*)swizzled((uintptr_t)from + offset, swizzle), element);
    });
}

} // namespace emulator

using namespace emulator;

extern "C" Result cuTensorMapEncodeTiled(void* out, int type, unsigned rank, void* base, const uint64_t* size, const uint64_t* stride,
    const uint32_t* box, const uint32_t* step, int interleave, int swizzle, int, int) {
    static const uint32_t bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4}; // CUtensorMapDataType
    if ((uintptr_t)out % 64 || type < 0 || type > 12 || rank < 1 || rank > 5 || (uintptr_t)base % 16 || interleave || swizzle < 0 || swizzle > 3) return INVALID_VALUE;
    TensorMap m = {};
    m.mark = TensorMap::MARK;
    m.rank = rank;
    m.element = bytes[type];
    m.swizzle = swizzle ? 16u << swizzle : 0;
    m.base = (char*)base;
    for (unsigned i = 0; i < rank; i++) {
        if (!size[i] || size[i] > 1ull << 32 || !box[i] || box[i] > 256 || step[i] != 1) return INVALID_VALUE;
        if (i && (stride[i - 1] % 16 || stride[i - 1] >= 1ull << 40)) return INVALID_VALUE;
        m.size[i] = size[i];
        m.box[i] = box[i];
        if (i) m.stride[i - 1] = stride[i - 1];
    }
    uint32_t row = m.box[0] * m.element;
    if (row % 16 || (m.swizzle && row > m.swizzle)) return INVALID_VALUE;
    memset(out, 0, 128);
    memcpy(out, &m, sizeof m);
    return SUCCESS;
}
