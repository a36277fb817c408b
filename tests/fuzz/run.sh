#!/usr/bin/env bash
# Builds the fuzz targets (preset fuzz: clang) and runs each for a time, one after the other.
#   bash tests/fuzz/run.sh [SECONDS [TARGET...]]     60 seconds; all of tests/fuzz/fuzz_*.c
#
# What is found on the way is kept in build-fuzz/corpus and helps the next run; an input that a
# target fails on is in build-fuzz/findings, and belongs into tests/fuzz/crashes/TARGET when it is
# mended.  Prints the lines that results/hardening.md is made of; exit status 1 when there is a
# finding.
#   FUZZ_JOBS=2   so many targets at once
#   FUZZ_SEED=1   the same inputs in the same order every time, as far as the time reaches
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

seconds=${1:-60}
[ $# = 0 ] || shift
targets=("$@")
[ ${#targets[@]} != 0 ] || mapfile -t targets < <(cd tests/fuzz && printf '%s\n' fuzz_*.c | sed 's/^fuzz_//; s/\.c$//')
build=$PWD/build-fuzz source=$PWD/tests/fuzz

if [ "${FUZZ_BUILD:-yes}" = yes ]; then
    cmake --preset fuzz >/dev/null
    cmake --build --preset fuzz --parallel "$(nproc)" >"$build/build.log" 2>&1 || {
        cat "$build/build.log"
        exit 1
    }
fi
export ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=0
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
export OMP_NUM_THREADS=1

# fuzz TARGET: its line of the table.
fuzz() {
    local name=$1 corpus=$build/corpus/$1 found=$build/findings/$1 log=$build/$1.log options=() status=0 cpu covered
    mkdir -p "$corpus" "$found" "$source/crashes/$name"
    [ ! -e "$source/dictionaries/$name" ] || options+=("-dict=$source/dictionaries/$name")
    TIMEFORMAT='%U %S'
    cpu=$({ time "$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -malloc_limit_mb=512 -print_final_stats=1 -seed="${FUZZ_SEED:-0}" -artifact_prefix="$found/" "${options[@]}" \
        "$corpus" "$source/corpus/$name" "$source/crashes/$name" >"$log" 2>&1; } 2>&1) || status=$?
    rmdir --ignore-fail-on-non-empty "$source/crashes/$name"
    covered=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1) || covered= # nothing when a seed fails
    printf '| %s | %s | %.0f s | %s | %s |\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(awk '{ print $1 + $2 }' <<<"$cpu")" "${covered#cov: }" "$([ $status = 0 ] && echo none || grep -m 1 -E '^SUMMARY|^ALARM|ERROR: ' "$log")"
    return $status
}

echo "| target | executions | CPU time | edges reached | findings |"
echo "|---|---|---|---|---|"
failed=0
for name in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "${FUZZ_JOBS:-1}" ]; do wait -n || failed=1; done
    fuzz "$name" &
done
while [ -n "$(jobs -p)" ]; do wait -n || failed=1; done
exit $failed
