/* Ranks over MPI.  Every call is checked; a failing one ends the job (kind 3 of base/err.h). */
#include "comm/comm.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct comm {
    MPI_Comm handle;
    int rank, size;
    size_t piece_bytes; /* larger transfers are made in pieces: MPI counts are int */
};

enum { TAG_LIMIT = 32000, TAG_GATHER = TAG_LIMIT }; /* MPI guarantees tags up to 32767 */

static const char *mpi_text(char *text, int rc)
{
    int n = 0;
    if (MPI_Error_string(rc, text, &n) != MPI_SUCCESS)
        snprintf(text, MPI_MAX_ERROR_STRING, "error %d", rc);
    return text;
}

#define MPI_TEXT(rc)    mpi_text((char[MPI_MAX_ERROR_STRING]){0}, rc)
#define MPI_CHECK(call) CHECK_GEN(call, MPI_SUCCESS, MPI_TEXT)

static void abort_all(void)
{
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* Takes the handle. */
static struct comm *wrap(MPI_Comm handle, size_t piece_bytes)
{
    struct comm *c = mem_calloc(1, sizeof *c);
    c->handle = handle;
    c->piece_bytes = piece_bytes;
    MPI_CHECK(MPI_Comm_rank(handle, &c->rank));
    MPI_CHECK(MPI_Comm_size(handle, &c->size));
    return c;
}

struct comm *comm_start(int *argc, char ***argv)
{
    int provided = 0;
    /* A rank that waits lets others have its core: Open MPI spins unless told so before it starts.
     */
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    /* Without MPI nothing of it may be called, its texts and MPI_Abort included. */
    int rc = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    if (rc != MPI_SUCCESS) quit("MPI_Init_thread failed: error %d", rc);
    die_hook = abort_all;
    MPI_CHECK(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    ENSURE(provided >= MPI_THREAD_FUNNELED);
    MPI_Comm world;
    MPI_CHECK(MPI_Comm_dup(MPI_COMM_WORLD, &world));
    struct comm *c = wrap(world, (size_t)1 << 30);
    log_setup(c->rank, LOG_INFO);
    return c;
}

struct comm *comm_alone(void)
{
    struct comm *c = mem_calloc(1, sizeof *c);
    *c = (struct comm){.handle = MPI_COMM_NULL, .size = 1, .piece_bytes = (size_t)1 << 30};
    return c;
}

static bool is_alone(const struct comm *c)
{
    return c->handle == MPI_COMM_NULL;
}

void comm_stop(struct comm *world)
{
    comm_destroy(world);
    /* mpirun of Open MPI 4 may hang or crash, in PMIx_server_finalize, where one rank aborts while
     * others are in MPI_Finalize.  So all come as far as this before any goes there, and whom that
     * fails just ends. */
    MPI_CHECK(MPI_Barrier(MPI_COMM_WORLD));
    die_hook = NULL;
    int rc = MPI_Finalize();
    if (rc != MPI_SUCCESS) quit("MPI_Finalize() failed: %s", MPI_TEXT(rc));
}

_Noreturn void comm_abort(int status)
{
    MPI_Abort(MPI_COMM_WORLD, status);
    _Exit(status);
}

int comm_rank(const struct comm *c)
{
    return c->rank;
}

int comm_size(const struct comm *c)
{
    return c->size;
}

void comm_set_piece(struct comm *c, size_t bytes)
{
    ENSURE(bytes >= sizeof(uint64_t) && bytes <= INT_MAX);
    c->piece_bytes = bytes;
}

struct comm *comm_split(struct comm *c, int colour)
{
    MPI_Comm handle;
    MPI_CHECK(MPI_Comm_split(c->handle, colour, c->rank, &handle));
    return wrap(handle, c->piece_bytes);
}

struct comm *comm_split_node(struct comm *c)
{
    MPI_Comm handle;
    if (is_alone(c)) return comm_alone();
    MPI_CHECK(
        MPI_Comm_split_type(c->handle, MPI_COMM_TYPE_SHARED, c->rank, MPI_INFO_NULL, &handle));
    return wrap(handle, c->piece_bytes);
}

void comm_destroy(struct comm *c)
{
    if (!c) return;
    if (!is_alone(c)) MPI_CHECK(MPI_Comm_free(&c->handle));
    free(c);
}

void comm_barrier(struct comm *c)
{
    MPI_CHECK(MPI_Barrier(c->handle));
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

void comm_bcast(struct comm *c, void *buf, size_t bytes, int root)
{
    char *p = buf;
    if (c->size == 1) return;
    for (size_t done = 0; done < bytes; done += c->piece_bytes)
        MPI_CHECK(MPI_Bcast(p + done, (int)smaller(bytes - done, c->piece_bytes), MPI_BYTE, root,
                            c->handle));
}

void comm_allgather(struct comm *c, const void *send, size_t bytes, void *recv)
{
    if (bytes == 0) return;
    char *mine = (char *)recv + (size_t)c->rank * bytes;
    if (mine != send) memcpy(mine, send, bytes);
    if (c->size == 1) return;
    if (bytes <= c->piece_bytes / (size_t)c->size) {
        MPI_CHECK(MPI_Allgather(MPI_IN_PLACE, 0, MPI_BYTE, recv, (int)bytes, MPI_BYTE, c->handle));
        return;
    }
    for (int r = 0; r < c->size; r++) comm_bcast(c, (char *)recv + (size_t)r * bytes, bytes, r);
}

/* A datatype of this many bytes, for messages beyond an int count. */
static MPI_Datatype bytes_type(size_t bytes, size_t piece)
{
    MPI_Datatype whole, rest, types[2], both;
    MPI_CHECK(MPI_Type_contiguous((int)piece, MPI_BYTE, &whole));
    MPI_CHECK(MPI_Type_contiguous((int)(bytes % piece), MPI_BYTE, &rest));
    types[0] = whole;
    types[1] = rest;
    int counts[] = {to_int((int64_t)(bytes / piece)), 1};
    MPI_Aint at[] = {0, (MPI_Aint)(bytes - bytes % piece)};
    MPI_CHECK(MPI_Type_create_struct(2, counts, at, types, &both));
    MPI_CHECK(MPI_Type_commit(&both));
    MPI_CHECK(MPI_Type_free(&whole));
    MPI_CHECK(MPI_Type_free(&rest));
    return both;
}

static void send_bytes(struct comm *c, const void *buf, size_t bytes, int to, int tag)
{
    if (bytes <= c->piece_bytes) {
        MPI_CHECK(MPI_Send(buf, (int)bytes, MPI_BYTE, to, tag, c->handle));
        return;
    }
    MPI_Datatype type = bytes_type(bytes, c->piece_bytes);
    MPI_CHECK(MPI_Send(buf, 1, type, to, tag, c->handle));
    MPI_CHECK(MPI_Type_free(&type));
}

static void recv_matched(struct comm *c, MPI_Message *message, void *buf, size_t bytes)
{
    if (bytes <= c->piece_bytes) {
        MPI_CHECK(MPI_Mrecv(buf, (int)bytes, MPI_BYTE, message, MPI_STATUS_IGNORE));
        return;
    }
    MPI_Datatype type = bytes_type(bytes, c->piece_bytes);
    MPI_CHECK(MPI_Mrecv(buf, 1, type, message, MPI_STATUS_IGNORE));
    MPI_CHECK(MPI_Type_free(&type));
}

static size_t match(struct comm *c, int from, int tag, MPI_Message *message)
{
    MPI_Status status;
    MPI_Count bytes;
    MPI_CHECK(MPI_Mprobe(from, tag, c->handle, message, &status));
    MPI_CHECK(MPI_Get_elements_x(&status, MPI_BYTE, &bytes));
    ENSURE(bytes >= 0);
    return (size_t)bytes;
}

void comm_send(struct comm *c, const void *buf, size_t bytes, int to, int tag)
{
    ENSURE(tag >= 0 && tag < TAG_LIMIT && to != c->rank);
    send_bytes(c, buf, bytes, to, tag);
}

void *comm_recv(struct comm *c, int from, int tag, size_t *bytes)
{
    ENSURE(tag >= 0 && tag < TAG_LIMIT && from != c->rank);
    MPI_Message message;
    *bytes = match(c, from, tag, &message);
    void *buf = mem_realloc(NULL, *bytes, 1);
    recv_matched(c, &message, buf, *bytes);
    return buf;
}

bool comm_probe(struct comm *c, int tag, int *from)
{
    int flag = 0;
    MPI_Status status;
    MPI_CHECK(MPI_Iprobe(MPI_ANY_SOURCE, tag, c->handle, &flag, &status));
    if (flag) *from = status.MPI_SOURCE;
    return flag != 0;
}

/* From 20 us between looks to 2 ms: quick answers stay quick, long waits leave the core to others.
 */
int comm_wait_any(struct comm *c, int tag)
{
    int from = -1;
    long pause_ns = 20000;
    while (!comm_probe(c, tag, &from)) {
        nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
        pause_ns = pause_ns * 5 / 4 < 2000000 ? pause_ns * 5 / 4 : 2000000;
    }
    return from;
}

void comm_gatherv(struct comm *c, const void *send, size_t bytes, void **recv, size_t *sizes,
                  int root)
{
    uint64_t mine = bytes, *all = mem_calloc((size_t)c->size, sizeof *all);
    MPI_CHECK(MPI_Gather(&mine, 1, MPI_UINT64_T, all, 1, MPI_UINT64_T, root, c->handle));
    *recv = NULL;
    if (c->rank != root) {
        if (bytes > 0) send_bytes(c, send, bytes, root, TAG_GATHER);
        free(all);
        return;
    }
    size_t total = 0;
    for (int r = 0; r < c->size; r++) {
        sizes[r] = (size_t)all[r];
        total += sizes[r];
    }
    char *p = *recv = mem_realloc(NULL, total, 1);
    for (int r = 0; r < c->size; p += sizes[r++]) {
        if (sizes[r] == 0) continue;
        if (r == root) {
            memcpy(p, send, bytes);
            continue;
        }
        MPI_Message message;
        ENSURE(match(c, r, TAG_GATHER, &message) == sizes[r]);
        recv_matched(c, &message, p, sizes[r]);
    }
    free(all);
}

static int64_t reduce_i64(struct comm *c, int64_t v, MPI_Op op)
{
    if (c->size == 1) return v;
    MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, &v, 1, MPI_INT64_T, op, c->handle));
    return v;
}

int64_t comm_sum_i64(struct comm *c, int64_t v)
{
    return reduce_i64(c, v, MPI_SUM);
}

int64_t comm_min_i64(struct comm *c, int64_t v)
{
    return reduce_i64(c, v, MPI_MIN);
}

int64_t comm_max_i64(struct comm *c, int64_t v)
{
    return reduce_i64(c, v, MPI_MAX);
}

void comm_sum_u64_array(struct comm *c, uint64_t *v, size_t n)
{
    size_t most = c->piece_bytes / sizeof *v;
    for (size_t done = 0; done < n; done += most)
        MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, v + done, (int)smaller(n - done, most), MPI_UINT64_T,
                                MPI_SUM, c->handle));
}

void comm_sum_f32_in_rank_order(struct comm *c, float *x, size_t n, float *scratch)
{
    if (c->size == 1) return;
    comm_allgather(c, x, n * sizeof *x, scratch);
    memcpy(x, scratch, n * sizeof *x);
    for (int r = 1; r < c->size; r++) {
        const float *part = scratch + (size_t)r * n;
        for (size_t i = 0; i < n; i++) x[i] += part[i];
    }
}

int comm_agree(struct comm *c, int rc, struct err *e)
{
    int first = (int)comm_min_i64(c, rc < 0 ? c->rank : c->size);
    if (first == c->size) return 0;
    if (c->rank == first) {
        if (!e->text[0]) err_set(e, "failed without saying why");
        if (c->size > 1) err_context(e, "rank %d: ", c->rank);
    }
    comm_bcast(c, e->text, sizeof e->text, first);
    return -1;
}
