/* A rank that is not like the others, so that the job must end with a message (run/prompt_agree.c).
 *
 *   disagree JOB RANK tokens|end|decision N [KEY=VALUE...]
 *       runs the job; from its N-th draw on, of what the rank draws or hears of a decision one
 *       number is another: a token that the device gave (end: now an end token), or a candidate to
 *       drop
 *
 * The program is linked with the backend and the broadcast that are asked for here in between. */
#include "backend/backend.h"
#include "base/log.h"
#include "run/coordinator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DROPPED 8 /* of the job's 16 candidates, in the first round */

static struct {
    int rank;
    bool of_tokens;
    int32_t token;
    long draws_left;
    const struct backend_ops *ops; /* the true ones */
} fault;

static bool is_due(void)
{
    return log_rank() == fault.rank && fault.draws_left <= 0;
}

static void decode_end(struct backend *b, int32_t *token, float *logprob)
{
    fault.ops->decode_end(b, token, logprob);
    fault.draws_left--;
    if (!fault.of_tokens || !is_due()) return;
    token[0] = fault.token != token[0] ? fault.token : 11;
    fault.rank = -1;
}

struct backend *__real_backend_open(const struct backend_config *c, struct comm *world,
                                    struct comm *tensor, struct comm *shard, struct err *e);
struct backend *__wrap_backend_open(const struct backend_config *c, struct comm *world,
                                    struct comm *tensor, struct comm *shard, struct err *e);

struct backend *__wrap_backend_open(const struct backend_config *c, struct comm *world,
                                    struct comm *tensor, struct comm *shard, struct err *e)
{
    static struct backend_ops ops;
    struct backend *b = __real_backend_open(c, world, tensor, shard, e);
    if (!b) return NULL;
    fault.ops = b->ops;
    ops = *b->ops;
    ops.decode_end = decode_end;
    b->ops = &ops;
    return b;
}

void __real_comm_bcast(struct comm *c, void *buf, size_t bytes, int root);
void __wrap_comm_bcast(struct comm *c, void *buf, size_t bytes, int root);

void __wrap_comm_bcast(struct comm *c, void *buf, size_t bytes, int root)
{
    int32_t first;
    __real_comm_bcast(c, buf, bytes, root);
    if (fault.of_tokens || !is_due() || bytes != DROPPED * sizeof first) return;
    memcpy(&first, buf, sizeof first);
    first ^= 1;
    memcpy(buf, &first, sizeof first);
    fault.rank = -1;
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    struct err e = {0};
    struct job j;
    struct loaded kept = {0};
    struct run_options o = {.quiet = true};
    if (argc < 5) return 2;
    fault.rank = atoi(argv[2]);
    fault.of_tokens = strcmp(argv[3], "decision") != 0;
    fault.token = strcmp(argv[3], "end") == 0 ? 2 : 10;
    fault.draws_left = atol(argv[4]);
    const char *const *set = (const char *const *)&argv[5];
    int status = EXIT_BAD_INPUT;
    if (job_open(&j, argv[1], set, argc - 5, &e) == 0) {
        status = coordinator_run(&j, &o, world, &kept, &e);
        job_free(&j);
    }
    if (e.text[0]) log0(LOG_ERROR, "%s", e.text);
    loaded_free(&kept);
    comm_stop(world);
    return status;
}
