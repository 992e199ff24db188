// The driver's functions on devices, contexts, memory, modules and launches, as cudarc looks them up by name.
#include "device.h"
#include <cstdlib>
#include <sys/mman.h>

using namespace emulator;

static std::atomic<bool> initialised{false};
static thread_local void* current_context = nullptr;
static void* const PRIMARY = (void*)0x6b616d61;

Result emulator::ready() {
    if (!initialised) return NOT_INITIALIZED;
    if (Result b = broken) return b;
    if (fails_now("lost")) return break_device(UNAVAILABLE, "planned loss of the device");
    return current_context ? SUCCESS : INVALID_CONTEXT;
}

// Most functions begin with this.
#define READY if (Result not_ready = ready()) return not_ready
#define REQUIRE(condition) if (!(condition)) return INVALID_VALUE

extern "C" {

// -------------------------------------------------------------------------------------------- errors, devices, contexts
Result cuInit(unsigned) {
    initialised = true;
    return SUCCESS;
}
Result cuDriverGetVersion(int* v) {
    *v = 13000;
    return SUCCESS;
}
Result cuGetErrorName(Result r, const char** s) {
    *s = error_name(r);
    return *s ? SUCCESS : INVALID_VALUE;
}
Result cuGetErrorString(Result r, const char** s) {
    *s = error_text(r);
    return *s ? SUCCESS : INVALID_VALUE;
}
Result cuDeviceGetCount(int* n) {
    if (!initialised) return NOT_INITIALIZED;
    *n = 1;
    return SUCCESS;
}
Result cuDeviceGet(int* device, int ordinal) {
    if (!initialised) return NOT_INITIALIZED;
    if (ordinal != 0) return INVALID_DEVICE;
    *device = 0;
    return SUCCESS;
}
Result cuDeviceGetName(char* name, int length, int) {
    snprintf(name, (size_t)length, "kamacite emulator");
    return SUCCESS;
}
Result cuDeviceGetUuid(unsigned char uuid[16], int) {
    for (int i = 0; i < 16; i++) uuid[i] = (unsigned char)i;
    return SUCCESS;
}
Result cuDeviceGetUuid_v2(unsigned char uuid[16], int d) { return cuDeviceGetUuid(uuid, d); }
Result cuDeviceTotalMem_v2(size_t* bytes, int) {
    size_t unused;
    memory_info(&unused, bytes);
    return SUCCESS;
}
Result cuDeviceGetAttribute(int* v, int attribute, int) {
    switch (attribute) {
    case 1: case 2: case 3: *v = attribute == 3 ? 64 : 1024; break; // threads per block, block x, y, z
    case 5: *v = 0x7fffffff; break;                                 // grid x
    case 6: case 7: *v = 65535; break;                              // grid y, z
    case 8: *v = 48 << 10; break;                                   // shared memory per block
    case 9: *v = 64 << 10; break;                                   // constant memory
    case 10: *v = 32; break;                                        // warp
    case 12: case 82: *v = 65536; break;                            // registers per block, per multiprocessor
    case 13: *v = 1980000; break;                                   // clock in kHz
    case 16: *v = 2; break;                                         // multiprocessors
    case 31: case 40: case 41: *v = 1; break;                       // concurrent kernels, copy engines, unified addresses
    case 36: *v = 3201000; break;                                   // memory clock in kHz
    case 37: *v = 6144; break;                                      // memory bus in bits
    case 38: *v = 50 << 20; break;                                  // second-level cache
    case 39: *v = 2048; break;                                      // threads per multiprocessor
    case 75: *v = capability() / 10; break;
    case 76: *v = capability() % 10; break;
    case 81: *v = capability() >= 90 ? 228 << 10 : capability() >= 80 ? 164 << 10 : 64 << 10; break; // shared memory per multiprocessor
    case 97: *v = capability() >= 90 ? 227 << 10 : capability() >= 80 ? 163 << 10 : 64 << 10; break; // .. per block on request
    case 106: *v = 32; break;                                       // blocks per multiprocessor
    case 115: *v = 0; break;                                        // memory pools: cuMemAlloc it is
    default: *v = 0;
    }
    return SUCCESS;
}
Result cuDevicePrimaryCtxRetain(void** c, int) {
    if (!initialised) return NOT_INITIALIZED;
    if (Result b = broken) return b;
    *c = PRIMARY;
    return SUCCESS;
}
Result cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
Result cuDevicePrimaryCtxSetFlags_v2(int, unsigned) { return SUCCESS; }
Result cuCtxGetCurrent(void** c) {
    *c = current_context;
    return SUCCESS;
}
Result cuCtxSetCurrent(void* c) {
    current_context = c;
    return SUCCESS;
}
Result cuCtxGetDevice(int* d) {
    *d = 0;
    return current_context ? SUCCESS : INVALID_CONTEXT;
}
Result cuCtxSetFlags(unsigned) { return SUCCESS; }
Result cuCtxSetLimit(int, size_t) { return SUCCESS; }
Result cuCtxGetLimit(size_t* v, int) {
    *v = 1024;
    return SUCCESS;
}
Result cuCtxSetCacheConfig(int) { return SUCCESS; }
Result cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    *least = 0, *greatest = -5;
    return SUCCESS;
}
Result cuCtxSynchronize() {
    READY;
    if (captures_of_thread) return CAPTURE_UNSUPPORTED;
    counts.synchronisations++;
    return flush_all();
}

