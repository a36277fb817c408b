#!/usr/bin/env bash
# The tests that need a GPU, from a bare checkout with one command:
#   bash tests/gpu.sh [--bundle DIR]
# DIR: a bundle of `setup.sh --bundle`, for a machine that has neither our libraries nor a network.  Checks first that
# driver, toolkit and libraries fit together; then builds, runs every test labelled device (kernels and ops against their
# oracles, golden checkpoints, pairing end to end; several ranks share the card), and the kernel tests under
# compute-sanitizer.  Goes on after a failure; the table at the end says what passed.  Logs: build/gpu/logs.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bundle=""
case "${1:-}" in
--bundle) bundle=${2:?--bundle DIR} ;;
"") ;;
*) echo "usage: bash tests/gpu.sh [--bundle DIR]" >&2 && exit 2 ;;
esac

fail() {
    echo "gpu.sh: $*" >&2
    exit 1
}

out=build/gpu
logs=$out/logs
rm -rf "$logs"
mkdir -p "$logs"
results=()

# step NAME COMMAND...: its output to a log; the last lines of it when it fails.
step() {
    local name=$1 began=$SECONDS status=0
    shift
    "$@" >"$logs/$name.log" 2>&1 || status=$?
    if [ $status = 0 ]; then
        results+=("passed   $name ($((SECONDS - began)) s)")
    else
        results+=("FAILED   $name (status $status): $logs/$name.log")
        tail -n 40 "$logs/$name.log" | sed 's/^/  | /'
    fi
    return $status
}

# ---- do driver, toolkit and libraries fit together? ----
command -v nvidia-smi >/dev/null || fail "no nvidia-smi: this machine has no NVIDIA driver"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || fail "nvidia-smi finds no GPU"
PATH=${CUDA_HOME:-/usr/local/cuda}/bin:$PATH
command -v nvcc >/dev/null || fail "no nvcc; set CUDA_HOME to the toolkit's folder"
toolkit=$(nvcc --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
driver=$(nvidia-smi | sed -n 's/.*CUDA Version: *\([0-9.]*\).*/\1/p')
[ "${toolkit%%.*}" -le "${driver%%.*}" ] ||
    fail "the toolkit is CUDA $toolkit, the driver runs up to CUDA $driver: a newer driver or an older toolkit is needed"
echo "toolkit CUDA $toolkit, driver up to CUDA ${driver:-unknown}"
if [ -n "$bundle" ]; then
    [ -e "$out/prefix/env.sh" ] || bash setup.sh --from "$bundle" "$out/prefix" || fail "the bundle does not fit"
    source "$out/prefix/env.sh"
fi
bash setup.sh --check || fail "make a bundle elsewhere (bash setup.sh --bundle DIR), then: bash tests/gpu.sh --bundle DIR"

# ---- build ----
step configure cmake -S . -B "$out" -D CMAKE_BUILD_TYPE=Release -D SPECREJ_CUDA=ON -D SPECREJ_WERROR=OFF || fail "configure"
step build cmake --build "$out" --parallel "$(nproc)" || fail "build"

# ---- tests ----
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
step tests ctest --test-dir "$out" -L '^device$' --output-on-failure --no-tests=error
grep -E "Passed|Failed|Skipped|tests passed" "$logs/tests.log"

if command -v compute-sanitizer >/dev/null; then
    for test in "$out"/tests/test_kernels_*; do
        [ -x "$test" ] || continue
        for tool in memcheck racecheck initcheck; do
            step "$tool-$(basename "$test")" compute-sanitizer --tool $tool --error-exitcode 9 "$test"
        done
    done
else
    results+=("skipped  compute-sanitizer: not on this machine")
fi

printf '%s\n' "" "${results[@]}" | tee "$logs/summary.txt"
! grep -q "^FAILED" "$logs/summary.txt"
