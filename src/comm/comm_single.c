/* The interface of comm.h for one process without MPI. */
#include "comm/comm.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct comm {
    int rank, size;
};

struct comm *comm_alone(void)
{
    struct comm *c = mem_calloc(1, sizeof *c);
    c->size = 1;
    return c;
}

static void end_process(void)
{
    exit(1);
}

struct comm *comm_start(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    die_hook = end_process;
    log_setup(0, LOG_INFO);
    return comm_alone();
}

void comm_stop(struct comm *world)
{
    comm_destroy(world);
    die_hook = NULL;
}

_Noreturn void comm_abort(int status)
{
    exit(status);
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
    (void)c;
    (void)bytes;
}

struct comm *comm_split(struct comm *c, int colour)
{
    (void)c;
    (void)colour;
    return comm_alone();
}

struct comm *comm_split_node(struct comm *c)
{
    (void)c;
    return comm_alone();
}

void comm_destroy(struct comm *c)
{
    free(c);
}

void comm_barrier(struct comm *c)
{
    (void)c;
}

void comm_bcast(struct comm *c, void *buf, size_t bytes, int root)
{
    (void)c;
    (void)buf;
    (void)bytes;
    ENSURE(root == 0);
}

void comm_allgather(struct comm *c, const void *send, size_t bytes, void *recv)
{
    (void)c;
    if (bytes > 0 && recv != send) memcpy(recv, send, bytes);
}

void comm_gatherv(struct comm *c, const void *send, size_t bytes, void **recv, size_t *sizes,
                  int root)
{
    (void)c;
    ENSURE(root == 0);
    *recv = mem_calloc(bytes, 1);
    if (bytes > 0) memcpy(*recv, send, bytes);
    sizes[0] = bytes;
}

int64_t comm_sum_i64(struct comm *c, int64_t v)
{
    (void)c;
    return v;
}

int64_t comm_min_i64(struct comm *c, int64_t v)
{
    (void)c;
    return v;
}

int64_t comm_max_i64(struct comm *c, int64_t v)
{
    (void)c;
    return v;
}

void comm_sum_u64_array(struct comm *c, uint64_t *v, size_t n)
{
    (void)c;
    (void)v;
    (void)n;
}

void comm_sum_f32_in_rank_order(struct comm *c, float *x, size_t n, float *scratch)
{
    (void)c;
    (void)x;
    (void)n;
    (void)scratch;
}

/* There is nobody else: a message is a mistake of the program. */
void comm_send(struct comm *c, const void *buf, size_t bytes, int to, int tag)
{
    (void)c;
    (void)buf;
    DIE("message of %zu bytes to rank %d, tag %d: there is one rank", bytes, to, tag);
}

void *comm_recv(struct comm *c, int from, int tag, size_t *bytes)
{
    (void)c;
    (void)bytes;
    DIE("waiting for a message from rank %d, tag %d: there is one rank", from, tag);
}

bool comm_probe(struct comm *c, int tag, int *from)
{
    (void)c;
    (void)tag;
    (void)from;
    return false;
}

int comm_wait_any(struct comm *c, int tag)
{
    (void)c;
    DIE("waiting for a message with tag %d: there is one rank", tag);
}

int comm_agree(struct comm *c, int rc, struct err *e)
{
    (void)c;
    if (rc >= 0) return 0;
    return e->text[0] ? -1 : err_set(e, "failed without saying why");
}
