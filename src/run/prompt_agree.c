/* Do the ranks that decide together have the same?  Each draws the tokens of its group's candidates
 * for itself, from numbers that all have, and hears each decision from the first of them.  Running
 * sums of both are compared at every round and at a prompt's end, a few bytes of each rank, before
 * anything is written down.  Where they differ, a processor, a memory or a library is not like the
 * others, and nothing that this rank has computed can be believed. */
#include "run/prompt_state.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "run/coordinator.h"

#include <stdlib.h>
#include <string.h>

struct sums {
    uint64_t drawn, decisions;
};

void prompt_note_decision(struct prompt_state *st, const void *bytes, size_t n)
{
    const char *from = bytes;
    for (size_t at = 0; at < n; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, from + at, n - at < sizeof word ? n - at : sizeof word);
        st->decisions = hash_mix(st->decisions, word);
    }
    st->decisions = hash_mix(st->decisions, n);
}

/* The first rank that differs from the one it must be like, -1: none.  Of a group all draw the
 * same; all hear the same decisions. */
static int find_other(const struct sums *all, int n, int group, bool drawn, int *like)
{
    for (int r = 0; r < n; r++) {
        *like = drawn ? r / group * group : 0;
        bool same =
            drawn ? all[r].drawn == all[*like].drawn : all[r].decisions == all[*like].decisions;
        if (!same) return r;
    }
    return -1;
}

/* One rank speaks and ends them all; the others wait for it. */
static _Noreturn void end_job(struct prompt_state *st, const char *what, int like, int other)
{
    const struct grid *g = &st->w->grid;
    int size = comm_size(st->deciders);
    int first = size == comm_size(g->world) ? 0 : g->group_index * comm_size(g->group);
    if (st->is_decider) {
        logr(LOG_ERROR,
             "prompt %lld, round %lld at %lld tokens: ranks %d and %d disagree on %s since they "
             "last "
             "compared; one of their processors, memories or libraries is at fault.  The prompt is "
             "not kept; what is committed is safe, run the same command to continue",
             (long long)st->in->index, (long long)st->round, (long long)st->step, first + like,
             first + other, what);
        comm_abort(EXIT_FAILED);
    }
    for (;;) comm_barrier(st->deciders);
}

void prompt_agree(struct prompt_state *st)
{
    int n = comm_size(st->deciders), group = comm_size(st->w->grid.group), like = 0;
    if (n == 1) return;
    struct sums mine = {st->engine.checksum, st->decisions};
    struct sums *all = mem_calloc((size_t)n, sizeof *all);
    comm_allgather(st->deciders, &mine, sizeof mine, all);
    int other = find_other(all, n, group, true, &like);
    if (other >= 0) end_job(st, "the tokens drawn", like, other);
    other = find_other(all, n, group, false, &like);
    if (other >= 0) end_job(st, "the decisions", like, other);
    free(all);
}
