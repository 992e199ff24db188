// Which thread of the cluster runs next, and where threads meet.
#include "processor.h"

namespace emulator {

// The running thread waits: go to the next ready one. Returns when somebody made this thread ready.
void Processor::wait(const char* what, int line) {
    FullThread& self = *running;
    self.waits_in = what;
    self.waits_line = line;
    FullThread* other = next();
    if (!other) deadlock();
    if (other != &self) {
        Fiber* mine = self.fiber;
        if (other->fiber) {
            enter(*other);
            fiber = other->fiber;
        } else {
            starting = other;
            fiber = take_fiber();
        }
        kamacite_emulator_switch(&mine->stack_pointer, fiber->stack_pointer);
    }
    self.waits_in = nullptr;
}

void Processor::enter(FullThread& thread) {
    running = &thread;
    Here& here = *launch.kernel->here;
    here.thread = &thread;
    if (launch.cluster > 1) here.block = thread.cta->block;
}

// The number of one of the bits that are set.
static unsigned some_bit(unsigned set, unsigned random) {
    unsigned skip = random % (unsigned)__builtin_popcount(set);
#ifdef __BMI2__
    return (unsigned)__builtin_ctz(__builtin_ia32_pdep_si(1u << skip, set));
#else
    while (skip--) set &= set - 1;
    return (unsigned)__builtin_ctz(set);
#endif
}

// Takes the next thread out of the ready set. Stays in a warp as long as it can, so that warps run ahead of each other.
FullThread* Processor::next() {
    if (!ready_warps) {
        while (!ready_warps && land_any()) {}
        if (!ready_warps) wake_all(yielded);
        if (!ready_warps) return nullptr;
        if (++spins > 1u << 22) fault("threads spin without end: what they wait for never happens within this block");
    }
    unsigned lane;
    if (order == Order::Random) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        warp = some_bit(ready_warps, (unsigned)(random >> 33));
        lane = some_bit(warps[warp].ready, (unsigned)(random >> 48));
    } else {
        bool reverse = order == Order::Reverse;
        if (!(ready_warps >> warp & 1)) warp = (unsigned)(reverse ? 31 - __builtin_clz(ready_warps) : __builtin_ctz(ready_warps));
        unsigned lanes = warps[warp].ready;
        lane = (unsigned)(reverse ? 31 - __builtin_clz(lanes) : __builtin_ctz(lanes));
    }
    if (!(warps[warp].ready &= ~(1u << lane))) ready_warps &= ~(1u << warp);
    return &threads[warp * 32 + lane];
}

void Processor::wake_all(unsigned* sets) {
    for (unsigned w = 0; w < warp_count; w++) {
        if (sets[w]) wake(w, sets[w]);
        sets[w] = 0;
    }
}

void Processor::release(Meeting& m) {
    for (unsigned left = m.warps; left; left &= left - 1) {
        unsigned w = (unsigned)__builtin_ctz(left);
        wake(w, m.lanes[w]);
        m.lanes[w] = 0;
    }
    m.arrived = m.warps = 0;
}

// A thread returned: those that wait for everybody wait for one less.
void Processor::finish(FullThread& thread) {
    if (!thread.copies.empty()) thread.copies.clear();
    if (!thread.copy_groups.empty()) thread.copy_groups.clear();
    Cta& cta = *thread.cta;
    if (!thread.stores.empty()) cta.stores.insert(cta.stores.end(), thread.stores.begin(), thread.stores.end());
    thread.stores.clear(), thread.store_groups.clear();
    Warp& w = *thread.warp;
    w.live &= ~(1u << thread.lane);
    live--;
    if (!(thread.arrived && thread.arrival == cluster_phase) && !--cluster_missing) pass_cluster_barrier();
    thread.arrived = false;
    if (w.arrived && w.arrived == w.live) {
        w.run(w);
        wake(thread.linear / 32, w.arrived);
        w.arrived = 0;
    }
    Meeting& all = cta.meetings[0];
    if (!--cta.live) finish_cta(cta);
    else if (all.arrived && all.arrived == cta.live) release(all);
}

