/* The one place where the host waits for the device.
 *
 * A peer that died shows in NCCL's asynchronous error, or not at all inside one machine: then
 * nothing moves until the deadline.  Both end the job on all ranks, with a message. */
#include "cuda.h"

#include "base/clock.h"

#include <time.h>

/* Look again at once for so long, then between naps. */
#define SPIN_S 0.002
#define NAP_NS 20000
/* Longer than any step, any load of a weight, any wait for another rank. */
#define DEADLINE_S 600.0

static void check_peers(const struct cuda *cuda)
{
    ncclResult_t state = ncclSuccess;
    if (!cuda->ranks) return;
    NCCL_CHECK(ncclCommGetAsyncError(cuda->ranks, &state));
    if (state != ncclSuccess && state != ncclInProgress)
        DIE("a rank of the tensor group failed: %s; %s", ncclGetErrorString(state),
            ncclGetLastError(cuda->ranks));
}

/* event NULL: the stream.  "Not ready" is no error, but is left for cudaGetLastError, where the
 * next launch would find it. */
static cudaError_t state_of(const struct cuda *cuda, cudaEvent_t event)
{
    cudaError_t state = event ? cudaEventQuery(event) : cudaStreamQuery(cuda->stream);
    if (state == cudaErrorNotReady) cudaGetLastError();
    return state;
}

static void poll(struct backend *b, cudaEvent_t event)
{
    struct cuda *cuda = cuda_of(b);
    cudaError_t state = state_of(cuda, event);
    ENSURE(!cuda->recording);
    for (double began = clock_s(), waited; state == cudaErrorNotReady;
         state = state_of(cuda, event)) {
        check_peers(cuda);
        waited = clock_s() - began;
        if (waited > DEADLINE_S)
            DIE("the device has not finished for %.0f s: a rank of the tensor group, or the "
                "device, "
                "hangs",
                waited);
        if (waited > SPIN_S) nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
    CUDA_CHECK(state);
}

void cuda_wait(struct backend *b)
{
    poll(b, NULL);
}

void cuda_wait_event(struct backend *b, cudaEvent_t event)
{
    poll(b, event);
}
