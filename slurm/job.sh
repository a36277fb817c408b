#!/usr/bin/env bash
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
# The batch script, for submit.sh and for `sbatch slurm/job.sh JOB.yaml` from the checkout's folder.
#   job.sh JOB.yaml [options of specrej run]
#   job.sh --tasks FILE [options of specrej run]   a task of an array: line SLURM_ARRAY_TASK_ID of FILE, counted from 0,
#                                                  holds the job files of its points, separated by blanks, as seen
#                                                  from the list's own folder
#
# Slurm sends USR1 to this script some time before the limit.  It goes on to the ranks, which commit what is done and
# end with status 75; then this script requeues its own job, if it got on at all since it started.  Jobs that Slurm
# preempts and jobs of lost nodes Slurm requeues itself (--requeue).  A job that the user cancelled stays so, and one
# that failed, too: submit it again, and it goes on where its result file ends.
#
# Several nodes: ranks are numbered node by node, and `parallel.tensor` consecutive ranks make one group.  With a
# --ntasks-per-node that is a multiple of tensor no group crosses a node; a tensor as large as a few nodes works, too,
# over the network at every layer.  --nodes=4 --ntasks-per-node=8 and tensor 4: 8 groups, two on each node.
set -u

say() { echo "job.sh: $(date '+%F %T') job $job, start $((${SLURM_RESTART_COUNT:-0} + 1)): $*"; }
fail() {
    say "$*" >&2
    exit 2
}

# One task's name is not its SLURM_JOB_ID: the last task has that of the whole array.
job=${SLURM_JOB_ID:-none}
[ -z "${SLURM_ARRAY_TASK_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID

site=${SPECREJ_SITE:-${SLURM_SUBMIT_DIR:-.}/slurm/site.sh}
[ -r "$site" ] || fail "no $site: submit from the checkout's folder, or name the site's file in SPECREJ_SITE"
# shellcheck source=slurm/site.sh
source "$site"

if [ "${1:-}" = --tasks ]; then
    [ -r "${2:-}" ] || fail "the list of tasks '${2:-}' cannot be read"
    folder=$(cd "$(dirname "$2")" && pwd)
    read -ra points < <(sed -n "$((${SLURM_ARRAY_TASK_ID:?--tasks needs sbatch --array} + 1))p" "$2")
    shift 2
    [ "${#points[@]}" != 0 ] || fail "the list of tasks has no line $SLURM_ARRAY_TASK_ID"
    set -- "${points[@]/#/$folder/}" "$@"
fi
[ $# != 0 ] || fail "no job file"

# srun takes the number of cores from here, not from sbatch's option, since Slurm 22.05.
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

say "begins on ${SLURM_JOB_NODELIST:-this machine}"
prepare || fail "prepare() of $site ended with status $?"

# Prompts that are committed in all result files of this task.
committed() { alone "$specrej" status --done "$@"; }
committed_before=$(committed "$@") || fail "$specrej status --done ended with status $?"

launch "$specrej" run "$@" &
launcher=$!

stop=none
on_usr1() {
    say "USR1: telling the ranks to stop"
    stop=USR1
    kill -USR1 $launcher
}
# Slurm tells TERM to ranks under srun itself, and srun would end them at once instead.
on_term() {
    say "TERM: cancelled, preempted or requeued"
    stop=TERM
    [ "$(cat /proc/$launcher/comm)" = srun ] || kill -TERM $launcher
}
trap on_usr1 USR1
trap on_term TERM

# A signal ends `wait` early; only when the launcher is gone the status is its own.
while kill -0 $launcher 2>/dev/null; do wait $launcher; done
wait $launcher
status=$?
say "status $status on $SLURM_JOB_NODELIST"

[ "$status$stop" = 75USR1 ] || exit $status
committed_after=$(committed "$@") || exit $status
if [ "$committed_after" -le "$committed_before" ]; then
    say "not requeued: no prompt was committed since this start, another would fare no better; give it more time"
elif scontrol requeue "$job"; then
    say "requeued: $((committed_after - committed_before)) prompts more, $committed_after in all"
else
    say "not requeued: scontrol requeue ended with status $?; submit it again"
fi
exit $status
