// Device memory: ordinary memory between inaccessible pages, filled with 0xff (NaN) when it is fresh.
#include "device.h"
#include <cstdlib>
#include <sys/mman.h>

namespace emulator {

static constexpr size_t PAGE = 4096, ALIGN = 256, GUARD = 16 << 20; // GUARD on either side: stray indices are far off
struct Allocation {
    size_t bytes;
    char* mapping;
    size_t mapped;
};
static std::mutex mutex;
static std::map<Address, Allocation> allocations;
static size_t used = 0;

static size_t total_memory() {
    static const size_t total = [] {
        const char* v = getenv("KAMACITE_EMULATED_MEMORY");
        size_t n = v ? (size_t)strtoull(v, nullptr, 10) : 0;
        return n ? n : (size_t)4 << 30;
    }();
    return total;
}

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// The end of the allocation, rounded up to the alignment of 256 bytes, touches an inaccessible page.
Result allocate(Address* out, size_t bytes) {
    if (!bytes) return INVALID_VALUE;
    if (fails_now("alloc")) return OUT_OF_MEMORY;
    std::lock_guard<std::mutex> lock(mutex);
    if (bytes > total_memory() - used) return OUT_OF_MEMORY;
    size_t body = round_up(bytes, PAGE), mapped = body + 2 * GUARD;
    char* m = (char*)mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) return OUT_OF_MEMORY;
    mprotect(m + GUARD, body, PROT_READ | PROT_WRITE);
    memset(m + GUARD, 0xff, body);
    *out = (Address)(m + GUARD + body - round_up(bytes, ALIGN));
    allocations[*out] = {bytes, m, mapped};
    used += bytes;
    counts.allocations++;
    return SUCCESS;
}

Result release(Address p) {
    if (!p) return SUCCESS;
    std::lock_guard<std::mutex> lock(mutex);
    auto it = allocations.find(p);
    if (it == allocations.end()) return INVALID_VALUE;
    munmap(it->second.mapping, it->second.mapped);
    used -= it->second.bytes;
    allocations.erase(it);
    return SUCCESS;
}

bool extent_of(Address p, Address* base, size_t* bytes) {
    std::lock_guard<std::mutex> lock(mutex);
    auto it = allocations.upper_bound(p);
    if (it == allocations.begin()) return false;
    --it;
    if (p >= it->first + it->second.bytes) return false;
    *base = it->first;
    *bytes = it->second.bytes;
    return true;
}

bool inside(Address p, size_t bytes) {
    Address base;
    size_t length;
    return !bytes || (extent_of(p, &base, &length) && bytes <= length - (size_t)(p - base));
}

void memory_info(size_t* unused, size_t* total) {
    std::lock_guard<std::mutex> lock(mutex);
    *total = total_memory();
    *unused = *total - used;
}

std::string written_behind() {
    std::lock_guard<std::mutex> lock(mutex);
    for (auto& [base, a] : allocations) {
        unsigned char* end = (unsigned char*)a.mapping + a.mapped - GUARD;
        for (unsigned char* p = (unsigned char*)base + a.bytes; p < end; p++)
            if (*p != 0xff) {
                size_t behind = (size_t)(p - (unsigned char*)base) - a.bytes;
                memset(p, 0xff, (size_t)(end - p));
                return "out-of-bounds write at +" + std::to_string(behind) + " bytes behind an allocation of " + std::to_string(a.bytes) + " bytes";
            }
    }
    return {};
}

// Called from a signal handler, while the kernel that faulted holds no lock of ours.
void describe_address(const void* address, char* text, size_t length) {
    Address p = (Address)address;
    Processor* run = processor;
    if (run) {
        for (Fiber* f : run->all_fibers)
            if (p >= (Address)f->stack && p < (Address)f->stack + PAGE) {
                snprintf(text, length, "stack overflow: local variables of more than %zu KB", Limits::stack >> 10);
                return;
            }
        for (unsigned c = 0; c < run->launch.cluster; c++) {
            char *shared = run->ctas[c].shared, *end = shared + (run->launch.shared_bytes + 1023) / 1024 * 1024;
            if ((char*)p < end || (char*)p >= end + PAGE) continue;
            snprintf(text, length, "out-of-bounds access at +%zu bytes behind the %u bytes of dynamic shared memory",
                (size_t)((char*)p - shared) - run->launch.shared_bytes, run->launch.shared_bytes);
            return;
        }
    }
    std::unique_lock<std::mutex> lock(mutex, std::try_to_lock);
    for (auto& [base, a] : allocations) {
        if (p < (Address)a.mapping || p >= (Address)a.mapping + a.mapped) continue;
        if (p < base) snprintf(text, length, "out-of-bounds access %llu bytes in front of an allocation of %zu bytes", base - p, a.bytes);
        else snprintf(text, length, "out-of-bounds access at +%llu bytes behind an allocation of %zu bytes", p - base - a.bytes, a.bytes);
        return;
    }
    if (p < 65536) snprintf(text, length, "access through a null pointer (address %llu)", p);
    else snprintf(text, length, "access at %p, which lies in no allocation", address);
}

} // namespace emulator
