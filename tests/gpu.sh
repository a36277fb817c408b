#!/usr/bin/env bash
# The tests that need a GPU, from a bare checkout with one command:
#   [BUDGET_S=400] [ARCHIVE=FILE.tar.gz] bash tests/gpu.sh [--bundle DIR] [PART...]
# PARTs, in this order when none is named:
#   smoke       this card and its libraries, by one small program: before anything else is built
#   kernels     every kernel against its oracle
#   ops         the backend's functions, the golden models, on one rank
#   jobs        whole jobs, pairing among them; brief, all paths once
#   memcheck    the kernels' tests under compute-sanitizer
#   ranks       several ranks that share the card, over NCCL by sockets
#   racecheck   as memcheck, twice
#   long        jobs in all variants, a job that is killed, numbers that are none
# Each result is printed when it is there; what failed, with the end of its output.  Goes on after a failure; the table
# at the end says what passed.  Logs: build/gpu/logs, and after each part in ARCHIVE, where one is named.
# DIR: a bundle of `setup.sh --bundle`, for a machine that has neither our libraries nor a network.
# BUDGET_S: seconds for all of it, the build counted in; what is not begun by then is listed.  Without it: everything.
# EMULATED=1 BUILD=build: on the emulated GPU, of a build that is there, to try the script itself.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${BUILD:-build/gpu} budget=${BUDGET_S:-} emulated=${EMULATED:-}
logs=$out/logs began=$SECONDS failed=0

bundle=""
[ "${1:-}" != --bundle ] || { bundle=${2:?--bundle DIR} && shift 2; }
all="smoke kernels ops jobs memcheck ranks racecheck long"
[ $# -gt 0 ] || set -- $all
for part in "$@"; do
    [[ " $all " == *" $part "* ]] || { echo "gpu.sh: no part '$part'; parts: $all" >&2 && exit 2; }
done
rm -rf "$logs"
mkdir -p "$logs"
: >"$logs/summary.txt"

left() { [ -z "$budget" ] && echo 7200 || echo $((budget - SECONDS + began)); }

# result PASSED|FAILED|... NAME BEGAN
result() {
    [ "$1" != FAILED ] || failed=1
    printf '%-8s %s (%d s, %d s in all)\n' "$1" "$2" $((SECONDS - $3)) $((SECONDS - began)) | tee -a "$logs/summary.txt"
    [ -z "${ARCHIVE:-}" ] || { tar -czf "$logs.$BASHPID" -C "$logs" .; mv "$logs.$BASHPID" "$ARCHIVE"; }
}

# step NAME COMMAND...: its output to a log, the last lines of it where it fails or takes more time than there is.
step() {
    local name=$1 at=$SECONDS status=0
    shift
    [ "$(left)" -gt 0 ] || { result "no time" "$name" $at && return 1; }
    timeout -k 10 "$(left)" "$@" >"$logs/$name.log" 2>&1 || status=$?
    [ $status != 0 ] || { result passed "$name" $at && return; }
    tail -n 30 "$logs/$name.log" | sed 's/^/  | /'
    result FAILED "$name, status $status" $at
    return 1
}

build() {
    local at=$SECONDS
    if gpu_build gpu_device_tests >"$logs/build.log" 2>&1; then result passed build $at && return; fi
    tail -n 30 "$logs/build.log" | sed 's/^/  | /'
    result FAILED build $at
    return 1
}

# tests NAME PROCESSES PATTERN: of ctest, so many at a time; a line for each as it ends.
tests() {
    local name=$1 at=$SECONDS status
    [ "$(left)" -gt 0 ] || { result "no time" "$name" $at && return; }
    timeout -k 10 "$(left)" ctest --test-dir "$out" -L "^$label\$" -R "$3" --parallel "$2" --output-on-failure \
        --no-tests=error 2>&1 | tee "$logs/$name.log" | grep --line-buffered -E '^ *[0-9]+/[0-9]+ Test|No tests'
    status=${PIPESTATUS[0]}
    # the end of what each that failed has said
    awk '/^ *[0-9]+\/[0-9]+ Test/ { n = 0; on = /\*\*\*/ && !/Skipped/ } /^ +Start +[0-9]+:/ || /tests passed,/ { on = 0 }
        on && n++ < 20 { print "  | " $0 }' "$logs/$name.log"
    name="$name, $(grep -c '^ *[0-9]*/[0-9]* Test.*Passed' "$logs/$1.log") passed, $(grep -c '\*\*\*Skipped' "$logs/$1.log") skipped"
    if [ "$status" = 0 ]; then result passed "$name" $at; else result FAILED "$name, status $status" $at; fi
}

# sanitized TOOL: the kernels' tests, all at a time.
sanitized() {
    local tool=$1 at=$SECONDS program name state=passed pids=()
    command -v compute-sanitizer >/dev/null || { result skipped "$tool: no compute-sanitizer here" $at && return; }
    [ "$(left)" -gt 0 ] || { result "no time" "$tool" $at && return; }
    for program in "$out"/tests/test_kernels_*; do
        [ -x "$program" ] || continue
        name=$tool-$(basename "$program")
        step "$name" compute-sanitizer --tool "$tool" --error-exitcode 9 "$program" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || state=FAILED; done
    result $state "$tool" $at
}

# ---- the parts ----
part_smoke() {
    local program=$out/tests/gpu_emulation/gpu_smoke_emulated code=${card%-real} target
    if [ -z "$emulated" ]; then
        program=$out/smoke
        target=(-gencode "arch=compute_$code,code=sm_$code")
        [[ $card != *\;* ]] || target=(-arch=native)
        step smoke-build nvcc -std=c++17 -O2 --fmad=false -Xcompiler -ffp-contract=off -I src -I kernels "${target[@]}" \
            -o "$program" tests/gpu/smoke.cu -L"$toolkit_root/lib64" -L"$toolkit_root/lib" -lcublasLt -lnccl || return
        export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$toolkit_root/lib64:$toolkit_root/lib
    fi
    step smoke timeout -k 5 90 "$program" && sed 's/^/    /' "$logs/smoke.log"
}
part_kernels() { tests kernels 4 "^test_kernels_[a-z]+(_emulated)?\$"; }
part_ops() {
    tests ops 8 "^test_(gemm|fp8|rows|attention|kv|sample|decode|stories)_$on\$|^test_(models|sample_tp|kv_exchange)_${on}_1\$"
}
part_jobs() { tests jobs 1 "^test_cuda_brief_$on\$"; }
part_memcheck() { sanitized memcheck; }
part_ranks() { tests ranks 1 "^test_(models|sample_tp|kv_exchange)_${on}_[24]\$"; }
part_racecheck() { sanitized racecheck && sanitized initcheck; }
part_long() { tests long 1 "^test_(cuda|cuda_faults|numerics)_$on\$"; }

# ---- the machine; the build, before the first part that needs it ----
on=device label=device toolkit_root="" card="" is_built=$emulated
if [ -n "$emulated" ]; then
    on=emulated label=gpu
else
    source tests/gpu_machine.sh
    gpu_check
fi
for part in "$@"; do
    if [ "$part" != smoke ] && [ -z "$is_built" ]; then
        gpu_bundle "$bundle"
        build || break
        is_built=yes
    fi
    "part_$part"
done
printf '\n'
cat "$logs/summary.txt"
exit $failed
