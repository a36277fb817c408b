/* Streams, events and graphs.  A stream is a queue: what is submitted runs at once as far as it can
 * (what waits for another rank may have to be asked again later), or, with
 * SPECREJ_EMULATION_LAZY=1, only when the host waits or asks, so that a missing wait shows.
 * A capture records what is submitted; a graph's launch submits copies of the records. */
#include "device.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <sched.h>
#include <set>
#include <vector>

struct capture {
    cudaStream_t origin;
    cudaStreamCaptureMode mode;
    std::vector<gpu::work> nodes;
    std::set<cudaStream_t> streams; /* that take part */
    bool is_invalid;
};

struct CUstream_st {
    bool is_blocking; /* keeps order with the legacy default stream */
    std::deque<gpu::work> queue;
    bool is_advancing;
    struct capture *capture;
    bool is_unjoined; /* captured work that the origin has not waited for */
};

/* One recording of an event. */
struct recording {
    cudaStream_t stream;
    struct capture *capture;
    bool is_done;
    std::chrono::steady_clock::time_point at;
};

struct CUevent_st {
    bool has_time;
    std::shared_ptr<recording> last; /* none: never recorded */
};

struct CUgraph_st {
    std::vector<gpu::work> nodes;
};

struct CUgraphExec_st {
    std::vector<gpu::work> nodes;
};

namespace
{

CUstream_st legacy_stream = {true, {}, false, nullptr, false};
std::set<cudaStream_t> streams; /* all others */
std::vector<struct capture *> captures;

bool is_lazy()
{
    return gpu::environment_number("SPECREJ_EMULATION_LAZY", 0) != 0;
}

/* NULL: no such stream. */
cudaStream_t resolve(cudaStream_t stream)
{
    if (!stream) return &legacy_stream;
    return streams.count(stream) ? stream : nullptr;
}

/* Runs the first of the queue; false: nothing could be finished. */
bool step(cudaStream_t stream)
{
    if (stream->is_advancing || stream->queue.empty()) return false;
    stream->is_advancing = true;
    bool is_done = stream->queue.front()();
    if (is_done) stream->queue.pop_front();
    stream->is_advancing = false;
    return is_done;
}

void advance(cudaStream_t stream)
{
    while (step(stream)) {
    }
}

/* Runs all that can run anywhere: another rank may wait for it. */
void advance_all()
{
    advance(&legacy_stream);
    for (cudaStream_t stream : streams) advance(stream);
}

std::shared_ptr<recording> record(cudaStream_t stream)
{
    auto r = std::make_shared<recording>();
    r->stream = stream;
    stream->queue.push_back([r] {
        r->is_done = true;
        r->at = std::chrono::steady_clock::now();
        return true;
    });
    return r;
}

void wait_for(cudaStream_t stream, std::shared_ptr<recording> r)
{
    stream->queue.push_back([r] {
        if (!r->is_done) advance(r->stream);
        return r->is_done;
    });
}

/* Work of the legacy stream comes after all of blocking streams, and theirs after its. */
void keep_legacy_order(cudaStream_t stream)
{
    if (stream != &legacy_stream) {
        if (stream->is_blocking && !legacy_stream.queue.empty())
            wait_for(stream, record(&legacy_stream));
        return;
    }
    for (cudaStream_t other : streams)
        if (other->is_blocking && !other->queue.empty()) wait_for(stream, record(other));
}

/* Errors of using a stream while it, or one that it keeps order with, is captured. */
cudaError_t check_capture(cudaStream_t stream)
{
    if (stream->capture)
        return stream->capture->is_invalid ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
    if (stream != &legacy_stream) return cudaSuccess;
    for (struct capture *c : captures) {
        if (!c->origin->is_blocking || c->mode == cudaStreamCaptureModeRelaxed) continue;
        c->is_invalid = true;
        return cudaErrorStreamCaptureImplicit;
    }
    return cudaSuccess;
}

/* The host waits for `stream` or asks after it. */
cudaError_t check_wait(cudaStream_t stream)
{
    cudaError_t error = check_capture(stream);
    if (error == cudaSuccess && stream->capture) {
        stream->capture->is_invalid = true;
        error = cudaErrorStreamCaptureUnsupported;
    }
    return error;
}

bool is_active(const struct capture *c)
{
    return std::find(captures.begin(), captures.end(), c) != captures.end();
}

/* The stream joins the capture that the event was recorded in, or back. */
cudaError_t wait_captured(cudaStream_t stream, const recording &r)
{
    if (!r.capture) {
        stream->capture->is_invalid = true;
        return cudaErrorStreamCaptureIsolation;
    }
    if (!is_active(r.capture)) return cudaErrorCapturedEvent;
    if (stream->capture && stream->capture != r.capture) return cudaErrorStreamCaptureMerge;
    stream->capture = r.capture;
    r.capture->streams.insert(stream);
    r.stream->is_unjoined = false;
    return cudaSuccess;
}

cudaError_t create_stream(cudaStream_t *stream, unsigned int flags)
{
    *stream = new CUstream_st{!(flags & cudaStreamNonBlocking), {}, false, nullptr, false};
    streams.insert(*stream);
    return cudaSuccess;
}

/* Of an event that the host waits for or asks after. */
cudaError_t check_event(cudaEvent_t event)
{
    if (!event) return cudaErrorInvalidResourceHandle;
    if (!event->last || !event->last->capture) return cudaSuccess;
    if (is_active(event->last->capture)) event->last->capture->is_invalid = true;
    return cudaErrorCapturedEvent;
}

} // namespace

