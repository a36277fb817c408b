#!/bin/bash
# How far the times that `specrej replay` predicts are off: the demo's models record Best-of-120 with rewards on the way, and ten
# runs of Speculative Rejection and two of Best-of-N are really made; a line for each says what it took, what was predicted from
# the recording, and the difference.  The runs take turns, a few prompts each, so that what else the machine does meets all alike.
#
#   bash tests/bench/replay_times.sh [PROMPTS [RANKS]]      16 prompts on 2 ranks of one thread: a few minutes on two idle cores
#
# Wants a built build/specrej and build/tests/compare_replay (or SPECREJ and COMPARE_REPLAY), and an otherwise idle machine.
# OUT=DIR keeps the result files there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
specrej=${SPECREJ:-build/specrej} compare=${COMPARE_REPLAY:-build/tests/compare_replay}
prompts=${1:-16} ranks=${2:-2} turn=4
out=${OUT:-$(mktemp -d "${TMPDIR:-/tmp}/replay_times.XXXXXX")}
[ -n "${OUT:-}" ] || trap 'rm -rf "$out"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 OMPI_MCA_ess_singleton_isolated=1

# run FILE N [KEY=VALUE...]: up to $limit prompts of it.
run() {
    local file=$1 n=$2 command=("$specrej") set=() pair
    shift 2
    for pair in "$@"; do set+=(--set "$pair"); done
    [ "$ranks" -gt 1 ] && command=(mpirun --oversubscribe -np "$ranks" "$specrej")
    "${command[@]}" run jobs/demo/demo.yaml -q --set "sweep={n: [$n]}" --set "output=$out/$file.h5" \
        --set "dataset.limit=$limit" "${set[@]}"
}
bon=method=best_of_n sr=method=speculative_rejection all=budget_tokens=60000

start=$SECONDS
for ((limit = turn; ; limit += turn)); do
    [ "$limit" -gt "$prompts" ] && limit=$prompts
    run recorded 120 $bon $all score_at=pages
    run 01 120 $bon $all
    run 02 30 $bon $all
    run 03 120 $sr alpha=0.5 budget_tokens=3000
    run 04 120 $sr alpha=0.5 budget_tokens=6000
    run 05 120 $sr alpha=0.2 budget_tokens=3000
    run 06 120 $sr alpha=0.8 budget_tokens=3000
    run 07 120 $sr alpha=0.2 budget_tokens=12000
    run 08 120 $sr alpha=0.8 budget_tokens=12000
    run 09 60 $sr alpha=0.5 budget_tokens=3000
    run 10 60 $sr alpha=0.5 budget_tokens=1500
    run 11 40 $sr alpha=0.3 budget_tokens=2000
    run 12 120 $sr alpha=0.5 $all "rounds=at 33, 129"
    [ "$limit" -eq "$prompts" ] && break
done
echo "$("$specrej" --version | head -1); $prompts prompts, $ranks ranks, $((SECONDS - start)) s; load $(cut -d' ' -f1-3 /proc/loadavg)"
"$compare" --times "$out/recorded.h5" "$out"/[0-9]*.h5
