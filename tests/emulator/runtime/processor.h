// A Processor runs one cluster of a launch at a time (a block, unless the launch asks for more), on the host thread that
// launches. All threads of the cluster are fibers.
#pragma once
#include "../include/emulator.h"
#include <atomic>
#include <csetjmp>
#include <functional>
#include <string>
#include <vector>

namespace emulator {

enum class Order { Forward, Reverse, Random };

struct Limits {
    static constexpr unsigned threads = 1024, warps = 32, barriers = 16, warpgroups = 8, cluster = 8;
    static constexpr size_t shared = 227 << 10, stack = 128 << 10;
};

// A stack of its own; it runs thread after thread until one of them has to wait.
struct Fiber {
    void* stack_pointer = nullptr;
    char *stack = nullptr, *top = nullptr;
};

// A copy of data that lands only when it is waited for.
struct Copy {
    void* to;
    const void* from;
    unsigned bytes, filled; // `filled` bytes come from `from`, the rest are zeros
};
// A wgmma in flight. It reads its operands when it is waited for; until then its sums are hidden in `saved`.
struct Product {
    float* d;
    int columns, kind;
    uint64_t a, b;
    uint32_t a_values[4];
    bool registers, transpose_a, transpose_b, accumulate;
    std::vector<float> saved;
};

// A tile on its way to a tensor. It is read from shared memory when its group is waited for, or when the block has ended.
struct Store {
    const void *map, *from;
    int at[5];
};

struct Cta;
// `linear` counts through the cluster; each block begins with a new warp.
struct FullThread;
// An arrival at a barrier that follows a thread's copies.
struct Arrival {
    FullThread* thread;
    void* barrier;
    std::vector<Copy> copies;
};

struct FullThread : Thread {
    Fiber* fiber = nullptr;
    Cta* cta = nullptr;
    bool arrived = false; // at the cluster's barrier, and has not waited there since
    unsigned arrival = 0; // the phase of that
    const char* waits_in = nullptr; // for the report of a deadlock
    int waits_line = 0;
    std::vector<Copy> copies;
    std::vector<size_t> copy_groups;
    std::vector<Product> products;
    std::vector<size_t> product_groups;
    std::vector<Store> stores;
    std::vector<size_t> store_groups;
};
// A tile that TMA brings when somebody waits for its barrier.
struct Tile {
    void* to;
    const void* map;
    void* barrier;
    Cta* cta; // in whose shared memory it lands
    int at[5];
};

// Threads that wait for each other, by warp.
struct Meeting {
    unsigned arrived = 0, warps = 0;
    int line = 0;
    unsigned lanes[Limits::warps] = {};
};

// A block of the cluster.
struct Cta {
    unsigned rank = 0, first = 0, live = 0; // `first`: the number of its thread 0
    uint3 block = {};                       // blockIdx
    Meeting meetings[Limits::barriers + Limits::warpgroups];
    unsigned used_meetings = 0;
    std::vector<Store> stores; // of threads that returned
    // dynamic shared memory, with an inaccessible page behind it
    char *area = nullptr, *shared = nullptr;
};

static constexpr const char* STATIC_IN_CLUSTER = "static shared memory in a cluster: the emulator gives its blocks one copy of it; use dynamic shared memory";
struct Kernel {
    std::string name;
    unsigned threads;
    size_t argument_bytes;
    void (*run)(const void*);
    Here* here;
    char *shared_begin, *shared_end; // static shared memory of all kernels of the library: poison between launches
    // The part of it that this kernel was seen to write, when that was last looked at, and launches so far.
    char *used_begin = nullptr, *used_end = nullptr;
    uint64_t launches = 0;

    void poison_all() { memset(shared_begin, 0xff, (size_t)(shared_end - shared_begin)); }
    void poison_used() {
        if (used_end > used_begin) memset(used_begin, 0xff, (size_t)(used_end - used_begin));
    }
    bool all_poison() const;
    void find_used();
};

// The clusters of a launch, which several processors may share.
struct Blocks {
    uint64_t total;
    std::atomic<uint64_t> next{0};
    std::atomic<bool> stop{false}; // after a fault
    std::function<void()> ask_for_help; // called once by the first processor, when the launch turns out to be long
};
struct Launch {
    Kernel* kernel; // of the copy of its library that this processor loaded
    uint3 grid, block;
    unsigned cluster; // blocks of a cluster, along x
    unsigned shared_bytes;
    const void* arguments;
    Blocks* blocks;
    bool helps; // another processor began this launch
};

struct Processor {
    unsigned id = 0;
    Launch launch;
    // state of the cluster
    unsigned live = 0, spins = 0, warp_count = 0;
    unsigned ready_warps = 0; // warps with ready lanes
    unsigned yielded[Limits::warps], parked[Limits::warps];
    Cta ctas[Limits::cluster];
    unsigned cluster_phase = 0, cluster_missing = 0, cluster_waiting[Limits::warps]; // barrier.cluster
    std::vector<Tile> tiles;
    std::vector<Arrival> arrivals;
    Warp warps[Limits::warps];
    FullThread threads[Limits::threads];
    uint3 shape = {}; // block shape and size of the cluster for which `threads` is filled
    unsigned shape_cluster = 0;
    FullThread* running = nullptr;
    unsigned warp = 0;
    // fibers
    std::vector<Fiber*> all_fibers, free_fibers;
    void* launcher = nullptr; // its stack pointer while a block runs
    FullThread* starting = nullptr;
    Fiber* fiber = nullptr;
    // order of execution
    Order order = Order::Forward;
    uint64_t random = 1;
    // faults
    bool in_kernel = false, illegal_address = false;
    sigjmp_buf escape;
    char message[512];

    Processor();
    ~Processor();
    // Runs blocks until there are none left. False: a fault, told in `message`.
    bool run(const Launch& launch);

    void run_blocks();
    void run_block(uint64_t index, bool first);
    void start_block(uint64_t index, bool first);
    void start_cta(Cta& cta, uint64_t cluster);
    void lay_out();
    void give_shared_memory(Cta& cta);
    void check_shared(const Cta& cta);
    void finish_cta(Cta& cta);
    void land(size_t tile);
    bool land_any();
    void land_arrival(size_t i); // a tile that nobody has waited for yet
    void pass_cluster_barrier();
    FullThread* next();
    void wait(const char* what, int line); // the running thread is in some waiting set; returns when it is ready again
    void finish(FullThread& thread);
    void release(Meeting& meeting);
    void wake(unsigned warp, unsigned lanes) {
        warps[warp].ready |= lanes;
        ready_warps |= 1u << warp;
    }
    void wake_all(unsigned* sets);
    [[noreturn]] void deadlock();
    void enter(FullThread& thread);
    Fiber* take_fiber();
    void reset_fibers();
};

// Of the host thread that calls; null unless it runs a kernel.
extern thread_local Processor* processor __attribute__((tls_model("initial-exec")));

Processor* acquire_processor(bool wait); // null if all are busy and `wait` is false
void release_processor(Processor* p);
unsigned processor_count();
Order current_order();

// Fiber switch: saves the callee-saved registers and the stack pointer, and goes on where `to` stopped.
extern "C" void kamacite_emulator_switch(void** save, void* to);
void* fresh_stack(char* top, void (*entry)());

void install_fault_handler();
// Says what lies at an address: fills `text` with a sentence.
void describe_address(const void* address, char* text, size_t length);

} // namespace emulator
