/* NCCL's collectives over MPI, asynchronous as they are: an operation is started when its stream
 * comes to it and asked after from then on, so that a peer which never answers leaves the stream
 * busy and the host free.  Sums of floats are added in an order that depends on where in the
 * message an element stands, as a ring's are: whoever relies on rank order finds out.
 *
 * A communicator's ranks find each other through MPI_COMM_WORLD: the process that made the id must
 * be its rank 0.  Without MPI, communicators of one rank. */
#include "device.h"

#include <gpu/launch.h>
#include <nccl.h>

#include <algorithm>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#ifdef SPECREJ_EMULATION_MPI
#define OMPI_SKIP_MPICXX  1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>
#endif

/* Shared with operations in streams, which may outlive the caller's handle. */
struct group_of_ranks {
    int rank, n_ranks;
    bool is_aborted, is_broken;
#ifdef SPECREJ_EMULATION_MPI
    MPI_Comm mpi;
#endif
};

struct ncclComm {
    std::shared_ptr<group_of_ranks> ranks;
};

namespace
{

enum kind { ALL_GATHER, ALL_REDUCE, BROADCAST, SEND, RECEIVE };

struct operation {
    kind what;
    const void *send;
    void *receive;
    size_t count;
    ncclDataType_t type;
    ncclRedOp_t op;
    int peer; /* or root */
    std::shared_ptr<group_of_ranks> ranks;
    cudaStream_t stream;
};

const char *last_error = "";
int group_depth;
std::vector<operation> grouped;

size_t type_bytes(ncclDataType_t type)
{
    switch (type) {
    case ncclInt8:
    case ncclUint8:
        return 1;
    case ncclFloat16:
    case ncclBfloat16:
        return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
        return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
        return 8;
    }
    return 0;
}

bool is_reducible(ncclDataType_t type, ncclRedOp_t op)
{
    bool is_known = type == ncclInt32 || type == ncclUint32 || type == ncclInt64 ||
                    type == ncclUint64 || type == ncclFloat32;
    return is_known && (op == ncclSum || op == ncclMax || op == ncclMin);
}

/* One rank: every collective is a copy. */
void run_alone(const std::vector<operation> &operations)
{
    std::vector<const operation *> sent; /* to itself, not yet received */
    for (const operation &o : operations)
        if (o.what == SEND) sent.push_back(&o);
    size_t next = 0;
    for (const operation &o : operations) {
        size_t bytes = o.count * type_bytes(o.type);
        if (o.what == SEND) continue;
        if (o.what == RECEIVE && next == sent.size()) gpu::fail("ncclRecv without an ncclSend");
        const void *from = o.what == RECEIVE ? sent[next++]->send : o.send;
        if (bytes && from != o.receive) memmove(o.receive, from, bytes);
    }
}

#ifdef SPECREJ_EMULATION_MPI

template <typename T> T combine(T a, T b, ncclRedOp_t op)
{
    return op == ncclSum ? a + b : op == ncclMax ? std::max(a, b) : std::min(a, b);
}

/* out [n] from parts [ranks, n].  The ring's chunk c starts at rank c + 1. */
template <typename T> void reduce(const operation &o, const char *parts)
{
    size_t n = o.count, ranks = static_cast<size_t>(o.ranks->n_ranks);
    size_t chunk = (n + ranks - 1) / ranks;
    const T *part = reinterpret_cast<const T *>(parts);
    T *out = static_cast<T *>(o.receive);
    for (size_t i = 0; i < n; i++) {
        size_t first = i / chunk + 1;
        T value = part[first % ranks * n + i];
        for (size_t r = 1; r < ranks; r++)
            value = combine(value, part[(first + r) % ranks * n + i], o.op);
        out[i] = value;
    }
}

void reduce_any(const operation &o, const char *parts)
{
    switch (o.type) {
    case ncclInt32: /* sums wrap */
    case ncclUint32:
        if (o.type == ncclInt32 && o.op != ncclSum)
            reduce<int32_t>(o, parts);
        else
            reduce<uint32_t>(o, parts);
        break;
    case ncclInt64:
        if (o.op != ncclSum)
            reduce<int64_t>(o, parts);
        else
            reduce<uint64_t>(o, parts);
        break;
    case ncclUint64:
        reduce<uint64_t>(o, parts);
        break;
    default:
        reduce<float>(o, parts);
    }
}

/* An operation that is under way, with buffers of its own: the caller may give up and free his. */
struct exchange {
    MPI_Request request = MPI_REQUEST_NULL;
    std::vector<char> sent, received;
};

/* A group's operations on one stream. */
struct progress {
    bool is_started = false;
    std::vector<exchange> exchanges;
};

MPI_Datatype mpi_type(ncclDataType_t type)
{
    const size_t bytes = type_bytes(type);
    return bytes == 1   ? MPI_UINT8_T
           : bytes == 2 ? MPI_UINT16_T
           : bytes == 4 ? MPI_UINT32_T
                        : MPI_UINT64_T;
}

void start(const operation &o, exchange *e)
{
    MPI_Comm comm = o.ranks->mpi;
    MPI_Datatype type = mpi_type(o.type);
    int n = static_cast<int>(o.count);
    size_t bytes = o.count * type_bytes(o.type);
    if (o.what != RECEIVE) {
        const char *from = static_cast<const char *>(o.send);
        e->sent.assign(from, from + bytes);
    }
    switch (o.what) {
    case ALL_GATHER:
    case ALL_REDUCE:
        e->received.resize(bytes * static_cast<size_t>(o.ranks->n_ranks));
        MPI_Iallgather(e->sent.data(), n, type, e->received.data(), n, type, comm, &e->request);
        break;
    case BROADCAST:
        e->received = e->sent;
        MPI_Ibcast(e->received.data(), n, type, o.peer, comm, &e->request);
        break;
    case SEND:
        MPI_Issend(e->sent.data(), n, type, o.peer, 0, comm, &e->request);
        break;
    case RECEIVE:
        e->received.resize(bytes);
        MPI_Irecv(e->received.data(), n, type, o.peer, 0, comm, &e->request);
        break;
    }
}

void finish(const operation &o, const exchange &e)
{
    if (o.what == ALL_REDUCE)
        reduce_any(o, e.received.data());
    else if (!e.received.empty())
        memcpy(o.receive, e.received.data(), e.received.size());
}

/* SPECREJ_EMULATION_NCCL_FAULT=n: after n groups of operations of this process the network is gone,
 * and what comes to be started never ends; or it gets SPECREJ_EMULATION_NCCL_SIGNAL. */
bool is_network_gone()
{
    static uint64_t n_started;
    if (n_started < gpu::environment_number("SPECREJ_EMULATION_NCCL_FAULT", UINT64_MAX)) {
        n_started++;
        return false;
    }
    uint64_t signal = gpu::environment_number("SPECREJ_EMULATION_NCCL_SIGNAL", 0);
    if (signal != 0) raise(static_cast<int>(signal));
    return true;
}

/* What an aborted communicator had under way: MPI may still write there. */
std::vector<progress> abandoned;

/* True: finished. */
bool go_on(const std::vector<operation> &operations, progress *p)
{
    if (operations[0].ranks->n_ranks == 1) {
        run_alone(operations);
        return true;
    }
    if (operations[0].ranks->is_aborted) {
        if (p->is_started) abandoned.push_back(std::move(*p));
        return true;
    }
    if (!p->is_started && is_network_gone()) {
        operations[0].ranks->is_broken = true;
        last_error = "SPECREJ_EMULATION_NCCL_FAULT";
        return false;
    }
    if (!p->is_started) {
        p->is_started = true;
        p->exchanges.resize(operations.size());
        for (size_t i = 0; i < operations.size(); i++) start(operations[i], &p->exchanges[i]);
    }
    for (exchange &e : p->exchanges) {
        int is_done;
        MPI_Test(&e.request, &is_done, MPI_STATUS_IGNORE);
        if (!is_done) return false;
    }
    for (size_t i = 0; i < operations.size(); i++) finish(operations[i], p->exchanges[i]);
    return true;
}

/* What an id holds. */
struct rendezvous {
    int world_rank, tag;
};

const int FIRST_TAG = 20000, N_TAGS = 10000; /* below the least limit that MPI allows */

/* The members' ranks in MPI_COMM_WORLD, from the one that made the id. */
bool meet(const rendezvous &at, int n_ranks, int rank, std::vector<int> *world_ranks)
{
    int world_rank, world_size;
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world_size);
    if (n_ranks > world_size || (rank == 0) != (world_rank == at.world_rank)) return false;
    world_ranks->assign(static_cast<size_t>(n_ranks), -1);
    if (rank != 0) {
        MPI_Ssend(&rank, 1, MPI_INT, at.world_rank, at.tag, MPI_COMM_WORLD);
        MPI_Recv(world_ranks->data(), n_ranks, MPI_INT, at.world_rank, at.tag, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
        return true;
    }
    (*world_ranks)[0] = world_rank;
    for (int i = 1; i < n_ranks; i++) {
        int member;
        MPI_Status status;
        MPI_Recv(&member, 1, MPI_INT, MPI_ANY_SOURCE, at.tag, MPI_COMM_WORLD, &status);
        (*world_ranks)[static_cast<size_t>(member)] = status.MPI_SOURCE;
    }
    for (int i = 1; i < n_ranks; i++)
        MPI_Send(world_ranks->data(), n_ranks, MPI_INT, (*world_ranks)[static_cast<size_t>(i)],
                 at.tag, MPI_COMM_WORLD);
    return true;
}

ncclResult_t connect(group_of_ranks *ranks, const ncclUniqueId &id)
{
    int is_initialized;
    MPI_Initialized(&is_initialized);
    if (!is_initialized) {
        last_error = "several ranks, and MPI is not initialized";
        return ncclSystemError;
    }
    rendezvous at;
    memcpy(&at, id.internal, sizeof at);
    std::vector<int> world_ranks;
    if (at.tag < FIRST_TAG || !meet(at, ranks->n_ranks, ranks->rank, &world_ranks)) {
        last_error = "the process that made the id must be rank 0 of the communicator";
        return ncclInvalidUsage;
    }
    MPI_Group world, members;
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    MPI_Group_incl(world, ranks->n_ranks, world_ranks.data(), &members);
    MPI_Comm_create_group(MPI_COMM_WORLD, members, at.tag, &ranks->mpi);
    MPI_Group_free(&members);
    MPI_Group_free(&world);
    return ncclSuccess;
}

void disconnect(group_of_ranks *ranks)
{
    int is_finalized;
    MPI_Finalized(&is_finalized);
    if (ranks->n_ranks > 1 && !is_finalized) MPI_Comm_free(&ranks->mpi);
}

void make_id(ncclUniqueId *id)
{
    static int n_made;
    int is_initialized;
    rendezvous at = {0, FIRST_TAG + n_made++ % N_TAGS};
    MPI_Initialized(&is_initialized);
    if (is_initialized) MPI_Comm_rank(MPI_COMM_WORLD, &at.world_rank);
    memcpy(id->internal, &at, sizeof at);
}

#else

struct progress {
};

bool go_on(const std::vector<operation> &operations, progress *)
{
    run_alone(operations);
    return true;
}

ncclResult_t connect(group_of_ranks *, const ncclUniqueId &)
{
    last_error = "several ranks, and the emulation is built without MPI";
    return ncclInvalidUsage;
}

void disconnect(group_of_ranks *) {}
void make_id(ncclUniqueId *) {}

#endif

ncclResult_t submit(std::vector<operation> operations)
{
    cudaStream_t stream = operations[0].stream;
    cudaError_t error =
        gpu::submit(stream, [operations = std::move(operations), p = progress()]() mutable {
            return go_on(operations, &p);
        });
    return gpu::report(error) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t invalid(const char *why)
{
    last_error = why;
    return ncclInvalidArgument;
}

/* Submits, or keeps until the group ends. */
ncclResult_t add(operation o)
{
    if (o.count > INT_MAX || !type_bytes(o.type)) return invalid("a count or type out of range");
    if (o.peer < 0 || o.peer >= o.ranks->n_ranks) return invalid("no such rank");
    if (o.what == ALL_REDUCE && !is_reducible(o.type, o.op))
        return invalid("this reduction is not emulated");
    if (o.ranks->n_ranks == 1 && (o.what == SEND || o.what == RECEIVE) && !group_depth)
        return invalid("a rank sends to itself outside of a group");
    if (group_depth) {
        grouped.push_back(std::move(o));
        return ncclSuccess;
    }
    return submit({std::move(o)});
}

} // namespace

ncclResult_t ncclGetVersion(int *version)
{
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    switch (result) {
    case ncclSuccess:
        return "no error";
    case ncclUnhandledCudaError:
        return "unhandled cuda error";
    case ncclSystemError:
        return "unhandled system error";
    case ncclInternalError:
        return "internal error";
    case ncclInvalidArgument:
        return "invalid argument";
    case ncclInvalidUsage:
        return "invalid usage";
    case ncclRemoteError:
        return "remote process exited or there was a network error";
    case ncclInProgress:
        return "NCCL operation in progress";
    }
    return "unknown result code";
}

const char *ncclGetLastError(ncclComm_t)
{
    return last_error;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    memset(id, 0, sizeof *id);
    make_id(id);
    return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int n_ranks, ncclUniqueId id, int rank)
{
    *comm = nullptr;
    if (n_ranks < 1 || rank < 0 || rank >= n_ranks) return invalid("no such rank");
    auto ranks = std::make_shared<group_of_ranks>();
    ranks->rank = rank;
    ranks->n_ranks = n_ranks;
    ncclResult_t result = n_ranks == 1 ? ncclSuccess : connect(ranks.get(), id);
    if (result == ncclSuccess) *comm = new ncclComm{ranks};
    return result;
}

ncclResult_t ncclCommFinalize(ncclComm_t)
{
    gpu::finish_all();
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    if (!comm) return ncclSuccess;
    gpu::finish_all();
    disconnect(comm->ranks.get());
    delete comm;
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    if (!comm) return ncclSuccess;
    comm->ranks->is_aborted = true;
    delete comm;
    return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error)
{
    if (!comm) return invalid("no communicator");
    /* A death is not seen, as it is not reliably seen inside a node. */
    *error = comm->ranks->is_broken ? ncclRemoteError : ncclSuccess;
    return ncclSuccess;
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int *count)
{
    *count = comm->ranks->n_ranks;
    return ncclSuccess;
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int *rank)
{
    *rank = comm->ranks->rank;
    return ncclSuccess;
}

ncclResult_t ncclCommRegister(const ncclComm_t, void *p, size_t, void **handle)
{
    *handle = p;
    return ncclSuccess;
}

ncclResult_t ncclCommDeregister(const ncclComm_t, void *)
{
    return ncclSuccess;
}

ncclResult_t ncclMemAlloc(void **p, size_t bytes)
{
    return cudaMalloc(p, bytes) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t ncclMemFree(void *p)
{
    return cudaFree(p) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t ncclGroupStart(void)
{
    group_depth++;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
    if (group_depth == 0) {
        last_error = "a group ends that has not begun";
        return ncclInvalidUsage;
    }
    if (--group_depth > 0) return ncclSuccess;
    std::vector<operation> rest = std::move(grouped);
    grouped.clear();
    while (!rest.empty()) {
        /* those of one stream and one communicator together, the others after them */
        const operation first = rest[0];
        auto others = std::stable_partition(rest.begin(), rest.end(), [&](const operation &o) {
            return o.stream == first.stream && o.ranks == first.ranks;
        });
        ncclResult_t result = submit(std::vector<operation>(rest.begin(), others));
        if (result != ncclSuccess) return result;
        rest.erase(rest.begin(), others);
    }
    return ncclSuccess;
}

ncclResult_t ncclAllGather(const void *send, void *receive, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream)
{
    return add({ALL_GATHER, send, receive, count, type, ncclSum, 0, comm->ranks, stream});
}

ncclResult_t ncclAllReduce(const void *send, void *receive, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    return add({ALL_REDUCE, send, receive, count, type, op, 0, comm->ranks, stream});
}

ncclResult_t ncclBroadcast(const void *send, void *receive, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream)
{
    return add({BROADCAST, send, receive, count, type, ncclSum, root, comm->ranks, stream});
}

ncclResult_t ncclSend(const void *send, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream)
{
    return add({SEND, send, nullptr, count, type, ncclSum, peer, comm->ranks, stream});
}

ncclResult_t ncclRecv(void *receive, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream)
{
    return add({RECEIVE, nullptr, receive, count, type, ncclSum, peer, comm->ranks, stream});
}
