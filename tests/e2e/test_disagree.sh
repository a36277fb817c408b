#!/bin/bash
# Ranks that draw another token or hear another decision than their fellows (disagree.c): the job ends with a message
# that names the prompt, the round and the ranks; what was committed stays, and the same command goes on from there.
here=$(cd "$(dirname "$0")" && pwd)
source "$here/tiny.sh"
: "${DISAGREE:?path of disagree}"
export OMPI_MCA_odls_base_sigkill_timeout=0 # the others need no second to end
has_mpi || { echo "skipped: this build has no MPI"; exit 77; }
tiny_job
prompts 4 >prompts.jsonl
job=(n=16 sampling.max_new_tokens=40)
every=("${job[@]}" method=speculative_rejection alpha=0.5 "rounds=every 16")

# disagrees RANKS RANK WHAT DRAW PATTERN [KEY=VALUE...]: the pattern is in its message, what is committed is right.
disagrees() {
    local ranks=$1 rank=$2 what=$3 draw=$4 pattern=$5 said
    shift 5
    [ "$keys" = "$ranks $*" ] || { rm -f whole.h5*; run "$ranks" whole.h5 "$@"; }
    keys="$ranks $*"
    rm -f faulty.h5*
    mpirun --oversubscribe -np "$ranks" "$DISAGREE" job.yaml "$rank" "$what" "$draw" output=faulty.h5 "$@" >log 2>&1
    [ $? = 1 ] || fail "$what of rank $rank: status is not 1"
    [ "$(grep -c "disagree on" log)" = 1 ] || fail "$what of rank $rank: not one message"
    said=$(grep -o "error: prompt [0-9]*, $pattern since they last compared" log) || fail "$what of rank $rank: no '$pattern'"
    check part whole.h5 faulty.h5
    [ "$("$COMPARE_RESULTS" verify faulty.h5)" -lt 4 ] || fail "the prompt was kept"
    echo "$ranks ranks, $what of rank $rank: $said"
}

mpirun --oversubscribe -np 2 "$DISAGREE" job.yaml -1 tokens 0 output=none.h5 parallel.tensor=2 "${every[@]}" >log 2>&1 ||
    fail "it ends without a fault"
keys=
tokens="ranks 0 and 1 disagree on the tokens drawn"
decisions="round 0 at 16 tokens: ranks 0 and 1 disagree on the decisions"
disagrees 2 0 tokens 60 "round [0-9]* at [0-9]* tokens: $tokens" parallel.tensor=2 "${every[@]}"
run 2 faulty.h5 parallel.tensor=2 "${every[@]}" # the same command goes on
check same whole.h5 faulty.h5
disagrees 2 1 end 20 "round 1 at 21 tokens: $tokens" parallel.tensor=2 "${every[@]}" # it would have a row less
disagrees 2 1 decision 0 "$decisions" parallel.tensor=2 "${every[@]}"
disagrees 2 1 end 60 "round 0 at [0-9]* tokens: $tokens" parallel.tensor=2 "${job[@]}"
disagrees 2 1 tokens 60 "round [0-9]* at [0-9]* tokens: $tokens" parallel.tensor=2 overlap=2 "${every[@]}"
disagrees 2 1 decision 0 "$decisions" parallel.split=candidates "${every[@]}"
tokens="ranks 2 and 3 disagree on the tokens drawn"
disagrees 4 3 tokens 20 "round 1 at 21 tokens: $tokens" parallel.tensor=2 parallel.split=candidates "${every[@]}"