void Processor::deadlock() {
    if (launch.cluster > 1 && !launch.kernel->all_poison()) fault("%s", STATIC_IN_CLUSTER);
    char text[400];
    size_t length = 0;
    unsigned count = warp_count * 32, groups = 0;
    bool told[Limits::threads] = {};
    for (unsigned i = 0; i < count && groups < 4; i++) {
        FullThread& t = threads[i];
        if (told[i] || !t.waits_in || !(t.warp->live >> t.lane & 1)) continue;
        unsigned same = 0;
        for (unsigned j = i; j < count; j++) {
            FullThread& o = threads[j];
            if (o.waits_in != t.waits_in || o.waits_line != t.waits_line || !(o.warp->live >> o.lane & 1)) continue;
            told[j] = true;
            same++;
        }
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%u in %s at line %d", groups ? ", " : "", same, t.waits_in, t.waits_line);
        if (length >= sizeof text) break;
        groups++;
    }
    fault("divergent barrier: %u of %u threads wait for ever: %s", live, count, text);
}

void collective(const char* what, int line, unsigned mask, void* slot, void (*run)(Warp&)) {
    Processor& p = *processor;
    FullThread& self = *p.running;
    Warp& w = *self.warp;
    unsigned bit = 1u << self.lane;
    if ((mask & w.live) != w.live || !(mask & bit))
        fault("%s at line %d with partial mask %08x: lanes %08x have not returned", what, line, mask, w.live);
    if (!w.arrived) {
        w.run = run;
        w.line = line;
    } else if (w.run != run || w.line != line) {
        fault("divergent warp: %s at line %d meets lanes %08x, which wait at line %d", what, line, w.arrived, w.line);
    }
    w.slot[self.lane] = slot;
    w.arrived |= bit;
    if (w.arrived == w.live) {
        run(w);
        unsigned others = w.arrived & ~bit;
        w.arrived = 0;
        if (others) p.wake(self.linear / 32, others);
    } else {
        p.wait(what, line);
    }
}

void barrier(unsigned id, unsigned count, bool wait, int line) {
    Processor& p = *processor;
    FullThread& self = *p.running;
    if (id >= Limits::barriers) fault("barrier %u at line %d: there are %u", id, line, Limits::barriers);
    if (count % 32) fault("barrier %u at line %d: %u threads are no whole number of warps", id, line, count);
    Cta& cta = *self.cta;
    Meeting& m = cta.meetings[id];
    cta.used_meetings |= 1u << id;
    if (id == 0 && m.warps && m.line != line)
        fault("divergent barrier: __syncthreads at line %d, other threads wait at line %d", line, m.line);
    m.line = line;
    unsigned need = count ? count : cta.live;
    if (++m.arrived > need) fault("barrier %u at line %d: %u arrivals, %u expected", id, line, m.arrived, need);
    if (m.arrived == need) return p.release(m);
    if (!wait) return;
    unsigned w = self.linear / 32;
    m.warps |= 1u << w;
    m.lanes[w] |= 1u << self.lane;
    p.wait(id ? "a named barrier" : "__syncthreads", line);
}

// ------------------------------------------------------------------------------------------------ barrier.cluster
unsigned cluster_rank() { return processor->running->cta->rank; }
unsigned cluster_size() { return processor->launch.cluster; }

// Everybody has arrived or returned.
void Processor::pass_cluster_barrier() {
    cluster_phase++;
    cluster_missing = live;
    wake_all(cluster_waiting);
}
void cluster_arrive(int line) {
    Processor& p = *processor;
    FullThread& self = *p.running;
    if (self.arrived) fault("barrier.cluster.arrive at line %d: the thread has not waited since it last arrived", line);
    self.arrived = true;
    self.arrival = p.cluster_phase;
    if (!--p.cluster_missing) p.pass_cluster_barrier();
}
void cluster_wait(int line) {
    Processor& p = *processor;
    FullThread& self = *p.running;
    if (!self.arrived) fault("barrier.cluster.wait at line %d without barrier.cluster.arrive", line);
    self.arrived = false;
    if (p.cluster_phase != self.arrival) return;
    p.cluster_waiting[self.linear / 32] |= 1u << self.lane;
    p.wait("barrier.cluster", line);
}

void yield() {
    Processor& p = *processor;
    p.yielded[p.running->linear / 32] |= 1u << p.running->lane;
    p.wait("__nanosleep", 0);
}

} // namespace emulator
