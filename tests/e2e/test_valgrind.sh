#!/bin/bash
# Whole jobs of both methods under valgrind, f32 on 2 ranks: no invalid or uninitialised use, nothing lost; then
# the same bits as without it.  Where valgrind's wrappers of MPI are (valgrind-mpi), no message holds a byte that nobody
# set.  What the libraries report of themselves: ../valgrind.supp.
command -v valgrind >/dev/null || { echo "skipped: no valgrind (bash setup.sh --dev installs it)"; exit 77; }
suppressions=$(cd "$(dirname "$0")/.." && pwd)/valgrind.supp
source "$(dirname "$0")/tiny.sh"
grep -q __asan_init "$SPECREJ" && { echo "skipped: valgrind cannot run an ASan build"; exit 77; }
has_mpi || { echo "skipped: this build has no MPI"; exit 77; }
export GOMP_SPINCOUNT=2000 # set already: the program need not start itself again, which valgrind would not follow
wrappers=$(find /usr/lib -name 'libmpiwrap-*linux.so' -print -quit 2>/dev/null) wrapped=()
libmpi=$(ldd "$SPECREJ" | awk '/libmpi\.so/ { print $3 }') # valgrind itself loads the wrappers, too, and has no MPI
if [ -n "$wrappers" ] && LD_PRELOAD=$wrappers:$libmpi true 2>/dev/null; then
    wrapped=(--trace-children=yes env "LD_PRELOAD=$wrappers:$libmpi")
    export MPIWRAP_DEBUG=quiet
fi
tiny_job
prompts 2 >prompts.jsonl
small=(n=8 sampling.max_new_tokens=36 min_round_tokens=16)

# checked OUT [KEY=VALUE...]
checked() {
    start 1 "$@"
    mpirun --oversubscribe -np 2 valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
        --num-callers=40 --suppressions="$suppressions" ${wrapped[@]+"${wrapped[@]}"} "${command[@]}" \
        >log 2>&1 || fail "valgrind found something"
    rm -f plain.h5*
    shift
    run 2 plain.h5 "$@"
    check same "plain.h5" "$out"
}
for case in "best_of_n 1" "speculative_rejection 1" "speculative_rejection 2"; do
    read -r method tensor <<<"$case"
    out=$method$tensor.h5
    checked $out "${small[@]}" "method=$method" "parallel.tensor=$tensor" "overlap=$tensor" rounds=memory budget_tokens=240
    [ $method = best_of_n ] || check rounds $out memory
done
echo "both methods in 2 groups of 1, rejection also in one group of 2 with 2 prompts in flight: valgrind found nothing${wrapped[*]:+, in messages either}"
