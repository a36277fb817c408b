#!/usr/bin/env bash
# What breaks at night: a rank, a whole node, a slurmd, the controller restarted, two starts of one job.  The job ends with
# a clear word or goes on by itself; submitted again it goes on, and nothing is there twice.
source "$(dirname "$0")/support.sh"

two=("parallel: {tensor: 2, split: prompts}")
prompts=12 n=40 budget=800 demo_job two.yaml "${two[@]}"
undisturbed 4 two.yaml
prompts=12 n=40 budget=800 demo_job one.yaml
undisturbed 1 one.yaml
# one FILE: the job of one rank with a file of its own.
one() { prompts=12 n=40 budget=800 demo_job "$1"; }
node_of() { squeue -h -j "$1" -o %N; }

# ---- a rank ----
submit --nodes=2 --ntasks-per-node=2 -- two.yaml
eventually 150 committed two.h5 1 || fail "the job does not start"
kill -9 "$(ranks_on n2 | head -n 1)"
patience=60 ended FAILED 137:0
check part reference/two.h5 two.h5
submit --nodes=2 --ntasks-per-node=2 -- two.yaml
ended COMPLETED 0:0
check same reference/two.h5 two.h5
echo "a rank killed: the job ends within seconds; submitted again: goes on"

# ---- a node that loses its power, with a job that Slurm may requeue and one that it may not ----
one lost.yaml
one abandoned.yaml
scontrol update NodeName=n2 State=DRAIN Reason=test
submit --no-requeue -- abandoned.yaml
abandoned=$job
submit -- lost.yaml
eventually 150 committed abandoned.h5 1 && eventually 150 committed lost.h5 1 || fail "the jobs do not start"
scontrol update NodeName=n2 State=RESUME
began=$SECONDS
node_kill n1
eventually 150 grep -q "start 2: status 0 on n2" "logs/lost-$job.log" || fail "it does not start again"
ended COMPLETED 0:0
check same reference/one.h5 lost.h5
echo "a node killed: the job went on by itself on the other, complete $((SECONDS - began)) s later"
job=$abandoned ended NODE_FAIL "*"
submit -- abandoned.yaml
ended COMPLETED 0:0
why="that process is gone"
is_sealed && why="Slurm says that job has ended" # else the nodes are one host
grep -q "taking over the lock of host .*$why" "logs/abandoned-$job.log" || fail "the dead one's lock"
check same reference/one.h5 abandoned.h5
echo "a job of the killed node, submitted again: the lock is taken over, since $why"
node_start n1
eventually 30 cluster_is_idle || fail "the node does not come back"

# ---- a slurmd and the controller, while a job runs that they know ----
one steady.yaml
submit -- steady.yaml
eventually 150 committed steady.h5 1 || fail "the job does not start"
node=$(node_of "$job")
slurmd_kill "$node"
controller_stop || fail "the controller does not stop"
slurmd_start "$node"
controller_start || fail "the controller does not come back"
ended COMPLETED 0:0
check same reference/one.h5 steady.h5
[ "$("$COMPARE_RESULTS" runs steady.h5)" = 1 ] || fail "it was started again"
echo "slurmd killed, slurmctld restarted: the job did not notice"

# ---- two jobs with one file: never both ----
one shared.yaml
submit --nodelist=n1 -- shared.yaml
first=$job
eventually 150 committed shared.h5 1 || fail "the job does not start"
kill -STOP $(ranks_on n1) # until the second has started, however fast the machine is
submit --nodelist=n2 -- shared.yaml
ended FAILED 2:0
kill -CONT $(ranks_on n1)
grep -q "error: shared.h5 is in use: .*Slurm job $first" "logs/shared-$job.log" || fail "it does not say who holds the file"
job=$first ended COMPLETED 0:0
check same reference/one.h5 shared.h5
sum=$(sha256sum shared.h5)
submit -- shared.yaml
ended COMPLETED 0:0
[ "$(sha256sum shared.h5)" = "$sum" ] || fail "a complete file was changed"
echo "two starts at once: the second is refused; a third finds nothing to do"
