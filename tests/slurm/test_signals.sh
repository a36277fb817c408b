#!/usr/bin/env bash
# Stopped early: by USR1 as before a time limit, by requeue as a preemption, by scancel.  What was committed stays, the job
# goes on by itself or stays stopped, as it should; in the end the file is that of an undisturbed run.
source "$(dirname "$0")/support.sh"

prompts=12 n=40 budget=800 demo_job reference.yaml
undisturbed 1 reference.yaml
# long FILE: the same job with a file of its own.
long() { prompts=12 n=40 budget=800 demo_job "$1"; }
# starts FILE: the statuses of the program's starts, in one line.
starts() { "$COMPARE_RESULTS" runs "$1" | tr '\n' ' '; }

# ---- USR1: one task of an array, the last, whose id is the whole array's ----
long first.yaml
long last.yaml
printf '%s\n' first.yaml last.yaml >tasks
submit --array=0-1%1 -- --tasks tasks
eventually 150 committed last.h5 2 || fail "the second task does not run"
scancel --signal=USR1 --batch "${job}_1"
eventually 150 jobs_gone || fail "the array does not end"
check same reference/reference.h5 first.h5
check same reference/reference.h5 last.h5
[ "$(starts first.h5)" = "1 " ] || fail "the first task has the starts $(starts first.h5)"
[ "$(starts last.h5)" = "3 1 " ] || fail "the last task has the starts $(starts last.h5), not stopped and complete"
"$SPECREJ" inspect last.h5 | tr -s " \n" " " >log
grep -q "restart 0" log && grep -q "restart 1" log || fail "the file does not tell the starts apart"
grep -q "job ${job}_1, start 1: requeued: .* prompts more" "logs/tasks-${job}_1.log" || fail "it does not say so"
grep -q "job ${job}_1, start 2: status 0" "logs/tasks-${job}_1.log" || fail "no second start in the same log"
echo "USR1: requeued, that task alone"

# ---- USR1 when nothing was done ----
prompts=1 n=120 budget=9000 demo_job hopeless.yaml
submit -- hopeless.yaml
eventually 150 test -e hopeless.h5 || fail "the job does not start"
scancel --signal=USR1 --batch "$job"
ended FAILED 75:0
grep -q "not requeued: no prompt was committed since this start" "logs/hopeless-$job.log" || fail "it does not say why"
echo "USR1 without a prompt done: not requeued"

# ---- preemption: Slurm requeues ----
long preempted.yaml
submit -- preempted.yaml
eventually 150 committed preempted.h5 2 || fail "the job does not start"
scontrol requeue "$job"
ended COMPLETED 0:0
check same reference/reference.h5 preempted.h5
[ "$(starts preempted.h5)" = "2 1 " ] || fail "starts $(starts preempted.h5)"
echo "requeued by Slurm: goes on"

# ---- scancel: stays so, until it is submitted again ----
long cancelled.yaml
submit --nodes=2 --ntasks-per-node=1 -- cancelled.yaml
eventually 150 committed cancelled.h5 2 || fail "the job does not start"
scancel "$job"
ended CANCELLED "*"
check part reference/reference.h5 cancelled.h5
grep -q requeued: "logs/cancelled-$job.log" && fail "requeued against the user's word"
submit -- cancelled.yaml
ended COMPLETED 0:0
check same reference/reference.h5 cancelled.h5
echo "scancel: stays stopped; submitted again: goes on"
