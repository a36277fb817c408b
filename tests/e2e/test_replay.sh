#!/bin/bash
# Replay against runs that were really made with the same seed: (alpha, N, schedule) points, memory rounds among them,
# prompt by prompt (compare_replay), and the verb.
source "$(dirname "$0")/tiny.sh"
: "${COMPARE_REPLAY:?path of compare_replay}"
export OMPI_MCA_ess_singleton_isolated=1 # a rank alone starts no daemon
tiny_job

few=(dataset.limit=6)
sr=(method=speculative_rejection)
run 1 pages.h5 "${few[@]}" score_at=pages
run 1 every.h5 "${few[@]}" "score_at=every 8"
both=$(for at in 16 32 48 64 80; do printf '%d, %d, ' $at $((at + 1)); done)
run 1 both.h5 "${few[@]}" "score_at=${both%, }"

points=0
# real RECORDED [KEY=VALUE...]: a run of its own, to be compared with RECORDED replayed.
declare -A runs
real() {
    local recorded=$1
    shift
    points=$((points + 1))
    run 1 "real$points.h5" "${few[@]}" "${sr[@]}" "$@"
    runs[$recorded]+=" real$points.h5"
}
for alpha in 0.1 0.3 0.5 0.9; do
    for n in 64 20; do
        real every.h5 alpha=$alpha n=$n "rounds=every 16"
        real every.h5 alpha=$alpha n=$n "rounds=at 8, 24, 72"
    done
    for budget in 2304 1200; do
        real pages.h5 alpha=$alpha budget_tokens=$budget n=$((budget / 40)) rounds=memory
    done
    real both.h5 alpha=$alpha "rounds=at 64, 80" budget_tokens=2304
done
real pages.h5 alpha=0.5 n=auto budget_tokens=1600 rounds=memory
real pages.h5 alpha=0.5 n=33 rounds=memory budget_tokens=1200 # of some prompts that are too long
real pages.h5 alpha=0.5 n=64 rounds=memory min_round_tokens=16 budget_tokens=1100
real pages.h5 alpha=0.5 n=50 rounds=memory compat=paper_code_2024 budget_tokens=2000
real every.h5 alpha=0.3 n=64 "rounds=every 24" compat=paper_code_2024
real every.h5 alpha=0 n=64 rounds=memory
for recorded in "${!runs[@]}"; do
    "$COMPARE_REPLAY" "$recorded" ${runs[$recorded]} 2>log || fail "compare_replay $recorded"
done
echo "$points real runs: replayed exactly"
