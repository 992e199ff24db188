// The driver's functions on streams, events, captures and graphs.
#include "device.h"

using namespace emulator;
#define READY if (Result not_ready = ready()) return not_ready

extern "C" {

Result cuStreamCreate(Stream** s, unsigned flags) {
    READY;
    *s = new Stream;
    (*s)->flags = flags;
    add_stream(*s);
    return SUCCESS;
}
Result cuStreamCreateWithPriority(Stream** s, unsigned flags, int) { return cuStreamCreate(s, flags); }
Result cuStreamDestroy_v2(Stream* s) {
    remove_stream(s);
    delete s;
    return SUCCESS;
}
Result cuStreamSynchronize(Stream* s) {
    READY;
    if (Result r = forbid_capture(s)) return r;
    counts.synchronisations++;
    return s ? flush(s) : flush_all();
}
Result cuStreamQuery(Stream* s) {
    READY;
    if (Result r = forbid_capture(s)) return r;
    return !s || s->queue.empty() || advance(*mark(s)) || s->queue.empty() ? SUCCESS : NOT_READY;
}
Result cuStreamAttachMemAsync(Stream*, Address, size_t, unsigned) { return NOT_SUPPORTED; }
Result cuLaunchHostFunc(Stream* s, void (*f)(void*), void* data) {
    READY;
    return submit(s, [=] {
        f(data);
        return SUCCESS;
    });
}

// -------------------------------------------------------------------------------------------------------------- events
Result cuEventCreate(Event** e, unsigned) {
    READY;
    *e = new Event;
    return SUCCESS;
}
Result cuEventDestroy_v2(Event* e) {
    delete e;
    return SUCCESS;
}
Result cuEventRecord(Event* e, Stream* s) {
    READY;
    e->capture = s ? s->capture : nullptr; // the event is a point in that graph from now on
    auto marker = e->marker = mark(s);
    return submit(s, [marker] {
        marker->milliseconds = now_milliseconds();
        marker->done = true;
        return SUCCESS;
    });
}
Result cuEventRecordWithFlags(Event* e, Stream* s, unsigned) { return cuEventRecord(e, s); }
Result cuEventSynchronize(Event* e) {
    READY;
    if (e->capture) return CAPTURE_UNSUPPORTED;
    counts.synchronisations++;
    return e->marker ? wait_for(*e->marker) : SUCCESS;
}
Result cuEventQuery(Event* e) {
    READY;
    if (e->capture) return CAPTURE_UNSUPPORTED;
    return !e->marker || advance(*e->marker) ? SUCCESS : NOT_READY;
}
Result cuEventElapsedTime(float* t, Event* a, Event* b) {
    READY;
    if (!a->marker || !b->marker) return INVALID_VALUE;
    if (!a->marker->done || !b->marker->done) return NOT_READY;
    *t = (float)(b->marker->milliseconds - a->marker->milliseconds);
    return SUCCESS;
}
Result cuEventElapsedTime_v2(float* t, Event* a, Event* b) { return cuEventElapsedTime(t, a, b); }
// A stream that waits for a captured one joins the capture.
Result cuStreamWaitEvent(Stream* s, Event* e, unsigned) {
    READY;
    if (e->capture) {
        if (!captured(e->capture)) return CAPTURE_ISOLATION;
        if (s && !s->capture) s->capture = e->capture;
        return SUCCESS;
    }
    auto marker = e->marker;
    if (!marker || marker->done) return SUCCESS;
    return submit(s, [marker] { return wait_for(*marker); });
}

// ---------------------------------------------------------------------------------------------------- captures, graphs
Result cuStreamBeginCapture_v2(Stream* s, int mode) {
    READY;
    if (!s || s->capture) return CAPTURE_UNSUPPORTED; // the default stream cannot be captured
    s->capture = new Graph;
    s->capture->mode = mode;
    s->origin = true;
    if (mode != 2) captures_of_thread++; // 2: relaxed
    return SUCCESS;
}
Result cuStreamEndCapture(Stream* s, Graph** out) {
    *out = nullptr;
    if (!s || !s->capture || !s->origin) return CAPTURE_UNMATCHED;
    Graph* g = s->capture;
    leave_capture(g);
    if (g->mode != 2) captures_of_thread--;
    if (g->invalid) {
        delete g;
        return CAPTURE_INVALIDATED;
    }
    *out = g;
    return SUCCESS;
}
Result cuStreamIsCapturing(Stream* s, int* status) {
    *status = s && s->capture ? s->capture->invalid ? 2 : 1 : 0;
    return SUCCESS;
}
Result cuThreadExchangeStreamCaptureMode(int* mode) {
    *mode = 0;
    return SUCCESS;
}
Result cuGraphInstantiateWithFlags(Graph** exec, Graph* g, unsigned long long) {
    READY;
    *exec = new Graph(*g);
    return SUCCESS;
}
Result cuGraphGetNodes(Graph* g, void**, size_t* count) {
    *count = g->work.size();
    return SUCCESS;
}
Result cuGraphUpload(Graph*, Stream*) { return SUCCESS; }
Result cuGraphExecUpdate_v2(Graph*, Graph*, void*) { return GRAPH_UPDATE_FAILURE; }
Result cuGraphLaunch(Graph* exec, Stream* s) {
    READY;
    if (Result r = forbid_capture(s)) return r;
    return submit(s, [all = exec->work]() -> Result {
        counts.graph_launches++;
        for (auto& work : all) {
            counts.nodes_replayed++;
            if (Result r = work()) return r;
        }
        return SUCCESS;
    });
}
Result cuGraphDestroy(Graph* g) {
    delete g;
    return SUCCESS;
}
Result cuGraphExecDestroy(Graph* g) {
    delete g;
    return SUCCESS;
}
Result cuProfilerStart() { return SUCCESS; }
Result cuProfilerStop() { return SUCCESS; }
}
