// The emulated device behind the driver's functions: memory, modules, streams, graphs, errors.
#pragma once
#include "processor.h"
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

namespace emulator {

typedef int Result;
typedef unsigned long long Address;
enum : Result {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, UNAVAILABLE = 46, INVALID_DEVICE = 101,
    INVALID_IMAGE = 200, INVALID_CONTEXT = 201, ECC_UNCORRECTABLE = 214, NOT_FOUND = 500, NOT_READY = 600,
    ILLEGAL_ADDRESS = 700, LAUNCH_OUT_OF_RESOURCES = 701, LAUNCH_FAILED = 719, NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901, CAPTURE_UNMATCHED = 903, CAPTURE_ISOLATION = 905, GRAPH_UPDATE_FAILURE = 910,
};
const char* error_name(Result r);
const char* error_text(Result r); // the sentence of a fault where there was one

struct Counts {
    std::atomic<uint64_t> launches{0}, graph_launches{0}, htod_copies{0}, htod_bytes{0}, dtoh_copies{0}, allocations{0},
        synchronisations{0}, nodes_replayed{0};
};
extern Counts counts;

// ---- errors
// The first error that broke the device; every later call returns it.
extern std::atomic<Result> broken;
void set_fault(Result r, const std::string& sentence);
// The sentence of the last fault if it gave this result, or of any for 0; valid until the thread asks again.
const char* fault_text(Result r);
Result break_device(Result r, const std::string& sentence);
// Whether a planned failure (kamacite_emulator_fail) is due now.
bool fails_now(const char* what);
// What each call on the device asks first: broken device, planned loss, current context.
Result ready();

// ---- memory
Result allocate(Address* out, size_t bytes);
Result release(Address p);
bool inside(Address p, size_t bytes);
bool extent_of(Address p, Address* base, size_t* bytes);
void memory_info(size_t* unused, size_t* total);
// The name of an allocation that was written behind its end, or empty.
std::string written_behind();

// ---- modules
struct Loaded { // a loaded copy of a module's library, for one processor
    void* handle = nullptr;
    int file = -1;
    std::map<std::string, Kernel> kernels;
};
struct Module;
struct Function {
    Module* module;
    Kernel kernel;
    int dynamic_shared_limit = 48 << 10;
    Address arguments_size = 0; // a device global: <name>_args
};
struct Module {
    std::string image;
    std::mutex mutex;
    std::map<std::string, std::unique_ptr<Function>> functions;
    std::map<unsigned, Loaded> copies;
    ~Module();
    bool load(Loaded& copy, std::string& error);
    Kernel* kernel_for(unsigned processor, const std::string& name);
};

// ---- streams and graphs
typedef std::function<Result()> Work;
struct Graph {
    std::vector<Work> work;
    bool invalid = false;
    int mode = 0;
};
struct Stream {
    Graph* capture = nullptr; // the graph that records this stream's work
    bool origin = false;      // began the capture
    unsigned flags = 0;       // 1: non-blocking
    std::deque<Work> queue;   // submitted, not yet run: see queue.cpp
};
// A point in a stream.
struct Marker {
    Stream* stream = nullptr;
    std::atomic<bool> done{false};
    double milliseconds = 0;
};
struct Event {
    std::shared_ptr<Marker> marker;
    Graph* capture = nullptr;
};
// Records the work while the stream is captured; else runs it, now or later.
Result submit(Stream* s, Work work);
bool late();
void add_stream(Stream* s);
void remove_stream(Stream* s);
Result flush(Stream* s); // runs what is queued; the first error
Result flush_all();
bool captured(Graph* g);      // whether a capture into this graph is under way
void leave_capture(Graph* g); // of all its streams
std::shared_ptr<Marker> mark(Stream* s);
bool advance(Marker& m); // runs one piece of work in front of the marker; whether it is reached
Result wait_for(Marker& m);
void pin(void* p, size_t bytes);
void unpin(void* p);
bool is_pinned(const void* p);
// A call that must not be made while a capture is under way; marks the capture invalid.
Result forbid_capture(Stream* s);
extern thread_local int captures_of_thread;

// ---- launches
struct Request {
    Function* function;
    uint3 grid, block;
    unsigned cluster; // blocks of a cluster, along x
    unsigned shared_bytes;
    Stream* stream;
    void** parameters;
    void** extra;
};
Result launch(const Request& request);
// Runs the blocks of a launch on this host thread and, if they take long, on others that are idle.
Result run_everywhere(Function& f, Launch launch);

int capability(); // e.g. 90
double now_milliseconds();

} // namespace emulator