namespace gpu
{

cudaError_t submit(cudaStream_t handle, work w)
{
    cudaStream_t stream = resolve(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    cudaError_t error = check_capture(stream);
    if (error != cudaSuccess) return error;
    if (stream->capture) {
        stream->capture->nodes.push_back(std::move(w));
        stream->is_unjoined = stream != stream->capture->origin;
        return cudaSuccess;
    }
    keep_legacy_order(stream);
    stream->queue.push_back(std::move(w));
    if (!is_lazy()) advance(stream);
    return cudaSuccess;
}

void finish(cudaStream_t handle)
{
    cudaStream_t stream = resolve(handle);
    for (advance(stream); !stream->queue.empty(); advance(stream)) {
        advance_all();
        sched_yield();
    }
}

void finish_all()
{
    std::vector<cudaStream_t> all(streams.begin(), streams.end());
    finish(nullptr);
    for (cudaStream_t stream : all) finish(stream);
}

bool is_captured(cudaStream_t handle)
{
    cudaStream_t stream = resolve(handle);
    return stream && stream->capture;
}

bool breaks_capture()
{
    bool is_broken = false;
    for (struct capture *c : captures) {
        if (c->mode == cudaStreamCaptureModeRelaxed) continue;
        c->is_invalid = is_broken = true;
    }
    return is_broken;
}

} // namespace gpu

using gpu::report;

/* ---- streams ---- */

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return create_stream(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags)
{
    return create_stream(stream, flags);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags, int)
{
    return create_stream(stream, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = *greatest = 0;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    if (!stream || !streams.count(stream)) return report(cudaErrorInvalidResourceHandle);
    gpu::finish(stream);
    streams.erase(stream);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle)
{
    cudaStream_t stream = resolve(handle);
    if (!stream) return report(cudaErrorInvalidResourceHandle);
    cudaError_t error = check_wait(stream);
    if (error != cudaSuccess) return report(error);
    keep_legacy_order(stream);
    gpu::finish(handle);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t handle)
{
    cudaStream_t stream = resolve(handle);
    if (!stream) return report(cudaErrorInvalidResourceHandle);
    cudaError_t error = check_wait(stream);
    if (error != cudaSuccess) return report(error);
    if (is_lazy())
        step(stream); /* a little at each question */
    else
        advance_all();
    return report(stream->queue.empty() ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaDeviceSynchronize(void)
{
    if (!captures.empty()) {
        for (struct capture *c : captures) c->is_invalid = true;
        return report(cudaErrorStreamCaptureUnsupported);
    }
    gpu::finish_all();
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned int)
{
    cudaStream_t stream = resolve(handle);
    if (!stream || !event) return report(cudaErrorInvalidResourceHandle);
    cudaError_t error = check_capture(stream);
    if (error != cudaSuccess) return report(error);
    if (!event->last) return cudaSuccess;
    if (event->last->capture || stream->capture) return report(wait_captured(stream, *event->last));
    wait_for(stream, event->last);
    if (!is_lazy()) advance(stream);
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void *arg)
{
    return report(gpu::submit(stream, [=] {
        fn(arg);
        return true;
    }));
}

/* ---- events ---- */

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    *event = new CUevent_st{!(flags & cudaEventDisableTiming), nullptr};
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    if (!event) return report(cudaErrorInvalidResourceHandle);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle)
{
    cudaStream_t stream = resolve(handle);
    if (!stream || !event) return report(cudaErrorInvalidResourceHandle);
    cudaError_t error = check_capture(stream);
    if (error != cudaSuccess) return report(error);
    if (stream->capture) {
        event->last = std::make_shared<recording>();
        event->last->stream = stream;
        event->last->capture = stream->capture;
        return cudaSuccess;
    }
    keep_legacy_order(stream);
    event->last = record(stream);
    if (!is_lazy()) advance(stream);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    cudaError_t error = check_event(event);
    if (error != cudaSuccess) return report(error);
    if (!event->last || event->last->is_done) return cudaSuccess;
    if (is_lazy())
        step(event->last->stream);
    else
        advance_all();
    return report(event->last->is_done ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    cudaError_t error = check_event(event);
    if (error != cudaSuccess) return report(error);
    while (event->last && !event->last->is_done) {
        if (step(event->last->stream)) continue;
        advance_all();
        sched_yield();
    }
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    for (cudaEvent_t event : {start, end}) {
        cudaError_t error = check_event(event);
        if (error != cudaSuccess) return report(error);
        if (!event->has_time || !event->last) return report(cudaErrorInvalidResourceHandle);
        if (!event->last->is_done) return report(cudaErrorNotReady);
    }
    *ms = std::chrono::duration<float, std::milli>(end->last->at - start->last->at).count();
    return cudaSuccess;
}

/* ---- graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    if (!stream) return report(cudaErrorStreamCaptureUnsupported); /* not the legacy stream */
    if (!streams.count(stream)) return report(cudaErrorInvalidResourceHandle);
    if (stream->capture) return report(cudaErrorInvalidValue);
    stream->capture = new (struct capture){stream, mode, {}, {stream}, false};
    captures.push_back(stream->capture);
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    *graph = nullptr;
    if (!stream || !streams.count(stream)) return report(cudaErrorInvalidResourceHandle);
    struct capture *c = stream->capture;
    if (!c) return report(cudaErrorInvalidValue);
    if (c->origin != stream) return report(cudaErrorStreamCaptureUnmatched);
    cudaError_t error = c->is_invalid ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
    for (cudaStream_t member : c->streams) {
        if (member->is_unjoined && error == cudaSuccess) error = cudaErrorStreamCaptureUnjoined;
        member->capture = nullptr;
        member->is_unjoined = false;
    }
    if (error == cudaSuccess) *graph = new CUgraph_st{std::move(c->nodes)};
    captures.erase(std::find(captures.begin(), captures.end(), c));
    delete c;
    return report(error);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, enum cudaStreamCaptureStatus *status)
{
    cudaStream_t stream = resolve(handle);
    if (!stream) return report(cudaErrorInvalidResourceHandle);
    *status = !stream->capture              ? cudaStreamCaptureStatusNone
              : stream->capture->is_invalid ? cudaStreamCaptureStatusInvalidated
                                            : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    if (!exec || !graph) return report(cudaErrorInvalidValue);
    *exec = new CUgraphExec_st{graph->nodes};
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    if (!exec) return report(cudaErrorInvalidValue);
    return report(resolve(stream) ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    if (!exec) return report(cudaErrorInvalidValue);
    for (const gpu::work &node : exec->nodes) {
        cudaError_t error = gpu::submit(stream, node);
        if (error != cudaSuccess) return report(error);
    }
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    if (!exec) return report(cudaErrorInvalidValue);
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    if (!graph) return report(cudaErrorInvalidValue);
    delete graph;
    return cudaSuccess;
}
