#!/usr/bin/env bash
# A night on a bad cluster: a sweep of 24 points, and random events among its running tasks: a rank, a slurmd, a batch
# script killed, a requeue, USR1, now and then a whole node.  What is missing is submitted again until
# all is there.  Then every point must be complete, exactly once, with the ids and rewards of an undisturbed run.
#   bash tests/slurm/chaos.sh [EVENTS [SEED]]     50 events; needs SPECREJ and COMPARE_RESULTS like the tests
# Prints a summary, for results/slurm/.  Not one of CTest's tests: it takes a while.
source "$(dirname "$0")/support.sh"
wanted=${1:-50}
RANDOM=${2:-1}

prompts=6 budget=480 demo_job chaos.yaml \
    "sweep: {method: [best_of_n, speculative_rejection], n: [16, 24], alpha: [0.3, 0.5, 0.7], seed: [0, 1, 2]}"
sed -i 's,^output:.*,output: "out/%p.h5",' chaos.yaml
echo "undisturbed, without Slurm ..."
undisturbed 2 chaos.yaml
mapfile -t points < <("$SPECREJ" sweep chaos.yaml | cut -d ' ' -f 1)
[ ${#points[@]} = 24 ] || fail "${#points[@]} points"

submissions=0 events=0 began=$SECONDS
declare -A counts=()

# Submit what is missing; 1: nothing is.
go_on() {
    "$SPECREJ" sweep chaos.yaml --submit --max-running 4 -- --ntasks=2 >log 2>&1 || fail "status $? of sweep --submit"
    grep -q "^submitted as job" log || return 1
    submissions=$((submissions + 1))
    echo "$((SECONDS - began)) s: $(grep -o '^24 points:.*' log)"
}

# One of the lines of the input, at random; 1: there is none.
one_of() {
    local items
    mapfile -t items
    [ ${#items[@]} != 0 ] && echo "${items[RANDOM % ${#items[@]}]}"
}

running_task() { timeout 10 squeue -h -t R -o %i | one_of; }

# ---- the events: each needs something that runs; 1: there was nothing ----
rank() {
    local pid
    pid=$(node_names | while read -r node; do ranks_on "$node"; done | one_of) && kill -9 "$pid" 2>/dev/null
}
batch_script() {
    local pid
    pid=$(pgrep -f '^bash .*/slurm_script ' | one_of) && kill -9 "$pid" 2>/dev/null
}
requeue() {
    local task
    task=$(running_task) && timeout 20 scontrol requeue "$task" 2>/dev/null
}
usr1() {
    local task
    task=$(running_task) && timeout 20 scancel --signal=USR1 --batch "$task" 2>/dev/null
}
slurmd() {
    local node
    node=$(timeout 10 sinfo -hN -t alloc,mix -o %N | one_of) || return 1
    slurmd_kill "$node"
    sleep $((RANDOM % 4))
    slurmd_start "$node"
}
node() {
    local node
    node=$(timeout 10 sinfo -hN -t alloc,mix -o %N | one_of) || return 1
    node_kill "$node"
    sleep $((RANDOM % 4))
    node_start "$node"
}
kinds=(rank rank rank slurmd slurmd batch_script batch_script requeue requeue usr1 usr1 node)

# What Slurm holds because a start failed (its slurmd was gone) a person would let go.
release_held() {
    timeout 10 squeue -h -t PD -o '%i %r' | sed -n 's/ .*[Hh]eld.*//p' | while read -r task; do
        timeout 20 scontrol release "$task" && echo "$((SECONDS - began)) s: released $task"
    done
}

# ---- the night ----
while [ $events -lt "$wanted" ]; do
    release_held
    if jobs_gone; then go_on || fail "all is done after $events events; make the points longer"; fi
    kind=${kinds[RANDOM % ${#kinds[@]}]}
    if $kind; then
        events=$((events + 1))
        counts[$kind]=$((${counts[$kind]:-0} + 1))
        echo "$((SECONDS - began)) s: event $events: $kind"
    fi
    sleep "0.$((RANDOM % 10))"
    sleep $((RANDOM % 2))
done

# ---- the morning ----
for ((i = 0; ; i++)); do
    [ $i -lt 20 ] || fail "still not complete"
    until jobs_gone; do
        release_held
        sleep 1
    done
    go_on || break
done

"$SPECREJ" status chaos.sweep >log 2>&1 || fail "status"
[ "$(grep -c complete log)" -ge 24 ] || fail "status does not say that all is complete"
starts=()
for point in "${points[@]}"; do
    check same "reference/out/$point.h5" "out/$point.h5"
    committed "out/$point.h5" 6 || fail "$point is not complete"
    mapfile -t -O ${#starts[@]} starts < <("$COMPARE_RESULTS" runs "out/$point.h5")
done
[ "$(find out -type f ! -name '*.status.json' | wc -l)" = 24 ] || fail "files left behind: $(find out -type f)"

echo
echo "$events events in $((SECONDS - began)) s:$(for kind in "${!counts[@]}"; do printf ' %s %s,' "${counts[$kind]}" "$kind"; done)" |
    sed 's/,$//; s/_/ /'
echo "$submissions submissions, ${#starts[@]} starts of the program for 24 points, by their end:" \
    "$(count() { printf '%s\n' "${starts[@]}" | grep -cx "$1"; }
    echo "$(count 1) complete, $(count 3) USR1, $(count 2) TERM, $(count 5) killed, $(count 4) failed, $(count 0) unknown")"
echo "24 of 24 points complete, each prompt once, ids and rewards of all 24 bit for bit those of the undisturbed sweep"
