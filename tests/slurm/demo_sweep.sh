#!/usr/bin/env bash
# The demo's job as a sweep of 12 points (2 methods x N x alpha x seed), through sbatch on two nodes and without Slurm, with
# the same tensor size and budget: ids and rewards are equal, bit for bit.
#   bash tests/slurm/demo_sweep.sh [PROMPTS]     of the demo's 16; needs SPECREJ and COMPARE_RESULTS like the tests
# Prints a summary, for results/slurm/.  Not one of CTest's tests: it takes a while.
source "$(dirname "$0")/support.sh"
options=(--set "sweep={method: [best_of_n, speculative_rejection], n: [60, 120], alpha: [0.5, 0.7], seed: [0, 1]}"
    --set "dataset.limit=${1:-16}" --set "output=out/%p.h5")
cp -r "$demo" demo
undisturbed 1 demo/demo.yaml "${options[@]}"
mapfile -t points < <("$SPECREJ" sweep demo/demo.yaml "${options[@]}" | cut -d ' ' -f 1)
[ ${#points[@]} = 12 ] || fail "${#points[@]} points"

began=$SECONDS
"$SPECREJ" sweep demo/demo.yaml "${options[@]}" --submit --max-running 2 --points-per-task 2 -- \
    --nodes=2 --ntasks-per-node=1 || fail "sweep --submit"
eventually 3000 jobs_gone || fail "the array does not end"
for point in "${points[@]}"; do check same "reference/out/$point.h5" "out/$point.h5"; done
echo
"$SPECREJ" status demo/demo.yaml "${options[@]}"
"$SPECREJ" report out/*.h5
echo
echo "6 tasks of 2 points, each on 2 nodes, one rank on each, two tasks at a time: $((SECONDS - began)) s"
echo "12 of 12 points complete; ids and rewards bit for bit those of one rank without Slurm"