// -------------------------------------------------------------------------------------------------------------- memory
Result cuMemGetInfo_v2(size_t* unused, size_t* total) {
    READY;
    memory_info(unused, total);
    return SUCCESS;
}
Result cuMemAlloc_v2(Address* p, size_t bytes) {
    READY;
    if (captures_of_thread) return CAPTURE_UNSUPPORTED;
    return allocate(p, bytes);
}
Result cuMemAllocAsync(Address* p, size_t bytes, Stream* s) {
    READY;
    if (Result r = forbid_capture(s)) return r;
    return allocate(p, bytes);
}
Result cuMemFree_v2(Address p) {
    if (captures_of_thread) return CAPTURE_UNSUPPORTED;
    flush_all();
    return release(p);
}
Result cuMemFreeAsync(Address p, Stream* s) {
    if (Result r = forbid_capture(s)) return r;
    return submit(s, [p] { return release(p); });
}
Result cuMemHostAlloc(void** p, size_t bytes, unsigned) {
    READY;
    REQUIRE(bytes);
    *p = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (!*p) return OUT_OF_MEMORY;
    pin(*p, bytes);
    return SUCCESS;
}
Result cuMemFreeHost(void* p) {
    flush_all();
    unpin(p);
    free(p);
    return SUCCESS;
}
Result cuMemHostRegister_v2(void* p, size_t bytes, unsigned) {
    pin(p, bytes);
    return SUCCESS;
}
Result cuMemHostUnregister(void* p) {
    flush_all();
    unpin(p);
    return SUCCESS;
}
Result cuMemHostGetDevicePointer_v2(Address*, void*, unsigned) { return NOT_SUPPORTED; }
Result cuMemGetAddressRange_v2(Address* base, size_t* bytes, Address p) {
    READY;
    return extent_of(p, base, bytes) ? SUCCESS : INVALID_VALUE;
}
Result cuPointerGetAttribute(void* data, int attribute, Address p) {
    Address base;
    size_t bytes;
    if (attribute == 2) { // CU_POINTER_ATTRIBUTE_MEMORY_TYPE
        REQUIRE(extent_of(p, &base, &bytes));
        *(unsigned*)data = 2; // the device's
        return SUCCESS;
    }
    return NOT_SUPPORTED;
}

