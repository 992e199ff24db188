// Runs a grid: block after block (or cluster after cluster) on the processor of the calling host thread.
#include "processor.h"
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <sys/mman.h>
#include <thread>

namespace emulator {

thread_local Processor* processor = nullptr;

static std::atomic<int> chosen_order{-1};
Order current_order() {
    int order = chosen_order;
    if (order < 0) {
        const char* v = getenv("KAMACITE_EMULATED_ORDER");
        order = v && !strcmp(v, "reverse") ? 1 : v && !strcmp(v, "random") ? 2 : 0;
        chosen_order = order;
    }
    return (Order)order;
}
extern "C" __attribute__((visibility("default"))) void kamacite_emulator_order(int order) { chosen_order = order; }

// ---------------------------------------------------------------------------------------------------- processors
static std::mutex pool_mutex;
static std::condition_variable pool_changed;
static std::vector<Processor*> idle;
static unsigned made = 0;

unsigned processor_count() {
    static const unsigned n = [] {
        const char* v = getenv("KAMACITE_EMULATED_THREADS");
        unsigned asked = v ? (unsigned)atoi(v) : 0;
        return std::min(16u, std::max(1u, asked ? asked : std::thread::hardware_concurrency()));
    }();
    return n;
}
Processor* acquire_processor(bool wait) {
    std::unique_lock<std::mutex> lock(pool_mutex);
    for (;;) {
        if (!idle.empty()) {
            size_t lowest = 0; // its copy of the kernel's library is loaded most likely
            for (size_t i = 1; i < idle.size(); i++) if (idle[i]->id < idle[lowest]->id) lowest = i;
            Processor* p = idle[lowest];
            idle.erase(idle.begin() + (long)lowest);
            return p;
        }
        if (made < processor_count()) {
            Processor* p = new Processor;
            p->id = made++;
            return p;
        }
        if (!wait) return nullptr;
        pool_changed.wait(lock);
    }
}
void release_processor(Processor* p) {
    std::lock_guard<std::mutex> lock(pool_mutex);
    idle.push_back(p);
    pool_changed.notify_one();
}

static constexpr size_t PAGE = 4096, AREA = (Limits::shared + PAGE - 1) / PAGE * PAGE;
Processor::Processor() { give_shared_memory(ctas[0]); }
Processor::~Processor() {
    for (Cta& c : ctas)
        if (c.area) munmap(c.area, AREA + PAGE);
}
void Processor::give_shared_memory(Cta& c) {
    if (!c.area) {
        void* area = mmap(nullptr, AREA + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (area == MAP_FAILED) abort();
        c.area = (char*)area;
        mprotect(c.area + AREA, PAGE, PROT_NONE);
    }
    // The last byte asked for lies in the last 1024 bytes before the inaccessible page.
    c.shared = c.area + AREA - (launch.shared_bytes + 1023) / 1024 * 1024;
}

// ------------------------------------------------------------------------------------------------------- blocks
bool Processor::run(const Launch& l) {
    install_fault_handler();
    launch = l;
    order = current_order();
    for (unsigned c = 0; c < l.cluster; c++) give_shared_memory(ctas[c]);
    processor = this;
    in_kernel = true;
    illegal_address = false;
    bool fine = true;
    if (sigsetjmp(escape, 1) == 0) {
        run_blocks();
    } else {
        fine = false;
        launch.blocks->stop = true;
        launch.kernel->poison_all();
        reset_fibers();
        for (auto& t : threads) {
            t.copies.clear(), t.copy_groups.clear(), t.products.clear(), t.product_groups.clear(), t.stores.clear(), t.store_groups.clear();
            t.fiber = nullptr;
            t.arrived = false;
        }
        for (Cta& c : ctas) {
            for (auto& m : c.meetings) m = Meeting();
            c.stores.clear();
        }
        tiles.clear(), arrivals.clear();
    }
    in_kernel = false;
    processor = nullptr;
    return fine;
}

void Processor::run_blocks() {
    Here& here = *launch.kernel->here;
    here.block_size = launch.block;
    here.grid = launch.grid;
    lay_out();
    Kernel& kernel = *launch.kernel;
    // Of static shared memory there is one copy: see check_shared.
    if (launch.cluster > 1 && !kernel.all_poison()) kernel.poison_all();
    Blocks& blocks = *launch.blocks;
    auto begun = std::chrono::steady_clock::now();
    bool first = true;
    for (uint64_t i; !blocks.stop && (i = blocks.next++) < blocks.total; first = false) {
        run_block(i, first);
        if (!launch.helps && blocks.ask_for_help && std::chrono::steady_clock::now() - begun > std::chrono::microseconds(200)) {
            auto ask = std::move(blocks.ask_for_help);
            blocks.ask_for_help = nullptr;
            ask();
        }
    }
    // Looking through everything takes longer than many kernels: after launches 1, 2, 4, 8 ...
    if ((kernel.launches & (kernel.launches + 1)) == 0) kernel.find_used();
    kernel.launches++;
    kernel.poison_used();
}

// Numbers the threads of the cluster.
void Processor::lay_out() {
    const uint3 b = launch.block;
    if (shape.x == b.x && shape.y == b.y && shape.z == b.z && shape_cluster == launch.cluster) return;
    shape = b;
    shape_cluster = launch.cluster;
    unsigned count = b.x * b.y * b.z;
    for (unsigned c = 0; c < launch.cluster; c++) {
        ctas[c].rank = c;
        ctas[c].first = c * ((count + 31) / 32 * 32);
        for (unsigned i = 0; i < count; i++) {
            FullThread& t = threads[ctas[c].first + i];
            t.index = {i % b.x, i / b.x % b.y, i / (b.x * b.y)};
            t.linear = ctas[c].first + i;
            t.lane = i % 32;
            t.warp = &warps[t.linear / 32];
            t.cta = &ctas[c];
        }
    }
}

void Processor::run_block(uint64_t i, bool first) {
    if (order == Order::Reverse) i = launch.blocks->total - 1 - i;
    start_block(i, first);
    starting = next();
    fiber = take_fiber();
    kamacite_emulator_switch(&launcher, fiber->stack_pointer);
    for (unsigned c = 0; c < launch.cluster; c++) check_shared(ctas[c]);
    // What a kernel uses of the static shared memory is seen after its first block.
    if (first && !launch.kernel->launches) launch.kernel->find_used();
}

bool Kernel::all_poison() const {
    for (const char* p = shared_begin; p < shared_end; p++)
        if ((unsigned char)*p != 0xff) return false;
    return true;
}

// Extends the used part by everything that is no longer poison, and poisons that again.
void Kernel::find_used() {
    static const std::vector<char> poison(64, (char)0xff);
    auto search = [&](char* from, char* to) { // by 64 bytes
        for (; to - from >= 64 && !memcmp(from, poison.data(), 64); from += 64) {}
        for (; to - from >= 64 && !memcmp(to - 64, poison.data(), 64); to -= 64) {}
        if (to - from < 64 && !memcmp(from, poison.data(), (size_t)(to - from))) return;
        memset(from, 0xff, (size_t)(to - from));
        if (!used_end) used_begin = from, used_end = to;
        used_begin = std::min(used_begin, from), used_end = std::max(used_end, to);
    };
    if (!used_end) return search(shared_begin, shared_end);
    char* begin = used_begin; // the search changes it
    search(used_end, shared_end);
    search(shared_begin, begin);
}

void Processor::start_block(uint64_t index, bool first) {
    if (!first) launch.kernel->poison_used();
    live = ready_warps = warp_count = 0;
    for (unsigned c = 0; c < launch.cluster; c++) start_cta(ctas[c], index);
    launch.kernel->here->block = ctas[0].block;
    tiles.clear(), arrivals.clear();
    cluster_missing = live;
    spins = 0;
    warp = order == Order::Reverse ? warp_count - 1 : 0;
    random = index * 0x9e3779b97f4a7c15ull + 12345;
}

void Processor::start_cta(Cta& c, uint64_t cluster) {
    const uint3 g = launch.grid;
    unsigned count = launch.block.x * launch.block.y * launch.block.z, along = g.x / launch.cluster;
    c.block = {(unsigned)(cluster % along) * launch.cluster + c.rank, (unsigned)(cluster / along % g.y), (unsigned)(cluster / along / g.y)};
    c.live = count;
    live += count;
    if (launch.shared_bytes) memset(c.shared, 0xff, (size_t)(c.area + AREA - c.shared));
    for (unsigned i = 0; i < count; i++) threads[c.first + i].fiber = nullptr;
    for (unsigned i = 0; i < count; i += 32) {
        unsigned w = warp_count++;
        warps[w].live = warps[w].ready = count - i >= 32 ? ~0u : (1u << (count - i)) - 1;
        warps[w].arrived = 0;
        yielded[w] = parked[w] = cluster_waiting[w] = 0;
        ready_warps |= 1u << w;
    }
    for (unsigned left = c.used_meetings; left; left &= left - 1) c.meetings[__builtin_ctz(left)].arrived = 0;
    c.used_meetings = 0;
}

// Writes between the end of the dynamic shared memory and the inaccessible page. And static shared memory: a library has one
// copy of it, which the blocks of a cluster would share.
void Processor::check_shared(const Cta& c) {
    if (launch.cluster > 1 && !launch.kernel->all_poison()) fault("%s", STATIC_IN_CLUSTER);
    if (!launch.shared_bytes) return;
    for (char* p = c.shared + launch.shared_bytes; p < c.area + AREA; p++)
        if ((unsigned char)*p != 0xff)
            fault("wrote %zu bytes behind the %u bytes of dynamic shared memory", (size_t)(p - c.shared) - launch.shared_bytes + 1, launch.shared_bytes);
}

void* dynamic_shared() {
    if (!processor->launch.shared_bytes) fault("dynamic shared memory in a launch without any");
    return processor->running->cta->shared;
}
unsigned shared_address(const void* p) {
    const Cta& c = *processor->running->cta;
    if ((char*)p < c.shared || (char*)p >= c.area + AREA) fault("an address outside of dynamic shared memory is used as a shared address");
    return (unsigned)((char*)p - c.shared);
}
void* shared_pointer(unsigned address) {
    if (address >= processor->launch.shared_bytes) fault("shared address %u: the block has %u bytes", address, processor->launch.shared_bytes);
    return processor->running->cta->shared + address;
}

// ------------------------------------------------------------------------------------------------------- faults
static void tell(Processor& p, const char* text) {
    const Launch& l = p.launch;
    const uint3 b = l.kernel->here->block;
    const uint3 t = p.running ? p.running->index : uint3{};
    snprintf(p.message, sizeof p.message, "kernel %s: %s by block (%u,%u,%u) thread (%u,%u,%u)", l.kernel->name.c_str(), text, b.x, b.y, b.z, t.x, t.y, t.z);
}
void fault(const char* format, ...) {
    char text[400];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    Processor* p = processor;
    if (!p || !p->in_kernel) {
        fprintf(stderr, "kamacite emulator: %s\n", text);
        abort();
    }
    tell(*p, text);
    siglongjmp(p->escape, 1);
}

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
static constexpr int SIGNALS = sizeof signals / sizeof *signals;
static struct sigaction previous[SIGNALS];
static void on_signal(int signal, siginfo_t* info, void* context) {
    Processor* p = processor;
    if (p && p->in_kernel) {
        char text[300];
        bool memory = signal == SIGSEGV || signal == SIGBUS;
        if (signal == SIGFPE) snprintf(text, sizeof text, "integer division by zero");
        else if (!memory) snprintf(text, sizeof text, "index outside of an array, or misaligned address");
        else describe_address(info->si_addr, text, sizeof text);
        tell(*p, text);
        p->illegal_address = signal != SIGFPE; // an index, too, is an address on a GPU
        siglongjmp(p->escape, 1);
    }
    int i = 0; // not ours: as it was before
    while (signals[i] != signal) i++;
    struct sigaction& old = previous[i];
    if (old.sa_flags & SA_SIGINFO) return old.sa_sigaction(signal, info, context);
    if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) return old.sa_handler(signal);
    ::signal(signal, SIG_DFL); // happens again on return
}
// The handler needs a stack of its own: a fiber's may be what overflowed.
void install_fault_handler() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action = {};
        action.sa_sigaction = on_signal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &action, &previous[i]);
    });
    static thread_local std::unique_ptr<char[]> own;
    static thread_local bool checked = false;
    if (checked) return;
    checked = true;
    stack_t stack = {};
    if (sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_DISABLE)) {
        own.reset(new char[65536]);
        stack.ss_sp = own.get();
        stack.ss_size = 65536;
        stack.ss_flags = 0;
        sigaltstack(&stack, nullptr);
    }
}

} // namespace emulator
