/* Ranks: the world, and its grid of groups x tensor.  The only module that includes mpi.h.
 *
 * World rank r is tensor rank r % tensor of group r / tensor.  A group holds one shard set of both
 * models. comm_single.c implements the same interface for one process without MPI.  A failing MPI
 * call dies (kind 3). */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct comm; /* a set of ranks; owns its communicator */

/* Start MPI and return the world.  Sets die_hook and the log's rank. */
struct comm *comm_start(int *argc, char ***argv);
/* Collective: end MPI; destroys the world. */
void comm_stop(struct comm *world);
/* A rank by itself, without MPI: what a backend needs to be tried out on a login node (size,
 * split_node, bcast, allgather).  comm_destroy it. */
struct comm *comm_alone(void);
/* End every rank now with this status. */
_Noreturn void comm_abort(int status);

int comm_rank(const struct comm *c);
int comm_size(const struct comm *c);

/* Collective over c: the sub-communicator of the ranks with my colour, ordered by rank in c. */
struct comm *comm_split(struct comm *c, int colour);
/* Collective over c: ranks that share this host, ordered by rank. */
struct comm *comm_split_node(struct comm *c);
void comm_destroy(struct comm *c);

/* All collective over c.  Sizes are in bytes and may exceed 2 GiB: larger transfers go in pieces of
 * 1 GiB, or of what comm_set_piece said on every rank (8 to INT_MAX bytes; tests make it small). */
void comm_set_piece(struct comm *c, size_t bytes);
void comm_barrier(struct comm *c);
void comm_bcast(struct comm *c, void *buf, size_t bytes, int root);
/* recv [size][bytes]; send may be this rank's place in it, and overlaps it nowhere else. */
void comm_allgather(struct comm *c, const void *send, size_t bytes, void *recv);
/* Variable sizes to root: *recv (owned by caller, NULL elsewhere), sizes [size] on root.  */
void comm_gatherv(struct comm *c, const void *send, size_t bytes, void **recv, size_t *sizes,
                  int root);
int64_t comm_sum_i64(struct comm *c, int64_t v);
int64_t comm_min_i64(struct comm *c, int64_t v);
int64_t comm_max_i64(struct comm *c, int64_t v);
void comm_sum_u64_array(struct comm *c, uint64_t *v, size_t n); /* in place, exact */

/* x[0..n) becomes the sum over ranks, added in rank order (all-gather, then sum: MPI_Allreduce
 * changes bits with the message's size).  scratch [size * n] f32, borrowed. */
void comm_sum_f32_in_rank_order(struct comm *c, float *x, size_t n, float *scratch);

/* Point to point, between different ranks; tag in 0..31999.  A send may wait until the message is
 * received; messages of one sender and tag arrive in order.  A received message is allocated. */
void comm_send(struct comm *c, const void *buf, size_t bytes, int to, int tag);
void *comm_recv(struct comm *c, int from, int tag, size_t *bytes); /* caller frees */
/* Is a message with this tag waiting from anyone?  *from is set. */
bool comm_probe(struct comm *c, int tag, int *from);
/* Wait for it, sleeping between looks so that a waiting rank does not take a core. */
int comm_wait_any(struct comm *c, int tag);

/* Local part finished with rc (0 or -1): all ranks leave with the same result, *e holding the text
 * of the first failing rank ("rank 3: ...", without the number where there is one rank).  Returns 0
 * when all succeeded, else -1 on every rank. */
int comm_agree(struct comm *c, int rc, struct err *e);