static Result copy_in(Address to, const void* from, size_t bytes, Stream* s) {
    READY;
    REQUIRE(inside(to, bytes) && (from || !bytes));
    // Pinned memory is read when the copy runs, other memory now. A replayed graph reads where it is told to.
    std::shared_ptr<std::vector<char>> staged;
    if (late() && !(s && s->capture) && !is_pinned(from)) staged = std::make_shared<std::vector<char>>((const char*)from, (const char*)from + bytes);
    return submit(s, [=] {
        counts.htod_copies++;
        counts.htod_bytes += bytes;
        memcpy((void*)to, staged ? staged->data() : from, bytes);
        return SUCCESS;
    });
}
static Result copy_out(void* to, Address from, size_t bytes, Stream* s) {
    READY;
    REQUIRE(inside(from, bytes) && (to || !bytes));
    return submit(s, [=] {
        counts.dtoh_copies++;
        memcpy(to, (void*)from, bytes);
        return SUCCESS;
    });
}
static Result copy_within(Address to, Address from, size_t bytes, Stream* s) {
    READY;
    REQUIRE(inside(to, bytes) && inside(from, bytes));
    return submit(s, [=] {
        memmove((void*)to, (void*)from, bytes);
        return SUCCESS;
    });
}
Result cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t n, Stream* s) { return copy_in(to, from, n, s); }
Result cuMemcpyDtoHAsync_v2(void* to, Address from, size_t n, Stream* s) { return copy_out(to, from, n, s); }
Result cuMemcpyDtoDAsync_v2(Address to, Address from, size_t n, Stream* s) { return copy_within(to, from, n, s); }
// The synchronous ones belong to the default stream, which no capture tolerates.
#define NO_CAPTURE if (captures_of_thread) return CAPTURE_UNSUPPORTED
Result cuMemcpyHtoD_v2(Address to, const void* from, size_t n) {
    NO_CAPTURE;
    return copy_in(to, from, n, nullptr);
}
Result cuMemcpyDtoH_v2(void* to, Address from, size_t n) {
    NO_CAPTURE;
    return copy_out(to, from, n, nullptr);
}
Result cuMemcpyDtoD_v2(Address to, Address from, size_t n) {
    NO_CAPTURE;
    return copy_within(to, from, n, nullptr);
}
Result cuMemsetD8Async(Address to, unsigned char v, size_t n, Stream* s) {
    READY;
    REQUIRE(inside(to, n));
    return submit(s, [=] {
        memset((void*)to, v, n);
        return SUCCESS;
    });
}
Result cuMemsetD32Async(Address to, unsigned v, size_t n, Stream* s) {
    READY;
    REQUIRE(inside(to, n * 4) && to % 4 == 0);
    return submit(s, [=] {
        for (size_t i = 0; i < n; i++) ((unsigned*)to)[i] = v;
        return SUCCESS;
    });
}
Result cuMemsetD16Async(Address to, unsigned short v, size_t n, Stream* s) {
    READY;
    REQUIRE(inside(to, n * 2) && to % 2 == 0);
    return submit(s, [=] {
        for (size_t i = 0; i < n; i++) ((unsigned short*)to)[i] = v;
        return SUCCESS;
    });
}
Result cuMemsetD8_v2(Address to, unsigned char v, size_t n) {
    NO_CAPTURE;
    return cuMemsetD8Async(to, v, n, nullptr);
}
Result cuMemsetD32_v2(Address to, unsigned v, size_t n) {
    NO_CAPTURE;
    return cuMemsetD32Async(to, v, n, nullptr);
}

