// Errors, counters and planned failures, and the functions by which tests reach them.
#include "device.h"

namespace emulator {

Counts counts;
std::atomic<Result> broken{SUCCESS};
static std::mutex mutex;
static std::string fault_sentence;
static Result fault_result = SUCCESS; // what the call or the kernel with that sentence returned
static struct Plan {
    std::string what;
    int after = 0;
} plan;

void set_fault(Result r, const std::string& sentence) {
    std::lock_guard<std::mutex> lock(mutex);
    fault_sentence = sentence;
    fault_result = r;
    if (getenv("KAMACITE_EMULATED_VERBOSE")) fprintf(stderr, "kamacite emulator: %s\n", sentence.c_str());
}

Result break_device(Result r, const std::string& sentence) {
    set_fault(r, sentence);
    Result none = SUCCESS;
    broken.compare_exchange_strong(none, r);
    return r;
}

bool fails_now(const char* what) {
    std::lock_guard<std::mutex> lock(mutex);
    if (plan.what != what || plan.after-- > 0) return false;
    plan.what.clear();
    return true;
}

const char* error_name(Result r) {
    switch (r) {
    case SUCCESS: return "CUDA_SUCCESS";
    case INVALID_VALUE: return "CUDA_ERROR_INVALID_VALUE";
    case OUT_OF_MEMORY: return "CUDA_ERROR_OUT_OF_MEMORY";
    case NOT_INITIALIZED: return "CUDA_ERROR_NOT_INITIALIZED";
    case UNAVAILABLE: return "CUDA_ERROR_DEVICE_UNAVAILABLE";
    case INVALID_DEVICE: return "CUDA_ERROR_INVALID_DEVICE";
    case INVALID_IMAGE: return "CUDA_ERROR_INVALID_IMAGE";
    case INVALID_CONTEXT: return "CUDA_ERROR_INVALID_CONTEXT";
    case ECC_UNCORRECTABLE: return "CUDA_ERROR_ECC_UNCORRECTABLE";
    case NOT_FOUND: return "CUDA_ERROR_NOT_FOUND";
    case NOT_READY: return "CUDA_ERROR_NOT_READY";
    case ILLEGAL_ADDRESS: return "CUDA_ERROR_ILLEGAL_ADDRESS";
    case LAUNCH_OUT_OF_RESOURCES: return "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES";
    case LAUNCH_FAILED: return "CUDA_ERROR_LAUNCH_FAILED";
    case NOT_SUPPORTED: return "CUDA_ERROR_NOT_SUPPORTED";
    case CAPTURE_UNSUPPORTED: return "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED";
    case CAPTURE_INVALIDATED: return "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED";
    case CAPTURE_UNMATCHED: return "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED";
    case CAPTURE_ISOLATION: return "CUDA_ERROR_STREAM_CAPTURE_ISOLATION";
    case GRAPH_UPDATE_FAILURE: return "CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE";
    default: return nullptr;
    }
}

const char* fault_text(Result r) {
    static thread_local std::string copy;
    std::lock_guard<std::mutex> lock(mutex);
    if (r != SUCCESS && r != fault_result) return nullptr;
    copy = fault_sentence;
    return copy.c_str();
}

const char* error_text(Result r) {
    if (const char* sentence = r ? fault_text(r) : nullptr) return sentence;
    switch (r) {
    case SUCCESS: return "no error";
    case INVALID_VALUE: return "invalid argument";
    case OUT_OF_MEMORY: return "out of memory";
    case NOT_INITIALIZED: return "cuInit was not called";
    case UNAVAILABLE: return "the device is gone";
    case INVALID_DEVICE: return "no such device";
    case INVALID_IMAGE: return "these bytes are no kernels of this emulator";
    case INVALID_CONTEXT: return "no context is current in this thread";
    case ECC_UNCORRECTABLE: return "uncorrectable memory error";
    case NOT_FOUND: return "no such name";
    case NOT_READY: return "not ready";
    case ILLEGAL_ADDRESS: return "a kernel touched memory outside of its allocations";
    case LAUNCH_OUT_OF_RESOURCES: return "too many resources asked for a launch";
    case LAUNCH_FAILED: return "a kernel failed";
    case NOT_SUPPORTED: return "not supported by the emulator";
    case CAPTURE_UNSUPPORTED: return "not allowed while a stream is captured";
    case CAPTURE_INVALIDATED: return "the capture was spoiled by an earlier error";
    case CAPTURE_UNMATCHED: return "this stream did not begin the capture";
    case CAPTURE_ISOLATION: return "the event belongs to a capture that has ended";
    case GRAPH_UPDATE_FAILURE: return "the graph cannot be updated in place";
    default: return nullptr;
    }
}

} // namespace emulator

using namespace emulator;
extern "C" {

// The sentence of the last fault, or an empty one. Valid until the thread asks again.
const char* kamacite_emulator_fault() { return fault_text(SUCCESS); }
void kamacite_emulator_counts(uint64_t out[8]) {
    const std::atomic<uint64_t>* all[8] = {&counts.launches, &counts.graph_launches, &counts.htod_copies, &counts.htod_bytes,
        &counts.dtoh_copies, &counts.allocations, &counts.synchronisations, &counts.nodes_replayed};
    for (int i = 0; i < 8; i++) out[i] = *all[i];
}
// Makes one later call fail: after `after` more calls that would do, "alloc" is out of memory, "launch" breaks the device,
// "lost" is any call that finds the device gone.
void kamacite_emulator_fail(const char* what, int after) {
    std::lock_guard<std::mutex> lock(emulator::mutex);
    plan = {what ? what : "", after};
}
// Counters to zero, the device whole again, no planned failure.
void kamacite_emulator_reset() {
    std::lock_guard<std::mutex> lock(emulator::mutex);
    for (auto* c : {&counts.launches, &counts.graph_launches, &counts.htod_copies, &counts.htod_bytes, &counts.dtoh_copies,
             &counts.allocations, &counts.synchronisations, &counts.nodes_replayed})
        *c = 0;
    broken = SUCCESS;
    plan = Plan();
    fault_sentence.clear();
    fault_result = SUCCESS;
}
}
