/* The judge's turn at a point's file, behind the point's own work. */
#include "run/coordinator_state.h"

#include "base/log.h"
#include "run/judge.h"

static int last_signal(void)
{
    return coordinator_signal;
}

static int judge_failed(const struct err *e)
{
    log0(LOG_ERROR, "judge: %s (the job's own results are complete; run it again to judge)",
         e->text);
    return EXIT_FAILED;
}

/* The judge scores what it did not see yet, alone on the ranks: the job's models are gone.  Rank 0
 * holds the file's lock. */
static int judge_locked(struct coordinator *c, const struct lock *lock, struct comm *world,
                        struct err *e)
{
    struct judge_turn turn = {.job = &c->job,
                              .path = c->path,
                              .identity = c->judge_identity,
                              .lock = lock,
                              .signal_seen = last_signal};
    if (c->path) coordinator_status(c, STATE_JUDGING, "");
    if (!c->options->quiet)
        log0(LOG_INFO, "judge: %s scores the complete candidates", c->job.judge.path);
    int rc = judge_run(&turn, world, e);
    if (rc < 0) return judge_failed(e);
    c->stop_signal = rc;
    if (rc > 0) log0(LOG_INFO, "judge: stopped; the same command judges again");
    return rc > 0 ? EXIT_CONTINUE : EXIT_DONE;
}

int coordinator_judge(struct coordinator *c, struct comm *world, struct err *e)
{
    bool first = comm_rank(world) == 0, due = false;
    int rc = first ? judge_is_due(&c->job, c->path, c->judge_identity, &due, e) : 0;
    if (comm_agree(world, rc, e) < 0) return judge_failed(e);
    comm_bcast(world, &due, sizeof due, 0);
    if (!due) return EXIT_DONE;
    worker_close(&c->worker);
    struct lock *lock = first ? lock_take(c->path, c->options->slurm_ended, e) : NULL;
    if (comm_agree(world, first && !lock ? -1 : 0, e) < 0) return judge_failed(e);
    int status = judge_locked(c, lock, world, e);
    lock_release(lock);
    return status;
}
