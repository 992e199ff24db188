// Launches, with the checks of the driver.
#include "device.h"
#include <chrono>
#include <cstdlib>

namespace emulator {

thread_local int captures_of_thread = 0;

double now_milliseconds() {
    using namespace std::chrono;
    return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

int capability() {
    static const int c = [] {
        const char* v = getenv("KAMACITE_EMULATED_CAPABILITY");
        int major = 9, minor = 0;
        if (v) sscanf(v, "%d.%d", &major, &minor);
        return major * 10 + minor;
    }();
    return c;
}

Result forbid_capture(Stream* s) {
    if (!s || !s->capture) return SUCCESS;
    s->capture->invalid = true;
    return CAPTURE_UNSUPPORTED;
}

static Result refuse(const Request& r, const std::string& why) {
    set_fault(INVALID_VALUE, "kernel " + r.function->kernel.name + ": " + why);
    return INVALID_VALUE;
}

// Arguments lie as their type asks for, on 64 bytes at most.
struct alignas(64) Line { char bytes[64]; };

static Result execute(Function* f, const Launch& proto, const std::vector<char>& arguments) {
    if (Result b = broken) return b;
    counts.launches++;
    if (fails_now("launch")) return break_device(LAUNCH_FAILED, "kernel " + f->kernel.name + ": planned failure of a launch");
    Launch l = proto;
    std::vector<Line> lines((arguments.size() + 63) / 64);
    memcpy(lines.data(), arguments.data(), arguments.size());
    l.arguments = lines.data();
    if (Result r = run_everywhere(*f, l)) return r;
    std::string behind = written_behind();
    if (!behind.empty()) return break_device(ILLEGAL_ADDRESS, "kernel " + f->kernel.name + ": " + behind);
    return SUCCESS;
}

Result launch(const Request& r) {
    if (Result e = ready()) return e;
    Function* f = r.function;
    if (!f) return INVALID_VALUE;
    const Kernel& k = f->kernel;
    uint64_t threads = (uint64_t)r.block.x * r.block.y * r.block.z;
    if (!threads || threads > k.threads)
        return refuse(r, "blocks of " + std::to_string(threads) + " threads, the kernel is declared for " + std::to_string(k.threads));
    if (!r.grid.x || !r.grid.y || !r.grid.z || r.grid.x > 0x7fffffffu || r.grid.y > 65535 || r.grid.z > 65535)
        return refuse(r, "a grid of " + std::to_string(r.grid.x) + " x " + std::to_string(r.grid.y) + " x " + std::to_string(r.grid.z) + " blocks");
    const std::string cluster = "clusters of " + std::to_string(r.cluster) + " blocks ";
    if (r.cluster > 1 && capability() < 90) return refuse(r, cluster + "on a device before 9.0");
    if (r.cluster != 1 && r.cluster != 2 && r.cluster != 4 && r.cluster != 8) return refuse(r, cluster + "(1, 2, 4 and 8 are portable)");
    if (r.grid.x % r.cluster) return refuse(r, cluster + "do not divide " + std::to_string(r.grid.x) + " along x");
    if ((threads + 31) / 32 * r.cluster > Limits::warps) return refuse(r, cluster + "have more than 1024 threads, which the emulator does not run");
    if (r.block.z > 64) return refuse(r, "more than 64 threads in z");
    if (r.shared_bytes > (unsigned)f->dynamic_shared_limit)
        return refuse(r, std::to_string(r.shared_bytes) + " bytes of dynamic shared memory, the limit set for it is " + std::to_string(f->dynamic_shared_limit));
    std::vector<char> arguments(k.argument_bytes);
    if (r.parameters && r.parameters[0]) {
        memcpy(arguments.data(), r.parameters[0], k.argument_bytes);
    } else if (r.extra) {
        const void* from = nullptr;
        size_t bytes = 0;
        for (void** e = r.extra; *e; e += 2) { // 1: CU_LAUNCH_PARAM_BUFFER_POINTER, 2: .._BUFFER_SIZE
            if (*e == (void*)1) from = e[1];
            else if (*e == (void*)2) bytes = *(size_t*)e[1];
            else return refuse(r, "an unknown launch parameter");
        }
        if (!from || bytes != k.argument_bytes)
            return refuse(r, std::to_string(bytes) + " bytes of arguments, the kernel takes " + std::to_string(k.argument_bytes));
        memcpy(arguments.data(), from, bytes);
    } else {
        return refuse(r, "no arguments");
    }
    Launch l = {nullptr, r.grid, r.block, r.cluster, r.shared_bytes, nullptr, nullptr, false};
    return submit(r.stream, [f, l, arguments] { return execute(f, l, arguments); });
}

} // namespace emulator
