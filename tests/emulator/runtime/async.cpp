// cp.async, and what sm_90 does asynchronously: memory barriers with the tiles that arrive at them, and tiles on the way back.
#include "device.h"
#include "../include/async.h"
#include "../include/hopper.h"
#include "tensor_map.h"

namespace emulator {

void check_shared(const void* p, size_t bytes, const char* what, int line);

// Whether asynchronous work begun now is done at once or as late as it may be.
static bool early(Processor& p) {
    if (p.order != Order::Random) return p.order == Order::Reverse;
    p.random = p.random * 6364136223846793005ull + 1442695040888963407ull;
    return p.random >> 63;
}

static void land(const Copy& c) {
    memcpy(c.to, c.from, c.filled);
    memset((char*)c.to + c.filled, 0, c.bytes - c.filled);
}

void cp_async(void* to, const void* from, unsigned bytes, unsigned valid, int line) {
    if (bytes != 4 && bytes != 8 && bytes != 16) fault("cp.async of %u bytes at line %d", bytes, line);
    if (valid > bytes) fault("cp.async at line %d: %u valid bytes of %u", line, valid, bytes);
    if ((uintptr_t)to % bytes || (valid && (uintptr_t)from % bytes)) fault("misaligned cp.async of %u bytes at line %d", bytes, line);
    check_shared(to, bytes, "cp.async", line);
    Copy c = {to, from, bytes, valid};
    if (early(*processor)) land(c);
    else processor->running->copies.push_back(c);
}
void cp_commit() {
    FullThread& t = *processor->running;
    t.copy_groups.push_back(t.copies.size());
}
void cp_wait(unsigned left) {
    FullThread& t = *processor->running;
    for (size_t i = 0; !left && i < processor->arrivals.size();)
        if (processor->arrivals[i].thread == &t) processor->land_arrival(i);
        else i++;
    if (t.copy_groups.size() <= left) return;
    size_t groups = t.copy_groups.size() - left, copies = t.copy_groups[groups - 1];
    for (size_t i = 0; i < copies; i++) land(t.copies[i]);
    t.copies.erase(t.copies.begin(), t.copies.begin() + (long)copies);
    t.copy_groups.erase(t.copy_groups.begin(), t.copy_groups.begin() + (long)groups);
    for (size_t& end : t.copy_groups) end -= copies;
}
void cp_wait_all() {
    cp_commit();
    cp_wait(0);
}

// ----------------------------------------------------------------------------------------------------------- mbarrier
// In the 8 bytes of the real one. The mark tells an initialised barrier from poison.
struct MemoryBarrier {
    unsigned phase : 1, arrivals : 11, pending : 11, mark : 9;
    int bytes; // still to come
};
static constexpr unsigned MARK = 0x155;

static MemoryBarrier& checked(void* p) {
    MemoryBarrier& b = *(MemoryBarrier*)p;
    if ((uintptr_t)p % 8) fault("misaligned mbarrier");
    if (b.mark != MARK) fault("mbarrier without initialisation");
    return b;
}
static void complete(MemoryBarrier& b) {
    if (b.pending || b.bytes) return;
    b.phase ^= 1;
    b.pending = b.arrivals;
    processor->wake_all(processor->parked);
}
// A tile may land before the barrier expects its bytes: their number is negative then.
void Processor::land(size_t i) {
    Tile t = tiles[i];
    tiles.erase(tiles.begin() + (long)i);
    MemoryBarrier& b = checked(t.barrier);
    b.bytes -= (int)((const TensorMap*)t.map)->load(t.to, t.at);
    complete(b);
}
void Processor::land_arrival(size_t i) {
    Arrival a = std::move(arrivals[i]);
    arrivals.erase(arrivals.begin() + (long)i);
    for (const Copy& c : a.copies) emulator::land(c);
    mbarrier_arrive(a.barrier);
}
// When all threads wait, what is under way arrives, in any order.
bool Processor::land_any() {
    size_t all = tiles.size() + arrivals.size(), i = 0;
    if (!all) return false;
    if (order == Order::Random) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        i = (size_t)(random >> 33) % all;
    }
    if (i < tiles.size()) land(i);
    else land_arrival(i - tiles.size());
    return true;
}

// The last thread of the block has returned.
void Processor::finish_cta(Cta& cta) {
    for (const Tile& t : tiles)
        if (t.cta == &cta) fault("block %u of the cluster returned while TMA brings a tile into its shared memory", cta.rank);
    for (const Store& s : cta.stores) ((const TensorMap*)s.map)->store(s.from, s.at);
    cta.stores.clear();
}

// Where the same byte lies in the shared memory of a block of the cluster.
static char* counterpart(const void* p, unsigned rank, const char* what, int line) {
    Processor& s = *processor;
    if (rank >= s.launch.cluster) fault("%s at line %d: block %u of a cluster of %u", what, line, rank, s.launch.cluster);
    Cta& c = s.ctas[rank];
    if (!c.live) fault("%s at line %d: block %u of the cluster has returned", what, line, rank);
    return (char*)c.shared + shared_address(p);
}

