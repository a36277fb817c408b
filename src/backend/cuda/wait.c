/* The one place where the host waits for the device.
 *
 * A peer that died shows in NCCL's asynchronous error, or not at all inside one machine: then
 * nothing moves until the deadline.  Both end the job on all ranks, with a message. */
#include "cuda.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

/* Look again at once for so long, then between naps. */
#define SPIN_S     0.002
#define NAP_NS     20000
#define DEADLINE_S 600.0

int cuda_deadline(double *seconds, struct err *e)
{
    const char *text = getenv("SPECREJ_CUDA_DEADLINE_S");
    char *end;
    *seconds = DEADLINE_S;
    if (!text) return 0;
    double given = strtod(text, &end);
    if (end == text || *end || !isfinite(given) || given <= 0)
        return err_set(e, "SPECREJ_CUDA_DEADLINE_S is \"%s\"; it must be a number of seconds",
                       text);
    *seconds = given;
    return 0;
}

/* who: its ranks. */
static void check_peers(ncclComm_t ranks, const char *who)
{
    ncclResult_t state = ncclSuccess;
    if (!ranks) return;
    NCCL_CHECK(ncclCommGetAsyncError(ranks, &state));
    if (state != ncclSuccess && state != ncclInProgress)
        DIE("NCCL between %s failed, a rank is gone or cannot be reached: %s; %s", who,
            ncclGetErrorString(state), ncclGetLastError(ranks));
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
        check_peers(cuda->ranks, "the ranks of the tensor group");
        check_peers(cuda->shards, "the groups");
        waited = clock_s() - began;
        if (waited > cuda->deadline_s)
            DIE("the device has not finished for %.0f s: %sthe device hangs", waited,
                cuda->ranks || cuda->shards ? "another rank or " : "");
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
