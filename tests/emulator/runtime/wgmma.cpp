// wgmma: products of a warpgroup from swizzled shared memory. A product is only noted when it is issued; it is computed when
// its group is waited for, by the last of the 128 threads to get there.
#include "device.h"
#include "../include/hopper.h"
#include "tensor_map.h"

namespace emulator {

static int depth(int kind) { return kind == PRODUCT_TF32 ? 8 : 16; }

static float decode(uint32_t raw, int kind) {
    if (kind == PRODUCT_BF16) return bf16_to_float((uint16_t)raw);
    if (kind == PRODUCT_F16) return half_to_float((uint16_t)raw);
    return bits<float>(raw & 0xffffe000u);
}

// A shared memory descriptor, as the PTX manual lays it out.
struct Operand {
    uint32_t start, leading, stride, swizzle;
    bool transpose;
    int kind;
    Operand(uint64_t d, bool transpose_, int kind_) : transpose(transpose_), kind(kind_) {
        static const uint32_t rows[4] = {0, 128, 64, 32};
        start = (uint32_t)(d & 0x3fff) << 4;
        leading = (uint32_t)(d >> 16 & 0x3fff) << 4;
        stride = (uint32_t)(d >> 32 & 0x3fff) << 4;
        swizzle = rows[d >> 62];
    }
    // Element (r, k), r the row of A or the column of B. Rows of a swizzled atom hold `swizzle` bytes; without swizzle an
    // atom is 8 rows of 16 bytes.
    float at(uint32_t r, uint32_t k) const {
        uint32_t element = kind == PRODUCT_TF32 ? 4 : 2, offset;
        if (!transpose) { // K-major: 8-row groups are `stride` apart, 16-byte units (without swizzle) `leading` apart
            uint32_t byte = k * element;
            if (swizzle) offset = r / 8 * stride + r % 8 * swizzle + byte;
            else offset = r / 8 * stride + r % 8 * 16 + byte / 16 * leading + byte % 16;
        } else { // M- or N-major: an atom is `swizzle` bytes of r by 8 of k; atoms are `leading` apart in r, `stride` in k
            uint32_t byte = r * element;
            if (swizzle) offset = byte / swizzle * leading + byte % swizzle + k / 8 * stride + k % 8 * swizzle;
            else offset = byte / 16 * stride + byte % 16 + k / 8 * leading + k % 8 * 16;
        }
        // The swizzle is of addresses: atoms must be aligned to it.
        uint32_t address = (uint32_t)swizzled(start + offset, swizzle);
        if (address + element > processor->launch.shared_bytes) fault("wgmma reads at %u, the block has %u bytes of dynamic shared memory", address, processor->launch.shared_bytes);
        uint32_t raw = 0;
        memcpy(&raw, processor->running->cta->shared + address, element);
        return decode(raw, kind);
    }
};

static void issue(Product p, int line) {
    FullThread& t = *processor->running;
    if (p.columns % 8 || p.columns < 8 || p.columns > 256) fault("wgmma of %d columns at line %d", p.columns, line);
    if (processor->launch.block.x * processor->launch.block.y * processor->launch.block.z < ((t.linear - t.cta->first) / 128 + 1) * 128) fault("wgmma at line %d by less than a warpgroup", line);
    size_t values = (size_t)p.columns / 2;
    bool pending = false;
    for (auto& other : t.products) pending = pending || other.d == p.d;
    if (!pending) { // sums are out of reach until the wait
        p.saved.assign(p.d, p.d + values);
        memset(p.d, 0xff, values * sizeof(float));
    }
    t.products.push_back(std::move(p));
}
void wgmma(float* d, int n, uint64_t a, uint64_t b, ProductKind kind, bool accumulate, bool transpose_a, bool transpose_b, int line) {
    Product p = {};
    p.d = d, p.columns = n, p.a = a, p.b = b, p.kind = kind, p.accumulate = accumulate, p.transpose_a = transpose_a, p.transpose_b = transpose_b;
    issue(std::move(p), line);
}
void wgmma(float* d, int n, const uint32_t* a, uint64_t b, ProductKind kind, bool accumulate, bool transpose_b, int line) {
    Product p = {};
    p.d = d, p.columns = n, p.b = b, p.kind = kind, p.accumulate = accumulate, p.transpose_b = transpose_b, p.registers = true;
    memcpy(p.a_values, a, 16);
    issue(std::move(p), line);
}
void wgmma_commit() {
    FullThread& t = *processor->running;
    t.product_groups.push_back(t.products.size());
}

// A of the warpgroup: 64 x depth. From shared memory, or from the registers of its threads (layout as for mma, 16 rows a warp).
static void gather_a(FullThread* group, size_t index, float* a) {
    const Product& first = group[0].products[index];
    int k = depth(first.kind);
    if (!first.registers) {
        Operand o(first.a, first.transpose_a, first.kind);
        for (int r = 0; r < 64; r++)
            for (int i = 0; i < k; i++) a[r * k + i] = o.at((uint32_t)r, (uint32_t)i);
        return;
    }
    for (int thread = 0; thread < 128; thread++) {
        const uint32_t* v = group[thread].products[index].a_values;
        int row = thread / 32 * 16 + thread % 32 / 4, t = thread % 4;
        for (int i = 0; i < 4; i++) {
            float* to = a + (row + i % 2 * 8) * k + i / 2 * (k / 2);
            if (first.kind == PRODUCT_TF32) {
                to[t] = decode(v[i], first.kind);
            } else {
                to[t * 2] = decode(v[i] & 0xffff, first.kind);
                to[t * 2 + 1] = decode(v[i] >> 16, first.kind);
            }
        }
    }
}

static void compute(FullThread* group, size_t index) {
    const Product& first = group[0].products[index];
    int k = depth(first.kind), n = first.columns;
    float a[64 * 16], b[16 * 256];
    gather_a(group, index, a);
    Operand o(first.b, first.transpose_b, first.kind);
    for (int j = 0; j < n; j++)
        for (int i = 0; i < k; i++) b[i * n + j] = o.at((uint32_t)j, (uint32_t)i);
    for (int row = 0; row < 64; row++) {
        FullThread* four = group + row / 16 * 32 + row % 8 * 4; // the threads with this row
        int half = row % 16 / 8 * 2;
        float sum[256];
        for (int j = 0; j < n; j++) sum[j] = first.accumulate ? four[j % 8 / 2].products[index].d[j / 8 * 4 + half + j % 2] : 0;
        for (int i = 0; i < k; i++)
            for (int j = 0; j < n; j++) sum[j] += a[row * k + i] * b[i * n + j];
        for (int j = 0; j < n; j++) four[j % 8 / 2].products[index].d[j / 8 * 4 + half + j % 2] = sum[j];
    }
}

static void finish_groups(FullThread* group, unsigned left, int line) {
    size_t groups = group[0].product_groups.size() - left, products = group[0].product_groups[groups - 1];
    for (int i = 0; i < 128; i++) {
        FullThread& t = group[i];
        if (t.product_groups.size() != groups + left || t.product_groups[groups - 1] != products) fault("divergent wgmma: threads of a warpgroup issued different products before line %d", line);
        for (auto& p : t.products)
            if (!p.saved.empty()) memcpy(p.d, p.saved.data(), p.saved.size() * sizeof(float));
    }
    for (size_t p = 0; p < products; p++) compute(group, p);
    for (int i = 0; i < 128; i++) {
        FullThread& t = group[i];
        t.products.erase(t.products.begin(), t.products.begin() + (long)products);
        t.product_groups.erase(t.product_groups.begin(), t.product_groups.begin() + (long)groups);
        for (size_t& end : t.product_groups) end -= products;
        for (size_t j = 0; j < t.products.size(); j++) { // sums that later products still work on are hidden again
            Product& p = t.products[j];
            bool earlier = false;
            for (size_t e = 0; e < j; e++) earlier = earlier || t.products[e].d == p.d;
            p.saved.clear();
            if (earlier) continue;
            p.saved.assign(p.d, p.d + p.columns / 2);
            memset(p.d, 0xff, p.saved.size() * sizeof(float));
        }
    }
}

void wgmma_wait(unsigned left, int line) {
    Processor& s = *processor;
    FullThread& t = *s.running;
    if (t.product_groups.size() <= left) return;
    Cta& cta = *t.cta;
    unsigned number = (t.linear - cta.first) / 128, id = Limits::barriers + number;
    Meeting& m = cta.meetings[id];
    cta.used_meetings |= 1u << id;
    if (++m.arrived == 128) {
        finish_groups(&s.threads[cta.first + number * 128], left, line);
        return s.release(m);
    }
    m.warps |= 1u << (t.linear / 32);
    m.lanes[t.linear / 32] |= 1u << t.lane;
    s.wait("wgmma.wait_group", line);
}

} // namespace emulator