void mbarrier_init(void* p, unsigned arrivals) {
    if ((uintptr_t)p % 8) fault("misaligned mbarrier");
    const Kernel& k = *processor->launch.kernel;
    if (processor->launch.cluster > 1 && p >= k.shared_begin && p < k.shared_end) fault("%s", STATIC_IN_CLUSTER);
    if (!arrivals || arrivals > 1024) fault("mbarrier for %u arrivals", arrivals);
    MemoryBarrier& b = *(MemoryBarrier*)p;
    b.phase = 0, b.arrivals = b.pending = arrivals & 2047, b.mark = MARK, b.bytes = 0;
}
void mbarrier_expect(void* p, unsigned bytes) { checked(p).bytes += (int)bytes; }
void mbarrier_arrive(void* p, unsigned expected_bytes) {
    MemoryBarrier& b = checked(p);
    if (!b.pending) fault("mbarrier: too many arrivals");
    b.bytes += (int)expected_bytes;
    b.pending--;
    complete(b);
}
// The copies are the barrier's from here on: its phase may wait for them, and so may the thread.
void cp_async_arrive(void* p) {
    checked(p);
    Processor& s = *processor;
    FullThread& t = *s.running;
    s.arrivals.push_back({&t, p, std::move(t.copies)});
    t.copies.clear();
    for (size_t& end : t.copy_groups) end = 0;
    if (early(s)) s.land_arrival(s.arrivals.size() - 1);
}
void mbarrier_arrive_cluster(void* p, unsigned rank, int line) { mbarrier_arrive(counterpart(p, rank, "mbarrier.arrive", line)); }
void mbarrier_wait(void* p, unsigned parity, int line) {
    MemoryBarrier& b = checked(p);
    Processor& s = *processor;
    while (b.phase == (parity & 1)) {
        bool landed = false;
        for (size_t i = 0; i < s.tiles.size() && !landed; i++)
            if (s.tiles[i].barrier == p) {
                s.land(i);
                landed = true;
            }
        for (size_t i = 0; i < s.arrivals.size() && !landed; i++)
            if (s.arrivals[i].barrier == p) {
                s.land_arrival(i);
                landed = true;
            }
        if (landed) continue;
        s.parked[s.running->linear / 32] |= 1u << s.running->lane;
        s.wait("an mbarrier", line);
        checked(p);
    }
}

// ---------------------------------------------------------------------------------------------------------------- TMA
static void bring(Tile t, const int* at, int rank) {
    checked(t.barrier);
    for (int i = 0; i < rank; i++) t.at[i] = at[i];
    Processor& p = *processor;
    p.tiles.push_back(t);
    if (early(p)) p.land(p.tiles.size() - 1);
}
void tma_load(void* to, const void* map, void* barrier, const int* at, int rank, int line) {
    const TensorMap& m = *(const TensorMap*)map;
    m.check(rank, to, line);
    check_shared(to, m.bytes(), "TMA", line);
    bring({to, map, barrier, processor->running->cta, {}}, at, rank);
}
// The tile comes from memory once and lands in each block by itself.
void tma_load_multicast(void* to, const void* map, void* barrier, unsigned short mask, const int* at, int rank, int line) {
    const TensorMap& m = *(const TensorMap*)map;
    m.check(rank, to, line);
    check_shared(to, m.bytes(), "TMA", line);
    if (!mask) fault("TMA multicast at line %d to no block", line);
    for (unsigned c = 0; mask >> c; c++) {
        if (!(mask >> c & 1)) continue;
        char* there = counterpart(to, c, "TMA multicast", line);
        bring({there, map, counterpart(barrier, c, "TMA multicast", line), &processor->ctas[c], {}}, at, rank);
    }
}

void tma_store(const void* map, const void* from, const int* at, int rank, int line) {
    const TensorMap& m = *(const TensorMap*)map;
    m.check(rank, from, line);
    check_shared(from, m.bytes(), "TMA", line);
    Store s = {map, from, {}};
    for (int i = 0; i < rank; i++) s.at[i] = at[i];
    if (early(*processor)) m.store(from, s.at);
    else processor->running->stores.push_back(s);
}
void tma_store_commit() {
    FullThread& t = *processor->running;
    t.store_groups.push_back(t.stores.size());
}
void tma_store_wait_read(unsigned left) {
    FullThread& t = *processor->running;
    if (t.store_groups.size() <= left) return;
    size_t groups = t.store_groups.size() - left, stores = t.store_groups[groups - 1];
    for (size_t i = 0; i < stores; i++) ((const TensorMap*)t.stores[i].map)->store(t.stores[i].from, t.stores[i].at);
    t.stores.erase(t.stores.begin(), t.stores.begin() + (long)stores);
    t.store_groups.erase(t.store_groups.begin(), t.store_groups.begin() + (long)groups);
    for (size_t& end : t.store_groups) end -= stores;
}

} // namespace emulator
