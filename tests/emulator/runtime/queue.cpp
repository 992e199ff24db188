// When submitted work runs: at once, or (KAMACITE_EMULATED_LATE=1) as late as it may, when somebody waits for it. The second
// shows a host that reads a result, refills a pinned buffer or frees memory too early.
#include "device.h"
#include <cstdlib>
#include <set>

namespace emulator {

static std::atomic<int> chosen{-1};
bool late() {
    if (chosen < 0) {
        const char* v = getenv("KAMACITE_EMULATED_LATE");
        chosen = v && *v && strcmp(v, "0") ? 1 : 0;
    }
    return chosen == 1;
}

// One lock for all queues: a stream that waits for another one runs that one's work.
static std::recursive_mutex mutex;
static std::set<Stream*> streams;
static std::map<Address, size_t> pinned;

void add_stream(Stream* s) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    streams.insert(s);
}
void remove_stream(Stream* s) {
    flush(s);
    std::lock_guard<std::recursive_mutex> lock(mutex);
    streams.erase(s);
}

static Result run_first(Stream* s) {
    Work work = std::move(s->queue.front());
    s->queue.pop_front();
    return work();
}

Result flush(Stream* s) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    Result first = SUCCESS;
    while (s && !s->queue.empty())
        if (Result r = run_first(s)) first = first ? first : r;
    return first;
}
Result flush_all() {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    Result first = SUCCESS;
    for (Stream* s : streams)
        if (Result r = flush(s)) first = first ? first : r;
    return first;
}

bool captured(Graph* g) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    for (Stream* s : streams)
        if (s->capture == g) return true;
    return false;
}
void leave_capture(Graph* g) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    for (Stream* s : streams)
        if (s->capture == g) s->capture = nullptr, s->origin = false;
}

Result submit(Stream* s, Work work) {
    if (s && s->capture) {
        s->capture->work.push_back(std::move(work));
        return SUCCESS;
    }
    if (s && late()) {
        std::lock_guard<std::recursive_mutex> lock(mutex);
        s->queue.push_back(std::move(work));
        return SUCCESS;
    }
    if (!s && late()) { // the default stream waits for all but the non-blocking ones
        std::lock_guard<std::recursive_mutex> lock(mutex);
        for (Stream* other : streams)
            if (!(other->flags & 1))
                if (Result r = flush(other)) return r;
    }
    return work();
}

std::shared_ptr<Marker> mark(Stream* s) {
    auto m = std::make_shared<Marker>();
    m->stream = s;
    return m;
}
bool advance(Marker& m) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    if (!m.done && !m.stream->queue.empty()) run_first(m.stream);
    return m.done;
}
Result wait_for(Marker& m) {
    while (!advance(m)) {}
    return broken;
}

// ------------------------------------------------------------------------------------------------- pinned host memory
void pin(void* p, size_t bytes) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    pinned[(Address)p] = bytes;
}
void unpin(void* p) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    pinned.erase((Address)p);
}
bool is_pinned(const void* p) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    auto it = pinned.upper_bound((Address)p);
    if (it == pinned.begin()) return false;
    --it;
    return (Address)p < it->first + it->second;
}

} // namespace emulator

extern "C" void kamacite_emulator_late(int on) {
    emulator::flush_all();
    emulator::chosen = on ? 1 : 0;
}