// -------------------------------------------------------------------------------------------------- modules, functions
Result cuModuleLoadDataEx(Module** out, const void* image, unsigned, int*, void**) {
    READY;
    // "KAMACITE", the length, the bytes of a shared library: see nvrtc.cpp.
    if (memcmp(image, "KAMACITE", 8)) return INVALID_IMAGE;
    uint64_t bytes;
    memcpy(&bytes, (const char*)image + 8, 8);
    std::unique_ptr<Module> m(new Module);
    m->image.assign((const char*)image + 16, bytes);
    Loaded first;
    std::string error;
    if (!m->load(first, error)) {
        set_fault(INVALID_IMAGE, "the kernels did not load: " + error);
        return INVALID_IMAGE;
    }
    for (auto& [name, kernel] : first.kernels) {
        m->functions[name].reset(new Function{m.get(), kernel});
    }
    m->copies[0] = std::move(first);
    *out = m.release();
    return SUCCESS;
}
Result cuModuleLoadData(Module** out, const void* image) { return cuModuleLoadDataEx(out, image, 0, nullptr, nullptr); }
Result cuModuleUnload(Module* m) {
    flush_all();
    for (auto& [name, f] : m->functions) release(f->arguments_size);
    delete m;
    return SUCCESS;
}
Result cuModuleGetFunction(Function** f, Module* m, const char* name) {
    READY;
    auto it = m->functions.find(name);
    if (it == m->functions.end()) return NOT_FOUND;
    *f = it->second.get();
    return SUCCESS;
}
// The only globals are <kernel>_args: the size of the kernel's argument struct.
Result cuModuleGetGlobal_v2(Address* p, size_t* bytes, Module* m, const char* name) {
    READY;
    std::string key = name;
    if (key.size() < 5 || key.compare(key.size() - 5, 5, "_args")) return NOT_FOUND;
    auto it = m->functions.find(key.substr(0, key.size() - 5));
    if (it == m->functions.end()) return NOT_FOUND;
    Function& f = *it->second;
    std::lock_guard<std::mutex> lock(m->mutex);
    if (!f.arguments_size) {
        if (Result r = allocate(&f.arguments_size, 4)) return r;
        counts.allocations--; // not the program's
        *(unsigned*)f.arguments_size = (unsigned)f.kernel.argument_bytes;
    }
    if (p) *p = f.arguments_size;
    if (bytes) *bytes = 4;
    return SUCCESS;
}
Result cuFuncGetAttribute(int* v, int attribute, Function* f) {
    switch (attribute) {
    case 0: *v = (int)f->kernel.threads; break; // threads per block
    case 4: *v = 32; break;                     // registers
    case 5: case 6: *v = capability(); break;   // version of the PTX, of the binary
    case 8: *v = f->dynamic_shared_limit; break;
    default: *v = 0;                            // static shared, constant and local bytes among them
    }
    return SUCCESS;
}
Result cuFuncSetAttribute(Function* f, int attribute, int v) {
    READY;
    if (attribute != 8) return SUCCESS;
    int most;
    cuDeviceGetAttribute(&most, 97, 0);
    REQUIRE(v >= 0 && v <= most);
    f->dynamic_shared_limit = v;
    return SUCCESS;
}
Result cuFuncSetCacheConfig(Function*, int) { return SUCCESS; }

Result cuLaunchKernel(Function* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, Stream* s, void** parameters, void** extra) {
    return launch({f, {gx, gy, gz}, {bx, by, bz}, 1, shared, s, parameters, extra});
}
struct LaunchAttribute { // CUlaunchAttribute
    unsigned id, unused, value[16];
};
struct LaunchConfig { // CUlaunchConfig
    unsigned grid[3], block[3], shared;
    Stream* stream;
    const LaunchAttribute* attributes;
    unsigned attribute_count;
};
Result cuLaunchKernelEx(const LaunchConfig* c, Function* f, void** parameters, void** extra) {
    unsigned cluster = 1;
    for (unsigned i = 0; i < c->attribute_count; i++) {
        const LaunchAttribute& a = c->attributes[i];
        switch (a.id) {
        case 0: break; // CU_LAUNCH_ATTRIBUTE_IGNORE
        case 4:        // .._CLUSTER_DIMENSION
            if (a.value[1] != 1 || a.value[2] != 1) return NOT_SUPPORTED;
            cluster = a.value[0];
            break;
        case 6: // .._PROGRAMMATIC_STREAM_SERIALIZATION: kernels of a stream run one after another here
            if (capability() < 90) return NOT_SUPPORTED;
            break;
        default: return NOT_SUPPORTED;
        }
    }
    return launch({f, {c->grid[0], c->grid[1], c->grid[2]}, {c->block[0], c->block[1], c->block[2]}, cluster, c->shared, c->stream, parameters, extra});
}
Result cuLaunchCooperativeKernel(Function*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Stream*, void**) {
    return NOT_SUPPORTED;
}
Result cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, Function*, int threads, size_t shared, unsigned) {
    REQUIRE(threads > 0);
    int by_threads = 2048 / threads, by_shared = shared ? (int)((228u << 10) / (shared + 1024)) : 32;
    *blocks = std::min(32, std::min(by_threads, by_shared));
    return SUCCESS;
}
Result cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function* f, int threads, size_t shared) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, f, threads, shared, 0);
}
Result cuOccupancyMaxPotentialBlockSize(int* grid, int* block, Function* f, void*, size_t, int) {
    *block = (int)f->kernel.threads, *grid = 2;
    return SUCCESS;
}
}
