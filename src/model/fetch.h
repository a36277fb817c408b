/* Blocks of named tensors, from wherever a model's numbers come: the files of a checkpoint, another
 * rank that reads them, or a seed.  weights.c says which blocks a shard needs; it cannot tell the
 * sources apart.
 *
 * With a communicator of ranks that hold the same shard, rank 0 reads and sends: fetch_block and
 * fetch_find are then collective over it, and all its ranks must call them in the same order.  A
 * failure of the reader reaches all ranks at that call.  A failure of one rank alone goes to
 * fetch_fail(); that rank keeps step until fetch_agree() lets all leave. */
#pragma once

#include "model/safetensors.h"

#define FETCH_BLOCK_BYTES ((size_t)16 << 20) /* rows are taken in blocks of about this size */

/* How a random model fills a tensor; `offset`: the family's norm_offset. */
enum init { INIT_NORMAL, INIT_ZERO, INIT_ONE, INIT_NORM, INIT_IDENTITY };

struct fetch {
    struct safetensors *files; /* owned; NULL when random, or when another rank reads */
    struct comm *source;       /* borrowed, may be NULL */
    bool random;
    uint64_t seed;
    float norm_offset;
    int threads;        /* that make random numbers */
    const char *prefix; /* of the base model's names in the files: "model." or "" */
    void *block;        /* [block_bytes] where fetch_block puts the numbers */
    size_t block_bytes;
    /* Not NULL: the headers alone are looked at.  fetch_block then reads nothing, and tells this of
     * each tensor that is missing or has another shape or type than wanted. */
    void (*problem)(void *arg, const struct err *e);
    void *problem_arg;
    int rc; /* -1: this rank failed on its own */
    struct err err;
};

/* A tensor as the architecture has it.  name without prefix; in_base: it belongs to the base model,
 * prefixed. */
struct tensor_want {
    char name[128];
    bool in_base;
    int n_dims;
    int64_t shape[2];
    enum init init;
};

/* Collective over source.  The checkpoint in folder; hash receives its identity. */
int fetch_open(struct fetch *f, const char *folder, struct comm *source, char hash[33],
               struct err *e);
/* Every number a function of (seed, name, row, column): the same model for every sharding. */
void fetch_open_random(struct fetch *f, uint64_t seed, float norm_offset, int threads);
void fetch_close(struct fetch *f);

/* Rows that a block of this many columns may have: all where the headers alone are looked at, as a
 * config.json may ask for more blocks than can be counted. */
int64_t fetch_rows(const struct fetch *f, int64_t n_cols);

/* Rows [row, row + n_rows), columns [col, col + n_cols) of the tensor into f->block, as stored:
 * *from.  The tensor's shape is checked; numbers that are not finite are refused. */
int fetch_block(struct fetch *f, const struct tensor_want *w, int64_t row, int64_t n_rows,
                int64_t col, int64_t n_cols, enum dtype *from, struct err *e);

/* Does the checkpoint have this tensor?  Random models have every tensor. */
bool fetch_find(struct fetch *f, const struct tensor_want *w);

/* Remember this rank's first own failure.  Always returns -1. */
int fetch_fail(struct fetch *f, const struct err *e);
/* Collective over source: 0 when no rank has failed, else -1 on all with the first failing rank's
 * text. */
int fetch_agree(struct fetch *f, struct err *e);
