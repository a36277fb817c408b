/* Do the ranks that work together have the same?  Each draws the tokens of its group's candidates
 * for itself, from numbers that all have, and hears each decision from the first of the deciders.
 * Running sums are compared, a few bytes of each rank: of what was drawn after every step that the
 * host takes, since behind a token that ends a candidate on one rank alone the next step's rows
 * would not fit; of the decisions at every round and at a prompt's end, before anything is done or
 * written down.  Where they differ, a processor, a memory or a library is not like the others, and
 * nothing that this rank has computed can be believed. */
#include "run/prompt_state.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "run/exit_status.h"

#include <stdlib.h>
#include <string.h>

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

/* One rank speaks and ends them all; the others wait for it.  other: the rank of c that is not like
 * its first. */
static _Noreturn void end_job(const struct prompt_state *st, struct comm *c, const char *what,
                              int other)
{
    const struct grid *g = &st->w->grid;
    int first = comm_size(c) == comm_size(g->world) ? 0 : g->group_index * comm_size(g->group);
    if (comm_rank(c) == 0) {
        logr(LOG_ERROR,
             "prompt %lld, round %lld at %lld tokens: ranks %d and %d disagree on %s since they "
             "last compared; one of their processors, memories or libraries is at fault.  The "
             "prompt is not kept; what is committed is safe, run the same command to continue",
             (long long)st->in->index, (long long)st->round, (long long)st->step, first,
             first + other, what);
        comm_abort(EXIT_FAILED);
    }
    for (;;) comm_barrier(c);
}

void prompt_agree_drawn(struct prompt_state *const *prompts, int64_t n, uint64_t *sums)
{
    struct comm *group = prompts[0]->w->grid.group;
    int64_t ranks = comm_size(group);
    if (ranks == 1) return;
    uint64_t *mine = sums + comm_rank(group) * n;
    for (int64_t i = 0; i < n; i++) mine[i] = prompts[i]->engine.checksum;
    comm_allgather(group, mine, (size_t)n * sizeof *mine, sums);
    for (int64_t i = n; i < n * ranks; i++)
        if (sums[i] != sums[i % n])
            end_job(prompts[i % n], group, "the tokens drawn", to_int(i / n));
}

void prompt_agree_decided(struct prompt_state *st)
{
    int ranks = comm_size(st->deciders);
    if (ranks == 1) return;
    uint64_t *all = mem_calloc((size_t)ranks, sizeof *all);
    comm_allgather(st->deciders, &st->decisions, sizeof st->decisions, all);
    for (int r = 1; r < ranks; r++)
        if (all[r] != all[0]) end_job(st, st->deciders, "the decisions", r);
    free(all);
}
